//! Anthropic: limits, capabilities and lifecycle; pages go by the last id.

use super::{
    ListError,
    read::{Page, Reader, each, items, json, set},
};
use crate::Facts;
use serde_json::Value;

pub(super) fn parse(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    each(&mut page, items(&root, "data")?, "id", |id, model| Some((id.to_owned(), facts(model))));
    if root.get("has_more") == Some(&Value::Bool(true)) {
        // A list that has more and does not say after what cannot be had as a whole.
        let last = root.get("last_id").and_then(Value::as_str);
        page.next = Some(last.ok_or(ListError::NoList { expected: "last_id" })?.to_owned());
    }
    Ok(page)
}

fn facts(model: &Reader<'_>) -> Facts {
    let max_input_tokens = model.count("max_input_tokens");
    let mut facts = Facts {
        name: model.text("display_name"),
        family: model.raw("line").and_then(Value::as_str).map(str::to_owned),
        // The window is at least as long as the longest prompt, and no other number is given.
        context_window: max_input_tokens,
        max_input_tokens,
        max_output_tokens: model.count("max_tokens"),
        released: model.date("created_at"),
        deprecated: model.date("deprecated_at"),
        retires: model.date("retires_at"),
        lifecycle: model.text("lifecycle"),
        ..Facts::default()
    };
    facts.capabilities.insert("chat".to_owned());
    let Some(capabilities) = model.inside("capabilities") else { return facts };
    let mut takes = set(["text"]);
    for name in capabilities.fields().keys() {
        let Some(capability) = capabilities.inside(name) else { continue };
        if !capability.is("supported") {
            continue;
        }
        let word = match name.as_str() {
            "image_input" => {
                takes.insert("image".to_owned());
                "vision"
            }
            "pdf_input" => {
                takes.insert("pdf".to_owned());
                continue;
            }
            "thinking" => "reasoning",
            "structured_outputs" => "structured_output",
            other => other,
        };
        facts.capabilities.insert(word.to_owned());
        let levels = levels(&capability);
        if !levels.is_empty() {
            facts.extra.insert(name.clone(), levels.into());
        }
    }
    facts.input_modalities = Some(takes);
    facts.output_modalities = Some(set(["text"]));
    facts
}

/// Returns the degrees or types of a capability that are supported.
fn levels(capability: &Reader<'_>) -> Vec<String> {
    let types = capability.inside("types");
    let fields = types.as_ref().unwrap_or(capability).fields();
    let supported = fields
        .iter()
        .filter(|(_, value)| value.get("supported").and_then(Value::as_bool) == Some(true));
    supported.map(|(name, _)| name.clone()).collect()
}
