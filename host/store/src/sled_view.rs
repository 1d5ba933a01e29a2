//! The view in sled 0.34, and what it takes to trust it.
//!
//! sled does not survive a power cut: `flush` does not sync. So it is used again only after it was
//! closed in good order and its files have not changed since, or within the same start of the
//! machine, where a killed process loses nothing that it had handed to the operating system; then
//! the store compares it with the truth first. A marker file says which it was.
//!
//! `view` (the marker) names the folder `view-<number>`; a folder that it does not name is deleted.

use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::StoreError;
use crate::files::{Files, create_private_folder, sync_path, write_whole};
use crate::view::{APPLIED_KEY, Bounds, Changes, Each, Existing, View, ViewError, Views};

const MARKER: &str = "view";
const MARKER_FORMAT: &str = "casbah view 1";

/// sled views in the data folder.
pub(crate) struct SledViews {
    root: PathBuf,
    files: Arc<dyn Files>,
    cache_bytes: u64,
    boot: String,
    current: AtomicU64,
    newest: AtomicU64,
    /// Held while the marker is written, so that distrust is the last word.
    distrusted: Arc<Mutex<bool>>,
}

/// What the marker file says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Marker {
    folder: u64,
    boot: String,
    identity: String,
    /// Checksum of the files when they were closed in good order.
    closed: Option<u32>,
}

impl Marker {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != MARKER_FORMAT {
            return None;
        }
        let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        Some(Self {
            folder: value("folder")?.parse().ok()?,
            boot: value("boot")?.to_owned(),
            identity: value("identity")?.to_owned(),
            closed: match value("closed")? {
                "no" => None,
                sum => Some(u32::from_str_radix(sum, 16).ok()?),
            },
        })
    }

    fn text(&self) -> String {
        let closed = self.closed.map_or("no".to_owned(), |sum| format!("{sum:08x}"));
        format!(
            "{MARKER_FORMAT}\nfolder {}\nboot {}\nidentity {}\nclosed {closed}\n",
            self.folder, self.boot, self.identity
        )
    }
}

/// What tells this start of the machine from any other; empty where the system does not say.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// What tells a folder from its copy: a copy made while casbah ran is not to be trusted.
fn identity(path: &Path) -> String {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        use std::os::unix::fs::MetadataExt;
        return format!("{}-{}", metadata.dev(), metadata.ino());
    }
    let _ = path;
    String::new()
}

impl SledViews {
    pub(crate) fn new(root: &Path, files: Arc<dyn Files>, cache_bytes: u64) -> Self {
        Self {
            root: root.to_owned(),
            files,
            cache_bytes,
            boot: boot_id(),
            current: AtomicU64::new(0),
            newest: AtomicU64::new(0),
            distrusted: Arc::default(),
        }
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.root.join(format!("view-{number}"))
    }

    fn folders(&self) -> Vec<u64> {
        let entries = self.files.list("").unwrap_or_default();
        let folders = entries.iter().filter(|entry| entry.folder);
        folders.filter_map(|entry| entry.name.strip_prefix("view-")?.parse().ok()).collect()
    }

    /// Deletes the folders of all views but one.
    fn sweep(&self, keep: u64) {
        for number in self.folders().into_iter().filter(|&number| number != keep) {
            // Best effort: what stays takes room, and goes the next time.
            if let Err(error) = fs::remove_dir_all(self.folder(number)) {
                tracing::warn!("cannot delete an old view: {error}");
            }
        }
    }

    fn mark(&self, closed: Option<u32>) -> io::Result<()> {
        let distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        if *distrusted {
            return Ok(());
        }
        let folder = self.current.load(Ordering::SeqCst);
        let marker = Marker {
            folder,
            boot: self.boot.clone(),
            identity: identity(&self.folder(folder)),
            closed,
        };
        write_whole(&*self.files, "", MARKER, &mut |file| {
            file.write_at(0, marker.text().as_bytes())
        })
    }

    fn open(&self, number: u64) -> Result<Arc<dyn View>, String> {
        let path = self.folder(number);
        create_private_folder(&path).map_err(|error| error.to_string())?;
        let mut tries = 0;
        loop {
            let config = sled::Config::new()
                .path(&path)
                .cache_capacity(self.cache_bytes)
                .flush_every_ms(Some(500));
            // sled panics over what it finds broken.
            match catch_unwind(AssertUnwindSafe(|| config.open())) {
                Ok(Ok(db)) => return Ok(Arc::new(SledView { db, distrust: self.distruster() })),
                // Its own lock outlives its last handle by a moment.
                Ok(Err(sled::Error::Io(error)))
                    if tries < 40 && error.to_string().contains("acquire lock") =>
                {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(25));
                }
                Ok(Err(error)) => return Err(format!("sled does not open it: {error}")),
                Err(_) => return Err("sled panicked over it".to_owned()),
            }
        }
    }

    fn distruster(&self) -> Distruster {
        Distruster { files: Arc::clone(&self.files), distrusted: Arc::clone(&self.distrusted) }
    }
}

