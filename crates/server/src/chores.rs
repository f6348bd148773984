//! What the daemon does by itself: syncing new files at its start; asking providers, and forgetting
//! what is old, from time to time.

use crate::{App, models::RefreshAsked};
use callsheet_files::SyncAsked;
use jiff::Timestamp;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

/// How often the daemon looks whether a backend lists other models than before.
const LOOK_AT_LISTS: Duration = Duration::from_secs(1);

/// How soon a backend that could not say what it knows of its models is asked again.
const ASK_AGAIN: Duration = Duration::from_mins(1);

/// How often what is no longer kept is purged.
const PURGE_EVERY: Duration = Duration::from_hours(24);

impl App {
    /// Begins the chores; dropping what is returned ends them.
    pub(crate) fn start_chores(self: &Arc<Self>) -> JoinSet<()> {
        let mut chores = JoinSet::new();
        chores.spawn(refresh_on_schedule(Arc::clone(self)));
        chores.spawn(refresh_changed_backends(Arc::clone(self)));
        chores.spawn(purge(Arc::clone(self)));
        chores.spawn(sync_new_files(Arc::clone(self)));
        chores
    }
}

/// Asks all providers at every interval; the first time an interval after the start, so that a
/// daemon that is restarted over and over does not ask over and over.
async fn refresh_on_schedule(app: Arc<App>) {
    let mut last = Instant::now();
    loop {
        // A reload may set another interval, or none.
        let due = app.with_config(|config| config.models.refresh_every).map(|every| last + every.0);
        let look = Instant::now() + LOOK_AT_LISTS;
        match due {
            Some(due) if due <= Instant::now() => {
                last = Instant::now();
                // Whoever failed is asked again when it is time again.
                let _ = refresh(&app, RefreshAsked::default(), "it is time").await;
            }
            Some(due) => sleep_until(due.min(look)).await,
            None => sleep_until(look).await,
        }
    }
}

/// What a backend was last asked about.
struct Seen {
    /// The ids on its list.
    ids: Vec<String>,
    /// When to ask again though the list is the same: it failed.
    again: Option<Instant>,
}

/// Asks a backend what it says of its models whenever its list is another.
async fn refresh_changed_backends(app: Arc<App>) {
    let mut seen: HashMap<String, Seen> = HashMap::new();
    loop {
        sleep(LOOK_AT_LISTS).await;
        if !app.with_config(|config| config.models.refresh_backends) {
            continue;
        }
        let backends = app.fleet.get_all_backends();
        // One that is gone may come back as another machine.
        seen.retain(|id, _| backends.iter().any(|backend| backend.id == *id));
        let mut changed = Vec::new();
        for backend in &*backends {
            let is_declared = backend.metadata.contains_key(crate::app::DECLARED_MODELS);
            let is_left_alone = is_declared || app.in_force().is_built_in(&backend.id);
            if is_left_alone
                || backend.status() != callsheet_fleet::registry::BackendStatus::Healthy
            {
                continue;
            }
            let mut ids: Vec<_> = backend.models().iter().map(|model| model.id.clone()).collect();
            ids.sort_unstable();
            let is_due = match seen.get(&backend.id) {
                Some(seen) if seen.ids == ids => {
                    seen.again.is_some_and(|again| again <= Instant::now())
                }
                // One that has none yet has nothing to say of them.
                _ => !ids.is_empty(),
            };
            if is_due {
                seen.insert(backend.id.clone(), Seen { ids, again: None });
                changed.push(backend.id.clone());
            }
        }
        if changed.is_empty() {
            continue;
        }
        let asked = RefreshAsked { providers: changed, ..RefreshAsked::default() };
        for failed in refresh(&app, asked, "the list of a backend changed").await {
            if let Some(seen) = seen.get_mut(&failed) {
                seen.again = Some(Instant::now() + ASK_AGAIN);
            }
        }
    }
}

/// Refreshes and logs what went wrong; returns the names of those who failed.
async fn refresh(app: &Arc<App>, asked: RefreshAsked, why: &str) -> Vec<String> {
    let names = asked.providers.clone();
    match app.refresh_models(asked, "daemon").await {
        Ok(refreshed) => {
            for provider in &refreshed.report.providers {
                let name = &provider.name;
                if let Some(error) = &provider.error {
                    tracing::warn!(provider = name, why, "models not refreshed: {error}");
                } else {
                    tracing::debug!(provider = name, why, "models refreshed");
                }
            }
            for orphan in &refreshed.orphans {
                let used_by = orphan.used_by.join(", ");
                tracing::warn!(
                    model = orphan.key,
                    used_by,
                    "a model is gone from its provider's list"
                );
            }
            let failed = refreshed.report.providers.into_iter();
            failed
                .filter(|provider| provider.error.is_some())
                .map(|provider| provider.name)
                .collect()
        }
        Err(error) => {
            tracing::warn!(why, "models not refreshed: {}", callsheet_types::with_causes(&error));
            names
        }
    }
}

/// Syncs what is configured and was never synced, once, where the configuration wants that.
async fn sync_new_files(app: Arc<App>) {
    if app.http.is_offline() || !app.with_config(|config| config.files.auto_sync) {
        return;
    }
    let opened = Arc::clone(&app);
    let Ok(library) = tokio::task::spawn_blocking(move || opened.library()).await else { return };
    let asked = SyncAsked { only_missing: true, ..SyncAsked::default() };
    let synced = match library {
        Ok(library) => library.sync(&asked, "daemon", &|_| {}).await,
        Err(error) => Err(error),
    };
    match synced {
        Ok(report) => {
            for failed in &report.failed {
                tracing::warn!(address = failed.address, "files not synced: {}", failed.error);
            }
            for synced in &report.synced {
                tracing::info!(address = synced.address, "files synced");
            }
        }
        Err(error) => tracing::warn!("files not synced: {}", callsheet_types::with_causes(&error)),
    }
}

async fn purge(app: Arc<App>) {
    loop {
        sleep(PURGE_EVERY).await;
        let keep = app.with_config(|config| config.store.keep);
        let Ok(before) = Timestamp::now().checked_sub(keep.0) else { continue };
        let store = app.catalog.store().clone();
        let purged = tokio::task::spawn_blocking(move || store.purge(before, false)).await;
        match purged {
            Ok(Ok(purged)) => tracing::info!(
                changes = purged.changes,
                revisions = purged.revisions,
                "old changes purged"
            ),
            Ok(Err(error)) => {
                tracing::warn!("old changes not purged: {}", callsheet_types::with_causes(&error));
            }
            Err(_) => {}
        }
    }
}
