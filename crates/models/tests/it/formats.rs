//! Each format's rules, on small files of our own.

use callsheet_models::{
    Amount, Charge, Facts, Parameter, Price, Unit,
    formats::{self, Catalog, Exported, Format, FormatError},
};
use callsheet_types::{ModelKey, Preset, Problem};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

fn read(format: Format, text: &str) -> Catalog {
    formats::read(format, &files(&[("a.json", text)])).unwrap()
}

fn refused(format: Format, text: &str) -> FormatError {
    formats::read(format, &files(&[("a.json", text)])).unwrap_err()
}

pub(crate) fn key(text: &str) -> ModelKey {
    ModelKey::parse(text).unwrap()
}

pub(crate) fn price(what: &str, per: &str, amount: &str) -> Price {
    let (what, per) = (Charge::from(what.to_owned()), Unit::from(per.to_owned()));
    Price::new(what, per, amount.parse().unwrap())
}

fn words(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn said(problems: &[Problem]) -> Vec<(&str, &str)> {
    problems.iter().map(|problem| (&*problem.place, &*problem.message)).collect()
}

fn facts<'a>(catalog: &'a Catalog, name: &str) -> &'a Facts {
    let found = catalog.models.iter().find(|(key, _)| key.as_str() == name);
    &found.unwrap_or_else(|| panic!("{name} is not among {:?}", catalog.models)).1
}

#[test]
fn formats_are_read_by_the_names_that_they_are_written_by() {
    for format in Format::ALL {
        assert_eq!(format.to_string().parse(), Ok(format));
        assert_eq!(serde_json::to_value(format).unwrap(), json!(format.as_str()));
    }
    let error = "Registry".parse::<Format>().unwrap_err();
    assert!(error.to_string().contains("\"models.dev\""), "{error}");
}

#[test]
fn what_is_no_catalog_is_refused_by_every_format() {
    for format in Format::ALL {
        for text in ["", " \n"] {
            let error = refused(format, text);
            assert!(matches!(error, FormatError::Empty { .. }), "{format}: {error}");
        }
        for (text, at) in [("{\"models\":[", (1, 11)), ("{\n  \"a\": tru", (2, 10))] {
            let FormatError::Syntax { file, line, column, .. } = refused(format, text) else {
                panic!("{format}: {text} is no syntax error");
            };
            assert_eq!((&*file, line, column), ("a.json", at.0, at.1), "{format}");
        }
        for text in [
            r#"{"error": {"message": "Rate limit exceeded", "code": 429}}"#,
            r#"{"error": "Rate limit exceeded"}"#,
            r#"{"message": "Rate limit exceeded", "status": "429"}"#,
        ] {
            let error = refused(format, text);
            let is_error = matches!(&error, FormatError::ErrorBody { said, .. } if said == "Rate limit exceeded");
            assert!(is_error, "{format}: {error}");
        }
        for text in ["7", "\"x\"", "null", r#"{"x": 1}"#, r#"{"x": {"y": 1}}"#] {
            let error = refused(format, text);
            assert!(matches!(error, FormatError::Foreign { .. }), "{format}: {text}: {error}");
        }
        let two = files(&[("a.json", "{}"), ("b.json", "{}")]);
        let error = formats::read(format, &two).unwrap_err();
        assert!(error.to_string().contains("found 2"), "{error}");
        let none = BTreeMap::<String, Vec<u8>>::new();
        assert!(formats::read(format, &none).is_err());
    }
}

