//! A segment: blocks of the log in one immutable file, named by their first sequence number.
//!
//! ```text
//! header | blocks, byte for byte as in the journal | index | trailer
//! ```
//!
//! The index says of each block its length, rows, times and number of marks; the trailer (16 bytes)
//! the index's length and checksum and `casbahE\n`. So opening reads the end of the file and the
//! marks, and no block.

use std::io;

use crate::block::{BLOCK_HEADER_LEN, BlockHeader};
use crate::error::StoreError;
use crate::files::{File, Files, read_exact_at, write_whole};
use crate::journal::header_error;
use crate::log::TailBlock;
use crate::types::BlockInfo;
use crate::wire::{Damage, HEADER_LEN, Header, Input, checksum};

const MAGIC: &[u8; 8] = b"casbahS\n";
const END: &[u8; 8] = b"casbahE\n";
const VERSION: u32 = 1;
const TRAILER_LEN: usize = 16;
const ENTRY_LEN: usize = 28;

/// Folder of all tenants' logs.
pub(crate) const LOG_FOLDER: &str = "log";

/// Folder of a tenant's segments.
pub(crate) fn segment_folder(tenant: &str) -> String {
    format!("{LOG_FOLDER}/{tenant}")
}

/// Name of the segment that begins with this sequence number.
pub(crate) fn segment_name(tenant: &str, first: u64) -> String {
    format!("{LOG_FOLDER}/{tenant}/{first:016}.seg")
}

/// The sequence number in the name of a segment, without its folder.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".seg").and_then(|number| number.parse().ok())
}

/// A block within a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) info: BlockInfo,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    pub(crate) marks: u32,
}

/// Writes a segment; durable when this returns. Gives back its size and where its blocks are.
pub(crate) fn write_segment(
    files: &dyn Files,
    salt: u32,
    tenant: &str,
    blocks: &[TailBlock],
) -> io::Result<(u64, Vec<Place>)> {
    let first = blocks.first().map_or(0, |block| block.info.first_sequence);
    let mut places = Vec::with_capacity(blocks.len());
    let mut index = Vec::with_capacity(blocks.len() * ENTRY_LEN);
    let mut offset = HEADER_LEN as u64;
    for block in blocks {
        places.push(Place { info: block.info, offset, marks: block.marks });
        index.extend_from_slice(&(block.bytes.len() as u32).to_le_bytes());
        index.extend_from_slice(&block.info.rows.to_le_bytes());
        index.extend_from_slice(&block.marks.to_le_bytes());
        index.extend_from_slice(&block.info.min_time.to_le_bytes());
        index.extend_from_slice(&block.info.max_time.to_le_bytes());
        offset += block.bytes.len() as u64;
    }
    let mut end = index;
    let length = end.len() as u32;
    let sum = checksum(salt, &[&length.to_le_bytes(), &end]);
    end.extend_from_slice(&length.to_le_bytes());
    end.extend_from_slice(&sum.to_le_bytes());
    end.extend_from_slice(END);
    let total = offset + end.len() as u64;
    let folder = segment_folder(tenant);
    make_folder(files, &folder)?;
    write_whole(files, &folder, &segment_name(tenant, first), &mut |file| {
        file.write_at(0, &Header::write(MAGIC, VERSION, first, salt))?;
        for (block, place) in blocks.iter().zip(&places) {
            file.write_at(place.offset, &block.bytes)?;
        }
        file.write_at(offset, &end)
    })?;
    Ok((total, places))
}

/// Makes a tenant's folder, durably.
fn make_folder(files: &dyn Files, folder: &str) -> io::Result<()> {
    files.create_folder(LOG_FOLDER)?;
    files.sync_folder("")?;
    files.create_folder(folder)?;
    files.sync_folder(LOG_FOLDER)
}

