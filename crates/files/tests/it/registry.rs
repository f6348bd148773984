//! Registry files of every shape, read and written.

use callsheet_files::registry::{
    Addresses, Base, Difference, Program, Publishes, Registry, RegistryError,
};
use callsheet_types::Digest;
use proptest::prelude::*;
use std::{fs, path::Path};

const A: &str = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb";
const B: &str = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d";

fn read(text: &str) -> Registry {
    Registry::parse(Publishes::Models, text.as_bytes()).unwrap()
}

fn refused(publishes: Publishes, text: &str) -> String {
    Registry::parse(publishes, text.as_bytes()).unwrap_err().to_string()
}

fn digest(hex: &str) -> Digest {
    Digest::parse_hex(hex).unwrap()
}

#[test]
fn the_same_is_read_from_every_way_to_write_it() {
    let url = "https://raw.host/o/r/develop/mf6/a b/x.nam";
    let expected = read(&format!(
        "schema_version = \"1.0\"\n\n[files.\"a b/x.nam\"]\nurl = \"{url}\"\nhash = \"{A}\"\n\n\
         [files.\"a b/y.dis\"]\nurl = \"https://raw.host/o/r/develop/mf6/a b/y.dis\"\n\n\
         [models]\n\"m/a b\" = [\n    \"a b/x.nam\",\n    \"a b/y.dis\",\n]\n\n[examples]\ne = [\"m/a b\"]\n"
    ));
    assert_eq!(expected.bases, ["https://raw.host/o/r/develop/mf6".into()]);
    assert_eq!(expected.file("a b/x.nam").unwrap().digest, Some(digest(A)));
    assert_eq!(expected.file("a b/x.nam").unwrap().base, Base::BeforeKey(0));
    assert_eq!(expected.url(expected.file("a b/x.nam").unwrap()).as_deref(), Some(url));
    assert_eq!(expected.file("a b/y.dis").unwrap().digest, None);
    assert_eq!(expected.model("m/a b").unwrap().files, [0, 1]);
    assert_eq!(expected.example("e").unwrap().models, ["m/a b".into()]);
    let y = "https://raw.host/o/r/develop/mf6/a b/y.dis";
    for text in [
        // The lists come first, keys are dotted, texts are literal or span lines, lines end as on
        // Windows, and comments stand wherever they may.
        format!(
            "\u{feff}schema_version = 1 # a number\r\nexamples.e = ['m/a b']\r\n[models]\r\n\
             'm/a b' = [ # first\r\n'a b/x.nam', # [second]\r\n'''a b/y.dis''',\r\n]\r\n[files]\r\n\
             'a b/x.nam'.url = '{url}'\r\n\"a\\u0020b/y.dis\".url = \"\"\"{y}\"\"\"\r\n\
             'a b/x.nam'.hash = \"\"\"\r\nsha256:{A}\"\"\"\r\n"
        ),
        // All in one line, and what is not known is passed over.
        format!(
            "files = {{\"a b/y.dis\" = {{url = '{y}', size = 3}}, \
             \"a b/x.nam\" = {{hash = \"{}\", url = '{url}'}}}}\n\
             models = {{'m/a b' = ['a b/x.nam', 'a b/y.dis', 'a b/x.nam']}}\n\
             examples = {{e = ['m/a b']}}\n\
             generated_at = 2025-01-02T03:04:05Z\n[metadata]\nref = 'x'\n[[other]]\nfiles = 3\n",
            A.to_uppercase()
        ),
        // A table that another one interrupts, and an address with its escapes.
        format!(
            "[files.'a b/x.nam']\nhash = '{A}'\n[models]\n'm/a b' = ['a b/x.nam', 'a b/y.dis']\n\
             [files.'a b/y.dis']\nurl = '{y}'\npath = 'C:\\x'\n[examples]\ne = ['m/a b']\n\
             [files.'a b/x.nam'.more]\nhash = 3\n[files]\n"
        )
        .replace(
            &format!("hash = '{A}'\n"),
            &format!("hash = '{A}'\nurl = '{}'\n", url.replace(' ', "%20")),
        ),
    ] {
        assert_eq!(read(&text), expected, "{text}");
    }
}

