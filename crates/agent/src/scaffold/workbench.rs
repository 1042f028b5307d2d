//! The tools: a shell, files, the visible tests, and the end of the work.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use model::{Raw, Tool};
use serde::Deserialize;

use super::ask::{self, Ask};
use super::files::{self, Action, Change, Place};
use super::told::{self, Told};
use crate::event::{Ending, Event, Limit};
use crate::session::{CommandOutcome, Error, Request, Session, TASK, WORKSPACE};

/// Seconds that a command may take when its caller names none.
const USUAL_SECONDS: u64 = 300;

/// A call of a tool.
#[derive(Clone, Copy, Debug)]
pub struct ToolCall<'a> {
    /// Names the call.
    pub id: &'a str,
    /// Name of the tool.
    pub name: &'a str,
    /// What it is called with, as the model wrote it.
    pub arguments: &'a str,
}

/// Tools that a model can call.
pub trait Tools {
    /// What is offered.
    fn tools(&self) -> Vec<Tool>;

    /// Does what a call asks, within this time. Whatever changes something outside is recorded and durable before it
    /// begins. A call that makes no sense is an answer, not an error.
    ///
    /// # Errors
    /// When the run cannot go on.
    fn call(&mut self, call: &ToolCall<'_>, time: Option<Duration>) -> Result<Told, Error>;

    /// Answers a call whose command ended before the harness was cut off.
    ///
    /// # Errors
    /// When the run cannot go on.
    fn ended(&mut self, number: u64, ending: Ending, printed: &[u8]) -> Result<Told, Error>;
}

/// The tools of a session.
pub struct Workbench<'a> {
    session: &'a mut Session,
    command_limit: Duration,
    places: Vec<Place>,
    /// Whether the program to be rebuilt is a tool of its own.
    oracle: bool,
}

#[derive(Deserialize)]
pub(super) struct Bash {
    command: String,
    timeout: Option<f64>,
    #[serde(default)]
    background: bool,
}

impl Bash {
    /// Time that the command gets: what was asked for, as far as that makes sense and is allowed.
    pub(super) fn time(&self, most: Duration) -> Duration {
        let seconds = self
            .timeout
            .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
            .unwrap_or(USUAL_SECONDS as f64);
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(most)
            .min(most)
    }
}

#[derive(Deserialize)]
pub(super) struct Evaluate {
    #[serde(default)]
    cases: Vec<String>,
}

impl Evaluate {
    /// What a shell is told to run.
    pub(super) fn script(&self) -> String {
        let words: Vec<String> = self.cases.iter().map(|case| quote(case)).collect();
        format!("evaluate {}", words.join(" "))
            .trim_end()
            .to_owned()
    }
}

pub(super) fn tool(name: &str, description: &str, schema: &str) -> Tool {
    Tool {
        name: name.to_owned(),
        description: description.to_owned(),
        schema: Raw::new(schema).expect("schemas are constants of this program"),
    }
}

/// The directories in which files can be looked at and changed.
fn places(session: &Session) -> Vec<Place> {
    let setting = session.setting();
    let place = |inside, host: &std::path::Path, writable| Place {
        inside,
        host: host.to_owned(),
        writable,
    };
    vec![
        place(WORKSPACE, &setting.workspace, true),
        place(TASK, &setting.task, false),
        place("/tmp", &setting.scratch, true),
    ]
}

/// Does a recorded edit again; gives what a model would be told.
///
/// # Errors
/// When the workspace cannot be recorded.
pub(crate) fn edit_again(session: &mut Session, arguments: &str) -> Result<String, Error> {
    session.next_number();
    let done = match serde_json::from_str::<Change>(arguments) {
        Ok(change) => files::apply(&places(session), &change),
        Err(error) => Err(error.to_string()),
    };
    session.record_workspace()?;
    Ok(done.unwrap_or_else(|error| error))
}

impl<'a> Workbench<'a> {
    /// Tools on this session; no command may take longer than `command_limit`.
    pub fn new(session: &'a mut Session, command_limit: Duration) -> Self {
        let places = places(session);
        Workbench {
            session,
            command_limit,
            places,
            oracle: false,
        }
    }

    /// The same tools, and the program to be rebuilt as one more.
    pub fn with_oracle(self) -> Self {
        Workbench {
            oracle: true,
            ..self
        }
    }

    /// From here on, a command is ended when the flag is raised.
    pub(crate) fn stop_when(&mut self, flag: Arc<AtomicBool>) {
        self.session.stop_when(flag);
    }

