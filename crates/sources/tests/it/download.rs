//! Downloads, and what breaks them off.

use callsheet_sources::{Downloaded, FetchError, Http, HttpSettings, Request, bearer};
use callsheet_testkit::{Behaviour, FakeBackend, RawStep, within};
use callsheet_types::{Digest, Secret};
use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

fn client(attempts: u32) -> Http {
    let first_pause = Duration::from_millis(1);
    Http::new(HttpSettings { attempts, first_pause, ..HttpSettings::default() })
}

async fn download(
    http: &Http,
    request: &Request,
    partial: &Path,
) -> Result<Downloaded, FetchError> {
    within("a download", http.download(request, partial, &|_, _| {})).await
}

fn content(mut downloaded: Downloaded) -> String {
    let mut text = String::new();
    downloaded.file.read_to_string(&mut text).unwrap();
    assert_eq!(downloaded.digest, Digest::of(text.as_bytes()));
    assert_eq!(downloaded.size_bytes, text.len() as u64);
    text
}

/// A head, the beginning of a body, and then this.
fn broken(head: &str, body: &str, end: RawStep) -> Behaviour {
    let text = format!("HTTP/1.1 {}\r\n\r\n{body}", head.replace('|', "\r\n"));
    Behaviour::Raw(vec![RawStep::text(&text), end])
}

const WHOLE: &str = "200 OK|Content-Length: 10|ETag: \"one\"";

fn half() -> Behaviour {
    broken(WHOLE, "01234", RawStep::Close)
}

fn part(first: usize, etag: &str, body: &str) -> Behaviour {
    let headers = [
        ("ETag".to_owned(), etag.to_owned()),
        ("Content-Range".to_owned(), format!("bytes {first}-9/10")),
    ];
    Behaviour::Status { code: 206, headers: headers.to_vec(), body: body.to_owned() }
}

fn whole(etag: &str, body: &str) -> Behaviour {
    let headers = vec![("ETag".to_owned(), etag.to_owned())];
    Behaviour::Status { code: 200, headers, body: body.to_owned() }
}

struct Place {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("part");
        Self { folder, path }
    }

    fn files(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// Half of a download, left behind.
    async fn broken_off(&self, server: &FakeBackend) {
        server.script_next(1, half());
        let error =
            download(&client(1), &Request::new(server.url()), &self.path).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
        assert_eq!(fs::read(&self.path).unwrap(), b"01234");
        assert_eq!(self.files(), ["part", "part.json"]);
    }
}

/// Returns the range that a request asked for.
fn range(server: &FakeBackend, index: usize) -> Option<(String, String)> {
    let request = server.requests().swap_remove(index);
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    let text = |name| request.header(name).map(str::to_owned);
    text("range").zip(text("if-range"))
}

fn asked(first: usize) -> (String, String) {
    (format!("bytes={first}-"), "\"one\"".to_owned())
}

#[tokio::test]
async fn it_goes_on_where_it_broke_off() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    server.script_next(1, half());
    server.script_next(1, part(5, "\"one\"", "56789"));
    let seen = std::sync::Mutex::new(Vec::new());
    let note = |position, total| seen.lock().unwrap().push((position, total));
    let (http, request) = (client(2), Request::new(server.url()));
    let downloaded = within("a download", http.download(&request, &place.path, &note)).await;
    let downloaded = downloaded.unwrap();
    assert_eq!(downloaded.etag.as_deref(), Some("\"one\""));
    assert_eq!(place.files(), ["part", "part.json"]);
    assert_eq!(content(downloaded), "0123456789");
    assert!(place.files().is_empty(), "{:?}", place.files());
    assert_eq!((range(&server, 0), range(&server, 1)), (None, Some(asked(5))));
    assert_eq!(server.request_count(), 2);
    assert_eq!(seen.into_inner().unwrap(), [0, 5, 5, 10].map(|at| (at, Some(10))));
}

