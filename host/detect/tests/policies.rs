//! The built-in policies: they can be read, they are complete, and their own tests pass.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use casbah_detect::{Detectors, PolicyFile, PolicySet, run_tests};

mod support;
use support::NativeDetectors;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

fn load() -> PolicySet {
    PolicySet::load(&folder(), &NativeDetectors).unwrap_or_else(|errors| {
        assert_eq!(errors.to_string(), "");
        PolicySet::default()
    })
}

/// What a policy's file promises holds, through its real detector.
#[test]
fn every_test_of_every_policy_passes() {
    let mut count = 0;
    let mut failures = Vec::new();
    for policy in load().policies() {
        let detector = NativeDetectors
            .configure(&policy.detector, std::slice::from_ref(&policy.settings_json))
            .unwrap();
        for result in run_tests(policy, &detector) {
            count += 1;
            if !result.passed() {
                failures.push(result.to_string());
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n\n"));
    assert!(count >= 80, "only {count} tests ran");
}

/// A row that can be left out, or that can never hold, without a test that notices is not tested.
#[test]
fn every_row_of_every_policy_is_noticed() {
    let missed: Vec<String> = casbah_detect::coverage::of_all(&load(), &NativeDetectors, |_| true)
        .iter()
        .flat_map(|coverage| {
            let rows = coverage.rows.iter().filter(|row| row.is_missed());
            rows.map(|row| format!("{}:{}: {}", coverage.file, row.line, row.text))
        })
        .collect();
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

/// A policy that is never seen to fire, or never seen to hold back, is not tested.
#[test]
fn every_policy_has_the_tests_that_matter() {
    let set = load();
    assert!(set.policies().len() >= 14);
    for policy in set.policies() {
        let PolicyFile { name, source, tests, .. } = policy.as_ref();
        assert!(tests.len() >= 4, "{name} has {} tests", tests.len());
        assert!(source.contains("expect: {alerts: 0}"), "{name} has no near miss");
        assert!(tests.iter().any(|test| test.shuffle), "{name} has no test in shuffled order");
        assert!(!policy.description.is_empty(), "{name} has no description");
        assert!(!policy.category.is_empty(), "{name} has no category");
        assert!(!policy.mitre.is_empty(), "{name} has no technique");
        let comment = source.split("\nwhen:").nth(1).unwrap_or_default();
        assert!(comment.contains("\n# "), "{name} does not explain its threshold");
        let file = PathBuf::from(&policy.file);
        assert_eq!(file.file_stem().unwrap().to_str(), Some(name.as_str()));
    }
}

/// They work together, not only one by one, and no two are the same.
#[test]
fn all_policies_make_a_group_a_detector() {
    let set = load();
    let groups = set.groups(&NativeDetectors).unwrap();
    let policies: usize = groups.iter().map(|group| group.policies().len()).sum();
    assert_eq!(policies, set.policies().len());
    let settings: BTreeSet<_> = set.policies().iter().map(|p| &p.settings_digest).collect();
    assert_eq!(settings.len(), set.policies().len());
}

/// The tests notice a policy that is broken: each of these changes makes at least one test fail.
#[test]
fn a_broken_policy_fails_its_tests() {
    for (name, from, to) in [
        ("smartsheet-mass-export", "count: 30, within: 5m", "count: 31, within: 5m"),
        ("smartsheet-mass-export", "within: 5m, by: actor", "within: 2h, by: actor"),
        ("smartsheet-mass-export", ", distinct: object", ""),
        ("smartsheet-mass-export", "  - {field: app, is: smartsheet}\n", ""),
        ("smartsheet-share-outside", "    missing: match", "    missing: no-match"),
        (
            "smartsheet-mail-outside",
            "not: system, missing: match",
            "not: system, missing: no-match",
        ),
        ("smartsheet-anonymous-access", "alert: {group: [object]", "alert: {group: [actor]"),
    ] {
        let policy = load().get(name).cloned().unwrap();
        assert!(policy.source.contains(from), "{name}: {from}");
        let source = casbah_detect::PolicySource {
            file: "broken.yaml".to_owned(),
            bytes: policy.source.replacen(from, to, 1).into_bytes(),
        };
        let broken = PolicySet::read(&[source], &NativeDetectors).unwrap();
        let policy: &Arc<PolicyFile> = &broken.policies()[0];
        let detector = NativeDetectors
            .configure("activity", std::slice::from_ref(&policy.settings_json))
            .unwrap();
        let failed = run_tests(policy, &detector).iter().filter(|result| !result.passed()).count();
        assert!(failed > 0, "{name}: `{from}` -> `{to}` went unnoticed");
    }
}
