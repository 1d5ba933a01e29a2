//! Reads typed values out of a YAML tree and gathers everything that is wrong on the way.

use crate::suggest::{self, shown};
use crate::tree::{Node, Span, Value, Wrong};

/// What is wrong so far, each thing with its kind.
#[derive(Clone, Debug)]
pub struct Fields<K> {
    kind: K,
    key: K,
    /// What is wrong so far.
    pub wrongs: Vec<(K, Wrong)>,
}

impl<K: Copy> Fields<K> {
    /// Nothing is wrong yet. `kind` is what is said of values, `key` what is said of keys that are
    /// missing or unknown.
    pub fn new(kind: K, key: K) -> Self {
        Self { kind, key, wrongs: Vec::new() }
    }

    /// From here on, what is wrong with a value is of this kind.
    pub fn set_kind(&mut self, kind: K) {
        self.kind = kind;
    }

    /// Something is wrong; an empty hint is none.
    pub fn wrong(&mut self, span: Span, message: String, hint: String) {
        self.wrong_kind(self.kind, span, message, hint);
    }

    /// Something of this kind is wrong; an empty hint is none.
    pub fn wrong_kind(&mut self, kind: K, span: Span, message: String, hint: String) {
        let hint = (!hint.is_empty()).then_some(hint);
        self.wrongs.push((kind, Wrong { span, message, hint }));
    }

    /// A key that must be there, with a text that is not empty.
    pub fn required_text(&mut self, node: &Node, key: &str) -> Option<String> {
        if node.get(key).is_none() {
            self.wrong_kind(
                self.key,
                Span { line: node.span.line, column: node.span.column, length: 1 },
                format!("`{key}` is missing"),
                format!("add a line `{key}: …`"),
            );
            return None;
        }
        self.text(node, key)
    }

    /// A text that is not empty, when the key is there.
    pub fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        let value = &node.get(key)?.value;
        match &value.value {
            Value::Text(text) if text.chars().any(|c| c.is_control() && c != '\n') => {
                self.wrong(
                    value.span,
                    format!("`{key}` has control characters in it"),
                    "take them out; they would reach the terminals of those who read it".to_owned(),
                );
                None
            }
            Value::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            other => {
                let hint = match other {
                    Value::Bool(_) | Value::Integer(_) | Value::Number(_) => "put it in quotes",
                    _ => "",
                };
                let what = if let Value::Text(_) = other { "empty" } else { other.what() };
                self.wrong(
                    value.span,
                    format!("`{key}` must be a text, this is {what}"),
                    hint.to_owned(),
                );
                None
            }
        }
    }

    /// True or false, when the key is there.
    pub fn flag(&mut self, node: &Node, key: &str) -> Option<bool> {
        let value = &node.get(key)?.value;
        if let Value::Bool(flag) = value.value {
            return Some(flag);
        }
        self.wrong(
            value.span,
            format!("`{key}` must be true or false, this is {}", value.value.what()),
            String::new(),
        );
        None
    }

    /// A list of texts, or a single one; `check` says what is wrong with one of them.
    pub fn texts(
        &mut self,
        node: &Node,
        key: &str,
        check: impl Fn(&str) -> Option<String>,
    ) -> Vec<String> {
        let Some(entry) = node.get(key) else { return Vec::new() };
        let one = std::slice::from_ref(&entry.value);
        let items = if let Value::List(items) = &entry.value.value { items } else { one };
        let mut texts = Vec::new();
        for item in items {
            let Value::Text(text) = &item.value else {
                self.wrong(
                    item.span,
                    format!("`{key}` must be a list of texts, this is {}", item.value.what()),
                    format!("write `{key}: [one, two]`"),
                );
                continue;
            };
            match check(text) {
                Some(hint) => self.wrong(
                    item.span,
                    format!("`{}` does not belong into `{key}`", shown(text)),
                    hint,
                ),
                None => texts.push(text.clone()),
            }
        }
        texts
    }

    /// A duration in ms, when the key is there.
    pub fn duration(&mut self, node: &Node, key: &str) -> Option<i64> {
        let value = &node.get(key)?.value;
        let duration = match &value.value {
            Value::Text(text) => duration(text),
            Value::Integer(0) => Some(0),
            _ => None,
        };
        if duration.is_none() {
            self.wrong(
                value.span,
                format!("`{key}` must be a duration"),
                "write a whole number and a unit, such as `90s`, `5m`, `24h` or `7d`".to_owned(),
            );
        }
        duration
    }

    /// A number within bounds, when the key is there.
    pub fn number(
        &mut self,
        node: &Node,
        key: &str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Option<f64> {
        let value = &node.get(key)?.value;
        let number = match value.value {
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(
                value.span,
                format!("`{key}` must be a number from {} to {}", range.start(), range.end()),
                String::new(),
            );
        }
        number
    }

    /// A whole number within bounds, when the key is there.
    pub fn integer(
        &mut self,
        node: &Node,
        key: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = &node.get(key)?.value;
        match value.value {
            Value::Integer(number) if range.contains(&number) => Some(number),
            _ => {
                self.wrong(
                    value.span,
                    format!(
                        "`{key}` must be a whole number from {} to {}",
                        range.start(),
                        range.end()
                    ),
                    String::new(),
                );
                None
            }
        }
    }

    /// Whether it is a mapping; says so when it is not.
    pub fn is_map(&mut self, node: &Node, what: &str) -> bool {
        let map = matches!(node.value, Value::Map(_));
        if !map {
            self.wrong(
                node.span,
                format!("{what} must be a mapping, this is {}", node.value.what()),
                String::new(),
            );
        }
        map
    }

    /// Every key of a mapping must be one of these.
    pub fn only(&mut self, node: &Node, known: &[&str], what: &str) {
        let Value::Map(entries) = &node.value else { return };
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            self.wrong_kind(
                self.key,
                entry.span,
                format!("`{}` is not a key of {what}", shown(&entry.key)),
                suggest::hint(&entry.key, known.iter().copied(), &format!("the keys of {what}")),
            );
        }
    }
}

/// `90s`, `5m`, `24h`, `7d` or `500ms`, in ms.
pub fn duration(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let duration = number.parse::<i64>().ok()?.checked_mul(unit)?;
    // Ten thousand years are for ever, and leave room to calculate in.
    (duration <= 315_576_000_000_000).then_some(duration)
}
