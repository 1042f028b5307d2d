//! `mirrorcode replay`: a recorded run's commands again, in a fresh sandbox.

use std::path::{Path, PathBuf};

use agent::event::{Content, TreeHash};
use agent::{Archive, Deviation, Ledger, Step};
use run::{Header, Known, Run, Store};
use serde_json::json;
use similar::TextDiff;

use crate::args::ReplayArgs;
use crate::context::{Context, passing};
use crate::exit::{self, Answer, Failure};
use crate::ready::{self, Place};
use crate::runs;
use crate::terminal::{self, Progress};

/// Differences that are shown in full.
const SHOWN: usize = 5;
/// Seconds that one command may take: what it took when it was recorded is not known to be enough here.
const COMMAND_LIMIT: u64 = 3600;

struct Record {
    store: Store,
}

impl Archive for Record {
    fn bytes(&self, content: &Content) -> Result<Vec<u8>, String> {
        match content {
            Content::Inline(text) => Ok(text.clone().into_bytes()),
            Content::Blob { sha256, .. } => {
                self.store.get(sha256).map_err(|error| error.to_string())
            }
        }
    }

    fn restore(&self, tree: TreeHash, into: &Path) -> Result<(), String> {
        let clear = || -> std::io::Result<()> {
            for entry in std::fs::read_dir(into)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    std::fs::remove_dir_all(entry.path())?;
                } else {
                    std::fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        clear().map_err(|error| error.to_string())?;
        run::restore(&self.store, tree, into, run::Limits::WORKSPACE)
            .map_err(|error| error.to_string())
    }
}

pub(crate) fn run(context: &Context, arguments: &ReplayArgs) -> Answer {
    let recorded_in = context.run_directory(&arguments.run)?;
    if runs::options(&recorded_in)?.contains_key("agent") {
        return Err(Failure::usage(format!(
            "{}: another agent's program worked there, which would ask its model again; its workspace is on record, \
             and `mirrorcode score RUN --at TURN` scores it",
            arguments.run
        )));
    }
    let entries = run::read(&recorded_in)?;
    let task = entries.header().task.clone();
    let was = entries.header().digests.clone();
    let texts = Record {
        store: Store::open(&recorded_in, Known::nothing()),
    };
    let commands = agent::recorded(entries.map(|entry| entry.map_err(Failure::from)), &texts)?;

    let ready = ready::prepare(context, &task, None, &[])?;
    let digests = ready.digests(context)?;
    for (name, digest) in &was {
        if digests.get(name).is_some_and(|now| now != digest) {
            terminal::note(&format!(
                "note: {name} is not what it was when this was recorded"
            ));
        }
    }
    // What a sealed target's run holds is at home among runs; programs may be forbidden where the plain form stands.
    let is_sealed = context.catalog()?.is_sealed(&ready.target);
    let scratch = if is_sealed {
        std::fs::create_dir_all(context.runs())
            .map_err(|error| Failure::io(context.runs(), &error))?;
        passing("replay", context.runs())?
    } else {
        passing("replay", &std::env::temp_dir())?
    };
    let header = Header::new(&task, env!("CARGO_PKG_VERSION"), digests)?;
    let directory = scratch.path().join(&header.id);
    drop(Run::create(
        &directory,
        &header,
        Known::nothing(),
        run::Limits::WORKSPACE,
    )?);
    let known = ready.assemble(context, &directory)?;
    let archive = Record {
        store: Store::open(&recorded_in, known.clone()),
    };
    let recorder = Run::open(&directory, known, run::Limits::WORKSPACE)?.run;
    let workspace = directory.join("workspace");
    let place = Place {
        directory: &directory,
        number: 0,
        cwd: PathBuf::from(agent::WORKSPACE),
        command_limit: COMMAND_LIMIT,
        jobs: context.jobs(),
        stop: &context.interrupted,
        port: None,
        program: None,
    };
    let mut session = ready.open(&place, Ledger::new(Box::new(recorder)))?;
    session.record_workspace()?;

    let mut progress = Progress::new();
    let (mut same, mut restored, mut cut_off) = (0u64, 0u64, 0u64);
    let mut deviations: Vec<Deviation> = Vec::new();
    for command in &commands {
        stop_if_interrupted(context)?;
        progress.count("commands", command.number, commands.len() as u64);
        match agent::repeat(&mut session, &workspace, &archive, command)
            .map_err(Failure::machine)?
        {
            Step::Ran(found) if found.is_empty() => same += 1,
            Step::Ran(found) => deviations.extend(found),
            Step::Restored => restored += 1,
            Step::CutOff => cut_off += 1,
        }
    }
    stop_if_interrupted(context)?;
    progress.finish();
    drop(session);
    if let Some(out) = &arguments.workspace {
        copy(&workspace, out)?;
    }
    report(
        arguments,
        commands.len(),
        same,
        restored,
        cut_off,
        &deviations,
    );
    Ok(if deviations.is_empty() {
        exit::DONE
    } else {
        exit::NO
    })
}

fn stop_if_interrupted(context: &Context) -> Result<(), Failure> {
    if context.is_interrupted() {
        return Err(Failure::new(
            exit::INTERRUPTED,
            "interrupted; a replay keeps nothing, so give the command again",
        ));
    }
    Ok(())
}

/// Copies what a replay built, as scoring would copy it.
fn copy(workspace: &Path, out: &Path) -> Result<(), Failure> {
    let submission = score::Submission::read(workspace, &[]).map_err(Failure::usage)?;
    for file in &submission.files {
        let path = out.join(&file.path);
        let parent = path.parent().unwrap_or(out);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&path, &file.bytes))
            .map_err(|error| Failure::io(&path, &error))?;
    }
    Ok(())
}

fn report(
    arguments: &ReplayArgs,
    total: usize,
    same: u64,
    restored: u64,
    cut_off: u64,
    deviations: &[Deviation],
) {
    if arguments.json {
        for deviation in deviations {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            terminal::line(
                &json!({
                    "command": deviation.number,
                    "what": deviation.what,
                    "recorded": text(&deviation.recorded),
                    "replayed": text(&deviation.replayed),
                })
                .to_string(),
            );
        }
        terminal::line(
            &json!({ "commands": total, "same": same, "restored": restored, "cut-off": cut_off, "differences": deviations.len() })
                .to_string(),
        );
        return;
    }
    for deviation in deviations.iter().take(SHOWN) {
        terminal::line(&format!(
            "command {}: {} differs",
            deviation.number, deviation.what
        ));
        let (old, new) = (
            String::from_utf8_lossy(&deviation.recorded),
            String::from_utf8_lossy(&deviation.replayed),
        );
        let diff = TextDiff::from_lines(&*old, &*new);
        terminal::print(
            &diff
                .unified_diff()
                .context_radius(2)
                .header("recorded", "replayed")
                .to_string(),
        );
    }
    if deviations.len() > SHOWN {
        terminal::line(&format!("{} more differences", deviations.len() - SHOWN));
    }
    let mut text = format!("{same} of {total} commands did the same again");
    if restored > 0 {
        text.push_str(&format!(
            "; {restored} had been typed into, and their work was restored from the record"
        ));
    }
    if cut_off > 0 {
        text.push_str(&format!(
            "; {cut_off} were cut off when recorded, and not run"
        ));
    }
    terminal::line(&text);
}