#[tokio::test]
async fn a_later_call_goes_on_too() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    server.script_next(1, part(5, "\"one\"", "56789"));
    let downloaded = download(&client(1), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!((range(&server, 1), server.request_count()), (Some(asked(5)), 2));
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn of_what_is_complete_only_the_last_byte_is_asked_for() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    fs::write(&place.path, "0123456789").unwrap();
    server.script_next(1, part(9, "\"one\"", "9"));
    let downloaded = download(&client(1), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!(range(&server, 1), Some(asked(9)));
}

#[tokio::test]
async fn what_is_another_one_now_begins_anew() {
    let nothing_there = Behaviour::Status {
        code: 416,
        headers: vec![("Content-Range".to_owned(), "bytes */3".to_owned())],
        body: String::new(),
    };
    let elsewhere = part(4, "\"one\"", "456789");
    let changed = part(5, "\"two\"", "56789");
    for answer in [nothing_there, elsewhere, changed] {
        let server = FakeBackend::start().await;
        let place = Place::new();
        place.broken_off(&server).await;
        server.script_next(1, answer);
        server.script_next(1, whole("\"two\"", "new"));
        let request = Request::new(server.url());
        let downloaded = download(&client(1), &request, &place.path).await.unwrap();
        assert_eq!(downloaded.etag.as_deref(), Some("\"two\""));
        assert_eq!(content(downloaded), "new");
        assert_eq!((range(&server, 1), range(&server, 2)), (Some(asked(5)), None));
        assert_eq!(server.request_count(), 3);
    }
    // Whoever heeds `If-Range` says it at once.
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    server.script_next(1, whole("\"two\"", "new"));
    let downloaded = download(&client(1), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), "new");
    assert_eq!((range(&server, 1), server.request_count()), (Some(asked(5)), 2));
}

#[tokio::test]
async fn what_belongs_to_something_else_is_not_gone_on_with() {
    let server = FakeBackend::start().await;
    for spoil in ["url", "note", "length", "no note"] {
        let place = Place::new();
        place.broken_off(&server).await;
        let note = place.folder.path().join("part.json");
        let mut request = Request::new(server.url());
        match spoil {
            "url" => request.url.push_str("/other"),
            "note" => fs::write(note, "{").unwrap(),
            "length" => fs::write(&place.path, "longer than it is").unwrap(),
            _ => fs::remove_file(note).unwrap(),
        }
        server.script_next(1, whole("\"two\"", "new"));
        let before = server.request_count();
        let downloaded = download(&client(1), &request, &place.path).await.unwrap();
        assert_eq!(content(downloaded), "new");
        assert_eq!(range(&server, before), None, "{spoil}");
    }
}

#[tokio::test]
async fn without_a_strong_tag_or_a_length_every_attempt_is_a_new_one() {
    let chunks = "5\r\n01234\r\n";
    for (head, body) in [
        ("200 OK|Content-Length: 10|ETag: W/\"one\"", "01234"),
        ("200 OK|Content-Length: 10", "01234"),
        ("200 OK|Content-Length: 10|ETag: \"one\"|Accept-Ranges: none", "01234"),
        ("200 OK|Transfer-Encoding: chunked|ETag: \"one\"", chunks),
    ] {
        let server = FakeBackend::start().await;
        let place = Place::new();
        server.script(broken(head, body, RawStep::Close));
        let error =
            download(&client(3), &Request::new(server.url()), &place.path).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
        assert_eq!(server.request_count(), 3);
        assert!((0..3).all(|index| range(&server, index).is_none()));
        assert!(place.files().is_empty(), "{:?}", place.files());
    }
}

#[tokio::test]
async fn silence_ends_an_attempt_and_the_next_goes_on() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    server.script_next(1, broken(WHOLE, "01234", RawStep::Stall));
    server.script_next(1, part(5, "\"one\"", "56789"));
    let deadline = Duration::from_millis(200);
    let request = Request { deadline, ..Request::new(server.url()) };
    let downloaded = download(&client(2), &request, &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!(range(&server, 1), Some(asked(5)));

    server.script(Behaviour::Stall);
    let error = download(&client(2), &request, &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::Stalled { .. }), "{error:?}");
    assert_eq!(server.request_count(), 4);
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_made_or_ends_it() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    server.script_next(1, Behaviour::status_with_header(429, "Retry-After", "1"));
    server.script_next(1, Behaviour::status(503));
    server.script_next(1, whole("\"one\"", "here"));
    let request = Request::new(server.url());
    let downloaded = download(&client(4), &request, &place.path).await.unwrap();
    assert_eq!(content(downloaded), "here");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));

    server.script(Behaviour::status_with_header(429, "Retry-After", "3600"));
    let error = download(&client(4), &request, &place.path).await.unwrap_err();
    assert!(error.explain().contains("it asks to wait 3600s"), "{}", error.explain());
    assert_eq!(server.request_count(), 4);
}

#[tokio::test]
async fn a_failure_that_may_pass_leaves_what_there_is() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    server.script_next(1, Behaviour::status(503));
    download(&client(1), &Request::new(server.url()), &place.path).await.unwrap_err();
    assert_eq!(fs::read(&place.path).unwrap(), b"01234");
    server.script_next(1, part(5, "\"one\"", "56789"));
    let downloaded = download(&client(1), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
}

