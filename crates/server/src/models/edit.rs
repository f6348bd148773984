//! Corrections: what a person says against all sources.

use super::ModelError;
use crate::{App, catalog::Edit};
use callsheet_models::{
    merge::Card,
    pins::{self, PinSheet},
};
use callsheet_store::Intent;
use callsheet_types::{Body, Entry, EntryId, Kind, ModelKey, SourceName, plan::Status};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A change to what is pinned of a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Correction {
    /// Fields and their values, as texts.
    pub set: BTreeMap<String, String>,
    /// Fields that are to be as the sources say.
    pub unset: Vec<String>,
    /// Who says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What a correction made of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Corrected {
    /// The card as it is now, or would be.
    pub card: Card,
    /// Whether anything changed.
    pub changed: bool,
    /// The presets and aliases that lead to it.
    pub used_by: Vec<String>,
}

impl App {
    /// Pins fields of a model, or takes pins back.
    pub fn correct_model(
        &self,
        name: &str,
        correction: &Correction,
        intent: &Intent,
    ) -> Result<Corrected, ModelError> {
        let key = self.one_model(name)?.key;
        let by = correction.by.as_deref().unwrap_or(&intent.actor);
        self.edit_pins(&key, intent, |sheet, heads| {
            let mut sheet = sheet;
            for (field, value) in &correction.set {
                sheet = pins::set(&sheet, heads, &format!("{field}={value}"), by, intent.at)?;
            }
            for field in &correction.unset {
                sheet = pins::unset(&sheet, field)?;
            }
            Ok(sheet)
        })
    }

    /// Takes a model out of every list. What sources say of it goes on being kept, and a later
    /// refresh does not bring it back; adding it does.
    pub fn remove_model(&self, name: &str, intent: &Intent) -> Result<Corrected, ModelError> {
        let key = self.one_model(name)?.key;
        self.edit_pins(&key, intent, |sheet, heads| {
            Ok(pins::set(&sheet, heads, "removed=true", &intent.actor, intent.at)?)
        })
    }

    /// Lets a removed model be seen again.
    pub(crate) fn restore_model(
        &self,
        key: &ModelKey,
        intent: &Intent,
    ) -> Result<Corrected, ModelError> {
        self.edit_pins(key.as_str(), intent, |sheet, _| {
            Ok(if sheet.pins.contains_key("removed") {
                pins::unset(&sheet, "removed")?
            } else {
                sheet
            })
        })
    }

    fn edit_pins(
        &self,
        key: &str,
        intent: &Intent,
        change: impl Fn(PinSheet, &[callsheet_store::Stored]) -> Result<PinSheet, ModelError>,
    ) -> Result<Corrected, ModelError> {
        let id = EntryId::new(Kind::model(), key);
        let source = SourceName::pins();
        let applied = self.catalog.edit(intent, &source, std::slice::from_ref(&id), |_| {
            // Read after `current`, from which the plan starts: if the pins have moved in between,
            // the plan is stale and all of this is done again.
            let heads = self.heads(&id)?;
            let sheet = pins::sheet(&heads).map_err(callsheet_store::StoreError::from)?;
            let sheet = change(sheet, &heads)?;
            if sheet.pins.is_empty() {
                return Ok::<_, ModelError>(Edit {
                    entries: Vec::new(),
                    removed: vec![id.clone()],
                });
            }
            let body = Body::of(&sheet).map_err(callsheet_store::StoreError::from)?;
            let entry = Entry::tracking(Kind::model(), key, body);
            Ok(Edit { entries: vec![entry], removed: Vec::new() })
        })?;
        let changed = !applied.plan.changes.is_empty();
        let card = match applied.plan.changes.first() {
            Some(step) if intent.dry_run => {
                self.card_with(&id, &source, step.body.clone(), intent.at)?
            }
            _ => self.card(&id)?,
        };
        Ok(Corrected { used_by: self.users_of(key), card, changed })
    }

    /// Merges a model's card as it would be with another body of one source, or without it.
    fn card_with(
        &self,
        id: &EntryId,
        source: &SourceName,
        body: Option<Body>,
        at: Timestamp,
    ) -> Result<Card, ModelError> {
        let mut heads = self.heads(id)?;
        heads.retain(|stored| stored.source != *source);
        if let Some(body) = body {
            heads.push(callsheet_store::Stored {
                id: id.clone(),
                source: source.clone(),
                nature: callsheet_types::Nature::Tracking,
                revision: 0,
                status: Status::Active,
                body,
                observed_at: at,
                changed_at: at,
            });
        }
        Ok(callsheet_models::merge::card(id, &heads))
    }
}
