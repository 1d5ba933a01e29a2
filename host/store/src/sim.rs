//! A simulated disk that loses, tears and reorders what was not synced, fills up, and fails; and
//! views that vanish, refuse or fall behind. For tests only. Everything follows from a seed.
//!
//! After a power cut:
//! - *strict*: only what was synced is there, names included (a name is synced with its folder).
//! - *torn*: of what was not synced, each small block of a file is there or not, and a first part of
//!   the changes of names.
//! - *reordered*: each write and each change of a name is there or not, in any order.
//!
//! A sync that fails leaves open what it synced, and a later one does not make up for it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use crate::engine::lock;
use crate::error::StoreError;
use crate::files::{Entry, File, Files};
use crate::view::{APPLIED_KEY, Bounds, Changes, Each, Existing, View, ViewError, Views};

/// A small generator of random numbers (splitmix64), the same on every machine.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    /// Once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// How a power cut treats what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// No cut: the process was killed, and the system keeps everything.
    Kill,
    Strict,
    Torn,
    Reordered,
}

/// Stands for all folders in [`Faults::ignored_syncs`].
pub(crate) const FOLDERS: &str = "(folders)";

/// What goes wrong while the disk runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Writes and other changes fail once in so many times; 0 for never.
    pub(crate) writes: u64,
    /// Syncs fail once in so many times; 0 for never.
    pub(crate) syncs: u64,
    /// Bytes that fit on the disk; 0 for no limit.
    pub(crate) capacity: u64,
    /// Syncs of files whose names begin so do nothing, or those of [`FOLDERS`]: a planted bug.
    pub(crate) ignored_syncs: Option<&'static str>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
    Folder(String),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    data: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Names {
    files: BTreeMap<String, usize>,
    folders: BTreeSet<String>,
}

impl Names {
    fn apply(&mut self, change: &NameChange) {
        match change {
            NameChange::Link(name, inode) => {
                self.files.insert(name.clone(), *inode);
            }
            NameChange::Unlink(name) => {
                self.files.remove(name);
            }
            NameChange::Rename(from, to, inode) => {
                self.files.remove(from);
                self.files.insert(to.clone(), *inode);
            }
            NameChange::Folder(name) => {
                self.folders.insert(name.clone());
            }
        }
    }
}

#[derive(Debug)]
struct Disk {
    inodes: Vec<Inode>,
    names: Names,
    durable: Names,
    pending: Vec<(String, NameChange)>,
    random: Random,
    faults: Faults,
    /// Changes until the power goes.
    left: u64,
    dead: bool,
    changes: u64,
}

/// The simulated disk.
#[derive(Clone, Debug)]
pub(crate) struct SimFiles {
    disk: Arc<Mutex<Disk>>,
}

fn apply(data: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, bytes) => {
            let offset = *offset as usize;
            if data.len() < offset + bytes.len() {
                data.resize(offset + bytes.len(), 0);
            }
            data[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        Change::Truncate(len) => data.resize(*len as usize, 0),
    }
}

fn folder_of(name: &str) -> String {
    name.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned())
}

fn power() -> io::Error {
    io::Error::other("the power is gone")
}

enum Fate {
    Done,
    Failed(io::Error),
}

impl Disk {
    /// Counts a change. On an error, the caller does part of it before it reports.
    fn step(&mut self, sync: bool) -> Fate {
        if self.dead {
            return Fate::Failed(power());
        }
        self.changes += 1;
        if self.left <= 1 {
            self.dead = true;
            return Fate::Failed(power());
        }
        self.left -= 1;
        let times = if sync { self.faults.syncs } else { self.faults.writes };
        if times > 0 && self.random.once_in(times) {
            return Fate::Failed(io::Error::from_raw_os_error(5));
        }
        Fate::Done
    }

    fn change_names(&mut self, folder: String, change: NameChange) -> io::Result<()> {
        let was_dead = self.dead;
        let fate = self.step(false);
        let half = matches!(fate, Fate::Failed(_)) && !was_dead && self.random.once_in(2);
        if matches!(fate, Fate::Done) || half {
            self.names.apply(&change);
            self.pending.push((folder, change));
        }
        match fate {
            Fate::Done => Ok(()),
            Fate::Failed(error) => Err(error),
        }
    }

    fn used(&self) -> u64 {
        self.names.files.values().map(|&inode| self.inodes[inode].data.len() as u64).sum()
    }
}

impl SimFiles {
    pub(crate) fn new(seed: u64) -> Self {
        let disk = Disk {
            inodes: Vec::new(),
            names: Names::default(),
            durable: Names::default(),
            pending: Vec::new(),
            random: Random::new(seed),
            faults: Faults::default(),
            left: u64::MAX,
            dead: false,
            changes: 0,
        };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        lock(&self.disk).faults = faults;
    }

