//! The gateway between a caller and a provider's stand-in: what passes, what does not, and what is told of it.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{KEY, Manner, NAMES, Server, TIMEOUTS, USAGE, events};
use model::gateway::{Admitted, Ask, Denied, Desk, Gateway, Pinned, Refusal, Upstream};
use model::{Failure, Key, Kind, Reply, Spent};

/// What a desk heard.
#[derive(Default)]
struct Heard {
    asks: Vec<Ask>,
    answers: Vec<(u64, Reply)>,
    failures: Vec<(u64, Failure)>,
    refusals: Vec<Refusal>,
    counts: Vec<u64>,
}

/// Admits everything, until told otherwise.
#[derive(Clone, Default)]
struct Book {
    heard: Arc<Mutex<Heard>>,
    cap: Option<u64>,
    denied: Option<Denied>,
}

impl Desk for Book {
    fn admit(&mut self, ask: &Ask) -> Result<Admitted, Denied> {
        if let Some(denied) = &self.denied {
            return Err(denied.clone());
        }
        let mut heard = self.heard.lock().unwrap();
        heard.asks.push(ask.clone());
        Ok(Admitted {
            call: heard.asks.len() as u64,
            output_tokens: self.cap,
        })
    }

    fn count(&mut self, _: model::Dialect, bytes: u64) -> Result<(), Denied> {
        if let Some(denied) = &self.denied {
            return Err(denied.clone());
        }
        self.heard.lock().unwrap().counts.push(bytes);
        Ok(())
    }

    fn answered(&mut self, call: u64, reply: Reply, _: u64) {
        self.heard.lock().unwrap().answers.push((call, reply));
    }

    fn failed(&mut self, call: u64, failure: Failure, _: u64) {
        self.heard.lock().unwrap().failures.push((call, failure));
    }

    fn refused(&mut self, refusal: Refusal) {
        self.heard.lock().unwrap().refusals.push(refusal);
    }

    fn flush(&mut self) -> bool {
        true
    }
}

struct Place {
    address: SocketAddr,
    book: Book,
    gateway: Option<Gateway>,
}

impl Place {
    fn new(name: &str, server: &Server, book: Book) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pinned = Pinned {
            name: name.parse().unwrap(),
            aliases: vec!["small-*".to_owned()],
        };
        let key = Key::new(KEY, "test").unwrap();
        let upstream = Upstream::new(pinned, Some(&server.base), Some(key), TIMEOUTS).unwrap();
        let gateway = Gateway::start(listener, upstream, Box::new(book.clone())).unwrap();
        Place {
            address,
            book,
            gateway: Some(gateway),
        }
    }

    /// Sends a request on a connection of its own.
    fn open(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nx-api-key: worthless\r\nauthorization: Bearer worthless\r\n\
             x-evil: 1\r\nanthropic-beta: interleaved-thinking-2025-05-14,files-api-2025-04-14\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    /// Sends a request; gives the answer's head and body, without the marks of its pieces.
    fn ask(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut text = Vec::new();
        let _ = self.open(method, path, body).read_to_end(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, mut rest) = text.split_once("\r\n\r\n").unwrap();
        if !head.contains("chunked") {
            return (head.to_owned(), rest.to_owned());
        }
        let mut body = String::new();
        while let Some((length, after)) = rest.split_once("\r\n") {
            let length = usize::from_str_radix(length, 16).unwrap();
            body.push_str(&after[..length]);
            rest = &after[length + 2..];
        }
        (head.to_owned(), body)
    }

    /// Ends the gateway; what the desk has heard is then all there is.
    fn end(mut self) -> Arc<Mutex<Heard>> {
        drop(self.gateway.take());
        self.book.heard.clone()
    }
}

fn path(name: &str) -> &'static str {
    match name {
        "anthropic/m" => "/v1/messages?beta=true",
        "openai/m" => "/v1/responses",
        "gemini/m" => "/v1beta/models/m:streamGenerateContent?alt=sse",
        _ => "/v1/chat/completions",
    }
}

fn request(name: &str) -> &'static str {
    match name {
        "anthropic/m" => {
            r#"{"model":"m","max_tokens":9000,"stream":true,"messages":[{"role":"user","content":"\u0047o"}]}"#
        }
        "openai/m" => {
            r#"{"model":"m","max_output_tokens":9000,"stream":true,"input":[{"role":"user","content":"\u0047o"}]}"#
        }
        "gemini/m" => {
            r#"{"generationConfig":{"maxOutputTokens":9000},"contents":[{"role":"user","parts":[{"text":"\u0047o"}]}]}"#
        }
        _ => {
            r#"{"model":"m","max_tokens":9000,"stream":true,"messages":[{"role":"user","content":"\u0047o"}]}"#
        }
    }
}

