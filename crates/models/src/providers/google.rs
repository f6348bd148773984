//! Google's Gemini API: limits, methods, and the defaults of sampling; pages go by a token.

use super::{
    ListError,
    read::{Page, Reader, each, items, json},
};
use crate::{Facts, Parameter};
use serde_json::{Number, Value};

pub(super) fn parse(body: &[u8]) -> Result<Page, ListError> {
    let root = json(body)?;
    let mut page = Page::default();
    each(&mut page, items(&root, "models")?, "name", |name, model| {
        Some((name.strip_prefix("models/").unwrap_or(name).to_owned(), facts(model)))
    });
    let token = root.get("nextPageToken").and_then(Value::as_str);
    page.next = token.filter(|token| !token.is_empty()).map(str::to_owned);
    Ok(page)
}

fn facts(model: &Reader<'_>) -> Facts {
    let methods = model.texts("supportedGenerationMethods").unwrap_or_default();
    let has = |method: &str| methods.iter().any(|name| name == method);
    let embeds = has("embedContent") || has("embedText");
    let max_input_tokens = model.count("inputTokenLimit");
    let mut facts = Facts {
        name: model.text("displayName"),
        // No other number says how much the model looks at.
        context_window: max_input_tokens,
        max_input_tokens,
        // Of an embedding model it is 1, which is no length of an answer.
        max_output_tokens: model.count("outputTokenLimit").filter(|_| !embeds),
        digest: model.text("version"),
        ..Facts::default()
    };
    for (word, is) in
        [("chat", has("generateContent")), ("embed", embeds), ("reasoning", model.is("thinking"))]
    {
        if is {
            facts.capabilities.insert(word.to_owned());
        }
    }
    for (field, name, max) in [
        ("temperature", "temperature", number(model, "maxTemperature")),
        ("topP", "top_p", None),
        ("topK", "top_k", None),
    ] {
        let default = number(model, field);
        if default.is_some() || max.is_some() {
            let default = default.map(Value::Number);
            let parameter = Parameter::Mutable { min: None, max, default };
            facts.parameters.insert(name.to_owned(), parameter);
        }
    }
    model.keep(&mut facts, &["baseModelId", "description", "supportedGenerationMethods"]);
    facts
}

fn number(model: &Reader<'_>, name: &str) -> Option<Number> {
    let value = model.raw(name)?;
    if !value.is_number() {
        model.wrong(name, "a number");
    }
    value.as_number().cloned()
}
