//! Sign-in and tokens, rule by rule.

use std::time::Duration;

use smartsheet_sim::{Config, Consent, Pkce, SignIn, Sim, hash_of};

use crate::support::{Client, code, config, exchange, pair, parameter, refresh, sign_in, start};

fn with(sign_in: SignIn) -> Sim {
    Sim::start(Config { sign_in, ..config() }).unwrap()
}

/// What is sent, and the status, code and `error` that come back.
type Refusal<'a> = (&'a [(&'a str, &'a str)], u16, u64, &'a str);

const GOOD: &str =
    "response_type=code&client_id=casbah-test-client&scope=READ_EVENTS&state=a%20b%2Fc";

#[tokio::test]
async fn the_sign_in_page_answers_to_the_registered_address() {
    let sim = start();
    let client = Client::new(&sim);
    let to = "redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback";
    let cases = [
        // Query, status, address it goes to, error.
        (GOOD.to_owned(), 303, "http://127.0.0.1/callback?", ""),
        (format!("{GOOD}&{to}"), 303, "http://127.0.0.1:4711/callback?", ""),
        (GOOD.replace("READ_EVENTS", "READ_EVENTS,READ_USERS"), 303, "http://127.0.0.1/", ""),
        (GOOD.replace("=code", "=token"), 303, "http://127.0.0.1/", "unsupported_response_type"),
        (GOOD.replace("READ_EVENTS", "READ_ALL"), 303, "http://127.0.0.1/", "invalid_scope"),
        (GOOD.replace("&scope=READ_EVENTS", ""), 303, "http://127.0.0.1/", "invalid_scope"),
        (GOOD.replace("casbah-test-client", "other"), 401, "", ""),
        (format!("{GOOD}&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fother"), 400, "", ""),
        (format!("{GOOD}&redirect_uri=http%3A%2F%2Fevil.example%2Fcallback"), 400, "", ""),
        (format!("{GOOD}&redirect_uri=https%3A%2F%2F127.0.0.1%2Fcallback"), 400, "", ""),
    ];
    for (query, status, to, error) in cases {
        let request = client.request("GET", &format!("/b/authorize?{query}"));
        let reply = client.send(request).await.unwrap();
        assert_eq!(reply.status, status, "{query}: {}", reply.text);
        let Some(location) = reply.header("location") else {
            assert!(status >= 400, "{query}: no address to go to");
            let code = if status == 401 { 1067 } else { 1073 };
            assert_eq!(reply.error(), (status, code), "{query}");
            continue;
        };
        assert!(location.starts_with(to), "{query}: {location}");
        assert_eq!(parameter(location, "state").as_deref(), Some("a b/c"), "{query}");
        assert_eq!(parameter(location, "error").unwrap_or_default(), error, "{query}");
        assert_eq!(parameter(location, "code").is_some(), error.is_empty(), "{query}");
        if error.is_empty() {
            let life = parameter(location, "expires_in");
            assert_eq!(life.as_deref(), Some("599135"), "milliseconds, not seconds");
        }
    }
}

