//! Gemini's `generateContent`. Not here: its tools for searching, maps, URLs and code, files by address, and what is
//! kept at the provider. Its servers read `snake_case` for `camelCase`, so what is not known is refused, not left out.

use super::Rule::{Any, List, Number, Object, Plain, Schema, Word};
use super::{Rule, Rules};

pub(super) static RULES: Rules = Rules {
    fields: &[
        ("contents", List(&CONTENT)),
        ("systemInstruction", CONTENT),
        ("tools", List(&TOOL)),
        (
            "toolConfig",
            Object(&[(
                "functionCallingConfig",
                Object(&[
                    ("mode", Plain),
                    ("allowedFunctionNames", List(&Plain)),
                    ("streamFunctionCallArguments", Plain),
                ]),
            )]),
        ),
        ("generationConfig", CONFIG),
        ("safetySettings", Any),
        // Where only tokens are counted, the whole request stands here.
        (
            "generateContentRequest",
            Object(&[
                ("model", Plain),
                ("contents", List(&CONTENT)),
                ("systemInstruction", CONTENT),
                ("tools", List(&TOOL)),
            ]),
        ),
    ],
    refused: &[
        ("cachedContent", "nothing is stored at the provider"),
        ("cached_content", "nothing is stored at the provider"),
    ],
    refuses_unknown: true,
    items: "contents",
};

const CONTENT: Rule = Object(&[("role", Plain), ("parts", List(&PART))]);

static PART: Rule = Object(&[
    ("text", Plain),
    ("thought", Plain),
    ("thoughtSignature", Plain),
    ("inlineData", BLOB),
    (
        "functionCall",
        Object(&[("id", Plain), ("name", Plain), ("args", Any)]),
    ),
    (
        "functionResponse",
        Object(&[
            ("id", Plain),
            ("name", Plain),
            ("response", Any),
            ("parts", List(&Object(&[("inlineData", BLOB)]))),
            ("willContinue", Plain),
            ("scheduling", Plain),
        ]),
    ),
]);

const BLOB: Rule = Object(&[("mimeType", Plain), ("data", Plain), ("displayName", Plain)]);

static TOOL: Rule = Object(&[("functionDeclarations", List(&DECLARATION))]);

static DECLARATION: Rule = Object(&[
    ("name", Plain),
    ("description", Plain),
    ("behavior", Plain),
    ("parameters", Schema),
    ("parametersJsonSchema", Schema),
    // Google's own client writes these two so.
    ("parameters_json_schema", Schema),
    ("response", Schema),
    ("responseJsonSchema", Schema),
    ("response_json_schema", Schema),
]);

const CONFIG: Rule = Object(&[
    ("temperature", Plain),
    ("topP", Plain),
    ("topK", Plain),
    // Several answers would be paid for where one was allowed for.
    ("candidateCount", Number(1)),
    ("maxOutputTokens", Plain),
    ("stopSequences", List(&Plain)),
    ("responseMimeType", Plain),
    ("responseSchema", Schema),
    ("responseJsonSchema", Schema),
    ("responseModalities", List(&Word(&["TEXT"]))),
    ("seed", Plain),
    ("presencePenalty", Plain),
    ("frequencyPenalty", Plain),
    ("responseLogprobs", Plain),
    ("logprobs", Plain),
    ("mediaResolution", Plain),
    (
        "thinkingConfig",
        Object(&[
            ("includeThoughts", Plain),
            ("thinkingBudget", Plain),
            ("thinkingLevel", Plain),
        ]),
    ),
]);
