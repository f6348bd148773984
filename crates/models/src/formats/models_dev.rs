//! models.dev: folders of TOML, or the `api.json` that is made of them.

use super::{
    Catalog, Format, FormatError,
    fields::Fields,
    json::{self, Document},
    prices,
};
use crate::{Charge, Facts, Parameter, Price, Unit, Weights};
use callsheet_types::{ModelKey, Problem};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What `provider.toml` says: of the provider, not of its models, so none of it is kept.
const PROVIDER_KEYS: [&str; 7] = ["id", "name", "env", "npm", "doc", "api", "models"];

/// What has no field of its own.
pub(super) const KEPT: [&str; 6] =
    ["reasoning_options", "interleaved", "provider", "experimental", "benchmarks", "links"];

/// How weights are quantized, by their address, where what has no field is kept.
pub(super) const QUANTIZATION: &str = "weights_quantization";

/// The prices of tokens, by key.
pub(super) const COSTS: [(&str, Charge); 7] = [
    ("input", Charge::Prompt),
    ("output", Charge::Completion),
    ("reasoning", Charge::Reasoning),
    ("cache_read", Charge::CacheRead),
    ("cache_write", Charge::CacheWrite),
    ("input_audio", Charge::AudioInput),
    ("output_audio", Charge::AudioOutput),
];

/// The switches that a request's parameter stands for: key, capability, parameter.
pub(super) const SWITCHES: [(&str, &str, &str); 3] = [
    ("tool_call", "tools", "tools"),
    ("reasoning", "reasoning", "reasoning"),
    ("structured_output", "structured_output", "structured_outputs"),
];

/// Where the files of one archive are.
struct Folders<'a> {
    /// Neutral files by canonical id.
    neutral: BTreeMap<String, (&'a str, &'a [u8])>,
    /// Model files by provider and id.
    models: Vec<(String, String, &'a str, &'a [u8])>,
    /// Each provider's own file.
    providers: BTreeMap<String, (&'a str, &'a [u8])>,
    /// TOML that is none of these.
    strange: Vec<&'a str>,
}

pub(super) fn read<B: AsRef<[u8]>>(files: &BTreeMap<String, B>) -> Result<Catalog, FormatError> {
    let folders = folders(files);
    if folders.providers.is_empty() && folders.models.is_empty() && folders.neutral.is_empty() {
        return read_api(json::only(Format::ModelsDev, files)?);
    }
    let mut catalog = Catalog::default();
    let problems = &mut catalog.problems;

    let mut neutral: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (id, (path, bytes)) in &folders.neutral {
        let Some(table) = table(path, bytes, problems) else { continue };
        let facts = facts(table.clone(), path, problems);
        neutral.insert(id, table);
        catalog.canonical.push((id.clone(), facts));
    }
    for (path, bytes) in folders.providers.values() {
        if let Some(table) = table(path, bytes, problems) {
            let mut fields = Fields::new(table, *path, problems);
            fields.ignore(&PROVIDER_KEYS);
            fields.finish();
        }
    }
    let mut nameless = BTreeSet::new();
    for (provider, id, path, bytes) in &folders.models {
        if !folders.providers.contains_key(provider) && nameless.insert(provider) {
            let message = "the provider has no `provider.toml`".to_owned();
            problems.push(Problem { place: (*path).to_owned(), message });
        }
        let Some(own) = table(path, bytes, problems) else { continue };
        let (facts, canonical) = inherit(own, path, &neutral, problems);
        let canonical = canonical.or_else(|| {
            let own = format!("{provider}/{id}");
            neutral.contains_key(own.as_str()).then_some(own)
        });
        let facts = Facts { canonical, ..facts };
        put(&mut catalog.models, provider, id, facts, path, problems);
    }
    for path in folders.strange {
        let message = "is neither a provider nor a model".to_owned();
        problems.push(Problem { place: path.to_owned(), message });
    }
    Ok(catalog)
}

