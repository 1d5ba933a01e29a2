use super::*;
use casbah_model::BatchBuilder;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn account(id: &str, email: &str, external: Option<bool>) -> Account {
    Account {
        id: id.to_owned(),
        email: email.to_owned(),
        name: format!("Name {id}"),
        status: "active".to_owned(),
        admin: Some(id == "1"),
        external,
        ..Account::default()
    }
}

fn company(domains: &[&str]) -> Accounts {
    let domains: Vec<String> = domains.iter().map(|domain| (*domain).to_owned()).collect();
    let mut accounts = Accounts::new(&domains);
    accounts.put(account("1", "Ana@Acme.example", Some(false)));
    accounts.put(account("2", "bo@acme.example", None));
    accounts.put(account("3", "guest@partner.example", Some(true)));
    accounts.put(account("4", "someone@gmail.com", None));
    accounts.put(account("5", "", None));
    accounts
}

type Row<'a> = &'a [(&'a str, &'a str)];

/// A batch of rows; a value that is a number makes an integer column.
fn batch(rows: &[Row<'_>]) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in rows {
        builder.begin_row();
        for (name, value) in *row {
            match value.strip_prefix('#').and_then(|number| number.parse().ok()) {
                Some(number) => builder.integer(name, number),
                None => builder.text(name, value),
            }
        }
    }
    builder.finish()
}

/// A row after the join, as text; what is absent is left out.
fn joined(accounts: &Accounts, rows: &[Row<'_>]) -> Vec<BTreeMap<String, String>> {
    let mut batch = batch(rows);
    accounts.join(&mut batch, "toy", &"acme".parse().unwrap(), 77);
    batch.check().unwrap();
    let distinct: HashSet<&str> = batch.texts.iter().map(|(_, text)| text).collect();
    assert_eq!(distinct.len(), batch.texts.len(), "every text stands once");
    (0..batch.len())
        .map(|row| {
            let cell = |name: &str| match batch.column(name) {
                Some(Values::Text(_)) => Some(batch.text(name, row).to_owned()),
                _ => batch.integer(name, row).map(|value| format!("#{value}")),
            };
            batch
                .columns
                .iter()
                .filter_map(|column| Some((column.name.clone(), cell(&column.name)?)))
                .filter(|(name, value)| {
                    !value.is_empty() && !matches!(name.as_str(), "app" | "connection" | "received")
                })
                .collect()
        })
        .collect()
}

fn expect(accounts: &Accounts, row: Row<'_>, expected: Row<'_>) {
    let expected: BTreeMap<String, String> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(joined(accounts, &[row]), [expected]);
}

#[test]
fn an_actor_known_by_number_gets_all_that_the_account_tells() {
    expect(
        &company(&[]),
        &[("actor.id", "1"), ("actor", "1")],
        &[
            ("actor.id", "1"),
            ("actor", "ana@acme.example"),
            ("actor.email", "Ana@Acme.example"),
            ("actor.name", "Name 1"),
            ("actor.admin", "#1"),
            ("actor.external", "#0"),
            ("actor.status", "active"),
        ],
    );
}

/// What the app said about the moment of the activity counts, not what it says of the account now.
#[test]
fn nothing_that_the_app_said_is_overwritten() {
    let said: Row<'_> = &[
        ("actor.id", "1"),
        ("actor", "old.name@acme.example"),
        ("actor.email", "Old.Name@acme.example"),
        ("actor.name", "Old Name"),
        ("actor.type", "service"),
        ("actor.admin", "#0"),
        ("actor.external", "#1"),
    ];
    let mut expected = said.to_vec();
    expected.push(("actor.status", "active"));
    expect(&company(&[]), said, &expected);
    expect(
        &company(&[]),
        &[("actor", "MiXed@Other.Example"), ("actor.email", "MiXed@Other.Example")],
        &[
            ("actor", "mixed@other.example"),
            ("actor.email", "MiXed@Other.Example"),
            ("actor.external", "#1"),
        ],
    );
}

