//! The decision, with reasons: the rules of `pick` applied to every backend.

use crate::clock::nanos;
use crate::index::Snapshot;
use crate::needs::{Needs, SaidBy, Unmet};
use crate::pick::{Otherwise, Refusal, otherwise};
use crate::policy::Strategy;
use crate::registry::{Backend, BackendStatus};
use crate::sight::{Choice, Fit, Obstacle, Sight};
use crate::strategy::{cost_beside, round};
use crate::sync::Ordering;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How a request for a model would fare now, and how each backend does in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked for.
    pub model: String,
    /// The strategy that decides.
    pub strategy: Strategy,
    /// What becomes of the request.
    pub outcome: Outcome,
    /// Every backend, sorted by id.
    pub candidates: Vec<Candidate>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes to this backend. Where chance plays a part, to the likeliest.
    To(String),
    /// It waits for a place.
    Wait,
    /// It is refused.
    Refuse(Refusal),
}

/// One backend in an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The backend's id.
    pub backend: String,
    /// How it fares.
    pub verdict: Verdict,
    /// What the strategy compares, for those that it compares by a cost: latency in milliseconds ×
    /// (requests in flight + 1), or requests in flight.
    pub cost: Option<f64>,
    /// Its requests in flight.
    pub pending: u32,
    /// Its average time to first byte.
    pub latency_ms: Option<u32>,
    /// Its weight.
    pub weight: u32,
    /// Its priority.
    pub priority: i32,
    /// Where it stands.
    pub zone: Option<String>,
}

/// How a backend fares.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It gets the request.
    Chosen,
    /// It gets the request, to try whether it is well again.
    ChosenAsTrial,
    /// Another does, or none.
    Lost(Reason),
}

/// Why a backend does not get the request.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Reason {
    /// It does not offer the model.
    NotOffered,
    /// The request named another backend.
    OtherBackendAsked,
    /// It fails its probes.
    Unhealthy {
        /// What the last one complained of.
        error: Option<String>,
    },
    /// It has not been probed yet.
    Unknown,
    /// It takes nothing new.
    Draining,
    /// It failed requests, and is left alone.
    Ejected {
        /// For how much longer; 0 while its trial is under way.
        for_ms: u64,
    },
    /// It cannot call tools.
    LacksTools {
        /// Who says so.
        #[serde(default, skip_serializing_if = "SaidBy::is_backend")]
        by: SaidBy,
    },
    /// It cannot see.
    LacksVision {
        /// Who says so.
        #[serde(default, skip_serializing_if = "SaidBy::is_backend")]
        by: SaidBy,
    },
    /// It cannot be held to JSON.
    LacksJsonMode {
        /// Who says so.
        #[serde(default, skip_serializing_if = "SaidBy::is_backend")]
        by: SaidBy,
    },
    /// It does not say whether it can call tools, and that is not enough here.
    UnknownTools,
    /// It does not say whether it can see, and that is not enough here.
    UnknownVision,
    /// It does not say whether it can be held to JSON, and that is not enough here.
    UnknownJsonMode,
    /// It does not say how long its context is, and that is not enough here.
    UnknownContext,
    /// Its context is too short.
    ContextTooShort {
        /// How long it is, in tokens.
        has: u32,
        /// Who says so.
        #[serde(default, skip_serializing_if = "SaidBy::is_backend")]
        by: SaidBy,
    },
    /// Its context is too short however it is served, by its card.
    ContextAtMost {
        /// How long it can be, in tokens.
        has: u32,
    },
    /// It has as many requests as it takes.
    AtCapacity {
        /// How many that is.
        max_concurrent: u32,
    },
    /// The request was sent to it before.
    AlreadyTried,
    /// It is in another zone, or has a lower priority, and a preferred one is free.
    LowerTier,
    /// Its weight is 0, and one with a weight is free.
    NoWeight,
    /// The one chosen costs less.
    CostsMore,
    /// Another comes first in the round.
    NotItsTurn,
    /// The one chosen has a larger share.
    SmallerShare,
    /// A backend that comes back from an ejection is tried first.
    TrialGoesFirst,
}

