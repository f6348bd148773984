use super::*;
use crate::fixture::{backend, cards, limited, models, pending, pick, registry, route};
use crate::registry::{BackendStatus, Registry};
use crate::{Known, Policy, Strategy};
use proptest::prelude::*;
use proptest::strategy::Strategy as _;
use std::num::NonZeroU32;
use std::sync::Barrier;
use std::task::Waker;
use std::time::Duration;

fn one_place() -> Registry {
    limited(Strategy::Adaptive, 1, Some(1))
}

fn wait_for(registry: &Registry, model: &str, needs: &Needs<'_>) -> Ticket {
    match registry.pick(model, needs, Instant::now()) {
        Route::Wait(wait) => wait.join().unwrap(),
        other => panic!("expected to wait, got {other:?}"),
    }
}

fn wait(registry: &Registry) -> Ticket {
    wait_for(registry, "m", &Needs::default())
}

/// The place, if it was handed over already.
fn granted(ticket: &mut Ticket) -> Option<InFlight> {
    match Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(in_flight) => Some(in_flight),
        Poll::Pending => None,
    }
}

#[test]
fn places_go_to_who_came_first_and_nobody_comes_between() {
    let registry = one_place();
    let first = pick(&registry);
    let (mut second, mut third) = (wait(&registry), wait(&registry));
    assert_eq!(registry.queue_len(), 2);
    drop(first);
    let Route::Wait(_) = route(&registry) else { panic!("a newcomer got the place") };
    assert!(granted(&mut third).is_none());
    let held = granted(&mut second).unwrap();
    assert_eq!((held.backend().pending_requests(), held.backend().total_requests()), (1, 2));
    drop(held);
    drop(granted(&mut third).unwrap());
    assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
}

#[test]
fn who_waits_is_given_what_suits_by_its_card() {
    let registry = limited(Strategy::Adaptive, 2, Some(1));
    let tools_at = |able: &'static str| {
        cards(move |backend, _| Known { supports_tools: Some(backend == able), ..Known::default() })
    };
    registry.set_directory(tools_at("b0"));
    let only_b0 = Needs { only: Some("b0"), ..Needs::default() };
    let Route::To(held) = registry.pick("m", &only_b0, Instant::now()) else { panic!() };
    let mut ticket = wait_for(&registry, "m", &Needs { tools: true, ..Needs::default() });
    // A place comes free where the card says that it will not do.
    drop(pick(&registry));
    assert!(granted(&mut ticket).is_none());
    registry.set_directory(tools_at("b1"));
    assert_eq!(granted(&mut ticket).unwrap().backend().id, "b1");
    drop(held);
}

#[test]
fn who_waits_gets_the_place_of_a_replaced_backend_when_it_is_within_the_new_limit() {
    let registry = limited(Strategy::Adaptive, 1, Some(2));
    let (first, second) = (pick(&registry), pick(&registry));
    let mut ticket = wait(&registry);
    let new = backend("b0", &["m"]).with_max_concurrent(NonZeroU32::new(1));
    registry.replace_backend(new).unwrap();
    assert!(granted(&mut ticket).is_none());
    drop(first);
    assert!(granted(&mut ticket).is_none(), "the new limit is reached still");
    drop(second);
    let held = granted(&mut ticket).unwrap();
    assert_eq!((pending(&registry), held.backend().max_concurrent()), (1, NonZeroU32::new(1)));

    let mut ticket = wait(&registry);
    registry.replace_backend(backend("b0", &["m"])).unwrap();
    let third = granted(&mut ticket).unwrap();
    drop((held, third));
    assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
}

#[test]
fn a_granted_ticket_is_done() {
    let registry = one_place();
    let held = pick(&registry);
    let mut ticket = wait(&registry);
    drop(held);
    let held = granted(&mut ticket).unwrap();
    assert!(granted(&mut ticket).is_none());
    drop(ticket);
    assert_eq!(pending(&registry), 1);
    drop(held);
    assert_eq!(pending(&registry), 0);
}

#[test]
fn who_left_is_passed_over() {
    let registry = one_place();
    let held = pick(&registry);
    let (left, mut stays) = (wait(&registry), wait(&registry));
    drop(left);
    assert_eq!(registry.queue_len(), 1);
    drop(held);
    assert!(granted(&mut stays).is_some());
}

