//! One HTTP exchange, blocking, watched and timed.

use std::future::Future;
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::sse::{Parser, ServerEvent};
use crate::{Failure, Kind, Phase, Watch, after};

/// How often the watcher is asked whether to stop.
const TICK: Duration = Duration::from_millis(25);
/// How long the end of an answer is waited for when its content is complete, so that the connection can
/// be used again.
const TAIL: Duration = Duration::from_millis(250);
/// The most that is read of an answer that is not a stream, in bytes.
const LONGEST_ERROR: usize = 1 << 20;

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connection: Duration,
    /// For the beginning of the answer. Models that think before they say anything take minutes.
    pub answer: Duration,
    /// For more of the answer.
    pub stream: Duration,
    /// For the whole answer.
    pub end: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connection: Duration::from_secs(20),
            answer: Duration::from_secs(600),
            stream: Duration::from_secs(300),
            end: Duration::from_secs(3_600),
        }
    }
}

/// What is sent.
pub(crate) struct Call {
    pub(crate) url: reqwest::Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Vec<u8>,
}

/// How an exchange ended that did not fail on the way.
pub(crate) enum Exchange {
    /// A stream of events came to its end, or to where the receiver wanted no more.
    Streamed,
    /// Something else came.
    Other {
        status: u16,
        retry_after_ms: Option<u64>,
        body: String,
    },
}

/// Takes events as they come; says whether the answer is complete.
pub(crate) type Receive<'a> =
    &'a mut dyn FnMut(ServerEvent, &mut dyn Watch) -> Result<bool, Failure>;

/// A client with its own runtime, driven by whoever calls it.
pub(crate) struct Client {
    runtime: tokio::runtime::Runtime,
    http: reqwest::Client,
    timeouts: Timeouts,
}

/// A client that sends what it is given, once, to where it is told.
pub(crate) fn client(timeouts: Timeouts) -> Result<reqwest::Client, String> {
    let provider = rustls::crypto::ring::default_provider();
    // Another part of the program may have chosen one before.
    let _ = provider.install_default();
    reqwest::Client::builder()
        .user_agent(concat!("mirrorcode/", env!("CARGO_PKG_VERSION")))
        // A redirect would carry the key to another host.
        .redirect(reqwest::redirect::Policy::none())
        // Retries are counted and recorded, so none may happen unseen.
        .retry(reqwest::retry::never())
        .connect_timeout(timeouts.connection)
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_keepalive(Duration::from_secs(30))
        .build()
        .map_err(|error| told(&error))
}

impl Client {
    pub(crate) fn new(timeouts: Timeouts) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let http = client(timeouts)?;
        Ok(Client {
            runtime,
            http,
            timeouts,
        })
    }

    pub(crate) fn exchange(
        &self,
        call: Call,
        watch: &mut dyn Watch,
        receive: Receive<'_>,
    ) -> Result<Exchange, Failure> {
        self.runtime.block_on(self.run(call, watch, receive))
    }

    async fn run(
        &self,
        call: Call,
        watch: &mut dyn Watch,
        receive: Receive<'_>,
    ) -> Result<Exchange, Failure> {
        let whole = Instant::now() + self.timeouts.end;
        let mut headers: HeaderMap = call.headers.into_iter().collect();
        headers.insert(
            reqwest::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        let sent = self.http.post(call.url).headers(headers).body(call.body);
        let limit = Limit::within(self.timeouts.answer, Phase::Answer, whole);
        let mut answer = watched(sent.send(), limit, watch)
            .await?
            .map_err(|error| of_sending(&error))?;
        let status = answer.status().as_u16();
        let streams = answer
            .headers()
            .get(reqwest::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if status != 200 || !streams {
            let retry_after_ms = after::asked(answer.headers());
            let mut body = Vec::new();
            loop {
                let limit = Limit::within(self.timeouts.stream, Phase::Stream, whole);
                // What the status says counts, also when the rest does not come.
                match watched(answer.chunk(), limit, watch).await {
                    Ok(Ok(Some(piece))) if body.len() < LONGEST_ERROR => body.extend(piece),
                    Err(stopped) if stopped.kind == Kind::Stopped => return Err(stopped),
                    _ => break,
                }
            }
            return Ok(Exchange::Other {
                status,
                retry_after_ms,
                body: String::from_utf8_lossy(&body).into_owned(),
            });
        }
        watch.event(crate::Event::Begun);
        let mut parser = Parser::default();
        loop {
            let limit = Limit::within(self.timeouts.stream, Phase::Stream, whole);
            let piece = watched(answer.chunk(), limit, watch)
                .await?
                .map_err(|error| Failure::new(Kind::CutOff, told(&error)))?;
            let Some(piece) = piece else {
                return Ok(Exchange::Streamed);
            };
            let events = parser.feed(&piece).map_err(|_| {
                Failure::new(Kind::Malformed, "an event of the answer is far too large")
            })?;
            for event in events {
                if receive(event, watch)? {
                    let rest = async { while let Ok(Some(_)) = answer.chunk().await {} };
                    let _ = tokio::time::timeout(TAIL, rest).await;
                    return Ok(Exchange::Streamed);
                }
            }
        }
    }
}

/// When to give up waiting, and what was waited for.
struct Limit {
    at: Instant,
    phase: Phase,
}

impl Limit {
    fn within(time: Duration, phase: Phase, whole: Instant) -> Self {
        let at = Instant::now() + time;
        if at <= whole {
            Limit { at, phase }
        } else {
            Limit {
                at: whole,
                phase: Phase::End,
            }
        }
    }
}

/// Waits for something, until the watcher stops it or the time is over.
async fn watched<T>(
    future: impl Future<Output = T>,
    limit: Limit,
    watch: &mut dyn Watch,
) -> Result<T, Failure> {
    let mut future = std::pin::pin!(future);
    loop {
        if watch.stop() {
            return Err(Failure::new(Kind::Stopped, ""));
        }
        let left = limit.at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let kind = Kind::TimedOut { phase: limit.phase };
            return Err(Failure::new(kind, ""));
        }
        if let Ok(output) = tokio::time::timeout(TICK.min(left), future.as_mut()).await {
            return Ok(output);
        }
    }
}

/// What a request failed of that got no answer.
pub(crate) fn of_sending(error: &reqwest::Error) -> Failure {
    let kind = match (error.is_connect(), error.is_timeout()) {
        (true, true) => Kind::TimedOut {
            phase: Phase::Connection,
        },
        (true, false) => Kind::Unreachable,
        _ => Kind::CutOff,
    };
    Failure::new(kind, told(error))
}

/// An error with its causes on one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
