//! A server on loopback that answers as it is told, well or badly, and counts what it charges.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{
    CacheTime, Event, Failure, Key, Message, Model, Patience, Provider, Raw, Reply, Request,
    Retrying, Settings, Thinking, Timeouts, Tool, Usage, Watch,
};

/// One name of every dialect.
pub(crate) const NAMES: [&str; 4] = ["anthropic/m", "openai/m", "compatible/m", "gemini/m"];
/// The key that is sent.
pub(crate) const KEY: &str = "sk-very-secret-7";
/// What every whole reply of the server takes.
pub(crate) const USAGE: Usage = Usage {
    input: 36,
    cache_read: 64,
    cache_write: 0,
    cache_write_hour: 0,
    output: 50,
    reasoning: 40,
};

/// How the server treats one request.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Answers with this status, header fields and body.
    Refuse(u16, &'static str, String),
    /// Streams so many bytes of these events, and ends as it should.
    Stream(String, usize),
    /// Streams so many bytes of these events, and drops the connection.
    Cut(String, usize),
    /// Streams so many bytes of these events, and says no more.
    Stall(String, usize),
    /// Streams these events byte by byte.
    Drip(String),
    /// Streams so many bytes of these events, then comments without end.
    Babble(String, usize),
    /// Reads the request and says nothing.
    Silence,
    /// Reads the request and drops the connection.
    HangUp,
}

impl Manner {
    /// Streams all of these events.
    pub(crate) fn whole(events: &str) -> Self {
        Manner::Stream(events.to_owned(), events.len())
    }
}

/// The server.
pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub(crate) base: String,
    /// Heads and bodies of the requests.
    pub(crate) requests: Arc<Mutex<Vec<(String, String)>>>,
    closed: Arc<AtomicBool>,
}

impl Server {
    /// Treats one request after the other as told, then hangs up.
    pub(crate) fn start(manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::new(AtomicBool::new(false));
        let (seen, ended) = (requests.clone(), closed.clone());
        let manners = Arc::new(Mutex::new(manners.into_iter()));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    break;
                }
                let (seen, ended, manners) = (seen.clone(), ended.clone(), manners.clone());
                std::thread::spawn(move || {
                    let mut connection = connection.unwrap();
                    let mut reader = BufReader::new(connection.try_clone().unwrap());
                    while let Some(request) = read_request(&mut reader) {
                        seen.lock().unwrap().push(request);
                        let manner = manners.lock().unwrap().next().unwrap_or(Manner::HangUp);
                        if serve(&mut connection, manner, &ended).is_none() {
                            break;
                        }
                    }
                    let _ = connection.shutdown(std::net::Shutdown::Both);
                });
            }
        });
        Server {
            base,
            requests,
            closed,
        }
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.base.trim_start_matches("http://"));
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.to_lowercase();
    let length = length
        .split_once("content-length: ")?
        .1
        .split_once("\r\n")?
        .0
        .parse()
        .ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// Answers; `None` when the connection is to be dropped.
fn serve(connection: &mut TcpStream, manner: Manner, ended: &AtomicBool) -> Option<()> {
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &[u8]| [format!("{:x}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat();
    let mut begin = |events: &str, bytes: usize| {
        connection.write_all(head.as_bytes()).ok()?;
        if bytes > 0 {
            connection
                .write_all(&chunk(&events.as_bytes()[..bytes]))
                .ok()?;
        }
        Some(())
    };
    match manner {
        Manner::Refuse(status, fields, body) => {
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\n{fields}content-length: {length}\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).ok()
        }
        Manner::Stream(events, bytes) => {
            begin(&events, bytes)?;
            connection.write_all(b"0\r\n\r\n").ok()
        }
        Manner::Cut(events, bytes) => {
            begin(&events, bytes)?;
            None
        }
        Manner::Stall(events, bytes) => {
            begin(&events, bytes)?;
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            None
        }
        Manner::Drip(events) => {
            begin("", 0)?;
            for byte in events.as_bytes() {
                connection.write_all(&chunk(&[*byte])).ok()?;
            }
            connection.write_all(b"0\r\n\r\n").ok()
        }
        Manner::Babble(events, bytes) => {
            begin(&events, bytes)?;
            while !ended.load(Ordering::SeqCst) {
                connection.write_all(&chunk(b": ping\n\n")).ok()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            None
        }
        Manner::Silence => {
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20));
            }
            None
        }
        Manner::HangUp => None,
    }
}

