//! Anthropic's Messages. What the provider would do by itself is not here: its tools for searching, fetching and
//! executing, MCP servers, containers, files by URL or id, and batches.

use super::Rule::{Any, Kind, List, NamedKind, Object, Plain, Schema, TextOr, Word};
use super::{Field, Rule, Rules};

pub(super) static RULES: Rules = Rules {
    fields: &[
        ("model", Plain),
        ("max_tokens", Plain),
        ("messages", List(&MESSAGE)),
        ("system", TextOr(&List(&TEXTS))),
        ("tools", List(&TOOL)),
        ("tool_choice", TOOL_CHOICE),
        ("temperature", Plain),
        ("top_p", Plain),
        ("top_k", Plain),
        ("stop_sequences", List(&Plain)),
        ("stream", Plain),
        ("cache_control", CACHE),
        (
            "thinking",
            Object(&[
                ("type", Word(&["enabled", "disabled", "adaptive"])),
                ("budget_tokens", Plain),
                ("display", Plain),
            ]),
        ),
        (
            "output_config",
            Object(&[("effort", Plain), ("format", FORMAT), ("task_budget", Any)]),
        ),
        ("output_format", FORMAT),
        ("context_management", Object(&[("edits", List(&EDIT))])),
    ],
    refused: &[
        ("mcp_servers", "MCP servers would be called by the provider"),
        ("container", "containers execute code at the provider"),
        ("fallbacks", "another model would answer"),
    ],
    refuses_unknown: false,
    items: "messages",
};

static MESSAGE: Rule = Object(&[
    ("role", Word(&["user", "assistant", "system"])),
    ("content", TextOr(&List(&BLOCK))),
]);

const CACHE: Rule = Object(&[
    ("type", Word(&["ephemeral"])),
    ("ttl", Plain),
    ("scope", Plain),
]);
const FORMAT: Rule = Object(&[("type", Word(&["json_schema"])), ("schema", Schema)]);
const CACHE_CONTROL: Field = ("cache_control", CACHE);
/// Only the model itself calls a tool, not code that runs at the provider.
const CALLER: Field = ("caller", Object(&[("type", Word(&["direct"]))]));
const TEXT: (&str, &[Field]) = (
    "text",
    &[("text", Plain), ("citations", Any), CACHE_CONTROL],
);
const IMAGE: (&str, &[Field]) = ("image", &[("source", NamedKind(&[BASE64])), CACHE_CONTROL]);
const BASE64: (&str, &[Field]) = ("base64", &[("media_type", Plain), ("data", Plain)]);
const DOCUMENT: (&str, &[Field]) = (
    "document",
    &[
        (
            "source",
            NamedKind(&[
                BASE64,
                ("text", &[("media_type", Plain), ("data", Plain)]),
                (
                    "content",
                    &[("content", TextOr(&List(&NamedKind(&[TEXT, IMAGE]))))],
                ),
            ]),
        ),
        ("title", Plain),
        ("context", Plain),
        ("citations", Object(&[("enabled", Plain)])),
        CACHE_CONTROL,
    ],
);

static TEXTS: Rule = NamedKind(&[TEXT]);

static BLOCK: Rule = NamedKind(&[
    TEXT,
    IMAGE,
    DOCUMENT,
    (
        "tool_use",
        &[
            ("id", Plain),
            ("name", Plain),
            ("input", Any),
            CALLER,
            CACHE_CONTROL,
        ],
    ),
    (
        "tool_result",
        &[
            ("tool_use_id", Plain),
            (
                "content",
                TextOr(&List(&NamedKind(&[TEXT, IMAGE, DOCUMENT]))),
            ),
            ("is_error", Plain),
            CACHE_CONTROL,
        ],
    ),
    ("thinking", &[("thinking", Plain), ("signature", Plain)]),
    ("redacted_thinking", &[("data", Plain)]),
]);

/// Tools that the caller executes: its own, and those whose form alone is the provider's.
static TOOL: Rule = Kind(&[
    (
        "custom",
        &[
            ("name", Plain),
            ("description", Plain),
            ("input_schema", Schema),
            ("strict", Plain),
            ("eager_input_streaming", Plain),
            ("input_examples", Any),
            ("allowed_callers", List(&Word(&["direct"]))),
            CACHE_CONTROL,
        ],
    ),
    ("bash_20250124", &[("name", Plain), CACHE_CONTROL]),
    ("text_editor_20250124", &[("name", Plain), CACHE_CONTROL]),
    ("text_editor_20250429", &[("name", Plain), CACHE_CONTROL]),
    (
        "text_editor_20250728",
        &[("name", Plain), ("max_characters", Plain), CACHE_CONTROL],
    ),
    ("memory_20250818", &[("name", Plain), CACHE_CONTROL]),
]);

const TOOL_CHOICE: Rule = Object(&[
    ("type", Word(&["auto", "any", "tool", "none"])),
    ("name", Plain),
    ("disable_parallel_tool_use", Plain),
]);

/// What the provider forgets of a long conversation.
static EDIT: Rule = NamedKind(&[
    (
        "clear_tool_uses_20250919",
        &[
            ("trigger", Any),
            ("keep", Any),
            ("clear_at_least", Any),
            ("clear_tool_inputs", Any),
            ("exclude_tools", Any),
        ],
    ),
    ("clear_thinking_20251015", &[("keep", Any)]),
]);
