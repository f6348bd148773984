//! The API without a socket, for the command line.

use crate::{App, api};
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::BodyExt;
use std::sync::Arc;
use tower::ServiceExt;

/// The same router that the daemon mounts, called in this process. Whoever calls it is at home
/// here: no token is asked for.
pub struct LocalApi {
    router: axum::Router,
}

/// A request that could not be made: its path is none.
#[derive(Debug, thiserror::Error)]
#[error("the request cannot be made")]
pub struct LocalError(#[from] http::Error);

impl LocalApi {
    /// Wraps a composed daemon.
    pub fn new(app: Arc<App>) -> Self {
        Self { router: api::router(app) }
    }

    /// Sends a request in somebody's name; returns status and body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        actor: Option<&str>,
        body: Bytes,
    ) -> Result<(u16, Bytes), LocalError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(actor) = actor {
            request = request.header("x-callsheet-actor", actor);
        }
        let request = request.body(Body::from(body))?;
        let answer = match self.router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let status = answer.status().as_u16();
        Ok((status, LocalBody(answer.into_body()).collect().await))
    }

    /// Asks for a stream, of the type that is accepted; returns status and body.
    pub async fn open(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        actor: Option<&str>,
        body: Bytes,
    ) -> Result<(u16, LocalBody), LocalError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(actor) = actor {
            request = request.header("x-callsheet-actor", actor);
        }
        let request = request.body(Body::from(body))?;
        let answer = match self.router.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        Ok((answer.status().as_u16(), LocalBody(answer.into_body())))
    }
}

/// The body of an answer, as it comes. One that is made here cannot fail.
pub struct LocalBody(Body);

impl LocalBody {
    /// Returns the next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        while let Some(Ok(frame)) = self.0.frame().await {
            if let Ok(data) = frame.into_data() {
                return Some(data);
            }
        }
        None
    }

    /// Returns all of it.
    pub async fn collect(self) -> Bytes {
        self.0.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
    }
}
