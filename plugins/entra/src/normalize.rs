//! Makes activities of sign-ins: every member finds its column or a field.

use std::borrow::Cow;
use std::rc::Rc;

use casbah_plugin::memo::Memo;
use casbah_plugin::model::TextId;
use casbah_plugin::record::{Paths, Record, Shape};
use casbah_plugin::rows::{Addresses, Known, Rows};
use casbah_plugin::scan::{Broken, Scanner};
use casbah_plugin::{Batch, BatchBuilder, Failure, body, time};
use serde_json::Value;

use crate::accounts::external_address;
use crate::fingerprint::fingerprint;

/// Lists are kept as they are; no record is nested deeply.
pub(crate) const SHAPE: Shape = Shape { deepest: 16, lists: false, wrapping: "" };

/// Makes activities of raw records.
///
/// # Errors
/// `malformed` when a record is no JSON, or does not lie within the body.
pub(crate) fn spans(body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
    let mut normalizer = Normalizer::default();
    let mut record = Record::default();
    body::records(body, raw, |text| {
        record
            .read_text(text, &mut normalizer.paths, SHAPE)
            .map_err(|error| format!("is no JSON: {error}"))?;
        normalizer.add(&record);
        Ok(())
    })?;
    Ok(normalizer.finish())
}

/// Error codes of the vendor that are steps on the way of a sign-in rather than the end of it: more
/// was asked of the person (another factor, to stay signed in, to choose an account …). From general
/// knowledge; the portal calls them *interrupted*.
const INTERRUPTIONS: &[&str] = &[
    "16000", "16001", "50058", "50072", "50074", "50076", "50079", "50097", "50125", "50127",
    "50129", "50140", "50158", "50199", "65001",
];

casbah_plugin::columns! {
    /// The columns that this adapter fills.
    struct Columns {
        id: text_column TextColumn = "id",
        time: integer_column IntegerColumn = "time",
        instance: text_column TextColumn = "instance",
        kind: text_column TextColumn = "kind",
        interactive: integer_column IntegerColumn = "interactive",
        action: text_column TextColumn = "action",
        actor: text_column TextColumn = "actor",
        actor_id: text_column TextColumn = "actor.id",
        actor_email: text_column TextColumn = "actor.email",
        actor_name: text_column TextColumn = "actor.name",
        actor_type: text_column TextColumn = "actor.type",
        ip: text_column TextColumn = "ip",
        user_agent: text_column TextColumn = "user-agent",
        source: text_column TextColumn = "source",
        client: text_column TextColumn = "client",
        result: text_column TextColumn = "result",
        reason: text_column TextColumn = "reason",
        object: text_column TextColumn = "object",
        object_name: text_column TextColumn = "object.name",
        object_kind: text_column TextColumn = "object.kind",
    }
}

casbah_plugin::parts! {
    /// Members that have a place of their own; empty when the record lacks them.
    struct Parts, enum Part {
        id: "id",
        time: "createdDateTime",
        principal: "userPrincipalName",
        user: "userId",
        name: "userDisplayName",
        service: "servicePrincipalId",
        service_name: "servicePrincipalName",
        app: "appId",
        app_name: "appDisplayName",
        ip: "ipAddress",
        client: "clientAppUsed",
        user_agent: "userAgent",
        interactive: "isInteractive",
        types: "signInEventTypes",
        error: "status.errorCode",
        reason: "status.failureReason",
        policies: "appliedConditionalAccessPolicies",
        tenant: "resourceTenantId",
        system: "deviceDetail.operatingSystem",
        browser: "deviceDetail.browser",
    }
}

/// Fields: a name and a text.
type Fields = Rc<[(TextId, TextId)]>;

/// Makes activities of sign-ins, one batch long.
pub(crate) struct Normalizer {
    rows: Rows,
    columns: Columns,
    paths: Paths,
    known: Known<Part>,
    // What was made of texts that come again and again.
    addresses: Addresses,
    types: Memo<Types>,
    principals: Memo<Principal>,
    policies: Memo<Option<Fields>>,
}

#[derive(Clone, Copy)]
struct Types {
    /// How many there are.
    count: usize,
    /// The first of them.
    first: TextId,
    /// Whether a person at the client is among them.
    interactive: bool,
}

/// What a sign-in name says of the address; 0 when it holds none.
#[derive(Clone, Copy)]
struct Principal {
    email: TextId,
    lower: TextId,
    /// Whether it is the address itself.
    same: bool,
}

