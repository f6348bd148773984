//! What became of a refresh.

use super::Known;
use crate::providers::Provider;
use callsheet_types::{ModelKey, Problem};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What became of each model and of each provider.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How many models were to be refreshed.
    pub total: usize,
    /// How many were.
    pub refreshed: usize,
    /// How many entries changed, or would have.
    pub changed: usize,
    /// The models, by their keys.
    pub models: Vec<ModelReport>,
    /// Whom we asked, by their names.
    pub providers: Vec<ProviderReport>,
    /// Models that their provider no longer lists; they are kept, and marked.
    pub withdrawn: Vec<ModelKey>,
}

/// What became of a model.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ModelReport {
    /// The model.
    pub key: ModelKey,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What became of a model.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is as it was.
    Ok,
    /// Something about it changed.
    Changed,
    /// It is new, or was removed and is back.
    Added,
    /// Its provider does not list it.
    Missing,
    /// Nothing was learned of it.
    Failed,
}

impl Outcome {
    /// Returns the outcome as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Missing => "missing",
            Self::Failed => "failed",
        }
    }

    /// Returns whether the model was not refreshed.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Missing | Self::Failed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What became of a provider's list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ProviderReport {
    /// The provider.
    pub name: String,
    /// How many models its list has.
    pub listed: usize,
    /// Why nothing of the list was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Whether it said that nothing had changed.
    pub not_modified: bool,
    /// What could not be used.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Returns the models that are no longer listed by their provider.
    pub fn gone(&self) -> impl Iterator<Item = &ModelKey> {
        let missing = self.models.iter().filter(|model| model.outcome == Outcome::Missing);
        missing.map(|model| &model.key)
    }

    /// Returns why a model was not refreshed, unless it was; one that was not asked about failed
    /// too.
    pub fn failure(&self, key: &ModelKey) -> Option<String> {
        let Some(model) = self.models.iter().find(|model| model.key == *key) else {
            return Some("nobody was asked about it".to_owned());
        };
        let reason = || model.message.clone().unwrap_or_else(|| model.outcome.to_string());
        model.outcome.is_failure().then(reason)
    }

    /// Returns whether anything went wrong.
    pub fn has_failures(&self) -> bool {
        self.models.iter().any(|model| model.outcome.is_failure())
            || self.providers.iter().any(|provider| provider.error.is_some())
    }

    pub(super) fn add(&mut self, key: ModelKey, outcome: Outcome, message: Option<String>) {
        self.models.push(ModelReport { key, outcome, message });
    }

    /// Notes that a provider failed, and with it every model that is known of it, or that it was to
    /// be asked about.
    pub(super) fn fail(
        &mut self,
        provider: &Provider,
        known: &Known,
        ids: Option<&[ModelKey]>,
        reason: &str,
    ) {
        let keys: Vec<ModelKey> = match ids {
            Some(ids) => ids.to_vec(),
            None => known.active().filter_map(|(key, _)| ModelKey::parse(key).ok()).collect(),
        };
        for key in keys {
            self.add(key, Outcome::Failed, Some(reason.to_owned()));
        }
        self.providers.push(ProviderReport {
            name: provider.name.clone(),
            listed: 0,
            error: Some(reason.to_owned()),
            not_modified: false,
            problems: Vec::new(),
        });
    }

    pub(super) fn join(&mut self, part: Self) {
        self.changed += part.changed;
        self.models.extend(part.models);
        self.providers.extend(part.providers);
        self.withdrawn.extend(part.withdrawn);
    }

    /// Sorts and counts.
    pub(super) fn settled(mut self) -> Self {
        self.models.sort_by(|a, b| a.key.cmp(&b.key));
        // A model that was asked for twice is one.
        self.models.dedup_by(|a, b| a.key == b.key);
        self.providers.sort_by(|a, b| a.name.cmp(&b.name));
        self.withdrawn.sort();
        self.total = self.models.len();
        self.refreshed = self.models.iter().filter(|model| !model.outcome.is_failure()).count();
        self
    }
}
