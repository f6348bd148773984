//! What a well-behaved provider answers.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{FakeModel, Place, Speaks, State};
use crate::Behaviour;
use crate::backend::Recorded;

/// A right answer, before anything goes wrong with it.
#[derive(Debug)]
pub(super) struct Good {
    pub(super) code: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Good {
    fn json(value: &Value) -> Self {
        Self { code: 200, headers: Vec::new(), body: value.to_string() }
    }

    fn missing() -> Self {
        Self { code: 404, headers: Vec::new(), body: r#"{"error":"not found"}"#.to_owned() }
    }

    pub(super) fn behaviour(&self) -> Behaviour {
        Behaviour::Status {
            code: self.code,
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }

    pub(super) fn head(&self) -> String {
        let mut head = format!("HTTP/1.1 {} Stand-in\r\n", self.code);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        head
    }
}

/// One page of models, and where the next one begins.
struct Page<'a> {
    models: &'a [FakeModel],
    start: usize,
    next: Option<usize>,
}

pub(super) fn answer(
    speaks: Speaks,
    address: SocketAddr,
    state: &State,
    request: &Recorded,
) -> (Good, Place) {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    // The real one has its API there, and a config file may repeat it.
    let under_api = path.strip_prefix("/api").filter(|_| speaks == Speaks::OpenRouter);
    let path = under_api.unwrap_or(path);
    let mut place = Place { model: None, is_later_page: false };
    if !is_let_in(speaks, state, request) {
        let body = r#"{"error":{"message":"stand-in wants its key"}}"#.to_owned();
        return (Good { code: 401, headers: Vec::new(), body }, place);
    }
    let all = || Page { models: &state.models, start: 0, next: None };
    let page = |token: &str| {
        let start = parameter(query, token).and_then(|text| position(state, &text)).unwrap_or(0);
        let start = start.min(state.models.len());
        let end = state.page_size.map_or(state.models.len(), |size| start + size);
        let end = end.min(state.models.len());
        let next = (end < state.models.len()).then_some(end);
        Page { models: &state.models[start..end], start, next }
    };
    let listed = |page: &Page<'_>| -> Vec<Value> {
        page.models.iter().map(|model| model.listed(speaks)).collect()
    };
    let mut is_list = true;
    let good = match (speaks, request.method.as_str(), path) {
        (Speaks::OpenRouter, "GET", "/v1/models") => {
            let page = page("offset");
            place.is_later_page = page.start > 0;
            let next = page.next.map(|at| format!("/v1/models?offset={at}"));
            Good::json(&json!({
                "data": listed(&page), "total_count": state.models.len(), "links": {"next": next},
            }))
        }
        (Speaks::Anthropic, "GET", "/v1/models") => {
            let page = page("after_id");
            place.is_later_page = page.start > 0;
            let last = page.models.last().map(|model| &model.id);
            Good::json(&json!({
                "data": listed(&page), "has_more": page.next.is_some(),
                "first_id": page.models.first().map(|model| &model.id), "last_id": last,
            }))
        }
        (Speaks::Google, "GET", "/v1beta/models") => {
            let page = page("pageToken");
            place.is_later_page = page.start > 0;
            let mut body = json!({ "models": listed(&page) });
            if let Some(next) = page.next {
                body["nextPageToken"] = json!(next.to_string());
            }
            Good::json(&body)
        }
        (Speaks::Ollama, "GET", "/api/tags") => Good::json(&json!({ "models": listed(&all()) })),
        (Speaks::Ollama, "GET", "/api/ps") => {
            is_list = false;
            let loaded = state.loaded.iter();
            let loaded = loaded.map(|(id, window)| json!({"name": id, "context_length": window}));
            Good::json(&json!({ "models": loaded.collect::<Vec<_>>() }))
        }
        (Speaks::Ollama, "POST", "/api/show") => {
            is_list = false;
            let asked = serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
            let id = asked["model"].as_str().unwrap_or_default().to_owned();
            let found = find(state, &id).map(FakeModel::shown);
            place.model = Some(id);
            found.map_or_else(Good::missing, |shown| Good::json(&shown))
        }
        (Speaks::LlamaCpp, "GET", "/props") => {
            is_list = false;
            let window = state.models.first().and_then(|model| state.loaded.get(&model.id));
            Good::json(&json!({
                "default_generation_settings": {"n_ctx": window}, "chat_template": "{{ x }}",
                "modalities": {"vision": false, "audio": false},
            }))
        }
        (Speaks::HuggingFace, "GET", "/api/models") => {
            let page = page("cursor");
            place.is_later_page = page.start > 0;
            let mut good = Good::json(&Value::Array(listed(&page)));
            if let Some(next) = page.next {
                let author = parameter(query, "author").unwrap_or_default();
                let link = format!(
                    "<http://{address}/api/models?author={author}&cursor={next}>; rel=\"next\""
                );
                good.headers.push(("Link".to_owned(), link));
            }
            good
        }
        (Speaks::HuggingFace, "GET", "/v1/models") => {
            let routed: Vec<_> = state.models.iter().filter_map(FakeModel::routed).collect();
            if routed.is_empty() { Good::missing() } else { Good::json(&json!({"data": routed})) }
        }
        (Speaks::HuggingFace | Speaks::Replicate, "GET", path) => {
            is_list = false;
            let prefix = if speaks == Speaks::Replicate { "/v1/models/" } else { "/api/models/" };
            let id = path.strip_prefix(prefix).unwrap_or_default().to_owned();
            let found = find(state, &id).map(|model| model.listed(speaks));
            place.model = Some(id);
            found.map_or_else(Good::missing, |model| Good::json(&model))
        }
        (
            Speaks::OpenAi | Speaks::Vllm | Speaks::LlamaCpp | Speaks::Generic,
            "GET",
            "/v1/models",
        ) => Good::json(&json!({"object": "list", "data": listed(&all())})),
        _ => Good::missing(),
    };
    (if is_list { tagged(good, state, request) } else { good }, place)
}

/// Gives a list its entity tag, or only the tag to whoever has the list.
fn tagged(mut good: Good, state: &State, request: &Recorded) -> Good {
    let Some(etag) = state.etag.as_ref().filter(|_| good.code == 200) else { return good };
    good.headers.push(("ETag".to_owned(), etag.clone()));
    if request.header("if-none-match") == Some(etag) {
        good.code = 304;
        good.body.clear();
    }
    good
}

fn is_let_in(speaks: Speaks, state: &State, request: &Recorded) -> bool {
    let Some(key) = &state.key else { return true };
    match speaks {
        Speaks::Anthropic => request.header("x-api-key") == Some(key),
        Speaks::Google => request.header("x-goog-api-key") == Some(key),
        _ => request.header("authorization") == Some(&format!("Bearer {key}")),
    }
}

fn find<'a>(state: &'a State, id: &str) -> Option<&'a FakeModel> {
    state.models.iter().find(|model| model.id == id)
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let pair = query.split('&').find_map(|pair| pair.split_once('=').filter(|(n, _)| *n == name));
    pair.map(|(_, value)| value.replace("%2F", "/").replace("%3A", ":"))
}

/// Where a page begins: at this number, or after the model with this id.
fn position(state: &State, text: &str) -> Option<usize> {
    let after = state.models.iter().position(|model| model.id == text).map(|at| at + 1);
    after.or_else(|| text.parse().ok())
}
