//! The one place where this surface turns errors into a status, a stable code and a sentence.

use crate::{ChangeError, ReloadError, guard::Denied};
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::error::Error;

/// A request to the API that is refused.
#[derive(Debug)]
pub enum ApiError {
    /// No such path.
    UnknownPath,
    /// The path takes another method.
    MethodNotAllowed,
    /// The body, the path or the query cannot be read.
    BadRequest(String),
    /// The admin token is missing or wrong.
    Unauthorized,
    /// The guard does not let it in.
    Denied(&'static str, &'static str),
    /// A change to the backends was refused.
    Change(ChangeError),
    /// A new configuration was not taken.
    Reload(ReloadError),
    /// Something broke that should not.
    Internal,
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        Self::Change(error)
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let (code, message) = denied.say();
        Self::Denied(code, message)
    }
}

impl ApiError {
    fn say(&self) -> (StatusCode, &'static str, String, Option<&'static str>) {
        match self {
            Self::UnknownPath => (
                StatusCode::NOT_FOUND,
                "unknown_endpoint",
                "there is no such endpoint".to_owned(),
                Some("models are called under /v1, the daemon is managed under /api/v1"),
            ),
            Self::MethodNotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "this endpoint does not take this method".to_owned(),
                None,
            ),
            Self::BadRequest(message) => {
                (StatusCode::BAD_REQUEST, "invalid_request", message.clone(), None)
            }
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "the admin token is missing or wrong".to_owned(),
                Some(
                    "send it as `Authorization: Bearer TOKEN`; the command line reads it from the config or from CALLSHEET_ADMIN_TOKEN",
                ),
            ),
            Self::Denied(code, message) => {
                (StatusCode::FORBIDDEN, code, (*message).to_owned(), None)
            }
            Self::Change(error) => {
                let (status, code, hint) = change(error);
                (status, code, with_causes(error), hint)
            }
            Self::Reload(error @ ReloadError::NoDaemon) => (
                StatusCode::CONFLICT,
                "no_daemon",
                error.to_string(),
                Some("`callsheet serve` starts one, with the configuration as it is then"),
            ),
            Self::Reload(error) => (
                StatusCode::BAD_REQUEST,
                "config_refused",
                with_causes(error),
                Some("the old configuration stays in force, all of it"),
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "something broke; the log says more".to_owned(),
                None,
            ),
        }
    }
}

fn change(error: &ChangeError) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        ChangeError::Exists(_) => (
            StatusCode::CONFLICT,
            "backend_exists",
            Some("choose another name, or remove that one first"),
        ),
        ChangeError::Configured(_) => (
            StatusCode::CONFLICT,
            "backend_in_config_file",
            Some("change it in the config file; `backend drain` takes it out of routing at once"),
        ),
        ChangeError::NotFound(_) => (
            StatusCode::NOT_FOUND,
            "backend_not_found",
            Some("`callsheet backend list` shows all of them"),
        ),
        ChangeError::Unusable(_) => (
            StatusCode::BAD_REQUEST,
            "backend_unusable",
            Some(
                "keys are read from the environment and the files of the daemon, not of the caller",
            ),
        ),
        ChangeError::State(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "state_not_saved",
            Some("nothing was changed; is the data directory writable and the disk not full?"),
        ),
    }
}

/// Returns an error with its causes.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code, message, hint) = self.say();
        if status.is_server_error() {
            tracing::error!(code, "{message}");
        }
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let body = json!({ "error": {
            "message": message, "type": kind, "code": code, "hint": hint,
        }});
        (status, Json(body)).into_response()
    }
}
