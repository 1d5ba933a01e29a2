//! A record of a log, taken apart into paths and texts: the same for JSON and for XML.
//!
//! It gives no meaning to any path; [`crate::normalize`] does.

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Deeper than this nothing is taken apart: no log is, and every level makes paths longer.
pub(crate) const DEEPEST: usize = 32;

/// What an activity is wrapped in.
const WRAPPING: &str = "activity";

/// What a record says: paths such as `user.id`, without the wrapping `activity`, and texts. Nulls and
/// empty texts say nothing and are left out. A path may occur more than once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) members: Vec<(String, String)>,
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    /// In words, when it is neither JSON nor XML.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if text.trim_start().starts_with('<') { Self::xml(text) } else { Self::json(text) }
    }

    /// The record as JSON: flat, every member under its path. Read again, it is the same record.
    pub(crate) fn to_json(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(path, value)| format!("{}:{}", quoted(path), quoted(value)))
            .collect();
        format!("{{\"activity\":{{{}}}}}", members.join(","))
    }

    fn push(&mut self, path: &str, value: &str) {
        if !value.is_empty() {
            let path = if path.is_empty() { "record" } else { path };
            self.members.push((path.to_owned(), value.to_owned()));
        }
    }

    fn json(text: &str) -> Result<Self, String> {
        match Self::plain(text) {
            Some(record) => Ok(record),
            None => Self::thorough(text),
        }
    }

    /// Reads JSON in one pass; `None` where that would lose something, or where there is an error.
    fn plain(text: &str) -> Option<Self> {
        let mut record = Self::default();
        let mut path = String::new();
        let place = Place { record: &mut record, path: &mut path, depth: 0, wrapping: false };
        let mut deserializer = serde_json::Deserializer::from_str(text);
        place.deserialize(&mut deserializer).ok()?;
        deserializer.end().ok()?;
        Some(record)
    }

    /// Reads JSON level by level, with the text of every number and whatever can't be read as it is.
    fn thorough(text: &str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut record = Self::default();
        let mut path = String::new();
        match members(raw) {
            Some(members) => {
                for (key, value) in members {
                    if key == WRAPPING && value.get().starts_with('{') {
                        record.flatten(value, &mut path, 0);
                    } else {
                        record.nested(value, &mut path, &key, 0);
                    }
                }
            }
            None => record.flatten(raw, &mut path, 0),
        }
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
            Some(b'{') if depth < DEEPEST => match members(raw) {
                Some(members) => {
                    for (key, value) in members {
                        self.nested(value, path, &key, depth);
                    }
                }
                None => self.push(path, text),
            },
            Some(b'[') if depth < DEEPEST => match serde_json::from_str::<Vec<&RawValue>>(text) {
                Ok(items) => {
                    for (index, value) in items.into_iter().enumerate() {
                        self.nested(value, path, &index.to_string(), depth);
                    }
                }
                Err(_) => self.push(path, text),
            },
            _ if text == "null" => {}
            _ => self.push(path, text),
        }
    }

    fn nested(&mut self, raw: &RawValue, path: &mut String, key: &str, depth: usize) {
        let before = path.len();
        extend(path, key);
        self.flatten(raw, path, depth + 1);
        path.truncate(before);
    }

    fn xml(text: &str) -> Result<Self, String> {
        let mut reader = Reader::from_str(text);
        let mut record = Self::default();
        let mut path = String::new();
        // Length of the path outside of every open element.
        let mut open: Vec<usize> = Vec::new();
        let mut content = String::new();
        let mut seen = false;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(element) => {
                    record.text(&path, &mut content);
                    record.enter(&element, &mut path, &mut open)?;
                    seen = true;
                }
                Event::Empty(element) => {
                    record.text(&path, &mut content);
                    record.enter(&element, &mut path, &mut open)?;
                    path.truncate(open.pop().unwrap_or_default());
                    seen = true;
                }
                Event::End(_) => {
                    record.text(&path, &mut content);
                    path.truncate(open.pop().unwrap_or_default());
                }
                Event::Text(part) => content.push_str(&part.xml10_content()),
                Event::CData(part) => content.push_str(&part.xml10_content()),
                Event::GeneralRef(part) => match part.resolve_char_ref() {
                    Ok(Some(character)) => content.push(character),
                    _ => match quick_xml::escape::resolve_predefined_entity(&part) {
                        Some(known) => content.push_str(known),
                        None => content.push_str(&format!("&{};", &*part)),
                    },
                },
                Event::Eof if !seen || !open.is_empty() => {
                    return Err("the XML ends too early".to_owned());
                }
                Event::Eof => return Ok(record),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    fn text(&mut self, path: &str, content: &mut String) {
        self.push(path, content.trim());
        content.clear();
    }

    fn enter(
        &mut self,
        element: &BytesStart<'_>,
        path: &mut String,
        open: &mut Vec<usize>,
    ) -> Result<(), String> {
        if open.len() >= DEEPEST {
            return Err("the XML is nested too deeply".to_owned());
        }
        let outside = path.len();
        // The record's own element is the wrapping.
        if !open.is_empty() {
            extend(path, element.name().local_name().into_inner());
        }
        open.push(outside);
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let key = attribute.key.into_inner();
            if key == "xmlns" || key.starts_with("xmlns:") {
                continue;
            }
            let value = match attribute.normalized_value(XmlVersion::Implicit1_0) {
                Ok(value) => value,
                // An entity that nobody has declared: better as it is written than lost.
                Err(_) => attribute.value.clone(),
            };
            let before = path.len();
            extend(path, attribute.key.local_name().into_inner());
            self.push(path, &value);
            path.truncate(before);
        }
        Ok(())
    }
}

