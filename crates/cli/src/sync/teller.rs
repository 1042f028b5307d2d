//! What `mirrorcode sync` says.

use serde_json::{Value, json};
use store::{Error, Fetched, LeftOut, Store, Stored};

use crate::args::SyncArgs;
use crate::exit::{self, Answer, Failure};
use crate::terminal::Progress;

/// What came of all.
#[derive(Default)]
struct Sum {
    copied: u64,
    were_there: u64,
    left_out: u64,
    damaged: u64,
    bytes: u64,
    uploaded: u64,
    uploaded_bytes: u64,
    replaced: u64,
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// Says what happens, for people or as JSON Lines.
pub(super) struct Teller<'a> {
    arguments: &'a SyncArgs,
    store: String,
    progress: Progress,
    all: usize,
    sum: Sum,
}

impl<'a> Teller<'a> {
    pub(super) fn new(arguments: &'a SyncArgs, store: &Store, all: usize) -> Self {
        Teller {
            arguments,
            store: store.name().to_owned(),
            progress: Progress::new(),
            all,
            sum: Sum::default(),
        }
    }

    fn say(&self, text: &str, value: &Value) {
        self.progress.above(&match self.arguments.json {
            true => value.to_string(),
            false => text.to_owned(),
        });
    }

    pub(super) fn detail(&mut self, id: &str, done: u64, total: u64) {
        let sum = &self.sum;
        let number = sum.copied + sum.were_there + sum.left_out + sum.damaged + 1;
        let (done, total) = (megabytes(done), megabytes(total));
        self.progress
            .detail(&format!("{number}/{} {id} {done} of {total}", self.all));
    }

    pub(super) fn left_out(&mut self, id: &str, reason: &str) {
        self.sum.left_out += 1;
        self.say(
            &format!("{id}: left out: {reason}"),
            &json!({ "event": "left-out", "id": id, "reason": reason }),
        );
    }

    pub(super) fn damaged(&mut self, id: &str, reason: &str) {
        self.sum.damaged += 1;
        self.say(
            &format!("{id}: damaged: {reason}"),
            &json!({ "event": "damaged", "id": id, "reason": reason }),
        );
    }

    pub(super) fn stored(&mut self, id: &str, stored: &Stored) {
        let sum = &mut self.sum;
        match stored.was_there {
            true => sum.were_there += 1,
            false => sum.copied += 1,
        }
        sum.bytes += stored.bytes;
        sum.uploaded += stored.uploaded;
        sum.uploaded_bytes += stored.uploaded_bytes;
        sum.replaced += stored.replaced;
        let mut text = format!("{id}: {} files, {}", stored.files, megabytes(stored.bytes));
        text += &match (stored.was_there, self.arguments.dry_run) {
            (true, _) => "; all there".to_owned(),
            (false, dry) => format!(
                "; {} of {} objects {}, {}",
                stored.uploaded + stored.replaced,
                stored.objects,
                if dry { "to send" } else { "sent" },
                megabytes(stored.uploaded_bytes)
            ),
        };
        if stored.replaced > 0 {
            text += &format!("; {} in place of damaged ones", stored.replaced);
        }
        for LeftOut { path, why } in stored.left_out.iter().take(3) {
            text += &format!("; without {path}: {why}");
        }
        if stored.left_out.len() > 3 {
            text += &format!("; without {} more", stored.left_out.len() - 3);
        }
        self.say(
            &text,
            &json!({
                "event": "stored", "id": id, "files": stored.files, "bytes": stored.bytes, "objects": stored.objects,
                "uploaded": stored.uploaded, "uploaded_bytes": stored.uploaded_bytes, "replaced": stored.replaced,
                "was_there": stored.was_there, "without": stored.left_out,
            }),
        );
    }

    pub(super) fn fetched(&mut self, id: &str, bytes: u64, fetched: &Fetched) {
        self.sum.bytes += bytes;
        let word = match fetched {
            Fetched::New => "fetched",
            Fetched::WasThere => "there",
            Fetched::Differs(path) => {
                return self.left_out(
                    id,
                    &format!("something else of this name is there: it differs in {path}; move it away to get this one"),
                );
            }
        };
        match fetched {
            Fetched::New => self.sum.copied += 1,
            _ => self.sum.were_there += 1,
        }
        self.say(
            &format!("{id}: {word}, {}", megabytes(bytes)),
            &json!({ "event": word, "id": id, "bytes": bytes }),
        );
    }

    pub(super) fn listed(&mut self, id: &str, is_there: bool) {
        let word = match is_there {
            true => "there",
            false => "to fetch",
        };
        match is_there {
            true => self.sum.were_there += 1,
            false => self.sum.copied += 1,
        }
        self.say(
            &format!("{id}: {word}"),
            &json!({ "event": word, "id": id }),
        );
    }

    /// The service, the machine or somebody ended it.
    pub(super) fn stopped(&mut self, error: Error) -> Answer {
        self.progress.finish();
        let sum = &self.sum;
        let done = sum.copied + sum.were_there;
        let failure = Failure::from(error);
        Err(Failure {
            message: format!("{} ({done} of {} are done)", failure.message, self.all),
            ..failure
        })
    }

    pub(super) fn end(mut self) -> Answer {
        self.progress.finish();
        let Sum {
            copied,
            were_there,
            left_out,
            damaged,
            bytes,
            uploaded,
            uploaded_bytes,
            replaced,
        } = self.sum;
        let dry_run = self.arguments.dry_run;
        let mut text = format!(
            "{}: {copied} {}, {were_there} were there, {left_out} left out",
            self.store,
            if dry_run { "to copy" } else { "copied" },
        );
        if damaged > 0 {
            text += &format!(", {damaged} damaged");
        }
        if uploaded + replaced > 0 {
            text += &format!(
                "; {} of {} in {} objects",
                megabytes(uploaded_bytes),
                megabytes(bytes),
                uploaded + replaced
            );
        }
        self.say(
            &text,
            &json!({
                "event": "done", "store": self.store, "dry_run": dry_run, "copied": copied, "were_there": were_there,
                "left_out": left_out, "damaged": damaged, "bytes": bytes, "uploaded": uploaded,
                "uploaded_bytes": uploaded_bytes, "replaced": replaced,
            }),
        );
        match (damaged, left_out) {
            (0, 0) => Ok(exit::DONE),
            (0, _) => Ok(exit::NO),
            _ => Err(Failure::new(
                exit::OUTSIDE,
                format!(
                    "{}: {damaged} of {} are damaged there",
                    self.store, self.all
                ),
            )),
        }
    }
}