#[test]
fn a_catalog_without_models_is_refused() {
    for (format, text) in [
        (Format::Registry, r#"{"version": 1, "models": []}"#),
        (Format::Registry, "[]"),
        (Format::OpenRouter, r#"{"data": []}"#),
        (Format::ModelsDev, r#"{"a": {"id": "a", "models": {}}}"#),
        (Format::LiteLlm, r#"{"sample_spec": {"litellm_provider": "one of"}}"#),
        (Format::Callsheet, r#"{"format": "callsheet-models", "version": 1, "models": []}"#),
    ] {
        let error = refused(format, text);
        assert!(matches!(error, FormatError::Empty { .. }), "{format}: {error}");
    }
    let error = refused(Format::Registry, r#"[{"info": {}}, {"info": {}}]"#);
    assert!(matches!(error, FormatError::NothingUsable { problems: 2, .. }), "{error}");
}

#[test]
fn problems_that_say_the_same_are_grouped() {
    let problem = |place: &str, message: &str| Problem {
        place: place.to_owned(),
        message: message.to_owned(),
    };
    let problems = [problem("a", "x"), problem("b", "y"), problem("c", "y"), problem("d", "a")];
    let groups = formats::group(&problems);
    let groups: Vec<_> = groups.iter().map(|g| (&*g.message, g.count, &*g.first_place)).collect();
    assert_eq!(groups, [("y", 2, "b"), ("a", 1, "d"), ("x", 1, "a")]);
}

#[test]
fn models_dev_inherits_from_neutral_files() {
    let tree = files(&[
        ("models.dev/LICENSE", "MIT"),
        (
            "models.dev/models/acme/one.toml",
            r#"
                name = "One"
                family = "one"
                attachment = true
                reasoning = true
                tool_call = true
                structured_output = true
                temperature = true
                knowledge = "2025-01"
                release_date = 2025-02-03
                last_updated = "2025-02-03"
                open_weights = true
                license = "MIT"
                reasoning_options = [{ type = "toggle" }]
                [[weights]]
                label = "Hugging Face"
                url = "https://huggingface.co/acme/one"
                [modalities]
                input = ["text", "image"]
                output = ["text"]
                [limit]
                context = 200_000
                input = 150_000
                output = 0
            "#,
        ),
        ("models.dev/providers/acme/provider.toml", "name = \"Acme\"\nenv = []\nnmp = \"x\""),
        (
            "models.dev/providers/acme/models/one.toml",
            "name = \"Own\"\n[cost]\ninput = 0\noutput = 0",
        ),
        ("models.dev/providers/shop/provider.toml", "name = \"Shop\"\nenv = []"),
        (
            "models.dev/providers/shop/models/deep/one:free.toml",
            r#"
                base_model = "acme/one"
                base_model_omit = ["limit.input", "structured_output", "cost.tiers"]
                status = "beta"
                [modalities]
                input = ["text"]
                [limit]
                context = 128_000
                [cost]
                input = 1.25
                output = 1e1
                cache_input = 0.3
                input_audio = -1
                tiers = [{ tier = { type = "context", size = 200_000 }, input = 2.5, output = 15 }]
                [cost.context_over_200k]
                cache_read = 0.25
            "#,
        ),
        (
            "models.dev/providers/shop/models/lost.toml",
            "base_model = \"acme/none\"\nname = \"Lost\"\nrelease_date = \"soon\"",
        ),
        ("models.dev/providers/shop/models/broken.toml", "name = "),
    ]);
    let catalog = formats::read(Format::ModelsDev, &tree).unwrap();
    let shop = "models.dev/providers/shop";
    assert_eq!(
        said(&catalog.problems)[..],
        [
            ("models.dev/models/acme/one.toml [limit]", "`output` is 0: taken as unknown"),
            ("models.dev/providers/acme/provider.toml", "unknown key `nmp`"),
            (&format!("{shop}/models/broken.toml"), said(&catalog.problems)[2].1),
            (
                &format!("{shop}/models/deep/one:free.toml [cost]"),
                "`input_audio` is less than 0: taken as unknown",
            ),
            (&format!("{shop}/models/deep/one:free.toml [cost]"), "unknown key `cache_input`"),
            (
                &format!("{shop}/models/lost.toml"),
                "`base_model` is no file of `models/`: the model stands without it",
            ),
            (
                &format!("{shop}/models/lost.toml"),
                "`release_date` is no date: expected YYYY-MM-DD, YYYY-MM or YYYY",
            ),
        ]
    );
    assert!(said(&catalog.problems)[2].1.starts_with("is no TOML: "), "{:?}", catalog.problems);
    let keys: Vec<_> = catalog.models.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["acme:one", "shop:deep/one:free", "shop:lost"]);

    let one = facts(&catalog, "shop:deep/one:free");
    assert_eq!(one.canonical.as_deref(), Some("acme/one"));
    assert_eq!(one.name.as_deref(), Some("One"));
    assert_eq!(one.lifecycle.as_deref(), Some("beta"));
    assert_eq!(one.released.as_ref().unwrap().as_str(), "2025-02-03");
    assert_eq!(one.input_modalities, Some(words(&["text"])));
    assert_eq!(one.output_modalities, Some(words(&["text"])));
    assert_eq!(
        (one.context_window, one.max_input_tokens, one.max_output_tokens),
        (Some(128_000), None, None)
    );
    assert_eq!(one.capabilities, words(&["attachments", "chat", "reasoning", "tools"]));
    assert_eq!(one.license.as_deref(), Some("MIT"));
    assert_eq!(one.weights.as_ref().unwrap()[0].url, "https://huggingface.co/acme/one");
    assert_eq!(one.extra["reasoning_options"], json!([{"type": "toggle"}]));
    // `cost.tiers` is omitted after the merge, whoever said it.
    assert_eq!(
        one.prices.as_ref().unwrap()[..],
        [
            price("prompt", "mtok", "1.25"),
            price("completion", "mtok", "10"),
            Price { above_context: Some(200_000), ..price("cache_read", "mtok", "0.25") },
        ]
    );

    // A neutral file of the same name is linked, and nothing is inherited from it.
    let own = facts(&catalog, "acme:one");
    assert_eq!((own.canonical.as_deref(), own.family.as_deref()), (Some("acme/one"), None));
    let free = Amount::Usd(0.into());
    assert_eq!(own.prices.as_ref().map(|prices| prices[0].amount), Some(free));
    // Without prices nothing is known of them.
    assert_eq!(facts(&catalog, "shop:lost").prices, None);
    assert_eq!(facts(&catalog, "shop:lost").canonical, None);

    let [(id, neutral)] = &catalog.canonical[..] else { panic!("{:?}", catalog.canonical) };
    assert_eq!((&**id, neutral.context_window), ("acme/one", Some(200_000)));
    assert_eq!((neutral.canonical.as_ref(), neutral.prices.as_ref()), (None, None));
}

#[test]
fn models_dev_needs_no_folder_above_and_tells_what_is_missing() {
    let tree = files(&[
        ("providers/acme/models/a.toml", "name = \"A\"\ntemperature = false\ntool_call = false"),
        ("providers/acme/models/b.toml", "name = 7\n[limit]\ncontext = nan\ncontent = 5"),
        ("providers/acme/strange.toml", ""),
        ("providers/b c/models/x.toml", "name = \"X\""),
    ]);
    let catalog = formats::read(Format::ModelsDev, &tree).unwrap();
    assert_eq!(
        said(&catalog.problems),
        [
            ("providers/acme/models/a.toml", "the provider has no `provider.toml`"),
            ("providers/acme/models/b.toml", "`name` is a number, expected a text"),
            (
                "providers/acme/models/b.toml [limit]",
                "`context` is a text, expected a whole number"
            ),
            ("providers/acme/models/b.toml [limit]", "unknown key `content`"),
            ("providers/b c/models/x.toml", "the provider has no `provider.toml`"),
            ("providers/b c/models/x.toml", "provider and id make no key: the model is left out"),
            ("providers/acme/strange.toml", "is neither a provider nor a model"),
        ]
    );
    let a = facts(&catalog, "acme:a");
    assert_eq!(a.capabilities, words(&[]));
    assert_eq!(a.parameters["tools"], Parameter::Unsupported);
    assert_eq!(a.parameters["temperature"], Parameter::Unsupported);
}

#[test]
fn models_dev_has_a_json_form() {
    let catalog = read(
        Format::ModelsDev,
        r#"{"acme": {"id": "acme", "name": "Acme", "env": ["K"], "npm": "n", "doc": "d", "models": {
            "a/b": {"id": "a/b", "name": "B", "cost": {"input": 0.1, "ouput": 2}, "limit": {"context": 8}},
            "c": {"id": "d", "name": "C"}, "e": 5}}, "empty": 1}"#,
    );
    assert_eq!(
        said(&catalog.problems),
        [
            ("a.json acme/a/b [cost]", "unknown key `ouput`"),
            ("a.json acme/c", "`id` is not the key under which it stands; the key counts"),
            ("a.json acme/e", "the model is no table"),
            ("a.json empty", "the provider is no table"),
        ]
    );
    assert_eq!(facts(&catalog, "acme:a/b").prices, Some(vec![price("prompt", "mtok", "0.1")]));
    assert_eq!(facts(&catalog, "acme:c").name.as_deref(), Some("C"));
}

#[test]
fn litellm_says_prices_in_its_keys() {
    let catalog = read(
        Format::LiteLlm,
        r#"{
        "sample_spec": {"litellm_provider": "one of …", "mode": "one of …"},
        "azure/eu/gpt": {
            "litellm_provider": "azure", "mode": "chat", "max_input_tokens": 272000,
            "max_output_tokens": 128000, "max_tokens": 128000,
            "input_cost_per_token": 1.5000000000000002e-07, "output_cost_per_token": 0.0,
            "input_cost_per_token_batches": 7.5e-8,
            "cache_read_input_token_cost_above_272k_tokens_priority": 5e-7,
            "cache_creation_input_token_cost_above_1hr": 6e-6,
            "output_cost_per_reasoning_token": 3e-6,
            "search_context_cost_per_query": {"search_context_size_low": 0.01,
                "search_context_size_medium": 0.02, "search_context_size_hgh": 0.03},
            "supports_function_calling": true, "supports_vision": true,
            "supports_response_schema": false, "supports_computer_use": true,
            "supported_modalities": ["text", "image"], "deprecation_date": "2026-03-01",
            "source": "https://example.com", "rpm": 5, "inptu_cost_per_token": 1e-6},
        "embed-1": {"litellm_provider": "acme", "mode": "embedding", "output_vector_size": 1024,
            "input_cost_per_token": 1e-8, "max_tokens": 512},
        "vertex_ai/x": {"litellm_provider": "vertex_ai-language-models", "mode": "chat",
            "max_tokens": 9, "max_input_tokens": 8, "max_output_tokens": 7,
            "tiered_pricing": [{"range": [0, 32000.0], "input_cost_per_token": 1e-6},
                {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-6, "x": 1}, {"range": []}]},
        "whisper": {"litellm_provider": "acme", "mode": "audio_transcription",
            "input_cost_per_second": 0.0001, "output_cost_per_second": 0},
        "by_results": {"litellm_provider": "acme", "mode": "search", "tiered_pricing":
            [{"max_results_range": [0, 25], "input_cost_per_query": 0.005}]},
        "fallback_generalizations": {"x": 1},
        "nobody": {"mode": "chat"}, "seven": 7
    }"#,
    );
    assert_eq!(
        said(&catalog.problems),
        [
            (
                "a.json azure/eu/gpt [search_context_cost_per_query]",
                "unknown key `search_context_size_hgh`"
            ),
            ("a.json azure/eu/gpt", "unknown key `inptu_cost_per_token`"),
            ("a.json nobody", "`litellm_provider` is missing: the model is left out"),
            ("a.json seven", "the model is no table"),
            (
                "a.json vertex_ai/x",
                "`max_tokens` is neither `max_input_tokens` nor `max_output_tokens`"
            ),
            ("a.json vertex_ai/x [tiered_pricing]", "unknown key `x`"),
            (
                "a.json vertex_ai/x [tiered_pricing]",
                "`range` has no beginning: the tier is left out"
            ),
        ]
    );
    let gpt = facts(&catalog, "azure:eu/gpt");
    assert_eq!(gpt.capabilities, words(&["chat", "computer_use", "tools", "vision"]));
    assert_eq!(gpt.parameters["structured_outputs"], Parameter::Unsupported);
    assert_eq!((gpt.context_window, gpt.max_input_tokens), (None, Some(272_000)));
    assert_eq!(gpt.max_output_tokens, Some(128_000));
    assert_eq!(gpt.retires.as_ref().unwrap().as_str(), "2026-03-01");
    assert_eq!(gpt.extra["source"], json!("https://example.com"));
    assert_eq!(
        gpt.prices.as_ref().unwrap()[..],
        [
            price("cache_write_1h", "mtok", "6"),
            Price { above_context: Some(272_000), ..price("cache_read_priority", "mtok", "0.5") },
            price("prompt", "mtok", "0.15"),
            Price { batch: true, ..price("prompt", "mtok", "0.075") },
            price("reasoning", "mtok", "3"),
            price("completion", "mtok", "0"),
            price("search_low", "request", "0.01"),
            price("search", "request", "0.02"),
        ]
    );
    let by_results = facts(&catalog, "acme:by_results");
    assert_eq!(by_results.prices, None);
    assert_eq!(by_results.extra["tiered_pricing"][0]["input_cost_per_query"], json!(0.005));
    let embed = facts(&catalog, "acme:embed-1");
    assert_eq!(embed.embedding_dimensions, Some(1024));
    assert_eq!(embed.capabilities, words(&["embed"]));
    assert_eq!((embed.max_output_tokens, &embed.extra["max_tokens"]), (None, &json!(512)));
    assert_eq!(
        facts(&catalog, "vertex_ai-language-models:x").prices.as_ref().unwrap()[..],
        [
            price("prompt", "mtok", "1"),
            Price { above_context: Some(32_000), ..price("prompt", "mtok", "2") }
        ]
    );
    assert_eq!(
        facts(&catalog, "acme:whisper").prices.as_ref().unwrap()[..],
        [price("audio_input", "second", "0.0001"), price("output", "second", "0")]
    );
}

#[test]
fn one_model_under_two_names_counts_once() {
    let catalog = read(
        Format::LiteLlm,
        r#"{"x": {"litellm_provider": "acme", "max_output_tokens": 1},
            "acme/x": {"litellm_provider": "acme", "max_output_tokens": 2}}"#,
    );
    assert_eq!(catalog.models.len(), 1);
    assert_eq!(
        said(&catalog.problems),
        [("acme:x", "stands there twice with different content; the first counts")]
    );
}

