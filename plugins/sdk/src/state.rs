//! Writing and reading the small states that detectors keep between batches.
//!
//! Numbers are LEB128, signed ones in zigzag, floats their eight bytes, texts and bytes with their
//! length before them. It is not self-describing: a detector writes a version first, and raises
//! `state_version` in its description when the form changes.

/// Writes a state.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        // Most states fit: one room instead of one for every doubling.
        Self(Vec::with_capacity(128))
    }

    /// Adds a number of 0 or more.
    #[inline]
    pub fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Adds a number that may be negative; small ones take few bytes.
    #[inline]
    pub fn signed(&mut self, value: i64) {
        self.number((value.wrapping_shl(1) ^ (value >> 63)) as u64);
    }

    /// Adds a float, bit by bit.
    pub fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Adds bytes as they are, without their length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// What was written.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads a state; every method returns `None` when there is not what it looks for.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// At the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number of 0 or more.
    #[inline]
    pub fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A number that may be negative.
    #[inline]
    pub fn signed(&mut self) -> Option<i64> {
        let bits = self.number()?;
        Some((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    /// A float.
    pub fn float(&mut self) -> Option<f64> {
        let (bits, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(f64::from_bits(u64::from_le_bytes(*bits)))
    }

    /// Bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text.
    pub fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// How many elements follow; `None` when that many of `smallest` bytes each can't be left, so
    /// that nothing is set aside for what is not there.
    pub fn length(&mut self, smallest: usize) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len() / smallest.max(1)).then_some(length)
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As many states must come as were asked for.
///
/// # Errors
/// The sentence for the operator.
pub fn all_came(asked: usize, states: &[Vec<u8>]) -> Result<(), String> {
    match states.len() {
        came if came == asked => Ok(()),
        came => Err(format!("{asked} states were asked for, but {came} came")),
    }
}

/// The sentence for the operator about a state that can't be read; `what` is its beginning, such as
/// `state of policy 3`.
pub fn unreadable(what: &str, bytes: &[u8]) -> String {
    format!(
        "{what} can't be read: {} bytes that this version did not write\n\
         hint: rebuild the state by replaying the log",
        bytes.len()
    )
}

/// Reads states that are a version and one thing each, or empty; none of them has changed yet.
///
/// # Errors
/// The sentence for the operator about the first that is anything else.
pub fn read_each<T: Default>(
    states: &[Vec<u8>],
    version: u64,
    read: fn(&mut Reader<'_>) -> Option<T>,
) -> Result<Vec<(T, bool)>, String> {
    let one = |bytes: &Vec<u8>| {
        if bytes.is_empty() {
            return Ok((T::default(), false));
        }
        let mut reader = Reader::new(bytes);
        let written = reader.number();
        let read = read(&mut reader);
        read.filter(|_| written == Some(version) && reader.is_empty())
            .map(|read| (read, false))
            .ok_or_else(|| unreadable("a state", bytes))
    };
    states.iter().map(one).collect()
}

/// Adds what has changed to `changes`, for [`read_each`] to read; `place` is that of the first among
/// the states that were asked for, and of what follows the last afterwards.
pub fn write_each<T>(
    held: &[(T, bool)],
    version: u64,
    write: fn(&T, &mut Writer),
    place: &mut u32,
    changes: &mut Vec<(u32, Vec<u8>)>,
) {
    for (value, changed) in held {
        if *changed {
            let mut writer = Writer::new();
            writer.number(version);
            write(value, &mut writer);
            changes.push((*place, writer.finish()));
        }
        *place += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut writer = Writer::new();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, -64, 64, i64::MIN, i64::MAX];
        numbers.iter().for_each(|&value| writer.number(value));
        signed.iter().for_each(|&value| writer.signed(value));
        writer.float(-0.5);
        writer.text("é");
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(numbers.map(|_| reader.number().unwrap()), numbers);
        assert_eq!(signed.map(|_| reader.signed().unwrap()), signed);
        assert_eq!(reader.float(), Some(-0.5));
        assert_eq!(reader.text(), Some("é"));
        assert!(reader.is_empty());
    }

    #[test]
    fn what_is_not_there_is_not_read() {
        let cut = [0x80; 3];
        assert_eq!(Reader::new(&cut).number(), None);
        assert_eq!(Reader::new(&[0xff; 10]).number(), None, "more than 64 bits");
        assert_eq!(Reader::new(&[5, b'a']).text(), None);
        assert_eq!(Reader::new(&[1, 0xff]).text(), None, "no UTF-8");
        assert_eq!(Reader::new(&[0; 7]).float(), None);
        assert_eq!(Reader::new(&[200, 1, 0, 0]).length(1), None);
        assert_eq!(Reader::new(&[2, 0, 0]).length(1), Some(2));
    }
}
