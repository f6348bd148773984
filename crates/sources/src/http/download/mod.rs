//! Large things: into a file, going on where an earlier attempt stopped.

mod partial;
mod range;
mod writer;

use super::{
    FetchError, Http, Request,
    error::{self, Failure, Place},
    etag,
    pace::{Pace, TooFew},
    refusal, retry,
};
use callsheet_types::Digest;
use http::{HeaderMap, HeaderValue, Method, header};
use partial::Partial;
use range::Answer;
use reqwest::{Response, Url};
use std::{fs::File, io, path::Path, time::Duration};
use tokio::time::Instant;
use writer::Writer;

/// Called with how many bytes have come, and how many there will be where that is known.
pub type OnBytes<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// An attempt that brought this many bytes more than any before it was not in vain: the attempts
/// are counted anew.
const PROGRESS_BYTES: u64 = 1 << 20;

/// A finished download. Its file goes away when this is dropped.
#[derive(Debug)]
pub struct Downloaded {
    // Dropped before the file: nobody else is to find it unlocked.
    _place: partial::Kept,
    /// The content, at its beginning.
    pub file: File,
    /// Its digest.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// Its entity tag, or its date where it has no tag.
    pub etag: Option<String>,
}

/// How an attempt ended.
enum End {
    /// All of it came.
    Complete { etag: Option<String> },
    /// It is to be asked for from the beginning, at once.
    Anew,
    /// It did not come.
    Failed(Failure),
}

impl Http {
    /// Gets what is at an address into the file `partial`, which stays where the download breaks
    /// off, so that the next one goes on there; whoever finds it in use by another process takes a
    /// file of its own beside it.
    ///
    /// Beside the file stands a note `{partial}.json` of what it is a part of: only what the server
    /// still knows by a strong entity tag or a date is gone on with. The deadline is how long
    /// nothing may come, or next to nothing, and the longest pause that a server may ask for; all
    /// of it takes as long as it takes. [`Request::etag`] is not looked at.
    ///
    /// Whether locks hold is not relied on: what came is compared with what is in the file at the
    /// end. A killed process may leave a file of its own behind, `{partial}.{process}-{number}`,
    /// which nobody goes on with.
    ///
    /// Cancel-safe: dropping it ends the exchange, and the file stays.
    pub async fn download(
        &self,
        request: &Request,
        partial: &Path,
        on_bytes: OnBytes<'_>,
    ) -> Result<Downloaded, FetchError> {
        let url = error::checked(&request.url)?;
        let place = Place::of(&url);
        if self.settings.is_offline {
            return Err(FetchError::Offline { url: place });
        }
        let path = partial;
        let url_digest = Digest::of(url.as_str().as_bytes());
        let mut partial = on_thread(path, move |path| Partial::open(path, url_digest)).await?;
        let (mut attempt, mut furthest) = (1, partial.position());
        loop {
            let (back, end) = self.attempt(&url, url_digest, request, partial, on_bytes).await?;
            partial = back;
            if partial.position() >= furthest.saturating_add(PROGRESS_BYTES) {
                (attempt, furthest) = (1, partial.position());
            }
            let failure = match end {
                End::Anew => {
                    partial = on_thread(path, |_| {
                        partial.begin(None)?;
                        Ok(partial)
                    })
                    .await?;
                    continue;
                }
                End::Complete { etag } => match on_thread(path, |_| partial.finish()).await? {
                    Ok((file, digest, size_bytes, place)) => {
                        return Ok(Downloaded { file, digest, size_bytes, etag, _place: place });
                    }
                    Err(mut spoiled) => {
                        spoiled.discard();
                        partial = on_thread(path, Partial::apart).await?;
                        let reason = "somebody else wrote to the file too".into();
                        let error = FetchError::Unreachable { url: place.clone(), source: reason };
                        Failure { error, may_retry: true }
                    }
                },
                End::Failed(failure) => failure,
            };
            let chance = fastrand::f64();
            let pause = retry::pause(&failure, attempt, request.deadline, &self.settings, chance);
            let Some(pause) = pause else {
                if is_final(&failure.error) {
                    partial.discard();
                } else {
                    partial.keep();
                }
                return Err(failure.error);
            };
            tracing::debug!(url = %place, attempt, ?pause, error = %failure.error, "trying again");
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }

    /// One request, with its redirects, and what comes of it.
    async fn attempt(
        &self,
        url: &Url,
        url_digest: Digest,
        request: &Request,
        partial: Partial,
        on_bytes: OnBytes<'_>,
    ) -> Result<(Partial, End), FetchError> {
        let position = partial.position();
        let headers = headers(request, &partial);
        let send = self.send(&Method::GET, url, headers, None);
        let (response, url) = match patient(url, request.deadline, send).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) | Err(failure) => return Ok((partial, End::Failed(failure))),
        };
        if let Some(failure) = refusal::of_page(&response, &url, request) {
            return Ok((partial, End::Failed(failure)));
        }
        let answer = range::sort(
            response.status(),
            response.headers(),
            url_digest,
            position,
            partial.origin(),
        );
        let etag = etag(response.headers())
            .or_else(|| partial.origin().map(|origin| origin.validator.clone()));
        let path = partial.path().to_owned();
        let (total_bytes, begin) = match answer {
            Answer::Rest { total_bytes } => (Some(total_bytes), None),
            Answer::Whole { total_bytes, origin } => (total_bytes, Some(origin)),
            Answer::Anew(reason) => {
                tracing::debug!(url = %Place::of(&url), reason, "beginning anew");
                return Ok((partial, End::Anew));
            }
            Answer::Nonsense(reason) => {
                let error = FetchError::Unusable { url: Place::of(&url), reason };
                return Ok((partial, End::Failed(Failure::last(error))));
            }
            Answer::Refused => {
                let said = refusal::of_status(response, &url, request);
                let failure = match patient(&url, request.deadline, said).await {
                    Ok(failure) | Err(failure) => failure,
                };
                return Ok((partial, End::Failed(failure)));
            }
        };
        let start = if begin.is_some() { 0 } else { position };
        let writer = Writer::new(partial);
        if let Some(origin) = begin {
            writer.begin(origin).await;
        }
        let body = Body { url: &url, request, start, total_bytes, on_bytes };
        let came = body.write(response, &writer).await;
        let Some((partial, written)) = writer.finish().await else {
            return Err(FetchError::Unwritable { path, source: cut_off() });
        };
        if let Err(source) = written {
            let mut partial = partial;
            partial.discard();
            return Err(FetchError::Unwritable { path, source });
        }
        Ok((partial, came.map_or_else(End::Failed, |()| End::Complete { etag })))
    }
}

