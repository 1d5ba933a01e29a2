//! Every message about rows that the language grew by, as a person will read it.

#![expect(clippy::panic, reason = "a test may fail")]

use casbah_when::settings;
use serde_json::{Value, json};

fn told(wrong: Vec<Value>) -> String {
    let mut text = String::new();
    for settings in wrong {
        let written = settings.to_string();
        let read = settings::compile(std::slice::from_ref(&written), &[], |settings| {
            let (when, severities) = (settings.when(), settings.severities());
            Some((when?, severities?))
        });
        let Err(problems) = read else { panic!("nothing is found wrong with {written}") };
        let short: String = written.chars().take(200).collect();
        text.push_str(&format!("{short}\n"));
        for problem in problems {
            text.push_str(&format!("    {}\n", problem.to_string().replace('\n', "\n        ")));
        }
        text.push('\n');
    }
    text
}

#[test]
fn rows() {
    let row = |row: Value| json!({"when": [row]});
    insta::assert_snapshot!(told(vec![
        row(json!({"field": "amount", "at-least": "5"})),
        row(json!({"field": "actor", "at-most": 5})),
        row(json!({"field": "latitude", "at-least": "north"})),
        row(json!({"field": "time", "in": [22, 23]})),
        row(json!({"field": "amount", "like": "5*"})),
        row(json!({"field": "actor", "like": []})),
        row(json!({"field": "actor", "contains-all": ["a", ""]})),
        row(json!({"field": "fields.x", "contains": ["a", ""]})),
        row(json!({"field": "fields.x", "is": null})),
        row(json!({"field": "app", "in": {"list": "apps"}})),
        row(json!({"field": "ip", "cidr": [{"list": "offices"}]})),
        row(json!({"field": "actor", "same-as": "amount"})),
        row(json!({"field": "actor", "same-as": "actor"})),
        row(json!({"field": "actor", "same-as": "acter"})),
        row(json!({"field": "actor", "contains-field": ["app"]})),
        row(json!({"field": "amount", "ends-field": "network.number"})),
        row(json!({"field": "latitude", "same-as": "longitude"})),
        row(json!({"field": "time", "newer-than": "7d"})),
        row(json!({"field": "actor.since", "newer-than": "a week"})),
        row(json!({"field": "actor.since", "older-than": 7})),
        row(json!({"field": "actor", "older-than": "7d"})),
        row(json!({"field": "time", "part": "hours", "is": 5})),
        row(json!({"field": "time", "part": "hour", "in": [22, 24]})),
        row(json!({"field": "time", "part": "weekday", "is": "monday"})),
        row(json!({"field": "time", "part": "hour", "contains": "5"})),
        row(json!({"field": "time", "part": "hour", "zone": "Europe/Berlin", "is": 5})),
        row(json!({"field": "time", "zone": "+01:00", "above": 5})),
        row(json!({"field": "actor", "part": "hour", "is": 5})),
        row(json!({"field": "time", "part": "hour", "not": 5})),
        row(json!({"field": "*", "not": "x", "missing": "match"})),
        row(json!({"field": "*", "not-in": ["x"], "missing": "match"})),
        row(json!({"field": "*", "exists": true})),
        row(json!({"field": "*", "above": 5})),
        row(json!({"field": "actor", "same-as": "*"})),
        row(json!({"field": "actor.admin", "is": true, "same-as": "anonymous"})),
    ]));
}

#[test]
fn groups() {
    let row = |row: Value| json!({"when": [row]});
    insta::assert_snapshot!(told(vec![
        row(json!({"object": {"field": "kind", "is": "sheet"}})),
        row(json!({"object": []})),
        row(json!({"object": [{"field": "objects.kind", "is": "sheet"}]})),
        row(json!({"object": [{"field": "size", "above": 5}]})),
        row(json!({"object": [{"field": "kind", "is": "sheets"}]})),
        row(json!({"object": [{"object": [{"field": "kind", "is": "sheet"}]}]})),
        row(json!({"object": [{"field": "kind", "not": "sheet"}]})),
        row(
            json!({"not": {"object": [{"field": "kind", "is": "sheet"}, {"field": "name", "same-as": "id"}]}})
        ),
        row(json!({"not": {"field": "actor", "same-as": "recipient"}})),
        row(json!({"any": [], "all": []})),
        row(json!({"object": [{"field": "kind", "is": "sheet"}], "missing": "match"})),
    ]));
}

#[test]
fn exemptions_and_severities() {
    let rows = json!([{"field": "app", "is": "x"}]);
    let with = |name: &str, value: Value| json!({"when": rows, name: value});
    insta::assert_snapshot!(told(vec![
        with("unless", json!({"when": rows})),
        with("unless", json!(["svc-backup"])),
        with("unless", json!([{}])),
        with(
            "unless",
            json!([{"when": [], "reason": "", "owner": 5, "until": "soon", "expires": "2027-01-01"}])
        ),
        with("unless", json!([{"when": rows, "reason": "r", "owner": "o", "until": "2027-02-30"}])),
        with(
            "unless",
            json!([{"when": [{"field": "kind", "not": "view"}], "reason": "r", "owner": "o"}])
        ),
        with("severities", json!({"high": rows})),
        with("severities", json!([{"severity": "hgih", "when": rows, "rows": []}])),
        with("severities", json!([{}])),
        with(
            "severities",
            json!([5, {"severity": "high", "when": [{"field": "acter", "is": "x"}]}])
        ),
    ]));
}

/// What is said must not be passed over in silence by a detector that does not look at it.
#[test]
fn what_a_detector_does_not_know_is_refused() {
    let settings = json!({"when": [{"field": "app", "is": "x"}], "severities": [], "unless": []});
    let told = |known: bool| -> Vec<String> {
        let read = settings::compile(&[settings.to_string()], &[], |settings| match known {
            true => settings.when().map(|_| ()),
            false => Some(()),
        });
        read.err().unwrap_or_default().iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(true), ["/severities: this detector knows no severities by rows"]);
    assert_eq!(
        told(false),
        [
            "/unless: this detector knows no exemptions",
            "/severities: this detector knows no severities by rows"
        ]
    );
}
