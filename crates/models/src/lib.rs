//! Model cards: what sources say of models, and what is made of it.
//!
//! A source's [`Facts`] about a model are the body of an entry; a card is the pure [`merge`] of all
//! that sources and people say of one `provider:id`, each field with its provenance. Formats of
//! catalogs ([`formats`]) and of providers ([`providers`]) are read here. The crate must never
//! print, know HTTP status codes of our own surfaces, or write SQL. Start with [`Facts`], then
//! [`merge`].

pub mod conflicts;
pub mod diff;
mod facts;
pub mod formats;
pub mod merge;
pub mod names;
pub mod pins;
pub mod presets;
mod price;
mod projection;
pub mod providers;
pub mod refresh;
pub mod registry_file;

pub use facts::{Facts, Parameter, Weights};
pub use merge::{Card, card};
pub use price::{Amount, AmountError, Charge, DateError, PartialDate, Price, Unit};
pub use projection::{Cards, search_words};
