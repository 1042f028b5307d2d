//! A run as a page: what is on it, what hostile output does to it, and what is said when something is wrong.

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{Done, Place, small};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const ID: &str = "20260101T000000-gron-python-0000";
/// What a terminal, a browser or a reader may be fooled with.
const EVIL: &str = "</script><script>alert(1)</script><!-- <img src=x onerror=alert(1)> \" onload='x' \u{202e}evil\u{202c}\0\u{1b}[31m";

fn event(seq: usize, mut event: Value) -> String {
    let time = format!("2026-01-01T00:{:02}:{:02}.000Z", seq / 60, seq % 60);
    let fields = event.as_object_mut().unwrap();
    fields.insert("seq".to_owned(), json!(seq));
    fields.insert("time".to_owned(), json!(time));
    event.to_string() + "\n"
}

/// A run made by hand: one turn of each kind.
fn journal() -> Vec<Value> {
    let call = |number: u64, turn: u64, purpose: &str| {
        json!({"type": "call", "number": number, "turn": turn, "purpose": purpose, "context": 1,
            "estimate": {"input-tokens": 10, "output-tokens": 20, "microdollars": 30},
            "spent": {"tokens": turn * 1000, "microdollars": turn * 250_000, "turns": turn - 1, "wall-milliseconds": turn * 600_000, "tool-milliseconds": 500}})
    };
    let reply = |call: u64, blocks: Value| {
        json!({"type": "reply", "call": call, "message": blocks.to_string(), "stop": "tool-use",
            "usage": {"input": 900, "cache_read": 100, "cache_write": 0, "output": 50, "reasoning": 0}, "microdollars": 250_000, "milliseconds": 900})
    };
    let tool = |id: &str, name: &str, arguments: Value| json!({"tool-call": {"id": id, "name": name, "arguments": arguments.to_string()}});
    let evil = EVIL;
    vec![
        json!({"type": "start", "format": 2, "task": "gron/python", "agent": "model", "versions": {"mirrorcode": "0.1.0"}, "digests": {"rootfs": "ab"},
            "limits": {"command-wall-seconds": 60}, "options": {"model": format!("example/model {evil}"), "key-file": "/secret/place"}}),
        json!({"type": "budget", "limits": {"microdollars": 5_000_000, "turns": 10}}),
        json!({"type": "context", "number": 1, "why": "start", "system": "You rebuild a program.", "tools": "[]", "before_tokens": 0, "after_tokens": 40}),
        json!({"type": "message", "kind": "task", "text": "Begin."}),
        call(1, 1, "turn"),
        reply(
            1,
            json!([{"text": {"text": format!("I look around. {evil}")}}, tool("c1", "bash", json!({"command": "gron a.json"}))]),
        ),
        json!({"type": "command", "number": 1, "script": "gron a.json", "directory": "/workspace", "terminal": false, "tool": "c1"}),
        json!({"type": "oracle", "command": 1, "argv": ["a.json", {"base64": "/w=="}, evil], "directory": "/workspace",
            "descriptors": [{"kind": "null"}, {"kind": "pipe", "bytes": 3}, {"kind": "pipe", "bytes": 0}], "files": [], "ending": {"exit": 0}, "milliseconds": 4}),
        json!({"type": "result", "number": 1, "ending": {"exit": 3}, "stdout": format!("printed {evil}\n"), "stderr": {"sha256": "07".repeat(32), "bytes": 123_456},
            "directory": "/workspace", "interactive": false, "milliseconds": 9}),
        json!({"type": "tool-result", "tool": "c1", "name": "bash", "pieces": [{"output": {"command": 1, "from": 0, "bytes": 8}}, {"text": "[exit status 3]"}]}),
        call(2, 2, "turn"),
        reply(
            2,
            json!([tool(
                "c2",
                "edit",
                json!({"action": "replace", "path": "main.py", "old": "print(1)", "new": format!("print(2) # {evil}")})
            )]),
        ),
        json!({"type": "edit", "number": 2, "tool": "c2"}),
        json!({"type": "tool-result", "tool": "c2", "name": "edit", "pieces": [{"text": "`old` is not in main.py"}], "failed": true}),
        json!({"type": "evaluate", "command": null, "built": true, "cases_passed": 3, "cases_total": 4, "report": "FAIL arrays/1", "milliseconds": 30}),
        call(3, 2, "summary"),
        reply(3, json!([{"text": {"text": "What was done."}}])),
        json!({"type": "context", "number": 2, "why": "summary", "system": "You rebuild a program.", "tools": "[]", "summary": "What was done.",
            "dropped": [[4, 14]], "before_tokens": 9000, "after_tokens": 400}),
        call(4, 3, "turn"),
        json!({"type": "call-failed", "call": 4, "failure": {"kind": "server", "message": evil, "status": 500, "spent": "nothing"}, "microdollars": 0, "milliseconds": 3}),
        json!({"type": "end", "reason": {"failed": "the model does not answer"}}),
    ]
}

