//! Any rows, any batch: what the plan finds is what a plain and slow reading of the rows finds.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod oracle;

use casbah_model::vocabulary::ColumnType;
use casbah_when::{Evaluation, settings};
use oracle::{Activity, batch, column_type, holds};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Few texts, so that rows meet them; among them all that could be special.
const TEXTS: [&str; 14] = [
    "a",
    "b",
    "ab",
    "AB",
    "aab",
    "Ä",
    "x,a",
    "10.0.0.1",
    "10.9.0.1",
    "11.0.0.1",
    "5",
    "7.5",
    "2026-03-01T23:30:00Z",
    "a*b",
];
const FIELDS: [&str; 14] = [
    "app",
    "action",
    "actor",
    "ip",
    "amount",
    "time",
    "actor.since",
    "actor.admin",
    "latitude",
    "fields.a",
    "fields.b.c",
    "objects.id",
    "objects.name",
    "*",
];
const OF_OBJECT: [&str; 3] = ["id", "name", "role"];
/// 30 December 2025, 22:00 UTC.
const START: i64 = 1_767_132_000_000;

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(&TEXTS[..]).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text().prop_map(Value::from),
        3 => prop::collection::vec(text(), 1..4).prop_map(Value::from),
        // Long lists take another way.
        1 => prop::collection::vec("[abx]{1,6}", 9..30).prop_map(Value::from),
    ]
}

fn object() -> impl Strategy<Value = Vec<(String, String)>> {
    let value = prop_oneof![1 => Just(String::new()), 4 => text()];
    prop::collection::vec((prop::sample::select(&OF_OBJECT[..]), value), 0..3).prop_map(
        |mut values| {
            values.sort();
            values.dedup_by(|a, b| a.0 == b.0);
            values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
        },
    )
}

/// Half hours of some weeks, or noons and midnights of a few days, whose distances are whole days.
fn time(least: i64, most: i64) -> BoxedStrategy<Value> {
    let half_days = prop_oneof![Just(-6i64), -2i64..8].prop_map(|number| number * 24);
    prop_oneof![least..most, half_days].prop_map(|number| json!(START + number * 1_800_000)).boxed()
}

fn activity() -> impl Strategy<Value = Activity> {
    let maybe = |strategy: BoxedStrategy<Value>| prop::option::weighted(0.7, strategy);
    let columns = (
        maybe(text().prop_map(Value::from).boxed()),
        maybe(text().prop_map(Value::from).boxed()),
        maybe("[ab]{1,3}".prop_map(Value::from).boxed()),
        maybe(text().prop_map(Value::from).boxed()),
        maybe((3i64..8).prop_map(Value::from).boxed()),
        maybe(time(0, 500)),
        maybe(time(-200, 500)),
        maybe(any::<bool>().prop_map(Value::from).boxed()),
        maybe(prop::sample::select(&[0.5, 5.25, 7.5][..]).prop_map(|number| json!(number)).boxed()),
    );
    let value = prop_oneof![1 => Just(String::new()), 5 => text()];
    let fields =
        prop::collection::vec((prop::sample::select(&["a", "b.c", "other"][..]), value), 0..4);
    (columns, fields, prop::collection::vec(object(), 0..3)).prop_map(
        |(columns, fields, objects)| {
            let (app, action, actor, ip, amount, time, since, admin, latitude) = columns;
            let columns = [app, action, actor, ip, amount, time, since, admin, latitude];
            Activity {
                columns: FIELDS
                    .iter()
                    .zip(columns)
                    .filter_map(|(name, value)| Some(((*name).to_owned(), value?)))
                    .collect(),
                fields: fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
                objects,
            }
        },
    )
}

/// Puts a negation's `missing` beside it.
fn row(field: &str, operator: &str, value: Value, missing: bool) -> Value {
    let mut row = json!({"field": field, operator: value});
    if matches!(operator, "not" | "not-in") {
        row["missing"] = json!(if missing { "match" } else { "no-match" });
    }
    row
}

