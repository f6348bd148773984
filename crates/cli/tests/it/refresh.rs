//! `callsheet model refresh`: what is asked, what is said, and what is in the store afterwards.

use crate::{
    observe::{daemon, seen},
    refresh_scene::{Home, model, models},
};
use callsheet_testkit::{Behaviour, FakeModel, FakeProvider, Fault, Gate, Speaks};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::time::Duration;

const REFRESH: [&str; 2] = ["model", "refresh"];

/// A provider with so many models, and a home that knows it as `p`.
async fn scene(speaks: Speaks, count: usize) -> (FakeProvider, Home) {
    let fake = FakeProvider::start(speaks, models(count)).await;
    let home = Home::new(&fake.config("p"));
    (fake, home)
}

#[tokio::test]
async fn every_kind_of_provider_is_asked_as_it_wants_to_be() {
    let kinds = [
        Speaks::OpenRouter,
        Speaks::OpenAi,
        Speaks::Anthropic,
        Speaks::Google,
        Speaks::Ollama,
        Speaks::Vllm,
        Speaks::LlamaCpp,
        Speaks::Replicate,
        Speaks::HuggingFace,
        Speaks::Generic,
    ];
    let mut fakes = Vec::new();
    let mut config = String::new();
    for speaks in kinds {
        let fake = FakeProvider::start(speaks, models(2)).await;
        config.push_str(&fake.config(&format!("my-{}", speaks.as_str())));
        if matches!(speaks, Speaks::Replicate | Speaks::HuggingFace) {
            config.push_str("models = [\"acme/m00\", \"acme/m01\"]\n");
        }
        fakes.push((speaks, fake));
    }
    let home = Home::new(&config);
    assert_snapshot!(seen(&home.run(REFRESH).await), @"
        exit code 0
        refreshing 22 models...
          my-anthropic:acme/m00 ok, new
          my-anthropic:acme/m01 ok, new
          my-generic:acme/m00 ok, new
          my-generic:acme/m01 ok, new
          my-google:acme/m00 ok, new
          my-google:acme/m01 ok, new
          my-huggingface:acme/m00 ok, new
          my-huggingface:acme/m00:fast ok, new
          my-huggingface:acme/m01 ok, new
          my-huggingface:acme/m01:fast ok, new
          my-llamacpp:acme/m00 ok, new
          my-llamacpp:acme/m01 ok, new
          my-ollama:acme/m00 ok, new
          my-ollama:acme/m01 ok, new
          my-openai:acme/m00 ok, new
          my-openai:acme/m01 ok, new
          my-openrouter:acme/m00 ok, new
          my-openrouter:acme/m01 ok, new
          my-replicate:acme/m00 ok, new
          my-replicate:acme/m01 ok, new
          my-vllm:acme/m00 ok, new
          my-vllm:acme/m01 ok, new

        refreshed 22/22 models.
        ");
    assert_snapshot!(seen(&home.run(["model", "list"]).await), @"
        exit code 0
        MODEL                         STATUS  CONTEXT  OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        my-anthropic:acme/m00         active  8,192    1,024    unknown     unknown         chat
        my-anthropic:acme/m01         active  8,192    1,024    unknown     unknown         chat
        my-generic:acme/m00           active  8,192    1,024    0.25        1
        my-generic:acme/m01           active  8,192    1,024    0.25        1
        my-google:acme/m00            active  8,192    1,024    unknown     unknown         chat
        my-google:acme/m01            active  8,192    1,024    unknown     unknown         chat
        my-huggingface:acme/m00       active  8,192    unknown  0.25        1               chat generate tools
        my-huggingface:acme/m00:fast  active  8,192    unknown  0.25        1               chat tools
        my-huggingface:acme/m01       active  8,192    unknown  0.25        1               chat generate tools
        my-huggingface:acme/m01:fast  active  8,192    unknown  0.25        1               chat tools
        my-llamacpp:acme/m00          active  unknown  unknown  unknown     unknown
        my-llamacpp:acme/m01          active  unknown  unknown  unknown     unknown
        my-ollama:acme/m00            active  unknown  unknown  unknown     unknown         chat tools
        my-ollama:acme/m01            active  unknown  unknown  unknown     unknown         chat tools
        my-openai:acme/m00            active  unknown  unknown  unknown     unknown
        my-openai:acme/m01            active  unknown  unknown  unknown     unknown
        my-openrouter:acme/m00        active  8,192    1,024    0.25        1               chat tools
        my-openrouter:acme/m01        active  8,192    1,024    0.25        1               chat tools
        my-replicate:acme/m00         active  unknown  unknown  unknown     unknown
        my-replicate:acme/m01         active  unknown  unknown  unknown     unknown
        my-vllm:acme/m00              active  8,192    unknown  unknown     unknown
        my-vllm:acme/m01              active  8,192    unknown  unknown     unknown
        ");
    for (speaks, fake) in &fakes {
        // What only a question about the model itself tells costs a question for each.
        let expected: &[&str] = match speaks {
            Speaks::Google => &["/v1beta/models?pageSize=1000"],
            Speaks::Anthropic => &["/v1/models?limit=1000"],
            Speaks::Ollama => &["/api/tags", "/api/show", "/api/show", "/api/ps"],
            Speaks::LlamaCpp => &["/v1/models", "/props"],
            Speaks::Replicate => &["/v1/models/acme/m00", "/v1/models/acme/m01"],
            Speaks::HuggingFace => &["/v1/models", "/api/models/acme/m00", "/api/models/acme/m01"],
            _ => &["/v1/models"],
        };
        let mut asked: Vec<String> = fake.requests().into_iter().map(|r| r.path).collect();
        if *speaks == Speaks::HuggingFace {
            for path in &mut asked {
                path.truncate(path.find('?').unwrap_or(path.len()));
            }
        }
        asked.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(asked, expected, "{speaks:?}");
    }
    // The same again says that nothing changed, and writes nothing.
    let cursor = home.good(["changes", "--json"]).await.stdout;
    let again = home.good(REFRESH).await;
    assert!(again.stdout.ends_with("\nrefreshed 22/22 models.\n"), "{again:?}");
    assert_eq!(again.stdout.matches(" ok\n").count(), 22, "{again:?}");
    assert_eq!(home.good(["changes", "--json"]).await.stdout, cursor);
}

#[tokio::test]
async fn each_is_asked_once_and_all_side_by_side() {
    let fakes = [
        FakeProvider::start(Speaks::OpenRouter, models(30)).await,
        FakeProvider::start(Speaks::Vllm, models(30)).await,
        FakeProvider::start(Speaks::OpenAi, models(30)).await,
    ];
    let gate = Gate::new();
    let mut config = String::new();
    for (fake, name) in fakes.iter().zip(["a", "b", "c"]) {
        fake.fault(Fault::Held(gate.clone()));
        config.push_str(&fake.config(name));
    }
    let home = Home::new(&config);
    let (output, ()) = tokio::join!(home.run(REFRESH), async {
        for fake in &fakes {
            fake.wait_for_requests(1).await;
        }
        gate.open();
    });
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.starts_with("refreshing 90 models...\n"), "{output:?}");
    for fake in &fakes {
        assert_eq!(fake.request_count(), 1);
    }
    // Models that are named are asked for together, and of those who have them.
    let ids = ["a:acme/m00", "a:acme/m01", "a:acme/m02", "b:acme/m07"];
    let output = home.good(REFRESH.into_iter().chain(ids)).await;
    assert_snapshot!(seen(&output), @"
        exit code 0
        refreshing 4 models...
          a:acme/m00 ok
          a:acme/m01 ok
          a:acme/m02 ok
          b:acme/m07 ok

        refreshed 4/4 models.
        ");
    assert_eq!(fakes.each_ref().map(FakeProvider::request_count), [2, 2, 1]);
    let output = home.good(["model", "refresh", "--provider", "c"]).await;
    assert!(output.stdout.starts_with("refreshing 30 models...\n"), "{output:?}");
    assert_eq!(fakes.each_ref().map(FakeProvider::request_count), [2, 2, 2]);
}

#[tokio::test]
async fn a_list_that_is_as_it_was_is_not_sent_again() {
    let fake = FakeProvider::builder(Speaks::OpenRouter).models(models(2)).etag("\"one\"");
    let fake = fake.start().await;
    let home = Home::new(&fake.config("p"));
    home.good(REFRESH).await;
    assert_snapshot!(seen(&home.run(REFRESH).await), @"
        exit code 0
        refreshing 2 models...
          p:acme/m00 ok
          p:acme/m01 ok

        refreshed 2/2 models.
        ");
    let asked: Vec<_> = fake
        .requests()
        .iter()
        .map(|request| request.header("if-none-match").map(str::to_owned))
        .collect();
    assert_eq!(asked, [None, Some("\"one\"".to_owned())]);
    fake.set_models(models(3));
    fake.set_etag(Some("\"two\""));
    home.good(REFRESH).await;
    assert_eq!(home.keys().await.len(), 3);
}

#[tokio::test]
async fn pages_are_read_to_the_last_and_half_a_list_is_refused() {
    for speaks in [Speaks::Anthropic, Speaks::Google, Speaks::OpenRouter] {
        let fake = FakeProvider::builder(speaks).models(models(7)).page_size(3).start().await;
        let home = Home::new(&fake.config("p"));
        home.good(REFRESH).await;
        assert_eq!(fake.request_count(), 3, "{speaks:?}");
        let before = home.cards().await;
        assert_eq!(before.len(), 7, "{speaks:?}");
        for fault in [Fault::Status(404), Fault::ErrorBody, Fault::Truncated, Fault::NoList] {
            fake.fault_later_pages(fault.clone());
            let output = home.run(REFRESH).await;
            assert_eq!(output.code, 1, "{speaks:?} {fault:?} {output:?}");
            assert_eq!(home.cards().await, before, "{speaks:?} {fault:?}");
        }
        fake.heal();
        home.good(REFRESH).await;
    }
}

#[tokio::test]
async fn what_is_no_list_leaves_the_good_catalog() {
    let (fake, home) = scene(Speaks::OpenRouter, 2).await;
    home.good(REFRESH).await;
    let before = home.cards().await;
    let mut said = String::new();
    for fault in [
        Fault::ErrorBody,
        Fault::NoList,
        Fault::EmptyList,
        Fault::Truncated,
        Fault::Status(401),
        Fault::Status(404),
        Fault::Redirect("http://127.0.0.1:1/v1/models".to_owned()),
    ] {
        fake.fault(fault.clone());
        let output = home.run(REFRESH).await;
        assert_eq!(output.code, 1, "{fault:?} {output:?}");
        assert!(!output.stdout.contains("refreshed"), "{output:?}");
        let stderr = seen(&output);
        let reason = stderr.lines().find(|line| line.starts_with("  p:acme/m00: "));
        let reason = reason.unwrap_or_else(|| panic!("{output:?}"));
        said.push_str(&format!("{}\n", reason.trim_start_matches("  p:acme/m00: ")));
        assert_eq!(home.cards().await, before, "{fault:?}");
    }
    assert_snapshot!(said, @r#"
        p answered /v1/models with something unusable: it says: stand-in is overloaded
        p answered /v1/models with something unusable: it is no list of models: `data` is missing, or of another type
        p came back with no models at all (--allow-shrink takes it at its word)
        p answered /v1/models with something unusable: it is no JSON: EOF while parsing an object at line 1 column 603
        p could not be asked: http://127.0.0.1:PORT/v1/models answered 401: {"error":{"message":"stand-in says 401","type":"stand_in","param":null,"code":"stand_in_401"}} (check the API key)
        p could not be asked: http://127.0.0.1:PORT/v1/models answered 404: {"error":{"message":"stand-in says 404","type":"stand_in","param":null,"code":"stand_in_404"}} (check the address)
        p could not be asked: http://127.0.0.1:1/v1/models cannot be reached: error sending request: client error (Connect): tcp connect error: Connection refused (os error 111) (is the server running, and the address right?)
        "#);
    // All of it, as a person sees it.
    fake.fault(Fault::ErrorBody);
    assert_snapshot!(seen(&home.run(REFRESH).await), @"
        exit code 1
        refreshing 2 models...
          p:acme/m00 WARN: p answered /v1/models with something unusable: it says: stand-in is overloaded
          p:acme/m01 WARN: p answered /v1/models with something unusable: it says: stand-in is overloaded
        --
        no models refreshed: nothing was written
        failed (2):
          p:acme/m00: p answered /v1/models with something unusable: it says: stand-in is overloaded
          p:acme/m01: p answered /v1/models with something unusable: it says: stand-in is overloaded
        ");
}

#[tokio::test]
async fn what_succeeded_is_written_though_others_failed() {
    let good = FakeProvider::start(Speaks::OpenRouter, models(2)).await;
    let bad = FakeProvider::start(Speaks::Anthropic, [model("claude")]).await;
    let home = Home::new(&format!("{}{}", good.config("good"), bad.config("bad")));
    home.good(REFRESH).await;
    bad.fault(Fault::Status(404));
    good.set_models([model("acme/m00").context(16_384), model("acme/m01"), model("acme/new")]);
    let checked = home.run(["model", "refresh", "--check"]).await;
    assert_eq!(checked.code, 4, "what would change is said though others failed: {checked:?}");
    assert_snapshot!(seen(&home.run(REFRESH).await), @r#"
        exit code 3
        refreshing 4 models...
          bad:claude WARN: bad could not be asked: http://127.0.0.1:PORT/v1/models?… answered 404: {"error":{"message":"stand-in says 404","type":"stand_in","param":null,"code":"stand_in_404"}} (check the address)
          good:acme/m00 ok, changed
          good:acme/m01 ok
          good:acme/new ok, new

        refreshed 3/4 models.
        --
        failed (1):
          bad:claude: bad could not be asked: http://127.0.0.1:PORT/v1/models?… answered 404: {"error":{"message":"stand-in says 404","type":"stand_in","param":null,"code":"stand_in_404"}} (check the address)
        "#);
    assert_eq!(home.keys().await.len(), 4);
    assert_eq!(home.run(["model", "refresh", "--check"]).await.code, 3, "nothing would change");
    // One that never answered before has no models to speak of.
    let home = Home::new(&format!("{}{}", good.config("good"), bad.config("bad")));
    assert_snapshot!(seen(&home.run(REFRESH).await), @r#"
        exit code 3
        refreshing 3 models...
          good:acme/m00 ok, new
          good:acme/m01 ok, new
          good:acme/new ok, new

        refreshed 3/3 models.
        --
        bad could not be asked: http://127.0.0.1:PORT/v1/models?… answered 404: {"error":{"message":"stand-in says 404","type":"stand_in","param":null,"code":"stand_in_404"}} (check the address)
        "#);
    let home = Home::new(&bad.config("bad"));
    assert_snapshot!(seen(&home.run(REFRESH).await), @r#"
        exit code 1
        --
        no models refreshed: nothing was written
        bad could not be asked: http://127.0.0.1:PORT/v1/models?… answered 404: {"error":{"message":"stand-in says 404","type":"stand_in","param":null,"code":"stand_in_404"}} (check the address)
        "#);
    assert_eq!(home.keys().await.len(), 0);
}

#[tokio::test]
async fn nothing_to_refresh_is_no_failure() {
    let home = Home::new("");
    assert_snapshot!(seen(&home.run(REFRESH).await), @"
        exit code 0
        nothing to refresh: no provider is configured, and no backend lists its models
        ");
    assert_snapshot!(seen(&home.run(["model", "refresh", "--provider", "nobody"]).await), @r#"
        exit code 1
        --
        error: there is no provider named "nobody"
        hint: there are: none; `[providers.NAME]` in the config file adds one
        "#);
}

#[tokio::test]
async fn a_check_writes_nothing_and_tells_by_its_exit_code() {
    let (fake, home) = scene(Speaks::OpenRouter, 2).await;
    assert_snapshot!(seen(&home.run(["model", "refresh", "--check"]).await), @"
        exit code 4
        refreshing 2 models...
          p:acme/m00 ok, new
          p:acme/m01 ok, new

        refreshed 2/2 models.
        2 would change; nothing was written
        ");
    assert_eq!(home.keys().await.len(), 0);
    assert_eq!(home.run(["model", "refresh", "--dry-run"]).await.code, 0);
    assert_eq!(home.keys().await.len(), 0);
    home.good(REFRESH).await;
    assert_snapshot!(seen(&home.run(["model", "refresh", "--check"]).await), @"
        exit code 0
        refreshing 2 models...
          p:acme/m00 ok
          p:acme/m01 ok

        refreshed 2/2 models.
        nothing would change
        ");
    fake.set_models([model("acme/m00"), model("acme/m01").prices("0.5", "1")]);
    let before = home.cards().await;
    assert_snapshot!(seen(&home.run(["model", "refresh", "--check"]).await), @"
        exit code 4
        refreshing 2 models...
          p:acme/m00 ok
          p:acme/m01 ok, changed

        refreshed 2/2 models.
        1 would change; nothing was written
        ");
    assert_snapshot!(seen(&home.run(["model", "refresh", "--dry-run"]).await), @"
        exit code 0
        refreshing 2 models...
          p:acme/m00 ok
          p:acme/m01 ok, changed

        refreshed 2/2 models.
        1 would change; nothing was written
        ");
    assert_eq!(home.cards().await, before);
    fake.fault(Fault::Status(404));
    assert_eq!(home.run(["model", "refresh", "--check"]).await.code, 1);
}

#[tokio::test]
async fn a_model_that_is_gone_is_kept_and_its_users_are_named() {
    let fake = FakeProvider::start(Speaks::OpenRouter, models(3)).await;
    let config = format!(
        "{}[routing.aliases]\nfast = \"p:acme/m01\"\nother = \"elsewhere\"\n",
        fake.config("p")
    );
    let home = Home::new(&config);
    home.good(REFRESH).await;
    home.good(["preset", "set", "free", "chat", "p:acme/m01"]).await;
    fake.set_models([model("acme/m00"), model("acme/m02")]);
    // By its name first: the list is whole, and it is not there.
    assert_snapshot!(seen(&home.run(["model", "refresh", "p:acme/m01"]).await), @"
        exit code 1
        refreshing 1 models...
          p:acme/m01 WARN: p no longer lists it
        --
        no models refreshed
        failed (1):
          p:acme/m01: p no longer lists it
        p:acme/m01 is gone; still used by alias fast, preset free/chat
        ");
    assert_eq!(home.field("p:acme/m01", "status").await, "withdrawn");
    // It has been said; what is withdrawn is not missed again.
    assert_eq!(home.run(REFRESH).await.code, 0);
    fake.set_models(models(3));
    let back = home.good(REFRESH).await;
    assert!(back.stdout.contains("  p:acme/m01 ok, new\n"), "{back:?}");
    assert_eq!(home.field("p:acme/m01", "status").await, "active");
}

#[tokio::test]
async fn a_list_that_lost_most_is_refused_until_it_is_allowed() {
    let (fake, home) = scene(Speaks::OpenRouter, 12).await;
    home.good(REFRESH).await;
    let before = home.cards().await;
    fake.set_models(models(5));
    let refused = home.run(REFRESH).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let reason = refused.stderr.lines().find(|line| line.starts_with("  p:acme/m00"));
    assert_snapshot!(reason.unwrap_or(&refused.stderr), @"  p:acme/m00: provider/p came back with 5 of the 12 entries that it had, which is refused (--allow-shrink takes it)");
    assert_eq!(home.cards().await, before);
    let allowed = home.run(["model", "refresh", "--allow-shrink"]).await;
    assert_eq!(allowed.code, 3, "{allowed:?}");
    assert!(allowed.stdout.ends_with("\nrefreshed 5/12 models.\n"), "{allowed:?}");
    assert_eq!(home.field("p:acme/m11", "status").await, "withdrawn");
}

#[tokio::test]
async fn only_the_models_that_are_named_are_refreshed() {
    let (fake, home) = scene(Speaks::OpenRouter, 2).await;
    home.good(REFRESH).await;
    let changed = |id: &str| model(id).context(4096);
    fake.set_models([
        changed("acme/m00"),
        changed("acme/m01"),
        model("acme/m02"),
        model("acme/m03"),
    ]);
    let args = ["p:acme/m01", "p:acme/m03", "p:acme/nowhere", "q:acme/m00"];
    assert_snapshot!(seen(&home.run(REFRESH.into_iter().chain(args)).await), @r#"
        exit code 3
        refreshing 4 models...
          p:acme/m01 ok, changed
          p:acme/m03 ok, new
          p:acme/nowhere WARN: p does not list it
          q:acme/m00 WARN: no provider "q" is configured

        refreshed 2/4 models.
        --
        failed (2):
          p:acme/nowhere: p does not list it
          q:acme/m00: no provider "q" is configured
        "#);
    assert_eq!(home.keys().await, ["p:acme/m00", "p:acme/m01", "p:acme/m03"]);
    assert_eq!(home.field("p:acme/m00", "context_window").await, 8192);
    assert_eq!(home.field("p:acme/m01", "context_window").await, 4096);
    // By any name that it goes by.
    let output = home.good(["model", "refresh", "acme/m00"]).await;
    assert!(output.stdout.contains("  p:acme/m00 ok, changed\n"), "{output:?}");
    let args = ["model", "refresh", "p:acme/m00", "--provider", "q"];
    assert_snapshot!(seen(&home.run(args).await), @"
        exit code 1
        --
        error: p:acme/m00 is no model of q
        ");
    assert_snapshot!(seen(&home.run(["model", "refresh", "acme/m0"]).await), @r#"
        exit code 1
        --
        error: no model goes by the name "acme/m0"
        hint: did you mean p:acme/m00 or p:acme/m01 or p:acme/m03?
        "#);
}

#[tokio::test]
async fn a_pin_survives_and_a_removed_model_stays_removed() {
    let (fake, home) = scene(Speaks::OpenRouter, 3).await;
    home.good(REFRESH).await;
    home.good(["model", "set", "p:acme/m00", "context_window=4k", "prices.prompt=9"]).await;
    home.good(["model", "remove", "p:acme/m01"]).await;
    fake.set_models(models(3).into_iter().map(|model| model.context(32_768)));
    home.good(REFRESH).await;
    assert_eq!(home.field("p:acme/m00", "context_window").await, 4000);
    assert_eq!(home.field("p:acme/m02", "context_window").await, 32_768);
    assert_eq!(home.keys().await, ["p:acme/m00", "p:acme/m02"]);
    home.good(["model", "refresh", "p:acme/m01"]).await;
    assert_eq!(home.keys().await, ["p:acme/m00", "p:acme/m02"]);
    home.good(["model", "add", "p:acme/m01"]).await;
    assert_eq!(home.field("p:acme/m01", "context_window").await, 32_768);
    home.good(["model", "unset", "p:acme/m00", "context_window"]).await;
    assert_eq!(home.field("p:acme/m00", "context_window").await, 32_768);
}

#[tokio::test]
async fn who_asks_to_wait_is_waited_for_if_there_is_time() {
    let (fake, home) = scene(Speaks::OpenRouter, 1).await;
    fake.fault_next(2, Fault::TooMany("0".to_owned()));
    home.good(REFRESH).await;
    assert_eq!(fake.request_count(), 3);
    fake.fault_next(1, Fault::TooMany("3600".to_owned()));
    assert_snapshot!(seen(&home.run(REFRESH).await), @r#"
        exit code 1
        refreshing 1 models...
          p:acme/m00 WARN: p could not be asked: http://127.0.0.1:PORT/v1/models answered 429: {"error":{"message":"stand-in says 429","type":"stand_in","param":null,"code":"stand_in_429"}}; it asks to wait 3600s (wait, and try again)
        --
        no models refreshed: nothing was written
        failed (1):
          p:acme/m00: p could not be asked: http://127.0.0.1:PORT/v1/models answered 429: {"error":{"message":"stand-in says 429","type":"stand_in","param":null,"code":"stand_in_429"}}; it asks to wait 3600s (wait, and try again)
        "#);
    assert_eq!(fake.request_count(), 4);
}

#[tokio::test]
async fn who_never_answers_is_given_up_and_holds_up_nobody() {
    let silent = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    let slow = FakeProvider::start(Speaks::OpenRouter, models(4)).await;
    let good = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    silent.fault(Fault::Does(Behaviour::Stall));
    slow.fault(Fault::Slow(Duration::from_millis(200)));
    let quick = "timeout = \"500ms\"\n";
    let config = format!(
        "{}{quick}{}{quick}{}",
        silent.config("silent"),
        slow.config("slow"),
        good.config("good")
    );
    assert_snapshot!(seen(&Home::new(&config).run(REFRESH).await), @"
        exit code 3
        refreshing 1 models...
          good:acme/m00 ok, new

        refreshed 1/1 models.
        --
        silent could not be asked: http://127.0.0.1:PORT/v1/models did not answer within 500ms (raise the timeout, or try again later)
        slow could not be asked: http://127.0.0.1:PORT/v1/models did not answer within 500ms (raise the timeout, or try again later)
        ");
}

#[tokio::test]
async fn a_key_that_is_missing_is_missed_by_its_name() {
    let fake = FakeProvider::builder(Speaks::Anthropic).models(models(1)).key("sk-right").start();
    let fake = fake.await;
    let open = FakeProvider::start(Speaks::Vllm, models(1)).await;
    let config =
        format!("{}api_key_env = \"MY_KEY\"\n{}", fake.config("locked"), open.config("open"));
    assert_snapshot!(seen(&Home::new(&config).run(REFRESH).await), @"
        exit code 3
        refreshing 1 models...
          open:acme/m00 ok, new

        refreshed 1/1 models.
        --
        locked needs an API key, and MY_KEY holds none (set MY_KEY, or `api_key_env`)
        ");
    assert_eq!(fake.request_count(), 0);
    // The service itself, which is not even asked.
    let args = ["model", "refresh", "--provider", "openai"];
    assert_snapshot!(seen(&Home::new("").run(args).await), @"
        exit code 1
        --
        no models refreshed: nothing was written
        openai needs an API key, and OPENAI_API_KEY holds none (set OPENAI_API_KEY, or `api_key_env`)
        ");
    let home = Home::new(&config).env("MY_KEY", "sk-right");
    home.good(REFRESH).await;
    assert_eq!(fake.requests()[0].header("x-api-key"), Some("sk-right"));
}

#[tokio::test]
async fn a_key_is_shown_to_nobody_else() {
    let secret = "sk-very-secret-12345";
    let elsewhere = FakeProvider::start(Speaks::OpenAi, models(1)).await;
    let fake = FakeProvider::start(Speaks::OpenAi, models(1)).await;
    let config = format!("{}api_key_env = \"MY_KEY\"\n", fake.config("p"));
    let mut shown = Vec::new();
    let echo = format!("{{\"error\":{{\"message\":\"Incorrect API key provided: {secret}.\"}}}}");
    let refusal = Behaviour::Status { code: 401, headers: Vec::new(), body: echo.clone() };
    for fault in [
        Fault::Does(refusal),
        Fault::Does(Behaviour::body(&echo)),
        Fault::Redirect(format!("{}/v1/models", elsewhere.url())),
    ] {
        fake.fault(fault);
        let home = Home::new(&config).env("MY_KEY", secret).env("CALLSHEET_LOG_LEVEL", "trace");
        for args in [&["model", "refresh"][..], &["model", "refresh", "--json"]] {
            let output = home.run(args).await;
            shown.push(format!("{}{}", output.stdout, output.stderr));
        }
        let server = daemon(&format!("[server]\nlisten = \"127.0.0.1:0\"\n{config}"));
        let server = server.env("MY_KEY", secret).env("CALLSHEET_LOG_LEVEL", "trace");
        let mut server = server.start().await;
        let output = server.cli(["model", "refresh"]).await;
        shown.push(format!("{}{}{}", output.stdout, output.stderr, server.stop().await));
    }
    assert!(
        fake.requests().iter().all(|request| {
            request.header("authorization") == Some(&format!("Bearer {secret}"))
        })
    );
    for text in shown {
        assert!(!text.contains(secret), "{text}");
    }
    for request in elsewhere.requests() {
        assert_eq!(request.header("authorization"), None, "{request:?}");
    }
}

#[tokio::test]
async fn a_usual_key_goes_to_the_service_that_it_is_for_alone() {
    let usual = [
        "OPENAI_API_KEY",
        "OPENROUTER_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "REPLICATE_API_TOKEN",
        "HF_TOKEN",
    ];
    let kinds = [
        Speaks::OpenRouter,
        Speaks::OpenAi,
        Speaks::Anthropic,
        Speaks::Google,
        Speaks::Replicate,
        Speaks::HuggingFace,
    ];
    let mut fakes = Vec::new();
    let mut config = String::new();
    for speaks in kinds {
        // Under the service's own name too, and as a backend.
        for name in [format!("my-{}", speaks.as_str()), speaks.as_str().to_owned()] {
            let fake = FakeProvider::start(speaks, models(1)).await;
            config.push_str(&fake.config(&name));
            if matches!(speaks, Speaks::Replicate | Speaks::HuggingFace) {
                config.push_str("models = [\"acme/m00\"]\n");
            }
            fakes.push(fake);
        }
        if matches!(speaks, Speaks::OpenAi | Speaks::Anthropic) {
            let fake = FakeProvider::start(speaks, models(1)).await;
            let (kind, url) = (speaks.as_str(), fake.url());
            config.push_str(&format!(
                "[[backends]]\nname = \"box-{kind}\"\ntype = \"{kind}\"\nurl = \"{url}\"\n"
            ));
            fakes.push(fake);
        }
    }
    let mut home = Home::new(&config);
    for name in usual {
        home = home.env(name, "sk-usual");
    }
    let output = home.run(REFRESH).await;
    assert_eq!(output.code, 0, "{output:?}");
    for fake in &fakes {
        assert!(fake.request_count() > 0);
        for request in fake.requests() {
            let text = format!("{request:?}");
            assert!(!text.contains("sk-usual"), "{text}");
        }
    }
}

#[tokio::test]
async fn offline_asks_nobody() {
    let (fake, home) = scene(Speaks::OpenRouter, 1).await;
    home.good(REFRESH).await;
    let before = home.cards().await;
    assert_snapshot!(seen(&home.run(["model", "refresh", "--offline"]).await), @"
        exit code 1
        refreshing 1 models...
          p:acme/m00 WARN: p could not be asked: http://127.0.0.1:PORT/v1/models was not asked: this is offline mode (leave out --offline)
        --
        no models refreshed: nothing was written
        failed (1):
          p:acme/m00: p could not be asked: http://127.0.0.1:PORT/v1/models was not asked: this is offline mode (leave out --offline)
        ");
    assert_eq!(fake.request_count(), 1);
    assert_eq!(home.cards().await, before);
}

#[tokio::test]
async fn programs_are_told_in_json_and_the_quiet_nothing() {
    let (fake, home) = scene(Speaks::OpenRouter, 2).await;
    home.good(REFRESH).await;
    home.good(["preset", "set", "free", "chat", "acme/m01"]).await;
    fake.set_models([model("acme/m00").context(16_384), FakeModel::new("acme/new")]);
    let output = home.run(["model", "refresh", "--json"]).await;
    assert_eq!((output.code, output.stderr.as_str()), (3, ""));
    assert_eq!(
        output.json(),
        json!({
            "total": 3, "refreshed": 2, "changed": 3,
            "models": [
                {"key": "p:acme/m00", "outcome": "changed"},
                {"key": "p:acme/m01", "outcome": "missing", "message": "p no longer lists it"},
                {"key": "p:acme/new", "outcome": "added"},
            ],
            "providers": [{"name": "p", "listed": 2, "not_modified": false, "problems": []}],
            "withdrawn": ["p:acme/m01"],
            "orphans": [{"key": "p:acme/m01", "used_by": ["preset free/chat"]}],
        })
    );
    assert_eq!(seen(&home.run(["model", "refresh", "--quiet"]).await), "exit code 0");
    fake.fault(Fault::Status(404));
    let failed = home.run(["model", "refresh", "--quiet"]).await;
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
    assert!(failed.stderr.starts_with("no models refreshed"), "{failed:?}");
}

#[tokio::test]
async fn one_odd_model_hides_none_of_the_others() {
    let odd = [
        FakeModel::new("acme/negative").context(8192).prices("-1", "-1"),
        FakeModel::new("acme/text").field("context_length", json!("many")),
        FakeModel::new("").context(1),
        FakeModel::new("acme/null").field("pricing", Value::Null),
        model("acme/good"),
    ];
    let fake = FakeProvider::start(Speaks::OpenRouter, odd).await;
    let home = Home::new(&fake.config("p"));
    assert_snapshot!(seen(&home.run(REFRESH).await), @r#"
        exit code 0
        refreshing 4 models...
          p:acme/good ok, new
          p:acme/negative ok, new
          p:acme/null ok, new
          p:acme/text ok, new
          p: something in its list could not be used: acme/text `context_length` is "many"; expected a whole number (and 1 more)

        refreshed 4/4 models.
        "#);
    assert_snapshot!(seen(&home.run(["model", "list"]).await), @"
        exit code 0
        MODEL            STATUS  CONTEXT  OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        p:acme/good      active  8,192    1,024    0.25        1               chat tools
        p:acme/negative  active  8,192    unknown  unknown     unknown         chat
        p:acme/null      active  unknown  unknown  unknown     unknown         chat
        p:acme/text      active  unknown  unknown  unknown     unknown         chat
        ");
}

#[tokio::test]
async fn a_daemon_has_its_backends_and_providers_refreshed_together() {
    let ollama = FakeProvider::start(Speaks::Ollama, [model("llama3:latest")]).await;
    let vllm = FakeProvider::start(Speaks::Vllm, [model("qwen3-30b")]).await;
    let router = FakeProvider::start(Speaks::OpenRouter, [model("qwen/qwen3-30b")]).await;
    ollama.set_loaded("llama3:latest", 4096);
    let backend = |name: &str, fake: &FakeProvider| {
        format!("[[backends]]\nname = \"{name}\"\ntype = \"{name}\"\nurl = \"{}\"\n", fake.url())
    };
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{}[models]\nrefresh_backends = false\n{}{}",
        router.config("router"),
        backend("ollama", &ollama),
        backend("vllm", &vllm),
    );
    let server = daemon(&config).start().await;
    assert_snapshot!(seen(&server.cli(REFRESH).await), @"
        exit code 0
        refreshing 3 models...
          ollama:llama3:latest ok, new
          router:qwen/qwen3-30b ok, new
          vllm:qwen3-30b ok, new

        refreshed 3/3 models.
        ");
    assert_snapshot!(seen(&server.cli(["model", "list"]).await), @"
        exit code 0
        MODEL                  STATUS  CONTEXT  OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        ollama:llama3:latest   active  4,096    unknown  unknown     unknown         chat tools
        router:qwen/qwen3-30b  active  8,192    1,024    0.25        1               chat tools
        vllm:qwen3-30b         active  8,192    unknown  unknown     unknown
        ");
    // The same command without --server speaks to the daemon, and over HTTP to a named one.
    let asked = json!({"providers": ["vllm"]});
    let reply = server.post_json("/api/v1/models/refresh", &asked).await;
    assert_eq!((reply.status, &reply.json()["refreshed"]), (200, &json!(1)), "{}", reply.text());
    let bad = server.post_json("/api/v1/models/refresh", &json!({"providers": ["nobody"]})).await;
    assert_snapshot!(bad.text(), @r#"{"error":{"code":"provider_not_found","hint":"there are: router, ollama, vllm; `[providers.NAME]` in the config file adds one","message":"there is no provider named \"nobody\"","type":"invalid_request_error"}}"#);
}
