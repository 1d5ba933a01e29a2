//! Holds what was found against what was planted.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use casbah_demo::Planted;

const HOUR: i64 = 3_600_000;

/// An alert, as `casbah alert list --format json` prints it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Alert {
    pub(crate) id: String,
    pub(crate) policy: String,
    pub(crate) first: i64,
    pub(crate) last: i64,
    #[serde(default)]
    pub(crate) summary: String,
    pub(crate) group: Value,
}

impl Alert {
    /// Whether a value of the group is this, whatever the form in which groups are printed.
    fn is_about(&self, who: &str) -> bool {
        fn holds(value: &Value, who: &str) -> bool {
            match value {
                Value::String(text) => text.eq_ignore_ascii_case(who),
                Value::Array(values) => values.iter().any(|value| holds(value, who)),
                Value::Object(members) => members.values().any(|value| holds(value, who)),
                _ => false,
            }
        }
        who.is_empty() || holds(&self.group, who)
    }

    /// Whether it is about a thing rather than about somebody: a country, a network, a client that is
    /// new to everybody. Such an alert stands for all who are concerned.
    fn is_about_all(&self) -> bool {
        !self.group.to_string().contains('@')
    }

    /// Whether it came of something that was planted: about the same person, at the same time.
    fn came_of(&self, planted: &Planted) -> bool {
        let names = || self.summary.to_lowercase().contains(&planted.who);
        let about = self.is_about(&planted.who)
            || self.is_about_all() && (planted.policies.contains(&self.policy) || names());
        // Somebody who is dismissed or away goes on for some days.
        about && self.first <= planted.to + 72 * HOUR && self.last >= planted.from - HOUR
    }
}

/// One line a JSON value.
pub(crate) fn alerts(lines: &str) -> Result<Vec<Alert>> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no alert: {line}")))
        .collect()
}

/// What became of one expectation: this incident by this policy.
#[derive(Clone, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) planted: &'a Planted,
    pub(crate) policy: &'a str,
    pub(crate) alert: Option<&'a Alert>,
}

/// The comparison.
#[derive(Debug, Default)]
pub(crate) struct Comparison<'a> {
    pub(crate) expected: Vec<Expected<'a>>,
    /// Alerts on near misses by the very policies that should stay silent.
    pub(crate) mistaken: Vec<(&'a Planted, &'a Alert)>,
    /// Alerts that have nothing to do with anything that was planted.
    pub(crate) beside: Vec<&'a Alert>,
    /// Alerts that say nothing of why.
    pub(crate) unexplained: Vec<&'a Alert>,
    /// Policies that found nothing that was planted for them.
    pub(crate) idle: Vec<&'a str>,
}

/// Compares; `policies` are all that were on.
pub(crate) fn compare<'a>(
    planted: &'a [Planted],
    alerts: &'a [Alert],
    policies: &'a [String],
) -> Comparison<'a> {
    let mut comparison = Comparison::default();
    for planted in planted {
        let by = |policy: &&String| {
            alerts.iter().find(|alert| alert.policy == **policy && alert.came_of(planted))
        };
        if planted.near_miss {
            let mistaken = planted.policies.iter().filter_map(|policy| by(&policy));
            comparison.mistaken.extend(mistaken.map(|alert| (planted, alert)));
        } else {
            let expected = planted.policies.iter().map(|policy| Expected {
                planted,
                policy,
                alert: by(&policy),
            });
            comparison.expected.extend(expected);
        }
    }
    let told = |alert: &&Alert| {
        planted.iter().any(|planted| {
            !planted.near_miss && alert.came_of(planted)
            // What nobody in particular did explains only what its own policies say.
                && (!planted.who.is_empty() || planted.policies.contains(&alert.policy))
        })
    };
    comparison.beside = alerts.iter().filter(|alert| !told(alert)).collect();
    comparison.unexplained =
        alerts.iter().filter(|alert| alert.summary.trim().is_empty()).collect();
    let found: BTreeSet<&str> = comparison
        .expected
        .iter()
        .filter(|expected| expected.alert.is_some())
        .map(|expected| expected.policy)
        .collect();
    comparison.idle =
        policies.iter().map(String::as_str).filter(|policy| !found.contains(policy)).collect();
    comparison
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted(name: &str, who: &str, near_miss: bool) -> Planted {
        Planted {
            name: name.to_owned(),
            app: "smartsheet".to_owned(),
            who: who.to_owned(),
            policies: vec!["mass-share".to_owned()],
            from: 100 * HOUR,
            to: 101 * HOUR,
            near_miss,
        }
    }

    fn alert(id: &str, policy: &str, who: &str, hour: i64) -> Alert {
        let line = serde_json::json!({"id": id, "policy": policy, "first": hour * HOUR,
            "last": hour * HOUR, "summary": "so", "group": [["person", who]], "more": 1});
        alerts(&line.to_string()).unwrap().remove(0)
    }

    #[test]
    fn what_is_missed_and_what_is_beside_shows() {
        let planted =
            [planted("a", "ana@x", false), planted("b", "bo@x", false), planted("c", "cy@x", true)];
        let alerts = [
            alert("1", "mass-share", "Ana@x", 100),
            // Of the same person and time: a consequence, though by another policy.
            alert("2", "other", "ana@x", 101),
            alert("3", "mass-share", "bo@x", 10),
            alert("4", "mass-share", "cy@x", 100),
        ];
        let policies = ["mass-share".to_owned(), "other".to_owned()];
        let found = compare(&planted, &alerts, &policies);
        let who: Vec<_> =
            found.expected.iter().map(|e| (e.planted.name.as_str(), e.alert.is_some())).collect();
        assert_eq!(who, [("a", true), ("b", false)]);
        let ids = |alerts: &[&Alert]| alerts.iter().map(|a| a.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&found.beside), ["3", "4"]);
        assert_eq!(found.mistaken.len(), 1);
        let together = alert("5", "mass-share", "BR", 100);
        assert!(planted.iter().all(|planted| together.came_of(planted)), "it stands for all");
        assert_eq!(found.idle, ["other"]);
    }
}
