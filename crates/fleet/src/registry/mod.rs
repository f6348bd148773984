//! The registry: which backends there are, what they offer, and which one gets a request.

mod backend;
mod error;
#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;

pub(crate) use backend::distinct;
pub use backend::{Backend, BackendStatus, BackendView};
pub use callsheet_types::{BackendType, DiscoverySource, Model};
pub use error::RegistryError;

use crate::explain::{self, Explanation};
use crate::index::{Changes, Snapshot};
use crate::needs::{Needs, Offer};
use crate::pick::{self, Route};
use crate::policy::Policy;
use crate::shared::Shared;
use crate::sync::lock;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// What a model that nobody offers is answered with; shared, so that this too allocates nothing.
static NOBODY: LazyLock<Arc<[Arc<Backend>]>> = LazyLock::new(|| Arc::from([]));

/// All backends, and everything that is asked of them.
///
/// Readers take no lock, clone no backend and, but for lists made for them, allocate nothing.
/// Writers take turns and publish a new snapshot of the index.
///
/// ```
/// use callsheet_fleet::{BackendStatus, Needs, Route};
/// use callsheet_fleet::registry::{Backend, BackendType, DiscoverySource, Model, Registry};
///
/// let registry = Registry::new();
/// let models = vec![Model::new("qwen3-8b")];
/// let (kind, source) = (BackendType::VLLM, DiscoverySource::Static);
/// let gpu = Backend::new("gpu-1", "gpu-1", "http://h:8000", kind, models, source, [].into());
/// registry.add_backend(gpu)?;
/// registry.update_status("gpu-1", BackendStatus::Healthy, None)?;
///
/// let route = registry.pick("qwen3-8b", &Needs::default(), std::time::Instant::now());
/// let Route::To(in_flight) = route else { panic!("{route:?}") };
/// assert_eq!(in_flight.backend().pending_requests(), 1);
/// drop(in_flight);
/// assert_eq!(registry.get_backend("gpu-1").unwrap().pending_requests(), 0);
/// # Ok::<(), callsheet_fleet::RegistryError>(())
/// ```
pub struct Registry {
    shared: Arc<Shared>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::with_policy(Policy::default())
    }
}

impl Registry {
    /// An empty registry with the default policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty registry.
    pub fn with_policy(policy: Policy) -> Self {
        crate::clock::start();
        LazyLock::force(&NOBODY);
        Self { shared: Arc::new(Shared::new(policy)) }
    }

    /// Replaces the policy, from the next decision on.
    pub fn set_policy(&self, policy: Policy) {
        {
            let _turn = lock(&self.shared.writer);
            let snapshot = self.shared.snapshot.load();
            self.shared.snapshot.store(Arc::new(snapshot.under(Arc::new(policy))));
        }
        self.shared.offer_all();
    }

    /// Adds a backend and returns it as it is shared from now on. Of several calls with one id, even
    /// at once, exactly one succeeds.
    pub fn add_backend(&self, backend: Backend) -> Result<Arc<Backend>, RegistryError> {
        let backend = Arc::new(backend);
        self.add(std::slice::from_ref(&backend))?;
        Ok(backend)
    }

    /// Adds backends in one step: all of them, or none.
    pub fn add_backends(
        &self,
        backends: impl IntoIterator<Item = Backend>,
    ) -> Result<(), RegistryError> {
        let mut new: Vec<_> = backends.into_iter().map(Arc::new).collect();
        new.sort_by(|a, b| a.id.cmp(&b.id));
        self.add(&new)
    }

