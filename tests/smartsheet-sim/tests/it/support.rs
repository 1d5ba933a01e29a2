//! A small world, a simulator of it, and a client that hides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use smartsheet_sim::{Config, PersonalToken, Plan, Rate, Sim, World};

pub(crate) const ADMIN: &str = "admin-token-of-the-test";
pub(crate) const MEMBER: &str = "member-token-of-the-test";
pub(crate) const EVENTS_ONLY: &str = "token-with-one-scope";
pub(crate) const USERS_ONLY: &str = "token-with-the-other-scope";
pub(crate) const EVER: &str = "2010-01-01T00:00:00Z";

pub(crate) static WORLD: LazyLock<Arc<World>> = LazyLock::new(|| {
    let plan = Plan { users: 130, days: 2, events: 7_000, late: 0.02, ..Plan::default() };
    Arc::new(World::new(&plan))
});

/// The usual settings, without a limit, and with four tokens made by hand.
pub(crate) fn config() -> Config {
    config_of(Arc::clone(&WORLD))
}

pub(crate) fn config_of(world: Arc<World>) -> Config {
    let users = &world.company().users;
    let member = users.iter().rfind(|user| user.internal() && !user.admin()).unwrap();
    let token = |token: &str, user: Option<&str>, scopes: Option<&[&str]>| PersonalToken {
        token: token.to_owned(),
        user: user.map(str::to_owned),
        scopes: scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect()),
    };
    let personal = vec![
        token(ADMIN, None, None),
        token(MEMBER, Some(&member.email), None),
        token(EVENTS_ONLY, None, Some(&["READ_EVENTS"])),
        token(USERS_ONLY, None, Some(&["READ_USERS"])),
    ];
    Config { personal, rate: Rate { limit: 0, ..Rate::default() }, ..Config::new(world) }
}

pub(crate) fn start() -> Sim {
    Sim::start(config()).unwrap()
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Status and `errorCode`, 0 for none.
    pub(crate) fn error(&self) -> (u16, u64) {
        let code = serde_json::from_str::<Value>(&self.text)
            .ok()
            .and_then(|value| match &value["errorCode"] {
                Value::String(text) => text.parse().ok(),
                number => number.as_u64(),
            })
            .unwrap_or(0);
        (self.status, code)
    }
}

/// A client that follows no redirects and asks for no compression unless told to.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    pub(crate) fn new(sim: &Sim) -> Self {
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .no_proxy()
            .build()
            .unwrap();
        Self { http, base: sim.base_url() }
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        Ok(Reply { status, headers, text: response.text().await? })
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub(crate) async fn try_get(&self, path: &str, token: &str) -> reqwest::Result<Reply> {
        self.send(self.request("GET", path).bearer_auth(token)).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.try_get(path, token).await.unwrap()
    }

    pub(crate) async fn events(&self, query: &str) -> Reply {
        self.get(&format!("/2.0/events?{query}"), ADMIN).await
    }

    pub(crate) async fn page(&self, query: &str) -> Page {
        let reply = self.events(query).await;
        assert_eq!(reply.status, 200, "{query}: {}", reply.text);
        Page::read(&reply.json())
    }

    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Reply {
        self.send(self.request("POST", "/2.0/token").form(form)).await.unwrap()
    }

    /// Reads everything from a query on, page by page, until the app says that is all.
    pub(crate) async fn walk(&self, query: &str, max: usize) -> Vec<Page> {
        let mut pages = vec![self.page(&format!("{query}&maxCount={max}")).await];
        loop {
            let last = pages.last().unwrap();
            if !last.more {
                return pages;
            }
            let position = last.position.clone().expect("more to come, but no position");
            let query = format!("streamPosition={position}&maxCount={max}");
            pages.push(self.page(&query).await);
            assert!(pages.len() < 2_000, "the stream does not end");
        }
    }
}

/// A page of events.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Value>,
    pub(crate) more: bool,
    pub(crate) position: Option<String>,
}

impl Page {
    pub(crate) fn read(value: &Value) -> Self {
        Self {
            events: value["data"].as_array().unwrap().clone(),
            more: match &value["moreAvailable"] {
                Value::String(text) => text == "true",
                flag => flag.as_bool().unwrap(),
            },
            position: value["nextStreamPosition"].as_str().map(str::to_owned),
        }
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.events.iter().map(id).collect()
    }
}

pub(crate) fn id(event: &Value) -> String {
    event["eventId"].as_str().unwrap().to_owned()
}

/// When an event happened, by a reader that is not the simulator's.
pub(crate) fn time(event: &Value) -> i64 {
    let value = if event["eventTimestamp"].is_null() {
        &event["eventTimeStamp"]
    } else {
        &event["eventTimestamp"]
    };
    match value.as_str() {
        Some(text) => {
            let text = text.replace("+0000", "Z");
            text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
        }
        None => value.as_i64().unwrap(),
    }
}

pub(crate) fn all_ids(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(Page::ids).collect()
}

pub(crate) fn all_events(pages: &[Page]) -> Vec<Value> {
    pages.iter().flat_map(|page| page.events.clone()).collect()
}

/// A code for some scopes, through the sign-in page.
pub(crate) async fn code(client: &Client, more: &str) -> String {
    let path = format!(
        "/b/authorize?response_type=code&client_id=casbah-test-client\
         &scope=READ_EVENTS%20READ_USERS&state=s{more}"
    );
    let reply = client.send(client.request("GET", &path)).await.unwrap();
    assert_eq!(reply.status, 303, "{}", reply.text);
    parameter(reply.header("location").unwrap(), "code").unwrap()
}

/// A pair of tokens, through the whole flow.
pub(crate) async fn sign_in(client: &Client) -> (String, String) {
    let code = code(client, "").await;
    let reply = client.token(&exchange(&code)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    pair(&reply.json())
}

pub(crate) fn exchange(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("client_id", "casbah-test-client"),
        ("client_secret", "casbah-test-secret"),
        ("code", code),
    ]
}

pub(crate) fn refresh(token: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "refresh_token"),
        ("client_id", "casbah-test-client"),
        ("client_secret", "casbah-test-secret"),
        ("refresh_token", token),
    ]
}

pub(crate) fn pair(value: &Value) -> (String, String) {
    let text = |name: &str| value[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

pub(crate) fn parameter(address: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(address).unwrap();
    url.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}
