use super::fields;
use crate::{
    Facts, Parameter,
    pins::{Pin, PinSheet},
};
use callsheet_store::Stored;
use callsheet_types::{Body, Layer, SourceName, plan::Status};
use serde_json::Value;
use std::{cmp::Ordering, collections::BTreeMap};

/// What one source says, read.
pub(crate) struct Voice<'a> {
    pub(crate) head: &'a Stored,
    pub(crate) facts: Facts,
    /// What is pinned, where the source is one of pins.
    pub(crate) pins: BTreeMap<String, Pin>,
}

impl Voice<'_> {
    pub(crate) fn is_pin(&self) -> bool {
        is_pin(self.head)
    }

    /// Returns what is said, by field. A pin that leaves no capability says so.
    pub(crate) fn by_field(&self) -> BTreeMap<String, Value> {
        let mut said = fields::by_field(&self.facts);
        if self.says_capabilities() {
            said.entry("capabilities".to_owned()).or_insert_with(|| Value::Array(Vec::new()));
        }
        said
    }

    pub(crate) fn says(&self, field: &str) -> bool {
        self.by_field().contains_key(field)
    }

    fn says_capabilities(&self) -> bool {
        !self.facts.capabilities.is_empty() || self.pins.contains_key("capabilities")
    }
}

pub(crate) fn is_pin(head: &Stored) -> bool {
    head.source.layer() == Layer::Pin
}

/// Reads all that say something, the one that is believed first before the others, and says what
/// could not be read.
pub(crate) fn voices(heads: &[Stored]) -> (Vec<Voice<'_>>, Vec<String>) {
    let mut heads: Vec<&Stored> = heads.iter().collect();
    heads.retain(|head| head.status != Status::Removed);
    heads.sort_by(|a, b| rank(a, b));
    let mut notes = Vec::new();
    let voices = heads.into_iter().map(|head| read(head, &mut notes)).collect();
    (voices, notes)
}

fn read<'a>(head: &'a Stored, notes: &mut Vec<String>) -> Voice<'a> {
    let mut pins = BTreeMap::new();
    let read = if is_pin(head) {
        head.body.read::<PinSheet>().map(|sheet| facts_of_pins(sheet, &mut pins, notes))
    } else {
        head.body.read()
    };
    let facts = read.unwrap_or_else(|error| {
        notes.push(format!("what {} says cannot be read: {error}", head.source));
        Facts::default()
    });
    Voice { head, facts, pins }
}

/// Returns what a body says, as far as it can be read.
pub(crate) fn read_facts(source: &SourceName, body: &Body) -> Facts {
    if source.layer() == Layer::Pin {
        let sheet = body.read::<PinSheet>().unwrap_or_default();
        return facts_of_pins(sheet, &mut BTreeMap::new(), &mut Vec::new());
    }
    body.read().unwrap_or_default()
}

/// Returns what pins say, and moves those that can be read to `pins`.
fn facts_of_pins(
    sheet: PinSheet,
    pins: &mut BTreeMap<String, Pin>,
    notes: &mut Vec<String>,
) -> Facts {
    let mut all = Facts::default();
    for (field, pin) in sheet.pins {
        let facts = fields::known(&field).map(|_| fields::facts_of(&field, &pin.value));
        if let Some(Ok(facts)) = facts {
            fill(&mut all, &facts);
            all.capabilities.extend(facts.capabilities);
            pins.insert(field, pin);
        } else {
            notes.push(format!("the pin of {field} cannot be read: {}", pin.value));
        }
    }
    all
}

/// Orders by whose word counts: the one that is believed comes first.
pub(crate) fn rank(a: &Stored, b: &Stored) -> Ordering {
    let place = |head: &Stored| match head.status {
        Status::Active => 0,
        Status::Withdrawn => 1,
        Status::Removed => 2,
    };
    place(a)
        .cmp(&place(b))
        .then_with(|| b.source.layer().cmp(&a.source.layer()))
        .then_with(|| b.observed_at.cmp(&a.observed_at))
        .then_with(|| a.source.cmp(&b.source))
        // A store has one head for each source; the rest makes the order whole.
        .then_with(|| b.revision.cmp(&a.revision))
        .then_with(|| a.body.as_str().cmp(b.body.as_str()))
}

/// Merges what voices say; they come in the order of [`rank`].
pub(crate) fn merge_all<'v, 'a: 'v>(voices: impl Iterator<Item = &'v Voice<'a>> + Clone) -> Facts {
    let mut merged = Facts::default();
    for voice in voices.clone() {
        fill(&mut merged, &voice.facts);
    }
    for (name, parameter) in &mut merged.parameters {
        let speak =
            voices.clone().filter_map(|voice| Some((voice, voice.facts.parameters.get(name)?)));
        if let Some((_, more)) = says_more(speak, |said| *said) {
            *parameter = more.clone();
        }
    }
    let mut speak = voices.filter(|voice| voice.says_capabilities()).peekable();
    if let Some(first) = speak.peek().copied() {
        let is_united = |voice: &&Voice<'_>| voice.head.status == first.head.status;
        let united = speak.take_while(is_united).take(if first.is_pin() { 1 } else { usize::MAX });
        merged.capabilities = united.flat_map(|voice| voice.facts.capabilities.clone()).collect();
    }
    merged
}

/// Of those who speak of one parameter, in the order of [`rank`], returns the one that is believed
/// instead of the first: that it is there says less than between which bounds it may be set, so
/// that who says only the former hides nobody who is as published and says the latter.
pub(crate) fn says_more<'v, 'a: 'v, T>(
    speak: impl Iterator<Item = (&'v Voice<'a>, T)>,
    parameter: impl Fn(&T) -> &Parameter,
) -> Option<(&'v Voice<'a>, T)> {
    let mut speak = speak.peekable();
    let (first, said) = speak.peek()?;
    if first.is_pin() || *parameter(said) != Parameter::Opaque {
        return None;
    }
    let status = first.head.status;
    let next = speak.find(|(_, said)| *parameter(said) != Parameter::Opaque);
    next.filter(|(voice, said)| {
        voice.head.status == status && matches!(parameter(said), Parameter::Mutable { .. })
    })
}

/// Takes from `from` what `into` does not say; but for capabilities, whose rule depends on who
/// speaks.
fn fill(into: &mut Facts, from: &Facts) {
    /// All fields stand here by name, so that a new one cannot be forgotten.
    macro_rules! first_said {
        (optional: $($optional:ident)+; lists: $($list:ident)+) => {
            let Facts { $($optional,)+ $($list,)+ capabilities: _, parameters, extra } = from;
            $(if into.$optional.is_none() {
                into.$optional.clone_from($optional);
            })+
            $(if into.$list.is_none() {
                into.$list = $list.clone().filter(|list| !list.is_empty());
            })+
            for (name, parameter) in parameters {
                into.parameters.entry(name.clone()).or_insert_with(|| parameter.clone());
            }
            for (name, value) in extra {
                into.extra.entry(name.clone()).or_insert_with(|| value.clone());
            }
        };
    }
    first_said!(
        optional: name canonical family context_window context_window_trained max_input_tokens
            max_output_tokens embedding_dimensions parameter_count license open_weights digest
            file_set quantization knowledge_cutoff released updated deprecated retires lifecycle removed;
        lists: input_modalities output_modalities weights prices
    );
}
