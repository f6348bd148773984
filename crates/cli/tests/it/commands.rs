//! Every verb of the command line against a running daemon: what it prints, and its exit code.

use crate::{
    observe::{backend, config_of, daemon, seen, served_by},
    server,
};
use callsheet_testkit::{FakeBackend, FakeBackendBuilder, Output, TestServer};
use insta::assert_snapshot;
use serde_json::Value;

fn fake() -> FakeBackendBuilder {
    FakeBackend::builder()
}

/// What a command shows, less what differs from run to run.
async fn run(server: &TestServer, args: &[&str]) -> String {
    let output = server.cli(args).await;
    let text = seen(&output);
    // Columns are as wide as their widest cell, and a port has four or five digits.
    let lines = text.lines().map(|line| line.split("  ").filter(|cell| !cell.is_empty()));
    let lines: Vec<String> =
        lines.map(|cells| cells.map(str::trim).collect::<Vec<_>>().join(" | ")).collect();
    lines
        .join("\n")
        .lines()
        .map(|line| match line.strip_prefix("last check | ") {
            Some(_) => "last check | NOW",
            None => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn list_and_show() {
    let (a, b) = (fake().models(["m-1", "m-2"]).start().await, FakeBackend::start().await);
    b.stop().await;
    let config = format!(
        "{}priority = 3\nzone = \"east\"\nmax_concurrent = 4\nmodels = [\"m-1\", {{ id = \"m-2\", \
         context_length = 8192, supports_tools = true, supports_vision = false }}]\n{}",
        a.config("a"),
        b.config("b")
    );
    let server = server(&config).start().await;
    assert_snapshot!(run(&server, &["backend", "list"]).await, @"
        exit code 0
        NAME | TYPE | STATUS | MODELS | PENDING | LATENCY | SOURCE | URL
        a | generic | healthy | 2 | 0 | - | config | http://127.0.0.1:PORT
        b | generic | unhealthy | 0 | 0 | - | config | http://127.0.0.1:PORT
        ");
    assert_snapshot!(run(&server, &["backend", "show", "a"]).await, @"
        exit code 0
        name | a
        type | generic
        url | http://127.0.0.1:PORT
        status | healthy
        last check | NOW
        pending | 0
        requests | 0
        first byte | unknown
        whole answer | unknown
        priority | 3
        weight | 1
        zone | east
        max concurrent | 4
        source | config

        MODEL | CONTEXT | TOOLS | VISION | JSON
        m-1 | unknown | unknown | unknown | unknown
        m-2 | 8192 | yes | no | unknown
        ");
    assert_snapshot!(run(&server, &["backend", "show", "b"]).await, @"
        exit code 0
        name | b
        type | generic
        url | http://127.0.0.1:PORT
        status | unhealthy
        last check | NOW
        last error | the backend cannot be reached: Connection refused (os error 111)
        pending | 0
        requests | 0
        first byte | unknown
        whole answer | unknown
        priority | 0
        weight | 1
        zone | -
        max concurrent | no limit
        source | config

        MODEL | CONTEXT | TOOLS | VISION | JSON
        ");
    assert_snapshot!(run(&server, &["backend", "show", "c"]).await, @r#"
        exit code 1
        --
        error: there is no backend named "c"
        hint: `callsheet backend list` shows all of them
        "#);
    let listed = server.cli(["backend", "list", "--json"]).await.json();
    let api = server.get("/api/v1/backends").await.json();
    assert_eq!(without_times(listed), without_times(api), "the array of the API's bodies");
    let shown = server.cli(["backend", "show", "a", "--json"]).await.json();
    assert_eq!(without_times(shown), without_times(backend(&server, "a").await));
    b.restart().await;
}

/// A probe may come between two looks.
fn without_times(mut value: Value) -> Value {
    for view in value.as_array_mut().map(Vec::as_mut_slice).unwrap_or_default() {
        view["last_health_check"] = Value::Null;
    }
    if value.is_object() {
        value["last_health_check"] = Value::Null;
    }
    value
}

#[tokio::test]
async fn nothing_to_list() {
    let server = server("").start().await;
    assert_snapshot!(run(&server, &["backend", "list"]).await, @"
        exit code 0
        no backends; `callsheet backend add URL --name NAME` adds one
        ");
    assert_eq!(server.cli(["backend", "list", "--json"]).await.stdout, "[]\n");
}

#[tokio::test]
async fn add_drain_resume_and_remove() {
    let (fixed, new) = (FakeBackend::start().await, fake().models(["new-model"]).start().await);
    let server = server(&fixed.config("fixed")).start().await;
    let url = new.url();
    let add = ["backend", "add", &url, "--name", "new"];
    assert_snapshot!(run(&server, &[&add[..], &["--dry-run"]].concat()).await, @"
        exit code 0
        new would be added; nothing was changed
        ");
    assert_snapshot!(run(&server, &["backend", "show", "new"]).await, @r#"
        exit code 1
        --
        error: there is no backend named "new"
        hint: `callsheet backend list` shows all of them
        "#);
    assert_snapshot!(run(&server, &add).await, @"
        exit code 0
        new added: healthy, 1 model
        ");
    assert_eq!(served_by(&server, "new-model").await, "new");
    assert_snapshot!(run(&server, &add).await, @"
        exit code 1
        --
        error: there is a backend named new already
        hint: choose another name, or remove that one first
        ");
    assert_snapshot!(run(&server, &["backend", "add", &url, "--name", "fixed"]).await, @"
        exit code 1
        --
        error: the backend fixed stands in the config file
        hint: change it in the config file; `backend drain` takes it out of routing at once
        ");
    assert_snapshot!(run(&server, &["backend", "drain", "new", "--dry-run"]).await, @"
        exit code 0
        new would be drained; nothing was changed
        ");
    assert_snapshot!(run(&server, &["backend", "drain", "new"]).await, @"
        exit code 0
        new is draining, 0 requests under way
        ");
    assert_snapshot!(run(&server, &["backend", "resume", "new"]).await, @"
        exit code 0
        new resumed: healthy, 1 model
        ");
    assert_snapshot!(run(&server, &["backend", "remove", "new", "--dry-run"]).await, @"
        exit code 0
        new would be removed; nothing was changed
        ");
    assert_snapshot!(run(&server, &["backend", "remove", "fixed"]).await, @"
        exit code 1
        --
        error: the backend fixed stands in the config file
        hint: change it in the config file; `backend drain` takes it out of routing at once
        ");
    assert_snapshot!(run(&server, &["backend", "remove", "new"]).await, @"
        exit code 0
        new removed
        ");
    assert_snapshot!(run(&server, &["backend", "remove", "new"]).await, @r#"
        exit code 1
        --
        error: there is no backend named "new"
        hint: `callsheet backend list` shows all of them
        "#);
}

#[tokio::test]
async fn quiet_says_nothing_and_json_says_what_the_api_said() {
    let fake = FakeBackend::start().await;
    let server = server("").start().await;
    let url = fake.url();
    let quiet = async |args: &[&str]| {
        let output = server.cli(args).await;
        (output.code, output.stdout, output.stderr)
    };
    let silent = (0, String::new(), String::new());
    assert_eq!(quiet(&["--quiet", "backend", "add", &url, "--name", "a"]).await, silent);
    assert_eq!(quiet(&["backend", "drain", "a", "-q"]).await, silent);
    assert_eq!(quiet(&["backend", "resume", "a", "-q"]).await, silent);
    assert_eq!(quiet(&["config", "check", "-q"]).await, silent);
    let drained = server.cli(["backend", "drain", "a", "--json"]).await.json();
    assert_eq!((&drained["name"], &drained["status"]), (&"a".into(), &"draining".into()));
    let removed = server.cli(["backend", "remove", "a", "--json"]).await.json();
    assert_eq!(removed["name"], "a");
}

#[tokio::test]
async fn every_flag_of_add_is_kept() {
    let fake = FakeBackend::start().await;
    let server = server("").env("KEY", "sk-1").start().await;
    let url = fake.url();
    let output = server
        .cli([
            "backend",
            "add",
            &url,
            "--name",
            "a",
            "--type",
            "lmstudio",
            "--api-key-env",
            "KEY",
            "--priority",
            "-2",
            "--weight",
            "3",
            "--zone",
            "east",
            "--model",
            "m-1,m-2",
            "--model",
            "m-3",
            "--max-concurrent",
            "4",
        ])
        .await;
    assert_eq!(output.code, 0, "{output:?}");
    let view = backend(&server, "a").await;
    let expected = serde_json::json!({
        "backend_type": "lmstudio", "priority": -2, "weight": 3, "zone": "east",
        "max_concurrent": 4, "discovery_source": "manual",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&view[key], value, "{key}");
    }
    assert_eq!(crate::observe::models(&server, "a").await, ["m-1", "m-2", "m-3"]);
    assert_eq!(served_by(&server, "m-3").await, "a");
    assert_eq!(fake.requests()[0].header("authorization"), Some("Bearer sk-1"));
}

#[tokio::test]
async fn route_says_where_a_request_would_go_and_why_nowhere_else() {
    let (a, b, c) =
        (fake().start().await, fake().start().await, fake().models(["other"]).start().await);
    let config = format!(
        "[routing]\nstrategy = \"priority\"\n[routing.aliases]\nfast = \"test-model\"\n\
         [routing.fallbacks]\nbig = [\"other\"]\n\
         {}priority = 1\nmodels = [{{ id = \"test-model\", context_length = 4096, \
         supports_tools = false }}]\n{}priority = 2\n{}",
        a.config("a"),
        b.config("b"),
        c.config("c")
    );
    let server = server(&config).start().await;
    assert_snapshot!(run(&server, &["route", "test-model"]).await, @"
        exit code 0
        test-model goes to a (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | * chosen | 0.0 | 0 | -
        b | is less preferred by zone or priority | - | 0 | -
        c | does not offer the model | - | 0 | -
        ");
    assert_snapshot!(run(&server, &["route", "fast", "--needs", "tools"]).await, @"
        exit code 0
        fast → test-model goes to b (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | cannot call tools | - | 0 | -
        b | * chosen | 0.0 | 0 | -
        c | does not offer the model | - | 0 | -
        ");
    assert_snapshot!(run(&server, &["route", "fast", "--min-context", "9000"]).await, @"
        exit code 0
        fast → test-model goes to b (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | has a context of 4096 tokens only | - | 0 | -
        b | * chosen | 0.0 | 0 | -
        c | does not offer the model | - | 0 | -
        ");
    assert_snapshot!(run(&server, &["route", "big"]).await, @"
        exit code 0
        big is refused: no backend offers this model (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | does not offer the model | - | 0 | -
        b | does not offer the model | - | 0 | -
        c | does not offer the model | - | 0 | -

        big → other goes to c (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | does not offer the model | - | 0 | -
        b | does not offer the model | - | 0 | -
        c | * chosen | 0.0 | 0 | -
        ");
    assert_snapshot!(run(&server, &["route", "a:test-model", "--needs", "tools,json"]).await, @r#"
        exit code 1
        a:test-model → test-model is refused: no backend that offers this model meets the needs of this request (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | cannot call tools | - | 0 | -
        b | was not the backend asked for | - | 0 | -
        c | does not offer the model | - | 0 | -

        --
        error: nobody can serve "a:test-model" now
        "#);
    assert_eq!(server.cli(["backend", "drain", "b"]).await.code, 0);
    assert_snapshot!(run(&server, &["route", "b:test-model"]).await, @r#"
        exit code 1
        b:test-model → test-model is refused: no backend that offers this model is available now (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | was not the backend asked for | - | 0 | -
        b | is draining | - | 0 | -
        c | does not offer the model | - | 0 | -

        --
        error: nobody can serve "b:test-model" now
        "#);
    assert_snapshot!(run(&server, &["route", "nobody"]).await, @r#"
        exit code 1
        nobody is refused: no backend offers this model (priority)

        BACKEND | VERDICT | COST | PENDING | LATENCY
        a | does not offer the model | - | 0 | -
        b | does not offer the model | - | 0 | -
        c | does not offer the model | - | 0 | -

        --
        error: nobody can serve "nobody" now
        "#);
    let json = server.cli(["route", "fast", "--json"]).await.json();
    assert_eq!(json, server.get("/api/v1/route?model=fast").await.json());
    let asked: usize = [&a, &b, &c].iter().map(|backend| backend.request_count()).sum();
    assert_eq!(asked, 0, "asking sends nothing");
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    let usage = async |args: &[&str]| daemon("").run(args).await;
    let said =
        |output: Output| (output.code, output.stderr.lines().next().unwrap_or("").to_owned());
    for (args, part) in [
        (&["backend", "add", "127.0.0.1:1", "--name", "a"][..], "it has no scheme"),
        (&["backend", "add", "http://h", "--name", "a b"], "is no backend name"),
        (&["backend", "add", "http://h"], "the following required arguments were not provided"),
        (&["backend", "add", "http://h", "--name", "a", "--type", "gpu"], "invalid value 'gpu'"),
        (&["backend", "explode"], "unrecognized subcommand 'explode'"),
        (&["route", "m", "--needs", "magic"], "invalid value 'magic'"),
        (&["backend", "list", "--server", "nowhere"], "it has no scheme"),
        (
            &["backend", "list", "--offline", "--server", "http://h"],
            "--offline opens no connection",
        ),
    ] {
        let output = usage(args).await;
        let (code, line) = said(output.clone());
        assert_eq!(code, 2, "{args:?}: {output:?}");
        assert!(output.stderr.contains(part), "{args:?}: {line}");
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn completions_are_scripts_that_their_shell_can_read() {
    for (shell, part) in [
        ("bash", "complete -F _callsheet"),
        ("zsh", "#compdef callsheet"),
        ("fish", "complete -c callsheet"),
    ] {
        let output = daemon("").run(["completions", shell]).await;
        assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{shell}");
        assert!(output.stdout.contains(part), "{shell}: {}", output.stdout);
        assert!(output.stdout.contains("resume"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("callsheet.bash");
    std::fs::write(&script, daemon("").run(["completions", "bash"]).await.stdout).unwrap();
    let check = std::process::Command::new("bash").arg("-n").arg(&script).output().unwrap();
    assert!(check.status.success(), "{check:?}");
}

#[test]
fn a_reader_that_has_gone_away_is_no_failure() {
    for args in [&["completions", "bash"][..], &["config", "show"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_callsheet"));
        let output = command.args(args).env("HOME", "/").stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{args:?}");
    }
}

#[tokio::test]
async fn config_show_is_a_config_file_that_says_the_same() {
    let fake = FakeBackend::start().await;
    let config = format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", config_of(&[&fake]));
    let shown = daemon(&config).run(["config", "show"]).await.stdout;
    let again = daemon(&shown).run(["config", "show", "--json"]).await.json();
    assert_eq!(again, daemon(&config).run(["config", "show", "--json"]).await.json());
    assert_eq!(
        (&again["backends"][0]["name"], &again["health"]["interval"]),
        (&"a".into(), &"30s".into())
    );
}
