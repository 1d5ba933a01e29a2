//! The store on real files with real sled: views that are lost or garbled, killed processes, the
//! lock, retention, compacting, and commits from several threads.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use casbah_model::TenantName;

use super::{block, row_id, row_mark, row_raw};
use crate::error::StoreErrorKind;
use crate::sim::Random;
use crate::types::{Commit, Options, ScanRange, Stats, Table};
use crate::{SledStore, Store, open};

fn tenant() -> TenantName {
    "acme".parse().unwrap()
}

fn small() -> Options {
    Options { seal_bytes: 20_000, snapshot_journal_bytes: 60_000, ..Options::default() }
}

fn opened(dir: &Path) -> SledStore {
    open(dir, small(), &|_| {}).unwrap()
}

fn entries(store: &SledStore) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    store
        .scan(&tenant(), Table::State, &ScanRange::all(), false, &mut |key, value| {
            found.insert(key.to_vec(), value.to_vec());
            true
        })
        .unwrap();
    found
}

fn view_folder(dir: &Path) -> PathBuf {
    let mut folders = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    folders
        .find(|path| path.is_dir() && path.file_name().unwrap().to_str().unwrap() != "log")
        .expect("there is a view")
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}

fn folder_bytes(path: &Path) -> u64 {
    files_below(path).iter().map(|path| fs::metadata(path).unwrap().len()).sum()
}

/// Does something to the view's files; the words are for the message of a failure.
fn damage(dir: &Path, random: &mut Random) -> &'static str {
    let folder = view_folder(dir);
    let files = files_below(&folder);
    let file = &files[random.below(files.len() as u64) as usize];
    let bytes = fs::read(file).unwrap();
    match random.below(8) {
        0 => {
            fs::remove_dir_all(&folder).unwrap();
            "the folder is gone"
        }
        1 => {
            fs::remove_file(dir.join("view")).unwrap();
            "the marker is gone"
        }
        2 => {
            let length = random.below(200) as usize;
            fs::write(dir.join("view"), random.bytes(length)).unwrap();
            "the marker is garbled"
        }
        3 => {
            fs::write(file, &bytes[..random.below(bytes.len() as u64 + 1) as usize]).unwrap();
            "a file is cut off"
        }
        4 => {
            fs::remove_file(file).unwrap();
            "a file is gone"
        }
        5 => {
            fs::write(file, random.bytes(bytes.len())).unwrap();
            "a file is all random"
        }
        6 => {
            fs::write(file, vec![0; bytes.len()]).unwrap();
            "a file is all zeros"
        }
        _ => {
            let mut bytes = bytes;
            for _ in 0..1 + random.below(20) {
                let at = random.below(bytes.len() as u64) as usize;
                let length = random.below(64) as usize;
                for (to, from) in bytes[at..].iter_mut().zip(random.bytes(length)) {
                    *to = from;
                }
            }
            fs::write(file, bytes).unwrap();
            "a file is garbled here and there"
        }
    }
}

/// Protects the truth from its view: whatever becomes of sled's files, the store opens and holds
/// what was committed. Half of the stores are closed in good order, the others are dropped.
#[test]
fn a_damaged_view_is_built_again() {
    let mut random = Random::new(11);
    let mut expected = BTreeMap::new();
    let mut rebuilt = 0;
    let dir = tempfile::tempdir().unwrap();
    let mut number = 0;
    for round in 0..240 {
        let store = opened(dir.path());
        rebuilt += u64::from(store.stats().view_rebuilt.is_some());
        assert_eq!(entries(&store), expected, "round {round}");
        assert_eq!(store.log_range(&tenant()), 1..number + 1);
        for _ in 0..random.below(6) {
            let key = vec![random.below(40) as u8];
            let length = random.below(3_000) as usize;
            let value = random.bytes(length);
            number += 1;
            let commit = Commit::new().append(block(&[(number, number as i64)]));
            store.commit(&tenant(), commit.put(Table::State, key.clone(), value.clone())).unwrap();
            expected.insert(key, value);
        }
        if random.once_in(2) {
            store.close().unwrap();
        }
        drop(store);
        if !random.once_in(4) {
            damage(dir.path(), &mut random);
        }
    }
    assert!((110..240).contains(&rebuilt), "{rebuilt} rebuilt");
    let store = opened(dir.path());
    assert_eq!(store.check(&|_| {}).unwrap().findings, []);
}

