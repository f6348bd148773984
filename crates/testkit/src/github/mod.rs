//! A GitHub that is real servers: releases, refs, files and archives of repositories that a test
//! makes up and changes while it runs, and failures on demand.

mod answer;
mod archive;
mod condition;
mod fault;
mod host;
mod proxy;
mod repository;
mod routes;
mod serve;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use self::archive::ArchiveKind;
pub use self::fault::GitHubFault;
use self::fault::Rule;
use self::host::Door;
pub use self::host::GitHubHost;
pub use self::proxy::GitHubProxy;
pub use self::repository::FakeRepository;
use self::repository::{Clock, Repository};
pub use self::tree::FakeTree;
use crate::within;

/// Servers on free ports of 127.0.0.1 that answer as GitHub's hosts do, one port for each.
///
/// They run on the runtime of the test that started them and end when this is dropped. Clients that
/// only know the real addresses are led here by [`FakeGitHub::proxy`].
///
/// ```no_run
/// # use callsheet_testkit::{FakeGitHub, GitHubFault, GitHubHost};
/// # async fn test() {
/// let hub = FakeGitHub::start().await;
/// let repository = hub.repository("owner/name");
/// let commit = repository.commit([("mf6/a/mfsim.nam", "BEGIN options")]);
/// repository.branch("feature/x", &commit);
/// repository.release("v1", [("models.toml", "schema_version = \"1.0\"")]);
/// hub.fault_next(1, GitHubHost::Raw, "/owner/name/", GitHubFault::too_many_requests(1));
/// # }
/// ```
#[derive(Debug)]
pub struct FakeGitHub {
    addresses: [SocketAddr; 6],
    shared: Arc<Shared>,
    servers: Mutex<JoinSet<()>>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct GitHubRequest {
    /// Which host was asked.
    pub host: GitHubHost,
    /// The method.
    pub method: String,
    /// The request target as sent, with its query.
    pub path: String,
    /// The headers in order, names as sent.
    pub headers: Vec<(String, String)>,
}

impl GitHubRequest {
    /// Returns the first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

impl FakeGitHub {
    /// Starts a GitHub without repositories.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Self {
        let mut listeners = Vec::new();
        for host in GitHubHost::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            listeners.push((host, listener));
        }
        let addresses = std::array::from_fn(|index| {
            listeners[index].1.local_addr().expect("a bound listener has an address")
        });
        let shared = Arc::new(Shared(watch::Sender::new(State::default())));
        let hub = Self { addresses, shared, servers: Mutex::default() };
        hub.serve(listeners);
        hub
    }

