//! What detectors' own settings are read as, and what is said of wrong ones.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Per {
    Hour,
    Day,
}

const PER: [(&str, Per); 2] = [("hour", Per::Hour), ("day", Per::Day)];

/// Reads one of each kind of setting.
fn read(settings: &mut Settings<'_>) -> Option<String> {
    let when = settings.when();
    let by = settings.by("person");
    let group = by.as_ref().and_then(|by| settings.group(by));
    let quiet = settings.quiet();
    let (integer, number) =
        (settings.integer("integer", 1..=9, 3), settings.number("number", 0.0..=1.0, 0.5));
    let length = settings.duration("length", 60_000..=400 * DAY, DAY);
    let (flag, text) =
        (settings.flag("flag", true), settings.text("text").map(|text| text.map(str::to_owned)));
    let texts = settings.texts("texts", &["a"]);
    let (word, words) =
        (settings.one_of("word", &PER, Per::Day), settings.some_of("words", &PER, &[Per::Day]));
    let field = settings.field("field");
    let table = settings
        .table("table", &["inner"], "table: {inner: 1}", |table| table.integer("inner", 0..=5, 0));
    let (more, labelled) = (settings.rows("more"), settings.labelled("labelled", &PER));
    let (_, group, _) = (when?, group?, more?);
    Some(format!(
        "{} {} {} {} {length:?} {} {:?} {:?} {:?} {:?} {} {:?} {:?}",
        group.len(),
        quiet?,
        integer?,
        number?,
        flag?,
        text?,
        texts?,
        word?,
        words?,
        field?.is_some(),
        table?,
        labelled?
    ))
}

const KEYS: [&str; 13] = [
    "by", "integer", "number", "length", "flag", "text", "texts", "word", "words", "field",
    "table", "more", "labelled",
];

const WHEN: &str = r#""when": [{"field": "app", "is": "x"}]"#;

fn one(rest: &str) -> Result<String, Vec<Problem>> {
    let comma = if rest.is_empty() { "" } else { ", " };
    let text = format!("{{{WHEN}{comma}{rest}}}");
    compile(&[text], &KEYS, read).map(|(_, mut policies)| policies.remove(0))
}

