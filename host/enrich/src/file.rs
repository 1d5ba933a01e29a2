//! Reading a whole file within bounds, and telling whether it is another one than before.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use crate::error::{EnrichErrors, EnrichProblem, EnrichProblemKind};

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// A file that was renamed into its place is another one, however old it is.
    inode: u64,
}

impl Stamp {
    /// `None` when there is no such file, or it can't be looked at.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

/// The bytes of a file, and the first 12 hex digits of their BLAKE3 digest.
pub(crate) fn read(path: &Path, most: u64, hint: &str) -> Result<(Vec<u8>, String), EnrichErrors> {
    let name = path.display().to_string();
    let fail = |message: String, hint: &str| {
        Err(EnrichProblem::whole(EnrichProblemKind::Read, &name, message, hint).into())
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        file.take(most + 1).read_to_end(&mut bytes)
    });
    match read {
        Err(error) => fail(format!("the file can't be read: {error}"), hint),
        Ok(length) if length as u64 > most => {
            fail(format!("the file is larger than {} MiB", most >> 20), "is it the right one?")
        }
        Ok(_) => {
            let digest = blake3::hash(&bytes).to_hex();
            let snapshot = digest.chars().take(12).collect();
            Ok((bytes, snapshot))
        }
    }
}
