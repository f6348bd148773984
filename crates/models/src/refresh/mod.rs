//! Asking providers for their lists, and bringing the store to what they say.
//!
//! Each provider is asked once, whatever the number of its models, and all of them side by side.
//! What a list says is a snapshot of the source `provider/NAME`, so that everything that guards
//! snapshots guards it too. A provider that fails leaves its catalog as it was.

mod report;

pub use report::{ModelReport, Outcome, ProviderReport, Report};

use crate::providers::{self, Listed, Listing, Provider, ProviderError};
use callsheet_sources::Http;
use callsheet_store::{Intent, Project, PublishError, Source, Store, StoreError, Stored};
use callsheet_types::{
    Body, Entry, EntryId, Kind, Layer, ModelKey, Snapshot, SourceName,
    plan::{Action, Extent, PlanPolicy, Status},
};
use futures_util::future;
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

/// Changes when the same list is read otherwise, so that no list counts as known that was read as
/// it is no longer.
const READING: u32 = 1;

/// Returns what goes before an entity tag where it is stored: how the list was read.
fn reading(provider: &Provider) -> String {
    format!("{}.{READING} ", provider.kind)
}

/// What is to be refreshed.
#[derive(Clone, Debug)]
pub struct Request {
    /// Only these; all models of all providers where there is none.
    pub ids: Vec<ModelKey>,
    /// Takes a list that is empty or has lost most of its models.
    pub allow_shrink: bool,
    /// Finds out what would happen and does nothing.
    pub dry_run: bool,
    /// Who wants it.
    pub actor: String,
    /// The moment.
    pub at: Timestamp,
}

/// What is happening.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Progress {
    /// A provider is asked.
    Asking {
        /// Its name.
        provider: String,
    },
    /// It answered.
    Listed {
        /// Its name.
        provider: String,
        /// How many models it has; `None` where nothing changed.
        models: Option<usize>,
    },
    /// It failed.
    Failed {
        /// Its name.
        provider: String,
    },
    /// What it said is stored.
    Stored {
        /// Its name.
        provider: String,
    },
}

/// Asks several providers for their whole lists, side by side and without a store.
pub async fn fetch(
    http: &Http,
    providers: &[Provider],
) -> BTreeMap<String, Result<Listing, ProviderError>> {
    let asked = providers.iter().map(|provider| async {
        let deadline = Instant::now() + provider.timeout;
        let listing = match providers::list(http, provider, None, None, deadline).await {
            Ok(Listed::New(listing)) => Ok(listing),
            // Cannot be: nothing was said that it could be unmodified since.
            Ok(Listed::NotModified) => {
                Err(ProviderError::Empty { provider: provider.name.clone() })
            }
            Err(error) => Err(error),
        };
        (provider.name.clone(), listing)
    });
    future::join_all(asked).await.into_iter().collect()
}

/// Brings the store to what providers say of their models.
///
/// Never fails as a whole: what went wrong is in the report, with each model that it concerns.
/// Dropping it stops the asking; what is being written is written whole.
pub async fn refresh(
    store: &Store,
    http: &Http,
    providers: &[Provider],
    request: &Request,
    project: Arc<dyn Project + Send + Sync>,
    on_progress: &(dyn Fn(Progress) + Sync),
) -> Report {
    let mut asked: BTreeMap<&str, Vec<ModelKey>> = BTreeMap::new();
    for key in &request.ids {
        asked.entry(key.provider()).or_default().push(key.clone());
    }
    let mut report = Report::default();
    let mut wanted = Vec::new();
    for provider in providers {
        let ids = asked.remove(provider.name.as_str());
        // Whoever has none of the models that are asked for is not asked.
        if request.ids.is_empty() || ids.is_some() {
            wanted.push((provider, ids));
        }
    }
    for key in asked.into_values().flatten() {
        let reason = format!("no provider {:?} is configured", key.provider());
        report.add(key, Outcome::Failed, Some(reason));
    }
    let known = known(store, wanted.iter().map(|(provider, _)| provider.name.clone())).await;
    let mut known = match known {
        Ok(known) => known,
        Err(reason) => {
            for (provider, ids) in wanted {
                report.fail(provider, &Known::default(), ids.as_deref(), &reason);
            }
            return report.settled();
        }
    };
    let mut open = Vec::new();
    for (provider, ids) in wanted {
        let known = known.remove(provider.name.as_str()).unwrap_or_default();
        let project = Arc::clone(&project);
        open.push(async move {
            let mut part = Report::default();
            one(store, http, provider, ids, known, request, project, on_progress, &mut part).await;
            part
        });
    }
    for part in future::join_all(open).await {
        report.join(part);
    }
    report.settled()
}

