//! Every operator, with every type it takes, present, different and absent.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use casbah_activity::Activity;
use casbah_model::vocabulary::{ColumnType, column};
use casbah_model::{Batch, BatchBuilder};
use casbah_plugin::Detector;
use serde_json::{Value, json};

/// Makes a batch of activities written as JSON: columns by name, `objects` as a list of tables,
/// `fields.NAME` as texts.
fn batch(activities: &[Value]) -> Batch {
    let mut builder = BatchBuilder::new();
    for activity in activities {
        builder.begin_row();
        for (name, value) in activity.as_object().unwrap() {
            match (name.as_str(), value) {
                ("objects", Value::Array(objects)) => {
                    for object in objects {
                        builder.begin_nested("objects");
                        for (column, value) in object.as_object().unwrap() {
                            builder.nested_text("objects", column, value.as_str().unwrap());
                        }
                    }
                }
                (name, Value::String(text)) => match name.strip_prefix("fields.") {
                    Some(key) => {
                        builder.begin_nested("fields");
                        builder.nested_text("fields", "key", key);
                        builder.nested_text("fields", "value", text);
                    }
                    None => builder.text(name, text),
                },
                (name, Value::Bool(flag)) => builder.flag(name, *flag),
                (name, number) => match column(name).unwrap().column_type {
                    ColumnType::Number => builder.number(name, number.as_f64().unwrap()),
                    _ => builder.integer(name, number.as_i64().unwrap()),
                },
            }
        }
    }
    builder.finish()
}

/// Places of the activities that the rows match.
fn matching(when: &Value, activities: &[Value]) -> Vec<usize> {
    let settings = json!({"when": when, "group": [], "quiet": 0}).to_string();
    let mut detector = Activity::configure(&[settings]).unwrap_or_else(|p| panic!("{when}: {p:?}"));
    let keys = detector.begin(batch(activities)).unwrap();
    assert_eq!(keys, []);
    let outcome = detector.finish(&[]).unwrap();
    let mut rows: Vec<usize> = outcome
        .findings
        .iter()
        .flat_map(|finding| &finding.evidence)
        .map(|evidence| evidence.sequence as usize)
        .collect();
    rows.sort_unstable();
    rows
}

/// Checks a row against activities: `yes` must match, `no` must not; each is tried alone, where
/// most columns are missing from the batch, and among all others.
fn check(row: Value, yes: &[Value], no: &[Value]) {
    for (activity, expected) in yes
        .iter()
        .map(|activity| (activity, true))
        .chain(no.iter().map(|activity| (activity, false)))
    {
        let alone = matching(&json!([row]), std::slice::from_ref(activity));
        assert_eq!(!alone.is_empty(), expected, "{row} on {activity} alone");
        let padded = matching(&json!([row]), &[json!({"app": "x"}), activity.clone()]);
        assert_eq!(padded.contains(&1), expected, "{row} on {activity} behind another");
    }
    let all: Vec<Value> = yes.iter().chain(no).cloned().collect();
    assert_eq!(matching(&json!([row]), &all), (0..yes.len()).collect::<Vec<_>>(), "{row} on all");
    // A second row behind one that leaves few activities takes the way over the rows that are left.
    let mut many = vec![json!({"app": "other"}); 200];
    for (place, activity) in all.iter().enumerate() {
        let mut activity = activity.clone();
        activity["connection"] = json!("wanted");
        many[place * 5] = activity;
    }
    let expected: Vec<usize> = (0..yes.len()).map(|place| place * 5).collect();
    let when = json!([{"field": "connection", "is": "wanted"}, row]);
    assert_eq!(matching(&when, &many), expected, "{row} on what is left");
}

fn is(name: &str, value: impl Into<Value>) -> Value {
    json!({name: value.into()})
}

fn absent() -> Value {
    json!({"result": "success"})
}

