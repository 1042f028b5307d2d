//! What all parts of the server share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use report::Catalog;
use report::screen::Screen;
use report::site::TargetPage;
use tokio::sync::Semaphore;

use crate::limits::Buckets;
use crate::live::LiveRun;
use crate::pages::Snapshot;
use crate::queue::Scorer;
use crate::store::Store;

/// How much is taken from whom. Every field is a decision.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// What a bundle may hold.
    pub bundle: bundle::Limits,
    /// Bytes of any other request's body.
    pub body: usize,
    /// Requests of a token in a minute.
    pub requests_per_minute: u32,
    /// Submissions of a token that wait.
    pub queue_of_token: usize,
    /// Submissions that wait.
    pub queue: usize,
    /// Bundles that come in at the same time.
    pub uploads: usize,
    /// Connections at the same time.
    pub connections: usize,
    /// Time for a request's headers, and for each part of its body.
    pub patience: Duration,
    /// Times that scoring a submission is tried where this machine fails.
    pub attempts: u32,
}

impl Limits {
    /// What suits a server that anybody can reach.
    pub const PUBLIC: Limits = Limits {
        bundle: bundle::Limits::RUN,
        body: 64 << 10,
        requests_per_minute: 600,
        queue_of_token: 16,
        queue: 64,
        uploads: 4,
        connections: 1024,
        patience: Duration::from_secs(30),
        attempts: 3,
    };
}

/// What a server is made of.
pub struct Config {
    /// Directory of its own: the database, bundles, published runs.
    pub data: PathBuf,
    /// Directories of the operator's own runs.
    pub runs: Vec<PathBuf>,
    /// Whether visitors need a token.
    pub private: bool,
    /// Size and domain of the targets.
    pub catalog: Catalog,
    /// What pages say of the targets.
    pub targets: BTreeMap<String, TargetPage>,
    /// What memorization screens found, one model each.
    pub screens: Vec<Screen>,
    /// How much is taken.
    pub limits: Limits,
    /// What scores.
    pub scorer: Box<dyn Scorer>,
}

/// What all parts of the server share.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) buckets: Buckets,
    pub(crate) uploads: Semaphore,
    snapshot: RwLock<Arc<Snapshot>>,
    live: RwLock<Arc<Vec<LiveRun>>>,
}

impl App {
    pub(crate) fn new(config: Config, store: Store) -> Self {
        App {
            store,
            buckets: Buckets::default(),
            uploads: Semaphore::new(config.limits.uploads),
            snapshot: RwLock::default(),
            live: RwLock::default(),
            config,
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn show(&self, snapshot: Snapshot) {
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    pub(crate) fn live(&self) -> Arc<Vec<LiveRun>> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn show_live(&self, runs: Vec<LiveRun>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(runs);
    }

    /// Bundles that came in.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.config.data.join("incoming")
    }

    /// Where submissions are unpacked and scored.
    pub(crate) fn work(&self) -> PathBuf {
        self.config.data.join("work")
    }

    /// Runs that were submitted, scored here and found right, by number of the submission.
    pub(crate) fn published(&self) -> PathBuf {
        self.config.data.join("published")
    }
}
