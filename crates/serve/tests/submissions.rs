//! Bundles before a server: what is accepted, and every way in which one is refused.

mod support;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serve::{Role, Unscored};
use support::runs::{RIGHT, entries, id, keys, make, pack, repack, tamper};
use support::{Judge, Place, Reply, Running, Says, Slow};

fn number(reply: &Reply) -> i64 {
    reply.json()["submission"]["number"].as_i64().unwrap()
}

/// Nothing of a run is shown to visitors.
#[track_caller]
fn hidden(server: &Running, run: &str) {
    assert_eq!(server.get("/api/v1/runs").expect(200).json()["total"], 0);
    assert!(
        !server
            .get("/index.html")
            .expect(200)
            .text()
            .contains("small-1")
    );
    assert!(!server.get("/runs.html").expect(200).text().contains(run));
    for path in ["", "/verdict", "/bundle"] {
        server.get(&format!("/api/v1/runs/{run}{path}")).expect(404);
    }
    server.get(&format!("/runs/{run}.html")).expect(404);
}

#[test]
fn what_is_seen_here_is_published() {
    let place = Place::new();
    let token = place.token("lab", Role::Submitter);
    let server = place.serve(Judge);
    hidden(&server, &id(1));
    let bundle = place.bundle(1, RIGHT);
    let reply = server.submit(&token, &bundle).expect(202);
    assert_eq!(
        reply.header("location").as_deref(),
        Some("/api/v1/submissions/1")
    );
    let found = server.settled(&token, number(&reply));
    assert_eq!(found["state"], "published", "{found}");
    assert_eq!(
        found["verdict"],
        "solved: 6/6 visible and 4/4 hidden cases pass"
    );
    server.shows("/runs.html", &id(1));
    server.shows("/index.html", "example/small-1");
    let row = server
        .get(&format!("/api/v1/runs/{}", id(1)))
        .expect(200)
        .json();
    assert_eq!(row["solved"], true);
    assert_eq!(row["tokens"], 420);
    let page = server.get(row["page"].as_str().unwrap()).expect(200);
    assert!(page.text().contains("main.py"));
    let runs = server.get("/api/v1/runs?task=gron/python").expect(200);
    assert_eq!(runs.json()["total"], 1);
    assert_eq!(
        server.get("/api/v1/tasks").expect(200).json()["tasks"][0]["solved"],
        1
    );
    assert_eq!(
        server.get("/api/v1/models").expect(200).json()["models"][0]["model"],
        "example/small-1"
    );
    // Others can check it for themselves.
    let again = server
        .get(&format!("/api/v1/runs/{}/bundle", id(1)))
        .expect(200);
    assert_eq!(again.body, bundle);
    let verdict = server
        .get(&format!("/api/v1/runs/{}/verdict", id(1)))
        .expect(200);
    assert_eq!(verdict.json()["solved"], true);
    // The same once more is no second one; another's of that run is refused.
    let reply = server.submit(&token, &bundle).expect(200);
    assert_eq!(number(&reply), 1);
    let other = place.token("other", Role::Submitter);
    let reply = server.submit(&other, &bundle).expect(409);
    assert_eq!(reply.json()["code"], "run-taken");
    // And it is there after a restart.
    server.end();
    let server = place.serve(Judge);
    server.shows("/runs.html", &id(1));
}

#[test]
fn a_verdict_that_is_not_seen_here_is_shown_to_its_sender_alone() {
    let place = Place::new();
    let (token, other) = (
        place.token("lab", Role::Submitter),
        place.token("other", Role::Submitter),
    );
    let server = place.serve(Judge);
    // Whoever signs it has put the verdict of another run in its place, which holds by itself.
    let theirs = place.path("theirs");
    fs::create_dir(&theirs).unwrap();
    let right = make(&theirs, &id(1), RIGHT);
    let wrong = make(&theirs, &id(2), "print('wrong')\n");
    fs::copy(right.join("verdict.json"), wrong.join("verdict.json")).unwrap();
    let reply = server.submit(&token, &pack(&wrong, &place.key)).expect(202);
    let found = server.settled(&token, number(&reply));
    assert_eq!(found["state"], "mismatch");
    let differences: Vec<_> = found["differences"].as_array().unwrap().iter().collect();
    assert!(differences[0].as_str().unwrap().starts_with("submission: "));
    assert!(differences.contains(&&"hidden cases that pass: 4/4 claimed, 2/4 here".into()));
    assert!(
        differences.contains(&&"visible case gron/arrays/001: pass claimed, stdout here".into())
    );
    hidden(&server, &id(2));
    // Nobody else is told of it.
    server
        .ask("GET", "/api/v1/submissions/1", Some(&other), b"")
        .expect(404);
    server.get("/api/v1/submissions/1").expect(401);
    // An honest one of the same run may follow.
    support::runs::judge(&wrong)
        .write(&wrong.join("verdict.json"))
        .unwrap();
    let reply = server.submit(&token, &pack(&wrong, &place.key)).expect(202);
    let found = server.settled(&token, number(&reply));
    assert_eq!(found["state"], "published", "{found}");
}

