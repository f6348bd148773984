//! How requests to a bucket go over the network: by one client that follows no redirect, gives up
//! a server that neither says nor takes anything, and remembers what was answered last.

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use object_store::{
    ClientConfigKey, ClientOptions,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
        HttpResponse, HttpResponseBody, HttpService,
    },
};
use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// For how long a server may take to let one in, TLS included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The most of an error's text that is read.
const LONGEST_ERROR: usize = 64 << 10;

/// What is sent between two looks at whether the server still takes it.
const PIECE: usize = 64 << 10;

/// What the last request of a task was answered.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    /// Whether the bucket was asked, and not who says as whom one comes.
    pub(super) is_bucket: bool,
    /// Status and code, where it was an error.
    pub(super) refusal: Option<Refusal>,
}

/// An answer that is an error. Its text is not kept: some servers repeat there what was signed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("it answers {status}{}", code.as_ref().map(|code| format!(" {code}")).unwrap_or_default())]
pub(super) struct Refusal {
    pub(super) status: http::StatusCode,
    pub(super) code: Option<String>,
}

tokio::task_local! {
    /// Where the answers to the requests of a task are remembered.
    pub(super) static HEARD: Arc<Mutex<Heard>>;
}

fn remember(heard: Heard) {
    // Outside of a task that wants to know there is nobody to tell.
    let _ = HEARD.try_with(|slot| *slot.lock().unwrap_or_else(PoisonError::into_inner) = heard);
}

/// A server that says and takes nothing any more.
#[derive(Debug, thiserror::Error)]
#[error("it said nothing for {} seconds", .0.as_secs_f32())]
struct Silent(Duration);

fn silent(silence: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Silent(silence))
}

/// Makes the clients of a bucket, and of who says as whom one comes to it.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    /// What the addresses of the bucket begin with.
    pub(super) bucket: String,
    pub(super) silence: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let may_be_plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        let client = client(may_be_plain.as_deref() != Some("true"))
            .map_err(|source| object_store::Error::Generic { store: "S3", source })?;
        Ok(HttpClient::new(Service { client, connector: self.clone() }))
    }
}

fn client(https_only: bool) -> Result<reqwest::Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(https_only)
        // What is signed for one host is not for another.
        .redirect(reqwest::redirect::Policy::none())
        // Lengths and digests are of the bytes as they are kept.
        .no_gzip()
        .connect_timeout(CONNECT_PATIENCE)
        .user_agent(concat!("callsheet/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

#[derive(Debug)]
struct Service {
    client: reqwest::Client,
    connector: Connector,
}

impl HttpService for Service {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.ask(request))
    }
}

impl Service {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let silence = self.connector.silence;
        let (head, body) = request.into_parts();
        let url = head.uri.to_string();
        let is_bucket = url.starts_with(&self.connector.bucket);
        remember(Heard { is_bucket, refusal: None });
        let url = url.parse().map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        let progress = Arc::new(Mutex::new(Instant::now()));
        *request.body_mut() = Some(body_with_progress(body, progress.clone()));
        let mut asking = pin!(self.client.execute(request));
        let answer = loop {
            let last = *progress.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= silence {
                return Err(silent(silence));
            }
            tokio::select! {
                answer = &mut asking => break answer.map_err(failed)?,
                () = sleep_until(last + silence) => {}
            }
        };
        let status = answer.status();
        let (head, body) = http::Response::<reqwest::Body>::from(answer).into_parts();
        let body = Answer { body, silence, deadline: Box::pin(sleep(silence)) };
        if status.is_success() || status == http::StatusCode::NOT_MODIFIED {
            return Ok(HttpResponse::from_parts(head, HttpResponseBody::new(body)));
        }
        let text = beginning(body).await?;
        remember(Heard { is_bucket, refusal: Some(Refusal { status, code: code(&text) }) });
        Ok(HttpResponse::from_parts(head, Bytes::from(text).into()))
    }
}

/// Returns a body that says when something of it was taken.
fn body_with_progress(body: HttpRequestBody, progress: Arc<Mutex<Instant>>) -> reqwest::Body {
    if let Some(bytes) = body.as_bytes() {
        return bytes.clone().into();
    }
    let pieces = stream::unfold(
        (Box::pin(body), Bytes::new(), progress),
        |(mut body, mut rest, progress)| async move {
            *progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            while rest.is_empty() {
                match poll_fn(|context| body.as_mut().poll_frame(context)).await? {
                    Ok(frame) => rest = frame.into_data().unwrap_or_default(),
                    Err(error) => return Some((Err(error), (body, rest, progress))),
                }
            }
            let piece = rest.split_to(rest.len().min(PIECE));
            Some((Ok(piece), (body, rest, progress)))
        },
    );
    reqwest::Body::wrap_stream(pieces)
}

/// Reads an error's text, as far as it is any use.
async fn beginning(mut body: Answer) -> Result<Vec<u8>, HttpError> {
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
        if text.len() > LONGEST_ERROR {
            text.truncate(LONGEST_ERROR);
            break;
        }
    }
    Ok(text)
}

/// Returns the word by which S3 says what is wrong.
fn code(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_word = (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
    is_word.then(|| code.to_owned())
}

/// Keeps what was wrong, and says whether it may be tried again.
fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_builder() || error.is_decode() {
        HttpErrorKind::Unknown
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}

/// The body of an answer, which may not be silent for long either.
struct Answer {
    body: reqwest::Body,
    silence: Duration,
    deadline: Pin<Box<Sleep>>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.deadline.as_mut().reset(Instant::now() + this.silence);
            return Poll::Ready(frame.map(|frame| frame.map_err(failed)));
        }
        ready!(this.deadline.as_mut().poll(context));
        Poll::Ready(Some(Err(silent(this.silence))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_a_word() {
        for (text, expected) in [
            ("<Error><Code>NoSuchKey</Code><Message>x</Message></Error>", Some("NoSuchKey")),
            ("<Code></Code>", None),
            ("<Code>a token</Code>", None),
            ("<Code>NoSuchKey", None),
            ("<html>", None),
            ("", None),
        ] {
            assert_eq!(code(text.as_bytes()).as_deref(), expected, "{text}");
        }
    }
}
