//! What the host must know of Smartsheet.

use casbah_plugin::{
    AdapterDescription, ClientAuthentication, Endpoint, OAuth, Pkce, Produces, Region, Revoke,
    Rounds, Stream,
};

use crate::requests::{MOST_EVENTS, MOST_USERS, stream};
use crate::settings;

/// The description of this adapter.
pub(crate) fn description() -> AdapterDescription {
    AdapterDescription {
        name: "smartsheet".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: "Smartsheet".to_owned(),
        regions: vec![
            region("us", "United States", "smartsheet.com"),
            region("eu", "Europe", "smartsheet.eu"),
            region("au", "Australia", "smartsheet.au"),
            region("gov", "United States, government", "smartsheetgov.com"),
        ],
        oauth: Some(oauth()),
        personal_token: true,
        // Accounts first, so that activities can be joined with them from the beginning.
        streams: vec![accounts(), activities(), facts()],
        requests_per_minute: 300,
        retention_days: 183,
        directory: false,
        settings: settings::schema(),
        limitations: limitations(),
    }
}

fn region(name: &str, title: &str, domain: &str) -> Region {
    let hosts = [
        ("api".to_owned(), format!("https://api.{domain}/2.0")),
        ("sign-in".to_owned(), format!("https://app.{domain}")),
    ];
    Region { name: name.to_owned(), title: title.to_owned(), hosts: hosts.into() }
}

fn oauth() -> OAuth {
    let endpoint =
        |host: &str, path: &str| Endpoint { host: host.to_owned(), path: path.to_owned() };
    OAuth {
        authorize: Some(endpoint("sign-in", "/b/authorize")),
        token: endpoint("api", "/token"),
        revoke: Some(Revoke { endpoint: endpoint("api", "/token"), method: "DELETE".to_owned() }),
        scopes: vec!["READ_EVENTS".to_owned(), "READ_USERS".to_owned()],
        // Smartsheet does not mention PKCE, and a server must ignore what it does not know.
        pkce: Pkce::Send,
        // In the form and not in the address, so that secrets stay out of logs.
        client_authentication: ClientAuthentication::Body,
        // The registered one is used; sending another is an error.
        send_redirect: false,
        client_credentials: None,
    }
}

fn accounts() -> Stream {
    Stream {
        name: stream::ACCOUNTS.to_owned(),
        produces: Produces::Accounts,
        interval_seconds: 3600,
        page_size: MOST_USERS,
        smallest_page_size: 10,
        rounds: Rounds::Whole,
    }
}

fn activities() -> Stream {
    Stream {
        name: stream::ACTIVITIES.to_owned(),
        produces: Produces::Activities,
        interval_seconds: 60,
        page_size: MOST_EVENTS,
        smallest_page_size: 100,
        rounds: Rounds::Whole,
    }
}

fn facts() -> Stream {
    Stream {
        name: stream::FACTS.to_owned(),
        produces: Produces::Facts,
        interval_seconds: 3600,
        page_size: 1,
        smallest_page_size: 1,
        rounds: Rounds::Whole,
    }
}

fn limitations() -> Vec<String> {
    [
        "Reading events needs Smartsheet's Event Reporting add-on and a System Admin account.",
        "Smartsheet keeps events for six months.",
        "IP addresses are given since June 2026, and only for actions in the web app.",
        "Sign-ins are recorded since June 2026; the names of those events are recognized by \
         heuristics and can be set with `kinds`.",
        "Publishing is recorded for dashboards only; anonymous access to sheets shows when somebody \
         opens one.",
        "Shares name the recipient by id; its e-mail address is known only for users of the plan.",
        "Views and downloads of attachments are one and the same event, taken for downloads.",
        "Deletions of users, changed seats and rights are told by few events: the users are read \
         again every hour.",
    ]
    .map(str::to_owned)
    .to_vec()
}