#[test]
fn text_operators() {
    let kind = |value: &str| is("kind", value);
    check(
        json!({"field": "kind", "is": "export"}),
        &[kind("export"), kind("EXPORT")],
        &[kind("exports"), kind("view"), absent()],
    );
    check(
        json!({"field": "kind", "is": "export", "ignore-case": false}),
        &[kind("export")],
        &[kind("Export"), absent()],
    );
    check(
        json!({"field": "kind", "in": ["export", "Download"]}),
        &[kind("Export"), kind("download")],
        &[kind("view"), absent()],
    );
    check(
        json!({"field": "action", "in": ["export", "Download"], "ignore-case": false}),
        &[is("action", "export"), is("action", "Download")],
        &[is("action", "download"), absent()],
    );

    let actor = |value: &str| is("actor", value);
    check(
        json!({"field": "actor", "contains": "ana"}),
        &[actor("Banana"), actor("ana")],
        &[actor("an a"), absent()],
    );
    check(
        json!({"field": "actor", "contains": ["x", "Ana"]}),
        &[actor("banana"), actor("fox")],
        &[actor("bob"), absent()],
    );
    check(
        json!({"field": "actor", "contains": "ana", "ignore-case": false}),
        &[actor("banana")],
        &[actor("Ana"), absent()],
    );
    check(
        json!({"field": "actor", "starts": "ana"}),
        &[actor("Ana@x")],
        &[actor("xana"), absent()],
    );
    check(
        json!({"field": "actor", "starts": ["svc-", "bot-"]}),
        &[actor("svc-1"), actor("BOT-2")],
        &[actor("1svc-"), absent()],
    );
    check(
        json!({"field": "actor", "ends": "@Example.com"}),
        &[actor("ana@EXAMPLE.com")],
        &[actor("ana@example.com.evil"), absent()],
    );
    check(
        json!({"field": "actor", "ends": ["@a.com", "@b.com"], "ignore-case": false}),
        &[actor("x@b.com")],
        &[actor("x@B.com"), absent()],
    );
    check(
        json!({"field": "actor", "matches": "^a[0-9]+@"}),
        &[actor("a12@x")],
        &[actor("A12@x"), actor("ba12@x"), absent()],
    );
    check(
        json!({"field": "actor", "matches": "^a[0-9]+@", "ignore-case": true}),
        &[actor("A12@x")],
        &[actor("A@x"), absent()],
    );
    check(json!({"field": "actor", "exists": true}), &[actor("x")], &[absent()]);
    check(json!({"field": "actor", "exists": false}), &[absent()], &[actor("x")]);
}

/// Lists in one text are asked element by element, not letter by letter.
#[test]
fn elements_of_lists() {
    let tags = |value: &str| is("ip.tags", value);
    check(
        json!({"field": "ip.tags", "has": "tor"}),
        &[tags("tor"), tags("vpn,Tor"), tags("tor,vpn"), tags("a, tor ,b")],
        &[tags("torrent"), tags("vpn,torrent"), tags("vpn tor"), tags(","), absent()],
    );
    check(
        json!({"field": "ip.tags", "has": ["vpn", "tor"]}),
        &[tags("x,tor"), tags("VPN")],
        &[tags("x"), tags("vp,n"), absent()],
    );
    check(
        json!({"field": "actor.groups", "has": " Board", "ignore-case": false}),
        &[is("actor.groups", "Staff,Board")],
        &[is("actor.groups", "Staff,board"), is("actor.groups", "Board of trade")],
    );
    check(
        json!({"not": {"field": "ip.tags", "has": ["vpn", "tor"]}, "missing": "match"}),
        &[tags("hosting"), absent()],
        &[tags("hosting,tor")],
    );
    check(
        json!({"field": "fields.userTypes", "has": "SYSTEM_ADMIN"}),
        &[is("fields.userTypes", "LICENSED_USER,SYSTEM_ADMIN")],
        &[is("fields.userTypes", "NO_SYSTEM_ADMIN"), absent()],
    );
}

/// Letters beyond ASCII are compared in lower case, one by one, by Unicode's table.
#[test]
fn case_is_ignored_beyond_ascii() {
    let name = |value: &str| is("object.name", value);
    check(
        json!({"field": "object.name", "is": "GEHÄLTER"}),
        &[name("Gehälter"), name("gehälter")],
        &[name("gehaelter"), name("GEHÄLTE")],
    );
    check(
        json!({"field": "object.name", "contains": "ärger"}),
        &[name("Großer ÄRGER")],
        &[name("ARGER")],
    );
    // The Kelvin sign has an ASCII lower case.
    check(json!({"field": "object.name", "is": "k"}), &[name("K"), name("\u{212A}")], &[name("c")]);
}

