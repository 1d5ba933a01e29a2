//! Text from outside, made fit to be shown: bounded, printable, without secrets.

use secrecy::{ExposeSecret, SecretString};

/// Shortest secret that is looked for: anything shorter would blot out innocent text.
const SHORTEST: usize = 6;

/// At most `most` characters of a text in one line, with everything that could move a cursor,
/// hide or reorder text taken out.
pub(crate) fn shown(text: &str, most: usize) -> String {
    let mut shown = String::new();
    let mut space = false;
    for (index, c) in text
        .chars()
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .filter(|&c| !is_hidden(c))
        .enumerate()
    {
        if index >= most {
            shown.push('…');
            break;
        }
        if c == ' ' && (space || shown.is_empty()) {
            continue;
        }
        space = c == ' ';
        shown.push(c);
    }
    shown.trim_end().to_owned()
}

/// Marks that change direction or have no width, by which a text can look like another.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The text for use between tags of HTML.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Blots out every occurrence of a secret, keeping the length so that offsets stay true.
pub(crate) fn strip(bytes: &mut [u8], secret: &SecretString) {
    let needle = secret.expose_secret().as_bytes();
    if needle.len() < SHORTEST {
        return;
    }
    let places: Vec<usize> = memchr::memmem::find_iter(bytes, needle).collect();
    for place in places {
        if let Some(found) = bytes.get_mut(place..place + needle.len()) {
            found.fill(b'*');
        }
    }
}

/// The text without any of the secrets.
pub(crate) fn stripped<'a>(
    text: &str,
    secrets: impl IntoIterator<Item = &'a SecretString>,
) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        if secret.expose_secret().len() >= SHORTEST {
            text = text.replace(secret.expose_secret(), "***");
        }
    }
    text
}

/// A list of names as it stands in messages.
pub(crate) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The candidate that somebody who typed `typed` most likely meant.
pub(crate) fn closest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(typed, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_text_is_tamed() {
        assert_eq!(shown("a\r\n\u{1b}[31m b\t\tc", 40), "a [31m b c");
        assert_eq!(shown("abc\u{202e}def\u{200b}", 40), "abcdef");
        assert_eq!(shown(&"x".repeat(100_000), 5), "xxxxx…");
        assert_eq!(html("<script>'\"&"), "&lt;script&gt;&#39;&quot;&amp;");
    }

    #[test]
    fn secrets_are_blotted_out() {
        let secret = SecretString::from("s3cret-token");
        let mut body = br#"{"echo":"Bearer s3cret-token","again":"s3cret-token"}"#.to_vec();
        let before = body.len();
        strip(&mut body, &secret);
        assert_eq!(body.len(), before);
        assert!(!String::from_utf8(body).unwrap().contains("s3cret"));
        assert_eq!(stripped("x s3cret-token y", [&secret]), "x *** y");
        let mut same = b"abc".to_vec();
        strip(&mut same, &SecretString::from("b"));
        assert_eq!(same, b"abc");
    }

    proptest! {
        /// Whatever comes in, what goes out is one short printable line.
        #[test]
        fn shown_text_is_one_bounded_line(text in any::<String>(), most in 1usize..80) {
            let shown = shown(&text, most);
            prop_assert!(shown.chars().count() <= most + 1);
            prop_assert!(shown.chars().all(|c| !c.is_control() && !is_hidden(c)));
        }
    }
}
