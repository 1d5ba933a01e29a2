//! Tokens and codes: really random, since what is tested with them is that nobody prints them.

const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// So many random small letters and digits.
pub(crate) fn letters(count: usize) -> String {
    (0..count)
        .map(|_| LETTERS.get(rand::random_range(0..LETTERS.len())).copied().unwrap_or(b'0'))
        .map(char::from)
        .collect()
}
