//! A client of the Model Context Protocol at work on a task: over standard streams and over HTTP, cut off and taken up,
//! within a budget, to the verdict.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, small};
use serde_json::{Value, json};

const TOKEN: &str = "0123456789abcdef-token";

fn server(place: &Place, arguments: &[&str]) -> Command {
    let mut command = place.process();
    command
        .arg("mcp")
        .args(arguments)
        .env("MIRRORCODE_TARGETS", small())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A client that writes lines of JSON.
struct Client {
    server: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    number: u64,
}

impl Client {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut server = server(place, arguments).spawn().unwrap();
        let mut client = Client {
            input: server.stdin.take(),
            output: BufReader::new(server.stdout.take().unwrap()),
            server,
            number: 0,
        };
        let begun = client.ask("initialize", hello());
        assert_eq!(begun["result"]["serverInfo"]["name"], "mirrorcode");
        let instructions = begun["result"]["instructions"].as_str().unwrap();
        assert!(instructions.contains("`gron`, in python"), "{instructions}");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    fn send(&mut self, message: &Value) {
        let input = self.input.as_mut().unwrap();
        input.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let number = self.number;
        self.send(
            &json!({ "jsonrpc": "2.0", "id": number, "method": method, "params": parameters }),
        );
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "no answer to {method}"
            );
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == number {
                return answer;
            }
        }
    }

    fn call(&mut self, name: &str, arguments: Value) -> (String, bool) {
        let answer = self.ask(
            "tools/call",
            json!({ "name": name, "arguments": arguments }),
        );
        told(&answer)
    }

    /// Goes away as clients do; gives the status and what was said on standard error.
    fn leave(mut self) -> (i32, String) {
        drop(self.input.take());
        ended(&mut self.server)
    }
}

fn ended(server: &mut Child) -> (i32, String) {
    let mut said = String::new();
    server
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (server.wait().unwrap().code().unwrap_or(-1), said)
}

fn hello() -> Value {
    json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "by-hand\u{1b}[1m", "version": "7" } })
}

fn told(answer: &Value) -> (String, bool) {
    let text = answer["result"]["content"][0]["text"].as_str();
    let text = text.unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text, answer["result"]["isError"] == true)
}

/// The id of the one run.
fn run_of(place: &Place) -> String {
    let mut runs = fs::read_dir(place.path("runs")).unwrap();
    let id = runs.next().unwrap().unwrap().file_name();
    assert!(runs.next().is_none());
    id.into_string().unwrap()
}

fn on_small(place: &Place, status: i32, arguments: &[&str]) -> common::Done {
    let targets = small().display().to_string();
    place.expect(status, &[arguments, &["--targets", &targets]].concat())
}

