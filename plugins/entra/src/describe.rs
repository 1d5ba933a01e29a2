//! What the host must know of Entra ID.

use casbah_plugin::{
    AdapterDescription, ClientAuthentication, ClientGrant, Endpoint, OAuth, Pkce, Produces, Region,
    Rounds, Stream,
};

use crate::requests::stream;
use crate::settings;

/// How long Entra ID keeps sign-ins, days. Without a premium licence a week, but then the log can't
/// be read by a program at all.
pub(crate) const RETENTION_DAYS: u32 = 30;

/// Where Graph stands, cloud by cloud.
pub(crate) const GRAPH_HOSTS: &[&str] = &[
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
];

/// The description of this adapter.
pub(crate) fn description() -> AdapterDescription {
    AdapterDescription {
        name: "entra".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        title: "Microsoft Entra ID".to_owned(),
        regions: vec![
            region("global", "Global, GCC", "graph.microsoft.com", "login.microsoftonline.com"),
            region(
                "us-gov-l4",
                "US Government L4 (GCC High)",
                "graph.microsoft.us",
                "login.microsoftonline.us",
            ),
            region(
                "us-gov-dod",
                "US Government L5 (DoD)",
                "dod-graph.microsoft.us",
                "login.microsoftonline.us",
            ),
            region(
                "china",
                "China (21Vianet)",
                "microsoftgraph.chinacloudapi.cn",
                "login.chinacloudapi.cn",
            ),
        ],
        oauth: Some(oauth()),
        personal_token: false,
        // Users before deleted users: these say since when somebody is gone.
        streams: vec![
            other(stream::USERS, Produces::Accounts, Rounds::Delta, 300, 1),
            other(stream::DELETED, Produces::Accounts, Rounds::Some, 900, LIST_PAGE),
            other(stream::LEAVERS, Produces::Accounts, Rounds::Some, 21_600, LIST_PAGE),
            other(stream::MEMBERS, Produces::Memberships, Rounds::Whole, 3_600, LIST_PAGE),
            Stream {
                smallest_page_size: 50,
                ..other(stream::SIGN_INS, Produces::Activities, Rounds::Whole, 300, SIGN_IN_PAGE)
            },
            other(stream::FACTS, Produces::Facts, Rounds::Whole, 3_600, 1),
        ],
        requests_per_minute: 60,
        retention_days: RETENTION_DAYS,
        settings: settings::schema(),
        limitations: limitations(),
        directory: true,
    }
}

/// How many users or members Graph gives on a page at most.
const LIST_PAGE: u32 = 999;
/// How many sign-ins Graph gives on a page at most.
const SIGN_IN_PAGE: u32 = 1000;

fn region(name: &str, title: &str, graph: &str, login: &str) -> Region {
    let hosts = [
        ("api".to_owned(), format!("https://{graph}")),
        ("sign-in".to_owned(), format!("https://{login}")),
    ];
    Region { name: name.to_owned(), title: title.to_owned(), hosts: hosts.into() }
}

fn oauth() -> OAuth {
    OAuth {
        authorize: None,
        token: Endpoint {
            host: "sign-in".to_owned(),
            path: "/{setting.tenant}/oauth2/v2.0/token".to_owned(),
        },
        // There is nothing to revoke: whoever wants to end it removes the secret or the consent.
        revoke: None,
        scopes: Vec::new(),
        pkce: Pkce::Off,
        client_authentication: ClientAuthentication::Body,
        send_redirect: false,
        client_credentials: Some(ClientGrant {
            scopes: vec!["{host.api}/.default".to_owned()],
            client_authentication: ClientAuthentication::Body,
            client_id: String::new(),
            certificate: true,
        }),
    }
}

fn other(name: &str, produces: Produces, rounds: Rounds, interval: u64, page: u32) -> Stream {
    Stream {
        name: name.to_owned(),
        produces,
        interval_seconds: interval,
        page_size: page,
        smallest_page_size: page.min(100),
        rounds,
    }
}

fn limitations() -> Vec<String> {
    [
        "The application needs `User.Read.All`; for groups also `GroupMember.Read.All`, for sign-ins \
         `AuditLog.Read.All` and `Directory.Read.All`, for leave dates `User-LifeCycleInfo.Read.All`, \
         each with an administrator's consent. A token is issued without any of them, too.",
        "Sign-ins need Entra ID P1 or P2. Without it the rest works, and sign-ins are absent.",
        "Sign-ins without a person at the client come from the beta version of Microsoft Graph, and \
         only where the setting `non-interactive` asks for them.",
        "A leave date that is empty may not be set or not be readable; it is taken for unknown.",
        "Entra ID does not say when an account was disabled: casbah takes the time when it saw it.",
        "Who was deleted for good before casbah connected is not known; Entra ID keeps others for 30 \
         days.",
        "An application proves itself by a secret or an RSA certificate; federated credentials are not \
         supported, and casbah does not know when a certificate or a secret runs out.",
        "Tenants of Azure AD B2C have no changes of users to ask for, and are not supported.",
        "Administrators' roles are not read.",
    ]
    .map(str::to_owned)
    .to_vec()
}
