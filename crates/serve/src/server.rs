//! The server: what begins with it, and ends with it.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::app::{App, Config};
use crate::live::Live;
use crate::pages::{Builder, own_runs};
use crate::store::{State, Store, StoreError};
use crate::{http, queue};

/// How often runs that are under way are looked at.
const LIVE: Duration = Duration::from_secs(2);
/// How often it is asked which runs there are.
const LIST: Duration = Duration::from_secs(10);

/// Says something to the operator.
pub(crate) fn tell(what: &str) {
    if let Some(tell) = TELL.get() {
        tell(what);
    }
}

/// Where the operator reads: one place for the process.
static TELL: OnceLock<fn(&str)> = OnceLock::new();

/// Wakes a thread.
#[derive(Clone)]
pub(crate) struct Waker(SyncSender<()>);

/// The same, for pages.
pub(crate) type Wake = Waker;

impl Waker {
    fn new() -> (Self, Receiver<()>) {
        let (sender, receiver) = mpsc::sync_channel(1);
        (Waker(sender), receiver)
    }

    pub(crate) fn now(&self) {
        // One that was not heard yet is enough.
        let _ = self.0.try_send(());
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another server has the data.
    #[error("{}: another server is at work on it", .0.display())]
    Held(PathBuf),
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// On which file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// A server whose data are in order.
pub struct Server {
    app: Arc<App>,
    builder: Builder,
    _lock: File,
}

impl Server {
    /// Takes the data directory, puts in order what an earlier server left, and makes the pages. `tell` is told what an
    /// operator wants to know.
    ///
    /// # Errors
    /// When another server has the directory, or something in it cannot be read or written.
    pub fn open(config: Config, told: fn(&str)) -> Result<Self, ServerError> {
        let _ = TELL.set(told);
        let data = config.data.clone();
        let failed = |source: io::Error| ServerError::Io {
            path: data.clone(),
            source,
        };
        let store = Store::open(&config.data)?;
        let lock = File::create(data.join("lock")).map_err(failed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| ServerError::Held(data.clone()))?;
        let app = Arc::new(App::new(config, store));
        let again = app.store.requeue()?;
        if again > 0 {
            tell(&format!(
                "{again} submissions were being scored when the last server ended; they are scored again"
            ));
        }
        tidy(&app).map_err(|error| match error {
            Untidy::Store(error) => error.into(),
            Untidy::Io(error) => failed(error),
        })?;
        let mut builder = Builder::new(&app).map_err(failed)?;
        let snapshot = builder.build(&app, &own_runs(&app.config.runs));
        match snapshot {
            Ok(Some(snapshot)) => app.show(snapshot),
            Ok(None) => {}
            Err(error) => return Err(failed(io::Error::other(error.to_string()))),
        }
        Ok(Server {
            app,
            builder,
            _lock: lock,
        })
    }

    /// Serves on `listener` until `stop` becomes true.
    ///
    /// # Errors
    /// When the system gives no threads, or takes the listener away.
    pub fn run(self, listener: TcpListener, stop: &Arc<AtomicBool>) -> io::Result<()> {
        let Server {
            app,
            builder,
            _lock,
        } = self;
        listener.set_nonblocking(true)?;
        let (queue_waker, queue_woken) = Waker::new();
        let (pages_waker, pages_woken) = Waker::new();
        std::thread::scope(|scope| {
            let shared = &app;
            let stopped: &AtomicBool = stop;
            let pages = pages_waker.clone();
            scope.spawn(move || queue::run(shared, &queue_woken, &pages, stopped));
            scope.spawn(move || refresh(shared, builder, &pages_woken, stopped));
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?;
            let done = runtime.block_on(http::serve(
                Arc::clone(&app),
                queue_waker,
                pages_waker,
                listener,
                Arc::clone(stop),
            ));
            stop.store(true, Ordering::Relaxed);
            runtime.shutdown_timeout(Duration::from_secs(2));
            done
        })
    }
}

enum Untidy {
    Store(StoreError),
    Io(io::Error),
}

impl From<StoreError> for Untidy {
    fn from(error: StoreError) -> Self {
        Untidy::Store(error)
    }
}

impl From<io::Error> for Untidy {
    fn from(error: io::Error) -> Self {
        Untidy::Io(error)
    }
}

/// Removes what no submission owns: bundles that broke off, half-made work, runs that were moved and not yet published.
fn tidy(app: &App) -> Result<(), Untidy> {
    for dir in [app.incoming(), app.published(), app.work()] {
        fs::create_dir_all(dir)?;
    }
    let kept = app.store.in_states(&[
        State::Queued,
        State::Scoring,
        State::Published,
        State::Failed,
        State::Withdrawn,
    ])?;
    for entry in fs::read_dir(app.incoming())? {
        let entry = entry?;
        let name = entry.file_name();
        if !kept.iter().any(|submission| *submission.file == *name) {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(app.work())? {
        fs::remove_dir_all(entry?.path())?;
    }
    for entry in fs::read_dir(app.published())? {
        let entry = entry?;
        let name = entry.file_name();
        let published = kept.iter().any(|submission| {
            submission.state == State::Published && *submission.number.to_string() == *name
        });
        if !published {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Looks at the operator's runs, and makes the pages anew when something has changed.
fn refresh(app: &App, mut builder: Builder, woken: &Receiver<()>, stop: &AtomicBool) {
    let mut live = Live::default();
    let mut own = Vec::new();
    let mut listed: Option<Instant> = None;
    let mut changed = false;
    while !stop.load(Ordering::Relaxed) {
        if changed || listed.is_none_or(|at| at.elapsed() >= LIST) {
            own = own_runs(&app.config.runs);
            match builder.build(app, &own) {
                Ok(Some(snapshot)) => app.show(snapshot),
                Ok(None) => {}
                Err(error) => tell(&format!("the pages stay as they were: {error}")),
            }
            listed = Some(Instant::now());
        }
        app.show_live(live.look(&own));
        changed = match woken.recv_timeout(LIVE) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}
