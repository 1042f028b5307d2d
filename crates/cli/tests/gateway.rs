//! Another agent at work in the sandbox, end to end: its way to the model, its budget, its record, its verdict.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use common::{Done, Place, small};
use serde_json::{Value, json};

/// The key that must stay outside.
const KEY: &str = "sk-real-0123456789";

/// A provider's stand-in: answers each request with the next of these, as Anthropic does without streaming.
struct Provider {
    base: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Provider {
    fn start(answer: fn(usize) -> Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = Arc::clone(&seen);
                std::thread::spawn(move || serve(stream.unwrap(), &seen, answer));
            }
        });
        Provider { base, requests }
    }
}

fn serve(mut stream: TcpStream, seen: &Mutex<Vec<(String, Value)>>, answer: fn(usize) -> Value) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        let lower = head.to_lowercase();
        let length = lower.split_once("content-length: ").unwrap().1;
        let length = length.split_once("\r\n").unwrap().0.parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push((head, serde_json::from_slice(&body).unwrap()));
            seen.len()
        };
        let body = answer(number).to_string();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
        let length = body.len();
        let text = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.write_all(text.as_bytes()).unwrap();
    }
}

/// Answers the first two requests with a command, the third with `submit`, and all later ones with a word.
fn works(number: usize) -> Value {
    let command = match number {
        1 => "printf 'print(1)\\n' >main.py; echo '[1]' | gron",
        2 => "evaluate >report; ls",
        _ => "submit",
    };
    json!({
        "id": "msg", "type": "message", "role": "assistant", "model": "m",
        "content": [{"type": "tool_use", "id": format!("t{number}"), "name": "bash", "input": {"command": command}}],
        "stop_reason": "tool_use", "usage": {"input_tokens": 100, "output_tokens": 10},
    })
}

/// An agent of thirty lines, which nobody rewrote for this.
const AGENT: &str = r#"
import json, os, subprocess, sys, urllib.request, urllib.error
tools = [{"name": "bash", "description": "Runs.", "input_schema": {"type": "object"}}]
talk = [{"role": "user", "content": sys.argv[1]}]
def ask(body, path="/v1/messages"):
    request = urllib.request.Request(os.environ["ANTHROPIC_BASE_URL"] + path, json.dumps(body).encode(), {"x-api-key": os.environ["ANTHROPIC_API_KEY"]})
    try: return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error: return error.code, json.load(error)["error"]
if "--forbidden" in sys.argv:
    say = {"model": "m", "max_tokens": 9, "messages": talk}
    for path, body in (("/v1/files", {}), ("/v1/messages", dict(say, model="other")), ("/v1/messages", dict(say, tools=[{"type": "web_search_20250305", "name": "web_search"}]))):
        print(ask(body, path))
