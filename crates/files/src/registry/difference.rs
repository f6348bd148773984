//! Where two registries differ.

use super::{Difference, File, Model, Registry};
use std::{cmp::Ordering, collections::BTreeSet};

pub(super) fn difference(older: &Registry, newer: &Registry) -> Difference {
    let mut found = Difference::default();
    let key = |file: &File| file.key.as_str().to_owned();
    for step in Steps::of(&older.files, &newer.files, |a, b| a.key.cmp(&b.key)) {
        match step {
            Step::Added(file) => found.files_added.push(key(file)),
            Step::Gone(file) => found.files_gone.push(key(file)),
            // A digest that came or went says nothing of the content, and is a change all the same:
            // what was verified no longer is, or the other way round.
            Step::Both(one, other) if one.digest != other.digest => {
                found.files_changed.push(key(one));
            }
            Step::Both(..) => {}
        }
    }
    let name = |model: &Model| model.name.clone().into_string();
    for step in Steps::of(&older.models, &newer.models, |a, b| a.name.cmp(&b.name)) {
        match step {
            Step::Added(model) => found.models_added.push(name(model)),
            Step::Gone(model) => found.models_gone.push(name(model)),
            Step::Both(one, other) if content(older, one) != content(newer, other) => {
                found.models_changed.push(name(one));
            }
            Step::Both(..) => {}
        }
    }
    found
}

/// Returns what a model consists of, in whatever order it is listed.
fn content<'r>(
    registry: &'r Registry,
    model: &'r Model,
) -> BTreeSet<(&'r str, Option<callsheet_types::Digest>)> {
    registry.files_of(model).map(|file| (file.key.as_str(), file.digest)).collect()
}

enum Step<'t, T> {
    Added(&'t T),
    Gone(&'t T),
    Both(&'t T, &'t T),
}

/// Walks two sorted lists side by side.
struct Steps<'t, T, F> {
    older: &'t [T],
    newer: &'t [T],
    compare: F,
}

impl<'t, T, F: Fn(&T, &T) -> Ordering> Steps<'t, T, F> {
    fn of(older: &'t [T], newer: &'t [T], compare: F) -> Self {
        Self { older, newer, compare }
    }
}

impl<'t, T, F: Fn(&T, &T) -> Ordering> Iterator for Steps<'t, T, F> {
    type Item = Step<'t, T>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.older.first(), self.newer.first()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(other)) => (self.compare)(one, other),
        };
        let left = if order.is_le() { self.older.split_off_first() } else { None };
        let right = if order.is_ge() { self.newer.split_off_first() } else { None };
        match (left, right) {
            (Some(one), Some(other)) => Some(Step::Both(one, other)),
            (Some(one), None) => Some(Step::Gone(one)),
            (None, Some(other)) => Some(Step::Added(other)),
            (None, None) => None,
        }
    }
}
