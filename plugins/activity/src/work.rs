//! Finds what there is to do in a batch: the activities that policies mean, in parts that are counted
//! by themselves, and the state that this needs.
//!
//! It does not count.

use std::collections::BTreeMap;
use std::ops::Range;

use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Batch, Severity, StateKey};
use casbah_when::{Cell, Cells, Evaluation, Places, Plan, Rows, Source, keys};

use crate::entry::Role;
use crate::parts::{Item, Lists, Parting};
use crate::rule::Measure;
use crate::settings::{Policy, Window, thousandths};

/// What there is to do.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Policies whose every activity is a finding, with these.
    pub(crate) singles: Vec<Single>,
    /// Policies with windows.
    pub(crate) works: Vec<Work>,
    /// Parts of all works.
    pub(crate) parts: Vec<Part>,
    /// Activities of all parts, each in the order of the log.
    pub(crate) items: Vec<Item>,
    /// The state that was asked for: of each work, that of what waits if it has one, and then one of
    /// each part.
    pub(crate) keys: Vec<StateKey>,
    /// By row, the newest time up to there; empty where nobody asks. Activities that are ahead of the
    /// time at which they were fetched do not move it further than that.
    pub(crate) clocks: Vec<i64>,
}

/// Activities that are findings by themselves.
#[derive(Debug)]
pub(crate) struct Single {
    pub(crate) policy: usize,
    pub(crate) rows: Rows,
    /// By row, where the policy makes a difference: as in [`Role`].
    pub(crate) severities: Vec<u8>,
}

/// What there is to do for a policy with a window.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// Index of the policy.
    pub(crate) policy: usize,
    /// Where its parts stand.
    pub(crate) parts: Range<usize>,
}

/// Activities of one key of one policy.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Where they stand.
    pub(crate) items: Range<usize>,
    /// Index of the lane that the first of them came by.
    pub(crate) lane: usize,
    /// The key, for policies that wait.
    pub(crate) key: String,
}

/// The name of the state of what waits.
const WAITING: &str = "waiting";

/// Looks for all of it.
pub(crate) fn find(plan: &Plan, lists: &Lists, policies: &[Policy], batch: &Batch) -> Found {
    let mut search = Search {
        evaluation: Evaluation::new(plan, batch),
        parting: None,
        lists,
        batch,
        places: Places::of(batch),
        credible: None,
        roles: Vec::new(),
        columns: Vec::new(),
        found: Found::default(),
    };
    for (index, policy) in policies.iter().enumerate() {
        match &policy.window {
            None => search.single(index, policy),
            Some(window) => search.window(index, policy, window),
        }
    }
    search.found
}

struct Search<'a> {
    evaluation: Evaluation<'a>,
    /// Made when the first policy asks for it.
    parting: Option<Parting<'a>>,
    lists: &'a Lists,
    batch: &'a Batch,
    places: Places<'a>,
    /// Rows whose time can be believed.
    credible: Option<Rows>,
    /// Room for roles by row; all empty in between.
    roles: Vec<Role>,
    /// Values that windows look at, as far as anybody asked.
    columns: Vec<Column>,
    found: Found,
}

/// Values of a field by row.
struct Column {
    source: Source,
    measured: Measured,
    rows: Vec<Known>,
}

/// In which way a field is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measured {
    /// Its values are told apart.
    Distinct,
    /// Its quantities are compared.
    Quantities,
    /// Its quantities are added up.
    Sums,
}

/// What is known of a row's value.
#[derive(Clone, Copy, Debug)]
enum Known {
    Nothing,
    Missing,
    Value(u64),
}

impl<'a> Search<'a> {
    fn single(&mut self, index: usize, policy: &Policy) {
        let Some(when) = &policy.when else { return };
        let rows = self.evaluation.rows(when);
        if rows.is_empty() {
            return;
        }
        let mut severities = Vec::new();
        if !policy.severities.is_empty() {
            severities.resize(self.batch.len(), 0);
            let graded = self.evaluation.graded(&policy.severities);
            for row in rows.iter() {
                if let Some(slot) = severities.get_mut(row) {
                    *slot = grade(graded.of(std::iter::once(row)));
                }
            }
        }
        self.found.singles.push(Single { policy: index, rows, severities });
    }

