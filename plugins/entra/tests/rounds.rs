//! Users, deleted users, leave dates and members: requests, rows and cursors.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "helpers of tests may panic like the tests themselves"
)]

mod answer;

use answer::{adapter, read, request, response, rows, sample};
use casbah_model::adapter::{Adapter, Next, Page, PlanRequest};
use serde_json::json;

/// The published round, page after page: links are followed with all that they carry.
#[test]
fn a_round_of_changes_goes_from_link_to_link() {
    let mut asked = request("users");
    let first = adapter().plan(&asked).unwrap();
    assert_eq!((first.host.as_str(), first.path.as_str()), ("api", "/v1.0/users/delta"));
    assert!(first.query.iter().all(|(name, _)| name == "$select"), "no page size, no order");
    let mut told = Vec::new();
    for (name, next) in [
        ("user-delta-round1-page1", Next::More),
        ("user-delta-round1-page2", Next::More),
        ("user-delta-round1-last-deltalink", Next::CaughtUp),
        ("user-delta-round2-removed-changed", Next::CaughtUp),
    ] {
        let planned = adapter().plan(&asked).unwrap();
        let page = read(&sample(asked.clone(), name)).unwrap();
        assert_eq!(page.next, next);
        told.push(format!("{} {:?}", planned.path, planned.query));
        told.extend(rows(&page.batch));
        asked.cursor = Some(page.cursor);
    }
    insta::assert_snapshot!(told.join("\n"));
    // A refused link begins anew with everybody.
    asked.recover = true;
    assert_eq!(adapter().plan(&asked).unwrap(), first);
}

/// What a user object says, and what it leaves open.
#[test]
fn absent_and_null_are_unknown() {
    let id = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";
    let users = json!({
        "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users",
        "@odata.deltaLink": "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=x",
        "value": [
            {"id": "1", "accountEnabled": true, "userPrincipalName": "Ana@Contoso.example",
             "mail": "Ana.Silva@contoso.example", "displayName": "Ana Silva", "userType": "Member",
             "otherMails": ["ana@home.example", "ANA@contoso.example", "a,b@x.example"],
             "proxyAddresses": ["SMTP:Ana.Silva@contoso.example", "smtp:as@contoso.example", "x500:/o=x", "sip:ana@contoso.example"],
             "createdDateTime": "2020-01-01T00:00:00Z"},
            {"id": "2", "accountEnabled": false, "userPrincipalName": "ben@contoso.example", "mail": null},
            {"id": "3", "accountEnabled": null, "userPrincipalName": "no-address"},
            {"id": "4"},
            {"id": "5", "userPrincipalName": "carla_m_fabrikam.example#EXT#@contoso.example", "userType": "Guest", "accountEnabled": true},
            {"id": "6", "userPrincipalName": "dora_fabrikam.example#ext#@contoso.example", "userType": null},
            {"id": id, "@removed": {"reason": "deleted"}},
            {"id": "8", "@removed": {"reason": "changed"}, "deletedDateTime": "2026-01-01T00:00:00Z"},
            {"displayName": "without an id"},
            null,
        ]
    })
    .to_string();
    let whole = read(&response(request("users"), users.as_str())).unwrap();
    let mut asked = request("users");
    asked.settings = r#"{"tenant":"contoso.example","guests":"leave-out"}"#.to_owned();
    let without = read(&response(asked.clone(), users.as_str())).unwrap();
    let named = |page: &Page| rows(&page.batch).iter().filter(|row| row.contains(", ")).count();
    assert_eq!(named(&whole) - named(&without), 2, "both guests");
    assert_eq!(without.batch.len(), whole.batch.len(), "a whole round names them, by id alone");
    insta::assert_snapshot!(rows(&whole.batch).join("\n"));

    // A later object that names only what changed takes no address away.
    asked.cursor = Some(whole.cursor);
    let change = r#"{"value":[{"id":"1","userPrincipalName":"ana2@contoso.example"},{"id":"1","accountEnabled":false}],
        "@odata.deltaLink":"https://graph.microsoft.com/v1.0/users/delta?$deltatoken=y"}"#;
    let page = read(&response(asked, change)).unwrap();
    assert_eq!(rows(&page.batch), ["id: 1, type: user", "id: 1, status: disabled, type: user"]);
}

