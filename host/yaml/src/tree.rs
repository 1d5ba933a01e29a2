//! YAML as a tree that knows where everything stands, within bounds.
//!
//! It is not all of YAML: anchors, aliases, tags and second documents are refused, because a file of
//! settings needs none of them and each is a way to write a file that reads as something else or grows
//! without end. A plain scalar has the type of YAML 1.2's core schema, so `no` is a text.

use saphyr_parser::{Event, Parser, ScalarStyle, Span as ParserSpan};

/// Files larger than this are refused.
pub const MAX_BYTES: usize = 1 << 20;
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 50_000;

/// A place in a file. Lines and columns count from 1, columns and lengths in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Line.
    pub line: usize,
    /// Column in the line.
    pub column: usize,
    /// How much of the line is meant.
    pub length: usize,
}

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its place.
    pub span: Span,
    /// What it is.
    pub value: Value,
}

/// What a node can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, written as nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number that fits 64 bits.
    Integer(i64),
    /// Another number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The place of the key.
    pub span: Span,
    /// The value.
    pub value: Node,
}

/// What a kind of file is called in messages.
#[derive(Clone, Copy, Debug)]
pub struct Wording {
    /// One of them, e.g. `a policy`.
    pub one: &'static str,
    /// Several, e.g. `policies`.
    pub many: &'static str,
    /// How such a file begins, e.g. ``begin with `policy: name-of-the-policy` ``.
    pub begin: &'static str,
    /// What to do with a second document.
    pub second: &'static str,
    /// What to do with a file that is too long.
    pub long: &'static str,
}

impl Value {
    /// The word for it in messages.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "true or false",
            Self::Integer(_) => "a whole number",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

impl Node {
    /// The same without places.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Number(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => serde_json::Value::Object(
                entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect(),
            ),
        }
    }

    /// The entry of a key, when this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The place of what a JSON pointer leads to, or of the last thing on the way that exists.
    ///
    /// The place of an entry is that of its key, except where the pointer ends: there the value
    /// is meant, when it is short enough to be underlined.
    pub fn find(&self, pointer: &str) -> Span {
        let mut node = self;
        let mut span = self.span;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.value {
                Value::Map(entries) => {
                    entries.iter().find(|entry| entry.key == part).map(|e| (&e.value, e.span))
                }
                Value::List(items) => part
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index))
                    .map(|item| (item, item.span)),
                _ => None,
            };
            let Some((next, key)) = next else { return span };
            node = next;
            span = match next.value {
                Value::Map(_) | Value::List(_) | Value::Null => key,
                _ => next.span,
            };
        }
        span
    }
}

/// Reads the one document of a file, which must be a mapping.
///
/// # Errors
/// The first thing wrong with it. The text comes back either way, as far as it is one, so that the
/// line can be shown.
pub fn parse(bytes: &[u8], wording: Wording) -> Result<(String, Node), (String, Wrong)> {
    let fail = |text: &str, span, message: String, hint: &str| {
        Err((text.to_owned(), Wrong { span, message, hint: Some(hint.to_owned()) }))
    };
    let start = Span { line: 1, column: 1, length: 1 };
    if bytes.len() > MAX_BYTES {
        return fail(
            "",
            start,
            format!("the file has {} bytes; {} may have {MAX_BYTES}", bytes.len(), wording.one),
            wording.long,
        );
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = String::from_utf8_lossy(bytes.get(..error.valid_up_to()).unwrap_or(&[]));
            let line = good.matches('\n').count() + 1;
            let column = good.chars().rev().take_while(|&c| c != '\n').count() + 1;
            let message = format!("byte {} is not UTF-8", error.valid_up_to());
            let lossy = String::from_utf8_lossy(bytes).into_owned();
            return fail(
                &lossy,
                Span { line, column, length: 1 },
                message,
                "save the file as UTF-8",
            );
        }
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        if let Some((at, c)) = line.chars().enumerate().find(|&(_, c)| c.is_control() && c != '\t')
        {
            let span = Span { line: index + 1, column: at + 1, length: 1 };
            let message = format!("there is a control character here (U+{:04X})", c as u32);
            return fail(
                text,
                span,
                message,
                "take it out, or write it as an escape in double quotes",
            );
        }
    }
    let builder = Builder { parser: Parser::new_from_str(text), nodes: 0, wording };
    match builder.document() {
        Ok(node) => Ok((text.to_owned(), node)),
        Err(wrong) => Err((text.to_owned(), wrong)),
    }
}

struct Builder<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    nodes: usize,
    wording: Wording,
}

