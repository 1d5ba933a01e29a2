//! Ids for activities that have none, made from what they say.
//!
//! An activity gives the same id whichever window it was fetched in, as JSON or XML, and in whatever
//! order its members stand. Equal activities fall into one second, and a window holds a second whole:
//! so numbering the repeats within a body gives the same numbers in every window.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::record::Record;

/// Gives out ids within one body.
#[derive(Default)]
pub(crate) struct Numbering {
    seen: HashMap<[u8; 16], u32>,
    /// What is hashed of the record at hand.
    bytes: Vec<u8>,
}

impl Numbering {
    /// The id of a record and the number of equal ones before it.
    pub(crate) fn id(&mut self, record: &Record) -> (String, u32) {
        let digest = digest(record, &mut self.bytes);
        let before = self.seen.entry(digest).or_default();
        let repeat = *before;
        *before = before.saturating_add(1);
        let mut id = format!("made-{:032x}", u128::from_be_bytes(digest));
        if repeat > 0 {
            id.push_str(&format!("-{repeat}"));
        }
        (id, repeat)
    }
}

fn digest(record: &Record, bytes: &mut Vec<u8>) -> [u8; 16] {
    let mut members: Vec<(&str, &str)> = record
        .members
        .iter()
        .map(|(path, value)| {
            (if path == "description" { "desc" } else { path.as_str() }, value.as_str())
        })
        .collect();
    members.sort_unstable();
    bytes.clear();
    for (path, value) in members {
        // With their lengths, so that nothing can be shifted from one to the next.
        for text in [path, value] {
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    // Of the hashes that nobody finds two records for, the fastest within the sandbox.
    first_half(blake3::hash(bytes).as_bytes())
}

fn first_half(bytes: &[u8]) -> [u8; 16] {
    bytes.first_chunk::<16>().copied().unwrap_or_default()
}

/// A confidential value as a hash: equal values stay equal, and that is all one sees. What is such a
/// hash already stays as it is, so that a record can be normalized again from what was kept of it.
pub(crate) fn conceal(value: &str, key: &str) -> String {
    let hash = value.strip_prefix("hash-").filter(|digits| digits.len() == 32);
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hash.is_some_and(|digits| digits.bytes().all(digit)) {
        return value.to_owned();
    }
    let mut hasher = Sha256::new();
    hasher.update((key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    format!("hash-{:032x}", u128::from_be_bytes(first_half(&hasher.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(members: &[(&str, &str)]) -> Record {
        Record {
            members: members.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        }
    }

    /// These ids are stored: they must never change.
    #[test]
    fn stays_the_same_for_ever() {
        let id = Numbering::default().id(&record(&[("date", "d"), ("name", "open")])).0;
        insta::assert_snapshot!(id);
    }

    #[test]
    fn repeats_are_numbered_and_nothing_else_is() {
        let mut numbering = Numbering::default();
        let one = record(&[("date", "1"), ("desc", "x")]);
        let same = record(&[("description", "x"), ("date", "1")]);
        let other = record(&[("date", "1x"), ("desc", "")]);
        assert_eq!(numbering.id(&one).1, 0);
        assert_eq!(numbering.id(&same).1, 1);
        assert_eq!(numbering.id(&other).1, 0);
        assert_eq!(numbering.id(&one).1, 2);
    }
}
