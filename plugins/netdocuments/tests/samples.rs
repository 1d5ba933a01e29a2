//! What the composed samples become.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod activity;

use activity::{SETTINGS, adapter, lines, normalized, response};
use casbah_model::adapter::Adapter;
use casbah_plugin::{Next, Row};

const CONSOLIDATED: &str = include_str!("../data/samples/consolidated.json");
const ADMIN: &str = include_str!("../data/samples/admin.json");

/// One of each log, with all that is kept of it.
#[test]
fn columns_objects_and_fields() {
    let open = normalized(CONSOLIDATED, SETTINGS);
    let admin = normalized(ADMIN, SETTINGS);
    let said = [lines(&open, 0), lines(&open, 6), lines(&admin, 2)].map(|lines| lines.join("\n"));
    insta::assert_snapshot!(said.join("\n\n"));
}

/// The same log as JSON and as XML is the same activities under the same ids.
#[test]
fn json_and_xml_agree() {
    for (json, xml) in [
        (CONSOLIDATED, include_str!("../data/samples/consolidated.xml")),
        (ADMIN, include_str!("../data/samples/admin.xml")),
    ] {
        let (json, xml) = (normalized(json, SETTINGS), normalized(xml, SETTINGS));
        assert_eq!(json.len(), xml.len());
        for row in 0..json.len() {
            assert_eq!(lines(&json, row), lines(&xml, row));
        }
    }
}

/// Wrapped in any way, bare, or a line each: the same activities.
#[test]
fn every_wrapping_is_read() {
    let expected = normalized(CONSOLIDATED, SETTINGS);
    let array = CONSOLIDATED.trim_start_matches('\u{feff}');
    let values: Vec<serde_json::Value> = serde_json::from_str(array).unwrap();
    let bare: Vec<_> = values.iter().map(|value| value["activity"].clone()).collect();
    let line_each = |values: &[serde_json::Value]| {
        values.iter().map(|value| format!("{value}\n")).collect::<String>()
    };
    for body in [
        serde_json::to_string_pretty(&values).unwrap(),
        serde_json::to_string(&bare).unwrap(),
        format!("{{\"activities\": {array}}}"),
        format!("\u{feff}{{\"log\": {{\"activity\": {}}}}}", serde_json::to_string(&bare).unwrap()),
        line_each(&values),
        line_each(&bare),
    ] {
        let found = normalized(&body, SETTINGS);
        assert_eq!(found.len(), expected.len());
        for row in 0..expected.len() {
            assert_eq!(lines(&found, row), lines(&expected, row));
        }
    }
    let other = CONSOLIDATED.replace("\"desc\"", "\"description\"");
    assert_eq!(normalized(&other, SETTINGS), expected);
}

#[test]
fn inside_and_outside_are_told() {
    let batch = normalized(CONSOLIDATED, SETTINGS);
    let outside: Vec<_> = Row::all(&batch)
        .filter(|row| row.flag("actor.external") == Some(true))
        .map(|row| row.text("actor"))
        .collect();
    assert_eq!(outside, ["guest@client.test"]);
}

