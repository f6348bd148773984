//! The threads that answer requests: one for each processor, each with a runtime of its own.
//!
//! A connection stays on its thread, and so do the connections to backends that it uses (their pool
//! prefers those of the thread that asks). Threads that share their work wake each other for it,
//! which at these rates costs more than the work.

use crate::{App, config::LimitsConfig, connection, front::Front};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    runtime,
    sync::{mpsc, watch},
};

/// The running threads.
pub(crate) struct Workers {
    all: Vec<Worker>,
    /// Each connection holds a receiver: when all are dropped, all are done.
    draining: watch::Sender<bool>,
    /// True once all threads may end. Until then each drives its runtime, which connections that
    /// another thread took over may still need.
    finished: watch::Sender<bool>,
}

struct Worker {
    incoming: mpsc::UnboundedSender<std::net::TcpStream>,
    open: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Workers {
    pub(crate) fn start(app: &Arc<App>, limits: &LimitsConfig) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let (draining, finished) = (watch::Sender::new(false), watch::Sender::new(false));
        let start = |number| {
            let front = Front::new(Arc::clone(app), limits.header_bytes.as_usize());
            Worker::start(number, front, limits.clone(), &draining, &finished)
        };
        let all = (0..count).map(start).collect::<io::Result<_>>()?;
        Ok(Self { all, draining, finished })
    }

    /// Gives a connection to the thread that has the fewest.
    pub(crate) fn take(&self, stream: TcpStream) {
        let worker = self.all.iter().min_by_key(|worker| worker.open.load(Ordering::Relaxed));
        // A socket that cannot be handed over is closed, which tells its client.
        if let (Some(worker), Ok(stream)) = (worker, stream.into_std()) {
            worker.open.fetch_add(1, Ordering::Relaxed);
            let _ = worker.incoming.send(stream);
        }
    }

    /// Lets what is under way finish for so long, and returns how many connections were cut off.
    pub(crate) async fn finish(self, timeout: Duration) -> usize {
        let Self { all: workers, draining, finished } = self;
        let open: usize = workers.iter().map(|worker| worker.open.load(Ordering::Relaxed)).sum();
        tracing::info!(connections = open, "stopping: finishing what is under way");
        let counts: Vec<_> = workers.iter().map(|worker| Arc::clone(&worker.open)).collect();
        // Without their senders the threads take what was accepted before, and end when it is done.
        let threads: Vec<_> = workers.into_iter().map(|worker| worker.thread).collect();
        draining.send_replace(true);
        let cut = match tokio::time::timeout(timeout, draining.closed()).await {
            Ok(()) => 0,
            Err(_) => counts.iter().map(|open| open.load(Ordering::Relaxed)).sum(),
        };
        finished.send_replace(true);
        if cut == 0 {
            for thread in threads {
                let _ = tokio::task::spawn_blocking(move || thread.join()).await;
            }
        }
        cut
    }
}

impl Worker {
    fn start(
        number: usize,
        front: Front,
        limits: LimitsConfig,
        draining: &watch::Sender<bool>,
        finished: &watch::Sender<bool>,
    ) -> io::Result<Self> {
        let (incoming, mut accepted) = mpsc::unbounded_channel::<std::net::TcpStream>();
        let open = Arc::new(AtomicUsize::new(0));
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (front, limits) = (Arc::new(front), Arc::new(limits));
        let (told, counted) = (draining.subscribe(), Arc::clone(&open));
        let mut finished = finished.subscribe();
        let thread =
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                runtime.block_on(async move {
                    let mut connections = tokio::task::JoinSet::new();
                    loop {
                        tokio::select! {
                            stream = accepted.recv() => {
                                let Some(stream) = stream else { break };
                                let open = Open(Arc::clone(&counted));
                                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                                let (front, limits) = (Arc::clone(&front), Arc::clone(&limits));
                                let told = told.clone();
                                connections.spawn(async move {
                                    let _open = open;
                                    connection::serve(stream, front, &limits, told).await;
                                });
                            }
                            Some(_) = connections.join_next() => {}
                        }
                    }
                    drop(told);
                    while connections.join_next().await.is_some() {}
                    // An error means that nobody is left to wait for.
                    drop(finished.wait_for(|finished| *finished).await);
                });
            })?;
        Ok(Self { incoming, open, thread })
    }
}

/// A connection that counts as open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
