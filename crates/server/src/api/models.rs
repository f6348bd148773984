//! `/api/v1/models`: cards, corrections, refresh, import and export.

use super::{ApiError, actor::Actor, blocking};
use crate::{
    App,
    models::{
        Corrected, Correction, Exported, ImportAsked, Imported, ModelChoice, ModelError,
        ModelHistory, ModelRow, ModelView, ModelWhy, RefreshAsked, Refreshed,
    },
};
use axum::{
    Json,
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
};
use bytes::Bytes;
use callsheet_models::conflicts::Disagreement;
use callsheet_store::{CardQuery, CardSort, Cursor, Intent};
use callsheet_types::Kind;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

type Named = Result<Path<String>, PathRejection>;
type Asked<T> = Result<Query<T>, QueryRejection>;
type Sent<T> = Result<Json<T>, JsonRejection>;

/// Which models are listed. Lists are separated by commas.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListAsked {
    provider: String,
    capability: String,
    /// `image` for either side, `in:image` or `out:image` for one.
    modality: String,
    min_context: Option<u64>,
    /// Dollars for a million prompt tokens.
    max_price: Option<Decimal>,
    status: String,
    search: String,
    /// `key`, `name`, `context`, `output`, `price`, `completion_price`, `released`, `updated`; with
    /// `-` in front the other way round.
    sort: String,
    limit: usize,
    cursor: Option<String>,
    /// A cursor of the feed, or a moment.
    updated_since: Option<String>,
    view: View,
}

impl Default for ListAsked {
    fn default() -> Self {
        Self {
            provider: String::new(),
            capability: String::new(),
            modality: String::new(),
            min_context: None,
            max_price: None,
            status: String::new(),
            search: String::new(),
            sort: String::new(),
            limit: 100,
            cursor: None,
            updated_since: None,
            view: View::Card,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum View {
    /// Whole cards.
    Card,
    /// What a table shows.
    Row,
}

/// A page of models.
#[derive(Debug, Serialize)]
pub(super) struct Listed {
    models: Models,
    next: Option<String>,
    total: usize,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Models {
    Cards(Vec<Box<RawValue>>),
    Rows(Vec<ModelRow>),
}

/// More than anybody pages through.
const MOST_ROWS: usize = 100_000;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    asked: Asked<ListAsked>,
) -> Result<Json<Listed>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    blocking(&app, move |app| {
        let updated_since = match &asked.updated_since {
            None => None,
            Some(text) => Some(cursor_of(app, text)?),
        };
        let view = asked.view;
        let query = query(asked, updated_since)?;
        let page = app.list_models(&query).map_err(ApiError::Model)?;
        let models = match view {
            View::Row => Models::Rows(page.rows.into_iter().map(ModelRow::from).collect()),
            View::Card => {
                let cards = page.rows.into_iter().map(|row| RawValue::from_string(row.body));
                Models::Cards(cards.collect::<Result<_, _>>().map_err(|_| ApiError::Internal)?)
            }
        };
        Ok(Listed { models, next: page.next, total: page.total })
    })
    .await
    .map(Json)
}

fn query(asked: ListAsked, updated_since: Option<Cursor>) -> Result<CardQuery, ApiError> {
    let list = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let (descending, sort) = match asked.sort.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, asked.sort.as_str()),
    };
    let sort = match sort {
        "" | "key" => CardSort::Key,
        "name" => CardSort::Name,
        "context" => CardSort::Context,
        "output" => CardSort::Output,
        "price" => CardSort::PromptPrice,
        "completion_price" => CardSort::CompletionPrice,
        "released" => CardSort::Released,
        "updated" => CardSort::Updated,
        other => {
            return Err(ApiError::BadRequest(format!(
                "{other:?} is no order; expected key, name, context, output, price, completion_price, released or updated, perhaps with - in front"
            )));
        }
    };
    let nano = |usd: Decimal| {
        let nano = usd.checked_mul(Decimal::from(1_000_000_000));
        let nano = nano.and_then(|nano| nano.floor().to_i64()).filter(|nano| *nano >= 0);
        nano.ok_or_else(|| {
            ApiError::BadRequest(format!(
                "{usd} is no price; expected dollars for a million tokens, from 0 up"
            ))
        })
    };
    if asked.limit == 0 {
        return Err(ApiError::BadRequest("`limit` is 0; expected a number from 1 up".to_owned()));
    }
    let limit = asked.limit.min(MOST_ROWS);
    Ok(CardQuery {
        kind: Kind::model().as_str().to_owned(),
        providers: list(&asked.provider),
        capabilities: list(&asked.capability),
        modalities: list(&asked.modality),
        min_context: asked.min_context,
        max_prompt_nano_usd: asked.max_price.map(nano).transpose()?,
        statuses: list(&asked.status),
        search: callsheet_models::search_words(&asked.search).collect(),
        updated_since,
        sort,
        descending,
        limit: Some(limit),
        after: asked.cursor,
        without_bodies: asked.view == View::Row,
    })
}

