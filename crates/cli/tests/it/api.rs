//! `/api/v1` as a program sees it: every endpoint, its refusals, and what survives what.

use crate::{
    observe::{backend, refusal, served_by, until_status},
    server,
};
use callsheet_testkit::{FakeBackend, Reply, Signal, TestServer, client};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BACKENDS: &str = "/api/v1/backends";

async fn add(server: &TestServer, name: &str, url: &str) -> Reply {
    server.post_json(BACKENDS, &json!({"name": name, "url": url})).await
}

async fn names(server: &TestServer) -> BTreeSet<String> {
    let list = server.get(BACKENDS).await.json();
    let list = list.as_array().expect("a list").iter();
    list.map(|backend| backend["name"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn an_added_backend_is_there_at_once_and_after_a_restart() {
    let fake = FakeBackend::start().await;
    let mut server = server("").start().await;
    let reply = add(&server, "gpu-2", &fake.url()).await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    let added = reply.json();
    assert_eq!(
        (&added["status"], &added["models"][0]["id"]),
        (&"healthy".into(), &"test-model".into())
    );
    assert_eq!(
        (&added["discovery_source"], &added["backend_type"]),
        (&"manual".into(), &"generic".into())
    );
    assert_eq!(served_by(&server, "test-model").await, "gpu-2");
    assert_eq!(names(&server).await, BTreeSet::from(["gpu-2".to_owned()]));
    server.restart().await;
    assert_eq!(served_by(&server, "test-model").await, "gpu-2");
    let reply = server.request("DELETE", &format!("{BACKENDS}/gpu-2"), &[], b"").await;
    assert_eq!((reply.status, reply.json()["name"].clone()), (200, "gpu-2".into()));
    server.restart().await;
    assert!(names(&server).await.is_empty());
}

#[tokio::test]
async fn every_key_of_an_added_backend_survives_a_restart() {
    let fake = FakeBackend::start().await;
    let mut server = server("").env("GPU2_KEY", "sk-of-gpu-2").start().await;
    let spec = json!({
        "name": "gpu-2", "type": "vllm", "url": fake.url(), "api_key_env": "GPU2_KEY",
        "priority": -3, "weight": 7, "zone": "east", "max_concurrent": 5,
        "models": ["plain", {"id": "described", "context_length": 4096}],
    });
    assert_eq!(server.post_json(BACKENDS, &spec).await.status, 201);
    let before = backend(&server, "gpu-2").await;
    server.restart().await;
    let after = backend(&server, "gpu-2").await;
    for (key, value) in [
        ("backend_type", json!("vllm")),
        ("priority", json!(-3)),
        ("weight", json!(7)),
        ("zone", json!("east")),
        ("max_concurrent", json!(5)),
    ] {
        assert_eq!((&before[key], &after[key]), (&value, &value), "{key}");
    }
    assert_eq!(before["models"], after["models"]);
    assert_eq!(served_by(&server, "described").await, "gpu-2");
    assert_eq!(fake.requests()[0].header("authorization"), Some("Bearer sk-of-gpu-2"));
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_added_and_shown_as_it_is() {
    let gone = FakeBackend::start().await;
    gone.stop().await;
    let server = server("").start().await;
    let added = add(&server, "gone", &gone.url()).await;
    assert_eq!((added.status, added.json()["status"].clone()), (201, "unhealthy".into()));
    gone.restart().await;
}

#[tokio::test]
async fn what_cannot_be_added_is_refused_with_its_reason() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("fixed")).start().await;
    assert_eq!(add(&server, "mine", &fake.url()).await.status, 201, "two may share a URL");
    let url = fake.url();
    for (body, expected, part) in [
        (json!({"name": "fixed", "url": url}), "409 backend_in_config_file", "config file"),
        (json!({"name": "mine", "url": url}), "409 backend_exists", "named mine already"),
        (json!({"name": "a b", "url": url}), "400 invalid_request", "letters, digits"),
        (json!({"name": "a", "url": "ftp://h"}), "400 invalid_request", "neither http nor https"),
        (json!({"name": "a"}), "400 invalid_request", "missing field `url`"),
        (
            json!({"name": "a", "url": url, "prio": 1}),
            "400 invalid_request",
            "unknown field `prio`",
        ),
        (json!({"name": "a", "url": url, "type": "gpu"}), "400 invalid_request", "unknown variant"),
        (json!({"name": "a", "url": url, "max_concurrent": 0}), "400 invalid_request", "nonzero"),
        (
            json!({"name": "a", "url": url, "api_key_env": "NO_KEY"}),
            "400 backend_unusable",
            "NO_KEY",
        ),
        (json!([]), "400 invalid_request", "BackendSpec"),
    ] {
        let reply = server.post_json(BACKENDS, &body).await;
        assert_eq!(refusal(&reply), expected, "{body}: {}", reply.text());
        assert!(reply.text().contains(part), "{body}: {}", reply.text());
    }
    assert_eq!(names(&server).await.len(), 2, "nothing was added by any of these");
}

#[tokio::test]
async fn a_key_in_the_wrong_place_is_not_repeated() {
    let server = server("").start().await;
    for body in [
        json!({"name": "a", "url": "http://h", "api_key_env": "sk-hidden"}),
        json!({"name": "a", "url": "http://user:sk-hidden@h"}),
        json!({"name": "a", "url": "http://h", "api_key": "sk-hidden"}),
    ] {
        let reply = server.post_json(BACKENDS, &body).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(!reply.text().contains("hidden"), "{}", reply.text());
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_in_the_same_shape() {
    let server = server("").start().await;
    let json = [("Content-Type", "application/json")];
    for (method, path, headers, body, expected) in [
        ("GET", "/api/v1/nothing", &[][..], &b""[..], "404 unknown_endpoint"),
        ("GET", "/nothing", &[], b"", "404 unknown_endpoint"),
        ("PUT", BACKENDS, &[], b"", "405 method_not_allowed"),
        ("POST", "/healthz", &[], b"", "405 method_not_allowed"),
        ("GET", "/api/v1/backends/nobody", &[], b"", "404 backend_not_found"),
        ("DELETE", "/api/v1/backends/nobody", &[], b"", "404 backend_not_found"),
        ("POST", "/api/v1/backends/nobody/drain", &[], b"", "404 backend_not_found"),
        ("POST", "/api/v1/backends/nobody/resume", &[], b"", "404 backend_not_found"),
        ("GET", "/api/v1/backends/%ff", &[], b"", "400 invalid_request"),
        ("POST", BACKENDS, &json, b"{", "400 invalid_request"),
        ("POST", BACKENDS, &[], b"{}", "400 invalid_request"),
        ("POST", "/api/v1/backends?dryrun=true", &json, b"{}", "400 invalid_request"),
        ("POST", "/api/v1/backends?dry_run=perhaps", &json, b"{}", "400 invalid_request"),
        ("GET", "/api/v1/route", &[], b"", "400 invalid_request"),
        ("GET", "/api/v1/route?model=a&needs=magic", &[], b"", "400 invalid_request"),
        ("GET", "/api/v1/route?model=a&min_context=-1", &[], b"", "400 invalid_request"),
    ] {
        let reply = server.request(method, path, headers, body).await;
        assert_eq!(refusal(&reply), expected, "{method} {path}: {}", reply.text());
        let error = reply.json()["error"].clone();
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
    }
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    assert_eq!(add(&server, "b", &fake.url()).await.status, 201);
    let feed = async || server.get("/api/v1/changes").await.text();
    let before = (names(&server).await, feed().await);
    let dry = async |method: &str, path: &str, body: &Value| {
        let headers = [("Content-Type", "application/json")];
        let path = format!("{BACKENDS}{path}?dry_run=true");
        server.request(method, &path, &headers, body.to_string().as_bytes()).await
    };
    let none = Value::Null;
    assert_eq!(dry("POST", "", &json!({"name": "c", "url": fake.url()})).await.status, 200);
    assert_eq!(dry("DELETE", "/b", &none).await.json()["name"], "b");
    assert_eq!(dry("POST", "/a/drain", &none).await.status, 200);
    assert_eq!(dry("POST", "/a/resume", &none).await.status, 200);
    assert_eq!(before, (names(&server).await, feed().await));
    assert_eq!(backend(&server, "a").await["status"], "healthy");
    let refused = dry("POST", "", &json!({"name": "a", "url": fake.url()})).await;
    assert_eq!(refusal(&refused), "409 backend_in_config_file", "it refuses what would be refused");
}

#[tokio::test]
async fn of_many_adds_of_one_name_exactly_one_wins() {
    let fake = FakeBackend::start().await;
    let server = server("").start().await;
    let replies = add_all(&server, &fake, |_| "same".to_owned()).await;
    let count = |wanted: u16| replies.iter().filter(|status| **status == wanted).count();
    assert_eq!((count(201), count(409)), (1, 49));
    let feed = server.get("/api/v1/changes?kind=backend").await.json();
    assert_eq!(feed["changes"].as_array().unwrap().len(), 1, "{feed}");
}

#[tokio::test]
async fn of_many_adds_at_once_none_is_lost_even_if_the_daemon_is_killed() {
    let fake = FakeBackend::start().await;
    let mut server = server("").start().await;
    let replies = add_all(&server, &fake, |i| format!("b-{i}")).await;
    assert_eq!(replies, [201; 50]);
    server.signal(Signal::KILL);
    server.restart().await;
    let expected: BTreeSet<_> = (0..50).map(|i| format!("b-{i}")).collect();
    assert_eq!(names(&server).await, expected);
    until_status(&server, "b-49", "healthy").await;
}

/// Adds fifty backends at once and returns the status of each answer.
async fn add_all(
    server: &TestServer,
    fake: &FakeBackend,
    name: impl Fn(usize) -> String,
) -> Vec<u16> {
    let address = server.address();
    let calls: Vec<_> = (0..50)
        .map(|i| {
            let body = json!({"name": name(i), "url": fake.url()}).to_string();
            let headers = [("Content-Type", "application/json")];
            tokio::spawn(async move {
                client::request(address, "POST", BACKENDS, &headers, body.as_bytes()).await
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap().expect("an answer").status);
    }
    statuses
}

#[tokio::test]
async fn a_damaged_file_of_an_earlier_version_stops_the_start_and_is_left_alone() {
    for (text, part) in [
        ("{\"version\":1,\"backends\":[{\"na", "EOF while parsing"),
        ("{\"version\":2,\"backends\":[],\"draining\":[]}", "version 2"),
        ("", "EOF while parsing"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("backends.json");
        std::fs::write(&file, text).unwrap();
        let output = server("").args(["--data-dir".as_ref(), dir.path().as_os_str()]);
        let output = output.run_to_exit().await;
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
        let said = &output.stderr;
        assert!(said.contains(&*file.to_string_lossy()) && said.contains(part), "{said}");
        assert!(said.contains("is damaged; mend it, or move it away"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
}

#[tokio::test]
async fn what_an_earlier_version_kept_is_taken_over() {
    let fake = FakeBackend::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("backends.json");
    let spec = json!({"name": "old", "url": fake.url()});
    let kept = json!({"version": 1, "backends": [spec], "draining": ["old"]});
    std::fs::write(&file, kept.to_string()).unwrap();
    let server = server("").args(["--data-dir".as_ref(), dir.path().as_os_str()]).start().await;
    assert_eq!(backend(&server, "old").await["status"], "draining");
    assert!(!file.exists() && dir.path().join("backends.json.moved").exists());
}

#[tokio::test]
async fn a_backend_whose_key_is_not_to_be_had_is_left_out_and_hinders_nobody() {
    let (one, other) = (FakeBackend::start().await, FakeBackend::start().await);
    let dir = tempfile::tempdir().unwrap();
    let on_dir = || ["--data-dir".into(), dir.path().as_os_str().to_owned()];
    let with_key = server("").env("ONE_KEY", "k").args(on_dir()).start().await;
    let spec = json!({"name": "keyed", "url": one.url(), "api_key_env": "ONE_KEY"});
    assert_eq!(with_key.post_json(BACKENDS, &spec).await.status, 201);
    assert_eq!(add(&with_key, "plain", &other.url()).await.status, 201);
    drop(with_key);
    let without = server("").args(on_dir()).start().await;
    without.wait_for_stderr("a backend is left out").await;
    assert_eq!(names(&without).await, BTreeSet::from(["plain".to_owned()]));
    // What is set later comes into force all the same.
    let preset = json!({"model": "test-model"}).to_string();
    let headers = [("Content-Type", "application/json")];
    let path = "/api/v1/presets/a/b";
    assert_eq!(without.request("PUT", path, &headers, preset.as_bytes()).await.status, 200);
    let ask = json!({"model": "callsheet:a/b", "messages": []});
    assert_eq!(without.post_json("/v1/chat/completions", &ask).await.status, 200);
}

#[tokio::test]
async fn who_looks_at_models_needs_no_key_of_a_backend() {
    let config =
        "[[backends]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\napi_key_env = \"NOT_THERE\"\n";
    let listed = server(config).run(["model", "list"]).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    let routed = server(config).run(["backend", "list"]).await;
    assert!(routed.code == 1 && routed.stderr.contains("NOT_THERE"), "{routed:?}");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_not_left_out() {
    let server = server("").start().await;
    let headers = [("Content-Type", "application/json")];
    let misspelt = br#"{"model": "a", "paramters": {}}"#;
    let reply = server.request("PUT", "/api/v1/presets/a/b", &headers, misspelt).await;
    assert_eq!(refusal(&reply), "400 invalid_request", "{}", reply.text());
    for query in ["limit=0", "max_price=99999999999999999999", "max_price=-1", "sort=best"] {
        let reply = server.get(&format!("/api/v1/models?{query}")).await;
        assert_eq!(refusal(&reply), "400 invalid_request", "{query}: {}", reply.text());
    }
    let path = "/api/v1/models/refresh?nonsense=1";
    let reply = server.request("POST", path, &headers, b"{}").await;
    assert_eq!(refusal(&reply), "400 invalid_request", "{}", reply.text());
}

#[tokio::test]
async fn presets_come_in_pages_and_since_when() {
    let server = server("").start().await;
    let headers = [("Content-Type", "application/json")];
    let set = async |slot: &str| {
        let path = format!("/api/v1/presets/a/{slot}");
        let reply = server.request("PUT", &path, &headers, br#"{"model": "m"}"#).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    let names = async |query: &str| {
        let page = server.get(&format!("/api/v1/presets?{query}")).await.json();
        let names = page["presets"].as_array().unwrap().iter();
        let names: Vec<_> =
            names.map(|preset| preset["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), page["next"].as_str().map(str::to_owned))
    };
    for slot in ["z", "x", "y"] {
        set(slot).await;
    }
    let (first, next) = names("limit=2").await;
    assert_eq!((&*first, next.as_deref()), ("a/x a/y", Some("a/y")));
    assert_eq!(names("limit=2&cursor=a/y").await, ("a/z".to_owned(), None));
    let cursor = server.get("/api/v1/changes").await.json()["next"].clone();
    assert_eq!(names(&format!("updated_since={cursor}")).await.0, "");
    let changed =
        server.request("PUT", "/api/v1/presets/a/x", &headers, br#"{"model": "n"}"#).await;
    assert_eq!(changed.status, 200);
    assert_eq!(names(&format!("updated_since={cursor}")).await.0, "a/x");
}

#[tokio::test]
async fn what_cannot_be_saved_is_not_done() {
    let fake = FakeBackend::start().await;
    let server = server("").start().await;
    let database = rusqlite::Connection::open(server.data_dir().join("catalog.db")).unwrap();
    let full =
        "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'full'); END";
    database.execute_batch(full).unwrap();
    let reply = add(&server, "a", &fake.url()).await;
    assert_eq!(refusal(&reply), "500 store_failed", "{}", reply.text());
    assert!(names(&server).await.is_empty());
    database.execute_batch("DROP TRIGGER full").unwrap();
    assert_eq!(add(&server, "a", &fake.url()).await.status, 201, "nothing is stuck");
}

#[tokio::test]
async fn the_decision_is_explained_for_a_model_and_its_fallbacks() {
    let fake = FakeBackend::start().await;
    let config = format!(
        "[routing.aliases]\nfast = \"a/b c\"\n[routing.fallbacks]\n\"a/b c\" = [\"test-model\"]\n{}",
        fake.config("a")
    );
    let server = server(&config).start().await;
    let reply = server.get("/api/v1/route?model=fast&needs=tools,json&min_context=10").await;
    let report = reply.json();
    assert_eq!(report["requested"], "fast");
    let steps = report["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["model"], &steps[1]["model"]), (&"a/b c".into(), &"test-model".into()));
    assert_eq!(steps[0]["explanation"]["outcome"], json!({"refuse": {"code": "unknown_model"}}));
    assert_eq!(steps[1]["explanation"]["outcome"], json!({"to": "a"}));
    assert_eq!(fake.request_count(), 0, "asking sends nothing");
}

/// Returns each backend's verdict: `chosen`, or the code of why not.
async fn verdicts(server: &TestServer, query: &str) -> Vec<String> {
    let report = server.get(&format!("/api/v1/route?model={query}")).await.json();
    let candidates = report["steps"][0]["explanation"]["candidates"].as_array().unwrap().iter();
    let code = |verdict: &Value| match verdict.as_str() {
        Some(word) => word.to_owned(),
        None => verdict["lost"]["code"].as_str().expect("a code").to_owned(),
    };
    candidates.map(|candidate| code(&candidate["verdict"])).collect()
}

#[tokio::test]
async fn each_reason_why_a_backend_does_not_get_a_request_is_told() {
    let fake = FakeBackend::start().await;
    let two = |strategy: &str, of_a: &str, of_b: &str| {
        let model = "models = [\"test-model\"]";
        let (a, b) = (fake.config("a"), fake.config("b"));
        let of = |keys: &str| {
            if keys.contains("models") { keys.to_owned() } else { format!("{model}\n{keys}") }
        };
        format!("[routing]\n{strategy}\n{a}{}\n{b}{}\n", of(of_a), of(of_b))
    };
    let declared = |keys: &str| format!("models = [{{ id = \"test-model\", {keys} }}]");
    let strict = "unknown_capabilities = \"refuse\"";
    for (strategy, a, query, expected) in [
        ("", declared("supports_tools = false"), "&needs=tools", "lacks_tools"),
        ("", declared("supports_vision = false"), "&needs=vision", "lacks_vision"),
        ("", declared("supports_json_mode = false"), "&needs=json", "lacks_json_mode"),
        ("", declared("context_length = 10"), "&min_context=11", "context_too_short"),
        (strict, String::new(), "&needs=tools", "unknown_tools"),
        (strict, String::new(), "&needs=vision", "unknown_vision"),
        (strict, String::new(), "&needs=json", "unknown_json_mode"),
        (strict, String::new(), "&min_context=11", "unknown_context"),
        ("", "models = [\"other\"]".to_owned(), "", "not_offered"),
        ("strategy = \"weighted\"", "weight = 0".to_owned(), "", "no_weight"),
        ("strategy = \"weighted\"", "weight = 1".to_owned(), "", "smaller_share"),
        ("strategy = \"priority\"", "priority = 1".to_owned(), "", "lower_tier"),
        ("zone = \"east\"", "zone = \"west\"".to_owned(), "", "lower_tier"),
    ] {
        let able = "weight = 2\nzone = \"east\"\nmodels = [{ id = \"test-model\", context_length = 99, \
                    supports_tools = true, supports_vision = true, supports_json_mode = true }]";
        let server = server(&two(strategy, &a, able)).start().await;
        let seen = verdicts(&server, &format!("test-model{query}")).await;
        assert_eq!(seen, [expected, "chosen"], "{strategy} {a} {query}");
    }
    let server = server(&two("strategy = \"round_robin\"", "", "")).start().await;
    let mut seen = verdicts(&server, "test-model").await;
    seen.sort();
    assert_eq!(seen, ["chosen", "not_its_turn"]);
    assert_eq!(verdicts(&server, "a:test-model").await, ["chosen", "other_backend_asked"]);
}

#[tokio::test]
async fn how_a_backend_is_at_the_moment_is_a_reason_too() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!(
        "[routing]\nstrategy = \"priority\"\neject_after = 1\neject_for = \"1m\"\n\
         {}priority = 1\nmax_concurrent = 1\n{}priority = 2\n",
        a.config("a"),
        b.config("b")
    );
    let server = server(&config).start().await;
    let gate = callsheet_testkit::Gate::new();
    a.script_next(1, callsheet_testkit::Behaviour::status(500).held_by(&gate));
    let address = server.address();
    let call = tokio::spawn(async move {
        let body = crate::observe::ask("test-model").to_string();
        client::request(address, "POST", "/v1/chat/completions", &[], body.as_bytes()).await
    });
    a.wait_for_requests(1).await;
    assert_eq!(verdicts(&server, "test-model").await, ["at_capacity", "chosen"]);
    gate.open();
    assert_eq!(call.await.unwrap().unwrap().status, 200);
    assert_eq!(verdicts(&server, "test-model").await, ["ejected", "chosen"]);
    assert_eq!(server.cli(["backend", "drain", "a"]).await.code, 0);
    assert_eq!(verdicts(&server, "test-model").await, ["draining", "chosen"]);
    b.stop().await;
    assert_eq!(server.cli(["backend", "drain", "b"]).await.code, 0);
    assert_eq!(server.cli(["backend", "resume", "b"]).await.code, 0);
    assert_eq!(verdicts(&server, "test-model").await, ["draining", "unhealthy"]);
    b.restart().await;
}
