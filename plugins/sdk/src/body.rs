//! What every adapter does with a body before it reads its records: finds its text, points at the
//! records in it, and gets at them again where they are pointed at.
//!
//! It knows no app: what a record is, and what it means, is the adapter's to say.

use casbah_model::adapter::Failure;

use crate::answer::malformed;

/// Text of a body.
///
/// # Errors
/// `malformed` when it is not UTF-8 or too long for its records to be pointed at.
pub fn text(body: &[u8]) -> Result<&str, Failure> {
    if u32::try_from(body.len()).is_err() {
        return Err(malformed("the answer is longer than 4 GiB"));
    }
    std::str::from_utf8(body)
        .map_err(|error| malformed(&format!("the answer is not UTF-8: {error}")))
}

/// The text behind a byte-order mark, and the length of that mark in bytes.
pub fn unmarked(text: &str) -> (&str, usize) {
    match text.strip_prefix('\u{feff}') {
        Some(rest) => (rest, text.len() - rest.len()),
        None => (text, 0),
    }
}

/// Where a part of a text stands in it: start and end, in bytes, of a text shorter than 4 GiB.
///
/// The part must be a slice of that text.
pub fn span(text: &str, part: &str) -> [u32; 2] {
    let start = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    [start as u32, (start + part.len()) as u32]
}

/// Hands over the raw records of a body, one after the other: number `i` is
/// `body[raw[2i]..raw[2i + 1]]`.
///
/// # Errors
/// `malformed` when a record does not lie within the body, or when `each` says in words what is wrong
/// with it, such as `is no JSON`.
pub fn records<'a>(
    body: &'a [u8],
    raw: &[u32],
    mut each: impl FnMut(&'a str) -> Result<(), String>,
) -> Result<(), Failure> {
    let (pairs, rest) = raw.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed("a raw record has a start but no end"));
    }
    for (number, &[start, end]) in pairs.iter().enumerate() {
        let record = body
            .get(start as usize..end as usize)
            .and_then(|record| std::str::from_utf8(record).ok())
            .ok_or_else(|| {
                malformed(&format!(
                    "raw record {number} at bytes {start} to {end} is not UTF-8 within the body"
                ))
            })?;
        each(record).map_err(|wrong| malformed(&format!("raw record {number} {wrong}")))?;
    }
    Ok(())
}

/// An id for a record that has none: `made-` and the 32 hexadecimal digits of what it was hashed to.
pub fn made_id(digest: [u8; 16]) -> String {
    let mut id = String::with_capacity(37);
    id.push_str("made-");
    for byte in digest {
        for half in [byte >> 4, byte & 15] {
            id.push(char::from(if half < 10 { b'0' + half } else { b'a' + half - 10 }));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_outside_of_the_body_are_refused() {
        let body = "{}é".as_bytes();
        for (raw, expected) in [
            (&[0, 2][..], Ok(())),
            (&[0, 2, 2][..], Err("a raw record has a start but no end")),
            (&[0, 9][..], Err("raw record 0 at bytes 0 to 9 is not UTF-8 within the body")),
            (&[0, 2, 3, 4][..], Err("raw record 1 at bytes 3 to 4 is not UTF-8 within the body")),
            (&[2, 4][..], Err("raw record 0 is odd")),
        ] {
            let found = records(body, raw, |record| match record {
                "{}" => Ok(()),
                _ => Err("is odd".to_owned()),
            });
            let found = found.map_err(|failure| failure.message);
            assert_eq!(found, expected.map_err(str::to_owned), "{raw:?}");
        }
    }

    #[test]
    fn ids_are_written_as_hexadecimal_numbers() {
        let digest = 0x0012_3456_789a_bcde_f001_0203_0405_06ff_u128;
        assert_eq!(made_id(digest.to_be_bytes()), format!("made-{digest:032x}"));
    }

    #[test]
    fn parts_are_found_where_they_stand() {
        let text = "ab cd";
        assert_eq!(span(text, text.get(3..).unwrap_or_default()), [3, 5]);
    }
}
