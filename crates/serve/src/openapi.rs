//! The API as an OpenAPI 3.1 document, and as a page.

use std::sync::OnceLock;

use bytes::Bytes;
use maud::html;
use report::schema::TABLES;
use report::table::{Kind, Schema};
use serde_json::{Map, Value, json};

use crate::store::{Role, State};

/// One operation. Every field is a decision.
struct Operation {
    method: &'static str,
    path: &'static str,
    id: &'static str,
    about: &'static str,
    /// Who may; nothing for everybody.
    role: Option<Role>,
    /// Parameters in the query: name, schema, meaning.
    query: &'static [(&'static str, &'static str, &'static str)],
    /// What comes back: status, and name of its schema.
    answer: (u16, &'static str),
    /// Other statuses, besides those that follow from the role.
    also: &'static [u16],
}

const PAGES: &[(&str, &str, &str)] = &[
    ("after", "offset", "Number of the last row that was seen"),
    ("limit", "limit", "Most rows"),
];

const OPERATIONS: &[Operation] = &[
    Operation {
        method: "get",
        path: "/api/v1/health",
        id: "health",
        about: "Whether the server is at work.",
        role: None,
        query: &[],
        answer: (200, "Health"),
        also: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/openapi.json",
        id: "openapi",
        about: "This document.",
        role: None,
        query: &[],
        answer: (200, "Any"),
        also: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/results",
        id: "results",
        about: "All tables, as `mirrorcode results --json` prints them.",
        role: None,
        query: &[],
        answer: (200, "Results"),
        also: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/tasks",
        id: "tasks",
        about: "Tasks, and how many runs that count each has.",
        role: None,
        query: &[],
        answer: (200, "Tasks"),
        also: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/models",
        id: "models",
        about: "Systems: models and the agents that call them, best first.",
        role: None,
        query: &[],
        answer: (200, "Models"),
        also: &[],
    },
    Operation {
        method: "get",
        path: "/api/v1/runs",
        id: "runs",
        about: "Runs that are shown.",
        role: None,
        query: &[
            ("task", "text", "Of this task alone"),
            ("model", "text", "Of this model alone"),
            ("offset", "offset", "Rows that are passed over"),
            ("limit", "limit", "Most rows"),
        ],
        answer: (200, "Runs"),
        also: &[400],
    },
    Operation {
        method: "get",
        path: "/api/v1/runs/{run}",
        id: "run",
        about: "One run's row.",
        role: None,
        query: &[],
        answer: (200, "Run"),
        also: &[404],
    },
    Operation {
        method: "get",
        path: "/api/v1/runs/{run}/verdict",
        id: "verdict",
        about: "The verdict that was seen here.",
        role: None,
        query: &[],
        answer: (200, "Any"),
        also: &[404],
    },
    Operation {
        method: "get",
        path: "/api/v1/runs/{run}/bundle",
        id: "bundle",
        about: "The bundle in which a run was submitted.",
        role: None,
        query: &[],
        answer: (200, "Bundle"),
        also: &[404],
    },
    Operation {
        method: "get",
        path: "/api/v1/live",
        id: "live",
        about: "The operator's runs that are under way.",
        role: None,
        query: &[],
        answer: (200, "Live"),
        also: &[],
    },
    Operation {
        method: "post",
        path: "/api/v1/submissions",
        id: "submit",
        about: "Submits a bundle, signed with the key that is registered with the token. 202: it is queued; 200: it was there already.",
        role: Some(Role::Submitter),
        query: &[],
        answer: (202, "Submitted"),
        also: &[200, 400, 408, 409, 413, 422],
    },
    Operation {
        method: "get",
        path: "/api/v1/submissions",
        id: "submissions",
        about: "The token's submissions; an admin's are all.",
        role: Some(Role::Submitter),
        query: PAGES,
        answer: (200, "Submissions"),
        also: &[400],
    },
    Operation {
        method: "get",
        path: "/api/v1/submissions/{number}",
        id: "submission",
        about: "What became of a submission.",
        role: Some(Role::Submitter),
        query: &[],
        answer: (200, "Submission"),
        also: &[404],
    },
    Operation {
        method: "post",
        path: "/api/v1/submissions/{number}/retry",
        id: "retry",
        about: "Has a submission scored again that failed or was withdrawn.",
        role: Some(Role::Admin),
        query: &[],
        answer: (200, "Submission"),
        also: &[404, 409],
    },
    Operation {
        method: "post",
        path: "/api/v1/submissions/{number}/withdraw",
        id: "withdraw",
        about: "Takes a submission back.",
        role: Some(Role::Admin),
        query: &[],
        answer: (200, "Submission"),
        also: &[404, 409],
    },
    Operation {
        method: "get",
        path: "/api/v1/tokens",
        id: "tokens",
        about: "All tokens, without the secrets, which are kept nowhere.",
        role: Some(Role::Admin),
        query: &[],
        answer: (200, "Tokens"),
        also: &[],
    },
    Operation {
        method: "post",
        path: "/api/v1/tokens",
        id: "add-token",
        about: "Makes a token. Its secret is told once.",
        role: Some(Role::Admin),
        query: &[],
        answer: (201, "CreatedToken"),
        also: &[400, 409, 413],
    },
    Operation {
        method: "delete",
        path: "/api/v1/tokens/{name}",
        id: "revoke-token",
        about: "Takes a token out of force.",
        role: Some(Role::Admin),
        query: &[],
        answer: (204, ""),
        also: &[404],
    },
    Operation {
        method: "get",
        path: "/api/v1/audit",
        id: "audit",
        about: "The audit log, oldest first.",
        role: Some(Role::Admin),
        query: PAGES,
        answer: (200, "Audit"),
        also: &[400],
    },
];

