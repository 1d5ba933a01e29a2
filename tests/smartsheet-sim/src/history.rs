//! What people, service accounts and the app itself do in normal weeks.
//!
//! People work in sessions by the rhythm of their day and week; services run around the clock. What
//! would look like an incident is kept rare here: incidents are planted by `incident`, with labels.

use casbah_sim::random::{Random, Weighted};

use crate::catalogue::{Class, Kind, catalogue};
use crate::company::{Company, Role};
use crate::event::{
    API, Event, INTEGRATED, NO_TARGET, SOURCES, SYSTEM, SYSTEM_USERS, UNKNOWN, WEB, mark,
};

const DAY: i64 = 86_400_000;
/// From so many days on a history is long enough for what can only be told from what is usual.
pub(crate) const LONG: u32 = 14;
/// The part of what administrators do that is administration, in a long history.
const ADMINISTRATION: f64 = 0.15;

fn is_frequent_administration(kind: &Kind) -> bool {
    kind.rank == 3 && kind.people >= 30.0
}

/// What the app does in its own name: place of the system user, type, weight.
const AUTOMATIC: &[(usize, &str, &str, f64)] = &[
    (7, "SHEET", "UPDATE", 40.0),
    (3, "SHEET", "UPDATE", 25.0),
    (3, "SHEET", "MOVE_ROW", 5.0),
    (3, "SHEET", "SEND_ROW", 6.0),
    (2, "SHEET", "UPDATE", 14.0),
    (6, "SHEET", "SEND_ROW", 5.0),
    (4, "DASHBOARD", "LOAD", 12.0),
    (1, "SHEET", "CREATE", 0.05),
    (0, "DISCUSSION", "CREATE", 0.05),
];

/// Writes the background of a company's history.
pub(crate) struct Historian<'a> {
    company: &'a Company,
    random: Random,
    users: Weighted,
    automatic: Weighted,
    days: Weighted,
    /// What administrators do often.
    administration: Weighted,
    pub(crate) events: Vec<Event>,
    limit: usize,
}

impl<'a> Historian<'a> {
    /// Gets ready to write `limit` events, the planted ones among them.
    pub(crate) fn new(company: &'a Company, limit: usize) -> Self {
        let weight = |user: &crate::company::User| match user.status {
            "ACTIVE" => user.weight,
            _ => 0.0,
        };
        let first = company.start().div_euclid(DAY);
        // 1970-01-01 was a Thursday.
        let weekday = |day: i64| (day + 3).rem_euclid(7);
        let days = (0..=i64::from(company.plan.days))
            .map(|day| if weekday(first + day) < 5 { 1.0 } else { 0.12 });
        Self {
            users: Weighted::new(company.users.iter().map(weight)),
            automatic: Weighted::new(AUTOMATIC.iter().map(|entry| entry.3)),
            days: Weighted::new(days),
            administration: Weighted::new(
                catalogue()
                    .kinds
                    .iter()
                    .map(|kind| if is_frequent_administration(kind) { kind.people } else { 0.0 }),
            ),
            random: Random::new(company.plan.seed ^ 0x5151),
            events: Vec::with_capacity(limit),
            company,
            limit,
        }
    }

    /// Fills up to the limit: first one event of every type that may occur, then sessions.
    pub(crate) fn fill(&mut self) {
        if self.limit.saturating_sub(self.events.len()) >= 5_000 {
            self.one_of_each();
            if self.is_long() {
                self.administration_is_nothing_new();
            }
        }
        while self.events.len() < self.limit {
            if self.random.chance(0.35) {
                self.automatic();
            } else {
                self.session();
            }
        }
    }

    /// Adds an event as it is but for its running number; `None` when there is no room.
    pub(crate) fn add(&mut self, mut event: Event) -> Option<u32> {
        if self.events.len() >= self.limit {
            return None;
        }
        event.serial = self.events.len() as u32;
        event.time = event.time.div_euclid(1000) * 1000;
        self.events.push(event);
        Some(event.serial)
    }

    fn inside(&self, time: i64) -> bool {
        (self.company.start()..self.company.plan.end).contains(&time)
    }

