//! One client's connection: HTTP/1.1 on it, and the time that each side may take.

use crate::{
    config::LimitsConfig,
    front::{Front, FrontBody},
};
use bytes::Bytes;
use callsheet_upstream::Alarm;
use http_body::{Frame, SizeHint};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
    time::{Sleep, sleep},
};

/// Serves a client until it goes away or, once `draining` is true, until nothing is under way.
pub(crate) async fn serve(
    stream: TcpStream,
    front: Arc<Front>,
    limits: &LimitsConfig,
    mut draining: watch::Receiver<bool>,
) {
    // Without this an event waits for the acknowledgement of the one before it.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let turn = Arc::new(Turn::new());
    let stream = ClientStream { stream, sending: None, send_timeout: limits.send_timeout.0 };
    let service = service_fn(|request| {
        let front = Arc::clone(&front);
        let ours = Turn::take(&turn);
        async move {
            let answer = front.answer(request).await;
            Ok::<_, Infallible>(answer.map(|body| Timed { body, _ours: ours }))
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(limits.header_bytes.as_usize())
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    // Watching the signal beside the connection would poll it with every event; its number is read
    // without a lock, and once asked it wakes this task as anything else does.
    let seen = draining.clone();
    let mut told_to_stop = pin!(draining.wait_for(|draining| *draining));
    let mut is_watching = false;
    let mut is_told = false;
    let head_timeout = limits.header_timeout.0;
    let mut head = Alarm::default();
    let ended = poll_fn(|cx| {
        if !is_told && (!is_watching || seen.has_changed().unwrap_or(true)) {
            is_watching = true;
            if told_to_stop.as_mut().poll(cx).is_ready() {
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended);
        }
        // The time for a request counts from the beginning of the client's turn: drips of it do not
        // help, and an answer under way is not disturbed.
        match turn.client_since() {
            Some(since) => head.poll(cx, (since + head_timeout).into()).map(Ok),
            None => Poll::Pending,
        }
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a client's connection ended early");
    }
}

/// Whose turn it is on a connection: the client's, to send a request, or ours, to answer it.
#[derive(Debug)]
struct Turn {
    opened: Instant,
    /// Milliseconds after `opened` at which the client's turn began, or [`OURS`].
    since: AtomicU64,
}

const OURS: u64 = u64::MAX;

impl Turn {
    fn new() -> Self {
        Self { opened: Instant::now(), since: AtomicU64::new(0) }
    }

    /// Begins our turn, which lasts as long as what is returned.
    fn take(turn: &Arc<Self>) -> Ours {
        turn.since.store(OURS, Ordering::Relaxed);
        Ours(Arc::clone(turn))
    }

    /// Returns since when the client may send, if it may.
    fn client_since(&self) -> Option<Instant> {
        let since = self.since.load(Ordering::Relaxed);
        (since != OURS).then(|| self.opened + Duration::from_millis(since))
    }
}

/// Our turn.
struct Ours(Arc<Turn>);

impl Drop for Ours {
    fn drop(&mut self) {
        let since = self.0.opened.elapsed().as_millis() as u64;
        self.0.since.store(since, Ordering::Relaxed);
    }
}

/// A body that is our turn as long as it lives.
struct Timed {
    body: FrontBody,
    _ours: Ours,
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = <FrontBody as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A client's socket that gives up on a client which does not read.
struct ClientStream {
    stream: TcpStream,
    sending: Option<Pin<Box<Sleep>>>,
    send_timeout: Duration,
}

impl ClientStream {
    /// Passes a write's result on; one that stays pending for too long becomes an error.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.sending = None;
            return written;
        }
        let timeout = self.send_timeout;
        let alarm = self.sending.get_or_insert_with(|| Box::pin(sleep(timeout)));
        alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, data);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
