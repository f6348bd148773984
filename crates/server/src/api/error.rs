//! The one place where this surface turns errors into a status, a stable code and a sentence.

use crate::{ChangeError, ReloadError, guard::Denied, models::ModelError};
use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use callsheet_files::FilesError;
use callsheet_store::{PublishError, StoreError};
use callsheet_types::{Digest, plan::Refused, with_causes};
use serde_json::{Value, json};

/// A request to the API that is refused.
#[derive(Debug)]
pub enum ApiError {
    /// No such path.
    UnknownPath,
    /// The path takes another method.
    MethodNotAllowed,
    /// The body, the path or the query cannot be read.
    BadRequest(String),
    /// The head of the request is longer than `limits.header_bytes`.
    HeaderTooLarge,
    /// The admin token is missing or wrong.
    Unauthorized,
    /// The guard does not let it in.
    Denied(&'static str, &'static str),
    /// A change to the backends was refused.
    Change(ChangeError),
    /// Something about models cannot be done.
    Model(ModelError),
    /// Something about files cannot be done.
    Files(Box<FilesError>),
    /// No file of this digest is known here.
    NoBlob(Digest),
    /// The store cannot do it.
    Store(StoreError),
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

impl From<FilesError> for ApiError {
    fn from(error: FilesError) -> Self {
        Self::Files(Box::new(error))
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let (code, message) = denied.say();
        Self::Denied(code, message)
    }
}

impl ApiError {
    fn say(&self) -> (StatusCode, &'static str, String, Option<String>) {
        if let Self::Model(error) = self {
            let (status, code, hint) = model(error);
            return (status, code, with_causes(error), hint);
        }
        if let Self::Files(error) = self {
            let (status, code) = files(error);
            let hint = match &**error {
                FilesError::Publish(error) => Some(publish(error).2.to_owned()),
                error => error.hint(),
            };
            return (status, code, with_causes(&**error), hint);
        }
        let (status, code, message, hint) = self.say_plainly();
        (status, code, message, hint.map(str::to_owned))
    }

    /// Returns the status and the body of the answer, and logs what is our own fault.
    pub(super) fn body(&self) -> (StatusCode, Value) {
        let (status, code, message, hint) = self.say();
        if status.is_server_error() {
            tracing::error!(code, "{message}");
        }
        let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
        let body = json!({ "error": {
            "message": message, "type": kind, "code": code, "hint": hint,
        }});
        (status, body)
    }

