//! The load generator: a closed loop on each of a number of connections.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::workload::Workload;

/// How long an answer may take beyond the time of the load itself.
const GRACE: Duration = Duration::from_secs(20);

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// From the first byte sent to the first byte of the body.
    pub(crate) first: Duration,
    /// From the first byte sent to the last received.
    pub(crate) total: Duration,
}

/// When the load ends.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    Time(Instant),
    /// This many requests are left, over all connections.
    Count(Rc<Cell<usize>>),
}

impl Until {
    fn go_on(&self) -> bool {
        match self {
            Self::Time(end) => Instant::now() < *end,
            Self::Count(left) => {
                let before = left.get();
                left.set(before.saturating_sub(1));
                before > 0
            }
        }
    }
}

/// Loads `address` and returns a sample for every request; any wrong answer is an error, because
/// figures of a system that loses answers mean nothing.
pub(crate) async fn run(
    address: SocketAddr,
    workload: Workload,
    connections: usize,
    until: Until,
) -> Result<Vec<Sample>> {
    let limit = match &until {
        Until::Time(end) => end.saturating_duration_since(Instant::now()) + GRACE,
        // A thousand requests a second is far below every system measured.
        Until::Count(left) => Duration::from_millis(left.get() as u64) + GRACE,
    };
    let request: Rc<[u8]> = workload.request(address).into();
    let expected: Rc<[u8]> = workload.body().into();
    let local = LocalSet::new();
    let loops = local.run_until(async {
        let mut loops = JoinSet::new();
        for _ in 0..connections {
            let (request, expected) = (Rc::clone(&request), Rc::clone(&expected));
            loops.spawn_local(connection(address, request, expected, until.clone()));
        }
        let mut samples = Vec::new();
        while let Some(done) = loops.join_next().await {
            samples.append(&mut done.context("a connection of the load generator")??);
        }
        Ok(samples)
    });
    tokio::time::timeout(limit, loops).await.context("answers stopped coming")?
}

async fn connection(
    address: SocketAddr,
    request: Rc<[u8]>,
    expected: Rc<[u8]>,
    until: Until,
) -> Result<Vec<Sample>> {
    let mut client = Client::connect(address).await?;
    let mut samples = Vec::new();
    while until.go_on() {
        samples.push(client.call(&request, &expected).await?);
    }
    Ok(samples)
}

/// One connection of a client.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: BytesMut,
    decoded: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(16 * 1024), decoded: Vec::new() })
    }

    /// Sends a request and reads all of its answer, which must be the expected one to the byte.
    pub(crate) async fn call(&mut self, request: &[u8], expected: &[u8]) -> Result<Sample> {
        let started = Instant::now();
        let (head, first) = self.first_byte(request, started).await?;
        let framing = Framing::of(&self.buffer[..head])?;
        while !framing.is_complete(&self.buffer[head..]) {
            self.read().await?;
        }
        let total = started.elapsed();
        let body = &self.buffer[head..];
        self.decoded.clear();
        match framing {
            Framing::Length(_) => self.decoded.extend_from_slice(body),
            Framing::Chunked => decode(body, &mut self.decoded)?,
        }
        ensure!(self.decoded == expected, "a wrong answer: {}", String::from_utf8_lossy(body));
        Ok(Sample { first, total })
    }

    /// Sends a request and reads until the first byte of the body; returns the head's length.
    pub(crate) async fn first_byte(
        &mut self,
        request: &[u8],
        started: Instant,
    ) -> Result<(usize, Duration)> {
        self.buffer.clear();
        self.stream.write_all(request).await?;
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n")
                && self.buffer.len() > end + 4
            {
                let head = &self.buffer[..end + 4];
                ensure!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(head));
                return Ok((end + 4, started.elapsed()));
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        ensure!(
            self.stream.read_buf(&mut self.buffer).await? > 0,
            "an answer was cut: {}",
            String::from_utf8_lossy(&self.buffer)
        );
        Ok(())
    }
}

/// Where the answer ends.
#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Framing {
    fn of(head: &[u8]) -> Result<Self> {
        let head = std::str::from_utf8(head)?;
        for (name, value) in head.split("\r\n").filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                return Ok(Self::Length(value.trim().parse()?));
            }
            if name.eq_ignore_ascii_case("transfer-encoding") {
                return Ok(Self::Chunked);
            }
        }
        bail!("an answer without framing: {head}")
    }

    fn is_complete(self, body: &[u8]) -> bool {
        match self {
            Self::Length(length) => body.len() >= length,
            // No event holds a CR, so that this can only be the last chunk.
            Self::Chunked => body.ends_with(b"\r\n0\r\n\r\n"),
        }
    }
}

/// Removes the framing of chunks that are all there.
fn decode(mut body: &[u8], decoded: &mut Vec<u8>) -> Result<()> {
    loop {
        let line = memchr::memchr(b'\n', body).context("a chunk without a size")?;
        let size = std::str::from_utf8(&body[..line])?.trim();
        let size = usize::from_str_radix(size, 16).context("a chunk's size")?;
        if size == 0 {
            return Ok(());
        }
        let data = line + 1..line + 1 + size;
        decoded.extend_from_slice(body.get(data.clone()).context("a cut chunk")?);
        body = body.get(data.end + 2..).context("a chunk without its end")?;
    }
}
