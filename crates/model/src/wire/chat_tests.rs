use serde_json::json;

use super::super::tests::{read, result, sent, settings};
use crate::{Block, Dialect, Failure, Kind, Message, Reply, Stop, Thinking};

const STREAM: &str = r#"
{"id":"chatcmpl-1","model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"H"},"finish_reason":null}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"reasoning_content":"m"}}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"I "}}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"look."}}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"shell","arguments":""},"extra_content":{"google":{"thought_signature":"AA=="}}}]}}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"script\":"}}]}}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":" \"ls\"}"}},{"index":1,"id":"call_2","type":"function","function":{"name":"submit","arguments":"{}"}}]}}]}
{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}
{"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":100,"prompt_tokens_details":{"cached_tokens":64},"completion_tokens":50,"completion_tokens_details":{"reasoning_tokens":40}}}
[DONE]
"#;

fn reply(stream: &str) -> Result<Reply, Failure> {
    read(Dialect::Chat, stream)
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
        (reply.stop, reply.id.as_str(), reply.model.as_str()),
        (Stop::ToolUse, "chatcmpl-1", "m-1")
    );
    let results = vec![result("call_1", "a\n", false), result("call_2", "no", true)];
    let messages = [
        Message::User("Go".to_owned()),
        Message::Assistant(reply.blocks),
        Message::Results(results),
    ];
    let mut settings = settings();
    settings.thinking = Thinking::Effort("low".to_owned());
    let mut expected = json!({
        "model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 1000,
        "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "shell", "description": "Runs a script.",
            "parameters": {"type": "object", "properties": {"script": {"type": "string"}}}}}],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": "I look.", "reasoning_content": "Hm", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "shell", "arguments": "{\"script\": \"ls\"}"},
                    "extra_content": {"google": {"thought_signature": "AA=="}}},
                {"id": "call_2", "type": "function", "function": {"name": "submit", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "a\n"},
            {"role": "tool", "tool_call_id": "call_2", "content": "no"},
        ],
    });
    assert_eq!(sent("compatible/m", &messages, &settings), expected);
    let own = expected.as_object_mut().unwrap();
    own.remove("max_tokens");
    own.insert("max_completion_tokens".to_owned(), 1000.into());
    own.insert("prompt_cache_key".to_owned(), "run-7".into());
    assert_eq!(sent("openai-chat/m", &messages, &settings), expected);
}

/// Names and arguments of the calls, with their ids.
fn calls(stream: &str) -> Vec<(String, String, String)> {
    let call = |block| match block {
        Block::ToolCall {
            id,
            name,
            arguments,
            ..
        } => Some((id, name, arguments)),
        _ => None,
    };
    reply(stream)
        .unwrap()
        .blocks
        .into_iter()
        .filter_map(call)
        .collect()
}

#[test]
fn servers_with_habits_of_their_own_are_understood() {
    let call = |id: &str, name: &str, arguments: &str| {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
    };
    // Whole calls, all with one index; and `stop` at the end.
    let same = r#"{"id":"c","choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}}]}
        {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{}"}}]}}]}
        {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    assert_eq!(calls(same), [call("a", "f", "{}"), call("b", "f", "{}")]);
    assert_eq!(reply(same).unwrap().stop, Stop::ToolUse);
    // No ids, no index, an object for arguments, no word of usage.
    let bare = r#"{"id":"c","choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":{"x":1}}},{"function":{"name":"g"}}]},"finish_reason":"tool_calls"}]}"#;
    assert_eq!(
        calls(bare),
        [call("c-1", "f", r#"{"x":1}"#), call("c-2", "g", "{}")]
    );
    assert_eq!(reply(bare).unwrap().attempts.unknown, 1);
}

#[test]
fn usage_that_comes_twice_counts_once() {
    let twice: String = STREAM
        .lines()
        .flat_map(|line| std::iter::repeat_n(line, 1 + usize::from(line.contains("usage"))))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(reply(&twice).unwrap(), reply(STREAM).unwrap());
}

#[test]
fn endings_have_their_names() {
    let ending = |finish: &str| {
        let stream =
            format!(r#"{{"choices":[{{"delta":{{"content":"a"}},"finish_reason":"{finish}"}}]}}"#);
        reply(&stream).unwrap().stop
    };
    assert_eq!(ending("stop"), Stop::End);
    assert_eq!(ending("length"), Stop::MaxTokens);
    assert_eq!(ending("content_filter"), Stop::Refused);
    assert_eq!(ending("eos"), Stop::Other("eos".to_owned()));
    let lines: Vec<&str> = STREAM.lines().collect();
    assert_eq!(
        reply(&lines[..6].join("\n")).unwrap_err().kind,
        Kind::CutOff
    );
    let error = r#"{"error":{"message":"Provider overloaded","code":503}}"#;
    assert!(matches!(
        reply(error).unwrap_err().kind,
        Kind::Overloaded { .. }
    ));
}