#[test]
fn a_client_completes_a_task_over_standard_streams() {
    let place = Place::new();
    let mut client = Client::start(&place, &["small/python", "--time-limit", "1h"]);
    let tools = client.ask("tools/list", json!({}));
    let names: Vec<_> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["bash", "edit", "evaluate", "submit", "oracle"]);

    // What is wrong is said so that it can be put right.
    for (name, arguments, says) in [
        ("bash", json!({}), "missing field `command`"),
        ("bash", json!({ "command": 7 }), "expected a string"),
        ("bash", json!({ "command": "a\u{0}b" }), "zero byte"),
        (
            "edit",
            json!({ "action": "turn", "path": "a" }),
            "unknown variant",
        ),
        ("oracle", json!({ "args": [] }), "unknown field `args`"),
        (
            "scan",
            json!({}),
            "there are bash, edit, evaluate, submit, oracle",
        ),
    ] {
        let (text, failed) = client.call(name, arguments);
        assert!(failed && text.contains(says), "{name}: {text}");
    }

    let (text, failed) = client.call("oracle", json!({ "arguments": ["-s"], "stdin": "[1]\n{}" }));
    assert!(
        !failed && text.contains("[exit status 0]") && text.contains("[standard error, 0 bytes]"),
        "{text}"
    );
    assert!(text.contains("json[0][0] = 1;\n"), "{text}");
    let (text, _) = client.call("oracle", json!({ "stdin": "{" }));
    assert!(!text.contains("[exit status 0]"), "{text}");
    let (text, _) = client.call("oracle", json!({ "stdin_base64": "IgDDpCI=" }));
    assert!(text.contains("[standard error, "), "{text}");
    let (text, _) = client.call(
        "edit",
        json!({ "action": "create", "path": "main.py", "text": "print(1)\n" }),
    );
    assert!(text.contains("main.py"), "{text}");
    let (text, _) = client.call("bash", json!({ "command": "cat main.py; pwd" }));
    assert_eq!(text, "print(1)\n/workspace\n");
    let (text, failed) = client.call("evaluate", json!({ "cases": ["arrays"] }));
    assert!(!failed && text.contains("visible cases pass"), "{text}");
    assert!(text.contains("[used so far: "), "{text}");
    let prompts = client.ask("prompts/list", json!({}));
    assert_eq!(prompts["result"]["prompts"][0]["name"], "task");
    let prompt = client
        .ask("prompts/get", json!({ "name": "task" }))
        .to_string();
    assert!(prompt.contains("60 min of time"), "{prompt}");
    assert!(prompt.contains("`oracle` runs the program"), "{prompt}");
    let (text, failed) = client.call("submit", json!({}));
    assert!(!failed && text.contains("submitted"), "{text}");
    let (text, failed) = client.call("bash", json!({ "command": "echo late" }));
    assert!(failed && text.contains("the work is submitted"), "{text}");
    let (status, said) = client.leave();
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("not solved"), "{said}");

    let id = run_of(&place);
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(listed[0]["state"], "submitted");
    assert_eq!(listed[0]["who"], "by-hand\u{fffd}[1m 7 (over MCP)");
    assert_eq!(listed[0]["turns"], 13);
    assert_eq!(listed[0]["oracle_calls"], 3);
    let directory = place.path("runs").join(&id);
    let verdict = fs::read(directory.join("verdict.json")).unwrap();
    let scored = on_small(&place, 1, &["score", "small/python", &id]);
    assert!(scored.stdout.contains("not solved"), "{scored:?}");
    on_small(
        &place,
        1,
        &["score", "small/python", &id, "--out", "again", "--again"],
    );
    assert_eq!(verdict, fs::read(place.path("again/verdict.json")).unwrap());
    on_small(&place, 1, &["score", "small/python", &id, "--at", "10"]);
    let shown = on_small(&place, 0, &["run", "show", &id]).stdout;
    assert!(shown.contains("call 7: oracle"), "{shown}");
    let watched = on_small(&place, 0, &["watch", &id, "--once", "--json"]).json();
    assert_eq!(
        (&watched["turn"], &watched["state"]),
        (&13.into(), &"submitted".into())
    );
    on_small(&place, 0, &["view", &id, "-o", "page.html"]);
    let page = fs::read_to_string(place.path("page.html")).unwrap();
    assert!(page.contains("A client introduces itself over stdio"));
    let replayed = on_small(&place, 0, &["replay", &id]);
    assert!(replayed.stdout.contains("7 of 7 commands"), "{replayed:?}");
    let done = on_small(&place, 2, &["mcp", "--resume", &id]);
    assert!(done.stderr.contains("has been submitted"), "{done:?}");
}

