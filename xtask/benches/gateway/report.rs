//! Medians, ratios and tables.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::Sample;

/// The figures of one measurement; what a system cannot have is `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figures([Option<f64>; Figure::ALL.len()]);

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Figure {
    RequestsPerSecond,
    First50,
    First99,
    Total50,
    Total99,
    Total999,
    Processor,
    Peak,
}

impl Figure {
    pub(crate) const ALL: [Self; 8] = [
        Self::RequestsPerSecond,
        Self::First50,
        Self::First99,
        Self::Total50,
        Self::Total99,
        Self::Total999,
        Self::Processor,
        Self::Peak,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::RequestsPerSecond => "requests/s",
            Self::First50 => "first p50 ms",
            Self::First99 => "first p99 ms",
            Self::Total50 => "p50 ms",
            Self::Total99 => "p99 ms",
            Self::Total999 => "p99.9 ms",
            Self::Processor => "CPU s per 10,000",
            Self::Peak => "peak MB",
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::RequestsPerSecond => 0,
            Self::Peak => 1,
            _ => 3,
        }
    }
}

impl Figures {
    /// Sums up one measurement.
    pub(crate) fn new(
        mut samples: Vec<Sample>,
        took: Duration,
        processor_time: Option<Duration>,
        peak_bytes: Option<u64>,
    ) -> Self {
        let count = samples.len() as f64;
        samples.sort_unstable_by_key(|sample| sample.first);
        let first = |part| Some(milliseconds(at(&samples, part)?.first));
        let (first50, first99) = (first(0.5), first(0.99));
        samples.sort_unstable_by_key(|sample| sample.total);
        let total = |part| Some(milliseconds(at(&samples, part)?.total));
        Self([
            Some(count / took.as_secs_f64()),
            first50,
            first99,
            total(0.5),
            total(0.99),
            total(0.999),
            processor_time.map(|time| time.as_secs_f64() * 10_000.0 / count),
            peak_bytes.map(|bytes| bytes as f64 / 1e6),
        ])
    }

    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        self.0[figure as usize]
    }
}

fn at(sorted: &[Sample], part: f64) -> Option<Sample> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * part).round() as usize).copied()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Returns the median of what is there.
pub(crate) fn median(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// Returns the median over rounds of `combine(a, b)`, both of the same round.
pub(crate) fn paired(
    a: &[Figures],
    b: &[Figures],
    figure: Figure,
    combine: impl Fn(f64, f64) -> f64,
) -> Option<f64> {
    median(a.iter().zip(b).map(|(a, b)| Some(combine(a.get(figure)?, b.get(figure)?))))
}

/// One line of a table: a system at a number of connections, its rounds, and nginx's.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) connections: usize,
    pub(crate) system: &'a str,
    pub(crate) rounds: &'a [Figures],
    pub(crate) nginx: Option<&'a [Figures]>,
}

/// Returns a Markdown table; in parentheses the ratio to nginx.
pub(crate) fn table(lines: &[Line<'_>]) -> String {
    let mut text = String::from("| connections | system |");
    for figure in Figure::ALL {
        let _ = write!(text, " {} |", figure.title());
    }
    text.push_str("\n|--:|---|");
    text.push_str(&"--:|".repeat(Figure::ALL.len()));
    for line in lines {
        let _ = write!(text, "\n| {} | {} |", line.connections, line.system);
        for figure in Figure::ALL {
            let _ = write!(text, " {} |", cell(line, figure));
        }
    }
    text
}

fn cell(line: &Line<'_>, figure: Figure) -> String {
    let Some(value) = median(line.rounds.iter().map(|round| round.get(figure))) else {
        return "–".to_owned();
    };
    let mut text = format!("{value:.*}", figure.digits());
    let ratio = line.nginx.and_then(|nginx| paired(line.rounds, nginx, figure, |a, b| a / b));
    if let Some(ratio) = ratio.filter(|_| line.system != "nginx") {
        let _ = write!(text, " ({ratio:.2}×)");
    }
    text
}
