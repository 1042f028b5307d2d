use serde_json::json;

use super::super::tests::{read, result, sent, settings};
use crate::{Dialect, Failure, Kind, Message, Reply, Spent, Stop, Thinking};

const STREAM: &str = r#"
{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"gpt-x-1","status":"in_progress","output":[],"usage":null}}
{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}
{"type":"response.reasoning_summary_text.delta","sequence_number":2,"item_id":"rs_1","delta":"Hm"}
{"type":"response.output_item.done","sequence_number":3,"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Hm"}],"encrypted_content":"gAAA\u002b=","n":1.0}}
{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","delta":"I look."}
{"type":"response.output_item.done","sequence_number":5,"output_index":1,"item":{"id":"msg_1","type":"message","status":"completed","role":"assistant","phase":"commentary","content":[{"type":"output_text","text":"I look.","annotations":[],"logprobs":[]}]}}
{"type":"response.output_item.added","sequence_number":6,"output_index":2,"item":{"id":"fc_1","type":"function_call","name":"shell","call_id":"call_1","arguments":""}}
{"type":"response.output_item.done","sequence_number":7,"output_index":2,"item":{"id":"fc_1","type":"function_call","status":"completed","name":"shell","call_id":"call_1","arguments":"{\"script\": \"ls\"}"}}
{"type":"response.output_item.done","sequence_number":8,"output_index":3,"item":{"id":"fc_2","type":"function_call","status":"completed","name":"submit","call_id":"call_2","arguments":""}}
{"type":"response.completed","sequence_number":9,"response":{"id":"resp_1","model":"gpt-x-1","status":"completed","output":[],"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":64,"cache_write_tokens":30},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":40},"total_tokens":150}}}
"#;

fn reply(stream: &str) -> Result<Reply, Failure> {
    read(Dialect::Responses, stream)
}

#[test]
fn a_reply_goes_back_as_it_came() {
    let reply = reply(STREAM).unwrap();
    let usage = reply.usage;
    assert_eq!(
        (usage.input, usage.cache_read, usage.cache_write),
        (6, 64, 30)
    );
    assert_eq!((usage.output, usage.reasoning), (50, 40));
    assert_eq!((reply.stop, reply.id.as_str()), (Stop::ToolUse, "resp_1"));
    let results = vec![result("call_1", "a\n", false), result("call_2", "no", true)];
    let messages = [
        Message::User("Go".to_owned()),
        Message::Assistant(reply.blocks),
        Message::Results(results),
    ];
    let mut settings = settings();
    settings.thinking = Thinking::Effort("high".to_owned());
    assert_eq!(
        sent("openai/gpt-x", &messages, &settings),
        json!({
            "model": "gpt-x", "stream": true, "store": false, "max_output_tokens": 1000,
            "parallel_tool_calls": true, "prompt_cache_key": "run-7",
            "reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"],
            "instructions": "Be brief.",
            "tools": [{"type": "function", "name": "shell", "description": "Runs a script.", "strict": false,
                "parameters": {"type": "object", "properties": {"script": {"type": "string"}}}}],
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
                {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}],
                    "encrypted_content": "gAAA+=", "n": 1.0},
                {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "phase": "commentary",
                    "content": [{"type": "output_text", "text": "I look.", "annotations": []}]},
                {"id": "fc_1", "type": "function_call", "status": "completed", "name": "shell",
                    "call_id": "call_1", "arguments": "{\"script\": \"ls\"}"},
                {"id": "fc_2", "type": "function_call", "status": "completed", "name": "submit",
                    "call_id": "call_2", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "call_1", "output": "a\n"},
                {"type": "function_call_output", "call_id": "call_2", "output": "no"},
            ],
        })
    );
}

#[test]
fn models_that_do_not_reason_are_not_asked_for_it() {
    let mut settings = settings();
    settings.thinking = Thinking::Off;
    let sent = sent("openai/gpt-x", &[Message::User("Go".to_owned())], &settings);
    assert!(
        sent.get("include").is_none() && sent.get("reasoning").is_none(),
        "{sent}"
    );
}

#[test]
fn an_event_that_comes_twice_counts_once() {
    let twice: String = STREAM
        .lines()
        .map(|line| format!("{line}\n{line}\n"))
        .collect();
    assert_eq!(reply(&twice).unwrap(), reply(STREAM).unwrap());
}

#[test]
fn a_stream_cut_anywhere_is_no_reply() {
    let lines: Vec<&str> = STREAM.lines().collect();
    for end in 0..lines.len() - 1 {
        assert_eq!(
            reply(&lines[..end].join("\n")).unwrap_err().kind,
            Kind::CutOff
        );
    }
}

#[test]
fn endings_have_their_names() {
    let ending = |kind: &str, fields: &str| {
        reply(&format!(
            r#"{{"type":"response.{kind}","response":{{"id":"r","output":[{{"type":"message","role":"assistant","content":[{{"type":"output_text","text":"a"}}]}}],"usage":{{"input_tokens":3,"output_tokens":4}},{fields}}}}}"#
        ))
    };
    let stop = |kind: &str, fields: &str| ending(kind, fields).unwrap().stop;
    assert_eq!(stop("completed", r#""error":null"#), Stop::End);
    assert_eq!(
        stop(
            "incomplete",
            r#""incomplete_details":{"reason":"max_output_tokens"}"#
        ),
        Stop::MaxTokens
    );
    assert_eq!(
        stop(
            "incomplete",
            r#""incomplete_details":{"reason":"content_filter"}"#
        ),
        Stop::Refused
    );
    let failed = |code: &str| {
        ending(
            "failed",
            &format!(r#""error":{{"code":"{code}","message":"m"}}"#),
        )
        .unwrap_err()
    };
    assert_eq!(failed("server_error").kind, Kind::Server);
    assert_eq!(
        failed("context_length_exceeded").kind,
        Kind::ContextOverflow
    );
    assert_eq!(failed("invalid_prompt").kind, Kind::Filtered);
    let limited = failed("rate_limit_exceeded");
    assert!(matches!(limited.kind, Kind::RateLimited { .. }));
    assert!(matches!(limited.spent, Spent::Known(usage) if usage.total() == 7));
    let refusal = r#"{"type":"response.output_item.done","item":{"type":"message","content":[{"type":"refusal","refusal":"No."}]}}
        {"type":"response.completed","response":{"usage":{"input_tokens":1,"output_tokens":1}}}"#;
    assert_eq!(reply(refusal).unwrap().stop, Stop::Refused);
    let error = r#"{"type":"error","code":"server_error","message":"m","param":null}"#;
    assert_eq!(reply(error).unwrap_err().kind, Kind::Server);
}
