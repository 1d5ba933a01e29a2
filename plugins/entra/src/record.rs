//! A record taken apart into paths and texts, and its id where it has none.
//!
//! It gives no meaning to any path; [`crate::normalize`] does.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// Deeper than this nothing is taken apart: no record is, and every level makes paths longer.
const DEEPEST: usize = 16;

/// What a record says: paths such as `status.errorCode`, and texts. Lists are kept as JSON. Nulls,
/// empty texts, lists and objects say nothing and are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) members: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Record<'a> {
    /// Reads a record.
    ///
    /// # Errors
    /// In words, when it is no JSON.
    pub(crate) fn read(text: &'a str) -> Result<Self, String> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self::of(raw))
    }

    /// Takes a record apart, in one pass.
    pub(crate) fn of(raw: &'a RawValue) -> Self {
        let mut record = Self::default();
        record.take(&mut Walker { text: raw.get(), at: 0 }, Cow::Borrowed(""), 0);
        record
    }

    /// Takes the value that comes next, and that stands at this path.
    fn take(&mut self, walker: &mut Walker<'a>, path: Cow<'a, str>, depth: usize) {
        match walker.peek() {
            Some(b'{') if depth < DEEPEST => {
                let (start, members) = (walker.at, self.members.len());
                if self.object(walker, &path, depth).is_none() {
                    // Its keys can't be read: it is kept as it is.
                    self.members.truncate(members);
                    walker.at = start;
                    self.push(path, Cow::Borrowed(walker.value()));
                }
            }
            Some(b'"') => {
                let text = walker.string();
                // Half of a surrogate pair: better escaped than lost.
                self.push(path, unquoted(text).unwrap_or(Cow::Borrowed(text)));
            }
            _ => {
                let text = walker.value();
                if text != "null" && !(text.starts_with('[') && is_empty(text)) {
                    self.push(path, Cow::Borrowed(text));
                }
            }
        }
    }

    /// Takes the members of the object that comes next; `None` when a key can't be read.
    fn object(&mut self, walker: &mut Walker<'a>, path: &str, depth: usize) -> Option<()> {
        walker.at += 1;
        loop {
            match walker.next()? {
                b'}' => {
                    walker.at += 1;
                    return Some(());
                }
                b'"' => {
                    let key = unquoted(walker.string())?;
                    let place = match path {
                        "" => key,
                        _ => Cow::Owned([path, &key].join(".")),
                    };
                    // Past the colon.
                    walker.next()?;
                    walker.at += 1;
                    walker.next()?;
                    self.take(walker, place, depth + 1);
                }
                // A comma.
                _ => walker.at += 1,
            }
        }
    }

    fn push(&mut self, path: Cow<'a, str>, value: Cow<'a, str>) {
        if !value.is_empty() {
            let path = if path.is_empty() { Cow::Borrowed("record") } else { path };
            self.members.push((path, value));
        }
    }

    /// An id made of everything that the record says, in whatever order it says it.
    pub(crate) fn fingerprint(&self) -> String {
        let mut members: Vec<(&str, &str)> =
            self.members.iter().map(|(path, value)| (&**path, &**value)).collect();
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

/// Goes through JSON that was read before, as every [`RawValue`] was: it is right, and only looked at
/// to find where its parts begin and end.
struct Walker<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
}

impl<'a> Walker<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is not blank.
    fn next(&mut self) -> Option<u8> {
        while self.peek()?.is_ascii_whitespace() {
            self.at += 1;
        }
        self.peek()
    }

    /// The text that comes next, with its quotes.
    fn string(&mut self) -> &'a str {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// The value that comes next, whatever it is.
    fn value(&mut self) -> &'a str {
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string();
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                _ if depth == 0
                    && (matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace()) =>
                {
                    break;
                }
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                break;
            }
        }
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// What a text in quotes says; `None` when that is no text.
fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    let inside = text.get(1..text.len().checked_sub(1)?)?;
    if inside.contains('\\') {
        return serde_json::from_str(text).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inside))
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
    use proptest::prelude::*;
    use serde_json::Value;

    /// The same, level by level: slow, and plain enough to be believed.
    fn level_by_level(record: &mut Record<'_>, raw: &RawValue, path: &str, depth: usize) {
        let push = |record: &mut Record<'_>, value: &str| {
            record.push(Cow::Owned(path.to_owned()), Cow::Owned(value.to_owned()));
        };
        let text = raw.get();
        match text.as_bytes()[0] {
            b'"' => match serde_json::from_str::<String>(text) {
                Ok(value) => push(record, &value),
                Err(_) => push(record, text),
            },
            b'{' => match members(raw) {
                Some(members) if depth < DEEPEST => {
                    for (key, value) in members {
                        let dot = if path.is_empty() { "" } else { "." };
                        level_by_level(record, value, &format!("{path}{dot}{key}"), depth + 1);
                    }
                }
                _ => push(record, text),
            },
            b'[' if is_empty(text) => {}
            _ if text == "null" => {}
            _ => push(record, text),
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(20, 40, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((".{0,4}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// One pass gives what level by level does, for whatever is JSON, blanks and odd texts
        /// included.
        #[test]
        fn both_ways_of_reading_agree(
            value in value(), pretty: bool, damage in any::<Option<(u16, u8)>>(),
        ) {
            let mut text =
                if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            if let Some((at, byte)) = damage {
                let mut bytes = text.into_bytes();
                let at = usize::from(at) % bytes.len();
                bytes[at] = byte;
                text = String::from_utf8_lossy(&bytes).into_owned();
            }
            if let Ok(raw) = serde_json::from_str::<&RawValue>(&text) {
                let mut expected = Record::default();
                level_by_level(&mut expected, raw, "", 0);
                prop_assert_eq!(Record::of(raw), expected, "{}", text);
            }
        }
    }

    #[test]
    fn odd_records_are_read_alike() {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(20), "}".repeat(20));
        for text in [
            r#" { "a" : { } , "b":[ ] ,"c":[1,"]",{"}":"\""}], "d" : -1.50e3 , "d":true} "#,
            r#"{"\ud800":1,"b":2}"#,
            r#"{"a":{"b":1,"\udc00":{"c":2}},"d":"\ud800","e":"\u00e9\n"}"#,
            r#"{"":{"":"x"},"a":""}"#,
            r#""\\""#,
            "[[],1]",
            "7",
            "{}",
            &deep,
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            let mut expected = Record::default();
            level_by_level(&mut expected, raw, "", 0);
            assert_eq!(Record::of(raw), expected, "{text}");
        }
    }

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
