//! What one decision looks at, and what it sees in each candidate.

use crate::eject::Term;
use crate::index::{Entry, Snapshot};
use crate::needs::{Needs, Offer, Unmet};
use crate::policy::Policy;
use crate::registry::{Backend, BackendStatus};
use std::ops::Range;
use std::sync::Arc;

/// One request for one model at one moment.
pub(crate) struct Sight<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) policy: &'a Policy,
    pub(crate) needs: &'a Needs<'a>,
    pub(crate) now: u64,
    /// The only candidate, where the request named a backend.
    only: Option<usize>,
}

/// How a candidate may be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fit {
    Ready,
    /// As the trial of an ejected backend; holds the word that the trial replaces.
    Trial(u64),
}

/// Why a candidate cannot be used. Ordered as it is looked for: whoever is at capacity could serve
/// the request otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Obstacle {
    Status(BackendStatus),
    Ejected {
        until: u64,
    },
    Unmet(Unmet),
    /// The request was sent to it before.
    Tried,
    AtCapacity,
}

/// A candidate that may be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    pub(crate) index: usize,
    pub(crate) fit: Fit,
}

impl<'a> Sight<'a> {
    /// Returns `None` if nobody offers the model, or not the one backend that the request named.
    pub(crate) fn of(
        snapshot: &'a Snapshot,
        model: &str,
        needs: &'a Needs<'a>,
        now: u64,
    ) -> Option<Self> {
        let entry = snapshot.entry(model)?;
        let only = match needs.only {
            Some(id) => Some(entry.position(id)?),
            None => None,
        };
        Some(Self { entry, policy: &snapshot.policy, needs, now, only })
    }

    pub(crate) fn backend(&self, index: usize) -> &'a Arc<Backend> {
        &self.entry.backends[index]
    }

    /// Returns the tiers of the candidates, the most preferred first.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = Range<usize>> {
        self.entry.tiers().filter_map(|tier| match self.only {
            None => Some(tier),
            Some(only) => tier.contains(&only).then_some(only..only + 1),
        })
    }

    pub(crate) fn candidates(&self) -> Range<usize> {
        self.only.map_or(0..self.entry.backends.len(), |only| only..only + 1)
    }

    /// Returns whether and how a candidate may be used.
    pub(crate) fn look(&self, index: usize) -> Result<Fit, Obstacle> {
        let backend = self.backend(index);
        let fit = standing(backend, self.now)?;
        if let Some(unmet) = self.unmet(index) {
            return Err(Obstacle::Unmet(unmet));
        }
        if self.needs.was_sent_to(backend) {
            return Err(Obstacle::Tried);
        }
        if backend.has_place() { Ok(fit) } else { Err(Obstacle::AtCapacity) }
    }

    /// Returns a candidate as a choice, if it may be used.
    pub(crate) fn open(&self, index: usize) -> Option<Choice> {
        self.look(index).ok().map(|fit| Choice { index, fit })
    }

    pub(crate) fn unmet(&self, index: usize) -> Option<Unmet> {
        let offer: &Offer = &self.entry.offers[index];
        offer.unmet(self.needs, self.policy.unknown_capabilities)
    }
}

/// Returns whether a backend may be given any request at all now, its limit aside.
pub(crate) fn standing(backend: &Backend, now: u64) -> Result<Fit, Obstacle> {
    match backend.status() {
        BackendStatus::Healthy => {}
        status => return Err(Obstacle::Status(status)),
    }
    match backend.ejection().term(now) {
        Term::InService => Ok(Fit::Ready),
        Term::Due(word) => Ok(Fit::Trial(word)),
        Term::Ejected(until) => Err(Obstacle::Ejected { until }),
    }
}
