//! What people and service accounts do in normal weeks: sessions by the rhythm of their day and week,
//! some of them ten times as busy as others.
//!
//! What would look like an incident is kept rare here: incidents are planted by `incident`.

use casbah_sim::random::{Random, Weighted, mix};
use smartsheet_sim::{Role, User};

use crate::activity::{ACTIVITIES, Act, HOME, Log, OFFICE};
use crate::firm::Firm;

pub(crate) const DAY: i64 = 86_400_000;

/// Writes the history of a firm.
pub(crate) struct Historian<'a> {
    pub(crate) firm: &'a Firm,
    pub(crate) random: Random,
    users: Weighted,
    days: Weighted,
    /// What insiders, services, guests and administrators do.
    tables: [Weighted; 4],
    repeats: f64,
    /// Who does nothing but what is planted, from when to when.
    pub(crate) away: Vec<(u32, i64, i64)>,
    pub(crate) acts: Vec<Act>,
    limit: usize,
}

impl<'a> Historian<'a> {
    pub(crate) fn new(firm: &'a Firm, limit: usize, repeats: f64) -> Self {
        let company = &firm.company;
        let first = company.start().div_euclid(DAY);
        // 1970-01-01 was a Thursday.
        let weekday = |day: i64| (day + 3).rem_euclid(7);
        let days = (0..=i64::from(company.plan.days))
            .map(|day| if weekday(first + day) < 5 { 1.0 } else { 0.12 });
        let weight = |user: &User| if user.status == "ACTIVE" { user.weight } else { 0.0 };
        let table = |place: usize, admin: f64| {
            Weighted::new(ACTIVITIES.iter().map(|activity| {
                let weight = activity.weights.get(place).copied().unwrap_or(0.0);
                if activity.log == Log::Admin { weight * admin } else { weight }
            }))
        };
        Self {
            users: Weighted::new(company.users.iter().map(weight)),
            days: Weighted::new(days),
            tables: [table(0, 0.0), table(1, 0.0), table(2, 0.0), table(0, 1.5)],
            random: Random::new(company.plan.seed ^ 0x0d0c),
            acts: Vec::with_capacity(limit),
            firm,
            limit,
            repeats,
            away: Vec::new(),
        }
    }

    /// Fills up to the limit: first one of everything, then sessions.
    pub(crate) fn fill(&mut self) {
        if self.limit.saturating_sub(self.acts.len()) >= 2_000 {
            self.one_of_each();
        }
        while self.acts.len() < self.limit {
            self.session();
        }
    }

    /// Adds an act. Says no when there is no room.
    pub(crate) fn add(&mut self, mut act: Act) -> bool {
        if self.acts.len() >= self.limit {
            return false;
        }
        act.time = act.time.div_euclid(1000) * 1000;
        self.acts.push(act);
        true
    }

    fn inside(&self, time: i64) -> bool {
        let company = &self.firm.company;
        (company.start()..company.plan.end).contains(&time)
    }

    /// Every administrator does everything in the first days, so that nothing of it is new later on;
    /// some manager does everything that is done with documents.
    fn one_of_each(&mut self) {
        let company = &self.firm.company;
        let span = company.plan.end - company.start();
        for (activity, what) in (0u8..).zip(ACTIVITIES) {
            let (role, until) = match what.log {
                Log::Admin => (Role::Admin, company.start() + span / 4),
                Log::Consolidated => (Role::Manager, company.plan.end),
            };
            let mut actors: Vec<u32> = company.of_role(role).collect();
            actors.retain(|actor| self.away.iter().all(|(who, ..)| who != actor));
            if what.log == Log::Consolidated {
                actors = self.random.pick(&actors).copied().into_iter().collect();
            }
            for actor in actors {
                let time = loop {
                    let time = self.working_time(actor);
                    if self.inside(time) && time < until {
                        break time;
                    }
                };
                let act = self.act(actor, activity, time, OFFICE, 0);
                self.add(act);
            }
        }
    }

    fn is_away(&self, actor: u32, time: i64) -> bool {
        self.away.iter().any(|(who, from, to)| *who == actor && (*from..*to).contains(&time))
    }

    /// A time at which this user works.
    fn working_time(&mut self, actor: u32) -> i64 {
        let company = &self.firm.company;
        let Some(user) = self.firm.user(actor) else { return company.start() };
        if user.role == Role::Service {
            let span = i64::from(company.plan.days) * DAY;
            return company.start() + (self.random.unit() * span as f64) as i64;
        }
        let day = company.start().div_euclid(DAY) + self.days.draw(&mut self.random) as i64;
        let peak = if self.random.chance(0.5) { 10.4 } else { 15.1 };
        let hour = peak + self.random.normal() * 1.5;
        day * DAY + (hour * 3_600_000.0) as i64 - i64::from(user.offset) * 60_000
    }

    fn session(&mut self) {
        let actor = self.users.draw(&mut self.random) as u32;
        let Some(user) = self.firm.user(actor) else { return };
        let (role, service) = (user.role, user.role == Role::Service);
        let table = match role {
            Role::Service => 1,
            Role::Guest => 2,
            Role::Admin => 3,
            _ => 0,
        };
        let mut time = self.working_time(actor);
        let source = self.source(service);
        let place = if !service && self.random.chance(0.22) { HOME } else { OFFICE };
        let length = 1.0 + self.random.exponential(if service { 30.0 } else { 9.0 });
        for _ in 0..length as usize {
            if !self.inside(time) || self.acts.len() >= self.limit {
                return;
            }
            let Some(table) = self.tables.get(table) else { return };
            let activity = table.draw(&mut self.random) as u8;
            let act = self.act(actor, activity, time, place, source);
            if self.is_away(actor, time) {
                return;
            }
            self.add(act);
            // The same thing again within the second: a double click, a bulk action.
            while self.random.chance(self.repeats) {
                let delay = self.delay();
                self.add(Act { delay, ..act });
            }
            time += 1000 + self.random.exponential(if service { 5_000.0 } else { 45_000.0 }) as i64;
        }
    }

    fn source(&mut self, service: bool) -> u8 {
        match (service, self.random.below(100)) {
            (true, _) => 4,
            (false, 0..45) => 0,
            (false, 45..88) => 1,
            (false, 88..94) => 2,
            (false, _) => 3,
        }
    }

    pub(crate) fn act(
        &mut self,
        actor: u32,
        activity: u8,
        time: i64,
        place: u8,
        source: u8,
    ) -> Act {
        let admin = ACTIVITIES.get(usize::from(activity)).is_some_and(|a| a.log == Log::Admin);
        let object = if admin {
            self.random.below(self.firm.company.users.len()) as u32
        } else {
            self.document(actor)
        };
        let delay = self.delay();
        Act { time, delay, actor, object, activity, place, source }
    }

    /// What somebody works on: mostly the same few, each of them their own.
    fn document(&mut self, actor: u32) -> u32 {
        let favourite = self.random.exponential(25.0) as u64;
        (mix(u64::from(actor) * 31 + 7, favourite) % u64::from(self.firm.documents.max(1))) as u32
    }

    /// Milliseconds until the log has an act: a moment, and for a few some minutes.
    pub(crate) fn delay(&mut self) -> u32 {
        let plan = &self.firm.company.plan;
        let longest = if self.random.chance(plan.late) { plan.late_at_most } else { 3_000 };
        (self.random.unit() * longest.min(plan.late_at_most) as f64) as u32
    }
}
