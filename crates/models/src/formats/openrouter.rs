//! The list of models that OpenRouter answers with, from a file.

use super::{Catalog, Format, FormatError, json::Document};
use crate::providers::{self, ProviderKind};
use callsheet_types::{ModelKey, Problem};
use serde_json::Value;

/// The keys of a model, of the tables in it and of the list. What they say is read as it is where
/// OpenRouter itself is asked; here it is seen to that nothing else is said.
const MODEL: [&str; 20] = [
    "alias_target",
    "architecture",
    "benchmarks",
    "canonical_slug",
    "context_length",
    "created",
    "default_parameters",
    "description",
    "expiration_date",
    "hugging_face_id",
    "id",
    "knowledge_cutoff",
    "links",
    "name",
    "per_request_limits",
    "pricing",
    "reasoning",
    "supported_parameters",
    "supported_voices",
    "top_provider",
];
const INSIDE: [(&str, &[&str]); 3] = [
    (
        "architecture",
        &["input_modalities", "instruct_type", "modality", "output_modalities", "tokenizer"],
    ),
    (
        "pricing",
        &[
            "audio",
            "audio_output",
            "completion",
            "image",
            "image_output",
            "image_token",
            "input_cache_read",
            "input_cache_write",
            "internal_reasoning",
            "prompt",
            "request",
            "web_search",
        ],
    ),
    ("top_provider", &["context_length", "is_moderated", "max_completion_tokens"]),
];
const LIST: [&str; 3] = ["data", "links", "total_count"];

pub(super) fn read(document: Document) -> Result<Catalog, FormatError> {
    let Document { file, value } = document;
    let foreign = |message: String| FormatError::Foreign {
        format: Format::OpenRouter,
        file: file.clone(),
        message,
    };
    let Some(models) = value.get("data").and_then(Value::as_array) else {
        return Err(foreign("expected a list `data`".to_owned()));
    };
    let mut catalog = Catalog::default();
    unknown(&value, &LIST, &file, &mut catalog.problems);
    if value.pointer("/links/next").is_some_and(Value::is_string) {
        let message = "there is a next page, which the file does not have".to_owned();
        catalog.problems.push(Problem { place: file.clone(), message });
    }
    for (index, model) in models.iter().enumerate() {
        let id = model.get("id").and_then(Value::as_str);
        let place = match id {
            Some(id) => format!("{file} {id}"),
            None => format!("{file} data[{index}]"),
        };
        unknown(model, &MODEL, &place, &mut catalog.problems);
        for (key, known) in INSIDE {
            let Some(table) = model.get(key) else { continue };
            unknown(table, known, &format!("{place} [{key}]"), &mut catalog.problems);
        }
    }
    // A value is always JSON.
    let bytes = serde_json::to_vec(&value).unwrap_or_default();
    let listing = providers::parse(ProviderKind::OpenRouter, &bytes);
    let listing = listing.map_err(|error| foreign(error.to_string()))?;
    for problem in listing.problems {
        let place = format!("{file} {}", problem.place);
        catalog.problems.push(Problem { place, ..problem });
    }
    for (id, facts) in listing.models {
        // The list holds only ids that make a key.
        catalog.models.extend(ModelKey::new("openrouter", &id).map(|key| (key, facts)));
    }
    Ok(catalog)
}

/// Notes the keys of a table that are not known.
fn unknown(value: &Value, known: &[&str], place: &str, problems: &mut Vec<Problem>) {
    let Value::Object(table) = value else { return };
    for key in table.keys().filter(|key| !known.contains(&key.as_str())) {
        let message = format!("unknown key `{key}`");
        problems.push(Problem { place: place.to_owned(), message });
    }
}
