//! The strategies: which of a tier's candidates gets the request. Nothing here counts anything.

use crate::policy::Strategy;
use crate::sight::{Choice, Fit, Sight};
use crate::sync::{Ordering, random_below};
use std::cmp::Ordering as Order;
use std::ops::Range;

/// How often a random candidate that cannot be used is drawn anew before the tier is gone through.
/// With half of a large tier out of service, one decision in 256 comes to that.
const DRAWS: u32 = 8;
/// In a tier this small, going through it costs less than drawing.
const SMALL: usize = 4;
/// A latency sample is worth half as much after this long.
const STALE_NANOS: f64 = 10e9;
/// Even where latency rounds to nothing, load must count.
const LEAST_LATENCY_MS: f64 = 0.001;

/// Returns the candidate of a tier that the strategy prefers, or `None` if none can be used.
///
/// A backend that is due for its trial goes before its peers wherever a strategy comes upon it:
/// otherwise the strategies that compare could pass it over for ever. It is one request.
pub(crate) fn choose(sight: &Sight<'_>, tier: Range<usize>) -> Option<Choice> {
    match sight.policy.strategy {
        Strategy::Adaptive => adaptive(sight, tier),
        Strategy::RoundRobin => round_robin(sight, &tier),
        // Tiers have divided the priorities already.
        Strategy::LeastPending | Strategy::Priority => least_pending(sight, tier),
        Strategy::Weighted => weighted(sight, tier),
    }
}

/// The power of two choices: of two random candidates the one that costs less. Nearly as good as
/// the best of all, at a cost that does not depend on how many there are, and without the herd that
/// runs to whichever was best a moment ago.
fn adaptive(sight: &Sight<'_>, tier: Range<usize>) -> Option<Choice> {
    let first = draw(sight, &tier, None)?;
    if first.fit != Fit::Ready {
        return Some(first);
    }
    let Some(second) = draw(sight, &tier, Some(first.index)) else { return Some(first) };
    if second.fit != Fit::Ready {
        return Some(second);
    }
    let (a, b) = costs(sight, first.index, second.index);
    let keep_first = match a.total_cmp(&b) {
        Order::Less => true,
        Order::Greater => false,
        Order::Equal => random_below(2) == 0,
    };
    Some(if keep_first { first } else { second })
}

/// Returns the costs of two candidates: latency × (requests in flight + 1).
///
/// If one was never measured, load alone decides. The longer of two latencies fades towards the
/// shorter one as its last sample ages, so that a backend that once was slow is asked again:
/// `lo + (hi - lo) / (1 + age / 10 s)`.
fn costs(sight: &Sight<'_>, a: usize, b: usize) -> (f64, f64) {
    let (a, b) = (sight.backend(a), sight.backend(b));
    let (a_ms, b_ms) = match (a.latency(), b.latency()) {
        (Some(a), Some(b)) => {
            let lowest = a.0.min(b.0);
            (faded(a, lowest, sight.now), faded(b, lowest, sight.now))
        }
        _ => (1.0, 1.0),
    };
    (cost(a_ms, a.pending_requests()), cost(b_ms, b.pending_requests()))
}

fn faded((latency_ms, at): (f64, u64), lowest_ms: f64, now: u64) -> f64 {
    let age = now.saturating_sub(at) as f64;
    lowest_ms + (latency_ms - lowest_ms) / (1.0 + age / STALE_NANOS)
}

fn cost(latency_ms: f64, pending: u32) -> f64 {
    latency_ms.max(LEAST_LATENCY_MS) * (f64::from(pending) + 1.0)
}

/// Returns what a candidate costs beside the fastest of its peers, for whoever compares more than
/// two of them.
pub(crate) fn cost_beside(sight: &Sight<'_>, index: usize, lowest_ms: Option<f64>) -> f64 {
    let backend = sight.backend(index);
    let latency = match (backend.latency(), lowest_ms) {
        (Some(latency), Some(lowest)) => faded(latency, lowest, sight.now),
        (None, Some(lowest)) => lowest,
        (_, None) => 1.0,
    };
    cost(latency, backend.pending_requests())
}

fn round_robin(sight: &Sight<'_>, tier: &Range<usize>) -> Option<Choice> {
    let cursor = &sight.entry.cursor;
    let turn = cursor.fetch_add(1, Ordering::Relaxed);
    let choice = round(tier, turn % tier.len()).find_map(|index| sight.open(index));
    if choice.is_none() {
        // A tier that has nobody uses no turn up: otherwise the next tier would always be reached
        // two turns later, and of two backends one would get everything.
        cursor.fetch_sub(1, Ordering::Relaxed);
    }
    choice
}

fn least_pending(sight: &Sight<'_>, tier: Range<usize>) -> Option<Choice> {
    let start = random_below(tier.len() as u64) as usize;
    let mut best: Option<(u32, Choice)> = None;
    for choice in round(&tier, start).filter_map(|index| sight.open(index)) {
        if choice.fit != Fit::Ready {
            return Some(choice);
        }
        let pending = sight.backend(choice.index).pending_requests();
        if best.is_none_or(|(least, _)| pending < least) {
            best = Some((pending, choice));
        }
    }
    best.map(|(_, choice)| choice)
}

fn weighted(sight: &Sight<'_>, tier: Range<usize>) -> Option<Choice> {
    let sums = &sight.entry.weights[tier.clone()];
    let before = tier.start.checked_sub(1).map_or(0, |last| sight.entry.weights[last]);
    let total = sums.last()? - before;
    for _ in 0..DRAWS {
        if total == 0 {
            break;
        }
        let drawn = before + random_below(total);
        let at = sums.partition_point(|sum| *sum <= drawn);
        if let Some(choice) = sight.open(tier.start + at) {
            return Some(choice);
        }
    }
    // Too many cannot be used: draw among those that can, and heed that they may change meanwhile.
    let weight = |choice: &Choice| u64::from(sight.backend(choice.index).weight);
    let open = || tier.clone().filter_map(|index| sight.open(index));
    let total: u64 = open().map(|choice| weight(&choice)).sum();
    if total == 0 {
        return draw(sight, &tier, None);
    }
    let mut left = random_below(total);
    let mut last = None;
    for choice in open().filter(|choice| weight(choice) > 0) {
        if left < weight(&choice) {
            return Some(choice);
        }
        left -= weight(&choice);
        last = Some(choice);
    }
    last
}

/// Draws a random candidate that can be used, other than one drawn before.
fn draw(sight: &Sight<'_>, tier: &Range<usize>, except: Option<usize>) -> Option<Choice> {
    let open = |index| (Some(index) != except).then(|| sight.open(index)).flatten();
    let random = || random_below(tier.len() as u64) as usize;
    if tier.len() > SMALL {
        for _ in 0..DRAWS {
            if let Some(choice) = open(tier.start + random()) {
                return Some(choice);
            }
        }
    }
    round(tier, random()).find_map(open)
}

/// Goes once around a tier from an offset into it.
pub(crate) fn round(tier: &Range<usize>, offset: usize) -> impl Iterator<Item = usize> + use<> {
    let start = tier.start + offset;
    (start..tier.end).chain(tier.start..start)
}
