use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use super::super::tests::{read, result, sent, settings, tools};
use super::super::write;
use crate::{
    Block, CacheTime, Dialect, Failure, Kept, Kind, Message, Raw, Reply, Request, Stop, Thinking,
};

const STREAM: &str = r#"
message_start {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x-1","content":[],"stop_reason":null,"usage":{"input_tokens":9,"cache_creation_input_tokens":20,"cache_read_input_tokens":300,"cache_creation":{"ephemeral_5m_input_tokens":20,"ephemeral_1h_input_tokens":0},"output_tokens":1}}}
content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}
ping {"type":"ping"}
content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"First\n"}}
content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"é"}}
content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln+/=="}}
content_block_stop {"type":"content_block_stop","index":0}
content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"Zm9v"}}
content_block_stop {"type":"content_block_stop","index":1}
content_block_start {"type":"content_block_start","index":2,"content_block":{"type":"text","text":""}}
content_block_delta {"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"I look."}}
content_block_stop {"type":"content_block_stop","index":2}
content_block_start {"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_1","name":"shell","input":{}}}
content_block_delta {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":""}}
content_block_delta {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"script\": \"l"}}
content_block_delta {"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"s\"}"}}
content_block_stop {"type":"content_block_stop","index":3}
content_block_start {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_2","name":"submit","input":{}}}
content_block_stop {"type":"content_block_stop","index":4}
message_delta {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":57,"output_tokens_details":{"thinking_tokens":31}}}
message_stop {"type":"message_stop"}
"#;

fn reply(stream: &str) -> Result<Reply, Failure> {
    read(Dialect::Anthropic, stream)
}

#[test]
fn a_reply_goes_back_as_it_came() {
    let reply = reply(STREAM).unwrap();
    let usage = reply.usage;
    assert_eq!(
        (usage.input, usage.cache_read, usage.cache_write),
        (9, 300, 20)
    );
    assert_eq!((usage.output, usage.reasoning), (57, 31));
    assert_eq!(
        (reply.stop, reply.id.as_str(), reply.model.as_str()),
        (Stop::ToolUse, "msg_1", "claude-x-1")
    );
    let results = vec![result("toolu_1", "a\n", false), result("toolu_2", "", true)];
    let messages = [
        Message::User("Go".to_owned()),
        Message::Assistant(reply.blocks),
        Message::Results(results),
        Message::User("Two turns are left.".to_owned()),
    ];
    let sent = sent("anthropic/claude-x", &messages, &settings());
    assert_eq!(
        sent["messages"][1],
        json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "First\né", "signature": "c2ln+/=="},
            {"type": "redacted_thinking", "data": "Zm9v"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "shell", "input": {"script": "ls"}},
            {"type": "tool_use", "id": "toolu_2", "name": "submit", "input": {}},
        ]})
    );
    assert_eq!(
        sent["messages"][2],
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a\n"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "", "is_error": true},
            {"type": "text", "text": "Two turns are left.", "cache_control": {"type": "ephemeral"}},
        ]})
    );
}

#[test]
fn a_whole_request_is_as_documented() {
    let mut settings = settings();
    settings.thinking = Thinking::Effort("high".to_owned());
    settings.cache_time = CacheTime::Hour;
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    assert_eq!(
        sent(
            "anthropic/claude-x",
            &[Message::User("Go".to_owned())],
            &settings
        ),
        json!({
            "model": "claude-x", "max_tokens": 1000, "stream": true,
            "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"},
            "tools": [{"name": "shell", "description": "Runs a script.",
                "input_schema": {"type": "object", "properties": {"script": {"type": "string"}}}}],
            "system": [{"type": "text", "text": "Be brief.", "cache_control": mark}],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Go", "cache_control": mark}]}],
        })
    );
}

