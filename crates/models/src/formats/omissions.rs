//! What a format has no place for.

use crate::{Facts, Price};
use callsheet_types::{Preset, Problem};
use serde_json::Value;

/// Collects what is not said of one model after the other.
#[derive(Default)]
pub(crate) struct Omissions {
    all: Vec<Problem>,
}

impl Omissions {
    /// Notes something that is not said.
    pub(crate) fn note(&mut self, place: &str, message: impl Into<String>) {
        self.all.push(Problem { place: place.to_owned(), message: message.into() });
    }

    /// Notes every fact that is there and is not among `said`.
    pub(crate) fn unsaid(&mut self, place: &str, facts: &Facts, said: &[&str]) {
        let Ok(Value::Object(fields)) = serde_json::to_value(facts) else { return };
        for key in fields.keys().filter(|key| !said.contains(&key.as_str())) {
            self.note(place, format!("`{key}` has no place in it"));
        }
    }

    /// Notes a price that is not said.
    pub(crate) fn price(&mut self, place: &str, price: &Price) {
        self.note(place, format!("{} has no place in it", super::prices::name(price)));
    }

    /// Notes a price that nobody knows before the request.
    pub(crate) fn dynamic(&mut self, place: &str, price: &Price) {
        self.note(
            place,
            format!("that {} is dynamic has no place in it", super::prices::name(price)),
        );
    }

    /// Notes a number that loses digits.
    pub(crate) fn rounded(&mut self, place: &str, price: &Price) {
        let name = super::prices::name(price);
        self.note(place, format!("{name} has more digits than a JSON number keeps: it is rounded"));
    }

    /// Notes what is said of models whoever provides them.
    pub(crate) fn canonical(&mut self, canonical: &[(String, Facts)]) {
        for (id, _) in canonical {
            self.note(id, "models without a provider have no place in it");
        }
    }

    /// Notes presets.
    pub(crate) fn presets(&mut self, presets: &[(String, Preset)]) {
        for (name, _) in presets {
            self.note(name, "presets have no place in it");
        }
    }

    /// Returns all that was noted.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.all
    }
}