    fn window(&mut self, index: usize, policy: &Policy, window: &Window) {
        let waits = window.rule.is_deferred();
        if waits {
            self.clocks();
            // Any activity can be the one by which something is decided.
            if self.found.clocks.last().is_none_or(|&clock| clock == i64::MIN) {
                return;
            }
            let key = keys::own(WAITING, "");
            self.found.keys.push(StateKey { policy: index as u32, key });
        }
        let start = self.found.parts.len();
        match window.lanes.as_slice() {
            [lane] => {
                let rows = self.lane(policy, window, lane);
                self.part(index, window, lane.list, rows, waits);
            }
            lanes => self.lanes(index, policy, window, lanes, waits),
        }
        let parts = start..self.found.parts.len();
        if waits || !parts.is_empty() {
            self.found.works.push(Work { policy: index, parts });
        }
    }

    /// The activities of a lane; what they stand for stands in `roles`.
    fn lane(&mut self, policy: &Policy, window: &Window, lane: &crate::settings::Lane) -> Rows {
        let common = policy.when.as_ref().map(|when| self.evaluation.rows(when));
        let mut all: Option<Rows> = None;
        for part in &lane.parts {
            let mut rows = match (&part.when, &common) {
                (Some(when), Some(common)) => {
                    let mut rows = self.evaluation.rows(when);
                    rows.and(common);
                    rows
                }
                (Some(when), None) => self.evaluation.rows(when),
                (None, Some(common)) => common.clone(),
                (None, None) => Rows::all(self.batch.len()),
            };
            if !rows.is_empty() {
                rows.and(self.credible());
            }
            if (part.steps, part.nots) != (0, 0) {
                self.roles.resize(self.batch.len(), Role::default());
                for row in rows.iter() {
                    if let Some(role) = self.roles.get_mut(row) {
                        role.steps |= part.steps;
                        role.nots |= part.nots;
                    }
                }
            }
            match &mut all {
                None => all = Some(rows),
                Some(all) => all.or(&rows),
            }
        }
        let all = all.unwrap_or_else(|| Rows::none(self.batch.len()));
        if window.rule.graded && !all.is_empty() {
            self.roles.resize(self.batch.len(), Role::default());
            let graded = self.evaluation.graded(&policy.severities);
            for row in all.iter() {
                if let Some(role) = self.roles.get_mut(row) {
                    role.severity = grade(graded.of(std::iter::once(row)));
                }
            }
        }
        all
    }

    fn credible(&mut self) -> &Rows {
        let (places, batch) = (self.places, self.batch);
        self.credible.get_or_insert_with(|| {
            Rows::all(batch.len()).filter(|row| places.has_credible_time(row))
        })
    }

    /// Parts the activities of a policy with one lane.
    fn part(&mut self, index: usize, window: &Window, list: usize, rows: Rows, waits: bool) {
        if rows.is_empty() {
            return;
        }
        let Self { evaluation, parting, lists, batch, roles, columns, found, .. } = self;
        let parting = parting.get_or_insert_with(|| Parting::new(lists, evaluation, batch));
        let mut column = window.value.and_then(|source| {
            let measured = match window.rule.measure {
                Measure::Distinct(_) => Measured::Distinct,
                Measure::Sum(..) => Measured::Sums,
                _ => Measured::Quantities,
            };
            let same = |column: &Column| column.source == source && column.measured == measured;
            let place = columns.iter().position(same).unwrap_or_else(|| {
                let rows = vec![Known::Nothing; batch.len()];
                columns.push(Column { source, measured, rows });
                columns.len() - 1
            });
            Some((columns.get_mut(place)?, evaluation.cells(source)))
        });
        let has_roles = window.rule.has_roles();
        let items = rows.iter().filter_map(|row| {
            // First, since no role may stay behind for the next policy.
            let role = match has_roles {
                true => roles.get_mut(row).map(std::mem::take).unwrap_or_default(),
                false => Role::default(),
            };
            let value = match &mut column {
                None => 0,
                Some((column, cells)) => column.value(*cells, batch, row)?,
            };
            Some(Item { row: row as u32, role, value })
        });
        let Found { parts, items: all, keys, .. } = found;
        parting.part(list, items, all, |items, key| {
            let own = if waits { key.clone() } else { String::new() };
            parts.push(Part { items, lane: 0, key: own });
            keys.push(StateKey { policy: index as u32, key });
        });
    }

