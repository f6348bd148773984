//! Presets through the real binary, and through the gateway of a daemon.

use crate::{
    models::{Bench, registry, stocked},
    observe::{ask, refusal},
    server,
};
use callsheet_testkit::{FakeBackend, TestServer};
use insta::assert_snapshot;
use serde_json::{Value, json};

#[tokio::test]
async fn a_preset_is_set_with_every_parameter_listed_and_removed() {
    let bench = stocked("").await;
    let all = [
        "preset",
        "set",
        "premium",
        "chat",
        "north:rocket-1",
        "--temperature",
        "0.7",
        "--top-p",
        "0.9",
        "--top-k",
        "40",
        "--max-tokens",
        "4000",
        "--frequency-penalty",
        "-0.5",
        "--presence-penalty",
        "0.5",
        "--seed",
        "7",
    ];
    assert_snapshot!(bench.seen(&all).await, @"
        exit code 0
        callsheet:premium/chat set: north:rocket-1 frequency_penalty=-0.5 max_tokens=4000 presence_penalty=0.5 seed=7 temperature=0.7 top_k=40 top_p=0.9
        ");
    assert_snapshot!(bench.seen(&all).await, @"
        exit code 0
        callsheet:premium/chat set: north:rocket-1 frequency_penalty=-0.5 max_tokens=4000 presence_penalty=0.5 seed=7 temperature=0.7 top_k=40 top_p=0.9; it was so already
        ");
    assert_snapshot!(bench.seen(&["preset", "list"]).await, @"
        exit code 0
        PRESET                  MODEL           PARAMETERS                                                                                             SOURCE           WARNINGS
        callsheet:budget/chat   acme/spark      temperature=0.3                                                                                        import/registry
        callsheet:premium/chat  north:rocket-1  frequency_penalty=-0.5 max_tokens=4000 presence_penalty=0.5 seed=7 temperature=0.7 top_k=40 top_p=0.9  local/api
        ");
    let list = bench.json(&["preset", "list"]).await;
    assert_eq!(list[1]["parameters"]["frequency_penalty"], json!(-0.5), "{list}");
    let shown = bench.ok(&["model", "show", "north:rocket-1"]).await;
    assert!(shown.contains("used by: preset premium/chat"), "{shown}");
    // A catalog's preset is hidden by one's own, and is there again without it.
    bench.ok(&["preset", "set", "budget", "chat", "north:rocket-1"]).await;
    assert_snapshot!(bench.seen(&["preset", "remove", "budget", "chat"]).await, @"
        exit code 0
        callsheet:budget/chat removed: north:rocket-1
        warning: that of import/registry is in force then: acme/spark
        ");
    assert_snapshot!(bench.seen(&["preset", "list"]).await, @"
        exit code 0
        PRESET                  MODEL           PARAMETERS                                                                                             SOURCE           WARNINGS
        callsheet:budget/chat   acme/spark      temperature=0.3                                                                                        import/registry
        callsheet:premium/chat  north:rocket-1  frequency_penalty=-0.5 max_tokens=4000 presence_penalty=0.5 seed=7 temperature=0.7 top_k=40 top_p=0.9  local/api
        ");
    assert_snapshot!(bench.seen(&["preset", "remove", "premium", "chat"]).await, @"
        exit code 0
        callsheet:premium/chat removed: north:rocket-1 frequency_penalty=-0.5 max_tokens=4000 presence_penalty=0.5 seed=7 temperature=0.7 top_k=40 top_p=0.9
        ");
    assert_snapshot!(bench.seen(&["preset", "remove", "premium", "chat"]).await, @r#"
        exit code 1
        --
        error: there is no preset "premium/chat"
        hint: `callsheet preset list` shows all of them
        "#);
}

#[tokio::test]
async fn what_is_odd_about_a_preset_is_said_and_what_cannot_be_is_refused() {
    let bench = stocked("").await;
    let set = async |args: &[&str]| bench.seen(&[&["preset", "set"], args].concat()).await;
    assert_snapshot!(set(&["budget", "json", "nobody/knows-it"]).await, @"
        exit code 0
        callsheet:budget/json set: nobody/knows-it
        warning: no model is known as nobody/knows-it
        ");
    let too_hot = ["budget", "hot", "openrouter:acme/rocket-1", "--max-tokens", "9999"];
    assert_snapshot!(set(&too_hot).await, @"
        exit code 0
        callsheet:budget/hot set: openrouter:acme/rocket-1 max_tokens=9999
        warning: max_tokens of 9999 is outside of what the model takes: 4096 and less
        ");
    bench.ok(&["model", "set", "openrouter:acme/rocket-1", "parameters.seed=unsupported"]).await;
    assert_snapshot!(set(&["budget", "seed", "openrouter:acme/rocket-1", "--seed", "1"]).await, @"
        exit code 0
        callsheet:budget/seed set: openrouter:acme/rocket-1 seed=1
        warning: the model does not take seed
        ");
    let before = bench.ok(&["preset", "list"]).await;
    assert_snapshot!(set(&["budget", "a/b", "acme/spark"]).await, @r#"
        exit code 1
        --
        error: "budget/a/b" is no preset: expected TIER/SLOT, such as budget/chat, each 1 to 64 letters, digits, `.`, `_` or `-`
        "#);
    assert_snapshot!(set(&["", "chat", "acme/spark"]).await, @r#"
        exit code 1
        --
        error: "/chat" is no preset: expected TIER/SLOT, such as budget/chat, each 1 to 64 letters, digits, `.`, `_` or `-`
        "#);
    assert_snapshot!(set(&["budget", "chat", "acme/spark", "--temperature", "3"]).await, @"
        exit code 1
        --
        error: temperature cannot be 3.0: expected a number from 0 to 2
        ");
    assert_snapshot!(set(&["budget", "chat", "acme/spark", "--max-tokens", "0"]).await, @"
        exit code 1
        --
        error: max_tokens cannot be 0: expected a whole number from 1 up
        ");
    let no_number = set(&["budget", "chat", "acme/spark", "--temperature", "warm"]).await;
    assert_snapshot!(no_number.lines().take(3).collect::<Vec<_>>().join("\n"), @"
        exit code 2
        --
        error: invalid value 'warm' for '--temperature <TEMPERATURE>': invalid float literal
        ");
    let not_finite =
        bench.run(&["preset", "set", "x", "y", "acme/spark", "--temperature", "NaN"]).await;
    assert_ne!(not_finite.code, 0, "{not_finite:?}");
    let dry = ["budget", "chat", "north:rocket-1", "--temperature", "1", "--dry-run"];
    assert_snapshot!(set(&dry).await, @"
        exit code 0
        callsheet:budget/chat would be set: north:rocket-1 temperature=1.0; nothing was changed
        ");
    let dry = ["preset", "remove", "budget", "chat", "--dry-run"];
    assert_snapshot!(bench.seen(&dry).await, @"
        exit code 0
        callsheet:budget/chat would be removed: acme/spark temperature=0.3; nothing was changed
        ");
    assert_eq!(bench.ok(&["preset", "list"]).await, before);
}

async fn send(server: &TestServer, body: &Value) -> (u16, String) {
    let reply = server.post_json("/v1/chat/completions", body).await;
    (reply.status, reply.text())
}

#[tokio::test]
async fn a_request_through_a_preset_has_its_model_and_what_it_leaves_open() {
    let backend = FakeBackend::builder().models(["acme/spark", "big"]).start().await;
    let mut server = server(&backend.config("only")).start().await;
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    for args in [
        &["model", "import", &file, "--format", "registry"][..],
        &["preset", "set", "premium", "chat", "big", "--temperature", "0.7", "--max-tokens", "50"],
    ] {
        let done = server.cli(args).await;
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
    }
    let said =
        [json!({}), json!({"temperature": 1.5, "top_p": null}), json!({"temperature": null})];
    for said in said {
        let mut request = ask("callsheet:budget/chat");
        request.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        assert_eq!(send(&server, &request).await.0, 200);
    }
    assert_eq!(send(&server, &ask("callsheet:premium/chat")).await.0, 200);
    let got = |i: usize| {
        let mut body = backend.requests()[i].json();
        body.as_object_mut().unwrap().remove("messages");
        body
    };
    assert_eq!(got(0), json!({"model": "acme/spark", "temperature": 0.3}));
    assert_eq!(got(1), json!({"model": "acme/spark", "temperature": 1.5, "top_p": null}));
    // Whoever says null has not said anything.
    assert_eq!(got(2), json!({"model": "acme/spark", "temperature": 0.3}));
    assert_eq!(got(3), json!({"model": "big", "temperature": 0.7, "max_tokens": 50}));
    // Kept as it is, whoever asks next.
    server.restart().await;
    assert_eq!(send(&server, &ask("callsheet:premium/chat")).await.0, 200);
    assert_eq!(got(4), json!({"model": "big", "temperature": 0.7, "max_tokens": 50}));
    let unknown = server.post_json("/v1/chat/completions", &ask("callsheet:premium/json")).await;
    assert_eq!(refusal(&unknown), "404 model_not_found", "{}", unknown.text());
    let removed = server.cli(["preset", "remove", "premium", "chat"]).await;
    assert_eq!(removed.code, 0, "{removed:?}");
    let gone = server.post_json("/v1/chat/completions", &ask("callsheet:premium/chat")).await;
    assert_eq!(refusal(&gone), "404 model_not_found", "{}", gone.text());
}

/// What another process writes to the same database comes into force in a daemon that runs.
#[tokio::test]
async fn a_preset_is_in_force_at_once_whoever_sets_it() {
    let backend = FakeBackend::builder().models(["big"]).start().await;
    let server = server(&backend.config("only")).start().await;
    let put = async |body: &str| {
        let headers = [("Content-Type", "application/json")];
        let reply = server.request("PUT", "/api/v1/presets/a/b", &headers, body.as_bytes()).await;
        (reply.status, reply.json())
    };
    let set = put(r#"{"model": "big", "parameters": {"seed": 1}}"#).await;
    assert_eq!((set.0, &set.1["changed"]), (200, &json!(true)), "{set:?}");
    assert_eq!(send(&server, &ask("callsheet:a/b")).await.0, 200);
    assert_eq!(backend.requests()[0].json()["seed"], 1);
    let long = json!({"model": "m".repeat(513)}).to_string();
    for bad in [
        &long,
        "{}",
        "[]",
        r#"{"model": "big", "parameters": {"model": "other"}}"#,
        r#"{"model": ""}"#,
    ] {
        let refused = put(bad).await;
        assert_eq!(refused.0, 400, "{bad}: {refused:?}");
    }
}
