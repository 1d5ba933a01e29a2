//! A record of JSON, taken apart in one pass into paths such as `user.id`, and texts.
//!
//! Records of one app look alike: so the paths of a batch are kept once, and are numbers everywhere
//! else. Texts are slices of the record wherever nothing in them is escaped.
//!
//! It gives no meaning to any path; the adapter does. What no path can be given to is kept as it is
//! written, so that nothing is lost.

use std::borrow::Cow;

use casbah_model::table::{Dictionary, same};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::scan::{Broken, Scanner, Value};

/// Number of a path among [`Paths`]; 0 is the empty path, that of the record itself.
pub type PathId = u32;

/// The path of a value that has none: a record that is no object, or an empty key at its top.
const NAMELESS: &str = "record";

/// All paths that were met, each once.
#[derive(Debug)]
pub struct Paths {
    texts: Dictionary,
    /// One a path.
    nodes: Vec<Node>,
    /// The path that was asked for last.
    last: PathId,
    scratch: String,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    parent: PathId,
    /// Length of the key at its end.
    key: usize,
    /// Whether that key is written without escapes.
    plain: bool,
    /// The paths that came after it the last times, and so probably will again.
    next: [PathId; 2],
}

impl Default for Paths {
    fn default() -> Self {
        let (texts, scratch) = (Dictionary::default(), String::new());
        Self { texts, nodes: vec![Node::default()], last: 0, scratch }
    }
}

impl Paths {
    /// How many there are, the empty one included. Their numbers are smaller than this.
    #[expect(clippy::len_without_is_empty, reason = "the empty path is always there")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The text of a path.
    pub fn get(&self, path: PathId) -> &str {
        self.texts.texts().get(path)
    }

    /// The number of a path that is given as text.
    pub fn id(&mut self, path: &str) -> PathId {
        // Where it does not fit any more, memory has long been gone.
        let id = self.texts.intern(path).unwrap_or_default();
        if id as usize == self.nodes.len() {
            self.nodes.push(Node { key: path.len(), plain: is_plain(path), ..Node::default() });
        }
        id
    }

    /// The path of a member of what stands at `parent`.
    #[inline]
    pub fn member(&mut self, parent: PathId, key: &str) -> PathId {
        let guesses = self.nodes.get(self.last as usize).map_or([0; 2], |node| node.next);
        for guess in guesses {
            if guess != 0
                && let Some(node) = self.nodes.get(guess as usize)
                && node.parent == parent
                && node.key == key.len()
                && same(self.texts.texts().get_end(guess, node.key), key.as_bytes())
            {
                self.last = guess;
                return guess;
            }
        }
        self.find(parent, key)
    }

    /// The path of the member that comes next in what stands at `parent`, when it is one of those that
    /// came before in its place. The scanner stands behind its colon then.
    #[inline]
    pub fn expected(&mut self, parent: PathId, scanner: &mut Scanner<'_>) -> Option<PathId> {
        let guesses = self.nodes.get(self.last as usize).map_or([0; 2], |node| node.next);
        for guess in guesses {
            if guess != 0
                && let Some(node) = self.nodes.get(guess as usize)
                && node.parent == parent
                && node.plain
                && scanner.skip_key(self.texts.texts().get_end(guess, node.key))
            {
                self.last = guess;
                return Some(guess);
            }
        }
        None
    }

    fn find(&mut self, parent: PathId, key: &str) -> PathId {
        let mut path = std::mem::take(&mut self.scratch);
        path.clear();
        path.push_str(self.get(parent));
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
        let (before, id) = (self.nodes.len(), self.id(&path));
        self.scratch = path;
        if let Some(node) = self.nodes.get_mut(before) {
            (node.parent, node.key, node.plain) = (parent, key.len(), is_plain(key));
        }
        if let Some(last) = self.nodes.get_mut(self.last as usize) {
            let [before, _] = last.next;
            last.next = [id, before];
        }
        self.last = id;
        id
    }
}

/// Whether a text is written in JSON as it is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
}

/// How records are taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Objects and lists deeper than this are kept as JSON: every level makes paths longer.
    pub deepest: usize,
    /// Whether lists are taken apart, too, by the numbers of their items; else they are kept as JSON,
    /// and empty ones say nothing.
    pub lists: bool,
    /// A member at the top of a record whose own members count as the record's: what every record is
    /// wrapped in. Empty for none.
    pub wrapping: &'static str,
}

/// What a record says: paths, and texts that are not empty. Nulls say nothing and are left out. A
/// path may occur more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// In the order in which they stand in the record.
    pub members: Vec<(PathId, Cow<'a, str>)>,
}

