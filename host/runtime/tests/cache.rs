//! The cache of compiled code: what is beyond doubt is used, everything else is compiled anew.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use casbah_model::Batch;
use casbah_runtime::{CacheOptions, DetectorPlugin, Engine, EngineOptions, Limits};
use tempfile::TempDir;

fn guest(name: &str) -> &'static [u8] {
    casbah_plugin_bundle::HOSTILE.iter().find(|guest| guest.name == name).unwrap().bytes
}

fn engine(folder: &Path, key: u8) -> Engine {
    let cache = CacheOptions { folder: folder.to_owned(), key: [key; 32] };
    Engine::new(EngineOptions::with_cache(cache)).unwrap()
}

/// Loads a guest, checks that it works, and says whether it came from the cache.
fn cached(engine: &Engine, name: &str) -> bool {
    let plugin = DetectorPlugin::load(engine, name, guest(name), Limits::detector()).unwrap();
    assert_eq!(plugin.info().name, name);
    let configured = plugin.configure(vec!["{}".to_owned()]).unwrap();
    configured.evaluate_batch(&Batch::default(), &mut |_| Vec::new()).unwrap();
    plugin.info().cached
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn the_second_load_is_cached() {
    let folder = TempDir::new().unwrap();
    let place = folder.path().join("made/on/demand");
    let first = engine(&place, 1);
    assert!(!cached(&first, "empty"));
    assert!(cached(&first, "empty"));
    // Another start of the program.
    assert!(cached(&engine(&place, 1), "empty"));
    // Another plugin has its own entry.
    assert!(!cached(&first, "honest"));
    assert_eq!(entries(&place).len(), 2);
    #[cfg(unix)]
    for entry in entries(&place) {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(entry).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// Code is run that is read here: one wrong bit anywhere, and it is not believed.
#[test]
fn a_damaged_entry_is_a_miss_and_is_repaired() {
    let folder = TempDir::new().unwrap();
    let engine = engine(folder.path(), 1);
    assert!(!cached(&engine, "empty"));
    let entry = entries(folder.path()).remove(0);
    let good = fs::read(&entry).unwrap();
    let mut damages: Vec<(String, Vec<u8>)> = vec![
        ("emptied".to_owned(), Vec::new()),
        ("cut".to_owned(), good[..good.len() - 1].to_vec()),
        ("cut to the header".to_owned(), good[..48].to_vec()),
        ("grown".to_owned(), [&good[..], b"x"].concat()),
        ("without header".to_owned(), good[48..].to_vec()),
    ];
    for part in 0..=16 {
        let place = (good.len() - 1) * part / 16;
        let mut damaged = good.clone();
        damaged[place] ^= 1;
        damages.push((format!("bit at {place}"), damaged));
    }
    for (name, damaged) in damages {
        fs::write(&entry, damaged).unwrap();
        assert!(!cached(&engine, "empty"), "{name}");
        assert!(cached(&engine, "empty"), "{name}: not repaired");
    }
}

/// Who can write to the folder but does not know the key can't run code.
#[test]
fn foreign_entries_are_misses() {
    let folder = TempDir::new().unwrap();
    assert!(!cached(&engine(folder.path(), 1), "empty"));
    let other = engine(folder.path(), 2);
    assert!(!cached(&other, "empty"), "sealed with another key");
    assert!(cached(&other, "empty"));
    // An entry of one plugin in the place of another's, sealed with the right key.
    let before = entries(folder.path());
    assert!(!cached(&other, "honest"));
    let added = entries(folder.path()).into_iter().find(|entry| !before.contains(entry)).unwrap();
    fs::copy(&before[0], &added).unwrap();
    assert!(!cached(&other, "honest"), "sealed for another plugin");
}

/// No cache is no reason not to run.
#[test]
fn a_folder_that_can_not_be_written() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    let engine = engine(&file, 1);
    assert!(!cached(&engine, "empty"));
    assert!(!cached(&engine, "empty"));
}

/// The folder does not grow for ever: the oldest entries go.
#[test]
fn old_entries_go() {
    let folder = TempDir::new().unwrap();
    for number in 0..100 {
        let entry = folder.path().join(format!("{number:064x}.compiled"));
        fs::write(&entry, "old").unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number);
        fs::File::options().write(true).open(&entry).unwrap().set_modified(long_ago).unwrap();
    }
    fs::write(folder.path().join("not-ours.txt"), "stays").unwrap();
    let engine = engine(folder.path(), 1);
    assert!(!cached(&engine, "empty"));
    assert_eq!(entries(folder.path()).len(), 64 + 1);
    assert!(folder.path().join("not-ours.txt").exists());
    assert!(cached(&engine, "empty"), "the newest entry stays");
}