    /// Lets the power go at the `changes`-th change from now.
    pub(crate) fn cut_after(&self, changes: u64) {
        lock(&self.disk).left = changes;
    }

    pub(crate) fn is_dead(&self) -> bool {
        lock(&self.disk).dead
    }

    pub(crate) fn used(&self) -> u64 {
        lock(&self.disk).used()
    }

    /// The disk as the next start finds it.
    pub(crate) fn after(&self, cut: Cut, random: &mut Random) -> Self {
        let disk = lock(&self.disk);
        if cut == Cut::Kill {
            // The system goes on as it was: what is not durable yet is still not.
            let next = Disk {
                inodes: disk.inodes.clone(),
                names: disk.names.clone(),
                durable: disk.durable.clone(),
                pending: disk.pending.clone(),
                random: Random::new(random.next()),
                faults: Faults::default(),
                left: u64::MAX,
                dead: false,
                changes: 0,
            };
            return Self { disk: Arc::new(Mutex::new(next)) };
        }
        let block = [64, 512, 4096][random.below(3) as usize];
        let names = match cut {
            Cut::Kill | Cut::Strict => disk.durable.clone(),
            Cut::Torn => {
                let mut names = disk.durable.clone();
                let kept = random.below(disk.pending.len() as u64 + 1) as usize;
                disk.pending[..kept].iter().for_each(|(_, change)| names.apply(change));
                names
            }
            Cut::Reordered => {
                let mut names = disk.durable.clone();
                for (_, change) in disk.pending.iter().filter(|_| random.once_in(2)) {
                    names.apply(change);
                }
                names
            }
        };
        let mut inodes = Vec::new();
        let mut files = BTreeMap::new();
        for (name, &inode) in &names.files {
            let inode = &disk.inodes[inode];
            let data = survive(inode, cut, block, random);
            files.insert(name.clone(), inodes.len());
            inodes.push(Inode { durable: data.clone(), data, pending: Vec::new() });
        }
        let names = Names { files, folders: names.folders };
        let next = Disk {
            inodes,
            durable: names.clone(),
            names,
            pending: Vec::new(),
            random: Random::new(random.next()),
            faults: Faults::default(),
            left: u64::MAX,
            dead: false,
            changes: 0,
        };
        Self { disk: Arc::new(Mutex::new(next)) }
    }
}

/// What is left of a file's content.
fn survive(inode: &Inode, cut: Cut, block: usize, random: &mut Random) -> Vec<u8> {
    let mut data = inode.durable.clone();
    match cut {
        Cut::Kill | Cut::Strict => {}
        Cut::Torn => {
            for change in &inode.pending {
                match change {
                    Change::Truncate(_) if random.once_in(2) => apply(&mut data, change),
                    Change::Truncate(_) => {}
                    Change::Write(offset, bytes) => {
                        let mut from = 0;
                        while from < bytes.len() {
                            let at = *offset as usize + from;
                            let to = (from + block - at % block).min(bytes.len());
                            if random.once_in(2) {
                                let part = bytes[from..to].to_vec();
                                apply(&mut data, &Change::Write(at as u64, part));
                            }
                            from = to;
                        }
                    }
                }
            }
        }
        Cut::Reordered => {
            let mut changes: Vec<&Change> = inode.pending.iter().collect();
            for at in (1..changes.len()).rev() {
                changes.swap(at, random.below(at as u64 + 1) as usize);
            }
            for change in changes {
                if random.once_in(2) {
                    apply(&mut data, change);
                }
            }
        }
    }
    data
}

impl Files for SimFiles {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut disk = lock(&self.disk);
        let folder = folder_of(name);
        if !folder.is_empty() && !disk.names.folders.contains(&folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.change_names(folder, NameChange::Link(name.to_owned(), inode))?;
        Ok(Arc::new(SimFile { disk: Arc::clone(&self.disk), inode, name: name.to_owned() }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let disk = lock(&self.disk);
        if disk.dead {
            return Err(power());
        }
        let &inode = disk.names.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: Arc::clone(&self.disk), inode, name: name.to_owned() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        let &inode = disk.names.files.get(from).ok_or(io::ErrorKind::NotFound)?;
        assert_eq!(folder_of(from), folder_of(to), "the store renames within a folder");
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), inode);
        disk.change_names(folder_of(to), change)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if !disk.dead && !disk.names.files.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change_names(folder_of(name), NameChange::Unlink(name.to_owned()))
    }