/// What the store has of a provider.
#[derive(Debug, Default)]
struct Known {
    source: Option<Source>,
    /// By the model's key.
    heads: BTreeMap<String, Stored>,
}

impl Known {
    fn active(&self) -> impl Iterator<Item = (&String, &Stored)> {
        self.heads.iter().filter(|(_, head)| head.status == Status::Active)
    }

    fn is_active(&self, key: &str) -> bool {
        self.heads.get(key).is_some_and(|head| head.status == Status::Active)
    }

    /// Returns the tag of the list that the store holds, if it still holds just that: whoever
    /// removed a model since wants it back from a refresh, or gone, but not "as it was".
    fn tag(&self, provider: &Provider) -> Option<String> {
        let source = self.source.as_ref()?;
        let synced_at = source.synced_at?;
        let tag = source.revision.as_deref()?.strip_prefix(&reading(provider))?;
        let was_touched =
            |head: &Stored| head.status != Status::Active && head.changed_at > synced_at;
        (!self.heads.values().any(was_touched)).then(|| tag.to_owned())
    }
}

/// Reads what the store has of these providers.
async fn known(
    store: &Store,
    names: impl Iterator<Item = String>,
) -> Result<HashMap<String, Known>, String> {
    let store = store.clone();
    let names: BTreeSet<String> = names.collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let read = tokio::task::spawn_blocking(move || {
        let mut known: HashMap<String, Known> = HashMap::new();
        let is_asked = |source: &SourceName| {
            source.layer() == Layer::Provider && names.contains(source.name())
        };
        for source in store.sources()? {
            if is_asked(&source.name) {
                let place = known.entry(source.name.name().to_owned()).or_default();
                place.source = Some(source);
            }
        }
        for head in store.entries(&Kind::model())? {
            if is_asked(&head.source) {
                let place = known.entry(head.source.name().to_owned()).or_default();
                place.heads.insert(head.id.key.as_ref().to_owned(), head);
            }
        }
        Ok::<_, StoreError>(known)
    });
    match read.await {
        Ok(Ok(known)) => Ok(known),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the store broke off".to_owned()),
    }
}

