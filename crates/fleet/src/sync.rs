//! The synchronisation that the crate uses, in one place, so that the feature `shuttle` can swap it
//! for shuttle's and explore interleavings.

pub(crate) use imp::*;
pub(crate) use std::sync::atomic::Ordering;

/// Locks; a panic elsewhere poisons nothing here, because every critical section of this crate
/// leaves its data whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(not(feature = "shuttle"))]
mod imp {
    pub(crate) use arc_swap::ArcSwap;
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use std::sync::{Mutex, MutexGuard};

    /// Returns a random number below `end`, which is not 0.
    pub(crate) fn random_below(end: u64) -> u64 {
        fastrand::u64(..end)
    }
}

#[cfg(feature = "shuttle")]
mod imp {
    use shuttle::rand::Rng;
    pub(crate) use shuttle::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    use std::sync::Arc;

    /// Returns a random number below `end`, which is not 0; from shuttle, so that a failing
    /// schedule can be replayed.
    pub(crate) fn random_below(end: u64) -> u64 {
        shuttle::rand::thread_rng().gen_range(0..end)
    }

    /// The part of `arc_swap::ArcSwap` that the crate uses, as one lock that shuttle knows.
    pub(crate) struct ArcSwap<T>(Mutex<Arc<T>>);

    impl<T> ArcSwap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            Arc::clone(&super::lock(&self.0))
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            let old = std::mem::replace(&mut *super::lock(&self.0), value);
            drop(old);
        }
    }
}