    fn create_folder(&self, name: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if disk.names.folders.contains(name) {
            return Ok(());
        }
        disk.change_names(folder_of(name), NameChange::Folder(name.to_owned()))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<Entry>> {
        let disk = lock(&self.disk);
        let inside = |name: &str| folder_of(name) == folder;
        let last = |name: &str| name.rsplit('/').next().unwrap().to_owned();
        let mut entries: Vec<Entry> = Vec::new();
        for (name, &inode) in disk.names.files.iter().filter(|(name, _)| inside(name)) {
            let len = disk.inodes[inode].data.len() as u64;
            entries.push(Entry { name: last(name), folder: false, len });
        }
        for name in disk.names.folders.iter().filter(|name| inside(name)) {
            entries.push(Entry { name: last(name), folder: true, len: 0 });
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if disk.faults.ignored_syncs == Some(FOLDERS) && !disk.dead {
            return Ok(());
        }
        let fate = disk.step(true);
        let (mut synced, mut rest) = (Vec::new(), Vec::new());
        for (of, change) in std::mem::take(&mut disk.pending) {
            if of == folder { synced.push(change) } else { rest.push((of, change)) }
        }
        match fate {
            Fate::Done => {
                synced.iter().for_each(|change| disk.durable.apply(change));
                disk.pending = rest;
                Ok(())
            }
            Fate::Failed(error) => {
                // Nobody knows; all the same, names keep their order within a folder.
                rest.extend(synced.into_iter().map(|change| (folder.to_owned(), change)));
                disk.pending = rest;
                Err(error)
            }
        }
    }

    fn shown(&self, name: &str) -> String {
        format!("disk/{name}")
    }
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    inode: usize,
    name: String,
}

impl SimFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if disk.dead {
            return Err(power());
        }
        let mut error = match disk.step(false) {
            Fate::Done => None,
            Fate::Failed(error) => Some(error),
        };
        let mut change = change;
        if let Change::Write(offset, bytes) = &mut change {
            let grows = (*offset + bytes.len() as u64)
                .saturating_sub(disk.inodes[self.inode].data.len() as u64);
            let room = disk.faults.capacity.saturating_sub(disk.used());
            if disk.faults.capacity > 0 && grows > room {
                error = Some(io::ErrorKind::StorageFull.into());
                let fits = bytes.len() - (grows - room).min(bytes.len() as u64) as usize;
                bytes.truncate(fits);
            } else if error.is_some() {
                let part = disk.random.below(bytes.len() as u64 + 1) as usize;
                bytes.truncate(part);
            }
        } else if error.is_some() && disk.random.once_in(2) {
            return Err(error.unwrap_or_else(power));
        }
        let inode = &mut disk.inodes[self.inode];
        apply(&mut inode.data, &change);
        inode.pending.push(change);
        error.map_or(Ok(()), Err)
    }
}

impl File for SimFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let disk = lock(&self.disk);
        if disk.dead {
            return Err(power());
        }
        let data = disk.inodes[self.inode].data.get(offset as usize..).unwrap_or_default();
        let length = data.len().min(buffer.len());
        buffer[..length].copy_from_slice(&data[..length]);
        Ok(length)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        if disk.dead {
            return Err(power());
        }
        if disk.faults.ignored_syncs.is_some_and(|prefix| self.name.starts_with(prefix)) {
            return Ok(());
        }
        let fate = disk.step(true);
        let kept: Vec<bool> =
            (0..disk.inodes[self.inode].pending.len()).map(|_| disk.random.once_in(2)).collect();
        let inode = &mut disk.inodes[self.inode];
        match fate {
            Fate::Done => {
                for change in std::mem::take(&mut inode.pending) {
                    apply(&mut inode.durable, &change);
                }
                Ok(())
            }
            Fate::Failed(error) => {
                // What was handed over is no longer retried, and may be there or not.
                for (change, kept) in std::mem::take(&mut inode.pending).iter().zip(kept) {
                    if kept {
                        apply(&mut inode.durable, change);
                    }
                }
                Err(error)
            }
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.change(Change::Truncate(len))
    }

    fn len(&self) -> io::Result<u64> {
        let disk = lock(&self.disk);
        if disk.dead { Err(power()) } else { Ok(disk.inodes[self.inode].data.len() as u64) }
    }
}

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the next start finds of the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ViewFate {
    Kept,
    Lost,
    Garbled,
    Stale,
    /// Some values are not what was written, and nothing but a comparison tells.
    Wrong,
}

#[derive(Debug, Default)]
struct ViewState {
    map: Map,
    /// The map as it was at some moments before.
    older: Vec<Map>,
    random: Option<Random>,
    /// Changes fail once in so many times; 0 for never.
    fails: u64,
    /// Whether it was closed in good order.
    closed: bool,
}

/// Views in memory.
#[derive(Debug, Default)]
pub(crate) struct SimViews {
    existing: Option<Result<Map, String>>,
    /// The view that the next start would find; empty until one is adopted.
    current: Arc<Mutex<Option<Arc<Mutex<ViewState>>>>>,
    newest: Mutex<Option<Arc<Mutex<ViewState>>>>,
    random: Mutex<Option<Random>>,
    fails: u64,
    proven: bool,
}

