//! What people are told: findings, and what is wrong with settings. And what becomes of bytes that
//! nobody wrote.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::allow_attributes,
    reason = "what helps a test may fail loudly"
)]

mod support;

use std::collections::BTreeSet;

use casbah_novelty::Novelty;
use casbah_plugin::Detector;
use support::*;

/// A month of Germany, with a few days of France, among twenty colleagues.
fn month() -> Vec<Row> {
    let mut rows: Vec<Row> =
        (0..20).map(|n| row(MONDAY + n, &format!("colleague-{n}@example.com"), "DE")).collect();
    for day in 0..30 {
        let country = if day % 10 == 4 { "FR" } else { "DE" };
        rows.push(row(MONDAY + day * DAY + 1000, "ana@example.com", country));
    }
    rows
}

fn told(run: &Run) -> String {
    let mut text = String::new();
    for finding in &run.findings {
        text.push_str(&format!(
            "{}{}\n",
            if finding.behavior { "behavior: " } else { "" },
            finding.summary
        ));
        for (name, value) in &finding.details {
            text.push_str(&format!("  {name}: {value}\n"));
        }
    }
    text
}

#[test]
fn a_new_country_is_explained() {
    let mut run = Run::new(r#""value": "country""#);
    run.feed(&month());
    assert_eq!(run.findings, []);
    run.feed(&[row(MONDAY + 30 * DAY, "ana@example.com", "BR")]);
    insta::assert_snapshot!(told(&run), @r"
    Country `BR` is new for the whole organization: nobody of 21 people used it before 2026-02-04; since then ana@example.com, usually DE (26 days), FR (3 days); learned from 29 days since 2026-01-05
      score: 3.20
      line: 2.90
      observed: BR
      expected: usually DE (26 days), FR (3 days)
      quantile: one such day in about 1581
      values: 2
      others: 0
      population: 21
      last-used: never
      learned-days: 29
      learned-since: 2026-01-05
      people: ana@example.com
      used-by: 1
      new-since: 2026-02-04
      kinds: view
      countries: BR
    ");
}

/// Several people at once, and one more later: one alert, which names them.
#[test]
fn what_is_new_for_all_is_told_together() {
    let new = |hour: i64, who: &str| row(MONDAY + 30 * DAY + hour * 3_600_000, who, "IE");
    let mut rows = month();
    for colleague in 0..20 {
        let who = format!("colleague-{colleague}@example.com");
        rows.extend((1..30).map(|day| row(MONDAY + day * DAY, &who, "DE")));
    }
    rows.sort_by_key(|row| row.time);
    let mut run = Run::new(r#""value": "country", "group": ["person", "country"]"#);
    run.feed(&rows);
    run.findings.clear();
    let colleague = |n: i64| new(n, &format!("colleague-{n}@example.com"));
    let mut first: Vec<Row> = (1..=7).map(colleague).collect();
    first.push(new(8, "colleague-7@example.com"));
    run.feed(&first);
    run.feed(&[new(26, "ana@example.com")]);
    let groups: Vec<_> = run.findings.iter().map(|finding| &finding.group).collect();
    assert_eq!(groups, [&[("country".to_owned(), "IE".to_owned())]; 2]);
    assert_eq!(run.findings[0].evidence.len(), 8);
    insta::assert_snapshot!(told(&run), @r"
    Country `IE` is new for the whole organization: nobody of 21 people used it before 2026-02-04; since then colleague-7@example.com, usually DE (29 days), and 6 others, such as colleague-1@example.com, colleague-2@example.com, colleague-3@example.com, colleague-4@example.com, colleague-5@example.com; learned from 29 days since 2026-01-05
      score: 3.50
      line: 2.90
      observed: IE
      expected: usually DE (29 days)
      quantile: one such day in about 3162
      values: 1
      others: 0
      population: 21
      last-used: never
      learned-days: 29
      learned-since: 2026-01-05
      people: colleague-1@example.com, colleague-2@example.com, colleague-3@example.com, colleague-4@example.com, colleague-5@example.com, colleague-6@example.com, colleague-7@example.com
      used-by: 7
      new-since: 2026-02-04
      kinds: view
      countries: IE
    Country `IE` is new for the whole organization: nobody of 21 people used it before 2026-02-04; since then ana@example.com, usually DE (27 days), FR (3 days), and 7 others; learned from 30 days since 2026-01-05
      score: 3.21
      line: 2.90
      observed: IE
      expected: usually DE (27 days), FR (3 days)
      quantile: one such day in about 1632
      values: 2
      others: 0
      population: 21
      last-used: never
      learned-days: 30
      learned-since: 2026-01-05
      people: ana@example.com
      used-by: 8
      new-since: 2026-02-04
      kinds: view
      countries: IE
    ");
}

/// What a colleague used while the organization was being learned was there before, as far as is known; what
/// they used after that is new for all.
#[test]
fn nothing_of_the_first_week_is_new_for_all() {
    let about = |colleague_was_there: i64| {
        let mut run = Run::new(
            r#""value": "country", "group": ["person", "country"], "sensitivity": "high""#,
        );
        run.feed(&month()[..20]);
        for day in 0..12 {
            let mut rows: Vec<Row> =
                (0..3).map(|n| row(MONDAY + day * DAY + n, "ana@example.com", "DE")).collect();
            if day == colleague_was_there {
                rows.push(row(MONDAY + day * DAY + 4, "colleague-0@example.com", "BR"));
            }
            run.feed(&rows);
        }
        run.findings.clear();
        run.feed(&[row(MONDAY + 12 * DAY, "ana@example.com", "BR")]);
        let groups = run.findings.iter().filter(|finding| !finding.behavior);
        groups.map(|finding| finding.group.len()).collect::<Vec<_>>()
    };
    assert_eq!(about(6), [2]);
    assert_eq!(about(7), [1]);
    assert_eq!(about(11), [1]);
}

/// Something that many begin to use makes a handful of alerts, whether all begin at once, a few every
/// day, or a few try it out before.
#[test]
fn a_roll_out_makes_a_handful_of_alerts() {
    let everybody = 400;
    // How many have begun after so many days.
    let all_at_once: &dyn Fn(i64) -> i64 = &|_| everybody;
    let slow: &dyn Fn(i64) -> i64 = &|day| 2 * (day + 1);
    let piloted: &dyn Fn(i64) -> i64 = &|day| if day < 9 { 3 } else { everybody };
    let alerts = |more: &str, begun: &dyn Fn(i64) -> i64| {
        let mut run =
            Run::new(&format!(r#""value": "country", "group": ["person", "country"]{more}"#));
        for day in 0..50 {
            let mut rows: Vec<Row> = Vec::new();
            for who in 0..everybody {
                let is_new = day >= 30 && who < begun(day - 30);
                let country = if is_new && (who + day) % 2 == 0 { "IE" } else { "DE" };
                let time = MONDAY + day * DAY + 30_000_000 + who * 60_000;
                rows.push(row(time, &format!("p{who}"), country));
            }
            run.feed(&rows);
        }
        let found = run.findings.iter().filter(|finding| !finding.behavior);
        found.map(|finding| (finding.group.clone(), finding.start)).collect::<BTreeSet<_>>().len()
    };
    let each = |more| [all_at_once, slow, piloted].map(|begun| alerts(more, begun));
    // The quiet time is a day here. All at once: the first two days. Slowly: until so many are known that
    // it is not rare any more. Piloted: the days of the pilot that are rare, and the first two of all.
    assert_eq!(each(""), [2, 4, 4]);
    // A pilot longer than that is not new any more when all begin.
    assert_eq!(each(r#", "together-for": "7d""#), [2, 4, 399]);
    // Only while nobody is known to use it.
    assert_eq!(each(r#", "together-for": "1d""#), [2, 6, 399]);
    assert_eq!(each(r#", "together-for": "0s""#), [400, 7, 400]);
}

#[test]
fn a_value_without_a_short_name_is_explained() {
    let mut run = Run::new(r#""value": {"columns": ["app", "country"]}, "line": 6"#);
    run.feed(&month());
    run.findings.clear();
    run.feed(&[row(MONDAY + 30 * DAY, "ana@example.com", "BR")]);
    insta::assert_snapshot!(told(&run), @r"
    behavior: App and country `smartsheet BR` is new for ana@example.com, who usually uses 2 others, and 0 of 20 others used it before; learned from 29 days since 2026-01-05
      score: 3.20
      line: 6.00
      observed: smartsheet BR
      expected: who usually uses 2 others
      quantile: one such day in about 1581
      values: 2
      others: 0
      population: 21
      last-used: never
      learned-days: 29
      learned-since: 2026-01-05
      kinds: view
      countries: BR
    ");
}

#[test]
fn a_first_time_is_explained() {
    let mut run = Run::new(r#""mode": "first-time""#);
    run.feed(&month());
    run.feed(&[row(MONDAY + 30 * DAY, "bo@example.com", "DE")]);
    insta::assert_snapshot!(told(&run), @r"
    bo@example.com viewed for the first time: 21 others did such things before, 0 of them for the first time in 22 days; learned since 2026-01-05
      score: 1.62
      line: 1.00
      observed: bo@example.com
      expected: 0 such first times in 22 days
      known: 21
      last-seen: never
      learned-days: 22
      learned-since: 2026-01-05
      kinds: view
      countries: DE
    ");
}

#[test]
fn what_is_new_to_the_organization_is_explained() {
    let mut run =
        Run::new(r#""mode": "new-for-organization", "value": "country", "group": ["country"]"#);
    run.feed(&month());
    run.feed(&[row(MONDAY + 30 * DAY, "ana@example.com", "BR")]);
    insta::assert_snapshot!(told(&run), @r"
    `BR` is new to the organization: 2 were known, 0 of them new in 22 days; learned since 2026-01-05
      score: 1.62
      line: 1.00
      observed: BR
      expected: 0 such first times in 22 days
      known: 2
      last-seen: never
      learned-days: 22
      learned-since: 2026-01-05
      kinds: view
      countries: BR
    ");
}

#[test]
fn silence_is_explained() {
    let mut run = Run::new(r#""after-silence": "60d""#);
    run.feed(&[
        row(MONDAY, "ana@example.com", "DE"),
        row(MONDAY + 61 * DAY, "ana@example.com", "DE"),
    ]);
    run.feed(&[row(MONDAY + 100 * DAY, "ana@example.com", "DE")]);
    insta::assert_snapshot!(told(&run), @r"
    ana@example.com viewed after 61 days of silence, since 2026-01-05
      score: 1.02
      line: 1.00
      observed: 61 days of silence
      silence: 60 days
      last-seen: 2026-01-05
      kinds: view
      countries: DE
    behavior: ana@example.com viewed after 39 days of silence, since 2026-03-07
      score: 0.65
      line: 1.00
      observed: 39 days of silence
      silence: 60 days
      last-seen: 2026-03-07
      kinds: view
      countries: DE
    ");
}

fn problems(more: &str) -> String {
    let problems = Novelty::configure(&[settings(more)]).err().unwrap();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

#[test]
fn wrong_settings_are_named() {
    insta::assert_snapshot!(problems(r#""mode": "first-seen""#), @r"
    : `value` is missing: it says what is looked at
    hint: `value: country`
    ");
    insta::assert_snapshot!(problems(r#""value": "contry", "lines": 3"#), @r"
    /lines: `lines` is not a setting of this detector
    hint: did you mean `line`?

    /value: `contry` is not a field
    hint: did you mean `country`?
    ");
    insta::assert_snapshot!(problems(r#""value": {"columns": []}"#), @r"
    /value: `value` names no column
    hint: `value: country`
    ");
    insta::assert_snapshot!(problems(r#""value": "country", "after-silence": "60d""#), @r"
    /value: `value` has no meaning here: `after-silence` looks at nothing but time
    hint: leave one of them out
    ");
    insta::assert_snapshot!(problems(r#""mode": "first-time", "value": "country", "budget": 3"#), @r"
    /value: `value` has no meaning here: `mode: first-time` looks at nothing but `by`
    hint: leave one of them out

    /budget: scores of this mode are no chances, so a budget can't be told from them alone
    hint: `casbah policy calibrate` finds the `line` for a budget in the stored log
    ");
    insta::assert_snapshot!(problems(r#""value": "country", "group": ["city"], "learn": "2h", "sensitivity": "hgh""#), @r"
    /learn: `learn` must be at least as long as `lateness`, which is 1 day
    hint: `learn: 0s` switches learning off

    /sensitivity: `hgh` is not a value of `sensitivity`
    hint: did you mean `high`?

    /group/0: alerts can't be grouped by `city`: activities are counted by `person`, `country`
    hint: add `city` to `by`, or group by what is counted by
    ");
    insta::assert_snapshot!(problems(r#""mode": "first-time", "together-for": "2d""#), @r"
    /together-for: `together-for` has no meaning here: `mode: first-time` looks at nothing but `by`
    hint: leave one of them out
    ");
    insta::assert_snapshot!(problems(r#""value": "country", "budget": 3, "sensitivity": "low""#), @r"
    /budget: `sensitivity` and `budget` say the same in two ways
    hint: leave one of them out
    ");
    insta::assert_snapshot!(problems(r#""value": "country", "lateness": "8d", "rare-below": 2, "floor": 0, "events": -1"#), @r"
    /lateness: `8d` is too long; at most `7d`

    /rare-below: `rare-below` must be a number from 0 to 1, not `2`

    /floor: `floor` must be an integer from 1 to 64, not `0`

    /events: `events` must be an integer from 0 to 10000, not `-1`
    ");
}

/// The schema describes every setting, so that forms and editors can tell what it is for.
#[test]
fn every_setting_is_described() {
    let schema = Novelty::describe().settings;
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(property["description"].is_string(), "{name}");
    }
}

/// `casbah policy calibrate` lowers the line to see every score.
#[test]
fn everything_is_a_behavior_where_the_line_is_out_of_reach() {
    let mut run = Run::new(r#""value": "country", "line": 1e9, "behaviors-from": 0"#);
    run.feed(&month());
    run.feed(&[row(MONDAY + 30 * DAY, "ana@example.com", "BR")]);
    let last = run.findings.last().unwrap();
    assert!(last.behavior && detail(last, "score").parse::<f64>().unwrap() > 3.0);
    assert_eq!(last.group, [("country".to_owned(), "BR".to_owned())], "as the alert would be");
    assert!(run.findings.iter().all(|finding| finding.behavior));
}

/// A state that was not written by this detector is an error, never a panic or a guess.
#[test]
fn foreign_states_are_refused() {
    let mut run = Run::new(r#""value": "country""#);
    run.feed(&month());
    let next = [row(MONDAY + 30 * DAY, "ana@example.com", "BR")];
    for key in run.states.keys().cloned().collect::<Vec<_>>() {
        let good = run.states[&key].clone();
        for bad in [&[9, 1, 2][..], &good[..good.len() - 1], &[0xff; 40]] {
            run.states.insert(key.clone(), bad.to_vec());
            let asked = run.try_feed(&next);
            if let Err(message) = asked {
                assert!(message.contains("can't be read"), "{message}");
            } else {
                // Only what is asked for can be refused.
                assert!(
                    key.key.starts_with("colleague")
                        || key.key.starts_with("\u{1f}vDE")
                        || key.key.starts_with("\u{1f}vFR"),
                    "{key:?}"
                );
            }
        }
        run.states.insert(key, good);
    }
    run.feed(&next);
}

/// Activities with times that can't be are passed over.
#[test]
fn incredible_times_are_passed_over() {
    let mut run = Run::new(r#""value": "country""#);
    run.feed(&month());
    let states = run.states.clone();
    let mut builder = casbah_plugin::BatchBuilder::new();
    for (time, received) in [(None, MONDAY), (Some(MONDAY + 900 * DAY), MONDAY + 31 * DAY)] {
        builder.begin_row();
        if let Some(time) = time {
            builder.integer("time", time);
        }
        builder.integer("received", received);
        builder.text("kind", "view");
        builder.text("person", "ana@example.com");
        builder.text("country", "BR");
    }
    run.try_feed_batch(&builder.finish()).unwrap();
    assert_eq!((run.findings.len(), &run.states), (0, &states));
}

/// What comes later than the lateness raises nothing, but teaches: the next time it is nothing new.
#[test]
fn what_comes_too_late_only_teaches() {
    let late = row(MONDAY + 27 * DAY, "ana@example.com", "BR");
    let mut run = Run::new(r#""value": "country""#);
    run.feed(&month());
    // A day that came in time after the newest must not make the newest older.
    run.feed(&[row(MONDAY + 28 * DAY, "ana@example.com", "DE"), late]);
    assert_eq!(run.findings, []);
    run.feed(&[row(MONDAY + 30 * DAY, "ana@example.com", "BR")]);
    assert_eq!(run.findings, []);
    run.feed(&[row(MONDAY + 30 * DAY, "ana@example.com", "JP")]);
    assert_eq!(run.findings.len(), 1);
}
