//! Blobs, each test with one body on a folder and on a bucket.

use callsheet_store::{Blobs, BlobsUrl, S3Access, S3Keys, StoreError};
use callsheet_testkit::FakeS3;
use callsheet_types::{Digest, Secret};
use std::{fs, time::Duration};
use tempfile::TempDir;

/// Where blobs are kept while a test runs.
enum Place {
    Folder(TempDir),
    Bucket(FakeS3),
}

/// For how long a test's server may be silent, unless silence is what it is about.
const PATIENT: Duration = Duration::from_secs(30);

pub(crate) fn access(server: &FakeS3, silence: Duration) -> S3Access {
    let secret = |text: &str| Secret::new(text, "TEST").unwrap();
    S3Access {
        endpoint: Some(server.url.parse().unwrap()),
        region: None,
        keys: Some(S3Keys {
            id: secret(&server.key_id),
            secret: secret(&server.secret),
            session_token: None,
        }),
        silence,
    }
}

/// Starts a server with a bucket that is called `bucket`, where Moto is installed.
pub(crate) fn server() -> Option<FakeS3> {
    match FakeS3::start() {
        Ok(server) => {
            server.make_bucket("bucket").unwrap();
            Some(server)
        }
        Err(why) => {
            eprintln!("skipped on S3: {why}");
            None
        }
    }
}

impl Place {
    fn open(&self) -> Blobs {
        match self {
            Self::Folder(folder) => Blobs::open(&BlobsUrl::Directory(folder.path().to_owned())),
            Self::Bucket(server) => {
                Blobs::open_with(&"s3://bucket/a/b".parse().unwrap(), &access(server, PATIENT))
            }
        }
        .unwrap()
    }

    /// Writes something behind the back of who keeps blobs.
    fn write(&self, name: &str, text: &str) {
        match self {
            Self::Folder(folder) => {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self::Bucket(server) => server.put("bucket", &format!("a/b/{name}"), text).unwrap(),
        }
    }
}

fn on_both(test: impl Fn(&Place)) {
    eprintln!("in a folder");
    test(&Place::Folder(tempfile::tempdir().unwrap()));
    if let Some(server) = server() {
        eprintln!("in a bucket");
        test(&Place::Bucket(server));
    }
}

fn name(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("sha256/{}/{}", &hex[..2], &hex[2..])
}

#[test]
fn what_is_put_can_be_got_listed_and_removed() {
    on_both(|place| {
        let blobs = place.open();
        let absent = Digest::of(b"never put");
        assert_eq!(blobs.list().unwrap(), []);
        assert_eq!(blobs.get(&absent).unwrap(), None);
        assert!(!blobs.has(&absent).unwrap());
        assert!(!blobs.remove(&absent).unwrap());
        // More than is sent at once, and nothing at all.
        let bodies = [b"abc".to_vec(), Vec::new(), vec![7; 3_000_001]];
        let mut digests = Vec::new();
        for body in &bodies {
            let digest = blobs.put(body).unwrap();
            assert_eq!(digest, Digest::of(body));
            assert_eq!(blobs.put(body).unwrap(), digest);
            assert_eq!(place.open().get(&digest).unwrap().as_ref(), Some(body));
            assert!(blobs.has(&digest).unwrap());
            digests.push(digest);
        }
        digests.sort();
        assert_eq!(blobs.list().unwrap(), digests);
        let gone = digests.remove(1);
        assert!(blobs.remove(&gone).unwrap());
        assert!(!blobs.remove(&gone).unwrap());
        assert_eq!(blobs.get(&gone).unwrap(), None);
        assert_eq!(blobs.list().unwrap(), digests);
    });
}

#[test]
fn what_is_damaged_is_an_error_until_it_is_removed_and_put_again() {
    on_both(|place| {
        let blobs = place.open();
        let digest = blobs.put(b"abc").unwrap();
        for damaged in ["abd", "ab", "", "abcd"] {
            place.write(&name(&digest), damaged);
            let error = blobs.get(&digest).unwrap_err();
            assert!(matches!(error, StoreError::DamagedBlob { .. }), "{error:?}");
            let said = error.to_string();
            assert!(said.contains(&digest.to_string()), "{said}");
            assert!(said.contains(&name(&digest)), "{said}");
            // One of another length is replaced without being removed first.
            if damaged.len() == 3 {
                assert!(blobs.remove(&digest).unwrap());
            }
            blobs.put(b"abc").unwrap();
            assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"abc");
        }
    });
}

#[test]
fn what_is_no_blob_is_not_listed() {
    on_both(|place| {
        let blobs = place.open();
        let digest = blobs.put(b"abc").unwrap();
        let other = Digest::of(b"other").hex();
        for strange in [
            "note".to_owned(),
            "sha256/note".to_owned(),
            "sha256/ba/note".to_owned(),
            format!("sha256/{other}"),
            format!("sha256/x/{}/{}", &other[..2], &other[2..]),
            format!("sha256/{}/{}", &other[..2].to_uppercase(), &other[2..].to_uppercase()),
        ] {
            place.write(&strange, "other");
        }
        assert_eq!(blobs.list().unwrap(), [digest]);
    });
}

#[test]
fn many_put_and_get_the_same_at_once() {
    on_both(|place| {
        let bodies: Vec<Vec<u8>> = (0..5_u8).map(|i| vec![i; 50_000]).collect();
        std::thread::scope(|scope| {
            for turn in 0..4 {
                let (blobs, bodies) = (place.open(), &bodies);
                scope.spawn(move || {
                    for i in 0..bodies.len() {
                        let body = &bodies[(i + turn) % bodies.len()];
                        let digest = Digest::of(body);
                        assert!(blobs.get(&digest).unwrap().is_none_or(|kept| kept == *body));
                        assert_eq!(blobs.put(body).unwrap(), digest);
                        assert_eq!(blobs.get(&digest).unwrap().as_ref(), Some(body));
                    }
                });
            }
        });
        assert_eq!(place.open().list().unwrap().len(), bodies.len());
    });
}
