//! One card from all that sources and people say of one model.
//!
//! Of several that say a field, the first in this order is believed: published before withdrawn;
//! the higher layer ([`callsheet_types::Layer`]); what was observed later; the source whose name
//! comes first in the alphabet. Who says nothing of a field never erases what another says of it.
//!
//! | field | rule |
//! |---|---|
//! | `capabilities` | what any of them says, of those that are published (or, if none of these says any, withdrawn); a pin replaces the whole set |
//! | `parameters` | the first that says it, for each name; who says only that it is there yields to who says its bounds |
//! | `extra` | the first that says it, for each name |
//! | `prices` | the first that has any, its list as a whole |
//! | any other | the first that says it |
//!
//! [`card`] and [`why`] are pure functions of the heads that a store holds of one id; neither their
//! order nor anything else plays a part.

pub(crate) mod fields;
mod voice;
mod why;

pub use fields::UnknownField;
pub use why::{Candidate, FieldWhy, Reason, Verdict, why};

use crate::{Facts, merge::fields::Spoken, pins::Pin};
use callsheet_store::Stored;
use callsheet_types::{
    EntryId, Kind, SourceName,
    plan::{Revision, Status},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
pub(crate) use voice::{Voice, merge_all, read_facts, voices};

/// What is known of one model, and from whom.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// `provider:id`, or the canonical id.
    pub key: String,
    /// The provider; empty where the card is of no one provider.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub provider: String,
    /// The id by which the provider knows it; empty where the card is of no one provider.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is believed.
    #[serde(flatten)]
    pub facts: Facts,
    /// `removed`, `withdrawn`, or its lifecycle, which is `active` where nobody says another. No
    /// clock plays a part: that a date of [`Facts`] is over is for the reader to see.
    pub status: String,
    /// Whoever speaks, or spoke, of it; the one that is believed first comes first.
    pub sources: Vec<CardSource>,
    /// The fields that somebody pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    /// What a reader should know beside the facts, such as that a pin hides something new.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// When any source's entry last moved.
    pub updated_at: Timestamp,
}

/// A source of a card.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CardSource {
    /// Its name.
    pub source: SourceName,
    /// Whether it still publishes the model.
    pub status: Status,
    /// When it was found to say what it says.
    pub observed_at: Timestamp,
    /// The number of its state.
    pub revision: Revision,
}

/// Makes one card of all that is said of an id.
pub fn card(id: &EntryId, heads: &[Stored]) -> Card {
    let (voices, mut notes) = voices(heads);
    let facts = merge_all(voices.iter());
    let mut pinned: Vec<String> = Vec::new();
    for voice in voices.iter().filter(|voice| voice.is_pin()) {
        notes.extend(news_under_pins(&voices, voice));
        pinned.extend(voice.pins.keys().cloned());
    }
    pinned.sort_unstable();
    pinned.dedup();
    let mut sources: Vec<&Stored> = heads.iter().collect();
    sources.sort_by(|a, b| voice::rank(a, b));
    let (provider, model) = match id.key.split_once(':') {
        Some(parts) if id.kind == Kind::model() => parts,
        _ => ("", ""),
    };
    Card {
        key: id.key.to_string(),
        provider: provider.to_owned(),
        id: model.to_owned(),
        status: status(&facts, heads),
        facts,
        sources: sources.into_iter().map(card_source).collect(),
        pinned,
        notes,
        updated_at: heads.iter().map(|head| head.changed_at).max().unwrap_or_default(),
    }
}

fn card_source(head: &Stored) -> CardSource {
    CardSource {
        source: head.source.clone(),
        status: head.status,
        observed_at: head.observed_at,
        revision: head.revision,
    }
}

fn status(facts: &Facts, heads: &[Stored]) -> String {
    let mut others = heads.iter().filter(|head| !voice::is_pin(head)).peekable();
    let speaks = heads.iter().any(|head| head.status != Status::Removed);
    if facts.removed == Some(true) || !speaks {
        return "removed".to_owned();
    }
    // What nobody but a pin has ever spoken of was declared that way, and never published.
    if others.peek().is_some() && !others.any(|head| head.status == Status::Active) {
        return "withdrawn".to_owned();
    }
    match facts.lifecycle.as_deref().map(str::trim) {
        None | Some("") => "active".to_owned(),
        // These words speak of what is stored here: a source can neither withdraw what others
        // publish nor take it out of listings.
        Some("removed" | "withdrawn") => "retired".to_owned(),
        Some(lifecycle) => lifecycle.to_lowercase(),
    }
}

/// Says what came to light under pins since they were set.
fn news_under_pins(voices: &[Voice<'_>], pin_voice: &Voice<'_>) -> Vec<String> {
    let others = || voices.iter().filter(|voice| !voice.is_pin());
    let now = fields::by_field(&merge_all(others()));
    let news = |(field, pin): (&String, &Pin)| {
        let says = now.get(field);
        let is_news = match (&pin.hides, says) {
            (Some(then), Some(now)) => !fields::is_same(field, then, now),
            (then, now) => then.is_some() != now.is_some(),
        };
        is_news.then(|| news_note(field, &pin.value, says, others()))
    };
    pin_voice.pins.iter().filter_map(news).collect()
}

fn news_note<'v, 'a: 'v>(
    field: &str,
    pinned: &Value,
    now: Option<&Value>,
    mut others: impl Iterator<Item = &'v Voice<'a>>,
) -> String {
    let is_many = matches!(field, "capabilities" | "prices" | "weights")
        || field.ends_with("_modalities")
        || field.ends_with("_tokens");
    let is = if is_many { "are" } else { "is" };
    let start = format!("{field} {is} pinned to {}", Spoken(field, pinned));
    let Some(now) = now else { return format!("{start}; no source says any more") };
    let who = match others.find(|voice| voice.says(field)) {
        Some(voice) if field != "capabilities" => format!("{} now says", voice.head.source),
        _ => "sources now say".to_owned(),
    };
    if fields::is_same(field, pinned, now) {
        return format!("{start}; {who} the same");
    }
    format!("{start}; {who} {}", Spoken(field, now))
}
