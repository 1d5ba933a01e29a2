//! A tenant's log as it stands in memory: which segments there are, the tail that is in none yet,
//! and the marks of its newest rows.
//!
//! It reads and writes no files: it is what snapshot and journal add up to.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use casbah_model::TenantName;

use crate::block::{BLOCK_HEADER_LEN, BlockHeader, marks};
use crate::journal::Op;
use crate::seen::Seen;
use crate::segment::Place;
use crate::types::BlockInfo;
use crate::wire::Damage;

/// A block that is in no segment yet.
#[derive(Clone, Debug)]
pub(crate) struct TailBlock {
    pub(crate) info: BlockInfo,
    pub(crate) marks: u32,
    pub(crate) bytes: Arc<[u8]>,
}

impl TailBlock {
    /// Reads the description out of a packed block.
    pub(crate) fn new(first_sequence: u64, bytes: Arc<[u8]>) -> Result<Self, Damage> {
        let header = BlockHeader::read(&bytes)?;
        if header.total() != bytes.len() {
            return Err(Damage::new("a block is cut off"));
        }
        let info = BlockInfo {
            first_sequence,
            rows: header.rows,
            min_time: header.min_time,
            max_time: header.max_time,
            bytes: bytes.len() as u64,
        };
        Ok(Self { info, marks: header.marks, bytes })
    }

    pub(crate) fn mark_list(&self) -> Vec<u64> {
        let end = BLOCK_HEADER_LEN + self.marks as usize * 8;
        marks(self.bytes.get(BLOCK_HEADER_LEN..end).unwrap_or_default())
    }
}

/// A segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    /// Sequence number after its last row.
    pub(crate) end: u64,
    pub(crate) bytes: u64,
    /// Its blocks; empty until the file's index was read.
    pub(crate) places: Arc<[Place]>,
}

impl Segment {
    /// Time of the newest activity in it.
    pub(crate) fn newest(&self) -> i64 {
        self.places.iter().map(|place| place.info.max_time).max().unwrap_or(i64::MAX)
    }
}

/// A tenant's log.
#[derive(Debug)]
pub(crate) struct TenantLog {
    pub(crate) segments: Vec<Segment>,
    pub(crate) tail: Vec<TailBlock>,
    pub(crate) tail_bytes: u64,
    pub(crate) next: u64,
    pub(crate) seen: Seen,
}

/// Where a block is to be found.
pub(crate) enum Located {
    Tail(TailBlock),
    Segment { first: u64, place: Place },
}

impl Located {
    pub(crate) fn info(&self) -> BlockInfo {
        match self {
            Self::Tail(block) => block.info,
            Self::Segment { place, .. } => place.info,
        }
    }
}

impl TenantLog {
    pub(crate) fn new(seen_rows: usize) -> Self {
        Self {
            segments: Vec::new(),
            tail: Vec::new(),
            tail_bytes: 0,
            next: 1,
            seen: Seen::new(seen_rows),
        }
    }

    pub(crate) fn range(&self) -> Range<u64> {
        let segment = self.segments.first().map(|segment| segment.first);
        let tail = self.tail.first().map(|block| block.info.first_sequence);
        segment.or(tail).unwrap_or(self.next)..self.next
    }

    /// The block that holds `sequence`, or the first after it.
    pub(crate) fn locate(&self, sequence: u64) -> Option<Located> {
        let index = self.segments.partition_point(|segment| segment.end <= sequence);
        if let Some(segment) = self.segments.get(index) {
            let at = segment.places.partition_point(|place| place.info.end_sequence() <= sequence);
            let place = *segment.places.get(at)?;
            return Some(Located::Segment { first: segment.first, place });
        }
        let at = self.tail.partition_point(|block| block.info.end_sequence() <= sequence);
        self.tail.get(at).cloned().map(Located::Tail)
    }

    pub(crate) fn infos(&self) -> Vec<BlockInfo> {
        let sealed = self.segments.iter().flat_map(|segment| segment.places.iter());
        let tail = self.tail.iter().map(|block| block.info);
        sealed.map(|place| place.info).chain(tail).collect()
    }

    pub(crate) fn append(&mut self, blocks: impl IntoIterator<Item = TailBlock>) {
        for block in blocks {
            self.next = block.info.end_sequence();
            self.tail_bytes += block.info.bytes;
            self.tail.push(block);
        }
    }

    /// The first `blocks` blocks of the tail are in a segment now.
    pub(crate) fn seal(
        &mut self,
        first: u64,
        blocks: usize,
        bytes: u64,
        places: Arc<[Place]>,
    ) -> Result<(), Damage> {
        let begins = self.tail.first().map(|block| block.info.first_sequence);
        if blocks == 0 || blocks > self.tail.len() || begins != Some(first) {
            return Err(Damage::new("a segment does not fit the blocks before it"));
        }
        let end = self.take_tail(blocks).unwrap_or(first);
        self.segments.push(Segment { first, end, bytes, places });
        Ok(())
    }

    pub(crate) fn retain(&mut self, segments: &[u64], tail_blocks: usize) -> Result<(), Damage> {
        let before = self.segments.len();
        self.segments.retain(|segment| !segments.contains(&segment.first));
        if before - self.segments.len() != segments.len() || tail_blocks > self.tail.len() {
            return Err(Damage::new("something was taken away that is not there"));
        }
        self.take_tail(tail_blocks);
        Ok(())
    }

    /// Takes the first blocks off the tail; gives back the sequence number after them.
    fn take_tail(&mut self, blocks: usize) -> Option<u64> {
        let taken = self.tail.drain(..blocks).map(|block| block.info);
        taken.fold(None, |_, info| {
            self.tail_bytes -= info.bytes;
            Some(info.end_sequence())
        })
    }
}

/// All tenants' logs.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) tenants: BTreeMap<TenantName, TenantLog>,
    seen_rows: usize,
}

impl Log {
    pub(crate) fn new(seen_rows: usize) -> Self {
        Self { tenants: BTreeMap::new(), seen_rows }
    }

    pub(crate) fn tenant(&mut self, name: &TenantName) -> &mut TenantLog {
        self.tenants.entry(name.clone()).or_insert_with(|| TenantLog::new(self.seen_rows))
    }

    /// Carries out what a journal says. Marks are left for later: most of them will be sealed.
    pub(crate) fn replay(&mut self, op: &Op<'_>) -> Result<(), Damage> {
        match op {
            Op::Commit { tenant, first, blocks, .. } => {
                let log = self.tenant(&name(tenant)?);
                if !blocks.is_empty() && *first != log.next {
                    return Err(Damage::new(format!(
                        "the log goes on with {first} instead of {}",
                        log.next
                    )));
                }
                for block in blocks {
                    let block = TailBlock::new(log.next, Arc::from(*block))?;
                    log.append([block]);
                }
                Ok(())
            }
            Op::Seal { tenant, first, blocks, bytes } => {
                let blocks = usize::try_from(*blocks).unwrap_or(usize::MAX);
                self.tenant(&name(tenant)?).seal(*first, blocks, *bytes, Arc::from([]))
            }
            Op::Retain { tenant, segments, tail_blocks } => {
                let tail_blocks = usize::try_from(*tail_blocks).unwrap_or(usize::MAX);
                self.tenant(&name(tenant)?).retain(segments, tail_blocks)
            }
        }
    }
}

/// A tenant's name as it stands in a file.
pub(crate) fn name(text: &str) -> Result<TenantName, Damage> {
    text.parse().map_err(|error| Damage::new(format!("{error}")))
}
