//! Real servers that others wrote: llama.cpp's with a model made on the spot, and LiteLLM's proxy before it.
//! `make test-models` starts them and runs these.
#![allow(
    clippy::print_stdout,
    reason = "what was seen of each server is for people"
)]

mod common;

use std::time::Duration;

use common::{Notes, ask_with};
use model::{
    Block, CacheTime, Failure, Key, Kind, Message, Model, Name, Patience, Provider, Raw, Reply,
    Retrying, Settings, Silent, Stop, Thinking, Timeouts, ToolResult,
};

/// The server's address and what the dialect wants after it.
fn base(server: &str, name: &Name) -> String {
    let variable = format!("MIRRORCODE_TEST_{server}");
    let address = std::env::var(&variable)
        .unwrap_or_else(|_| panic!("run make test-models, which sets {variable}"));
    match name.provider() {
        "anthropic" | "gemini" => address,
        _ => format!("{address}/v1"),
    }
}

fn connect(server: &str, name: &str, key: &str) -> Retrying<Provider> {
    let name: Name = name.parse().unwrap();
    let key = Key::new(key, "test").unwrap();
    let patience = Patience {
        first: Duration::from_millis(10),
        attempts: 2,
        ..Patience::default()
    };
    let base = base(server, &name);
    let provider = Provider::new(name, Some(&base), Some(key), Timeouts::default()).unwrap();
    Retrying::new(provider, patience, 1)
}

fn settings(extra: &str) -> Settings {
    Settings {
        max_output_tokens: 64,
        thinking: Thinking::Default,
        cache_key: "run-7".to_owned(),
        cache_time: CacheTime::Minutes5,
        extra: Some(Raw::new(extra).unwrap()),
    }
}

/// The first of several, and always the likeliest token.
const EXACT: &str = r#"{"temperature":0}"#;
const SEVERAL: &str = r#"{"temperature":0,"parallel_tool_calls":true}"#;

fn user(text: &str) -> Message {
    Message::User(text.to_owned())
}

fn ask(model: &mut dyn Model, messages: &[Message], settings: &Settings) -> Result<Reply, Failure> {
    ask_with(model, &mut Silent, messages, settings)
}

fn scripts(reply: &Reply) -> Vec<(String, String)> {
    let call = |block: &Block| match block {
        Block::ToolCall { id, arguments, .. } => {
            let value: serde_json::Value = serde_json::from_str(arguments).unwrap();
            Some((id.clone(), value["script"].as_str().unwrap().to_owned()))
        }
        _ => None,
    };
    reply.blocks.iter().filter_map(call).collect()
}

fn results(reply: &Reply) -> Message {
    let result = |(id, script): (String, String)| ToolResult {
        id,
        content: format!("output of {script}"),
        is_error: false,
    };
    Message::Results(scripts(reply).into_iter().map(result).collect())
}

fn has_thinking(reply: &Reply) -> bool {
    reply.blocks.iter().any(|block| {
        block
            .readable_thinking()
            .is_some_and(|text| text.contains("I should look."))
    })
}

/// A conversation of two turns with thinking and two tool calls each.
fn converse(server: &str, name: &str, key: &str, extra: &str) -> [Reply; 2] {
    let mut model = connect(server, name, key);
    let settings = settings(extra);
    let mut messages = vec![user("Go")];
    let first =
        ask(&mut model, &messages, &settings).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    let called: Vec<_> = scripts(&first)
        .into_iter()
        .map(|(_, script)| script)
        .collect();
    assert_eq!(called, ["ls", "pwd"], "{name}: {first:?}");
    assert_eq!(first.stop, Stop::ToolUse, "{name}: {first:?}");
    assert!(
        first.usage.request() > 100 && first.usage.output >= 4,
        "{name}: {first:?}"
    );
    assert_eq!(first.attempts.unknown, 0, "{name}");
    messages.extend([Message::Assistant(first.blocks.clone()), results(&first)]);
    let second =
        ask(&mut model, &messages, &settings).unwrap_or_else(|failure| panic!("{name}: {failure}"));
    assert!(
        second.usage.request() > first.usage.request() + 50,
        "{name}: {second:?}"
    );
    println!("{server} {name}: {:?} then {:?}", first.usage, second.usage);
    [first, second]
}

#[test]
#[ignore = "needs the servers of make test-models"]
fn llama_cpp_is_understood_in_three_dialects() {
    for (name, extra) in [
        ("compatible/tiny", SEVERAL),
        ("anthropic/tiny", EXACT),
        ("openai/tiny", EXACT),
    ] {
        let [first, second] = converse("LLAMA", name, "sk-tiny", extra);
        assert!(
            has_thinking(&first) && has_thinking(&second),
            "{name}: {first:?}"
        );
        assert!(
            second.usage.cache_read > first.usage.request() / 2,
            "{name}: {second:?}"
        );
    }
}

