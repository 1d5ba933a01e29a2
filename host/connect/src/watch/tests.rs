use super::*;
use crate::connection::{ConnectionReport, Counters, Method, State};
use insta::assert_snapshot;
use proptest::prelude::*;

/// 2026-11-20.
const NOW: i64 = 1_795_132_800_000;

fn connection(enabled: bool) -> Connection {
    Connection {
        name: "docs".parse().unwrap(),
        app: "netdocuments".to_owned(),
        region: "us".to_owned(),
        hosts: BTreeMap::new(),
        settings: serde_json::Value::Null,
        budget: None,
        requests_per_minute: None,
        internal_domains: Vec::new(),
        enabled,
        created: NOW - 200 * DAY,
        signed_in: NOW - 200 * DAY,
        method: Method::OAuth,
        connected_by: String::new(),
        scopes: Vec::new(),
        missing_scopes: Vec::new(),
        account_id: String::new(),
        account_email: String::new(),
        organization_id: String::new(),
        organization_name: String::new(),
    }
}

/// A stream of activities as it is kept. Times are days before now.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    since: Option<i64>,
    newest: Option<i64>,
    complete: Option<i64>,
    success: Option<i64>,
    lost: Option<Lost>,
}

fn watch(connection: &Connection, activities: u64, streams: &[(&str, Stream)]) -> Vec<Warning> {
    let ago = |days: Option<i64>| days.map(|days| NOW - days * DAY);
    let mut status = Status {
        retention_days: 90,
        counters: Counters { activities, ..Counters::default() },
        ..Status::default()
    };
    let mut positions = BTreeMap::new();
    for (name, stream) in streams {
        let kept = StreamStatus {
            last_success: ago(stream.success),
            complete: ago(stream.complete),
            lost: stream.lost,
            ..StreamStatus::default()
        };
        status.streams.insert((*name).to_owned(), kept);
        let position = Position {
            newest: ago(stream.newest),
            since: ago(stream.since),
            ..Position::default()
        };
        positions.insert((*name).to_owned(), position);
    }
    warnings(connection, &status, &positions, NOW)
}

fn said(warnings: &[Warning]) -> String {
    let lines = warnings
        .iter()
        .map(|warning| format!("{:?}: {}\n  {}", warning.kind, warning.reason, warning.remedy));
    lines.collect::<Vec<_>>().join("\n")
}

