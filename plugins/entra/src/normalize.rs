//! Makes activities of sign-ins: every member finds its column or a field.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use casbah_plugin::{Batch, BatchBuilder, Failure, time};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::accounts::external_address;
use crate::failure::malformed;
use crate::record::Record;

/// Makes activities of raw records.
///
/// # Errors
/// `malformed` when a record is no JSON, or does not lie within the body.
pub(crate) fn spans(body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
    let mut normalizer = Normalizer::default();
    let (pairs, rest) = raw.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed("a raw record has a start but no end"));
    }
    for (number, &[start, end]) in pairs.iter().enumerate() {
        let record = body
            .get(start as usize..end as usize)
            .and_then(|record| std::str::from_utf8(record).ok())
            .ok_or_else(|| {
                malformed(&format!(
                    "raw record {number} at bytes {start} to {end} is not UTF-8 within the body"
                ))
            })?;
        let record = Record::read(record)
            .map_err(|error| malformed(&format!("raw record {number} is no JSON: {error}")))?;
        normalizer.add(record);
    }
    Ok(normalizer.builder.finish())
}

/// Makes activities of the records of an answer.
pub(crate) fn records(items: &[&RawValue]) -> Batch {
    let mut normalizer = Normalizer::default();
    for item in items {
        normalizer.add(Record::of(item));
    }
    normalizer.builder.finish()
}

/// Error codes of the vendor that are steps on the way of a sign-in rather than the end of it: more
/// was asked of the person (another factor, to stay signed in, to choose an account …). From general
/// knowledge; the portal calls them *interrupted*.
const INTERRUPTIONS: &[&str] = &[
    "16000", "16001", "50058", "50072", "50074", "50076", "50079", "50097", "50125", "50127",
    "50129", "50140", "50158", "50199", "65001",
];

/// Members that have a place of their own.
#[derive(Default)]
struct Parts<'a> {
    id: Cow<'a, str>,
    time: Cow<'a, str>,
    principal: Cow<'a, str>,
    user: Cow<'a, str>,
    name: Cow<'a, str>,
    service: Cow<'a, str>,
    service_name: Cow<'a, str>,
    app: Cow<'a, str>,
    app_name: Cow<'a, str>,
    ip: Cow<'a, str>,
    client: Cow<'a, str>,
    user_agent: Cow<'a, str>,
    interactive: Cow<'a, str>,
    types: Cow<'a, str>,
    error: Cow<'a, str>,
    reason: Cow<'a, str>,
    policies: Cow<'a, str>,
    tenant: Cow<'a, str>,
    system: Cow<'a, str>,
    browser: Cow<'a, str>,
    fields: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> Parts<'a> {
    fn of(record: Record<'a>) -> Self {
        let mut parts = Self::default();
        for (path, value) in record.members {
            match parts.place(&path) {
                Some(place) if place.is_empty() => *place = value,
                _ => parts.fields.push((path, value)),
            }
        }
        parts
    }

    fn place(&mut self, path: &str) -> Option<&mut Cow<'a, str>> {
        Some(match path {
            "id" => &mut self.id,
            "createdDateTime" => &mut self.time,
            "userPrincipalName" => &mut self.principal,
            "userId" => &mut self.user,
            "userDisplayName" => &mut self.name,
            "servicePrincipalId" => &mut self.service,
            "servicePrincipalName" => &mut self.service_name,
            "appId" => &mut self.app,
            "appDisplayName" => &mut self.app_name,
            "ipAddress" => &mut self.ip,
            "clientAppUsed" => &mut self.client,
            "userAgent" => &mut self.user_agent,
            "isInteractive" => &mut self.interactive,
            "signInEventTypes" => &mut self.types,
            "status.errorCode" => &mut self.error,
            "status.failureReason" => &mut self.reason,
            "appliedConditionalAccessPolicies" => &mut self.policies,
            "resourceTenantId" => &mut self.tenant,
            "deviceDetail.operatingSystem" => &mut self.system,
            "deviceDetail.browser" => &mut self.browser,
            _ => return None,
        })
    }

    /// Keeps a text of the record as a field.
    fn field(&mut self, key: &'static str, value: Cow<'a, str>) {
        if !value.is_empty() {
            self.fields.push((Cow::Borrowed(key), value));
        }
    }
}

