//! What a run records: one event a line, enough to go on after a crash and to do the work again.
//!
//! A line is a JSON object with a sequence number, a time, the event's type and its fields:
//!
//! ```json
//! {"seq": 12, "time": "2026-11-24T02:10:00.123Z", "type": "command", "number": 4, "script": "ls", ...}
//! ```
//!
//! Which reader reads which writer:
//!
//! | change | what happens |
//! | --- | --- |
//! | a field is added that may be missing | [`FORMAT`] stays; older readers pass over it |
//! | an event type is added, or a field changes its meaning | [`FORMAT`] grows; newer readers read all older journals, older ones refuse newer journals by name |
//!
//! Architecture invariant: no event holds a hidden case, or anything derived from one.

mod recorder;
mod turn;
mod value;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use recorder::{RecordError, Recorder};
pub use turn::{Estimate, Kind, Limits as Budget, Piece, Purpose, Spent, Why};
pub use value::{Bytes, Digest, NotValid, Time};

/// Version of the journal's format that is written, and the newest that is read.
pub const FORMAT: u32 = 4;

/// Longest text that stands in the journal itself, in bytes; longer content is a blob. A file takes a block of
/// 4 KiB on disk, however short it is.
pub const INLINE: usize = 4096;

/// A line of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the line, from 1.
    pub seq: u64,
    /// When it was recorded.
    pub time: Time,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// The run begins; always the first event.
    Start {
        /// [`FORMAT`] of the journal.
        format: u32,
        /// Task, as in `gron/python`.
        task: String,
        /// Who works on it.
        agent: Agent,
        /// Versions of the programs that take part, by name: `mirrorcode`, `kernel`, ...
        versions: BTreeMap<String, String>,
        /// Digests of what the task is made of, by name: `target-lock`, `language`, `rootfs`, ...
        digests: BTreeMap<String, String>,
        /// Limits by name, with the unit in the name: `command-wall-seconds`, `memory-mib`, ...
        limits: BTreeMap<String, u64>,
        /// How it is worked on, by name: `model`, `compaction`, ...
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        options: BTreeMap<String, String>,
    },
    /// A session opens the run again. Processes from before are gone; a command without a result
    /// was cut off, and whatever it did to the workspace is there.
    Attach {
        /// Process id of the new session, on its machine.
        process: u32,
        /// The machine's boot: after another one, files that were written shortly before may be damaged, so the
        /// workspace is restored from the record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
        /// Which of the workers that had the run one after the other this is, from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
    },
    /// A command is about to start.
    Command {
        /// Number of the command in the run, from 1.
        number: u64,
        /// What the shell is given.
        script: Bytes,
        /// Working directory inside the sandbox.
        directory: Bytes,
        /// Whether it has a terminal.
        terminal: bool,
        /// Which tool call of a model asked for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tool: Option<String>,
        /// Whether it goes on in the background as a job of its number; its result is that it was started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        background: bool,
        /// Time that it may take, where that is not the session's limit.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit_milliseconds: Option<u64>,
    },
    /// A command has ended.
    Result {
        /// Number of the command.
        number: u64,
        /// How it ended.
        ending: Ending,
        /// What it wrote on standard output; with a terminal, on that.
        stdout: Content,
        /// What it wrote on standard error.
        stderr: Content,
        /// Working directory after it.
        directory: Bytes,
        /// Whether input was typed while it ran, which a replay cannot repeat.
        interactive: bool,
        /// Time that it took.
        milliseconds: u64,
    },
    /// The workspace is not what it was.
    Workspace {
        /// Number of the command after which it was found so; 0 before the first.
        number: u64,
        /// What it is now.
        tree: TreeHash,
    },
    /// The reference was called and has ended.
    Oracle {
        /// Number of the command in which it was called, where that is known.
        command: Option<u64>,
        /// Arguments, without the program's own name.
        argv: Vec<Bytes>,
        /// Working directory inside the sandbox.
        directory: Bytes,
        /// Standard input, output and error.
        descriptors: [Descriptor; 3],
        /// Files named in the arguments, as they were at the start.
        files: Vec<NamedFile>,
        /// How it ended.
        ending: Ending,
        /// Time that it took.
        milliseconds: u64,
    },
    /// The visible cases were run on the workspace as the last [`Event::Workspace`] left it.
    Evaluate {
        /// Number of the command in which it was asked for, where that is known.
        command: Option<u64>,
        /// Ids of the visible cases that were asked for; empty for all of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cases: Vec<String>,
        /// Whether the submission could be built; when not, no case was run.
        built: bool,
        /// Cases that passed.
        cases_passed: u64,
        /// Cases that were run or should have been.
        cases_total: u64,
        /// What the agent was shown.
        report: Content,
        /// Time that it took.
        milliseconds: u64,
    },
    /// A context begins: what a model is sent from here on before all later messages, replies and tool results.
    Context {
        /// Number of the context in the run, from 1; each later one is a compaction.
        number: u64,
        /// Why it begins.
        why: Why,
        /// The system prompt.
        system: Content,
        /// The tools that are offered, as JSON.
        tools: Content,
        /// A summary that stands in place of what was dropped.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<Content>,
        /// Events that stay in it: first and last sequence number of each stretch.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<(u64, u64)>,
        /// Last tool result of each group among them in place of which a remark is sent.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        cleared: Vec<u64>,
        /// The remark.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        remark: String,
        /// Messages, replies and tool results that are no longer sent.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<(u64, u64)>,
        /// Tokens in the context before, as far as known.
        before_tokens: u64,
        /// Tokens in the new context, estimated.
        after_tokens: u64,
    },
    /// The harness says something to the model.
    Message {
        /// What it is about.
        kind: Kind,
        /// What it says.
        text: Content,
    },
    /// A model is about to be called. It is sent the context of this number and what was recorded since.
    Call {
        /// Number of the call in the run, from 1.
        number: u64,
        /// Turn that it belongs to, from 1.
        turn: u64,
        /// What for.
        purpose: Purpose,
        /// Number of the context that it is sent.
        context: u64,
        /// The most that it can cost.
        estimate: Estimate,
        /// What the run has spent before it.
        spent: Spent,
    },
    /// What another program asks a model, before the call of this number. Its messages are those of an earlier call as
    /// far as both are the same, and then its own.
    Request {
        /// Number of the call.
        call: u64,
        /// The language that it is in.
        dialect: model::Dialect,
        /// The name under which the model was asked for, where that is not its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alias: Option<String>,
        /// The earlier call; 0 for none.
        after: u64,
        /// How many of its messages stand first.
        kept: u64,
        /// The messages after them, each as the program wrote it.
        items: Vec<Content>,
        /// Everything else in it, as JSON.
        rest: Content,
    },
    /// Another program had the tokens of a request counted, which costs nothing.
    Count {
        /// The language that it is in.
        dialect: model::Dialect,
        /// Length of the request.
        bytes: u64,
    },
    /// Another program asked the gateway for something in vain, or a part of what it asked for was left out.
    Refused {
        /// Method and path.
        place: String,
        /// Why: `path`, `model`, `content`, `left-out`, `too-large`, `budget`, `closed` or `provider`.
        reason: String,
        /// What was wrong, in words.
        what: String,
    },
    /// A model has answered.
    Reply {
        /// Number of the call.
        call: u64,
        /// The answer, as JSON, in the form in which it is sent back.
        message: Content,
        /// Why it ends there.
        stop: model::Stop,
        /// What it used, as the provider counts.
        usage: model::Usage,
        /// What it took to get it: attempts that failed, and time lost with them.
        #[serde(default, skip_serializing_if = "is_default")]
        attempts: model::Attempts,
        /// Price of both, in millionths of a dollar; 0 where the price is not known.
        microdollars: u64,
        /// Time from the call to the end of the answer.
        milliseconds: u64,
    },
    /// A call of a model failed and gave no answer.
    CallFailed {
        /// Number of the call.
        call: u64,
        /// Why, and what it took.
        failure: model::Failure,
        /// Price of what it took, in millionths of a dollar.
        microdollars: u64,
        /// Time from the call to the failure.
        milliseconds: u64,
    },
    /// A call was under way when an earlier session was cut off. Its answer is lost; what it can have cost at most is
    /// counted as possible spend.
    Unanswered {
        /// Number of the call.
        call: u64,
    },
    /// A file tool is about to change the workspace. What it is told stands in the reply that called it.
    Edit {
        /// Number in the run, in one series with commands.
        number: u64,
        /// Id of the tool call.
        tool: String,
    },
    /// Somebody who works from outside, with a client of their own, has introduced themselves.
    Client {
        /// Name that the client gives itself.
        name: String,
        /// Version that it gives itself.
        version: String,
        /// How it is connected: `stdio` or `http`.
        transport: String,
    },
    /// A client calls a tool. The call is a turn of the run.
    ToolCall {
        /// Number of the call in the run, from 1.
        number: u64,
        /// Id of the call.
        tool: String,
        /// Name of the tool.
        name: String,
        /// What it is called with, as JSON.
        arguments: Content,
        /// What the run has spent before it.
        spent: Spent,
    },
    /// What a model is told about its tool call.
    ToolResult {
        /// Id of the tool call.
        tool: String,
        /// Name of the tool.
        name: String,
        /// What it is told: text, and stretches of what commands printed.
        pieces: Vec<Piece>,
        /// Whether the call went wrong.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        failed: bool,
    },
    /// These limits hold from here on.
    Budget {
        /// The limits.
        limits: Budget,
    },
    /// A person at work writes something down.
    Note {
        /// What.
        text: Content,
    },
    /// The run waits until it is told to go on.
    Pause,
    /// It goes on.
    Continue,
    /// The agent declares its work done.
    Submit {
        /// What it submits.
        tree: TreeHash,
    },
    /// The run, or one session of it, is over.
    End {
        /// Why.
        reason: Reason,
    },
}

