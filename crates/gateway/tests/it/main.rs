//! What the gateway promises to whoever mounts it: requests in, a real backend's view of them out.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod listing;
mod presets;
mod removal;
mod scene;
