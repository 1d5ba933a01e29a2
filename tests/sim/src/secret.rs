//! Tokens and codes: really random, since what is tested with them is that nobody prints them.

const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// So many random small letters and digits.
pub fn letters(count: usize) -> String {
    drawn(count, LETTERS.get(..36).unwrap_or(LETTERS))
}

/// So many random letters, small and capital, and digits.
pub fn mixed(count: usize) -> String {
    drawn(count, LETTERS)
}

fn drawn(count: usize, of: &[u8]) -> String {
    let draw = |_| of.get(rand::random_range(0..of.len())).copied().unwrap_or(b'0');
    (0..count).map(draw).map(char::from).collect()
}

/// So many random bytes in hexadecimal digits.
pub fn hex(bytes: usize) -> String {
    (0..bytes).map(|_| format!("{:02x}", rand::random_range(0..=255_u8))).collect()
}
