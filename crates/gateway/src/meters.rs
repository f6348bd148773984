//! Counters and histograms, with their handles made ahead: counting a request looks up one pair of
//! backend and model, and touches atomics.

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use http::HeaderValue;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, core::Collector,
};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// Every outcome of a request, as metrics and logs name them.
const OUTCOMES: [&str; 6] = ["ok", "client_error", "server_error", "cut", "client_gone", "refused"];

const SECONDS: [f64; 15] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0];

/// The gateway's metrics.
pub(crate) struct Meters {
    requests: IntCounterVec,
    errors: IntCounterVec,
    retries: IntCounterVec,
    ejections: IntCounterVec,
    first_byte: HistogramVec,
    total: HistogramVec,
    pairs: ArcSwap<Pairs>,
}

/// By backend, then by model; both are names that backends brought, not clients.
type Pairs = HashMap<Arc<str>, Models, RandomState>;
type Models = HashMap<Arc<str>, Arc<Pair>, RandomState>;

/// The handles for one backend and one of its models.
pub(crate) struct Pair {
    /// The backend's id, as answers carry it.
    pub(crate) backend: HeaderValue,
    requests: [IntCounter; OUTCOMES.len()],
    pub(crate) first_byte: Histogram,
    pub(crate) total: Histogram,
}

impl Pair {
    pub(crate) fn count(&self, outcome: &str) {
        if let Some(at) = OUTCOMES.iter().position(|known| *known == outcome) {
            self.requests[at].inc();
        }
    }
}

impl Meters {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let histogram = |name: &str, help: &str| {
            let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            HistogramVec::new(options, &["backend", "model"])
        };
        Ok(Self {
            requests: counter(
                "callsheet_requests_total",
                "Requests by how they ended; refused ones have no backend.",
                &["backend", "model", "outcome"],
            )?,
            errors: counter(
                "callsheet_errors_total",
                "Failed attempts and refused requests by class.",
                &["backend", "model", "class"],
            )?,
            retries: counter(
                "callsheet_retries_total",
                "Requests that went on to another backend after this one failed, by class of the failure.",
                &["backend", "model", "class"],
            )?,
            ejections: counter(
                "callsheet_ejections_total",
                "Times that a backend was taken out of routing for failing.",
                &["backend"],
            )?,
            first_byte: histogram(
                "callsheet_time_to_first_byte_seconds",
                "From sending a request to the first byte, or the first whole event, of its answer.",
            )?,
            total: histogram(
                "callsheet_request_duration_seconds",
                "From the arrival of a request to the end of its answer.",
            )?,
            pairs: ArcSwap::default(),
        })
    }

    /// Returns the collectors, for a scrape.
    pub(crate) fn collectors(&self) -> [&dyn Collector; 6] {
        [
            &self.requests,
            &self.errors,
            &self.retries,
            &self.ejections,
            &self.first_byte,
            &self.total,
        ]
    }

    /// Returns the handles for a backend and a model that it offers. Names that only a client knows
    /// must not come here: each makes a series that stays.
    pub(crate) fn pair(&self, backend: &str, model: &str) -> Arc<Pair> {
        if let Some(pair) = self.pairs.load().get(backend).and_then(|models| models.get(model)) {
            return Arc::clone(pair);
        }
        let pair = Arc::new(Pair {
            backend: HeaderValue::from_str(backend).unwrap_or(HeaderValue::from_static("?")),
            requests: OUTCOMES
                .map(|outcome| self.requests.with_label_values(&[backend, model, outcome])),
            first_byte: self.first_byte.with_label_values(&[backend, model]),
            total: self.total.with_label_values(&[backend, model]),
        });
        self.pairs.rcu(|pairs| {
            let mut pairs = Pairs::clone(pairs);
            pairs.entry(backend.into()).or_default().insert(model.into(), Arc::clone(&pair));
            pairs
        });
        pair
    }

    pub(crate) fn failed(&self, backend: &str, model: &str, class: &str) {
        self.errors.with_label_values(&[backend, model, class]).inc();
    }

    pub(crate) fn retried(&self, backend: &str, model: &str, class: &str) {
        self.retries.with_label_values(&[backend, model, class]).inc();
    }

    pub(crate) fn ejected(&self, backend: &str) {
        self.ejections.with_label_values(&[backend]).inc();
    }

    /// Counts a request that no backend was asked for.
    pub(crate) fn refused(&self, code: &str, took: Duration) {
        self.errors.with_label_values(&["", "", code]).inc();
        let pair = self.pair("", "");
        pair.count("refused");
        pair.total.observe(took.as_secs_f64());
    }

    /// Forgets every series of a backend that is gone.
    pub(crate) fn forget(&self, backend: &str) {
        self.pairs.rcu(|pairs| {
            let mut pairs = Pairs::clone(pairs);
            pairs.remove(backend);
            pairs
        });
        for collector in [&self.requests, &self.errors, &self.retries, &self.ejections] {
            for labels in label_sets(collector, backend) {
                let values: Vec<&str> = labels.iter().map(String::as_str).collect();
                let _ = collector.remove_label_values(&values);
            }
        }
        for collector in [&self.first_byte, &self.total] {
            for labels in label_sets(collector, backend) {
                let values: Vec<&str> = labels.iter().map(String::as_str).collect();
                let _ = collector.remove_label_values(&values);
            }
        }
    }
}

/// Returns the label values of every series of a backend, in the order in which they were declared.
fn label_sets(collector: &dyn Collector, backend: &str) -> Vec<Vec<String>> {
    let order =
        collector.desc().first().map(|desc| desc.variable_labels.clone()).unwrap_or_default();
    let families = collector.collect();
    let series = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
    series
        .map(|metric| {
            let value = |name: &String| {
                let label = metric.get_label().iter().find(|label| label.name() == name);
                label.map(|label| label.value().to_owned()).unwrap_or_default()
            };
            order.iter().map(value).collect::<Vec<_>>()
        })
        .filter(|values| values.first().is_some_and(|first| first == backend))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_is_gone_leaves_no_series() {
        let meters = Meters::new().unwrap();
        for backend in ["a", "b"] {
            let pair = meters.pair(backend, "m");
            pair.count("ok");
            pair.total.observe(1.0);
            meters.failed(backend, "m", "connect");
            meters.retried(backend, "m", "connect");
            meters.ejected(backend);
        }
        let series = |backend: &str| -> usize {
            meters.collectors().iter().map(|collector| label_sets(*collector, backend).len()).sum()
        };
        assert_eq!((series("a"), series("b")), (11, 11));
        meters.forget("a");
        assert_eq!((series("a"), series("b")), (0, 11));
        meters.pair("a", "m").count("ok");
        assert_eq!(series("a"), 8);
    }
}
