//! Answers that come whole, as the events that would have told the same.

use serde_json::{Value, json};

use super::text;
use crate::Dialect;
use crate::sse::ServerEvent;

/// The events of a whole answer; of what is no JSON, one that no reader understands.
pub(crate) fn events(dialect: Dialect, body: &str) -> Vec<ServerEvent> {
    let event = |data: String| ServerEvent {
        name: String::new(),
        data,
    };
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return vec![event(body.to_owned())];
    };
    if !value["error"].is_null() {
        return vec![event(body.to_owned())];
    }
    match dialect {
        Dialect::Anthropic => {
            let start = json!({"type": "message_start", "message": {
                "id": value["id"], "model": value["model"], "usage": value["usage"],
            }});
            let blocks = value["content"].as_array().cloned().unwrap_or_default();
            let blocks = blocks.into_iter().enumerate().flat_map(|(index, block)| {
                [
                    json!({"type": "content_block_start", "index": index, "content_block": block}),
                    json!({"type": "content_block_stop", "index": index}),
                ]
            });
            let end = [
                json!({"type": "message_delta", "delta": {"stop_reason": value["stop_reason"]}}),
                json!({"type": "message_stop"}),
            ];
            let all = [start].into_iter().chain(blocks).chain(end);
            all.map(|value| event(value.to_string())).collect()
        }
        Dialect::Responses => {
            let kind = match text(&value, "status") {
                word @ ("incomplete" | "failed") => word,
                _ => "completed",
            };
            vec![event(format!(
                r#"{{"type":"response.{kind}","response":{body}}}"#
            ))]
        }
        Dialect::Chat => {
            let mut chunk = value;
            for choice in chunk["choices"].as_array_mut().into_iter().flatten() {
                choice["delta"] = choice["message"].take();
            }
            vec![event(chunk.to_string()), event("[DONE]".to_owned())]
        }
        Dialect::Gemini => vec![event(body.to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Block, Silent, Stop};

    #[track_caller]
    fn check(dialect: Dialect, body: Value) {
        let mut reader = super::super::reader(dialect);
        for event in events(dialect, &body.to_string()) {
            reader.event(&event, &mut Silent).unwrap();
        }
        let reply = reader.reply().unwrap();
        assert_eq!((reply.usage.request(), reply.usage.output), (100, 7));
        assert_eq!(reply.stop, Stop::ToolUse);
        let [
            Block::Text { text, .. },
            Block::ToolCall {
                id,
                name,
                arguments,
                ..
            },
        ] = &reply.blocks[..]
        else {
            panic!("{reply:?}");
        };
        assert_eq!(
            (text.as_str(), id.as_str(), name.as_str()),
            ("I look.", "a", "shell")
        );
        assert_eq!(arguments, r#"{"script":"ls"}"#);
    }

    #[test]
    fn whole_answers_are_read() {
        check(
            Dialect::Anthropic,
            json!({"id": "r", "type": "message", "model": "m", "stop_reason": "tool_use", "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "a", "name": "shell", "input": {"script": "ls"}},
            ], "usage": {"input_tokens": 100, "output_tokens": 7}}),
        );
        check(
            Dialect::Responses,
            json!({"id": "r", "model": "m", "status": "completed", "output": [
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
                {"type": "function_call", "call_id": "a", "name": "shell", "arguments": "{\"script\":\"ls\"}"},
            ], "usage": {"input_tokens": 100, "output_tokens": 7}}),
        );
        check(
            Dialect::Chat,
            json!({"id": "r", "model": "m", "choices": [{"message": {"role": "assistant", "content": "I look.", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{\"script\":\"ls\"}"}},
            ]}, "finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 100, "completion_tokens": 7}}),
        );
        check(
            Dialect::Gemini,
            json!({"candidates": [{"content": {"parts": [
                {"text": "I look."}, {"functionCall": {"id": "a", "name": "shell", "args": {"script": "ls"}}},
            ]}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 7}}),
        );
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for body in ["", "<html>", "{\"error\":{\"message\":\"no\"}}"] {
            for dialect in [
                Dialect::Anthropic,
                Dialect::Responses,
                Dialect::Chat,
                Dialect::Gemini,
            ] {
                let mut reader = super::super::reader(dialect);
                let mut result = Ok(false);
                for event in events(dialect, body) {
                    result = reader.event(&event, &mut Silent);
                }
                assert!(
                    result.is_err() || reader.reply().is_err(),
                    "{dialect:?} {body}"
                );
            }
        }
    }
}
