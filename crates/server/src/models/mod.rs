//! What is known of models: reading it, correcting it, and taking in more.
//!
//! Everything here but the refresh blocks on the database.

mod edit;
mod file;
mod known;
mod preset;
mod read;
mod refresh;
mod transfer;

pub use edit::{Corrected, Correction};
pub use file::refresh_file;
pub use preset::{PresetChange, PresetPage, PresetView};
pub use read::{ModelChoice, ModelHistory, ModelRow, ModelView, ModelWhy, PriceText};
pub use refresh::{RefreshAsked, Refreshed};
pub use transfer::{Exported, ImportAsked, Imported};

pub(crate) use known::{KnownModels, service_of};

use crate::{App, config::Config};
use callsheet_models::{
    formats::{FormatError, UnknownFormat},
    merge::UnknownField,
    names,
    pins::FieldError,
    presets::PresetError,
    registry_file::RegistryFileError,
};
use callsheet_store::{CardRow, PublishError, StoreError};
use callsheet_types::{EntryId, Kind, ModelKey};

/// Something about models that cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Nothing goes by this name.
    #[error("no model goes by the name {name:?}")]
    NotFound {
        /// The name.
        name: String,
        /// Names that are much like it.
        near: Vec<String>,
    },
    /// Several go by this name, and a change must know which.
    #[error("{name:?} is the name of {} models: {}", .keys.len(), .keys.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// Their keys.
        keys: Vec<String>,
    },
    /// A field cannot have this value.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// There is no such field.
    #[error(transparent)]
    UnknownField(#[from] UnknownField),
    /// There is no such format.
    #[error(transparent)]
    UnknownFormat(#[from] UnknownFormat),
    /// A catalog cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A registry file cannot be read or written.
    #[error(transparent)]
    File(#[from] RegistryFileError),
    /// A preset cannot be so.
    #[error(transparent)]
    Preset(#[from] PresetError),
    /// There is no such preset.
    #[error("there is no preset {0:?}")]
    NoPreset(String),
    /// Nobody is configured under this name who could be asked.
    #[error("there is no provider named {name:?}")]
    NoProvider {
        /// The name.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// A question that makes no sense.
    #[error("{0}")]
    Question(String),
    /// The provider could not say what was asked.
    #[error("{key} could not be fetched: {reason}")]
    NotFetched {
        /// The model.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The store did not take it.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

impl From<StoreError> for ModelError {
    fn from(error: StoreError) -> Self {
        Self::Publish(error.into())
    }
}

impl App {
    /// Returns all models that go by a name; at least one.
    pub(crate) fn models_named(&self, name: &str) -> Result<Vec<CardRow>, ModelError> {
        let aliases = self.with_config(|config| config.routing.aliases.clone());
        let store = self.catalog.store();
        let found = names::find(store, &aliases, name)?;
        if found.is_empty() {
            let near = names::near(store, name)?;
            return Err(ModelError::NotFound { name: name.to_owned(), near });
        }
        Ok(found)
    }

    /// Returns the one model that goes by a name.
    pub(crate) fn one_model(&self, name: &str) -> Result<CardRow, ModelError> {
        let mut found = self.models_named(name)?;
        match found.len() {
            1 => Ok(found.remove(0)),
            _ => Err(ModelError::Ambiguous {
                name: name.to_owned(),
                keys: found.into_iter().map(|row| row.key).collect(),
            }),
        }
    }

    pub(crate) fn with_config<T>(&self, look: impl FnOnce(&Config) -> T) -> T {
        look(&self.in_force().config)
    }

    /// Returns the presets and aliases that lead to a model, by their names in requests. Those that
    /// name the model whoever provides it are among them.
    pub(crate) fn users_of(&self, key: &str) -> Vec<String> {
        let owned = self.in_force();
        let aliases = &owned.config.routing.aliases;
        if aliases.is_empty() && owned.saved.presets.is_empty() {
            return Vec::new();
        }
        let id = key.split_once(':').map_or(key, |(_, id)| id);
        let store = self.catalog.store();
        let rows = |key: &str| {
            // Who cannot be asked says nothing of the canonical id; the rest is known without.
            store.cards_of(&[EntryId::new(Kind::model(), key)]).unwrap_or_default()
        };
        let canonical = rows(key).into_iter().find_map(|row| row.canonical);
        let leads_there = |name: &str| {
            let name = names::follow(aliases, name);
            let is_named = name == id || canonical.as_deref() == Some(&*names::link(name));
            // The key of another model means that model alone.
            name == key || is_named && (ModelKey::parse(name).is_err() || rows(name).is_empty())
        };
        let names = aliases.keys().filter(|name| leads_there(name));
        let names = names.map(|name| format!("alias {name}"));
        let presets = owned.saved.presets.iter();
        let presets = presets
            .filter(|(_, (preset, _))| leads_there(&preset.model))
            .map(|(name, _)| format!("preset {name}"));
        names.chain(presets).collect()
    }
}
