//! Presets: a model with parameters for a tier and a slot.

use super::ModelError;
use crate::{App, catalog::Edit};
use callsheet_gateway::{Policy, chain};
use callsheet_models::{
    merge::Card,
    presets::{self, PresetName, PresetWarning},
};
use callsheet_store::{Cursor, Intent};
use callsheet_types::{Body, Entry, EntryId, Kind, Preset, SourceName, plan::Status};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// A preset, and where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresetView {
    /// `TIER/SLOT`; a request says `callsheet:TIER/SLOT`.
    pub name: String,
    /// The model, and what fills the gaps of a request.
    #[serde(flatten)]
    pub preset: Preset,
    /// Who publishes it.
    pub source: SourceName,
    /// What is odd about it: a model that nobody knows, a parameter that it does not take.
    pub warnings: Vec<String>,
}

/// Some presets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresetPage {
    /// The presets.
    pub presets: Vec<PresetView>,
    /// What to ask for the next page with; `None` where this is the last.
    pub next: Option<String>,
    /// How many there are on all pages.
    pub total: usize,
}

/// Changes that are read at once.
const PAGE: usize = 1000;

/// What became of a preset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PresetChange {
    /// The preset as it is, would be, or was.
    pub preset: PresetView,
    /// Whether anything changed.
    pub changed: bool,
}

impl App {
    /// Lists presets in force, in the order of their names: those after a name, and those that
    /// changed after a place in the feed.
    pub fn list_presets(
        &self,
        after: Option<&str>,
        since: Option<Cursor>,
        limit: usize,
    ) -> Result<PresetPage, ModelError> {
        let mut presets = self.catalog.saved()?.presets;
        if let Some(since) = since {
            let changed = self.changed_presets(since)?;
            presets.retain(|name, _| changed.contains(name));
        }
        let total = presets.len();
        let mut rest =
            presets.into_iter().filter(|(name, _)| after.is_none_or(|after| &**name > after));
        let view = |(name, (preset, source))| self.view(name, preset, source);
        let presets = rest.by_ref().take(limit).map(view).collect::<Result<Vec<_>, _>>()?;
        let next = rest.next().and_then(|_| presets.last().map(|last| last.name.clone()));
        Ok(PresetPage { presets, next, total })
    }

    fn changed_presets(&self, since: Cursor) -> Result<BTreeSet<String>, ModelError> {
        let (mut since, mut changed) = (since, BTreeSet::new());
        loop {
            let read = self.catalog.store().changes(since, Some(&Kind::preset()), PAGE)?;
            changed.extend(read.changes.into_iter().map(|change| change.id.key.to_string()));
            since = read.next;
            if !read.has_more {
                return Ok(changed);
            }
        }
    }

    /// Sets a preset.
    pub fn set_preset(
        &self,
        tier: &str,
        slot: &str,
        preset: &Preset,
        intent: &Intent,
    ) -> Result<PresetChange, ModelError> {
        let name = PresetName::parse(&format!("{tier}/{slot}"))?.as_str().to_owned();
        if preset.model.trim().is_empty() {
            return Err(ModelError::Question(format!("the preset {name} names no model")));
        }
        presets::check_preset(preset)?;
        let entry = Entry::tracking(
            Kind::preset(),
            &name,
            Body::of(preset).map_err(callsheet_store::StoreError::from)?,
        );
        let ids = [entry.id.clone()];
        let edit = Edit { entries: vec![entry], removed: Vec::new() };
        let decide = |_: &_| Ok::<_, ModelError>(edit.clone());
        let applied = self.catalog.edit(intent, &SourceName::api(), &ids, decide)?;
        self.take_presets(intent)?;
        let preset = self.view(name, preset.clone(), SourceName::api())?;
        Ok(PresetChange { preset, changed: !applied.plan.changes.is_empty() })
    }

