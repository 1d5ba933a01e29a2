//! The modifiers that write a text in another way: UTF-16, Base64, dashes of command lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A way of writing a text as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wide {
    /// UTF-16, low byte first.
    Little,
    /// UTF-16, high byte first.
    Big,
    /// UTF-16, low byte first, with a byte order mark.
    Marked,
}

/// A way of writing bytes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base64 {
    /// All of it.
    Whole,
    /// What stays the same wherever in a longer text it stands.
    Within,
}

/// Characters that begin an option of a command line.
const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// The bytes of a text.
pub(crate) fn bytes(text: &str, wide: Option<Wide>) -> Vec<u8> {
    let units = text.encode_utf16();
    match wide {
        None => text.as_bytes().to_vec(),
        Some(Wide::Little) => units.flat_map(u16::to_le_bytes).collect(),
        Some(Wide::Big) => units.flat_map(u16::to_be_bytes).collect(),
        Some(Wide::Marked) => {
            [0xff, 0xfe].into_iter().chain(units.flat_map(u16::to_le_bytes)).collect()
        }
    }
}

/// The texts that bytes can be written as. Of three bytes, each position in a longer text gives another
/// one; characters that depend on what stands before or behind are left out.
pub(crate) fn base64(bytes: &[u8], base64: Base64) -> Vec<String> {
    if base64 == Base64::Whole {
        return vec![STANDARD.encode(bytes)];
    }
    (0..3usize)
        .filter_map(|offset| {
            let shifted: Vec<u8> =
                std::iter::repeat_n(0, offset).chain(bytes.iter().copied()).collect();
            // Each character is 6 bits: those are whole that lie between the first and last bit.
            let first = (offset * 8).div_ceil(6);
            let last = shifted.len() * 8 / 6;
            let text = STANDARD.encode(&shifted).get(first..last)?.to_owned();
            (!text.is_empty()).then_some(text)
        })
        .collect()
}

/// How many dashes [`dashes`] would vary.
pub(crate) fn count_dashes(text: &str) -> usize {
    places(text).len()
}

/// Every way of writing the dashes of a text: 5 to the power of their number.
pub(crate) fn dashes(text: &str) -> Vec<String> {
    let places = places(text);
    let mut all = vec![String::new()];
    for (index, c) in text.chars().enumerate() {
        if places.contains(&index) {
            all = all
                .iter()
                .flat_map(|before| DASHES.iter().map(move |dash| format!("{before}{dash}")))
                .collect();
        } else {
            all.iter_mut().for_each(|variant| variant.push(c));
        }
    }
    all
}

/// Where dashes stand, by the number of the character. A slash is only meant where it begins an option:
/// paths and addresses are full of others.
fn places(text: &str) -> Vec<usize> {
    let word = |c: Option<&char>| c.is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let characters: Vec<char> = text.chars().collect();
    let mut places = Vec::new();
    let mut before: Option<&char> = None;
    for (index, c) in characters.iter().enumerate() {
        let begins = !word(before) && word(characters.get(index + 1));
        if DASHES.contains(c) && (*c != '/' || begins) {
            places.push(index);
        }
        before = Some(c);
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Wherever a text stands in a longer one, one of the three is found in the Base64 of that, and
        /// none is found by chance where the text is long enough.
        #[test]
        fn base64_is_found_at_every_offset(before in "[ -~]{0,7}", text in "[ -~]{3,12}", behind in "[ -~]{0,7}") {
            let whole = STANDARD.encode(format!("{before}{text}{behind}"));
            let found = base64(text.as_bytes(), Base64::Within);
            prop_assert_eq!(found.len(), 3);
            prop_assert!(whole.contains(&found[before.len() % 3]), "{} in {}", found[before.len() % 3], whole);
        }
    }

    #[test]
    fn texts_are_written_wide() {
        assert_eq!(bytes("cä", Some(Wide::Little)), [0x63, 0, 0xe4, 0]);
        assert_eq!(bytes("cä", Some(Wide::Big)), [0, 0x63, 0, 0xe4]);
        assert_eq!(bytes("c", Some(Wide::Marked)), [0xff, 0xfe, 0x63, 0]);
        assert_eq!(base64(b"foo", Base64::Whole), ["Zm9v"]);
    }

    #[test]
    fn dashes_of_options_are_varied() {
        assert_eq!(dashes(" -a"), [" -a", " /a", " –a", " —a", " ―a"]);
        assert_eq!(dashes(" /a").len(), 5);
        // The slash in front of a host looks like one of an option; that behind it does not.
        assert_eq!(count_dashes("https://a.b/c-d"), 2);
        assert_eq!(dashes("plain"), ["plain"]);
        assert_eq!(dashes("-a -b").len(), 25);
    }
}