#[test]
fn deleted_users_say_since_when() {
    let body = json!({"value": [
        {"id": "87d349ed-44d7-43e1-9a83-5f2406dee5bd",
         "userPrincipalName": "87d349ed44d743e19a835f2406dee5bdAna@contoso.example",
         "mail": "ana.silva@contoso.example", "deletedDateTime": "2026-01-10T08:00:00Z"},
        {"id": "2", "userPrincipalName": "ben@contoso.example", "deletedDateTime": null}],
        "@odata.nextLink": "https://graph.microsoft.com/v1.0/directory/deletedItems/microsoft.graph.user?$skiptoken=x"});
    let asked = request("deleted-users");
    let planned = adapter().plan(&asked).unwrap();
    assert_eq!(planned.path, "/v1.0/directory/deletedItems/microsoft.graph.user");
    let page = read(&response(asked, body.to_string())).unwrap();
    assert_eq!(page.next, Next::More);
    insta::assert_snapshot!(rows(&page.batch).join("\n"), @r"
    aliases: ana@contoso.example, email: ana.silva@contoso.example, id: 87d349ed-44d7-43e1-9a83-5f2406dee5bd, since: 1768032000000, status: deleted, type: user
    email: ben@contoso.example, id: 2, status: deleted, type: user
    ");
}

/// A guest who is left out gets no account by a leave date or by what has changed, either.
#[test]
fn guests_who_are_left_out_come_in_by_no_other_stream() {
    let guest = json!({"id": "1", "userPrincipalName": "bo_other.example#EXT#@contoso.example",
        "employeeLeaveDateTime": "2026-01-31T23:00:00Z", "deletedDateTime": "2026-01-31T23:00:00Z"});
    let body = json!({"value": [guest], "@odata.deltaLink": "https://graph.microsoft.com/v1.0/users/delta?$deltatoken=y"});
    let first = read(&response(request("users"), body.to_string())).unwrap();
    for (stream, cursor) in
        [("leavers", None), ("deleted-users", None), ("users", Some(first.cursor))]
    {
        let mut asked = request(stream);
        asked.cursor = cursor;
        let of = |asked: &PlanRequest| {
            read(&response(asked.clone(), body.to_string())).unwrap().batch.len()
        };
        assert_eq!(of(&asked), 1, "{stream}");
        asked.settings = r#"{"tenant":"contoso.example","guests":"leave-out"}"#.to_owned();
        assert_eq!(of(&asked), 0, "{stream}");
        asked.cursor = None;
        let query = adapter().plan(&asked).unwrap().query;
        let selected = query.iter().find(|(name, _)| name == "$select").unwrap();
        assert!(selected.1.contains("userType"), "{stream}: {selected:?}");
    }
}

/// Empty may mean that the right to read it is missing: it says nothing.
#[test]
fn empty_leave_dates_say_nothing() {
    let body = json!({"value": [
        {"id": "1", "employeeLeaveDateTime": "2026-01-31T23:00:00Z"},
        {"id": "2", "employeeLeaveDateTime": null},
        {"id": "3"},
        {"id": "4", "employeeLeaveDateTime": "0001-01-01T00:00:00Z"}]});
    let mut asked = request("leavers");
    let page = read(&response(asked.clone(), body.to_string())).unwrap();
    assert_eq!(page.next, Next::CaughtUp);
    assert_eq!(rows(&page.batch), ["id: 1, leaves: 1769900400000"]);
    asked.settings = r#"{"tenant":"contoso.example","leave-dates":false}"#.to_owned();
    let query = adapter().plan(&asked).unwrap().query;
    assert!(query.iter().all(|(_, value)| !value.contains("Leave")), "{query:?}");
    assert_eq!(read(&response(asked, body.to_string())).unwrap().batch.len(), 0);
}

/// Group by group, each found by name or id, each page by page.
#[test]
fn members_of_the_chosen_groups() {
    let (one, two) =
        ("0d5a2b6f-7f1c-4c3a-9d7a-2f2b6c1e9a10", "1d5a2b6f-7f1c-4c3a-9d7a-2f2b6c1e9a11");
    let mut asked = request("members");
    asked.settings = json!({"tenant": "contoso.example", "groups": ["It's IT", two]}).to_string();
    let link = format!(
        "https://graph.microsoft.com/v1.0/groups/{one}/transitiveMembers/microsoft.graph.user?$skiptoken=s"
    );
    let answers = [
        json!({"value": [{"id": one, "displayName": "It's IT"}]}),
        json!({"value": [{"id": "1"}, {"id": "2", "@odata.type": "#microsoft.graph.user"}], "@odata.nextLink": link}),
        json!({"value": [{"id": "3"}, {"id": "d", "@odata.type": "#microsoft.graph.device"}, {}]}),
        json!({"id": two, "displayName": "Sales, EMEA"}),
        json!({"value": [{"id": "1"}]}),
    ];
    let mut told = Vec::new();
    for (at, body) in answers.iter().enumerate() {
        let planned = adapter().plan(&asked).unwrap();
        told.push(format!("{} {:?}", planned.path, planned.query));
        let page = read(&response(asked.clone(), body.to_string())).unwrap();
        assert_eq!(page.next == Next::CaughtUp, at == 4);
        told.extend(rows(&page.batch));
        asked.cursor = Some(page.cursor);
    }
    insta::assert_snapshot!(told.join("\n"));
    // The next round begins with the first group.
    assert_eq!(adapter().plan(&asked).unwrap().path, "/v1.0/groups");
}

#[test]
fn groups_that_are_not_there_are_told() {
    let mut asked = request("members");
    asked.settings = r#"{"tenant":"contoso.example","groups":["Sales"]}"#.to_owned();
    let failures = [
        (200, r#"{"value":[]}"#),
        (200, r#"{"value":[{"id":"0d5a2b6f-7f1c-4c3a-9d7a-2f2b6c1e9a10"},{"id":"x"}]}"#),
        (404, r#"{"error":{"code":"Request_ResourceNotFound"}}"#),
        (200, r#"{"value":[{"id":"../users"}]}"#),
    ]
    .map(|(status, body)| {
        let mut response = response(asked.clone(), body);
        response.status = status;
        let failure = read(&response).unwrap_err();
        format!("{}: {failure}", failure.class)
    });
    insta::assert_snapshot!(failures.join("\n"));
    // Nobody chose a group: one cheap request, and nothing in it.
    let asked = request("members");
    assert_eq!(adapter().plan(&asked).unwrap().path, "/v1.0/users");
    let page = read(&response(asked, r#"{"value":[{"id":"1"}]}"#)).unwrap();
    assert_eq!((page.batch.len(), page.next), (0, Next::CaughtUp));
}

/// Whatever stands in a cursor, the path stays one of the interface's.
#[test]
fn a_tampered_cursor_leads_nowhere() {
    for link in [
        "https://evil.example/v1.0/x",
        "//evil.example/v1.0/x",
        "/admin",
        "/v1.0/../x",
        "/v1.0/a b",
        "/v1.0/x#y",
    ] {
        for stream in ["users", "deleted-users", "leavers", "sign-ins"] {
            let mut asked = request(stream);
            asked.cursor = Some(json!({"link": link, "at": 1, "until": 2}).to_string());
            assert_eq!(adapter().plan(&asked).unwrap_err().code, "link", "{stream} {link}");
        }
    }
    let mut asked = request("members");
    asked.settings = r#"{"tenant":"contoso.example","groups":["Sales"]}"#.to_owned();
    asked.cursor = Some(r#"{"group":0,"found":["../../x","n"]}"#.to_owned());
    assert!(adapter().plan(&asked).is_err());
}
