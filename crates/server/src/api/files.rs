//! `/api/v1/files` and `/api/v1/sources`: file sets, their sources, and the bytes themselves.

use super::{ApiError, actor::Actor, backends::dry_run, blocking, bytes, stream};
use crate::{App, library::SourceAsked};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode},
    response::Response,
};
use callsheet_files::{
    Cleared, FileSet, FilesError, FilesInfo, Library, Listed, Publishes, Removed, ResolveAsked,
    SourceView, SyncAsked, UsageAsked, Used, registry::Addresses, source::Origin,
};
use callsheet_store::Intent;
use callsheet_types::{Digest, GitRef};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    publishes: Option<Publishes>,
    source: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<GitRef>,
    #[serde(default)]
    names: bool,
    #[serde(default)]
    dry_run: bool,
}

/// Everything that `callsheet files list` shows.
#[derive(Serialize, Deserialize)]
pub struct FilesPage {
    /// What is synced.
    pub registries: Vec<Listed>,
}

/// The sources.
#[derive(Serialize, Deserialize)]
pub struct SourcesPage {
    /// One for each, those that are no longer configured at the end.
    pub sources: Vec<SourceView>,
}

/// The sets that addresses mean.
#[derive(Serialize, Deserialize)]
pub struct Resolved {
    /// One for each model.
    pub sets: Vec<FileSet>,
}

/// How often what was copied.
#[derive(Serialize, Deserialize)]
pub struct UsagePage {
    /// The most copied first.
    pub used: Vec<Used>,
}

/// What was counted.
#[derive(Serialize, Deserialize)]
pub struct Counted {
    /// How many models; none where the configuration says that nothing is counted.
    pub counted: usize,
}

fn asked<T>(asked: Result<Query<T>, QueryRejection>) -> Result<T, ApiError> {
    match asked {
        Ok(Query(asked)) => Ok(asked),
        Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
    }
}

fn sent<T>(sent: Result<Json<T>, JsonRejection>) -> Result<T, ApiError> {
    match sent {
        Ok(Json(sent)) => Ok(sent),
        Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
    }
}

async fn with_library<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&Library) -> Result<T, FilesError> + Send + 'static,
) -> Result<T, ApiError> {
    blocking(app, move |app| Ok(work(&app.library()?)?)).await
}

