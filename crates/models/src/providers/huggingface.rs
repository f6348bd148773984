//! Hugging Face: the hub knows what a repository holds, the router who serves it, and for how much.

use super::{
    ListError,
    read::{Page, Reader, each, items, json, set},
};
use crate::{Charge, Facts, Price, Unit, Weights};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeMap};

/// What the hub is asked for; counts of downloads and the like would change with every look.
pub(super) const FIELDS: [&str; 12] = [
    "cardData",
    "config",
    "createdAt",
    "disabled",
    "gated",
    "gguf",
    "lastModified",
    "library_name",
    "pipeline_tag",
    "safetensors",
    "sha",
    "tags",
];

/// Reads a list of repositories.
pub(super) fn parse_hub(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let list = root.as_array().ok_or(ListError::NoList { expected: "[" })?;
    let mut page = Page::default();
    let id_field = if list.iter().any(|item| item.get("id").is_some()) { "id" } else { "modelId" };
    each(&mut page, list, id_field, |id, model| Some((id.to_owned(), repository(id, model))));
    Ok(page)
}

/// Reads one repository; returns what is wrong with it too.
pub(super) fn parse_repository(id: &str, body: &[u8]) -> Result<(Facts, Vec<String>), ListError> {
    let root = json(body)?;
    let is_it = |fields: &&serde_json::Map<_, _>| {
        fields.contains_key("id") || fields.contains_key("modelId")
    };
    let fields = root.as_object().filter(is_it).ok_or(ListError::NoList { expected: "id" })?;
    let problems = RefCell::new(Vec::new());
    let facts = repository(id, &Reader::new(fields, &problems));
    Ok((facts, problems.into_inner()))
}

fn repository(id: &str, model: &Reader<'_>) -> Facts {
    let tags = model.texts("tags").unwrap_or_default();
    let digest = model.text("sha");
    let mut facts = Facts {
        digest: digest.clone(),
        released: model.date("createdAt"),
        updated: model.date("lastModified"),
        open_weights: Some(true),
        weights: Some(vec![Weights {
            url: format!("https://huggingface.co/{id}"),
            label: None,
            digest,
        }]),
        quantization: quantization(model, &tags),
        ..Facts::default()
    };
    if model.is("disabled") {
        facts.lifecycle = Some("disabled".to_owned());
    }
    if let Some(gguf) = model.inside("gguf") {
        facts.context_window_trained = gguf.count("context_length");
        facts.parameter_count = gguf.count("total");
        facts.family = gguf.text("architecture");
    }
    if let Some(safetensors) = model.inside("safetensors") {
        facts.parameter_count = facts.parameter_count.or(safetensors.count("total"));
    }
    if let Some(card) = model.inside("cardData") {
        // It is one text, or a list of them where a model has several.
        let license = match card.raw("license") {
            Some(Value::Array(texts)) => texts.first().and_then(Value::as_str),
            other => other.and_then(Value::as_str),
        };
        let own_name = card.raw("license_name").and_then(Value::as_str);
        let license = match license {
            Some("other") => own_name.or(license),
            other => other,
        };
        facts.license = license.map(str::to_owned);
        card.keep(&mut facts, &["base_model", "language"]);
    }
    let license_tag = tags.iter().find_map(|tag| tag.strip_prefix("license:"));
    facts.license = facts.license.or_else(|| license_tag.map(str::to_owned));
    let pipeline = model.text("pipeline_tag");
    add_pipeline(&mut facts, pipeline.as_deref(), &tags);
    model.keep(&mut facts, &["pipeline_tag", "library_name"]);
    if model.raw("gated").is_some_and(|gated| *gated != Value::Bool(false)) {
        model.keep(&mut facts, &["gated"]);
    }
    facts
}

fn quantization(model: &Reader<'_>, tags: &[String]) -> Option<String> {
    let named = model.raw("config").and_then(|config| {
        config.pointer("/quantization_config/quant_method")?.as_str().map(str::to_owned)
    });
    let tagged = || {
        let known = ["awq", "gptq", "fp8", "mxfp4", "nvfp4", "8-bit", "4-bit"];
        known.into_iter().find(|known| tags.iter().any(|tag| tag == known)).map(str::to_owned)
    };
    // Weights of a single type are in that type.
    let stored = || {
        let types = model.raw("safetensors")?.get("parameters")?.as_object()?;
        (types.len() == 1).then(|| types.keys().next().cloned())?
    };
    named.or_else(tagged).or_else(stored)
}

