//! The made-up company: the same for a seed, complete, and with incidents that are what they say.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;
use smartsheet_sim::{DOMAIN, Incident, PARTNERS, Plan, Role, World};

use crate::support::{id, time};

/// Names of details, each with the values it may have; none for any.
type Details = Vec<(String, Vec<String>)>;

/// The types and their details, read by another reader than the simulator's.
fn types() -> BTreeMap<(&'static str, &'static str), Details> {
    include_str!("../../data/event-types.tsv")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let details = fields[5]
                .split(' ')
                .filter(|name| *name != "-")
                .flat_map(|detail| {
                    let (names, values) = detail.split_once('=').unwrap_or((detail, ""));
                    let values: Vec<String> =
                        values.split('/').filter(|v| !v.is_empty()).map(str::to_owned).collect();
                    let named = |name: &str| (name.to_owned(), values.clone());
                    names.split('|').map(named).collect::<Vec<_>>()
                })
                .collect();
            ((fields[0], fields[1]), details)
        })
        .collect()
}

fn text_of(world: &World) -> String {
    let mut out = String::new();
    for at in 0..world.len() {
        world.write_event(&mut out, at, false);
        out.push('\n');
    }
    out
}

fn events(world: &World) -> Vec<Value> {
    text_of(world).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_same_plan_gives_the_same_bytes_and_another_seed_others() {
    let plan = Plan { users: 60, days: 2, events: 5_000, ..Plan::default() };
    let first = World::new(&plan);
    assert_eq!(text_of(&first), text_of(&World::new(&plan)));
    let other = World::new(&Plan { seed: 8, ..plan.clone() });
    assert_ne!(text_of(&first), text_of(&other));
    assert!(first.ids(5_000).is_disjoint(&other.ids(5_000)));
}

#[test]
fn a_world_is_as_large_as_planned_and_within_its_time() {
    for (users, days, count) in [(30, 1, 3_000), (400, 7, 20_000), (400, 1, 10_000)] {
        let plan = Plan { users, days, events: count, ..Plan::default() };
        let world = World::new(&plan);
        assert_eq!((world.len(), world.company().users.len()), (count, users));
        assert_eq!(world.ids(usize::MAX).len(), count, "ids are unique");
        let range = world.company().start()..plan.end;
        assert!((0..count).all(|at| range.contains(&world.event_time(at).unwrap())));
    }
    assert_eq!(
        Plan::default().end,
        "2026-11-20T12:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond()
    );
}

#[test]
fn a_million_events_have_every_type_of_the_catalogue() {
    let world = World::new(&Plan { events: 1_000_000, ..Plan::default() });
    let mut counts: HashMap<(&str, &str), u64> = HashMap::new();
    for at in 0..world.len() {
        *counts.entry(world.event_type(at).unwrap()).or_default() += 1;
    }
    assert_eq!(world.len(), 1_000_000);
    let known = types();
    assert_eq!(known.len(), 130);
    let missing: Vec<_> = known.keys().filter(|kind| !counts.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unknown = counts.keys().filter(|kind| !known.contains_key(*kind)).count();
    assert!(unknown >= 5, "some types must be in no catalogue");
    let busiest = counts[&("SHEET", "LOAD")] + counts[&("SHEET", "UPDATE")];
    assert!(busiest > 500_000, "loads and updates are most of it: {busiest}");
}

#[test]
fn details_are_those_of_the_catalogue() {
    let world = World::new(&Plan { events: 120_000, ..Plan::default() });
    let types = types();
    let always = ["emailAddress", "sourceIpAddress", "userTypes"];
    let pairs = [("userId", "groupId"), ("recipientEmail", "recipientGroupId")];
    let mut seen: BTreeSet<(&str, &str, String)> = BTreeSet::new();
    for (at, event) in events(&world).iter().enumerate() {
        let kind = world.event_type(at).unwrap();
        let Some(known) = types.get(&kind) else { continue };
        let details = event["additionalDetails"].as_object().unwrap();
        for (name, value) in details {
            let entry = known.iter().find(|(known, _)| known == name);
            assert!(entry.is_some() || always.contains(&name.as_str()), "{kind:?} has {name}");
            if let Some((_, values)) = entry.filter(|(_, values)| !values.is_empty()) {
                assert!(values.iter().any(|known| known == value), "{kind:?} {name}: {value}");
            }
            if name.ends_with("Id") && name != "appClientId" {
                let number = value.as_i64().or_else(|| value.as_str()?.parse().ok());
                assert!(number.is_some_and(|id| id > 1_000_000), "{kind:?} {name}: {value}");
            }
            seen.insert((kind.0, kind.1, name.clone()));
        }
        for (one, other) in pairs {
            assert!(!(details.contains_key(one) && details.contains_key(other)), "{event}");
        }
    }
    // Every detail that the catalogue has occurs somewhere, at least by its name.
    let names: BTreeSet<&str> = seen.iter().map(|(_, _, name)| name.as_str()).collect();
    let all: BTreeSet<&str> = types.values().flatten().map(|(name, _)| name.as_str()).collect();
    let missing: Vec<_> = all.difference(&names).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn events_come_in_all_the_shapes_the_app_has() {
    let world = World::new(&Plan { events: 40_000, ..Plan::default() });
    let events = events(&world);
    let some = |what: &str, test: &dyn Fn(&Value) -> bool| {
        let count = events.iter().filter(|event| test(event)).count();
        assert!(count > 5 && count * 2 < events.len(), "{what}: {count}");
    };
    let big = 1i64 << 53;
    assert!(events.iter().any(|event| event["objectId"].as_i64().is_some_and(|id| id > big)));
    some("objectId -1", &|e| e["objectId"] == -1 && e["objectIdStr"].is_string());
    some("objectId as a text", &|e| e["objectId"].is_string());
    some("no objectIdStr", &|e| e["objectIdStr"].is_null());
    some("the other spelling of the time", &|e| e["eventTimeStamp"].is_string());
    some("no requestUserId", &|e| e["requestUserId"].is_null());
    some("named tokens", &|e| e["accessTokenName"].is_string());
    some("the address elsewhere", &|e| e["eventDetails"]["sourceIpAddress"].is_string());
    some("a member nobody knows", &|e| e["deviceTrust"].is_string());
    some("a source nobody knows", &|e| e["source"] == "DESKTOP_APP");
    some("ids in details as texts", &|e| e["additionalDetails"]["sheetId"].is_string());
    for event in &events {
        let id = id(event);
        assert!(id.starts_with("2.1.") && id.len() == 47, "{id}");
        let details = &event["additionalDetails"];
        let ip = details["sourceIpAddress"]
            .as_str()
            .or(event["eventDetails"]["sourceIpAddress"].as_str());
        if let Some(ip) = ip {
            assert_eq!(event["source"], "WEB_APP", "addresses come from the web app only");
            let known = ["192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"];
            assert!(known.iter().any(|range| ip.starts_with(range)), "{ip}");
            assert!(ip.parse::<std::net::IpAddr>().is_ok(), "{ip}");
        }
        if let Some(number) = event["objectId"].as_i64()
            && number != -1
            && let Some(text) = event["objectIdStr"].as_str()
        {
            assert_eq!(text, number.to_string());
        }
        if let Some(email) = details["emailAddress"].as_str() {
            let user = world.company().user_by_id(event["userId"].as_i64().unwrap()).unwrap();
            assert_eq!(email, user.email, "the address is that of whose account it was");
        }
    }
}

#[test]
fn people_have_days_and_weeks_and_some_do_much_more_than_others() {
    let world = World::new(&Plan { events: 60_000, ..Plan::default() });
    let company = world.company();
    let roles: HashMap<i64, (Role, i32)> =
        company.users.iter().map(|user| (user.id, (user.role, user.offset))).collect();
    let mut hours = [0u32; 24];
    let mut weekend = 0;
    let mut by_user: HashMap<i64, u32> = HashMap::new();
    let mut night_of_services = 0;
    for event in events(&world) {
        let user = event["userId"].as_i64().unwrap();
        let Some((role, offset)) = roles.get(&user) else { continue };
        let local = time(&event) / 1000 + i64::from(*offset) * 60;
        let hour = local / 3600 % 24;
        if *role == Role::Service {
            night_of_services += u32::from(hour < 6);
            continue;
        }
        hours[hour as usize] += 1;
        weekend += u32::from((local / 86_400 + 3) % 7 >= 5);
        *by_user.entry(user).or_default() += 1;
    }
    let total: u32 = hours.iter().sum();
    assert!(hours[9..17].iter().sum::<u32>() * 10 > total * 7, "{hours:?}");
    assert!(hours[..5].iter().sum::<u32>() * 50 < total, "{hours:?}");
    assert!(weekend * 12 < total, "{weekend} of {total}");
    assert!(night_of_services > 1_000, "services work at night: {night_of_services}");
    let mut counts: Vec<u32> = by_user.values().copied().collect();
    counts.sort_unstable();
    let median = counts[counts.len() / 2];
    assert!(counts[counts.len() - 1] > median * 6, "{median} and {:?}", counts.last());
}

#[test]
fn incidents_are_what_their_labels_say() {
    let world = World::new(&Plan::default());
    let events: HashMap<String, Value> =
        events(&world).into_iter().map(|event| (id(&event), event)).collect();
    let names: HashSet<&str> = world.incidents().iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names.len(), world.incidents().len(), "names are unique");
    let mut used = HashSet::new();
    for incident in world.incidents() {
        assert!(!incident.event_ids.is_empty(), "{}", incident.name);
        let found: Vec<&Value> = incident.event_ids.iter().map(|id| &events[id]).collect();
        for event in &found {
            assert!(used.insert(id(event)), "{} shares an event", incident.name);
            assert!((incident.start..=incident.end).contains(&time(event)), "{}", incident.name);
            assert_eq!(event["requestUserId"].as_i64(), Some(incident.actor_id));
        }
        assert_eq!(time(found[0]), incident.start);
        check(&world, incident, &found);
    }
    for label in [
        "mass-export",
        "mass-share",
        "share-outside",
        "outside-admin",
        "mail-outside",
        "mass-deletion",
        "mass-purge",
        "dashboard-published",
        "ownership-transfer",
        "owned-items-transferred",
        "admin-granted",
        "report-downloaded",
        "impersonation",
        "new-token",
        "anonymous-access",
        "mass-backup",
        "recurring-backup",
        "security-setting",
    ] {
        let planted =
            world.incidents().iter().any(|i| !i.benign && i.labels.iter().any(|l| l == label));
        assert!(planted, "no incident is labelled {label}");
    }
}

/// What an incident of this name must look like.
fn check(world: &World, incident: &Incident, found: &[&Value]) {
    let count = |test: &dyn Fn(&Value) -> bool| found.iter().filter(|event| test(event)).count();
    let kind = |event: &Value, action: &str| event["action"] == action;
    let objects: HashSet<String> =
        found.iter().map(|event| event["objectIdStr"].to_string()).collect();
    let detail = |event: &Value, name: &str| event["additionalDetails"][name].clone();
    let seconds = (incident.end - incident.start) / 1000;
    match incident.name.as_str() {
        "mass-export" => {
            assert_eq!(count(&|e| kind(e, "EXPORT")), 60);
            assert!(objects.len() > 55 && seconds < 300);
        }
        "mass-share" => {
            assert_eq!(count(&|e| kind(e, "ADD_SHARE")), 60);
            assert!(objects.len() > 55 && seconds < 300);
        }
        "share-outside" => {
            let guest = detail(found[0], "userId").as_i64().unwrap();
            let guest = world.company().user_by_id(guest).unwrap();
            assert!(guest.listed && PARTNERS.iter().any(|domain| guest.email.ends_with(domain)));
            assert_eq!(count(&|e| detail(e, "userId") == guest.id), found.len());
            assert_eq!(count(&|e| detail(e, "accessLevel") == "ADMIN"), 1);
        }
        "mail-outside" => {
            let outside =
                |e: &Value| !detail(e, "recipientEmail").as_str().unwrap().ends_with(DOMAIN);
            assert_eq!(count(&outside), found.len());
            assert_eq!(count(&|e| kind(e, "SEND_AS_ATTACHMENT")), found.len());
        }
        "mass-deletion" => {
            assert_eq!(count(&|e| kind(e, "DELETE")), 80);
            assert_eq!(count(&|e| kind(e, "PURGE")), 80);
        }
        "publish-everybody" => assert_eq!(count(&|e| detail(e, "accessibleBy") == "ALL"), 2),
        "published-inside" => assert_eq!(count(&|e| detail(e, "accessibleBy") == "ORG"), 12),
        "ownership-bulk" => assert_eq!(count(&|e| kind(e, "TRANSFER_OWNERSHIP")), 45),
        "admin-granted" => {
            let admin =
                |e: &Value| detail(e, "userTypes").as_str().unwrap().contains("SYSTEM_ADMIN");
            assert_eq!(count(&admin), 2);
        }
        "user-list" => assert_eq!(count(&|e| kind(e, "DOWNLOAD_USER_LIST")), 1),
        "impersonation" => {
            assert_eq!(count(&|e| e["userId"] != e["requestUserId"]), found.len());
            assert!(world.company().user_by_id(incident.actor_id).unwrap().admin());
        }
        "settings-changed" => assert_eq!(found.len(), 3),
        "backup-set-up" => assert_eq!(count(&|e| kind(e, "CREATE_RECURRING_BACKUP")), 1),
        "new-token" => assert_eq!(count(&|e| kind(e, "AUTHORIZE")), 1),
        "anonymous" => {
            assert_eq!(count(&|e| e["userId"] == 5_629_504_736_520_068_i64), found.len());
            assert!(incident.actor.is_empty());
        }
        "mass-backup" => {
            assert_eq!(count(&|e| kind(e, "REQUEST_BACKUP")), 18);
            assert_eq!(objects.len(), 18);
        }
        "exports-of-a-day" => {
            assert_eq!(count(&|e| kind(e, "EXPORT")), 20);
            assert!(incident.benign && seconds > 8 * 3600);
        }
        "tidying-up" => assert!(incident.benign && seconds > 7 * 3600),
        "workspace-shared" => {
            assert!(incident.benign && seconds == 0 && found.len() > 5);
            let targets: HashSet<String> =
                found.iter().map(|e| detail(e, "userId").to_string()).collect();
            assert_eq!(targets.len(), 1, "one action has one target");
        }
        other => panic!("nothing is known of `{other}`"),
    }
}

#[test]
fn normal_traffic_has_no_look_alikes() {
    let world = World::new(&Plan::default());
    let planted: HashSet<&String> =
        world.incidents().iter().flat_map(|incident| &incident.event_ids).collect();
    let rest: Vec<Value> =
        events(&world).into_iter().filter(|event| !planted.contains(&id(event))).collect();
    for (what, actions, within, most) in [
        ("export", &["EXPORT"][..], 300, 5),
        ("share", &["ADD_SHARE"], 300, 5),
        ("delete", &["DELETE", "PURGE"], 300, 5),
        ("transfer", &["TRANSFER_OWNERSHIP", "TRANSFER_OWNED_ITEMS"], 3_600, 3),
        ("backup", &["REQUEST_BACKUP"], 3_600, 3),
        ("attachments", &["LOAD_ATTACHMENT"], 600, 25),
        ("removals", &["REMOVE_FROM_ACCOUNT", "REMOVE_SHARES", "REMOVE_FROM_GROUPS"], 3_600, 4),
        ("password resets", &["SEND_PASSWORD_RESET"], 600, 4),
    ] {
        let found = busiest(&rest, actions, within * 1000);
        assert!(found <= most, "{what}: {found} by one user in {within} s");
    }
    let none = |what: &str, test: &dyn Fn(&Value) -> bool| {
        let found: Vec<&Value> = rest.iter().filter(|event| test(event)).collect();
        assert!(found.is_empty(), "{what}: {} such as {}", found.len(), found[0]);
    };
    let detail = |event: &Value, name: &str| {
        event["additionalDetails"][name].as_str().unwrap_or_default().to_owned()
    };
    none("impersonation", &|e| !e["requestUserId"].is_null() && e["requestUserId"] != e["userId"]);
    none("published to everybody", &|e| detail(e, "accessibleBy") == "ALL");
    none("administrators made", &|e| detail(e, "userTypes").contains("ADMIN"));
    none("anonymous access", &|e| e["userId"] == 5_629_504_736_520_068_i64);
    none("user lists", &|e| e["action"].as_str().unwrap().starts_with("DOWNLOAD"));
    none("new tokens", &|e| e["action"] == "AUTHORIZE");
    none("settings", &|e| {
        let object = e["objectType"].as_str().unwrap();
        object.starts_with("POLICY_") || e["action"] == "ACTIVATE_DOMAIN_STRICT"
    });
    none("handed over at once", &|e| e["action"].as_str().unwrap().starts_with("TRANSFER_OWNED"));
    none("recurring backups", &|e| e["action"] == "CREATE_RECURRING_BACKUP");
    none("mail outside", &|e| {
        let to = detail(e, "recipientEmail").to_lowercase();
        !to.is_empty() && !to.ends_with(DOMAIN)
    });
    none("shares outside", &|e| {
        let shared =
            ["SHARE", "ADD_MEMBER"].iter().any(|n| e["action"].as_str().unwrap().contains(n));
        let target = ["userId", "memberUserId"].map(|name| &e["additionalDetails"][name]);
        let target = target.into_iter().find(|id| !id.is_null()).unwrap_or(&Value::Null);
        let target = target.as_i64().or_else(|| target.as_str()?.parse().ok());
        let target = target.and_then(|id| world.company().user_by_id(id));
        shared && target.is_some_and(|user| !user.internal())
    });
}

/// The most events of these actions that one user has within a time.
fn busiest(events: &[Value], actions: &[&str], within: i64) -> usize {
    let mut by_user: HashMap<i64, Vec<i64>> = HashMap::new();
    let service = |e: &Value| {
        e["additionalDetails"]["emailAddress"]
            .as_str()
            .is_some_and(|email| email.to_lowercase().starts_with("svc-"))
    };
    let wanted = |e: &&Value| match e["action"].as_str().unwrap() {
        "LOAD" => actions == ["LOAD_ATTACHMENT"] && e["objectType"] == "ATTACHMENT" && !service(e),
        action => actions.contains(&action),
    };
    for event in events.iter().filter(wanted) {
        by_user.entry(event["userId"].as_i64().unwrap()).or_default().push(time(event));
    }
    by_user
        .into_values()
        .map(|mut times| {
            times.sort_unstable();
            let from = |at: &i64| times.partition_point(|time| time < at);
            let until = |at: &i64| times.partition_point(|time| *time < at + within);
            times.iter().map(|at| until(at) - from(at)).max().unwrap_or(0)
        })
        .max()
        .unwrap_or(0)
}
