//! The incidents that are planted into the history, each with a label, and near misses.

use casbah_sim::Addresses;
use casbah_sim::random::mix;
use serde::Serialize;
use smartsheet_sim::Role;

use crate::activity::{ELSEWHERE, HOME, OFFICE, find};
use crate::history::{DAY, Historian};

/// Something that a monitor should notice, or, when `benign`, should not.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Short name, unique unless the same thing is planted twice.
    pub name: String,
    /// What it is: the detections that should find it. Of a near miss: those it might be taken for.
    pub labels: Vec<String>,
    /// E-mail address of who did it, in lower case.
    pub actor: String,
    /// Time of its first act, milliseconds since 1970.
    pub start: i64,
    /// Time of its last act.
    pub end: i64,
    /// How many acts it has.
    pub acts: usize,
    /// Addresses that it came from, other than the actor's own.
    pub addresses: Vec<String>,
    /// Whether it is a near miss: busy, but nothing to be alarmed about.
    pub benign: bool,
}

/// What can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A hundred and fifty downloads in twenty minutes, from home.
    MassDownload,
    /// Sixty documents sent out by secured link within an hour.
    MassShare,
    /// A hundred and twenty documents deleted in a quarter of an hour.
    MassDeletion,
    /// An administrator changes users, groups, cabinets and settings, a hundred and twenty times in an hour.
    UnusualAdministration,
    /// Somebody works from a country where nobody does.
    InfrequentCountry,
    /// From the office, and minutes later from the other end of the world.
    ImpossibleTravel,
    /// From an address that hides who it is.
    AnonymousAddress,
    /// From an address that a threat list knows.
    SuspiciousAddress,
    /// Somebody who has left downloads documents.
    TerminatedUser,
    /// Sixty downloads within five hours, by somebody who is to leave.
    LeavingUserExport,
    /// A little at the very beginning, and then nothing until now: from 62 days on.
    InactiveAccount,
    /// From a network that nobody uses, in a country where everybody is.
    InfrequentNetwork,
    /// A little after six weeks of silence: not much by itself.
    StolenAccount,
    /// Eighteen downloads, spread over nine hours.
    BusyDay,
    /// Twelve links to colleagues over a day.
    LinksInside,
    /// Fifteen deletions over eight hours.
    TidyingUp,
    /// Six new users in an hour.
    Onboarding,
    /// The day after at the address of another office.
    RealTravel,
}

