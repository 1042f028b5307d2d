//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Rebuild whole programs from their behaviour alone: make tasks, work on them, score the result.
#[derive(Debug, Parser)]
#[command(
    name = "mirrorcode",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) places: Places,
}

/// Where things are.
#[derive(Debug, Args)]
pub(crate) struct Places {
    /// Directory of targets [default: `targets`, here or in a directory above]
    #[arg(
        long,
        global = true,
        env = "MIRRORCODE_TARGETS",
        value_name = "DIR",
        help_heading = "Places"
    )]
    pub(crate) targets: Option<PathBuf>,
    /// Directory of languages [default: `languages` beside the targets]
    #[arg(
        long,
        global = true,
        env = "MIRRORCODE_LANGUAGES",
        value_name = "DIR",
        help_heading = "Places"
    )]
    pub(crate) languages: Option<PathBuf>,
    /// Directory of runs
    #[arg(
        long,
        global = true,
        env = "MIRRORCODE_RUNS",
        value_name = "DIR",
        default_value = "runs",
        help_heading = "Places"
    )]
    pub(crate) runs: PathBuf,
    /// Directory for images and packages [default: `mirrorcode` in the user's cache directory]
    #[arg(
        long,
        global = true,
        env = "MIRRORCODE_CACHE",
        value_name = "DIR",
        help_heading = "Places"
    )]
    pub(crate) cache: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what this machine offers, what is missing, and how to get it
    Doctor {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List, show, build and check targets
    #[command(subcommand)]
    Target(TargetCommand),
    /// List and remove root filesystems in the cache
    #[command(subcommand)]
    Image(ImageCommand),
    /// Work on a task by hand, in the agent's sandbox
    Shell(ShellArgs),
    /// Build a submission, run every case, give the verdict
    Score(ScoreArgs),
    /// Run the commands of a recorded run again, and say where it differs
    Replay(ReplayArgs),
    /// List runs, or show one
    Runs(RunsArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetCommand {
    /// List all targets
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one target: its reference, docs, families and counts
    Show {
        /// Name of the target
        target: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch the reference, extract its docs, draw cases, capture expected output
    Build {
        /// Name of the target
        target: String,
        /// Draw the hidden cases with this seed instead of the lock's
        #[arg(long)]
        seed: Option<u64>,
        /// Take the newest version of the reference and write a new lock
        #[arg(long)]
        update: bool,
        /// Fetch the reference and extract its docs; leave the cases as they are
        #[arg(long, conflicts_with_all = ["seed", "update"])]
        no_draw: bool,
    },
    /// Say whether everything still holds: checksums, determinism, split, duals
    Check {
        /// Name of the target
        target: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List the images in the cache
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove images from the cache
    Remove {
        /// Beginning of the image's hash
        #[arg(required_unless_present = "all")]
        digest: Option<String>,
        /// Remove every image
        #[arg(long, conflicts_with = "digest")]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// Task, written target/language
    #[arg(required_unless_present = "resume")]
    pub(crate) task: Option<String>,
    /// Run one command and end; may be given again
    #[arg(short = 'c', long = "command", value_name = "COMMAND")]
    pub(crate) commands: Vec<String>,
    /// Go on with an earlier run
    #[arg(long, value_name = "RUN", conflicts_with = "task")]
    pub(crate) resume: Option<String>,
    /// Root filesystem for the agent instead of the language's image
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Seconds that one command may take
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) command_limit: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Task, written target/language; with --prebuilt, the target alone
    pub(crate) task: String,
    /// Directory of the submission, or a run, by id or directory
    #[arg(required_unless_present = "prebuilt")]
    pub(crate) submission: Option<PathBuf>,
    /// Score a finished program: `reference`, `package:NAME:/path/in/it`, or a path
    #[arg(long, value_name = "PROGRAM", conflicts_with = "submission")]
    pub(crate) prebuilt: Option<String>,
    /// Root filesystem for the test stage instead of the language's runtime image
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Directory for the verdict [default: `scores/<task>/<hash>`]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Cases at the same time [default: number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: Option<u16>,
    /// Score again, even if there is a verdict already
    #[arg(long)]
    pub(crate) again: bool,
    /// Also write inputs and expected output of failed hidden cases; for the benchmark's owners alone
    #[arg(long)]
    pub(crate) reveal_hidden: bool,
    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Run, by id or directory
    pub(crate) run: String,
    /// Write the rebuilt workspace there
    #[arg(long, value_name = "DIR")]
    pub(crate) workspace: Option<PathBuf>,
    /// Print each difference and the summary as JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Run to show, by id or directory
    pub(crate) run: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
