//! OpenAI's Responses. Not here: what refers to something stored at the provider, what goes on there in the background,
//! and the provider's own tools (search, files, code, computers, images, connectors).

use super::Rule::{Any, DataUrl, Kind, List, NamedKind, Object, Plain, Schema, TextOr, Word};
use super::{Field, Rule, Rules};

pub(super) static RULES: Rules = Rules {
    fields: &[
        ("model", Plain),
        ("input", TextOr(&List(&ITEM))),
        ("instructions", Plain),
        ("tools", List(&TOOL)),
        ("tool_choice", TextOr(&CHOICE)),
        ("parallel_tool_calls", Plain),
        (
            "reasoning",
            Object(&[
                ("effort", Plain),
                ("summary", Plain),
                ("generate_summary", Plain),
                ("context", Plain),
            ]),
        ),
        ("text", Object(&[("format", FORMAT), ("verbosity", Plain)])),
        ("stream", Plain),
        ("stream_options", Object(&[("include_obfuscation", Plain)])),
        ("max_output_tokens", Plain),
        ("temperature", Plain),
        ("top_p", Plain),
        ("top_logprobs", Plain),
        (
            "include",
            List(&Word(&[
                "reasoning.encrypted_content",
                "message.output_text.logprobs",
            ])),
        ),
        ("prompt_cache_key", Plain),
        ("prompt_cache_retention", Plain),
        ("truncation", Plain),
    ],
    refused: &[
        (
            "background",
            "an answer in the background could not be counted",
        ),
        (
            "previous_response_id",
            "nothing is stored at the provider: send the whole conversation",
        ),
        (
            "conversation",
            "nothing is stored at the provider: send the whole conversation",
        ),
        (
            "prompt",
            "a prompt that is stored at the provider can hold its tools",
        ),
    ],
    refuses_unknown: false,
    items: "input",
};

const FORMAT: Rule = NamedKind(&[
    ("text", &[]),
    ("json_object", &[]),
    (
        "json_schema",
        &[
            ("name", Plain),
            ("description", Plain),
            ("schema", Schema),
            ("strict", Plain),
        ],
    ),
]);

const FUNCTION: (&str, &[Field]) = (
    "function",
    &[
        ("name", Plain),
        ("description", Plain),
        ("parameters", Schema),
        ("strict", Plain),
    ],
);
const CUSTOM: (&str, &[Field]) = (
    "custom",
    &[("name", Plain), ("description", Plain), ("format", Any)],
);

/// Tools that the caller executes.
static TOOL: Rule = NamedKind(&[
    FUNCTION,
    CUSTOM,
    (
        "namespace",
        &[
            ("name", Plain),
            ("description", Plain),
            ("tools", List(&NamedKind(&[FUNCTION, CUSTOM]))),
        ],
    ),
    ("local_shell", &[]),
    ("apply_patch", &[]),
]);

static CHOICE: Rule = NamedKind(&[
    ("function", &[("name", Plain)]),
    ("custom", &[("name", Plain)]),
    ("local_shell", &[]),
    ("apply_patch", &[]),
    (
        "allowed_tools",
        &[
            ("mode", Plain),
            (
                "tools",
                List(&NamedKind(&[
                    ("function", &[("name", Plain)]),
                    ("custom", &[("name", Plain)]),
                ])),
            ),
        ],
    ),
]);

const TEXT: (&str, &[Field]) = ("input_text", &[("text", Plain)]);
const IMAGE: (&str, &[Field]) = ("input_image", &[("image_url", DataUrl), ("detail", Plain)]);
const FILE: (&str, &[Field]) = ("input_file", &[("file_data", Plain), ("filename", Plain)]);

static PARTS: Rule = List(&NamedKind(&[
    TEXT,
    IMAGE,
    FILE,
    (
        "output_text",
        &[("text", Plain), ("annotations", Any), ("logprobs", Any)],
    ),
    ("refusal", &[("refusal", Plain)]),
]));
static OUTPUT: Rule = List(&NamedKind(&[TEXT, IMAGE, FILE]));

const ID: Field = ("id", Plain);
const STATUS: Field = ("status", Plain);
const CALL: Field = ("call_id", Plain);
const NAMESPACE: Field = ("namespace", Plain);

static ITEM: Rule = Kind(&[
    (
        "message",
        &[
            ("role", Plain),
            ("content", TextOr(&PARTS)),
            ("phase", Plain),
            ID,
            STATUS,
        ],
    ),
    (
        "function_call",
        &[
            ("name", Plain),
            ("arguments", Plain),
            NAMESPACE,
            CALL,
            ID,
            STATUS,
        ],
    ),
    (
        "function_call_output",
        &[("output", TextOr(&OUTPUT)), CALL, ID, STATUS],
    ),
    (
        "custom_tool_call",
        &[
            ("name", Plain),
            ("input", Plain),
            NAMESPACE,
            CALL,
            ID,
            STATUS,
        ],
    ),
    (
        "custom_tool_call_output",
        &[
            ("name", Plain),
            ("output", TextOr(&OUTPUT)),
            CALL,
            ID,
            STATUS,
        ],
    ),
    (
        "reasoning",
        &[
            ("summary", Any),
            ("content", Any),
            ("encrypted_content", Plain),
            ID,
            STATUS,
        ],
    ),
    ("local_shell_call", &[("action", Any), CALL, ID, STATUS]),
    (
        "local_shell_call_output",
        &[("output", Plain), CALL, ID, STATUS],
    ),
    ("apply_patch_call", &[("operation", Any), CALL, ID, STATUS]),
    (
        "apply_patch_call_output",
        &[("output", Plain), CALL, ID, STATUS],
    ),
]);
