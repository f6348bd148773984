//! From the name in a request to what the fleet is asked for.

use crate::{Also, Policy, fill::Fill};
use callsheet_fleet::{
    Needs,
    registry::{BackendStatus, Registry},
};
use callsheet_types::Preset;

/// What the name of a preset begins with in a request.
pub(crate) const PRESET_PREFIX: &str = "callsheet:";

/// One model to try: its id as backends list it, and the one backend that the request named, if
/// it named one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target<'a> {
    /// The only backend that will do.
    pub backend: Option<&'a str>,
    /// The id to send.
    pub model: &'a str,
    /// The preset that led here, whose parameters fill what the request leaves open.
    pub preset: Option<&'a Preset>,
}

impl<'a> Target<'a> {
    /// Returns what a request needs here that leaves open everything which the preset says:
    /// `asked`, and what the preset adds. A context that was asked for stands as it is.
    pub fn needs(&self, asked: Needs<'a>) -> Needs<'a> {
        let needs = Needs { only: self.backend, ..asked };
        self.preset.map_or(needs, |preset| Fill::whole(preset).add_to(needs))
    }

    fn is_same_model(&self, other: &Self) -> bool {
        (self.backend, self.model) == (other.backend, other.model)
    }
}

/// Resolves a name: a preset, then an alias, then `backend:id`, then an id as a backend lists it,
/// and last what else a model is called.
///
/// A preset's model and an alias lead on; a circle, which no checked config has, ends where it
/// began, and a preset leads to no other preset.
pub(crate) fn resolve<'a>(name: &'a str, policy: &'a Policy, fleet: &Registry) -> Target<'a> {
    let mut name = name;
    let mut preset = None;
    for _ in 0..policy.aliases.len() + 2 {
        if preset.is_none()
            && let Some(found) = find_preset(name, policy)
        {
            preset = Some(found);
            name = &found.model;
            continue;
        }
        match policy.aliases.get(name) {
            Some(next) => name = next,
            None => break,
        }
    }
    if let Some((provider, id)) = name.split_once(':')
        && let Some(backend) = fleet.get_backend(provider)
        && backend.models().iter().any(|model| model.id == id)
    {
        return Target { backend: Some(provider), model: id, preset };
    }
    match find_also(name, policy, fleet) {
        Some(also) => Target { backend: also.backend.as_deref(), model: &also.model, preset },
        None => Target { backend: None, model: name, preset },
    }
}

/// Returns the first model of this name that somebody offers, and rather one of which a backend is
/// healthy.
fn find_also<'a>(name: &str, policy: &'a Policy, fleet: &Registry) -> Option<&'a Also> {
    // Hardly any request names a model so; for all others this is one look into a map.
    let called = policy.also.get(name)?;
    if !fleet.get_backends_for_model(name).is_empty() {
        return None;
    }
    let is_offered = |also: &Also, must_be_healthy: bool| {
        fleet.get_backends_for_model(&also.model).iter().any(|backend| {
            also.backend.as_ref().is_none_or(|only| backend.id == *only)
                && (!must_be_healthy || backend.status() == BackendStatus::Healthy)
        })
    };
    let healthy = called.iter().find(|also| is_offered(also, true));
    healthy.or_else(|| called.iter().find(|also| is_offered(also, false)))
}

fn find_preset<'a>(name: &str, policy: &'a Policy) -> Option<&'a Preset> {
    policy.presets.get(name.strip_prefix(PRESET_PREFIX)?)
}

