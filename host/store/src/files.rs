//! The file layer: what the store asks of a disk, and the disk of this machine.
//!
//! Names are relative to the data folder and use `/`. Tests put a simulated disk in its place that
//! loses, tears and reorders what was not synced.
//!
//! It is not used by the view's engine, which has its own files and is never the only copy.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) folder: bool,
    pub(crate) len: u64,
}

/// A folder with everything in it.
pub(crate) trait Files: Send + Sync {
    /// Makes an empty file, or empties the one there is.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, and takes that name from any other.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes a folder; content when it is there.
    fn create_folder(&self, name: &str) -> io::Result<()>;
    /// What is in a folder; nothing when there is no such folder. `""` is the data folder itself.
    fn list(&self, folder: &str) -> io::Result<Vec<Entry>>;
    /// Makes what was created, renamed and removed in a folder durable.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;
    /// The name as people would find it.
    fn shown(&self, name: &str) -> String;
}

/// An open file.
pub(crate) trait File: Send + Sync {
    /// Reads up to as much as fits; 0 at the end.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of it. After an error, any part of it may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
    fn truncate(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
}

/// Reads exactly so many bytes; `UnexpectedEof` when there are fewer.
pub(crate) fn read_exact_at(file: &dyn File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset + done as u64, rest)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => done += read,
        }
    }
    Ok(bytes)
}

/// Writes a file so that it is either there with all its content, or not there: under a temporary
/// name first, synced, renamed, and the folder synced.
pub(crate) fn write_whole(
    files: &dyn Files,
    folder: &str,
    name: &str,
    write: &mut dyn FnMut(&dyn File) -> io::Result<()>,
) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY}");
    let written = files.create(&temporary).and_then(|file| {
        write(&*file)?;
        file.sync()
    });
    let renamed = written.and_then(|()| files.rename(&temporary, name));
    if let Err(error) = renamed {
        // Best effort: what stays is swept when the store is opened.
        let _ = files.remove(&temporary);
        return Err(error);
    }
    files.sync_folder(folder)
}

/// How the names of files end that are not finished.
pub(crate) const TEMPORARY: &str = ".tmp";

/// The disk of this machine.
#[derive(Debug)]
pub(crate) struct RealFiles {
    root: PathBuf,
}

impl RealFiles {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

/// Only the owner may read what people did.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

impl Files for RealFiles {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        let file = private(&mut options).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        create_private_folder(&self.path(name))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let listed = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let mut entries = Vec::new();
        for entry in listed {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(Entry { name, folder: metadata.is_dir(), len: metadata.len() });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        sync_path(&self.path(folder))
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Makes a folder that only the owner may look into; content when it is there.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes a file or the entries of a folder durable.
pub(crate) fn sync_path(path: &Path) -> io::Result<()> {
    // Folders cannot be opened, and need no sync, elsewhere.
    if cfg!(unix) || path.is_file() { fs::File::open(path)?.sync_all() } else { Ok(()) }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl File for RealFile {
    #[cfg(unix)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(&self.0, buffer, offset)
    }

    #[cfg(windows)]
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_read(&self.0, buffer, offset)
    }

    #[cfg(unix)]
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::write_all_at(&self.0, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = std::os::windows::fs::FileExt::seek_write(&self.0, bytes, offset)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            offset += written as u64;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