fn headers(request: &Request, partial: &Partial) -> HeaderMap {
    let mut headers = request.headers.clone();
    // Parts of what was packed on the way could not be put together.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let position = partial.position();
    if let Some(origin) = partial.origin().filter(|_| position > 0)
        && let Ok(validator) = HeaderValue::from_str(&origin.validator)
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={position}-"))
    {
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, validator);
    }
    headers
}

/// A body on its way.
struct Body<'a> {
    url: &'a Url,
    request: &'a Request,
    start: u64,
    total_bytes: Option<u64>,
    on_bytes: OnBytes<'a>,
}

impl Body<'_> {
    async fn write(&self, mut response: Response, writer: &Writer) -> Result<(), Failure> {
        let max_bytes = self.request.max_bytes as u64;
        if self.total_bytes.is_some_and(|total| total > max_bytes) {
            return Err(self.too_long());
        }
        let mut position = self.start;
        (self.on_bytes)(position, self.total_bytes);
        let mut pace = Pace::new(self.request.deadline);
        let mut asked = Instant::now();
        while let Some(chunk) = patient(self.url, self.request.deadline, response.chunk())
            .await?
            .map_err(|cause| Failure::of_transport(self.url, cause))?
        {
            let waited = asked.elapsed();
            position += chunk.len() as u64;
            if position > max_bytes {
                return Err(self.too_long());
            }
            if self.total_bytes.is_some_and(|total| position > total) {
                return Err(Failure::last(FetchError::Unusable {
                    url: Place::of(self.url),
                    reason: "more bytes than it announced".to_owned(),
                }));
            }
            let enough = pace.count(chunk.len() as u64, waited);
            if !writer.append(chunk).await {
                // The writer knows why.
                return Ok(());
            }
            (self.on_bytes)(position, self.total_bytes);
            if self.total_bytes != Some(position) {
                enough.map_err(|few| self.too_slow(few))?;
            }
            asked = Instant::now();
        }
        match self.total_bytes {
            Some(total) if position < total => {
                let source = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("it broke off after {position} of {total} bytes"),
                );
                let error =
                    FetchError::Unreachable { url: Place::of(self.url), source: source.into() };
                Err(Failure { error, may_retry: true })
            }
            _ => Ok(()),
        }
    }

    fn too_slow(&self, few: TooFew) -> Failure {
        let TooFew { bytes, over } = few;
        let error = FetchError::TooSlow { url: Place::of(self.url), bytes, over };
        Failure { error, may_retry: true }
    }

    fn too_long(&self) -> Failure {
        Failure::last(FetchError::TooLong {
            url: Place::of(self.url),
            max_bytes: self.request.max_bytes,
        })
    }
}

/// Returns whether what came so far is of no use to a later attempt either.
fn is_final(error: &FetchError) -> bool {
    matches!(
        error,
        FetchError::TooLong { .. } | FetchError::Unusable { .. } | FetchError::WebPage { .. }
    )
}

/// Waits for something that ought to come soon.
async fn patient<F: Future>(
    url: &Url,
    patience: Duration,
    future: F,
) -> Result<F::Output, Failure> {
    tokio::time::timeout(patience, future).await.map_err(|_| Failure {
        error: FetchError::Stalled { url: Place::of(url), patience },
        may_retry: true,
    })
}

/// Does something to a file where it may block.
async fn on_thread<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, FetchError> {
    let owned = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&owned)).await;
    done.unwrap_or_else(|_| Err(cut_off()))
        .map_err(|source| FetchError::Unwritable { path: path.to_owned(), source })
}

fn cut_off() -> io::Error {
    io::Error::other("the process is about to end")
}
