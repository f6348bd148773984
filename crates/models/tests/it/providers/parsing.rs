//! Each provider's answer, in the shape that it really has.

use callsheet_models::{
    Facts,
    providers::{ListError, Listing, ProviderKind, parse},
};
use serde_json::{Value, json};
use std::path::Path;

fn read(kind: ProviderKind, body: &Value) -> Listing {
    parse(kind, body.to_string().as_bytes()).unwrap()
}

/// The facts of the only model, as JSON.
#[track_caller]
fn only(kind: ProviderKind, model: &Value, id: &str) -> Value {
    let list = if kind == ProviderKind::Google || kind == ProviderKind::Ollama {
        json!({ "models": [model] })
    } else {
        json!({"object": "list", "data": [model]})
    };
    let listing = read(kind, &list);
    assert_eq!(listing.problems, [], "{kind}");
    assert_eq!(listing.models.keys().collect::<Vec<_>>(), [id]);
    serde_json::to_value(&listing.models[id]).unwrap()
}

fn row(what: &str, per: &str, amount: &str) -> Value {
    json!({"what": what, "per": per, "amount": amount})
}

#[test]
fn openrouter_says_nearly_everything() {
    let model = json!({
        "id": "acme/sonnet-4.5:free", "canonical_slug": "acme/4.5-sonnet-20250929",
        "hugging_face_id": "acme/Sonnet", "name": "Acme: Sonnet 4.5", "created": 1_759_161_676,
        "description": "A model.", "context_length": 1_000_000,
        "architecture": {"modality": "text+image+file->text",
            "input_modalities": ["text", "image", "file"], "output_modalities": ["text"],
            "tokenizer": "Acme", "instruct_type": null},
        "pricing": {"prompt": "0.000003", "completion": "0.0000155", "web_search": "0.01",
            "input_cache_read": "0.0000003", "input_cache_write": "0.00000375", "image": "0.000003",
            "audio": "0.0000005", "internal_reasoning": "0", "request": "0.002"},
        "top_provider": {"context_length": 1_000_000, "max_completion_tokens": 64000,
            "is_moderated": true},
        "per_request_limits": null,
        "supported_parameters": ["max_tokens", "reasoning", "tools", "temperature",
            "structured_outputs", "response_format"],
        "default_parameters": {"temperature": 1, "top_p": 1, "top_k": null},
        "supported_voices": null, "knowledge_cutoff": "2025-01-31",
        "expiration_date": "2026-12-01", "links": {"details": "/x"},
    });
    let facts = only(ProviderKind::OpenRouter, &model, "acme/sonnet-4.5:free");
    assert_eq!(
        facts,
        json!({
            "name": "Acme: Sonnet 4.5", "canonical": "acme/sonnet-4.5",
            "capabilities": ["chat", "json", "reasoning", "structured_output", "tools", "vision"],
            "input_modalities": ["image", "pdf", "text"], "output_modalities": ["text"],
            "context_window": 1_000_000, "max_output_tokens": 64000,
            "parameters": {
                "max_tokens": {"availability": "opaque"}, "reasoning": {"availability": "opaque"},
                "tools": {"availability": "opaque"},
                "temperature": {"availability": "mutable", "default": 1},
                "structured_outputs": {"availability": "opaque"},
                "response_format": {"availability": "opaque"},
            },
            "open_weights": true, "weights": [{"url": "https://huggingface.co/acme/Sonnet"}],
            "knowledge_cutoff": "2025-01-31", "released": "2025-09-29", "retires": "2026-12-01",
            "prices": [
                row("prompt", "mtok", "3"), row("completion", "mtok", "15.5"),
                row("cache_read", "mtok", "0.3"), row("cache_write", "mtok", "3.75"),
                row("reasoning", "mtok", "0"), row("audio_input", "mtok", "0.5"),
                row("image_input", "mtok", "3"), row("request", "request", "0.002"),
                row("search", "request", "0.01"),
            ],
            "extra": {"canonical_slug": "acme/4.5-sonnet-20250929", "description": "A model.",
                "tokenizer": "Acme", "is_moderated": true},
        })
    );
}

