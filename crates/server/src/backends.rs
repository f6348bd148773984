//! Changing the backends while running: saved first, then in force.

use crate::{
    App, StartError,
    app::backend,
    catalog::{Edit, backend_entry, drain_entry},
};
use callsheet_fleet::registry::{
    Backend, BackendStatus, BackendView, DiscoverySource, RegistryError,
};
use callsheet_store::{Intent, PublishError, StoreError};
use callsheet_types::{BackendName, BackendSpec, EntryId, Kind, SourceName, plan::Status};
use std::{sync::Arc, time::Duration};

/// A change to the backends that is refused.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is one of this name.
    #[error("there is a backend named {0} already")]
    Exists(BackendName),
    /// The name belongs to the config file.
    #[error("the backend {0} stands in the config file")]
    Configured(BackendName),
    /// There is none of this name.
    #[error("there is no backend named {0:?}")]
    NotFound(String),
    /// Its description cannot be used.
    #[error("the backend cannot be used")]
    Unusable(#[source] StartError),
    /// It could not be saved, and so was not done.
    #[error("it could not be saved")]
    Publish(#[from] PublishError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Publish(error.into())
    }
}

/// How long adding a backend waits for its first probe, so that its status can be told.
const FIRST_LOOK: Duration = Duration::from_secs(2);

impl App {
    /// Adds a backend: saved first, then in service. Does disk I/O.
    pub fn add_backend(
        &self,
        spec: &BackendSpec,
        dry_run: bool,
        actor: &str,
    ) -> Result<BackendView, ChangeError> {
        let mut owned = self.turn();
        if owned.is_fixed(&spec.name) {
            return Err(ChangeError::Configured(spec.name.clone()));
        }
        if self.fleet.get_backend(spec.name.as_str()).is_some() {
            return Err(ChangeError::Exists(spec.name.clone()));
        }
        let new =
            backend(spec, DiscoverySource::Manual, &owned.config).map_err(ChangeError::Unusable)?;
        if dry_run {
            return Ok(BackendView::from(&new));
        }
        let id = EntryId::new(Kind::backend(), spec.name.as_str());
        let entry = backend_entry(spec)?;
        self.catalog.edit(
            &Intent::now(actor),
            &SourceName::api(),
            std::slice::from_ref(&id),
            |current| match current.heads.get(&id) {
                Some(head) if head.status == Status::Active => {
                    Err(ChangeError::Exists(spec.name.clone()))
                }
                _ => Ok(Edit { entries: vec![entry.clone()], removed: Vec::new() }),
            },
        )?;
        owned.saved.backends.insert(spec.name.clone(), spec.clone());
        let exists = |_: RegistryError| ChangeError::Exists(spec.name.clone());
        let added = self.fleet.add_backend(new).map_err(exists)?;
        self.know_services(&owned);
        self.watch(&added);
        tracing::info!(backend = %spec.name, url = %spec.url, "backend added");
        Ok(BackendView::from(&*added))
    }

    /// Waits a moment for a backend's first probe and returns what is known then.
    pub async fn first_look(&self, name: &str) -> Option<BackendView> {
        let _ = tokio::time::timeout(FIRST_LOOK, self.prober.probed(name)).await;
        self.fleet.get_backend(name).map(|backend| BackendView::from(&*backend))
    }

    /// Removes a backend that was added. What it has in flight runs on. Does disk I/O.
    pub fn remove_backend(
        &self,
        name: &str,
        dry_run: bool,
        actor: &str,
    ) -> Result<BackendView, ChangeError> {
        let mut owned = self.turn();
        let backend = self.known(name)?;
        let key = backend_name(&backend)?;
        if owned.is_fixed(&key) {
            return Err(ChangeError::Configured(key));
        }
        if !dry_run {
            let gone = [Kind::backend(), Kind::drain()].map(|kind| EntryId::new(kind, name));
            let removed = Edit { entries: Vec::new(), removed: gone.to_vec() };
            self.save(&gone, &removed, actor)?;
            owned.saved.backends.remove(&key);
            owned.saved.draining.remove(&key);
            self.forget(&backend);
            tracing::info!(backend = name, "backend removed");
        }
        Ok(BackendView::from(&*backend))
    }

    /// Lets a backend finish what it has and gives it nothing new, across restarts. Does disk I/O.
    pub fn drain_backend(
        &self,
        name: &str,
        dry_run: bool,
        actor: &str,
    ) -> Result<BackendView, ChangeError> {
        let mut owned = self.turn();
        let backend = self.known(name)?;
        let key = backend_name(&backend)?;
        if !dry_run {
            let entry = drain_entry(&key);
            let id = [entry.id.clone()];
            self.save(&id, &Edit { entries: vec![entry], removed: Vec::new() }, actor)?;
            owned.saved.draining.insert(key);
            self.set_status(name, BackendStatus::Draining)?;
            tracing::info!(backend = name, "backend is draining");
        }
        Ok(BackendView::from(&*backend))
    }

    /// Takes a draining backend back; its next probe, which is made at once, says how it is. Does
    /// disk I/O.
    pub fn resume_backend(
        &self,
        name: &str,
        dry_run: bool,
        actor: &str,
    ) -> Result<BackendView, ChangeError> {
        let mut owned = self.turn();
        let backend = self.known(name)?;
        let key = backend_name(&backend)?;
        if !dry_run {
            let id = [EntryId::new(Kind::drain(), name)];
            self.save(&id, &Edit { entries: Vec::new(), removed: id.to_vec() }, actor)?;
            owned.saved.draining.remove(&key);
            if backend.status() == BackendStatus::Draining {
                self.set_status(name, BackendStatus::Unknown)?;
                self.watch(&backend);
                tracing::info!(backend = name, "backend is resumed");
            }
        }
        Ok(BackendView::from(&*backend))
    }

    fn save(&self, ids: &[EntryId], edit: &Edit, actor: &str) -> Result<(), ChangeError> {
        let decide = |_: &_| Ok::<_, ChangeError>(edit.clone());
        self.catalog.edit(&Intent::now(actor), &SourceName::api(), ids, decide).map(drop)
    }

    fn set_status(&self, name: &str, status: BackendStatus) -> Result<(), ChangeError> {
        let not_found = |_| ChangeError::NotFound(name.to_owned());
        self.fleet.update_status(name, status, None).map_err(not_found)
    }

    fn known(&self, name: &str) -> Result<Arc<Backend>, ChangeError> {
        self.fleet.get_backend(name).ok_or_else(|| ChangeError::NotFound(name.to_owned()))
    }
}

fn backend_name(backend: &Backend) -> Result<BackendName, ChangeError> {
    BackendName::new(&backend.id).map_err(|error| ChangeError::NotFound(error.0))
}
