//! A decision allocates nothing, whatever the strategy, and neither does the end of a request.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use callsheet_fleet::registry::{Backend, Model, Registry};
use callsheet_fleet::{
    BackendStatus, BackendType, Directory, DiscoverySource, Known, Needs, Policy, Route, Strategy,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator cannot be written without; it only passes on")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // While a thread ends, its counter is gone before its last allocations.
        let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocations(body: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    body();
    CALLS.get() - before
}

struct Cards;

impl Directory for Cards {
    fn known(&self, _backend: &str, _kind: BackendType, model_id: &str) -> Known {
        Known {
            context_length: Some(1),
            supports_tools: Some(true),
            name: Some(model_id.to_uppercase()),
            ..Known::default()
        }
    }
}

fn fleet(strategy: Strategy) -> Registry {
    let registry = Registry::with_policy(Policy { strategy, ..Policy::default() });
    let (kind, source) = (BackendType::Generic, DiscoverySource::Static);
    let backend = |number: u32| {
        let (id, models) = (format!("b{number}"), vec![Model::new("m")]);
        Backend::new(id.clone(), id, "http://h:1", kind, models, source, [].into())
            .with_weight(number)
            .with_zone(number.is_multiple_of(2).then(|| "here".to_owned()))
    };
    registry.add_backends((0..50).map(backend)).unwrap();
    registry.set_directory(Arc::new(Cards));
    for backend in registry.get_all_backends().iter().skip(10) {
        registry.update_status(&backend.id, BackendStatus::Healthy, None).unwrap();
    }
    registry
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_request_allocates_nothing_from_pick_to_drop() {
    for strategy in Strategy::ALL {
        let registry = fleet(strategy);
        let tried = [registry.get_backend("b1").unwrap()];
        let simple = Needs::default();
        let demanding =
            Needs { tools: true, min_context: Some(1), tried: &tried, ..Needs::default() };
        let request = |needs: &Needs<'_>| {
            let now = Instant::now();
            let Route::To(in_flight) = registry.pick("m", needs, now) else { panic!() };
            in_flight.first_byte(Duration::from_millis(3), now);
            in_flight.finished(Duration::from_millis(9));
            in_flight.succeeded(now);
        };
        // The first request of a thread sets its thread-locals up.
        request(&simple);
        let counted = allocations(|| {
            for _ in 0..200 {
                request(&simple);
                request(&demanding);
            }
        });
        assert_eq!(counted, 0, "{strategy}");
    }
}

#[test]
fn a_query_allocates_nothing_known_model_or_not() {
    let registry = fleet(Strategy::Adaptive);
    let query = |model| std::hint::black_box(registry.get_backends_for_model(model)).len();
    assert_eq!(query("m"), 50);
    let counted = allocations(|| {
        for _ in 0..100 {
            assert_eq!(query("m") + query("nobody's"), 50);
        }
    });
    assert_eq!(counted, 0);
}