    fn serve(&self, listeners: Vec<(GitHubHost, TcpListener)>) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        for (host, listener) in listeners {
            let door = Door::Plain(self.addresses);
            servers.spawn(serve::run(listener, Arc::clone(&self.shared), door, host));
        }
    }

    /// Returns the address of a host as `http://127.0.0.1:PORT`.
    pub fn url(&self, host: GitHubHost) -> String {
        Door::Plain(self.addresses).url(host)
    }

    /// Returns what stands for `https://github.com`.
    pub fn web_url(&self) -> String {
        self.url(GitHubHost::Web)
    }

    /// Returns what stands for `https://raw.githubusercontent.com`.
    pub fn raw_url(&self) -> String {
        self.url(GitHubHost::Raw)
    }

    /// Returns what stands for `https://api.github.com`.
    pub fn api_url(&self) -> String {
        self.url(GitHubHost::Api)
    }

    /// Returns the `[github]` table that leads a daemon or a command to these servers. Further keys
    /// may be appended to it.
    pub fn config(&self) -> String {
        let (web, raw, api) = (self.web_url(), self.raw_url(), self.api_url());
        format!("\n[github]\nweb = \"{web}\"\nraw = \"{raw}\"\napi = \"{api}\"\n")
    }

    /// Returns a repository `owner/name`, which is made when it is not there yet.
    ///
    /// # Panics
    /// When the name is not of that form.
    pub fn repository(&self, name: &str) -> FakeRepository {
        assert_eq!(name.matches('/').count(), 1, "not owner/name: {name}");
        self.shared.change(|state| {
            let repository = state.repositories.entry(name.to_ascii_lowercase()).or_default();
            if repository.name.is_empty() {
                name.clone_into(&mut repository.name);
            }
        });
        FakeRepository { shared: Arc::clone(&self.shared), name: name.to_owned() }
    }

    /// Deletes a repository.
    pub fn delete_repository(&self, name: &str) {
        self.shared.change(|state| state.repositories.remove(&name.to_ascii_lowercase()));
    }

    /// Says or leaves out the digests of release assets; they are said at first.
    pub fn set_digests(&self, are_said: bool) {
        self.shared.change(|state| state.has_digests = are_said);
    }

    /// Has private release assets at their web address for whoever brings the token, or only at
    /// `releases/assets/{id}` of the API, as the real one does. The first holds at first, and then
    /// nobody is expected to ask the API.
    pub fn set_web_takes_tokens(&self, are_taken: bool) {
        self.shared.change(|state| state.web_takes_tokens = are_taken);
    }

    /// Sends files packed with gzip to whoever accepts that, as the real host does; at first they
    /// are sent as they are.
    pub fn set_compression(&self, is_used: bool) {
        self.shared.change(|state| state.compresses_files = is_used);
    }

    /// Serves parts of what a host has, or only the whole. At first files and release assets can be
    /// had in parts, and archives cannot: these have no length then either.
    pub fn set_ranges(&self, host: GitHubHost, are_served: bool) {
        self.shared.change(|state| state.ranges.insert(host, are_served));
    }

    /// Answers everything later by this, or at once.
    pub fn set_delay(&self, delay: Option<Duration>) {
        self.shared.change(|state| state.delay = delay);
    }

    /// Spoils every answer of a host (`None`: of all) to a path that begins so.
    pub fn fault(&self, host: impl Into<Option<GitHubHost>>, prefix: &str, fault: GitHubFault) {
        self.add_rule(host.into(), prefix, 0, None, fault);
    }

    /// Spoils the next `n` such answers; what was announced earlier comes first.
    pub fn fault_next(
        &self,
        n: usize,
        host: impl Into<Option<GitHubHost>>,
        prefix: &str,
        fault: GitHubFault,
    ) {
        self.add_rule(host.into(), prefix, 0, Some(n), fault);
    }

    /// Spoils every such answer but the next `spared`.
    pub fn fault_after(
        &self,
        spared: usize,
        host: impl Into<Option<GitHubHost>>,
        prefix: &str,
        fault: GitHubFault,
    ) {
        self.add_rule(host.into(), prefix, spared, None, fault);
    }

    fn add_rule(
        &self,
        host: Option<GitHubHost>,
        prefix: &str,
        spared: usize,
        left: Option<usize>,
        fault: GitHubFault,
    ) {
        if left != Some(0) {
            let rule = Rule { host, prefix: prefix.to_owned(), spared, left, fault };
            self.shared.change(|state| state.rules.push(rule));
        }
    }

    /// Ends all faults; pauses that have begun end with their gate.
    pub fn heal(&self) {
        self.shared.change(|state| state.rules.clear());
    }

    /// Returns all requests so far, oldest first.
    pub fn requests(&self) -> Vec<GitHubRequest> {
        self.shared.0.borrow().requests.clone()
    }

    /// Returns how many requests a host (`None`: any) had for a path that begins so.
    pub fn count(&self, host: impl Into<Option<GitHubHost>>, prefix: &str) -> usize {
        self.shared.0.borrow().count(host.into(), prefix)
    }

    /// Returns the number of requests so far.
    pub fn request_count(&self) -> usize {
        self.shared.0.borrow().requests.len()
    }

    /// Forgets all requests so far, the unexpected and refused ones and the connections too.
    pub fn forget_requests(&self) {
        self.shared.change(|state| {
            state.requests.clear();
            state.unexpected.clear();
            state.connections.clear();
            state.refused.clear();
        });
    }

    /// Returns the requests for what nobody should ask GitHub for: API endpoints beyond the few
    /// that exist here, web pages, and other methods than `GET` and `HEAD`.
    pub fn unexpected(&self) -> Vec<GitHubRequest> {
        self.shared.0.borrow().unexpected.clone()
    }

    /// Returns the `Authorization` headers that a host was sent, as they were.
    pub fn authorizations(&self, host: GitHubHost) -> BTreeSet<String> {
        let state = self.shared.0.borrow();
        let requests = state.requests.iter().filter(|request| request.host == host);
        requests.filter_map(|request| request.header("authorization")).map(str::to_owned).collect()
    }

    /// Returns how many connections were opened so far, to all hosts.
    pub fn connections(&self) -> usize {
        self.shared.0.borrow().connections.values().sum()
    }

    /// Returns how many connections were opened to a host so far.
    pub fn connections_to(&self, host: GitHubHost) -> usize {
        self.shared.0.borrow().connections.get(&host).copied().unwrap_or_default()
    }

    /// Waits until a host (`None`: any) has had `n` requests for a path that begins so.
    pub async fn wait_for_requests(
        &self,
        n: usize,
        host: impl Into<Option<GitHubHost>>,
        prefix: &str,
    ) {
        let host = host.into();
        let what = format!("{n} requests to {host:?} for {prefix}");
        self.wait(&what, |state| state.count(host, prefix) >= n).await;
    }

    /// Waits until `n` answers have stalled since the start.
    pub async fn wait_for_stalls(&self, n: usize) {
        self.wait(&format!("{n} stalls"), |state| state.stalls >= n).await;
    }

    async fn wait(&self, what: &str, is_met: impl FnMut(&State) -> bool) {
        let mut changes = self.shared.0.subscribe();
        within(what, changes.wait_for(is_met)).await.expect("the sender lives in `self`");
    }

    /// Stops listening and drops every plain connection. The recordings stay.
    pub async fn stop(&self) {
        let mut servers =
            std::mem::take(&mut *self.servers.lock().unwrap_or_else(PoisonError::into_inner));
        within("the end of the stand-in", servers.shutdown()).await;
    }

    /// Stops if need be and listens again on the same ports.
    ///
    /// # Panics
    /// When a port is no longer free.
    pub async fn restart(&self) {
        self.stop().await;
        let mut listeners = Vec::new();
        for host in GitHubHost::ALL {
            let address = self.addresses[host as usize];
            let listener = TcpListener::bind(address).await;
            listeners.push((host, listener.expect("the port that it had before")));
        }
        self.serve(listeners);
    }
}

