//! What the host must know of NetDocuments.

use casbah_plugin::{
    AdapterDescription, ClientAuthentication, ClientGrant, Endpoint, OAuth, Pkce, Produces, Region,
    Revoke, Rounds, Stream,
};

use crate::requests::{LONGEST_WINDOW, SHORTEST_WINDOW, stream};
use crate::settings;

/// How long NetDocuments keeps its logs, days.
pub(crate) const RETENTION_DAYS: u32 = 90;

/// The description of this adapter.
pub(crate) fn description() -> AdapterDescription {
    AdapterDescription {
        name: "netdocuments".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: "NetDocuments".to_owned(),
        regions: vec![
            region("us", "United States and elsewhere", "vault.netvoyage.com"),
            region("eu", "Europe and United Kingdom", "eu.netdocuments.com"),
            region("de", "Germany", "de.netdocuments.com"),
            region("au", "Australia", "au.netdocuments.com"),
            region("ca", "Canada", "can.netdocuments.com"),
            region("sandbox", "Sandbox for developers", "ducot.netdocuments.com"),
        ],
        oauth: Some(oauth()),
        personal_token: false,
        // Accounts first, so that activities can be joined with them from the beginning.
        streams: vec![
            other(stream::ACCOUNTS, Produces::Accounts),
            log(stream::ACTIVITIES),
            log(stream::ADMINISTRATION),
            other(stream::FACTS, Produces::Facts),
        ],
        requests_per_minute: 60,
        retention_days: RETENTION_DAYS,
        directory: false,
        settings: settings::schema(),
        limitations: limitations(),
    }
}

fn region(name: &str, title: &str, web: &str) -> Region {
    let hosts = [
        ("api".to_owned(), format!("https://api.{web}")),
        ("sign-in".to_owned(), format!("https://{web}")),
    ];
    Region { name: name.to_owned(), title: title.to_owned(), hosts: hosts.into() }
}

fn oauth() -> OAuth {
    let endpoint =
        |host: &str, path: &str| Endpoint { host: host.to_owned(), path: path.to_owned() };
    OAuth {
        authorize: Some(endpoint("sign-in", "/neWeb2/OAuth.aspx")),
        token: endpoint("api", "/v1/OAuth"),
        revoke: Some(Revoke {
            endpoint: endpoint("api", "/v2/oauth/revoke"),
            method: "POST".to_owned(),
        }),
        // Two definitions of the vendor name different ones for the log; `full` is never asked for.
        scopes: vec!["read".to_owned(), "admin".to_owned()],
        // NetDocuments does not mention PKCE, and a server must ignore what it does not know.
        pkce: Pkce::Send,
        client_authentication: ClientAuthentication::Body,
        send_redirect: true,
        client_credentials: Some(ClientGrant {
            scopes: vec!["read".to_owned(), "admin".to_owned()],
            // Client and repository go through unencoded: `%7C` for the bar is refused.
            client_authentication: ClientAuthentication::BasicRaw,
            client_id: "{client}|{setting.repository}".to_owned(),
            certificate: false,
        }),
    }
}

/// A log has no pages. Its page size is the longest window to ask for, in seconds: the host halves
/// it when an answer times out or is too large, which is just what a window needs.
fn log(name: &str) -> Stream {
    Stream {
        name: name.to_owned(),
        produces: Produces::Activities,
        interval_seconds: 300,
        page_size: LONGEST_WINDOW,
        smallest_page_size: SHORTEST_WINDOW,
        rounds: Rounds::Whole,
    }
}

fn other(name: &str, produces: Produces) -> Stream {
    Stream {
        name: name.to_owned(),
        produces,
        interval_seconds: 3600,
        page_size: 1,
        smallest_page_size: 1,
        rounds: Rounds::Whole,
    }
}

fn limitations() -> Vec<String> {
    [
        "The account that connects must be a full administrator of the repository, and the \
         consolidated log must be switched on for it.",
        "NetDocuments keeps its logs for 90 days; what is not fetched by then is lost.",
        "Signing in and out is not logged, and only what succeeded seems to be.",
        "Activities have no ids and times of one second; ids are made from the content, and true \
         repeats within a second are numbered.",
        "The names of most activities are not published; how sure the reading of a name is stands \
         in the field `confidence`.",
        "An application that signs in by itself (`--service`) sees nothing until an administrator of \
         the repository has mapped its client id to an account.",
        "`names` and `profile` hash or drop what is fetched from then on, in activities and in raw \
         records; what was stored before stays as it is.",
        "Changes of ethical walls and the histories of single documents are in neither log.",
    ]
    .map(str::to_owned)
    .to_vec()
}
