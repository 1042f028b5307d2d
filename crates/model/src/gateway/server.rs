//! The HTTP side: takes requests, passes on those that may pass, and hands their answers back as they come.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::convert::Infallible;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
};
use hyper::http;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::task::LocalSet;

use super::answer::{Listener, Overheard, UnderWay};
use super::clerk::{Clerk, Deed};
use super::refusal::{self, Reason};
use super::request::{self, Passed};
use super::route::{self, Act};
use super::{Denied, Refusal, Upstream};
use crate::http as http_of;
use crate::{Dialect, Failure, Kind, Phase, Spent, Usage, after, wire};

/// Largest request, in MiB. Providers take 32 MB at most.
const LARGEST: u32 = 32;
/// Requests that are held at the same time, in MiB.
const HELD: usize = 512;
/// Connections at the same time.
const CONNECTIONS: usize = 512;
/// Tokens of an answer that every model gives.
const LEAST_LONGEST: u64 = 1024;
/// How soon a run that waits is looked at again.
const LOOK: Duration = Duration::from_millis(100);
/// The most that is read of an answer that is an error, in bytes.
const LONGEST_ERROR: usize = 1 << 20;
/// Different things that are told of as left out.
const MOST_LEFT_OUT: usize = 1000;
/// The version of Anthropic's interface whose rules are known here.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Beginnings of the names of Anthropic's trial features that let nothing out.
const BETAS: [&str; 13] = [
    "claude-code-",
    "interleaved-thinking-",
    "fine-grained-tool-streaming-",
    "context-1m-",
    "context-management-",
    "prompt-caching-",
    "extended-cache-ttl-",
    "token-efficient-tools-",
    "output-128k-",
    "effort-",
    "structured-outputs-",
    "mid-conversation-system-",
    "thinking-token-count-",
];
/// Header fields of an answer that are handed back.
const BACK: [&str; 8] = [
    "content-type",
    "retry-after",
    "retry-after-ms",
    "x-should-retry",
    "request-id",
    "x-request-id",
    "openai-processing-ms",
    "openai-version",
];
/// Beginnings of more of them.
const BACK_BEGINNINGS: [&str; 2] = ["anthropic-ratelimit-", "x-ratelimit-"];

type Answer = Response<UnsyncBoxBody<Bytes, String>>;

struct Server {
    upstream: Upstream,
    clerk: Clerk,
    held: Semaphore,
    /// Most tokens of an answer that the model gives, as far as its provider has said so.
    longest: Cell<u64>,
    /// What was left out before: each thing is told once.
    left_out: RefCell<HashSet<String>>,
}

pub(super) fn run(
    runtime: &Runtime,
    listener: TcpListener,
    upstream: Upstream,
    clerk: Clerk,
    stopped: oneshot::Receiver<()>,
) {
    let server = Rc::new(Server {
        upstream,
        clerk,
        held: Semaphore::new(HELD),
        longest: Cell::new(u64::MAX),
        left_out: RefCell::default(),
    });
    let local = LocalSet::new();
    local.block_on(runtime, async move {
        tokio::select! {
            () = serve(server, listener) => {}
            _ = stopped => {}
        }
    });
}

