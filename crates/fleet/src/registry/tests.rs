use super::*;
use crate::fixture::{backend, cards, models};
use callsheet_types::{BackendType, DiscoverySource, Model};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

fn with(ids: &[(&str, &[&str])]) -> Registry {
    let registry = Registry::new();
    for (id, models) in ids {
        registry.add_backend(backend(id, models)).unwrap();
    }
    registry
}

fn ids(backends: &[Arc<Backend>]) -> Vec<&str> {
    backends.iter().map(|backend| backend.id.as_str()).collect()
}

fn missing<T: fmt::Debug>(result: Result<T, RegistryError>) {
    assert_eq!(result.unwrap_err(), RegistryError::BackendNotFound("x".into()));
}

// Types

#[test]
fn test_backend_type_serialization() {
    for (kind, name) in [
        (BackendType::Ollama, "ollama"),
        (BackendType::VLLM, "vllm"),
        (BackendType::LlamaCpp, "llamacpp"),
        (BackendType::Exo, "exo"),
        (BackendType::OpenAI, "openai"),
        (BackendType::LMStudio, "lmstudio"),
        (BackendType::Anthropic, "anthropic"),
        (BackendType::Generic, "generic"),
    ] {
        assert_eq!(serde_json::to_value(kind).unwrap(), name);
        assert_eq!(serde_json::from_value::<BackendType>(name.into()).unwrap(), kind);
    }
}

#[test]
fn test_backend_status_serialization() {
    for (status, name) in [
        (BackendStatus::Healthy, "healthy"),
        (BackendStatus::Unhealthy, "unhealthy"),
        (BackendStatus::Unknown, "unknown"),
        (BackendStatus::Draining, "draining"),
    ] {
        assert_eq!(serde_json::to_value(status).unwrap(), name);
        assert_eq!(serde_json::from_value::<BackendStatus>(name.into()).unwrap(), status);
        assert_eq!(status.to_string(), name);
    }
}

#[test]
fn test_discovery_source_serialization() {
    for (source, name) in [
        (DiscoverySource::Static, "static"),
        (DiscoverySource::MDNS, "mdns"),
        (DiscoverySource::Manual, "manual"),
    ] {
        assert_eq!(serde_json::to_value(source).unwrap(), name);
        assert_eq!(serde_json::from_value::<DiscoverySource>(name.into()).unwrap(), source);
    }
}

fn described() -> Model {
    Model {
        id: "llama3:70b".into(),
        name: "Llama 3 70B".into(),
        context_length: Some(8192),
        supports_vision: Some(false),
        supports_tools: Some(true),
        supports_json_mode: None,
        max_output_tokens: Some(4096),
    }
}

#[test]
fn test_model_creation() {
    let model = described();
    assert_eq!((model.id.as_str(), model.name.as_str()), ("llama3:70b", "Llama 3 70B"));
    assert_eq!((model.context_length, model.max_output_tokens), (Some(8192), Some(4096)));
    let capabilities = (model.supports_vision, model.supports_tools, model.supports_json_mode);
    assert_eq!(capabilities, (Some(false), Some(true), None));
}

#[test]
fn test_model_json_roundtrip() {
    for model in [described(), Model::new("bare")] {
        let text = serde_json::to_string(&model).unwrap();
        assert_eq!(serde_json::from_str::<Model>(&text).unwrap(), model);
    }
    assert!(serde_json::to_value(Model::new("bare")).unwrap()["supports_tools"].is_null());
}

// Backends

#[test]
fn test_backend_creation() {
    let metadata = HashMap::from([("rack".to_owned(), "7".to_owned())]);
    let made = Backend::new(
        "id-1",
        "GPU 1",
        "http://10.0.0.5:8000",
        BackendType::VLLM,
        vec![described()],
        DiscoverySource::Manual,
        metadata.clone(),
    );
    assert_eq!((made.id.as_str(), made.name.as_str()), ("id-1", "GPU 1"));
    assert_eq!(made.url, "http://10.0.0.5:8000");
    assert_eq!(made.backend_type, BackendType::VLLM);
    assert_eq!(made.discovery_source, DiscoverySource::Manual);
    assert_eq!(made.metadata, metadata);
    assert_eq!(*made.models(), [described()]);
}

#[test]
fn test_backend_view_from_backend() {
    let registry = Registry::new();
    let limit = std::num::NonZeroU32::new(8);
    let made = backend("a", &["m", "n"])
        .with_priority(-3)
        .with_weight(7)
        .with_zone(Some("eu".into()))
        .with_max_concurrent(limit);
    let shared = registry.add_backend(made).unwrap();
    registry.update_status("a", BackendStatus::Unhealthy, Some("refused".into())).unwrap();
    registry.increment_pending("a").unwrap();
    registry.update_latency("a", 30).unwrap();
    let view = BackendView::from(&*shared);
    assert_eq!((view.id.as_str(), view.name.as_str(), view.url.as_str()), ("a", "a", "http://a:1"));
    assert_eq!((view.backend_type, view.status), (BackendType::Generic, BackendStatus::Unhealthy));
    assert_eq!(view.last_health_check, shared.last_health_check());
    assert_eq!(view.last_error.as_deref(), Some("refused"));
    assert_eq!(view.models, models(&["m", "n"]));
    assert_eq!((view.priority, view.weight, view.max_concurrent), (-3, 7, limit));
    assert_eq!(view.zone.as_deref(), Some("eu"));
    assert_eq!((view.pending_requests, view.total_requests), (1, 1));
    assert_eq!((view.avg_latency_ms, view.avg_total_ms), (Some(30), None));
    assert_eq!(view.ejected_for_ms, None);
    assert_eq!(view.discovery_source, DiscoverySource::Static);
}

