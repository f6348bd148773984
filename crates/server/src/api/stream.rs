//! Long work: its steps as lines of JSON while it goes on, or its result alone.

use super::ApiError;
use axum::{
    Json,
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use callsheet_files::Progress;
use http_body::Frame;
use serde::Serialize;
use serde_json::json;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{sync::mpsc, task::JoinHandle};

/// What asks for the steps too.
const LINES: &str = "application/x-ndjson";

/// Steps that wait for a slow reader; further ones are left out, since the next says more.
const MOST_WAITING: usize = 64;

/// Tells a step to whoever waits for it.
pub(super) type Tell = Arc<dyn Fn(Progress) + Send + Sync>;

/// Answers with the result of some work; where lines are wanted, with its steps before it. The work
/// ends when the reader goes away.
pub(super) async fn answer<T, F>(headers: &HeaderMap, work: impl FnOnce(Tell) -> F) -> Response
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if !accept.is_some_and(|accept| accept.contains(LINES)) {
        return work(Arc::new(|_| {})).await.map(Json).into_response();
    }
    let (sender, receiver) = mpsc::channel::<Bytes>(MOST_WAITING);
    let steps = sender.clone();
    let tell: Tell = Arc::new(move |step| {
        let _ = steps.try_send(line(&step));
    });
    let work = work(tell);
    let task = tokio::spawn(async move {
        let last = match work.await {
            Ok(result) => line(&json!({ "result": result })),
            Err(error) => line(&error.body().1),
        };
        let _ = sender.send(last).await;
    });
    let content_type = HeaderValue::from_static(LINES);
    ([(header::CONTENT_TYPE, content_type)], Body::new(Lines { receiver, task })).into_response()
}

fn line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

struct Lines {
    receiver: mpsc::Receiver<Bytes>,
    task: JoinHandle<()>,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.task.abort();
    }
}
