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

use crate::directory::{Asked, Cards, Directory, Known, Offered};
use crate::explain::{self, Explanation};
use crate::index::{Changes, Snapshot};
use crate::needs::Needs;
use crate::pick::{self, Route};
use crate::policy::Policy;
use crate::shared::Shared;
use crate::sync::lock;
use std::collections::{HashMap, HashSet};
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

/// A backend, and what stands in its place.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// What was there; requests that it has in flight run on.
    pub old: Arc<Backend>,
    /// What is there now.
    pub new: Arc<Backend>,
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

    /// Sets who knows more of models than their backends say: what a backend leaves open is filled in
    /// from it, for requests from now on. Set it again when it has come to know better.
    ///
    /// The directory is asked for every model of every backend before anything changes, and later
    /// for each model that is new.
    pub fn set_directory(&self, directory: Arc<dyn Directory>) {
        {
            let _only_one = lock(&self.shared.directory);
            let mut cards = Cards { directory: Some(directory), generation: 0 };
            let everybody = self.get_all_backends();
            let mut asked: Vec<_> = everybody.iter().map(|backend| cards.ask(backend)).collect();
            let _turn = lock(&self.shared.writer);
            let snapshot = self.shared.snapshot.load();
            // Whoever changed while the directory was asked is asked about again.
            asked.retain(|Asked { backend, models, .. }| {
                snapshot.holds(backend) && Arc::ptr_eq(models, &backend.models())
            });
            let is_asked: HashSet<_> = asked.iter().map(|a| Arc::as_ptr(&a.backend)).collect();
            let others = snapshot.all.iter().filter(|b| !is_asked.contains(&Arc::as_ptr(b)));
            asked.extend(others.map(|backend| cards.ask(backend)));
            cards.generation = snapshot.cards.generation + 1;
            self.shared.snapshot.store(Arc::new(snapshot.informed(cards, &asked)));
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
        let models: Vec<_> = new.iter().map(|backend| backend.models()).collect();
        let ask = |snapshot: &Snapshot| {
            let pairs = new.iter().zip(&models);
            Ok(pairs.map(|(backend, models)| snapshot.cards.offered(backend, models)).collect())
        };
        self.change(ask, |snapshot, offered: Vec<Vec<Offered>>| {
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
            let mut changes = Changes::new();
            for ((backend, models), offered) in new.iter().zip(&models).zip(offered) {
                for (model, offered) in models.iter().zip(offered) {
                    let change = (Arc::clone(backend), Some(offered));
                    changes.entry(&model.id).or_default().push(change);
                }
            }
            self.shared.snapshot.store(Arc::new(snapshot.with(all.into(), changes)));
            Ok(Some(()))
        })?;
        for backend in new {
            self.shared.offer(backend);
        }
        Ok(())
    }

    /// Makes a change in two steps, so that nobody waits while the directory is asked: `ask` takes
    /// no turn, `make` does. Both are done again if the directory is another by then, or if `make`
    /// returns nothing because what was asked about is.
    fn change<T, R>(
        &self,
        ask: impl Fn(&Snapshot) -> Result<T, RegistryError>,
        make: impl Fn(&Snapshot, T) -> Result<Option<R>, RegistryError>,
    ) -> Result<R, RegistryError> {
        loop {
            let (asked, generation) = {
                let snapshot = self.shared.snapshot.load();
                (ask(&snapshot)?, snapshot.cards.generation)
            };
            let _turn = lock(&self.shared.writer);
            let snapshot = self.shared.snapshot.load();
            if snapshot.cards.generation == generation
                && let Some(made) = make(&snapshot, asked)?
            {
                return Ok(made);
            }
        }
    }

    /// Removes a backend and returns it. What it has in flight runs on.
    pub fn remove_backend(&self, id: &str) -> Result<Arc<Backend>, RegistryError> {
        let _turn = lock(&self.shared.writer);
        let snapshot = self.shared.snapshot.load();
        let backend = Arc::clone(registered(&snapshot, id)?);
        let others = snapshot.all.iter().filter(|other| other.id != id).cloned().collect();
        let models = backend.models();
        let gone = models.iter().map(|model| (&*model.id, vec![(Arc::clone(&backend), None)]));
        self.shared.snapshot.store(Arc::new(snapshot.with(others, gone.collect())));
        Ok(backend)
    }

    /// Puts a backend in the place of the one of its id, in one step: nobody sees neither or both.
    ///
    /// What the old one has in flight runs on, and counts against the new one's limit. Where it is
    /// the same server, by address and type, what is known of it stands until its next probe: its
    /// status, its models if the new one brings none, its latency, its ejection. A backend that
    /// drains drains on, whatever stands in its place.
    pub fn replace_backend(&self, new: Backend) -> Result<Replaced, RegistryError> {
        let new = Arc::new(new);
        let declared = new.models();
        let ask = |snapshot: &Snapshot| {
            let old = Arc::clone(registered(snapshot, &new.id)?);
            let keeps_models = declared.is_empty() && old.is_same_server(&new);
            let models = if keeps_models { old.models() } else { Arc::clone(&declared) };
            let offered = snapshot.cards.offered(&new, &models);
            Ok((old, keeps_models, models, offered))
        };
        let old = self.change(ask, |snapshot, (old, keeps_models, models, offered)| {
            let before = old.models();
            let is_stale = keeps_models && !Arc::ptr_eq(&models, &before);
            if is_stale || !snapshot.holds(&old) {
                return Ok(None);
            }
            if old.is_same_server(&new) {
                new.continue_from(&old);
            } else if old.status() == BackendStatus::Draining {
                new.set_status(BackendStatus::Draining, None, |_| true);
            }
            new.set_models(Arc::clone(&models));
            let mut changes = Changes::new();
            for model in before.iter() {
                changes.entry(&model.id).or_default().push((Arc::clone(&old), None));
            }
            for (model, offered) in models.iter().zip(offered) {
                let change = (Arc::clone(&new), Some(offered));
                changes.entry(&model.id).or_default().push(change);
            }
            let this = |other: &Arc<Backend>| Arc::ptr_eq(other, &old);
            let all = snapshot.all.iter().map(|other| if this(other) { &new } else { other });
            let next = Arc::new(snapshot.with(all.cloned().collect(), changes));
            // Between these two, requests find no place at either, and wait for this turn to end.
            old.hand_on_to(&new);
            self.shared.snapshot.store(next);
            Ok(Some(old))
        })?;
        self.shared.offer(&new);
        Ok(Replaced { old, new })
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

    /// Returns what is known of a model at a backend that offers it, by the backend's own word and
    /// else by the directory's. `None` if nothing is.
    pub fn known(&self, backend: &str, model: &str) -> Option<Arc<Known>> {
        self.shared.snapshot.load().offered(model, backend)?.known
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
        self.change_status(&Which::Named(id), status, error, |_| true)
    }

    /// As [`Registry::update_status`], but a backend that drains stays as it is.
    pub fn set_status_unless_draining(
        &self,
        id: &str,
        status: BackendStatus,
        error: Option<String>,
    ) -> Result<(), RegistryError> {
        let may = |now| now != BackendStatus::Draining;
        self.change_status(&Which::Named(id), status, error, may)
    }

    /// Notes what a probe found: for this very backend, not for one that stands in its place by now,
    /// and not against somebody's order to drain it.
    pub(crate) fn probed(
        &self,
        backend: &Arc<Backend>,
        status: BackendStatus,
        error: Option<String>,
    ) -> Result<(), RegistryError> {
        let may = |now| now != BackendStatus::Draining;
        self.change_status(&Which::This(backend), status, error, may)
    }

    /// As [`Registry::update_models`], for this very backend.
    pub(crate) fn listed(
        &self,
        backend: &Arc<Backend>,
        models: Vec<Model>,
    ) -> Result<(), RegistryError> {
        self.change_models(&Which::This(backend), models)
    }

    fn change_status(
        &self,
        which: &Which<'_>,
        status: BackendStatus,
        error: Option<String>,
        may: impl Fn(BackendStatus) -> bool,
    ) -> Result<(), RegistryError> {
        let changed = {
            // Whoever replaces a backend takes its status over, and must not miss this one.
            let _turn = lock(&self.shared.writer);
            let snapshot = self.shared.snapshot.load();
            let backend = which.find(&snapshot)?;
            backend.set_status(status, error, may).then_some(backend)
        };
        if let Some(backend) = changed {
            self.shared.offer(&backend);
        }
        Ok(())
    }

    /// Replaces a backend's models, all at once: readers see the old list or the new.
    pub fn update_models(&self, id: &str, models: Vec<Model>) -> Result<(), RegistryError> {
        self.change_models(&Which::Named(id), models)
    }

    fn change_models(&self, which: &Which<'_>, models: Vec<Model>) -> Result<(), RegistryError> {
        let id = which.id();
        let new = distinct(id, models);
        let ask = |snapshot: &Snapshot| {
            let backend = which.find(snapshot)?;
            // Most probes bring what is known.
            let is_same = backend.models() == new;
            let offered = (!is_same).then(|| snapshot.cards.offered(&backend, &new));
            Ok((backend, offered))
        };
        let backend = self.change(ask, |snapshot, (backend, offered)| {
            let old = backend.models();
            let Some(offered) = offered else { return Ok((old == new).then_some(None)) };
            if !Arc::ptr_eq(&which.find(snapshot)?, &backend) {
                return Ok(None);
            }
            // Only models whose offer changes are indexed anew; most lists change little.
            let after: HashMap<&str, Offered> =
                new.iter().map(|model| model.id.as_str()).zip(offered).collect();
            let gone = old.iter().filter(|model| !after.contains_key(model.id.as_str()));
            let mut changes: Changes<'_> =
                gone.map(|model| (&*model.id, vec![(Arc::clone(&backend), None)])).collect();
            for (model, offered) in after {
                if snapshot.offered(model, id).as_ref() != Some(&offered) {
                    changes.insert(model, vec![(Arc::clone(&backend), Some(offered))]);
                }
            }
            let next = snapshot.with(Arc::clone(&snapshot.all), changes);
            backend.set_models(Arc::clone(&new));
            self.shared.snapshot.store(Arc::new(next));
            Ok(Some(Some(backend)))
        })?;
        if let Some(backend) = backend {
            self.shared.offer(&backend);
        }
        Ok(())
    }

    /// Counts a request of a backend; returns how many it has now. Disregards its limit.
    pub fn increment_pending(&self, id: &str) -> Result<u32, RegistryError> {
        let backend = self.registered(id)?;
        backend.count_request();
        Ok(backend.force_place())
    }

    /// Ends a request that [`Registry::increment_pending`] counted; returns how many are left.
    pub fn decrement_pending(&self, id: &str) -> Result<u32, RegistryError> {
        let backend = self.registered(id)?;
        let mut freed = &backend;
        let left = loop {
            match freed.free_place() {
                Ok(left) => break left,
                Err(successor) => freed = successor,
            }
        };
        self.shared.offer(freed);
        Ok(left)
    }

    /// Reports a time to first byte: `new = (sample + 4·old) / 5`, without rounding.
    pub fn update_latency(&self, id: &str, sample_ms: u32) -> Result<(), RegistryError> {
        let now = crate::clock::nanos(Instant::now());
        self.registered(id)?.record_first_byte_ms(sample_ms, now);
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

    fn registered(&self, id: &str) -> Result<Arc<Backend>, RegistryError> {
        registered(&self.shared.snapshot.load(), id).cloned()
    }
}

/// Which backend is meant.
enum Which<'a> {
    /// Whichever has this id.
    Named(&'a str),
    /// This very one, and none that stands in its place.
    This(&'a Arc<Backend>),
}

impl Which<'_> {
    fn id(&self) -> &str {
        match self {
            Self::Named(id) => id,
            Self::This(backend) => &backend.id,
        }
    }

    fn find(&self, snapshot: &Snapshot) -> Result<Arc<Backend>, RegistryError> {
        let found = registered(snapshot, self.id())?;
        match self {
            Self::This(backend) if !Arc::ptr_eq(backend, found) => {
                Err(RegistryError::BackendNotFound(backend.id.clone()))
            }
            _ => Ok(Arc::clone(found)),
        }
    }
}

fn registered<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a Arc<Backend>, RegistryError> {
    snapshot.backend(id).ok_or_else(|| RegistryError::BackendNotFound(id.to_owned()))
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
