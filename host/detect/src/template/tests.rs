//! What templates become, and every message about them.

use casbah_model::{AlertState, Severity};
use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn alert() -> Alert {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Alert {
        id: "0123".to_owned(),
        policy: "mass-export".to_owned(),
        revision: "aaaaaaaaaaaa".to_owned(),
        title: "Mass export".to_owned(),
        severity: Severity::High,
        group: vec![pair("actor", "ana@example.com"), pair("app", "")],
        start: 0,
        first: 1_767_607_200_000,
        last: 1_767_607_260_000,
        count: 31,
        evidence: Vec::new(),
        summary: "31 exports".to_owned(),
        details: vec![pair("within", "5m"), pair("long", &"é".repeat(500))],
        state: AlertState::Open,
        behavior: false,
        description: String::new(),
        respond: Vec::new(),
        shadow: false,
        held_back: false,
    }
}

fn rendered(text: &str) -> String {
    Template::parse(text, None).unwrap().render(&alert())
}

#[test]
fn places_are_filled_in() {
    assert_snapshot!(
        rendered("{actor}: {count} in {details.within}, {first} to {last} ({severity}, {policy}): {summary}"),
        @"ana@example.com: 31 in 5m, 2026-01-05T10:00:00Z to 2026-01-05T10:01:00Z (high, mass-export): 31 exports"
    );
    assert_eq!(rendered("{{actor}} { actor }"), "{actor} ana@example.com");
    // What is not known, and what is empty.
    assert_eq!(rendered("{details.none} {app} {ip} {fields.x} {objects.id}"), "? ? ? ? ?");
    assert_eq!(rendered("{details.long}").chars().count(), LONGEST + 1);
}

fn wrong(text: &str, group: Option<&[&str]>) -> String {
    let group: Option<Vec<String>> =
        group.map(|group| group.iter().map(|column| (*column).to_owned()).collect());
    let TemplateError { at, length, message, hint } =
        Template::parse(text, group.as_deref()).unwrap_err();
    format!("{at}+{length}: {message}\nhint: {hint}")
}

#[test]
fn what_is_wrong_with_templates() {
    assert_snapshot!(wrong("é {actr} did", None), @r"
    2+6: an alert knows no `actr`
    hint: did you mean `actor`?
    ");
    assert_snapshot!(wrong("{something else}", None), @r"
    0+16: an alert knows no `something else`
    hint: a template knows the columns of the alert's group, `count`, `first`, `last`, `summary`, `policy`, `severity`, and `details.NAME`
    ");
    assert_snapshot!(wrong("{ip}", Some(&["actor", "app"])), @r"
    0+4: an alert of this policy knows no `ip`
    hint: alerts are told apart by `actor`, `app`; add `ip` to `alert.group`
    ");
    assert_snapshot!(wrong("{cuont}", Some(&["actor"])), @r"
    0+7: an alert of this policy knows no `cuont`
    hint: did you mean `count`?
    ");
    assert_snapshot!(wrong("by {actor", None), @r"
    3+1: a brace is opened here and never closed
    hint: write `{actor}` to fill in the actor, and `{{` for a brace
    ");
    assert_snapshot!(wrong("by actor}", None), @r"
    8+1: a brace is closed here that was never opened
    hint: write `}}` for a brace
    ");
    assert_snapshot!(wrong("{}", None).lines().next().unwrap(), @"0+2: an alert knows no ``");
}

proptest! {
    /// A text whose braces are doubled says what it says, and any other is read or refused.
    #[test]
    fn doubled_braces_are_braces(text in "[a-z{} é.]{0,30}") {
        let doubled = text.replace('{', "{{").replace('}', "}}");
        prop_assert_eq!(rendered(&doubled), text.clone());
        let _ = Template::parse(&text, None);
    }
}
