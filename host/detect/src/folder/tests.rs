//! What is read from a real folder, and that changes are noticed.

use std::fs;

use insta::assert_snapshot;
use tempfile::TempDir;

use super::*;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        put(&folder, name, text);
    }
    folder
}

fn put(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(folder: &TempDir, sources: &[PolicySource]) -> Vec<String> {
    let prefix = format!("{}/", folder.path().display());
    sources.iter().map(|source| source.file.replace(&prefix, "")).collect()
}

#[test]
fn every_kind_of_file_has_its_place() {
    let folder = folder(&[
        ("b.yaml", "policy: b"),
        ("a.YML", "policy: a"),
        ("notes.txt", "no policy"),
        (".#a.yaml", "of an editor"),
        ("deeper/c.yaml", "not a policy of this folder"),
        ("lists/vip.txt", "ana"),
        ("lists/staff.csv", "email\nbea"),
        ("lists/README.md", "no list"),
        ("sigma/aws/root.yml", "title: x"),
        ("sigma/one.yaml", "title: y"),
        ("sigma/.git/x.yml", "of git"),
        ("shadow/a.yaml", "policy: a"),
    ]);
    let content = read(folder.path()).unwrap();
    assert_eq!(names(&folder, &content.policies), ["a.YML", "b.yaml"]);
    assert_eq!(names(&folder, &content.sigma), ["sigma/aws/root.yml", "sigma/one.yaml"]);
    assert_eq!(names(&folder, &content.shadow), ["shadow/a.yaml"]);
    assert_eq!(content.lists.iter().map(|list| &list.name).collect::<Vec<_>>(), ["staff", "vip"]);
    assert_eq!(names(&folder, &read_policies(folder.path()).unwrap()), ["a.YML", "b.yaml"]);
}

/// The digest is that of names and bytes: every change counts, and nothing else does.
#[test]
fn changes_are_noticed() {
    let folder = folder(&[("a.yaml", "policy: a"), ("lists/vip.txt", "ana")]);
    let state = || (read(folder.path()).unwrap().digest, stamp(folder.path()));
    let first = state();
    assert_eq!(state(), first);
    for (name, text) in [
        ("a.yaml", "policy: b "),
        ("lists/vip.txt", "ana\nbea"),
        ("sigma/x.yml", "title: x"),
        ("shadow/a.yaml", "policy: a"),
        ("c.yaml", ""),
    ] {
        let before = state();
        put(&folder, name, text);
        let after = state();
        assert_ne!(before.0, after.0, "{name}");
        assert_ne!(before.1, after.1, "{name}");
        // What was written may have the same size, and then it has another time.
        let path = folder.path().join(name);
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let later = time + std::time::Duration::from_secs(1);
        fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
        assert_eq!(state().0, after.0, "{name}");
        assert_ne!(state().1, after.1, "{name}");
    }
    // The same file elsewhere is another folder.
    let before = state();
    fs::rename(folder.path().join("a.yaml"), folder.path().join("shadow/b.yaml")).unwrap();
    assert_ne!(state().0, before.0);
    assert_ne!(state().1, before.1);
}

#[test]
fn everything_that_cannot_be_read_is_said_at_once() {
    let folder =
        folder(&[("a.yaml", "policy: a"), ("lists/A b.txt", "ana"), ("lists/c.csv", "x,x")]);
    std::os::unix::fs::symlink("nowhere", folder.path().join("gone.yaml")).unwrap();
    let said = read(folder.path()).unwrap_err().to_string();
    let said = said.replace(&folder.path().display().to_string(), "DIR");
    assert_snapshot!(said, @r"
    error: cannot read `DIR/gone.yaml`: No such file or directory (os error 2)
     --> DIR/gone.yaml
    hint: policies are files ending in `.yaml` in one folder

    error: `A b` is not a name of a list
     --> DIR/lists/A b.txt
    hint: name the file with 1 to 63 of a-z, 0-9, `-` and `_`

    error: two columns have the name `x`
     --> DIR/lists/c.csv:1:1
      |
    1 | x,x
      | ^
    hint: rename one of them
    ");
    let gone = read(&folder.path().join("none")).unwrap_err().to_string();
    assert!(gone.contains("No such file or directory"), "{gone}");
    assert_ne!(stamp(&folder.path().join("none")), stamp(folder.path()));
}