    /// Adds backends that are sorted by id.
    fn add(&self, new: &[Arc<Backend>]) -> Result<(), RegistryError> {
        {
            let _turn = lock(&self.shared.writer);
            let snapshot = self.shared.snapshot.load();
            let twice = new.windows(2).find(|pair| pair[0].id == pair[1].id).map(|pair| &pair[0]);
            let known = || new.iter().find(|backend| snapshot.backend(&backend.id).is_some());
            if let Some(duplicate) = twice.or_else(known) {
                return Err(RegistryError::DuplicateBackend(duplicate.id.clone()));
            }
            let mut all = snapshot.all.to_vec();
            if let [one] = new {
                let at = all.partition_point(|other| other.id < one.id);
                all.insert(at, Arc::clone(one));
            } else {
                all.extend(new.iter().cloned());
                all.sort_by(|a, b| a.id.cmp(&b.id));
            }
            let models: Vec<_> = new.iter().map(|backend| backend.models()).collect();
            let mut changes = Changes::new();
            for (backend, models) in new.iter().zip(&models) {
                for model in models.iter() {
                    let change = (Arc::clone(backend), Some(Offer::from(model)));
                    changes.entry(&model.id).or_default().push(change);
                }
            }
            self.shared.snapshot.store(Arc::new(snapshot.with(all.into(), changes)));
        }
        for backend in new {
            self.shared.offer(backend);
        }
        Ok(())
    }

    /// Removes a backend and returns it. What it has in flight runs on.
    pub fn remove_backend(&self, id: &str) -> Result<Arc<Backend>, RegistryError> {
        let _turn = lock(&self.shared.writer);
        let snapshot = self.shared.snapshot.load();
        let backend = Arc::clone(known(&snapshot, id)?);
        let others = snapshot.all.iter().filter(|other| other.id != id).cloned().collect();
        let models = backend.models();
        let gone = models.iter().map(|model| (&*model.id, vec![(Arc::clone(&backend), None)]));
        self.shared.snapshot.store(Arc::new(snapshot.with(others, gone.collect())));
        Ok(backend)
    }

    /// Returns a backend.
    pub fn get_backend(&self, id: &str) -> Option<Arc<Backend>> {
        self.shared.snapshot.load().backend(id).cloned()
    }

    /// Returns all backends, sorted by id.
    pub fn get_all_backends(&self) -> Arc<[Arc<Backend>]> {
        Arc::clone(&self.shared.snapshot.load().all)
    }

    /// Returns the backends whose status is `Healthy`, sorted by id.
    pub fn get_healthy_backends(&self) -> Vec<Arc<Backend>> {
        let snapshot = self.shared.snapshot.load();
        let healthy = |backend: &&Arc<Backend>| backend.status() == BackendStatus::Healthy;
        snapshot.all.iter().filter(healthy).cloned().collect()
    }

    /// Returns who offers a model, whatever their status; the most preferred tier first, by id
    /// within a tier.
    pub fn get_backends_for_model(&self, model: &str) -> Arc<[Arc<Backend>]> {
        let snapshot = self.shared.snapshot.load();
        let backends = snapshot.entry(model).map_or_else(|| &*NOBODY, |entry| &entry.backends);
        Arc::clone(backends)
    }

    /// Returns how many backends there are.
    pub fn backend_count(&self) -> usize {
        self.shared.snapshot.load().all.len()
    }

    /// Returns how many different models are offered.
    pub fn model_count(&self) -> usize {
        self.shared.snapshot.load().model_count
    }

    /// Returns the ids of all models, sorted.
    pub fn model_ids(&self) -> Vec<Arc<str>> {
        let snapshot = self.shared.snapshot.load();
        let mut ids: Vec<_> = snapshot.entries().map(|entry| Arc::clone(&entry.model)).collect();
        ids.sort();
        ids
    }

    /// Sets a backend's status and error, and notes the time.
    pub fn update_status(
        &self,
        id: &str,
        status: BackendStatus,
        error: Option<String>,
    ) -> Result<(), RegistryError> {
        self.change_status(id, status, error, |_| true)
    }

    /// As [`Registry::update_status`], but a backend that drains stays as it is: a probe's result
    /// must not undo what somebody ordered.
    pub fn set_status_unless_draining(
        &self,
        id: &str,
        status: BackendStatus,
        error: Option<String>,
    ) -> Result<(), RegistryError> {
        self.change_status(id, status, error, |now| now != BackendStatus::Draining)
    }

