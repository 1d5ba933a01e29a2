//! A record taken apart into paths and texts, and its id where it has none.
//!
//! It gives no meaning to any path; [`crate::normalize`] does.

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Deeper than this nothing is taken apart: no record is, and every level makes paths longer.
const DEEPEST: usize = 16;

/// What a record says: paths such as `status.errorCode`, and texts. Lists are kept as JSON. Nulls,
/// empty texts, lists and objects say nothing and are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) members: Vec<(String, String)>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// In words, when it is no JSON.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut record = Self::default();
        record.flatten(raw, &mut String::new(), 0);
        Ok(record)
    }

    fn flatten(&mut self, raw: &RawValue, path: &mut String, depth: usize) {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'"') => match serde_json::from_str::<String>(text) {
                Ok(value) => self.push(path, &value),
                // Half of a surrogate pair: better escaped than lost.
                Err(_) => self.push(path, text),
            },
            Some(b'{') => match members(raw) {
                Some(members) if depth < DEEPEST => {
                    for (key, value) in members {
                        let before = path.len();
                        if !path.is_empty() {
                            path.push('.');
                        }
                        path.push_str(&key);
                        self.flatten(value, path, depth + 1);
                        path.truncate(before);
                    }
                }
                _ => self.push(path, text),
            },
            Some(b'[') if is_empty(text) => {}
            _ if text == "null" => {}
            _ => self.push(path, text),
        }
    }

    fn push(&mut self, path: &str, value: &str) {
        if !value.is_empty() {
            let path = if path.is_empty() { "record" } else { path };
            self.members.push((path.to_owned(), value.to_owned()));
        }
    }

    /// An id made of everything that the record says, in whatever order it says it.
    pub(crate) fn fingerprint(&self) -> String {
        let mut members: Vec<(&str, &str)> =
            self.members.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
        members.sort_unstable();
        let mut hasher = Sha256::new();
        for (path, value) in members {
            // With their lengths, so that nothing can be shifted from one to the next.
            for text in [path, value] {
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
        }
        let half = hasher.finalize().first_chunk::<16>().copied().unwrap_or_default();
        format!("made-{:032x}", u128::from_be_bytes(half))
    }
}

fn is_empty(list: &str) -> bool {
    list.bytes().skip(1).find(|byte| !byte.is_ascii_whitespace()) == Some(b']')
}

/// The members of an object in their order; `None` when it is none.
pub(crate) fn members(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
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
mod tests {
    use super::*;

    /// These ids are stored: they must never change.
    #[test]
    fn an_id_stays_the_same_for_ever() {
        let one =
            Record::read(r#"{"a": {"b": 1, "c": null}, "d": ["x"], "e": [ ], "f": ""}"#).unwrap();
        let other = Record::read(r#"{"d":["x"],"a":{"b":1}}"#).unwrap();
        assert_eq!(one.fingerprint(), other.fingerprint());
        insta::assert_snapshot!(one.fingerprint());
    }
}
