//! The committed document says what the API really answers.

use crate::{
    files_scene,
    models::{openrouter, registry},
    server,
};
use callsheet_testkit::{FakeBackend, FakeModel, FakeProvider, Reply, Speaks, TestServer};
use serde_json::{Value, json};

/// Returns what is wrong with a value, or nothing. Knows as much of JSON Schema as the document
/// uses, and refuses the rest.
fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    const KNOWN: [&str; 13] = [
        "$ref",
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format",
        "items",
        "minimum",
        "oneOf",
        "pattern",
        "properties",
        "required",
        "type",
    ];
    let keywords = schema.as_object().expect("a schema");
    let unknown = keywords.keys().find(|key| !KNOWN.contains(&key.as_str()));
    assert_eq!(unknown, None, "this check does not know the keyword");
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#'));
        return faults(document, target.unwrap_or_else(|| panic!("no {name}")), value, at);
    }
    if let Some(ways) = schema["oneOf"].as_array() {
        let fits = ways.iter().filter(|way| faults(document, way, value, at).is_empty()).count();
        return if fits == 1 { vec![] } else { vec![format!("{at}: {fits} ways fit {value}")] };
    }
    let mut found = Vec::new();
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        kind => vec![kind.clone()],
    };
    let is_of = |kind: &Value| match kind.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the type {other}"),
    };
    if !kinds.iter().any(is_of) {
        found.push(format!("{at}: {value} is no {kinds:?}"));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        found.push(format!("{at}: {value} is none of {}", schema["enum"]));
    }
    if value.as_f64().zip(schema["minimum"].as_f64()).is_some_and(|(value, least)| value < least) {
        found.push(format!("{at}: {value} is too little"));
    }
    let described = !schema["items"].is_null();
    for item in value.as_array().into_iter().flatten().filter(|_| described) {
        found.extend(faults(document, &schema["items"], item, &format!("{at}[]")));
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| value.get(name).is_none()) {
        found.push(format!("{at}: no {name}"));
    }
    for (name, part) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => found.push(format!("{at} is not described")),
            (Value::Null, Value::Null) => {}
            (Value::Null, others) => found.extend(faults(document, others, part, &at)),
            (known, _) => found.extend(faults(document, known, part, &at)),
        }
    }
    found
}

struct Documented {
    server: TestServer,
    document: Value,
}

impl Documented {
    /// Sends a request and holds the answer against the document.
    async fn check(&self, method: &str, path: &str, body: &Value, status: u16) -> Reply {
        let headers = [("Content-Type", "application/json")];
        let sent = if body.is_null() { String::new() } else { body.to_string() };
        let reply = self.server.request(method, path, &headers, sent.as_bytes()).await;
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        let bare = path.split('?').next().unwrap();
        let paths = self.document["paths"].as_object().unwrap();
        let fits = |pattern: &str| {
            let (parts, asked) = (pattern.split('/'), bare.split('/'));
            pattern.split('/').count() == bare.split('/').count()
                && parts.zip(asked).all(|(part, asked)| part.starts_with('{') || part == asked)
        };
        let described = paths.iter().find(|(pattern, _)| fits(pattern));
        let (_, described) = described.unwrap_or_else(|| panic!("{path} is not described"));
        let answer = &described[method.to_ascii_lowercase()]["responses"][status.to_string()];
        let schema = &answer["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} {status} is not described");
        let found = faults(&self.document, schema, &reply.json(), "answer");
        assert_eq!(found, [""; 0], "{method} {path}: {}", reply.text());
        reply
    }
}