/// Reads where the blocks of a segment are. Blocks themselves are not looked at.
pub(crate) fn read_places(
    files: &dyn Files,
    salt: u32,
    tenant: &str,
    first: u64,
    bytes: u64,
) -> Result<Vec<Place>, StoreError> {
    let name = segment_name(tenant, first);
    let shown = files.shown(&name);
    let failed = |error| StoreError::io("read", &shown, error);
    let file = match files.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("it holds the activities of `{tenant}` from {first} on");
            return Err(StoreError::missing(&shown, what));
        }
        opened => opened.map_err(failed)?,
    };
    let len = file.len().map_err(failed)?;
    if len != bytes {
        return Err(StoreError::damaged(
            &shown,
            len.min(bytes),
            format!("it has {len} bytes instead of {bytes}"),
        ));
    }
    let header = read_exact_at(&*file, 0, HEADER_LEN).map_err(failed)?;
    match Header::read(&header, MAGIC, VERSION, salt) {
        Ok(number) if number == first => {}
        Ok(_) => return Err(StoreError::damaged(&shown, 0, "it is another segment, renamed")),
        Err(error) => return Err(header_error(&shown, error)),
    }
    let (at, index) = read_index(&*file, salt, len)
        .map_err(failed)?
        .map_err(|damage| StoreError::damaged(&shown, len - TRAILER_LEN as u64, damage))?;
    let places =
        read_entries(&index, first).map_err(|damage| StoreError::damaged(&shown, at, damage))?;
    let end = places.last().map_or(0, |place| place.offset + place.info.bytes);
    if end == at {
        Ok(places)
    } else {
        Err(StoreError::damaged(&shown, at, "the index does not fit the blocks"))
    }
}

/// The index, and where it begins.
fn read_index(file: &dyn File, salt: u32, len: u64) -> io::Result<Result<(u64, Vec<u8>), Damage>> {
    let Some(trailer_at) = len.checked_sub(TRAILER_LEN as u64) else {
        return Ok(Err(Damage::new("it is too short")));
    };
    let trailer = read_exact_at(file, trailer_at, TRAILER_LEN)?;
    let mut input = Input::new(&trailer);
    let (Ok(length), Ok(sum)) = (input.u32(), input.u32()) else {
        return Ok(Err(Damage::new("it is too short")));
    };
    if input.rest() != END {
        return Ok(Err(Damage::new("it does not end as a segment does")));
    }
    let Some(at) = trailer_at.checked_sub(u64::from(length)) else {
        return Ok(Err(Damage::new("the length of the index is wrong")));
    };
    let index = read_exact_at(file, at, length as usize)?;
    if sum != checksum(salt, &[&length.to_le_bytes(), &index]) {
        return Ok(Err(Damage::new("the checksum of the index is wrong")));
    }
    Ok(Ok((at, index)))
}

fn read_entries(index: &[u8], first: u64) -> Result<Vec<Place>, Damage> {
    let mut input = Input::new(index);
    let mut places = Vec::with_capacity(index.len() / ENTRY_LEN);
    let (mut offset, mut sequence) = (HEADER_LEN as u64, first);
    while !input.rest().is_empty() {
        let bytes = u64::from(input.u32()?);
        let rows = input.u32()?;
        let marks = input.u32()?;
        let info = BlockInfo {
            first_sequence: sequence,
            rows,
            min_time: input.i64()?,
            max_time: input.i64()?,
            bytes,
        };
        places.push(Place { info, offset, marks });
        offset += bytes;
        sequence += u64::from(rows);
    }
    Ok(places)
}

/// Reads the bytes of a block. `NotFound` when retention took the segment away.
pub(crate) fn read_block(
    files: &dyn Files,
    tenant: &str,
    first: u64,
    place: &Place,
) -> io::Result<Vec<u8>> {
    let file = files.open(&segment_name(tenant, first))?;
    read_exact_at(&*file, place.offset, place.info.bytes as usize)
}

/// Reads the marks of the last `rows` rows of a segment, a list a block.
pub(crate) fn read_marks(
    files: &dyn Files,
    tenant: &str,
    first: u64,
    places: &[Place],
) -> io::Result<Vec<Vec<u8>>> {
    let file = files.open(&segment_name(tenant, first))?;
    places
        .iter()
        .map(|place| {
            read_exact_at(&*file, place.offset + BLOCK_HEADER_LEN as u64, place.marks as usize * 8)
        })
        .collect()
}

/// Whether a block's own header says what the index says of it.
pub(crate) fn fits(header: &BlockHeader, place: &Place) -> bool {
    header.rows == place.info.rows
        && header.marks == place.marks
        && header.min_time == place.info.min_time
        && header.max_time == place.info.max_time
}