fn meaning(status: u16) -> &'static str {
    match status {
        200 => "As asked.",
        201 => "It was made.",
        202 => "It is queued.",
        204 => "It is done.",
        400 => "The request is wrong.",
        401 => "The token is missing, unknown or revoked.",
        403 => "The token's role does not allow it.",
        404 => "There is no such thing.",
        408 => "The rest of the request did not come.",
        409 => "It contradicts what is there.",
        413 => "It is too large.",
        422 => "It is no bundle that the token's key signed.",
        429 => "Too many requests, or too many wait; see Retry-After.",
        _ => "",
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn content(schema: &str) -> Value {
    match schema {
        "" => Value::Null,
        "Bundle" => json!({ "application/zstd": {} }),
        schema => json!({ "application/json": { "schema": reference(schema) } }),
    }
}

fn response(status: u16, schema: &str) -> Value {
    let mut response = json!({ "description": meaning(status) });
    let content = content(schema);
    if !content.is_null() {
        response["content"] = content;
    }
    response
}

fn operation(of: &Operation) -> Value {
    let mut parameters = Vec::new();
    for part in of.path.split('/') {
        let name = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'));
        if let Some(name) = name {
            let schema = if name == "number" {
                json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 })
            } else {
                json!({ "type": "string" })
            };
            parameters
                .push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
        }
    }
    for (name, kind, about) in of.query {
        let schema = match *kind {
            "limit" => json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
            "offset" => json!({ "type": "integer", "minimum": 0, "maximum": 4_294_967_295_u32 }),
            _ => json!({ "type": "string" }),
        };
        parameters
            .push(json!({ "name": name, "in": "query", "description": about, "schema": schema }));
    }
    let mut responses = Map::new();
    let mut statuses = vec![of.answer.0];
    statuses.extend(of.also);
    // Whoever shows a wrong token is told so everywhere where it is looked at.
    if of.role.is_some() {
        statuses.extend([401, 403, 429]);
    }
    statuses.sort_unstable();
    for status in statuses {
        let schema = match status {
            200..300 => of.answer.1,
            _ => "Error",
        };
        responses.insert(status.to_string(), response(status, schema));
    }
    let mut operation = json!({
        "operationId": of.id,
        "summary": of.about,
        "parameters": parameters,
        "responses": responses,
    });
    match of.id {
        "submit" => {
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/octet-stream": {} } });
        }
        "add-token" => {
            operation["requestBody"] = json!({ "required": true, "content": content("NewToken") });
        }
        _ => {}
    }
    if let Some(role) = of.role {
        operation["security"] = json!([{ "token": [] }]);
        operation["x-role"] = role.name().into();
    }
    operation
}

