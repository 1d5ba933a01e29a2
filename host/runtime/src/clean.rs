//! Makes texts that come out of a sandbox fit to be shown, logged and stored.

/// Bytes of a name in a message.
const NAME: usize = 128;
/// Bytes of a sentence in a message.
const SENTENCE: usize = 2048;

/// A name: short, without control characters.
pub(crate) fn name(text: &str) -> String {
    cut(text, NAME).0
}

/// A sentence: one line, without control characters.
pub(crate) fn sentence(text: &str) -> String {
    cut(text, SENTENCE).0
}

/// Cuts a text to so many bytes and replaces what would disturb a terminal, a log or a reader.
///
/// Also says whether anything was changed.
pub(crate) fn cut(text: &str, bytes: usize) -> (String, bool) {
    if text.len() <= bytes && !text.chars().any(disturbs) {
        return (text.to_owned(), false);
    }
    let mut clean = String::with_capacity(text.len().min(bytes));
    for character in text.chars() {
        let character = match character {
            '\n' | '\r' | '\t' => ' ',
            other if disturbs(other) => char::REPLACEMENT_CHARACTER,
            other => other,
        };
        if clean.len() + character.len_utf8() > bytes.saturating_sub('…'.len_utf8()) {
            // Only the rest decides whether the mark is needed, and the rest is not empty.
            clean.push('…');
            break;
        }
        clean.push(character);
    }
    (clean, true)
}

/// Like [`cut`], but different texts stay different: one that was changed gets a mark of what it was.
///
/// For texts that an alert is identified by.
pub(crate) fn identity(text: String, bytes: usize) -> String {
    if text.len() <= bytes && !text.chars().any(disturbs) {
        return text;
    }
    let (mut clean, _) = cut(&text, bytes.saturating_sub(18));
    clean.push_str(" #");
    clean.extend(blake3::hash(text.as_bytes()).to_hex().chars().take(16));
    clean
}

/// Control characters, line separators, and the marks that turn the direction of writing.
fn disturbs(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_texts_stay_as_they_are() {
        assert_eq!(
            cut("Ana Lüscher <ana@example.com>", 64),
            ("Ana Lüscher <ana@example.com>".into(), false)
        );
        assert_eq!(identity("ana@example.com".into(), 64), "ana@example.com");
        // Exactly as long as allowed.
        assert_eq!(cut("abcd", 4), ("abcd".into(), false));
    }

    #[test]
    fn nothing_that_moves_a_cursor_or_turns_the_writing_is_left() {
        let (clean, changed) = cut("a\x1b[31mred\x07\u{9b}2J\r\nb\u{202e}c\u{2028}d\u{2066}", 256);
        assert!(changed);
        assert_eq!(clean, "a\u{fffd}[31mred\u{fffd}\u{fffd}2J  b\u{fffd}c\u{fffd}d\u{fffd}");
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        for bytes in 3..40 {
            let (clean, changed) = cut(&"ü€𝄞".repeat(20), bytes);
            assert!(changed);
            assert!(clean.len() <= bytes, "{bytes}: {clean}");
            assert!(clean.ends_with('…'));
        }
    }

    #[test]
    fn different_groups_stay_different() {
        let long = "x".repeat(1000);
        let one = identity(format!("{long}1"), 100);
        let other = identity(format!("{long}2"), 100);
        assert_ne!(one, other);
        assert!(one.len() <= 100 && other.len() <= 100);
        assert_ne!(identity("a\nb".into(), 100), identity("a\tb".into(), 100));
    }
}
