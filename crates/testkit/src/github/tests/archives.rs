//! What is in an archive, and in a commit of a real folder.

use std::io::{Cursor, Read as _};

use super::*;

#[tokio::test]
async fn archives_hold_one_folder() {
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("o/r");
    let long = format!("{}/x", "long/".repeat(60));
    let tree = FakeTree::new()
        .file("a/b.txt", "text")
        .executable("run.sh", "#!")
        .symlink("a/link", "b.txt")
        .file(&long, "deep");
    let commit = repo.commit_tree(tree);
    repo.branch("feature/x", &commit);
    let top = format!("o-r-{}", &commit[..7]);
    let api = format!("{}/repos/o/r", hub.api_url());

    let redirect = get(&format!("{api}/tarball/feature/x")).await;
    let to = redirect.header("location").unwrap();
    let codeload = hub.url(GitHubHost::Codeload);
    assert_eq!(to, format!("{codeload}/o/r/legacy.tar.gz/refs/heads/feature/x"));
    let reply = get(to).await;
    assert_eq!(reply.header("content-length"), None);
    assert!(reply.header("etag").unwrap().starts_with("W/"));
    let mut seen = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&reply.body[..]));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            text = target.to_string_lossy().into_owned();
        }
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        seen.insert(path, (entry.header().entry_type(), text));
    }
    let (kind, comment) = seen.remove("pax_global_header").unwrap();
    assert_eq!(kind, tar::EntryType::XGlobalHeader);
    assert_eq!(comment, format!("52 comment={commit}\n"));
    assert!(seen.keys().all(|path| path.starts_with(&format!("{top}/"))), "{:?}", seen.keys());
    let files: Vec<_> = seen.iter().filter(|(_, (kind, _))| !kind.is_dir()).collect();
    assert_eq!(files.len(), 4);
    let file = |path: &str| seen[&format!("{top}/{path}")].clone();
    assert_eq!(file("a/link"), (tar::EntryType::Symlink, "b.txt".to_owned()));
    assert_eq!(file(&long), (tar::EntryType::Regular, "deep".to_owned()));

    let reply = follow(&format!("{api}/zipball/{commit}"), &[]).await;
    let mut zip = zip::ZipArchive::new(Cursor::new(reply.body)).unwrap();
    assert_eq!(zip.comment(), commit.as_bytes());
    assert!(zip.file_names().all(|path| path.unwrap().starts_with(&format!("{top}/"))));
    assert!(zip.by_name(&format!("{top}/a/link")).unwrap().is_symlink());
    let mut text = String::new();
    let mut file = zip.by_name(&format!("{top}/a/b.txt")).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text");

    assert_eq!(get(&format!("{api}/zipball/nothing")).await.status, 404);
    hub.set_ranges(GitHubHost::Codeload, true);
    let whole = repo.archive(&commit, ArchiveKind::Zip);
    let reply = get(&format!("{codeload}/o/r/legacy.zip/{commit}")).await;
    assert_eq!(reply.header("content-length"), Some(&*whole.len().to_string()));
    let before = reply.header("etag").unwrap().to_owned();
    repo.set_archive(&commit, ArchiveKind::Zip, "no archive");
    let part = [("Range", "bytes=3-")];
    let reply = get_with(&format!("{codeload}/o/r/legacy.zip/{commit}"), &part).await;
    assert_eq!((reply.status, reply.text().as_str()), (206, "archive"));
    assert_ne!(reply.header("etag"), Some(&*before));
}

#[tokio::test]
async fn a_real_folder_becomes_a_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for name in ["sub/deeper", ".git"] {
        std::fs::create_dir_all(path.join(name)).unwrap();
    }
    for name in ["top", "sub/deeper/x", ".git/config"] {
        std::fs::write(path.join(name), name).unwrap();
    }
    let hub = FakeGitHub::start().await;
    let repo = hub.repository("o/r");
    let commit = repo.commit_from_dir("mf6", path);
    assert_eq!(repo.tree(&commit).paths(), ["mf6/sub/deeper/x", "mf6/top"]);
    let next = repo.commit_tree(repo.tree(&commit).without("mf6/sub").file("mf6/top", "new"));
    assert_eq!(repo.tree(&next).paths(), ["mf6/top"]);
    assert_eq!(repo.tree(&commit).content("mf6/top").unwrap(), "top");
    // Ids follow from what is committed.
    let again = FakeGitHub::start().await.repository("other/name");
    assert_eq!(again.commit_from_dir("mf6", path), commit);
}
