//! A timer that outlives the request it was set for.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Wakes whoever reads from a connection when a deadline passes.
///
/// Registering a timer for each request and each part of an answer, only to take it back when the
/// answer comes, costs more than the rest of the wait. So the timer stays: one that is due before
/// the deadline is left to fire, and is only then set again.
#[derive(Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Returns ready once the deadline has passed; until then the task is woken when it does.
    pub fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= deadline || Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Alarm(set)" } else { "Alarm(unset)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::poll_fn, time::Duration};

    async fn rings_after(alarm: &mut Alarm, wait: Duration) -> Duration {
        let start = Instant::now();
        poll_fn(|cx| alarm.poll(cx, start + wait)).await;
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_each_deadline_whether_later_or_earlier_than_the_last() {
        let mut alarm = Alarm::default();
        for seconds in [5, 1, 10, 10, 3] {
            let wait = Duration::from_secs(seconds);
            let rang = rings_after(&mut alarm, wait).await;
            assert!(rang >= wait && rang < wait + Duration::from_millis(10), "{wait:?}: {rang:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_left_set_for_an_earlier_request_does_not_ring_for_a_later_one() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        // A request that was answered before its deadline.
        poll_fn(|cx| {
            assert!(alarm.poll(cx, start + Duration::from_secs(2)).is_pending());
            Poll::Ready(())
        })
        .await;
        let wait = Duration::from_secs(30);
        assert!(rings_after(&mut alarm, wait).await >= wait);
    }
}
