//! Which tables and keys a TOML document has had so far, to find those that it says twice.
//!
//! A key is remembered as its place in the text, so that a file's table costs some 25 bytes.

use super::statements::{Key, decode_key};
use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};
use toml_parser::{Span, decoder::Encoding};

/// A table in the outline.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place(u32);

impl Place {
    /// The document itself.
    pub(super) const ROOT: Self = Self(0);
}

/// What a document has had so far.
pub(super) struct Outline<'i> {
    text: &'i str,
    nodes: Vec<Node>,
    /// Open addressing by the hash of parent and key; 0 is free, as the root is never looked up.
    slots: Vec<u32>,
    hasher: RandomState,
    /// The current element of each array of tables.
    elements: HashMap<u32, u32>,
}

struct Node {
    parent: u32,
    start: u32,
    len: u32,
    kind: Kind,
    /// Which of [`COMMON`] are keys in it with a value. Nearly all keys are.
    common: u8,
}

const COMMON: [&str; 4] = ["url", "hash", "digest", "path"];

#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    /// A key with a value.
    Value,
    /// A table with a header of its own.
    Header,
    /// A table that only headers of tables in it have named.
    Implied,
    /// A table that dotted keys made.
    Dotted,
    /// An array of tables.
    Elements,
}

impl<'i> Outline<'i> {
    /// Makes the outline of a text of less than 4 GiB.
    pub(super) fn of(text: &'i str) -> Self {
        let root = Node { parent: 0, start: 0, len: 0, kind: Kind::Header, common: 0 };
        Self {
            text,
            nodes: vec![root],
            slots: vec![0; 1024],
            hasher: RandomState::new(),
            elements: HashMap::new(),
        }
    }

    /// Opens `[path]`; fails with the part of the path that is taken.
    pub(super) fn table(&mut self, path: &[Key<'i>]) -> Result<Place, Span> {
        let Some((key, above)) = path.split_last() else { return Ok(Place::ROOT) };
        let parent = self.above(above)?;
        match self.find(parent, key) {
            Found::Nothing => Ok(Place(self.add(parent, key, Kind::Header))),
            Found::Node(at) if self.nodes[at as usize].kind == Kind::Implied => {
                self.nodes[at as usize].kind = Kind::Header;
                Ok(Place(at))
            }
            _ => Err(key.span),
        }
    }

    /// Opens `[[path]]`; fails with the part of the path that is taken.
    pub(super) fn element(&mut self, path: &[Key<'i>]) -> Result<Place, Span> {
        let Some((key, above)) = path.split_last() else { return Ok(Place::ROOT) };
        let parent = self.above(above)?;
        let array = match self.find(parent, key) {
            Found::Nothing => self.add(parent, key, Kind::Elements),
            Found::Node(at) if self.nodes[at as usize].kind == Kind::Elements => at,
            _ => return Err(key.span),
        };
        let element = self.push(array, Span::default(), Kind::Header);
        self.elements.insert(array, element);
        Ok(Place(element))
    }

    /// Adds `path = …` to a table; fails with the part of the path that is taken.
    pub(super) fn pair(&mut self, table: Place, path: &[Key<'i>]) -> Result<(), Span> {
        let Some((key, above)) = path.split_last() else { return Ok(()) };
        let mut parent = table.0;
        for key in above {
            parent = match self.find(parent, key) {
                Found::Nothing => self.add(parent, key, Kind::Dotted),
                Found::Node(at) => match self.nodes[at as usize].kind {
                    Kind::Dotted | Kind::Implied => at,
                    Kind::Elements => self.elements.get(&at).copied().ok_or(key.span)?,
                    Kind::Value | Kind::Header => return Err(key.span),
                },
                Found::Common => return Err(key.span),
            };
        }
        // What headers made is theirs: dotted keys add to what dotted keys made.
        if !above.is_empty() && self.nodes[parent as usize].kind != Kind::Dotted {
            return Err(key.span);
        }
        match (self.find(parent, key), common(&key.text)) {
            (Found::Nothing, Some(bit)) => self.nodes[parent as usize].common |= bit,
            (Found::Nothing, None) => {
                self.add(parent, key, Kind::Value);
            }
            _ => return Err(key.span),
        }
        Ok(())
    }

    /// Returns the table that a header's table is in.
    fn above(&mut self, path: &[Key<'i>]) -> Result<u32, Span> {
        let mut parent = 0;
        for key in path {
            parent = match self.find(parent, key) {
                Found::Nothing => self.add(parent, key, Kind::Implied),
                Found::Node(at) => match self.nodes[at as usize].kind {
                    Kind::Value => return Err(key.span),
                    Kind::Elements => self.elements.get(&at).copied().ok_or(key.span)?,
                    Kind::Header | Kind::Implied | Kind::Dotted => at,
                },
                Found::Common => return Err(key.span),
            };
        }
        Ok(parent)
    }

    fn find(&self, parent: u32, key: &Key<'i>) -> Found {
        if common(&key.text).is_some_and(|bit| self.nodes[parent as usize].common & bit != 0) {
            return Found::Common;
        }
        let mut slot = self.slot(parent, &key.text);
        loop {
            let at = self.slots[slot];
            if at == 0 {
                return Found::Nothing;
            }
            let node = &self.nodes[at as usize];
            if node.parent == parent && self.key(node) == key.text {
                return Found::Node(at);
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn add(&mut self, parent: u32, key: &Key<'i>, kind: Kind) -> u32 {
        if self.nodes.len() * 4 >= self.slots.len() * 3 {
            self.grow();
        }
        let at = self.push(parent, key.span, kind);
        self.enter(at, self.slot(parent, &key.text));
        at
    }

    fn push(&mut self, parent: u32, span: Span, kind: Kind) -> u32 {
        let at = self.nodes.len() as u32;
        let (start, len) = (span.start() as u32, span.len() as u32);
        self.nodes.push(Node { parent, start, len, kind, common: 0 });
        at
    }

    fn grow(&mut self) {
        self.slots = vec![0; self.slots.len() * 2];
        for at in 1..self.nodes.len() {
            let node = &self.nodes[at];
            // Elements have no key, and are found through their array alone.
            if node.len > 0 {
                let slot = self.slot(node.parent, &self.key(node));
                self.enter(at as u32, slot);
            }
        }
    }

    fn enter(&mut self, at: u32, mut slot: usize) {
        while self.slots[slot] != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        self.slots[slot] = at;
    }

    fn slot(&self, parent: u32, key: &str) -> usize {
        self.hasher.hash_one((parent, key)) as usize & (self.slots.len() - 1)
    }

    fn key(&self, node: &Node) -> Cow<'i, str> {
        let (start, end) = (node.start as usize, (node.start + node.len) as usize);
        let raw = self.text.get(start..end).unwrap_or_default();
        let encoding = match raw.as_bytes().first() {
            Some(b'"') => Some(Encoding::BasicString),
            Some(b'\'') => Some(Encoding::LiteralString),
            _ => None,
        };
        match encoding {
            Some(_) if !raw.contains('\\') => {
                Cow::Borrowed(raw.get(1..raw.len() - 1).unwrap_or_default())
            }
            // It was decoded without an error before it came here.
            _ => decode_key(raw, encoding, Span::default(), &mut ()),
        }
    }
}

enum Found {
    Nothing,
    Node(u32),
    /// One of [`COMMON`], with a value.
    Common,
}

fn common(key: &str) -> Option<u8> {
    COMMON.iter().position(|common| *common == key).map(|at| 1 << at)
}
