//! `mirrorcode shell`: a person at work in the agent's sandbox.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent::event::{Agent, Event, FORMAT, Reason, Recorder};
use agent::{Ledger, Session, Setting, Terminal};
use oracle::Reference;
use run::{Header, Known, Run};
use target::{Case, Language, Target, Task};

use crate::args::ShellArgs;
use crate::context::{Context, GUARD};
use crate::evaluate::{Roots, VisibleCases};
use crate::exit::{self, Answer, Failure};
use crate::terminal::{self, Progress};
use crate::{images, task};

/// Bytes that one command may print.
const COMMAND_OUTPUT: u64 = 16 << 20;
/// Memory of everything that runs in an agent's sandbox at the same time.
const MEMORY: u64 = 4 << 30;
/// Variables that a caller of the oracle may set besides those that cases set: language, time zone, terminal.
const ALWAYS_SETTABLE: [&str; 12] = [
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LC_COLLATE",
    "LC_MESSAGES",
    "LC_NUMERIC",
    "LC_TIME",
    "TZ",
    "TERM",
    "COLUMNS",
    "LINES",
    "NO_COLOR",
];

/// A task with everything that a session on it needs.
pub(crate) struct Ready {
    pub(crate) target: Target,
    pub(crate) language: Language,
    visible: Vec<Case>,
    agent_root: image::Image,
    reference: target::reference::Prepared,
    roots: Roots,
    _images: Vec<image::Image>,
}

pub(crate) fn prepare(
    context: &Context,
    name: &str,
    rootfs: Option<&Path>,
) -> Result<Ready, Failure> {
    let (target, language) = context.catalog()?.task(&name.parse::<Task>()?)?;
    let lock = target.locked()?;
    // Hidden cases are not read here: what is not in memory cannot leak.
    let visible = target.visible()?;
    task::docs(context, &target)?;
    let agent_root = match rootfs {
        Some(dir) => image::Image::from_rootfs(dir)?,
        None => images::for_agent(context, &language, &target)?,
    };
    let build = images::for_build(context, &language, &target)?;
    let runtime = images::for_runtime(context, &language, &target)?;
    let version = lock
        .packages
        .iter()
        .find(|package| package.name == target.spec.reference.package)
        .map(|package| package.version.as_str());
    let mut progress = Progress::new();
    let reference = target::reference::prepare(
        &target.spec,
        version,
        &context.cache()?,
        &context.interrupted,
        &mut |step| images::show(&mut progress, &step),
    )?;
    if reference.digest != lock.program {
        return Err(Failure::usage(format!(
            "the reference is not the one that target.lock names; run `mirrorcode target check {}`",
            target.spec.name
        )));
    }
    let roots = Roots {
        build: build.root.clone(),
        runtime: runtime.root.clone(),
    };
    Ok(Ready {
        target,
        language,
        visible,
        agent_root,
        reference,
        roots,
        _images: vec![build, runtime],
    })
}

impl Ready {
    fn oracle(&self) -> Reference {
        let spec = &self.target.spec;
        let mut place = sandbox::Spec {
            rootfs: self.reference.image.root.clone(),
            mounts: Vec::new(),
            scratch: Vec::new(),
            hostname: String::new(),
            proc: true,
            terminals: false,
            syscalls: sandbox::Syscalls::Program,
            execute: None,
            guard: None,
            memory: 0,
            processes: 0,
        };
        target::reference::protect(&mut place, spec, GUARD, &[], &[]);
        let named = self
            .visible
            .iter()
            .flat_map(|case| case.inputs.env.keys().cloned());
        Reference {
            rootfs: place.rootfs,
            program: PathBuf::from(&spec.reference.program),
            name: spec.reference.command.clone(),
            guarded: place
                .guard
                .map(|_| spec.reference.readable.iter().map(PathBuf::from).collect()),
            mounts: place.mounts,
            environment: spec
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            settable: named.chain(ALWAYS_SETTABLE.map(str::to_owned)).collect(),
            wall: Duration::from_secs(u64::from(spec.limits.wall_seconds) * 6),
            cpu: Duration::from_secs(u64::from(spec.limits.cpu_seconds) * 6),
            output: u64::from(spec.limits.output_mib) << 24,
            memory: u64::from(spec.limits.memory_mib) << 20,
        }
    }

