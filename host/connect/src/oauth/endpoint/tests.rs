use super::*;
use crate::client::Hosts;
use crate::testing::{CLIENT_SECRET, Fault, Rig, Toy, description};
use casbah_model::adapter::ClientGrant;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::json;

struct Setup {
    toy: Toy,
    endpoint: TokenEndpoint,
    held: Grant,
}

async fn setup(authentication: ClientAuthentication) -> Setup {
    let toy = Toy::start().await;
    let hosts = Hosts::resolve(&description(), None, &toy.hosts()).unwrap();
    let mut server = Server::consent(&description(), &hosts, &json!({})).unwrap();
    server.authentication = authentication;
    let mut held = Grant::personal(&"access-old".into(), 0).unwrap();
    held.refresh = Some("refresh-old-1234".into());
    held.scopes = server.scopes.clone();
    toy.world().refresh = Some("refresh-old-1234".to_owned());
    let endpoint = TokenEndpoint {
        http: Http::new("1").unwrap(),
        clock: Clock::new(),
        server,
        credentials: Rig::credentials(),
        patience: Duration::from_millis(400),
    };
    Setup { toy, endpoint, held }
}

impl Setup {
    async fn refresh(&self, status: u16, body: &str) -> Result<Grant, TokenFailure> {
        let answer = Fault::Answer(status, Vec::new(), body.to_owned());
        self.toy.world().token_faults.push_back(answer);
        self.endpoint.refresh(&self.held).await
    }

    async fn token(&self, body: serde_json::Value) -> Grant {
        self.refresh(200, &body.to_string()).await.unwrap()
    }
}