#[tokio::test]
async fn a_body_without_end_is_refused_and_leaves_nothing() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let steps = vec![RawStep::text(endless), RawStep::Forever("5\r\n01234\r\n".into())];
    server.script_next(1, Behaviour::Raw(steps));
    let request = Request { max_bytes: 100_000, ..Request::new(server.url()) };
    let error = download(&client(3), &request, &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLong { max_bytes: 100_000, .. }), "{error:?}");
    assert_eq!((server.request_count(), place.files().len()), (1, 0));

    let announced = broken("200 OK|Content-Length: 100001", "0", RawStep::Stall);
    server.script_next(1, announced);
    let error = download(&client(3), &request, &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLong { .. }), "{error:?}");
    assert!(place.files().is_empty());

    // A part that is longer than all of it was.
    place.broken_off(&server).await;
    let head = "206 OK|Transfer-Encoding: chunked|ETag: \"one\"|Content-Range: bytes 5-9/10";
    server.script_next(1, broken(head, "6\r\n56789x\r\n0\r\n\r\n", RawStep::Flush));
    let error = download(&client(3), &Request::new(server.url()), &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::Unusable { .. }), "{error:?}");
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_refused() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    server.script(part(0, "\"one\"", "0123456789"));
    let error = download(&client(3), &Request::new(server.url()), &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::Unusable { .. }), "{error:?}");
    assert_eq!((server.request_count(), place.files().len()), (1, 0));
}

#[tokio::test]
async fn a_shorter_part_is_gone_on_with() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    let some = |range: &str, body: &str| Behaviour::Status {
        code: 206,
        headers: vec![("Content-Range".to_owned(), format!("bytes {range}"))],
        body: body.to_owned(),
    };
    server.script_next(1, some("5-6/10", "56"));
    server.script_next(1, some("7-9/*", "789"));
    let downloaded = download(&client(2), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(downloaded.etag.as_deref(), Some("\"one\""));
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!((range(&server, 1), range(&server, 2)), (Some(asked(5)), Some(asked(7))));
}

#[tokio::test]
async fn a_web_page_is_no_file() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    let headers = vec![("Content-Type".to_owned(), "Text/HTML; charset=utf-8".to_owned())];
    server.script(Behaviour::Status { code: 200, headers, body: "<html>log in".to_owned() });
    let request = Request { refuses_pages: true, ..Request::new(server.url()) };
    let error = download(&client(3), &request, &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::WebPage { .. }), "{error:?}");
    assert!(error.explain().contains(&server.url()), "{}", error.explain());
    let error = within("an answer", client(3).get(&request)).await.unwrap_err();
    assert!(matches!(error, FetchError::WebPage { .. }), "{error:?}");
    assert_eq!((server.request_count(), place.files().len()), (2, 0));
    let request = Request::new(server.url());
    let downloaded = download(&client(3), &request, &place.path).await.unwrap();
    assert_eq!(content(downloaded), "<html>log in");
}

#[tokio::test]
async fn a_file_that_another_has_is_left_alone() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    let held = fs::OpenOptions::new().read(true).write(true).open(&place.path).unwrap();
    held.try_lock().unwrap();
    server.script_next(1, half());
    server.script_next(1, part(5, "\"one\"", "56789"));
    let downloaded = download(&client(2), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(place.files().len(), 3);
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!((range(&server, 1), range(&server, 2)), (None, Some(asked(5))));
    assert_eq!(place.files(), ["part", "part.json"]);
    assert_eq!(fs::read(&place.path).unwrap(), b"01234");

    server.script(half());
    download(&client(2), &Request::new(server.url()), &place.path).await.unwrap_err();
    assert_eq!(place.files(), ["part", "part.json"]);
}

#[tokio::test]
async fn what_another_wrote_into_it_is_noticed_without_a_lock() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    place.broken_off(&server).await;
    server.script_next(1, part(5, "\"one\"", "56789"));
    server.script_next(1, whole("\"one\"", "0123456789"));
    let spoil = |position, _| {
        if position == 5 {
            let mut file = fs::OpenOptions::new().write(true).open(&place.path).unwrap();
            file.seek(SeekFrom::Start(1)).unwrap();
            file.write_all(b"X").unwrap();
        }
    };
    let (http, request) = (client(2), Request::new(server.url()));
    let downloaded = within("a download", http.download(&request, &place.path, &spoil)).await;
    assert_eq!(content(downloaded.unwrap()), "0123456789");
    assert_eq!(range(&server, 2), None);
    assert!(place.files().is_empty(), "{:?}", place.files());
}