const REGISTRY: &str = r#"{
    "version": 1, "comment": "x",
    "models": [{"info": {"id": "a/b:free", "provider": "openrouter", "capabilities": ["Chat", "ToolUse", "Sing"],
            "context_window": 200000, "dimensions": null, "shape": 1},
        "parameters": {"temperature": {"availability": "mutable", "range": {"min": 0.0, "max": 2.0, "step": 1}},
            "seed": {"availability": "opaque"}, "top_k": {"availability": "unsupported"},
            "n": {"availability": "read_only", "value": 1}, "top_p": {"availability": "maybe"}},
        "pricing": {"prompt_cost_per_mtok": 2.5500000000000003, "completion_cost_per_mtok": 5.0, "cache": 1},
        "max_output_tokens": 64000},
        {"info": {"id": "b", "provider": "auto", "capabilities": []}, "pricing": {"prompt_cost_per_mtok": -1000000.0}},
        {"info": {"id": "c"}}, 5],
    "presets": {"free": {"agent": "a/b:free", "chat": {"model": "b", "parameters": {"temperature": 0.3}, "x": 1},
        "bad": {"parameters": {}}, "a/b": "c", "seven": 7, "x y": "b", "none": "",
        "hot": {"model": "b", "parameters": {"temperature": 3}},
        "own": {"model": "b", "parameters": {"messages": []}}}, "tier": 7}
}"#;

