//! Queries as Graph takes them, as far as they are simulated: parameters, selections, filters of the
//! sign-in log, and the tokens of links.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casbah_sim::Parameters;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The members that are selected.
pub(crate) fn select(given: &Parameters) -> Vec<String> {
    let list = given.get("$select").unwrap_or_default();
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// How many records are wanted on a page.
pub(crate) fn top(given: &Parameters, usual: usize, most: usize) -> Option<usize> {
    match given.get("$top") {
        None => Some(usual),
        Some(text) => text.parse().ok().filter(|count| (1..=most).contains(count)),
    }
}

/// Where a link leads; opaque to whoever follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The list that it belongs to.
    pub(crate) list: String,
    /// The world that it belongs to.
    pub(crate) seed: u64,
    /// Links of an earlier generation are refused.
    pub(crate) generation: u64,
    /// Changes already told.
    pub(crate) from: usize,
    /// Changes that this round tells; none for the next round.
    pub(crate) to: Option<usize>,
    /// Records already given.
    pub(crate) skip: usize,
    /// Records on a page.
    pub(crate) top: usize,
    /// Selection, or filter and order.
    pub(crate) query: Vec<String>,
    /// By which clock the list was made, ms since 1970.
    pub(crate) now: i64,
}

impl Link {
    pub(crate) fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }
}

/// What is wanted of the sign-in log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) apps: Vec<String>,
    pub(crate) principal: Option<String>,
    pub(crate) interactive: bool,
    pub(crate) non_interactive: bool,
}

impl Filter {
    /// Reads a filter; `None` when it is one that is not understood, or that the version has not.
    pub(crate) fn read(text: &str, beta: bool) -> Option<Self> {
        let mut filter = Self {
            from: i64::MIN,
            to: i64::MAX,
            apps: Vec::new(),
            principal: None,
            interactive: true,
            non_interactive: false,
        };
        for part in text.split(" and ").map(str::trim).filter(|part| !part.is_empty()) {
            filter.part(part, beta)?;
        }
        Some(filter)
    }

    fn part(&mut self, part: &str, beta: bool) -> Option<()> {
        if let Some(rest) = part.strip_prefix("createdDateTime ") {
            let (word, at) = rest.split_once(' ')?;
            let at = at.trim().parse::<jiff::Timestamp>().ok()?.as_millisecond();
            match word {
                "ge" => self.from = at,
                "le" => self.to = at,
                _ => return None,
            }
            return Some(());
        }
        if part.starts_with("signInEventTypes/any(") && beta {
            self.interactive = part.contains("'interactiveUser'");
            self.non_interactive = part.contains("'nonInteractiveUser'");
            return Some(());
        }
        let bare = part.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or(part);
        for or in bare.split(" or ") {
            let (name, value) = or.trim().split_once(" eq ")?;
            let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'");
            match name.trim() {
                "appId" => self.apps.push(value),
                "userPrincipalName" => self.principal = Some(value),
                _ => return None,
            }
        }
        Some(())
    }
}

/// A list as Graph gives it.
pub(crate) fn list(context: &str, items: Vec<Value>, link: Option<(&str, String)>) -> Value {
    let mut value = json!({"@odata.context": context});
    if let (Value::Object(members), Some((name, link))) = (&mut value, link) {
        members.insert(format!("@odata.{name}"), link.into());
    }
    if let Value::Object(members) = &mut value {
        members.insert("value".to_owned(), items.into());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read() {
        let filter = Filter::read(
            "createdDateTime ge 2026-11-20T00:00:00Z and createdDateTime le 2026-11-20T01:00:00Z \
             and (appId eq 'a' or appId eq 'b''c')",
            false,
        )
        .unwrap();
        assert_eq!((filter.from, filter.to), (1_795_132_800_000, 1_795_136_400_000));
        assert_eq!(filter.apps, ["a", "b'c"]);
        let types = "signInEventTypes/any(t: t eq 'nonInteractiveUser')";
        let filter = Filter::read(types, true).unwrap();
        assert!(filter.non_interactive && !filter.interactive);
        for wrong in [types, "createdDateTime gt 2026-11-20T00:00:00Z", "city eq 'x'", "appId eq x"]
        {
            assert_eq!(Filter::read(wrong, false), None, "{wrong}");
        }
    }
}
