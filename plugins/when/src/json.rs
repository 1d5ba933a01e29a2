//! A JSON tree that borrows its texts, and places within it.
//!
//! Settings are read anew for every batch, so reading them must cost little: `serde_json::Value`
//! copies every text and builds a tree map for every object. It is not a JSON parser of its own.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// A value, as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Json<'a>>),
    /// A table of keys, in the order written; a key may stand there twice.
    Map(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads a JSON text.
    ///
    /// # Errors
    /// What is wrong with it and where.
    pub fn read(text: &'a str) -> Result<Self, String> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Reading { depth: 0 }
            .deserialize(&mut deserializer)
            .and_then(|json| deserializer.end().map(|()| json))
            .map_err(|error| error.to_string())
    }

    /// A text.
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A list of texts.
    pub fn texts<T: AsRef<str>>(texts: &'a [T]) -> Self {
        Self::List(texts.iter().map(|text| Self::text(text.as_ref())).collect())
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "true or false",
            Self::Integer(_) => "an integer",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a table of keys",
        }
    }
}

/// The value as a person would type it, cut short.
impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(&shown(text)),
            Self::List(_) => f.write_str("[…]"),
            Self::Map(_) => f.write_str("{…}"),
        }
    }
}

/// A filter row in the form in which settings hold it, for rows of a detector's own:
/// `row("kind", "is", Json::text("login"))`.
pub fn row<'a>(field: &'a str, operator: &'a str, value: Json<'a>) -> Json<'a> {
    Json::Map(vec![(Cow::Borrowed("field"), Json::text(field)), (Cow::Borrowed(operator), value)])
}

/// A filter row with a negation, which must say what holds where the field is missing.
pub fn negated<'a>(field: &'a str, operator: &'a str, value: Json<'a>, missing: bool) -> Json<'a> {
    let missing = Json::text(if missing { "match" } else { "no-match" });
    match row(field, operator, value) {
        Json::Map(mut map) => {
            map.push((Cow::Borrowed("missing"), missing));
            Json::Map(map)
        }
        other => other,
    }
}

/// A group of filter rows: `any` or `all` of them.
pub fn group<'a>(name: &'a str, rows: Vec<Json<'a>>) -> Json<'a> {
    Json::Map(vec![(Cow::Borrowed(name), Json::List(rows))])
}

/// A filter row or group that must not hold; `missing` says whether activities match that lack a
/// field asked in it.
pub fn not(inner: Json<'_>, missing: bool) -> Json<'_> {
    let missing = Json::text(if missing { "match" } else { "no-match" });
    Json::Map(vec![(Cow::Borrowed("not"), inner), (Cow::Borrowed("missing"), missing)])
}

/// What somebody typed, printable and at most 80 characters long.
pub fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// How deep values may nest: reading needs stack, of which a guest has little.
const DEEPEST: usize = 40;

/// Reads one value.
struct Reading {
    depth: usize,
}

impl Reading {
    /// Reads a value within this one.
    fn inner<E: Error>(&self) -> Result<Self, E> {
        if self.depth >= DEEPEST {
            return Err(E::custom(format_args!("it nests deeper than {DEEPEST}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> Visitor<'de> for Reading {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Flag(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Number(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(self.inner()?)? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = access.next_key_seed(self.inner()?)? {
            let value = access.next_value_seed(self.inner()?)?;
            if let Json::Text(key) = key {
                map.push((key, value));
            }
        }
        Ok(Json::Map(map))
    }
}

impl<'de> DeserializeSeed<'de> for Reading {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A place in the tree; becomes a JSON pointer only when there is something to say about it.
#[derive(Clone, Copy, Debug)]
pub enum Place<'a> {
    /// The whole.
    Root,
    /// What stands under a key of that place.
    Key(&'a Place<'a>, &'a str),
    /// An element of the list at that place, from 0.
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(above, key) => {
                write!(f, "{above}/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Self::Index(above, index) => write!(f, "{above}/{index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guards the borrowing: a text without escapes must not be copied.
    #[test]
    fn reads_every_kind_of_value_and_borrows_plain_texts() {
        let json = Json::read(r#"{"a":[1,-2.5,true,null,"x","\n"],"b":{}}"#).unwrap();
        let Json::Map(map) = &json else { panic!("{json:?}") };
        let Json::List(list) = &map[0].1 else { panic!("{json:?}") };
        assert_eq!(list[..4], [Json::Integer(1), Json::Number(-2.5), Json::Flag(true), Json::Null]);
        assert!(matches!(&list[4], Json::Text(Cow::Borrowed("x"))));
        assert!(matches!(&list[5], Json::Text(Cow::Owned(text)) if text == "\n"));
        assert_eq!(map[1], (Cow::Borrowed("b"), Json::Map(vec![])));
    }

    /// A guest's stack is small: what nests deeply must be refused before it runs out.
    #[test]
    fn deep_nesting_is_refused() {
        assert!(Json::read(&format!("{}{}", "[".repeat(40), "]".repeat(40))).is_ok());
        let error = Json::read(&"[".repeat(10_000)).unwrap_err();
        assert_eq!(error, "it nests deeper than 40 at line 1 column 41");
    }

    #[test]
    fn pointers_escape_what_would_be_misread() {
        let when = Place::Key(&Place::Root, "when");
        let row = Place::Index(&when, 3);
        assert_eq!(Place::Key(&row, "a/b~c").to_string(), "/when/3/a~1b~0c");
        assert_eq!(Place::Root.to_string(), "");
    }
}
