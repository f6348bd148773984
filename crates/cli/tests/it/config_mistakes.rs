//! A mistake in the configuration stops the start, and says where it is and what was expected.

use crate::observe::{daemon, seen};
use insta::assert_snapshot;

/// What a daemon with this config file says before it gives up.
async fn complaint(config: &str) -> String {
    seen(&daemon(config).run_to_exit().await)
}

#[tokio::test]
async fn an_unknown_key_is_named_with_those_that_there_are() {
    let config = "[health]\ninterval = \"5s\"\nintervall = \"5s\"\n";
    assert_snapshot!(complaint(config).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:3: `health.intervall`: unknown field `intervall`, expected one of `interval`, `timeout`, `failure_threshold`, `recovery_threshold`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(complaint("[helth]\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:1: `helth`: unknown field `helth`, expected one of `server`, `log`, `routing`, `health`, `limits`, `store`, `models`, `files`, `github`, `sources`, `providers`, `backends`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    let config = "[[backends]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\nprio = 1\n";
    assert_snapshot!(complaint(config).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].prio`: unknown field `prio`, expected one of `name`, `type`, `url`, `api_key_env`, `api_key_file`, `priority`, `weight`, `zone`, `models`, `max_concurrent`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
}

#[tokio::test]
async fn a_bad_value_is_named_with_what_was_expected() {
    assert_snapshot!(complaint("[routing]\nstrategy = \"best\"\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `routing.strategy`: unknown variant `best`, expected one of `adaptive`, `round_robin`, `least_pending`, `priority`, `weighted`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(complaint("[health]\n\ninterval = \"soon\"\n").await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:3: `health.interval`: "soon" is no duration (expected number at 0); expected one such as "250ms", "30s" or "2m"
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(complaint("[health]\ninterval = \"0s\"\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `health.interval` is 0s; expected a duration above 0 and up to a year
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(complaint("[limits]\nbody_bytes = \"big\"\n").await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `limits.body_bytes`: "big" is no size; expected a number of bytes, or one such as "64KiB" or "10MB"
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(complaint("[limits]\nqueue_size = -1\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `limits.queue_size`: invalid value: integer `-1`, expected usize
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(complaint("[routing]\nretry_ratio = -0.5\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `routing.retry_ratio` is -0.5; expected a number from 0 up
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(complaint("[server]\nlisten = \"localhost\"\n").await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `server.listen`: "localhost" is no address; expected an IP address and a port, such as "127.0.0.1:7117"
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(complaint("[server]\nallowed_hosts = [\"http://box.lan\"]\n").await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `server.allowed_hosts[0]` is "http://box.lan"; expected a host name without scheme or port, such as "gpu-box.lan"
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(complaint("[server\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:1: unclosed table, expected `]`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
}

#[tokio::test]
async fn a_bad_backend_is_named_with_its_line() {
    let of = |keys: &str| format!("[[backends]]\n{keys}\n");
    assert_snapshot!(complaint(&of("name = \"a\"\nurl = \"10.0.0.5:8000\"")).await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:3: `backends[0].url`: "10.0.0.5:8000" is no backend URL: it has no scheme; expected one such as "http://10.0.0.5:8000" or "https://openrouter.ai/api/v1"
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(complaint(&of("name = \"a b\"\nurl = \"http://h\"")).await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `backends[0].name`: "a b" is no backend name: expected 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(complaint(&of("name = \"a\"")).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:1: `backends[0]`: missing field `url`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(
        complaint(&of("name = \"a\"\nurl = \"http://h\"\ntype = \"gpu\"")).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].type`: unknown variant `gpu`, expected one of `ollama`, `vllm`, `llamacpp`, `exo`, `openai`, `lmstudio`, `anthropic`, `generic`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(
        complaint(&of("name = \"a\"\nurl = \"http://h\"\nmax_concurrent = 0")).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].max_concurrent`: invalid value: integer `0`, expected a nonzero u32
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    let twice = of("name = \"a\"\nurl = \"http://h\"") + &of("name = \"a\"\nurl = \"http://i\"");
    assert_snapshot!(complaint(&twice).await, @r#"
        exit code 1
        --
        error: HOME/callsheet.toml:5: `backends[1].name` is "a", as that of an earlier backend; expected a unique name
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
}

#[tokio::test]
async fn aliases_in_a_circle_are_named() {
    let config = "[routing.aliases]\nfast = \"quick\"\nquick = \"fast\"\n";
    assert_snapshot!(complaint(config).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `routing.aliases.fast` leads in a circle; expected aliases that end at a model
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
    assert_snapshot!(complaint("[routing.fallbacks]\nbig = []\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `routing.fallbacks.big` has no fallback or an empty one; expected at least one model's name
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named_by_its_key() {
    let of = |keys: &str| format!("[[backends]]\nname = \"a\"\nurl = \"http://h\"\n{keys}\n");
    assert_snapshot!(complaint(&of("api_key_env = \"GPU1_KEY\"")).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].api_key_env`: the environment variable GPU1_KEY is not set
        hint: secrets are read from the environment and the files of the daemon
        ");
    assert_snapshot!(complaint(&of("api_key_file = \"/no/such/file\"")).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].api_key_file`: the file /no/such/file cannot be read: No such file or directory (os error 2)
        hint: secrets are read from the environment and the files of the daemon
        ");
    assert_snapshot!(complaint("[server]\nadmin_token_env = \"NO_TOKEN\"\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `server.admin_token_env`: the environment variable NO_TOKEN is not set
        hint: secrets are read from the environment and the files of the daemon
        ");
    let both = of("api_key_env = \"GPU1_KEY\"\napi_key_file = \"key\"");
    assert_snapshot!(complaint(&both).await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:5: `backends[0].api_key_file` stands beside `api_key_env`; expected one of the two
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
}

#[tokio::test]
async fn a_secret_written_where_its_place_should_stand_is_not_repeated() {
    for (config, key) in [
        ("[[backends]]\nname = \"a\"\nurl = \"http://u:sk-hidden@h\"\n", "backends[0].url"),
        ("[[backends]]\nname = \"a\"\nurl = \"http://h\"\napi_key = \"sk-hidden\"\n", "api_key"),
        (
            "[[backends]]\nname = \"a\"\nurl = \"http://h\"\napi_key_env = \"sk-hidden\"\n",
            "backends[0].api_key_env",
        ),
        ("[server]\nadmin_token = \"sk-hidden\"\n", "admin_token"),
        ("[server]\nadmin_token_env = \"sk-hidden\"\n", "server.admin_token_env"),
        ("[server]\nadmin_token_env = \"sk-hidden\n", ":2:"),
    ] {
        let said = complaint(config).await;
        assert!(said.starts_with("exit code 1\n"), "{said}");
        assert!(said.contains(key), "{key} is not in {said}");
        assert!(!said.contains("hidden"), "{said}");
    }
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_a_token() {
    assert_snapshot!(complaint("[server]\nlisten = \"0.0.0.0:7117\"\n").await, @"
        exit code 1
        --
        error: HOME/callsheet.toml:2: `server.listen` is 0.0.0.0:7117, which others can reach, and no admin token is set; expected a loopback address such as 127.0.0.1:7117, or `admin_token_env`, or `allow_unauthenticated = true`
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_with_what_to_do() {
    let other = daemon("[server]\nlisten = \"127.0.0.1:0\"\n").start().await;
    let config = format!("[server]\nlisten = \"{}\"\n", other.address());
    let said = complaint(&config).await.replace(&other.address().port().to_string(), "PORT");
    assert_snapshot!(said, @"
        exit code 1
        --
        error: cannot listen on 127.0.0.1:PORT: Address already in use (os error 98)
        hint: is another process on port PORT? --listen 127.0.0.1:0 takes a free one
        ");
}

#[tokio::test]
async fn a_config_file_that_is_not_there_is_no_empty_one() {
    let output = daemon("").args(["--config", "nowhere.toml"]).run_to_exit().await;
    // The flag stands twice then, which the command line refuses itself.
    assert_eq!(output.code, 2, "{output:?}");
    let output = daemon("").env("CALLSHEET_CONFIG", "nowhere.toml").run(["backend", "list"]).await;
    assert_eq!(output.code, 0, "the flag goes before the variable: {output:?}");
}

#[tokio::test]
async fn a_bad_variable_is_named() {
    let start = |name: &str, value: &str| {
        let builder = daemon("[server]\nlisten = \"127.0.0.1:0\"\n").env(name, value);
        async move { seen(&builder.run_to_exit().await) }
    };
    assert_snapshot!(start("CALLSHEET_LIMITS_QUEUE_SIZE", "many").await, @r#"
        exit code 1
        --
        error: the environment variable CALLSHEET_LIMITS_QUEUE_SIZE: invalid type: string "many", expected usize
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        "#);
    assert_snapshot!(start("CALLSHEET_HEALTH_TIMEOUT", "0s").await, @"
        exit code 1
        --
        error: the environment variable CALLSHEET_HEALTH_TIMEOUT: `health.timeout` is 0s; expected a duration above 0 and up to a year
        hint: docs/configuration.md lists every key; `callsheet config show` prints the defaults
        ");
}

#[tokio::test]
async fn check_says_what_the_start_would() {
    let good = daemon("[[backends]]\nname = \"a\"\nurl = \"http://127.0.0.1:1\"\n");
    assert_snapshot!(seen(&good.run(["config", "check"]).await), @"
        exit code 0
        ok: HOME/callsheet.toml, 1 backend
        ");
    let bad = "[[backends]]\nname = \"a\"\nurl = \"http://h\"\napi_key_env = \"GPU1_KEY\"\n";
    assert_snapshot!(seen(&daemon(bad).run(["config", "check"]).await), @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].api_key_env`: the environment variable GPU1_KEY is not set
        hint: secrets are read from the environment and the files of the daemon
        ");
    assert_snapshot!(seen(&daemon(bad).run(["config", "check", "--json"]).await), @"
        exit code 1
        --
        error: HOME/callsheet.toml:4: `backends[0].api_key_env`: the environment variable GPU1_KEY is not set
        hint: secrets are read from the environment and the files of the daemon
        ");
}
