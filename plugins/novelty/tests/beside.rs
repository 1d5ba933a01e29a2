//! Policies of one group are evaluated together, and what one of them counts is not the others' business.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that can't go on has failed"
)]

mod support;

use casbah_novelty::Novelty;
use casbah_plugin::Trial;
use support::{DAY, MONDAY, Row, arrived, batch, row, settings};

/// Policies of all modes, in an order in which each comes before another kind.
const POLICIES: [&str; 4] = [
    r#""after-silence": "10d", "by": ["person", "app"]"#,
    r#""value": "country""#,
    r#""mode": "first-time", "by": ["person", "app"], "population": "app""#,
    r#""value": "country", "population": "app""#,
];

fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for day in 0..20 {
        for person in 0..30 {
            let time = MONDAY + day * DAY + person * 60_000;
            let mut one = row(time, &format!("p{person}"), "DE");
            one.app = if person % 2 == 0 { "smartsheet" } else { "netdocuments" };
            // Administration, say, without a place: of interest to some of the policies only.
            rows.push(Row { country: String::new(), time: time + 1, ..one.clone() });
            rows.push(one);
        }
    }
    rows.push(row(MONDAY + 20 * DAY, "p3", "BR"));
    arrived(rows)
}

/// What became of a policy: its states by key, and its findings.
type Became = (Vec<(String, Vec<u8>)>, Vec<String>);

/// States by policy and key, and findings without the number of their policy.
fn evaluated(policies: &[&str]) -> Vec<Became> {
    let all: Vec<String> = policies.iter().map(|policy| settings(policy)).collect();
    let mut trial = Trial::<Novelty>::configure(&all).unwrap();
    for part in rows().chunks(97) {
        trial.feed(&batch(part)).unwrap();
    }
    let mut of = vec![(Vec::new(), Vec::new()); policies.len()];
    for mut finding in trial.findings {
        let policy = std::mem::take(&mut finding.policy);
        of[policy as usize].1.push(format!("{finding:?}"));
    }
    for (key, bytes) in trial.states {
        of[key.policy as usize].0.push((key.key, bytes));
    }
    of
}

#[test]
fn policies_side_by_side_find_what_each_finds_alone() {
    let together = evaluated(&POLICIES);
    for (policy, together) in POLICIES.iter().zip(together) {
        let alone = evaluated(&[policy]).remove(0);
        assert_eq!(together.1, alone.1, "findings of {policy}");
        assert_eq!(together.0, alone.0, "states of {policy}");
    }
}
