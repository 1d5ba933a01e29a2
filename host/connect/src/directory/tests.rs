use super::*;
use casbah_model::BatchBuilder;
use casbah_store::{Options, SledStore};
use proptest::prelude::*;
use std::path::Path;

const NOW: i64 = 1_000_000;

fn tenant() -> TenantName {
    "default".parse().unwrap()
}

fn store(dir: &Path) -> Arc<SledStore> {
    Arc::new(casbah_store::open(dir, Options::default(), &|_| {}).unwrap())
}

fn open(store: &Arc<SledStore>) -> Directory {
    Directory::open(Arc::clone(store) as Arc<dyn Store>, tenant()).unwrap()
}

fn file(text: &str) -> DirectoryFile {
    DirectoryFile::parse("people.csv", text.as_bytes()).unwrap()
}

fn unkept(text: &str) -> Directory {
    let directory = Directory::unkept(tenant());
    directory.apply_unkept(&file(text), NOW).unwrap();
    directory
}

/// Time, actor and id of activities.
fn batch(rows: &[(i64, &str, &str)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (time, actor, id) in rows {
        builder.begin_row();
        builder.integer("time", *time);
        builder.text("actor", actor);
        builder.text("actor.id", id);
    }
    builder.finish()
}

/// Person, state and groups of every row after the join, which is made twice.
fn joined(
    directory: &Directory,
    app: &str,
    batch: &Batch,
) -> Vec<(String, String, Option<i64>, String)> {
    let mut batch = batch.clone();
    let connection = "acme".parse().unwrap();
    directory.join(&mut batch, app, &connection);
    batch.check().unwrap();
    let once = batch.clone();
    directory.join(&mut batch, app, &connection);
    let cells = |batch: &Batch| -> Vec<_> {
        (0..batch.len())
            .map(|row| {
                (
                    batch.text("person", row).to_owned(),
                    batch.text("actor.status", row).to_owned(),
                    batch.integer("actor.since", row),
                    batch.text("actor.groups", row).to_owned(),
                )
            })
            .collect()
    };
    assert_eq!(cells(&once), cells(&batch), "joining twice changes nothing");
    cells(&batch)
}

fn states(store: &Arc<SledStore>) -> Vec<String> {
    let mut states = Vec::new();
    let mut next = 1;
    while let Some(block) = store.read(&tenant(), next).unwrap() {
        for row in 0..block.batch.len() {
            assert_eq!(block.batch.text("app", row), "directory");
            states.push(format!(
                "{} {}",
                block.batch.text("person", row),
                block.batch.text("action", row)
            ));
        }
        next = block.info.end_sequence();
    }
    states
}

#[test]
fn without_a_directory_everybody_is_the_actor() {
    let directory = Directory::unkept(tenant());
    let mut rows = batch(&[(1, "ana@acme.example", "7"), (2, "", "8")]);
    directory.join(&mut rows, "toy", &"acme".parse().unwrap());
    assert_eq!(rows.text("person", 0), "ana@acme.example");
    assert_eq!(rows.text("person", 1), "");
    assert!(rows.column("actor.status").is_none());
}

#[test]
fn activities_get_the_person_and_the_state_of_their_time() {
    let directory = unkept(
        "email,state,since,groups,aliases\n\
         Ana@acme.example,disabled,1970-01-01T00:10:00Z,\"Sales;Admins\",a.lopez@old.example\n\
         bo@acme.example,active,,,\n",
    );
    let rows = batch(&[
        (599_999, "ana@acme.example", "7"),
        (600_000, "a.lopez@old.example", "8"),
        (600_001, "A.Lopez@OLD.example", "8"),
        (5, "bo@acme.example", ""),
        (5, "who@else.example", ""),
        (5, "7", "7"),
    ]);
    let groups = "Admins,Sales".to_owned();
    let ana = "ana@acme.example".to_owned();
    let none = String::new();
    let disabled = ("disabled".to_owned(), Some(600_000));
    assert_eq!(
        joined(&directory, "toy", &rows),
        [
            (ana.clone(), none.clone(), None, groups.clone()),
            (ana.clone(), disabled.0.clone(), disabled.1, groups.clone()),
            (ana.clone(), disabled.0.clone(), disabled.1, groups.clone()),
            ("bo@acme.example".to_owned(), "active".to_owned(), None, none.clone()),
            ("who@else.example".to_owned(), none.clone(), None, none.clone()),
            ("7".to_owned(), none.clone(), None, none.clone()),
        ]
    );
    // With an override the account of that app is somebody's.
    let mut people = People::new();
    people.insert("toy", "7", "a.lopez@old.example");
    people.insert("", "ghost@else.example", "Unknown@acme.example");
    directory.set_people(people);
    let rows = batch(&[(5, "7", "7"), (5, "ghost@else.example", "9")]);
    let found = joined(&directory, "toy", &rows);
    assert_eq!(found[0].0, "ana@acme.example");
    assert_eq!(found[1].0, "unknown@acme.example");
    assert_eq!(joined(&directory, "tidy", &rows)[0].0, "7");
}

/// What the app itself said of an administrator or a guest counts; of the state the directory's word
/// does.
#[test]
fn what_the_app_said_is_kept_where_it_knows_better() {
    let directory = unkept("email,state,admin,external\nana@acme.example,active,yes,no\n");
    let mut builder = BatchBuilder::new();
    for said in [true, false] {
        builder.begin_row();
        builder.integer("time", 5);
        builder.text("actor", "ana@acme.example");
        builder.text("actor.status", "deleted");
        if said {
            builder.flag("actor.admin", false);
            builder.flag("actor.external", true);
        }
    }
    let mut rows = builder.finish();
    directory.join(&mut rows, "toy", &"acme".parse().unwrap());
    let flags = |name| [rows.integer(name, 0), rows.integer(name, 1)];
    assert_eq!(flags("actor.admin"), [Some(0), Some(1)]);
    assert_eq!(flags("actor.external"), [Some(1), Some(0)]);
    assert_eq!(rows.text("actor.status", 0), "active");
    // A plugin's column of another type is left alone.
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.text("actor", "ana@acme.example");
    builder.text("actor.admin", "perhaps");
    let mut rows = builder.finish();
    directory.join(&mut rows, "toy", &"acme".parse().unwrap());
    assert_eq!(rows.text("actor.admin", 0), "perhaps");
}

#[test]
fn a_file_is_told_once_and_not_again_at_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = "email,state,since,leaves\n\
        ana@acme.example,active,,\n\
        bo@acme.example,deleted,1970-01-01T00:00:05Z,\n\
        cy@acme.example,active,,1970-01-01T01:00:00Z\n\
        di@acme.example,,,\n";
    let mut expected =
        vec!["ana@acme.example active", "bo@acme.example deleted", "cy@acme.example leaving"];
    {
        let store = store(dir.path());
        let directory = open(&store);
        let taken = directory.apply(&file(first), NOW).unwrap();
        assert_eq!((taken.changed, taken.told), (4, 3));
        assert_eq!(taken.log_end, Some(4));
        assert_eq!(states(&store), expected);
        assert_eq!(directory.apply(&file(first), NOW + 1).unwrap(), Taken::default());
        store.close().unwrap();
    }
    let store = store(dir.path());
    let directory = open(&store);
    assert_eq!(directory.len(), 4);
    assert_eq!(directory.apply(&file(first), NOW + 2).unwrap(), Taken::default());
    // Time passes, also while casbah was not running.
    assert_eq!(directory.pass(3_600_000).unwrap().told, 1);
    expected.push("cy@acme.example left");
    assert_eq!(states(&store), expected);
    // Who is not in the file any more is forgotten, not gone; a state may change.
    let second = "email,state,since\nana@acme.example,disabled,\n";
    let taken = directory.apply(&file(second), 4_000_000).unwrap();
    assert_eq!((taken.changed, taken.told), (4, 1));
    expected.push("ana@acme.example disabled");
    assert_eq!(states(&store), expected);
    assert_eq!(directory.len(), 1);
    assert_eq!(directory.person("bo@acme.example"), None);
    assert_eq!(directory.state_at("ana@acme.example", 4_000_000).unwrap().since, Some(4_000_000));
    // The same states of the same people are the same news.
    let back = directory.apply(&file(first), 5_000_000).unwrap();
    assert_eq!((back.changed, back.told), (4, 1), "only that one is active again is new");
    assert_eq!(open(&store).list(5_000_000), directory.list(5_000_000));
}