fn add_pipeline(facts: &mut Facts, pipeline: Option<&str>, tags: &[String]) {
    let (takes, gives, capabilities): (&[&str], &str, &[&str]) = match pipeline {
        Some("text-generation") => (&["text"], "text", &["generate"]),
        Some("image-text-to-text") => (&["text", "image"], "text", &["generate", "vision"]),
        Some("audio-text-to-text") => (&["text", "audio"], "text", &["generate"]),
        Some("any-to-any") => (&[], "", &["chat"]),
        Some("feature-extraction" | "sentence-similarity") => (&["text"], "embeddings", &["embed"]),
        Some("text-to-image") => (&["text"], "image", &["image_generation"]),
        Some("text-to-speech") => (&["text"], "audio", &["speech"]),
        Some("text-to-video") => (&["text"], "video", &["video_generation"]),
        Some("automatic-speech-recognition") => (&["audio"], "text", &["transcription"]),
        Some("text-classification" | "zero-shot-classification") => (&["text"], "", &["classify"]),
        _ => (&[], "", &[]),
    };
    facts.input_modalities = (!takes.is_empty()).then(|| set(takes));
    facts.output_modalities = (!gives.is_empty()).then(|| set([gives]));
    facts.capabilities = set(capabilities);
    if tags.iter().any(|tag| tag == "conversational") && facts.capabilities.contains("generate") {
        facts.capabilities.insert("chat".to_owned());
    }
}

/// Reads the router's list. Each model is there by its own id, with what holds whoever serves it,
/// and as `ID:PROVIDER` for each that does, with what holds there.
pub(super) fn parse_router(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    let mut served = BTreeMap::new();
    each(&mut page, items(&root, "data")?, "id", |id, model| {
        let mut base = Facts::default();
        base.capabilities.insert("chat".to_owned());
        if let Some(architecture) = model.inside("architecture") {
            base.input_modalities = architecture.texts("input_modalities").map(set);
            base.output_modalities = architecture.texts("output_modalities").map(set);
        }
        if base.input_modalities.as_ref().is_some_and(|takes| takes.contains("image")) {
            base.capabilities.insert("vision".to_owned());
        }
        let routes = model.objects("providers");
        let live = routes.iter().filter(|route| {
            route.raw("status").and_then(Value::as_str).is_none_or(|status| status == "live")
        });
        let mut live: Vec<_> = live.filter_map(|route| one_route(&base, route)).collect();
        live.sort_by(|a, b| a.0.cmp(&b.0));
        let all = together(base, &live);
        for (provider, facts) in live {
            served.insert(format!("{id}:{provider}"), facts);
        }
        Some((id.to_owned(), all))
    });
    for (id, facts) in served {
        page.add(&id, facts);
    }
    Ok(page)
}

fn one_route(base: &Facts, route: &Reader<'_>) -> Option<(String, Facts)> {
    let provider = route.text("provider")?;
    let mut facts = Facts { context_window: route.count("context_length"), ..base.clone() };
    for (field, word) in
        [("supports_tools", "tools"), ("supports_structured_output", "structured_output")]
    {
        if route.is(field) {
            facts.capabilities.insert(word.to_owned());
        }
    }
    facts.prices = route.inside("pricing").map(|pricing| {
        let row =
            |name, charge| Some(Price::new(charge, Unit::MillionTokens, pricing.amount(name)?));
        let rows = [row("input", Charge::Prompt), row("output", Charge::Completion)];
        rows.into_iter().flatten().collect()
    });
    Some((provider, facts))
}

/// What holds whichever of them answers: the shortest window, what all of them can do, and a price
/// only if they agree. The rest is kept as a list.
fn together(base: Facts, routes: &[(String, Facts)]) -> Facts {
    let mut all = base;
    let Some(((_, first), others)) = routes.split_first() else { return all };
    all.context_window = routes.iter().filter_map(|(_, facts)| facts.context_window).min();
    all.capabilities = others.iter().fold(first.capabilities.clone(), |shared, (_, facts)| {
        shared.intersection(&facts.capabilities).cloned().collect()
    });
    all.prices =
        first.prices.clone().filter(|_| others.iter().all(|(_, f)| f.prices == first.prices));
    let listed = routes.iter().map(|(provider, _)| Value::from(provider.as_str()));
    all.extra.insert("providers".to_owned(), listed.collect());
    all
}

/// Puts what the router says of a model on top of what the hub says of its repository.
pub(super) fn add_served(hub: &mut Facts, served: &Facts) {
    hub.capabilities.extend(served.capabilities.iter().cloned());
    hub.context_window = served.context_window.or(hub.context_window);
    hub.prices = served.prices.clone().or_else(|| hub.prices.take());
    hub.input_modalities = served.input_modalities.clone().or_else(|| hub.input_modalities.take());
    hub.output_modalities =
        served.output_modalities.clone().or_else(|| hub.output_modalities.take());
    hub.extra.extend(served.extra.clone());
}

/// Returns the address of the next page from a `Link` header.
pub(super) fn next_link(header: &str) -> Option<String> {
    header.split(',').find_map(|link| {
        let (address, attributes) = link.split_once(';')?;
        let is_next = attributes
            .split(';')
            .any(|attribute| matches!(attribute.trim(), "rel=\"next\"" | "rel=next"));
        let address = address.trim().strip_prefix('<')?.strip_suffix('>')?;
        is_next.then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_stands_in_a_header() {
        for (header, expected) in [
            (
                "<https://h/api/models?cursor=a>; rel=\"next\"",
                Some("https://h/api/models?cursor=a"),
            ),
            ("<https://h/1>; rel=\"prev\", </2>; rel=next", Some("/2")),
            ("<https://h/1>; rel=\"prev\"", None),
            ("nonsense", None),
        ] {
            assert_eq!(next_link(header).as_deref(), expected, "{header}");
        }
    }
}
