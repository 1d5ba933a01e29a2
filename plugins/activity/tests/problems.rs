//! Every message about settings that are wrong, as a person will read it.

use casbah_activity::Activity;
use casbah_plugin::Detector;
use serde_json::json;

/// Settings, each wrong in at least one way.
fn wrong() -> Vec<String> {
    let when = |row: serde_json::Value| json!({"when": [row]});
    let repeat = |repeat: serde_json::Value| json!({"when": [{"field": "app", "is": "x"}], "repeat": repeat});
    let sequence = |sequence: serde_json::Value| json!({"sequence": sequence});
    let step = |kind: &str| json!({"when": [{"field": "kind", "is": kind}]});
    let absence = |absence: serde_json::Value| json!({"when": [{"field": "app", "is": "x"}], "absence": absence});
    let mut deep = json!({"field": "app", "is": "x"});
    for _ in 0..17 {
        deep = json!({"any": [deep]});
    }
    let many: Vec<_> = (0..2001).map(|_| json!({"field": "app", "is": "x"})).collect();
    let mut settings: Vec<String> = vec!["{\"when\": ".to_owned(), "[]".to_owned()];
    settings.extend(
        [
            // The settings as a whole.
            json!({}),
            json!({"when": [{"field": "app", "is": "x"}], "repeatt": {}, "sevrity": "high"}),
            json!({"when": {"field": "app", "is": "x"}}),
            json!({"when": []}),
            json!({"when": ["app is x"]}),
            json!({"when": many}),
            json!({"when": [{"field": "app", "is": "x"}], "quiet": "24h"}),
            json!({"when": [{"field": "app", "is": "x"}], "quiet": -1}),
            json!({"when": [{"field": "app", "is": "x"}], "group": ["actr", 7, "objects.kind", "latitude", "app", "app"]}),
            json!({"when": [{"field": "app", "is": "x"}], "group": ["a", "b", "c", "d", "e", "f", "g", "h", "i"]}),
            // Fields.
            when(json!({"field": "usr", "is": "x"})),
            when(json!({"field": "actor-email", "is": "x"})),
            when(json!({"field": "zzzzzzzz", "is": "x"})),
            when(json!({"field": "objects.size", "is": "x"})),
            when(json!({"field": "fields.", "is": "x"})),
            when(json!({"field": 5, "is": "x"})),
            // Keys and operators of a row.
            when(json!({"field": "app"})),
            when(json!({"field": "app", "equals": "x"})),
            when(json!({"field": "app", "contians": "x"})),
            when(json!({"field": "app", "is": "x", "in": ["y"]})),
            when(json!({"is": "x"})),
            when(json!({"field": "actor.admin", "contains": "x"})),
            when(json!({"field": "amount", "starts": "1"})),
            when(json!({"field": "time", "is": "2026-01-01T00:00:00Z"})),
            when(json!({"field": "latitude", "is": 5})),
            when(json!({"field": "actor", "above": 5})),
            // Missing.
            when(json!({"field": "ip.category", "not": "corporate"})),
            when(json!({"field": "ip.category", "not-in": ["corporate"]})),
            when(json!({"field": "ip.category", "not": "corporate", "missing": "nomatch"})),
            when(json!({"field": "ip.category", "is": "corporate", "missing": "match"})),
            when(json!({"field": "amount", "below": 5, "missing": "match"})),
            // Values.
            when(json!({"field": "app", "is": 5})),
            when(json!({"field": "app", "is": ["x", "y"]})),
            when(json!({"field": "app", "in": "x"})),
            when(json!({"field": "app", "in": []})),
            when(json!({"field": "app", "in": ["x", true, null, {}]})),
            when(json!({"field": "app", "is": ""})),
            when(json!({"field": "app", "contains": []})),
            when(json!({"field": "ip.tags", "has": "tor,vpn"})),
            when(json!({"field": "ip.tags", "has": ["tor", ""]})),
            when(json!({"field": "ip.tags", "has": 5})),
            when(json!({"field": "amount", "has": "5"})),
            when(json!({"field": "app", "exists": "yes"})),
            when(json!({"field": "app", "is": "x", "ignore-case": "no"})),
            when(json!({"field": "amount", "is": 5, "ignore-case": false})),
            when(json!({"field": "amount", "is": "5"})),
            when(json!({"field": "amount", "in": [1, "2"]})),
            when(json!({"field": "amount", "above": 1.5})),
            when(json!({"field": "actor.admin", "is": "true"})),
            when(json!({"field": "time", "above": "yesterday"})),
            when(json!({"field": "latitude", "above": "north"})),
            when(json!({"field": "actor", "matches": "(unclosed"})),
            when(json!({"field": "actor", "matches": "a(?=b)"})),
            when(json!({"field": "actor", "matches": "(a{1000}){1000}"})),
            when(json!({"field": "actor", "matches": ""})),
            when(json!({"field": "actor", "matches": ["a"]})),
            when(json!({"field": "actor", "matches": "x".repeat(1001)})),
            when(json!({"field": "ip", "cidr": ["10.0.0.0/8", "10.0.0.0/33", "10.0.0.1/8", "ten", 10]})),
            when(json!({"field": "ip", "cidr": []})),
            when(json!({"field": "kind", "is": "exprot"})),
            when(json!({"field": "kind", "in": ["export", "downlaod"]})),
            when(json!({"field": "object.kind", "is": "sheets"})),
            // Groups.
            when(json!({"any": {"field": "app", "is": "x"}})),
            when(json!({"any": 5})),
            when(json!({"any": [{"field": "app", "is": "x"}], "all": []})),
            when(json!({"any": [{"field": "app", "is": "x"}], "missing": "match"})),
            when(json!({"not": {"field": "app", "is": "x"}})),
            when(json!({"not": {"any": [{"field": "app", "is": "x"}, {"field": "kind", "is": "view"}]}})),
            when(json!({"not": [{"field": "app", "is": "x"}], "missing": "match"})),
            when(deep),
            // Repeat.
            repeat(json!(30)),
            repeat(json!({})),
            repeat(json!({"count": 1, "within": "5m"})),
            repeat(json!({"count": "30", "within": 5})),
            repeat(json!({"count": 10001, "within": "0s"})),
            repeat(json!({"count": 30, "within": "5 minutes", "window": "5m"})),
            repeat(json!({"count": 30, "within": "365d"})),
            repeat(json!({"count": 30, "within": "5m", "lateness": "1w"})),
            repeat(json!({"count": 30, "within": "5m", "by": []})),
            repeat(json!({"count": 30, "within": "5m", "by": "objects.id", "distinct": "objcet"})),
            repeat(json!({"count": 30, "within": "5m", "distinct": ["object"]})),
            // Repeat with quantities.
            repeat(json!({"sum": "amount", "within": "1h"})),
            repeat(json!({"sum": "actor", "above": 5, "within": "1h"})),
            repeat(json!({"sum": ["amount"], "above": "5", "within": "1h"})),
            repeat(json!({"sum": "amuont", "average": "amount", "above": 5, "within": "1h"})),
            repeat(json!({"sum": "amount", "below": 5, "within": "1h"})),
            repeat(json!({"sum": "amount", "above": 1e16, "within": "1h"})),
            repeat(json!({"average": "amount", "above": 5, "below": 3, "count": 0, "within": "1h"})),
            repeat(json!({"percentile": {"field": "amount"}, "above": 5, "within": "1h"})),
            repeat(json!({"percentile": {"of": 100}, "above": 5, "within": "1h"})),
            repeat(json!({"percentile": "amount", "above": 5, "within": "1h"})),
            repeat(json!({"count": 5, "above": 5, "within": "1h"})),
            // Sequences.
            sequence(json!([])),
            sequence(json!({})),
            sequence(json!({"within": "1h", "steps": []})),
            sequence(json!({"within": "1h", "steps": {"when": []}})),
            sequence(json!({"within": "1h", "steps": [step("share"), "export"]})),
            sequence(json!({"within": "1h", "steps": [step("share")]})),
            sequence(json!({"within": "1h", "steps": [step("share"), {}]})),
            sequence(json!({"within": "1h", "steps": [step("share"), {"when": [{"field": "kind", "is": "exprot"}], "wehn": 1}]})),
            sequence(json!({"within": "1h", "steps": [step("share"), {"name": "", "when": [], "not": []}]})),
            sequence(json!({"within": "1h", "steps": [{"not": [{"field": "kind", "is": "share"}]}, step("export")]})),
            sequence(json!({"within": "1h", "ordered": false, "steps": [step("share"), {"not": [{"field": "kind", "is": "export"}]}]})),
            sequence(json!({"within": "1h", "ordered": false, "steps": [step("share"), step("share"), step("view"), step("view"), step("view"), step("view"), step("view"), step("view"), step("view")]})),
            sequence(json!({"within": "1h", "by": ["actor", "app"], "steps": [step("share"), {"when": [{"field": "kind", "is": "export"}], "by": "person"}]})),
            json!({"sequence": {"within": "2d", "steps": [step("share"), step("export")]}, "group": ["ip"]}),
            json!({"sequence": {"within": "1h", "steps": [step("share"), step("export")]}, "repeat": {"count": 3, "within": "1h"}, "when": [step("x")]}),
            json!({"sequence": {"within": "1h", "steps": [step("share"), step("export")]}, "unless": [{"when": [{"field": "app", "is": "x"}]}]}),
            // Absence.
            json!({"absence": {"within": "1h"}}),
            absence(json!("1h")),
            absence(json!({"expect": []})),
            absence(json!({"within": "1h", "expect": [{"field": "knid", "is": "x"}], "name": 5, "by": []})),
            json!({"when": [{"field": "app", "is": "x"}], "repeat": {"count": 2, "within": "2d"}}),
            json!({"when": [{"field": "app", "is": "x"}], "repeat": {"count": 2, "within": "5m"}, "quiet": 1000}),
            json!({"when": [{"field": "app", "is": "x"}], "repeat": {"count": 2, "within": "5m", "by": ["actor", "app"]}, "group": ["actor", "ip"]}),
        ]
        .map(|settings| settings.to_string()),
    );
    settings
}

