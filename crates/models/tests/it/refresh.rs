//! From providers to the store, and what the report says of it.

use crate::providers::asking::{http, models, provider};
use callsheet_models::{
    Cards, Facts,
    providers::Provider,
    refresh::{Outcome, Progress, Report, Request, fetch, refresh},
};
use callsheet_store::{Intent, Store};
use callsheet_testkit::{FakeModel, FakeProvider, Fault, Gate, Speaks, within};
use callsheet_types::{
    EntryId, Kind, ModelKey, Snapshot, SourceName,
    plan::{Extent, PlanPolicy, Status},
};
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex};

struct Scene {
    store: Store,
    _folder: tempfile::TempDir,
    minute: Mutex<i64>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("catalog.db").display());
        let store = Store::open(&url.parse().unwrap()).unwrap();
        Self { store, _folder: folder, minute: Mutex::new(0) }
    }

    /// Each request comes a minute after the one before.
    fn request(&self) -> Request {
        Request {
            ids: Vec::new(),
            allow_shrink: false,
            dry_run: false,
            actor: "test".to_owned(),
            at: self.now(),
        }
    }

    fn now(&self) -> Timestamp {
        let mut minute = self.minute.lock().unwrap();
        *minute += 1;
        let start: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        start + SignedDuration::from_mins(*minute)
    }

    async fn refresh(&self, providers: &[Provider], request: &Request) -> Report {
        let http = http();
        let refreshed = refresh(&self.store, &http, providers, request, Arc::new(Cards), &|_| {});
        let report = within("a report", sendable(refreshed)).await;
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        report
    }

    async fn whole(&self, providers: &[Provider]) -> Report {
        self.refresh(providers, &self.request()).await
    }

    fn status(&self, key: &str) -> Option<Status> {
        let heads = self.store.entry(&EntryId::new(Kind::model(), key)).unwrap();
        heads.first().map(|head| head.status)
    }

    fn facts(&self, key: &str) -> Facts {
        let heads = self.store.entry(&EntryId::new(Kind::model(), key)).unwrap();
        heads[0].body.read().unwrap()
    }
}

/// Whoever serves requests moves them between threads.
fn sendable<F: Future + Send>(future: F) -> F {
    future
}

fn key(text: &str) -> ModelKey {
    ModelKey::parse(text).unwrap()
}

fn said(report: &Report) -> Vec<String> {
    report.models.iter().map(|model| format!("{} {}", model.key, model.outcome)).collect()
}

fn counts(report: &Report) -> (usize, usize, usize) {
    (report.total, report.refreshed, report.changed)
}

#[tokio::test]
async fn nothing_to_refresh_is_nothing() {
    let scene = Scene::new();
    assert_eq!(scene.whole(&[]).await, Report::default());
}

