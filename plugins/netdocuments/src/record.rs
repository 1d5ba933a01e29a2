//! A record of a log, taken apart into paths and texts: the same for JSON and for XML.
//!
//! It gives no meaning to any path; [`crate::normalize`] does.

use casbah_plugin::record::{Paths, Record, Shape};

use crate::xml;

/// Deeper than this nothing is taken apart: no log is, and every level makes paths longer.
pub(crate) const DEEPEST: usize = 32;

/// Lists are taken apart, and what activities are wrapped in is taken off.
pub(crate) const SHAPE: Shape = Shape { deepest: DEEPEST, lists: true, wrapping: "activity" };

/// Reads a record.
///
/// # Errors
/// In words, when it is neither JSON nor XML.
pub(crate) fn read<'a>(
    record: &mut Record<'a>,
    text: &'a str,
    paths: &mut Paths,
) -> Result<(), String> {
    if text.trim_start().starts_with('<') {
        xml::read(record, text, paths)
    } else {
        record.read_text(text, paths, SHAPE)
    }
}

/// What a record says, by path, for those who read but a few.
///
/// # Errors
/// In words, when it is neither JSON nor XML.
pub(crate) fn members(text: &str) -> Result<Vec<(String, String)>, String> {
    let (mut record, mut paths) = (Record::default(), Paths::default());
    read(&mut record, text, &mut paths)?;
    let members = record.members.into_iter();
    Ok(members.map(|(path, value)| (paths.get(path).to_owned(), value.into_owned())).collect())
}

/// The record as JSON: flat, every member under its path. Read again, it is the same record.
pub(crate) fn to_json(record: &Record<'_>, paths: &Paths) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let members: Vec<String> = record
        .members
        .iter()
        .map(|(path, value)| format!("{}:{}", quoted(paths.get(*path)), quoted(value)))
        .collect();
    format!("{{\"activity\":{{{}}}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 30, 4, |inner| {
            let key = prop_oneof![Just("activity".to_owned()), Just(String::new()), ".{0,4}"];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key, inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Written flat and read again, a record is the same.
        #[test]
        fn flat_records_are_read_back(value in value()) {
            let (text, mut paths) = (value.to_string(), Paths::default());
            let (mut record, mut again) = (Record::default(), Record::default());
            read(&mut record, &text, &mut paths).unwrap();
            let flat = to_json(&record, &paths);
            read(&mut again, &flat, &mut paths).unwrap();
            prop_assert_eq!(again, record);
        }
    }
}
