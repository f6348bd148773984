//! `callsheet model show`, `why`, `conflicts`, `diff` and `history`.

use crate::models::{Bench, registry, stocked};
use insta::assert_snapshot;
use serde_json::json;

const ALIASES: &str = "[routing.aliases]\nfast = \"openrouter:acme/rocket-1\"\nquick = \"fast\"\n";

#[tokio::test]
async fn a_model_is_shown_by_each_of_its_names() {
    let bench = stocked(ALIASES).await;
    let whole = bench.seen(&["model", "show", "openrouter:acme/rocket-1"]).await;
    assert_snapshot!(whole, @"
        exit code 0
        openrouter:acme/rocket-1
          name                    Name of acme/rocket-1
          canonical               acme/rocket-1
          status                  active
          capabilities            chat, tools, vision
          takes                   image, text
          gives                   text
          context window          131,072
          longest answer          4,096
          released                2025-09-29
          prices                  prompt $2.5 / million tokens
                                  completion $10 / million tokens
          parameters              temperature: 0.0 to 2.0
                                  tools: there
          says                    import/openrouter (2026-03-02)
                                  import/registry (2026-03-01)

        used by: alias fast, alias quick
        also at: north:rocket-1, south:acme/rocket-1

        AMONG PROVIDERS    LEAST  MOST
        context_window     65536  131072
        max_output_tokens  4096   8192
        prices.prompt      2      3
        prices.completion  9      12
        ");
    assert_eq!(bench.seen(&["model", "show", "quick"]).await, whole);
    let keys = async |name: &str| -> Vec<String> {
        let view = bench.json(&["model", "show", name]).await;
        let models = view["models"].as_array().unwrap().iter();
        models.map(|card| card["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys("fast").await, ["openrouter:acme/rocket-1"]);
    assert_eq!(
        keys("acme/rocket-1").await,
        ["north:rocket-1", "openrouter:acme/rocket-1", "south:acme/rocket-1"]
    );
    assert_eq!(keys("rocket-1").await, ["north:rocket-1"]);
    assert_snapshot!(bench.seen(&["model", "show", "rocket-1"]).await, @"
        exit code 0
        north:rocket-1
          name            Rocket 1
          canonical       acme/rocket-1
          family          rocket
          status          active
          capabilities    attachments, chat, tools, vision
          takes           image, text
          gives           text
          context window  131,072
          longest answer  8,192
          license         apache-2.0
          released        2026-01-31
          updated         2026-02
          prices          prompt $3 / million tokens
                          completion $12 / million tokens
          parameters      reasoning: not supported
          says            import/models.dev (2026-03-03)

        also at: openrouter:acme/rocket-1, south:acme/rocket-1

        AMONG PROVIDERS    LEAST  MOST
        context_window     65536  131072
        max_output_tokens  4096   8192
        prices.prompt      2      3
        prices.completion  9      12
        ");
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_is_much_like_it() {
    let bench = stocked("").await;
    assert_snapshot!(bench.seen(&["model", "show", "openrouter:acme/roket-1"]).await, @r#"
        exit code 1
        --
        error: no model goes by the name "openrouter:acme/roket-1"
        hint: did you mean openrouter:acme/rocket-1?
        "#);
    assert_snapshot!(bench.seen(&["model", "show", "zzz"]).await, @r#"
        exit code 1
        --
        error: no model goes by the name "zzz"
        hint: `callsheet model list` shows all of them; `model import` and `model refresh` bring more
        "#);
    assert_eq!(bench.run(&["model", "show"]).await.code, 2);
}

#[tokio::test]
async fn why_says_who_says_what_and_who_is_believed() {
    let bench = stocked("").await;
    bench
        .ok(&["model", "set", "openrouter:acme/rocket-1", "max_output_tokens=2k", "--by", "ada"])
        .await;
    assert_snapshot!(bench.seen(&["model", "why", "openrouter:acme/rocket-1"]).await, @r#"
        exit code 0
        openrouter:acme/rocket-1
        FIELD                   SOURCE             SAYS                                                           SINCE       VERDICT
        canonical               import/openrouter  acme/rocket-1                                                  2026-03-02  wins: nobody else says it
        capabilities            import/openrouter  chat, tools, vision                                            2026-03-02  united with the others
                                import/registry    chat, tools                                                    2026-03-01  united with the others
        context_window          import/openrouter  131072                                                         2026-03-02  wins: newer than import/registry
                                import/registry    32768                                                          2026-03-01  loses: older than import/openrouter
        extra.canonical_slug    import/openrouter  acme/rocket-1                                                  2026-03-02  wins: nobody else says it
        extra.is_moderated      import/openrouter  false                                                          2026-03-02  wins: nobody else says it
        extra.tokenizer         import/openrouter  Other                                                          2026-03-02  wins: nobody else says it
        input_modalities        import/openrouter  image, text                                                    2026-03-02  wins: nobody else says it
        max_output_tokens       pin/user (ada)     2000                                                           TODAY  wins: pinned
                                import/registry    4096                                                           2026-03-01  loses: pinned over by pin/user
        name                    import/openrouter  Name of acme/rocket-1                                          2026-03-02  wins: nobody else says it
        output_modalities       import/openrouter  text                                                           2026-03-02  wins: nobody else says it
        parameters.temperature  import/openrouter  {"availability":"opaque"}                                      2026-03-02  loses: says less than import/registry
                                import/registry    {"availability":"mutable","max":2.0,"min":0.0}                 2026-03-01  wins: says more than import/openrouter
        parameters.tools        import/openrouter  {"availability":"opaque"}                                      2026-03-02  wins: nobody else says it
        prices                  import/openrouter  [{"amount":"2.5","per":"mtok","what":"prompt"},{"amount":"10…  2026-03-02  wins: newer than import/registry
                                import/registry    [{"amount":"2.55","per":"mtok","what":"prompt"},{"amount":"1…  2026-03-01  loses: older than import/openrouter
        released                import/openrouter  2025-09-29                                                     2026-03-02  wins: nobody else says it
        "#);
    let field = ["model", "why", "openrouter:acme/rocket-1", "context_window"];
    assert_snapshot!(bench.seen(&field).await, @"
        exit code 0
        openrouter:acme/rocket-1
        FIELD           SOURCE             SAYS    SINCE       VERDICT
        context_window  import/openrouter  131072  2026-03-02  wins: newer than import/registry
                        import/registry    32768   2026-03-01  loses: older than import/openrouter
        ");
    let nested = ["model", "why", "openrouter:acme/rocket-1", "parameters.temperature"];
    assert_snapshot!(bench.seen(&nested).await, @r#"
        exit code 0
        openrouter:acme/rocket-1
        FIELD                   SOURCE             SAYS                                            SINCE       VERDICT
        parameters.temperature  import/openrouter  {"availability":"opaque"}                       2026-03-02  loses: says less than import/registry
                                import/registry    {"availability":"mutable","max":2.0,"min":0.0}  2026-03-01  wins: says more than import/openrouter
        "#);
    let said = bench.json(&field).await;
    assert_eq!(said[0]["fields"][0]["candidates"].as_array().unwrap().len(), 2, "{said}");
    let misspelt = ["model", "why", "openrouter:acme/rocket-1", "context_windw"];
    assert_snapshot!(bench.seen(&misspelt).await, @r#"
        exit code 1
        --
        error: "context_windw" is no field of a model; did you mean context_window?
        "#);
}

#[tokio::test]
async fn where_sources_disagree_is_listed() {
    let bench = stocked("").await;
    assert_snapshot!(bench.seen(&["model", "conflicts"]).await, @"
        exit code 0
        MODEL                     FIELD           SOURCE               SAYS
        openrouter:acme/rocket-1  context_window  * import/openrouter  131072
                                                    import/registry    32768
        openrouter:acme/rocket-1  prices.prompt   * import/openrouter  2.5
                                                    import/registry    2.55
        ");
    let one = bench.seen(&["model", "conflicts", "--field", "context_window"]).await;
    assert_snapshot!(one, @"
        exit code 0
        MODEL                     FIELD           SOURCE               SAYS
        openrouter:acme/rocket-1  context_window  * import/openrouter  131072
                                                    import/registry    32768
        ");
    assert_snapshot!(bench.seen(&["model", "conflicts", "--provider", "north"]).await, @"
        exit code 0
        --
        all sources agree
        ");
    let all = bench.json(&["model", "conflicts"]).await;
    assert!(
        all.as_array().unwrap().iter().all(|one| one["key"] == "openrouter:acme/rocket-1"),
        "{all}"
    );
}

#[tokio::test]
async fn two_models_are_set_side_by_side() {
    let bench = stocked("").await;
    let diff = ["model", "diff", "north:rocket-1", "south:acme/rocket-1"];
    assert_snapshot!(bench.seen(&diff).await, @"
        exit code 0
        FIELD              north:rocket-1  south:acme/rocket-1
        context_window     131072          65536
        prices.completion  12              9
        prices.prompt      3               2
        ");
    assert_snapshot!(bench.seen(&["model", "diff", "north:rocket-1", "north:rocket-1"]).await, @"
        exit code 0
        --
        nothing that is known of them differs
        ");
    assert_snapshot!(bench.seen(&["model", "diff", "north:rocket-1", "acme/rocket-1"]).await, @r#"
        exit code 1
        --
        error: "acme/rocket-1" is the name of 3 models: north:rocket-1, openrouter:acme/rocket-1, south:acme/rocket-1
        hint: say which by its key, `provider:id`
        "#);
    assert_eq!(bench.json(&diff).await["a"], "north:rocket-1");
}

#[tokio::test]
async fn a_history_says_what_became_of_a_model() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let import = ["model", "import", &file, "--format", "registry"];
    bench.ok(&import).await;
    let mut newer = registry();
    newer["models"][0]["info"]["context_window"] = json!(65536);
    newer["models"][0]["pricing"]["prompt_cost_per_mtok"] = json!(3);
    bench.file("registry.json", &newer);
    bench.ok(&import).await;
    let id = "openrouter:acme/rocket-1";
    bench.ok(&["model", "set", id, "context_window=16k"]).await;
    bench.ok(&["model", "set", id, "context_window=17k"]).await;
    bench.ok(&["model", "unset", id, "context_window"]).await;
    newer["models"].as_array_mut().unwrap().remove(0);
    bench.file("registry.json", &newer);
    bench.ok(&import).await;
    assert_snapshot!(bench.seen(&["model", "history", id]).await, @r#"
        exit code 0
        openrouter:acme/rocket-1
          MOMENT  import/registry withdrawn, by api
          MOMENT  pin/user removed, by api
            context_window: 17000 → unknown
          MOMENT  pin/user updated, by api
            context_window: 16000 → 17000
          MOMENT  pin/user added, by api
            context_window: unknown → 16000
          MOMENT  import/registry updated, by api
            context_window: 32768 → 65536
            prices.prompt: 2.55 → 3
          MOMENT  import/registry added, by api
            capabilities: unknown → chat, tools
            context_window: unknown → 32768
            max_output_tokens: unknown → 4096
            parameters.temperature: unknown → {"availability":"mutable","max":2.0,"min":0.0}
            prices.completion: unknown → 10
            prices.prompt: unknown → 2.55
        "#);
    let told = bench.json(&["model", "history", id]).await;
    assert_eq!(told[0]["changes"].as_array().unwrap().len(), 6, "{told}");
}
