//! What people say against all sources.

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