    /// Opens a session in a run's directory.
    pub(crate) fn open(
        &self,
        context: &Context,
        directory: &Path,
        recorder: Box<dyn Recorder + Send>,
        number: u64,
        cwd: PathBuf,
        command_limit: u64,
    ) -> Result<Session, Failure> {
        let evaluator = VisibleCases {
            spec: self.target.spec.clone(),
            language: self.language.clone(),
            roots: self.roots.clone(),
            visible: self.visible.clone(),
            jobs: context.jobs(),
            interrupted: Arc::clone(&context.interrupted),
        };
        let spec = &self.target.spec;
        let environment = spec.environment.iter().filter(|(name, _)| *name != "HOME");
        let setting = Setting {
            rootfs: self.agent_root.root.clone(),
            task: directory.join("task"),
            workspace: directory.join("workspace"),
            scratch: directory.join("tmp"),
            environment: environment
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            reference: self.oracle(),
            command_wall: Duration::from_secs(command_limit),
            command_output: COMMAND_OUTPUT,
            memory: MEMORY,
        };
        let mut session = Session::open(setting, Ledger::new(recorder), Arc::new(evaluator), number, cwd)?;
        session.stop_when(Arc::clone(&context.interrupted));
        Ok(session)
    }

    /// Writes the task's files into a run's directory, and knows them.
    pub(crate) fn assemble(&self, context: &Context, directory: &Path) -> Result<Known, Failure> {
        let task = directory.join("task");
        task::assemble(context, &self.target, &self.language, &self.visible, &task)?;
        Ok(Known::scan(&[&task])?)
    }

    pub(crate) fn digests(&self, context: &Context) -> Result<BTreeMap<String, String>, Failure> {
        let mut digests = task::digests(context, &self.target, Some(&self.language))?;
        // A session is given nothing of the hidden cases, not even their hash.
        digests.remove("hidden-cases");
        digests.insert(
            "agent-image".to_owned(),
            self.agent_root.content_digest.clone(),
        );
        digests.insert("reference".to_owned(), self.reference.digest.to_string());
        Ok(digests)
    }
}

/// Where a run stands.
struct Standing {
    task: String,
    number: u64,
    directory: PathBuf,
    submitted: bool,
}

fn standing(directory: &Path) -> Result<Standing, Failure> {
    let entries = run::read(directory)?;
    let mut standing = Standing {
        task: entries.header().task.clone(),
        number: 0,
        directory: PathBuf::from(agent::WORKSPACE),
        submitted: false,
    };
    for entry in entries {
        match entry?.event {
            Event::Command { number, .. } => standing.number = number,
            Event::Result { directory, .. } => {
                standing.directory = PathBuf::from(OsString::from_vec(directory.0))
            }
            Event::Submit { .. } => standing.submitted = true,
            _ => {}
        }
    }
    Ok(standing)
}

pub(crate) fn run(context: &Context, arguments: &ShellArgs) -> Answer {
    let mut session = match &arguments.resume {
        None => begin(context, arguments)?,
        Some(run) => resume(context, arguments, run)?,
    };
    session.record_workspace()?;
    let last = if arguments.commands.is_empty() {
        match Terminal::of_this_process() {
            Some(terminal) => converse(context, &mut session, terminal)?,
            None => read_script(context, &mut session)?,
        }
    } else {
        let mut last = 0;
        for command in &arguments.commands {
            last = once(&mut session, command)?;
            if session.is_submitted() || context.is_interrupted() {
                break;
            }
        }
        last
    };
    let interrupted = context.is_interrupted();
    let reason = match (session.is_submitted(), interrupted) {
        (true, _) => Reason::Submitted,
        (false, true) => Reason::Stopped,
        (false, false) => Reason::Left,
    };
    session.close(reason)?;
    if interrupted {
        return Err(Failure::new(
            exit::INTERRUPTED,
            "interrupted; what was done is recorded, and `mirrorcode shell --resume RUN` goes on from it",
        ));
    }
    Ok(last)
}