#[test]
fn negations_say_what_a_missing_field_means() {
    let kind = |value: &str| is("kind", value);
    for (missing, yes, no) in [
        ("no-match", vec![kind("view")], vec![kind("Export"), absent()]),
        ("match", vec![kind("view"), absent()], vec![kind("export")]),
    ] {
        check(json!({"field": "kind", "not": "export", "missing": missing}), &yes, &no);
        check(
            json!({"field": "kind", "not-in": ["export", "print"], "missing": missing}),
            &yes,
            &no,
        );
        check(json!({"not": {"field": "kind", "is": "export"}, "missing": missing}), &yes, &no);
    }
    for (missing, yes, no) in [
        ("no-match", vec![is("amount", 2)], vec![is("amount", 1), absent()]),
        ("match", vec![is("amount", 2), absent()], vec![is("amount", 1)]),
    ] {
        check(json!({"field": "amount", "not": 1, "missing": missing}), &yes, &no);
        check(json!({"field": "amount", "not-in": [1, 7], "missing": missing}), &yes, &no);
    }
    for (missing, yes, no) in [
        ("no-match", vec![is("anonymous", false)], vec![is("anonymous", true), absent()]),
        ("match", vec![is("anonymous", false), absent()], vec![is("anonymous", true)]),
    ] {
        check(json!({"field": "anonymous", "not": true, "missing": missing}), &yes, &no);
    }
    let one = |kind: &str| json!({"objects": [{"kind": kind, "name": "x"}]});
    let two = |a: &str, b: &str| json!({"objects": [{"kind": a}, {"kind": b}]});
    for (missing, yes, no) in [
        (
            "no-match",
            vec![one("row"), two("row", "user")],
            vec![one("sheet"), two("row", "sheet"), absent()],
        ),
        ("match", vec![one("row"), absent()], vec![one("sheet"), two("sheet", "row")]),
    ] {
        // A negation holds when no object has the value, not when some object has another.
        check(json!({"field": "objects.kind", "not": "sheet", "missing": missing}), &yes, &no);
    }
}

#[test]
fn numbers_times_and_flags() {
    let amount = |value: i64| is("amount", value);
    check(json!({"field": "amount", "is": 5}), &[amount(5)], &[amount(4), absent()]);
    check(
        json!({"field": "amount", "in": [7, 5]}),
        &[amount(5), amount(7)],
        &[amount(6), absent()],
    );
    check(json!({"field": "amount", "above": 5}), &[amount(6)], &[amount(5), amount(-9), absent()]);
    check(json!({"field": "amount", "below": 5}), &[amount(4), amount(-9)], &[amount(5), absent()]);
    check(json!({"field": "amount", "exists": true}), &[amount(0)], &[absent()]);
    check(json!({"field": "amount", "exists": false}), &[absent()], &[amount(0)]);

    let received = |value: i64| is("received", value);
    check(
        json!({"field": "received", "above": "1970-01-01T00:00:05Z"}),
        &[received(5001)],
        &[received(5000), absent()],
    );
    check(
        json!({"field": "received", "below": 5000}),
        &[received(4999)],
        &[received(5000), absent()],
    );
    check(json!({"field": "received", "exists": false}), &[absent()], &[received(1)]);

    let admin = |value: bool| is("actor.admin", value);
    check(json!({"field": "actor.admin", "is": true}), &[admin(true)], &[admin(false), absent()]);
    check(json!({"field": "actor.admin", "is": false}), &[admin(false)], &[admin(true), absent()]);
    check(json!({"field": "actor.admin", "exists": true}), &[admin(false)], &[absent()]);

    let latitude = |value: f64| is("latitude", value);
    check(
        json!({"field": "latitude", "above": 50.5}),
        &[latitude(50.6)],
        &[latitude(50.5), absent()],
    );
    check(
        json!({"field": "latitude", "below": 50}),
        &[latitude(-3.0)],
        &[latitude(50.0), absent()],
    );
    check(json!({"field": "latitude", "exists": true}), &[latitude(0.0)], &[absent()]);
}

#[test]
fn addresses() {
    let ip = |value: &str| is("ip", value);
    check(
        json!({"field": "ip", "cidr": "10.0.0.0/8"}),
        &[ip("10.1.2.3"), ip("::ffff:10.1.2.3")],
        &[ip("11.1.2.3"), ip("10"), ip("fe80::1"), absent()],
    );
    check(
        json!({"field": "ip", "cidr": ["192.0.2.0/24", "2001:db8::/32"]}),
        &[ip("192.0.2.9"), ip("2001:DB8::9")],
        &[ip("192.0.3.9"), absent()],
    );
    check(
        json!({"not": {"field": "ip", "cidr": "10.0.0.0/8"}, "missing": "no-match"}),
        &[ip("203.0.113.1"), ip("2001:db8::1")],
        &[ip("10.9.9.9"), absent()],
    );
}

