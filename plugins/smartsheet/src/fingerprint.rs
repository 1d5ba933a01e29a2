//! An id for an event that has none, made from what it says.
//!
//! The same event gives the same id whether it was fetched compact or saved with line breaks; two
//! events that say exactly the same get the same id, and so count as one.

use casbah_plugin::body::made_id;

/// The id of a record: `made-` and 32 hexadecimal digits.
pub(crate) fn fingerprint(raw: &str) -> String {
    // FNV-1a with 128 bits: stable for ever, and nothing here has to withstand an attacker, who
    // could repeat a whole event just as well.
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let mut inside = false;
    let mut escaped = false;
    for byte in raw.bytes() {
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        } else {
            inside = byte == b'"';
        }
        hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    }
    made_id(hash.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    /// These ids are stored: they must never change.
    #[test]
    fn stays_the_same_for_ever() {
        assert_eq!(fingerprint(""), "made-6c62272e07bb014262b821756295c58d");
        // The published test vector of FNV-1a 128 for "foobar".
        assert_eq!(fingerprint("foobar"), "made-343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn white_space_counts_inside_texts_only() {
        let compact = fingerprint(r#"{"a":"x y","b":[1,2]}"#);
        assert_eq!(fingerprint("{ \"a\" : \"x y\",\n\t\"b\": [1, 2] }\r\n"), compact);
        assert_ne!(fingerprint(r#"{"a":"xy","b":[1,2]}"#), compact);
        assert_ne!(fingerprint(r#"{"a":"x y","b":[12]}"#), compact);
        assert_ne!(fingerprint(r#"{"a":"\" "}"#), fingerprint(r#"{"a":"\""}"#));
    }
}
