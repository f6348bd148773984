//! Folders of models, indexed.

use callsheet_files::{
    index::{IndexError, IndexOptions, Indexed, index},
    registry::{Addresses, Publishes, Registry},
};
use callsheet_types::Digest;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, SystemTime},
};

/// A folder of models; no file in it was written to lately.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn with(paths: &[&str]) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        for path in paths {
            scene.write(path, path);
        }
        scene
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("tree").join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        set_age(&path, Duration::from_hours(1));
    }

    fn options(&self) -> IndexOptions {
        IndexOptions {
            name: "mf6/test".to_owned(),
            namefile: "mfsim.nam".to_owned(),
            with_examples: false,
            memory: Some(self.folder.path().join("cache/memory")),
        }
    }

    fn index(&self) -> Indexed {
        index(&self.path(""), &self.options(), &|_, _| ()).unwrap()
    }
}

fn set_age(path: &Path, age: Duration) {
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// Returns each model with its files, as they are listed.
fn models(registry: &Registry) -> Vec<(&str, Vec<&str>)> {
    let files = |model| registry.files_of(model).map(|file| file.key.as_str()).collect();
    registry.models.iter().map(|model| (&*model.name, files(model))).collect()
}

#[test]
fn models_are_the_folders_with_a_name_file() {
    let scene = Scene::with(&[
        "b/mfsim.nam",
        "b/sub/x.dat",
        "b/a.dis",
        "b/alt/mfsim.nam",
        "b/alt/.hidden",
        "b-c/mfsim.nam",
        "deep/er/mfsim.nam",
        "none/x.dat",
        "mfsim.nam.d/x",
        "README.md",
        "b/.git/mfsim.nam",
        "b/alt/.git",
        "none/.GIT/mfsim.nam",
        "b/out.LST",
        "b/out.hds",
        "b/out.cbc",
        "b/.lst",
        "b/x.compare.txt",
        "b/.DS_Store",
        "b/compare/kept",
    ]);
    let indexed = scene.index();
    assert_eq!(
        models(&indexed.registry),
        [
            (
                "mf6/test/b",
                vec![
                    "b/.lst",
                    "b/a.dis",
                    "b/mfsim.nam",
                    "b/alt/.hidden",
                    "b/alt/mfsim.nam",
                    "b/compare/kept",
                    "b/sub/x.dat",
                ]
            ),
            ("mf6/test/b-c", vec!["b-c/mfsim.nam"]),
            ("mf6/test/b/alt", vec!["b/alt/.hidden", "b/alt/mfsim.nam"]),
            ("mf6/test/deep/er", vec!["deep/er/mfsim.nam"]),
        ]
    );
    assert_eq!((indexed.hashed, indexed.remembered, indexed.problems), (9, 0, vec![]));
    for file in &indexed.registry.files {
        assert_eq!(file.digest, Some(Digest::of(file.key.as_str().as_bytes())), "{}", file.key);
    }
    assert_eq!(
        indexed.bytes,
        indexed.registry.files.iter().map(|f| f.key.as_str().len() as u64).sum::<u64>()
    );
    assert_eq!(indexed.registry.examples, []);
    // What is published says all of it.
    let written = indexed.registry.write(&Addresses::None);
    assert_eq!(Registry::parse(Publishes::Models, written.as_bytes()), Ok(indexed.registry));
}

#[test]
fn the_folder_itself_may_be_a_model() {
    let scene = Scene::with(&["mfsim.nam", "z.dat", "alt/mfsim.nam"]);
    let whole = vec!["mfsim.nam", "z.dat", "alt/mfsim.nam"];
    let options = IndexOptions { with_examples: true, ..scene.options() };
    let indexed = index(&scene.path(""), &options, &|_, _| ()).unwrap();
    assert_eq!(
        models(&indexed.registry),
        [("mf6/test", whole.clone()), ("mf6/test/alt", vec!["alt/mfsim.nam"])]
    );
    let [example] = &indexed.registry.examples[..] else {
        panic!("{:?}", indexed.registry.examples)
    };
    assert_eq!((&*example.name, &example.models[..]), ("alt", &["mf6/test/alt".into()][..]));
    let unnamed = IndexOptions { name: String::new(), ..options };
    let indexed = index(&scene.path(""), &unnamed, &|_, _| ()).unwrap();
    assert_eq!(models(&indexed.registry), [("alt", vec!["alt/mfsim.nam"]), ("tree", whole)]);
}

#[test]
fn examples_are_groups_in_which_flow_comes_first() {
    let scene = Scene::with(&[
        "ex-gwe-a/mf6gwe/mfsim.nam",
        "ex-gwe-a/mf6gwf/mfsim.nam",
        "ex-gwe-a/mf6gwt/mfsim.nam",
        "ex-one/mfsim.nam",
    ]);
    let options = IndexOptions { with_examples: true, name: "e".to_owned(), ..scene.options() };
    let registry = index(&scene.path(""), &options, &|_, _| ()).unwrap().registry;
    let examples: Vec<(&str, Vec<&str>)> = registry
        .examples
        .iter()
        .map(|example| (&*example.name, example.models.iter().map(|model| &**model).collect()))
        .collect();
    let expected = [
        ("ex-gwe-a", vec!["e/ex-gwe-a/mf6gwf", "e/ex-gwe-a/mf6gwe", "e/ex-gwe-a/mf6gwt"]),
        ("ex-one", vec!["e/ex-one"]),
    ];
    assert_eq!(examples, expected);
}

#[test]
fn files_that_look_the_same_are_not_read_again() {
    let scene = Scene::with(&["a/mfsim.nam", "a/b.dis", "a/c.dis"]);
    let first = scene.index();
    assert_eq!((first.hashed, first.remembered), (3, 0));
    let again = scene.index();
    assert_eq!((again.hashed, again.remembered, again.bytes), (0, 3, 0));
    assert_eq!(again.registry, first.registry);
    // Of the same size, and of the same age.
    scene.write("a/b.dis", "A/B.DIS");
    let changed = scene.index();
    assert_eq!((changed.hashed, changed.remembered, changed.bytes), (1, 2, 7));
    assert_eq!(changed.registry.file("a/b.dis").unwrap().digest, Some(Digest::of(b"A/B.DIS")));
    fs::remove_file(scene.path("a/c.dis")).unwrap();
    assert_eq!(scene.index().registry.files.len(), 2);
    assert_eq!(scene.index().remembered, 2);
}

#[test]
fn files_that_were_just_written_are_read_again() {
    let scene = Scene::with(&["a/mfsim.nam", "a/b.dis"]);
    set_age(&scene.path("a/b.dis"), Duration::ZERO);
    scene.index();
    let again = scene.index();
    assert_eq!((again.hashed, again.remembered), (1, 1));
}

#[test]
fn a_damaged_memory_is_forgotten_and_one_that_cannot_be_written_is_a_problem() {
    let scene = Scene::with(&["a/mfsim.nam", "a/b.dis"]);
    let memory = scene.options().memory.unwrap();
    let first = scene.index();
    let whole = fs::read(&memory).unwrap();
    for at in [0, 20, 60, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&memory, damaged).unwrap();
        assert_eq!(scene.index().hashed, 2, "flipped at {at}");
        assert_eq!(scene.index().hashed, 0);
        fs::write(&memory, &whole[..at]).unwrap();
        assert_eq!(scene.index().hashed, 2, "cut at {at}");
    }
    let options = IndexOptions { memory: Some(scene.path("a/b.dis/memory")), ..scene.options() };
    let indexed = index(&scene.path(""), &options, &|_, _| ()).unwrap();
    assert_eq!(indexed.registry, first.registry);
    let [problem] = &indexed.problems[..] else { panic!("{:?}", indexed.problems) };
    assert!(problem.message.starts_with("digests are not remembered: "), "{}", problem.message);
}

