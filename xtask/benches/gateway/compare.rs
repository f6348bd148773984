//! The comparison: every case with every system, round by round.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::load::{self, Until};
use crate::options::Options;
use crate::procfs;
use crate::report::{self, Figure, Figures, Line};
use crate::systems::{Stage, System};
use crate::workload::Workload;

/// Load before each measurement, so that connections and pools exist.
const WARM_UP: Duration = Duration::from_millis(200);

/// All rounds of one system in one case.
struct Series {
    workload: Workload,
    connections: usize,
    system: String,
    rounds: Vec<Figures>,
}

/// Measures and prints the tables.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let stage = Stage::start(options).await?;
    let mut series = Vec::new();
    for workload in &options.workloads {
        for connections in &options.connections {
            for system in &stage.systems {
                series.push(Series {
                    workload: *workload,
                    connections: *connections,
                    system: system.name.clone(),
                    rounds: Vec::new(),
                });
            }
        }
    }
    for round in 1..=options.rounds {
        for series in &mut series {
            let Some(system) = stage.system(&series.system) else { continue };
            eprint!(
                "\rround {round}/{}: {:<16}{:>3} connections, {:<12}",
                options.rounds,
                series.workload.name(),
                series.connections,
                system.name
            );
            let figures =
                measure(system, series.workload, series.connections, options.duration).await?;
            series.rounds.push(figures);
        }
    }
    eprintln!();
    print(options, &series);
    Ok(())
}

async fn measure(
    system: &System,
    workload: Workload,
    connections: usize,
    duration: Duration,
) -> Result<Figures> {
    let warm = Until::Time(Instant::now() + WARM_UP);
    load::run(system.address, workload, connections, warm).await?;
    procfs::forget_peak(&system.pids);
    let before = procfs::processor_time(&system.pids)?;
    let started = Instant::now();
    let until = Until::Time(started + duration);
    let samples = load::run(system.address, workload, connections, until).await?;
    let took = started.elapsed();
    let processor_time = procfs::processor_time(&system.pids)?.saturating_sub(before);
    let is_counted = !system.pids.is_empty();
    let peak = procfs::peak_bytes(&system.pids)?;
    Ok(Figures::new(
        samples,
        took,
        is_counted.then_some(processor_time),
        is_counted.then_some(peak),
    ))
}

fn print(options: &Options, all: &[Series]) {
    println!(
        "{} rounds of {:?} per measurement, {} processors; medians over rounds, in parentheses the \
         median of the ratios to nginx within a round.",
        options.rounds,
        options.duration,
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get)
    );
    for workload in &options.workloads {
        println!("\n### {} (`{}`)\n", workload.title(), workload.name());
        let lines: Vec<_> = all
            .iter()
            .filter(|series| series.workload == *workload)
            .map(|series| Line {
                connections: series.connections,
                system: &series.system,
                rounds: &series.rounds,
                nginx: nginx_of(all, series),
            })
            .collect();
        println!("{}", report::table(&lines));
    }
    println!("\n### callsheet against what is wanted\n");
    println!("| case | connections | CPU ÷ nginx | wanted | first p50 − nginx, ms | wanted |");
    println!("|---|--:|--:|--:|--:|--:|");
    for series in all.iter().filter(|series| series.system == "callsheet") {
        let Some(nginx) = nginx_of(all, series) else { continue };
        let show =
            |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
        let processor = report::paired(&series.rounds, nginx, Figure::Processor, |a, b| a / b);
        let first = report::paired(&series.rounds, nginx, Figure::First50, |a, b| a - b);
        let wanted = match series.workload {
            Workload::Plain => "≤ 1.25",
            Workload::BackToBack => "≤ 1.00",
            Workload::EventByEvent => "≤ 1.50",
            Workload::Paced | Workload::Slow => "–",
        };
        println!(
            "| {} | {} | {} | {wanted} | {} | ≤ 0.20 |",
            series.workload.name(),
            series.connections,
            show(processor),
            show(first)
        );
    }
}

fn nginx_of<'a>(all: &'a [Series], of: &Series) -> Option<&'a [Figures]> {
    all.iter()
        .find(|series| {
            series.system == "nginx"
                && series.workload == of.workload
                && series.connections == of.connections
        })
        .map(|series| series.rounds.as_slice())
}
