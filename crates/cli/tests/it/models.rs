//! Model cards through the real binary: what the tests of `callsheet model` share, and a first
//! walk through all of it.

use crate::{
    observe::{daemon, seen},
    server,
};
use callsheet_testkit::{Output, TestServer};
use serde_json::{Value, json};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A registry file with two models and a preset.
pub(crate) fn registry() -> Value {
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

/// A catalog as `OpenRouter` has it: four models, and one that cannot be read.
pub(crate) fn openrouter() -> Value {
    let model = |id: &str, context: u64, prices: [&str; 2], parameters: &[&str]| {
        json!({
            "id": id, "canonical_slug": id.trim_end_matches(":free"), "name": format!("Name of {id}"),
            "created": 1_759_161_676, "context_length": context,
            "architecture": {
                "modality": "text+image->text", "input_modalities": ["text", "image"],
                "output_modalities": ["text"], "tokenizer": "Other", "instruct_type": null
            },
            "pricing": {"prompt": prices[0], "completion": prices[1]},
            "top_provider": {
                "context_length": context, "max_completion_tokens": null, "is_moderated": false
            },
            "per_request_limits": null, "supported_parameters": parameters
        })
    };
    json!({"data": [
        model("acme/rocket-1", 131_072, ["0.0000025", "0.00001"], &["tools", "temperature"]),
        model("acme/spark:free", 8192, ["0", "0"], &["temperature"]),
        model("acme/auto", 2_000_000, ["-1", "-1"], &[]),
        model("other/rocket-1", 65_536, ["0.000001", "0.000002"], &["tools"]),
        {"name": "No id"}
    ]})
}

/// A catalog as `LiteLLM` has it: the same rocket elsewhere, and a model for embeddings.
pub(crate) fn litellm() -> Value {
    json!({
        "sample_spec": {"litellm_provider": "one of", "mode": "one of"},
        "azure/rocket-1": {
            "litellm_provider": "azure", "mode": "chat", "max_input_tokens": 200_000,
            "max_output_tokens": 8192, "input_cost_per_token": 2.55e-6,
            "output_cost_per_token": 1e-5, "supports_function_calling": true
        },
        "acme-embed": {
            "litellm_provider": "acme", "mode": "embedding", "max_input_tokens": 8192,
            "output_vector_size": 1024, "input_cost_per_token": 1e-8, "colour": "green"
        }
    })
}

/// The files of a catalog as models.dev has it: two providers of one model, and a misspelt price.
pub(crate) const MODELS_DEV: [(&str, &str); 5] = [
    (
        "models/acme/rocket-1.toml",
        r#"
name = "Rocket 1"
family = "rocket"
attachment = true
reasoning = false
tool_call = true
release_date = "2026-01-31"
last_updated = "2026-02"
open_weights = true
license = "apache-2.0"
[limit]
context = 131072
output = 8192
[modalities]
input = ["text", "image"]
output = ["text"]
"#,
    ),
    (
        "providers/north/provider.toml",
        "name = \"North\"\nnpm = \"x\"\nenv = [\"K\"]\ndoc = \"d\"\n",
    ),
    (
        "providers/north/models/rocket-1.toml",
        "base_model = \"acme/rocket-1\"\n[cost]\ninput = 3\noutput = 12\ncache_input = 0.3\n",
    ),
    (
        "providers/south/provider.toml",
        "name = \"South\"\nnpm = \"x\"\nenv = [\"K\"]\ndoc = \"d\"\n",
    ),
    (
        "providers/south/models/acme/rocket-1.toml",
        "base_model = \"acme/rocket-1\"\n[limit]\ncontext = 65536\n[cost]\ninput = 2\noutput = 9\n",
    ),
];

/// A place for files that a test writes, and for a database that commands use without a daemon.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
    config: String,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// Commands have this config file.
    pub(crate) fn with(config: &str) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), config: config.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    pub(crate) fn text(&self, name: &str, content: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.to_string_lossy().into_owned()
    }

    pub(crate) fn file(&self, name: &str, content: &Value) -> String {
        self.text(name, &content.to_string())
    }

    /// Writes the files of models.dev into a folder.
    pub(crate) fn models_dev(&self) -> String {
        for (path, text) in MODELS_DEV {
            self.text(&format!("models.dev/{path}"), text);
        }
        self.path("models.dev")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("catalog.db")
    }

    /// Runs a command without a daemon, on the same data each time.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        let data = self.data().to_string_lossy().into_owned();
        let args = ["--data-dir", &data].into_iter().chain(args.iter().copied());
        daemon(&self.config).run(args).await
    }

    /// Runs a command that must succeed, and returns what it prints.
    pub(crate) async fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output.stdout
    }

    /// Runs a command that must succeed, and reads what it prints as JSON.
    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["--json"]].concat()).await).unwrap()
    }

    /// Runs a command and returns all that a person sees, less what differs from run to run.
    pub(crate) async fn seen(&self, args: &[&str]) -> String {
        self.masked(&seen(&self.run(args).await))
    }

    /// Replaces this folder, moments and the day by words.
    pub(crate) fn masked(&self, text: &str) -> String {
        let text = text.replace(&*self.dir.path().to_string_lossy(), "DIR");
        let today = text_of_today();
        masked_moments(&text).replace(&today, "TODAY")
    }

    /// Returns a command of the same binary that a test starts by itself.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_callsheet"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .args(args)
            .arg("--data-dir")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a command that reads this from standard input.
    pub(crate) fn piped(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        output(&child.wait_with_output().unwrap())
    }
}

