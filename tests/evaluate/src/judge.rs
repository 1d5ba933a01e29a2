//! Runs the built-in policies over a company's life, and compares their alerts with the labels.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, anyhow};
use casbah_detect::{Group, Offline};
use casbah_model::{Alert, TenantName};
use serde::Serialize;

use crate::attack::{Label, NEAR_MISS};
use crate::company::{Company, DAY, HOUR, Person, Role, START};
use crate::event::{Event, batch};

/// Kinds of people that false alerts are counted apart for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cohort {
    /// In the company for less than 14 days.
    New,
    Service,
    Traveller,
    Quiet,
    Heavy,
    Usual,
}

impl Cohort {
    pub(crate) const ALL: [Self; 6] =
        [Self::New, Self::Service, Self::Traveller, Self::Quiet, Self::Heavy, Self::Usual];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Service => "service",
            Self::Traveller => "traveller",
            Self::Quiet => "quiet",
            Self::Heavy => "heavy",
            Self::Usual => "usual",
        }
    }

    fn of(person: &Person, day: i64) -> Self {
        match person {
            _ if person.joins > 0 && day < person.joins + 14 => Self::New,
            _ if person.role == Role::Service => Self::Service,
            _ if !person.trips.is_empty() => Self::Traveller,
            _ if person.weight < 0.35 => Self::Quiet,
            _ if person.weight > 2.0 => Self::Heavy,
            _ => Self::Usual,
        }
    }
}

/// Found, of so many.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Share {
    pub(crate) found: u64,
    pub(crate) of: u64,
}

impl Share {
    fn count(&mut self, found: bool) {
        self.found += u64::from(found);
        self.of += 1;
    }

    fn add(&mut self, other: Self) {
        self.found += other.found;
        self.of += other.of;
    }
}

/// How one policy did.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Score {
    /// Attacks noticed, by strength; near misses that raised an alert.
    pub(crate) attacks: BTreeMap<&'static str, Share>,
    /// Attacks noticed on people who had been there for less than 14 days.
    pub(crate) new_people: Share,
    /// Alerts on people with whom nothing was wrong.
    pub(crate) false_alerts: BTreeMap<Cohort, u64>,
    /// Alerts that rest on the first week of a new VPN.
    pub(crate) roll_out: u64,
    /// Hours from the first act of an attack to its alert, until the app told of it included.
    pub(crate) hours: Vec<f64>,
    /// What stayed below the line.
    pub(crate) behaviors: u64,
}

/// How all policies did.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Verdict {
    pub(crate) policies: BTreeMap<String, Score>,
    /// Weeks that people were watched for, by cohort, the first seven days not counted.
    pub(crate) weeks: BTreeMap<Cohort, f64>,
    pub(crate) activities: u64,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        for (name, score) in other.policies {
            let of = self.policies.entry(name).or_default();
            for (strength, share) in score.attacks {
                of.attacks.entry(strength).or_default().add(share);
            }
            of.new_people.add(score.new_people);
            for (cohort, count) in score.false_alerts {
                *of.false_alerts.entry(cohort).or_default() += count;
            }
            of.roll_out += score.roll_out;
            of.hours.extend(score.hours);
            of.behaviors += score.behaviors;
        }
        for (cohort, weeks) in other.weeks {
            *self.weeks.entry(cohort).or_default() += weeks;
        }
        self.activities += other.activities;
    }

    /// False alerts for every 1,000 people of a cohort a week; `None` stands for all of them.
    pub(crate) fn rate(&self, policy: &str, cohort: Option<Cohort>) -> f64 {
        let fits = |one: &Cohort| cohort.is_none_or(|cohort| cohort == *one);
        let of = self.policies.get(policy).map(|score| &score.false_alerts);
        let alerts: u64 = of
            .into_iter()
            .flatten()
            .filter(|(cohort, _)| fits(cohort))
            .map(|(_, count)| count)
            .sum();
        let weeks: f64 =
            self.weeks.iter().filter(|(cohort, _)| fits(cohort)).map(|(_, weeks)| weeks).sum();
        if weeks > 0.0 { alerts as f64 / weeks * 1000.0 } else { 0.0 }
    }
}

/// An alert, and when it was first there.
struct Raised {
    alert: Alert,
    at: i64,
}

/// An alert that names somebody.
struct Named<'a> {
    raised: &'a Raised,
    /// When they did what it names.
    times: Vec<i64>,
    /// Whether it names nobody else.
    alone: bool,
}

