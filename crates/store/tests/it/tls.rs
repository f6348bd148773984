//! A server that speaks to nobody in clear text, and wants a password.

use crate::support::{Rows, entry, part};
use callsheet_store::{Intent, Store, StoreError, StoreUrl};
use callsheet_testkit::postgres::Postgres;
use callsheet_types::{Secret, plan::PlanPolicy};
use serde_json::json;
use std::{env, process::Command};

/// Where the process that the test starts, with other trusted certificates, finds the server.
const ADDRESS: &str = "CALLSHEET_STORE_TEST_TLS_ADDRESS";

const NAME: &str = "tls::a_server_is_believed_by_its_certificate";

const PASSWORD: &str = "hush-hush";

fn open(address: &str, password: &str) -> Result<Store, StoreError> {
    let url: StoreUrl = address.parse().unwrap();
    Store::open(&url.with_password(&Secret::new(password, "TEST").unwrap()))
}

fn assert_unreachable(opened: Result<Store, StoreError>) {
    let error = opened.map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
}

#[test]
fn a_server_is_believed_by_its_certificate() {
    if let Ok(address) = env::var(ADDRESS) {
        let store = open(&format!("{address}?sslmode=require"), PASSWORD).unwrap();
        let snapshot = part("local/x", [entry("a:b", &json!({}))], []);
        store.publish(&snapshot, PlanPolicy::default(), &Intent::now("test"), &Rows).unwrap();
        assert_eq!(store.cursor().unwrap(), 1);
        assert_unreachable(open(&format!("{address}?sslmode=require"), "hush"));
        assert_unreachable(open(&format!("{address}?sslmode=disable"), PASSWORD));
        // The certificate is for another name.
        let other = address.replace("localhost", "127.0.0.1");
        assert_unreachable(open(&format!("{other}?sslmode=require"), PASSWORD));
        return;
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let (_server, address) = match Postgres::start_with_tls(&certificate, &key, PASSWORD) {
        Ok(started) => started,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let outcome = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(ADDRESS, &address)
        .env("SSL_CERT_FILE", &trusted)
        .status();
    assert!(outcome.unwrap().success());
    // Here it is not trusted.
    assert_unreachable(open(&format!("{address}?sslmode=require"), PASSWORD));
}

#[test]
fn a_server_that_cannot_encrypt_is_refused_where_that_is_required() {
    let address = match callsheet_testkit::postgres::server() {
        Ok(server) => server.database().unwrap(),
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    assert_unreachable(open(&format!("{address}?sslmode=require"), PASSWORD));
    assert_eq!(open(&address, PASSWORD).unwrap().cursor().unwrap(), 0);
}
