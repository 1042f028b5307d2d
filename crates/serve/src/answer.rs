//! Answers: JSON, and errors that say what to do next.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::store::StoreError;

/// Why a request is not answered as asked.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// A word that programs can rely on.
    pub(crate) code: &'static str,
    /// The same for people.
    pub(crate) message: String,
    /// Seconds after which it makes sense to ask again.
    pub(crate) after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Refusal {
            status,
            code,
            message: message.into(),
            after: None,
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Refusal::new(
            StatusCode::NOT_FOUND,
            "not-found",
            format!("there is no such {what}"),
        )
    }

    pub(crate) fn unauthorized(message: &str) -> Self {
        Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    pub(crate) fn later(code: &'static str, message: impl Into<String>, seconds: u64) -> Self {
        Refusal {
            after: Some(seconds),
            ..Refusal::new(StatusCode::TOO_MANY_REQUESTS, code, message)
        }
    }

    /// Something on this side is wrong. What, is for the operator, not for a visitor.
    pub(crate) fn broken(what: &dyn std::fmt::Display) -> Self {
        crate::server::tell(&format!("a request failed: {what}"));
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server",
            "the server failed; its operator finds the reason in its log",
        )
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database { .. } | StoreError::Io { .. } | StoreError::TooNew { .. } => {
                Refusal::broken(&error)
            }
            StoreError::TokenExists(_) => {
                Refusal::new(StatusCode::CONFLICT, "exists", error.to_string())
            }
            StoreError::NoToken(_) => Refusal::not_found("token in force"),
            StoreError::NoKey => Refusal::bad("a token that submits needs a public key"),
            StoreError::TokenName(_) | StoreError::BadKey(_) => Refusal::bad(error.to_string()),
        }
    }
}

impl From<tokio::task::JoinError> for Refusal {
    fn from(error: tokio::task::JoinError) -> Self {
        Refusal::broken(&error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.message, "code": self.code });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // Browsers ask for a name and a password then; the token is the password.
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"mirrorcode\""),
            );
        }
        response
    }
}
