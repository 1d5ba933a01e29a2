//! What people are told: findings, and what is wrong with settings; what is kept quiet about; and what
//! becomes of bytes that nobody wrote.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "what helps a test may fail loudly"
)]

mod support;

use std::collections::BTreeSet;

use casbah_plugin::Detector;
use casbah_travel::Travel;
use support::*;

const ANA: &str = "ana@example.com";

/// Ten days at home.
fn at_home() -> Vec<Row> {
    (0..10).map(|day| row(MONDAY + day * DAY + 9 * HOUR, ANA, BERLIN)).collect()
}

/// Half an hour after the last of them.
const THEN: i64 = MONDAY + 9 * DAY + 9 * HOUR + HOUR / 2;

fn run(more: &str, rows: &[Row]) -> Run {
    let mut run = Run::new(more);
    run.feed(&at_home());
    run.feed(rows);
    run
}

fn told(run: &Run) -> String {
    let mut text = String::new();
    for finding in &run.findings {
        text.push_str(&format!("{} ({} activities)\n", finding.summary, finding.evidence.len()));
        for (name, value) in &finding.details {
            text.push_str(&format!("  {name}: {value}\n"));
        }
    }
    text
}

#[test]
fn both_ends_are_told() {
    let mut there = row(THEN, ANA, NEW_YORK);
    there.ip = "203.0.113.9".to_owned();
    insta::assert_snapshot!(told(&run("", &[there])), @r"
    ana@example.com was in Berlin, DE (DE Telecom, 198.51.0.7) at 2026-01-14T09:00:00Z and in New York, US (US Telecom, 203.0.113.9) at 2026-01-14T09:30:00Z: at least 6,316 km in 30 minutes takes 12,633 km/h, usually at most 900; accuracy 20 and 50 km; learned from 9 days; US Telecom (New York, US) is new for the whole organization: 1 person uses it since 2026-01-14 (2 activities)
      observed: 12,633 km/h
      expected: at most 900 km/h
      distance-km: 6316
      minutes: 30
      from: Berlin, DE
      from-time: 2026-01-14T09:00:00Z
      from-network: DE Telecom
      from-ip: 198.51.0.7
      from-accuracy-km: 20
      to: New York, US
      to-time: 2026-01-14T09:30:00Z
      to-network: US Telecom
      to-ip: 203.0.113.9
      to-accuracy-km: 50
      countries: DE, US
      kinds: login
      learned-days: 9
      learned-since: 2026-01-05T09:00:00Z
      new-for-all: US Telecom (New York, US)
      used-by: 1
      new-since: 2026-01-14
      people: ana@example.com
    ");
}

/// What comes late makes the pair as well, and the earlier end is told first.
#[test]
fn late_news_make_the_pair() {
    let rows = [row(THEN + 3 * HOUR, ANA, BERLIN), row(THEN + HOUR, ANA, TOKYO)];
    let run = run("", &rows);
    insta::assert_snapshot!(run.findings[0].summary, @"ana@example.com was in Berlin, DE (DE Telecom, 198.51.0.7) at 2026-01-14T09:00:00Z and in Tokyo, JP (JP Telecom, 198.51.5.7) at 2026-01-14T10:30:00Z: at least 8,797 km in 90 minutes takes 5,865 km/h, usually at most 900; accuracy 20 and 100 km; learned from 9 days; JP Telecom (Tokyo, JP) is new for the whole organization: 1 person uses it since 2026-01-14");
    assert_eq!(run.alerts().len(), 1);
}

/// Only the country is known: it may be anywhere in it.
#[test]
fn a_country_stands_for_a_place_where_nothing_more_is_known() {
    let unknown = |country| Spot { country, city: "", at: None, accuracy: 0.0 };
    let run = run("", &[row(THEN, ANA, unknown("JP"))]);
    insta::assert_snapshot!(run.findings[0].summary, @"ana@example.com was in Berlin, DE (DE Telecom, 198.51.0.7) at 2026-01-14T09:00:00Z and in JP (JP Telecom, 198.51.99.7) at 2026-01-14T09:30:00Z: at least 8,214 km in 30 minutes takes 16,427 km/h, usually at most 900; accuracy 20 and 530 km; learned from 9 days; JP Telecom (JP) is new for the whole organization: 1 person uses it since 2026-01-14");
    // From Portugal to Norway it may be too near; an unknown code is no place.
    let mut run = Run::new("");
    run.feed(&[
        row(MONDAY, ANA, LISBON),
        row(THEN, ANA, unknown("PT")),
        row(THEN, ANA, unknown("ZZ")),
        row(THEN, ANA, unknown("USA")),
    ]);
    assert_eq!(run.findings, []);
}

/// Each way of keeping quiet, at each sensitivity.
#[test]
fn what_is_kept_quiet_about() {
    let (there, corporate) = (row(THEN, ANA, NEW_YORK), |mut row: Row| {
        row.category = "corporate";
        row
    });
    let alerts = |more: &str, before: &[Row], row: &Row| {
        let mut run = Run::new(more);
        let mut rows = at_home();
        rows.extend_from_slice(before);
        rows.sort_by_key(|row| row.time);
        run.feed(&rows);
        let found = run.findings.len();
        run.feed(std::slice::from_ref(row));
        run.findings.len() - found
    };
    let each = |before: &[Row], row: &Row| {
        ["low", "medium", "high"]
            .map(|level| alerts(&format!(r#""sensitivity": "{level}""#), before, row))
    };
    assert_eq!(each(&[], &there), [1, 1, 1]);
    // Common to the person: three days in the last week.
    let own: Vec<Row> =
        (2..5).map(|day| row(MONDAY + day * DAY + 21 * HOUR, ANA, NEW_YORK)).collect();
    assert_eq!(each(&own, &there), [0, 0, 1]);
    assert_eq!(each(&own[..2], &there), [1, 1, 1]);
    // The organization's own range at one end: home is common, so there is no stranger in it.
    assert_eq!(each(&[], &corporate(there.clone())), [0, 0, 1]);
    // Colleagues come through the same network in the same city.
    let colleagues: Vec<Row> =
        (0..5).map(|n| row(MONDAY + 2 * DAY, &format!("colleague-{n}"), NEW_YORK)).collect();
    assert_eq!(each(&colleagues, &there), [0, 0, 1]);
    assert_eq!(each(&colleagues[..4], &there), [1, 1, 1]);
    // Colleagues come from the same country, through another network.
    let mut elsewhere = there.clone();
    elsewhere.owner = "Other Net".to_owned();
    assert_eq!(each(&colleagues, &elsewhere), [0, 1, 1]);
    // Addresses that say nothing of a place.
    for (category, tags) in [("vpn", ""), ("cloud-provider", ""), ("", "x,relay"), ("", "hosting")]
    {
        let mut nowhere = there.clone();
        (nowhere.category, nowhere.tags) = (category, tags);
        assert_eq!(each(&[], &nowhere), [0, 0, 0]);
    }
    // Neighbours, and what is too near or too slow.
    assert_eq!(each(&[], &row(THEN, ANA, PARIS)), [0, 0, 0]);
    assert_eq!(each(&[], &row(THEN + 8 * HOUR, ANA, NEW_YORK)), [0, 0, 0]);
    // Somebody new.
    assert_eq!(alerts(r#""learn": "30d""#, &[], &there), 0);
}

fn problems(more: &str) -> String {
    let problems = Travel::configure(&[settings(more)]).err().unwrap();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn wrong_settings_are_named() {
    insta::assert_snapshot!(problems(r#""sped": 900"#), @r"
    /sped: `sped` is not a setting of this detector
    hint: did you mean `speed`?
    ");
    insta::assert_snapshot!(problems(r#""speed": 20, "distance": "far", "within": "8d", "common-days": 0"#), @r"
    /within: `8d` is too long; at most `7d`

    /speed: `speed` must be a number from 100 to 5000, not `20`

    /distance: `distance` must be a number from 50 to 20000, not `far`

    /common-days: `common-days` must be an integer from 1 to 8, not `0`
    ");
    insta::assert_snapshot!(problems(r#""learn": "2h", "sensitivity": "max""#), @r"
    /sensitivity: `max` is not a value of `sensitivity`
    hint: use one of `low`, `medium`, `high`

    /learn: `learn` must be at least as long as `lateness`, which is 1 day
    hint: `learn: 0s` switches learning off
    ");
    insta::assert_snapshot!(problems(r#""learn": "2h""#), @r"
    /learn: `learn` must be at least as long as `lateness`, which is 1 day
    hint: `learn: 0s` switches learning off
    ");
    insta::assert_snapshot!(problems(r#""group": ["country"], "ignore-tags": [""]"#), @r"
    /group/0: alerts can't be grouped by `country`: activities are counted by `person`
    hint: add `country` to `by`, or group by what is counted by

    /ignore-tags/0: the empty text stands for nothing
    ");
}

/// The schema describes every setting, so that forms and editors can tell what it is for.
#[test]
fn every_setting_is_described() {
    let schema = Travel::describe().settings;
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "{name}");
    }
}

/// A state that was not written by this detector is an error, never a panic or a guess; and one that
/// was cut or changed does no harm.
#[test]
fn foreign_states_are_refused() {
    let mut run = run("", &[row(THEN, ANA, NEW_YORK)]);
    let next = [row(THEN + HOUR, ANA, BERLIN)];
    for (key, good) in run.states.clone() {
        for bad in [&[9, 1, 2][..], &good[..good.len() - 1], &[0xff; 40]] {
            run.states.insert(key.clone(), bad.to_vec());
            if let Err(message) = run.try_feed(&batch(&next)) {
                assert!(message.contains("can't be read"), "{message}");
            }
        }
        for place in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[place] ^= 1 << bit;
                run.states.insert(key.clone(), bad);
                let _read_or_refused = run.try_feed(&batch(&next));
            }
        }
        run.states.insert(key, good);
    }
}

/// The stated size: a person who is active ten hours every day, in one city, and in another at weekends.
#[test]
fn a_common_person_takes_few_bytes() {
    let mut run = Run::new("");
    let mut rows = Vec::new();
    for day in 0..60 {
        for minute in 0..60 {
            let spot = if day % 7 < 5 { BERLIN } else { MUNICH };
            rows.push(row(MONDAY + day * DAY + 8 * HOUR + minute * 600_000, ANA, spot));
        }
    }
    run.feed(&arrived(rows));
    let sizes: Vec<usize> =
        run.states.iter().filter(|(key, _)| key.key == ANA).map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(sizes.len(), 1);
    assert!(sizes[0] <= 200, "{sizes:?}");
}

/// What comes later than the lateness makes no pair, neither with what was before nor with what follows.
#[test]
fn what_comes_too_late_makes_no_pair() {
    let mut run = run("", &[row(THEN - 26 * HOUR, ANA, NEW_YORK)]);
    assert_eq!(run.findings, []);
    run.feed(&[row(THEN, ANA, TOKYO)]);
    assert_eq!(run.alerts().len(), 1);
    assert!(run.findings[0].summary.contains("Berlin"));
}

/// A company of thirty in Berlin, of whom so many have begun on a day of a roll-out to use an exit in New
/// York as well: how many alerts there are.
fn roll_out(more: &str, begun: &dyn Fn(i64) -> i64) -> BTreeSet<(String, i64)> {
    let mut run = Run::new(more);
    for day in 0..50 {
        let mut rows = Vec::new();
        for who in 0..30 {
            let (name, time) = (format!("p{who}"), MONDAY + day * DAY + 9 * HOUR + who * 60_000);
            rows.push(row(time, &name, BERLIN));
            if day >= 20 && who < begun(day - 20) {
                rows.push(row(time + HOUR, &name, NEW_YORK));
            }
        }
        rows.sort_by_key(|row| row.time);
        run.feed(&rows);
    }
    run.alerts()
}

/// A VPN that nobody has tagged makes an alert a day until it is common, however it is rolled out.
#[test]
fn a_roll_out_makes_a_handful_of_alerts() {
    let all_at_once: &dyn Fn(i64) -> i64 = &|_| 30;
    let slow: &dyn Fn(i64) -> i64 = &|day| day + 1;
    let piloted: &dyn Fn(i64) -> i64 = &|day| if day < 9 { 2 } else { 30 };
    let each = |more: &str| [all_at_once, slow, piloted].map(|begun| roll_out(more, begun).len());
    assert_eq!(each(""), [2, 6, 6]);
    assert_eq!(each(r#""together-for": "0s""#), [60, 18, 64]);
}

/// Several people make one alert about the network, which names them; an attack at the same time makes
/// one of its own, and each names both ends.
#[test]
fn what_is_new_for_all_is_told_together() {
    let mut rows: Vec<Row> = at_home();
    for n in 0..7 {
        let name = format!("colleague-{n}@example.com");
        rows.extend((0..10).map(|day| row(MONDAY + day * DAY + 9 * HOUR, &name, BERLIN)));
        rows.push(row(THEN + n * 60_000, &name, NEW_YORK));
    }
    rows.push(row(THEN + HOUR / 2, ANA, NEW_YORK));
    rows.push(row(THEN + 2 * HOUR, ANA, TOKYO));
    rows.sort_by_key(|row| row.time);
    let mut run = Run::new("");
    run.feed(&arrived(rows));
    let alerts: Vec<String> = run.alerts().into_iter().map(|(group, _)| group).collect();
    assert_eq!(alerts, ["JP Telecom JP", "US Telecom US"]);
    run.findings.sort_by(|a, b| a.group.cmp(&b.group));
    let evidence = run.findings.iter().map(|finding| finding.evidence.len());
    assert_eq!(evidence.collect::<Vec<_>>(), [2, 16]);
    insta::assert_snapshot!(run.findings[1].summary, @"ana@example.com was in Berlin, DE (DE Telecom, 198.51.0.7) at 2026-01-14T09:00:00Z and in New York, US (US Telecom, 198.51.4.7) at 2026-01-14T10:00:00Z: at least 6,316 km in 60 minutes takes 6,316 km/h, usually at most 900; accuracy 20 and 50 km; learned from 9 days; US Telecom (New York, US) is new for the whole organization: 8 people use it since 2026-01-14; in two places were ana@example.com, colleague-0@example.com, colleague-1@example.com, colleague-2@example.com, colleague-3@example.com and 3 more");
    let details = run.findings[1].details.iter().rev().take(4);
    let details = details.map(|(name, value)| format!("{name}: {value}\n"));
    insta::assert_snapshot!(details.collect::<String>(), @r"
    people: ana@example.com, colleague-0@example.com, colleague-1@example.com, colleague-2@example.com, colleague-3@example.com, colleague-4@example.com, colleague-5@example.com, colleague-6@example.com
    new-since: 2026-01-14
    used-by: 8
    new-for-all: US Telecom (New York, US)
    ");
}
