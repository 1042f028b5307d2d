//! A model that answers as it did in a recorded run.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Failure, Kind, Message, Model, Reply, Request, Watch};

/// What was asked, in short: enough to tell that a replay asks the same.
///
/// It covers the system's text, the tools, the settings, how many messages there are and those since the
/// last reply. Messages before it were covered by the calls before, so that a long conversation costs no
/// more than a short one. It is written as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a request.
    pub fn of(request: &Request<'_>) -> Self {
        let new = request
            .messages
            .iter()
            .rposition(|message| matches!(message, Message::Assistant(_)))
            .map_or(0, |last| last + 1);
        let count = request.messages.len();
        let asked = (
            request.system,
            request.tools,
            request.settings,
            count,
            &request.messages[new..],
        );
        // Nothing in it can fail to be written.
        let text = serde_json::to_vec(&asked).unwrap_or_default();
        let digits = Sha256::digest(text)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Fingerprint(digits)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A call of a recorded run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What was asked; `None` where that is not to be compared.
    pub asked: Option<Fingerprint>,
    /// What came of it.
    pub outcome: Result<Reply, Failure>,
}

/// A model that answers as it did in a recorded run, one call after the other, at once.
///
/// A call that asks something else fails with [`Kind::Diverged`]; one too many, with [`Kind::Exhausted`].
pub struct Replayed<I> {
    calls: I,
    number: u64,
}

impl<I: Iterator<Item = Recorded> + Send> Replayed<I> {
    /// Takes the calls in their order.
    pub fn new(calls: impl IntoIterator<IntoIter = I>) -> Self {
        Replayed {
            calls: calls.into_iter(),
            number: 0,
        }
    }
}

impl<I: Iterator<Item = Recorded> + Send> Model for Replayed<I> {
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        if watch.stop() {
            return Err(Failure::new(Kind::Stopped, ""));
        }
        let Some(call) = self.calls.next() else {
            let message = format!("the recorded run has {} calls", self.number);
            return Err(Failure::new(Kind::Exhausted, message));
        };
        self.number += 1;
        if call
            .asked
            .is_some_and(|asked| asked != Fingerprint::of(request))
        {
            let message = format!("call {} of the recorded run", self.number);
            return Err(Failure::new(Kind::Diverged, message));
        }
        call.outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tests::{result, settings, tools};
    use crate::{Block, Silent, Stop, Usage};

    fn reply(text: &str) -> Reply {
        Reply {
            blocks: vec![Block::text(text)],
            stop: Stop::End,
            usage: Usage::default(),
            model: "m".to_owned(),
            id: text.to_owned(),
            attempts: Default::default(),
        }
    }

    #[test]
    fn a_recorded_run_is_repeated_or_told_apart() {
        let (settings, tools) = (settings(), tools());
        let request = |messages| Request {
            system: "",
            messages,
            stable: 1,
            tools: &tools,
            settings: &settings,
        };
        let first = [Message::User("Go".to_owned())];
        let second = [
            Message::User("Go".to_owned()),
            Message::Assistant(reply("a").blocks),
            Message::Results(vec![result("c", "out", false)]),
        ];
        let call = |messages, outcome| Recorded {
            asked: Some(Fingerprint::of(&request(messages))),
            outcome,
        };
        let failure = Failure::new(Kind::ContextOverflow, "too long");
        let calls = vec![
            call(&first, Ok(reply("a"))),
            call(&second, Err(failure.clone())),
        ];
        let mut model = Replayed::new(calls.clone());
        assert_eq!(model.reply(&request(&first), &mut Silent).unwrap().id, "a");
        assert_eq!(model.reply(&request(&second), &mut Silent), Err(failure));
        let kind = |model: &mut dyn Model, messages| {
            model
                .reply(&request(messages), &mut Silent)
                .unwrap_err()
                .kind
        };
        assert_eq!(kind(&mut model, &second), Kind::Exhausted);
        let mut other = second.clone();
        other[2] = Message::Results(vec![result("c", "other", false)]);
        let mut model = Replayed::new(calls);
        model.reply(&request(&first), &mut Silent).unwrap();
        assert_eq!(kind(&mut model, &other), Kind::Diverged);
    }
}
