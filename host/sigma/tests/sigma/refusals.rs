//! What is refused and how that is said, and what filters, placeholders and casbah's own apps come to.

use casbah_model::table::BatchBuilder;
use casbah_sigma::{Compiled, Compiler, RefusedKind, compile};
use serde_json::Value;

use crate::activities;

const HEAD: &str = "title: T\nlogsource: {product: okta, service: okta}\n";

/// Rules of one part for Okta, one a line.
fn each(parts: &[&str]) -> String {
    let said: Vec<String> = parts
        .iter()
        .map(|part| {
            let rule = format!("{HEAD}detection:\n    s: {part}\n    condition: s\n");
            let compiled = compile(&[("r.yml", rule.as_str())]);
            match (compiled.policies.as_slice(), compiled.refused.as_slice()) {
                ([policy], []) => {
                    let policy: Value = serde_json::from_str(&policy.text).unwrap();
                    let rows: Vec<_> = policy["when"].as_array().unwrap().iter().skip(1).collect();
                    format!("{part}\n  = {}", serde_json::to_string(&rows).unwrap())
                }
                ([], [refused]) => {
                    let hint = refused.hint.as_deref().map(|hint| format!(" ({hint})"));
                    format!(
                        "{part}\n  {}: {}{}",
                        refused.kind.name(),
                        refused.reason,
                        hint.unwrap_or_default()
                    )
                }
                other => panic!("{part}: {other:?}"),
            }
        })
        .collect();
    said.join("\n")
}

