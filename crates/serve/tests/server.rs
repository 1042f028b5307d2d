//! What the server shows, to whom, and how much it takes.

mod support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use agent::event::{Agent, Estimate, Event, Purpose, Recorder, Spent};
use report::screen::{Score, Screen};
use run::{Header, Known, Run};
use serve::{Role, Server, ServerError};
use support::runs::{RIGHT, id, make};
use support::{Judge, Place, Slow};

#[test]
fn the_operators_runs_are_shown_and_those_under_way_apart() {
    let place = Place::new();
    make(&place.path("runs"), &id(1), RIGHT);
    let mut header = Header::new("gron/python", "0.1.0", Default::default()).unwrap();
    header.id = id(2);
    let dir = place.path("runs").join(id(2));
    let mut open = Run::create(&dir, &header, Known::nothing(), run::Limits::WORKSPACE).unwrap();
    open.record(Event::Start {
        format: agent::event::FORMAT,
        task: header.task.clone(),
        agent: Agent::Model,
        versions: Default::default(),
        digests: Default::default(),
        limits: Default::default(),
        options: [("model".to_owned(), "example/<b>large</b>".to_owned())].into(),
    })
    .unwrap();
    let server = place.serve(Judge);
    let page = server.get("/").expect(200);
    assert!(page.text().contains("example/small-1") && page.text().contains("live.html"));
    assert_eq!(
        page.header("content-type").as_deref(),
        Some("text/html; charset=utf-8")
    );
    server.get(&format!("/runs/{}.html", id(1))).expect(200);
    server.get(&format!("/runs/{}.html", id(2))).expect(404);
    let tag = page.header("etag").unwrap();
    let again = format!("GET / HTTP/1.0\r\nIf-None-Match: {tag}\r\n\r\n");
    server.raw(again.as_bytes()).expect(304);
    let live = server.shows("/api/v1/live", &id(2)).json();
    assert_eq!(live["runs"][0]["turn"], 0);
    open.record(Event::Call {
        number: 1,
        turn: 8,
        purpose: Purpose::Turn,
        context: 1,
        estimate: Estimate::default(),
        spent: Spent {
            tokens: 1234,
            microdollars: 2_500_000,
            turns: 7,
            ..Spent::default()
        },
    })
    .unwrap();
    let live = server.shows("/api/v1/live", "1234").json();
    server.shows("/live.html", "<td class=\"n\">1,234</td>");
    assert_eq!(live["runs"][0]["turn"], 7);
    assert_eq!(live["runs"][0]["dollars"], 2.5);
    let page = server.shows("/live.html", "$2.50").text();
    assert!(page.contains("example/&lt;b&gt;large"));
    // Only for a reader who wants it: it takes the place away from others.
    assert!(!page.contains("http-equiv=\"refresh\""));
    let again = server.get("/live.html?again").expect(200).text();
    assert!(again.contains("http-equiv=\"refresh\""));
    // The bundle of a run of ours is nobody else's.
    server
        .get(&format!("/api/v1/runs/{}/bundle", id(1)))
        .expect(404);
    let token = place.token("lab", Role::Submitter);
    server.submit(&token, &place.bundle(1, RIGHT)).expect(409);
}

#[test]
fn what_a_screen_found_stands_beside_solved_rates() {
    let place = Place::new();
    make(&place.path("runs"), &id(1), RIGHT);
    let score = |target: &str, path: String, similarity| Score {
        target: target.to_owned(),
        path,
        similarity: Some(similarity),
        found: false,
    };
    let scores: Vec<Score> = (0..4)
        .map(|file| score("gron", file.to_string(), 0.9))
        .collect();
    let baseline: Vec<Score> = (0..12)
        .map(|n| {
            score(
                &format!("new-{}", n % 4),
                n.to_string(),
                0.3 + 0.01 * f64::from(n),
            )
        })
        .collect();
    let screen = Screen::of("example/small-1", &scores, &baseline);
    let server = place.serve_with(Judge, |config| config.screens = vec![screen]);
    let page = server.get("/memorization.html").expect(200).text();
    assert!(page.contains("example/small-1"), "{page}");
    let tables = server.get("/api/v1/results").expect(200).json();
    assert_eq!(tables["tables"]["screen"][0]["target"], "gron");
    assert_eq!(tables["tables"]["screen"][0]["flagged"], true);
}

