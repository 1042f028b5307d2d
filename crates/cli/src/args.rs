//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::units;

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
    /// File with age identities, which open the sealed targets among them
    #[arg(
        long,
        global = true,
        env = "MIRRORCODE_IDENTITY",
        value_name = "FILE",
        help_heading = "Places"
    )]
    pub(crate) identity: Option<PathBuf>,
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
    /// Offer a task's tools to a client of the Model Context Protocol, and score what it leaves
    Mcp(Box<McpArgs>),
    /// Let a model work on tasks, and score what it leaves
    Run(Box<RunArgs>),
    /// Go on with a run that was stopped, cut off, or out of budget
    Resume(ResumeArgs),
    /// End a run that is under way; it can be resumed
    Stop {
        /// Run, by id or directory
        run: String,
    },
    /// Look on while a run is under way
    Watch(WatchArgs),
    /// Write a run as one HTML page: transcript, score over time, final files
    View(ViewArgs),
    /// Figures over any set of runs, with intervals: tables, JSON, CSV, Parquet
    Results(ResultsArgs),
    /// Write runs as a static site: leaderboard, tasks, targets, models, every run
    Report(ReportArgs),
    /// Write a run as a log that Inspect opens
    Export(ExportArgs),
    /// Put a run into one signed file for others, or look at such a file
    Bundle(crate::bundle::BundleArgs),
    /// Serve the leaderboard, and take, score again and publish bundles of others
    Serve(Box<crate::serve::ServeArgs>),
    /// Build a submission, run every case, give the verdict
    Score(ScoreArgs),
    /// Ask a model to recite references' source code, and test whether it knows them by heart
    Screen(Box<crate::screen::ScreenArgs>),
    /// Run the commands of a recorded run again, and say where it differs
    Replay(ReplayArgs),
    /// List runs, or show one
    Runs(RunsArgs),
    /// Copy finished runs, or images, to object storage and back
    Sync(SyncArgs),
    /// Run many tasks, models and attempts from one file, here or on a cluster
    #[command(subcommand)]
    Campaign(crate::campaign::CampaignCommand),
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
    /// Turn conditions of the reference's machine code around, count how many the hidden cases notice, and write
    /// `strength.json` beside the target's lock
    Strength {
        /// Name of the target
        target: String,
        /// Jumps to turn around, of each group that a figure is given for
        #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        sample: u32,
        /// Seed of the sample
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show each family's duals, and what its cases use and the documentation never mentions
    Fairness {
        /// Name of the target
        target: String,
        /// Print JSON, with the visible duals of each hidden case
        #[arg(long)]
        json: bool,
    },
    /// Seal a target's directory in one encrypted file, for named recipients
    Pack {
        /// Directory of the target
        dir: PathBuf,
        /// Whom to seal it for, as age-keygen prints it (age1...); may be given again
        #[arg(long = "recipient", value_name = "KEY", required = true)]
        recipients: Vec<String>,
        /// File to write [default: <target>.age]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say what a sealed target holds, or write its plain form to a directory
    Open {
        /// Sealed target
        file: PathBuf,
        /// Write the plain form below this directory
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
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
    /// Seconds that one command may take [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) command_limit: Option<u64>,
    /// Name of whoever is at work, for the record
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    pub(crate) who: Option<String>,
    /// Record nothing of the terminal
    #[arg(long)]
    pub(crate) no_recording: bool,
    /// Score what is left when it is submitted or out of budget
    #[arg(long)]
    pub(crate) score: bool,
    #[command(flatten)]
    pub(crate) limits: ClockArgs,
}

/// Limits of any run, whoever works on it; what is not named is not limited.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClockArgs {
    /// Time at work, pauses among it, such as 12h
    #[arg(long, value_name = "TIME", value_parser = units::seconds, help_heading = "Budget")]
    pub(crate) time_limit: Option<u64>,
    /// Time at work without pauses and waiting for rate limits, such as 12h
    #[arg(long, value_name = "TIME", value_parser = units::seconds, help_heading = "Budget")]
    pub(crate) active_limit: Option<u64>,
    /// Turns: answers of a model, commands of a person, calls of a client
    #[arg(long, value_name = "TURNS", value_parser = units::count, help_heading = "Budget")]
    pub(crate) turn_limit: Option<u64>,
    /// Time in which commands and tools run, such as 2h
    #[arg(long, value_name = "TIME", value_parser = units::seconds, help_heading = "Budget")]
    pub(crate) tool_limit: Option<u64>,
}

impl ClockArgs {
    /// The same as limits of any run.
    pub(crate) fn limits(&self) -> LimitArgs {
        LimitArgs {
            cost_limit: None,
            token_limit: None,
            clock: self.clone(),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct McpArgs {
    /// Task, written target/language
    #[arg(required_unless_present = "resume")]
    pub(crate) task: Option<String>,
    /// Go on with an earlier run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["task", "rootfs"])]
    pub(crate) resume: Option<String>,
    /// Serve over HTTP on this loopback address, such as 127.0.0.1:8000, instead of standard input and output; port 0 takes
    /// any that is free
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<std::net::SocketAddr>,
    /// What clients have to know, at least 16 visible ASCII characters [default: made anew and told on standard error]
    #[arg(
        long,
        env = "MIRRORCODE_MCP_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
    /// Root filesystem for the agent instead of the language's image
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Seconds that one command may take [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) command_limit: Option<u64>,
    /// Leave the scoring for later
    #[arg(long)]
    pub(crate) no_score: bool,
    #[command(flatten)]
    pub(crate) limits: ClockArgs,
}

/// Limits of a run; what is not named is not limited.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct LimitArgs {
    /// Dollars that all calls of the model may cost
    #[arg(long, value_name = "DOLLARS", value_parser = units::dollars, help_heading = "Budget")]
    pub(crate) cost_limit: Option<u64>,
    /// Tokens of all calls together, such as 50M
    #[arg(long, value_name = "TOKENS", value_parser = units::count, help_heading = "Budget")]
    pub(crate) token_limit: Option<u64>,
    #[command(flatten)]
    pub(crate) clock: ClockArgs,
}

/// What is done when the context is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompactionArg {
    /// The model writes a summary; the task and the last turns stay
    Summary,
    /// Tool results are cleared, oldest first
    Clear,
    /// The oldest turns are dropped
    Trim,
    /// Nothing, until the provider refuses
    Provider,
}

/// How a model is called.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelArgs {
    /// Address of the model's server
    #[arg(long, value_name = "URL", help_heading = "Model")]
    pub(crate) base_url: Option<String>,
    /// File with the model's key [default: the provider's variable, such as ANTHROPIC_API_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) key_file: Option<PathBuf>,
    /// File with prices that go before those that are built in
    #[arg(long, value_name = "FILE", help_heading = "Model")]
    pub(crate) prices: Option<PathBuf>,
    /// What is done when the context is full [default: summary]
    #[arg(long, value_name = "HOW", help_heading = "Model")]
    pub(crate) compaction: Option<CompactionArg>,
    /// Tokens at which the context is full [default: 150k, or less where the model reads less]
    #[arg(long, value_name = "TOKENS", value_parser = units::count, help_heading = "Model")]
    pub(crate) compact_at: Option<u64>,
    /// Most tokens of one answer [default: 16k]
    #[arg(long, value_name = "TOKENS", value_parser = units::count, help_heading = "Model")]
    pub(crate) max_output: Option<u64>,
    /// How much to think: `off`, a number of tokens, or a word of the provider's, such as `high`
    #[arg(long, value_name = "HOW", help_heading = "Model")]
    pub(crate) thinking: Option<String>,
    /// Seconds that one command may take [default: 3600]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Model")]
    pub(crate) command_limit: Option<u64>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct RunArgs {
    #[command(subcommand)]
    pub(crate) command: Option<RunCommand>,
    /// Tasks, written target/language; or targets: a name, a pattern such as `g*`, `size:S`, `domain:NAME`
    #[arg(required = true, value_name = "TASK")]
    pub(crate) tasks: Vec<String>,
    /// Languages for targets that are named without one; `all` for all that a target has
    #[arg(long, value_name = "LANGUAGE", value_delimiter = ',')]
    pub(crate) language: Vec<String>,
    /// Model, such as `anthropic/NAME`, `openai/NAME`, `compatible/NAME`; `scripted:FILE`, `replay:RUN`
    #[arg(long, value_name = "MODEL", required = true)]
    pub(crate) model: Option<String>,
    /// Another agent instead of the built-in one: `claude-code`, `codex`, `gemini-cli`, `mini-swe-agent`, `generic`, or
    /// a file that ends in `.toml`
    #[arg(long, value_name = "AGENT", help_heading = "Agent")]
    pub(crate) agent: Option<String>,
    /// What a generic agent runs, in a shell that has $prompt, $model, $gateway and $key
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "agent",
        help_heading = "Agent"
    )]
    pub(crate) agent_command: Option<String>,
    /// Another model's name that stands for the model where the agent asks for it; a `*` at the end stands for any
    /// ending. May be given again
    #[arg(long, value_name = "NAME", requires = "agent", help_heading = "Agent")]
    pub(crate) alias: Vec<String>,
    /// Runs of each task
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempts: u32,
    /// Runs at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) parallel: u16,
    /// Root filesystem for the agent instead of the language's image
    #[arg(long, value_name = "DIR")]
    pub(crate) rootfs: Option<PathBuf>,
    /// Leave the scoring for later
    #[arg(long)]
    pub(crate) no_score: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) how: ModelArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Show a run: its turns, what they cost, and where it stands
    Show(ShowArgs),
    /// Go on with a run that was stopped, cut off, or out of budget
    Resume(ResumeArgs),
    /// End a run that is under way; it can be resumed
    Stop {
        /// Run, by id or directory
        run: String,
    },
    /// Let a run wait before its next step
    Pause {
        /// Run, by id or directory
        run: String,
    },
    /// Let a run go on that waits
    Continue {
        /// Run, by id or directory
        run: String,
    },
    /// Change the limits of a run, also while it is under way
    Limit {
        /// Run, by id or directory
        run: String,
        #[command(flatten)]
        limits: LimitArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Run, by id or directory
    pub(crate) run: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Run, by id or directory
    pub(crate) run: String,
    /// Another model
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Leave the scoring for later
    #[arg(long)]
    pub(crate) no_score: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) how: ModelArgs,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Run, by id or directory
    pub(crate) run: String,
    /// Print where it stands, and end
    #[arg(long)]
    pub(crate) once: bool,
    /// Print JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ViewArgs {
    /// Run, by id or directory
    pub(crate) run: String,
    /// File for the page; `-` for standard output [default: `<id>.html`]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    /// Pack nothing: the whole transcript is there without JavaScript, and a long one opens slowly
    #[arg(long)]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ResultsArgs {
    /// Runs, each by id or directory, or directories that hold runs [default: all in --runs]
    #[arg(value_name = "RUN")]
    pub(crate) of: Vec<String>,
    /// What `mirrorcode screen` found of a model, beside its solved rates: its `screen.json`. May be given again for
    /// another model
    #[arg(long, value_name = "FILE")]
    pub(crate) screen: Vec<PathBuf>,
    /// Print all tables as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write all tables as CSV, each into a file in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) csv: Option<PathBuf>,
    /// Write all tables as Parquet, each into a file in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) parquet: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Runs, each by id or directory, or directories that hold runs [default: all in --runs]
    #[arg(value_name = "RUN")]
    pub(crate) of: Vec<String>,
    /// Directory for the site
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What `mirrorcode screen` found of a model, beside its solved rates: its `screen.json`. May be given again for
    /// another model
    #[arg(long, value_name = "FILE")]
    pub(crate) screen: Vec<PathBuf>,
    /// Replace the site that is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Leave out how pages of the references' documentation begin
    #[arg(long)]
    pub(crate) no_docs: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Run, by id or directory
    pub(crate) run: String,
    /// File for the log; its name ends in `.eval`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct ScoreArgs {
    /// Task, written target/language; with --prebuilt, the target alone; or a run, by id or directory
    pub(crate) task: String,
    /// Directory of the submission, or a run, by id or directory
    pub(crate) submission: Option<PathBuf>,
    /// Score a run's workspace as it was after this turn; in a run without turns, after this command
    #[arg(long, value_name = "TURN", conflicts_with_all = ["prebuilt", "curve"])]
    pub(crate) at: Option<u64>,
    /// Score a run's workspace at this many instants from its beginning to its end
    #[arg(long, value_name = "POINTS", num_args = 0..=1, default_missing_value = "20", conflicts_with_all = ["prebuilt", "reveal_hidden", "out"],
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) curve: Option<u16>,
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
pub(crate) struct SyncArgs {
    /// What is copied, and last, where to; one of both is a store, `s3://BUCKET/PREFIX` or `file:///DIR`. To a store: runs,
    /// each by id or directory, directories of runs, campaigns [default: all in --runs]. From a store: to a directory
    #[arg(required = true, value_name = "PLACE")]
    pub(crate) places: Vec<String>,
    /// Copy images instead of runs: those of the cache, or of a directory like it
    #[arg(long)]
    pub(crate) images: bool,
    /// Only those whose id is this; `*` stands for any text. May be given again
    #[arg(long, value_name = "ID")]
    pub(crate) only: Vec<String>,
    /// Say what would be copied, and copy nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
    /// Address of an S3-compatible server [default: AWS_ENDPOINT_URL, or Amazon's]
    #[arg(long, value_name = "URL", help_heading = "Store")]
    pub(crate) endpoint: Option<String>,
    /// Region of the bucket [default: AWS_REGION, or us-east-1]
    #[arg(long, value_name = "NAME", help_heading = "Store")]
    pub(crate) region: Option<String>,
    /// File with keys, as Amazon's tools write it [default: the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE", help_heading = "Store")]
    pub(crate) credentials: Option<PathBuf>,
    /// How long requests are repeated that the service fails [default: 2m]
    #[arg(long, value_name = "TIME", value_parser = units::seconds, help_heading = "Store")]
    pub(crate) patience: Option<u64>,
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
