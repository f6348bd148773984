use std::io;

/// A backend whose TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The system's certificate store, or the file named by `SSL_CERT_FILE`, holds no usable
    /// certificate.
    #[error("no root certificate could be loaded")]
    NoRoots {
        /// What went wrong first, if anything did.
        #[source]
        source: Option<rustls_native_certs::Error>,
    },
    /// The host is no name that a certificate could be made out to.
    #[error("the host {host:?} is no valid name for TLS")]
    ServerName {
        /// The host.
        host: String,
        /// Why not.
        #[source]
        source: rustls::pki_types::InvalidDnsNameError,
    },
    /// The TLS library refused its own defaults.
    #[error("TLS cannot be configured")]
    Config(#[source] rustls::Error),
}

/// Nothing came before the deadline.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("nothing came before the deadline")]
pub struct DeadlinePassed;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The name did not resolve, or no address took the connection.
    #[error("the backend cannot be reached")]
    Connect(#[source] io::Error),
    /// No address took the connection in time.
    #[error("the backend did not take the connection in time")]
    ConnectTimeout,
    /// The TLS handshake failed.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The connection ended before a whole answer head.
    #[error("the backend closed the connection before it answered")]
    Closed {
        /// Whether the whole request had been written.
        sent: bool,
        /// How it ended.
        #[source]
        source: io::Error,
    },
    /// The answer's head was not there in time.
    #[error("the backend did not answer in time")]
    HeadTimeout,
    /// The answer's head is longer than [`Options::max_head_bytes`](crate::Options::max_head_bytes).
    #[error("the head of the backend's answer is too large")]
    HeadTooLarge,
    /// The answer is not HTTP/1.1, or not such that its end is beyond doubt.
    #[error("the backend's answer is malformed")]
    Malformed(#[from] Malformed),
}

impl SendError {
    /// Returns whether the backend may have acted on the request, so that sending it again could
    /// do the work twice.
    pub fn may_have_been_served(&self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::Tls(_) => false,
            Self::Closed { sent, .. } => *sent,
            Self::HeadTimeout | Self::HeadTooLarge | Self::Malformed(_) => true,
        }
    }
}

/// An answer whose body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection was reset, or closed before the end.
    #[error("the backend's answer was cut short")]
    Cut(#[source] io::Error),
    /// The body's framing is broken.
    #[error("the body of the backend's answer is malformed")]
    Malformed(#[from] Malformed),
    /// The body is larger than the limit given to
    /// [`AnswerBody::collect`](crate::AnswerBody::collect).
    #[error("the body of the backend's answer is too large")]
    TooLarge,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The head is not HTTP/1.
    #[error("the head is not HTTP/1")]
    Head(#[source] httparse::Error),
    /// The status is no number from 100 on.
    #[error("the status is out of range")]
    Status,
    /// There are more than 128 headers.
    #[error("there are too many headers")]
    TooManyHeaders,
    /// More interim (1xx) answers came than any server has reason to send.
    #[error("there are too many interim answers")]
    TooManyInterim,
    /// The backend switched to another protocol (101), which nobody asked for.
    #[error("the backend switched protocols unasked")]
    Upgrade,
    /// `Transfer-Encoding` and `Content-Length` are both there, so that two readers could see two
    /// different ends.
    #[error("both Transfer-Encoding and Content-Length are given")]
    TwoLengths,
    /// `Transfer-Encoding` is anything but one `chunked`, or comes with HTTP/1.0.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// `Content-Length` is no number, or several that differ.
    #[error("Content-Length is no number, or several that differ")]
    ContentLength,
    /// A chunk's size line is not one, or its size does not fit in 64 bits.
    #[error("a chunk's size is malformed")]
    ChunkSize,
    /// A chunk's size line, with its extensions, is over 4 KiB.
    #[error("a chunk's size line is too long")]
    ChunkLineTooLong,
    /// A chunk's data is not followed by a line end.
    #[error("a chunk does not end where its size says")]
    ChunkEnd,
    /// The trailers are not lines.
    #[error("the trailers are malformed")]
    Trailers,
    /// The trailers are over 16 KiB.
    #[error("the trailers are too long")]
    TrailersTooLong,
}
