//! Who signs in to what, when and from where; and the incidents among it.

use casbah_sim::Addresses;
use casbah_sim::random::{Random, mix};
use serde::Serialize;
use smartsheet_sim::{Company, Role, User};

use crate::people::{Directory, There};

pub(crate) const SECOND: i64 = 1000;
pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// Apps that people sign in to: name and application id.
pub const APPS: &[(&str, &str)] = &[
    ("NetDocuments", "a1b2c3d4-0001-4000-8000-00000000d0c5"),
    ("Smartsheet", "a1b2c3d4-0002-4000-8000-000000005eed"),
    ("Office 365 Exchange Online", "a1b2c3d4-0003-4000-8000-0000000000e0"),
];

/// Place of a script among the clients, behind those that people use.
pub(crate) const SCRIPT: usize = 4;

/// Error codes with the words that go with them.
pub(crate) const ERRORS: &[(u32, &str)] = &[
    (50126, "Error validating credentials due to invalid username or password."),
    (
        50140,
        "This error occurred due to 'Keep me signed in' interrupt when the user was signing-in.",
    ),
    (50074, "Strong Authentication is required."),
    (50057, "User account is disabled. The account has been disabled by an administrator."),
    (50034, "The user account does not exist in the directory."),
];

/// Somebody signs in.
#[derive(Clone, Debug)]
pub(crate) struct SignIn {
    pub(crate) time: i64,
    /// When it is in the log.
    pub(crate) logged: i64,
    /// Place among the people.
    pub(crate) person: usize,
    /// Place among [`APPS`].
    pub(crate) app: usize,
    /// Place among the addresses.
    pub(crate) address: usize,
    pub(crate) error: u32,
    pub(crate) interactive: bool,
    /// Place among the clients, when it is not the person's usual one.
    pub(crate) client: Option<usize>,
    pub(crate) serial: u64,
}

/// Something that a monitor should notice, or, when `benign`, should not.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Short name, unique.
    pub name: String,
    /// What it is: the detections that should find it. Of a near miss: those it might be taken for.
    pub labels: Vec<String>,
    /// E-mail address of who did it, in lower case.
    pub actor: String,
    /// Time of its first sign-in, milliseconds since 1970.
    pub start: i64,
    /// Time of its last one.
    pub end: i64,
    /// How many sign-ins it has.
    pub sign_ins: usize,
    /// Addresses that it came from, other than the actor's own.
    pub addresses: Vec<String>,
    /// Whether it is a near miss: nothing to be alarmed about.
    pub benign: bool,
}

/// All sign-ins in the order of their times, the addresses they came from, and the incidents.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) sign_ins: Vec<SignIn>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) incidents: Vec<Incident>,
}

/// An address, and the zone of the office or home that it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) text: String,
    /// IANA name; empty when nobody works there.
    pub(crate) zone: &'static str,
}

struct Historian<'a> {
    company: &'a Company,
    directory: &'a Directory,
    random: Random,
    history: History,
}

/// Makes the history.
pub(crate) fn history(
    company: &Company,
    directory: &Directory,
    incidents: Option<&Addresses>,
) -> History {
    let random = Random::new(mix(company.plan.seed, 0x516e));
    let mut historian = Historian { company, directory, random, history: History::default() };
    historian.everyday();
    if let Some(addresses) = incidents {
        historian.plant(addresses);
    }
    let mut history = historian.history;
    let span = company.start()..company.plan.end;
    history.sign_ins.retain(|sign_in| span.contains(&sign_in.time));
    history.sign_ins.sort_by_key(|sign_in| (sign_in.time, sign_in.serial));
    history
}

