use super::*;
use crate::oauth::Listener;
use crate::stop::stop;
use crate::testing::{CLIENT_SECRET, Rig, Toy, ToyAdapter};

use insta::assert_snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;

const SESSION: &str = "session-1";

struct Setup {
    toy: Toy,
    hosts: Hosts,
    adapter: ToyAdapter,
    clock: Clock,
    sign_ins: Arc<SignIns>,
}

impl Setup {
    async fn new() -> Self {
        Self::with(ToyAdapter::new()).await
    }

    async fn with(adapter: ToyAdapter) -> Self {
        let toy = Toy::start().await;
        let hosts = Hosts::resolve(&adapter.description, Some("us"), &toy.hosts()).unwrap();
        let clock = Clock::new();
        let sign_ins = Arc::new(SignIns::new(clock.clone()));
        Self { toy, hosts, adapter, clock, sign_ins }
    }

    fn start(&self) -> Started {
        self.start_for("https://casbah.example/callback/toy/us", SESSION)
    }

    fn start_for(&self, redirect: &str, session: &str) -> Started {
        let redirect = Redirect::registered(redirect).unwrap();
        self.sign_ins
            .start(
                &self.adapter.description,
                &self.hosts,
                &serde_json::Value::Null,
                Rig::credentials(),
                redirect,
                session,
            )
            .unwrap()
    }

    fn receive(&self, query: &str) -> Result<SignIn, ConnectError> {
        self.sign_ins.receive("/callback/toy/us", query, SESSION)
    }
}

fn query(started: &Started) -> BTreeMap<String, String> {
    started.address.query_pairs().into_owned().collect()
}

fn state(started: &Started) -> String {
    query(started)["state"].clone()
}

