//! The HTTP API, but for taking bundles in. `openapi.rs` describes it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::Refusal;
use crate::app::App;
use crate::server::Waker;
use crate::store::{Role, State, StoreError};
use crate::{auth, http, openapi};

/// Rows that are answered when nobody says how many, and at most.
const ROWS: u32 = 100;
const MOST_ROWS: u32 = 1000;

type Answer = Result<Response, Refusal>;
type Of = Shared<Arc<App>>;
type Orders = Shared<(Arc<App>, Waker, Waker)>;

/// Does something with the database, which may have to wait.
async fn with<T: Send + 'static>(
    app: &Arc<App>,
    what: impl FnOnce(&App) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Refusal> {
    let app = Arc::clone(app);
    Ok(tokio::task::spawn_blocking(move || what(&app)).await??)
}

fn json_text(bytes: bytes::Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

fn query<T>(found: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    found
        .map(|Query(value)| value)
        .map_err(|error| Refusal::bad(error.body_text()))
}

fn path<T>(found: Result<Path<T>, PathRejection>, what: &str) -> Result<T, Refusal> {
    found
        .map(|Path(value)| value)
        .map_err(|_| Refusal::not_found(what))
}

fn rows(limit: Option<u32>) -> Result<u32, Refusal> {
    match limit.unwrap_or(ROWS) {
        limit @ 1..=MOST_ROWS => Ok(limit),
        _ => Err(Refusal::bad(format!("limit: from 1 to {MOST_ROWS}"))),
    }
}

pub(crate) async fn health() -> Json<Value> {
    Json(json!({ "status": "ok", "mirrorcode": env!("CARGO_PKG_VERSION") }))
}

pub(crate) async fn openapi() -> Response {
    json_text(openapi::text().clone())
}

pub(crate) async fn results(Shared(app): Of) -> Response {
    json_text(app.snapshot().results.clone())
}

pub(crate) async fn tasks(Shared(app): Of) -> Json<Value> {
    Json(json!({ "tasks": app.snapshot().tasks }))
}

pub(crate) async fn models(Shared(app): Of) -> Json<Value> {
    Json(json!({ "models": app.snapshot().models }))
}

pub(crate) async fn live(Shared(app): Of) -> Json<Value> {
    Json(json!({ "runs": *app.live() }))
}

/// Which runs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    task: Option<String>,
    model: Option<String>,
    offset: Option<u32>,
    limit: Option<u32>,
}

pub(crate) async fn runs(
    Shared(app): Of,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let which = query(which)?;
    let (offset, limit) = (
        which.offset.unwrap_or(0) as usize,
        rows(which.limit)? as usize,
    );
    let snapshot = app.snapshot();
    let is = |row: &Value, name: &str, wanted: &Option<String>| {
        wanted.as_ref().is_none_or(|wanted| row[name] == **wanted)
    };
    let found: Vec<&Value> = snapshot
        .runs
        .iter()
        .filter(|row| is(row, "task", &which.task) && is(row, "model", &which.model))
        .collect();
    let part: Vec<&Value> = found.iter().skip(offset).take(limit).copied().collect();
    let next = offset.saturating_add(limit);
    Ok(Json(json!({
        "runs": part,
        "total": found.len(),
        "next": (next < found.len()).then_some(next),
    })))
}

pub(crate) async fn run(
    Shared(app): Of,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let name = path(name, "run")?;
    let snapshot = app.snapshot();
    let place = snapshot.places.get(&name);
    let row = place.and_then(|place| snapshot.runs.get(*place));
    row.map(|row| Json(row.clone()))
        .ok_or_else(|| Refusal::not_found("run"))
}

pub(crate) async fn verdict(Shared(app): Of, name: Result<Path<String>, PathRejection>) -> Answer {
    let name = path(name, "run")?;
    let verdict = app
        .snapshot()
        .sources
        .get(&name)
        .map(|(dir, _)| dir.join(bundle::VERDICT))
        .filter(|path| path.is_file())
        .ok_or_else(|| Refusal::not_found("verdict"))?;
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((kind, http::stream(&verdict).await?).into_response())
}

pub(crate) async fn bundle(Shared(app): Of, name: Result<Path<String>, PathRejection>) -> Answer {
    let name = path(name, "run")?;
    let found = app
        .snapshot()
        .sources
        .get(&name)
        .and_then(|(_, bundle)| bundle.clone())
        .ok_or_else(|| Refusal::not_found("bundle"))?;
    let as_file = format!(
        "attachment; filename=\"{}.bundle\"",
        report::site::slug(&name)
    );
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/zstd"),
        ),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&as_file).map_err(|error| Refusal::broken(&error))?,
        ),
    ];
    Ok((headers, http::stream(&found).await?).into_response())
}

