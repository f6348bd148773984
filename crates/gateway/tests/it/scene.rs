//! A gateway to stand-ins, called as a server would call it.

use bytes::Bytes;
use callsheet_fleet::{
    BackendStatus, Link,
    registry::{Backend, BackendType, DiscoverySource, Model, Registry},
};
use callsheet_gateway::{Gateway, Journal, LogFormat, Policy};
use callsheet_testkit::FakeBackend;
use callsheet_types::{Preset, Principal};
use callsheet_upstream::Options;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use std::sync::Arc;

pub(crate) struct Scene {
    pub(crate) fleet: Arc<Registry>,
    pub(crate) gateway: Arc<Gateway>,
    journal: Arc<Journal>,
}

impl Scene {
    pub(crate) fn new(policy: Policy) -> Self {
        let fleet = Arc::new(Registry::new());
        let journal = Arc::new(Journal::new(Some(LogFormat::Json)));
        let gateway = Gateway::new(Arc::clone(&fleet), policy, Arc::clone(&journal)).unwrap();
        Self { fleet, gateway: Arc::new(gateway), journal }
    }

    /// Adds a healthy backend that offers these models.
    pub(crate) fn add(&self, id: &str, stand_in: &FakeBackend, models: Vec<Model>) {
        self.fleet.add_backend(made(id, stand_in, models)).unwrap();
        self.fleet.update_status(id, BackendStatus::Healthy, None).unwrap();
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (StatusCode, Value) {
        self.send(Request::post(path).body(Full::new(Bytes::copy_from_slice(body.as_bytes()))))
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(Request::get(path).body(Full::default())).await
    }

    async fn send(&self, request: http::Result<Request<Full<Bytes>>>) -> (StatusCode, Value) {
        let handle = self.gateway.for_thread();
        let response = handle.handle(request.unwrap(), Principal::Anonymous).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    /// Returns the log lines since the last look.
    pub(crate) fn log(&self) -> Vec<Value> {
        let lines = self.journal.take();
        let lines = std::str::from_utf8(&lines).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) fn made(id: &str, stand_in: &FakeBackend, models: Vec<Model>) -> Backend {
    let (kind, source) = (BackendType::Generic, DiscoverySource::Static);
    let url = stand_in.url();
    let link = Link::new(url.parse().unwrap(), kind, None, Options::default()).unwrap();
    Backend::new(id, id, url, kind, models, source, [].into()).with_link(Arc::new(link))
}

pub(crate) fn models(ids: &[&str]) -> Vec<Model> {
    ids.iter().map(|id| Model::new(*id)).collect()
}

pub(crate) fn preset(model: &str, parameters: Value) -> Preset {
    let parameters = serde_json::from_value(parameters).unwrap();
    Preset { model: model.to_owned(), parameters }
}
