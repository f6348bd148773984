//! The concurrent promises under shuttle, which tries thousands of interleavings and reports a
//! thread that waits for ever: `cargo test -p callsheet-fleet --features shuttle --lib shuttle_`.

use crate::fixture::{backend, cards, fleet, limited, models, pending, pick, route};
use crate::registry::{BackendStatus, Registry};
use crate::{InFlight, Known, Needs, Route, Strategy};
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::{future::block_on, thread};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Random schedules find shallow races fast; PCT finds those that take several unlucky switches.
fn explore(body: fn()) {
    shuttle::check_random(body, 3000);
    shuttle::check_pct(body, 3000, 3);
}

fn all(threads: Vec<thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn spawn(
    registry: &Arc<Registry>,
    body: impl FnOnce(&Registry) + Send + 'static,
) -> thread::JoinHandle<()> {
    let registry = Arc::clone(registry);
    thread::spawn(move || body(&registry))
}

#[test]
fn shuttle_readers_and_writers_keep_the_index_whole() {
    explore(|| {
        let registry = Arc::new(Registry::new());
        registry.add_backend(backend("a", &["m", "n"])).unwrap();
        let change = |to: &'static [&str]| {
            move |registry: &Registry| registry.update_models("a", models(to)).unwrap()
        };
        all(vec![
            spawn(&registry, change(&["m"])),
            spawn(&registry, change(&["o", "m"])),
            spawn(&registry, |registry| {
                registry.add_backend(backend("b", &["n", "m"])).unwrap();
                registry.remove_backend("b").unwrap();
            }),
            spawn(&registry, |registry| {
                for _ in 0..2 {
                    let found = registry.get_backends_for_model("m");
                    assert!(found.iter().any(|backend| backend.id == "a"));
                    assert!(registry.get_all_backends().len() <= 2);
                }
            }),
        ]);
        registry.check_index();
    });
}

#[test]
fn shuttle_what_a_directory_says_is_in_the_index() {
    explore(|| {
        let registry = Arc::new(Registry::new());
        registry.add_backend(backend("a", &["m"])).unwrap();
        let set = |tokens: u32| {
            let known = Known { context_length: Some(tokens), ..Known::default() };
            move |registry: &Registry| registry.set_directory(cards(move |_, _| known.clone()))
        };
        all(vec![
            spawn(&registry, set(1)),
            spawn(&registry, set(2)),
            spawn(&registry, |registry| registry.update_models("a", models(&["m", "n"])).unwrap()),
            spawn(&registry, |registry| {
                registry.replace_backend(backend("a", &[])).unwrap();
            }),
        ]);
        registry.check_index();
    });
}

