//! The schema of policy files agrees with how they are read, as an independent validator sees it.
#![expect(clippy::unwrap_used, reason = "what helps tests fails with it")]

use std::path::{Path, PathBuf};

use casbah_detect::schema::schema;
use casbah_detect::{Detectors, Lists, PolicySet, PolicySource, Sources, folder};
use serde_json::{Value, json};

mod support;
use support::NativeDetectors;

fn validator(detector: Option<&str>) -> jsonschema::Validator {
    jsonschema::draft202012::new(&schema(&NativeDetectors, detector).unwrap()).unwrap()
}

/// A file as JSON, however it is written; `None` when it is not YAML.
fn document(text: &[u8]) -> Option<Value> {
    let wording = casbah_yaml::Wording { one: "", many: "", begin: "", second: "", long: "" };
    casbah_yaml::parse(text, wording).ok().map(|(_, node)| node.to_json())
}

fn said(validator: &jsonschema::Validator, document: &Value) -> String {
    let said =
        |error: jsonschema::ValidationError<'_>| format!("{}: {}\n", error.instance_path(), error);
    validator.iter_errors(document).map(said).collect()
}

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies")
}

/// Everything that ships is right by the schema of all detectors, and by that of its own.
#[test]
fn the_files_of_the_house_are_valid() {
    let all = validator(None);
    let mut seen = 0;
    for folder in [policies(), policies().join("templates")] {
        for source in folder::read_policies(&folder).unwrap_or_default() {
            let document = document(&source.bytes).unwrap();
            let wrong = said(&all, &document);
            assert!(wrong.is_empty(), "{}\n{wrong}", source.file);
            let detector = document["detector"].as_str().unwrap_or("activity");
            let wrong = said(&validator(Some(detector)), &document);
            assert!(wrong.is_empty(), "{}\n{wrong}", source.file);
            seen += 1;
        }
    }
    assert!(seen >= 41, "{seen} files");
}

