use super::*;
use crate::testing::{Fault, Rig, ToyAdapter};
use insta::assert_snapshot;
use serde_json::json;

fn personal(rig: &Rig, token: &str) -> Grant {
    rig.toy.world().access.insert(token.to_owned());
    Grant::personal(&token.into(), rig.clock.now()).unwrap()
}

fn new(rig: &Rig) -> NewConnection {
    NewConnection { hosts: rig.toy.hosts(), ..NewConnection::new(rig.name.clone()) }
}

#[tokio::test]
async fn a_connection_is_kept_with_what_its_test_found() {
    let rig = Rig::new().await;
    rig.connect().await;
    let report = rig.connections.get(&rig.tenant, &rig.name).unwrap();
    let mut json = serde_json::to_value(&report).unwrap();
    for volatile in ["created", "signed-in"] {
        assert!(json[volatile].as_i64().unwrap() > 1_600_000_000_000);
        json[volatile] = json!(0);
    }
    json["hosts"] = json!({});
    assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "account-email": "Root@Acme.example",
      "account-id": "1",
      "accounts": 0,
      "app": "toy",
      "counters": {
        "activities": 0,
        "bytes": 0,
        "calls": 0,
        "duplicates": 0,
        "failures": 0,
        "late": 0,
        "recoveries": 0,
        "throttles": 0
      },
      "created": 0,
      "enabled": true,
      "hosts": {},
      "method": "o-auth",
      "missing-scopes": [
        "READ_USERS"
      ],
      "name": "acme",
      "organization-id": "o1",
      "organization-name": "Acme",
      "reason": "",
      "region": "us",
      "remedy": "",
      "scopes": [
        "READ_EVENTS"
      ],
      "settings": {},
      "signed-in": 0,
      "state": "ok",
      "streams": {}
    }
    "#);
    assert_eq!(rig.connections.list(&rig.tenant).unwrap(), [report]);
    assert!(rig.connections.list(&"other".parse().unwrap()).unwrap().is_empty());
}

/// Signing in again must not quietly turn a connection into that of another organization.
#[tokio::test]
async fn another_account_is_refused_unless_it_is_meant() {
    let rig = Rig::new().await;
    rig.connect().await;
    let mut messages = Vec::new();
    for me in [
        json!({"id": "1", "email": "root@acme.example", "admin": true, "org": "o2", "orgName": "Evil Corp"}),
        json!({"id": "2", "email": "bo@acme.example", "admin": true, "org": "o1", "orgName": "Acme"}),
    ] {
        rig.toy.world().me = me;
        let grant = personal(&rig, "other-token");
        let refused = rig
            .connections
            .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Refuse)
            .await
            .unwrap_err();
        assert_eq!(refused.kind(), ConnectErrorKind::OtherAccount);
        messages.push(refused.to_string());
        let kept = rig.connections.get(&rig.tenant, &rig.name).unwrap();
        assert_eq!(kept.connection.method, Method::OAuth, "nothing was changed");
    }
    let grant = personal(&rig, "other-token");
    let established = rig
        .connections
        .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Allow)
        .await
        .unwrap();
    assert_eq!(established.report.connection.account_email, "bo@acme.example");
    assert_eq!(established.report.connection.method, Method::PersonalToken);

    let mut adapter = crate::testing::ToyAdapter::new();
    adapter.description.name = "tidy".to_owned();
    let grant = personal(&rig, "other-token");
    let exists = rig
        .connections
        .establish(&rig.tenant, new(&rig), grant, None, Arc::new(adapter), Switch::Allow)
        .await
        .unwrap_err();
    messages.push(exists.to_string());
    assert_snapshot!(messages.join("\n--\n"), @r"
    connection `acme` is that of `Acme`, but the sign-in was for `Evil Corp`
    hint: sign in with the same account, choose another name, or allow the switch
    --
    connection `acme` is that of `Root@Acme.example`, but the sign-in was for `bo@acme.example`
    hint: sign in with the same account, choose another name, or allow the switch
    --
    connection `acme` exists already, for `toy`
    hint: choose another name, or remove that connection first
    ");
}

/// A connection whose test fails is kept, so that the app can be put right.
#[tokio::test]
async fn a_failed_test_is_told_and_the_connection_kept() {
    let rig = Rig::new().await;
    let grant = personal(&rig, "token-of-nobody");
    rig.toy.world().faults.push_back(Fault::status(403));
    let established = rig
        .connections
        .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Refuse)
        .await
        .unwrap();
    assert!(!established.check.passed());
    rig.connections.get(&rig.tenant, &rig.name).unwrap();
}