#[test]
fn nothing_is_lost_when_a_client_or_the_server_goes() {
    let place = Place::new();
    let mut client = Client::start(&place, &["small/python", "--turn-limit", "5"]);
    client.call(
        "bash",
        json!({ "command": "echo 'print(1)' >main.py; cd /tmp" }),
    );
    // The server is killed in the middle of a call.
    client.send(&json!({
        "jsonrpc": "2.0", "id": 99, "method": "tools/call",
        "params": { "name": "bash", "arguments": { "command": "touch /workspace/begun; sleep 100" } },
    }));
    let id = run_of(&place);
    let begun = place.path("runs").join(&id).join("workspace/begun");
    let since = Instant::now();
    while !begun.exists() {
        assert!(since.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(20));
    }
    client.server.kill().unwrap();
    client.server.wait().unwrap();
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(listed[0]["state"], "cut-off");

    let mut client = Client::start(&place, &["--resume", &id]);
    let (text, failed) = client.call("bash", json!({ "command": "pwd; ls /workspace" }));
    assert!(
        !failed && text.starts_with("/tmp\nbegun\nmain.py\n"),
        "{text}"
    );
    assert!(
        text.contains("call of `bash` before this one was cut off"),
        "{text}"
    );
    // The client goes while a call is under way: it is ended, and that is on record.
    client.send(&json!({
        "jsonrpc": "2.0", "id": 99, "method": "tools/call",
        "params": { "name": "bash", "arguments": { "command": "echo half >/workspace/half; sleep 100" } },
    }));
    let half = place.path("runs").join(&id).join("workspace/half");
    while !half.exists() {
        assert!(since.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(20));
    }
    let (status, said) = client.leave();
    assert_eq!(status, 0, "{said}");
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(
        (&listed[0]["state"], &listed[0]["turns"]),
        (&"left".into(), &4.into())
    );

    // `resume` goes on as well; the limit on turns holds over all of it, and what is there is scored.
    let mut command = place.process();
    command
        .args(["resume", &id])
        .env("MIRRORCODE_TARGETS", small())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut client = Client {
        input: server.stdin.take(),
        output: BufReader::new(server.stdout.take().unwrap()),
        server,
        number: 0,
    };
    client.ask("initialize", hello());
    let (text, failed) = client.call("bash", json!({ "command": "cat /workspace/half" }));
    assert!(!failed && text.starts_with("half\n"), "{text}");
    let (text, failed) = client.call("bash", json!({ "command": "true" }));
    assert!(
        failed && text.contains("the budget (turns) is used up"),
        "{text}"
    );
    let (status, said) = client.leave();
    assert_eq!(status, 1, "{said}");
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(listed[0]["state"], "budget");
}

#[test]
fn a_call_is_cancelled_and_a_run_is_stopped_from_outside() {
    let place = Place::new();
    let mut client = Client::start(&place, &["small/python"]);
    client.call("bash", json!({ "command": "true" }));
    client.send(&json!({
        "jsonrpc": "2.0", "id": 99, "method": "tools/call",
        "params": { "name": "bash", "arguments": { "command": "sleep 100" } },
    }));
    client.send(&json!({
        "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 99, "reason": "no" },
    }));
    let since = Instant::now();
    let (text, failed) = client.call("bash", json!({ "command": "echo next" }));
    assert!(!failed && text == "next\n", "{text}");
    assert!(since.elapsed() < Duration::from_secs(60));
    let id = run_of(&place);
    on_small(&place, 0, &["run", "pause", &id]);
    on_small(&place, 0, &["run", "continue", &id]);
    on_small(&place, 0, &["stop", &id]);
    let (status, said) = client.leave();
    assert_eq!(status, 130, "{said}");
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(listed[0]["state"], "stopped");
}

