//! `/api/v1`, health and metrics: thin handlers over [`App`].

mod backends;
mod config;
mod error;
mod openapi;
mod route;

pub use error::ApiError;
pub(crate) use error::with_causes;
pub use route::{RouteReport, RouteStep};

use crate::App;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use callsheet_fleet::registry::BackendStatus;
use serde_json::json;
use std::sync::Arc;

/// Returns everything that is not under `/v1`. Whoever mounts it decides who may use `/api`.
pub(crate) fn router(app: Arc<App>) -> Router {
    let backends = get(backends::list).post(backends::add);
    let backend = get(backends::show).delete(backends::remove);
    Router::new()
        .route("/api/v1/backends", backends)
        .route("/api/v1/backends/{name}", backend)
        .route("/api/v1/backends/{name}/drain", post(backends::drain))
        .route("/api/v1/backends/{name}/resume", post(backends::resume))
        .route("/api/v1/config/reload", post(config::reload))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/api/v1/route", get(route::explain))
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
