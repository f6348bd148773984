//! Catalogs of models as others write them, and as Callsheet does.
//!
//! [`read`] makes [`Facts`] of files in one [`Format`], [`write()`] the other way round. What a file
//! says that is not understood is a problem with a place, never passed over; what a format cannot
//! say is listed in what was [`Written`].

mod callsheet;
mod decimal;
mod error;
mod fields;
pub(crate) mod json;
pub(crate) mod layout;
mod litellm;
mod litellm_cost;
mod models_dev;
mod models_dev_write;
mod omissions;
mod openrouter;
mod openrouter_write;
mod prices;
pub(crate) mod registry;
#[doc(hidden)]
pub mod replay;

pub use error::FormatError;

use crate::{
    Facts,
    presets::{PresetError, PresetName, check_preset},
};
use callsheet_types::{ModelKey, Preset, Problem};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
};

/// A way to write a catalog down.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Format {
    /// One JSON file of models and presets, as ratatoskr has it.
    #[serde(rename = "registry")]
    Registry,
    /// The list that OpenRouter answers with.
    #[serde(rename = "openrouter")]
    OpenRouter,
    /// The folders of models.dev, or its `api.json`.
    #[serde(rename = "models.dev")]
    ModelsDev,
    /// `LiteLLM`'s map of prices and context windows.
    #[serde(rename = "litellm")]
    LiteLlm,
    /// Our own, which says everything.
    #[serde(rename = "callsheet")]
    Callsheet,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] =
        [Self::Registry, Self::OpenRouter, Self::ModelsDev, Self::LiteLlm, Self::Callsheet];

    /// Returns the format's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::OpenRouter => "openrouter",
            Self::ModelsDev => "models.dev",
            Self::LiteLlm => "litellm",
            Self::Callsheet => "callsheet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no format.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no format: expected \"registry\", \"openrouter\", \"models.dev\", \"litellm\" or \"callsheet\""
)]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == text);
        known.ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

/// What some files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// Models, each of which stands here once, in the order of their keys.
    pub models: Vec<(ModelKey, Facts)>,
    /// What is said of models whoever provides them, by canonical id.
    pub canonical: Vec<(String, Facts)>,
    /// Presets by `TIER/SLOT`.
    pub presets: Vec<(String, Preset)>,
    /// What was not understood or not believed. Messages hold no values, so that [`group`] finds
    /// what is alike.
    pub problems: Vec<Problem>,
    /// When this was so, where the files say it.
    pub as_of: Option<Timestamp>,
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exported {
    /// Models.
    pub models: Vec<(ModelKey, Facts)>,
    /// What is said of models whoever provides them, by canonical id.
    pub canonical: Vec<(String, Facts)>,
    /// Presets by `TIER/SLOT`.
    pub presets: Vec<(String, Preset)>,
    /// When this is so.
    pub as_of: Option<Timestamp>,
}

/// A catalog's text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// The file. The same models give the same bytes, in whatever order they come.
    pub bytes: Vec<u8>,
    /// How many models of providers are in it.
    pub models: usize,
    /// What the format has no place for, and so is not in the file.
    pub omissions: Vec<Problem>,
}

/// Problems that say the same.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Grouped {
    /// What is wrong.
    pub message: String,
    /// How often.
    pub count: usize,
    /// Where it is so first.
    pub first_place: String,
}

/// Reads a catalog from files by their paths.
///
/// A file that is not of the format, or is cut off, refuses the whole; one bad model is a problem
/// and the others stand.
pub fn read<B: AsRef<[u8]>>(
    format: Format,
    files: &BTreeMap<String, B>,
) -> Result<Catalog, FormatError> {
    let mut catalog = match format {
        Format::Registry => json::only(format, files)?.and_then(registry::read),
        Format::OpenRouter => json::only(format, files)?.and_then(openrouter::read),
        Format::ModelsDev => models_dev::read(files),
        Format::LiteLlm => json::only(format, files)?.and_then(litellm::read),
        Format::Callsheet => json::only(format, files)?.and_then(callsheet::read),
    }?;
    let Catalog { presets, problems, .. } = &mut catalog;
    presets.retain_mut(|(name, preset)| {
        // Who says null has said nothing.
        preset.parameters.retain(|_, value| !value.is_null());
        let checked = PresetName::parse(name).and_then(|_| check_preset(preset));
        let Err(error) = checked else { return true };
        let message = format!("{}: the preset is left out", refused(&error));
        problems.push(Problem { place: format!("preset {name}"), message });
        false
    });
    if catalog.models.is_empty() && catalog.canonical.is_empty() && catalog.presets.is_empty() {
        if let Some(problem) = catalog.problems.first() {
            return Err(FormatError::NothingUsable {
                format,
                place: problem.place.clone(),
                message: problem.message.clone(),
                problems: catalog.problems.len(),
            });
        }
        return Err(FormatError::Empty { format, file: json::names(files) });
    }
    let Catalog { models, canonical, presets, problems, .. } = &mut catalog;
    once(models, problems);
    once(canonical, problems);
    once(presets, problems);
    Ok(catalog)
}

/// Writes a catalog.
pub fn write(format: Format, exported: &Exported) -> Written {
    let mut sorted = exported.clone();
    sorted.models.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.canonical.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.presets.sort_by(|a, b| a.0.cmp(&b.0));
    match format {
        Format::Registry => registry::write(&sorted),
        Format::OpenRouter => openrouter_write::write(&sorted),
        Format::ModelsDev => models_dev_write::write(&sorted),
        Format::LiteLlm => litellm::write(&sorted),
        Format::Callsheet => callsheet::write(&sorted),
    }
}

/// Puts problems that say the same together, the most frequent first.
pub fn group(problems: &[Problem]) -> Vec<Grouped> {
    let mut at: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Grouped> = Vec::new();
    for problem in problems {
        let index = *at.entry(&problem.message).or_insert_with(|| {
            groups.push(Grouped {
                message: problem.message.clone(),
                count: 0,
                first_place: problem.place.clone(),
            });
            groups.len() - 1
        });
        groups[index].count += 1;
    }
    groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.message.cmp(&b.message)));
    groups
}

/// Says what is wrong with a preset without the value that is wrong.
fn refused(error: &PresetError) -> String {
    match error {
        PresetError::Value { parameter, expected, .. } => {
            format!("`{parameter}` cannot be so, expected {expected}")
        }
        PresetError::Model(_) => "`model` is empty or too long".to_owned(),
        PresetError::OfRequest(parameter) => format!("`{parameter}` is not for a preset to set"),
        PresetError::Name(_) | PresetError::NoAssignment(_) => {
            "a tier and a slot are 1 to 64 letters, digits, `.`, `_` or `-`".to_owned()
        }
    }
}

/// Sorts by key and keeps the first of what stands there twice.
fn once<K: Ord + fmt::Display, V: PartialEq>(all: &mut Vec<(K, V)>, problems: &mut Vec<Problem>) {
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all.dedup_by(|later, first| {
        let is_same_key = later.0 == first.0;
        if is_same_key && later.1 != first.1 {
            problems.push(Problem {
                place: first.0.to_string(),
                message: "stands there twice with different content; the first counts".to_owned(),
            });
        }
        is_same_key
    });
}