pub(crate) fn output(output: &std::process::Output) -> Output {
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn text_of_today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Replaces `YYYY-MM-DD HH:MM:SS` by `MOMENT`.
fn masked_moments(text: &str) -> String {
    const SHAPE: &[u8] = b"0000-00-00 00:00:00";
    let bytes = text.as_bytes();
    let is_moment = |at: usize| {
        bytes.get(at..at + SHAPE.len()).is_some_and(|window| {
            window.iter().zip(SHAPE).all(|(byte, shape)| match shape {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
        })
    };
    let mut out = String::new();
    let mut rest = 0;
    while let Some(character) = text[rest..].chars().next() {
        if is_moment(rest) {
            out.push_str("MOMENT");
            rest += SHAPE.len();
        } else {
            out.push(character);
            rest += character.len_utf8();
        }
    }
    out
}

/// A bench with three catalogs of three days: the registry, `OpenRouter`'s and models.dev's.
pub(crate) async fn stocked(config: &str) -> Bench {
    let bench = Bench::with(config);
    let registry = bench.file("registry.json", &registry());
    let openrouter = bench.file("openrouter.json", &openrouter());
    let models_dev = bench.models_dev();
    for (file, format, day) in [
        (&registry, "registry", "2026-03-01"),
        (&openrouter, "openrouter", "2026-03-02"),
        (&models_dev, "models.dev", "2026-03-03"),
    ] {
        bench.ok(&["model", "import", file, "--format", format, "--as-of", day]).await;
    }
    bench
}

/// How much the feed has, as text: whoever writes nothing leaves it so.
pub(crate) async fn feed(bench: &Bench) -> String {
    bench.ok(&["changes"]).await
}

#[tokio::test]
async fn a_registry_is_taken_in_and_looked_at_without_a_daemon() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let import = ["model", "import", &file, "--format", "registry"];
    insta::assert_snapshot!(bench.seen(&import).await, @"
        exit code 0
        import/registry: 2 models, 1 preset
        added 3, updated 0, unchanged 0, withdrawn 0
        ");
    insta::assert_snapshot!(bench.seen(&["model", "list"]).await, @"
        exit code 0
        MODEL                     STATUS  CONTEXT  OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        openrouter:acme/rocket-1  active  32,768   4,096    2.55        10              chat tools
        openrouter:acme/spark     active  8,192    unknown  unknown     unknown         chat
        ");
    insta::assert_snapshot!(bench.seen(&["preset", "list"]).await, @"
        exit code 0
        PRESET                 MODEL       PARAMETERS       SOURCE           WARNINGS
        callsheet:budget/chat  acme/spark  temperature=0.3  import/registry
        ");
    let again = bench.ok(&import).await;
    assert!(again.contains("added 0, updated 0, unchanged 3, withdrawn 0"), "{again}");
    assert_eq!(bench.json(&["changes"]).await.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_pin_wins_says_what_it_hides_and_is_taken_back() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let id = "openrouter:acme/rocket-1";
    let set = ["model", "set", id, "context_window=16k", "prices.prompt=free", "--by", "ada"];
    insta::assert_snapshot!(bench.seen(&set).await, @"
        exit code 0
        openrouter:acme/rocket-1: set: context_window, prices.prompt
        ");
    let card = bench.json(&["model", "show", id]).await;
    assert_eq!(card["models"][0]["context_window"], 16_000, "{card}");
    let mut newer = registry();
    newer["models"][0]["info"]["context_window"] = json!(65536);
    let file = bench.file("newer.json", &newer);
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let why = bench.ok(&["model", "why", id, "context_window"]).await;
    assert!(
        why.contains("pin/user (ada)") && why.contains("16000") && why.contains("65536"),
        "{why}"
    );
    let shown = bench.ok(&["model", "show", id]).await;
    assert!(shown.contains("note") && shown.contains("65536"), "{shown}");
    bench.ok(&["model", "unset", id, "context_window"]).await;
    let shown = bench.ok(&["model", "show", id]).await;
    assert!(shown.contains("65,536"), "{shown}");
}

#[tokio::test]
async fn providers_are_set_beside_each_other_where_they_differ() {
    let bench = stocked("").await;
    for (key, assignment) in [
        ("south:acme/rocket-1", "context_window=131072"),
        ("openrouter:acme/rocket-1", "max_output_tokens=8192"),
    ] {
        bench.ok(&["model", "set", key, assignment]).await;
    }
    let shown = bench.ok(&["model", "show", "north:rocket-1"]).await;
    let (_, among) = shown.split_once("AMONG PROVIDERS").expect("a table");
    let fields: Vec<_> = among.lines().skip(1).filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(fields, ["prices.prompt", "prices.completion"], "{shown}");
}

/// Whoever asks a daemon and whoever works without one sees the same.
#[tokio::test]
async fn a_daemon_answers_as_a_command_without_one_does() {
    let bench = stocked("").await;
    let server: TestServer =
        server("").args([Path::new("--data-dir"), &bench.data()]).start().await;
    let data = bench.data().to_string_lossy().into_owned();
    for args in [
        &["model", "list"][..],
        &["model", "show", "rocket-1"],
        &["model", "why", "openrouter:acme/rocket-1"],
        &["model", "conflicts"],
        &["preset", "list"],
        &["changes", "--json"],
    ] {
        let there = server.cli([args, &["--server", &server.url()]].concat()).await;
        let here = server.cli([args, &["--data-dir", &data]].concat()).await;
        assert_eq!(there.code, 0, "{there:?}");
        assert_eq!(there.stdout, here.stdout);
    }
}
