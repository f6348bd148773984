//! The API, wherever it is: the daemon's, or that of the same router in this process.

use crate::{context::Context, failure::Failure};
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use callsheet_files::Progress;
use callsheet_fleet::Link;
use callsheet_server::{
    App, Config, DataDir, DataDirError, Fleet, LocalApi, LocalBody, Running, read_secret,
};
use callsheet_sources::{Http, HttpSettings};
use callsheet_types::{BackendType, BackendUrl, Secret, SecretSource};
use callsheet_upstream::{Answer, AnswerBody, Deadlines, Options, Replay, Request};
use http::Method;
use serde::{Deserialize, de::DeserializeOwned};
use std::{borrow::Cow, future::poll_fn, io::Read, path::Path, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};

/// Something that answers the API.
pub(crate) enum Api {
    /// A daemon.
    Remote { link: Box<Link>, url: BackendUrl },
    /// The router in this process. Where it needs live backends it owns the data directory for so
    /// long; the store can be used by several processes at once.
    Local { api: LocalApi, _data_dir: Option<DataDir> },
}

/// What a command needs of whoever answers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Needs {
    /// Backends that have been probed.
    Fleet,
    /// What is kept, and nothing else.
    Store,
    /// What is kept, and each change as it comes.
    Feed,
    /// Files, which are at hand offline too, whoever runs.
    Files,
}

const PATIENCE: Duration = Duration::from_secs(30);

/// For what asks others in turn, or takes in a lot.
pub(crate) const PATIENT: Duration = Duration::from_mins(10);
const MOST_ANSWER_BYTES: usize = 256 << 20;

/// The token that the command line shows where no config names another.
const TOKEN_VARIABLE: &str = "CALLSHEET_ADMIN_TOKEN";

impl Api {
    /// Finds the API that a command should speak to.
    pub(crate) async fn find(context: &Context, needs: Needs) -> Result<Self, Failure> {
        if let Some(url) = &context.global.server {
            // Another machine's daemon has a configuration of its own; this one's may not even be.
            let token = context.config().ok().and_then(|config| token(&config));
            return Self::remote(url.clone(), token);
        }
        let config = context.config()?;
        let owner = match needs {
            Needs::Fleet => owner(&context.data_dir)?,
            // The store and the cache can be used by several processes at once.
            Needs::Files if context.global.offline => Owner::Nobody,
            Needs::Store | Needs::Feed | Needs::Files => {
                match DataDir::running(&context.data_dir) {
                    Some(running) => Owner::Daemon(running),
                    None => Owner::Nobody,
                }
            }
        };
        let data_dir = match owner {
            Owner::ThisCommand(data_dir) => Some(data_dir),
            Owner::Nobody => None,
            Owner::Daemon(_) if context.global.offline => {
                return Err(Failure::new(anyhow!("a daemon runs on the data directory {}, and --offline opens no connection to it", context.data_dir.display()))
                    .hint("leave out --offline, or stop the daemon"));
            }
            Owner::Daemon(running) => {
                return Self::remote(BackendUrl::new(&running.url)?, token(&config));
            }
        };
        let settings =
            HttpSettings { is_offline: context.global.offline, ..HttpSettings::default() };
        let fleet = if needs == Needs::Fleet { Fleet::Live } else { Fleet::Absent };
        let app = Arc::new(App::new(config, &context.data_dir, &[], Http::new(settings), fleet)?);
        if needs == Needs::Fleet && !context.global.offline {
            app.start_probing();
            app.wait_until_ready().await;
        }
        if needs == Needs::Feed {
            app.start_following()?;
        }
        Ok(Self::Local { api: LocalApi::new(app), _data_dir: data_dir })
    }

    fn remote(url: BackendUrl, token: Option<Secret>) -> Result<Self, Failure> {
        let link = Link::new(url.clone(), BackendType::Generic, token, Options::default())?;
        Ok(Self::Remote { link: Box::new(link), url })
    }

