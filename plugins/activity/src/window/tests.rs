//! Windows against brute force: every instant looks at every activity.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use crate::entry::{Entry, Held};
use crate::rule::{Measure, Planted, Rule};
use crate::state;

/// Evidence by bucket, each activity as (time, sequence).
type Evidences = BTreeMap<i64, BTreeSet<(i64, u64)>>;

fn rule(count: usize, distinct: bool, [within, lateness, quiet]: [i64; 3]) -> Rule {
    let measure = if distinct { Measure::Distinct(count) } else { Measure::Count(count) };
    Rule { measure, within, lateness, quiet, graded: false, planted: Planted::Nothing }
}

/// What the definition says, word for word.
fn brute_force(rule: &Rule, activities: &[Entry]) -> Evidences {
    let distinct = matches!(rule.measure, Measure::Distinct(_));
    let mut buckets = Evidences::new();
    for instant in activities.iter().map(|activity| activity.time) {
        let window: Vec<_> = activities
            .iter()
            .filter(|other| instant - rule.within < other.time && other.time <= instant)
            .collect();
        let values: BTreeSet<_> = window.iter().map(|activity| activity.value).collect();
        let number = if distinct { values.len() } else { window.len() };
        if number >= rule.least() {
            let start = instant.div_euclid(rule.quiet) * rule.quiet;
            let evidence = window.iter().map(|activity| (activity.time, activity.sequence));
            buckets.entry(start).or_default().extend(evidence);
        }
    }
    buckets
}

/// Feeds batches as the detector does, state as bytes in between. Returns the evidence by bucket
/// and the state at the end.
fn feed(rule: &Rule, batches: &[&[Entry]]) -> Result<(Evidences, Vec<u8>), TestCaseError> {
    let mut buckets = Evidences::new();
    let mut bytes = Vec::new();
    for batch in batches {
        if let Some(after) = state::append(&bytes, rule, batch) {
            bytes = after;
            continue;
        }
        let mut held = state::read(&bytes, rule).expect("own state");
        for fired in rule.advance(&mut held, batch.iter().copied()) {
            prop_assert!(fired.facts[0] >= rule.least() as i64);
            prop_assert!(fired.evidence.is_sorted());
            let bucket = buckets.entry(fired.start).or_default();
            for evidence in fired.evidence {
                prop_assert!(
                    bucket.insert((evidence.time, evidence.sequence)),
                    "{evidence:?} is reported twice in bucket {}",
                    fired.start
                );
            }
        }
        bytes = state::write(&held, rule);
    }
    Ok((buckets, bytes))
}

/// A rule, the activities in two orders of arrival that keep within its lateness, and two ways to
/// cut them into batches.
#[derive(Clone, Debug)]
struct Case {
    rule: Rule,
    orders: [Vec<Entry>; 2],
    cuts: [Vec<usize>; 2],
}

/// Streams that are many times as long as what is remembered, so that forgetting is tried too.
fn cases() -> impl Strategy<Value = Case> {
    let parts = (2usize..6, 1i64..40, 0i64..120, 0i64..60, any::<bool>());
    let activity = (-300i64..900, 0u64..5, 0i64..=1000, 0i64..=1000);
    let cuts = || proptest::collection::vec(0usize..80, 0..12);
    (parts, proptest::collection::vec(activity, 0..80), cuts(), cuts()).prop_map(
        |((count, within, lateness, more, distinct), activities, first, second)| {
            let rule = rule(count, distinct, [within, lateness, within + more]);
            // An activity is delayed by at most the lateness, so it is never older than that
            // beside the newest that came before it.
            let order = |delay: fn(&(i64, u64, i64, i64)) -> i64| {
                let mut order: Vec<_> = activities
                    .iter()
                    .enumerate()
                    .map(|(sequence, activity)| {
                        let (time, value, ..) = *activity;
                        let value = if distinct { value } else { 0 };
                        let sequence = sequence as u64;
                        let entry = Entry { time, sequence, value, ..Entry::default() };
                        (time + delay(activity) * lateness / 1000, entry)
                    })
                    .collect();
                order.sort_by_key(|(arrival, _)| *arrival);
                order.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>()
            };
            Case { rule, orders: [order(|a| a.2), order(|a| a.3)], cuts: [first, second] }
        },
    )
}

fn cut<'a>(stream: &'a [Entry], cuts: &[usize]) -> Vec<&'a [Entry]> {
    let mut places: Vec<_> = cuts.iter().map(|&place| place.min(stream.len())).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// The whole promise: evidence as by brute force, and the same bytes of state, for every order of
