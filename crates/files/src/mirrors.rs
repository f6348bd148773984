//! Mirrors: other installations that may have a file already.

use crate::{CacheError, Library, OnProgress, Progress, Registry, fetch::Fault};
use callsheet_sources::{FetchError, Request};
use futures_util::{StreamExt, stream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

impl Library {
    /// Asks other installations for files by their digests; returns what none of them has.
    pub(crate) async fn ask_mirrors(
        &self,
        registry: &Registry,
        missing: Vec<u32>,
        on_progress: OnProgress<'_>,
    ) -> Vec<u32> {
        let mut left = missing;
        if self.http.is_offline() {
            return left;
        }
        for mirror in &self.settings.mirrors {
            // One that does not answer is not asked again for each file.
            let is_down = AtomicBool::new(false);
            let done = AtomicU64::new(0);
            let total = left.len() as u64;
            let fetched: Vec<(u32, bool)> = stream::iter(left)
                .map(|at| {
                    let (is_down, done) = (&is_down, &done);
                    async move {
                        let digest = registry.files.get(at as usize).and_then(|file| file.digest);
                        let Some(digest) = digest.filter(|_| !is_down.load(Ordering::Relaxed))
                        else {
                            return (at, false);
                        };
                        let url =
                            format!("{}/api/v1/files/blobs/{digest}", mirror.trim_end_matches('/'));
                        match self.download(&Request::new(url), Some(digest), &|_, _| {}).await {
                            Ok(_) => {
                                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                                on_progress(Progress::Files { done, total });
                                (at, true)
                            }
                            // That it lacks one file, or has it damaged, says nothing of others.
                            Err(
                                Fault::Fetch(FetchError::Status {
                                    status: 404 | 502 | 503, ..
                                })
                                | Fault::Cache(CacheError::WrongDigest { .. }),
                            ) => (at, false),
                            Err(fault) => {
                                is_down.store(true, Ordering::Relaxed);
                                tracing::warn!(mirror, "a mirror is not asked again: {fault:?}");
                                (at, false)
                            }
                        }
                    }
                })
                .buffered(self.settings.parallel.max(1))
                .collect()
                .await;
            left = fetched.into_iter().filter(|(_, is_here)| !is_here).map(|(at, _)| at).collect();
            if left.is_empty() {
                break;
            }
        }
        left
    }
}