#[test]
fn tampered_bundles_are_refused_with_reasons() {
    let place = Place::new();
    let token = place.token("lab", Role::Submitter);
    let server = place.serve(Judge);
    let bundle = place.bundle(1, "print('wrong')\n");
    // What the signature covers is looked at before anything is queued.
    let elsewhere = tempfile::tempdir().unwrap();
    let (stranger, _) = keys(elsewhere.path());
    let foreign = make(elsewhere.path(), &id(3), RIGHT);
    for (bytes, status, code, words) in [
        (pack(&foreign, &stranger), 422, "signature", "another key"),
        (
            tamper(&bundle, "manifest.json", |text| {
                text.replacen("20261124", "20261123", 1)
            }),
            422,
            "signature",
            "changed after it was signed",
        ),
        (b"nonsense".to_vec(), 422, "form", "this is no bundle"),
        (Vec::new(), 422, "form", "the bundle ends in the middle"),
        (
            bundle[..bundle.len() - 20].to_vec(),
            422,
            "form",
            "the bundle ends in the middle",
        ),
        (bomb(), 413, "too-large", "manifest.json has more than"),
    ] {
        let reply = server.submit(&token, &bytes).expect(status).json();
        assert_eq!(reply["code"], code, "{reply}");
        assert!(reply["error"].as_str().unwrap().contains(words), "{reply}");
    }
    // The rest when it is unpacked.
    let mut swapped = entries(&bundle);
    let code = run::digest(b"print('wrong')\n").to_string();
    let (_, content) = swapped
        .iter_mut()
        .find(|(name, _)| name.ends_with(&code[2..]))
        .unwrap();
    let length = content.len();
    *content = zstd::encode_all(RIGHT.as_bytes(), 3).unwrap();
    content.resize(length, 0);
    for (bytes, words) in [
        (
            tamper(&bundle, "verdict.json", |text| {
                text.replacen("\"solved\": false", "\"solved\": true ", 1)
            }),
            "content: verdict.json is not the file that was signed",
        ),
        (
            tamper(&bundle, "journal.jsonl", |text| {
                text.replacen("\"microdollars\":7", "\"microdollars\":1", 1)
            }),
            "content: journal.jsonl is not the file that was signed",
        ),
        (repack(&swapped), "is not the file that was signed"),
    ] {
        let reply = server.submit(&token, &bytes).expect(202);
        let found = server.settled(&token, number(&reply));
        assert_eq!(found["state"], "refused", "{found}");
        let message = found["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    hidden(&server, &id(1));
    // What is refused is not kept, once that is said.
    let begun = Instant::now();
    while fs::read_dir(place.data().join("incoming")).unwrap().count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(20));
    }
    // And the untouched one is taken after all that.
    let reply = server.submit(&token, &bundle).expect(202);
    assert_eq!(server.settled(&token, number(&reply))["state"], "published");
}

/// A megabyte or so that unpacks to a manifest of a gigabyte.
fn bomb() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = zstd::stream::write::Encoder::new(&mut bytes, 1).unwrap();
    let header = support::runs::header("manifest.json", 1 << 30);
    std::io::Write::write_all(&mut encoder, header.as_bytes()).unwrap();
    let mut zeros = std::io::Read::take(std::io::repeat(0), 64 << 20);
    std::io::copy(&mut zeros, &mut encoder).unwrap();
    encoder.finish().unwrap();
    bytes
}

