//! `/metrics`: what the gateway counted, and how the fleet is at this moment.

use crate::App;
use callsheet_fleet::registry::BackendStatus;
use prometheus::{
    Encoder, Gauge, GaugeVec, Opts, TextEncoder, core::Collector, proto::MetricFamily,
};

/// Renders everything in Prometheus' text format. Gauges are read now and kept nowhere, so that a
/// backend which is gone leaves none behind.
pub(crate) fn render(app: &App) -> Vec<u8> {
    let mut families = app.gateway.metrics();
    families.extend(live(app).unwrap_or_default());
    // The encoder refuses a family without a series.
    families.retain(|family| !family.get_metric().is_empty());
    families.sort_by(|a, b| a.name().cmp(b.name()));
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
        tracing::error!(%error, "metrics cannot be rendered");
    }
    text
}

fn live(app: &App) -> Result<Vec<MetricFamily>, prometheus::Error> {
    let per_backend = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["backend"]);
    let in_flight = per_backend("callsheet_in_flight", "Requests that a backend is serving.")?;
    let up = per_backend("callsheet_backend_up", "1 for a healthy backend, else 0.")?;
    let ejected = per_backend(
        "callsheet_backend_ejected",
        "1 for a backend that is out of routing for failing.",
    )?;
    let models = per_backend("callsheet_backend_models", "Models that a backend offers.")?;
    for backend in &*app.fleet.get_all_backends() {
        let id = [backend.id.as_str()];
        let is_up = backend.status() == BackendStatus::Healthy;
        in_flight.with_label_values(&id).set(f64::from(backend.pending_requests()));
        up.with_label_values(&id).set(f64::from(u8::from(is_up)));
        ejected.with_label_values(&id).set(f64::from(u8::from(backend.ejected_until().is_some())));
        models.with_label_values(&id).set(backend.models().len() as f64);
    }
    let mut families: Vec<MetricFamily> =
        [in_flight, up, ejected, models].iter().flat_map(Collector::collect).collect();
    let singles = [
        (
            "callsheet_queue_length",
            "Requests that wait for a backend with room.",
            app.fleet.queue_len() as f64,
        ),
        (
            "callsheet_held_body_bytes",
            "Request bodies that are held in memory.",
            app.gateway.held_body_bytes() as f64,
        ),
        (
            "callsheet_log_lines_dropped",
            "Access log lines that were not written because the writer fell behind.",
            app.journal.dropped() as f64,
        ),
    ];
    for (name, help, value) in singles {
        let gauge = Gauge::new(name, help)?;
        gauge.set(value);
        families.extend(gauge.collect());
    }
    if let Some(bytes) = resident_bytes() {
        let gauge = Gauge::new("process_resident_memory_bytes", "Resident memory of the daemon.")?;
        gauge.set(bytes as f64);
        families.extend(gauge.collect());
    }
    Ok(families)
}

/// Returns the resident memory where the system tells it, which Linux does.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
