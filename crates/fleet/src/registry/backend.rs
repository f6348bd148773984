//! One backend: what it is, and how it is doing.

use crate::clock;
use crate::eject::Ejection;
use crate::latency::Average;
use crate::link::Link;
use crate::sync::{ArcSwap, AtomicU8, AtomicU32, AtomicU64, Mutex, Ordering, lock};
use callsheet_types::{BackendType, DiscoverySource, Model};
use crossbeam_utils::CachePadded;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// The bit beside the count of requests that says that another backend stands in this one's place.
/// Whoever counts learns of it in the same step, so that no request is counted at the wrong one.
const REPLACED: u32 = 1 << 31;

/// A longer model id is taken, but is so unusual that the log should say so.
const LONG_MODEL_ID: usize = 1000;

/// Whether a backend may be given requests.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum BackendStatus {
    /// It answers its probes.
    Healthy,
    /// It does not.
    Unhealthy,
    /// It has not been probed yet.
    Unknown,
    /// It finishes what it has and is given nothing new, until somebody says otherwise.
    Draining,
}

impl BackendStatus {
    fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Healthy,
            1 => Self::Unhealthy,
            3 => Self::Draining,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for BackendStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Unknown => "unknown",
            Self::Draining => "draining",
        })
    }
}

/// A server that offers models. What it is does not change; how it is doing is kept in atomics, so
/// that everybody reads it without a lock.
pub struct Backend {
    /// Its id, unique in a registry.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// What kind of server it is.
    pub backend_type: BackendType,
    /// Under the `priority` strategy, lower is preferred.
    pub priority: i32,
    /// Its share under the `weighted` strategy.
    pub weight: u32,
    /// Where it stands.
    pub zone: Option<String>,
    /// How it came to be known.
    pub discovery_source: DiscoverySource,
    /// Whatever else is known of it.
    pub metadata: HashMap<String, String>,
    link: Option<Arc<Link>>,
    models: ArcSwap<Arc<[Model]>>,
    last_check: Mutex<LastCheck>,
    /// What stands in its place; set before [`REPLACED`] is.
    successor: OnceLock<Arc<Backend>>,
    live: CachePadded<Live>,
}

struct LastCheck {
    at: Timestamp,
    error: Option<String>,
}

/// What a decision reads of a candidate and a request writes. It is 64 bytes, one cache line, so
/// that looking at a candidate costs one miss however many there are.
struct Live {
    pending: AtomicU32,
    max_concurrent: Option<NonZeroU32>,
    failures_in_a_row: AtomicU32,
    status: AtomicU8,
    ejection: Ejection,
    total: AtomicU64,
    first_byte: Average,
    first_byte_at: AtomicU64,
    whole: Average,
}

#[cfg(not(feature = "shuttle"))]
const _: () = assert!(size_of::<Live>() <= 64);

impl Backend {
    /// A backend of which only its description is known: status `Unknown`, priority 0, weight 1, no
    /// limit, counters at 0. Of models with the same id the first counts.
    pub fn new(
        id: impl Into<String>,
        name: impl Into<String>,
        url: impl Into<String>,
        backend_type: BackendType,
        models: Vec<Model>,
        discovery_source: DiscoverySource,
        metadata: HashMap<String, String>,
    ) -> Self {
        let id = id.into();
        let models = distinct(&id, models);
        Self {
            id,
            name: name.into(),
            url: url.into(),
            backend_type,
            priority: 0,
            weight: 1,
            zone: None,
            discovery_source,
            metadata,
            link: None,
            models: ArcSwap::new(Arc::new(models)),
            last_check: Mutex::new(LastCheck { at: Timestamp::now(), error: None }),
            successor: OnceLock::new(),
            live: CachePadded::new(Live {
                pending: AtomicU32::new(0),
                max_concurrent: None,
                failures_in_a_row: AtomicU32::new(0),
                status: AtomicU8::new(BackendStatus::Unknown as u8),
                ejection: Ejection::new(),
                total: AtomicU64::new(0),
                first_byte: Average::new(),
                first_byte_at: AtomicU64::new(0),
                whole: Average::new(),
            }),
        }
    }