/// Sorts the files. A folder above `providers` and `models` may be missing, as in an archive.
fn folders<B: AsRef<[u8]>>(files: &BTreeMap<String, B>) -> Folders<'_> {
    let is_toml = |path: &str| path.strip_suffix(".toml").is_some_and(|name| !name.is_empty());
    let top = |folder: &str| {
        let inside = format!("/{folder}/");
        let tops = files.keys().filter(|path| is_toml(path)).filter_map(|path| {
            if path.starts_with(&inside[1..]) {
                Some("")
            } else {
                Some(&path[..=path.find(&inside)?])
            }
        });
        tops.min_by_key(|top| top.len())
    };
    let top = top("providers").or_else(|| top("models")).unwrap_or_default();
    let mut folders = Folders {
        neutral: BTreeMap::new(),
        models: Vec::new(),
        providers: BTreeMap::new(),
        strange: Vec::new(),
    };
    for (path, bytes) in files {
        let (path, bytes) = (path.as_str(), bytes.as_ref());
        let Some(inside) = path.strip_prefix(top).and_then(|inside| inside.strip_suffix(".toml"))
        else {
            continue;
        };
        let provider = inside.strip_prefix("providers/").and_then(|rest| rest.split_once('/'));
        match (inside.strip_prefix("models/"), provider) {
            (Some(id), _) => {
                folders.neutral.insert(id.to_owned(), (path, bytes));
            }
            (None, Some((provider, "provider"))) => {
                folders.providers.insert(provider.to_owned(), (path, bytes));
            }
            (None, Some((provider, rest))) if rest.starts_with("models/") => {
                let id = rest["models/".len()..].to_owned();
                folders.models.push((provider.to_owned(), id, path, bytes));
            }
            _ => folders.strange.push(path),
        }
    }
    folders
}

/// Reads one TOML file; one that is none is a problem.
fn table(path: &str, bytes: &[u8], problems: &mut Vec<Problem>) -> Option<Map<String, Value>> {
    let mut problem = |message: String| {
        problems.push(Problem { place: path.to_owned(), message });
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        problem("is not UTF-8".to_owned());
        return None;
    };
    match toml::from_str::<toml::Table>(text) {
        Ok(table) => Some(table.into_iter().map(|(key, value)| (key, of_toml(value))).collect()),
        Err(error) => {
            problem(format!("is no TOML: {}", error.message()));
            None
        }
    }
}

fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) if number.is_finite() => number.into(),
        // JSON has no such numbers; as a text they are told, and not passed over.
        toml::Value::Float(number) => Value::String(number.to_string()),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(date) => Value::String(date.to_string()),
        toml::Value::Array(list) => list.into_iter().map(of_toml).collect(),
        toml::Value::Table(table) => {
            table.into_iter().map(|(key, value)| (key, of_toml(value))).collect()
        }
    }
}

/// Reads a model that may build on a neutral file; returns that file's id too.
fn inherit(
    mut own: Map<String, Value>,
    path: &str,
    neutral: &BTreeMap<&str, Map<String, Value>>,
    problems: &mut Vec<Problem>,
) -> (Facts, Option<String>) {
    if !own.contains_key("base_model") && !own.contains_key("base_model_omit") {
        return (facts(own, path, problems), None);
    }
    let mut fields = Fields::new(own, path, problems);
    let base = fields.text("base_model");
    let omitted = fields.words("base_model_omit").unwrap_or_default();
    let found = base.as_deref().and_then(|base| neutral.get(base));
    if found.is_none() {
        fields.problem("`base_model` is no file of `models/`: the model stands without it");
    }
    own = fields.into_left();
    let Some(found) = found else {
        return (facts(own, path, problems), None);
    };
    // The neutral file's own problems are told there, once.
    facts(own.clone(), path, problems);
    let mut merged = found.clone();
    deep_merge(&mut merged, own);
    for dotted in &omitted {
        remove(&mut merged, dotted);
    }
    (facts(merged, path, &mut Vec::new()), base)
}

