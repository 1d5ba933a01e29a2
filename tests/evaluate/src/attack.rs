//! What goes wrong, planted with labels: attacks of three strengths for every detection, and near
//! misses that look like one and must stay silent.

use rand::{Rng, RngExt as _};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use crate::company::{Company, DAY, HOUR, START, act, state};
use crate::event::{Event, What};
use crate::place::{BAD, Place, STRANGE, TOR, TRIPS};
use crate::world::pick;

/// What was planted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Label {
    /// Name of the policy that should notice it.
    pub(crate) policy: &'static str,
    /// `weak`, `medium`, `strong`; `near miss` for what should not be noticed.
    pub(crate) strength: &'static str,
    pub(crate) person: String,
    pub(crate) who: u32,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Whether the person had been there for less than 14 days.
    pub(crate) new: bool,
}

pub(crate) const NEAR_MISS: &str = "near miss";
const STRENGTHS: [&str; 3] = ["weak", "medium", "strong"];

/// The detections, by the names of their built-in policies.
pub(crate) const POLICIES: [&str; 17] = [
    "mass-download",
    "mass-share",
    "mass-deletion",
    "mass-mail-out",
    "bulk-ownership-transfer",
    "unusual-administration",
    "unusual-impersonation",
    "multiple-failed-logins",
    "infrequent-country",
    "infrequent-network",
    "new-client",
    "unusual-admin-action",
    "inactive-account",
    "new-admin",
    "impossible-travel",
    "anonymous-address",
    "suspicious-address",
];

/// Plants attacks and near misses into what people do, and says which.
pub(crate) fn plant(
    company: &Company,
    events: &mut Vec<Event>,
    random: &mut Pcg64Mcg,
) -> Vec<Label> {
    let mut planter = Planter { company, events, labels: Vec::new(), taken: Vec::new() };
    // As many of each as a company of that size can hide.
    let times = (company.people.len() / 250).clamp(1, 6);
    for policy in POLICIES {
        // Where it is counted how often such a thing happens at all, one a company is plenty.
        let times = if policy == "new-admin" { 1 } else { times };
        for strength in 0..3 {
            for _ in 0..times {
                planter.attack(policy, strength, random);
            }
        }
    }
    for _ in 0..times {
        for strength in 0..3 {
            planter.terminated(strength, random);
        }
        planter.near_misses(random);
    }
    planter.labels
}

struct Planter<'a> {
    company: &'a Company,
    events: &'a mut Vec<Event>,
    labels: Vec<Label>,
    /// Person and day that something was planted on.
    taken: Vec<(u32, i64)>,
}

