//! Lists that others keep: their forms, what they tag, and files that are none.

use std::path::{Path, PathBuf};

use casbah_enrich::{EnrichErrors, EnrichSettings, Enricher, ListSettings};

use crate::kit::{data, in_folder};

fn list(name: &str, file: PathBuf, tags: &[&str]) -> ListSettings {
    let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
    ListSettings { name: name.to_owned(), file, tags }
}

fn open(lists: Vec<ListSettings>) -> Result<Enricher, EnrichErrors> {
    Enricher::open(&EnrichSettings { lists, ..EnrichSettings::default() })
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Tags and entry of every list that an address is on.
fn told(enricher: &Enricher, address: &str) -> String {
    let facts = enricher.look_up(address).unwrap().facts;
    let told: Vec<_> = facts
        .iter()
        .map(|f| {
            let entry = f.from.rsplit_once(", ").map_or("", |(_, entry)| entry);
            format!("{} {entry}", f.value.as_str().unwrap())
        })
        .collect();
    told.join("; ")
}

#[test]
fn lists_of_all_forms_tag_by_the_narrowest_entry() {
    let folder = tempfile::tempdir().unwrap();
    let drop = written(
        folder.path(),
        "drop.txt",
        "\u{feff}; a comment\r\n2.26.0.0/16 ; SBL1\r\n2.26.157.0/25\t# narrower\r\n\r\n2.26.200.1-2.26.200.9 x\r\n::ffff:2.27.0.0/112\r\n",
    );
    let enricher = open(vec![
        list("vpn4", data("lists/x4bnet-vpn-ipv4.txt"), &["vpn", "hosting"]),
        list("vpn6", data("lists/x4bnet-vpn-ipv6.txt"), &["vpn"]),
        list("cloudflare", data("lists/misp-cloudflare.json"), &["cloudflare"]),
        list("tor", data("lists/tor-exit-addresses.txt"), &["tor"]),
        list("drop", drop, &["hijacked", "a,b"]),
    ]);
    // A comma would tear a tag in two.
    insta::assert_snapshot!(enricher.unwrap_err().to_string().lines().next().unwrap(), @"error: `a,b` can't be a tag");
    let drop = folder.path().join("drop.txt");
    let enricher = open(vec![
        list("vpn4", data("lists/x4bnet-vpn-ipv4.txt"), &["vpn", "hosting"]),
        list("vpn6", data("lists/x4bnet-vpn-ipv6.txt"), &["vpn"]),
        list("cloudflare", data("lists/misp-cloudflare.json"), &["cloudflare"]),
        list("tor", data("lists/tor-exit-addresses.txt"), &["tor"]),
        list("drop", drop, &["hijacked"]),
    ])
    .unwrap();
    insta::assert_snapshot!(told(&enricher, "2.26.157.1"), @"hijacked 2.26.157.0/25; hosting 2.26.157.0/24; vpn 2.26.157.0/24; drop@d7bd2b080a1d 2.26.157.0/25; vpn4@19e438c770e2 2.26.157.0/24");
    insta::assert_snapshot!(told(&enricher, "2.26.157.200"), @"hijacked 2.26.0.0/16; hosting 2.26.157.0/24; vpn 2.26.157.0/24; drop@d7bd2b080a1d 2.26.0.0/16; vpn4@19e438c770e2 2.26.157.0/24");
    insta::assert_snapshot!(told(&enricher, "2.26.200.9"), @"hijacked 2.26.200.1-2.26.200.9; drop@d7bd2b080a1d 2.26.200.1-2.26.200.9");
    insta::assert_snapshot!(told(&enricher, "::ffff:2.27.3.4"), @"hijacked 2.27.0.0/16; drop@d7bd2b080a1d 2.27.0.0/16");
    insta::assert_snapshot!(told(&enricher, "2001:550:1d05:1::9"), @"vpn 2001:550:1d05::/48; vpn6@d95157314908 2001:550:1d05::/48");
    insta::assert_snapshot!(told(&enricher, "2400:cb00::1"), @"cloudflare 2400:cb00::/32; cloudflare@42c05cba6fac 2400:cb00::/32");
    insta::assert_snapshot!(told(&enricher, "192.0.2.33"), @"tor 192.0.2.33/32; tor@f51bfffb34ba 192.0.2.33/32");
    insta::assert_snapshot!(told(&enricher, "2001:db8::33"), @"tor 2001:db8::33/128; tor@f51bfffb34ba 2001:db8::33/128");
    assert_eq!(told(&enricher, "192.0.2.34"), "");
    let entries: Vec<_> = enricher.status(0).sources.iter().map(|s| s.entries).collect();
    assert_eq!(entries[..5], [40, 20, 22, 2, 4]);
}

#[test]
fn files_that_are_no_lists_are_refused_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, text: &str| list(name, written(folder.path(), name, text), &["x"]);
    let error = open(vec![
        of("page.html", "<html>\n<body>404 Not Found</body>\n</html>\n"),
        of("cut.json", "{\"list\": [\"192.0.2.0/24\", "),
        of("other.json", "{\"entries\": []}"),
        list("hosts", data("lists/misp-microsoft-mdca-proxy.json"), &["x"]),
        list("missing", folder.path().join("missing.txt"), &["x"]),
        list("missing", folder.path().join("missing.txt"), &[]),
    ])
    .unwrap_err();
    let message = in_folder(in_folder(error, folder.path()), &data("lists"));
    insta::assert_snapshot!(message, @r#"
    error: two lists of `enrich.lists` are called `missing`
     --> missing.txt
    hint: give each a name of its own

    error: the list `missing` has no tags
     --> missing.txt
    hint: e.g. `tags = ["tor"]`; a tag is a text without `,` and `@`

    error: 3 of 3 entries are no addresses: `<html>` in line 1, `<body>404` in line 2, `</html>` in line 3
     --> page.html
    hint: a list has an address, a subnet or a run of addresses a line, or is a MISP warning list of type cidr

    error: this is not JSON: EOF while parsing a value at line 1 column 26
     --> cut.json
    hint: a MISP warning list has its entries under `list`

    error: the JSON has no key `list` with texts
     --> other.json
    hint: a MISP warning list has its entries under `list`

    error: 16 of 16 entries are no addresses: `.admin-mcas-df.ms`, `.admin-mcas-gov-df.ms`, `.admin-mcas-gov-df.us`
     --> misp-microsoft-mdca-proxy.json
    hint: a list has an address, a subnet or a run of addresses a line, or is a MISP warning list of type cidr

    error: the file can't be read: No such file or directory (os error 2)
     --> missing.txt
    hint: `enrich.lists` in the settings names it

    error: the file can't be read: No such file or directory (os error 2)
     --> missing.txt
    hint: `enrich.lists` in the settings names it
    "#);
}

/// A run with blanks around its dash is a run, not its first address alone; a dash may also begin a
/// remark.
#[test]
fn a_run_may_have_blanks() {
    let folder = tempfile::tempdir().unwrap();
    let text = "198.51.100.3 - 198.51.100.9\n203.0.113.7 - seen today\n";
    let runs = written(folder.path(), "runs.txt", text);
    let enricher = open(vec![list("runs", runs, &["x"])]).unwrap();
    let on = |address| !enricher.look_up(address).unwrap().facts.is_empty();
    let all = ["198.51.100.2", "198.51.100.3", "198.51.100.9", "198.51.100.10", "203.0.113.7"];
    assert_eq!(all.map(on), [false, true, true, false, true]);
}

/// One bad line of a feed must not switch off the rest of it.
#[test]
fn a_few_bad_lines_are_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let mut text: String = (0..200).map(|n| format!("198.51.100.{n}\n")).collect();
    text.push_str("oops\n");
    let long = written(folder.path(), "long.txt", &text);
    let empty = written(folder.path(), "empty.txt", "# nothing today\n");
    let enricher = open(vec![list("long", long, &["x"]), list("empty", empty, &["y"])]).unwrap();
    let warnings: Vec<_> =
        enricher.status(0).warnings().map(|w| in_folder(w, folder.path())).collect();
    insta::assert_snapshot!(warnings.join("\n"), @r"
    long.txt: 1 of 201 entries are no addresses: `oops` in line 201
    empty.txt: it holds no addresses
    ");
    insta::assert_snapshot!(told(&enricher, "198.51.100.7"), @"x 198.51.100.7/32; long@94b41a4a614c 198.51.100.7/32");
}