    fn change_status(
        &self,
        id: &str,
        status: BackendStatus,
        error: Option<String>,
        may: impl Fn(BackendStatus) -> bool,
    ) -> Result<(), RegistryError> {
        let backend = self.known(id)?;
        if backend.set_status(status, error, may) {
            self.shared.offer(&backend);
        }
        Ok(())
    }

    /// Replaces a backend's models, all at once: readers see the old list or the new.
    pub fn update_models(&self, id: &str, models: Vec<Model>) -> Result<(), RegistryError> {
        let backend = {
            let _turn = lock(&self.shared.writer);
            let snapshot = self.shared.snapshot.load();
            let backend = Arc::clone(known(&snapshot, id)?);
            let (old, new) = (backend.models(), distinct(id, models));
            if old == new {
                return Ok(());
            }
            // Only models whose offer changes are indexed anew; most lists change little.
            let (before, after) = (offers(&old), offers(&new));
            let mut changes = Changes::new();
            for model in before.keys().filter(|model| !after.contains_key(**model)) {
                changes.insert(model, vec![(Arc::clone(&backend), None)]);
            }
            for (model, offer) in &after {
                if before.get(model) != Some(offer) {
                    changes.insert(model, vec![(Arc::clone(&backend), Some(*offer))]);
                }
            }
            let next = snapshot.with(Arc::clone(&snapshot.all), changes);
            backend.set_models(Arc::clone(&new));
            self.shared.snapshot.store(Arc::new(next));
            backend
        };
        self.shared.offer(&backend);
        Ok(())
    }

    /// Counts a request of a backend; returns how many it has now. Disregards its limit.
    pub fn increment_pending(&self, id: &str) -> Result<u32, RegistryError> {
        let backend = self.known(id)?;
        backend.count_request();
        Ok(backend.force_place())
    }

    /// Ends a request that [`Registry::increment_pending`] counted; returns how many are left.
    pub fn decrement_pending(&self, id: &str) -> Result<u32, RegistryError> {
        let backend = self.known(id)?;
        let left = backend.free_place();
        self.shared.offer(&backend);
        Ok(left)
    }

    /// Reports a time to first byte: `new = (sample + 4·old) / 5`, without rounding.
    pub fn update_latency(&self, id: &str, sample_ms: u32) -> Result<(), RegistryError> {
        let now = crate::clock::nanos(Instant::now());
        self.known(id)?.record_first_byte_ms(sample_ms, now);
        Ok(())
    }

    /// Chooses a backend for a request and counts it there, in one step.
    pub fn pick(&self, model: &str, needs: &Needs<'_>, now: Instant) -> Route {
        pick::pick(&self.shared, model, needs, now)
    }

    /// Applies the rules of [`Registry::pick`] to every backend and says how each of them fares.
    /// Counts nothing.
    pub fn explain(&self, model: &str, needs: &Needs<'_>, now: Instant) -> Explanation {
        explain::explain(&self.shared.snapshot.load(), model, needs, now)
    }

    /// Returns how many requests wait for a place.
    pub fn queue_len(&self) -> usize {
        self.shared.queue.waiting()
    }

    fn known(&self, id: &str) -> Result<Arc<Backend>, RegistryError> {
        known(&self.shared.snapshot.load(), id).cloned()
    }
}

fn known<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a Arc<Backend>, RegistryError> {
    snapshot.backend(id).ok_or_else(|| RegistryError::BackendNotFound(id.to_owned()))
}

fn offers(models: &[Model]) -> std::collections::HashMap<&str, Offer> {
    models.iter().map(|model| (model.id.as_str(), Offer::from(model))).collect()
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let snapshot = self.shared.snapshot.load();
        f.debug_struct("Registry")
            .field("backends", &snapshot.all.len())
            .field("models", &snapshot.model_count)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Registry {
    /// Panics unless the index equals one made anew from the backends. Only at rest.
    pub(crate) fn check_index(&self) {
        let snapshot = self.shared.snapshot.load();
        assert_eq!(snapshot.spelled_out(), snapshot.recomputed().spelled_out());
    }
}
