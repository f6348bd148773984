//! Entries: everything durable is one.

use crate::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{fmt, sync::Arc};

/// What sort of thing an entry is: `model`, `preset`, `backend`, `drain`, …
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Kind(Arc<str>);

/// A text that cannot be a kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no kind: expected 1 to 32 lower-case letters or `-`")]
pub struct KindError(pub String);

impl Kind {
    /// Checks a kind.
    pub fn new(text: &str) -> Result<Self, KindError> {
        let is_kind = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if is_kind { Ok(Self(text.into())) } else { Err(KindError(text.to_owned())) }
    }

    /// What one source observed of a model at one provider; the key is a [`crate::ModelKey`].
    pub fn model() -> Self {
        Self("model".into())
    }

    /// What one source says of a model whoever provides it; the key is its canonical id.
    pub fn canonical() -> Self {
        Self("canonical".into())
    }

    /// A model with parameters for a tier and a slot; the key is `TIER/SLOT`.
    pub fn preset() -> Self {
        Self("preset".into())
    }

    /// A server that offers models; the key is its name.
    pub fn backend() -> Self {
        Self("backend".into())
    }

    /// A backend that gets nothing new; the key is its name.
    pub fn drain() -> Self {
        Self("drain".into())
    }

    /// A registry of files as it was published, once and for all; the key names repository, commit
    /// and file.
    pub fn file_registry() -> Self {
        Self("file-registry".into())
    }

    /// What a source publishes at a ref now; the key is `SOURCE@REF`.
    pub fn file_ref() -> Self {
        Self("file-ref".into())
    }

    /// A source of files; the key is its own among what it publishes: `models/KEY`.
    pub fn source() -> Self {
        Self("source".into())
    }

    /// Returns the kind as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Kind {
    type Error = KindError;
    fn try_from(text: String) -> Result<Self, KindError> {
        Self::new(&text)
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> Self {
        kind.0.as_ref().to_owned()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Kind and key: what an entry is about, whoever publishes it.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct EntryId {
    /// What sort of thing it is.
    pub kind: Kind,
    /// Its key among its kind.
    pub key: Arc<str>,
}

impl EntryId {
    /// Puts an id together.
    pub fn new(kind: Kind, key: &str) -> Self {
        Self { kind, key: key.into() }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.key)
    }
}

/// Whether a key may come to mean something else.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nature {
    /// It never does: who publishes other content under it meets a conflict.
    Frozen,
    /// It is a head over numbered revisions.
    Tracking,
}

/// An entry's content: JSON in its canonical form (object keys sorted, no white space), and the
/// digest of that text. Cloning shares both.
#[derive(Clone, Eq, PartialEq)]
pub struct Body {
    text: Arc<str>,
    digest: Digest,
}

impl Body {
    /// Writes a value in canonical form.
    pub fn new(value: &Value) -> Self {
        let mut text = String::new();
        write_canonical(value, &mut text);
        Self { digest: Digest::of(text.as_bytes()), text: text.into() }
    }

    /// Returns a body as it was stored, with the digest that was stored beside it; whoever doubts
    /// compares it with that of the text.
    pub fn stored(text: Arc<str>, digest: Digest) -> Self {
        Self { text, digest }
    }

    /// Writes anything that serializes in canonical form.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_value(value).map(|value| Self::new(&value))
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the digest of the canonical text.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Reads the content.
    pub fn read<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The order of keys must not depend on how some crate configured the JSON library.
fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (i, (name, value)) in fields.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(&Value::from(name.as_str()), out);
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_canonical(item, out);
            }
            out.push(']');
        }
        simple => out.push_str(&simple.to_string()),
    }
}

/// One thing that a source publishes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What it is about.
    pub id: EntryId,
    /// Whether its key may come to mean something else.
    pub nature: Nature,
    /// What the source says of it.
    pub body: Body,
}

impl Entry {
    /// An entry whose content may change.
    pub fn tracking(kind: Kind, key: &str, body: Body) -> Self {
        Self { id: EntryId::new(kind, key), nature: Nature::Tracking, body }
    }

    /// An entry whose content may not.
    pub fn frozen(kind: Kind, key: &str, body: Body) -> Self {
        Self { id: EntryId::new(kind, key), nature: Nature::Frozen, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_is_the_same_however_its_keys_were_ordered() {
        let one = Body::new(&json!({"b": [1, {"y": "é\"", "x": null}], "a": 0.5}));
        assert_eq!(one.as_str(), r#"{"a":0.5,"b":[1,{"x":null,"y":"é\""}]}"#);
        let other: Value =
            serde_json::from_str(r#"{"a":0.5, "b":[1,{"x":null,"y":"é\""}]}"#).unwrap();
        assert_eq!(one, Body::new(&other));
        assert_eq!(one.digest(), Digest::of(one.as_str().as_bytes()));
    }

    #[test]
    fn kinds_are_words() {
        assert_eq!(Kind::new("file-set").unwrap().as_str(), "file-set");
        for bad in ["", "Model", "a b", "ä", &"x".repeat(33)] {
            assert_eq!(Kind::new(bad), Err(KindError(bad.to_owned())));
        }
    }
}