/// The events of a reply with text and two tool calls, which takes [`USAGE`]. In a stream's later half
/// stands a tool call.
pub(crate) fn events(name: &str) -> Vec<String> {
    let (names, data): (bool, &[&str]) = match name.split_once('/').unwrap().0 {
        "anthropic" => (
            true,
            &[
                r#"{"type":"message_start","message":{"id":"r","model":"m","usage":{"input_tokens":36,"cache_read_input_tokens":64,"cache_creation_input_tokens":0,"output_tokens":1}}}"#,
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"I look."}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"a","name":"shell","input":{}}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"script\":"}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\"ls\"}"}}"#,
                r#"{"type":"content_block_stop","index":1}"#,
                r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"b","name":"shell","input":{}}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"script\":\"pwd\"}"}}"#,
                r#"{"type":"content_block_stop","index":2}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":50,"output_tokens_details":{"thinking_tokens":40}}}"#,
                r#"{"type":"message_stop"}"#,
            ],
        ),
        "openai" => (
            true,
            &[
                r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","model":"m","usage":null}}"#,
                r#"{"type":"response.output_text.delta","sequence_number":1,"delta":"I look."}"#,
                r#"{"type":"response.output_item.done","sequence_number":2,"item":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look."}]}}"#,
                r#"{"type":"response.output_item.added","sequence_number":3,"item":{"type":"function_call","name":"shell","call_id":"a","arguments":""}}"#,
                r#"{"type":"response.function_call_arguments.delta","sequence_number":4,"delta":"{\"script\":"}"#,
                r#"{"type":"response.output_item.done","sequence_number":5,"item":{"type":"function_call","name":"shell","call_id":"a","arguments":"{\"script\":\"ls\"}"}}"#,
                r#"{"type":"response.output_item.done","sequence_number":6,"item":{"type":"function_call","name":"shell","call_id":"b","arguments":"{\"script\":\"pwd\"}"}}"#,
                r#"{"type":"response.completed","sequence_number":7,"response":{"id":"r","model":"m","output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":40}}}}"#,
            ],
        ),
        "gemini" => (
            false,
            &[
                r#"{"candidates":[{"content":{"parts":[{"text":"I look."}]}}],"modelVersion":"m","responseId":"r"}"#,
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"a","name":"shell","args":{"script":"ls"}}}]}}]}"#,
                r#"{"candidates":[{"content":{"parts":[{"functionCall":{"id":"b","name":"shell","args":{"script":"pwd"}}}]}}]}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":64,"candidatesTokenCount":10,"thoughtsTokenCount":40}}"#,
            ],
        ),
        _ => (
            false,
            &[
                r#"{"id":"r","model":"m","choices":[{"delta":{"content":"I look."}}]}"#,
                r#"{"id":"r","choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"shell","arguments":"{\"script\":"}}]}}]}"#,
                r#"{"id":"r","choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"ls\"}"}}]}}]}"#,
                r#"{"id":"r","choices":[{"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"shell","arguments":"{\"script\":\"pwd\"}"}}]}}]}"#,
                r#"{"id":"r","choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
                r#"{"id":"r","choices":[],"usage":{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens":50,"completion_tokens_details":{"reasoning_tokens":40}}}"#,
                "[DONE]",
            ],
        ),
    };
    let event = |data: &&str| {
        let kind = data
            .split_once(r#""type":""#)
            .and_then(|(_, rest)| rest.split_once('"'));
        match kind.filter(|_| names) {
            Some((kind, _)) => format!("event: {kind}\ndata: {data}\n\n"),
            None => format!("data: {data}\n\n"),
        }
    };
    data.iter().map(event).collect()
}

/// Notes what happens, and can be stopped from another thread.
#[derive(Default)]
pub(crate) struct Notes {
    /// Text as it came.
    pub(crate) text: String,
    /// Kinds of the failures that were tried again.
    pub(crate) retries: Vec<String>,
    /// Stops the call.
    pub(crate) stop: Arc<AtomicBool>,
}

impl Watch for Notes {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Text(text) => self.text.push_str(text),
            Event::Retry { failure, .. } => self.retries.push(failure.kind.name().to_owned()),
            _ => {}
        }
    }

    fn stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

/// Short limits, so that tests are quick.
pub(crate) const TIMEOUTS: Timeouts = Timeouts {
    connection: Duration::from_secs(5),
    answer: Duration::from_millis(400),
    stream: Duration::from_millis(400),
    end: Duration::from_millis(1_500),
};
/// Short pauses.
pub(crate) const PATIENCE: Patience = Patience {
    first: Duration::from_millis(10),
    longest: Duration::from_millis(50),
    attempts: 5,
    malformed: 2,
    time: Duration::from_secs(10),
};

/// A model at a server.
pub(crate) fn provider(name: &str, base: &str, timeouts: Timeouts) -> Provider {
    let key = Key::new(KEY, "test").unwrap();
    Provider::new(name.parse().unwrap(), Some(base), Some(key), timeouts).unwrap()
}

/// Asks something, with retries.
pub(crate) fn ask(name: &str, server: &Server, notes: &mut Notes) -> Result<Reply, Failure> {
    let mut model = Retrying::new(provider(name, &server.base, TIMEOUTS), PATIENCE, 1);
    ask_model(&mut model, notes)
}

/// Asks a model something.
pub(crate) fn ask_model(model: &mut dyn Model, watch: &mut dyn Watch) -> Result<Reply, Failure> {
    let settings = Settings {
        max_output_tokens: 200,
        thinking: Thinking::Default,
        cache_key: "run-7".to_owned(),
        cache_time: CacheTime::Minutes5,
        extra: None,
    };
    ask_with(model, watch, &[Message::User("Go".to_owned())], &settings)
}

/// Asks a model to go on with a conversation.
pub(crate) fn ask_with(
    model: &mut dyn Model,
    watch: &mut dyn Watch,
    messages: &[Message],
    settings: &Settings,
) -> Result<Reply, Failure> {
    let tools = [Tool {
        name: "shell".to_owned(),
        description: "Runs a script.".to_owned(),
        schema: Raw::new(
            r#"{"type":"object","properties":{"script":{"type":"string"}},"required":["script"]}"#,
        )
        .unwrap(),
    }];
    let request = Request {
        system: "Be brief.",
        messages,
        stable: 1,
        tools: &tools,
        settings,
    };
    model.reply(&request, watch)
}
