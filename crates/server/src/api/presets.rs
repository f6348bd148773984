//! `/api/v1/presets`: a model with parameters for each tier and slot.

use super::{
    ApiError,
    actor::Actor,
    blocking,
    models::{Change, cursor_of, intent},
};
use crate::{
    App,
    models::{PresetChange, PresetPage},
};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
};
use callsheet_types::Preset;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

type Placed = Result<Path<(String, String)>, PathRejection>;
type Asked = Result<Query<Change>, QueryRejection>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListAsked {
    #[serde(default = "page")]
    limit: usize,
    cursor: Option<String>,
    /// A cursor of the feed, or a moment.
    updated_since: Option<String>,
}

fn page() -> usize {
    100
}

/// More than anybody pages through.
const MOST: usize = 10_000;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Result<Query<ListAsked>, QueryRejection>,
) -> Result<Json<PresetPage>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    blocking(&app, move |app| {
        let since = asked.updated_since.map(|since| cursor_of(app, &since)).transpose()?;
        let limit = asked.limit.clamp(1, MOST);
        app.list_presets(asked.cursor.as_deref(), since, limit).map_err(ApiError::Model)
    })
    .await
    .map(Json)
}

/// A preset as it is sent: what it has beside these is a mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    model: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    actor: Actor,
    place: Placed,
    asked: Asked,
    preset: Result<Json<Sent>, JsonRejection>,
) -> Result<Json<PresetChange>, ApiError> {
    let Path((tier, slot)) =
        place.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let intent = intent(asked, &actor)?;
    let Json(Sent { model, parameters }) =
        preset.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let preset = Preset { model, parameters };
    let set =
        move |app: &App| app.set_preset(&tier, &slot, &preset, &intent).map_err(ApiError::Model);
    blocking(&app, set).await.map(Json)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    actor: Actor,
    place: Placed,
    asked: Asked,
) -> Result<Json<PresetChange>, ApiError> {
    let Path((tier, slot)) =
        place.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let intent = intent(asked, &actor)?;
    let remove = move |app: &App| app.remove_preset(&tier, &slot, &intent).map_err(ApiError::Model);
    blocking(&app, remove).await.map(Json)
}
