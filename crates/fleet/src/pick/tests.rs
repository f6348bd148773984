use super::*;
use crate::directory::Known;
use crate::explain::{Outcome, Reason, Verdict};
use crate::fixture::{backend, cards, fleet, limited, pick, registry, route};
use crate::needs::SaidBy;
use crate::policy::{Policy, Strategy, UnknownCapabilities};
use crate::registry::{Backend, BackendStatus, Model, Registry};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// How many of `times` requests each backend gets, each of them over before the next begins.
fn shares(registry: &Registry, times: u32) -> BTreeMap<String, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..times {
        *shares.entry(pick(registry).backend().id.clone()).or_default() += 1;
    }
    shares
}

#[track_caller]
fn check_share(shares: &BTreeMap<String, u32>, id: &str, expected: u32) {
    let got = shares.get(id).copied().unwrap_or(0);
    // Eight standard deviations of the most uncertain draw.
    let slack = 8 * u32::isqrt(shares.values().sum::<u32>()) / 2;
    assert!(got.abs_diff(expected) <= slack, "{id}: {got}, expected {expected}: {shares:?}");
}

fn down(registry: &Registry, id: &str, status: BackendStatus) {
    registry.update_status(id, status, None).unwrap();
}

#[test]
fn choosing_counts_and_dropping_uncounts() {
    let registry = fleet(Strategy::Adaptive, 1);
    let first = pick(&registry);
    let second = pick(&registry);
    assert_eq!(first.backend().pending_requests(), 2);
    drop(first);
    assert_eq!(second.backend().pending_requests(), 1);
    let backend = Arc::clone(second.backend());
    std::thread::spawn(move || drop(second)).join().unwrap();
    assert_eq!((backend.pending_requests(), backend.total_requests()), (0, 2));
}

#[test]
fn refusals() {
    let registry = fleet(Strategy::Adaptive, 2);
    let now = Instant::now();
    let refusal = |model: &str, needs: &Needs<'_>| match registry.pick(model, needs, now) {
        Route::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let none = Needs::default();
    assert_eq!(refusal("x", &none), Refusal::UnknownModel);
    assert_eq!(refusal("m", &Needs { only: Some("b7"), ..none }), Refusal::UnknownModel);
    registry
        .update_models("b0", vec![Model { supports_tools: Some(false), ..Model::new("m") }])
        .unwrap();
    let tools = Needs { tools: true, ..none };
    assert_eq!(refusal("m", &Needs { only: Some("b0"), ..tools }), Refusal::NeedsUnmet);
    // b1 may be able to, but is down: worth coming back for.
    down(&registry, "b1", BackendStatus::Unhealthy);
    let none_available = Refusal::NoneAvailable { retry_after: None };
    assert_eq!(refusal("m", &tools), none_available);
    for status in [BackendStatus::Draining, BackendStatus::Unknown, BackendStatus::Unhealthy] {
        down(&registry, "b0", status);
        assert_eq!(refusal("m", &none), none_available);
    }
}

