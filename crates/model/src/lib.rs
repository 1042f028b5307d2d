//! One conversation type over several model providers, with usage, prices and retries.
//!
//! A [`Model`] answers a [`Request`] with a [`Reply`] or a [`Failure`]. It is called from one thread and
//! blocks; a [`Watch`] is told what happens meanwhile and can stop it.
//!
//! # Architecture invariants
//!
//! - This crate knows conversations, not what they are about: no target, no task, no sandbox.
//! - A [`Message`] goes back to the provider that it came from as it came: what only the provider
//!   understands is kept as its own JSON text.
//! - A key is in no value that can be serialized or printed.

mod after;
mod conversation;
mod failure;
pub mod gateway;
mod http;
mod key;
mod name;
mod price;
mod provider;
mod raw;
mod replayed;
mod reply;
mod request;
mod retry;
mod scripted;
mod sse;
mod watch;
mod wire;

pub use conversation::{Block, Kept, Message, Tool, ToolResult};
pub use failure::{Failure, Kind, Phase, Spent};
pub use http::Timeouts;
pub use key::{Key, KeyError};
pub use name::{Dialect, Name, WrongName};
pub use price::{Cost, Price, PriceError, Prices, UnknownPrice, WrongCost};
pub use provider::{ConnectError, Provider};
pub use raw::{NotJson, Raw};
pub use replayed::{Fingerprint, Recorded, Replayed};
pub use reply::{Attempts, Reply, Stop, Usage};
pub use request::{CacheTime, Request, Settings, Thinking};
pub use retry::{Patience, Retrying};
pub use scripted::{ScriptError, Scripted};
pub use watch::{Event, Silent, Watch};

/// Something that answers.
pub trait Model: Send {
    /// Answers a request, blocking until the reply is whole.
    ///
    /// # Errors
    /// A [`Failure`] by its [`Kind`]. [`Kind::Stopped`] comes within 100 ms of [`Watch::stop`] saying so.
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure>;
}

impl<F> Model for F
where
    F: FnMut(&Request<'_>, &mut dyn Watch) -> Result<Reply, Failure> + Send,
{
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        self(request, watch)
    }
}

impl Model for Box<dyn Model> {
    fn reply(&mut self, request: &Request<'_>, watch: &mut dyn Watch) -> Result<Reply, Failure> {
        (**self).reply(request, watch)
    }
}
