//! `callsheet model export`: every format, what it cannot say, and the way back.

use crate::models::{Bench, litellm, registry, stocked};
use insta::assert_snapshot;
use serde_json::Value;

async fn export(bench: &Bench, format: &str) -> (String, String) {
    let output = bench.run(&["model", "export", "--format", format]).await;
    assert_eq!(output.code, 0, "{output:?}");
    (output.stdout, output.stderr)
}

#[tokio::test]
async fn each_format_is_written_and_says_what_it_leaves_out() {
    let bench = stocked("").await;
    let file = bench.file("litellm.json", &litellm());
    bench.ok(&["model", "import", &file, "--format", "litellm"]).await;
    assert_snapshot!(export(&bench, "callsheet").await.1, @"");
    assert_snapshot!(export(&bench, "registry").await.1, @"
        54 things that are not in it:
          6 × `canonical` has no place in it, first in north:rocket-1
          6 × `input_modalities` has no place in it, first in north:rocket-1
          6 × `name` has no place in it, first in north:rocket-1
          6 × `output_modalities` has no place in it, first in north:rocket-1
          6 × `released` has no place in it, first in north:rocket-1
          6 × capability `vision` has no place in it, first in north:rocket-1
          4 × `extra` has no place in it, first in openrouter:acme/auto
          2 × `family` has no place in it, first in north:rocket-1
          2 × `license` has no place in it, first in north:rocket-1
          2 × `max_input_tokens` has no place in it, first in acme:acme-embed
          2 × `open_weights` has no place in it, first in north:rocket-1
          2 × `updated` has no place in it, first in north:rocket-1
          2 × capability `attachments` has no place in it, first in north:rocket-1
          1 × models without a provider have no place in it, first in acme/rocket-1
          1 × the price is dynamic: `pricing` is left as it is, first in openrouter:acme/auto
        ");
    assert_snapshot!(export(&bench, "openrouter").await.1, @"
        8 things that are not in it:
          4 × other providers' models have no place in it, first in acme:acme-embed
          1 × capability `chat` has no place in it, first in openrouter:acme/spark
          1 × models without a provider have no place in it, first in acme/rocket-1
          1 × presets have no place in it, first in budget/chat
          1 × the bounds of `temperature` have no place in it, first in openrouter:acme/rocket-1
        ");
    assert_snapshot!(export(&bench, "models.dev").await.1, @"
        63 things that are not in it:
          7 × `last_updated` is expected in it and is not known, first in acme:acme-embed
          7 × `open_weights` is expected in it and is not known, first in acme:acme-embed
          7 × `reasoning` is expected in it and is not known, first in acme:acme-embed
          6 × `canonical` has no place in it, first in north:rocket-1
          4 × `extra.canonical_slug` has no place in it, first in openrouter:acme/auto
          4 × `extra.is_moderated` has no place in it, first in openrouter:acme/auto
          4 × `extra.tokenizer` has no place in it, first in openrouter:acme/auto
          4 × `tool_call` is expected in it and is not known, first in acme:acme-embed
          3 × `attachment` is expected in it and is not known, first in acme:acme-embed
          3 × `modalities` is expected in it and is not known, first in acme:acme-embed
          3 × `name` is expected in it and is not known, first in acme:acme-embed
          3 × `release_date` is expected in it and is not known, first in acme:acme-embed
          2 × what `tools` may be set to has no place in it, first in openrouter:acme/rocket-1
          1 × `embedding_dimensions` has no place in it, first in acme:acme-embed
          1 × models without a provider have no place in it, first in acme/rocket-1
          1 × presets have no place in it, first in budget/chat
          1 × that price `completion` per mtok is dynamic has no place in it, first in openrouter:acme/auto
          1 × that price `prompt` per mtok is dynamic has no place in it, first in openrouter:acme/auto
          1 × what `temperature` may be set to has no place in it, first in openrouter:acme/rocket-1
        ");
    assert_snapshot!(export(&bench, "litellm").await.1, @"
        53 things that are not in it:
          7 × `context_window` is written as `max_input_tokens`, first in north:rocket-1
          6 × `canonical` has no place in it, first in north:rocket-1
          6 × `name` has no place in it, first in north:rocket-1
          6 × `released` has no place in it, first in north:rocket-1
          4 × `extra.canonical_slug` has no place in it, first in openrouter:acme/auto
          4 × `extra.is_moderated` has no place in it, first in openrouter:acme/auto
          4 × `extra.tokenizer` has no place in it, first in openrouter:acme/auto
          2 × `family` has no place in it, first in north:rocket-1
          2 × `license` has no place in it, first in north:rocket-1
          2 × `open_weights` has no place in it, first in north:rocket-1
          2 × `updated` has no place in it, first in north:rocket-1
          2 × parameter `temperature` has no place in it, first in openrouter:acme/rocket-1
          2 × parameter `tools` has no place in it, first in openrouter:acme/rocket-1
          1 × models without a provider have no place in it, first in acme/rocket-1
          1 × presets have no place in it, first in budget/chat
          1 × that price `completion` per mtok is dynamic has no place in it, first in openrouter:acme/auto
          1 × that price `prompt` per mtok is dynamic has no place in it, first in openrouter:acme/auto
        ");
    assert_snapshot!(bench.seen(&["model", "export", "--format", "toml"]).await, @r#"
        exit code 2
        --
        error: "toml" is no format: expected "registry", "openrouter", "models.dev", "litellm" or "callsheet"
        "#);
    // What is written in a format is read in it.
    for format in ["callsheet", "registry", "openrouter", "models.dev", "litellm"] {
        let fresh = Bench::new();
        let text = export(&bench, format).await.0;
        let piped = fresh.piped(&["model", "import", "-", "--format", format], &text);
        assert_eq!(piped.code, 0, "{format}: {piped:?}");
        assert!(!fresh.json(&["model", "list"]).await.as_array().unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_file_is_written_as_a_whole_and_one_provider_alone() {
    let bench = stocked("").await;
    let file = bench.path("out.json");
    let to_file = ["model", "export", "--provider", "north", "-o", &file];
    assert_snapshot!(bench.seen(&to_file).await, @"
        exit code 0
        1 model written to DIR/out.json
        ");
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(written["models"].as_array().unwrap().len(), 1, "{written}");
    let nowhere = bench.path("no/such/out.json");
    assert_snapshot!(bench.seen(&["model", "export", "-o", &nowhere]).await, @"
        exit code 1
        --
        error: DIR/no/such/out.json cannot be written: DIR/no/such is no folder
        ");
    let json = bench.json(&["model", "export", "--format", "registry"]).await;
    assert_eq!(
        (json["format"].as_str(), json["models"].as_u64()),
        (Some("registry"), Some(7)),
        "{json}"
    );
}

/// Returns an export without its date.
fn undated(text: &str) -> String {
    text.lines().filter(|line| !line.contains("as_of")).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn our_own_format_loses_nothing() {
    let bench = stocked("").await;
    bench.ok(&["preset", "set", "premium", "chat", "north:rocket-1", "--top-k", "40"]).await;
    let (text, said) = export(&bench, "callsheet").await;
    assert_eq!(said, "");
    assert_ne!(undated(&text), text, "an export says of when it is");
    let fresh = Bench::new();
    let file = fresh.text("callsheet.json", &text);
    let imported = fresh.seen(&["model", "import", &file, "--format", "callsheet"]).await;
    assert_snapshot!(imported, @"
        exit code 0
        import/callsheet: 7 models, 1 of no one provider, 2 presets
        added 10, updated 0, unchanged 0, withdrawn 0
        ");
    assert_eq!(undated(&export(&fresh, "callsheet").await.0), undated(&text));
    assert_eq!(bench.ok(&["model", "list"]).await, fresh.ok(&["model", "list"]).await);
    // The date of the catalog is the date of what it says.
    assert_eq!(export(&bench, "callsheet").await.0, text, "one state, one text");
    let why = fresh.ok(&["model", "why", "north:rocket-1", "name"]).await;
    assert!(why.contains("import/callsheet"), "{why}");
}

#[tokio::test]
async fn what_is_gone_is_left_out_and_counted() {
    let bench = stocked("").await;
    let mut fewer = registry();
    fewer["models"].as_array_mut().unwrap().pop();
    let file = bench.file("registry.json", &fewer);
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    bench.ok(&["model", "remove", "south:acme/rocket-1"]).await;
    let (text, said) = export(&bench, "callsheet").await;
    assert_snapshot!(said, @"
        2 things that are not in it:
          1 × is removed and left out, first in south:acme/rocket-1
          1 × is withdrawn and left out, first in openrouter:acme/spark
        ");
    assert!(!text.contains("openrouter:acme/spark\"") && !text.contains("south:"), "{text}");
    let json = bench.json(&["model", "export", "--format", "openrouter"]).await;
    assert_eq!(json["models"], 4, "{json}");
}
