//! What differs: between two cards, between the states of one, and between providers.

use crate::{
    Charge, Facts,
    merge::{
        Card,
        fields::{by_field, is_same, row_name},
        read_facts,
    },
    projection::plain_price,
};
use callsheet_store::StoredRevision;
use callsheet_types::{
    Layer, SourceName,
    plan::{Action, Revision, Status},
};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// A field in which two states differ.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FieldDiff {
    /// The field: `context_window`, `parameters.temperature`, or a row of the price list such as
    /// `prices.prompt` or `prices.prompt.above_200000`, whose unit is a million tokens where none
    /// is named.
    pub field: String,
    /// What the first says; `None` for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub a: Option<Value>,
    /// What the second says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub b: Option<Value>,
}

/// Returns the fields in which two states differ, in the order of their names. Numbers are compared
/// as numbers.
pub fn diff(a: &Facts, b: &Facts) -> Vec<FieldDiff> {
    let (mut a, mut b) = (by_row(a), by_row(b));
    let fields: BTreeSet<String> = a.keys().chain(b.keys()).cloned().collect();
    let diff = |field: String| {
        let (a, b) = (a.remove(&field), b.remove(&field));
        let is_unchanged = match (&a, &b) {
            (Some(a), Some(b)) => is_same(&field, a, b),
            (a, b) => a == b,
        };
        (!is_unchanged).then_some(FieldDiff { field, a, b })
    };
    fields.into_iter().filter_map(diff).collect()
}

/// Returns facts by field, and prices by row.
pub(crate) fn by_row(facts: &Facts) -> BTreeMap<String, Value> {
    let mut fields = by_field(facts);
    fields.remove("prices");
    for row in facts.prices.iter().flatten() {
        let name = format!("prices.{}", row_name(row));
        let mut numbered = name.clone();
        let mut number = 1;
        while fields.contains_key(&numbered) {
            number += 1;
            numbered = format!("{name}#{number}");
        }
        fields.insert(numbered, row.amount.to_string().into());
    }
    fields
}

/// A step in what one source says of a model.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// Whose word it is.
    pub source: SourceName,
    /// Who had it written.
    pub actor: String,
    /// The number of the state that it led to.
    pub revision: Revision,
    /// What was done.
    pub action: Action,
    /// What it changed; nothing where the state before is no longer kept.
    pub fields: Vec<FieldDiff>,
    /// Whether the state before is known; of the first there is nothing to know.
    pub before_is_known: bool,
}

/// Makes steps of the states of a model, newest first.
pub fn history(revisions: &[StoredRevision]) -> Vec<Change> {
    let mut ordered: Vec<&StoredRevision> = revisions.iter().collect();
    ordered.sort_by(|a, b| (&a.source, a.revision).cmp(&(&b.source, b.revision)));
    let mut changes = Vec::with_capacity(ordered.len());
    let mut before: Option<(&StoredRevision, Facts)> = None;
    for now in ordered {
        let is_next = |(before, _): &(&StoredRevision, Facts)| {
            before.source == now.source && before.revision + 1 == now.revision
        };
        let known = before.take().filter(is_next);
        // What somebody removed keeps its content; of pins it is the pins that went.
        let is_unpinned = now.source.layer() == Layer::Pin && now.status == Status::Removed;
        let facts = if is_unpinned { Facts::default() } else { read_facts(&now.source, &now.body) };
        let is_first = now.revision <= 1;
        let fields = match &known {
            Some((_, before)) => diff(before, &facts),
            None if is_first => diff(&Facts::default(), &facts),
            None => Vec::new(),
        };
        let action = match now.status {
            Status::Withdrawn => Action::Withdrawn,
            Status::Removed => Action::Removed,
            Status::Active if is_first => Action::Added,
            Status::Active => Action::Updated,
        };
        changes.push(Change {
            at: now.at,
            source: now.source.clone(),
            actor: now.actor.clone(),
            revision: now.revision,
            action,
            fields,
            before_is_known: is_first || known.is_some(),
        });
        before = Some((now, facts));
    }
    changes.sort_by_key(|change| (Reverse(change.at), Reverse(change.revision)));
    changes
}

/// How far a field differs between cards.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// `context_window`, `max_output_tokens`, `prices.prompt` or `prices.completion`, the last two
    /// in dollars for a million tokens.
    pub field: String,
    /// The least; `None` where no card says a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<Value>,
    /// The greatest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Value>,
    /// What each card says, the least first; a card that says nothing is not here.
    pub values: Vec<SpreadValue>,
}

/// What one card says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SpreadValue {
    /// The card's key.
    pub key: String,
    /// Its provider.
    pub provider: String,
    /// What it says.
    pub value: Value,
}

/// Says how far cards differ in what one chooses by; meant for those of one canonical model.
pub fn spread(cards: &[Card]) -> Vec<Spread> {
    type Read = fn(&Facts) -> Option<(Option<Decimal>, Value)>;
    let reads: [(&str, Read); 4] = [
        ("context_window", |facts| counted(facts.context_window)),
        ("max_output_tokens", |facts| counted(facts.max_output_tokens)),
        ("prices.prompt", |facts| priced(facts, &Charge::Prompt)),
        ("prices.completion", |facts| priced(facts, &Charge::Completion)),
    ];
    reads.into_iter().map(|(field, read)| spread_of(field, cards, read)).collect()
}

fn spread_of(
    field: &str,
    cards: &[Card],
    read: impl Fn(&Facts) -> Option<(Option<Decimal>, Value)>,
) -> Spread {
    let mut said: Vec<(Option<Decimal>, SpreadValue)> = Vec::new();
    for card in cards {
        if let Some((number, value)) = read(&card.facts) {
            let (key, provider) = (card.key.clone(), card.provider.clone());
            said.push((number, SpreadValue { key, provider, value }));
        }
    }
    said.sort_by(|(a, x), (b, y)| (a.is_none(), a, &x.key).cmp(&(b.is_none(), b, &y.key)));
    let mut numbers =
        said.iter().filter(|(number, _)| number.is_some()).map(|(_, said)| &said.value);
    let min = numbers.next().cloned();
    let max = numbers.next_back().cloned().or_else(|| min.clone());
    Spread {
        field: field.to_owned(),
        min,
        max,
        values: said.into_iter().map(|(_, said)| said).collect(),
    }
}

fn counted(count: Option<u64>) -> Option<(Option<Decimal>, Value)> {
    count.map(|count| (Some(count.into()), count.into()))
}

fn priced(facts: &Facts, what: &Charge) -> Option<(Option<Decimal>, Value)> {
    let amount = plain_price(facts, what)?.amount;
    Some((amount.usd(), amount.to_string().into()))
}
