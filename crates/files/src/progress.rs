//! What long work says meanwhile.

use serde::{Deserialize, Serialize};

/// A step of long work.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Progress {
    /// A ref is asked for.
    Discovering {
        /// Source and ref.
        address: String,
    },
    /// Files are about to come.
    Fetching {
        /// Source and ref.
        address: String,
        /// How many.
        files: u64,
        /// Whether as one archive.
        is_archive: bool,
    },
    /// Bytes have come, of one archive or file.
    Bytes {
        /// How many.
        done: u64,
        /// Of how many, where that is known.
        total: Option<u64>,
    },
    /// Files have come, or were looked at.
    Files {
        /// How many.
        done: u64,
        /// Of how many.
        total: u64,
    },
}

/// Called with each step; must be quick.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);
