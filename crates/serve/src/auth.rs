//! Who calls.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::answer::Refusal;
use crate::app::App;
use crate::store::{Role, Token};

/// The token that a request shows; `None` for a visitor's.
///
/// A wrong token is an error, also where none is needed: whoever shows one wants to be known. Each request of a token
/// counts.
pub(crate) async fn caller(app: &Arc<App>, headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    let Some(shown) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let secret = shown
        .to_str()
        .ok()
        .and_then(secret)
        .ok_or_else(|| Refusal::unauthorized("write `Authorization: Bearer TOKEN`"))?;
    let store = Arc::clone(app);
    let token = tokio::task::spawn_blocking(move || store.store.token_of(&secret)).await??;
    let token =
        token.ok_or_else(|| Refusal::unauthorized("this token is not known, or revoked"))?;
    app.buckets
        .take(
            &token.name,
            app.config.limits.requests_per_minute,
            Instant::now(),
        )
        .map_err(|seconds| {
            Refusal::later(
                "too-many-requests",
                format!(
                    "{} requests in a minute are what a token has; wait {seconds} s",
                    app.config.limits.requests_per_minute
                ),
                seconds,
            )
        })?;
    Ok(Some(token))
}

/// The same, for what only some may do.
pub(crate) async fn require(
    app: &Arc<App>,
    headers: &HeaderMap,
    role: Role,
) -> Result<Token, Refusal> {
    match caller(app, headers).await? {
        None => Err(Refusal::unauthorized(&format!(
            "this needs a token of role {role}: `Authorization: Bearer TOKEN`"
        ))),
        Some(token) if token.role < role => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!(
                "token {} is a {}'s, and this needs a token of role {role}",
                token.name, token.role
            ),
        )),
        Some(token) => Ok(token),
    }
}

/// The token, as programs show it, or as a browser does: as a password.
fn secret(shown: &str) -> Option<String> {
    let (scheme, rest) = shown.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => {
            let pair = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
            Some(pair.split_once(':')?.1.to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::secret;

    #[test]
    fn tokens_are_shown_in_two_ways() {
        assert_eq!(secret("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(secret("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(secret("Basic bWU6YWJjOmQ=").as_deref(), Some("abc:d"));
        for wrong in ["", "abc", "Basic !", "Basic bWU=", "Digest abc"] {
            assert_eq!(secret(wrong), None, "{wrong}");
        }
    }
}