#[test]
fn every_message_about_settings() {
    let settings = wrong();
    let Err(problems) = Activity::configure(&settings) else { panic!("nothing was found wrong") };
    let mut text = String::new();
    for (index, settings) in settings.iter().enumerate() {
        let short: String = settings.chars().take(160).collect();
        text.push_str(&format!("{short}\n"));
        let before = text.len();
        for problem in problems.iter().filter(|problem| problem.policy as usize == index) {
            text.push_str(&format!("    {}\n", problem.to_string().replace('\n', "\n        ")));
        }
        assert!(text.len() > before, "nothing is found wrong with {settings}");
        text.push('\n');
    }
    insta::assert_snapshot!(text);
}

/// One look finds all there is to repair, in every policy, with places that lead to it.
#[test]
fn all_problems_of_all_policies_are_named() {
    let settings = [
        json!({"when": [{"field": "usr", "is": "x"}, {"field": "kind", "not": "view"}], "repeat": {"count": 0, "within": "5"}}),
        json!({"when": [{"field": "app", "is": "x"}]}),
        json!({"when": [{"any": [{"field": "a/b", "is": 1}, {"field": "app", "is": 1}]}], "quiet": null}),
    ]
    .map(|settings| settings.to_string());
    let Err(problems) = Activity::configure(&settings) else { panic!("nothing was found wrong") };
    let places: Vec<_> =
        problems.iter().map(|problem| (problem.policy, problem.pointer.as_str())).collect();
    assert_eq!(
        places,
        [
            (0, "/when/0/field"),
            (0, "/when/1"),
            (0, "/repeat/count"),
            (0, "/repeat/within"),
            (2, "/when/0/any/0/field"),
            (2, "/when/0/any/1/is"),
            (2, "/quiet"),
        ]
    );
}