#[test]
fn test_backend_view_json_roundtrip() {
    let view = BackendView::from(&backend("a", &["m"]));
    let json = serde_json::to_value(&view).unwrap();
    assert_eq!(json["status"], "unknown");
    assert!(json["avg_latency_ms"].is_null() && json["ejected_for_ms"].is_null());
    assert_eq!(serde_json::from_value::<BackendView>(json).unwrap(), view);
}

#[test]
fn test_backend_default_values() {
    let before = jiff::Timestamp::now();
    let made = backend("a", &[]);
    assert_eq!(made.status(), BackendStatus::Unknown);
    assert_eq!((made.priority, made.weight), (0, 1));
    assert_eq!((made.zone.as_ref(), made.max_concurrent()), (None, None));
    assert_eq!((made.pending_requests(), made.total_requests()), (0, 0));
    assert_eq!((made.avg_latency_ms(), made.avg_total_ms()), (None, None));
    assert_eq!((made.last_error(), made.ejected_until()), (None, None));
    assert!((before..=jiff::Timestamp::now()).contains(&made.last_health_check()));
}

// Errors

#[test]
fn test_error_duplicate_backend() {
    assert_eq!(
        RegistryError::DuplicateBackend("a".into()).to_string(),
        "backend already exists: a"
    );
}

#[test]
fn test_error_backend_not_found() {
    assert_eq!(RegistryError::BackendNotFound("a".into()).to_string(), "backend not found: a");
}

#[test]
fn test_error_display() {
    let errors: [Box<dyn std::error::Error>; 2] = [
        Box::new(RegistryError::DuplicateBackend("a b".into())),
        Box::new(RegistryError::BackendNotFound("a b".into())),
    ];
    for error in errors {
        assert!(error.to_string().ends_with(": a b"), "{error}");
        assert!(error.source().is_none());
    }
}

// Adding, removing, getting

#[test]
fn test_registry_new_empty() {
    let registry = Registry::new();
    assert_eq!((registry.backend_count(), registry.model_count()), (0, 0));
    assert!(registry.get_all_backends().is_empty());
    assert!(registry.model_ids().is_empty());
}

#[test]
fn test_add_backend_success() {
    let registry = Registry::new();
    let added = registry.add_backend(backend("a", &["m"])).unwrap();
    assert!(Arc::ptr_eq(&added, &registry.get_backend("a").unwrap()));
}

#[test]
fn test_add_backend_duplicate_error() {
    let registry = with(&[("a", &["m"])]);
    let refused = registry.add_backend(backend("a", &["other"])).unwrap_err();
    assert_eq!(refused, RegistryError::DuplicateBackend("a".into()));
    assert_eq!(registry.model_ids(), ["m".into()]);
    registry.check_index();
}

#[test]
fn several_backends_are_added_together_or_not_at_all() {
    let registry = with(&[("b", &["m"])]);
    for batch in [["a", "b"], ["c", "c"]] {
        let refused = registry.add_backends(batch.map(|id| backend(id, &["n"]))).unwrap_err();
        assert_eq!(refused, RegistryError::DuplicateBackend(batch[1].into()));
    }
    assert_eq!((registry.backend_count(), registry.model_count()), (1, 1));
    registry.add_backends(["c", "a"].map(|id| backend(id, &["m", "n"]))).unwrap();
    assert_eq!(ids(&registry.get_backends_for_model("m")), ["a", "b", "c"]);
    registry.check_index();
}

#[test]
fn test_remove_backend_success() {
    let registry = with(&[("a", &["m"]), ("b", &["m"])]);
    assert_eq!(registry.remove_backend("a").unwrap().id, "a");
    assert!(registry.get_backend("a").is_none());
    assert_eq!(ids(&registry.get_backends_for_model("m")), ["b"]);
}

#[test]
fn test_remove_backend_not_found() {
    missing(Registry::new().remove_backend("x"));
}

#[test]
fn a_removed_backend_leaves_nothing_behind() {
    let registry = with(&[("a", &["m"]), ("b", &["m"])]);
    let gone = Arc::downgrade(&registry.remove_backend("a").unwrap());
    assert_eq!(gone.strong_count(), 0);
}

#[test]
fn test_get_backend_found() {
    assert_eq!(with(&[("a", &[]), ("b", &[])]).get_backend("b").unwrap().id, "b");
}

#[test]
fn test_get_backend_not_found() {
    assert!(with(&[("a", &[])]).get_backend("x").is_none());
}

#[test]
fn test_get_all_backends() {
    let registry = with(&[("c", &[]), ("a", &[]), ("b", &[])]);
    assert_eq!(ids(&registry.get_all_backends()), ["a", "b", "c"]);
}

#[test]
fn test_backend_count() {
    let registry = with(&[("a", &[]), ("b", &[])]);
    assert_eq!(registry.backend_count(), 2);
    registry.remove_backend("a").unwrap();
    assert_eq!(registry.backend_count(), 1);
}

