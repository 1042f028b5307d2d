//! Servers that fail in every way there is: what comes of it, and that the bill is the server's.

mod common;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{
    KEY, Manner, NAMES, Notes, Server, TIMEOUTS, USAGE, ask, ask_model, events, provider,
};
use model::{Block, Failure, Kind, Phase, Reply, Spent, Stop, Timeouts, Usage};

/// Where the events are cut so that a tool call is half sent.
fn middle(events: &str) -> usize {
    events.find("script").unwrap() + 3
}

#[track_caller]
fn check_reply(reply: &Reply, name: &str) {
    let block = serde_json::to_string(&reply.blocks[0]).unwrap();
    assert!(block.contains("I look."), "{name}: {block}");
    let calls: Vec<_> = reply
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::ToolCall { id, arguments, .. } => Some((id.as_str(), arguments.as_str())),
            _ => None,
        })
        .collect();
    let expected = [("a", r#"{"script":"ls"}"#), ("b", r#"{"script":"pwd"}"#)];
    assert_eq!(calls, expected, "{name}");
    assert_eq!(
        (&reply.stop, reply.usage),
        (&Stop::ToolUse, USAGE),
        "{name}"
    );
}

/// What a reader of the stream so far knows of the bill: Anthropic alone tells at the beginning.
fn told(name: &str) -> Usage {
    match name {
        "anthropic/m" => Usage {
            output: 1,
            reasoning: 0,
            ..USAGE
        },
        _ => Usage::default(),
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    for name in NAMES {
        let server = Server::start(vec![
            Manner::Refuse(429, "retry-after-ms: 60\r\n", "{}".to_owned()),
            Manner::Refuse(500, "", "<html>oops</html>".to_owned()),
            Manner::Refuse(
                529,
                "",
                r#"{"type":"error","error":{"type":"overloaded_error"}}"#.to_owned(),
            ),
            Manner::Refuse(503, "retry-after: 0.05\r\n", String::new()),
            Manner::whole(&events(name).concat()),
        ]);
        let mut notes = Notes::default();
        let reply = ask(name, &server, &mut notes).unwrap();
        check_reply(&reply, name);
        assert_eq!(notes.text, "I look.");
        assert_eq!(
            notes.retries,
            ["rate-limited", "server", "overloaded", "overloaded"],
            "{name}"
        );
        let attempts = reply.attempts;
        assert_eq!(
            (attempts.failed, attempts.lost, attempts.unknown),
            (4, Usage::default(), 0)
        );
        assert!(attempts.waited_ms >= 110, "{attempts:?}");
        assert_eq!(server.count(), 5);
    }
}

#[test]
fn a_stream_that_breaks_off_in_a_tool_call_is_asked_for_again_and_charged() {
    for name in NAMES {
        let whole = events(name).concat();
        let server = Server::start(vec![
            Manner::Cut(whole.clone(), middle(&whole)),
            Manner::Stream(whole.clone(), middle(&whole)),
            Manner::Stall(whole.clone(), middle(&whole)),
            Manner::whole(&whole),
        ]);
        let mut notes = Notes::default();
        let reply = ask(name, &server, &mut notes).unwrap();
        check_reply(&reply, name);
        assert_eq!(notes.retries, ["cut-off", "cut-off", "timed-out"], "{name}");
        let mut lost = told(name);
        lost += told(name);
        lost += told(name);
        assert_eq!(
            (reply.attempts.lost, reply.attempts.unknown),
            (lost, 3),
            "{name}"
        );
    }
}

#[test]
fn a_server_that_says_nothing_is_asked_again() {
    for name in NAMES {
        let whole = events(name).concat();
        let server = Server::start(vec![Manner::Silence, Manner::HangUp, Manner::whole(&whole)]);
        let mut notes = Notes::default();
        let reply = ask(name, &server, &mut notes).unwrap();
        check_reply(&reply, name);
        assert_eq!(notes.retries, ["timed-out", "cut-off"], "{name}");
        // Both requests have arrived, so both may be charged.
        assert_eq!(
            (reply.attempts.lost, reply.attempts.unknown),
            (Usage::default(), 2)
        );
    }
}

#[test]
fn broken_json_is_asked_for_again_once() {
    for name in NAMES {
        let mut broken = events(name);
        let last = broken.len() - 2;
        broken[last] = "data: {\"type\": \"broken\n\n".to_owned();
        let manner = Manner::whole(&broken.concat());
        let server = Server::start(vec![
            manner.clone(),
            manner,
            Manner::whole(&events(name).concat()),
        ]);
        let mut notes = Notes::default();
        let failure = ask(name, &server, &mut notes).unwrap_err();
        assert_eq!(
            (failure.kind, notes.retries.len()),
            (Kind::Malformed, 1),
            "{name}"
        );
        assert_eq!((failure.attempts.unknown, server.count()), (1, 2));
        assert!(matches!(failure.spent, Spent::Unknown(_)));
    }
}

#[test]
fn an_event_that_comes_twice_changes_no_bill() {
    for name in NAMES {
        // The event that tells the bill at the end.
        let mut doubled = events(name);
        let usage = doubled
            .iter()
            .rposition(|event| event.contains("50") || event.contains("thoughts"))
            .unwrap();
        doubled.insert(usage, doubled[usage].clone());
        let server = Server::start(vec![Manner::whole(&doubled.concat())]);
        check_reply(&ask(name, &server, &mut Notes::default()).unwrap(), name);
    }
}

#[test]
fn pieces_of_a_byte_make_the_same_reply() {
    for name in NAMES {
        let server = Server::start(vec![Manner::Drip(events(name).concat())]);
        check_reply(&ask(name, &server, &mut Notes::default()).unwrap(), name);
    }
}

#[test]
fn a_server_that_leaves_the_connection_open_after_the_end_is_not_waited_for() {
    for name in ["anthropic/m", "openai/m", "compatible/m"] {
        let whole = events(name).concat();
        let server = Server::start(vec![Manner::Stall(whole.clone(), whole.len())]);
        let begun = Instant::now();
        check_reply(&ask(name, &server, &mut Notes::default()).unwrap(), name);
        assert!(begun.elapsed() < TIMEOUTS.end, "{name}");
    }
}

#[test]
fn an_answer_without_end_is_given_up() {
    let whole = events("anthropic/m").concat();
    let start = whole.find("event: content_block_stop").unwrap();
    let server = Server::start(vec![Manner::Babble(whole, start)]);
    let mut model = provider("anthropic/m", &server.base, TIMEOUTS);
    let failure = ask_model(&mut model, &mut Notes::default()).unwrap_err();
    assert_eq!(failure.kind, Kind::TimedOut { phase: Phase::End });
    assert_eq!(failure.spent, Spent::Unknown(told("anthropic/m")));
}

fn refused(name: &str, status: u16, body: &str) -> (Failure, usize) {
    let server = Server::start(vec![Manner::Refuse(status, "", body.to_owned())]);
    let failure = ask(name, &server, &mut Notes::default()).unwrap_err();
    (failure, server.count())
}

#[test]
fn what_does_not_pass_is_asked_once() {
    let long = r#"{"error":{"message":"prompt is too long: 300 tokens > 200 maximum","type":"invalid_request_error"}}"#;
    for name in NAMES {
        for (status, body, kind) in [
            (400, r#"{"error":{"message":"no"}}"#, "bad-request"),
            (400, long, "context-overflow"),
            (
                400,
                r#"{"error":{"message":"flagged","code":"content_filter"}}"#,
                "filtered",
            ),
            (401, "", "authentication"),
            (402, "", "out-of-quota"),
            (404, r#"{"error":"model 'm' not found"}"#, "not-found"),
            (
                429,
                r#"{"error":{"message":"pay","code":"insufficient_quota"}}"#,
                "out-of-quota",
            ),
        ] {
            let (failure, count) = refused(name, status, body);
            assert_eq!((failure.kind.name(), count), (kind, 1), "{name} {status}");
            assert_eq!(
                (failure.status, failure.spent),
                (Some(status), Spent::Nothing)
            );
        }
    }
}

#[test]
fn a_key_is_sent_and_not_told() {
    for (name, head) in NAMES.iter().zip([
        "x-api-key: ",
        "authorization: Bearer ",
        "authorization: Bearer ",
        "x-goog-api-key: ",
    ]) {
        let body =
            format!(r#"{{"error":{{"message":"wrong key {KEY}","type":"authentication_error"}}}}"#);
        let server = Server::start(vec![Manner::Refuse(401, "", body)]);
        let failure = ask(name, &server, &mut Notes::default()).unwrap_err();
        assert_eq!(failure.message, "wrong key [key]");
        let written = format!(
            "{failure} {failure:?} {}",
            serde_json::to_string(&failure).unwrap()
        );
        assert!(!written.contains(KEY), "{written}");
        let requests = server.requests.lock().unwrap();
        let (sent, body) = &requests[0];
        assert!(sent.contains(&format!("{head}{KEY}\r\n")), "{sent}");
        assert!(!body.contains(KEY) && !sent.lines().next().unwrap().contains(KEY));
    }
}

#[test]
fn a_redirect_is_not_followed() {
    let thief = Server::start(Vec::new());
    let location: &'static str =
        Box::leak(format!("location: {}/v1\r\n", thief.base).into_boxed_str());
    let server = Server::start(vec![Manner::Refuse(307, location, String::new())]);
    let failure = ask("anthropic/m", &server, &mut Notes::default()).unwrap_err();
    assert_eq!(
        (failure.kind, failure.status),
        (Kind::BadRequest, Some(307))
    );
    assert_eq!(thief.count(), 0);
}

#[test]
fn a_server_that_is_not_there_costs_nothing() {
    let server = Server::start(Vec::new());
    let base = server.base.clone();
    drop(server);
    std::thread::sleep(Duration::from_millis(50));
    let mut model = provider("openai/m", &base, TIMEOUTS);
    let failure = ask_model(&mut model, &mut Notes::default()).unwrap_err();
    assert_eq!(
        (failure.kind, failure.spent),
        (Kind::Unreachable, Spent::Nothing),
        "{failure}"
    );
    // Nothing that speaks TLS.
    let server = Server::start(Vec::new());
    let mut model = provider(
        "openai/m",
        &server.base.replace("http:", "https:"),
        TIMEOUTS,
    );
    let failure = ask_model(&mut model, &mut Notes::default()).unwrap_err();
    assert!(
        matches!(failure.kind, Kind::Unreachable | Kind::TimedOut { .. }),
        "{failure}"
    );
    assert_eq!(failure.spent, Spent::Nothing);
}

#[test]
fn a_call_is_stopped_from_another_thread_at_once() {
    let slow = Timeouts {
        answer: Duration::from_secs(60),
        stream: Duration::from_secs(60),
        end: Duration::from_secs(60),
        ..TIMEOUTS
    };
    let whole = events("anthropic/m").concat();
    for manner in [
        Manner::Silence,
        Manner::Stall(whole.clone(), middle(&whole)),
        Manner::Babble(whole, 0),
    ] {
        let server = Server::start(vec![manner]);
        let mut notes = Notes::default();
        let (stop, requests) = (notes.stop.clone(), server.requests.clone());
        let thread = std::thread::spawn(move || {
            while requests.lock().unwrap().is_empty() {
                std::thread::sleep(Duration::from_millis(10));
            }
            std::thread::sleep(Duration::from_millis(100));
            stop.store(true, Ordering::SeqCst);
            Instant::now()
        });
        let mut model = provider("anthropic/m", &server.base, slow);
        let failure = ask_model(&mut model, &mut notes).unwrap_err();
        let ended = Instant::now();
        let late = ended.duration_since(thread.join().unwrap());
        assert_eq!(failure.kind, Kind::Stopped);
        assert!(matches!(failure.spent, Spent::Unknown(_)));
        // 100 ms are promised; the machine may be busy.
        assert!(late < Duration::from_millis(300), "{late:?}");
    }
}

#[test]
fn a_connection_serves_many_requests() {
    let whole = events("anthropic/m").concat();
    let server = Server::start(vec![Manner::whole(&whole); 3]);
    let mut model = provider("anthropic/m", &server.base, TIMEOUTS);
    for _ in 0..3 {
        check_reply(
            &ask_model(&mut model, &mut Notes::default()).unwrap(),
            "anthropic/m",
        );
    }
    assert_eq!(server.count(), 3);
}

#[test]
fn what_is_no_stream_is_told_as_such() {
    let body = r#"{"choices":[{"message":{"content":"hi"}}]}"#;
    let server = Server::start(vec![Manner::Refuse(200, "", body.to_owned())]);
    let mut model = provider("compatible/m", &server.base, TIMEOUTS);
    let failure = ask_model(&mut model, &mut Notes::default()).unwrap_err();
    assert_eq!(failure.kind, Kind::Malformed);
    assert!(
        failure.message.starts_with("expected a stream of events"),
        "{failure}"
    );
    assert!(matches!(failure.spent, Spent::Unknown(_)));
}
