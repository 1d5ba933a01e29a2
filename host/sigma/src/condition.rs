//! Conditions: what has to hold of the parts of a detection.
//!
//! `not` binds closest, then `and`, then `or`. It is not where the parts are read.

use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Node, Span, Value};

use crate::refused::{No, RefusedKind, Result};

/// A condition, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The part of a name.
    Part(String),
    /// All of them.
    And(Vec<Condition>),
    /// One of them.
    Or(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// So many of the parts whose names fit.
    Of(Count, String),
}

/// How many of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// So many or more.
    AtLeast(usize),
    /// All.
    All,
}

/// How deep conditions may nest.
const DEEPEST: usize = 32;
/// How long a condition may be, in characters.
const LONGEST: usize = 10_000;

/// Reads the `condition` of a detection, which may be a list: one of them has to hold.
pub(crate) fn read(node: &Node) -> Result<Condition> {
    match &node.value {
        Value::Text(text) => parse(text, node.span),
        Value::List(items) if !items.is_empty() => {
            let all = items.iter().map(|item| match &item.value {
                Value::Text(text) => parse(text, item.span),
                other => Err(no(
                    item.span,
                    format!("a condition is a text, this is {}", other.what()),
                    "",
                )),
            });
            Ok(Condition::Or(all.collect::<Result<_>>()?))
        }
        other => Err(no(
            node.span,
            format!("`condition` must be a text or a list of texts, not {}", other.what()),
            "`condition: selection and not filter`",
        )),
    }
}

fn no(span: Span, message: impl Into<String>, hint: impl Into<String>) -> No {
    No::at(RefusedKind::Condition, span, message, hint)
}

/// Reads one condition.
pub(crate) fn parse(text: &str, span: Span) -> Result<Condition> {
    if text.chars().count() > LONGEST {
        return Err(no(span, format!("the condition is longer than {LONGEST} characters"), ""));
    }
    if text.contains('|') {
        return Err(no(
            span,
            "conditions with a pipe are a form of Sigma that was given up: they counted and correlated",
            "write a correlation instead: `correlation: {type: event_count, …}`",
        ));
    }
    let mut reader = Reader { words: words(text), at: 0, span };
    let condition = reader.or(0)?;
    match reader.next() {
        None => Ok(condition),
        Some(word) => Err(reader.unexpected(&word, "`and` or `or`")),
    }
}

/// Names and brackets; everything else that is not a blank stands alone.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for c in text.chars() {
        let name = c.is_ascii_alphanumeric() || "_-*.".contains(c);
        match (name, open, words.last_mut()) {
            (true, true, Some(word)) => word.push(c),
            _ if c.is_whitespace() => {}
            _ => words.push(c.into()),
        }
        open = name;
    }
    words
}

struct Reader {
    words: Vec<String>,
    at: usize,
    span: Span,
}

impl Reader {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn next(&mut self) -> Option<String> {
        let word = self.words.get(self.at).cloned();
        self.at += 1;
        word
    }

    fn takes(&mut self, word: &str) -> bool {
        let takes = self.peek() == Some(word);
        self.at += usize::from(takes);
        takes
    }

    fn unexpected(&self, word: &str, wanted: &str) -> No {
        no(self.span, format!("`{}` stands where {wanted} is expected", shown(word)), "")
    }

    fn or(&mut self, depth: usize) -> Result<Condition> {
        let mut parts = vec![self.and(depth)?];
        while self.takes("or") {
            parts.push(self.and(depth)?);
        }
        Ok(one(parts, Condition::Or))
    }

    fn and(&mut self, depth: usize) -> Result<Condition> {
        let mut parts = vec![self.not(depth)?];
        while self.takes("and") {
            parts.push(self.not(depth)?);
        }
        Ok(one(parts, Condition::And))
    }

    fn not(&mut self, depth: usize) -> Result<Condition> {
        let mut negated = false;
        while self.takes("not") {
            negated = !negated;
        }
        let inner = self.one(depth)?;
        Ok(if negated { Condition::Not(Box::new(inner)) } else { inner })
    }

    fn one(&mut self, depth: usize) -> Result<Condition> {
        const WANTED: &str = "the name of a part, `1 of …`, `all of …` or `(`";
        if depth > DEEPEST {
            return Err(no(self.span, format!("the condition nests deeper than {DEEPEST}"), ""));
        }
        let Some(word) = self.next() else {
            return Err(no(
                self.span,
                format!("the condition ends where {WANTED} is expected"),
                "",
            ));
        };
        if word == "(" {
            let inner = self.or(depth + 1)?;
            return match self.next().as_deref() {
                Some(")") => Ok(inner),
                Some(other) => Err(self.unexpected(other, "`)`")),
                None => Err(no(self.span, "a `(` is not closed", "")),
            };
        }
        if self.peek() == Some("of") {
            return self.of(&word);
        }
        let name = word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !name || ["and", "or", "of", "them"].contains(&word.as_str()) {
            return Err(self.unexpected(&word, WANTED));
        }
        Ok(Condition::Part(word))
    }

