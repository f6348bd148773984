//! Probing: one task for each backend, from its arrival until it is gone.

use crate::{
    Link,
    health::{HealthPolicy, ProbeOutcome, Streak, judge},
    probe::{self, Question},
    registry::{Backend, BackendStatus, Registry},
};
use callsheet_types::Model;
use callsheet_upstream::{Deadlines, Replay, SendError};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{runtime::Handle, sync::watch, task::JoinHandle, time::Instant};

/// Probes the backends of a registry, side by side, each at its own pace.
///
/// Dropping it ends all probing.
pub struct Prober {
    registry: Arc<Registry>,
    policy: watch::Sender<HealthPolicy>,
    tasks: Mutex<HashMap<String, Watched>>,
    /// Backends may be added from any thread; their probes live here.
    runtime: Handle,
}

/// One backend's task; ends with it.
struct Watched {
    task: JoinHandle<()>,
    /// Becomes true with the first result.
    probed: watch::Receiver<bool>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A longer list of models is no list of models.
const MOST_LIST_BYTES: usize = 32 << 20;

impl Prober {
    /// A prober that watches nothing yet. Its probes run in the runtime that it is made in.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(registry: Arc<Registry>, policy: HealthPolicy) -> Self {
        let tasks = Mutex::default();
        Self { registry, policy: watch::Sender::new(policy), tasks, runtime: Handle::current() }
    }

    /// Replaces the policy; every backend is probed at once under the new one.
    pub fn set_policy(&self, policy: HealthPolicy) {
        self.policy.send_replace(policy);
    }

    /// Begins to probe a backend, at once and then at intervals. `fixed_models` says that its
    /// models were declared and are not taken from its list.
    pub fn watch(&self, backend: &Arc<Backend>, fixed_models: bool) {
        let (first, probed) = watch::channel(false);
        let task = self.runtime.spawn(keep_probing(
            Arc::clone(&self.registry),
            Arc::clone(backend),
            fixed_models,
            self.policy.subscribe(),
            first,
        ));
        self.tasks().insert(backend.id.clone(), Watched { task, probed });
    }

    /// Stops probing a backend and forgets it.
    pub fn forget(&self, id: &str) {
        self.tasks().remove(id);
    }

    /// Returns when every backend that is watched now has been probed once.
    pub async fn all_probed(&self) {
        let waiting: Vec<_> = self.tasks().values().map(|watched| watched.probed.clone()).collect();
        for mut probed in waiting {
            // An error means that the backend is gone, and with it the wait.
            let _ = probed.wait_for(|probed| *probed).await;
        }
    }