#[test]
fn registries_are_read_and_everything_unknown_is_told() {
    let catalog = read(Format::Registry, REGISTRY);
    assert_eq!(
        said(&catalog.problems),
        [
            ("a.json", "unknown key `comment`"),
            (
                "a.json presets free/a/b",
                "a tier or slot with `/` cannot be named: the preset is left out"
            ),
            ("a.json presets free/bad", "`model` is missing: the preset is left out"),
            ("a.json presets free/chat", "unknown key `x`"),
            ("a.json presets free/seven", "the preset is neither a model's name nor a table"),
            ("a.json presets tier", "the tier is no table of slots"),
            ("a.json openrouter:a/b:free [info]", "unknown key `shape`"),
            ("a.json openrouter:a/b:free [pricing]", "unknown key `cache`"),
            ("a.json openrouter:a/b:free [parameters] [temperature] [range]", "unknown key `step`"),
            (
                "a.json openrouter:a/b:free [parameters] [top_p]",
                "`availability` is none that is known: the parameter is left out"
            ),
            ("a.json auto:b [pricing]", "`prompt_cost_per_mtok` is less than 0: taken as unknown"),
            (
                "a.json models[2]",
                "`info` has no `provider` and `id` that make a key: the model is left out"
            ),
            ("a.json models[3]", "the model is no table"),
            (
                "preset free/hot",
                "`temperature` cannot be so, expected a number from 0 to 2: the preset is left out"
            ),
            ("preset free/none", "`model` is empty or too long: the preset is left out"),
            ("preset free/own", "`messages` is not for a preset to set: the preset is left out"),
            (
                "preset free/x y",
                "a tier and a slot are 1 to 64 letters, digits, `.`, `_` or `-`: the preset is left out"
            ),
        ]
    );
    let free = facts(&catalog, "openrouter:a/b:free");
    assert_eq!(free.capabilities, words(&["Sing", "chat", "tools"]));
    assert_eq!(free.context_window, Some(200_000));
    assert_eq!(free.max_output_tokens, Some(64_000));
    assert_eq!(free.parameters["n"], Parameter::ReadOnly { value: json!(1) });
    assert_eq!(
        free.prices.as_ref().unwrap()[..],
        [price("prompt", "mtok", "2.55"), price("completion", "mtok", "5")]
    );
    assert_eq!(facts(&catalog, "auto:b").prices, None);
    let presets: Vec<_> = catalog.presets.iter().map(|(name, p)| (&**name, &*p.model)).collect();
    assert_eq!(presets, [("free/agent", "a/b:free"), ("free/chat", "b")]);
    assert_eq!(catalog.presets[1].1.parameters["temperature"], json!(0.3));
}

