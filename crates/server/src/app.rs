//! Everything that the daemon is, apart from its sockets.

use crate::{
    Config,
    catalog::{Catalog, Saved},
    config::ConfigSource,
    guard::Guard,
    library::{Shelf, cache_dir},
    models::{KnownModels, service_of},
    moved::{self, MoveError},
};
use arc_swap::ArcSwap;
use callsheet_fleet::{
    Directory, HealthPolicy, Link, Prober,
    registry::{Backend, BackendStatus, DiscoverySource, Registry, RegistryError},
};
use callsheet_gateway::{Gateway, Journal};
use callsheet_sources::Http;
use callsheet_store::{Cursor, StoreError, StoreUrlError};
use callsheet_types::{BackendName, BackendSpec, Model, Secret, SecretError, SecretSource};
use callsheet_upstream::TlsError;
use std::{
    collections::{HashMap, HashSet},
    ops::{ControlFlow, Deref, DerefMut},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::watch;

/// The composed daemon.
pub struct App {
    /// The live backends.
    pub fleet: Arc<Registry>,
    /// The data plane.
    pub gateway: Arc<Gateway>,
    /// The access log.
    pub journal: Arc<Journal>,
    /// What is kept.
    pub catalog: Catalog,
    /// How providers and catalogs are asked.
    pub http: Http,
    pub(crate) shelf: Shelf,
    pub(crate) cache_dir: PathBuf,
    known: Arc<KnownModels>,
    pub(crate) guard: ArcSwap<Guard>,
    pub(crate) prober: Prober,
    /// Where the configuration comes from; empty where it cannot be reloaded.
    pub(crate) source: OnceLock<ConfigSource>,
    /// False where no connection may be opened, and until probing has begun.
    is_probing: AtomicBool,
    is_ready: AtomicBool,
    /// The newest change that is in force here.
    pub(crate) feed: watch::Sender<Cursor>,
    /// Whether the daemon is about to end: what has no end of its own must end then.
    pub(crate) is_stopping: watch::Sender<bool>,
    /// What is in force, for whoever only reads: nobody waits for a change that is being written.
    in_force: ArcSwap<Owned>,
    /// Changes take turns: this is what they change, and the order in which they do it.
    owned: Mutex<Owned>,
}

/// The configuration, and what is kept of backends and presets.
#[derive(Clone)]
pub(crate) struct Owned {
    pub(crate) config: Config,
    /// What is kept, as far as it is in force.
    pub(crate) saved: Saved,
    built_in: Vec<BackendSpec>,
}

/// A turn at changing what is in force; all see what it changed when it ends.
pub(crate) struct Turn<'a> {
    app: &'a App,
    owned: MutexGuard<'a, Owned>,
    is_changed: bool,
}

impl Deref for Turn<'_> {
    type Target = Owned;

    fn deref(&self) -> &Owned {
        &self.owned
    }
}

impl DerefMut for Turn<'_> {
    fn deref_mut(&mut self) -> &mut Owned {
        self.is_changed = true;
        &mut self.owned
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_changed {
            self.app.in_force.store(Arc::new(self.owned.clone()));
        }
    }
}

impl Owned {
    /// Returns whether a backend is part of a demonstration, of which nothing is to be kept.
    pub(crate) fn is_built_in(&self, name: &str) -> bool {
        self.built_in.iter().any(|spec| spec.name.as_str() == name)
    }

    pub(crate) fn is_fixed(&self, name: &BackendName) -> bool {
        self.config.backends.iter().chain(&self.built_in).any(|spec| spec.name == *name)
    }

    /// Returns every backend that there is to be under a configuration. Where two have one name
    /// the config file goes before what is built in, and that before what was added.
    pub(crate) fn specs(
        &self,
        config: &Config,
        saved: &Saved,
    ) -> Vec<(BackendSpec, DiscoverySource)> {
        let mut names = HashSet::new();
        let fixed = config.backends.iter().chain(&self.built_in);
        let fixed = fixed.map(|spec| (spec, DiscoverySource::Static));
        let added = saved.backends.values().map(|spec| (spec, DiscoverySource::Manual));
        let mut specs = Vec::new();
        for (spec, source) in fixed.chain(added) {
            if names.insert(&spec.name) {
                specs.push((spec.clone(), source));
            } else if source == DiscoverySource::Manual {
                tracing::warn!(backend = %spec.name, "the config file has a backend of this name too, which goes first");
            }
        }
        specs
    }
}

