//! The whole detector against brute force: every kind of rule, on random streams with disorder, in
//! any split into batches. The oracle takes the definitions word by word, and knows no state.

use std::collections::{BTreeMap, BTreeSet};

use casbah_model::{BatchBuilder, Severity};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::rule::Planted;

/// A made-up activity.
#[derive(Clone, Debug)]
struct Made {
    time: i64,
    sequence: u64,
    actor: &'static str,
    recipient: &'static str,
    /// What it can be: some of `A`, `B`, `C`, `X` and `H`.
    roles: String,
    object: &'static str,
    /// In thousandths.
    size: Option<i64>,
}

/// What a policy says, as the oracle understands it.
#[derive(Clone, Debug)]
enum Spec {
    Count(usize),
    Distinct(usize),
    Sum(usize, i64),
    Average(usize, i64, bool),
    Percentile(usize, u8, i64),
    /// Steps; with what must not come behind which of them; which step is by the recipient.
    Ordered(Vec<char>, BTreeSet<usize>, Option<usize>),
    Together(Vec<char>),
    /// Whether what is expected is something else.
    Absence(bool),
}

#[derive(Clone, Debug)]
struct Case {
    spec: Spec,
    within: i64,
    lateness: i64,
    quiet: i64,
    graded: bool,
    orders: [Vec<Made>; 2],
    cuts: [Vec<usize>; 2],
}

type Alerts = BTreeMap<(String, i64), (BTreeSet<(i64, u64)>, Option<Severity>)>;
type States = BTreeMap<StateKey, Vec<u8>>;

impl Case {
    fn settings(&self) -> String {
        let seconds = |ms: i64| format!("{}s", ms / 1000);
        let (within, lateness) = (seconds(self.within), seconds(self.lateness));
        let has = |role: char| json!([{"field": "action", "has": role.to_string()}]);
        let when = has('A');
        let limit = |thousandths: i64| json!(thousandths as f64 / 1000.0);
        let mut repeat = json!({"within": within, "lateness": lateness});
        let mut add = |pairs: Value| {
            let pairs = pairs.as_object().unwrap().clone();
            repeat.as_object_mut().unwrap().extend(pairs);
            repeat.clone()
        };
        let mut settings = match &self.spec {
            Spec::Count(count) => json!({"when": when, "repeat": add(json!({"count": count}))}),
            Spec::Distinct(count) => {
                json!({"when": when, "repeat": add(json!({"count": count, "distinct": "object"}))})
            }
            Spec::Sum(count, above) => json!({"when": when, "repeat":
                add(json!({"count": count, "sum": "fields.size", "above": limit(*above)}))}),
            Spec::Average(count, value, below) => {
                let side = if *below { "at-most" } else { "at-least" };
                json!({"when": when, "repeat":
                    add(json!({"count": count, "average": "fields.size", side: limit(*value)}))})
            }
            Spec::Percentile(count, of, above) => json!({"when": when, "repeat":
                add(json!({"count": count, "percentile": {"field": "fields.size", "of": of}, "above": limit(*above)}))}),
            Spec::Ordered(steps, nots, alias) => {
                let mut list = Vec::new();
                for (index, step) in steps.iter().enumerate() {
                    list.push(match alias {
                        Some(alias) if *alias == index => {
                            json!({"when": has(*step), "by": "recipient"})
                        }
                        _ => json!({"when": has(*step)}),
                    });
                    if nots.contains(&index) {
                        list.push(json!({"not": has('X')}));
                    }
                }
                json!({"sequence": add(json!({"steps": list}))})
            }
            Spec::Together(steps) => {
                let list: Vec<_> = steps.iter().map(|step| json!({"when": has(*step)})).collect();
                json!({"sequence": add(json!({"steps": list, "ordered": false}))})
            }
            Spec::Absence(other) => {
                let expect = if *other { json!({"expect": has('X')}) } else { json!({}) };
                json!({"when": when, "absence": add(expect)})
            }
        };
        settings["quiet"] = json!(self.quiet);
        if self.graded {
            settings["severities"] = json!([{"severity": "high", "when": has('H')}]);
        }
        settings.to_string()
    }

    fn bucket(&self, time: i64) -> i64 {
        time.div_euclid(self.quiet) * self.quiet
    }

