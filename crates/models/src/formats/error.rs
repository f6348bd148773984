use super::Format;

/// Why files are no catalog. Nothing of them is used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FormatError {
    /// There is nothing in them, or not a single model.
    #[error("{file}: there is no model in it, so it is no {format} catalog")]
    Empty {
        /// What was expected.
        format: Format,
        /// The file, or all of them.
        file: String,
    },
    /// A file is cut off or otherwise no text of its kind.
    #[error("{file}, line {line}, column {column}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// The files are something else.
    #[error("{file} is no {format} catalog: {message}")]
    Foreign {
        /// What was expected.
        format: Format,
        /// The file, or all of them.
        file: String,
        /// What is missing.
        message: String,
    },
    /// The file is an answer that says an error, saved as if it were the catalog.
    #[error("{file} is no catalog but an error message: {said}")]
    ErrorBody {
        /// The file.
        file: String,
        /// The beginning of what it says.
        said: String,
    },
    /// The file is of a newer version.
    #[error("{file} has version {version}; versions up to {known} can be read")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        version: String,
        /// The newest that can be read.
        known: u64,
    },
    /// Every single model has a problem that makes it useless.
    #[error(
        "not one model of the {format} catalog can be used ({problems} problems); the first: {place}: {message}"
    )]
    NothingUsable {
        /// What was expected.
        format: Format,
        /// The first problem's place.
        place: String,
        /// The first problem.
        message: String,
        /// How many problems there are.
        problems: usize,
    },
}
