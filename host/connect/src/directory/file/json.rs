//! A JSON array of objects, or objects one after another, with the place of every value.

use std::borrow::Cow;
use std::fmt;

use casbah_yaml::Span;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Cell, FileErrorKind, Given, Row, Wrong, column, wrong};

/// The members of an object in their order, also those that occur twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.push((Cow::Owned(name), map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Finds lines and columns by place in the text.
struct Places<'a> {
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(place, _)| place + 1)).collect();
        Self { text, lines }
    }

    /// The place of a part of the text.
    fn of(&self, part: &str) -> Span {
        let start = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        let line = self.lines.partition_point(|&begin| begin <= start).max(1);
        let begin = self.lines.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(begin..start).unwrap_or_default();
        let first = part.lines().next().unwrap_or_default();
        Span { line, column: before.chars().count() + 1, length: first.chars().count().max(1) }
    }
}

pub(super) fn rows(
    text: &str,
    columns: &'static [&'static str],
    wrongs: &mut Vec<Wrong>,
) -> Vec<Row> {
    let places = Places::new(text);
    let mut values: Vec<&RawValue> = Vec::new();
    let error = if text.trim_start().starts_with('[') {
        match serde_json::from_str(text) {
            Ok(found) => {
                values = found;
                None
            }
            Err(error) => Some(error),
        }
    } else {
        let found = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
        let mut failed = None;
        for value in found {
            match value {
                Ok(value) => values.push(value),
                Err(error) => failed = Some(error),
            }
        }
        failed
    };
    if let Some(error) = error {
        let span = Span { line: error.line().max(1), column: error.column().max(1), length: 1 };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        wrongs.push(wrong(
            FileErrorKind::Syntax,
            span,
            format!("this is not JSON: {message}"),
            "a file holds one array of objects, or one object a line",
        ));
        return Vec::new();
    }
    values.into_iter().filter_map(|value| row(value, columns, &places, wrongs)).collect()
}

fn row(
    value: &RawValue,
    columns: &'static [&'static str],
    places: &Places<'_>,
    wrongs: &mut Vec<Wrong>,
) -> Option<Row> {
    let span = places.of(value.get());
    let Ok(Members(members)) = serde_json::from_str(value.get()) else {
        wrongs.push(wrong(
            FileErrorKind::Syntax,
            span,
            "this is not an object",
            format!("write an object with the keys {}", columns.join(", ")),
        ));
        return None;
    };
    let mut cells: Vec<(&'static str, Cell)> = Vec::new();
    for (name, value) in members {
        let span = places.of(value.get());
        let name = match column(&name, columns, span) {
            Ok(name) => name,
            Err(wrong) => {
                wrongs.push(wrong);
                continue;
            }
        };
        if cells.iter().any(|(known, _)| *known == name) {
            let message = format!("`{name}` occurs twice");
            wrongs.push(wrong(FileErrorKind::Key, span, message, "keep one of them"));
        }
        match given(value) {
            Some(Some(given)) => cells.push((name, Cell { given, span })),
            // Null is absent.
            Some(None) => {}
            None => wrongs.push(wrong(
                FileErrorKind::Value,
                span,
                format!("`{name}` can't be this"),
                "write texts, lists of texts, or true and false",
            )),
        }
    }
    Some(Row { span: Span { length: 1, ..span }, cells })
}

/// The value; the outer `None` when it is of no use.
fn given(value: &RawValue) -> Option<Option<Given>> {
    Some(match serde_json::from_str(value.get()).ok()? {
        serde_json::Value::Null => None,
        serde_json::Value::Bool(flag) => Some(Given::Flag(flag)),
        serde_json::Value::String(text) if text.trim().is_empty() => None,
        serde_json::Value::String(text) => Some(Given::Text(text)),
        serde_json::Value::Array(items) => {
            let texts = items.into_iter().map(|item| match item {
                serde_json::Value::String(text) => Some(text),
                _ => None,
            });
            Some(Given::List(texts.collect::<Option<Vec<_>>>()?))
        }
        serde_json::Value::Number(_) | serde_json::Value::Object(_) => return None,
    })
}
