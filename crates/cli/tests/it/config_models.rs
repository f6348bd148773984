//! Each key of `[models]` and of `[providers.NAME]`, and mistakes in them.

use crate::{
    observe::{daemon, seen, until},
    refresh_scene::{Home, model, models},
    server,
};
use callsheet_testkit::{Behaviour, FakeProvider, Fault, Speaks, TestServer};
use insta::assert_snapshot;
use std::time::Duration;

/// Returns the keys of the models that a daemon lists.
async fn keys(server: &TestServer) -> Vec<String> {
    let listed = server.get("/api/v1/models").await.json();
    let models = listed["models"].as_array().unwrap_or_else(|| panic!("{listed}")).iter();
    models.map(|model| model["key"].as_str().unwrap().to_owned()).collect()
}

/// A backend that lists its models as vLLM does.
fn backend(name: &str, fake: &FakeProvider) -> String {
    format!("[[backends]]\nname = \"{name}\"\ntype = \"vllm\"\nurl = \"{}\"\n", fake.url())
}

#[tokio::test]
async fn refresh_every_is_how_often_providers_are_asked() {
    let never = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    let often = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    let quiet = server(&never.config("p")).start().await;
    let config = format!("{}[models]\nrefresh_every = \"100ms\"\n", often.config("p"));
    let server = server(&config).start().await;
    often.wait_for_requests(3).await;
    until("the models", async || (keys(&server).await == ["p:acme/m00"]).then_some(())).await;
    assert_eq!(never.request_count(), 0);
    assert_eq!(keys(&quiet).await.len(), 0);
    // Who fails is asked again, and what it said before stays.
    often.fault(Fault::ErrorBody);
    server.wait_for_stderr("stand-in is overloaded").await;
    assert_eq!(keys(&server).await, ["p:acme/m00"]);
    often.set_models(models(2));
    often.heal();
    until("both models", async || (keys(&server).await.len() == 2).then_some(())).await;
}

#[tokio::test]
async fn refresh_backends_asks_when_a_list_changes() {
    let asked = FakeProvider::start(Speaks::Vllm, [model("one")]).await;
    let left = FakeProvider::start(Speaks::Vllm, [model("one")]).await;
    let probes = "[health]\ninterval = \"100ms\"\n";
    let config = format!("{}{probes}[models]\nrefresh_backends = false\n", backend("box", &left));
    let quiet = server(&config).start().await;
    let server = server(&format!("{}{probes}", backend("box", &asked))).start().await;
    until("its model", async || (keys(&server).await == ["box:one"]).then_some(())).await;
    asked.set_models([model("one"), model("two")]);
    until("the new one", async || (keys(&server).await.len() == 2).then_some(())).await;
    // The other daemon's backend has been probed as often.
    assert!(left.request_count() > 1);
    assert_eq!(keys(&quiet).await.len(), 0);
    // Models that the config file declares are asked of nobody.
    let declared = FakeProvider::start(Speaks::Vllm, [model("one")]).await;
    let config =
        format!("{}models = [\"mine\"]\n{}", backend("fixed", &declared), backend("box", &asked));
    let both = crate::server(&config).start().await;
    until("the other's", async || (keys(&both).await.len() == 2).then_some(())).await;
    assert_eq!(keys(&both).await, ["box:one", "box:two"]);
}

#[tokio::test]
async fn type_and_url_say_who_is_asked_and_where() {
    for (speaks, suffix, name, said, path) in [
        (Speaks::OpenRouter, "/api/v1", "mine", "type = \"openrouter\"\n", "/api/v1/models"),
        (Speaks::OpenRouter, "", "openrouter", "", "/v1/models"),
        (Speaks::Ollama, "", "mine", "type = \"ollama\"\n", "/api/tags"),
        (Speaks::Google, "/v1beta", "mine", "type = \"google\"\n", "/v1beta/models?pageSize=1000"),
        (Speaks::Generic, "/v1/", "mine", "", "/v1/models"),
    ] {
        let fake = FakeProvider::start(speaks, models(1)).await;
        let url = fake.url();
        let home = Home::new(&format!("[providers.{name}]\n{said}url = \"{url}{suffix}\"\n"));
        let output = home.good(["model", "refresh"]).await;
        assert_eq!(fake.requests()[0].path, path, "{output:?}");
        assert_eq!(home.keys().await, [format!("{name}:acme/m00")]);
    }
}