/// Which part of a list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    after: Option<u32>,
    limit: Option<u32>,
}

/// The number after which the next part begins, where this one is full.
fn next(last: Option<i64>, count: usize, limit: u32) -> Option<i64> {
    last.filter(|_| count == limit as usize)
}

pub(crate) async fn submissions(
    Shared((app, _)): Shared<(Arc<App>, Waker)>,
    headers: HeaderMap,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    let token = auth::require(&app, &headers, Role::Submitter).await?;
    let part = query(part)?;
    let (after, limit) = (part.after.unwrap_or(0).into(), rows(part.limit)?);
    let whose = (token.role < Role::Admin).then_some(token.name);
    let found = with(&app, move |app| {
        app.store.submissions(whose.as_deref(), after, limit)
    })
    .await?;
    let next = next(found.last().map(|last| last.number), found.len(), limit);
    Ok(Json(json!({ "submissions": found, "next": next })))
}

pub(crate) async fn submission(
    Shared(app): Of,
    headers: HeaderMap,
    number: Result<Path<u32>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let token = auth::require(&app, &headers, Role::Submitter).await?;
    let number = path(number, "submission")?.into();
    let found = with(&app, move |app| app.store.submission(number)).await?;
    // Whose it is not is not told that it is there.
    let found = found.filter(|found| token.role >= Role::Admin || found.token == token.name);
    let found = found.ok_or_else(|| Refusal::not_found("submission"))?;
    Ok(Json(json!(found)))
}

async fn order(
    app: &Arc<App>,
    headers: &HeaderMap,
    number: Result<Path<u32>, PathRejection>,
    from: &'static [State],
    to: State,
) -> Result<Json<Value>, Refusal> {
    let token = auth::require(app, headers, Role::Admin).await?;
    let number: i64 = path(number, "submission")?.into();
    let (done, found) = with(app, move |app| {
        let done = app.store.order(&token.name, number, from, to)?;
        Ok((done, app.store.submission(number)?))
    })
    .await?;
    let found = found.ok_or_else(|| Refusal::not_found("submission"))?;
    if !done {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "state",
            format!(
                "the submission is {}, which cannot become {}, or another one of its run is there",
                found.state.name(),
                to.name()
            ),
        ));
    }
    Ok(Json(json!(found)))
}

pub(crate) async fn retry(
    Shared((app, queue, _)): Orders,
    headers: HeaderMap,
    number: Result<Path<u32>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let from = &[State::Failed, State::Withdrawn];
    let done = order(&app, &headers, number, from, State::Queued).await?;
    queue.now();
    Ok(done)
}

pub(crate) async fn withdraw(
    Shared((app, _, pages)): Orders,
    headers: HeaderMap,
    number: Result<Path<u32>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let from = &[State::Published, State::Queued, State::Failed];
    let done = order(&app, &headers, number, from, State::Withdrawn).await?;
    pages.now();
    Ok(done)
}

pub(crate) async fn tokens(Shared(app): Of, headers: HeaderMap) -> Result<Json<Value>, Refusal> {
    auth::require(&app, &headers, Role::Admin).await?;
    let tokens = with(&app, |app| app.store.tokens()).await?;
    Ok(Json(json!({ "tokens": tokens })))
}

/// A token that is to be made.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    name: String,
    role: Role,
    key: Option<String>,
}

pub(crate) async fn add_token(
    Shared(app): Of,
    headers: HeaderMap,
    new: Result<Json<NewToken>, JsonRejection>,
) -> Answer {
    let token = auth::require(&app, &headers, Role::Admin).await?;
    let Json(new) = new.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            Refusal::new(error.status(), "too-large", error.body_text())
        }
        _ => Refusal::bad(error.body_text()),
    })?;
    let created = with(&app, move |app| {
        app.store
            .add_token(&token.name, &new.name, new.role, new.key.as_deref())
    })
    .await?;
    let body = json!({ "token": created.token, "secret": created.secret });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn revoke_token(
    Shared(app): Of,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Answer {
    let token = auth::require(&app, &headers, Role::Admin).await?;
    let name = path(name, "token in force")?;
    with(&app, move |app| app.store.revoke_token(&token.name, &name)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub(crate) async fn audit(
    Shared(app): Of,
    headers: HeaderMap,
    part: Result<Query<Part>, QueryRejection>,
) -> Result<Json<Value>, Refusal> {
    auth::require(&app, &headers, Role::Admin).await?;
    let part = query(part)?;
    let (after, limit) = (part.after.unwrap_or(0).into(), rows(part.limit)?);
    let found = with(&app, move |app| app.store.audit(after, limit)).await?;
    let next = next(found.last().map(|last| last.number), found.len(), limit);
    Ok(Json(json!({ "entries": found, "next": next })))
}