    fn fail(&self, text: &str) -> Result<Told, Error> {
        Ok(Told::fail(self.session.ledger(), text)?)
    }

    fn bash(&mut self, id: &str, bash: &Bash, time: Option<Duration>) -> Result<Told, Error> {
        if bash.command.contains('\0') {
            return self.fail("a command cannot contain a zero byte");
        }
        let limit = bash.time(self.command_limit);
        let wall = time.map_or(limit, |left| left.min(limit));
        self.run(id, bash.command.as_bytes(), wall, bash.background)
    }

    fn run(
        &mut self,
        id: &str,
        script: &[u8],
        wall: Duration,
        background: bool,
    ) -> Result<Told, Error> {
        let request = Request {
            script,
            tool: Some(id),
            wall: Some(wall),
            merged: true,
            background,
        };
        let outcome = self.session.run(&request, b"", &mut |_, _| {})?;
        let mut told = self.describe(&outcome, background)?;
        for (job, status) in &outcome.finished {
            let text = format!("[job {job} has ended with status {status}]\n");
            told.add(self.session.ledger(), &text)?;
        }
        if let Some(problem) = &outcome.unrecorded {
            let text = format!("[{problem}; until then, nothing of the workspace is kept]\n");
            told.add(self.session.ledger(), &text)?;
        }
        Ok(told)
    }

    fn describe(&self, outcome: &CommandOutcome, background: bool) -> Result<Told, Error> {
        let ledger = self.session.ledger();
        if background && outcome.ending == Ending::Exit(0) {
            let job = outcome.number;
            let text = format!(
                "[job {job} goes on in the background; its output goes to /tmp/jobs/{job}.txt, its process number is in \
                 /tmp/jobs/{job}.pid, and its status will be in /tmp/jobs/{job}.status]\n"
            );
            return Ok(Told::say(ledger, &text)?);
        }
        self.told(outcome.number, outcome.ending, &outcome.stdout)
    }

    fn told(&self, number: u64, ending: Ending, printed: &[u8]) -> Result<Told, Error> {
        let ledger = self.session.ledger();
        let mut told = Told::default();
        let (head, tail) = told::stretches(printed);
        told.output(number, printed, head.clone());
        if let Some(tail) = tail {
            let left_out = tail.start - head.end;
            let scratch = &self.session.setting().scratch;
            let whole = match files::keep_output(scratch, number, printed) {
                Some(path) => format!("; all of it is in {path}"),
                None => String::new(),
            };
            told.add(
                ledger,
                &format!("\n[... {left_out} bytes are left out here{whole} ...]\n"),
            )?;
            told.output(number, printed, tail);
        }
        if !printed.is_empty() && !printed.ends_with(b"\n") {
            told.add(ledger, "\n")?;
        }
        let remark = match ending {
            Ending::Exit(0) if printed.is_empty() => "[no output]\n".to_owned(),
            Ending::Exit(0) => String::new(),
            Ending::Exit(status) => format!("[exit status {status}]\n"),
            Ending::Signal(signal) => format!("[ended by signal {signal}]\n"),
            Ending::Stopped => {
                "[stopped by whoever runs this; it may have been done in part]\n".to_owned()
            }
            Ending::NotStarted(code) => format!("[the shell could not be started: error {code}]\n"),
            Ending::Limit(limit) => format!(
                "[ended by a limit: {}; all processes of the command were ended with it]\n",
                match limit {
                    Limit::WallTime => "it took too long",
                    Limit::CpuTime => "processor time",
                    Limit::Memory => "memory",
                    Limit::Processes => "number of processes",
                    Limit::Output => "it printed too much",
                    Limit::Disk => "size of a file",
                }
            ),
        };
        if !remark.is_empty() {
            told.add(ledger, &remark)?;
        }
        told.failed = !matches!(ending, Ending::Exit(_) | Ending::Signal(_));
        Ok(told)
    }

    fn edit(&mut self, id: &str, change: &Change) -> Result<Told, Error> {
        let mut number = None;
        if change.action != Action::View {
            let next = self.session.next_number();
            self.session.ledger().record(Event::Edit {
                number: next,
                tool: id.to_owned(),
            })?;
            number = Some(next);
        }
        let done = files::apply(&self.places, change);
        if let Some(number) = number {
            let workspace = self.session.setting().workspace.clone();
            self.session.ledger().snapshot(&workspace, number)?;
        }
        match done {
            Ok(text) => Ok(Told::say(self.session.ledger(), &text)?),
            Err(text) => self.fail(&text),
        }
    }
}