impl<'a> Record<'a> {
    /// Reads the value at the scanner's position. What the record held before is gone.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn read(
        &mut self,
        scanner: &mut Scanner<'a>,
        paths: &mut Paths,
        shape: Shape,
    ) -> Result<(), Broken> {
        self.members.clear();
        paths.last = 0;
        let mut taking = Taking { record: self, scanner, paths, shape };
        match taking.scanner.peek() {
            b'{' => taking.object(0, 0, shape.wrapping),
            _ => taking.value(0, 0),
        }
    }

    /// Reads a text that is one record and nothing else.
    ///
    /// # Errors
    /// In words, when it is no JSON.
    pub fn read_text(
        &mut self,
        text: &'a str,
        paths: &mut Paths,
        shape: Shape,
    ) -> Result<(), String> {
        let mut scanner = Scanner::starting_at(text, 0);
        let read = self.read(&mut scanner, paths, shape).and_then(|()| {
            if scanner.is_done() {
                Ok(())
            } else {
                Err(Broken { at: scanner.at(), expected: "the end" })
            }
        });
        // Lines and columns say more to people than offsets do.
        read.map_err(|broken| match serde_json::from_str::<&RawValue>(text) {
            Ok(_) => broken.to_string(),
            Err(error) => error.to_string(),
        })
    }

    /// Adds a member. What says nothing is left out.
    #[inline]
    pub fn push(&mut self, path: PathId, value: Cow<'a, str>, paths: &mut Paths) {
        if !value.is_empty() {
            let path = if path == 0 { paths.id(NAMELESS) } else { path };
            self.members.push((path, value));
        }
    }
}

/// A record that is being read.
struct Taking<'r, 'a> {
    record: &'r mut Record<'a>,
    scanner: &'r mut Scanner<'a>,
    paths: &'r mut Paths,
    shape: Shape,
}

impl<'a> Taking<'_, 'a> {
    /// The value that comes next and stands at this path.
    fn value(&mut self, path: PathId, depth: usize) -> Result<(), Broken> {
        let byte = self.scanner.peek();
        if depth < self.shape.deepest {
            match byte {
                b'{' => return self.object(path, depth, ""),
                b'[' if self.shape.lists => return self.list(path, depth),
                _ => {}
            }
        }
        let start = self.scanner.at();
        let value = match self.scanner.value()? {
            Value::Null => return Ok(()),
            // Half of a surrogate pair: better escaped than lost.
            Value::Text(text) => {
                text.exact().unwrap_or_else(|| Cow::Borrowed(self.scanner.since(start)))
            }
            Value::Array(list) if !self.shape.lists && is_empty(list) => return Ok(()),
            Value::Array(raw) | Value::Object(raw) | Value::Number(raw) => Cow::Borrowed(raw),
            Value::Flag(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
        };
        self.record.push(path, value, self.paths);
        Ok(())
    }

    fn object(&mut self, path: PathId, depth: usize, wrapping: &'static str) -> Result<(), Broken> {
        let (start, members) = (self.scanner.at(), self.record.members.len());
        self.scanner.enter_object()?;
        let mut first = true;
        while let Some(key) = self.scanner.key(&mut first)? {
            let Some(key) = key.exact() else {
                // No path can be given to that: all of the object is kept as it is.
                self.record.members.truncate(members);
                self.scanner.go_back(start);
                self.scanner.value()?;
                let raw = Cow::Borrowed(self.scanner.since(start));
                self.record.push(path, raw, self.paths);
                return Ok(());
            };
            if !wrapping.is_empty() && key == wrapping && self.scanner.peek() == b'{' {
                self.object(0, 0, "")?;
                continue;
            }
            let place = self.paths.member(path, &key);
            self.value(place, depth + 1)?;
        }
        Ok(())
    }

    fn list(&mut self, path: PathId, depth: usize) -> Result<(), Broken> {
        self.scanner.enter_array()?;
        let (mut first, mut index) = (true, 0_usize);
        while self.scanner.item(&mut first)? {
            let place = self.paths.member(path, &index.to_string());
            self.value(place, depth + 1)?;
            index += 1;
        }
        Ok(())
    }
}

fn is_empty(list: &str) -> bool {
    list.bytes().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(b']')
}

/// The members of an object in their order; `None` when it is none.
pub fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    struct Members<'a>(Vec<(String, &'a RawValue)>);

    struct Collect;

    impl<'de> Visitor<'de> for Collect {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                members.push(member);
            }
            Ok(Members(members))
        }
    }

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Collect)
        }
    }

    if !raw.get().starts_with('{') {
        return None;
    }
    serde_json::from_str::<Members<'_>>(raw.get()).ok().map(|members| members.0)
}

#[cfg(test)]
mod tests;
