//! JSON files: which of the files is the catalog, whether it is one, and how ours are laid out.

use super::{Format, FormatError};
use serde_json::Value;
use std::collections::BTreeMap;

/// A JSON file that was read.
pub(crate) struct Document {
    /// Its path.
    pub(crate) file: String,
    /// What it says.
    pub(crate) value: Value,
}

impl Document {
    /// Hands the document to a reader.
    pub(crate) fn and_then<T>(self, reader: impl FnOnce(Self) -> T) -> T {
        reader(self)
    }
}

/// Reads the only JSON file among some files.
pub(crate) fn only<B: AsRef<[u8]>>(
    format: Format,
    files: &BTreeMap<String, B>,
) -> Result<Document, FormatError> {
    let is_json = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        name.rsplit_once('.').is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("json"))
    };
    let mut candidates: Vec<_> = files.iter().collect();
    if candidates.len() > 1 {
        candidates.retain(|(path, _)| is_json(path));
    }
    let [(path, bytes)] = candidates.as_slice() else {
        let message = match candidates.len() {
            0 => "expected one JSON file, found none".to_owned(),
            count => format!("expected one JSON file, found {count}"),
        };
        return Err(FormatError::Foreign { format, file: names(files), message });
    };
    parse(format, path, bytes.as_ref())
}

/// Reads one JSON file, unless it is empty, cut off or an error message.
pub(crate) fn parse(format: Format, file: &str, bytes: &[u8]) -> Result<Document, FormatError> {
    let file = file.to_owned();
    if bytes.trim_ascii().is_empty() {
        return Err(FormatError::Empty { format, file });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let message = error.to_string();
        // The place is said apart.
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        FormatError::Syntax {
            file: file.clone(),
            line: error.line(),
            column: error.column(),
            message,
        }
    })?;
    if let Some(said) = error_message(&value) {
        return Err(FormatError::ErrorBody { file, said });
    }
    Ok(Document { file, value })
}

/// Returns what an answer says where it says an error and nothing else.
fn error_message(value: &Value) -> Option<String> {
    let object = value.as_object()?;
    if ["data", "models"].iter().any(|key| object.contains_key(*key)) {
        return None;
    }
    let error = object.get("error").or_else(|| object.get("errors"));
    let message = || object.get("message").filter(|_| object.len() <= 4);
    let error = error.or_else(message).filter(|error| !is_model(error))?;
    let text = error.get("message").unwrap_or(error);
    let said = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
    Some(said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect())
}

/// A map of models may have one that is called `error`.
fn is_model(value: &Value) -> bool {
    value.get("litellm_provider").is_some()
}

/// Returns the files' names, for a message.
pub(crate) fn names<B>(files: &BTreeMap<String, B>) -> String {
    match files.len() {
        0 => "no file".to_owned(),
        1 => files.keys().next().cloned().unwrap_or_default(),
        count => {
            format!("{} and {} others", files.keys().next().map_or("", |name| name), count - 1)
        }
    }
}

/// Returns what sort of JSON something is, for a message.
pub(crate) fn sort_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Writes JSON for people: two spaces, keys sorted, a newline at the end.
pub(crate) fn pretty(value: &Value) -> Vec<u8> {
    // A `Value` is always JSON.
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    text
}
