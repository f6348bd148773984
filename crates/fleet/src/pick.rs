//! The decision: one function that chooses and counts in one step.

use crate::clock::nanos;
use crate::in_flight::InFlight;
use crate::needs::Needs;
use crate::queue::Wait;
use crate::shared::Shared;
use crate::sight::{Choice, Fit, Obstacle, Sight};
use crate::strategy;
use crate::sync::{lock, random_below};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the strategy is asked again after another request took the place that it chose.
const LOST_RACES: u32 = 4;

/// Where a request goes.
#[must_use]
#[derive(Debug)]
pub enum Route {
    /// To this backend; the request is counted there until the guard is dropped.
    To(InFlight),
    /// All that can serve it have as many requests as they take; it may wait for a place.
    Wait(Wait),
    /// Nowhere.
    Refuse(Refusal),
}

/// Why a request goes nowhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Refusal {
    /// Nobody offers the model, or not the one backend that was asked for.
    #[error("no backend offers this model")]
    UnknownModel,
    /// Backends that could serve it exist, but all of them are down, ejected, draining, not probed
    /// yet, or were sent this request before.
    #[error("no backend that offers this model is available now")]
    NoneAvailable {
        /// When the first ejection ends, if that would help; 0 while a trial is under way.
        #[serde(rename = "retry_after_ms", with = "millis")]
        retry_after: Option<Duration>,
    },
    /// Backends that offer the model are available, but none, available or not, meets the needs.
    #[error("no backend that offers this model meets the needs of this request")]
    NeedsUnmet,
}

/// What becomes of a request that no candidate can take now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Otherwise {
    Wait,
    Refuse(Refusal),
}

pub(crate) fn pick(shared: &Arc<Shared>, model: &str, needs: &Needs<'_>, now: Instant) -> Route {
    loop {
        if let Some(route) = pick_now(shared, model, needs, now) {
            return route;
        }
        // What stands in the candidate's place is in the snapshot that is published in this turn.
        drop(lock(&shared.writer));
    }
}

/// As [`pick`]; `None` if nobody could be chosen, and a candidate is just being replaced.
fn pick_now(shared: &Arc<Shared>, model: &str, needs: &Needs<'_>, now: Instant) -> Option<Route> {
    let snapshot = shared.snapshot.load();
    let Some(sight) = Sight::of(&snapshot, model, needs, nanos(now)) else {
        return Some(Route::Refuse(Refusal::UnknownModel));
    };
    if let Some(in_flight) = sight.tiers().find_map(|tier| claim_in(shared, &sight, &tier)) {
        return Some(Route::To(in_flight));
    }
    if sight.candidates().any(|index| sight.backend(index).is_replaced()) {
        return None;
    }
    Some(match otherwise(&sight) {
        Otherwise::Wait => {
            Route::Wait(Wait::new(Arc::clone(shared), Arc::clone(&sight.entry.model), needs))
        }
        Otherwise::Refuse(refusal) => Route::Refuse(refusal),
    })
}

fn claim_in(shared: &Arc<Shared>, sight: &Sight<'_>, tier: &Range<usize>) -> Option<InFlight> {
    for _ in 0..LOST_RACES {
        let choice = strategy::choose(sight, tier.clone())?;
        if let Some(in_flight) = claim(shared, sight, choice) {
            return Some(in_flight);
        }
    }
    // Others keep getting there first. Take whatever the tier still has.
    let start = random_below(tier.len() as u64) as usize;
    strategy::round(tier, start)
        .filter_map(|index| sight.open(index))
        .find_map(|choice| claim(shared, sight, choice))
}

/// Takes the place, and the trial if it is one. `None` if another request was faster.
fn claim(shared: &Arc<Shared>, sight: &Sight<'_>, choice: Choice) -> Option<InFlight> {
    let backend = sight.backend(choice.index);
    if !backend.take_place() {
        return None;
    }
    let trial = match choice.fit {
        Fit::Ready => None,
        Fit::Trial(due) if backend.ejection().begin_trial(due) => Some(due),
        Fit::Trial(_) => {
            shared.give_back(backend);
            return None;
        }
    };
    Some(InFlight::new(Arc::clone(shared), Arc::clone(backend), trial))
}

/// Returns what is left to a request when no candidate can take it.
pub(crate) fn otherwise(sight: &Sight<'_>) -> Otherwise {
    let (mut unmet, mut down, mut next) = (false, false, None::<u64>);
    for index in sight.candidates() {
        match sight.look(index) {
            // Free now, though it was not a moment ago: whoever waits will find it.
            Ok(_) | Err(Obstacle::AtCapacity) => return Otherwise::Wait,
            Err(Obstacle::Unmet(_)) => unmet = true,
            // What could not serve it anyway is no reason to come back later.
            Err(_) if sight.unmet(index).is_some() => {}
            Err(Obstacle::Ejected { until }) => {
                down = true;
                next = Some(next.map_or(until, |next| next.min(until)));
            }
            Err(Obstacle::Status(_) | Obstacle::Tried) => down = true,
        }
    }
    Otherwise::Refuse(if unmet && !down {
        Refusal::NeedsUnmet
    } else {
        let wait = |until: u64| Duration::from_nanos(until.saturating_sub(sight.now));
        Refusal::NoneAvailable { retry_after: next.map(wait) }
    })
}

mod millis {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    #[allow(clippy::ref_option, reason = "serde passes the field by reference")]
    pub(super) fn serialize<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let millis = duration.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        millis.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(deserializer)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
