//! Our own format: one JSON document that says everything, and nothing twice.

use super::{
    Catalog, Exported, Format, FormatError, Written,
    fields::Fields,
    json::{self, Document},
};
use crate::Facts;
use callsheet_types::{ModelKey, Preset, Problem};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

const NAME: &str = "callsheet-models";
const VERSION: u64 = 1;

pub(super) fn read(document: Document) -> Result<Catalog, FormatError> {
    let Document { file, value } = document;
    let foreign = |message: &str| FormatError::Foreign {
        format: Format::Callsheet,
        file: file.clone(),
        message: message.to_owned(),
    };
    let Value::Object(mut table) = value else { return Err(foreign("expected an object")) };
    if table.remove("format") != Some(NAME.into()) {
        return Err(foreign("expected `format` to be \"callsheet-models\""));
    }
    let version = table.remove("version").unwrap_or_default();
    if version.as_u64() != Some(VERSION) {
        let version = version.to_string();
        return Err(FormatError::Version { file, version, known: VERSION });
    }
    let mut catalog = Catalog::default();
    let mut fields = Fields::new(table, &file, &mut catalog.problems);
    let as_of = fields.text("as_of").map(|text| text.parse());
    if as_of.as_ref().is_some_and(Result::is_err) {
        fields.problem("`as_of` is no moment");
    }
    let models = fields.list("models").unwrap_or_default();
    let canonical = fields.list("canonical").unwrap_or_default();
    let presets = fields.table("presets").unwrap_or_default();
    fields.finish();

    catalog.as_of = as_of.and_then(Result::ok);
    let problems = &mut catalog.problems;
    for (index, value) in models.into_iter().enumerate() {
        let read = entry(value, "key", &format!("{file} models[{index}]"), problems);
        let Some((key, place, facts)) = read else { continue };
        match ModelKey::parse(&key) {
            Ok(key) => catalog.models.push((key, facts)),
            Err(_) => problem(problems, &place, "`key` is no model key: expected PROVIDER:ID"),
        }
    }
    for (index, value) in canonical.into_iter().enumerate() {
        let read = entry(value, "id", &format!("{file} canonical[{index}]"), problems);
        catalog.canonical.extend(read.map(|(id, _, facts)| (id, facts)));
    }
    for (name, value) in presets {
        let preset = exactly::<Preset>(&value, &format!("{file} presets {name}"), problems);
        catalog.presets.extend(preset.map(|preset| (name, preset)));
    }
    Ok(catalog)
}

/// Reads `{key, facts}`.
fn entry(
    value: Value,
    key: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<(String, String, Facts)> {
    let Value::Object(table) = value else {
        problem(problems, place, "is no object");
        return None;
    };
    let mut fields = Fields::new(table, place, problems);
    let name = fields.text(key);
    let facts = fields.table("facts");
    if name.is_none() || facts.is_none() {
        fields.problem(format!("`{key}` or `facts` is missing: the model is left out"));
    }
    fields.finish();
    let (name, facts) = (name?, facts?);
    let place = format!("{place} {name}");
    let facts = exactly::<Facts>(&Value::Object(facts), &place, problems)?;
    Some((name, place, facts))
}

/// Reads a value of a type of ours, and tells every key that the type does not have.
fn exactly<T: DeserializeOwned + serde::Serialize>(
    value: &Value,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let read = match T::deserialize(value) {
        Ok(read) => read,
        Err(error) => {
            problem(problems, place, &format!("cannot be read: {error}"));
            return None;
        }
    };
    if let Ok(understood) = serde_json::to_value(&read) {
        lost(value, &understood, place, problems);
    }
    Some(read)
}

/// Compares what was written with what was understood.
fn lost(written: &Value, understood: &Value, place: &str, problems: &mut Vec<Problem>) {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            for (key, value) in written {
                match understood.get(key) {
                    Some(inner) => lost(value, inner, &format!("{place} {key}"), problems),
                    None if says_nothing(value) => {}
                    None => problem(problems, place, &format!("unknown key `{key}`")),
                }
            }
        }
        (Value::Array(written), Value::Array(understood)) => {
            for (index, (written, understood)) in written.iter().zip(understood).enumerate() {
                lost(written, understood, &format!("{place}[{index}]"), problems);
            }
        }
        _ => {}
    }
}

/// Defaults may be written out, and are left out again.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}

fn problem(problems: &mut Vec<Problem>, place: &str, message: &str) {
    problems.push(Problem { place: place.to_owned(), message: message.to_owned() });
}

pub(super) fn write(exported: &Exported) -> Written {
    let models = exported.models.iter().map(|(key, facts)| json!({"key": key, "facts": facts}));
    let canonical = exported.canonical.iter().map(|(id, facts)| json!({"id": id, "facts": facts}));
    let presets = exported.presets.iter().map(|(name, preset)| (name.clone(), json!(preset)));
    let mut document = json!({
        "format": NAME,
        "version": VERSION,
        "models": models.collect::<Value>(),
        "canonical": canonical.collect::<Value>(),
        "presets": presets.collect::<Map<_, _>>(),
    });
    if let Some(as_of) = exported.as_of {
        document["as_of"] = as_of.to_string().into();
    }
    let models = exported.models.len();
    Written { bytes: json::pretty(&document), models, omissions: Vec::new() }
}
