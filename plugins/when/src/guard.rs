//! What must be there for a policy to match at all.
//!
//! Most policies match nothing in most batches. So each has a guard: predicates of which at least one
//! must hold for some activity, else the policy holds for none. They are the rarest that its rows
//! offer, such as `{field: fields.eventName, is: DeleteDetector}`, and are answered for all policies at
//! once by looking up the distinct texts of a column.
//!
//! It does not look at batches: `evaluate` does.

use std::cell::OnceCell;

use crate::fields::Field;
use crate::plan::{Interned, Node, NodeId, Plan};
use crate::predicate::{Predicate, Test};
use crate::substrings;

/// A guard with more predicates than this is none.
const MOST: usize = 64;
/// What a predicate costs that can only be asked whether its field is there.
const WEAK: u32 = 1 << 20;

/// The guard of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// It may hold wherever.
    None,
    /// It holds only where this predicate does.
    Row(u32),
    /// It holds only where one of these predicates does.
    Any(Vec<u32>),
    /// The guard of this node, which is part of it.
    Of(NodeId),
}

impl Plan {
    /// Finds the guards of all nodes, when all policies have been read.
    pub(crate) fn seal(&mut self) {
        let mut guards: Vec<(Guard, u32)> = Vec::with_capacity(self.nodes.len());
        // Parts come before what they are part of.
        for (index, node) in self.nodes.iter().enumerate() {
            let uses = self.uses.get(index).copied().unwrap_or(1);
            let guard = match node {
                Node::Row(predicate) => self.of_row(*predicate, uses),
                Node::All(parts) => rarest(&guards, parts),
                Node::Any(parts) => any(&guards, parts),
                Node::Object(inner) => rarest(&guards, std::slice::from_ref(inner)),
                Node::Always { holds: false, .. } => (Guard::Any(Vec::new()), 0),
                Node::Always { .. } | Node::Not(_) => (Guard::None, u32::MAX),
            };
            guards.push(guard);
        }
        self.guards = guards.into_iter().map(|(guard, _)| guard).collect();
        let of = |is: fn(&Test) -> bool| by_field(&self.predicates, self.sources.len(), is);
        self.equal = of(|test| matches!(test, Test::AnyOf(_)));
        self.substring = of(substrings::fits);
        self.equality = self.sources.iter().map(|_| OnceCell::new()).collect();
        self.substrings = self.sources.iter().map(|_| OnceCell::new()).collect();
    }

    fn of_row(&self, index: u32, uses: u32) -> (Guard, u32) {
        let none = (Guard::None, u32::MAX);
        let Some(predicate) = self.predicates.get(index) else { return none };
        if predicate.negated || predicate.missing {
            return none;
        }
        match (&predicate.test, self.field(predicate.source)) {
            (_, Some(Field::Anything) | None) => none,
            (Test::AnyOf(_), _) => (Guard::Row(index), uses.min(WEAK)),
            _ => (Guard::Row(index), WEAK + uses.min(WEAK)),
        }
    }

    /// The predicates of which one must hold; `None` where there are none to ask.
    pub(crate) fn guard(&self, node: NodeId) -> Option<&[u32]> {
        let mut node = node;
        loop {
            match self.guards.get(node.0 as usize)? {
                Guard::None => return None,
                Guard::Row(predicate) => return Some(std::slice::from_ref(predicate)),
                Guard::Any(predicates) => return Some(predicates),
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
    let mut predicates = Vec::new();
    let mut sum = 0_u32;
    for part in parts {
        let mut of = *part;
        loop {
            match guards.get(of.0 as usize) {
                Some((Guard::Row(predicate), _)) => predicates.push(*predicate),
                Some((Guard::Any(more), _)) => predicates.extend(more),
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
    if predicates.len() > MOST {
        return (Guard::None, u32::MAX);
    }
    (Guard::Any(predicates), sum.min(u32::MAX - 1))
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
