use super::*;
use crate::fixture::{backend, fleet, pick, registry};
use crate::registry::Registry;
use crate::{InFlight, Needs, Refusal, Route, Strategy};
use proptest::prelude::*;

fn at(registry: &Registry, id: &str, now: Instant) -> Route {
    registry.pick("m", &Needs { only: Some(id), ..Needs::default() }, now)
}

fn to(registry: &Registry, id: &str, now: Instant) -> InFlight {
    match at(registry, id, now) {
        Route::To(in_flight) => in_flight,
        other => panic!("{id}: {other:?}"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Fails a backend until it is ejected; says for how long that was, or that it was not.
fn fail_three_times(registry: &Registry, id: &str, now: Instant) -> Option<Duration> {
    let request = to(registry, id, now);
    assert_eq!((request.failed(now), request.failed(now)), (None, None));
    request.failed(now)
}

#[test]
fn three_failures_in_a_row_eject_and_a_success_begins_anew() {
    let registry = fleet(Strategy::RoundRobin, 2);
    let now = Instant::now();
    let request = to(&registry, "b0", now);
    request.failed(now);
    request.failed(now);
    request.succeeded(now);
    assert_eq!(request.backend().ejected_until(), None);
    assert_eq!(fail_three_times(&registry, "b0", now), Some(seconds(5)));
    assert_eq!(request.backend().ejected_until(), Some(now + seconds(5)));
    let Route::Refuse(refusal) = at(&registry, "b0", now + seconds(1)) else { panic!() };
    assert_eq!(refusal, Refusal::NoneAvailable { retry_after: Some(seconds(4)) });
    // What began before the ejection says nothing new.
    assert_eq!(request.failed(now), None);
    request.succeeded(now);
    assert!(request.backend().ejected_until().is_some());
    let view = crate::BackendView::from(&**request.backend());
    assert!((4000..=5000).contains(&view.ejected_for_ms.unwrap()));
}

#[test]
fn each_ejection_in_a_row_lasts_twice_as_long_up_to_the_longest() {
    let registry = fleet(Strategy::RoundRobin, 2);
    let mut now = Instant::now();
    let mut last = fail_three_times(&registry, "b0", now).unwrap();
    for expected in [10, 20, 40, 80, 160, 300, 300] {
        now += last;
        let trial = to(&registry, "b0", now);
        assert!(trial.is_trial());
        last = trial.failed(now).unwrap();
        assert_eq!(last, seconds(expected));
        // It can fail once only.
        assert_eq!(trial.failed(now), None);
    }
    now += last;
    to(&registry, "b0", now).succeeded(now);
    assert_eq!(registry.get_backend("b0").unwrap().ejected_until(), None);
    assert!(!to(&registry, "b0", now).is_trial());
    assert_eq!(fail_three_times(&registry, "b0", now), Some(seconds(5)));
}

#[test]
fn exactly_one_request_is_the_trial() {
    let registry = fleet(Strategy::RoundRobin, 2);
    let start = Instant::now();
    fail_three_times(&registry, "b0", start).unwrap();
    let later = start + seconds(5);
    let trial = to(&registry, "b0", later);
    let Route::Refuse(refusal) = at(&registry, "b0", later) else { panic!("a second trial") };
    assert_eq!(refusal, Refusal::NoneAvailable { retry_after: Some(Duration::ZERO) });
    // Without a verdict the next request is the trial.
    drop(trial);
    let trial = to(&registry, "b0", later);
    assert!(trial.is_trial());
    trial.succeeded(later);
    assert!(!to(&registry, "b0", later).is_trial());
    drop(trial);
    assert_eq!(registry.get_backend("b0").unwrap().ejected_until(), None);
}

#[test]
fn a_due_backend_gets_its_trial_under_every_strategy() {
    for strategy in Strategy::ALL {
        let registry = fleet(strategy, 5);
        let start = Instant::now();
        fail_three_times(&registry, "b3", start).unwrap();
        let later = start + seconds(6);
        let mut tries = 0;
        loop {
            let Route::To(request) = registry.pick("m", &Needs::default(), later) else { panic!() };
            if request.is_trial() {
                assert_eq!(request.backend().id, "b3");
                break;
            }
            tries += 1;
            assert!(tries < 1000, "{strategy}: no trial");
        }
    }
}

#[test]
fn at_most_half_of_the_healthy_backends_are_ejected() {
    for (size, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2)] {
        let registry = fleet(Strategy::RoundRobin, size);
        let now = Instant::now();
        let failed = |n: &usize| fail_three_times(&registry, &format!("b{n}"), now).is_some();
        assert_eq!((0..size).filter(failed).count(), most, "of {size}");
        drop(pick(&registry));
    }
    // One that is down anyway, or awaits its trial, is no reserve.
    let registry = fleet(Strategy::RoundRobin, 4);
    let now = Instant::now();
    registry.update_status("b0", BackendStatus::Unhealthy, None).unwrap();
    assert!(fail_three_times(&registry, "b1", now).is_some());
    assert!(fail_three_times(&registry, "b2", now + seconds(60)).is_none());
    assert!(to(&registry, "b2", now).rest(seconds(1), now).is_none());
}

#[test]
fn the_rule_of_half_holds_for_every_model_of_a_backend() {
    let backends = [backend("a", &["m", "rare"]), backend("b", &["m"]), backend("c", &["m"])];
    let registry = registry(Policy::default(), backends);
    let now = Instant::now();
    assert_eq!(fail_three_times(&registry, "a", now), None);
    assert!(fail_three_times(&registry, "b", now).is_some());
}

#[test]
fn never_ejects_when_told_never() {
    let registry = fleet(Strategy::RoundRobin, 4);
    registry.set_policy(Policy { eject_after: 0, ..Policy::default() });
    let now = Instant::now();
    let request = to(&registry, "b0", now);
    assert!((0..100).all(|_| request.failed(now).is_none()));
}

#[test]
fn a_backend_that_asks_for_quiet_gets_it() {
    let registry = fleet(Strategy::RoundRobin, 2);
    let now = Instant::now();
    let (first, second) = (to(&registry, "b0", now), to(&registry, "b0", now));
    assert_eq!(first.rest(Duration::ZERO, now), None);
    assert_eq!(first.rest(seconds(30), now), Some(seconds(30)));
    // The longest wish counts, up to the limit.
    assert_eq!(second.rest(seconds(10), now), Some(seconds(10)));
    assert_eq!(first.backend().ejected_until(), Some(now + seconds(30)));
    assert_eq!(second.rest(seconds(3600), now), Some(seconds(300)));
    assert_eq!(first.backend().ejected_until(), Some(now + seconds(300)));
    // As the verdict of a trial it postpones the next one.
    let later = now + seconds(300);
    let trial = to(&registry, "b0", later);
    assert_eq!(trial.rest(seconds(7), later), Some(seconds(7)));
    drop(trial);
    let Route::Refuse(_) = at(&registry, "b0", later + seconds(6)) else { panic!() };
    assert!(to(&registry, "b0", later + seconds(7)).is_trial());
    // A wish is no failure: the next ejection is as short as the first.
    to(&registry, "b0", later + seconds(7)).succeeded(later);
    assert_eq!(fail_three_times(&registry, "b0", later), Some(seconds(5)));
}

proptest! {
    #[test]
    fn half_is_in_service_whatever_fails(
        size in 1..8_usize,
        steps in proptest::collection::vec((0..8_usize, 0..4_u8, 0..20_u64), 0..100),
    ) {
        let registry = fleet(Strategy::RoundRobin, size);
        let mut now = Instant::now();
        for (n, step, later) in steps {
            now += seconds(later);
            let Route::To(request) = at(&registry, &format!("b{}", n % size), now) else { continue };
            match step {
                0 => request.succeeded(now),
                1 => drop(request.rest(seconds(later), now)),
                _ => drop(request.failed(now)),
            }
            let all = registry.get_all_backends();
            let ejected = all.iter().filter(|backend| backend.ejected_until().is_some()).count();
            prop_assert!(ejected <= size / 2, "{ejected} of {size}");
        }
    }
}
