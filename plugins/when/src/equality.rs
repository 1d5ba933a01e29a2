//! Which predicates of all policies a text satisfies, among those that ask whether it is one of some
//! texts: one look-up instead of one comparison a predicate.

use hashbrown::HashMap;

use crate::plan::Interned;
use crate::predicate::{Predicate, Test};
use crate::wanted::{Wanted, lower_into};

/// A predicate with more texts than this looks them up itself: putting them all in here would take
/// longer.
const MOST: usize = 64;
/// With so few texts there is nothing to look up.
const FEW: usize = 4;

/// The predicates on one field.
#[derive(Debug, Default)]
pub(crate) struct Equality {
    /// By texts in lower case: those that ignore case.
    folded: Table,
    /// By texts: those that do not.
    exact: Table,
    /// Those that are asked one by one.
    alone: Vec<u32>,
}

/// Predicates by text.
#[derive(Debug, Default)]
struct Table {
    by_text: HashMap<String, Vec<u32>>,
    /// Lengths of texts that are at hand, a bit each; the last one stands for all longer ones.
    lengths: u64,
}

fn length(text: &str) -> u64 {
    1 << text.len().min(63)
}

impl Table {
    fn add(&mut self, predicate: u32, wanted: &Wanted) {
        for text in wanted.texts() {
            self.lengths |= length(text);
            self.by_text.entry_ref(text.as_str()).or_default().push(predicate);
        }
    }

    fn get(&self, text: &str) -> &[u32] {
        if self.lengths & length(text) == 0 {
            return &[];
        }
        self.by_text.get(text).map_or(&[], Vec::as_slice)
    }
}

impl Equality {
    /// Takes in the predicates of these places.
    pub(crate) fn new(predicates: &Interned<Predicate>, places: &[u32]) -> Self {
        let wanted = |place: u32| match predicates.get(place).map(|predicate| &predicate.test) {
            Some(Test::AnyOf(wanted)) => Some(wanted),
            _ => None,
        };
        let all: usize = places
            .iter()
            .filter_map(|&place| wanted(place))
            .map(|wanted| wanted.texts().len())
            .sum();
        let mut equality = Self::default();
        for &place in places {
            match wanted(place) {
                Some(wanted) if all > FEW && wanted.texts().len() <= MOST => {
                    match wanted.ignores_case() {
                        true => equality.folded.add(place, wanted),
                        false => equality.exact.add(place, wanted),
                    }
                }
                _ => equality.alone.push(place),
            }
        }
        equality
    }

    /// Names every predicate that the text satisfies, once each.
    pub(crate) fn ask(
        &self,
        predicates: &Interned<Predicate>,
        text: &str,
        buffer: &mut String,
        mut found: impl FnMut(u32),
    ) {
        for &place in &self.alone {
            let predicate = predicates.get(place);
            if predicate.is_some_and(|predicate| predicate.test.text(text, buffer)) {
                found(place);
            }
        }
        self.exact.get(text).iter().for_each(|&place| found(place));
        // An ASCII text is as long as its lower case, so most need not be put into it.
        if text.is_ascii() && self.folded.lengths & length(text) == 0 {
            return;
        }
        lower_into(text, buffer);
        self.folded.get(buffer).iter().for_each(|&place| found(place));
    }
}