#[derive(Default)]
struct Normalizer {
    builder: BatchBuilder,
    /// What was made of texts that come again and again.
    addresses: HashMap<String, Option<String>>,
    types: HashMap<String, Vec<String>>,
    policies: HashMap<String, Option<Vec<(String, String)>>>,
}

/// What a text becomes, made once.
fn once<'a, T>(
    known: &'a mut HashMap<String, T>,
    text: &str,
    make: impl FnOnce(&str) -> T,
) -> &'a T {
    known.entry(text.to_owned()).or_insert_with_key(|text| make(text))
}

impl Normalizer {
    /// Adds the activity of a record.
    fn add(&mut self, record: Record<'_>) {
        let has_id = record.members.iter().any(|(path, _)| path == "id");
        let made = if has_id { String::new() } else { record.fingerprint() };
        let mut parts = Parts::of(record);
        self.builder.begin_row();
        self.builder.text("id", if has_id { &parts.id } else { &made });
        match read_time(&parts.time) {
            Some(time) => self.builder.integer("time", time),
            None => parts.field("createdDateTime", parts.time.clone()),
        }
        self.builder.text("instance", &parts.tenant);
        self.builder.text("kind", "login");
        self.action(&mut parts);
        self.who(&mut parts);
        self.wherefrom(&mut parts);
        self.outcome(&mut parts);
        self.app(&mut parts);
        self.policies(&mut parts);
        for (key, value) in &parts.fields {
            self.builder.begin_nested("fields");
            self.builder.nested_text("fields", "key", key);
            self.builder.nested_text("fields", "value", value);
        }
    }

    /// The app's own word for the kind of sign-in, and whether a person was at the client.
    fn action(&mut self, parts: &mut Parts<'_>) {
        let types = once(&mut self.types, &parts.types, |types| {
            serde_json::from_str::<Vec<String>>(types).unwrap_or_default()
        });
        let named = |name: &str| types.iter().any(|kind| kind.eq_ignore_ascii_case(name));
        let interactive = match &*parts.interactive {
            "true" => Some(true),
            "false" => Some(false),
            _ if named("interactiveUser") => Some(true),
            _ if !types.is_empty() => Some(false),
            _ => None,
        };
        if let Some(interactive) = interactive {
            self.builder.flag("interactive", interactive);
        }
        if !matches!(&*parts.interactive, "true" | "false") {
            parts.field("isInteractive", parts.interactive.clone());
        }
        self.builder.text("action", types.first().map_or("signIn", String::as_str));
        if types.len() != 1 {
            parts.field("signInEventTypes", parts.types.clone());
        }
    }

    fn who(&mut self, parts: &mut Parts<'_>) {
        let service = parts.user.is_empty() && !parts.service.is_empty();
        let id: &str = if service { &parts.service } else { &parts.user };
        let external = external_address(&parts.principal);
        let email: &str = match &external {
            Some(address) => address.as_str(),
            None if parts.principal.contains('@') => &parts.principal,
            None => "",
        };
        let name: &str = if service { &parts.service_name } else { &parts.name };
        let actor = [email, id, &*parts.principal, name]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        let actor = if actor.contains('@') { actor.to_lowercase() } else { actor.to_owned() };
        self.builder.text("actor", &actor);
        self.builder.text("actor.id", id);
        self.builder.text("actor.email", email);
        self.builder.text("actor.name", name);
        if !actor.is_empty() {
            self.builder.text("actor.type", if service { "service" } else { "user" });
        }
        if email != parts.principal {
            parts.field("userPrincipalName", parts.principal.clone());
        }
        if service {
            parts.field("userDisplayName", parts.name.clone());
        } else {
            parts.field("servicePrincipalId", parts.service.clone());
            parts.field("servicePrincipalName", parts.service_name.clone());
        }
    }

