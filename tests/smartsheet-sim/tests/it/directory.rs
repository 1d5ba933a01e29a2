//! Users and groups, rule by rule.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::{ADMIN, Client, EVENTS_ONLY, MEMBER, USERS_ONLY, WORLD, start};

fn ids(value: &Value) -> Vec<i64> {
    value["data"].as_array().unwrap().iter().map(|user| user["id"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn the_list_is_paged_and_past_its_end_comes_the_last_page_again() {
    let sim = start();
    let client = Client::new(&sim);
    let listed: HashSet<i64> =
        WORLD.company().users.iter().filter(|user| user.listed).map(|user| user.id).collect();
    assert!(listed.len() < WORLD.company().users.len(), "somebody must be missing from the list");
    let first = client.get("/2.0/users?pageSize=30", ADMIN).await.json();
    let pages = first["totalPages"].as_u64().unwrap();
    assert_eq!(first["totalCount"].as_u64().unwrap() as usize, listed.len());
    assert_eq!(pages as usize, listed.len().div_ceil(30));
    let mut found = Vec::new();
    for page in 1..=pages {
        let value = client.get(&format!("/2.0/users?pageSize=30&page={page}"), ADMIN).await.json();
        assert_eq!(value["pageNumber"], page);
        found.extend(ids(&value));
    }
    assert_eq!(found.len(), listed.len());
    assert_eq!(found.iter().copied().collect::<HashSet<_>>(), listed);
    let last = client.get(&format!("/2.0/users?pageSize=30&page={pages}"), ADMIN).await.json();
    let past = client.get("/2.0/users?pageSize=30&page=99", ADMIN).await.json();
    assert_eq!(past, last, "past the end comes the last page again");
    let all = client.get("/2.0/users?includeAll=true", ADMIN).await.json();
    assert_eq!((ids(&all).len(), &all["totalPages"]), (listed.len(), &Value::from(1)));
    let usual = client.get("/2.0/users", ADMIN).await.json();
    assert_eq!((ids(&usual).len(), &usual["pageSize"]), (100, &Value::from(100)));
    for query in ["page=0", "page=x", "pageSize=-1"] {
        let reply = client.get(&format!("/2.0/users?{query}"), ADMIN).await;
        assert_eq!(reply.error(), (400, 1018), "{query}");
    }
}

#[tokio::test]
async fn administrators_see_more_of_a_user() {
    let sim = start();
    let client = Client::new(&sim);
    let more = ["admin", "status", "seatType", "isInternal", "seatTypeLastChangedAt", "planId"];
    let seen = client.get("/2.0/users?include=lastLogin", ADMIN).await.json();
    let users = seen["data"].as_array().unwrap();
    assert!(users.iter().all(|user| more.iter().all(|name| !user[name].is_null())));
    assert!(users.iter().any(|user| user["lastLogin"].is_string()));
    assert!(users.iter().any(|user| user["name"].is_null()), "names can be missing");
    let wide = client.get("/2.0/users?include=lastLogin&pageSize=1000", ADMIN).await.json();
    assert_eq!(ids(&wide).len(), 100, "lastLogin is for a hundred users a page");
    let plain = client.get("/2.0/users", ADMIN).await.json();
    assert!(plain["data"].as_array().unwrap().iter().all(|user| user["lastLogin"].is_null()));
    let little = client.get("/2.0/users?include=lastLogin", MEMBER).await.json();
    for user in little["data"].as_array().unwrap() {
        assert!(user["email"].is_string());
        assert!(more.iter().chain(&["lastLogin"]).all(|name| user[name].is_null()), "{user}");
    }
}

#[tokio::test]
async fn users_are_found_by_address_and_by_id() {
    let sim = start();
    let client = Client::new(&sim);
    let (one, two) = (&WORLD.company().users[0], &WORLD.company().users[1]);
    let query = format!("/2.0/users?email={},{}", one.email.to_uppercase(), two.email);
    assert_eq!(ids(&client.get(&query, ADMIN).await.json()), [one.id, two.id]);
    let found = client.get(&format!("/2.0/users/{}", one.id), ADMIN).await.json();
    assert_eq!(found["email"], one.email);
    let missing = WORLD.company().users.iter().find(|user| !user.listed).unwrap();
    let found = client.get(&format!("/2.0/users/{}", missing.id), ADMIN).await.json();
    assert_eq!(found["isInternal"], false, "who is missing from the list is found by id");
    assert_eq!(client.get("/2.0/users/12345", ADMIN).await.error(), (404, 1020));
    assert_eq!(client.get("/2.0/users/abc", ADMIN).await.error(), (400, 1018));
}

#[tokio::test]
async fn me_works_with_any_scope_and_tells_the_organization() {
    let sim = start();
    let client = Client::new(&sim);
    for token in [ADMIN, EVENTS_ONLY, USERS_ONLY] {
        let me = client.get("/2.0/users/me", token).await.json();
        assert_eq!(me["admin"], true, "{token}");
        assert_eq!(me["account"]["id"], WORLD.company().account_id);
        assert_eq!(me["account"]["name"], "Northwind Traders");
        assert!(me["timeZone"].is_string() && me["locale"].is_string());
    }
    assert!(client.get("/2.0/users/me", MEMBER).await.json()["admin"].is_null());
    let me = client.get("/2.0/users/me?include=groups", MEMBER).await.json();
    assert!(me["groups"].is_array());
}

#[tokio::test]
async fn groups_have_members() {
    let sim = start();
    let client = Client::new(&sim);
    let list = client.get("/2.0/groups", ADMIN).await.json();
    assert_eq!(ids(&list).len(), WORLD.company().groups.len());
    for group in &WORLD.company().groups {
        let found = client.get(&format!("/2.0/groups/{}", group.id), ADMIN).await.json();
        assert_eq!(found["members"].as_array().unwrap().len(), group.members.len());
        assert!(found["owner"].as_str().unwrap().contains('@'));
    }
    assert_eq!(client.get("/2.0/groups/12345", ADMIN).await.error(), (404, 1106));
}

#[tokio::test]
async fn scopes_and_paths_are_checked() {
    let sim = start();
    let client = Client::new(&sim);
    for path in ["/2.0/users", "/2.0/users/12345", "/2.0/groups", "/2.0/groups/1"] {
        assert_eq!(client.get(path, EVENTS_ONLY).await.error(), (403, 1004), "{path}");
    }
    assert_eq!(client.get("/2.0/sheets", ADMIN).await.error(), (404, 1006));
    let post = client.request("POST", "/2.0/users").bearer_auth(ADMIN);
    assert_eq!(client.send(post).await.unwrap().status, 405);
}
