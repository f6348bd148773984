use std::{
    cell::Cell,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// One value for each thread that answers requests, so that threads which all write the same kind
/// of thing do not pass one cache line back and forth.
///
/// There are as many values as processors; with more threads than that, some share one, so a value
/// must be safe to share.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Padded<T>]>);

/// Far enough from its neighbours that no processor fetches two at a time.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T> Sharded<T> {
    /// Makes each value.
    pub fn new(make: impl Fn() -> T) -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        Self((0..count).map(|_| Padded(make())).collect())
    }

    /// Returns the value of the calling thread.
    pub fn local(&self) -> &T {
        &self.0[number() % self.0.len()].0
    }

    /// Returns all values, those of other threads too.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }

    /// Returns how many values there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

/// A reference to a shared value that is counted apart from all others: cloning it touches no cache
/// line but those of its own clones.
#[derive(Debug)]
#[allow(clippy::redundant_allocation, reason = "the outer count is what it is for")]
pub struct LocalArc<T>(Arc<Arc<T>>);

impl<T> LocalArc<T> {
    /// Begins a count of its own.
    pub fn new(value: &Arc<T>) -> Self {
        Self(Arc::new(Arc::clone(value)))
    }
}

impl<T> Clone for LocalArc<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for LocalArc<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.0
    }
}

/// A shared value with one count of references for each thread.
#[derive(Debug)]
pub struct SharedByAll<T>(Sharded<LocalArc<T>>);

impl<T> SharedByAll<T> {
    /// Shares a value.
    pub fn new(value: T) -> Self {
        let value = Arc::new(value);
        Self(Sharded::new(|| LocalArc::new(&value)))
    }

    /// Returns the value, counted for the calling thread.
    pub fn get(&self) -> LocalArc<T> {
        self.0.local().clone()
    }
}

/// Returns the calling thread's number: 0, 1, 2 … in the order in which threads first ask.
fn number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_any_thread_wrote_is_lost() {
        let sums = Sharded::<AtomicUsize>::default();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        sums.local().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        let sum: usize = sums.iter().map(|sum| sum.load(Ordering::Relaxed)).sum();
        assert_eq!(sum, 8000);
    }

    #[test]
    fn a_thread_always_gets_the_same_value() {
        let values = Sharded::new(|| 0);
        assert!(std::ptr::eq(values.local(), values.local()));
    }
}
