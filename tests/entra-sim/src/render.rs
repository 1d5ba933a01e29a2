//! Users and sign-ins as Graph writes them.

use casbah_sim::random::mix;
use serde_json::{Map, Value, json};
use smartsheet_sim::text::time;

use crate::people::{Person, State, There, guid};
use crate::sign_in::{APPS, ERRORS, SCRIPT, SignIn};
use crate::world::World;

/// What a user object has when nothing is selected.
const USUAL: &[&str] = &["displayName", "id", "mail", "userPrincipalName"];

/// A user with the selected members; `leaves` says whether the leave date may be read.
pub(crate) fn user(
    person: &Person,
    state: &State,
    select: &[String],
    leaves: bool,
) -> Map<String, Value> {
    let usual = || USUAL.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let select = if select.is_empty() { usual() } else { select.to_vec() };
    let mut members = Map::new();
    // The id is always there.
    members.insert("id".to_owned(), person.id.clone().into());
    for name in select {
        if let Some(value) = member(person, state, &name, leaves) {
            members.insert(name, value);
        }
    }
    members
}

fn member(person: &Person, state: &State, name: &str, leaves: bool) -> Option<Value> {
    Some(match name {
        "id" => person.id.clone().into(),
        "displayName" => person.name.clone().into(),
        "userPrincipalName" => match state.there {
            There::Deleted(_) => {
                format!("{}{}", person.id.replace('-', ""), person.principal).into()
            }
            _ => person.principal.clone().into(),
        },
        "mail" => person.mail.clone().into(),
        "otherMails" => person.others.clone().into(),
        "proxyAddresses" => person.proxies.clone().into(),
        "accountEnabled" => state.enabled.into(),
        "userType" => (if person.guest { "Guest" } else { "Member" }).into(),
        "createdDateTime" => time(person.created).into(),
        "deletedDateTime" => match state.there {
            There::Deleted(since) => time(since).into(),
            _ => Value::Null,
        },
        "employeeLeaveDateTime" => match state.leaves {
            Some(date) if leaves => time(date).into(),
            _ => Value::Null,
        },
        "onPremisesSyncEnabled" => Value::Null,
        _ => return None,
    })
}

/// The id of a sign-in.
pub(crate) fn sign_in_id(world: &World, sign_in: &SignIn) -> String {
    guid(world.company().plan.seed, 0x516e, sign_in.serial)
}

/// City, state, country and coordinates of a time zone.
fn place(zone: &str) -> (&'static str, &'static str, &'static str, f64, f64) {
    match zone {
        "US/Pacific" => ("Seattle", "Washington", "US", 47.6062, -122.3321),
        "US/Eastern" => ("New York", "New York", "US", 40.7128, -74.006),
        "Europe/London" => ("London", "England", "GB", 51.5074, -0.1278),
        "Europe/Berlin" => ("Berlin", "Berlin", "DE", 52.52, 13.405),
        "Asia/Kolkata" => ("Mumbai", "Maharashtra", "IN", 19.076, 72.8777),
        "Australia/Sydney" => ("Sydney", "New South Wales", "AU", -33.8688, 151.2093),
        _ => ("", "", "", 0.0, 0.0),
    }
}

/// System, browser, word for the client, and what it says of itself.
const CLIENTS: &[(&str, &str, &str, &str)] = &[
    (
        "Windows 10",
        "Chrome 142.0.0",
        "Browser",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    (
        "Windows 10",
        "Edge 142.0.0",
        "Browser",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
    ),
    (
        "MacOs",
        "Safari 26.0",
        "Browser",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    ),
    (
        "Ios 26",
        "Mobile Safari",
        "Mobile Apps and Desktop clients",
        "NetDocuments/7.1 CFNetwork/3826 Darwin/25.0.0",
    ),
    // Nobody's usual one.
    ("", "Python Requests 2.32", "Other clients", "python-requests/2.32.3"),
];

/// A sign-in; with `beta` in the form of the beta version.
pub(crate) fn sign_in(world: &World, sign_in: &SignIn, beta: bool) -> Value {
    let seed = world.company().plan.seed;
    let person = world.directory.people.get(sign_in.person);
    let text = |of: fn(&Person) -> &str| person.map(of).unwrap_or_default();
    let user = person.and_then(|person| world.company().users.get(person.place));
    let (app, app_id) = APPS.get(sign_in.app).copied().unwrap_or_default();
    let address = world.history.addresses.get(sign_in.address);
    let (ip, zone) = address.map_or(("", ""), |address| (address.text.as_str(), address.zone));
    let (city, state, country, latitude, longitude) = place(zone);
    let usual = (mix(seed, sign_in.person as u64) % SCRIPT as u64) as usize;
    let client = CLIENTS.get(sign_in.client.unwrap_or(usual));
    let (system, browser, used, agent) = client.copied().unwrap_or_default();
    let reason = ERRORS.iter().find(|(code, _)| *code == sign_in.error).map(|(_, words)| *words);
    let nothing = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    let risk = if zone.is_empty() { "medium" } else { "none" };
    // Guests sign in by their own address.
    let principal = match user {
        Some(user) if person.is_some_and(|person| person.guest) => user.email.as_str(),
        _ => text(|person| &person.principal),
    };
    let mut value = json!({
        "id": sign_in_id(world, sign_in),
        "createdDateTime": time(sign_in.time),
        "userDisplayName": text(|person| &person.name),
        "userPrincipalName": principal.to_lowercase(),
        "userId": text(|person| &person.id),
        "appId": app_id,
        "appDisplayName": app,
        "ipAddress": ip,
        "clientAppUsed": used,
        "correlationId": guid(seed, 0xc0, sign_in.serial / 2),
        "conditionalAccessStatus": if sign_in.error == 0 { "success" } else { "notApplied" },
        "isInteractive": sign_in.interactive,
        "riskDetail": "none",
        "riskLevelAggregated": risk,
        "riskLevelDuringSignIn": risk,
        "riskState": "none",
        "riskEventTypes": [],
        "resourceDisplayName": app,
        "resourceId": app_id,
        "status": {"errorCode": sign_in.error, "failureReason": reason, "additionalDetails": null},
        "deviceDetail": {
            "deviceId": "", "displayName": null, "operatingSystem": system, "browser": browser,
            "isCompliant": null, "isManaged": null, "trustType": null,
        },
        "location": {
            "city": nothing(city), "state": nothing(state), "countryOrRegion": nothing(country),
            "geoCoordinates": if city.is_empty() { json!({}) } else {
                json!({"altitude": null, "latitude": latitude, "longitude": longitude})
            },
        },
        "appliedConditionalAccessPolicies": [
            {"id": guid(seed, 0xca, 1), "displayName": "Require multifactor authentication",
             "enforcedGrantControls": ["Mfa"], "enforcedSessionControls": [],
             "result": if sign_in.error == 0 { "success" } else { "notApplied" }},
            {"id": guid(seed, 0xca, 2), "displayName": "Block legacy authentication",
             "enforcedGrantControls": ["Block"], "enforcedSessionControls": [], "result": "notApplied"},
        ],
    });
    if beta && let Value::Object(members) = &mut value {
        let kind = if sign_in.interactive { "interactiveUser" } else { "nonInteractiveUser" };
        members.insert("signInEventTypes".to_owned(), json!([kind]));
        members.insert("userAgent".to_owned(), agent.into());
        members.insert("resourceTenantId".to_owned(), world.tenant().into());
    }
    value
}
