use callsheet_types::{Digest, EntryId, plan::Refused};
use std::{error::Error, io, path::PathBuf, sync::Arc};

/// A store that cannot do what it is asked. `place` is the file, or the server without a password.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A newer program made the database; an older one would not understand it.
    #[error("{place} has schema {found}, and this program knows none after {known}")]
    NewerSchema {
        /// Where.
        place: Arc<str>,
        /// The schema that is there.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// Somebody else writes, for longer than one can wait. It may be tried again.
    #[error("{place} is being written by somebody else")]
    Busy {
        /// Where.
        place: Arc<str>,
    },
    /// The server does not answer, the file cannot be opened, or the connection broke.
    #[error("{place} cannot be reached")]
    Unreachable {
        /// Where.
        place: Arc<str>,
        /// Why not.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// What is there is not what was written.
    #[error("{place} is damaged: {what}")]
    Damaged {
        /// Where.
        place: Arc<str>,
        /// What is wrong with it.
        what: String,
    },
    /// Something else is kept where a blob was. Removed, it can be put there again.
    #[error("the blob {digest} is damaged at {place}")]
    DamagedBlob {
        /// Whose bytes should be there.
        digest: Digest,
        /// Where: the file, or the object in its bucket.
        place: Arc<str>,
    },
    /// Blobs are in a bucket that does not let one in.
    #[error(
        "{place} does not let us in: are the keys those of somebody who may list, read, write and delete there, and is AWS_REGION the bucket's region?"
    )]
    Denied {
        /// The bucket, and where it is.
        place: Arc<str>,
        /// What it says.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// There is no such bucket. It is not made: whose it is, and who may read it, is for others to
    /// decide.
    #[error("{place}: there is no such bucket")]
    NoBucket {
        /// The bucket, and where it should be.
        place: Arc<str>,
    },
    /// Somebody answers as no S3-compatible store does.
    #[error(
        "{place} does not answer as expected: is that the address of an S3-compatible store, and AWS_REGION the bucket's region?"
    )]
    Unexpected {
        /// The bucket, and where it should be.
        place: Arc<str>,
        /// What it says.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// An environment variable that says how a bucket is reached cannot be used. Its value is not
    /// repeated: it may be a secret.
    #[error("the environment variable {name} cannot be used: expected {expected}")]
    BadVariable {
        /// Its name.
        name: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// An import needs a store in which nothing was ever published.
    #[error("{place} is not empty")]
    NotEmpty {
        /// Where.
        place: Arc<str>,
    },
    /// An export that cannot be imported.
    #[error("line {line} of the export cannot be used: {what}")]
    BadExport {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
    /// Changes after the cursor, or after the moment, were purged.
    #[error("that place in the feed is no longer kept; the oldest to ask from is {oldest}")]
    Expired {
        /// The oldest cursor that can be asked for.
        oldest: u64,
    },
    /// The cursor is of another store, or of this one before it was put back to an older state.
    #[error("there is no such place in the feed; it ends at {end}")]
    PastEnd {
        /// The newest cursor.
        end: u64,
    },
    /// The mark of a page that this store did not give, or not for this order.
    #[error("{mark:?} is no page of this list")]
    BadPage {
        /// What was given.
        mark: String,
    },
    /// A key that the databases cannot hold.
    #[error("the key of {id:?} cannot be stored: expected 1 to 1024 bytes without NUL")]
    BadKey {
        /// Whose key.
        id: EntryId,
    },
    /// Something that has no form in JSON.
    #[error("it cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// A file that is to be written is there already.
    #[error("{} exists already", .0.display())]
    AlreadyExists(PathBuf),
    /// A file cannot be read or written.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// An export cannot be read or written.
    #[error("the export cannot be read or written")]
    Transfer(#[source] io::Error),
    /// The database refuses a statement.
    #[error("{place} refuses")]
    Database {
        /// Where.
        place: Arc<str>,
        /// What it says.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// A snapshot that was not applied.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Nothing of it may be.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A head moved since the plan was made.
    #[error("somebody else changed the same meanwhile")]
    Stale,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
