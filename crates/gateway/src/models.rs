//! `/v1/models`: what can be called now, in OpenAI's shape.

use crate::{Body, Policy, resolve::resolve};
use callsheet_fleet::registry::{BackendStatus, Registry};
use http::{HeaderValue, Response, header};
use serde::Serialize;
use std::borrow::Cow;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: String,
}

/// Lists every model that a healthy backend offers, and the aliases that lead to one.
pub(crate) fn list(fleet: &Registry, policy: &Policy, started: jiff::Timestamp) -> Response<Body> {
    let ids = fleet.model_ids();
    let names = ids.iter().map(|id| &**id).chain(policy.aliases.keys().map(String::as_str));
    let mut data: Vec<_> = names.filter_map(|name| entry(name, fleet, policy, started)).collect();
    data.sort_by(|a, b| a.id.cmp(b.id));
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
    entry(&name, fleet, policy, started).map(|entry| json(&entry))
}

fn entry<'a>(
    name: &'a str,
    fleet: &Registry,
    policy: &Policy,
    started: jiff::Timestamp,
) -> Option<Entry<'a>> {
    let target = resolve(name, policy, fleet);
    let backends = fleet.get_backends_for_model(target.model);
    let owner = backends
        .iter()
        .filter(|backend| target.backend.is_none_or(|only| *backend.id == *only))
        .find(|backend| backend.status() == BackendStatus::Healthy)?;
    Some(Entry {
        id: name,
        object: "model",
        created: started.as_second(),
        owned_by: owner.id.clone(),
    })
}

fn json(value: &impl Serialize) -> Response<Body> {
    // These types serialize without fail: they hold texts and numbers only.
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
