//! The live fleet: which backends there are, how they are doing, and which one gets a request.
//!
//! Everything here lives in memory and changes with every request. The crate must never know what a
//! request says, what its client is answered, or a database: it is told what happened ("the first
//! byte came after 80 ms", "it failed", "it asks for quiet") and answers where the next request
//! goes. Time is an argument of every decision. Only the probes (`probe.rs`, `prober.rs`) speak HTTP.
//!
//! Start with [`Registry`], then `pick.rs`, which is the decision, and `index.rs`, which makes it
//! cheap: an immutable snapshot behind an atomic pointer, so that a decision takes no lock, clones
//! no backend and allocates nothing.

mod clock;
mod directory;
mod eject;
mod explain;
#[cfg(test)]
mod fixture;
mod health;
mod in_flight;
mod index;
mod latency;
mod link;
mod needs;
mod pick;
mod policy;
mod probe;
mod prober;
mod queue;
pub mod registry;
mod shared;
#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;
mod sight;
mod strategy;
mod sync;

pub use callsheet_types::{BackendType, DiscoverySource, Model};
pub use directory::{Directory, Known};
pub use explain::{Candidate, Explanation, Outcome, Reason, Verdict};
pub use health::{HealthPolicy, ProbeOutcome, Streak, judge};
pub use in_flight::InFlight;
pub use link::Link;
pub use needs::{Needs, SaidBy};
pub use pick::{Refusal, Route};
pub use policy::{Policy, Strategy, UnknownCapabilities};
pub use prober::Prober;
pub use queue::{QueueFull, Ticket, Wait};
pub use registry::{Backend, BackendStatus, BackendView, Registry, RegistryError, Replaced};