fn make(place: &Place, events: &[Value]) -> std::path::PathBuf {
    let header = format!(
        "id = \"{ID}\"\ntask = \"gron/python\"\ncreated = \"2026-01-01T00:00:00.000Z\"\nformat = 2\nmirrorcode = \"0.1.0\"\n"
    );
    place.write(&format!("runs/{ID}/run.toml"), header);
    let lines: String = events
        .iter()
        .enumerate()
        .map(|(place, line)| event(place + 1, line.clone()))
        .collect();
    place.write(&format!("runs/{ID}/journal.jsonl"), lines);
    place.path("runs").join(ID)
}

/// The words of a page, without style and script, a line for each element that begins one.
fn words(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page
        .split_once("<main")
        .unwrap()
        .1
        .split_once('>')
        .unwrap()
        .1;
    rest = rest.split_once("</main>").unwrap().0;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let (tag, after) = after.split_once('>').unwrap();
        let inline = [
            "code", "b", "i ", "i", "a ", "a", "span", "strong", "small", "q",
        ];
        let name = tag
            .trim_start_matches('/')
            .split_inclusive(' ')
            .next()
            .unwrap();
        if !inline.iter().any(|known| name.trim() == known.trim()) {
            text.push('\n');
        }
        rest = after;
    }
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n")
}

/// What every page must be, whatever a run printed.
#[track_caller]
fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html><html lang=\"en\">"));
    assert!(page.ends_with("</body></html>\n"));
    // Its own script alone, and packed parts, which are data.
    let scripts: Vec<&str> = page
        .match_indices("<script")
        .map(|(at, _)| &page[at..at + 20])
        .collect();
    let own = scripts
        .iter()
        .filter(|script| script.starts_with("<script>"))
        .count();
    let data = scripts
        .iter()
        .filter(|script| script.starts_with("<script type=\"text/p"))
        .count();
    assert_eq!((own, own + data), (1, scripts.len()), "{scripts:?}");
    let policy = page
        .split_once("content=\"default-src 'none'; ")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    for (name, tag) in [("script-src", "script"), ("style-src", "style")] {
        let text = page.split_once(&format!("<{tag}>")).unwrap().1;
        let text = text.split_once(&format!("</{tag}>")).unwrap().0;
        let hash = Sha256::digest(text);
        let source = policy.split_once(&format!("{name} 'sha256-")).unwrap().1;
        let source = source.split_once('\'').unwrap().0;
        assert_eq!(source, base64(&hash), "{name}");
    }
    assert!(!policy.contains("unsafe"));
    for hostile in ["<!--", "<img", " onerror=\"", "\0", "\u{1b}", "\u{202e}"] {
        assert!(!page.contains(hostile), "{hostile:?}");
    }
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let once: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(once.len(), ids.len(), "an id is there twice");
    for link in page.split("href=\"#").skip(1) {
        let link = link.split('"').next().unwrap();
        assert!(
            once.contains(link) || ["transcript", "main"].contains(&link),
            "#{link} leads nowhere"
        );
    }
}

