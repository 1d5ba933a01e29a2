//! Holds the adapter to the vendor's catalogue of event types: every type is known, and nothing that
//! an event says is lost.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

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
            ("integer(int64)", _) => {
                json!(9_007_199_254_740_993_u64 + (number * 100 + place) as u64)
            }
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
        // The example of a declined invitation has the first reason listed, which is a failure.
        let result = if name == "USER.DECLINE_INVITE" { "failure" } else { "success" };
        assert_eq!(activity.text("result"), result, "{name}");
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
    insta::assert_snapshot!(lines.join("\n"), @r#"
    admin: ACCOUNT.UPDATE_MAIN_CONTACT*
    copy: DASHBOARD.SAVE_AS_NEW FOLDER.SAVE_AS_NEW REPORT.SAVE_AS_NEW SHEET.COPY_ROW SHEET.SAVE_AS_NEW SHEET.SAVE_AS_TEMPLATE WORKSPACE.SAVE_AS_NEW
    create: DASHBOARD.CREATE DISCUSSION.CREATE FOLDER.CREATE FORM.CREATE GROUP.CREATE* REPORT.CREATE SHEET.CREATE WORKSPACE.CREATE
    delete: ATTACHMENT.DELETE DASHBOARD.DELETE DISCUSSION.DELETE FOLDER.DELETE FORM.DELETE GROUP.DELETE* REPORT.DELETE SHEET.DELETE WORKSPACE.DELETE
    download: ATTACHMENT.LOAD
    edit: ATTACHMENT.UPDATE DASHBOARD.UPDATE DISCUSSION.UPDATE FORM.ACTIVATE FORM.DEACTIVATE FORM.UPDATE REPORT.UPDATE SHEET.CREATE_CELL_LINK SHEET.UPDATE WORKSPACE.DELETE_RECURRING_BACKUP WORKSPACE.UPDATE_RECURRING_BACKUP
    export: FOLDER.EXPORT FOLDER.REQUEST_BACKUP REPORT.EXPORT SHEET.EXPORT SHEET.REQUEST_BACKUP WORKSPACE.CREATE_RECURRING_BACKUP WORKSPACE.EXPORT WORKSPACE.REQUEST_BACKUP
    group-change: GROUP.ADD_MEMBER* GROUP.REMOVE_MEMBER* GROUP.UPDATE* USER.REMOVE_FROM_GROUPS*
    move: DASHBOARD.MOVE REPORT.MOVE SHEET.MOVE SHEET.MOVE_ROW
    ownership: DASHBOARD.TRANSFER_OWNERSHIP GROUP.TRANSFER_OWNERSHIP* REPORT.TRANSFER_OWNERSHIP SHEET.TRANSFER_OWNERSHIP USER.TRANSFER_OWNED_GROUPS* USER.TRANSFER_OWNED_ITEMS* WORKSPACE.TRANSFER_OWNERSHIP
    password: USER.SEND_PASSWORD_RESET*
    policy: AUTHENTICATION.ACTIVATE_DOMAIN_STRICT* POLICY_SAFE_SHARING.ADD_REQUEST_FORM*
    publish: DASHBOARD.ADD_PUBLISH
    purge: DASHBOARD.PURGE REPORT.PURGE SHEET.PURGE
    rename: ACCOUNT.RENAME* DASHBOARD.RENAME FOLDER.RENAME GROUP.RENAME* REPORT.RENAME SHEET.RENAME WORKSPACE.RENAME
    report: ACCOUNT.DOWNLOAD_LOGIN_HISTORY* ACCOUNT.DOWNLOAD_PUBLISHED_ITEMS_REPORT* ACCOUNT.DOWNLOAD_SHEET_ACCESS_REPORT* ACCOUNT.DOWNLOAD_USER_LIST* ACCOUNT.LIST_SHEETS* GROUP.DOWNLOAD_SHEET_ACCESS_REPORT* USER.DOWNLOAD_SHEET_ACCESS_REPORT*
    request: UPDATE_REQUEST.CREATE
    restore: DASHBOARD.RESTORE REPORT.RESTORE SHEET.RESTORE
    send: ATTACHMENT.SEND DISCUSSION.SEND DISCUSSION.SEND_COMMENT REPORT.SEND_AS_ATTACHMENT SHEET.SEND_AS_ATTACHMENT SHEET.SEND_ROW
    share: DASHBOARD.ADD_SHARE DASHBOARD.ADD_SHARE_MEMBER DASHBOARD.ADD_WORKSPACE_SHARE REPORT.ADD_SHARE REPORT.ADD_SHARE_MEMBER REPORT.ADD_WORKSPACE_SHARE SHEET.ADD_SHARE SHEET.ADD_SHARE_MEMBER SHEET.ADD_WORKSPACE_SHARE WORKSPACE.ADD_SHARE WORKSPACE.ADD_SHARE_MEMBER
    token: ACCESS_TOKEN.AUTHORIZE ACCESS_TOKEN.REFRESH ACCESS_TOKEN.REVOKE
    unpublish: DASHBOARD.REMOVE_PUBLISH
    unshare: DASHBOARD.REMOVE_SHARE DASHBOARD.REMOVE_SHARE_MEMBER DASHBOARD.REMOVE_WORKSPACE_SHARE REPORT.REMOVE_SHARE REPORT.REMOVE_SHARE_MEMBER REPORT.REMOVE_WORKSPACE_SHARE SHEET.REMOVE_SHARE SHEET.REMOVE_SHARE_MEMBER SHEET.REMOVE_WORKSPACE_SHARE USER.REMOVE_SHARES* WORKSPACE.REMOVE_SHARE WORKSPACE.REMOVE_SHARE_MEMBER
    upload: ATTACHMENT.CREATE
    user-add: ACCOUNT.IMPORT_USERS* USER.ACCEPT_INVITE USER.ADD_TO_ACCOUNT* USER.SEND_INVITE*
    user-change: ACCOUNT.BULK_UPDATE* USER.DECLINE_INVITE USER.UPDATE_USER*
    user-remove: USER.REMOVE_FROM_ACCOUNT*
    view: DASHBOARD.LOAD REPORT.LOAD SHEET.LOAD
    "#);
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
    insta::assert_snapshot!(shown.join("\n"), @r#"
    id=e0
    time=1795168800000
    source=WEB_APP
    kind=token
    action=ACCESS_TOKEN.REVOKE
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=token
    parent=9007199254740996
    parent.kind=user
      object: token 9100000000000001
      parent: user 9007199254740996
      fields.tokenDisplayValue: tokenDisplayValue 0

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=publish
    action=DASHBOARD.ADD_PUBLISH
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=dashboard
    access=ALL
      object: dashboard 9100000000000001
      fields.accessibleBy: ALL
      fields.publishFormat: FULL
      fields.publishType: read_only

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=send
    action=DISCUSSION.SEND_COMMENT
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=discussion
    parent=9007199254740999
    parent.kind=sheet
    recipient=bo.0@elsewhere.org
    recipient.kind=address
    recipient.domain=elsewhere.org
      object: discussion 9100000000000001
      recipient: address  Bo.0@Elsewhere.org
      recipient: group 9007199254740996
      parent: sheet 9007199254740999
      parent: row 9007199254740997
      parent: workspace 9007199254741000
      fields.commentId: 9007199254740998
      fields.includeAttachments: true

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=create
    action=FOLDER.CREATE
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=folder
    object.name=folderName 0
      object: folder 9100000000000001 folderName 0
      source: folder 9007199254740996

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=group-change
    action=GROUP.ADD_MEMBER
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=1
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=group
    recipient=9007199254740995
    recipient.id=9007199254740995
    recipient.kind=user
      object: group 9100000000000001
      member: user 9007199254740995

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=share
    action=SHEET.ADD_SHARE_MEMBER
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=sheet
    parent=9007199254740998
    parent.kind=workspace
    recipient=9007199254740996
    recipient.id=9007199254740996
    recipient.kind=user
    access=VIEWER
      object: sheet 9100000000000001
      recipient: group 9007199254740997
      recipient: user 9007199254740996
      parent: workspace 9007199254740998

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=copy
    action=SHEET.COPY_ROW
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=sheet
    amount=9007199254740999
      object: sheet 9100000000000001
      destination: sheet 9007199254740998
      source: sheet 9007199254740997
      fields.includeAttachments: true
      fields.includeDiscussions: true

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=move
    action=SHEET.MOVE
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=sheet
    parent=9007199254740995
    parent.kind=folder
      object: sheet 9100000000000001
      destination: folder 9007199254740995 folderName 0
      parent: folder 9007199254740996
      destination: workspace 9007199254740998

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=send
    action=SHEET.SEND_AS_ATTACHMENT
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=sheet
    recipient=bo.0@elsewhere.org
    recipient.kind=address
    recipient.domain=elsewhere.org
    format=excel
      object: sheet 9100000000000001
      recipient: address  Bo.0@Elsewhere.org
      recipient: group 9007199254740996

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=ownership
    action=SHEET.TRANSFER_OWNERSHIP
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=0
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=sheet
    recipient=9007199254740997
    recipient.id=9007199254740997
    recipient.kind=user
    access=OWNER
      object: sheet 9100000000000001
      recipient: user 9007199254740997
      former: user 9007199254740995
      fields.oldAccessLevel: ADMIN

    id=e0
    time=1795168800000
    source=WEB_APP
    kind=user-add
    action=USER.SEND_INVITE
    actor=ana.0@example.com
    actor.id=9200000000000001
    actor.email=Ana.0@Example.com
    actor.type=user
    impersonated=0
    anonymous=0
    administrative=1
    ip=192.0.2.0
    client=web
    token=nightly
    result=success
    object=9100000000000001
    object.kind=user
    access=userTypes 0
      object: user 9100000000000001
      fields.userTypes: userTypes 0
    "#);
}
