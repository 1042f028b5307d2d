use serde_json::json;

use super::super::tests::{read, result, sent, settings};
use crate::{Block, Dialect, Failure, Kind, Message, Reply, Spent, Stop, Thinking};

const STREAM: &str = r#"
{"candidates":[{"content":{"role":"model","parts":[{"text":"H","thought":true}]}}],"usageMetadata":{"promptTokenCount":100},"modelVersion":"gemini-x-1","responseId":"r1"}
{"candidates":[{"content":{"role":"model","parts":[{"text":"m","thought":true},{"text":"I "}]}}]}
{"candidates":[{"content":{"role":"model","parts":[{"text":"look."}]}}]}
{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"id":"f1","name":"shell","args":{"script": "ls", "n": 1.0}},"thoughtSignature":"AA=="},{"functionCall":{"name":"submit"}}]}}]}
{"candidates":[{"content":{"role":"model","parts":[{"text":"","thoughtSignature":"BB=="}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":64,"candidatesTokenCount":10,"thoughtsTokenCount":40,"totalTokenCount":150},"responseId":"r1"}
"#;

fn reply(stream: &str) -> Result<Reply, Failure> {
    read(Dialect::Gemini, stream)
}

#[test]
fn a_reply_goes_back_as_it_came() {
    let reply = reply(STREAM).unwrap();
    let usage = reply.usage;
    assert_eq!(
        (usage.input, usage.cache_read, usage.output, usage.reasoning),
        (36, 64, 50, 40)
    );
    assert_eq!(
        (&reply.stop, reply.id.as_str(), reply.model.as_str()),
        (&Stop::ToolUse, "r1", "gemini-x-1")
    );
    assert!(
        matches!(&reply.blocks[2], Block::ToolCall { arguments, .. } if arguments == r#"{"script": "ls", "n": 1.0}"#)
    );
    let results = vec![result("f1", "a\n", false), result("r1-2", "no", true)];
    let messages = [
        Message::User("Go".to_owned()),
        Message::Assistant(reply.blocks),
        Message::Results(results),
        Message::User("Two turns are left.".to_owned()),
    ];
    let mut settings = settings();
    settings.thinking = Thinking::Effort("low".to_owned());
    assert_eq!(
        sent("gemini/gemini-x", &messages, &settings),
        json!({
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "tools": [{"functionDeclarations": [{"name": "shell", "description": "Runs a script.",
                "parametersJsonSchema": {"type": "object", "properties": {"script": {"type": "string"}}}}]}],
            "generationConfig": {"maxOutputTokens": 1000,
                "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "low"}},
            "contents": [
                {"role": "user", "parts": [{"text": "Go"}]},
                {"role": "model", "parts": [
                    {"text": "Hm", "thought": true},
                    {"text": "I look."},
                    {"functionCall": {"id": "f1", "name": "shell", "args": {"script": "ls", "n": 1.0}}, "thoughtSignature": "AA=="},
                    {"functionCall": {"name": "submit", "args": {}}},
                    {"text": "", "thoughtSignature": "BB=="},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "f1", "name": "shell", "response": {"output": "a\n"}}},
                    {"functionResponse": {"name": "submit", "response": {"error": "no"}}},
                    {"text": "Two turns are left."},
                ]},
            ],
        })
    );
}

/// Takes minutes where each piece reads and writes all those before it.
#[test]
fn reasoning_may_come_in_very_many_pieces() {
    let piece = |part: &str| format!(r#"{{"candidates":[{{"content":{{"parts":[{part}]}}}}]}}"#);
    let thought = r#"{"text":"hm, hm, hm ","thought":true}"#;
    let mut lines = vec![piece(thought); 100_000];
    lines.push(piece(r#"{"text":"Done."}"#));
    lines.push(piece(r#"{"text":"Or not","thought":true}"#));
    lines.push(
        r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}"#
            .to_owned(),
    );
    let blocks = reply(&lines.join("\n")).unwrap().blocks;
    let [
        Block::Thinking(first),
        Block::Text { .. },
        Block::Thinking(second),
    ] = &blocks[..]
    else {
        panic!("{} blocks", blocks.len());
    };
    let whole = json!({"text": "hm, hm, hm ".repeat(100_000), "thought": true});
    assert_eq!(first.json.value(), whole);
    assert_eq!(
        second.json.value(),
        json!({"text": "Or not", "thought": true})
    );
}

#[test]
fn usage_that_comes_twice_counts_once() {
    let last = STREAM.trim().lines().last().unwrap();
    let usage = last.split_once(r#""usageMetadata""#).unwrap().1;
    let twice = format!("{STREAM}{{\"usageMetadata\"{usage}\n");
    assert_eq!(reply(&twice).unwrap(), reply(STREAM).unwrap());
}

#[test]
fn usage_beyond_counting_stays_beyond() {
    let most = u64::MAX;
    let stream = format!(
        r#"{{"candidates":[{{"finishReason":"STOP"}}],"usageMetadata":{{"promptTokenCount":{most},"toolUsePromptTokenCount":1,"candidatesTokenCount":{most},"thoughtsTokenCount":{most}}}}}"#
    );
    let usage = reply(&stream).unwrap().usage;
    assert_eq!((usage.input, usage.output), (most, most));
}

#[test]
fn endings_have_their_names() {
    let ending = |finish: &str| {
        reply(&format!(
            r#"{{"candidates":[{{"content":{{}},"finishReason":"{finish}"}}],"usageMetadata":{{"promptTokenCount":3,"candidatesTokenCount":4}}}}"#
        ))
    };
    assert_eq!(ending("STOP").unwrap().stop, Stop::End);
    assert_eq!(ending("MAX_TOKENS").unwrap().stop, Stop::MaxTokens);
    assert_eq!(ending("SAFETY").unwrap().stop, Stop::Refused);
    assert_eq!(
        ending("OTHER").unwrap().stop,
        Stop::Other("OTHER".to_owned())
    );
    let failure = ending("MALFORMED_FUNCTION_CALL").unwrap_err();
    assert_eq!(failure.kind, Kind::Malformed);
    assert!(matches!(failure.spent, Spent::Known(usage) if usage.total() == 7));
    let lines: Vec<&str> = STREAM.lines().collect();
    assert_eq!(
        reply(&lines[..4].join("\n")).unwrap_err().kind,
        Kind::CutOff
    );
    let blocked = r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":9}}"#;
    let failure = reply(blocked).unwrap_err();
    assert_eq!(failure.kind, Kind::Filtered);
    assert!(matches!(failure.spent, Spent::Known(usage) if usage.input == 9));
}
