//! What a probe asks of each kind of server, and what its answer means.
//!
//! Only what a backend says counts. A capability is never guessed from a model's name.

use callsheet_types::{BackendType, Model};
use serde::Deserialize;

/// A question to a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Question {
    /// Whether it is ready, where its kind of server says so apart from its models.
    Health,
    /// Which models it has.
    Models,
}

impl Question {
    /// Returns the questions for a kind of server, in order.
    pub(crate) fn all(kind: BackendType) -> &'static [Self] {
        match kind {
            BackendType::LlamaCpp => &[Self::Health, Self::Models],
            _ => &[Self::Models],
        }
    }
}

/// A list of models that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("its list of models cannot be read: {0}")]
pub(crate) struct Garbage(#[from] serde_json::Error);

/// Reads a list of models.
pub(crate) fn models(kind: BackendType, body: &[u8]) -> Result<Vec<Model>, Garbage> {
    if kind == BackendType::Ollama {
        let tags: OllamaTags = serde_json::from_slice(body)?;
        return Ok(tags.models.into_iter().map(|tag| Model::new(tag.name)).collect());
    }
    let list: OpenAiList = serde_json::from_slice(body)?;
    Ok(list.data.into_iter().map(Model::from).collect())
}

#[derive(Deserialize)]
struct OllamaTags {
    models: Vec<OllamaTag>,
}

#[derive(Deserialize)]
struct OllamaTag {
    name: String,
}

#[derive(Deserialize)]
struct OpenAiList {
    data: Vec<OpenAiModel>,
}

/// One model in OpenAI's list, with what vLLM (`max_model_len`) and OpenRouter (the rest) add.
/// What has another type than expected counts as not said.
#[derive(Deserialize)]
struct OpenAiModel {
    id: String,
    #[serde(default)]
    name: serde_json::Value,
    #[serde(default)]
    max_model_len: serde_json::Value,
    #[serde(default)]
    context_length: serde_json::Value,
    #[serde(default)]
    architecture: serde_json::Value,
    #[serde(default)]
    supported_parameters: serde_json::Value,
    #[serde(default)]
    top_provider: serde_json::Value,
}

impl From<OpenAiModel> for Model {
    fn from(said: OpenAiModel) -> Self {
        let number = |value: &serde_json::Value| {
            value.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
        };
        let lists = |value: &serde_json::Value, word: &str| {
            value.as_array().map(|items| items.iter().any(|item| item == word))
        };
        let parameters = &said.supported_parameters;
        Self {
            name: said.name.as_str().unwrap_or(&said.id).to_owned(),
            context_length: number(&said.max_model_len).or_else(|| number(&said.context_length)),
            supports_vision: lists(&said.architecture["input_modalities"], "image"),
            supports_tools: lists(parameters, "tools"),
            supports_json_mode: lists(parameters, "response_format"),
            max_output_tokens: number(&said.top_provider["max_completion_tokens"]),
            id: said.id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_list_is_read_and_silence_stays_unknown() {
        let ollama =
            models(BackendType::Ollama, br#"{"models":[{"name":"llama3:8b","size":1}]}"#).unwrap();
        assert_eq!(ollama, [Model::new("llama3:8b")]);
        let plain =
            models(BackendType::OpenAI, br#"{"object":"list","data":[{"id":"gpt-vision-tools"}]}"#)
                .unwrap();
        assert_eq!(plain, [Model::new("gpt-vision-tools")]);
        let vllm =
            models(BackendType::VLLM, br#"{"data":[{"id":"q","max_model_len":32768}]}"#).unwrap();
        assert_eq!(vllm[0].context_length, Some(32768));
        let router = models(
            BackendType::Generic,
            br#"{"data":[{"id":"a/b","name":"B","context_length":8192,
                "architecture":{"input_modalities":["text","image"]},
                "supported_parameters":["tools"],"top_provider":{"max_completion_tokens":4096}}]}"#,
        )
        .unwrap();
        let expected = Model {
            id: "a/b".to_owned(),
            name: "B".to_owned(),
            context_length: Some(8192),
            supports_vision: Some(true),
            supports_tools: Some(true),
            supports_json_mode: Some(false),
            max_output_tokens: Some(4096),
        };
        assert_eq!(router, [expected]);
    }

    #[test]
    fn odd_values_count_as_not_said_and_garbage_as_garbage() {
        let odd =
            br#"{"data":[{"id":"a","max_model_len":"big","context_length":-1,"architecture":7}]}"#;
        assert_eq!(models(BackendType::Generic, odd).unwrap(), [Model::new("a")]);
        assert_eq!(models(BackendType::Generic, br#"{"data":[]}"#).unwrap(), []);
        for garbage in
            ["", "<html>", "[]", "{}", r#"{"data":[{"name":"no id"}]}"#, r#"{"data":{}}"#]
        {
            assert!(models(BackendType::Generic, garbage.as_bytes()).is_err(), "{garbage}");
        }
    }
}