/// A view that was closed in good order is used as it is: opening must not take the time of a
/// rebuild.
#[test]
fn an_undamaged_view_is_not_built_again() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let store = opened(dir.path());
        let rebuilt = store.stats().view_rebuilt;
        assert_eq!(rebuilt, None, "round {round}");
        let value = vec![round; 5_000];
        store.commit(&tenant(), Commit::new().put(Table::State, [round], value)).unwrap();
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
}

/// Protects against power cuts and copies: a view that may have lost what was not synced is not
/// trusted, however well it looks, and `stats` says why.
#[test]
fn a_view_of_another_start_or_folder_is_not_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let reopened = |change: &dyn Fn(String) -> String| {
        let store = opened(dir.path());
        store.commit(&tenant(), Commit::new().put(Table::State, "key", "value")).unwrap();
        drop(store);
        let marker = dir.path().join("view");
        fs::write(&marker, change(fs::read_to_string(&marker).unwrap())).unwrap();
        let store = opened(dir.path());
        assert_eq!(store.get(&tenant(), Table::State, b"key").unwrap().unwrap(), b"value");
        store.stats().view_rebuilt
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let other_start = |text: String| text.replace(boot.trim(), "another start");
    let told = [
        reopened(&|text| text),
        reopened(&other_start),
        reopened(&|text| text.replace("identity ", "identity 7")),
        reopened(&|text| text.replace("view 1", "view 2")),
        reopened(&|text| text.replace("folder ", "folder 9")),
        reopened(&|text| text.replace("closed no", "closed 01234567")),
    ];
    let told: Vec<String> = told.into_iter().map(|why| why.unwrap_or("kept".to_owned())).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    kept
    the machine stopped without closing it
    its folder is a copy
    its marker makes no sense
    its folder is gone
    its files were changed after it was closed
    ");
}

const CHILD: &str = "CASBAH_STORE_TEST_CHILD";

/// Not a test of its own: what the killed process does. It commits without end and says what was
/// acknowledged.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let store = opened(Path::new(&dir));
    let mut number = store.log_range(&tenant()).end;
    println!("opened {}", std::process::id());
    loop {
        let commit = Commit::new().append(block(&[(number, number as i64)]));
        let key = (number % 50).to_be_bytes();
        let value = number.to_le_bytes().repeat(20);
        store.commit(&tenant(), commit.put(Table::State, key, value)).unwrap();
        println!("acknowledged {number}");
        number += 1;
    }
}

/// A killed child is waited for, whatever happens to the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn_child(dir: &Path) -> Killed {
    let name = "tests::real_files::child_that_commits_until_it_is_killed";
    let child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    Killed(child)
}

/// Protects against `kill -9`: everything acknowledged is there, at most one commit more, and view
/// and log agree. Meanwhile nobody else gets in, and the message names who holds the folder.
#[test]
fn a_killed_process_loses_nothing() {
    let mut random = Random::new(5);
    let dir = tempfile::tempdir().unwrap();
    let (mut kept, mut total) = (0, 0);
    for _ in 0..20 {
        let mut child = spawn_child(dir.path());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let (mut acknowledged, wanted) = (total, total + 1 + random.below(150));
        for line in &mut lines {
            let line = line.unwrap();
            if line.starts_with("opened ") {
                let error = open(dir.path(), small(), &|_| {}).unwrap_err();
                assert_eq!(error.kind(), StoreErrorKind::Locked);
                let holder = format!("process {}", child.0.id());
                assert!(error.to_string().contains(&holder), "{error}");
            }
            if let Some(number) = line.strip_prefix("acknowledged ") {
                acknowledged = number.parse().unwrap();
                if acknowledged >= wanted {
                    break;
                }
            }
        }
        child.0.kill().unwrap();
        for line in lines.map_while(Result::ok) {
            // The last line may be cut off.
            if let Some(number) = line.strip_prefix("acknowledged ")
                && let Ok(number) = number.parse::<u64>()
                && number == acknowledged + 1
            {
                acknowledged = number;
            }
        }
        drop(child);
        let store = opened(dir.path());
        kept += u64::from(store.stats().view_rebuilt.is_none());
        let last = store.log_range(&tenant()).end - 1;
        assert!((acknowledged..=acknowledged + 1).contains(&last), "{acknowledged}, {last}");
        let newest = store.get(&tenant(), Table::State, &(last % 50).to_be_bytes()).unwrap();
        assert_eq!(newest, Some(last.to_le_bytes().repeat(20)));
        assert_eq!(store.seen(&tenant(), &[row_mark(1), row_mark(last)]), [true, true]);
        assert_eq!(store.check(&|_| {}).unwrap().findings, []);
        total = last;
    }
    assert!(kept >= 10, "the view was used again only {kept} times");
}

