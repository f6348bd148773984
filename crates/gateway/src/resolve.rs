//! From the name in a request to what the fleet is asked for.

use crate::Policy;
use callsheet_fleet::registry::Registry;

/// One model to try: its id as backends list it, and the one backend that the request named, if
/// it named one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target<'a> {
    /// The only backend that will do.
    pub backend: Option<&'a str>,
    /// The id to send.
    pub model: &'a str,
}

/// Resolves a name: an alias, then `backend:id`, then an id as a backend lists it.
///
/// Aliases lead on to aliases; a circle, which no checked config has, ends where it began.
pub(crate) fn resolve<'a>(name: &'a str, policy: &'a Policy, fleet: &Registry) -> Target<'a> {
    let mut name = name;
    for _ in 0..=policy.aliases.len() {
        match policy.aliases.get(name) {
            Some(next) => name = next,
            None => break,
        }
    }
    if let Some((provider, id)) = name.split_once(':')
        && let Some(backend) = fleet.get_backend(provider)
        && backend.models().iter().any(|model| model.id == id)
    {
        return Target { backend: Some(provider), model: id };
    }
    Target { backend: None, model: name }
}

/// Returns what to try for a name, in order: what it resolves to, then its fallbacks. A fallback's
/// own fallbacks are not followed.
pub fn chain<'a>(
    name: &'a str,
    policy: &'a Policy,
    fleet: &Registry,
) -> impl Iterator<Item = Target<'a>> {
    let first = resolve(name, policy, fleet);
    let fallbacks = policy.fallbacks.get(name).or_else(|| policy.fallbacks.get(first.model));
    let rest = fallbacks.into_iter().flatten().map(|name| resolve(name, policy, fleet));
    let rest: Vec<_> = rest.filter(|target| *target != first).collect();
    std::iter::once(first).chain(rest)
}
