//! How providers are asked: pages, keys, tags, and everything that goes wrong.

use callsheet_models::providers::{
    ListError, Listed, Listing, Provider, ProviderError, ProviderKind, ProviderSpec, list,
};
use callsheet_sources::{FetchError, Http, HttpSettings};
use callsheet_testkit::{FakeModel, FakeProvider, Fault, Speaks, within};
use callsheet_types::Secret;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) const ALL: [Speaks; 10] = [
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

pub(crate) fn http() -> Http {
    Http::new(HttpSettings { first_pause: Duration::from_millis(1), ..HttpSettings::default() })
}

/// A provider at a stand-in, with a key where one is needed.
pub(crate) fn provider(name: &str, fake: &FakeProvider, speaks: Speaks) -> Provider {
    let kind: ProviderKind = serde_json::from_value(json!(speaks.as_str())).unwrap();
    let models = (speaks == Speaks::Replicate)
        .then(|| (0..3).map(|i| format!("acme/m{i}")).collect::<Vec<_>>());
    let spec =
        ProviderSpec { kind: Some(kind), url: Some(fake.url()), models, ..ProviderSpec::default() };
    let key = kind.needs_key().then(|| Secret::new("sk-123", "TEST").unwrap());
    spec.resolve(name, key).unwrap()
}

pub(crate) fn models(count: usize) -> Vec<FakeModel> {
    let model = |i| {
        FakeModel::new(&format!("acme/m{i}"))
            .context(8192)
            .max_output(1024)
            .prices("0.00000025", "0.000001")
    };
    (0..count).map(model).collect()
}

async fn ask(provider: &Provider, ids: Option<&[&str]>) -> Result<Listing, ProviderError> {
    let ids: Option<Vec<String>> = ids.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
    let deadline = Instant::now() + Duration::from_secs(5);
    let http = http();
    let listed = list(&http, provider, None, ids.as_deref(), deadline);
    match within("a list", listed).await? {
        Listed::New(listing) => Ok(listing),
        Listed::NotModified => panic!("nothing was known before"),
    }
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.models.keys().map(String::as_str).collect()
}

fn facts(listing: &Listing, id: &str) -> Value {
    serde_json::to_value(&listing.models[id]).unwrap()
}

#[tokio::test]
async fn everybody_is_asked_in_their_own_manner() {
    for speaks in ALL {
        let fake = FakeProvider::builder(speaks).models(models(3)).key("sk-123").start().await;
        let mut provider = provider("p", &fake, speaks);
        provider.key = Some(Secret::new("sk-123", "TEST").unwrap());
        let listing = ask(&provider, None).await.unwrap();
        let own: Vec<_> = ids(&listing).into_iter().filter(|id| !id.contains(':')).collect();
        assert_eq!(own, ["acme/m0", "acme/m1", "acme/m2"], "{speaks:?}");
        assert_eq!(listing.problems, [], "{speaks:?}");
        let model = &listing.models["acme/m0"];
        let window = model.context_window.or(model.context_window_trained);
        let says_window = !matches!(speaks, Speaks::OpenAi | Speaks::Replicate);
        assert_eq!(window, says_window.then_some(8192), "{speaks:?}");
        for request in fake.requests() {
            assert!(!request.path.contains("sk-123"), "{}", request.path);
        }
    }
}

#[tokio::test]
async fn all_pages_are_followed() {
    for speaks in [Speaks::OpenRouter, Speaks::Anthropic, Speaks::Google] {
        let builder = FakeProvider::builder(speaks).models(models(5)).page_size(2).etag("\"a\"");
        let fake = builder.start().await;
        let listing = ask(&provider("p", &fake, speaks), None).await.unwrap();
        assert_eq!((listing.models.len(), fake.request_count()), (5, 3), "{speaks:?}");
        // The tag of a page says nothing of the others.
        assert_eq!(listing.revision, None);

        fake.fault_later_pages(Fault::Status(500));
        let error = ask(&provider("p", &fake, speaks), None).await.unwrap_err();
        assert!(matches!(error, ProviderError::Fetch { .. }), "{speaks:?} {error:?}");
        fake.heal();
        fake.fault_later_pages(Fault::ErrorBody);
        let error = ask(&provider("p", &fake, speaks), None).await.unwrap_err();
        assert!(matches!(error, ProviderError::Unusable { .. }), "{speaks:?} {error:?}");
    }
    let builder = FakeProvider::builder(Speaks::HuggingFace).models(models(5)).page_size(2);
    let fake = builder.start().await;
    let mut provider = provider("hf", &fake, Speaks::HuggingFace);
    provider.models = Some(vec!["acme".to_owned()]);
    let listing = ask(&provider, None).await.unwrap();
    assert_eq!(listing.models.keys().filter(|id| !id.contains(':')).count(), 5);
}

#[tokio::test]
async fn pages_that_go_round_are_noticed() {
    use callsheet_testkit::Behaviour;
    for (speaks, page) in [
        (
            Speaks::OpenRouter,
            json!({"data": [{"id": "a"}], "links": {"next": "/v1/models?offset=1"}}),
        ),
        (Speaks::Anthropic, json!({"data": [{"id": "a"}], "has_more": true, "last_id": "a"})),
        (Speaks::Google, json!({"models": [{"name": "models/a"}], "nextPageToken": "x"})),
    ] {
        let fake = FakeProvider::start(speaks, models(1)).await;
        fake.fault(Fault::Does(Behaviour::body(&page.to_string())));
        let error = ask(&provider("p", &fake, speaks), None).await.unwrap_err();
        let ProviderError::Unusable { source: ListError::Endless, .. } = error else {
            panic!("{speaks:?} {error:?}")
        };
        assert_eq!(fake.request_count(), 2);
    }
    // A page that says that there is more, and not where.
    let fake = FakeProvider::start(Speaks::Anthropic, models(1)).await;
    let page = json!({"data": [{"id": "a"}], "has_more": true}).to_string();
    fake.fault(Fault::Does(Behaviour::body(&page)));
    assert!(ask(&provider("p", &fake, Speaks::Anthropic), None).await.is_err());
}

#[tokio::test]
async fn a_next_page_elsewhere_is_not_fetched() {
    use callsheet_testkit::Behaviour;
    let other = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    let fake = FakeProvider::start(Speaks::OpenRouter, models(1)).await;
    for next in [format!("{}/v1/models", other.url()), "//127.0.0.1/x".to_owned()] {
        let page = json!({"data": [{"id": "a"}], "links": {"next": next}}).to_string();
        fake.fault(Fault::Does(Behaviour::body(&page)));
        let error = ask(&provider("p", &fake, Speaks::OpenRouter), None).await.unwrap_err();
        let is_astray =
            matches!(error, ProviderError::Unusable { source: ListError::Strays(_), .. });
        assert!(is_astray, "{error:?}");
    }
    assert_eq!(other.request_count(), 0);
}

#[tokio::test]
async fn bad_answers_are_refused_whoever_gives_them() {
    for speaks in ALL {
        let fake = FakeProvider::start(speaks, models(3)).await;
        let provider = provider("p", &fake, speaks);
        for fault in [
            Fault::Status(404),
            Fault::Status(500),
            Fault::Status(401),
            Fault::ErrorBody,
            Fault::NoList,
            Fault::Truncated,
            Fault::BrokenOff,
            Fault::TooMany("3600".to_owned()),
            Fault::Redirect("/elsewhere".to_owned()),
        ] {
            fake.fault(fault.clone());
            let answer = ask(&provider, None).await;
            let error = match answer {
                Err(error) => error.explain(),
                // Of those that are asked model by model, each is unread with its reason.
                Ok(listing) if speaks == Speaks::Replicate && listing.models.is_empty() => {
                    assert_eq!(listing.unread.len(), 3, "{fault:?}");
                    listing.problems[0].message.clone()
                }
                Ok(listing) => panic!("{speaks:?} {fault:?}: {listing:?}"),
            };
            assert!(error.contains('p'), "{error}");
            fake.heal();
        }
        assert!(ask(&provider, None).await.is_ok(), "{speaks:?}");
    }
}

#[tokio::test]
async fn an_empty_list_is_refused() {
    for speaks in ALL {
        let fake = FakeProvider::start(speaks, []).await;
        if speaks == Speaks::HuggingFace {
            // A router that serves nothing is not there.
            fake.fault(Fault::EmptyList);
        }
        let error = ask(&provider("p", &fake, speaks), None).await.unwrap_err();
        assert!(matches!(error, ProviderError::Empty { .. }), "{speaks:?} {error:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_needed_is_missed_by_name() {
    for (speaks, variable) in [
        (Speaks::OpenAi, "OPENAI_API_KEY"),
        (Speaks::Anthropic, "ANTHROPIC_API_KEY"),
        (Speaks::Google, "GEMINI_API_KEY"),
        (Speaks::Replicate, "REPLICATE_API_TOKEN"),
    ] {
        let fake = FakeProvider::start(speaks, models(3)).await;
        // The service itself, which nobody asks: there is no key.
        let spec = ProviderSpec::default();
        let service = spec.resolve(speaks.as_str(), None).unwrap();
        let error = ask(&service, None).await.unwrap_err();
        assert!(matches!(error, ProviderError::NoKey { .. }), "{error:?}");
        assert!(error.explain().contains(variable), "{}", error.explain());
        // A server elsewhere that speaks like it may want none.
        let keyless = Provider { key: None, ..provider("p", &fake, speaks) };
        let listing = ask(&keyless, None).await.unwrap();
        assert!(listing.models.contains_key("acme/m0"));
        let named = Provider { must_have_key: true, ..keyless };
        let asked = fake.request_count();
        let error = ask(&named, None).await.unwrap_err();
        assert!(matches!(error, ProviderError::NoKey { .. }), "{error:?}");
        assert_eq!(fake.request_count(), asked);
    }
    for speaks in [Speaks::OpenRouter, Speaks::HuggingFace, Speaks::Ollama, Speaks::Generic] {
        let fake = FakeProvider::start(speaks, models(3)).await;
        let listing = ask(&provider("p", &fake, speaks), None).await.unwrap();
        assert!(listing.models.contains_key("acme/m0"));
        assert!(fake.requests().iter().all(|request| request.header("authorization").is_none()));
    }
}

#[tokio::test]
async fn a_wrong_key_is_said_and_not_shown() {
    let fake =
        FakeProvider::builder(Speaks::Anthropic).models(models(1)).key("other").start().await;
    let error = ask(&provider("p", &fake, Speaks::Anthropic), None).await.unwrap_err();
    let ProviderError::Fetch { source: FetchError::Status { status: 401, .. }, .. } = &error else {
        panic!("{error:?}")
    };
    let explained = error.explain();
    assert!(
        explained.contains("check the API key") && !explained.contains("sk-123"),
        "{explained}"
    );
    let request = &fake.requests()[0];
    assert_eq!(request.header("anthropic-version"), Some("2023-06-01"));
}

#[tokio::test]
async fn a_list_that_is_known_is_not_fetched_again() {
    let fake =
        FakeProvider::builder(Speaks::OpenRouter).models(models(2)).etag("W/\"a\"").start().await;
    let provider = provider("p", &fake, Speaks::OpenRouter);
    let listing = ask(&provider, None).await.unwrap();
    assert_eq!(listing.revision.as_deref(), Some("W/\"a\""));
    let deadline = Instant::now() + Duration::from_secs(5);
    let again =
        list(&http(), &provider, listing.revision.as_deref(), None, deadline).await.unwrap();
    assert!(matches!(again, Listed::NotModified));
    fake.set_etag(Some("W/\"b\""));
    let again =
        list(&http(), &provider, listing.revision.as_deref(), None, deadline).await.unwrap();
    assert!(matches!(again, Listed::New(_)));
}

#[tokio::test]
async fn only_the_models_that_are_configured_are_taken() {
    for speaks in ALL {
        let fake = FakeProvider::builder(speaks).models(models(4)).etag("\"a\"").start().await;
        let mut provider = provider("p", &fake, speaks);
        provider.models = Some(vec!["acme/m1".to_owned(), "acme/none".to_owned()]);
        let deadline = Instant::now() + Duration::from_secs(5);
        // Another choice may have been made when the list was last seen.
        let listed = list(&http(), &provider, Some("\"a\""), None, deadline).await.unwrap();
        let Listed::New(listing) = listed else { panic!("{speaks:?}") };
        let own: Vec<_> = ids(&listing).into_iter().filter(|id| !id.contains(':')).collect();
        assert_eq!(own, ["acme/m1"], "{speaks:?}");
        let places: Vec<_> = listing.problems.iter().map(|p| p.place.as_str()).collect();
        assert_eq!(places, ["acme/none"], "{speaks:?}");
        assert_eq!(listing.revision, None);
    }
    let fake = FakeProvider::start(Speaks::Generic, models(4)).await;
    let mut provider = provider("p", &fake, Speaks::Generic);
    provider.models = Some(vec!["acme/none".to_owned()]);
    assert!(matches!(ask(&provider, None).await, Err(ProviderError::Empty { .. })));
}

#[tokio::test]
async fn one_deadline_holds_for_all_pages() {
    let fake = FakeProvider::builder(Speaks::Google).models(models(9)).page_size(1).start().await;
    fake.fault(Fault::Delay(Duration::from_millis(60)));
    let provider = provider("p", &fake, Speaks::Google);
    let started = Instant::now();
    let error = list(&http(), &provider, None, None, started + Duration::from_millis(150))
        .await
        .unwrap_err();
    let ProviderError::Fetch { source: FetchError::Deadline { .. }, .. } = error else {
        panic!("{error:?}")
    };
    assert!(fake.request_count() < 9, "no page is asked for once the time is over");
}

#[tokio::test]
async fn ollama_is_asked_about_each_model_a_few_at_a_time() {
    let fake = FakeProvider::start(Speaks::Ollama, models(40)).await;
    fake.fault(Fault::Delay(Duration::from_millis(5)));
    let provider = provider("o", &fake, Speaks::Ollama);
    let listing = ask(&provider, None).await.unwrap();
    assert_eq!((listing.models.len(), fake.request_count()), (40, 42));
    assert!((2..=8).contains(&fake.max_open()), "{}", fake.max_open());
}

#[tokio::test]
async fn ollama_tells_trained_from_served() {
    let chat = FakeModel::new("llama3:latest").context(8192).tools();
    let long = FakeModel::new("qwen:8b")
        .context(131_072)
        .field("parameters", json!("num_ctx 16384\ntemperature 0.6"))
        .field("capabilities", json!(["completion", "vision", "thinking"]));
    let embeds = FakeModel::new("nomic")
        .context(2048)
        .field("license", json!("Apache License\nVersion 2.0"))
        .field("capabilities", json!(["embedding"]));
    let fake = FakeProvider::start(Speaks::Ollama, [chat, long, embeds]).await;
    fake.set_loaded("llama3:latest", 4096);
    let listing = ask(&provider("o", &fake, Speaks::Ollama), None).await.unwrap();
    let llama = facts(&listing, "llama3:latest");
    assert_eq!(
        llama,
        json!({
            "family": "llama", "capabilities": ["chat", "tools"],
            "input_modalities": ["text"], "output_modalities": ["text"],
            "context_window": 4096, "context_window_trained": 8192,
            "parameter_count": 8_030_261_248_u64,
            "parameters": {"stop": {"availability": "mutable", "default": "<|end|>"}},
            "license": "MIT", "digest": "fe93d", "quantization": "Q4_0", "updated": "2023-12-07",
            "extra": {"size": 3_825_819_519_u64, "format": "gguf", "parameter_size": "7B"},
        })
    );
    let qwen = facts(&listing, "qwen:8b");
    assert_eq!(
        (&qwen["context_window"], &qwen["context_window_trained"]),
        (&json!(16384), &json!(131_072))
    );
    assert_eq!(qwen["capabilities"], json!(["chat", "reasoning", "vision"]));
    assert_eq!(qwen["input_modalities"], json!(["image", "text"]));
    let nomic = facts(&listing, "nomic");
    assert_eq!(nomic["embedding_dimensions"], json!(4096));
    assert_eq!(
        (&nomic["license"], &nomic["capabilities"]),
        (&json!("Apache-2.0"), &json!(["embed"]))
    );
    assert_eq!(nomic.get("context_window"), None);
}

#[tokio::test]
async fn one_model_that_ollama_cannot_show_is_its_own_problem() {
    let fake = FakeProvider::start(Speaks::Ollama, models(3)).await;
    fake.fault_model("acme/m1", Fault::Status(500));
    let listing = ask(&provider("o", &fake, Speaks::Ollama), None).await.unwrap();
    assert_eq!(ids(&listing), ["acme/m0", "acme/m2"]);
    assert_eq!(listing.unread.iter().collect::<Vec<_>>(), ["acme/m1"]);
    assert_eq!(listing.problems[0].place, "acme/m1");
    assert!(listing.problems[0].message.contains("500"), "{:?}", listing.problems);
}

#[tokio::test]
async fn llamacpp_says_what_it_serves() {
    let fake = FakeProvider::start(Speaks::LlamaCpp, models(1)).await;
    fake.set_loaded("acme/m0", 4096);
    let listing = ask(&provider("l", &fake, Speaks::LlamaCpp), None).await.unwrap();
    let model = &listing.models["acme/m0"];
    assert_eq!((model.context_window, model.context_window_trained), (Some(4096), Some(8192)));
    assert!(model.capabilities.contains("chat"));
}

#[tokio::test]
async fn replicate_says_what_goes_in() {
    let schemas = json!({
        "Input": {"properties": {
            "prompt": {"type": "string", "default": "a cat"},
            "steps": {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}}},
        "Output": {"type": "array"},
    });
    let version = json!({"id": "39ed52f2", "created_at": "2023-11-06T23:13:07Z",
        "cog_version": "0.8.6", "openapi_schema": {"components": {"schemas": schemas}}});
    let model = FakeModel::new("acme/m0")
        .field("latest_version", version)
        .field("license_url", json!("https://example.com/license"));
    let fake = FakeProvider::start(Speaks::Replicate, [model]).await;
    let provider = provider("r", &fake, Speaks::Replicate);
    let listing = ask(&provider, None).await.unwrap();
    assert_eq!(
        facts(&listing, "acme/m0"),
        json!({
            "name": "m0", "license": "https://example.com/license", "digest": "39ed52f2",
            "updated": "2023-11-06",
            "parameters": {"prompt": {"availability": "mutable", "default": "a cat"},
                "steps": {"availability": "mutable", "min": 1, "max": 500, "default": 50}},
            "extra": {"visibility": "public", "cog_version": "0.8.6",
                "input_schema": schemas["Input"], "output_schema": schemas["Output"]},
        })
    );
    // Two of the three that are configured are not there.
    let places: Vec<_> = listing.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["acme/m1", "acme/m2"]);

    let nothing = Provider { models: None, ..provider.clone() };
    let error = ask(&nothing, None).await.unwrap_err();
    assert!(matches!(error, ProviderError::NothingAsked { .. }), "{error:?}");
    assert_eq!(ids(&ask(&nothing, Some(&["acme/m0"])).await.unwrap()), ["acme/m0"]);
    for hostile in ["../../account", "a/b/c", "a/..", "a"] {
        let before = fake.request_count();
        assert!(ask(&nothing, Some(&[hostile])).await.unwrap().models.is_empty());
        assert_eq!(fake.request_count(), before, "{hostile}");
    }
}

#[tokio::test]
async fn hugging_face_joins_hub_and_router() {
    let fake = FakeProvider::start(
        Speaks::HuggingFace,
        [
            FakeModel::new("acme/m0").context(32768).prices("0.0000002", "0.0000006").tools(),
            FakeModel::new("acme/files").context(4096),
        ],
    )
    .await;
    let mut provider = provider("hf", &fake, Speaks::HuggingFace);
    provider.models = Some(vec!["acme/m0".to_owned(), "acme/files".to_owned()]);
    let listing = ask(&provider, None).await.unwrap();
    assert_eq!(ids(&listing), ["acme/files", "acme/m0", "acme/m0:fast"]);
    let both = facts(&listing, "acme/m0");
    assert_eq!(
        both,
        json!({
            "family": "gemma3", "capabilities": ["chat", "generate", "tools"],
            "input_modalities": ["text"], "output_modalities": ["text"],
            "context_window": 32768, "context_window_trained": 32768,
            "parameter_count": 999_885_952, "license": "apache-2.0", "open_weights": true,
            "weights": [{"url": "https://huggingface.co/acme/m0", "digest": "f9c28bcd"}],
            "digest": "f9c28bcd", "updated": "2025-03-12",
            "prices": [{"what": "prompt", "per": "mtok", "amount": "0.2"},
                {"what": "completion", "per": "mtok", "amount": "0.6"}],
            "extra": {"pipeline_tag": "text-generation", "providers": ["fast"]},
        })
    );
    assert_eq!(facts(&listing, "acme/files").get("prices"), None);

    let listing = ask(&provider, Some(&["acme/m0:fast", "acme/gone"])).await.unwrap();
    assert_eq!(ids(&listing), ["acme/m0:fast"]);
}

#[tokio::test]
async fn only_what_is_asked_for_is_listed() {
    for speaks in ALL {
        let fake = FakeProvider::start(speaks, models(3)).await;
        let asked: &[&str] = &["acme/m1", "acme/none"];
        let listing = ask(&provider("p", &fake, speaks), Some(asked)).await.unwrap();
        assert_eq!(ids(&listing), ["acme/m1"], "{speaks:?}");
        assert_eq!(listing.revision, None);
    }
}
