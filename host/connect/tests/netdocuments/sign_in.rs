//! Both ways to sign in, what the test of a connection says, and tokens that end in their own ways.

use casbah_connect::connection::State;
use casbah_connect::fetch::Ended;
use insta::assert_snapshot;
use netdocuments_sim::{Config, Sees, SignIn};

use crate::kit::{Kit, config};

const MINUTE: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_the_connection_is_tested() {
    let kit = Kit::new(config(3_000));
    let established = kit.connect().await;
    assert_snapshot!(established.check, @r"
    ok       sign-in: NetDocuments knows casbah as goran.obrien0@northwind.example, of Northwind Traders
    unknown  administrator: NetDocuments does not tell
    ok       activities: activities can be read
    ");
    assert_eq!(established.report.state, State::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_signs_in_by_itself() {
    let kit = Kit::new(config(3_000));
    let grant = kit.service().await;
    let established = kit.establish(grant, kit.settings()).await;
    assert!(established.check.passed(), "{}", established.check);
    assert_eq!(kit.fetch().await.ended, Ended::CaughtUp);
    kit.compare("by itself");
    // Its tokens end like others, and there is no refresh token: it signs in again.
    kit.advance(46 * MINUTE);
    assert_eq!(kit.fetch().await.ended, Ended::CaughtUp);
    assert!(kit.sim.counters().client_grants >= 2, "{:?}", kit.sim.counters());
}

/// Signing in works, and nothing is there: the test says so, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn connected_but_empty_is_told() {
    let sign_in = SignIn { mapped: false, ..SignIn::default() };
    let unmapped = Kit::new(Config { sign_in, ..config(3_000) });
    let grant = unmapped.service().await;
    let nothing = unmapped.establish(grant, unmapped.settings()).await;
    let silent = Kit::new(Config { sees: Sees::NoLogs, ..config(3_000) }).connect().await;
    assert!(!nothing.check.passed() && !silent.check.passed());
    assert_snapshot!(format!("{}\n--\n{}", nothing.check, silent.check), @r"
    ok       sign-in: NetDocuments knows casbah as goran.obrien0@northwind.example, of Northwind Traders
    unknown  administrator: NetDocuments does not tell
    failed   activities: activities can't be read: NetDocuments let casbah in, but the repository seems to have no users (code empty)
             hint: NetDocuments lets accounts in that may see nothing. Check that `repository` is the right one, that the account is a full administrator of it, that the consolidated log is switched on, and, where the application signs in by itself, that an administrator mapped its client id to an account of the repository.
    --
    ok       sign-in: NetDocuments knows casbah as goran.obrien0@northwind.example, of Northwind Traders
    unknown  administrator: NetDocuments does not tell
    failed   activities: activities can't be read: NetDocuments let casbah in, but its log of the last 30 days is empty (code empty)
             hint: NetDocuments lets accounts in that may see nothing. Check that `repository` is the right one, that the account is a full administrator of it, that the consolidated log is switched on, and, where the application signs in by itself, that an administrator mapped its client id to an account of the repository.
    ");
}

/// The log is switched on, and a week of fetching brings nothing: the state says so.
#[tokio::test(flavor = "multi_thread")]
async fn silence_becomes_a_fault() {
    let kit = Kit::new(Config { sees: Sees::NoLogs, ..config(3_000) });
    kit.connect().await;
    kit.advance(8 * 24 * 60 * MINUTE);
    let fetched = kit.fetch().await;
    assert_eq!(fetched.report.state, State::Forbidden);
    assert!(fetched.report.reason.contains("empty"), "{}", fetched.report.reason);
}

/// Access tokens that were idle too long, and refreshes without a new refresh token: normal life.
#[tokio::test(flavor = "multi_thread")]
async fn idle_tokens_are_renewed_without_a_word() {
    let kit = Kit::new(config(3_000));
    kit.connect().await;
    assert_eq!(kit.fetch().await.ended, Ended::CaughtUp);
    for _ in 0..4 {
        kit.advance(50 * MINUTE);
        let fetched = kit.fetch().await;
        assert_eq!((fetched.ended, fetched.report.state), (Ended::CaughtUp, State::Ok));
    }
    let counters = kit.sim.counters();
    assert!(counters.refreshes >= 4, "{counters:?}");
    assert_eq!(counters.exchanges, 1);
    // A new one now and then is taken, too.
    kit.sim.set_fault("token-rotated=1x").unwrap();
    for _ in 0..2 {
        kit.advance(50 * MINUTE);
        assert_eq!(kit.fetch().await.ended, Ended::CaughtUp);
    }
    kit.compare("after all");
}

/// Forty days without a refresh, or a grant that was ended: sign in again.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_grant_is_told() {
    let kit = Kit::new(config(3_000));
    kit.connect().await;
    kit.advance(41 * 24 * 60 * MINUTE);
    let dead = kit.fetch().await;
    assert_eq!(dead.ended, Ended::ReconnectNeeded);
    kit.connect().await;
    assert_eq!(kit.fetch().await.report.state, State::Ok);
}