    /// What the definitions say.
    fn expected(&self, all: &[Made]) -> Alerts {
        let mut alerts = Alerts::new();
        for key in ["ana", "bob"] {
            let mut report = |instant: i64, evidence: Vec<&Made>| {
                if evidence.is_empty() {
                    return;
                }
                let alert = alerts.entry((key.to_owned(), self.bucket(instant))).or_default();
                for made in evidence {
                    alert.0.insert((made.time, made.sequence));
                    if self.graded && made.roles.contains('H') {
                        alert.1 = Some(Severity::High);
                    }
                }
            };
            match &self.spec {
                Spec::Ordered(steps, nots, alias) => {
                    self.ordered(all, key, steps, nots, *alias, report)
                }
                Spec::Absence(other) => {
                    for made in all.iter().filter(|made| made.actor == key && made.is('A')) {
                        let follows = |x: &&Made| {
                            let wanted = x.is(if *other { 'X' } else { 'A' });
                            let itself = x.is('A');
                            let later = x.time > made.time || (x.time == made.time && !itself);
                            x.actor == key && wanted && later && x.time - made.time < self.within
                        };
                        if !all.iter().any(|x| follows(&x)) {
                            report(made.time, vec![made]);
                        }
                    }
                }
                spec => {
                    let counted: Vec<&Made> =
                        all.iter().filter(|made| made.actor == key && made.counts(spec)).collect();
                    for instant in &counted {
                        let window: Vec<&Made> = counted
                            .iter()
                            .copied()
                            .filter(|made| {
                                instant.time - self.within < made.time && made.time <= instant.time
                            })
                            .collect();
                        if fires(spec, &window) {
                            report(instant.time, window);
                        }
                    }
                }
            }
        }
        alerts
    }

    /// Every way to choose activities for the steps.
    fn ordered<'m>(
        &self,
        all: &'m [Made],
        key: &str,
        steps: &[char],
        nots: &BTreeSet<usize>,
        alias: Option<usize>,
        mut report: impl FnMut(i64, Vec<&'m Made>),
    ) {
        let can_be = |made: &Made, step: usize| {
            let value = if alias == Some(step) { made.recipient } else { made.actor };
            value == key && made.is(steps[step])
        };
        let is_step = |made: &Made| (0..steps.len()).any(|step| can_be(made, step));
        let stops = |from: &Made, until: i64, closed: bool| {
            all.iter().any(|x| {
                let breaks = x.actor == key && x.is('X');
                let behind = x.time > from.time || (x.time == from.time && !is_step(x));
                let before = x.time < until || (closed && x.time == until && !is_step(x));
                breaks && behind && before
            })
        };
        let mut chains: Vec<Vec<&Made>> = vec![Vec::new()];
        for step in 0..steps.len() {
            let mut longer = Vec::new();
            for chain in &chains {
                for made in all.iter().filter(|made| can_be(made, step)) {
                    let fits = chain.last().is_none_or(|last| {
                        last.time <= made.time
                            && made.time - chain[0].time < self.within
                            && !chain.iter().any(|other| other.sequence == made.sequence)
                            && !(nots.contains(&(step - 1)) && stops(last, made.time, true))
                    });
                    if fits {
                        longer.push(chain.iter().copied().chain([made]).collect());
                    }
                }
            }
            chains = longer;
        }
        let ends: BTreeSet<i64> = chains.iter().map(|chain| chain[steps.len() - 1].time).collect();
        for end in ends {
            let here = || chains.iter().filter(|chain| chain[steps.len() - 1].time == end);
            let latest = here().map(|chain| chain[0].time).max().unwrap();
            let last = here().next().unwrap()[steps.len() - 1];
            if nots.contains(&(steps.len() - 1)) && stops(last, latest + self.within, false) {
                continue;
            }
            report(end, here().flatten().copied().collect());
        }
    }
}

impl Made {
    fn is(&self, role: char) -> bool {
        self.roles.contains(role)
    }

    fn counts(&self, spec: &Spec) -> bool {
        match spec {
            Spec::Distinct(_) => self.is('A') && !self.object.is_empty(),
            Spec::Sum(..) => self.is('A') && self.size.is_some_and(|size| size >= 0),
            Spec::Average(..) | Spec::Percentile(..) => self.is('A') && self.size.is_some(),
            Spec::Together(steps) => steps.iter().any(|step| self.is(*step)),
            _ => self.is('A'),
        }
    }
}

fn fires(spec: &Spec, window: &[&Made]) -> bool {
    let sizes = || window.iter().filter_map(|made| made.size);
    let (sum, number) = (sizes().sum::<i64>(), window.len());
    match spec {
        Spec::Count(least) => number >= *least,
        Spec::Distinct(least) => {
            window.iter().map(|made| made.object).collect::<BTreeSet<_>>().len() >= *least
        }
        Spec::Sum(least, above) => number >= *least && sum > *above,
        Spec::Average(least, value, below) => {
            let value = value * number as i64;
            number >= *least && if *below { sum <= value } else { sum >= value }
        }
        Spec::Percentile(least, of, above) => {
            let mut sizes: Vec<i64> = sizes().collect();
            sizes.sort_unstable();
            // The first of them that so many percent do not exceed.
            let enough = |size: i64| {
                let at_most = sizes.iter().filter(|&&other| other <= size).count();
                at_most * 100 >= number * usize::from(*of)
            };
            number >= *least && *sizes.iter().find(|&&size| enough(size)).unwrap() > *above
        }
        Spec::Together(steps) => given(steps, window),
        _ => false,
    }
}