/// A sign-in whose test fails must not make the next one with any account acceptable.
#[tokio::test]
async fn a_failed_test_forgets_no_account() {
    let rig = Rig::new().await;
    rig.connect().await;
    let sign_in = async || {
        let grant = personal(&rig, "other-token");
        let connections = &rig.connections;
        connections
            .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Refuse)
            .await
    };
    rig.toy.world().faults.push_back(Fault::status(403));
    let established = sign_in().await.unwrap();
    assert!(!established.check.passed());
    let kept = established.report.connection;
    assert_eq!((kept.account_id.as_str(), kept.organization_id.as_str()), ("1", "o1"));
    assert_eq!(kept.account_email, "Root@Acme.example");
    rig.toy.world().me = json!({"id": "9", "email": "eve@evil.example", "org": "o2"});
    assert_eq!(sign_in().await.unwrap_err().kind(), ConnectErrorKind::OtherAccount);
}

/// Of two who change a connection at the same moment, neither undoes what the other did unseen.
#[tokio::test]
async fn a_change_at_the_same_time_is_not_undone() {
    let rig = Rig::new().await;
    rig.connect().await;
    let others = |connected_by: &str| {
        let mut other = rig.connections.get(&rig.tenant, &rig.name).unwrap().connection;
        other.connected_by = connected_by.to_owned();
        let mut commit = Commit::new();
        commit.writes.push(write_connection(&other).unwrap());
        rig.store.meanwhile.lock().unwrap().push_back(commit);
    };
    others("bo");
    let report = rig.connections.set_enabled(&rig.tenant, &rig.name, false).unwrap();
    assert_eq!((report.connection.connected_by.as_str(), report.connection.enabled), ("bo", false));

    others("eve");
    let grant = personal(&rig, "other-token");
    let refused = rig
        .connections
        .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Refuse)
        .await
        .unwrap_err();
    assert_snapshot!(refused, @r"
    connection `acme` was changed by somebody else at the same time
    hint: try again
    ");
    let kept = rig.connections.get(&rig.tenant, &rig.name).unwrap().connection;
    assert_eq!((kept.connected_by.as_str(), kept.method), ("eve", Method::OAuth));

    // Removed under somebody's hands, it does not come back.
    let mut gone = Commit::new();
    gone.writes = everything(rig.store.as_ref(), &rig.tenant, &rig.name).unwrap();
    rig.store.meanwhile.lock().unwrap().push_back(gone);
    let unknown = rig.connections.set_enabled(&rig.tenant, &rig.name, true).unwrap_err();
    assert_eq!(unknown.kind(), ConnectErrorKind::Unknown);
}

#[tokio::test]
async fn removing_ends_the_grant_and_forgets_everything() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.toy.add_items(0..3);
    rig.toy.world().users = vec![json!({"id": "u1"})];
    let (_handle, never) = crate::stop();
    rig.connections.fetch(rig.fetch(), never).await.unwrap();
    let removal = rig
        .connections
        .remove(&rig.tenant, &rig.name, &rig.adapter.description, Unreachable::Forget)
        .await
        .unwrap();
    assert!(matches!(removal, Removal::Revoked), "{removal:?}");
    assert!(rig.toy.world().access.is_empty(), "the app was told");
    for table in casbah_store::Table::ALL {
        let mut left = Vec::new();
        let all = casbah_store::ScanRange::all();
        rig.store
            .scan(&rig.tenant, *table, &all, false, &mut |key, _| {
                left.push(String::from_utf8_lossy(key).into_owned());
                true
            })
            .unwrap();
        assert!(left.is_empty(), "{table:?}: {left:?}");
    }
    assert_eq!(rig.logged().len(), 3, "the log is retention's");
}

#[tokio::test]
async fn a_connection_is_removed_even_if_the_app_can_not_be_told() {
    let busy =
        |wait: &str| Fault::Answer(503, vec![("retry-after", wait.to_owned())], String::new());
    for (faults, revoked, requests) in [
        (vec![busy("0.05")], true, 2),
        (vec![busy("3600")], false, 1),
        (vec![Fault::status(400)], false, 1),
        (vec![busy("0"), busy("0")], false, 2),
    ] {
        let rig = Rig::new().await;
        rig.connect().await;
        rig.toy.world().revoke_faults.extend(faults.clone());
        let removal = rig
            .connections
            .remove(&rig.tenant, &rig.name, &rig.adapter.description, Unreachable::Forget)
            .await
            .unwrap();
        assert_eq!(matches!(removal, Removal::Revoked), revoked, "{faults:?}: {removal:?}");
        assert_eq!(rig.toy.count("/api/token"), requests, "{faults:?}");
        rig.connections.get(&rig.tenant, &rig.name).unwrap_err();
    }
    let rig = Rig::new().await;
    let grant = personal(&rig, "made-by-hand");
    rig.connections
        .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Refuse)
        .await
        .unwrap();
    let removal = rig
        .connections
        .remove(&rig.tenant, &rig.name, &rig.adapter.description, Unreachable::Forget)
        .await
        .unwrap();
    assert!(matches!(removal, Removal::NothingToRevoke));
}