/// News name the person as activities do: by the override table, and by a directory that counts more.
#[test]
fn news_name_the_person_as_activities_do() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let directory = open(&store);
    directory.apply(&file("email,aliases\nana@acme.example,a.lopez@acme.example\n"), NOW).unwrap();
    let mut people = People::new();
    people.insert("entra", "u2", "a.lopez@acme.example");
    people.insert("", "cy@old.example", "cy@acme.example");
    directory.set_people(people);
    let disabled = |id: &str, email: &str| Account {
        id: id.to_owned(),
        email: email.to_owned(),
        status: "disabled".to_owned(),
        ..Account::default()
    };
    let accounts = vec![
        disabled("u1", "A.Lopez@acme.example"),
        disabled("u2", "service@acme.example"),
        disabled("u3", "Cy@old.example"),
        disabled("u4", ""),
    ];
    let source = Source::Connection("corp".parse().unwrap());
    let news = News::Accounts(accounts, Word::News, None);
    let taken =
        directory.hear(&source, "entra", news, NOW, &mut |part| directory.keep(part)).unwrap();
    assert_eq!((taken.changed, taken.told), (4, 3), "nothing can be made of who has no address");
    let block = store.read(&tenant(), 1).unwrap().unwrap();
    let told: Vec<&str> = (0..3).map(|row| block.batch.text("person", row)).collect();
    assert_eq!(told, ["ana@acme.example", "ana@acme.example", "cy@acme.example"]);
    // Once there is an address it is told, and it is told anew under another one.
    let told = |email: &str| {
        let news = News::Accounts(vec![disabled("u4", email)], Word::News, None);
        directory
            .hear(&source, "entra", news, NOW + 1, &mut |part| directory.keep(part))
            .unwrap()
            .told
    };
    assert_eq!(
        [told("di@acme.example"), told("di@acme.example"), told("di.m@acme.example")],
        [1, 0, 1]
    );
}

