//! A registry file that is changed in place.

use crate::formats::price;
use crate::formats_arbitrary::facts;
use callsheet_models::{
    Facts, Parameter,
    formats::FormatError,
    registry_file::{Merged, RegistryFile, RegistryFileError},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

const FILE: &str = r#"{
  "presets": {"free": {"agent": "b", "chat": {"model": "a", "parameters": {"temperature": 0.30, "odd": null}, "new": 1}}},
  "version": 1,
  "models": [
    {"parameters": {"temperature": {"availability": "mutable", "range": {"max": 2.0, "min": 0.0}}, "seed": {"availability": "opaque"}},
     "info": {"provider": "openrouter", "id": "b", "capabilities": ["Chat", "Sing"], "context_window": 4096, "dimensions": null, "shape": [1]},
     "pricing": {"completion_cost_per_mtok": 15.0, "prompt_cost_per_mtok": 3, "cache": 0.5}, "max_output_tokens": 100, "x": {"y": null}},
    {"info": {"id": "a", "provider": "openrouter", "capabilities": []}, "parameters": {},
     "pricing": {"prompt_cost_per_mtok": 2.5500000000000003}},
    {"info": {"provider": "nobody"}}
  ],
  "zeta": 1.10
}"#;

const IN_ORDER: &str = r#"{
  "version": 1,
  "models": [
    {
      "info": {
        "id": "a",
        "provider": "openrouter",
        "capabilities": []
      },
      "parameters": {},
      "pricing": {
        "prompt_cost_per_mtok": 2.5500000000000003
      }
    },
    {
      "info": {
        "id": "b",
        "provider": "openrouter",
        "capabilities": [
          "Chat",
          "Sing"
        ],
        "context_window": 4096,
        "dimensions": null,
        "shape": [
          1
        ]
      },
      "parameters": {
        "seed": {
          "availability": "opaque"
        },
        "temperature": {
          "availability": "mutable",
          "range": {
            "min": 0.0,
            "max": 2.0
          }
        }
      },
      "pricing": {
        "prompt_cost_per_mtok": 3,
        "completion_cost_per_mtok": 15.0,
        "cache": 0.5
      },
      "max_output_tokens": 100,
      "x": {
        "y": null
      }
    },
    {
      "info": {
        "provider": "nobody"
      }
    }
  ],
  "presets": {
    "free": {
      "agent": "b",
      "chat": {
        "model": "a",
        "parameters": {
          "odd": null,
          "temperature": 0.3
        },
        "new": 1
      }
    }
  },
  "zeta": 1.1
}
"#;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file_in(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("registry.json");
    fs::write(&path, text).unwrap();
    path
}

fn with_file(text: &str) -> (tempfile::TempDir, RegistryFile) {
    let folder = folder();
    let file = RegistryFile::read(&file_in(folder.path(), text)).unwrap();
    (folder, file)
}

fn rendered(file: &RegistryFile) -> Value {
    serde_json::from_slice(&file.render()).unwrap()
}

fn entry(file: &RegistryFile, id: &str) -> Value {
    let document = rendered(file);
    let models = document.get("models").unwrap_or(&document).as_array().unwrap();
    models.iter().find(|entry| entry["info"]["id"] == id).unwrap().clone()
}

/// Sorts models by id, as rendering does.
fn in_order(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    value["models"].as_array_mut().unwrap().swap(0, 1);
    value
}

#[test]
fn a_file_that_nobody_changed_says_the_same_in_the_same_order() {
    let (_folder, file) = with_file(FILE);
    assert_eq!(rendered(&file), in_order(FILE));
    let ids = file.ids();
    let ids: Vec<_> = ids.iter().map(|(provider, id)| (&**provider, &**id)).collect();
    assert_eq!(ids, [("openrouter", "a"), ("openrouter", "b")]);
    assert_eq!(file.nameless(), 1);
    let text = String::from_utf8(file.render()).unwrap();
    assert_eq!(text, IN_ORDER);
}

#[test]
fn an_update_replaces_the_context_window() {
    let (_folder, mut file) = with_file(FILE);
    let facts = Facts { context_window: Some(128_000), ..Facts::default() };
    assert!(file.merge("b", "openrouter", &facts).changed);
    assert_eq!(entry(&file, "b")["info"]["context_window"], 128_000);
}

