//! `/api/v1/backends`: what there is, and changing it.

use super::{ApiError, actor::Actor};
use crate::{App, ChangeError};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use callsheet_fleet::registry::BackendView;
use callsheet_types::BackendSpec;
use serde::Deserialize;
use std::sync::Arc;

/// The query of every change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    /// Says what would happen and does nothing.
    #[serde(default)]
    dry_run: bool,
}

pub(super) type Asked = Result<Query<Change>, QueryRejection>;
type Named = Result<Path<String>, PathRejection>;

pub(super) async fn list(State(app): State<Arc<App>>) -> Json<Vec<BackendView>> {
    Json(app.fleet.get_all_backends().iter().map(|backend| BackendView::from(&**backend)).collect())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    name: Named,
) -> Result<Json<BackendView>, ApiError> {
    let name = named(name)?;
    let backend = app.fleet.get_backend(&name).ok_or(ChangeError::NotFound(name))?;
    Ok(Json(BackendView::from(&*backend)))
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    asked: Asked,
    spec: Result<Json<BackendSpec>, JsonRejection>,
) -> Result<(StatusCode, Json<BackendView>), ApiError> {
    let dry_run = dry_run(asked)?;
    let Json(spec) = spec.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let name = spec.name.clone();
    let view = change(&app, move |app| app.add_backend(&spec, dry_run, &actor)).await?;
    if dry_run {
        return Ok((StatusCode::OK, Json(view)));
    }
    let seen = app.first_look(name.as_str()).await;
    Ok((StatusCode::CREATED, Json(seen.unwrap_or(view))))
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    name: Named,
    asked: Asked,
) -> Result<Json<BackendView>, ApiError> {
    let (name, dry_run) = (named(name)?, dry_run(asked)?);
    change(&app, move |app| app.remove_backend(&name, dry_run, &actor)).await.map(Json)
}

pub(super) async fn drain(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    name: Named,
    asked: Asked,
) -> Result<Json<BackendView>, ApiError> {
    let (name, dry_run) = (named(name)?, dry_run(asked)?);
    change(&app, move |app| app.drain_backend(&name, dry_run, &actor)).await.map(Json)
}

pub(super) async fn resume(
    State(app): State<Arc<App>>,
    Actor(actor): Actor,
    name: Named,
    asked: Asked,
) -> Result<Json<BackendView>, ApiError> {
    let (name, dry_run) = (named(name)?, dry_run(asked)?);
    let key = name.clone();
    let view = change(&app, move |app| app.resume_backend(&key, dry_run, &actor)).await?;
    if dry_run {
        return Ok(Json(view));
    }
    let seen = app.first_look(&name).await;
    Ok(Json(seen.unwrap_or(view)))
}

fn named(name: Named) -> Result<String, ApiError> {
    match name {
        Ok(Path(name)) => Ok(name),
        Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
    }
}

pub(super) fn dry_run(asked: Asked) -> Result<bool, ApiError> {
    match asked {
        Ok(Query(change)) => Ok(change.dry_run),
        Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
    }
}

/// Changes write to disk, which would block the requests that share this thread.
async fn change(
    app: &Arc<App>,
    change: impl FnOnce(&App) -> Result<BackendView, ChangeError> + Send + 'static,
) -> Result<BackendView, ApiError> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || change(&app)).await;
    done.map_err(|_| ApiError::Internal)?.map_err(ApiError::Change)
}