#[test]
fn registries_of_a_newer_version_are_refused_and_bare_lists_read() {
    for version in ["2", "\"1\"", "-1", "1.5"] {
        let text = format!(r#"{{"version": {version}, "models": []}}"#);
        let error = refused(Format::Registry, &text);
        assert!(matches!(error, FormatError::Version { known: 1, .. }), "{error}");
    }
    let bare =
        r#"[{"info": {"id": "a", "provider": "p", "capabilities": ["Embed"], "dimensions": 8}}]"#;
    let catalog = read(Format::Registry, bare);
    assert_eq!(facts(&catalog, "p:a").embedding_dimensions, Some(8));
}

#[test]
fn openrouter_lists_are_read_as_its_provider_is() {
    let catalog = read(
        Format::OpenRouter,
        r#"{"data": [{"id": "a/b:free", "name": "B", "context_length": 10, "contxt": 1,
            "pricing": {"prompt": "0.0000003", "completion": "0", "inputcache_read": "0"},
            "top_provider": {"max_completion_tokens": 5, "is_moderated": true}},
            {"id": "auto", "pricing": {"prompt": "-1"}}, {"name": "nobody"}],
            "links": {"next": "/api/v1/models?page=2"}}"#,
    );
    let messages = said(&catalog.problems);
    assert_eq!(
        messages[..3],
        [
            ("a.json", "there is a next page, which the file does not have"),
            ("a.json a/b:free", "unknown key `contxt`"),
            ("a.json a/b:free [pricing]", "unknown key `inputcache_read`"),
        ]
    );
    assert_eq!(messages.len(), 4, "{messages:?}");
    let free = facts(&catalog, "openrouter:a/b:free");
    assert_eq!((free.context_window, free.max_output_tokens), (Some(10), Some(5)));
    assert_eq!(
        free.prices.as_ref().unwrap()[..],
        [price("prompt", "mtok", "0.3"), price("completion", "mtok", "0")]
    );
    let auto = facts(&catalog, "openrouter:auto");
    assert_eq!(auto.prices.as_ref().unwrap()[0].amount, Amount::Dynamic);
}