impl Event {
    /// The type of every event, as it is written.
    pub const TYPES: [&str; 26] = [
        "start",
        "attach",
        "command",
        "result",
        "workspace",
        "oracle",
        "evaluate",
        "context",
        "message",
        "call",
        "request",
        "count",
        "refused",
        "reply",
        "call-failed",
        "unanswered",
        "edit",
        "client",
        "tool-call",
        "tool-result",
        "budget",
        "note",
        "pause",
        "continue",
        "submit",
        "end",
    ];
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Who works on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agent {
    /// A model, with the tools of this program.
    Model,
    /// Another program, which speaks to a model through the gateway.
    Program,
    /// Somebody who calls tools from outside, with a client of their own.
    Client,
    /// A person at a shell.
    Person,
    /// The commands of a recorded run, executed again.
    Replay,
}

/// How a command or a call of the reference ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// By itself, with this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// By a limit.
    Limit(Limit),
    /// It could not be started; the number is the system's error code.
    NotStarted(i32),
    /// It was stopped from outside.
    Stopped,
}

/// A limit that was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Time from start to end.
    WallTime,
    /// Processor time.
    CpuTime,
    /// Memory.
    Memory,
    /// Number of processes.
    Processes,
    /// Bytes written on standard output and standard error.
    Output,
    /// Space for files.
    Disk,
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The agent submitted.
    Submitted,
    /// The agent left without submitting; the run can be taken up again.
    Left,
    /// A limit of the run's budget is reached, named as in `turns`; with a higher one it can be taken up again.
    Budget(String),
    /// It was stopped from outside; the run can be taken up again.
    Stopped,
    /// The harness or the machine failed, as this message says; the run can be taken up again.
    Failed(String),
}

