//! What went wrong, as a person reads it, and the exit code that a program reads.

use std::process::ExitCode;

/// A command that did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    error: anyhow::Error,
    hints: Vec<String>,
    exit_code: u8,
}

impl Failure {
    /// A failure with exit code 1.
    pub(crate) fn new(error: impl Into<anyhow::Error>) -> Self {
        Self { error: error.into(), hints: Vec::new(), exit_code: 1 }
    }

    /// A failure that the command line itself causes, with exit code 2.
    pub(crate) fn usage(message: &'static str) -> Self {
        Self { error: anyhow::anyhow!(message), hints: Vec::new(), exit_code: 2 }
    }

    /// A failure of which everything has been said already, with this exit code.
    pub(crate) fn said(exit_code: u8) -> Self {
        Self { error: anyhow::Error::msg(""), hints: Vec::new(), exit_code }
    }

    /// Adds what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Ends the process with another code.
    pub(crate) fn exit_code(mut self, exit_code: u8) -> Self {
        self.exit_code = exit_code;
        self
    }

    /// Prints it and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        // Writing by hand: a closed pipe must not become a panic.
        use std::io::Write;
        let mut err = std::io::stderr().lock();
        let message = self.error.to_string();
        if message.is_empty() {
            return ExitCode::from(self.exit_code);
        }
        let _ = write!(err, "error: {message}");
        for cause in self.error.chain().skip(1) {
            let _ = write!(err, ": {cause}");
        }
        let _ = writeln!(err);
        for hint in &self.hints {
            let _ = writeln!(err, "hint: {hint}");
        }
        ExitCode::from(self.exit_code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}
