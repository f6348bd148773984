//! `/v1/models`: what can be called now, in OpenAI's shape, with what is known of it.

use crate::{
    Body, Policy,
    resolve::{PRESET_PREFIX, resolve},
};
use callsheet_fleet::{
    Known,
    registry::{BackendStatus, Registry},
};
use http::{HeaderValue, Response, header};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: Cow<'a, str>,
    object: &'static str,
    created: i64,
    owned_by: String,
    #[serde(flatten)]
    facts: Facts,
}

/// What is known of a model at the backend that it is said to be owned by; nothing else is said.
#[derive(Default, Serialize)]
struct Facts {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context_length: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pricing: Option<Box<RawValue>>,
}

impl From<Arc<Known>> for Facts {
    fn from(known: Arc<Known>) -> Self {
        let capabilities = [
            ("tools", known.supports_tools),
            ("vision", known.supports_vision),
            ("json", known.supports_json_mode),
        ];
        let is_any_known = capabilities.iter().any(|(_, can)| can.is_some());
        let can = |(word, can): (&'static str, Option<bool>)| (can == Some(true)).then_some(word);
        let prices = known.prices.as_ref().and_then(|prices| {
            // What is no JSON would spoil the whole list.
            RawValue::from_string(prices.to_string()).ok()
        });
        Self {
            name: known.name.clone(),
            context_length: known.context_length,
            max_output_tokens: known.max_output_tokens,
            capabilities: is_any_known.then(|| capabilities.into_iter().filter_map(can).collect()),
            pricing: prices,
        }
    }
}

/// Lists every model that a healthy backend offers, and the aliases and presets that lead to one.
pub(crate) fn list(fleet: &Registry, policy: &Policy, started: jiff::Timestamp) -> Response<Body> {
    let ids = fleet.model_ids();
    let names = ids.iter().map(|id| &**id).chain(policy.aliases.keys().map(String::as_str));
    let names = names.map(Cow::Borrowed);
    let presets = policy.presets.keys().map(|name| format!("{PRESET_PREFIX}{name}"));
    let names = names.chain(presets.map(Cow::Owned));
    let mut data: Vec<_> = names.filter_map(|name| entry(name, fleet, policy, started)).collect();
    data.sort_by(|a, b| a.id.cmp(&b.id));
    data.dedup_by(|a, b| a.id == b.id);
    json(&List { object: "list", data })
}

/// Describes one model; the name may be percent-encoded.
pub(crate) fn one(
    name: &str,
    fleet: &Registry,
    policy: &Policy,
    started: jiff::Timestamp,
) -> Option<Response<Body>> {
    let name = percent_decoded(name)?;
    entry(name, fleet, policy, started).map(|entry| json(&entry))
}

fn entry<'a>(
    name: Cow<'a, str>,
    fleet: &Registry,
    policy: &Policy,
    started: jiff::Timestamp,
) -> Option<Entry<'a>> {
    let target = resolve(&name, policy, fleet);
    let backends = fleet.get_backends_for_model(target.model);
    let owner = backends
        .iter()
        .filter(|backend| target.backend.is_none_or(|only| *backend.id == *only))
        .find(|backend| backend.status() == BackendStatus::Healthy)?;
    let known = fleet.known(&owner.id, target.model);
    Some(Entry {
        object: "model",
        created: started.as_second(),
        owned_by: owner.id.clone(),
        facts: known.map(Facts::from).unwrap_or_default(),
        id: name,
    })
}

fn json(value: &impl Serialize) -> Response<Body> {
    // These types serialize without fail: they hold texts, numbers and JSON only.
    let mut response = Response::new(Body::full(serde_json::to_vec(value).unwrap_or_default()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_may_come_encoded() {
        for (text, expected) in [
            ("qwen/qwen3-8b", Some("qwen/qwen3-8b")),
            ("qwen%2Fqwen3-8b", Some("qwen/qwen3-8b")),
            ("a%20b", Some("a b")),
            ("a%", None),
            ("a%2", None),
            ("a%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(percent_decoded(text).as_deref(), expected, "{text}");
        }
    }
}