/// Confidential values are nowhere in an activity when they are to be hashed or dropped.
#[test]
fn names_and_profiles_can_be_hashed_or_dropped() {
    let body = r#"[{"date":"2026-01-15T08:00:00","name":"rename","desc":"was Secret","user":{"id":"u"},
        "storageObject":{"docId":"1","name":"Secret","collabSpace":"Secret","size":"5","Client":"Secret",
        "Deep":{"er":"Secret"},"cabinet":{"id":"NG-1","name":"Files"}},
        "novel":"Secret","novelty":{"deep":["Secret"]}}]"#;
    let with = |treatment: &str| {
        let settings = format!(
            r#"{{"repository":"CA-1","names":"{treatment}","profile":"{treatment}","hash-key":"k"}}"#
        );
        lines(&normalized(body, &settings), 0).join("\n")
    };
    assert_eq!(with("keep").matches("Secret").count(), 8);
    for treatment in ["hash", "drop"] {
        let said = with(treatment);
        assert!(!said.contains("Secret"), "{said}");
        assert!(said.contains("Files") && said.contains("storageObject.size: 5"), "{said}");
        assert_eq!(said.contains("profile.Deep.er: hash-"), treatment == "hash", "{said}");
    }
    assert_ne!(with("hash"), with("hash").replace("hash-", "x"));
    // What nobody knows may be either, so one of the two is enough.
    for (names, profile) in [("hash", "keep"), ("keep", "drop")] {
        let settings =
            format!(r#"{{"repository":"CA-1","names":"{names}","profile":"{profile}"}}"#);
        let said = lines(&normalized(body, &settings), 0).join("\n");
        for line in said.lines().filter(|line| line.contains("novel")) {
            assert!(names == "hash" && line.contains("hash-"), "{line}");
        }
    }
    let unkeyed = normalized(body, r#"{"repository":"CA-1","names":"hash"}"#);
    assert!(!with("hash").contains(Row::new(&unkeyed, 0).text("object.name")));
}

/// What the host keeps instead of the raw record says no more than the activity; without such
/// settings it keeps the raw record itself.
#[test]
fn raw_records_are_written_anew_where_something_is_concealed() {
    let body = r#"[{"activity":{"date":"2026-01-15T08:00:00","name":"rename","desc":"was Secret",
        "user":{"id":"u"},"storageObject":{"docId":"1","name":"Secret","Client":"Secret"}}},
        {"activity":{"date":"2026-01-15T08:00:00","name":"open","storageObject":{"Client":"Secret"}}}]"#;
    let page = |settings: &str| {
        let mut response = response("activities", body);
        response.request.settings = settings.to_owned();
        adapter().read(&response).unwrap()
    };
    assert!(page(SETTINGS).batch.column("raw").is_none());
    let hashed = page(r#"{"repository":"CA-1","names":"hash","profile":"drop","hash-key":"k"}"#);
    let raw: Vec<_> = Row::all(&hashed.batch).map(|row| row.text("raw").to_owned()).collect();
    insta::assert_snapshot!(raw.join("\n"), @r#"
    {"activity":{"date":"2026-01-15T08:00:00","name":"rename","desc":"hash-ec15e0a49d3d499fc303cff9b8d8c377","user.id":"u","storageObject.docId":"1","storageObject.name":"hash-9683340695f01b4ad8451e0b2a76ddff"}}
    {"activity":{"date":"2026-01-15T08:00:00","name":"open","storageObject.dropped":"true"}}
    "#);
}

/// The id of an activity must not tell what is concealed: it is made of what is left.
#[test]
fn ids_tell_nothing_of_what_is_concealed() {
    let of = |client: &str, settings: &str| {
        let body = format!(
            r#"[{{"date":"2026-01-15T08:00:00","name":"open","storageObject":{{"docId":"1","Client":"{client}"}}}}]"#
        );
        Row::new(&normalized(&body, settings), 0).text("id").to_owned()
    };
    let settings = |treatment: &str, key: &str| {
        format!(r#"{{"repository":"CA-1","profile":"{treatment}","hash-key":"{key}"}}"#)
    };
    assert_ne!(of("1", SETTINGS), of("2", SETTINGS));
    assert_eq!(of("1", &settings("drop", "")), of("2", &settings("drop", "")));
    assert_ne!(of("1", &settings("hash", "a")), of("2", &settings("hash", "a")));
    assert_ne!(of("1", &settings("hash", "a")), of("1", &settings("hash", "b")));
}

/// Rows that say exactly the same are kept and numbered.
#[test]
fn true_repeats_are_kept_and_counted() {
    let one = r#"{"activity":{"date":"2026-01-15T08:00:00","name":"download","user":{"id":"u"},"storageObject":{"docId":"1"}}}"#;
    let batch = normalized(&format!("[{one},{one},{one}]"), SETTINGS);
    let rows: Vec<_> = Row::all(&batch).collect();
    let id = rows[0].text("id");
    assert_eq!(rows[1].text("id"), format!("{id}-1"));
    assert_eq!(rows[2].text("id"), format!("{id}-2"));
    assert_eq!(
        rows.iter().map(|row| row.field("repeat").unwrap_or("-")).collect::<Vec<_>>(),
        ["-", "1", "2"]
    );
}

/// A host that is no address is kept as a field.
#[test]
fn only_addresses_are_addresses() {
    for (host, ip, field) in [
        ("203.0.113.9", "203.0.113.9", None),
        ("2001:DB8::1", "2001:db8::1", Some("2001:DB8::1")),
        ("[2001:db8::1]", "2001:db8::1", Some("[2001:db8::1]")),
        ("203.0.113.9:51000", "203.0.113.9", Some("203.0.113.9:51000")),
        // The same address as other apps write it.
        ("::ffff:203.0.113.9", "203.0.113.9", Some("::ffff:203.0.113.9")),
        ("app-server-3", "", Some("app-server-3")),
    ] {
        let batch = normalized(&format!(r#"[{{"name":"open","host":"{host}"}}]"#), SETTINGS);
        let row = Row::new(&batch, 0);
        assert_eq!((row.text("ip"), row.field("host")), (ip, field), "{host}");
    }
}

#[test]
fn users_become_accounts() {
    let body = "\u{feff}[{\"id\":\"VAULT-1\",\"displayName\":\"Jane\",\"email\":\"j@x.test\",\
        \"external\":false,\"registered\":true,\"lastLogin\":\"/Date(1768467600000)/\"},\
        {\"id\":\"VAULT-2\",\"external\":\"true\",\"registered\":false,\"lastLogin\":\"2026-01-15T09:00:00\"},\
        {\"email\":\"nobody@x.test\"}]";
    let page = adapter().read(&response("accounts", body)).unwrap();
    page.batch.check().unwrap();
    assert_eq!(page.next, Next::CaughtUp);
    assert_eq!(page.raw.len(), 4);
    let first = &body[page.raw[0] as usize..page.raw[1] as usize];
    assert!(first.starts_with("{\"id\":\"VAULT-1\"") && first.ends_with('}'), "{first}");
    assert_eq!(
        lines(&page.batch, 0),
        [
            "email: j@x.test",
            "external: 0",
            "id: VAULT-1",
            "name: Jane",
            "seen: 1768467600000",
            "status: active",
            "type: user"
        ]
    );
    assert_eq!(
        lines(&page.batch, 1),
        ["external: 1", "id: VAULT-2", "seen: 1768467600000", "status: pending", "type: user"]
    );
}

/// Regions and sign-in, as the host is told.
#[test]
fn the_description() {
    let description = adapter().description().clone();
    let regions: Vec<_> = description
        .regions
        .iter()
        .map(|region| {
            format!("{} {} {}", region.name, region.hosts["api"], region.hosts["sign-in"])
        })
        .collect();
    insta::assert_snapshot!(format!(
        "{}\n{}",
        regions.join("\n"),
        serde_json::to_string_pretty(&description.oauth).unwrap()
    ));
    assert_eq!(description.retention_days, 90);
}