/// An application that signed in by itself is fetched for like any other, and has nothing to revoke.
#[tokio::test]
async fn an_application_is_connected_fetched_for_and_removed() {
    let rig = Rig::of_application().await;
    rig.connect_application().await;
    rig.toy.add_items(0..250);
    rig.clock.advance(4_000_000);
    let (_handle, never) = crate::stop();
    let fetched = rig.connections.fetch(rig.fetch(), never).await.unwrap();
    assert_eq!(
        (fetched.report.state, fetched.report.connection.method),
        (State::Ok, Method::Service)
    );
    rig.expect_all_once(250);
    let description = &rig.adapter.description;
    let removal =
        rig.connections.remove(&rig.tenant, &rig.name, description, Unreachable::Keep).await;
    assert!(matches!(removal.unwrap(), Removal::NothingToRevoke));
    assert_eq!(rig.toy.count("/api/token"), 1, "one renewal, no revocation");
}

/// Who tries the wrong way in is told the right one.
#[tokio::test]
async fn the_wrong_way_in_names_the_right_one() {
    let rig = Rig::of_application().await;
    let (hosts, settings) = (rig.hosts(), json!({}));
    let mut description = rig.adapter.description.clone();
    let consent = |description: &AdapterDescription| {
        Server::consent(description, &hosts, &settings).unwrap_err().to_string()
    };
    let mut said = vec![consent(&description)];
    description.oauth.as_mut().unwrap().client_credentials = None;
    said.push(Grant::check_client(&description, &hosts, &settings).unwrap_err().to_string());
    description.oauth = None;
    said.push(consent(&description));
    assert_snapshot!(said.join("\n"), @r"
    nobody can sign casbah in to Toy by consent
    hint: register an application there that may read, and connect as that: `casbah connect toy --service`
    Toy lets no application sign in by itself: somebody has to
    hint: connect without --service
    Toy can't be connected by consent
    hint: make an access token in the app and give it with --token-file
    ");
}

/// Wrong settings are told before anything is kept.
#[tokio::test]
async fn settings_are_checked_before_anything_is_kept() {
    let mut adapter = crate::testing::ToyAdapter::new();
    adapter.description.settings =
        json!({"additionalProperties": false, "properties": {"kinds": {"type": "object"}}});
    let rig = Rig::with(adapter).await;
    let grant = personal(&rig, "made-by-hand");
    let wrong = NewConnection { settings: json!({"kind": {}}), ..new(&rig) };
    let error = rig
        .connections
        .establish(&rig.tenant, wrong, grant, None, rig.adapter.clone(), Switch::Refuse)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Configuration);
    rig.connections.get(&rig.tenant, &rig.name).unwrap_err();
    assert_eq!(rig.toy.count("/api/me"), 0);
}