fn wrong(span: Span, message: impl Into<String>, hint: &str) -> Wrong {
    Wrong { span, message: message.into(), hint: (!hint.is_empty()).then(|| hint.to_owned()) }
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Wrong> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, place(span))),
            Some(Err(error)) => {
                let mark = error.marker();
                let span = Span { line: mark.line().max(1), column: mark.col() + 1, length: 1 };
                let info = error.info();
                let hint = if info.contains("tab") {
                    "indent with spaces; YAML does not allow tabs there"
                } else {
                    "check indentation, quotes and brackets here and in the line before"
                };
                Err(wrong(span, format!("this is not YAML: {info}"), hint))
            }
            None => Ok((Event::StreamEnd, Span { line: 1, column: 1, length: 1 })),
        }
    }

    fn document(mut self) -> Result<Node, Wrong> {
        let mut found: Option<Node> = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) if found.is_some() => {
                    return Err(wrong(span, "a second document begins here", self.wording.second));
                }
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                event => found = Some(self.node(event, span, 0)?),
            }
        }
        match found {
            Some(node) if matches!(node.value, Value::Map(_)) => Ok(node),
            Some(node) if node.value != Value::Null => Err(wrong(
                node.span,
                format!("{} is a mapping, this is {}", self.wording.one, node.value.what()),
                self.wording.begin,
            )),
            _ => Err(wrong(
                Span { line: 1, column: 1, length: 1 },
                "the file is empty",
                self.wording.begin,
            )),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Wrong> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(wrong(span, format!("there are more than {MAX_NODES} values"), ""));
        }
        if depth > MAX_DEPTH {
            return Err(wrong(span, format!("this is nested more than {MAX_DEPTH} deep"), ""));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(span, anchor, tag.is_some())?;
                scalar(&text, style)
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some())?;
                self.list(depth)?
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(span, anchor, tag.is_some())?;
                self.map(depth)?
            }
            Event::Alias(_) => return Err(self.alias(span)),
            _ => Value::Null,
        };
        Ok(Node { span, value })
    }

    fn refuse(&self, span: Span, anchor: usize, tagged: bool) -> Result<(), Wrong> {
        if anchor != 0 {
            return Err(self.alias(span));
        }
        if tagged {
            return Err(wrong(
                span,
                format!("tags such as `!name` are not used in {}", self.wording.many),
                "take it out; a text is put in quotes",
            ));
        }
        Ok(())
    }

    fn alias(&self, span: Span) -> Wrong {
        wrong(
            span,
            format!("anchors (`&`) and aliases (`*`) are not used in {}", self.wording.many),
            "write the value out; a text that begins with `*` or `&` is put in quotes",
        )
    }

    fn list(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd | Event::StreamEnd => return Ok(Value::List(items)),
                event => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Wrong> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known = std::collections::HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(Value::Map(entries)),
                Event::Scalar(text, _, anchor, tag) => {
                    self.refuse(span, anchor, tag.is_some())?;
                    text.into_owned()
                }
                Event::Alias(_) => return Err(self.alias(span)),
                _ => return Err(wrong(span, "a key must be a text", "")),
            };
            if let Some(line) = known.insert(key.clone(), span.line) {
                return Err(wrong(
                    span,
                    format!(
                        "`{}` is given twice, first in line {line}",
                        crate::suggest::shown(&key)
                    ),
                    "keep one of them",
                ));
            }
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span, depth + 1)?;
            entries.push(Entry { key, span, value });
        }
    }
}

fn place(span: ParserSpan) -> Span {
    let (start, end) = (span.start, span.end);
    let length = if start.line() == end.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Span { line: start.line().max(1), column: start.col() + 1, length: length.max(1) }
}

/// The core schema of YAML 1.2.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let integer = match text.get(..2) {
        Some("0x") => text.get(2..).and_then(|digits| i64::from_str_radix(digits, 16).ok()),
        Some("0o") => text.get(2..).and_then(|digits| i64::from_str_radix(digits, 8).ok()),
        _ => text.parse().ok(),
    };
    if let Some(integer) = integer {
        return Value::Integer(integer);
    }
    // Words that the float parser would take, such as `inf` and `nan`, are texts in YAML.
    let digits = text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    match text.parse::<f64>() {
        Ok(number) if digits && number.is_finite() && !is_whole(text) => Value::Number(number),
        _ => Value::Text(text.to_owned()),
    }
}

/// A whole number too large for 64 bits is an id, and stays the text it is.
fn is_whole(text: &str) -> bool {
    text.trim_start_matches(['+', '-']).bytes().all(|b| b.is_ascii_digit())
}
