//! Connections, and what they ask for.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body as Bytes;
use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;

use crate::answer::Refusal;
use crate::app::App;
use crate::pages::{Body, MORE};
use crate::server::Waker;
use crate::{api, auth, intake, live};

/// How often it is asked whether the server ends.
const LOOK: Duration = Duration::from_millis(100);
/// Most bytes of a request's line and headers.
const HEADERS: usize = 32 << 10;

/// Everything that is answered.
pub(crate) fn router(app: &Arc<App>, queue: Waker, pages: Waker) -> Router {
    let shared = Arc::clone(app);
    let admin = (Arc::clone(app), queue.clone(), pages);
    let orders = Router::new()
        .route("/api/v1/submissions/{number}/retry", post(api::retry))
        .route("/api/v1/submissions/{number}/withdraw", post(api::withdraw))
        .with_state(admin);
    let intake = Router::new()
        .route(
            "/api/v1/submissions",
            post(intake::submit).get(api::submissions),
        )
        .with_state((Arc::clone(app), queue));
    Router::new()
        .route("/api/v1/health", get(api::health))
        .route("/api/v1/openapi.json", get(api::openapi))
        .route("/api/v1/results", get(api::results))
        .route("/api/v1/tasks", get(api::tasks))
        .route("/api/v1/models", get(api::models))
        .route("/api/v1/runs", get(api::runs))
        .route("/api/v1/runs/{run}", get(api::run))
        .route("/api/v1/runs/{run}/verdict", get(api::verdict))
        .route("/api/v1/runs/{run}/bundle", get(api::bundle))
        .route("/api/v1/live", get(api::live))
        .route("/api/v1/submissions/{number}", get(api::submission))
        .route("/api/v1/tokens", get(api::tokens).post(api::add_token))
        .route("/api/v1/tokens/{name}", delete(api::revoke_token))
        .route("/api/v1/audit", get(api::audit))
        .fallback(site)
        .with_state(Arc::clone(app))
        .merge(orders)
        .merge(intake)
        .layer(DefaultBodyLimit::max(app.config.limits.body))
        .layer(middleware::from_fn_with_state(shared, around))
}

/// What holds of every answer.
async fn around(Shared(app): Shared<Arc<App>>, request: Request, next: Next) -> Response {
    let open = ["/api/v1/health", "/api/v1/openapi.json"].contains(&request.uri().path());
    let mut response = if app.config.private && !open {
        match auth::caller(&app, request.headers()).await {
            Ok(Some(_)) => next.run(request).await,
            Ok(None) => {
                Refusal::unauthorized("this server is private: show a token").into_response()
            }
            Err(refusal) => refusal.into_response(),
        }
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-cache"));
    response
}

/// The site: exactly the files that there are, by name.
async fn site(
    Shared(app): Shared<Arc<App>>,
    method: Method,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Refusal> {
    let path = request.uri().path();
    if path.starts_with("/api/") {
        return Err(Refusal::not_found(
            "place in the API; /api/v1/openapi.json lists them",
        ));
    }
    if method != Method::GET && method != Method::HEAD {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return Ok((StatusCode::METHOD_NOT_ALLOWED, allow).into_response());
    }
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let html = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
    if name == "live.html" {
        let again = request.uri().query() == Some(live::AGAIN);
        return Ok((html, live::page(&app.live(), again, &MORE)).into_response());
    }
    let snapshot = app.snapshot();
    let Some(file) = snapshot.files.get(name) else {
        return Err(Refusal::not_found("page"));
    };
    let known = headers.get(header::IF_NONE_MATCH);
    let tag = HeaderValue::from_str(&file.tag).map_err(|error| Refusal::broken(&error))?;
    if known == Some(&tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response());
    }
    let body = match &file.body {
        Body::Memory(bytes) => Bytes::from(bytes.clone()),
        Body::Disk(path) => stream(path).await?,
    };
    let kind = HeaderValue::from_static(file.kind);
    Ok(([(header::CONTENT_TYPE, kind), (header::ETAG, tag)], body).into_response())
}

/// A file as a body, in pieces.
pub(crate) async fn stream(path: &std::path::Path) -> Result<Bytes, Refusal> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| Refusal::broken(&format!("{}: {error}", path.display())))?;
    Ok(Bytes::from_stream(ReaderStream::with_capacity(
        file,
        64 << 10,
    )))
}

/// Takes connections until `stop` becomes true.
pub(crate) async fn serve(
    app: Arc<App>,
    queue: Waker,
    pages: Waker,
    listener: TcpListener,
    stop: Arc<AtomicBool>,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(app.config.limits.connections));
    let patience = app.config.limits.patience;
    let router = router(&app, queue, pages);
    while !stop.load(Ordering::Relaxed) {
        let Ok(permit) = tokio::time::timeout(LOOK, Arc::clone(&connections).acquire_owned()).await
        else {
            continue;
        };
        let Ok(permit) = permit else { break };
        let stream = match tokio::time::timeout(LOOK, listener.accept()).await {
            Ok(Ok((stream, _))) => stream,
            Ok(Err(_)) => {
                // Too many descriptors, mostly: they come free again.
                tokio::time::sleep(LOOK).await;
                continue;
            }
            Err(_) => continue,
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            // An error is the other side's: it went away, was too slow, or does not speak HTTP.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(patience)
                .max_buf_size(HEADERS)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
    Ok(())
}