// The model index

#[test]
fn test_model_index_updated_on_add() {
    let registry = with(&[("a", &["m", "n"])]);
    assert_eq!(registry.model_ids(), ["m".into(), "n".into()]);
    registry.check_index();
}

#[test]
fn test_model_index_updated_on_remove() {
    let registry = with(&[("a", &["m", "n"]), ("b", &["n"])]);
    registry.remove_backend("a").unwrap();
    assert_eq!(registry.model_ids(), ["n".into()]);
    registry.check_index();
}

#[test]
fn test_get_backends_for_model_single() {
    let registry = with(&[("a", &["m"]), ("b", &["n"])]);
    assert_eq!(ids(&registry.get_backends_for_model("n")), ["b"]);
}

#[test]
fn test_get_backends_for_model_multiple() {
    let registry = with(&[("b", &["m"]), ("a", &["m"]), ("c", &["n"])]);
    assert_eq!(ids(&registry.get_backends_for_model("m")), ["a", "b"]);
}

#[test]
fn test_get_backends_for_model_none() {
    assert!(with(&[("a", &["m"])]).get_backends_for_model("x").is_empty());
}

#[test]
fn a_model_listed_twice_counts_once_and_the_first_wins() {
    let mut list = models(&["m", "n", "m"]);
    list[2].supports_tools = Some(true);
    let registry = Registry::new();
    let made = backend("a", &[]);
    registry.add_backend(made).unwrap();
    registry.update_models("a", list).unwrap();
    assert_eq!(ids(&registry.get_backends_for_model("m")), ["a"]);
    assert_eq!(*registry.get_backend("a").unwrap().models(), models(&["m", "n"])[..]);
    let added = registry.add_backend(backend("b", &["m", "m"])).unwrap();
    assert_eq!(added.models().len(), 1);
    registry.check_index();
}

fn with_statuses() -> Registry {
    let registry = with(&[("d", &[]), ("h", &[]), ("u", &[]), ("x", &[])]);
    for (id, status) in [
        ("d", BackendStatus::Draining),
        ("h", BackendStatus::Healthy),
        ("x", BackendStatus::Unhealthy),
    ] {
        registry.update_status(id, status, None).unwrap();
    }
    registry
}

#[test]
fn test_get_healthy_backends_includes_healthy() {
    assert_eq!(ids(&with_statuses().get_healthy_backends()), ["h"]);
}

#[test]
fn test_get_healthy_backends_excludes_unhealthy() {
    assert!(!ids(&with_statuses().get_healthy_backends()).contains(&"x"));
}

#[test]
fn test_get_healthy_backends_excludes_draining() {
    assert!(!ids(&with_statuses().get_healthy_backends()).contains(&"d"));
}

#[test]
fn test_model_count() {
    let registry = with(&[("a", &["m", "n"]), ("b", &["n", "o"])]);
    assert_eq!(registry.model_count(), 3);
    registry.remove_backend("b").unwrap();
    assert_eq!(registry.model_count(), 2);
}

// Updates

#[test]
fn test_update_status_changes_status() {
    let registry = with(&[("a", &[])]);
    for status in [BackendStatus::Healthy, BackendStatus::Unhealthy] {
        registry.update_status("a", status, None).unwrap();
        assert_eq!(registry.get_backend("a").unwrap().status(), status);
    }
}

#[test]
fn test_update_status_sets_timestamp() {
    let registry = with(&[("a", &[])]);
    let before = jiff::Timestamp::now();
    registry.update_status("a", BackendStatus::Healthy, None).unwrap();
    assert!(registry.get_backend("a").unwrap().last_health_check() >= before);
}

#[test]
fn test_update_status_sets_error() {
    let registry = with(&[("a", &[])]);
    registry.update_status("a", BackendStatus::Unhealthy, Some("timed out".into())).unwrap();
    assert_eq!(registry.get_backend("a").unwrap().last_error().as_deref(), Some("timed out"));
}

#[test]
fn test_update_status_clears_error() {
    let registry = with(&[("a", &[])]);
    registry.update_status("a", BackendStatus::Unhealthy, Some("timed out".into())).unwrap();
    registry.update_status("a", BackendStatus::Healthy, None).unwrap();
    assert_eq!(registry.get_backend("a").unwrap().last_error(), None);
}

#[test]
fn test_update_status_not_found() {
    missing(Registry::new().update_status("x", BackendStatus::Healthy, None));
}

#[test]
fn a_probe_does_not_end_draining() {
    let registry = with(&[("a", &[])]);
    let status = || registry.get_backend("a").unwrap().status();
    registry.set_status_unless_draining("a", BackendStatus::Healthy, None).unwrap();
    assert_eq!(status(), BackendStatus::Healthy);
    registry.update_status("a", BackendStatus::Draining, None).unwrap();
    registry.set_status_unless_draining("a", BackendStatus::Healthy, None).unwrap();
    assert_eq!(status(), BackendStatus::Draining);
    registry.update_status("a", BackendStatus::Healthy, None).unwrap();
    assert_eq!(status(), BackendStatus::Healthy);
    missing(registry.set_status_unless_draining("x", BackendStatus::Healthy, None));
}

