//! What must be there for a policy to match at all.
//!
//! Most policies match nothing in most batches. So each has a guard: rows of which at least one must hold
//! for an activity, else the policy does not hold for it. They are the rarest that its rows
//! offer, such as `{field: fields.eventName, is: DeleteDetector}`, and are answered for all policies at
//! once by looking up the distinct texts of a column.
//!
//! It does not look at batches: `evaluate` does.

use std::cell::OnceCell;

use crate::fields::Field;
use crate::plan::{Interned, Node, NodeId, Plan, Source};
use crate::predicate::{Predicate, Test};
use crate::substrings;

/// A guard of more rows than this is none.
const MOST: usize = 64;
/// What a row costs that can only be asked whether its field is there.
const WEAK: u32 = 1 << 20;

/// A guard that so many policies have will hold for many activities, so what comes next will be asked
/// of as many.
const BROAD: u32 = 16;

/// The guard of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// It may hold wherever.
    None,
    /// It holds only where this row does.
    Row(NodeId),
    /// It holds only where one of these rows does.
    Any(Vec<NodeId>),
    /// The guard of this node, which is part of it.
    Of(NodeId),
}

impl Plan {
    /// Finds the guards of all nodes, when all policies have been read.
    pub(crate) fn seal(&mut self) {
        let of = |is: fn(&Test) -> bool| by_field(&self.predicates, self.sources.len(), is);
        self.equal = of(|test| matches!(test, Test::AnyOf(_)));
        self.substring = of(substrings::fits);
        self.equality = self.sources.iter().map(|_| OnceCell::new()).collect();
        self.substrings = self.sources.iter().map(|_| OnceCell::new()).collect();
        let mut guards: Vec<(Guard, u32)> = Vec::with_capacity(self.nodes.len());
        // Parts come before what they are part of.
        for (index, node) in self.nodes.iter().enumerate() {
            let guard = match node {
                Node::Row(predicate) => self.of_row(index, *predicate),
                Node::All(parts) => rarest(&guards, parts),
                Node::Any(parts) => any(&guards, parts),
                Node::Object(inner) => rarest(&guards, std::slice::from_ref(inner)),
                Node::Always { holds: false, .. } => (Guard::Any(Vec::new()), 0),
                Node::Always { .. } | Node::Not(_) => (Guard::None, u32::MAX),
            };
            guards.push(guard);
        }
        self.guards = guards.into_iter().map(|(guard, _)| guard).collect();
        self.guarding = vec![false; self.own.len()];
        for root in std::mem::take(&mut self.roots) {
            let mut rows: Vec<NodeId> = self.guard(root).unwrap_or_default().to_vec();
            let broad =
                |row: &NodeId| self.uses.get(row.0 as usize).is_some_and(|&uses| uses >= BROAD);
            if rows.is_empty() || rows.iter().any(broad) {
                self.own_rows(root, &mut rows);
            }
            let predicates = rows.into_iter().filter_map(|row| self.asked(row));
            let sources: Vec<Source> = predicates.map(|predicate| predicate.source).collect();
            for source in sources {
                let number = self.own.iter().position(|own| *own == source);
                if let Some(slot) = number.and_then(|number| self.guarding.get_mut(number)) {
                    *slot = true;
                }
            }
        }
    }

    /// Adds the rows of a policy that ask an app's own field.
    fn own_rows(&self, node: NodeId, rows: &mut Vec<NodeId>) {
        match self.nodes.get(node.0) {
            Some(Node::Row(index)) => {
                let source = self.predicates.get(*index).map(|predicate| predicate.source);
                let field = source.and_then(|source| self.field(source));
                if matches!(field, Some(Field::OfApp { .. })) {
                    rows.push(node);
                }
            }
            Some(Node::All(parts) | Node::Any(parts)) => {
                parts.iter().for_each(|part| self.own_rows(*part, rows));
            }
            Some(Node::Not(inner)) => self.own_rows(*inner, rows),
            Some(Node::Object(_) | Node::Always { .. }) | None => {}
        }
    }

    /// The predicate of a row.
    pub(crate) fn asked(&self, row: NodeId) -> Option<&Predicate> {
        match self.nodes.get(row.0)? {
            Node::Row(predicate) => self.predicates.get(*predicate),
            _ => None,
        }
    }

    /// A row is its own guard, unless it holds where there is no value. It costs the more the more
    /// often it is asked: what many policies ask is common. Of equals, the one on the field that most
    /// guards are about is taken, so that few columns need be looked at.
    fn of_row(&self, place: usize, index: u32) -> (Guard, u32) {
        let none = (Guard::None, u32::MAX);
        let Some(predicate) = self.predicates.get(index) else { return none };
        if predicate.negated || predicate.missing {
            return none;
        }
        let uses = self.uses.get(place).copied().unwrap_or(1);
        let often = (uses.max(1).ilog2() + 1) * 64;
        let row = Guard::Row(NodeId(place as u32));
        match (&predicate.test, self.field(predicate.source)) {
            (_, Some(Field::Anything) | None) => none,
            (Test::AnyOf(_), _) => {
                let others = self.equal.get(predicate.source.0).map_or(1, Vec::len);
                (row, often - others.max(1).ilog2().min(63))
            }
            _ => (row, WEAK + often),
        }
    }

    /// The rows of which one must hold; `None` where there are none to ask.
    pub(crate) fn guard(&self, node: NodeId) -> Option<&[NodeId]> {
        let mut node = node;
        loop {
            match self.guards.get(node.0 as usize)? {
                Guard::None => return None,
                Guard::Row(row) => return Some(std::slice::from_ref(row)),
                Guard::Any(rows) => return Some(rows),
                // Always a part, so this ends.
                Guard::Of(part) => node = *part,
            }
        }
    }
}

/// The guard of the part that is least often asked.
fn rarest(guards: &[(Guard, u32)], parts: &[NodeId]) -> (Guard, u32) {
    let cost = |part: &NodeId| guards.get(part.0 as usize).map_or(u32::MAX, |(_, cost)| *cost);
    match parts.iter().min_by_key(|part| cost(part)) {
        Some(part) if cost(part) < u32::MAX => (Guard::Of(*part), cost(part)),
        _ => (Guard::None, u32::MAX),
    }
}

/// The guards of all parts together, if each has one.
fn any(guards: &[(Guard, u32)], parts: &[NodeId]) -> (Guard, u32) {
    let mut rows = Vec::new();
    let mut sum = 0_u32;
    for part in parts {
        let mut of = *part;
        loop {
            match guards.get(of.0 as usize) {
                Some((Guard::Row(row), _)) => rows.push(*row),
                Some((Guard::Any(more), _)) => rows.extend(more),
                Some((Guard::Of(part), _)) => {
                    of = *part;
                    continue;
                }
                Some((Guard::None, _)) | None => return (Guard::None, u32::MAX),
            }
            break;
        }
        sum = sum.saturating_add(guards.get(of.0 as usize).map_or(0, |(_, cost)| *cost));
    }
    if rows.len() > MOST {
        return (Guard::None, u32::MAX);
    }
    (Guard::Any(rows), sum.min(u32::MAX - 1))
}

/// The predicates on each field whose test is of a kind.
fn by_field(
    predicates: &Interned<Predicate>,
    sources: usize,
    is: impl Fn(&Test) -> bool,
) -> Vec<Vec<u32>> {
    let mut lists = vec![Vec::new(); sources];
    for (index, predicate) in predicates.iter().enumerate() {
        if is(&predicate.test)
            && let Some(list) = lists.get_mut(predicate.source.0)
        {
            list.push(index as u32);
        }
    }
    lists
}