#[test]
fn progress_reaches_all_files() {
    let paths: Vec<String> = (0..40).map(|nth| format!("a/{nth}.dat")).collect();
    let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    paths.push("a/mfsim.nam");
    let scene = Scene::with(&paths);
    let told = Mutex::new(Vec::new());
    let on_file = |done, total| told.lock().unwrap().push((done, total));
    index(&scene.path(""), &scene.options(), &on_file).unwrap();
    let mut steps = std::mem::take(&mut *told.lock().unwrap());
    steps.sort_unstable();
    assert_eq!(steps, (1..=41).map(|done| (done, 41)).collect::<Vec<(u64, u64)>>());
    index(&scene.path(""), &scene.options(), &on_file).unwrap();
    assert_eq!(*told.lock().unwrap(), [(41, 41)]);
}

#[test]
fn large_files_are_hashed_whole() {
    let scene = Scene::with(&["a/mfsim.nam"]);
    let large: Vec<u8> = (0..5_000_003_u32).map(|nth| (nth % 251) as u8).collect();
    fs::write(scene.path("a/large.bin"), &large).unwrap();
    let indexed = scene.index();
    let file = indexed.registry.file("a/large.bin").unwrap();
    assert_eq!(file.digest, Some(Digest::of(&large)));
    assert_eq!(indexed.bytes, 5_000_003 + "a/mfsim.nam".len() as u64);
}

