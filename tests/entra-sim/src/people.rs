//! The people of the directory, and how their accounts change.
//!
//! Changes are kept in the order in which the directory shows them; the state after any number of
//! them can be had, which is what a delta is made of.

use std::collections::BTreeMap;
use std::str::FromStr;

use casbah_sim::Error;
use casbah_sim::random::mix;
use smartsheet_sim::{Company, Role, User};

/// Somebody in the directory.
#[derive(Clone, Debug)]
pub struct Person {
    /// Object id.
    pub id: String,
    /// Place in [`Company::users`].
    pub place: usize,
    /// Sign-in name. It differs from the address for some.
    pub principal: String,
    /// `mail`; some have none.
    pub mail: Option<String>,
    /// Other addresses of the mailbox, as they stand in `proxyAddresses`.
    pub proxies: Vec<String>,
    /// Private addresses.
    pub others: Vec<String>,
    /// Name.
    pub name: String,
    /// Whether it is a guest.
    pub guest: bool,
    /// When the account was made, ms since 1970.
    pub created: i64,
}

/// A GUID made of a seed and a number.
pub(crate) fn guid(seed: u64, kind: u64, number: u64) -> String {
    let (a, b) = (mix(seed ^ kind, number), mix(seed ^ kind ^ 0x5eed, number));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        a >> 32,
        (a >> 16) & 0xffff,
        a & 0xfff,
        0x8000 | (b >> 48) & 0x3fff,
        b & 0xffff_ffff_ffff
    )
}

const PERSON: u64 = 0xe27a;

impl Person {
    /// The directory's view of everybody whom the company lists.
    pub(crate) fn all(company: &Company) -> Vec<Self> {
        let listed = |(_, user): &(usize, &User)| user.listed;
        company
            .users
            .iter()
            .enumerate()
            .filter(listed)
            .map(|(at, user)| Self::of(company, at, user))
            .collect()
    }

    fn of(company: &Company, at: usize, user: &User) -> Self {
        let email = user.email.as_str();
        let guest = user.role == Role::Guest;
        let (principal, proxies) = if guest {
            let principal = format!("{}#EXT#@{}", email.replace('@', "_"), company.domain);
            (principal, Vec::new())
        } else if at % 7 == 3 {
            // Signs in by a number; the address is an alias, and so is a former one.
            let former = format!(
                "{}.{at}@{}",
                user.last.to_lowercase().replace(['\'', ' '], ""),
                company.domain
            );
            let former: String = former.chars().filter(char::is_ascii).collect();
            let proxies =
                vec![format!("SMTP:{email}"), format!("smtp:{former}"), format!("x500:/o={at}")];
            (format!("nw{at:05}@{}", company.domain), proxies)
        } else {
            (email.to_lowercase(), vec![format!("SMTP:{email}")])
        };
        // Without a mailbox there is only the sign-in name.
        let mailless = !guest && at % 7 != 3 && at % 19 == 4;
        Self {
            id: guid(company.plan.seed, PERSON, at as u64),
            place: at,
            principal,
            mail: (!mailless).then(|| email.to_owned()),
            proxies: if mailless { Vec::new() } else { proxies },
            others: if at % 29 == 2 {
                vec![format!("private{at}@home.example")]
            } else {
                Vec::new()
            },
            name: format!("{} {}", user.first, user.last),
            guest,
            created: company.start() - (90 + (at % 700) as i64) * 86_400_000,
        }
    }
}

/// What happens to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It is made only now; before, it is not there.
    Join,
    /// Signing in is blocked.
    Disable,
    /// Signing in is allowed again.
    Enable,
    /// It is deleted and can be restored.
    Delete,
    /// It is brought back.
    Restore,
    /// It is deleted for good.
    Purge,
    /// A leave date is set, ms since 1970.
    Leave(i64),
}

impl What {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Purge => "purge",
            Self::Leave(_) => "leave",
        }
    }
}

/// Something that is to happen to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// E-mail address of whose account it is, in any case.
    pub email: String,
    /// What.
    pub what: What,
    /// When, ms since 1970; at once when absent.
    pub time: Option<i64>,
}

impl FromStr for Change {
    type Err = Error;

