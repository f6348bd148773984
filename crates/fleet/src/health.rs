//! From single probes to a status: one function of data.

use crate::registry::BackendStatus;
use std::{num::NonZeroU32, time::Duration};

/// How backends are probed, and how much one probe counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HealthPolicy {
    /// Between two probes.
    pub interval: Duration,
    /// For one probe.
    pub timeout: Duration,
    /// Bad probes in a row that make a healthy backend unhealthy.
    pub failure_threshold: NonZeroU32,
    /// Good probes in a row that make an unhealthy backend healthy.
    pub recovery_threshold: NonZeroU32,
}

/// What one probe found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ProbeOutcome {
    /// It answers, perhaps with something to complain of.
    Up {
        /// What is odd about its answer.
        complaint: Option<String>,
    },
    /// It does not answer as it should.
    Down {
        /// How it fails.
        error: String,
    },
}

/// Probes in a row that contradict the status.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Streak(u32);

/// Returns the status after a probe. The first result decides for a backend that is not known yet;
/// a probe never ends draining.
pub fn judge(
    streak: &mut Streak,
    status: BackendStatus,
    outcome: &ProbeOutcome,
    policy: &HealthPolicy,
) -> BackendStatus {
    let (found, threshold) = match outcome {
        ProbeOutcome::Up { .. } => (BackendStatus::Healthy, policy.recovery_threshold),
        ProbeOutcome::Down { .. } => (BackendStatus::Unhealthy, policy.failure_threshold),
    };
    if status == found || status == BackendStatus::Draining {
        *streak = Streak::default();
        return status;
    }
    streak.0 += 1;
    if status == BackendStatus::Unknown || streak.0 >= threshold.get() {
        *streak = Streak::default();
        return found;
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use BackendStatus::{Draining, Healthy, Unhealthy, Unknown};

    fn run(start: BackendStatus, probes: &str) -> Vec<BackendStatus> {
        let policy = HealthPolicy {
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            failure_threshold: NonZeroU32::new(3).unwrap(),
            recovery_threshold: NonZeroU32::new(2).unwrap(),
        };
        let mut streak = Streak::default();
        let mut status = start;
        let probe = |probe| match probe {
            '+' => ProbeOutcome::Up { complaint: None },
            _ => ProbeOutcome::Down { error: "refused".to_owned() },
        };
        probes
            .chars()
            .map(|c| {
                status = judge(&mut streak, status, &probe(c), &policy);
                status
            })
            .collect()
    }

    #[test]
    fn the_first_result_decides_for_an_unknown_backend() {
        assert_eq!(run(Unknown, "+"), [Healthy]);
        assert_eq!(run(Unknown, "-"), [Unhealthy]);
    }

    #[test]
    fn three_down_and_two_up_and_the_opposite_result_starts_over() {
        assert_eq!(run(Healthy, "---"), [Healthy, Healthy, Unhealthy]);
        assert_eq!(run(Healthy, "--+--"), [Healthy; 5]);
        assert_eq!(run(Unhealthy, "++"), [Unhealthy, Healthy]);
        assert_eq!(run(Unhealthy, "+-+"), [Unhealthy; 3]);
    }

    #[test]
    fn a_probe_does_not_end_draining() {
        assert_eq!(run(Draining, "++---"), [Draining; 5]);
    }
}