    fn say_plainly(&self) -> (StatusCode, &'static str, String, Option<&'static str>) {
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
            Self::HeaderTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "header_too_large",
                "the head of the request is too long".to_owned(),
                Some("limits.header_bytes in the config file says how long it may be"),
            ),
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
            Self::Store(error) => {
                let (status, code, hint) = store(error);
                (status, code, with_causes(error), Some(hint))
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
            Self::NoBlob(digest) => (
                StatusCode::NOT_FOUND,
                "blob_not_found",
                format!("no file of {digest} is known here"),
                None,
            ),
            // What is said of models and files has hints of its own.
            Self::Internal | Self::Model(_) | Self::Files(_) => (
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
        ChangeError::Publish(error) => {
            let (status, code, hint) = publish(error);
            (status, code, Some(hint))
        }
    }
}

fn model(error: &ModelError) -> (StatusCode, &'static str, Option<String>) {
    let hint = |text: &str| Some(text.to_owned());
    match error {
        ModelError::NotFound { near, .. } if near.is_empty() => (
            StatusCode::NOT_FOUND,
            "model_not_found",
            hint(
                "`callsheet model list` shows all of them; `model import` and `model refresh` bring more",
            ),
        ),
        ModelError::NotFound { near, .. } => (
            StatusCode::NOT_FOUND,
            "model_not_found",
            Some(format!("did you mean {}?", near.join(" or "))),
        ),
        ModelError::Ambiguous { .. } => {
            (StatusCode::CONFLICT, "model_ambiguous", hint("say which by its key, `provider:id`"))
        }
        ModelError::Field(_) => (StatusCode::BAD_REQUEST, "field_refused", None),
        ModelError::UnknownField(_) => (StatusCode::BAD_REQUEST, "unknown_field", None),
        ModelError::Format(_) => (
            StatusCode::BAD_REQUEST,
            "catalog_unreadable",
            hint("nothing was changed; is --format right?"),
        ),
        ModelError::File(_) => (StatusCode::INTERNAL_SERVER_ERROR, "file_failed", None),
        ModelError::Preset(_) => (StatusCode::BAD_REQUEST, "preset_refused", None),
        ModelError::NoPreset(_) => (
            StatusCode::NOT_FOUND,
            "preset_not_found",
            hint("`callsheet preset list` shows all of them"),
        ),
        ModelError::NoProvider { known, .. } => {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let hint =
                format!("there are: {known}; `[providers.NAME]` in the config file adds one");
            (StatusCode::NOT_FOUND, "provider_not_found", Some(hint))
        }
        ModelError::Question(_) | ModelError::UnknownFormat(_) => {
            (StatusCode::BAD_REQUEST, "invalid_request", None)
        }
        ModelError::NotFetched { .. } => {
            (StatusCode::BAD_GATEWAY, "model_not_fetched", hint("nothing was changed"))
        }
        ModelError::Publish(error) => {
            let (status, code, hint) = publish(error);
            (status, code, Some(hint.to_owned()))
        }
    }
}

fn files(error: &FilesError) -> (StatusCode, &'static str) {
    match error {
        FilesError::NoRegistryAsset { .. }
        | FilesError::NoRegistryFile { .. }
        | FilesError::NoRef { .. } => (StatusCode::NOT_FOUND, "registry_not_found"),
        FilesError::NoSource { .. } => (StatusCode::NOT_FOUND, "source_not_found"),
        FilesError::NoModel { .. } => (StatusCode::NOT_FOUND, "file_set_not_found"),
        FilesError::Ambiguous { .. } => (StatusCode::CONFLICT, "address_ambiguous"),
        FilesError::OfflineMissing { .. } | FilesError::OfflineNotSynced { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "offline")
        }
        FilesError::Shrunk { .. } => (StatusCode::CONFLICT, "shrunk"),
        FilesError::NotSynced { .. } => (StatusCode::CONFLICT, "not_synced"),
        FilesError::SeveralArchives { .. }
        | FilesError::NoArchive { .. }
        | FilesError::Fetch { .. }
        | FilesError::Registry { .. }
        | FilesError::Archive { .. }
        | FilesError::WrongDigest { .. }
        | FilesError::NoFile { .. } => (StatusCode::BAD_GATEWAY, "source_failed"),
        FilesError::NoRefs(_)
        | FilesError::Address(_)
        | FilesError::Source(_)
        | FilesError::Index(_)
        | FilesError::Lock(_)
        | FilesError::Question(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
        FilesError::Bootstrap(_) => (StatusCode::BAD_REQUEST, "sources_unreadable"),
        FilesError::Cache(_) => (StatusCode::INTERNAL_SERVER_ERROR, "cache_failed"),
        FilesError::Publish(error) => {
            let (status, code, _) = publish(error);
            (status, code)
        }
        FilesError::CutOff => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

fn publish(error: &PublishError) -> (StatusCode, &'static str, &'static str) {
    match error {
        PublishError::Refused(Refused::Empty { .. } | Refused::Shrunk { .. }) => (
            StatusCode::CONFLICT,
            "shrunk",
            "nothing was changed; if that is right, --allow-shrink takes it",
        ),
        PublishError::Refused(Refused::Conflicts { .. }) => (
            StatusCode::CONFLICT,
            "frozen",
            "nothing was changed; what was published once under a frozen key stays",
        ),
        PublishError::Stale => (
            StatusCode::CONFLICT,
            "stale",
            "nothing was changed: others write to the same entries all the time; try again",
        ),
        PublishError::Store(error) => store(error),
    }
}

fn store(error: &StoreError) -> (StatusCode, &'static str, &'static str) {
    match error {
        StoreError::BadPage { .. } => (
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "`cursor` is the `next` of the page before, with the same order",
        ),
        StoreError::DamagedBlob { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "blob_damaged",
            "`callsheet files sync --force` fetches a registry file again",
        ),
        StoreError::Denied { .. }
        | StoreError::NoBucket { .. }
        | StoreError::Unexpected { .. }
        | StoreError::BadVariable { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "blobs_failed",
            "store.blobs in the config file says where blobs are, and AWS_… variables how one gets in",
        ),
        StoreError::Expired { .. } | StoreError::PastEnd { .. } => (
            StatusCode::GONE,
            "cursor_expired",
            "read the present state anew, and follow the feed from its end",
        ),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "store_failed",
            "nothing was changed; is the database there, writable, and the disk not full?",
        ),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, body) = self.body();
        (status, Json(body)).into_response()
    }
}
