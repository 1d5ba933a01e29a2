//! Listing and showing alerts that evaluation has made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::evaluate::{Evaluator, EvaluatorOptions};
use crate::testing::{Act, DAY, MemoryStore, batch, group, tenant};

const EVERY: &str = "\
policy: every
title: Every export
severity: medium
when: [{field: kind, is: export}]
alert: {group: [actor, object], quiet: 1h}
";
const PUBLISHED: &str = "\
policy: published
title: Published
severity: high
when: [{field: kind, is: publish}]
alert: {group: [actor], quiet: 1h}
";

/// A store with the alerts of some activities.
fn store(acts: &[Act]) -> Arc<MemoryStore> {
    let store = MemoryStore::new();
    for part in acts.chunks(10) {
        store.append(batch(part));
    }
    let groups = vec![group(&[EVERY, PUBLISHED])];
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), groups, EvaluatorOptions::default())
            .unwrap();
    assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
    evaluator.stop();
    store
}

fn act(number: usize, second: i64, actor: &'static str, kind: &'static str, object: u8) -> Act {
    Act { number, ..Act::new(second, actor, kind, object) }
}

fn company() -> Arc<MemoryStore> {
    store(&[
        act(0, 0, "Ana@example.com", "export", 1),
        act(1, 60, "bo@example.com", "export", 1),
        act(2, 120, "Ana@example.com", "publish", 3),
        act(3, 4000, "bo@example.com", "export", 2),
        act(4, 4060, "bo@example.com", "publish", 4),
        act(5, 30, "bo@example.com", "export", 1),
    ])
}

/// What a query lists: policy, actor, and the second of the last activity.
fn told(store: &dyn Store, query: &AlertQuery) -> Vec<String> {
    list(store, &tenant(), query)
        .unwrap()
        .alerts
        .iter()
        .map(|listed| {
            let Alert { policy, group, last, .. } = &listed.alert;
            let name = group[0].1.split('@').next().unwrap();
            format!("{policy} {name} {}", (last - DAY) / 1000)
        })
        .collect()
}

#[test]
fn alerts_are_listed_by_what_is_asked_for() {
    let store = company();
    let store = store.as_ref();
    let all =
        ["published bo 4060", "every bo 4000", "published Ana 120", "every bo 60", "every Ana 0"];
    assert_eq!(told(store, &AlertQuery::default()), all);
    for (query, expected) in [
        (AlertQuery { policy: Some("published".into()), ..Default::default() }, vec![0, 2]),
        (AlertQuery { policy: Some("none".into()), ..Default::default() }, vec![]),
        (AlertQuery { severity: Some(Severity::High), ..Default::default() }, vec![0, 2]),
        (AlertQuery { severity: Some(Severity::Low), ..Default::default() }, vec![0, 1, 2, 3, 4]),
        (AlertQuery { from: Some(DAY + 60_000), ..Default::default() }, vec![0, 1, 2, 3]),
        (AlertQuery { from: Some(DAY + 60_001), ..Default::default() }, vec![0, 1, 2]),
        // An alert that began earlier is listed even if it went on later.
        (AlertQuery { to: Some(DAY + 60_000), ..Default::default() }, vec![3, 4]),
        (AlertQuery { to: Some(DAY + 30_000), ..Default::default() }, vec![4]),
        (AlertQuery { about: Some("ANA@".into()), ..Default::default() }, vec![2, 4]),
        (AlertQuery { about: Some("sheet-2".into()), ..Default::default() }, vec![1]),
        (AlertQuery { state: Some(AlertState::Closed), ..Default::default() }, vec![]),
        (AlertQuery { limit: 2, ..Default::default() }, vec![0, 1]),
    ] {
        let expected: Vec<_> = expected.iter().map(|&index: &usize| all[index]).collect();
        assert_eq!(told(store, &query), expected, "{query:?}");
    }
}

/// Two groups that wrote one alert at the same time leave an entry of the earlier one behind.
#[test]
fn an_entry_that_was_left_behind_lists_nothing() {
    let store = company();
    let before = told(store.as_ref(), &AlertQuery::default());
    for listed in list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap().alerts {
        let earlier = index_key(listed.alert.last - 1000, &listed.alert.id);
        store.commit(&tenant(), Commit::new().put(Table::AlertIndex, earlier, b"")).unwrap();
    }
    assert_eq!(told(store.as_ref(), &AlertQuery::default()), before);
}

