//! A made-up company: its people, and what they do on every day when nothing is wrong.

use rand::{Rng, RngExt as _};
use rand_pcg::Pcg64Mcg;

use crate::event::{Event, What};
use crate::place::{HOMES, Place, TRIPS, VPN};
use crate::world::{World, exponential, log_normal, pick};

pub(crate) const HOUR: i64 = 3_600_000;
pub(crate) const DAY: i64 = 24 * HOUR;
/// Monday, 5 January 2026, 00:00 UTC.
pub(crate) const START: i64 = 1_767_571_200_000;

/// What somebody does in the company.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Administrator,
    Manager,
    Worker,
    /// A program.
    Service,
}

/// Somebody with an account.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) role: Role,
    /// East of UTC.
    pub(crate) zone: i64,
    pub(crate) office: Place,
    pub(crate) home: Place,
    /// First and last day in the company.
    pub(crate) joins: i64,
    pub(crate) leaves: Option<i64>,
    /// Days on which nothing is done, for people who are away for long.
    pub(crate) away: Option<(i64, i64)>,
    /// Whether they go abroad now and then, and the days and places.
    pub(crate) trips: Vec<(i64, i64, Place)>,
    pub(crate) client: &'static str,
    /// How much they do, against others; heavy-tailed.
    pub(crate) weight: f64,
    /// How much their days are alike.
    pub(crate) evenness: f64,
}

impl Person {
    pub(crate) fn is_admin(&self) -> bool {
        self.role == Role::Administrator
    }

    pub(crate) fn is_service(&self) -> bool {
        self.role == Role::Service
    }

    pub(crate) fn works_on(&self, day: i64) -> bool {
        day >= self.joins
            && self.leaves.is_none_or(|last| day <= last)
            && !self.away.is_some_and(|(from, to)| (from..to).contains(&day))
            // The days on which they travel.
            && !self.trips.iter().any(|&(from, to, _)| day == from - 1 || day == to)
    }

    fn trip(&self, day: i64) -> Option<Place> {
        self.trips.iter().find(|(from, to, _)| (*from..*to).contains(&day)).map(|trip| trip.2)
    }

    /// How often they do this on a usual working day.
    fn rate(&self, what: What) -> f64 {
        let (administrator, manager, worker, service) = match what {
            What::View => (6.0, 8.0, 6.0, 40.0),
            What::Download => (2.0, 5.0, 4.0, 60.0),
            What::Share => (0.5, 1.5, 0.7, 0.0),
            What::Delete => (0.5, 0.5, 0.6, 5.0),
            What::Administer => (4.0, 0.0, 0.0, 0.0),
            What::Impersonate => (0.3, 0.4, 0.0, 0.0),
            What::Send => (0.3, 0.8, 0.4, 0.0),
            What::HandOver => (0.1, 0.1, 0.02, 0.0),
            _ => (0.0, 0.0, 0.0, 0.0),
        };
        let of_role = match self.role {
            Role::Administrator => administrator,
            Role::Manager => manager,
            Role::Worker => worker,
            Role::Service => service,
        };
        of_role * self.weight
    }
}

/// From which day on half of the work comes out of a VPN in another country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vpn {
    Never,
    Always,
    /// From this day on; whether its addresses are tagged as a VPN's.
    From(i64, bool),
}

impl Vpn {
    fn is_used_on(self, day: i64) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::From(first, _) => day >= first,
        }
    }

    fn place(self) -> Place {
        match self {
            Self::From(_, true) => Place { category: "vpn", tags: "vpn", ..VPN },
            _ => VPN,
        }
    }

    /// Whether this was within the first week of it.
    pub(crate) fn is_new_at(self, time: i64) -> bool {
        let day = (time - START).div_euclid(DAY);
        matches!(self, Self::From(first, _) if (first - 1..first + 7).contains(&day))
    }
}

/// A company and how it is made.
#[derive(Clone, Debug)]
pub(crate) struct Company {
    pub(crate) name: String,
    pub(crate) world: World,
    pub(crate) days: i64,
    pub(crate) people: Vec<Person>,
    pub(crate) vpn: Vpn,
    /// First day of a quarter end: five days with twice the downloads.
    pub(crate) quarter_end: i64,
}