    /// Reads `WHAT EMAIL [TIME]`, or `leave EMAIL DATE [TIME]`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::setting(format!(
                "`{text}` is not a change\nhint: `disable ana@example.com` or `disable \
                 ana@example.com 2026-11-19T10:00:00Z`; also join, enable, delete, restore, purge, \
                 and `leave EMAIL DATE`"
            ))
        };
        let time = |text: &str| {
            text.parse::<jiff::Timestamp>().map(|time| time.as_millisecond()).map_err(|_| wrong())
        };
        let mut words = text.split_whitespace();
        let (what, email) = (words.next().ok_or_else(wrong)?, words.next().ok_or_else(wrong)?);
        let what = match what {
            "join" => What::Join,
            "disable" => What::Disable,
            "enable" => What::Enable,
            "delete" => What::Delete,
            "restore" => What::Restore,
            "purge" => What::Purge,
            "leave" => What::Leave(time(words.next().ok_or_else(wrong)?)?),
            _ => return Err(wrong()),
        };
        let at = words.next().map(time).transpose()?;
        if words.next().is_some() || !email.contains('@') {
            return Err(wrong());
        }
        Ok(Self { email: email.to_owned(), what, time: at })
    }
}

/// A change that has its place in the order in which the directory shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    /// From when on it can be seen, ms since 1970.
    pub(crate) seen: i64,
    /// When it happened, ms since 1970.
    pub(crate) time: i64,
    /// Place among the people.
    pub(crate) person: usize,
    pub(crate) what: What,
}

/// What is known of an account at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) there: There,
    pub(crate) enabled: bool,
    pub(crate) leaves: Option<i64>,
}

/// Whether an account is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum There {
    Unborn,
    Present,
    /// Since when.
    Deleted(i64),
    Purged,
}

impl State {
    const USUAL: Self = Self { there: There::Present, enabled: true, leaves: None };

    fn after(self, happened: &Happened) -> Self {
        match happened.what {
            What::Join | What::Restore => Self { there: There::Present, ..self },
            What::Disable => Self { enabled: false, ..self },
            What::Enable => Self { enabled: true, ..self },
            What::Delete => Self { there: There::Deleted(happened.time), ..self },
            What::Purge => Self { there: There::Purged, ..self },
            What::Leave(date) => Self { leaves: Some(date), ..self },
        }
    }
}

/// Everybody, and what has happened to their accounts.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    pub(crate) people: Vec<Person>,
    changes: Vec<Happened>,
    /// Place by address in lower case.
    by_email: BTreeMap<String, usize>,
}

impl Directory {
    pub(crate) fn new(company: &Company) -> Self {
        let people = Person::all(company);
        let email =
            |person: &Person| company.users.get(person.place).map(|user| user.email.to_lowercase());
        let by_email = people
            .iter()
            .enumerate()
            .filter_map(|(at, person)| Some((email(person)?, at)))
            .collect();
        Self { people, changes: Vec::new(), by_email }
    }

    /// Place of who has an address or a sign-in name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        let lower = name.to_lowercase();
        self.by_email.get(&lower).copied().or_else(|| {
            self.people
                .iter()
                .position(|person| person.principal.to_lowercase() == lower || person.id == lower)
        })
    }

    /// Plans changes before anybody looks; each is seen when it happens.
    pub(crate) fn plan(&mut self, changes: &[Change], default: i64) -> Result<(), Error> {
        for change in changes {
            let time = change.time.unwrap_or(default).div_euclid(1000) * 1000;
            let person = self.known(change)?;
            self.changes.push(Happened { seen: time, time, person, what: change.what });
        }
        self.changes.sort_by_key(|happened| happened.seen);
        Ok(())
    }

    /// A change comes in now. It may have happened before: such news is late.
    pub(crate) fn change(
        &mut self,
        change: &Change,
        now: i64,
        visible: usize,
    ) -> Result<(), Error> {
        let person = self.known(change)?;
        // Graph's times have no fractions.
        let time = change.time.unwrap_or(now).div_euclid(1000) * 1000;
        let happened = Happened { seen: now, time, person, what: change.what };
        self.changes.insert(visible.min(self.changes.len()), happened);
        Ok(())
    }

    fn known(&self, change: &Change) -> Result<usize, Error> {
        self.find(&change.email).ok_or_else(|| {
            Error::setting(format!(
                "nobody in the directory has the address `{}`\nhint: GET /control/users lists everybody",
                change.email
            ))
        })
    }

    pub(crate) fn changes(&self) -> &[Happened] {
        &self.changes
    }

    /// How many changes can be seen at a time.
    pub(crate) fn visible(&self, now: i64) -> usize {
        self.changes.iter().position(|happened| happened.seen > now).unwrap_or(self.changes.len())
    }

    /// Everybody's state after so many changes.
    pub(crate) fn states(&self, count: usize) -> Vec<State> {
        let mut states = vec![State::USUAL; self.people.len()];
        for happened in self.changes.iter().filter(|happened| happened.what == What::Join) {
            if let Some(state) = states.get_mut(happened.person) {
                state.there = There::Unborn;
            }
        }
        for happened in self.changes.iter().take(count) {
            if let Some(state) = states.get_mut(happened.person) {
                *state = state.after(happened);
            }
        }
        states
    }

    /// The state of one person at a time, as it is known then.
    pub(crate) fn state_at(&self, person: usize, time: i64) -> State {
        let own = || self.changes.iter().filter(|happened| happened.person == person);
        let mut state = State::USUAL;
        if own().any(|happened| happened.what == What::Join) {
            state.there = There::Unborn;
        }
        own().filter(|happened| happened.seen <= time).fold(state, State::after)
    }

    /// Who was touched by the changes after the first `from`, up to the first `to`, in the order of
    /// their last change.
    pub(crate) fn touched(&self, from: usize, to: usize) -> Vec<usize> {
        let mut touched: Vec<usize> = Vec::new();
        for happened in self.changes.iter().take(to).skip(from) {
            touched.retain(|&person| person != happened.person);
            touched.push(happened.person);
        }
        touched
    }
}