#[test]
fn test_update_models_replaces_list() {
    let registry = with(&[("a", &["m", "n"])]);
    registry.update_models("a", models(&["o"])).unwrap();
    assert_eq!(*registry.get_backend("a").unwrap().models(), models(&["o"])[..]);
}

#[test]
fn test_update_models_updates_index() {
    let registry = with(&[("a", &["m", "n"]), ("b", &["m"])]);
    registry.update_models("a", models(&["n", "o"])).unwrap();
    assert_eq!(ids(&registry.get_backends_for_model("m")), ["b"]);
    assert_eq!(ids(&registry.get_backends_for_model("o")), ["a"]);
    registry.update_models("a", vec![]).unwrap();
    assert_eq!(registry.model_ids(), ["m".into()]);
    registry.check_index();
}

#[test]
fn test_update_models_not_found() {
    missing(Registry::new().update_models("x", vec![]));
}

#[test]
fn an_update_touches_only_the_models_that_change() {
    let registry = with(&[("a", &["m", "n"]), ("b", &["m", "n"])]);
    let (m, n) = (registry.get_backends_for_model("m"), registry.get_backends_for_model("n"));
    registry.update_models("a", models(&["m"])).unwrap();
    assert!(Arc::ptr_eq(&m, &registry.get_backends_for_model("m")));
    assert!(!Arc::ptr_eq(&n, &registry.get_backends_for_model("n")));
}

// Replacing

fn only(id: &str) -> Needs<'_> {
    Needs { only: Some(id), ..Needs::default() }
}

fn place(registry: &Registry, id: &str) -> crate::InFlight {
    match registry.pick("m", &only(id), Instant::now()) {
        Route::To(in_flight) => in_flight,
        other => panic!("expected a place, got {other:?}"),
    }
}

fn waits(registry: &Registry, id: &str) -> bool {
    matches!(registry.pick("m", &only(id), Instant::now()), Route::Wait(_))
}

fn limit(most: u32) -> Option<std::num::NonZeroU32> {
    std::num::NonZeroU32::new(most)
}

#[test]
fn a_replaced_backend_is_gone_and_its_requests_count_against_the_new_limit() {
    let registry = with(&[("a", &["m", "n"]), ("b", &["m"])]);
    registry.update_status("a", BackendStatus::Healthy, None).unwrap();
    let held = [(); 3].map(|()| place(&registry, "a"));
    let new = backend("a", &["m", "o"]).with_max_concurrent(limit(2));
    let Replaced { old, new } = registry.replace_backend(new).unwrap();
    assert!(Arc::ptr_eq(held[0].backend(), &old));
    assert!(Arc::ptr_eq(&registry.get_backend("a").unwrap(), &new));
    assert_eq!(registry.model_ids(), ["m".into(), "o".into()]);
    assert_eq!(ids(&registry.get_backends_for_model("m")), ["a", "b"]);
    registry.check_index();

    assert_eq!((new.pending_requests(), new.total_requests()), (3, 3));
    let [first, second, third] = held;
    assert!(waits(&registry, "a"));
    drop(first);
    assert!(waits(&registry, "a"));
    drop(second);
    let fourth = place(&registry, "a");
    assert!(Arc::ptr_eq(fourth.backend(), &new) && waits(&registry, "a"));
    drop((third, fourth));
    assert_eq!((old.pending_requests(), new.pending_requests()), (0, 0));
    missing(registry.replace_backend(backend("x", &[])));
}

#[test]
fn requests_find_their_way_through_several_replacements() {
    let registry = with(&[("a", &["m"])]);
    registry.update_status("a", BackendStatus::Healthy, None).unwrap();
    let mut held = Vec::new();
    for most in [1, 2, 3] {
        let new = backend("a", &["m"]).with_max_concurrent(limit(most));
        registry.replace_backend(new).unwrap();
        held.push(place(&registry, "a"));
        assert!(waits(&registry, "a"));
    }
    assert_eq!(registry.increment_pending("a"), Ok(4));
    assert_eq!(registry.decrement_pending("a"), Ok(3));
    drop(held);
    assert_eq!(registry.get_backend("a").unwrap().pending_requests(), 0);
}

#[test]
fn a_request_that_still_knows_the_old_one_takes_no_place_there() {
    for most in [0, 1, u32::MAX] {
        let registry = with(&[]);
        registry.add_backend(backend("a", &["m"]).with_max_concurrent(limit(most))).unwrap();
        let Replaced { old, new } = registry.replace_backend(backend("a", &["m"])).unwrap();
        assert!(!old.has_place() && !old.take_place() && new.has_place());
        assert_eq!((old.pending_requests(), new.pending_requests()), (0, 0));
        assert_eq!((old.force_place(), new.pending_requests()), (1, 1));
    }
}

