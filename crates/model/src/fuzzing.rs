//! Ways in for the fuzz targets, to what otherwise only reads what a server sends.

use crate::sse::{Parser, ServerEvent};
use crate::wire;
use crate::{Dialect, Failure, Kind, Name, Reply, Request, Watch};

/// The events of a stream that comes in pieces, as names and data; `None` when one is too large.
pub fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<(String, String)>> {
    let events = parse(pieces)?;
    Some(
        events
            .into_iter()
            .map(|event| (event.name, event.data))
            .collect(),
    )
}

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<ServerEvent>> {
    let mut parser = Parser::default();
    let mut events = Vec::new();
    for piece in pieces {
        events.extend(parser.feed(piece).ok()?);
    }
    Some(events)
}

/// The reply that a provider's stream amounts to.
///
/// # Errors
/// What is wrong with it, as for [`crate::Model::reply`].
pub fn reply<'a>(
    dialect: Dialect,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    watch: &mut dyn Watch,
) -> Result<Reply, Failure> {
    let too_large = || Failure::new(Kind::Malformed, "an event is far too large");
    let mut reader = wire::reader(dialect);
    for event in parse(pieces).ok_or_else(too_large)? {
        if reader.event(&event, watch)? {
            break;
        }
    }
    let _ = reader.usage();
    reader.reply()
}

/// The body in which a request is sent.
///
/// # Errors
/// When the provider has no words for it.
pub fn body(name: &Name, request: &Request<'_>) -> Result<Vec<u8>, Failure> {
    wire::write(name, request).map(|sent| sent.body)
}

/// What an answer that is no stream means.
pub fn failure(status: u16, body: &str) -> Failure {
    wire::understood(status, None, body)
}

/// What a server asks to wait, in milliseconds, by its header fields.
pub fn wait(fields: &[(&'static str, &[u8])]) -> Option<u64> {
    let headers = fields.iter().filter_map(|(name, value)| {
        let value = reqwest::header::HeaderValue::from_bytes(value).ok()?;
        Some((reqwest::header::HeaderName::from_static(name), value))
    });
    crate::after::asked(&headers.collect())
}