impl Default for Normalizer {
    fn default() -> Self {
        let mut builder = BatchBuilder::new();
        let columns = Columns::new(&mut builder);
        Self {
            rows: Rows::new(builder),
            columns,
            paths: Paths::default(),
            known: Known::default(),
            addresses: Addresses::default(),
            types: Memo::default(),
            principals: Memo::default(),
            policies: Memo::default(),
        }
    }
}

impl Normalizer {
    /// Adds the sign-in at the scanner's position; `record` is where it is taken apart.
    ///
    /// # Errors
    /// When it is no JSON; the batch is of no use then.
    pub(crate) fn read<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        record: &mut Record<'a>,
    ) -> Result<(), Broken> {
        record.read(scanner, &mut self.paths, SHAPE)?;
        self.add(record);
        Ok(())
    }

    pub(crate) fn finish(self) -> Batch {
        self.rows.finish()
    }

    /// Adds the activity of a record.
    fn add(&mut self, record: &Record<'_>) {
        self.rows.begin();
        let parts: Parts<'_> =
            self.known.sort(record, &self.paths, &mut self.rows, |path| Cow::Borrowed(path));
        let id = match parts.id {
            "" => self.rows.builder.intern(&fingerprint(record, &self.paths)),
            id => self.rows.builder.intern(id),
        };
        self.rows.builder.set_text(self.columns.id, id);
        match read_time(parts.time) {
            Some(time) => self.rows.builder.set_integer(self.columns.time, time),
            None => self.rows.field("createdDateTime", parts.time),
        }
        let tenant = self.rows.builder.intern(parts.tenant);
        self.rows.builder.set_text(self.columns.instance, tenant);
        let kind = self.rows.word("login");
        self.rows.builder.set_text(self.columns.kind, kind);
        self.action(&parts);
        self.who(&parts);
        self.wherefrom(&parts);
        self.outcome(&parts);
        self.app(&parts);
        self.policies(&parts);
        self.rows.end();
    }

    /// The app's own word for the kind of sign-in, and whether a person was at the client.
    fn action(&mut self, parts: &Parts<'_>) {
        let builder = &mut self.rows.builder;
        let types = self.types.get(parts.types, |types| {
            let types = serde_json::from_str::<Vec<String>>(types).unwrap_or_default();
            Types {
                count: types.len(),
                first: types.first().map_or(0, |first| builder.intern(first)),
                interactive: types.iter().any(|kind| kind.eq_ignore_ascii_case("interactiveUser")),
            }
        });
        let interactive = match parts.interactive {
            "true" => Some(true),
            "false" => Some(false),
            _ if types.interactive => Some(true),
            _ if types.count > 0 => Some(false),
            _ => None,
        };
        if let Some(interactive) = interactive {
            self.rows.builder.set_integer(self.columns.interactive, i64::from(interactive));
        }
        if !matches!(parts.interactive, "true" | "false") {
            self.rows.field("isInteractive", parts.interactive);
        }
        let action = if types.count > 0 { types.first } else { self.rows.word("signIn") };
        self.rows.builder.set_text(self.columns.action, action);
        if types.count != 1 {
            self.rows.field("signInEventTypes", parts.types);
        }
    }

    fn who(&mut self, parts: &Parts<'_>) {
        let service = parts.user.is_empty() && !parts.service.is_empty();
        let builder = &mut self.rows.builder;
        let principal = self.principals.get(parts.principal, |name| principal(builder, name));
        let (id, name) =
            if service { (parts.service, parts.service_name) } else { (parts.user, parts.name) };
        let (id_text, name_text) = (self.rows.builder.intern(id), self.rows.builder.intern(name));
        let actor = match principal.lower {
            0 => {
                let text = [id, parts.principal, name].into_iter().find(|text| !text.is_empty());
                lowered(&mut self.rows.builder, text.unwrap_or_default())
            }
            lower => lower,
        };
        self.rows.builder.set_text(self.columns.actor, actor);
        self.rows.builder.set_text(self.columns.actor_id, id_text);
        self.rows.builder.set_text(self.columns.actor_email, principal.email);
        self.rows.builder.set_text(self.columns.actor_name, name_text);
        if actor != 0 {
            let kind = self.rows.word(if service { "service" } else { "user" });
            self.rows.builder.set_text(self.columns.actor_type, kind);
        }
        if !principal.same {
            self.rows.field("userPrincipalName", parts.principal);
        }
        if service {
            self.rows.field("userDisplayName", parts.name);
        } else {
            self.rows.field("servicePrincipalId", parts.service);
            self.rows.field("servicePrincipalName", parts.service_name);
        }
    }

    fn wherefrom(&mut self, parts: &Parts<'_>) {
        let found = self.addresses.get(&mut self.rows.builder, parts.ip);
        self.rows.builder.set_text(self.columns.ip, found.ip);
        if !found.same {
            self.rows.field("ipAddress", parts.ip);
        }
        // Version 1.0 gives only what Entra made of the client's words, such as `Chrome 142.0.0`.
        let agent = if parts.user_agent.is_empty() { parts.browser } else { parts.user_agent };
        let agent = self.rows.builder.intern(agent);
        self.rows.builder.set_text(self.columns.user_agent, agent);
        let source = self.rows.builder.intern(parts.client);
        self.rows.builder.set_text(self.columns.source, source);
        if source != 0 {
            let client = self.rows.word(client(parts.client, parts.system));
            self.rows.builder.set_text(self.columns.client, client);
        }
        self.rows.field("deviceDetail.operatingSystem", parts.system);
        self.rows.field("deviceDetail.browser", parts.browser);
    }

    fn outcome(&mut self, parts: &Parts<'_>) {
        let result = match parts.error {
            "0" => "success",
            "" => "unknown",
            code if INTERRUPTIONS.contains(&code) => "unknown",
            _ => "failure",
        };
        let id = self.rows.word(result);
        self.rows.builder.set_text(self.columns.result, id);
        if parts.error != "0" {
            self.rows.field("status.errorCode", parts.error);
        }
        if result != "failure" {
            self.rows.field("status.failureReason", parts.reason);
            return;
        }
        let reason = match parts.reason {
            "" | "Other." => self.rows.builder.intern(&format!("AADSTS{}", parts.error)),
            reason => self.rows.builder.intern(reason),
        };
        self.rows.builder.set_text(self.columns.reason, reason);
        if parts.reason == "Other." {
            self.rows.field("status.failureReason", parts.reason);
        }
    }

    /// What was signed in to.
    fn app(&mut self, parts: &Parts<'_>) {
        let (id, name) =
            (self.rows.builder.intern(parts.app), self.rows.builder.intern(parts.app_name));
        self.rows.builder.set_text(self.columns.object, id);
        self.rows.builder.set_text(self.columns.object_name, name);
        if id == 0 && name == 0 {
            return;
        }
        let (role, kind) = (self.rows.word("object"), self.rows.word("other"));
        self.rows.builder.set_text(self.columns.object_kind, kind);
        self.rows.object([role, kind, id, name]);
        self.rows.field("appId", parts.app);
        self.rows.field("appDisplayName", parts.app_name);
    }

    /// The policies of conditional access that had a say. There may be dozens that had none; the raw
    /// record has them all.
    fn policies(&mut self, parts: &Parts<'_>) {
        let builder = &mut self.rows.builder;
        let known = self.policies.get(parts.policies, |text| {
            let fields = policies(text)?.into_iter();
            Some(fields.map(|(key, name)| (builder.intern(&key), builder.intern(&name))).collect())
        });
        match known {
            Some(fields) => fields.iter().for_each(|&(key, name)| self.rows.push_field(key, name)),
            None => self.rows.field("appliedConditionalAccessPolicies", parts.policies),
        }
    }
}

