//! Memory: with many open streams, and over many requests.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::load::{self, Client, Until};
use crate::options::Options;
use crate::procfs;
use crate::systems::Stage;
use crate::workload::Workload;

/// How long the streams stay open; each gets several events meanwhile.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// How long one stream may take to open.
const OPENING: Duration = Duration::from_secs(20);

/// The requests between two readings of a soak.
const STEP: usize = 100_000;

/// The connections of a soak.
const SOAK_CONNECTIONS: usize = 64;

/// Prints the memory of each system with `count` streams open at once.
pub(crate) async fn open_streams(options: &Options, count: usize) -> Result<()> {
    let stage = Stage::start(options).await?;
    println!("| system | idle MB | with {count} open streams MB | peak MB | kB per stream |");
    println!("|---|--:|--:|--:|--:|");
    for system in stage.systems.iter().filter(|system| !system.pids.is_empty()) {
        let idle = procfs::resident_bytes(&system.pids)?;
        procfs::forget_peak(&system.pids);
        let request = Workload::Slow.request(system.address);
        let mut clients = Vec::with_capacity(count);
        for index in 0..count {
            let mut client = Client::connect(system.address).await?;
            let opened = client.first_byte(&request, Instant::now());
            tokio::time::timeout(OPENING, opened)
                .await
                .map_err(anyhow::Error::from)
                .flatten()
                .with_context(|| format!("stream {index} of {}", system.name))?;
            clients.push(client);
        }
        tokio::time::sleep(OPEN_FOR).await;
        let open = procfs::resident_bytes(&system.pids)?;
        let peak = procfs::peak_bytes(&system.pids)?;
        drop(clients);
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            system.name,
            megabytes(idle),
            megabytes(open),
            megabytes(peak),
            open.saturating_sub(idle) as f64 / 1e3 / count as f64
        );
    }
    Ok(())
}

/// Prints callsheet's memory after every 100,000 of `requests` plain and streamed requests.
pub(crate) async fn soak(options: &Options, requests: usize) -> Result<()> {
    let stage = Stage::start(options).await?;
    let system = stage
        .system("callsheet")
        .or_else(|| stage.systems.iter().rfind(|system| !system.pids.is_empty()))
        .context("no system to soak")?;
    println!("{}: every tenth request is a stream, {SOAK_CONNECTIONS} connections\n", system.name);
    println!("| requests | requests/s | resident MB | peak MB |");
    println!("|--:|--:|--:|--:|");
    println!("| 0 | – | {:.1} | |", megabytes(procfs::resident_bytes(&system.pids)?));
    let mut done = 0;
    while done < requests {
        let step = STEP.min(requests - done);
        let started = Instant::now();
        for (workload, count) in
            [(Workload::Plain, step - step / 10), (Workload::BackToBack, step / 10)]
        {
            let left = Until::Count(Rc::new(Cell::new(count)));
            load::run(system.address, workload, SOAK_CONNECTIONS, left).await?;
        }
        done += step;
        println!(
            "| {done} | {:.0} | {:.1} | {:.1} |",
            step as f64 / started.elapsed().as_secs_f64(),
            megabytes(procfs::resident_bytes(&system.pids)?),
            megabytes(procfs::peak_bytes(&system.pids)?)
        );
    }
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
