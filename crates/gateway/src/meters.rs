//! The gateway's metrics. What is counted with every request is in a [`Tally`] for each pair of
//! backend and model, found by one look; what is rare is in ordinary counters.

use crate::tally::{OUTCOMES, Tally};
use arc_swap::ArcSwap;
use callsheet_types::{LocalArc, SharedByAll};
use foldhash::fast::RandomState;
use http::HeaderValue;
use prometheus::{
    IntCounterVec, Opts,
    core::Collector,
    proto::{Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType},
};
use std::{collections::HashMap, sync::Arc, time::Duration};

pub(crate) struct Meters {
    errors: IntCounterVec,
    retries: IntCounterVec,
    ejections: IntCounterVec,
    pairs: ArcSwap<Pairs>,
}

/// By backend, then by model; both are names that backends brought, not clients.
type Pairs = HashMap<Arc<str>, Models, RandomState>;
type Models = HashMap<Arc<str>, Arc<SharedByAll<Pair>>, RandomState>;

/// One backend and one of its models.
pub(crate) struct Pair {
    /// The backend's id, as answers carry it.
    pub(crate) backend: HeaderValue,
    pub(crate) model: Box<str>,
    pub(crate) tally: Tally,
}

impl Meters {
    pub(crate) fn new() -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        Ok(Self {
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
            pairs: ArcSwap::default(),
        })
    }

    /// Returns everything that was counted, for a scrape.
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        let mut requests = family(
            "callsheet_requests_total",
            "Requests by how they ended; refused ones have no backend.",
            MetricType::COUNTER,
        );
        let mut first_bytes = family(
            "callsheet_time_to_first_byte_seconds",
            "From sending a request to the first byte, or the first whole event, of its answer.",
            MetricType::HISTOGRAM,
        );
        let mut totals = family(
            "callsheet_request_duration_seconds",
            "From the arrival of a request to the end of its answer.",
            MetricType::HISTOGRAM,
        );
        let pairs = self.pairs.load();
        let all = pairs.iter().flat_map(|(backend, models)| {
            models.iter().map(move |(model, pair)| (&**backend, &**model, pair.get()))
        });
        for (backend, model, pair) in all {
            for (outcome, count) in OUTCOMES.iter().zip(pair.tally.outcomes()) {
                let labels = [("backend", backend), ("model", model), ("outcome", *outcome)];
                let mut metric = series(&labels);
                let mut counter = Counter::default();
                counter.set_value(count as f64);
                metric.set_counter(counter);
                requests.mut_metric().push(metric);
            }
            let histogram = |family: &mut MetricFamily, histogram: Histogram| {
                let mut metric = series(&[("backend", backend), ("model", model)]);
                metric.set_histogram(histogram);
                family.mut_metric().push(metric);
            };
            histogram(&mut first_bytes, pair.tally.first_bytes());
            histogram(&mut totals, pair.tally.totals());
        }
        let mut families = vec![requests, first_bytes, totals];
        for counter in [&self.errors, &self.retries, &self.ejections] {
            families.extend(counter.collect());
        }
        families
    }

    /// Returns where to count a backend and a model that it offers. Names that only a client knows
    /// must not come here: each makes a series that stays. `is_there` is asked of a backend that is
    /// not counted yet: one that is gone by then is counted for nobody.
    pub(crate) fn pair(
        &self,
        backend: &str,
        model: &str,
        is_there: impl FnOnce() -> bool,
    ) -> LocalArc<Pair> {
        if let Some(pair) = self.pairs.load().get(backend).and_then(|models| models.get(model)) {
            return pair.get();
        }
        let pair = Arc::new(SharedByAll::new(Pair {
            backend: HeaderValue::from_str(backend).unwrap_or(HeaderValue::from_static("?")),
            model: model.into(),
            tally: Tally::default(),
        }));
        self.pairs.rcu(|pairs| {
            let mut pairs = Pairs::clone(pairs);
            let models = pairs.entry(backend.into()).or_default();
            // Another thread may have come first; its numbers count.
            models.entry(model.into()).or_insert_with(|| Arc::clone(&pair));
            pairs
        });
        // Only now: whoever removes a backend forgets it afterwards, and so meets this series, or
        // had removed it before this look.
        if !is_there() {
            self.forget(backend);
        }
        let pairs = self.pairs.load();
        pairs.get(backend).and_then(|models| models.get(model)).unwrap_or(&pair).get()
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

    /// Counts a request that was answered without any backend.
    pub(crate) fn answered_here(&self, took: Duration) {
        self.nobody().tally.ended("ok", took);
    }

    /// Counts a request that no backend was asked for.
    pub(crate) fn refused(&self, code: &str, took: Duration) {
        self.errors.with_label_values(&["", "", code]).inc();
        self.nobody().tally.ended("refused", took);
    }

    fn nobody(&self) -> LocalArc<Pair> {
        self.pair("", "", || true)
    }

    /// Forgets every series of a backend that is gone.
    pub(crate) fn forget(&self, backend: &str) {
        self.pairs.rcu(|pairs| {
            let mut pairs = Pairs::clone(pairs);
            pairs.remove(backend);
            pairs
        });
        for collector in [&self.errors, &self.retries, &self.ejections] {
            for labels in label_sets(collector, backend) {
                let values: Vec<&str> = labels.iter().map(String::as_str).collect();
                // Somebody else may have removed it meanwhile.
                let _ = collector.remove_label_values(&values);
            }
        }
    }
}

fn family(name: &str, help: &str, kind: MetricType) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family
}

fn series(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    let mut metric = Metric::default();
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

/// Returns the label values of every series of a backend, in the order in which they were declared.
fn label_sets(collector: &dyn Collector, backend: &str) -> Vec<Vec<String>> {
    let order =
        collector.desc().first().map(|desc| desc.variable_labels.clone()).unwrap_or_default();
    let families = collector.collect();
    let series = families.iter().flat_map(MetricFamily::get_metric);
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
            meters.pair(backend, "m", || true).tally.ended("ok", Duration::from_secs(1));
            meters.failed(backend, "m", "connect");
            meters.retried(backend, "m", "connect");
            meters.ejected(backend);
        }
        let series = |backend: &str| -> usize {
            let is_its =
                |metric: &&Metric| metric.get_label().iter().any(|label| label.value() == backend);
            let families = meters.families();
            families.iter().map(|family| family.get_metric().iter().filter(is_its).count()).sum()
        };
        assert_eq!((series("a"), series("b")), (11, 11));
        meters.forget("a");
        assert_eq!((series("a"), series("b")), (0, 11));
        // A request that picked it just before it was removed.
        meters.pair("a", "m", || false).tally.ended("ok", Duration::ZERO);
        assert_eq!((series("a"), series("b")), (0, 11));
        meters.pair("a", "m", || true).tally.ended("ok", Duration::ZERO);
        assert_eq!(series("a"), 8);
    }
}
