//! One entry of a detection, a field with its values, as filter rows.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use casbah_model::vocabulary::{KINDS, OBJECT_KINDS};
use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Node, Span, Value};
use regex_lite::RegexBuilder;
use serde_json::Value as Json;

use crate::encode;
use crate::field::{Field, Holds};
use crate::modifier::{How, Modifiers};
use crate::pattern::{Ask, Pattern};
use crate::placeholder::{Placeholders, expand};
use crate::refused::{No, RefusedKind, Result};
use crate::route::Target;
use crate::rows::Rows;

/// How many texts a field may be compared with.
const MOST_TEXTS: usize = 100_000;
/// How many ways of writing one value there may be.
const MOST_VARIANTS: usize = 625;
/// How long a regular expression may be, bytes.
const LONGEST_PATTERN: usize = 1_000;
/// How deep one may nest.
const DEEPEST_PATTERN: u32 = 20;
/// Memory that one may take, bytes.
const LARGEST_PATTERN: usize = 256 * 1024;

/// What entries of a detection are read with.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) target: &'a Target,
    pub(crate) placeholders: &'a Placeholders,
}

/// A field, how it is compared, and where that stands.
struct Asked<'a> {
    field: Field,
    modifiers: &'a Modifiers,
    reading: Reading<'a>,
}

impl Reading<'_> {
    /// An entry: `key` is the name of the field with its modifiers.
    pub(crate) fn item(self, key: &str, span: Span, value: &Node) -> Result<Rows> {
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default();
        let modifiers = Modifiers::read(parts, span)?;
        let field = match name {
            "" => Field::anything(),
            name => self.target.field(name, span)?,
        };
        let asked = Asked { field, modifiers: &modifiers, reading: self };
        let values = match &value.value {
            Value::List(items) if items.is_empty() => {
                return Err(bad(span, "the list is empty, so nothing could match", ""));
            }
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        };
        asked.rows(values)
    }

    /// Values that are looked for in all of an activity, one of which has to be there.
    pub(crate) fn keywords(self, values: &[Node]) -> Result<Rows> {
        let modifiers = Modifiers::default();
        Asked { field: Field::anything(), modifiers: &modifiers, reading: self }.rows(values)
    }
}

fn bad(span: Span, message: impl Into<String>, hint: impl Into<String>) -> No {
    No::at(RefusedKind::Value, span, message, hint)
}

