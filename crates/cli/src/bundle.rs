//! `mirrorcode bundle`: a run as one signed file, and what such a file is worth.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use bundle::{Error, Limits, PublicKey, SecretKey};
use clap::Args;
use sandbox::TemporaryDirectory;
use serde_json::json;

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::terminal;
use crate::whole::Whole;

/// Where the password of a protected key is looked for.
const PASSWORD: &str = "MIRRORCODE_KEY_PASSWORD";

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// Run, by id or directory
    #[arg(required_unless_present_any = ["check", "new_key"])]
    pub(crate) run: Option<String>,
    /// File for the bundle
    #[arg(short, long, value_name = "FILE", required_unless_present_any = ["check", "new_key"])]
    pub(crate) out: Option<PathBuf>,
    /// Secret key of minisign that signs the bundle; the password of one that has one is taken from
    /// MIRRORCODE_KEY_PASSWORD
    #[arg(long, env = "MIRRORCODE_KEY", value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Read a bundle, and say whether it holds
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "out", "new_key"])]
    pub(crate) check: Option<PathBuf>,
    /// Public key of minisign that the bundle has to be signed with
    #[arg(long, value_name = "FILE", requires = "check")]
    pub(crate) public_key: Option<PathBuf>,
    /// Make a pair of keys without a password: the secret one in this file, the public one beside it in FILE.pub
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "out"])]
    pub(crate) new_key: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Run(error) => error.into(),
            Error::Io { path, source, .. } => Failure::io(&path, &source),
            error => Failure::usage(error),
        }
    }
}

pub(crate) fn run(context: &Context, arguments: &BundleArgs) -> Answer {
    if let Some(path) = &arguments.new_key {
        return new_key(path);
    }
    if let Some(file) = &arguments.check {
        return check(file, arguments);
    }
    write(context, arguments)
}

fn new_key(path: &Path) -> Answer {
    let public = bundle::create_key(path)?;
    terminal::print(&public);
    terminal::note(&format!(
        "{} signs bundles: keep it to yourself; {}.pub is what a server is given",
        path.display(),
        path.display()
    ));
    Ok(exit::DONE)
}

fn write(context: &Context, arguments: &BundleArgs) -> Answer {
    let (Some(run), Some(out), Some(key)) = (&arguments.run, &arguments.out, &arguments.key) else {
        return Err(Failure::usage(
            "name a run, the file for its bundle with --out, and the key that signs it with --key; \
             `mirrorcode bundle --new-key FILE` makes one",
        ));
    };
    let file = Whole::begin(out, arguments.force)?;
    let key = SecretKey::read(key, std::env::var(PASSWORD).ok())?;
    let directory = context.run_directory(run)?;
    let mut writer = file.writer();
    let written = bundle::write(&directory, &key, &Limits::RUN, &mut writer, out)?;
    writer.flush().map_err(|error| Failure::io(out, &error))?;
    drop(writer);
    let bytes = file.bytes()?;
    if bytes > Limits::RUN.file {
        return Err(Failure::usage(format!(
            "the bundle of {} has {bytes} bytes, and no server takes more than {}",
            directory.display(),
            Limits::RUN.file
        )));
    }
    file.keep()?;
    if arguments.json {
        terminal::json(&json!({
            "file": out,
            "run": written.manifest.run,
            "task": written.manifest.task,
            "files": written.manifest.files.len(),
            "bytes": bytes,
            "digest": written.digest,
        }));
    } else {
        terminal::line(&out.display().to_string());
    }
    Ok(exit::DONE)
}

/// Says whether a bundle holds. What does not is an answer, no failure.
fn check(file: &Path, arguments: &BundleArgs) -> Answer {
    let limits = Limits::RUN;
    let from = File::open(file).map_err(|error| Failure::io(file, &error))?;
    let key = arguments
        .public_key
        .as_deref()
        .map(PublicKey::read)
        .transpose()?;
    let place = TemporaryDirectory::new("bundle")
        .map_err(|error| Failure::io(&std::env::temp_dir(), &error))?;
    let checked = bundle::open(BufReader::new(from), &limits)
        .and_then(|opened| match &key {
            Some(key) => opened.verify(key),
            None => Ok(opened.unverified()),
        })
        .and_then(|verified| verified.unpack(place.path()))
        .and_then(|manifest| {
            bundle::check(place.path(), &manifest, &limits).map(|checked| (manifest, checked))
        });
    let (manifest, checked) = match checked {
        Ok(found) => found,
        Err(error) => {
            let Some(fault) = error.fault() else {
                return Err(error.into());
            };
            if arguments.json {
                terminal::json(
                    &json!({ "holds": false, "fault": fault.name(), "reason": error.to_string() }),
                );
            } else {
                terminal::line(&format!("{}: {}: {error}", file.display(), fault.name()));
            }
            return Ok(exit::NO);
        }
    };
    if arguments.json {
        terminal::json(&json!({
            "holds": true,
            "signature": if key.is_some() { "right" } else { "not looked at" },
            "run": manifest.run,
            "task": manifest.task,
            "submission": manifest.submission,
            "files": manifest.files.len(),
            "events": checked.events,
            "contents": checked.contents,
            "verdict": checked.verdict.summary,
        }));
    } else {
        terminal::line(&format!(
            "{} of {}: {} files, {} events, {} bytes of contents",
            manifest.run,
            manifest.task,
            manifest.files.len(),
            checked.events,
            checked.contents
        ));
        terminal::line(&format!(
            "verdict in it, which only scoring again can confirm: {}",
            report::visible::plain(checked.verdict.summary.as_bytes())
        ));
        terminal::line(match key {
            Some(_) => "the signature is right",
            None => "the signature was not looked at: name a key with --public-key",
        });
    }
    Ok(exit::DONE)
}