#[tokio::test]
async fn consent_can_be_denied_and_can_be_asked_for() {
    let sim = with(SignIn { consent: Consent::Deny, ..SignIn::default() });
    let client = Client::new(&sim);
    let reply = client.send(client.request("GET", &format!("/b/authorize?{GOOD}"))).await.unwrap();
    let location = reply.header("location").unwrap();
    assert_eq!(parameter(location, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(location, "state").as_deref(), Some("a b/c"));

    let sim = with(SignIn { consent: Consent::Ask, ..SignIn::default() });
    let client = Client::new(&sim);
    let path = format!("/b/authorize?{GOOD}");
    let page = client.send(client.request("GET", &path)).await.unwrap();
    assert_eq!(page.status, 200);
    assert!(page.text.contains("<button name=\"consent\" value=\"allow\">"), "{}", page.text);
    let pressed = client.request("POST", &path).form(&[("consent", "allow")]);
    let reply = client.send(pressed).await.unwrap();
    assert!(parameter(reply.header("location").unwrap(), "code").is_some());
    let pressed = client.request("POST", &path).form(&[("consent", "deny")]);
    let reply = client.send(pressed).await.unwrap();
    assert!(parameter(reply.header("location").unwrap(), "error").is_some());
}

#[tokio::test]
async fn the_token_endpoint_refuses_with_the_documented_codes() {
    let sim = start();
    let client = Client::new(&sim);
    let good = code(&client, "").await;
    let id = ("client_id", "casbah-test-client");
    let secret = ("client_secret", "casbah-test-secret");
    let grant = ("grant_type", "authorization_code");
    let given = ("code", good.as_str());
    let cases: &[Refusal] = &[
        (&[], 400, 1070, "invalid_request"),
        (&[grant, secret, given], 400, 1070, "invalid_request"),
        (&[grant, id, secret], 400, 1070, "invalid_request"),
        (&[("grant_type", "refresh_token"), id, secret], 400, 1070, "invalid_request"),
        (&[grant, ("client_id", "x"), secret, given], 401, 1067, "invalid_client"),
        (&[("grant_type", "password"), id, secret], 400, 1068, "unsupported_grant_type"),
        (&[grant, id, given], 400, 1236, "invalid_request"),
        (&[grant, id, secret, ("hash", "00"), given], 400, 1237, "invalid_request"),
        (&[grant, id, ("client_secret", "x"), given], 400, 1238, "invalid_client"),
        (&[grant, id, ("hash", "00"), given], 400, 1072, "invalid_grant"),
        (&[grant, id, secret, ("code", "x")], 400, 1071, "invalid_grant"),
        (
            &[("grant_type", "refresh_token"), id, secret, ("refresh_token", "x")],
            400,
            1071,
            "invalid_grant",
        ),
    ];
    for (form, status, code, error) in cases {
        let reply = client.token(form).await;
        assert_eq!(reply.error(), (*status, *code), "{form:?}");
        assert_eq!(reply.json()["error"], *error, "{form:?}");
        assert!(reply.json()["errorCode"].is_string(), "codes are texts here: {}", reply.text);
    }
    // None of these used the code up.
    assert_eq!(client.token(&exchange(&good)).await.status, 200);
}

#[tokio::test]
async fn a_hash_does_in_place_of_the_secret() {
    // Made with sha256sum.
    let known = "e1b183ed2417673d72a5d0390c421c9db041a8616e73c9eb22d3ddf3f012c57f";
    assert_eq!(hash_of("casbah-test-secret", "abc"), known);
    let sim = start();
    let client = Client::new(&sim);
    let given = code(&client, "").await;
    let hash = hash_of("casbah-test-secret", &given);
    let mut form = exchange(&given);
    form[2] = ("hash", &hash);
    let reply = client.token(&form).await;
    let (_, old) = pair(&reply.json());
    let hash = hash_of("casbah-test-secret", &old);
    let mut form = refresh(&old);
    form[2] = ("hash", &hash);
    assert_eq!(client.token(&form).await.status, 200);
}

#[tokio::test]
async fn parameters_in_the_query_are_taken_too() {
    let sim = start();
    let client = Client::new(&sim);
    let given = code(&client, "").await;
    let request = client.request("POST", "/2.0/token").query(&exchange(&given));
    assert_eq!(client.send(request).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_code_is_good_once_and_its_second_use_takes_the_tokens_back() {
    let sim = start();
    let client = Client::new(&sim);
    let given = code(&client, "").await;
    let (access, old) = pair(&client.token(&exchange(&given)).await.json());
    assert_eq!(client.get("/2.0/users/me", &access).await.status, 200);
    assert_eq!(client.token(&exchange(&given)).await.error(), (400, 1071));
    assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, 1002));
    assert_eq!(client.token(&refresh(&old)).await.error(), (400, 1071));
}

#[tokio::test]
async fn a_code_expires() {
    let sim = with(SignIn { code_life: Duration::ZERO, ..SignIn::default() });
    let client = Client::new(&sim);
    let given = code(&client, "").await;
    let reply = client.token(&exchange(&given)).await;
    assert_eq!(reply.error(), (400, 1069));
    assert_eq!(reply.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn every_refresh_gives_a_new_pair_and_ends_the_old_one() {
    let sim = start();
    let client = Client::new(&sim);
    let (mut access, mut old) = sign_in(&client).await;
    for _ in 0..3 {
        let reply = client.token(&refresh(&old)).await;
        assert_eq!(reply.json()["expires_in"], 604_799);
        assert_eq!(reply.json()["token_type"], "bearer");
        let (new_access, new) = pair(&reply.json());
        assert_ne!((&new_access, &new), (&access, &old));
        assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, 1002));
        assert_eq!(client.token(&refresh(&old)).await.error(), (400, 1071));
        assert_eq!(client.get("/2.0/users/me", &new_access).await.status, 200);
        let live = sim.live_tokens();
        assert!(live.contains(&new_access) && live.contains(&new), "canaries are missing");
        assert!(!live.contains(&old), "a dead token is no canary");
        (access, old) = (new_access, new);
    }
    assert_eq!((sim.counters().exchanges, sim.counters().refreshes), (1, 3));
}

#[tokio::test]
async fn tokens_expire_and_a_refresh_helps() {
    let sim = with(SignIn { token_life: Duration::ZERO, ..SignIn::default() });
    let client = Client::new(&sim);
    let (access, old) = sign_in(&client).await;
    assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, 1003));
    assert_eq!(client.token(&refresh(&old)).await.status, 200);
}

