//! Reads JSON in place: values are slices of the text they stand in.
//!
//! Made for the hot path of adapters, where building a tree of values or owned texts would cost more
//! than all the rest. Numbers keep their digits, so that 64-bit ids survive. What is no JSON is
//! refused, as other readers do.
//!
//! It is not a general JSON library: whoever walks it decides what to do with a value, and escaped
//! texts are unescaped only when somebody asks for them.

use std::borrow::Cow;
use std::fmt;

use casbah_model::table::same;

/// Where a text stopped being JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Offset in bytes.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {} there should be {}", self.at, self.expected)
    }
}

/// A text between its quotes, as it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// The text when nothing in it is escaped, which is nearly always.
    #[inline]
    pub fn plain(self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.raw) }
    }

    /// The text; `scratch` holds it when it had to be unescaped.
    #[inline]
    pub fn get<'s>(self, scratch: &'s mut String) -> &'s str
    where
        'a: 's,
    {
        if !self.escaped {
            return self.raw;
        }
        scratch.clear();
        unescape(self.raw, scratch);
        scratch
    }

    /// The text; `None` when half of a surrogate pair in it would be lost.
    #[inline]
    pub fn exact(self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.raw));
        }
        let mut text = String::with_capacity(self.raw.len());
        unescape(self.raw, &mut text).then_some(Cow::Owned(text))
    }

    /// Whether there is nothing between the quotes.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