#[tokio::test]
async fn every_answer_is_as_the_document_describes_it() {
    let (fake, gone) = (FakeBackend::start().await, FakeBackend::start().await);
    gone.stop().await;
    let config = format!(
        "{}zone = \"east\"\nmax_concurrent = 2\nmodels = [\"test-model\", {{ id = \"small\", \
         context_length = 10, supports_tools = false }}]\n{}models = [\"test-model\"]\n",
        fake.config("a"),
        gone.config("gone")
    );
    let server = server(&config).start().await;
    let document = server.get("/api/v1/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let api = Documented { server, document };
    let none = Value::Null;
    let b = json!({"name": "b", "url": fake.url(), "models": ["x", {"id": "y"}]});
    let backends = "/api/v1/backends";
    api.check("POST", "/api/v1/backends?dry_run=true", &b, 200).await;
    api.check("POST", backends, &b, 201).await;
    api.check("POST", backends, &b, 409).await;
    api.check("POST", backends, &json!({"name": "c"}), 400).await;
    assert_eq!(crate::observe::served_by(&api.server, "x").await, "b");
    api.check("GET", backends, &none, 200).await;
    for (name, status) in [("a", 200), ("gone", 200), ("nobody", 404)] {
        api.check("GET", &format!("{backends}/{name}"), &none, status).await;
    }
    api.check("POST", "/api/v1/backends/b/drain", &none, 200).await;
    for query in [
        "test-model",
        "small&needs=tools",
        "small&min_context=100",
        "x",
        "nobody",
        "gone:test-model",
        "a:test-model&needs=vision,json",
    ] {
        api.check("GET", &format!("/api/v1/route?model={query}"), &none, 200).await;
    }
    api.check("GET", "/api/v1/route", &none, 400).await;
    api.check("POST", "/api/v1/backends/b/resume", &none, 200).await;
    api.check("POST", "/api/v1/backends/nobody/resume", &none, 404).await;
    api.check("DELETE", "/api/v1/backends/a", &none, 409).await;
    api.check("DELETE", "/api/v1/backends/b", &none, 200).await;
    api.check("POST", "/api/v1/config/reload?dry_run=true", &none, 200).await;
    api.check("POST", "/api/v1/config/reload", &none, 200).await;
    api.check("GET", "/readyz", &none, 200).await;
    gone.restart().await;
}

#[tokio::test]
async fn every_answer_about_files_is_as_the_document_describes_it() {
    let hub = files_scene::hub().await;
    let config = format!("{}{}", files_scene::SOURCE, hub.config());
    let server = server(&config).start().await;
    let document = server.get("/api/v1/openapi.json").await.json();
    let api = Documented { server, document };
    let (none, files) = (Value::Null, "/api/v1/files");
    let test = json!({"sources": ["mf6/test"]});
    api.check("POST", &format!("{files}/sync"), &json!({"dry_run": true}), 200).await;
    api.check("POST", &format!("{files}/sync"), &test, 200).await;
    api.check("POST", &format!("{files}/sync"), &test, 200).await;
    api.check("POST", &format!("{files}/sync"), &json!({"sources": ["no"]}), 404).await;
    api.check("POST", &format!("{files}/sync"), &json!({"source": "no"}), 400).await;
    for path in ["", "?names=true&source=mf6%2Ftest&ref=develop", "/info", "/usage"] {
        api.check("GET", &format!("{files}{path}"), &none, 200).await;
    }
    api.check("GET", &format!("{files}?publishes=nothing"), &none, 400).await;
    let wanted =
        |name: &str| json!({"addresses": [format!("mf6/test@develop/{name}")], "fetch": true});
    let found = api.check("POST", &format!("{files}/resolve"), &wanted("deep"), 200).await;
    api.check("POST", &format!("{files}/resolve"), &wanted("dep"), 404).await;
    api.check("POST", &format!("{files}/resolve"), &json!({"addresses": ["@"]}), 400).await;
    let dry = json!({"addresses": ["mf6/test@nowhere/deep"], "dry_run": true});
    api.check("POST", &format!("{files}/resolve"), &dry, 409).await;
    let copied = json!({"addresses": ["mf6/test@develop/deep"]});
    let counted = api.check("POST", &format!("{files}/usage?dry_run=true"), &copied, 200).await;
    assert_eq!(counted.json(), json!({"counted": 1}));
    api.check("POST", &format!("{files}/usage"), &copied, 200).await;
    api.check("POST", &format!("{files}/usage"), &json!({"addresses": ["@"]}), 400).await;
    let used = api.check("GET", &format!("{files}/usage"), &none, 200).await;
    assert_eq!(used.json()["used"][0]["copies"], 1);
    let digest = found.json()["sets"][0]["files"][0]["digest"].as_str().unwrap().to_owned();
    assert_eq!(api.server.get(&format!("{files}/blobs/{digest}")).await.status, 200);
    let other = format!("sha256:{}", "0".repeat(64));
    api.check("GET", &format!("{files}/blobs/{other}"), &none, 404).await;
    api.check("GET", &format!("{files}/blobs/x"), &none, 400).await;
    let published = format!("{files}/published/mf6%2Ftest/develop");
    assert_eq!(api.server.get(&format!("{published}/models.toml")).await.status, 200);
    assert_eq!(api.server.get(&format!("{published}/simple/model.dis")).await.text(), "one layer");
    for (verb, query) in
        [("verify", ""), ("verify", "?dry_run=true"), ("gc", "?dry_run=true"), ("gc", "")]
    {
        api.check("POST", &format!("{files}/{verb}{query}"), &none, 200).await;
    }
    let sources = "/api/v1/sources";
    api.check("GET", sources, &none, 200).await;
    let mine = json!({"key": "mine", "repo": "me/mine", "refs": ["main"]});
    api.check("POST", &format!("{sources}?dry_run=true"), &mine, 201).await;
    api.check("POST", sources, &mine, 201).await;
    api.check("POST", sources, &json!({"key": "yours"}), 400).await;
    for (name, status) in [("mine", 200), ("mf6%2Ftest", 200), ("nobody", 404)] {
        api.check("GET", &format!("{sources}/{name}"), &none, status).await;
    }
    let theirs = json!({"key": "theirs", "repo": "me/mine", "token_env": "GITHUB_TOKEN"});
    api.check("POST", sources, &theirs, 400).await;
    let shipped = json!({"key": "modflow6-examples", "repo": "me/mine", "refs": ["main"]});
    api.check("POST", sources, &shipped, 201).await;
    let removed = api.check("DELETE", &format!("{sources}/modflow6-examples"), &none, 200).await;
    assert_eq!(removed.json()["restored"], "shipped");
    api.check("DELETE", &format!("{sources}/mine"), &none, 200).await;
    api.check("DELETE", &format!("{sources}/nobody"), &none, 404).await;
    api.check("DELETE", &format!("{files}?dry_run=true"), &none, 200).await;
    api.check("DELETE", files, &none, 200).await;
}

#[tokio::test]
async fn every_answer_about_models_is_as_the_document_describes_it() {
    let provider = FakeProvider::builder(Speaks::OpenRouter)
        .models([FakeModel::new("acme/rocket-1"), FakeModel::new("acme/new")])
        .start()
        .await;
    let server = server(&provider.config("openrouter")).start().await;
    let document = server.get("/api/v1/openapi.json").await.json();
    let api = Documented { server, document };
    let none = Value::Null;
    let models = "/api/v1/models";
    for catalog in [registry(), json!({"error": "no"})] {
        let status = if catalog["error"].is_null() { 200 } else { 400 };
        let path = format!("{models}/import?format=registry&dry_run=true");
        api.check("POST", &path, &catalog, status).await;
        api.check("POST", &format!("{models}/import?format=registry"), &catalog, status).await;
    }
    api.check("POST", &format!("{models}/import?format=openrouter"), &openrouter(), 200).await;
    for query in ["", "?view=row&limit=1", "?search=rocket&sort=-price"] {
        api.check("GET", &format!("{models}{query}"), &none, 200).await;
    }
    api.check("GET", &format!("{models}?sort=best"), &none, 400).await;
    let one = format!("{models}/openrouter:acme%2Frocket-1");
    for path in ["", "/why", "/why?field=context_window", "/history"] {
        api.check("GET", &format!("{one}{path}"), &none, 200).await;
        api.check("GET", &format!("{models}/nobody{path}"), &none, 404).await;
    }
    let pin = json!({"set": {"context_window": "16k"}, "by": "ada"});
    api.check("PATCH", &format!("{one}?dry_run=true"), &pin, 200).await;
    api.check("PATCH", &one, &pin, 200).await;
    api.check("PATCH", &one, &json!({"set": {"context": "1"}}), 400).await;
    api.check("PATCH", &one, &json!({"unset": ["context_window"]}), 200).await;
    api.check("GET", &format!("{models}/conflicts"), &none, 200).await;
    let diff = "a=openrouter:acme%2Frocket-1&b=openrouter:acme%2Fspark";
    api.check("GET", &format!("{models}/diff?{diff}"), &none, 200).await;
    api.check("GET", &format!("{models}/export?format=registry"), &none, 200).await;
    api.check("POST", &format!("{models}/refresh?dry_run=true"), &json!({}), 200).await;
    api.check("POST", &format!("{models}/refresh"), &json!({}), 200).await;
    api.check("POST", &format!("{models}/refresh"), &json!({"providers": ["no"]}), 404).await;
    api.check("POST", models, &json!({"id": "openrouter:acme/new"}), 201).await;
    api.check("POST", models, &json!({"id": "openrouter:acme/none"}), 502).await;
    api.check("DELETE", &format!("{models}/openrouter:acme%2Fspark"), &none, 200).await;
    let preset = json!({"model": "acme/rocket-1", "parameters": {"temperature": 0.5}});
    api.check("PUT", "/api/v1/presets/a/b?dry_run=true", &preset, 200).await;
    api.check("PUT", "/api/v1/presets/a/b", &preset, 200).await;
    api.check("PUT", "/api/v1/presets/a/b", &json!({"model": ""}), 400).await;
    api.check("GET", "/api/v1/presets", &none, 200).await;
    api.check("DELETE", "/api/v1/presets/a/b", &none, 200).await;
    api.check("DELETE", "/api/v1/presets/a/b", &none, 404).await;
    api.check("GET", "/api/v1/changes?limit=5", &none, 200).await;
    api.check("GET", "/api/v1/changes?since=soon", &none, 400).await;
}

#[tokio::test]
async fn the_manual_names_every_endpoint() {
    let document = server("").start().await.get("/api/v1/openapi.json").await.json();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let manual = std::fs::read_to_string(path).expect("the manual");
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let endpoint = format!("| `{} {path}", method.to_ascii_uppercase());
            assert!(manual.contains(&endpoint), "{endpoint} is not in the manual");
        }
    }
}

#[tokio::test]
async fn the_check_itself_finds_what_is_not_described() {
    let document = server("").start().await.get("/api/v1/openapi.json").await.json();
    let schema = &document["components"]["schemas"]["Reloaded"];
    let good = json!({"added": ["a"], "changed": [], "removed": [], "needs_restart": []});
    assert_eq!(faults(&document, schema, &good, "x"), [""; 0]);
    for (change, expected) in [
        (json!({"added": [1]}), "x.added[]: 1 is no"),
        (json!({"extra": 1}), "x.extra is not described"),
    ] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let found = faults(&document, schema, &bad, "x");
        assert!(found.len() == 1 && found[0].starts_with(expected), "{found:?}");
    }
    assert_eq!(faults(&document, schema, &json!({}), "x").len(), 4);
}
