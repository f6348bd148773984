//! Accepts connections and performs behaviours on them.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Recorded, Shared, State, answer, request};
use crate::{Behaviour, Chunking, End, RawStep};

/// Serves until it is cancelled; every connection ends with it.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Connections that ended are forgotten here, so that a long test does not collect them.
        while connections.try_join_next().is_some() {}
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    if shared.change(accept) {
        reset(&stream);
        return;
    }
    let mut buffer = BytesMut::new();
    // A request that makes no sense ends its connection; nobody is owed an answer to it.
    while let Ok(Some(request)) = request::read(&mut stream, &mut buffer).await {
        let wants_close = request.wants_close();
        match answer(&mut stream, &mut buffer, &shared, request).await {
            After::Keep if !wants_close => {}
            After::Reset => {
                reset(&stream);
                return;
            }
            After::Keep | After::Close => return,
        }
    }
}

/// Counts a connection; true when it is to be reset at once.
fn accept(state: &mut State) -> bool {
    state.connections += 1;
    match state.next.front() {
        Some(Behaviour::ResetOnAccept) => state.next.pop_front().is_some(),
        Some(_) => false,
        None => matches!(state.behaviour, Behaviour::ResetOnAccept),
    }
}

/// What becomes of the connection after an answer.
pub(crate) enum After {
    Keep,
    Close,
    Reset,
}

async fn answer(
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    shared: &Arc<Shared>,
    request: Recorded,
) -> After {
    let is_probe = answer::is_probe(&request.path);
    let behaviour = shared.change(|state| choose(state, &request, is_probe));
    let mut open = (!is_probe).then(|| Open { shared: Arc::clone(shared), disconnected: false });
    let (mut reader, mut writer) = stream.split();
    let good = || {
        if is_probe {
            let models = shared.state.borrow().models.clone();
            answer::probe(&request.path, shared.kind, &models)
        } else {
            answer::call(&request)
        }
    };
    tokio::select! {
        // An answer that is complete counts as such even if the client is gone by now.
        biased;
        result = perform(&mut writer, behaviour, &good) => if let Ok(after) = result {
            return after;
        },
        () = gone(&mut reader, buffer) => {}
    }
    if let Some(open) = &mut open {
        open.disconnected = true;
    }
    After::Close
}

fn choose(state: &mut State, request: &Recorded, is_probe: bool) -> Behaviour {
    if is_probe {
        state.probes.push(request.clone());
        return if request.path.starts_with("/health") {
            state.health_answer.clone()
        } else {
            state.models_answer.clone()
        };
    }
    state.requests.push(request.clone());
    state.open += 1;
    state.max_open = state.max_open.max(state.open);
    state.next.pop_front().unwrap_or_else(|| state.behaviour.clone())
}

/// Counts a call as open until dropped, so that a cancelled connection is counted down as well.
struct Open {
    shared: Arc<Shared>,
    disconnected: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        let disconnected = self.disconnected;
        self.shared.change(|state| {
            state.open -= 1;
            state.disconnects += usize::from(disconnected);
        });
    }
}

/// Completes when the peer has closed; keeps what it sends until then.
pub(crate) async fn gone(reader: &mut ReadHalf<'_>, buffer: &mut BytesMut) {
    while matches!(reader.read_buf(buffer).await, Ok(1..)) {}
}

/// Does what a behaviour says; `good` is what [`Behaviour::Answer`] stands for.
pub(crate) async fn perform(
    writer: &mut WriteHalf<'_>,
    behaviour: Behaviour,
    good: &(dyn Fn() -> Behaviour + Sync),
) -> io::Result<After> {
    match behaviour {
        Behaviour::Answer => Box::pin(perform(writer, good(), good)).await,
        Behaviour::Status { code, headers, body } => {
            writer.write_all(&whole(code, &headers, &body)).await?;
            Ok(After::Keep)
        }
        Behaviour::Raw(steps) => raw(writer, steps).await,
        Behaviour::Stream { events, end, chunking, gap } => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                        Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";
            writer.write_all(head.as_bytes()).await?;
            for (index, chunk) in chunks(&events, end, chunking).iter().enumerate() {
                if index > 0 && !gap.is_zero() {
                    tokio::time::sleep(gap).await;
                }
                writer.write_all(&framed(chunk)).await?;
            }
            finish_stream(writer, end).await
        }
        Behaviour::Delay(delay, inner) => {
            tokio::time::sleep(delay).await;
            Box::pin(perform(writer, *inner, good)).await
        }
        Behaviour::Hold(gate, inner) => {
            gate.passed().await;
            Box::pin(perform(writer, *inner, good)).await
        }
        Behaviour::ResetOnAccept | Behaviour::ResetAfterRequest => Ok(After::Reset),
        Behaviour::Stall => std::future::pending().await,
    }
}

async fn raw(writer: &mut WriteHalf<'_>, steps: Vec<RawStep>) -> io::Result<After> {
    for step in steps {
        match step {
            RawStep::Write(bytes) => writer.write_all(&bytes).await?,
            RawStep::Forever(bytes) => loop {
                writer.write_all(&bytes).await?;
            },
            RawStep::Flush => writer.flush().await?,
            RawStep::Wait(pause) => tokio::time::sleep(pause).await,
            RawStep::WaitFor(gate) => gate.passed().await,
            RawStep::Reset => return Ok(After::Reset),
            RawStep::Close => return Ok(After::Close),
            RawStep::Stall => std::future::pending().await,
        }
    }
    Ok(After::Keep)
}

async fn finish_stream(writer: &mut WriteHalf<'_>, end: End) -> io::Result<After> {
    match end {
        End::Done | End::CleanEndWithoutDone => {
            writer.write_all(b"0\r\n\r\n").await?;
            Ok(After::Keep)
        }
        End::CloseWithoutDone => Ok(After::Close),
        End::Reset => Ok(After::Reset),
        End::Stall => std::future::pending().await,
    }
}

fn chunks(events: &[String], end: End, chunking: Chunking) -> Vec<Vec<u8>> {
    let mut texts: Vec<String> = events.iter().map(|event| answer::event_text(event)).collect();
    if end == End::Done {
        texts.push(answer::event_text("[DONE]"));
    }
    match chunking {
        Chunking::EachEvent => texts.into_iter().map(String::into_bytes).collect(),
        Chunking::Merged if texts.is_empty() => Vec::new(),
        Chunking::Merged => vec![texts.concat().into_bytes()],
        Chunking::Bytes(size) => {
            texts.concat().as_bytes().chunks(size.max(1)).map(<[u8]>::to_vec).collect()
        }
    }
}

fn framed(chunk: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", chunk.len()).into_bytes();
    bytes.extend_from_slice(chunk);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn whole(code: u16, headers: &[(String, String)], body: &str) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_slice(format!("HTTP/1.1 {code} Stand-in\r\n").as_bytes());
    let is_set = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !is_set("content-type") {
        bytes.put_slice(b"Content-Type: application/json\r\n");
    }
    if !is_set("content-length") && !is_set("transfer-encoding") {
        bytes.put_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    for (name, value) in headers {
        bytes.put_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.put_slice(b"\r\n");
    bytes.put_slice(body.as_bytes());
    bytes
}

pub(crate) fn reset(stream: &TcpStream) {
    // Without this, dropping the socket would say goodbye in order.
    let _ = stream.set_zero_linger();
}
