use super::{
    fields::{self, NAMED, UnknownField},
    voice::{Voice, says_more, voices},
};
use crate::Parameter;
use callsheet_store::Stored;
use callsheet_types::{
    EntryId, Layer, SourceName,
    plan::{Revision, Status},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Why a field of a card is what it is.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FieldWhy {
    /// The field, such as `context_window` or `parameters.temperature`.
    pub field: String,
    /// What the card says; `None` where nobody says anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Whoever says something of it; the one that is believed first comes first.
    pub candidates: Vec<Candidate>,
}

/// What one source says of a field, and what became of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The source.
    pub source: SourceName,
    /// How much its word counts.
    pub layer: Layer,
    /// What it says.
    pub value: Value,
    /// When it was found to say so; of a pin, when it was set.
    pub observed_at: Timestamp,
    /// Whether it still publishes the model.
    pub status: Status,
    /// The number of its state.
    pub revision: Revision,
    /// Who set it, of a pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What it hid when it was set, of a pin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hides: Option<Value>,
    /// What became of it.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What became of what one source says.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It is what the card says.
    Wins {
        /// What put it before the next.
        because: Reason,
        /// The next.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<SourceName>,
    },
    /// The card has what it says, and what others say too.
    United,
    /// Somebody pinned another value.
    PinnedOver {
        /// The source of the pin.
        than: SourceName,
    },
    /// It is withdrawn, and a source that publishes the model says the field.
    Withdrawn {
        /// The source that wins.
        than: SourceName,
    },
    /// Its layer is lower.
    LowerLayer {
        /// The source that wins.
        than: SourceName,
    },
    /// It was observed earlier than another of its layer.
    Older {
        /// The source that wins.
        than: SourceName,
    },
    /// It says only that the parameter is there, and another says its bounds.
    SaysLess {
        /// The source that wins.
        than: SourceName,
    },
    /// It was observed at the same moment as another of its layer, whose name comes first.
    LaterName {
        /// The source that wins.
        than: SourceName,
    },
}

/// What put a source before the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// There is no other.
    Only,
    /// It is a pin.
    Pinned,
    /// The next is withdrawn.
    Published,
    /// Its layer is higher.
    HigherLayer,
    /// It says between which bounds the parameter may be set, and the first only that it is there.
    SaysMore,
    /// It was observed later.
    Newer,
    /// Its name comes first in the alphabet.
    FirstName,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wins { because, over } => {
                let reason = match because {
                    Reason::Only => "nobody else says it",
                    Reason::Pinned => "pinned",
                    Reason::Published => "published, unlike",
                    Reason::HigherLayer => "higher layer than",
                    Reason::SaysMore => "says more than",
                    Reason::Newer => "newer than",
                    Reason::FirstName => "as new as the next, and named before",
                };
                write!(f, "wins: {reason}")?;
                match over {
                    Some(over) if *because != Reason::Pinned => write!(f, " {over}"),
                    _ => Ok(()),
                }
            }
            Self::United => f.write_str("united with the others"),
            Self::PinnedOver { than } => write!(f, "loses: pinned over by {than}"),
            Self::Withdrawn { than } => write!(f, "loses: withdrawn, unlike {than}"),
            Self::LowerLayer { than } => write!(f, "loses: lower layer than {than}"),
            Self::SaysLess { than } => write!(f, "loses: says less than {than}"),
            Self::Older { than } => write!(f, "loses: older than {than}"),
            Self::LaterName { than } => write!(f, "loses: as new as {than}, and named after it"),
        }
    }
}

/// Says of each field, or of the one asked for, who says what, and why the card says what it does.
///
/// `parameters` and `extra` ask for all of theirs, `parameters.temperature` for one. A field of
/// which nobody says anything has no candidates.
pub fn why(
    _id: &EntryId,
    heads: &[Stored],
    field: Option<&str>,
) -> Result<Vec<FieldWhy>, UnknownField> {
    let (voices, _) = voices(heads);
    let said: Vec<Said<'_>> =
        voices.iter().map(|voice| Said { voice, fields: voice.by_field() }).collect();
    let Some(asked) = field else {
        let names: BTreeSet<&String> = said.iter().flat_map(|said| said.fields.keys()).collect();
        return Ok(names.into_iter().map(|name| why_field(name, &said)).collect());
    };
    if NAMED.iter().any(|(prefix, _)| *prefix == asked) {
        let all = said.iter().flat_map(|said| said.fields.keys());
        let is_asked = |name: &&String| name.split_once('.').is_some_and(|(p, _)| p == asked);
        let names: BTreeSet<&String> = all.filter(is_asked).collect();
        return Ok(names.into_iter().map(|name| why_field(name, &said)).collect());
    }
    fields::type_of(asked)?;
    Ok(vec![why_field(asked, &said)])
}

struct Said<'a> {
    voice: &'a Voice<'a>,
    fields: BTreeMap<String, Value>,
}

