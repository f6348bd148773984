//! Folders and archives, well meant and otherwise.

use callsheet_sources::{Tree, TreeError, TreeLimits};
use proptest::prelude::*;
use std::{fs, io::Write as _, path::Path};
use tar::{Builder, EntryType, Header};

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header
}

/// Packs entries under exactly these names, which the library would refuse to write.
fn tar_of(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = header(*kind, content.len());
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

fn listed(tree: &Tree) -> Vec<(&str, &[u8])> {
    tree.files.iter().map(|(path, content)| (path.as_str(), &content[..])).collect()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    fs::create_dir_all(at("models/empty")).unwrap();
    fs::create_dir_all(at(".git/objects")).unwrap();
    fs::write(at(".git/config"), "no").unwrap();
    fs::write(at("models/.git"), "gitdir: ../.git/modules/models").unwrap();
    fs::write(at("models/a.toml"), "a").unwrap();
    fs::write(at("b.toml"), "bb").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at("models/link.toml")).unwrap();
    std::os::unix::fs::symlink("..", at("models/loop")).unwrap();
    folder
}

#[test]
fn a_folder_is_the_same_read_or_packed() {
    let folder = folder();
    let read = Tree::read_path(folder.path()).unwrap();
    assert_eq!(listed(&read), [("b.toml", &b"bb"[..]), ("models/a.toml", b"a")]);
    let places: Vec<_> = read.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["models/link.toml", "models/loop"]);

    let packed = Tree::to_tar(folder.path()).unwrap();
    assert_eq!(packed, Tree::to_tar(folder.path()).unwrap());
    for bytes in [packed.clone(), gzip(&packed)] {
        let unpacked = Tree::from_bytes("upload", &bytes).unwrap();
        assert_eq!(listed(&unpacked), listed(&read));
        assert_eq!(unpacked.problems, read.problems);
    }
}

#[test]
fn names_longer_than_a_header_survive() {
    let folder = tempfile::tempdir().unwrap();
    let deep = vec!["long".repeat(20); 4].join("/");
    fs::create_dir_all(folder.path().join(&deep)).unwrap();
    fs::write(folder.path().join(&deep).join("x"), "x").unwrap();
    let tree = Tree::from_bytes("x", &Tree::to_tar(folder.path()).unwrap()).unwrap();
    assert_eq!(listed(&tree), [(format!("{deep}/x").as_str(), &b"x"[..])]);
}

#[test]
fn content_says_what_a_file_is() {
    let tar = tar_of(&[("./r/a.json", EntryType::Regular, b"{}")]);
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, path) in [
        ("wrong-name.json", gzip(&tar), "r/a.json"),
        ("a.tar.gz", tar, "r/a.json"),
        ("models.json.gz", gzip(b"{}"), "models.json"),
        ("models.tar", b"{}".to_vec(), "models.tar"),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        let tree = Tree::read_path(&folder.path().join(name)).unwrap();
        assert_eq!(listed(&tree), [(path, &b"{}"[..])], "{name}");
    }
    assert!(Tree::from_bytes("x", b"").unwrap().files["x"].is_empty());
    assert!(Tree::from_bytes("x", &[0; 1024]).unwrap().files.is_empty());
}

#[test]
fn one_hostile_path_refuses_everything() {
    for path in ["../evil", "/etc/passwd", "a/../../b", "a\\..\\..\\b", "C:\\x"] {
        for kind in [EntryType::Regular, EntryType::Directory, EntryType::Symlink] {
            let tar = tar_of(&[("good", EntryType::Regular, b"x"), (path, kind, b"")]);
            let error = Tree::from_bytes("up.tar", &tar).unwrap_err();
            assert!(matches!(&error, TreeError::Hostile { path: p, .. } if p == path), "{error}");
        }
    }
}

#[test]
fn what_is_no_file_is_left_out_and_named() {
    let tar = tar_of(&[
        ("link", EntryType::Symlink, b""),
        ("hard", EntryType::Link, b""),
        ("pipe", EntryType::Fifo, b""),
        ("d/", EntryType::Directory, b""),
        ("twice", EntryType::Regular, b"1"),
        ("./twice", EntryType::Regular, b"2"),
    ]);
    let tree = Tree::from_bytes("up.tar", &tar).unwrap();
    assert_eq!(listed(&tree), [("twice", &b"1"[..])]);
    let problems: Vec<_> =
        tree.problems.iter().map(|p| format!("{}: {}", p.place, p.message)).collect();
    assert_eq!(
        problems,
        [
            "link: is a symbolic link, which is not followed",
            "hard: is a hard link, which is not followed",
            "pipe: is neither a file nor a folder",
            "twice: stands there twice; the first counts",
        ]
    );
}

