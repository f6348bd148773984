use crate::price::{PartialDate, Price};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What is said of a model: by one source, or by all of them together. What is not said is
/// unknown.
///
/// Its JSON is the body of an entry: absent fields are left out. Token counts are whole tokens.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The id under which the model is known whoever provides it, such as
    /// `anthropic/claude-sonnet-4.5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
    /// The family that it belongs to, such as `qwen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// What it can do: `chat`, `tools`, `vision`, `reasoning`, `json`, `structured_output`,
    /// `embed`, …; words that this version does not know are kept.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub capabilities: BTreeSet<String>,
    /// What it takes: `text`, `image`, `audio`, `video`, `pdf`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_modalities: Option<BTreeSet<String>>,
    /// What it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_modalities: Option<BTreeSet<String>>,
    /// The window in which it is served: prompt and answer together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// The window for which it was trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window_trained: Option<u64>,
    /// The longest prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_input_tokens: Option<u64>,
    /// The longest answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
    /// The length of an embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dimensions: Option<u64>,
    /// How many weights it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter_count: Option<u64>,
    /// What a request may set, by the parameter's name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Parameter>,
    /// The licence of its weights, as an SPDX id where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Whether the weights can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_weights: Option<bool>,
    /// Where the weights are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<Weights>>,
    /// The digest, revision or version id of what is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The address of the files that belong to it, such as `mf6/test@develop/test001a_Tharmonic`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_set: Option<String>,
    /// How the weights are quantized, such as `Q4_K_M` or `fp8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// The end of what it was taught.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub knowledge_cutoff: Option<PartialDate>,
    /// When it came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<PartialDate>,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated: Option<PartialDate>,
    /// When its provider began to advise against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<PartialDate>,
    /// When it stops being served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retires: Option<PartialDate>,
    /// Where it stands: `alpha`, `beta`, `active`, `deprecated`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<String>,
    /// What it costs. An empty list says that nothing is known, as no list does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Vec<Price>>,
    /// What has no field of its own, as the source has it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
    /// Whether somebody wants it gone from every listing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<bool>,
}

/// Where weights are.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weights {
    /// Their address.
    pub url: String,
    /// What they are called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Their digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Whether a request may set a parameter, and to what.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "availability", rename_all = "snake_case")]
pub enum Parameter {
    /// It may be set, within these bounds where they are known.
    Mutable {
        /// The least value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<serde_json::Number>,
        /// The greatest value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<serde_json::Number>,
        /// The value where none is set.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<Value>,
    },
    /// It has this value.
    ReadOnly {
        /// The value.
        value: Value,
    },
    /// It is there; what it takes is not known.
    Opaque,
    /// It is refused or ignored.
    Unsupported,
}