/// A word that a shell takes as it is.
pub(super) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The tools of a session whose commands may take so long; with the program to be rebuilt, under its name, as one of them.
pub fn offered(command_limit: Duration, oracle: Option<&str>) -> Vec<Tool> {
    let bash = format!(
        "Run a command in bash. Standard output and standard error come back together, in order. The working directory \
             and exported variables carry over to the next command. There is no terminal and no input. A command is ended \
             after `timeout` seconds ({USUAL_SECONDS} if not given, {} at most), with every process that it started. With \
             `background` it goes on as a job while you do other things.",
        command_limit.as_secs()
    );
    let mut tools = vec![
        tool(
            "bash",
            &bash,
            r#"{"type":"object","properties":{"command":{"type":"string","description":"What bash is to run; several lines are fine."},"timeout":{"type":"number","description":"Seconds that it may take."},"background":{"type":"boolean","description":"Start it as a job and come back at once."}},"required":["command"]}"#,
        ),
        tool(
            "edit",
            "Look at a file or change it. `view` shows it with line numbers (`lines`: first and last), or lists a \
                 directory. `create` writes `text` as the whole file, new or not. `replace` puts `new` in place of `old`, \
                 which must stand in the file exactly once. `insert` puts `text` after `line` (0: at the beginning).",
            r#"{"type":"object","properties":{"action":{"type":"string","enum":["view","create","replace","insert"]},"path":{"type":"string","description":"Absolute, or from /workspace on."},"text":{"type":"string"},"old":{"type":"string"},"new":{"type":"string"},"line":{"type":"integer","minimum":0},"lines":{"type":"array","items":{"type":"integer","minimum":1},"minItems":2,"maxItems":2}},"required":["action","path"]}"#,
        ),
        tool(
            "evaluate",
            "Build the workspace as scoring does and run the visible tests, all of them or those named. Says which fail \
                 and how.",
            r#"{"type":"object","properties":{"cases":{"type":"array","items":{"type":"string"},"description":"Families or test ids; all tests if missing."}}}"#,
        ),
        tool(
            "submit",
            "End the work: the workspace as it is now is the submission.",
            r#"{"type":"object","properties":{}}"#,
        ),
    ];
    if let Some(command) = oracle {
        tools.push(ask::tool(command));
    }
    tools
}

impl Tools for Workbench<'_> {
    fn tools(&self) -> Vec<Tool> {
        let oracle = self
            .oracle
            .then(|| self.session.setting().reference.name.clone());
        offered(self.command_limit, oracle.as_deref())
    }

    fn call(&mut self, call: &ToolCall<'_>, time: Option<Duration>) -> Result<Told, Error> {
        let limit = self.command_limit;
        let whole = time.map_or(limit, |left| left.min(limit));
        let wrong = |error: serde_json::Error| {
            format!("the arguments of `{}` are wrong: {error}", call.name)
        };
        // Some models write nothing at all where there is nothing to say.
        let arguments = match call.arguments.trim() {
            "" => "{}",
            arguments => arguments,
        };
        match call.name {
            "bash" => match serde_json::from_str::<Bash>(arguments) {
                Ok(bash) => self.bash(call.id, &bash, time),
                Err(error) => self.fail(&wrong(error)),
            },
            "edit" => match serde_json::from_str::<Change>(arguments) {
                Ok(change) => self.edit(call.id, &change),
                Err(error) => self.fail(&wrong(error)),
            },
            "evaluate" => match serde_json::from_str::<Evaluate>(arguments) {
                Ok(evaluate) => self.run(call.id, evaluate.script().as_bytes(), whole, false),
                Err(error) => self.fail(&wrong(error)),
            },
            "submit" => self.run(call.id, b"submit", whole, false),
            ask::NAME if self.oracle => {
                let command = self.session.setting().reference.name.clone();
                let script = serde_json::from_str::<Ask>(arguments)
                    .map_err(wrong)
                    .and_then(|ask| ask.script(&command));
                match script {
                    Ok(script) => self.run(call.id, script.as_bytes(), whole, false),
                    Err(error) => self.fail(&error),
                }
            }
            name => {
                let tools = self.tools();
                let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
                self.fail(&format!(
                    "there is no tool `{name}`: there are {}",
                    names.join(", ")
                ))
            }
        }
    }

    fn ended(&mut self, number: u64, ending: Ending, printed: &[u8]) -> Result<Told, Error> {
        self.told(number, ending, printed)
    }
}
