//! llama.cpp's server: what the file says of the model, and in which window it is served.

use super::{
    ListError, generic,
    read::{Page, Reader, each, items, json, set},
};
use crate::Facts;
use serde_json::Value;
use std::cell::RefCell;

/// Reads the list, and `/props` of a server that has them: they speak of the one model that it has
/// loaded.
pub(super) fn parse(body: &[u8], props: Option<&[u8]>) -> Result<Page, ListError> {
    let root = json(body)?;
    let props = props.map(json).transpose()?;
    let list = items(&root, "data")?;
    let is_only = list.len() == 1;
    let mut page = Page::default();
    each(&mut page, list, "id", |id, model| {
        let mut facts = facts(model);
        add_listed(&mut facts, &root, id);
        Some((id.to_owned(), facts))
    });
    if let (true, Some(Value::Object(props))) = (is_only, &props) {
        let problems = RefCell::new(Vec::new());
        if let Some(facts) = page.models.values_mut().next() {
            add_props(facts, &Reader::new(props, &problems));
        }
        for message in problems.into_inner() {
            page.note("/props", message);
        }
    }
    Ok(page)
}

fn facts(model: &Reader<'_>) -> Facts {
    let mut facts = Facts::default();
    if let Some(architecture) = model.inside("architecture") {
        facts.input_modalities = architecture.texts("input_modalities").map(set);
        facts.output_modalities = architecture.texts("output_modalities").map(set);
    }
    // It is null while a model is being loaded.
    if let Some(meta) = model.inside("meta") {
        facts.context_window = meta.count("n_ctx");
        facts.context_window_trained = meta.count("n_ctx_train");
        facts.embedding_dimensions = meta.count("n_embd");
        facts.parameter_count = meta.count("n_params");
        facts.quantization = meta.raw("ftype").and_then(Value::as_str).map(str::to_owned);
        meta.keep(&mut facts, &["size"]);
    }
    model.keep(&mut facts, &["aliases"]);
    facts
}

/// Newer servers have a second list, after Ollama's manner, with capabilities.
fn add_listed(facts: &mut Facts, root: &Value, id: &str) {
    let models = root.get("models").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_it = |model: &&Value| {
        ["model", "name"].iter().any(|field| model.get(*field).and_then(Value::as_str) == Some(id))
    };
    let words = models.iter().find(is_it).and_then(|model| model.get("capabilities")?.as_array());
    let words = words.into_iter().flatten().filter_map(Value::as_str);
    facts.capabilities.extend(words.map(generic::capability));
}

fn add_props(facts: &mut Facts, props: &Reader<'_>) {
    let settings = props.inside("default_generation_settings");
    // What each slot has is what a request gets.
    let served = settings.and_then(|settings| settings.count("n_ctx"));
    facts.context_window = served.or(facts.context_window);
    if let Some(modalities) = props.inside("modalities") {
        let takes = facts.input_modalities.get_or_insert_with(|| set(["text"]));
        for (name, kind) in [("vision", "image"), ("audio", "audio")] {
            if modalities.is(name) {
                takes.insert(kind.to_owned());
            }
        }
    }
    if facts.input_modalities.as_ref().is_some_and(|takes| takes.contains("image")) {
        facts.capabilities.insert("vision".to_owned());
    }
    if props.raw("chat_template").is_some() {
        facts.capabilities.insert("chat".to_owned());
    }
    let template = props.inside("chat_template_caps");
    if template.is_some_and(|caps| caps.is("supports_tools") || caps.is("supports_tool_calls")) {
        facts.capabilities.insert("tools".to_owned());
    }
    props.keep(facts, &["model_path"]);
}
