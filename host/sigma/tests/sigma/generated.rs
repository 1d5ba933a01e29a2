//! Generated rules on generated events.
//!
//! What the two engines are known to see differently is not generated; it stands in `differences`.

use casbah_sigma::compile;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

use crate::{activities, oracle};

/// Texts of events. No letter of it is in the name of the source, which casbah looks for keywords in too.
const TEXT: &str = "[bcdBCDé\\-*?\\\\]{0,5}";
/// Texts of rules: the same, with wildcards and escapes.
const PATTERN: &str = "([bcdBCDé\\-]|[*?]|\\\\[*?\\\\]){0,4}";

fn scalar() -> Union<BoxedStrategy<Value>> {
    Union::new_weighted(vec![
        (6, TEXT.prop_map(Value::from).boxed()),
        (3, (0i64..6).prop_map(Value::from).boxed()),
        (1, select(vec![json!(0.5), json!(2.25), json!(7.5)]).boxed()),
        (1, any::<bool>().prop_map(Value::from).boxed()),
        (
            2,
            select(vec!["10.1.2.3", "10.2.0.1", "2001:db8::7", "5", "3.0"])
                .prop_map(Value::from)
                .boxed(),
        ),
        (
            2,
            select(vec!["2026-11-20T10:05:00Z", "2026-02-03T23:59:59+02:00"])
                .prop_map(Value::from)
                .boxed(),
        ),
    ])
}

fn event() -> impl Strategy<Value = Value> {
    let list = vec(scalar(), 1..4).prop_map(Value::from);
    let objects = vec(scalar(), 1..3)
        .prop_map(|values| values.into_iter().map(|value| json!({"k": value})).collect::<Value>());
    (
        option::of(prop_oneof![5 => scalar(), 1 => Just(Value::Null)]),
        option::of(scalar()),
        option::of(scalar()),
        option::of(list),
        option::of(objects),
    )
        .prop_map(|(a, b, nested, list, objects)| {
            let mut map = Map::new();
            let mut put = |key: &str, value: Option<Value>| {
                if let Some(value) = value {
                    map.insert(key.to_owned(), value);
                }
            };
            put("a", a);
            put("b", b);
            put("n", nested.map(|value| json!({"x": value})));
            put("l", list);
            put("o", objects);
            Value::Object(map)
        })
}

fn field() -> impl Strategy<Value = &'static str> {
    select(vec!["a", "b", "n.x", "l", "o.k", "missing"])
}

/// A field with one value that is a scalar or absent, never a list.
fn single() -> impl Strategy<Value = &'static str> {
    select(vec!["b", "n.x", "missing"])
}

fn texts() -> impl Strategy<Value = Value> {
    prop_oneof![PATTERN.prop_map(Value::from), vec(PATTERN, 1..4).prop_map(Value::from),]
}

/// Texts without wildcards, and not empty.
fn plain() -> impl Strategy<Value = Value> {
    vec("[bcdBCDé\\-]{1,3}", 1..4).prop_map(Value::from)
}

/// An entry of a part: a field with modifiers, and values.
fn item() -> Union<BoxedStrategy<(String, Value)>> {
    let with = |modifiers: &'static str,
                field: BoxedStrategy<&'static str>,
                values: BoxedStrategy<Value>| {
        (field, values)
            .prop_map(move |(field, values)| (format!("{field}{modifiers}"), values))
            .boxed()
    };
    let whole = prop_oneof![
        4 => texts(),
        2 => (0i64..6).prop_map(Value::from),
        1 => Just(json!(0.5)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!(["", "b"])),
        1 => Just(json!([1, "c*"])),
    ];
    let numbers =
        prop_oneof![(0i64..6).prop_map(Value::from), Just(json!(1.5)), Just(json!([1, 4]))];
    let ranges = select(vec![
        json!("10.0.0.0/8"),
        json!(["10.1.0.0/16", "2001:db8::/32"]),
        json!("10.2.0.1/32"),
    ]);
    let expressions =
        select(vec![json!("^b.*[cd]$"), json!("B|C"), json!("[0-9]+"), json!(["^d", "\\*"])]);
    let all = vec!["|contains|all", "|startswith|all", "|contains|all|cased"];
    Union::new_weighted(vec![
        (4, with("", field().boxed(), whole.boxed())),
        (1, with("|cased", field().boxed(), texts().boxed())),
        (3, with("|contains", field().boxed(), texts().boxed())),
        (1, with("|contains|cased", field().boxed(), texts().boxed())),
        (1, with("|startswith", field().boxed(), plain().boxed())),
        (1, with("|endswith", field().boxed(), plain().boxed())),
        (1, (select(all), field(), plain()).prop_map(|(m, f, v)| (format!("{f}{m}"), v)).boxed()),
        (1, with("|re", field().boxed(), expressions.clone().boxed())),
        (1, with("|re|i", field().boxed(), expressions.boxed())),
        (1, with("|cidr", field().boxed(), ranges.boxed())),
        (1, with("|lt", field().boxed(), numbers.clone().boxed())),
        (1, with("|lte", field().boxed(), numbers.clone().boxed())),
        (1, with("|gt", field().boxed(), numbers.clone().boxed())),
        (1, with("|gte", field().boxed(), numbers.boxed())),
        (1, with("|exists", single().boxed(), any::<bool>().prop_map(Value::from).boxed())),
        (1, with("|neq", field().boxed(), plain().boxed())),
        (1, with("|contains|neq", field().boxed(), plain().boxed())),
        (1, with("|base64", field().boxed(), plain().boxed())),
        (
            1,
            with(
                "|hour",
                field().boxed(),
                select(vec![json!(10), json!(21), json!([9, 10])]).boxed(),
            ),
        ),
        (1, with("|week", field().boxed(), select(vec![json!(47), json!(6)]).boxed())),
        (1, with("|fieldref", single().boxed(), select(vec![json!("n.x"), json!("b")]).boxed())),
        (
            1,
            with("|fieldref|neq", single().boxed(), select(vec![json!("n.x"), json!("b")]).boxed()),
        ),
        (1, with("|windash|contains", field().boxed(), plain().boxed())),
    ])
}