#[test]
fn answers_pass_byte_for_byte_and_are_read() {
    for name in NAMES {
        let stream = events(name).concat();
        for manner in [Manner::whole(&stream), Manner::Drip(stream.clone())] {
            let server = Server::start(vec![manner]);
            let place = Place::new(name, &server, Book::default());
            let (head, body) = place.ask("POST", path(name), request(name));
            assert!(head.starts_with("HTTP/1.1 200"), "{name}: {head}");
            assert_eq!(body, stream, "{name}");
            let (sent, passed) = server.requests.lock().unwrap()[0].clone();
            assert!(sent.contains(KEY), "{name}: {sent}");
            assert!(
                !sent.contains("worthless") && !sent.contains("evil"),
                "{name}: {sent}"
            );
            assert!(!sent.contains("files-api"), "{name}: {sent}");
            assert!(passed.contains(r"\u0047o"), "{name}: {passed}");
            let heard = place.end();
            let heard = heard.lock().unwrap();
            let [(1, reply)] = &heard.answers[..] else {
                panic!("{name}: {:?}", heard.failures);
            };
            assert_eq!(reply.usage, USAGE, "{name}");
            assert_eq!(heard.asks[0].items.len(), 1, "{name}");
            assert_eq!(heard.asks[0].most, Some(9000), "{name}");
        }
    }
}

#[test]
fn the_first_piece_is_there_before_the_second_is_sent() {
    let stream = events("anthropic/m").concat();
    let server = Server::start(vec![Manner::Stall(stream, 40)]);
    let place = Place::new("anthropic/m", &server, Book::default());
    let mut caller = place.open("POST", "/v1/messages", request("anthropic/m"));
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&text).contains("message_start") {
        let count = caller.read(&mut buffer).unwrap();
        assert!(count > 0);
        text.extend_from_slice(&buffer[..count]);
    }
    // It ends by itself when nothing more comes, as the time allows.
    let begun = Instant::now();
    let _ = caller.read_to_end(&mut text);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let heard = place.end();
    let heard = heard.lock().unwrap();
    let [(1, failure)] = &heard.failures[..] else {
        panic!("{:?}", heard.answers);
    };
    assert_eq!(failure.kind.name(), "timed-out");
    assert!(matches!(failure.spent, Spent::Unknown(_)), "{failure:?}");
}

#[test]
fn the_budget_caps_an_answer_and_ends_the_calls() {
    for (name, status, word) in [
        ("anthropic/m", 402, "billing_error"),
        ("openai/m", 429, "insufficient_quota"),
        ("compatible/m", 429, "insufficient_quota"),
        ("gemini/m", 429, "RESOURCE_EXHAUSTED"),
    ] {
        let server = Server::start(vec![Manner::whole(&events(name).concat())]);
        let capped = Book {
            cap: Some(77),
            ..Book::default()
        };
        let place = Place::new(name, &server, capped);
        place.ask("POST", path(name), request(name));
        let passed = server.requests.lock().unwrap()[0].1.clone();
        assert!(
            passed.contains("77") && !passed.contains("9000"),
            "{passed}"
        );
        drop(place.end());

        let spent = Book {
            denied: Some(Denied::Budget("tokens")),
            ..Book::default()
        };
        let place = Place::new(name, &server, spent);
        let (head, body) = place.ask("POST", path(name), request(name));
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(head.contains("x-should-retry: false"), "{head}");
        assert!(
            body.contains(word) && body.contains("used up (tokens)"),
            "{body}"
        );
        assert_eq!(server.count(), 1, "{name}");
        assert_eq!(
            place
                .end()
                .lock()
                .unwrap()
                .refusals
                .last()
                .unwrap()
                .reason
                .name(),
            "budget"
        );
    }
}

/// A request that names no limit of the answer.
fn unlimited(name: &str) -> &'static str {
    match name {
        "anthropic/m" => {
            r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Go"}]}"#
        }
        "openai/m" => r#"{"model":"m","stream":true,"input":"Go"}"#,
        "gemini/m" => r#"{"contents":[{"role":"user","parts":[{"text":"Go"}]}]}"#,
        _ => r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"Go"}]}"#,
    }
}