/// A daemon that cannot start, or a configuration that it cannot take.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A backend's key, or the admin token, is not to be had.
    #[error("the secret of {owner}")]
    Secret {
        /// Whose it is.
        owner: String,
        /// Why not.
        #[source]
        cause: SecretError,
    },
    /// A backend's TLS cannot be set up.
    #[error("the backend {name}")]
    Tls {
        /// The backend.
        name: BackendName,
        /// Why not.
        #[source]
        cause: TlsError,
    },
    /// There is no place for the store.
    #[error("the data directory {path} cannot be made", path = .path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// `store.url` is no address; a checked configuration has none such.
    #[error(transparent)]
    StoreUrl(#[from] StoreUrlError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What an earlier version kept cannot be taken over.
    #[error(transparent)]
    Move(#[from] MoveError),
    /// Two metrics of one name, which is a fault of the program.
    #[error("metrics cannot be set up")]
    Metrics(#[from] prometheus::Error),
    /// Two backends of one name; a checked configuration has none.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Whether the backends are wanted, or only what is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fleet {
    /// Every backend is there, with its key, and can be asked.
    Live,
    /// There is none: whoever looks at models needs nobody's key.
    Absent,
}

impl App {
    /// Composes a daemon from a checked configuration and the state in its data directory.
    /// `built_in` backends are there without being configured; `http` asks providers.
    ///
    /// Must run inside a tokio runtime; probing starts with [`App::start_probing`].
    pub fn new(
        config: Config,
        data_dir: &Path,
        built_in: &[BackendSpec],
        http: Http,
        fleet: Fleet,
    ) -> Result<Self, StartError> {
        let catalog = Catalog::open(&config, data_dir)?;
        moved::take_over(data_dir, &catalog)?;
        // Read before the rest: what comes between the two is seen twice, and never missed.
        let cursor = catalog.store().cursor()?;
        let saved = catalog.saved()?;
        let has_fleet = fleet == Fleet::Live;
        let fleet = Arc::new(Registry::with_policy(config.fleet_policy()));
        let journal = Arc::new(Journal::new(config.log.requests.then_some(config.log.format)));
        let gateway = Gateway::new(
            Arc::clone(&fleet),
            gateway_policy(&config, &saved),
            Arc::clone(&journal),
        )?;
        let guard = guard(&config)?;
        let shelf = Shelf::open(&config, data_dir)?;
        let cache_dir = cache_dir(&config, data_dir);

        let owned = Owned { config, saved, built_in: built_in.to_vec() };
        let config = &owned.config;
        let mut backends = Vec::new();
        let specs = if has_fleet { owned.specs(config, &owned.saved) } else { Vec::new() };
        for (spec, source) in &specs {
            match backend(spec, *source, config) {
                Ok(backend) => backends.push(backend),
                // It was added where its key is to be had, perhaps on another machine.
                Err(error) if *source == DiscoverySource::Manual => left_out(spec, &error),
                Err(error) => return Err(error),
            }
        }
        fleet.add_backends(backends)?;
        for name in &owned.saved.draining {
            // One that is gone is not drained any more.
            let _ = fleet.update_status(name.as_str(), BackendStatus::Draining, None);
        }
        let known = Arc::new(KnownModels::new(catalog.store().clone()));
        known.set_providers(services(&owned));
        fleet.set_directory(Arc::clone(&known) as Arc<dyn Directory>);
        let prober = Prober::new(Arc::clone(&fleet), health_policy(config));
        Ok(Self {
            prober,
            gateway: Arc::new(gateway),
            fleet,
            journal,
            catalog,
            http,
            shelf,
            cache_dir,
            known,
            feed: watch::Sender::new(cursor),
            is_stopping: watch::Sender::new(false),
            guard: ArcSwap::from_pointee(guard),
            source: OnceLock::new(),
            is_probing: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
            in_force: ArcSwap::from_pointee(owned.clone()),
            owned: Mutex::new(owned),
        })
    }

    /// Begins to probe every backend, those to come among them.
    pub fn start_probing(&self) {
        self.is_probing.store(true, Ordering::Release);
        for backend in &*self.fleet.get_all_backends() {
            self.watch(backend);
        }
    }

    /// Returns when every backend has been probed once; the daemon is ready from then on.
    pub async fn wait_until_ready(&self) {
        self.prober.all_probed().await;
        self.know_names();
        self.is_ready.store(true, Ordering::Release);
    }

    /// Returns whether every backend has been probed once.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Says where the configuration comes from, so that it can be reloaded.
    pub fn set_source(&self, source: ConfigSource) {
        // Said twice, the first stands: a process has one config file.
        let _ = self.source.set(source);
    }

    /// Returns whether this is a daemon, which others than its user may reach.
    pub(crate) fn is_daemon(&self) -> bool {
        self.source.get().is_some()
    }

    /// Returns the configuration in force.
    pub fn config(&self) -> Config {
        self.in_force().config.clone()
    }

    /// Cards have changed: what the fleet knows of them is looked up again.
    pub(crate) fn look_at_cards_again(&self) {
        self.known.look_again();
    }

    /// Begins to look cards up on a thread of its own, which ends with the daemon.
    pub(crate) fn start_looking_up(self: &Arc<Self>) -> std::io::Result<()> {
        let (app, known) = (Arc::downgrade(self), Arc::clone(&self.known));
        let tell = move |has_news: bool| {
            let Some(app) = app.upgrade() else { return ControlFlow::Break(()) };
            if has_news {
                app.fleet.set_directory(Arc::clone(&app.known) as Arc<dyn Directory>);
                app.know_names();
            }
            ControlFlow::Continue(())
        };
        let thread = std::thread::Builder::new().name("cards".to_owned());
        thread.spawn(move || known.work(tell)).map(drop)
    }

    /// Tells the gateway what else models are called, by what was found in cards.
    fn know_names(&self) {
        self.gateway.set_also(&Arc::new(self.known.names()));
    }

    /// Backends have changed: says anew which are which service.
    pub(crate) fn know_services(&self, owned: &Owned) {
        self.known.set_providers(services(owned));
    }

    pub(crate) fn watch(&self, backend: &Arc<Backend>) {
        if !self.is_probing.load(Ordering::Acquire) {
            return;
        }
        self.prober.watch(backend, backend.metadata.contains_key(DECLARED_MODELS));
    }

    pub(crate) fn forget(&self, backend: &Arc<Backend>) {
        self.prober.forget(&backend.id);
        // Somebody else may have removed it; then it is gone all the same.
        let _ = self.fleet.remove_backend(&backend.id);
        self.gateway.forget_backend(&backend.id);
        if let Some(link) = backend.link() {
            link.upstream().close_idle();
        }
    }

    /// Returns what is in force, without waiting for anybody.
    pub(crate) fn in_force(&self) -> arc_swap::Guard<Arc<Owned>> {
        self.in_force.load()
    }

    /// Waits for the turn to change what is in force. Others may be writing to disk meanwhile.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        Turn { app: self, owned, is_changed: false }
    }
}

/// Returns the backends that are known services, and whose cards speak of them therefore.
fn services(owned: &Owned) -> HashMap<String, String> {
    let specs = owned.specs(&owned.config, &owned.saved).into_iter();
    let services = specs
        .filter_map(|(spec, _)| Some((spec.name.to_string(), service_of(&spec, &owned.config)?)));
    services.collect()
}

/// Says that a backend cannot be used here; all others can.
pub(crate) fn left_out(spec: &BackendSpec, error: &StartError) {
    let error = callsheet_types::with_causes(error);
    tracing::warn!(backend = %spec.name, "a backend is left out: {error}");
}

/// Stands in the metadata of a backend whose models were declared, and are not taken from its list.
pub(crate) const DECLARED_MODELS: &str = "declared_models";

pub(crate) fn backend(
    spec: &BackendSpec,
    source: DiscoverySource,
    config: &Config,
) -> Result<Backend, StartError> {
    let api_key = secret(spec.key_source(), || format!("the backend {}", spec.name))?;
    let link = Link::new(spec.url.clone(), spec.backend_type, api_key, config.connection_options())
        .map_err(|cause| StartError::Tls { name: spec.name.clone(), cause })?;
    let models: Option<Vec<Model>> =
        spec.models.clone().map(|models| models.into_iter().map(Model::from).collect());
    let metadata = match &models {
        Some(_) => HashMap::from([(DECLARED_MODELS.to_owned(), "true".to_owned())]),
        None => HashMap::new(),
    };
    let backend = Backend::new(
        spec.name.as_str(),
        spec.name.as_str(),
        spec.url.to_string(),
        spec.backend_type,
        models.unwrap_or_default(),
        source,
        metadata,
    );
    Ok(backend
        .with_priority(spec.priority)
        .with_weight(spec.weight)
        .with_zone(spec.zone.clone())
        .with_max_concurrent(spec.max_concurrent)
        .with_link(Arc::new(link)))
}

pub(crate) fn guard(config: &Config) -> Result<Guard, StartError> {
    let server = &config.server;
    let token = secret(server.admin_token(), || "server.admin_token".to_owned())?;
    Ok(Guard::new(server.allowed_hosts.clone(), server.allowed_origins.clone(), token))
}

fn secret(
    source: Option<SecretSource>,
    owner: impl FnOnce() -> String,
) -> Result<Option<Secret>, StartError> {
    let read = source.map(read_secret).transpose();
    read.map_err(|cause| StartError::Secret { owner: owner(), cause })
}

/// Reads a secret from where it is kept.
pub fn read_secret(source: SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::Env(name) if !callsheet_types::is_variable_name(&name) => {
            Err(SecretError::NoVariable)
        }
        SecretSource::Env(name) => match std::env::var(&name) {
            Ok(text) => Secret::new(&text, &format!("the environment variable {name}")),
            Err(_) => Err(SecretError::Unset(name)),
        },
        SecretSource::File(path) => match std::fs::read_to_string(&path) {
            Ok(text) => Secret::new(&text, &format!("the file {}", path.display())),
            Err(cause) => Err(SecretError::Unreadable { path, cause }),
        },
    }
}

/// Returns what the gateway is told: by the configuration, and by what is kept.
pub(crate) fn gateway_policy(config: &Config, saved: &Saved) -> callsheet_gateway::Policy {
    let presets = saved.presets.iter();
    let presets = presets.map(|(name, (preset, _))| (name.clone(), preset.clone())).collect();
    callsheet_gateway::Policy { presets, ..config.gateway_policy() }
}

pub(crate) fn health_policy(config: &Config) -> HealthPolicy {
    HealthPolicy {
        interval: config.health.interval.0,
        timeout: config.health.timeout.0,
        failure_threshold: config.health.failure_threshold,
        recovery_threshold: config.health.recovery_threshold,
    }
}
