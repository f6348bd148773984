//! The statements of a document, against another reader of the whole of it.

use super::{
    outline::{Outline, Place},
    statements::{MAX_DEPTH, Statement, Statements},
    value::Value,
};
use proptest::prelude::*;
use toml::{Table, Value as Toml};
use toml_parser::decoder::ScalarKind;

/// Puts a document's statements together again; fails where the reader does.
fn assemble(text: &str) -> Result<Table, usize> {
    let mut outline = Outline::of(text);
    let (mut table, mut root) = (Place::ROOT, Table::new());
    let mut header: Vec<String> = Vec::new();
    for statement in Statements::of(text) {
        match statement.map_err(|fault| fault.at)? {
            Statement::Table(path) => {
                table = outline.table(&path).map_err(|span| span.start())?;
                header = path.iter().map(|key| key.text.to_string()).collect();
                below(&mut root, &header);
            }
            Statement::Element(path) => {
                table = outline.element(&path).map_err(|span| span.start())?;
                header = path.iter().map(|key| key.text.to_string()).collect();
                let (last, above) = header.split_last().unwrap();
                let array = below(&mut root, above)
                    .entry(last.clone())
                    .or_insert_with(|| Toml::Array(Vec::new()));
                array.as_array_mut().unwrap().push(Toml::Table(Table::new()));
            }
            Statement::Pair(path, value) => {
                outline.pair(table, &path).map_err(|span| span.start())?;
                let (last, above) = path.split_last().unwrap();
                let above: Vec<String> = header
                    .iter()
                    .cloned()
                    .chain(above.iter().map(|key| key.text.to_string()))
                    .collect();
                below(&mut root, &above).insert(last.text.to_string(), whole(value));
            }
        }
    }
    Ok(root)
}

fn below<'t>(mut table: &'t mut Table, path: &[String]) -> &'t mut Table {
    for key in path {
        let value = table.entry(key.clone()).or_insert_with(|| Toml::Table(Table::new()));
        table = match value {
            Toml::Array(elements) => elements.last_mut().unwrap().as_table_mut().unwrap(),
            value => value.as_table_mut().unwrap(),
        };
    }
    table
}

fn whole(value: Value<'_>) -> Toml {
    match value {
        Value::Text(text) => Toml::String(text.into_owned()),
        Value::Other(text, ScalarKind::Boolean(_)) => Toml::Boolean(text == "true"),
        Value::Other(text, ScalarKind::DateTime) => Toml::Datetime(text.parse().unwrap()),
        Value::Other(text, ScalarKind::Integer(radix)) => {
            Toml::Integer(i64::from_str_radix(&text, radix.value()).unwrap())
        }
        Value::Other(text, _) => Toml::Float(text.parse().unwrap()),
        Value::Array(values) => Toml::Array(values.into_iter().map(whole).collect()),
        Value::Table(table) => Toml::Table(
            table
                .entries
                .into_iter()
                .map(|(key, value)| (key.into_owned(), whole(value)))
                .collect(),
        ),
    }
}

