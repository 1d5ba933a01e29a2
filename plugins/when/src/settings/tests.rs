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