    /// Sends a request and returns the body of a good answer; a refusal becomes a failure.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl serde::Serialize>,
    ) -> Result<T, Failure> {
        self.send_within(PATIENCE, method, path, body).await
    }

    /// Likewise, for an answer that may take longer.
    pub(crate) async fn send_within<T: DeserializeOwned>(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Option<&impl serde::Serialize>,
    ) -> Result<T, Failure> {
        let body = match body {
            Some(body) => serde_json::to_vec(body)?.into(),
            None => Bytes::new(),
        };
        self.send_bytes(patience, method, path, body).await
    }

    /// Likewise, with a body that is what it is.
    pub(crate) async fn send_bytes<T: DeserializeOwned>(
        &self,
        patience: Duration,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Failure> {
        let (status, answer) = match self {
            Self::Remote { link, url } => remote(link, url, method, path, body, patience).await?,
            Self::Local { api, .. } => api.send(method, path, actor().as_deref(), body).await?,
        };
        if !(200..300).contains(&status) {
            return Err(refusal(status, &answer));
        }
        let read = serde_json::from_slice(&answer)
            .context("the daemon's answer cannot be read; is it of another version?");
        read.map_err(Failure::new)
    }

    /// Gets bytes as they are, and gives them to a reader on another thread as they come.
    pub(crate) async fn download<T: Send + 'static>(
        &self,
        path: &str,
        take: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let mut body =
            self.open(Method::GET, path, "application/octet-stream", Bytes::new()).await?;
        let (sender, receiver) = mpsc::channel(4);
        let taken = tokio::task::spawn_blocking(move || {
            take(&mut Incoming { receiver, current: Bytes::new() })
        });
        loop {
            let (part, is_end) = match body.next().await {
                Ok(Some(part)) => (Ok(part), false),
                Ok(None) => (Ok(Bytes::new()), true),
                Err(error) => (Err(std::io::Error::other(error.to_string())), true),
            };
            // Who has enough, or cannot go on, says so himself.
            if sender.send(part).await.is_err() || is_end {
                break;
            }
        }
        Ok(taken.await?)
    }

    /// Follows a stream of events.
    pub(crate) async fn events(&self, path: &str) -> Result<Events, Failure> {
        let body = self.open(Method::GET, path, "text/event-stream", Bytes::new()).await?;
        Ok(Events { body, read: ReadEvents::default() })
    }

    /// Has long work done, and is told its steps meanwhile.
    pub(crate) async fn work<T: DeserializeOwned>(
        &self,
        path: &str,
        asked: &impl serde::Serialize,
        on_step: impl Fn(Progress),
    ) -> Result<T, Failure> {
        #[derive(Deserialize)]
        struct Last<T> {
            result: T,
        }
        let asked = serde_json::to_vec(asked)?;
        let mut body = self.open(Method::POST, path, "application/x-ndjson", asked.into()).await?;
        let mut lines: Vec<u8> = Vec::new();
        loop {
            let bytes = body.next().await?;
            lines.extend_from_slice(bytes.as_deref().unwrap_or_default());
            while let Some(end) = lines.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = lines.drain(..=end).collect();
                if let Ok(step) = serde_json::from_slice(&line) {
                    on_step(step);
                } else if let Ok(Last { result }) = serde_json::from_slice(&line) {
                    return Ok(result);
                } else {
                    return Err(refusal(200, &line));
                }
            }
            if bytes.is_none() {
                return Err(Failure::new(anyhow!("the daemon broke off before it was done"))
                    .hint("has it stopped? what was done until then is kept"));
            }
        }
    }

    async fn open(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Bytes,
    ) -> Result<StreamBody, Failure> {
        match self {
            Self::Local { api, .. } => {
                match api.open(method, path, accept, actor().as_deref(), body).await? {
                    (200, body) => Ok(StreamBody::Local(body)),
                    (status, body) => Err(refusal(status, &body.collect().await)),
                }
            }
            Self::Remote { link, url } => {
                let mut request = link.root_request(method.as_str(), path);
                request.header("accept", accept.as_bytes());
                if let Some(actor) = actor() {
                    request.header("x-callsheet-actor", actor.as_bytes());
                }
                let replay = if body.is_empty() { Replay::Always } else { Replay::BeforeSent };
                if !body.is_empty() {
                    request.header("content-type", b"application/json");
                    request.body([body, Bytes::new(), Bytes::new()]);
                }
                let deadlines = Deadlines { head: Instant::now() + PATIENCE, replay };
                let answer = answer(link, url, &request, deadlines).await?;
                let status = answer.status.as_u16();
                if status != 200 {
                    return Err(refusal(status, &answer.body.collect(MOST_ANSWER_BYTES).await?));
                }
                Ok(StreamBody::Remote(Box::new(answer.body)))
            }
        }
    }
}

/// What comes, as something that can be read. An empty part is the end; without one it broke off.
struct Incoming {
    receiver: mpsc::Receiver<std::io::Result<Bytes>>,
    current: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.current.is_empty() {
            let broken = || Err(std::io::ErrorKind::UnexpectedEof.into());
            self.current = self.receiver.blocking_recv().unwrap_or_else(broken)?;
            if self.current.is_empty() {
                // Asked again, it is still the end.
                self.receiver.close();
                return Ok(0);
            }
        }
        let count = into.len().min(self.current.len());
        into[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// Server-sent events as they come.
pub(crate) struct Events {
    body: StreamBody,
    read: ReadEvents,
}

/// An answer as it comes.
enum StreamBody {
    Local(LocalBody),
    Remote(Box<AnswerBody>),
}

impl StreamBody {
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        Ok(match self {
            Self::Local(body) => body.next().await,
            Self::Remote(body) => poll_fn(|cx| body.poll_data(cx)).await.transpose()?,
        })
    }
}

impl Events {
    /// Returns the data of the next event; `None` when there will be no more.
    pub(crate) async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            while let Some(event) = self.read.next() {
                // A comment has no data; it only shows that both sides are there.
                if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                    return Ok(Some(data.to_owned()));
                }
            }
            let Some(bytes) = self.body.next().await? else { return Ok(None) };
            self.read.push(&bytes);
        }
    }
}