fn begin(context: &Context, arguments: &ShellArgs) -> Result<Session, Failure> {
    let name = arguments.task.as_deref().unwrap_or_default();
    let ready = prepare(context, name, arguments.rootfs.as_deref())?;
    let digests = ready.digests(context)?;
    let header = Header::new(name, env!("CARGO_PKG_VERSION"), digests.clone())?;
    let directory = context.runs().join(&header.id);
    std::fs::create_dir_all(context.runs()).map_err(|error| Failure::io(context.runs(), &error))?;
    let mut recorder = Run::create(
        &directory,
        &header,
        Known::nothing(),
        run::Limits::WORKSPACE,
    )?;
    // The task's files belong beside the journal, which had to make the directory; from here on they are known.
    let known = ready.assemble(context, &directory)?;
    recorder
        .record(Event::Start {
            format: FORMAT,
            task: name.to_owned(),
            agent: Agent::Person,
            versions: [(
                "mirrorcode".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            )]
            .into(),
            digests,
            limits: [
                ("command-wall-seconds".to_owned(), arguments.command_limit),
                ("memory-mib".to_owned(), MEMORY >> 20),
            ]
            .into(),
        })
        .map_err(agent::Error::from)?;
    drop(recorder);
    let recorder = Run::open(&directory, known, run::Limits::WORKSPACE)?.run;
    terminal::note(&format!("run {}", header.id));
    ready.open(
        context,
        &directory,
        Box::new(recorder),
        0,
        PathBuf::from(agent::WORKSPACE),
        arguments.command_limit,
    )
}

fn resume(context: &Context, arguments: &ShellArgs, run: &str) -> Result<Session, Failure> {
    let directory = context.run_directory(run)?;
    let standing = standing(&directory)?;
    if standing.submitted {
        return Err(Failure::usage(format!(
            "run {run} has been submitted; `mirrorcode score {} {run}` scores it",
            standing.task
        )));
    }
    let ready = prepare(context, &standing.task, arguments.rootfs.as_deref())?;
    let known = ready.assemble(context, &directory)?;
    let opened = Run::open(&directory, known, run::Limits::WORKSPACE)?;
    if let Some(torn) = opened.recovered {
        terminal::note(&format!(
            "the last {} bytes of the journal were cut off in the middle of an event; they are kept in {}",
            torn.bytes,
            torn.kept.display()
        ));
    }
    let mut recorder = opened.run;
    recorder
        .record(Event::Attach {
            process: std::process::id(),
            boot: run::boot(),
        })
        .map_err(agent::Error::from)?;
    ready.open(
        context,
        &directory,
        Box::new(recorder),
        standing.number,
        standing.directory,
        arguments.command_limit,
    )
}

/// Runs one command with the caller's output; returns its status as a shell would.
fn once(session: &mut Session, script: &str) -> Result<u8, Failure> {
    let outcome = session.command(script.as_bytes(), b"", &mut |stream, bytes| {
        let _ = match stream {
            1 => std::io::stdout()
                .write_all(bytes)
                .and_then(|()| std::io::stdout().flush()),
            _ => std::io::stderr().write_all(bytes),
        };
    })?;
    Ok(status(outcome.ending))
}

fn status(ending: agent::event::Ending) -> u8 {
    match ending {
        agent::event::Ending::Exit(status) => status as u8,
        agent::event::Ending::Signal(signal) => 128u8.saturating_add(signal as u8),
        agent::event::Ending::Limit(limit) => {
            terminal::note(&format!("the command was ended: limit {limit:?}"));
            124
        }
        _ => 125,
    }
}

/// Each line of standard input is a command.
fn read_script(context: &Context, session: &mut Session) -> Result<u8, Failure> {
    let mut last = 0;
    for line in std::io::stdin().lock().split(b'\n') {
        let line = line.map_err(|error| Failure::io(Path::new("standard input"), &error))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.trim().is_empty() {
            continue;
        }
        last = once(session, &line)?;
        if session.is_submitted() || context.is_interrupted() {
            break;
        }
    }
    Ok(last)
}

/// A prompt on the person's terminal; each line is a command that gets the terminal to itself.
fn converse(
    context: &Context,
    session: &mut Session,
    mut terminal: Terminal,
) -> Result<u8, Failure> {
    terminal::note(
        "/task/README.md says what to do; `evaluate`, `submit`, and `exit` to leave and come back later",
    );
    let mut last = 0;
    loop {
        terminal::print(&format!("{}$ ", session.directory().display()));
        let mut line = String::new();
        let count = std::io::stdin()
            .lock()
            .read_line(&mut line)
            .map_err(|error| Failure::io(Path::new("standard input"), &error))?;
        let line = line.trim_end_matches('\n');
        if count == 0 || line.trim() == "exit" {
            return Ok(last);
        }
        if line.trim().is_empty() {
            continue;
        }
        let outcome = session.command_on_terminal(line.as_bytes(), &mut terminal)?;
        last = status(outcome.ending);
        if session.is_submitted() || context.is_interrupted() {
            return Ok(last);
        }
    }
}
