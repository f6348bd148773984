//! The HTTP client of everything that is not on the data plane.

mod client;
mod download;
mod error;
mod pace;
mod redirect;
mod refusal;
mod retry;

pub use download::{Downloaded, OnBytes};
pub use error::FetchError;

use bytes::{Bytes, BytesMut};
use callsheet_types::Secret;
use client::Clients;
use error::{Failure, Place};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Response, Url};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 5;

/// A client that may be shared: it retries, keeps to a deadline and a size, and never takes a
/// credential to another host. Cloning shares its connections.
///
/// `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` are honoured. Making one is cheap:
/// the environment and the root certificates are read with the first request that needs them.
#[derive(Clone, Debug)]
pub struct Http {
    clients: Arc<Clients>,
    settings: HttpSettings,
}

/// How a client behaves.
#[derive(Clone, Copy, Debug)]
pub struct HttpSettings {
    /// Opens no connection: every request fails with [`FetchError::Offline`].
    pub is_offline: bool,
    /// How often a request is tried, the first time included.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with each further one.
    pub first_pause: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { is_offline: false, attempts: 4, first_pause: Duration::from_millis(400) }
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// An `http` or `https` address.
    pub url: String,
    /// Further headers. Those marked as sensitive stay with the host of the address.
    pub headers: HeaderMap,
    /// What an earlier answer had as its entity tag (or, lacking one, its date): asks only for what
    /// is newer.
    pub etag: Option<String>,
    /// How long all of it may take: every attempt, every pause, the body. For
    /// [`Http::download`], how long nothing may come; and fewer than 1 KiB in a second, on average
    /// over that time or over a minute where that is longer, are as good as nothing.
    pub deadline: Duration,
    /// How long the body may be, decompressed.
    pub max_bytes: usize,
    /// Takes a web page for no answer: it comes from a login page in between, or from a proxy.
    pub refuses_pages: bool,
    /// The variable that a token for this host is read from, for hosts that say in
    /// `x-ratelimit-remaining` that they have answered too often.
    pub token_variable: Option<&'static str>,
}

impl Request {
    /// Asks for this address, within 30 seconds and 64 MiB.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: HeaderMap::new(),
            etag: None,
            deadline: Duration::from_secs(30),
            max_bytes: 64 << 20,
            refuses_pages: false,
            token_variable: None,
        }
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// The content.
    Fresh {
        /// The body, decompressed.
        body: Bytes,
        /// Its entity tag, or its date where it has no tag; see [`Request::etag`].
        etag: Option<String>,
        /// The headers.
        headers: HeaderMap,
    },
    /// Nothing has changed since.
    NotModified,
}

/// Returns an `Authorization` header's value that is never printed and never leaves its host.
///
/// A [`Secret`] holds only what a header can carry, so that this cannot fail.
pub fn bearer(secret: &Secret) -> HeaderValue {
    sensitive(&format!("Bearer {}", secret.expose()))
}

/// Returns a header's value that is the secret itself, never printed and never leaving its host.
pub fn secret_value(secret: &Secret) -> HeaderValue {
    sensitive(secret.expose())
}

fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl Default for Http {
    fn default() -> Self {
        Self::new(HttpSettings::default())
    }
}

impl Http {
    /// Makes a client; nothing is read or opened yet.
    pub fn new(settings: HttpSettings) -> Self {
        Self { clients: Arc::default(), settings }
    }

    /// Returns whether it may open connections at all.
    pub fn is_offline(&self) -> bool {
        self.settings.is_offline
    }

    /// Gets what is at an address. Cancel-safe: dropping it ends the exchange.
    pub async fn get(&self, request: &Request) -> Result<Fetched, FetchError> {
        self.retry(Method::GET, request, None).await
    }

    /// Posts JSON, and posts it again where the first attempt fails: for questions, not for deeds.
    pub async fn post_json(
        &self,
        request: &Request,
        body: impl Into<Bytes>,
    ) -> Result<Fetched, FetchError> {
        self.retry(Method::POST, request, Some(body.into())).await
    }

