//! What the simulator answers to whom: held against the reference, not against the adapter.

use std::collections::{BTreeMap, BTreeSet};

use entra_sim::{Config, Sim};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::kit::config;

struct Graph {
    sim: Sim,
    http: Client,
    token: String,
}

impl Graph {
    async fn new(config: Config) -> Self {
        let sim = Sim::start(config).unwrap();
        let http = Client::new();
        let answer = token(&sim, &http, &[]).await;
        let token = answer.1["access_token"].as_str().unwrap().to_owned();
        Self { sim, http, token }
    }

    /// Status, headers and body of an address, or of a path and query.
    async fn answer(&self, address: &str) -> (StatusCode, reqwest::header::HeaderMap, Value) {
        let url = match address.starts_with("http") {
            true => address.to_owned(),
            false => format!("{}{address}", self.sim.base_url()),
        };
        let answer = self.http.get(url).bearer_auth(&self.token).send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.text().await.unwrap();
        (status, headers, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn get(&self, address: &str) -> Value {
        let (status, _, body) = self.answer(address).await;
        assert_eq!(status, 200, "{address}: {body}");
        body
    }

    /// All records from an address on, and the link at the end of a delta.
    async fn all(&self, address: &str) -> (Vec<Value>, Option<String>, usize) {
        let (mut address, mut records, mut pages) = (address.to_owned(), Vec::new(), 0);
        loop {
            let page = self.get(&address).await;
            pages += 1;
            records.extend(page["value"].as_array().unwrap().iter().cloned());
            let link = |name: &str| page[name].as_str().map(str::to_owned);
            match link("@odata.nextLink") {
                Some(link) => address = link,
                None => return (records, link("@odata.deltaLink"), pages),
            }
        }
    }
}

async fn token(sim: &Sim, http: &Client, change: &[(&str, &str)]) -> (StatusCode, Value) {
    let scope = format!("{}/.default", sim.base_url());
    let mut form = BTreeMap::from([
        ("tenant", sim.world().tenant()),
        ("grant_type", "client_credentials"),
        ("client_id", "4711c0de-0000-4000-8000-000000000001"),
        ("client_secret", "entra-sim-secret"),
        ("scope", scope.as_str()),
    ]);
    form.extend(change.iter().copied());
    let tenant = form.remove("tenant").unwrap();
    form.retain(|_, value| !value.is_empty());
    let url = format!("{}/{tenant}/oauth2/v2.0/token", sim.base_url());
    let answer = http.post(url).form(&form).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

#[tokio::test]
async fn tokens_are_given_to_whom_they_belong() {
    let sim = Sim::start(config()).unwrap();
    let http = Client::new();
    let (status, good) = token(&sim, &http, &[]).await;
    assert_eq!(
        (status, good["token_type"].as_str(), good["expires_in"].as_i64()),
        (StatusCode::OK, Some("Bearer"), Some(3599))
    );
    assert!(good.get("refresh_token").is_none());
    assert_eq!(token(&sim, &http, &[("tenant", "northwind.example")]).await.0, 200);
    for (change, status, error, number) in [
        (("tenant", "common"), 400, "invalid_request", 9_001_023),
        (("tenant", "contoso.example"), 400, "invalid_request", 90_002),
        (("client_id", "x"), 400, "unauthorized_client", 700_016),
        (("client_secret", "x"), 401, "invalid_client", 7_000_215),
        (("client_secret", ""), 401, "invalid_client", 7_000_218),
        (("scope", "https://foo.example/.default"), 400, "invalid_scope", 70_011),
        (("scope", ""), 400, "invalid_request", 900_144),
        (("grant_type", "refresh_token"), 400, "unsupported_grant_type", 70_003),
    ] {
        let (answered, body) = token(&sim, &http, &[change]).await;
        assert_eq!(answered, status, "{change:?}");
        assert_eq!(
            (body["error"].as_str(), body["error_codes"][0].as_i64()),
            (Some(error), Some(number)),
            "{change:?}"
        );
        assert!(
            body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}"))
        );
    }
}

/// A first round names everybody once, later ones what has changed; links are good once and again.
#[tokio::test]
async fn changes_come_round_by_round() {
    let graph = Graph::new(config()).await;
    let select = "/v1.0/users/delta?$select=id,accountEnabled,mail";
    let (first, link, pages) = graph.all(select).await;
    let accounts = graph.sim.accounts();
    let there = |state: &str| accounts.iter().filter(|account| account.state == state).count();
    assert_eq!(first.len(), there("active") + there("disabled"));
    assert_eq!(pages, first.len().div_ceil(70));
    assert!(there("deleted") > 0 && there("purged") > 0 && there("disabled") > 0, "{accounts:?}");
    let ids: BTreeSet<&str> = first.iter().map(|user| user["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), first.len());
    assert!(
        first.iter().all(|user| user.get("mail") != Some(&Value::Null) && user.get("displayName").is_none())
    );

    let link = link.unwrap();
    let (nothing, again, _) = graph.all(&link).await;
    assert!(nothing.is_empty() && again.is_some());
    let active: Vec<&str> =
        accounts.iter().filter(|it| it.state == "active").map(|it| it.email.as_str()).collect();
    for change in
        ["disable 0", "delete 1", "delete 2", "purge 2", "delete 3", "restore 3", "enable 0"]
    {
        let (what, who) = change.split_once(' ').unwrap();
        let email = active[who.parse::<usize>().unwrap()];
        graph.sim.change(&format!("{what} {email}").parse().unwrap()).unwrap();
    }
    let (changes, next, _) = graph.all(&link).await;
    let told: Vec<String> = changes
        .iter()
        .map(|user| match user.get("@removed") {
            Some(removed) => removed["reason"].to_string(),
            None => user["accountEnabled"].to_string(),
        })
        .collect();
    assert_eq!(told, ["\"changed\"", "\"deleted\"", "true", "true"]);
    assert_eq!(graph.all(&link).await.0, changes, "the same link once more");
    assert!(graph.all(&next.unwrap()).await.0.is_empty());

    // What the vendor does not support is refused.
    for wrong in ["$top=5", "$orderby=id", "$expand=manager"] {
        let (status, _, body) = graph.answer(&format!("/v1.0/users/delta?{wrong}")).await;
        assert_eq!(
            (status.as_u16(), body["error"]["code"].as_str()),
            (400, Some("Request_UnsupportedQuery"))
        );
    }
    graph.sim.expire_links();
    let (status, headers, _) = graph.answer(&link).await;
    assert_eq!(status, 410);
    assert!(headers["location"].to_str().unwrap().contains("/users/delta?"));
}

#[tokio::test]
async fn deleted_users_have_another_name_and_a_time() {
    let graph = Graph::new(config()).await;
    let (users, _, _) = graph.all("/v1.0/directory/deletedItems/microsoft.graph.user?$select=id,userPrincipalName,deletedDateTime").await;
    let gone: Vec<_> =
        graph.sim.accounts().into_iter().filter(|account| account.state == "deleted").collect();
    assert_eq!(users.len(), gone.len());
    for user in &users {
        let id = user["id"].as_str().unwrap();
        let account = gone.iter().find(|account| account.id == id).unwrap();
        let name = user["userPrincipalName"].as_str().unwrap();
        assert_eq!(name, format!("{}{}", id.replace('-', ""), account.principal));
        assert!(user["deletedDateTime"].is_string());
        let (status, ..) = graph.answer(&format!("/v1.0/users/{id}")).await;
        assert_eq!(status, 404);
    }
}

/// A guest's name has a `#` in it, which is encoded or cut off.
#[tokio::test]
async fn users_are_found_by_id_and_name() {
    let graph = Graph::new(config()).await;
    let guest =
        graph.sim.accounts().into_iter().find(|it| it.guest && it.state == "active").unwrap();
    let encoded = guest.principal.replace('#', "%23");
    let user = graph.get(&format!("/v1.0/users/{encoded}?$select=id,userType")).await;
    assert_eq!(
        (user["id"].as_str(), user["userType"].as_str()),
        (Some(guest.id.as_str()), Some("Guest"))
    );
    let usual = graph.get(&format!("/v1.0/users/{}", guest.id)).await;
    assert!(usual.get("accountEnabled").is_none(), "it is absent unless it is selected");
}

#[tokio::test]
async fn groups_and_their_members() {
    let graph = Graph::new(config()).await;
    let found =
        graph.get("/v1.0/groups?$filter=displayName eq 'finance'&$select=id,displayName").await;
    let id = found["value"][0]["id"].as_str().unwrap();
    let list =
        format!("/v1.0/groups/{id}/transitiveMembers/microsoft.graph.user?$select=id&$top=7");
    let (members, _, pages) = graph.all(&list).await;
    assert!(members.len() > 7 && pages == members.len().div_ceil(7));
    assert_eq!(graph.get(&format!("/v1.0/groups/{id}")).await["displayName"], "Finance");
    assert_eq!(graph.answer("/v1.0/groups/0d5a2b6f-7f1c-4c3a-9d7a-2f2b6c1e9a10").await.0, 404);
}

/// Windows, apps, order and pages; and what only the beta version has.
#[tokio::test]
async fn sign_ins_are_filtered_and_paged() {
    let graph = Graph::new(config()).await;
    let world = graph.sim.world().clone();
    let (all, _, pages) = graph.all("/v1.0/auditLogs/signIns?$top=100").await;
    let ids: BTreeSet<String> =
        all.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, world.sign_in_ids(false).into_iter().collect());
    assert_eq!(pages, all.len().div_ceil(100));
    let times: Vec<&str> = all.iter().map(|it| it["createdDateTime"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");
    let (from, to) = (times[times.len() / 2], times[times.len() / 4]);
    let app = entra_sim::APPS[0].1;
    let filter =
        format!("createdDateTime ge {from} and createdDateTime le {to} and (appId eq '{app}')");
    let (some, ..) = graph
        .all(&format!("/v1.0/auditLogs/signIns?$filter={filter}&$orderby=createdDateTime&$top=20"))
        .await;
    let expected: Vec<&Value> = all
        .iter()
        .rev()
        .filter(|it| {
            (from..=to).contains(&it["createdDateTime"].as_str().unwrap()) && it["appId"] == app
        })
        .collect();
    assert!(!expected.is_empty());
    assert_eq!(some.len(), expected.len());
    assert!(some.iter().all(|it| expected.contains(&it)));
    let types = "signInEventTypes/any(t: t eq 'interactiveUser' or t eq 'nonInteractiveUser')";
    let (beta, ..) = graph.all(&format!("/beta/auditLogs/signIns?$filter={types}")).await;
    assert_eq!(beta.len(), world.sign_ins());
    assert!(beta.len() > all.len());
    assert_eq!(graph.answer(&format!("/v1.0/auditLogs/signIns?$filter={types}")).await.0, 400);
}

#[tokio::test]
async fn limits_licences_and_permissions() {
    let base = config();
    let graph = Graph::new(Config { sign_ins_in_ten_seconds: 2, ..base.clone() }).await;
    let ask = "/v1.0/auditLogs/signIns?$top=1";
    assert_eq!(
        (graph.answer(ask).await.0, graph.answer(ask).await.0),
        (StatusCode::OK, StatusCode::OK)
    );
    let (status, headers, _) = graph.answer(ask).await;
    assert_eq!(status, 429);
    let wait = headers["retry-after"].to_str().unwrap();
    assert!(wait.contains('.') && wait.parse::<f64>().unwrap() > 5.0, "{wait}");

    let graph = Graph::new(Config { premium: false, ..base.clone() }).await;
    let (status, _, body) = graph.answer(ask).await;
    assert_eq!(
        (status.as_u16(), body["error"]["code"].as_str()),
        (403, Some("Authentication_RequestFromNonPremiumTenantOrB2CTenant"))
    );

    // A token is given to an application without any permission, too.
    let graph = Graph::new(Config { permissions: Vec::new(), ..base.clone() }).await;
    for path in [
        "/v1.0/users",
        "/v1.0/users/delta",
        "/v1.0/groups",
        ask,
        "/v1.0/directory/deletedItems/microsoft.graph.user",
    ] {
        let (status, _, body) = graph.answer(path).await;
        assert_eq!(
            (status.as_u16(), body["error"]["code"].as_str()),
            (403, Some("Authorization_RequestDenied")),
            "{path}"
        );
    }
    // Without its own permission a leave date is empty, with no error.
    let leave = "/v1.0/users?$select=id,employeeLeaveDateTime&$top=999";
    let dates =
        |users: &[Value]| users.iter().filter(|it| it["employeeLeaveDateTime"].is_string()).count();
    let graph = Graph::new(base.clone()).await;
    let who = graph.sim.accounts().into_iter().find(|it| it.state == "active").unwrap().email;
    let change = format!("leave {who} 2026-12-31T23:00:00Z").parse().unwrap();
    graph.sim.change(&change).unwrap();
    let with = dates(&graph.all(leave).await.0);
    let graph = Graph::new(Config { permissions: vec!["User.Read.All".to_owned()], ..base }).await;
    graph.sim.change(&change).unwrap();
    assert!(with > 0 && dates(&graph.all(leave).await.0) == 0);
}

/// The same plan gives the same bytes, and the people are those of the other simulators.
#[test]
fn worlds_are_made_of_their_seeds() {
    let plan = crate::kit::plan();
    let (one, two) = (entra_sim::World::new(&plan).unwrap(), entra_sim::World::new(&plan).unwrap());
    assert_eq!(one.tenant(), two.tenant());
    for at in [0, one.sign_ins() / 2, one.sign_ins() - 1] {
        assert_eq!(one.sign_in(at, true), two.sign_in(at, true));
    }
    let company = smartsheet_sim::Company::new(&plan.company);
    assert_eq!(one.people(), company.users.iter().filter(|user| user.listed).count());
    let incidents = one.incidents();
    assert_eq!(incidents, two.incidents());
    let dismissed = incidents.iter().find(|incident| incident.name == "dismissed").unwrap();
    assert_eq!(
        Some(dismissed.actor.as_str()),
        entra_sim::terminated(&company).map(|user| user.email.to_lowercase()).as_deref()
    );
    assert!(
        incidents.iter().all(|incident| incident.name == "dismissed" || incident.sign_ins > 0),
        "{incidents:#?}"
    );
}
