//! States of accounts, and what they say together about a person at some time.
//!
//! It knows no activities but their times, and nothing of batches.

use crate::settings::Rule;

/// A state of an account, in the order of how far gone its person is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// One that is not known here.
    Other,
    Active,
    Pending,
    Declined,
    Leaving,
    Left,
    Disabled,
    Deleted,
}

impl Standing {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Other, ""),
        (Self::Active, "active"),
        (Self::Pending, "pending"),
        (Self::Declined, "declined"),
        (Self::Leaving, "leaving"),
        (Self::Left, "left"),
        (Self::Disabled, "disabled"),
        (Self::Deleted, "deleted"),
    ];

    /// The state of a word in `actor.status`.
    pub(crate) fn of(word: &str) -> Self {
        Self::ALL.iter().find(|(_, name)| *name == word).map_or(Self::Other, |(state, _)| *state)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }

    /// A number for state; never to change.
    pub(crate) fn code(self) -> u64 {
        self as u64
    }

    pub(crate) fn of_code(code: u64) -> Option<Self> {
        Self::ALL.iter().map(|(state, _)| *state).find(|state| state.code() == code)
    }

    /// Whether the account can be used.
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Active | Self::Pending | Self::Declined | Self::Leaving)
    }

    /// Whether it follows from a leave date rather than from the account itself.
    fn is_of_leave_date(self) -> bool {
        matches!(self, Self::Leaving | Self::Left)
    }

    fn is_out_of_use(self) -> bool {
        matches!(self, Self::Disabled | Self::Deleted)
    }
}

/// An account is in a state from some time on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct News {
    /// Since when, ms since 1970; `None`: for as long as anybody knows. First, so that news sort by
    /// time, and at one time by how far gone the person is.
    pub(crate) since: Option<i64>,
    pub(crate) state: Standing,
    /// Hash of the account.
    pub(crate) account: u32,
    /// The app that says it; empty for what does not end anything.
    pub(crate) source: String,
}

/// The name under which the directory file stands as a source: its word on who is gone is not
/// outweighed by another account that is still enabled.
const FILE: &str = "directory";

/// Why somebody should not be active any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Since when, ms.
    pub(crate) since: i64,
    /// The state at the time.
    pub(crate) state: Standing,
    /// The app that says it; empty where only the host's word stands in the activity.
    pub(crate) source: String,
}

/// What holds of one account at some time.
struct Held<'a> {
    account: u32,
    state: Standing,
    /// Since when it has been so, or open where its person is to leave.
    since: Option<i64>,
    /// The first of the news since which it has been gone without a break.
    gone: Option<&'a News>,
    /// Since when its person has left or been leaving, in that time.
    left: Option<i64>,
}

/// What holds of every account at a time. News are in order.
fn held<'a>(news: &'a [News], time: i64, rule: &Rule) -> Vec<Held<'a>> {
    let mut accounts: Vec<Held<'a>> = Vec::new();
    for one in news.iter().take_while(|one| one.since.is_none_or(|since| since <= time)) {
        let place = match accounts.iter().position(|held| held.account == one.account) {
            Some(place) => place,
            None => {
                let account = one.account;
                let (state, since) = (Standing::Other, one.since);
                accounts.push(Held { account, state, since, gone: None, left: None });
                accounts.len() - 1
            }
        };
        let Some(held) = accounts.get_mut(place) else { continue };
        // A leave date says nothing of an account that is out of use already.
        if held.state.is_out_of_use() && one.state.is_of_leave_date() {
            continue;
        }
        // Somebody who is to leave has not come back by that.
        if !(held.state.is_live() && one.state == Standing::Leaving) {
            held.since = one.since;
        }
        held.state = one.state;
        if rule.causes.contains(&one.state) {
            held.gone = held.gone.or(Some(one));
            if one.state.is_of_leave_date() {
                held.left = held.left.or(one.since);
            }
        } else {
            (held.gone, held.left) = (None, None);
        }
    }
    accounts
}

/// Since when and why the person should not be active at a time, by the news of all its accounts.
///
/// An account that is out of use says nothing while the person has another one that can be used:
/// it has been made anew. A leave date counts as long as no account has been opened after it.
pub(crate) fn gone(news: &[News], time: i64, rule: &Rule) -> Option<Gone> {
    let accounts = held(news, time, rule);
    let live = |held: &Held<'_>| held.state.is_live() && held.gone.is_none();
    let outweighed = |held: &Held<'_>| match (held.left, held.gone) {
        (Some(left), _) => accounts.iter().any(|other| live(other) && other.since > Some(left)),
        (None, Some(first)) if first.source != FILE => accounts.iter().any(live),
        _ => false,
    };
    accounts
        .iter()
        .filter(|held| held.gone.is_some() && !outweighed(held))
        .filter_map(|held| {
            let first = held.gone?;
            // What has been so for as long as anybody knows has begun with the news.
            let since = first.since.unwrap_or(i64::MIN);
            Some(Gone { since, state: held.state, source: first.source.clone() })
        })
        .min_by_key(|gone| gone.since)
}

