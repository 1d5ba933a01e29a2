use super::*;
use crate::testing::{Fault, Rig};
use insta::assert_snapshot;
use serde_json::json;

/// The tokens of a rig's connection, with little patience.
fn tokens(rig: &Rig) -> Tokens {
    let server = Server::consent(&rig.adapter.description, &rig.hosts(), &json!({})).unwrap();
    let keeping = Keeping {
        tenant: rig.tenant.clone(),
        connection: rig.name.clone(),
        store: rig.store.clone(),
        vault: rig.vault.clone(),
        http: Http::new("1").unwrap(),
        clock: rig.clock.clone(),
        server: Some(server),
        minute: Duration::from_secs(60),
    };
    Tokens::with_patience(keeping, Duration::from_millis(300))
}

fn text(bearer: &Bearer) -> &str {
    bearer.token.expose_secret()
}

/// What the store holds, as another process would read it.
fn stored(rig: &Rig) -> Grant {
    let place = Place { tenant: &rig.tenant, connection: &rig.name, name: TOKEN };
    let opened = rig.vault.get(rig.store.as_ref(), place).unwrap().unwrap();
    Grant::decode(opened.secret.expose_secret()).unwrap()
}

#[tokio::test]
async fn a_token_is_kept_until_it_is_near_its_end() {
    let rig = Rig::new().await;
    rig.connect().await;
    let tokens = tokens(&rig);
    for _ in 0..3 {
        assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0001");
    }
    rig.clock.advance(3_600_000 - 301_000);
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0001");
    rig.clock.advance(100_000);
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002", "five minutes early");
    assert_eq!(rig.toy.count("/api/token"), 1);
    assert_eq!(stored(&rig).refresh.unwrap().expose_secret(), "refresh-0002");
}

/// A clock that is set an hour ahead or back costs at most a refresh, never the connection.
#[tokio::test]
async fn a_clock_that_is_set_does_no_harm() {
    for jump in [3_600_000, -3_600_000, 86_400_000 * 400] {
        let rig = Rig::new().await;
        rig.connect().await;
        let tokens = tokens(&rig);
        tokens.bearer().await.unwrap();
        rig.clock.advance(jump);
        let bearer = tokens.bearer().await.unwrap();
        assert!(rig.toy.world().access.contains(text(&bearer)), "{jump}");
    }
}

#[tokio::test]
async fn twenty_tasks_at_once_make_one_refresh() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    rig.toy.world().token_faults.push_back(Fault::Slow(Duration::from_millis(50)));
    let tokens = tokens(&rig);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let tokens = tokens.clone();
        tasks.spawn(async move { text(&tokens.bearer().await.unwrap()).to_owned() });
    }
    let all = tasks.join_all().await;
    assert!(all.iter().all(|token| token == "access-0002"), "{all:?}");
    assert_eq!(rig.toy.count("/api/token"), 1);
}

/// The same for two owners of the same connection that know nothing of each other: whoever comes
/// second finds what the first stored.
#[tokio::test]
async fn a_grant_that_somebody_else_renewed_is_read_again() {
    let rig = Rig::new().await;
    rig.connect().await;
    let (one, two) = (tokens(&rig), tokens(&rig));
    one.bearer().await.unwrap();
    two.bearer().await.unwrap();
    rig.clock.advance(4_000_000);
    assert_eq!(text(&one.bearer().await.unwrap()), "access-0002");
    assert_eq!(text(&two.bearer().await.unwrap()), "access-0002", "not reconnect needed");
}

/// Nobody gets a token that is not durable: while the store fails there is none, and what was
/// obtained is stored as soon as that works again, without asking the app twice.
#[tokio::test]
async fn a_new_pair_is_stored_before_it_is_used() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    let tokens = tokens(&rig);
    rig.store.failing.store(2, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..2 {
        assert_eq!(tokens.bearer().await.unwrap_err().kind(), ConnectErrorKind::Store);
        assert_eq!(stored(&rig).access.expose_secret(), "access-0001");
    }
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002");
    assert_eq!(stored(&rig).access.expose_secret(), "access-0002");
    assert_eq!(rig.toy.count("/api/token"), 1);
}

