//! Reads `sequence` and `absence`: steps, and what must or must not come behind them.

use casbah_when::When;
use casbah_when::duration::DAY;
use casbah_when::json::Json;
use casbah_when::settings::Settings;
use casbah_when::words::cut;

use super::{LONGEST, LanePart, Said, Words, within};
use crate::rule::Measure;
use crate::sequence::Sequence;
use crate::steps::MOST;

const SEQUENCE_KEYS: [&str; 5] = ["within", "by", "ordered", "steps", "lateness"];
const STEP_KEYS: [&str; 4] = ["name", "when", "by", "not"];
const ABSENCE_KEYS: [&str; 5] = ["within", "by", "expect", "name", "lateness"];

/// A step as written.
struct Step {
    name: Option<String>,
    /// Whether it must not come.
    not: bool,
    when: When,
    by: Option<Vec<casbah_when::Source>>,
}

pub(super) fn sequence(settings: &mut Settings<'_>) -> Option<Option<Said>> {
    let example = "sequence: {within: 1h, steps: [{when: [{field: kind, is: share}]}, {when: [{field: kind, is: export}]}]}";
    settings.table("sequence", &SEQUENCE_KEYS, example, |settings| {
        let within = within(settings);
        let lateness = settings.duration("lateness", 0..=LONGEST, DAY);
        let by = settings.by("actor");
        let ordered = settings.flag("ordered", true);
        let steps = match settings.has("steps") {
            true => settings
                .tables(
                    "steps",
                    &STEP_KEYS,
                    "{name: export, when: [{field: kind, is: export}]}",
                    |settings, _| step(settings),
                )
                .flatten(),
            false => settings
                .problem("", "`steps` is missing: it says what follows what\nhint: `steps: [{when: [{field: kind, is: share}]}, {when: [{field: kind, is: export}]}]`"),
        };
        let (by, ordered, steps) = (by?, ordered?, steps?);
        check(settings, &steps, by.len(), ordered)?;
        let mut done = 0;
        let mut nots = 0;
        let mut parts = Vec::with_capacity(steps.len());
        let (mut names, mut refused) = (Vec::new(), Vec::new());
        for step in steps {
            let part = if step.not {
                let bit = 1 << (done - 1);
                nots |= bit;
                refused.push((done, step.name.unwrap_or_default()));
                LanePart { when: Some(step.when), steps: 0, nots: bit }
            } else {
                done += 1;
                names.push(step.name.unwrap_or_default());
                LanePart { when: Some(step.when), steps: 1 << (done - 1), nots: 0 }
            };
            parts.push((step.by, part));
        }
        let measure = match ordered {
            true => Measure::Sequence(Sequence { steps: done as u8, nots }),
            false => Measure::Together(done as u8),
        };
        Some(Said {
            name: "sequence",
            measure,
            within: within?,
            lateness: lateness?,
            value: None,
            by,
            parts,
            words: Words::Steps { steps: names, nots: refused, ordered },
        })
    })
}

fn step(settings: &mut Settings<'_>) -> Option<Step> {
    let name = settings.text("name");
    let by = match settings.has("by") {
        true => settings.fields("by", &[]).map(Some),
        false => Some(None),
    };
    let (key, when) = match (settings.has("when"), settings.has("not")) {
        (true, false) => ("when", settings.rows("when")),
        (false, true) => ("not", settings.rows("not")),
        (true, true) => {
            return settings
                .problem("not", "a step has either `when` or `not`\nhint: make two steps of it");
        }
        (false, false) => {
            return settings.problem(
                "",
                "a step needs `when`, or `not` for what must not come\nhint: `{when: [{field: kind, is: export}]}`",
            );
        }
    };
    let told = settings.get(key).map(in_words);
    let name = name?.map(cut).or(told);
    Some(Step { name, not: key == "not", when: when??, by: by? })
}

