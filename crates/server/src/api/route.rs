//! `/api/v1/route`: where a request would go, and why nowhere else.

use super::ApiError;
use crate::App;
use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use callsheet_fleet::{Explanation, Needs};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Instant};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    model: String,
    /// `tools`, `vision`, `json`, separated by commas.
    #[serde(default)]
    needs: String,
    min_context: Option<u32>,
}

/// The decision for a model, and for each of its fallbacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteReport {
    /// The name that was asked for.
    pub requested: String,
    /// What would be tried, in order; each only if nothing before it can serve.
    pub steps: Vec<RouteStep>,
}

/// One model that would be tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStep {
    /// The id that backends would be sent.
    pub model: String,
    /// The only backend that would do, where the name says one.
    pub only_backend: Option<String>,
    /// Who would get it, and why the others would not.
    pub explanation: Explanation,
}

pub(super) async fn explain(
    State(app): State<Arc<App>>,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Json<RouteReport>, ApiError> {
    let Query(question) = question.map_err(|e| ApiError::BadRequest(e.body_text()))?;
    let mut needs = Needs { min_context: question.min_context, ..Needs::default() };
    for need in question.needs.split(',').filter(|need| !need.is_empty()) {
        match need.trim() {
            "tools" => needs.tools = true,
            "vision" => needs.vision = true,
            "json" => needs.json_mode = true,
            other => {
                return Err(ApiError::BadRequest(format!(
                    "{other:?} is no need; expected tools, vision or json"
                )));
            }
        }
    }
    let policy = app.gateway.policy();
    let steps = callsheet_gateway::chain(&question.model, &policy, &app.fleet)
        .map(|target| RouteStep {
            model: target.model.to_owned(),
            only_backend: target.backend.map(str::to_owned),
            explanation: app.fleet.explain(target.model, &target.needs(needs), Instant::now()),
        })
        .collect();
    Ok(Json(RouteReport { requested: question.model.clone(), steps }))
}
