//! The templates: with the lists beside them they can be read, their tests pass and turn every row,
//! and the page about them names them all.

use std::collections::BTreeSet;
use std::path::PathBuf;

use casbah_detect::{Lists, PolicySet, TestResult, coverage, folder, format, run_all};

mod support;
use support::NativeDetectors;

fn templates() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies/templates")
}

fn lists() -> Result<Lists, String> {
    folder::read_lists(&templates()).map_err(|errors| errors.to_string())
}

fn load() -> Result<PolicySet, String> {
    PolicySet::load(&templates(), &NativeDetectors).map_err(|errors| errors.to_string())
}

/// What a template promises holds, through its real detector.
#[test]
fn every_test_of_every_template_passes() {
    let results: Vec<TestResult> = run_all(&load().unwrap(), &NativeDetectors)
        .into_iter()
        .flat_map(|(_, results)| results.unwrap())
        .collect();
    let failed: Vec<_> = results.iter().filter(|r| !r.passed()).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n\n"));
    assert!(results.len() >= 350, "only {} tests ran", results.len());
}

/// Whoever changes a row of a copy is told by its tests: each row is noticed when it is always true,
/// and when it is never true.
#[test]
fn every_row_is_turned_by_a_test() {
    let missed: Vec<String> = coverage::of_all(&load().unwrap(), &NativeDetectors, |_| true)
        .into_iter()
        .flat_map(|policy| {
            let rows = policy
                .rows
                .into_iter()
                .filter(|row| row.always == Some(false) || row.never == Some(false));
            rows.map(move |row| {
                format!(
                    "{}:{}: {} ({:?}/{:?})",
                    policy.file, row.line, row.text, row.always, row.never
                )
            })
        })
        .collect();
    assert!(missed.is_empty(), "\n{}", missed.join("\n"));
}

/// A template is for reading: it says why and what to change, and it has a few tests of both kinds.
#[test]
fn every_template_explains_itself() {
    for policy in load().unwrap().policies() {
        let name = &policy.name;
        let file = PathBuf::from(&policy.file);
        assert_eq!(file.file_stem().unwrap().to_str(), Some(name.as_str()));
        assert!(policy.description.contains("change"), "{name} does not say what to change");
        assert!(policy.description.len() > 150, "{name} does not say why");
        assert!(!policy.category.is_empty(), "{name} has no category");
        assert!(!policy.mitre.is_empty(), "{name} has no technique");
        assert!((3..=8).contains(&policy.tests.len()), "{name} has {} tests", policy.tests.len());
        assert!(policy.source.contains("expect: {alerts: 0}"), "{name} has no near miss");
    }
}

/// What people copy is laid out as `casbah policy format` would.
#[test]
fn every_template_is_laid_out_in_the_one_way() {
    for source in folder::read_policies(&templates()).unwrap() {
        let laid_out = format::format(&source.file, &source.bytes).unwrap();
        assert_eq!(laid_out, String::from_utf8(source.bytes).unwrap(), "{}", source.file);
    }
}

/// A template with the name of a built-in policy would replace it where both run.
#[test]
fn no_template_has_the_name_of_a_built_in_policy() {
    let built_in = folder::read_policies(&templates().join("..")).unwrap();
    let built_in: BTreeSet<_> =
        built_in.iter().filter_map(|source| file_name(&source.file)).collect();
    assert!(built_in.len() >= 40);
    for policy in folder::read_policies(&templates()).unwrap() {
        assert!(!built_in.contains(&file_name(&policy.file).unwrap()), "{}", policy.file);
    }
}

fn file_name(path: &str) -> Option<String> {
    Some(PathBuf::from(path).file_name()?.to_str()?.to_owned())
}

/// The tables of the page name every template with its severity and detector, and every list; no
/// list lies there unused.
#[test]
fn the_page_names_every_template_and_every_list() {
    let page = std::fs::read_to_string(templates().join("README.md")).unwrap();
    let set = load().unwrap();
    for policy in set.policies() {
        let row = format!(
            "| [{0}]({0}.yaml) | {1} | {2} |",
            policy.name,
            policy.detector,
            policy.severity.name()
        );
        assert!(page.contains(&row), "the page has no row `{row}`");
    }
    let rows =
        page.lines().filter(|line| line.starts_with("| [") && line.contains(".yaml)")).count();
    assert_eq!(rows, set.policies().len(), "rows of templates that are not there, or twice");
    for list in lists().unwrap().iter() {
        let file = file_name(&list.file).unwrap();
        assert!(page.contains(&format!("| [{0}](lists/{file}) |", list.name)), "no row of {file}");
        let used = format!("{{list: {}", list.name);
        assert!(
            set.policies().iter().any(|policy| policy.source.contains(&used)),
            "{file} is not used"
        );
    }
}