/// Checks what steps are together.
fn check(settings: &mut Settings<'_>, steps: &[Step], by: usize, ordered: bool) -> Option<()> {
    let mut sound = Some(());
    let mut wrong = |settings: &mut Settings<'_>, index, message: String| {
        sound = settings.problem_in("steps", index, message);
    };
    let number = steps.iter().filter(|step| !step.not).count();
    if number > MOST {
        return settings
            .problem("steps", format!("a sequence has at most {MOST} steps, `not` aside"));
    }
    if steps.len() < 2 {
        return settings.problem(
            "steps",
            "a sequence has at least two steps\nhint: without `sequence`, every activity that `when` means is a finding",
        );
    }
    for (index, step) in steps.iter().enumerate() {
        if step.not && !ordered {
            wrong(
                settings,
                index,
                "what must not come needs an order\nhint: leave out `ordered: false`".to_owned(),
            );
        } else if step.not && index == 0 {
            wrong(settings, index, "a sequence can't begin with `not`: there is nothing behind which it could come\nhint: begin with the step that it must not follow".to_owned());
        }
        if let Some(own) = step.by.as_ref().filter(|own| own.len() != by) {
            let fields = |number: usize| {
                if number == 1 { "1 field".to_owned() } else { format!("{number} fields") }
            };
            wrong(
                settings,
                index,
                format!(
                    "`by` of this step names {}, but `by` of the sequence {}\n\
                     hint: name as many, in the same order: their values are compared one by one",
                    fields(own.len()),
                    fields(by)
                ),
            );
        }
    }
    if !ordered && number < 2 && sound.is_some() {
        return settings.problem("steps", "a sequence has at least two steps, `not` aside");
    }
    sound
}

pub(super) fn absence(settings: &mut Settings<'_>, when: Option<When>) -> Option<Option<Said>> {
    let told = match settings.has("absence") {
        true => settings.get("when").map(in_words),
        false => None,
    };
    let example = "absence: {within: 1h, expect: [{field: kind, is: logout}]}";
    settings.table("absence", &ABSENCE_KEYS, example, |settings| {
        let within = within(settings);
        let lateness = settings.duration("lateness", 0..=LONGEST, DAY);
        let by = settings.by("actor");
        let name = settings.text("name");
        let expect = settings.rows("expect");
        let (name, expect) = (name?, expect?);
        let expected = name.map(cut).or_else(|| settings.get("expect").map(in_words));
        let parts = match expect {
            None => vec![(None, LanePart { when, steps: 1, nots: 1 })],
            Some(expect) => vec![
                (None, LanePart { when, steps: 1, nots: 0 }),
                (None, LanePart { when: Some(expect), steps: 0, nots: 1 }),
            ],
        };
        Some(Said {
            name: "absence",
            measure: Measure::Sequence(Sequence { steps: 1, nots: 1 }),
            within: within?,
            lateness: lateness?,
            value: None,
            by: by?,
            parts,
            words: Words::Absence { when: told.unwrap_or_default(), expected },
        })
    })
}

/// What filter rows ask, shortly: the kinds they want, or else all of them.
fn in_words(rows: &Json<'_>) -> String {
    let Json::List(rows) = rows else { return String::new() };
    let told: Vec<(bool, String)> = rows.iter().map(row_in_words).collect();
    let kinds: Vec<_> =
        told.iter().filter(|(kind, _)| *kind).map(|(_, text)| text.as_str()).collect();
    let all: Vec<_> = told.iter().map(|(_, text)| text.as_str()).collect();
    cut(&if kinds.is_empty() { all.join(", ") } else { kinds.join(", ") })
}

/// A row in words, and whether it asks for kinds.
fn row_in_words(row: &Json<'_>) -> (bool, String) {
    let Json::Map(map) = row else { return (false, String::new()) };
    let get = |name: &str| map.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let operator =
        map.iter().find(|(key, _)| !matches!(key.as_ref(), "field" | "missing" | "ignore-case"));
    let Some((operator, value)) = operator else { return (false, String::new()) };
    let values = match value {
        Json::List(values) => {
            let shown: Vec<String> = values.iter().take(5).map(Json::to_string).collect();
            let more = if values.len() > 5 { " …" } else { "" };
            format!("{}{more}", shown.join(" or "))
        }
        value => value.to_string(),
    };
    match (get("field"), operator.as_ref()) {
        (Some(Json::Text(field)), "is" | "in") if field == "kind" => (true, values),
        (Some(Json::Text(field)), "is" | "in") => (false, format!("{field} {values}")),
        (Some(Json::Text(field)), operator) => (false, format!("{field} {operator} {values}")),
        (_, operator) => (false, operator.to_owned()),
    }
}
