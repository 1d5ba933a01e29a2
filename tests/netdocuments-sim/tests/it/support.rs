//! A small world that ends now, a simulator of it, and a client that hides nothing.

use std::sync::Arc;

use netdocuments_sim::{Config, Plan, Sim, World};
use serde_json::Value;

pub(crate) const CLIENT: &str = "AP-CASBAH01";
pub(crate) const SECRET: &str = "casbah-test-secret";
pub(crate) const REDIRECT: &str = "http://127.0.0.1/callback";
pub(crate) const HOUR: i64 = 3_600_000;

pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_millis() as i64
}

pub(crate) fn plan() -> Plan {
    let mut plan = Plan::small(4_000);
    plan.company.end = now() / 1000 * 1000;
    plan
}

pub(crate) fn config() -> Config {
    Config::new(Arc::new(World::new(&plan())))
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        let text = self.text.trim_start_matches('\u{feff}');
        serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

/// A client of one simulator that follows no redirects.
pub(crate) struct Client {
    pub(crate) sim: Sim,
    pub(crate) http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(config: Config) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self { sim: Sim::start(config).unwrap(), http }
    }

    pub(crate) async fn send(request: reqwest::RequestBuilder) -> Reply {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Reply { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sim.api_base())
    }

    pub(crate) async fn get(&self, token: &str, path: &str) -> Reply {
        Self::send(self.http.get(self.url(path)).bearer_auth(token)).await
    }

    pub(crate) async fn form(&self, form: &[(&str, &str)]) -> Reply {
        Self::send(self.http.post(self.url("/v1/OAuth")).form(form)).await
    }

    /// The answer of the sign-in page: the code, when there is one.
    pub(crate) async fn authorize(&self, more: &[(&str, &str)]) -> Reply {
        let mut query = vec![
            ("client_id", CLIENT),
            ("response_type", "code"),
            ("redirect_uri", REDIRECT),
            ("scope", "read admin"),
            ("state", "s1"),
        ];
        query.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        query.extend(more);
        Self::send(self.http.get(self.url("/neWeb2/OAuth.aspx")).query(&query)).await
    }

    pub(crate) async fn code(&self) -> String {
        let reply = self.authorize(&[]).await;
        let location = reply.headers["location"].to_str().unwrap();
        let url = url::Url::parse(location).unwrap();
        assert!(url.query_pairs().any(|(name, value)| name == "state" && value == "s1"));
        url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
    }

    pub(crate) async fn redeem(&self, code: &str) -> Reply {
        self.form(&[
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT),
            ("client_id", CLIENT),
            ("client_secret", SECRET),
        ])
        .await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Reply {
        self.form(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", CLIENT),
            ("client_secret", SECRET),
        ])
        .await
    }

    /// Access and refresh token of a new sign-in.
    pub(crate) async fn tokens(&self) -> (String, String) {
        let pair = self.redeem(&self.code().await).await.json();
        let text = |name: &str| pair[name].as_str().unwrap().to_owned();
        (text("access_token"), text("refresh_token"))
    }

    pub(crate) async fn log(&self, token: &str, query: &str) -> Reply {
        let repository = self.sim.world().repository();
        self.get(token, &format!("/v1/Repository/{repository}/log?{query}")).await
    }
}
