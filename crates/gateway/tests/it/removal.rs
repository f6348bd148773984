//! What a backend that goes away leaves behind.

use crate::scene::{Scene, models};
use callsheet_gateway::Policy;
use callsheet_testkit::{Behaviour, FakeBackend, Gate};
use prometheus::proto::{Metric, MetricFamily};

fn series(scene: &Scene, backend: &str) -> usize {
    let families = scene.gateway.metrics();
    let metrics = families.iter().flat_map(MetricFamily::get_metric);
    let is_its = |metric: &&Metric| metric.get_label().iter().any(|label| label.value() == backend);
    metrics.filter(is_its).count()
}

#[tokio::test]
async fn a_backend_that_is_removed_while_it_serves_leaves_no_series() {
    let body = r#"{"model":"test-model"}"#;
    for ending in [Behaviour::Answer, Behaviour::status(500)] {
        let backend = FakeBackend::start().await;
        let scene = Scene::new(Policy::default());
        scene.add("gpu", &backend, models(&["test-model"]));
        let gate = Gate::new();
        backend.script(Behaviour::Hold(gate.clone(), Box::new(ending)));
        let call = scene.post("/v1/chat/completions", body);
        let removal = async {
            backend.wait_for_requests(1).await;
            assert!(series(&scene, "gpu") > 0);
            scene.fleet.remove_backend("gpu").unwrap();
            scene.gateway.forget_backend("gpu");
            gate.open();
        };
        tokio::join!(call, removal);
        assert_eq!(series(&scene, "gpu"), 0);
    }
}