    /// Sets the priority; lower is preferred.
    #[must_use]
    pub fn with_priority(self, priority: i32) -> Self {
        Self { priority, ..self }
    }

    /// Sets the weight; a backend of weight 0 gets nothing while others can serve.
    #[must_use]
    pub fn with_weight(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// Sets where it stands.
    #[must_use]
    pub fn with_zone(self, zone: Option<String>) -> Self {
        Self { zone, ..self }
    }

    /// Sets the most requests that it is given at once.
    #[must_use]
    pub fn with_max_concurrent(mut self, max_concurrent: Option<NonZeroU32>) -> Self {
        self.live.max_concurrent = max_concurrent;
        self
    }

    /// Sets how it is reached; without a link it can be known and not be called.
    #[must_use]
    pub fn with_link(self, link: Arc<Link>) -> Self {
        Self { link: Some(link), ..self }
    }

    /// Returns how it is reached.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    /// Returns the most requests that it is given at once; `None` for any number.
    pub fn max_concurrent(&self) -> Option<NonZeroU32> {
        self.live.max_concurrent
    }

    /// Returns its status.
    pub fn status(&self) -> BackendStatus {
        BackendStatus::from_u8(self.live.status.load(Ordering::Acquire))
    }

    /// Returns its models, each id once.
    pub fn models(&self) -> Arc<[Model]> {
        let guard = self.models.load();
        let models: &Arc<[Model]> = &guard;
        Arc::clone(models)
    }

    /// Returns how many requests it has now.
    pub fn pending_requests(&self) -> u32 {
        self.live.pending.load(Ordering::SeqCst) & !REPLACED
    }

    /// Returns how many requests it was ever given.
    pub fn total_requests(&self) -> u64 {
        self.live.total.load(Ordering::Relaxed)
    }

    /// Returns the moving average of the time to the first byte; `None` before the first sample.
    pub fn avg_latency_ms(&self) -> Option<u32> {
        self.live.first_byte.rounded_ms()
    }

    /// Returns the moving average of the time to the last byte; `None` before the first sample.
    pub fn avg_total_ms(&self) -> Option<u32> {
        self.live.whole.rounded_ms()
    }

    /// Returns when its status was last looked at; at first, when it became known.
    pub fn last_health_check(&self) -> Timestamp {
        lock(&self.last_check).at
    }

    /// Returns what the last look at its status complained of.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_check).error.clone()
    }

    /// Returns until when it is ejected, or `None` if it is not. A moment in the past means that it
    /// awaits its trial, or is on trial.
    pub fn ejected_until(&self) -> Option<Instant> {
        self.live.ejection.until().map(clock::moment)
    }

    pub(crate) fn ejection(&self) -> &Ejection {
        &self.live.ejection
    }

    pub(crate) fn set_models(&self, models: Arc<[Model]>) {
        self.models.store(Arc::new(models));
    }

    /// Sets the status if `may` allows leaving the one that it has; returns whether it did.
    pub(crate) fn set_status(
        &self,
        status: BackendStatus,
        error: Option<String>,
        may: impl Fn(BackendStatus) -> bool,
    ) -> bool {
        // The lock makes status, time and error change together, and makes "unless draining" hold
        // against somebody who drains the backend at the same moment.
        let mut last_check = lock(&self.last_check);
        if !may(self.status()) {
            return false;
        }
        self.live.status.store(status as u8, Ordering::Release);
        *last_check = LastCheck { at: Timestamp::now(), error };
        true
    }

    /// Takes a place for one request, unless all are taken, or the backend is replaced.
    pub(crate) fn take_place(&self) -> bool {
        let pending = &self.live.pending;
        let Some(max) = self.max_concurrent() else {
            let is_taken = pending.fetch_add(1, Ordering::SeqCst) & REPLACED == 0;
            if !is_taken {
                pending.fetch_sub(1, Ordering::SeqCst);
            }
            return is_taken;
        };
        let one_more = |now: u32| (now & REPLACED == 0 && now < max.get()).then_some(now + 1);
        pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_ok()
    }

