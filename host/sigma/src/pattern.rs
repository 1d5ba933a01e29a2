//! Texts with wildcards, as Sigma writes them.
//!
//! `*` stands for any number of characters and `?` for one. A backslash takes the meaning of `*`, `?`
//! and a backslash behind it; before anything else it is a backslash.

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// A text as it is, never empty.
    Text(String),
    /// Any number of characters.
    Many,
    /// One character.
    One,
}

/// A text with wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

/// What a pattern asks of a text, in the words of filter rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The whole text.
    Is(String),
    /// A part of it.
    Contains(String),
    /// Its beginning.
    Starts(String),
    /// Its end.
    Ends(String),
    /// The whole of it, with wildcards, in the form of the row `like`.
    Like(String),
    /// That it is there.
    Any,
}

impl Pattern {
    /// Reads a text of a rule.
    pub(crate) fn parse(text: &str) -> Self {
        let mut pattern = Self(Vec::new());
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '*' => pattern.0.push(Piece::Many),
                '?' => pattern.0.push(Piece::One),
                '\\' => {
                    match characters.next_if(|next| matches!(next, '*' | '?' | '\\')) {
                        Some(escaped) => pattern.push(escaped),
                        None => pattern.push('\\'),
                    };
                }
                c => pattern.push(c),
            }
        }
        pattern
    }

    /// A text without wildcards.
    pub(crate) fn plain(text: String) -> Self {
        Self(if text.is_empty() { Vec::new() } else { vec![Piece::Text(text)] })
    }

    fn push(&mut self, c: char) {
        match self.0.last_mut() {
            Some(Piece::Text(text)) => text.push(c),
            _ => self.0.push(Piece::Text(c.into())),
        }
    }

    /// The text, where there are no wildcards.
    pub(crate) fn text(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Adds up a count over its texts.
    pub(crate) fn count(&self, of: impl Fn(&str) -> usize) -> usize {
        let texts = self.0.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(of(text)),
            _ => None,
        });
        texts.sum()
    }

    /// The same with other texts, of which there may be several.
    pub(crate) fn variants(&self, of: impl Fn(&str) -> Vec<String>) -> Vec<Self> {
        let mut all = vec![Self(Vec::new())];
        for piece in &self.0 {
            let pieces = match piece {
                Piece::Text(text) => of(text).into_iter().map(Piece::Text).collect(),
                other => vec![other.clone()],
            };
            all = all
                .iter()
                .flat_map(|before| {
                    pieces.iter().map(|piece| {
                        let mut pattern = before.clone();
                        pattern.0.push(piece.clone());
                        pattern
                    })
                })
                .collect();
        }
        all
    }

    /// The same with more in front or behind.
    pub(crate) fn open(&self, front: bool, behind: bool) -> Self {
        let mut pieces = Vec::with_capacity(self.0.len() + 2);
        if front {
            pieces.push(Piece::Many);
        }
        pieces.extend(self.0.iter().cloned());
        if behind {
            pieces.push(Piece::Many);
        }
        pieces.dedup_by(|a, b| *a == Piece::Many && *b == Piece::Many);
        Self(pieces)
    }

    /// Whether a text in lower case fits, without regard to case.
    pub(crate) fn fits(&self, text: &str) -> bool {
        // The places in the text that the pieces so far can reach.
        let mut reached = vec![0];
        for piece in &self.0 {
            let mut next: Vec<usize> = Vec::new();
            for at in reached {
                let rest = text.get(at..).unwrap_or_default();
                match piece {
                    Piece::Many => {
                        next.extend(rest.char_indices().map(|(index, _)| at + index));
                        next.push(text.len());
                    }
                    Piece::One => next.extend(rest.chars().next().map(|c| at + c.len_utf8())),
                    Piece::Text(wanted) => {
                        let wanted = wanted.to_lowercase();
                        next.extend(rest.starts_with(&wanted).then_some(at + wanted.len()));
                    }
                }
            }
            next.sort_unstable();
            next.dedup();
            reached = next;
        }
        reached.contains(&text.len())
    }

    /// The cheapest question that it is.
    pub(crate) fn ask(&self) -> Ask {
        match self.open(false, false).0.as_slice() {
            [] => Ask::Is(String::new()),
            [Piece::Text(text)] => Ask::Is(text.clone()),
            [Piece::Many] => Ask::Any,
            [Piece::Text(text), Piece::Many] => Ask::Starts(text.clone()),
            [Piece::Many, Piece::Text(text)] => Ask::Ends(text.clone()),
            [Piece::Many, Piece::Text(text), Piece::Many] => Ask::Contains(text.clone()),
            pieces => Ask::Like(like(pieces)),
        }
    }
}

/// In the form of the row `like`, where a backslash is always doubled.
fn like(pieces: &[Piece]) -> String {
    let mut written = String::new();
    for piece in pieces {
        match piece {
            Piece::Many => written.push('*'),
            Piece::One => written.push('?'),
            Piece::Text(text) => {
                for c in text.chars() {
                    if matches!(c, '*' | '?' | '\\') {
                        written.push('\\');
                    }
                    written.push(c);
                }
            }
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> String {
        format!("{:?}", Pattern::parse(text).ask())
    }

    /// The table of escapes in the specification of rules.
    #[test]
    fn backslashes_mean_what_the_specification_says() {
        assert_eq!(asked(r"C:\Windows\x"), r#"Is("C:\\Windows\\x")"#);
        assert_eq!(asked(r"a\\b"), r#"Is("a\\b")"#);
        assert_eq!(asked(r"a\*b\?"), r#"Is("a*b?")"#);
        assert_eq!(asked(r"a\\*"), r#"Starts("a\\")"#);
        assert_eq!(asked(r"a\\\*"), r#"Is("a\\*")"#);
        assert_eq!(asked(r"a\\\\"), r#"Is("a\\\\")"#);
        assert_eq!(asked(r"a\\\"), r#"Is("a\\\\")"#);
        assert_eq!(asked(r"\"), r#"Is("\\")"#);
    }

    #[test]
    fn patterns_fit_texts() {
        let fits = |pattern: &str| Pattern::parse(pattern).fits("null");
        for pattern in ["null", "NULL", "*", "?ul?", "n*l", "*l", "*u*l*", "**"] {
            assert!(fits(pattern), "{pattern}");
        }
        for pattern in ["", "nul", "nulls", "?", "*x", "?????", "u*"] {
            assert!(!fits(pattern), "{pattern}");
        }
    }

    #[test]
    fn wildcards_become_the_cheapest_row() {
        assert_eq!(asked(""), r#"Is("")"#);
        assert_eq!(asked("**"), "Any");
        assert_eq!(asked("x**"), r#"Starts("x")"#);
        assert_eq!(asked("*x"), r#"Ends("x")"#);
        assert_eq!(asked("*x*"), r#"Contains("x")"#);
        assert_eq!(asked("?"), r#"Like("?")"#);
        assert_eq!(asked(r"*a\*b\c*d"), r#"Like("*a\\*b\\\\c*d")"#);
        let open = Pattern::parse("*x").open(true, true);
        assert_eq!(open.ask(), Ask::Contains("x".to_owned()));
    }
}