    fn of(&mut self, count: &str) -> Result<Condition> {
        self.at += 1;
        let count = match (count, count.parse::<usize>()) {
            ("all", _) => Count::All,
            ("any", _) => Count::AtLeast(1),
            (_, Ok(count)) if count > 0 => Count::AtLeast(count),
            _ => {
                let message = format!("`{} of` is not understood", shown(count));
                return Err(no(self.span, message, "use `1 of`, `all of` or `any of`"));
            }
        };
        match self.next() {
            Some(names) if !"()".contains(names.as_str()) => Ok(Condition::Of(count, names)),
            _ => Err(no(
                self.span,
                "`of` needs the names that it is about",
                "`1 of selection_*`, or `1 of them`",
            )),
        }
    }
}

fn one(mut parts: Vec<Condition>, group: fn(Vec<Condition>) -> Condition) -> Condition {
    match (parts.len(), parts.pop()) {
        (1, Some(part)) => part,
        (_, last) => {
            parts.extend(last);
            group(parts)
        }
    }
}

/// The names that a pattern fits, in their order; `them` is all that do not begin with `_`.
pub(crate) fn named<'a>(pattern: &str, names: &[&'a str]) -> Vec<&'a str> {
    let fits = |name: &str| match pattern {
        "them" => !name.starts_with('_'),
        pattern => fits(pattern, name),
    };
    names.iter().copied().filter(|name| fits(name)).collect()
}

/// Whether a name fits a pattern in which `*` stands for any number of characters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, between)) = pieces.split_last() else { return rest.is_empty() };
    for piece in between {
        let Some((_, behind)) = rest.split_once(piece) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Says that a part is not there.
pub(crate) fn unknown(name: &str, names: &[&str], span: Span) -> No {
    let hint = match names {
        [] => "add a part to `detection`".to_owned(),
        names => suggest::hint(name, names.iter().copied(), "the parts"),
    };
    no(span, format!("the detection has no part `{}`", shown(name)), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_one(text: &str) -> String {
        match parse(text, Span::default()) {
            Ok(condition) => shape(&condition),
            Err(no) => match no.wrong.hint {
                Some(hint) => format!("{} ({hint})", no.wrong.message),
                None => no.wrong.message,
            },
        }
    }

    fn shape(condition: &Condition) -> String {
        let list = |parts: &[Condition], by: &str| {
            let parts: Vec<_> = parts.iter().map(shape).collect();
            format!("({})", parts.join(by))
        };
        match condition {
            Condition::Part(name) => name.clone(),
            Condition::And(parts) => list(parts, " & "),
            Condition::Or(parts) => list(parts, " | "),
            Condition::Not(inner) => format!("!{}", shape(inner)),
            Condition::Of(Count::All, names) => format!("all:{names}"),
            Condition::Of(Count::AtLeast(count), names) => format!("{count}:{names}"),
        }
    }

    #[test]
    fn precedence_and_groups() {
        let conditions = [
            "selection",
            "a or b and not c",
            "(a or b) and not (c or not not d)",
            "1 of selection_* and not 1 of filter*",
            "all of them or any of x or 3 of *_y",
            "andy and not nothing or offer",
            "a-b and c.d",
        ];
        let read: Vec<_> = conditions.iter().map(|c| read_one(c)).collect();
        insta::assert_snapshot!(read.join("\n"), @"
        selection
        (a | (b & !c))
        ((a | b) & !(c | d))
        (1:selection_* & !1:filter*)
        (all:them | 1:x | 3:*_y)
        ((andy & !nothing) | offer)
        (a-b & c.d)
        ");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let conditions = [
            "",
            "a b",
            "a and",
            "(a or b",
            "a)",
            "0 of a*",
            "some of a*",
            "1 of",
            "a or or b",
            "a and sel*",
            "selection | count() by user > 5",
            &"(".repeat(100),
        ];
        let read: Vec<_> = conditions.iter().map(|c| read_one(c)).collect();
        insta::assert_snapshot!(read.join("\n"), @"
        the condition ends where the name of a part, `1 of …`, `all of …` or `(` is expected
        `b` stands where `and` or `or` is expected
        the condition ends where the name of a part, `1 of …`, `all of …` or `(` is expected
        a `(` is not closed
        `)` stands where `and` or `or` is expected
        `0 of` is not understood (use `1 of`, `all of` or `any of`)
        `some of` is not understood (use `1 of`, `all of` or `any of`)
        `of` needs the names that it is about (`1 of selection_*`, or `1 of them`)
        `or` stands where the name of a part, `1 of …`, `all of …` or `(` is expected
        `sel*` stands where the name of a part, `1 of …`, `all of …` or `(` is expected
        conditions with a pipe are a form of Sigma that was given up: they counted and correlated (write a correlation instead: `correlation: {type: event_count, …}`)
        the condition nests deeper than 32
        ");
    }

    #[test]
    fn patterns_of_names() {
        let names = ["selection_a", "selection_b", "_hidden", "filter"];
        assert_eq!(named("them", &names), ["selection_a", "selection_b", "filter"]);
        assert_eq!(named("selection_*", &names), ["selection_a", "selection_b"]);
        assert_eq!(named("*_*", &names), ["selection_a", "selection_b", "_hidden"]);
        assert_eq!(named("sel*n*b", &names), ["selection_b"]);
        assert_eq!(named("filter", &names), ["filter"]);
        assert!(named("filter*r", &names).is_empty());
        assert!(named("fil", &names).is_empty());
    }
}
