//! Chat Completions, of OpenAI and of others. Not here: search, plug-ins, routes to other models, audio, files by id.

use super::Rule::{Any, DataUrl, List, NamedKind, Number, Object, Plain, Schema, TextOr, Word};
use super::{Field, Rule, Rules};

pub(super) static RULES: Rules = Rules {
    fields: &[
        ("model", Plain),
        ("messages", List(&MESSAGE)),
        ("tools", List(&TOOL)),
        ("tool_choice", TextOr(&CHOICE)),
        ("functions", List(&Object(FUNCTION))),
        ("function_call", TextOr(&Object(&[("name", Plain)]))),
        ("parallel_tool_calls", Plain),
        ("max_tokens", Plain),
        ("max_completion_tokens", Plain),
        // Several answers would be paid for where one was allowed for.
        ("n", Number(1)),
        ("temperature", Plain),
        ("top_p", Plain),
        ("top_k", Plain),
        ("min_p", Plain),
        ("seed", Plain),
        ("stop", TextOr(&List(&Plain))),
        ("presence_penalty", Plain),
        ("frequency_penalty", Plain),
        ("repetition_penalty", Plain),
        ("logit_bias", Any),
        ("logprobs", Plain),
        ("top_logprobs", Plain),
        ("response_format", FORMAT),
        ("reasoning_effort", Plain),
        (
            "reasoning",
            Object(&[
                ("effort", Plain),
                ("max_tokens", Plain),
                ("exclude", Plain),
                ("enabled", Plain),
                ("summary", Plain),
            ]),
        ),
        ("verbosity", Plain),
        (
            "thinking",
            Object(&[("type", Plain), ("budget_tokens", Plain)]),
        ),
        ("chat_template_kwargs", Any),
        (
            "prediction",
            Object(&[("type", Word(&["content"])), ("content", Any)]),
        ),
        ("prompt_cache_key", Plain),
        ("prompt_cache_retention", Plain),
        ("stream", Plain),
    ],
    refused: &[
        ("web_search_options", "the provider would search the web"),
        ("plugins", "plug-ins act at the provider"),
        ("models", "another model would answer"),
        ("route", "another model would answer"),
        ("provider", "another provider would answer"),
        ("audio", "audio is not passed on"),
        ("mcp_servers", "MCP servers would be called by the provider"),
        ("extra_body", "it can hold anything"),
    ],
    refuses_unknown: false,
    items: "messages",
};

const FUNCTION: &[Field] = &[
    ("name", Plain),
    ("description", Plain),
    ("parameters", Schema),
    ("strict", Plain),
];

static TOOL: Rule = NamedKind(&[
    ("function", &[("function", Object(FUNCTION)), CACHE_CONTROL]),
    (
        "custom",
        &[(
            "custom",
            Object(&[("name", Plain), ("description", Plain), ("format", Any)]),
        )],
    ),
]);

static CHOICE: Rule = NamedKind(&[
    ("function", &[("function", Object(&[("name", Plain)]))]),
    ("custom", &[("custom", Object(&[("name", Plain)]))]),
]);

const FORMAT: Rule = NamedKind(&[
    ("text", &[]),
    ("json_object", &[("schema", Schema)]),
    (
        "json_schema",
        &[(
            "json_schema",
            Object(&[
                ("name", Plain),
                ("description", Plain),
                ("schema", Schema),
                ("strict", Plain),
            ]),
        )],
    ),
]);

/// Servers before Anthropic's models take its marks.
const CACHE_CONTROL: Field = (
    "cache_control",
    Object(&[("type", Word(&["ephemeral"])), ("ttl", Plain)]),
);

static MESSAGE: Rule = Object(&[
    ("role", Plain),
    ("content", TextOr(&List(&PART))),
    ("name", Plain),
    ("tool_calls", List(&CALL)),
    ("tool_call_id", Plain),
    (
        "function_call",
        Object(&[("name", Plain), ("arguments", Plain)]),
    ),
    ("refusal", Plain),
    ("annotations", Any),
    ("reasoning_content", Any),
    ("reasoning", Any),
    ("reasoning_details", Any),
    ("thinking_blocks", Any),
    ("provider_specific_fields", Any),
    CACHE_CONTROL,
]);

static PART: Rule = NamedKind(&[
    ("text", &[("text", Plain), CACHE_CONTROL]),
    (
        "image_url",
        &[
            ("image_url", Object(&[("url", DataUrl), ("detail", Plain)])),
            CACHE_CONTROL,
        ],
    ),
    (
        "file",
        &[("file", Object(&[("file_data", Plain), ("filename", Plain)]))],
    ),
    ("refusal", &[("refusal", Plain)]),
]);

static CALL: Rule = Object(&[
    ("id", Plain),
    ("index", Plain),
    ("type", Word(&["function", "custom"])),
    ("function", Object(&[("name", Plain), ("arguments", Any)])),
    ("custom", Object(&[("name", Plain), ("input", Plain)])),
    // Signatures that go back with a call.
    ("extra_content", Any),
    ("provider_specific_fields", Any),
]);
