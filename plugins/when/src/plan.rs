//! What all policies ask, compiled once: fields, predicates and groups of them that several policies
//! share are held once, and the cheap and common questions of a policy come first.
//!
//! It is not where settings are checked: `settings` fills it.

use std::cell::OnceCell;
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use casbah_model::Batch;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::equality::Equality;
use crate::fields::{Cells, Field};
use crate::guard::Guard;
use crate::predicate::{Predicate, Test};
use crate::substrings::Substrings;

/// What the policies of a detector ask and name: see [`settings::compile`](crate::settings::compile).
#[derive(Debug, Default)]
pub struct Plan {
    /// Fields that any policy names.
    pub(crate) sources: Vec<Arc<Field>>,
    /// Places of fields by name.
    names: HashMap<String, usize>,
    /// Places of columns of one object, by name.
    names_in_object: HashMap<String, usize>,
    /// Predicates that any policy asks.
    pub(crate) predicates: Interned<Predicate>,
    /// Predicates and groups of them.
    pub(crate) nodes: Interned<Node>,
    /// How many times each node is asked.
    pub(crate) uses: Vec<u32>,
    /// How late each node should be asked.
    ranks: Vec<u32>,
    /// What must be there for each node to hold.
    pub(crate) guards: Vec<Guard>,
    /// Predicates by field that ask whether a text is one of some.
    pub(crate) equal: Vec<Vec<u32>>,
    /// The same, ready to be looked up once they were needed.
    pub(crate) equality: Vec<OnceCell<Equality>>,
    /// Predicates by field that ask for parts of a text.
    pub(crate) substring: Vec<Vec<u32>>,
    /// The same, ready to be found once they were needed; `None` where they are few.
    pub(crate) substrings: Vec<OnceCell<Option<Substrings>>>,
    /// Numbers of an app's own fields by name, without `fields.`.
    pub(crate) own_numbers: HashMap<String, u32>,
    /// Fields by that number.
    pub(crate) own: Vec<Source>,
    /// Whether the field of that number is gathered from the start.
    pub(crate) guarding: Vec<bool>,
    /// What policies mean, until their guards are known.
    pub(crate) roots: Vec<NodeId>,
}

/// A field that a policy names, by its place in the [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source(pub(crate) usize);

/// Which activities a policy means, compiled into a [`Plan`]. Equal ones of different policies are
/// equal here, however they were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct When(pub(crate) NodeId);

/// Place of a node in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// A predicate, or several joined.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// The same answer for every activity, or for every object.
    Always {
        /// The answer.
        holds: bool,
        /// Whether objects are asked.
        of_object: bool,
    },
    /// Index of a predicate.
    Row(u32),
    /// All hold; the cheapest come first.
    All(Vec<NodeId>),
    /// At least one holds.
    Any(Vec<NodeId>),
    /// It does not hold.
    Not(NodeId),
    /// It holds for one of the objects.
    Object(NodeId),
}

impl Plan {
    /// The field of that name; its values are at hand in every [`Evaluation`](crate::Evaluation).
    ///
    /// # Errors
    /// A sentence with a hint, where there is no such field.
    pub fn source(&mut self, name: &str) -> Result<Source, String> {
        if let Some(place) = self.names.get(name) {
            return Ok(Source(*place));
        }
        let field = Field::find(name)?;
        let source = Source(self.sources.len());
        if let Some(own) = field.of_app() {
            self.own_numbers.insert(own.to_owned(), self.own.len() as u32);
            self.own.push(source);
        }
        self.sources.push(Arc::new(field));
        self.names.insert(name.to_owned(), source.0);
        Ok(source)
    }

    /// The column of that name of one object.
    pub(crate) fn source_in_object(&mut self, name: &str) -> Result<Source, String> {
        if let Some(place) = self.names_in_object.get(name) {
            return Ok(Source(*place));
        }
        self.sources.push(Arc::new(Field::find_in_object(name)?));
        self.names_in_object.insert(name.to_owned(), self.sources.len() - 1);
        Ok(Source(self.sources.len() - 1))
    }

    /// A field, as named.
    pub fn field(&self, source: Source) -> Option<&Field> {
        self.sources.get(source.0).map(Arc::as_ref)
    }

    /// A field, to be held while the plan grows.
    pub(crate) fn held(&self, source: Source) -> Option<Arc<Field>> {
        self.sources.get(source.0).cloned()
    }

    /// The name of a field.
    pub fn name(&self, source: Source) -> &str {
        self.field(source).map(Field::name).unwrap_or_default()
    }

    /// The values of a field in a batch.
    pub fn cells<'a>(&'a self, source: Source, batch: &'a Batch) -> Cells<'a> {
        self.field(source).map_or(Cells::Absent, |field| Cells::of(field, batch))
    }

