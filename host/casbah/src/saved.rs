//! Saved answers of an app, read for `scan` and `normalize`: a page, an array, or JSON lines, plain
//! or compressed, from a file or stdin.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_model::Batch;
use casbah_model::adapter::Adapter;

/// Activities that are normalized at once.
const ROWS: usize = 16_384;
/// JSON lines are read in pieces of about this size, so that a log of any length can be read.
const PIECE: usize = 8 << 20;
/// A page or an array must be held whole; so much of it at most.
const WHOLE: usize = 512 << 20;

/// Reads files and hands over their activities, batch by batch, in order.
///
/// # Errors
/// When a file can't be read, or does not hold what the app answers.
pub(crate) fn read(
    adapter: &dyn Adapter,
    settings: &str,
    files: &[PathBuf],
    each: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    for path in files {
        let name =
            if path.as_os_str() == "-" { "stdin".into() } else { path.display().to_string() };
        let mut pieces = Pieces { input: open(path)?, rest: Vec::new(), lines: None, done: false };
        let mut at = 0_u64;
        while let Some(piece) = pieces.next().with_context(|| format!("`{name}` can't be read"))? {
            let spans = adapter
                .split(&piece)
                .map_err(|failure| anyhow::anyhow!("`{name}`, from byte {at}: {failure}"))?;
            for chunk in spans.chunks(2 * ROWS) {
                let batch = adapter
                    .normalize(settings, &piece, chunk)
                    .map_err(|failure| anyhow::anyhow!("`{name}`, from byte {at}: {failure}"))?;
                each(batch)?;
            }
            at += piece.len() as u64;
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("`{}` can't be opened", path.display()))?)
    };
    // Told by the first bytes rather than by the name, so that stdin works too.
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut head = [0; 4];
    let mut read = 0;
    while let Some(free) = head.get_mut(read..).filter(|free| !free.is_empty()) {
        match input.read(free)? {
            0 => break,
            n => read += n,
        }
    }
    let head = head.get(..read).unwrap_or_default().to_vec();
    let whole = io::Cursor::new(head.clone()).chain(input);
    Ok(match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(whole)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// A file in pieces that each hold whole records.
struct Pieces {
    input: Box<dyn Read>,
    rest: Vec<u8>,
    /// Whether the file holds one record a line; known once the first piece was seen.
    lines: Option<bool>,
    done: bool,
}

impl Pieces {
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.done {
            return Ok(None);
        }
        loop {
            let before = self.rest.len();
            let read = self.input.by_ref().take(PIECE as u64).read_to_end(&mut self.rest)?;
            if read < PIECE {
                self.done = true;
                let rest = std::mem::take(&mut self.rest);
                let empty = rest.iter().all(u8::is_ascii_whitespace);
                return Ok(if empty && before == 0 { None } else { Some(rest) });
            }
            let lines = *self.lines.get_or_insert_with(|| is_lines(&self.rest));
            if lines && let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') {
                let rest = self.rest.split_off(end + 1);
                return Ok(Some(std::mem::replace(&mut self.rest, rest)));
            }
            if self.rest.len() > WHOLE {
                bail!(
                    "it is one page or array of more than {} MiB\nhint: save it as JSON lines",
                    WHOLE >> 20
                );
            }
        }
    }
}

/// Whether the first line is a whole JSON object: then the file holds one record a line.
fn is_lines(start: &[u8]) -> bool {
    let line = start.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty());
    line.is_some_and(|line| serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok())
}