#[test]
fn behalf_and_recipient_are_joined_and_groups_are_not_users() {
    let company = company(&[]);
    expect(
        &company,
        &[
            ("behalf.id", "2"),
            ("recipient.id", "3"),
            ("recipient", "3"),
            ("recipient.kind", "user"),
        ],
        &[
            ("behalf.id", "2"),
            ("behalf", "bo@acme.example"),
            ("recipient.id", "3"),
            ("recipient.kind", "user"),
            ("recipient", "guest@partner.example"),
            ("recipient.domain", "partner.example"),
            ("recipient.external", "#1"),
        ],
    );
    let group: Row<'_> = &[("recipient.id", "3"), ("recipient", "3"), ("recipient.kind", "group")];
    expect(&company, group, group);
    expect(
        &company,
        &[("recipient", "X@Sub.Acme.example"), ("recipient.kind", "address")],
        &[
            ("recipient", "x@sub.acme.example"),
            ("recipient.kind", "address"),
            ("recipient.domain", "sub.acme.example"),
            ("recipient.external", "#0"),
        ],
    );
    expect(
        &company,
        &[("recipient.id", "99"), ("recipient", "99")],
        &[("recipient.id", "99"), ("recipient", "99")],
    );
}

#[test]
fn who_is_outside_is_judged_by_account_then_by_domain() {
    let external = |accounts: &Accounts, email: &str| {
        let rows = joined(accounts, &[&[("recipient", email), ("recipient.kind", "address")]]);
        rows[0].get("recipient.external").cloned()
    };
    let yes = Some("#1".to_owned());
    let no = Some("#0".to_owned());
    let derived = company(&[]);
    let configured = company(&["@Partner.example", "gmail.com"]);
    let ignorant = Accounts::new(&[]);
    for (email, by_accounts, by_list, by_nothing) in [
        ("x@acme.example", &no, &yes, &None),
        ("x@ACME.example", &no, &yes, &None),
        ("x@eu.acme.example", &no, &yes, &None),
        ("x@notacme.example", &yes, &yes, &None),
        ("x@partner.example", &yes, &no, &None),
        // Nobody is internal by an address that anybody can have, not even by a list.
        ("x@gmail.com", &yes, &yes, &yes),
        ("not an address", &None, &None, &None),
        ("@", &None, &None, &None),
    ] {
        assert_eq!(external(&derived, email), *by_accounts, "{email} by accounts");
        assert_eq!(external(&configured, email), *by_list, "{email} by the list");
        assert_eq!(external(&ignorant, email), *by_nothing, "{email} by nothing");
    }
    // The app's word about an account counts more than its address.
    let mut accounts = company(&[]);
    accounts.put(account("6", "boss@gmail.com", Some(false)));
    let rows =
        joined(&accounts, &[&[("actor.id", "6")], &[("actor.id", "4")], &[("actor.id", "2")]]);
    let flags: Vec<&str> = rows.iter().map(|row| row["actor.external"].as_str()).collect();
    assert_eq!(flags, ["#0", "#1", "#0"]);
    assert_eq!(external(&accounts, "x@gmail.com"), yes, "that account makes nobody else internal");
}

#[test]
fn a_domain_is_internal_for_as_long_as_an_account_says_so() {
    let mut accounts = company(&[]);
    assert_eq!(accounts.is_external("acme.example"), Some(false));
    accounts.put(account("1", "ana@new.example", Some(false)));
    assert_eq!(accounts.is_external("acme.example"), Some(true));
    assert_eq!(accounts.is_external("new.example"), Some(false));
    accounts.put(account("1", "ana@new.example", Some(true)));
    assert_eq!(accounts.is_external("new.example"), None, "nothing is known any more");
}

#[test]
fn users_among_the_objects_get_their_names() {
    let mut builder = BatchBuilder::new();
    for _ in 0..2 {
        builder.begin_row();
        for (kind, id, name) in [
            ("user", "1", ""),
            ("user", "3", "said"),
            ("group", "1", ""),
            ("user", "5", ""),
            ("user", "99", ""),
        ] {
            builder.begin_nested("objects");
            builder.nested_text("objects", "kind", kind);
            builder.nested_text("objects", "id", id);
            builder.nested_text("objects", "name", name);
        }
    }
    let mut batch = builder.finish();
    company(&[]).join(&mut batch, "toy", &"acme".parse().unwrap(), 5);
    batch.check().unwrap();
    let objects = batch.nested("objects").unwrap();
    let Some(Values::Text(names)) = objects.column("name") else { panic!("no names") };
    let names: Vec<&str> = names.iter().map(|&id| batch.texts.get(id)).collect();
    let row = ["Ana@Acme.example", "said", "", "Name 5", ""];
    assert_eq!(names, [row, row].concat());
}

