//! What the operator decides about routing.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How a backend is chosen among those that can serve a request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Of two random candidates, the one with less latency × load.
    #[default]
    Adaptive,
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastPending,
    /// The lowest `priority`; among equals, the fewest requests in flight.
    Priority,
    /// At random, in proportion to `weight`.
    Weighted,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 5] =
        [Self::Adaptive, Self::RoundRobin, Self::LeastPending, Self::Priority, Self::Weighted];

    /// Returns the strategy's name, as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Adaptive => "adaptive",
            Self::RoundRobin => "round_robin",
            Self::LeastPending => "least_pending",
            Self::Priority => "priority",
            Self::Weighted => "weighted",
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a backend that does not say if it can do what a request needs may be given the request.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownCapabilities {
    /// It may.
    #[default]
    Allow,
    /// It may not.
    Refuse,
}

/// Everything that a decision takes from the configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    /// How to choose among candidates.
    pub strategy: Strategy,
    /// What silence about a capability means.
    pub unknown_capabilities: UnknownCapabilities,
    /// Where the gateway stands: backends of this zone go before all others.
    pub zone: Option<String>,
    /// Failures in a row after which a backend is ejected; 0 for never.
    pub eject_after: u32,
    /// How long the first ejection lasts. Each further one in a row lasts twice as long.
    pub eject_for: Duration,
    /// The longest ejection.
    pub max_eject: Duration,
    /// How many requests may wait for a place, over all models.
    pub queue_size: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            unknown_capabilities: UnknownCapabilities::default(),
            zone: None,
            eject_after: 3,
            eject_for: Duration::from_secs(5),
            max_eject: Duration::from_mins(5),
            queue_size: 100,
        }
    }
}