#[test]
fn needs_are_met_or_unknown_where_unknown_is_allowed() {
    let can = Model {
        context_length: Some(100),
        supports_tools: Some(true),
        supports_vision: Some(true),
        supports_json_mode: Some(true),
        ..Model::new("m")
    };
    let cannot = Model {
        context_length: Some(10),
        supports_tools: Some(false),
        supports_vision: Some(false),
        supports_json_mode: Some(false),
        ..Model::new("m")
    };
    let silent = Model::new("m");
    let none = Needs::default();
    for (needs, lacks, unknown) in [
        (
            Needs { tools: true, ..none },
            Reason::LacksTools { by: SaidBy::Backend },
            Reason::UnknownTools,
        ),
        (
            Needs { vision: true, ..none },
            Reason::LacksVision { by: SaidBy::Backend },
            Reason::UnknownVision,
        ),
        (
            Needs { json_mode: true, ..none },
            Reason::LacksJsonMode { by: SaidBy::Backend },
            Reason::UnknownJsonMode,
        ),
        (
            Needs { min_context: Some(100), ..none },
            Reason::ContextTooShort { has: 10, by: SaidBy::Backend },
            Reason::UnknownContext,
        ),
    ] {
        for unknown_capabilities in [UnknownCapabilities::Allow, UnknownCapabilities::Refuse] {
            let policy = Policy { unknown_capabilities, ..Policy::default() };
            let strict = unknown_capabilities == UnknownCapabilities::Refuse;
            for (model, lost) in
                [(&can, None), (&cannot, Some(&lacks)), (&silent, strict.then_some(&unknown))]
            {
                let registry = registry(policy.clone(), [backend("a", &[])]);
                registry.update_models("a", vec![model.clone()]).unwrap();
                let now = Instant::now();
                let explained = registry.explain("m", &needs, now);
                let verdict = lost.cloned().map_or(Verdict::Chosen, Verdict::Lost);
                assert_eq!(explained.candidates[0].verdict, verdict);
                match registry.pick("m", &needs, now) {
                    Route::To(_) => assert_eq!(lost, None),
                    Route::Refuse(refusal) => {
                        assert_eq!((refusal, lost.is_some()), (Refusal::NeedsUnmet, true));
                    }
                    Route::Wait(wait) => panic!("{wait:?}"),
                }
                // What is not needed does not matter.
                let Route::To(_) = route(&registry) else { panic!("refused without needs") };
            }
        }
    }
}

#[test]
fn what_a_backend_leaves_open_is_known_by_its_card() {
    let card = Known {
        context_length: Some(100),
        longest_context: Some(1000),
        supports_tools: Some(false),
        supports_vision: Some(true),
        ..Known::default()
    };
    let bound = Known { longest_context: Some(1000), ..Known::default() };
    let own = Model {
        context_length: Some(2000),
        supports_tools: Some(true),
        supports_vision: Some(false),
        ..Model::new("m")
    };
    let silent = Model::new("m");
    let none = Needs::default();
    let context = |tokens| Needs { min_context: Some(tokens), ..none };
    let tools = Needs { tools: true, ..none };
    let vision = Needs { vision: true, ..none };
    let json = Needs { json_mode: true, ..none };
    let (by_card, by_backend) = (SaidBy::Card, SaidBy::Backend);
    // Each with its reason under a policy that takes silence for a yes, and for a no.
    for (own, card, needs, allowing, refusing) in [
        (&silent, &card, &tools, Some(Reason::LacksTools { by: by_card }), None),
        (&silent, &card, &vision, None, None),
        (&silent, &card, &json, None, Some(Reason::UnknownJsonMode)),
        (&silent, &card, &context(100), None, None),
        (
            &silent,
            &card,
            &context(101),
            Some(Reason::ContextTooShort { has: 100, by: by_card }),
            None,
        ),
        // A bound refuses what exceeds it, and proves nothing.
        (&silent, &bound, &context(1001), Some(Reason::ContextAtMost { has: 1000 }), None),
        (&silent, &bound, &context(1000), None, Some(Reason::UnknownContext)),
        // The backend's own word goes first.
        (&own, &card, &tools, None, None),
        (&own, &card, &vision, Some(Reason::LacksVision { by: by_backend }), None),
        (&own, &card, &context(2000), None, None),
        (
            &own,
            &bound,
            &context(2001),
            Some(Reason::ContextTooShort { has: 2000, by: by_backend }),
            None,
        ),
    ] {
        let refusing = refusing.or_else(|| allowing.clone());
        for (unknown_capabilities, lost) in
            [(UnknownCapabilities::Allow, allowing), (UnknownCapabilities::Refuse, refusing)]
        {
            let policy = Policy { unknown_capabilities, ..Policy::default() };
            let registry = registry(policy, [backend("a", &[])]);
            registry.update_models("a", vec![own.clone()]).unwrap();
            let card = card.clone();
            registry.set_directory(cards(move |_, _| card.clone()));
            registry.check_index();
            let now = Instant::now();
            let verdict = registry.explain("m", needs, now).candidates.remove(0).verdict;
            assert_eq!(verdict, lost.clone().map_or(Verdict::Chosen, Verdict::Lost));
            let is_served = matches!(registry.pick("m", needs, now), Route::To(_));
            assert_eq!(is_served, lost.is_none(), "{lost:?}");
        }
    }
}