/// Retention must free the disk, and only of what is old.
#[test]
fn retention_gives_the_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path());
    let mut random = Random::new(3);
    for step in 0..200_u64 {
        let rows: Vec<(u64, i64)> =
            (0..100).map(|_| (random.next(), step as i64 * 1_000)).collect();
        store.commit(&tenant(), Commit::new().append(block(&rows))).unwrap();
    }
    store.checkpoint().unwrap();
    let before = folder_bytes(&dir.path().join("log"));
    let stats = store.stats();
    assert!(stats.segments > 10 && stats.activities == 20_000, "{stats:?}");
    let retained = store.retain(&tenant(), 100_000).unwrap();
    assert!((5_000..=10_000).contains(&retained.activities), "{retained:?}");
    assert!(retained.segments >= 5);
    let after = folder_bytes(&dir.path().join("log"));
    assert_eq!(before - after, retained.bytes);
    let range = store.log_range(&tenant());
    assert_eq!(range, retained.activities + 1..20_001);
    assert!(store.blocks(&tenant()).iter().all(|block| block.max_time >= 100_000));
    let first = store.read(&tenant(), 1).unwrap().unwrap();
    assert_eq!(first.info.first_sequence, range.start);
    store.close().unwrap();
    drop(store);
    assert_eq!(opened(dir.path()).log_range(&tenant()), range);
}

/// Blocks that a quiet app filled with a few rows each are merged when they are sealed; rows, raw
/// records and numbers stay, also for whoever still has the old description of a block.
#[test]
fn small_blocks_are_merged_when_they_are_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { seal_bytes: 300_000, ..Options::default() };
    let store = open(dir.path(), options, &|_| {}).unwrap();
    let mut number = 0;
    let mut bytes_before = 0;
    let mut old = Vec::new();
    while store.stats().segments == 0 {
        bytes_before = store.blocks(&tenant()).iter().map(|block| block.bytes).sum();
        old = store.blocks(&tenant());
        let rows: Vec<(u64, i64)> = (number + 1..number + 4).map(|n| (n, n as i64)).collect();
        number += 3;
        store.commit(&tenant(), Commit::new().append(block(&rows))).unwrap();
        store.read(&tenant(), number).unwrap();
    }
    let blocks = store.blocks(&tenant());
    let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
    assert!(blocks.len() < 10 && bytes * 4 < bytes_before, "{bytes} of {bytes_before} bytes");
    for sequence in [1, 2, number / 2, number] {
        let block = store.read(&tenant(), sequence).unwrap().unwrap();
        let row = (sequence - block.info.first_sequence) as usize;
        assert_eq!(block.batch.text("id", row), row_id(sequence));
    }
    for info in [old[0], old[1], old[old.len() / 2]] {
        let raw = store.raw(&tenant(), &info).unwrap();
        let expected: Vec<String> =
            (info.first_sequence..info.end_sequence()).map(row_raw).collect();
        assert!(raw.iter().eq(expected.iter().map(String::as_bytes)));
    }
}