/// Puts a table over another: tables go into each other, all else replaces.
fn deep_merge(under: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => deep_merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Removes a key inside tables, written with dots; that it is not there is no problem.
fn remove(table: &mut Map<String, Value>, dotted: &str) {
    let Some((first, rest)) = dotted.split_once('.') else {
        table.remove(dotted);
        return;
    };
    if let Some(Value::Object(inner)) = table.get_mut(first) {
        remove(inner, rest);
    }
}

/// Reads what a model's table says.
fn facts(table: Map<String, Value>, path: &str, problems: &mut Vec<Problem>) -> Facts {
    let mut fields = Fields::new(table, path, problems);
    let mut facts = Facts {
        name: fields.text("name"),
        family: fields.text("family"),
        license: fields.text("license"),
        open_weights: fields.flag("open_weights"),
        knowledge_cutoff: fields.date("knowledge"),
        released: fields.date("release_date"),
        updated: fields.date("last_updated"),
        lifecycle: fields.text("status"),
        ..Facts::default()
    };
    if fields.flag("attachment") == Some(true) {
        facts.capabilities.insert("attachments".to_owned());
    }
    let mut converses = false;
    for (key, capability, parameter) in SWITCHES {
        match fields.flag(key) {
            Some(true) => {
                facts.capabilities.insert(capability.to_owned());
                converses = true;
            }
            Some(false) => {
                facts.parameters.insert(parameter.to_owned(), Parameter::Unsupported);
            }
            None => {}
        }
    }
    if let Some(takes) = fields.flag("temperature") {
        let parameter = if takes { Parameter::Opaque } else { Parameter::Unsupported };
        facts.parameters.insert("temperature".to_owned(), parameter);
        converses |= takes;
    }
    if let Some(mut modalities) = fields.nested("modalities") {
        facts.input_modalities = modalities.words("input");
        facts.output_modalities = modalities.words("output");
        modalities.finish();
    }
    if let Some(mut limit) = fields.nested("limit") {
        facts.context_window = limit.count("context");
        facts.max_input_tokens = limit.count("input");
        facts.max_output_tokens = limit.count("output");
        limit.finish();
    }
    if let Some(cost) = fields.nested("cost") {
        facts.prices = Some(costs(cost)).filter(|prices| !prices.is_empty());
    }
    if let Some(list) = fields.list("weights") {
        facts.weights = Some(weights(list, &mut fields, &mut facts.extra));
    }
    fields.keep(&KEPT, &mut facts.extra);
    fields.finish();

    let has = |modalities: &Option<BTreeSet<String>>, word| {
        modalities.as_ref().is_some_and(|words| words.contains(word))
    };
    let is_embedding = facts.family.as_deref().is_some_and(|family| family.contains("embed"));
    if is_embedding {
        facts.capabilities.insert("embed".to_owned());
    } else if converses && has(&facts.output_modalities, "text") {
        // Whatever calls tools, thinks or takes a temperature, and answers with text.
        facts.capabilities.insert("chat".to_owned());
    }
    if has(&facts.input_modalities, "image") {
        facts.capabilities.insert("vision".to_owned());
    }
    facts
}

fn weights(
    list: Vec<Value>,
    fields: &mut Fields<'_>,
    extra: &mut Map<String, Value>,
) -> Vec<Weights> {
    let mut all = Vec::new();
    let mut quantized = Map::new();
    for value in list {
        let Value::Object(table) = value else {
            fields.problem("`weights[]` is no table");
            continue;
        };
        let mut one = fields.inside(table, "weights");
        if let Some(url) = one.text("url") {
            if let Some(quantization) = one.text("quantization") {
                quantized.insert(url.clone(), quantization.into());
            }
            all.push(Weights { url, label: one.text("label"), digest: None });
        } else {
            one.problem("`url` is missing");
        }
        one.finish();
    }
    if !quantized.is_empty() {
        extra.insert(QUANTIZATION.to_owned(), quantized.into());
    }
    all
}

/// Reads a table of prices, its tiers among them. Without a key nothing is known; 0 is free.
fn costs(mut cost: Fields<'_>) -> Vec<Price> {
    let mut all = Vec::new();
    rows(&mut cost, None, &mut all);
    for value in cost.list("tiers").unwrap_or_default() {
        let Value::Object(table) = value else {
            cost.problem("`tiers[]` is no table");
            continue;
        };
        let mut tier = cost.inside(table, "tiers");
        let above = tier.nested("tier").and_then(|mut bound| {
            let kind = bound.text("type");
            let size = bound.count("size");
            let is_context = kind.is_none_or(|kind| kind == "context");
            if !is_context {
                bound.problem("`type` is not `context`: the tier is left out");
            }
            bound.finish();
            size.filter(|_| is_context)
        });
        if above.is_some() {
            rows(&mut tier, above, &mut all);
            tier.finish();
        } else {
            tier.problem("has no size of context: the tier is left out");
        }
    }
    if let Some(mut long) = cost.nested("context_over_200k") {
        rows(&mut long, Some(200_000), &mut all);
        long.finish();
    }
    cost.finish();
    all
}

fn rows(fields: &mut Fields<'_>, above_context: Option<u64>, all: &mut Vec<Price>) {
    for (key, what) in COSTS {
        let Some(amount) = fields.amount(key, Decimal::ONE) else { continue };
        let price = Price { above_context, ..Price::new(what, Unit::MillionTokens, amount) };
        if prices::add(all, price) {
            fields.problem(format!("`{key}` has two prices for one size of context"));
        }
    }
}

/// Reads `api.json`: providers by id, models inside them.
fn read_api(document: Document) -> Result<Catalog, FormatError> {
    let foreign = |message: &str| FormatError::Foreign {
        format: Format::ModelsDev,
        file: document.file.clone(),
        message: message.to_owned(),
    };
    let Value::Object(providers) = document.value else {
        return Err(foreign("expected providers by their ids"));
    };
    let is_provider = |value: &Value| value.get("models").is_some_and(Value::is_object);
    if !providers.is_empty() && !providers.values().any(is_provider) {
        return Err(foreign("no provider in it has `models`"));
    }
    let mut catalog = Catalog::default();
    let problems = &mut catalog.problems;
    for (provider, value) in providers {
        let place = format!("{} {provider}", document.file);
        let Value::Object(table) = value else {
            let message = "the provider is no table".to_owned();
            problems.push(Problem { place, message });
            continue;
        };
        let mut fields = Fields::new(table, &place, problems);
        let models = fields.table("models").unwrap_or_default();
        fields.ignore(&PROVIDER_KEYS);
        fields.finish();
        for (id, value) in models {
            let place = format!("{place}/{id}");
            let Value::Object(mut table) = value else {
                let message = "the model is no table".to_owned();
                problems.push(Problem { place, message });
                continue;
            };
            let said = table.remove("id");
            if said.is_some_and(|said| said != Value::String(id.clone())) {
                let message = "`id` is not the key under which it stands; the key counts";
                problems.push(Problem { place: place.clone(), message: message.to_owned() });
            }
            let facts = facts(table, &place, problems);
            put(&mut catalog.models, &provider, &id, facts, &place, problems);
        }
    }
    Ok(catalog)
}

fn put(
    models: &mut Vec<(ModelKey, Facts)>,
    provider: &str,
    id: &str,
    facts: Facts,
    place: &str,
    problems: &mut Vec<Problem>,
) {
    match ModelKey::new(provider, id) {
        Ok(key) => models.push((key, facts)),
        Err(_) => problems.push(Problem {
            place: place.to_owned(),
            message: "provider and id make no key: the model is left out".to_owned(),
        }),
    }
}
