//! The protocol over HTTP, for those who know a token, on loopback.
//!
//! A page in a browser can send requests to loopback, and can make its own name stand for it. So a request is served only
//! if it names this address, comes from no page, and brings the token.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, ORIGIN, WWW_AUTHENTICATE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::sync::Semaphore;

use crate::handler::Handler;
use crate::{Desk, Offer};

/// Where the service is.
pub const PATH: &str = "/mcp";
/// Largest request, in bytes: a file that is written whole.
const LARGEST: usize = 16 << 20;
/// Connections at the same time.
const CONNECTIONS: usize = 64;
/// How long is waited when no connection can be taken.
const PATIENCE: Duration = Duration::from_millis(100);

type Answer = Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

/// What a client has to know.
#[derive(Clone)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// A token of visible ASCII characters, at least 16 of them.
    ///
    /// # Errors
    /// When it is another text.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() < 16 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is at least 16 visible ASCII characters".to_owned());
        }
        Ok(Token(text.to_owned()))
    }

    /// The token.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its time where a guess goes wrong.
    fn is(&self, given: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let differences = own
            .iter()
            .zip(given)
            .fold(0, |sum, (own, given)| sum | (own ^ given));
        own.len() == given.len() && differences == 0
    }

    fn opens(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let value = value.as_bytes();
        let Some(scheme) = value.get(..7) else {
            return false;
        };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.is(&value[7..])
    }
}

/// Who decides which requests are served.
pub(crate) struct Gate {
    token: Token,
    service: StreamableHttpService<Handler, LocalSessionManager>,
}

impl Gate {
    pub(crate) fn new(
        address: SocketAddr,
        token: Token,
        offer: Arc<Offer>,
        desk: Arc<dyn Desk>,
    ) -> Self {
        let port = address.port();
        let mut sessions = LocalSessionManager::default();
        // A tool may take hours, and its client may come back after days.
        sessions.session_config.keep_alive = None;
        let config = StreamableHttpServerConfig::default()
            .with_allowed_hosts([
                address.to_string(),
                format!("localhost:{port}"),
                format!("127.0.0.1:{port}"),
                format!("[::1]:{port}"),
            ])
            .enforce_origin_validation()
            .with_max_request_body_bytes(LARGEST);
        let service = StreamableHttpService::new(
            move || Ok(Handler::new(Arc::clone(&offer), Arc::clone(&desk))),
            Arc::new(sessions),
            config,
        );
        Gate { token, service }
    }

    async fn serve(&self, request: Request<Incoming>) -> Answer {
        if request.headers().contains_key(ORIGIN) {
            return refuse(StatusCode::FORBIDDEN, "pages in browsers are not served");
        }
        if !self.token.opens(request.headers()) {
            let mut answer = refuse(
                StatusCode::UNAUTHORIZED,
                "the header field `Authorization: Bearer TOKEN` is missing or has another token than the server named when it \
                 began",
            );
            answer
                .headers_mut()
                .insert(WWW_AUTHENTICATE, "Bearer".parse().expect("it is a word"));
            return answer;
        }
        if request.uri().path() != PATH {
            return refuse(StatusCode::NOT_FOUND, "the service is at /mcp");
        }
        self.service.handle(request).await
    }
}

fn refuse(status: StatusCode, why: &'static str) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_static(why.as_bytes())).boxed());
    *answer.status_mut() = status;
    answer
}

pub(crate) async fn serve(listener: tokio::net::TcpListener, gate: Gate) {
    let gate = Arc::new(gate);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        let gate = Arc::clone(&gate);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let gate = Arc::clone(&gate);
                async move { Ok::<_, Infallible>(gate.serve(request).await) }
            });
            // A connection that breaks off is its client's affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_opens() {
        let token = Token::new("0123456789abcdef").unwrap();
        let opens = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            token.opens(&headers)
        };
        assert!(opens(&["Bearer 0123456789abcdef"]));
        assert!(opens(&["bearer 0123456789abcdef"]));
        assert!(!opens(&[]));
        assert!(!opens(&["Bearer "]));
        assert!(!opens(&["Bearer 0123456789abcde"]));
        assert!(!opens(&["Bearer 0123456789abcdeg"]));
        assert!(!opens(&["Bearer 0123456789abcdef0"]));
        assert!(!opens(&["Basic 0123456789abcdef"]));
        assert!(!opens(&[
            "Bearer 0123456789abcdef",
            "Bearer 0123456789abcdef"
        ]));
        assert!(!format!("{token:?}").contains("0123"));
        assert!(Token::new("short").is_err() && Token::new("with a blank in between").is_err());
    }
}
