//! Where sources contradict each other.

use crate::{
    diff::by_row,
    merge::{
        fields::{FieldType, agrees, known},
        voices,
    },
};
use callsheet_store::Stored;
use callsheet_types::{Layer, SourceName, plan::Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// A field of one model of which sources say different things.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The model's key.
    pub key: String,
    /// The field; of prices the row, such as `prices.prompt`.
    pub field: String,
    /// What each source says, that which is believed first; a pin too, where somebody has settled
    /// it.
    pub values: Vec<Statement>,
}

/// What one source says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The source.
    pub source: SourceName,
    /// What it says.
    pub value: Value,
    /// When it was found to say so.
    pub observed_at: Timestamp,
    /// Whether it is what the card says.
    pub wins: bool,
}

/// Which contradictions are wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ConflictFilter<'a> {
    /// Those of models of this provider.
    pub provider: Option<&'a str>,
    /// Those in this field; `prices` asks for all of its rows.
    pub field: Option<&'a str>,
}

/// Finds the fields of which two sources that publish a model say different things, among all heads
/// of a kind in the order of their keys, as a store returns them.
///
/// What is united (capabilities), told apart by name (parameters, and what has no field) or for
/// people only (names) contradicts nothing. Of two price lists only the rows that both have are
/// compared; a day does not contradict its month, nor a list of weights another that names one of
/// its places.
pub fn conflicts(heads: &[Stored], filter: ConflictFilter<'_>) -> Vec<Disagreement> {
    let of_provider = |key: &str| match filter.provider {
        Some(provider) => key.split_once(':').is_some_and(|(of, _)| of == provider),
        None => true,
    };
    heads
        .chunk_by(|a, b| a.id == b.id)
        .filter(|heads| speakers(heads) > 1 && of_provider(&heads[0].id.key))
        .flat_map(|heads| conflicts_of(heads, filter.field))
        .collect()
}

fn speakers(heads: &[Stored]) -> usize {
    let speaks =
        |head: &&Stored| head.status == Status::Active && head.source.layer() != Layer::Pin;
    heads.iter().filter(speaks).count()
}

fn conflicts_of(heads: &[Stored], field: Option<&str>) -> Vec<Disagreement> {
    let (mut voices, _) = voices(heads);
    voices.retain(|voice| voice.head.status == Status::Active);
    let priced =
        voices.iter().position(|voice| voice.facts.prices.iter().flatten().next().is_some());
    let mut said: BTreeMap<String, Vec<(usize, Value)>> = BTreeMap::new();
    for (i, voice) in voices.iter().enumerate() {
        for (name, value) in by_row(&voice.facts) {
            if is_compared(&name) && field.is_none_or(|asked| is_in(&name, asked)) {
                said.entry(name).or_default().push((i, value));
            }
        }
    }
    said.retain(|field, said| {
        let others = said.iter().filter(|(i, _)| !voices[*i].is_pin());
        let values: Vec<&Value> = others.map(|(_, value)| value).collect();
        values.iter().enumerate().any(|(i, a)| values[i + 1..].iter().any(|b| !agrees(field, a, b)))
    });
    let disagreement = |(field, said): (String, Vec<(usize, Value)>)| {
        // The voices come in the order in which they are believed; a price list wins as a whole.
        let first = if is_in(&field, "prices") { priced } else { said.first().map(|(i, _)| *i) };
        let statement = |(i, value): (usize, Value)| Statement {
            source: voices[i].head.source.clone(),
            value,
            observed_at: voices[i].head.observed_at,
            wins: first == Some(i),
        };
        let key = heads[0].id.key.to_string();
        Disagreement { key, field, values: said.into_iter().map(statement).collect() }
    };
    said.into_iter().map(disagreement).collect()
}

fn is_compared(field: &str) -> bool {
    let is_apart = matches!(known(field), Some(FieldType::Parameter | FieldType::Extra));
    !is_apart && !matches!(field, "capabilities" | "name")
}

/// Returns whether a field is the one asked for, or one of its rows.
fn is_in(field: &str, asked: &str) -> bool {
    field.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
