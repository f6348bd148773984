//! What the fleet promises to whoever uses it from outside.

mod allocations;