fn good(more: serde_json::Value) -> serde_json::Value {
    let mut body = json!({"access_token": "new", "refresh_token": "newer", "token_type": "BEARER"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn the_client_proves_itself_as_the_app_wants_it() {
    let odd = |mut setup: Setup| {
        setup.endpoint.credentials = ClientCredentials {
            id: "a|b".to_owned(),
            secret: Some("s+/ecret".into()),
            certificate: None,
        };
        setup
    };
    let sent = |setup: &Setup| setup.toy.world().seen.pop().unwrap();

    let body = odd(setup(ClientAuthentication::Body).await);
    body.endpoint.refresh(&body.held).await.unwrap();
    let seen = sent(&body);
    assert_eq!(seen.form()["client_id"], "a|b");
    assert_eq!(seen.form()["client_secret"], "s+/ecret");
    assert_eq!(seen.header("authorization"), "");
    assert!(seen.query.is_empty(), "nothing in the address");

    let basic = odd(setup(ClientAuthentication::Basic).await);
    basic.endpoint.refresh(&basic.held).await.unwrap();
    let seen = sent(&basic);
    assert_eq!(
        seen.header("authorization"),
        format!("Basic {}", STANDARD.encode("a%7Cb:s%2B%2Fecret"))
    );
    assert!(!seen.body.contains("ecret"));

    let raw = odd(setup(ClientAuthentication::BasicRaw).await);
    raw.endpoint.refresh(&raw.held).await.unwrap();
    let seen = sent(&raw);
    assert_eq!(seen.header("authorization"), format!("Basic {}", STANDARD.encode("a|b:s+/ecret")));
    assert!(!seen.body.contains("ecret"));
}

/// Without a person the client asks for itself, and what it is called is put together as the app wants
/// it: NetDocuments takes client and repository, and the bar between them unencoded.
#[tokio::test]
async fn an_application_proves_itself_by_an_id_that_is_put_together() {
    for (authentication, expected) in [
        (ClientAuthentication::BasicRaw, format!("AP-1|CA-1:{CLIENT_SECRET}")),
        (ClientAuthentication::Basic, format!("AP-1%7CCA-1:{CLIENT_SECRET}")),
        (ClientAuthentication::Body, String::new()),
    ] {
        let toy = Toy::start().await;
        let mut description = description();
        description.oauth.as_mut().unwrap().client_credentials = Some(ClientGrant {
            scopes: vec!["read".to_owned(), "{host.api}/.default".to_owned()],
            client_authentication: authentication,
            client_id: "{client}|{setting.repository}".to_owned(),
            certificate: false,
        });
        description.oauth.as_mut().unwrap().token.path = "/{setting.path}".to_owned();
        let hosts = Hosts::resolve(&description, None, &toy.hosts()).unwrap();
        let settings = json!({"repository": "CA-1", "path": "token"});
        let credentials = ClientCredentials { id: "AP-1".to_owned(), ..Rig::credentials() };
        let (http, clock) = (Http::new("1").unwrap(), Clock::new());
        let grant =
            Grant::of_client(&description, &hosts, &settings, &credentials, &http, &clock).await;
        let grant = grant.unwrap();
        assert_eq!(grant.method, Method::Service);
        assert!(grant.refresh.is_none() && grant.is_renewable());
        let seen = toy.world().seen.pop().unwrap();
        let basic = seen.header("authorization").strip_prefix("Basic ").unwrap_or_default();
        assert_eq!(String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap(), expected);
        let form = seen.form();
        assert_eq!(form["grant_type"], "client_credentials");
        assert_eq!(form["scope"], format!("read http://{}/api/.default", toy.address));
        if authentication == ClientAuthentication::Body {
            assert_eq!(form["client_id"], "AP-1|CA-1");
            assert_eq!(form["client_secret"], CLIENT_SECRET);
        } else {
            assert_eq!(form.len(), 2, "{form:?}");
        }
        // What is missing is told, and nothing is sent.
        let missing = json!({"path": "token"});
        let error =
            Grant::of_client(&description, &hosts, &missing, &credentials, &http, &clock).await;
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::Configuration);
        assert!(error.to_string().contains("`repository`"), "{error}");
        assert!(toy.world().seen.is_empty());
    }
}

#[tokio::test]
async fn tokens_are_read_flat_or_wrapped_with_lives_in_every_form() {
    let setup = setup(ClientAuthentication::Body).await;
    let day = Some(Duration::from_secs(86_400));
    for (life, expected) in [
        (json!(86_400), day),
        (json!("86400"), day),
        (json!(86_400.9), day),
        (json!(" 86400.5 "), day),
        (json!(0), None),
        (json!(-5), None),
        (json!("soon"), None),
        (json!(null), None),
        (json!([1]), None),
        (json!(1e300), Some(Duration::from_secs(315_360_000))),
    ] {
        let grant = setup.token(good(json!({"expires_in": life}))).await;
        assert_eq!(grant.life, expected, "{life}");
        assert_eq!(grant.expires.is_some(), expected.is_some());
        let grant = setup.token(json!({"token": good(json!({"expires_in": life}))})).await;
        assert_eq!(grant.life, expected, "wrapped {life}");
    }
    let grant = setup.token(good(json!({}))).await;
    assert_eq!(grant.life, None, "missing");
    assert_eq!(grant.access.expose_secret(), "new");
    assert_eq!(grant.refresh.unwrap().expose_secret(), "newer");
    let before = setup.endpoint.clock.now();
    let grant = setup.token(good(json!({"expires_in": 100}))).await;
    assert!(grant.expires.unwrap() <= setup.endpoint.clock.now() + 100_000);
    assert!(grant.expires.unwrap() >= before + 99_000);
}

#[tokio::test]
async fn a_missing_refresh_token_keeps_the_old_and_scopes_are_compared() {
    let setup = setup(ClientAuthentication::Body).await;
    for none in [json!({"refresh_token": ""}), json!({"refresh_token": null})] {
        let grant = setup.token(good(none)).await;
        assert_eq!(grant.refresh.unwrap().expose_secret(), "refresh-old-1234");
    }
    let grant = setup.token(good(json!({"scope": "READ_EVENTS"}))).await;
    assert_eq!(grant.missing_scopes, ["READ_USERS"]);
    let grant = setup.token(good(json!({"scope": "READ_USERS,READ_EVENTS EXTRA"}))).await;
    assert_eq!((grant.scopes.len(), grant.missing_scopes.len()), (3, 0));
    for same in [json!({}), json!({"scope": ""}), json!({"scope": 7})] {
        assert_eq!(setup.token(good(same)).await.missing_scopes.len(), 0);
    }
}

#[tokio::test]
async fn what_is_no_token_is_an_error_whatever_the_status() {
    let setup = setup(ClientAuthentication::Body).await;
    let mut messages = Vec::new();
    for (status, body, class) in [
        (200, "<html>sign in</html>".to_owned(), Class::Malformed),
        (200, String::new(), Class::Malformed),
        (200, "[]".to_owned(), Class::Malformed),
        (200, "{}".to_owned(), Class::Malformed),
        (200, good(json!({"error": "invalid_grant"})).to_string(), Class::Dead),
        (200, good(json!({"token_type": "mac"})).to_string(), Class::Malformed),
        (200, good(json!({"access_token": ""})).to_string(), Class::Malformed),
        (200, good(json!({"access_token": "a\nb: c"})).to_string(), Class::Malformed),
        (200, good(json!({"access_token": "ä"})).to_string(), Class::Malformed),
        (200, good(json!({"refresh_token": "a b"})).to_string(), Class::Malformed),
        (302, "{}".to_owned(), Class::Malformed),
        (307, good(json!({})).to_string(), Class::Malformed),
        (200, format!("{{\"x\":\"{}\"}}", "x".repeat(70_000)), Class::Malformed),
        (
            400,
            r#"{"error":"invalid_grant","errorCode":"1071","message":"Refresh token expired"}"#
                .to_owned(),
            Class::Dead,
        ),
        (401, r#"{"error":"invalid_client","errorCode":1067}"#.to_owned(), Class::Configuration),
        (
            400,
            r#"{"error":"invalid_scope","error_description":"no\r\nsuch scope"}"#.to_owned(),
            Class::Configuration,
        ),
        (400, r#"{"errorCode":"1070","message":"Missing member"}"#.to_owned(), Class::Unknown),
        (400, r#"{"error":{"code":"invalid_grant","message":"gone"}}"#.to_owned(), Class::Unknown),
        (401, r#"{"error":{"error":"invalid_grant","details":"gone"}}"#.to_owned(), Class::Dead),
        (401, "<html>sign in again</html>".to_owned(), Class::Unknown),
        (400, "nonsense".to_owned(), Class::Unknown),
        (429, "slow down".to_owned(), Class::Busy),
        (503, "<html>".to_owned(), Class::Busy),
        (400, r#"{"error":"temporarily_unavailable"}"#.to_owned(), Class::Busy),
        (502, "<html>".to_owned(), Class::Unclear),
        (500, r#"{"errorCode":4000,"message":"oops"}"#.to_owned(), Class::Unclear),
    ] {
        let failure = setup.refresh(status, &body).await.unwrap_err();
        let shown: String = body.chars().take(60).collect();
        assert_eq!(failure.class, class, "{status} {shown}");
        messages.push(failure.into_error(&setup.endpoint.server, "refresh").to_string());
    }
    messages.dedup();
    assert_snapshot!(messages.join("\n--\n"), @r"
    Toy at `127.0.0.1` refused the refresh: it sent something that is not JSON with status 200
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: it sent an empty answer with status 200
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: it sent something that is not JSON with status 200
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: the answer holds no token
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: invalid_grant
    hint: connect again with `casbah connect`
    --
    Toy at `127.0.0.1` refused the refresh: the token is not a bearer token
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: the access token has characters that no token has
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: the refresh token has characters that no token has
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: it answered with a redirect (status 302), which is not followed
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: it answered with a redirect (status 307), which is not followed
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: the answer is larger than 65536 bytes
    hint: check the region and the addresses: this does not look like the app's token end point
    --
    Toy at `127.0.0.1` refused the refresh: Refresh token expired (invalid_grant), code 1071
    hint: connect again with `casbah connect`
    --
    Toy at `127.0.0.1` refused the refresh: invalid_client, code 1067
    hint: check client id, client secret and scopes against those registered with the app
    --
    Toy at `127.0.0.1` refused the refresh: no such scope (invalid_scope)
    hint: check client id, client secret and scopes against those registered with the app
    --
    Toy at `127.0.0.1` refused the refresh: Missing member, code 1070
    hint: check the region, client id and client secret
    --
    Toy at `127.0.0.1` refused the refresh: gone
    hint: check the region, client id and client secret
    --
    Toy at `127.0.0.1` refused the refresh: gone (invalid_grant)
    hint: connect again with `casbah connect`
    --
    Toy at `127.0.0.1` refused the refresh: it sent something that is not JSON with status 401
    hint: check the region, client id and client secret
    --
    Toy at `127.0.0.1` refused the refresh: it sent something that is not JSON with status 400
    hint: check the region, client id and client secret
    --
    Toy at `127.0.0.1` did not carry out the refresh: it sent something that is not JSON with status 429
    hint: try again in a while, or check the network
    --
    Toy at `127.0.0.1` did not carry out the refresh: it sent something that is not JSON with status 503
    hint: try again in a while, or check the network
    --
    Toy at `127.0.0.1` did not carry out the refresh: temporarily_unavailable
    hint: try again in a while, or check the network
    --
    Toy at `127.0.0.1` did not carry out the refresh: it sent something that is not JSON with status 502
    hint: check the network to the app
    --
    Toy at `127.0.0.1` did not carry out the refresh: oops, code 4000
    hint: check the network to the app
    ");
    assert_eq!(
        setup.toy.count("/api/token"),
        setup.toy.world().seen.len(),
        "no redirect was followed"
    );
}

/// A server that repeats what it was sent must not bring secrets into messages.
#[tokio::test]
async fn an_error_that_repeats_secrets_is_cleaned() {
    let setup = setup(ClientAuthentication::Body).await;
    let echo =
        json!({"error": "x", "message": format!("bad refresh-old-1234 with {CLIENT_SECRET}")});
    let failure = setup.refresh(400, &echo.to_string()).await.unwrap_err();
    assert_eq!(failure.message, "bad *** with *** (x)");
}

/// Nor may a piece of one, which is all that is left of a long secret in a message cut to length.
#[tokio::test]
async fn a_long_secret_is_not_cut_in_two() {
    let mut setup = setup(ClientAuthentication::Body).await;
    let long = "piece-of-a-token-".repeat(30);
    setup.held.refresh = Some(long.as_str().into());
    let echo = json!({"error": "x", "error_description": format!("bad {long} {}", "a".repeat(90))});
    let failure = setup.refresh(400, &echo.to_string()).await.unwrap_err();
    assert_eq!(failure.message, format!("bad *** {} (x)", "a".repeat(90)));
    // As some write JSON: the slash has a backslash before it.
    setup.held.refresh = Some("one/two/three".into());
    let echo = r#"{"error": "x", "message": "bad one\/two\/three"}"#;
    let failure = setup.refresh(400, echo).await.unwrap_err();
    assert_eq!(failure.message, "bad *** (x)");
}

#[tokio::test]
async fn a_busy_server_names_its_time_and_a_silent_one_is_unclear() {
    let setup = setup(ClientAuthentication::Body).await;
    let headers = vec![("retry-after", "17".to_owned())];
    setup.toy.world().token_faults.push_back(Fault::Answer(503, headers, String::new()));
    let busy = setup.endpoint.refresh(&setup.held).await.unwrap_err();
    assert_eq!((busy.class, busy.retry_after), (Class::Busy, Some(Duration::from_secs(17))));
    setup.toy.world().token_faults.push_back(Fault::Slow(Duration::from_secs(5)));
    let silent = setup.endpoint.refresh(&setup.held).await.unwrap_err();
    assert_eq!(
        (silent.class, silent.message.as_str()),
        (Class::Unclear, "it did not answer in time")
    );
}

#[tokio::test]
async fn a_grant_is_revoked_as_the_app_wants_it() {
    let mut setup = setup(ClientAuthentication::Body).await;
    setup.endpoint.revoke(&setup.held).await.unwrap();
    let seen = setup.toy.world().seen.pop().unwrap();
    assert_eq!(
        (seen.method.as_str(), seen.header("authorization")),
        ("DELETE", "Bearer access-old")
    );

    let url = setup.endpoint.server.token.join("revoke").unwrap();
    setup.endpoint.server.revoke = Some((url, "POST".to_owned()));
    setup.endpoint.revoke(&setup.held).await.unwrap();
    let form = setup.toy.world().seen.pop().unwrap().form();
    assert_eq!(form["token"], "refresh-old-1234");
    assert_eq!(form["token_type_hint"], "refresh_token");
    assert_eq!(form["client_secret"], CLIENT_SECRET);

    let headers = vec![("retry-after", "2".to_owned())];
    setup.toy.world().revoke_faults.push_back(Fault::Answer(503, headers, String::new()));
    let busy = setup.endpoint.revoke(&setup.held).await.unwrap_err();
    assert_eq!((busy.class, busy.retry_after), (Class::Busy, Some(Duration::from_secs(2))));
    let gone = r#"{"error":"invalid_request"}"#.to_owned();
    setup.toy.world().revoke_faults.push_back(Fault::Answer(400, Vec::new(), gone));
    assert_eq!(setup.endpoint.revoke(&setup.held).await.unwrap_err().class, Class::Configuration);
}

proptest! {
    /// Whatever a server sends, it is read without a panic, and a success is a JSON object.
    #[test]
    fn any_answer_is_read(status in 200u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(bytes) = normalized(status, &body) {
            prop_assert!(serde_json::from_slice::<Map<String, Value>>(&bytes).is_ok());
        }
    }
}
