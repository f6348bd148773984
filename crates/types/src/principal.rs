/// Who is calling: every request has one, whatever surface it came through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Principal {
    /// Nobody in particular; may use `/v1` and read health and metrics.
    Anonymous,
    /// Showed the admin token, or came where none is required; may use `/api`.
    Admin,
    /// The command line, working in its own process on its own data directory.
    Local,
}

impl Principal {
    /// Returns the word that logs use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Admin => "admin",
            Self::Local => "local",
        }
    }
}
