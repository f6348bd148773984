//! Any server with `OpenAI`'s list: what it says beyond that goes by the names that others have
//! come to use too.

use super::{
    ListError, openrouter,
    read::{Page, Reader, each, items, json, set},
};
use crate::{Charge, Facts, Price, Unit};
use serde_json::Value;

pub(super) fn parse(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    // Some answer with the list alone.
    let list = match &root {
        Value::Array(list) => list,
        root => items(root, "data")?,
    };
    let mut page = Page::default();
    each(&mut page, list, "id", |id, model| Some((id.to_owned(), facts(model))));
    Ok(page)
}

fn facts(model: &Reader<'_>) -> Facts {
    let first = |names: &[&str]| names.iter().find_map(|name| model.count(name));
    let mut facts = Facts {
        name: ["display_name", "name"].into_iter().find_map(|name| text(model, name)),
        context_window: first(&[
            "context_window",
            "context_length",
            "max_context_length",
            "max_model_len",
        ]),
        max_output_tokens: first(&["max_completion_tokens", "max_output_tokens"]),
        deprecated: model.date("deprecation"),
        retires: model.date("shutdown_date"),
        license: text(model, "license"),
        prices: model.raw("pricing").and_then(|_| model.inside("pricing")).map(|p| prices(&p)),
        ..Facts::default()
    };
    // `created` is left alone: most servers give the moment at which they started, or the present.
    if let Some(Value::Object(_)) = model.raw("architecture") {
        let architecture = model.inside("architecture");
        let modalities = |name| architecture.as_ref()?.texts(name).map(set);
        facts.input_modalities = modalities("input_modalities");
        facts.output_modalities = modalities("output_modalities");
    }
    match model.raw("capabilities") {
        Some(Value::Array(words)) => {
            facts.capabilities.extend(words.iter().filter_map(Value::as_str).map(capability));
        }
        Some(Value::Object(words)) => {
            let said = words.iter().filter(|(_, is)| is.as_bool() == Some(true));
            facts.capabilities.extend(said.map(|(word, _)| capability(word)));
        }
        _ => {}
    }
    match model.raw("type").and_then(Value::as_str) {
        Some("chat" | "llm") => drop(facts.capabilities.insert("chat".to_owned())),
        Some("embedding" | "embeddings") => drop(facts.capabilities.insert("embed".to_owned())),
        _ => {}
    }
    model.keep(&mut facts, &["owned_by", "root", "parent", "aliases", "type", "quantization"]);
    facts.quantization = facts.extra.remove("quantization").and_then(|found| match found {
        Value::String(text) => Some(text),
        _ => None,
    });
    facts
}

fn text(model: &Reader<'_>, name: &str) -> Option<String> {
    model.raw(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Translates the words for capabilities that are about.
pub(super) fn capability(word: &str) -> String {
    match word {
        "completion_chat" | "completion" | "chat-completion" => "chat",
        "function_calling" | "tool_use" | "tool-use" | "tool_calling" => "tools",
        "embedding" | "embeddings" => "embed",
        "thinking" => "reasoning",
        "json_mode" => "json",
        "structured_outputs" => "structured_output",
        other => other,
    }
    .to_owned()
}

/// Texts named `prompt` and `completion` are dollars for a token; numbers named `input` and
/// `output` are dollars for a million.
fn prices(pricing: &Reader<'_>) -> Vec<Price> {
    if pricing.raw("prompt").is_some() || pricing.raw("completion").is_some() {
        return openrouter::prices(pricing);
    }
    let mut prices = Vec::new();
    for (name, charge) in [
        ("input", Charge::Prompt),
        ("output", Charge::Completion),
        ("cached_input", Charge::CacheRead),
    ] {
        if let Some(amount) = pricing.amount(name) {
            prices.push(Price::new(charge, Unit::MillionTokens, amount));
        }
    }
    prices
}
