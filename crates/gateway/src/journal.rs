//! The access log: one line for each request, gathered in memory and written in batches, so that no
//! request waits for a disk or a terminal.

use callsheet_types::Sharded;
use std::{
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Words for people.
    Text,
}

/// Lines that wait to be written. When the writer falls behind, lines are dropped and counted.
#[derive(Debug)]
pub struct Journal {
    format: Option<LogFormat>,
    /// For each thread its own, so that they do not fetch each other's lines.
    waiting: Sharded<Mutex<Waiting>>,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    second: Second,
}

const MOST_WAITING: usize = 4 << 20;

/// One finished request.
pub(crate) struct Line<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) principal: &'static str,
    /// A token, in which nothing needs an escape; nor does anything in a backend's name.
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// The model's name as the client wrote it.
    pub(crate) model: &'a str,
    /// The id that the backend was sent; written where it is another.
    pub(crate) served_model: Option<&'a str>,
    pub(crate) backend: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: &'static str,
    pub(crate) stream: bool,
    pub(crate) attempts: usize,
    pub(crate) first_byte: Option<Duration>,
    pub(crate) total: Duration,
    pub(crate) sent_bytes: u64,
}

impl Journal {
    /// A journal in this format; `None` keeps no lines.
    pub fn new(format: Option<LogFormat>) -> Self {
        Self { format, waiting: Sharded::default(), dropped: AtomicU64::new(0) }
    }

    /// Takes the lines that have gathered; those of one thread are in order, and all are dated.
    pub fn take(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for waiting in self.waiting.iter() {
            let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            // As large again at once: growing would copy the lines of a busy moment several times.
            let next = Vec::with_capacity(waiting.lines.len());
            let lines = std::mem::replace(&mut waiting.lines, next);
            if all.is_empty() {
                all = lines;
            } else {
                all.extend_from_slice(&lines);
            }
        }
        all
    }

    /// Returns how many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        let Some(format) = self.format else { return };
        let now = SystemTime::now();
        let mut waiting = self.waiting.local().lock().unwrap_or_else(PoisonError::into_inner);
        let Waiting { lines, second } = &mut *waiting;
        if lines.len() > MOST_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let now = second.clock(now);
        match format {
            LogFormat::Json => line.json(&now, lines),
            LogFormat::Text => line.text(&now, lines),
        }
    }
}

