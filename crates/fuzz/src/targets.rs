//! The targets, by what they read.

mod bundles;
mod cases;
mod files;
mod models;
mod oracle;
mod runs;
mod screen;

use crate::Pace::{Calls, Files, Memory};
use crate::{Target, seeds};

macro_rules! targets {
    ($($name:literal, $pace:ident, $reads:literal, $from:literal, $seeds:path, $run:path;)*) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: $name,
            reads: $reads,
            from: $from,
            pace: $pace,
            seeds: $seeds,
            run: $run,
        }),*];
    };
}

targets! {
    "oracle-request", Memory, "the body of a call of the reference", "agent", seeds::requests, oracle::request;
    "oracle-stream", Calls, "a call with its descriptors, and signals after it, from a socket", "agent", seeds::streams, oracle::stream;
    "oracle-files", Calls, "files that arguments of a call name, in a workspace full of links", "agent", seeds::trees, oracle::files;
    "shim", Files, "what the broker answers, as the shim reads it", "broker", seeds::replies, oracle::shim;
    "worker-wire", Calls, "messages between a worker's processes", "sandboxed program that took over its runner", seeds::messages, oracle::worker;
    "archive", Files, "the archive of a root filesystem", "mirror", seeds::archives, files::archive;
    "source-archive", Files, "the compressed archive of a source package", "registry", seeds::archives, files::source_archive;
    "elf", Calls, "headers of ELF files", "package", seeds::elf, files::elf;
    "snapshot", Files, "a workspace that is recorded, and restored", "agent", seeds::trees, files::snapshot;
    "submission", Files, "a workspace that is submitted", "agent", seeds::trees, files::submission;
    "edit", Files, "arguments of the `edit` tool, in a workspace full of links", "model", seeds::edits, files::edit;
    "tool-arguments", Memory, "arguments of `bash` and `evaluate`", "model", seeds::tools, models::tools;
    "told", Memory, "output of a command, as it is told", "agent", seeds::outputs, models::told;
    "sse", Memory, "server-sent events, in any pieces", "model server", seeds::streams_of_events, models::sse;
    "anthropic", Memory, "a streamed reply", "model server", seeds::anthropic, models::anthropic;
    "responses", Memory, "a streamed reply", "model server", seeds::responses, models::responses;
    "chat", Memory, "a streamed reply", "model server", seeds::chat, models::chat;
    "gemini", Memory, "a streamed reply", "model server", seeds::gemini, models::gemini;
    "server-error", Memory, "an answer that is no stream, and `Retry-After`", "model server", seeds::errors, models::error;
    "cases", Memory, "JSONL of cases, with bytes in all forms", "author of a target", seeds::cases, cases::cases;
    "target-toml", Memory, "`target.toml`", "author of a target", seeds::target_toml, cases::target;
    "family-toml", Memory, "a family", "author of a target", seeds::family_toml, cases::family;
    "draw", Calls, "a family, of which cases are drawn", "author of a target", seeds::family_toml, cases::draw;
    "language-toml", Memory, "a language", "author of a language", seeds::language_toml, cases::language;
    "lock-toml", Memory, "`target.lock`", "author of a target", seeds::lock_toml, cases::lock;
    "prices-toml", Memory, "a file of prices", "user", seeds::prices_toml, cases::prices;
    "conformity", Memory, "source files of a submission", "agent", seeds::sources, cases::conformity;
    "difference", Memory, "output of a submission beside what was expected", "submission", seeds::outputs, cases::difference;
    "verdict", Memory, "`verdict.json`", "somebody else's score", seeds::verdicts, cases::verdict;
    "names", Memory, "names of models and tasks, times, digests, amounts, bytes in JSON", "user", seeds::names, cases::names;
    "journal-entry", Memory, "a line of a journal", "somebody else's run", seeds::entries, runs::entry;
    "journal", Files, "a journal: read, opened for writing, repaired", "somebody else's run, or a crash", seeds::journals, runs::journal;
    "resume", Memory, "a journal, as the conversation that it was", "somebody else's run", seeds::journals, runs::resume;
    "run-toml", Calls, "`run.toml`", "somebody else's run", seeds::run_toml, runs::header;
    "control", Calls, "`control.json`: orders to a run", "user", seeds::controls, runs::control;
    "functions", Memory, "source code of a reference, of which functions are cut", "registry", seeds::code, screen::functions;
    "answer", Memory, "what a model writes for a function", "model", seeds::code, screen::answer;
    "tree", Files, "a recorded workspace, restored", "somebody else's run", seeds::lists, runs::tree;
    "bundle", Files, "a signed bundle of a run: unpacked, and held against itself", "submitter", bundles::seeds, bundles::read;
}
