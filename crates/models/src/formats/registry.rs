//! The registry file of ratatoskr: models, and presets by tier and slot.

use super::{
    Catalog, Exported, Format, FormatError, Written, decimal, fields::Fields, json::Document,
    layout, omissions::Omissions, prices,
};
use crate::{Amount, Charge, Facts, Parameter, Price, Unit};
use callsheet_types::{ModelKey, Preset, Problem};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

/// The newest version that is known.
pub(crate) const VERSION: u64 = 1;

/// Its words for what a model can do, and ours.
const CAPABILITIES: [(&str, &str); 10] = [
    ("Chat", "chat"),
    ("ChatStreaming", "streaming"),
    ("Generate", "generate"),
    ("ToolUse", "tools"),
    ("Embed", "embed"),
    ("Nli", "nli"),
    ("Classify", "classify"),
    ("Stance", "stance"),
    ("TokenCounting", "token_counting"),
    ("LocalInference", "local_inference"),
];

/// The two prices that it knows.
const PRICES: [(&str, Charge); 2] =
    [("prompt_cost_per_mtok", Charge::Prompt), ("completion_cost_per_mtok", Charge::Completion)];

/// The facts for which it has a place.
const SAID: [&str; 6] = [
    "capabilities",
    "context_window",
    "embedding_dimensions",
    "max_output_tokens",
    "parameters",
    "prices",
];

/// Returns our word for one of its capabilities; one that nobody knows is kept.
fn capability(word: &str) -> String {
    let known = CAPABILITIES.iter().find(|(theirs, _)| *theirs == word);
    known.map_or(word, |(_, ours)| ours).to_owned()
}

/// Returns its word for a capability. A word of ours that it does not have would make the whole
/// file unreadable for older readers, so there is none for it; a word that came from such a file,
/// which begins with a capital letter, goes back as it is.
fn word(capability: &str) -> Option<&str> {
    let known = CAPABILITIES.iter().find(|(_, ours)| *ours == capability);
    let is_theirs = capability.starts_with(|c: char| c.is_ascii_uppercase());
    known.map(|(theirs, _)| *theirs).or(is_theirs.then_some(capability))
}

/// Returns the list of models in a document, after its version was looked at.
pub(crate) fn models_of<'a>(file: &str, value: &'a Value) -> Result<&'a Vec<Value>, FormatError> {
    let foreign = |message: &str| FormatError::Foreign {
        format: Format::Registry,
        file: file.to_owned(),
        message: message.to_owned(),
    };
    match value {
        Value::Array(models) => Ok(models),
        Value::Object(table) => {
            match table.get("version") {
                Some(version) if version.as_u64().is_none_or(|version| version > VERSION) => {
                    return Err(FormatError::Version {
                        file: file.to_owned(),
                        version: version.to_string(),
                        known: VERSION,
                    });
                }
                _ => {}
            }
            let models = table.get("models").and_then(Value::as_array);
            models.ok_or_else(|| foreign("expected a list `models`"))
        }
        _ => Err(foreign("expected an object with `models`, or a list of models")),
    }
}

pub(super) fn read(document: Document) -> Result<Catalog, FormatError> {
    let Document { file, value } = document;
    models_of(&file, &value)?;
    let mut catalog = Catalog::default();
    let problems = &mut catalog.problems;
    let models = match value {
        Value::Object(table) => {
            let mut fields = Fields::new(table, &file, problems);
            fields.ignore(&["version"]);
            let models = fields.list("models").unwrap_or_default();
            let tiers = fields.table("presets").unwrap_or_default();
            fields.finish();
            for (tier, slots) in tiers {
                catalog.presets.extend(presets(&tier, slots, &file, problems));
            }
            models
        }
        Value::Array(models) => models,
        _ => Vec::new(),
    };
    for (index, value) in models.into_iter().enumerate() {
        let place = format!("{file} models[{index}]");
        catalog.models.extend(model(value, &file, &place, problems));
    }
    Ok(catalog)
}

fn presets(
    tier: &str,
    slots: Value,
    file: &str,
    problems: &mut Vec<Problem>,
) -> Vec<(String, Preset)> {
    let place = format!("{file} presets {tier}");
    let Value::Object(slots) = slots else {
        note(problems, &place, "the tier is no table of slots");
        return Vec::new();
    };
    let mut all = Vec::new();
    for (slot, value) in slots {
        let place = format!("{place}/{slot}");
        if tier.contains('/') || slot.contains('/') {
            let message = "a tier or slot with `/` cannot be named: the preset is left out";
            note(problems, &place, message);
            continue;
        }
        let preset = preset(value, &place, problems);
        all.extend(preset.map(|preset| (format!("{tier}/{slot}"), preset)));
    }
    all
}

fn preset(value: Value, place: &str, problems: &mut Vec<Problem>) -> Option<Preset> {
    let table = match value {
        Value::String(model) => return Some(Preset { model, parameters: Map::new() }),
        Value::Object(table) => table,
        _ => {
            note(problems, place, "the preset is neither a model's name nor a table");
            return None;
        }
    };
    let mut fields = Fields::new(table, place, problems);
    let model = fields.text("model");
    let parameters = fields.table("parameters").unwrap_or_default();
    if model.is_none() {
        fields.problem("`model` is missing: the preset is left out");
    }
    fields.finish();
    model.map(|model| Preset { model, parameters })
}