#[test]
fn where_no_limit_is_named_the_budget_names_it_and_what_is_too_much_for_the_model_is_lowered() {
    for (name, field) in [
        ("anthropic/m", "max_tokens"),
        ("openai/m", "max_output_tokens"),
        ("compatible/m", "max_completion_tokens"),
        ("gemini/m", "maxOutputTokens"),
    ] {
        let refusal = || {
            let text = format!(r#"{{"error":{{"message":"{field}: 60000 is too large"}}}}"#);
            Manner::Refuse(400, "", text)
        };
        let whole = || Manner::whole(&events(name).concat());
        let server = Server::start(vec![refusal(), refusal(), whole(), whole()]);
        let capped = Book {
            cap: Some(60_000),
            ..Book::default()
        };
        let place = Place::new(name, &server, capped);
        let named = |tokens: u64| format!("\"{field}\":{tokens}");
        for turn in 0..2 {
            let (head, _) = place.ask("POST", path(name), unlimited(name));
            assert!(head.starts_with("HTTP/1.1 200"), "{name} {turn}: {head}");
        }
        let bodies: Vec<String> = server
            .requests
            .lock()
            .unwrap()
            .iter()
            .map(|(_, body)| body.clone())
            .collect();
        // What the provider has said once is not asked again.
        for (body, tokens) in bodies.iter().zip([60_000, 30_000, 15_000, 15_000]) {
            assert!(body.contains(&named(tokens)), "{name}: {body}");
        }
        assert_eq!(bodies.len(), 4, "{name}");
        let heard = place.end();
        let heard = heard.lock().unwrap();
        assert_eq!((heard.asks.len(), heard.answers.len()), (2, 2), "{name}");
        let said: Vec<&str> = heard
            .refusals
            .iter()
            .map(|refusal| refusal.what.as_str())
            .filter(|what| what.contains("the budget allows"))
            .collect();
        assert_eq!(said.len(), 2, "{name}: {said:?}");
    }
}

#[test]
fn another_complaint_is_handed_on_and_a_limit_of_the_callers_own_is_not_lowered() {
    let name = "anthropic/m";
    for (request, complaint) in [
        (unlimited(name), "the messages are wrong"),
        (request(name), "max_tokens: 9000 is too large"),
    ] {
        let text = format!(
            r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{complaint}"}}}}"#
        );
        let server = Server::start(vec![Manner::Refuse(400, "", text)]);
        let capped = Book {
            cap: Some(60_000),
            ..Book::default()
        };
        let place = Place::new(name, &server, capped);
        let (head, body) = place.ask("POST", path(name), request);
        assert!(
            head.starts_with("HTTP/1.1 400") && body.contains(complaint),
            "{head}\n{body}"
        );
        assert_eq!(server.count(), 1);
        let heard = place.end();
        assert_eq!(heard.lock().unwrap().failures.len(), 1);
    }
}

#[test]
fn counting_tokens_is_told_and_ends_with_the_budget() {
    for (name, at, body, word) in [
        (
            "anthropic/m",
            "/v1/messages/count_tokens",
            r#"{"model":"m","messages":[]}"#,
            "billing_error",
        ),
        (
            "gemini/m",
            "/v1beta/models/m:countTokens",
            r#"{"contents":[]}"#,
            "RESOURCE_EXHAUSTED",
        ),
    ] {
        let answer = || {
            Manner::Refuse(
                200,
                "content-type: application/json\r\n",
                r#"{"input_tokens":7}"#.to_owned(),
            )
        };
        let server = Server::start(vec![answer(), answer()]);
        let place = Place::new(name, &server, Book::default());
        for _ in 0..2 {
            let (head, counted) = place.ask("POST", at, body);
            assert!(
                head.starts_with("HTTP/1.1 200") && counted.contains('7'),
                "{head}\n{counted}"
            );
        }
        let heard = place.end();
        assert_eq!(heard.lock().unwrap().counts, [body.len() as u64; 2]);
        let spent = Book {
            denied: Some(Denied::Budget("turns")),
            ..Book::default()
        };
        let place = Place::new(name, &server, spent);
        let (_, told) = place.ask("POST", at, body);
        assert!(
            told.contains(word) && told.contains("used up (turns)"),
            "{told}"
        );
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn what_is_refused_never_reaches_the_provider() {
    let server = Server::start(vec![]);
    for (name, method, at, body, status, reason) in [
        ("anthropic/m", "GET", "/v1/messages", "", 404, "path"),
        ("anthropic/m", "POST", "/v1/files", "{}", 404, "path"),
        (
            "anthropic/m",
            "POST",
            "/v1/messages/batches",
            "{}",
            404,
            "path",
        ),
        ("anthropic/m", "POST", "/v1/responses", "{}", 404, "path"),
        ("openai/m", "POST", "/v1/messages", "{}", 404, "path"),
        ("openai/m", "GET", "/v1/responses/resp_1", "", 404, "path"),
        (
            "gemini/m",
            "POST",
            "/v1beta/cachedContents",
            "{}",
            404,
            "path",
        ),
        (
            "gemini/m",
            "POST",
            "/v1beta/models/m:batchGenerateContent",
            "{}",
            404,
            "path",
        ),
        (
            "gemini/m",
            "POST",
            "/v1beta/models/n:generateContent",
            "{}",
            404,
            "model",
        ),
        (
            "anthropic/m",
            "POST",
            "/v1/messages",
            r#"{"model":"n"}"#,
            404,
            "model",
        ),
        (
            "anthropic/m",
            "POST",
            "/v1/messages",
            "not json",
            400,
            "content",
        ),
        (
            "anthropic/m",
            "POST",
            "/v1/messages",
            r#"{"model":"m","model":"m"}"#,
            400,
            "content",
        ),
        (
            "anthropic/m",
            "POST",
            "/v1/messages",
            r#"{"model":"m","tools":[{"type":"web_search_20250305","name":"web_search"}]}"#,
            400,
            "content",
        ),
        (
            "openai/m",
            "POST",
            "/v1/responses",
            r#"{"model":"m","input":"x","tools":[{"type":"web_search"}]}"#,
            400,
            "content",
        ),
        (
            "gemini/m",
            "POST",
            "/v1beta/models/m:generateContent",
            r#"{"contents":[],"tools":[{"googleSearch":{}}]}"#,
            400,
            "content",
        ),
    ] {
        let place = Place::new(name, &server, Book::default());
        let (head, text) = place.ask(method, at, body);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{at} {body}: {head}"
        );
        assert!(text.contains("error"), "{text}");
        let heard = place.end();
        let heard = heard.lock().unwrap();
        let refusal = heard.refusals.last().unwrap();
        assert_eq!(refusal.reason.name(), reason, "{at} {body}");
        assert!(heard.asks.is_empty());
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn what_the_provider_refuses_comes_back_without_the_key() {
    let said = format!(
        r#"{{"type":"error","error":{{"type":"rate_limit_error","message":"slow down, {KEY}"}}}}"#
    );
    let fields = "content-type: application/json\r\nretry-after: 7\r\nset-cookie: a=b\r\n";
    let server = Server::start(vec![Manner::Refuse(429, fields, said), Manner::HangUp]);
    let place = Place::new("anthropic/m", &server, Book::default());
    let (head, body) = place.ask("POST", "/v1/messages", request("anthropic/m"));
    assert!(
        head.starts_with("HTTP/1.1 429") && head.contains("retry-after: 7"),
        "{head}"
    );
    assert!(!head.contains("cookie"), "{head}");
    assert!(body.contains("slow down, [key]"), "{body}");
    let (head, body) = place.ask("POST", "/v1/messages", request("anthropic/m"));
    assert!(
        head.starts_with("HTTP/1.1 502") && body.contains("api_error"),
        "{head} {body}"
    );
    let heard = place.end();
    let heard = heard.lock().unwrap();
    let kinds: Vec<_> = heard
        .failures
        .iter()
        .map(|(_, failure)| failure.kind.name())
        .collect();
    assert_eq!(kinds, ["rate-limited", "cut-off"]);
    assert!(!heard.failures[0].1.message.contains(KEY));
    assert_eq!(heard.failures[0].1.spent, Spent::Nothing);
}

#[test]
fn a_caller_that_hangs_up_is_counted() {
    let stream = events("anthropic/m").concat();
    let server = Server::start(vec![Manner::Babble(stream, 0), Manner::Silence]);
    let place = Place::new("anthropic/m", &server, Book::default());
    for _ in 0..2 {
        let mut caller = place.open("POST", "/v1/messages", request("anthropic/m"));
        caller
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let _ = caller.read(&mut [0; 10]);
        drop(caller);
        std::thread::sleep(Duration::from_millis(100));
    }
    let heard = place.end();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.failures.len(), 2, "{:?}", heard.failures);
    for (_, failure) in &heard.failures {
        assert!(
            matches!(failure.kind, Kind::Stopped | Kind::TimedOut { .. }),
            "{failure:?}"
        );
        assert!(matches!(failure.spent, Spent::Unknown(_)), "{failure:?}");
    }
}

#[test]
fn another_name_stands_for_the_model() {
    let stream = events("anthropic/m").concat();
    let server = Server::start(vec![Manner::whole(&stream)]);
    let place = Place::new("anthropic/m", &server, Book::default());
    let body = r#"{"model":"small-1","max_tokens":5,"messages":[]}"#;
    let (head, _) = place.ask("POST", "/v1/messages", body);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        server.requests.lock().unwrap()[0]
            .1
            .contains(r#""model":"m""#)
    );
    let heard = place.end();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.asks[0].alias.as_deref(), Some("small-1"));
}
