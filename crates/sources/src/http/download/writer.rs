//! Writes what comes on a blocking thread, never far behind.

use super::partial::{Origin, Partial};
use bytes::Bytes;
use std::io;
use tokio::{sync::mpsc, task::JoinHandle};

/// How many pieces may wait to be written.
const QUEUE: usize = 16;

enum Step {
    Begin(Option<Origin>),
    Append(Bytes),
}

/// A [`Partial`] that is being written. Dropping it ends the writing; what came stays in the file.
pub(super) struct Writer {
    steps: mpsc::Sender<Step>,
    task: JoinHandle<(Partial, io::Result<()>)>,
}

impl Writer {
    pub(super) fn new(mut partial: Partial) -> Self {
        let (steps, mut queue) = mpsc::channel(QUEUE);
        let task = tokio::task::spawn_blocking(move || {
            while let Some(step) = queue.blocking_recv() {
                let done = match step {
                    Step::Begin(origin) => partial.begin(origin),
                    Step::Append(bytes) => partial.append(&bytes),
                };
                if done.is_err() {
                    return (partial, done);
                }
            }
            (partial, Ok(()))
        });
        Self { steps, task }
    }

    /// Throws away what is there, and notes what comes now. False if nothing can be written any
    /// more; [`Writer::finish`] says why.
    pub(super) async fn begin(&self, origin: Option<Origin>) -> bool {
        self.steps.send(Step::Begin(origin)).await.is_ok()
    }

    /// Adds what came. False as above.
    pub(super) async fn append(&self, bytes: Bytes) -> bool {
        self.steps.send(Step::Append(bytes)).await.is_ok()
    }

    /// Waits until all is written, and returns the file and how that went; none where the thread
    /// was taken away, as it is when the process ends.
    pub(super) async fn finish(self) -> Option<(Partial, io::Result<()>)> {
        drop(self.steps);
        self.task.await.ok()
    }
}
