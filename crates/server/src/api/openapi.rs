//! The committed description of the API, as it is served.

use axum::{
    http::header,
    response::{IntoResponse, Response},
};

const DOCUMENT: &str = include_str!("../../openapi.json");

pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{App, Config, Fleet, api::router};
    use axum::{body::Body, http::Request};
    use callsheet_sources::Http;
    use std::{collections::BTreeSet, sync::Arc};
    use tower::ServiceExt;

    fn paths() -> serde_json::Map<String, serde_json::Value> {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        document["paths"].as_object().unwrap().clone()
    }

    #[test]
    fn every_path_of_the_router_is_described_and_no_other() {
        let source = include_str!("mod.rs");
        let routes = source.split(".route(\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        // A part of several folders has no notation of its own in the document.
        let routes: BTreeSet<String> = routes.map(|route| route.replace("{*", "{")).collect();
        assert_eq!(routes, paths().keys().cloned().collect());
    }

    #[tokio::test]
    async fn every_method_of_each_path_is_described_and_no_other() {
        let data = tempfile::tempdir().unwrap();
        let app = Arc::new(
            App::new(Config::default(), data.path(), &[], Http::default(), Fleet::Live).unwrap(),
        );
        let router = router(app);
        for (path, methods) in paths() {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let request = Request::builder()
                    .method(method)
                    .uri(path.replace("{name}", "a").replace("{tier}", "a").replace("{slot}", "a"));
                let request = request.body(Body::empty()).unwrap();
                let status = router.clone().oneshot(request).await.unwrap().status();
                let is_described = methods.get(method.to_ascii_lowercase()).is_some();
                assert_eq!(status != 405, is_described, "{method} {path}: {status}");
            }
        }
    }
}