    /// Parts the activities of a policy whose steps have fields of their own, and joins what has the
    /// same key.
    fn lanes(
        &mut self,
        index: usize,
        policy: &Policy,
        window: &Window,
        lanes: &[crate::settings::Lane],
        waits: bool,
    ) {
        let mut joined: BTreeMap<String, (usize, Vec<Item>)> = BTreeMap::new();
        for (number, lane) in lanes.iter().enumerate() {
            let rows = self.lane(policy, window, lane);
            let Self { evaluation, parting, lists, batch, roles, .. } = self;
            let parting = parting.get_or_insert_with(|| Parting::new(lists, evaluation, batch));
            let items = rows.iter().map(|row| {
                let role = roles.get_mut(row).map(std::mem::take).unwrap_or_default();
                Item { row: row as u32, role, value: 0 }
            });
            let mut list = Vec::new();
            let mut parts = Vec::new();
            parting.part(lane.list, items, &mut list, |range, key| parts.push((range, key)));
            for (range, key) in parts {
                let items = list.get(range).unwrap_or_default();
                let (first, all) = joined.entry(key).or_insert_with(|| (number, Vec::new()));
                if all.first().map(|item| item.row) > items.first().map(|item| item.row) {
                    *first = number;
                }
                all.extend_from_slice(items);
                all.sort_by_key(|item| item.row);
            }
        }
        for (key, (lane, items)) in joined {
            let start = self.found.items.len();
            for item in items {
                match self.found.items.get_mut(start..).and_then(<[Item]>::last_mut) {
                    // It came by two lanes, with the same values.
                    Some(last) if last.row == item.row => {
                        last.role.steps |= item.role.steps;
                        last.role.nots |= item.role.nots;
                    }
                    _ => self.found.items.push(item),
                }
            }
            let own = if waits { key.clone() } else { String::new() };
            let items = start..self.found.items.len();
            self.found.parts.push(Part { items, lane, key: own });
            self.found.keys.push(StateKey { policy: index as u32, key });
        }
    }

    /// Finds out how far time has come, once.
    fn clocks(&mut self) {
        if !self.found.clocks.is_empty() {
            return;
        }
        let received = self.batch.integers("received").unwrap_or_default();
        let mut newest = i64::MIN;
        for row in 0..self.batch.len() {
            if self.places.has_credible_time(row) {
                let received = received.get(row).copied().filter(|&time| time != ABSENT_INTEGER);
                let time = self.places.time(row);
                newest = newest.max(received.map_or(time, |received| time.min(received)));
            }
            self.found.clocks.push(newest);
        }
    }
}

fn grade(severity: Option<Severity>) -> u8 {
    let place = severity.and_then(|severity| Severity::ALL.iter().position(|one| *one == severity));
    place.map_or(0, |place| place as u8 + 1)
}

/// The severity that a number stands for.
pub(crate) fn severity(grade: u8) -> Option<Severity> {
    usize::from(grade).checked_sub(1).and_then(|place| Severity::ALL.get(place).copied())
}

impl Column {
    /// The value of a row, if it has one that counts.
    #[inline]
    fn value(&mut self, cells: Cells<'_>, batch: &Batch, row: usize) -> Option<u64> {
        let known = self.rows.get_mut(row)?;
        if let Known::Nothing = known {
            let value = match self.measured {
                Measured::Distinct => match cells.cell(batch, row) {
                    Cell::Absent => None,
                    cell => Some(keys::fingerprint(batch, cell)),
                },
                // A sum must only grow by one more activity.
                Measured::Sums => quantity(cells, batch, row)
                    .filter(|quantity| *quantity >= 0)
                    .map(i64::cast_unsigned),
                Measured::Quantities => quantity(cells, batch, row).map(i64::cast_unsigned),
            };
            *known = value.map_or(Known::Missing, Known::Value);
        }
        match *known {
            Known::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// The quantity of a row in thousandths.
fn quantity(cells: Cells<'_>, batch: &Batch, row: usize) -> Option<i64> {
    match cells {
        Cells::Number(values) => {
            values.get(row).copied().filter(|value| value.is_finite()).map(thousandths)
        }
        cells => match cells.cell(batch, row) {
            Cell::Absent => None,
            Cell::Integer(value) => Some(value.saturating_mul(1000)),
            Cell::Text(id) => read(batch.texts.get(id).trim()),
        },
    }
}

fn read(text: &str) -> Option<i64> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(value.saturating_mul(1000));
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite()).map(thousandths)
}
