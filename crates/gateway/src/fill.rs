//! What a preset adds to a request: the parameters that its caller left open.

use crate::scan::{ScanError, Text, is_json_format};
use bytes::Bytes;
use callsheet_fleet::Needs;
use callsheet_types::Preset;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};
use std::{fmt, fmt::Write as _, ops::Range};

/// The parameters of a preset that one request left open.
#[derive(Debug)]
pub(crate) struct Fill<'a> {
    open: Vec<Open<'a>>,
}

/// A parameter that was left open.
#[derive(Debug)]
struct Open<'a> {
    key: &'a str,
    value: &'a Value,
    /// Where the request says `null`, which the value replaces.
    nulls: Vec<Range<usize>>,
}

/// What a request is about, and how it is answered, is its caller's to say.
const NEVER_FILLED: [&str; 6] =
    ["model", "messages", "prompt", "input", "stream", "stream_options"];

/// Two names of one thing: whoever sets one has set both.
const SAME: [&str; 2] = ["max_tokens", "max_completion_tokens"];

impl<'a> Fill<'a> {
    /// Everything that a preset says, as for a request that leaves all of it open.
    pub(crate) fn whole(preset: &'a Preset) -> Self {
        let parameters = preset.parameters.iter();
        let open = parameters
            .filter(|(key, value)| !NEVER_FILLED.contains(&key.as_str()) && !value.is_null())
            .map(|(key, value)| Open { key, value, nulls: Vec::new() })
            .collect();
        Self { open }
    }

    /// Looks for what a body leaves open: a second pass, made for requests with a preset only,
    /// because the model's name may be the last thing that a body says.
    pub(crate) fn of(preset: &'a Preset, body: &[u8]) -> Result<Self, ScanError> {
        let mut fill = Self::whole(preset);
        if fill.open.is_empty() {
            return Ok(fill);
        }
        let text = std::str::from_utf8(body).map_err(|_| ScanError::Utf8)?;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let look = Look { fill: &mut fill, body: text };
        look.deserialize(&mut deserializer).map_err(|e| ScanError::Json(e.to_string()))?;
        Ok(fill)
    }

    /// Notes what a body says of a parameter.
    fn said(&mut self, key: &str, value: &str, at: usize) {
        if value == "null" {
            if let Some(open) = self.open.iter_mut().find(|open| open.key == key) {
                open.nulls.push(at..at + value.len());
            }
        } else if SAME.contains(&key) {
            self.open.retain(|open| !SAME.contains(&open.key));
        } else {
            self.open.retain(|open| open.key != key);
        }
    }

    /// Returns whether what a body says of a parameter matters.
    fn concerns(&self, key: &str) -> bool {
        SAME.contains(&key) || self.open.iter().any(|open| open.key == key)
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.open.iter().find(|open| open.key == key).map(|open| open.value)
    }

    /// Returns how many tokens of answer it asks for.
    pub(crate) fn max_tokens(&self) -> Option<u32> {
        let tokens = SAME.iter().find_map(|key| self.get(key))?.as_u64()?;
        Some(u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    /// Returns whether it offers tools.
    pub(crate) fn offers_tools(&self) -> bool {
        let lists = ["tools", "functions"].map(|key| self.get(key).and_then(Value::as_array));
        lists.into_iter().flatten().any(|list| !list.is_empty())
    }

    /// Returns whether it forbids tools.
    pub(crate) fn declines_tools(&self) -> bool {
        self.get("tool_choice").is_some_and(|choice| choice == "none")
    }

    /// Returns whether it asks for JSON.
    pub(crate) fn asks_for_json(&self) -> bool {
        let format = self.get("response_format");
        format.and_then(|format| format["type"].as_str()).is_some_and(is_json_format)
    }

    /// Adds what it needs to what is needed anyway.
    pub(crate) fn add_to<'n>(&self, needs: Needs<'n>) -> Needs<'n> {
        Needs {
            tools: needs.tools || (self.offers_tools() && !self.declines_tools()),
            json_mode: needs.json_mode || self.asks_for_json(),
            min_context: needs.min_context.or(self.max_tokens()),
            ..needs
        }
    }

