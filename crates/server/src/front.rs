//! Where a request comes in: who it is, what it may use, and who answers it.
//!
//! `/v1` goes to the gateway before the router is asked: it is the hot path, and its answers have
//! one concrete body type.

use crate::{
    App,
    api::{self, ApiError},
    cors,
    guard::foreign_page,
};
use axum::response::IntoResponse;
use bytes::Bytes;
use callsheet_gateway::{Body as GatewayBody, Handle};
use callsheet_types::Principal;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::ServiceExt;

/// Answers requests; one for each thread.
pub(crate) struct Front {
    app: Arc<App>,
    gateway: Handle,
    router: axum::Router,
    max_header_bytes: usize,
}

impl Front {
    pub(crate) fn new(app: Arc<App>, max_header_bytes: usize) -> Self {
        let router = api::router(Arc::clone(&app));
        Self { gateway: app.gateway.for_thread(), app, router, max_header_bytes }
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<FrontBody> {
        // The connection looks at its limit only while a head is incomplete, and lets one pass
        // that comes in one piece.
        if head_bytes(&request) > self.max_header_bytes {
            return refuse(ApiError::HeaderTooLarge);
        }
        let guard = self.app.guard.load();
        // First of all: a page that may not call must not even learn what exists.
        if let Err(denied) = guard.admit(request.headers()) {
            return refuse(denied);
        }
        let principal = guard.principal(request.headers());
        let foreign_page = foreign_page(request.headers());
        drop(guard);
        let Some(page) = foreign_page else { return self.route(request, principal).await };
        if cors::is_preflight(&request) {
            return cors::leave(&page, request.headers()).map(FrontBody::Api);
        }
        let mut answer = self.route(request, principal).await;
        cors::share(answer.headers_mut(), page);
        answer
    }

    async fn route(&self, request: Request<Incoming>, principal: Principal) -> Response<FrontBody> {
        let path = request.uri().path();
        if path.starts_with("/v1/") || path == "/v1" {
            let answer = self.gateway.handle(request, principal).await;
            return answer.map(FrontBody::Gateway);
        }
        if path.starts_with("/api/") && principal == Principal::Anonymous {
            return refuse(ApiError::Unauthorized);
        }
        let answer = self.router.clone().oneshot(request.map(axum::body::Body::new)).await;
        match answer {
            Ok(answer) => answer.map(FrontBody::Api),
            Err(never) => match never {},
        }
    }
}

/// Returns how long the head was, but for its white space.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let headers = request.headers().iter();
    let fields: usize =
        headers.map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum();
    let path = request.uri().path_and_query().map_or(1, |path| path.as_str().len());
    fields + path
}

fn refuse(error: impl Into<ApiError>) -> Response<FrontBody> {
    error.into().into_response().map(FrontBody::Api)
}

/// The body of any answer.
pub(crate) enum FrontBody {
    Gateway(GatewayBody),
    Api(axum::body::Body),
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl http_body::Body for FrontBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Gateway(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Self::Api(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gateway(body) => body.is_end_stream(),
            Self::Api(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gateway(body) => body.size_hint(),
            Self::Api(body) => body.size_hint(),
        }
    }
}
