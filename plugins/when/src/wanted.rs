//! Texts that a row looks for, and how one text is compared with all of them.
//!
//! A row may list very many (a named list of addresses or domains): then nothing here walks the list.

use std::cell::OnceCell;
use std::hash::{Hash, Hasher};

/// With more texts than this, they are looked up and not walked.
const MANY: usize = 8;

/// Texts to compare with, sorted, each once; in lower case already where case is ignored.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    texts: Vec<String>,
    ignore_case: bool,
    /// Made when first needed: settings are read anew for every batch, and most rows of most
    /// policies are never asked.
    lengths: OnceCell<Vec<usize>>,
    needles: OnceCell<Needles>,
}

impl PartialEq for Wanted {
    fn eq(&self, other: &Self) -> bool {
        self.ignore_case == other.ignore_case && self.texts == other.texts
    }
}

impl Eq for Wanted {}

impl Hash for Wanted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts.hash(state);
        self.ignore_case.hash(state);
    }
}

impl Wanted {
    /// Takes texts as written.
    pub(crate) fn new(texts: impl IntoIterator<Item = String>, ignore_case: bool) -> Self {
        let mut texts: Vec<String> = texts.into_iter().collect();
        if ignore_case {
            for text in &mut texts {
                if text.is_ascii() {
                    text.make_ascii_lowercase();
                } else {
                    *text = lower(text);
                }
            }
        }
        texts.sort_unstable();
        texts.dedup();
        Self { texts, ignore_case, lengths: OnceCell::new(), needles: OnceCell::new() }
    }

    /// The texts, sorted.
    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether case makes no difference.
    pub(crate) fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    fn text<'t>(&self, text: &'t str, buffer: &'t mut String) -> &'t str {
        if !self.ignore_case {
            return text;
        }
        lower_into(text, buffer);
        buffer
    }

    /// Whether the text is one of these.
    pub(crate) fn equals(&self, text: &str, buffer: &mut String) -> bool {
        match self.texts.as_slice() {
            // Other characters may have an ASCII lower case, but an ASCII text is its own.
            [wanted] if self.ignore_case && text.is_ascii() => text.eq_ignore_ascii_case(wanted),
            [wanted] if !self.ignore_case => text == wanted,
            _ => self.holds(self.text(text, buffer)),
        }
    }

    fn holds(&self, text: &str) -> bool {
        self.texts.binary_search_by(|wanted| wanted.as_str().cmp(text)).is_ok()
    }

    /// Whether an element of a list separated by commas is one of these.
    pub(crate) fn element(&self, text: &str, buffer: &mut String) -> bool {
        text.split(',').any(|element| self.equals(element.trim(), buffer))
    }

    /// Whether the text contains one of these.
    pub(crate) fn within(&self, text: &str, buffer: &mut String) -> bool {
        let text = self.text(text, buffer);
        if self.texts.len() <= MANY {
            return self.texts.iter().any(|wanted| text.contains(wanted.as_str()));
        }
        self.needles.get_or_init(|| Needles::new(&self.texts)).any_in(&self.texts, text)
    }

    /// Whether the text contains all of these.
    pub(crate) fn all_within(&self, text: &str, buffer: &mut String) -> bool {
        let text = self.text(text, buffer);
        self.texts.iter().all(|wanted| text.contains(wanted.as_str()))
    }

    /// Whether the text starts with one of these.
    pub(crate) fn starts(&self, text: &str, buffer: &mut String) -> bool {
        let text = self.text(text, buffer);
        if self.texts.len() <= MANY {
            return self.texts.iter().any(|wanted| text.starts_with(wanted.as_str()));
        }
        self.lengths().iter().any(|&length| text.get(..length).is_some_and(|text| self.holds(text)))
    }

    /// Whether the text ends with one of these.
    pub(crate) fn ends(&self, text: &str, buffer: &mut String) -> bool {
        let text = self.text(text, buffer);
        if self.texts.len() <= MANY {
            return self.texts.iter().any(|wanted| text.ends_with(wanted.as_str()));
        }
        self.lengths().iter().any(|&length| {
            let start = text.len().checked_sub(length);
            start.and_then(|start| text.get(start..)).is_some_and(|text| self.holds(text))
        })
    }

    /// The lengths that occur.
    fn lengths(&self) -> &[usize] {
        self.lengths.get_or_init(|| {
            let mut lengths: Vec<usize> = self.texts.iter().map(String::len).collect();
            lengths.sort_unstable();
            lengths.dedup();
            lengths
        })
    }
}

