//! Models as providers list them.

use serde_json::{Map, Value, json};

use super::Speaks;

/// A model that a [`super::FakeProvider`] lists. What a provider does not say is left out.
#[derive(Clone, Debug, Default)]
pub struct FakeModel {
    /// The id, as the provider has it.
    pub id: String,
    /// The window in which it is served.
    pub context: Option<u64>,
    /// The longest answer.
    pub max_output: Option<u64>,
    /// Dollars for a prompt token and for one of the answer, as texts.
    pub prices: Option<(String, String)>,
    /// Whether it calls tools.
    pub has_tools: bool,
    /// Fields that go over those that are made of the above.
    pub fields: Map<String, Value>,
}

impl FakeModel {
    /// A model of which nothing is known but its id.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), ..Self::default() }
    }

    /// Is served in this window.
    #[must_use]
    pub fn context(mut self, tokens: u64) -> Self {
        self.context = Some(tokens);
        self
    }

    /// Answers with at most so many tokens.
    #[must_use]
    pub fn max_output(mut self, tokens: u64) -> Self {
        self.max_output = Some(tokens);
        self
    }

    /// Costs so many dollars for a prompt token and for one of the answer.
    #[must_use]
    pub fn prices(mut self, prompt: &str, completion: &str) -> Self {
        self.prices = Some((prompt.to_owned(), completion.to_owned()));
        self
    }

    /// Calls tools.
    #[must_use]
    pub fn tools(mut self) -> Self {
        self.has_tools = true;
        self
    }

    /// Has this field, whatever the provider would say.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Returns the model as this provider's list has it.
    pub(super) fn listed(&self, speaks: Speaks) -> Value {
        let id = &self.id;
        let prices = self.prices.as_ref();
        let pricing =
            prices.map(|(prompt, completion)| json!({"prompt": prompt, "completion": completion}));
        let mut value = match speaks {
            Speaks::OpenRouter => {
                let tools: &[_] = if self.has_tools { &["tools", "tool_choice"] } else { &[] };
                let supported: Vec<_> = ["max_tokens", "temperature"].iter().chain(tools).collect();
                json!({
                    "id": id, "canonical_slug": id, "hugging_face_id": "", "name": id,
                    "created": 1_759_161_676, "context_length": self.context,
                    "architecture": {"modality": "text->text", "input_modalities": ["text"],
                        "output_modalities": ["text"], "tokenizer": "Other", "instruct_type": null},
                    "pricing": pricing.unwrap_or_else(|| json!({})),
                    "top_provider": {"context_length": self.context,
                        "max_completion_tokens": self.max_output, "is_moderated": false},
                    "per_request_limits": null, "supported_parameters": supported,
                    "default_parameters": {"temperature": null}, "expiration_date": null,
                })
            }
            Speaks::OpenAi => json!({
                "id": id, "object": "model", "created": 1_715_367_049, "owned_by": "system",
                "shutdown_date": null,
            }),
            Speaks::Anthropic => json!({
                "type": "model", "id": id, "display_name": id, "created_at": "2026-02-01T00:00:00Z",
                "max_input_tokens": self.context, "max_tokens": self.max_output,
                "lifecycle": "active", "deprecated_at": null, "retires_at": null,
            }),
            Speaks::Google => json!({
                "name": format!("models/{id}"), "version": "001", "displayName": id,
                "inputTokenLimit": self.context, "outputTokenLimit": self.max_output,
                "supportedGenerationMethods": ["generateContent"],
            }),
            Speaks::Ollama => json!({
                "name": id, "model": id, "modified_at": "2023-12-07T09:32:18-08:00",
                "size": 3_825_819_519_u64, "digest": format!("fe93{:x}", id.len()),
                "details": {"format": "gguf", "family": "llama", "families": null,
                    "parameter_size": "7B", "quantization_level": "Q4_0"},
            }),
            Speaks::Vllm => json!({
                "id": id, "object": "model", "created": 1_785_370_694, "owned_by": "vllm",
                "root": id, "parent": null, "max_model_len": self.context, "permission": [],
            }),
            Speaks::LlamaCpp => json!({
                "id": id, "object": "model", "created": 1_735_142_223, "owned_by": "llamacpp",
                "meta": {"vocab_type": 2, "n_vocab": 128_256, "n_ctx_train": self.context,
                    "n_embd": 4096, "n_params": 8_030_261_312_u64, "size": 4_912_898_304_u64},
            }),
            Speaks::Replicate => {
                let (owner, name) = id.split_once('/').unwrap_or(("stand-in", id));
                json!({
                    "url": format!("https://replicate.example/{id}"), "owner": owner, "name": name,
                    "visibility": "public", "license_url": null, "run_count": 7,
                    "latest_version": {"id": "39ed52f2", "created_at": "2023-11-06T23:13:07Z",
                        "openapi_schema": {"components": {"schemas": {"Input": {"properties":
                            {"prompt": {"type": "string"}}}}}}},
                })
            }
            Speaks::HuggingFace => json!({
                "_id": "stand-in", "id": id, "modelId": id, "sha": "f9c28bcd",
                "lastModified": "2025-03-12T10:30:05.000Z", "gated": false, "tags": [],
                "pipeline_tag": "text-generation", "cardData": {"license": "apache-2.0"},
                "gguf": {"total": 999_885_952, "architecture": "gemma3",
                    "context_length": self.context},
            }),
            Speaks::Generic => json!({
                "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "stand-in",
                "context_length": self.context, "max_completion_tokens": self.max_output,
                "pricing": pricing,
            }),
        };
        if let Value::Object(fields) = &mut value {
            fields.extend(self.fields.clone());
        }
        value
    }

    /// Returns what `/api/show` of Ollama says.
    pub(super) fn shown(&self) -> Value {
        let tools: &[_] = if self.has_tools { &["tools"] } else { &[] };
        let words: Vec<_> = ["completion"].iter().chain(tools).collect();
        let mut value = json!({
            "license": "MIT License\n", "parameters": "stop \"<|end|>\"",
            "details": {"format": "gguf", "family": "llama", "quantization_level": "Q4_0"},
            "model_info": {"general.architecture": "llama",
                "general.parameter_count": 8_030_261_248_u64,
                "llama.context_length": self.context, "llama.embedding_length": 4096},
            "capabilities": words,
        });
        if let Value::Object(fields) = &mut value {
            fields.extend(self.fields.clone());
        }
        value
    }

    /// Returns the model as Hugging Face's router has it, unless nobody serves it.
    pub(super) fn routed(&self) -> Option<Value> {
        let (prompt, completion) = self.prices.as_ref()?;
        // The router speaks of a million tokens, and in numbers.
        let number = |text: &str| serde_json::from_str::<Value>(&million(text)).unwrap_or_default();
        let mut value = json!({
            "id": self.id, "object": "model", "created": 1_700_000_000, "owned_by": "stand-in",
            "providers": [{"provider": "fast", "status": "live", "context_length": self.context,
                "pricing": {"input": number(prompt), "output": number(completion)},
                "supports_tools": self.has_tools, "supports_structured_output": false}],
        });
        if let (Value::Object(fields), Some(providers)) = (&mut value, self.fields.get("providers"))
        {
            fields.insert("providers".to_owned(), providers.clone());
        }
        Some(value)
    }
}

/// Moves the decimal point of a text six places, which no floating number does without a trace.
fn million(text: &str) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<6}");
    let (moved, rest) = fraction.split_at(6);
    let digits = format!("{whole}{moved}");
    let digits = digits.trim_start_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    if rest.is_empty() { digits.to_owned() } else { format!("{digits}.{rest}") }
}
