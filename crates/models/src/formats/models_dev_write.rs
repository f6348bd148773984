//! `api.json` as models.dev serves it, of our models.

use super::{
    Exported, Written, decimal, json,
    models_dev::{COSTS, KEPT, QUANTIZATION, SWITCHES},
    omissions::Omissions,
    prices,
};
use crate::{Amount, Facts, Parameter, Price, Unit};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The facts for which it has a place.
const SAID: [&str; 17] = [
    "capabilities",
    "context_window",
    "extra",
    "family",
    "input_modalities",
    "knowledge_cutoff",
    "license",
    "lifecycle",
    "max_input_tokens",
    "max_output_tokens",
    "name",
    "open_weights",
    "output_modalities",
    "prices",
    "released",
    "updated",
    "weights",
];

/// What its schema asks of every model.
const REQUIRED: [&str; 10] = [
    "name",
    "attachment",
    "reasoning",
    "tool_call",
    "release_date",
    "last_updated",
    "modalities",
    "open_weights",
    "limit",
    "id",
];

pub(super) fn write(exported: &Exported) -> Written {
    let mut omissions = Omissions::default();
    let mut providers: Map<String, Value> = Map::new();
    for (key, facts) in &exported.models {
        let model = model(key.as_str(), key.id(), facts, &mut omissions);
        let provider = providers
            .entry(key.provider())
            .or_insert_with(|| json!({"id": key.provider(), "name": key.provider(), "models": {}}));
        provider["models"][key.id()] = Value::Object(model);
    }
    omissions.canonical(&exported.canonical);
    omissions.presets(&exported.presets);
    let (models, omissions) = (exported.models.len(), omissions.into_problems());
    Written { bytes: json::pretty(&Value::Object(providers)), models, omissions }
}

fn model(place: &str, id: &str, facts: &Facts, omissions: &mut Omissions) -> Map<String, Value> {
    let mut model = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        model.extend(value.map(|value| (key.to_owned(), value)));
    };
    put("id", Some(id.into()));
    let text = |text: &Option<String>| text.clone().map(Value::from);
    put("name", text(&facts.name));
    put("family", text(&facts.family));
    put("license", text(&facts.license));
    put("status", text(&facts.lifecycle));
    let date = |date: &Option<crate::PartialDate>| date.as_ref().map(|date| date.as_str().into());
    put("knowledge", date(&facts.knowledge_cutoff));
    put("release_date", date(&facts.released));
    put("last_updated", date(&facts.updated));
    put("open_weights", facts.open_weights.map(Value::from));
    // Whether it takes files is said by the word, or follows from what it takes.
    let takes = facts.input_modalities.as_ref();
    let attachment = if facts.capabilities.contains("attachments") {
        Some(true)
    } else {
        takes.map(|takes| takes.iter().any(|modality| modality != "text"))
    };
    put("attachment", attachment.map(Value::from));
    let is_refused = |name: &str| facts.parameters.get(name) == Some(&Parameter::Unsupported);
    for (key, capability, parameter) in SWITCHES {
        let does = facts.capabilities.contains(capability);
        put(key, (does || is_refused(parameter)).then(|| does.into()));
    }
    let takes_temperature = facts.parameters.get("temperature");
    put("temperature", takes_temperature.map(|_| (!is_refused("temperature")).into()));
    let mut sides = Map::new();
    for (key, words) in [("input", &facts.input_modalities), ("output", &facts.output_modalities)] {
        sides.extend(words.as_ref().map(|words| (key.to_owned(), words.iter().cloned().collect())));
    }
    put("modalities", (!sides.is_empty()).then(|| sides.into()));
    let limits = [
        ("context", facts.context_window),
        ("input", facts.max_input_tokens),
        ("output", facts.max_output_tokens),
    ];
    let limits =
        limits.into_iter().filter_map(|(key, count)| Some((key.to_owned(), count?.into())));
    let limits: Map<String, Value> = limits.collect();
    put("limit", (!limits.is_empty()).then(|| limits.into()));
    put("cost", costs(place, facts.prices.as_deref().unwrap_or_default(), omissions));
    put("weights", weights(place, facts, omissions));
    for (key, value) in facts.extra.iter().filter(|(key, _)| *key != QUANTIZATION) {
        if KEPT.contains(&key.as_str()) {
            put(key, Some(value.clone()));
        } else {
            omissions.note(place, format!("`extra.{key}` has no place in it"));
        }
    }
    for required in REQUIRED.iter().filter(|key| !model.contains_key(**key)) {
        omissions.note(place, format!("`{required}` is expected in it and is not known"));
    }
    let inferred = ["attachments", "chat", "embed", "vision"];
    for word in &facts.capabilities {
        let is_said =
            inferred.contains(&word.as_str()) || SWITCHES.iter().any(|(_, c, _)| c == word);
        if !is_said {
            omissions.note(place, format!("capability `{word}` has no place in it"));
        }
    }
    for (name, parameter) in &facts.parameters {
        let is_said = match parameter {
            Parameter::Unsupported => {
                name == "temperature" || SWITCHES.iter().any(|(_, _, parameter)| parameter == name)
            }
            _ => name == "temperature" && *parameter == Parameter::Opaque,
        };
        if !is_said {
            omissions.note(place, format!("what `{name}` may be set to has no place in it"));
        }
    }
    omissions.unsaid(place, facts, &[SAID.as_slice(), &["parameters"]].concat());
    model
}

fn weights(place: &str, facts: &Facts, omissions: &mut Omissions) -> Option<Value> {
    let quantization = facts.extra.get(QUANTIZATION);
    let all = facts.weights.as_ref()?.iter().map(|one| {
        if one.digest.is_some() {
            omissions.note(place, "the digest of weights has no place in it");
        }
        let mut table = json!({"url": one.url});
        if let Some(label) = &one.label {
            table["label"] = label.as_str().into();
        }
        if let Some(quantization) = quantization.and_then(|all| all.get(&one.url)) {
            table["quantization"] = quantization.clone();
        }
        table
    });
    Some(all.collect())
}

fn costs(place: &str, all: &[Price], omissions: &mut Omissions) -> Option<Value> {
    let mut plain = Map::new();
    let mut tiers: BTreeMap<u64, Map<String, Value>> = BTreeMap::new();
    for price in all {
        let key = COSTS.iter().find(|(_, what)| *what == price.what).map(|(key, _)| *key);
        let is_plain = prices::is_plain(&Price { above_context: None, ..price.clone() });
        let (Some(key), true) = (key, is_plain && price.per == Unit::MillionTokens) else {
            omissions.price(place, price);
            continue;
        };
        let Amount::Usd(amount) = price.amount else {
            omissions.dynamic(place, price);
            continue;
        };
        let (number, is_exact) = decimal::to_number(amount);
        if !is_exact {
            omissions.rounded(place, price);
        }
        let table = match price.above_context {
            Some(above) => tiers.entry(above).or_default(),
            None => &mut plain,
        };
        table.insert(key.to_owned(), number.into());
    }
    if !tiers.is_empty() {
        let tiers = tiers.into_iter().map(|(size, mut tier)| {
            tier.insert("tier".to_owned(), json!({"type": "context", "size": size}));
            Value::Object(tier)
        });
        plain.insert("tiers".to_owned(), tiers.collect());
    }
    (!plain.is_empty()).then(|| plain.into())
}