impl What {
    /// Everything that needs no more than a name, near misses behind. The others need to be told who,
    /// from where, or a long history.
    pub const ALL: &'static [Self] = &[
        Self::MassDownload,
        Self::MassShare,
        Self::MassDeletion,
        Self::UnusualAdministration,
        Self::InfrequentCountry,
        Self::ImpossibleTravel,
        Self::AnonymousAddress,
        Self::SuspiciousAddress,
        Self::TerminatedUser,
        Self::BusyDay,
        Self::LinksInside,
        Self::TidyingUp,
        Self::Onboarding,
        Self::RealTravel,
    ];

    /// Whether nothing should be found.
    pub fn benign(self) -> bool {
        self.traits().benign
    }

    fn traits(self) -> Traits {
        let (name, labels, role, nth, part, hours, count): (_, &'static [_], _, _, _, _, _) =
            match self {
                Self::MassDownload => {
                    ("mass-download", &["mass-download"], Role::Analyst, 7, 0.935, 0.34, 150)
                }
                Self::MassShare => {
                    ("mass-share", &["mass-share"], Role::ProjectManager, 4, 0.905, 0.95, 60)
                }
                Self::MassDeletion => {
                    ("mass-deletion", &["mass-deletion"], Role::Analyst, 17, 0.95, 0.25, 120)
                }
                Self::UnusualAdministration => {
                    let labels = &["unusual-administration"];
                    ("unusual-administration", labels, Role::Admin, 3, 0.915, 0.97, 120)
                }
                Self::InfrequentCountry => {
                    ("infrequent-country", &["infrequent-country"], Role::Manager, 5, 0.945, 0.4, 8)
                }
                Self::ImpossibleTravel => {
                    ("impossible-travel", &["impossible-travel"], Role::Analyst, 23, 0.925, 1.5, 14)
                }
                Self::AnonymousAddress => {
                    ("anonymous-address", &["anonymous-address"], Role::Analyst, 33, 0.91, 0.17, 5)
                }
                Self::SuspiciousAddress => (
                    "suspicious-address",
                    &["suspicious-address"],
                    Role::Manager,
                    8,
                    0.955,
                    0.17,
                    5,
                ),
                Self::TerminatedUser => {
                    ("terminated-user", &["terminated-user"], Role::Analyst, 44, 0.96, 0.25, 12)
                }
                Self::LeavingUserExport => {
                    let labels = &["leaving-user-export"];
                    ("leaving-user-export", labels, Role::Analyst, 50, 0.965, 5.0, 60)
                }
                Self::InactiveAccount => {
                    ("inactive-account", &["inactive-account"], Role::Analyst, 55, 0.97, 0.25, 9)
                }
                Self::InfrequentNetwork => (
                    "infrequent-network",
                    &["infrequent-network"],
                    Role::Manager,
                    17,
                    0.94,
                    0.25,
                    6,
                ),
                Self::StolenAccount => {
                    ("stolen-account", &["several-behaviors"], Role::Analyst, 57, 0.96, 0.25, 6)
                }
                Self::BusyDay => ("busy-day", &["mass-download"], Role::Manager, 11, 0.9, 9.0, 18),
                Self::LinksInside => {
                    ("links-inside", &["mass-share"], Role::ProjectManager, 8, 0.89, 8.0, 12)
                }
                Self::TidyingUp => {
                    ("tidying-up", &["mass-deletion"], Role::ProjectManager, 12, 0.88, 8.0, 15)
                }
                Self::Onboarding => {
                    ("onboarding", &["unusual-administration"], Role::Admin, 1, 0.92, 0.92, 6)
                }
                Self::RealTravel => {
                    ("real-travel", &["impossible-travel"], Role::Manager, 13, 0.8, 27.0, 14)
                }
            };
        let seconds = (hours * 3600.0) as i64;
        let benign = Self::ALL.iter().position(|what| *what == self).is_some_and(|at| at >= 9);
        Traits { name, labels, role, nth, part, seconds, count, benign }
    }

    /// What the n-th act is.
    fn activity(self, n: usize) -> &'static str {
        const ADMINISTRATION: &[&str] = &[
            "Repository add users",
            "Repository remove users",
            "Repository add groups",
            "Cabinet administrator added",
            "User membership type changed",
            "Permanent delete option",
        ];
        match self {
            Self::MassDownload | Self::TerminatedUser | Self::LeavingUserExport | Self::BusyDay => {
                "download"
            }
            Self::MassShare => "deliver a secured link",
            Self::MassDeletion | Self::TidyingUp => "delete",
            Self::UnusualAdministration => {
                ADMINISTRATION.get(n % ADMINISTRATION.len()).copied().unwrap_or("open")
            }
            Self::LinksInside => "email link",
            Self::Onboarding => "Repository add users",
            _ if n % 3 == 2 => "view",
            _ => "open",
        }
    }
}

struct Traits {
    name: &'static str,
    labels: &'static [&'static str],
    role: Role,
    nth: usize,
    /// When, as a part of the whole time.
    part: f64,
    seconds: i64,
    count: usize,
    benign: bool,
}

/// Something to plant.
#[derive(Clone, Debug)]
pub struct Plant {
    /// What.
    pub what: What,
    /// E-mail address of who does it; somebody suitable when absent or unknown.
    pub actor: Option<String>,
    /// When it begins, milliseconds since 1970; a good time when absent.
    pub start: Option<i64>,
    /// From which address; the actor's own when absent.
    pub address: Option<String>,
    /// How many acts; as many as `what` says when absent.
    pub count: Option<usize>,
}

impl Plant {
    /// As it comes, from the actor's own address.
    pub fn new(what: What) -> Self {
        Self { what, actor: None, start: None, address: None, count: None }
    }

    /// One of everything, near misses included, from these addresses.
    pub fn all(addresses: &Addresses) -> Vec<Self> {
        What::ALL
            .iter()
            .map(|&what| {
                let address = match what {
                    What::InfrequentCountry => Some(&addresses.far),
                    What::ImpossibleTravel => Some(&addresses.travel),
                    What::AnonymousAddress => Some(&addresses.anonymous),
                    What::SuspiciousAddress => Some(&addresses.suspicious),
                    _ => None,
                };
                Self { address: address.cloned(), ..Self::new(what) }
            })
            .collect()
    }
}

