//! Rows that tests turn and rows that they do not.

use insta::assert_snapshot;

use super::*;
use crate::policy::PolicySource;
use crate::support::NativeDetectors;

fn coverage(text: &str) -> Coverage {
    let source = PolicySource { file: "p.yaml".to_owned(), bytes: text.as_bytes().to_vec() };
    let set =
        PolicySet::read(&[source], &NativeDetectors).unwrap_or_else(|errors| panic!("{errors}"));
    let policy = &set.policies()[0];
    let detector = NativeDetectors
        .configure(&policy.detector, std::slice::from_ref(&policy.settings_json))
        .unwrap();
    for result in crate::run_tests(policy, &detector) {
        assert!(result.passed(), "{result}");
    }
    of(policy, &NativeDetectors)
}

fn shown(coverage: &Coverage) -> String {
    coverage
        .rows
        .iter()
        .map(|row| {
            let word = |noticed: Option<bool>| match noticed {
                Some(true) => "noticed",
                Some(false) => "unnoticed",
                None => "untried",
            };
            let (always, never) = (word(row.always), word(row.never));
            format!("{}:{} always {always}, never {never}: {}\n", row.line, row.column, row.text)
        })
        .collect()
}

const POLICY: &str = "\
policy: p
title: P
severity: {default: low, high: [{field: actor.admin, is: true}]}
when:
  - {field: app, is: smartsheet}
  - {field: kind, is: export}
  - any:
      - {field: format, is: excel}
      - {field: format, is: pdf}
  - {not: {field: actor, is: bot@example.com}, missing: match}
tests:
";

/// The line between what is and is not tested is where the tests say it is.
#[test]
fn rows_that_no_test_turns_are_named() {
    let one = coverage(&format!(
        "{POLICY}  - name: one\n    given: [{{kind: export, format: excel}}]\n    expect: {{alerts: 1}}\n"
    ));
    assert_snapshot!(shown(&one), @r"
    3:33 always unnoticed, never unnoticed: {field: actor.admin, is: true}]}
    5:5 always unnoticed, never noticed: {field: app, is: smartsheet}
    6:5 always unnoticed, never noticed: {field: kind, is: export}
    8:9 always unnoticed, never noticed: {field: format, is: excel}
    9:9 always unnoticed, never unnoticed: {field: format, is: pdf}
    10:5 always unnoticed, never noticed: {not: {field: actor, is: bot@example.com}, missing: match}
    ");
    let missed: Vec<_> =
        one.rows.iter().filter(|row| row.is_missed()).map(|row| row.line).collect();
    assert_eq!(missed, [3, 9]);
    let more = coverage(&format!(
        "{POLICY}{}",
        r#"  - name: all of it
    given:
      - {kind: export, format: excel, actor: ana@example.com}
      - {kind: export, format: pdf, actor: bea@example.com, actor.admin: true}
      - {kind: export, format: csv, actor: cas@example.com}
      - {kind: view, format: pdf, actor: dan@example.com}
      - {kind: export, format: pdf, actor: eve@example.com, app: entra}
      - {kind: export, format: pdf, actor: bot@example.com}
    expect: {alerts: [{group: {actor: ana@example.com}, severity: low}, {group: {actor: bea@example.com}, severity: high}]}
"#
    ));
    assert!(more.rows.iter().all(RowCoverage::is_turned), "{}", shown(&more));
}
