//! Accepts connections and answers what is asked on them.

use std::sync::Arc;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::fault::{self, GitHubFault};
use super::host::{Door, GitHubHost};
use super::wire::{self, After, Head, Pace, Wire};
use super::{GitHubRequest, Shared, condition, routes};

/// Serves one host over plain HTTP until it is cancelled; every connection ends with it.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>, door: Door, host: GitHubHost) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        connections.spawn(connection(stream, Arc::clone(&shared), door, host));
    }
}

/// Answers one request after the other.
pub(super) async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    shared: Arc<Shared>,
    door: Door,
    host: GitHubHost,
) {
    shared.change(|state| *state.connections.entry(host).or_default() += 1);
    let mut buffer = BytesMut::new();
    // A request that makes no sense ends its connection; nobody is owed an answer to it.
    while let Ok(Some(head)) = wire::read(&mut stream, &mut buffer).await {
        let Some(wire) = answer(&shared, door, host, head).await else { return };
        let on_stall = || shared.change(|state| state.stalls += 1);
        match wire::write(&mut stream, wire, on_stall).await {
            Ok(After::Keep) => {}
            Ok(After::Close) => {
                // Without this the end of a TLS stream looks like an attack.
                let _ = stream.shutdown().await;
                return;
            }
            Ok(After::Cut) | Err(_) => return,
        }
    }
}

/// Finds the answer to a request; `None` when the connection is to end instead.
async fn answer(shared: &Arc<Shared>, door: Door, host: GitHubHost, head: Head) -> Option<Wire> {
    let Head { method, target, headers, is_last } = head;
    let request = GitHubRequest { host, method, path: target, headers };
    let (mut answer, fault, delay) = shared.change(|state| {
        let fault = fault::choose(&mut state.rules, &request);
        let (answer, is_expected) = routes::route(state, door, &request);
        if !is_expected {
            state.unexpected.push(request.clone());
        }
        state.requests.push(request.clone());
        (answer, fault, state.delay)
    });
    let delay = match &fault {
        Some(GitHubFault::Delayed(delay)) => Some(*delay),
        Some(GitHubFault::Closed) => return None,
        _ => delay,
    };
    if let Some(delay) = delay {
        tokio::time::sleep(delay).await;
    }
    if let Some(fault) = &fault {
        answer = fault.change(answer, door, &request);
    }
    let etag = answer.quoted_etag();
    let mut content = fault::content(answer.body).await;
    if let Some(fault) = &fault {
        content = fault.spoil(content);
    }
    let mut headers = answer.headers;
    headers.push(("Server".to_owned(), "stand-in".to_owned()));
    if let Some(etag) = &etag {
        headers.push(("ETag".to_owned(), etag.clone()));
    }
    if answer.has_ranges {
        headers.push(("Accept-Ranges".to_owned(), "bytes".to_owned()));
    }
    let (status, body) = if answer.status == 200 {
        let part = condition::part(&request, etag.as_deref(), answer.has_ranges, content.len());
        condition::cut(part, content, &mut headers)
    } else {
        (answer.status, content)
    };
    Some(Wire {
        status,
        headers,
        body,
        is_chunked: answer.is_chunked,
        is_head_only: request.method == "HEAD",
        is_last,
        pace: fault.map_or(Pace::Whole, |fault| fault.pace()),
    })
}
