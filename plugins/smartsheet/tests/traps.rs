//! The traps of Smartsheet's audit stream, one test each.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod event;

use casbah_model::adapter::{Adapter, Response};
use event::{Activity, activities, activity, adapter, page_of, response};
use serde_json::{Value, json};

fn sheet_event() -> Value {
    json!({
        "eventId": "e1",
        "objectType": "SHEET",
        "action": "LOAD",
        "objectId": 4_583_173_393_803_140_u64,
        "objectIdStr": "4583173393803140",
        "eventTimestamp": "2026-11-20T10:00:00Z",
        "userId": 48_569_348_493_401_200_u64,
        "requestUserId": 48_569_348_493_401_200_u64,
        "source": "WEB_APP",
        "additionalDetails": {"emailAddress": "Ana@Example.com", "sourceIpAddress": "192.0.2.7"},
    })
}

/// The sheet event with members replaced; a null takes one away.
fn with(changes: Value) -> Activity {
    let mut event = sheet_event();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => event.as_object_mut().unwrap().remove(key),
            value => event.as_object_mut().unwrap().insert(key.clone(), value.clone()),
        };
    }
    activity(event)
}

#[test]
fn an_ordinary_event() {
    insta::assert_snapshot!(activity(sheet_event()).summary(), @r#"
    id=e1
    time=1795168800000
    source=WEB_APP
    kind=view
    action=SHEET.LOAD
    actor=ana@example.com
    actor.id=48569348493401200
    actor.email=Ana@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.7
    client=web
    result=success
    object=4583173393803140
    object.kind=sheet
      object: sheet 4583173393803140
    "#);
}

/// `objectId` comes as a number, as a text, and as -1 with the real one in `objectIdStr`.
#[test]
fn the_object_id_has_three_shapes() {
    for (number, text, expected) in [
        (json!(9_223_372_036_854_775_807_u64), Value::Null, "9223372036854775807"),
        (json!("345678901234"), Value::Null, "345678901234"),
        (json!(-1), json!("a3f-11"), "a3f-11"),
        (json!("-1"), json!("a3f-11"), "a3f-11"),
        (json!(7), json!("7"), "7"),
        (Value::Null, json!("7"), "7"),
        (json!(7), json!(""), "7"),
        (json!(-1), Value::Null, ""),
        (Value::Null, Value::Null, ""),
    ] {
        let activity = with(json!({"objectId": number, "objectIdStr": text}));
        assert_eq!(activity.text("object"), expected, "{number} {text}");
        assert_eq!(activity.object("object").map_or("", |object| &object.id), expected);
        assert_eq!(activity.field("objectId"), "");
    }
    // Should they ever disagree, both are kept.
    let activity = with(json!({"objectId": 7, "objectIdStr": "8"}));
    assert_eq!((activity.text("object"), activity.field("objectId")), ("8", "7"));
}

/// Ids beyond 2^53 keep every digit, wherever they stand.
#[test]
fn ids_never_go_through_a_float() {
    let activity = with(json!({
        "userId": 9_007_199_254_740_993_u64, "requestUserId": 9_007_199_254_740_993_u64,
        "additionalDetails": {"sheetId": 9_007_199_254_740_995_u64, "unknownId": 9_007_199_254_740_997_u64},
    }));
    assert_eq!(activity.text("actor.id"), "9007199254740993");
    assert_eq!(activity.text("parent"), "9007199254740995");
    assert_eq!(activity.field("unknownId"), "9007199254740997");
}

/// An id may be written as a number or as a text: that makes no difference, nor an impersonation.
#[test]
fn numbers_and_texts_are_the_same_ids() {
    let activity = with(json!({
        "userId": 5, "requestUserId": "5", "additionalDetails": {"sheetId": "102030405"},
    }));
    assert_eq!(activity.text("actor.id"), "5");
    assert_eq!(activity.text("parent"), "102030405");
    assert_eq!(activity.integer("impersonated"), Some(0));
    assert_eq!(activity.text("behalf"), "");
}

#[test]
fn the_time_is_read_in_every_spelling() {
    for (changes, expected) in [
        (json!({"eventTimestamp": "2026-11-20T10:00:00Z"}), 1_795_168_800_000_i64),
        (json!({"eventTimestamp": "2026-11-20T10:00:00+0000"}), 1_795_168_800_000),
        (json!({"eventTimestamp": "2026-11-20T10:00:00.123456789Z"}), 1_795_168_800_123),
        (json!({"eventTimestamp": 1_795_168_800_123_u64}), 1_795_168_800_123),
        (json!({"eventTimestamp": "1795168800123"}), 1_795_168_800_123),
        (
            json!({"eventTimestamp": null, "eventTimeStamp": "2026-11-20T10:00:00Z"}),
            1_795_168_800_000,
        ),
    ] {
        assert_eq!(with(changes.clone()).integer("time"), Some(expected), "{changes}");
    }
    let odd = with(json!({"eventTimestamp": "yesterday"}));
    assert_eq!((odd.integer("time"), odd.field("eventTimestamp")), (None, "yesterday"));
}

/// A number in another unit, or a year that no calendar has, is no time; what was said is kept.
#[test]
fn an_absurd_time_is_kept_as_it_was_said() {
    for absurd in ["1795168800123456", "-70000000000000", "9223372036854775807"] {
        let number: serde_json::Number = serde_json::from_str(absurd).unwrap();
        for value in [json!(absurd), json!(number)] {
            let activity = with(json!({"eventTimestamp": value}));
            assert_eq!(activity.integer("time"), None, "{value}");
            assert_eq!(activity.field("eventTimestamp"), absurd);
        }
    }
}

/// An administrator who acts as somebody else is the actor; whose e-mail address comes along is not
/// said, so nobody gets it.
#[test]
fn impersonation_names_who_used_the_credential() {
    let activity = with(json!({"userId": 11, "requestUserId": 22}));
    assert_eq!(activity.text("actor.id"), "22");
    assert_eq!(activity.text("actor"), "22");
    assert_eq!(activity.text("behalf.id"), "11");
    assert_eq!(activity.text("behalf"), "11");
    assert_eq!(activity.integer("impersonated"), Some(1));
    assert_eq!(activity.text("actor.email"), "");
    assert_eq!(activity.field("emailAddress"), "Ana@Example.com");
}

#[test]
fn system_users_are_named_and_impersonate_nobody() {
    let automation = with(json!({"userId": 3_940_654_876_256_132_u64, "requestUserId": 22}));
    assert_eq!(automation.text("actor.type"), "system");
    assert_eq!(automation.text("actor.name"), "Smartsheet automation");
    assert_eq!(automation.text("actor.id"), "3940654876256132");
    assert_eq!(automation.text("behalf.id"), "22");
    assert_eq!(automation.integer("impersonated"), Some(0));
    assert_eq!(automation.integer("anonymous"), None);

    let skype = with(json!({"userId": 22, "requestUserId": "1688855062570884"}));
    assert_eq!(skype.text("actor.type"), "system");
    assert_eq!((skype.text("actor.id"), skype.text("behalf.id")), ("1688855062570884", "22"));

    let both = with(json!({
        "userId": 3_940_654_876_256_132_u64, "requestUserId": 6_192_454_689_941_380_u64,
    }));
    assert_eq!(both.text("behalf.id"), "");
    assert_eq!(both.field("requestUserId"), "6192454689941380");

    let ordinary = activity(sheet_event());
    assert_eq!(ordinary.text("actor.type"), "user");
    assert_eq!(ordinary.integer("anonymous"), Some(0));
}

#[test]
fn opening_what_anybody_can_open_is_anonymous() {
    let id = 5_629_504_736_520_068_u64;
    let opened = with(json!({"userId": id, "requestUserId": id, "additionalDetails": {}}));
    assert_eq!(opened.text("kind"), "view");
    assert_eq!(opened.text("actor.type"), "anonymous");
    assert_eq!(opened.integer("anonymous"), Some(1));
}

#[test]
fn publishing_to_anybody_can_be_told_from_publishing_to_the_organization() {
    for (to, _) in [("ALL", 1), ("ORG", 0)] {
        let published = with(json!({
            "objectType": "DASHBOARD", "action": "ADD_PUBLISH",
            "additionalDetails": {"accessibleBy": to, "publishType": "read_only", "publishFormat": "FULL"},
        }));
        assert_eq!(published.text("kind"), "publish");
        assert_eq!((published.text("access"), published.field("accessibleBy")), (to, to));
    }
}

/// The address stands in either object, or at the top.
#[test]
fn the_address_is_found_in_three_places() {
    for changes in [
        json!({"additionalDetails": {"sourceIpAddress": "192.0.2.9"}}),
        json!({"additionalDetails": {}, "eventDetails": {"sourceIpAddress": "192.0.2.9"}}),
        json!({"additionalDetails": null, "sourceIpAddress": "192.0.2.9"}),
    ] {
        assert_eq!(with(changes.clone()).text("ip"), "192.0.2.9", "{changes}");
    }
    let two = with(json!({"sourceIpAddress": "2001:db8::1"}));
    assert!(two.holds("192.0.2.7") && two.holds("2001:db8::1"));
}

#[test]
fn sources_tell_the_kind_of_client() {
    for (source, client) in [
        ("WEB_APP", "web"),
        ("MOBILE_IOS", "mobile"),
        ("MOBILE_ANDROID", "mobile"),
        ("MOBILE_WATCH", "mobile"),
        ("API_UNDEFINED_APP", "api"),
        ("API_INTEGRATED_APP", "integration"),
        ("API_ODBC_DRIVER", "driver"),
        ("API_NEW", "api"),
        ("UNKNOWN", "unknown"),
        ("DESKTOP_APP", "unknown"),
    ] {
        let activity = with(json!({"source": source}));
        assert_eq!((activity.text("client"), activity.text("source")), (client, source));
    }
    assert_eq!(with(json!({"source": null})).text("client"), "");
}

/// Unknown types, actions, sources and members are kept, never refused.
#[test]
fn the_sets_are_open() {
    let activity = with(json!({
        "objectType": "COLLECTION", "action": "FROBNICATE", "source": "BRAIN",
        "deviceTrust": "MANAGED",
        "nested": {"a": {"b": 1, "c": [1, {"d": null}]}, "empty": {}},
        "additionalDetails": {"emailAddress": "a@b.c", "new": true, "deep": {"er": "x"}, "none": null},
    }));
    insta::assert_snapshot!(activity.summary(), @r#"
    id=e1
    time=1795168800000
    source=BRAIN
    kind=other
    action=COLLECTION.FROBNICATE
    actor=a@b.c
    actor.id=48569348493401200
    actor.email=a@b.c
    actor.type=user
    impersonated=0
    anonymous=0
    client=unknown
    result=success
    object=4583173393803140
    object.kind=other
      object: other 4583173393803140
      fields.deep.er: x
      fields.new: true
      fields.deviceTrust: MANAGED
      fields.nested.empty: {}
      fields.nested.a.b: 1
      fields.nested.a.c: [1,{"d":null}]
    "#);
}

#[test]
fn sign_ins_are_recognized_and_can_be_configured() {
    let login = |action: &str, settings: &str| {
        let mut event = sheet_event();
        event["objectType"] = json!("AUTHENTICATION");
        event["action"] = json!(action);
        let activity = activities(&[event], settings).remove(0);
        (activity.text("kind").to_owned(), activity.text("result").to_owned())
    };
    let pair = |kind: &str, result: &str| (kind.to_owned(), result.to_owned());
    assert_eq!(login("LOGIN", ""), pair("login", "success"));
    assert_eq!(login("LOGIN_FAILED", "{}"), pair("login", "failure"));
    assert_eq!(login("USER_LOGOUT", ""), pair("logout", "success"));
    assert_eq!(login("ACTIVATE_DOMAIN_STRICT", ""), pair("policy", "success"));
    let settings =
        r#"{"kinds": {"AUTHENTICATION.DENIED": "login"}, "failures": ["AUTHENTICATION.DENIED"]}"#;
    assert_eq!(login("DENIED", settings), pair("login", "failure"));
}

/// Recipients of mail are lower-cased to be counted by, and kept as they were written.
#[test]
fn recipients_are_comparable() {
    let sent = with(json!({
        "action": "SEND_AS_ATTACHMENT",
        "additionalDetails": {"recipientEmail": "Zoë.Müller@EXAMPLE.org", "formatType": "excel"},
    }));
    assert_eq!(sent.text("recipient"), "zoë.müller@example.org");
    assert_eq!(sent.text("recipient.kind"), "address");
    assert_eq!(sent.text("recipient.domain"), "example.org");
    assert_eq!(sent.text("recipient.id"), "");
    assert_eq!(sent.object("recipient").unwrap().name, "Zoë.Müller@EXAMPLE.org");
    assert_eq!(sent.text("format"), "excel");
    assert_eq!(with(json!({})).text("actor"), "ana@example.com");
    assert_eq!(with(json!({})).text("actor.email"), "Ana@Example.com");
}

#[test]
fn an_invitation_that_failed_is_a_failure() {
    let invited = |reason: &str| {
        let activity = with(json!({
            "objectType": "USER", "action": "DECLINE_INVITE",
            "additionalDetails": {"declineReason": reason},
        }));
        assert_eq!(activity.field("declineReason"), reason);
        activity.text("result").to_owned()
    };
    assert_eq!(invited("ACCEPT_FAILED_IN_OTHER_ORG"), "failure");
    assert_eq!(invited("DECLINE_SUCCESS"), "success");
}

/// An event without an id gets one from what it says: the same one however it is formatted.
#[test]
fn an_event_without_an_id_gets_one() {
    let mut event = sheet_event();
    event.as_object_mut().unwrap().remove("eventId");
    let compact = format!(r#"{{"data": [{event}]}}"#);
    let pretty = format!(r#"{{"data": [{}]}}"#, serde_json::to_string_pretty(&event).unwrap());
    let ids: Vec<String> = [compact, pretty]
        .into_iter()
        .map(|body| adapter().read(&response(body, "")).unwrap().batch.text("id", 0).to_owned())
        .collect();
    assert_eq!(ids[0], ids[1]);
    assert!(ids[0].starts_with("made-") && ids[0].len() == 37, "{}", ids[0]);
    event["source"] = json!("UNKNOWN");
    assert_ne!(activity(event).text("id"), ids[0]);
}

/// What is not even an object is kept: something was there, and the raw record says what.
#[test]
fn an_event_that_is_no_object_is_kept() {
    let kept =
        activities(&[json!(17), json!("text"), json!([1, {"a": 2}]), Value::Null, json!({})], "");
    let values: Vec<&str> = kept.iter().map(|activity| activity.field("value")).collect();
    assert_eq!(values, ["17", "text", "[1,{\"a\":2}]", "", ""]);
    for activity in &kept {
        assert_eq!(activity.text("kind"), "other");
        assert!(activity.text("id").starts_with("made-"));
        assert_eq!(activity.integer("time"), None);
    }
}

/// The raw records are what the app sent, byte for byte.
#[test]
fn raw_records_are_the_apps_own_bytes() {
    let body = "{ \"moreAvailable\" : false,\n \"data\" : [ {\"eventId\":\"a\"} ,\t{ \"eventId\": \"ü\" }\n]}";
    let page = adapter().read(&response(body, "")).unwrap();
    let records: Vec<&[u8]> = page
        .raw
        .chunks(2)
        .map(|span| &body.as_bytes()[span[0] as usize..span[1] as usize])
        .collect();
    assert_eq!(records, [b"{\"eventId\":\"a\"}".as_slice(), "{ \"eventId\": \"ü\" }".as_bytes()]);
}

/// Saved answers come as pages, arrays, single events and JSON lines, and any of these in a row.
#[test]
fn saved_answers_are_split() {
    let ids = |body: &str| -> Vec<String> {
        let raw = adapter().split(body.as_bytes()).unwrap();
        let batch = adapter().normalize("", body.as_bytes(), &raw).unwrap();
        (0..batch.len()).map(|row| batch.text("id", row).to_owned()).collect()
    };
    assert_eq!(ids(r#"{"data": [{"eventId": "1"}, {"eventId": "2"}]}"#), ["1", "2"]);
    assert_eq!(ids(r#"[{"eventId": "1"}, {"eventId": "2"}]"#), ["1", "2"]);
    assert_eq!(ids("{\"eventId\": \"1\"}\n{\"eventId\": \"2\"}\n\n"), ["1", "2"]);
    assert_eq!(
        ids("\u{feff}{\"eventId\": \"1\"}\r\n{\"data\":[{\"eventId\": \"2\"}]}[]"),
        ["1", "2"]
    );
    assert_eq!(ids(r#"{"eventId": "1", "data": [{"eventId": "2"}]}"#), ["1"]);
    assert_eq!(ids(""), [""; 0]);
    insta::assert_snapshot!(
        adapter().split(b"{\"eventId\": \"1\"}\n<html>").unwrap_err().message,
        @"this is neither a page of events, nor an array, nor JSON lines: in line 2, at byte 17 there should be an object or an array"
    );
}

/// A page is one of events or it is nothing: half a page must not pass for a whole one.
#[test]
fn half_a_page_is_malformed() {
    let page = page_of(&[sheet_event(), sheet_event()]);
    for length in 0..page.len() {
        let failure = adapter().read(&response(&page[..length], "")).unwrap_err();
        assert_eq!(failure.class, "malformed", "{length}");
    }
    assert!(adapter().read(&response(page, "")).is_ok());
    let ok = |body: &str| adapter().read(&response(body, ""));
    assert_eq!(ok("<html>").unwrap_err().class, "malformed");
    assert_eq!(ok("{}").unwrap_err().class, "malformed");
    assert_eq!(ok("{\"data\":[]} x").unwrap_err().class, "malformed");
    assert_eq!(ok("{\"data\":null}").unwrap_err().class, "malformed");
    // The app's envelope under a wrong status is still read for what it is.
    assert_eq!(ok(r#"{"errorCode":4003,"message":"slow"}"#).unwrap_err().class, "rate-limited");
}

/// Every published sample can be read whole.
#[test]
fn the_published_samples_are_read() {
    for (body, rows) in [
        (include_str!("../data/samples/events/page-more-available.json"), 5),
        (include_str!("../data/samples/events/page-last-no-position.json"), 5),
        (include_str!("../data/samples/events/spec-examples.json"), 90),
        (include_str!("../data/samples/events/empty-stream-result-string-boolean.json"), 0),
        (include_str!("../data/samples/events/empty-page-more-available.composed.json"), 0),
        (include_str!("../data/samples/events/empty-page-no-more.composed.json"), 0),
    ] {
        let page = adapter().read(&response(body, "")).unwrap();
        page.batch.check().unwrap();
        assert_eq!(page.batch.len(), rows);
        for row in 0..rows {
            assert_ne!(page.batch.text("kind", row), "other");
            assert!(page.batch.integer("time", row).is_some());
        }
    }
    for body in [
        include_str!("../data/samples/events/event-sheet-create-2019.json"),
        include_str!("../data/samples/events/get-event-required.json"),
    ] {
        let raw = adapter().split(body.as_bytes()).unwrap();
        assert_eq!(adapter().normalize("", body.as_bytes(), &raw).unwrap().len(), 1);
    }
}

/// Normalizing again, with the same settings or others, never depends on the page around a record.
#[test]
fn records_can_be_normalized_alone() {
    let body = include_bytes!("../data/samples/events/spec-examples.json");
    let response = Response { body: body.to_vec(), ..response(Vec::new(), "") };
    let page = adapter().read(&response).unwrap();
    for (row, span) in page.raw.chunks(2).enumerate() {
        let alone = adapter().normalize("", body, span).unwrap();
        assert_eq!(Activity::of(&alone, 0), Activity::of(&page.batch, row));
    }
    for raw in [&[0][..], &[5, 2], &[0, u32::MAX], &[1, 3]] {
        assert_eq!(adapter().normalize("", body, raw).unwrap_err().class, "malformed", "{raw:?}");
    }
}