#[test]
fn others_thinking_and_blank_text_stay_behind() {
    let foreign = Kept {
        dialect: Dialect::Responses,
        json: Raw::new(r#"{"type":"reasoning"}"#).unwrap(),
    };
    let messages = [
        Message::User("Go".to_owned()),
        Message::Assistant(vec![Block::Thinking(foreign), Block::text(" \n")]),
        Message::User("Well?".to_owned()),
    ];
    let sent = sent("anthropic/claude-x", &messages, &settings());
    assert_eq!(sent["messages"].as_array().unwrap().len(), 1, "{sent}");
    assert_eq!(sent["messages"][0]["content"][1]["text"], "Well?");
}

#[test]
fn an_event_that_comes_twice_is_not_counted_twice() {
    let once = reply(STREAM).unwrap();
    for twice in [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
    ] {
        let stream: String = STREAM
            .lines()
            .flat_map(|line| std::iter::repeat_n(line, 1 + usize::from(line.starts_with(twice))))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(reply(&stream).unwrap(), once, "{twice}");
    }
}

#[test]
fn a_stream_cut_anywhere_is_no_reply() {
    let lines: Vec<&str> = STREAM.lines().filter(|line| !line.is_empty()).collect();
    // The last two say that and why the model stopped.
    for end in 0..lines.len() - 2 {
        let failure = reply(&lines[..end].join("\n")).unwrap_err();
        assert_eq!(failure.kind, Kind::CutOff, "{end}");
    }
    assert!(reply(&lines[..lines.len() - 1].join("\n")).is_ok());
}

#[test]
fn errors_in_the_stream_have_their_kind() {
    let start = STREAM.lines().take(5).collect::<Vec<_>>().join("\n");
    let error =
        r#"error {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let failure = reply(&format!("{start}\n{error}")).unwrap_err();
    assert_eq!(
        failure.kind,
        Kind::Overloaded {
            retry_after_ms: None
        }
    );
    let broken = reply(&format!("{start}\ncontent_block_delta {{\"type\":")).unwrap_err();
    assert_eq!(broken.kind, Kind::Malformed);
    let delta = r#"content_block_delta {"type":"content_block_delta","index":4,"delta":{"type":"text_delta","text":"a"}}"#;
    assert_eq!(
        reply(&format!("{start}\n{delta}")).unwrap_err().kind,
        Kind::Malformed
    );
}

/// A server that miscounts is told so, also at the edge of what can be counted.
#[test]
fn blocks_with_impossible_numbers_are_malformed() {
    for (before, index) in [(2, u64::MAX), (2, u64::MAX - 1), (3, u64::MAX), (3, 7)] {
        let start: Vec<_> = STREAM.lines().take(before).collect();
        let block = format!(
            r#"content_block_start {{"type":"content_block_start","index":{index},"content_block":{{"type":"text"}}}}"#
        );
        let failure = reply(&format!("{}\n{block}", start.join("\n"))).unwrap_err();
        assert_eq!(
            failure.kind,
            Kind::Malformed,
            "{index} after {before} lines"
        );
    }
}

/// Anthropic's cache as it is documented: a mark writes everything before it, and from a mark the longest
/// written beginning is looked for, at most 20 blocks back.
#[derive(Default)]
struct Cache(BTreeSet<(u64, usize)>);

impl Cache {
    /// Bytes that are read from the cache, and bytes of the request.
    fn ask(&mut self, body: &Value) -> (usize, usize) {
        let lists = [&body["tools"], &body["system"]];
        let mut blocks: Vec<Value> = lists
            .iter()
            .flat_map(|list| list.as_array().unwrap().clone())
            .collect();
        for message in body["messages"].as_array().unwrap() {
            blocks.extend(message["content"].as_array().unwrap().iter().cloned());
        }
        let mut hasher = DefaultHasher::new();
        let mut bytes = 0;
        // Every beginning of the request, by hash and length.
        let mut prefixes = Vec::new();
        let mut marks = Vec::new();
        for (number, mut block) in blocks.into_iter().enumerate() {
            if block
                .as_object_mut()
                .unwrap()
                .remove("cache_control")
                .is_some()
            {
                marks.push(number);
            }
            let block = block.to_string();
            bytes += block.len();
            block.hash(&mut hasher);
            prefixes.push((hasher.finish(), bytes));
        }
        assert!(marks.len() <= 4, "{} marks", marks.len());
        let read = marks
            .iter()
            .flat_map(|mark| prefixes[mark.saturating_sub(20)..=*mark].iter())
            .filter(|prefix| self.0.contains(*prefix))
            .map(|(_, bytes)| *bytes)
            .max();
        self.0.extend(marks.iter().map(|mark| prefixes[*mark]));
        (read.unwrap_or(0), bytes)
    }
}

fn turn(number: usize, calls: usize) -> [Message; 2] {
    let thinking = Block::Thinking(Kept {
        dialect: Dialect::Anthropic,
        json: Raw::new(r#"{"type":"thinking","thinking":"hm","signature":"x"}"#).unwrap(),
    });
    let call = |call: usize| Block::ToolCall {
        id: format!("toolu_{number}_{call}"),
        name: "shell".to_owned(),
        arguments: r#"{"script":"ls"}"#.to_owned(),
        kept: None,
    };
    let results = (0..calls).map(|call| {
        result(
            &format!("toolu_{number}_{call}"),
            &"x".repeat(500 / calls),
            false,
        )
    });
    [
        Message::Assistant(
            std::iter::once(thinking)
                .chain((0..calls).map(call))
                .collect(),
        ),
        Message::Results(results.collect()),
    ]
}

#[test]
fn a_growing_conversation_is_mostly_read_from_the_cache() {
    let mut cache = Cache::default();
    let mut messages = vec![Message::User("y".repeat(4_000))];
    let (settings, tools) = (settings(), tools());
    let mut ask = |messages: &[Message]| {
        let request = Request {
            system: "Be brief.",
            messages,
            stable: 1,
            tools: &tools,
            settings: &settings,
        };
        let sent = write(&"anthropic/claude-x".parse().unwrap(), &request).unwrap();
        cache.ask(&serde_json::from_slice(&sent.body).unwrap())
    };
    let (mut read, mut whole, mut before) = (0, 0, 0);
    for number in 0..100 {
        let (hit, bytes) = ask(&messages);
        // All of the last request, also after a turn of far more than 20 blocks.
        assert!(hit >= before, "turn {number}: {hit} of {before}");
        (read, whole, before) = (read + hit, whole + bytes, bytes);
        messages.extend(turn(number, if number % 7 == 3 { 30 } else { 1 }));
        if number % 10 == 5 {
            messages.push(Message::User("Go on.".to_owned()));
        }
    }
    let share = read * 100 / whole;
    assert!(share >= 95, "{share} %");
    // What is stable is still read when the rest has been made shorter.
    messages.drain(1..messages.len() - 3);
    assert!(ask(&messages).0 > 4_000);
}