#[test]
fn files_of_an_archive_have_its_address() {
    let url = "https://github.host/o/r/releases/download/current/mf6examples.zip";
    let registry = read(&format!(
        "[files.'a/x.nam']\nurl = '{url}'\n[files.'mf6examples.zip']\nurl = '{url}'\n\
         [models]\na = ['a/x.nam']\n"
    ));
    assert_eq!(registry.files[0].base, Base::Archive(0));
    assert_eq!(registry.url(&registry.files[0]).as_deref(), Some(url));
    assert_eq!(registry.url(&registry.files[1]).as_deref(), Some(url));
    assert_eq!(registry.model("a").unwrap().files, [0]);
}

#[test]
fn an_archive_has_a_hash_and_the_files_in_it_have_digests() {
    // The Python package unpacks an archive only if none of a model's files has a `hash`.
    let url = "https://host/o/r/releases/download/current/all.zip";
    let registry = read(&format!(
        "[files.'a/x.nam']\nurl = '{url}'\ndigest = 'sha256:{A}'\n\
         [files.'all.zip']\nurl = '{url}'\nhash = '{B}'\n[models]\na = ['a/x.nam']\n"
    ));
    let digests: Vec<_> = registry.files.iter().map(|file| file.digest).collect();
    assert_eq!(digests, [A, B].map(|hex| Digest::parse_hex(hex).ok()));
    let written = registry.write(&Addresses::Archive(url.to_owned()));
    assert_eq!(
        written,
        format!(
            "schema_version = \"1.0\"\n\n[files.\"a/x.nam\"]\nurl = \"{url}\"\n\
             digest = \"sha256:{A}\"\n\n[files.\"all.zip\"]\nurl = \"{url}\"\nhash = \"{B}\"\n\n\
             [models]\na = [\n    \"a/x.nam\",\n]\n\n[examples]\n"
        )
    );
    assert_eq!(read(&written), registry);
}