fn note(problems: &mut Vec<Problem>, place: &str, message: &str) {
    problems.push(Problem { place: place.to_owned(), message: message.to_owned() });
}

fn model(
    value: Value,
    file: &str,
    place: &str,
    problems: &mut Vec<Problem>,
) -> Option<(ModelKey, Facts)> {
    let Value::Object(table) = value else {
        note(problems, place, "the model is no table");
        return None;
    };
    let named = |key: &str| table.get("info")?.get(key)?.as_str().map(str::to_owned);
    let key = named("provider").zip(named("id"));
    let key = key.and_then(|(provider, id)| ModelKey::new(&provider, &id).ok());
    let place = key.as_ref().map_or_else(|| place.to_owned(), |key| format!("{file} {key}"));
    let mut fields = Fields::new(table, place, problems);
    let Some(key) = key else {
        fields.problem("`info` has no `provider` and `id` that make a key: the model is left out");
        return None;
    };
    let mut facts = Facts::default();
    if let Some(mut info) = fields.nested("info") {
        info.ignore(&["id", "provider"]);
        let words = info.words("capabilities").unwrap_or_default();
        facts.capabilities = words.iter().map(|word| capability(word)).collect();
        facts.context_window = info.count("context_window");
        facts.embedding_dimensions = info.count("dimensions");
        info.finish();
    }
    facts.max_output_tokens = fields.count("max_output_tokens");
    if let Some(mut pricing) = fields.nested("pricing") {
        let mut rows = Vec::new();
        for (key, what) in PRICES {
            let amount = pricing.amount(key, Decimal::ONE);
            rows.extend(amount.map(|amount| Price::new(what, Unit::MillionTokens, amount)));
        }
        pricing.finish();
        facts.prices = Some(rows).filter(|rows| !rows.is_empty());
    }
    if let Some(mut parameters) = fields.nested("parameters") {
        for name in parameters.left() {
            let Some(one) = parameters.nested(&name) else { continue };
            facts.parameters.extend(parameter(one).map(|parameter| (name, parameter)));
        }
    }
    fields.finish();
    Some((key, facts))
}

fn parameter(mut fields: Fields<'_>) -> Option<Parameter> {
    let availability = fields.text("availability");
    let parameter = match availability.as_deref() {
        Some("mutable") => {
            let (mut min, mut max, mut default) = (None, None, None);
            if let Some(mut range) = fields.nested("range") {
                let mut number = |key| {
                    let value = range.take(key)?;
                    if !value.is_number() {
                        range.problem(format!("`{key}` is no number"));
                    }
                    value.as_number().cloned()
                };
                (min, max) = (number("min"), number("max"));
                default = range.take("default");
                range.finish();
            }
            Some(Parameter::Mutable { min, max, default })
        }
        Some("read_only") => {
            Some(Parameter::ReadOnly { value: fields.take("value").unwrap_or_default() })
        }
        Some("opaque") => Some(Parameter::Opaque),
        Some("unsupported") => Some(Parameter::Unsupported),
        _ => {
            fields.problem("`availability` is none that is known: the parameter is left out");
            return None;
        }
    };
    fields.finish();
    parameter
}

fn parameter_value(parameter: &Parameter) -> Value {
    match parameter {
        Parameter::Mutable { min, max, default } => {
            let mut range = Map::new();
            let numbers = [("min", min), ("max", max)];
            for (key, number) in numbers {
                range.extend(number.clone().map(|number| (key.to_owned(), number.into())));
            }
            range.extend(default.clone().map(|default| ("default".to_owned(), default)));
            json!({"availability": "mutable", "range": range})
        }
        Parameter::ReadOnly { value } => json!({"availability": "read_only", "value": value}),
        Parameter::Opaque => json!({"availability": "opaque"}),
        Parameter::Unsupported => json!({"availability": "unsupported"}),
    }
}

