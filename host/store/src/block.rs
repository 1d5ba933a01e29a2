//! A block of the log as bytes: a batch of activities, what the app sent, and the marks.
//!
//! ```text
//! 0   "CBLK"        32  batch, bytes once unpacked       56  marks, 8 bytes each
//! 4   version, 1    36  batch, bytes as packed           ..  batch, packed
//! 5   raw form      40  raw, bytes once unpacked         ..  raw, packed
//! 8   rows          44  raw, bytes as packed
//! 12  marks         48  checksum of all that follows 56
//! 16  oldest time   52  checksum of 0..52
//! 24  newest time
//! ```
//!
//! A block does not know its sequence number: it is packed before it gets one. The same bytes stand
//! in the journal, in a snapshot and in a segment.

use std::sync::Arc;

use casbah_model::{Batch, codec};
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

use crate::fold::{fold, unfold};
use crate::types::{NewBlock, Records};
use crate::wire::{Damage, Input, checksum};

const MAGIC: &[u8; 4] = b"CBLK";
const VERSION: u8 = 1;
pub(crate) const BLOCK_HEADER_LEN: usize = 56;

/// What may be unpacked at most, so that damage cannot ask for the moon.
const MOST: usize = 1 << 31;

/// How the raw records are packed.
const RAW_NONE: u8 = 0;
/// Folded against the batch, then zstd.
const RAW_FOLDED: u8 = 1;

/// The fixed part of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockHeader {
    pub(crate) rows: u32,
    pub(crate) marks: u32,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    raw_form: u8,
    batch_len: u32,
    batch_packed: u32,
    raw_len: u32,
    raw_packed: u32,
    body_sum: u32,
}

impl BlockHeader {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let mut input = Input::new(bytes);
        if input.take(4)? != MAGIC {
            return Err(Damage::new("no block begins here"));
        }
        let version = input.u8()?;
        if version > VERSION {
            return Err(Damage::new(format!("the block is in form {version}, which is newer")));
        }
        let raw_form = input.u8()?;
        input.take(2)?;
        let header = Self {
            rows: input.u32()?,
            marks: input.u32()?,
            min_time: input.i64()?,
            max_time: input.i64()?,
            raw_form,
            batch_len: input.u32()?,
            batch_packed: input.u32()?,
            raw_len: input.u32()?,
            raw_packed: input.u32()?,
            body_sum: input.u32()?,
        };
        let covered = bytes.get(..BLOCK_HEADER_LEN - 4).unwrap_or_default();
        if input.u32()? != checksum(0, &[covered]) {
            return Err(Damage::new("the checksum of the block's header is wrong"));
        }
        Ok(header)
    }

    fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK_HEADER_LEN);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, self.raw_form, 0, 0]);
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.marks.to_le_bytes());
        out.extend_from_slice(&self.min_time.to_le_bytes());
        out.extend_from_slice(&self.max_time.to_le_bytes());
        for number in
            [self.batch_len, self.batch_packed, self.raw_len, self.raw_packed, self.body_sum]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(0, &[&out]);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Bytes of the whole block.
    pub(crate) fn total(&self) -> usize {
        BLOCK_HEADER_LEN
            + self.marks as usize * 8
            + self.batch_packed as usize
            + self.raw_packed as usize
    }
}

