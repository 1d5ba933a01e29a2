//! An account of the directory in few bytes: what joining needs, one allocation each.

use super::history::{Spell, Standing};
use super::record::Record;

/// An account that was packed; every part is read where it lies.
#[derive(Clone, Debug)]
pub(super) struct Packed(Box<[u8]>);

/// Number of a source within the book.
pub(super) type SourceNumber = u16;
/// Number of a group's name within the book.
pub(super) type GroupNumber = u32;

const ADMIN_KNOWN: u8 = 1;
const ADMIN: u8 = 2;
const EXTERNAL_KNOWN: u8 = 4;
const EXTERNAL: u8 = 8;
const PRESENT: u8 = 16;
/// The id is the sixteen bytes of a UUID.
const UUID: u8 = 32;

impl Packed {
    pub(super) fn new(source: SourceNumber, record: &Record, groups: &[GroupNumber]) -> Self {
        let account = &record.account;
        let flag = |value: Option<bool>, known: u8, set: u8| match value {
            None => 0,
            Some(false) => known,
            Some(true) => known | set,
        };
        let uuid = uuid(&account.id);
        let mut bytes = Vec::with_capacity(160);
        bytes.extend(source.to_le_bytes());
        bytes.push(
            flag(account.admin, ADMIN_KNOWN, ADMIN)
                | flag(account.external, EXTERNAL_KNOWN, EXTERNAL)
                | if account.is_present() { PRESENT } else { 0 }
                | if uuid.is_some() { UUID } else { 0 },
        );
        match uuid {
            Some(uuid) => bytes.extend(uuid),
            None => text(&mut bytes, &account.id),
        }
        let mut addresses: Vec<String> = Vec::new();
        for address in record.addresses() {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        number(&mut bytes, addresses.len() as u64);
        for address in &addresses {
            text(&mut bytes, address);
        }
        number(&mut bytes, groups.len() as u64);
        for &group in groups {
            number(&mut bytes, u64::from(group));
        }
        let spells = record.history.spells();
        number(&mut bytes, spells.len() as u64);
        for spell in spells {
            // The parity tells whether it has a beginning.
            let state = (spell.state as u8) * 4 + u8::from(spell.said) * 2;
            match spell.from {
                None => bytes.push(state),
                Some(from) => {
                    bytes.push(state + 1);
                    number(&mut bytes, ((from << 1) ^ (from >> 63)) as u64);
                }
            }
        }
        // A box of its own: shrinking the buffer would leave holes between the boxes.
        Self(Box::from(bytes.as_slice()))
    }

    pub(super) fn source(&self) -> SourceNumber {
        match *self.0 {
            [low, high, ..] => SourceNumber::from_le_bytes([low, high]),
            _ => 0,
        }
    }

    fn flags(&self) -> u8 {
        self.0.get(2).copied().unwrap_or(0)
    }

    fn flag(&self, known: u8, set: u8) -> Option<bool> {
        (self.flags() & known != 0).then_some(self.flags() & set != 0)
    }

    pub(super) fn admin(&self) -> Option<bool> {
        self.flag(ADMIN_KNOWN, ADMIN)
    }

    pub(super) fn external(&self) -> Option<bool> {
        self.flag(EXTERNAL_KNOWN, EXTERNAL)
    }

    pub(super) fn is_present(&self) -> bool {
        self.flags() & PRESENT != 0
    }

    /// The bytes after the id, and whether it is this one.
    fn after_id(&self) -> (&[u8], Reader<'_>) {
        let mut reader = Reader(self.0.get(3..).unwrap_or_default());
        let id = if self.flags() & UUID != 0 { reader.take(16) } else { reader.text() };
        (id, reader)
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        let (own, _) = self.after_id();
        match uuid(id) {
            Some(uuid) => self.flags() & UUID != 0 && own == uuid,
            None => self.flags() & UUID == 0 && own == id.as_bytes(),
        }
    }

    /// Sorts accounts of one source.
    pub(super) fn id_bytes(&self) -> &[u8] {
        self.after_id().0
    }

    /// The id as it was given.
    pub(super) fn id(&self) -> String {
        let (id, _) = self.after_id();
        if self.flags() & UUID == 0 {
            return String::from_utf8_lossy(id).into_owned();
        }
        let mut text = String::with_capacity(36);
        for (place, byte) in id.iter().enumerate() {
            if matches!(place, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        text
    }

    /// The addresses in lower case, the main one first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        let (_, mut reader) = self.after_id();
        let count = reader.number();
        (0..count).map(move |_| std::str::from_utf8(reader.text()).unwrap_or_default())
    }

    fn after_addresses(&self) -> Reader<'_> {
        let (_, mut reader) = self.after_id();
        for _ in 0..reader.number() {
            reader.text();
        }
        reader
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = GroupNumber> {
        let mut reader = self.after_addresses();
        let count = reader.number();
        (0..count).map(move |_| GroupNumber::try_from(reader.number()).unwrap_or(GroupNumber::MAX))
    }

    pub(super) fn spells(&self) -> Vec<Spell> {
        let mut reader = self.after_addresses();
        for _ in 0..reader.number() {
            reader.number();
        }
        let count = reader.number();
        (0..count).filter_map(|_| reader.spell()).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Reads what was written above; beyond its end there is nothing but noughts.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> u64 {
        let mut value = 0;
        let mut shift = 0;
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 63 {
                break;
            }
        }
        value
    }

    fn text(&mut self) -> &'a [u8] {
        let length = usize::try_from(self.number()).unwrap_or(usize::MAX);
        self.take(length)
    }

    fn spell(&mut self) -> Option<Spell> {
        let byte = *self.take(1).first()?;
        let from = (byte & 1 == 1).then(|| {
            let number = self.number();
            (number >> 1) as i64 ^ -((number & 1) as i64)
        });
        let state = Standing::ALL.get(usize::from(byte / 4)).copied()?;
        Some(Spell { from, state, said: byte & 2 != 0, told: true })
    }
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

/// The bytes of an id that is a UUID in the one way of writing that can be given back.
fn uuid(id: &str) -> Option<[u8; 16]> {
    if id.len() != 36 {
        return None;
    }
    let mut uuid = [0; 16];
    let mut digits = 0;
    for (place, byte) in id.bytes().enumerate() {
        if matches!(place, 8 | 13 | 18 | 23) {
            if byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        *uuid.get_mut(digits / 2)? |= if digits % 2 == 0 { digit << 4 } else { digit };
        digits += 1;
    }
    Some(uuid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Account;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is packed is read as it was.
        #[test]
        fn what_is_packed_is_read_as_it_was(
            id in prop_oneof!["[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", ".{0,200}", "[0-9a-f-]{36}"],
            addresses in proptest::collection::vec("[a-z]{1,20}@[a-z]{1,9}", 0..6),
            flags in proptest::array::uniform2(proptest::option::of(any::<bool>())),
            groups in proptest::collection::vec(any::<u32>(), 0..5),
            spells in proptest::collection::vec((0usize..7, any::<i64>()), 0..8),
            source: u16,
        ) {
            let mut record = Record {
                account: Account {
                    id: id.clone(),
                    email: addresses.first().cloned().unwrap_or_default(),
                    aliases: addresses.iter().skip(1).cloned().collect(),
                    admin: flags[0],
                    external: flags[1],
                    ..Account::default()
                },
                ..Record::default()
            };
            for (state, since) in spells {
                record.history.observe(Standing::ALL[state], Some(since), 0, false);
            }
            record.history.tell(i64::MAX);
            let packed = Packed::new(source, &record, &groups);
            prop_assert_eq!(packed.source(), source);
            prop_assert!(packed.has_id(&id));
            prop_assert_eq!(packed.id(), id.clone());
            let other = format!("{id}0");
            prop_assert!(!packed.has_id(&other));
            let mut expected: Vec<String> = Vec::new();
            for address in addresses {
                if !expected.contains(&address) {
                    expected.push(address);
                }
            }
            prop_assert_eq!(packed.addresses().collect::<Vec<_>>(), expected);
            prop_assert_eq!([packed.admin(), packed.external()], flags);
            prop_assert_eq!(packed.groups().collect::<Vec<_>>(), groups);
            prop_assert_eq!(packed.is_present(), record.account.is_present());
            prop_assert_eq!(packed.spells(), record.history.spells());
        }
    }
}
