use super::*;
use insta::assert_snapshot;
use proptest::prelude::*;

fn csv(text: &str) -> Result<DirectoryFile, FileErrors> {
    DirectoryFile::parse("people.csv", text.as_bytes())
}

#[test]
fn all_forms_say_the_same() {
    let comma = "\u{feff}email,state,since,leaves,name,groups,aliases,admin,external\r\n\
        Ana@acme.example,disabled,2026-11-20T17:30:00Z,2026-12-01,\"Lopez, Ana \"\"A.\"\"\",Sales;Admins,a.lopez@acme.example; alopez,yes,false\r\n\
        \r\n\
        bo@acme.example,,,,,,,,\r\n";
    let semicolon = "Email;State;Since;Leaves;Name;Groups;Aliases;Admin;External\n\
        Ana@acme.example;Disabled;2026-11-20T17:30:00Z;2026-12-01;\"Lopez, Ana \"\"A.\"\"\";Sales,Admins;\"a.lopez@acme.example;alopez\";TRUE;no\n\
        bo@acme.example";
    let array = r#"[
        {"email": "Ana@acme.example", "state": "disabled", "since": "2026-11-20T17:30:00Z", "leaves": "2026-12-01",
         "name": "Lopez, Ana \"A.\"", "groups": ["Sales", "Admins"], "aliases": ["a.lopez@acme.example", "alopez"],
         "admin": true, "external": false},
        {"email": "bo@acme.example", "state": null, "name": ""}]"#;
    let lines = array.trim().trim_start_matches('[').trim_end_matches(']').replace("},", "}\n");
    let expected = csv(comma).unwrap();
    let ana = &expected.accounts()[0];
    assert_eq!((ana.id.as_str(), ana.email.as_str()), ("ana@acme.example", "Ana@acme.example"));
    assert_eq!(ana.since, time::parse("2026-11-20T17:30:00Z"));
    assert_eq!(ana.leaves, time::parse("2026-12-01T00:00:00Z"));
    assert_eq!(ana.name, "Lopez, Ana \"A.\"");
    assert_eq!(ana.groups, ["Admins", "Sales"]);
    assert_eq!(ana.aliases, ["a.lopez@acme.example", "alopez"]);
    assert_eq!((ana.admin, ana.external), (Some(true), Some(false)));
    assert_eq!(expected.accounts()[1].status, "");
    assert_eq!(csv(semicolon).unwrap(), expected);
    assert_eq!(DirectoryFile::parse("people.json", array.as_bytes()).unwrap(), expected);
    assert_eq!(DirectoryFile::parse("export", lines.as_bytes()).unwrap(), expected);
}