#[test]
fn our_own_format_tells_keys_that_it_does_not_have() {
    let text = r#"{"format": "callsheet-models", "version": 1, "as_of": "2026-05-15T00:00:00Z", "modles": [],
        "models": [
            {"key": "p:a", "facts": {"name": "A", "context": 5, "batch": null, "capabilities": [],
                "prices": [{"what": "prompt", "per": "mtok", "amount": "2.55", "above": 7}],
                "parameters": {"n": {"availability": "opaque", "x": 1}}, "extra": {"free": {"form": 1}}}},
            {"key": "p:b", "facts": {"released": "soon"}},
            {"key": "b", "facts": {}}, {"facts": {}}, 5],
        "canonical": [{"id": "a", "facts": {"family": "f"}}],
        "presets": {"t/s": {"model": "m", "modle": "n"}}}"#;
    let catalog = read(Format::Callsheet, text);
    let problems = said(&catalog.problems);
    let is_at = |place: &str, message: &str| problems.contains(&(place, message));
    for (place, message) in [
        ("a.json", "unknown key `modles`"),
        ("a.json models[0] p:a", "unknown key `context`"),
        ("a.json models[0] p:a prices[0]", "unknown key `above`"),
        ("a.json models[0] p:a parameters n", "unknown key `x`"),
        ("a.json models[2] b", "`key` is no model key: expected PROVIDER:ID"),
        ("a.json models[3]", "`key` or `facts` is missing: the model is left out"),
        ("a.json models[4]", "is no object"),
        ("a.json presets t/s", "unknown key `modle`"),
    ] {
        assert!(is_at(place, message), "{place}: {message} is not among {problems:#?}");
    }
    assert_eq!(problems.len(), 9, "{problems:#?}");
    assert_eq!(catalog.models.len(), 1);
    assert_eq!(facts(&catalog, "p:a").prices, Some(vec![price("prompt", "mtok", "2.55")]));
    assert_eq!(catalog.canonical[0].0, "a");
    assert_eq!(catalog.as_of.unwrap().to_string(), "2026-05-15T00:00:00Z");

    let newer = text.replace("\"version\": 1", "\"version\": 2");
    assert!(matches!(refused(Format::Callsheet, &newer), FormatError::Version { known: 1, .. }));
}

