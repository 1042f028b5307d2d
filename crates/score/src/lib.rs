//! Builds a submission, runs every case, compares bytes, gives the verdict.
//!
//! # Architecture invariants
//!
//! - Scoring does not know who wrote a submission: it gets a directory.
//! - Expected output never enters a sandbox. Bytes are compared here, in a process that no submission reaches.
//! - A case that ran is never run again. Only a sandbox that failed, so that nothing was observed, is replaced.
//! - A verdict is a pure function of submission, target lock and language lock; what varies stands beside it.

mod compare;
mod difference;
mod reveal;
mod runner;
mod stages;
mod submission;
mod verdict;

pub use compare::compare;
pub use difference::{Context, Difference, first_difference};
pub use reveal::reveal;
pub use runner::{Drawn, Results, RunError, run_all};
pub use stages::{BuildResult, Built, Installed, TestStage, build};
pub use submission::{Refusal, Submission, SubmissionFile};
pub use verdict::{
    Build, CaseOutcome, CaseResult, Count, FORMAT, FamilyCount, Header, Incomplete, Split,
    SubmissionFacts, Verdict,
};

/// A limit as it is named to people.
pub(crate) fn limit_name(limit: sandbox::Limit) -> &'static str {
    use sandbox::Limit;
    match limit {
        Limit::WallTime => "wall time",
        Limit::CpuTime => "processor time",
        Limit::Memory => "memory",
        Limit::Processes => "processes",
        Limit::Output => "output",
        Limit::Disk => "disk space",
    }
}
