//! Making connections.

use crate::{SendError, TlsError, connection::Connection, stream::Stream, tls::Tls};
use callsheet_types::BackendUrl;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

/// Where to connect, and how.
pub(crate) struct Connector {
    host: String,
    port: u16,
    tls: Option<Tls>,
    timeout: Duration,
}

impl Connector {
    pub(crate) fn new(url: &BackendUrl, timeout: Duration) -> Result<Self, TlsError> {
        let tls = if url.is_tls() { Some(Tls::new(url.host())?) } else { None };
        Ok(Self { host: url.host().to_owned(), port: url.port(), tls, timeout })
    }

    /// Connects before the deadline and within the time-out, handshake included.
    pub(crate) async fn connect(&self, deadline: Instant) -> Result<Connection, SendError> {
        let deadline =
            Instant::now().checked_add(self.timeout).map_or(deadline, |own| own.min(deadline));
        timeout_at(deadline, self.connect_before(deadline))
            .await
            .unwrap_or(Err(SendError::ConnectTimeout))
    }

    async fn connect_before(&self, deadline: Instant) -> Result<Connection, SendError> {
        let addresses = lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<SocketAddr> = addresses.map_err(SendError::Connect)?.collect();
        let stream = connect_to_any(&addresses, deadline).await?;
        // Without this the first event of a stream waits for an acknowledgement, some 40 ms.
        stream.set_nodelay(true).map_err(SendError::Connect)?;
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let stream = tls.connector.connect(tls.name.clone(), stream).await;
                Stream::Tls(Box::new(stream.map_err(SendError::Tls)?))
            }
        };
        Ok(Connection::new(stream))
    }
}

/// Tries the addresses in order, each with its share of the time that is left, so that one that
/// does not answer leaves time for the next.
async fn connect_to_any(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, SendError> {
    let mut last_error = SendError::Connect(io::ErrorKind::AddrNotAvailable.into());
    for (index, address) in addresses.iter().enumerate() {
        let still_to_try = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let now = Instant::now();
        let share = deadline.saturating_duration_since(now) / still_to_try;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last_error = SendError::Connect(error),
            Err(_) => last_error = SendError::ConnectTimeout,
        }
    }
    Err(last_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_address_that_refuses_leads_to_the_next() {
        let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = listener.local_addr().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let stream = connect_to_any(&[dead, dead, live], deadline).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live);
        let error = connect_to_any(&[dead, dead], deadline).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(_)), "{error:?}");
        let error = connect_to_any(&[], deadline).await.unwrap_err();
        assert!(matches!(error, SendError::Connect(_)), "{error:?}");
    }
}
