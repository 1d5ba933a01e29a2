//! The whole way against the simulated Smartsheet: sign-in, test, fetch under faults, removal; and
//! that no token is left anywhere.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::kit::Kit;
use casbah_connect::connection::State;
use casbah_connect::fetch::{Ended, Fetched};
use casbah_connect::oauth::Grant;
use casbah_connect::{NewConnection, Removal, Switch, Unreachable, stop};
use casbah_store::Store;
use insta::assert_snapshot;
use smartsheet_sim::{Config, PersonalToken, Plan, Rate, World};

/// A small world, without a limit that would make a test take a minute.
fn config(events: usize) -> Config {
    let plan = Plan { users: 60, days: 2, events, ..Plan::default() };
    let mut config = Config::new(Arc::new(World::new(&plan)));
    config.rate = Rate { limit: 0, ..Rate::default() };
    config
}

async fn fetch(kit: &Kit, name: &str, page_size: u32) -> Fetched {
    let mut fetch = kit.fetch(name);
    fetch.page_size = Some(page_size);
    let (_handle, never) = stop();
    let last: Arc<Mutex<VecDeque<String>>> = Arc::default();
    let events = Arc::clone(&last);
    fetch.observer = Arc::new(move |_, event| {
        let mut events = events.lock().unwrap();
        events.push_back(format!("{event:?}"));
        if events.len() > 12 {
            events.pop_front();
        }
    });
    let fetched = kit.connections.fetch(fetch, never);
    match tokio::time::timeout(Duration::from_secs(40), fetched).await {
        Ok(fetched) => fetched.unwrap(),
        Err(_) => panic!("it does not end: {:#?}", last.lock().unwrap()),
    }
}

/// Everything that any crate logs, down to the finest level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log() -> &'static Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_writer(move || writer.clone())
            .init();
        log
    })
}