/// A crash between the answer and the write: the new pair is gone, the old one is dead, and that is
/// said in words.
#[tokio::test]
async fn a_crash_between_answer_and_write_ends_in_reconnect_needed() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    let crashing = tokens(&rig);
    rig.store.failing.store(1, std::sync::atomic::Ordering::SeqCst);
    crashing.bearer().await.unwrap_err();
    drop(crashing);
    let restarted = tokens(&rig);
    let error = restarted.bearer().await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Reconnect);
    assert_snapshot!(error, @r"
    Toy ended the consent for connection `acme`: expired (invalid_grant), code 1071
    hint: connect again with `casbah connect toy --name acme --replace`
    ");
    assert_eq!(rig.toy.count("/api/token"), 2);
    restarted.bearer().await.unwrap_err();
    assert_eq!(rig.toy.count("/api/token"), 2, "a dead grant is not tried again");
}

#[tokio::test]
async fn an_unclear_refresh_is_tried_once_more() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    let silence = || Fault::Slow(Duration::from_millis(600));
    // The answer is lost, but the app has not changed anything: it is asked before it is served.
    rig.toy.world().token_faults.push_back(Fault::Answer(502, Vec::new(), String::new()));
    let tokens = tokens(&rig);
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002");
    assert_eq!(rig.toy.count("/api/token"), 2);
    // The answer is lost after the app changed the pair: one more try, and no third.
    rig.clock.advance(4_000_000);
    rig.toy.world().token_faults.extend([silence(), silence()]);
    let error = tokens.bearer().await.unwrap_err();
    assert!(matches!(error.kind(), ConnectErrorKind::Network | ConnectErrorKind::Reconnect));
    assert_eq!(rig.toy.count("/api/token"), 4);
}

#[tokio::test]
async fn an_early_refresh_that_fails_leaves_the_good_token_in_use() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(3_500_000);
    let busy = |seconds: &str| {
        Fault::Answer(503, vec![("retry-after", seconds.to_owned())], String::new())
    };
    rig.toy.world().token_faults.push_back(busy("600"));
    let tokens = tokens(&rig);
    for _ in 0..5 {
        assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0001");
    }
    assert_eq!(rig.toy.count("/api/token"), 1, "and is not tried with every request");
    rig.clock.advance(200_000);
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002", "until it has run out");
    rig.clock.advance(4_000_000);
    rig.toy.world().token_faults.push_back(busy("7"));
    let error = tokens.bearer().await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Busy);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
}

/// A refused token is refreshed once; when the fresh one is refused, too, that is the end of it for
/// a minute: no storm of refreshes.
#[tokio::test]
async fn refusals_make_at_most_one_refresh_a_minute() {
    let rig = Rig::new().await;
    rig.connect().await;
    let tokens = tokens(&rig);
    let first = tokens.bearer().await.unwrap();
    assert_eq!(tokens.refused(&first).await.unwrap(), Retry::Now);
    let second = tokens.bearer().await.unwrap();
    assert_eq!(text(&second), "access-0002");
    assert_eq!(tokens.refused(&first).await.unwrap(), Retry::Now, "a late refusal of the old one");
    for _ in 0..10 {
        assert_eq!(tokens.refused(&second).await.unwrap(), Retry::Pointless);
    }
    assert_eq!(rig.toy.count("/api/token"), 1);
    tokens.worked(&second);
    assert!(matches!(tokens.refused(&second).await.unwrap(), Retry::At(_)));
    assert_eq!(rig.toy.count("/api/token"), 1);
}