fn principal(builder: &mut BatchBuilder, name: &str) -> Principal {
    let external = external_address(name);
    let email = match &external {
        Some(address) => address.as_str(),
        None if name.contains('@') => name,
        None => "",
    };
    Principal {
        email: builder.intern(email),
        lower: builder.intern(&email.to_lowercase()),
        same: email == name,
    }
}

/// An address in lower case; any other name as it is.
fn lowered(builder: &mut BatchBuilder, text: &str) -> TextId {
    if text.contains('@') { builder.intern(&text.to_lowercase()) } else { builder.intern(text) }
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
    time::parse_or_utc(text).filter(|time| TIMES.contains(time))
}

/// Kind of client, by the vendor's word for it and the system it ran on.
fn client(name: &str, system: &str) -> &'static str {
    let is = |words: &[&str]| words.iter().any(|word| name.eq_ignore_ascii_case(word));
    let mobile = || {
        ["ios", "android"].iter().any(|mobile| {
            system.get(..mobile.len()).is_some_and(|head| head.eq_ignore_ascii_case(mobile))
        })
    };
    if is(&["browser"]) {
        "web"
    } else if is(&["exchange activesync", "exchange active sync"])
        || is(&["mobile apps and desktop clients", "modern clients"]) && mobile()
    {
        "mobile"
    } else if is(&["exchange web services", "exchange online powershell", "reporting web services"])
    {
        "api"
    } else {
        "unknown"
    }
}
