//! The index: one immutable picture of which backend offers which model.
//!
//! Readers take the current picture through an atomic pointer and are never disturbed. A change
//! makes a new picture that shares every part that the change did not touch.

use crate::directory::{Asked, Cards, Known, Offered};
use crate::needs::Offer;
use crate::policy::{Policy, Strategy};
use crate::registry::Backend;
use crate::sync::AtomicUsize;
use crossbeam_utils::CachePadded;
use std::cmp::Ordering as Order;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Models are spread over this many maps, so that a change copies a small one.
const SHARDS: usize = 64;

/// Only backends add models, so that no client can choose names that collide.
type Shard = HashMap<Arc<str>, Arc<Entry>, foldhash::fast::RandomState>;

/// The backends, the models and the policy at one moment.
pub(crate) struct Snapshot {
    pub(crate) policy: Arc<Policy>,
    /// Sorted by id.
    pub(crate) all: Arc<[Arc<Backend>]>,
    pub(crate) model_count: usize,
    pub(crate) cards: Cards,
    shards: Box<[Arc<Shard>]>,
}

/// Who offers one model, in parallel arrays sorted by tier, then id.
pub(crate) struct Entry {
    pub(crate) model: Arc<str>,
    pub(crate) backends: Arc<[Arc<Backend>]>,
    pub(crate) offers: Box<[Offer]>,
    /// What no decision reads.
    known: Box<[Option<Arc<Known>>]>,
    /// Where each tier ends.
    tier_ends: Box<[usize]>,
    /// The sums of the weights up to each backend; only under the strategy that reads them.
    pub(crate) weights: Box<[u64]>,
    /// Whose turn it is; outlives the entry, so that a change does not start the round anew.
    pub(crate) cursor: Arc<CachePadded<AtomicUsize>>,
}

/// For each model that changes: the backends concerned, with their offer from now on, if any.
pub(crate) type Changes<'a> = HashMap<&'a str, Vec<(Arc<Backend>, Option<Offered>)>>;

impl Snapshot {
    pub(crate) fn empty(policy: Arc<Policy>) -> Self {
        let shards = (0..SHARDS).map(|_| Arc::default()).collect();
        Self { policy, all: Arc::from([]), model_count: 0, cards: Cards::default(), shards }
    }

    pub(crate) fn backend(&self, id: &str) -> Option<&Arc<Backend>> {
        let at = self.all.binary_search_by(|backend| backend.id.as_str().cmp(id)).ok()?;
        self.all.get(at)
    }

    /// Whether this very backend is registered, not merely one of its id.
    pub(crate) fn holds(&self, backend: &Arc<Backend>) -> bool {
        self.backend(&backend.id).is_some_and(|held| Arc::ptr_eq(held, backend))
    }

    pub(crate) fn entry(&self, model: &str) -> Option<&Arc<Entry>> {
        self.shards[shard_of(model)].get(model)
    }

    /// Returns what a backend offers a model as.
    pub(crate) fn offered(&self, model: &str, backend: &str) -> Option<Offered> {
        let entry = self.entry(model)?;
        let at = entry.position(backend)?;
        Some(Offered { offer: entry.offers[at], known: entry.known[at].clone() })
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    /// Returns the picture after some changes; what they do not touch is shared with this one.
    pub(crate) fn with(&self, all: Arc<[Arc<Backend>]>, changes: Changes<'_>) -> Self {
        let mut shards = self.shards.clone();
        let mut model_count = self.model_count;
        for (model, changes) in changes {
            let shard = Arc::make_mut(&mut shards[shard_of(model)]);
            let old = shard.get(model);
            match Entry::changed(old.map(|old| &**old), model, changes, &self.policy) {
                Some(entry) => {
                    let new = shard.insert(Arc::clone(&entry.model), Arc::new(entry)).is_none();
                    model_count += usize::from(new);
                }
                None => model_count -= usize::from(shard.remove(model).is_some()),
            }
        }
        let (policy, cards) = (Arc::clone(&self.policy), self.cards.clone());
        Self { policy, all, model_count, cards, shards }
    }

    /// Returns the picture with another directory, and with what it knows of every model.
    pub(crate) fn informed(&self, cards: Cards, asked: &[Asked]) -> Self {
        let mut changes = Changes::new();
        for Asked { backend, models, offered } in asked {
            for (model, offered) in models.iter().zip(offered) {
                if self.offered(&model.id, &backend.id).as_ref() != Some(offered) {
                    let change = (Arc::clone(backend), Some(offered.clone()));
                    changes.entry(&model.id).or_default().push(change);
                }
            }
        }
        Self { cards, ..self.with(Arc::clone(&self.all), changes) }
    }

    /// Returns the picture under another policy, which may order the backends anew.
    pub(crate) fn under(&self, policy: Arc<Policy>) -> Self {
        let anew = |shard: &Arc<Shard>| {
            let entry = |entry: &Arc<Entry>| {
                let mut offers = entry.pairs();
                offers.sort_by(|(a, _), (b, _)| order(&policy, a, b));
                Entry::of(&entry.model, offers, Arc::clone(&entry.cursor), &policy)
            };
            Arc::new(
                shard.iter().map(|(model, old)| (model.clone(), Arc::new(entry(old)))).collect(),
            )
        };
        let shards = self.shards.iter().map(anew).collect();
        let (all, cards) = (Arc::clone(&self.all), self.cards.clone());
        Self { policy, all, model_count: self.model_count, cards, shards }
    }
}

impl Entry {
    fn changed(
        old: Option<&Self>,
        model: &str,
        changes: Vec<(Arc<Backend>, Option<Offered>)>,
        policy: &Policy,
    ) -> Option<Self> {
        let mut pairs = old.map(Self::pairs).unwrap_or_default();
        if let [(backend, offered)] = changes.as_slice() {
            // The usual case, one backend, keeps the order without sorting.
            let at = pairs.binary_search_by(|(other, _)| order(policy, other, backend));
            match (at, offered) {
                (Ok(at), Some(offered)) => pairs[at] = (Arc::clone(backend), offered.clone()),
                (Ok(at), None) => drop(pairs.remove(at)),
                (Err(at), Some(offered)) => {
                    pairs.insert(at, (Arc::clone(backend), offered.clone()));
                }
                (Err(_), None) => {}
            }
        } else {
            let gone: HashSet<_> =
                changes.iter().map(|(backend, _)| Arc::as_ptr(backend)).collect();
            pairs.retain(|(backend, _)| !gone.contains(&Arc::as_ptr(backend)));
            let here =
                changes.into_iter().filter_map(|(backend, offered)| Some((backend, offered?)));
            pairs.extend(here);
            pairs.sort_by(|(a, _), (b, _)| order(policy, a, b));
        }
        if pairs.is_empty() {
            return None;
        }
        let (model, cursor) = match old {
            Some(old) => (Arc::clone(&old.model), Arc::clone(&old.cursor)),
            None => (Arc::from(model), Arc::new(CachePadded::new(AtomicUsize::new(0)))),
        };
        Some(Self::of(&model, pairs, cursor, policy))
    }

