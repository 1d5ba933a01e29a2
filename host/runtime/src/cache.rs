//! Compiled code, kept between starts.
//!
//! Loading compiled code means running it, so a file is believed only when it carries a seal that
//! was made with a key of this installation. An entry that is missing, torn, foreign, of another
//! engine or another plugin is a miss. Failing to write is a warning: the plugin runs anyway.

use std::fmt;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Component;

const MAGIC: &[u8; 16] = b"casbah-compiled1";
const HEADER: usize = MAGIC.len() + blake3::OUT_LEN;
const SUFFIX: &str = "compiled";
/// Larger files are not read at all.
const LARGEST: u64 = 256 << 20;
/// Entries that are kept; the oldest go.
const ENTRIES: usize = 64;

/// Where compiled code is kept, and the key that seals it.
pub struct CacheOptions {
    /// A folder that only this installation writes to. It is made if need be.
    pub folder: PathBuf,
    /// A secret of this installation. Who knows it and can write to the folder can run code.
    pub key: [u8; 32],
}

impl fmt::Debug for CacheOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheOptions").field("folder", &self.folder).finish_non_exhaustive()
    }
}

pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    /// Changes with everything that compiled code depends on.
    engine: blake3::Hash,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Cache {
    pub(crate) fn new(options: CacheOptions, engine: &wasmtime::Engine) -> Self {
        let mut hasher = Blake3(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Self {
            folder: options.folder,
            key: blake3::derive_key("casbah 2026 seal of compiled plugins", &options.key),
            engine: hasher.0.finalize(),
        }
    }

    /// The compiled form of a plugin, if there is one beyond doubt.
    pub(crate) fn load(
        &self,
        engine: &wasmtime::Engine,
        digest: &blake3::Hash,
    ) -> Option<Component> {
        let path = self.path(digest);
        let file = match read(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!("compiled code in `{}` can't be read: {error}", path.display());
                return None;
            }
        };
        let Some(code) = self.sealed(digest, &file) else {
            tracing::warn!(
                "compiled code in `{}` is not what was written; compiling anew",
                path.display()
            );
            return None;
        };
        // SAFETY: these are bytes that this installation got from `Component::serialize`: the seal
        // over them was made with its key, for this plugin and for this engine, and they lie in
        // memory of our own where no one can change them after the check.
        #[expect(unsafe_code, reason = "compiled code is believed only behind a seal of our own")]
        match unsafe { Component::deserialize(engine, code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!("compiled code in `{}` does not fit: {error:#}", path.display());
                None
            }
        }
    }

    /// Keeps the compiled form of a plugin.
    pub(crate) fn store(&self, digest: &blake3::Hash, component: &Component) {
        let path = self.path(digest);
        let written = component
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| self.write(&path, digest, &code));
        match written {
            Ok(()) => self.sweep(),
            Err(error) => {
                tracing::warn!(
                    "compiled code can't be kept in `{}`, so the next start takes longer: {error}",
                    path.display()
                );
            }
        }
    }

    fn path(&self, digest: &blake3::Hash) -> PathBuf {
        let mut name = blake3::Hasher::new();
        name.update(digest.as_bytes()).update(self.engine.as_bytes());
        self.folder.join(format!("{}.{SUFFIX}", name.finalize().to_hex()))
    }

    fn seal(&self, digest: &blake3::Hash, code: &[u8]) -> blake3::Hash {
        let mut seal = blake3::Hasher::new_keyed(&self.key);
        seal.update(MAGIC).update(digest.as_bytes()).update(self.engine.as_bytes()).update(code);
        seal.finalize()
    }

    /// The code in a file, when its seal is right.
    fn sealed<'a>(&self, digest: &blake3::Hash, file: &'a [u8]) -> Option<&'a [u8]> {
        let (header, code) = file.split_at_checked(HEADER)?;
        let seal = header.strip_prefix(MAGIC)?;
        let seal = blake3::Hash::from_slice(seal).ok()?;
        // Hashes of blake3 are compared in constant time.
        (seal == self.seal(digest, code)).then_some(code)
    }

    /// Writes beside the place and renames, so that nobody ever sees half a file.
    fn write(&self, path: &Path, digest: &blake3::Hash, code: &[u8]) -> io::Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(&self.folder)?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let beside = path.with_extension(format!("{}-{number}.part", std::process::id()));
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let result = options
            .open(&beside)
            .and_then(|mut file| {
                file.write_all(MAGIC)?;
                file.write_all(self.seal(digest, code).as_bytes())?;
                file.write_all(code)
            })
            .and_then(|()| fs::rename(&beside, path));
        if result.is_err() {
            // Best effort: the first error is the one to report.
            let _ = fs::remove_file(&beside);
        }
        result
    }

    /// Removes the oldest entries beyond [`ENTRIES`], and pieces left by a start that was killed.
    fn sweep(&self) {
        let Ok(folder) = fs::read_dir(&self.folder) else { return };
        let mut entries: Vec<_> = folder
            .flatten()
            .filter(|entry| {
                entry.path().extension().is_some_and(|suffix| suffix == SUFFIX || suffix == "part")
            })
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        entries.sort();
        let surplus = entries.len().saturating_sub(ENTRIES);
        for (_, path) in entries.into_iter().take(surplus) {
            // Another process may have been faster.
            let _ = fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > LARGEST {
        return Err(io::Error::other("it is too large to be ours"));
    }
    fs::read(path)
}

/// The engine's compatibility hash comes as `impl Hash`; this makes 256 bits of it.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn finish(&self) -> u64 {
        let (first, _) = self
            .0
            .finalize()
            .as_bytes()
            .split_first_chunk()
            .map_or(([0; 8], ()), |(first, _)| (*first, ()));
        u64::from_le_bytes(first)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