fn text_row(field: &'static str, fields: &'static [&'static str]) -> BoxedStrategy<Value> {
    let negatable: &[&str] = if field == "*" { &["is"] } else { &["is", "not"] };
    let one = (prop::sample::select(negatable), text(), any::<bool>(), any::<bool>()).prop_map(
        move |(operator, value, missing, case)| {
            let mut row = row(field, operator, value.into(), missing);
            row["ignore-case"] = case.into();
            row
        },
    );
    let lists: &[&str] = if field == "*" { &["in"] } else { &["in", "not-in"] };
    let many = (prop::sample::select(lists), prop::collection::vec(text(), 1..5), any::<bool>())
        .prop_map(move |(operator, values, missing)| row(field, operator, values.into(), missing));
    let parts = (
        prop::sample::select(&["contains", "contains-all", "starts", "ends"][..]),
        texts(),
        any::<bool>(),
    )
        .prop_map(move |(operator, values, case)| {
            let mut row = row(field, operator, values, false);
            row["ignore-case"] = case.into();
            row
        });
    let patterns = prop::collection::vec("[aAb*?ä]{1,4}", 1..3)
        .prop_map(move |patterns| json!({"field": field, "like": patterns}));
    let more = prop_oneof![
        prop::sample::select(&["^a", "b$", "a", "^5"][..])
            .prop_map(move |pattern| json!({"field": field, "matches": pattern})),
        prop::sample::select(&["10.0.0.0/8", "11.0.0.1"][..])
            .prop_map(move |range| json!({"field": field, "cidr": [range]})),
        prop::sample::select(&["a", "b", "x"][..])
            .prop_map(move |element| json!({"field": field, "has": element})),
    ];
    if field == "*" {
        return prop_oneof![one, many, parts, patterns, more].boxed();
    }
    let others: Vec<&str> = fields
        .iter()
        .copied()
        .filter(|other| *other != field && *other != "*" && column_type(other) == ColumnType::Text)
        .collect();
    let other = (
        prop::sample::select(&["same-as", "contains-field", "starts-field", "ends-field"][..]),
        prop::sample::select(others),
        any::<bool>(),
    )
        .prop_map(move |(operator, other, case)| json!({"field": field, operator: other, "ignore-case": case}));
    let exists = any::<bool>().prop_map(move |wanted| json!({"field": field, "exists": wanted}));
    if !field.starts_with("fields.") {
        return prop_oneof![one, many, parts, patterns, more, other, exists].boxed();
    }
    let numbers = (
        prop::sample::select(&["above", "below", "at-least", "at-most"][..]),
        prop::sample::select(&[5.0, 7.5][..]),
    )
        .prop_map(move |(operator, limit)| json!({"field": field, operator: limit}));
    let empty = (prop::sample::select(&["is", "not"][..]), any::<bool>())
        .prop_map(move |(operator, missing)| row(field, operator, "".into(), missing));
    prop_oneof![one, many, parts, patterns, more, other, exists, numbers, empty, times(field)]
        .boxed()
}

/// Rows on what may be a time.
fn times(field: &'static str) -> BoxedStrategy<Value> {
    let part = prop::sample::select(
        &[
            ("minute", 0, 59),
            ("hour", 0, 23),
            ("day", 1, 31),
            ("weekday", 1, 7),
            ("week", 1, 53),
            ("month", 1, 12),
            ("year", 2025, 2026),
        ][..],
    );
    let zone = prop::option::of(prop::sample::select(&["+01:00", "-05:00", "+00:00"][..]));
    let parts = (
        part.prop_flat_map(|(part, least, most)| {
            (Just(part), prop::collection::vec(least..=most, 1..5))
        }),
        prop::sample::select(
            &["is", "in", "not", "not-in", "at-least", "at-most", "above", "below"][..],
        ),
        zone,
        any::<bool>(),
    )
        .prop_map(move |((part, values), operator, zone, missing)| {
            let value =
                if matches!(operator, "in" | "not-in") { json!(values) } else { json!(values[0]) };
            let mut row = row(field, operator, value, missing);
            row["part"] = part.into();
            if let Some(zone) = zone {
                row["zone"] = zone.into();
            }
            row
        });
    if field == "time" {
        return parts.boxed();
    }
    let ages = (
        prop::sample::select(&["newer-than", "older-than"][..]),
        prop::sample::select(&["0d", "1d", "3d"][..]),
    )
        .prop_map(move |(operator, age)| json!({"field": field, operator: age}));
    prop_oneof![parts, ages].boxed()
}

fn any_row() -> BoxedStrategy<Value> {
    let exists = |field: &'static str| {
        any::<bool>().prop_map(move |wanted| json!({"field": field, "exists": wanted}))
    };
    prop::sample::select(&FIELDS[..])
        .prop_flat_map(move |field| match (field, column_type(field)) {
            ("time" | "actor.since", _) => prop_oneof![
                times(field),
                exists(field),
                (prop::sample::select(&["above", "below", "at-least", "at-most"][..]), 0i64..3)
                    .prop_map(move |(operator, days)| json!({"field": field, operator: START + days * 86_400_000})),
                Just(json!({"field": "time", "same-as": "actor.since"})),
            ]
            .boxed(),
            (_, ColumnType::Integer) => prop_oneof![
                exists(field),
                (prop::sample::select(&["is", "not", "above", "below", "at-least", "at-most"][..]), 3i64..8, any::<bool>())
                    .prop_map(move |(operator, value, missing)| row(field, operator, value.into(), missing)),
                (prop::sample::select(&["in", "not-in"][..]), prop::collection::vec(3i64..8, 1..3), any::<bool>())
                    .prop_map(move |(operator, values, missing)| row(field, operator, values.into(), missing)),
            ]
            .boxed(),
            (_, ColumnType::Flag) => (prop::sample::select(&["is", "not"][..]), any::<bool>(), any::<bool>())
                .prop_map(move |(operator, value, missing)| row(field, operator, value.into(), missing))
                .boxed(),
            (_, ColumnType::Number) => (
                prop::sample::select(&["above", "below", "at-least", "at-most"][..]),
                prop::sample::select(&[0.5, 5.25][..]),
            )
                .prop_map(move |(operator, limit)| json!({"field": field, operator: limit}))
                .boxed(),
            _ => text_row(field, &FIELDS),
        })
        .boxed()
}

