//! The metered gateway: other people's agents speak to it as they would to their provider, and it passes on what may
//! pass.
//!
//! # Architecture invariants
//!
//! - What is sent to the provider is built of what [`rules`] name; nothing else that a caller writes gets through, no
//!   header and no part of the path.
//! - Nothing is sent before the [`Desk`] has admitted it and has that on record.
//! - A caller's key is not looked at, and the provider's never goes the other way.
//! - Answers go back byte for byte, as they come.

mod answer;
mod clerk;
mod refusal;
mod request;
mod route;
mod rules;
mod server;
mod strict;

use std::net::TcpListener;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use refusal::Reason;
pub use route::dialects;

use crate::{ConnectError, Dialect, Failure, Key, Name, Reply, Timeouts, http, provider};

/// What stands where a caller's client wants a key. It opens nothing.
pub const WORTHLESS_KEY: &str = "worthless-inside-the-sandbox";

/// The one model that there is.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The model.
    pub name: Name,
    /// Other models' names that stand for it, for the small calls that agents make beside their work. A `*` at the end
    /// stands for any ending.
    pub aliases: Vec<String>,
}

impl Pinned {
    fn stands_for(&self, asked: &str) -> bool {
        self.aliases
            .iter()
            .any(|alias| match alias.strip_suffix('*') {
                Some(start) => asked.starts_with(start) && !asked.is_empty(),
                None => asked == alias,
            })
    }
}

/// Where requests go.
pub struct Upstream {
    pinned: Pinned,
    base: String,
    key: Option<Key>,
    timeouts: Timeouts,
    client: reqwest::Client,
}

impl Upstream {
    /// Prepares to pass on; nothing is sent yet. `base` and `key` are as for [`crate::Provider::new`].
    ///
    /// # Errors
    /// As there.
    pub fn new(
        pinned: Pinned,
        base: Option<&str>,
        key: Option<Key>,
        timeouts: Timeouts,
    ) -> Result<Self, ConnectError> {
        let base = provider::place(&pinned.name, base, key.as_ref())?;
        let client = http::client(timeouts).map_err(|what| ConnectError::Machine {
            name: pinned.name.clone(),
            what,
        })?;
        Ok(Upstream {
            pinned,
            base,
            key,
            timeouts,
            client,
        })
    }

    /// The model.
    pub fn name(&self) -> &Name {
        &self.pinned.name
    }
}

/// A request that may pass, as far as its content is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The language that it is in.
    pub dialect: Dialect,
    /// The name under which the model was asked for, where that is not its own.
    pub alias: Option<String>,
    /// The conversation, each of its messages as the caller wrote it.
    pub items: Vec<String>,
    /// Everything else, a JSON object.
    pub rest: String,
    /// Length of the whole request.
    pub bytes: u64,
    /// Most tokens of the answer that are asked for.
    pub most: Option<u64>,
    /// Tokens of the answer with fewer of which it makes no sense.
    pub least: u64,
}

/// A request that passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Number of the call.
    pub call: u64,
    /// Most tokens of the answer, where there is a limit on them.
    pub output_tokens: Option<u64>,
}

/// Why a request does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Not now: ask again soon.
    Wait,
    /// This limit is reached.
    Budget(&'static str),
    /// The run is over, or can no longer be recorded.
    Closed,
}

/// Something that was asked for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Method and path.
    pub place: String,
    /// Why.
    pub reason: Reason,
    /// What was wrong, in words.
    pub what: String,
}

/// Decides about requests and records them. Called on one thread, which may wait.
pub trait Desk: Send {
    /// Decides about a request; what it decides is made durable by the next [`Desk::flush`].
    fn admit(&mut self, ask: &Ask) -> Result<Admitted, Denied>;

    /// Decides whether the tokens of a request of so many bytes may be counted, which costs nothing.
    fn count(&mut self, dialect: Dialect, bytes: u64) -> Result<(), Denied>;

    /// A call was answered.
    fn answered(&mut self, call: u64, reply: Reply, milliseconds: u64);

    /// A call was not answered, or not to its end.
    fn failed(&mut self, call: u64, failure: Failure, milliseconds: u64);

    /// Something was asked for in vain, or a part of a request was left out.
    fn refused(&mut self, refusal: Refusal);

    /// Makes all of it durable; says whether that went well.
    fn flush(&mut self) -> bool;
}

/// A gateway at work. Dropping it ends what is under way, and returns when the desk has heard of that.
pub struct Gateway {
    stop: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Serves whoever connects to `listener`.
    ///
    /// # Errors
    /// When the system gives no thread or event queue.
    pub fn start(
        listener: TcpListener,
        upstream: Upstream,
        desk: Box<dyn Desk>,
    ) -> std::io::Result<Self> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (clerk, desk) = clerk::Clerk::start(desk);
        let server = std::thread::Builder::new()
            .name("gateway".to_owned())
            .spawn(move || server::run(&runtime, listener, upstream, clerk, stopped))?;
        Ok(Gateway {
            stop: Some(stop),
            threads: vec![server, desk],
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