/// A value; arrays and objects are left as the text they were written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// The digits as they were written.
    Number(&'a str),
    /// A text.
    Text(Text<'a>),
    /// An array with all that is in it.
    Array(&'a str),
    /// An object with all that is in it.
    Object(&'a str),
}

/// A position in a text.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Brackets that a skipped value has open; kept to be used again.
    open: Vec<u8>,
}

impl<'a> Scanner<'a> {
    /// At the beginning of a text, behind its byte-order mark if it has one.
    pub fn new(text: &'a str) -> Self {
        // The mark is not JSON, but some tools put one before saved files.
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self::starting_at(text, at)
    }

    /// At an offset in bytes. A byte-order mark there is no JSON.
    pub fn starting_at(text: &'a str, at: usize) -> Self {
        Self { text, at, open: Vec::new() }
    }

    /// Goes back to an offset where it was before.
    pub(crate) fn go_back(&mut self, at: usize) {
        self.at = at;
    }

    /// Offset in bytes.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The text from an earlier offset up to here.
    #[inline]
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Passes over white space and returns the next byte, 0 at the end.
    #[inline]
    pub fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    /// Whether nothing but white space is left.
    pub fn is_done(&mut self) -> bool {
        self.peek();
        self.at >= self.text.len()
    }

    #[inline]
    fn broken<T>(&self, expected: &'static str) -> Result<T, Broken> {
        Err(Broken { at: self.at, expected })
    }

    /// Enters an object: `{`.
    ///
    /// # Errors
    /// When something else comes next.
    #[inline]
    pub fn enter_object(&mut self) -> Result<(), Broken> {
        if self.peek() != b'{' {
            return self.broken("an object");
        }
        self.at += 1;
        Ok(())
    }

    /// Enters an array: `[`.
    ///
    /// # Errors
    /// When something else comes next.
    #[inline]
    pub fn enter_array(&mut self) -> Result<(), Broken> {
        if self.peek() != b'[' {
            return self.broken("an array");
        }
        self.at += 1;
        Ok(())
    }

    /// The next key of the object entered last; `None` leaves the object.
    ///
    /// # Errors
    /// When what comes next is no JSON.
    #[inline]
    pub fn key(&mut self, first: &mut bool) -> Result<Option<Text<'a>>, Broken> {
        if self.member(first)? { self.member_key().map(Some) } else { Ok(None) }
    }

    /// Whether another member of the object entered last comes next, at its key; `false` leaves the
    /// object.
    ///
    /// # Errors
    /// When what comes next is no JSON.
    #[inline]
    pub fn member(&mut self, first: &mut bool) -> Result<bool, Broken> {
        let mut byte = self.peek();
        if byte == b'}' {
            self.at += 1;
            return Ok(false);
        }
        if !*first {
            if byte != b',' {
                return self.broken("`,` or `}`");
            }
            self.at += 1;
            byte = self.peek();
        }
        *first = false;
        if byte != b'"' {
            return self.broken("a key in quotes");
        }
        Ok(true)
    }

    /// The key that comes next, once [`member`](Self::member) has seen it.
    ///
    /// # Errors
    /// When it is no JSON.
    #[inline]
    pub fn member_key(&mut self) -> Result<Text<'a>, Broken> {
        let key = self.string()?;
        if self.peek() != b':' {
            return self.broken("`:`");
        }
        self.at += 1;
        Ok(key)
    }

    /// Passes over the text that comes next when it is this one, which is written without escapes. The
    /// scanner must stand at its first quote.
    #[inline]
    pub fn skip_text(&mut self, text: &[u8]) -> bool {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        let is_it = rest.get(text.len()) == Some(&b'"')
            && rest.get(..text.len()).is_some_and(|start| same(start, text));
        if is_it {
            self.at += text.len() + 2;
        }
        is_it
    }

    /// Passes over the key that comes next, and its colon, when it is this one.
    #[inline]
    pub(crate) fn skip_key(&mut self, key: &[u8]) -> bool {
        let start = self.at;
        if self.skip_text(key) {
            if self.peek() == b':' {
                self.at += 1;
                return true;
            }
            self.at = start;
        }
        false
    }

    /// Whether the array entered last has another item, which comes next; `false` leaves it.
    ///
    /// # Errors
    /// When what comes next is no JSON.
    #[inline]
    pub fn item(&mut self, first: &mut bool) -> Result<bool, Broken> {
        let byte = self.peek();
        if byte == b']' {
            self.at += 1;
            return Ok(false);
        }
        if !*first {
            if byte != b',' {
                return self.broken("`,` or `]`");
            }
            self.at += 1;
            if self.peek() == b']' {
                return self.broken("a value");
            }
        }
        *first = false;
        Ok(true)
    }

    /// Goes through the array that comes next: `each` reads an item, and where that stands is added to
    /// `spans`, start and end in bytes of a text shorter than 4 GiB.
    ///
    /// # Errors
    /// When it is no array, or no JSON, or when `each` says so.
    #[inline]
    pub fn items(
        &mut self,
        spans: &mut Vec<u32>,
        mut each: impl FnMut(&mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut first = true;
        self.enter_array()?;
        while self.item(&mut first)? {
            self.peek();
            spans.push(self.at as u32);
            each(self)?;
            spans.push(self.at as u32);
        }
        Ok(())
    }

    /// The next value.
    ///
    /// # Errors
    /// When what comes next is no JSON.
    #[inline]
    pub fn value(&mut self) -> Result<Value<'a>, Broken> {
        match self.peek() {
            b'"' => Ok(Value::Text(self.string()?)),
            b'-' | b'0'..=b'9' => Ok(Value::Number(self.number()?)),
            b'{' => Ok(Value::Object(self.skip_nested()?)),
            b'[' => Ok(Value::Array(self.skip_nested()?)),
            b't' => self.literal("true", Value::Flag(true)),
            b'f' => self.literal("false", Value::Flag(false)),
            b'n' => self.literal("null", Value::Null),
            _ => self.broken("a value"),
        }
    }

    fn literal(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, Broken> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return self.broken("`true`, `false` or `null`");
        }
        self.at += word.len();
        Ok(value)
    }

    /// A text; the quote at its start has been seen.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Broken> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            self.at += plain_length(rest);
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.broken("no control character in a text"),
                None => return self.broken("a `\"` that ends the text"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Broken> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|byte| byte.is_ascii_hexdigit()) => {
                self.at += 6;
            }
            _ => return self.broken("an escape of JSON"),
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<&'a str, Broken> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.byte() == Some(b'0');
        let digits = self.digits()?;
        if leading_zero && digits > 1 {
            self.at = start;
            return self.broken("a number without leading zeros");
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.since(start))
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn digits(&mut self) -> Result<usize, Broken> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.broken("a digit") } else { Ok(self.at - start) }
    }

    /// Passes over an array or object, checking it on the way. Needs no recursion, however deep.
    fn skip_nested(&mut self) -> Result<&'a str, Broken> {
        let start = self.at;
        let mut open = std::mem::take(&mut self.open);
        open.clear();
        let result = self.skip_all(&mut open);
        self.open = open;
        result.map(|()| self.since(start))
    }

    fn skip_all(&mut self, open: &mut Vec<u8>) -> Result<(), Broken> {
        let mut first = false;
        loop {
            // A value comes next.
            match self.peek() {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    open.push(bracket);
                    first = true;
                }
                _ => {
                    self.value()?;
                }
            }
            // Then whatever leads to the next value.
            loop {
                let more = match open.last() {
                    None => return Ok(()),
                    Some(b'{') => self.key(&mut first)?.is_some(),
                    Some(_) => self.item(&mut first)?,
                };
                if more {
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }
}

/// How many bytes come before the first quote, backslash or control character.
#[inline]
fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut rest = bytes;
    let mut passed = 0;
    // Eight bytes a step; the lowest mark is exact, and only it is used.
    while let Some((step, left)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*step);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let marks = ((quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word))
            & HIGHS;
        if marks != 0 {
            return passed + (marks.trailing_zeros() / 8) as usize;
        }
        passed += 8;
        rest = left;
    }
    let tail = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
    passed + tail.unwrap_or(rest.len())
}

