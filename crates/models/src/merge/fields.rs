use crate::{Amount, Facts, Price, names::near};
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What a field holds, as far as reading a value and comparing two depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FieldType {
    Text,
    Words,
    Count,
    Flag,
    Date,
    Weights,
    Prices,
    /// One of `parameters.NAME`.
    Parameter,
    /// One of `extra.NAME`.
    Extra,
}

/// Every field of [`Facts`] that has a value of its own; `parameters` and `extra` have one for each
/// name.
const FIELDS: [(&str, FieldType); 26] = [
    ("canonical", FieldType::Text),
    ("capabilities", FieldType::Words),
    ("context_window", FieldType::Count),
    ("context_window_trained", FieldType::Count),
    ("deprecated", FieldType::Date),
    ("digest", FieldType::Text),
    ("embedding_dimensions", FieldType::Count),
    ("family", FieldType::Text),
    ("file_set", FieldType::Text),
    ("input_modalities", FieldType::Words),
    ("knowledge_cutoff", FieldType::Date),
    ("license", FieldType::Text),
    ("lifecycle", FieldType::Text),
    ("max_input_tokens", FieldType::Count),
    ("max_output_tokens", FieldType::Count),
    ("name", FieldType::Text),
    ("open_weights", FieldType::Flag),
    ("output_modalities", FieldType::Words),
    ("parameter_count", FieldType::Count),
    ("prices", FieldType::Prices),
    ("quantization", FieldType::Text),
    ("released", FieldType::Date),
    ("removed", FieldType::Flag),
    ("retires", FieldType::Date),
    ("updated", FieldType::Date),
    ("weights", FieldType::Weights),
];
/// Fields that hold one value for each name.
pub(crate) const NAMED: [(&str, FieldType); 2] =
    [("parameters", FieldType::Parameter), ("extra", FieldType::Extra)];

/// A text that is no field of a model's card.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field:?} is no field of a model{}", did_you_mean(.near))]
pub struct UnknownField {
    /// The text.
    pub field: String,
    /// Fields that are written nearly so.
    pub near: Vec<String>,
}

pub(crate) fn did_you_mean(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(", ")) }
}

/// Returns what a field holds, `parameters.NAME` and `extra.NAME` among the fields.
pub(crate) fn known(field: &str) -> Option<FieldType> {
    let named = |known: &[(&str, FieldType)], field| {
        known.iter().find(|(known, _)| *known == field).map(|(_, type_)| *type_)
    };
    match field.split_once('.') {
        Some((_, "")) => None,
        Some((prefix, _)) => named(&NAMED, prefix),
        None => named(&FIELDS, field),
    }
}

/// Returns what a field holds, or which fields are written nearly so.
pub(crate) fn type_of(field: &str) -> Result<FieldType, UnknownField> {
    known(field).ok_or_else(|| {
        let known = FIELDS.iter().chain(&NAMED).map(|(name, _)| *name);
        UnknownField { field: field.to_owned(), near: near::closest(field, known) }
    })
}

/// Returns the facts by field, in the order of names. What is not said is not there, and an empty
/// list says nothing.
pub(crate) fn by_field(facts: &Facts) -> BTreeMap<String, Value> {
    let Ok(Value::Object(fields)) = serde_json::to_value(facts) else { return BTreeMap::new() };
    let mut by_field = BTreeMap::new();
    for (field, value) in fields {
        let is_named = NAMED.iter().any(|(known, _)| *known == field);
        match value {
            Value::Object(named) if is_named => {
                by_field.extend(named.into_iter().map(|(name, v)| (format!("{field}.{name}"), v)));
            }
            Value::Array(items) if items.is_empty() => {}
            value => {
                by_field.insert(field, value);
            }
        }
    }
    by_field
}

/// Returns facts that say one field, or why the value cannot be one of it.
pub(crate) fn facts_of(field: &str, value: &Value) -> Result<Facts, serde_json::Error> {
    let (name, value) = match field.split_once('.') {
        Some((outer, inner)) => {
            (outer, Value::Object(Map::from_iter([(inner.to_owned(), value.clone())])))
        }
        None => (field, value.clone()),
    };
    serde_json::from_value(Value::Object(Map::from_iter([(name.to_owned(), value)])))
}

/// Returns whether two values of a field are the same, however they are written.
pub(crate) fn is_same(field: &str, a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => match (decimal(a), decimal(b)) {
            (Some(a), Some(b)) => a == b,
            _ => a.as_f64() == b.as_f64(),
        },
        (Value::Array(_), Value::Array(_)) if field == "prices" => {
            price_rows(a).is_some_and(|a| price_rows(b) == Some(a))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| is_same("", v, other)))
        }
        _ => false,
    }
}

/// Returns whether two values of a field can both be true: a month and a day in it can, and so can
/// two lists of places that have one in common.
pub(crate) fn agrees(field: &str, a: &Value, b: &Value) -> bool {
    match (known(field), a, b) {
        (Some(FieldType::Date), Value::String(a), Value::String(b)) => {
            a.starts_with(b.as_str()) || b.starts_with(a.as_str())
        }
        (Some(FieldType::Weights), Value::Array(a), Value::Array(b)) => {
            let is_in_both = |place: &Value| b.iter().any(|other| other["url"] == place["url"]);
            a.iter().any(is_in_both)
        }
        _ => is_same(field, a, b),
    }
}

pub(crate) fn decimal(number: &serde_json::Number) -> Option<Decimal> {
    let text = number.to_string();
    text.parse().or_else(|_| Decimal::from_scientific(&text)).ok()
}

/// Returns the rows of a price list as texts that are equal where the rows are, whatever their
/// order.
fn price_rows(list: &Value) -> Option<BTreeSet<(String, String)>> {
    let rows: Vec<Price> = serde_json::from_value(list.clone()).ok()?;
    Some(rows.iter().map(|row| (row_name(row), row.amount.to_string())).collect())
}

/// Names what a row of a price list is for: `prompt`, `prompt.above_200000`,
/// `image_input.per_image`. A million tokens is what is meant where nothing else is said.
pub(crate) fn row_name(row: &Price) -> String {
    let mut name = row.what.to_string();
    if row.per != crate::Unit::MillionTokens {
        name.push_str(&format!(".per_{}", row.per));
    }
    if let Some(tokens) = row.above_context {
        name.push_str(&format!(".above_{tokens}"));
    }
    if row.batch {
        name.push_str(".batch");
    }
    if let Some(day) = &row.from {
        name.push_str(&format!(".from_{day}"));
    }
    if let Some(day) = &row.until {
        name.push_str(&format!(".until_{day}"));
    }
    name
}

/// Writes a value as a sentence has it.
pub(crate) struct Spoken<'a>(pub(crate) &'a str, pub(crate) &'a Value);

impl fmt::Display for Spoken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(field, value) = *self;
        let prices =
            if field == "prices" { serde_json::from_value(value.clone()).ok() } else { None };
        let words = match (prices, value) {
            (Some(rows), _) => {
                let rows: Vec<Price> = rows;
                rows.iter().map(spoken_price).collect()
            }
            (None, Value::String(text)) => return f.write_str(text),
            (None, Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
                .collect::<Vec<_>>(),
            (None, other) => return write!(f, "{other}"),
        };
        f.write_str(if words.is_empty() { "nothing" } else { "" })?;
        f.write_str(&words.join(", "))
    }
}

fn spoken_price(row: &Price) -> String {
    let sign = if row.amount == Amount::Dynamic { "" } else { "$" };
    format!("{} {sign}{}", row_name(row), row.amount)
}
