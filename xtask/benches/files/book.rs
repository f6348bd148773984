//! What was measured, what is wanted of it, and the tables of both.

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
    samples: Vec<Sample>,
}

/// What is wanted.
#[derive(Clone, Debug)]
enum Wanted {
    /// That the one takes at most so many times as long as the other.
    AtMost { case: &'static str, one: String, other: String, times: f64 },
    /// That the one is at least so many times as fast as the other.
    Faster { case: &'static str, one: String, other: String, times: f64 },
    /// That it takes no longer.
    Within { case: &'static str, what: String, limit: Duration },
    /// That a process needs less memory than so many megabytes.
    Memory { case: &'static str, what: String, limit: f64 },
}

/// All that was measured, in the order in which it came first.
#[derive(Debug, Default)]
pub(crate) struct Book {
    all: Vec<Series>,
    /// Peaks of memory in megabytes.
    peaks: Vec<(&'static str, String, Vec<f64>)>,
    wanted: Vec<Wanted>,
}

impl Book {
    /// Enters a measurement.
    pub(crate) fn add(&mut self, case: &'static str, what: &str, sample: Sample) {
        if let Some(known) =
            self.all.iter_mut().find(|known| known.case == case && known.what == what)
        {
            known.samples.push(sample);
        } else {
            self.all.push(Series { case, what: what.to_owned(), samples: vec![sample] });
        }
    }

    /// Enters how much memory a process had at most, in megabytes.
    pub(crate) fn add_peak(&mut self, case: &'static str, what: &str, megabytes: f64) {
        if let Some((_, _, known)) =
            self.peaks.iter_mut().find(|known| known.0 == case && known.1 == what)
        {
            known.push(megabytes);
        } else {
            self.peaks.push((case, what.to_owned(), vec![megabytes]));
        }
    }

    pub(crate) fn want_at_most(&mut self, case: &'static str, one: &str, other: &str, times: f64) {
        let (one, other) = (one.to_owned(), other.to_owned());
        self.wanted.push(Wanted::AtMost { case, one, other, times });
    }

    pub(crate) fn want_faster(&mut self, case: &'static str, one: &str, other: &str, times: f64) {
        let (one, other) = (one.to_owned(), other.to_owned());
        self.wanted.push(Wanted::Faster { case, one, other, times });
    }

    pub(crate) fn want_within(&mut self, case: &'static str, what: &str, limit: Duration) {
        self.wanted.push(Wanted::Within { case, what: what.to_owned(), limit });
    }

    pub(crate) fn want_memory(&mut self, case: &'static str, what: &str, limit: f64) {
        self.wanted.push(Wanted::Memory { case, what: what.to_owned(), limit });
    }

    fn samples(&self, case: &str, what: &str) -> &[Sample] {
        let found = self.all.iter().find(|known| known.case == case && known.what == what);
        found.map_or(&[], |series| &series.samples)
    }

    /// Returns how many times as long as the other the one takes: the least, the median and the
    /// most of the ratios of neighbours, which whatever else happens on the machine meets alike.
    fn ratios(&self, case: &str, one: &str, other: &str) -> Option<[f64; 3]> {
        let pairs = self.samples(case, one).iter().zip(self.samples(case, other));
        spread(pairs.map(|(one, other)| one.took.as_secs_f64() / other.took.as_secs_f64()))
    }

    /// Returns the table of what is wanted. What was not measured is left out.
    pub(crate) fn verdicts(&self) -> String {
        let mut text = String::from("| case | measured | wanted | verdict |\n|---|--:|--:|---|");
        let mut row = |case: &str, what: &str, measured: &str, wanted: &str, is_met: bool| {
            let verdict = if is_met { "met" } else { "**missed**" };
            let _ = write!(text, "\n| {case}: {what} | {measured} | {wanted} | {verdict} |");
        };
        let times =
            |[least, median, most]: [f64; 3]| format!("{median:.2}× ({least:.2}–{most:.2})");
        for wanted in &self.wanted {
            match wanted {
                Wanted::AtMost { case, one, other, times: limit } => {
                    if let Some(ratios) = self.ratios(case, one, other) {
                        let what = format!("{one} ÷ {other}");
                        row(
                            case,
                            &what,
                            &times(ratios),
                            &format!("≤ {limit}×"),
                            ratios[1] <= *limit,
                        );
                    }
                }
                Wanted::Faster { case, one, other, times: limit } => {
                    if let Some(ratios) = self.ratios(case, other, one) {
                        let what = format!("{other} ÷ {one}");
                        row(
                            case,
                            &what,
                            &times(ratios),
                            &format!("≥ {limit}×"),
                            ratios[1] >= *limit,
                        );
                    }
                }
                Wanted::Within { case, what, limit } => {
                    let took = self.samples(case, what).iter().map(|s| s.took.as_secs_f64());
                    if let Some([least, median, most]) = spread(took) {
                        let [least, median, most] =
                            [least, median, most].map(Duration::from_secs_f64);
                        let measured =
                            format!("{} ({}–{})", shown(median), shown(least), shown(most));
                        row(
                            case,
                            what,
                            &measured,
                            &format!("< {}", shown(*limit)),
                            median < *limit,
                        );
                    }
                }
                Wanted::Memory { case, what, limit } => {
                    let peaks = self.peaks.iter().find(|peak| peak.0 == *case && peak.1 == *what);
                    if let Some([_, _, most]) =
                        peaks.and_then(|(_, _, peaks)| spread(peaks.iter().copied()))
                    {
                        let what = format!("memory of {what}");
                        row(
                            case,
                            &what,
                            &format!("{most:.1} MB"),
                            &format!("< {limit} MB"),
                            most < *limit,
                        );
                    }
                }
            }
        }
        text
    }

    /// Returns the table of all times that were measured in a case.
    pub(crate) fn times(&self, case: &str) -> String {
        let mut text = String::from(
            "| what | median | least | most | on a processor, mean | runs |\n\
             |---|--:|--:|--:|--:|--:|",
        );
        for series in self.all.iter().filter(|series| series.case == case) {
            let took = series.samples.iter().map(|sample| sample.took.as_secs_f64());
            let Some([least, median, most]) = spread(took) else { continue };
            let [least, median, most] = [least, median, most].map(Duration::from_secs_f64);
            let known: Option<Duration> =
                series.samples.iter().map(|sample| sample.processor).sum();
            let mean = known.map(|known| known / series.samples.len() as u32);
            let _ = write!(
                text,
                "\n| {} | {} | {} | {} | {} | {} |",
                series.what,
                shown(median),
                shown(least),
                shown(most),
                mean.map_or("–".to_owned(), shown),
                series.samples.len(),
            );
        }
        text.push('\n');
        text
    }
}

/// Returns the least, the median and the most.
fn spread(numbers: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let median = match numbers.len() {
        count if count % 2 == 1 => numbers[middle],
        0 => return None,
        _ => f64::midpoint(numbers[middle - 1], numbers[middle]),
    };
    Some([*numbers.first()?, median, *numbers.last()?])
}

/// Returns a time with three digits or so.
fn shown(time: Duration) -> String {
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
