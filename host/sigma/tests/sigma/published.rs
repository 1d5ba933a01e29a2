//! The rules and regression data of SigmaHQ, and events of AWS CloudTrail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use casbah_json::Json;
use casbah_plugin::Adapter as _;
use casbah_sigma::{Compiled, Policy, compile};
use serde_json::{Map, Value};

use crate::{activities, host, oracle};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// All rules of the folder, with their paths in it.
fn rules() -> Vec<(String, String)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = data().join("rules");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    found.sort();
    found
}

/// Rules with the events that they must fire on. The names of fields have lost their blanks, as Sigma's
/// specification has it for fields of Windows: one of the events came with them.
fn pairs() -> Vec<(String, String, Vec<Value>)> {
    let text = std::fs::read_to_string(data().join("regression.ndjson")).unwrap();
    let read = |line: &str| {
        let mut pair: Value = serde_json::from_str(line).unwrap();
        let plain = |event: &Value| -> Value {
            let fields = event.as_object().unwrap().iter();
            fields
                .map(|(key, value)| (key.replace(' ', ""), value.clone()))
                .collect::<Map<_, _>>()
                .into()
        };
        let events: Vec<Value> =
            pair["events"].take().as_array().unwrap().iter().map(plain).collect();
        let text = |key: &str| pair[key].as_str().unwrap().to_owned();
        (text("path"), text("rule"), events)
    };
    text.lines().map(read).collect()
}