/// What a person sees of the detector's schema must be what the detector takes.
#[test]
fn the_schema_names_the_keys_that_are_read() {
    let schema = Activity::describe().settings;
    let keys = |pointer: &str| -> Vec<String> {
        schema.pointer(pointer).unwrap().as_object().unwrap().keys().cloned().collect()
    };
    // A key that the reader does not know is named as such, and nothing else is.
    for (pointer, wrap) in [
        ("/properties", "X"),
        ("/properties/repeat/properties", r#"{"repeat": X}"#),
        ("/properties/sequence/properties", r#"{"sequence": X}"#),
        (
            "/properties/sequence/properties/steps/items/properties",
            r#"{"sequence": {"steps": [X]}}"#,
        ),
        ("/properties/absence/properties", r#"{"absence": X}"#),
        ("/$defs/row/properties", r#"{"when": [X]}"#),
    ] {
        let names = keys(pointer);
        assert!(names.len() >= 4, "{names:?}");
        let table: serde_json::Map<_, _> =
            names.iter().map(|name| (name.clone(), json!(null))).collect();
        let settings = wrap.replace('X', &json!(table).to_string());
        let Err(problems) = Activity::configure(&[settings]) else { panic!("{pointer}") };
        let unknown: Vec<_> =
            problems.iter().filter(|problem| problem.message.contains("is not a ")).collect();
        assert!(unknown.iter().all(|problem| !problem.message.contains("key of")), "{unknown:?}");
        assert!(
            unknown.iter().all(|problem| !problem.message.contains("setting of")),
            "{unknown:?}"
        );
    }
}