#[test]
fn the_same_server_is_known_and_another_is_not() {
    let replaced = |url: &str, list: &[&str]| {
        let registry = with(&[("a", &["m"])]);
        let error = Some("slow".to_owned());
        registry.update_status("a", BackendStatus::Healthy, error).unwrap();
        registry.update_latency("a", 70).unwrap();
        place(&registry, "a").rest(Duration::from_mins(1), Instant::now());
        let mut new = backend("a", list);
        new.url = url.to_owned();
        let new = registry.replace_backend(new).unwrap().new;
        registry.check_index();
        let models: Vec<_> = new.models().iter().map(|model| model.id.clone()).collect();
        (new.status(), new.last_error(), new.avg_latency_ms(), models.join(" "))
    };
    let same = |models: &str| {
        (BackendStatus::Healthy, Some("slow".to_owned()), Some(70), models.to_owned())
    };
    assert_eq!(replaced("http://a:1", &[]), same("m"));
    assert_eq!(replaced("http://a:1", &["n", "o"]), same("n o"));
    assert_eq!(replaced("http://a:2", &[]), (BackendStatus::Unknown, None, None, String::new()));
}

#[test]
fn what_drains_and_what_is_ejected_stay_so() {
    let registry = with(&[("a", &["m"]), ("b", &["m"])]);
    for id in ["a", "b"] {
        registry.update_status(id, BackendStatus::Healthy, None).unwrap();
    }
    let now = Instant::now();
    place(&registry, "a").rest(Duration::from_secs(1), now).unwrap();
    let replace = |id: &str| registry.replace_backend(backend(id, &["m"])).unwrap().new;
    assert_eq!(replace("a").ejected_until(), Some(now + Duration::from_secs(1)));
    // Its trial is under way at the one that was: the new one is due for another.
    let later = now + Duration::from_secs(2);
    let trial = |registry: &Registry| match registry.pick("m", &only("a"), later) {
        Route::To(in_flight) => in_flight,
        other => panic!("expected a trial, got {other:?}"),
    };
    let first = trial(&registry);
    replace("a");
    let second = trial(&registry);
    assert!(first.is_trial() && second.is_trial());
    first.failed(later);
    second.succeeded(later);
    assert_eq!(registry.get_backend("a").unwrap().ejected_until(), None);

    registry.update_status("b", BackendStatus::Draining, None).unwrap();
    let mut elsewhere = backend("b", &["m"]);
    elsewhere.url = "http://elsewhere:1".into();
    let new = registry.replace_backend(elsewhere).unwrap().new;
    assert_eq!(new.status(), BackendStatus::Draining);
}

#[test]
fn a_probe_of_what_was_replaced_or_removed_changes_nothing() {
    let registry = with(&[("a", &["m"])]);
    let Replaced { old, new } = registry.replace_backend(backend("a", &["m"])).unwrap();
    let gone = RegistryError::BackendNotFound("a".into());
    for _ in ["replaced", "removed"] {
        assert_eq!(registry.listed(&old, models(&["x"])), Err(gone.clone()));
        assert_eq!(registry.probed(&old, BackendStatus::Healthy, None), Err(gone.clone()));
        assert_eq!((new.status(), new.models().len()), (BackendStatus::Unknown, 1));
        assert_eq!(old.status(), BackendStatus::Unknown);
        let _ = registry.remove_backend("a");
        assert!(registry.get_backends_for_model("x").is_empty());
    }
    let back = registry.add_backend(backend("a", &["m"])).unwrap();
    registry.listed(&back, models(&["y"])).unwrap();
    registry.probed(&back, BackendStatus::Healthy, None).unwrap();
    assert_eq!((registry.model_ids(), back.status()), (vec!["y".into()], BackendStatus::Healthy));
    registry.check_index();
}

#[test]
fn nobody_notices_a_replacement() {
    watched(|| {
        let registry = with(&[("a", &["m"])]);
        registry.update_status("a", BackendStatus::Healthy, None).unwrap();
        let (done, at_once) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        // Two requesters and two places: each must find one, always.
                        let held = place(&registry, "a");
                        assert!(at_once.fetch_add(1, Ordering::SeqCst) < 2);
                        at_once.fetch_sub(1, Ordering::SeqCst);
                        drop(held);
                    }
                });
            }
            for round in 0..3000_u32 {
                // With a limit, and without one.
                let most = limit(if round.is_multiple_of(2) { 2 } else { 0 });
                registry.replace_backend(backend("a", &["m"]).with_max_concurrent(most)).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        assert_eq!(registry.get_backend("a").unwrap().pending_requests(), 0);
        registry.check_index();
    });
}

// What is known beside what backends say

#[test]
fn a_directory_fills_what_a_backend_leaves_open() {
    let registry = with(&[("a", &["m"]), ("b", &["m"])]);
    assert_eq!(registry.known("a", "m"), None);
    registry.set_directory(cards(|backend, model| Known {
        context_length: (backend == "a").then_some(100),
        max_output_tokens: Some(10),
        name: Some(format!("The {model}")),
        prices: Some("[]".into()),
        ..Known::default()
    }));
    let known = |backend, model| registry.known(backend, model).map(|known| (*known).clone());
    let card = Known {
        context_length: Some(100),
        max_output_tokens: Some(10),
        name: Some("The m".to_owned()),
        prices: Some("[]".into()),
        ..Known::default()
    };
    assert_eq!(known("a", "m"), Some(card.clone()));
    assert_eq!(known("b", "m"), Some(Known { context_length: None, ..card.clone() }));
    assert_eq!((known("a", "x"), known("x", "m")), (None, None));

    let own = Model { name: "Mine".into(), max_output_tokens: Some(5), ..Model::new("m") };
    registry.update_models("a", vec![own, Model::new("n")]).unwrap();
    let expected =
        Known { name: Some("Mine".to_owned()), max_output_tokens: Some(5), ..card.clone() };
    assert_eq!(known("a", "m"), Some(expected));
    assert_eq!(known("a", "n").unwrap().name.as_deref(), Some("The n"));
    registry.add_backend(backend("c", &["m"])).unwrap();
    assert_eq!(known("c", "m"), known("b", "m"));
    registry.check_index();
}

