//! Tools offered over the Model Context Protocol, on standard streams and over HTTP.
//!
//! What the tools do is a [`Desk`]'s affair; this crate speaks the protocol, through the official `rmcp`.
//!
//! # Architecture invariant
//!
//! A client that goes away ends nothing. A call is handed to the desk whole, and goes on whoever waits for its answer;
//! only a client that says so itself cancels one.

mod handler;
mod http;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use tokio::sync::oneshot;

use handler::Handler;
pub use http::{PATH, Token};

/// How often it is looked whether the service is to end.
const LOOK: Duration = Duration::from_millis(100);

/// What is offered.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Name of the server.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What a client is told at the beginning.
    pub instructions: String,
    /// The tools.
    pub tools: Vec<model::Tool>,
    /// Name of the one prompt, and what it is.
    pub prompt: (String, String),
}

/// A client, as it calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the tool.
    pub name: String,
    /// What it is called with, as JSON.
    pub arguments: String,
    /// Raised when the client cancels the call.
    pub cancelled: Arc<AtomicBool>,
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the client is told.
    pub text: String,
    /// Whether the call went wrong.
    pub failed: bool,
}

/// Who does what is asked. None of these may wait: what takes time is told through the channel. A channel that is
/// dropped means that nothing is done any more.
pub trait Desk: Send + Sync {
    /// A client has introduced itself.
    fn client(&self, client: Client);

    /// Does a call.
    fn call(&self, call: Call) -> oneshot::Receiver<Answer>;

    /// Gives the text of the prompt, or says why there is none.
    fn prompt(&self) -> oneshot::Receiver<Result<String, String>>;
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client went away.
    Closed,
    /// It was told to end.
    Told,
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

async fn told(over: &dyn Fn() -> bool) {
    while !over() {
        tokio::time::sleep(LOOK).await;
    }
}

/// Serves one client on standard input and output, until it goes away or `over` says so.
///
/// # Errors
/// When the streams cannot be used, or what comes is not the protocol.
pub fn serve_stdio(
    offer: Offer,
    desk: Arc<dyn Desk>,
    over: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let handler = Handler::new(Arc::new(offer), desk);
        let serving = async {
            match handler.serve(rmcp::transport::stdio()).await {
                Ok(service) => {
                    let _ = service.waiting().await;
                    Ok(Ended::Closed)
                }
                // Whoever leaves before having said anything leaves all the same.
                Err(ServerInitializeError::ConnectionClosed(_)) => Ok(Ended::Closed),
                Err(error) => Err(io::Error::other(error.to_string())),
            }
        };
        tokio::select! {
            ended = serving => ended,
            () = told(over) => Ok(Ended::Told),
        }
    });
    // Standard input may be waited for by a thread that nothing ends.
    runtime.shutdown_background();
    ended
}

/// Serves clients that know the token over HTTP, below [`PATH`], until `over` says so.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve_http(
    listener: TcpListener,
    token: Token,
    offer: Offer,
    desk: Arc<dyn Desk>,
    over: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let gate = http::Gate::new(address, token, Arc::new(offer), desk);
        tokio::select! {
            () = http::serve(listener, gate) => Ok(Ended::Closed),
            () = told(over) => Ok(Ended::Told),
        }
    });
    runtime.shutdown_background();
    ended
}
