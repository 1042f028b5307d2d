//! Where a run stands that this program's own agent does not work on: another agent's program does, somebody with a
//! client of their own, or a person.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::event::{Agent, Budget, Estimate, Event, Purpose, Spent, Time};
use crate::scaffold::{History, meter};

/// Where a run stands, as its record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What was spent.
    pub spent: Spent,
    /// The limits that were in force last.
    pub limits: Option<Budget>,
    /// Calls of a model, or of a tool by a client, so far.
    pub calls: u64,
    /// Calls of a model that were under way when the run was cut off.
    pub unanswered: Vec<(u64, Estimate)>,
    /// Id and name of the tool that a client had called when the run was cut off.
    pub cut_off: Option<(String, String)>,
    /// Commands so far.
    pub number: u64,
    /// Where the next command starts.
    pub directory: PathBuf,
    /// Whether the work has been submitted.
    pub submitted: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Standing {
            spent: Spent::default(),
            limits: None,
            calls: 0,
            unanswered: Vec::new(),
            cut_off: None,
            number: 0,
            directory: PathBuf::from(crate::WORKSPACE),
            submitted: false,
        }
    }
}

impl Standing {
    /// Reads a record. It is read whole, because calls overlap.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(history: &dyn History) -> Result<Self, String> {
        let mut standing = Standing::default();
        let mut open: BTreeMap<u64, (Estimate, Purpose)> = BTreeMap::new();
        let mut before: Option<Time> = None;
        let (mut began, mut paused) = (false, false);
        let mut agent = Agent::Program;
        history.each(1, u64::MAX, &mut |entry| {
            let passed = match (&entry.event, before) {
                (Event::Attach { .. }, _) | (_, None) => 0,
                (_, Some(before)) if began => entry
                    .time
                    .milliseconds()
                    .saturating_sub(before.milliseconds()),
                _ => 0,
            };
            before = Some(entry.time);
            let spent = &mut standing.spent;
            meter::add(&mut spent.wall_milliseconds, passed);
            if paused {
                meter::add(&mut spent.waited_milliseconds, passed);
            }
            match entry.event {
                Event::Start { agent: of, .. } => agent = of,
                Event::Attach { .. } => {
                    began = true;
                    paused = false;
                }
                Event::Pause => paused = true,
                Event::Continue => paused = false,
                Event::Command { number, .. } => {
                    standing.number = number;
                    meter::add(&mut spent.turns, u64::from(agent == Agent::Person));
                }
                Event::Result {
                    milliseconds,
                    directory,
                    ..
                } => {
                    standing.directory = PathBuf::from(OsString::from_vec(directory.0));
                    if agent != Agent::Program {
                        meter::add(&mut spent.tool_milliseconds, milliseconds);
                    }
                }
                Event::Edit { number, .. } => standing.number = number,
                Event::ToolCall {
                    number, tool, name, ..
                } => {
                    standing.calls = number;
                    standing.cut_off = Some((tool, name));
                    meter::add(&mut spent.turns, 1);
                }
                Event::ToolResult { .. } => standing.cut_off = None,
                Event::Budget { limits } => standing.limits = Some(limits),
                Event::Submit { .. } => standing.submitted = true,
                Event::Call {
                    number,
                    purpose,
                    estimate,
                    ..
                } => {
                    standing.calls = number;
                    open.insert(number, (estimate, purpose));
                }
                Event::Reply {
                    call,
                    usage,
                    attempts,
                    microdollars,
                    ..
                } => {
                    if let Some((estimate, purpose)) = open.remove(&call) {
                        meter::add_answer(spent, &usage, &attempts, microdollars, &estimate);
                        meter::add(&mut spent.turns, u64::from(purpose == Purpose::Turn));
                    }
                }
                Event::CallFailed {
                    call,
                    failure,
                    microdollars,
                    ..
                } => {
                    if let Some((estimate, _)) = open.remove(&call) {
                        meter::add_failure(spent, &failure, microdollars, &estimate);
                    }
                }
                Event::Unanswered { call } => {
                    if let Some((estimate, _)) = open.remove(&call) {
                        meter::add_unanswered(spent, &estimate);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        standing.unanswered = open
            .into_iter()
            .map(|(call, (estimate, _))| (call, estimate))
            .collect();
        Ok(standing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Content, Entry};

    /// Events of a record, each with the second in which it happened.
    struct Record(Vec<Entry>);

    impl Record {
        fn of(lines: &[(u64, &str)]) -> Self {
            let entry = |(place, (second, event)): (usize, &(u64, &str))| {
                let text = format!(
                    r#"{{"seq":{},"time":"2026-11-24T02:{:02}:{:02}.000Z",{event}}}"#,
                    place + 1,
                    second / 60,
                    second % 60
                );
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
            };
            Record(lines.iter().enumerate().map(entry).collect())
        }
    }

    impl History for Record {
        fn last(&self, _: &str) -> Option<u64> {
            None
        }

        fn count(&self, _: &str) -> u64 {
            0
        }

        fn each(
            &self,
            _: u64,
            _: u64,
            each: &mut dyn FnMut(Entry) -> Result<(), String>,
        ) -> Result<(), String> {
            self.0.iter().cloned().try_for_each(each)
        }

        fn bytes(&self, _: &Content) -> Result<Vec<u8>, String> {
            Err("there are none".to_owned())
        }
    }

    fn start(agent: &str) -> String {
        format!(
            r#""type":"start","format":4,"task":"t/p","agent":"{agent}","versions":{{}},"digests":{{}},"limits":{{}}"#
        )
    }

    const ATTACH: &str = r#""type":"attach","process":1"#;
    const COMMAND: &str =
        r#""type":"command","number":1,"script":"ls","directory":"/workspace","terminal":false"#;
    const RESULT: &str = r#""type":"result","number":1,"ending":{"exit":0},"stdout":"","stderr":"","directory":"/tmp","interactive":false,"milliseconds":1500"#;

    #[test]
    fn a_persons_time_leaves_out_what_is_between_sessions_and_knows_pauses() {
        let begun = start("person");
        let record = Record::of(&[
            (0, &begun),
            (5, ATTACH),
            (15, COMMAND),
            (17, RESULT),
            (20, r#""type":"pause""#),
            (50, r#""type":"continue""#),
            (51, r#""type":"end","reason":"left""#),
            (600, ATTACH),
            (601, r#""type":"pause""#),
            (603, r#""type":"end","reason":"stopped""#),
            (900, ATTACH),
            (904, r#""type":"note","text":"hm""#),
        ]);
        let standing = Standing::read(&record).unwrap();
        let spent = standing.spent;
        assert_eq!(spent.wall_milliseconds, 46_000 + 3_000 + 4_000);
        assert_eq!(spent.waited_milliseconds, 30_000 + 2_000);
        assert_eq!((spent.turns, spent.tool_milliseconds), (1, 1500));
        assert_eq!(standing.directory, PathBuf::from("/tmp"));
        assert!(!standing.submitted && standing.cut_off.is_none());
    }

    #[test]
    fn a_clients_call_that_was_cut_off_is_known() {
        let begun = start("client");
        let call = |number: u64| {
            format!(
                r#""type":"tool-call","number":{number},"tool":"call-{number}","name":"bash","arguments":"{{}}","spent":{{"tokens":0,"microdollars":0,"turns":0,"wall-milliseconds":0,"tool-milliseconds":0}}"#
            )
        };
        let (one, two) = (call(1), call(2));
        let record = Record::of(&[
            (0, &begun),
            (0, ATTACH),
            (1, r#""type":"budget","limits":{"turns":9}"#),
            (1, &one),
            (1, COMMAND),
            (3, RESULT),
            (
                3,
                r#""type":"tool-result","tool":"call-1","name":"bash","pieces":[]"#,
            ),
            (4, &two),
        ]);
        let standing = Standing::read(&record).unwrap();
        assert_eq!((standing.calls, standing.spent.turns), (2, 2));
        let cut_off = ("call-2".to_owned(), "bash".to_owned());
        assert_eq!(standing.cut_off, Some(cut_off));
        assert_eq!(standing.limits.unwrap().turns, Some(9));
    }
}
