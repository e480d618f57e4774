//! `byname schema`: what a configuration looks like, for editors (JSON Schema, draft 2020-12).
//!
//! It is made of the tables that configurations are read by, so it knows every field. What only its meaning tells, such
//! as a route to a pool that does not exist, is for `byname -t`.

use serde_json::{Map, Value, json};

use crate::config::FIELDS;
use crate::config::form::{Field, Form, Presence};

/// The schema as text, with a line break at its end.
pub fn text() -> String {
    let mut schema = section(FIELDS);
    if let Some(members) = schema.as_object_mut() {
        members.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".to_owned(), json!("Byname"));
        members.insert(
            "description".to_owned(),
            json!("A configuration of Byname, or an included file of tenants."),
        );
        let included = json!({ "required": ["tenants"], "maxProperties": 1 });
        members.insert("anyOf".to_owned(), json!([{ "required": ["pools"] }, included]));
    }
    format!("{schema:#}\n")
}

fn section(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    let needed = fields.iter().filter(|field| field.presence == Presence::Needed);
    let needed: Vec<&str> = needed.map(|field| field.name).collect();
    let mut all = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let Some(members) = all.as_object_mut().filter(|_| !needed.is_empty()) {
        members.insert("required".to_owned(), json!(needed));
    }
    all
}

fn property(field: &Field) -> Value {
    let mut form = form(&field.form);
    if let Some(members) = form.as_object_mut() {
        members.insert("description".to_owned(), json!(field.says));
    }
    form
}

fn form(form: &Form) -> Value {
    match form {
        Form::Text => json!({ "type": "string" }),
        Form::Like(pattern) => like(pattern),
        Form::Digest => json!({ "type": ["string", "number"], "pattern": "^[0-9A-Fa-f]{64}$" }),
        Form::Truth => json!({ "type": "boolean" }),
        Form::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Duration => like("^[0-9]+(ms|s|m|h)$"),
        Form::Size => {
            json!({ "type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB)$", "minimum": 0 })
        }
        Form::Percent => like("^[0-9]+%$"),
        Form::Words(words) => json!({ "enum": words }),
        Form::List(of, least) => json!({ "type": "array", "items": self::form(of), "minItems": least }),
        Form::Either(forms) => json!({ "anyOf": forms.iter().map(self::form).collect::<Vec<_>>() }),
        Form::Section(fields) => section(fields),
        Form::OneOf(fields) => {
            let mut one = section(fields);
            if let Some(members) = one.as_object_mut() {
                members.insert("minProperties".to_owned(), json!(1));
                members.insert("maxProperties".to_owned(), json!(1));
            }
            one
        }
        Form::Named(of, least) => {
            json!({ "type": "object", "additionalProperties": self::form(of), "minProperties": least })
        }
    }
}

fn like(pattern: &str) -> Value {
    json!({ "type": "string", "pattern": pattern })
}