#[test]
fn a_directory_that_is_set_again_is_asked_again() {
    let registry = with(&[("a", &["m", "n"])]);
    let tokens = Arc::new(AtomicUsize::new(1));
    let directory = cards({
        let tokens = Arc::clone(&tokens);
        move |_, model| Known {
            context_length: (model == "m").then(|| tokens.load(Ordering::SeqCst) as u32),
            ..Known::default()
        }
    });
    registry.set_directory(Arc::clone(&directory));
    assert_eq!(registry.known("a", "m").unwrap().context_length, Some(1));
    let n = registry.get_backends_for_model("n");
    tokens.store(2, Ordering::SeqCst);
    registry.set_directory(directory);
    assert_eq!(registry.known("a", "m").unwrap().context_length, Some(2));
    assert!(Arc::ptr_eq(&n, &registry.get_backends_for_model("n")), "it did not change");
}

#[test]
fn what_a_directory_says_while_models_change_is_not_lost() {
    watched(|| {
        let registry = with(&[("a", &["m"])]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0..500_u32 {
                    registry.set_directory(cards(move |_, _| Known {
                        context_length: Some(round),
                        ..Known::default()
                    }));
                }
            });
            for id in ["a", "b"] {
                let registry = &registry;
                scope.spawn(move || {
                    for round in 0..500 {
                        let list: &[_] = if round % 2 == 0 { &["m", "n"] } else { &["m"] };
                        if id == "a" {
                            registry.update_models("a", models(list)).unwrap();
                        } else {
                            registry.add_backend(backend("b", list)).unwrap();
                            registry.remove_backend("b").unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(registry.known("a", "m").unwrap().context_length, Some(499));
        registry.check_index();
    });
}

// Counters

#[test]
fn test_atomic_counters_lose_nothing_between_threads() {
    let registry = with(&[("a", &[])]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    registry.increment_pending("a").unwrap();
                    registry.update_latency("a", 7).unwrap();
                    registry.decrement_pending("a").unwrap();
                }
            });
        }
    });
    let backend = registry.get_backend("a").unwrap();
    assert_eq!((backend.pending_requests(), backend.total_requests()), (0, 4000));
    assert_eq!(backend.avg_latency_ms(), Some(7));
}

#[test]
fn test_increment_pending_success() {
    let registry = with(&[("a", &[])]);
    registry.increment_pending("a").unwrap();
    assert_eq!(registry.get_backend("a").unwrap().pending_requests(), 1);
    missing(registry.increment_pending("x"));
}

#[test]
fn test_increment_pending_returns_new_value() {
    let registry = with(&[("a", &[])]);
    assert_eq!([(); 3].map(|()| registry.increment_pending("a").unwrap()), [1, 2, 3]);
}

#[test]
fn test_decrement_pending_success() {
    let registry = with(&[("a", &[])]);
    registry.increment_pending("a").unwrap();
    registry.increment_pending("a").unwrap();
    assert_eq!(registry.decrement_pending("a"), Ok(1));
    assert_eq!(registry.get_backend("a").unwrap().pending_requests(), 1);
    missing(registry.decrement_pending("x"));
}

#[test]
fn test_decrement_pending_clamps_to_zero() {
    let registry = with(&[("a", &[])]);
    assert_eq!(registry.decrement_pending("a"), Ok(0));
    assert_eq!(registry.increment_pending("a"), Ok(1));
}

/// Collects what is logged while `body` runs.
fn logged(body: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, body);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn test_decrement_pending_at_zero_logs_warning() {
    let registry = with(&[("a", &[])]);
    registry.increment_pending("a").unwrap();
    let silent = logged(|| assert_eq!(registry.decrement_pending("a"), Ok(0)));
    assert_eq!(silent, "");
    let loud = logged(|| assert_eq!(registry.decrement_pending("a"), Ok(0)));
    assert!(loud.contains("WARN") && loud.contains("never counted"), "{loud}");
}

#[test]
fn a_very_long_model_id_is_taken_with_a_warning() {
    let registry = with(&[("a", &[])]);
    let (fits, long) = ("é".repeat(1000), "é".repeat(1001));
    assert_eq!(logged(|| registry.update_models("a", models(&[&fits])).unwrap()), "");
    let loud = logged(|| registry.update_models("a", models(&[&long])).unwrap());
    assert!(loud.contains("WARN") && loud.contains("1001"), "{loud}");
    assert_eq!(registry.get_backends_for_model(&long).len(), 1);
}

#[test]
fn test_update_latency_first_sample() {
    let registry = with(&[("a", &[])]);
    registry.update_latency("a", 120).unwrap();
    assert_eq!(registry.get_backend("a").unwrap().avg_latency_ms(), Some(120));
    missing(registry.update_latency("x", 1));
}