#[test]
fn shuttle_one_id_is_added_once() {
    explore(|| {
        let registry = Arc::new(Registry::new());
        let wins = Arc::new(AtomicUsize::new(0));
        let add = |model: &'static str| {
            let wins = Arc::clone(&wins);
            spawn(&registry, move |registry| {
                if registry.add_backend(backend("a", &[model])).is_ok() {
                    wins.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        all(vec![add("m"), add("n"), add("o")]);
        assert_eq!(wins.load(Ordering::SeqCst), 1);
        assert_eq!((registry.backend_count(), registry.model_count()), (1, 1));
        registry.check_index();
    });
}

/// Gets a place, by waiting if need be. Shuttle fails the test if nobody ever hands one over.
fn get(registry: &Registry) -> InFlight {
    match route(registry) {
        Route::To(in_flight) => in_flight,
        Route::Wait(wait) => block_on(wait.join().unwrap()),
        Route::Refuse(refusal) => panic!("{refusal}"),
    }
}

#[test]
fn shuttle_places_are_handed_over_and_none_is_lost() {
    explore(|| {
        let registry = Arc::new(limited(Strategy::Adaptive, 1, Some(1)));
        let use_it = |registry: &Registry| {
            let held = get(registry);
            assert_eq!(held.backend().pending_requests(), 1);
        };
        let give_up = |registry: &Registry| {
            if let Route::Wait(wait) = route(registry) {
                drop(wait.join().unwrap());
            }
        };
        all(vec![
            spawn(&registry, use_it),
            spawn(&registry, use_it),
            spawn(&registry, use_it),
            spawn(&registry, give_up),
        ]);
        assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
    });
}

#[test]
fn shuttle_who_waits_hears_of_a_backend_that_comes_back() {
    explore(|| {
        let registry = Arc::new(limited(Strategy::Adaptive, 2, Some(1)));
        registry.update_status("b1", BackendStatus::Draining, None).unwrap();
        let held = pick(&registry);
        all(vec![
            spawn(&registry, |registry| {
                let held = get(registry);
                assert_eq!(held.backend().id, "b1");
            }),
            spawn(&registry, |registry| {
                registry.update_status("b1", BackendStatus::Healthy, None).unwrap();
            }),
        ]);
        drop(held);
        assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
    });
}

#[test]
fn shuttle_a_limit_is_never_exceeded() {
    explore(|| {
        let registry = Arc::new(limited(Strategy::RoundRobin, 2, Some(1)));
        let use_it = |registry: &Registry| {
            if let Route::To(held) = route(registry) {
                assert_eq!(held.backend().pending_requests(), 1);
            }
        };
        all((0..3).map(|_| spawn(&registry, use_it)).collect());
        assert_eq!(pending(&registry), 0);
    });
}

#[test]
fn shuttle_a_limit_and_every_place_outlive_a_replacement() {
    explore(|| {
        let registry = Arc::new(limited(Strategy::Adaptive, 1, Some(1)));
        let at_once = Arc::new(AtomicUsize::new(0));
        let use_it = || {
            let at_once = Arc::clone(&at_once);
            spawn(&registry, move |registry| {
                let held = get(registry);
                assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                at_once.fetch_sub(1, Ordering::SeqCst);
                drop(held);
            })
        };
        let replace = |registry: &Registry| {
            let new = backend("b0", &["m"]).with_max_concurrent(NonZeroU32::new(1));
            registry.replace_backend(new).unwrap();
        };
        all(vec![use_it(), use_it(), spawn(&registry, replace), use_it()]);
        assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
        registry.check_index();
    });
}

#[test]
fn shuttle_a_replacement_turns_nobody_away() {
    explore(|| {
        let registry = Arc::new(fleet(Strategy::RoundRobin, 1));
        let use_it = |registry: &Registry| {
            let held = pick(registry);
            assert!(pending(registry) > 0, "it counts, whichever backend it was given");
            drop(held);
        };
        let replace = |registry: &Registry| {
            registry.replace_backend(backend("b0", &["m"])).unwrap();
        };
        let probe = |registry: &Registry| {
            let seen = registry.get_backend("b0").unwrap();
            // Whoever is replaced meanwhile is not there to be probed.
            let _ = registry.listed(&seen, models(&["m", "n"]));
            let _ = registry.probed(&seen, BackendStatus::Healthy, None);
        };
        all(vec![
            spawn(&registry, use_it),
            spawn(&registry, use_it),
            spawn(&registry, replace),
            spawn(&registry, probe),
        ]);
        assert_eq!(pending(&registry), 0);
        registry.check_index();
    });
}

#[test]
fn shuttle_one_trial_at_a_time() {
    explore(|| {
        let registry = Arc::new(fleet(Strategy::RoundRobin, 2));
        let start = Instant::now();
        let only_b0 = Needs { only: Some("b0"), ..Needs::default() };
        let Route::To(request) = registry.pick("m", &only_b0, start) else { panic!() };
        request.rest(Duration::from_nanos(1), start).unwrap();
        drop(request);
        let trials = Arc::new(AtomicUsize::new(0));
        let later = start + Duration::from_secs(1);
        let attempt = |verdict: fn(&InFlight, Instant)| {
            let trials = Arc::clone(&trials);
            spawn(&registry, move |registry| {
                let needs = Needs { only: Some("b0"), ..Needs::default() };
                let Route::To(request) = registry.pick("m", &needs, later) else { return };
                if request.is_trial() {
                    assert_eq!(trials.fetch_add(1, Ordering::SeqCst), 0);
                    // The next trial may begin with the verdict.
                    trials.fetch_sub(1, Ordering::SeqCst);
                    verdict(&request, later);
                }
            })
        };
        all(vec![
            attempt(|_, _| {}),
            attempt(InFlight::succeeded),
            attempt(|request, now| {
                request.failed(now);
            }),
        ]);
        assert_eq!(pending(&registry), 0);
        // Whatever the order, it is in service again or will be tried again: never stuck.
        let much_later = later + Duration::from_mins(10);
        let Route::To(_) = registry.pick("m", &only_b0, much_later) else { panic!("stuck") };
    });
}

#[test]
fn shuttle_half_stays_in_service() {
    explore(|| {
        let registry = Arc::new(fleet(Strategy::RoundRobin, 2));
        let now = Instant::now();
        let fail = |id: &'static str| {
            spawn(&registry, move |registry| {
                let needs = Needs { only: Some(id), ..Needs::default() };
                let Route::To(request) = registry.pick("m", &needs, now) else { panic!() };
                for _ in 0..3 {
                    request.failed(now);
                }
            })
        };
        all(vec![fail("b0"), fail("b1")]);
        let backends = registry.get_all_backends();
        let ejected = backends.iter().filter(|backend| backend.ejected_until().is_some()).count();
        assert_eq!(ejected, 1);
    });
}

#[test]
fn shuttle_a_probe_never_ends_draining() {
    explore(|| {
        let registry = Arc::new(fleet(Strategy::RoundRobin, 1));
        all(vec![
            spawn(&registry, |registry| {
                registry.update_status("b0", BackendStatus::Draining, None).unwrap();
            }),
            spawn(&registry, |registry| {
                let status = BackendStatus::Unhealthy;
                registry.set_status_unless_draining("b0", status, None).unwrap();
            }),
        ]);
        assert_eq!(registry.get_backend("b0").unwrap().status(), BackendStatus::Draining);
    });
}
