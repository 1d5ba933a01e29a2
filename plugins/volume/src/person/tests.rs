use super::*;
use crate::baseline::Fade;
use crate::calendar::Calendar;
use crate::judge::Judge;
use proptest::prelude::*;

fn rule(kinds: &[Per], distinct: bool) -> Rule {
    Rule {
        kinds: kinds.to_vec(),
        gap: 30 * 60_000,
        distinct,
        calendar: Calendar { weekend: 0b110_0000, lateness: DAY },
        fade: Fade::of(30.0),
    }
}

fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for distinct in [false, true] {
        for kinds in [
            &[Per::Day][..],
            &[Per::Hour],
            &[Per::Session],
            &[Per::Day, Per::Session],
            &[Per::Day, Per::Hour, Per::Session],
        ] {
            rules.push(rule(kinds, distinct));
        }
    }
    rules
}

fn arrival(time: i64, sequence: u64) -> Arrival {
    Arrival {
        evidence: Evidence { time, sequence },
        hash: (sequence as u32).wrapping_mul(2_654_435_769) >> 4,
    }
}

/// Takes activities in, in this order, each way through bytes when `cut` says so.
fn take(rule: &Rule, times: &[(i64, u64)], cut: impl Fn(usize) -> bool) -> (Person, Vec<Change>) {
    let mut changes = Vec::new();
    let mut person = Person::new(rule, times[0].0);
    for (index, &(time, sequence)) in times.iter().enumerate() {
        if person.admit(rule, time) {
            let counted = person.count(rule, &arrival(time, sequence), &mut changes);
            person.keep(counted.day, Evidence { time, sequence });
            if sequence % 7 == 0 {
                person.find_strange(counted.day, &mut Vec::new());
            }
        }
        if cut(index) {
            person = Person::read(&person.write(rule), rule).unwrap();
        }
    }
    (person, changes)
}

/// What the changes of a day come to, by kind and count.
fn net(changes: &[Change]) -> std::collections::BTreeMap<(i64, usize, u64), i64> {
    let mut net = std::collections::BTreeMap::new();
    for change in changes {
        let Change::Count { day, kind, before, after, .. } = *change else { continue };
        for (count, by) in [(before, -1), (after, 1)] {
            if count > 0 {
                *net.entry((day, kind, count)).or_insert(0) += by;
            }
        }
    }
    net.retain(|_, number| *number != 0);
    net
}

fn times() -> impl Strategy<Value = Vec<(i64, u64)>> {
    let step = prop_oneof![5 => 0i64..50 * 60_000, 2 => 0..3 * DAY, 1 => 0..30 * DAY];
    proptest::collection::vec(step, 1..80).prop_map(|steps| {
        let mut time = 1_790_000_000_000;
        let numbered = steps.into_iter().zip(1..).map(|(step, sequence)| {
            time += step;
            (time, sequence)
        });
        numbered.collect()
    })
}

