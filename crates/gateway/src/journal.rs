//! The access log: one line for each request, gathered in memory and written in batches, so that no
//! request waits for a disk or a terminal.

use std::{
    fmt::Write as _,
    io::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
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
    waiting: Mutex<Vec<u8>>,
    dropped: AtomicU64,
}

const MOST_WAITING: usize = 4 << 20;

/// One finished request.
pub(crate) struct Line<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) principal: &'static str,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) model: &'a str,
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
        Self { format, waiting: Mutex::default(), dropped: AtomicU64::new(0) }
    }

    /// Takes the lines that have gathered.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.lock())
    }

    /// Returns how many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        let Some(format) = self.format else { return };
        let now = jiff::Timestamp::now();
        let mut waiting = self.lock();
        if waiting.len() > MOST_WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // Writing to a Vec cannot fail.
        let _ = match format {
            LogFormat::Json => line.json(now, &mut waiting),
            LogFormat::Text => line.text(now, &mut waiting),
        };
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line<'_> {
    fn json(&self, now: jiff::Timestamp, out: &mut Vec<u8>) -> std::io::Result<()> {
        write!(
            out,
            r#"{{"timestamp":"{now:.6}","level":"INFO","message":"request","request_id":"#
        )?;
        json_string(out, self.request_id)?;
        write!(out, r#","principal":"{}","method":"{}","path":"#, self.principal, self.method)?;
        json_string(out, self.path)?;
        out.extend_from_slice(br#","model":"#);
        json_string(out, self.model)?;
        out.extend_from_slice(br#","backend":"#);
        json_string(out, self.backend)?;
        write!(
            out,
            r#","status":{},"outcome":"{}","stream":{},"attempts":{},"first_byte_ms":"#,
            self.status, self.outcome, self.stream, self.attempts
        )?;
        match self.first_byte {
            Some(first_byte) => write!(out, "{:.3}", milliseconds(first_byte))?,
            None => out.extend_from_slice(b"null"),
        }
        writeln!(
            out,
            r#","total_ms":{:.3},"sent_bytes":{}}}"#,
            milliseconds(self.total),
            self.sent_bytes
        )
    }

    fn text(&self, now: jiff::Timestamp, out: &mut Vec<u8>) -> std::io::Result<()> {
        let mut first_byte = String::new();
        if let Some(took) = self.first_byte {
            let _ = write!(first_byte, " first_byte={:.1}ms", milliseconds(took));
        }
        writeln!(
            out,
            "{now:.3} {} {} {:?} model={:?} backend={} outcome={} attempts={}{first_byte} total={:.1}ms id={}",
            self.status,
            self.method,
            self.path,
            self.model,
            if self.backend.is_empty() { "-" } else { self.backend },
            self.outcome,
            self.attempts,
            milliseconds(self.total),
            self.request_id,
        )
    }
}

/// Writes a JSON string; names and ids rarely need an escape.
fn json_string(out: &mut Vec<u8>, text: &str) -> std::io::Result<()> {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return Ok(());
    }
    serde_json::to_writer(out, text).map_err(Into::into)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
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
    fn lines_that_nobody_writes_are_dropped_and_counted() {
        let journal = Journal::new(Some(LogFormat::Text));
        let long = "x".repeat(1 << 20);
        for _ in 0..10 {
            journal.write(&line(&long));
        }
        assert!(journal.dropped() > 0 && journal.take().len() < 6 << 20);
    }
}
