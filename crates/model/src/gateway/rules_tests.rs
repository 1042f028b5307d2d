use serde_json::json;

use super::*;

#[track_caller]
fn passes(dialect: Dialect, request: Value) {
    let left_out = check(of(dialect), request.as_object().unwrap()).unwrap();
    assert!(left_out.is_empty(), "{left_out:?}");
}

/// A request that differs from one that passes in what stands at one place.
#[track_caller]
fn refuses(dialect: Dialect, request: Value, place: &str) {
    let broken = check(of(dialect), request.as_object().unwrap()).unwrap_err();
    assert_eq!(broken.place, place, "{broken:?}");
}

fn anthropic(block: Value) -> Value {
    json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [block]}]})
}

fn responses(item: Value) -> Value {
    json!({"model": "m", "input": [item]})
}

fn chat(part: Value) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": [part]}]})
}

fn gemini(part: Value) -> Value {
    json!({"contents": [{"role": "user", "parts": [part]}]})
}

#[test]
fn what_agents_send_passes() {
    passes(
        Dialect::Anthropic,
        json!({
            "model": "m", "max_tokens": 32000, "stream": true, "temperature": 1,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "tools": [
                {"name": "Bash", "description": "Runs.", "input_schema": {"type": "object", "$schema": "https://json-schema.org/draft/2020-12/schema", "properties": {"x": {"$ref": "#/$defs/x"}}}},
                {"type": "bash_20250124", "name": "bash"}
            ],
            "messages": [
                {"role": "user", "content": "Go"},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                    {"type": "tool_use", "id": "a", "name": "Bash", "input": {"type": "url", "mcp_servers": 1}}
                ]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
                ]}]}
            ]
        }),
    );
    passes(
        Dialect::Responses,
        json!({
            "model": "m", "stream": true, "include": ["reasoning.encrypted_content"], "instructions": "x",
            "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": false}, {"type": "custom", "name": "p", "format": {"type": "grammar"}}],
            "input": [
                {"role": "user", "content": "Go"},
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "data:image/png;base64,AA=="}]},
                {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
                {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "a", "output": "ok"}
            ]
        }),
    );
    passes(
        Dialect::Chat,
        json!({
            "model": "m", "n": 1, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
            "messages": [
                {"role": "system", "content": "x"},
                {"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}], "audio": null},
                {"role": "tool", "tool_call_id": "a", "content": "x"}
            ]
        }),
    );
    passes(
        Dialect::Gemini,
        json!({
            "contents": [{"role": "user", "parts": [{"text": "Go"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "AA=="}]}],
            "systemInstruction": {"parts": [{"text": "x"}]},
            "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {}}]}],
            "generationConfig": {"maxOutputTokens": 10, "thinkingConfig": {"includeThoughts": true}}
        }),
    );
}