#[tokio::test]
async fn an_ended_download_leaves_what_came() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    server.script_next(1, broken(WHOLE, "01234", RawStep::Stall));
    let (came, arrived) = tokio::sync::oneshot::channel();
    let came = std::sync::Mutex::new(Some(came));
    let note = move |position, _| {
        if position == 5 {
            let _ = came.lock().unwrap().take().map(|came| came.send(()));
        }
    };
    let (http, request, path) = (client(1), Request::new(server.url()), place.path.clone());
    let task = tokio::spawn(async move { http.download(&request, &path, &note).await.map(drop) });
    within("five bytes", arrived).await.unwrap();
    task.abort();
    assert!(within("the end", task).await.unwrap_err().is_cancelled());
    // Whoever comes next waits for the lock by taking a file of its own; here it is free as soon
    // as the writer has noticed.
    let held = fs::File::open(&place.path).unwrap();
    within("the lock", tokio::task::spawn_blocking(move || held.lock())).await.unwrap().unwrap();
    server.script_next(1, part(5, "\"one\"", "56789"));
    let downloaded = download(&client(1), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!(range(&server, 1), Some(asked(5)));
}

#[tokio::test]
async fn credentials_stay_home_and_redirects_end() {
    let (first, other) = (FakeBackend::start().await, FakeBackend::start().await);
    let place = Place::new();
    let to = |target: String| Behaviour::Status {
        code: 302,
        headers: vec![("Location".to_owned(), target)],
        body: String::new(),
    };
    let mut request = Request::new(format!("{}/a", first.url()));
    let secret = Secret::new("sk-123", "TEST").unwrap();
    request.headers.insert("authorization", bearer(&secret));
    first.script(to(format!("{}/b?signed", other.url())));
    other.script_next(1, half());
    other.script_next(1, part(5, "\"one\"", "56789"));
    let downloaded = download(&client(2), &request, &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
    // Each attempt begins at the address that was asked for: where it leads may not hold for long.
    assert_eq!((first.request_count(), other.request_count()), (2, 2));
    let bearers = |server: &FakeBackend| {
        server.requests().iter().filter(|request| request.header("authorization").is_some()).count()
    };
    assert_eq!((bearers(&first), bearers(&other)), (2, 0));
    assert_eq!(range(&other, 1), Some(asked(5)));

    for target in ["/a", "ftp://127.0.0.1/x", "file:///etc/passwd"] {
        first.script(to(target.to_owned()));
        let error = download(&client(3), &request, &place.path).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{error:?}");
    }
    assert_eq!(first.request_count(), 2 + 6 + 1 + 1);
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn nothing_is_opened_offline_or_written_where_nothing_can_be() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    let http = Http::new(HttpSettings { is_offline: true, ..HttpSettings::default() });
    let request = Request::new(server.url());
    let error = download(&http, &request, &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error:?}");
    let error = download(&client(1), &request, &place.path.join("deeper")).await.unwrap_err();
    assert!(matches!(error, FetchError::Unwritable { .. }), "{error:?}");
    assert_eq!(server.connection_count(), 0);
    assert!(place.files().is_empty());
}

#[tokio::test]
async fn attempts_are_counted_anew_where_much_came() {
    const MANY: usize = 3 << 20;
    let server = FakeBackend::start().await;
    let place = Place::new();
    let all: String = "0123456789abcdef".repeat(MANY / 16);
    let at = |first: usize| {
        let head = match first {
            0 => format!("200 OK|Content-Length: {MANY}|ETag: \"one\""),
            first => format!(
                "206 OK|Content-Length: {}|ETag: \"one\"|Content-Range: bytes {first}-{}/{MANY}",
                MANY - first,
                MANY - 1
            ),
        };
        let next = MANY.min(first + (1 << 20));
        broken(&head, &all[first..next], RawStep::Close)
    };
    // Three break-offs, where two attempts are allowed.
    for first in [0, 1 << 20, 2 << 20] {
        server.script_next(1, at(first));
    }
    let downloaded = download(&client(2), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), all);
    assert_eq!(server.request_count(), 3);

    // Breaking off at the same place again and again is no progress.
    let head = format!("200 OK|Content-Length: {MANY}");
    server.script(broken(&head, &all[..2 << 20], RawStep::Close));
    let error = download(&client(2), &Request::new(server.url()), &place.path).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(server.request_count() <= 3 + 3, "{}", server.request_count());
}

#[tokio::test]
async fn what_is_packed_all_the_same_is_unpacked_and_not_gone_on_with() {
    let server = FakeBackend::start().await;
    let place = Place::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"0123456789").unwrap();
    let packed = encoder.finish().unwrap();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nETag: \"one\"\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    );
    let answer = |body: &[u8], end| {
        let bytes = [head.as_bytes(), body].concat();
        Behaviour::Raw(vec![RawStep::Write(bytes.into()), end])
    };
    server.script_next(1, answer(&packed[..packed.len() - 4], RawStep::Close));
    server.script_next(1, answer(&packed, RawStep::Flush));
    let downloaded = download(&client(2), &Request::new(server.url()), &place.path).await.unwrap();
    assert_eq!(content(downloaded), "0123456789");
    assert_eq!((range(&server, 0), range(&server, 1)), (None, None));
}