impl Reason {
    /// Whether the backend could not get the request at all. Otherwise it could, and for the next
    /// request may.
    pub fn rules_out(&self) -> bool {
        !matches!(
            self,
            Self::CostsMore | Self::NotItsTurn | Self::SmallerShare | Self::TrialGoesFirst
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said_by = |text: &'static str, by: &SaidBy| match by {
            SaidBy::Backend => (text, ""),
            SaidBy::Card => (text, BY_ITS_CARD),
        };
        let (text, by) = match self {
            Self::LacksTools { by } => said_by("cannot call tools", by),
            Self::LacksVision { by } => said_by("takes no images", by),
            Self::LacksJsonMode { by } => said_by("has no JSON mode", by),
            Self::ContextTooShort { has, by } => {
                write!(f, "has a context of {has} tokens only")?;
                said_by("", by)
            }
            Self::ContextAtMost { has } => {
                return write!(f, "has a context of at most {has} tokens{BY_ITS_CARD}");
            }
            Self::Unhealthy { error: Some(error) } => return write!(f, "is unhealthy: {error}"),
            Self::Ejected { for_ms: 0 } => ("is ejected, and its trial is under way", ""),
            Self::Ejected { for_ms } => {
                let left = Duration::from_millis(*for_ms);
                return write!(f, "is ejected after failures, for another {left:.1?}");
            }
            Self::AtCapacity { max_concurrent } => {
                return write!(f, "has its {max_concurrent} requests at once");
            }
            Self::NotOffered => ("does not offer the model", ""),
            Self::OtherBackendAsked => ("was not the backend asked for", ""),
            Self::Unhealthy { error: None } => ("is unhealthy", ""),
            Self::Unknown => ("has not been probed yet", ""),
            Self::Draining => ("is draining", ""),
            Self::UnknownTools => ("does not say whether it can call tools", ""),
            Self::UnknownVision => ("does not say whether it takes images", ""),
            Self::UnknownJsonMode => ("does not say whether it has a JSON mode", ""),
            Self::UnknownContext => ("does not say how long its context is", ""),
            Self::AlreadyTried => ("was tried already", ""),
            Self::LowerTier => ("is less preferred by zone or priority", ""),
            Self::NoWeight => ("has weight 0", ""),
            Self::CostsMore => ("costs more", ""),
            Self::NotItsTurn => ("comes later in the round", ""),
            Self::SmallerShare => ("has no larger share", ""),
            Self::TrialGoesFirst => ("yields to a backend on trial", ""),
        };
        f.write_str(text)?;
        f.write_str(by)
    }
}

const BY_ITS_CARD: &str = ", by its card";

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => f.write_str("chosen"),
            Self::ChosenAsTrial => f.write_str("chosen, as a trial after its ejection"),
            Self::Lost(reason) => reason.fmt(f),
        }
    }
}

/// What decides between the candidates that can serve the request.
struct Contest {
    chosen: Choice,
    tier: Range<usize>,
    lowest_ms: Option<f64>,
}

pub(crate) fn explain(
    snapshot: &Snapshot,
    model: &str,
    needs: &Needs<'_>,
    now: Instant,
) -> Explanation {
    let sight = Sight::of(snapshot, model, needs, nanos(now));
    let contest = sight.as_ref().and_then(contest);
    let outcome = match (&sight, &contest) {
        (Some(sight), Some(contest)) => Outcome::To(sight.backend(contest.chosen.index).id.clone()),
        (Some(sight), None) => match otherwise(sight) {
            Otherwise::Wait => Outcome::Wait,
            Otherwise::Refuse(refusal) => Outcome::Refuse(refusal),
        },
        (None, _) => Outcome::Refuse(Refusal::UnknownModel),
    };
    let entry = snapshot.entry(model);
    let candidate = |backend: &std::sync::Arc<Backend>| {
        let index = entry.and_then(|entry| entry.position(&backend.id));
        let (verdict, cost) = match (index, &sight) {
            (None, _) => (Verdict::Lost(Reason::NotOffered), None),
            (Some(index), Some(sight)) if sight.candidates().contains(&index) => (
                verdict(sight, contest.as_ref(), index),
                contest.as_ref().and_then(|contest| compared_cost(sight, contest, index)),
            ),
            (Some(_), _) => (Verdict::Lost(Reason::OtherBackendAsked), None),
        };
        Candidate {
            backend: backend.id.clone(),
            verdict,
            cost,
            pending: backend.pending_requests(),
            latency_ms: backend.avg_latency_ms(),
            weight: backend.weight,
            priority: backend.priority,
            zone: backend.zone.clone(),
        }
    };
    let candidates = snapshot.all.iter().map(candidate).collect();
    let strategy = snapshot.policy.strategy;
    Explanation { model: model.to_owned(), strategy, outcome, candidates }
}

fn contest(sight: &Sight<'_>) -> Option<Contest> {
    let open = |tier: &Range<usize>| tier.clone().any(|index| sight.open(index).is_some());
    let tier = sight.tiers().find(open)?;
    let latency = |choice: Choice| Some(sight.backend(choice.index).latency()?.0);
    let lowest_ms = choices(sight, &tier).filter_map(latency).min_by(f64::total_cmp);
    let chosen = expected(sight, &tier, lowest_ms)?;
    Some(Contest { chosen, tier, lowest_ms })
}

