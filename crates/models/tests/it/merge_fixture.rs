//! Heads as a store would return them.

use callsheet_models::{Facts, pins::PinSheet};
use callsheet_store::Stored;
use callsheet_types::{Body, EntryId, Kind, Nature, SourceName, plan::Status};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) fn model(key: &str) -> EntryId {
    EntryId::new(Kind::model(), key)
}

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What a source says of the model `p:m`, observed so many seconds after the epoch.
pub(crate) fn head(source: &str, observed: i64, body: &Value) -> Stored {
    Stored {
        id: model("p:m"),
        source: SourceName::parse(source).unwrap(),
        nature: Nature::Tracking,
        revision: 1,
        status: Status::Active,
        body: Body::new(body),
        observed_at: second(observed),
        changed_at: second(observed),
    }
}

pub(crate) fn with_status(status: Status, head: Stored) -> Stored {
    Stored { status, ..head }
}

pub(crate) fn pins(sheet: &PinSheet) -> Stored {
    head("pin/user", 1, &serde_json::to_value(sheet).unwrap())
}

/// A sheet of pins that hide nothing.
pub(crate) fn pin_head(pins: &[(&str, Value)]) -> Stored {
    let pins: serde_json::Map<String, Value> = pins
        .iter()
        .map(|(field, value)| {
            ((*field).to_owned(), json!({"value": value, "by": "ada", "at": second(7)}))
        })
        .collect();
    head("pin/user", 7, &json!({"pins": pins}))
}

pub(crate) fn facts(value: Value) -> Facts {
    serde_json::from_value(value).unwrap()
}
