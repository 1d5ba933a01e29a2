//! What must hold for any event, made up or damaged.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod event;

use casbah_model::adapter::Adapter;
use event::{Activity, activities, adapter, response};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9_f64).prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        prop_oneof![
            Just("SHEET"),
            Just("LOAD"),
            Just("MOVE"),
            Just("-1"),
            Just("AUTHENTICATION"),
            Just("LOGIN"),
            Just("ADD_SHARE"),
            Just("5629504736520068"),
            Just("2026-11-20T10:00:00Z"),
            Just("A@b.C"),
            Just("ACCEPT_FAILED"),
        ]
        .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            members(inner, 4).prop_map(Value::from),
        ]
    })
}

/// Names that mean something to the adapter, and others.
fn name() -> impl Strategy<Value = String> {
    let known: Vec<&str> = "eventId objectType action objectId objectIdStr eventTimestamp eventTimeStamp \
        userId requestUserId accessTokenName source additionalDetails eventDetails sourceIpAddress \
        emailAddress sheetId sheetRowId workspaceId groupId recipientEmail recipientGroupId memberUserId \
        oldUserId newUserId sourceObjectId newParentContainerId folderName sheetName newName oldName \
        accessLevel accessibleBy formatType rowCount declineReason tokenUserId"
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

/// An event: any object, most often with details that are an object.
fn event() -> impl Strategy<Value = Value> {
    (members(value(), 12), members(value(), 8), any::<bool>()).prop_map(
        |(mut event, details, set)| {
            if set {
                event.insert("additionalDetails".to_owned(), details.into());
            }
            event.into()
        },
    )
}

/// The texts that an event says, as an activity keeps them: an oracle that knows nothing of the
/// adapter but its promise.
fn said(value: &Value, top: bool, into: &mut Vec<String>) {
    match value {
        Value::Null => {}
        Value::Object(members) => members.values().for_each(|value| said(value, false, into)),
        Value::String(text) if text.is_empty() || (top && text == "-1") => {}
        Value::String(text) => into.push(text.clone()),
        other => into.push(other.to_string()),
    }
}

/// Everything a kept activity says, to look the texts up in.
fn kept(activity: &Activity) -> String {
    let mut all = String::from("\n");
    for (_, value) in activity.columns.iter().chain(&activity.fields) {
        all.push_str(value);
        all.push('\n');
    }
    for object in &activity.objects {
        all.push_str(&format!("{}\n{}\n", object.id, object.name));
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any object is kept as an activity, with everything it says.
    #[test]
    fn nothing_said_is_lost(event in event()) {
        let activity = activities(std::slice::from_ref(&event), "").remove(0);
        let all = kept(&activity);
        let mut texts = Vec::new();
        for (key, value) in event.as_object().unwrap() {
            let mut here = Vec::new();
            said(value, key == "objectId" || key == "objectIdStr", &mut here);
            // Times and amounts are kept as what they mean; type and action stand together.
            let timed = ["eventTimestamp", "eventTimeStamp"].contains(&key.as_str())
                && activity.integer("time").is_some();
            let named = ["objectType", "action"].contains(&key.as_str());
            here.retain(|text| !(timed || named && activity.text("action").contains(text)));
            texts.append(&mut here);
        }
        for text in texts {
            let amount = text.parse::<f64>().ok().map(|number| (number as i64).to_string());
            let held = all.contains(&format!("\n{text}\n"))
                || amount.is_some_and(|amount| activity.text("amount") == amount);
            prop_assert!(held, "{:?} of {} is lost in {:#?}", text, event, activity);
        }
    }

    /// Reading a page, and splitting it and normalizing what was split, give the same batch.
    #[test]
    fn normalizing_again_gives_the_same(events in proptest::collection::vec(event(), 0..20), pretty in any::<bool>()) {
        let page = json!({"data": events, "moreAvailable": true, "nextStreamPosition": "x"});
        let body = if pretty { serde_json::to_string_pretty(&page).unwrap() } else { page.to_string() };
        let read = adapter().read(&response(body.as_str(), "")).unwrap();
        let raw = adapter().split(body.as_bytes()).unwrap();
        prop_assert_eq!(&raw, &read.raw);
        let again = adapter().normalize("", body.as_bytes(), &raw).unwrap();
        prop_assert_eq!(again.check(), Ok(()));
        prop_assert_eq!(again, read.batch);
        let page: Value = serde_json::from_str(&body).unwrap();
        for (event, span) in page["data"].as_array().unwrap().iter().zip(raw.chunks(2)) {
            let record = &body.as_bytes()[span[0] as usize..span[1] as usize];
            prop_assert_eq!(&serde_json::from_slice::<Value>(record).unwrap(), event);
        }
    }

    /// Damaged answers are refused or read, but nothing panics, and what is read is sound.
    #[test]
    fn damage_never_panics(
        events in proptest::collection::vec(event(), 0..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        stream in prop_oneof![Just("activities"), Just("accounts"), Just("facts")],
        status in prop_oneof![Just(200_u16), Just(400), Just(401), Just(500)],
    ) {
        let mut body = json!({"data": events, "moreAvailable": true}).to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(body.len() - cut.index(body.len()) / 4);
        let mut response = response(body.clone(), "");
        response.request.stream = stream.to_owned();
        response.status = status;
        if let Ok(page) = adapter().read(&response) {
            prop_assert_eq!(page.batch.check(), Ok(()));
            prop_assert_eq!(page.raw.len(), 2 * page.batch.len());
        }
        if let Ok(raw) = adapter().split(&body) {
            let batch = adapter().normalize("", &body, &raw).unwrap();
            prop_assert_eq!(batch.check(), Ok(()));
        }
    }
}