fn choices(sight: &Sight<'_>, tier: &Range<usize>) -> impl Iterator<Item = Choice> {
    tier.clone().filter_map(|index| sight.open(index))
}

/// What `strategy::choose` comes to when chance favours nobody.
fn expected(sight: &Sight<'_>, tier: &Range<usize>, lowest_ms: Option<f64>) -> Option<Choice> {
    let backend = |choice: &Choice| sight.backend(choice.index);
    let trial = choices(sight, tier).find(|choice| choice.fit != Fit::Ready);
    match sight.policy.strategy {
        Strategy::RoundRobin => {
            let turn = sight.entry.cursor.load(Ordering::Relaxed) % tier.len();
            round(tier, turn).find_map(|index| sight.open(index))
        }
        Strategy::Weighted => choices(sight, tier).min_by_key(|choice| {
            // The first of the heaviest.
            std::cmp::Reverse(backend(choice).weight)
        }),
        Strategy::Adaptive => trial.or_else(|| {
            let cost = |choice: &Choice| cost_beside(sight, choice.index, lowest_ms);
            choices(sight, tier).min_by(|a, b| cost(a).total_cmp(&cost(b)))
        }),
        Strategy::LeastPending | Strategy::Priority => trial.or_else(|| {
            choices(sight, tier).min_by_key(|choice| backend(choice).pending_requests())
        }),
    }
}

fn compared_cost(sight: &Sight<'_>, contest: &Contest, index: usize) -> Option<f64> {
    let compared = contest.tier.contains(&index) && sight.look(index).is_ok();
    match sight.policy.strategy {
        _ if !compared => None,
        Strategy::Adaptive => Some(cost_beside(sight, index, contest.lowest_ms)),
        Strategy::LeastPending | Strategy::Priority => {
            Some(f64::from(sight.backend(index).pending_requests()))
        }
        Strategy::RoundRobin | Strategy::Weighted => None,
    }
}

fn verdict(sight: &Sight<'_>, contest: Option<&Contest>, index: usize) -> Verdict {
    if let Err(obstacle) = sight.look(index) {
        return Verdict::Lost(reason(sight, index, obstacle));
    }
    // A place that came free after the outcome was found would find nobody chosen.
    let Some(contest) = contest else { return Verdict::Lost(Reason::NotItsTurn) };
    let chosen = sight.backend(contest.chosen.index);
    if contest.chosen.index == index {
        return match contest.chosen.fit {
            Fit::Ready => Verdict::Chosen,
            Fit::Trial(_) => Verdict::ChosenAsTrial,
        };
    }
    Verdict::Lost(match sight.policy.strategy {
        _ if !contest.tier.contains(&index) => Reason::LowerTier,
        Strategy::RoundRobin => Reason::NotItsTurn,
        Strategy::Weighted if sight.backend(index).weight == 0 && chosen.weight > 0 => {
            Reason::NoWeight
        }
        Strategy::Weighted => Reason::SmallerShare,
        _ if contest.chosen.fit != Fit::Ready => Reason::TrialGoesFirst,
        _ => Reason::CostsMore,
    })
}

fn reason(sight: &Sight<'_>, index: usize, obstacle: Obstacle) -> Reason {
    let backend = sight.backend(index);
    match obstacle {
        Obstacle::Status(BackendStatus::Draining) => Reason::Draining,
        Obstacle::Status(BackendStatus::Unknown) => Reason::Unknown,
        Obstacle::Status(_) => Reason::Unhealthy { error: backend.last_error() },
        Obstacle::Ejected { until } => {
            Reason::Ejected { for_ms: until.saturating_sub(sight.now).div_ceil(1_000_000) }
        }
        Obstacle::Unmet(unmet) => match unmet {
            Unmet::LacksTools(by) => Reason::LacksTools { by },
            Unmet::LacksVision(by) => Reason::LacksVision { by },
            Unmet::LacksJsonMode(by) => Reason::LacksJsonMode { by },
            Unmet::UnknownTools => Reason::UnknownTools,
            Unmet::UnknownVision => Reason::UnknownVision,
            Unmet::UnknownJsonMode => Reason::UnknownJsonMode,
            Unmet::UnknownContext => Reason::UnknownContext,
            Unmet::ContextTooShort { has, by } => Reason::ContextTooShort { has, by },
            Unmet::ContextAtMost { has } => Reason::ContextAtMost { has },
        },
        Obstacle::Tried => Reason::AlreadyTried,
        Obstacle::AtCapacity => Reason::AtCapacity {
            max_concurrent: backend.max_concurrent().map_or(u32::MAX, std::num::NonZeroU32::get),
        },
    }
}
