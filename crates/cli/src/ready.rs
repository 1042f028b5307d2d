//! A task made ready: its images, its reference, its visible cases, and sessions on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use agent::event::{Event, Recorder};
use agent::{Ledger, Session, Setting};
use oracle::Reference;
use run::{Known, Run};
use target::{Case, Language, Target, Task};

use crate::context::{Context, GUARD};
use crate::evaluate::{Roots, VisibleCases};
use crate::exit::Failure;
use crate::terminal::Progress;
use crate::{images, task};

/// Bytes that one command may print.
const COMMAND_OUTPUT: u64 = 16 << 20;
/// Memory of everything that runs in an agent's sandbox at the same time.
pub(crate) const MEMORY: u64 = 4 << 30;
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

/// Where a session begins. Every field is a decision.
pub(crate) struct Place<'a> {
    /// The run's directory.
    pub(crate) directory: &'a Path,
    /// Number of commands so far.
    pub(crate) number: u64,
    /// Where the next command starts.
    pub(crate) cwd: PathBuf,
    /// Seconds that a command may take.
    pub(crate) command_limit: u64,
    /// Cases at the same time in an evaluation.
    pub(crate) jobs: usize,
    /// Ends what is under way.
    pub(crate) stop: &'a Arc<AtomicBool>,
    /// Port of the sandbox's loopback that is listened on outside.
    pub(crate) port: Option<u16>,
    /// Another agent's program.
    pub(crate) program: Option<&'a Path>,
}

/// A task with everything that a session on it needs.
pub(crate) struct Ready {
    pub(crate) target: Target,
    pub(crate) language: Language,
    visible: Vec<Case>,
    agent_root: image::Image,
    reference: target::reference::Prepared,
    roots: Roots,
    scratch: PathBuf,
    _images: Vec<image::Image>,
}

/// Makes a task ready. `packages` are those that an agent wants beside the language's own.
pub(crate) fn prepare(
    context: &Context,
    name: &str,
    rootfs: Option<&Path>,
    packages: &[String],
) -> Result<Ready, Failure> {
    let (target, language) = context.catalog()?.task(&name.parse::<Task>()?)?;
    let lock = target.locked()?;
    // Hidden cases are not read here: what is not in memory cannot leak.
    let visible = target.visible()?;
    task::docs(context, &target)?;
    let agent_root = match rootfs {
        Some(dir) => image::Image::from_rootfs(dir)?,
        None => images::for_agent(context, &language, packages, &target)?,
    };
    let build = images::for_build(context, &language, &target)?;
    let runtime = images::for_runtime(context, &language, &target)?;
    let mut progress = Progress::new();
    let reference = target::reference::prepare(
        &target.spec,
        Some(&lock),
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
    let scratch = context.scratch(&target)?;
    Ok(Ready {
        target,
        language,
        visible,
        agent_root,
        reference,
        roots,
        scratch,
        _images: vec![build, runtime],
    })
}

impl Ready {
    /// The task's name.
    pub(crate) fn task(&self) -> String {
        format!("{}/{}", self.target.spec.name, self.language.name)
    }

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

    /// Opens a session on a run, and records that this process goes on with it and what stands in its workspace. What it
    /// does ends when `stop` is raised.
    pub(crate) fn attach(
        &self,
        place: &Place<'_>,
        mut run: Run,
    ) -> Result<(Ledger, Session), Failure> {
        run.record(Event::Attach {
            process: std::process::id(),
            epoch: Some(run.right().epoch()),
            boot: run::boot(),
        })
        .map_err(agent::Error::from)?;
        let ledger = Ledger::new(Box::new(run));
        let mut session = self.open(place, ledger.clone())?;
        session.record_workspace()?;
        Ok((ledger, session))
    }

    /// Opens a session on what a ledger records.
    pub(crate) fn open(&self, place: &Place<'_>, ledger: Ledger) -> Result<Session, Failure> {
        let evaluator = VisibleCases {
            spec: self.target.spec.clone(),
            language: self.language.clone(),
            roots: self.roots.clone(),
            visible: self.visible.clone(),
            jobs: place.jobs,
            interrupted: Arc::clone(place.stop),
            scratch: self.scratch.clone(),
        };
        let spec = &self.target.spec;
        let environment = spec.environment.iter().filter(|(name, _)| *name != "HOME");
        let setting = Setting {
            rootfs: self.agent_root.root.clone(),
            task: place.directory.join("task"),
            workspace: place.directory.join("workspace"),
            scratch: place.directory.join("tmp"),
            environment: environment
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            reference: self.oracle(),
            command_wall: Duration::from_secs(place.command_limit),
            command_output: COMMAND_OUTPUT,
            memory: MEMORY,
            port: place.port,
            program: place.program.map(Path::to_owned),
        };
        let mut session = Session::open(
            setting,
            ledger,
            Arc::new(evaluator),
            place.number,
            place.cwd.clone(),
        )?;
        session.stop_when(Arc::clone(place.stop));
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