#[test]
fn dynamic_free_and_unknown_are_three_things() {
    let model = |id: &str, pricing: Value| json!({"id": id, "pricing": pricing, "created": 0});
    let listing = read(
        ProviderKind::OpenRouter,
        &json!({"data": [
            model("router", json!({"prompt": "-1", "completion": "-1"})),
            model("free", json!({"prompt": "0", "completion": "0"})),
            model("unknown", json!({})),
            model("none", Value::Null),
            model("wrong", json!({"prompt": "-0.5", "completion": "cheap", "image": "0.0051"})),
        ]}),
    );
    let prices = |id: &str| {
        let prices = listing.models[id].prices.as_ref()?;
        Some(
            prices.iter().map(|p| format!("{} {}/{}", p.what, p.amount, p.per)).collect::<Vec<_>>(),
        )
    };
    let texts = |texts: &[&str]| Some(texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
    assert_eq!(prices("router"), texts(&["prompt dynamic/mtok", "completion dynamic/mtok"]));
    assert_eq!(prices("free"), texts(&["prompt 0/mtok", "completion 0/mtok"]));
    assert_eq!(prices("unknown"), texts(&[]));
    assert_eq!(prices("none"), None);
    assert_eq!(prices("wrong"), texts(&["image_input 0.0051/image"]));
    assert_eq!(listing.models["router"].released, None);
    let problems: Vec<_> =
        listing.problems.iter().map(|p| format!("{}: {}", p.place, p.message)).collect();
    assert!(
        problems
            .contains(&"wrong: `pricing.completion` is \"cheap\"; expected an amount".to_owned()),
        "{problems:?}"
    );
}

#[test]
fn one_bad_model_is_a_problem_and_the_others_stand() {
    let listing = read(
        ProviderKind::OpenRouter,
        &json!({"data": [
            {"id": "good", "context_length": 8192},
            {"name": "nameless"},
            "text",
            null,
            {"id": 7},
            {"id": "x\ny"},
            {"id": "odd", "context_length": "many", "architecture": "big", "pricing": [],
             "supported_parameters": ["tools", 3], "created": {}, "future": {"field": 1}},
            {"id": "good", "context_length": 1},
        ]}),
    );
    assert_eq!(listing.models.keys().collect::<Vec<_>>(), ["good", "odd"]);
    assert_eq!(listing.models["good"].context_window, Some(8192));
    assert!(listing.models["odd"].capabilities.contains("tools"));
    let places: Vec<_> = listing.problems.iter().map(|p| p.place.as_str()).collect();
    for place in ["model 2", "model 3", "model 4", "model 5", "odd", "good"] {
        assert!(places.contains(&place), "{place}: {places:?}");
    }
}

#[test]
fn openai_says_when() {
    let model = json!({"id": "gpt-4o", "object": "model", "created": 1_715_367_049,
        "owned_by": "system", "shutdown_date": "2027-01-31"});
    assert_eq!(
        only(ProviderKind::OpenAi, &model, "gpt-4o"),
        json!({"released": "2024-05-10", "retires": "2027-01-31", "extra": {"owned_by": "system"}})
    );
}

#[test]
fn anthropic_says_limits_capabilities_and_lifecycle() {
    let model = json!({
        "type": "model", "id": "opus-9", "display_name": "Opus 9",
        "created_at": "2026-02-05T00:00:00Z", "max_input_tokens": 1_000_000, "max_tokens": 128_000,
        "lifecycle": "deprecated", "deprecated_at": "2026-06-01T00:00:00Z",
        "retires_at": "2027-06-01T00:00:00Z", "line": "opus",
        "capabilities": {
            "image_input": {"supported": true}, "pdf_input": {"supported": true},
            "structured_outputs": {"supported": true}, "batch": {"supported": false},
            "effort": {"supported": true, "low": {"supported": true}, "max": {"supported": false}},
            "thinking": {"supported": true, "types": {"enabled": {"supported": false},
                "adaptive": {"supported": true}}},
        },
    });
    assert_eq!(
        only(ProviderKind::Anthropic, &model, "opus-9"),
        json!({
            "name": "Opus 9", "family": "opus", "context_window": 1_000_000,
            "max_input_tokens": 1_000_000, "max_output_tokens": 128_000,
            "capabilities": ["chat", "effort", "reasoning", "structured_output", "vision"],
            "input_modalities": ["image", "pdf", "text"], "output_modalities": ["text"],
            "released": "2026-02-05", "deprecated": "2026-06-01", "retires": "2027-06-01",
            "lifecycle": "deprecated", "extra": {"effort": ["low"], "thinking": ["adaptive"]},
        })
    );
    let older = json!({"type": "model", "id": "old", "display_name": "Old",
        "created_at": "1970-01-01T00:00:00Z", "max_input_tokens": null});
    assert_eq!(
        only(ProviderKind::Anthropic, &older, "old"),
        json!({"name": "Old", "capabilities": ["chat"]})
    );
}

#[test]
fn google_says_limits_methods_and_defaults() {
    let model = json!({
        "name": "models/gemini-9-flash", "baseModelId": "gemini-9", "version": "001",
        "displayName": "Gemini 9 Flash", "inputTokenLimit": 1_048_576, "outputTokenLimit": 65536,
        "supportedGenerationMethods": ["generateContent", "countTokens"], "temperature": 1,
        "maxTemperature": 2, "topP": 0.95, "topK": 64, "thinking": true,
    });
    assert_eq!(
        only(ProviderKind::Google, &model, "gemini-9-flash"),
        json!({
            "name": "Gemini 9 Flash", "digest": "001", "context_window": 1_048_576,
            "max_input_tokens": 1_048_576, "max_output_tokens": 65536,
            "capabilities": ["chat", "reasoning"],
            "parameters": {
                "temperature": {"availability": "mutable", "max": 2, "default": 1},
                "top_p": {"availability": "mutable", "default": 0.95},
                "top_k": {"availability": "mutable", "default": 64},
            },
            "extra": {"baseModelId": "gemini-9",
                "supportedGenerationMethods": ["generateContent", "countTokens"]},
        })
    );
    let embeds = json!({"name": "models/embed", "inputTokenLimit": 2048, "outputTokenLimit": 1,
        "supportedGenerationMethods": ["embedContent"]});
    let facts = only(ProviderKind::Google, &embeds, "embed");
    assert_eq!(facts["capabilities"], json!(["embed"]));
    assert_eq!(facts.get("max_output_tokens"), None);
}

#[test]
fn vllm_says_in_which_window_it_serves() {
    let base = json!({"id": "qwen3", "object": "model", "created": 1_785_370_694,
        "owned_by": "vllm", "root": "/models/Qwen3-AWQ", "parent": null, "max_model_len": 32768,
        "permission": []});
    let adapter = json!({"id": "mine", "object": "model", "created": 1_785_370_694,
        "owned_by": "vllm", "root": "/lora", "parent": "qwen3", "max_model_len": null});
    let listing = read(ProviderKind::Vllm, &json!({"object": "list", "data": [adapter, base]}));
    let facts = |id: &str| serde_json::to_value(&listing.models[id]).unwrap();
    let window = 32768;
    assert_eq!(
        facts("qwen3"),
        json!({"context_window": window, "extra": {"root": "/models/Qwen3-AWQ"}})
    );
    assert_eq!(
        facts("mine"),
        json!({"context_window": window, "extra": {"root": "/lora", "parent": "qwen3"}})
    );
}

#[test]
fn llamacpp_says_what_was_trained() {
    let model = json!({
        "id": "../models/m.Q4_K_M.gguf", "object": "model",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "created": 1_735_142_223, "owned_by": "llamacpp",
        "meta": {"vocab_type": 2, "n_vocab": 128_256, "n_ctx_train": 131_072, "n_embd": 4096,
            "n_params": 8_030_261_312_u64, "size": 4_912_898_304_u64, "ftype": "Q4_K - Medium"},
    });
    assert_eq!(
        only(ProviderKind::LlamaCpp, &model, "../models/m.Q4_K_M.gguf"),
        json!({
            "input_modalities": ["text"], "output_modalities": ["text"],
            "context_window_trained": 131_072, "embedding_dimensions": 4096,
            "parameter_count": 8_030_261_312_u64, "quantization": "Q4_K - Medium",
            "extra": {"size": 4_912_898_304_u64},
        })
    );
    let loading = json!({"id": "m", "object": "model", "meta": null});
    assert_eq!(only(ProviderKind::LlamaCpp, &loading, "m"), json!({}));
}

#[test]
fn hugging_faces_router_says_who_serves() {
    let body = json!({"data": [{
        "id": "acme/big", "object": "model",
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
        "providers": [
            {"provider": "slow", "status": "live", "context_length": 32768,
             "pricing": {"input": 0.2, "output": 0.6}, "supports_tools": true,
             "supports_structured_output": true},
            {"provider": "fast", "status": "live", "context_length": 131_072,
             "pricing": {"input": 0.2, "output": 0.7}, "supports_tools": true,
             "supports_structured_output": false},
            {"provider": "gone", "status": "error", "context_length": 1},
        ],
    }]});
    let listing = read(ProviderKind::HuggingFace, &body);
    let keys: Vec<_> = listing.models.keys().map(String::as_str).collect();
    assert_eq!(keys, ["acme/big", "acme/big:fast", "acme/big:slow"]);
    let facts = |id: &str| serde_json::to_value(&listing.models[id]).unwrap();
    // What holds whoever answers; the prices differ, so that none does.
    assert_eq!(
        facts("acme/big"),
        json!({"capabilities": ["chat", "tools", "vision"], "context_window": 32768,
            "input_modalities": ["image", "text"], "output_modalities": ["text"],
            "extra": {"providers": ["fast", "slow"]}})
    );
    assert_eq!(
        facts("acme/big:fast")["prices"],
        json!([row("prompt", "mtok", "0.2"), row("completion", "mtok", "0.7")])
    );
}

#[test]
fn others_say_it_in_words_that_are_about() {
    let model = json!({"id": "m", "object": "model", "created": 1, "owned_by": "acme",
        "context_window": 131_072, "max_completion_tokens": 8192, "type": "chat",
        "capabilities": {"completion_chat": true, "function_calling": true, "vision": false},
        "pricing": {"input": 0.88, "output": 1.1}});
    let expected = json!({
        "capabilities": ["chat", "tools"], "context_window": 131_072, "max_output_tokens": 8192,
        "prices": [row("prompt", "mtok", "0.88"), row("completion", "mtok", "1.1")],
        "extra": {"owned_by": "acme", "type": "chat"},
    });
    assert_eq!(only(ProviderKind::Generic, &model, "m"), expected);
    // Some leave the list bare.
    let bare = read(ProviderKind::Generic, &json!([model]));
    assert_eq!(serde_json::to_value(&bare.models["m"]).unwrap(), expected);
    let per_token = json!({"id": "m", "pricing": {"prompt": "0.00000088"}});
    assert_eq!(
        only(ProviderKind::Generic, &per_token, "m"),
        json!({"prices": [row("prompt", "mtok", "0.88")]})
    );
}

#[test]
fn an_answer_that_is_no_list_is_refused() {
    for kind in ProviderKind::ALL {
        for (body, expected) in [
            ("", "no JSON"),
            ("<html>", "no JSON"),
            (r#"{"data":[{"id":"a"}"#, "no JSON"),
            (r#"{"error":{"message":"over\nloaded"}}"#, "over loaded"),
            (r#"{"error":"nope","data":[],"models":[]}"#, "nope"),
            ("{}", "no list"),
            ("7", "no list"),
            (r#"{"data":{},"models":"x"}"#, "no list"),
        ] {
            let error: ListError = parse(kind, body.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{kind} {body}: {error}");
        }
    }
}

/// Adds up what may be compared with the file itself.
#[test]
fn the_recorded_list_of_openrouter_comes_out_whole_and_exact() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/openrouter/models.2026-05-15.json");
    let Ok(body) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not here", path.display());
        return;
    };
    let listing = parse(ProviderKind::OpenRouter, &body).unwrap();
    assert_eq!((listing.models.len(), listing.problems.len()), (364, 0), "{:?}", listing.problems);
    let has =
        |test: &dyn Fn(&Facts) -> bool| listing.models.values().filter(|facts| test(facts)).count();
    let is_dynamic = |facts: &Facts| {
        facts.prices.iter().flatten().any(|price| price.amount.to_string() == "dynamic")
    };
    assert_eq!(has(&is_dynamic), 3);
    assert_eq!(has(&|facts| facts.max_output_tokens.is_none()), 72);
    assert_eq!(has(&|facts| facts.retires.is_some()), 11);
    assert_eq!(has(&|facts| facts.context_window.is_none()), 0);

    // Every price, moved six places in the text and compared digit by digit.
    let source: Value = serde_json::from_slice(&body).unwrap();
    let mut compared = 0;
    for model in source["data"].as_array().unwrap() {
        let facts = &listing.models[model["id"].as_str().unwrap()];
        let said = model["pricing"].as_object().unwrap();
        assert_eq!(facts.prices.as_ref().unwrap().len(), said.len());
        for (name, amount) in said {
            let (what, is_per_token) = match name.as_str() {
                "input_cache_read" => ("cache_read", true),
                "input_cache_write" => ("cache_write", true),
                "internal_reasoning" => ("reasoning", true),
                "audio" => ("audio_input", true),
                "image" => ("image_input", true),
                "web_search" => ("search", false),
                other => (other, true),
            };
            let found = facts.prices.iter().flatten().find(|price| price.what.as_str() == what);
            let found = found.unwrap().amount.to_string();
            let expected = shifted(amount.as_str().unwrap(), if is_per_token { 6 } else { 0 });
            assert_eq!(found, expected, "{} {name}", model["id"]);
            compared += 1;
        }
    }
    assert_eq!(compared, 1065);
}

/// Moves the decimal point to the right, in the text.
fn shifted(text: &str, places: usize) -> String {
    if text == "-1" {
        return "dynamic".to_owned();
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<places$}");
    let (moved, rest) = fraction.split_at(places);
    let digits = format!("{whole}{moved}");
    let digits = digits.trim_start_matches('0');
    let rest = rest.trim_end_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    if rest.is_empty() { digits.to_owned() } else { format!("{digits}.{rest}") }
}
