//! Which models a name means.

pub(crate) mod near;