    fn wherefrom(&mut self, parts: &mut Parts<'_>) {
        match once(&mut self.addresses, &parts.ip, address) {
            Some(ip) => {
                self.builder.text("ip", ip);
                if *ip != parts.ip {
                    parts.field("ipAddress", parts.ip.clone());
                }
            }
            None => parts.field("ipAddress", parts.ip.clone()),
        }
        // Version 1.0 gives only what Entra made of the client's words, such as `Chrome 142.0.0`.
        let agent = if parts.user_agent.is_empty() { &parts.browser } else { &parts.user_agent };
        self.builder.text("user-agent", agent);
        self.builder.text("source", &parts.client);
        if !parts.client.is_empty() {
            self.builder.text("client", client(&parts.client, &parts.system));
        }
        parts.field("deviceDetail.operatingSystem", parts.system.clone());
        parts.field("deviceDetail.browser", parts.browser.clone());
    }

    fn outcome(&mut self, parts: &mut Parts<'_>) {
        let result = match &*parts.error {
            "0" => "success",
            "" => "unknown",
            code if INTERRUPTIONS.contains(&code) => "unknown",
            _ => "failure",
        };
        self.builder.text("result", result);
        if parts.error != "0" {
            parts.field("status.errorCode", parts.error.clone());
        }
        if result == "failure" {
            let code = format!("AADSTS{}", parts.error);
            let said = matches!(&*parts.reason, "" | "Other.");
            self.builder.text("reason", if said { &code } else { &parts.reason });
            if parts.reason == "Other." {
                parts.field("status.failureReason", Cow::Borrowed("Other."));
            }
        } else {
            parts.field("status.failureReason", parts.reason.clone());
        }
    }

    /// What was signed in to.
    fn app(&mut self, parts: &mut Parts<'_>) {
        self.builder.text("object", &parts.app);
        self.builder.text("object.name", &parts.app_name);
        if parts.app.is_empty() && parts.app_name.is_empty() {
            return;
        }
        self.builder.text("object.kind", "other");
        self.builder.begin_nested("objects");
        for (column, value) in
            [("role", "object"), ("kind", "other"), ("id", &parts.app), ("name", &parts.app_name)]
        {
            self.builder.nested_text("objects", column, value);
        }
        parts.field("appId", parts.app.clone());
        parts.field("appDisplayName", parts.app_name.clone());
    }

    /// The policies of conditional access that had a say. There may be dozens that had none; the raw
    /// record has them all.
    fn policies(&mut self, parts: &mut Parts<'_>) {
        match once(&mut self.policies, &parts.policies, policies) {
            Some(policies) => {
                for (key, name) in policies {
                    parts.fields.push((Cow::Owned(key.clone()), Cow::Owned(name.clone())));
                }
            }
            None => parts.field("appliedConditionalAccessPolicies", parts.policies.clone()),
        }
    }
}

/// Fields and names of the policies that had a say; `None` when it is no list.
fn policies(text: &str) -> Option<Vec<(String, String)>> {
    let policies = serde_json::from_str::<Vec<Value>>(text).ok()?;
    let mut fields = Vec::new();
    for policy in policies {
        let text = |name: &str| policy.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, result) = (text("displayName"), text("result"));
        let name = if name.is_empty() { text("id") } else { name };
        if !matches!(result, "" | "notApplied" | "notEnabled") && !name.is_empty() {
            fields.push((format!("conditionalAccess.{result}"), name.to_owned()));
        }
    }
    Some(fields)
}

/// Times that the host believes, ms since 1970.
const TIMES: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_000_000_000_000;

/// Reads a time: without a zone it is UTC.
fn read_time(text: &str) -> Option<i64> {
    let time = time::parse(text).or_else(|| time::parse(&format!("{text}Z")))?;
    TIMES.contains(&time).then_some(time)
}

/// An IP address, also one with a port.
fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|ip| ip.to_canonical().to_string())
}

/// Kind of client, by the vendor's word for it and the system it ran on.
fn client(name: &str, system: &str) -> &'static str {
    let system = system.to_ascii_lowercase();
    let mobile = system.starts_with("ios") || system.starts_with("android");
    match name.to_ascii_lowercase().as_str() {
        "browser" => "web",
        "mobile apps and desktop clients" | "modern clients" if mobile => "mobile",
        "exchange activesync" | "exchange active sync" => "mobile",
        "exchange web services" | "exchange online powershell" | "reporting web services" => "api",
        _ => "unknown",
    }
}
