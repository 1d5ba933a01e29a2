//! What must hold for any record, made up or damaged.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod activity;

use activity::{SETTINGS, adapter, lines, response};
use casbah_model::adapter::Adapter;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop_oneof![
            Just("open"),
            Just("Repository add users"),
            Just("2026-01-15T08:00:00"),
            Just("a@b.test"),
            Just("Internal"),
            Just("External"),
            Just("203.0.113.1"),
            Just("ndfld"),
            Just("CABINET admin"),
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members(inner, 6).prop_map(Value::from),
        ]
    })
}

/// Names that mean something to the adapter, and others.
fn name() -> impl Strategy<Value = String> {
    let known: Vec<&str> =
        "activity date name host desc description user id guid email memberType source \
        storageObject docId size version fileExtension cabinet collabSpace NetBinder access Client"
            .split_whitespace()
            .collect();
    prop_oneof![6 => proptest::sample::select(known).prop_map(str::to_owned), 1 => ".{1,10}"]
}

fn members(
    values: impl Strategy<Value = Value>,
    most: usize,
) -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::vec((name(), values), 0..=most)
        .prop_map(|pairs| pairs.into_iter().collect())
}

fn record() -> impl Strategy<Value = Value> {
    (members(value(), 8), members(value(), 8), members(value(), 8), any::<u8>()).prop_map(
        |(mut activity, user, object, form)| {
            if form & 1 != 0 {
                activity.insert("user".to_owned(), user.into());
            }
            if form & 2 != 0 {
                activity.insert("storageObject".to_owned(), object.into());
            }
            if form & 4 != 0 { json!({"activity": activity}) } else { activity.into() }
        },
    )
}

