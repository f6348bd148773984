//! The HTTP/1.1 client that speaks to backends.
//!
//! An [`Upstream`] is one backend: its address and its idle connections. [`Upstream::send`] writes
//! a [`Request`] and reads the head of the [`Answer`]; the rest is read by the [`AnswerBody`]
//! itself, straight from the socket, in the task that asks for it: no task, channel or lock stands
//! between a backend's event and the caller's. The crate must never know models, routing or
//! anybody's API; when a request is tried again, and where, is its caller's decision. Start with
//! [`Upstream`].

mod alarm;
mod body;
mod buffer;
mod chunked;
mod connect;
mod connection;
mod error;
mod exchange;
mod framing;
mod head;
mod pool;
#[doc(hidden)]
pub mod replay;
mod request;
mod stream;
mod tls;
mod upstream;

pub use alarm::Alarm;
pub use body::{Answer, AnswerBody};
pub use error::{BodyError, DeadlinePassed, Malformed, SendError, TlsError};
pub use request::{Headers, Request};
pub use upstream::{Deadlines, Options, Replay, Upstream};