const FAMILIES: [What; 8] = [
    What::View,
    What::Download,
    What::Share,
    What::Delete,
    What::Administer,
    What::Impersonate,
    What::Send,
    What::HandOver,
];
const CLIENTS: [&str; 4] = ["Chrome", "Edge", "Firefox", "Safari"];

impl Company {
    /// Every fourth company has no VPN, every fourth always had one, the others get one.
    pub(crate) fn new(
        world: World,
        size: usize,
        days: i64,
        number: usize,
        random: &mut Pcg64Mcg,
    ) -> Self {
        let offices = 1 + pick(4, random);
        let people = (0..size).map(|at| person(at, size, days, offices, random)).collect();
        Self {
            name: format!("{} {size}", world.name()),
            world,
            days,
            people,
            vpn: match number % 4 {
                0 => Vpn::From(days * 3 / 5, true),
                1 => Vpn::Always,
                2 => Vpn::Never,
                _ => Vpn::From(days * 3 / 5, false),
            },
            quarter_end: days - 12,
        }
    }

    /// Everything that people do when nothing is wrong, in no order.
    pub(crate) fn life(&self, random: &mut Pcg64Mcg) -> Vec<Event> {
        let mut events = Vec::new();
        for (who, person) in (0u32..).zip(&self.people) {
            self.news(who, person, random, &mut events);
            let mut factor = 1.0;
            for day in person.joins..self.days {
                if !person.works_on(day) {
                    continue;
                }
                let weekend = matches!(day.rem_euclid(7), 5 | 6);
                if weekend && !person.is_service() && !random.random_bool(0.08) {
                    continue;
                }
                factor = if person.is_service() { 1.0 } else { self.world.day(factor, random) };
                if factor > 0.0 {
                    self.day(who, person, day, factor, random, &mut events);
                }
            }
        }
        events
    }

    /// What the directory says of somebody over time.
    fn news(&self, who: u32, person: &Person, random: &mut Pcg64Mcg, events: &mut Vec<Event>) {
        let joined = START + person.joins * DAY;
        events.push(state(who, "active", joined, joined));
        if let Some(last) = person.leaves {
            let since = START + (last + 1) * DAY + random.random_range(0..8) * HOUR;
            let word = if random.random_bool(0.5) { "disabled" } else { "deleted" };
            events.push(state(who, word, since, since + random.random_range(0..3) * HOUR));
        }
    }

    fn day(
        &self,
        who: u32,
        person: &Person,
        day: i64,
        factor: f64,
        random: &mut Pcg64Mcg,
        events: &mut Vec<Event>,
    ) {
        let morning = START + day * DAY + 8 * HOUR - person.zone + random.random_range(0..HOUR);
        let length = (9 * HOUR) as f64;
        let place = self.place(person, day, random);
        let begins = events.len();
        for what in FAMILIES {
            let mut mean = person.rate(what) * factor;
            if what == What::Download && (0..5).contains(&(day - self.quarter_end)) {
                mean *= 2.0;
            }
            let count = self.world.count(mean, person.evenness, random);
            for moment in self.world.moments(count, random) {
                let time = morning + (moment * length) as i64;
                let behalf = (what == What::Impersonate).then(|| self.other(who, random));
                events.push(act(who, what, time, random.random(), behalf));
            }
        }
        if person.is_service() {
            events.iter_mut().skip(begins).for_each(|event| event.place = Some(person.office));
            return;
        }
        // People who work sign in first, and now and then mistype their password.
        let time = morning - random.random_range(0..10 * 60_000);
        if random.random_bool(0.05) {
            for try_ in 1..=1 + random.random_range(0..3) {
                events.push(act(who, What::FailedLogin, time - try_ * 15_000, 0, None));
            }
        }
        events.push(act(who, What::Login, time, 0, None));
        // In the evening some look in from home.
        let away = person.trip(day).is_some();
        if !away && random.random_bool(0.2) {
            let evening = morning + 11 * HOUR;
            for number in 0..1 + random.random_range(0..4) {
                let what = if number == 0 { What::Login } else { What::View };
                let mut event = act(who, what, evening + number * 120_000, random.random(), None);
                event.place = Some(person.home);
                events.push(event);
            }
        }
        for event in events.iter_mut().skip(begins).filter(|event| event.place.is_none()) {
            event.place = Some(place);
        }
    }

