//! Blobs in a bucket: `PREFIX/sha256/ab/cdef…`. Requests are driven by a thread of their own, as
//! those to PostgreSQL are; who asks waits on its own thread, and not without end.

mod access;
mod http;

pub use access::{S3Access, S3Keys};

use super::{named, names};
use crate::{StoreError, drivers::drivers};
use ::http::StatusCode;
use callsheet_types::{BackendUrl, Digest};
use futures_util::TryStreamExt as _;
use http::{Connector, HEARD, Heard};
use object_store::{
    BackoffConfig, ObjectStore as _, ObjectStoreExt as _, PutMode, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    client::HttpError,
    path::Path,
};
use std::{
    error::Error,
    fmt,
    iter::successors,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    time::Duration,
};

/// How long one thing may take at most, however lively the server is.
const LONGEST: Duration = Duration::from_mins(15);

/// How often something is asked again that failed by no fault of its own.
const RETRIES: usize = 3;

pub(super) struct S3 {
    shared: Arc<Shared>,
}

struct Shared {
    store: AmazonS3,
    prefix: String,
    /// The bucket and where it is, for errors.
    place: Arc<str>,
    /// Whether there is such a bucket: that a key is missing there does not say so.
    is_seen: AtomicBool,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("S3").field(&self.shared.place).finish()
    }
}

impl S3 {
    pub(super) fn open(
        bucket: &str,
        prefix: &str,
        endpoint: Option<&BackendUrl>,
        access: &S3Access,
    ) -> Result<Self, StoreError> {
        let region = access.region.as_deref().unwrap_or("us-east-1");
        let given = endpoint.or(access.endpoint.as_ref());
        let endpoint = match given {
            Some(endpoint) => endpoint.to_string(),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let url = super::join(&format!("s3://{bucket}"), prefix);
        let place: Arc<str> = format!("{url} at {endpoint}").into();
        let builder = match &access.keys {
            Some(keys) => {
                let builder = AmazonS3Builder::new()
                    .with_access_key_id(keys.id.expose())
                    .with_secret_access_key(keys.secret.expose());
                match &keys.session_token {
                    Some(token) => builder.with_token(token.expose()),
                    None => builder,
                }
            }
            // Only Amazon knows its own machines.
            None if given.is_some() => {
                return Err(StoreError::Denied { place, cause: Box::new(NoKeys(None)) });
            }
            None => AmazonS3Builder::from_env(),
        };
        let retry = RetryConfig {
            backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..Default::default() },
            max_retries: RETRIES,
            // Who was silent once is not asked again.
            retry_timeout: access.silence / 2,
        };
        let connector =
            Connector { bucket: format!("{endpoint}/{bucket}"), silence: access.silence };
        let store = builder
            .with_bucket_name(bucket)
            .with_region(region)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint)
            .with_virtual_hosted_style_request(false)
            .with_retry(retry)
            // Not everybody who speaks S3 knows how to delete several at once.
            .with_disable_bulk_delete(true)
            .with_http_connector(connector)
            .build()
            .map_err(|cause| unreachable(&place, cause))?;
        let prefix = prefix.to_owned();
        let is_seen = AtomicBool::new(false);
        Ok(Self { shared: Arc::new(Shared { store, prefix, place, is_seen }) })
    }

    pub(super) fn place_of(&self, digest: &Digest) -> String {
        let (folder, name) = names(digest);
        let (url, endpoint) = self.shared.place.split_once(" at ").unwrap_or_default();
        format!("{url}/sha256/{folder}/{name} at {endpoint}")
    }

    pub(super) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        let (digest, bytes) = (*digest, bytes::Bytes::copy_from_slice(bytes));
        self.ask(async move |shared| {
            let key = shared.key(&digest);
            let put = async |mode: PutMode| {
                shared.store.put_opts(&key, bytes.clone().into(), mode.into()).await
            };
            let length = bytes.len() as u64;
            let done = match shared.length(&key).await? {
                Some(kept) if kept == length => return Ok(()),
                Some(_) => put(PutMode::Overwrite).await,
                None => match put(PutMode::Create).await {
                    // Somebody put the same meanwhile, or is about to.
                    Err(object_store::Error::AlreadyExists { .. }) => {
                        if shared.length(&key).await? == Some(length) {
                            return Ok(());
                        }
                        put(PutMode::Overwrite).await
                    }
                    // Older servers cannot put only what is not there. The bytes are the same.
                    Err(_) if heard_status() == Some(StatusCode::NOT_IMPLEMENTED) => {
                        put(PutMode::Overwrite).await
                    }
                    done => done,
                },
            };
            done.map_err(|error| shared.fail(&error)).map(drop)
        })
    }

    pub(super) fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let digest = *digest;
        self.ask(async move |shared| {
            let read = async || shared.store.get(&shared.key(&digest)).await?.bytes().await;
            match read().await {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(object_store::Error::NotFound { .. }) => shared.missing().await,
                Err(error) => Err(shared.fail(&error)),
            }
        })
    }

    pub(super) fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = *digest;
        self.ask(async move |shared| match shared.length(&shared.key(&digest)).await? {
            Some(_) => Ok(true),
            None => shared.missing::<()>().await.map(|_| false),
        })
    }

    pub(super) fn remove(&self, digest: &Digest) -> Result<bool, StoreError> {
        let digest = *digest;
        self.ask(async move |shared| {
            let key = shared.key(&digest);
            if shared.length(&key).await?.is_none() {
                return shared.missing::<()>().await.map(|_| false);
            }
            shared.store.delete(&key).await.map_err(|error| shared.fail(&error))?;
            Ok(true)
        })
    }

    pub(super) fn list(&self) -> Result<Vec<Digest>, StoreError> {
        self.ask(async move |shared| {
            let top = shared.top();
            let mut digests = Vec::new();
            let mut listed = shared.store.list(Some(&top));
            while let Some(object) = listed.try_next().await.map_err(|error| shared.fail(&error))? {
                let mut parts = object.location.as_ref().rsplit('/');
                let (name, folder) = (parts.next(), parts.next());
                let digest = folder.zip(name).and_then(|(folder, name)| named(folder, name));
                digests.extend(digest.filter(|digest| shared.key(digest) == object.location));
            }
            Ok(digests)
        })
    }

    /// Has something done by the thread that drives requests, and waits for it.
    fn ask<T, F>(
        &self,
        ask: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let place = &self.shared.place;
        let drivers = drivers().map_err(|error| unreachable(place, error))?;
        let (teller, told) = sync_channel(1);
        let asked = ask(self.shared.clone());
        let task = drivers.spawn(HEARD.scope(Arc::default(), async move {
            let _ = teller.send(asked.await);
        }));
        told.recv_timeout(LONGEST).unwrap_or_else(|_| {
            task.abort();
            Err(unreachable(place, "it took too long"))
        })
    }
}