/// Whether each step can be given an activity of its own.
fn given(steps: &[char], left: &[&Made]) -> bool {
    let Some((step, others)) = steps.split_first() else { return true };
    (0..left.len()).any(|place| {
        let mut rest = left.to_vec();
        rest.remove(place).is(*step) && given(others, &rest)
    })
}

fn spec() -> impl Strategy<Value = Spec> {
    let quantity = || (0i64..12).prop_map(|value| value * 500);
    let steps =
        |most| proptest::collection::vec(prop_oneof![Just('A'), Just('B'), Just('C')], 1..=most);
    prop_oneof![
        1 => (2usize..6).prop_map(Spec::Count),
        1 => (2usize..5).prop_map(Spec::Distinct),
        1 => (1usize..4, quantity()).prop_map(|(least, above)| Spec::Sum(least, 4 * above)),
        1 => (1usize..4, quantity(), any::<bool>())
            .prop_map(|(least, value, below)| Spec::Average(least, value, below)),
        1 => (1usize..4, 1u8..=99, quantity())
            .prop_map(|(least, of, above)| Spec::Percentile(least, of, above)),
        1 => steps(3).prop_map(|steps| match steps.len() {
            1 => Spec::Together(vec!['A', steps[0]]),
            _ => Spec::Together(steps),
        }),
        4 => (
            steps(3),
            proptest::collection::btree_set(0usize..3, 0..3),
            proptest::option::of(0usize..5)
        )
            .prop_map(|(steps, mut nots, alias)| {
                nots.retain(|after| *after < steps.len());
                if steps.len() == 1 {
                    nots.insert(0);
                }
                let alias = alias.filter(|alias| *alias < steps.len());
                Spec::Ordered(steps, nots, alias)
            }),
        1 => any::<bool>().prop_map(Spec::Absence),
    ]
}

/// Streams that are many times as long as what is remembered, with many equal times, delayed in two
/// ways by at most the lateness, each to be cut in two ways.
fn cases() -> impl Strategy<Value = Case> {
    let activity = (
        (0i64..160, 0i64..=1000, 0i64..=1000),
        prop_oneof![5 => Just("ana"), 2 => Just("bob"), 1 => Just("")],
        prop_oneof![2 => Just("ana"), 1 => Just("bob"), 1 => Just("")],
        proptest::collection::btree_set(
            prop_oneof![
                3 => Just("A"), 2 => Just("B"), 2 => Just("C"), 2 => Just("X"), 1 => Just("H")
            ],
            0..4,
        ),
        prop_oneof![Just("o1"), Just("o2"), Just("o3"), Just("o4"), Just("")],
        proptest::option::weighted(0.8, -4i64..24),
    );
    let cuts = || proptest::collection::vec(0usize..32, 0..8);
    let times = (1i64..20, 0i64..40, 0i64..30, 500i64..=1000);
    (spec(), times, any::<bool>(), proptest::collection::vec(activity, 0..32), cuts(), cuts())
        .prop_map(|(spec, (within, lateness, more, pace), graded, activities, first, second)| {
            let (within, lateness) = (within * 1000, lateness * 1000);
            let order = |delay: fn(&(i64, i64, i64)) -> i64| {
                let mut order: Vec<_> = activities
                    .iter()
                    .enumerate()
                    .map(|(sequence, (times, actor, recipient, roles, object, size))| {
                        let time = times.0 * pace / 500 * 500;
                        let made = Made {
                            time,
                            sequence: sequence as u64,
                            actor,
                            recipient,
                            roles: roles.iter().copied().collect::<Vec<_>>().join(","),
                            object,
                            size: size.map(|size| size * 500),
                        };
                        (time + delay(times) * lateness / 1000, made)
                    })
                    .collect();
                order.sort_by_key(|(arrival, _)| *arrival);
                order.into_iter().map(|(_, made)| made).collect::<Vec<_>>()
            };
            Case {
                spec,
                within,
                lateness,
                quiet: within + more * 1000,
                graded,
                orders: [order(|times| times.1), order(|times| times.2)],
                cuts: [first, second],
            }
        })
}

fn batch(activities: &[Made]) -> Batch {
    let mut builder = BatchBuilder::new();
    for made in activities {
        builder.begin_row();
        builder.integer("sequence", made.sequence as i64);
        builder.integer("time", made.time);
        builder.text("actor", made.actor);
        builder.text("recipient", made.recipient);
        builder.text("action", &made.roles);
        builder.text("object", made.object);
        if let Some(size) = made.size {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", "size");
            builder.nested_text("fields", "value", &format!("{}", size as f64 / 1000.0));
        }
    }
    builder.finish()
}