/// Bytes that a command wrote: short text as a string, everything else as `{"sha256", "bytes"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a string or {\"sha256\": \"...\", \"bytes\": n}"
)]
pub enum Content {
    /// UTF-8 of at most [`INLINE`] bytes.
    Inline(String),
    /// A blob of the run, or a file that the task provides.
    Blob {
        /// Its name.
        sha256: Digest,
        /// Its length.
        bytes: u64,
    },
}

impl Content {
    /// Number of bytes.
    pub fn bytes(&self) -> u64 {
        match self {
            Content::Inline(text) => text.len() as u64,
            Content::Blob { bytes, .. } => *bytes,
        }
    }

    /// The content of short text; `None` for what must become a blob.
    pub fn inline(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.len() <= INLINE)?;
        Some(Content::Inline(text.to_owned()))
    }
}

/// A state of the workspace: the digest of its list of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TreeHash(pub Digest);

impl std::fmt::Display for TreeHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One of the three descriptors of a call of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// What it was connected to.
    pub kind: DescriptorKind,
    /// Bytes that passed, where they could be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Digest of the bytes that passed, where they could be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// What a descriptor is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescriptorKind {
    /// Nothing.
    Closed,
    /// `/dev/null`.
    Null,
    /// A regular file.
    File,
    /// A pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal.
    Terminal,
    /// Something else.
    Other,
}