/// Guests who are left out from now on are named by id alone: who was stored stays as it was, and
/// who was not is not.
#[test]
fn who_is_named_by_id_alone_is_still_there_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let directory = open(&store);
    let source = Source::Connection("corp".parse().unwrap());
    let account = |id: &str, email: &str, status: &str| Account {
        id: id.to_owned(),
        email: email.to_owned(),
        status: status.to_owned(),
        ..Account::default()
    };
    let round = |accounts: Vec<Account>, now: i64| {
        let named = accounts.iter().map(|account| fingerprint(&account.id)).collect();
        let news = News::Accounts(accounts, Word::News, Some(&named));
        directory.hear(&source, "entra", news, now, &mut |part| directory.keep(part)).unwrap()
    };
    let first = ["u1", "guest", "gone"];
    let first = first.map(|id| account(id, &format!("{id}@acme.example"), "active"));
    assert_eq!(round(first.to_vec(), NOW).told, 3);
    let second = vec![first[0].clone(), account("guest", "", ""), account("another", "", "")];
    let taken = round(second, NOW + 1);
    assert_eq!((taken.changed, taken.told), (1, 1), "only who was not named is gone");
    assert!(
        store.get(&tenant(), Table::Account, &source.account_key("another")).unwrap().is_none()
    );
    let log = batch(&[(NOW + 2, "guest@acme.example", ""), (NOW + 2, "gone@acme.example", "")]);
    let states: Vec<String> =
        joined(&directory, "toy", &log).into_iter().map(|(_, status, ..)| status).collect();
    assert_eq!(states, ["active", "deleted"]);
}

/// A process that ends between any two commits leaves something that the next one completes.
#[test]
fn a_file_that_was_applied_in_part_is_completed() {
    let people: String = (0..10_000)
        .map(|n| format!("p{n:05}@acme.example,deleted,1970-01-01T00:00:05Z\n"))
        .collect();
    let whole = file(&format!("email,state,since\n{people}"));
    for parts in 0..3_u64 {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let directory = open(&store);
        let mut left = parts;
        let broken = directory.apply_with(&whole, NOW, &mut |part| {
            if left == 0 {
                return Err(ConnectError::new(crate::ConnectErrorKind::Stopped, "broken off"));
            }
            left -= 1;
            directory.keep(part)
        });
        assert!(broken.is_err());
        assert_eq!(directory.len() as u64, parts * CHUNK as u64, "only what is durable is known");
        let next = open(&store);
        assert_eq!(next.list(NOW), directory.list(NOW));
        next.apply(&whole, NOW + 1).unwrap();
        assert_eq!(next.len(), 10_000);
        let told = states(&store);
        assert_eq!(told.len(), 10_000);
        let once: BTreeSet<&String> = told.iter().collect();
        assert_eq!(once.len(), 10_000);
    }
}