impl Line<'_> {
    fn other_model(&self) -> Option<&str> {
        self.served_model.filter(|served| *served != self.model)
    }

    fn json(&self, now: &Clock, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"timestamp":""#);
        out.extend_from_slice(&now.0);
        out.extend_from_slice(br#"","level":"INFO","message":"request","request_id":"#);
        json_string(out, self.request_id);
        out.extend_from_slice(br#","principal":""#);
        out.extend_from_slice(self.principal.as_bytes());
        out.extend_from_slice(br#"","method":""#);
        out.extend_from_slice(self.method.as_bytes());
        out.extend_from_slice(br#"","path":"#);
        json_string(out, self.path);
        out.extend_from_slice(br#","model":"#);
        json_string(out, self.model);
        if let Some(served_model) = self.other_model() {
            out.extend_from_slice(br#","served_model":"#);
            json_string(out, served_model);
        }
        out.extend_from_slice(br#","backend":""#);
        out.extend_from_slice(self.backend.as_bytes());
        out.extend_from_slice(br#"","status":"#);
        number(out, u64::from(self.status), 1);
        out.extend_from_slice(br#","outcome":""#);
        out.extend_from_slice(self.outcome.as_bytes());
        out.extend_from_slice(if self.stream {
            br#"","stream":true"#
        } else {
            br#"","stream":false"#
        });
        out.extend_from_slice(br#","attempts":"#);
        number(out, self.attempts as u64, 1);
        out.extend_from_slice(br#","first_byte_ms":"#);
        match self.first_byte {
            Some(first_byte) => milliseconds(out, first_byte),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(br#","total_ms":"#);
        milliseconds(out, self.total);
        out.extend_from_slice(br#","sent_bytes":"#);
        number(out, self.sent_bytes, 1);
        out.extend_from_slice(b"}\n");
    }

    fn text(&self, now: &Clock, out: &mut Vec<u8>) {
        out.extend_from_slice(&now.0);
        let backend = if self.backend.is_empty() { "-" } else { self.backend };
        // Writing to a Vec cannot fail.
        let _ =
            write!(out, " {} {} {:?} model={:?}", self.status, self.method, self.path, self.model);
        if let Some(served_model) = self.other_model() {
            let _ = write!(out, " served_model={served_model:?}");
        }
        let _ =
            write!(out, " backend={backend} outcome={} attempts={}", self.outcome, self.attempts);
        if let Some(first_byte) = self.first_byte {
            out.extend_from_slice(b" first_byte=");
            milliseconds(out, first_byte);
            out.extend_from_slice(b"ms");
        }
        out.extend_from_slice(b" total=");
        milliseconds(out, self.total);
        let _ = writeln!(out, "ms id={}", self.request_id);
    }
}

/// A moment as text, `2026-11-20T10:57:45.592096Z`. All but the fraction is kept for its second.
struct Clock([u8; 27]);

#[derive(Debug, Default)]
struct Second {
    number: Option<i64>,
    text: [u8; 19],
}

impl Second {
    fn clock(&mut self, now: SystemTime) -> Clock {
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let number = since_epoch.as_secs().cast_signed();
        if self.number != Some(number) {
            let text = jiff::Timestamp::from_second(number).unwrap_or_default().to_string();
            // Within the years that have four digits, which a clock shows.
            if let Some(text) = text.as_bytes().first_chunk() {
                *self = Self { number: Some(number), text: *text };
            }
        }
        let mut clock = *b"0000-00-00T00:00:00.000000Z";
        clock[..19].copy_from_slice(&self.text);
        let mut micros = since_epoch.subsec_micros();
        for digit in clock[20..26].iter_mut().rev() {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
        Clock(clock)
    }
}

/// Writes a JSON string; names and ids rarely need an escape.
fn json_string(out: &mut Vec<u8>, text: &str) {
    // One sum instead of an early exit lets the compiler look at many bytes at once.
    let odd = text.bytes().fold(0, |odd, byte| {
        odd | u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\')
    });
    if odd == 0 {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing to a Vec cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Writes a number with at least so many digits: every request passes here, and `write!` takes
/// several times as long.
fn number(out: &mut Vec<u8>, mut number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    while number > 0 || digits.len() - first < least {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[first..]);
}

/// Writes a duration in milliseconds with three decimals.
fn milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let micros = duration.as_micros() as u64;
    number(out, micros / 1000, 1);
    out.push(b'.');
    number(out, micros % 1000, 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(model: &str) -> Line<'_> {
        Line {
            request_id: "r-1",
            principal: "anonymous",
            method: "POST",
            path: "/v1/chat/completions",
            model,
            served_model: None,
            backend: "",
            status: 404,
            outcome: "model_not_found",
            stream: false,
            attempts: 0,
            first_byte: None,
            total: Duration::from_micros(1500),
            sent_bytes: 10,
        }
    }

    #[test]
    fn a_line_is_json_whatever_the_client_called_its_model() {
        let journal = Journal::new(Some(LogFormat::Json));
        for model in ["plain", "quo\"te\\", "new\nline", "{}"] {
            journal.write(&line(model));
            let written = journal.take();
            assert_eq!(written.split_inclusive(|byte| *byte == b'\n').count(), 1);
            let value: serde_json::Value = serde_json::from_slice(&written).unwrap();
            assert_eq!(
                (value["model"].as_str(), value["total_ms"].as_f64()),
                (Some(model), Some(1.5))
            );
            assert_eq!(value["first_byte_ms"], serde_json::Value::Null);
        }
    }

    #[test]
    fn a_line_says_which_model_served_where_that_is_another() {
        for (format, expected) in [
            (LogFormat::Json, r#""model":"fast","served_model":"qwen","backend":"#),
            (LogFormat::Text, r#" model="fast" served_model="qwen" backend="#),
        ] {
            let journal = Journal::new(Some(format));
            let written = |served_model| {
                journal.write(&Line { served_model, ..line("fast") });
                String::from_utf8(journal.take()).unwrap()
            };
            assert!(written(Some("qwen")).contains(expected));
            for same in [Some("fast"), None] {
                assert!(!written(same).contains("served_model"));
            }
        }
    }

    #[test]
    fn a_moment_is_written_as_the_rest_of_the_log_writes_it() {
        let mut second = Second::default();
        for (nanos, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_172_265_592_096_999, "2026-11-20T10:57:45.592096Z"),
            (1_795_172_265_000_001_000, "2026-11-20T10:57:45.000001Z"),
            (951_782_400_999_999_000, "2000-02-29T00:00:00.999999Z"),
        ] {
            let clock = second.clock(UNIX_EPOCH + Duration::from_nanos(nanos));
            assert_eq!(std::str::from_utf8(&clock.0).unwrap(), expected);
        }
    }

    #[test]
    fn numbers_have_all_their_digits() {
        let written = |value: u64, least| {
            let mut out = Vec::new();
            number(&mut out, value, least);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(0, 1), "0");
        assert_eq!(written(7, 3), "007");
        assert_eq!(written(1200, 3), "1200");
        assert_eq!(written(u64::MAX, 1), u64::MAX.to_string());
        let mut out = Vec::new();
        milliseconds(&mut out, Duration::from_nanos(12_034_999));
        assert_eq!(out, b"12.034");
    }

    #[test]
    fn lines_that_nobody_writes_are_dropped_and_counted() {
        let journal = Journal::new(Some(LogFormat::Text));
        let long = "x".repeat(1 << 20);
        for _ in 0..10 {
            journal.write(&line(&long));
        }
        assert!(journal.dropped() > 0 && journal.take().len() < 6 << 20);
    }
}