/// arrival within the lateness and every split into batches.
fn promise(case: &Case, planted: bool) -> Result<(), TestCaseError> {
    let planted = if planted { Planted::Closed } else { Planted::Nothing };
    let rule = Rule { planted, ..case.rule.clone() };
    let mut states = BTreeSet::new();
    for order in &case.orders {
        let expected = brute_force(&case.rule, order);
        for cuts in &case.cuts {
            let (evidence, state) = feed(&rule, &cut(order, cuts))?;
            prop_assert_eq!(&evidence, &expected);
            states.insert(state);
        }
    }
    prop_assert_eq!(states.len(), 1, "state depends on order or split: {:?}", states);
    Ok(())
}

fn runner() -> TestRunner {
    let config = Config { cases: 3000, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
}

#[test]
fn windows_agree_with_brute_force_in_any_order_and_split() {
    let fired = std::cell::Cell::new(0);
    runner()
        .run(&cases(), |case| {
            fired.set(
                fired.get() + usize::from(!brute_force(&case.rule, &case.orders[0]).is_empty()),
            );
            promise(&case, false)
        })
        .unwrap();
    // Streams in which nothing happens would prove nothing.
    assert!(fired.get() > 1000, "only {} of 3000 streams fire", fired.get());
}

/// The test above is worth something: it finds a window that is closed at both ends.
#[test]
fn a_planted_mistake_is_found() {
    let found = runner().run(&cases(), |case| promise(&case, true));
    assert!(matches!(found, Err(TestError::Fail(..))), "{found:?}");
}

fn entry(time: i64, sequence: u64) -> Entry {
    Entry { time, sequence, ..Entry::default() }
}

/// What is too late is counted nowhere, however the stream is split.
#[test]
fn an_activity_older_than_the_lateness_is_left_out() {
    let rule = rule(2, false, [50, 10, 100]);
    let stream = [entry(1000, 0), entry(989, 1), entry(990, 2)];
    for cuts in [vec![], vec![1], vec![2], vec![1, 2]] {
        let (evidence, _) = feed(&rule, &cut(&stream, &cuts)).unwrap();
        assert_eq!(evidence, Evidences::from([(1000, BTreeSet::from([(990, 2), (1000, 0)]))]));
    }
}

/// The end of the window that lies back is not in it; its own instant is.
#[test]
fn windows_are_half_open() {
    let rule = rule(2, false, [50, 100, 50]);
    for (first, fires) in [(950, false), (951, true), (1000, true)] {
        let (evidence, _) = feed(&rule, &[&[entry(first, 0)], &[entry(1000, 1)]]).unwrap();
        assert_eq!(!evidence.is_empty(), fires, "{first}");
    }
}

/// A key that never rests takes a bounded place, still fires, and says that it dropped something.
#[test]
fn a_busy_key_is_bounded_and_says_so() {
    let rule = rule(30, false, [1000, 1_000_000, 1000]);
    let mut held = Held::default();
    for batch in 0..20 {
        let fired =
            rule.advance(&mut held, (0..1000).map(|n| entry(batch * 10_000 + n * 10, n as u64)));
        assert_eq!(fired.len(), 10, "batch {batch}");
        assert_eq!(held.overflowed, batch >= 4, "batch {batch}");
        assert!(held.entries.len() <= rule.limit());
    }
    // Once it rests, what was dropped lies too far back to matter.
    rule.advance(&mut held, std::iter::once(entry(10_000_000, 0)));
    assert!(!held.overflowed);
    assert_eq!(held.entries.len(), 1);
}

/// Extreme times neither overflow nor loop.
#[test]
fn extreme_times_are_survived() {
    for distinct in [false, true] {
        let rule = rule(2, distinct, [50, 100, 50]);
        let times = [i64::MIN + 1, 0, i64::MAX - 1, i64::MAX, i64::MIN + 1];
        let stream: Vec<_> = times
            .iter()
            .enumerate()
            .map(|(n, &t)| Entry {
                value: if distinct { n as u64 } else { 0 },
                ..entry(t, n as u64)
            })
            .collect();
        let mut held = Held::default();
        for entry in stream {
            rule.advance(&mut held, std::iter::once(entry));
            let bytes = state::write(&held, &rule);
            assert_eq!(state::read(&bytes, &rule), Some(held.clone()));
        }
    }
}