#[test]
fn every_kind_of_setting_is_read() {
    assert_eq!(
        one("").unwrap(),
        r#"1 86400000 3 0.5 Some(86400000) true None ["a"] Day [Day] false None []"#
    );
    let all = r#""by": ["actor", "app"], "group": "app", "quiet": 5, "integer": 9, "number": 1,
        "length": "400d", "flag": false, "text": "t", "texts": ["b", "c"], "word": "hour",
        "words": ["hour", "day"], "field": "object", "table": {"inner": 5},
        "labelled": {"x": "hour", "y": "day"}"#;
    assert_eq!(
        one(all).unwrap(),
        r#"1 5 9 1 Some(34560000000) false Some("t") ["b", "c"] Hour [Hour, Day] true Some(5) [("x", Some(Hour)), ("y", Some(Day))]"#
    );
    assert!(one(r#""texts": "b", "words": "day""#).unwrap().contains(r#"["b"] Day [Day]"#));
}

#[test]
fn every_message_about_a_setting() {
    let mut text = String::new();
    for rest in [
        r#""intger": 5"#,
        r#""zzzzzz": 5"#,
        r#""integer": 10, "number": 1.5, "length": "30s", "flag": "yes", "text": "", "texts": 5"#,
        r#""integer": "5", "number": "5", "length": 5, "text": [], "texts": ["x", "", "x", {}]"#,
        r#""length": "401d""#,
        r#""word": "houre", "words": []"#,
        r#""word": 5, "words": ["day", "day", "week"]"#,
        r#""field": ["object"], "table": 5, "by": []"#,
        r#""field": "objects.id", "table": {"iner": 1, "inner": 6}, "by": ["latitude", "persn"]"#,
        r#""by": "app", "group": ["app", "actor"]"#,
        r#""labelled": {"x": "hou", "y": 5}"#,
        r#""labelled": ["x", "x"]"#,
        r#""flag": true, "flag": false"#,
        r#""text": 5, "more": [{"field": "ip.tags", "has": " "}]"#,
    ] {
        for problem in one(rest).unwrap_err() {
            text.push_str(&format!("{problem}\n"));
        }
    }
    insta::assert_snapshot!(text);
}

/// One look finds all there is to repair, and a policy that is right does not hide one that is not.
#[test]
fn problems_name_their_policy() {
    let texts = [format!("{{{WHEN}}}"), "{}".to_owned(), "[".to_owned(), "[]".to_owned()];
    let problems = compile(&texts, &KEYS, read).map(|_| ()).unwrap_err();
    assert_eq!(problems.iter().map(|problem| problem.policy).collect::<Vec<_>>(), [1, 2, 3]);
}

/// What is left out, until when, and how severe the rest is.
#[test]
fn exemptions_and_severities() {
    use casbah_model::{BatchBuilder, Severity};
    let rows = [
        ("export", "ana", Some(5)),
        ("export", "svc", Some(5)),
        ("export", "svc", Some(10)),
        ("export", "svc", None),
        ("view", "ana", Some(5)),
        ("export", "bob", Some(5)),
    ];
    let mut builder = BatchBuilder::new();
    for (kind, actor, day) in rows {
        builder.begin_row();
        builder.text("kind", kind);
        builder.text("actor", actor);
        if let Some(day) = day {
            builder.integer("time", day * DAY);
        }
    }
    let batch = builder.finish();
    let exemption = |until: &str| {
        format!(
            r#"{{"when": [{{"field": "actor", "is": "svc"}}], "reason": "r", "owner": "o"{until}}}"#
        )
    };
    let meant = |unless: &str| -> Vec<usize> {
        let text = format!(
            r#"{{"when": [{{"field": "kind", "is": "export"}}], "unless": [{unless}],
                "severities": [{{"severity": "low", "when": [{{"field": "kind", "exists": true}}]}},
                    {{"severity": "critical", "when": [{{"field": "actor", "is": "bob"}}]}},
                    {{"severity": "high", "when": [{{"field": "actor", "in": ["svc", "bob"]}}]}}]}}"#
        );
        let read = |settings: &mut Settings<'_>| Some((settings.when()?, settings.severities()?));
        let (plan, policies) = compile(&[text], &[], read).unwrap();
        let mut evaluation = crate::Evaluation::new(&plan, &batch);
        let (when, severities) = &policies[0];
        let graded = evaluation.graded(severities);
        assert_eq!(graded.of([0, 4]), Some(Severity::Low));
        assert_eq!(graded.of([0, 1]), Some(Severity::High));
        assert_eq!(graded.of([0, 1, 5]), Some(Severity::Critical));
        assert_eq!(graded.of([]), None);
        evaluation.rows(when).iter().collect()
    };
    assert_eq!(meant(""), [0, 1, 2, 3, 5]);
    assert_eq!(meant(&exemption("")), [0, 5]);
    // The sixth of January begins where the fifth day since 1970 does.
    assert_eq!(meant(&exemption(r#", "until": "1970-01-06""#)), [0, 1, 2, 3, 5]);
    assert_eq!(meant(&exemption(r#", "until": "1970-01-07""#)), [0, 2, 3, 5]);
    assert_eq!(meant(&exemption(r#", "until": "1970-01-11T00:00:00.001Z""#)), [0, 3, 5]);
    let both = format!("{}, {}", exemption(""), exemption("").replace("svc", "bob"));
    assert_eq!(meant(&both), [0]);
}

/// A policy of very many values, as named lists have them, is read and found out in good time.
#[test]
fn long_lists_are_looked_up() {
    use casbah_model::BatchBuilder;
    let list = |each: fn(usize) -> String| {
        (0..20_000).map(|n| format!("\"{}\"", each(n))).collect::<Vec<_>>().join(", ")
    };
    let text = format!(
        r#"{{"when": [{{"field": "actor", "in": [{}]}}, {{"field": "ip", "cidr": [{}]}},
            {{"field": "object.name", "contains": [{}]}}]}}"#,
        list(|n| format!("user{n}@example.com")),
        list(|n| format!("10.{}.{}.0/24", n / 250, n % 250)),
        list(|n| format!("matter {n:05}")),
    );
    let (plan, whens) = compile(&[text], &[], |settings| settings.when()).unwrap();
    let mut builder = BatchBuilder::new();
    for n in 0..2000 {
        builder.begin_row();
        builder.text("actor", &format!("USER{n}@example.com"));
        builder.text("ip", &format!("{}.0.{}.9", 10 + n % 2, n % 250));
        builder.text("object.name", &format!("Files of MATTER {n:06}"));
    }
    let batch = builder.finish();
    let got = crate::Evaluation::new(&plan, &batch).rows(&whens[0]).count();
    // Six digits begin with the five of a matter below 20,000; half of the addresses are in.
    assert_eq!(got, 1000);
    let too_long =
        format!(r#"{{"when": [{{"field": "actor", "in": [{}]}}]}}"#, ["\"x\""; 200_001].join(","));
    let problems = compile(&[too_long], &[], |settings| settings.when()).map(|_| ()).unwrap_err();
    assert_eq!(problems[0].to_string(), "/when/0/in: the list has more than 200000 values");
}
