//! A provider of models that is a real server: it lists models as one of the known providers does,
//! page by page, and fails on demand.

mod answer;
mod fault;
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::fault::Fault;
pub use self::model::FakeModel;
use crate::backend::serve::{After, gone, perform, reset};
use crate::backend::{Recorded, request};
use crate::within;

/// Whose manner of listing models a [`FakeProvider`] has.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Speaks {
    /// `/v1/models` with prices for a token; pages by `links.next`.
    OpenRouter,
    /// `/v1/models` with ids and dates.
    OpenAi,
    /// `/v1/models` with limits; pages by `after_id`.
    Anthropic,
    /// `/v1beta/models`; pages by `pageToken`.
    Google,
    /// `/api/tags`, `/api/show`, `/api/ps`.
    Ollama,
    /// `/v1/models` with `max_model_len`.
    Vllm,
    /// `/v1/models` with `meta`, and `/props`.
    LlamaCpp,
    /// `/v1/models/OWNER/NAME`, and no list.
    Replicate,
    /// `/api/models` (pages by `Link`), `/api/models/ID`, and the router's `/v1/models`.
    HuggingFace,
    /// `/v1/models` with what many have in common.
    Generic,
}

impl Speaks {
    /// Returns the `type` of such a provider in a config file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenRouter => "openrouter",
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Google => "google",
            Self::Ollama => "ollama",
            Self::Vllm => "vllm",
            Self::LlamaCpp => "llamacpp",
            Self::Replicate => "replicate",
            Self::HuggingFace => "huggingface",
            Self::Generic => "generic",
        }
    }
}

/// A server on a free port of 127.0.0.1 that lists models.
///
/// It runs on the runtime of the test that started it and ends when it is dropped.
#[derive(Debug)]
pub struct FakeProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Settings of a [`FakeProvider`] that has not started yet.
#[derive(Debug)]
pub struct Builder {
    speaks: Speaks,
    state: State,
}

impl Builder {
    /// Lists these models.
    #[must_use]
    pub fn models(mut self, models: impl IntoIterator<Item = FakeModel>) -> Self {
        self.state.models = models.into_iter().collect();
        self
    }

    /// Lists so many models on a page, where the provider has pages at all.
    #[must_use]
    pub fn page_size(mut self, size: usize) -> Self {
        self.state.page_size = Some(size);
        self
    }

    /// Gives the list this entity tag, and answers 304 to whoever has it.
    #[must_use]
    pub fn etag(mut self, etag: &str) -> Self {
        self.state.etag = Some(etag.to_owned());
        self
    }

    /// Answers 401 to whoever does not bring this key, where this provider wants it.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.state.key = Some(key.to_owned());
        self
    }

    /// Starts the server.
    pub async fn start(self) -> FakeProvider {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("a bound listener has an address");
        let state = watch::Sender::new(self.state);
        let shared = Arc::new(Shared { speaks: self.speaks, address, state });
        let task = tokio::spawn(run(listener, Arc::clone(&shared)));
        FakeProvider { address, shared, task: Mutex::new(Some(task)) }
    }
}

impl FakeProvider {
    /// Starts a provider with these models.
    pub async fn start(speaks: Speaks, models: impl IntoIterator<Item = FakeModel>) -> Self {
        Self::builder(speaks).models(models).start().await
    }

    /// Returns the settings of a provider that has no models yet.
    pub fn builder(speaks: Speaks) -> Builder {
        Builder { speaks, state: State::default() }
    }

    /// Returns the address as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the `[providers.NAME]` table that configures this provider. Further keys may be
    /// appended to it.
    pub fn config(&self, name: &str) -> String {
        let kind = self.shared.speaks.as_str();
        format!("\n[providers.{name}]\ntype = \"{kind}\"\nurl = \"{}\"\n", self.url())
    }

    /// Lists these models from now on.
    pub fn set_models(&self, models: impl IntoIterator<Item = FakeModel>) {
        let models = models.into_iter().collect();
        self.shared.change(|state| state.models = models);
    }

    /// Gives the list this entity tag from now on, or none.
    pub fn set_etag(&self, etag: Option<&str>) {
        let etag = etag.map(str::to_owned);
        self.shared.change(|state| state.etag = etag);
    }