#[test]
fn what_the_facts_do_not_say_stays() {
    let (_folder, mut file) = with_file(FILE);
    let before = entry(&file, "b");
    assert_eq!(file.merge("b", "openrouter", &Facts::default()), Merged::default());
    let facts = Facts { context_window: Some(16_384), ..Facts::default() };
    file.merge("b", "openrouter", &facts);
    let after = entry(&file, "b");
    for key in ["pricing", "parameters", "max_output_tokens", "x"] {
        assert_eq!(after[key], before[key], "{key}");
    }
    assert_eq!(after["info"]["shape"], json!([1]));
}

#[test]
fn every_field_has_its_rule() {
    let (_folder, mut file) = with_file(FILE);
    let facts = Facts {
        capabilities: ["tools", "chat", "vision", "Rerank"].map(str::to_owned).into(),
        embedding_dimensions: Some(8),
        max_output_tokens: Some(200),
        parameters: [
            ("seed".to_owned(), Parameter::Unsupported),
            ("top_p".to_owned(), Parameter::Opaque),
        ]
        .into(),
        prices: Some(vec![price("prompt", "mtok", "2.55"), price("cache_read", "mtok", "1")]),
        ..Facts::default()
    };
    assert_eq!(file.merge("b", "other", &facts), Merged { changed: true, left: Vec::new() });
    assert_eq!(
        entry(&file, "b"),
        json!({
            "info": {"id": "b", "provider": "other",
                // Those that were there stay in their order; `vision` is no word of its readers.
                "capabilities": ["Chat", "Sing", "Rerank", "ToolUse"],
                "context_window": 4096, "dimensions": 8, "shape": [1]},
            "parameters": {
                "temperature": {"availability": "mutable", "range": {"min": 0.0, "max": 2.0}},
                "seed": {"availability": "unsupported"}, "top_p": {"availability": "opaque"}},
            // The two prices are one; what is beside them is not ours.
            "pricing": {"prompt_cost_per_mtok": 2.55, "completion_cost_per_mtok": null, "cache": 0.5},
            "max_output_tokens": 200, "x": {"y": null}
        })
    );
}

#[test]
fn numbers_that_say_the_same_are_no_change() {
    let (_folder, mut file) = with_file(FILE);
    let same = Facts {
        context_window: Some(4096),
        capabilities: ["chat".to_owned()].into(),
        parameters: [(
            "temperature".to_owned(),
            Parameter::Mutable { min: Some(0.into()), max: Some(2.into()), default: None },
        )]
        .into(),
        prices: Some(vec![price("prompt", "mtok", "3"), price("completion", "mtok", "15")]),
        ..Facts::default()
    };
    assert_eq!(file.merge("b", "openrouter", &same), Merged::default());
    // A float that had drifted is put right.
    let right = Facts { prices: Some(vec![price("prompt", "mtok", "2.55")]), ..Facts::default() };
    assert!(file.merge("a", "openrouter", &right).changed);
    assert_eq!(entry(&file, "a")["pricing"]["prompt_cost_per_mtok"].to_string(), "2.55");
}

#[test]
fn a_dynamic_price_never_becomes_a_number() {
    let (_folder, mut file) = with_file(FILE);
    let before = entry(&file, "b");
    let facts = Facts {
        prices: Some(vec![price("prompt", "mtok", "dynamic"), price("completion", "mtok", "1")]),
        ..Facts::default()
    };
    let merged = file.merge("b", "openrouter", &facts);
    assert!(!merged.changed);
    assert_eq!(merged.left, ["the price is dynamic: `pricing` is left as it is"]);
    assert_eq!(entry(&file, "b"), before);
    // Prices that hold for some requests only are not the price.
    let mut batch = price("prompt", "mtok", "1");
    batch.batch = true;
    let mut long = price("completion", "mtok", "1");
    long.above_context = Some(200_000);
    let facts = Facts { prices: Some(vec![batch, long]), ..Facts::default() };
    assert_eq!(file.merge("b", "openrouter", &facts), Merged::default());
}

#[test]
fn a_model_that_is_not_there_is_added() {
    let (_folder, mut file) = with_file(FILE);
    assert!(file.merge("aa", "acme", &Facts::default()).changed);
    let ids: Vec<_> = file.ids().into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["a", "aa", "b"]);
    assert_eq!(
        entry(&file, "aa"),
        json!({"info": {"id": "aa", "provider": "acme", "capabilities": [], "context_window": null,
            "dimensions": null}, "parameters": {}})
    );
}