fn base64(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let letter = alphabet[(group >> (18 - 6 * digit) & 63) as usize];
            text.push(if digit <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}

fn view(place: &Place, status: i32, more: &[&str]) -> Done {
    place.expect(status, &[&["view", ID], more].concat())
}

#[test]
fn a_page_shows_every_event_and_runs_nothing_of_it() {
    let place = Place::new();
    let events = journal();
    make(&place, &events);
    assert_eq!(view(&place, 0, &[]).stdout, format!("{ID}.html\n"));
    let page = fs::read_to_string(place.path(&format!("{ID}.html"))).unwrap();
    check(&page);
    for seq in 1..=events.len() {
        assert!(
            page.contains(&format!(" id=\"e{seq}\"")),
            "event {seq} has no place"
        );
    }
    assert!(!page.contains("/secret/place"));
    insta::assert_snapshot!("page", words(&page));
    // The same page wherever it goes.
    assert_eq!(view(&place, 0, &["--out", "-"]).stdout, page);
    assert_eq!(view(&place, 0, &["-o", "-", "--plain"]).stdout, page);
}

#[test]
fn what_is_there_is_not_replaced_unless_told() {
    let place = Place::new();
    make(&place, &journal());
    place.write("mine.html", "mine");
    let done = view(&place, 2, &["-o", "mine.html"]);
    assert!(
        done.stderr.contains("mine.html exists") && done.stderr.contains("--force"),
        "{done:?}"
    );
    assert_eq!(fs::read_to_string(place.path("mine.html")).unwrap(), "mine");
    view(&place, 0, &["-o", "mine.html", "--force"]);
    check(&fs::read_to_string(place.path("mine.html")).unwrap());
    let done = view(&place, 2, &["-o", "runs", "--force"]);
    assert!(done.stderr.contains("runs is a directory"), "{done:?}");
    let done = view(&place, 2, &["-o", "no/such/place.html"]);
    assert!(done.stderr.contains("no/such"), "{done:?}");
    let done = place.expect(2, &["view", "nothing"]);
    assert!(done.stderr.contains("there is no run nothing"), "{done:?}");
    let left: Vec<_> = fs::read_dir(place.dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn a_damaged_journal_is_shown_as_far_as_it_is_whole() {
    let place = Place::new();
    let run = make(&place, &journal());
    let path = run.join("journal.jsonl");
    let whole = fs::read(&path).unwrap();
    let torn = [&whole[..], b"{\"seq\":22,\"time\":\"2026-01-01T00:00"].concat();
    fs::write(&path, torn).unwrap();
    let done = view(&place, 0, &["-o", "torn.html"]);
    assert!(
        done.stderr
            .contains("that are no whole event; the page shows the 21 events before"),
        "{done:?}"
    );
    let page = fs::read_to_string(place.path("torn.html")).unwrap();
    check(&page);
    assert!(page.contains("a write was cut off. Nothing before it is lost."));

    let text = String::from_utf8(whole).unwrap();
    let damaged = text.replacen("{\"argv\"", "{\"argv", 1).replacen(
        "\"milliseconds\":4",
        "\"milliseconds\":",
        1,
    );
    assert_ne!(damaged, text);
    fs::write(&path, damaged).unwrap();
    let done = view(&place, 2, &["-o", "damaged.html"]);
    assert!(
        done.stderr.contains("line 8 is damaged") && done.stderr.contains("the 7 events before"),
        "{done:?}"
    );
    let page = fs::read_to_string(place.path("damaged.html")).unwrap();
    check(&page);
    assert!(
        page.contains("damaged after event 7")
            && page.contains(" id=\"e7\"")
            && !page.contains(" id=\"e9\"")
    );

    fs::write(&path, "").unwrap();
    fs::write(run.join("verdict.json"), "{}").unwrap();
    let done = view(&place, 0, &["-o", "empty.html"]);
    assert!(
        done.stderr
            .contains("verdict.json is none that this mirrorcode reads"),
        "{done:?}"
    );
    check(&fs::read_to_string(place.path("empty.html")).unwrap());
}

/// A turn that asks for one command.
fn turn(command: &str) -> Value {
    json!({ "text": "next", "calls": [{ "name": "bash", "input": { "command": command } }],
        "usage": { "input": 2000, "cache_read": 0, "cache_write": 0, "output": 20, "reasoning": 0 } })
}

#[test]
fn a_real_run_with_its_files_and_its_verdict() {
    let place = Place::new();
    let turns = [
        turn(
            "printf '</script><script>alert(1)</script>\\0\\377' > evil.txt; cat evil.txt; echo '[1]' | gron",
        ),
        turn("printf 'print(1)\\n' > main.py"),
        turn("printf 'print(2)\\n' > main.py; seq 1 90000"),
        json!({ "calls": [{ "name": "evaluate", "input": {} }] }),
        json!({ "calls": [{ "name": "submit", "input": {} }] }),
    ];
    let script = place.write("script.json", json!({ "turns": turns }).to_string());
    let (model, targets) = (
        format!("scripted:{}", script.display()),
        small().display().to_string(),
    );
    place.expect(
        1,
        &[
            "run",
            "small/python",
            "--model",
            &model,
            "--targets",
            &targets,
        ],
    );
    let id = fs::read_dir(place.path("runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .file_name();
    place.expect(0, &["view", id.to_str().unwrap(), "-o", "page.html"]);
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    check(&page);
    for part in [
        "not solved</strong>",
        "<del>-print(1)</del>\n<ins>+print(2)</ins>",
        "href=\"#oracle\"",
        "<i class=u>NUL</i><i class=u>\\xFF</i>",
        "&lt;/script&gt;&lt;script&gt;",
        "left out here, of 529 kB; SHA-256 <code>",
        "<code>main.py</code>",
        "Share of cases that pass, over tokens",
    ] {
        assert!(page.contains(part), "{part} is not on the page");
    }
}