    /// Returns a body with a model's name in place of what stands at `name_at`, and with what was
    /// left open.
    pub(crate) fn body(&self, body: &Bytes, name_at: &Range<usize>, model: &str) -> [Bytes; 3] {
        // What is new follows the model's name, so that nothing of the body need be copied.
        let mut name = Value::from(model).to_string();
        for open in self.open.iter().filter(|open| open.nulls.is_empty()) {
            // Writing to a string cannot fail.
            let _ = write!(name, ",{}:{}", Value::from(open.key), open.value);
        }
        let replaces_nulls = self.open.iter().any(|open| !open.nulls.is_empty());
        if !replaces_nulls {
            return [body.slice(..name_at.start), name.into(), body.slice(name_at.end..)];
        }
        let replaced = |open: &Open<'_>| {
            let value = open.value.to_string();
            open.nulls.iter().map(move |at| (at.clone(), value.clone())).collect::<Vec<_>>()
        };
        let mut edits: Vec<_> = self.open.iter().flat_map(replaced).collect();
        edits.push((name_at.clone(), name));
        edits.sort_unstable_by_key(|(at, _)| at.start);
        let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
        let mut filled = Vec::with_capacity(body.len() + added);
        let mut done = 0;
        for (at, text) in edits {
            filled.extend_from_slice(&body[done..at.start]);
            filled.extend_from_slice(text.as_bytes());
            done = at.end;
        }
        filled.extend_from_slice(&body[done..]);
        [filled.into(), Bytes::new(), Bytes::new()]
    }
}

/// Reads the top level of a body for a [`Fill`].
struct Look<'f, 'a, 'b> {
    fill: &'f mut Fill<'a>,
    body: &'b str,
}

impl<'de> DeserializeSeed<'de> for Look<'_, '_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Look<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            if self.fill.concerns(&key) {
                let value = map.next_value::<&'de RawValue>()?.get();
                let at = value.as_ptr() as usize - self.body.as_ptr() as usize;
                self.fill.said(&key, value, at);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;
    use proptest::prelude::*;
    use serde_json::json;

    fn preset(parameters: Value) -> Preset {
        let Value::Object(parameters) = parameters else { panic!("an object") };
        Preset { model: "m".into(), parameters }
    }

    fn filled(body: &str, parameters: Value) -> String {
        let preset = preset(parameters);
        let fill = Fill::of(&preset, body.as_bytes()).unwrap();
        let name_at = scan(body.as_bytes()).unwrap().model_range;
        let body = Bytes::copy_from_slice(body.as_bytes());
        String::from_utf8(fill.body(&body, &name_at, "m").concat()).unwrap()
    }