/// Groups around rows, a few deep.
fn tree(leaf: BoxedStrategy<Value>, objects: bool) -> BoxedStrategy<Value> {
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let rows = prop::collection::vec(inner.clone(), 0..4);
        let not = (inner, any::<bool>()).prop_map(|(inner, missing)| {
            json!({"not": inner, "missing": if missing { "match" } else { "no-match" }})
        });
        let any = rows.clone().prop_map(|rows| json!({"any": rows}));
        let all = rows.prop_map(|rows| json!({"all": rows}));
        if !objects {
            return prop_oneof![any, all, not].boxed();
        }
        let of_object = prop::sample::select(&OF_OBJECT[..])
            .prop_flat_map(|field| text_row(field, &OF_OBJECT))
            .boxed();
        let object = prop::collection::vec(tree(of_object, false), 1..3)
            .prop_map(|rows| json!({"object": rows}));
        prop_oneof![any, all, not, object].boxed()
    })
    .boxed()
}

fn check(whens: &[Value], activities: &[Activity]) -> Result<(), TestCaseError> {
    let texts: Vec<String> = whens.iter().map(|when| json!({"when": when}).to_string()).collect();
    let (plan, compiled) = settings::compile(&texts, &[], |settings| settings.when())
        .unwrap_or_else(|problems| panic!("{texts:?}: {problems:?}"));
    let batch = batch(activities);
    let mut evaluation = Evaluation::new(&plan, &batch);
    for (json, when) in whens.iter().zip(&compiled) {
        let got: Vec<usize> = evaluation.rows(when).iter().collect();
        let expected: Vec<usize> = activities
            .iter()
            .enumerate()
            .filter(|(_, activity)| holds(json, activity))
            .map(|(row, _)| row)
            .collect();
        prop_assert_eq!(&got, &expected, "{} on {:?}", json, activities);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// One row: every operator on every kind of field, present, different and missing.
    #[test]
    fn single_rows(row in any_row(), activities in prop::collection::vec(activity(), 1..12)) {
        check(&[json!([row])], &activities)?;
    }

    /// Trees of several policies in one plan, which share what they ask.
    #[test]
    fn trees(
        whens in prop::collection::vec(prop::collection::vec(tree(any_row(), true), 1..4), 1..5),
        activities in prop::collection::vec(activity(), 1..24),
    ) {
        let whens: Vec<Value> = whens.into_iter().map(Value::from).collect();
        check(&whens, &activities)?;
    }

    /// Many activities, few of which are left for what is asked last.
    #[test]
    fn large_batches(
        whens in prop::collection::vec(prop::collection::vec(tree(any_row(), true), 1..3), 1..8),
        kinds in prop::collection::vec(activity(), 1..24),
        order in prop::collection::vec(any::<prop::sample::Index>(), 150..400),
        rare in text(),
    ) {
        let activities: Vec<Activity> = order.iter().map(|index| index.get(&kinds).clone()).collect();
        let narrow = json!({"field": "action", "is": rare});
        let whens: Vec<Value> = whens
            .into_iter()
            .map(|rows| {
                let mut rows = Value::from(rows);
                rows.as_array_mut().unwrap().push(narrow.clone());
                rows
            })
            .collect();
        check(&whens, &activities)?;
    }

    /// Many policies on one field are answered together, and each still by itself.
    #[test]
    fn many_on_one_field(
        rows in prop::sample::select(&["actor", "fields.a", "objects.name"][..])
            .prop_flat_map(|field| prop::collection::vec(text_row(field, &FIELDS), 8..40)),
        kinds in prop::collection::vec(activity(), 1..24),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..150),
    ) {
        let activities: Vec<Activity> = order.iter().map(|index| index.get(&kinds).clone()).collect();
        let whens: Vec<Value> = rows.into_iter().map(|row| json!([row])).collect();
        check(&whens, &activities)?;
    }
}