    async fn retry(
        &self,
        method: Method,
        request: &Request,
        body: Option<Bytes>,
    ) -> Result<Fetched, FetchError> {
        let url = error::checked(&request.url)?;
        let place = Place::of(&url);
        if self.settings.is_offline {
            return Err(FetchError::Offline { url: place });
        }
        let started = Instant::now();
        let end = started + request.deadline;
        let mut last: Option<FetchError> = None;
        for attempt in 1.. {
            let once = self.once(&method, &url, request, body.clone());
            let Ok(outcome) = tokio::time::timeout_at(end, once).await else {
                let last = last.map(Box::new);
                return Err(FetchError::Deadline { url: place, deadline: request.deadline, last });
            };
            let failure = match outcome {
                Ok(fetched) => return Ok(fetched),
                Err(failure) => failure,
            };
            let left = end.saturating_duration_since(Instant::now());
            let pause = retry::pause(&failure, attempt, left, &self.settings, fastrand::f64());
            let error = failure.error;
            let Some(pause) = pause else { return Err(error) };
            tracing::debug!(url = %place, attempt, ?pause, %error, "trying again");
            last = Some(error);
            tokio::time::sleep(pause).await;
        }
        Err(FetchError::Deadline { url: place, deadline: request.deadline, last: None })
    }

    /// One attempt, with its redirects.
    async fn once(
        &self,
        method: &Method,
        first: &Url,
        request: &Request,
        body: Option<Bytes>,
    ) -> Result<Fetched, Failure> {
        let mut headers = request.headers.clone();
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(etag) = &request.etag {
            let name =
                if is_date(etag) { header::IF_MODIFIED_SINCE } else { header::IF_NONE_MATCH };
            if let Ok(value) = HeaderValue::from_str(etag) {
                headers.insert(name, value);
            }
        }
        let (response, url) = self.send(method, first, headers, body).await?;
        receive(response, &url, request).await
    }

    /// Sends a request, and again to where it is redirected. Returns the answer with its address.
    async fn send(
        &self,
        method: &Method,
        first: &Url,
        mut headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<(Response, Url), Failure> {
        let mut url = first.clone();
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json, */*"));
        for _ in 0..=MAX_REDIRECTS {
            let client = self.clients.for_url(&url).await?;
            let mut builder = client.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(body) = &body {
                builder = builder.body(body.clone());
            }
            let response =
                builder.send().await.map_err(|cause| Failure::of_transport(&url, cause))?;
            let Some(next) = redirect::target(&response, &url, body.is_some())? else {
                return Ok((response, url));
            };
            if next.origin() != url.origin() {
                headers = redirect::without_secrets(&headers);
            }
            url = next;
        }
        Err(Failure::last(FetchError::Redirect {
            url: Place::of(first),
            reason: format!("more than {MAX_REDIRECTS} redirects"),
        }))
    }
}

async fn receive(response: Response, url: &Url, request: &Request) -> Result<Fetched, Failure> {
    let status = response.status();
    if status == StatusCode::NOT_MODIFIED && request.etag.is_some() {
        return Ok(Fetched::NotModified);
    }
    if let Some(failure) = refusal::of_page(&response, url, request) {
        return Err(failure);
    }
    if !status.is_success() {
        return Err(refusal::of_status(response, url, request).await);
    }
    let headers = response.headers().clone();
    let (body, end) = read(response, url, request.max_bytes).await;
    end?;
    Ok(Fetched::Fresh { body, etag: etag(&headers), headers })
}

/// Returns the entity tag, or the date where there is no tag.
fn etag(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name)?.to_str().ok().map(str::to_owned);
    text(header::ETAG).or_else(|| text(header::LAST_MODIFIED))
}

/// Reads at most so many bytes, and says how it ended.
async fn read(mut response: Response, url: &Url, max_bytes: usize) -> (Bytes, Result<(), Failure>) {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => return (body.freeze(), Ok(())),
            Ok(Some(chunk)) if body.len() + chunk.len() > max_bytes => {
                body.extend_from_slice(&chunk[..max_bytes - body.len()]);
                let error = FetchError::TooLong { url: Place::of(url), max_bytes };
                return (body.freeze(), Err(Failure::last(error)));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(cause) => return (body.freeze(), Err(Failure::of_transport(url, cause))),
        }
    }
}

fn is_date(etag: &str) -> bool {
    !etag.contains('"') && jiff::fmt::rfc2822::parse(etag).is_ok()
}