#[test]
fn every_mistake_is_shown_with_its_place() {
    let text = "email,stat,since,groups\n\
        ana@acme.example,active,,x\n\
        ana.acme.example,active,,\n\
        ,x,y,z\n\
        bo@acme.example,active,,,more\n\
        Ana@ACME.example,active,yesterday,\"open\n";
    assert_snapshot!(csv(text).unwrap_err(), @r#"
    error: there is no column `stat`
     --> people.csv:1:7
      |
    1 | email,stat,since,groups
      |       ^^^^
    hint: did you mean `state`?

    error: `ana.acme.example` is not an e-mail address
     --> people.csv:3:1
      |
    3 | ana.acme.example,active,,
      | ^^^^^^^^^^^^^^^^
    hint: write it as in `ana@example.com`

    error: the address is missing
     --> people.csv:4:1
      |
    4 | ,x,y,z
      | ^
    hint: give `email`, by which the person is found

    error: `y` is not a time
     --> people.csv:4:4
      |
    4 | ,x,y,z
      |    ^
    hint: write 2026-11-20, or 2026-11-20T17:30:00Z

    error: there is a time, but no state that begins then
     --> people.csv:4:4
      |
    4 | ,x,y,z
      |    ^
    hint: give `state`, or take `since` out

    error: this line has 5 cells, and the header 4
     --> people.csv:5:26
      |
    5 | bo@acme.example,active,,,more
      |                          ^^^^
    hint: put cells with a separator in them into quotes

    error: `Ana@ACME.example` is an address of somebody else, too, in line 2
     --> people.csv:6:1
      |
    6 | Ana@ACME.example,active,yesterday,"open
      | ^^^^^^^^^^^^^^^^
    hint: an address leads to one person: take it out of one of the lines

    error: `yesterday` is not a time
     --> people.csv:6:25
      |
    6 | Ana@ACME.example,active,yesterday,"open
      |                         ^^^^^^^^^
    hint: write 2026-11-20, or 2026-11-20T17:30:00Z

    error: there is a time, but no state that begins then
     --> people.csv:6:25
      |
    6 | Ana@ACME.example,active,yesterday,"open
      |                         ^^^^^^^^^
    hint: give `state`, or take `since` out

    error: this quote is never closed
     --> people.csv:6:35
      |
    6 | Ana@ACME.example,active,yesterday,"open
      |                                   ^
    hint: close it, or write a quote within quotes twice

    error: `groups` has control characters in it
     --> people.csv:6:35
      |
    6 | Ana@ACME.example,active,yesterday,"open
      |                                   ^^^^^
    hint: take them out
    "#);
}

#[test]
fn mistakes_in_states_and_times() {
    let text = "email;state;since;aliases\n\
        ana@acme.example;disbled;2026-02-30;bo@acme.example\n\
        bo@acme.example;;2026-11-20;\n";
    assert_snapshot!(csv(text).unwrap_err(), @r"
    error: there is no state `disbled`
     --> people.csv:2:18
      |
    2 | ana@acme.example;disbled;2026-02-30;bo@acme.example
      |                  ^^^^^^^
    hint: did you mean `disabled`?

    error: `2026-02-30` is not a time
     --> people.csv:2:26
      |
    2 | ana@acme.example;disbled;2026-02-30;bo@acme.example
      |                          ^^^^^^^^^^
    hint: write 2026-11-20, or 2026-11-20T17:30:00Z

    error: `bo@acme.example` is an address of somebody else, too, in line 2
     --> people.csv:3:1
      |
    3 | bo@acme.example;;2026-11-20;
      | ^^^^^^^^^^^^^^^
    hint: an address leads to one person: take it out of one of the lines

    error: there is a time, but no state that begins then
     --> people.csv:3:18
      |
    3 | bo@acme.example;;2026-11-20;
      |                  ^^^^^^^^^^
    hint: give `state`, or take `since` out
    ");
}

#[test]
fn mistakes_in_json() {
    let text = "{\"email\": \"ana@acme.example\", \"groups\": [1]}\n\
        {\"mail\": \"bo@acme.example\", \"admin\": \"perhaps\"}\n\
        [1]\n";
    assert_snapshot!(DirectoryFile::parse("people.ndjson", text.as_bytes()).unwrap_err(), @r#"
    error: `groups` can't be this
     --> people.ndjson:1:41
      |
    1 | {"email": "ana@acme.example", "groups": [1]}
      |                                         ^^^
    hint: write texts, lists of texts, or true and false

    error: the address is missing
     --> people.ndjson:2:1
      |
    2 | {"mail": "bo@acme.example", "admin": "perhaps"}
      | ^
    hint: give `email`, by which the person is found

    error: there is no column `mail`
     --> people.ndjson:2:10
      |
    2 | {"mail": "bo@acme.example", "admin": "perhaps"}
      |          ^^^^^^^^^^^^^^^^^
    hint: did you mean `email`?

    error: `admin` must be true or false
     --> people.ndjson:2:38
      |
    2 | {"mail": "bo@acme.example", "admin": "perhaps"}
      |                                      ^^^^^^^^^
    hint: leave it empty where it is not known

    error: this is not an object
     --> people.ndjson:3:1
      |
    3 | [1]
      | ^^^
    hint: write an object with the keys email, state, since, leaves, name, groups, aliases, admin, external
    "#);
    assert_snapshot!(DirectoryFile::parse("people.json", b"[{\"email\": ]").unwrap_err(), @r#"
    error: this is not JSON: expected value
     --> people.json:1:12
      |
    1 | [{"email": ]
      |            ^
    hint: a file holds one array of objects, or one object a line
    "#);
    assert_snapshot!(DirectoryFile::parse("people.csv", b"email\nb\xff@x\n").unwrap_err(), @r"
    error: byte 7 is not UTF-8
     --> people.csv:2:2
      |
    2 | b�@x
      |  ^
    hint: save the file as UTF-8
    ");
    assert_snapshot!(DirectoryFile::parse("people.csv", b"").unwrap_err(), @r"
    error: the file is empty
     --> people.csv:1:1
    hint: begin with a header such as `email,state,since,leaves,name,groups,aliases,admin,external`
    ");
    assert_snapshot!(DirectoryFile::read(Path::new("/nowhere/people.csv")).unwrap_err(), @r"
    error: the file can't be read: No such file or directory (os error 2)
     --> /nowhere/people.csv
    hint: check the path and who may read it
    ");
}

#[test]
fn the_override_table_is_read_from_yaml_and_csv() {
    let yaml = "people:\n  - person: Ana@acme.example\n    accounts:\n      - {app: netdocuments, account: DUCOT-Ana}\n      - a.lopez@old.example\n";
    let from_yaml = PeopleFile::parse("people.yaml", yaml.as_bytes()).unwrap();
    let csv = "app,account,person\nnetdocuments,DUCOT-Ana,Ana@acme.example\n,a.lopez@old.example,Ana@acme.example\n";
    let from_csv = PeopleFile::parse("people.csv", csv.as_bytes()).unwrap();
    assert_eq!(from_yaml, from_csv);
    let people = from_yaml.people();
    assert_eq!(people.get("netdocuments", "ducot-ana"), Some("ana@acme.example"));
    assert_eq!(people.get("smartsheet", "ducot-ana"), None);
    assert_eq!(people.get("smartsheet", "A.Lopez@old.example"), Some("ana@acme.example"));
    assert_eq!(people.get("smartsheet", ""), None);
    let wrong = "people:\n  - person: ana\n    account: x\n  - person: bo@acme.example\n    accounts: [7, {app: netdocuments}, same]\n  - person: cy@acme.example\n    accounts: [same]\n";
    assert_snapshot!(PeopleFile::parse("people.yaml", wrong.as_bytes()).unwrap_err(), @r"
    error: `accounts` is missing
     --> people.yaml:2:5
      |
    2 |   - person: ana
      |     ^
    hint: list the accounts that are this person's

    error: `ana` is not an e-mail address
     --> people.yaml:2:13
      |
    2 |   - person: ana
      |             ^^^
    hint: write it as in `ana@example.com`

    error: `account` is not a key of a person
     --> people.yaml:3:5
      |
    3 |     account: x
      |     ^^^^^^^
    hint: did you mean `accounts`?

    error: an account is a text or `{app: …, account: …}`, this is a whole number
     --> people.yaml:5:16
      |
    5 |     accounts: [7, {app: netdocuments}, same]
      |                ^
    hint: put numbers in quotes

    error: `account` is missing
     --> people.yaml:5:19
      |
    5 |     accounts: [7, {app: netdocuments}, same]
      |                   ^
    hint: add a line `account: …`

    error: `same` belongs to `bo@acme.example` already
     --> people.yaml:7:16
      |
    7 |     accounts: [same]
      |                ^^^^
    hint: an account has one person: take it out of one of them
    ");
    let wrong = "app,account,person\nx,,ana@acme.example\nx,1,nobody\n";
    assert_snapshot!(PeopleFile::parse("people.csv", wrong.as_bytes()).unwrap_err(), @r"
    error: `account` is missing
     --> people.csv:2:1
      |
    2 | x,,ana@acme.example
      | ^
    hint: give the account (its id or address in the app) and the person's main address

    error: `nobody` is not an e-mail address
     --> people.csv:3:5
      |
    3 | x,1,nobody
      |     ^^^^^^
    hint: write it as in `ana@example.com`
    ");
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let text = format!("email\n{}", "nobody\n".repeat(60));
    let shown = csv(&text).unwrap_err().to_string();
    assert_eq!(shown.matches("is not an e-mail address").count(), 50);
    assert!(shown.ends_with("and 10 more"));
}

proptest! {
    /// What is written as CSV is read as it was, whatever is in the cells.
    #[test]
    fn csv_is_read_as_it_was_written(
        names in proptest::collection::vec("[ a-zA-Z,;\"'äø\u{10348}-]{0,12}", 1..8),
        separator in proptest::sample::select(vec![',', ';', '\t']),
        crlf: bool,
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = format!("email{separator}name{separator}state{end}");
        for (n, name) in names.iter().enumerate() {
            let name = name.replace('"', "\"\"");
            text.push_str(&format!("u{n}@x.example{separator}\"{name}\"{separator}active{end}"));
        }
        let read = csv(&text).unwrap();
        let found: Vec<&str> = read.accounts().iter().map(|account| account.name.as_str()).collect();
        let expected: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        prop_assert_eq!(found, expected);
    }

    /// Nothing that a file holds makes it panic, or be taken in part.
    #[test]
    fn no_file_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\",:;\na-z@.0-9\\\\ ]{0,120}") {
        for name in ["x.csv", "x.json", "x.yaml", "x"] {
            let _ = DirectoryFile::parse(name, &bytes).map_err(|error| error.to_string());
            let _ = PeopleFile::parse(name, &bytes).map_err(|error| error.to_string());
            let _ = DirectoryFile::parse(name, text.as_bytes()).map_err(|error| error.to_string());
            let _ = PeopleFile::parse(name, text.as_bytes()).map_err(|error| error.to_string());
            let _ = DirectoryFile::parse(name, format!("email,state\n{text}").as_bytes()).map_err(|error| error.to_string());
        }
    }
}