    #[test]
    fn only_what_the_caller_left_open_is_filled() {
        for (body, parameters, sent) in [
            (r#"{"model":"x"}"#, json!({}), r#"{"model":"m"}"#),
            (r#"{"model":"x"}"#, json!({"top_p": 0.95}), r#"{"model":"m","top_p":0.95}"#),
            (
                r#"{ "top_p" : 1, "model" : "x" , "n":[ ]}"#,
                json!({"top_p": 0.95, "stop": ["a\"b"], "temperature": 0.3}),
                r#"{ "top_p" : 1, "model" : "m","stop":["a\"b"],"temperature":0.3 , "n":[ ]}"#,
            ),
            (
                r#"{"temperature": null,"model":"x","seed":null,"user":null}"#,
                json!({"temperature": 0.3, "seed": 7, "top_k": 5}),
                r#"{"temperature": 0.3,"model":"m","top_k":5,"seed":7,"user":null}"#,
            ),
            // An escaped key is the same key, and one that stands deeper is another.
            (
                r#"{"s\u0065ed":1,"x":{"top_k":1},"model":"x"}"#,
                json!({"seed": 7, "top_k": 5}),
                r#"{"s\u0065ed":1,"x":{"top_k":1},"model":"m","top_k":5}"#,
            ),
            // A body that says one thing twice gets it no third time.
            (
                r#"{"model":"x","seed":null,"seed":1}"#,
                json!({"seed": 7}),
                r#"{"model":"m","seed":null,"seed":1}"#,
            ),
            (
                r#"{"model":"x"}"#,
                json!({"model": "y", "stream": true, "messages": [], "seed": null}),
                r#"{"model":"m"}"#,
            ),
        ] {
            assert_eq!(filled(body, parameters), sent, "{body}");
        }
    }

    #[test]
    fn the_longest_answer_has_two_names() {
        for (body, parameters, sent) in [
            (r#"{"model":"x","max_completion_tokens":9}"#, json!({"max_tokens": 5}), None),
            (r#"{"model":"x","max_tokens":9}"#, json!({"max_completion_tokens": 5}), None),
            (
                r#"{"model":"x","max_completion_tokens":null}"#,
                json!({"max_tokens": 5}),
                Some(r#"{"model":"m","max_tokens":5,"max_completion_tokens":null}"#),
            ),
            (
                r#"{"max_tokens":null,"model":"x","max_completion_tokens":9}"#,
                json!({"max_tokens": 5}),
                None,
            ),
        ] {
            let expected = sent.map_or_else(|| body.replace(r#""x""#, r#""m""#), str::to_owned);
            assert_eq!(filled(body, parameters), expected, "{body}");
        }
    }

    #[test]
    fn what_a_preset_adds_is_needed() {
        let preset = preset(json!({
            "max_tokens": 5000,
            "tools": [{}],
            "response_format": {"type": "json_object"},
        }));
        let needs = |body: &str| {
            let fill = Fill::of(&preset, body.as_bytes()).unwrap();
            let needs = scan(body.as_bytes()).unwrap().needs(4.0, Some(&fill));
            (needs.min_context, needs.tools, needs.json_mode)
        };
        assert_eq!(needs(r#"{"model":"x","prompt":"abcdef"}"#), (Some(5002), true, true));
        assert_eq!(
            needs(
                r#"{"model":"x","max_completion_tokens":7,"tools":[],"response_format":{"type":"text"}}"#
            ),
            (Some(7), false, false)
        );
        assert_eq!(needs(r#"{"model":"x","tool_choice":"none"}"#), (Some(5000), false, true));
        let asked = Fill::whole(&preset).add_to(Needs::default());
        assert_eq!((asked.min_context, asked.tools, asked.json_mode), (Some(5000), true, true));
        let more = Needs { min_context: Some(9), ..Needs::default() };
        assert_eq!(Fill::whole(&preset).add_to(more).min_context, Some(9));
    }

    const KEYS: [&str; 5] = ["temperature", "seed", "max_tokens", "max_completion_tokens", "user"];

    proptest! {
        /// Whatever stands in a body, and wherever the model's name does: the caller's own fields
        /// are as they were, the open ones are the preset's, and no key is there twice.
        #[test]
        fn a_filled_body_is_the_callers_and_the_presets(
            fields in proptest::collection::vec(proptest::option::of(proptest::option::of(0..9_u8)), KEYS.len()),
            preset_fields in proptest::collection::vec(proptest::option::of(10..19_u8), KEYS.len()),
            model_at in 0..=KEYS.len(),
        ) {
            let mut parts: Vec<String> = KEYS.iter().zip(&fields)
                .filter_map(|(key, value)| value.map(|value| format!("\"{key}\": {}", json!(value))))
                .collect();
            parts.insert(model_at.min(parts.len()), "\"model\":\"x\"".to_owned());
            let body = format!("{{{}}}", parts.join(" ,"));
            let parameters: serde_json::Map<String, Value> = KEYS.iter().zip(&preset_fields)
                .filter_map(|(key, value)| Some(((*key).to_owned(), json!((*value)?))))
                .collect();
            let mut expected: serde_json::Map<String, Value> = serde_json::from_str(&body).unwrap();
            expected["model"] = "m".into();
            let is_set = |key: &str| {
                let before: Value = serde_json::from_str(&body).unwrap();
                !before[key].is_null()
            };
            for (key, value) in &parameters {
                let is_said = if SAME.contains(&key.as_str()) {
                    SAME.iter().any(|key| is_set(key))
                } else {
                    is_set(key)
                };
                if !is_said {
                    expected.insert(key.clone(), value.clone());
                }
            }
            let sent = filled(&body, parameters.into());
            let got: serde_json::Map<String, Value> = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(sent.matches("\":").count(), got.len(), "{}", sent);
            prop_assert_eq!(got, expected, "{}", sent);
        }
    }
}