#[test]
fn a_registry_file_with_a_fault_is_refused_with_its_place() {
    let both = format!("files.a = {{hash = '{A}', digest = '{B}'}}");
    let dotted = format!("files.a.hash = '{A}'\nfiles.b = {{}}\nfiles.a.digest = '{B}'");
    let cases = [
        (both.as_str(), "`files.a` has a `hash` and another `digest`"),
        (dotted.as_str(), "`files.a` has a `hash` and another `digest`"),
        (
            "files.a.digest = 'x'",
            r#"`files.a.digest` is "x"; expected the 64 hexadecimal digits of a SHA-256"#,
        ),
        ("[files.a.digest]", "`files.a.digest` is a table; expected a text"),
        (
            "[files]\na = {}\n[models]\nm = ['a', 'b']",
            r#"`models.m` names "b", which is not in `files`"#,
        ),
        ("[examples]\ne = ['m']", r#"`examples.e` names "m", which is not in `models`"#),
        (
            "files.'a b'.hash = 'x'",
            r#"`files."a b".hash` is "x"; expected the 64 hexadecimal digits of a SHA-256"#,
        ),
        ("files.a.hash = 3", "`files.a.hash` is a number; expected a text"),
        ("files.a.url = ''", "`files.a.url` is \"\"; expected an address"),
        ("files = 3", "`files` is a number; expected a table"),
        ("[[files]]", "`files` is a list of tables; expected a table"),
        ("files.a = []", "`files.a` is a list; expected a table"),
        ("[files.a.url]", "`files.a.url` is a table; expected a text"),
        ("models.m = 'a'", "`models.m` is a text; expected a list of names"),
        ("models.m = [['a']]", "`models.m` holds a list; expected names"),
        ("[models.m]\nfiles = []", "`models.m` is a table; expected a list of names"),
        ("models = []", "`models` is a list; expected a table"),
        ("models.'' = []", "`models.\"\"` is no name: it is empty, or holds a control character"),
        (
            "models.\"\\u001b[2J\" = []",
            "`models.\"\\u{1b}[2J\"` is no name: it is empty, or holds a control character",
        ),
        (
            "schema_version = '2.0'\nfiles = 3",
            "its schema_version is \"2.0\"; this program reads 1",
        ),
        ("files = 3\nschema_version = '10'", "its schema_version is \"10\"; this program reads 1"),
        ("schema_version = []", "`schema_version` is no text"),
        (
            "files.'a/../../b' = {}",
            "it holds an unsafe path, and nothing of it is used: \"a/../../b\" cannot be the path of a published file: it has a part `.` or `..`",
        ),
        (
            "[files]\na = {}\n[models]\n'm/../../b' = ['a']",
            "it holds an unsafe path, and nothing of it is used: \"m/../../b\" cannot be the path of a published file: it has a part `.` or `..`",
        ),
        (
            "[files]\na = {}\n[models]\nm = ['/etc/passwd']",
            "it holds an unsafe path, and nothing of it is used: \"/etc/passwd\" cannot be the path of a published file: it is absolute",
        ),
        (
            "files.'a/X' = {}\nfiles.'A/x' = {}",
            "\"A/x\" and \"a/X\" are one file where case does not count",
        ),
        (
            "files.'Ä' = {}\nfiles.'ä' = {}",
            "\"Ä\" and \"ä\" are one file where case does not count",
        ),
        (
            "files.'A' = {}\nfiles.'a-' = {}\nfiles.'a/b' = {}",
            "`files.A` is a file, and the folder of \"a/b\"",
        ),
        ("\n\nfiles.a = {}\nfiles.a = {}", "line 4 is no TOML: the key a stands there twice"),
        ("[files.a]\n[files.a]", "line 2 is no TOML: the key a stands there twice"),
        (
            "[files.a]\nhash = 1\nurl = ''\nhash = 1",
            "line 4 is no TOML: the key hash stands there twice",
        ),
        (
            "[models]\nm = [\n  'a'\n  'b']\n",
            "line 4 is no TOML: missing comma between array elements, expected `,`",
        ),
        (
            "a = 1\r\nb = [1,\r\n\r\n2 'c'\r\n",
            "line 4 is no TOML: missing comma between array elements, expected `,`",
        ),
        (
            "a = \"\\q\"",
            "line 1 is no TOML: missing escaped value, expected `b` or `e` or `f` or `n` or `r` or `\\` or `\"` or `x` or `u` or `U`",
        ),
        (" \n<!DOCTYPE html>\n<html>", "it is a web page"),
        ("{\"message\": \"Not Found\"}", "line 1 is no TOML: invalid key-value pair, expected key"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused(Publishes::Models, text), expected, "{text}");
    }
    let not_utf8 = Registry::parse(Publishes::Models, b"a = 1\n# \xff").unwrap_err();
    assert_eq!(not_utf8.to_string(), "line 2 is no TOML: its text is not UTF-8");
}

#[test]
fn versions_of_one_are_read() {
    for version in ["'1'", "'1.0'", "'1.7.2'", "1", "1.0"] {
        assert_eq!(read(&format!("schema_version = {version}")), Registry::default());
    }
    assert_eq!(read(""), Registry::default());
}

#[test]
fn an_open_bracket_is_an_error_soon() {
    let mut text = "a = [".to_owned();
    text.push_str(&",".repeat(4_000_000));
    assert_eq!(
        refused(Publishes::Models, &text),
        "line 1 is no TOML: a value is too long, or is not closed"
    );
}

#[test]
fn programs_are_models_of_one_archive() {
    let text = format!(
        "schema_version = '1.0'\n[programs.zbud6]\nlicense = 'CC0-1.0'\n\
         dists = [{{name = 'linux', asset = 'mf6_linux.zip'}}]\n\
         [programs.mf6]\ndescription = 'Flow'\nexe = 'bin/mf6'\nversion = 3\n\
         [[programs.mf6.dists]]\nname = 'win64'\nasset = 'mf6_win64.zip'\nexe = 'mf6.exe'\n\
         [[programs.mf6.dists]]\nname = 'linux'\nasset = 'mf6_linux.zip'\nhash = 'sha256:{A}'\n"
    );
    let registry = Registry::parse(Publishes::Programs, text.as_bytes()).unwrap();
    let files: Vec<(&str, Option<Digest>)> =
        registry.files.iter().map(|file| (file.key.as_str(), file.digest)).collect();
    assert_eq!(files, [("mf6_linux.zip", Some(digest(A))), ("mf6_win64.zip", None)]);
    let models: Vec<(&str, &[u32])> =
        registry.models.iter().map(|model| (&*model.name, &*model.files)).collect();
    assert_eq!(models, [("mf6/linux", &[0][..]), ("mf6/win64", &[1]), ("zbud6/linux", &[0])]);
    let [mf6, zbud6] = &registry.programs[..] else { panic!("{:?}", registry.programs) };
    let expected = Program {
        name: "mf6".into(),
        description: Some("Flow".to_owned()),
        license: None,
        exe: Some("bin/mf6".to_owned()),
        dists: mf6.dists.clone(),
    };
    assert_eq!(*mf6, expected);
    assert_eq!(mf6.dists[0].exe.as_deref(), Some("mf6.exe"));
    assert_eq!(zbud6.license.as_deref(), Some("CC0-1.0"));
    let written = registry.write(&Addresses::None);
    assert_eq!(Registry::parse(Publishes::Programs, written.as_bytes()).as_ref(), Ok(&registry));
    assert_eq!(Registry::load(&registry.compile()).as_ref(), Some(&registry));

    for (text, expected) in [
        (
            "programs.p.dists = [{name = 'a'}]",
            "`programs.p.dists` holds \"a\", which has no `asset`",
        ),
        ("programs.p.dists = [{asset = 'a'}]", "`programs.p.dists` holds one without a `name`"),
        ("programs.p.dists = ['a']", "`programs.p.dists` holds a text; expected tables"),
        (
            "programs.p.dists.name = 'a'",
            "`programs.p.dists.name` is in a table; expected a list of tables",
        ),
        ("[programs.p.dists]", "`programs.p.dists` is a table; expected a list of tables"),
        ("[[programs]]", "`programs` is a list of tables; expected a table"),
        ("programs.p.exe = 1", "`programs.p.exe` is a number; expected a text"),
        ("programs.p = 1", "`programs.p` is a number; expected a table"),
        (
            "programs.p.dists = [{name = 'a', asset = 'x'}, {name = 'a', asset = 'y'}]",
            "`programs.p.dists` holds \"a\" twice",
        ),
    ] {
        assert_eq!(refused(Publishes::Programs, text), expected, "{text}");
    }
    let two_hashes = format!(
        "p.dists = [{{name = 'a', asset = 'x', hash = '{A}'}}, {{name = 'b', asset = 'x', hash = '{B}'}}]"
    );
    assert_eq!(
        refused(Publishes::Programs, &format!("[programs]\n{two_hashes}")),
        "`programs.p.dists` gives \"x\" another `hash` than elsewhere"
    );
    let unsafe_asset = "programs.p.dists = [{name = 'a', asset = '../x'}]";
    let error = Registry::parse(Publishes::Programs, unsafe_asset.as_bytes()).unwrap_err();
    assert!(matches!(error, RegistryError::Unsafe(_)), "{error}");
}

#[test]
fn components_are_models_of_their_files() {
    let text = format!(
        "schema_version = '1.0'\ngenerated_at = 2025-01-01T00:00:00\n[metadata]\nref = 'develop'\n\
         [files]\n'gwf-chd.toml' = 'sha256:{B}'\n'gwf-chd.dfn' = {{hash = 'sha256:{A}'}}\n\
         'common.dfn' = '{A}'\n'README.md' = {{hash = '{A}'}}\n[models]\nx = 3\n"
    );
    let registry = Registry::parse(Publishes::Dfns, text.as_bytes()).unwrap();
    let models: Vec<(&str, &[u32])> =
        registry.models.iter().map(|model| (&*model.name, &*model.files)).collect();
    assert_eq!(models, [("common", &[1][..]), ("gwf-chd", &[2, 3])]);
    assert_eq!(registry.file("gwf-chd.toml").unwrap().digest, Some(digest(B)));
    let written = registry.write(&Addresses::None);
    assert!(!written.contains("[models]"), "{written}");
    assert_eq!(Registry::parse(Publishes::Dfns, written.as_bytes()).as_ref(), Ok(&registry));
}

#[test]
fn the_bytes_that_are_written_are_these() {
    let registry = read("[files]\n'a/sub/z\"q' = {}\n");
    assert_eq!(
        registry.write(&Addresses::BeforeKey("https://h/x".to_owned())),
        "schema_version = \"1.0\"\n\n[files.\"a/sub/z\\\"q\"]\nurl = \"https://h/x/a/sub/z\\\"q\"\n\n\
         [models]\n\n[examples]\n"
    );
    let registry = read(&format!(
        "[files]\n'a/b/x' = {{hash = '{A}'}}\n'a/m.nam' = {{hash = '{B}'}}\n\
         [models]\n'z/a' = ['a/b/x', 'a/m.nam']\nempty = []\n[examples]\n'ä' = ['z/a']\n"
    ));
    assert_eq!(
        registry.write(&Addresses::None),
        format!(
            "schema_version = \"1.0\"\n\n[files]\n\"a/b/x\" = {{hash = \"sha256:{A}\"}}\n\
             \"a/m.nam\" = {{hash = \"sha256:{B}\"}}\n\n[models]\nempty = []\n\
             \"z/a\" = [\n    \"a/m.nam\",\n    \"a/b/x\",\n]\n\n\
             [examples]\n\"ä\" = [\n    \"z/a\",\n]\n"
        )
    );
    assert_eq!(
        registry.write(&Addresses::Archive("https://h/all.zip".to_owned())),
        format!(
            "schema_version = \"1.0\"\n\n[files.\"a/b/x\"]\nurl = \"https://h/all.zip\"\n\
             digest = \"sha256:{A}\"\n\n\
             [files.\"a/m.nam\"]\nurl = \"https://h/all.zip\"\ndigest = \"sha256:{B}\"\n\n\
             [files.\"all.zip\"]\nurl = \"https://h/all.zip\"\n\n[models]\nempty = []\n\
             \"z/a\" = [\n    \"a/m.nam\",\n    \"a/b/x\",\n]\n\n\
             [examples]\n\"ä\" = [\n    \"z/a\",\n]\n"
        )
    );
}

#[test]
fn a_difference_names_what_came_changed_and_went() {
    let older = read(&format!(
        "[files]\na = '{A}'\nb = '{A}'\nc = '{A}'\nd = {{}}\n\
         [models]\nchanged = ['b']\ngone = ['c']\nsame = ['a', 'd']\nshorter = ['a', 'd']\n"
    ));
    let newer = read(&format!(
        "[files]\na = '{A}'\nb = '{B}'\nd = {{}}\ne = '{A}'\n\
         [models]\nadded = ['e']\nchanged = ['b']\nsame = ['d', 'a']\nshorter = ['a']\n"
    ));
    let expected = Difference {
        files_added: vec!["e".to_owned()],
        files_changed: vec!["b".to_owned()],
        files_gone: vec!["c".to_owned()],
        models_added: vec!["added".to_owned()],
        models_changed: vec!["changed".to_owned(), "shorter".to_owned()],
        models_gone: vec!["gone".to_owned()],
    };
    assert_eq!(older.difference(&newer), expected);
    assert_eq!(newer.difference(&newer), Difference::default());
}

#[test]
fn damage_to_a_compiled_registry_is_noticed_wherever_it_is() {
    let registry = read(&format!(
        "[files.a]\nhash = '{A}'\nurl = 'https://h/a'\n[models]\nm = ['a']\n[examples]\ne = ['m']\n"
    ));
    let compiled = registry.compile();
    assert_eq!(Registry::load(&compiled).as_ref(), Some(&registry));
    for at in 0..compiled.len() {
        assert_eq!(Registry::load(&compiled[..at]), None, "cut at {at}");
        let mut damaged = compiled.clone();
        damaged[at] ^= 0x20;
        assert_eq!(Registry::load(&damaged), None, "flipped at {at}");
    }
}

/// With a digest that is right, what follows it may still be of somebody's making.
#[test]
fn a_compiled_registry_with_numbers_of_somebodys_making_is_none() {
    let registry = read("[files]\na = {}\nb = {}\n[models]\nm = ['a', 'b']\n");
    let compiled = registry.compile();
    let head = compiled.len() - body(&compiled).len();
    for at in 0..body(&compiled).len() {
        for value in [0, 1, 2, 3, 0x7f, 0xff] {
            let mut other = compiled.clone();
            other[head + at] = value;
            let digest = Digest::of(&other[head..]);
            other[head - 32..head].copy_from_slice(digest.as_bytes());
            if let Some(loaded) = Registry::load(&other) {
                assert!(
                    loaded
                        .models
                        .iter()
                        .all(|model| loaded.files_of(model).count() == model.files.len())
                );
                assert!(
                    loaded.files.iter().all(|file| loaded.file(file.key.as_str()) == Some(file))
                );
            }
        }
    }
}

fn body(compiled: &[u8]) -> &[u8] {
    &compiled[16 + 32..]
}

fn name() -> impl Strategy<Value = String> {
    "[a-e]{1,3}( [\"'a-cäß.#]{1,3}[a-c])?"
}

fn registries() -> impl Strategy<Value = Registry> {
    let files = prop::collection::btree_map((name(), name()), any::<Option<[u8; 32]>>(), 0..12);
    let models = prop::collection::btree_map(
        name(),
        prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        0..5,
    );
    (files, models).prop_map(|(files, models)| {
        let mut text = String::new();
        let quoted = |text: &str| format!("{text:?}");
        let keys: Vec<String> =
            files.keys().map(|(folder, name)| format!("{folder}/{name}")).collect();
        for (key, digest) in keys.iter().zip(files.values()) {
            text.push_str(&format!("[files.{}]\n", quoted(key)));
            if let Some(digest) = digest {
                text.push_str(&format!("hash = '{}'\n", Digest::from_bytes(*digest)));
            }
        }
        text.push_str("[models]\n");
        for (name, listed) in models {
            let listed: Vec<String> = listed
                .iter()
                .filter(|_| !keys.is_empty())
                .map(|at| quoted(at.get::<String>(&keys)))
                .collect();
            text.push_str(&format!("{} = [{}]\n", quoted(&name), listed.join(", ")));
        }
        Registry::parse(Publishes::Models, text.as_bytes()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again(registry in registries(), base in "https://h/[a-z%\"]{0,3}") {
        let base = Addresses::BeforeKey(base);
        for addresses in [&Addresses::None, &base] {
            let written = registry.write(addresses);
            let again = read(&written);
            prop_assert_eq!(registry.difference(&again), Difference::default());
            prop_assert_eq!(&again.write(addresses), &written);
            // What was read from our own bytes is the same, lists in their order included.
            prop_assert_eq!(&read(&again.write(addresses)), &again);
            let loaded = Registry::load(&again.compile());
            prop_assert_eq!(loaded.as_ref(), Some(&again));
            prop_assert!(toml::from_str::<toml::Table>(&written).is_ok());
        }
    }
}

#[test]
fn the_corpus_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/file_registry");
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        callsheet_files::registry::replay::registry(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 8, "only {count} inputs in {}", folder.display());
}