#[test]
fn a_place_handed_to_somebody_who_leaves_goes_on() {
    let registry = one_place();
    let held = pick(&registry);
    let (leaves, mut stays) = (wait(&registry), wait(&registry));
    drop(held);
    assert!(granted(&mut stays).is_none());
    drop(leaves);
    drop(granted(&mut stays).unwrap());
    assert_eq!(pending(&registry), 0);
}

#[test]
fn the_queue_has_a_bound_over_all_models() {
    let backends =
        ["m", "n"].map(|model| backend(model, &[model]).with_max_concurrent(NonZeroU32::new(1)));
    let registry = registry(Policy { queue_size: 2, ..Policy::default() }, backends);
    let needs = Needs::default();
    let _held = ["m", "n"].map(|model| registry.pick(model, &needs, Instant::now()));
    let _tickets = ["m", "n"].map(|model| wait_for(&registry, model, &needs));
    let Route::Wait(third) = route(&registry) else { panic!() };
    assert_eq!(third.join().unwrap_err(), QueueFull { limit: 2 });
    assert_eq!(registry.queue_len(), 2);
}

#[test]
fn a_place_goes_only_to_whom_it_suits() {
    let mut list = models(&["m", "n"]);
    list[0].supports_tools = Some(false);
    let full = |id: &str| backend(id, &[]).with_max_concurrent(NonZeroU32::new(1));
    let registry = registry(Policy::default(), [full("a"), full("b")]);
    registry.update_models("a", list).unwrap();
    registry.update_models("b", models(&["m"])).unwrap();
    let none = Needs::default();
    let at = |id| Needs { only: Some(id), ..none };
    let Route::To(a) = registry.pick("m", &at("a"), Instant::now()) else { panic!() };
    let Route::To(b) = registry.pick("m", &at("b"), Instant::now()) else { panic!() };
    let mut with_tools = wait_for(&registry, "m", &Needs { tools: true, ..none });
    let mut only_b = wait_for(&registry, "m", &at("b"));
    let mut other_model = wait_for(&registry, "n", &none);
    drop(a);
    assert!(granted(&mut with_tools).is_none());
    assert!(granted(&mut only_b).is_none());
    drop(granted(&mut other_model).unwrap());
    drop(b);
    drop(granted(&mut with_tools).unwrap());
    drop(granted(&mut only_b).unwrap());
    assert_eq!(pending(&registry), 0);
}

#[test]
fn a_backend_that_may_not_be_used_hands_nothing_over() {
    for end in ["drain", "eject", "remove"] {
        let registry = limited(Strategy::RoundRobin, 2, Some(1));
        let (first, second) = (pick(&registry), pick(&registry));
        let mut ticket = wait(&registry);
        let id = first.backend().id.clone();
        let backend = Arc::clone(first.backend());
        match end {
            "drain" => registry.update_status(&id, BackendStatus::Draining, None).unwrap(),
            "eject" => {
                let now = Instant::now();
                assert!(first.rest(Duration::from_mins(1), now).is_some());
            }
            _ => drop(registry.remove_backend(&id).unwrap()),
        }
        drop(first);
        assert!(granted(&mut ticket).is_none(), "{end}");
        assert_eq!(backend.pending_requests(), 0);
        drop(second);
        assert!(granted(&mut ticket).is_some(), "{end}");
    }
}

#[test]
fn whatever_makes_room_is_offered_to_who_waits() {
    type Change = fn(&Registry);
    let heal: Change = |registry| {
        registry.update_status("sick", BackendStatus::Healthy, None).unwrap();
    };
    let add: Change = |registry| {
        // Added healthy by way of its status; an unknown one gets nothing.
        registry.add_backend(backend("new", &["m"])).unwrap();
        registry.update_status("new", BackendStatus::Healthy, None).unwrap();
    };
    let learn: Change = |registry| registry.update_models("other", models(&["m"])).unwrap();
    let finish: Change = |registry| {
        assert_eq!(registry.decrement_pending("full"), Ok(0));
    };
    for (name, change) in [("heal", heal), ("add", add), ("learn", learn), ("finish", finish)] {
        let limit = NonZeroU32::new(1);
        let full = backend("full", &["m"]).with_max_concurrent(limit);
        let sick = backend("sick", &["m"]).with_max_concurrent(limit);
        let registry = registry(Policy::default(), [full, sick, backend("other", &[])]);
        registry.update_status("sick", BackendStatus::Unhealthy, None).unwrap();
        registry.increment_pending("full").unwrap();
        let mut ticket = wait(&registry);
        assert!(granted(&mut ticket).is_none(), "{name}");
        change(&registry);
        assert!(granted(&mut ticket).is_some(), "{name}");
    }
}