#[test]
fn the_columns_of_the_host_are_filled() {
    let mut batch = batch(&[&[("id", "toy")], &[("id", "b")]]);
    Accounts::new(&[]).join(&mut batch, "toy", &"acme".parse().unwrap(), 1234);
    assert_eq!(batch.text("app", 1), "toy");
    assert_eq!(batch.text("connection", 0), "acme");
    assert_eq!(batch.integer("received", 1), Some(1234));
    assert_eq!(batch.text_ids("app").unwrap()[0], batch.text_ids("id").unwrap()[0], "one text");
}

#[test]
fn a_round_tells_who_is_new_and_who_is_gone() {
    let mut accounts = company(&[]);
    assert_eq!(accounts.present(), 5);
    let changed = accounts.changed(
        vec![
            account("2", "bo@acme.example", None),
            account("3", "guest@partner.example", None),
            account("6", "new@acme.example", None),
            account("6", "newer@acme.example", None),
        ],
        Keep::Nothing,
    );
    let ids: Vec<(&str, &str)> =
        changed.iter().map(|account| (account.id.as_str(), account.email.as_str())).collect();
    assert_eq!(ids, [("3", "guest@partner.example"), ("6", "newer@acme.example")]);
    let gone = accounts.gone(&["1", "2", "3", "4"].map(fingerprint).into());
    assert_eq!(gone.len(), 1);
    assert_eq!((gone[0].id.as_str(), gone[0].status.as_str()), ("5", "deleted"));
    assert_eq!(accounts.present_with(&gone), 4);
    for account in gone {
        accounts.put(account);
    }
    assert_eq!(accounts.present(), 4);
    assert!(accounts.gone(&["1", "2", "3", "4"].map(fingerprint).into()).is_empty());
}

/// News of what has changed leave out what has not.
#[test]
fn what_news_leave_out_is_kept_where_that_is_meant() {
    let mut accounts = company(&[]);
    let news = |status: &str| Account {
        id: "1".to_owned(),
        status: status.to_owned(),
        email: if status == DELETED { "4711ana@acme.example" } else { "" }.to_owned(),
        ..Account::default()
    };
    let merged = accounts.changed(vec![news("disabled"), news(DELETED)], Keep::WhatIsLeftOut);
    let known = accounts.get("1").unwrap();
    assert_eq!(merged, [Account { status: DELETED.to_owned(), ..known.clone() }]);
    assert!(accounts.changed(vec![news("active")], Keep::WhatIsLeftOut).is_empty());
    let whole = accounts.changed(vec![news("active")], Keep::Nothing);
    assert_eq!((whole[0].email.as_str(), whole[0].admin), ("", None));
    // Groups are not the business of a stream of accounts, and the other way round.
    let group = |name: &str| BTreeSet::from([Arc::<str>::from(name)]);
    let members = Members::from([("1".to_owned(), group("b")), ("new".to_owned(), group("b"))]);
    for account in accounts.regrouped(&members, true) {
        accounts.put(account);
    }
    assert_eq!(accounts.get("1").unwrap().groups, ["b"]);
    assert_eq!(accounts.present(), 5, "who is only in a group is no account");
    assert!(accounts.gone(&["1", "2", "3", "4", "5"].map(fingerprint).into()).is_empty());
    let renamed = Account { name: "Other".to_owned(), ..news("active") };
    assert_eq!(accounts.changed(vec![renamed], Keep::Nothing)[0].groups, ["b"]);
    let more = Members::from([("1".to_owned(), group("a"))]);
    assert_eq!(accounts.regrouped(&more, false)[0].groups, ["a", "b"]);
    let only = accounts.regrouped(&more, true);
    let ids: Vec<(&str, usize)> =
        only.iter().map(|account| (account.id.as_str(), account.groups.len())).collect();
    assert_eq!(ids, [("1", 1), ("new", 0)]);
}