#[test]
fn limits_hold_for_what_comes_out() {
    let limits = TreeLimits { max_bytes: 1000, max_entries: 3 };
    let read = |bytes: &[u8]| Tree::from_bytes_within("up", bytes, limits);
    let bomb = gzip(&tar_of(&[("bomb", EntryType::Regular, &vec![0; 50_000_000])]));
    assert!(bomb.len() < 400_000);
    assert!(matches!(read(&bomb), Err(TreeError::TooLarge { max_bytes: 1000, .. })));
    assert!(matches!(read(&gzip(&vec![b'x'; 50_000_000])), Err(TreeError::TooLarge { .. })));
    let half: &[u8] = &[b'x'; 600];
    let two = tar_of(&[("a", EntryType::Regular, half), ("b", EntryType::Regular, half)]);
    assert!(matches!(read(&two), Err(TreeError::TooLarge { .. })));
    let many: Vec<_> = ["a", "b", "c", "d"].map(|n| (n, EntryType::Directory, &b""[..])).to_vec();
    assert!(matches!(read(&tar_of(&many)), Err(TreeError::TooMany { max_entries: 3, .. })));
    assert!(read(&tar_of(&many[..3])).is_ok());

    let folder = folder();
    let within = |max_bytes, max_entries| {
        Tree::read_path_within(folder.path(), TreeLimits { max_bytes, max_entries })
    };
    assert!(within(3, 100).is_ok());
    assert!(matches!(within(2, 100), Err(TreeError::TooLarge { .. })));
    assert!(matches!(within(100, 3), Err(TreeError::TooMany { .. })));
}

#[test]
fn a_cut_archive_is_refused() {
    let whole = tar_of(&[("a", EntryType::Regular, &[b'x'; 2000])]);
    let packed = gzip(&whole);
    for cut in [&whole[..1000], &packed[..packed.len() / 2]] {
        let error = Tree::from_bytes("up", cut).unwrap_err();
        assert!(matches!(error, TreeError::Broken { .. }), "{error:?}");
    }
    let missing = Tree::read_path(Path::new("/no/such/place")).unwrap_err();
    assert!(matches!(missing, TreeError::Unreadable { .. }));
}

#[test]
fn an_archive_of_a_repository_names_its_commit() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let comment = format!("52 comment={commit}\n");
    let tar = tar_of(&[
        ("pax_global_header", EntryType::XGlobalHeader, comment.as_bytes()),
        ("repo-1/a", EntryType::Regular, b"x"),
        ("repo-1/l", EntryType::Symlink, b""),
    ]);
    let tree = Tree::from_bytes("repo.tar", &tar).unwrap().without_root();
    assert_eq!(tree.revision.as_deref(), Some(commit));
    assert_eq!(listed(&tree), [("a", &b"x"[..])]);
    assert_eq!(tree.problems[0].place, "l");
    let tar = tar_of(&[("a/x", EntryType::Regular, b""), ("b/x", EntryType::Regular, b"")]);
    assert_eq!(Tree::from_bytes("x", &tar).unwrap().without_root().files.len(), 2);
}

#[test]
fn the_catalog_of_models_dev_is_read() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models.dev.tar.gz");
    if !path.exists() {
        eprintln!("skipped: {} is not here", path.display());
        return;
    }
    let tree = Tree::read_path(&path).unwrap().without_root();
    let is_toml = |path: &String| Path::new(path).extension().is_some_and(|e| e == "toml");
    assert_eq!(tree.files.keys().filter(|path| is_toml(path)).count(), 5476);
    assert!(tree.problems.is_empty(), "{:?}", tree.problems);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000), packed: bool) {
        let bytes = if packed { gzip(&bytes) } else { bytes };
        let _ = Tree::from_bytes("x", &bytes);
    }

    #[test]
    fn no_damage_makes_it_panic_or_leave_its_root(
        at in 0usize..2048, byte: u8, cut in 0usize..4096,
    ) {
        let mut tar = tar_of(&[
            ("a/b", EntryType::Regular, b"content"),
            ("c", EntryType::Symlink, b""),
            ("d", EntryType::GNULongName, b"../../x"),
            ("e", EntryType::Regular, b""),
        ]);
        let at = at % tar.len();
        tar[at] = byte;
        tar.truncate(cut.max(1));
        if let Ok(tree) = Tree::from_bytes("x", &tar) {
            for path in tree.files.keys() {
                prop_assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."));
            }
        }
    }
}
