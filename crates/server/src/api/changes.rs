//! `/api/v1/changes`: the feed, as a page of JSON or as server-sent events.

use super::{ApiError, blocking, models::cursor_of};
use crate::App;
use axum::{
    Json,
    body::Body,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use callsheet_store::{Cursor, FeedChange, StoreError};
use callsheet_types::{Kind, SourceName, plan::Action};
use http_body::Frame;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeedAsked {
    /// A cursor, a day or a moment; the feed's beginning where nothing is said, and its end for
    /// events.
    since: Option<String>,
    kind: Option<Kind>,
    #[serde(default = "page")]
    limit: usize,
}

fn page() -> usize {
    100
}

/// One change, as the API shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ChangeView {
    /// Its place in the feed.
    pub cursor: Cursor,
    /// What was written together has the same.
    pub transaction: Cursor,
    /// When.
    pub at: Timestamp,
    /// Who had it done.
    pub actor: String,
    /// Whose entry it is.
    pub source: SourceName,
    /// What sort of thing it is.
    pub kind: Kind,
    /// Its key.
    pub key: String,
    /// What was done.
    pub action: Action,
    /// The revision that it led to.
    pub revision: u64,
    /// The content before.
    pub before: Option<Value>,
    /// The content after.
    pub after: Option<Value>,
}

/// A page of the feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FeedPage {
    /// The changes, oldest first.
    pub changes: Vec<ChangeView>,
    /// What to ask for next with.
    pub next: Cursor,
    /// Whether there is more already.
    pub has_more: bool,
}

/// A change on its way out: its contents are JSON already.
#[derive(Serialize)]
struct Out {
    cursor: Cursor,
    transaction: Cursor,
    at: Timestamp,
    actor: String,
    source: SourceName,
    kind: Kind,
    key: Arc<str>,
    action: Action,
    revision: u64,
    before: Option<Box<RawValue>>,
    after: Option<Box<RawValue>>,
}

impl From<FeedChange> for Out {
    fn from(change: FeedChange) -> Self {
        let raw = |body: Option<callsheet_types::Body>| {
            body.and_then(|body| RawValue::from_string(body.as_str().to_owned()).ok())
        };
        Self {
            cursor: change.cursor,
            transaction: change.transaction,
            at: change.at,
            actor: change.actor,
            source: change.source,
            kind: change.id.kind,
            key: change.id.key,
            action: change.action,
            revision: change.revision,
            before: raw(change.before),
            after: raw(change.after),
        }
    }
}

#[derive(Serialize)]
struct OutPage {
    changes: Vec<Out>,
    next: Cursor,
    has_more: bool,
}

/// The most changes of one answer, and of one read for events.
const MOST: usize = 1000;

/// Sent where nothing happens, so that both sides notice when the other is gone.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) async fn feed(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    asked: Result<Query<FeedAsked>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(asked) = asked.map_err(|rejection| ApiError::BadRequest(rejection.body_text()))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let wants_events = accept.is_some_and(|accept| accept.contains("text/event-stream"));
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let since = if wants_events { last_seen.or(asked.since) } else { asked.since };
    let (kind, limit) = (asked.kind, asked.limit.clamp(1, MOST));
    if !wants_events {
        let page = blocking(&app, move |app| {
            let store = app.catalog.store();
            let read = match since {
                Some(since) => store.changes(cursor_of(app, &since)?, kind.as_ref(), limit),
                // The beginning is what is kept of it.
                None => match store.changes(0, kind.as_ref(), limit) {
                    Err(StoreError::Expired { oldest }) => {
                        store.changes(oldest, kind.as_ref(), limit)
                    }
                    read => read,
                },
            };
            let read = read.map_err(ApiError::Store)?;
            let changes = read.changes.into_iter().map(Out::from).collect();
            Ok(OutPage { changes, next: read.next, has_more: read.has_more })
        });
        return page.await.map(|page| Json(page).into_response());
    }
    // The first page is read before the answer begins: an expired cursor is a status, not an event.
    let wanted = kind.clone();
    let (first, next) = blocking(&app, move |app| {
        let store = app.catalog.store();
        let since = match since {
            Some(since) => cursor_of(app, &since)?,
            None => store.cursor().map_err(ApiError::Store)?,
        };
        let read = store.changes(since, wanted.as_ref(), MOST).map_err(ApiError::Store)?;
        Ok((events(read.changes), read.next))
    })
    .await?;
    let body = Events { app, kind, next, ready: Some(first), reading: None };
    let mut response = Response::new(Body::new(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Writes changes as server-sent events, with their cursors as ids.
fn events(changes: Vec<FeedChange>) -> Bytes {
    let mut text = String::new();
    for change in changes {
        let out = Out::from(change);
        if let Ok(json) = serde_json::to_string(&out) {
            text.push_str(&format!("id: {}\nevent: change\ndata: {json}\n\n", out.cursor));
        }
    }
    // So that the head of the answer is followed by something, and clients know that they are in.
    if text.is_empty() {
        text.push_str(": following\n\n");
    }
    text.into()
}

type Read = Result<(Bytes, Cursor), ()>;

/// The feed from a cursor on, as it grows.
struct Events {
    app: Arc<App>,
    kind: Option<Kind>,
    next: Cursor,
    ready: Option<Bytes>,
    reading: Option<Pin<Box<dyn Future<Output = Read> + Send>>>,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(bytes) = this.ready.take() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let reading = this.reading.get_or_insert_with(|| {
            Box::pin(more(Arc::clone(&this.app), this.kind.clone(), this.next))
        });
        match reading.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                this.reading = None;
                // Ending the stream makes the client come back with the last id that it saw.
                let Ok((bytes, next)) = read else { return Poll::Ready(None) };
                this.next = next;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }
}

/// Waits for changes after a cursor, or until something must be said.
async fn more(app: Arc<App>, kind: Option<Kind>, since: Cursor) -> Read {
    let (mut feed, mut stopping) = (app.feed(), app.is_stopping.subscribe());
    tokio::select! {
        // Nobody who follows may hold up a daemon that ends.
        _ = stopping.wait_for(|is_stopping| *is_stopping) => return Err(()),
        grown = feed.wait_for(|newest| *newest > since) => drop(grown.map_err(|_| ())?),
        () = tokio::time::sleep(HEARTBEAT) => {
            return Ok((Bytes::from_static(b": still here\n\n"), since));
        }
    }
    let read = tokio::task::spawn_blocking(move || {
        app.catalog.store().changes(since, kind.as_ref(), MOST)
    });
    let read = read.await.map_err(|_| ())?.map_err(|_| ())?;
    // Where all that changed is of another kind, the comment says only that both are there.
    Ok((events(read.changes), read.next.max(since)))
}
