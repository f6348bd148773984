//! Reads what routing must know from a request body, in one pass and without copying it.

use crate::fill::Fill;
use callsheet_fleet::Needs;
use memchr::memmem::Finder;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt, ops::Range, sync::LazyLock};

/// What a request body says, as far as routing cares.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    /// The model's name, unescaped.
    pub(crate) model: Cow<'a, str>,
    /// Where the name stands in the body, quotes included.
    pub(crate) model_range: Range<usize>,
    /// Whether the answer is wanted as a stream of events.
    pub(crate) stream: bool,
    offers_tools: bool,
    declines_tools: bool,
    json_mode: bool,
    vision: bool,
    text_bytes: usize,
    max_tokens: Option<u32>,
}

/// A body that cannot be routed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error("the body is not valid JSON: {0}")]
    Json(String),
    #[error("the body is not valid UTF-8")]
    Utf8,
    #[error("the body is not a JSON object")]
    NotAnObject,
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` stands in the body more than once")]
    Duplicate(&'static str),
    #[error("`{0}` must be {1}")]
    Type(&'static str, &'static str),
}

impl ScanError {
    /// Returns the parameter at fault, as OpenAI's errors name it.
    pub(crate) fn param(&self) -> Option<&'static str> {
        match self {
            Self::Json(_) | Self::Utf8 | Self::NotAnObject => None,
            Self::Missing(name) | Self::Duplicate(name) | Self::Type(name, _) => Some(name),
        }
    }
}

impl Scan<'_> {
    /// Returns what a backend must offer to serve this request, with what a preset adds to it. The
    /// prompt's length in tokens is estimated as its bytes over `bytes_per_token`; pictures and
    /// sound do not count.
    pub(crate) fn needs(&self, bytes_per_token: f64, fill: Option<&Fill<'_>>) -> Needs<'static> {
        let prompt_tokens = (self.text_bytes as f64 / bytes_per_token) as u32;
        let offers_tools = self.offers_tools || fill.is_some_and(Fill::offers_tools);
        let declines_tools = self.declines_tools || fill.is_some_and(Fill::declines_tools);
        let max_tokens = self.max_tokens.or_else(|| fill?.max_tokens()).unwrap_or(0);
        Needs {
            tools: offers_tools && !declines_tools,
            vision: self.vision,
            json_mode: self.json_mode || fill.is_some_and(Fill::asks_for_json),
            min_context: Some(prompt_tokens.saturating_add(max_tokens)),
            only: None,
            tried: &[],
        }
    }
}

/// Scans a body.
pub(crate) fn scan(body: &[u8]) -> Result<Scan<'_>, ScanError> {
    let text = std::str::from_utf8(body).map_err(|_| ScanError::Utf8)?;
    if !text.trim_ascii_start().starts_with('{') {
        return Err(match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => ScanError::NotAnObject,
            Err(error) => ScanError::Json(error.to_string()),
        });
    }
    let Top(fields) = serde_json::from_str(text).map_err(|e| ScanError::Json(e.to_string()))?;
    if let Some(name) = fields.duplicate {
        return Err(ScanError::Duplicate(name));
    }
    let raw_model = fields.model.ok_or(ScanError::Missing("model"))?;
    let Text(model) =
        serde_json::from_str(raw_model.get()).map_err(|_| ScanError::Type("model", "a string"))?;
    if model.is_empty() {
        return Err(ScanError::Type("model", "a model's name, not empty"));
    }
    let stream = match fields.stream.map(RawValue::get) {
        None | Some("null" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(ScanError::Type("stream", "true or false")),
    };
    let offset = raw_model.get().as_ptr() as usize - text.as_ptr() as usize;
    let content = fields.messages.map(|messages| Content::of(messages.get())).unwrap_or_default();
    let is_filled = |value: Option<&RawValue>| {
        value.is_some_and(|value| {
            value.get().starts_with('[') && value.get()[1..].trim_start() != "]"
        })
    };
    let length = |value: Option<&RawValue>| value.map_or(0, |value| value.get().len());
    Ok(Scan {
        model,
        model_range: offset..offset + raw_model.get().len(),
        stream,
        offers_tools: is_filled(fields.tools) || is_filled(fields.functions),
        declines_tools: fields.tool_choice.map(RawValue::get) == Some("\"none\""),
        json_mode: fields.response_format.is_some_and(asks_for_json),
        vision: content.has_images,
        text_bytes: content.text_bytes + length(fields.prompt) + length(fields.tools),
        max_tokens: fields.max_tokens.and_then(|value| value.get().parse().ok()),
    })
}

fn asks_for_json(format: &RawValue) -> bool {
    #[derive(Deserialize)]
    struct Format<'a> {
        #[serde(rename = "type", borrow)]
        kind: Cow<'a, str>,
    }
    serde_json::from_str::<Format<'_>>(format.get())
        .is_ok_and(|format| is_json_format(&format.kind))
}

/// Returns whether a `response_format` of this type is JSON.
pub(crate) fn is_json_format(kind: &str) -> bool {
    matches!(kind, "json_object" | "json_schema")
}

/// What only stands where a part other than text may be; finders are costly to make.
static MEDIA: LazyLock<[Finder<'static>; 4]> =
    LazyLock::new(|| ["image_url", "input_image", "input_audio", "file_data"].map(Finder::new));

/// What the messages hold.
#[derive(Default)]
struct Content {
    has_images: bool,
    text_bytes: usize,
}

impl Content {
    /// Looks closely only where a part other than text may be: its data must not count as prompt.
    fn of(messages: &str) -> Self {
        let plain = Self { has_images: false, text_bytes: messages.len() };
        let bytes = messages.as_bytes();
        let may_hold_media = MEDIA.iter().any(|word| word.find(bytes).is_some());
        if !may_hold_media {
            return plain;
        }
        // A shape that is not understood here is the backend's to judge.
        Self::of_parts(messages).unwrap_or(plain)
    }

    fn of_parts(messages: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow, default)]
            content: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Part<'a> {
            #[serde(rename = "type", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow, default)]
            text: Option<&'a RawValue>,
        }
        let mut found = Self::default();
        for message in serde_json::from_str::<Vec<Message<'_>>>(messages)? {
            let Some(content) = message.content.map(RawValue::get) else { continue };
            if !content.starts_with('[') {
                found.text_bytes += content.len();
                continue;
            }
            for part in serde_json::from_str::<Vec<Part<'_>>>(content)? {
                found.has_images |= matches!(&*part.kind, "image_url" | "input_image");
                found.text_bytes += part.text.map_or(0, |text| text.get().len());
            }
        }
        Ok(found)
    }
}

/// A string, borrowed where it has no escapes.
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// The fields of the top level that routing reads; every other value is checked and skipped.
#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a RawValue>,
    stream: Option<&'a RawValue>,
    messages: Option<&'a RawValue>,
    prompt: Option<&'a RawValue>,
    tools: Option<&'a RawValue>,
    functions: Option<&'a RawValue>,
    tool_choice: Option<&'a RawValue>,
    response_format: Option<&'a RawValue>,
    max_tokens: Option<&'a RawValue>,
    duplicate: Option<&'static str>,
}

struct Top<'a>(Fields<'a>);

enum Key {
    Model,
    Stream,
    Messages,
    Prompt,
    Tools,
    Functions,
    ToolChoice,
    ResponseFormat,
    MaxTokens,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "model" => Key::Model,
                    "stream" => Key::Stream,
                    "messages" => Key::Messages,
                    "prompt" | "input" => Key::Prompt,
                    "tools" => Key::Tools,
                    "functions" => Key::Functions,
                    "tool_choice" => Key::ToolChoice,
                    "response_format" => Key::ResponseFormat,
                    "max_tokens" | "max_completion_tokens" => Key::MaxTokens,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Top<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TopVisitor;
        impl<'de> Visitor<'de> for TopVisitor {
            type Value = Top<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key::<Key>()? {
                    let (slot, name) = match key {
                        Key::Model => (&mut fields.model, Some("model")),
                        Key::Stream => (&mut fields.stream, Some("stream")),
                        Key::Messages => (&mut fields.messages, Some("messages")),
                        Key::Prompt => (&mut fields.prompt, None),
                        Key::Tools => (&mut fields.tools, Some("tools")),
                        Key::Functions => (&mut fields.functions, Some("functions")),
                        Key::ToolChoice => (&mut fields.tool_choice, Some("tool_choice")),
                        Key::ResponseFormat => {
                            (&mut fields.response_format, Some("response_format"))
                        }
                        Key::MaxTokens => (&mut fields.max_tokens, None),
                        Key::Other => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    let value: &'de RawValue = map.next_value().map_err(A::Error::custom)?;
                    // Two readers may choose differently between duplicates, so that a request
                    // could be checked as one thing and served as another.
                    if slot.replace(value).is_some() {
                        fields.duplicate = fields.duplicate.or(name);
                    }
                }
                Ok(Top(fields))
            }
        }
        deserializer.deserialize_map(TopVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Scan<'_> {
        scan(body.as_bytes()).unwrap()
    }

    #[test]
    fn the_model_is_found_where_it_stands() {
        for (body, model, range) in [
            (r#"{"model":"a"}"#, "a", 9..12),
            (
                r#" {"x":{"model":"no"}, "model" :  "qwen/qwen3-8b" , "y":[1]}"#,
                "qwen/qwen3-8b",
                33..48,
            ),
            (r#"{"model":"a\u0062\"c"}"#, "ab\"c", 9..21),
            (r#"{"mod\u0065l":"a"}"#, "a", 14..17),
        ] {
            let found = read(body);
            assert_eq!((&*found.model, found.model_range), (model, range), "{body}");
        }
        assert!(matches!(read(r#"{"model":"a"}"#).model, Cow::Borrowed(_)));
    }

    #[test]
    fn a_body_that_cannot_be_routed_says_why() {
        for (body, error) in [
            ("", "the body is not valid JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "the body is not a JSON object"),
            ("\"model\"", "the body is not a JSON object"),
            (
                "{\"model\":\"a\"",
                "the body is not valid JSON: EOF while parsing an object at line 1 column 12",
            ),
            (
                "{\"model\":\"a\",}",
                "the body is not valid JSON: trailing comma at line 1 column 14",
            ),
            (
                "{\"model\":\"a\"}}",
                "the body is not valid JSON: trailing characters at line 1 column 14",
            ),
            ("{}", "`model` is missing"),
            ("{\"model\":1}", "`model` must be a string"),
            ("{\"model\":null}", "`model` must be a string"),
            ("{\"model\":\"\"}", "`model` must be a model's name, not empty"),
            ("{\"model\":\"a\",\"model\":\"b\"}", "`model` stands in the body more than once"),
            (
                "{\"model\":\"a\",\"mod\\u0065l\":\"b\"}",
                "`model` stands in the body more than once",
            ),
            (
                "{\"model\":\"a\",\"stream\":true,\"stream\":false}",
                "`stream` stands in the body more than once",
            ),
            (
                "{\"model\":\"a\",\"messages\":[],\"messages\":[]}",
                "`messages` stands in the body more than once",
            ),
            ("{\"model\":\"a\",\"stream\":\"yes\"}", "`stream` must be true or false"),
        ] {
            assert_eq!(scan(body.as_bytes()).unwrap_err().to_string(), error, "{body}");
        }
        assert!(matches!(scan(b"{\"model\":\"\xff\"}"), Err(ScanError::Utf8)));
    }

    #[test]
    fn needs_are_read_from_what_the_request_says() {
        let needs = |body: &str| {
            let needs = read(body).needs(4.0, None);
            (needs.tools, needs.json_mode, needs.vision)
        };
        assert_eq!(
            needs(r#"{"model":"a","tools":[],"response_format":{"type":"text"}}"#),
            (false, false, false)
        );
        assert_eq!(
            needs(r#"{"model":"a","tools":[{}],"tool_choice":"none"}"#),
            (false, false, false)
        );
        assert_eq!(needs(r#"{"model":"a","tools":[{}]}"#), (true, false, false));
        assert_eq!(needs(r#"{"model":"a","functions":[{}]}"#), (true, false, false));
        assert_eq!(
            needs(r#"{"model":"a","response_format":{"type":"json_schema","json_schema":{}}}"#),
            (false, true, false)
        );
        assert_eq!(
            needs(
                r#"{"model":"a","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:"}}]}]}"#
            ),
            (false, false, true)
        );
        assert_eq!(
            needs(
                r#"{"model":"a","messages":[{"role":"user","content":"what is an image_url?"}]}"#
            ),
            (false, false, false)
        );
    }

    #[test]
    fn the_context_counts_text_and_the_wanted_answer_but_no_pictures() {
        let context = |body: &str| read(body).needs(4.0, None).min_context.unwrap();
        assert_eq!(context(r#"{"model":"a","max_tokens":100}"#), 100);
        let text = "x".repeat(4000);
        assert!((1000..1020).contains(&context(&format!(
            r#"{{"model":"a","messages":[{{"content":"{text}"}}]}}"#
        ))));
        let picture = format!(
            r#"{{"model":"a","messages":[{{"content":[{{"type":"text","text":"hi"}},{{"type":"image_url","image_url":{{"url":"data:{text}"}}}}]}}]}}"#
        );
        assert!(context(&picture) < 10);
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let body =
            format!("{{\"model\":\"a\",\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(read(&body).model, "a");
    }
}
