//! Model cards through the real binary: taking catalogs in, looking at them, correcting them.

use crate::server;
use callsheet_testkit::{Output, TestServer, TestServerBuilder};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A registry file with two models and a preset.
fn registry() -> Value {
    json!({
        "version": 1,
        "models": [
            {
                "info": {
                    "id": "acme/rocket-1", "provider": "openrouter",
                    "capabilities": ["Chat", "ToolUse"], "context_window": 32768, "dimensions": null
                },
                "parameters": {
                    "temperature": {"availability": "mutable", "range": {"min": 0.0, "max": 2.0}}
                },
                "pricing": {"prompt_cost_per_mtok": 2.55, "completion_cost_per_mtok": 10.0},
                "max_output_tokens": 4096
            },
            {
                "info": {
                    "id": "acme/spark", "provider": "openrouter",
                    "capabilities": ["Chat"], "context_window": 8192, "dimensions": null
                },
                "parameters": {}, "pricing": null, "max_output_tokens": null
            }
        ],
        "presets": {"budget": {"chat": {"model": "acme/spark", "parameters": {"temperature": 0.3}}}}
    })
}

/// A place for files that a test writes, beside a configuration without a daemon.
struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &Value) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path.to_string_lossy().into_owned()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Runs a command without a daemon, on the same data each time.
    async fn run(&self, args: &[&str]) -> Output {
        let data = self.data().to_string_lossy().into_owned();
        let command: TestServerBuilder = server("");
        command.run(["--data-dir", &data].into_iter().chain(args.iter().copied())).await
    }

    async fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output.stdout
    }
}

#[tokio::test]
async fn a_registry_is_taken_in_and_looked_at_without_a_daemon() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    insta::assert_snapshot!(bench.ok(&["model", "import", &file, "--format", "registry"]).await, @"");
    insta::assert_snapshot!(bench.ok(&["model", "list"]).await, @"");
    insta::assert_snapshot!(bench.ok(&["preset", "list"]).await, @"");
    let again = bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    assert!(again.contains("added 0, updated 0, unchanged 3, withdrawn 0"), "{again}");
    let feed = bench.ok(&["changes", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&feed).unwrap().as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_pin_wins_says_what_it_hides_and_is_taken_back() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let id = "openrouter:acme/rocket-1";
    let set = ["model", "set", id, "context_window=16k", "prices.prompt=free", "--by", "ada"];
    insta::assert_snapshot!(bench.ok(&set).await, @"");
    let card: Value = serde_json::from_str(&bench.ok(&["model", "show", id, "--json"]).await).unwrap();
    assert_eq!(card["models"][0]["context_window"], 16_000, "{card}");
    let mut newer = registry();
    newer["models"][0]["info"]["context_window"] = json!(65536);
    let file = bench.file("newer.json", &newer);
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let why = bench.ok(&["model", "why", id, "context_window"]).await;
    assert!(why.contains("pin/user (ada)") && why.contains("16000") && why.contains("65536"), "{why}");
    let shown = bench.ok(&["model", "show", id]).await;
    assert!(shown.contains("note") && shown.contains("65536"), "{shown}");
    bench.ok(&["model", "unset", id, "context_window"]).await;
    let shown = bench.ok(&["model", "show", id]).await;
    assert!(shown.contains("65,536"), "{shown}");
}

/// Whoever asks a daemon and whoever works without one sees the same.
#[tokio::test]
async fn a_daemon_answers_as_a_command_without_one_does() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let server: TestServer = server("").start().await;
    let imported = server.cli(["model", "import", &file, "--format", "registry"]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let there = server.cli(["model", "list"]).await.stdout;
    assert_eq!(there, bench.ok(&["model", "list"]).await);
}