/// Puts facts over an entry: what they say replaces, each parameter by itself and the two prices
/// together; capabilities are added; what they do not say stays. Returns what could not be put in.
pub(crate) fn merge(entry: &mut Map<String, Value>, facts: &Facts) -> Vec<String> {
    let mut left = Vec::new();
    let put = |table: &mut Map<String, Value>, key: &str, value: Option<u64>| {
        let Some(value) = value else { return };
        if table.get(key).and_then(super::fields::whole) != Some(value) {
            table.insert(key.to_owned(), value.into());
        }
    };
    put(entry, "max_output_tokens", facts.max_output_tokens);
    if let Some(info) = table_of(entry, "info", &mut left) {
        put(info, "context_window", facts.context_window);
        put(info, "dimensions", facts.embedding_dimensions);
        let had = info.entry("capabilities").or_insert(Value::Null);
        if had.is_null() {
            *had = json!([]);
        }
        if let Value::Array(had) = had {
            for word in facts.capabilities.iter().filter_map(|word| self::word(word)) {
                if !had.iter().any(|known| known == word) {
                    had.push(word.into());
                }
            }
        } else {
            left.push("`capabilities` is no list: it is left as it is".to_owned());
        }
    }
    if !facts.parameters.is_empty()
        && let Some(parameters) = table_of(entry, "parameters", &mut left)
    {
        for (name, parameter) in &facts.parameters {
            let value = parameter_value(parameter);
            let had = parameters.get(name);
            // That it is there says less than what it may be set to, and erases nothing of it.
            let says_less = *parameter == Parameter::Opaque
                && had.is_some_and(|had| {
                    matches!(had["availability"].as_str(), Some("mutable" | "read_only"))
                });
            if !says_less && !had.is_some_and(|had| is_same(had, &value)) {
                parameters.insert(name.clone(), value);
            }
        }
    }
    merge_prices(entry, facts, &mut left);
    left
}

fn merge_prices(entry: &mut Map<String, Value>, facts: &Facts, left: &mut Vec<String>) {
    let rows = facts.prices.as_deref().unwrap_or_default();
    let amounts = PRICES.map(|(key, what)| (key, prices::plain(rows, &what)));
    if amounts.iter().any(|(_, amount)| *amount == Some(Amount::Dynamic)) {
        left.push("the price is dynamic: `pricing` is left as it is".to_owned());
        return;
    }
    if amounts.iter().all(|(_, amount)| amount.is_none()) {
        return;
    }
    let Some(pricing) = table_of(entry, "pricing", left) else { return };
    for (key, amount) in amounts {
        let value = match amount.and_then(Amount::usd) {
            // Its readers and writers have floats there: 1 is written 1.0.
            Some(amount) => {
                let number = decimal::to_number(amount).0;
                number.as_f64().map_or(Value::Null, Value::from)
            }
            None => Value::Null,
        };
        if !pricing.get(key).is_some_and(|had| is_same(had, &value)) {
            pricing.insert(key.to_owned(), value);
        }
    }
}

/// Returns the table under a key, made where there is none; something else is left alone.
fn table_of<'a>(
    entry: &'a mut Map<String, Value>,
    key: &str,
    left: &mut Vec<String>,
) -> Option<&'a mut Map<String, Value>> {
    let value = entry.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    let table = value.as_object_mut();
    if table.is_none() {
        left.push(format!("`{key}` is no table: it is left as it is"));
    }
    table
}

/// Returns whether two values say the same: 1 and 1.0 do.
pub(crate) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a.to_bits() == b.to_bits())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            // What is null is as good as absent.
            let said = |table: &Map<String, Value>| table.values().filter(|v| !v.is_null()).count();
            said(a) == said(b)
                && a.iter().all(|(key, a)| a.is_null() || b.get(key).is_some_and(|b| is_same(a, b)))
        }
        _ => a == b,
    }
}

/// Returns a new entry that says nothing yet.
pub(crate) fn blank(provider: &str, id: &str) -> Map<String, Value> {
    let info = json!({"id": id, "provider": provider, "capabilities": [],
        "context_window": null, "dimensions": null});
    Map::from_iter([("info".to_owned(), info), ("parameters".to_owned(), json!({}))])
}

pub(super) fn write(exported: &Exported) -> Written {
    let mut omissions = Omissions::default();
    let mut models = Vec::new();
    for (key, facts) in &exported.models {
        let place = key.as_str();
        let mut entry = blank(key.provider(), key.id());
        for message in merge(&mut entry, facts) {
            omissions.note(place, message);
        }
        models.push(Value::Object(entry));
        omissions.unsaid(place, facts, &SAID);
        for unknown in facts.capabilities.iter().filter(|capability| word(capability).is_none()) {
            omissions.note(place, format!("capability `{unknown}` has no place in it"));
        }
        for price in facts.prices.iter().flatten() {
            let is_known = prices::is_plain(price) && PRICES.iter().any(|(_, w)| *w == price.what);
            match price.amount {
                _ if !is_known => omissions.price(place, price),
                Amount::Usd(amount) if !decimal::to_number(amount).1 => {
                    omissions.rounded(place, price);
                }
                _ => {}
            }
        }
    }
    omissions.canonical(&exported.canonical);
    let mut tiers: Map<String, Value> = Map::new();
    for (name, preset) in &exported.presets {
        let Some((tier, slot)) = name.split_once('/') else {
            omissions.note(name, "a preset without a tier has no place in it");
            continue;
        };
        let entry = if preset.parameters.is_empty() {
            json!(preset.model)
        } else {
            json!({"model": preset.model, "parameters": preset.parameters})
        };
        if let Value::Object(slots) = tiers.entry(tier).or_insert_with(|| json!({})) {
            slots.insert(slot.to_owned(), entry);
        }
    }
    let document = json!({"version": VERSION, "models": models, "presets": tiers});
    let (models, omissions) = (exported.models.len(), omissions.into_problems());
    Written { bytes: layout::registry(&document), models, omissions }
}
