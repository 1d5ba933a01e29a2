//! Ids for activities that have none, made from what they say.
//!
//! An activity gives the same id whichever window it was fetched in, as JSON or XML, and in whatever
//! order its members stand. Equal activities fall into one second, and a window holds a second whole:
//! so numbering the repeats within a body gives the same numbers in every window.

use std::collections::HashMap;

use casbah_plugin::body::made_id;
use casbah_plugin::record::{PathId, Paths, Record};
use sha2::{Digest, Sha256};

/// More paths than this are not ranked: a record that makes up paths without end must not make this
/// slow.
const RANKED: usize = 512;

/// Gives out ids within one body.
#[derive(Default)]
pub(crate) struct Numbering {
    seen: HashMap<[u8; 16], u32>,
    /// By path, its place in the order of the paths' texts. Those of one text have one rank.
    ranks: Vec<u32>,
    /// Places of the members of the record at hand, in the order in which they are hashed.
    order: Vec<(u32, u32)>,
    /// What is hashed of the record at hand.
    bytes: Vec<u8>,
}

impl Numbering {
    /// The id of a record and the number of equal ones before it.
    pub(crate) fn id(&mut self, record: &Record<'_>, paths: &Paths) -> (String, u32) {
        let digest = self.digest(record, paths);
        let before = self.seen.entry(digest).or_default();
        let repeat = *before;
        *before = before.saturating_add(1);
        let mut id = made_id(digest);
        if repeat > 0 {
            id.push_str(&format!("-{repeat}"));
        }
        (id, repeat)
    }

    fn digest(&mut self, record: &Record<'_>, paths: &Paths) -> [u8; 16] {
        self.sort(record, paths);
        self.bytes.clear();
        let members = self.order.iter().filter_map(|&(_, at)| record.members.get(at as usize));
        for (path, value) in members {
            // With their lengths, so that nothing can be shifted from one to the next.
            for text in [hashed(paths.get(*path)), value] {
                self.bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                self.bytes.extend_from_slice(text.as_bytes());
            }
        }
        // Of the hashes that nobody finds two records for, the fastest within the sandbox.
        first_half(blake3::hash(&self.bytes).as_bytes())
    }

    /// Puts the members into the order of their paths, and those of one path into that of their texts.
    fn sort(&mut self, record: &Record<'_>, paths: &Paths) {
        if paths.len() <= RANKED && self.ranks.len() != paths.len() {
            self.rank(paths);
        }
        // Without ranks all are alike, and compared as texts.
        let ranked = self.ranks.len() == paths.len();
        let rank = |path: &PathId| self.ranks.get(*path as usize).filter(|_| ranked);
        self.order.clear();
        self.order.extend(
            record
                .members
                .iter()
                .zip(0..)
                .map(|((path, _), at)| (rank(path).copied().unwrap_or_default(), at)),
        );
        let member = |at: u32| {
            let member = record.members.get(at as usize);
            member
                .map(|(path, value)| (if ranked { "" } else { hashed(paths.get(*path)) }, &**value))
        };
        self.order.sort_unstable_by(|(rank, at), (other, than)| {
            rank.cmp(other).then_with(|| member(*at).cmp(&member(*than)))
        });
    }

    fn rank(&mut self, paths: &Paths) {
        let mut texts: Vec<(&str, PathId)> =
            (0..paths.len() as PathId).map(|path| (hashed(paths.get(path)), path)).collect();
        texts.sort_unstable();
        self.ranks.clear();
        self.ranks.resize(texts.len(), 0);
        let (mut rank, mut before) = (0, "");
        for (text, path) in texts {
            rank += u32::from(text != before);
            before = text;
            if let Some(place) = self.ranks.get_mut(path as usize) {
                *place = rank;
            }
        }
    }
}

/// The path under which a member is hashed: one for both spellings of the description.
fn hashed(path: &str) -> &str {
    if path == "description" { "desc" } else { path }
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
    use proptest::prelude::*;

    fn record(members: &[(&str, &str)], paths: &mut Paths) -> Record<'static> {
        let mut record = Record::default();
        for (path, value) in members {
            let path = paths.id(path);
            record.members.push((path, (*value).to_owned().into()));
        }
        record
    }

    /// These ids are stored: they must never change.
    #[test]
    fn stays_the_same_for_ever() {
        let mut paths = Paths::default();
        let record = record(&[("date", "d"), ("name", "open")], &mut paths);
        let id = Numbering::default().id(&record, &paths).0;
        insta::assert_snapshot!(id);
    }

    #[test]
    fn repeats_are_numbered_and_nothing_else_is() {
        let (mut numbering, mut paths) = (Numbering::default(), Paths::default());
        let one = record(&[("date", "1"), ("desc", "x")], &mut paths);
        let same = record(&[("description", "x"), ("date", "1")], &mut paths);
        let other = record(&[("date", "1x"), ("desc", "")], &mut paths);
        assert_eq!(numbering.id(&one, &paths).1, 0);
        assert_eq!(numbering.id(&same, &paths).1, 1);
        assert_eq!(numbering.id(&other, &paths).1, 0);
        assert_eq!(numbering.id(&one, &paths).1, 2);
    }

    proptest! {
        /// With ranks or without, members are hashed in the order of their texts.
        #[test]
        fn members_are_hashed_in_order(
            records in proptest::collection::vec(
                proptest::collection::vec(("[a-c.]{1,3}|desc(ription)?", "[xy]{1,2}"), 0..8), 1..5,
            ),
            more in any::<bool>(),
        ) {
            let (mut numbering, mut paths) = (Numbering::default(), Paths::default());
            if more {
                for path in 0..RANKED {
                    paths.id(&path.to_string());
                }
            }
            for members in &records {
                let pairs: Vec<(&str, &str)> =
                    members.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
                let record = record(&pairs, &mut paths);
                let mut expected: Vec<(&str, &str)> =
                    pairs.iter().map(|&(path, value)| (hashed(path), value)).collect();
                expected.sort_unstable();
                let mut bytes = Vec::new();
                for text in expected.into_iter().flat_map(|(path, value)| [path, value]) {
                    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
                numbering.digest(&record, &paths);
                prop_assert_eq!(&numbering.bytes, &bytes);
            }
        }
    }
}
