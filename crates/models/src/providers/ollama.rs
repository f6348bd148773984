//! Ollama: a list of what is there, a question for each model, and what is loaded.

use super::{
    ListError, generic,
    read::{Page, Reader, each, items, json, set, whole},
};
use crate::{Facts, Parameter};
use serde_json::{Value, value::RawValue};
use std::{cell::RefCell, collections::BTreeMap};

/// Reads `/api/tags`: which models there are.
pub(super) fn parse_tags(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    each(&mut page, items(&root, "models")?, "name", |name, model| {
        let mut facts = Facts {
            digest: model.text("digest"),
            updated: model.date("modified_at"),
            ..Facts::default()
        };
        if let Some(details) = model.inside("details") {
            add_details(&mut facts, &details);
        }
        model.keep(&mut facts, &["size", "remote_model", "remote_host"]);
        Some((name.to_owned(), facts))
    });
    Ok(page)
}

fn add_details(facts: &mut Facts, details: &Reader<'_>) {
    facts.family = details.text("family").or_else(|| facts.family.take());
    facts.quantization = details
        .text("quantization_level")
        .filter(|level| level != "unknown")
        .or_else(|| facts.quantization.take());
    details.keep(facts, &["format", "parameter_size"]);
}

/// Reads an answer of `/api/show` on top of what the list said; returns what is wrong with it.
pub(super) fn parse_show(facts: &mut Facts, body: &[u8]) -> Result<Vec<String>, ListError> {
    let root = json(body)?;
    let fields = root.as_object().ok_or(ListError::NoList { expected: "model_info" })?;
    let problems = RefCell::new(Vec::new());
    let show = Reader::new(fields, &problems);
    if let Some(details) = show.inside("details") {
        add_details(facts, &details);
    }
    let words = show.texts("capabilities").unwrap_or_default();
    facts.capabilities.extend(words.iter().map(|word| generic::capability(word)));
    let can = |word: &str| facts.capabilities.contains(word);
    if !words.is_empty() {
        let mut takes = set(["text"]);
        if can("vision") {
            takes.insert("image".to_owned());
        }
        if can("audio") {
            takes.insert("audio".to_owned());
        }
        facts.input_modalities = Some(takes);
        facts.output_modalities = Some(set([if can("chat") { "text" } else { "embeddings" }]))
            .filter(|_| can("chat") || can("embed"));
    }
    let embeds = can("embed");
    let mut named_license = None;
    if let Some(info) = show.inside("model_info") {
        let architecture = info.text("general.architecture").unwrap_or_default();
        let count = |name: &str| info.count(&format!("{architecture}.{name}"));
        facts.context_window_trained = count("context_length");
        // Every model has this length inside; it is that of an embedding only if it gives one.
        facts.embedding_dimensions = count("embedding_length").filter(|_| embeds);
        facts.parameter_count = info.count("general.parameter_count");
        named_license = info.raw("general.license").and_then(Value::as_str).map(str::to_owned);
        let name = info.raw("general.name").and_then(Value::as_str);
        facts.name = name.filter(|name| !name.is_empty()).map(str::to_owned);
    }
    // It is one text, or a list of them where a model has several.
    let text = match show.raw("license") {
        Some(Value::Array(texts)) => texts.first().and_then(Value::as_str),
        other => other.and_then(Value::as_str),
    };
    facts.license = named_license.or_else(|| license(text?));
    if let Some(parameters) = show.text("parameters") {
        facts.parameters = defaults(&parameters);
        if let Some(Parameter::Mutable { default: Some(default), .. }) =
            facts.parameters.get("num_ctx")
        {
            facts.context_window = whole(default).filter(|count| *count > 0);
        }
    }
    show.keep(facts, &["remote_model", "remote_host"]);
    Ok(problems.into_inner())
}

/// Reads `/api/ps`: in which window the models that are loaded are served.
pub(super) fn parse_loaded(body: &[u8]) -> Result<BTreeMap<String, u64>, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    let mut served = BTreeMap::new();
    each(&mut page, items(&root, "models")?, "name", |name, model| {
        served.extend(model.count("context_length").map(|length| (name.to_owned(), length)));
        None
    });
    Ok(served)
}

/// Reads the lines of a model's parameters: a name and a value each; a name may come again, and
/// its values are a list then.
fn defaults(text: &str) -> BTreeMap<String, Parameter> {
    let mut values: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.trim().split_once(char::is_whitespace) else { continue };
        let value = value.trim();
        // Texts are quoted as in JSON, mostly; whatever is no JSON is meant as it stands.
        let value = serde_json::from_str::<&RawValue>(value)
            .ok()
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_else(|| Value::from(value));
        values.entry(name).or_default().push(value);
    }
    let parameter = |mut values: Vec<Value>| {
        let default = if values.len() == 1 { values.pop() } else { Some(Value::Array(values)) };
        Parameter::Mutable { min: None, max: None, default }
    };
    values.into_iter().map(|(name, values)| (name.to_owned(), parameter(values))).collect()
}

/// Returns what a licence's text is called: an SPDX id where it is well known, its first line
/// otherwise.
fn license(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let begins = text.trim_start().chars().take(400).collect::<String>().to_ascii_lowercase();
    let known = [
        ("apache license", "Apache-2.0"),
        ("mit license", "MIT"),
        ("creative commons attribution-noncommercial 4.0", "CC-BY-NC-4.0"),
    ];
    let spdx = known.into_iter().find(|(title, _)| begins.contains(title)).map(|(_, id)| id);
    Some(spdx.map_or_else(|| line.chars().take(120).collect(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_lines() {
        let found = defaults("num_ctx 8192\nstop \"<|end|>\"\nstop    \"a b\"\ntemperature 0.6\nx");
        let default = |name: &str| match &found[name] {
            Parameter::Mutable { default: Some(default), .. } => default.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(default("num_ctx"), json!(8192));
        assert_eq!(default("stop"), json!(["<|end|>", "a b"]));
        assert_eq!(default("temperature").to_string(), "0.6");
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn licences_are_told_by_their_beginning() {
        for (text, expected) in [
            ("\n   Apache License\n  Version 2.0", Some("Apache-2.0")),
            ("MIT License\n\nCopyright", Some("MIT")),
            ("LLAMA 3 AGREEMENT\nmore", Some("LLAMA 3 AGREEMENT")),
            (" \n", None),
        ] {
            assert_eq!(license(text).as_deref(), expected);
        }
    }
}