/// Feeds batches as the host does, and then one activity that is so late that everything is decided.
fn feed(
    case: &Case,
    order: &[Made],
    cuts: &[usize],
    planted: Planted,
) -> Result<(Alerts, States), TestCaseError> {
    let mut detector = Activity::configure(&[case.settings()])
        .map_err(|problems| TestCaseError::fail(format!("{}: {problems:?}", case.settings())))?;
    for policy in &mut detector.policies {
        if let Some(window) = &mut policy.window {
            window.rule.planted = planted;
        }
    }
    let mut places: Vec<_> = cuts.iter().map(|&place| place.min(order.len())).collect();
    places.extend([0, order.len()]);
    places.sort_unstable();
    let mut batches: Vec<Batch> =
        places.windows(2).map(|pair| batch(&order[pair[0]..pair[1]])).collect();
    batches.push(batch(&[Made {
        time: 10_000_000,
        sequence: 1000,
        actor: "eve",
        recipient: "",
        roles: String::new(),
        object: "",
        size: None,
    }]));
    let (mut alerts, mut states) = (Alerts::new(), States::new());
    for batch in batches {
        let keys = detector.begin(batch).unwrap();
        let distinct: BTreeSet<_> = keys.iter().collect();
        prop_assert_eq!(distinct.len(), keys.len(), "a key is asked for twice");
        let held: Vec<Vec<u8>> =
            keys.iter().map(|key| states.get(key).cloned().unwrap_or_default()).collect();
        let outcome = detector.finish(&held).unwrap();
        for (place, value) in outcome.changes {
            states.insert(keys[place as usize].clone(), value);
        }
        for finding in outcome.findings {
            prop_assert!(finding.evidence.is_sorted() && finding.first <= finding.last);
            let alert = alerts.entry((finding.group[0].1.clone(), finding.start)).or_default();
            alert.1 = alert.1.max(finding.severity);
            for evidence in finding.evidence {
                let new = alert.0.insert((evidence.time, evidence.sequence));
                prop_assert!(new, "{:?} is reported twice in bucket {}", evidence, finding.start);
            }
        }
    }
    Ok((alerts, states))
}

/// The whole promise: alerts as by brute force for every order of arrival within the lateness and
/// every split into batches, and the same bytes of state for every split.
fn promise(case: &Case, planted: Planted) -> Result<(), TestCaseError> {
    let mut by_order = BTreeSet::new();
    for order in &case.orders {
        let expected = case.expected(order);
        let mut states = BTreeSet::new();
        for cuts in &case.cuts {
            let (alerts, state) = feed(case, order, cuts, planted)?;
            prop_assert_eq!(&alerts, &expected);
            states.insert(state);
        }
        prop_assert_eq!(states.len(), 1, "state depends on the split: {:?}", states);
        by_order.extend(states);
    }
    let detector = Activity::configure(&[case.settings()]).unwrap();
    if !detector.window(0).unwrap().1.rule.is_deferred() {
        prop_assert_eq!(by_order.len(), 1, "state depends on the order: {:?}", by_order);
    }
    Ok(())
}

fn runner(cases: u32) -> TestRunner {
    // `PROPTEST_CASES` asks for more.
    let cases = cases.max(Config::default().cases);
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn every_rule_agrees_with_brute_force_in_any_order_and_split() {
    let fired = std::cell::RefCell::new(BTreeMap::<&str, u32>::new());
    runner(4000)
        .run(&cases(), |case| {
            if !case.expected(&case.orders[0]).is_empty() {
                let name = match &case.spec {
                    Spec::Count(_) | Spec::Distinct(_) => "number",
                    Spec::Sum(..) => "sum",
                    Spec::Average(..) => "average",
                    Spec::Percentile(..) => "percentile",
                    Spec::Ordered(_, nots, _) if nots.is_empty() => "ordered",
                    Spec::Ordered(steps, nots, _) if nots.contains(&(steps.len() - 1)) => "waits",
                    Spec::Ordered(..) => "between",
                    Spec::Together(_) => "together",
                    Spec::Absence(_) => "absence",
                };
                *fired.borrow_mut().entry(name).or_default() += 1;
            }
            promise(&case, Planted::Nothing)
        })
        .unwrap();
    // Streams in which nothing happens would prove nothing.
    let fired = fired.into_inner();
    assert!(fired.len() == 9 && fired.values().all(|&number| number > 25), "{fired:?}");
}

/// The test above is worth something: it finds each of some mistakes that are easily made.
#[test]
fn planted_mistakes_are_found() {
    for planted in [Planted::Closed, Planted::Arrival, Planted::Hasty] {
        let found = runner(4000).run(&cases(), |case| promise(&case, planted));
        assert!(matches!(found, Err(TestError::Fail(..))), "{planted:?}: {found:?}");
    }
}
