//! Showing what is known, and who says so.

use super::ModelError;
use crate::App;
use callsheet_models::{
    conflicts::{self, ConflictFilter, Disagreement},
    diff::{self, FieldDiff, Spread},
    merge::{self, Card, FieldWhy},
};
use callsheet_store::{CardPage, CardQuery, CardRow, Stored};
use callsheet_types::{EntryId, Kind};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// One line of a list of models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// `provider:id`
    pub key: String,
    /// A name for people.
    pub name: String,
    /// `active`, `deprecated`, `withdrawn`, …
    pub status: String,
    /// Tokens.
    pub context_window: Option<u64>,
    /// Tokens.
    pub max_output_tokens: Option<u64>,
    /// Dollars for a million prompt tokens.
    pub prompt_price: Option<PriceText>,
    /// Dollars for a million completion tokens.
    pub completion_price: Option<PriceText>,
    /// What it can do.
    pub capabilities: Vec<String>,
    /// When it came out.
    pub released: Option<String>,
}

/// An amount of dollars as a decimal number in a text.
pub type PriceText = String;

impl From<CardRow> for ModelRow {
    fn from(row: CardRow) -> Self {
        let price =
            |nano: Option<i64>| nano.map(|nano| Decimal::new(nano, 9).normalize().to_string());
        Self {
            prompt_price: price(row.prompt_nano_usd),
            completion_price: price(row.completion_nano_usd),
            key: row.key,
            name: row.name,
            status: row.status,
            context_window: row.context_window,
            max_output_tokens: row.max_output_tokens,
            capabilities: row.capabilities,
            released: row.released,
        }
    }
}

/// All that goes by a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelView {
    /// The cards; at least one.
    pub models: Vec<Card>,
    /// What is said of the model whoever provides it, where all cards are of one model.
    pub canonical: Option<Card>,
    /// How providers of the same model differ, those that were not asked for among them.
    pub spread: Vec<Spread>,
    /// The keys of the same model at other providers.
    pub elsewhere: Vec<String>,
    /// The presets and aliases that lead here.
    pub used_by: Vec<String>,
}

/// Every candidate for every field of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelWhy {
    /// `provider:id`, or a canonical id.
    pub key: String,
    /// The fields.
    pub fields: Vec<FieldWhy>,
}

/// What became of a model, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelHistory {
    /// `provider:id`
    pub key: String,
    /// The changes.
    pub changes: Vec<diff::Change>,
}

/// Two models side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelChoice {
    /// The key of the one.
    pub a: String,
    /// The key of the other.
    pub b: String,
    /// Where they differ.
    pub fields: Vec<FieldDiff>,
}

fn id_of(row: &CardRow) -> EntryId {
    let kind = if row.kind == "canonical" { Kind::canonical() } else { Kind::model() };
    EntryId::new(kind, &row.key)
}

/// The answer is more than anybody reads: a list of all that differs on all models.
const MOST_CANDIDATES: usize = 100_000;

impl App {
    /// Lists models.
    pub fn list_models(&self, query: &CardQuery) -> Result<CardPage, ModelError> {
        Ok(self.catalog.store().cards(query)?)
    }

    /// Shows all that goes by a name.
    pub fn show_model(&self, name: &str) -> Result<ModelView, ModelError> {
        let rows = self.models_named(name)?;
        let store = self.catalog.store();
        let models =
            rows.iter().map(|row| self.card(&id_of(row))).collect::<Result<Vec<_>, _>>()?;
        let mut names: Vec<_> = rows.iter().filter_map(|row| row.canonical.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        let (mut canonical, mut family) = (None, Vec::new());
        if let [one] = names[..] {
            let linked = store.cards_named(one)?.into_iter();
            for row in
                linked.filter(|row| row.canonical.as_deref() == Some(one)).take(MOST_CANDIDATES)
            {
                let card =
                    serde_json::from_str::<Card>(&row.body).map_err(|error| unreadable(&error))?;
                if row.kind == Kind::model().as_str() {
                    family.push(card);
                } else {
                    canonical = Some(card);
                }
            }
        }
        let is_shown = |card: &Card| models.iter().any(|shown| shown.key == card.key);
        let elsewhere =
            family.iter().filter(|card| !is_shown(card)).map(|card| card.key.clone()).collect();
        let mut used_by: Vec<_> = models.iter().flat_map(|card| self.users_of(&card.key)).collect();
        used_by.sort();
        used_by.dedup();
        Ok(ModelView { spread: diff::spread(&family), models, canonical, elsewhere, used_by })
    }

    /// Merges what is stored of one id.
    pub(crate) fn card(&self, id: &EntryId) -> Result<Card, ModelError> {
        Ok(merge::card(id, &self.heads(id)?))
    }

    pub(crate) fn heads(&self, id: &EntryId) -> Result<Vec<Stored>, ModelError> {
        Ok(self.catalog.store().entry(id)?)
    }

    /// Says of each field who says what, and why one is believed.
    pub fn why_model(&self, name: &str, field: Option<&str>) -> Result<Vec<ModelWhy>, ModelError> {
        let rows = self.models_named(name)?;
        let explain = |row: &CardRow| {
            let id = id_of(row);
            let fields = merge::why(&id, &self.heads(&id)?, field)?;
            Ok(ModelWhy { key: row.key.clone(), fields })
        };
        rows.iter().map(explain).collect()
    }

    /// Says what became of models.
    pub fn history_of_model(&self, name: &str) -> Result<Vec<ModelHistory>, ModelError> {
        let rows = self.models_named(name)?;
        let tell = |row: &CardRow| {
            let revisions = self.catalog.store().history(&id_of(row))?;
            Ok(ModelHistory { key: row.key.clone(), changes: diff::history(&revisions) })
        };
        rows.iter().map(tell).collect()
    }

    /// Sets two models side by side.
    pub fn diff_models(&self, a: &str, b: &str) -> Result<ModelChoice, ModelError> {
        let (a, b) = (self.one_model(a)?, self.one_model(b)?);
        let (one, other) = (self.card(&id_of(&a))?, self.card(&id_of(&b))?);
        let fields = diff::diff(&one.facts, &other.facts);
        Ok(ModelChoice { a: a.key, b: b.key, fields })
    }

    /// Lists where sources disagree.
    pub fn model_conflicts(
        &self,
        provider: Option<&str>,
        field: Option<&str>,
    ) -> Result<Vec<Disagreement>, ModelError> {
        let heads = self.catalog.store().entries(&Kind::model())?;
        Ok(conflicts::conflicts(&heads, ConflictFilter { provider, field }))
    }
}

fn unreadable(error: &serde_json::Error) -> ModelError {
    ModelError::Question(format!(
        "a card in the store cannot be read ({error}); `callsheet store check --repair` makes it anew"
    ))
}