/// Many texts by their first four bytes, to find them anywhere in another text.
#[derive(Clone, Debug, Default)]
struct Needles {
    /// Which hashes of four bytes occur, a bit each.
    seen: Vec<u64>,
    /// First four bytes, and the place in the list of texts; sorted.
    starts: Vec<(u32, u32)>,
    /// Places of shorter texts.
    short: Vec<u32>,
}

/// Bits of the hash.
const BITS: u32 = 14;

fn hash(start: u32) -> usize {
    (start.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize
}

impl Needles {
    fn new(texts: &[String]) -> Self {
        let mut needles = Self { seen: vec![0; 1 << (BITS - 6)], ..Self::default() };
        for (place, text) in texts.iter().enumerate() {
            match text.as_bytes().first_chunk::<4>() {
                None => needles.short.push(place as u32),
                Some(&start) => {
                    let start = u32::from_le_bytes(start);
                    if let Some(word) = needles.seen.get_mut(hash(start) / 64) {
                        *word |= 1 << (hash(start) % 64);
                    }
                    needles.starts.push((start, place as u32));
                }
            }
        }
        needles.starts.sort_unstable();
        needles
    }

    fn any_in(&self, texts: &[String], text: &str) -> bool {
        let wanted = |place: u32| texts.get(place as usize).map_or("", String::as_str);
        if self.short.iter().any(|&place| text.contains(wanted(place))) {
            return true;
        }
        let bytes = text.as_bytes();
        bytes.windows(4).enumerate().any(|(at, window)| {
            let &[a, b, c, d] = window else { return false };
            let start = u32::from_le_bytes([a, b, c, d]);
            let word = self.seen.get(hash(start) / 64).copied().unwrap_or(0);
            if word >> (hash(start) % 64) & 1 == 0 {
                return false;
            }
            let first = self.starts.partition_point(|(other, _)| *other < start);
            let rest = bytes.get(at..).unwrap_or_default();
            self.starts
                .iter()
                .skip(first)
                .take_while(|(other, _)| *other == start)
                .any(|&(_, place)| rest.starts_with(wanted(place).as_bytes()))
        })
    }
}

/// Writes the lower case of a text into a buffer, character by character: no locale, no
/// normalization, and no special case for a sigma at the end of a word.
pub(crate) fn lower_into(text: &str, buffer: &mut String) {
    buffer.clear();
    if text.is_ascii() {
        buffer.push_str(text);
        buffer.make_ascii_lowercase();
    } else {
        buffer.extend(text.chars().flat_map(char::to_lowercase));
    }
}

/// The lower case of a text.
pub(crate) fn lower(text: &str) -> String {
    let mut buffer = String::with_capacity(text.len());
    lower_into(text, &mut buffer);
    buffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(text: &str) -> String {
        text.chars().flat_map(char::to_lowercase).collect()
    }

    proptest! {
        /// The short cuts for ASCII, for single texts and for many say what lowering both sides and
        /// walking the list says.
        #[test]
        fn short_cuts_agree_with_the_rule(
            text in "[abAB1ßÄäİKſσςΣ]{0,8}",
            wanted in prop_oneof![
                proptest::collection::vec("[abAB1ßÄäİKſσςΣ]{1,6}", 1..4),
                proptest::collection::vec("[abAB1ßä]{1,6}", 9..40),
            ],
            ignore_case: bool,
        ) {
            let fold = |text: &str| if ignore_case { plain(text) } else { text.to_owned() };
            let folded = fold(&text);
            let any = |holds: fn(&str, &str) -> bool| wanted.iter().any(|w| holds(&folded, &fold(w)));
            let all = wanted.iter().all(|w| folded.contains(&fold(w)));
            let texts = Wanted::new(wanted.iter().cloned(), ignore_case);
            let mut buffer = String::new();
            prop_assert_eq!(texts.equals(&text, &mut buffer), any(|text, w| text == w));
            prop_assert_eq!(texts.within(&text, &mut buffer), any(|text, w| text.contains(w)));
            prop_assert_eq!(texts.starts(&text, &mut buffer), any(|text, w| text.starts_with(w)));
            prop_assert_eq!(texts.ends(&text, &mut buffer), any(|text, w| text.ends_with(w)));
            prop_assert_eq!(texts.all_within(&text, &mut buffer), all);
            let list = format!("x y, {text},{text}z");
            let element = wanted.iter().any(|w| fold(w) == folded || fold(w) == format!("{folded}z"));
            prop_assert_eq!(texts.element(&list, &mut buffer), element);
        }
    }
}
