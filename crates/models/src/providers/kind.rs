use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose manner of listing models a provider has.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// openrouter.ai
    OpenRouter,
    /// platform.openai.com
    OpenAi,
    /// Claude's API.
    Anthropic,
    /// Gemini's API.
    Google,
    /// An Ollama server.
    Ollama,
    /// A vLLM server.
    Vllm,
    /// llama.cpp's server.
    LlamaCpp,
    /// replicate.com
    Replicate,
    /// The hub and the router of Hugging Face.
    HuggingFace,
    /// Anything with `OpenAI`'s list of models.
    Generic,
}

impl ProviderKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::OpenRouter,
        Self::OpenAi,
        Self::Anthropic,
        Self::Google,
        Self::Ollama,
        Self::Vllm,
        Self::LlamaCpp,
        Self::Replicate,
        Self::HuggingFace,
        Self::Generic,
    ];

    /// Returns the kind as it is written in a config file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenRouter => "openrouter",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Google => "google",
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::LlamaCpp => "llamacpp",
            Self::Replicate => "replicate",
            Self::HuggingFace => "huggingface",
            Self::Generic => "generic",
        }
    }

    /// Returns the kind that a provider of this name is where nothing else is said.
    pub fn of_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap_or(Self::Generic)
    }

    /// Returns the kind of a public service, which can be asked without being configured.
    pub fn of_service(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name && kind.is_service())
    }

    /// Returns the public services: name and address.
    pub fn services() -> impl Iterator<Item = (&'static str, &'static str)> {
        let services = Self::ALL.into_iter().filter(|kind| kind.is_service());
        services.filter_map(|kind| Some((kind.as_str(), kind.default_url()?)))
    }

    /// Returns whether it is a public service, and no server of one's own.
    pub fn is_service(self) -> bool {
        matches!(
            self,
            Self::OpenRouter
                | Self::OpenAi
                | Self::Anthropic
                | Self::Google
                | Self::Replicate
                | Self::HuggingFace
        )
    }

    /// Returns where it is found unless something else is said.
    pub fn default_url(self) -> Option<&'static str> {
        Some(match self {
            Self::OpenRouter => "https://openrouter.ai/api/v1",
            Self::OpenAi => "https://api.openai.com/v1",
            Self::Anthropic => "https://api.anthropic.com/v1",
            Self::Google => "https://generativelanguage.googleapis.com/v1beta",
            Self::Ollama => "http://127.0.0.1:11434",
            Self::Vllm => "http://127.0.0.1:8000",
            Self::LlamaCpp => "http://127.0.0.1:8080",
            Self::Replicate => "https://api.replicate.com/v1",
            Self::HuggingFace => "https://huggingface.co",
            Self::Generic => return None,
        })
    }

    /// Returns the variable in which people keep the key.
    pub fn key_variable(self) -> Option<&'static str> {
        Some(match self {
            Self::OpenRouter => "OPENROUTER_API_KEY",
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::Google => "GEMINI_API_KEY",
            Self::Replicate => "REPLICATE_API_TOKEN",
            Self::HuggingFace => "HF_TOKEN",
            Self::Ollama | Self::Vllm | Self::LlamaCpp | Self::Generic => return None,
        })
    }

    /// Returns whether it answers with all that it has, and is not asked about models one by one.
    pub fn has_whole_list(self) -> bool {
        !matches!(self, Self::Replicate | Self::HuggingFace)
    }

    /// Returns whether it lists nothing to those who have no key.
    pub fn needs_key(self) -> bool {
        matches!(self, Self::OpenAi | Self::Anthropic | Self::Google | Self::Replicate)
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for kind in ProviderKind::ALL {
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(text, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<ProviderKind>(&text).unwrap(), kind);
            assert_eq!(ProviderKind::of_name(kind.as_str()), kind);
        }
        assert_eq!(ProviderKind::of_name("gpu-1"), ProviderKind::Generic);
        assert_eq!(ProviderKind::of_service("ollama"), None);
        assert_eq!(ProviderKind::services().count(), 6);
    }
}
