//! The order in which a registry file has its keys.

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;

/// Keys in the order in which they are written; all others follow by the alphabet.
const ORDER: [&str; 20] = [
    "version",
    "info",
    "id",
    "provider",
    "capabilities",
    "context_window",
    "dimensions",
    "models",
    "model",
    "parameters",
    "pricing",
    "prompt_cost_per_mtok",
    "completion_cost_per_mtok",
    "max_output_tokens",
    "presets",
    "availability",
    "range",
    "min",
    "max",
    "default",
];

/// Writes a registry file: two spaces, keys in their order, a newline at the end.
pub(crate) fn registry(document: &Value) -> Vec<u8> {
    // A `Value` is always JSON.
    let mut text = serde_json::to_vec_pretty(&Ordered(document)).unwrap_or_default();
    text.push(b'\n');
    text
}

struct Ordered<'a>(&'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(table) => {
                let rank = |key: &str| ORDER.iter().position(|known| *known == key);
                let mut keys: Vec<_> = table.iter().collect();
                keys.sort_by_key(|(key, _)| (rank(key).unwrap_or(ORDER.len()), *key));
                let mut map = serializer.serialize_map(Some(keys.len()))?;
                for (key, value) in keys {
                    map.serialize_entry(key, &Ordered(value))?;
                }
                map.end()
            }
            Value::Array(list) => serializer.collect_seq(list.iter().map(Ordered)),
            other => other.serialize(serializer),
        }
    }
}