impl Asked<'_> {
    fn row(&self, operator: &str, value: impl Into<Json>) -> Rows {
        let mut row = serde_json::Map::new();
        row.insert("field".to_owned(), self.field.name.as_str().into());
        row.insert(operator.to_owned(), value.into());
        Rows::Row(Json::Object(row))
    }

    /// A row on texts, which may regard case.
    fn text_row(&self, operator: &str, value: impl Into<Json>, cased: bool) -> Rows {
        match self.row(operator, value) {
            Rows::Row(Json::Object(mut row)) if cased => {
                row.insert("ignore-case".to_owned(), false.into());
                Rows::Row(Json::Object(row))
            }
            row => row,
        }
    }

    fn rows(&self, values: &[Node]) -> Result<Rows> {
        let rows = if self.modifiers.all {
            let each = values.iter().map(|value| self.any(std::slice::from_ref(value)));
            Rows::all(each.collect::<Result<Vec<_>>>()?)
        } else {
            self.any(values)?
        };
        if !self.modifiers.neq {
            return Ok(rows);
        }
        if self.field.holds == Holds::Anything {
            let span = values.first().map(|value| value.span).unwrap_or_default();
            let hint = "negate the part in the condition";
            return Err(No::at(RefusedKind::Modifier, span, "`neq` needs a field", hint));
        }
        // A field that is not there is not different from anything.
        Ok(Rows::all([self.row("exists", true), rows.negated()]))
    }

    /// One of the values.
    fn any(&self, values: &[Node]) -> Result<Rows> {
        match self.modifiers.how {
            How::Exists => return self.exists(values),
            _ if self.modifiers.reference => return self.references(values),
            _ if self.modifiers.part.is_some() => return self.part_of_time(values),
            How::Number(operator) => return self.numbers(operator, values),
            How::Matches => return self.expressions(values),
            How::Cidr => return self.ranges(values),
            How::Is | How::Contains | How::Starts | How::Ends => {}
        }
        match self.field.holds {
            Holds::Said | Holds::Text | Holds::Anything => self.texts(values),
            Holds::Integer | Holds::Time | Holds::Flag | Holds::Number => self.equal(values),
        }
    }

    fn no_fit(&self, span: Span, what: &str) -> No {
        let holds = match self.field.holds {
            Holds::Said | Holds::Text | Holds::Anything => "texts",
            Holds::Integer => "whole numbers",
            Holds::Time => "times",
            Holds::Flag => "`true` or `false`",
            Holds::Number => "numbers",
        };
        bad(span, format!("{what} does not fit `{}`, which holds {holds}", self.field.name), "")
    }

    fn exists(&self, values: &[Node]) -> Result<Rows> {
        let [value] = values else {
            let span = values.first().map(|value| value.span).unwrap_or_default();
            return Err(bad(span, "`exists` takes one value", "`true` or `false`"));
        };
        let exists = match &value.value {
            Value::Bool(exists) => *exists,
            Value::Text(text) if ["true", "yes"].contains(&text.as_str()) => true,
            Value::Text(text) if ["false", "no"].contains(&text.as_str()) => false,
            other => {
                return Err(bad(
                    value.span,
                    format!("`exists` takes `true` or `false`, not {}", other.what()),
                    "",
                ));
            }
        };
        if self.field.holds == Holds::Anything {
            return Err(bad(value.span, "`exists` needs a field", "put its name in front"));
        }
        Ok(self.row("exists", exists))
    }

    /// Other fields of the same activity.
    fn references(&self, values: &[Node]) -> Result<Rows> {
        let operator = match self.modifiers.how {
            How::Contains => "contains-field",
            How::Starts => "starts-field",
            How::Ends => "ends-field",
            _ => "same-as",
        };
        let texts = [Holds::Said, Holds::Text];
        let rows = values.iter().map(|value| {
            let name = match &value.value {
                Value::Text(text) => Pattern::parse(text).text().map(str::to_owned),
                _ => None,
            };
            let Some(name) = name else {
                let message = "`fieldref` takes the name of a field, without wildcards";
                return Err(bad(value.span, message, ""));
            };
            let other = self.reading.target.field(&name, value.span)?;
            if !texts.contains(&self.field.holds) {
                return Err(self.no_fit(value.span, "`fieldref`"));
            }
            if !texts.contains(&other.holds) {
                let message = format!("`{}` does not hold texts to compare with", other.name);
                return Err(bad(value.span, message, ""));
            }
            if other == self.field {
                return self.there(value.span);
            }
            Ok(self.text_row(operator, other.name, self.modifiers.cased))
        });
        Ok(Rows::any(rows.collect::<Result<Vec<_>>>()?))
    }

    /// Minutes, hours, days … of a time.
    fn part_of_time(&self, values: &[Node]) -> Result<Rows> {
        let part = self.modifiers.part.unwrap_or_default();
        let range = match part {
            "minute" => 0..=59,
            "hour" => 0..=23,
            "day" => 1..=31,
            "week" => 1..=53,
            "month" => 1..=12,
            _ => 1..=9_999,
        };
        let mut numbers = Vec::new();
        for value in values {
            let number = match &value.value {
                Value::Integer(number) => Some(*number),
                Value::Text(text) => text.parse().ok(),
                _ => None,
            };
            match number {
                Some(number) if range.contains(&number) => numbers.push(number),
                _ => {
                    let (least, most) = (range.start(), range.end());
                    let message = format!("`{part}` takes whole numbers from {least} to {most}");
                    return Err(bad(value.span, message, ""));
                }
            }
        }
        let span = values.first().map(|value| value.span).unwrap_or_default();
        if !matches!(self.field.holds, Holds::Said | Holds::Time) {
            return Err(self.no_fit(span, &format!("`{part}`")));
        }
        let with_part = |rows: Rows| match rows {
            Rows::Row(Json::Object(mut row)) => {
                row.insert("part".to_owned(), part.into());
                Rows::Row(Json::Object(row))
            }
            other => other,
        };
        let rows = match (self.modifiers.how, numbers.as_slice()) {
            (How::Number(operator), numbers) => {
                Rows::any(numbers.iter().map(|number| with_part(self.row(operator, *number))))
            }
            (_, [number]) => with_part(self.row("is", *number)),
            (_, numbers) => with_part(self.row("in", numbers.to_vec())),
        };
        Ok(rows)
    }

    /// Comparisons with numbers.
    fn numbers(&self, operator: &str, values: &[Node]) -> Result<Rows> {
        let rows = values.iter().map(|value| {
            if matches!(self.field.holds, Holds::Text | Holds::Anything | Holds::Flag) {
                return Err(self.no_fit(value.span, "a comparison"));
            }
            match (self.number(value)?, self.field.holds) {
                (Json::Number(number), Holds::Integer | Holds::Time) if !number.is_i64() => {
                    Err(self.no_fit(value.span, "a fraction"))
                }
                (number, _) => Ok(self.row(operator, number)),
            }
        });
        Ok(Rows::any(rows.collect::<Result<Vec<_>>>()?))
    }

    fn number(&self, value: &Node) -> Result<Json> {
        match &value.value {
            Value::Integer(number) => Ok((*number).into()),
            Value::Number(number) => Ok((*number).into()),
            Value::Text(text) => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(number), _) => Ok(number.into()),
                (_, Ok(number)) if number.is_finite() => Ok(number.into()),
                _ => Err(bad(value.span, format!("`{}` is not a number", shown(text)), "")),
            },
            other => Err(bad(
                value.span,
                format!("a comparison takes a number, not {}", other.what()),
                "",
            )),
        }
    }

    /// Regular expressions.
    fn expressions(&self, values: &[Node]) -> Result<Rows> {
        let mut rows = Vec::new();
        for value in values {
            if !matches!(self.field.holds, Holds::Said | Holds::Text | Holds::Anything) {
                return Err(self.no_fit(value.span, "a regular expression"));
            }
            for text in self.resolved(value)? {
                if text.is_empty() {
                    rows.push(self.there(value.span)?);
                    continue;
                }
                let flags = &self.modifiers.flags;
                let text = if flags.is_empty() { text } else { format!("(?{flags}){text}") };
                let passes = check_expression(&text, self.modifiers.insensitive, value.span)?;
                let mut row = self.row("matches", text);
                if let (true, Rows::Row(Json::Object(row))) = (self.modifiers.insensitive, &mut row)
                {
                    row.insert("ignore-case".to_owned(), true.into());
                }
                rows.push(self.unless_null(row, passes));
            }
        }
        Ok(Rows::any(rows))
    }

    /// Ranges of addresses.
    fn ranges(&self, values: &[Node]) -> Result<Rows> {
        let mut ranges = Vec::new();
        for value in values {
            if !matches!(self.field.holds, Holds::Said | Holds::Text) {
                return Err(self.no_fit(value.span, "a range of addresses"));
            }
            for text in self.resolved(value)? {
                ranges.push(range(&text).ok_or_else(|| {
                    bad(
                        value.span,
                        format!("`{}` is not a range of addresses", shown(&text)),
                        "write it like `10.0.0.0/8` or `2001:db8::/32`",
                    )
                })?);
            }
        }
        Ok(match ranges.as_slice() {
            [range] => self.row("cidr", range.as_str()),
            ranges => self.row("cidr", ranges),
        })
    }

    /// A text of a rule, its placeholders resolved; a number as its text.
    fn resolved(&self, value: &Node) -> Result<Vec<String>> {
        let text = match &value.value {
            Value::Text(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => {
                return Err(bad(
                    value.span,
                    format!("a text is needed here, not {}", other.what()),
                    "",
                ));
            }
        };
        if self.modifiers.expand {
            return expand(&text, self.reading.placeholders, value.span);
        }
        Ok(vec![text])
    }

    /// Any value at all.
    fn there(&self, span: Span) -> Result<Rows> {
        if self.field.holds == Holds::Anything {
            return Err(bad(span, "every activity has this", "name a field, or a longer text"));
        }
        Ok(match self.field.holds {
            Holds::Said => self.not_null(),
            _ => self.row("exists", true),
        })
    }

    /// The field is there, and JSON does not say `null`, which is kept as that text.
    fn not_null(&self) -> Rows {
        match self.text_row("not", "null", true) {
            Rows::Row(Json::Object(mut row)) => {
                row.insert("missing".to_owned(), "no-match".into());
                Rows::Row(Json::Object(row))
            }
            row => row,
        }
    }

    /// A row that the text `null` would pass, without activities where that stands for nothing.
    fn unless_null(&self, row: Rows, passes: bool) -> Rows {
        match (self.field.holds, passes) {
            (Holds::Said, true) => Rows::all([row, self.not_null()]),
            _ => row,
        }
    }

    /// Texts, and what is compared as one.
    fn texts(&self, values: &[Node]) -> Result<Rows> {
        let mut asks = Asks::default();
        for value in values {
            match &value.value {
                Value::Text(_) => self.text(value, &mut asks)?,
                Value::Null if self.modifiers.how == How::Is && !self.keyword() => {
                    asks.rows.push(self.null());
                }
                Value::Null => {
                    return Err(bad(
                        value.span,
                        "`null` is compared with a whole field only",
                        "take the modifier out",
                    ));
                }
                Value::Integer(_) | Value::Number(_) | Value::Bool(_) => {
                    let whole = self.modifiers.how == How::Is && !self.keyword();
                    for text in self.literals(&value.value, whole) {
                        self.add(Pattern::plain(text), value.span, &mut asks)?;
                    }
                }
                other => {
                    let message = format!("a value can't be {}", other.what());
                    let hint = "a list of mappings stands for a part of its own";
                    return Err(bad(value.span, message, hint));
                }
            }
        }
        Ok(asks.rows(self))
    }

    fn keyword(&self) -> bool {
        self.field.holds == Holds::Anything
    }

    /// How JSON may write a number or a flag.
    fn literals(&self, value: &Value, whole: bool) -> Vec<String> {
        match value {
            Value::Integer(number) if whole && self.field.holds == Holds::Said => {
                vec![number.to_string(), format!("{number}.0")]
            }
            Value::Integer(number) => vec![number.to_string()],
            Value::Number(number) if number.fract() == 0.0 && whole => {
                vec![format!("{number}"), format!("{number:.1}")]
            }
            Value::Number(number) => vec![number.to_string()],
            Value::Bool(flag) => vec![flag.to_string()],
            _ => Vec::new(),
        }
    }

    /// The field is not there, or JSON says `null`.
    fn null(&self) -> Rows {
        let absent = self.row("exists", false);
        match self.field.holds {
            Holds::Said => Rows::any([absent, self.text_row("is", "null", true)]),
            _ => absent,
        }
    }

    fn text(&self, value: &Node, asks: &mut Asks) -> Result<()> {
        for text in self.resolved(value)? {
            let pattern = Pattern::parse(&text);
            for pattern in self.written(pattern, value.span)? {
                self.add(pattern, value.span, asks)?;
            }
            if asks.known.len() > MOST_TEXTS {
                let message = format!("the field is compared with more than {MOST_TEXTS} texts");
                return Err(No::at(RefusedKind::Limit, value.span, message, "split the rule"));
            }
        }
        Ok(())
    }

    /// Every way in which a text may be written.
    fn written(&self, pattern: Pattern, span: Span) -> Result<Vec<Pattern>> {
        let mut patterns = vec![pattern];
        if self.modifiers.windash {
            let dashes: usize =
                patterns.iter().map(|pattern| pattern.count(encode::count_dashes)).sum();
            if u32::try_from(dashes)
                .ok()
                .and_then(|dashes| 5usize.checked_pow(dashes))
                .is_none_or(|ways| ways > MOST_VARIANTS)
            {
                return Err(bad(
                    span,
                    format!(
                        "there are {dashes} dashes in it, and each can be written in five ways"
                    ),
                    "split the value, and use `contains|all`",
                ));
            }
            patterns =
                patterns.iter().flat_map(|pattern| pattern.variants(encode::dashes)).collect();
        }
        let Some(base64) = self.modifiers.base64 else { return Ok(patterns) };
        let mut written = Vec::new();
        for pattern in patterns {
            let Some(text) = pattern.text() else {
                return Err(bad(
                    span,
                    "a text with wildcards can't be written in Base64",
                    r"put a backslash before `*` and `?` that are meant as they are",
                ));
            };
            let bytes = encode::bytes(text, self.modifiers.wide);
            let texts = encode::base64(&bytes, base64);
            if texts.iter().all(String::is_empty) {
                return Err(bad(
                    span,
                    "nothing is left of the text in Base64",
                    "take a longer one",
                ));
            }
            let within = base64 == encode::Base64::Within && self.modifiers.how == How::Is;
            written.extend(texts.into_iter().map(|text| Pattern::plain(text).open(within, within)));
        }
        Ok(written)
    }

    /// Sorts a text under how it is asked.
    fn add(&self, pattern: Pattern, span: Span, asks: &mut Asks) -> Result<()> {
        let pattern = match self.modifiers.how {
            How::Contains => pattern.open(true, true),
            How::Starts => pattern.open(false, true),
            How::Ends => pattern.open(true, false),
            // A text without a field is looked for in the texts of an activity.
            _ if self.keyword() => pattern.open(true, true),
            _ => pattern,
        };
        match pattern.ask() {
            Ask::Any => asks.rows.push(self.there(span)?),
            Ask::Is(text) if text.is_empty() => asks.rows.push(match self.field.holds {
                Holds::Said => self.row("is", ""),
                _ => self.row("exists", false),
            }),
            Ask::Is(text) => {
                self.check_kind(&text, span)?;
                asks.add("is", text);
            }
            other => {
                asks.null_passes |= pattern.fits("null");
                match other {
                    Ask::Contains(text) => asks.add("contains", text),
                    Ask::Starts(text) => asks.add("starts", text),
                    Ask::Ends(text) => asks.add("ends", text),
                    Ask::Like(text) => asks.add("like", text),
                    Ask::Any | Ask::Is(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Kinds are casbah's own words: another one would never match.
    fn check_kind(&self, text: &str, span: Span) -> Result<()> {
        let words = match self.field.name.as_str() {
            "kind" => KINDS,
            "object.kind" | "objects.kind" => OBJECT_KINDS,
            _ => return Ok(()),
        };
        let names = words.iter().map(|word| word.name);
        if names.clone().any(|name| name.eq_ignore_ascii_case(text)) {
            return Ok(());
        }
        let hint = suggest::hint(text, names, "the kinds");
        Err(bad(span, format!("`{}` is not a kind", shown(text)), hint))
    }

    /// Numbers, times and flags that are equal to one of the values.
    fn equal(&self, values: &[Node]) -> Result<Rows> {
        let rows = values.iter().map(|value| {
            let flag = match &value.value {
                Value::Null => return Ok(self.row("exists", false)),
                Value::Bool(flag) => Some(*flag),
                Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
                Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
                Value::Text(text) if self.modifiers.how == How::Is && text == "*" => {
                    return self.there(value.span);
                }
                _ => None,
            };
            if self.modifiers.how != How::Is || self.modifiers.base64.is_some() {
                return Err(self.no_fit(value.span, "a part of a text"));
            }
            match (self.field.holds, flag) {
                (Holds::Flag, Some(flag)) => Ok(self.row("is", flag)),
                (Holds::Flag, None) => Err(self.no_fit(value.span, "the value")),
                (Holds::Integer, None) => match self.number(value)? {
                    Json::Number(number) if number.is_i64() => Ok(self.row("is", number)),
                    _ => Err(self.no_fit(value.span, "a fraction")),
                },
                (Holds::Number, None) => {
                    let number = self.number(value)?;
                    Ok(Rows::all([
                        self.row("at-least", number.clone()),
                        self.row("at-most", number),
                    ]))
                }
                _ => Err(self.no_fit(value.span, "the value")),
            }
        });
        Ok(Rows::any(rows.collect::<Result<Vec<_>>>()?))
    }
}

/// Texts by how they are asked.
#[derive(Default)]
struct Asks {
    texts: BTreeMap<&'static str, Vec<String>>,
    known: HashSet<(&'static str, String)>,
    /// Whether the text `null` passes one of those that are no whole texts.
    null_passes: bool,
    rows: Vec<Rows>,
}

impl Asks {
    fn add(&mut self, operator: &'static str, text: String) {
        if self.known.insert((operator, text.clone())) {
            self.texts.entry(operator).or_default().push(text);
        }
    }

    fn rows(self, asked: &Asked<'_>) -> Rows {
        let cased = asked.modifiers.cased;
        let rows =
            self.texts.into_iter().map(|(operator, texts)| match (operator, texts.as_slice()) {
                ("is", [text]) => asked.text_row("is", text.as_str(), cased),
                ("is", texts) => asked.text_row("in", texts, cased),
                (_, [text]) => {
                    let row = asked.text_row(operator, text.as_str(), cased);
                    asked.unless_null(row, self.null_passes)
                }
                (_, texts) => {
                    asked.unless_null(asked.text_row(operator, texts, cased), self.null_passes)
                }
            });
        Rows::any(rows.chain(self.rows))
    }
}

/// A regular expression must be one of those that filter rows take; says whether the text `null` passes.
fn check_expression(text: &str, insensitive: bool, span: Span) -> Result<bool> {
    if text.len() > LONGEST_PATTERN {
        return Err(bad(
            span,
            format!("the regular expression is longer than {LONGEST_PATTERN} bytes"),
            "split it",
        ));
    }
    let text = if insensitive { format!("(?i){text}") } else { text.to_owned() };
    match RegexBuilder::new(&text).size_limit(LARGEST_PATTERN).nest_limit(DEEPEST_PATTERN).build() {
        Ok(expression) => Ok(expression.is_match("null")),
        Err(error) => Err(bad(
            span,
            format!(
                "the regular expression is not understood: {}",
                crate::document::one_line(&error.to_string())
            ),
            r"there is no looking around, no reference back and no `\p{…}`",
        )),
    }
}

/// A range as filter rows take it: without bits behind its length.
fn range(text: &str) -> Option<String> {
    let (address, length) = match text.trim().split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (text.trim(), None),
    };
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let length = length.unwrap_or(32);
            let mask = u32::MAX.checked_shl(32u32.checked_sub(length)?).unwrap_or(0);
            Some(format!("{}/{length}", std::net::Ipv4Addr::from(u32::from(address) & mask)))
        }
        IpAddr::V6(address) => {
            let length = length.unwrap_or(128);
            let mask = u128::MAX.checked_shl(128u32.checked_sub(length)?).unwrap_or(0);
            Some(format!("{}/{length}", std::net::Ipv6Addr::from(u128::from(address) & mask)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lose_the_bits_behind_their_length() {
        assert_eq!(range("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(range("0.0.0.0/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(range("192.168.1.5").as_deref(), Some("192.168.1.5/32"));
        assert_eq!(range("2001:db8:1::/32").as_deref(), Some("2001:db8::/32"));
        assert_eq!(range("::/0").as_deref(), Some("::/0"));
        for wrong in ["10.0.0.0/33", "::/129", "10.0.0/8", "x", "10.0.0.0/-1", ""] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
    }
}