impl Named<'_> {
    /// Whether it is about what was planted: one about several people must name an act of it.
    fn is_about(&self, label: &Label) -> bool {
        let during = label.start..=label.end + HOUR;
        self.alone || self.times.iter().any(|time| during.contains(time))
    }
}

/// Runs the policies over events in the order of their delivery, an hour at a time.
pub(crate) fn judge(
    company: &Company,
    events: &[Event],
    labels: &[Label],
    groups: Vec<Group>,
    mut progress: impl FnMut(u64),
) -> Result<Verdict> {
    let tenant: TenantName = "evaluate".parse()?;
    let mut offline = Offline::new(tenant, groups);
    let mut raised: HashMap<String, Raised> = HashMap::new();
    for hour in events.chunk_by(|a, b| a.received / HOUR == b.received / HOUR) {
        offline.feed(&batch(company, hour)).map_err(|error| anyhow!("{error}"))?;
        let at = hour.last().map_or(0, |event| event.received);
        for alert in offline.fresh() {
            raised.entry(alert.id.clone()).or_insert(Raised { alert, at });
        }
        progress(hour.len() as u64);
    }
    // What an alert came to is known at the end.
    for alert in offline.alerts() {
        if let Some(raised) = raised.get_mut(&alert.id) {
            raised.alert = alert;
        }
    }
    let mut verdict = compare(company, events, labels, raised.values());
    for behavior in offline.behaviors() {
        verdict.policies.entry(behavior.policy).or_default().behaviors += 1;
    }
    verdict.activities = events.len() as u64;
    Ok(verdict)
}

fn compare<'a>(
    company: &Company,
    events: &[Event],
    labels: &[Label],
    raised: impl Iterator<Item = &'a Raised>,
) -> Verdict {
    let mut by_person: HashMap<u32, Vec<Named<'_>>> = HashMap::new();
    let mut verdict = Verdict { weeks: weeks(company), ..Verdict::default() };
    for one in raised {
        // Activities are numbered from 1 in the order in which they were fed.
        let rests_on: Vec<&Event> = one
            .alert
            .evidence
            .iter()
            .filter_map(|evidence| {
                events.get(usize::try_from(evidence.sequence).ok()?.checked_sub(1)?)
            })
            .collect();
        let Some(first) = rests_on.first() else { continue };
        let mut people: Vec<u32> = rests_on.iter().map(|event| event.who).collect();
        people.sort_unstable();
        people.dedup();
        let alone = people.len() == 1;
        for &who in &people {
            let own = rests_on.iter().filter(|event| event.who == who);
            let times = own.map(|event| event.time).collect();
            by_person.entry(who).or_default().push(Named { raised: one, times, alone });
        }
        let near = |label: &&Label| {
            people.contains(&label.who)
                && one.alert.first <= label.end + DAY
                && one.alert.last >= label.start - DAY
        };
        let planted = labels.iter().find(near);
        let new_vpn = rests_on.iter().any(|event| {
            let from_it = event.place.is_some_and(|place| place.net == crate::place::VPN.net);
            from_it && company.vpn.is_new_at(event.time)
        });
        let day = (one.alert.first - START).div_euclid(DAY);
        let score = verdict.policies.entry(one.alert.policy.clone()).or_default();
        // What an attack sets off elsewhere is not false; what comes before anything is learned is.
        if planted.is_some() && (alone || !new_vpn) {
            continue;
        }
        if new_vpn {
            score.roll_out += 1;
        } else if let Some(person) = company.people.get(first.who as usize) {
            *score.false_alerts.entry(Cohort::of(person, day)).or_default() += 1;
        }
    }
    for label in labels {
        let found = by_person.get(&label.who).into_iter().flatten().find(|named| {
            let alert = &named.raised.alert;
            alert.policy == label.policy
                && alert.first <= label.end + HOUR
                && alert.last >= label.start
                && named.is_about(label)
        });
        let score = verdict.policies.entry(label.policy.to_owned()).or_default();
        score.attacks.entry(label.strength).or_default().count(found.is_some());
        if label.strength == NEAR_MISS {
            continue;
        }
        if label.new {
            score.new_people.count(found.is_some());
        }
        if let Some(found) = found {
            score.hours.push((found.raised.at - label.start).max(0) as f64 / HOUR as f64);
        }
    }
    verdict
}

fn weeks(company: &Company) -> BTreeMap<Cohort, f64> {
    let mut weeks = BTreeMap::new();
    for person in &company.people {
        for day in (7..company.days).filter(|&day| person.works_on(day)) {
            *weeks.entry(Cohort::of(person, day)).or_default() += 1.0 / 7.0;
        }
    }
    weeks
}