/// Whether the host's word in an activity that the person is gone since `since` is not the last: an
/// account was opened between then and `time`, or there is another one that is open.
pub(crate) fn reopened(news: &[News], time: i64, since: i64, rule: &Rule) -> bool {
    let opened = |one: &News| {
        let between = one.since > Some(since) && one.since <= Some(time);
        between && one.state.is_live() && one.state != Standing::Leaving
    };
    if news.iter().any(opened) {
        return true;
    }
    let accounts = held(news, time, rule);
    let closed = accounts.iter().any(|held| held.gone.is_some());
    let sure = accounts
        .iter()
        .any(|held| held.left.is_some() || held.gone.is_some_and(|first| first.source == FILE));
    let open = accounts.iter().any(|held| held.state.is_live() && held.gone.is_none());
    closed && open && !sure
}

#[cfg(test)]
mod tests {
    use super::Standing::{Active, Deleted, Disabled, Leaving, Left};
    use super::*;

    fn rule() -> Rule {
        let causes = vec![Deleted, Disabled, Left];
        Rule { causes, grace: 0, remember: 0, lateness: 0, window: 1 }
    }

    /// Each row: news (account, state, since, source), and since when the person is gone at times.
    #[test]
    fn when_somebody_is_gone() {
        type Given = (u32, Standing, Option<i64>, &'static str);
        type Expected = (i64, Option<(i64, Standing)>);
        let rows: &[(&str, &[Given], &[Expected])] = &[
            ("nothing is known", &[], &[(5, None)]),
            (
                "deleted",
                &[(1, Active, None, "entra"), (1, Deleted, Some(10), "entra")],
                &[(9, None), (10, Some((10, Deleted)))],
            ),
            (
                "disabled, then deleted: gone since the first",
                &[(1, Disabled, Some(10), "entra"), (1, Deleted, Some(40), "entra")],
                &[(50, Some((10, Deleted)))],
            ),
            (
                "restored",
                &[(1, Deleted, Some(10), "entra"), (1, Active, Some(20), "entra")],
                &[(15, Some((10, Deleted))), (20, None)],
            ),
            (
                "deleted and made anew",
                &[(1, Deleted, Some(10), "entra"), (2, Active, Some(20), "entra")],
                &[(15, Some((10, Deleted))), (20, None)],
            ),
            (
                "one of two accounts deleted",
                &[(1, Deleted, Some(10), "entra"), (2, Active, None, "entra")],
                &[(15, None)],
            ),
            (
                "both deleted",
                &[(1, Deleted, Some(10), "entra"), (2, Deleted, Some(12), "entra")],
                &[(11, Some((10, Deleted))), (15, Some((10, Deleted)))],
            ),
            (
                "the file knows, whatever is still enabled",
                &[(1, Disabled, Some(10), "directory"), (2, Active, None, "entra")],
                &[(15, Some((10, Disabled)))],
            ),
            (
                "left, and the account is still enabled",
                &[(1, Left, Some(10), "directory"), (2, Active, None, "entra")],
                &[(9, None), (15, Some((10, Left)))],
            ),
            (
                "left, and back with a new account",
                &[(1, Left, Some(10), "directory"), (2, Active, Some(20), "entra")],
                &[(15, Some((10, Left))), (25, None)],
            ),
            (
                "a leave date that is yet to come opens nothing",
                &[
                    (1, Left, Some(10), "directory"),
                    (2, Active, None, "entra"),
                    (2, Leaving, Some(12), "entra"),
                ],
                &[(15, Some((10, Left)))],
            ),
            (
                "leaving is no cause here",
                &[(1, Leaving, Some(5), "entra"), (1, Left, Some(10), "entra")],
                &[(7, None), (10, Some((10, Left)))],
            ),
            (
                "a leave date says nothing of what is out of use",
                &[
                    (1, Disabled, Some(5), "entra"),
                    (1, Left, Some(10), "entra"),
                    (2, Active, None, "entra"),
                ],
                &[(11, None)],
            ),
        ];
        for (name, given, expected) in rows {
            let mut news: Vec<News> = given
                .iter()
                .map(|&(account, state, since, source)| News {
                    since,
                    state,
                    account,
                    source: source.to_owned(),
                })
                .collect();
            news.sort();
            for &(time, what) in *expected {
                let found = gone(&news, time, &rule()).map(|gone| (gone.since, gone.state));
                assert_eq!(found, what, "{name}, at {time}");
            }
        }
    }

    #[test]
    fn codes_and_words_are_fixed() {
        for (code, word) in
            ["", "active", "pending", "declined", "leaving", "left", "disabled", "deleted"]
                .into_iter()
                .enumerate()
        {
            assert_eq!(Standing::of(word).code(), code as u64);
            assert_eq!(Standing::of_code(code as u64).map(Standing::name), Some(word));
        }
        assert_eq!(Standing::of_code(8), None);
    }
}