    /// Returns when this backend has been probed once, or is gone.
    pub async fn probed(&self, id: &str) {
        let probed = self.tasks().get(id).map(|watched| watched.probed.clone());
        if let Some(mut probed) = probed {
            let _ = probed.wait_for(|probed| *probed).await;
        }
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, HashMap<String, Watched>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_probing(
    registry: Arc<Registry>,
    backend: Arc<Backend>,
    fixed_models: bool,
    mut policy: watch::Receiver<HealthPolicy>,
    first: watch::Sender<bool>,
) {
    let mut streak = Streak::default();
    loop {
        let current = policy.borrow_and_update().clone();
        let by = Instant::now() + current.timeout;
        let answered = match tokio::time::timeout_at(by, ask(&backend, fixed_models, by)).await {
            Ok(answered) => answered,
            Err(_) => Answered::down("did not answer its probe in time"),
        };
        settle(&registry, &backend, answered, &mut streak, &current);
        first.send_replace(true);
        // Jitter keeps many gateways from probing a backend in step.
        let jittered = current.interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        let pause = tokio::time::sleep(jittered);
        tokio::select! {
            () = pause => {}
            changed = policy.changed() => if changed.is_err() { return },
        }
    }
}

/// What a probe brought.
struct Answered {
    outcome: ProbeOutcome,
    /// The models that it lists; `None` where they are not known from this probe.
    models: Option<Vec<Model>>,
}

impl Answered {
    fn up(models: Option<Vec<Model>>) -> Self {
        Self { outcome: ProbeOutcome::Up { complaint: None }, models }
    }

    fn down(error: impl Into<String>) -> Self {
        Self { outcome: ProbeOutcome::Down { error: error.into() }, models: None }
    }
}

fn settle(
    registry: &Registry,
    backend: &Arc<Backend>,
    answered: Answered,
    streak: &mut Streak,
    policy: &HealthPolicy,
) {
    let before = backend.status();
    let after = judge(streak, before, &answered.outcome, policy);
    // Models first: a backend that becomes healthy can be picked at once.
    if let Some(models) = answered.models
        && registry.listed(backend, models).is_err()
    {
        return;
    }
    let complaint = match answered.outcome {
        ProbeOutcome::Up { complaint } => complaint,
        ProbeOutcome::Down { error } => Some(error),
    };
    if registry.probed(backend, after, complaint.clone()).is_err() {
        // It is gone, or another stands in its place: what was found concerns nobody.
        return;
    }
    if after != before {
        let reason = complaint.as_deref().unwrap_or("");
        if after == BackendStatus::Unhealthy {
            tracing::warn!(backend = &*backend.id, was = %before, reason, "backend is unhealthy");
        } else {
            tracing::info!(backend = &*backend.id, was = %before, reason, "backend is {after}");
        }
    }
}

async fn ask(backend: &Backend, fixed_models: bool, by: Instant) -> Answered {
    let Some(link) = backend.link() else { return Answered::down("no address is known for it") };
    let mut is_ready = false;
    for question in Question::all(backend.backend_type) {
        let (status, body) = match get(link, backend, *question, by).await {
            Ok(answer) => answer,
            Err(error) => return Answered::down(error),
        };
        match (question, status) {
            (Question::Health, 200..=299) => is_ready = true,
            // Some builds have no such endpoint; their list of models decides.
            (Question::Health, 404) => {}
            (Question::Health, _) => {
                return Answered::down(format!("its /health answers {status}"));
            }
            (Question::Models, 200..=299) if fixed_models => return Answered::up(None),
            (Question::Models, 200..=299) => {
                return match probe::models(backend.backend_type, &body) {
                    Ok(models) => Answered::up(Some(models)),
                    Err(garbage) => Answered {
                        outcome: ProbeOutcome::Up { complaint: Some(garbage.to_string()) },
                        models: None,
                    },
                };
            }
            (Question::Models, 401 | 403) => {
                return Answered::down(format!(
                    "it refuses the key that is held for it ({status})"
                ));
            }
            // It is there, and its models are known without a list.
            (Question::Models, 404 | 405) if fixed_models || is_ready => return Answered::up(None),
            (Question::Models, _) => {
                return Answered::down(format!("its list of models answers {status}"));
            }
        }
    }
    Answered::up(None)
}

async fn get(
    link: &Link,
    backend: &Backend,
    question: Question,
    by: Instant,
) -> Result<(u16, bytes::Bytes), String> {
    let mut request = match (question, backend.backend_type) {
        (Question::Health, _) => link.root_request("GET", "/health"),
        (Question::Models, crate::BackendType::Ollama) => link.root_request("GET", "/api/tags"),
        (Question::Models, _) => link.request("GET", "/v1/models"),
    };
    request.header("accept-encoding", b"identity");
    request.header("user-agent", concat!("callsheet/", env!("CARGO_PKG_VERSION")).as_bytes());
    let deadlines = Deadlines { head: by, replay: Replay::Always };
    let answer = link.upstream().send(&request, deadlines).await.map_err(|error| said(&error))?;
    let status = answer.status.as_u16();
    let body = answer.body.collect(MOST_LIST_BYTES).await;
    body.map(|body| (status, body)).map_err(|error| format!("its answer broke off: {error}"))
}

/// Says an error with its cause, which is what an operator needs to know.
fn said(error: &SendError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