    fn one_of_each(&mut self) {
        for (number, kind) in (0u16..).zip(&catalogue().kinds) {
            let role = match kind.rank {
                3 => Role::Admin,
                _ => Role::ProjectManager,
            };
            let company = self.company;
            let role = if kind.people > 0.0 { role } else { Role::Service };
            if kind.people <= 0.0 && kind.services <= 0.0 {
                continue;
            }
            if kind.rank == 3 && self.is_long() {
                // Where there is time to learn what is usual, the rare is left to the incidents.
                continue;
            }
            let actors: Vec<u32> = company.of_role(role).collect();
            let Some(&actor) = self.random.pick(&actors) else { continue };
            let time = loop {
                let time = self.working_time(actor);
                if self.inside(time) {
                    break time;
                }
            };
            self.act(actor, number, kind, time, WEB);
        }
    }

    fn is_long(&self) -> bool {
        self.company.plan.days >= LONG
    }

    /// Every administrator does what administrators often do in the first days, so that nothing of it is
    /// new later on.
    fn administration_is_nothing_new(&mut self) {
        let company = self.company;
        let until = company.start() + (company.plan.end - company.start()) / 4;
        for actor in company.of_role(Role::Admin) {
            for (number, kind) in (0u16..).zip(&catalogue().kinds) {
                if !is_frequent_administration(kind) {
                    continue;
                }
                for _ in 0..2 {
                    let time = loop {
                        let time = self.working_time(actor);
                        if self.inside(time) && time < until {
                            break time;
                        }
                    };
                    self.act(actor, number, kind, time, WEB);
                }
            }
        }
    }

    /// A time at which this user works.
    fn working_time(&mut self, actor: u32) -> i64 {
        let day = self.company.start().div_euclid(DAY) + self.days.draw(&mut self.random) as i64;
        let Some(user) = self.company.users.get(actor as usize) else { return day * DAY };
        if user.role == Role::Service {
            let span = i64::from(self.company.plan.days) * DAY;
            return self.company.start() + (self.random.unit() * span as f64) as i64;
        }
        let peak = if self.random.chance(0.5) { 10.3 } else { 14.6 };
        let hour = peak + self.random.normal() * 1.6;
        day * DAY + (hour * 3_600_000.0) as i64 - i64::from(user.offset) * 60_000
    }

    fn session(&mut self) {
        let actor = self.users.draw(&mut self.random) as u32;
        let Some(user) = self.company.users.get(actor as usize) else { return };
        let service = user.role == Role::Service;
        let mut time = self.working_time(actor);
        let length = 1.0 + self.random.exponential(if service { 40.0 } else { 11.0 });
        let source = self.client(service);
        let home = self.random.chance(0.25);
        for _ in 0..length as usize {
            if !self.inside(time) || self.events.len() >= self.limit {
                return;
            }
            let table = match service {
                true => Some(catalogue().services()),
                false => catalogue().people(user.rank()),
            };
            let administers = user.role == Role::Admin && self.is_long();
            let number = match administers && self.random.chance(ADMINISTRATION) {
                true => self.administration.draw(&mut self.random),
                false => table.map_or(0, |table| table.draw(&mut self.random)),
            } as u16;
            if let Some(kind) = catalogue().get(number) {
                self.act_marked(
                    actor,
                    number,
                    kind,
                    time,
                    source,
                    if home { mark::HOME } else { 0 },
                );
            }
            time += 1000 + self.random.exponential(if service { 4_000.0 } else { 38_000.0 }) as i64;
        }
    }

    fn client(&mut self, service: bool) -> u8 {
        match (service, self.random.below(1000)) {
            (true, 0..400) => INTEGRATED,
            (true, _) => API,
            (false, 0..850) => WEB,
            (false, 850..920) => 1,
            (false, 920..970) => 2,
            (false, 970..985) => INTEGRATED,
            (false, 985..993) => 5,
            (false, 993..998) => UNKNOWN,
            (false, _) => SOURCES.len() as u8 - 1,
        }
    }

    fn act(&mut self, actor: u32, number: u16, kind: &Kind, time: i64, source: u8) {
        self.act_marked(actor, number, kind, time, source, 0);
    }

