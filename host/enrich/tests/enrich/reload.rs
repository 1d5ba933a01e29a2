//! Files that change while casbah runs: taken when they are whole, refused when they are not.

use std::fs;
use std::path::Path;

use casbah_enrich::{EnrichSettings, Enricher, ListSettings};

use crate::kit::{data, in_folder};

/// Puts a file in place as an operator should.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let new = folder.join("new");
    fs::write(&new, bytes).unwrap();
    fs::rename(new, folder.join(name)).unwrap();
}

#[test]
fn a_whole_file_is_taken_and_a_broken_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let city = fs::read(data("maxmind/GeoIP2-City-Test.mmdb")).unwrap();
    let country = fs::read(data("maxmind/GeoIP2-Country-Test.mmdb")).unwrap();
    put(folder.path(), "geo.mmdb", &country);
    put(folder.path(), "list.txt", b"81.2.69.142\n");
    put(folder.path(), "ranges.yaml", b"ranges: []\n");
    let settings = EnrichSettings {
        geo: vec!["geo.mmdb".into()],
        ranges: Some("ranges.yaml".into()),
        lists: vec![ListSettings {
            name: "list".to_owned(),
            file: "list.txt".into(),
            tags: vec!["tor".to_owned()],
        }],
    };
    let enricher = Enricher::open(&settings.from_folder(folder.path())).unwrap();
    let told = || {
        let facts = enricher.look_up("81.2.69.142").unwrap();
        ["country", "city", "ip.tags", "ip.category"].map(|fact| facts.text(fact)).join(" ")
    };
    assert_eq!(told(), "GB  tor ");
    assert_eq!(enricher.reload_changed(), Ok(false), "nothing has changed");

    put(folder.path(), "geo.mmdb", &city);
    assert_eq!(enricher.reload_changed(), Ok(true));
    assert_eq!(told(), "GB London tor ");

    // A broken database and broken ranges change nothing; the list beside them is taken.
    put(folder.path(), "geo.mmdb", &city[..city.len() / 2]);
    put(folder.path(), "ranges.yaml", b"ranges: [{name: x}]\n");
    put(folder.path(), "list.txt", b"81.2.69.0/24\n1.2.3.4\n");
    let error = enricher.reload_changed().unwrap_err();
    insta::assert_snapshot!(in_folder(error, folder.path()), @r"
    error: this is not a sound database in MaxMind's format: invalid database: could not find MaxMind DB metadata in file
     --> geo.mmdb
    hint: download it again, and put it in place by renaming

    error: `category` is missing
     --> ranges.yaml:1:10
      |
    1 | ranges: [{name: x}]
      |          ^
    hint: add a line `category: …`

    error: `subnets` is missing
     --> ranges.yaml:1:10
      |
    1 | ranges: [{name: x}]
      |          ^
    hint: add a line `subnets: [192.0.2.0/24]`
    ");
    assert_eq!(told(), "GB London tor ");
    let status = enricher.status(0);
    assert_eq!(status.sources[2].entries, 2);
    let warnings: Vec<_> = status.warnings().map(|w| in_folder(w, folder.path())).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    geo.mmdb: a newer file was refused: this is not a sound database in MaxMind's format: invalid database: could not find MaxMind DB metadata in file
    ranges.yaml: a newer file was refused: `category` is missing
    ");
    assert_eq!(enricher.reload_changed(), Ok(false), "it is reported once");
    assert_eq!(enricher.status(0).warnings().count(), 2, "and shown until it is whole again");

    // A download that came to nothing is no reason to forget what the list said.
    put(folder.path(), "list.txt", b"");
    insta::assert_snapshot!(in_folder(enricher.reload_changed().unwrap_err(), folder.path()), @r"
    error: the file is empty, and there were 2 entries before
     --> list.txt
    hint: download it again; in a list that is to be empty, write a line with a comment
    ");
    assert_eq!(told(), "GB London tor ");
    // One that is empty on purpose is taken.
    put(folder.path(), "list.txt", b"# nobody\n");
    assert_eq!(enricher.reload_changed(), Ok(true));
    assert_eq!(told(), "GB London  ");
    put(folder.path(), "list.txt", b"81.2.69.0/24\n");
    assert_eq!(enricher.reload_changed(), Ok(true));
    // Nor is a file that is gone a reason to forget.
    fs::remove_file(folder.path().join("list.txt")).unwrap();
    assert!(enricher.reload_changed().is_err());
    assert_eq!(told(), "GB London tor ");

    put(folder.path(), "geo.mmdb", &country);
    put(folder.path(), "list.txt", b"1.2.3.4\n");
    put(
        folder.path(),
        "ranges.yaml",
        b"ranges: [{name: x, category: vpn, subnets: [81.2.69.142]}]\n",
    );
    assert_eq!(enricher.reload_changed(), Ok(true));
    assert_eq!(told(), "GB   vpn");
    assert_eq!(enricher.status(0).warnings().count(), 0);
}
