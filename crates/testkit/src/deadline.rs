//! The one deadline of every wait, so that a broken test fails with a sentence instead of hanging.

use std::time::Duration;

/// How long a wait lasts before it counts as a failure.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits `future` for at most [`PATIENCE`].
///
/// # Panics
/// When the time is over, naming `what` was awaited.
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    let output = tokio::time::timeout(PATIENCE, future).await;
    output.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain: {what}"))
}
