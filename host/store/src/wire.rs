//! Numbers and byte strings as they stand in the store's files: little-endian, lengths as varints.
//!
//! It is not a serialization framework: each file's module says what stands where.

use std::fmt;

/// Why bytes could not be read, for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) String);

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checksum of byte strings, one after another. The salt is the store's own, so that neither files
/// of another store nor bytes that somebody put into a value pass for its own.
pub(crate) fn checksum(salt: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads front to back; everything that is missing or too long is [`Damage`].
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| Damage::new("it ends in the middle of something"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Damage::new("it ends in the middle of something"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Damage> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn number(&mut self) -> Result<u64, Damage> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Damage::new("a number is too long"))
    }

    /// A count of things that take at least a byte each, so that damage cannot ask for the moon.
    pub(crate) fn count(&mut self) -> Result<usize, Damage> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > self.rest.len() {
            return Err(Damage::new("a count is larger than what follows"));
        }
        Ok(count)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Damage> {
        let length = self.count()?;
        self.take(length)
    }
}

/// Length of a [`Header`] in a file.
pub(crate) const HEADER_LEN: usize = 24;

/// The first bytes of every file: what it is, in which format, and its number.
///
/// `magic` (8), version (4), number (8), checksum (4).
pub(crate) struct Header;

impl Header {
    pub(crate) fn write(magic: &[u8; 8], version: u32, number: u64, salt: u32) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        out.extend_from_slice(magic);
        out.extend_from_slice(&version.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
        let sum = checksum(salt, &[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Checks all but the version first: a newer version may have another checksum.
    pub(crate) fn read(
        bytes: &[u8],
        magic: &[u8; 8],
        version: u32,
        salt: u32,
    ) -> Result<u64, HeaderError> {
        let mut input = Input::new(bytes);
        let damage = |what: &str| HeaderError::Damage(Damage::new(what));
        let found = input.take(8).map_err(HeaderError::Damage)?;
        if found != magic {
            return Err(damage("it does not begin as such a file does"));
        }
        let found = input.u32().map_err(HeaderError::Damage)?;
        if found > version {
            return Err(HeaderError::Newer(found));
        }
        let number = input.u64().map_err(HeaderError::Damage)?;
        let sum = input.u32().map_err(HeaderError::Damage)?;
        let covered = bytes.get(..HEADER_LEN - 4).unwrap_or_default();
        if sum != checksum(salt, &[covered]) {
            return Err(damage("the checksum of its header is wrong, or it is of another store"));
        }
        Ok(number)
    }
}

pub(crate) enum HeaderError {
    Newer(u32),
    Damage(Damage),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects the format: every number comes back, and one that is too long is refused.
    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            assert_eq!(Input::new(&out).number(), Ok(value));
            assert!(Input::new(&out[..out.len() - 1]).number().is_err());
        }
        assert!(Input::new(&[0xff; 10]).number().is_err());
    }
}
