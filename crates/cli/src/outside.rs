//! An attempt that none of this program's models makes, but a person or somebody's own client: how it is begun, taken up
//! again, and scored.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent::event::{Agent, Budget, Event, FORMAT, Recorder};
use agent::scaffold::Steering;
use agent::{Clock, Session, Standing};
use run::{Control, Header, Known, OpenedRun, Right, Run};

use crate::args::LimitArgs;
use crate::attempt::{new_limits, restore};
use crate::context::Context;
use crate::exit::{self, Failure};
use crate::ready::{MEMORY, Place, Ready};
use crate::run::obey;
use crate::terminal;

/// How often it is looked whether scoring has ended.
const LOOK: Duration = Duration::from_millis(50);
/// What scoring prints, in the run's directory.
const SCORE_LOG: &str = "score.log";

/// Seconds that one command may take, where nothing is said.
pub(crate) const COMMAND_LIMIT: u64 = 3600;

/// What somebody is to work on, and under which terms.
#[derive(Clone)]
pub(crate) struct Job {
    /// Task, written target/language.
    pub(crate) task: String,
    /// The run's directory, when it has begun before.
    pub(crate) again: Option<PathBuf>,
    /// A root filesystem of the user's own, in place of the language's.
    pub(crate) rootfs: Option<PathBuf>,
    pub(crate) agent: Agent,
    /// Who a person is, as they say themselves.
    pub(crate) who: Option<String>,
    /// Seconds that one command may take.
    pub(crate) command_limit: u64,
    pub(crate) limits: LimitArgs,
}

/// Somebody at work on an attempt: its sandbox is open, and its time runs.
pub(crate) struct Work {
    pub(crate) id: String,
    pub(crate) directory: PathBuf,
    /// Where the attempt stood, if it has begun before.
    pub(crate) standing: Option<Standing>,
    pub(crate) limits: Budget,
    /// What has been ordered from elsewhere so far.
    pub(crate) said: Control,
    pub(crate) steering: Arc<Steering>,
    pub(crate) right: Right,
    pub(crate) session: Session,
    pub(crate) clock: Clock,
}

/// An attempt, open.
struct Attempt {
    id: String,
    directory: PathBuf,
    opened: OpenedRun,
    standing: Option<Standing>,
}

/// What the first event of an attempt says.
pub(crate) struct Beginning {
    pub(crate) agent: Agent,
    pub(crate) options: BTreeMap<String, String>,
}

impl Job {
    /// The job of going on with a run. `None` when somebody else than `agent` has worked on it.
    pub(crate) fn again(
        directory: &Path,
        agent: Agent,
        limits: LimitArgs,
    ) -> Result<Option<Self>, Failure> {
        let begun = beginning(directory)?;
        if begun.agent != agent {
            return Ok(None);
        }
        let limit = begun.options.get("command-limit");
        Ok(Some(Job {
            task: Header::read(directory)?.task,
            again: Some(directory.to_owned()),
            rootfs: begun.options.get("rootfs").map(PathBuf::from),
            agent,
            who: None,
            command_limit: limit
                .and_then(|limit| limit.parse().ok())
                .unwrap_or(COMMAND_LIMIT),
            limits,
        }))
    }