while True:
    say = {"model": "m", "tools": tools, "messages": talk}
    reply = ask(say if "--unlimited" in sys.argv else dict(say, max_tokens=1000))
    if isinstance(reply, tuple):
        print(reply); sys.exit(7)
    talk.append({"role": "assistant", "content": reply["content"]})
    results = []
    for call in reply["content"]:
        if call["type"] == "tool_use":
            done = subprocess.run(["bash", "-lc", call["input"]["command"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            results.append({"type": "tool_result", "tool_use_id": call["id"], "content": done.stdout})
            if call["input"]["command"] == "submit": sys.exit(done.returncode)
    talk.append({"role": "user", "content": results})
"#;

fn run(place: &Place, status: i32, provider: &Provider, more: &[&str]) -> Done {
    let agent = format!(
        "printf %s '{}' >/tmp/agent.py; python3 /tmp/agent.py \"$prompt\"",
        AGENT.replace('\'', "'\\''")
    );
    let key = place.write("key", KEY);
    let targets = small().display().to_string();
    let key = key.display().to_string();
    let command = match more {
        [word @ ("--forbidden" | "--unlimited"), ..] => format!("{agent} {word}"),
        _ => agent,
    };
    let mut arguments = vec![
        "run",
        "small/python",
        "--agent",
        "generic",
        "--agent-command",
        &command,
        "--model",
        "anthropic/m",
        "--base-url",
        &provider.base,
        "--key-file",
        &key,
        "--targets",
        &targets,
        "--json",
    ];
    let words = ["--forbidden", "--unlimited"];
    arguments.extend(more.iter().filter(|word| !words.contains(*word)));
    place.expect(status, &arguments)
}

fn events(place: &Place) -> (String, Vec<Value>) {
    let run = fs::read_dir(place.path("runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let text = fs::read_to_string(run.path().join("journal.jsonl")).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (run.file_name().into_string().unwrap(), events.collect())
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events
        .iter()
        .filter(|event| event["type"] == kind)
        .collect()
}

#[test]
fn an_agent_that_knows_nothing_of_this_works_submits_and_is_scored() {
    let place = Place::new();
    let provider = Provider::start(works);
    let done = run(&place, 1, &provider, &["--forbidden"]);
    let row = &done.json()[0];
    assert_eq!(
        (&row["end"], &row["turns"], &row["tokens"]),
        (&json!("submitted"), &json!(3), &json!(330))
    );
    let (id, events) = events(&place);
    assert_eq!(events[0]["agent"], "program");
    let reasons: Vec<&Value> = of(&events, "refused")
        .iter()
        .map(|event| &event["reason"])
        .collect();
    assert_eq!(reasons, ["path", "model", "content"]);
    let requests = of(&events, "request");
    assert_eq!(requests.len(), 3);
    // Each message stands in the record once.
    assert_eq!(
        (&requests[1]["after"], &requests[1]["kept"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&requests[2]["after"], &requests[2]["kept"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(requests[2]["items"].as_array().unwrap().len(), 2);
    assert_eq!(of(&events, "evaluate").len(), 1);
    assert_eq!(of(&events, "oracle").len(), 1);
    let sent = provider.requests.lock().unwrap();
    assert_eq!(sent.len(), 3);
    assert!(
        sent.iter()
            .all(|(head, _)| head.contains(KEY) && !head.contains("worthless"))
    );
    // What the reference said went to the model.
    assert!(
        sent[1].1.to_string().contains("json[0] = 1;"),
        "{}",
        sent[1].1
    );
    let said = place.expect(2, &["replay", &id]).stderr;
    assert!(said.contains("another agent's program"), "{said}");
    let journal = fs::read(place.path("runs").join(&id).join("journal.jsonl")).unwrap();
    assert!(!String::from_utf8_lossy(&journal).contains(KEY));
}

#[test]
fn a_spent_budget_ends_it_and_more_lets_it_go_on() {
    let place = Place::new();
    let provider = Provider::start(works);
    let done = run(&place, 1, &provider, &["--turn-limit", "1"]);
    assert_eq!(done.json()[0]["end"], "budget");
    let (id, before) = events(&place);
    assert_eq!(of(&before, "refused")[0]["reason"], "budget");
    assert_eq!(of(&before, "end")[0]["reason"], json!({"budget": "turns"}));
    let targets = small().display().to_string();
    let again = [
        "resume",
        &id,
        "--turn-limit",
        "9",
        "--targets",
        &targets,
        "--json",
    ];
    let done = place.expect(1, &again);
    let row = &done.json()[0];
    assert_eq!(
        (&row["end"], &row["turns"]),
        (&json!("submitted"), &json!(3)),
        "{row}"
    );
}

#[test]
fn an_agent_that_names_no_limit_of_an_answer_keeps_to_the_budget() {
    let place = Place::new();
    let provider = Provider::start(works);
    run(
        &place,
        1,
        &provider,
        &["--unlimited", "--token-limit", "40k"],
    );
    let (_, events) = events(&place);
    let calls = of(&events, "call");
    assert_eq!(calls.len(), 3);
    let sent = provider.requests.lock().unwrap();
    for (call, (_, request)) in calls.iter().zip(sent.iter()) {
        let number = |value: &Value| value.as_u64().unwrap();
        let estimate = &call["estimate"];
        let (input, output) = (
            number(&estimate["input-tokens"]),
            number(&estimate["output-tokens"]),
        );
        assert_eq!(number(&request["max_tokens"]), output);
        assert_eq!(
            number(&call["spent"]["tokens"]) + input + output,
            40_000,
            "{call}"
        );
    }
    drop(sent);

    // With room for the longest answer there is, the model's own limit holds.
    let place = Place::new();
    let provider = Provider::start(works);
    run(
        &place,
        1,
        &provider,
        &["--unlimited", "--token-limit", "1M"],
    );
    let sent = provider.requests.lock().unwrap();
    assert!(
        sent.iter()
            .all(|(_, request)| request.get("max_tokens").is_none())
    );
}

#[test]
fn an_agent_that_breaks_down_is_no_answer() {
    let place = Place::new();
    let targets = small().display().to_string();
    let begin = |command: &str| {
        let arguments = [
            "run",
            "small/python",
            "--agent",
            "generic",
            "--agent-command",
            command,
            "--model",
            "compatible/m",
            "--base-url",
            "http://127.0.0.1:9",
            "--targets",
            &targets,
        ];
        place.expect(4, &arguments)
    };
    let said = begin("echo no such luck; exit 3").stderr;
    for words in ["broke down", "status 3", "no such luck", "resume"] {
        assert!(said.contains(words), "{said}");
    }
    let said = begin("true").stderr;
    assert!(said.contains("without asking its model"), "{said}");
    for run in fs::read_dir(place.path("runs")).unwrap() {
        assert!(!run.unwrap().path().join("verdict.json").exists());
    }
}
