//! The files library, as the configuration in force has it; and the sources that people add to it.

use crate::{App, Config, StartError, app::read_secret, catalog::Edit, dirs};
use callsheet_files::{
    Cache, FilesError, Library, Memory, Overlays, Publishes, Settings, Sources, bootstrap,
    source::{Origin, SourceSpec},
};
use callsheet_models::Cards;
use callsheet_store::{Blobs, Intent, PublishError, StoreError};
use callsheet_types::{Body, Entry, EntryId, Kind, SourceName, plan::Status};
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// What of the library stays while the configuration changes.
pub(crate) struct Shelf {
    blobs: Blobs,
    memory: Arc<Memory>,
    usage: PathBuf,
}

/// A source that is to be added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SourceAsked {
    /// Its key.
    pub key: String,
    /// The source itself.
    #[serde(flatten)]
    pub spec: SourceSpec,
}

impl Shelf {
    pub(crate) fn open(config: &Config, data_dir: &Path) -> Result<Self, StartError> {
        Ok(Self {
            blobs: Blobs::open(&config.store.blobs(data_dir)?)?,
            memory: Arc::default(),
            usage: data_dir.join("usage.jsonl"),
        })
    }
}

/// Returns where files are cached.
pub fn cache_dir(config: &Config, data_dir: &Path) -> PathBuf {
    let usual = || dirs::cache_base().map(|base| base.join("callsheet"));
    config.files.cache_dir.clone().or_else(usual).unwrap_or_else(|| data_dir.join("cache"))
}

/// Returns the library without what is kept: for work on files alone, such as an index.
pub fn settings(config: &Config) -> Settings {
    Settings {
        hosts: config.github.hosts(),
        token: read_secret(config.github.usual_token()).ok(),
        parallel: config.files.parallel,
        single_files: config.files.single_files,
        mirrors: config.files.mirrors.clone(),
        max_file_bytes: config.files.max_file_bytes.0,
        usage: None,
        secret: read_secret,
    }
}

impl App {
    /// Returns the library as it is now: the user's overlays are read anew. Blocks.
    pub fn library(&self) -> Result<Library, FilesError> {
        let config = self.config();
        let kept = &self.shelf;
        let mut settings = settings(&config);
        settings.usage = config.files.usage.then(|| kept.usage.clone());
        Ok(Library {
            store: self.catalog.store().clone(),
            blobs: kept.blobs.clone(),
            cache: Cache::open(&self.cache_dir),
            http: self.http.clone(),
            sources: Arc::new(self.file_sources(&config)?),
            settings: Arc::new(settings),
            memory: Arc::clone(&kept.memory),
            project: Arc::new(Cards),
        })
    }

    /// Returns the sources: as shipped, then the overlays, then those that were added, then those of
    /// the configuration.
    fn file_sources(&self, config: &Config) -> Result<Sources, FilesError> {
        sources(config, self.added_sources()?)
    }

    fn added_sources(&self) -> Result<Vec<(String, SourceSpec)>, StoreError> {
        let stored = self.catalog.store().entries(&Kind::source())?;
        let active = stored.into_iter().filter(|stored| stored.status == Status::Active);
        // What a newer version wrote and this one cannot read is left out.
        Ok(active
            .filter_map(|stored| {
                let key = stored.id.key.split_once('/')?.1.to_owned();
                Some((key, stored.body.read().ok()?))
            })
            .collect())
    }

