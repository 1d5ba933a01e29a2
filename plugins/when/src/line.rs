//! Where alerts begin, for detectors that score: the settings `sensitivity`, `budget`, `line` and
//! `behaviors-from`.
//!
//! It does not score, and knows no lines: each detector has its own.

use std::ops::RangeInclusive;

use crate::settings::Settings;

/// What the settings may say, and mean, for a detector.
pub struct Scale<'a> {
    /// Lines that `low`, `medium` and `high` stand for; `medium` unless a policy says otherwise.
    pub presets: [f64; 3],
    /// Budgets that have a line, alerts for every 1,000 users a week.
    pub budgets: RangeInclusive<f64>,
    /// The line of a budget. Without, budgets can't be told from the scores alone.
    pub of_budget: Option<&'a dyn Fn(f64) -> f64>,
    /// Lines that may be given.
    pub lines: RangeInclusive<f64>,
}

/// Where alerts and behaviors begin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lines {
    /// Scores at or above it are alerts,
    pub alerts: f64,
    /// and those at or above this one worth keeping.
    pub behaviors: f64,
}

/// Keys of the settings that [`read`] reads.
pub const KEYS: [&str; 4] = ["sensitivity", "budget", "line", "behaviors-from"];

/// Reads them; `None` where something is wrong, which has been noted.
pub fn read(settings: &mut Settings<'_>, scale: &Scale<'_>) -> Option<Lines> {
    let alerts = alerts(settings, scale);
    // Whatever is wrong with it is said in any case.
    let behaviors = settings.number("behaviors-from", 0.0..=1e9, alerts.unwrap_or(0.0) / 2.0);
    let (alerts, behaviors) = (alerts?, behaviors?);
    if settings.has("behaviors-from") && behaviors > alerts {
        return settings.problem(
            "behaviors-from",
            format!("behaviors begin below the alerting line, which is {alerts:.2}, not above it"),
        );
    }
    Some(Lines { alerts, behaviors })
}

/// The line itself, by whichever of three settings.
fn alerts(settings: &mut Settings<'_>, scale: &Scale<'_>) -> Option<f64> {
    let [low, medium, high] = scale.presets;
    let words = [("low", low), ("medium", medium), ("high", high)];
    let word = settings.one_of("sensitivity", &words, medium);
    let budget = settings.number("budget", scale.budgets.clone(), *scale.budgets.start());
    let of_budget = match (settings.has("budget"), scale.of_budget) {
        (false, _) => word,
        (true, Some(line)) => budget.map(line),
        (true, None) if settings.has("line") => word,
        (true, None) => {
            return settings.problem(
                "budget",
                "scores of this mode are no chances, so a budget can't be told from them alone\n\
                 hint: `casbah policy calibrate` finds the `line` for a budget in the stored log",
            );
        }
    };
    let line = settings.number("line", scale.lines.clone(), of_budget.unwrap_or(medium));
    if settings.has("sensitivity") && settings.has("budget") {
        return settings.problem(
            "budget",
            "`sensitivity` and `budget` say the same in two ways\nhint: leave one of them out",
        );
    }
    word.and(of_budget).and(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::compile;

    /// What a policy's settings come to, or what is wrong with them.
    fn lines(more: &str, of_budget: Option<&dyn Fn(f64) -> f64>) -> Result<Lines, String> {
        let scale =
            Scale { presets: [3.0, 2.0, 1.0], budgets: 0.5..=50.0, of_budget, lines: 0.0..=9.0 };
        let policy = format!(r#"{{"when": [{{"field": "kind", "exists": true}}]{more}}}"#);
        let compiled = compile(&[policy], &KEYS, |settings| {
            let _ = settings.when();
            read(settings, &scale)
        });
        match compiled {
            Ok((_, lines)) => lines.first().copied().ok_or_else(|| "nothing".to_owned()),
            Err(problems) => {
                let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                Err(all.join("\n"))
            }
        }
    }

    #[test]
    fn each_setting_has_its_turn() {
        let halves = |budget: f64| budget / 2.0;
        for (more, alerts, behaviors) in [
            ("", 2.0, 1.0),
            (r#", "sensitivity": "low""#, 3.0, 1.5),
            (r#", "budget": 8"#, 4.0, 2.0),
            (r#", "budget": 8, "line": 5"#, 5.0, 2.5),
            (r#", "sensitivity": "high", "line": 5, "behaviors-from": 5"#, 5.0, 5.0),
            (r#", "behaviors-from": 0"#, 2.0, 0.0),
        ] {
            assert_eq!(lines(more, Some(&halves)), Ok(Lines { alerts, behaviors }), "{more}");
        }
        let without = lines(r#", "budget": 8, "line": 5"#, None);
        assert_eq!(without, Ok(Lines { alerts: 5.0, behaviors: 2.5 }), "the line is enough");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let halves = |budget: f64| budget / 2.0;
        let all = [
            lines(r#", "budget": 8, "sensitivity": "low""#, Some(&halves)),
            lines(r#", "budget": 0.1, "behaviors-from": -1"#, Some(&halves)),
            lines(r#", "sensitivity": "lo", "line": 10"#, Some(&halves)),
            lines(r#", "line": 4, "behaviors-from": 4.5"#, Some(&halves)),
            lines(r#", "budget": 8"#, None),
        ];
        let all: Vec<String> = all.into_iter().filter_map(Result::err).collect();
        insta::assert_snapshot!(all.join("\n--\n"), @r"
        /budget: `sensitivity` and `budget` say the same in two ways
        hint: leave one of them out
        --
        /budget: `budget` must be a number from 0.5 to 50, not `0.1`
        /behaviors-from: `behaviors-from` must be a number from 0 to 1000000000, not `-1`
        --
        /sensitivity: `lo` is not a value of `sensitivity`
        hint: did you mean `low`?
        /line: `line` must be a number from 0 to 9, not `10`
        --
        /behaviors-from: behaviors begin below the alerting line, which is 4.00, not above it
        --
        /budget: scores of this mode are no chances, so a budget can't be told from them alone
        hint: `casbah policy calibrate` finds the `line` for a budget in the stored log
        ");
    }
}
