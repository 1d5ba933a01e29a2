//! Makes activities of sign-ins: every member finds its column or a field.

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
        // It was read once as part of the answer, so that it can't be broken.
        normalizer.add(Record::read(item.get()).unwrap_or_default());
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
struct Parts {
    id: String,
    time: String,
    principal: String,
    user: String,
    name: String,
    service: String,
    service_name: String,
    app: String,
    app_name: String,
    ip: String,
    client: String,
    user_agent: String,
    interactive: String,
    types: String,
    error: String,
    reason: String,
    policies: String,
    tenant: String,
    system: String,
    browser: String,
    fields: Vec<(String, String)>,
}

impl Parts {
    fn of(record: Record) -> Self {
        let mut parts = Self::default();
        for (path, value) in record.members {
            match parts.place(&path) {
                Some(place) if place.is_empty() => *place = value,
                _ => parts.fields.push((path, value)),
            }
        }
        parts
    }

    fn place(&mut self, path: &str) -> Option<&mut String> {
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

    fn field(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.fields.push((key.to_owned(), value.to_owned()));
        }
    }
}

#[derive(Default)]
struct Normalizer {
    builder: BatchBuilder,
}

impl Normalizer {
    /// Adds the activity of a record.
    fn add(&mut self, record: Record) {
        let has_id = record.members.iter().any(|(path, _)| path == "id");
        let made = if has_id { String::new() } else { record.fingerprint() };
        let mut parts = Parts::of(record);
        self.builder.begin_row();
        self.builder.text("id", if has_id { &parts.id } else { &made });
        match read_time(&parts.time) {
            Some(time) => self.builder.integer("time", time),
            None => parts.field("createdDateTime", &parts.time.clone()),
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
    fn action(&mut self, parts: &mut Parts) {
        let types: Vec<String> = serde_json::from_str(&parts.types).unwrap_or_default();
        let named = |name: &str| types.iter().any(|kind| kind.eq_ignore_ascii_case(name));
        let interactive = match parts.interactive.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ if named("interactiveUser") => Some(true),
            _ if !types.is_empty() => Some(false),
            _ => None,
        };
        if let Some(interactive) = interactive {
            self.builder.flag("interactive", interactive);
        }
        if !matches!(parts.interactive.as_str(), "true" | "false") {
            parts.field("isInteractive", &parts.interactive.clone());
        }
        self.builder.text("action", types.first().map_or("signIn", String::as_str));
        if types.len() != 1 {
            parts.field("signInEventTypes", &parts.types.clone());
        }
    }

    fn who(&mut self, parts: &mut Parts) {
        let service = parts.user.is_empty() && !parts.service.is_empty();
        let id = if service { &parts.service } else { &parts.user };
        let external = external_address(&parts.principal);
        let email = match &external {
            Some(address) => address.as_str(),
            None if parts.principal.contains('@') => &parts.principal,
            None => "",
        };
        let name = if service { &parts.service_name } else { &parts.name };
        let actor = [email, id, parts.principal.as_str(), name]
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
            parts.field("userPrincipalName", &parts.principal.clone());
        }
        if service {
            parts.field("userDisplayName", &parts.name.clone());
        } else {
            parts.field("servicePrincipalId", &parts.service.clone());
            parts.field("servicePrincipalName", &parts.service_name.clone());
        }
    }

    fn wherefrom(&mut self, parts: &mut Parts) {
        match address(&parts.ip) {
            Some(ip) => {
                self.builder.text("ip", &ip);
                if ip != parts.ip {
                    parts.field("ipAddress", &parts.ip.clone());
                }
            }
            None => parts.field("ipAddress", &parts.ip.clone()),
        }
        // Version 1.0 gives only what Entra made of the client's words, such as `Chrome 142.0.0`.
        let agent = if parts.user_agent.is_empty() { &parts.browser } else { &parts.user_agent };
        self.builder.text("user-agent", agent);
        self.builder.text("source", &parts.client);
        if !parts.client.is_empty() {
            self.builder.text("client", client(&parts.client, &parts.system));
        }
        parts.field("deviceDetail.operatingSystem", &parts.system.clone());
        parts.field("deviceDetail.browser", &parts.browser.clone());
    }

    fn outcome(&mut self, parts: &mut Parts) {
        let result = match parts.error.as_str() {
            "0" => "success",
            "" => "unknown",
            code if INTERRUPTIONS.contains(&code) => "unknown",
            _ => "failure",
        };
        self.builder.text("result", result);
        if parts.error != "0" {
            parts.field("status.errorCode", &parts.error.clone());
        }
        if result == "failure" {
            let code = format!("AADSTS{}", parts.error);
            let said = matches!(parts.reason.as_str(), "" | "Other.");
            self.builder.text("reason", if said { &code } else { &parts.reason });
            if parts.reason == "Other." {
                parts.field("status.failureReason", "Other.");
            }
        } else {
            parts.field("status.failureReason", &parts.reason.clone());
        }
    }

    /// What was signed in to.
    fn app(&mut self, parts: &mut Parts) {
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
        parts.field("appId", &parts.app.clone());
        parts.field("appDisplayName", &parts.app_name.clone());
    }

    /// The policies of conditional access that had a say. There may be dozens that had none; the raw
    /// record has them all.
    fn policies(&mut self, parts: &mut Parts) {
        let Ok(policies) = serde_json::from_str::<Vec<Value>>(&parts.policies) else {
            parts.field("appliedConditionalAccessPolicies", &parts.policies.clone());
            return;
        };
        for policy in policies {
            let text = |name: &str| policy.get(name).and_then(Value::as_str).unwrap_or_default();
            let (name, result) = (text("displayName"), text("result"));
            let name = if name.is_empty() { text("id") } else { name };
            if !matches!(result, "" | "notApplied" | "notEnabled") && !name.is_empty() {
                parts.field(&format!("conditionalAccess.{result}"), name);
            }
        }
    }
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