/// A handle by which a test looks at the view after the store is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewHandle(Arc<Mutex<Option<Arc<Mutex<ViewState>>>>>);

impl ViewHandle {
    /// The views that the next start finds.
    pub(crate) fn next(&self, fate: ViewFate, fails: u64, random: &mut Random) -> SimViews {
        let state = lock(&self.0).clone();
        let closed = state.as_ref().is_some_and(|state| lock(state).closed);
        let existing = match (fate, state) {
            (ViewFate::Lost, _) | (_, None) => None,
            (ViewFate::Garbled, _) => Some(Err("it is garbled".to_owned())),
            (ViewFate::Kept | ViewFate::Wrong, Some(state)) => Some(Ok(lock(&state).map.clone())),
            (ViewFate::Stale, Some(state)) => {
                let state = lock(&state);
                let at = random.below(state.older.len() as u64) as usize;
                Some(Ok(state.older.get(at).unwrap_or(&state.map).clone()))
            }
        };
        let existing = match (fate, existing) {
            (ViewFate::Wrong, Some(Ok(mut map))) => {
                map.retain(|key, _| key == APPLIED_KEY || !random.once_in(6));
                map.values_mut().skip(1).step_by(3).for_each(|value| value.push(0));
                Some(Ok(map))
            }
            (_, existing) => existing,
        };
        SimViews {
            existing,
            proven: closed && fate == ViewFate::Kept,
            random: Mutex::new(Some(Random::new(random.next()))),
            fails,
            ..SimViews::default()
        }
    }
}

impl SimViews {
    pub(crate) fn handle(&self) -> ViewHandle {
        ViewHandle(Arc::clone(&self.current))
    }

    fn state(&self, map: Map) -> Arc<Mutex<ViewState>> {
        let random = lock(&self.random).as_mut().map(|random| Random::new(random.next()));
        let state = ViewState { map, older: Vec::new(), random, fails: self.fails, closed: false };
        Arc::new(Mutex::new(state))
    }
}

impl Views for SimViews {
    fn existing(&self) -> Result<Existing, String> {
        match &self.existing {
            None => Err("there is none".to_owned()),
            Some(Err(why)) => Err(why.clone()),
            Some(Ok(map)) => {
                let state = self.state(map.clone());
                *lock(&self.current) = Some(Arc::clone(&state));
                Ok(Existing { view: Arc::new(SimView(state)), proven: self.proven })
            }
        }
    }

    fn fresh(&self) -> Result<Arc<dyn View>, StoreError> {
        let state = self.state(Map::new());
        *lock(&self.newest) = Some(Arc::clone(&state));
        Ok(Arc::new(SimView(state)))
    }

    fn adopt(&self) -> Result<(), StoreError> {
        *lock(&self.current) = lock(&self.newest).clone();
        Ok(())
    }

    fn close(&self, view: Arc<dyn View>) -> Result<(), StoreError> {
        drop(view);
        if let Some(current) = &*lock(&self.current) {
            lock(current).closed = true;
        }
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

#[derive(Debug)]
struct SimView(Arc<Mutex<ViewState>>);

impl View for SimView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError> {
        Ok(lock(&self.0).map.get(key).cloned())
    }

    fn scan(&self, bounds: &Bounds, reverse: bool, each: Each<'_>) -> Result<(), ViewError> {
        let state = lock(&self.0);
        if let (Bound::Included(start), Bound::Excluded(end)) = bounds
            && start >= end
        {
            return Ok(());
        }
        let mut entries = state.map.range(bounds.clone());
        while let Some((key, value)) = if reverse { entries.next_back() } else { entries.next() } {
            if !each(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, changes: Changes, applied: Option<u64>) -> Result<(), ViewError> {
        let mut state = lock(&self.0);
        let fails = state.fails;
        let (fail, keep) = match &mut state.random {
            Some(random) => (fails > 0 && random.once_in(fails), random.once_in(4)),
            None => (false, false),
        };
        if fail {
            return Err(ViewError("it was told to fail".to_owned()));
        }
        if keep {
            let map = state.map.clone();
            state.older.push(map);
        }
        for (key, value) in changes {
            match value {
                Some(value) => state.map.insert(key, value),
                None => state.map.remove(&key),
            };
        }
        if let Some(applied) = applied {
            state.map.insert(APPLIED_KEY.to_vec(), applied.to_le_bytes().to_vec());
        }
        Ok(())
    }

    fn applied(&self) -> Result<Option<u64>, ViewError> {
        let value = self.get(APPLIED_KEY)?;
        Ok(value.map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())))
    }

    fn flush(&self) -> Result<(), ViewError> {
        Ok(())
    }
}
