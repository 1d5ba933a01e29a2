//! What makes a data folder one store: its secret numbers, and the lock that keeps others out.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use crate::error::{StoreError, StoreErrorKind};
use crate::files::{Entry, Files, read_exact_at, write_whole};
use crate::journal::header_error;
use crate::wire::{HEADER_LEN, Header, Input, checksum};

const MAGIC: &[u8; 8] = b"casbahI\n";
const VERSION: u32 = 1;
const LENGTH: usize = HEADER_LEN + 24;

/// Name of the file that makes a folder a data folder.
pub(crate) const STORE_FILE: &str = "store";
const LOCK_FILE: &str = "lock";

/// Random numbers made with the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) mark_key: [u8; 16],
    pub(crate) salt: u32,
}

impl Identity {
    pub(crate) fn random() -> Self {
        Self { mark_key: rand::random(), salt: rand::random() }
    }

    /// Reads the store file; `None` when there is none.
    pub(crate) fn read(files: &dyn Files) -> Result<Option<Self>, StoreError> {
        let shown = files.shown(STORE_FILE);
        let failed = |error| StoreError::io("read", &shown, error);
        let file = match files.open(STORE_FILE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let len = file.len().map_err(failed)?;
        let bytes = read_exact_at(&*file, 0, len.min(LENGTH as u64) as usize).map_err(failed)?;
        Header::read(&bytes, MAGIC, VERSION, 0).map_err(|error| header_error(&shown, error))?;
        let damaged = || StoreError::damaged(&shown, HEADER_LEN as u64, "its checksum is wrong");
        let body = bytes.get(HEADER_LEN..LENGTH).ok_or_else(damaged)?;
        let mut input = Input::new(body);
        let key = input.take(16).ok().and_then(|key| key.try_into().ok());
        let (Some(mark_key), Ok(salt), Ok(sum)) = (key, input.u32(), input.u32()) else {
            return Err(damaged());
        };
        if len != LENGTH as u64 || sum != checksum(0, &[body.get(..20).unwrap_or_default()]) {
            return Err(damaged());
        }
        Ok(Some(Self { mark_key, salt }))
    }

    /// Writes the store file, durably: from then on the folder is a data folder.
    pub(crate) fn write(&self, files: &dyn Files) -> Result<(), StoreError> {
        let mut bytes = Header::write(MAGIC, VERSION, 0, 0);
        let mut body = self.mark_key.to_vec();
        body.extend_from_slice(&self.salt.to_le_bytes());
        let sum = checksum(0, &[&body]);
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&sum.to_le_bytes());
        write_whole(files, "", STORE_FILE, &mut |file| file.write_at(0, &bytes))
            .map_err(|error| StoreError::io("write", &files.shown(STORE_FILE), error))
    }
}

/// The error for a folder that holds data without its store file.
pub(crate) fn missing_store_file(
    files: &dyn Files,
    entries: &[Entry],
    written: bool,
) -> Option<StoreError> {
    let data = written
        || entries.iter().any(|entry| {
            entry.name.starts_with("snapshot-") || entry.folder && entry.name == "log"
        });
    data.then(|| {
        let what = "without it the other files cannot be read";
        StoreError::missing(&files.shown(STORE_FILE), what)
    })
}

/// Holds the data folder for this process until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: fs::File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do, but for a process that is just being forked and shares the file.
        let _ = self.file.unlock();
    }
}

impl Lock {
    pub(crate) fn take(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(LOCK_FILE);
        let shown = path.display().to_string();
        let failed = |error| StoreError::io("open", &shown, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(dir, &mut file)),
            Err(TryLockError::Error(error)) => {
                return Err(StoreError::io("lock", &shown, error));
            }
        }
        file.set_len(0)
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()))
            .map_err(|error| StoreError::io("write to", &shown, error))?;
        Ok(Self { file })
    }
}

fn held(dir: &Path, file: &mut fs::File) -> StoreError {
    let mut text = String::new();
    let holder = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let holder = match (holder, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    };
    StoreError::new(
        StoreErrorKind::Locked,
        format!(
            "the data folder `{}` is in use by {holder}\nhint: only one casbah may have a data folder; stop the other one first",
            dir.display()
        ),
    )
}
