//! Patterns with `*` and `?`, which match a whole text.
//!
//! It is not the shell's: `*` takes every character, `/` included, and there are no classes.

/// A pattern with wildcards, compiled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Glob(Vec<Piece>);

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Piece {
    /// This text.
    Text(String),
    /// Any one character.
    One,
    /// Any characters, or none.
    Many,
}

/// What a pattern comes down to.
pub(crate) enum Plain {
    /// It matches every text.
    All,
    /// Just this text.
    Is(String),
    /// What starts with it.
    Starts(String),
    /// What ends with it.
    Ends(String),
    /// What contains it.
    Contains(String),
}

impl Glob {
    /// Reads a pattern: `*` is any characters, `?` any one character, and `\*`, `\?` and `\\` are
    /// these characters themselves. A backslash before anything else is a backslash.
    pub(crate) fn parse(pattern: &str) -> Self {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            let piece = match c {
                '*' => Piece::Many,
                '?' => Piece::One,
                '\\' => {
                    text.push(chars.next_if(|next| matches!(next, '*' | '?' | '\\')).unwrap_or(c));
                    continue;
                }
                c => {
                    text.push(c);
                    continue;
                }
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            // A second star says nothing new.
            if piece != Piece::Many || pieces.last() != Some(&Piece::Many) {
                pieces.push(piece);
            }
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Self(pieces)
    }

    /// The pattern for texts in lower case.
    pub(crate) fn lowered(self, lower: impl Fn(&str) -> String) -> Self {
        let lowered = self.0.into_iter().map(|piece| match piece {
            Piece::Text(text) => Piece::Text(lower(&text)),
            other => other,
        });
        Self(lowered.collect())
    }

    /// What it comes down to where that is less than a pattern.
    pub(crate) fn plain(&self) -> Option<Plain> {
        match self.0.as_slice() {
            [] => Some(Plain::Is(String::new())),
            [Piece::Many] => Some(Plain::All),
            [Piece::Text(text)] => Some(Plain::Is(text.clone())),
            [Piece::Text(text), Piece::Many] => Some(Plain::Starts(text.clone())),
            [Piece::Many, Piece::Text(text)] => Some(Plain::Ends(text.clone())),
            [Piece::Many, Piece::Text(text), Piece::Many] => Some(Plain::Contains(text.clone())),
            _ => None,
        }
    }

    /// Whether the whole text matches; in the worst case time grows with the product of both lengths.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let mut pieces = self.0.as_slice();
        let mut rest = text;
        // Where to go on when the way taken since the last star ends: behind that star, one
        // character further. An earlier star need never be tried again.
        let mut retry: Option<(&[Piece], &str)> = None;
        loop {
            let step = match pieces.split_first() {
                Some((Piece::Many, [])) => return true,
                Some((Piece::Many, behind)) => {
                    retry = Some((behind, rest));
                    Some((behind, rest))
                }
                Some((Piece::Text(wanted), behind)) => {
                    rest.strip_prefix(wanted.as_str()).map(|rest| (behind, rest))
                }
                Some((Piece::One, behind)) => {
                    let mut chars = rest.chars();
                    chars.next().map(|_| (behind, chars.as_str()))
                }
                None if rest.is_empty() => return true,
                None => None,
            };
            if let Some((behind, left)) = step {
                (pieces, rest) = (behind, left);
                continue;
            }
            let Some((behind, from)) = retry else { return false };
            let mut chars = from.chars();
            if chars.next().is_none() {
                return false;
            }
            (pieces, rest) = (behind, chars.as_str());
            retry = Some((behind, rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition itself, without any cleverness.
    fn slow(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            (['?', rest @ ..], [_, more @ ..]) => slow(rest, more),
            (['\\', c @ ('*' | '?' | '\\'), rest @ ..], [t, more @ ..]) => {
                c == t && slow(rest, more)
            }
            (['\\', '*' | '?' | '\\', ..], []) => false,
            ([c, rest @ ..], [t, more @ ..]) => c == t && slow(rest, more),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in r"[ab*?\\ä]{0,8}", text in r"[ab*?\\ä]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let glob = Glob::parse(&pattern);
            let expected = slow(&chars(&pattern), &chars(&text));
            prop_assert_eq!(glob.matches(&text), expected);
            let plain = match glob.plain() {
                None => return Ok(()),
                Some(Plain::All) => true,
                Some(Plain::Is(plain)) => text == plain,
                Some(Plain::Starts(plain)) => text.starts_with(&plain),
                Some(Plain::Ends(plain)) => text.ends_with(&plain),
                Some(Plain::Contains(plain)) => text.contains(&plain),
            };
            prop_assert_eq!(plain, expected);
        }
    }

    /// A hostile pattern must cost no more than the product of the lengths.
    #[test]
    fn many_stars_end_soon() {
        let glob = Glob::parse(&"*a".repeat(40));
        assert!(!glob.matches(&format!("{}b", "a".repeat(2000))));
    }
}
