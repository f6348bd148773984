//! What was measured, and the tables of it.

use crate::processor;
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) took: Duration,
    /// Of that, on a processor.
    pub(crate) processor: Option<Duration>,
}

impl Sample {
    /// Measures something that this thread does.
    pub(crate) fn of<T>(run: impl FnOnce() -> T) -> (Self, T) {
        let before = processor::of_thread();
        let started = Instant::now();
        let done = run();
        let took = started.elapsed();
        let processor = Some(processor::of_thread().saturating_sub(before));
        (Self { took, processor }, done)
    }
}

/// All measurements of one thing.
#[derive(Clone, Debug)]
struct Series {
    case: &'static str,
    what: String,
    limit: Option<Duration>,
    samples: Vec<Sample>,
}

impl Series {
    /// Returns the least, the median and the most.
    fn spread(&self) -> [Duration; 3] {
        let mut took: Vec<_> = self.samples.iter().map(|sample| sample.took).collect();
        took.sort_unstable();
        let middle = took.len() / 2;
        let median = match took.len() {
            0 => Duration::ZERO,
            count if count % 2 == 1 => took[middle],
            _ => (took[middle - 1] + took[middle]) / 2,
        };
        let end = |took: Option<&Duration>| took.copied().unwrap_or_default();
        [end(took.first()), median, end(took.last())]
    }

    fn processor(&self) -> Option<Duration> {
        let known: Option<Duration> = self.samples.iter().map(|sample| sample.processor).sum();
        Some(known? / u32::try_from(self.samples.len()).ok()?)
    }
}

/// All that was measured, in the order in which it came first.
#[derive(Debug, Default)]
pub(crate) struct Book {
    all: Vec<Series>,
}

impl Book {
    /// Enters a measurement of something without a limit.
    pub(crate) fn add(&mut self, case: &'static str, what: &str, sample: Sample) {
        self.enter(case, what, None, sample);
    }

    /// Enters a measurement of something that may take so long.
    pub(crate) fn add_limited(
        &mut self,
        case: &'static str,
        what: &str,
        limit: Duration,
        sample: Sample,
    ) {
        self.enter(case, what, Some(limit), sample);
    }

    fn enter(&mut self, case: &'static str, what: &str, limit: Option<Duration>, sample: Sample) {
        let known = self.all.iter_mut().find(|known| known.case == case && known.what == what);
        if let Some(known) = known {
            known.samples.push(sample);
        } else {
            let what = what.to_owned();
            self.all.push(Series { case, what, limit, samples: vec![sample] });
        }
    }

    /// Returns the median, if it was measured.
    pub(crate) fn median(&self, case: &str, what: &str) -> Option<Duration> {
        let found = self.all.iter().find(|known| known.case == case && known.what == what)?;
        Some(found.spread()[1])
    }

    /// Returns how many times as long as the other the one takes, as a text.
    pub(crate) fn ratio(&self, case: &str, one: &str, other: &str) -> String {
        let times = |what| self.median(case, what).map(|median| median.as_secs_f64());
        match (times(one), times(other)) {
            (Some(one), Some(other)) if other > 0.0 => format!("{:.2}×", one / other),
            _ => "–".to_owned(),
        }
    }

    /// Returns the table of what has a limit.
    pub(crate) fn verdicts(&self) -> String {
        let mut text =
            String::from("| case | measured | limit | ratio | verdict |\n|---|--:|--:|--:|---|");
        for series in &self.all {
            let Some(limit) = series.limit else { continue };
            let [least, median, most] = series.spread();
            let verdict = if median <= limit { "within" } else { "**missed**" };
            let ratio = median.as_secs_f64() / limit.as_secs_f64();
            let _ = write!(
                text,
                "\n| {}: {} | {} ({}–{}) | {} | {ratio:.2} | {verdict} |",
                series.case,
                series.what,
                shown(median),
                shown(least),
                shown(most),
                shown(limit),
            );
        }
        text
    }

    /// Returns the table of all that was measured in a case.
    pub(crate) fn times(&self, case: &str) -> String {
        let mut text = String::from(
            "| what | median | least | most | on a processor, mean | runs |\n\
             |---|--:|--:|--:|--:|--:|",
        );
        for series in self.all.iter().filter(|series| series.case == case) {
            let [least, median, most] = series.spread();
            let _ = write!(
                text,
                "\n| {} | {} | {} | {} | {} | {} |",
                series.what,
                shown(median),
                shown(least),
                shown(most),
                series.processor().map_or("–".to_owned(), shown),
                series.samples.len(),
            );
        }
        text.push('\n');
        text
    }
}

/// Returns a time with three digits or so.
pub(crate) fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let digits = |number: f64| match number {
        number if number >= 100.0 => 0,
        number if number >= 10.0 => 1,
        _ => 2,
    };
    let (number, unit) = match seconds {
        seconds if seconds >= 1.0 => (seconds, "s"),
        seconds if seconds >= 0.001 => (seconds * 1e3, "ms"),
        seconds => (seconds * 1e6, "µs"),
    };
    format!("{number:.*} {unit}", digits(number))
}
