//! The list that OpenRouter answers with, of our models.

use super::{
    Exported, Written, json,
    omissions::Omissions,
    prices::{self, MILLION},
};
use crate::{Amount, Charge, Facts, Parameter, PartialDate, Price, Unit};
use callsheet_types::ModelKey;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Its names of prices, and what they are of; those of tokens are for a single one.
const PRICES: [(&str, Charge, Unit); 12] = [
    ("prompt", Charge::Prompt, Unit::MillionTokens),
    ("completion", Charge::Completion, Unit::MillionTokens),
    ("input_cache_read", Charge::CacheRead, Unit::MillionTokens),
    ("input_cache_write", Charge::CacheWrite, Unit::MillionTokens),
    ("internal_reasoning", Charge::Reasoning, Unit::MillionTokens),
    ("audio", Charge::AudioInput, Unit::MillionTokens),
    ("audio_output", Charge::AudioOutput, Unit::MillionTokens),
    ("image_token", Charge::ImageInput, Unit::MillionTokens),
    ("image", Charge::ImageInput, Unit::Image),
    ("image_output", Charge::ImageOutput, Unit::Image),
    ("request", Charge::Request, Unit::Request),
    ("web_search", Charge::Search, Unit::Request),
];

/// What it has beside, by the table in which it has it.
const KEPT: [&str; 5] =
    ["canonical_slug", "description", "per_request_limits", "supported_voices", "reasoning"];
const KEPT_OF_ARCHITECTURE: [&str; 2] = ["tokenizer", "instruct_type"];
const KEPT_OF_TOP: [&str; 1] = ["is_moderated"];

/// Capabilities that a parameter stands for.
const BY_PARAMETER: [(&str, &str); 4] = [
    ("tools", "tools"),
    ("reasoning", "reasoning"),
    ("json", "response_format"),
    ("structured_output", "structured_outputs"),
];

/// Capabilities that follow from what a model takes or gives.
const BY_MODALITY: [(&str, bool, &str); 4] = [
    ("chat", false, "text"),
    ("embed", false, "embeddings"),
    ("vision", true, "image"),
    ("image_generation", false, "image"),
];

const HUGGING_FACE: &str = "https://huggingface.co/";

/// The facts for which it has a place, or which have been looked at one by one.
const SAID: [&str; 14] = [
    "canonical",
    "capabilities",
    "context_window",
    "extra",
    "input_modalities",
    "knowledge_cutoff",
    "max_output_tokens",
    "name",
    "open_weights",
    "output_modalities",
    "parameters",
    "prices",
    "released",
    "retires",
];

pub(super) fn write(exported: &Exported) -> Written {
    let mut omissions = Omissions::default();
    let mut models = Vec::new();
    for (key, facts) in &exported.models {
        if key.provider() == "openrouter" {
            models.push(model(key, facts, &mut omissions));
        } else {
            // Under the same id it would say what another sells at another price.
            omissions.note(key.as_str(), "other providers' models have no place in it");
        }
    }
    let count = models.len();
    let document = json!({"data": models});
    omissions.canonical(&exported.canonical);
    omissions.presets(&exported.presets);
    let omissions = omissions.into_problems();
    Written { bytes: json::pretty(&document), models: count, omissions }
}