/// What a model thought goes back and is read: the conversation is shorter without it.
#[test]
#[ignore = "needs the servers of make test-models"]
fn thinking_goes_back_to_llama_cpp() {
    for (name, extra) in [
        ("compatible/tiny", SEVERAL),
        ("anthropic/tiny", EXACT),
        ("openai/tiny", EXACT),
    ] {
        let mut model = connect("LLAMA", name, "sk-tiny");
        let settings = settings(extra);
        let first = ask(&mut model, &[user("Go")], &settings).unwrap();
        let mut length = |blocks: Vec<Block>| {
            let messages = [user("Go"), Message::Assistant(blocks), results(&first)];
            ask(&mut model, &messages, &settings)
                .unwrap()
                .usage
                .request()
        };
        let with = length(first.blocks.clone());
        let mut bare = first.blocks.clone();
        bare.retain(|block| !matches!(block, Block::Thinking(_)));
        let without = length(bare);
        println!("{name}: {with} tokens with thinking, {without} without");
        assert!(
            with >= without + "I should look.".len() as u64,
            "{name}: {with} {without}"
        );
    }
}

#[test]
#[ignore = "needs the servers of make test-models"]
fn llama_cpp_refuses_by_name() {
    for name in ["compatible/tiny", "anthropic/tiny", "openai/tiny"] {
        let settings = settings(EXACT);
        let mut model = connect("LLAMA", name, "sk-tiny");
        let failure = ask(&mut model, &[user(&"long ".repeat(2_000))], &settings).unwrap_err();
        assert_eq!(failure.kind, Kind::ContextOverflow, "{name}: {failure}");
        let mut short = settings.clone();
        short.max_output_tokens = 1;
        let reply = ask(&mut model, &[user("Go")], &short).unwrap();
        assert_eq!(reply.usage.output, 1, "{name}");
        println!(
            "llama.cpp {name}: a reply of one token stops with {:?}",
            reply.stop
        );
        let mut model = connect("LLAMA", name, "sk-wrong");
        let failure = ask(&mut model, &[user("Go")], &settings).unwrap_err();
        assert_eq!(failure.kind, Kind::Authentication, "{name}: {failure}");
        assert!(!failure.to_string().contains("sk-wrong"));
    }
}

/// Over TLS, with a certificate of the test's own authority.
#[test]
#[ignore = "needs the servers of make test-models"]
fn litellm_is_understood_in_four_dialects() {
    for name in [
        "compatible/tiny",
        "anthropic/tiny",
        "openai/tiny",
        "gemini/tiny",
    ] {
        converse("LITELLM", name, "sk-proxy", "{}");
    }
}

#[test]
#[ignore = "needs the servers of make test-models"]
fn litellm_mocks_are_understood() {
    for name in [
        "openai-chat/mock-openai",
        "compatible/mock",
        "gemini/mock-openai",
    ] {
        let mut model = connect("LITELLM", name, "sk-proxy");
        let mut notes = Notes::default();
        let reply = ask_with(&mut model, &mut notes, &[user("Go")], &settings("{}"));
        let reply = reply.unwrap_or_else(|failure| panic!("{name}: {failure}"));
        assert_eq!(
            (notes.text.as_str(), &reply.stop),
            ("I look.", &Stop::End),
            "{name}: {reply:?}"
        );
        println!(
            "LiteLLM {name}: {:?}, unknown {}",
            reply.usage, reply.attempts.unknown
        );
    }
    // In two dialects its mocks do not stream, whatever is asked: that must be told, with what it may have cost.
    for (name, kind) in [
        ("anthropic/mock", "malformed"),
        ("openai/mock-openai", "server"),
    ] {
        let failure = ask(
            &mut connect("LITELLM", name, "sk-proxy"),
            &[user("Go")],
            &settings("{}"),
        )
        .unwrap_err();
        println!("LiteLLM {name}: {failure}");
        assert_eq!(failure.kind.name(), kind, "{name}");
    }
}

#[test]
#[ignore = "needs the servers of make test-models"]
fn litellm_fails_by_name() {
    // Its mocks of failures do not work in Responses.
    for provider in ["compatible", "anthropic", "gemini"] {
        for (model, kind, failed) in [
            ("limited", "rate-limited", 1),
            ("broken", "server", 1),
            ("overflow", "context-overflow", 0),
        ] {
            let name = format!("{provider}/{model}");
            let mut model = connect("LITELLM", &name, "sk-proxy");
            let failure = ask(&mut model, &[user("Go")], &settings("{}")).unwrap_err();
            assert_eq!(
                (failure.kind.name(), failure.attempts.failed),
                (kind, failed),
                "{name}: {failure}"
            );
        }
        let name = format!("{provider}/nobody");
        let failure = ask(
            &mut connect("LITELLM", &name, "sk-proxy"),
            &[user("Go")],
            &settings("{}"),
        )
        .unwrap_err();
        println!("LiteLLM {name}: {failure}");
        assert!(
            matches!(failure.kind, Kind::NotFound | Kind::BadRequest),
            "{name}: {failure}"
        );
    }
}