#[test]
fn what_people_say_is_kept_apart_from_what_evaluation_says() {
    let store = company();
    let open = AlertQuery { state: Some(AlertState::Open), ..Default::default() };
    let first = list(store.as_ref(), &tenant(), &open).unwrap().alerts.remove(0).alert;
    assert_eq!(
        set_state(store.as_ref(), &tenant(), &first.id[..8], AlertState::Closed).unwrap(),
        first.id
    );
    assert_eq!(told(store.as_ref(), &open).len(), 4);

    // More evidence joins the alert and leaves it closed.
    store.append(batch(&[act(6, 4100, "bo@example.com", "publish", 4)]));
    let groups = vec![group(&[EVERY, PUBLISHED])];
    let evaluator =
        Evaluator::start(Arc::clone(&store) as _, tenant(), groups, EvaluatorOptions::default())
            .unwrap();
    assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
    evaluator.stop();
    let closed = AlertQuery { state: Some(AlertState::Closed), ..Default::default() };
    assert_eq!(told(store.as_ref(), &closed), ["published bo 4100"]);
    // The place in the list moved with it: it is listed once.
    assert_eq!(told(store.as_ref(), &AlertQuery::default()).len(), 5);

    set_state(store.as_ref(), &tenant(), &first.id, AlertState::Open).unwrap();
    assert_eq!(told(store.as_ref(), &open).len(), 5);
}

