//! Bodies that come slowly, with a clock of the test's own.

use callsheet_sources::{Downloaded, FetchError, Http, HttpSettings, Request};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

const TOTAL: usize = 100 * 1024;

/// Asks for the rest of a body of which so many bytes come in each second. Returns what was asked
/// for, and what came of it.
async fn download(
    partial: &Path,
    bytes_per_second: usize,
) -> (String, Result<Downloaded, FetchError>) {
    // As long as something blocks the clock does not go on by itself.
    let (done, until_done) = std::sync::mpsc::channel::<()>();
    let clock = tokio::task::spawn_blocking(move || until_done.recv());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let request = Request {
        deadline: Duration::from_secs(30),
        ..Request::new(format!("http://{}/file", listener.local_addr().unwrap()))
    };
    let (came, mut coming) = mpsc::unbounded_channel();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        let mut sent = 0;
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {TOTAL}\r\nETag: \"one\"\r\n\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        while sent < TOTAL {
            // Until the client waits for more, or for nothing.
            while coming.recv().await.is_some_and(|position| position < sent as u64) {}
            if coming.is_closed() {
                break;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
            let length = bytes_per_second.min(TOTAL - sent);
            if stream.write_all(&vec![b'x'; length]).await.is_err() {
                break;
            }
            sent += length;
        }
        head
    };
    let http = Http::new(HttpSettings { attempts: 1, ..HttpSettings::default() });
    let client = async {
        let came = came;
        let on_bytes = |position, _| {
            let _ = came.send(position);
        };
        http.download(&request, partial, &on_bytes).await
    };
    let both = tokio::join!(server, client);
    drop(done);
    let _ = clock.await;
    both
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_for_ever_is_given_up_and_what_came_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let partial = folder.path().join("part");
    let (_, result) = download(&partial, 1).await;
    let error = result.unwrap_err();
    let FetchError::TooSlow { bytes: 60, over, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*over, Duration::from_mins(1));
    assert!(error.explain().ends_with("/file sent only 60 bytes in 60s (try again later)"));
    assert_eq!(std::fs::read(&partial).unwrap(), [b'x'; 60]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_line_gets_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (head, result) = download(&folder.path().join("part"), 1024).await;
    assert_eq!(result.unwrap().size_bytes, TOTAL as u64);
    assert!(!head.contains("range: "), "{head}");
}
