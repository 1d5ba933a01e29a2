//! Sign-in by the letter of the reference notes.

use netdocuments_sim::{Config, SignIn};
use serde_json::json;

use crate::support::*;

const MINUTE: i64 = 60_000;

#[tokio::test]
async fn a_code_is_good_once_and_for_two_minutes() {
    let client = Client::new(config());
    let code = client.code().await;
    let pair = client.redeem(&code).await;
    assert_eq!(pair.status, 200, "{}", pair.text);
    assert_eq!(pair.json()["expires_in"], json!("3600"), "the seconds are a text");
    let access = pair.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(client.get(&access, "/v1/User/info").await.status, 200);
    let again = client.redeem(&code).await;
    assert_eq!((again.status, &again.json()["error"]), (400, &json!("invalid_grant")));
    assert_eq!(
        client.get(&access, "/v1/User/info").await.status,
        401,
        "what it gave is taken back"
    );
    let late = client.code().await;
    client.sim.advance(2 * MINUTE);
    assert_eq!(client.redeem(&late).await.status, 400);
}

#[tokio::test]
async fn the_redirect_is_compared_to_the_letter() {
    let client = Client::new(config());
    assert_eq!(client.authorize(&[]).await.status, 302);
    for other in
        ["http://127.0.0.1/callback/", "http://127.0.0.1:80/callback", "http://127.0.0.1/Callback"]
    {
        assert_eq!(client.authorize(&[("redirect_uri", other)]).await.status, 400, "{other}");
    }
    client.sim.set_redirect("http://127.0.0.1:8765/callback/netdocuments/us");
    assert_eq!(client.authorize(&[]).await.status, 400);
}

#[tokio::test]
async fn a_challenge_is_kept_to() {
    let client = Client::new(config());
    let reply =
        client.authorize(&[("code_challenge", "abc"), ("code_challenge_method", "S256")]).await;
    let location = url::Url::parse(reply.headers["location"].to_str().unwrap()).unwrap();
    let code = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert_eq!(client.redeem(&code).await.status, 400, "no verifier came");
}

#[tokio::test]
async fn tokens_end_when_idle_and_when_old() {
    let client = Client::new(config());
    let (access, refresh) = client.tokens().await;
    for _ in 0..3 {
        client.sim.advance(44 * MINUTE);
        assert_eq!(client.get(&access, "/v2/oauth/validate").await.status, 200, "it is used");
    }
    client.sim.advance(45 * MINUTE);
    assert_eq!(client.get(&access, "/v2/oauth/validate").await.status, 401, "it was idle");
    let renewed = client.refresh(&refresh).await;
    assert_eq!(renewed.status, 200);
    assert!(renewed.json().get("refresh_token").is_none(), "no new one: {}", renewed.text);
    let access = renewed.json()["access_token"].as_str().unwrap().to_owned();
    for _ in 0..36 {
        client.sim.advance(40 * MINUTE);
        client.get(&access, "/v2/oauth/validate").await;
    }
    assert_eq!(client.get(&access, "/v2/oauth/validate").await.status, 401, "it is a day old");
    client.sim.advance(38 * 24 * 60 * MINUTE);
    assert_eq!(client.refresh(&refresh).await.status, 200, "every use renews it");
    client.sim.advance(40 * 24 * 60 * MINUTE);
    assert_eq!(client.refresh(&refresh).await.status, 400, "forty days without use");
}

#[tokio::test]
async fn a_rotated_refresh_token_ends_the_old_one() {
    let client = Client::new(config());
    let (_, refresh) = client.tokens().await;
    client.sim.set_fault("token-rotated=1x").unwrap();
    let renewed = client.refresh(&refresh).await.json();
    let new = renewed["refresh_token"].as_str().unwrap();
    assert_eq!(client.refresh(&refresh).await.status, 400);
    assert_eq!(client.refresh(new).await.status, 200);
}

#[tokio::test]
async fn the_application_signs_in_with_a_raw_bar() {
    let client = Client::new(config());
    let repository = client.sim.world().repository();
    let ask = async |id: &str| {
        let request = client
            .http
            .post(client.url("/v1/OAuth"))
            .basic_auth(id, Some(SECRET))
            .form(&[("grant_type", "client_credentials"), ("scope", "read admin")]);
        Client::send(request).await
    };
    let good = ask(&format!("{CLIENT}|{repository}")).await;
    assert_eq!(good.status, 200, "{}", good.text);
    assert!(good.json().get("refresh_token").is_none());
    let token = good.json()["access_token"].as_str().unwrap().to_owned();
    assert_ne!(client.log(&token, "format=json").await.json(), json!([]));
    for id in [format!("{CLIENT}%7C{repository}"), CLIENT.to_owned(), format!("{CLIENT}|CA-OTHER")]
    {
        assert_eq!(ask(&id).await.status, 401, "{id}");
    }
}

/// Without the mapping everything works, and everything is empty.
#[tokio::test]
async fn an_application_without_an_account_sees_nothing() {
    let sign_in = SignIn { mapped: false, ..SignIn::default() };
    let client = Client::new(Config { sign_in, ..config() });
    let repository = client.sim.world().repository();
    let request = client
        .http
        .post(client.url("/v1/OAuth"))
        .basic_auth(format!("{CLIENT}|{repository}"), Some(SECRET))
        .form(&[("grant_type", "client_credentials"), ("scope", "read admin")]);
    let token = Client::send(request).await.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(client.log(&token, "").await.json(), json!([]));
    let users = client.get(&token, &format!("/v1/Repository/{repository}/users")).await;
    assert_eq!((users.status, users.json()), (200, json!([])));
}

#[tokio::test]
async fn regions_do_not_know_each_others_tokens() {
    let client = Client::new(Config { region: "can".to_owned(), ..config() });
    assert!(client.sim.api_base().ends_with("/can"));
    let (access, _) = client.tokens().await;
    assert_eq!(client.get(&access, "/v1/User/info").await.status, 200);
    let elsewhere = format!("{}/eu/v1/User/info", client.sim.base_url());
    assert_eq!(Client::send(client.http.get(elsewhere).bearer_auth(&access)).await.status, 401);
    assert_eq!(Client::send(client.http.get(client.sim.base_url())).await.status, 404);
}

#[tokio::test]
async fn revoking_ends_the_grant() {
    let client = Client::new(config());
    let (access, refresh) = client.tokens().await;
    let form = [("token", refresh.as_str()), ("token_type_hint", "refresh_token")];
    let revoked = Client::send(client.http.post(client.url("/v2/oauth/revoke")).form(&form)).await;
    assert_eq!(revoked.status, 200);
    assert_eq!(client.get(&access, "/v1/User/info").await.status, 401);
    assert_eq!(client.refresh(&refresh).await.status, 400);
    assert!(client.sim.live_tokens().is_empty());
}