#[test]
fn everything_known_of_a_person_is_shown_with_its_source() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let directory = open(&store);
    let text = "email,state,since,name,groups,aliases\nana@acme.example,disabled,1970-01-01T00:00:05Z,Ana,Sales,a.lopez@old.example\n";
    directory.apply(&file(text), NOW).unwrap();
    let connection = r#"{"format":1,"name":"acme","app":"smartsheet","region":"us","enabled":true,"created":0,"signed-in":0,"method":"personal-token"}"#;
    let commit = Commit::new()
        .put(Table::Connection, "acme", connection)
        .put(
            Table::Account,
            "acme/7",
            r#"{"format":1,"id":"7","email":"A.Lopez@old.example","status":"active"}"#,
        )
        .put(Table::Account, "acme/8", r#"{"format":1,"id":"8","email":"bo@acme.example"}"#)
        .put(Table::Account, "acme/9", r#"{"format":1,"id":"9"}"#);
    store.commit(&tenant(), commit).unwrap();
    let mut people = People::new();
    people.insert("smartsheet", "9", "ana@acme.example");
    directory.set_people(people);
    let found = directory.dossier("A.LOPEZ@old.example", NOW).unwrap().unwrap();
    insta::assert_json_snapshot!(found, @r#"
    {
      "person": "ana@acme.example",
      "state": "disabled",
      "since": "1970-01-01T00:00:05Z",
      "groups": [
        "Sales"
      ],
      "history": [
        {
          "state": "disabled",
          "from": "1970-01-01T00:00:05Z",
          "said": true
        }
      ],
      "overrides": [
        [
          "smartsheet",
          "9"
        ]
      ],
      "accounts": [
        {
          "source": "directory",
          "app": "directory",
          "directory": true,
          "id": "ana@acme.example",
          "email": "ana@acme.example",
          "name": "Ana",
          "status": "disabled",
          "since": 5000,
          "aliases": [
            "a.lopez@old.example"
          ],
          "groups": [
            "Sales"
          ],
          "history": [
            {
              "state": "disabled",
              "from": "1970-01-01T00:00:05Z",
              "said": true
            }
          ]
        },
        {
          "source": "acme",
          "app": "smartsheet",
          "directory": false,
          "id": "7",
          "email": "A.Lopez@old.example",
          "status": "active"
        },
        {
          "source": "acme",
          "app": "smartsheet",
          "directory": false,
          "id": "9"
        }
      ]
    }
    "#);
    let bo = directory.dossier("bo@acme.example", NOW).unwrap().unwrap();
    assert_eq!((bo.person.state.as_str(), bo.accounts.len()), ("", 1));
    assert_eq!(directory.dossier("who@else.example", NOW).unwrap(), None);
    assert_eq!(directory.sources(), [("directory".to_owned(), "directory".to_owned(), 1)]);
}

/// News of a round: consistent words on some people, each said in one or more parts.
fn parts() -> impl Strategy<Value = Vec<Account>> {
    let person = (
        proptest::bool::ANY,
        proptest::sample::select(vec!["", "active", "disabled", "deleted"]),
        proptest::option::of(0i64..NOW),
        proptest::option::of(0i64..2 * NOW),
    );
    proptest::collection::vec(person, 1..8).prop_map(|people| {
        let mut parts = Vec::new();
        for (n, (named, status, since, leaves)) in people.into_iter().enumerate() {
            let id = format!("u{n}");
            let email = format!("u{n}@acme.example");
            let since = since.filter(|_| !status.is_empty());
            parts.push(Account { id: id.clone(), email, ..Account::default() });
            parts.push(Account {
                id: id.clone(),
                status: status.to_owned(),
                since,
                ..Account::default()
            });
            parts.push(Account {
                id,
                name: if named { format!("N{n}") } else { String::new() },
                leaves,
                ..Account::default()
            });
        }
        parts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// What a round says in any order, page by page, with repeats, gives the same directory.
    #[test]
    fn a_round_gives_the_same_directory_in_any_order(
        (parts, mixed) in parts().prop_flat_map(|parts| {
            let mut more = parts.clone();
            more.extend(parts.iter().step_by(2).cloned());
            (Just(parts), Just(more).prop_shuffle())
        }),
        page in 1usize..5,
    ) {
        let hear = |parts: &[Account], page: usize| {
            let dir = tempfile::tempdir().unwrap();
            let store = store(dir.path());
            let directory = open(&store);
            let source = Source::Connection("entra".parse().unwrap());
            for page in parts.chunks(page) {
                let news = News::Accounts(page.to_vec(), Word::News, None);
                directory.hear(&source, "entra", news, NOW, &mut |part| directory.keep(part)).unwrap();
            }
            let mut records = Vec::new();
            store.scan(&tenant(), Table::Account, &ScanRange::all(), false, &mut |_, bytes| {
                let record = Record::read(bytes).unwrap();
                let history: Vec<_> = record.history.spells().iter().map(|spell| (spell.from, spell.state)).collect();
                records.push((record.account, history));
                true
            }).unwrap();
            (directory.list(NOW), records)
        };
        prop_assert_eq!(hear(&parts, 3), hear(&mixed, page));
    }

    /// The join agrees with looking everybody up, row by row.
    #[test]
    fn the_join_agrees_with_the_oracle(
        people in proptest::collection::vec((0usize..6, proptest::option::of(0i64..20), 0usize..6), 0..6),
        rows in proptest::collection::vec((0i64..25, 0usize..12), 1..20),
    ) {
        let mut text = String::from("email,state,since,aliases\n");
        let mut known: Vec<(String, String, Option<i64>)> = Vec::new();
        let mut taken = BTreeSet::new();
        for (email, since, alias) in people {
            let (email, alias) = (format!("m{email}@x.example"), format!("a{alias}@x.example"));
            if !taken.insert(email.clone()) || !taken.insert(alias.clone()) {
                continue;
            }
            let since_text = since.map(|since| casbah_model::time::format(since * 1000)).unwrap_or_default();
            let state = if since.is_some() { "deleted" } else { "active" };
            text.push_str(&format!("{email},{state},{since_text},{alias}\n"));
            known.push((email, alias, since));
        }
        let directory = unkept(&text);
        let actors: Vec<(i64, String)> = rows.iter().map(|(time, who)| (time * 1000, if *who < 6 { format!("m{who}@x.example") } else { format!("a{}@x.example", who - 6) })).collect();
        let batch = batch(&actors.iter().map(|(time, actor)| (*time, actor.as_str(), "")).collect::<Vec<_>>());
        let found = joined(&directory, "toy", &batch);
        for ((time, actor), (person, state, since, _)) in actors.iter().zip(found) {
            let entry = known.iter().find(|(email, alias, _)| email == actor || alias == actor);
            let expected = match entry {
                None => (actor.clone(), "", None),
                Some((email, _, None)) => (email.clone(), "active", None),
                Some((email, _, Some(from))) if from * 1000 <= *time => (email.clone(), "deleted", Some(from * 1000)),
                Some((email, _, Some(_))) => (email.clone(), "", None),
            };
            prop_assert_eq!((person, state.as_str(), since), expected);
        }
    }
}

/// Prints what a million people cost; run it with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn the_cost_of_a_million_people() {
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    };
    let source = Source::Connection("entra".parse().unwrap());
    let before = resident();
    let mut inside = Inside::default();
    let people = 1_000_000_u128;
    let started = std::time::Instant::now();
    for n in 0..people {
        let digits = format!("{:032x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let id = format!(
            "{}-{}-{}-{}-{}",
            &digits[..8],
            &digits[8..12],
            &digits[12..16],
            &digits[16..20],
            &digits[20..]
        );
        let mut record = Record::new(&id);
        let news = Account {
            id,
            email: format!("given.surname{n}@acme.example"),
            name: "Given Surname".to_owned(),
            status: if n % 20 == 0 { "disabled" } else { "active" }.to_owned(),
            aliases: vec![format!("gsurname{n}@acme.example")],
            external: Some(n % 50 == 0),
            groups: vec![format!("Group {}", n % 40)],
            ..Account::default()
        };
        record.hear(news, Word::News, NOW);
        inside.put(&source, &record);
        // All that is new is told when it is written.
        inside.ahead.clear();
    }
    let took = started.elapsed().as_nanos() / people;
    println!(
        "{} bytes each by count, {} by the system, {took} ns to put",
        inside.book.bytes() / people as usize,
        (resident() - before) / people as usize
    );
    let directory = Directory::with(tenant(), None, inside);
    let rows: Vec<(i64, String)> = (0..10_000)
        .map(|n| (n, format!("given.surname{}@acme.example", (n % 400) * 1777)))
        .collect();
    let batch =
        batch(&rows.iter().map(|(time, actor)| (*time, actor.as_str(), "")).collect::<Vec<_>>());
    let mut best = u128::MAX;
    for _ in 0..20 {
        let mut batch = batch.clone();
        let started = std::time::Instant::now();
        directory.join(&mut batch, "toy", &"acme".parse().unwrap());
        best = best.min(started.elapsed().as_nanos());
    }
    println!("{} ns an activity, 400 people in 10,000", best / 10_000);
}