/// Where a value stands, while a record is read in one pass.
struct Place<'a> {
    record: &'a mut Record,
    path: &'a mut String,
    /// Objects and arrays around it.
    depth: usize,
    /// Whether it is the wrapping: its members stand where it stands itself.
    wrapping: bool,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value that can be read in one pass")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.record.push(self.path, value);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.record.push(self.path, if value { "true" } else { "false" });
        Ok(())
    }

    // Other numbers can be written in more than one way, and are read the thorough way.
    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.record.push(self.path, &value.to_string());
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.record.push(self.path, &value.to_string());
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let outside = self.path.len();
        let (start, depth) = (if self.wrapping { 0 } else { outside }, deeper(self.depth)?);
        if self.wrapping {
            self.path.clear();
        }
        while map.next_key_seed(Key(self.path))?.is_some() {
            let wrapping = self.depth == 0 && self.path == WRAPPING;
            let record = &mut *self.record;
            map.next_value_seed(Place { record, path: self.path, depth, wrapping })?;
            self.path.truncate(start);
        }
        if self.wrapping {
            // Whoever called takes its own name away again.
            self.path.push_str(WRAPPING);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (outside, depth) = (self.path.len(), deeper(self.depth)?);
        for index in 0_usize.. {
            extend(self.path, &index.to_string());
            let record = &mut *self.record;
            let place = Place { record, path: self.path, depth, wrapping: false };
            let item = items.next_element_seed(place)?;
            self.path.truncate(outside);
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// One level deeper; an error where the thorough way would stop taking things apart.
fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth + 2 < DEEPEST { Ok(depth + 1) } else { Err(E::custom("nested too deeply")) }
}

/// Adds a key to the path.
struct Key<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<(), E> {
        extend(self.0, key);
        Ok(())
    }
}

fn extend(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
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
        /// The quick way gives what the thorough one does, or steps back.
        #[test]
        fn both_ways_of_reading_agree(value in value(), damage in any::<(u16, u8, bool)>()) {
            let mut text = value.to_string();
            let (at, byte, damaged) = damage;
            if damaged && !text.is_empty() {
                let mut bytes = text.into_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            if let Some(quick) = Record::plain(&text) {
                prop_assert_eq!(Ok(quick), Record::thorough(&text), "{}", text);
            }
        }

        /// Written flat and read again, a record is the same.
        #[test]
        fn flat_records_are_read_back(value in value()) {
            let record = Record::json(&value.to_string()).unwrap();
            prop_assert_eq!(Record::json(&record.to_json()).unwrap(), record);
        }
    }

    #[test]
    fn usual_records_are_read_in_one_pass() {
        for text in [
            r#"{"activity":{"date":"d","user":{"id":"u","n":5},"a":[1,{"b":"\u00e9"}],"x":null}}"#,
            r#"{"activity":"x","activity":{"activity":{"a":true}}}"#,
            r#"{"date":"d","":{"":"v"}}"#,
        ] {
            assert_eq!(Record::plain(text), Some(Record::thorough(text).unwrap()), "{text}");
        }
        for odd in [r#"{"a":1.50}"#, r#"{"a":"\ud800"}"#, r#"{"a":-0}"#, "{", r#"{"a":1} x"#] {
            assert_eq!(Record::plain(odd), None, "{odd}");
        }
        let deep = format!("{}1{}", "[".repeat(31), "]".repeat(31));
        assert_eq!(Record::plain(&deep), None);
    }
}
