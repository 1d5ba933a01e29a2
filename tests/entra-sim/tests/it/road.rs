//! casbah against the simulated Entra ID: connecting, the directory, sign-ins, trouble, a kill.

use std::time::Duration;

use casbah_connect::connection::State;
use casbah_connect::fetch::Ended;
use casbah_connect::stop;
use casbah_sim::random::Random;
use entra_sim::Config;
use insta::assert_snapshot;
use serde_json::json;

use crate::kit::{Kit, config};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn change(kit: &Kit, text: String) {
    kit.sim.change(&text.parse().unwrap()).unwrap();
}

/// Addresses of people whose accounts are in use and who are at home here.
fn active(kit: &Kit) -> Vec<String> {
    let accounts = kit.sim.accounts().into_iter();
    let active = accounts.filter(|account| account.state == "active" && !account.guest);
    active.map(|account| account.email).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_connects_and_everything_is_there() {
    let kit = Kit::new(config());
    let established = kit.connect().await;
    assert!(established.check.passed(), "{}", established.check);
    assert_snapshot!(established.check);
    let fetched = kit.fetch().await;
    assert_eq!(
        (fetched.ended, fetched.report.state),
        (Ended::CaughtUp, State::Ok),
        "{:?}",
        fetched.report
    );
    kit.compare("the first fetch");
    // Groups, aliases, guests.
    let company = kit.sim.world().company().clone();
    let directory = kit.directory();
    let finance = company.groups.iter().find(|group| group.name == "Finance").unwrap();
    let accounts = kit.sim.accounts();
    for account in accounts.iter().filter(|account| account.state == "active") {
        let person = directory.person(&account.email).unwrap();
        let place =
            company.users.iter().position(|it| it.email.to_lowercase() == account.email).unwrap()
                as u32;
        assert_eq!(
            person.groups.contains(&"Finance".to_owned()),
            finance.members.contains(&place),
            "{account:?}"
        );
        assert_eq!(person.external, Some(account.guest));
        assert_eq!(person.address, account.email);
        assert_eq!(
            directory.person(&account.principal).unwrap(),
            person,
            "the sign-in name is an alias"
        );
    }
    // Sign-ins know whose they are, also where the sign-in name is no address that anybody writes to.
    let logins: Vec<_> = kit.logged().into_iter().filter(|row| row.kind == "login").collect();
    let known: Vec<&str> = accounts.iter().map(|account| account.email.as_str()).collect();
    assert!(logins.iter().all(|row| known.contains(&row.person.as_str())));
    assert!(accounts.iter().any(
        |it| it.principal.starts_with("nw0") && logins.iter().any(|row| row.person == it.email)
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_application_is_told() {
    let mut kit = Kit::new(config());
    let mut told = Vec::new();
    let tenant = kit.settings["tenant"].clone();
    for (settings, password) in [
        (json!({"tenant": tenant}), "wrong"),
        (json!({"tenant": "contoso.example"}), "entra-sim-secret"),
    ] {
        told.push(kit.grant(&settings, password).await.unwrap_err().to_string());
    }
    for without in ["User.Read.All", "GroupMember.Read.All", "AuditLog.Read.All"] {
        let base = config();
        let permissions =
            base.permissions.iter().filter(|name| *name != without).cloned().collect();
        kit = Kit::new(Config { permissions, ..base });
        let established = kit.connect().await;
        assert!(!established.check.passed());
        told.push(format!("without {without}\n{}", established.check));
    }
    assert_snapshot!(told.join("\n"));
}

/// People come and go, round after round; every piece of news is told once.
#[tokio::test(flavor = "multi_thread")]
async fn people_change() {
    let kit = Kit::new(config());
    kit.connect().await;
    kit.fetch().await;
    let people = active(&kit);
    let [a, b, c, d] = [&people[3], &people[9], &people[11], &people[20]];
    let before = kit.told().len();
    let news = |kit: &Kit, from: usize| {
        let told: Vec<_> = kit.told().into_iter().skip(from).collect();
        let short = |email: &str| {
            people.iter().position(|it| it == email).map_or("?".to_owned(), |at| at.to_string())
        };
        let mut told: Vec<String> =
            told.iter().map(|(who, state)| format!("{} {state}", short(who))).collect();
        told.sort();
        // The round of changes may come before the list of deleted users, which says since when.
        told.dedup_by(|a, b| a == b && a.ends_with("deleted"));
        told
    };
    change(&kit, format!("disable {a}"));
    change(&kit, format!("delete {b}"));
    change(&kit, format!("delete {c}"));
    change(&kit, format!("purge {c}"));
    // More than the longest interval of a stream.
    kit.advance(7 * HOUR);
    kit.fetch().await;
    kit.compare("after changes");
    assert_eq!(news(&kit, before), ["11 deleted", "3 disabled", "9 deleted"]);

    let before = kit.told().len();
    change(&kit, format!("enable {a}"));
    change(&kit, format!("restore {b}"));
    let date = kit.clock.now() + 30 * 24 * HOUR;
    change(&kit, format!("leave {d} {}", casbah_model::time::format(date)));
    kit.advance(7 * HOUR);
    kit.fetch().await;
    kit.compare("after other changes");
    assert_eq!(news(&kit, before), ["20 leaving", "3 active", "9 active"]);
    // Nothing new, nothing told.
    let before = kit.told().len();
    kit.advance(7 * HOUR);
    kit.fetch().await;
    assert_eq!(kit.told().len(), before);
    let calls = kit.sim.counters().requests;
    assert_eq!(
        calls["GET /v1.0/users/delta"],
        (kit.sim.accounts().len().div_ceil(70)) as u64 + 3,
        "{calls:?}"
    );
}

/// Anything that may happen to accounts, in any order, with trouble on the way: after every round
/// everybody's state is known.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_is_known_in_the_end() {
    let kit = Kit::new(config());
    kit.connect().await;
    kit.fetch().await;
    let mut random = Random::new(20_261_120);
    let people: Vec<String> = active(&kit).into_iter().take(40).collect();
    for round in 0..25 {
        for _ in 0..random.below(12) {
            let who = random.pick(&people).unwrap();
            let account = kit.sim.accounts().into_iter().find(|it| it.email == *who).unwrap();
            let what = match account.state.as_str() {
                "active" => ["disable", "delete"],
                "disabled" => ["enable", "delete"],
                "deleted" => ["restore", "purge"],
                _ => continue,
            };
            // A second later than anything before it.
            kit.advance(1_000);
            change(&kit, format!("{} {who}", what[random.below(2)]));
        }
        match random.below(6) {
            0 => kit.sim.expire_links(),
            1 => kit.sim.set_fault("empty-page=3x").unwrap(),
            2 => kit.sim.set_fault("repeats=4x:20").unwrap(),
            3 => kit.sim.set_fault("cut-body=2x").unwrap(),
            4 => kit.sim.set_fault("state-lost=1x").unwrap(),
            _ => {}
        }
        kit.advance(7 * HOUR);
        let fetched = kit.fetch().await;
        assert_eq!(fetched.report.state, State::Ok, "{:?}", fetched.report);
        kit.compare(&format!("round {round}"));
    }
    let happened = kit.sim.counters().faults;
    assert!(happened.len() >= 4, "{happened:?}");
}

/// News that come late keep their own time.
#[tokio::test(flavor = "multi_thread")]
async fn late_news_have_their_time() {
    let kit = Kit::new(config());
    kit.connect().await;
    kit.fetch().await;
    let who = active(&kit)[5].clone();
    let then = kit.clock.now() / 1000 * 1000 - 5 * HOUR;
    change(&kit, format!("delete {who} {}", casbah_model::time::format(then)));
    kit.advance(HOUR);
    kit.fetch().await;
    kit.compare("late news");
    let person = kit.directory().person(&who).unwrap();
    assert_eq!(person.at(then).unwrap().state.word(), "deleted");
    assert_eq!(person.at(then - 1).unwrap().state.word(), "active");
    let rows: Vec<_> = kit
        .logged()
        .into_iter()
        .filter(|row| row.kind == "account-state" && row.person == who && row.status == "deleted")
        .collect();
    assert!(rows.iter().any(|row| row.since == Some(then) && row.time == then), "{rows:?}");
}

/// A link that has grown too old, or a lost state: everybody is read anew, and who is gone meanwhile
/// is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_place_is_found_again() {
    let kit = Kit::new(config());
    kit.connect().await;
    kit.fetch().await;
    for (round, fault) in [(0, None), (1, Some("state-lost=1x")), (2, Some("resync=1x"))] {
        let who = active(&kit)[30 + round].clone();
        change(&kit, format!("delete {who}"));
        change(&kit, format!("purge {who}"));
        match fault {
            None => kit.sim.expire_links(),
            Some(fault) => kit.sim.set_fault(fault).unwrap(),
        }
        kit.advance(7 * HOUR);
        let fetched = kit.fetch().await;
        assert_eq!(
            (fetched.ended, fetched.report.state),
            (Ended::CaughtUp, State::Ok),
            "{:?}",
            fetched.report
        );
        kit.compare("after a resync");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_trouble_passes() {
    let kit = Kit::new(config());
    kit.connect().await;
    for fault in [
        "throttled=3x:20",
        "throttled-silent=2x",
        "unavailable=2x",
        "internal=3x",
        "token-expired=2x",
        "claims=1x",
        "html-200=2x",
        "html-502=2x",
        "cut-body=3x",
        "reset=3x",
        "empty-page=6x",
        "repeats=0.5:9",
        "token-busy=1x",
        "slow-body=2x:50",
    ] {
        kit.sim.set_fault(fault).unwrap();
    }
    let mut last = None;
    for _ in 0..12 {
        last = Some(kit.fetch().await);
        kit.advance(7 * HOUR);
    }
    let report = last.unwrap().report;
    assert_eq!(report.state, State::Ok, "{report:?}");
    kit.compare("after all trouble");
    let happened = kit.sim.counters().faults;
    assert!(happened.len() >= 13, "{happened:?}");
}

/// States that are null are unknown: nobody is taken for disabled.
#[tokio::test(flavor = "multi_thread")]
async fn a_null_state_disables_nobody() {
    let kit = Kit::new(config());
    kit.connect().await;
    kit.fetch().await;
    kit.sim.expire_links();
    kit.sim.set_fault("null-state=1").unwrap();
    kit.advance(7 * HOUR);
    kit.fetch().await;
    kit.compare("with null states");
}

/// A link to another host is a failure that is told; nothing goes there, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_elsewhere_is_not_followed() {
    let kit = Kit::new(config());
    kit.connect().await;
    kit.sim.set_fault("evil-link=1").unwrap();
    let fetched = kit.fetch().await;
    assert_eq!(fetched.report.state, State::Faulty, "{:?}", fetched.report);
    assert!(fetched.report.reason.contains("leads to another host"), "{}", fetched.report.reason);
    kit.sim.clear_faults();
    kit.advance(7 * HOUR);
    assert_eq!(kit.fetch().await.report.state, State::Ok);
    kit.compare("after the links are right again");
}

/// Without a premium licence there are no sign-ins, and nothing is broken.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_licence_the_directory_works() {
    let kit = Kit::new(Config { premium: false, ..config() });
    let established = kit.connect().await;
    assert!(established.check.passed(), "{}", established.check);
    assert_snapshot!(established.check);
    let fetched = kit.fetch().await;
    assert_eq!(
        (fetched.ended, fetched.report.state),
        (Ended::CaughtUp, State::Ok),
        "{:?}",
        fetched.report
    );
    assert!(kit.logged().iter().all(|row| row.kind == "account-state"));
    assert!(kit.directory().len() > 200);
}

/// Stopped in the midst of it and started anew from the disk, again and again: nothing is missing and
/// nothing is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn killed_and_resumed() {
    let mut kit = Kit::new(config());
    kit.connect().await;
    kit.sim.set_fault("slow-body=1:30").unwrap();
    for after in [5, 20, 35, 60, 90, 140, 200] {
        let (handle, _) = stop();
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(after)).await;
            handle.stop();
        };
        tokio::join!(kit.fetch_until(&handle), stopping);
        kit = kit.reopened();
    }
    kit.sim.clear_faults();
    kit.fetch().await;
    kit.compare("after kills");
    let mut told: Vec<_> =
        kit.logged().into_iter().filter(|row| row.kind == "account-state").collect();
    let count = told.len();
    told.sort();
    told.dedup_by(|a, b| (&a.person, &a.status, a.since) == (&b.person, &b.status, b.since));
    assert_eq!(told.len(), count, "news are told once");
}
