//! An id for a sign-in that has none, made from everything that it says.

use casbah_plugin::body::made_id;
use casbah_plugin::record::{Paths, Record};
use sha2::{Digest, Sha256};

/// The id of a record, in whatever order it says what it says.
pub(crate) fn fingerprint(record: &Record<'_>, paths: &Paths) -> String {
    let mut members: Vec<(&str, &str)> =
        record.members.iter().map(|(path, value)| (paths.get(*path), &**value)).collect();
    members.sort_unstable();
    let mut hasher = Sha256::new();
    for (path, value) in members {
        // With their lengths, so that nothing can be shifted from one to the next.
        for text in [path, value] {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
    }
    made_id(hasher.finalize().first_chunk::<16>().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::SHAPE;

    /// These ids are stored: they must never change.
    #[test]
    fn an_id_stays_the_same_for_ever() {
        let id = |text| {
            let (mut record, mut paths) = (Record::default(), Paths::default());
            record.read_text(text, &mut paths, SHAPE).unwrap();
            fingerprint(&record, &paths)
        };
        let one = id(r#"{"a": {"b": 1, "c": null}, "d": ["x"], "e": [ ], "f": ""}"#);
        assert_eq!(one, id(r#"{"d":["x"],"a":{"b":1}}"#));
        insta::assert_snapshot!(one);
    }
}