impl Views for SledViews {
    fn existing(&self) -> Result<Existing, String> {
        let path = self.root.join(MARKER);
        self.newest.store(self.folders().into_iter().max().unwrap_or(0), Ordering::SeqCst);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err("there is no view yet".to_owned());
            }
            text => text.map_err(|error| format!("its marker cannot be read: {error}"))?,
        };
        let marker = Marker::parse(&text).ok_or("its marker makes no sense")?;
        let folder = self.folder(marker.folder);
        if !folder.is_dir() {
            return Err("its folder is gone".to_owned());
        }
        if identity(&folder) != marker.identity {
            return Err("its folder is a copy".to_owned());
        }
        if let Some(closed) = marker.closed {
            let found = tree_sum(&folder).map_err(|error| format!("it cannot be read: {error}"))?;
            if found != closed {
                return Err("its files were changed after it was closed".to_owned());
            }
        } else if marker.boot.is_empty() || marker.boot != self.boot {
            return Err("the machine stopped without closing it".to_owned());
        }
        self.current.store(marker.folder, Ordering::SeqCst);
        self.sweep(marker.folder);
        // From here on it is being changed.
        self.mark(None).map_err(|error| format!("its marker cannot be written: {error}"))?;
        let view = self.open(marker.folder)?;
        Ok(Existing { view, proven: marker.closed.is_some() })
    }

    fn fresh(&self) -> Result<Arc<dyn View>, StoreError> {
        let number = self.newest.fetch_add(1, Ordering::SeqCst) + 1;
        let shown = self.folder(number).display().to_string();
        // A folder of that name is one that could not be deleted.
        let _ = fs::remove_dir_all(self.folder(number));
        self.open(number).map_err(|what| StoreError::io("make", &shown, io::Error::other(what)))
    }

    fn adopt(&self) -> Result<(), StoreError> {
        let number = self.newest.load(Ordering::SeqCst);
        self.current.store(number, Ordering::SeqCst);
        *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.mark(None)
            .map_err(|error| StoreError::io("write", &self.files.shown(MARKER), error))?;
        self.sweep(number);
        Ok(())
    }

    fn close(&self, view: Arc<dyn View>) -> Result<(), StoreError> {
        // sled writes the last of its memory when its last handle goes.
        let flushed = view.flush().is_ok();
        let handle = Arc::downgrade(&view);
        drop(view);
        if !flushed || handle.strong_count() > 0 {
            return Ok(());
        }
        let folder = self.folder(self.current.load(Ordering::SeqCst));
        sync_tree(&folder)
            .and_then(|()| self.mark(Some(tree_sum(&folder)?)))
            .map_err(|error| StoreError::io("sync", &folder.display().to_string(), error))
    }

    fn bytes(&self) -> u64 {
        tree_bytes(&self.folder(self.current.load(Ordering::SeqCst)))
    }
}

/// Removes the marker, so that the view is built again at the next start.
struct Distruster {
    files: Arc<dyn Files>,
    distrusted: Arc<Mutex<bool>>,
}

impl Distruster {
    fn distrust(&self) {
        let mut distrusted = self.distrusted.lock().unwrap_or_else(PoisonError::into_inner);
        if !*distrusted {
            *distrusted = true;
            // Not being able to delete it is no harm: what is wrong now is so again at the next start.
            let _ = self.files.remove(MARKER);
        }
    }
}

/// Makes every file below a folder durable, and the folder.
fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            sync_path(&entry.path())?;
        }
    }
    sync_path(path)
}

/// Checksum of all files below a folder, with their names.
fn tree_sum(path: &Path) -> io::Result<u32> {
    let mut hasher = crc32fast::Hasher::new();
    let mut waiting = vec![path.to_owned()];
    let mut buffer = vec![0; 1 << 16];
    while let Some(folder) = waiting.pop() {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.sort();
        for path in paths {
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            hasher.update(path.file_name().unwrap_or_default().as_encoded_bytes());
            let mut file = fs::File::open(&path)?;
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    break;
                }
                hasher.update(buffer.get(..read).unwrap_or_default());
            }
        }
    }
    Ok(hasher.finalize())
}

fn tree_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => tree_bytes(&entry.path()),
            Ok(metadata) => on_disk(&metadata),
            Err(_) => 0,
        })
        .sum()
}

/// Bytes a file takes: sled's have holes.
fn on_disk(metadata: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::blocks(metadata) * 512;
    #[cfg(not(unix))]
    return metadata.len();
}

struct SledView {
    db: sled::Db,
    distrust: Distruster,
}

impl SledView {
    /// sled panics where others return an error.
    fn guard<T>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, ViewError> {
        let failure = match catch_unwind(AssertUnwindSafe(|| work(&self.db))) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "sled panicked".to_owned(),
        };
        self.distrust.distrust();
        Err(ViewError(failure))
    }
}

impl View for SledView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        self.guard(|db| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    fn scan(&self, bounds: &Bounds, reverse: bool, each: Each<'_>) -> Result<(), ViewError> {
        let mut entries = self.guard(|db| Ok(db.range(bounds.clone())))?;
        loop {
            let next = self.guard(|_| {
                let next = if reverse { entries.next_back() } else { entries.next() };
                next.transpose()
            })?;
            match next {
                Some((key, value)) if each(&key, &value) => {}
                _ => return Ok(()),
            }
        }
    }

    fn apply(&self, changes: Changes, applied: Option<u64>) -> Result<(), ViewError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        if let Some(applied) = applied {
            batch.insert(APPLIED_KEY, &applied.to_le_bytes());
        }
        self.guard(|db| db.apply_batch(batch))
    }

    fn applied(&self) -> Result<Option<u64>, ViewError> {
        let value = self.get(APPLIED_KEY)?;
        Ok(value.and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes))
    }

    fn flush(&self) -> Result<(), ViewError> {
        self.guard(|db| db.flush().map(|_| ()))
    }
}