/// What has been read of events. A read may end anywhere, even within a letter, so that only a
/// whole event is taken for text.
#[derive(Default)]
struct ReadEvents {
    bytes: Vec<u8>,
    /// Where the next event begins.
    start: usize,
    /// No end of an event begins before this place.
    searched: usize,
}

impl ReadEvents {
    fn push(&mut self, bytes: &[u8]) {
        // Once for each read, not for each event: many events may come at once.
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next event that is whole.
    fn next(&mut self) -> Option<Cow<'_, str>> {
        let unsearched = &self.bytes[self.searched..];
        let Some(at) = unsearched.windows(2).position(|pair| pair == b"\n\n") else {
            // The last byte may be the first half of an end.
            self.searched = self.searched.max(self.bytes.len().saturating_sub(1));
            return None;
        };
        let (start, end) = (self.start, self.searched + at);
        self.start = end + 2;
        self.searched = self.start;
        Some(String::from_utf8_lossy(&self.bytes[start..end]))
    }
}

/// Who has the data directory.
enum Owner {
    Daemon(Running),
    ThisCommand(DataDir),
    Nobody,
}

fn owner(data_dir: &Path) -> Result<Owner, DataDirError> {
    if let Some(running) = DataDir::running(data_dir) {
        return Ok(Owner::Daemon(running));
    }
    // A daemon may start in between; then it is the one to speak to.
    DataDir::take(data_dir)
        .map(Owner::ThisCommand)
        .or_else(|error| DataDir::running(data_dir).map(Owner::Daemon).ok_or(error))
}

async fn remote(
    link: &Link,
    url: &BackendUrl,
    method: Method,
    path: &str,
    body: Bytes,
    patience: Duration,
) -> Result<(u16, Bytes), Failure> {
    let mut request = link.root_request(method.as_str(), path);
    if let Some(actor) = actor() {
        request.header("x-callsheet-actor", actor.as_bytes());
    }
    if !body.is_empty() {
        request.header("content-type", b"application/json");
        request.body([body, Bytes::new(), Bytes::new()]);
    }
    let deadlines = Deadlines { head: Instant::now() + patience, replay: Replay::BeforeSent };
    let answer = answer(link, url, &request, deadlines).await?;
    let status = answer.status.as_u16();
    let body = tokio::time::timeout(patience, answer.body.collect(MOST_ANSWER_BYTES)).await??;
    Ok((status, body))
}

/// Returns who calls, for the feed; nobody where the name could not stand in a header.
fn actor() -> Option<String> {
    let name = std::env::var("USER").ok()?;
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_plain.then_some(name)
}

async fn answer(
    link: &Link,
    url: &BackendUrl,
    request: &Request,
    deadlines: Deadlines,
) -> Result<Answer, Failure> {
    let answer = link.upstream().send(request, deadlines).await;
    let answer = answer.with_context(|| format!("the daemon at {url} cannot be asked"));
    answer.map_err(|error| Failure::new(error).hint("is it running? `callsheet serve` starts one"))
}

fn refusal(status: u16, body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Refusal {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        message: String,
        // Always there, if only as null: an error of another server's looks much the same.
        #[serde(deserialize_with = "Option::deserialize")]
        hint: Option<String>,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error }) => {
            let failure = Failure::new(anyhow!(error.message));
            match error.hint {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        }
        Err(_) => Failure::new(anyhow!("the server answered {status}, not as Callsheet does"))
            .hint("is --server the address of a Callsheet daemon?"),
    }
}

fn token(config: &Config) -> Option<Secret> {
    let source =
        config.server.admin_token().unwrap_or_else(|| SecretSource::Env(TOKEN_VARIABLE.to_owned()));
    read_secret(source).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let text = "data: \u{20ac}1\n\n: \u{e9}\n\nid: 2\ndata: \u{1f600}\n\n\n\ndata: not whole\n";
        let whole = ["data: \u{20ac}1", ": \u{e9}", "id: 2\ndata: \u{1f600}", ""];
        for size in 1..=text.len() {
            let mut read = ReadEvents::default();
            let mut events = Vec::new();
            for bytes in text.as_bytes().chunks(size) {
                read.push(bytes);
                while let Some(event) = read.next() {
                    events.push(event.into_owned());
                }
            }
            assert_eq!(events, whole, "{size} bytes at a time");
        }
    }
}