/// Reads a place in the feed: a cursor, or a moment.
pub(super) fn cursor_of(app: &App, text: &str) -> Result<Cursor, ApiError> {
    if let Ok(cursor) = text.parse() {
        return Ok(cursor);
    }
    let moment = moment(text).ok_or_else(|| {
        ApiError::BadRequest(format!(
            "{text:?} is no place in the feed; expected a cursor, a day such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z"
        ))
    })?;
    app.catalog.store().cursor_at(moment).map_err(ApiError::Store)
}

/// Reads a moment, or a day in UTC.
pub fn moment(text: &str) -> Option<jiff::Timestamp> {
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    name: Named,
) -> Result<Json<ModelView>, ApiError> {
    let name = named(name)?;
    blocking(&app, move |app| app.show_model(&name).map_err(ApiError::Model)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhyAsked {
    field: Option<String>,
}

pub(super) async fn why(
    State(app): State<Arc<App>>,
    name: Named,
    asked: Asked<WhyAsked>,
) -> Result<Json<Vec<ModelWhy>>, ApiError> {
    let name = named(name)?;
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let why =
        move |app: &App| app.why_model(&name, asked.field.as_deref()).map_err(ApiError::Model);
    blocking(&app, why).await.map(Json)
}

pub(super) async fn history(
    State(app): State<Arc<App>>,
    name: Named,
) -> Result<Json<Vec<ModelHistory>>, ApiError> {
    let name = named(name)?;
    blocking(&app, move |app| app.history_of_model(&name).map_err(ApiError::Model)).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffAsked {
    a: String,
    b: String,
}

pub(super) async fn diff(
    State(app): State<Arc<App>>,
    asked: Asked<DiffAsked>,
) -> Result<Json<ModelChoice>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let diff = move |app: &App| app.diff_models(&asked.a, &asked.b).map_err(ApiError::Model);
    blocking(&app, diff).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConflictsAsked {
    provider: Option<String>,
    field: Option<String>,
}

pub(super) async fn conflicts(
    State(app): State<Arc<App>>,
    asked: Asked<ConflictsAsked>,
) -> Result<Json<Vec<Disagreement>>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let conflicts = move |app: &App| {
        app.model_conflicts(asked.provider.as_deref(), asked.field.as_deref())
            .map_err(ApiError::Model)
    };
    blocking(&app, conflicts).await.map(Json)
}

/// The query of every change.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    #[serde(default)]
    dry_run: bool,
}

pub(super) fn intent(asked: Asked<Change>, Actor(actor): &Actor) -> Result<Intent, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    Ok(Intent { dry_run: asked.dry_run, ..Intent::now(actor) })
}

pub(super) async fn correct(
    State(app): State<Arc<App>>,
    actor: Actor,
    name: Named,
    asked: Asked<Change>,
    correction: Sent<Correction>,
) -> Result<Json<Corrected>, ApiError> {
    let (name, intent) = (named(name)?, intent(asked, &actor)?);
    let Json(correction) =
        correction.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let correct =
        move |app: &App| app.correct_model(&name, &correction, &intent).map_err(ApiError::Model);
    blocking(&app, correct).await.map(Json)
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    actor: Actor,
    name: Named,
    asked: Asked<Change>,
) -> Result<Json<Corrected>, ApiError> {
    let (name, intent) = (named(name)?, intent(asked, &actor)?);
    blocking(&app, move |app| app.remove_model(&name, &intent).map_err(ApiError::Model))
        .await
        .map(Json)
}

/// A model that is to be known.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Added {
    id: String,
}

pub(super) async fn add(
    State(app): State<Arc<App>>,
    actor: Actor,
    asked: Asked<Change>,
    added: Sent<Added>,
) -> Result<(StatusCode, Json<Corrected>), ApiError> {
    let intent = intent(asked, &actor)?;
    let Json(Added { id }) =
        added.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let status = if intent.dry_run { StatusCode::OK } else { StatusCode::CREATED };
    let added = app.add_model(&id, intent).await.map_err(ApiError::Model)?;
    Ok((status, Json(added)))
}

pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    actor: Actor,
    query: Asked<Change>,
    asked: Sent<RefreshAsked>,
) -> Result<Json<Refreshed>, ApiError> {
    let dry_run = intent(query, &actor)?.dry_run;
    let Json(mut asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    asked.dry_run |= dry_run;
    app.refresh_models(asked, &actor.0).await.map(Json).map_err(ApiError::Model)
}

pub(super) async fn import(
    State(app): State<Arc<App>>,
    actor: Actor,
    asked: Asked<ImportAsked>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Imported>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let body = body.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let import =
        move |app: &App| app.import_models(&asked, &body, &actor.0).map_err(ApiError::Model);
    blocking(&app, import).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportAsked {
    format: String,
    provider: Option<String>,
}

pub(super) async fn export(
    State(app): State<Arc<App>>,
    asked: Asked<ExportAsked>,
) -> Result<Json<Exported>, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let export = move |app: &App| {
        app.export_models(&asked.format, asked.provider.as_deref()).map_err(ApiError::Model)
    };
    blocking(&app, export).await.map(Json)
}

fn named(name: Named) -> Result<String, ApiError> {
    match name {
        Ok(Path(name)) => Ok(name),
        Err(rejection) => Err(ApiError::BadRequest(rejection.body_text())),
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}
