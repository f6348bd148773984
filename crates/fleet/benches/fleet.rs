//! What a decision costs, beside the design with two locked maps:
//! `cargo bench -p callsheet-fleet --bench fleet [-- --quick]`.
//!
//! Every backend offers every model, so a query at 1,000 backends has 1,000 matches. All cases take
//! turns, round by round, so that a disturbance of the machine hits all of them; medians are
//! printed, as Markdown.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program that prints, not a library"
)]

#[path = "fleet/allocations.rs"]
mod allocations;
#[path = "fleet/baseline.rs"]
mod baseline;

use callsheet_fleet::registry::{Backend, Model, Registry};
use callsheet_fleet::{
    BackendStatus, BackendType, DiscoverySource, Needs, Policy, Route, Strategy,
};
use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// One call of the baseline takes longer than all samples of a round; every so many rounds will do.
const BASELINE_ROUNDS: usize = 8;

/// Backends × models.
const SHAPES: [(usize, usize); 2] = [(1_000, 10), (10_000, 100)];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    // Short samples and many of them: most fit between two preemptions on a busy machine.
    let (rounds, budget) =
        if quick { (3, Duration::from_millis(1)) } else { (41, Duration::from_millis(2)) };
    println!(
        "{rounds} rounds of {budget:?} per case; medians. The time of `pick` includes dropping"
    );
    println!("the guard. Under updates, a thread changes one backend's offer of one model without");
    println!("a pause; the baseline's updates and queries take turns in one thread, since in two");
    println!("they block each other for ever.\n");
    let bytes = bytes_per_backend();
    let results = measure(rounds, budget);
    print_table(&results);
    print_summary(&results, bytes);
}

#[derive(Clone, Copy, PartialEq)]
enum Operation {
    Pick(Strategy),
    Query,
    Update,
}

#[derive(Clone, Copy, PartialEq)]
struct Case {
    shape: (usize, usize),
    operation: Operation,
    threads: usize,
    updates: bool,
}

struct Measured {
    case: Case,
    nanos: f64,
    baseline_nanos: f64,
    allocations: f64,
}

/// What one thread measured.
#[derive(Clone, Copy)]
struct Sample {
    nanos: f64,
    allocations: f64,
}

fn model_id(number: usize) -> String {
    format!("vendor-{}/model-{number}-instruct-q4", number % 7)
}

/// The list of one backend; `odd` lists differ from even ones in the offer of one model.
fn list(models: usize, odd: bool) -> Vec<Model> {
    let mut list: Vec<_> = (0..models).map(|number| Model::new(model_id(number))).collect();
    list[0].supports_tools = odd.then_some(true);
    list
}

fn id(number: usize) -> String {
    format!("backend-{number}")
}

fn url(number: usize) -> String {
    format!("http://10.0.{}.{}:8000", number / 256, number % 256)
}

fn ours((backends, models): (usize, usize)) -> Registry {
    let registry = Registry::new();
    let backend = |number| {
        let (kind, source) = (BackendType::Generic, DiscoverySource::Static);
        let list = list(models, false);
        Backend::new(id(number), id(number), url(number), kind, list, source, [].into())
            .with_weight(1 + number as u32 % 5)
    };
    registry.add_backends((0..backends).map(backend)).unwrap();
    for number in 0..backends {
        registry.update_status(&id(number), BackendStatus::Healthy, None).unwrap();
        registry.update_latency(&id(number), 50 + number as u32 % 100).unwrap();
    }
    registry
}

fn theirs((backends, models): (usize, usize)) -> baseline::Registry {
    let registry = baseline::Registry::default();
    for number in 0..backends {
        let list = list(models, false);
        registry.add_backend(baseline::Backend::new(&id(number), &url(number), list));
    }
    registry
}

fn bytes_per_backend() -> i64 {
    let before = allocations::live_bytes();
    let registry = ours(SHAPES[0]);
    let bytes = (allocations::live_bytes() - before) / i64::try_from(SHAPES[0].0).unwrap();
    drop(registry);
    bytes
}

/// One shape, in both designs.
struct Fleet {
    ours: Registry,
    theirs: baseline::Registry,
    models: Vec<String>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for shape in SHAPES {
        for updates in [false, true] {
            for threads in [1, 2] {
                let picks = Strategy::ALL.into_iter().map(Operation::Pick);
                for operation in picks.chain([Operation::Query]) {
                    cases.push(Case { shape, operation, threads, updates });
                }
            }
        }
        cases.push(Case { shape, operation: Operation::Update, threads: 1, updates: false });
    }
    cases
}