/// The texts that a record says: an oracle that knows nothing of the adapter but its promise.
fn said(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(members) => members.values().for_each(|value| said(value, into)),
        Value::Array(items) => items.iter().for_each(|value| said(value, into)),
        Value::String(text) if text.is_empty() => {}
        Value::String(text) => into.push(text.clone()),
        other => into.push(other.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any record is kept as an activity, with everything it says.
    #[test]
    fn nothing_said_is_lost(record in record()) {
        let body = json!([record]).to_string();
        let raw = adapter().split(body.as_bytes()).unwrap();
        let batch = adapter().normalize(SETTINGS, body.as_bytes(), &raw).unwrap();
        prop_assert_eq!(batch.check(), Ok(()));
        let all = lines(&batch, 0).join("\n");
        let mut texts = Vec::new();
        said(&record, &mut texts);
        for text in texts {
            // These three are kept as what they mean.
            let meant = match text.as_str() {
                "Internal" => "actor.external: 0",
                "External" => "actor.external: 1",
                "2026-01-15T08:00:00" => "time: 1768464000000",
                other => other,
            };
            prop_assert!(all.contains(&text) || all.contains(meant), "{:?} of {} is lost in\n{}", text, record, all);
        }
    }

    /// Reading an answer, and splitting it and normalizing what was split, give the same batch.
    #[test]
    fn normalizing_again_gives_the_same(records in proptest::collection::vec(record(), 0..12), pretty in any::<bool>()) {
        // Times far from the window would be refused.
        let mut records = records;
        for record in &mut records {
            let inner = match record.get("activity").is_some_and(Value::is_object) {
                true => &mut record["activity"],
                false => record,
            };
            inner["date"] = json!("2026-01-15T08:00:00");
        }
        let body = json!(records);
        let body = if pretty { serde_json::to_string_pretty(&body).unwrap() } else { body.to_string() };
        let body = format!("\u{feff}{body}");
        let read = adapter().read(&response("activities", body.as_str())).unwrap();
        let raw = adapter().split(body.as_bytes()).unwrap();
        prop_assert_eq!(&raw, &read.raw);
        prop_assert_eq!(adapter().normalize(SETTINGS, body.as_bytes(), &raw).unwrap(), read.batch);
        for (record, span) in records.iter().zip(raw.chunks(2)) {
            let bytes = &body.as_bytes()[span[0] as usize..span[1] as usize];
            prop_assert_eq!(&serde_json::from_slice::<Value>(bytes).unwrap(), record);
        }
    }

    /// Whatever a record says in confidential places is neither in the activity nor in what is kept of
    /// it; and what is kept gives the same activity again.
    #[test]
    fn what_is_concealed_is_nowhere(
        records in proptest::collection::vec(record(), 1..6),
        treatment in prop_oneof![Just("hash"), Just("drop")],
    ) {
        let settings = format!(
            r#"{{"repository":"CA-1","names":"{treatment}","profile":"{treatment}","hash-key":"k"}}"#
        );
        let mut records = records;
        for (number, record) in records.iter_mut().enumerate() {
            let inner = match record.get("activity").is_some_and(Value::is_object) {
                true => &mut record["activity"],
                false => &mut *record,
            };
            inner["date"] = json!("2026-01-15T08:00:00");
            inner["storageObject"] = json!({
                "docId": "1", "name": format!("s3cret {number}"), "collabSpace": "s3cret",
                "Client": {"deep": ["s3cret", {"er": "s3cret"}]}, "Matter": "s3cret",
            });
            inner["desc"] = json!("was s3cret");
            inner["novel"] = json!({"deep": ["s3cret", {"er": "s3cret"}]});
            record["beside"] = json!("s3cret");
        }
        let mut response = response("activities", json!(records).to_string());
        response.request.settings = settings.clone();
        let mut page = adapter().read(&response).unwrap();
        prop_assert!(!page.batch.texts.bytes().contains("s3cret"));
        let kept: Vec<String> =
            casbah_plugin::Row::all(&page.batch).map(|row| row.text("raw").to_owned()).collect();
        page.batch.columns.retain(|column| column.name != "raw");
        let body = format!("[{}]", kept.join(","));
        let raw = adapter().split(body.as_bytes()).unwrap();
        let again = adapter().normalize(&settings, body.as_bytes(), &raw).unwrap();
        prop_assert_eq!(again.len(), page.batch.len());
        for row in 0..again.len() {
            prop_assert_eq!(lines(&again, row), lines(&page.batch, row));
        }
    }

    /// Damaged answers are refused or read, but nothing panics, and what is read is sound.
    #[test]
    fn damage_never_panics(
        form in 0..5_u8,
        records in proptest::collection::vec(record(), 0..3),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        stream in prop_oneof![Just("activities"), Just("administration"), Just("accounts"), Just("facts")],
        cursor in prop_oneof![Just(None), ".{0,20}".prop_map(Some), any::<i64>().prop_map(|at| Some(format!("{{\"at\":{at}}}"))), Just(Some("\"users\"".to_owned()))],
        status in prop_oneof![Just(200_u16), Just(204), Just(400), Just(503)],
    ) {
        let mut body = match form {
            0 => include_bytes!("../data/samples/consolidated.xml").to_vec(),
            1 => include_bytes!("../data/samples/admin.json").to_vec(),
            2 => json!({"log": records}).to_string().into_bytes(),
            _ => json!(records).to_string().into_bytes(),
        };
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(body.len() - cut.index(body.len()) / 4);
        let mut response = response(stream, body.clone());
        response.request.cursor = cursor;
        response.status = status;
        adapter().plan(&response.request).unwrap();
        if let Ok(page) = adapter().read(&response) {
            prop_assert_eq!(page.batch.check(), Ok(()));
            prop_assert_eq!(page.raw.len(), 2 * page.batch.len());
        }
        if let Ok(raw) = adapter().split(&body)
            && let Ok(batch) = adapter().normalize(SETTINGS, &body, &raw)
        {
            prop_assert_eq!(batch.check(), Ok(()));
            prop_assert_eq!(raw.len(), 2 * batch.len());
        }
    }
}

/// Deep nesting must neither overflow the stack nor be lost.
#[test]
fn nesting_may_be_deep() {
    let deep = format!("[{{\"name\":{}{}}}]", "[".repeat(20_000), "]".repeat(20_000));
    let raw = adapter().split(deep.as_bytes()).unwrap();
    assert_eq!(adapter().normalize("", deep.as_bytes(), &raw).unwrap().len(), 1);
    let deep = format!(
        "<log><activity>{}{}</activity></log>",
        "<a>".repeat(20_000),
        "</a>".repeat(20_000)
    );
    let raw = adapter().split(deep.as_bytes()).unwrap();
    assert_eq!(adapter().normalize("", deep.as_bytes(), &raw).unwrap_err().class, "malformed");
}

/// What an XML says in entities, sections and texts is understood; unknown entities are kept.
#[test]
fn xml_is_understood() {
    let body = "<?xml version='1.0'?><!DOCTYPE r [<!ENTITY x 'y'>]><n:r xmlns:n='u'><!-- <activity/> -->\
        <n:activity date='2026-01-15T08:00:00' name='open &amp; shut' host=\"&x;\"><desc>a &lt; &#98;<![CDATA[ & c]]> &x;</desc>\
        <storageObject docId='1'><Client>Ü</Client></storageObject></n:activity></n:r>";
    let raw = adapter().split(body.as_bytes()).unwrap();
    let batch = adapter().normalize(SETTINGS, body.as_bytes(), &raw).unwrap();
    let said = lines(&batch, 0).join("\n");
    for part in [
        "action: open & shut",
        "fields.host: &x;",
        "fields.desc: a < b & c &x;",
        "fields.profile.Client: Ü",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}