#[tokio::test]
async fn answers_can_be_wrapped() {
    let sim = with(SignIn { wrapped: true, ..SignIn::default() });
    let client = Client::new(&sim);
    let given = code(&client, "").await;
    let value = client.token(&exchange(&given)).await.json();
    let (_, old) = pair(&value["token"]);
    assert!(value["access_token"].is_null());
    assert!(client.token(&refresh(&old)).await.json()["token"]["access_token"].is_string());
}

#[tokio::test]
async fn pkce_is_verified_by_the_vector_of_rfc_7636() {
    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let challenge = "&code_challenge_method=S256\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    for (pkce, given_verifier, status) in [
        (Pkce::Verify, Some(verifier), 200),
        (Pkce::Verify, Some("wrong"), 400),
        (Pkce::Verify, None, 400),
        (Pkce::Ignore, Some("wrong"), 200),
        (Pkce::Ignore, None, 200),
    ] {
        let sim = with(SignIn { pkce, ..SignIn::default() });
        let client = Client::new(&sim);
        let given = code(&client, challenge).await;
        let mut form = exchange(&given).to_vec();
        form.extend(given_verifier.map(|verifier| ("code_verifier", verifier)));
        assert_eq!(client.token(&form).await.status, status, "{pkce:?} {given_verifier:?}");
    }
}

#[tokio::test]
async fn a_redirect_address_of_the_exchange_must_be_that_of_the_request() {
    let sim = start();
    let client = Client::new(&sim);
    let asked = "&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2Fcallback";
    for (address, error) in
        [("http://127.0.0.1:4711/callback", (200, 0)), ("http://127.0.0.1:1/callback", (400, 1073))]
    {
        let given = code(&client, asked).await;
        let mut form = exchange(&given).to_vec();
        form.push(("redirect_uri", address));
        assert_eq!(client.token(&form).await.error(), error, "{address}");
    }
}

#[tokio::test]
async fn revoking_ends_the_grant_and_with_all_the_others_of_the_user() {
    let sim = start();
    let client = Client::new(&sim);
    let (first, first_refresh) = sign_in(&client).await;
    let (second, _) = sign_in(&client).await;
    let (third, _) = sign_in(&client).await;
    let reply = client.send(client.request("DELETE", "/2.0/token").bearer_auth(&first)).await;
    let reply = reply.unwrap();
    assert_eq!(reply.json(), serde_json::json!({"message": "SUCCESS", "resultCode": 0}));
    assert_eq!(client.get("/2.0/users/me", &first).await.error(), (401, 1002));
    assert_eq!(client.token(&refresh(&first_refresh)).await.error(), (400, 1071));
    assert_eq!(client.get("/2.0/users/me", &second).await.status, 200);
    let all = client.request("DELETE", "/2.0/token?deleteAllForApiClient=true");
    client.send(all.bearer_auth(&second)).await.unwrap();
    assert_eq!(client.get("/2.0/users/me", &third).await.error(), (401, 1002));
    assert_eq!(sim.counters().revocations, 2);
}

#[tokio::test]
async fn tokens_can_be_ended_from_outside() {
    let sim = start();
    let client = Client::new(&sim);
    let (access, old) = sign_in(&client).await;
    sim.expire_access_tokens();
    assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, 1003));
    let (access, old) = pair(&client.token(&refresh(&old)).await.json());
    sim.kill_access_tokens();
    assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, 1002));
    let (access, old) = pair(&client.token(&refresh(&old)).await.json());
    sim.kill_grants();
    assert_eq!(client.get("/2.0/users/me", &access).await.error(), (401, 1002));
    assert_eq!(client.token(&refresh(&old)).await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn refreshes_at_the_same_moment_are_counted() {
    let sim = start();
    sim.set_fault("token-slow=1:400").unwrap();
    let client = Client::new(&sim);
    let (_, old) = sign_in(&client).await;
    let form = refresh(&old);
    let (one, two) = tokio::join!(client.token(&form), client.token(&form));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400], "the pair can be changed once");
    assert_eq!(sim.counters().refreshes_at_once, 2);
}