fn model(key: &ModelKey, facts: &Facts, omissions: &mut Omissions) -> Value {
    let place = key.as_str();
    let id = key.id();
    let base = id.split(':').next().unwrap_or_default();
    if facts.canonical.as_deref().is_some_and(|canonical| canonical != base) {
        omissions.note(place, "`canonical` has no place in it where it is not the id");
    }
    let kept = |keys: &[&str]| -> Map<String, Value> {
        let kept =
            keys.iter().filter_map(|key| Some(((*key).to_owned(), facts.extra.get(*key)?.clone())));
        kept.collect()
    };
    let mut model = kept(&KEPT);
    let mut architecture = kept(&KEPT_OF_ARCHITECTURE);
    let mut top = kept(&KEPT_OF_TOP);
    for key in facts.extra.keys() {
        let known = [&KEPT[..], &KEPT_OF_ARCHITECTURE, &KEPT_OF_TOP];
        if !known.iter().any(|keys| keys.contains(&key.as_str())) {
            omissions.note(place, format!("`extra.{key}` has no place in it"));
        }
    }
    for (key, words) in [
        ("input_modalities", &facts.input_modalities),
        ("output_modalities", &facts.output_modalities),
    ] {
        let theirs = |word: &String| if word == "pdf" { "file".to_owned() } else { word.clone() };
        if let Some(words) = words {
            architecture.insert(key.to_owned(), words.iter().map(theirs).collect());
        }
    }
    if let Some(count) = facts.max_output_tokens {
        top.insert("max_completion_tokens".to_owned(), count.into());
    }
    let mut put = |key: &str, value: Option<Value>| {
        model.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("id", Some(id.into()));
    put("name", facts.name.clone().map(Value::from));
    put("context_length", facts.context_window.map(Value::from));
    let date = |date: &Option<PartialDate>| date.as_ref().map(|date| date.as_str().into());
    put("knowledge_cutoff", date(&facts.knowledge_cutoff));
    put("expiration_date", date(&facts.retires));
    put("created", facts.released.as_ref().and_then(seconds).map(Value::from));
    if facts.released.as_ref().is_some_and(|released| seconds(released).is_none()) {
        omissions.note(place, "`released` has no place in it without a day");
    }
    put("hugging_face_id", hugging_face_id(place, facts, omissions));
    put("pricing", Some(pricing(place, facts.prices.as_deref().unwrap_or_default(), omissions)));
    put("architecture", Some(architecture.into()));
    put("top_provider", Some(top.into()));
    let (supported, defaults) = parameters(place, facts, omissions);
    put("supported_parameters", Some(supported.into_iter().collect()));
    put("default_parameters", Some(defaults.into()));
    omissions.unsaid(place, facts, &[SAID.as_slice(), &["weights"]].concat());
    model.into()
}

/// Returns the seconds from 1970 to the beginning of a day.
fn seconds(date: &PartialDate) -> Option<i64> {
    let day: jiff::civil::Date = date.as_str().parse().ok()?;
    let moment = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(moment.timestamp().as_second())
}

fn hugging_face_id(place: &str, facts: &Facts, omissions: &mut Omissions) -> Option<Value> {
    let all = facts.weights.as_deref().unwrap_or_default();
    let id = all.iter().find_map(|weights| weights.url.strip_prefix(HUGGING_FACE));
    let is_all = match all {
        [] => true,
        [one] => id.is_some() && one.label.is_none() && one.digest.is_none(),
        _ => false,
    };
    if !is_all {
        omissions.note(place, "`weights` have no place in it but for one id of Hugging Face");
    }
    if facts.open_weights.is_some_and(|open| open != id.is_some()) {
        omissions.note(place, "`open_weights` has no place in it without an id of Hugging Face");
    }
    id.map(Value::from)
}

fn pricing(place: &str, all: &[Price], omissions: &mut Omissions) -> Value {
    let mut pricing = Map::new();
    for price in all {
        let key = PRICES.iter().find(|(_, what, per)| *what == price.what && *per == price.per);
        let is_plain = prices::is_plain(&Price { per: Unit::MillionTokens, ..price.clone() });
        let (Some((key, ..)), true) = (key, is_plain) else {
            omissions.price(place, price);
            continue;
        };
        let text = match price.amount {
            Amount::Dynamic => "-1".to_owned(),
            Amount::Usd(amount) => {
                let parts = if price.per == Unit::MillionTokens { MILLION } else { Decimal::ONE };
                let each =
                    amount.checked_div(parts).filter(|e| e.checked_mul(parts) == Some(amount));
                let Some(each) = each else {
                    omissions.price(place, price);
                    continue;
                };
                each.normalize().to_string()
            }
        };
        pricing.insert((*key).to_owned(), text.into());
    }
    pricing.into()
}

/// Returns the names of the parameters that a request may set, and what they are where it does not.
fn parameters(
    place: &str,
    facts: &Facts,
    omissions: &mut Omissions,
) -> (BTreeSet<String>, Map<String, Value>) {
    let mut supported = BTreeSet::new();
    let mut defaults = Map::new();
    for (name, parameter) in &facts.parameters {
        let default = match parameter {
            // That a name is not there says it.
            Parameter::Unsupported => continue,
            Parameter::Opaque => None,
            Parameter::Mutable { min, max, default } => {
                if min.is_some() || max.is_some() {
                    omissions.note(place, format!("the bounds of `{name}` have no place in it"));
                }
                default.clone()
            }
            Parameter::ReadOnly { .. } => {
                omissions.note(place, format!("that `{name}` is fixed has no place in it"));
                continue;
            }
        };
        supported.insert(name.clone());
        defaults.extend(default.map(|default| (name.clone(), default)));
    }
    for word in &facts.capabilities {
        let follows = BY_MODALITY.iter().any(|(capability, is_input, modality)| {
            let side = if *is_input { &facts.input_modalities } else { &facts.output_modalities };
            capability == word && side.as_ref().is_some_and(|words| words.contains(*modality))
        });
        match BY_PARAMETER.iter().find(|(capability, _)| capability == word) {
            Some((_, parameter)) => {
                supported.insert((*parameter).to_owned());
            }
            None if follows => {}
            None => omissions.note(place, format!("capability `{word}` has no place in it")),
        }
    }
    (supported, defaults)
}