#[test]
fn an_alert_is_shown_with_its_evidence() {
    let store = company();
    let query = AlertQuery { policy: Some("every".into()), ..Default::default() };
    let alerts = list(store.as_ref(), &tenant(), &query).unwrap().alerts;
    let of_two = &alerts.iter().find(|listed| listed.alert.count == 2).unwrap().alert;
    let shown = show(store.as_ref(), &tenant(), &of_two.id).unwrap();
    // By time: the one that arrived last happened first.
    let ids: Vec<_> =
        shown.activities.iter().map(|activity| activity["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["5", "1"]);
    assert_eq!(shown.activities[0]["sequence"], 6);
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["policy"], "every");
    assert_eq!(json["severity"], "medium");
    assert_eq!(json["state"], "open");

    // What retention took is left out, the rest is still shown.
    store.drop_oldest_block();
    assert!(show(store.as_ref(), &tenant(), &of_two.id).unwrap().activities.is_empty());
}

#[test]
fn ids_and_cursors_that_lead_nowhere() {
    let store = company();
    let message = |prefix: &str| show(store.as_ref(), &tenant(), prefix).unwrap_err();
    insta::assert_snapshot!(message("zz"), @r#"
    there is no alert or behavior `zz`
    hint: `casbah alert list` and `casbah behavior list` show those there are
    "#);
    assert_eq!(message("zz").kind(), DetectErrorKind::NotFound);
    assert_eq!(message("").kind(), DetectErrorKind::Ambiguous);
    let ids = regex_free(&message("").to_string());
    insta::assert_snapshot!(ids, @r#"
    more than one alert or behavior begins with ``: `ID`, `ID`, `ID`, `ID`, `ID`
    hint: give more of the id
    "#);
    let query = AlertQuery { after: Some("yesterday\u{1b}".into()), ..Default::default() };
    insta::assert_snapshot!(list(store.as_ref(), &tenant(), &query).unwrap_err(), @r#"
    `yesterday?` is not a place in the list of alerts
    hint: use the one that the page before gave
    "#);
    let state = set_state(store.as_ref(), &tenant(), "zz", AlertState::Closed).unwrap_err();
    assert_eq!(state.kind(), DetectErrorKind::NotFound);
}

/// Ids are hashes: what matters is that some are named.
fn regex_free(text: &str) -> String {
    text.split('`')
        .enumerate()
        .map(|(n, part)| if n % 2 == 1 && part.len() == 16 { "ID" } else { part })
        .collect::<Vec<_>>()
        .join("`")
}

/// What a newer program has written is refused, not misread.
#[test]
fn a_newer_form_is_refused() {
    let store = company();
    let id =
        list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap().alerts.remove(0).alert.id;
    let bytes = store.get(&tenant(), Table::Alert, &alert_key(&id)).unwrap().unwrap();
    let newer = String::from_utf8(bytes).unwrap().replace("\"format\":1", "\"format\":2");
    let commit = Commit::new().put(Table::Alert, alert_key(&id), newer);
    store.commit(&tenant(), commit).unwrap();
    let error = show(store.as_ref(), &tenant(), &id).unwrap_err();
    assert_eq!(error.kind(), DetectErrorKind::Stored);
    insta::assert_snapshot!(error.to_string().replace(&id, "ID"), @r#"
    the stored alert `ID` is in form 2, this program reads forms up to 1
    hint: use the newer casbah that wrote it
    "#);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Pages of any size, one after the other, are the whole list.
    #[test]
    fn pages_make_the_list(
        acts in prop::collection::vec((0..20_000_i64, prop::sample::select(vec!["ana", "bo"]), 0..4_u8), 1..60),
        limit in 1..7_usize,
    ) {
        let acts: Vec<Act> = acts.into_iter().enumerate()
            .map(|(number, (second, actor, object))| act(number, second, actor, "export", object))
            .collect();
        let store = store(&acts);
        let whole: Vec<String> = list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap()
            .alerts.into_iter().map(|listed| listed.alert.id).collect();
        let mut paged = Vec::new();
        let mut query = AlertQuery { limit, ..Default::default() };
        loop {
            let page = list(store.as_ref(), &tenant(), &query).unwrap();
            prop_assert!(page.alerts.len() <= limit);
            paged.extend(page.alerts.into_iter().map(|listed| listed.alert.id));
            match page.next {
                Some(next) => query.after = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(&paged, &whole);
        prop_assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), whole.len());
        prop_assert_eq!(whole.len() as u64, count(store.as_ref(), &tenant()).unwrap());
    }

    /// Different alerts have different ids, also where their texts run into each other.
    #[test]
    fn ids_tell_alerts_apart(
        a in ("[a-c]{0,3}", prop::collection::vec(("[a-c]{0,2}", "[a-c]{0,2}"), 0..3), -2..2_i64),
        b in ("[a-c]{0,3}", prop::collection::vec(("[a-c]{0,2}", "[a-c]{0,2}"), 0..3), -2..2_i64),
    ) {
        let made = |x: &(String, Vec<(String, String)>, i64)| id(&tenant(), &x.0, &x.1, x.2);
        prop_assert_eq!(made(&a) == made(&b), a == b);
        let other: TenantName = "other".parse().unwrap();
        prop_assert_ne!(made(&a), id(&other, &a.0, &a.1, a.2));
    }
}

/// Ids must stay what they are: people and other systems have written them down.
#[test]
fn ids_are_for_ever() {
    let group = [("actor".to_owned(), "ana@example.com".to_owned())];
    insta::assert_snapshot!(id(&tenant(), "smartsheet-mass-export", &group, DAY), @"3293f6c54bf78f25");
}

/// So many people export something at the same time.
fn crowd(policy: &str, people: usize) -> (Arc<MemoryStore>, Evaluator) {
    let store = MemoryStore::new();
    let evaluator = Evaluator::start(
        Arc::clone(&store) as _,
        tenant(),
        vec![group(&[policy])],
        EvaluatorOptions::default(),
    )
    .unwrap();
    more(&store, &evaluator, 0, people);
    (store, evaluator)
}

fn more(store: &MemoryStore, evaluator: &Evaluator, from: usize, people: usize) {
    let acts: Vec<Act> = (from..from + people)
        .map(|n| Act { number: n, ..Act::new(n as i64, "ana", "export", (n % 250) as u8) })
        .collect();
    store.append(batch(&acts));
    assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
}

fn count_of(store: &MemoryStore, held_back: bool) -> usize {
    let query = AlertQuery { held_back, ..AlertQuery::default() };
    list(store, &tenant(), &query).unwrap().alerts.len()
}

/// Beyond the limit of a day alerts are kept and counted, not shown; what is shown stays so when it
/// grows, and whoever starts again goes on counting where it was.
#[test]
fn a_flood_is_held_back_and_never_lost() {
    let limited = EVERY.replace("quiet: 1h", "quiet: 1h, daily-limit: 3");
    let (store, evaluator) = crowd(&limited, 5);
    assert_eq!((count_of(&store, false), count_of(&store, true)), (3, 2));
    let shown: BTreeSet<String> = list(store.as_ref(), &tenant(), &AlertQuery::default())
        .unwrap()
        .alerts
        .into_iter()
        .map(|listed| listed.alert.id)
        .collect();
    // More of the same, within their windows.
    more(&store, &evaluator, 0, 5);
    evaluator.stop();
    assert_eq!((count_of(&store, false), count_of(&store, true)), (3, 2));
    let evaluator = Evaluator::start(
        Arc::clone(&store) as _,
        tenant(),
        vec![group(&[&limited])],
        EvaluatorOptions::default(),
    )
    .unwrap();
    more(&store, &evaluator, 5, 4);
    // The next day has a share of its own.
    let tomorrow: Vec<Act> =
        (0..4).map(|n| Act { number: n, ..Act::new(90_000, "ana", "export", n as u8) }).collect();
    store.append(batch(&tomorrow));
    assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
    evaluator.stop();
    assert_eq!((count_of(&store, false), count_of(&store, true)), (6, 7));
    let page = list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap();
    let still: BTreeSet<String> = page.alerts.into_iter().map(|listed| listed.alert.id).collect();
    assert!(shown.is_subset(&still), "what was shown stays shown");
    let told: Vec<_> = held_back(store.as_ref(), &tenant(), &AlertQuery::default())
        .unwrap()
        .into_iter()
        .map(|of| (of.policy, (of.day - DAY) / 86_400_000, of.shown, of.held_back))
        .collect();
    assert_eq!(told, [("every".to_owned(), 1, 3, 1), ("every".to_owned(), 0, 3, 6)]);
    let today = AlertQuery { from: Some(DAY + 86_400_000), ..AlertQuery::default() };
    assert_eq!(held_back(store.as_ref(), &tenant(), &today).unwrap().len(), 1);
}

/// A policy that says nothing about it does not flood people either.
#[test]
fn every_policy_has_a_limit() {
    let each = EVERY.replace("quiet: 1h", "quiet: 0m");
    let (store, evaluator) = crowd(&each, 1200);
    evaluator.stop();
    assert_eq!((count_of(&store, false), count_of(&store, true)), (1000, 200));
    assert_eq!(count(store.as_ref(), &tenant()).unwrap(), 1000);
}

/// What an alert is called is made of what it says by now, by the templates of the revision that
/// made it.
#[test]
fn titles_are_filled_in_when_they_are_read() {
    let told = EVERY.replace(
        "quiet: 1h",
        "quiet: 1h, title: \"{actor} exported {count} times\", description: \"See {object}.\"",
    );
    let store = MemoryStore::new();
    let start = |text: &str| {
        let groups = vec![group(&[text])];
        Evaluator::start(Arc::clone(&store) as _, tenant(), groups, EvaluatorOptions::default())
            .unwrap()
    };
    let titles = || -> Vec<(String, String)> {
        let page = list(store.as_ref(), &tenant(), &AlertQuery::default()).unwrap();
        page.alerts.into_iter().map(|l| (l.alert.title, l.alert.description)).collect()
    };
    let evaluator = start(&told);
    let feed = |evaluator: &Evaluator, second: i64| {
        store.append(batch(&[Act {
            number: second as usize,
            ..Act::new(second, "ana", "export", 1)
        }]));
        assert!(evaluator.wait_caught_up(Duration::from_secs(60)));
    };
    feed(&evaluator, 0);
    assert_eq!(titles()[0].0, "ana exported 1 times");
    feed(&evaluator, 1);
    assert_eq!(titles(), [("ana exported 2 times".to_owned(), "See sheet-1.".to_owned())]);
    evaluator.stop();
    // Another revision without templates: what the first has made keeps its own.
    let evaluator = start(EVERY);
    feed(&evaluator, 7200);
    evaluator.stop();
    assert_eq!(
        titles(),
        [
            ("Every export".to_owned(), String::new()),
            ("ana exported 2 times".to_owned(), "See sheet-1.".to_owned())
        ]
    );
}
