//! Replicate: one question for each model, answered with the schema of its newest version.

use super::{
    ListError,
    read::{Reader, json},
};
use crate::{Facts, Parameter};
use serde_json::{Map, Value};
use std::cell::RefCell;

/// Reads one model; returns what is wrong with it too.
pub(super) fn parse(body: &[u8]) -> Result<(Facts, Vec<String>), ListError> {
    let root = json(body)?;
    let fields = root.as_object().filter(|fields| fields.contains_key("owner"));
    let fields = fields.ok_or(ListError::NoList { expected: "owner" })?;
    let problems = RefCell::new(Vec::new());
    let model = Reader::new(fields, &problems);
    let version = model.inside("latest_version");
    let mut facts = Facts {
        name: model.text("name"),
        license: model.text("license_url"),
        digest: version.as_ref().and_then(|version| version.text("id")),
        updated: version.as_ref().and_then(|version| version.date("created_at")),
        ..Facts::default()
    };
    if let Some(weights) = model.text("weights_url") {
        facts.weights = Some(vec![crate::Weights { url: weights, label: None, digest: None }]);
    }
    // How often it ran changes with every look, and is no fact about the model.
    model.keep(&mut facts, &["description", "visibility", "github_url", "paper_url"]);
    if let Some(version) = version {
        version.keep(&mut facts, &["cog_version"]);
        let schemas = version.raw("openapi_schema").and_then(|s| s.pointer("/components/schemas"));
        if let Some(Value::Object(schemas)) = schemas {
            add_schemas(&mut facts, schemas);
        }
    }
    Ok((facts, problems.into_inner()))
}

fn add_schemas(facts: &mut Facts, schemas: &Map<String, Value>) {
    let properties = schemas.get("Input").and_then(|input| input.get("properties")?.as_object());
    for (name, property) in properties.into_iter().flatten() {
        let bound = |name: &str| property.get(name).and_then(Value::as_number).cloned();
        let default = property.get("default").filter(|default| !default.is_null()).cloned();
        let parameter =
            Parameter::Mutable { min: bound("minimum"), max: bound("maximum"), default };
        facts.parameters.insert(name.clone(), parameter);
    }
    for (field, name) in [("input_schema", "Input"), ("output_schema", "Output")] {
        if let Some(schema) = schemas.get(name) {
            facts.extra.insert(field.to_owned(), schema.clone());
        }
    }
}