    fn of(
        model: &Arc<str>,
        pairs: Vec<(Arc<Backend>, Offered)>,
        cursor: Arc<CachePadded<AtomicUsize>>,
        policy: &Policy,
    ) -> Self {
        let mut tier_ends = Vec::new();
        for (at, pair) in pairs.windows(2).enumerate() {
            if tier(policy, &pair[0].0) != tier(policy, &pair[1].0) {
                tier_ends.push(at + 1);
            }
        }
        tier_ends.push(pairs.len());
        let mut sum = 0;
        let weights = match policy.strategy {
            Strategy::Weighted => pairs
                .iter()
                .map(|(backend, _)| {
                    sum += u64::from(backend.weight);
                    sum
                })
                .collect(),
            _ => Box::default(),
        };
        let (backends, offered): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let (offers, known): (Vec<_>, Vec<_>) =
            offered.into_iter().map(|offered| (offered.offer, offered.known)).unzip();
        Self {
            model: Arc::clone(model),
            backends: backends.into(),
            offers: offers.into(),
            known: known.into(),
            tier_ends: tier_ends.into(),
            weights,
            cursor,
        }
    }

    fn pairs(&self) -> Vec<(Arc<Backend>, Offered)> {
        let offered = self.offers.iter().zip(&self.known);
        let offered = offered.map(|(offer, known)| Offered { offer: *offer, known: known.clone() });
        self.backends.iter().cloned().zip(offered).collect()
    }

    /// Returns the tiers, the most preferred first.
    pub(crate) fn tiers(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.tier_ends.iter().copied());
        starts.zip(self.tier_ends.iter().copied()).map(|(start, end)| start..end)
    }

    /// Returns where a backend stands in the arrays.
    pub(crate) fn position(&self, id: &str) -> Option<usize> {
        self.tiers().find_map(|tier| {
            let found = self.backends[tier.clone()].binary_search_by(|b| b.id.as_str().cmp(id));
            found.ok().map(|at| tier.start + at)
        })
    }
}

/// What divides the backends of a model into tiers: only when none of a tier is free does the next
/// one count.
fn tier(policy: &Policy, backend: &Backend) -> (bool, i32) {
    let elsewhere = policy.zone.is_some() && policy.zone != backend.zone;
    let priority = if policy.strategy == Strategy::Priority { backend.priority } else { 0 };
    (elsewhere, priority)
}

fn order(policy: &Policy, a: &Backend, b: &Backend) -> Order {
    tier(policy, a).cmp(&tier(policy, b)).then_with(|| a.id.cmp(&b.id))
}

/// FNV-1a. Only the spread over the shards depends on it; inside one, the map's own keyed hash
/// keeps chosen names from colliding.
fn shard_of(model: &str) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in model.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash >> 32) as usize % SHARDS
}

#[cfg(test)]
impl Snapshot {
    /// Everything that the index says, in a form that can be compared.
    pub(crate) fn spelled_out(&self) -> Vec<String> {
        let mut lines: Vec<String> = self
            .entries()
            .map(|entry| {
                let ids: Vec<_> = entry.backends.iter().map(|backend| &backend.id).collect();
                let (offers, known, tiers) = (&entry.offers, &entry.known, &entry.tier_ends);
                let (model, weights) = (&entry.model, &entry.weights);
                format!("{model}: {ids:?} {offers:?} {known:?} {tiers:?} {weights:?}")
            })
            .collect();
        lines.sort();
        lines.push(format!("{} models", self.model_count));
        lines
    }

    /// The index made anew from the backends alone.
    pub(crate) fn recomputed(&self) -> Self {
        let all: Vec<_> = self.all.iter().map(|backend| (backend, backend.models())).collect();
        let mut changes = Changes::new();
        for (backend, models) in &all {
            for (model, offered) in models.iter().zip(self.cards.offered(backend, models)) {
                let change = (Arc::clone(backend), Some(offered));
                changes.entry(&model.id).or_default().push(change);
            }
        }
        Self::empty(Arc::clone(&self.policy)).with(Arc::clone(&self.all), changes)
    }
}