/// Packs a block, or says what is wrong with it.
pub(crate) fn pack(block: &NewBlock, level: i32) -> Result<Arc<[u8]>, String> {
    let rows = block.batch.rows;
    if rows == 0 {
        return Err("a block must have at least one row".to_owned());
    }
    if !block.raw.is_empty() && block.raw.len() != rows as usize {
        return Err(format!("a block has {} raw records for {rows} rows", block.raw.len()));
    }
    if !block.marks.is_empty() && block.marks.len() != rows as usize {
        return Err(format!("a block has {} marks for {rows} rows", block.marks.len()));
    }
    let mut batch = Vec::new();
    codec::encode(&block.batch, &mut batch);
    let raw = if block.raw.is_empty() { Vec::new() } else { fold(&block.raw, &block.batch) };
    if batch.len().max(raw.len()) > MOST {
        return Err("a block is larger than 2 GiB".to_owned());
    }
    let packed_batch = compress(&batch, level)?;
    let packed_raw = if raw.is_empty() { Vec::new() } else { compress(&raw, level)? };
    let marks: Vec<u8> = block.marks.iter().flat_map(|mark| mark.to_le_bytes()).collect();
    let header = BlockHeader {
        rows,
        marks: block.marks.len() as u32,
        min_time: block.min_time,
        max_time: block.max_time,
        raw_form: if raw.is_empty() { RAW_NONE } else { RAW_FOLDED },
        batch_len: batch.len() as u32,
        batch_packed: packed_batch.len() as u32,
        raw_len: raw.len() as u32,
        raw_packed: packed_raw.len() as u32,
        body_sum: checksum(0, &[&marks, &packed_batch, &packed_raw]),
    };
    let mut out = header.write();
    out.reserve_exact(header.total() - out.len());
    out.extend_from_slice(&marks);
    out.extend_from_slice(&packed_batch);
    out.extend_from_slice(&packed_raw);
    Ok(out.into())
}

/// Header and parts of a block, checked against its checksums.
pub(crate) struct Packed<'a> {
    pub(crate) header: BlockHeader,
    batch: &'a [u8],
    raw: &'a [u8],
}

impl<'a> Packed<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, Damage> {
        let header = BlockHeader::read(bytes)?;
        let body = bytes.get(BLOCK_HEADER_LEN..).unwrap_or_default();
        if bytes.len() != header.total() {
            return Err(Damage::new("the block is cut off"));
        }
        if header.body_sum != checksum(0, &[body]) {
            return Err(Damage::new("the checksum of the block is wrong"));
        }
        let mut input = Input::new(body);
        input.take(header.marks as usize * 8)?;
        Ok(Self {
            header,
            batch: input.take(header.batch_packed as usize)?,
            raw: input.take(header.raw_packed as usize)?,
        })
    }

    pub(crate) fn batch(&self) -> Result<Batch, Damage> {
        let bytes = decompress(self.batch, self.header.batch_len as usize)?;
        let batch = codec::decode(&bytes).map_err(|error| Damage::new(error.to_string()))?;
        if batch.rows != self.header.rows {
            return Err(Damage::new("the block has another number of rows than it says"));
        }
        Ok(batch)
    }

    pub(crate) fn raw(&self) -> Result<Records, Damage> {
        match self.header.raw_form {
            RAW_NONE => Ok(Records::new()),
            RAW_FOLDED => {
                let raw = decompress(self.raw, self.header.raw_len as usize)?;
                unfold(&raw, &self.batch()?)
            }
            other => Err(Damage::new(format!("raw records are in form {other}, which is newer"))),
        }
    }
}

/// Marks as they stand in a block.
pub(crate) fn marks(bytes: &[u8]) -> Vec<u64> {
    bytes.as_chunks::<8>().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()
}

fn zstd_error(code: usize) -> String {
    format!("zstd: {}", zstd::zstd_safe::get_error_name(code))
}

fn compress(bytes: &[u8], level: i32) -> Result<Vec<u8>, String> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::CompressionLevel(level)).map_err(zstd_error)?;
    let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut out, bytes).map_err(zstd_error)?;
    Ok(out)
}

fn decompress(bytes: &[u8], length: usize) -> Result<Vec<u8>, Damage> {
    if length > MOST {
        return Err(Damage::new("a length is absurd"));
    }
    let mut out = Vec::with_capacity(length);
    let mut context = DCtx::create();
    context.decompress(&mut out, bytes).map_err(|code| Damage::new(zstd_error(code)))?;
    if out.len() == length { Ok(out) } else { Err(Damage::new("it unpacks to another length")) }
}

/// Packs bytes that stand on their own.
pub(crate) fn squeeze(bytes: &[u8]) -> Result<Vec<u8>, String> {
    compress(bytes, 3)
}

/// The other way.
pub(crate) fn unsqueeze(bytes: &[u8], length: usize) -> Result<Vec<u8>, Damage> {
    decompress(bytes, length)
}