#[test]
fn only_who_may_submits() {
    let place = Place::new();
    let reader = place.token("reader", Role::Reader);
    let server = place.serve(Judge);
    let bundle = place.bundle(1, RIGHT);
    let nobody = server.ask("POST", "/api/v1/submissions", None, &bundle);
    assert!(nobody.expect(401).text().contains("Authorization: Bearer"));
    let unknown = server.submit("mirrorcode_0123456789", &bundle).expect(401);
    assert!(unknown.text().contains("not known, or revoked"));
    let reply = server.submit(&reader, &bundle).expect(403);
    assert!(reply.text().contains("token reader is a reader's"));
    let token = place.token("lab", Role::Submitter);
    serve::Store::open(&place.data())
        .unwrap()
        .revoke_token("operator", "lab")
        .unwrap();
    server.submit(&token, &bundle).expect(401);
    hidden(&server, &id(1));
}

#[test]
fn what_was_being_scored_is_scored_after_a_restart() {
    let place = Place::new();
    let token = place.token("lab", Role::Submitter);
    let begun = Arc::new(AtomicUsize::new(0));
    let server = place.serve(Slow(Arc::clone(&begun)));
    let first = number(&server.submit(&token, &place.bundle(1, RIGHT)).expect(202));
    let second = number(&server.submit(&token, &place.bundle(2, RIGHT)).expect(202));
    server.when(&token, first, |state| state == "scoring");
    while begun.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    // It ends in the middle, and leaves what a killed one would leave as well.
    server.end();
    fs::write(place.data().join("incoming/0123.part"), "half").unwrap();
    fs::create_dir(place.data().join("published/77")).unwrap();
    let server = place.serve(Judge);
    for number in [first, second] {
        let found = server.settled(&token, number);
        assert_eq!(found["state"], "published", "{found}");
    }
    assert_eq!(server.settled(&token, first)["attempts"], 2);
    assert!(!place.data().join("incoming/0123.part").exists());
    assert!(!place.data().join("published/77").exists());
    server.shows("/runs.html", &id(2));
}

#[test]
fn whose_fault_it_is_decides_what_follows() {
    let place = Place::new();
    let token = place.token("lab", Role::Submitter);
    let admin = place.token("boss", Role::Admin);
    let server = place.serve(Says(Unscored::Refused("there is no target gron".into())));
    let reply = server.submit(&token, &place.bundle(1, RIGHT)).expect(202);
    let found = server.settled(&token, number(&reply));
    assert_eq!(found["state"], "refused");
    assert_eq!(
        found["message"],
        "it cannot be scored here: there is no target gron"
    );
    server.end();
    let server = place.serve_with(Says(Unscored::Machine("no disk".into())), |config| {
        config.limits.attempts = 1;
    });
    let reply = server.submit(&token, &place.bundle(2, RIGHT)).expect(202);
    let found = server.settled(&token, number(&reply));
    assert_eq!(found["state"], "failed");
    assert!(found["message"].as_str().unwrap().contains("no disk"));
    server.end();
    // Somebody mends the machine, and has it tried again.
    let server = place.serve(Judge);
    let path = format!("/api/v1/submissions/{}/retry", number(&reply));
    server.ask("POST", &path, Some(&token), b"").expect(403);
    server.ask("POST", &path, Some(&admin), b"").expect(200);
    assert_eq!(server.settled(&token, number(&reply))["state"], "published");
    server.shows("/runs.html", &id(2));
    server.ask("POST", &path, Some(&admin), b"").expect(409);
    // And takes it back.
    let path = format!("/api/v1/submissions/{}/withdraw", number(&reply));
    server.ask("POST", &path, Some(&admin), b"").expect(200);
    while server.get(&format!("/runs/{}.html", id(2))).status == 200 {
        std::thread::yield_now();
    }
    hidden(&server, &id(2));
    let log = server
        .ask("GET", "/api/v1/audit", Some(&admin), b"")
        .expect(200)
        .text();
    for words in ["token-added", "submitted", "refused", "failed", "withdrawn"] {
        assert!(log.contains(words), "{words}: {log}");
    }
    server
        .ask("GET", "/api/v1/audit", Some(&token), b"")
        .expect(403);
}
