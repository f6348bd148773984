//! Log lines on standard error: the daemon's own through `tracing`, requests from the journal.

use callsheet_gateway::{Journal, LogFormat};
use callsheet_server::config::LogConfig;
use std::{
    io::Write,
    sync::Arc,
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

/// Begins to write what the daemon says of itself.
pub(crate) fn init(config: &LogConfig) {
    let level = tracing_subscriber::EnvFilter::new(config.level.as_str());
    let builder = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).init(),
        LogFormat::Text => builder.with_ansi(false).init(),
    }
}

/// The thread that writes the access log; dropping it writes what is left.
pub(crate) struct JournalWriter {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How long a line may wait for its batch.
const BATCH: Duration = Duration::from_millis(100);

impl JournalWriter {
    pub(crate) fn start(journal: Arc<Journal>) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel::<()>();
        let thread =
            std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
                loop {
                    let is_over = stopped.recv_timeout(BATCH) != Err(RecvTimeoutError::Timeout);
                    let lines = journal.take();
                    if !lines.is_empty() {
                        // Nobody is left to tell that the log cannot be written.
                        let _ = std::io::stderr().lock().write_all(&lines);
                    }
                    if is_over {
                        return;
                    }
                }
            })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