    /// Takes a place even beyond the limit; returns how many are taken then.
    pub(crate) fn force_place(&self) -> u32 {
        let before = self.live.pending.fetch_add(1, Ordering::SeqCst);
        match self.successor.get() {
            Some(successor) if before & REPLACED != 0 => {
                self.live.pending.fetch_sub(1, Ordering::SeqCst);
                successor.force_place()
            }
            _ => before + 1,
        }
    }

    /// Frees a place; returns how many are still taken. If the backend is replaced, the place counts
    /// at its successor too: this is returned, and the caller frees it there. Below 0 it cannot go:
    /// that would be a caller's error, is logged, and changes nothing.
    pub(crate) fn free_place(&self) -> Result<u32, &Arc<Self>> {
        let one_less = |now: u32| (now & !REPLACED != 0).then(|| now - 1);
        let freed = self.live.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        match (freed, self.successor.get()) {
            (Ok(before), Some(successor)) if before & REPLACED != 0 => Err(successor),
            (Ok(before), _) => Ok(before - 1),
            (Err(_), _) => {
                tracing::warn!(backend = %self.id, "a request ended that was never counted");
                Ok(0)
            }
        }
    }

    pub(crate) fn has_place(&self) -> bool {
        let now = self.live.pending.load(Ordering::SeqCst);
        now & REPLACED == 0 && self.max_concurrent().is_none_or(|max| now < max.get())
    }

    /// Returns whether it has more requests than it takes: its predecessor took more.
    pub(crate) fn is_over_limit(&self) -> bool {
        self.max_concurrent().is_some_and(|max| self.pending_requests() > max.get())
    }

    /// Returns whether another backend stands in its place.
    pub(crate) fn is_replaced(&self) -> bool {
        self.live.pending.load(Ordering::SeqCst) & REPLACED != 0
    }

    /// Puts a backend that nobody knows yet in the place of this one, which is given no request any
    /// more: what this one has in flight counts there from now on.
    pub(crate) fn hand_on_to(&self, successor: &Arc<Self>) {
        // Only the registry replaces, one backend at a time, and each once.
        let _ = self.successor.set(Arc::clone(successor));
        let mut now = self.live.pending.load(Ordering::SeqCst);
        loop {
            // Nobody else counts there before the exchange, and everybody after it.
            successor.live.pending.store(now, Ordering::SeqCst);
            let exchange = self.live.pending.compare_exchange(
                now,
                now | REPLACED,
                Ordering::SeqCst,
                Ordering::SeqCst,
            );
            match exchange {
                Ok(_) => return,
                Err(seen) => now = seen,
            }
        }
    }

    /// Returns whether another backend is the same server, however it is to be treated.
    pub(crate) fn is_same_server(&self, other: &Self) -> bool {
        (&self.url, self.backend_type) == (&other.url, other.backend_type)
    }

    /// Takes over how the same server was doing.
    pub(crate) fn continue_from(&self, old: &Self) {
        let (status, error) = (old.status(), old.last_error());
        self.set_status(status, error, |_| true);
        let (new, old) = (&self.live, &old.live);
        let failures = old.failures_in_a_row.load(Ordering::Relaxed);
        new.failures_in_a_row.store(failures, Ordering::Relaxed);
        new.ejection.set_like(&old.ejection);
        new.total.store(old.total.load(Ordering::Relaxed), Ordering::Relaxed);
        new.first_byte.set_like(&old.first_byte);
        new.first_byte_at.store(old.first_byte_at.load(Ordering::Relaxed), Ordering::Relaxed);
        new.whole.set_like(&old.whole);
    }

