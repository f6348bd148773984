//! A backend that is a real server and does what the test tells it to.

mod answer;
pub(crate) mod request;
pub(crate) mod serve;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::request::Recorded;
use crate::{Behaviour, within};

/// How a backend answers questions about itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Kind {
    /// `/api/tags`, and `/v1/models` as well.
    Ollama,
    /// `/v1/models`, and `/health` if this build has it.
    LlamaCpp {
        /// Whether `/health` exists; 404 otherwise.
        has_health: bool,
    },
    /// `/v1/models`.
    #[default]
    Generic,
}

/// A server on a free port of 127.0.0.1 that speaks `OpenAI`'s protocol.
///
/// It runs on the runtime of the test that started it and ends when it is dropped. A *call* is a
/// request for work; a *probe* asks `/v1/models`, `/api/tags` or `/health`. Counters and waits
/// speak of calls unless they say otherwise.
#[derive(Debug)]
pub struct FakeBackend {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// Settings of a [`FakeBackend`] that has not started yet.
#[derive(Debug)]
pub struct Builder {
    models: Vec<String>,
    kind: Kind,
}

impl Builder {
    /// Offers these models.
    #[must_use]
    pub fn models<S: Into<String>>(mut self, models: impl IntoIterator<Item = S>) -> Self {
        self.models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Answers probes as this kind of backend does.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Starts the server.
    pub async fn start(self) -> FakeBackend {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port of 127.0.0.1");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            kind: self.kind,
            state: watch::Sender::new(State { models: self.models, ..State::default() }),
        });
        let task = tokio::spawn(serve::run(listener, Arc::clone(&shared)));
        FakeBackend { address, shared, task: Mutex::new(Some(task)) }
    }
}

impl FakeBackend {
    /// Starts a generic backend that offers `test-model`.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Returns the settings of [`FakeBackend::start`], to be changed.
    pub fn builder() -> Builder {
        Builder { models: vec!["test-model".to_owned()], kind: Kind::default() }
    }

    /// Returns the address as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the `[[backends]]` table that configures this backend under `name`. Further keys
    /// may be appended to it.
    pub fn config(&self, name: &str) -> String {
        let kind = match self.shared.kind {
            Kind::Ollama => "ollama",
            Kind::LlamaCpp { .. } => "llamacpp",
            Kind::Generic => "generic",
        };
        format!("\n[[backends]]\nname = \"{name}\"\ntype = \"{kind}\"\nurl = \"{}\"\n", self.url())
    }

    /// Answers every following call like this.
    pub fn script(&self, behaviour: Behaviour) {
        self.shared.change(|state| state.behaviour = behaviour);
    }

    /// Answers the next `n` calls like this; what was announced earlier comes first.
    pub fn script_next(&self, n: usize, behaviour: Behaviour) {
        self.shared.change(|state| state.next.extend(std::iter::repeat_n(behaviour, n)));
    }

    /// Offers these models from now on.
    pub fn set_models<S: Into<String>>(&self, models: impl IntoIterator<Item = S>) {
        let models = models.into_iter().map(Into::into).collect();
        self.shared.change(|state| state.models = models);
    }

    /// Answers `/v1/models` and `/api/tags` like this; [`Behaviour::Answer`] is the list again.
    pub fn models_answer(&self, behaviour: Behaviour) {
        self.shared.change(|state| state.models_answer = behaviour);
    }

    /// Answers `/health` like this; [`Behaviour::Answer`] is what the [`Kind`] says again.
    pub fn health_answer(&self, behaviour: Behaviour) {
        self.shared.change(|state| state.health_answer = behaviour);
    }

    /// Returns all calls so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state.borrow().requests.clone()
    }

    /// Returns all probes so far, oldest first.
    pub fn probes(&self) -> Vec<Recorded> {
        self.shared.state.borrow().probes.clone()
    }

    /// Returns the number of calls so far.
    pub fn request_count(&self) -> usize {
        self.shared.state.borrow().requests.len()
    }

    /// Returns the number of probes so far.
    pub fn probe_count(&self) -> usize {
        self.shared.state.borrow().probes.len()
    }

    /// Returns the number of connections accepted so far, by whomever.
    pub fn connection_count(&self) -> usize {
        self.shared.state.borrow().connections
    }

    /// Returns the number of calls being answered now.
    pub fn open_requests(&self) -> usize {
        self.shared.state.borrow().open
    }

    /// Returns the largest number of calls that were ever answered at once.
    pub fn max_open(&self) -> usize {
        self.shared.state.borrow().max_open
    }

    /// Returns how many calls lost their client before their answer was complete.
    pub fn disconnect_count(&self) -> usize {
        self.shared.state.borrow().disconnects
    }

    /// Waits until `n` calls have arrived since the start.
    pub async fn wait_for_requests(&self, n: usize) {
        self.wait(&format!("{n} calls"), |state| state.requests.len() >= n).await;
    }

    /// Waits until `n` probes have arrived since the start.
    pub async fn wait_for_probes(&self, n: usize) {
        self.wait(&format!("{n} probes"), |state| state.probes.len() >= n).await;
    }

    /// Waits until `n` calls are being answered at this moment.
    pub async fn wait_for_open(&self, n: usize) {
        self.wait(&format!("{n} open calls"), |state| state.open == n).await;
    }

    /// Waits until no call is being answered.
    pub async fn wait_until_idle(&self) {
        self.wait("no open calls", |state| state.open == 0).await;
    }

    /// Waits until `n` calls have lost their client since the start.
    pub async fn wait_for_disconnects(&self, n: usize) {
        self.wait(&format!("{n} disconnects"), |state| state.disconnects >= n).await;
    }

    async fn wait(&self, what: &str, is_met: impl Fn(&State) -> bool) {
        let mut changes = self.shared.state.subscribe();
        let met = async {
            let _ = changes.wait_for(|state| is_met(state)).await;
        };
        if tokio::time::timeout(crate::PATIENCE, met).await.is_err() {
            let state = self.shared.state.borrow();
            panic!(
                "waited {:?} in vain for {what} at {}: {} calls, {} probes, {} open, {} disconnects",
                crate::PATIENCE,
                self.url(),
                state.requests.len(),
                state.probes.len(),
                state.open,
                state.disconnects
            );
        }
    }

    /// Stops listening and drops every connection. The recordings stay.
    pub async fn stop(&self) {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
            let _ = within("the end of the stand-in", task).await;
        }
    }

    /// Stops if need be and listens again on the same port.
    pub async fn restart(&self) {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await.unwrap_or_else(|error| {
            panic!("the port of {} is no longer free: {error}", self.url())
        });
        let task = tokio::spawn(serve::run(listener, Arc::clone(&self.shared)));
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            task.abort();
        }
    }
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    state: watch::Sender<State>,
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.state.send_modify(|state| result = Some(change(state)));
        result.expect("send_modify calls its argument")
    }
}

#[derive(Debug)]
struct State {
    behaviour: Behaviour,
    next: VecDeque<Behaviour>,
    models: Vec<String>,
    models_answer: Behaviour,
    health_answer: Behaviour,
    requests: Vec<Recorded>,
    probes: Vec<Recorded>,
    connections: usize,
    open: usize,
    max_open: usize,
    disconnects: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::Answer,
            next: VecDeque::new(),
            models: Vec::new(),
            models_answer: Behaviour::Answer,
            health_answer: Behaviour::Answer,
            requests: Vec::new(),
            probes: Vec::new(),
            connections: 0,
            open: 0,
            max_open: 0,
            disconnects: 0,
        }
    }
}