impl Shared {
    fn top(&self) -> Path {
        Path::from(super::join(&self.prefix, "sha256"))
    }

    fn key(&self, digest: &Digest) -> Path {
        let (folder, name) = names(digest);
        self.top().join(folder).join(name)
    }

    /// Returns how long what is kept under a key is.
    async fn length(&self, key: &Path) -> Result<Option<u64>, StoreError> {
        match self.store.head(key).await {
            Ok(found) => {
                self.is_seen.store(true, Ordering::Relaxed);
                Ok(Some(found.size))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Makes sure, once, that it is a key that is missing, and not the bucket or the whole S3.
    async fn missing<T>(&self) -> Result<Option<T>, StoreError> {
        let heard = heard();
        let is_key = heard.refusal.and_then(|refusal| refusal.code).as_deref() == Some("NoSuchKey");
        if !is_key && !self.is_seen.load(Ordering::Relaxed) {
            let top = self.top();
            let mut listed = self.store.list(Some(&top));
            listed.try_next().await.map_err(|error| self.fail(&error))?;
        }
        self.is_seen.store(true, Ordering::Relaxed);
        Ok(None)
    }

    fn fail(&self, error: &object_store::Error) -> StoreError {
        let place = self.place.clone();
        let Heard { is_bucket, refusal } = heard();
        let network = network_error(error);
        if !is_bucket {
            let refusal = || refusal.map(|refusal| refusal.to_string());
            let why = network.or_else(refusal).unwrap_or_else(|| error.to_string());
            return StoreError::Denied { place, cause: Box::new(NoKeys(Some(why))) };
        }
        let Some(refusal) = refusal else {
            return match network {
                Some(why) => unreachable(&place, why),
                None => StoreError::Unexpected { place, cause: error.to_string().into() },
            };
        };
        let code = refusal.code.as_deref().unwrap_or_default();
        match refusal.status.as_u16() {
            404 if code == "NoSuchBucket" => StoreError::NoBucket { place },
            400 if DENIED.contains(&code) => StoreError::Denied { place, cause: Box::new(refusal) },
            401 | 403 => StoreError::Denied { place, cause: Box::new(refusal) },
            429 | 500.. => unreachable(&place, refusal),
            _ => StoreError::Unexpected { place, cause: Box::new(refusal) },
        }
    }
}

/// What is said with status 400 to who may not, and is not about what was asked.
const DENIED: [&str; 4] =
    ["AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken"];

/// Nobody says as whom one comes.
#[derive(Debug, thiserror::Error)]
#[error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set{}", because(.0.as_deref()))]
struct NoKeys(Option<String>);

fn because(why: Option<&str>) -> String {
    why.map(|why| format!(", and this machine has no role of its own: {why}")).unwrap_or_default()
}

fn heard() -> Heard {
    let heard = HEARD.try_with(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).clone());
    heard.unwrap_or_default()
}

fn heard_status() -> Option<StatusCode> {
    heard().refusal.map(|refusal| refusal.status)
}

/// Returns what the network says, without what was asked for, if it is the network.
fn network_error(error: &object_store::Error) -> Option<String> {
    let mut cause = Some(error as &(dyn Error + 'static));
    while let Some(error) = cause {
        if error.is::<HttpError>() {
            let reasons = successors(error.source(), |error| Error::source(*error));
            let reasons: Vec<_> = reasons.map(ToString::to_string).collect();
            return Some(reasons.join(": "));
        }
        cause = error.source();
    }
    None
}

fn unreachable(place: &Arc<str>, cause: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
    StoreError::Unreachable { place: place.clone(), cause: cause.into() }
}