proptest! {
    /// Writing and reading in between changes nothing.
    #[test]
    fn bytes_are_the_whole_memory(times in times(), cuts: u64) {
        for rule in rules() {
            let (whole, all) = take(&rule, &times, |_| false);
            let (cut, same) = take(&rule, &times, |index| cuts >> (index % 64) & 1 == 1);
            prop_assert_eq!(&whole, &cut);
            prop_assert_eq!(net(&all), net(&same));
        }
    }

    /// Any order within the lateness comes to the same bytes, up to what has been evidence when.
    #[test]
    fn order_does_not_matter(times in times(), delays in proptest::collection::vec(0..DAY, 80)) {
        let mut late: Vec<_> = times.iter().zip(&delays).map(|(&of, delay)| (of.0 + delay, of)).collect();
        late.sort_unstable();
        let late: Vec<_> = late.into_iter().map(|(_, of)| of).collect();
        for rule in rules() {
            let quiet = |times: &[(i64, u64)]| {
                let mut changes = Vec::new();
                let mut person = Person::new(&rule, times[0].0);
                for &(time, sequence) in times {
                    assert!(person.admit(&rule, time), "within the lateness");
                    let counted = person.count(&rule, &arrival(time, sequence), &mut changes);
                    person.keep(counted.day, Evidence { time, sequence });
                }
                (person.write(&rule), net(&changes))
            };
            prop_assert_eq!(quiet(&times), quiet(&late));
        }
    }

    /// Buckets are what a plain look at all activities of the day says.
    #[test]
    fn buckets_are_what_they_should_be(mut times in times()) {
        let rule = rule(&[Per::Day, Per::Hour, Per::Session], false);
        let (person, changes) = take(&rule, &times, |_| false);
        times.sort_unstable();
        let mut expected = std::collections::BTreeMap::new();
        let mut add = |day, kind, count: usize| *expected.entry((day, kind, count as u64)).or_insert(0) += 1;
        for day in times.chunk_by(|a, b| a.0.div_euclid(DAY) == b.0.div_euclid(DAY)) {
            let of = day[0].0.div_euclid(DAY);
            add(of, 0, day.len());
            day.chunk_by(|a, b| a.0.div_euclid(HOUR) == b.0.div_euclid(HOUR)).for_each(|hour| add(of, 1, hour.len()));
            day.chunk_by(|a, b| b.0 - a.0 <= rule.gap).for_each(|session| add(of, 2, session.len()));
        }
        prop_assert_eq!(net(&changes), expected);
        let last = times.last().unwrap().0;
        prop_assert!(person.fullest(last.div_euclid(DAY), 2).is_some());
    }

    /// A day is judged by the same sums, however much came after it that is not too late.
    #[test]
    fn what_judges_a_day_does_not_change(times in times()) {
        let rule = rule(&[Per::Day, Per::Session], false);
        let mut person = Person::new(&rule, times[0].0);
        let mut said = std::collections::BTreeMap::new();
        for &(time, sequence) in &times {
            person.admit(&rule, time);
            person.count(&rule, &arrival(time, sequence), &mut Vec::new());
            for day in person.live(&rule)..=rule.calendar.day(time) {
                if day >= person.since {
                    let models = person.models(&rule, day);
                    prop_assert_eq!(said.entry(day).or_insert(models), &models);
                }
            }
        }
    }

    #[test]
    fn garbage_is_no_person(bytes in proptest::collection::vec(any::<u8>(), 0..60), place: usize, byte: u8) {
        let times: Vec<_> = (0..40).map(|n| (1_790_000_000_000 + n * 7_000_000, n as u64)).collect();
        for rule in rules() {
            let mut mutated = take(&rule, &times, |_| false).0.write(&rule);
            let place = place % mutated.len();
            mutated[place] = byte;
            let mut versioned = vec![1];
            versioned.extend(&bytes);
            for bytes in [&bytes, &versioned, &mutated] {
                let Some(mut person) = Person::read(bytes, &rule) else { continue };
                let time = person.newest.saturating_add(1);
                person.admit(&rule, time);
                let counted = person.count(&rule, &arrival(time, 9), &mut Vec::new());
                person.find_strange(counted.day, &mut Vec::new());
                let _ = person.models(&rule, counted.day);
                let _ = person.write(&rule);
                let _ = Judge::default();
            }
        }
    }
}

#[test]
fn what_comes_too_late_is_not_counted() {
    let rule = rule(&[Per::Day], false);
    let mut person = Person::new(&rule, 10 * DAY);
    assert!(person.admit(&rule, 9 * DAY) && !person.admit(&rule, 9 * DAY - 1));
}

#[test]
fn after_years_somebody_is_a_newcomer() {
    let rule = rule(&[Per::Day], false);
    let (mut person, _) = take(&rule, &[(0, 1), (DAY, 2), (9 * DAY, 3)], |_| false);
    assert!(person.admit(&rule, 2000 * DAY));
    assert_eq!(person, Person::new(&rule, 2000 * DAY));
}

/// Two sessions become one when an activity between them arrives.
#[test]
fn a_late_activity_joins_sessions() {
    let rule = rule(&[Per::Session], false);
    let minute = 60_000;
    let mut person = Person::new(&rule, 0);
    let mut changes = Vec::new();
    for time in [0, 50 * minute, 51 * minute, 25 * minute] {
        person.admit(&rule, time);
        person.count(&rule, &arrival(time, time as u64), &mut changes);
    }
    assert_eq!(person.fullest(0, 0).map(Bucket::span), Some((0, 51 * minute)));
    assert_eq!(net(&changes), [((0, 0, 4), 1)].into());
}

/// The size of the store is planned with this: a user with six activities in two
/// sessions on each working day.
#[test]
fn the_common_user_is_small() {
    for (kinds, distinct, most) in [
        (&[Per::Day][..], false, 130),
        (&[Per::Day], true, 180),
        (&[Per::Session], false, 140),
        (&[Per::Day, Per::Session], true, 220),
    ] {
        let rule = rule(kinds, distinct);
        let times: Vec<_> = (0..60)
            .filter(|day| day % 7 < 5)
            .flat_map(|day| {
                (0..6).map(move |n| {
                    (
                        20_000 * DAY + day * DAY + 9 * HOUR + n / 3 * 3 * HOUR + n * 333_333,
                        (day * 600 + n * 31) as u64,
                    )
                })
            })
            .collect();
        let mut person = Person::new(&rule, times[0].0);
        for &(time, sequence) in &times {
            person.admit(&rule, time);
            let counted = person.count(&rule, &arrival(time, sequence), &mut Vec::new());
            person.keep(counted.day, Evidence { time, sequence });
        }
        let length = person.write(&rule).len();
        assert!(length < most, "{length} bytes, {kinds:?}, {distinct}");
        println!("{kinds:?} {distinct}: {length} bytes");
    }
}