fn measure(rounds: usize, budget: Duration) -> Vec<Measured> {
    let fleets = SHAPES.map(|shape| Fleet {
        ours: ours(shape),
        theirs: theirs(shape),
        models: (0..shape.1).map(model_id).collect(),
    });
    let cases = cases();
    let mut samples = vec![Vec::new(); cases.len()];
    let mut baselines = vec![Vec::new(); cases.len()];
    for round in 0..rounds {
        for (at, case) in cases.iter().enumerate() {
            let fleet = &fleets[usize::from(case.shape != SHAPES[0])];
            if let Operation::Pick(strategy) = case.operation {
                fleet.ours.set_policy(Policy { strategy, ..Policy::default() });
            } else if round % BASELINE_ROUNDS == 0 {
                // The baseline is the same for every strategy: measured once, here.
                baselines[at].push(run_baseline(&fleet.theirs, &fleet.models, case, budget));
            }
            samples[at].push(run(&fleet.ours, &fleet.models, case, budget));
        }
    }
    let measured = |(at, case): (usize, &Case)| {
        let operation = match case.operation {
            Operation::Pick(_) => Operation::Query,
            other => other,
        };
        let beside = Case { operation, ..*case };
        let baseline = cases.iter().position(|other| *other == beside).unwrap();
        Measured {
            case: *case,
            nanos: median(samples[at].iter().map(|sample: &Sample| sample.nanos)),
            baseline_nanos: median(baselines[baseline].iter().copied()),
            allocations: median(samples[at].iter().map(|sample| sample.allocations)),
        }
    };
    cases.iter().enumerate().map(measured).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn run(registry: &Registry, ids: &[String], case: &Case, budget: Duration) -> Sample {
    let (start, done) = (Barrier::new(case.threads), AtomicBool::new(false));
    let samples: Vec<Sample> = std::thread::scope(|scope| {
        if case.updates {
            scope.spawn(|| {
                let mut round = 0;
                while !done.load(Ordering::Relaxed) {
                    update(registry, case.shape, round);
                    round += 1;
                }
            });
        }
        let worker = || {
            let needs = Needs::default();
            let mut turn = 0;
            let mut call = || {
                turn += 1;
                let model = &ids[turn % ids.len()];
                match case.operation {
                    Operation::Pick(_) => match registry.pick(model, &needs, Instant::now()) {
                        Route::To(in_flight) => drop(black_box(in_flight)),
                        other => panic!("{other:?}"),
                    },
                    Operation::Query => drop(black_box(registry.get_backends_for_model(model))),
                    Operation::Update => update(registry, case.shape, turn),
                }
            };
            // The first call of a thread sets its thread-locals up.
            call();
            start.wait();
            let batch = if case.operation == Operation::Update { 1 } else { 64 };
            repeat(budget, batch, call)
        };
        let workers: Vec<_> = (0..case.threads).map(|_| scope.spawn(worker)).collect();
        let samples = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
        done.store(true, Ordering::Relaxed);
        samples
    });
    let mean = |of: fn(&Sample) -> f64| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
    Sample { nanos: mean(|sample| sample.nanos), allocations: mean(|sample| sample.allocations) }
}

fn update(registry: &Registry, (backends, models): (usize, usize), round: usize) {
    let number = round / 2 % backends;
    registry.update_models(&id(number), list(models, round.is_multiple_of(2))).unwrap();
}

fn repeat(budget: Duration, batch: u32, mut call: impl FnMut()) -> Sample {
    let (start, before) = (Instant::now(), allocations::calls());
    let mut calls = 0;
    while start.elapsed() < budget {
        for _ in 0..batch {
            call();
        }
        calls += batch;
    }
    let calls = f64::from(calls);
    Sample {
        nanos: start.elapsed().as_nanos() as f64 / calls,
        allocations: (allocations::calls() - before) as f64 / calls,
    }
}

fn run_baseline(
    registry: &baseline::Registry,
    ids: &[String],
    case: &Case,
    budget: Duration,
) -> f64 {
    let (backends, models) = case.shape;
    let update = |turn: usize| {
        let list = list(models, turn.is_multiple_of(2));
        registry.update_models(&id(turn / 2 % backends), list);
    };
    let query =
        |turn: usize| drop(black_box(registry.get_backends_for_model(&ids[turn % ids.len()])));
    let mut turn = 0;
    let mut next = || {
        turn += 1;
        turn
    };
    match (case.operation, case.updates) {
        (Operation::Update, _) => repeat(budget, 1, || update(next())).nanos,
        (_, true) => {
            // Turns in one thread; only the queries are timed.
            let (mut spent, mut calls) = (Duration::ZERO, 0.0);
            while spent < budget {
                let turn = next();
                update(turn);
                let start = Instant::now();
                query(turn);
                spent += start.elapsed();
                calls += 1.0;
            }
            spent.as_nanos() as f64 / calls
        }
        (_, false) => std::thread::scope(|scope| {
            let worker = || {
                let mut turn = 0;
                let call = || {
                    turn += 1;
                    query(turn);
                };
                repeat(budget, 1, call).nanos
            };
            let workers: Vec<_> = (0..case.threads).map(|_| scope.spawn(worker)).collect();
            let nanos = workers.into_iter().map(|worker| worker.join().unwrap());
            nanos.sum::<f64>() / case.threads as f64
        }),
    }
}

fn name(operation: Operation) -> String {
    match operation {
        Operation::Pick(strategy) => format!("`pick`, {strategy}"),
        Operation::Query => "`get_backends_for_model`".to_owned(),
        Operation::Update => "`update_models`, one offer".to_owned(),
    }
}

fn print_table(results: &[Measured]) {
    println!(
        "| operation | backends × models | threads | updates | ns per call | baseline ns | times faster | allocations |"
    );
    println!("|---|--:|--:|:-:|--:|--:|--:|--:|");
    for Measured { case, nanos, baseline_nanos, allocations } in results {
        let (backends, models) = case.shape;
        let updates = if case.updates { "yes" } else { "no" };
        println!(
            "| {} | {backends} × {models} | {} | {updates} | {nanos:.0} | {baseline_nanos:.0} | {:.1} | {allocations:.2} |",
            name(case.operation),
            case.threads,
            baseline_nanos / nanos,
        );
    }
}

fn print_summary(results: &[Measured], bytes: i64) {
    println!();
    for strategy in Strategy::ALL {
        let at = |shape| {
            let case =
                Case { shape, operation: Operation::Pick(strategy), threads: 1, updates: false };
            results.iter().find(|result| result.case == case).unwrap().nanos
        };
        let ratio = at(SHAPES[1]) / at(SHAPES[0]);
        println!("- `pick`, {strategy}: at 10,000 backends {ratio:.2} × its time at 1,000");
    }
    println!("- {bytes} bytes per backend at 1,000 × 10, its share of the index included");
}