fn cloudtrail() -> Vec<Value> {
    cloudtrail_text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn cloudtrail_text() -> String {
    let file = std::fs::File::open(data().join("cloudtrail/events.ndjson.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

/// The policies of the `json` adapter by the source that they are about: the first of its row.
fn by_source(compiled: &Compiled) -> BTreeMap<String, Vec<&Policy>> {
    let mut sources: BTreeMap<String, Vec<&Policy>> = BTreeMap::new();
    for policy in &compiled.policies {
        let text: Value = serde_json::from_str(&policy.text).unwrap();
        let row = text["when"].as_array().unwrap().iter().find(|row| row["field"] == "source");
        let Some(row) = row else { continue };
        let source = row["is"].as_str().or(row["in"][0].as_str()).unwrap();
        sources.entry(source.to_owned()).or_default().push(policy);
    }
    sources
}

/// Every rule becomes a policy or has a reason, and which is which does not change unnoticed.
#[test]
fn all_rules_compile_or_have_a_reason() {
    let rules = rules();
    let compiled = compile(&rules);
    assert_eq!(rules.len(), 278);
    let mut seen: BTreeSet<&str> = compiled.policies.iter().map(|p| p.file.as_str()).collect();
    seen.extend(compiled.refused.iter().map(|refused| refused.file.as_str()));
    assert_eq!(seen.len(), rules.len());
    let names: BTreeSet<&str> = compiled.policies.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names.len(), compiled.policies.len());
    let entra = compiled.policies.iter().filter(|policy| policy.name.ends_with("-entra")).count();
    let refused: Vec<String> = compiled.refused.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(
        format!("{} policies, {entra} of them for entra\n{}", compiled.policies.len(), refused.join("\n\n")),
        @"283 policies, 5 of them for entra"
    );
}

/// The host and the detector accept every policy: one that they refuse would stop a whole folder.
#[test]
fn all_policies_are_accepted() {
    let mut files = rules();
    files.extend(pairs().into_iter().map(|(path, rule, _)| (path, rule)));
    let compiled = compile(&files);
    assert_eq!(host::read(&compiled).policies().len(), compiled.policies.len());
}

#[test]
fn all_regression_pairs_fire() {
    let pairs = pairs();
    let files: Vec<(&str, &str)> =
        pairs.iter().map(|(path, rule, _)| (path.as_str(), rule.as_str())).collect();
    let compiled = compile(&files);
    let refused: Vec<String> = compiled.refused.iter().map(ToString::to_string).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
    let mut silent = Vec::new();
    let mut count = 0;
    for (source, policies) in by_source(&compiled) {
        for policy in policies {
            let events = &pairs.iter().find(|(path, ..)| *path == policy.file).unwrap().2;
            let hits = activities::hits(&[policy], &activities::batches(&source, events));
            count += events.len();
            if hits[0].len() < events.len() {
                silent.push(format!("{}: {} of {}", policy.file, hits[0].len(), events.len()));
            }
        }
    }
    assert_eq!(count, pairs.iter().map(|(.., events)| events.len()).sum::<usize>());
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

/// Rule by rule and event by event, whatever the events: `files` are routed each to its own source.
fn differences(files: &[(String, String)], records: &[Value]) -> (usize, usize, Vec<String>) {
    let compiled = compile(files);
    let (mut asked, mut hits, mut different) = (0, 0, Vec::new());
    for (source, policies) in by_source(&compiled) {
        let batches = activities::batches(&source, records);
        for (policy, ours) in policies.iter().zip(activities::hits(&policies, &batches)) {
            let (_, text) = files.iter().find(|(name, _)| *name == policy.file).unwrap();
            let rule = oracle::compile(text).unwrap_or_else(|why| panic!("{}: {why}", policy.file));
            let theirs = oracle::hits(&rule, records);
            asked += records.len();
            hits += ours.len();
            let ours: BTreeSet<usize> = ours.into_iter().collect();
            let theirs: BTreeSet<usize> = theirs.into_iter().collect();
            if ours != theirs {
                let only = |a: &BTreeSet<usize>, b: &BTreeSet<usize>| {
                    let all: Vec<_> = a.difference(b).take(5).map(ToString::to_string).collect();
                    format!("{} ({})", a.difference(b).count(), all.join(" "))
                };
                different.push(format!(
                    "{}: only ours {}, only theirs {}",
                    policy.file,
                    only(&ours, &theirs),
                    only(&theirs, &ours)
                ));
            }
        }
    }
    (asked, hits, different)
}

/// All rules on all CloudTrail events, those of other products too: the events then stand in for what
/// these might write. There is no difference to explain.
#[test]
fn hits_on_cloudtrail_are_those_of_the_other_engine() {
    let (asked, hits, different) = differences(&rules(), &cloudtrail());
    assert_eq!(different, Vec::<String>::new());
    insta::assert_snapshot!(format!("{asked} questions, {hits} hits"), @"806200 questions, 109 hits");
}

/// All regression rules on all regression events, near misses for one another.
#[test]
fn hits_on_regression_events_are_those_of_the_other_engine() {
    let pairs = pairs();
    let files: Vec<(String, String)> =
        pairs.iter().map(|(path, rule, _)| (path.clone(), rule.clone())).collect();
    let records: Vec<Value> = pairs.iter().flat_map(|(.., events)| events.clone()).collect();
    let (asked, hits, different) = differences(&files, &records);
    assert_eq!(different, Vec::<String>::new());
    insta::assert_snapshot!(format!("{asked} questions, {hits} hits"), @"7056 questions, 93 hits");
}

/// The same through the `json` adapter as it is: the records as bytes, with its mapping for CloudTrail.
#[test]
fn the_json_adapter_gives_what_rules_ask_for() {
    let body = cloudtrail_text().into_bytes();
    let raw = Json::split(&body).unwrap();
    let batch = Json::normalize(r#"{"mapping": "cloudtrail"}"#, &body, &raw).unwrap();
    assert_eq!(batch.len(), 2_900);
    let compiled = compile(&rules());
    let sources = by_source(&compiled);
    let policies = &sources["aws.cloudtrail"];
    let made = activities::hits(policies, &activities::batches("aws.cloudtrail", &cloudtrail()));
    assert_eq!(activities::hits(policies, &[batch]), made);
    assert_eq!(made.iter().map(Vec::len).sum::<usize>(), 109);
}
