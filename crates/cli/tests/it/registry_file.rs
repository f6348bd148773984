//! `callsheet model refresh --file`: a registry file that is refreshed in place, byte for byte.

use crate::{
    observe::seen,
    refresh_scene::{Home, model},
};
use callsheet_testkit::{FakeModel, FakeProvider, Fault, Gate, Output, Speaks};
use insta::assert_snapshot;
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

/// What somebody wrote by hand: out of order, with keys, capabilities and numbers of their own.
const REGISTRY: &str = r#"{
  "version": 1,
  "models": [
    {
      "info": {"id": "acme/b", "provider": "openrouter", "capabilities": ["Chat", "Juggling"], "context_window": 4096, "house": "red"},
      "parameters": {"temperature": {"availability": "mutable", "range": {"min": 0.0, "max": 2.0, "default": 0.7}}},
      "pricing": {"prompt_cost_per_mtok": 2.55, "completion_cost_per_mtok": 10.20},
      "max_output_tokens": 512,
      "note": {"by": "hand", "weight": 2.55}
    },
    {"info": {"id": "acme/a", "provider": "openrouter", "capabilities": ["Chat"], "context_window": 2048}, "parameters": {}}
  ],
  "presets": {
    "free": {"chat": "acme/a", "agent": {"model": "acme/b", "parameters": {"temperature": 0.30, "top_p": 2.5500000000000003}}},
    "budget": {"chat": "acme/b"}
  },
  "generated": "by hand"
}
"#;

/// A provider under the name that the file has for it, and a home that knows it.
async fn scene(models: impl IntoIterator<Item = FakeModel>) -> (FakeProvider, Home) {
    let fake = FakeProvider::start(Speaks::OpenRouter, models).await;
    let home = Home::new(&fake.config("openrouter"));
    (fake, home)
}

/// Both models of [`REGISTRY`], and one that it does not have.
fn listed() -> Vec<FakeModel> {
    vec![
        FakeModel::new("acme/a").context(8192).prices("0.00000255", "0.0000102"),
        FakeModel::new("acme/b").context(4096).prices("0.00000255", "0.0000102").max_output(1024),
        model("acme/c"),
    ]
}

