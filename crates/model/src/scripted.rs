//! A model that says what a script says.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::{Block, Failure, Kind, Model, Reply, Request, Stop, Usage, Watch};

/// A model that says what a script says, turn by turn, whatever it is asked.
///
/// A script is JSON:
///
/// ```json
/// {"turns": [
///   {"text": "Let me look.", "calls": [{"name": "shell", "input": {"script": "ls"}}]},
///   {"failure": "overloaded"},
///   {"text": "Done.", "usage": {"input": 10, "cache_read": 0, "cache_write": 0, "output": 5, "reasoning": 0}}
/// ]}
/// ```
///
/// A call has the id `call-TURN-NUMBER`, both from 1. Without `stop` a turn with calls ends with
/// [`Stop::ToolUse`], another with [`Stop::End`]. Without `usage` four bytes of the conversation's JSON
/// count as a token, and what was sent before counts as read from a cache.
#[derive(Debug)]
pub struct Scripted {
    turns: Vec<Turn>,
    next: usize,
    sent: u64,
}

/// A script that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("the script cannot be read")]
    Read(#[from] std::io::Error),
    /// It is not what a script should be.
    #[error("the script is wrong: {0}")]
    Wrong(#[from] serde_json::Error),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    turns: Vec<Turn>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    #[serde(default)]
    text: String,
    #[serde(default)]
    calls: Vec<Call>,
    stop: Option<Stop>,
    usage: Option<Usage>,
    failure: Option<Kind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    /// A string stands for itself, so that a script can have wrong JSON.
    input: Value,
}

impl Scripted {
    /// Reads a script.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Script = serde_json::from_str(text)?;
        Ok(Scripted {
            turns: script.turns,
            next: 0,
            sent: 0,
        })
    }

    /// Reads a script from a file.
    ///
    /// # Errors
    /// When it cannot be read or is not one.
    pub fn open(path: &Path) -> Result<Self, ScriptError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    /// Passes over so many turns, for a run that is taken up again: the replies that it has recorded.
    /// Turns that are failures are passed over with them.
    #[must_use]
    pub fn skip(mut self, replies: usize) -> Self {
        for _ in 0..replies {
            while self
                .turns
                .get(self.next)
                .is_some_and(|turn| turn.failure.is_some())
            {
                self.next += 1;
            }
            self.next += 1;
        }
        self
    }

    fn estimate(&mut self, request: &Request<'_>, blocks: &[Block]) -> Usage {
        let tokens = |bytes: usize| bytes.div_ceil(4) as u64;
        let sent = tokens(serde_json::to_vec(request).unwrap_or_default().len());
        let cache_read = self.sent.min(sent);
        self.sent = sent;
        Usage {
            cache_read,
            cache_write: sent - cache_read,
            output: tokens(serde_json::to_vec(blocks).unwrap_or_default().len()),
            ..Usage::default()
        }
    }
}

impl Model for Scripted {
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        if watch.stop() {
            return Err(Failure::new(Kind::Stopped, ""));
        }
        let number = self.next + 1;
        let Some(turn) = self.turns.get(self.next) else {
            let message = format!("the script has {} turns", self.turns.len());
            return Err(Failure::new(Kind::Exhausted, message));
        };
        self.next += 1;
        if let Some(kind) = turn.failure {
            return Err(Failure::new(kind, format!("turn {number} of the script")));
        }
        let text = (!turn.text.is_empty()).then(|| Block::text(&turn.text));
        let calls = turn
            .calls
            .iter()
            .zip(1..)
            .map(|(call, count)| Block::ToolCall {
                id: format!("call-{number}-{count}"),
                name: call.name.clone(),
                arguments: match &call.input {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
                kept: None,
            });
        let blocks: Vec<Block> = text.into_iter().chain(calls).collect();
        let stop = turn.stop.clone().unwrap_or(match turn.calls.len() {
            0 => Stop::End,
            _ => Stop::ToolUse,
        });
        let usage = turn.usage;
        let usage = usage.unwrap_or_else(|| self.estimate(request, &blocks));
        Ok(Reply {
            blocks,
            stop,
            usage,
            model: "scripted".to_owned(),
            id: format!("scripted-{number}"),
            attempts: Default::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CacheTime, Message, Settings, Silent, Thinking};

    const SCRIPT: &str = r#"{"turns": [
        {"text": "Let me look.", "calls": [{"name": "shell", "input": {"b": 1, "a": 2}}, {"name": "shell", "input": "{"}]},
        {"failure": {"rate-limited": {"retry_after_ms": 5}}},
        {"text": "Done.", "usage": {"input": 10, "cache_read": 0, "cache_write": 0, "output": 5, "reasoning": 0}}
    ]}"#;

    fn settings() -> Settings {
        Settings {
            max_output_tokens: 100,
            thinking: Thinking::Default,
            cache_key: "run".to_owned(),
            cache_time: CacheTime::Minutes5,
            extra: None,
        }
    }

    fn ask(model: &mut dyn Model, messages: &[Message]) -> Result<Reply, Failure> {
        let request = Request {
            system: "",
            messages,
            stable: 0,
            tools: &[],
            settings: &settings(),
        };
        model.reply(&request, &mut Silent)
    }

    #[test]
    fn it_says_what_the_script_says() {
        let mut model = Scripted::parse(SCRIPT).unwrap();
        let messages = [Message::User("Go".to_owned())];
        let reply = ask(&mut model, &messages).unwrap();
        assert_eq!(
            serde_json::to_string(&reply.blocks).unwrap(),
            r#"[{"text":{"text":"Let me look."}},{"tool-call":{"id":"call-1-1","name":"shell","arguments":"{\"b\":1,\"a\":2}"}},{"tool-call":{"id":"call-1-2","name":"shell","arguments":"{"}}]"#
        );
        assert_eq!(reply.stop, Stop::ToolUse);
        assert!(reply.usage.cache_write > 0 && reply.usage.output > 0);
        let failure = ask(&mut model, &messages).unwrap_err();
        assert_eq!(
            failure.kind,
            Kind::RateLimited {
                retry_after_ms: Some(5)
            }
        );
        let reply = ask(&mut model, &messages).unwrap();
        assert_eq!((reply.usage.input, reply.stop), (10, Stop::End));
        assert_eq!(
            ask(&mut model, &messages).unwrap_err().kind,
            Kind::Exhausted
        );
    }

    #[test]
    fn a_run_that_is_taken_up_again_goes_on() {
        let mut model = Scripted::parse(SCRIPT).unwrap().skip(1);
        assert!(ask(&mut model, &[]).is_err());
        assert_eq!(ask(&mut model, &[]).unwrap().id, "scripted-3");
        let mut model = Scripted::parse(SCRIPT).unwrap().skip(2);
        assert_eq!(ask(&mut model, &[]).unwrap_err().kind, Kind::Exhausted);
    }

    #[test]
    fn a_wrong_script_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"turns": [{"txt": "a"}]}"#,
            r#"{"turns": [{"failure": "tired"}]}"#,
        ] {
            assert!(Scripted::parse(text).is_err(), "{text}");
        }
    }
}