fn map() -> impl Strategy<Value = Value> {
    vec(item(), 1..3).prop_map(|items| Value::Object(items.into_iter().collect()))
}

fn part() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => map(),
        1 => vec(map(), 1..3).prop_map(Value::from),
        1 => plain(),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "sel_a",
        "sel_b",
        "fil",
        "1 of sel_*",
        "all of sel_*",
        "1 of them",
        "all of them",
        "2 of them",
        "any of s*_b",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} or {b}")),
            inner.clone().prop_map(|a| format!("not {a}")),
            inner.prop_map(|a| format!("({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn rules_mean_what_they_mean_to_the_other_engine(
        parts in [part(), part(), part()],
        condition in condition(),
        events in vec(event(), 1..12),
    ) {
        let [a, b, filter] = parts;
        let rule = json!({
            "title": "Generated",
            "logsource": {"product": "okta", "service": "okta"},
            "detection": {"sel_a": a, "sel_b": b, "fil": filter, "condition": condition},
        })
        .to_string();
        let theirs = oracle::compile(&rule);
        let compiled = compile(&[("generated.yml", rule.as_str())]);
        let refused: Vec<String> = compiled.refused.iter().map(ToString::to_string).collect();
        let theirs = match theirs {
            Ok(theirs) => theirs,
            // It refuses `all` with one value, where there is nothing to misunderstand.
            Err(_) => return Err(TestCaseError::reject("the other engine refuses it")),
        };
        prop_assert!(refused.is_empty(), "{}\n{rule}", refused.join("\n"));
        let batches = activities::batches("okta.okta", &events);
        let ours = activities::hits(&[&compiled.policies[0]], &batches).remove(0);
        prop_assert_eq!(ours, oracle::hits(&theirs, &events), "{}\n{}", rule, compiled.policies[0].text);
    }
}

/// A rule, a correlation and a filter, to be damaged.
const SOUND: &str = "\
title: A
id: 1111aaaa
name: rule_a
status: test
level: high
tags: [attack.t1078]
logsource:
    product: okta
    service: okta
detection:
    sel_a:
        a|contains|all: ['x*', y]
        b|re: '^z'
    sel_b:
        - n.x|cidr: 10.0.0.0/8
        - l|expand: '%p%'
    condition: sel_a and not 1 of sel_*
---
title: B
correlation:
    type: value_count
    rules: [rule_a]
    group-by: [u]
    timespan: 5m
    condition: {gte: 5, field: f}
---
title: C
logsource: {product: okta}
filter:
    rules: any
    f: {u|startswith: adm}
    condition: not f
";

fn damage() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    let words = select(vec![
        "",
        " ",
        "\n",
        "    ",
        ":",
        "- ",
        "|",
        "'",
        "\"",
        "[",
        "]",
        "{",
        "}",
        "*",
        "&a",
        "!x",
        "%",
        "\\",
        "null",
        "~",
        "1 of ",
        "all of them",
        "not ",
        "(",
        ")",
        "---\n",
        "0",
        "-1",
        "1e9",
        "é",
        "\u{0}",
        "neq",
        "base64offset",
        "windash",
        "hour",
        "gt",
        "fieldref",
        "condition: ",
        "correlation:\n",
        "filter:\n",
        "action: repeat\n",
        "temporal",
        "999999999999999999999",
    ])
    .prop_map(str::to_owned);
    (any::<prop::sample::Index>(), 0usize..12, words)
}

proptest! {
    /// Whatever a file holds: nothing panics, whatever is refused says why, and what is not refused is a
    /// policy that the host and the detector accept. One that they refuse would stop all others.
    #[test]
    fn damaged_files_are_read_or_refused(damages in vec(damage(), 1..4)) {
        let mut text = SOUND.to_owned();
        for (at, cut, word) in damages {
            let at = at.index(text.len() + 1);
            let at = (at..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (at + cut..=text.len() + cut).find(|end| text.is_char_boundary((*end).min(text.len())));
            text.replace_range(at..end.unwrap().min(text.len()), &word);
        }
        let compiled = casbah_sigma::Compiler::default().placeholder("p", ["q"]).compile(&[("damaged.yml", &text)]);
        crate::host::read(&compiled);
        for refused in &compiled.refused {
            prop_assert!(!refused.reason.is_empty() && refused.to_string().starts_with("error: "), "{text}");
        }
        let count = compiled.policies.len() + compiled.refused.len() + compiled.parts.len();
        prop_assert!(count > 0, "nothing is said of\n{text}");
    }
}
