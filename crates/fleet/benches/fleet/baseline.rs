//! The design to compare with: two maps of locked shards, and a deep copy of every backend that a
//! query finds.

use callsheet_fleet::{BackendStatus, BackendType, DiscoverySource, Model};
use dashmap::DashMap;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A backend that is copied whole, counters included.
pub struct Backend {
    id: String,
    name: String,
    url: String,
    kind: BackendType,
    status: BackendStatus,
    last_health_check: Timestamp,
    last_error: Option<String>,
    models: Vec<Model>,
    priority: i32,
    pending_requests: AtomicU32,
    total_requests: AtomicU64,
    avg_latency_ms: AtomicU32,
    discovery_source: DiscoverySource,
    metadata: HashMap<String, String>,
}

impl Backend {
    pub fn new(id: &str, url: &str, models: Vec<Model>) -> Self {
        Self {
            id: id.to_owned(),
            name: id.to_owned(),
            url: url.to_owned(),
            kind: BackendType::Generic,
            status: BackendStatus::Healthy,
            last_health_check: Timestamp::now(),
            last_error: None,
            models,
            priority: 0,
            pending_requests: AtomicU32::new(0),
            total_requests: AtomicU64::new(0),
            avg_latency_ms: AtomicU32::new(0),
            discovery_source: DiscoverySource::Static,
            metadata: HashMap::new(),
        }
    }
}

impl Clone for Backend {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            url: self.url.clone(),
            kind: self.kind,
            status: self.status,
            last_health_check: self.last_health_check,
            last_error: self.last_error.clone(),
            models: self.models.clone(),
            priority: self.priority,
            pending_requests: AtomicU32::new(self.pending_requests.load(Ordering::SeqCst)),
            total_requests: AtomicU64::new(self.total_requests.load(Ordering::SeqCst)),
            avg_latency_ms: AtomicU32::new(self.avg_latency_ms.load(Ordering::SeqCst)),
            discovery_source: self.discovery_source,
            metadata: self.metadata.clone(),
        }
    }
}

#[derive(Default)]
pub struct Registry {
    backends: DashMap<String, Backend>,
    model_index: DashMap<String, Vec<String>>,
}

impl Registry {
    pub fn add_backend(&self, backend: Backend) {
        for model in &backend.models {
            self.model_index.entry(model.id.clone()).or_default().push(backend.id.clone());
        }
        self.backends.insert(backend.id.clone(), backend);
    }

    pub fn get_backends_for_model(&self, model: &str) -> Vec<Backend> {
        let Some(ids) = self.model_index.get(model) else { return Vec::new() };
        ids.iter().filter_map(|id| self.backends.get(id).map(|backend| backend.clone())).collect()
    }

    /// Locks the maps in the other order than a query does: two threads that do one each can block
    /// each other for ever, so the benchmark never lets them.
    pub fn update_models(&self, id: &str, models: Vec<Model>) {
        let Some(mut backend) = self.backends.get_mut(id) else { return };
        for model in &backend.models {
            if let Some(mut ids) = self.model_index.get_mut(&model.id) {
                ids.retain(|other| other != id);
            }
        }
        for model in &models {
            self.model_index.entry(model.id.clone()).or_default().push(id.to_owned());
        }
        backend.models = models;
    }
}