/// Appends a checked raw text to `out`, unescaped. Half of a surrogate pair becomes U+FFFD; says
/// whether there was none.
fn unescape(raw: &str, out: &mut String) -> bool {
    let (mut rest, mut whole) = (raw, true);
    while let Some((plain, after)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = after.chars();
        match chars.next() {
            Some('u') => {
                let (character, used) = unicode(after);
                whole &= character.is_some();
                out.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                rest = after.get(used..).unwrap_or_default();
                continue;
            }
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    whole
}

/// The character of `uXXXX`, or of `uXXXX\uXXXX`, and how many bytes were used for it; no character
/// for half of a surrogate pair.
fn unicode(text: &str) -> (Option<char>, usize) {
    let unit =
        |from: usize| -> Option<u32> { u32::from_str_radix(text.get(from..from + 4)?, 16).ok() };
    let Some(high) = unit(1) else { return (None, text.len()) };
    if let Some(character) = char::from_u32(high) {
        return (Some(character), 5);
    }
    if (0xd800..0xdc00).contains(&high)
        && text.get(5..7) == Some("\\u")
        && let Some(low) = unit(7).filter(|low| (0xdc00..0xe000).contains(low))
        && let Some(character) = char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    {
        return (Some(character), 11);
    }
    (None, 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Rebuilds a value by walking it, to compare with serde_json.
    fn walk(scanner: &mut Scanner<'_>) -> Result<serde_json::Value, Broken> {
        let mut first = true;
        match scanner.peek() {
            b'{' => {
                scanner.enter_object()?;
                let mut object = serde_json::Map::new();
                while let Some(key) = scanner.key(&mut first)? {
                    let key = key.get(&mut String::new()).to_owned();
                    object.insert(key, walk(scanner)?);
                }
                Ok(object.into())
            }
            b'[' => {
                scanner.enter_array()?;
                let mut array = Vec::new();
                while scanner.item(&mut first)? {
                    array.push(walk(scanner)?);
                }
                Ok(array.into())
            }
            _ => Ok(match scanner.value()? {
                Value::Null => serde_json::Value::Null,
                Value::Flag(flag) => flag.into(),
                // Too large for serde_json's floats, but kept here as it is written.
                Value::Number(digits) => serde_json::from_str(digits).unwrap_or_default(),
                Value::Text(text) => text.get(&mut String::new()).into(),
                Value::Array(_) | Value::Object(_) => unreachable!("seen above"),
            }),
        }
    }

    /// What the scanner says of a whole text: by walking it and by skipping it.
    fn read(text: &str) -> Option<serde_json::Value> {
        let mut walking = Scanner::new(text);
        let walked = walk(&mut walking).ok().filter(|_| walking.is_done());
        let mut skipping = Scanner::new(text);
        let skipped = skipping.value().is_ok() && skipping.is_done();
        assert_eq!(walked.is_some(), skipped, "walking and skipping disagree on {text:?}");
        walked
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            (-1e300..1e300_f64).prop_map(Into::into),
            ".{0,30}".prop_map(serde_json::Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                proptest::collection::vec((".{0,12}", inner), 0..6)
                    .prop_map(|pairs| pairs.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        /// Whatever serde_json writes, compact or not, is read as the same value.
        #[test]
        fn reads_what_serde_json_writes(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(read(&text), Some(expected));
            }
        }

        /// On damaged texts both readers agree on what is JSON and what it says.
        #[test]
        fn agrees_with_serde_json_on_damage(
            value in json(),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), "[\\\\\"{}\\[\\],:0-9eEtfnu.+ -]"), 1..4)
        ) {
            let mut text: Vec<char> = value.to_string().chars().collect();
            for (at, with) in &damage {
                let at = at.index(text.len());
                text.splice(at..=at, with.chars());
            }
            let text: String = text.into_iter().collect();
            match (serde_json::from_str::<serde_json::Value>(&text), read(&text)) {
                (Ok(expected), Some(found)) => prop_assert_eq!(found, expected),
                (Err(_), None) => {}
                // The one thing read here and refused there: half of a surrogate pair, and numbers
                // too large for a float, which are kept as they are written.
                (Err(error), Some(_)) => {
                    let error = error.to_string();
                    prop_assert!(
                        error.contains("surrogate") || error.contains("hex escape")
                            || error.contains("out of range"),
                        "{} in {}", error, text
                    );
                }
                (Ok(_), None) => prop_assert!(false, "refused {}", text),
            }
        }

        /// No bytes that are UTF-8 make it panic.
        #[test]
        fn never_panics(text in ".{0,200}") {
            read(&text);
        }
    }

    #[test]
    fn ids_keep_every_digit() {
        let mut scanner = Scanner::new("9223372036854775807");
        assert_eq!(scanner.value(), Ok(Value::Number("9223372036854775807")));
    }

    #[test]
    fn surrogate_pairs_become_one_character_and_halves_a_mark() {
        for (raw, expected) in [
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d x""#, "\u{fffd} x"),
            (r#""\ude00""#, "\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""a\n\"\\\/\u00e9""#, "a\n\"\\/é"),
        ] {
            let Ok(Value::Text(text)) = Scanner::new(raw).value() else { panic!("{raw}") };
            assert_eq!(text.get(&mut String::new()), expected, "{raw}");
            let exact = serde_json::from_str::<String>(raw).ok();
            assert_eq!(text.exact().map(Cow::into_owned), exact, "{raw}");
        }
    }

    /// Items are pointed at without the blanks around them.
    #[test]
    fn items_are_found_where_they_stand() {
        for (text, expected) in [
            ("[]", Some(vec![])),
            (" [ 1 , {\"a\":[]}\n,null]", Some(vec![3, 4, 7, 15, 17, 21])),
            ("[1,]", None),
            ("[1", None),
            ("{}", None),
        ] {
            let mut spans = Vec::new();
            let found = Scanner::new(text).items(&mut spans, |scanner| scanner.value().map(drop));
            assert_eq!(found.ok().map(|()| spans), expected, "{text}");
        }
    }

    /// Deep nesting must neither overflow the stack nor be refused.
    #[test]
    fn nesting_may_be_as_deep_as_the_body_is_long() {
        let text = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(Scanner::new(&text).value().is_ok());
        assert!(Scanner::new(&"[{\"a\":".repeat(100_000)).value().is_err());
    }
}
