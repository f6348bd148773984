//! Who has a change made.

use axum::{extract::FromRequestParts, http::request::Parts};
use std::convert::Infallible;

/// What a caller calls itself in the header `x-callsheet-actor`, for the feed; `api` where it says
/// nothing that can be shown. Nothing is allowed or refused because of it.
pub(super) struct Actor(pub(super) String);

const LONGEST: usize = 64;

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let said = parts.headers.get("x-callsheet-actor").and_then(|name| name.to_str().ok());
        let said = said.map(str::trim).filter(|name| (1..=LONGEST).contains(&name.len()));
        Ok(Self(said.unwrap_or("api").to_owned()))
    }
}