/// The join written down row by row and word by word, to hold the quick one to.
fn oracle(accounts: &Accounts, row: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut row = row.clone();
    let get =
        |row: &BTreeMap<String, String>, name: &str| row.get(name).cloned().unwrap_or_default();
    let lower = |text: &str| domain(text).map(|_| text.to_lowercase()).unwrap_or_default();
    let set = |row: &mut BTreeMap<String, String>, name: &str, value: String| {
        if get(row, name).is_empty() && !value.is_empty() {
            row.insert(name.to_owned(), value);
        }
    };
    let flag =
        |flag: Option<bool>| flag.map(|flag| format!("#{}", i64::from(flag))).unwrap_or_default();
    for who in ["actor", "behalf", "recipient"] {
        let id = get(&row, &format!("{who}.id"));
        let is_user =
            who != "recipient" || matches!(get(&row, "recipient.kind").as_str(), "" | "user");
        let account = accounts.get(&id).filter(|_| is_user).cloned().unwrap_or_default();
        let said = get(&row, who);
        let email = if who == "actor" { get(&row, "actor.email") } else { String::new() };
        let best =
            if lower(&email).is_empty() { account.email.to_lowercase() } else { lower(&email) };
        if said.is_empty() || said == id {
            if !best.is_empty() {
                row.insert(who.to_owned(), best);
            }
        } else if !lower(&said).is_empty() {
            row.insert(who.to_owned(), lower(&said));
        }
        let by_account = account
            .external
            .or_else(|| accounts.is_external(&domain(&account.email).unwrap_or_default()));
        if who == "actor" {
            set(&mut row, "actor.email", account.email.clone());
            set(&mut row, "actor.name", account.name.clone());
            set(&mut row, "actor.type", account.account_type.clone());
            set(&mut row, "actor.admin", flag(account.admin));
            let by_email = domain(&email).and_then(|domain| accounts.is_external(&domain));
            set(&mut row, "actor.external", flag(by_account.or(by_email)));
            set(&mut row, "actor.status", account.status.clone());
        }
        if who == "recipient" {
            let domain = domain(&said).or_else(|| domain(&account.email)).unwrap_or_default();
            set(&mut row, "recipient.domain", domain);
            let by_said = super::domain(&said).and_then(|domain| accounts.is_external(&domain));
            set(&mut row, "recipient.external", flag(by_account.or(by_said)));
        }
    }
    row
}

proptest! {
    /// Any mixture of known, unknown and absent cells is joined as the oracle says.
    #[test]
    fn the_join_agrees_with_the_oracle(
        rows in proptest::collection::vec(
            proptest::collection::btree_map(
                proptest::sample::select(vec!["actor", "actor.id", "actor.email", "actor.name", "behalf", "behalf.id", "recipient", "recipient.id"]),
                proptest::sample::select(vec!["1", "2", "3", "4", "5", "9", "Ana@Acme.example", "ana@acme.example", "X@gmail.com", "y@else.example", "words"]),
                0..8,
            ),
            1..12,
        ),
        kinds in proptest::collection::vec(proptest::sample::select(vec!["", "user", "group"]), 12),
        configured: bool,
    ) {
        let accounts = company(if configured { &["else.example"] } else { &[] });
        let rows: Vec<BTreeMap<String, String>> = rows
            .into_iter()
            .zip(kinds)
            .map(|(row, kind)| {
                let mut row: BTreeMap<String, String> = row.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                if !kind.is_empty() {
                    row.insert("recipient.kind".to_owned(), kind.to_owned());
                }
                row
            })
            .collect();
        let pairs: Vec<Vec<(&str, &str)>> = rows
            .iter()
            .map(|row| row.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect())
            .collect();
        let slices: Vec<Row<'_>> = pairs.iter().map(Vec::as_slice).collect();
        let expected: Vec<_> = rows.iter().map(|row| oracle(&accounts, row)).collect();
        prop_assert_eq!(joined(&accounts, &slices), expected);
    }
}

/// Prints what the join costs; run it with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn the_cost_of_the_join() {
    let mut accounts = Accounts::new(&[]);
    for n in 0..400 {
        accounts.put(account(&n.to_string(), &format!("user{n}@acme.example"), Some(false)));
    }
    let mut builder = BatchBuilder::new();
    for n in 0..10_000_i64 {
        builder.begin_row();
        builder.text("id", &format!("2.1.{:0>46}", n * 7919));
        builder.text("actor.id", &(n % 400).to_string());
        builder.text("actor", &(n % 400).to_string());
        builder.text("object", &(4_583_614_634_583_940_i64 + n % 3000).to_string());
        if n % 10 == 0 {
            builder.text("recipient.id", &(n % 500).to_string());
            builder.text("recipient.kind", "user");
        }
    }
    let batch = builder.finish();
    let mut best = f64::MAX;
    for _ in 0..20 {
        let mut batch = batch.clone();
        let started = std::time::Instant::now();
        accounts.join(&mut batch, "toy", &"acme".parse().unwrap(), 5);
        best = best.min(started.elapsed().as_secs_f64());
    }
    println!("{:.0} ns an activity", best * 1e9 / 10_000.0);
}
