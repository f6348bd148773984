use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A model for a tier and a slot, with parameters that fill what a request leaves open.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Preset {
    /// The model's name, as a request would have it.
    pub model: String,
    /// Fields of the request, such as `temperature`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
}