/// A row of a table that `mirrorcode results` has.
fn row(schema: &Schema, more: &[(&str, Value)]) -> Value {
    let mut properties = Map::new();
    for column in schema.columns {
        let kind = match column.kind {
            Kind::Text => "string",
            Kind::Whole => "integer",
            Kind::Real => "number",
            Kind::Flag => "boolean",
        };
        properties.insert(
            column.name.to_owned(),
            json!({ "type": [kind, "null"], "description": column.about }),
        );
    }
    for (name, value) in more {
        properties.insert((*name).to_owned(), value.clone());
    }
    let required: Vec<String> = properties.keys().cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn list(schema: &str) -> Value {
    json!({ "type": "array", "items": reference(schema) })
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let maybe = || json!({ "type": ["string", "null"] });
    let whole = || json!({ "type": "integer" });
    let next = || json!({ "type": ["integer", "null"], "description": "Where the next part begins; null after the last" });
    let table = |name: &str| {
        TABLES
            .iter()
            .find(|table| table.name == name)
            .expect("it is a table")
    };
    let states: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
    let roles = ["reader", "submitter", "admin"];
    json!({
        "Any": { "type": "object" },
        "Error": object(&[("error", text()), ("code", text())]),
        "Health": object(&[("status", text()), ("mirrorcode", text())]),
        "Results": object(&[
            ("format", whole()),
            ("level", json!({ "type": "number" })),
            ("notes", json!({ "type": "array", "items": { "type": "string" } })),
            ("tables", json!({ "type": "object", "additionalProperties": { "type": "array", "items": { "type": "object" } } })),
        ]),
        "Task": object(&[
            ("task", text()),
            ("target", text()),
            ("language", text()),
            ("domain", maybe()),
            ("size", maybe()),
            ("runs", whole()),
            ("solved", whole()),
        ]),
        "Tasks": object(&[("tasks", list("Task"))]),
        "Model": row(table("systems"), &[]),
        "Models": object(&[("models", list("Model"))]),
        "Run": row(table("runs"), &[("page", text())]),
        "Runs": object(&[("runs", list("Run")), ("total", whole()), ("next", next())]),
        "LiveRun": object(&[
            ("run", text()),
            ("task", text()),
            ("model", maybe()),
            ("state", json!({ "enum": ["working", "paused"] })),
            ("turn", whole()),
            ("tokens", whole()),
            ("dollars", json!({ "type": ["number", "null"] })),
            ("best", json!({ "type": ["object", "null"] })),
            ("began", text()),
            ("last", text()),
        ]),
        "Live": object(&[("runs", list("LiveRun"))]),
        "Submission": object(&[
            ("number", whole()),
            ("token", text()),
            ("run", text()),
            ("task", text()),
            ("digest", text()),
            ("bytes", whole()),
            ("state", json!({ "enum": states })),
            ("attempts", whole()),
            ("message", maybe()),
            ("differences", json!({ "type": "array", "items": { "type": "string" } })),
            ("verdict", maybe()),
            ("received", text()),
            ("changed", text()),
        ]),
        "Submitted": object(&[("submission", reference("Submission")), ("status", text())]),
        "Submissions": object(&[("submissions", list("Submission")), ("next", next())]),
        "Token": object(&[
            ("name", text()),
            ("role", json!({ "enum": roles })),
            ("key", maybe()),
            ("created", text()),
            ("revoked", maybe()),
        ]),
        "Tokens": object(&[("tokens", list("Token"))]),
        "NewToken": {
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "role"],
            "properties": {
                "name": { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[A-Za-z0-9_.-]+$" },
                "role": { "enum": roles },
                "key": { "type": ["string", "null"], "description": "Public key of minisign; a submitter's token needs one" },
            },
        },
        "CreatedToken": object(&[("token", reference("Token")), ("secret", text())]),
        "Entry": object(&[
            ("number", whole()),
            ("time", text()),
            ("who", text()),
            ("action", text()),
            ("subject", text()),
            ("detail", text()),
        ]),
        "Audit": object(&[("entries", list("Entry")), ("next", next())]),
    })
}

/// The document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for of in OPERATIONS {
        let path = paths.entry(of.path).or_insert_with(|| json!({}));
        path[of.method] = operation(of);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "mirrorcode",
            "version": "1",
            "description": "Results that are shown, and bundles of runs that are scored again before they are. What is added \
                            does not change the version.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
    })
}

/// The same as it is served.
pub(crate) fn text() -> &'static Bytes {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    TEXT.get_or_init(|| Bytes::from(document().to_string()))
}

/// The page for people.
pub(crate) fn page(more: &[(&str, &str)]) -> String {
    let body = html! {
        p {
            "What the pages show, programs read here; and whoever has a token submits bundles of runs. "
            a href="api/v1/openapi.json" { "The OpenAPI document" } " has everything."
        }
        div.scroll tabindex="0" role="region" aria-label="Table of operations" {
            table {
                thead { tr { th scope="col" { "request" } th scope="col" { "answer" } th scope="col" { "who may" } } }
                tbody {
                    @for of in OPERATIONS {
                        tr {
                            th scope="row" { code { (of.method.to_uppercase()) " " (of.path) } }
                            td { (of.about) }
                            td { @match of.role { Some(role) => (role.name()), None => "everybody" } }
                        }
                    }
                }
            }
        }
    };
    report::site::page("API", "For programs", "api.html", more, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        for name in schemas.keys() {
            assert!(
                text.contains(&format!("schemas/{name}\"")),
                "{name} is not used"
            );
        }
    }
}
