//! Small fleets for tests.

use crate::registry::{Backend, BackendStatus, BackendType, DiscoverySource, Model, Registry};
use crate::{Directory, InFlight, Known, Needs, Policy, Route, Strategy};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

pub(crate) fn models(ids: &[&str]) -> Vec<Model> {
    ids.iter().map(|id| Model::new(*id)).collect()
}

pub(crate) fn backend(id: &str, ids: &[&str]) -> Backend {
    let url = format!("http://{id}:1");
    let (kind, source) = (BackendType::Generic, DiscoverySource::Static);
    Backend::new(id, id, url, kind, models(ids), source, [].into())
}

/// A registry of healthy backends.
pub(crate) fn registry(policy: Policy, backends: impl IntoIterator<Item = Backend>) -> Registry {
    let registry = Registry::with_policy(policy);
    registry.add_backends(backends).unwrap();
    for backend in registry.get_all_backends().iter() {
        registry.update_status(&backend.id, BackendStatus::Healthy, None).unwrap();
    }
    registry
}

/// Healthy backends `b0`, `b1`, … that offer the model `m`.
pub(crate) fn fleet(strategy: Strategy, size: usize) -> Registry {
    limited(strategy, size, None)
}

/// As [`fleet`], with a limit for each backend.
pub(crate) fn limited(strategy: Strategy, size: usize, max_concurrent: Option<u32>) -> Registry {
    let limit = max_concurrent.and_then(NonZeroU32::new);
    let backends = (0..size).map(|n| backend(&format!("b{n}"), &["m"]).with_max_concurrent(limit));
    registry(Policy { strategy, ..Policy::default() }, backends)
}

pub(crate) fn route(registry: &Registry) -> Route {
    registry.pick("m", &Needs::default(), Instant::now())
}

pub(crate) fn pick(registry: &Registry) -> InFlight {
    match route(registry) {
        Route::To(in_flight) => in_flight,
        other => panic!("expected a backend, got {other:?}"),
    }
}

pub(crate) fn pending(registry: &Registry) -> u32 {
    registry.get_all_backends().iter().map(|backend| backend.pending_requests()).sum()
}

/// A directory that knows what a function says of a model at a backend.
pub(crate) struct Cards<F>(F);

impl<F: Fn(&str, &str) -> Known + Send + Sync> Directory for Cards<F> {
    fn known(&self, backend: &str, _kind: BackendType, model_id: &str) -> Known {
        (self.0)(backend, model_id)
    }
}

pub(crate) fn cards(
    known: impl Fn(&str, &str) -> Known + Send + Sync + 'static,
) -> Arc<dyn Directory> {
    Arc::new(Cards(known))
}