#[test]
fn a_passed_trial_makes_room() {
    let registry = limited(Strategy::RoundRobin, 2, Some(2));
    let start = Instant::now();
    let needs = Needs { only: Some("b0"), ..Needs::default() };
    let Route::To(request) = registry.pick("m", &needs, start) else { panic!() };
    request.rest(Duration::from_nanos(1), start).unwrap();
    drop(request);
    let _held = [(); 2]
        .map(|()| registry.pick("m", &Needs { only: Some("b1"), ..Needs::default() }, start));
    let later = start + Duration::from_secs(1);
    let Route::To(trial) = registry.pick("m", &Needs::default(), later) else { panic!() };
    assert!(trial.is_trial());
    let Route::Wait(wait) = registry.pick("m", &Needs::default(), later) else { panic!() };
    let mut ticket = wait.join().unwrap();
    assert!(granted(&mut ticket).is_none());
    trial.succeeded(later);
    assert_eq!(granted(&mut ticket).unwrap().backend().id, "b0");
}

#[test]
fn a_place_freed_between_the_decision_and_the_queue_is_found() {
    let registry = one_place();
    let held = pick(&registry);
    let Route::Wait(wait) = route(&registry) else { panic!() };
    drop(held);
    let mut ticket = wait.join().unwrap();
    assert_eq!(registry.queue_len(), 0);
    drop(granted(&mut ticket).unwrap());
    assert_eq!(pending(&registry), 0);
}

#[test]
fn no_wake_up_is_lost_when_joining_and_freeing_meet() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..2000 {
        let registry = one_place();
        let held = pick(&registry);
        let Route::Wait(wait) = route(&registry) else { panic!() };
        let start = Barrier::new(2);
        let ticket = std::thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                drop(held);
            });
            start.wait();
            wait.join().unwrap()
        });
        let granted = async { tokio::time::timeout(Duration::from_secs(10), ticket).await };
        drop(runtime.block_on(granted).expect("a place is free and nobody was told"));
        assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
    }
}

/// What may happen to a fleet with a queue.
#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    End(usize),
    Leave(usize),
    Receive(usize),
    Fail(usize),
    Drain(usize),
    Resume(usize),
}

fn step() -> impl proptest::strategy::Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Ask),
        4 => any::<usize>().prop_map(Step::End),
        2 => any::<usize>().prop_map(Step::Leave),
        3 => any::<usize>().prop_map(Step::Receive),
        1 => any::<usize>().prop_map(Step::Fail),
        1 => any::<usize>().prop_map(Step::Drain),
        1 => any::<usize>().prop_map(Step::Resume),
    ]
}

proptest! {
    #[test]
    fn pending_returns_to_nothing_whatever_happens(
        steps in proptest::collection::vec(step(), 0..80),
        strategy in 0..5_usize,
    ) {
        let registry = limited(Strategy::ALL[strategy], 3, Some(2));
        let (mut held, mut tickets) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Ask => match route(&registry) {
                    Route::To(in_flight) => held.push(in_flight),
                    Route::Wait(wait) => tickets.push(wait.join().unwrap()),
                    Route::Refuse(_) => {}
                },
                Step::End(n) if !held.is_empty() => drop(held.swap_remove(n % held.len())),
                Step::Leave(n) if !tickets.is_empty() => {
                    drop(tickets.swap_remove(n % tickets.len()));
                }
                Step::Receive(n) if !tickets.is_empty() => {
                    let at = n % tickets.len();
                    if let Some(in_flight) = granted(&mut tickets[at]) {
                        held.push(in_flight);
                        drop(tickets.swap_remove(at));
                    }
                }
                Step::Fail(n) if !held.is_empty() => {
                    held[n % held.len()].failed(Instant::now());
                }
                Step::Drain(n) => {
                    let id = format!("b{}", n % 3);
                    registry.update_status(&id, BackendStatus::Draining, None).unwrap();
                }
                Step::Resume(n) => {
                    let id = format!("b{}", n % 3);
                    registry.update_status(&id, BackendStatus::Healthy, None).unwrap();
                }
                _ => {}
            }
            let all = registry.get_all_backends();
            prop_assert!(all.iter().all(|backend| backend.pending_requests() <= 2));
        }
        drop(held);
        drop(tickets);
        prop_assert_eq!((pending(&registry), registry.queue_len()), (0, 0));
    }
}
