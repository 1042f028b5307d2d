//! `mirrorcode serve`: the leaderboard server, its tokens, and how it scores.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use score::Verdict;
use serve::{Config, Limits, Scorer, Server, ServerError, Store, StoreError, Unscored};

use crate::context::Context;
use crate::exit::{self, Answer, Failure};
use crate::{results, site, terminal, units};

/// Who makes tokens at this program, as the audit log names them.
const OPERATOR: &str = "operator";
/// How often a process that scores is looked after.
const LOOK: Duration = Duration::from_millis(100);
/// Time that it has to end when it is asked to.
const GRACE: Duration = Duration::from_secs(10);
/// Most bytes of what it says that are read.
const SAID: u64 = 64 << 10;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ServeArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ServeCommand>,
    /// The operator's own runs, each by directory, or directories that hold runs [default: all in --runs]
    #[arg(value_name = "DIR")]
    pub(crate) of: Vec<PathBuf>,
    /// Directory for the database, bundles and published runs
    #[arg(long, value_name = "DIR", required = true)]
    pub(crate) data: Option<PathBuf>,
    /// Address; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: std::net::SocketAddr,
    /// What `mirrorcode screen` found of a model, beside its solved rates: its `screen.json`. May be given again for
    /// another model
    #[arg(long, value_name = "FILE")]
    pub(crate) screen: Vec<PathBuf>,
    /// Show nothing to whoever has no token
    #[arg(long)]
    pub(crate) private: bool,
    /// Leave out how pages of the references' documentation begin
    #[arg(long)]
    pub(crate) no_docs: bool,
    /// Cases at the same time when a submission is scored [default: number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Time that scoring one submission may take, such as 6h
    #[arg(long, value_name = "TIME", value_parser = units::seconds, default_value = "6h", help_heading = "Limits")]
    pub(crate) score_limit: u64,
    /// Largest bundle that is taken, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=4096), default_value_t = 256, help_heading = "Limits")]
    pub(crate) bundle_limit: u64,
    /// Submissions that wait, at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 64, help_heading = "Limits")]
    pub(crate) queue: u16,
    /// Requests of a token in a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), default_value_t = 600, help_heading = "Limits")]
    pub(crate) requests: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServeCommand {
    /// Make, list and revoke the tokens of a server, also while it is at work
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and print it: the only time that it is shown
    Add {
        /// Whose it is
        name: String,
        /// What it allows: reader, submitter or admin
        #[arg(long, value_name = "ROLE")]
        role: serve::Role,
        /// Public key of minisign that its bundles have to be signed with
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Directory of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// List the tokens
    List {
        /// Directory of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a token out of force
    Revoke {
        /// Whose it is
        name: String,
        /// Directory of the server
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Database { .. } => Failure::machine(error),
            StoreError::Io { path, source } => Failure::io(path, source),
            _ => Failure::usage(error),
        }
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Store(error) => error.into(),
            ServerError::Io { path, source } => Failure::io(&path, &source),
            error => Failure::usage(error),
        }
    }
}

pub(crate) fn run(context: &Context, arguments: &ServeArgs) -> Answer {
    if let Some(ServeCommand::Token(command)) = &arguments.command {
        return token(command);
    }
    let data = arguments
        .data
        .clone()
        .ok_or_else(|| Failure::usage("name the server's directory with --data"))?;
    let runs = match arguments.of.as_slice() {
        [] => vec![context.runs().to_owned()],
        named => named.to_vec(),
    };
    let screens = results::screens(&arguments.screen)?;
    let listener = TcpListener::bind(arguments.listen).map_err(|error| {
        Failure::machine(format!("cannot listen on {}: {error}", arguments.listen))
    })?;
    let address = listener.local_addr().map_err(Failure::machine)?;
    let mut limits = Limits::PUBLIC;
    limits.bundle.file = arguments.bundle_limit.saturating_mul(1 << 20);
    limits.queue = arguments.queue.into();
    limits.requests_per_minute = arguments.requests;
    let config = Config {
        scorer: Box::new(Process {
            program: std::env::current_exe().map_err(Failure::machine)?,
            places: context.places_for_strangers()?,
            jobs: arguments.jobs,
            limit: Duration::from_secs(arguments.score_limit),
        }),
        data,
        runs,
        private: arguments.private,
        catalog: results::catalog(context),
        screens,
        // Visitors must not know of a sealed target.
        targets: site::targets(context, &BTreeSet::new(), !arguments.no_docs),
        limits,
    };
    let server = Server::open(config, |what| terminal::note(&format!("serve: {what}")))?;
    terminal::line(&format!("http://{address}/"));
    server
        .run(listener, &context.interrupted)
        .map_err(Failure::machine)?;
    Ok(exit::DONE)
}

