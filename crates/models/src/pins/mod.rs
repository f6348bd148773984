//! What people say against all sources.
//!
//! The pins of one model are the body of its entry of the source `pin/user`. [`set`] and [`unset`]
//! are pure: they make the next sheet of the one before, which the caller publishes.

mod value;

use crate::merge::{
    UnknownField,
    fields::{self, did_you_mean, facts_of},
    merge_all, voices,
};
use callsheet_store::Stored;
use callsheet_types::{Layer, plan::Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The pins of one model: the body of an entry of the source `pin/user`.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct PinSheet {
    /// The pins, by field: `context_window`, `parameters.temperature`, …
    pub pins: BTreeMap<String, Pin>,
}

/// A value that goes before what any source says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Pin {
    /// The value, as the field has it in JSON.
    pub value: Value,
    /// Who set it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What the card said without pins at that moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hides: Option<Value>,
}

/// A field that cannot be pinned so, or is not pinned.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FieldError {
    /// It does not say what is to become of which field.
    #[error("{0:?} sets nothing: expected FIELD=VALUE, such as context_window=128k")]
    NoAssignment(String),
    /// There is no such field.
    #[error(transparent)]
    Unknown(#[from] UnknownField),
    /// The field cannot have the value.
    #[error("{field} cannot be {value:?}: expected {expected}")]
    Value {
        /// The field.
        field: String,
        /// The value, as it was written.
        value: String,
        /// What it may be.
        expected: String,
    },
    /// There is no pin to take off.
    #[error("{field} is not pinned{}", did_you_mean(.near))]
    NotPinned {
        /// The field.
        field: String,
        /// Pinned fields that are written nearly so.
        near: Vec<String>,
    },
}

/// Returns the pins among the heads of a model; none where there are none.
pub fn sheet(heads: &[Stored]) -> Result<PinSheet, serde_json::Error> {
    let is_sheet =
        |head: &&Stored| head.source.layer() == Layer::Pin && head.status == Status::Active;
    heads.iter().find(is_sheet).map_or_else(|| Ok(PinSheet::default()), |head| head.body.read())
}

/// Pins a field, written `FIELD=VALUE`, over what the heads of a model say.
///
/// The value is read as its field has it: counts may be `128k` or `1M` (of a thousand) or `128Ki`
/// (of 1024), lists are separated by commas, prices and parameters are JSON. `prices.prompt=2.5`
/// pins the price list as it is now, but for this one price in dollars for a million tokens, which
/// may also be `free` or `dynamic`.
pub fn set(
    sheet: &PinSheet,
    heads: &[Stored],
    assignment: &str,
    by: &str,
    at: Timestamp,
) -> Result<PinSheet, FieldError> {
    let Some((field, text)) = assignment.split_once('=') else {
        return Err(FieldError::NoAssignment(assignment.to_owned()));
    };
    let (field, text) = (field.trim(), text.trim());
    if let Some(charge) = field.strip_prefix("prices.") {
        let list = value::with_price(&prices(sheet, heads), charge, text)?;
        return set_value(sheet, heads, "prices", &list, by, at);
    }
    let value = value::read(field, text)?;
    set_value(sheet, heads, field, &value, by, at)
}

/// Pins a field to a JSON value over what the heads of a model say. A pin that says so already
/// stays as it is.
pub fn set_value(
    sheet: &PinSheet,
    heads: &[Stored],
    field: &str,
    value: &Value,
    by: &str,
    at: Timestamp,
) -> Result<PinSheet, FieldError> {
    let value = value::check(field, value)?;
    let hides = without_pins(heads).remove(field);
    let mut sheet = sheet.clone();
    let stands = sheet.pins.get(field);
    if stands.is_none_or(|pin| pin.value != value || pin.hides != hides) {
        sheet.pins.insert(field.to_owned(), Pin { value, by: by.to_owned(), at, hides });
    }
    Ok(sheet)
}

/// Takes a pin off.
pub fn unset(sheet: &PinSheet, field: &str) -> Result<PinSheet, FieldError> {
    let mut sheet = sheet.clone();
    if sheet.pins.remove(field).is_some() {
        return Ok(sheet);
    }
    let near = crate::names::near::closest(field, sheet.pins.keys().map(String::as_str));
    Err(FieldError::NotPinned { field: field.to_owned(), near })
}

fn without_pins(heads: &[Stored]) -> BTreeMap<String, Value> {
    let (voices, _) = voices(heads);
    fields::by_field(&merge_all(voices.iter().filter(|voice| !voice.is_pin())))
}

/// Returns the price list that holds now: the sheet may know more than the heads.
fn prices(sheet: &PinSheet, heads: &[Stored]) -> Vec<crate::Price> {
    let pinned = sheet.pins.get("prices").map(|pin| pin.value.clone());
    let list = pinned.or_else(|| without_pins(heads).remove("prices")).unwrap_or_default();
    facts_of("prices", &list).ok().and_then(|facts| facts.prices).unwrap_or_default()
}
