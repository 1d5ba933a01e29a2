//! The company together with everything that happened in it: what the server serves.
//!
//! Acts are kept as 32 bytes each and written out when asked for, so a million of them fit into a few
//! dozen megabytes.

use casbah_sim::Addresses;
use smartsheet_sim::Company;

use crate::activity::{Act, ELSEWHERE, HOME, Log};
use crate::firm::Firm;
use crate::history::Historian;
use crate::incident::{Incident, Plant, plant};
use crate::render::{Form, Shape, Writer};

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The company: seed, users, days, end, lateness, and how many acts there are in `events`. With
    /// the same seed and users the people are those of the other simulators. `incidents` and
    /// `disorder` mean nothing here.
    pub company: smartsheet_sim::Plan,
    /// What is planted.
    pub plants: Vec<Plant>,
    /// How likely an act is followed by the very same one within its second.
    pub repeats: f64,
}

impl Default for Plan {
    /// Seven days of 400 users, 150,000 acts, one of every incident, up to ten minutes late.
    fn default() -> Self {
        let company = smartsheet_sim::Plan {
            late: 0.01,
            late_at_most: 10 * 60_000,
            ..smartsheet_sim::Plan::default()
        };
        Self { company, plants: Plant::all(&Addresses::default()), repeats: 0.01 }
    }
}

impl Plan {
    /// Two days of 60 users, for tests.
    pub fn small(events: usize) -> Self {
        let mut plan = Self::default();
        plan.company.users = 60;
        plan.company.days = 2;
        plan.company.events = events;
        plan
    }
}

/// An act as an oracle sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Which log it is in.
    pub log: Log,
    /// When, milliseconds since 1970, whole seconds.
    pub time: i64,
    /// The name of the activity.
    pub name: &'static str,
    /// E-mail address of who did it, in lower case.
    pub actor: String,
    /// The app's id of the document; empty in the administration log.
    pub document: String,
}

/// A company and its history.
#[derive(Debug)]
pub struct World {
    firm: Firm,
    /// By the time at which the log has them.
    acts: Vec<Act>,
    /// Places in `acts`, by time.
    by_time: Vec<u32>,
    /// Addresses of incidents.
    places: Vec<String>,
    incidents: Vec<Incident>,
}

impl World {
    /// Makes the world of a plan. The same plan gives the same bytes.
    pub fn new(plan: &Plan) -> Self {
        let firm = Firm::new(Company::new(&plan.company));
        let mut historian = Historian::new(&firm, plan.company.events, plan.repeats.min(0.9));
        let mut places = Vec::new();
        let incidents =
            plan.plants.iter().map(|one| plant(&mut historian, one, &mut places)).collect();
        historian.fill();
        let mut acts = std::mem::take(&mut historian.acts);
        drop(historian);
        acts.sort_by_key(Act::delivery);
        let mut by_time: Vec<u32> = (0..acts.len() as u32).collect();
        by_time.sort_by_key(|&at| acts.get(at as usize).map_or(0, |act| act.time));
        Self { firm, acts, by_time, places, incidents }
    }

    /// The company.
    pub fn company(&self) -> &Company {
        &self.firm.company
    }

    /// The app's id of the repository, `CA-XXXXXXXX`.
    pub fn repository(&self) -> String {
        self.firm.repository()
    }

    /// What was planted, near misses included.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// How many acts there are.
    pub fn len(&self) -> usize {
        self.acts.len()
    }

    /// Whether nothing ever happened.
    pub fn is_empty(&self) -> bool {
        self.acts.is_empty()
    }

    /// Every act, in the order in which the logs get them.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.acts.iter().map(|act| Record {
            log: act.log(),
            time: act.time,
            name: act.what().map_or("", |what| what.name),
            actor: self
                .firm
                .user(act.actor)
                .map_or_else(String::new, |user| user.email.to_lowercase()),
            document: match act.log() {
                Log::Consolidated => self.firm.document_id(act.object),
                Log::Admin => String::new(),
            },
        })
    }

    /// Places of the acts of a log within a time, ends included, that the log has by `now`; by time.
    pub(crate) fn window(&self, log: Log, from: i64, to: i64, now: i64) -> Vec<u32> {
        let time = |at: &u32| self.acts.get(*at as usize).map_or(0, |act| act.time);
        let begin = self.by_time.partition_point(|at| time(at) < from);
        let end = self.by_time.partition_point(|at| time(at) <= to);
        let fits = |at: &&u32| {
            self.acts
                .get(**at as usize)
                .is_some_and(|act| act.log() == log && act.delivery() <= now)
        };
        self.by_time.get(begin..end).unwrap_or_default().iter().filter(fits).copied().collect()
    }

    /// Places of all acts of a log, by time.
    pub fn all(&self, log: Log) -> Vec<u32> {
        self.window(log, i64::MIN, i64::MAX, i64::MAX)
    }

    /// Appends the record of the act at a place.
    pub fn write(&self, out: &mut String, at: u32, form: Form, shape: Shape) {
        if let Some(act) = self.acts.get(at as usize) {
            Writer { world: self }.act(out, act, form, shape);
        }
    }

    pub(crate) fn firm(&self) -> &Firm {
        &self.firm
    }

    /// Where an act came from.
    pub(crate) fn address(&self, act: &Act) -> &str {
        let user = self.firm.user(act.actor);
        match act.place {
            HOME => user.map_or("", |user| user.home_ip.as_str()),
            place => match place.checked_sub(ELSEWHERE) {
                Some(at) => self.places.get(usize::from(at)).map_or("", String::as_str),
                None => user.map_or("", |user| user.office_ip.as_str()),
            },
        }
    }
}