/// Returns what to try for a name, in order: what it resolves to, then its fallbacks. A fallback's
/// own fallbacks are not followed. What a preset says holds for its fallbacks too, but for those
/// that are presets themselves.
pub fn chain<'a>(
    name: &'a str,
    policy: &'a Policy,
    fleet: &Registry,
) -> impl Iterator<Item = Target<'a>> {
    let first = resolve(name, policy, fleet);
    let preset_model = first.preset.map(|preset| preset.model.as_str());
    let names = [Some(name), preset_model, Some(first.model)];
    let fallbacks = names.into_iter().flatten().find_map(|name| policy.fallbacks.get(name));
    let rest = fallbacks.into_iter().flatten().map(|name| {
        let target = resolve(name, policy, fleet);
        Target { preset: target.preset.or(first.preset), ..target }
    });
    let rest: Vec<_> = rest.filter(|target| !target.is_same_model(&first)).collect();
    std::iter::once(first).chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callsheet_fleet::registry::{Backend, BackendType, DiscoverySource, Model};
    use std::collections::HashMap;

    fn fleet() -> Registry {
        let registry = Registry::new();
        for (id, models) in [("a", &["qwen", "b:c"][..]), ("callsheet", &["cheap/chat", "x/y"])] {
            let models = models.iter().map(|id| Model::new(*id)).collect();
            let (kind, source) = (BackendType::Generic, DiscoverySource::Static);
            let made = Backend::new(id, id, "http://h:1", kind, models, source, HashMap::new());
            registry.add_backend(made).unwrap();
        }
        registry
    }

    fn policy() -> Policy {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let preset = |(name, model): &(&str, &str)| {
            let parameters = [("seed".to_owned(), 7.into())].into_iter().collect();
            ((*name).to_owned(), Preset { model: (*model).to_owned(), parameters })
        };
        let presets = [
            ("cheap/chat", "fast"),
            ("cheap/code", "a:qwen"),
            ("odd/nested", "callsheet:cheap/chat"),
            ("odd/circle", "round"),
        ];
        let aliases = [
            ("fast", "qwen"),
            ("best", "callsheet:cheap/code"),
            ("callsheet:cheap/chat", "never"),
            ("round", "callsheet:odd/circle"),
        ];
        let fallbacks = [
            ("fast", "a:b:c"),
            ("callsheet:cheap/code", "callsheet:cheap/chat"),
            ("odd", "callsheet:cheap/code"),
        ];
        Policy {
            presets: presets.iter().map(preset).collect(),
            aliases: owned(&aliases),
            fallbacks: fallbacks
                .iter()
                .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]))
                .collect(),
            ..Policy::default()
        }
    }

    #[test]
    fn a_name_is_a_preset_then_an_alias_then_a_backends_model_then_a_model() {
        let (fleet, policy) = (fleet(), policy());
        for (name, backend, model, has_preset) in [
            ("callsheet:cheap/chat", None, "qwen", true),
            ("callsheet:cheap/code", Some("a"), "qwen", true),
            ("best", Some("a"), "qwen", true),
            ("fast", None, "qwen", false),
            ("a:b:c", Some("a"), "b:c", false),
            ("b:c", None, "b:c", false),
            // There is no such preset; a backend may be called by any name.
            ("callsheet:x/y", Some("callsheet"), "x/y", false),
            ("callsheet:no/such", None, "callsheet:no/such", false),
            // A preset leads to no preset, whichever way.
            ("callsheet:odd/nested", None, "never", true),
            ("callsheet:odd/circle", None, "callsheet:odd/circle", true),
        ] {
            let target = resolve(name, &policy, &fleet);
            assert_eq!((target.backend, target.model), (backend, model), "{name}");
            assert_eq!(target.preset.is_some(), has_preset, "{name}");
        }
    }

    #[test]
    fn what_else_a_model_is_called_counts_last_and_where_it_is_offered() {
        let (fleet, mut policy) = (fleet(), policy());
        let also = |backend: Option<&str>, model: &str| Also {
            backend: backend.map(str::to_owned),
            model: model.to_owned(),
        };
        let names = [
            ("acme/q", vec![also(None, "gone"), also(None, "qwen"), also(None, "x/y")]),
            ("service:b:c", vec![also(Some("callsheet"), "b:c"), also(Some("a"), "b:c")]),
            ("x/y", vec![also(None, "qwen")]),
            ("fast", vec![also(None, "x/y")]),
            ("a:qwen", vec![also(None, "x/y")]),
            ("acme/gone", vec![also(None, "gone")]),
        ];
        let names = names.into_iter().map(|(name, called)| (name.to_owned(), called));
        policy.also = std::sync::Arc::new(names.collect());
        policy.aliases.insert("best-q".into(), "acme/q".into());
        let resolved = |name| {
            let target = resolve(name, &policy, &fleet);
            (target.backend.map(str::to_owned), target.model.to_owned())
        };
        for (name, backend, model) in [
            ("acme/q", None, "qwen"),
            ("best-q", None, "qwen"),
            ("service:b:c", Some("a"), "b:c"),
            ("x/y", None, "x/y"),
            ("fast", None, "qwen"),
            ("a:qwen", Some("a"), "qwen"),
            ("acme/gone", None, "acme/gone"),
        ] {
            assert_eq!(resolved(name), (backend.map(str::to_owned), model.to_owned()), "{name}");
        }
        fleet.update_status("callsheet", BackendStatus::Healthy, None).unwrap();
        assert_eq!(resolved("acme/q"), (None, "x/y".to_owned()), "the one that is healthy");
    }

    #[test]
    fn a_preset_has_the_fallbacks_of_its_name_or_of_its_model() {
        let (fleet, policy) = (fleet(), policy());
        let tried = |name| {
            let targets = chain(name, &policy, &fleet);
            targets.map(|t| (t.backend, t.model, t.preset.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(tried("callsheet:cheap/chat"), [(None, "qwen", true), (Some("a"), "b:c", true)]);
        assert_eq!(tried("fast"), [(None, "qwen", false), (Some("a"), "b:c", false)]);
        assert_eq!(
            tried("callsheet:cheap/code"),
            [(Some("a"), "qwen", true), (None, "qwen", true)]
        );
        assert_eq!(tried("odd"), [(None, "odd", false), (Some("a"), "qwen", true)]);
    }
}
