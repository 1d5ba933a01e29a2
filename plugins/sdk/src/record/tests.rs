//! One pass against a reader that goes level by level: slow, and plain enough to be believed.

use super::*;
use proptest::prelude::*;

const SHAPES: [Shape; 2] = [
    Shape { deepest: 16, lists: false, wrapping: "" },
    Shape { deepest: 32, lists: true, wrapping: "activity" },
];

type Members = Vec<(String, String)>;

fn push(found: &mut Members, path: &str, value: &str) {
    if !value.is_empty() {
        let path = if path.is_empty() { "record" } else { path };
        found.push((path.to_owned(), value.to_owned()));
    }
}

fn level_by_level(found: &mut Members, raw: &RawValue, path: &str, depth: usize, shape: Shape) {
    let text = raw.get();
    let below = |key: &str| [path, if path.is_empty() { "" } else { "." }, key].concat();
    match text.as_bytes()[0] {
        b'"' => match serde_json::from_str::<String>(text) {
            Ok(value) => push(found, path, &value),
            Err(_) => push(found, path, text),
        },
        b'{' => match members(raw) {
            Some(members) if depth < shape.deepest => {
                for (key, value) in members {
                    level_by_level(found, value, &below(&key), depth + 1, shape);
                }
            }
            _ => push(found, path, text),
        },
        b'[' if shape.lists && depth < shape.deepest => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap();
            for (index, value) in items.into_iter().enumerate() {
                level_by_level(found, value, &below(&index.to_string()), depth + 1, shape);
            }
        }
        b'[' if !shape.lists && is_empty(text) => {}
        _ if text == "null" => {}
        _ => push(found, path, text),
    }
}

fn expected(text: &str, shape: Shape) -> Option<Members> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let mut found = Vec::new();
    match members(raw).filter(|_| !shape.wrapping.is_empty()) {
        Some(members) => {
            for (key, value) in members {
                let wrapping = key == shape.wrapping && value.get().starts_with('{');
                let (path, depth) = if wrapping { ("", 0) } else { (key.as_str(), 1) };
                level_by_level(&mut found, value, path, depth, shape);
            }
        }
        None => level_by_level(&mut found, raw, "", 0, shape),
    }
    Some(found)
}

/// Reads some texts one after the other, as the records of a batch are.
fn read<'a>(texts: impl IntoIterator<Item = &'a str>, shape: Shape) -> Vec<Option<Members>> {
    let (mut paths, mut record) = (Paths::default(), Record::default());
    texts
        .into_iter()
        .map(|text| {
            record.read_text(text, &mut paths, shape).ok()?;
            let members = record.members.iter();
            Some(
                members
                    .map(|(path, value)| (paths.get(*path).to_owned(), value.to_string()))
                    .collect(),
            )
        })
        .collect()
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(20, 40, 4, |inner| {
        let key =
            prop_oneof![Just("activity".to_owned()), Just(String::new()), "[ab.]{0,3}", ".{0,4}"];
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((key, inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    /// One pass gives what level by level does, for whatever is JSON or not, blanks and odd texts
    /// included, whatever was read before.
    #[test]
    fn both_ways_of_reading_agree(
        values in proptest::collection::vec((value(), any::<bool>(), any::<Option<(u16, u8)>>()), 1..5),
    ) {
        let texts: Vec<String> = values
            .into_iter()
            .map(|(value, pretty, damage)| {
                let text = if pretty {
                    serde_json::to_string_pretty(&value).unwrap()
                } else {
                    value.to_string()
                };
                let Some((at, byte)) = damage else { return text };
                let mut bytes = text.into_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
                String::from_utf8_lossy(&bytes).into_owned()
            })
            .collect();
        for shape in SHAPES {
            let expected: Vec<_> = texts.iter().map(|text| expected(text, shape)).collect();
            prop_assert_eq!(read(texts.iter().map(String::as_str), shape), expected);
        }
    }
}

#[test]
fn odd_records_are_read_alike() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
    let lists = format!("{}1{}", "[".repeat(40), "]".repeat(40));
    for text in [
        r#" { "a" : { } , "b":[ ] ,"c":[1,"]",{"}":"\""}], "d" : -1.50e3 , "d":true} "#,
        r#"{"\ud800":1,"b":2}"#,
        r#"{"a":{"b":1,"\udc00":{"c":2}},"d":"\ud800","e":"\u00e9\n"}"#,
        r#"{"activity":{"b":1,"\udc00":{"c":2}},"d":[1]}"#,
        r#"{"":{"":"x"},"a":""}"#,
        r#"{"a":{"":1},"a.":2,"a.b":3,"a":{"b":4}}"#,
        r#"{"activity":{"date":"d","user":{"id":"u","n":5},"a":[1,{"b":"\u00e9"}],"x":null}}"#,
        r#"{"activity":"x","activity":{"activity":{"a":true}}}"#,
        r#"{"a":1.50,"b":-0,"c":1e999,"d":123456789012345678901234567890}"#,
        r#"{"a":1} x"#,
        "\u{feff}{}",
        r#""\\""#,
        "[[],1]",
        "7",
        "{}",
        "{",
        "",
        &deep,
        &lists,
    ] {
        for shape in SHAPES {
            assert_eq!(read([text], shape), [expected(text, shape)], "{text}");
        }
    }
}

/// What is no JSON is told in lines and columns.
#[test]
fn errors_name_the_place() {
    let (mut paths, mut record) = (Paths::default(), Record::default());
    let mut wrong = |text| record.read_text(text, &mut paths, SHAPES[0]).unwrap_err();
    assert_eq!(wrong("{\"a\":1,\n]"), "key must be a string at line 2 column 1");
    assert_eq!(wrong("{} {}"), "trailing characters at line 1 column 4");
}