/// The log feature may be off, or the account may not be an administrator: neither fails, and
/// nothing ever comes.
#[test]
fn a_connection_that_never_brought_anything_is_noticed_after_a_week() {
    let quiet = |since: i64, complete: i64| Stream {
        since: Some(since),
        complete: Some(complete),
        success: Some(complete),
        ..Stream::default()
    };
    let on = connection(true);
    assert_snapshot!(said(&watch(&on, 0, &[("activities", quiet(7, 0))])), @r"
    Empty: the app answers well, but there is not one activity since 2026-11-13 (7 days)
      see in the app that its log is switched on and holds something, and that the account or application of this connection may read it; `casbah connection test docs` says what the app needs
    ");
    assert_eq!(watch(&on, 0, &[("activities", quiet(6, 0))]), [], "it may be a quiet week");
    assert_eq!(watch(&on, 1, &[("activities", quiet(60, 0))]), [], "something came once");
    let accounts = Stream { success: Some(0), ..Stream::default() };
    let mut status = Status { directory: true, ..Status::default() };
    let silent = StreamStatus { complete: Some(NOW), ..StreamStatus::default() };
    status.streams.insert("sign-ins".to_owned(), silent);
    let far = Position { since: Some(0), ..Position::default() };
    let positions = BTreeMap::from([("sign-ins".to_owned(), far)]);
    assert_eq!(warnings(&on, &status, &positions, NOW), [], "a directory's log may stay empty");
    status.directory = false;
    assert_eq!(warnings(&on, &status, &positions, NOW).len(), 1);
    let mut young = on;
    young.created = NOW;
    assert_eq!(watch(&young, 0, &[("accounts", accounts)]), [], "accounts are no activities");
}

/// Whatever keeps a connection from being fetched, it is told while nothing is lost yet.
#[test]
fn what_is_about_to_be_lost_is_told_in_time() {
    let stopped = |complete: i64| Stream {
        since: Some(200),
        newest: Some(complete + 1),
        complete: Some(complete),
        success: Some(complete),
        ..Stream::default()
    };
    let (on, off) = (connection(true), connection(false));
    let mut all = Vec::new();
    for (connection, days) in [(&on, 67), (&on, 68), (&off, 89), (&on, 90), (&off, 104)] {
        let warnings = watch(connection, 9, &[("activities", stopped(days))]);
        all.push(format!("{days} days\n{}", said(&warnings)));
    }
    assert_snapshot!(all.join("\n"), @r"
    67 days

    68 days
    Retention: nothing of stream `activities` was fetched since 2026-09-13, and the app keeps it for 90 days: it begins to be lost on 2026-12-12, in 22 days
      keep `casbah run` running; if it is, `casbah connection test docs` says what is wrong
    89 days
    Retention: nothing of stream `activities` was fetched since 2026-08-23, and the app keeps it for 90 days: it begins to be lost on 2026-11-21, in 24 hours
      switch it on with `casbah connection enable docs`, and keep `casbah run` running
    90 days
    Lost: nothing of stream `activities` was fetched since 2026-08-22, and the app keeps it for 90 days: 0 hours of it are lost, and more every day
      keep `casbah run` running; if it is, `casbah connection test docs` says what is wrong
    104 days
    Lost: nothing of stream `activities` was fetched since 2026-08-08, and the app keeps it for 90 days: 14 days of it are lost, and more every day
      switch it on with `casbah connection enable docs`, and keep `casbah run` running
    ");

    // A first fetch that began far back comes nearer by itself, unless it does not.
    let first = |success: i64| Stream {
        since: Some(89),
        newest: Some(88),
        success: Some(success),
        ..Stream::default()
    };
    assert_eq!(watch(&on, 9, &[("activities", first(0))]), []);
    assert_eq!(watch(&on, 9, &[("activities", first(2))]).len(), 1);
    // Nothing was ever fetched.
    assert_eq!(watch(&on, 0, &[]).first().map(|warning| warning.kind), Some(WarningKind::Lost));
}

#[test]
fn what_was_lost_is_told_for_a_while() {
    let after = |noticed: i64| Stream {
        since: Some(200),
        newest: Some(0),
        complete: Some(0),
        success: Some(0),
        lost: Some(Lost {
            from: NOW - 104 * DAY,
            until: NOW - 90 * DAY,
            noticed: NOW - noticed * DAY,
        }),
    };
    let on = connection(true);
    assert_snapshot!(said(&watch(&on, 9, &[("activities", after(1))])), @r"
    Lost: 14 days of stream `activities` are lost, from 2026-08-08 to 2026-08-22: nothing was fetched then, and the app keeps it for 90 days
      nothing brings them back by way of the app's interface; what else the app exports can be looked through with `casbah scan`
    ");
    assert_eq!(watch(&on, 9, &[("activities", after(31))]), []);
    // While it is caught up with, it does not sound as if nothing were done.
    let coming = Stream { complete: Some(104), newest: Some(104), ..after(0) };
    let warnings = watch(&on, 9, &[("activities", coming)]);
    assert!(!said(&warnings).contains("more every day"), "{}", said(&warnings));
}

/// A report says `check` only where nothing is worse, and tells all of it.
#[test]
fn warnings_are_below_troubles() {
    let states: Vec<State> = vec![
        State::Ok,
        State::Check,
        State::Disabled,
        State::Faulty,
        State::Forbidden,
        State::ReconnectNeeded,
    ];
    assert!(states.is_sorted());
    let report = |connection: Connection, status: Status| {
        let dir = tempfile::tempdir().unwrap();
        let store = crate::testing::Flaky::open(dir.path());
        let tenant = "default".parse().unwrap();
        let mut commit = casbah_store::Commit::new();
        commit.writes.push(crate::connection::write_status(&connection.name, &status).unwrap());
        casbah_store::Store::commit(store.as_ref(), &tenant, commit).unwrap();
        ConnectionReport::read(store.as_ref(), &tenant, connection, NOW).unwrap()
    };
    let status = Status { retention_days: 90, ..Status::default() };
    let checked = report(connection(true), status.clone());
    assert_eq!((checked.state, checked.warnings.len()), (State::Check, 1));
    assert_eq!(checked.reason, checked.warnings[0].reason);
    let off = report(connection(false), status.clone());
    assert_eq!((off.state, off.warnings.len()), (State::Disabled, 1));
    assert_eq!(report(connection(true), Status::default()).state, State::Ok);
}

proptest! {
    /// Times that an app made up break nothing.
    #[test]
    fn no_time_is_too_odd(newest: i64, complete: i64, since: i64, now: i64) {
        let stream = StreamStatus { complete: Some(complete), ..StreamStatus::default() };
        let mut status = Status { retention_days: 90, ..Status::default() };
        let position =
            Position { newest: Some(newest), since: Some(since), ..Position::default() };
        let lost = lost(&stream, &position, 90, now);
        status.streams.insert("a".to_owned(), StreamStatus { lost, ..stream });
        let positions = BTreeMap::from([("a".to_owned(), position)]);
        warnings(&connection(true), &status, &positions, now);
    }

    /// Against a plain reading of the rule: silence below three quarters of the retention, a warning
    /// above, a loss from its end on, and the loss is as long as what went beyond it.
    #[test]
    fn the_last_quarter_warns(hours in 0i64..4000, keeps in 1u32..400) {
        let keeps_ms = i64::from(keeps) * DAY;
        let reached = NOW - hours * 3_600_000;
        let warning = overdue("it", reached, keeps_ms, NOW).map(|warning| warning.kind);
        let expected = if hours >= i64::from(keeps) * 24 {
            Some(WarningKind::Lost)
        } else if hours * 4 >= i64::from(keeps) * 24 * 3 {
            Some(WarningKind::Retention)
        } else {
            None
        };
        prop_assert_eq!(warning, expected);
        let stream = StreamStatus { complete: Some(reached), ..StreamStatus::default() };
        let lost = lost(&stream, &Position::default(), keeps, NOW);
        prop_assert_eq!(lost.is_some(), hours > i64::from(keeps) * 24);
        if let Some(lost) = lost {
            prop_assert_eq!(lost.until - lost.from, hours * 3_600_000 - keeps_ms);
        }
    }
}