impl Planter<'_> {
    /// Somebody and a day on which nothing else goes wrong with them.
    fn victim(
        &mut self,
        random: &mut impl Rng,
        fits: impl Fn(&Company, u32, i64) -> bool,
    ) -> Option<(u32, i64)> {
        let company = self.company;
        for _ in 0..2000 {
            let who = pick(company.people.len(), random) as u32;
            let Some(person) = company.people.get(who as usize) else { continue };
            let first = (person.joins + 4).max(15);
            if person.is_service() || first + 2 >= company.days {
                continue;
            }
            let day = random.random_range(first..company.days - 1);
            // Somebody who was away for long can come back only once.
            let apart = if person.away.is_some() { company.days } else { 4 };
            let free =
                self.taken.iter().all(|&(other, at)| other != who || (day - at).abs() > apart);
            if free && matches!(day.rem_euclid(7), 0..5) && fits(company, who, day) {
                self.taken.push((who, day));
                return Some((who, day));
            }
        }
        None
    }

    fn label(
        &mut self,
        policy: &'static str,
        strength: &'static str,
        who: u32,
        start: i64,
        end: i64,
    ) {
        let Some(person) = self.company.people.get(who as usize) else { return };
        let new = start - (START + person.joins * DAY) < 14 * DAY && person.joins > 0;
        let person = person.email.clone();
        self.labels.push(Label { policy, strength, person, who, start, end, new });
    }

    /// A moment within somebody's working hours.
    fn at_work(&self, who: u32, day: i64, hours: i64) -> i64 {
        let zone = self.company.people.get(who as usize).map_or(0, |person| person.zone);
        START + day * DAY + (9 + hours) * HOUR - zone
    }

    fn usual_place(&self, who: u32) -> Option<Place> {
        self.company.people.get(who as usize).map(|person| person.office)
    }

    /// A number for something that nobody else has.
    fn strange(&self) -> u32 {
        self.labels.len() as u32 + 1
    }

    /// Many acts of one kind within a few hours. Returns when the last was.
    fn burst(
        &mut self,
        who: u32,
        what: What,
        count: i64,
        start: i64,
        span: i64,
        random: &mut impl Rng,
    ) -> i64 {
        let place = self.usual_place(who);
        let strange = self.strange();
        for number in 0..count {
            let behalf = (what == What::Impersonate).then(|| self.company.other(who, random));
            let object = 50_000 + number as u32;
            let event = act(who, what, start + number * span / count, object, behalf);
            let strange = if what == What::RareAdministration { strange } else { 0 };
            self.events.push(Event { place, strange, ..event });
        }
        start + span
    }

    fn attack(&mut self, policy: &'static str, strength: usize, random: &mut Pcg64Mcg) {
        let working = |company: &Company, who: u32, day: i64| {
            let works = |day| company.people.get(who as usize).is_some_and(|one| one.works_on(day));
            works(day) && works(day - 3)
        };
        let settled = |company: &Company, who: u32, day: i64| {
            working(company, who, day)
                && company.people.get(who as usize).is_some_and(|one| {
                    one.trips.is_empty() && day - one.joins > 14 && !one.is_admin()
                })
        };
        let admin = |company: &Company, who: u32, day: i64| {
            working(company, who, day)
                && company.people.get(who as usize).is_some_and(crate::company::Person::is_admin)
        };
        let dormant = |company: &Company, who: u32, day: i64| {
            company
                .people
                .get(who as usize)
                .and_then(|one| one.away)
                .is_some_and(|(from, to)| (from + 61..to).contains(&day))
        };
        let found = match policy {
            "unusual-administration" | "unusual-admin-action" => self.victim(random, admin),
            "inactive-account" => self.victim(random, dormant),
            "infrequent-country" | "infrequent-network" | "impossible-travel" | "new-client"
            | "new-admin" | "anonymous-address" | "suspicious-address" => {
                self.victim(random, settled)
            }
            _ => self.victim(random, working),
        };
        let Some((who, day)) = found else { return };
        let start = self.at_work(who, day, 1);
        let of = |sizes: [i64; 3]| sizes.get(strength).copied().unwrap_or(0);
        let end = match policy {
            "mass-download" => {
                self.burst(who, What::Download, of([40, 80, 200]), start, 2 * HOUR, random)
            }
            "mass-share" => self.burst(who, What::Share, of([20, 60, 200]), start, HOUR, random),
            "mass-deletion" => {
                self.burst(who, What::Delete, of([25, 60, 200]), start, HOUR, random)
            }
            "mass-mail-out" => self.burst(who, What::Send, of([20, 60, 200]), start, HOUR, random),
            "bulk-ownership-transfer" => {
                self.burst(who, What::HandOver, of([20, 40, 120]), start, HOUR, random)
            }
            "unusual-administration" => {
                self.burst(who, What::Administer, of([40, 80, 200]), start, 2 * HOUR, random)
            }
            "unusual-impersonation" => {
                self.burst(who, What::Impersonate, of([15, 40, 120]), start, HOUR, random)
            }
            "multiple-failed-logins" => {
                self.burst(who, What::FailedLogin, of([12, 30, 100]), start, HOUR / 3, random)
            }
            "infrequent-country" => {
                let place = STRANGE.get(pick(STRANGE.len(), random)).copied();
                self.visit(who, start + 9 * HOUR, place, of([1, 5, 20]), 0)
            }
            "infrequent-network" => {
                // In the person's own city, by a network that nobody else has.
                let number = 65_000 + i64::from(self.strange());
                let own = self.usual_place(who);
                let place = own.map(|own| Place { number, owner: "", net: 70, ..own });
                let strange = self.strange();
                self.visit(who, start + 9 * HOUR, place, of([1, 5, 20]), strange)
            }
            "anonymous-address" => self.visit(who, start + 9 * HOUR, Some(TOR), of([1, 5, 20]), 0),
            "suspicious-address" => self.visit(who, start + 9 * HOUR, Some(BAD), of([1, 5, 20]), 0),
            "new-client" => {
                let place = self.usual_place(who);
                let client = self.strange();
                self.visit(who, start, place, of([1, 5, 20]), client)
            }
            "impossible-travel" => self.travel(who, start, strength, random),
            "unusual-admin-action" => {
                self.burst(who, What::RareAdministration, of([1, 3, 10]), start, HOUR, random)
            }
            "inactive-account" => {
                let place = self.usual_place(who);
                self.visit(who, start, place, of([1, 5, 20]), 0)
            }
            "new-admin" => self.burst(who, What::GrantAdmin, of([1, 3, 10]), start, HOUR, random),
            _ => return,
        };
        let name = STRENGTHS.get(strength).copied().unwrap_or_default();
        self.label(policy, name, who, start, end);
    }

    /// Signs in from somewhere and looks at things.
    fn visit(
        &mut self,
        who: u32,
        start: i64,
        place: Option<Place>,
        acts: i64,
        strange: u32,
    ) -> i64 {
        for number in 0..=acts {
            let what = if number == 0 { What::Login } else { What::View };
            let event = act(who, what, start + number * 90_000, number as u32, None);
            self.events.push(Event { place, strange, ..event });
        }
        start + acts * 90_000
    }

    /// Signs in at work, and soon after from far away. The strong ones are quick and far.
    fn travel(&mut self, who: u32, start: i64, strength: usize, random: &mut impl Rng) -> i64 {
        let Some(here) = self.usual_place(who) else { return start };
        let (near, far, hours) = match strength {
            0 => (1500.0, 5000.0, 1.2),
            1 => (4000.0, 9000.0, 1.5),
            _ => (7000.0, 20_000.0, 0.5),
        };
        // Next door is no travel, whatever the distance.
        let next_door =
            |place: &Place| matches!((here.country, place.country), ("US" | "CA", "MX"));
        let fits =
            |place: &&Place| (near..far).contains(&here.distance(place)) && !next_door(place);
        let places: Vec<Place> = TRIPS.iter().chain(&STRANGE).filter(fits).copied().collect();
        let there = places.get(pick(places.len(), random)).copied().or(STRANGE.first().copied());
        self.visit(who, start, Some(here), 2, 0);
        let then = start + (hours * HOUR as f64) as i64;
        self.visit(who, then, there, 3, 0)
    }

    /// Somebody who has left comes back: hours, days, or a week later.
    fn terminated(&mut self, strength: usize, random: &mut Pcg64Mcg) {
        let days = [0, 2, 8].get(strength).copied().unwrap_or(0);
        let company = self.company;
        let free = |who: u32, taken: &[(u32, i64)]| taken.iter().all(|&(other, _)| other != who);
        let left: Vec<(u32, i64)> = (0u32..)
            .zip(&company.people)
            .filter_map(|(who, person)| Some((who, person.leaves?)))
            .filter(|&(who, last)| last + days + 3 < company.days && free(who, &self.taken))
            .collect();
        let Some(&(who, last)) = left.get(pick(left.len(), random)) else { return };
        self.taken.push((who, last));
        // Gone by eight in the morning after the last day, at the latest; then the grace has passed.
        let start = START + (last + 1 + days) * DAY + 34 * HOUR;
        let place = self.usual_place(who);
        let end = self.visit(who, start, place, 4, 0);
        self.label(
            "terminated-user",
            STRENGTHS.get(strength).copied().unwrap_or_default(),
            who,
            start,
            end,
        );
    }

    /// What looks like an attack and is none.
    fn near_misses(&mut self, random: &mut Pcg64Mcg) {
        let working = |company: &Company, who: u32, day: i64| {
            let person = company.people.get(who as usize);
            person.is_some_and(|one| one.works_on(day) && one.trips.is_empty() && !one.is_admin())
        };
        // Opens the same document a hundred times: one thing taken out, not a hundred.
        if let Some((who, day)) = self.victim(random, working) {
            let start = self.at_work(who, day, 2);
            let place = self.usual_place(who);
            for number in 0..100 {
                let event = act(who, What::Download, start + number * 20_000, 7, None);
                self.events.push(Event { place, ..event });
            }
            self.label("mass-download", NEAR_MISS, who, start, start + 100 * 20_000);
        }
        // Mistypes a password four times.
        if let Some((who, day)) = self.victim(random, working) {
            let start = self.at_work(who, day, 3);
            let end = self.burst(who, What::FailedLogin, 4, start, HOUR / 20, random);
            self.label("multiple-failed-logins", NEAR_MISS, who, start, end);
        }
        // Tries that fail, from a country nobody has been in: nobody was there.
        if let Some((who, day)) = self.victim(random, working) {
            let start = self.at_work(who, day, 2);
            for (policy, place) in
                [("infrequent-country", STRANGE.first()), ("anonymous-address", Some(&TOR))]
            {
                for number in 0..3 {
                    let event = act(who, What::FailedLogin, start + number * 60_000, 0, None);
                    self.events.push(Event { place: place.copied(), ..event });
                }
                self.label(policy, NEAR_MISS, who, start, start + HOUR);
            }
        }
        // Flies to another continent in the time that takes.
        if let Some((who, day)) = self.victim(random, working) {
            let start = self.at_work(who, day, 0);
            let here = self.usual_place(who);
            let away = start - HOUR..start + 50 * HOUR;
            self.events.retain(|event| event.who != who || !away.contains(&event.time));
            self.visit(who, start, here, 1, 0);
            let end = self.visit(who, start + 26 * HOUR, TRIPS.get(2).copied(), 3, 0);
            self.label("impossible-travel", NEAR_MISS, who, start, end);
        }
        // Deleted by mistake, restored, and then at work again.
        if let Some((who, day)) = self.victim(random, working) {
            let start = START + day * DAY + HOUR;
            self.events.push(state(who, "deleted", start, start + HOUR / 2));
            self.events.push(state(who, "active", start + HOUR, start + 2 * HOUR));
            self.label("terminated-user", NEAR_MISS, who, start, start + DAY);
        }
    }
}
