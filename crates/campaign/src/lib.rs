//! Many runs as one: what is to be run, where, within which common limits, and how far it is.
//!
//! A campaign is a file ([`File`]) that names tasks, models, agents, attempts and limits. From it follow the attempts,
//! each with a name of its own that is also the name of its run: so whoever starts the campaign, however often, means the
//! same runs. Where each stands is in its run's directory ([`Outcome`], the journal's owner); a campaign has no list of
//! its own that could say something else.
//!
//! | part | its one job |
//! | --- | --- |
//! | [`File`] | read `campaign.toml`, with file, line and key of whatever is wrong |
//! | [`Plan`] | the attempts, and what a worker needs to know of them, as one file on the shared directory |
//! | [`Outcome`] | how far one attempt is |
//! | [`Account`] | what all workers together may ask of a provider |
//! | [`Executor`] | start attempts somewhere, and say which are there: [`Local`], [`Slurm`], [`Kubernetes`] |
//! | [`drive`] | start what is missing, until nothing is |
//!
//! # Architecture invariants
//!
//! - No executor is believed about what happened to a run: a scheduler may forget a job, run it twice, or give its
//!   number to another. Only the run's own directory counts.
//! - Nothing here waits for a lock that a dead worker can hold.

mod account;
mod drive;
mod error;
mod executor;
mod file;
mod kubernetes;
mod local;
mod outcome;
mod plan;
mod slurm;
mod value;
mod yaml;

pub use account::{Account, Grant, Limits, Need};
pub use drive::{Counts, Driver, Event, Over, drive};
pub use error::Error;
pub use executor::{Command, Executor, Place, Queued};
pub use file::{AgentEntry, File, ModelEntry, Set};
pub use kubernetes::{Kubernetes, KubernetesOptions};
pub use local::Local;
pub use outcome::{End, Fault, Outcome, Progress, progress};
pub use plan::{Attempt, Plan, Resources};
pub use slurm::{Slurm, SlurmOptions};
