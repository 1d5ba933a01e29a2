//! A company together with everything that happened in it: what the server serves.
//!
//! Events are kept as 40 bytes each and written out when asked for, so a million of them fit into
//! a few dozen megabytes.

use std::collections::HashSet;

use casbah_sim::random::mix;

use crate::catalogue::catalogue;
use crate::company::{Company, Plan};
use crate::event::{Event, SYSTEM, SYSTEM_USERS};
use crate::history::Historian;
use crate::incident::{Incident, Planted, plant};
use crate::render::{Writer, event_id};

/// A company and its history.
#[derive(Debug)]
pub struct World {
    company: Company,
    /// In the order of the stream.
    events: Vec<Event>,
    incidents: Vec<Incident>,
}

impl World {
    /// Makes the world of a plan. The same plan gives the same bytes.
    pub fn new(plan: &Plan) -> Self {
        let company = Company::new(plan);
        let mut historian = Historian::new(&company, plan.events);
        let planted = if plan.incidents { plant(&company, &mut historian) } else { Vec::new() };
        historian.fill();
        let mut events = std::mem::take(&mut historian.events);
        drop(historian);
        let incidents =
            planted.into_iter().map(|planted| finish(&company, planted, &events)).collect();
        events.sort_by_key(|event| (event.delivery(), event.serial));
        shuffle(&mut events, plan.disorder, plan.seed);
        Self { company, events, incidents }
    }

    /// The company.
    pub fn company(&self) -> &Company {
        &self.company
    }

    /// The planted incidents, near misses included.
    pub fn incidents(&self) -> &[Incident] {
        &self.incidents
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing ever happened.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The id of the event at a place of the stream.
    pub fn event_id(&self, at: usize) -> Option<String> {
        self.events.get(at).map(|event| event_id(self.company.plan.seed, event.serial))
    }

    /// Time in milliseconds since 1970 of the event at a place of the stream.
    pub fn event_time(&self, at: usize) -> Option<i64> {
        self.events.get(at).map(|event| event.time)
    }

    /// Type of the event at a place of the stream: `objectType` and `action`.
    pub fn event_type(&self, at: usize) -> Option<(&'static str, &'static str)> {
        let kind = catalogue().get(self.events.get(at)?.kind)?;
        Some((kind.object_type, kind.action))
    }

    /// The ids of the first `count` events of the stream.
    pub fn ids(&self, count: usize) -> HashSet<String> {
        (0..count.min(self.len())).filter_map(|at| self.event_id(at)).collect()
    }

    /// Appends the event at a place of the stream as JSON; `numeric` gives times as numbers.
    pub fn write_event(&self, out: &mut String, at: usize, numeric: bool) {
        if let Some(event) = self.events.get(at) {
            Writer { company: &self.company }.event(out, event, numeric);
        }
    }

    /// How many events the stream has at this time.
    pub fn delivered_by(&self, time: i64) -> usize {
        match self.company.plan.disorder {
            0 => self.events.partition_point(|event| event.delivery() <= time),
            // A stream out of order has an event when all before it are there too.
            _ => self
                .events
                .iter()
                .position(|event| event.delivery() > time)
                .unwrap_or(self.events.len()),
        }
    }

    /// The first place of the stream that can hold an event of this time or later.
    pub(crate) fn first_since(&self, time: i64) -> usize {
        let at = self.events.partition_point(|event| event.delivery() < time);
        // Out of order, places are off by less than a block.
        at.saturating_sub(self.company.plan.disorder)
    }

    /// The place of the stream behind the last one that can hold an event before this time.
    pub(crate) fn end_of(&self, time: i64) -> usize {
        let latest = time + self.company.plan.late_at_most.max(20_000);
        let at = self.events.partition_point(|event| event.delivery() < latest);
        (at + self.company.plan.disorder).min(self.events.len())
    }
}

fn finish(company: &Company, planted: Planted, events: &[Event]) -> Incident {
    let mut found: Vec<&Event> =
        planted.serials.iter().filter_map(|&serial| events.get(serial as usize)).collect();
    found.sort_by_key(|event| (event.time, event.serial));
    let user = company.users.get(planted.actor as usize);
    let system = planted.actor.checked_sub(SYSTEM).and_then(|at| SYSTEM_USERS.get(at as usize));
    Incident {
        name: planted.name.to_owned(),
        labels: planted.labels.iter().map(|label| (*label).to_owned()).collect(),
        actor: user.map_or_else(String::new, |user| user.email.clone()),
        actor_id: user.map(|user| user.id).or(system.map(|(id, _)| *id)).unwrap_or(0),
        start: found.first().map_or(0, |event| event.time),
        end: found.last().map_or(0, |event| event.time),
        event_ids: found.iter().map(|event| event_id(company.plan.seed, event.serial)).collect(),
        benign: planted.benign,
    }
}

/// Shuffles within blocks, so that no event is further from its place than a block is long.
fn shuffle(events: &mut [Event], block: usize, seed: u64) {
    if block < 2 {
        return;
    }
    for part in events.chunks_mut(block) {
        let mut keyed: Vec<Event> = part.to_vec();
        keyed.sort_by_key(|event| mix(seed ^ 0xd150, u64::from(event.serial)));
        part.copy_from_slice(&keyed);
    }
}
