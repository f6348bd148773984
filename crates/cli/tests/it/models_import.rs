//! `callsheet model import`: every format from every place, what is refused, and what stays.

use crate::{
    models::{Bench, MODELS_DEV, feed, litellm, openrouter, registry, stocked},
    observe::seen,
    scene::until,
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend};
use flate2::{Compression, write::GzEncoder};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::io::Write as _;

fn import<'a>(file: &'a str, format: &'a str) -> [&'a str; 5] {
    ["model", "import", file, "--format", format]
}

#[tokio::test]
async fn each_format_is_taken_in_and_its_problems_are_told_apart() {
    let bench = Bench::new();
    let file = bench.file("openrouter.json", &openrouter());
    assert_snapshot!(bench.seen(&import(&file, "openrouter")).await, @"
        exit code 0
        import/openrouter: 4 models
        added 4, updated 0, unchanged 0, withdrawn 0
        --
        1 problem:
          1 × has no `id`, first in openrouter.json model 5
        ");
    let file = bench.file("litellm.json", &litellm());
    assert_snapshot!(bench.seen(&import(&file, "litellm")).await, @"
        exit code 0
        import/litellm: 2 models
        added 2, updated 0, unchanged 0, withdrawn 0
        --
        1 problem:
          1 × unknown key `colour`, first in litellm.json acme-embed
        ");
    let folder = bench.models_dev();
    assert_snapshot!(bench.seen(&import(&folder, "models.dev")).await, @"
        exit code 0
        import/models.dev: 2 models, 1 of no one provider
        added 3, updated 0, unchanged 0, withdrawn 0
        --
        1 problem:
          1 × unknown key `cache_input`, first in providers/north/models/rocket-1.toml [cost]
        ");
    let file = bench.file("registry.json", &registry());
    assert_snapshot!(bench.seen(&import(&file, "registry")).await, @"
        exit code 0
        import/registry: 2 models, 1 preset
        added 3, updated 0, unchanged 0, withdrawn 0
        ");
    assert_snapshot!(bench.seen(&["model", "list"]).await, @"
        exit code 0
        MODEL                       STATUS  CONTEXT    OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        acme:acme-embed             active  unknown    unknown  0.01        unknown         embed
        azure:rocket-1              active  unknown    8,192    2.55        10              chat tools
        north:rocket-1              active  131,072    8,192    3           12              attachments chat tools vision
        openrouter:acme/auto        active  2,000,000  unknown  unknown     unknown         chat vision
        openrouter:acme/rocket-1    active  32,768     4,096    2.55        10              chat tools vision
        openrouter:acme/spark       active  8,192      unknown  unknown     unknown         chat
        openrouter:acme/spark:free  active  8,192      unknown  0           0               chat vision
        openrouter:other/rocket-1   active  65,536     unknown  1           2               chat tools vision
        south:acme/rocket-1         active  65,536     8,192    2           9               attachments chat tools vision
        ");
    assert_snapshot!(bench.seen(&["store", "check"]).await.split(", sha256").next().unwrap(), @"
        exit code 0
        ok: sqlite://DIR/data/catalog.db
        ");
}

#[tokio::test]
async fn an_archive_says_what_the_folder_says() {
    let bench = Bench::new();
    let folder = bench.models_dev();
    let tar = callsheet_sources::Tree::to_tar(folder.as_ref()).unwrap();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&tar).unwrap();
    let archive = bench.path("models.dev.tar.gz");
    std::fs::write(&archive, packed.finish().unwrap()).unwrap();
    bench.ok(&import(&archive, "models.dev")).await;
    assert_eq!(
        bench.ok(&import(&folder, "models.dev")).await,
        "import/models.dev: 2 models, 1 of no one provider\n\
         added 0, updated 0, unchanged 3, withdrawn 0\n"
    );
    let mut cut = std::fs::read(&archive).unwrap();
    cut.truncate(cut.len() / 2);
    std::fs::write(&archive, cut).unwrap();
    assert_snapshot!(bench.seen(&import(&archive, "models.dev")).await, @"
        exit code 1
        --
        error: models.dev.tar is a broken archive: incomplete deflate stream
        ");
}

/// What a folder leaves out is a problem of the catalog, not a secret.
#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_nowhere_is_told_and_hides_nothing() {
    let bench = Bench::new();
    let folder = bench.models_dev();
    let link = format!("{folder}/providers/north/models/gone.toml");
    std::os::unix::fs::symlink("../../nobody/models/gone.toml", link).unwrap();
    assert_snapshot!(bench.seen(&import(&folder, "models.dev")).await, @"
        exit code 0
        import/models.dev: 2 models, 1 of no one provider
        added 3, updated 0, unchanged 0, withdrawn 0
        --
        2 problems:
          1 × is a symbolic link, which is not followed, first in providers/north/models/gone.toml
          1 × unknown key `cache_input`, first in providers/north/models/rocket-1.toml [cost]
        ");
    assert_eq!(MODELS_DEV.len(), 5);
}

#[tokio::test]
async fn a_catalog_comes_from_standard_input_and_from_an_address() {
    let bench = Bench::new();
    let piped = bench.piped(&import("-", "openrouter"), &openrouter().to_string());
    assert_snapshot!(bench.masked(&seen(&piped)), @"
        exit code 0
        import/openrouter: 4 models
        added 4, updated 0, unchanged 0, withdrawn 0
        --
        1 problem:
          1 × has no `id`, first in the catalog model 5
        ");
    let web = FakeBackend::start().await;
    web.script(Behaviour::body(&registry().to_string()));
    let url = format!("{}/registry.json", web.url());
    assert_snapshot!(bench.seen(&import(&url, "registry")).await, @"
        exit code 0
        remote/registry: 2 models, 1 preset
        added 3, updated 0, unchanged 0, withdrawn 0
        ");
    // A registry elsewhere counts more than a catalog that somebody had.
    let why = bench.ok(&["model", "why", "openrouter:acme/rocket-1", "context_window"]).await;
    assert!(why.contains("remote/registry"), "{why}");
    let card = bench.json(&["model", "show", "openrouter:acme/rocket-1"]).await;
    assert_eq!(card["models"][0]["context_window"], 32768);
    let offline = [&import(&url, "registry")[..], &["--offline"]].concat();
    assert_snapshot!(bench.seen(&offline).await.replace(&web.url(), "URL"), @"
        exit code 1
        --
        error: http://127.0.0.1:PORT/registry.json was not asked: this is offline mode
        hint: leave out --offline
        ");
    web.script(Behaviour::status(404));
    assert_snapshot!(bench.seen(&import(&url, "registry")).await.replace(&web.url(), "URL"), @r#"
        exit code 1
        --
        error: http://127.0.0.1:PORT/registry.json answered 404: {"error":{"message":"stand-in says 404","type":"stand_in","param":null,"code":"stand_in_404"}}
        hint: check the address
        "#);
    web.stop().await;
    let gone = bench.run(&import(&url, "registry")).await;
    assert_eq!((gone.code, gone.stdout.as_str()), (1, ""), "{gone:?}");
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let dry = [&import(&file, "registry")[..], &["--dry-run"]].concat();
    assert_snapshot!(bench.seen(&dry).await, @"
        exit code 0
        import/registry: 2 models, 1 preset
        would be added 3, updated 0, unchanged 0, withdrawn 0
        ");
    assert_eq!(feed(&bench).await, "");
    assert_eq!(bench.ok(&["model", "list", "--quiet"]).await, "");
    assert_eq!(bench.ok(&["preset", "list"]).await.lines().count(), 1);
    let told = bench.json(&dry).await;
    assert_eq!((&told["added"], &told["dry_run"]), (&json!(3), &json!(true)), "{told}");
    let real = bench.json(&import(&file, "registry")).await;
    assert_eq!((&real["added"], &real["dry_run"]), (&json!(3), &json!(false)), "{real}");
    assert_eq!(real["source"], "import/registry");
}

#[tokio::test]
async fn the_same_again_writes_nothing() {
    let bench = stocked("").await;
    let before = (feed(&bench).await, bench.json(&["store", "check"]).await);
    for (file, format) in [
        ("registry.json", "registry"),
        ("openrouter.json", "openrouter"),
        ("models.dev", "models.dev"),
    ] {
        let again = bench.ok(&import(&bench.path(file), format)).await;
        assert!(again.contains("added 0, updated 0,") && again.contains("withdrawn 0"), "{again}");
    }
    assert_eq!((feed(&bench).await, bench.json(&["store", "check"]).await), before);
}

#[tokio::test]
async fn a_catalog_has_the_name_and_the_day_that_it_is_given() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let named = [&import(&file, "registry")[..], &["--source", "ours", "--as-of", "2026-01-31"]];
    assert_snapshot!(bench.seen(&named.concat()).await, @"
        exit code 0
        import/ours: 2 models, 1 preset
        added 3, updated 0, unchanged 0, withdrawn 0
        ");
    let why = ["model", "why", "openrouter:acme/rocket-1", "context_window"];
    assert_snapshot!(bench.seen(&why).await, @"
        exit code 0
        openrouter:acme/rocket-1
        FIELD           SOURCE       SAYS   SINCE       VERDICT
        context_window  import/ours  32768  2026-01-31  wins: nobody else says it
        ");
    for (flag, value) in [("--source", "a b"), ("--as-of", "yesterday"), ("--format", "toml")] {
        let bad =
            [&["model", "import", &file, "--format", "registry"][..], &[flag, value]].concat();
        let bad = if flag == "--format" { &import(&file, value)[..] } else { &bad[..] };
        let output = bench.run(bad).await;
        let expected = if flag == "--source" { 1 } else { 2 };
        assert_eq!((output.code, output.stdout.as_str()), (expected, ""), "{output:?}");
        assert!(output.stderr.contains(value), "{output:?}");
    }
    assert_eq!(bench.json(&["model", "list"]).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_no_catalog_changes_nothing_and_says_why() {
    let bench = stocked("").await;
    let before = bench.ok(&["store", "export"]).await;
    let whole = openrouter().to_string();
    let cut = bench.text("cut.json", &whole[..whole.len() / 2]);
    assert_snapshot!(bench.seen(&import(&cut, "openrouter")).await, @"
        exit code 1
        --
        error: cut.json, line 1, column 983: EOF while parsing a string
        hint: nothing was changed; is --format right?
        ");
    let empty = bench.text("empty.json", "");
    assert_snapshot!(bench.seen(&import(&empty, "openrouter")).await, @"
        exit code 1
        --
        error: empty.json: there is no model in it, so it is no openrouter catalog
        hint: nothing was changed; is --format right?
        ");
    let error = bench
        .file("error.json", &json!({"error": {"message": "Rate limit exceeded", "code": 429}}));
    assert_snapshot!(bench.seen(&import(&error, "openrouter")).await, @"
        exit code 1
        --
        error: error.json is no catalog but an error message: Rate limit exceeded
        hint: nothing was changed; is --format right?
        ");
    let other = bench.path("registry.json");
    assert_snapshot!(bench.seen(&import(&other, "openrouter")).await, @"
        exit code 1
        --
        error: registry.json is no openrouter catalog: expected a list `data`
        hint: nothing was changed; is --format right?
        ");
    let none = bench.file("none.json", &json!({"data": []}));
    assert_snapshot!(bench.seen(&import(&none, "openrouter")).await, @"
        exit code 1
        --
        error: none.json: there is no model in it, so it is no openrouter catalog
        hint: nothing was changed; is --format right?
        ");
    let missing = bench.path("missing.json");
    assert_snapshot!(bench.seen(&import(&missing, "openrouter")).await, @"
        exit code 1
        --
        error: DIR/missing.json cannot be read: No such file or directory (os error 2)
        ");
    let folder = bench.path("registry.json");
    assert_snapshot!(bench.seen(&import(&folder, "models.dev")).await, @"
        exit code 1
        --
        error: registry.json is no models.dev catalog: no provider in it has `models`
        hint: nothing was changed; is --format right?
        ");
    assert_eq!(bench.ok(&["store", "export"]).await, before);
}

/// A catalog of so many models.
fn many(count: usize) -> Value {
    let models = (0..count).map(|i| {
        json!({
            "id": format!("acme/m-{i}"), "name": "M", "context_length": 8192 + i,
            "pricing": {"prompt": "0.000001", "completion": "0.000002"},
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "supported_parameters": []
        })
    });
    json!({"data": models.collect::<Vec<_>>()})
}

#[tokio::test]
async fn a_catalog_that_lost_most_of_its_models_is_refused_unless_that_is_right() {
    let bench = Bench::with("[routing.aliases]\nquick = \"openrouter:acme/m-19\"\n");
    let full = bench.file("full.json", &many(20));
    bench.ok(&import(&full, "openrouter")).await;
    let preset = ["preset", "set", "budget", "chat", "acme/m-18", "--temperature", "0.3"];
    bench.ok(&preset).await;
    let half = bench.file("half.json", &many(9));
    let before = feed(&bench).await;
    assert_snapshot!(bench.seen(&import(&half, "openrouter")).await, @"
        exit code 1
        --
        error: import/openrouter came back with 9 of the 20 entries that it had
        hint: nothing was changed; if that is right, --allow-shrink takes it
        ");
    assert_eq!(feed(&bench).await, before);
    let allowed = [&import(&half, "openrouter")[..], &["--allow-shrink"]].concat();
    let dry = [&allowed[..], &["--dry-run"]].concat();
    assert_snapshot!(bench.seen(&dry).await, @"
        exit code 0
        import/openrouter: 9 models
        would be added 0, updated 0, unchanged 9, withdrawn 11
        openrouter:acme/m-18 is gone; still used by preset budget/chat
        openrouter:acme/m-19 is gone; still used by alias quick
        ");
    assert_eq!(feed(&bench).await, before);
    assert_snapshot!(bench.seen(&allowed).await, @"
        exit code 0
        import/openrouter: 9 models
        added 0, updated 0, unchanged 9, withdrawn 11
        openrouter:acme/m-18 is gone; still used by preset budget/chat
        openrouter:acme/m-19 is gone; still used by alias quick
        ");
    // What is gone is kept, and marked.
    let list = bench.json(&["model", "list", "--status", "withdrawn"]).await;
    assert_eq!(list.as_array().unwrap().len(), 11);
    assert_snapshot!(bench.seen(&["preset", "list"]).await, @"
        exit code 0
        PRESET                 MODEL      PARAMETERS       SOURCE     WARNINGS
        callsheet:budget/chat  acme/m-18  temperature=0.3  local/api  openrouter:acme/m-18 is withdrawn
        ");
    // And it comes back as it was.
    let back = bench.ok(&import(&full, "openrouter")).await;
    assert!(back.contains("added 0, updated 11, unchanged 9, withdrawn 0"), "{back}");
    assert_eq!(
        bench.json(&["model", "list", "--status", "active"]).await.as_array().unwrap().len(),
        20
    );
}

#[tokio::test]
async fn a_daemon_takes_a_catalog_in_and_knows_it_at_once() {
    let backend = FakeBackend::builder().models(["acme/rocket-1", "acme/spark"]).start().await;
    let server = server(&backend.config("openrouter")).start().await;
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let imported = server.cli(import(&file, "registry")).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    let text = server.get("/v1/models").await.text();
    assert!(text.contains("callsheet:budget/chat"), "{text}");
    // Cards are looked up beside the data plane, which waits for no database.
    until("the card's window", async || {
        let text = server.get("/v1/models").await.text();
        if text.contains("32768") { Ok(()) } else { Err(text) }
    })
    .await;
    let bad = server.request("POST", "/api/v1/models/import?format=registry", &[], b"{").await;
    assert_eq!((bad.status, &bad.json()["error"]["code"]), (400, &json!("catalog_unreadable")));
    let unknown = server.request("POST", "/api/v1/models/import?format=xml", &[], b"{}").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (400, &json!("invalid_request"))
    );
}

#[tokio::test]
async fn registries_of_two_files_are_two_sources() {
    let bench = Bench::new();
    let (mut a, mut b) = (registry(), registry());
    a["models"].as_array_mut().unwrap().pop();
    b["models"].as_array_mut().unwrap().remove(0);
    let (a, b) = (bench.file("a.json", &a), bench.file("b.v2.json", &b));
    let odd = bench.file("my list.json", &registry());
    for (file, source) in [(&a, "import/a"), (&b, "import/b.v2"), (&odd, "import/registry")] {
        let imported = bench.json(&import(file, "registry")).await;
        assert_eq!((&imported["source"], &imported["withdrawn"]), (&json!(source), &json!(0)));
    }
    assert_eq!(bench.json(&["model", "list"]).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_preset_that_cannot_be_one_is_a_problem_of_the_catalog() {
    let bench = Bench::new();
    let mut bad = registry();
    bad["presets"] = json!({
        "my tier": {"x y": "acme/spark"},
        "budget": {"hot": {"model": "acme/spark", "parameters": {"temperature": 3}},
            "chat": {"model": "acme/spark", "parameters": {"temperature": 1, "seed": null}}}
    });
    let file = bench.file("registry.json", &bad);
    assert_snapshot!(bench.seen(&import(&file, "registry")).await, @"
        exit code 0
        import/registry: 2 models, 1 preset
        added 3, updated 0, unchanged 0, withdrawn 0
        --
        2 problems:
          1 × `temperature` cannot be so, expected a number from 0 to 2: the preset is left out, first in preset budget/hot
          1 × a tier and a slot are 1 to 64 letters, digits, `.`, `_` or `-`: the preset is left out, first in preset my tier/x y
        ");
}

/// Whoever names a model by what all its providers have in common is told when one of them is gone;
/// who names another by its key is not.
#[tokio::test]
async fn what_leads_to_a_model_by_its_canonical_id_is_named() {
    let bench = Bench::with(
        "[routing.aliases]\nany = \"acme/Rocket_1\"\nother = \"north:rocket-1\"\nnext = \"any\"\n",
    );
    let folder = bench.models_dev();
    bench.ok(&import(&folder, "models.dev")).await;
    bench.ok(&["preset", "set", "premium", "chat", "acme/rocket-1"]).await;
    std::fs::remove_file(format!("{folder}/providers/south/models/acme/rocket-1.toml")).unwrap();
    std::fs::remove_file(format!("{folder}/providers/south/provider.toml")).unwrap();
    let imported = bench.json(&import(&folder, "models.dev")).await;
    let orphans = json!([{
        "key": "south:acme/rocket-1",
        "used_by": ["alias any", "alias next", "preset premium/chat"]
    }]);
    assert_eq!(imported["orphans"], orphans, "{imported}");
}

/// Returns a recorded catalog, where it lies beside the project.
fn recorded(name: &str) -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/");
    let path = format!("{path}{name}");
    std::path::Path::new(&path).exists().then_some(path)
}

#[tokio::test]
async fn recorded_catalogs_are_taken_in_together() {
    let names = ["models.dev.tar.gz", "openrouter/models.2026-05-15.json"];
    let [Some(archive), Some(list)] = names.map(recorded) else {
        eprintln!("skipped: the recorded catalogs are not there");
        return;
    };
    let bench = Bench::new();
    let taken = bench.ok(&import(&archive, "models.dev")).await;
    assert!(taken.contains("5098 models, 231 of no one provider"), "{taken}");
    let older = ["--as-of", "2026-05-15"];
    let taken = bench.ok(&[&import(&list, "openrouter")[..], &older].concat()).await;
    assert!(taken.contains("364 models"), "{taken}");
    let again = bench.ok(&import(&archive, "models.dev")).await;
    assert!(again.contains("added 0, updated 0, unchanged 5329, withdrawn 0"), "{again}");
    let id = "openrouter:anthropic/claude-sonnet-4.5";
    let shown = bench.json(&["model", "show", id]).await;
    let card = &shown["models"][0];
    assert_eq!(card["sources"].as_array().unwrap().len(), 2, "{card}");
    assert_eq!(card["prices"][0]["amount"], "3", "{card}");
    assert!(shown["elsewhere"].to_string().contains("anthropic:claude-sonnet-4-5"), "{shown}");
    // What depends on the request is neither free nor a number.
    let router = bench.json(&["model", "show", "openrouter:openrouter/auto"]).await;
    assert_eq!(router["models"][0]["prices"][0]["amount"], "dynamic", "{router}");
    let conflicts = bench.json(&["model", "conflicts", "--provider", "openrouter"]).await;
    assert!(conflicts.as_array().unwrap().len() > 100);
    bench.ok(&["store", "check"]).await;
}