impl Historian<'_> {
    fn user(&self, person: usize) -> Option<&User> {
        self.company.users.get(self.directory.people.get(person)?.place)
    }

    fn address(&mut self, text: &str, zone: &'static str) -> usize {
        let known = self.history.addresses.iter().position(|address| address.text == text);
        known.unwrap_or_else(|| {
            self.history.addresses.push(Address { text: text.to_owned(), zone });
            self.history.addresses.len() - 1
        })
    }

    fn add(&mut self, person: usize, time: i64, app: usize, address: usize, error: u32) {
        // Nearly all are in the log within minutes, some take half an hour.
        let slow = self.random.chance(0.01);
        let delay = self.random.exponential(if slow { 900_000.0 } else { 60_000.0 }) as i64;
        let serial = self.history.sign_ins.len() as u64;
        self.history.sign_ins.push(SignIn {
            time: time.div_euclid(SECOND) * SECOND,
            logged: time + delay.min(45 * MINUTE),
            person,
            app,
            address,
            error,
            interactive: true,
            client: None,
            serial,
        });
    }

    /// A client renews its token, for the person.
    fn renew(&mut self, person: usize, time: i64, app: usize, address: usize) {
        self.add(person, time, app, address, 0);
        if let Some(last) = self.history.sign_ins.last_mut() {
            last.interactive = false;
        }
    }

    /// Everybody on the days that they work, by their own clock.
    fn everyday(&mut self) {
        for person in 0..self.directory.people.len() {
            let Some(user) = self.user(person).cloned() else { continue };
            if user.role == Role::Service || user.status != "ACTIVE" {
                continue;
            }
            for day in 0..=i64::from(self.company.plan.days) {
                self.day(person, &user, day);
            }
        }
    }

    fn day(&mut self, person: usize, user: &User, day: i64) {
        let midnight =
            (self.company.start().div_euclid(DAY) + day) * DAY - i64::from(user.offset) * MINUTE;
        // 1970 began on a Thursday.
        let weekday = ((self.company.start().div_euclid(DAY) + day + 3) % 7 + 7) % 7;
        let chance = match (weekday, user.role) {
            (5 | 6, _) => 0.06,
            (_, Role::Guest) => 0.15,
            _ => 0.92,
        };
        if !self.random.chance(chance) {
            return;
        }
        let home = self.random.chance(0.3);
        let (text, zone) =
            if home { (&user.home_ip, user.zone) } else { (&user.office_ip, user.zone) };
        let address = self.address(text, zone);
        let mut time = midnight + 8 * HOUR + (self.random.unit() * 2.0 * HOUR as f64) as i64;
        for _ in 0..=self.random.below(3) {
            let app = self.random.below(APPS.len());
            if self.allowed(person, time) {
                self.sign_in(person, time, app, address);
            } else {
                self.refused(person, time, app, address);
                return;
            }
            time += (self.random.unit() * 3.0 * HOUR as f64) as i64 + 10 * MINUTE;
        }
    }

    /// Whether the account may sign in at a time.
    fn allowed(&self, person: usize, time: i64) -> bool {
        let state = self.directory.state_at(person, time);
        state.enabled && state.there == There::Present
    }

    fn refused(&mut self, person: usize, time: i64, app: usize, address: usize) {
        // Somebody who has been told does not try again and again.
        if time >= self.company.start() && self.random.chance(0.3) {
            self.add(person, time, app, address, 50057);
        }
    }

    fn sign_in(&mut self, person: usize, time: i64, app: usize, address: usize) {
        if time < self.company.start() {
            return;
        }
        if self.random.chance(0.04) {
            self.add(person, time - 20 * SECOND, app, address, 50126);
        }
        match self.random.below(10) {
            0 => self.add(person, time - 8 * SECOND, app, address, 50140),
            1 | 2 => self.add(person, time - 9 * SECOND, app, address, 50074),
            _ => {}
        }
        self.add(person, time, app, address, 0);
        for n in 0..self.random.below(4) as i64 {
            self.renew(person, time + (n + 1) * 70 * MINUTE, app, address);
        }
    }

    /// The n-th active person of a role, round and round.
    fn nth(&self, role: Role, n: usize) -> usize {
        let all: Vec<usize> = (0..self.directory.people.len())
            .filter(|&person| {
                self.user(person).is_some_and(|user| user.role == role && user.status == "ACTIVE")
            })
            .collect();
        all.get(n % all.len().max(1)).copied().unwrap_or(0)
    }

    fn plant(&mut self, addresses: &Addresses) {
        let own = |historian: &mut Self, person: usize| {
            let user = historian.user(person).cloned();
            user.map(|user| historian.address(&user.office_ip, user.zone)).unwrap_or_default()
        };
        let person = self.nth(Role::Analyst, 52);
        let office = own(self, person);
        // Somebody tries passwords, and does not find the right one.
        let tries: Vec<_> = (0..60).map(|n| (n * 9 * SECOND, office, 50126)).collect();
        self.incident("failed-logins", &["multiple-failed-logins"], person, 0.84, &tries, false);

        let person = self.nth(Role::Analyst, 61);
        let hidden = self.address(&addresses.anonymous, "");
        let steps = [(0, hidden, 50126), (40 * SECOND, hidden, 0), (9 * MINUTE, hidden, 0)];
        self.incident("anonymous-sign-in", &["anonymous-address"], person, 0.77, &steps, false);

        let person = self.nth(Role::Manager, 9);
        let bad = self.address(&addresses.suspicious, "");
        self.incident(
            "suspicious-sign-in",
            &["suspicious-address"],
            person,
            0.91,
            &[(0, bad, 0), (5 * MINUTE, bad, 0)],
            false,
        );

        let person = self.nth(Role::Manager, 15);
        let far = self.address(&addresses.far, "");
        self.incident(
            "far-sign-in",
            &["infrequent-country"],
            person,
            0.82,
            &[(0, far, 0), (HOUR, far, 0)],
            false,
        );

        let person = self.nth(Role::Analyst, 71);
        let (office, travel) = (own(self, person), self.address(&addresses.travel, ""));
        let steps = [(0, office, 0), (35 * MINUTE, travel, 0), (50 * MINUTE, travel, 0)];
        self.incident("travelling-sign-in", &["impossible-travel"], person, 0.89, &steps, false);

        // A script signs in with somebody's password.
        let person = self.nth(Role::Analyst, 90);
        let office = own(self, person);
        let first = self.history.sign_ins.len();
        let steps = [(0, office, 0), (10 * MINUTE, office, 0), (20 * MINUTE, office, 0)];
        self.incident("scripted-sign-in", &["new-client"], person, 0.93, &steps, false);
        for sign_in in self.history.sign_ins.iter_mut().skip(first) {
            sign_in.client = Some(SCRIPT);
        }

        // A forgotten password is nothing to be alarmed about.
        let person = self.nth(Role::ProjectManager, 6);
        let office = own(self, person);
        let mut steps: Vec<_> = (0..5).map(|n| (n * 25 * SECOND, office, 50126)).collect();
        steps.push((4 * MINUTE, office, 0));
        self.incident(
            "forgotten-password",
            &["multiple-failed-logins"],
            person,
            0.73,
            &steps,
            true,
        );
    }

    fn incident(
        &mut self,
        name: &str,
        labels: &[&str],
        person: usize,
        part: f64,
        steps: &[(i64, usize, u32)],
        benign: bool,
    ) {
        let span = (self.company.plan.end - self.company.start()) as f64;
        let start = (self.company.start() + (span * part) as i64).div_euclid(SECOND) * SECOND;
        let Some(user) = self.user(person).cloned() else { return };
        let mut foreign: Vec<String> = Vec::new();
        let (mut end, mut count) = (start, 0);
        for &(after, address, error) in steps {
            let time = start + after;
            if time >= self.company.plan.end {
                continue;
            }
            self.add(person, time, address % APPS.len(), address, error);
            (end, count) = (time, count + 1);
            if let Some(address) = self.history.addresses.get(address)
                && address.text != user.office_ip
                && !foreign.contains(&address.text)
            {
                foreign.push(address.text.clone());
            }
        }
        self.history.incidents.push(Incident {
            name: name.to_owned(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            actor: user.email.to_lowercase(),
            start,
            end,
            sign_ins: count,
            addresses: foreign,
            benign,
        });
    }
}