#[tokio::test]
async fn a_token_made_by_hand_gets_a_second_chance_and_no_third() {
    let rig = Rig::new().await;
    rig.connect().await;
    let grant = Grant::personal(&" personal-1 \n".into(), rig.clock.now()).unwrap();
    let place = Place { tenant: &rig.tenant, connection: &rig.name, name: TOKEN };
    let mut commit = Commit::new();
    commit.writes.push(rig.vault.put(place, &grant.encode().unwrap()).unwrap());
    rig.store.commit(&rig.tenant, commit).unwrap();
    let tokens = tokens(&rig);
    let bearer = tokens.bearer().await.unwrap();
    assert_eq!(text(&bearer), "personal-1");
    tokens.worked(&bearer);
    assert!(matches!(tokens.refused(&bearer).await.unwrap(), Retry::At(_)));
    let error = tokens.refused(&bearer).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Reconnect);
    assert_eq!(tokens.bearer().await.unwrap_err().kind(), ConnectErrorKind::Reconnect);
    assert_eq!(rig.toy.count("/api/token"), 0);
    assert_snapshot!(error, @r"
    the app does not accept the token of connection `acme`
    hint: make a new token in the app and connect again: `casbah connect APP --name acme --replace`
    ");
    assert_snapshot!(Grant::personal(&"two words".into(), 0).unwrap_err(), @r"
    what was given is not an access token: a token is one word of printable characters
    hint: paste the token alone, without `Bearer` and without quotes
    ");
}

/// A refresh under way is carried to its end when whoever asked for it goes away.
#[tokio::test]
async fn a_refresh_is_not_dropped_half_way() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    rig.toy.world().token_faults.push_back(Fault::Slow(Duration::from_millis(100)));
    let tokens = tokens(&rig);
    let asked = tokio::time::timeout(Duration::from_millis(30), tokens.bearer()).await;
    assert!(asked.is_err(), "the asker went away");
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002");
    assert_eq!(rig.toy.count("/api/token"), 1);
    assert_eq!(stored(&rig).access.expose_secret(), "access-0002");
}

/// An application has no refresh token: a new token is asked for as the first was, in time and when
/// one is refused, by one task for all, and no more than that.
#[tokio::test]
async fn an_application_gets_new_tokens_by_itself() {
    let rig = Rig::of_application().await;
    rig.connect_application().await;
    let kept = rig.connections.kept(&rig.tenant, &rig.name, &rig.adapter.description).unwrap();
    let tokens = kept.tokens;
    let first = tokens.bearer().await.unwrap();
    assert_eq!(text(&first), "access-0001");
    rig.clock.advance(3_600_000 - 200_000);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let tokens = tokens.clone();
        tasks.spawn(async move { text(&tokens.bearer().await.unwrap()).to_owned() });
    }
    let all = tasks.join_all().await;
    assert!(all.iter().all(|token| token == "access-0002"), "{all:?}");
    assert_eq!(rig.toy.count("/api/token"), 1);
    assert!(stored(&rig).refresh.is_none());
    assert_eq!(tokens.refused(&first).await.unwrap(), Retry::Now, "the old one");
    let second = tokens.bearer().await.unwrap();
    tokens.worked(&second);
    assert_eq!(tokens.refused(&second).await.unwrap(), Retry::Now);
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0003");
    let third = tokens.bearer().await.unwrap();
    assert_eq!(tokens.refused(&third).await.unwrap(), Retry::Pointless);
    assert_eq!(rig.toy.count("/api/token"), 2);
}