    /// Fields with their values in the row of a batch: the group of a finding.
    pub fn group(&self, sources: &[Source], batch: &Batch, row: usize) -> Vec<(String, String)> {
        let value = |&source: &Source| {
            let cell = self.cells(source, batch).cell(batch, row);
            (self.name(source).to_owned(), cell.text(batch))
        };
        sources.iter().map(value).collect()
    }

    /// What a policy means.
    pub(crate) fn when(&mut self, node: NodeId) -> When {
        self.roots.push(node);
        When(node)
    }

    /// The predicates on a field that ask whether a text is one of some.
    pub(crate) fn equality(&self, source: Source) -> Option<&Equality> {
        let places = self.equal.get(source.0).filter(|places| !places.is_empty())?;
        let slot = self.equality.get(source.0)?;
        Some(slot.get_or_init(|| Equality::new(&self.predicates, places)))
    }

    /// The predicates on a field that ask for parts of a text, where there are several.
    pub(crate) fn substrings(&self, source: Source) -> Option<&Substrings> {
        let places = self.substring.get(source.0)?;
        let slot = self.substrings.get(source.0)?;
        slot.get_or_init(|| Substrings::new(&self.predicates, places)).as_ref()
    }

    /// A predicate as a node, shared with its equals.
    pub(crate) fn row(&mut self, predicate: Predicate) -> NodeId {
        let index = self.predicates.intern(predicate);
        self.node(Node::Row(index))
    }

    /// The node that asks whether there is a value.
    pub(crate) fn present(&mut self, source: Source) -> NodeId {
        self.row(Predicate { source, test: Test::Present, negated: false, missing: false })
    }

    /// Joins with *and*, the cheapest first: the answer is the same, since predicates only look.
    pub(crate) fn all(&mut self, mut parts: Vec<NodeId>, of_object: bool) -> NodeId {
        parts.sort_by_key(|part| (self.rank(*part), *part));
        parts.dedup();
        match parts.as_slice() {
            [] => self.node(Node::Always { holds: true, of_object }),
            [part] => *part,
            _ => self.node(Node::All(parts)),
        }
    }

    /// Joins with *or*, the cheapest first.
    pub(crate) fn any(&mut self, mut parts: Vec<NodeId>, of_object: bool) -> NodeId {
        parts.sort_by_key(|part| (self.rank(*part), *part));
        parts.dedup();
        match parts.as_slice() {
            [] => self.node(Node::Always { holds: false, of_object }),
            [part] => *part,
            _ => self.node(Node::Any(parts)),
        }
    }

    /// A node, shared with its equals.
    pub(crate) fn node(&mut self, node: Node) -> NodeId {
        let rank = match &node {
            Node::Always { .. } => 0,
            Node::Row(index) => self.predicates.get(*index).map_or(0, |predicate| {
                let field = self.field(predicate.source).map_or(0, Field::rank);
                field + predicate.test.rank()
            }),
            Node::Not(inner) => self.rank(*inner).saturating_add(1),
            Node::Object(inner) => self.rank(*inner).saturating_add(20),
            Node::All(parts) | Node::Any(parts) => parts
                .iter()
                .fold(1, |sum: u32, part| sum.saturating_add(self.rank(*part)).saturating_add(1)),
        };
        let id = self.nodes.intern(node);
        if id as usize == self.uses.len() {
            self.uses.push(0);
            self.ranks.push(rank);
        }
        if let Some(uses) = self.uses.get_mut(id as usize) {
            *uses += 1;
        }
        NodeId(id)
    }

    fn rank(&self, node: NodeId) -> u32 {
        self.ranks.get(node.0 as usize).copied().unwrap_or(0)
    }
}

/// Things that are held once, by place.
pub(crate) struct Interned<T> {
    items: Vec<T>,
    hashes: Vec<u64>,
    places: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            hashes: Vec::new(),
            places: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

impl<T> Interned<T> {
    /// Number of things.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The thing at a place.
    pub(crate) fn get(&self, place: u32) -> Option<&T> {
        self.items.get(place as usize)
    }

    /// All things, in the order in which they came.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }
}

impl<T: Eq + Hash> Interned<T> {
    /// The place of a thing, which is that of its equal if there is one.
    fn intern(&mut self, item: T) -> u32 {
        let hash = self.hasher.hash_one(&item);
        let found = self.places.find(hash, |&place| self.items.get(place as usize) == Some(&item));
        if let Some(place) = found {
            return *place;
        }
        let place = self.items.len() as u32;
        self.items.push(item);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.places
            .insert_unique(hash, place, |&place| hashes.get(place as usize).copied().unwrap_or(0));
        place
    }
}