/// The vector of RFC 7636, appendix B.
#[test]
fn the_challenge_is_that_of_the_rfc() {
    let verifier = SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(challenge(&verifier).as_str(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[tokio::test]
async fn the_address_for_consent_holds_what_it_must_and_no_secret() {
    let setup = Setup::new().await;
    let (first, second) = (setup.start(), setup.start());
    let (one, two) = (query(&first), query(&second));
    assert_eq!(first.address.path(), "/b/authorize");
    assert_eq!(one["response_type"], "code");
    assert_eq!(one["client_id"], "client-1");
    assert_eq!(one["scope"], "READ_EVENTS READ_USERS");
    assert_eq!(one["redirect_uri"], "https://casbah.example/callback/toy/us");
    assert_eq!(one["code_challenge_method"], "S256");
    assert_ne!(one["state"], two["state"]);
    assert_ne!(one["code_challenge"], two["code_challenge"]);
    let random = URL_SAFE_NO_PAD.decode(&one["state"]).unwrap();
    assert_eq!(random.len(), 32, "256 bits");
    assert!(!first.address.as_str().contains(CLIENT_SECRET));
}

/// An app that checks PKCE is asked with it, and one that must not see it is not.
#[tokio::test]
async fn pkce_and_redirect_are_switches_of_the_adapter() {
    let mut adapter = ToyAdapter::new();
    let oauth = adapter.description.oauth.as_mut().unwrap();
    (oauth.pkce, oauth.send_redirect) = (Pkce::Off, false);
    let setup = Setup::with(adapter).await;
    let started = setup.start();
    let sent = query(&started);
    assert!(!sent.contains_key("code_challenge") && !sent.contains_key("redirect_uri"));
    setup.toy.world().codes.insert("good".to_owned());
    let sign_in = setup.receive(&format!("code=good&state={}", state(&started))).unwrap();
    sign_in.redeem(&Http::new("1").unwrap(), &setup.clock).await.unwrap();
    let form = setup.toy.world().seen.pop().unwrap().form();
    assert!(!form.contains_key("code_verifier") && !form.contains_key("redirect_uri"));
}

#[tokio::test]
async fn a_state_is_good_for_one_use_in_its_time_session_and_place() {
    let setup = Setup::new().await;
    let mut messages = Vec::new();
    let mut refused = |result: Result<SignIn, ConnectError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::SignIn);
        messages.push(error.to_string());
    };
    refused(setup.receive("code=c"));
    refused(setup.receive("code=c&state="));
    refused(setup.receive("code=c&state=unknown"));

    let used = state(&setup.start());
    setup.receive(&format!("code=c&state={used}&expires_in=599135&more=1")).unwrap();
    refused(setup.receive(&format!("code=c&state={used}")));

    let old = state(&setup.start());
    setup.clock.advance(LIFE);
    refused(setup.receive(&format!("code=c&state={old}")));

    let elsewhere = state(&setup.start());
    refused(setup.sign_ins.receive(
        "/callback/toy/us",
        &format!("code=c&state={elsewhere}"),
        "session-2",
    ));
    refused(setup.receive(&format!("code=c&state={elsewhere}")));

    let other_path = state(&setup.start());
    refused(setup.sign_ins.receive(
        "/callback/toy/eu",
        &format!("code=c&state={other_path}"),
        SESSION,
    ));

    let empty = state(&setup.start());
    refused(setup.receive(&format!("state={empty}")));
    assert_eq!(setup.sign_ins.pending().len(), 0, "each attempt used its state up");
    messages.dedup();
    assert_snapshot!(messages.join("\n--\n"), @r"
    what came back has no state
    hint: start the sign-in again
    --
    what came back belongs to no sign-in under way, or to one already ended
    hint: start the sign-in again
    --
    the sign-in took longer than ten minutes
    hint: start the sign-in again
    --
    what came back belongs to a sign-in that was started elsewhere
    hint: start the sign-in again
    --
    what came back belongs to no sign-in under way, or to one already ended
    hint: start the sign-in again
    --
    what came back belongs to the sign-in of another app or region
    hint: start the sign-in again
    --
    what came back has neither a code nor an error
    hint: start the sign-in again
    ");
}

#[tokio::test]
async fn an_error_that_comes_back_is_shown_tamed() {
    let setup = Setup::new().await;
    let mut messages = Vec::new();
    let hostile = format!(
        "<script>alert(1)</script>\r\n\u{1b}[2Jhint: run this\u{202e}{}",
        "x".repeat(100_000)
    );
    let hostile: String = url::form_urlencoded::byte_serialize(hostile.as_bytes()).collect();
    for error in [
        "error=access_denied".to_owned(),
        "error=invalid_scope&error_description=no+such+scope&error_uri=https://evil.example"
            .to_owned(),
        format!("error=server_error&error_description={hostile}"),
        format!("error={hostile}"),
    ] {
        let state = state(&setup.start());
        let denied = setup.receive(&format!("{error}&state={state}&code=c")).unwrap_err();
        assert_eq!(denied.kind(), ConnectErrorKind::Denied);
        let text = denied.to_string();
        assert!(text.chars().count() < 450 && !text.contains('\u{1b}'), "{text}");
        messages.push(text);
    }
    assert_snapshot!(messages.join("\n--\n"), @r"
    Toy did not let casbah in: access_denied
    hint: an administrator of the app has to give consent
    --
    Toy did not let casbah in: no such scope (invalid_scope)
    hint: check how casbah is registered with the app: client id, scopes, redirect address
    --
    Toy did not let casbah in: <script>alert(1)</script> [2Jhint: run thisxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (server_error)
    hint: start the sign-in again
    --
    Toy did not let casbah in: <script>alert(1)</script> [2Jhint: run thisxxxxxxxxxxxxxxx…
    hint: start the sign-in again
    ");
}

#[tokio::test]
async fn a_code_can_be_pasted_alone_or_with_everything_around_it() {
    let setup = Setup::new().await;
    let code = |sign_in: SignIn| sign_in.code.expose_secret().to_owned();
    let started = setup.start();
    let address = format!("{}?code=c%2B1&state={}", started.redirect.url(), state(&started));
    assert_eq!(code(setup.sign_ins.paste(&format!(" {address}\n"), SESSION).unwrap()), "c+1");
    let started = setup.start();
    let pasted = format!("?code=c2&state={}", state(&started));
    assert_eq!(code(setup.sign_ins.paste(&pasted, SESSION).unwrap()), "c2");
    setup.start();
    assert_eq!(code(setup.sign_ins.paste("bare-code", SESSION).unwrap()), "bare-code");

    let mut messages = Vec::new();
    let mut refused = |pasted: &str| {
        messages.push(setup.sign_ins.paste(pasted, SESSION).unwrap_err().to_string());
    };
    refused("bare-code");
    setup.start();
    refused("");
    refused("two words");
    refused("?code=c&state=forged");
    refused("https://casbah.example/callback/toy/us?code=c");
    setup.start();
    refused("bare-code");
    messages.dedup();
    assert_snapshot!(messages.join("\n--\n"), @r"
    what was pasted belongs to no sign-in under way, or to one already ended
    hint: start the sign-in again
    --
    what was pasted is neither a code nor an address with one
    hint: paste the whole address from the browser's address bar
    --
    what was pasted belongs to no sign-in under way, or to one already ended
    hint: start the sign-in again
    --
    what came back has no state
    hint: start the sign-in again
    --
    what was pasted belongs to no sign-in under way, or to one already ended
    hint: start the sign-in again
    ");
}

#[test]
fn a_redirect_address_must_be_safe() {
    for fit in ["https://casbah.example/cb", "http://127.0.0.1:8912/cb", "https://localhost/cb"] {
        Redirect::registered(fit).unwrap();
    }
    let unfit = ["http://casbah.example/cb", "https://casbah.example/cb#x", "cb", "javascript:1"]
        .map(|address| Redirect::registered(address).unwrap_err().to_string());
    assert_snapshot!(unfit.join("\n--\n"), @r"
    the redirect address `http://casbah.example/cb` is not `https`
    hint: give it exactly as it is registered with the app
    --
    the redirect address `https://casbah.example/cb#x` has a fragment
    hint: give it exactly as it is registered with the app
    --
    the redirect address `cb` is not an address
    hint: give it exactly as it is registered with the app
    --
    the redirect address `javascript:1` is not `https`
    hint: give it exactly as it is registered with the app
    ");
}

#[tokio::test]
async fn the_number_of_sign_ins_under_way_is_bounded() {
    let setup = Setup::new().await;
    let first = state(&setup.start());
    setup.clock.advance(1);
    for _ in 0..MOST {
        setup.start();
    }
    assert_eq!(setup.sign_ins.pending().len(), MOST);
    setup.receive(&format!("code=c&state={first}")).unwrap_err();
}

/// The whole way through the listener, with everybody else who may knock at it.
#[tokio::test]
async fn the_listener_takes_the_browsers_return() {
    let setup = Setup::new().await;
    let mut listener =
        Listener::bind(0, "toy", "us", setup.sign_ins.clone(), SESSION).await.unwrap();
    let redirect = listener.redirect().url().clone();
    assert_eq!(redirect.host_str(), Some("127.0.0.1"));
    assert_eq!(redirect.path(), "/callback/toy/us");
    let started = setup.start_for(redirect.as_str(), SESSION);
    let browser =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let get = |path: &str| browser.get(redirect.join(path).unwrap()).send();

    assert_eq!(get("/callback/toy/eu?code=c").await.unwrap().status(), 404);
    assert_eq!(get("/favicon.ico").await.unwrap().status(), 404);
    let forged = get("/callback/toy/us?code=c&state=forged").await.unwrap();
    assert_eq!(forged.status(), 303);
    let told = get("/done").await.unwrap();
    assert_eq!(told.status(), 400);

    let back = get(&format!("/callback/toy/us?code=good&state={}", state(&started))).await.unwrap();
    assert_eq!(back.status(), 303);
    assert_eq!(back.headers()["location"], "/done");
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(back.headers()[name], value);
    }
    let (_handle, mut never) = stop();
    let sign_in = listener.wait(&mut never).await.unwrap();
    drop(listener);
    let done = get("/done").await.unwrap();
    assert_eq!(done.status(), 200, "the last page is still there");
    assert!(
        done.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
    assert_snapshot!(done.text().await.unwrap(), @"<!doctype html><html lang=en><meta charset=utf-8><title>casbah</title><p>casbah has the consent. You can close this page.</p></html>");

    setup.toy.world().codes.insert("good".to_owned());
    let grant = sign_in.redeem(&Http::new("1").unwrap(), &setup.clock).await.unwrap();
    assert_eq!(grant.scopes(), ["READ_EVENTS", "READ_USERS"]);
    let form = setup.toy.world().seen.pop().unwrap().form();
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["client_id"], "client-1");
    assert_eq!(form["client_secret"], CLIENT_SECRET);
    assert_eq!(form["redirect_uri"], redirect.as_str());
    let verifier = SecretString::from(form["code_verifier"].as_str());
    assert_eq!(challenge(&verifier).as_str(), query(&started)["code_challenge"]);
}

#[tokio::test]
async fn the_listener_hears_a_denial_and_a_wish_to_stop() {
    let setup = Setup::new().await;
    let mut listener =
        Listener::bind(0, "toy", "us", setup.sign_ins.clone(), SESSION).await.unwrap();
    let redirect = listener.redirect().url().clone();
    let started = setup.start_for(redirect.as_str(), SESSION);
    let denied = format!(
        "{redirect}?error=access_denied&error_description=%3Cb%3Eno%3C/b%3E&state={}",
        state(&started)
    );
    let page = reqwest::get(denied).await.unwrap();
    assert!(!page.text().await.unwrap().contains("<b>"), "the page shows it as text");
    let (handle, mut wish) = stop();
    assert_eq!(listener.wait(&mut wish).await.unwrap_err().kind(), ConnectErrorKind::Denied);
    handle.stop();
    assert_eq!(listener.wait(&mut wish).await.unwrap_err().kind(), ConnectErrorKind::Stopped);

    let port = redirect.port().unwrap();
    let taken = Listener::bind(port, "toy", "us", setup.sign_ins.clone(), SESSION).await;
    let message = taken.unwrap_err().to_string().replace(&port.to_string(), "PORT");
    assert_snapshot!(message, @r"
    can't listen on port PORT of 127.0.0.1: Address already in use (os error 98)
    hint: choose another port, and register its address with the app
    ");
}