/// A certificate signs for every new token, the first and those that follow from what is kept.
#[tokio::test]
async fn an_application_can_sign_instead_of_giving_a_secret() {
    let rig = Rig::of_application().await;
    let certificate = super::super::certificate::tests::PEM;
    let client = ClientCredentials {
        id: "client-1".to_owned(),
        secret: None,
        certificate: Some(crate::oauth::Certificate::from_pem(certificate.into()).unwrap()),
    };
    rig.connect_application_with(client.clone()).await;
    let kept = rig.connections.kept(&rig.tenant, &rig.name, &rig.adapter.description).unwrap();
    assert_eq!(text(&kept.tokens.bearer().await.unwrap()), "access-0001");
    rig.clock.advance(4_000_000);
    assert_eq!(text(&kept.tokens.bearer().await.unwrap()), "access-0002");
    let seen = rig.toy.world().seen.pop().unwrap();
    let form = seen.form();
    assert_eq!(form["client_id"], "client-1");
    assert_eq!(
        form["client_assertion_type"],
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    );
    assert!(!form.contains_key("client_secret") && seen.header("authorization").is_empty());
    assert_eq!(rig.toy.world().assertions.len(), 2, "each is used once");

    let mut description = rig.adapter.description.clone();
    let oauth = description.oauth.as_mut().unwrap();
    oauth.client_credentials.as_mut().unwrap().certificate = false;
    let (hosts, http) = (rig.hosts(), Http::new("1").unwrap());
    let refused =
        Grant::of_client(&description, &hosts, &json!({}), &client, &http, &rig.clock).await;
    assert_snapshot!(refused.unwrap_err(), @r"
    Toy takes no certificate
    hint: give the client secret instead
    ");
}

/// Secrets of applications run out. That is said as what it is, and mending it in the app is enough.
#[tokio::test]
async fn a_secret_that_has_run_out_is_told_as_that() {
    let rig = Rig::of_application().await;
    rig.connect_application().await;
    rig.toy.world().client_secret = "another".to_owned();
    rig.clock.advance(3_600_000);
    let kept = rig.connections.kept(&rig.tenant, &rig.name, &rig.adapter.description).unwrap();
    let error = kept.tokens.bearer().await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Configuration);
    let message = error.to_string();
    rig.toy.world().client_secret = crate::testing::CLIENT_SECRET.to_owned();
    assert_eq!(text(&kept.tokens.bearer().await.unwrap()), "access-0002");
    let gone = Fault::Answer(400, Vec::new(), r#"{"error":"invalid_grant"}"#.to_owned());
    rig.clock.advance(3_600_000);
    rig.toy.world().token_faults.push_back(gone);
    let dead = kept.tokens.bearer().await.unwrap_err();
    assert_eq!(dead.kind(), ConnectErrorKind::Reconnect);
    assert_snapshot!(format!("{message}\n{dead}"), @r"
    Toy at `127.0.0.1` refused the refresh of the token: run out (invalid_client)
    hint: see that the application is still registered and its secret has not run out; a new secret is given with `casbah connect toy --name acme --replace`
    Toy does not let in the application of connection `acme`: invalid_grant
    hint: connect again with `casbah connect toy --name acme --replace`
    ");
}

/// Some apps answer a dead grant with a page for people.
#[tokio::test]
async fn a_refresh_that_is_refused_without_a_reason_names_the_way_out() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.clock.advance(4_000_000);
    let page = Fault::Answer(401, Vec::new(), "<html>Session expired</html>".to_owned());
    rig.toy.world().token_faults.push_back(page);
    let tokens = tokens(&rig);
    assert_snapshot!(tokens.bearer().await.unwrap_err(), @r"
    Toy at `127.0.0.1` refused the refresh of the token: it sent something that is not JSON with status 401
    hint: if this goes on, connect again with `casbah connect toy --name acme --replace`
    ");
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002", "it was not the end");
}

#[tokio::test]
async fn a_token_without_a_known_life_is_used_until_it_is_refused() {
    let rig = Rig::new().await;
    rig.toy.world().expires_in = json!(null);
    rig.connect().await;
    let tokens = tokens(&rig);
    rig.clock.advance(86_400_000 * 365);
    let bearer = tokens.bearer().await.unwrap();
    assert_eq!(text(&bearer), "access-0001");
    assert_eq!(tokens.refused(&bearer).await.unwrap(), Retry::Now);
    assert_eq!(text(&tokens.bearer().await.unwrap()), "access-0002");
}

/// Nothing that is printed, whatever way, shows a token or secret.
#[tokio::test]
async fn nothing_prints_a_secret() {
    let rig = Rig::new().await;
    rig.connect().await;
    let tokens = tokens(&rig);
    let bearer = tokens.bearer().await.unwrap();
    let printed = format!(
        "{bearer:?} {tokens:?} {:?} {:?} {:?}",
        stored(&rig),
        Rig::credentials(),
        rig.vault
    );
    for secret in ["access-0001", "refresh-0001", crate::testing::CLIENT_SECRET] {
        assert!(!printed.contains(secret), "{printed}");
    }
}
