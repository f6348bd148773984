//! How a test sees a daemon from outside: questions, answers, and what changes in time.

use callsheet_testkit::{FakeBackend, Output, Reply, TestServer, TestServerBuilder, within};
use serde_json::{Value, json};
use std::{path::Path, time::Duration};

/// A daemon with exactly this config file.
pub(crate) fn daemon(config: &str) -> TestServerBuilder {
    TestServer::builder(Path::new(env!("CARGO_BIN_EXE_callsheet"))).config(config)
}

/// A chat request.
pub(crate) fn ask(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hello"}]})
}

/// Sends a chat request.
pub(crate) async fn chat(server: &TestServer, model: &str) -> Reply {
    server.post_json("/v1/chat/completions", &ask(model)).await
}

/// Sends a chat request that must be answered, and returns who answered it.
pub(crate) async fn served_by(server: &TestServer, model: &str) -> String {
    let reply = chat(server, model).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-callsheet-backend").expect("the name of the backend").to_owned()
}

/// Returns status and code of an error, in one line.
pub(crate) fn refusal(reply: &Reply) -> String {
    let code = reply.json()["error"]["code"].as_str().unwrap_or("no code").to_owned();
    format!("{} {code}", reply.status)
}

/// Returns what the API says of a backend.
pub(crate) async fn backend(server: &TestServer, name: &str) -> Value {
    let reply = server.get(&format!("/api/v1/backends/{name}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// Returns the ids of a backend's models.
pub(crate) async fn models(server: &TestServer, name: &str) -> Vec<String> {
    let view = backend(server, name).await;
    let models = view["models"].as_array().expect("models").iter();
    models.map(|model| model["id"].as_str().expect("an id").to_owned()).collect()
}

/// Looks again and again until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            // Nothing in another process could wake this task.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Waits until a backend has this status.
pub(crate) async fn until_status(server: &TestServer, name: &str, status: &str) -> Value {
    until(&format!("{name} {status}"), async || {
        let view = backend(server, name).await;
        (view["status"] == status).then_some(view)
    })
    .await
}

/// Returns the value of a series as `/metrics` has it, such as `callsheet_queue_length`.
pub(crate) async fn metric(server: &TestServer, series: &str) -> Option<f64> {
    let text = server.get("/metrics").await.text();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

/// Returns a config of these backends, named in order `a`, `b`, …
pub(crate) fn config_of(backends: &[&FakeBackend]) -> String {
    let names = ["a", "b", "c", "d"];
    names.iter().zip(backends).map(|(name, backend)| backend.config(name)).collect()
}

/// What a command left, as a person sees it: the exit code, then both outputs, with folders and
/// ports replaced by words.
pub(crate) fn seen(output: &Output) -> String {
    let text = format!(
        "exit code {}\n{}{}",
        output.code,
        output.stdout,
        if output.stderr.is_empty() { String::new() } else { format!("--\n{}", output.stderr) }
    );
    let words: Vec<String> = text.split_inclusive(char::is_whitespace).map(redacted).collect();
    words.concat().trim_end().to_owned()
}

/// Replaces the temporary folder by `HOME` and the port of an address by `PORT`.
fn redacted(word: &str) -> String {
    let mut word = word.to_owned();
    let temporary = std::env::temp_dir().join("callsheet-test-");
    if let Some(at) = word.find(&*temporary.to_string_lossy()) {
        let rest = &word[at + temporary.as_os_str().len()..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        word = format!("{}HOME{}", &word[..at], &rest[end..]);
    }
    for host in ["127.0.0.1:", "127.0.0.2:"] {
        if let Some(at) = word.find(host) {
            let (before, port) = word.split_at(at + host.len());
            let digits = port.len() - port.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            // The port that documentation names is no accident of a test.
            if digits >= 4 && &port[..digits] != "7117" {
                word = format!("{before}PORT{}", &port[digits..]);
            }
        }
    }
    word
}