    fn act_marked(
        &mut self,
        actor: u32,
        number: u16,
        kind: &Kind,
        time: i64,
        source: u8,
        marks: u16,
    ) {
        let object = self.object(actor, kind);
        let marks = marks | self.shape(source);
        let delay = self.delay();
        let mut event = Event {
            time,
            delay,
            serial: 0,
            actor,
            request: actor,
            object,
            target: NO_TARGET,
            kind: number,
            marks,
            source,
        };
        if kind.action == "ADD_SHARE" && kind.class == Class::Workspace {
            event.target = self.internal_target();
            self.contained_shares(event);
        }
        self.add(event);
    }

    /// One share of a workspace is also an event for each thing in it, in the same second.
    ///
    /// Returns the running numbers of those events.
    pub(crate) fn contained_shares(&mut self, event: Event) -> Vec<u32> {
        let mut serials = Vec::new();
        for class in [Class::Sheet, Class::Report, Class::Dashboard] {
            let name = match class {
                Class::Sheet => "SHEET",
                Class::Report => "REPORT",
                _ => "DASHBOARD",
            };
            let Some(kind) = catalogue().find(name, "ADD_WORKSPACE_SHARE") else { continue };
            for (at, item) in (0u32..).zip(self.company.items(class)) {
                if item.workspace == Some(event.object) {
                    serials.extend(self.add(Event { kind, object: at, ..event }));
                }
            }
        }
        serials
    }

    fn internal_target(&mut self) -> u32 {
        loop {
            let at = self.random.below(self.company.users.len());
            if self.company.users.get(at).is_some_and(|user| user.internal()) {
                return at as u32;
            }
        }
    }

    /// What an actor does things to: mostly the same few, each of them their own.
    fn object(&mut self, actor: u32, kind: &Kind) -> u32 {
        let favourite = self.random.exponential(9.0) as u64;
        let hash = casbah_sim::random::mix(u64::from(actor) * 31 + kind.class as u64, favourite);
        let count = match kind.class {
            Class::Account => 1,
            Class::User => self.company.users.len(),
            Class::Group => self.company.groups.len(),
            Class::Attachment | Class::Discussion | Class::UpdateRequest => {
                return self.random.below(200_000) as u32;
            }
            Class::Folder => self.company.users.len(),
            Class::Form => self.company.sheets.len() / 12,
            Class::Token => 60,
            Class::Text => 40,
            class => self.company.items(class).len(),
        };
        (hash % count.max(1) as u64) as u32
    }

    fn shape(&mut self, source: u8) -> u16 {
        match self.random.below(1000) {
            0..3 => mark::OLD,
            3..5 => mark::STAMP,
            5..8 => mark::TEXT_IDS,
            8..10 => mark::EXTRA,
            10..30 if source == WEB => mark::IP_ELSEWHERE,
            _ => 0,
        }
    }

    /// Milliseconds until the stream has an event: seconds, and for a few much longer.
    pub(crate) fn delay(&mut self) -> u32 {
        let plan = &self.company.plan;
        let longest = if self.random.chance(plan.late) { plan.late_at_most } else { 20_000 };
        (self.random.unit() * longest.min(plan.late_at_most) as f64) as u32
    }

    fn automatic(&mut self) {
        let Some(&(place, object_type, action, _)) =
            AUTOMATIC.get(self.automatic.draw(&mut self.random))
        else {
            return;
        };
        debug_assert!(place < SYSTEM_USERS.len());
        let Some(number) = catalogue().find(object_type, action) else { return };
        let Some(kind) = catalogue().get(number) else { return };
        let owners = self.users.draw(&mut self.random) as u32;
        let time = self.working_time(owners);
        if !self.inside(time) {
            return;
        }
        let object = self.object(owners, kind);
        let delay = self.delay();
        let actor = SYSTEM + place as u32;
        self.add(Event {
            time,
            delay,
            serial: 0,
            actor,
            request: actor,
            object,
            target: NO_TARGET,
            kind: number,
            marks: 0,
            source: UNKNOWN,
        });
    }
}