#[allow(clippy::too_many_arguments, reason = "it is one step of `refresh`, cut out to be read")]
async fn one(
    store: &Store,
    http: &Http,
    provider: &Provider,
    ids: Option<Vec<ModelKey>>,
    known: Known,
    request: &Request,
    project: Arc<dyn Project + Send + Sync>,
    on_progress: &(dyn Fn(Progress) + Sync),
    report: &mut Report,
) {
    let name = || provider.name.clone();
    on_progress(Progress::Asking { provider: name() });
    let tag = if ids.is_none() { known.tag(provider) } else { None };
    let texts: Option<Vec<String>> =
        ids.as_ref().map(|ids| ids.iter().map(|key| key.id().to_owned()).collect());
    let deadline = Instant::now() + provider.timeout;
    let listed = providers::list(http, provider, tag.as_deref(), texts.as_deref(), deadline).await;
    let listed = match listed {
        Err(ProviderError::Empty { .. }) if request.allow_shrink => {
            Ok(Listed::New(Listing::default()))
        }
        other => other,
    };
    let listed = match listed {
        Ok(listed) => listed,
        Err(error) => {
            on_progress(Progress::Failed { provider: name() });
            report.fail(provider, &known, ids.as_deref(), &error.explain());
            return;
        }
    };
    let models = match &listed {
        Listed::New(listing) => Some(listing.models.len()),
        Listed::NotModified => None,
    };
    on_progress(Progress::Listed { provider: name(), models });
    let snapshot = match snapshot(provider, &listed, &known, ids.as_deref(), request.at) {
        Ok(snapshot) => snapshot,
        Err(reason) => return report.fail(provider, &known, ids.as_deref(), &reason),
    };
    let problems = match &listed {
        Listed::New(listing) => listing.problems.clone(),
        Listed::NotModified => snapshot.problems.clone(),
    };
    let published = publish(store, snapshot, request, project).await;
    let actions = match published {
        Ok(actions) => actions,
        Err(reason) => {
            on_progress(Progress::Failed { provider: name() });
            report.fail(provider, &known, ids.as_deref(), &reason);
            return;
        }
    };
    on_progress(Progress::Stored { provider: name() });
    report.changed += actions.len();
    report.withdrawn.extend(
        actions
            .iter()
            .filter(|(_, action)| **action == Action::Withdrawn)
            .filter_map(|(key, _)| ModelKey::parse(key).ok()),
    );
    let empty = Listing::default();
    let listing = match &listed {
        Listed::New(listing) => Some(listing),
        Listed::NotModified => None,
    };
    report.providers.push(ProviderReport {
        name: name(),
        listed: listing.map_or(known.active().count(), |l| l.models.len() + l.unread.len()),
        error: None,
        not_modified: listing.is_none(),
        problems,
    });
    judge(provider, listing.unwrap_or(&empty), listing.is_none(), &known, ids, &actions, report);
}

/// Says what became of each model.
fn judge(
    provider: &Provider,
    listing: &Listing,
    is_as_it_was: bool,
    known: &Known,
    ids: Option<Vec<ModelKey>>,
    actions: &HashMap<String, Action>,
    report: &mut Report,
) {
    let keys: BTreeSet<ModelKey> = if let Some(ids) = ids {
        ids.into_iter().collect()
    } else {
        let listed = listing.models.keys().chain(&listing.unread);
        let listed = listed.filter_map(|id| ModelKey::new(&provider.name, id).ok());
        listed.chain(known.active().filter_map(|(key, _)| ModelKey::parse(key).ok())).collect()
    };
    for key in keys {
        let action = actions.get(key.as_str());
        if listing.unread.contains(key.id()) {
            let problem = listing.problems.iter().find(|problem| problem.place == key.id());
            let reason = problem.map_or("it could not be read", |p| p.message.as_str()).to_owned();
            report.add(key, Outcome::Failed, Some(reason));
        } else if is_as_it_was || listing.models.contains_key(key.id()) {
            let outcome = match action {
                Some(_) if !known.is_active(key.as_str()) => Outcome::Added,
                Some(_) => Outcome::Changed,
                None => Outcome::Ok,
            };
            report.add(key, outcome, None);
        } else {
            let name = &provider.name;
            let reason = if known.is_active(key.as_str()) {
                format!("{name} no longer lists it")
            } else {
                format!("{name} does not list it")
            };
            report.add(key, Outcome::Missing, Some(reason));
        }
    }
}

