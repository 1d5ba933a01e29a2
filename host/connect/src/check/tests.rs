use super::*;
use crate::testing::{Fault, Rig};
use insta::assert_snapshot;
use serde_json::json;

async fn report(rig: &Rig) -> CheckReport {
    rig.connections.check(&rig.tenant, &rig.name, rig.adapter.clone()).await.unwrap()
}

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.connect().await;
    rig
}

#[tokio::test]
async fn a_good_connection_passes() {
    let rig = rig().await;
    let report = report(&rig).await;
    assert!(report.passed());
    assert_snapshot!(report, @r"
    ok       sign-in: Toy knows casbah as Root@Acme.example, of Acme
    ok       administrator: the account is an administrator
    ok       activities: activities can be read
    ");
    assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
    {
      "checks": [
        {
          "name": "sign-in",
          "outcome": "passed",
          "detail": "Toy knows casbah as Root@Acme.example, of Acme"
        },
        {
          "name": "administrator",
          "outcome": "passed",
          "detail": "the account is an administrator"
        },
        {
          "name": "activities",
          "outcome": "passed",
          "detail": "activities can be read"
        }
      ],
      "facts": {
        "account.admin": "true",
        "account.email": "Root@Acme.example",
        "account.id": "1",
        "may-read-activities": "true",
        "organization.id": "o1",
        "organization.name": "Acme"
      },
      "calls": 1
    }
    "#);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_plain_words() {
    let mut reports = Vec::new();
    for (name, fault, me) in [
        ("no administrator", None, json!({"id": "7", "email": "bo@acme.example", "admin": false})),
        ("nothing known", None, json!({})),
        ("a missing right", Some(Fault::status(403)), json!({})),
        ("busy", Some(Fault::status(503)), json!({})),
        ("nonsense", Some(Fault::Answer(200, Vec::new(), "<html>".to_owned())), json!({})),
        ("dead", Some(Fault::status(409)), json!({})),
    ] {
        let rig = rig().await;
        rig.toy.world().me = me;
        rig.toy.world().faults.extend(fault);
        reports.push(format!("# {name}\n{}", report(&rig).await));
    }
    assert_snapshot!(reports.join("\n"), @r"
    # no administrator
    ok       sign-in: Toy knows casbah as bo@acme.example
    failed   administrator: the account is not an administrator, and only administrators may read activities
             hint: make the account an administrator in the app, or connect with another one
    ok       activities: activities can be read
    # nothing known
    unknown  administrator: Toy does not tell
    ok       activities: activities can be read
    # a missing right
    failed   sign-in: Toy did not say who casbah is: the app said forbidden (code 7)
             hint: ask the app
    # busy
    failed   sign-in: Toy did not say who casbah is: the app said transient (code 7)
             hint: ask the app
    # nonsense
    failed   sign-in: Toy did not say who casbah is: the app said malformed (code 7)
             hint: ask the app
    # dead
    failed   sign-in: Toy does not accept the token: the app said reconnect (code 7)
             hint: ask the app
    ");
}

#[tokio::test]
async fn an_expired_token_is_refreshed_and_a_dead_grant_is_told() {
    let rig = rig().await;
    rig.toy.world().access.clear();
    let first = report(&rig).await;
    assert!(first.passed());
    assert_eq!(first.calls, 2);
    rig.toy.world().access.clear();
    rig.toy.world().refresh = None;
    // The minute of the first refresh is over.
    let kept = rig.connections.kept(&rig.tenant, &rig.name, &rig.adapter.description).unwrap();
    kept.tokens.forget().await;
    let second = report(&rig).await;
    assert!(!second.passed());
    assert_snapshot!(second, @r"
    failed   sign-in: Toy does not accept the token: Toy ended the consent for connection `acme`: expired (invalid_grant), code 1071
             hint: connect again with `casbah connect toy --name acme --replace`
    ");
}

/// Where there is more than one answer may hold, there is something to fetch.
#[tokio::test]
async fn an_answer_beyond_the_bound_can_be_read_in_pieces() {
    let mut rig = rig().await;
    let many = Fault::Answer(200, Vec::new(), "x".repeat(2000));
    rig.connections = crate::Connections::new(
        rig.store.clone(),
        rig.vault.clone(),
        Http::new("1").unwrap().with_largest_answer(1000),
        rig.clock.clone(),
    );
    rig.toy.world().me = json!({"id": "7", "email": "bo@acme.example", "more": true});
    rig.toy.world().faults.extend([Fault::Back(0), many.clone()]);
    let other = report(&rig).await;
    assert!(!other.passed(), "it says nothing of activities");
    assert!(other.to_string().contains("failed   activities"), "{other}");
    // As an adapter whose second question is for activities.
    rig.toy.world().me =
        json!({"id": "7", "email": "bo@acme.example", "more": true, "next": "events"});
    rig.toy.world().faults.extend([Fault::Back(0), many]);
    let report = report(&rig).await;
    assert!(report.passed());
    assert_snapshot!(report, @r"
    ok       sign-in: Toy knows casbah as bo@acme.example
    unknown  administrator: Toy does not tell
    ok       activities: activities can be read, and there are many: more came than one answer may hold
    ");
}

#[tokio::test]
async fn a_wrong_clock_is_worth_a_word() {
    let rig = rig().await;
    rig.clock.advance(-600_000);
    let report = report(&rig).await;
    assert!(report.passed());
    assert!(report.to_string().contains("s behind that of Toy"), "{report}");
}

/// A budget that others use up, or an app that asked for a long pause, keeps nobody waiting for ever.
#[tokio::test]
async fn a_test_does_not_wait_for_the_budget_for_ever() {
    let rig = rig().await;
    let kept = rig.connections.kept(&rig.tenant, &rig.name, &rig.adapter.description).unwrap();
    tokio::time::pause();
    let started = tokio::time::Instant::now();
    kept.budget.close(started + Duration::from_secs(3600));
    let report = report(&rig).await;
    let waited = started.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE + Duration::from_secs(5), "{waited:?}");
    assert_eq!(report.calls, 0);
    assert!(report.passed(), "nothing is known to be wrong");
    assert_snapshot!(report, @r"
    unknown  sign-in: Toy was not asked: the budget of requests was used up for 30 s
             hint: test again later: other work uses the budget, or the app asked for a pause
    ");
}