#[tokio::test]
async fn api_key_env_and_api_key_file_are_shown_to_the_provider_alone() {
    let home = Home::new("").env("MINE", "sk-from-env").env("OTHER", "sk-of-the-other");
    let file = home.write("key", "sk-from-file\n");
    for (key, sent) in [
        ("api_key_env = \"MINE\"".to_owned(), "sk-from-env"),
        (format!("api_key_file = {file:?}"), "sk-from-file"),
    ] {
        for (speaks, header, value) in [
            (Speaks::OpenAi, "authorization", format!("Bearer {sent}")),
            (Speaks::Anthropic, "x-api-key", sent.to_owned()),
            (Speaks::Google, "x-goog-api-key", sent.to_owned()),
        ] {
            let fake = FakeProvider::start(speaks, models(1)).await;
            let other = FakeProvider::start(Speaks::OpenAi, models(1)).await;
            let none = FakeProvider::start(Speaks::OpenAi, models(1)).await;
            home.configure(&format!(
                "{}{key}\n{}api_key_env = \"OTHER\"\n{}",
                fake.config("a"),
                other.config("b"),
                none.config("c")
            ));
            home.good(["model", "refresh"]).await;
            assert_eq!(fake.requests()[0].header(header), Some(&*value));
            let asked = fake.requests().remove(0).path;
            assert!(!asked.contains("sk-"), "addresses are logged: {asked}");
            let brought = other.requests()[0].header("authorization").map(str::to_owned);
            assert_eq!(brought.as_deref(), Some("Bearer sk-of-the-other"));
            assert_eq!(none.requests()[0].header("authorization"), None);
        }
    }
}