async fn library(app: &Arc<App>) -> Result<Library, ApiError> {
    blocking(app, |app| Ok(app.library()?)).await
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<FilesPage>, ApiError> {
    let which = asked(which)?;
    let registries = with_library(&app, move |library| {
        let (source, reference) = (which.source.as_deref(), which.reference.as_ref());
        library.list(which.publishes, source, reference, which.names)
    });
    Ok(Json(FilesPage { registries: registries.await? }))
}

pub(super) async fn info(
    State(app): State<Arc<App>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<FilesInfo>, ApiError> {
    let which = asked(which)?;
    Ok(Json(with_library(&app, move |library| library.info(which.publishes)).await?))
}

pub(super) async fn usage(State(app): State<Arc<App>>) -> Result<Json<UsagePage>, ApiError> {
    let used = with_library(&app, |library| {
        library
            .used()
            .map_err(|error| FilesError::Question(format!("usage cannot be read: {error}")))
    });
    Ok(Json(UsagePage { used: used.await? }))
}

/// Counts models as copied, which whoever copied them says.
pub(super) async fn count(
    State(app): State<Arc<App>>,
    change: Result<Query<super::backends::Change>, QueryRejection>,
    body: Result<Json<UsageAsked>, JsonRejection>,
) -> Result<Json<Counted>, ApiError> {
    let (dry_run, copied) = (dry_run(change)?, sent(body)?);
    let counted = with_library(&app, move |library| library.count(&copied, dry_run));
    Ok(Json(Counted { counted: counted.await? }))
}

pub(super) async fn sync(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Actor(actor): Actor,
    body: Result<Json<SyncAsked>, JsonRejection>,
) -> Result<Response, ApiError> {
    let wanted = sent(body)?;
    let library = library(&app).await?;
    Ok(stream::answer(&headers, |tell| async move {
        library.sync(&wanted, &actor, &*tell).await.map_err(ApiError::from)
    })
    .await)
}

pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Actor(actor): Actor,
    body: Result<Json<ResolveAsked>, JsonRejection>,
) -> Result<Response, ApiError> {
    let wanted = sent(body)?;
    let library = library(&app).await?;
    Ok(stream::answer(&headers, |tell| async move {
        let sets = library.resolve(&wanted, &actor, &*tell).await?;
        Ok(Resolved { sets })
    })
    .await)
}

pub(super) async fn clear(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Cleared>, ApiError> {
    let which = asked(which)?;
    let cleared = with_library(&app, move |library| {
        let intent = Intent { dry_run: which.dry_run, ..Intent::now(&actor) };
        let (source, reference) = (which.source.as_deref(), which.reference.as_ref());
        // As with syncing: one source is one of models, unless something else is said.
        let publishes = which.publishes.or_else(|| source.map(|_| Publishes::Models));
        library.clear(publishes, source, reference, &intent)
    });
    Ok(Json(cleared.await?))
}

pub(super) async fn gc(
    State(app): State<Arc<App>>,
    change: Result<Query<super::backends::Change>, QueryRejection>,
) -> Result<Json<Removed>, ApiError> {
    let dry_run = dry_run(change)?;
    Ok(Json(with_library(&app, move |library| library.gc(dry_run)).await?))
}

pub(super) async fn verify(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    change: Result<Query<super::backends::Change>, QueryRejection>,
) -> Result<Response, ApiError> {
    let dry_run = dry_run(change)?;
    let library = library(&app).await?;
    Ok(stream::answer(&headers, |tell| async move {
        let verified = tokio::task::spawn_blocking(move || library.verify(dry_run, &*tell));
        verified.await.map_err(|_| ApiError::Internal)?.map_err(ApiError::from)
    })
    .await)
}

/// A file by its digest; one that a synced registry names is fetched if need be.
pub(super) async fn blob(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    path: Result<Path<Digest>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(digest) = path.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let library = library(&app).await?;
    let (file, length) = library.content(&digest).await?.ok_or(ApiError::NoBlob(digest))?;
    Ok(bytes::of_file(&headers, &digest, file, length))
}

/// What a ref publishes, as the address of a source of type `http`: its registry file, and files.
pub(super) async fn published(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    path: Result<Path<(String, String, String)>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path((source, reference, path)) =
        path.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let library = library(&app).await?;
    let reference = GitRef::new(&reference.replace("%2F", "/"))
        .map_err(|error| ApiError::BadRequest(error.to_string()))?;
    let found = library.published(&source, &reference).await?;
    let registry = library.registry_of(&found).await?;
    if path == found.publishes().file_name() {
        let text = registry.write(&Addresses::None);
        return Ok(bytes::of_text(&headers, text));
    }
    let kept = library.file(&found, &path).await?;
    let no_file = || FilesError::NoModel { path, address: Some(found.address()), near: Vec::new() };
    let (digest, file, length) = kept.ok_or_else(no_file)?;
    Ok(bytes::of_file(&headers, &digest, file, length))
}

pub(super) async fn sources(
    State(app): State<Arc<App>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<SourcesPage>, ApiError> {
    let which = asked(which)?;
    let sources = with_library(&app, move |library| library.source_views(which.publishes));
    Ok(Json(SourcesPage { sources: sources.await? }))
}

pub(super) async fn source(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<SourceView>, ApiError> {
    let Path(name) = path.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let publishes = asked(which)?.publishes.unwrap_or_default();
    let view = with_library(&app, move |library| {
        let mut views = library.source_views(Some(publishes))?.into_iter();
        match library.source(publishes, &name) {
            Ok(source) => views.find(|view| view.key == source.key).ok_or(FilesError::CutOff),
            // One that is no longer configured may still be synced.
            Err(error @ FilesError::NoSource { .. }) => {
                views.find(|view| view.key == name || view.name == name).ok_or(error)
            }
            Err(error) => Err(error),
        }
    });
    Ok(Json(view.await?))
}

pub(super) async fn add_source(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    change: Result<Query<super::backends::Change>, QueryRejection>,
    body: Result<Json<SourceAsked>, JsonRejection>,
) -> Result<(StatusCode, Json<SourceView>), ApiError> {
    let (dry_run, wanted) = (dry_run(change)?, sent(body)?);
    let view = blocking(&app, move |app| {
        let intent = Intent { dry_run, ..Intent::now(&actor) };
        app.add_source(&wanted, &intent)?;
        let publishes = wanted.spec.publishes;
        let views = app.library()?.source_views(Some(publishes))?;
        let found = views.into_iter().find(|view| view.key == wanted.key && !dry_run);
        Ok(found.unwrap_or_else(|| SourceView {
            key: wanted.key.clone(),
            name: wanted.spec.name.clone().unwrap_or_else(|| wanted.key.clone()),
            publishes,
            origin: Some(Origin::Added),
            place: wanted
                .spec
                .repo
                .as_ref()
                .map(ToString::to_string)
                .or(wanted.spec.url.clone())
                .unwrap_or_default(),
            configured_refs: wanted.spec.refs.clone(),
            cached_refs: Vec::new(),
            missing_refs: wanted.spec.refs.clone(),
        }))
    });
    Ok((StatusCode::CREATED, Json(view.await?)))
}

/// What became of a source that was removed.
#[derive(Serialize, Deserialize)]
pub struct SourceRemoved {
    /// Its key or name, as it was asked for.
    pub source: String,
    /// Whether it is switched off, since it is shipped; one that was added is gone.
    pub is_switched_off: bool,
    /// Who says the source of this key that is in force again, now that the one that replaced it is
    /// gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<Origin>,
}

pub(super) async fn remove_source(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    path: Result<Path<String>, PathRejection>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<SourceRemoved>, ApiError> {
    let Path(name) = path.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let which = asked(which)?;
    let removed = blocking(&app, move |app| {
        let intent = Intent { dry_run: which.dry_run, ..Intent::now(&actor) };
        let (origin, restored) =
            app.remove_source(which.publishes.unwrap_or_default(), &name, &intent)?;
        let is_switched_off = origin != Origin::Added;
        Ok(SourceRemoved { source: name, is_switched_off, restored })
    });
    Ok(Json(removed.await?))
}