    /// Adds a source, or replaces one that was added or shipped.
    pub(crate) fn add_source(
        &self,
        asked: &SourceAsked,
        intent: &Intent,
    ) -> Result<(), FilesError> {
        let (config, publishes) = (self.config(), asked.spec.publishes);
        let key = asked.key.clone();
        if config.sources.get(&key).is_some_and(|spec| spec.publishes == publishes) {
            return Err(FilesError::Question(format!(
                "source '{key}' is in the config file; change it there"
            )));
        }
        let id = EntryId::new(Kind::source(), &entry_key(publishes, &key));
        if asked.spec.token_env.is_some() || asked.spec.token_file.is_some() {
            self.may_name_secrets(&key)?;
        }
        let source = SourceName::api();
        let says_nothing = asked.spec == SourceSpec { publishes, ..SourceSpec::default() };
        if says_nothing && sources(&config, Vec::new())?.contains_key(&(publishes, key.clone())) {
            // It is to be as it is without what was said here.
            let edit = Edit { entries: Vec::new(), removed: vec![id.clone()] };
            self.catalog.edit(intent, &source, &[id], |_| Ok::<_, PublishError>(edit.clone()))?;
            return Ok(());
        }
        let mut sources = self.file_sources(&config)?;
        bootstrap::put(&mut sources, &key, asked.spec.clone(), Origin::Added)?;
        // As it is with what it takes over from the one that it replaces.
        let added = sources.remove(&(publishes, key.clone()));
        let spec = added.map_or_else(|| asked.spec.clone(), |added| added.spec);
        let body = Body::of(&spec).map_err(StoreError::from)?;
        let nature = callsheet_types::Nature::Tracking;
        let entry = Entry { id: id.clone(), nature, body };
        let edit = Edit { entries: vec![entry], removed: Vec::new() };
        self.catalog.edit(intent, &source, &[id], |_| Ok::<_, PublishError>(edit.clone()))?;
        Ok(())
    }

    /// Fails for a daemon that anybody may manage: a secret of its own would go wherever they say.
    fn may_name_secrets(&self, key: &str) -> Result<(), FilesError> {
        if !self.is_daemon() || self.config().server.admin_token().is_some() {
            return Ok(());
        }
        Err(FilesError::Question(format!(
            "source '{key}': a token is read where the daemon runs, and without an admin token anybody could have it sent anywhere; say `token_env` or `token_file` in the config file or in an overlay, or set `server.admin_token_env`"
        )))
    }

    /// Removes a source: one that was added is gone, one that is shipped is switched off. Returns who
    /// said it, and who says the one that it had replaced.
    pub(crate) fn remove_source(
        &self,
        publishes: Publishes,
        name: &str,
        intent: &Intent,
    ) -> Result<(Origin, Option<Origin>), FilesError> {
        let library = self.library()?;
        let found = library.source(publishes, name)?;
        let (key, origin) = (found.key.clone(), found.origin);
        let others = sources(&self.config(), Vec::new())?;
        let below = others.get(&(publishes, key.clone())).map(|below| below.origin);
        let id = EntryId::new(Kind::source(), &entry_key(publishes, &key));
        let edit = match origin {
            Origin::Config => {
                let text = format!("source '{key}' is in the config file; remove it there");
                return Err(FilesError::Question(text));
            }
            Origin::Added if found.spec.refs.is_empty() && below.is_some() => {
                let text = format!("source '{key}' is switched off already");
                return Err(FilesError::Question(text));
            }
            Origin::Added => Edit { entries: Vec::new(), removed: vec![id.clone()] },
            Origin::Shipped | Origin::Overlay => {
                let spec = SourceSpec { refs: Vec::new(), ..found.spec.clone() };
                let body = Body::of(&spec).map_err(StoreError::from)?;
                let entry =
                    Entry { id: id.clone(), nature: callsheet_types::Nature::Tracking, body };
                Edit { entries: vec![entry], removed: Vec::new() }
            }
        };
        let source = SourceName::api();
        self.catalog.edit(intent, &source, &[id], |_| Ok::<_, PublishError>(edit.clone()))?;
        Ok((origin, below.filter(|_| origin == Origin::Added)))
    }
}

/// Returns the sources with these added ones among them.
fn sources(config: &Config, added: Vec<(String, SourceSpec)>) -> Result<Sources, FilesError> {
    let mut folders = Vec::new();
    if let Some(base) = dirs::config_base() {
        // Whoever comes from the Python package has written one already.
        folders.push(base.join("modflow-devtools"));
        folders.push(base.join("callsheet"));
    }
    let mut sources = bootstrap::load(&Overlays { folders })?;
    for (key, spec) in added {
        // It was checked when it was added; one of another version keeps no other from working.
        if let Err(error) = bootstrap::put(&mut sources, &key, spec, Origin::Added) {
            tracing::warn!(%error, "a source is left out");
        }
    }
    for (key, spec) in &config.sources {
        bootstrap::put(&mut sources, key, spec.clone(), Origin::Config)?;
    }
    Ok(sources)
}

fn entry_key(publishes: Publishes, key: &str) -> String {
    format!("{publishes}/{key}")
}
