//! Valid answers of `OpenAI`'s protocol.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Kind, Recorded};
use crate::{Behaviour, Chunking, End};

const CREATED: u64 = 1_700_000_000;

/// What a well-behaved backend answers to a call.
pub(super) fn call(request: &Recorded) -> Behaviour {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        return Behaviour::status(400);
    };
    match (request.method.as_str(), endpoint(&request.path)) {
        ("POST", "/v1/chat/completions") => chat(&body),
        ("POST", "/v1/completions") => completion(&body),
        ("POST", "/v1/embeddings") => json_answer(&embeddings(&body)),
        _ => Behaviour::status(404),
    }
}

/// What a well-behaved backend of this kind answers to the questions about itself.
pub(super) fn probe(path: &str, kind: Kind, models: &[String]) -> Behaviour {
    match (endpoint(path), kind) {
        ("/v1/models", _) => {
            let data: Vec<_> = models
                .iter()
                .map(|id| json!({"id": id, "object": "model", "created": CREATED, "owned_by": "stand-in"}))
                .collect();
            json_answer(&json!({"object": "list", "data": data}))
        }
        ("/api/tags", Kind::Ollama) => {
            let models: Vec<_> =
                models.iter().map(|id| json!({"name": id, "model": id, "size": 1})).collect();
            json_answer(&json!({ "models": models }))
        }
        ("/health", Kind::LlamaCpp { has_health: true }) => json_answer(&json!({"status": "ok"})),
        _ => Behaviour::status(404),
    }
}

/// Returns whether this path asks about the backend instead of calling a model.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(endpoint(path), "/v1/models" | "/api/tags" | "/health")
}

fn endpoint(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

fn json_answer(body: &Value) -> Behaviour {
    Behaviour::body(&body.to_string())
}

fn wants_stream(body: &Value) -> bool {
    body["stream"] == json!(true)
}

fn usage(prompt: &str, completion: &str) -> Value {
    let (prompt, completion) =
        (prompt.split_whitespace().count(), completion.split_whitespace().count());
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

fn chat(body: &Value) -> Behaviour {
    let said = last_user_message(body);
    let tool = body["tools"][0]["function"]["name"].as_str().filter(|_| said.contains("call"));
    let usage = usage(&said, &said);
    if wants_stream(body) {
        let (deltas, reason) = match tool {
            Some(name) => (tool_deltas(name, &said), "tool_calls"),
            None => (words(&said).map(|word| json!({ "content": word })).collect(), "stop"),
        };
        return chat_stream(body, deltas, reason, &usage);
    }
    let (message, reason) = match tool {
        Some(name) => (
            json!({"role": "assistant", "content": null, "tool_calls": [{
                "id": "call_1", "type": "function",
                "function": {"name": name, "arguments": arguments(&said)},
            }]}),
            "tool_calls",
        ),
        None => (json!({"role": "assistant", "content": said}), "stop"),
    };
    json_answer(&json!({
        "id": "chatcmpl-stand-in", "object": "chat.completion", "created": CREATED,
        "model": body["model"], "usage": usage,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason}],
    }))
}

fn chat_stream(body: &Value, deltas: Vec<Value>, reason: &str, usage: &Value) -> Behaviour {
    let chunk = |choices: Value| {
        json!({
            "id": "chatcmpl-stand-in", "object": "chat.completion.chunk", "created": CREATED,
            "model": body["model"], "choices": choices,
        })
    };
    let one = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "finish_reason": reason}])).to_string()
    };
    let mut events = vec![one(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(deltas.into_iter().map(|delta| one(delta, Value::Null)));
    events.push(one(json!({}), json!(reason)));
    if body["stream_options"]["include_usage"] == json!(true) {
        let mut last = chunk(json!([]));
        last["usage"] = usage.clone();
        events.push(last.to_string());
    }
    stream(events)
}

fn completion(body: &Value) -> Behaviour {
    let text = body["prompt"].as_str().unwrap_or_default();
    let choice = |text: &str, reason: Value| {
        json!({
            "id": "cmpl-stand-in", "object": "text_completion", "created": CREATED,
            "model": body["model"],
            "choices": [{"index": 0, "text": text, "logprobs": null, "finish_reason": reason}],
        })
    };
    if wants_stream(body) {
        let mut events: Vec<_> =
            words(text).map(|word| choice(word, Value::Null).to_string()).collect();
        events.push(choice("", json!("stop")).to_string());
        return stream(events);
    }
    let mut answer = choice(text, json!("stop"));
    answer["usage"] = usage(text, text);
    json_answer(&answer)
}

fn embeddings(body: &Value) -> Value {
    let inputs: Vec<&str> = match &body["input"] {
        Value::Array(items) => items.iter().map(|item| item.as_str().unwrap_or("")).collect(),
        other => vec![other.as_str().unwrap_or("")],
    };
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            // Any numbers will do as long as they differ from text to text.
            let sum: u16 = text.bytes().map(u16::from).fold(0, u16::wrapping_add);
            let vector = [f32::from(sum), 0.5, -0.25, 1.0];
            let embedding = if body["encoding_format"] == json!("base64") {
                json!(base64(&vector.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    json!({
        "object": "list", "model": body["model"], "data": data,
        "usage": {"prompt_tokens": inputs.len(), "total_tokens": inputs.len()},
    })
}

fn stream(events: Vec<String>) -> Behaviour {
    Behaviour::Stream {
        events,
        end: End::Done,
        chunking: Chunking::EachEvent,
        gap: std::time::Duration::ZERO,
    }
}

fn last_user_message(body: &Value) -> String {
    let messages = body["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(last) = messages.iter().rev().find(|message| message["role"] == json!("user")) else {
        return String::new();
    };
    match &last["content"] {
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}

fn arguments(said: &str) -> String {
    json!({ "text": said }).to_string()
}

/// The arguments come in two pieces, as real backends send them.
fn tool_deltas(name: &str, said: &str) -> Vec<Value> {
    let arguments = arguments(said);
    let (first, second) = arguments.split_at(arguments.len().min(8));
    let piece = |text: &str| json!({"tool_calls": [{"index": 0, "function": {"arguments": text}}]});
    vec![
        json!({"tool_calls": [{"index": 0, "id": "call_1", "type": "function",
            "function": {"name": name, "arguments": ""}}]}),
        piece(first),
        piece(second),
    ]
}

/// Writes the events of a stream as their bytes on the wire, without the end marker.
pub(super) fn event_text(event: &str) -> String {
    if event.ends_with("\n\n") || event.ends_with("\r\n\r\n") {
        return event.to_owned();
    }
    let mut text = String::with_capacity(event.len() + 8);
    let _ = write!(text, "data: {event}\n\n");
    text
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_verbatim_event_is_left_alone() {
        assert_eq!(event_text("x"), "data: x\n\n");
        assert_eq!(event_text(": ping\n\n"), ": ping\n\n");
    }
}