const GOOD: &str = r#"
policy: p
title: P
description: About.
severity: {default: low, high: [{field: actor.admin, is: true}]}
category: data-loss
mitre: [T1567, T1567.002]
references: [https://example.com]
enabled: false
when:
  - {field: app, is: smartsheet}
  - {field: actor, in: {list: vip}}
  - {field: recipient, in: {list: staff, column: email}}
  - {field: actor.groups, has: {group: Finance}}
  - {not: {field: kind, is: view}, missing: match}
  - any:
      - {field: fields.size, exists: true}
      - all: [{field: ip, cidr: 10.0.0.0/8}, {field: object.name, contains: [a, b]}]
unless:
  - {when: [{field: actor, is: bot@example.com}], reason: A robot., owner: ana@example.com, until: 2030-01-01}
repeat: {count: 3, within: 5m, by: actor, distinct: object}
alert: {group: [actor], quiet: 24h, title: "{actor}: {count}", description: "{summary}", daily-limit: 5}
respond: [suspend]
tests:
  - name: one
    directory:
      - {person: ana@example.com, aliases: [ana], status: active, since: "2026-01-01T00:00:00Z", groups: [Finance], admin: true}
    addresses: {203.0.113.7: {country: NL, tags: [tor], category: corporate, latitude: 52.1}}
    given:
      - {repeat: 3, every: 1s, at: "2026-01-05T10:00:00Z", kind: export, actor: ana@example.com, object: "{n}"}
      - {after: -5m, kind: null, actor.admin: true, fields: {size: 3, tag: [a, b]}, objects: [{role: object, id: "1"}]}
    expect:
      alerts: [{group: {actor: ana@example.com}, severity: high, count: 3, title: ana, first: "2026-01-05T10:00:00Z", details: {count: 3}, exactly: false}]
      more: true
  - {name: two, given: [], silent: true, shuffle: true}
"#;

fn is_read(text: &str) -> Result<(), String> {
    let file = |file: &str, text: &str| PolicySource { file: file.to_owned(), bytes: text.into() };
    let lists = [file("vip.txt", "ana@example.com"), file("staff.csv", "email,team\na,b")];
    let lists = Lists::read(&lists).unwrap();
    let policies = [file("p.yaml", text)];
    let sources = Sources { policies: &policies, lists: &lists, groups: None };
    match PolicySet::read_with(&sources, &NativeDetectors) {
        Ok(_) => Ok(()),
        Err(errors) => Err(errors.to_string()),
    }
}

/// Everything that the language has at once is read, and valid.
#[test]
fn the_whole_language_is_valid() {
    assert_eq!(is_read(GOOD), Ok(()));
    assert_eq!(said(&validator(None), &document(GOOD.as_bytes()).unwrap()), "");
}

/// Each of these slips is refused by the schema as it is when the file is read.
#[test]
fn what_is_broken_is_refused() {
    let all = validator(None);
    for (from, to) in [
        ("policy: p", "policy: P p"),
        ("policy: p\n", ""),
        ("title: P", "titel: P"),
        ("severity: {default: low,", "severity: {"),
        ("default: low", "default: lo"),
        ("high: [{", "hihg: [{"),
        ("category: data-loss", "category: data-los"),
        ("[T1567,", "[X1567,"),
        ("https://", "ftp://"),
        ("enabled: false", "enabled: no"),
        ("{field: app, is: smartsheet}", "{feld: app, is: smartsheet}"),
        ("{field: app, is: smartsheet}", "{field: app, si: smartsheet}"),
        ("{field: app, is: smartsheet}", "{field: app}"),
        ("when:", "wehn:"),
        ("{list: vip}", "{lst: vip}"),
        ("exists: true", "exists: perhaps"),
        ("reason: A robot., ", ""),
        ("count: 3, within", "count: three, within"),
        ("within: 5m", "within: 5 minutes"),
        ("quiet: 24h", "quiet: day"),
        ("daily-limit: 5", "daily-limit: 0"),
        ("[suspend]", "[Call Bob]"),
        ("- name: one", "- nmae: one"),
        ("status: active", "status: gone"),
        ("tags: [tor]", "tag: [tor]"),
        ("country: NL", "contry: NL"),
        ("kind: export, actor", "knd: export, actor"),
        ("actor.admin: true, fields", "actor.admin: yes, fields"),
        ("repeat: 3,", "repeat: 0,"),
        ("after: -5m", "after: 5"),
        ("role: object", "roel: object"),
        ("severity: high, count", "severity: hi, count"),
        ("more: true", "mroe: true"),
        ("silent: true", "quiet: true"),
        ("enabled: false", "detector: activty"),
    ] {
        let broken = GOOD.replacen(from, to, 1);
        assert_ne!(broken, GOOD, "{from}");
        assert!(is_read(&broken).is_err(), "`{from}` -> `{to}` is read");
        let document = document(broken.as_bytes()).unwrap();
        assert!(!all.is_valid(&document), "`{from}` -> `{to}` is valid");
    }
}

/// What an editor shows while somebody writes: every key says what it is for.
#[test]
fn every_key_is_described() {
    let whole = schema(&NativeDetectors, Some("activity")).unwrap();
    let refers_to_description = |property: &Value| {
        let target = property["$ref"].as_str().and_then(|to| whole.pointer(&to[1..]));
        property.get("description").is_some()
            || target.is_some_and(|t| t.get("description").is_some())
    };
    for (key, property) in whole["properties"].as_object().unwrap() {
        let described =
            refers_to_description(property) || property["$ref"] == "#/$defs/policy-expect";
        assert!(described, "{key}");
    }
    assert_eq!(whole["additionalProperties"], json!(false));
}

/// There is a schema for every detector, and none for what is none.
#[test]
fn every_detector_has_a_schema() {
    for name in NativeDetectors.names() {
        let validator = validator(Some(&name));
        assert!(!validator.is_valid(&json!({"policy": "p"})), "{name}");
    }
    assert!(schema(&NativeDetectors, Some("none")).is_none());
}