    /// Says of a model that it is loaded in this window (Ollama), or is served in it (llama.cpp).
    pub fn set_loaded(&self, id: &str, window: u64) {
        self.shared.change(|state| state.loaded.insert(id.to_owned(), window));
    }

    /// Answers every following question like this, until [`FakeProvider::heal`].
    pub fn fault(&self, fault: Fault) {
        self.shared.change(|state| state.fault = Some(fault));
    }

    /// Answers the next `n` questions like this.
    pub fn fault_next(&self, n: usize, fault: Fault) {
        self.shared.change(|state| state.next.extend(std::iter::repeat_n(fault, n)));
    }

    /// Answers every page but the first like this: half a list.
    pub fn fault_later_pages(&self, fault: Fault) {
        self.shared.change(|state| state.later_pages = Some(fault));
    }

    /// Answers questions about this one model like this.
    pub fn fault_model(&self, id: &str, fault: Fault) {
        self.shared.change(|state| state.of_models.insert(id.to_owned(), fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.shared.change(|state| {
            state.fault = None;
            state.next.clear();
            state.later_pages = None;
            state.of_models.clear();
        });
    }

    /// Returns all requests so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state.borrow().requests.clone()
    }

    /// Returns the number of requests so far.
    pub fn request_count(&self) -> usize {
        self.shared.state.borrow().requests.len()
    }

    /// Returns the largest number of requests that were ever answered at once.
    pub fn max_open(&self) -> usize {
        self.shared.state.borrow().max_open
    }

    /// Waits until `n` requests have arrived since the start.
    pub async fn wait_for_requests(&self, n: usize) {
        let mut changes = self.shared.state.subscribe();
        let met = changes.wait_for(|state| state.requests.len() >= n);
        within(&format!("{n} requests"), met).await.expect("the sender lives in `self`");
    }

    /// Stops listening and drops every connection. The recordings stay.
    pub async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = within("the end of the stand-in", task).await;
        }
    }
}

impl Drop for FakeProvider {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Shared {
    speaks: Speaks,
    address: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    models: Vec<FakeModel>,
    page_size: Option<usize>,
    etag: Option<String>,
    key: Option<String>,
    loaded: BTreeMap<String, u64>,
    fault: Option<Fault>,
    next: VecDeque<Fault>,
    later_pages: Option<Fault>,
    of_models: BTreeMap<String, Fault>,
    requests: Vec<Recorded>,
    open: usize,
    max_open: usize,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.state.send_modify(|state| result = Some(change(state)));
        result.expect("send_modify calls its argument")
    }
}

async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = BytesMut::new();
    while let Ok(Some(request)) = request::read(&mut stream, &mut buffer).await {
        let wants_close = request.wants_close();
        let behaviour = shared.change(|state| {
            let (good, place) = answer::answer(shared.speaks, shared.address, state, &request);
            let fault = choose(state, &place);
            state.requests.push(request);
            state.open += 1;
            state.max_open = state.max_open.max(state.open);
            fault.map_or_else(|| good.behaviour(), |fault| fault.behaviour(shared.speaks, &good))
        });
        let open = Open(&shared);
        let (mut reader, mut writer) = stream.split();
        let after = tokio::select! {
            biased;
            after = perform(&mut writer, behaviour, &|| crate::Behaviour::Stall) => after,
            () = gone(&mut reader, &mut buffer) => return,
        };
        drop(open);
        match after {
            Ok(After::Keep) if !wants_close => {}
            Ok(After::Reset) => return reset(&stream),
            Ok(After::Keep | After::Close) | Err(_) => return,
        }
    }
}

/// Which question a request is.
struct Place {
    model: Option<String>,
    is_later_page: bool,
}

fn choose(state: &mut State, place: &Place) -> Option<Fault> {
    let of_model = place.model.as_ref().and_then(|id| state.of_models.get(id).cloned());
    let later = state.later_pages.clone().filter(|_| place.is_later_page);
    of_model.or(later).or_else(|| state.next.pop_front()).or_else(|| state.fault.clone())
}

/// Counts a request as open until dropped.
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.open -= 1);
    }
}