fn why_field(field: &str, said: &[Said<'_>]) -> FieldWhy {
    let speak: Vec<(&Voice<'_>, &Value)> =
        said.iter().filter_map(|said| Some((said.voice, said.fields.get(field)?))).collect();
    let verdicts = match field.split_once('.') {
        None if field == "capabilities" => unite(&speak),
        Some(("parameters", name)) => choose_parameter(&speak, name),
        _ => choose(&speak),
    };
    let is_in = |verdict: &Verdict| matches!(verdict, Verdict::Wins { .. } | Verdict::United);
    let mut words = BTreeSet::new();
    let mut value = None;
    for ((_, said), _) in speak.iter().zip(&verdicts).filter(|(_, verdict)| is_in(verdict)) {
        match said {
            Value::Array(items) if field == "capabilities" => {
                words.extend(items.iter().filter_map(Value::as_str));
                value = Some(words.iter().copied().collect());
            }
            said => value = Some((*said).clone()),
        }
    }
    let candidates = speak.into_iter().zip(verdicts);
    let candidates =
        candidates.map(|((voice, said), verdict)| candidate(field, voice, said, verdict));
    FieldWhy { field: field.to_owned(), value, candidates: candidates.collect() }
}

fn candidate(field: &str, voice: &Voice<'_>, said: &Value, verdict: Verdict) -> Candidate {
    let pin = voice.pins.get(field);
    Candidate {
        source: voice.head.source.clone(),
        layer: voice.head.source.layer(),
        value: said.clone(),
        observed_at: pin.map_or(voice.head.observed_at, |pin| pin.at),
        status: voice.head.status,
        revision: voice.head.revision,
        by: pin.map(|pin| pin.by.clone()),
        hides: pin.and_then(|pin| pin.hides.clone()),
        verdict,
    }
}

/// The first wins.
fn choose(speak: &[(&Voice<'_>, &Value)]) -> Vec<Verdict> {
    let Some((&(winner, _), others)) = speak.split_first() else { return Vec::new() };
    let next = others.first().map(|(voice, _)| *voice);
    let because = match next {
        _ if winner.is_pin() => Reason::Pinned,
        None => Reason::Only,
        Some(next) => match loses(next, winner) {
            Verdict::Withdrawn { .. } => Reason::Published,
            Verdict::LowerLayer { .. } => Reason::HigherLayer,
            Verdict::Older { .. } => Reason::Newer,
            _ => Reason::FirstName,
        },
    };
    let over = next.map(|next| next.head.source.clone());
    let first = Verdict::Wins { because, over };
    std::iter::once(first).chain(others.iter().map(|(voice, _)| loses(voice, winner))).collect()
}

/// The first wins, unless another says more.
fn choose_parameter(speak: &[(&Voice<'_>, &Value)], name: &str) -> Vec<Verdict> {
    let known =
        speak.iter().filter_map(|(voice, _)| Some((*voice, voice.facts.parameters.get(name)?)));
    let Some((winner, _)) = says_more(known, |said| *said) else { return choose(speak) };
    let first = speak.first().map(|(voice, _)| voice.head.source.clone());
    let verdict = |voice: &Voice<'_>| {
        if std::ptr::eq(voice, winner) {
            Verdict::Wins { because: Reason::SaysMore, over: first.clone() }
        } else if voice.facts.parameters.get(name) == Some(&Parameter::Opaque) {
            Verdict::SaysLess { than: winner.head.source.clone() }
        } else {
            loses(voice, winner)
        }
    };
    speak.iter().map(|(voice, _)| verdict(voice)).collect()
}

/// All that are as published as the first are united, unless it is a pin.
fn unite(speak: &[(&Voice<'_>, &Value)]) -> Vec<Verdict> {
    let Some((&(first, _), others)) = speak.split_first() else { return Vec::new() };
    let is_united = |voice: &Voice<'_>| !first.is_pin() && voice.head.status == first.head.status;
    if !others.iter().any(|(voice, _)| is_united(voice)) {
        return choose(speak);
    }
    let verdict = |voice: &Voice<'_>| {
        if is_united(voice) { Verdict::United } else { loses(voice, first) }
    };
    speak.iter().map(|(voice, _)| verdict(voice)).collect()
}

/// Says why one loses to another that is believed before it.
fn loses(voice: &Voice<'_>, winner: &Voice<'_>) -> Verdict {
    let than = winner.head.source.clone();
    if winner.is_pin() {
        Verdict::PinnedOver { than }
    } else if voice.head.status != winner.head.status {
        Verdict::Withdrawn { than }
    } else if voice.head.source.layer() != winner.head.source.layer() {
        Verdict::LowerLayer { than }
    } else if voice.head.observed_at == winner.head.observed_at {
        Verdict::LaterName { than }
    } else {
        Verdict::Older { than }
    }
}
