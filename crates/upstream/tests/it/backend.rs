//! A backend on a port of its own that does what the test says, step by step.

use bytes::Bytes;
use callsheet_types::BackendUrl;
use callsheet_upstream::{Answer, Deadlines, Options, Replay, Request, SendError, Upstream};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Backend {
    listener: TcpListener,
}

/// One connection, as the backend sees it.
pub(crate) struct Peer {
    stream: BufReader<TcpStream>,
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// `None` where the machine has no IPv6.
    pub(crate) async fn on_ipv6() -> Option<Self> {
        match TcpListener::bind("[::1]:0").await {
            Ok(listener) => Some(Self { listener }),
            Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn url(&self, scheme: &str) -> BackendUrl {
        BackendUrl::new(&format!("{scheme}://{}", self.listener.local_addr().unwrap())).unwrap()
    }

    pub(crate) fn upstream(&self) -> Upstream {
        self.upstream_with(Options::default())
    }

    pub(crate) fn upstream_with(&self, options: Options) -> Upstream {
        Upstream::new(&self.url("http"), options).unwrap()
    }

    pub(crate) async fn accept(&self) -> Peer {
        let accepted = timeout(PATIENCE, self.listener.accept()).await.expect("no connection");
        let stream = accepted.unwrap().0;
        stream.set_nodelay(true).unwrap();
        Peer { stream: BufReader::new(stream) }
    }
}

impl Peer {
    /// Reads the next request with its body; `None` if the client has closed.
    pub(crate) async fn request(&mut self) -> Option<Received> {
        let head = self.request_head().await?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        timeout(PATIENCE, self.stream.read_exact(&mut body)).await.expect("no body").unwrap();
        Some(Received { head, body })
    }

    pub(crate) async fn request_head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let line = timeout(PATIENCE, self.stream.read_line(&mut head)).await;
            match line.expect("no request") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
        Some(head)
    }

    /// Sends bytes. That the client may be gone already is its own business.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.stream.get_mut().write_all(bytes.as_ref()).await);
    }

    /// Waits until the client has closed the connection.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        drop(timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("still open"));
    }

    /// Closes this side only.
    pub(crate) async fn half_close(&mut self) {
        self.stream.get_mut().shutdown().await.unwrap();
    }

    pub(crate) fn reset(self) {
        self.stream.get_ref().set_zero_linger().unwrap();
    }

    /// Reads so many bytes of a body and no more.
    pub(crate) async fn skip(&mut self, length: u64) {
        let mut body = (&mut self.stream).take(length);
        let read = timeout(PATIENCE, tokio::io::copy(&mut body, &mut tokio::io::sink())).await;
        assert_eq!(read.expect("no body").unwrap(), length);
    }
}

pub(crate) fn get() -> Request {
    Request::new("GET", "/x", "test")
}

pub(crate) fn post(body: impl Into<Bytes>) -> Request {
    let mut request = Request::new("POST", "/x", "test");
    request.body([Bytes::new(), body.into(), Bytes::new()]);
    request
}

pub(crate) fn patient() -> Deadlines {
    Deadlines { head: Instant::now() + PATIENCE, replay: Replay::Always }
}

pub(crate) fn before_sent() -> Deadlines {
    Deadlines { replay: Replay::BeforeSent, ..patient() }
}

/// Sends a request and reads the whole answer.
pub(crate) async fn fetch(upstream: &Upstream, request: &Request) -> Result<Bytes, SendError> {
    let Answer { body, .. } = upstream.send(request, patient()).await?;
    Ok(body.collect(1 << 30).await.unwrap())
}

/// Lets the runtime see every event that has happened on a socket so far: a round trip that needs
/// an event itself cannot end before the runtime has asked for events.
pub(crate) async fn settle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap().0);
    let mut byte = [0];
    let (wrote, read) = tokio::join!(
        async {
            tokio::task::yield_now().await;
            far.write_all(b"x").await
        },
        near.read_exact(&mut byte)
    );
    wrote.unwrap();
    read.unwrap();
}
