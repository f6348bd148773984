//! From a request to its answer: read, resolve, pick, try, and try elsewhere.

use crate::{
    Also, Journal, Policy, Retry,
    attempt::{self, Attempt},
    body::Body,
    budget::{ByteBudget, RetryBudget},
    call::Call,
    error::{Failure, Refused},
    fill::Fill,
    forward::{self, Heard},
    intake::{Endpoint, Wishes, collect, endpoint, path_of},
    meters::Meters,
    models,
    resolve::{PRESET_PREFIX, Target, chain},
    scan::{Scan, ScanError, scan},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use callsheet_fleet::{
    InFlight, Needs, Reason, Refusal, Route, Verdict, Wait,
    registry::{Backend, BackendStatus, Registry},
};
use callsheet_types::{LocalArc, Principal, SharedByAll};
use http::{Request, Response};
use std::{
    collections::HashMap,
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

/// The data plane: everything under `/v1`.
pub struct Gateway {
    pub(crate) fleet: Arc<Registry>,
    policy: ArcSwap<SharedByAll<Policy>>,
    pub(crate) meters: Meters,
    pub(crate) journal: Arc<Journal>,
    retries: RetryBudget,
    bodies: ByteBudget,
    started: jiff::Timestamp,
}

/// One thread's hold on a [`Gateway`].
#[derive(Clone)]
pub struct Handle(LocalArc<Gateway>);

impl std::ops::Deref for Handle {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.0
    }
}

impl Handle {
    /// Answers one request under `/v1`.
    ///
    /// Dropping the future, or the body of the answer, cancels what is under way at the backend.
    pub async fn handle<B>(&self, request: Request<B>, principal: Principal) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Display,
    {
        let (parts, body) = request.into_parts();
        let heard = Heard::read(&parts.headers);
        let call = Box::new(Call::new(
            self.clone(),
            heard.request_id.clone(),
            principal,
            parts.method.clone(),
            path_of(&parts),
            Instant::now(),
        ));
        let outcome = match endpoint(&parts) {
            Ok(Endpoint::Call(path)) => self.call(call, path, &heard, body).await,
            Ok(Endpoint::Models) => Ok(self.listing(call)),
            Ok(Endpoint::Model(name)) => self.one_model(call, name),
            Err(refused) => Err((call, refused)),
        };
        let mut response = match outcome {
            Ok(response) => response,
            Err((mut call, refused)) => {
                let said = refused.say();
                call.refused(said.code, said.status.as_u16());
                if said.status.is_server_error() {
                    tracing::warn!(request_id = call.id(), code = said.code, "{}", said.message);
                }
                refused.response(call.id())
            }
        };
        response.headers_mut().insert(forward::REQUEST_ID.clone(), heard.request_id);
        response
    }
}

/// How often a request that waits in the queue looks around for itself: a backend may have come
/// back, or come new, without anybody giving up a place.
const LOOK_AROUND: Duration = Duration::from_millis(100);

impl Gateway {
    /// A gateway to a fleet.
    pub fn new(
        fleet: Arc<Registry>,
        policy: Policy,
        journal: Arc<Journal>,
    ) -> Result<Self, prometheus::Error> {
        Ok(Self {
            fleet,
            policy: ArcSwap::from_pointee(SharedByAll::new(policy)),
            meters: Meters::new()?,
            journal,
            retries: RetryBudget::new(Instant::now()),
            bodies: ByteBudget::default(),
            started: jiff::Timestamp::now(),
        })
    }

    /// Replaces the policy for the requests to come. What else models are called stays as it is:
    /// it comes from elsewhere, by [`Gateway::set_also`].
    pub fn set_policy(&self, policy: &Policy) {
        self.policy.rcu(|now| {
            let also = Arc::clone(&now.get().also);
            Arc::new(SharedByAll::new(Policy { also, ..policy.clone() }))
        });
    }

    /// Says what else models are called, and leaves the rest of the policy.
    pub fn set_also(&self, also: &Arc<HashMap<String, Vec<Also>>>) {
        self.policy.rcu(|now| {
            let policy = Policy::clone(&now.get());
            Arc::new(SharedByAll::new(Policy { also: Arc::clone(also), ..policy }))
        });
    }

    /// Returns the policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.load().get())
    }

    /// Returns everything that was counted, for a scrape.
    pub fn metrics(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.meters.families()
    }

    /// Returns how many bytes of request bodies are held now.
    pub fn held_body_bytes(&self) -> usize {
        self.bodies.held()
    }

    /// Forgets the metrics of a backend that is gone.
    pub fn forget_backend(&self, id: &str) {
        self.meters.forget(id);
    }

    /// Forgets what was just counted for a backend, if it was removed meanwhile: it must not come
    /// back as a series that nobody removes. To be asked after counting, since whoever removes a
    /// backend forgets it afterwards.
    pub(crate) fn forget_if_gone(&self, id: &str) {
        if self.fleet.get_backend(id).is_none() {
            self.meters.forget(id);
        }
    }

    /// Returns a hold on the gateway for one thread, so that counting its requests' references
    /// touches no cache line of another's.
    pub fn for_thread(self: &Arc<Self>) -> Handle {
        Handle(LocalArc::new(self))
    }

    fn listing(&self, mut call: Box<Call>) -> Response<Body> {
        call.status = 200;
        call.answered(Instant::now());
        models::list(&self.fleet, &self.policy(), self.started)
    }

    fn one_model(
        &self,
        mut call: Box<Call>,
        name: &str,
    ) -> Result<Response<Body>, (Box<Call>, Refused)> {
        let policy = self.policy();
        let Some(response) = models::one(name, &self.fleet, &policy, self.started) else {
            return Err((call, unknown_model(name, name, &policy)));
        };
        call.status = 200;
        call.answered(Instant::now());
        Ok(response)
    }

    async fn call<B>(
        &self,
        mut call: Box<Call>,
        path: &'static str,
        heard: &Heard<'_>,
        body: B,
    ) -> Result<Response<Body>, (Box<Call>, Refused)>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Display,
    {
        let policy = self.policy.load().get();
        let wishes = match Wishes::read(heard, &policy, call.started) {
            Ok(wishes) => wishes,
            Err(refused) => return Err((call, refused)),
        };
        // What is held of the body is given back as soon as the body is dropped.
        let (body, _held) = match collect(body, heard, &policy, self.bodies.none()).await {
            Ok(collected) => collected,
            Err(refused) => return Err((call, refused)),
        };
        let scan = match scan(&body) {
            Ok(scan) => scan,
            Err(error) => return Err((call, error.into())),
        };
        call.model = scan.model.as_ref().into();
        call.stream = scan.stream;
        self.retries.deposit();
        let request = attempt::Wanted { path, headers: &heard.forwarded, body: &body, scan: &scan };
        self.route(call, &request, &policy, wishes).await
    }

    /// Tries one backend after the other, and one model after the other, until one answers.
    async fn route(
        &self,
        mut call: Box<Call>,
        wanted: &attempt::Wanted<'_>,
        policy: &Policy,
        wishes: Wishes,
    ) -> Result<Response<Body>, (Box<Call>, Refused)> {
        let scan = wanted.scan;
        let mut failures: Vec<(String, Failure)> = Vec::new();
        let mut tried: Vec<Arc<Backend>> = Vec::new();
        let mut refusal = None;
        for target in chain(&scan.model, policy, &self.fleet) {
            let fill = match fill(target, wanted) {
                Ok(fill) => fill,
                Err(error) => return Err((call, error.into())),
            };
            let tried_before = tried.len();
            loop {
                let needs = Needs {
                    only: target.backend,
                    tried: &tried,
                    ..scan.needs(policy.bytes_per_token, fill.as_ref())
                };
                let mut place = self.place(target, &needs, scan, policy, wishes.deadline).await;
                if matches!(place, Err(Refused::NoneAvailable { .. })) && tried_before > 0 {
                    // A backend that failed with one model may yet serve another.
                    let needs = Needs { tried: &tried[tried_before..], ..needs };
                    place = self.place(target, &needs, scan, policy, wishes.deadline).await;
                }
                let (place, now) = match place {
                    Ok(placed) => placed,
                    Err(refused) => {
                        refusal.get_or_insert(refused);
                        break;
                    }
                };
                if let Some((backend, failure)) = failures.last() {
                    if !self.retries.withdraw(policy.retries, Instant::now()) {
                        drop(place);
                        return Err((call, failed(scan, failures)));
                    }
                    self.meters.retried(backend, target.model, failure.class());
                    self.forget_if_gone(backend);
                }
                call.begin(place, target.model, now);
                let attempt = Attempt {
                    target,
                    fill: fill.as_ref(),
                    policy,
                    deadline: wishes.deadline,
                    retry: wishes.retry,
                };
                let failure = match attempt.run(call, wanted, now).await {
                    Ok(response) => return Ok(response),
                    Err((returned, failure)) => {
                        call = returned;
                        failure
                    }
                };
                call.failed(&failure, target.model);
                let Some(backend) = call.release() else { break };
                tracing::info!(request_id = call.id(), backend = &*backend.id, %failure, "attempt failed");
                let out_of_time = Instant::now() >= wishes.deadline;
                let is_final = failure.may_have_been_served() && wishes.retry == Retry::Safe;
                failures.push((backend.id.clone(), failure));
                tried.push(backend);
                if out_of_time {
                    let spent = call.started.elapsed();
                    return Err((call, Refused::Deadline { spent }));
                }
                if is_final {
                    return Err((call, failed(scan, failures)));
                }
            }
        }
        let refused = match refusal {
            Some(refused) if failures.is_empty() => refused,
            _ => failed(scan, failures),
        };
        Err((call, refused))
    }

    /// Returns a place at a backend, waiting for one if all are busy, and since when it is taken.
    async fn place(
        &self,
        target: Target<'_>,
        needs: &Needs<'_>,
        scan: &Scan<'_>,
        policy: &Policy,
        deadline: Instant,
    ) -> Result<(InFlight, Instant), Refused> {
        let now = Instant::now();
        match self.fleet.pick(target.model, needs, now) {
            Route::To(place) => Ok((place, now)),
            Route::Wait(wait) => {
                let place = self.queue(wait, target, needs, scan, policy, deadline).await?;
                Ok((place, Instant::now()))
            }
            Route::Refuse(refusal) => Err(self.refused(&refusal, target, needs, scan, policy)),
        }
    }

    async fn queue(
        &self,
        wait: Wait,
        target: Target<'_>,
        needs: &Needs<'_>,
        scan: &Scan<'_>,
        policy: &Policy,
        deadline: Instant,
    ) -> Result<InFlight, Refused> {
        let model = || scan.model.to_string();
        let mut ticket = wait.join().map_err(|_| Refused::QueueFull { model: model() })?;
        let since = Instant::now();
        let until = deadline.min(since + policy.limits.queue_timeout);
        loop {
            let look_around = until.min(Instant::now() + LOOK_AROUND);
            let granted = tokio::time::timeout_at(look_around.into(), ticket.granted()).await;
            if let Ok(place) = granted {
                return Ok(place);
            }
            match self.fleet.pick(target.model, needs, Instant::now()) {
                Route::To(place) => return Ok(place),
                Route::Wait(_) => {}
                Route::Refuse(refusal) => {
                    return Err(self.refused(&refusal, target, needs, scan, policy));
                }
            }
            let now = Instant::now();
            if now >= deadline {
                return Err(Refused::Deadline { spent: since.elapsed() });
            }
            if now >= until {
                return Err(Refused::QueueTimeout { model: model(), waited: since.elapsed() });
            }
        }
    }

    /// Explains a refusal to the client: which backends there are, and why each will not do.
    fn refused(
        &self,
        refusal: &Refusal,
        target: Target<'_>,
        needs: &Needs<'_>,
        scan: &Scan<'_>,
        policy: &Policy,
    ) -> Refused {
        let model = scan.model.to_string();
        let why = || {
            let explanation = self.fleet.explain(target.model, needs, Instant::now());
            let losers: Vec<_> = explanation
                .candidates
                .iter()
                .filter(|candidate| candidate.verdict != Verdict::Lost(Reason::NotOffered))
                .take(8)
                .map(|candidate| format!("{} {}", candidate.backend, candidate.verdict))
                .collect();
            losers.join("; ")
        };
        let is_unprobed = |backend: &Arc<Backend>| backend.status() == BackendStatus::Unknown;
        match refusal {
            Refusal::UnknownModel if is_unknown_preset(target.model) => {
                unknown_model(&scan.model, target.model, policy)
            }
            Refusal::UnknownModel if self.fleet.get_all_backends().iter().any(is_unprobed) => {
                Refused::Starting { model }
            }
            Refusal::UnknownModel => unknown_model(&scan.model, target.model, policy),
            Refusal::NoneAvailable { retry_after } => {
                Refused::NoneAvailable { model, why: why(), retry_after: *retry_after }
            }
            Refusal::NeedsUnmet => Refused::NeedsUnmet { model, why: why() },
        }
    }
}

