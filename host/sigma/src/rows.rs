//! Filter rows under construction, and their groups, kept as flat as they can be.

use casbah_yaml::Span;
use serde_json::{Value, json};

use crate::refused::{No, RefusedKind, Result};

/// What has to hold of an activity.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Rows {
    /// One row, as it is written in a policy.
    Row(Value),
    /// All of them; nothing asked where there are none.
    All(Vec<Rows>),
    /// One of them.
    Any(Vec<Rows>),
    /// It does not hold, also of activities that lack a field.
    Not(Box<Rows>),
}

/// How deep groups may nest in a policy.
const DEEPEST: usize = 16;
/// How many rows a policy may have.
const MOST: usize = 2_000;

impl Rows {
    /// All of them hold.
    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::All(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match (flat.len(), flat.pop()) {
            (1, Some(part)) => part,
            (_, last) => {
                flat.extend(last);
                Self::All(flat)
            }
        }
    }

    /// One of them holds.
    pub(crate) fn any(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for part in parts {
            match part {
                Self::Any(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match (flat.len(), flat.pop()) {
            (1, Some(part)) => part,
            (_, last) => {
                flat.extend(last);
                Self::Any(flat)
            }
        }
    }

    /// It does not hold.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// At least so many of them hold; `None` where that would take too many rows.
    pub(crate) fn at_least(count: usize, parts: &[Self]) -> Option<Self> {
        const MOST_WAYS: u128 = 256;
        let ways = (0..count as u128)
            .try_fold(1u128, |ways, i| Some(ways.checked_mul(parts.len() as u128 - i)? / (i + 1)));
        if count > 1 && count < parts.len() && ways.is_none_or(|ways| ways > MOST_WAYS) {
            return None;
        }
        Some(Self::choose(count, parts))
    }

    fn choose(count: usize, parts: &[Self]) -> Self {
        match parts.split_first() {
            _ if count == 1 => Self::any(parts.iter().cloned()),
            _ if count >= parts.len() => Self::all(parts.iter().cloned()),
            Some((first, rest)) => Self::any([
                Self::all([first.clone(), Self::choose(count - 1, rest)]),
                Self::choose(count, rest),
            ]),
            None => Self::All(Vec::new()),
        }
    }

    /// The rows of a `when`, within the bounds of a policy.
    pub(crate) fn when(&self, span: Span) -> Result<Value> {
        let parts = match self {
            Self::All(parts) => parts.as_slice(),
            other => std::slice::from_ref(other),
        };
        let deepest = parts.iter().map(Self::depth).max().unwrap_or(0);
        if deepest > DEEPEST {
            return Err(No::at(
                RefusedKind::Limit,
                span,
                format!("the detection nests {deepest} deep; a policy may nest {DEEPEST} deep"),
                "split the rule, or write its condition with fewer brackets",
            ));
        }
        let count: usize = parts.iter().map(Self::count).sum();
        if count > MOST {
            return Err(No::at(
                RefusedKind::Limit,
                span,
                format!("the detection comes to {count} rows; a policy may have {MOST}"),
                "put values that are asked alike into one list, or split the rule",
            ));
        }
        Ok(parts.iter().map(Self::written).collect())
    }

    fn depth(&self) -> usize {
        match self {
            Self::Row(_) => 0,
            Self::All(parts) | Self::Any(parts) => {
                1 + parts.iter().map(Self::depth).max().unwrap_or(0)
            }
            Self::Not(inner) => 1 + inner.depth(),
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Row(_) => 1,
            Self::All(parts) | Self::Any(parts) => parts.iter().map(Self::count).sum(),
            Self::Not(inner) => inner.count(),
        }
    }

    fn written(&self) -> Value {
        match self {
            Self::Row(row) => row.clone(),
            Self::All(parts) => json!({"all": parts.iter().map(Self::written).collect::<Value>()}),
            Self::Any(parts) => json!({"any": parts.iter().map(Self::written).collect::<Value>()}),
            Self::Not(inner) => json!({"not": inner.written(), "missing": "match"}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str) -> Rows {
        Rows::Row(json!({"field": name, "exists": true}))
    }

    fn holds(rows: &Rows, there: &[String]) -> bool {
        match rows {
            Rows::Row(row) => there.iter().any(|name| row["field"] == name.as_str()),
            Rows::All(parts) => parts.iter().all(|part| holds(part, there)),
            Rows::Any(parts) => parts.iter().any(|part| holds(part, there)),
            Rows::Not(inner) => !holds(inner, there),
        }
    }

    /// Counted out over all that can be there or not.
    #[test]
    fn so_many_of_them() {
        let parts: Vec<Rows> = (0..5).map(|i| row(&i.to_string())).collect();
        for count in 1..=5 {
            let rows = Rows::at_least(count, &parts).unwrap();
            for there in 0u32..32 {
                let names: Vec<String> =
                    (0..5).filter(|i| there >> i & 1 == 1).map(|i| i.to_string()).collect();
                assert_eq!(holds(&rows, &names), names.len() >= count, "{count} of {names:?}");
            }
        }
        let many: Vec<Rows> = (0..40).map(|i| row(&i.to_string())).collect();
        assert!(Rows::at_least(20, &many).is_none());
        assert!(Rows::at_least(1, &many).is_some());
    }

    #[test]
    fn groups_are_flat_and_bounded() {
        let rows = Rows::all([Rows::all([row("a"), row("b")]), Rows::any([row("c")])]);
        assert_eq!(rows, Rows::All(vec![row("a"), row("b"), row("c")]));
        assert_eq!(row("a").negated().negated(), row("a"));
        let mut deep = row("a");
        for index in 0..17 {
            deep = match index % 2 {
                0 => Rows::any([deep, row("b")]),
                _ => Rows::all([deep, row("b")]),
            };
        }
        let no = deep.when(Span::default()).unwrap_err();
        assert_eq!(no.kind, RefusedKind::Limit);
        let wide = Rows::any((0..2_001).map(|i| row(&i.to_string())));
        assert_eq!(wide.when(Span::default()).unwrap_err().kind, RefusedKind::Limit);
    }
}