/// A card with something of everything.
fn rich() -> Exported {
    let facts = Facts {
        name: Some("A".to_owned()),
        canonical: Some("acme/a".to_owned()),
        capabilities: words(&["chat", "tools", "vision"]),
        input_modalities: Some(words(&["text", "image"])),
        output_modalities: Some(words(&["text"])),
        context_window: Some(200_000),
        max_output_tokens: Some(64_000),
        quantization: Some("fp8".to_owned()),
        parameters: BTreeMap::from([(
            "temperature".to_owned(),
            Parameter::Mutable { min: Some(0.into()), max: Some(2.into()), default: None },
        )]),
        prices: Some(vec![
            price("prompt", "mtok", "2.55"),
            price("completion", "mtok", "15"),
            price("cache_read", "mtok", "0.3"),
            Price { above_context: Some(200_000), ..price("prompt", "mtok", "6") },
            Price { batch: true, ..price("prompt", "mtok", "1.275") },
            price("image_input", "image", "0.004"),
        ]),
        ..Facts::default()
    };
    let dynamic =
        Facts { prices: Some(vec![price("prompt", "mtok", "dynamic")]), ..Facts::default() };
    Exported {
        models: vec![(key("openrouter:acme/a"), facts), (key("openrouter:auto"), dynamic)],
        canonical: vec![("acme/a".to_owned(), Facts::default())],
        presets: vec![(
            "t/s".to_owned(),
            Preset { model: "m".to_owned(), parameters: serde_json::Map::new() },
        )],
        as_of: None,
    }
}

fn omitted(format: Format) -> (Value, Vec<String>) {
    let written = formats::write(format, &rich());
    let omissions = written.omissions.iter().map(|o| format!("{}: {}", o.place, o.message));
    (serde_json::from_slice(&written.bytes).unwrap(), omissions.collect())
}

