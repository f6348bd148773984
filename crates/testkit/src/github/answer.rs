//! What is answered, before anything goes wrong and before it is written.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::archive::ArchiveKind;
use super::repository::Commit;

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Body,
    /// Without quotes; such an answer heeds conditions.
    pub(super) etag: Option<String>,
    /// Whether the tag does not vouch for every byte.
    pub(super) is_weak: bool,
    /// Whether a part can be had.
    pub(super) has_ranges: bool,
    /// Whether the length is left unsaid.
    pub(super) is_chunked: bool,
}

/// The body of an [`Answer`].
pub(super) enum Body {
    Bytes(Bytes),
    /// To be packed, with this folder at its top.
    Archive(Arc<Commit>, ArchiveKind, String),
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), content_type.to_owned())],
            body: Body::Bytes(body.into()),
            etag: None,
            is_weak: false,
            has_ranges: false,
            is_chunked: false,
        }
    }

    pub(super) fn text(status: u16, text: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text.to_owned())
    }

    pub(super) fn html(status: u16, title: &str) -> Self {
        let page = format!(
            "<!DOCTYPE html>\n<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
        );
        Self::new(status, "text/html; charset=utf-8", page)
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json; charset=utf-8", value.to_string())
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self::new(302, "text/html; charset=utf-8", "").with("Location", to)
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Packs a file as it is sent to whoever understands that. This is another representation with
    /// a tag of its own, and parts are parts of what is packed.
    pub(super) fn compressed(mut self) -> Self {
        if let Body::Bytes(content) = &self.body {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            let packed = encoder.write_all(content).and_then(|()| encoder.finish());
            self.body = Body::Bytes(packed.expect("memory can be written").into());
            self.etag = self.etag.map(|etag| format!("{etag}-gzip"));
        }
        self.is_weak = true;
        self.with("Content-Encoding", "gzip").with("Vary", "Accept-Encoding")
    }

    /// Returns the value of the `ETag` header.
    pub(super) fn quoted_etag(&self) -> Option<String> {
        let etag = self.etag.as_ref()?;
        Some(if self.is_weak { format!("W/\"{etag}\"") } else { format!("\"{etag}\"") })
    }

    pub(super) fn tagged(mut self, etag: &str) -> Self {
        self.etag = Some(etag.to_owned());
        self
    }
}