#[test]
fn test_update_latency_ema_calculation() {
    let registry = with(&[("a", &[])]);
    for (sample, average) in [(100, 100), (200, 120), (120, 120), (20, 100), (103, 101), (0, 80)] {
        registry.update_latency("a", sample).unwrap();
        let got = registry.get_backend("a").unwrap().avg_latency_ms();
        assert_eq!(got, Some(average), "after {sample}");
    }
}

#[test]
fn test_update_latency_zero_valid() {
    let registry = with(&[("a", &[])]);
    registry.update_latency("a", 0).unwrap();
    assert_eq!(registry.get_backend("a").unwrap().avg_latency_ms(), Some(0));
    registry.update_latency("a", 100).unwrap();
    assert_eq!(registry.get_backend("a").unwrap().avg_latency_ms(), Some(20));
}

// Properties

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Add(u8, Vec<u8>),
    AddTwo([(u8, Vec<u8>); 2]),
    Remove(u8),
    Models(u8, Vec<u8>),
    Zone(bool),
    Strategy(usize),
    Directory(u8),
    Replace(u8, Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0..6_u8;
    let list = || proptest::collection::vec(0..12_u8, 0..6);
    let step = prop_oneof![
        3 => (id.clone(), list()).prop_map(|(id, list)| Step::Add(id, list)),
        1 => [(id.clone(), list()), (id.clone(), list())].prop_map(Step::AddTwo),
        2 => id.clone().prop_map(Step::Remove),
        2 => (id.clone(), list()).prop_map(|(id, list)| Step::Replace(id, list)),
        4 => (id, list()).prop_map(|(id, list)| Step::Models(id, list)),
        1 => any::<bool>().prop_map(Step::Zone),
        1 => (0..5_usize).prop_map(Step::Strategy),
        1 => (0..4_u8).prop_map(Step::Directory),
    ];
    proptest::collection::vec(step, 0..40)
}

fn numbered(id: u8, list: &[u8]) -> Backend {
    let made = backend(&format!("b{id}"), &[]);
    let made = made.with_priority(i32::from(id % 3)).with_weight(u32::from(id));
    let made = made.with_zone(id.is_multiple_of(2).then(|| "here".to_owned()));
    made.set_models(distinct("", numbered_models(list)));
    made
}

fn numbered_models(list: &[u8]) -> Vec<Model> {
    let model = |n: &u8| Model {
        supports_tools: n.is_multiple_of(2).then_some(*n < 6),
        ..Model::new(format!("m{}", n / 2))
    };
    list.iter().map(model).collect()
}

proptest! {
    #[test]
    fn prop_increment_decrement_balanced(n in 1u32..100) {
        let registry = with(&[("a", &[])]);
        for count in 1..=n {
            prop_assert_eq!(registry.increment_pending("a"), Ok(count));
        }
        for count in (0..n).rev() {
            prop_assert_eq!(registry.decrement_pending("a"), Ok(count));
        }
    }

    #[test]
    fn prop_concurrent_increments_correct(n in 1u32..50) {
        let registry = Arc::new(with(&[("a", &[])]));
        tokio_runtime().block_on(async {
            let tasks: Vec<_> = (0..n).map(|_| {
                let registry = Arc::clone(&registry);
                tokio::spawn(async move { registry.increment_pending("a").unwrap() })
            }).collect();
            let mut seen = Vec::new();
            for task in tasks {
                seen.push(task.await.unwrap());
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..=n).collect::<Vec<_>>());
        });
        prop_assert_eq!(registry.get_backend("a").unwrap().pending_requests(), n);
    }

    #[test]
    fn prop_latency_bounded(samples in proptest::collection::vec(0u32..10000, 1..100)) {
        let registry = with(&[("a", &[])]);
        for sample in &samples {
            registry.update_latency("a", *sample).unwrap();
        }
        let average = registry.get_backend("a").unwrap().avg_latency_ms().unwrap();
        prop_assert!(average >= *samples.iter().min().unwrap());
        prop_assert!(average <= *samples.iter().max().unwrap());
    }

    #[test]
    fn prop_decrement_never_negative(decrements in 1u32..100) {
        let registry = with(&[("a", &[])]);
        for _ in 0..decrements {
            prop_assert_eq!(registry.decrement_pending("a"), Ok(0));
        }
    }

    #[test]
    fn prop_index_equals_one_made_anew(steps in steps()) {
        let registry = Registry::new();
        let mut policy = Policy::default();
        for step in steps {
            // Steps that are refused are part of the property: they must change nothing.
            let _ = match step {
                Step::Add(id, list) => registry.add_backend(numbered(id, &list)).map(drop),
                Step::AddTwo(two) => {
                    registry.add_backends(two.map(|(id, list)| numbered(id, &list)))
                }
                Step::Replace(id, list) => registry.replace_backend(numbered(id, &list)).map(drop),
                Step::Remove(id) => registry.remove_backend(&format!("b{id}")).map(drop),
                Step::Models(id, list) => {
                    registry.update_models(&format!("b{id}"), numbered_models(&list))
                }
                Step::Zone(on) => {
                    policy.zone = on.then(|| "here".to_owned());
                    registry.set_policy(policy.clone());
                    Ok(())
                }
                Step::Strategy(number) => {
                    policy.strategy = crate::Strategy::ALL[number];
                    registry.set_policy(policy.clone());
                    Ok(())
                }
                Step::Directory(number) => {
                    registry.set_directory(cards(move |backend, model| Known {
                        context_length: (backend.len() + model.len() > 4).then_some(number.into()),
                        supports_tools: model.ends_with('1').then_some(number % 2 == 0),
                        ..Known::default()
                    }));
                    Ok(())
                }
            };
            registry.check_index();
        }
    }
}