    /// Removes a preset. One that a catalog brought comes back with the catalog's next import.
    pub fn remove_preset(
        &self,
        tier: &str,
        slot: &str,
        intent: &Intent,
    ) -> Result<PresetChange, ModelError> {
        let name = PresetName::parse(&format!("{tier}/{slot}"))?.as_str().to_owned();
        let id = EntryId::new(Kind::preset(), &name);
        let saved = self.catalog.saved()?;
        let Some((preset, source)) = saved.presets.get(&name).cloned() else {
            return Err(ModelError::NoPreset(name));
        };
        let mut was = self.view(name.clone(), preset, source.clone())?;
        was.warnings = self.hidden_preset(&id, &source)?.into_iter().collect();
        let applied =
            self.catalog.edit(
                intent,
                &source,
                std::slice::from_ref(&id),
                |current| match current.heads.get(&id).filter(|head| head.status == Status::Active)
                {
                    None => Err(ModelError::NoPreset(id.key.to_string())),
                    Some(_) => Ok(Edit { entries: Vec::new(), removed: vec![id.clone()] }),
                },
            )?;
        self.take_presets(intent)?;
        Ok(PresetChange { preset: was, changed: !applied.plan.changes.is_empty() })
    }

    /// Says which preset comes into force where that of one source goes.
    fn hidden_preset(
        &self,
        id: &EntryId,
        source: &SourceName,
    ) -> Result<Option<String>, ModelError> {
        let mut others = self.heads(id)?;
        others.retain(|other| other.status == Status::Active && other.source != *source);
        others.sort_by(|a, b| (a.source.layer(), &a.source).cmp(&(b.source.layer(), &b.source)));
        Ok(others.pop().and_then(|other| {
            let preset: Preset = other.body.read().ok()?;
            Some(format!("that of {} is in force then: {}", other.source, preset.model))
        }))
    }

    /// What was just said is in force for the next request, not only once the feed was read.
    pub(crate) fn take_presets(&self, intent: &Intent) -> Result<(), ModelError> {
        if !intent.dry_run
            && let Err(error) = self.take_saved()
        {
            let reason = callsheet_types::with_causes(&error);
            return Err(ModelError::Question(format!(
                "it is saved, and cannot be put in force: {reason}"
            )));
        }
        Ok(())
    }

    fn view(
        &self,
        name: String,
        preset: Preset,
        source: SourceName,
    ) -> Result<PresetView, ModelError> {
        let cards: Vec<Card> = match self.models_named(&preset.model) {
            Ok(rows) => {
                rows.iter().filter_map(|row| serde_json::from_str(&row.body).ok()).collect()
            }
            Err(ModelError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let is_offered = self.is_offered(&name, &preset);
        let mut warnings = presets::warnings(&preset, &cards);
        // A model that a backend offers needs no card to be called.
        warnings.retain(|warning| {
            !(is_offered && matches!(warning, PresetWarning::UnknownModel { .. }))
        });
        let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        // Where nobody knows the model that is said already; and before all backends were asked
        // nobody can tell.
        if !is_offered && !cards.is_empty() && self.is_ready() {
            warnings.push(format!("no backend offers {}", preset.model));
        }
        Ok(PresetView { name, preset, source, warnings })
    }

    /// Returns whether a request for the preset would find a backend that offers what it leads to,
    /// or one of its fallbacks.
    fn is_offered(&self, name: &str, preset: &Preset) -> bool {
        // What is only tried is not in force; and a preset leads to no other.
        let presets = HashMap::from([(name.to_owned(), preset.clone())]);
        let policy = Policy { presets, ..Policy::clone(&self.gateway.policy()) };
        let asked = format!("callsheet:{name}");
        chain(&asked, &policy, &self.fleet).any(|target| {
            let backends = self.fleet.get_backends_for_model(target.model);
            backends.iter().any(|backend| target.backend.is_none_or(|only| *backend.id == *only))
        })
    }
}
