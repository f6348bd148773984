//! The fast backend: answers prepared before, one thread, in a process of its own.

use std::io::Write as _;
use std::process::ExitCode;
use std::rc::Rc;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::workload::{self, EVENTS, PACE, SLOW_PACE, Workload};

/// The argument that makes this executable a stand-in.
pub(crate) const ARGUMENT: &str = "stand-in";

/// More events than any measurement of open streams waits for.
const SLOW_EVENTS: usize = 600;

/// Serves until it is killed; the first line of its output is its port.
pub(crate) fn main(port: u16) -> ExitCode {
    let served = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| tokio::task::LocalSet::new().block_on(&runtime, serve(port)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stand-in: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("{}", listener.local_addr()?.port());
    std::io::stdout().flush()?;
    let answers = Rc::new(Answers::prepare());
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = Rc::clone(&answers);
        tokio::task::spawn_local(async move {
            // A client that goes away is none of the stand-in's business.
            let _ = connection(stream, &answers).await;
        });
    }
}

struct Answers {
    plain: Vec<u8>,
    models: Vec<u8>,
    stream_head: Vec<u8>,
    whole_stream: Vec<u8>,
    events: Vec<Vec<u8>>,
    end: Vec<u8>,
}

impl Answers {
    fn prepare() -> Self {
        let models: Vec<String> = Workload::ALL
            .iter()
            .map(|workload| format!(r#"{{"id":"{}","object":"model"}}"#, workload.model()))
            .collect();
        let stream_head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
            Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
        let events: Vec<_> =
            (0..EVENTS).map(|index| workload::chunk(&workload::event(index))).collect();
        let mut end = workload::chunk(workload::DONE);
        end.extend_from_slice(b"0\r\n\r\n");
        let mut whole_stream = stream_head.clone();
        whole_stream.extend(events.concat());
        whole_stream.extend(&end);
        Self {
            plain: json(&String::from_utf8_lossy(&Workload::Plain.body())),
            models: json(&format!(r#"{{"object":"list","data":[{}]}}"#, models.join(","))),
            stream_head,
            whole_stream,
            events,
            end,
        }
    }
}

fn json(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn connection(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = BytesMut::with_capacity(4096);
    loop {
        let length = loop {
            if let Some(length) = request_length(&buffer) {
                break length;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let workload = asked_for(&buffer[..length]);
        buffer.advance(length);
        let Some(workload) = workload else {
            stream.write_all(&answers.models).await?;
            continue;
        };
        let (count, pause) = match workload {
            Workload::Plain => {
                stream.write_all(&answers.plain).await?;
                continue;
            }
            Workload::BackToBack => {
                stream.write_all(&answers.whole_stream).await?;
                continue;
            }
            Workload::EventByEvent => (EVENTS, None),
            Workload::Paced => (EVENTS, Some(PACE)),
            Workload::Slow => (SLOW_EVENTS, Some(SLOW_PACE)),
        };
        stream.write_all(&answers.stream_head).await?;
        for event in answers.events.iter().cycle().take(count) {
            stream.write_all(event).await?;
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        stream.write_all(&answers.end).await?;
    }
}

/// Returns the length of the first request once all of it is there.
fn request_length(buffer: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let length = std::str::from_utf8(&buffer[..head])
        .ok()?
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(0);
    (buffer.len() >= head + length).then_some(head + length)
}

/// Returns what a request asks for; none is a question about the models.
fn asked_for(request: &[u8]) -> Option<Workload> {
    let at = memchr::memmem::find(request, b"\"bench-")? + 7;
    let name = request[at..].split(|byte| *byte == b'"').next()?;
    Workload::ALL.into_iter().find(|workload| workload.name().as_bytes() == name)
}