/// Makes the snapshot of a list.
fn snapshot(
    provider: &Provider,
    listed: &Listed,
    known: &Known,
    ids: Option<&[ModelKey]>,
    at: Timestamp,
) -> Result<Snapshot, String> {
    let source = SourceName::new(Layer::Provider, &provider.name).map_err(|e| e.to_string())?;
    let kept = |key: &str| {
        let head = known.heads.get(key).filter(|head| head.status == Status::Active)?;
        Some(Entry::tracking(Kind::model(), key, head.body.clone()))
    };
    let mut snapshot = Snapshot {
        source,
        revision: None,
        observed_at: Some(at),
        extent: match ids {
            Some(ids) => {
                Extent::Part { removed: Vec::new(), withdrawn: gone(provider, listed, ids) }
            }
            None => Extent::Whole(vec![Kind::model()]),
        },
        entries: Vec::new(),
        problems: Vec::new(),
    };
    let listing = match listed {
        // What it was is published again: nothing is written but that it was looked at.
        Listed::NotModified => {
            let source = known.source.as_ref();
            snapshot.revision = source.and_then(|source| source.revision.clone());
            snapshot.problems = source.map(|source| source.problems.clone()).unwrap_or_default();
            snapshot.entries = known.active().filter_map(|(key, _)| kept(key)).collect();
            return Ok(snapshot);
        }
        Listed::New(listing) => listing,
    };
    snapshot.revision = listing.revision.as_ref().map(|tag| reading(provider) + tag);
    snapshot.problems.clone_from(&listing.problems);
    for (id, facts) in &listing.models {
        let key = ModelKey::new(&provider.name, id).map_err(|error| error.to_string())?;
        let body = Body::of(facts).map_err(|error| error.to_string())?;
        snapshot.entries.push(Entry::tracking(Kind::model(), key.as_str(), body));
    }
    // A model that is there and could not be read keeps what was known of it.
    for id in &listing.unread {
        snapshot.entries.extend(kept(&format!("{}:{id}", provider.name)));
    }
    // A list with such a gap is not known by its tag: the next one is to be read again.
    if !listing.unread.is_empty() {
        snapshot.revision = None;
    }
    // A part says nothing of what the whole was like.
    if ids.is_some() {
        let source = known.source.as_ref();
        snapshot.revision = source.and_then(|source| source.revision.clone());
        snapshot.problems = source.map(|source| source.problems.clone()).unwrap_or_default();
    }
    Ok(snapshot)
}

/// Returns which of the models that were asked for are gone. Who is asked about models one by one
/// may keep one to itself; only a whole list that has not got it says so.
fn gone(provider: &Provider, listed: &Listed, ids: &[ModelKey]) -> Vec<EntryId> {
    let Listed::New(listing) = listed else { return Vec::new() };
    if !provider.kind.has_whole_list() {
        return Vec::new();
    }
    let is_there = |id: &str| listing.models.contains_key(id) || listing.unread.contains(id);
    let gone = ids.iter().filter(|key| !is_there(key.id()));
    gone.map(|key| EntryId::new(Kind::model(), key.as_str())).collect()
}

/// Publishes a snapshot, and returns what was done (or would be) to which model.
async fn publish(
    store: &Store,
    snapshot: Snapshot,
    request: &Request,
    project: Arc<dyn Project + Send + Sync>,
) -> Result<HashMap<String, Action>, String> {
    let store = store.clone();
    let policy = PlanPolicy { allow_shrink: request.allow_shrink, ..PlanPolicy::default() };
    let intent = Intent { actor: request.actor.clone(), at: request.at, dry_run: request.dry_run };
    let published = tokio::task::spawn_blocking(move || {
        store.publish(&snapshot, policy, &intent, project.as_ref())
    });
    let applied = match published.await {
        Ok(Ok(applied)) => applied,
        Ok(Err(PublishError::Refused(refused))) => {
            return Err(format!("{refused}, which is refused (--allow-shrink takes it)"));
        }
        Ok(Err(error)) => return Err(chain(&error)),
        Err(_) => return Err("the store broke off".to_owned()),
    };
    let changes = applied.plan.changes.into_iter();
    Ok(changes.map(|change| (change.id.key.as_ref().to_owned(), change.action)).collect())
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    text
}
