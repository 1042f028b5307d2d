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
    ($($name:literal, $pace:ident, $longest:literal, $reads:literal, $from:literal, $seeds:path, $run:path;)*) => {
        /// Every target.
        pub const TARGETS: &[Target] = &[$(Target {
            name: $name,
            reads: $reads,
            from: $from,
            pace: $pace,
            longest: $longest,
            seeds: $seeds,
            run: $run,
        }),*];
    };
}

/// Whether something that costs more than all the rest is done with an input: one in so many, a power of two.
fn one_in(count: u8, input: &[u8]) -> bool {
    let sum = input.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    sum.is_multiple_of(count)
}

targets! {
    "oracle-request", Memory, 4096, "the body of a call of the reference", "agent", seeds::requests, oracle::request;
    "oracle-stream", Calls, 4096, "a call with its descriptors, and signals after it, from a socket", "agent", seeds::streams, oracle::stream;
    "oracle-files", Calls, 256, "files that arguments of a call name, in a workspace full of links", "agent", seeds::trees, oracle::files;
    "shim", Files, 4096, "what the broker answers, as the shim reads it", "broker", seeds::replies, oracle::shim;
    "worker-wire", Calls, 4096, "messages between a worker's processes", "sandboxed program that took over its runner", seeds::messages, oracle::worker;
    "archive", Files, 4096, "the archive of a root filesystem", "mirror", seeds::archives, files::archive;
    "source-archive", Files, 4096, "the compressed archive of a source package", "registry", seeds::archives, files::source_archive;
    "elf", Calls, 4096, "headers of ELF files", "package", seeds::elf, files::elf;
    "snapshot", Files, 16, "a workspace that is recorded, and restored", "agent", seeds::trees, files::snapshot;
    "submission", Files, 17, "a workspace that is submitted", "agent", seeds::trees, files::submission;
    "edit", Files, 512, "arguments of the `edit` tool, in a workspace full of links", "model", seeds::edits, files::edit;
    "tool-arguments", Memory, 4096, "arguments of `bash` and `evaluate`", "model", seeds::tools, models::tools;
    "told", Memory, 4096, "output of a command, as it is told", "agent", seeds::outputs, models::told;
    "sse", Memory, 4096, "server-sent events, in any pieces", "model server", seeds::streams_of_events, models::sse;
    "anthropic", Memory, 4096, "a streamed reply", "model server", seeds::anthropic, models::anthropic;
    "responses", Memory, 4096, "a streamed reply", "model server", seeds::responses, models::responses;
    "chat", Memory, 4096, "a streamed reply", "model server", seeds::chat, models::chat;
    "gemini", Memory, 4096, "a streamed reply", "model server", seeds::gemini, models::gemini;
    "server-error", Memory, 4096, "an answer that is no stream, and `Retry-After`", "model server", seeds::errors, models::error;
    "cases", Memory, 4096, "JSONL of cases, with bytes in all forms", "author of a target", seeds::cases, cases::cases;
    "target-toml", Memory, 4096, "`target.toml`", "author of a target", seeds::target_toml, cases::target;
    "family-toml", Memory, 4096, "a family", "author of a target", seeds::family_toml, cases::family;
    "draw", Calls, 4096, "a family, of which cases are drawn", "author of a target", seeds::family_toml, cases::draw;
    "language-toml", Memory, 4096, "a language", "author of a language", seeds::language_toml, cases::language;
    "lock-toml", Memory, 4096, "`target.lock`", "author of a target", seeds::lock_toml, cases::lock;
    "prices-toml", Memory, 4096, "a file of prices", "user", seeds::prices_toml, cases::prices;
    "conformity", Memory, 4096, "source files of a submission", "agent", seeds::sources, cases::conformity;
    "difference", Memory, 4096, "output of a submission beside what was expected", "submission", seeds::outputs, cases::difference;
    "verdict", Memory, 4096, "`verdict.json`", "somebody else's score", seeds::verdicts, cases::verdict;
    "names", Memory, 4096, "names of models and tasks, times, digests, amounts, bytes in JSON", "user", seeds::names, cases::names;
    "journal-entry", Memory, 4096, "a line of a journal", "somebody else's run", seeds::entries, runs::entry;
    "journal", Files, 4096, "a journal: read, opened for writing, repaired", "somebody else's run, or a crash", seeds::journals, runs::journal;
    "resume", Memory, 4096, "a journal, as the conversation that it was", "somebody else's run", seeds::journals, runs::resume;
    "run-toml", Calls, 4096, "`run.toml`", "somebody else's run", seeds::run_toml, runs::header;
    "control", Calls, 4096, "`control.json`: orders to a run", "user", seeds::controls, runs::control;
    "functions", Memory, 64, "source code of a reference, of which functions are cut", "registry", seeds::code, screen::functions;
    "answer", Memory, 64, "what a model writes for a function", "model", seeds::code, screen::answer;
    "tree", Files, 4096, "a recorded workspace, restored", "somebody else's run", seeds::lists, runs::tree;
    "bundle", Files, 4096, "a signed bundle of a run: unpacked, and held against itself", "submitter", bundles::seeds, bundles::read;
}
