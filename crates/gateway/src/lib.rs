//! The data plane: reads a request, routes it, and carries the answer back.
//!
//! A request's body is collected under a limit and scanned once (`scan.rs`); its model's name is
//! resolved (`resolve.rs`) and the fleet picks a backend; one attempt (`attempt.rs`) after the other is made until
//! an answer has truly begun, and from there on the answer is read inside the response body
//! (`body.rs`), in the client's own task. The crate must never wait for a database: it reads one
//! immutable [`Policy`], and what it has to tell goes to counters and to a bounded [`Journal`].
//! Start with [`Handle::handle`].

mod attempt;
mod body;
mod budget;
mod call;
mod error;
mod fill;
mod forward;
mod gateway;
mod intake;
mod journal;
mod meters;
mod models;
mod policy;
mod resolve;
mod scan;
mod sse;
mod tally;

pub use body::{Body, BrokenOff};
pub use budget::RetryAllowance;
pub use gateway::{Gateway, Handle};
pub use journal::{Journal, LogFormat};
pub use policy::{Also, Limits, Policy, Retry};
pub use resolve::{Target, chain};