#[tokio::test]
async fn models_are_those_that_are_asked_for() {
    let replicate = FakeProvider::start(Speaks::Replicate, models(4)).await;
    let hub = FakeProvider::start(Speaks::HuggingFace, [model("acme/m00"), model("other/x")]).await;
    let home = Home::new(&format!(
        "{}models = [\"acme/m01\", \"acme/m03\"]\n{}models = [\"other/x\"]\n",
        replicate.config("r"),
        hub.config("h"),
    ));
    home.good(["model", "refresh"]).await;
    assert_eq!(home.keys().await, ["h:other/x", "h:other/x:fast", "r:acme/m01", "r:acme/m03"]);
    assert_eq!(replicate.request_count(), 2);
    // A provider that lists nothing by itself says what is missing.
    let home = Home::new(&replicate.config("r"));
    assert_snapshot!(seen(&home.run(["model", "refresh"]).await), @"
        exit code 1
        --
        no models refreshed: nothing was written
        r has no list of its own models: name them in `models`
        ");
}

#[tokio::test]
async fn timeout_is_how_long_a_list_may_take() {
    let fake = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    fake.fault(Fault::Does(Behaviour::Stall));
    let home = Home::new(&format!("{}timeout = \"250ms\"\n", fake.config("p")));
    assert_snapshot!(seen(&home.run(["model", "refresh"]).await), @"
        exit code 1
        --
        no models refreshed: nothing was written
        p could not be asked: http://127.0.0.1:PORT/v1/models did not answer within 250ms (raise the timeout, or try again later)
        ");
    fake.fault(Fault::Delay(Duration::from_millis(300)));
    assert_eq!(home.run(["model", "refresh"]).await.code, 1);
    home.configure(&format!("{}timeout = \"20s\"\n", fake.config("p")));
    home.good(["model", "refresh"]).await;
}

/// What a daemon with this config file says before it gives up.
async fn complaint(config: &str) -> String {
    let config = format!("{config}\n[server]\nlisten = \"127.0.0.1:0\"\n");
    let said = seen(&daemon(&config).run_to_exit().await);
    said.lines().find(|line| line.starts_with("error: ")).unwrap_or(&said).to_owned()
}

#[tokio::test]
async fn a_mistake_is_named_with_its_place_and_what_was_expected() {
    let mut said = Vec::new();
    for config in [
        "[models]\nrefresh = \"1h\"\n",
        "[models]\nrefresh_every = \"often\"\n",
        "[models]\nrefresh_every = \"0s\"\n",
        "[models]\nrefresh_backends = \"yes\"\n",
        "[providers.p]\ntype = \"bard\"\n",
        "[providers.p]\nkind = \"openai\"\n",
        "[providers.p]\ntype = \"openai\"\nurl = \"10.0.0.5:8000\"\n",
        "[providers.p]\ntype = \"openai\"\nurl = \"http://u:sk-hidden@h\"\n",
        "[providers.p]\napi_key_env = \"MINE\"\n",
        "[providers.\"my provider\"]\ntype = \"openai\"\n",
        "[providers.p]\ntype = \"openai\"\napi_key_env = \"A\"\napi_key_file = \"b\"\n",
        "[providers.p]\ntype = \"openai\"\napi_key_env = \"sk-hidden\"\n",
        "[providers.p]\ntype = \"openai\"\napi_key = \"sk-hidden\"\n",
        "[providers.p]\ntype = \"openai\"\ntimeout = \"0s\"\n",
        "[providers.p]\ntype = \"openai\"\ntimeout = \"soon\"\n",
        "[providers.p]\ntype = \"replicate\"\nmodels = \"acme/m\"\n",
        "[[backends]]\nname = \"p\"\nurl = \"http://h\"\n\n[providers.p]\ntype = \"openai\"\n",
        "[store]\nurl = \"mysql://h/db\"\n",
        "[store]\nkeep = \"0s\"\n",
        "[store]\npassword = \"sk-hidden\"\n",
        "[store]\npassword_env = \"sk-hidden\"\n",
        "[store]\npassword_env = \"A\"\npassword_file = \"b\"\n",
        "[store]\npassword_env = \"NOT_SET\"\n",
    ] {
        said.push(complaint(config).await);
    }
    let said = said.join("\n");
    assert!(!said.contains("hidden"), "{said}");
    assert_snapshot!(said, @r#"
        error: HOME/callsheet.toml:2: `models.refresh`: unknown field `refresh`, expected `refresh_every` or `refresh_backends`
        error: HOME/callsheet.toml:2: `models.refresh_every`: "often" is no duration (expected number at 0); expected one such as "250ms", "30s" or "2m"
        error: HOME/callsheet.toml:2: `models.refresh_every` is 0s; expected a duration above 0 and up to a year
        error: HOME/callsheet.toml:2: `models.refresh_backends`: invalid type: string "yes", expected a boolean
        error: HOME/callsheet.toml:2: `providers.p.type`: unknown variant `bard`, expected one of `openrouter`, `openai`, `anthropic`, `google`, `ollama`, `vllm`, `llamacpp`, `replicate`, `huggingface`, `generic`
        error: HOME/callsheet.toml:2: `providers.p.kind`: unknown field `kind`, expected one of `type`, `url`, `api_key_env`, `api_key_file`, `models`, `timeout`
        error: HOME/callsheet.toml:3: `providers.p.url` is "10.0.0.5:8000": it has no scheme; expected one such as "http://10.0.0.5:8000"
        error: HOME/callsheet.toml:3: `providers.p.url` is "http://…@h": it holds a user name or password; use api_key_env; expected one such as "http://10.0.0.5:8000"
        error: HOME/callsheet.toml:1: `providers.p.url` is missing, and a provider of type `generic` may be anywhere; expected an address, or the `type` of a service
        error: HOME/callsheet.toml:1: `providers.my provider` cannot be used ("my provider" is no provider's name: expected 1 to 64 letters, digits, `.`, `_` or `-`); expected another name, such as `openrouter` or `my-box`
        error: HOME/callsheet.toml:4: `providers.p.api_key_file` stands beside `api_key_env`; expected one of the two
        error: HOME/callsheet.toml:3: `providers.p.api_key_env` cannot be the name of an environment variable (it is not shown, in case it is the secret); expected a name such as GPU1_KEY, of the variable that holds the secret
        error: HOME/callsheet.toml:3: `providers.p.api_key`: unknown field `api_key`, expected one of `type`, `url`, `api_key_env`, `api_key_file`, `models`, `timeout`
        error: HOME/callsheet.toml:3: `providers.p.timeout` is 0s; expected a duration above 0 and up to a year
        error: HOME/callsheet.toml:3: `providers.p.timeout`: "soon" is no duration (expected number at 0); expected one such as "250ms", "30s" or "2m"
        error: HOME/callsheet.toml:3: `providers.p.models`: invalid type: string "acme/m", expected a sequence
        error: HOME/callsheet.toml:5: `providers.p` is the name of a backend too; expected another name: a backend is the provider of its models
        error: HOME/callsheet.toml:2: `store.url` cannot be used (expected sqlite:///path or postgres://user@host/database); expected "sqlite:///path/to/catalog.db" or "postgres://user@host/database"
        error: HOME/callsheet.toml:2: `store.keep` is 0s; expected a duration above 0 and up to a year
        error: HOME/callsheet.toml:2: `store.password`: unknown field `password`, expected one of `url`, `password_env`, `password_file`, `blobs`, `blobs_endpoint`, `keep`
        error: HOME/callsheet.toml:2: `store.password_env` cannot be the name of an environment variable (it is not shown, in case it is the secret); expected a name such as GPU1_KEY, of the variable that holds the secret
        error: HOME/callsheet.toml:3: `store.password_file` stands beside `password_env`; expected one of the two
        error: HOME/callsheet.toml:2: `store.password_env`: the environment variable NOT_SET is not set
        "#);
}