async fn serve(server: Rc<Server>, listener: TcpListener) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, or a caller that is gone already.
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let server = Rc::clone(&server);
        tokio::task::spawn_local(async move {
            let service = hyper::service::service_fn(|request| {
                let server = Rc::clone(&server);
                async move { Ok::<_, Infallible>(server.handle(request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

fn body(bytes: impl Into<Bytes>) -> UnsyncBoxBody<Bytes, String> {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What a caller did not get, and the dialect in which it is told so.
struct Vain {
    dialect: Dialect,
    reason: Reason,
    what: String,
}

impl Server {
    async fn handle(self: Rc<Self>, request: Request<Incoming>) -> Answer {
        let place = format!("{} {}", request.method(), request.uri().path());
        match self.pass(request, &place).await {
            Ok(answer) => answer,
            Err(vain) => {
                let (status, text) = refusal::written(vain.dialect, vain.reason, &vain.what);
                self.note(&place, vain.reason, vain.what);
                let mut answer = Response::new(body(text));
                *answer.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
                let headers = answer.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                // The same request would be refused again.
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
                answer
            }
        }
    }

    fn note(&self, place: &str, reason: Reason, what: String) {
        let short = |text: &str| text.chars().take(500).collect();
        self.clerk.tell(Deed::Refused(Refusal {
            place: short(place),
            reason,
            what: short(&what),
        }));
    }

    fn leave_out(&self, place: &str, what: String) {
        let mut known = self.left_out.borrow_mut();
        if known.len() < MOST_LEFT_OUT && known.insert(what.clone()) {
            drop(known);
            self.note(place, Reason::LeftOut, what);
        }
    }

    async fn pass(&self, request: Request<Incoming>, place: &str) -> Result<Answer, Vain> {
        let (head, incoming) = request.into_parts();
        let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let pinned = &self.upstream.pinned;
        let route = route::find(head.method.as_str(), path, query)
            .filter(|route| route::dialects(&pinned.name).contains(&route.dialect))
            .ok_or_else(|| Vain {
                dialect: route::tongue(path),
                reason: Reason::Path,
                what: format!("{place} is not here: {} alone can be asked", pinned.name),
            })?;
        let dialect = route.dialect;
        let vain = |(reason, what)| Vain {
            dialect,
            reason,
            what,
        };
        let (permit, bytes) = self.receive(&head.headers, incoming).await.map_err(vain)?;
        let passed = request::read(&route, pinned, &bytes).map_err(vain)?;
        let (headers, refused) = headers(dialect, &head.headers);
        for beta in refused {
            self.leave_out(place, format!("the trial feature {beta:?} is left out"));
        }
        for name in &passed.left_out {
            self.leave_out(place, format!("the field {name:?} is left out"));
        }
        let path = route::upstream(&route, &pinned.name, query);
        if route.act == Act::Count {
            // Costs nothing, and nothing is answered but a number.
            self.count(dialect, bytes.len()).await.map_err(vain)?;
            let sent = self.send(&path, dialect, headers, passed.body(None)).await;
            let answer = sent.map_err(|failure| vain((Reason::Provider, failure.to_string())))?;
            let (parts, body) = http::Response::from(answer).into_parts();
            let bytes = self.read_short(body).await;
            return Ok(self.whole(&parts, bytes));
        }
        let (number, cap) = self.admit(&passed, bytes.len()).await.map_err(vain)?;
        drop(bytes);
        let mut call = UnderWay::new(self.clerk.clone(), number);
        // A limit that the caller did not name may be more than the model gives at all.
        let mut named_here = cap.filter(|_| passed.most.is_none());
        let again = named_here.is_some().then(|| passed.clone());
        let cap = cap.map(|cap| named_here.map_or(cap, |cap| cap.min(self.longest.get())));
        named_here = named_here.and(cap);
        let mut body = passed.body(cap);
        let (answer, refused) = loop {
            let sent = self.send(&path, dialect, headers.clone(), body).await;
            let answer = sent.map_err(|failure| {
                let what = failure.to_string();
                call.end(Err(failure));
                vain((Reason::Provider, what))
            })?;
            if answer.status() == StatusCode::OK {
                break (answer, None);
            }
            let (parts, rest) = http::Response::from(answer).into_parts();
            let bytes = self.read_short(rest).await;
            let lower = named_here.map(|cap| cap / 2).filter(|lower| {
                parts.status == StatusCode::BAD_REQUEST
                    && *lower >= LEAST_LONGEST
                    && request::names_limit(&String::from_utf8_lossy(&bytes))
            });
            let (Some(lower), Some(passed)) = (lower, &again) else {
                let empty = http::Response::from_parts(parts, reqwest::Body::default());
                break (empty.into(), Some(bytes));
            };
            self.leave_out(
                place,
                format!(
                    "no limit is named for the answer; the budget allows {} tokens, more than the model gives, so {lower} are \
                     asked for",
                    lower * 2
                ),
            );
            self.longest.set(lower);
            named_here = Some(lower);
            body = passed.clone().body(named_here);
        };
        drop(again);
        drop(permit);
        let retry_after_ms = after::asked(answer.headers());
        let (parts, body) = http::Response::from(answer).into_parts();
        if let Some(bytes) = refused {
            let text = String::from_utf8_lossy(&bytes);
            let mut failure = wire::understood(parts.status.as_u16(), retry_after_ms, &text);
            if let Some(key) = &self.upstream.key {
                failure.message = key.hide(&failure.message);
            }
            call.end(Err(failure));
            return Ok(self.whole(&parts, bytes));
        }
        let streams = parts
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let listener = Listener::new(dialect, streams);
        let overheard = Overheard::new(body, listener, call, &self.upstream.timeouts);
        let mut answer = Response::new(overheard.boxed_unsync());
        *answer.headers_mut() = handed_back(&parts.headers);
        Ok(answer)
    }

    /// Takes a request's body.
    async fn receive(
        &self,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Result<(SemaphorePermit<'_>, Bytes), (Reason, String)> {
        let too_large = || {
            let what = format!("a request has {LARGEST} MiB at most");
            (Reason::TooLarge, what)
        };
        if headers
            .get(CONTENT_ENCODING)
            .is_some_and(|coding| coding != "identity")
        {
            let what = "send the request without a content encoding".to_owned();
            return Err((Reason::Content, what));
        }
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let size = length.map_or(u64::from(LARGEST), |length| (length >> 20) + 1);
        let size = u32::try_from(size).ok().filter(|size| *size <= LARGEST);
        let size = size.ok_or_else(too_large)?;
        let closed = |_| (Reason::Closed, "the run is over".to_owned());
        let permit = self.held.acquire_many(size).await.map_err(closed)?;
        let limited = Limited::new(body, (LARGEST as usize) << 20);
        match limited.collect().await {
            Ok(collected) => Ok((permit, collected.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
            Err(error) => Err((Reason::Content, error.to_string())),
        }
    }

    /// Waits for the desk; gives the call's number and what its answer is to be capped to.
    async fn admit(
        &self,
        passed: &Passed,
        bytes: usize,
    ) -> Result<(u64, Option<u64>), (Reason, String)> {
        loop {
            match self.clerk.admit(Box::new(passed.ask(bytes))).await {
                Ok(admitted) => {
                    let cap = admitted
                        .output_tokens
                        .filter(|cap| passed.most.is_none_or(|most| *cap < most));
                    return Ok((admitted.call, cap));
                }
                Err(Denied::Wait) => tokio::time::sleep(LOOK).await,
                Err(denied) => return Err(denied_in_words(&denied)),
            }
        }
    }

    /// Waits until the tokens of a request may be counted.
    async fn count(&self, dialect: Dialect, bytes: usize) -> Result<(), (Reason, String)> {
        loop {
            match self.clerk.count(dialect, bytes as u64).await {
                Ok(()) => return Ok(()),
                Err(Denied::Wait) => tokio::time::sleep(LOOK).await,
                Err(denied) => return Err(denied_in_words(&denied)),
            }
        }
    }

    async fn send(
        &self,
        path: &str,
        dialect: Dialect,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<reqwest::Response, Failure> {
        let upstream = &self.upstream;
        if let Some(key) = &upstream.key {
            let (name, before) = match dialect {
                Dialect::Anthropic => ("x-api-key", ""),
                Dialect::Responses | Dialect::Chat => ("authorization", "Bearer "),
                Dialect::Gemini => ("x-goog-api-key", ""),
            };
            let wrong = |_| Failure::new(Kind::BadRequest, "the key does not fit into a header");
            let mut value =
                HeaderValue::try_from(format!("{before}{}", key.reveal())).map_err(wrong)?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let request = upstream
            .client
            .post(format!("{}{path}", upstream.base))
            .headers(headers)
            .body(body);
        match tokio::time::timeout(upstream.timeouts.answer, request.send()).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                let mut failure = http_of::of_sending(&error);
                if failure.kind != Kind::Unreachable {
                    failure.spent = Spent::Unknown(Usage::default());
                }
                Err(failure)
            }
            Err(_) => {
                let phase = Phase::Answer;
                let mut failure = Failure::new(Kind::TimedOut { phase }, "");
                failure.spent = Spent::Unknown(Usage::default());
                Err(failure)
            }
        }
    }

    /// A body that is no stream of events, as far as it comes.
    async fn read_short(&self, mut body: reqwest::Body) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Ok(Some(Ok(frame))) =
            tokio::time::timeout(self.upstream.timeouts.stream, body.frame()).await
        {
            if let Some(piece) = frame.data_ref() {
                bytes.extend_from_slice(piece);
            }
            if bytes.len() > LONGEST_ERROR {
                break;
            }
        }
        bytes
    }

    /// What a provider said at once, without the key in it.
    fn whole(&self, parts: &http::response::Parts, bytes: Vec<u8>) -> Answer {
        let bytes = match (&self.upstream.key, String::from_utf8(bytes)) {
            (Some(key), Ok(text)) => key.hide(&text).into_bytes(),
            (None, Ok(text)) => text.into_bytes(),
            (_, Err(error)) => error.into_bytes(),
        };
        let mut answer = Response::new(body(bytes));
        *answer.status_mut() = parts.status;
        *answer.headers_mut() = handed_back(&parts.headers);
        answer
    }
}

fn denied_in_words(denied: &Denied) -> (Reason, String) {
    match denied {
        Denied::Budget(limit) => {
            let what = format!("the budget of this run is used up ({limit})");
            (Reason::Budget, what)
        }
        Denied::Wait | Denied::Closed => (Reason::Closed, "the run is over".to_owned()),
    }
}

/// Header fields for the provider, and names of trial features that are left out.
fn headers(dialect: Dialect, from: &HeaderMap) -> (HeaderMap, Vec<String>) {
    let (mut headers, mut refused) = (HeaderMap::new(), Vec::new());
    if dialect != Dialect::Anthropic {
        return (headers, refused);
    }
    let version = HeaderValue::from_static(ANTHROPIC_VERSION);
    headers.insert("anthropic-version", version);
    let betas: Vec<&str> = from
        .get_all("anthropic-beta")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|beta| !beta.is_empty())
        .collect();
    let (kept, others): (Vec<&str>, Vec<&str>) = betas
        .into_iter()
        .partition(|beta| BETAS.iter().any(|known| beta.starts_with(known)));
    refused.extend(others.into_iter().map(str::to_owned));
    if let Ok(value) = HeaderValue::try_from(kept.join(","))
        && !kept.is_empty()
    {
        headers.insert("anthropic-beta", value);
    }
    (headers, refused)
}

fn handed_back(from: &HeaderMap) -> HeaderMap {
    let known = |name: &HeaderName| {
        BACK.contains(&name.as_str())
            || BACK_BEGINNINGS
                .iter()
                .any(|start| name.as_str().starts_with(start))
    };
    from.iter()
        .filter(|(name, _)| known(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
