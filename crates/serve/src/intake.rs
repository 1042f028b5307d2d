//! Taking a bundle in: bounded while it comes, known to be signed before it is queued, durable before it is acknowledged.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bundle::{Fault, PublicKey};
use http_body_util::BodyExt;
use report::site::slug;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::answer::Refusal;
use crate::app::App;
use crate::auth;
use crate::server::Waker;
use crate::store::{Added, New, Role, Submission, Token};

/// Removes a file that was not kept.
struct Partial(Option<PathBuf>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

/// `POST /api/v1/submissions`.
pub(crate) async fn submit(
    Shared((app, waker)): Shared<(Arc<App>, Waker)>,
    request: Request,
) -> Result<Response, Refusal> {
    let token = auth::require(&app, request.headers(), Role::Submitter).await?;
    let Some(key) = token.key.clone() else {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "no-key",
            "no key is registered with this token, so nothing that it sends can be verified",
        ));
    };
    let limit = app.config.limits.bundle.file;
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(too_large(limit));
    }
    let (asked, name) = (Arc::clone(&app), token.name.clone());
    let waiting = tokio::task::spawn_blocking(move || asked.store.waiting(&name)).await??;
    let limits = &app.config.limits;
    if waiting.0 >= limits.queue_of_token || waiting.1 >= limits.queue {
        return Err(full());
    }
    let _upload = app.uploads.try_acquire().map_err(|_| {
        Refusal::later(
            "busy",
            "other bundles are coming in at this moment; try again",
            5,
        )
    })?;
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| Refusal::broken(&error))?;
    let name: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = app.incoming().join(format!("{name}.part"));
    let partial = Partial(Some(path.clone()));
    let bytes = receive(&app, request.into_body(), &path, limit).await?;
    let kept = Arc::clone(&app);
    let (submission, new) = tokio::task::spawn_blocking(move || {
        // What is queued has another name by then.
        let _partial = partial;
        queue(&kept, token, key, &path, &name, bytes)
    })
    .await??;
    waker.now();
    let status = if new {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    };
    let place = format!("/api/v1/submissions/{}", submission.number);
    let body = json!({ "submission": submission, "status": place });
    Ok((status, [(header::LOCATION, place)], Json(body)).into_response())
}

fn too_large(limit: u64) -> Refusal {
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        Fault::TooLarge.name(),
        format!("a bundle may have {limit} bytes"),
    )
}

fn full() -> Refusal {
    Refusal::later(
        "queue-full",
        "as many submissions wait as the queue takes; send this one when some are done",
        60,
    )
}

/// Writes the body into a file, part by part.
async fn receive(app: &App, mut body: Body, path: &PathBuf, limit: u64) -> Result<u64, Refusal> {
    let broken = |error: std::io::Error| Refusal::broken(&error);
    let mut file = tokio::fs::File::create_new(path).await.map_err(broken)?;
    let mut bytes = 0_u64;
    loop {
        let frame = tokio::time::timeout(app.config.limits.patience, body.frame())
            .await
            .map_err(|_| {
                Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "timeout",
                    "the rest of the bundle did not come",
                )
            })?;
        let Some(frame) = frame else { break };
        let frame =
            frame.map_err(|error| Refusal::bad(format!("the bundle broke off: {error}")))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        bytes = bytes.saturating_add(data.len() as u64);
        if bytes > limit {
            return Err(too_large(limit));
        }
        file.write_all(&data).await.map_err(broken)?;
    }
    file.sync_all().await.map_err(broken)?;
    Ok(bytes)
}

/// Reads the manifest, holds the signature against the token's key, and queues the bundle.
fn queue(
    app: &App,
    token: Token,
    key: String,
    path: &PathBuf,
    name: &str,
    bytes: u64,
) -> Result<(Submission, bool), Refusal> {
    let broken = |error: std::io::Error| Refusal::broken(&error);
    let limits = &app.config.limits;
    let file = File::open(path).map_err(broken)?;
    let verified = PublicKey::parse(&key)
        .and_then(|key| bundle::open(BufReader::new(file), &limits.bundle)?.verify(&key));
    let manifest = match verified {
        Ok(verified) => verified.manifest().clone(),
        Err(error) => {
            let Some(fault) = error.fault() else {
                return Err(Refusal::broken(&error));
            };
            app.store
                .note(&token.name, "refused", "bundle", &error.to_string())?;
            let status = match fault {
                Fault::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            return Err(Refusal::new(status, fault.name(), error.to_string()));
        }
    };
    let taken = || {
        Refusal::new(
            StatusCode::CONFLICT,
            "run-taken",
            format!("another bundle of run {} is there already", manifest.run),
        )
    };
    let slug = slug(&manifest.run).to_lowercase();
    let own = &app.snapshot().sources;
    if own
        .iter()
        .any(|(run, (_, bundle))| bundle.is_none() && self::slug(run).to_lowercase() == slug)
    {
        return Err(taken());
    }
    let kept = format!("{name}.bundle");
    let place = app.incoming().join(&kept);
    fs::rename(path, &place).map_err(broken)?;
    let mut partial = Partial(Some(place));
    File::open(app.incoming())
        .and_then(|dir| dir.sync_all())
        .map_err(broken)?;
    let new = New {
        token: token.name,
        key,
        file: kept,
        digest: run::digest(manifest.to_json().as_bytes()).to_string(),
        bytes,
        run: manifest.run.clone(),
        slug,
        task: manifest.task.clone(),
    };
    match app.store.add(&new, limits.queue_of_token, limits.queue)? {
        Added::Queued(submission) => {
            partial.0 = None;
            Ok((submission, true))
        }
        Added::Again(submission) => Ok((submission, false)),
        Added::Taken => Err(taken()),
        Added::Full => Err(full()),
    }
}
