//! Which predicates of all policies a text satisfies, among those that ask whether it contains, starts
//! with or ends with one of some texts: one walk over the text instead of one a predicate.
//!
//! It is not a general matcher: patterns and wildcards are asked one by one.

use crate::plan::Interned;
use crate::predicate::{Predicate, Test};
use crate::wanted::{Wanted, lower_into};

/// A predicate with more texts than this has such a structure of its own.
const MOST: usize = 64;
/// With fewer predicates than this, each is asked by itself.
const FEW: usize = 4;
/// Bits of the hash of four bytes.
const BITS: u32 = 14;

/// The predicates on one field.
#[derive(Debug)]
pub(crate) struct Substrings {
    /// Those that ignore case.
    folded: Needles,
    /// Those that do not.
    exact: Needles,
}

/// Where in a text a needle must stand.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Where {
    Anywhere,
    Start,
    End,
}

/// A text that a predicate looks for.
#[derive(Clone, Copy, Debug)]
struct Needle {
    /// First four bytes.
    start: u32,
    /// The predicate, and the place among its texts.
    predicate: u32,
    text: u32,
    wherever: Where,
}

/// Texts by their first four bytes.
#[derive(Debug, Default)]
struct Needles {
    /// Which hashes of four bytes occur, a bit each; empty where there are no needles.
    seen: Vec<u64>,
    /// Sorted by first four bytes.
    long: Vec<Needle>,
    /// Those of fewer bytes.
    short: Vec<Needle>,
}

/// What is looked for by a test, and where.
fn wanted(test: &Test) -> Option<(&Wanted, Where)> {
    match test {
        Test::Contains(wanted) => Some((wanted, Where::Anywhere)),
        Test::Starts(wanted) => Some((wanted, Where::Start)),
        Test::Ends(wanted) => Some((wanted, Where::End)),
        _ => None,
    }
}

/// Whether a predicate can be answered together with others of its kind.
pub(crate) fn fits(test: &Test) -> bool {
    wanted(test).is_some_and(|(wanted, _)| wanted.texts().len() <= MOST)
}

fn hash(start: u32) -> usize {
    (start.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
}

impl Substrings {
    /// Takes in the predicates of these places, all of which must [fit](fits); `None` where they are
    /// too few to be worth it.
    pub(crate) fn new(predicates: &Interned<Predicate>, places: &[u32]) -> Option<Self> {
        if places.len() < FEW {
            return None;
        }
        let mut substrings = Self { folded: Needles::default(), exact: Needles::default() };
        for &predicate in places {
            let test = predicates.get(predicate).map(|predicate| &predicate.test);
            let Some((wanted, wherever)) = test.and_then(wanted) else { continue };
            let needles = match wanted.ignores_case() {
                true => &mut substrings.folded,
                false => &mut substrings.exact,
            };
            for (text, needle) in wanted.texts().iter().enumerate() {
                needles.add(needle, Needle { start: 0, predicate, text: text as u32, wherever });
            }
        }
        for needles in [&mut substrings.folded, &mut substrings.exact] {
            needles.long.sort_unstable_by_key(|needle| needle.start);
        }
        Some(substrings)
    }

    /// Names every predicate that the text satisfies, some of them several times.
    pub(crate) fn ask(
        &self,
        predicates: &Interned<Predicate>,
        text: &str,
        buffer: &mut String,
        mut found: impl FnMut(u32),
    ) {
        self.exact.ask(predicates, text, &mut found);
        if !self.folded.seen.is_empty() {
            lower_into(text, buffer);
            self.folded.ask(predicates, buffer, &mut found);
        }
    }
}

impl Needles {
    fn add(&mut self, text: &str, needle: Needle) {
        if self.seen.is_empty() {
            self.seen = vec![0; 1 << (BITS - 6)];
        }
        let Some(&first) = text.as_bytes().first_chunk::<4>() else {
            self.short.push(needle);
            return;
        };
        let start = u32::from_le_bytes(first);
        if let Some(word) = self.seen.get_mut(hash(start) / 64) {
            *word |= 1 << (hash(start) % 64);
        }
        self.long.push(Needle { start, ..needle });
    }

    fn ask(&self, predicates: &Interned<Predicate>, text: &str, found: &mut impl FnMut(u32)) {
        let bytes = text.as_bytes();
        let needle_text = |needle: &Needle| -> &[u8] {
            let test = predicates.get(needle.predicate).map(|predicate| &predicate.test);
            let texts = test.and_then(wanted).map(|(wanted, _)| wanted.texts());
            texts.and_then(|texts| texts.get(needle.text as usize)).map_or(&[], String::as_bytes)
        };
        for needle in &self.short {
            let short = needle_text(needle);
            let holds = match needle.wherever {
                Where::Start => bytes.starts_with(short),
                Where::End => bytes.ends_with(short),
                // Shorter than four bytes, and never empty.
                Where::Anywhere => bytes.windows(short.len().max(1)).any(|window| window == short),
            };
            if holds {
                found(needle.predicate);
            }
        }
        if self.long.is_empty() {
            return;
        }
        for (at, window) in bytes.windows(4).enumerate() {
            let &[a, b, c, d] = window else { continue };
            let start = u32::from_le_bytes([a, b, c, d]);
            let word = self.seen.get(hash(start) / 64).copied().unwrap_or(0);
            if word >> (hash(start) % 64) & 1 == 0 {
                continue;
            }
            let first = self.long.partition_point(|needle| needle.start < start);
            let rest = bytes.get(at..).unwrap_or_default();
            let run = self.long.iter().skip(first).take_while(|needle| needle.start == start);
            for needle in run {
                let long = needle_text(needle);
                let holds = match needle.wherever {
                    Where::Anywhere => rest.starts_with(long),
                    Where::Start => at == 0 && rest.starts_with(long),
                    Where::End => rest == long,
                };
                if holds {
                    found(needle.predicate);
                }
            }
        }
    }
}