#[test]
fn what_would_reach_the_world_is_refused() {
    use Dialect::{Anthropic, Chat, Gemini, Responses};
    for kind in [
        "web_search_20250305",
        "web_fetch_20250910",
        "code_execution_20250825",
        "mcp_toolset",
        "tool_search_tool_regex_20251119",
        "computer_20250124",
        "something_new",
    ] {
        let mut request = anthropic(json!({"type": "text", "text": "x"}));
        request["tools"] = json!([{"type": kind, "name": "t"}]);
        refuses(Anthropic, request, "tools[0]");
    }
    for source in [
        json!({"type": "url", "url": "https://example.org/x.png"}),
        json!({"type": "file", "file_id": "file_1"}),
        json!({"url": "https://example.org/x.png"}),
    ] {
        for kind in ["image", "document"] {
            let block = json!({"type": kind, "source": source});
            let place = "messages[0].content[0].source";
            refuses(Anthropic, anthropic(block.clone()), place);
            let nested = json!({"type": "tool_result", "tool_use_id": "a", "content": [block]});
            let place = "messages[0].content[0].content[0].source";
            refuses(Anthropic, anthropic(nested), place);
        }
    }
    for block in [
        json!({"type": "container_upload", "file_id": "f"}),
        json!({"type": "mcp_tool_use", "id": "a"}),
        json!({"type": "server_tool_use", "id": "a"}),
        json!({"text": "no type"}),
    ] {
        refuses(Anthropic, anthropic(block), "messages[0].content[0]");
    }
    for (field, value) in [
        (
            "mcp_servers",
            json!([{"type": "url", "url": "https://example.org"}]),
        ),
        ("container", json!("c")),
    ] {
        let mut request = anthropic(json!({"type": "text", "text": "x"}));
        request[field] = value;
        refuses(Anthropic, request, field);
    }
    for kind in [
        "web_search",
        "web_search_preview",
        "file_search",
        "code_interpreter",
        "computer_use_preview",
        "image_generation",
        "mcp",
        "shell",
        "something_new",
    ] {
        let mut request = responses(json!({"role": "user", "content": "x"}));
        request["tools"] = json!([{"type": kind}]);
        refuses(Responses, request, "tools[0]");
        let mut request = responses(json!({"role": "user", "content": "x"}));
        request["tool_choice"] = json!({"type": kind});
        refuses(Responses, request, "tool_choice");
    }
    for (part, below) in [
        (
            json!({"type": "input_image", "image_url": "https://example.org/x.png"}),
            ".image_url",
        ),
        (json!({"type": "input_image", "file_id": "f"}), ".file_id"),
        (
            json!({"type": "input_file", "file_url": "https://example.org"}),
            ".file_url",
        ),
        (json!({"type": "input_file", "file_id": "f"}), ".file_id"),
        (json!({"type": "item_reference", "id": "x"}), ""),
    ] {
        let item = json!({"role": "user", "content": [part]});
        refuses(
            Responses,
            responses(item),
            &format!("input[0].content[0]{below}"),
        );
    }
    refuses(
        Responses,
        responses(json!({"type": "item_reference", "id": "x"})),
        "input[0]",
    );
    for (field, value) in [
        ("background", json!(true)),
        ("previous_response_id", json!("resp_1")),
        ("conversation", json!("conv_1")),
        ("prompt", json!({"id": "pmpt_1"})),
    ] {
        let mut request = responses(json!({"role": "user", "content": "x"}));
        request[field] = value;
        refuses(Responses, request, field);
    }
    let mut request = responses(json!({"role": "user", "content": "x"}));
    request["include"] = json!(["web_search_call.action.sources"]);
    refuses(Responses, request, "include[0]");
    for (field, value, place) in [
        ("web_search_options", json!({}), "web_search_options"),
        ("plugins", json!([{"id": "web"}]), "plugins"),
        ("models", json!(["other"]), "models"),
        ("n", json!(2), "n"),
        ("tools", json!([{"type": "web_search"}]), "tools[0]"),
    ] {
        let mut request = chat(json!({"type": "text", "text": "x"}));
        request[field] = value;
        refuses(Chat, request, place);
    }
    let image = json!({"type": "image_url", "image_url": {"url": "https://example.org/x.png"}});
    refuses(Chat, chat(image), "messages[0].content[0].image_url.url");
    let file = json!({"type": "file", "file": {"file_id": "f"}});
    refuses(Chat, chat(file), "messages[0].content[0].file.file_id");
    for tool in [
        "googleSearch",
        "google_search",
        "urlContext",
        "codeExecution",
        "googleMaps",
        "computerUse",
        "fileSearch",
        "mcpServers",
    ] {
        let mut request = gemini(json!({"text": "x"}));
        request["tools"] = json!([{tool: {}}]);
        refuses(Gemini, request, &format!("tools[0].{tool}"));
    }
    for part in [
        "fileData",
        "file_data",
        "executableCode",
        "codeExecutionResult",
    ] {
        let place = format!("contents[0].parts[0].{part}");
        refuses(
            Gemini,
            gemini(json!({part: {"fileUri": "https://example.org"}})),
            &place,
        );
    }
    for (field, value) in [
        ("cachedContent", json!("cachedContents/1")),
        ("generation_config", json!({"max_output_tokens": 1})),
    ] {
        let mut request = gemini(json!({"text": "x"}));
        request[field] = value;
        refuses(Gemini, request, field);
    }
    let mut request = chat(json!({"type": "text", "text": "x"}));
    request["tools"] = json!([{"type": "function", "function": {"name": "f", "parameters": {"$ref": "https://example.org/schema"}}}]);
    refuses(Chat, request, "tools[0].function.parameters.$ref");
}

#[test]
fn what_says_nothing_is_left_out() {
    let mut request = anthropic(json!({"type": "text", "text": "x", "new": null}));
    for (name, value) in [
        ("metadata", json!({"user_id": "u"})),
        ("service_tier", json!("priority")),
        ("container", json!(null)),
        ("mcp_servers", json!([])),
    ] {
        request[name] = value;
    }
    let left_out = check(of(Dialect::Anthropic), request.as_object().unwrap()).unwrap();
    assert_eq!(
        left_out,
        ["metadata", "service_tier", "container", "mcp_servers"]
    );
}