// Stress

/// Fails loudly, rather than hanging, when threads block each other.
fn watched(body: impl FnOnce() + Send + 'static) {
    let (done, finished) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        body();
        // The watchdog may be gone only after it has failed.
        done.send(()).ok();
    });
    match finished.recv_timeout(Duration::from_mins(1)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("blocked for a minute"),
        // Done, or it panicked; join says how.
        Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => {}
    }
    worker.join().unwrap();
}

#[test]
fn test_concurrent_reads_no_deadlock() {
    tokio_runtime().block_on(async {
        let registry = Arc::new(with(&[("a", &["m"])]));
        let reads = async {
            let tasks: Vec<_> = (0..10_000)
                .map(|_| {
                    let registry = Arc::clone(&registry);
                    tokio::spawn(async move { registry.get_backend("a").unwrap().id.len() })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await.unwrap(), 1);
            }
        };
        tokio::time::timeout(Duration::from_secs(5), reads).await.unwrap();
    });
}

#[test]
fn test_concurrent_read_write_safe() {
    watched(|| {
        let registry = with(&[("a", &["m"]), ("b", &["m"])]);
        let writing = AtomicUsize::new(2);
        std::thread::scope(|scope| {
            for id in ["c", "d"] {
                let (registry, writing) = (&registry, &writing);
                scope.spawn(move || {
                    for round in 0..1000 {
                        registry.add_backend(backend(id, &["m", "n"])).unwrap();
                        registry.increment_pending("a").unwrap();
                        registry.update_latency("a", round).unwrap();
                        registry.update_status(id, BackendStatus::Healthy, None).unwrap();
                        registry.decrement_pending("a").unwrap();
                        registry.remove_backend(id).unwrap();
                    }
                    writing.fetch_sub(1, Ordering::SeqCst);
                });
            }
            scope.spawn(|| {
                while writing.load(Ordering::SeqCst) > 0 {
                    let found = registry.get_backends_for_model("m");
                    assert!((2..=4).contains(&found.len()));
                    assert!(registry.get_all_backends().len() >= 2);
                    assert!(registry.get_healthy_backends().len() <= 2);
                }
            });
        });
        assert_eq!((registry.backend_count(), registry.model_count()), (2, 1));
        assert_eq!(registry.get_backend("a").unwrap().pending_requests(), 0);
        registry.check_index();
    });
}

#[test]
fn test_concurrent_add_remove_same_id() {
    watched(|| {
        let registry = with(&[]);
        let (added, removed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let wins = registry.add_backend(backend("a", &["m"])).is_ok();
                        added.fetch_add(usize::from(wins), Ordering::Relaxed);
                    }
                });
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let wins = registry.remove_backend("a").is_ok();
                        removed.fetch_add(usize::from(wins), Ordering::Relaxed);
                    }
                });
            }
        });
        let left = added.into_inner() - removed.into_inner();
        assert_eq!((registry.backend_count(), registry.model_count()), (left, left));
        registry.check_index();
    });
}

#[test]
fn of_several_that_add_one_id_at_once_exactly_one_wins() {
    watched(|| {
        for _ in 0..200 {
            let registry = Registry::new();
            let (start, wins) = (Barrier::new(4), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for n in 0..4 {
                    let (registry, start, wins) = (&registry, &start, &wins);
                    scope.spawn(move || {
                        let mine = backend("a", &[["m0", "m1", "m2", "m3"][n]]);
                        start.wait();
                        let won = registry.add_backend(mine).is_ok();
                        wins.fetch_add(usize::from(won), Ordering::SeqCst);
                    });
                }
            });
            assert_eq!(wins.into_inner(), 1);
            assert_eq!((registry.backend_count(), registry.model_count()), (1, 1));
            registry.check_index();
        }
    });
}

#[test]
fn test_concurrent_model_queries() {
    watched(|| {
        let (old, new) = (["m", "n"], ["m", "o"]);
        let all = ["a", "b", "c", "d"];
        let registry = with(&all.map(|id| (id, &old[..])));
        let done = AtomicBool::new(false);
        let updates = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::SeqCst) {
                        // `m` is in every list, so nobody may ever see it missing anywhere.
                        assert_eq!(ids(&registry.get_backends_for_model("m")), all);
                        for model in ["n", "o"] {
                            let found = registry.get_backends_for_model(model);
                            assert!(ids(&found).is_sorted_by(|a, b| a < b));
                        }
                    }
                });
            }
            let writers: Vec<_> = [["a", "b"], ["c", "d"]]
                .into_iter()
                .map(|mine| {
                    let registry = &registry;
                    scope.spawn(move || {
                        for round in 0..4000 {
                            let list = if round % 2 == 0 { new } else { old };
                            registry.update_models(mine[round / 2 % 2], models(&list)).unwrap();
                        }
                        4000
                    })
                })
                .collect();
            let updates: usize = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
            done.store(true, Ordering::SeqCst);
            updates
        });
        assert_eq!(updates, 8000);
        registry.check_index();
    });
}
