//! The log for people.

use std::sync::Arc;

use casbah_model::BatchBuilder;
use proptest::prelude::*;

use super::*;
use crate::testing::{Act, DAY, MemoryStore, batch, tenant};

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap()
}

#[test]
fn an_activity_is_json_by_its_published_names() {
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.text("id", "7");
    builder.integer("time", DAY + 500);
    builder.integer("anonymous", 0);
    builder.integer("amount", 3);
    builder.number("latitude", 1.5);
    builder.begin_nested("objects");
    builder.nested_text("objects", "role", "object");
    builder.nested_text("objects", "id", "sheet-1");
    for (key, value) in [("a", "1"), ("b", "x"), ("a", "2")] {
        builder.begin_nested("fields");
        builder.nested_text("fields", "key", key);
        builder.nested_text("fields", "value", value);
    }
    builder.begin_row();
    builder.text("kind", "view");
    let batch = builder.finish();
    insta::assert_snapshot!(serde_json::to_string(&to_json(&batch, 0)).unwrap(), @r#"{"amount":3,"anonymous":false,"fields":{"a":["1","2"],"b":"x"},"id":"7","latitude":1.5,"objects":[{"id":"sheet-1","role":"object"}],"time":"2026-01-05T00:00:00.5Z"}"#);
    // What is absent is left out, and a row that is not there has nothing.
    insta::assert_snapshot!(serde_json::to_string(&to_json(&batch, 1)).unwrap(), @r#"{"kind":"view"}"#);
    assert!(to_json(&batch, 2).is_empty());
}

/// Every operator on every type of column, with values that are there and that are not.
#[test]
fn filters_hold_where_they_should() {
    let acts = [
        Act { number: 0, ..Act::new(0, "Ana@Example.com", "export", 0) },
        Act { number: 1, ..Act::new(60, "bö@example.com", "view", 3) },
    ];
    let batch = batch(&acts);
    for (text, first, second) in [
        ("kind=export", true, false),
        ("kind!=export", false, true),
        ("kind~PO", true, false),
        ("actor=ana@example.com", true, false),
        ("actor=BÖ@example.com", false, true),
        ("actor~@example", true, true),
        ("country=DE", false, false),
        ("country!=DE", true, true),
        ("country~D", false, false),
        ("anonymous=true", true, false),
        ("anonymous=false", false, true),
        ("anonymous!=true", false, true),
        ("time=2026-01-05T00:01:00Z", false, true),
        ("sequence=11", false, true),
        ("sequence!=11", true, false),
        ("fields.accessibleBy=all", false, true),
        ("fields.accessibleBy!=ALL", true, false),
        ("fields.other=ALL", false, false),
        ("objects.id=sheet-3", false, true),
        ("objects.role~obj", true, true),
        (" kind = export ", true, false),
    ] {
        let filter = filter(text);
        let held: Vec<bool> =
            (0..2).map(|row| filter.holds(&batch, row, 10 + row as u64)).collect();
        assert_eq!(held, [first, second], "{text}");
    }
}

#[test]
fn filters_that_make_no_sense() {
    let mut all = String::new();
    for text in [
        "",
        "kind",
        "kind!export",
        "knid=export",
        "frobnicate=1",
        "anonymous=perhaps",
        "amount=many",
        "time=noon",
        "objects.ids=1",
        "fields.=1",
        "\u{1b}[31m=1",
    ] {
        all.push_str(&format!("{}\n\n", Filter::parse(text).unwrap_err()));
    }
    insta::assert_snapshot!(all, @r#"
    `` is not a filter
    hint: write `column=value`, `column!=value` or `column~part`, e.g. `kind=export`

    `kind` is not a filter
    hint: write `column=value`, `column!=value` or `column~part`, e.g. `kind=export`

    `kind!export` is not a filter
    hint: *not equal* is written `!=`

    there is no column `knid`
    hint: did you mean `kind`?

    there is no column `frobnicate`
    hint: columns are those of the published vocabulary, `fields.NAME` and `objects.id`

    `perhaps` is not a value of column `anonymous`
    hint: it is true or false

    `many` is not a value of column `amount`
    hint: it is a whole number

    `noon` is not a value of column `time`
    hint: it is a time such as 2026-01-05T10:00:00Z

    there is no column `objects.ids`
    hint: did you mean `objects.id`?

    there is no column `fields.`
    hint: columns are those of the published vocabulary, `fields.NAME` and `objects.id`

    there is no column `?[31m`
    hint: columns are those of the published vocabulary, `fields.NAME` and `objects.id`
    "#);
}

fn store(acts: &[Act], block: usize) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for part in acts.chunks(block) {
        store.append(batch(part));
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Pages of any size over blocks of any size are what a plain walk over all activities finds,
    /// backwards.
    #[test]
    fn pages_make_the_list(
        acts in prop::collection::vec((0..1000_i64, prop::sample::select(vec!["export", "view"]), 0..4_u8), 1..80),
        block in 1..20_usize, limit in 1..9_usize,
        from in prop::option::of(0..1000_i64), to in prop::option::of(0..1000_i64),
    ) {
        let acts: Vec<Act> = acts.into_iter().enumerate()
            .map(|(number, (second, kind, object))| Act { number, ..Act::new(second, "ana", kind, object) })
            .collect();
        let store = store(&acts, block);
        let mut query = ActivityQuery {
            from: from.map(|second| DAY + second * 1000),
            to: to.map(|second| DAY + second * 1000),
            filters: vec![filter("kind=export"), filter("object!=sheet-2")],
            limit,
            before: None,
        };
        let expected: Vec<usize> = acts.iter().rev()
            .filter(|act| act.kind == "export" && act.object != 2)
            .filter(|act| from.is_none_or(|from| act.second >= from) && to.is_none_or(|to| act.second < to))
            .map(|act| act.number + 1)
            .collect();
        let mut found = Vec::new();
        loop {
            let page = list(store.as_ref(), &tenant(), &query).unwrap();
            prop_assert!(page.activities.len() <= limit);
            found.extend(page.activities.iter().map(|activity| activity["sequence"].as_u64().unwrap() as usize));
            match page.next {
                Some(next) => query.before = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(found, expected);
    }
}
