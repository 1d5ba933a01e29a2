//! The directory through the program: files in, news in the log, people in activities and on the
//! terminal, and alerts about who is gone.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use smartsheet_sim::Live;

use crate::support::{Casbah, Random, eventually, simulator, texts};

/// A program whose settings name a directory file and an override table.
fn casbah(people: &str) -> Casbah {
    let casbah = Casbah::new();
    write(&casbah, "casbah.toml", "[directory]\nfile = \"people.csv\"\npeople = \"whose.csv\"\n");
    write(&casbah, "people.csv", people);
    write(&casbah, "whose.csv", "app,account,person\n,old@else.example,ana@example.com\n");
    casbah
}

fn write(casbah: &Casbah, name: &str, text: &str) {
    std::fs::write(casbah.folder.path().join(name), text).unwrap();
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

const PEOPLE: &str = "\
email,state,since,leaves,name,groups,aliases
Ana@example.com,disabled,2026-01-05T09:00:00Z,,Ana,Sales;Board,a.lopez@example.com
bo@example.com,active,,2026-01-31,,,
";

#[test]
fn the_people_of_a_file_are_listed_and_shown_with_where_it_is_from() {
    let casbah = casbah(PEOPLE);
    casbah.ok(&["directory", "check"]);
    casbah.ok(&["run", "--once"]);
    let listed = casbah.ok(&["directory", "list"]);
    insta::assert_snapshot!(listed, @r"
    PERSON           STATE     SINCE                 ADMIN  EXTERNAL  GROUPS
    ana@example.com  disabled  2026-01-05T09:00:00Z                   Board, Sales
    bo@example.com   left      2026-01-31T00:00:00Z
    ");
    let shown = casbah.ok(&["directory", "show", "A.LOPEZ@example.com"]);
    insta::assert_snapshot!(shown, @r"
    person    ana@example.com
    state     disabled since 2026-01-05T09:00:00Z
    groups    Board, Sales

     FROM                  STATE     HOW IT IS KNOWN
     2026-01-05T09:00:00Z  disabled  the directory gave the time

     FACT     VALUE                 FROM
     id       ana@example.com       the directory file
     email    Ana@example.com       the directory file
     name     Ana                   the directory file
     status   disabled              the directory file
     since    2026-01-05T09:00:00Z  the directory file
     aliases  a.lopez@example.com   the directory file
     groups   Board, Sales          the directory file
    by the override table: account `old@else.example` of every app
    ");
    assert_eq!(shown, casbah.ok(&["enrich", "old@else.example"]));
    let bo = &casbah.list(&["directory", "show", "bo@example.com"])[0];
    assert_eq!((text(bo, "state"), text(bo, "since")), ("left", "2026-01-31T00:00:00Z"));
    assert_eq!(casbah.list(&["directory", "list", "--state", "left"]).len(), 1);
    let (_, talk) = texts(&casbah.run(&["directory", "show", "who@example.com"]));
    insta::assert_snapshot!(talk, @r"
    error: nobody is known by the address `who@example.com`
    hint: `casbah directory list` shows who is known
    ");
    // News are told once, however often it is started.
    casbah.ok(&["run", "--once"]);
    let news = casbah.list(&["activity", "list", "kind=account-state"]);
    let mut told: Vec<String> = news
        .iter()
        .map(|one| format!("{} {}", text(one, "person"), text(one, "actor.status")))
        .collect();
    told.sort();
    assert_eq!(told, ["ana@example.com disabled", "bo@example.com left"]);
}

#[test]
fn files_with_mistakes_are_refused_at_the_start_and_change_nothing() {
    let casbah = casbah("email,state\nana@example.com,gone\nbo,active\n");
    for arguments in [&["directory", "check"][..], &["run", "--once"], &["config", "check"]] {
        let output = casbah.run(arguments);
        let (_, talk) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {talk}");
        for place in ["people.csv:2:17", "people.csv:3:1"] {
            assert!(talk.contains(place), "{arguments:?}: {talk}");
        }
    }
    assert!(casbah.list(&["directory", "list"]).is_empty());
}

/// Somebody who was active is found to have been gone: by news that come late, and in a saved log.
#[test]
fn who_was_gone_is_noticed_when_the_news_come() {
    let sim = simulator(20, 2_000, Live::All);
    let casbah = casbah("email\n");
    casbah.connect(&sim, "acme");
    casbah.ok(&["run", "--once"]);
    // Those of the app, which left a record; casbah's own have none.
    let mut activities = casbah.list(&["activity", "list", "--limit", "0"]);
    activities.retain(|activity| text(activity, "kind") != "behavior");
    let who = activities
        .iter()
        .map(|activity| text(activity, "actor"))
        .find(|actor| actor.contains('@'))
        .unwrap()
        .to_owned();
    assert!(activities.iter().all(|activity| activity.get("person") == activity.get("actor")));
    let terminated = || {
        let alerts = casbah.list(&["alert", "list", "--policy", "terminated-user", "--limit", "0"]);
        alerts
            .iter()
            .map(|alert| alert["group"][0][1].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert!(terminated().is_empty());
    write(&casbah, "people.csv", &format!("email,state,since\n{who},deleted,2020-01-01\n"));
    casbah.ok(&["run", "--once"]);
    assert!(terminated().iter().all(|person| *person == who) && !terminated().is_empty());
    let shown = &casbah.list(&["directory", "show", &who])[0];
    let sources: Vec<_> = shown["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| text(account, "source"))
        .collect();
    assert_eq!(sources, ["directory", "acme"]);

    // In a saved log; the directory knows them by another name.
    let shown: Vec<Value> = activities
        .iter()
        .filter(|activity| text(activity, "actor") == who)
        .take(3)
        .map(|activity| casbah.ok(&["activity", "show", &activity["sequence"].to_string()]))
        .map(|shown| serde_json::from_str(&shown).unwrap())
        .collect();
    let raw: Vec<String> = shown.iter().map(|activity| activity["raw"].to_string()).collect();
    let other = Casbah::new();
    write(&other, "log.ndjson", &raw.join("\n"));
    let people = format!("email,state,since,aliases\ngone@example.com,deleted,2020-01-01,{who}\n");
    write(&other, "people.csv", &people);
    let saved = ["--app", "smartsheet", "--directory", "people.csv", "log.ndjson"];
    let normalized = other.ok(&[&["normalize"][..], &saved].concat());
    let people: Vec<(String, String)> = normalized
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|one| (text(&one, "person").to_owned(), text(&one, "actor.status").to_owned()))
        .collect();
    assert_eq!(people, vec![("gone@example.com".to_owned(), "deleted".to_owned()); 3]);
    let found = other.run(&[&["scan", "--format", "json"][..], &saved].concat());
    assert!(texts(&found).0.contains("\"terminated-user\""), "{found:?}");
}

/// While it runs, a file that changes is taken over, a broken one changes nothing, and the commands
/// reach the people through the running program.
#[test]
fn a_running_casbah_takes_over_what_changes() {
    let casbah = casbah(PEOPLE);
    let log = std::fs::File::create(casbah.folder.path().join("log")).unwrap();
    let mut child = casbah.command(&["run"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let states = || -> Vec<String> {
        let output = casbah.run(&["directory", "list", "--format", "json"]);
        let (out, _) = texts(&output);
        out.lines()
            .map(|line| text(&serde_json::from_str(line).unwrap(), "state").to_owned())
            .collect()
    };
    // Before that, a command would hold the data folder itself.
    eventually("it can be reached", || casbah.data().join("control.sock").exists());
    eventually("the file is taken over", || states() == ["disabled", "left"]);
    write(&casbah, "people.csv", &PEOPLE.replace("bo@example.com,active", "bo@example.com,gone"));
    let said = || std::fs::read_to_string(casbah.folder.path().join("log")).unwrap();
    eventually("the mistake is told", || said().contains("there is no state `gone`"));
    assert_eq!(states(), ["disabled", "left"]);
    write(
        &casbah,
        "people.csv",
        &PEOPLE.replace("bo@example.com,active", "bo@example.com,deleted"),
    );
    eventually("the good file is taken over", || states() == ["disabled", "deleted"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let news = casbah.list(&["activity", "list", "kind=account-state", "person=bo@example.com"]);
    let told: Vec<_> = news.iter().map(|one| text(one, "actor.status")).collect();
    assert_eq!(told, ["deleted", "left"]);
}

/// Killed at random moments while a large file is taken over, everything is told exactly once.
#[test]
fn killed_while_a_file_is_taken_over() {
    let mut random = Random(0x5eed_0003);
    let people: String =
        (0..20_000).map(|n| format!("p{n:05}@example.com,deleted,2026-01-05\n")).collect();
    let casbah = casbah(&format!("email,state,since\n{people}"));
    for _ in 0..12 {
        let mut child =
            casbah.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(random.between(5, 900)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    casbah.ok(&["run", "--once"]);
    let (counts, _) = casbah.activities();
    assert_eq!(counts.len(), 20_000);
    assert!(counts.values().all(|&count| count == 1), "something was told twice");
    casbah.ok(&["store", "check"]);
}