/// A file that an argument names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedFile {
    /// Absolute path inside the sandbox.
    pub path: Bytes,
    /// Its length.
    pub bytes: u64,
    /// Digest of its content.
    pub sha256: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str) {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let kind = serde_json::to_value(&entry).unwrap()["type"].clone();
        assert!(Event::TYPES.iter().any(|known| kind == *known), "{kind}");
        assert_eq!(serde_json::to_string(&entry).unwrap(), line);
    }

    #[test]
    fn format_4() {
        check(
            r#"{"seq":1,"time":"2026-11-24T02:10:00.123Z","type":"request","call":3,"dialect":"anthropic","alias":"small","after":2,"kept":7,"items":["{\"role\":\"user\"}"],"rest":"{}"}"#,
        );
        check(
            r#"{"seq":2,"time":"2026-11-24T02:10:00.123Z","type":"refused","place":"POST /v1/files","reason":"path","what":"it is not here"}"#,
        );
    }

    /// What is written today must be read for ever: add lines here, never change them.
    #[test]
    fn format_1() {
        let digest = "0123456789abcdef".repeat(4);
        check(
            r#"{"seq":1,"time":"2026-11-24T02:10:00.123Z","type":"start","format":1,"task":"gron/python","agent":"person","versions":{"mirrorcode":"0.1.0"},"digests":{},"limits":{"memory-mib":512}}"#,
        );
        check(r#"{"seq":2,"time":"2026-11-24T02:10:00.123Z","type":"attach","process":77}"#);
        check(
            r#"{"seq":3,"time":"2026-11-24T02:10:00.123Z","type":"command","number":1,"script":"ls","directory":{"base64":"L/8="},"terminal":false}"#,
        );
        check(&format!(
            r#"{{"seq":4,"time":"2026-11-24T02:10:00.123Z","type":"result","number":1,"ending":{{"limit":"wall-time"}},"stdout":"a\n","stderr":{{"sha256":"{digest}","bytes":4096}},"directory":"/workspace","interactive":false,"milliseconds":3}}"#
        ));
        check(&format!(
            r#"{{"seq":5,"time":"2026-11-24T02:10:00.123Z","type":"workspace","number":1,"tree":"{digest}"}}"#
        ));
        check(&format!(
            r#"{{"seq":6,"time":"2026-11-24T02:10:00.123Z","type":"oracle","command":null,"argv":["a.json"],"directory":"/workspace","descriptors":[{{"kind":"closed"}},{{"kind":"pipe","bytes":3}},{{"kind":"file","bytes":3,"sha256":"{digest}"}}],"files":[{{"path":"/workspace/a.json","bytes":2,"sha256":"{digest}"}}],"ending":{{"signal":11}},"milliseconds":3}}"#
        ));
        check(
            r#"{"seq":7,"time":"2026-11-24T02:10:00.123Z","type":"evaluate","command":2,"built":true,"cases_passed":3,"cases_total":4,"report":"","milliseconds":3}"#,
        );
        check(&format!(
            r#"{{"seq":8,"time":"2026-11-24T02:10:00.123Z","type":"submit","tree":"{digest}"}}"#
        ));
        check(r#"{"seq":9,"time":"2026-11-24T02:10:00.123Z","type":"end","reason":"submitted"}"#);
        check(
            r#"{"seq":10,"time":"2026-11-24T02:10:00.123Z","type":"end","reason":{"failed":"disk full"}}"#,
        );
    }

    #[test]
    fn format_2() {
        let digest = "0123456789abcdef".repeat(4);
        check(
            r#"{"seq":1,"time":"2026-11-24T02:10:00.123Z","type":"start","format":2,"task":"gron/python","agent":"model","versions":{},"digests":{},"limits":{}}"#,
        );
        check(
            r#"{"seq":2,"time":"2026-11-24T02:10:00.123Z","type":"attach","process":77,"boot":"b"}"#,
        );
        check(
            r#"{"seq":3,"time":"2026-11-24T02:10:00.123Z","type":"command","number":1,"script":"make","directory":"/workspace","terminal":false,"tool":"call-1-1","background":true,"limit_milliseconds":300000}"#,
        );
        check(&format!(
            r#"{{"seq":4,"time":"2026-11-24T02:10:00.123Z","type":"context","number":2,"why":"clear","system":"s","tools":{{"sha256":"{digest}","bytes":9000}},"summary":"what was done","kept":[[2,2],[90,99]],"cleared":[92],"remark":"gone","dropped":[[3,89]],"before_tokens":90,"after_tokens":40}}"#
        ));
        check(
            r#"{"seq":5,"time":"2026-11-24T02:10:00.123Z","type":"message","kind":"go-on","text":"Go on."}"#,
        );
        check(
            r#"{"seq":6,"time":"2026-11-24T02:10:00.123Z","type":"call","number":1,"turn":1,"purpose":"turn","context":1,"estimate":{"input-tokens":10,"output-tokens":20,"microdollars":30},"spent":{"tokens":0,"microdollars":0,"possible-tokens":5,"turns":0,"wall-milliseconds":7,"tool-milliseconds":0}}"#,
        );
        check(
            r#"{"seq":7,"time":"2026-11-24T02:10:00.123Z","type":"reply","call":1,"message":"[]","stop":"tool-use","usage":{"input":10,"cache_read":0,"cache_write":0,"cache_write_hour":0,"output":5,"reasoning":0},"microdollars":9,"milliseconds":3}"#,
        );
        check(
            r#"{"seq":8,"time":"2026-11-24T02:10:00.123Z","type":"call-failed","call":2,"failure":{"kind":"server","message":"","status":500,"spent":"nothing","attempts":{"failed":1,"waited_ms":20,"lost":{"input":0,"cache_read":0,"cache_write":0,"cache_write_hour":0,"output":0,"reasoning":0},"unknown":0}},"microdollars":0,"milliseconds":3}"#,
        );
        check(r#"{"seq":9,"time":"2026-11-24T02:10:00.123Z","type":"unanswered","call":3}"#);
        check(
            r#"{"seq":10,"time":"2026-11-24T02:10:00.123Z","type":"edit","number":4,"tool":"call-3-1"}"#,
        );
        check(
            r#"{"seq":11,"time":"2026-11-24T02:10:00.123Z","type":"tool-result","tool":"call-1-1","name":"bash","pieces":[{"output":{"command":1,"from":0,"bytes":10}},{"text":"[exit status 1]"}],"failed":true}"#,
        );
        check(
            r#"{"seq":12,"time":"2026-11-24T02:10:00.123Z","type":"budget","limits":{"tokens":1000,"wall-seconds":60}}"#,
        );
        check(r#"{"seq":13,"time":"2026-11-24T02:10:00.123Z","type":"pause"}"#);
        check(
            r#"{"seq":13,"time":"2026-11-24T02:10:00.123Z","type":"client","name":"c","version":"1","transport":"stdio"}"#,
        );
        check(
            r#"{"seq":13,"time":"2026-11-24T02:10:00.123Z","type":"tool-call","number":1,"tool":"call-1","name":"bash","arguments":"{}","spent":{"tokens":0,"microdollars":0,"turns":0,"wall-milliseconds":1,"tool-milliseconds":0}}"#,
        );
        check(r#"{"seq":13,"time":"2026-11-24T02:10:00.123Z","type":"note","text":"hm"}"#);
        check(
            r#"{"seq":13,"time":"2026-11-24T02:10:00.123Z","type":"count","dialect":"anthropic","bytes":9}"#,
        );
        check(r#"{"seq":14,"time":"2026-11-24T02:10:00.123Z","type":"continue"}"#);
        check(
            r#"{"seq":15,"time":"2026-11-24T02:10:00.123Z","type":"end","reason":{"budget":"turns"}}"#,
        );
    }

    #[test]
    fn short_text_is_inline() {
        assert_eq!(Content::inline(b"a\n"), Some(Content::Inline("a\n".into())));
        assert_eq!(
            Content::inline(&[b'x'; INLINE]).map(|content| content.bytes()),
            Some(INLINE as u64)
        );
        assert_eq!(Content::inline(&[b'x'; INLINE + 1]), None);
        assert_eq!(Content::inline(b"\xff"), None);
    }
}
