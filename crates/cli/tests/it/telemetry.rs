//! `/metrics` after traffic that is known: every number is right, and no client makes a series.

#![allow(clippy::float_cmp, reason = "counts are whole numbers")]

use crate::{
    observe::{ask, chat, config_of, metric, until},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, RawStep, TestServer, client};
use std::{collections::BTreeMap, time::Duration};

/// All series whose value is not 0, histograms by their count and sum alone.
async fn series(server: &TestServer) -> BTreeMap<String, f64> {
    let text = server.get("/metrics").await.text();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().expect("a number"))
    });
    series.filter(|(_, value)| *value != 0.0).collect()
}

/// Waits until this many requests are counted: a request is counted just after its last byte.
async fn until_counted(server: &TestServer, requests: f64) -> BTreeMap<String, f64> {
    until(&format!("{requests} requests in the metrics"), async || {
        let series = series(server).await;
        let total: f64 = series
            .iter()
            .filter(|(name, _)| name.starts_with("callsheet_requests_total"))
            .map(|(_, value)| value)
            .sum();
        (total >= requests).then_some(series)
    })
    .await
}

#[tokio::test]
async fn every_number_is_right_after_known_traffic() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!(
        "[routing]\nstrategy = \"priority\"\n{}priority = 1\n{}priority = 2\n",
        a.config("a"),
        b.config("b")
    );
    let server = server(&config).start().await;
    for _ in 0..3 {
        assert_eq!(chat(&server, "test-model").await.status, 200);
    }
    a.script_next(1, Behaviour::status(503));
    assert_eq!(chat(&server, "test-model").await.status, 200);
    a.script_next(1, Behaviour::status(400));
    assert_eq!(chat(&server, "test-model").await.status, 400);
    a.script_next(1, Behaviour::Raw(vec![RawStep::text("no HTTP\r\n\r\n"), RawStep::Close]));
    b.script_next(1, Behaviour::status(500));
    assert_eq!(chat(&server, "test-model").await.status, 502);
    assert_eq!(chat(&server, "no-such-model").await.status, 404);
    let mut seen = until_counted(&server, 7.0).await;

    let mut take = |name: &str, labels: &str| {
        let key = format!("{name}{{{labels}}}");
        seen.remove(&key).unwrap_or_else(|| panic!("no {key} in {seen:#?}"))
    };
    let of = |backend: &str, rest: &str| {
        format!("backend=\"{backend}\",model=\"test-model\",outcome=\"{rest}\"")
    };
    let requests = "callsheet_requests_total";
    assert_eq!(take(requests, &of("a", "ok")), 3.0);
    assert_eq!(take(requests, &of("b", "ok")), 1.0);
    assert_eq!(take(requests, &of("a", "client_error")), 1.0);
    assert_eq!(take(requests, "backend=\"\",model=\"\",outcome=\"refused\""), 2.0);
    let class = |backend: &str, class: &str| {
        let model = if backend.is_empty() { "" } else { "test-model" };
        format!("backend=\"{backend}\",class=\"{class}\",model=\"{model}\"")
    };
    let errors = "callsheet_errors_total";
    assert_eq!(take(errors, &class("a", "status_5xx")), 1.0);
    assert_eq!(take(errors, &class("a", "garbage")), 1.0);
    assert_eq!(take(errors, &class("b", "status_5xx")), 1.0);
    assert_eq!(take(errors, &class("", "model_not_found")), 1.0);
    assert_eq!(take(errors, &class("", "backend_failed")), 1.0);
    let retries = "callsheet_retries_total";
    assert_eq!(take(retries, &class("a", "status_5xx")), 1.0);
    assert_eq!(take(retries, &class("a", "garbage")), 1.0);
    let pair = |backend: &str| format!("backend=\"{backend}\",model=\"test-model\"");
    for (name, a, b) in [
        ("callsheet_time_to_first_byte_seconds", 4.0, 1.0),
        ("callsheet_request_duration_seconds", 4.0, 1.0),
    ] {
        assert_eq!(take(&format!("{name}_count"), &pair("a")), a, "{name}");
        assert_eq!(take(&format!("{name}_count"), &pair("b")), b, "{name}");
        let sum = take(&format!("{name}_sum"), &pair("a"));
        assert!((0.0..5.0).contains(&sum), "{name}: {sum}");
        take(&format!("{name}_sum"), &pair("b"));
    }
    let all = "backend=\"\",model=\"\"";
    assert_eq!(take("callsheet_request_duration_seconds_count", all), 2.0);
    take("callsheet_request_duration_seconds_sum", all);
    for backend in ["a", "b"] {
        let label = format!("backend=\"{backend}\"");
        assert_eq!(take("callsheet_backend_up", &label), 1.0);
        assert_eq!(take("callsheet_backend_models", &label), 1.0);
    }
    seen.remove("process_resident_memory_bytes");
    assert_eq!(seen, BTreeMap::new(), "and nothing else");
}