#[tokio::test]
async fn a_refresh_adds_changes_and_then_writes_nothing() {
    let scene = Scene::new();
    let fake = FakeProvider::start(Speaks::OpenRouter, models(3)).await;
    let providers = [provider("or", &fake, Speaks::OpenRouter)];
    let report = scene.whole(&providers).await;
    assert_eq!(said(&report), ["or:acme/m0 added", "or:acme/m1 added", "or:acme/m2 added"]);
    assert_eq!(counts(&report), (3, 3, 3));
    assert_eq!(fake.request_count(), 1);

    let mut listed = models(3);
    listed[1] = listed[1].clone().context(16384);
    fake.set_models(listed);
    let report = scene.whole(&providers).await;
    assert_eq!(said(&report), ["or:acme/m0 ok", "or:acme/m1 changed", "or:acme/m2 ok"]);
    assert_eq!((counts(&report), report.has_failures()), ((3, 3, 1), false));
    assert_eq!(scene.facts("or:acme/m1").context_window, Some(16384));

    let cursor = scene.store.cursor().unwrap();
    let report = scene.whole(&providers).await;
    assert_eq!(counts(&report), (3, 3, 0));
    assert_eq!(scene.store.cursor().unwrap(), cursor);
    let source = scene.store.sources().unwrap().pop().unwrap();
    assert_eq!(source.name.as_str(), "provider/or");
    assert_eq!(source.synced_at.unwrap().to_string(), "2026-05-01T10:03:00Z");
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen() {
    let scene = Scene::new();
    let fake = FakeProvider::start(Speaks::OpenRouter, models(2)).await;
    let providers = [provider("or", &fake, Speaks::OpenRouter)];
    let request = Request { dry_run: true, ..scene.request() };
    let report = scene.refresh(&providers, &request).await;
    assert_eq!(counts(&report), (2, 2, 2));
    assert_eq!(scene.store.cursor().unwrap(), 0);
}

#[tokio::test]
async fn a_model_that_vanished_is_missing_once_and_kept() {
    let scene = Scene::new();
    let fake = FakeProvider::start(Speaks::OpenRouter, models(3)).await;
    let providers = [provider("or", &fake, Speaks::OpenRouter)];
    scene.whole(&providers).await;
    fake.set_models(models(2));
    let report = scene.whole(&providers).await;
    assert_eq!(said(&report), ["or:acme/m0 ok", "or:acme/m1 ok", "or:acme/m2 missing"]);
    assert_eq!(counts(&report), (3, 2, 1));
    assert_eq!(report.withdrawn, [key("or:acme/m2")]);
    assert_eq!(report.gone().collect::<Vec<_>>(), [&key("or:acme/m2")]);
    assert_eq!(report.failure(&key("or:acme/m2")).as_deref(), Some("or no longer lists it"));
    assert_eq!(scene.status("or:acme/m2"), Some(Status::Withdrawn));
    assert_eq!(scene.facts("or:acme/m2").context_window, Some(8192));

    let report = scene.whole(&providers).await;
    assert_eq!((counts(&report), report.has_failures()), ((2, 2, 0), false));
    fake.set_models(models(3));
    let report = scene.whole(&providers).await;
    assert_eq!(report.models[2].outcome, Outcome::Added);
    assert_eq!(scene.status("or:acme/m2"), Some(Status::Active));
}

#[tokio::test]
async fn a_provider_that_fails_keeps_its_catalog_and_hides_no_other() {
    let scene = Scene::new();
    let good = FakeProvider::start(Speaks::OpenRouter, models(2)).await;
    let bad = FakeProvider::start(Speaks::Generic, models(2)).await;
    let providers =
        [provider("good", &good, Speaks::OpenRouter), provider("bad", &bad, Speaks::Generic)];
    scene.whole(&providers).await;
    for fault in [
        Fault::Status(500),
        Fault::ErrorBody,
        Fault::EmptyList,
        Fault::NoList,
        Fault::Truncated,
        Fault::BrokenOff,
        Fault::TooMany("3600".to_owned()),
    ] {
        bad.fault(fault.clone());
        let report = scene.whole(&providers).await;
        let expected =
            ["bad:acme/m0 failed", "bad:acme/m1 failed", "good:acme/m0 ok", "good:acme/m1 ok"];
        assert_eq!(said(&report), expected, "{fault:?}");
        assert_eq!(counts(&report), (4, 2, 0));
        let error = report.providers[0].error.as_deref().unwrap();
        assert_eq!(report.failure(&key("bad:acme/m0")).as_deref(), Some(error));
        assert_eq!(scene.status("bad:acme/m0"), Some(Status::Active));
    }
}

#[tokio::test]
async fn a_list_that_lost_most_of_it_is_refused_unless_it_may() {
    let scene = Scene::new();
    let fake = FakeProvider::start(Speaks::OpenRouter, models(12)).await;
    let providers = [provider("or", &fake, Speaks::OpenRouter)];
    scene.whole(&providers).await;
    fake.set_models(models(3));
    let report = scene.whole(&providers).await;
    assert_eq!((counts(&report), report.withdrawn.len()), ((12, 0, 0), 0));
    let error = report.providers[0].error.as_deref().unwrap();
    assert!(error.contains("3 of the 12") && error.contains("--allow-shrink"), "{error}");
    assert_eq!(scene.status("or:acme/m11"), Some(Status::Active));

    let request = Request { allow_shrink: true, ..scene.request() };
    let report = scene.refresh(&providers, &request).await;
    assert_eq!((counts(&report), report.withdrawn.len()), ((12, 3, 9), 9));
    fake.set_models([]);
    assert_eq!(counts(&scene.whole(&providers).await), (3, 0, 0));
    let request = Request { allow_shrink: true, ..scene.request() };
    assert_eq!(counts(&scene.refresh(&providers, &request).await), (3, 0, 3));
}

#[tokio::test]
async fn one_unread_model_keeps_what_was_known() {
    let scene = Scene::new();
    let fake = FakeProvider::start(Speaks::Ollama, models(3)).await;
    let providers = [provider("o", &fake, Speaks::Ollama)];
    scene.whole(&providers).await;
    fake.fault_model("acme/m1", Fault::Status(500));
    let report = scene.whole(&providers).await;
    assert_eq!(said(&report), ["o:acme/m0 ok", "o:acme/m1 failed", "o:acme/m2 ok"]);
    assert_eq!(counts(&report), (3, 2, 0));
    assert!(report.failure(&key("o:acme/m1")).unwrap().contains("500"));
    assert_eq!(scene.facts("o:acme/m1").context_window_trained, Some(8192));
    assert_eq!(scene.status("o:acme/m1"), Some(Status::Active));
}

#[tokio::test]
async fn only_the_models_that_are_named_are_touched() {
    let scene = Scene::new();
    let fake =
        FakeProvider::builder(Speaks::OpenRouter).models(models(2)).etag("\"a\"").start().await;
    let other = FakeProvider::start(Speaks::Generic, models(1)).await;
    let providers =
        [provider("or", &fake, Speaks::OpenRouter), provider("other", &other, Speaks::Generic)];
    scene.whole(&providers).await;
    let revision = |scene: &Scene| scene.store.sources().unwrap()[0].revision.clone();
    let before = revision(&scene);
    assert!(before.is_some());
    fake.set_etag(Some("\"b\""));
    fake.set_models([
        FakeModel::new("acme/m0").context(1000),
        FakeModel::new("acme/m1").context(1000),
        FakeModel::new("acme/m2").context(1000),
    ]);
    let ids = ["or:acme/m0", "or:acme/m2", "or:acme/none", "nobody:x"].map(key).to_vec();
    let asked = other.request_count();
    let report = scene.refresh(&providers, &Request { ids, ..scene.request() }).await;
    assert_eq!(
        said(&report),
        ["nobody:x failed", "or:acme/m0 changed", "or:acme/m2 added", "or:acme/none missing"]
    );
    assert_eq!(counts(&report), (4, 2, 2));
    assert!(report.failure(&key("nobody:x")).unwrap().contains("\"nobody\""));
    assert_eq!(other.request_count(), asked);
    assert_eq!(scene.facts("or:acme/m1").context_window, Some(8192));
    assert_eq!(revision(&scene), before);

    fake.fault(Fault::Status(503));
    let ids = vec![key("or:acme/m1"), key("or:acme/new")];
    let report = scene.refresh(&providers, &Request { ids, ..scene.request() }).await;
    assert_eq!(said(&report), ["or:acme/m1 failed", "or:acme/new failed"]);
}

#[tokio::test]
async fn a_model_that_is_asked_for_and_gone_from_the_list_is_withdrawn_alone() {
    let scene = Scene::new();
    let fake = FakeProvider::start(Speaks::OpenRouter, models(4)).await;
    let providers = [provider("or", &fake, Speaks::OpenRouter)];
    scene.whole(&providers).await;
    fake.set_models(models(2));
    let request = || Request { ids: vec![key("or:acme/m1"), key("or:acme/m2")], ..scene.request() };
    let report = scene.refresh(&providers, &request()).await;
    assert_eq!(said(&report), ["or:acme/m1 ok", "or:acme/m2 missing"]);
    assert_eq!((counts(&report), &report.withdrawn[..]), ((2, 1, 1), &[key("or:acme/m2")][..]));
    let status = ["or:acme/m1", "or:acme/m2", "or:acme/m3"].map(|key| scene.status(key));
    assert_eq!(status, [Status::Active, Status::Withdrawn, Status::Active].map(Some));
    assert_eq!(counts(&scene.refresh(&providers, &request()).await), (2, 1, 0));

    // Who fails, and who is asked about each, says nothing of what is gone.
    let hub = FakeProvider::start(Speaks::Replicate, models(1)).await;
    let mut each = provider("hub", &hub, Speaks::Replicate);
    each.models = Some(vec!["acme/m0".to_owned()]);
    let providers = [each];
    scene.whole(&providers).await;
    hub.set_models([]);
    let request = Request { ids: vec![key("hub:acme/m0")], ..scene.request() };
    scene.refresh(&providers, &request).await;
    assert_eq!(scene.status("hub:acme/m0"), Some(Status::Active));
}

#[tokio::test]
async fn what_is_known_is_not_fetched_again_unless_somebody_touched_it() {
    let scene = Scene::new();
    let fake =
        FakeProvider::builder(Speaks::OpenRouter).models(models(3)).etag("\"a\"").start().await;
    let providers = [provider("or", &fake, Speaks::OpenRouter)];
    scene.whole(&providers).await;
    let cursor = scene.store.cursor().unwrap();
    let report = scene.whole(&providers).await;
    assert_eq!(said(&report), ["or:acme/m0 ok", "or:acme/m1 ok", "or:acme/m2 ok"]);
    assert!(report.providers[0].not_modified);
    assert_eq!((report.providers[0].listed, report.changed), (3, 0));
    assert_eq!(fake.requests()[1].header("if-none-match"), Some("\"a\""));
    assert_eq!(scene.store.cursor().unwrap(), cursor);
    let source = scene.store.sources().unwrap().pop().unwrap();
    assert_eq!(source.synced_at.unwrap().to_string(), "2026-05-01T10:02:00Z");

    // A part is never asked for conditionally.
    let ids = vec![key("or:acme/m0")];
    scene.refresh(&providers, &Request { ids, ..scene.request() }).await;
    assert_eq!(fake.requests()[2].header("if-none-match"), None);

    // One that somebody removed comes back, which "as it was" would prevent.
    let removed = vec![EntryId::new(Kind::model(), "or:acme/m1")];
    let snapshot = Snapshot {
        source: SourceName::parse("provider/or").unwrap(),
        revision: source.revision.clone(),
        observed_at: None,
        extent: Extent::Part { removed, withdrawn: Vec::new() },
        entries: Vec::new(),
        problems: Vec::new(),
    };
    let intent = Intent { at: scene.now(), ..Intent::now("test") };
    scene.store.publish(&snapshot, PlanPolicy::default(), &intent, &Cards).unwrap();
    assert_eq!(scene.status("or:acme/m1"), Some(Status::Removed));
    let report = scene.whole(&providers).await;
    assert_eq!(fake.requests()[3].header("if-none-match"), None);
    assert_eq!(said(&report), ["or:acme/m0 ok", "or:acme/m1 added", "or:acme/m2 ok"]);
}

#[tokio::test]
async fn all_are_asked_side_by_side() {
    let scene = Scene::new();
    let (first, second) = (
        FakeProvider::start(Speaks::Generic, models(1)).await,
        FakeProvider::start(Speaks::Generic, models(1)).await,
    );
    let gate = Gate::new();
    first.fault(Fault::Held(gate.clone()));
    let providers =
        [provider("a", &first, Speaks::Generic), provider("b", &second, Speaks::Generic)];
    let seen = Mutex::new(Vec::new());
    let note = |progress: Progress| {
        // The second is done while the first still waits, or nobody opens the gate.
        if progress == (Progress::Stored { provider: "b".to_owned() }) {
            gate.open();
        }
        seen.lock().unwrap().push(progress);
    };
    let (http, request) = (http(), scene.request());
    let refreshed = refresh(&scene.store, &http, &providers, &request, Arc::new(Cards), &note);
    assert_eq!(counts(&within("a report", refreshed).await), (2, 2, 2));
    assert_eq!(seen.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn lists_are_to_be_had_without_a_store() {
    let good = FakeProvider::start(Speaks::OpenRouter, models(2)).await;
    let bad = FakeProvider::start(Speaks::Generic, []).await;
    let providers =
        [provider("good", &good, Speaks::OpenRouter), provider("bad", &bad, Speaks::Generic)];
    let lists = within("lists", fetch(&http(), &providers)).await;
    assert_eq!(lists["good"].as_ref().unwrap().models.len(), 2);
    assert!(lists["bad"].is_err());
}
