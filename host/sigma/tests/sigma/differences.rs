//! What casbah and the other engine see differently, and why.
//!
//! None of it occurs in the published rules on the published events. Each line is checked on both sides, so
//! that the table stays true.

use std::fmt::Write as _;

use casbah_sigma::compile;
use serde_json::{Value, json};

use crate::{activities, oracle};

/// Whether casbah means an event by a rule, whether the other engine does, and why they differ.
struct Difference {
    detection: Value,
    event: Value,
    ours: bool,
    theirs: bool,
    why: &'static str,
}

fn table() -> Vec<Difference> {
    let line =
        |detection, event, ours, why| Difference { detection, event, ours, theirs: !ours, why };
    let only = |part: Value| json!({"s": part, "condition": "s"});
    vec![
        line(
            json!({"sel_a": {"a": "x"}, "condition": "1 of *l*"}),
            json!({"a": "x"}),
            true,
            "`*` may stand anywhere in a pattern of names, also twice; theirs knows one",
        ),
        line(
            only(json!({"a": ["x", null]})),
            json!({"b": 1}),
            true,
            "`null` in a list means the same as alone: the field is not there",
        ),
        line(
            only(json!({"|all": ["bc", "cd"]})),
            json!({"a": "bc", "b": "cd"}),
            true,
            "keywords are looked for in the whole event; theirs wants all in one text",
        ),
        line(
            only(json!(["42"])),
            json!({"a": 1423}),
            true,
            "keywords are looked for in numbers too",
        ),
        line(
            only(json!([42])),
            json!({"a": "x42"}),
            true,
            "a number without a field is looked for like a text",
        ),
        line(
            only(json!(["okta.ok"])),
            json!({"a": "x"}),
            true,
            "keywords are looked for in casbah's own columns, such as `source`, too",
        ),
        line(
            only(json!({"a|startswith": "b*d"})),
            json!({"a": "b-d-e"}),
            true,
            "a beginning with wildcards is a beginning; theirs takes it for an end",
        ),
        line(
            only(json!({"a|endswith": "b*d"})),
            json!({"a": "e-b-d"}),
            true,
            "an end with wildcards is an end; theirs takes it for a beginning",
        ),
        line(
            only(json!({"a": "b*d"})),
            json!({"a": "b\nd"}),
            true,
            "`*` stands for any characters, line breaks among them",
        ),
        line(
            only(json!({"a": true})),
            json!({"a": "yes"}),
            false,
            "`true` is `true`, and no other word",
        ),
        line(
            only(json!({"a": 5})),
            json!({"a": "05"}),
            false,
            "a number equals `5` and `5.0`, not other ways of writing it in a text",
        ),
        line(
            only(json!({"a|contains": ".0"})),
            json!({"a": 1.0}),
            true,
            "a fraction is the text that JSON has",
        ),
        line(
            only(json!({"a|exists": true})),
            json!({"a": null}),
            true,
            "`exists` asks for the field and not for its value, as the specification says",
        ),
        line(
            only(json!({"a|exists": true})),
            json!({"a": {"b": 1}}),
            false,
            "only what has a value is a field: objects and empty lists are not",
        ),
        line(only(json!({"a": null})), json!({"a": {"b": 1}}), true, "the same"),
        line(
            only(json!({"a": "*"})),
            json!({"a": "null"}),
            false,
            "`null` of JSON and the text `null` are one, and taken for the former",
        ),
        line(
            only(json!({"a|fieldref": "b"})),
            json!({"a": ["x", "y"], "b": ["y", "z"]}),
            true,
            "of lists, any two values are compared",
        ),
        line(
            only(json!({"a|windash|contains": " /q"})),
            json!({"a": "x -q"}),
            true,
            "`windash` varies slashes too, as the specification says",
        ),
        line(
            only(json!({"a|base64offset|contains": "abcd"})),
            json!({"a": "YWJjZP8="}),
            true,
            "the last character depends on what follows and is left out; theirs keeps it",
        ),
        line(
            only(json!({"a|cidr": "10.0.0.0/8"})),
            json!({"a": "10.1.2.3:443"}),
            true,
            "an address may have a port behind it",
        ),
        line(
            only(json!({"a|cidr": "::/0"})),
            json!({"a": "10.1.2.3"}),
            true,
            "IPv4 has its place within IPv6",
        ),
        line(
            only(json!({"a|hour": 10})),
            json!({"a": "2026-11-20 10:05:00"}),
            false,
            "times are those of RFC 3339; others do not say where they are meant",
        ),
        line(
            only(json!({"a|re": "^\\d$"})),
            json!({"a": "٣"}),
            false,
            "digits, words and blanks of regular expressions are ASCII",
        ),
    ]
}

#[test]
fn every_difference_is_as_it_is_told() {
    let mut told = String::new();
    for Difference { detection, event, ours, theirs, why } in table() {
        let rule = json!({
            "title": "Different",
            "logsource": {"product": "okta", "service": "okta"},
            "detection": detection,
        })
        .to_string();
        let events = [event.clone()];
        let compiled = compile(&[("rule.yml", rule.as_str())]);
        assert!(compiled.refused.is_empty(), "{rule}\n{:?}", compiled.refused);
        let batches = activities::batches("okta.okta", &events);
        let hits = activities::hits(&[&compiled.policies[0]], &batches);
        assert_eq!(!hits[0].is_empty(), ours, "casbah: {rule} {event}");
        let other = oracle::compile(&rule).unwrap();
        assert_eq!(
            !oracle::hits(&other, &events).is_empty(),
            theirs,
            "other engine: {rule} {event}"
        );
        let who = if ours { "casbah" } else { "rsigma" };
        writeln!(told, "{who} only: {detection} on {event}: {why}").unwrap();
    }
    assert_eq!(told.lines().count(), table().len());
}
