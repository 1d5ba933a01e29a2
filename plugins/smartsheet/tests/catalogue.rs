//! Holds the adapter to the vendor's catalogue of event types: every type is known, and nothing that
//! an event says is lost.

mod event;

use std::collections::BTreeMap;

use casbah_model::vocabulary;
use event::{Activity, activities, normalized};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventType {
    object_type: String,
    action: String,
    additional_details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    name: String,
    #[serde(rename = "type")]
    value_type: String,
    #[serde(default, rename = "enum")]
    closed: Vec<String>,
}

fn catalogue() -> Vec<EventType> {
    serde_json::from_str(include_str!("../data/event-types.json")).unwrap()
}

/// An event of a type with every detail it can have, each with a value of its own.
fn example(number: usize, event_type: &EventType) -> Value {
    let mut details = serde_json::Map::new();
    for (place, detail) in event_type.additional_details.iter().enumerate() {
        let value = match (detail.value_type.as_str(), detail.closed.first()) {
            (_, Some(closed)) => json!(closed),
            ("boolean", _) => json!(true),
            ("integer(int64)", _) => json!(9_007_199_254_740_993_u64 + (number * 100 + place) as u64),
            _ if detail.name == "emailAddress" => json!(format!("Ana.{number}@Example.com")),
            _ if detail.name == "recipientEmail" => json!(format!("Bo.{number}@Elsewhere.org")),
            _ if detail.name == "sourceIpAddress" => json!(format!("192.0.2.{}", number % 250)),
            _ => json!(format!("{} {number}", detail.name)),
        };
        details.insert(detail.name.clone(), value);
    }
    json!({
        "eventId": format!("e{number}"),
        "objectType": event_type.object_type,
        "action": event_type.action,
        "objectId": 9_100_000_000_000_001_u64 + number as u64,
        "objectIdStr": (9_100_000_000_000_001_u64 + number as u64).to_string(),
        "eventTimestamp": "2026-11-20T10:00:00Z",
        "userId": 9_200_000_000_000_001_u64,
        "requestUserId": 9_200_000_000_000_001_u64,
        "accessTokenName": "nightly",
        "source": "WEB_APP",
        "additionalDetails": details,
    })
}

/// Every type of the catalogue has a kind and an object kind from the published lists.
#[test]
fn every_type_is_mapped() {
    let types = catalogue();
    assert_eq!(types.len(), 130);
    let events: Vec<Value> = types.iter().enumerate().map(|(n, t)| example(n, t)).collect();
    for (event_type, activity) in types.iter().zip(activities(&events, "")) {
        let name = format!("{}.{}", event_type.object_type, event_type.action);
        let kind = activity.text("kind");
        assert_eq!(activity.text("action"), name);
        assert!(vocabulary::KINDS.iter().any(|word| word.name == kind), "{name} is {kind:?}");
        assert_ne!(kind, "other", "{name}");
        let object_kind = activity.text("object.kind");
        assert!(
            vocabulary::OBJECT_KINDS.iter().any(|word| word.name == object_kind),
            "{name} is about {object_kind:?}"
        );
        assert!(activity.integer("administrative").is_some(), "{name}");
        assert_eq!(activity.text("result"), "success", "{name}");
    }
}

/// Every value that any detail of any type can have stands somewhere in the activity.
#[test]
fn every_detail_is_kept() {
    let types = catalogue();
    let events: Vec<Value> = types.iter().enumerate().map(|(n, t)| example(n, t)).collect();
    for (event, activity) in events.iter().zip(activities(&events, "")) {
        for (name, value) in event["additionalDetails"].as_object().unwrap() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert!(
                activity.holds(&text),
                "`{name}` = `{text}` of {} is lost in {activity:#?}",
                event["action"]
            );
        }
    }
}

/// Every column, nested column, role and object kind that comes out is in the published vocabulary,
/// with the type that is published.
#[test]
fn nothing_unpublished_comes_out() {
    let types = catalogue();
    let events: Vec<Value> = types.iter().enumerate().map(|(n, t)| example(n, t)).collect();
    let batch = normalized(&events, "");
    for column in &batch.columns {
        let entry = vocabulary::column(&column.name)
            .unwrap_or_else(|| panic!("`{}` is not published", column.name));
        let text = entry.column_type == vocabulary::ColumnType::Text;
        assert_eq!(column.values.type_name() == "text", text, "{}", column.name);
        assert_ne!(entry.origin, vocabulary::Origin::Host, "{}", column.name);
    }
    let roles = "object, parent, recipient, source, destination, former or member.";
    for nested in &batch.nested {
        let entry = vocabulary::NESTED.iter().find(|entry| entry.name == nested.name).unwrap();
        for column in &nested.columns {
            assert!(entry.columns.iter().any(|known| known.name == column.name), "{}", column.name);
        }
    }
    for activity in activities(&events, "") {
        for object in &activity.objects {
            assert!(roles.split([',', ' ', '.']).any(|role| role == object.role), "{object:?}");
            assert!(
                vocabulary::OBJECT_KINDS.iter().any(|word| word.name == object.kind),
                "{object:?}"
            );
        }
    }
}

/// The meaning of every type in one table, so that a change of it is seen.
#[test]
fn the_mapping_as_a_table() {
    let types = catalogue();
    let events: Vec<Value> = types.iter().enumerate().map(|(n, t)| example(n, t)).collect();
    let mut kinds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for activity in activities(&events, "") {
        let mark = if activity.integer("administrative") == Some(1) { "*" } else { "" };
        kinds
            .entry(activity.text("kind").to_owned())
            .or_default()
            .push(format!("{}{mark}", activity.text("action")));
    }
    let lines: Vec<String> =
        kinds.iter().map(|(kind, actions)| format!("{kind}: {}", actions.join(" "))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"");
}

/// What the details of the types that policies care for most become.
#[test]
fn details_find_their_places() {
    let shown: Vec<String> = catalogue()
        .iter()
        .enumerate()
        .filter(|(_, event_type)| {
            [
                "SHEET.ADD_SHARE_MEMBER",
                "SHEET.MOVE",
                "SHEET.SEND_AS_ATTACHMENT",
                "SHEET.TRANSFER_OWNERSHIP",
                "SHEET.COPY_ROW",
                "DASHBOARD.ADD_PUBLISH",
                "DISCUSSION.SEND_COMMENT",
                "GROUP.ADD_MEMBER",
                "ACCESS_TOKEN.REVOKE",
                "FOLDER.CREATE",
                "USER.SEND_INVITE",
            ]
            .contains(&format!("{}.{}", event_type.object_type, event_type.action).as_str())
        })
        .map(|(_, event_type)| {
            let event = example(0, event_type);
            activities(&[event], "").iter().map(Activity::summary).collect()
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @"");
}