/// sled gives nothing back; compacting must, without losing an entry, while others read.
#[test]
fn compacting_shrinks_the_view() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path());
    let mut random = Random::new(4);
    for _ in 0..60 {
        let mut commit = Commit::new();
        for _ in 0..20 {
            let key = random.below(500).to_be_bytes();
            commit = commit.put(Table::State, key, random.bytes(2_000));
        }
        store.commit(&tenant(), commit).unwrap();
    }
    let mut commit = Commit::new();
    for key in 20..500_u64 {
        commit = commit.delete(Table::State, key.to_be_bytes());
    }
    store.commit(&tenant(), commit).unwrap();
    let expected = entries(&store);
    let compacted = store.compact(&|_| {}).unwrap();
    assert!(compacted.after < compacted.before / 2, "{compacted:?}");
    assert_eq!(entries(&store), expected);
    store.commit(&tenant(), Commit::new().put(Table::State, "x", "y")).unwrap();
    store.close().unwrap();
    drop(store);
    let store = opened(dir.path());
    assert_eq!(store.stats().view_rebuilt, None);
    assert_eq!(entries(&store).len(), expected.len() + 1);
}

/// Commits of several threads share syncs, get numbers without gaps, and of those that expect the
/// same only one goes through.
#[test]
fn threads_commit_side_by_side() {
    const THREADS: u64 = 8;
    const COMMITS: u64 = 50;
    let dir = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(opened(dir.path()));
    let won: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = Arc::clone(&store);
                scope.spawn(move || {
                    let mut won = 0;
                    for number in 0..COMMITS {
                        let row = (thread * COMMITS + number, 0);
                        let key = number.to_be_bytes();
                        let commit = Commit::new().append(block(&[row, row]));
                        store.commit(&tenant(), commit).unwrap();
                        let first = Commit::new().expect(Table::Meta, key, None).put(
                            Table::Meta,
                            key,
                            thread.to_be_bytes(),
                        );
                        match store.commit(&tenant(), first) {
                            Ok(_) => won += 1,
                            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Conflict),
                        }
                    }
                    won
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(won, COMMITS);
    let Stats { commits, syncs, activities, .. } = store.stats();
    assert_eq!(commits, THREADS * COMMITS + COMMITS);
    assert!(syncs < commits, "{syncs} syncs for {commits} commits");
    assert_eq!(activities, THREADS * COMMITS * 2);
    assert_eq!(store.log_range(&tenant()), 1..activities + 1);
    let mut at = 1;
    while let Some(block) = store.read(&tenant(), at).unwrap() {
        assert_eq!(block.info.first_sequence, at);
        at = block.info.end_sequence();
    }
    assert_eq!(at, activities + 1);
}

/// Scans keep to their tenant, table, prefix and bounds, both ways.
#[test]
fn scans_keep_to_their_range() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(dir.path());
    let other: TenantName = "acme-2".parse().unwrap();
    let keys: [&[u8]; 6] = [b"", b"a", b"a\x00", b"a\xff\xff", b"b", b"\xff"];
    for name in [&tenant(), &other] {
        for table in [Table::State, Table::Offset] {
            for key in keys {
                store.commit(name, Commit::new().put(table, key, "v")).unwrap();
            }
        }
    }
    let scan = |range: ScanRange, reverse| {
        let mut found: Vec<Vec<u8>> = Vec::new();
        store
            .scan(&tenant(), Table::State, &range, reverse, &mut |key, _| {
                found.push(key.to_vec());
                found.len() < 5
            })
            .unwrap();
        found
    };
    assert_eq!(scan(ScanRange::all(), false), &keys[..5]);
    assert_eq!(scan(ScanRange::all(), true).first().unwrap(), b"\xff");
    assert_eq!(scan(ScanRange::prefix("a"), false), &keys[1..4]);
    assert_eq!(scan(ScanRange::prefix("a"), true)[0], keys[3]);
    assert_eq!(scan(ScanRange::prefix("a").from("a\0"), false), &keys[2..4]);
    assert_eq!(scan(ScanRange::all().from("a").before("b"), false), &keys[1..4]);
    assert_eq!(scan(ScanRange::prefix("\u{7f}"), false), Vec::<Vec<u8>>::new());
    assert_eq!(scan(ScanRange::all().from("b").before("a"), false), Vec::<Vec<u8>>::new());
    assert_eq!(scan(ScanRange::prefix([0xff]), false), &keys[5..]);
}