fn token(command: &TokenCommand) -> Answer {
    match command {
        TokenCommand::Add {
            name,
            role,
            key,
            data,
        } => {
            let key = key
                .as_deref()
                .map(|path| fs::read_to_string(path).map_err(|error| Failure::io(path, &error)))
                .transpose()?;
            let made = Store::open(data)?.add_token(OPERATOR, name, *role, key.as_deref())?;
            terminal::line(&made.secret);
            terminal::note("this is the only time that the token is shown; only its hash is kept");
        }
        TokenCommand::Revoke { name, data } => {
            Store::open(data)?.revoke_token(OPERATOR, name)?;
        }
        TokenCommand::List { data, json } => {
            let tokens = Store::open(data)?.tokens()?;
            if *json {
                terminal::json(&tokens);
                return Ok(exit::DONE);
            }
            let mut table = terminal::table(&["token", "role", "key", "made", "revoked"]);
            for token in tokens {
                table.add_row([
                    token.name,
                    token.role.name().to_owned(),
                    if token.key.is_some() { "yes" } else { "-" }.to_owned(),
                    token.created,
                    token.revoked.unwrap_or_else(|| "-".to_owned()),
                ]);
            }
            terminal::print_table(&table);
        }
    }
    Ok(exit::DONE)
}

/// Scores in another process of this program, so that whatever a submission brings about ends there.
struct Process {
    program: PathBuf,
    places: Vec<OsString>,
    jobs: Option<u16>,
    /// Time that one submission may take.
    limit: Duration,
}

impl Scorer for Process {
    fn score(&self, dir: &Path, out: &Path, stop: &AtomicBool) -> Result<Verdict, Unscored> {
        let machine = |error: &dyn std::fmt::Display| Unscored::Machine(error.to_string());
        let dir = fs::canonicalize(dir).map_err(|error| machine(&error))?;
        let out = fs::canonicalize(out).map_err(|error| machine(&error))?;
        // What is said goes to a file: nobody has to read while it is written.
        let said = out.join("said");
        let log = fs::File::create(&said).map_err(|error| machine(&error))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this program itself, which starts what it scores in a sandbox"
        )]
        let mut command = std::process::Command::new(&self.program);
        command
            .args(["score", "--json", "--out"])
            .arg(&out)
            .args(&self.places);
        if let Some(jobs) = self.jobs {
            command.arg("--jobs").arg(jobs.to_string());
        }
        let child = command
            .arg(&dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| machine(&error))?;
        let code = self.wait(child, stop)?;
        let mut text = String::new();
        if let Ok(file) = fs::File::open(&said) {
            let mut bytes = Vec::new();
            let _ = file.take(SAID).read_to_end(&mut bytes);
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        // Where things lie on this machine is nobody's business.
        let text = text
            .replace(&dir.display().to_string(), "the run")
            .replace(&out.display().to_string(), "the verdict's directory");
        let last = text
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing");
        match code {
            Some(0 | 1) => {
                let verdict =
                    fs::read(out.join("verdict.json")).map_err(|error| machine(&error))?;
                serde_json::from_slice(&verdict).map_err(|error| machine(&error))
            }
            Some(2) => Err(Unscored::Refused(last.to_owned())),
            _ if stop.load(Ordering::Relaxed) => Err(Unscored::Stopped),
            _ => Err(machine(&last)),
        }
    }
}

impl Process {
    /// The status that it ends with; nothing when a signal ended it.
    fn wait(&self, mut child: Child, stop: &AtomicBool) -> Result<Option<i32>, Unscored> {
        let begun = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status.code()),
                Ok(None) => {}
                Err(error) => return Err(Unscored::Machine(error.to_string())),
            }
            let late = begun.elapsed() >= self.limit;
            if late || stop.load(Ordering::Relaxed) {
                end(&mut child);
                return Err(if late {
                    Unscored::Refused(format!(
                        "scoring it took longer than {} seconds",
                        self.limit.as_secs()
                    ))
                } else {
                    Unscored::Stopped
                });
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Asks a process to end, so that it puts its sandboxes away, and ends it where it does not.
fn end(child: &mut Child) {
    if let Some(process) = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
    }
    let begun = Instant::now();
    while begun.elapsed() < GRACE {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
    let _ = child.wait();
}