/// Fails unless both readers say the same. Which of several errors is told first is theirs to say.
fn check(text: &str) {
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    match (assemble(text), toml::from_str::<Table>(text)) {
        // `nan` is not equal to itself.
        (Ok(found), Ok(expected)) => {
            assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{text}");
        }
        (Err(_), Err(_)) => {}
        (Ok(found), Err(error)) => panic!("it is no TOML: {error}\n{text}\n{found:?}"),
        (Err(at), Ok(_)) => panic!("it is TOML; refused in line {}: {text}", line(at)),
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abc]",
        1 => "(url|hash|path)",
        2 => "\"[a-c./ ]{0,3}\"",
        1 => "'[a-c./ \\\\]{0,3}'",
        1 => Just("\"\\u0061\"".to_owned()),
        1 => Just("\"\\x62\\t\"".to_owned()),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![4 => key(), 2 => prop::collection::vec(key(), 2..4).prop_map(|keys| keys.join(" . "))]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("\"a \\\" \\\\ \\n b # [\"".to_owned()),
        Just("'literal \\ ] #'".to_owned()),
        Just("\"\"\"\nseveral\n[lines]\n\\\n   joined \"\" \"\"\"".to_owned()),
        Just("'''\r\na = '' [b]\n'''".to_owned()),
        "[0-9_.:xeabT+-]{1,6}",
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("1979-05-27 07:32:00.5".to_owned()),
        Just("9223372036854775808".to_owned()),
        Just("0xdead_beef".to_owned()),
        Just("1e400".to_owned()),
        Just("-inf".to_owned()),
        Just("true".to_owned()),
        Just("truth".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let pair =
            (path(), inner.clone()).prop_map(|(path, value)| format!("{path} = {value}")).boxed();
        prop_oneof![
            prop::collection::vec(inner, 0..4)
                .prop_map(|all| format!("[ {} ]", all.join(" ,\n  "))),
            prop::collection::vec(pair.clone(), 0..4)
                .prop_map(|all| format!("{{ {} }}", all.join(", "))),
            prop::collection::vec(pair, 17..20).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (path(), value()).prop_map(|(path, value)| format!("{path} = {value}")),
        3 => path().prop_map(|path| format!("[{path}] # x")),
        1 => path().prop_map(|path| format!(" [[ {path} ]]")),
        1 => Just("# [comment] = \"".to_owned()),
        1 => Just(String::new()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_read_as_another_reader_does(
        lines in prop::collection::vec(line(), 0..8),
        end in "(\n|\r\n)",
    ) {
        check(&lines.join(&end));
    }

    #[test]
    fn damaged_documents_are_refused_as_by_another_reader(
        lines in prop::collection::vec(line(), 1..4),
        at in any::<prop::sample::Index>(),
        with in "[\\[\\]{}=\"'.,#\n\r\u{0}a]{0,2}",
    ) {
        let mut text = lines.join("\n");
        if !text.is_empty() {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &with);
            }
        }
        check(&text);
    }
}

#[test]
fn tables_are_named_once() {
    for text in [
        "[a]\n[a]",
        "[a.b]\n[a]\nx=1",
        "[a]\nb.c=1\n[a.b]",
        "[a]\nb.c=1\n[a.b.d]",
        "a.b=1\na.c=2\n[a]",
        "[[a]]\n[a.b]\n[[a]]\n[a.b]",
        "a=[]\n[[a]]",
        "a={}\n[a.b]",
        "a={}\na.b=1",
        "[a.b.c]\n[a]\nb.x=1",
        "[a.b.c]\n[a]\nb.c.x=1",
        "[a.b.c]\n[a]\nb.x.y=1",
        "[a.b.c.d]\n[a]\nb.c.x=1",
        "[[a.b]]\n[a]\nb.c.y=2",
        "[a]\nb.c.d=1\n[a.b.x]\n[a.b.c]",
        "[[a.b]]\n[a]\nb.y=2",
        "url=1\n[url]",
        "[url]\n[url.hash]\nurl=1\nurl=2",
        "[a]\nurl=1\nurl.b=1",
        "[a.url]\n[a]\nurl=1",
        "[a]\nhash=1\n[a.hash.b]",
        "\u{feff}a=1",
        "a=1 b=2",
        "a=[1,\n2\nb=3",
        "\"\"=1\n''=2",
        "a\u{b}=1",
        "a=1\rb=2",
        "'''a'''=1",
    ] {
        check(text);
    }
}

#[test]
fn nesting_has_a_bound() {
    let deep = format!("a={}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(assemble(&deep).is_err());
}

#[test]
fn the_tables_of_dotted_keys_are_nested_too() {
    let key = |parts: u32| vec!["a"; parts as usize].join(".");
    for parts in [MAX_DEPTH + 1, 20_000, 1_000_000] {
        let key = key(parts);
        for text in [
            format!("x = {{{key} = 1}}"),
            format!("x = [{{{key} = 1}}, 2]"),
            format!("{key} = 1"),
            format!("[{key}]"),
            format!("[[{key}]]"),
        ] {
            let faults: Vec<_> = Statements::of(&text).filter_map(Result::err).collect();
            assert_eq!(faults.len(), 1);
            assert_eq!(faults[0].message, "a key is nested too deep");
        }
    }
    // Each key alone is short enough, all of them together are not.
    let half = key(MAX_DEPTH / 2);
    assert!(assemble(&format!("x = {{{half} = {{{half} = 1}}}}")).is_ok());
    assert!(assemble(&format!("x = {{{half} = {{{half}.a = 1}}}}")).is_err());
    assert!(assemble(&format!("x = {{{half} = [{{{half} = 1}}]}}")).is_err());
    let longest = key(MAX_DEPTH);
    check(&format!("[{longest}]\n{longest} = {{{longest} = 1}}"));
    // A key's parts count for its own value only.
    check(&format!("x = {{{longest} = 1, b.{} = [1], c = 2}}", key(MAX_DEPTH - 2)));
}