/// Who is dismissed half-way through the history and goes on all the same: the analyst whom
/// `netdocuments_sim` takes for its incident *terminated user*, unless it is told otherwise.
pub fn terminated(company: &Company) -> Option<&User> {
    let analysts: Vec<u32> = company.of_role(Role::Analyst).collect();
    let at = analysts.get(44 % analysts.len().max(1))?;
    company.users.get(*at as usize)
}

/// What happens by itself, all of it to accounts that nobody uses any more in the apps, so that it
/// alarms nobody.
pub(crate) fn usual(company: &Company) -> Vec<Change> {
    const DAY: i64 = 86_400_000;
    let (start, end) = (company.start(), company.plan.end);
    let at = |part: f64| start + ((end - start) as f64 * part) as i64;
    let mut changes = Vec::new();
    let mut push = |user: &User, what: What, time: i64| {
        changes.push(Change { email: user.email.clone(), what, time: Some(time) });
    };
    let gone = company.users.iter().filter(|user| user.status == "DEACTIVATED" && user.listed);
    for (n, user) in gone.enumerate() {
        match n % 6 {
            0 => push(user, What::Disable, start - 20 * DAY),
            1 => {
                push(user, What::Disable, start - 12 * DAY);
                push(user, What::Delete, start - 10 * DAY);
            }
            2 => push(user, What::Disable, at(0.2)),
            3 => push(user, What::Delete, at(0.4)),
            4 => {
                push(user, What::Delete, start - 25 * DAY);
                push(user, What::Purge, at(0.6));
            }
            _ => {
                push(user, What::Leave(at(0.5)), at(0.1));
                push(user, What::Disable, at(0.5));
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_written() {
        let change: Change =
            "leave Ana@x.example 2026-11-20T00:00:00Z 2026-11-19T00:00:00Z".parse().unwrap();
        assert_eq!(change.what, What::Leave(1_795_132_800_000));
        assert_eq!(change.time, Some(1_795_046_400_000));
        for text in [
            "disable",
            "disable ana",
            "fire a@b.example",
            "leave a@b.example",
            "disable a@b.example soon",
            "disable a@b.example 2026-11-19T00:00:00Z x",
        ] {
            assert!(text.parse::<Change>().is_err(), "{text} was read");
        }
    }

    #[test]
    fn states_follow_the_changes() {
        let company = Company::new(&smartsheet_sim::Plan { users: 60, ..Default::default() });
        let mut directory = Directory::new(&company);
        let email = company.users[20].email.to_uppercase();
        let change = |what, time| Change { email: email.clone(), what, time: Some(time) };
        directory
            .plan(
                &[
                    change(What::Delete, 3_000),
                    change(What::Disable, 1_000),
                    change(What::Restore, 5_000),
                    change(What::Purge, 7_000),
                ],
                0,
            )
            .unwrap();
        let person = directory.find(&email).unwrap();
        let seen: Vec<(There, bool)> = (0..=4)
            .map(|count| directory.states(count)[person])
            .map(|state| (state.there, state.enabled))
            .collect();
        let present = There::Present;
        assert_eq!(
            seen,
            [
                (present, true),
                (present, false),
                (There::Deleted(3_000), false),
                (present, false),
                (There::Purged, false)
            ]
        );
        assert_eq!(
            (directory.visible(0), directory.visible(4_000), directory.visible(9_000)),
            (0, 2, 4)
        );
        assert_eq!(directory.touched(0, 4), [person]);
        // Late news take their place behind what could be seen.
        directory.change(&change(What::Enable, 0), 4_000, directory.visible(4_000)).unwrap();
        assert_eq!(directory.changes()[2].what, What::Enable);
    }
}