/// Returns what a target's preset adds to a request; embeddings take no parameters of sampling.
fn fill<'a>(
    target: Target<'a>,
    wanted: &attempt::Wanted<'_>,
) -> Result<Option<Fill<'a>>, ScanError> {
    let preset = target.preset.filter(|_| wanted.path != "/v1/embeddings");
    preset.map(|preset| Fill::of(preset, wanted.body)).transpose()
}

/// Returns whether a name that nothing is known by looks like a preset's. No backend that has not
/// been asked for its models yet can make it known.
fn is_unknown_preset(name: &str) -> bool {
    name.starts_with(PRESET_PREFIX)
}

/// Explains that nobody knows what a name leads to.
fn unknown_model(name: &str, leads_to: &str, policy: &Policy) -> Refused {
    let model = name.to_owned();
    if name == leads_to && is_unknown_preset(name) {
        let mut presets: Vec<_> = policy.presets.keys().cloned().collect();
        presets.sort();
        return Refused::UnknownPreset { model, presets };
    }
    let leads_to = (name != leads_to).then(|| leads_to.to_owned());
    Refused::UnknownModel { model, leads_to }
}

fn failed(scan: &Scan<'_>, attempts: Vec<(String, Failure)>) -> Refused {
    Refused::Failed { model: scan.model.to_string(), attempts }
}
