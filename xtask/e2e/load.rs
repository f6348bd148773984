//! Clients that ask again and again and look closely at every answer.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use callsheet_testkit::client;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// No request may take longer, whatever happens to its backend.
const LONGEST: Duration = Duration::from_secs(10);

/// What clients have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) plain: usize,
    pub(crate) streams: usize,
    /// Streams that were cut after their first event and said so.
    pub(crate) announced: usize,
    /// Everything that a client must not see.
    pub(crate) wrong: Vec<String>,
    pub(crate) slowest: Duration,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} plain answers complete, {} streams complete, {} streams cut with an error event, \
             {} wrong; slowest {:.2} s",
            self.plain,
            self.streams,
            self.announced,
            self.wrong.len(),
            self.slowest.as_secs_f64()
        )
    }
}

/// Clients at work.
pub(crate) struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    counts: Mutex<Counts>,
    is_over: AtomicBool,
}

impl Shared {
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

enum Seen {
    Plain,
    Stream,
    Announced,
}

impl Load {
    /// Starts this many clients; every other request of each is streamed.
    pub(crate) fn start(address: SocketAddr, model: &'static str, clients: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        for index in 0..clients {
            tasks.spawn(client_loop(address, model, index, Arc::clone(&shared)));
        }
        Self { clients: tasks, shared }
    }

    /// Returns what was seen so far.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets every client finish its request and returns what was seen.
    pub(crate) async fn end(self) -> Counts {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let Self { clients, shared } = self;
        clients.join_all().await;
        let counts = shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}

async fn client_loop(address: SocketAddr, model: &str, index: usize, shared: Arc<Shared>) {
    let mut is_stream = index.is_multiple_of(2);
    while !shared.is_over.load(Ordering::Relaxed) {
        let started = Instant::now();
        let answer = async {
            if is_stream { stream(address, model).await } else { plain(address, model).await }
        };
        let seen = match tokio::time::timeout(LONGEST, answer).await {
            Ok(seen) => seen,
            Err(_) => Err(anyhow::anyhow!("no complete answer within {LONGEST:?}")),
        };
        let took = started.elapsed();
        let kind = if is_stream { "stream" } else { "plain" };
        shared.count(|counts| {
            counts.slowest = counts.slowest.max(took);
            match seen {
                Ok(Seen::Plain) => counts.plain += 1,
                Ok(Seen::Stream) => counts.streams += 1,
                Ok(Seen::Announced) => counts.announced += 1,
                Err(error) => counts.wrong.push(format!("{kind}: {error:#}")),
            }
        });
        is_stream = !is_stream;
    }
}

fn body(model: &str, is_stream: bool) -> String {
    json!({
        "model": model,
        "messages": [{"role": "user", "content": "tell me about the weather in this town"}],
        "max_tokens": 24,
        "stream": is_stream,
    })
    .to_string()
}

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];
const PATH: &str = "/v1/chat/completions";

async fn plain(address: SocketAddr, model: &str) -> Result<Seen> {
    let reply =
        client::request(address, "POST", PATH, &JSON, body(model, false).as_bytes()).await?;
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).context("not JSON")?;
    ensure!(answer["choices"][0]["message"]["content"].is_string(), "no message: {answer}");
    ensure!(answer["usage"]["total_tokens"].is_u64(), "no usage: {answer}");
    Ok(Seen::Plain)
}

async fn stream(address: SocketAddr, model: &str) -> Result<Seen> {
    let mut answer =
        client::open(address, "POST", PATH, &JSON, body(model, true).as_bytes()).await?;
    let status = answer.status;
    let mut events = Vec::new();
    while let Some(event) = answer
        .try_event()
        .await
        .with_context(|| format!("status {status}, after {} events", events.len()))?
    {
        events.push(event);
    }
    ensure!(status == 200, "{status}: {}", events.join("\n"));
    let data =
        |event: &str| event.lines().find_map(|line| line.strip_prefix("data: ")).map(str::to_owned);
    let last = events.last().and_then(|event| data(event)).context("an empty stream")?;
    if last == "[DONE]" {
        ensure!(events.len() > 1, "a stream of nothing but its end");
        return Ok(Seen::Stream);
    }
    let last: Value = serde_json::from_str(&last).context("the last event is not JSON")?;
    if !last["error"].is_object() {
        bail!("ended without [DONE] and without an error: {last}");
    }
    ensure!(events.len() > 1, "an error as the first event: {last}");
    Ok(Seen::Announced)
}