/// What the test at sign-in found wrong stands in the list until it is over.
#[tokio::test]
async fn a_connection_whose_test_failed_is_not_listed_as_ok() {
    let rig = Rig::new().await;
    let state = || {
        let report = rig.connections.get(&rig.tenant, &rig.name).unwrap();
        (report.state, report.reason)
    };
    let mut seen = Vec::new();
    for (status, admin) in [(403, true), (401, true), (500, true), (200, false)] {
        rig.toy.world().me["admin"] = json!(admin);
        if status != 200 {
            rig.toy.world().faults.push_back(Fault::status(status));
        }
        let grant = personal(&rig, "made-by-hand");
        rig.connections
            .establish(&rig.tenant, new(&rig), grant, None, rig.adapter.clone(), Switch::Refuse)
            .await
            .unwrap();
        let (state, reason) = state();
        seen.push(format!("{state}: {reason}"));
    }
    assert_snapshot!(seen.join("\n"), @r"
    forbidden: the test failed: Toy did not say who casbah is: the app said forbidden (code 7)
    reconnect-needed: the test failed: Toy does not accept the token: the app said token-expired (code 7)
    faulty: the test failed: Toy did not say who casbah is: the app said transient (code 7)
    forbidden: the test failed: the account is not an administrator, and only administrators may read activities
    ");
    // A test that passes ends it.
    rig.toy.world().me["admin"] = json!(true);
    let adapter = rig.adapter.clone();
    assert!(rig.connections.check(&rig.tenant, &rig.name, adapter.clone()).await.unwrap().passed());
    assert_eq!(state(), (State::Ok, String::new()));
    // A test that fails begins it again, and so does a page end it.
    rig.toy.world().faults.push_back(Fault::status(403));
    rig.connections.check(&rig.tenant, &rig.name, adapter).await.unwrap();
    assert_eq!(state().0, State::Forbidden);
    rig.clock.advance(10);
    rig.toy.add_items(0..1);
    let (_handle, never) = crate::stop();
    rig.connections.fetch(rig.fetch(), never).await.unwrap();
    assert_eq!(state(), (State::Ok, String::new()));
}

/// A dead token is no reason to keep a connection; an app that can't be asked is.
#[tokio::test]
async fn a_connection_is_kept_while_its_token_may_be_alive() {
    let remove = async |rig: &Rig, unreachable| {
        let description = &rig.adapter.description;
        rig.connections.remove(&rig.tenant, &rig.name, description, unreachable).await
    };
    // The app ended the grant, and the access token ran out.
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    rig.toy.world().refresh = None;
    let removal = remove(&rig, Unreachable::Keep).await.unwrap();
    let Removal::NotRevoked(error) = removal else { panic!("{removal:?}") };
    assert_eq!(error.kind(), ConnectErrorKind::Reconnect);
    rig.connections.get(&rig.tenant, &rig.name).unwrap_err();

    for fault in [Fault::status(502), Fault::Answer(302, Vec::new(), String::new())] {
        let rig = Rig::new().await;
        rig.connect().await;
        rig.toy.world().revoke_faults.extend([fault.clone(), fault]);
        remove(&rig, Unreachable::Keep).await.unwrap_err();
        rig.connections.get(&rig.tenant, &rig.name).unwrap();
        // It is as good as before.
        let adapter = rig.adapter.clone();
        let report = rig.connections.check(&rig.tenant, &rig.name, adapter).await.unwrap();
        assert!(report.passed(), "{report}");
        assert!(matches!(remove(&rig, Unreachable::Forget).await.unwrap(), Removal::NotRevoked(_)));
        rig.connections.get(&rig.tenant, &rig.name).unwrap_err();
    }
    // An access token that ran out is renewed to end its own grant with.
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    assert!(matches!(remove(&rig, Unreachable::Keep).await.unwrap(), Removal::Revoked));
    assert!(rig.toy.world().access.is_empty());
}

/// A grant that nobody uses dies at some apps. While a connection is switched off it is used once a
/// week; that it died all the same is told.
#[tokio::test]
async fn the_grant_of_a_connection_that_is_switched_off_is_kept_alive() {
    const DAY: i64 = 86_400_000;
    let rig = Rig::new().await;
    rig.connect().await;
    let keep_alive = async || {
        let description = &rig.adapter.description;
        rig.connections.keep_alive(&rig.tenant, &rig.name, description).await
    };
    rig.clock.advance(8 * DAY);
    assert!(!keep_alive().await.unwrap(), "its fetch does that");
    rig.connections.set_enabled(&rig.tenant, &rig.name, false).unwrap();
    assert!(keep_alive().await.unwrap());
    for _ in 0..3 {
        assert!(!keep_alive().await.unwrap());
    }
    rig.clock.advance(6 * DAY);
    assert!(!keep_alive().await.unwrap());
    rig.clock.advance(2 * DAY);
    assert!(keep_alive().await.unwrap());
    assert_eq!(rig.toy.count("/api/token"), 2);
    rig.clock.advance(8 * DAY);
    rig.toy.world().refresh = None;
    assert_eq!(keep_alive().await.unwrap_err().kind(), ConnectErrorKind::Reconnect);
    assert!(!keep_alive().await.unwrap(), "a dead grant is not tried again");
    let report = rig.connections.get(&rig.tenant, &rig.name).unwrap();
    assert_eq!(report.state, State::Disabled);
    assert_snapshot!(report.reason, @"it is switched off; besides: Toy ended the consent for connection `acme`: expired (invalid_grant), code 1071");
}

/// Two connections that name one budget stay within it together.
#[tokio::test]
async fn connections_share_a_budget_by_name() {
    let rig = Rig::new().await;
    rig.connect().await;
    let kept = |name: &str, budget: Option<&str>, requests: Option<u32>| {
        let mut connection = rig.connections.get(&rig.tenant, &rig.name).unwrap().connection;
        connection.name = name.parse().unwrap();
        connection.budget = budget.map(str::to_owned);
        connection.requests_per_minute = requests;
        rig.connections.budget(&rig.tenant, &connection, &rig.adapter.description)
    };
    let (one, two) = (kept("one", Some("shared"), None), kept("two", Some("shared"), Some(120)));
    assert!(Arc::ptr_eq(&one, &two));
    assert!(format!("{one:?}").contains("120 in"), "the lower number holds: {one:?}");
    assert!(!Arc::ptr_eq(&kept("three", None, None), &kept("four", None, None)));
    assert!(!Arc::ptr_eq(&kept("shared", None, None), &one), "a name is not a budget");
}

/// A record of a newer casbah is refused, not misread.
#[tokio::test]
async fn a_newer_record_is_refused() {
    let rig = Rig::new().await;
    rig.connect().await;
    let newer = Commit::new().put(casbah_store::Table::Connection, "acme", r#"{"format":2,"x":1}"#);
    rig.store.commit(&rig.tenant, newer).unwrap();
    assert_snapshot!(rig.connections.get(&rig.tenant, &rig.name).unwrap_err(), @r"
    connection `acme` was written by a newer version of casbah (format 2)
    hint: use that version with this data folder
    ");
    let damaged =
        Commit::new().put(casbah_store::Table::Connection, "acme", r#"{"format":1,"x":1}"#);
    rig.store.commit(&rig.tenant, damaged).unwrap();
    assert_snapshot!(rig.connections.get(&rig.tenant, &rig.name).unwrap_err(), @r"
    connection `acme` can't be read: missing field `name` at line 1 column 18
    hint: check the data folder with `casbah store check`
    ");
}

/// A secret setting is in no record but the sealed one, stays when the connection is signed in anew,
/// and ends with the connection; the adapter gets it.
#[tokio::test]
async fn secret_settings_are_sealed_and_given_to_the_adapter_only() {
    let mut adapter = ToyAdapter::new();
    adapter.description.settings = json!({"properties": {
        "salt": {"type": "string", "writeOnly": true, "x-random": true},
        "pin": {"type": "string", "writeOnly": true},
    }});
    let rig = Rig::with(adapter).await;
    rig.connect().await;
    let handed = || {
        let kept = rig.connections.kept(&rig.tenant, &rig.name, &rig.adapter.description).unwrap();
        assert_eq!(format!("{kept:?}"), "Kept(acme)");
        serde_json::from_str::<serde_json::Value>(&kept.settings).unwrap()
    };
    let salt = handed()["salt"].as_str().unwrap().to_owned();
    assert_eq!(salt.len(), 64);
    let plain = NewConnection {
        settings: json!({"pin": "s3cret pin"}),
        hosts: rig.toy.hosts(),
        ..NewConnection::new(rig.name.clone())
    };
    let establish = async |new: NewConnection| {
        let (adapter, grant) = (rig.adapter.clone(), personal(&rig, "token"));
        rig.connections.establish(&rig.tenant, new, grant, None, adapter, Switch::Allow).await
    };
    let refused = establish(plain.clone()).await.unwrap_err();
    assert!(refused.message().contains("`/pin` is a secret"), "{refused}");
    let secrets = [("pin".to_owned(), "s3cret pin".into())].into();
    let new = NewConnection { settings: json!({}), secrets, ..plain };
    let report = establish(new).await.unwrap().report;
    assert_eq!(handed(), json!({"salt": salt, "pin": "s3cret pin"}));
    let sealed = json!({"salt": {"sealed": true}, "pin": {"sealed": true}});
    assert_eq!(serde_json::to_value(&report).unwrap()["settings"], sealed);
    let count = |wanted: &str| {
        let mut count = 0;
        for table in [Table::Connection, Table::Secret, Table::Counter, Table::Cursor, Table::Meta]
        {
            let all = casbah_store::ScanRange::all();
            rig.store
                .scan(&rig.tenant, table, &all, false, &mut |key, value| {
                    let bytes = [key, value].concat();
                    count += usize::from(String::from_utf8_lossy(&bytes).contains(wanted));
                    true
                })
                .unwrap();
        }
        count
    };
    assert_eq!((count(&salt), count("s3cret pin"), count("acme/settings")), (0, 0, 1));
    let description = &rig.adapter.description;
    rig.connections.remove(&rig.tenant, &rig.name, description, Unreachable::Keep).await.unwrap();
    assert_eq!(count("acme/settings"), 0);
}
