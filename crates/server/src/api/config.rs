//! `/api/v1/config`: taking the configuration anew.

use super::{
    ApiError,
    backends::{Asked, dry_run},
};
use crate::{App, Reloaded};
use axum::{Json, extract::State};
use std::sync::Arc;

pub(super) async fn reload(
    State(app): State<Arc<App>>,
    asked: Asked,
) -> Result<Json<Reloaded>, ApiError> {
    let dry_run = dry_run(asked)?;
    // It reads files, which would block the requests that share this thread.
    let reload = tokio::task::spawn_blocking(move || app.reload_from_source(dry_run)).await;
    reload.map_err(|_| ApiError::Internal)?.map(Json).map_err(ApiError::Reload)
}