#[test]
fn app_fields_and_objects() {
    let rows = |value: &str| is("fields.rowCount", value);
    check(
        json!({"field": "fields.rowCount", "is": "12"}),
        &[rows("12")],
        &[rows("120"), is("fields.other", "12"), absent()],
    );
    check(json!({"field": "fields.rowCount", "is": 12}), &[rows("12")], &[rows("13"), absent()]);
    check(
        json!({"field": "fields.public", "is": true}),
        &[is("fields.public", "TRUE")],
        &[is("fields.public", "1")],
    );
    check(
        json!({"field": "fields.rowCount", "above": 12}),
        &[rows("13"), rows("12.5")],
        &[rows("12"), rows("many"), absent()],
    );
    check(
        json!({"field": "fields.rowCount", "below": 12}),
        &[rows("9")],
        &[rows("12"), rows("many"), absent()],
    );
    check(
        json!({"field": "fields.rowCount", "exists": true}),
        &[rows("x")],
        &[is("fields.other", "x"), absent()],
    );
    check(
        json!({"field": "fields.rowCount", "exists": false}),
        &[is("fields.other", "x"), absent()],
        &[rows("x")],
    );
    check(
        json!({"field": "fields.a.b", "contains": "x"}),
        &[is("fields.a.b", "axb")],
        &[is("fields.a", "axb")],
    );

    let objects = json!({"objects": [{"role": "object", "kind": "sheet", "id": "1"}, {"role": "recipient", "name": "Bob@x.com"}]});
    for row in [
        json!({"field": "objects.kind", "is": "sheet"}),
        json!({"field": "objects.role", "in": ["recipient"]}),
        json!({"field": "objects.name", "ends": "@X.com"}),
        json!({"field": "objects.id", "matches": "^[0-9]$"}),
        json!({"field": "objects.kind", "exists": true}),
    ] {
        check(
            row,
            std::slice::from_ref(&objects),
            &[json!({"objects": [{"role": "object"}]}), absent()],
        );
    }
}

#[test]
fn groups() {
    let of = |kind: &str, actor: &str| json!({"kind": kind, "actor": actor});
    check(
        json!({"any": [{"field": "kind", "is": "export"}, {"field": "actor", "is": "ana"}]}),
        &[of("export", "bob"), of("view", "ana"), of("export", "ana"), is("actor", "ana")],
        &[of("view", "bob"), absent()],
    );
    check(
        json!({"any": [{"all": [{"field": "kind", "is": "export"}, {"field": "actor", "is": "ana"}]}, {"field": "kind", "is": "purge"}]}),
        &[of("export", "ana"), of("purge", "bob")],
        &[of("export", "bob"), absent()],
    );
    check(
        json!({"not": {"any": [{"field": "kind", "is": "export"}, {"field": "actor", "is": "ana"}]}, "missing": "no-match"}),
        &[of("view", "bob")],
        &[of("export", "bob"), of("view", "ana"), is("kind", "view"), is("actor", "bob"), absent()],
    );
    check(
        json!({"not": {"any": [{"field": "kind", "is": "export"}, {"field": "actor", "is": "ana"}]}, "missing": "match"}),
        &[of("view", "bob"), is("kind", "view"), absent()],
        &[of("export", "bob"), of("view", "ana")],
    );
    check(json!({"not": {"field": "kind", "exists": true}}), &[absent()], &[of("view", "bob")]);
    check(
        json!({"not": {"not": {"field": "kind", "is": "export"}, "missing": "match"}, "missing": "match"}),
        &[of("export", "bob")],
        &[of("view", "bob"), absent()],
    );
}

/// All rows of a policy must hold.
#[test]
fn rows_are_joined_with_and() {
    let activities = [
        json!({"kind": "export", "actor": "ana"}),
        json!({"kind": "export", "actor": "bob"}),
        json!({"kind": "view", "actor": "ana"}),
    ];
    let when = json!([{"field": "kind", "is": "export"}, {"field": "actor", "is": "ana"}]);
    assert_eq!(matching(&when, &activities), [0]);
}

/// A column that comes with another type than published is as good as absent.
#[test]
fn a_column_of_the_wrong_type_is_absent() {
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.integer("kind", 5);
    builder.text("amount", "5");
    let batch = builder.finish();
    for (row, expected) in [
        (json!({"field": "kind", "exists": true}), 0),
        (json!({"field": "amount", "is": 5}), 0),
        (json!({"field": "kind", "exists": false}), 1),
    ] {
        let settings = json!({"when": [row], "quiet": 0}).to_string();
        let mut detector = Activity::configure(&[settings]).unwrap();
        detector.begin(batch.clone()).unwrap();
        assert_eq!(detector.finish(&[]).unwrap().findings.len(), expected, "{row}");
    }
}
