//! `/api/v1`, health and metrics: thin handlers over [`App`].

mod actor;
mod backends;
mod bytes;
mod changes;
mod config;
mod error;
mod files;
mod models;
mod openapi;
mod presets;
mod route;
mod stream;

pub use changes::{ChangeView, FeedPage};
pub use error::ApiError;
pub use files::{Counted, FilesPage, Resolved, SourceRemoved, SourcesPage, UsagePage};
pub use models::moment;
pub use route::{RouteReport, RouteStep};

use crate::App;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use callsheet_fleet::registry::BackendStatus;
use serde_json::json;
use std::sync::Arc;

/// The longest catalog that is taken in.
const MOST_CATALOG_BYTES: usize = 256 << 20;

/// Does what blocks, on a thread that may.
async fn blocking<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || work(&app)).await.map_err(|_| ApiError::Internal)?
}

/// Returns everything that is not under `/v1`. Whoever mounts it decides who may use `/api`.
pub(crate) fn router(app: Arc<App>) -> Router {
    let backends = get(backends::list).post(backends::add);
    let backend = get(backends::show).delete(backends::remove);
    let model = get(models::show).patch(models::correct).delete(models::remove);
    // Whole catalogs; everything else that is sent is small.
    let import = post(models::import).layer(DefaultBodyLimit::max(MOST_CATALOG_BYTES));
    let source = get(files::source).delete(files::remove_source);
    Router::new()
        .route("/api/v1/backends", backends)
        .route("/api/v1/backends/{name}", backend)
        .route("/api/v1/backends/{name}/drain", post(backends::drain))
        .route("/api/v1/backends/{name}/resume", post(backends::resume))
        .route("/api/v1/changes", get(changes::feed))
        .route("/api/v1/config/reload", post(config::reload))
        .route("/api/v1/files", get(files::list).delete(files::clear))
        .route("/api/v1/files/blobs/{digest}", get(files::blob))
        .route("/api/v1/files/gc", post(files::gc))
        .route("/api/v1/files/info", get(files::info))
        .route("/api/v1/files/published/{source}/{ref}/{*path}", get(files::published))
        .route("/api/v1/files/resolve", post(files::resolve))
        .route("/api/v1/files/sync", post(files::sync))
        .route("/api/v1/files/usage", get(files::usage).post(files::count))
        .route("/api/v1/files/verify", post(files::verify))
        .route("/api/v1/models", get(models::list).post(models::add))
        .route("/api/v1/models/conflicts", get(models::conflicts))
        .route("/api/v1/models/diff", get(models::diff))
        .route("/api/v1/models/export", get(models::export))
        .route("/api/v1/models/import", import)
        .route("/api/v1/models/refresh", post(models::refresh))
        .route("/api/v1/models/{name}", model)
        .route("/api/v1/models/{name}/history", get(models::history))
        .route("/api/v1/models/{name}/why", get(models::why))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/presets", get(presets::list))
        .route("/api/v1/presets/{tier}/{slot}", put(presets::set).delete(presets::remove))
        .route("/api/v1/route", get(route::explain))
        .route("/api/v1/sources", get(files::sources).post(files::add_source))
        .route("/api/v1/sources/{name}", source)
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .method_not_allowed_fallback(|| async { ApiError::MethodNotAllowed })
        .fallback(|| async { ApiError::UnknownPath })
        .with_state(app)
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.is_ready() {
        return Json(json!({ "ready": true })).into_response();
    }
    let all = app.fleet.get_all_backends();
    let waiting = all.iter().filter(|backend| backend.status() == BackendStatus::Unknown);
    let waiting: Vec<_> = waiting.map(|backend| &backend.id).collect();
    let body = json!({ "ready": false, "not_probed_yet": waiting });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let text = crate::metrics::render(&app);
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}