async fn refresh(home: &Home, file: &Path, further: &[&str]) -> Output {
    let file = file.to_str().unwrap();
    home.run(["model", "refresh", "--file", file].into_iter().chain(further.iter().copied())).await
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn a_file_is_brought_to_what_providers_say_and_else_stays() {
    let (fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @"
        exit code 0
        refreshing 2 models...
          openrouter:acme/a ok, changed
          openrouter:acme/b ok, changed

        refreshed 2/2 models.
        ");
    assert_eq!(fake.request_count(), 1);
    let once = read(&file);
    assert_snapshot!(once, @r#"
        {
          "version": 1,
          "models": [
            {
              "info": {
                "id": "acme/a",
                "provider": "openrouter",
                "capabilities": [
                  "Chat"
                ],
                "context_window": 8192
              },
              "parameters": {
                "max_tokens": {
                  "availability": "opaque"
                },
                "temperature": {
                  "availability": "opaque"
                }
              },
              "pricing": {
                "prompt_cost_per_mtok": 2.55,
                "completion_cost_per_mtok": 10.2
              }
            },
            {
              "info": {
                "id": "acme/b",
                "provider": "openrouter",
                "capabilities": [
                  "Chat",
                  "Juggling"
                ],
                "context_window": 4096,
                "house": "red"
              },
              "parameters": {
                "max_tokens": {
                  "availability": "opaque"
                },
                "temperature": {
                  "availability": "mutable",
                  "range": {
                    "min": 0.0,
                    "max": 2.0,
                    "default": 0.7
                  }
                }
              },
              "pricing": {
                "prompt_cost_per_mtok": 2.55,
                "completion_cost_per_mtok": 10.2
              },
              "max_output_tokens": 1024,
              "note": {
                "by": "hand",
                "weight": 2.55
              }
            }
          ],
          "presets": {
            "budget": {
              "chat": "acme/b"
            },
            "free": {
              "agent": {
                "model": "acme/b",
                "parameters": {
                  "temperature": 0.3,
                  "top_p": 2.5500000000000003
                }
              },
              "chat": "acme/a"
            }
          },
          "generated": "by hand"
        }
        "#);
    // A second time there is nothing to do, and the file is not even written.
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @"
        exit code 0
        refreshing 2 models...
          openrouter:acme/a ok
          openrouter:acme/b ok

        refreshed 2/2 models.
        ");
    assert_eq!(read(&file), once);
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    // Nothing of this is in the store.
    assert!(!home.path("data/callsheet/catalog.db").exists());
}

#[tokio::test]
async fn the_file_may_be_named_in_the_environment() {
    let (_fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    let home = home.env("REGISTRY_PATH", file.to_str().unwrap());
    let output = home.good(["model", "refresh", "acme/a"]).await;
    assert_snapshot!(seen(&output), @"
        exit code 0
        refreshing 1 models...
          openrouter:acme/a ok, changed

        refreshed 1/1 models.
        ");
    assert!(read(&file).contains("\"context_window\": 8192"));
}

#[tokio::test]
async fn presets_are_what_they_were() {
    let (_fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    assert_eq!(refresh(&home, &file, &[]).await.code, 0);
    let text = read(&file);
    let (before, after): (Value, Value) =
        (serde_json::from_str(REGISTRY).unwrap(), serde_json::from_str(&text).unwrap());
    assert_eq!(before["presets"], after["presets"]);
    // No number is another one.
    for number in ["2.5500000000000003", "\"temperature\": 0.3", "\"weight\": 2.55", "10.2"] {
        assert!(text.contains(number), "{number}: {text}");
    }
    assert!(!text.contains("2.5499"), "{text}");
}

#[tokio::test]
async fn a_check_of_a_file_writes_nothing() {
    let (_fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    assert_snapshot!(seen(&refresh(&home, &file, &["--check"]).await), @"
        exit code 4
        refreshing 2 models...
          openrouter:acme/a ok, changed
          openrouter:acme/b ok, changed

        refreshed 2/2 models.
        2 would change; nothing was written
        ");
    assert_eq!(refresh(&home, &file, &["--dry-run"]).await.code, 0);
    assert_eq!(read(&file), REGISTRY);
    assert_eq!(refresh(&home, &file, &[]).await.code, 0);
    assert_snapshot!(seen(&refresh(&home, &file, &["--check"]).await), @"
        exit code 0
        refreshing 2 models...
          openrouter:acme/a ok
          openrouter:acme/b ok

        refreshed 2/2 models.
        nothing would change
        ");
    // The same models in another order are another file.
    let mut value: Value = serde_json::from_str(&read(&file)).unwrap();
    value["models"].as_array_mut().unwrap().reverse();
    fs::write(&file, value.to_string()).unwrap();
    assert_eq!(refresh(&home, &file, &["--check"]).await.code, 4);
}

#[tokio::test]
async fn what_failed_stays_as_it_was_and_its_presets_are_named() {
    let (fake, home) = scene([listed().remove(0)]).await;
    home.configure(&format!(
        "{}[routing.aliases]\nfast = \"acme/b\"\nquick = \"fast\"\n",
        fake.config("openrouter")
    ));
    let file = home.write("registry.json", REGISTRY);
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @"
        exit code 3
        refreshing 2 models...
          openrouter:acme/a ok, changed
          openrouter:acme/b WARN: openrouter does not list it

        refreshed 1/2 models.
        --
        failed (1):
          openrouter:acme/b: openrouter does not list it
        openrouter:acme/b is gone; still used by alias fast, alias quick, preset budget/chat, preset free/agent
        ");
    let text = read(&file);
    assert!(text.contains("\"note\"") && text.contains("Juggling"), "{text}");
    assert!(text.contains("\"max_output_tokens\": 512"), "{text}");
}

#[tokio::test]
async fn a_file_is_as_it_was_when_all_failed() {
    let (fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    for fault in [
        Fault::Status(404),
        Fault::ErrorBody,
        Fault::NoList,
        Fault::EmptyList,
        Fault::Truncated,
        Fault::Status(401),
    ] {
        fake.fault(fault.clone());
        let output = refresh(&home, &file, &[]).await;
        assert_eq!(output.code, 1, "{fault:?} {output:?}");
        assert!(output.stderr.starts_with("no models refreshed"), "{output:?}");
        assert_eq!(read(&file), REGISTRY, "{fault:?}");
    }
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @r#"
        exit code 1
        refreshing 2 models...
          openrouter:acme/a WARN: openrouter could not be asked: http://127.0.0.1:PORT/v1/models answered 401: {"error":{"message":"stand-in says 401","type":"stand_in","param":null,"code":"stand_in_401"}} (check the API key)
          openrouter:acme/b WARN: openrouter could not be asked: http://127.0.0.1:PORT/v1/models answered 401: {"error":{"message":"stand-in says 401","type":"stand_in","param":null,"code":"stand_in_401"}} (check the API key)
        --
        no models refreshed: nothing was written
        failed (2):
          openrouter:acme/a: openrouter could not be asked: http://127.0.0.1:PORT/v1/models answered 401: {"error":{"message":"stand-in says 401","type":"stand_in","param":null,"code":"stand_in_401"}} (check the API key)
          openrouter:acme/b: openrouter could not be asked: http://127.0.0.1:PORT/v1/models answered 401: {"error":{"message":"stand-in says 401","type":"stand_in","param":null,"code":"stand_in_401"}} (check the API key)
        "#);
    fake.heal();
    assert_eq!(refresh(&home, &file, &["--offline"]).await.code, 1);
    assert_eq!(read(&file), REGISTRY);
    let left: Vec<_> =
        fs::read_dir(home.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_str().unwrap().contains("tmp")), "{left:?}");
}

#[tokio::test]
async fn only_the_models_of_a_file_that_are_named_are_refreshed() {
    let (_fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    let output = refresh(&home, &file, &["openrouter:acme/a", "acme/c", "other:acme/b"]).await;
    assert_snapshot!(seen(&output), @"
        exit code 3
        refreshing 3 models...
          openrouter:acme/a ok, changed
          other:acme/b WARN: is not in the registry file
          unknown:acme/c WARN: is not in the registry file

        refreshed 1/3 models.
        --
        failed (2):
          other:acme/b: is not in the registry file
          unknown:acme/c: is not in the registry file
        ");
    let text = read(&file);
    assert!(!text.contains("acme/c"), "what is new does not come in by itself: {text}");
    assert!(
        text.contains("\"context_window\": 8192") && text.contains("\"max_output_tokens\": 512")
    );
    let output = refresh(&home, &file, &["--provider", "nobody"]).await;
    assert_snapshot!(seen(&output), @"
        exit code 0
        no models of nobody: nothing to refresh
        ");
}

#[tokio::test]
async fn a_file_without_models_has_nothing_to_refresh() {
    let (fake, home) = scene(listed()).await;
    for text in [r#"{"version": 1, "models": [], "presets": {}}"#, "[]"] {
        let file = home.write("registry.json", text);
        assert_eq!(
            seen(&refresh(&home, &file, &[]).await),
            "exit code 0\nno models in the registry file: nothing to refresh"
        );
        assert_eq!(read(&file), text);
    }
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn a_bare_list_stays_one() {
    let (_fake, home) = scene(listed()).await;
    let text = r#"[{"info": {"id": "acme/a", "provider": "openrouter", "capabilities": []}, "parameters": {}}]"#;
    let file = home.write("registry.json", text);
    assert_eq!(refresh(&home, &file, &[]).await.code, 0);
    assert_snapshot!(read(&file), @r#"
        [
          {
            "info": {
              "id": "acme/a",
              "provider": "openrouter",
              "capabilities": [
                "Chat"
              ],
              "context_window": 8192
            },
            "parameters": {
              "max_tokens": {
                "availability": "opaque"
              },
              "temperature": {
                "availability": "opaque"
              }
            },
            "pricing": {
              "prompt_cost_per_mtok": 2.55,
              "completion_cost_per_mtok": 10.2
            }
          }
        ]
        "#);
}

#[tokio::test]
async fn a_damaged_file_is_left_alone() {
    let (fake, home) = scene(listed()).await;
    for text in [
        "",
        "{",
        &REGISTRY[..REGISTRY.len() / 2],
        "{\"version\": 1}",
        "{\"version\": 1, \"models\": {}}",
        "null",
        "\"models\"",
    ] {
        let file = home.write("registry.json", text);
        let output = refresh(&home, &file, &[]).await;
        assert_eq!(output.code, 1, "{text:?} {output:?}");
        assert!(output.stderr.starts_with("error: ") && output.stdout.is_empty(), "{output:?}");
        assert_eq!(read(&file), text);
    }
    let file = home.write("registry.json", "{\"version\": 1, \"models\": 3}");
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @"
        exit code 1
        --
        error: HOME/registry.json is no registry catalog: expected a list `models`
        ");
    assert_snapshot!(seen(&refresh(&home, &home.path("nowhere.json"), &[]).await), @"
        exit code 1
        --
        error: HOME/nowhere.json cannot be read: No such file or directory (os error 2)
        ");
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn mode_and_link_stay() {
    let (_fake, home) = scene(listed()).await;
    fs::create_dir(home.path("real")).unwrap();
    let real = home.write("real/registry.json", REGISTRY);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let link = home.path("registry.json");
    symlink("real/registry.json", &link).unwrap();
    assert_eq!(refresh(&home, &link, &[]).await.code, 0);
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(read(&real).contains("\"context_window\": 8192"));
    assert_eq!(fs::read_dir(home.path("real")).unwrap().count(), 1);
}

#[tokio::test]
async fn two_refreshes_at_the_same_time_lose_nothing() {
    let (fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    // Both have read the file before either writes it.
    let gate = Gate::new();
    fake.fault(Fault::Held(gate.clone()));
    let (a, b, ()) = tokio::join!(
        refresh(&home, &file, &["acme/a"]),
        refresh(&home, &file, &["acme/b"]),
        async {
            fake.wait_for_requests(2).await;
            gate.open();
        }
    );
    assert_eq!((a.code, b.code), (0, 0), "{a:?} {b:?}");
    let together = read(&file);
    let alone = home.write("alone.json", REGISTRY);
    assert_eq!(refresh(&home, &alone, &[]).await.code, 0);
    assert_eq!(together, read(&alone));
}

#[tokio::test]
async fn what_somebody_writes_meanwhile_is_kept() {
    let (fake, home) = scene(listed()).await;
    let file = home.write("registry.json", REGISTRY);
    let gate = Gate::new();
    fake.fault(Fault::Held(gate.clone()));
    let edited = REGISTRY.replace("\"by hand\"", "\"by another hand\"").replace(
        "\"models\": [",
        "\"models\": [{\"info\": {\"id\": \"acme/z\", \"provider\": \"mine\", \"capabilities\": []}, \"parameters\": {}},",
    );
    let (output, ()) = tokio::join!(refresh(&home, &file, &[]), async {
        fake.wait_for_requests(1).await;
        fs::write(&file, &edited).unwrap();
        gate.open();
    });
    assert_eq!(output.code, 0, "{output:?}");
    let text = read(&file);
    for part in ["by another hand", "acme/z", "\"context_window\": 8192"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn an_entry_that_nobody_can_be_asked_about_hinders_no_other() {
    let (_fake, home) = scene(listed()).await;
    let text = REGISTRY.replace(
        "\"models\": [",
        r#""models": [
    {"info": {"id": "lonely", "capabilities": []}, "parameters": {}},
    {"info": {"id": "foreign", "provider": "no such provider!", "capabilities": []}, "parameters": {}},
    {"info": {"id": "  spaced ", "provider": "openrouter", "capabilities": []}, "parameters": {}},
    {"info": {"provider": "openrouter"}},"#,
    );
    let file = home.write("registry.json", &text);
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @r#"
        exit code 3
        refreshing 5 models...
          openrouter:acme/a ok, changed
          openrouter:acme/b ok, changed
          unknown:foreign WARN: there is no provider named "no such provider!"; [providers.no such provider!] in the config file says where it is
          unknown:lonely WARN: the registry file names no provider
          unknown:spaced WARN: openrouter does not list it

        refreshed 2/5 models.
        --
        failed (3):
          unknown:foreign: there is no provider named "no such provider!"; [providers.no such provider!] in the config file says where it is
          unknown:lonely: the registry file names no provider
          unknown:spaced: openrouter does not list it
        "#);
    let after = read(&file);
    for part in ["lonely", "no such provider!", "  spaced ", "\"context_window\": 8192"] {
        assert!(after.contains(part), "{part}: {after}");
    }
}

#[tokio::test]
async fn a_price_that_the_file_cannot_hold_is_left_out_and_said() {
    let dynamic = FakeModel::new("acme/a").context(8192).prices("-1", "-1");
    let (_fake, home) = scene([dynamic, listed().remove(1)]).await;
    let file = home.write("registry.json", REGISTRY);
    assert_snapshot!(seen(&refresh(&home, &file, &[]).await), @"
        exit code 0
        refreshing 2 models...
          openrouter:acme/a ok, changed; left out: the price is dynamic: `pricing` is left as it is
          openrouter:acme/b ok, changed

        refreshed 2/2 models.
        ");
    assert!(!read(&file).contains("-1"), "{}", read(&file));
}

#[tokio::test]
async fn programs_are_told_of_a_file_in_json() {
    let (_fake, home) = scene([listed().remove(0)]).await;
    let file = home.write("registry.json", REGISTRY);
    let output = refresh(&home, &file, &["--json"]).await;
    assert_eq!((output.code, output.stderr.as_str()), (3, ""));
    assert_snapshot!(output.stdout, @r#"
        {
          "total": 2,
          "refreshed": 1,
          "changed": 1,
          "models": [
            {
              "key": "openrouter:acme/a",
              "outcome": "changed"
            },
            {
              "key": "openrouter:acme/b",
              "outcome": "missing",
              "message": "openrouter does not list it"
            }
          ],
          "providers": [
            {
              "name": "openrouter",
              "listed": 1,
              "not_modified": false,
              "problems": []
            }
          ],
          "withdrawn": [],
          "orphans": [
            {
              "key": "openrouter:acme/b",
              "used_by": [
                "preset budget/chat",
                "preset free/agent"
              ]
            }
          ]
        }
        "#);
}
