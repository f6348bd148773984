//! What must never be used: registry files and archives that mean harm, or are broken.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model, registry_of};
use callsheet_testkit::{ArchiveKind, FakeGitHub, FakeTree};
use flate2::{Compression, write::GzEncoder};
use std::io::Write as _;

/// Puts a registry file in place of the good one.
fn publish(hub: &FakeGitHub, registry: &str) {
    let repository = hub.repository(TEST_MODELS);
    let files = MODELS.iter().map(|(path, content)| (*path, (*content).to_owned()));
    let id = repository.commit(files.chain([(".registry/models.toml", registry.to_owned())]));
    repository.branch("develop", &id);
}

#[tokio::test]
async fn one_unsafe_key_refuses_the_whole_registry_and_the_earlier_one_stays() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let before = home.ok(&["files", "list", "--json"]).await.json();
    let with_file = |key: &str| {
        registry_of(&MODELS)
            .replace("[files]\n", &format!("[files]\n{} = {{}}\n", serde_json::json!(key)))
    };
    let good = registry_of(&MODELS);
    for (registry, names) in [
        (with_file("../evil"), "../evil"),
        (with_file("../../../../evil.txt"), "../../../../evil.txt"),
        (with_file("a/../../evil"), "a/../../evil"),
        (with_file("/etc/passwd"), "/etc/passwd"),
        (with_file("C:/evil"), "C:/evil"),
        (with_file("c:evil"), "c:evil"),
        (with_file("a\\evil"), "evil"),
        (with_file("\\\\host\\share"), "share"),
        (with_file("a/CON"), "a/CON"),
        (with_file("aux.txt"), "aux.txt"),
        (with_file("a/evil."), "a/evil."),
        (with_file("a/evil "), "a/evil "),
        (with_file("a//evil"), "a//evil"),
        (with_file("./evil"), "./evil"),
        (with_file("a/evil\u{0}"), "evil"),
        (with_file(""), "\"\""),
        (with_file("SIMPLE/mfsim.nam"), "SIMPLE/mfsim.nam"),
        (with_file("simple/mfsim.nam"), "simple/mfsim.nam"),
        (with_file("simple"), "simple"),
        (good.replace("hash = \"sha256:", "hash = \"sha256:zz"), "simple/mfsim.nam"),
        (
            good.replace("hash", "hsah")
                .replace("schema_version = \"1.0\"", "schema_version = \"2.0\""),
            "2.0",
        ),
        (good.replace("\"deep/mfsim.nam\",", "\"deep/gone.nam\","), "deep/gone.nam"),
        (good.replace("\"deep/data/model.npf\" =", "\"deep/data/model.npf\" = ="), "line"),
        (good.replace("\"mf6/test/simple\"", "\"mf6/test/../simple\""), "mf6/test/../simple"),
        (good.replace("\"mf6/test/simple\"", "\"/etc\""), "/etc"),
        (good.replace("\"mf6/test/simple\"", "\"\""), "models.\"\"` is no name"),
        (good.clone() + "\"../evil\" = [\"mf6/test/simple\"]\n", "../evil"),
        ("<!DOCTYPE html><html><body>Sign in</body></html>".to_owned(), "web page"),
        ("\u{1}\u{2}".to_owned(), "line 1"),
    ] {
        assert_ne!(registry, good, "{names}");
        publish(&hub, &registry);
        let output = home.run(&["files", "sync", "--source", "mf6/test"]).await;
        assert_eq!(output.code, 1, "{names}: {output:?}");
        let said = output.stderr;
        assert!(
            said.starts_with("error: mf6/test@develop: the registry of 'mf6/test@develop' at "),
            "{names}: {said}"
        );
        assert!(said.contains("/.registry/models.toml cannot be used: "), "{names}: {said}");
        assert!(said.contains(names), "{names}: {said}");
        assert!(said.contains("; what was synced before stays\n"), "{names}: {said}");
        assert_eq!(home.ok(&["files", "list", "--json"]).await.json(), before, "{names}");
    }
    home.ok(&["files", "copy", "mf6/test@develop/deep", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
}

/// A member of a `tar`, which may be anything.
struct Member {
    path: &'static str,
    /// As in the header: `0` a file, `1` a hard link, `2` a symbolic link.
    kind: u8,
    link: &'static str,
    content: Vec<u8>,
}

fn file(path: &'static str, content: &str) -> Member {
    Member { path, kind: b'0', link: "", content: content.as_bytes().to_vec() }
}

fn link(path: &'static str, kind: u8, link: &'static str) -> Member {
    Member { path, kind, link, content: Vec::new() }
}

/// Packs members below one folder, as they are: no library would.
fn tar_gz(members: &[Member]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    for member in members {
        let mut header = [0u8; 512];
        let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        put(0, member.path.as_bytes());
        put(100, b"0000644\0");
        put(124, format!("{:011o}\0", member.content.len()).as_bytes());
        put(136, b"00000000000\0");
        put(148, b"        ");
        put(156, &[member.kind]);
        put(157, member.link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        packed.write_all(&header).unwrap();
        packed.write_all(&member.content).unwrap();
        packed
            .write_all(&vec![0; member.content.len().next_multiple_of(512) - member.content.len()])
            .unwrap();
    }
    packed.write_all(&[0; 1024]).unwrap();
    packed.finish().unwrap()
}

/// Copies a model whose files come in this archive, which must fail; returns what was said.
async fn refused(hub: &FakeGitHub, archive: Vec<u8>, further: &str) -> String {
    let repository = hub.repository(TEST_MODELS);
    let id = commit(&repository, &MODELS);
    repository.branch("develop", &id);
    repository.set_archive(&id, ArchiveKind::TarGz, archive);
    let home = Home::with(hub, &format!("[files]\nsingle_files = 1\n{further}{SOURCE}"));
    home.write("victim", "precious");
    home.write("work/victim", "precious");
    home.write("cache/victim", "precious");
    home.write("cache/callsheet/victim", "precious");
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let outside = |home: &Home| {
        let mut files = home.files("");
        files.retain(|path, _| !path.starts_with("data/"));
        files.retain(|path, _| {
            path == "cache/callsheet/victim" || !path.starts_with("cache/callsheet/")
        });
        files
    };
    let before = outside(&home);
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(outside(&home), before, "{said}");
    assert!(!home.path("work/out").exists());
    assert_eq!(home.ok(&["files", "verify"]).await.code, 0);
    said
}

#[tokio::test]
async fn hostile_archives_are_refused_and_nothing_is_written_outside() {
    let hub = hub().await;
    let good = || {
        [
            file("top/mf6/simple/mfsim.nam", "simulation"),
            file("top/mf6/simple/model.dis", "one layer"),
        ]
    };
    let with = |more: Vec<Member>| tar_gz(&good().into_iter().chain(more).collect::<Vec<_>>());
    for (archive, says) in [
        (with(vec![file("top/../../victim", "evil")]), "top/../../victim"),
        (with(vec![file("../victim", "evil")]), "../victim"),
        (with(vec![file("/tmp/victim", "evil")]), "/tmp/victim"),
        (with(vec![file("top/C:/victim", "evil")]), "C:/victim"),
        (with(vec![file("top\\..\\victim", "evil")]), "victim"),
        (with(vec![file("top/aux.txt", "evil")]), "aux.txt"),
        (with(vec![file("top/mf6/simple/model.dis", "evil")]), "mf6/simple/model.dis\" twice"),
        (with(vec![file("top/mf6/SIMPLE/model.dis", "evil")]), "cannot be side by side"),
        (with(vec![file("top/mf6/simple", "evil")]), "cannot be side by side"),
        (with(vec![file("elsewhere/x", "evil")]), "has no one folder at its top"),
        (b"<html>no archive</html>".to_vec(), "neither zip nor tar"),
        (with(Vec::new())[..100].to_vec(), ""),
    ] {
        let said = refused(&hub, archive, "").await;
        assert!(said.starts_with("error: an archive of 'mf6/test@develop' cannot be used: MODFLOW-ORG/modflow6-testmodels@"), "{said}");
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[tokio::test]
async fn links_in_place_of_files_are_not_followed() {
    let hub = hub().await;
    let name = || file("top/mf6/simple/mfsim.nam", "simulation");
    for member in [
        link("top/mf6/simple/model.dis", b'2', "../../../../../../victim"),
        link("top/mf6/simple/model.dis", b'2', "/etc/passwd"),
        link("top/mf6/simple/model.dis", b'1', "top/mf6/simple/mfsim.nam"),
        link("top/mf6/simple/model.dis", b'1', "/etc/passwd"),
    ] {
        let said = refused(&hub, tar_gz(&[name(), member]), "").await;
        assert_eq!(
            said,
            "error: 'simple/model.dis' of 'mf6/test@develop' is not there: it is a link in the archive, which is not followed\n"
        );
    }
}

#[tokio::test]
async fn bombs_are_refused() {
    let hub = hub().await;
    let name = || file("top/mf6/simple/mfsim.nam", "simulation");
    let zeros = || Member { path: "top/zeros", kind: b'0', link: "", content: vec![0; 40 << 20] };
    let said = refused(&hub, tar_gz(&[name(), zeros()]), "").await;
    assert!(
        said.contains("becomes more than 200 times as large as it is; nothing of it is used"),
        "{said}"
    );
    let large = Member { content: vec![7; 100_000], ..file("top/mf6/simple/model.dis", "") };
    let limit = "max_file_bytes = \"64KiB\"\n";
    let said = refused(&hub, tar_gz(&[name(), large]), limit).await;
    assert!(
        said.contains("holds \"mf6/simple/model.dis\", which is larger than 65536 bytes"),
        "{said}"
    );
}

/// Packs 40 MiB of nothing as tightly as can be.
fn bomb(name: &str) -> Vec<u8> {
    let content = vec![0; 40 << 20];
    let mut crc = flate2::Crc::new();
    crc.update(&content);
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&content).unwrap();
    let packed = packed.finish().unwrap();
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    // What the header of a member and its place in the list have in common.
    let mut common = vec![20, 0, 0, 0, 8, 0, 0, 0, 0x21, 0];
    common.extend(crc.sum().to_le_bytes());
    common.extend(number(packed.len()));
    common.extend(number(content.len()));
    common.extend([u8::try_from(name.len()).unwrap(), 0, 0, 0]);
    let member = [b"PK\x03\x04", &*common, name.as_bytes(), &packed].concat();
    let list = [b"PK\x01\x02\x14\x00", &*common, &[0; 14], name.as_bytes()].concat();
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    end.extend(number(list.len()));
    end.extend(number(member.len()));
    end.extend([0, 0]);
    [member, list, end].concat()
}

#[tokio::test]
async fn hostile_zips_among_release_assets_are_refused() {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository("MODFLOW-ORG/modflow6-examples");
    let registry = "schema_version = \"1.0\"\n[files]\n\"a/mfsim.nam\" = {}\n[models]\n\"mf6/example/a\" = [\"a/mfsim.nam\"]\n[examples]\n";
    let good = || FakeTree::new().file("a/mfsim.nam", "simulation");
    let zip = |tree: FakeTree| tree.archive(ArchiveKind::Zip, "").to_vec();
    // No library writes a name twice.
    let twice = {
        let mut packed = zip(good().file("a/mfsim.nax", "evil"));
        while let Some(at) = packed.windows(11).position(|name| name == b"a/mfsim.nax") {
            packed[at + 10] = b'm';
        }
        packed
    };
    let bomb = bomb("a/mfsim.nam");
    for (archive, says) in [
        (zip(good().file("../victim", "evil")), "which leaves its root; nothing of it is used"),
        (
            zip(good().file("a/../../victim", "evil")),
            "which leaves its root; nothing of it is used",
        ),
        (zip(good().file("/tmp/victim", "evil")), "which leaves its root; nothing of it is used"),
        (zip(good().file("C:\\victim", "evil")), "victim"),
        (zip(good().file("A/mfsim.nam", "evil")), "cannot be side by side"),
        (zip(good().file("nul", "evil")), "nul"),
        (twice, "\"a/mfsim.nam\""),
        (bomb, "becomes more than 200 times as large as it is"),
        (zip(FakeTree::new().symlink("a/mfsim.nam", "/etc/passwd")), "it is a link in the archive"),
        (zip(good())[..60].to_vec(), ""),
    ] {
        repository.release(
            "current",
            [("models.toml", registry.as_bytes().to_vec()), ("a.zip", archive)],
        );
        let home = Home::seeing(&hub);
        home.write("victim", "precious");
        let said = home.fails(1, &["files", "copy", "mf6/example@current/a", "out"]).await;
        assert!(said.contains("mf6/example@current") && said.contains(says), "{says}: {said}");
        assert!(home.files("work").is_empty(), "{says}");
        assert_eq!(std::fs::read(home.path("victim")).unwrap(), b"precious");
        home.ok(&["files", "verify"]).await;
    }
}