fn refusals(compiled: &Compiled) -> String {
    compiled.refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// Guards the rows that modifiers and values come to, and what is said of those that mean nothing.
#[test]
fn values_and_modifiers_become_rows_or_are_refused() {
    let parts = [
        "{a: x, b: [y, 'z*', '*w', '*v*', 'p?q', 'r\\*']}",
        "{a|cased: [X, Y]}",
        "{a: ['', null, 5, 1.5, true]}",
        "{a: '*'}",
        "{a|contains|all: [x, 'y*z']}",
        "{a|contains: u}",
        "{a|re|i|m: '^x.*y$'}",
        "{a|cidr: [10.1.2.3/8, '2001:db8:1::/32']}",
        "{a|gte: 5, b|lt: [1, 2.5]}",
        "{a|exists: false}",
        "{a|neq: [x, y]}",
        "{a|fieldref|endswith: b}",
        "{a|fieldref: a}",
        "{a|hour|gte: 20}",
        "{a|week: [1, 2]}",
        "{a|base64: foo}",
        "{a|utf16le|base64offset|contains: cmd}",
        "{a|windash|contains: ' -x'}",
        "[x, 'y*z', 5]",
        "{'|all': [x, y]}",
        "[{a: x}, {b: y}, z]",
        "text",
        "{a: []}",
        "{a: {b: c}}",
        "{}",
        "[]",
        "{a|contians: x}",
        "{a|re: '(?=x)'}",
        "{a|cidr: 10.0.0.0/40}",
        "{a|gt: x}",
        "{a|exists: maybe}",
        "{a|hour: 24}",
        "{a|contains: null}",
        "{a|expand: '%Administrators%'}",
        "{a|base64: 'x*'}",
        "{'|exists': true}",
        "{'|contains': '*'}",
        "{a|windash: '-a -b -c -d -e -f'}",
        "{a|fieldref: 'b*'}",
        "{'|neq': x}",
        "{'': x}",
    ];
    insta::assert_snapshot!(each(&parts), @r#"
    {a: x, b: [y, 'z*', '*w', '*v*', 'p?q', 'r\*']}
      = [{"field":"fields.a","is":"x"},{"any":[{"contains":"v","field":"fields.b"},{"ends":"w","field":"fields.b"},{"field":"fields.b","in":["y","r*"]},{"field":"fields.b","like":"p?q"},{"field":"fields.b","starts":"z"}]}]
    {a|cased: [X, Y]}
      = [{"field":"fields.a","ignore-case":false,"in":["X","Y"]}]
    {a: ['', null, 5, 1.5, true]}
      = [{"any":[{"field":"fields.a","in":["5","5.0","1.5","true"]},{"field":"fields.a","is":""},{"exists":false,"field":"fields.a"},{"field":"fields.a","ignore-case":false,"is":"null"}]}]
    {a: '*'}
      = [{"field":"fields.a","ignore-case":false,"missing":"no-match","not":"null"}]
    {a|contains|all: [x, 'y*z']}
      = [{"contains":"x","field":"fields.a"},{"field":"fields.a","like":"*y*z*"}]
    {a|contains: u}
      = [{"contains":"u","field":"fields.a"},{"field":"fields.a","ignore-case":false,"missing":"no-match","not":"null"}]
    {a|re|i|m: '^x.*y$'}
      = [{"field":"fields.a","ignore-case":true,"matches":"(?m)^x.*y$"}]
    {a|cidr: [10.1.2.3/8, '2001:db8:1::/32']}
      = [{"cidr":["10.0.0.0/8","2001:db8::/32"],"field":"fields.a"}]
    {a|gte: 5, b|lt: [1, 2.5]}
      = [{"at-least":5,"field":"fields.a"},{"any":[{"below":1,"field":"fields.b"},{"below":2.5,"field":"fields.b"}]}]
    {a|exists: false}
      = [{"exists":false,"field":"fields.a"}]
    {a|neq: [x, y]}
      = [{"exists":true,"field":"fields.a"},{"missing":"match","not":{"field":"fields.a","in":["x","y"]}}]
    {a|fieldref|endswith: b}
      = [{"ends-field":"fields.b","field":"fields.a"}]
    {a|fieldref: a}
      = [{"field":"fields.a","ignore-case":false,"missing":"no-match","not":"null"}]
    {a|hour|gte: 20}
      = [{"at-least":20,"field":"fields.a","part":"hour"}]
    {a|week: [1, 2]}
      = [{"field":"fields.a","in":[1,2],"part":"week"}]
    {a|base64: foo}
      = [{"field":"fields.a","is":"Zm9v"}]
    {a|utf16le|base64offset|contains: cmd}
      = [{"contains":["YwBtAGQA","MAbQBkA","jAG0AZA"],"field":"fields.a"}]
    {a|windash|contains: ' -x'}
      = [{"contains":[" -x"," /x"," –x"," —x"," ―x"],"field":"fields.a"}]
    [x, 'y*z', 5]
      = [{"any":[{"contains":["x","5"],"field":"*"},{"field":"*","like":"*y*z*"}]}]
    {'|all': [x, y]}
      = [{"contains":"x","field":"*"},{"contains":"y","field":"*"}]
    [{a: x}, {b: y}, z]
      = [{"any":[{"contains":"z","field":"*"},{"field":"fields.a","is":"x"},{"field":"fields.b","is":"y"}]}]
    text
      = [{"contains":"text","field":"*"}]
    {a: []}
      value: the list is empty, so nothing could match
    {a: {b: c}}
      value: a value can't be a mapping (a list of mappings stands for a part of its own)
    {}
      document: the part is empty
    []
      document: the part is empty
    {a|contians: x}
      modifier: `contians` is not a modifier (did you mean `contains`?)
    {a|re: '(?=x)'}
      value: the regular expression is not understood: look-around is not supported (there is no looking around, no reference back and no `\p{…}`)
    {a|cidr: 10.0.0.0/40}
      value: `10.0.0.0/40` is not a range of addresses (write it like `10.0.0.0/8` or `2001:db8::/32`)
    {a|gt: x}
      value: `x` is not a number
    {a|exists: maybe}
      value: `exists` takes `true` or `false`, not a text
    {a|hour: 24}
      value: `hour` takes whole numbers from 0 to 23
    {a|contains: null}
      value: `null` is compared with a whole field only (take the modifier out)
    {a|expand: '%Administrators%'}
      placeholder: nothing is known to put in for the placeholder `%Administrators%` (give values for it, in a list of its name: `lists/Administrators.txt`)
    {a|base64: 'x*'}
      value: a text with wildcards can't be written in Base64 (put a backslash before `*` and `?` that are meant as they are)
    {'|exists': true}
      value: `exists` needs a field (put its name in front)
    {'|contains': '*'}
      value: every activity has this (name a field, or a longer text)
    {a|windash: '-a -b -c -d -e -f'}
      value: there are 6 dashes in it, and each can be written in five ways (split the value, and use `contains|all`)
    {a|fieldref: 'b*'}
      value: `fieldref` takes the name of a field, without wildcards
    {'|neq': x}
      modifier: `neq` needs a field (negate the part in the condition)
    {'': x}
      = [{"contains":"x","field":"*"}]
    "#);
}

/// Guards what people are told, with places.
#[test]
fn what_a_rule_lacks_is_said() {
    let detection = "detection: {s: {a: x}, condition: s}\n";
    let rules = [
        ("no-title.yml", format!("logsource: {{product: okta, service: okta}}\n{detection}")),
        ("no-source.yml", format!("title: T\n{detection}")),
        ("empty-source.yml", format!("title: T\nlogsource: {{definition: x}}\n{detection}")),
        ("zeek.yml", format!("title: T\nlogsource:\n    product: zeek\n    service: rdp\n{detection}")),
        ("no-detection.yml", HEAD.to_owned()),
        ("no-condition.yml", format!("{HEAD}detection: {{s: {{a: x}}}}\n")),
        ("no-part.yml", format!("{HEAD}detection:\n    selection: {{a: x}}\n    condition: selektion\n")),
        ("none-of.yml", format!("{HEAD}detection: {{s: {{a: x}}, condition: 1 of f*}}\n")),
        ("old.yml", format!("{HEAD}detection: {{s: {{a: x}}, condition: s, timeframe: 5m}}\n")),
        ("status.yml", format!("{HEAD}status: deprecated\n{detection}")),
        ("unsupported.yml", format!("{HEAD}status: unsupported\n{detection}")),
        ("level.yml", format!("{HEAD}level: hihg\n{detection}")),
        ("anchor.yml", format!("{HEAD}detection: {{s: &a {{a: x}}, condition: s}}\n")),
        ("list.yml", "- title: T\n".to_owned()),
        ("empty.yml", "# nothing\n".to_owned()),
        ("a.yml", format!("{HEAD}id: 1111aaaa\n{detection}")),
        ("b.yml", format!("{HEAD}id: 1111aaaa\n{detection}")),
        ("field.yml", "title: T\nlogsource: {product: smartsheet}\ndetection: {s: {usrEmail: x}, condition: s}\n".to_owned()),
        ("kind.yml", "title: T\nlogsource: {product: smartsheet}\ndetection: {s: {kind: exprot}, condition: s}\n".to_owned()),
        ("type.yml", "title: T\nlogsource: {product: smartsheet}\ndetection: {s: {amount|contains: x}, condition: s}\n".to_owned()),
    ];
    insta::assert_snapshot!(refusals(&compile(&rules)), @"
    error: a rule needs a `title`, which is a text
     --> no-title.yml:1:1
      |
    1 | logsource: {product: okta, service: okta}
      | ^
    hint: add a line `title: …`

    error: `logsource` is missing: it says what the rule is about
     --> no-source.yml:1:1
      |
    1 | title: T
      | ^
    hint: `logsource: {product: aws, service: cloudtrail}`

    error: `logsource` names neither `product` nor `service` nor `category`
     --> empty-source.yml:2:1
      |
    2 | logsource: {definition: x}
      | ^^^^^^^^^
    hint: `logsource: {product: aws, service: cloudtrail}`

    error: no activities are known to come from the log source `product: zeek, service: rdp`
     --> zeek.yml:2:1
      |
    2 | logsource:
      | ^^^^^^^^^
    hint: the log sources that are known stand in casbah's `host/sigma/logsources.yaml`

    error: `detection` is missing: it says what the rule notices
     --> no-detection.yml:1:1
      |
    1 | title: T
      | ^
    hint: `detection: {selection: …, condition: selection}`

    error: `condition` is missing: it says what has to hold
     --> no-condition.yml:3:1
      |
    3 | detection: {s: {a: x}}
      | ^^^^^^^^^
    hint: `condition: selection`

    error: the detection has no part `selektion`
     --> no-part.yml:5:16
      |
    5 |     condition: selektion
      |                ^^^^^^^^^
    hint: did you mean `selection`?

    error: no part of the detection is named like `f*`
     --> none-of.yml:3:35
      |
    3 | detection: {s: {a: x}, condition: 1 of f*}
      |                                   ^^^^^^^
    hint: parts whose names begin with `_` are not among `them`

    error: `timeframe` belongs to a form of Sigma that was given up
     --> old.yml:3:38
      |
    3 | detection: {s: {a: x}, condition: s, timeframe: 5m}
      |                                      ^^^^^^^^^
    hint: write a correlation instead: `correlation: {type: event_count, timespan: …}`

    error: the rule is deprecated
     --> status.yml:3:9
      |
    3 | status: deprecated
      |         ^^^^^^^^^^
    hint: its `related` names what replaces it

    error: the rule says that it can't be used as it is
     --> unsupported.yml:3:9
      |
    3 | status: unsupported
      |         ^^^^^^^^^^^

    error: `hihg` is not a level
     --> level.yml:3:8
      |
    3 | level: hihg
      |        ^^^^
    hint: did you mean `high`?

    error: anchors (`&`) and aliases (`*`) are not used in Sigma rules
     --> anchor.yml:3:16
      |
    3 | detection: {s: &a {a: x}, condition: s}
      |                ^^^^
    hint: write the value out; a text that begins with `*` or `&` is put in quotes

    error: a Sigma rule is a mapping, this is a list
     --> list.yml:1:1
      |
    1 | - title: T
      | ^
    hint: begin with `title: …`

    error: the file is empty
     --> empty.yml:1:1
      |
    1 | # nothing
      | ^
    hint: begin with `title: …`

    error: the id `1111aaaa` is that of another rule, in a.yml
     --> b.yml:3:5
      |
    3 | id: 1111aaaa
      |     ^^^^^^^^
    hint: leave out one of them, or give it an id of its own

    error: activities of this log source have no field `usrEmail`
     --> field.yml:3:17
      |
    3 | detection: {s: {usrEmail: x}, condition: s}
      |                 ^^^^^^^^
    hint: did you mean `userEmail`?

    error: `exprot` is not a kind
     --> kind.yml:3:23
      |
    3 | detection: {s: {kind: exprot}, condition: s}
      |                       ^^^^^^
    hint: did you mean `export`?

    error: a part of a text does not fit `amount`, which holds whole numbers
     --> type.yml:3:34
      |
    3 | detection: {s: {amount|contains: x}, condition: s}
      |                                  ^
    ");
}

#[test]
fn correlations_that_cannot_be_exact_are_refused() {
    let rules = "\
title: A
name: a
logsource: {product: okta, service: okta}
detection: {s: {e: a}, condition: s}
---
title: B
name: b
logsource: {product: smartsheet}
detection: {s: {kind: export}, condition: s}
---
title: Gone
name: gone
status: deprecated
logsource: {product: okta, service: okta}
detection: {s: {e: a}, condition: s}
---
title: Counted
name: counted
correlation: {type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5}}
";
    let correlations = [
        "{type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {lt: 5}}",
        "{type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5, lte: 9}}",
        "{type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 20000}}",
        "{type: event_count, rules: [a], group-by: [u], timespan: 1m}",
        "{type: event_count, rules: [a], group-by: [u], condition: {gte: 5}}",
        "{type: event_count, rules: [a], group-by: [u], timespan: 1M, condition: {gte: 5}}",
        "{type: event_count, rules: [a], group-by: [u], timespan: 100d, condition: {gte: 5}}",
        "{type: event_count, rules: [a, b], timespan: 1m, condition: {gte: 5}}",
        "{type: event_count, rules: [a, b], group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: event_cuont, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: event_count, rules: [aa], group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: event_count, rules: [gone], group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: event_count, rules: [a, a], group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: event_count, group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: value_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5}}",
        "{type: value_count, rules: [a], group-by: [u], timespan: 1m, condition: {field: [x, y], gte: 5}}",
        "{type: value_sum, rules: [a], group-by: [u], timespan: 1m, condition: {field: x, lt: 5}}",
        "{type: value_percentile, rules: [a], group-by: [u], timespan: 1m, condition: {field: x, gt: 5}}",
        "{type: temporal, rules: [a], group-by: [u], timespan: 1m}",
        "{type: temporal_ordered, rules: [counted, a], group-by: [u], timespan: 1m}",
        "{type: temporal, rules: [a, b], group-by: [u], timespan: 1m, condition: a or b}",
        "{type: temporal, rules: [a, b], group-by: [w], timespan: 1m, aliases: {w: {a: user}}}",
    ];
    let said: Vec<String> = correlations
        .iter()
        .map(|correlation| {
            let text = format!("{rules}---\ntitle: Together\ncorrelation: {correlation}\n");
            let compiled = compile(&[("c.yml", text)]);
            let refused = compiled.refused.iter().find(|refused| refused.rule == "Together");
            let refused = refused.unwrap_or_else(|| panic!("{correlation} is not refused"));
            let hint = refused.hint.as_deref().map(|hint| format!(" ({hint})")).unwrap_or_default();
            format!("{correlation}\n  {}: {}{hint}", refused.kind.name(), refused.reason)
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"), @"
    {type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {lt: 5}}
      correlation: `lt` can't be exact: that no more came is only known when no more can come (use `gt` or `gte`)
    {type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5, lte: 9}}
      correlation: two comparisons make a range, and that no more came is only known when no more can come (keep the lower bound)
    {type: event_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 20000}}
      correlation: it takes 20000 of them; from 1 to 10000 can be counted
    {type: event_count, rules: [a], group-by: [u], timespan: 1m}
      correlation: `condition` is missing (`condition: {gte: 10}`)
    {type: event_count, rules: [a], group-by: [u], condition: {gte: 5}}
      correlation: `timespan` is missing: it says how close together activities must be (`timespan: 5m`)
    {type: event_count, rules: [a], group-by: [u], timespan: 1M, condition: {gte: 5}}
      correlation: months and years differ in length (write a whole number and a unit: `90s`, `5m`, `24h`, `7d`, up to `90d`)
    {type: event_count, rules: [a], group-by: [u], timespan: 100d, condition: {gte: 5}}
      correlation: `100d` is not a time that can be correlated over (write a whole number and a unit: `90s`, `5m`, `24h`, `7d`, up to `90d`)
    {type: event_count, rules: [a, b], timespan: 1m, condition: {gte: 5}}
      correlation: its rules are about different apps, and it has no `group-by` (name a field by which their activities belong together)
    {type: event_count, rules: [a, b], group-by: [u], timespan: 1m, condition: {gte: 5}}
      field: activities of this log source have no field `u` (the app's own fields are written `fields.NAME`)
    {type: event_cuont, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5}}
      correlation: `event_cuont` is not a type of correlation (did you mean `event_count`?)
    {type: event_count, rules: [aa], group-by: [u], timespan: 1m, condition: {gte: 5}}
      correlation: there is no rule `aa` (did you mean `a`?)
    {type: event_count, rules: [gone], group-by: [u], timespan: 1m, condition: {gte: 5}}
      correlation: there is no rule `gone` (a rule is named by its `id` or `name`)
    {type: event_count, rules: [a, a], group-by: [u], timespan: 1m, condition: {gte: 5}}
      correlation: `a` is named twice (name it once)
    {type: event_count, group-by: [u], timespan: 1m, condition: {gte: 5}}
      correlation: `rules` is missing: it names the rules that are correlated (name them by id or name)
    {type: value_count, rules: [a], group-by: [u], timespan: 1m, condition: {gte: 5}}
      correlation: `field` is missing: it says what is counted (`condition: {field: user, gte: 10}`)
    {type: value_count, rules: [a], group-by: [u], timespan: 1m, condition: {field: [x, y], gte: 5}}
      correlation: several fields can't be counted together (name one field)
    {type: value_sum, rules: [a], group-by: [u], timespan: 1m, condition: {field: x, lt: 5}}
      correlation: `lt` can't be exact: that no more came is only known when no more can come (use `gt` or `gte`)
    {type: value_percentile, rules: [a], group-by: [u], timespan: 1m, condition: {field: x, gt: 5}}
      correlation: `percentile` is needed: a whole number from 1 to 99 (`condition: {field: size, percentile: 95, gt: 100}`)
    {type: temporal, rules: [a], group-by: [u], timespan: 1m}
      correlation: a temporal correlation needs two rules or more
    {type: temporal_ordered, rules: [counted, a], group-by: [u], timespan: 1m}
      correlation: `counted` is itself a correlation: chains of them are not supported (correlate the rules that it is about)
    {type: temporal, rules: [a, b], group-by: [u], timespan: 1m, condition: a or b}
      correlation: only the case that all rules occur is supported (leave `condition` out: then all of its rules have to occur)
    {type: temporal, rules: [a, b], group-by: [w], timespan: 1m, aliases: {w: {a: user}}}
      correlation: the alias `w` has no field for the rule `B` (rules are named by `name` in aliases)
    ");
}

/// Rules that only stand for what a correlation is about raise no alerts, unless it says so.
#[test]
fn parts_of_correlations_are_silent_unless_they_are_to_be_heard() {
    let rules = |generate: bool| {
        let text = format!(
            "{HEAD}name: a\ndetection: {{s: {{e: a}}, condition: s}}\n---\n\
             title: Many\nlevel: high\ngenerate: {generate}\n\
             correlation: {{type: event_count, rules: [a], group-by: [u], timespan: 2d, condition: {{gte: 5}}}}\n"
        );
        compile(&[("c.yml", text)])
    };
    let (silent, heard) = (rules(false), rules(true));
    let names = |compiled: &Compiled| {
        compiled.policies.iter().map(|policy| policy.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&silent), ["sigma-many"]);
    assert_eq!(
        (silent.parts[0].rule.as_str(), silent.parts[0].of.join(",")),
        ("T", "Many".to_owned())
    );
    assert_eq!(names(&heard), ["sigma-t", "sigma-many"]);
    insta::assert_snapshot!(silent.policies[0].text, @r#"{"alert":{"quiet":"2d"},"category":"threat-detection","description":"Sigma rule","detector":"activity","policy":"sigma-many","repeat":{"by":["fields.u"],"count":5,"within":"2d"},"severity":"high","title":"Many","when":[{"field":"source","is":"okta.okta"},{"field":"fields.e","is":"a"}]}"#);
}

#[test]
fn filters_narrow_the_rules_that_they_name() {
    let rule = format!("{HEAD}id: 1111aaaa\ndetection: {{s: {{e: [a, b]}}, condition: s}}\n");
    let filter = |title: &str, rules: &str, source: &str, condition: &str| {
        format!(
            "title: {title}\nlogsource: {source}\nfilter:\n    rules: {rules}\n    \
             admins: {{u|startswith: adm_}}\n    condition: {condition}\n"
        )
    };
    let okta = "{product: okta}";
    let files = [
        ("rule.yml", rule),
        ("filter.yml", filter("No admins", "[1111aaaa, 2222aaaa]", okta, "not admins")),
        ("other.yml", filter("Another product", "any", "{product: aws}", "not admins")),
        ("nobody.yml", filter("Of nobody", "[3333aaaa]", okta, "not admins")),
    ];
    let compiled = compile(&files);
    let records = [
        serde_json::json!({"e": "a", "u": "adm_ana"}),
        serde_json::json!({"e": "a", "u": "ana"}),
        serde_json::json!({"e": "b"}),
        serde_json::json!({"e": "c", "u": "ana"}),
    ];
    let hits = activities::hits(
        &compiled.policies.iter().collect::<Vec<_>>(),
        &activities::batches("okta.okta", &records),
    );
    assert_eq!(hits, [[1, 2]]);
    insta::assert_snapshot!(refusals(&compiled), @"
    error: no rule that it names is about `product: aws`
     --> other.yml:2:1
      |
    2 | logsource: {product: aws}
      | ^^^^^^^^^
    hint: a filter applies to rules whose log source has all that its own names

    error: there is no rule `3333aaaa` to filter
     --> nobody.yml:4:13
      |
    4 |     rules: [3333aaaa]
      |             ^^^^^^^^
    hint: a rule is named by its `id` or `name`
    ");
    // A filter that can't be applied must not be left out in silence.
    let broken = [files[0].clone(), ("filter.yml", filter("Broken", "any", okta, "not nobody"))];
    let compiled = compile(&broken);
    assert!(compiled.policies.is_empty());
    assert_eq!(compiled.refused[0].kind, RefusedKind::Filter);
    insta::assert_snapshot!(refusals(&compiled), @"
    error: its filter `Broken` can't be applied (filter.yml, line 6): the detection has no part `nobody`
     --> rule.yml:4:1
      |
    4 | detection: {s: {e: [a, b]}, condition: s}
      | ^^^^^^^^^
    hint: the parts are `admins`
    ");
}

#[test]
fn placeholders_are_what_the_caller_says() {
    let rule =
        format!("{HEAD}detection: {{s: {{u|expand: 'x-%Administrators%'}}, condition: s}}\n");
    let compiled = Compiler::default()
        .placeholder("Administrators", ["ana", "bo*"])
        .compile(&[("r.yml", rule)]);
    let policy: Value = serde_json::from_str(&compiled.policies[0].text).unwrap();
    assert_eq!(
        policy["when"][1].to_string(),
        r#"{"any":[{"field":"fields.u","is":"x-ana"},{"field":"fields.u","starts":"x-bo"}]}"#
    );
}

/// A rule for one of casbah's own apps, on an activity as its adapter gives it; a rule for Entra by the names
/// of Azure.
#[test]
fn own_apps_are_found_by_the_names_of_sigma() {
    let rules = [
        (
            "smartsheet.yml",
            "title: Export\nlogsource: {product: smartsheet}\n\
             detection:\n    s: {eventType|endswith: .EXPORT, user: ANA@example.com, amount|gt: 5, \
             actor.external: false, fields.sheetName|contains: salar}\n    condition: s\n",
        ),
        (
            "azure.yml",
            "title: Lockout\nlogsource: {product: azure, service: signinlogs}\n\
             detection: {s: {ResultType: 50053, UserPrincipalName|exists: true}, condition: s}\n",
        ),
    ];
    let compiled = compile(&rules);
    assert_eq!(refusals(&compiled), "");
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.text("app", "smartsheet");
    builder.text("action", "SHEET.EXPORT");
    builder.text("actor", "ana@example.com");
    builder.integer("amount", 6);
    builder.flag("actor.external", false);
    builder.begin_nested("fields");
    builder.nested_text("fields", "key", "sheetName");
    builder.nested_text("fields", "value", "Salaries");
    builder.begin_row();
    builder.text("app", "entra");
    builder.text("kind", "login");
    builder.text("actor", "ana@example.com");
    builder.begin_nested("fields");
    builder.nested_text("fields", "key", "status.errorCode");
    builder.nested_text("fields", "value", "50053");
    let policies: Vec<_> = compiled.policies.iter().collect();
    let names: Vec<_> = policies.iter().map(|policy| policy.name.as_str()).collect();
    assert_eq!(names, ["sigma-export", "sigma-lockout", "sigma-lockout-entra"]);
    assert_eq!(activities::hits(&policies, &[builder.finish()]), [vec![0], vec![], vec![1]]);
}