#[test]
fn of_several_with_one_id_the_providers_own_is_meant() {
    let (_folder, mut file) = with_file(
        r#"[{"info": {"id": "a", "provider": "x"}}, {"info": {"id": "a", "provider": "y"}}]"#,
    );
    let facts = Facts { max_output_tokens: Some(5), ..Facts::default() };
    file.merge("a", "y", &facts);
    let document = rendered(&file);
    assert_eq!(document[0].get("max_output_tokens"), None);
    assert_eq!(document[1]["max_output_tokens"], 5);
    file.merge("a", "z", &facts);
    assert_eq!(rendered(&file).as_array().unwrap().len(), 3, "nobody knows which is meant");
}

#[test]
fn a_bare_list_stays_one() {
    let (_folder, mut file) = with_file(r#"[{"info": {"id": "b", "provider": "p"}}]"#);
    file.merge("a", "p", &Facts::default());
    assert!(rendered(&file).is_array());
    assert_eq!(rendered(&file)[0]["info"]["id"], "a");
}

#[test]
fn odd_entries_are_left_alone_and_told() {
    let (_folder, mut file) = with_file(
        r#"[{"info": {"id": "a", "provider": "p", "capabilities": "Chat"}, "parameters": 5, "pricing": []}]"#,
    );
    let before = entry(&file, "a");
    let facts = Facts {
        capabilities: ["tools".to_owned()].into(),
        parameters: [("n".to_owned(), Parameter::Opaque)].into(),
        prices: Some(vec![price("prompt", "mtok", "1")]),
        ..Facts::default()
    };
    let merged = file.merge("a", "p", &facts);
    assert_eq!(
        merged.left,
        [
            "`capabilities` is no list: it is left as it is",
            "`parameters` is no table: it is left as it is",
            "`pricing` is no table: it is left as it is",
        ]
    );
    assert!(!merged.changed);
    assert_eq!(entry(&file, "a"), before);
}

#[test]
fn what_is_no_registry_is_refused() {
    let folder = folder();
    let missing = RegistryFile::read(&folder.path().join("none.json")).unwrap_err();
    assert!(matches!(missing, RegistryFileError::Unreadable { .. }), "{missing}");
    for (text, is_expected) in [
        ("", (|e| matches!(e, FormatError::Empty { .. })) as fn(&FormatError) -> bool),
        ("{\"models\": [", |e| matches!(e, FormatError::Syntax { line: 1, .. })),
        ("{\"error\": \"no\"}", |e| matches!(e, FormatError::ErrorBody { .. })),
        ("{\"version\": 2, \"models\": []}", |e| matches!(e, FormatError::Version { .. })),
        ("{\"models\": {}}", |e| matches!(e, FormatError::Foreign { .. })),
    ] {
        let path = file_in(folder.path(), text);
        let Err(RegistryFileError::Format(error)) = RegistryFile::read(&path) else {
            panic!("{text} was read");
        };
        assert!(is_expected(&error), "{text}: {error}");
        assert!(error.to_string().contains("registry.json"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // Without models there is nothing to refresh, which is no error.
    let path = file_in(folder.path(), "{\"models\": []}");
    assert_eq!(RegistryFile::read(&path).unwrap().ids(), []);
}

#[test]
fn writing_keeps_the_mode_and_leaves_nothing_behind() {
    let folder = folder();
    let path = file_in(folder.path(), FILE);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let mut file = RegistryFile::read(&path).unwrap();
    file.merge("b", "openrouter", &Facts { context_window: Some(1), ..Facts::default() });
    assert!(file.write().unwrap());
    assert_eq!(fs::read(&path).unwrap(), file.render());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["registry.json"]);
    assert!(!file.write().unwrap(), "it says all of this already");
    file.merge("b", "openrouter", &Facts { context_window: Some(2), ..Facts::default() });
    assert!(file.write().unwrap(), "what it wrote itself is no change by somebody else");
}

#[cfg(unix)]
#[test]
fn writing_goes_through_a_symbolic_link() {
    let folder = folder();
    let path = file_in(folder.path(), FILE);
    let link = folder.path().join("link.json");
    std::os::unix::fs::symlink("registry.json", &link).unwrap();
    let mut file = RegistryFile::read(&link).unwrap();
    file.merge("new", "p", &Facts::default());
    assert!(file.write().unwrap());
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(fs::read_to_string(&path).unwrap().contains("\"new\""));
}

#[test]
fn what_somebody_else_wrote_meanwhile_is_not_lost() {
    let folder = folder();
    let path = file_in(folder.path(), FILE);
    let mut file = RegistryFile::read(&path).unwrap();
    file.merge("new", "p", &Facts::default());
    fs::write(&path, "[]").unwrap();
    let error = file.write().unwrap_err();
    assert!(matches!(error, RegistryFileError::Changed { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]");
    fs::remove_file(&path).unwrap();
    let error = file.write().unwrap_err();
    assert!(matches!(error, RegistryFileError::Unwritable { .. }), "{error}");
    assert!(!path.exists());
}

#[test]
fn writers_at_once_take_turns() {
    const WRITERS: usize = 8;
    let folder = folder();
    let path = file_in(folder.path(), FILE);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let path = &path;
            scope.spawn(move || {
                loop {
                    let mut file = RegistryFile::read(path).unwrap();
                    file.merge(&format!("writer-{writer}"), "p", &Facts::default());
                    match file.write() {
                        Ok(written) => break assert!(written),
                        Err(RegistryFileError::Changed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let ids = RegistryFile::read(&path).unwrap().ids();
    assert_eq!(ids.len(), 2 + WRITERS, "{ids:?}");
}

proptest! {
    // Each case has files of its own.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn merging_twice_is_merging_once(facts in facts(), id in "(a|b|c)") {
        let (_folder, mut file) = with_file(FILE);
        file.merge(&id, "openrouter", &facts);
        let once = file.render();
        prop_assert!(!file.merge(&id, "openrouter", &facts).changed);
        prop_assert_eq!(file.render(), once);
    }

    #[test]
    fn the_order_of_models_does_not_matter(a in facts(), b in facts(), c in facts()) {
        let merges = [("a", &a), ("b", &b), ("c", &c)];
        let (_folder, mut one) = with_file(FILE);
        let (_other_folder, mut other) = with_file(FILE);
        for (id, facts) in merges {
            one.merge(id, "p", facts);
        }
        for (id, facts) in merges.into_iter().rev() {
            other.merge(id, "p", facts);
        }
        prop_assert_eq!(one.render(), other.render());
    }

    #[test]
    fn presets_and_everything_unknown_are_preserved(facts in facts(), id in "(a|b|c)") {
        let (_folder, mut file) = with_file(FILE);
        let before = rendered(&file);
        let unknown = entry(&file, "b");
        file.merge(&id, "openrouter", &facts);
        let after = rendered(&file);
        for key in ["presets", "version", "zeta"] {
            prop_assert_eq!(&after[key], &before[key]);
        }
        let b = entry(&file, "b");
        prop_assert_eq!(&b["x"], &unknown["x"]);
        prop_assert_eq!(&b["info"]["shape"], &unknown["info"]["shape"]);
        prop_assert!(b["info"]["capabilities"].as_array().unwrap().starts_with(&[json!("Chat"), json!("Sing")]));
        prop_assert_eq!(after["models"].as_array().unwrap().last(), before["models"].as_array().unwrap().last());
        for parameter in ["temperature", "seed"] {
            let is_there = b["parameters"].get(parameter).is_some();
            prop_assert!(is_there, "{}", parameter);
        }
    }
}

#[test]
fn of_many_models_each_is_found_and_what_was_added_too() {
    let models: Vec<Value> = (0..500)
        .map(|i| json!({"info": {"id": format!("m{i}"), "provider": "or", "capabilities": []}}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    fs::write(&path, json!({"version": 1, "models": models}).to_string()).unwrap();
    let mut file = RegistryFile::read(&path).unwrap();
    let facts = Facts { context_window: Some(4096), ..Facts::default() };
    for i in 0..500 {
        assert!(file.merge(&format!("m{i}"), "or", &facts).changed);
    }
    // One that was added is found the next time.
    assert!(file.merge("new", "or", &facts).changed);
    assert_eq!(file.merge("new", "or", &facts), Merged::default());
    assert_eq!(file.ids().len(), 501);
}
