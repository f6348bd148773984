//! The folder that files are copied to: all of a model, or nothing of it, and nothing beside it.

use crate::files_scene::{Home, MODELS, SOURCE, hub, model};
use std::os::unix::fs::{PermissionsExt, symlink};

const COPY: [&str; 4] = ["files", "copy", "mf6/test@develop/deep", "out"];

fn forced() -> Vec<&'static str> {
    [&COPY[..], &["--force"]].concat()
}

#[tokio::test]
async fn what_is_there_is_replaced_only_by_force() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write("work/out/data/model.npf", "mine");
    home.write("work/out/mfsim.nam", "simulation");
    home.write("work/out/notes.txt", "notes");
    let before = home.files("work");
    let said = home.fails(1, &COPY).await;
    let out = home.path("work/out");
    assert_eq!(
        said,
        format!(
            "error: {} already has data/model.npf with other content\n\
             hint: nothing was copied; --force replaces them\n",
            out.display()
        )
    );
    assert_eq!(home.files("work"), before);
    let copied = home.ok(&forced()).await;
    assert!(
        copied.stdout.contains("2 files") && copied.stdout.ends_with(", 1 were there already\n"),
        "{copied:?}"
    );
    let mut expected = model(&MODELS, "deep");
    expected.insert("notes.txt".to_owned(), b"notes".to_vec());
    assert_eq!(home.files("work/out"), expected);
    let again = home.ok(&COPY).await;
    assert!(again.stdout.ends_with(": 0 files, 31B, 3 were there already\n"), "{again:?}");
}

#[tokio::test]
async fn no_link_in_a_workspace_is_followed() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write("victim/model.npf", "precious");
    std::fs::create_dir_all(home.path("work/out")).unwrap();
    symlink(home.path("victim"), home.path("work/out/data")).unwrap();
    for args in [COPY.to_vec(), forced()] {
        let said = home.fails(1, &args).await;
        let link = home.path("work/out/data");
        assert_eq!(said, format!("error: {} is no folder\n", link.display()), "{args:?}");
    }
    assert_eq!(home.files("victim").into_values().collect::<Vec<_>>(), [b"precious"]);
    assert_eq!(std::fs::read_dir(home.path("work/out")).unwrap().count(), 1);
    // A link in a file's own place is replaced, and what it leads to stays.
    std::fs::remove_file(home.path("work/out/data")).unwrap();
    symlink(home.path("victim/model.npf"), home.path("work/out/mfsim.nam")).unwrap();
    home.fails(1, &COPY).await;
    home.ok(&forced()).await;
    assert!(!home.path("work/out/mfsim.nam").is_symlink());
    assert_eq!(home.files("victim").into_values().collect::<Vec<_>>(), [b"precious"]);
    assert_eq!(home.files("work/out"), model(&MODELS, "deep"));
    // The workspace itself may be reached by one.
    std::fs::create_dir_all(home.path("elsewhere")).unwrap();
    symlink(home.path("elsewhere"), home.path("work/linked")).unwrap();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "linked"]).await;
    assert_eq!(home.files("elsewhere"), model(&MODELS, "deep"));
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.write("work/file", "a file");
    home.write("work/full/inner/mfsim.nam/in the way", "x");
    let before = home.files("work");
    let said = home.fails(1, &["files", "copy", "mf6/test@develop/deep", "file/out"]).await;
    let file = home.path("work/file");
    assert_eq!(said, format!("error: {} is no folder\n", file.display()));
    let way = home.path("work/full/inner/mfsim.nam");
    for more in [&[][..], &["--force"]] {
        let args = [&["files", "copy", "mf6/test@develop/deep", "full"], more].concat();
        let said = home.fails(1, &args).await;
        assert!(said.contains("inner/mfsim.nam"), "{said}");
    }
    assert!(way.is_dir());
    assert_eq!(home.files("work"), before);
}

#[tokio::test]
async fn copies_are_ordinary_files_in_new_folders() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "a/b/c/"]).await;
    assert_eq!(home.files("work"), {
        let files = model(&MODELS, "deep").into_iter();
        files.map(|(path, content)| (format!("a/b/c/{path}"), content)).collect()
    });
    let mode =
        |path: &str| std::fs::metadata(home.path(path)).unwrap().permissions().mode() & 0o777;
    for file in ["mfsim.nam", "data/model.npf", "inner/mfsim.nam"] {
        assert_eq!(mode(&format!("work/a/b/c/{file}")), 0o644, "{file}");
    }
    for folder in ["a", "a/b", "a/b/c", "a/b/c/data"] {
        assert_eq!(mode(&format!("work/{folder}")), 0o755, "{folder}");
    }
    let cached = std::fs::metadata(home.cached(b"k = 1")).unwrap().permissions().mode() & 0o777;
    assert_eq!(cached, 0o644);
    // What is copied is the user's: writing to it leaves the cache as it is.
    home.write("work/a/b/c/data/model.npf", "changed");
    assert_eq!(std::fs::read(home.cached(b"k = 1")).unwrap(), b"k = 1");
}

#[tokio::test]
async fn the_current_folder_is_a_workspace_too() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/simple", "."]).await;
    assert_eq!(home.files("work"), model(&MODELS, "simple"));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let would = home.ok(&[&COPY[..], &["--dry-run"]].concat()).await;
    assert_eq!(would.stdout, "would copy mf6/test@develop/deep to out: 3 files\n");
    assert!(home.files("work").is_empty());
    assert!(!home.cached(b"k = 1").exists());
}