    /// What is on record of it, so that it can be taken up again.
    fn options(&self) -> BTreeMap<String, String> {
        let rootfs = self.rootfs.as_ref().map(|dir| dir.display().to_string());
        [
            ("command-limit", Some(self.command_limit.to_string())),
            ("rootfs", rootfs),
            ("who", self.who.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }

    /// Begins the attempt or takes it up again, opens its sandbox and starts its clock.
    pub(crate) fn start(&self, context: &Context, ready: &Ready) -> Result<Work, Failure> {
        let Attempt {
            id,
            directory,
            opened,
            standing,
        } = match &self.again {
            Some(directory) => take_up(context, ready, directory)?,
            None => begin(context, ready, self)?,
        };
        let held = standing.as_ref().and_then(|standing| standing.limits);
        let limits = new_limits(&directory, held.unwrap_or_default(), &self.limits)?;
        let said = Control::read(&directory)?;
        let steering = Arc::new(Steering::default());
        obey(&steering, said);
        let stop = steering.stop_flag();
        let place = Place {
            directory: &directory,
            number: standing.as_ref().map_or(0, |standing| standing.number),
            cwd: standing.as_ref().map_or_else(
                || PathBuf::from(agent::WORKSPACE),
                |standing| standing.directory.clone(),
            ),
            command_limit: self.command_limit,
            jobs: context.jobs(),
            stop: &stop,
            port: None,
            program: None,
        };
        let right = opened.run.right();
        let (ledger, session) = ready.attach(&place, opened.run)?;
        let clock = Clock::start(ledger, Arc::clone(&steering), limits, standing.as_ref())
            .map_err(agent::Error::from)?;
        Ok(Work {
            id,
            directory,
            standing,
            limits,
            said,
            steering,
            right,
            session,
            clock,
        })
    }
}

/// Who works on a run, and how it was begun.
pub(crate) fn beginning(directory: &Path) -> Result<Beginning, Failure> {
    for entry in run::read(directory)? {
        if let Event::Start { agent, options, .. } = entry?.event {
            return Ok(Beginning { agent, options });
        }
    }
    Err(Failure::usage(format!(
        "{}: the run was cut off before it began, and holds nothing; begin it again",
        directory.display()
    )))
}

fn begin(context: &Context, ready: &Ready, job: &Job) -> Result<Attempt, Failure> {
    let task = ready.task();
    let digests = ready.digests(context)?;
    let header = Header::new(&task, env!("CARGO_PKG_VERSION"), digests.clone())?;
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
    let start = Event::Start {
        format: FORMAT,
        task,
        agent: job.agent,
        versions: [(
            "mirrorcode".to_owned(),
            env!("CARGO_PKG_VERSION").to_owned(),
        )]
        .into(),
        digests,
        limits: [
            ("command-wall-seconds".to_owned(), job.command_limit),
            ("memory-mib".to_owned(), MEMORY >> 20),
        ]
        .into(),
        options: job.options(),
    };
    recorder.record(start).map_err(agent::Error::from)?;
    drop(recorder);
    let mut opened = Run::open(&directory, known, run::Limits::WORKSPACE)?;
    opened.run.keep_history(&opened.index);
    terminal::note(&format!("run {}", header.id));
    Ok(Attempt {
        id: header.id,
        directory,
        opened,
        standing: None,
    })
}

fn take_up(context: &Context, ready: &Ready, directory: &Path) -> Result<Attempt, Failure> {
    let known = ready.assemble(context, directory)?;
    let mut opened = Run::open(directory, known, run::Limits::WORKSPACE)?;
    if let Some(torn) = &opened.recovered {
        terminal::note(&format!(
            "the last {} bytes of the journal were cut off in the middle of an event; they are kept in {}",
            torn.bytes,
            torn.kept.display()
        ));
    }
    let standing = Standing::read(&opened.records()).map_err(Failure::usage)?;
    let id = opened.run.journal().header().id.clone();
    if standing.submitted {
        return Err(Failure::usage(format!(
            "run {id} has been submitted; `mirrorcode score {} {id}` scores it",
            ready.task()
        )));
    }
    restore(directory, &opened)?;
    opened.run.keep_history(&opened.index);
    terminal::note(&format!(
        "run {id} goes on after command {}",
        standing.number
    ));
    Ok(Attempt {
        id,
        directory: directory.to_owned(),
        opened,
        standing: Some(standing),
    })
}

/// Refuses limits of what only a model spends.
pub(crate) fn check_limits(limits: &LimitArgs) -> Result<(), Failure> {
    if limits.cost_limit.is_some() || limits.token_limit.is_some() {
        return Err(Failure::usage(
            "--cost-limit and --token-limit are for models that this program calls: what somebody else's costs is not seen \
             here; --time-limit, --active-limit, --turn-limit and --tool-limit hold",
        ));
    }
    Ok(())
}

/// Starts scoring in a process of its own, which goes on when this one is ended: clients end their servers soon after they
/// have what they want.
pub(crate) fn score_apart(
    context: &Context,
    task: &str,
    directory: &Path,
) -> Result<Child, Failure> {
    use std::os::unix::process::CommandExt;
    // Also when its file has been replaced meanwhile.
    let program = Path::new("/proc/self/exe");
    let log = directory.join(SCORE_LOG);
    let failed = |error: std::io::Error| Failure::io(&log, &error);
    let out = File::create(&log).map_err(failed)?;
    let err = out.try_clone().map_err(failed)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "this program itself, so that its end does not end the scoring"
    )]
    let mut command = Command::new(program);
    command
        .arg0("mirrorcode")
        .arg("score")
        .arg(task)
        .arg(directory)
        .arg("--out")
        .arg(directory)
        .args(context.places()?)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::io(program, &error))
}

/// Waits for scoring, says what it said, and gives its status. Who interrupts this ends the waiting, and not the scoring.
pub(crate) fn scored(
    mut scoring: Child,
    directory: &Path,
    interrupted: &AtomicBool,
) -> Result<u8, Failure> {
    let log = directory.join(SCORE_LOG);
    let status = loop {
        let status = scoring
            .try_wait()
            .map_err(|error| Failure::io(Path::new("scoring"), &error))?;
        if let Some(status) = status {
            break status;
        }
        if interrupted.load(Ordering::Relaxed) {
            return Err(Failure::new(
                exit::INTERRUPTED,
                format!(
                    "scoring goes on by itself, as process {}; verdict.json and {SCORE_LOG} will be in {}",
                    scoring.id(),
                    directory.display()
                ),
            ));
        }
        std::thread::sleep(LOOK);
    };
    let said = std::fs::read(&log).map_err(|error| Failure::io(&log, &error))?;
    terminal::note(String::from_utf8_lossy(&said).trim_end());
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code {
        Some(code @ (exit::DONE | exit::NO)) => Ok(code),
        code => Err(Failure::new(
            code.unwrap_or(exit::MACHINE),
            format!(
                "scoring has failed, as {} says; `mirrorcode score {}` tries again",
                log.display(),
                directory.display()
            ),
        )),
    }
}