/// When somebody does nothing but what is planted: nobody works at the office while abroad, nobody
/// whose account is closed works at all.
fn away(what: What, (begin, end): (i64, i64), (start, last): (i64, i64)) -> Option<(i64, i64)> {
    const HOUR: i64 = 3_600_000;
    match what {
        What::InfrequentCountry | What::InfrequentNetwork => {
            Some((start - 20 * HOUR, last + 20 * HOUR))
        }
        What::ImpossibleTravel => Some((start - HOUR, last + 12 * HOUR)),
        What::RealTravel => Some((start, end)),
        What::InactiveAccount => Some((begin, end)),
        What::StolenAccount => Some((start - 45 * 24 * HOUR, end)),
        What::TerminatedUser => Some((begin + (end - begin) / 2, end)),
        _ => None,
    }
}

/// Plants into a history that is still empty. New addresses are added to `places`.
pub(crate) fn plant(
    historian: &mut Historian<'_>,
    plant: &Plant,
    places: &mut Vec<String>,
) -> Incident {
    let traits = plant.what.traits();
    let firm = historian.firm;
    let company = &firm.company;
    let actor = actor(historian, plant, &traits);
    let span = (company.plan.end - company.start()) as f64;
    let usual = company.start() + (span * traits.part) as i64;
    let start = plant.start.unwrap_or(usual).div_euclid(1000) * 1000;
    let count = plant.count.unwrap_or(traits.count).max(1);
    let pause = traits.seconds * 1000 / (count as i64 - 1).max(1);
    let address = plant.address.clone().or_else(|| other_office(historian, plant.what, actor));
    let elsewhere = address.as_ref().map(|address| place_of(places, address));
    let mut incident = Incident {
        name: traits.name.to_owned(),
        labels: traits.labels.iter().map(|label| (*label).to_owned()).collect(),
        actor: firm.user(actor).map_or_else(String::new, |user| user.email.to_lowercase()),
        start,
        end: start,
        acts: 0,
        addresses: address.into_iter().collect(),
        benign: traits.benign,
    };
    let whole = (company.start(), company.plan.end);
    let span = (start, start + traits.seconds * 1000);
    historian.away.extend(away(plant.what, whole, span).map(|(from, to)| (actor, from, to)));
    for n in 0..count {
        let Some(activity) = find(plant.what.activity(n)) else { continue };
        let begin = match plant.what {
            What::InactiveAccount if 3 * n < count => company.start() + DAY,
            _ => start,
        };
        let mut time = begin + n as i64 * pause;
        if plant.what == What::RealTravel {
            // An hour at work, a day to get there, and an hour at work again.
            let part = n as i64 * 7_200_000 / count as i64;
            time = start + part + if 2 * n >= count { DAY } else { 0 };
        }
        let time = time.min(company.plan.end - 1000);
        // Who travels begins at the office.
        let away =
            !matches!(plant.what, What::ImpossibleTravel | What::RealTravel) || 2 * n >= count;
        let place = match (elsewhere, plant.what) {
            (Some(place), _) if away => place,
            (None, What::MassDownload) => HOME,
            _ => OFFICE,
        };
        let mut act = historian.act(actor, activity, time, place, 0);
        if firm.documents > 0 {
            // Different ones: a thief takes each but once.
            let first = mix(u64::from(actor), plant.what as u64) % u64::from(firm.documents);
            act.object = ((first + n as u64) % u64::from(firm.documents)) as u32;
        }
        if historian.add(act) {
            incident.acts += 1;
            incident.end = incident.end.max(act.time.div_euclid(1000) * 1000);
        }
    }
    incident
}

fn actor(historian: &Historian<'_>, plant: &Plant, traits: &Traits) -> u32 {
    let company = &historian.firm.company;
    let named = plant.actor.as_ref().and_then(|email| {
        company.users.iter().position(|user| user.email.eq_ignore_ascii_case(email))
    });
    if let Some(at) = named {
        return at as u32;
    }
    let all: Vec<u32> = company.of_role(traits.role).collect();
    all.get(traits.nth % all.len().max(1)).copied().unwrap_or(0)
}

/// The address of an office in another time zone, for those who really travel.
fn other_office(historian: &Historian<'_>, what: What, actor: u32) -> Option<String> {
    if what != What::RealTravel {
        return None;
    }
    let home = historian.firm.user(actor)?;
    let users = &historian.firm.company.users;
    let there = |user: &&smartsheet_sim::User| {
        user.internal() && user.zone != home.zone && user.office_ip != home.office_ip
    };
    users.iter().find(there).map(|user| user.office_ip.clone())
}

fn place_of(places: &mut Vec<String>, address: &str) -> u8 {
    let at = places.iter().position(|known| known == address).unwrap_or_else(|| {
        places.push(address.to_owned());
        places.len() - 1
    });
    ELSEWHERE.saturating_add(at as u8)
}