#[test]
fn exports_say_what_they_leave_out() {
    let (registry, omissions) = omitted(Format::Registry);
    let first = &registry["models"][0];
    assert_eq!(
        first["pricing"],
        json!({"prompt_cost_per_mtok": 2.55, "completion_cost_per_mtok": 15.0})
    );
    assert_eq!(first["info"]["capabilities"], json!(["Chat", "ToolUse"]));
    assert_eq!(registry["models"][1].get("pricing"), None, "dynamic is no number");
    assert_eq!(registry["presets"], json!({"t": {"s": "m"}}));
    assert_eq!(
        omissions,
        [
            "openrouter:acme/a: `canonical` has no place in it",
            "openrouter:acme/a: `input_modalities` has no place in it",
            "openrouter:acme/a: `name` has no place in it",
            "openrouter:acme/a: `output_modalities` has no place in it",
            "openrouter:acme/a: `quantization` has no place in it",
            "openrouter:acme/a: capability `vision` has no place in it",
            "openrouter:acme/a: price `cache_read` per mtok has no place in it",
            "openrouter:acme/a: price `prompt` per mtok above a context has no place in it",
            "openrouter:acme/a: price `prompt` per mtok in batches has no place in it",
            "openrouter:acme/a: price `image_input` per image has no place in it",
            "openrouter:auto: the price is dynamic: `pricing` is left as it is",
            "acme/a: models without a provider have no place in it",
        ]
    );

    let (litellm, omissions) = omitted(Format::LiteLlm);
    assert_eq!(
        litellm["openrouter/acme/a"],
        json!({"litellm_provider": "openrouter", "mode": "chat", "max_input_tokens": 200_000,
            "max_output_tokens": 64_000, "input_cost_per_token": 2.55e-6,
            "output_cost_per_token": 1.5e-5, "cache_read_input_token_cost": 3e-7,
            "input_cost_per_token_above_200k_tokens": 6e-6,
            "input_cost_per_token_batches": 1.275e-6, "input_cost_per_image": 0.004,
            "supported_modalities": ["image", "text"], "supported_output_modalities": ["text"],
            "supports_function_calling": true, "supports_vision": true})
    );
    assert_eq!(
        omissions,
        [
            "openrouter:acme/a: `context_window` is written as `max_input_tokens`",
            "openrouter:acme/a: parameter `temperature` has no place in it",
            "openrouter:acme/a: `canonical` has no place in it",
            "openrouter:acme/a: `name` has no place in it",
            "openrouter:acme/a: `quantization` has no place in it",
            "openrouter:auto: that price `prompt` per mtok is dynamic has no place in it",
            "acme/a: models without a provider have no place in it",
            "t/s: presets have no place in it",
        ]
    );

    let (openrouter, omissions) = omitted(Format::OpenRouter);
    assert_eq!(
        openrouter["data"][0]["pricing"],
        json!({"prompt": "0.00000255", "completion": "0.000015", "input_cache_read": "0.0000003",
            "image": "0.004"})
    );
    assert_eq!(openrouter["data"][1]["pricing"], json!({"prompt": "-1"}));
    assert_eq!(openrouter["data"][0]["supported_parameters"], json!(["temperature", "tools"]));
    assert!(omissions.contains(
        &"openrouter:acme/a: the bounds of `temperature` have no place in it".to_owned()
    ));

    let (models_dev, omissions) = omitted(Format::ModelsDev);
    let model = &models_dev["openrouter"]["models"]["acme/a"];
    assert_eq!(
        model["cost"],
        json!({"input": 2.55, "output": 15, "cache_read": 0.3,
            "tiers": [{"input": 6, "tier": {"type": "context", "size": 200_000}}]})
    );
    assert_eq!(model["attachment"], json!(true));
    assert!(omissions.contains(
        &"openrouter:acme/a: `release_date` is expected in it and is not known".to_owned()
    ));

    let (_, omissions) = omitted(Format::Callsheet);
    assert_eq!(omissions, Vec::<String>::new());
}

#[test]
fn the_text_does_not_depend_on_the_order_of_models() {
    for format in Format::ALL {
        let mut reversed = rich();
        reversed.models.reverse();
        let (one, other) = (formats::write(format, &rich()), formats::write(format, &reversed));
        assert_eq!(one, other, "{format}");
        assert_eq!(one.bytes.last(), Some(&b'\n'));
    }
}
