//! `OpenRouter`: one list of everything, with prices in dollars for a single token, as texts.

use super::{
    ListError,
    read::{Page, Reader, each, items, json, set},
};
use crate::{Charge, Facts, Parameter, Price, Unit, Weights};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn parse(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    each(&mut page, items(&root, "data")?, "id", |id, model| {
        Some((id.to_owned(), facts(id, model)))
    });
    page.next = root.pointer("/links/next").and_then(Value::as_str).map(str::to_owned);
    Ok(page)
}

fn facts(id: &str, model: &Reader<'_>) -> Facts {
    let supported = model.texts("supported_parameters").unwrap_or_default();
    let defaults = model.inside("default_parameters");
    let architecture = model.inside("architecture");
    let modalities = |name| {
        let words = architecture.as_ref()?.texts(name)?;
        Some(set(words.iter().map(|word| if word == "file" { "pdf" } else { word.as_str() })))
    };
    let top = model.inside("top_provider");
    let hugging_face = model.text("hugging_face_id");

    let mut facts = Facts {
        name: model.text("name"),
        canonical: canonical(id, model.text("alias_target")),
        input_modalities: modalities("input_modalities"),
        output_modalities: modalities("output_modalities"),
        context_window: model
            .count("context_length")
            .or_else(|| top.as_ref()?.count("context_length")),
        max_output_tokens: top.as_ref().and_then(|top| top.count("max_completion_tokens")),
        open_weights: hugging_face.is_some().then_some(true),
        weights: hugging_face.map(|id| {
            vec![Weights { url: format!("https://huggingface.co/{id}"), label: None, digest: None }]
        }),
        knowledge_cutoff: model.date("knowledge_cutoff"),
        released: model.date("created"),
        retires: model.date("expiration_date"),
        prices: model.inside("pricing").map(|pricing| prices(&pricing)),
        ..Facts::default()
    };
    facts.capabilities = capabilities(&supported, &facts);
    for name in supported {
        let default = defaults.as_ref().and_then(|defaults| defaults.raw(&name)).cloned();
        let parameter = match default {
            Some(default) => Parameter::Mutable { min: None, max: None, default: Some(default) },
            None => Parameter::Opaque,
        };
        facts.parameters.insert(name, parameter);
    }
    model.keep(
        &mut facts,
        &["canonical_slug", "description", "per_request_limits", "supported_voices", "reasoning"],
    );
    if let Some(architecture) = architecture {
        architecture.keep(&mut facts, &["tokenizer", "instruct_type"]);
    }
    if let Some(top) = top {
        top.keep(&mut facts, &["is_moderated"]);
    }
    facts
}

/// The id without its variant, such as `:free`: the same model at another price. An alias for
/// whatever is newest (`~vendor/x-latest`) stands for what it says, if it says so.
fn canonical(id: &str, alias_target: Option<String>) -> Option<String> {
    let target = alias_target.unwrap_or_else(|| id.to_owned());
    let base = target.split(':').next().unwrap_or_default();
    (!base.is_empty() && !base.starts_with('~')).then(|| base.to_owned())
}

fn capabilities(supported: &[String], facts: &Facts) -> BTreeSet<String> {
    let gives = |word: &str| facts.output_modalities.as_ref().is_some_and(|all| all.contains(word));
    let takes = |word: &str| facts.input_modalities.as_ref().is_some_and(|all| all.contains(word));
    let has = |word: &str| supported.iter().any(|parameter| parameter == word);
    let told = [
        ("chat", gives("text")),
        ("embed", gives("embeddings")),
        ("vision", takes("image")),
        ("image_generation", gives("image")),
        ("tools", has("tools")),
        ("reasoning", has("reasoning") || has("include_reasoning")),
        ("json", has("response_format")),
        ("structured_output", has("structured_outputs")),
    ];
    told.into_iter().filter(|(_, is)| *is).map(|(word, _)| word.to_owned()).collect()
}

/// Reads a price list whose amounts are for one token, one image, one request.
pub(super) fn prices(pricing: &Reader<'_>) -> Vec<Price> {
    let mut prices = Vec::new();
    for (name, charge) in [
        ("prompt", Charge::Prompt),
        ("completion", Charge::Completion),
        ("input_cache_read", Charge::CacheRead),
        ("input_cache_write", Charge::CacheWrite),
        ("internal_reasoning", Charge::Reasoning),
        ("audio", Charge::AudioInput),
        ("audio_output", Charge::AudioOutput),
        ("image_token", Charge::ImageInput),
    ] {
        if let Some(amount) = pricing.amount_per_unit(name) {
            prices.push(Price::new(charge, Unit::MillionTokens, amount));
        }
    }
    if let Some(price) = image(pricing) {
        prices.push(price);
    }
    for (name, charge, unit) in [
        ("image_output", Charge::ImageOutput, Unit::Image),
        ("request", Charge::Request, Unit::Request),
        ("web_search", Charge::Search, Unit::Request),
    ] {
        if let Some(amount) = pricing.amount(name) {
            prices.push(Price::new(charge, unit, amount));
        }
    }
    prices
}

/// An image in a request is documented as a price for each image. Where it equals that of a token
/// of the prompt, it is a token's: nobody sells both for the same.
fn image(pricing: &Reader<'_>) -> Option<Price> {
    let amount = pricing.amount("image")?;
    let is_token =
        amount.usd().is_some_and(|usd| !usd.is_zero()) && pricing.amount("prompt") == Some(amount);
    Some(if is_token {
        Price::new(Charge::ImageInput, Unit::MillionTokens, pricing.amount_per_unit("image")?)
    } else {
        Price::new(Charge::ImageInput, Unit::Image, amount)
    })
}
