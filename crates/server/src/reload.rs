//! Taking a new configuration while running: all of it or none.

use crate::{
    App, Config, StartError,
    app::{DECLARED_MODELS, backend, guard, health_policy},
    config::LimitsConfig,
};
use callsheet_fleet::{
    Link,
    registry::{Backend, BackendStatus},
};
use std::{collections::HashSet, sync::Arc};

impl App {
    /// Takes a new configuration, all of it or none. Returns the keys whose change needs a restart.
    ///
    /// Backends that are described as before keep their connections and what is known of them;
    /// what the others have in flight runs on.
    pub fn reload(&self, config: Config) -> Result<Vec<&'static str>, StartError> {
        let mut owned = self.owned();
        let guard = guard(&config)?;
        let same_options = config.connection_options() == owned.config.connection_options();
        let before = owned.specs(&owned.config);
        let after = owned.specs(&config);
        let mut come = Vec::new();
        for described in &after {
            // Made in any case: a key that was replaced where it is kept is a change too.
            let new = backend(&described.0, described.1, &config)?;
            let is_same = same_options && before.contains(described) && self.has_same_key(&new);
            if !is_same {
                come.push(new);
            }
        }

        // Nothing below can fail: what could has been made above.
        self.fleet.set_policy(config.fleet_policy());
        self.gateway.set_policy(config.gateway_policy());
        self.guard.store(Arc::new(guard));
        let stay: HashSet<_> = after.iter().map(|(spec, _)| &spec.name).collect();
        for (spec, _) in before.iter().filter(|(spec, _)| !stay.contains(&spec.name)) {
            if let Some(backend) = self.fleet.get_backend(spec.name.as_str()) {
                self.forget(&backend);
            }
        }
        for new in come {
            let draining = &owned.state.saved().draining;
            let is_draining = draining.iter().any(|name| name.as_str() == new.id);
            self.replace(new, is_draining);
        }
        self.prober.set_policy(health_policy(&config));
        let restart = needing_restart(&owned.config, &config);
        owned.config = config;
        Ok(restart)
    }

    fn has_same_key(&self, new: &Backend) -> bool {
        let old = self.fleet.get_backend(&new.id);
        let old: Option<Arc<Link>> = old.and_then(|old| old.link().map(Arc::clone));
        old.zip(new.link()).is_some_and(|(old, new)| old.has_same_key(new))
    }

    /// Puts a backend in the place of one of its name. Where it is the same server, what is known
    /// of it stands until its first probe, so that it need not leave routing for so long.
    fn replace(&self, new: Backend, is_draining: bool) {
        let old = self.fleet.get_backend(&new.id);
        if let Some(old) = &old {
            self.forget(old);
        }
        let known = old
            .filter(|old| (&old.url, old.backend_type) == (&new.url, new.backend_type))
            .map(|old| (old.status(), old.models()));
        let Ok(added) = self.fleet.add_backend(new) else { return };
        if let Some((status, models)) = known {
            // An error means that somebody removed it again.
            if !added.metadata.contains_key(DECLARED_MODELS) {
                let _ = self.fleet.update_models(&added.id, models.to_vec());
            }
            let _ = self.fleet.update_status(&added.id, status, None);
        }
        if is_draining {
            let _ = self.fleet.update_status(&added.id, BackendStatus::Draining, None);
        }
        self.watch(&added);
    }
}

fn needing_restart(now: &Config, new: &Config) -> Vec<&'static str> {
    let limits = |same: fn(&LimitsConfig, &LimitsConfig) -> bool| !same(&now.limits, &new.limits);
    let changed = [
        ("server.listen", now.server.listen != new.server.listen),
        ("log.format", now.log.format != new.log.format),
        ("log.level", now.log.level != new.log.level),
        ("log.requests", now.log.requests != new.log.requests),
        ("limits.header_bytes", limits(|a, b| a.header_bytes == b.header_bytes)),
        ("limits.header_timeout", limits(|a, b| a.header_timeout == b.header_timeout)),
        ("limits.send_timeout", limits(|a, b| a.send_timeout == b.send_timeout)),
    ];
    changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}
