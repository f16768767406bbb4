//! The OpenAPI 3.1 document of a component: what `routes!` collects, completed by what is the same everywhere.

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// The document with its title and version, the scheme `bearer`, and the problem that any operation may answer.
pub(crate) fn complete(document: &OpenApi, name: &str, version: &str) -> Result<Value, serde_json::Error> {
    let mut root = serde_json::to_value(document)?;
    set(&mut root, "info", json!({ "title": name, "version": version }));
    let components = member(&mut root, "components");
    set(
        member(components, "securitySchemes"),
        "bearer",
        json!({ "type": "http", "scheme": "bearer", "bearerFormat": "JWT" }),
    );
    set(member(components, "schemas"), "Problem", problem_schema());
    for item in members(member(&mut root, "paths")) {
        for operation in members(item).filter(|operation| operation.get("responses").is_some()) {
            let problem =
                json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
            let default = json!({ "description": "A problem (RFC 9457)", "content": problem });
            set(member(operation, "responses"), "default", default);
        }
    }
    Ok(root)
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string" },
            "instance": { "type": "string", "format": "uri-reference" },
            "traceId": { "type": "string" },
            "errors": { "type": "array", "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": { "type": "string" }, "parameter": { "type": "string" },
                    "code": { "type": "string" }, "detail": { "type": "string" },
                },
            } },
        },
    })
}

fn set(value: &mut Value, name: &str, to: Value) {
    if let Value::Object(members) = value {
        members.insert(name.to_owned(), to);
    }
}

/// The member with this name, made an empty object where it is none.
fn member<'a>(value: &'a mut Value, name: &str) -> &'a mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members.entry(name).or_insert_with(|| Value::Object(Map::new())),
        other => other,
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = &mut Value> {
    value.as_object_mut().into_iter().flat_map(|members| members.values_mut())
}