#[derive(Debug)]
struct Shared(watch::Sender<State>);

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|state| result = Some(change(state)));
        result.expect("send_modify calls its argument")
    }
}

#[derive(Debug)]
struct State {
    /// By `owner/name` in lower case.
    repositories: BTreeMap<String, Repository>,
    clock: Clock,
    has_digests: bool,
    web_takes_tokens: bool,
    compresses_files: bool,
    ranges: BTreeMap<GitHubHost, bool>,
    delay: Option<Duration>,
    rules: Vec<Rule>,
    requests: Vec<GitHubRequest>,
    unexpected: Vec<GitHubRequest>,
    connections: BTreeMap<GitHubHost, usize>,
    stalls: usize,
    refused: Vec<String>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            repositories: BTreeMap::new(),
            clock: Clock::default(),
            has_digests: true,
            web_takes_tokens: true,
            compresses_files: false,
            ranges: BTreeMap::new(),
            delay: None,
            rules: Vec::new(),
            requests: Vec::new(),
            unexpected: Vec::new(),
            connections: BTreeMap::new(),
            stalls: 0,
            refused: Vec::new(),
        }
    }
}

impl State {
    fn has_ranges(&self, host: GitHubHost) -> bool {
        self.ranges.get(&host).copied().unwrap_or(host != GitHubHost::Codeload)
    }

    fn count(&self, host: Option<GitHubHost>, prefix: &str) -> usize {
        let requests = self.requests.iter();
        requests
            .filter(|request| host.is_none_or(|host| host == request.host))
            .filter(|request| {
                request.path.starts_with(prefix)
                    || routes::decode(&request.path).starts_with(prefix)
            })
            .count()
    }
}