/// One request over HTTP; gives the head and the body.
fn post(address: &str, fields: &[(&str, &str)], body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut request =
        "POST /mcp HTTP/1.1\r\nconnection: close\r\ncontent-type: application/json\r\n\
                       accept: application/json, text/event-stream\r\n"
            .to_owned();
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[test]
fn over_http_only_those_with_the_token_are_served_and_come_back_to_the_same_run() {
    let place = Place::new();
    let mut command = server(&place, &["small/python", "--http", "127.0.0.1:0"]);
    let mut server = command.env("MIRRORCODE_MCP_TOKEN", TOKEN).spawn().unwrap();
    let mut said = BufReader::new(server.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0);
        if let Some((_, rest)) = line.split_once("serving http://") {
            break rest.split_once('/').unwrap().0.to_owned();
        }
    };
    // What else is said must not fill the pipe.
    let rest = std::thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        text
    });
    let bearer = format!("Bearer {TOKEN}");
    let own = [("host", address.as_str()), ("authorization", &bearer)];
    let hello =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello() }).to_string();
    let port = address.split_once(':').unwrap().1.to_owned();
    let rebound = format!("attacker.example:{port}");
    for (fields, status) in [
        (vec![own[0]], "401"),
        (
            vec![own[0], ("authorization", "Bearer 0123456789abcdef-tokem")],
            "401",
        ),
        (vec![("host", &*rebound), own[1]], "403"),
        (vec![("host", "127.0.0.1:1"), own[1]], "403"),
        (
            vec![own[0], own[1], ("origin", "http://attacker.example")],
            "403",
        ),
        (vec![own[0], own[1], ("origin", "null")], "403"),
    ] {
        let (head, body) = post(&address, &fields, &hello);
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status}")),
            "{fields:?}: {head}\n{body}"
        );
    }

    let call = |session: &str, number: u64, name: &str, arguments: Value| {
        let body = json!({
            "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": { "name": name, "arguments": arguments },
        });
        let fields = [own[0], own[1], ("mcp-session-id", session)];
        let (head, body) = post(&address, &fields, &body.to_string());
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        let event = body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .find(|data| data.contains("\"result\""))
            .unwrap_or_else(|| panic!("{body}"));
        told(&serde_json::from_str(event).unwrap())
    };
    let session = || {
        let (head, body) = post(&address, &own, &hello);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
        let session = field(&head, "mcp-session-id").unwrap().to_owned();
        let fields = [own[0], own[1], ("mcp-session-id", &session)];
        let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        let (head, _) = post(&address, &fields, &initialized.to_string());
        assert!(head.starts_with("HTTP/1.1 202"), "{head}");
        session
    };
    let first = session();
    let (text, _) = call(
        &first,
        2,
        "bash",
        json!({ "command": "echo 'print(1)' >main.py; cd /tmp" }),
    );
    assert!(text.contains("[no output]"), "{text}");
    // Another session, as of a client that was started again: the same sandbox.
    let second = session();
    assert_ne!(first, second);
    let (text, _) = call(
        &second,
        2,
        "bash",
        json!({ "command": "pwd; cat /workspace/main.py" }),
    );
    assert_eq!(text, "/tmp\nprint(1)\n");
    let (text, _) = call(&second, 3, "submit", json!({}));
    assert!(text.contains("submitted"), "{text}");
    assert_eq!(server.wait().unwrap().code(), Some(1));
    assert!(rest.join().unwrap().contains("not solved"));
    let listed = on_small(&place, 0, &["runs", "--json"]).json();
    assert_eq!(
        (&listed[0]["state"], &listed[0]["turns"]),
        (&"submitted".into(), &3.into())
    );
}

#[test]
fn a_client_that_only_looks_begins_no_run() {
    let place = Place::new();
    let mut client = Client::start(&place, &["small/python"]);
    client.ask("tools/list", json!({}));
    let (status, said) = client.leave();
    assert_eq!(status, 0, "{said}");
    assert!(said.contains("no run was begun"), "{said}");
    assert!(!place.path("runs").exists());
    // What is no message of the protocol is passed over or ends it, and is never waited for.
    let mut server = server(&place, &["small/python"]).spawn().unwrap();
    let mut input = server.stdin.take().unwrap();
    input
        .write_all(b"garbage\n{\"jsonrpc\":\"2.0\",\"id\":1}\n[1,2\n\xff\xfe\n")
        .unwrap();
    drop(input);
    let (status, said) = ended(&mut server);
    assert!(status == 0 || status == 2, "{status}: {said}");
    assert!(!place.path("runs").exists());
}

#[test]
fn what_cannot_be_served_is_said_at_once() {
    let place = Place::new();
    for (arguments, says) in [
        (
            &["mcp", "small/python", "--http", "0.0.0.0:0"][..],
            "only loopback",
        ),
        (
            &[
                "mcp",
                "small/python",
                "--http",
                "127.0.0.1:0",
                "--token",
                "short",
            ],
            "16 visible",
        ),
        (&["mcp", "small/cobol"], "cobol"),
        (&["mcp", "nothing/python"], "nothing"),
        (&["mcp", "--resume", "nowhere"], "there is no run"),
        (&["mcp"], "TASK"),
    ] {
        let done = on_small(&place, 2, arguments);
        assert!(done.stderr.contains(says), "{arguments:?}: {done:?}");
    }
}
