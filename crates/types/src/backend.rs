//! Backends as they are described: in a config file, through the API, on the command line.

use crate::{BackendName, BackendUrl, SecretSource};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The kind of server behind a backend: decides how its health is probed and its models are listed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendType {
    /// Ollama; lists its models at `/api/tags`.
    Ollama,
    /// vLLM; says each model's `max_model_len`.
    VLLM,
    /// The llama.cpp server; says at `/health` whether its model is loaded.
    LlamaCpp,
    /// exo.
    Exo,
    /// OpenAI, or a service that answers as it does.
    OpenAI,
    /// LM Studio.
    LMStudio,
    /// Anthropic, through its OpenAI-compatible endpoint.
    Anthropic,
    /// Any other OpenAI-compatible server.
    #[default]
    Generic,
}

impl BackendType {
    /// Every type, in the order in which help texts name them.
    pub const ALL: [Self; 8] = [
        Self::Ollama,
        Self::VLLM,
        Self::LlamaCpp,
        Self::LMStudio,
        Self::Exo,
        Self::OpenAI,
        Self::Anthropic,
        Self::Generic,
    ];

    /// Returns the type's name, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::VLLM => "vllm",
            Self::LlamaCpp => "llamacpp",
            Self::Exo => "exo",
            Self::OpenAI => "openai",
            Self::LMStudio => "lmstudio",
            Self::Anthropic => "anthropic",
            Self::Generic => "generic",
        }
    }
}

impl fmt::Display for BackendType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for BackendType {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let names: Vec<_> = Self::ALL.map(Self::as_str).to_vec();
            format!("{text:?} is no backend type; expected one of {}", names.join(", "))
        })
    }
}

/// How a backend came to be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiscoverySource {
    /// From the config file, or built in.
    Static,
    /// Found on the local network.
    MDNS,
    /// Added through the API or the command line.
    Manual,
}

/// A model as one backend offers it. What the backend does not say is `None`: unknown, which is
/// neither yes nor no.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The id that requests name.
    pub id: String,
    /// A name for people; the id where the backend has no other.
    pub name: String,
    /// The context window in tokens, prompt and answer together.
    pub context_length: Option<u32>,
    /// Whether it takes images.
    pub supports_vision: Option<bool>,
    /// Whether it calls tools.
    pub supports_tools: Option<bool>,
    /// Whether it can be held to JSON.
    pub supports_json_mode: Option<bool>,
    /// The most tokens that it generates for one request.
    pub max_output_tokens: Option<u32>,
}

impl Model {
    /// A model of which nothing but its id is known.
    pub fn new(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: id.clone(), id, ..Self::default() }
    }
}

/// A model as a person declares it for a backend: its id, or a table with what is known of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a model id, or a table with `id` and any of `name`, `context_length`, `supports_vision`, `supports_tools`, `supports_json_mode`, `max_output_tokens`"
)]
pub enum DeclaredModel {
    /// `"qwen3-8b"`
    Id(String),
    /// `{ id = "qwen3-8b", context_length = 32768 }`
    Described(ModelTable),
}

/// The table form of a [`DeclaredModel`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelTable {
    /// See [`Model::id`].
    pub id: String,
    /// See [`Model::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`Model::context_length`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_length: Option<u32>,
    /// See [`Model::supports_vision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supports_vision: Option<bool>,
    /// See [`Model::supports_tools`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supports_tools: Option<bool>,
    /// See [`Model::supports_json_mode`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supports_json_mode: Option<bool>,
    /// See [`Model::max_output_tokens`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
}

impl From<DeclaredModel> for Model {
    fn from(declared: DeclaredModel) -> Self {
        match declared {
            DeclaredModel::Id(id) => Self::new(id),
            DeclaredModel::Described(table) => Self {
                name: table.name.unwrap_or_else(|| table.id.clone()),
                id: table.id,
                context_length: table.context_length,
                supports_vision: table.supports_vision,
                supports_tools: table.supports_tools,
                supports_json_mode: table.supports_json_mode,
                max_output_tokens: table.max_output_tokens,
            },
        }
    }
}

/// A backend as a person describes it: one `[[backends]]` table, one body of the API.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSpec {
    /// Its name, unique among all backends.
    pub name: BackendName,
    /// What kind of server it is.
    #[serde(default, rename = "type")]
    pub backend_type: BackendType,
    /// Where it answers.
    pub url: BackendUrl,
    /// The environment variable of the daemon that holds its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_env: Option<String>,
    /// The file that holds its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_file: Option<std::path::PathBuf>,
    /// Under the `priority` strategy, lower is preferred.
    #[serde(default)]
    pub priority: i32,
    /// Under the `weighted` strategy, its share of requests in relation to its peers' weights.
    #[serde(default = "one")]
    pub weight: u32,
    /// Where it stands; backends in the gateway's own `routing.zone` are preferred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Its models, instead of those that it lists itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<DeclaredModel>>,
    /// The most requests that it is given at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<std::num::NonZeroU32>,
}

fn one() -> u32 {
    1
}

impl BackendSpec {
    /// A spec with every default.
    pub fn new(name: BackendName, url: BackendUrl) -> Self {
        Self {
            name,
            backend_type: BackendType::Generic,
            url,
            api_key_env: None,
            api_key_file: None,
            priority: 0,
            weight: one(),
            zone: None,
            models: None,
            max_concurrent: None,
        }
    }

    /// Returns where its key is kept; the variable goes before the file.
    pub fn key_source(&self) -> Option<SecretSource> {
        self.api_key_env
            .clone()
            .map(SecretSource::Env)
            .or_else(|| self.api_key_file.clone().map(SecretSource::File))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_written_as_it_is_read() {
        for kind in BackendType::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }

    #[test]
    fn a_spec_survives_its_own_json_and_refuses_what_it_does_not_know() {
        let text = r#"{"name":"gpu-1","type":"vllm","url":"http://h:1","priority":-1,"weight":2,
            "models":["a",{"id":"b","context_length":8}],"max_concurrent":4}"#;
        let spec: BackendSpec = serde_json::from_str(text).unwrap();
        let again: BackendSpec =
            serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
        assert_eq!(spec, again);
        for bad in [
            r#"{"name":"a","url":"http://h","prio":1}"#,
            r#"{"name":"a","url":"h"}"#,
            r#"{"name":"a b","url":"http://h"}"#,
            r#"{"name":"a","url":"http://h","max_concurrent":0}"#,
            r#"{"name":"a","url":"http://h","models":[{"id":"x","context":1}]}"#,
        ] {
            assert!(serde_json::from_str::<BackendSpec>(bad).is_err(), "{bad}");
        }
    }
}