#[test]
fn names_lead_to_files_of_the_site_and_nowhere_else() {
    let place = Place::new();
    fs::create_dir_all(place.data()).unwrap();
    fs::write(place.data().join("secret.html"), "secret").unwrap();
    let server = place.serve(Judge);
    for path in [
        "/secret.html",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/serve.sqlite",
        "/data/../../serve.sqlite",
        "/runs/%2e%2e%2f%2e%2e%2fserve.sqlite",
        "/.nojekyll",
        "/nothing",
        "/api/v1/nothing",
        "/api/v1/runs/%2e%2e",
        "/api/v1/runs/%ff",
        "/api/v1/runs/a%2fb/verdict",
    ] {
        let reply = server.get(path).expect(404);
        assert!(!reply.text().contains("secret"), "{path}");
    }
    server.ask("DELETE", "/index.html", None, b"").expect(405);
    server.ask("PUT", "/api/v1/runs", None, b"").expect(405);
    server.get("/api/v1/runs?limit=0").expect(400);
    server.get("/api/v1/runs?nothing=1").expect(400);
    server.get("/api/v1/runs?limit=x").expect(400);
    let csv = server.get("/data/runs.csv").expect(200);
    assert!(csv.text().starts_with("run,task,"));
}

#[test]
fn a_private_server_shows_nothing_without_a_token() {
    let place = Place::new();
    make(&place.path("runs"), &id(1), RIGHT);
    let reader = place.token("reader", Role::Reader);
    let server = place.serve_with(Judge, |config| config.private = true);
    for path in [
        "/",
        "/live.html",
        "/api/v1/runs",
        "/api/v1/results",
        "/nothing",
    ] {
        let reply = server.get(path).expect(401);
        assert!(reply.header("www-authenticate").is_some());
        assert!(!reply.text().contains("small-1"));
    }
    server.get("/api/v1/health").expect(200);
    let page = server.ask("GET", "/", Some(&reader), b"").expect(200);
    assert!(page.text().contains("example/small-1"));
    let basic = "GET / HTTP/1.0\r\nAuthorization: Basic !\r\n\r\n";
    server.raw(basic.as_bytes()).expect(401);
}

#[test]
fn there_is_an_end_to_what_is_taken() {
    let place = Place::new();
    let token = place.token("lab", Role::Submitter);
    let other = place.token("other", Role::Submitter);
    let server = place.serve_with(Slow(Default::default()), |config| {
        config.limits.queue_of_token = 2;
        config.limits.queue = 3;
        config.limits.bundle.file = 1 << 20;
        config.limits.requests_per_minute = 30;
        config.limits.patience = Duration::from_millis(300);
    });
    for number in 1..=2 {
        let bundle = place.bundle(number, RIGHT);
        server.submit(&token, &bundle).expect(202);
    }
    let third = place.bundle(3, RIGHT);
    let reply = server.submit(&token, &third).expect(429);
    assert_eq!(reply.json()["code"], "queue-full");
    assert_eq!(reply.header("retry-after").as_deref(), Some("60"));
    server.submit(&other, &third).expect(202);
    server.submit(&other, &place.bundle(4, RIGHT)).expect(429);
    server.end();

    let place = Place::new();
    let token = place.token("lab", Role::Submitter);
    let admin = place.token("boss", Role::Admin);
    let server = place.serve_with(Judge, |config| {
        config.limits.bundle.file = 1 << 20;
        config.limits.requests_per_minute = 4;
        config.limits.patience = Duration::from_millis(300);
    });
    // Announced, and not announced.
    let announced = format!(
        "POST /api/v1/submissions HTTP/1.0\r\nAuthorization: Bearer {token}\r\nContent-Length: 9999999\r\n\r\n"
    );
    let reply = server.raw(announced.as_bytes()).expect(413);
    assert_eq!(reply.json()["code"], "too-large");
    let mut chunked = format!(
        "POST /api/v1/submissions HTTP/1.1\r\nHost: here\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n200000\r\n"
    )
    .into_bytes();
    chunked.resize(chunked.len() + (2 << 20), b'x');
    server.raw(&chunked).expect(413);
    // One that never ends.
    let slow = format!(
        "POST /api/v1/submissions HTTP/1.0\r\nAuthorization: Bearer {token}\r\nContent-Length: 100\r\n\r\nhalf"
    );
    server.raw(slow.as_bytes()).expect(408);
    assert_eq!(
        fs::read_dir(place.data().join("incoming")).unwrap().count(),
        0
    );
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(100_000));
    server
        .ask("POST", "/api/v1/tokens", Some(&admin), large.as_bytes())
        .expect(413);
    // A bucket fills again while a slow machine asks, but not as fast.
    let reader = place.token("reader", Role::Reader);
    let answers: Vec<u16> = (0..20)
        .map(|_| {
            server
                .ask("GET", "/api/v1/submissions", Some(&reader), b"")
                .status
        })
        .take_while(|status| *status != 429)
        .collect();
    assert!((4..20).contains(&answers.len()), "{answers:?}");
    assert!(answers.iter().all(|status| *status == 403));
    let reply = server
        .ask("GET", "/api/v1/submissions", Some(&reader), b"")
        .expect(429);
    assert_eq!(reply.json()["code"], "too-many-requests");
    // Headers that do not come hold nothing up for long.
    let begun = Instant::now();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").unwrap();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stream, &mut rest).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30));
    server.get("/").expect(200);
}