#[tokio::test]
async fn what_is_under_way_is_shown_while_it_is() {
    let fake = FakeBackend::start().await;
    let server = server(&format!("{}max_concurrent = 1\n", fake.config("a"))).start().await;
    let gate = Gate::new();
    fake.script(Behaviour::Answer.held_by(&gate));
    let address = server.address();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let body = ask("test-model").to_string();
            tokio::spawn(async move {
                client::request(address, "POST", "/v1/chat/completions", &[], body.as_bytes()).await
            })
        })
        .collect();
    until("two that wait", async || {
        metric(&server, "callsheet_queue_length").await.filter(|n| *n == 2.0)
    })
    .await;
    assert_eq!(metric(&server, "callsheet_in_flight{backend=\"a\"}").await, Some(1.0));
    let held = metric(&server, "callsheet_held_body_bytes").await.unwrap();
    assert!(held >= 3.0 * ask("test-model").to_string().len() as f64, "{held}");
    gate.open();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status, 200);
    }
    until("nothing under way", async || {
        let names = [
            "callsheet_in_flight{backend=\"a\"}",
            "callsheet_queue_length",
            "callsheet_held_body_bytes",
        ];
        let mut left = 0.0;
        for name in names {
            left += metric(&server, name).await.expect(name);
        }
        (left == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn time_to_first_byte_and_in_all_are_measured() {
    let fake = FakeBackend::start().await;
    fake.script(Behaviour::Answer.after(Duration::from_millis(30)));
    let server = server(&fake.config("a")).start().await;
    assert_eq!(chat(&server, "test-model").await.status, 200);
    let seen = until_counted(&server, 1.0).await;
    for name in ["callsheet_time_to_first_byte_seconds", "callsheet_request_duration_seconds"] {
        let sum = seen[&format!("{name}_sum{{backend=\"a\",model=\"test-model\"}}")];
        assert!((0.03..2.0).contains(&sum), "{name}: {sum}");
    }
}

#[tokio::test]
async fn names_that_only_a_client_knows_make_no_series() {
    let fake = FakeBackend::start().await;
    let server =
        server(&format!("[routing.aliases]\nfast = \"test-model\"\n{}", config_of(&[&fake])))
            .start()
            .await;
    let bad = ask("nobody-0");
    server.post_json("/v1/chat/completions", &bad).await;
    let count = async || server.get("/metrics").await.text().lines().count();
    until_counted(&server, 1.0).await;
    let before = count().await;
    for i in 1..40 {
        assert_eq!(chat(&server, &format!("nobody-{i}")).await.status, 404);
        assert_eq!(chat(&server, &format!("a:nobody-{i}")).await.status, 404);
        assert_eq!(server.get(&format!("/v1/models/nobody-{i}")).await.status, 404);
    }
    let seen = until_counted(&server, 118.0).await;
    assert_eq!(count().await, before);
    assert!(!seen.keys().any(|name| name.contains("nobody")), "{seen:#?}");
    assert_eq!(chat(&server, "fast").await.status, 200);
    let seen = until_counted(&server, 119.0).await;
    let ok = "callsheet_requests_total{backend=\"a\",model=\"test-model\",outcome=\"ok\"}";
    assert_eq!(seen.get(ok), Some(&1.0), "an alias counts as what it means");
}

#[tokio::test]
async fn a_backend_that_is_ejected_shows_it() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!(
        "[routing]\nstrategy = \"priority\"\neject_after = 2\n{}priority = 1\n{}priority = 2\n",
        a.config("a"),
        b.config("b")
    );
    let server = server(&config).start().await;
    a.script(Behaviour::status(500));
    for _ in 0..4 {
        assert_eq!(chat(&server, "test-model").await.status, 200);
    }
    assert_eq!(a.request_count(), 2);
    assert_eq!(metric(&server, "callsheet_backend_ejected{backend=\"a\"}").await, Some(1.0));
    assert_eq!(metric(&server, "callsheet_backend_ejected{backend=\"b\"}").await, Some(0.0));
    assert_eq!(metric(&server, "callsheet_ejections_total{backend=\"a\"}").await, Some(1.0));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    chat(&server, "test-model").await;
    let reply = server.get("/metrics").await;
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4"));
    let text = reply.text();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = name.split(['{', ' ']).next().unwrap();
        let family =
            ["_bucket", "_sum", "_count"].iter().fold(family, |f, end| f.trim_end_matches(end));
        assert!(text.contains(&format!("# HELP {family} ")), "{family} says what it is");
        assert!(text.contains(&format!("# TYPE {family} ")), "{family}");
    }
}
