//! Taking a new configuration while running: all of it or none.

use crate::{
    App, Config, ConfigError, StartError,
    app::{Owned, backend, gateway_policy, guard, health_policy, left_out},
    catalog::Saved,
    config::LimitsConfig,
};
use callsheet_fleet::{
    Link,
    registry::{Backend, BackendStatus, DiscoverySource},
};
use callsheet_store::StoreError;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, sync::Arc};

/// What a reload changed, or would.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Backends that are new.
    pub added: Vec<String>,
    /// Backends that are described anew, or have another key.
    pub changed: Vec<String>,
    /// Backends that are gone.
    pub removed: Vec<String>,
    /// Keys that differ and are not in force before a restart.
    pub needs_restart: Vec<String>,
}

/// A configuration that was not taken; the old one stays.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Nobody said where the configuration comes from: no daemon runs.
    #[error("no daemon runs here that could reload its configuration")]
    NoDaemon,
    /// It cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It cannot be put in force.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What others wrote could not be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be put in force: a backend's key is not to be had here, perhaps.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl App {
    /// Reads the configuration again from where it came, and takes it.
    pub fn reload_from_source(&self, dry_run: bool) -> Result<Reloaded, ReloadError> {
        let source = self.source.get().ok_or(ReloadError::NoDaemon)?;
        let taken = match source.load() {
            Ok(config) => self.reload(config, dry_run).map_err(ReloadError::from),
            Err(error) => Err(error.into()),
        };
        match &taken {
            _ if dry_run => {}
            Ok(reloaded) if reloaded.needs_restart.is_empty() => {
                tracing::info!("configuration reloaded");
            }
            Ok(reloaded) => tracing::warn!(
                needs_restart = reloaded.needs_restart.join(", "),
                "configuration reloaded, but for keys that need a restart"
            ),
            Err(error) => {
                let error = callsheet_types::with_causes(error);
                tracing::error!("configuration not reloaded, the old one stays: {error}");
            }
        }
        taken
    }

    /// Takes a new configuration, all of it or none.
    ///
    /// Backends that are described as before keep their connections and what is known of them;
    /// what the others have in flight runs on.
    pub fn reload(&self, config: Config, dry_run: bool) -> Result<Reloaded, StartError> {
        let mut owned = self.turn();
        let saved = owned.saved.clone();
        self.put_in_force(&mut owned, config, saved, dry_run)
    }

    /// Takes what others wrote to the store since.
    pub(crate) fn take_saved(&self) -> Result<(), TakeError> {
        let mut owned = self.turn();
        // Read under the lock: what this process itself is just writing must not come out older.
        let saved = self.catalog.saved()?;
        if saved != owned.saved {
            let config = owned.config.clone();
            self.put_in_force(&mut owned, config, saved, false)?;
        }
        Ok(())
    }

    fn put_in_force(
        &self,
        owned: &mut Owned,
        config: Config,
        saved: Saved,
        dry_run: bool,
    ) -> Result<Reloaded, StartError> {
        let guard = guard(&config)?;
        let same_options = config.connection_options() == owned.config.connection_options();
        let before = owned.specs(&owned.config, &owned.saved);
        let after = owned.specs(&config, &saved);
        let mut come = Vec::new();
        for described in &after {
            // Made in any case: a key that was replaced where it is kept is a change too.
            let new = match backend(&described.0, described.1, &config) {
                Ok(new) => new,
                // It was added where its key is to be had, perhaps on another machine; and what
                // others write concerns no key of the config file.
                Err(error) if described.1 == DiscoverySource::Manual || config == owned.config => {
                    left_out(&described.0, &error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let is_same = same_options && before.contains(described) && self.has_same_key(&new);
            if !is_same {
                come.push(new);
            }
        }

        let stay: HashSet<_> = after.iter().map(|(spec, _)| &spec.name).collect();
        let gone = before.iter().filter(|(spec, _)| !stay.contains(&spec.name));
        let is_new = |new: &&Backend| before.iter().all(|(spec, _)| spec.name.as_str() != new.id);
        let ids = |backends: Vec<&Backend>| backends.iter().map(|new| new.id.clone()).collect();
        let reloaded = Reloaded {
            added: ids(come.iter().filter(is_new).collect()),
            changed: ids(come.iter().filter(|new| !is_new(new)).collect()),
            removed: gone.map(|(spec, _)| spec.name.to_string()).collect(),
            needs_restart: needing_restart(&owned.config, &config),
        };
        if dry_run {
            return Ok(reloaded);
        }

        // Nothing below can fail: what could has been made above.
        self.fleet.set_policy(config.fleet_policy());
        self.gateway.set_policy(&gateway_policy(&config, &saved));
        self.guard.store(Arc::new(guard));
        for name in &reloaded.removed {
            if let Some(backend) = self.fleet.get_backend(name) {
                self.forget(&backend);
            }
        }
        let is_draining = |id: &str| saved.draining.iter().any(|name| name.as_str() == id);
        for new in come {
            let is_draining = is_draining(&new.id);
            self.replace(new, is_draining);
        }
        for backend in &*self.fleet.get_all_backends() {
            match (backend.status() == BackendStatus::Draining, is_draining(&backend.id)) {
                // An error means that somebody removed it.
                (false, true) => {
                    drop(self.fleet.update_status(&backend.id, BackendStatus::Draining, None));
                }
                (true, false) => {
                    let _ = self.fleet.update_status(&backend.id, BackendStatus::Unknown, None);
                    self.watch(backend);
                }
                _ => {}
            }
        }
        self.prober.set_policy(health_policy(&config));
        owned.config = config;
        owned.saved = saved;
        self.know_services(owned);
        Ok(reloaded)
    }

    fn has_same_key(&self, new: &Backend) -> bool {
        let old = self.fleet.get_backend(&new.id);
        let old: Option<Arc<Link>> = old.and_then(|old| old.link().map(Arc::clone));
        old.zip(new.link()).is_some_and(|(old, new)| old.has_same_key(new))
    }

    /// Puts a backend in the place of the one of its name, or adds it where there is none. What the
    /// old one has in flight runs on.
    fn replace(&self, new: Backend, is_draining: bool) {
        let is_there = self.fleet.get_backend(&new.id).is_some();
        // Changes take turns, so that an error means that there is nothing to be done any more.
        let added = if is_there {
            let Ok(replaced) = self.fleet.replace_backend(new) else { return };
            self.prober.forget(&replaced.new.id);
            if let Some(link) = replaced.old.link() {
                link.upstream().close_idle();
            }
            replaced.new
        } else {
            let Ok(added) = self.fleet.add_backend(new) else { return };
            added
        };
        if is_draining {
            let _ = self.fleet.update_status(&added.id, BackendStatus::Draining, None);
        }
        self.watch(&added);
    }
}

fn needing_restart(now: &Config, new: &Config) -> Vec<String> {
    let limits = |same: fn(&LimitsConfig, &LimitsConfig) -> bool| !same(&now.limits, &new.limits);
    let changed = [
        ("server.listen", now.server.listen != new.server.listen),
        ("log.format", now.log.format != new.log.format),
        ("log.level", now.log.level != new.log.level),
        ("store", now.store != new.store),
        ("log.requests", now.log.requests != new.log.requests),
        ("limits.header_bytes", limits(|a, b| a.header_bytes == b.header_bytes)),
        ("limits.header_timeout", limits(|a, b| a.header_timeout == b.header_timeout)),
        ("limits.send_timeout", limits(|a, b| a.send_timeout == b.send_timeout)),
    ];
    changed
        .into_iter()
        .filter(|(_, is_changed)| *is_changed)
        .map(|(key, _)| key.to_owned())
        .collect()
}