#[test]
fn tokens_are_made_and_revoked_by_admins() {
    let place = Place::new();
    let admin = place.token("boss", Role::Admin);
    let token = place.token("lab", Role::Submitter);
    let server = place.serve(Judge);
    let add =
        |who: &str, body: &str| server.ask("POST", "/api/v1/tokens", Some(who), body.as_bytes());
    add(&token, r#"{"name": "x", "role": "admin"}"#).expect(403);
    add(&admin, r#"{"name": "x", "role": "king"}"#).expect(400);
    add(&admin, r#"{"name": "x y", "role": "reader"}"#).expect(400);
    add(&admin, r#"{"name": "x", "role": "submitter"}"#).expect(400);
    add(&admin, r#"{"name": "lab", "role": "reader"}"#).expect(409);
    add(&admin, "{").expect(400);
    let made = add(&admin, r#"{"name": "x", "role": "admin"}"#)
        .expect(201)
        .json();
    let secret = made["secret"].as_str().unwrap();
    let list = server
        .ask("GET", "/api/v1/tokens", Some(secret), b"")
        .expect(200);
    assert_eq!(list.json()["tokens"].as_array().unwrap().len(), 3);
    assert!(!list.text().contains(secret) && !list.text().contains("hash"));
    let revoke = |name: &str| {
        server.ask(
            "DELETE",
            &format!("/api/v1/tokens/{name}"),
            Some(&admin),
            b"",
        )
    };
    revoke("x").expect(204);
    revoke("x").expect(404);
    server
        .ask("GET", "/api/v1/tokens", Some(secret), b"")
        .expect(401);
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let place = Place::new();
    let _server = place.serve(Judge);
    let config = serve::Config {
        data: place.data(),
        runs: Vec::new(),
        private: false,
        catalog: Default::default(),
        targets: Default::default(),
        screens: Vec::new(),
        limits: serve::Limits::PUBLIC,
        scorer: Box::new(Judge),
    };
    assert!(matches!(
        Server::open(config, |_| {}),
        Err(ServerError::Held(_))
    ));
}

/// `MIRRORCODE_UPDATE=1 cargo test -p serve --test server` writes the document anew.
#[test]
fn the_documented_api_is_the_real_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let mut text = serde_json::to_string_pretty(&serve::document()).unwrap();
    text.push('\n');
    if std::env::var_os("MIRRORCODE_UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "crates/serve/openapi.json is not what is served; MIRRORCODE_UPDATE=1 cargo test -p serve --test server writes it anew"
    );
    let place = Place::new();
    let server = place.serve(Judge);
    let served = server.get("/api/v1/openapi.json").expect(200).json();
    assert_eq!(served, serve::document());
    for (path, operations) in served["paths"].as_object().unwrap() {
        let path = path
            .replace("{number}", "1")
            .replace("{run}", "x")
            .replace("{name}", "x");
        for (method, operation) in operations.as_object().unwrap() {
            let reply = server.ask(&method.to_uppercase(), &path, None, b"");
            let expected = if operation.get("security").is_some() {
                401
            } else if path.contains("/x") {
                404
            } else {
                200
            };
            assert_eq!(reply.status, expected, "{method} {path}: {}", reply.text());
            assert!(
                expected != 404 || !reply.text().contains("place in the API"),
                "{method} {path} is documented and not there"
            );
        }
    }
}