    pub(crate) fn count_request(&self) {
        self.live.total.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_failure(&self) -> u32 {
        self.live.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    pub(crate) fn forget_failures(&self) {
        // A healthy fleet succeeds all the time; reading first spares it the write.
        if self.live.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.live.failures_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// The time to first byte in milliseconds, and when it was last measured.
    pub(crate) fn latency(&self) -> Option<(f64, u64)> {
        let latency = self.live.first_byte.exact_ms()?;
        Some((latency, self.live.first_byte_at.load(Ordering::Relaxed)))
    }

    pub(crate) fn record_first_byte(&self, took: std::time::Duration, now: u64) {
        self.live.first_byte.record(took);
        self.live.first_byte_at.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn record_first_byte_ms(&self, took_ms: u32, now: u64) {
        self.live.first_byte.record_ms(took_ms);
        self.live.first_byte_at.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn record_whole(&self, took: std::time::Duration) {
        self.live.whole.record(took);
    }
}

/// Keeps the first model of each id.
pub(crate) fn distinct(backend: &str, mut models: Vec<Model>) -> Arc<[Model]> {
    let mut seen = HashSet::with_capacity(models.len());
    let first: Vec<bool> = models.iter().map(|model| seen.insert(model.id.as_str())).collect();
    let mut first = first.into_iter();
    models.retain(|_| first.next().unwrap_or(false));
    for model in &models {
        let characters = model.id.chars().count();
        if characters > LONG_MODEL_ID {
            tracing::warn!(backend, characters, "a model id is unusually long");
        }
    }
    models.into()
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("id", &self.id)
            .field("url", &self.url)
            .field("status", &self.status())
            .field("pending_requests", &self.pending_requests())
            .finish_non_exhaustive()
    }
}

/// A backend at one moment, as plain data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackendView {
    /// See [`Backend::id`].
    pub id: String,
    /// See [`Backend::name`].
    pub name: String,
    /// See [`Backend::url`].
    pub url: String,
    /// See [`Backend::backend_type`].
    pub backend_type: BackendType,
    /// See [`Backend::status`].
    pub status: BackendStatus,
    /// See [`Backend::last_health_check`].
    pub last_health_check: Timestamp,
    /// See [`Backend::last_error`].
    pub last_error: Option<String>,
    /// See [`Backend::models`].
    pub models: Vec<Model>,
    /// See [`Backend::priority`].
    pub priority: i32,
    /// See [`Backend::weight`].
    pub weight: u32,
    /// See [`Backend::zone`].
    pub zone: Option<String>,
    /// See [`Backend::max_concurrent`].
    pub max_concurrent: Option<NonZeroU32>,
    /// See [`Backend::pending_requests`].
    pub pending_requests: u32,
    /// See [`Backend::total_requests`].
    pub total_requests: u64,
    /// See [`Backend::avg_latency_ms`].
    pub avg_latency_ms: Option<u32>,
    /// See [`Backend::avg_total_ms`].
    pub avg_total_ms: Option<u32>,
    /// For how much longer it is ejected: `None` if it is not, 0 if it awaits its trial.
    pub ejected_for_ms: Option<u64>,
    /// See [`Backend::discovery_source`].
    pub discovery_source: DiscoverySource,
    /// See [`Backend::metadata`].
    pub metadata: HashMap<String, String>,
}

impl From<&Backend> for BackendView {
    fn from(backend: &Backend) -> Self {
        let now = Instant::now();
        let ejected_for = backend.ejected_until().map(|until| until.saturating_duration_since(now));
        let (last_health_check, last_error) = {
            let last_check = lock(&backend.last_check);
            (last_check.at, last_check.error.clone())
        };
        Self {
            id: backend.id.clone(),
            name: backend.name.clone(),
            url: backend.url.clone(),
            backend_type: backend.backend_type,
            status: backend.status(),
            last_health_check,
            last_error,
            models: backend.models().to_vec(),
            priority: backend.priority,
            weight: backend.weight,
            zone: backend.zone.clone(),
            max_concurrent: backend.max_concurrent(),
            pending_requests: backend.pending_requests(),
            total_requests: backend.total_requests(),
            avg_latency_ms: backend.avg_latency_ms(),
            avg_total_ms: backend.avg_total_ms(),
            // Rounded up, so that 0 says that its time is over and nothing else does.
            ejected_for_ms: ejected_for
                .map(|left| u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)),
            discovery_source: backend.discovery_source,
            metadata: backend.metadata.clone(),
        }
    }
}