#[test]
fn an_explanation_says_whose_word_a_fact_is() {
    let (card, own) = (SaidBy::Card, SaidBy::Backend);
    for (reason, text, json) in [
        (Reason::LacksTools { by: own }, "cannot call tools", r#"{"code":"lacks_tools"}"#),
        (
            Reason::LacksTools { by: card },
            "cannot call tools, by its card",
            r#"{"code":"lacks_tools","by":"card"}"#,
        ),
        (
            Reason::ContextTooShort { has: 9, by: card },
            "has a context of 9 tokens only, by its card",
            r#"{"code":"context_too_short","has":9,"by":"card"}"#,
        ),
        (
            Reason::ContextAtMost { has: 9 },
            "has a context of at most 9 tokens, by its card",
            r#"{"code":"context_at_most","has":9}"#,
        ),
    ] {
        assert_eq!(reason.to_string(), text);
        assert_eq!(serde_json::to_string(&reason).unwrap(), json);
        assert_eq!(serde_json::from_str::<Reason>(json).unwrap(), reason);
    }
}

#[test]
fn a_limit_is_kept_and_then_requests_wait() {
    for strategy in Strategy::ALL {
        let registry = limited(strategy, 3, Some(2));
        let held: Vec<_> = (0..6).map(|_| pick(&registry)).collect();
        assert!(registry.get_all_backends().iter().all(|b| b.pending_requests() == 2));
        let Route::Wait(_) = route(&registry) else { panic!("{strategy}: a seventh") };
        drop(held);
        drop(pick(&registry));
    }
}

#[test]
fn a_limit_is_kept_by_requests_that_come_at_once() {
    for strategy in Strategy::ALL {
        let registry = limited(strategy, 2, Some(3));
        let most = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        if let Route::To(in_flight) = route(&registry) {
                            let now = in_flight.backend().pending_requests();
                            most.fetch_max(now, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= 3);
        assert_eq!(crate::fixture::pending(&registry), 0);
    }
}

#[test]
fn the_one_that_was_named_gets_it_or_nobody() {
    for strategy in Strategy::ALL {
        let registry = limited(strategy, 3, Some(1));
        let needs = Needs { only: Some("b1"), ..Needs::default() };
        let now = Instant::now();
        let Route::To(held) = registry.pick("m", &needs, now) else { panic!("{strategy}") };
        assert_eq!(held.backend().id, "b1");
        let Route::Wait(_) = registry.pick("m", &needs, now) else { panic!("{strategy}") };
    }
}

#[test]
fn never_the_same_one_twice() {
    for strategy in Strategy::ALL {
        let registry = limited(strategy, 3, Some(1));
        let mut tried = Vec::new();
        for _ in 0..3 {
            let needs = Needs { tried: &tried, ..Needs::default() };
            let Route::To(next) = registry.pick("m", &needs, Instant::now()) else {
                panic!("{strategy}: nobody after {tried:?}");
            };
            let next = Arc::clone(next.backend());
            assert!(!tried.iter().any(|b| Arc::ptr_eq(b, &next)), "{strategy}");
            tried.push(next);
        }
        let needs = Needs { tried: &tried, ..Needs::default() };
        let Route::Refuse(refusal) = registry.pick("m", &needs, Instant::now()) else { panic!() };
        assert_eq!(refusal, Refusal::NoneAvailable { retry_after: None }, "{strategy}");
        // One that is busy is waited for, though those that were tried are free.
        let rest = pick(&registry);
        let tried: Vec<_> = tried.into_iter().filter(|b| !Arc::ptr_eq(b, rest.backend())).collect();
        let needs = Needs { tried: &tried, ..Needs::default() };
        let Route::Wait(wait) = registry.pick("m", &needs, Instant::now()) else { panic!() };
        let mut ticket = wait.join().unwrap();
        // A place at one that was tried is not handed over, the place at the other one is.
        drop([pick(&registry), pick(&registry)]);
        assert_eq!(registry.queue_len(), 1, "{strategy}");
        let expected = Arc::clone(rest.backend());
        drop(rest);
        let granted = pin!(ticket.granted()).poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(granted) = granted else { panic!("{strategy}") };
        assert!(Arc::ptr_eq(granted.backend(), &expected), "{strategy}");
    }
}

#[test]
fn one_that_was_tried_is_no_match_for_a_free_one_of_a_lower_tier() {
    let backends = [backend("a", &["m"]), backend("b", &["m"]).with_priority(9)];
    let policy = Policy { strategy: Strategy::Priority, ..Policy::default() };
    let registry = registry(policy, backends);
    let first = Arc::clone(pick(&registry).backend());
    assert_eq!(first.id, "a");
    let needs = Needs { tried: &[first], ..Needs::default() };
    let Route::To(second) = registry.pick("m", &needs, Instant::now()) else { panic!() };
    assert_eq!(second.backend().id, "b");
}

#[test]
fn the_own_zone_goes_first_under_every_strategy() {
    for strategy in Strategy::ALL {
        let zone = |id: &str, zone: &str| {
            backend(id, &["m"]).with_zone(Some(zone.into())).with_max_concurrent(NonZeroU32::new(1))
        };
        let here = [zone("z1", "eu"), zone("z2", "eu")];
        let there = [zone("a", "us"), backend("b", &["m"])];
        let policy = Policy { strategy, zone: Some("eu".into()), ..Policy::default() };
        let registry = registry(policy, here.into_iter().chain(there));
        let held = [pick(&registry), pick(&registry)];
        assert!(held.iter().all(|held| held.backend().id.starts_with('z')), "{strategy}");
        assert!(!pick(&registry).backend().id.starts_with('z'), "{strategy}");
        registry.set_policy(Policy { strategy, ..Policy::default() });
        drop(held);
        let everywhere = [(); 4].map(|()| pick(&registry));
        assert!(everywhere.iter().any(|held| held.backend().id == "b"), "{strategy}");
    }
}

#[test]
fn round_robin_takes_turns_and_passes_over_who_cannot() {
    let registry = fleet(Strategy::RoundRobin, 4);
    let turns =
        |times| (0..times).map(|_| pick(&registry).backend().id.clone()).collect::<Vec<_>>();
    assert_eq!(turns(8), ["b0", "b1", "b2", "b3", "b0", "b1", "b2", "b3"]);
    down(&registry, "b1", BackendStatus::Draining);
    assert_eq!(turns(4), ["b0", "b2", "b2", "b3"]);
    // The round goes on where it was when the list changes.
    assert_eq!(turns(1), ["b0"]);
    registry.add_backend(backend("c", &["m"])).unwrap();
    down(&registry, "c", BackendStatus::Healthy);
    assert_eq!(turns(2), ["b3", "c"]);
}

#[test]
fn a_tier_that_has_nobody_does_not_upset_the_round_of_the_next() {
    let far = |id: &str| backend(id, &["m"]);
    let near = far("near").with_zone(Some("here".into()));
    let zone = Some("here".to_owned());
    let policy = Policy { strategy: Strategy::RoundRobin, zone, ..Policy::default() };
    let registry = registry(policy, [near, far("a"), far("b")]);
    down(&registry, "near", BackendStatus::Unhealthy);
    assert_eq!(shares(&registry, 10), BTreeMap::from([("a".into(), 5), ("b".into(), 5)]));
}

#[test]
fn adaptive_without_samples_spreads_evenly() {
    let shares = shares(&fleet(Strategy::Adaptive, 4), 8000);
    (0..4).for_each(|n| check_share(&shares, &format!("b{n}"), 2000));
}

#[test]
fn adaptive_compares_latency_times_load() {
    let registry = fleet(Strategy::Adaptive, 2);
    registry.update_latency("b0", 100).unwrap();
    registry.update_latency("b1", 350).unwrap();
    // Costs of the next request are 100, 200, 300 (400) against 350.
    let held: Vec<_> = (0..5).map(|_| pick(&registry)).collect();
    let ids: Vec<_> = held.iter().map(|held| held.backend().id.as_str()).collect();
    assert_eq!(ids, ["b0", "b0", "b0", "b1", "b0"]);
}

#[test]
fn adaptive_compares_load_alone_where_a_latency_is_unknown() {
    let registry = fleet(Strategy::Adaptive, 2);
    registry.update_latency("b0", 100_000).unwrap();
    let held: Vec<_> = (0..100).map(|_| pick(&registry)).collect();
    assert_eq!(registry.get_backend("b0").unwrap().pending_requests(), 50);
    drop(held);
}

#[test]
fn adaptive_counts_load_even_where_latency_is_nothing() {
    let registry = fleet(Strategy::Adaptive, 2);
    registry.update_latency("b0", 0).unwrap();
    registry.update_latency("b1", 0).unwrap();
    let held: Vec<_> = (0..100).map(|_| pick(&registry)).collect();
    assert_eq!(registry.get_backend("b0").unwrap().pending_requests(), 50);
    drop(held);
}

#[test]
fn an_old_latency_fades() {
    let registry = fleet(Strategy::Adaptive, 2);
    registry.update_latency("b0", 10).unwrap();
    registry.update_latency("b1", 1000).unwrap();
    let busy: Vec<_> = (0..9).map(|_| pick(&registry)).collect();
    assert!(busy.iter().all(|held| held.backend().id == "b0"));
    let at =
        |later| registry.pick("m", &Needs::default(), Instant::now() + Duration::from_secs(later));
    // 10 × 10 against 10 + 990 / (1 + age / 10 s): equal at an age of 100 s.
    let Route::To(soon) = at(80) else { panic!() };
    assert_eq!(soon.backend().id, "b0");
    drop(soon);
    let Route::To(late) = at(120) else { panic!() };
    assert_eq!(late.backend().id, "b1");
}

#[test]
fn adaptive_never_takes_the_worst_of_three() {
    let registry = fleet(Strategy::Adaptive, 3);
    for (id, latency) in [("b0", 10), ("b1", 20), ("b2", 30)] {
        registry.update_latency(id, latency).unwrap();
    }
    let shares = shares(&registry, 6000);
    check_share(&shares, "b0", 4000);
    check_share(&shares, "b1", 2000);
    assert_eq!(shares.get("b2"), None);
}

#[test]
fn the_few_that_are_left_of_many_are_found() {
    for strategy in Strategy::ALL {
        let registry = fleet(strategy, 200);
        for backend in registry.get_all_backends().iter() {
            if !["b17", "b18", "b150"].contains(&backend.id.as_str()) {
                down(&registry, &backend.id, BackendStatus::Unhealthy);
            }
        }
        let held: Vec<_> = (0..300).map(|_| pick(&registry)).collect();
        let load = |id| registry.get_backend(id).unwrap().pending_requests();
        for id in ["b17", "b18", "b150"] {
            assert!(load(id) > 0, "{strategy}: {id} gets nothing");
        }
        drop(held);
    }
}

#[test]
fn least_pending_fills_evenly() {
    let registry = fleet(Strategy::LeastPending, 5);
    let held: Vec<_> = (0..50).map(|_| pick(&registry)).collect();
    assert!(registry.get_all_backends().iter().all(|b| b.pending_requests() == 10));
    drop(held);
    let shares = shares(&registry, 5000);
    (0..5).for_each(|n| check_share(&shares, &format!("b{n}"), 1000));
}

#[test]
fn priority_fills_the_lowest_number_first() {
    let ranked = |id: &str, priority| {
        backend(id, &["m"]).with_priority(priority).with_max_concurrent(NonZeroU32::new(2))
    };
    let backends = [ranked("a", 5), ranked("b", -1), ranked("c", 0), ranked("d", -1)];
    let policy = Policy { strategy: Strategy::Priority, ..Policy::default() };
    let registry = registry(policy, backends);
    let held: Vec<_> = (0..8).map(|_| pick(&registry)).collect();
    let mut ids: Vec<_> = held.iter().map(|held| held.backend().id.as_str()).collect();
    ids[..4].sort_unstable();
    assert_eq!(ids, ["b", "b", "d", "d", "c", "c", "a", "a"]);
}

#[test]
fn weighted_shares_by_weight() {
    let weights = [("a", 0), ("b", 1), ("c", 3), ("d", 0), ("e", 6)];
    let backends = weights.map(|(id, weight)| backend(id, &["m"]).with_weight(weight));
    let policy = Policy { strategy: Strategy::Weighted, ..Policy::default() };
    let registry = registry(policy, backends);
    let all = shares(&registry, 10_000);
    for (id, expected) in [("b", 1000), ("c", 3000), ("e", 6000)] {
        check_share(&all, id, expected);
    }
    assert_eq!((all.get("a"), all.get("d")), (None, None));
    down(&registry, "e", BackendStatus::Unhealthy);
    let fewer = shares(&registry, 10_000);
    check_share(&fewer, "b", 2500);
    check_share(&fewer, "c", 7500);
    // Those without weight serve when nobody else can.
    down(&registry, "b", BackendStatus::Unhealthy);
    down(&registry, "c", BackendStatus::Unhealthy);
    let rest = shares(&registry, 1000);
    check_share(&rest, "a", 500);
    check_share(&rest, "d", 500);
}

#[test]
fn weighted_shares_among_few_that_are_left() {
    let backends = (0..50).map(|n| {
        let weight = if n < 2 { 1 + 2 * n } else { 1000 };
        backend(&format!("b{n}"), &["m"]).with_weight(weight)
    });
    let policy = Policy { strategy: Strategy::Weighted, ..Policy::default() };
    let registry = registry(policy, backends);
    (2..50).for_each(|n| down(&registry, &format!("b{n}"), BackendStatus::Unhealthy));
    let shares = shares(&registry, 4000);
    check_share(&shares, "b0", 1000);
    check_share(&shares, "b1", 3000);
}

#[test]
fn an_explanation_gives_every_reason_in_words_and_survives_its_json() {
    let full = backend("full", &["m"]).with_max_concurrent(NonZeroU32::new(1));
    let others = ["drains", "fresh", "good", "sick", "tried", "slow"];
    let backends =
        others.map(|id| backend(id, &["m"])).into_iter().chain([full, backend("not", &[])]);
    let registry = registry(Policy::default(), backends);
    registry.increment_pending("full").unwrap();
    registry.increment_pending("slow").unwrap();
    down(&registry, "drains", BackendStatus::Draining);
    down(&registry, "fresh", BackendStatus::Unknown);
    registry.update_status("sick", BackendStatus::Unhealthy, Some("timed out".into())).unwrap();
    let tried = [registry.get_backend("tried").unwrap()];
    let needs = Needs { tried: &tried, ..Needs::default() };
    let explained = registry.explain("m", &needs, Instant::now());
    assert_eq!(explained.outcome, Outcome::To("good".into()));
    let said: Vec<_> =
        explained.candidates.iter().map(|c| format!("{} {}", c.backend, c.verdict)).collect();
    assert_eq!(
        said,
        [
            "drains is draining",
            "fresh has not been probed yet",
            "full has its 1 requests at once",
            "good chosen",
            "not does not offer the model",
            "sick is unhealthy: timed out",
            "slow costs more",
            "tried was tried already",
        ]
    );
    let json = serde_json::to_string(&explained).unwrap();
    assert_eq!(serde_json::from_str::<crate::Explanation>(&json).unwrap(), explained);
    let refused = registry.explain("x", &needs, Instant::now());
    assert_eq!(refused.outcome, Outcome::Refuse(Refusal::UnknownModel));
}

/// One backend of a random fleet.
#[derive(Clone, Debug)]
struct Kind {
    status: BackendStatus,
    load: u32,
    latency: Option<u32>,
    ejected: bool,
    tried: bool,
    tools: Option<bool>,
    priority: i32,
    weight: u32,
    zone: bool,
}

fn kinds() -> impl proptest::strategy::Strategy<Value = Vec<Kind>> {
    let status = prop_oneof![
        5 => Just(BackendStatus::Healthy),
        1 => Just(BackendStatus::Unhealthy),
        1 => Just(BackendStatus::Draining),
        1 => Just(BackendStatus::Unknown),
    ];
    let ranks = (0..2_i32, 0..3_u32, any::<bool>());
    let kind = (
        status,
        0..3_u32,
        any::<Option<u8>>(),
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.3),
        any::<Option<bool>>(),
        ranks,
    );
    let made = kind.prop_map(|(status, load, latency, ejected, tried, tools, ranks)| Kind {
        status,
        load,
        latency: latency.map(u32::from),
        ejected,
        tried,
        tools,
        priority: ranks.0,
        weight: ranks.1,
        zone: ranks.2,
    });
    proptest::collection::vec(made, 1..8)
}

fn made(kinds: &[Kind], policy: Policy, now: Instant) -> (Registry, Vec<Arc<Backend>>) {
    let backends = kinds.iter().enumerate().map(|(n, kind)| {
        backend(&format!("b{n}"), &["m"])
            .with_priority(kind.priority)
            .with_weight(kind.weight)
            .with_zone(kind.zone.then(|| "here".to_owned()))
            .with_max_concurrent(NonZeroU32::new(2))
    });
    let registry = registry(policy, backends);
    let mut tried = Vec::new();
    for (kind, backend) in kinds.iter().zip(registry.get_all_backends().iter()) {
        let model = Model { supports_tools: kind.tools, ..Model::new("m") };
        registry.update_models(&backend.id, vec![model]).unwrap();
        if kind.ejected {
            let only = Some(backend.id.as_str());
            let Route::To(request) = registry.pick("m", &Needs { only, ..Needs::default() }, now)
            else {
                panic!("all are free at first");
            };
            request.rest(Duration::from_secs(9), now);
        }
        for _ in 0..kind.load {
            registry.increment_pending(&backend.id).unwrap();
        }
        if let Some(latency) = kind.latency {
            registry.update_latency(&backend.id, latency).unwrap();
        }
        registry.update_status(&backend.id, kind.status, None).unwrap();
        tried.extend(kind.tried.then(|| Arc::clone(backend)));
    }
    (registry, tried)
}

proptest! {
    #[test]
    fn pick_and_explain_agree(
        kinds in kinds(),
        strategy in 0..5_usize,
        strict in any::<bool>(),
        zone in any::<bool>(),
        tools in any::<bool>(),
        only in proptest::option::weighted(0.2, 0..8_usize),
        late in any::<bool>(),
    ) {
        let unknown_capabilities =
            if strict { UnknownCapabilities::Refuse } else { UnknownCapabilities::Allow };
        let policy = Policy {
            strategy: Strategy::ALL[strategy],
            unknown_capabilities,
            zone: zone.then(|| "here".to_owned()),
            ..Policy::default()
        };
        let start = Instant::now();
        let (registry, tried) = made(&kinds, policy, start);
        let only = only.map(|n| format!("b{n}"));
        let needs = Needs { tools, only: only.as_deref(), tried: &tried, ..Needs::default() };
        let now = start + Duration::from_secs(if late { 10 } else { 0 });
        for _ in 0..8 {
            let explained = registry.explain("m", &needs, now);
            let chosen = explained.candidates.iter().filter(|candidate| {
                matches!(candidate.verdict, Verdict::Chosen | Verdict::ChosenAsTrial)
            }).count();
            match registry.pick("m", &needs, now) {
                Route::To(request) => {
                    prop_assert_eq!(chosen, 1);
                    let id = &request.backend().id;
                    let mine = explained.candidates.iter().find(|c| c.backend == *id).unwrap();
                    if let Verdict::Lost(reason) = &mine.verdict {
                        prop_assert!(!reason.rules_out(), "{id} was chosen, though it {reason}");
                    }
                    if Strategy::ALL[strategy] == Strategy::RoundRobin {
                        prop_assert_eq!(&explained.outcome, &Outcome::To(id.clone()));
                    }
                }
                Route::Wait(_) => prop_assert_eq!(&explained.outcome, &Outcome::Wait),
                Route::Refuse(refusal) => {
                    prop_assert_eq!(&explained.outcome, &Outcome::Refuse(refusal));
                }
            }
        }
    }
}