    /// Where somebody works on a day.
    fn place(&self, person: &Person, day: i64, random: &mut impl Rng) -> Place {
        if let Some(trip) = person.trip(day) {
            return trip;
        }
        if self.vpn.is_used_on(day) && random.random_bool(0.5) {
            return self.vpn.place();
        }
        if random.random_bool(0.3) { person.home } else { person.office }
    }

    /// Somebody else.
    pub(crate) fn other(&self, who: u32, random: &mut impl Rng) -> u32 {
        let other = pick(self.people.len(), random) as u32;
        if other == who { u32::from(who == 0) } else { other }
    }
}

/// An act of a person, where it was yet to be said; apps tell of it sooner or later.
pub(crate) fn act(who: u32, what: What, time: i64, object: u32, behalf: Option<u32>) -> Event {
    Event {
        time,
        received: 0,
        who,
        what,
        object: object % 100_000,
        place: None,
        behalf,
        state: None,
        strange: 0,
    }
}

/// News of the directory.
pub(crate) fn state(who: u32, state: &'static str, since: i64, received: i64) -> Event {
    let news = act(who, What::News, since, 0, None);
    Event { received, state: Some((state, since)), ..news }
}

/// When events arrive: minutes later, a few of them hours later.
pub(crate) fn deliver(events: &mut [Event], random: &mut Pcg64Mcg) {
    for event in events.iter_mut().filter(|event| event.received == 0) {
        let mean = match event.what {
            What::Login | What::FailedLogin => 10.0,
            _ if event.who.is_multiple_of(2) => 20.0,
            _ => 3.0,
        };
        let late = if random.random_bool(0.005) { 4.0 * 60.0 } else { 0.0 };
        let minutes =
            (exponential(mean, random) + exponential(1.0, random) * late).min(20.0 * 60.0);
        event.received = event.time + (minutes * 60_000.0) as i64;
    }
    events.sort_unstable_by_key(|event| (event.received, event.who, event.time, event.what));
}

fn person(at: usize, size: usize, days: i64, offices: usize, random: &mut Pcg64Mcg) -> Person {
    let role = match at {
        _ if at < 1 + size / 100 => Role::Administrator,
        _ if at < 2 + size / 50 => Role::Service,
        _ if random.random_bool(0.15) => Role::Manager,
        _ => Role::Worker,
    };
    let site = pick(offices, random);
    let office = HOMES.get(site).copied().unwrap_or(VPN);
    // The home is in the same city, with another network.
    let home = Place {
        number: office.number + 50,
        owner: "City Broadband",
        net: office.net + 100,
        latitude: office.latitude + 0.1,
        ..office
    };
    let zone = [-5, -8, 0, 1, -5, 10, 5, 1].get(site).copied().unwrap_or(0) * HOUR;
    let steady = matches!(role, Role::Service | Role::Administrator);
    let joins =
        if !steady && random.random_bool(0.2) { random.random_range(1..days - 3) } else { 0 };
    let stays = days - joins;
    let leaves = (!steady && stays > 30 && random.random_bool(0.03))
        .then(|| joins + random.random_range(20..stays - 5));
    let away = (!steady && leaves.is_none() && joins == 0 && days > 70 && random.random_bool(0.02))
        .then_some((3, days - 3));
    let mut trips = Vec::new();
    if !steady && away.is_none() && random.random_bool(0.05) {
        let mut day = joins + random.random_range(5..20);
        while day + 8 < days {
            let stay = random.random_range(2..7);
            let to = TRIPS.get(pick(TRIPS.len(), random)).copied().unwrap_or(office);
            trips.push((day, day + stay, to));
            day += stay + random.random_range(8..25);
        }
    }
    Person {
        email: format!("p{at}@made-up.example"),
        role,
        zone,
        office,
        home,
        joins,
        leaves,
        away,
        trips,
        client: CLIENTS.get(pick(CLIENTS.len(), random)).copied().unwrap_or("Chrome"),
        weight: if steady { 1.0 } else { log_normal(-0.4, 0.9, random).min(12.0) },
        evenness: if role == Role::Service { 20.0 } else { log_normal(0.5, 0.6, random) },
    }
}