#[test]
fn patterns_find_other_name_files() {
    let scene = Scene::with(&["a/x.nam", "a/y.txt", "b/x.nams", "c/.nam"]);
    let found = |namefile: &str| {
        let options = IndexOptions { namefile: namefile.to_owned(), ..scene.options() };
        index(&scene.path(""), &options, &|_, _| ()).map(|indexed| {
            indexed.registry.models.iter().map(|model| model.name.to_string()).collect::<Vec<_>>()
        })
    };
    assert_eq!(found("*.nam").unwrap(), ["mf6/test/a", "mf6/test/c"]);
    assert_eq!(found("?.nam").unwrap(), ["mf6/test/a"]);
    let cases = [
        ("", "\"\" is no pattern for a file's name: it is empty"),
        ("a/x.nam", "\"a/x.nam\" is no pattern for a file's name: it holds a slash"),
        ("[", "\"[\" is no pattern for a file's name: unclosed character class; missing ']'"),
    ];
    for (namefile, expected) in cases {
        assert_eq!(found(namefile).unwrap_err().to_string(), expected);
    }
    let none = found("nothing").unwrap_err();
    assert!(
        matches!(&none, IndexError::NoModel { namefile, .. } if namefile == "nothing"),
        "{none}"
    );
    let missing = index(&scene.path("missing"), &scene.options(), &|_, _| ()).unwrap_err();
    assert!(matches!(missing, IndexError::Unreadable { .. }), "{missing}");
}

#[cfg(unix)]
#[test]
fn links_are_left_out_and_named() {
    use std::os::unix::fs::symlink;
    let scene = Scene::with(&["a/mfsim.nam", "outside/x.dat", "b/x.dat"]);
    symlink(scene.path("outside"), scene.path("a/folder")).unwrap();
    symlink(scene.path("outside/x.dat"), scene.path("a/file")).unwrap();
    symlink(scene.path("outside/x.dat"), scene.path("a/out.lst")).unwrap();
    symlink(scene.path("a"), scene.path("a/loop")).unwrap();
    symlink(scene.path("a/mfsim.nam"), scene.path("b/mfsim.nam")).unwrap();
    let indexed = scene.index();
    assert_eq!(models(&indexed.registry), [("mf6/test/a", vec!["a/mfsim.nam"])]);
    let problems: Vec<String> = indexed
        .problems
        .iter()
        .map(|problem| format!("{} {}", problem.place, problem.message))
        .collect();
    let left_out = "is a symbolic link, and left out";
    assert_eq!(
        problems,
        [
            format!("a/file {left_out}"),
            format!("a/folder {left_out}"),
            format!("a/loop {left_out}")
        ]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_made_everywhere_is_not_published() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let error = |path: &[u8]| {
        let scene = Scene::with(&["a/mfsim.nam", "a/X.dat", "b/x:y"]);
        let path = scene.path("a").join(OsStr::from_bytes(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
        index(&scene.path(""), &scene.options(), &|_, _| ()).unwrap_err().to_string()
    };
    assert_eq!(
        error(b"x.DAT"),
        "\"a/X.dat\" and \"a/x.DAT\" are one file where case does not count"
    );
    assert_eq!(
        error(b"x.DAT/y"),
        "\"a/X.dat\" and \"a/x.DAT\" are one file where case does not count"
    );
    assert_eq!(
        error(b"x:y"),
        "\"a/x:y\" cannot be the path of a published file: it holds a colon, as drives and streams have it"
    );
    assert_eq!(
        error(b"\xff"),
        "\"a/\u{fffd}\" cannot be the path of a published file: it is not UTF-8"
    );
}

#[test]
fn the_models_of_modflow_are_found() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mf6-testmodels/mf6");
    if !folder.is_dir() {
        eprintln!("skipped: {} is missing", folder.display());
        return;
    }
    let options = IndexOptions {
        name: "mf6/test".to_owned(),
        namefile: "mfsim.nam".to_owned(),
        with_examples: true,
        memory: None,
    };
    let indexed = index(&folder, &options, &|_, _| ()).unwrap();
    let registry = &indexed.registry;
    assert_eq!((registry.models.len(), registry.files.len(), indexed.hashed), (37, 662, 662));
    assert_eq!((registry.examples.len(), indexed.problems.len()), (36, 0));
    for model in &registry.models {
        let first = registry.files_of(model).next().unwrap();
        let folder = model.name.strip_prefix("mf6/test/").unwrap();
        assert_eq!(first.key.folder(), folder, "its own files come first");
        assert!(registry.file(&format!("{folder}/mfsim.nam")).is_some());
    }
    // One is in another, and one folder has scripts only.
    let nested = registry.model("mf6/test/test106_tsnodata/alt_model").unwrap();
    let above = registry.model("mf6/test/test106_tsnodata").unwrap();
    assert!(nested.files.iter().all(|file| above.files.contains(file)));
    assert!(folder.join("python").is_dir());
    assert!(registry.files.iter().all(|file| file.key.below("python").is_none()));
    let base = Addresses::BeforeKey("https://raw.host/o/r/develop/mf6".to_owned());
    let written = registry.write(&base);
    let again = Registry::parse(Publishes::Models, written.as_bytes()).unwrap();
    assert_eq!(again.models, registry.models);
    assert_eq!(again.write(&base), written);
}