fn files(dir: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

/// A real sign-in, refreshes, an app that refuses tokens, and dead ends: afterwards no access or
/// refresh token that was ever seen to be good, and no client secret, is in any file or log.
#[tokio::test(flavor = "multi_thread")]
async fn no_token_is_in_any_file_or_log() {
    let log = log();
    let mut config = config(3000);
    config.sign_in.token_life = Duration::from_secs(2);
    let kit = Kit::new(config);
    let mut secrets = BTreeSet::from(["casbah-test-secret".to_owned()]);
    let established = kit.connect("acme", None).await;
    assert!(established.check.passed());
    secrets.extend(kit.sim.live_tokens());
    assert!(secrets.len() >= 3, "an access and a refresh token");
    for fault in
        ["token-expired=0.1", "token-dead=0.05", "internal=0.1", "html-502=0.1", "cut-body=0.1"]
    {
        kit.sim.set_fault(fault).unwrap();
    }
    for _ in 0..3 {
        let mut fetch = kit.fetch("acme");
        fetch.page_size = Some(100);
        let (handle, never) = stop();
        let sim = &kit.sim;
        let watch = async {
            let mut seen = BTreeSet::new();
            for _ in 0..40 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                seen.extend(sim.live_tokens());
            }
            handle.stop();
            seen
        };
        let (fetched, seen) = tokio::join!(kit.connections.fetch(fetch, never), watch);
        fetched.unwrap();
        secrets.extend(seen);
    }
    assert!(kit.sim.counters().refreshes >= 1, "{:?}", kit.sim.counters());
    kit.sim.kill_grants();
    kit.sim.kill_access_tokens();
    let dead = fetch(&kit, "acme", 100).await;
    let shown = format!("{dead:?} {}", serde_json::to_string(&dead.report).unwrap());
    kit.store.checkpoint().unwrap();
    kit.store.close().unwrap();

    let mut found = Vec::new();
    files(kit.dir.path(), &mut found);
    found.push(("the log".to_owned(), log.0.lock().unwrap().clone()));
    found.push(("what is shown".to_owned(), shown.into_bytes()));
    let logged = found.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    println!("{} secrets, {} places, {logged} bytes", secrets.len(), found.len());
    assert!(
        found.iter().any(|(name, bytes)| name == "the log" && bytes.len() > 10_000),
        "the log is on"
    );
    assert!(secrets.len() >= 5, "tokens were changed: {}", secrets.len());
    for (name, bytes) in &found {
        // The search itself works: what may be there is found.
        if name == "what is shown" {
            assert!(contains(bytes, "acme"));
        }
        for secret in &secrets {
            assert!(!contains(bytes, secret), "`{name}` holds a secret");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_tested_in_plain_words() {
    let kit = Kit::new(config(3000));
    let established = kit.connect("acme", None).await;
    assert_snapshot!(established.check, @r"
    ok       sign-in: Smartsheet knows casbah as goran.obrien0@northwind.example, of Northwind Traders
    ok       administrator: the account is an administrator
    ok       activities: activities can be read
    ");
    assert_eq!(established.report.state, State::Ok);
    assert_eq!(established.report.connection.scopes, ["READ_EVENTS", "READ_USERS"]);

    // What an administrator may have got wrong.
    let without = Config { add_on: false, ..config(3000) };
    let no_add_on = Kit::new(without).connect("acme", None).await;
    let mut other = config(3000);
    let nobody = other.world.company().users.iter().find(|user| !user.admin()).unwrap();
    other.sign_in.user = Some(nobody.email.clone());
    let no_admin = Kit::new(other).connect("acme", None).await;
    assert!(!no_add_on.check.passed() && !no_admin.check.passed());
    let told = format!("{}\n--\n{}", no_add_on.check, no_admin.check);
    // The app gives every answer a number.
    let words: Vec<&str> = told.split(' ').collect();
    let told: Vec<&str> = words
        .iter()
        .enumerate()
        .map(|(at, word)| if at > 0 && words[at - 1] == "[refId" { "N]" } else { word })
        .collect();
    assert_snapshot!(told.join(" "), @r"
    ok       sign-in: Smartsheet knows casbah as goran.obrien0@northwind.example, of Northwind Traders
    ok       administrator: the account is an administrator
    failed   activities: activities can't be read: Smartsheet answered 403: The operation you are attempting to perform is not supported by your plan. [refId N] (code 1013)
             hint: Event Reporting is a paid add-on for Enterprise and Advanced Work Management plans. Ask your Smartsheet representative to add it to the plan, then test the connection.
    --
    ok       sign-in: Smartsheet knows casbah as svc-hr-import-4@northwind.example, of Northwind Traders
    failed   administrator: the account is not an administrator, and only administrators may read activities
             hint: make the account an administrator in the app, or connect with another one
    failed   activities: activities can't be read: Smartsheet answered 403: You are not authorized to perform this action. [refId N] (code 1004)
             hint: The account that connected casbah must be a System Admin of the Smartsheet plan and stay one, and the connection needs the scopes READ_EVENTS and READ_USERS. Give the account that role again, or connect with another account.
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_made_by_hand_works_through_the_same_door() {
    let mut config = config(3000);
    let token = "personal-token-of-the-test".to_owned();
    config.personal = vec![PersonalToken { token: token.clone(), user: None, scopes: None }];
    let kit = Kit::new(config);
    let mut new = NewConnection::new("acme".parse().unwrap());
    new.hosts = kit.hosts();
    let grant = Grant::personal(&token.into(), kit.clock.now()).unwrap();
    let established = kit
        .connections
        .establish(&kit.tenant, new, grant, None, kit.adapter.clone(), Switch::Refuse)
        .await
        .unwrap();
    assert!(established.check.passed(), "{}", established.check);
    let fetched = fetch(&kit, "acme", 1000).await;
    assert_eq!(fetched.ended, Ended::CaughtUp);
    assert_eq!(kit.logged("acme"), kit.expected());
    kit.sim.kill_access_tokens();
    let fetched = fetch(&kit, "acme", 1000).await;
    assert_eq!(fetched.ended, Ended::ReconnectNeeded);
    assert_eq!(fetched.report.state, State::ReconnectNeeded);
    let removal = kit
        .connections
        .remove(
            &kit.tenant,
            &"acme".parse().unwrap(),
            kit.adapter.description(),
            Unreachable::Forget,
        )
        .await;
    assert!(matches!(removal.unwrap(), Removal::NothingToRevoke));
}

/// Every fault that passes, one after the other and then all together: what is in the log in the end
/// is what the app has, each once.
#[tokio::test(flavor = "multi_thread")]
async fn faults_lose_and_double_nothing() {
    let faults = [
        "rate-limited=0.1",
        "rate-limited-retry-after=0.02:1",
        "page-too-big=0.5:200",
        "maintenance=0.1",
        "unexpected=0.1",
        "internal=0.1",
        "token-expired=0.02",
        "token-dead=0.02",
        "position-refused=0.05",
        "duplicates=0.3",
        "disorder=0.5",
        "empty-page=0.1",
        "no-position=0.2",
        "no-position-more=0.05",
        "stuck-position=0.1",
        "more-as-text=0.3",
        "slow-body=0.05:50",
        "cut-body=0.1",
        "reset=0.1",
        "html-200=0.05",
        "html-502=0.1",
        "token-busy=0.3",
        "token-html=0.2",
        "token-empty=0.2",
        "token-redirect=0.2",
        "token-slow=0.2:50",
        "token-no-refresh=0.3",
    ];
    let mut rounds: Vec<Vec<&str>> = faults.iter().map(|fault| vec![*fault]).collect();
    rounds.push(faults.to_vec());
    let world = config(3000).world;
    for round in rounds {
        println!("{round:?}");
        let mut config = config(3000);
        config.world = world.clone();
        let kit = Kit::new(config);
        kit.connect("acme", None).await;
        for fault in &round {
            kit.sim.set_fault(fault).unwrap();
        }
        let mut fetched = fetch(&kit, "acme", 300).await;
        // A minute has to pass between forced refreshes; here it need not.
        for _ in 0..40 {
            if fetched.ended == Ended::CaughtUp && kit.logged("acme").len() == world.len() {
                break;
            }
            kit.connections.forget(&kit.tenant, &"acme".parse().unwrap()).await;
            fetched = fetch(&kit, "acme", 300).await;
        }
        assert_eq!(kit.logged("acme"), kit.expected(), "{round:?}");
        let counters = fetched.report.status.counters;
        assert_eq!(counters.activities as usize, world.len(), "{round:?}");
        if round.len() > 1 {
            println!("{counters:?}\n{:?}", kit.sim.counters().faults);
        }
    }
}

/// The app changes the refresh token at every refresh and one answer is lost: the connection is dead,
/// says so, and does not ask again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_rotation_is_told_and_signing_in_again_heals_it() {
    let kit = Kit::new(config(3000));
    kit.connect("acme", None).await;
    fetch(&kit, "acme", 1000).await;
    kit.sim.expire_access_tokens();
    kit.sim.set_fault("token-lost=1x").unwrap();
    let dead = fetch(&kit, "acme", 1000).await;
    assert_eq!(dead.ended, Ended::ReconnectNeeded);
    assert_snapshot!(format!("{}\n{}", dead.report.reason, dead.report.remedy), @r"
Smartsheet ended the consent for connection `acme`: The refresh token is invalid (invalid_grant), code 1071
connect again with `casbah connect smartsheet --name acme --replace`
");
    let again = kit.connect("acme", None).await;
    assert_eq!(again.report.state, State::Ok, "the trouble is over");
    let alive = fetch(&kit, "acme", 1000).await;
    assert_eq!((alive.ended, alive.report.state), (Ended::CaughtUp, State::Ok));
    assert_eq!(kit.logged("acme"), kit.expected());
    let removal = kit
        .connections
        .remove(
            &kit.tenant,
            &"acme".parse().unwrap(),
            kit.adapter.description(),
            Unreachable::Forget,
        )
        .await;
    assert!(matches!(removal.unwrap(), Removal::Revoked));
    assert_eq!(kit.sim.counters().revocations, 1);
}

/// Two connections that refresh at the same moment, and many tasks on each: one refresh each.
#[tokio::test(flavor = "multi_thread")]
async fn refreshes_go_out_one_at_a_time() {
    let kit = Kit::new(config(3000));
    kit.connect("acme", None).await;
    kit.sim.set_fault("token-slow=1:200").unwrap();
    kit.clock.advance(604_799_000);
    let mut fetch = kit.fetch("acme");
    fetch.page_size = Some(500);
    let (_handle, never) = stop();
    let name = "acme".parse().unwrap();
    let (fetched, check) = tokio::join!(
        kit.connections.fetch(fetch, never),
        kit.connections.check(&kit.tenant, &name, kit.adapter.clone()),
    );
    assert_eq!(fetched.unwrap().ended, Ended::CaughtUp);
    assert!(check.unwrap().passed());
    let counters = kit.sim.counters();
    assert_eq!((counters.refreshes, counters.refreshes_at_once), (1, 1));
}

/// Activities are joined with the accounts: who acted on whom, and who is outside.
#[tokio::test(flavor = "multi_thread")]
async fn activities_are_joined_with_the_users_of_the_plan() {
    let kit = Kit::new(config(6000));
    kit.connect("acme", None).await;
    fetch(&kit, "acme", 10_000).await;
    let company = kit.sim.world().company();
    let (mut named, mut all, mut recipients) = (0, 0, 0);
    let mut next = kit.store.log_range(&kit.tenant).start;
    while let Some(block) = kit.store.read(&kit.tenant, next).unwrap() {
        let batch = &block.batch;
        batch.check().unwrap();
        for row in 0..batch.len() {
            all += 1;
            let user = company
                .users
                .iter()
                .find(|user| user.id.to_string() == batch.text("actor.id", row));
            if let Some(user) = user {
                named += 1;
                assert_eq!(batch.text("actor", row), user.email.to_lowercase());
                assert_eq!(batch.integer("actor.external", row), Some(i64::from(!user.internal())));
                assert_ne!(batch.text("actor.status", row), "");
            }
            recipients += i64::from(batch.integer("recipient.external", row) == Some(1));
        }
        next = block.info.end_sequence();
    }
    println!("{all} activities, {named} by users of the plan, {recipients} to outsiders");
    assert!(named * 10 > all * 8 && recipients > 0);
}
