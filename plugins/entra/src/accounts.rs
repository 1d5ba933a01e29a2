//! Users, deleted users and leave dates: rounds, and what a user object says of an account.
//!
//! What is absent or null is unknown, never false: Graph leaves members out for many reasons.

use casbah_plugin::{
    Batch, BatchBuilder, Failure, HttpRequest, Next, Page, PlanRequest, Response, time,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::envelope::{self, List};
use crate::failure::malformed;
use crate::requests::{cursor, follow, get, probe, stream, write};
use crate::settings::{Guests, Settings};

/// What is asked of a user. `createdDateTime` stands in every full object and hardly changes, so it
/// tells full objects from those that only name what changed.
const USER: &str = "id,userPrincipalName,mail,otherMails,proxyAddresses,displayName,accountEnabled,\
    userType,createdDateTime";
const DELETED_USER: &str =
    "id,userPrincipalName,mail,otherMails,proxyAddresses,displayName,userType,deletedDateTime";

/// Where a round stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// Path and query of the next page, or of the next round.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
    /// Whether this round tells only what has changed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    changes: bool,
}

/// The next request of a stream of accounts.
///
/// # Errors
/// `malformed` when the cursor holds no link of ours.
pub(crate) fn plan(request: &PlanRequest, settings: &Settings) -> Result<HttpRequest, Failure> {
    let kept: Cursor = cursor(request);
    if !request.recover
        && let Some(link) = &kept.link
    {
        return follow(link);
    }
    let list = |path: &str, select: &str| {
        let top = ("$top", request.page_size.clamp(1, 999).to_string());
        get(path.to_owned(), &[("$select", select.to_owned()), top])
    };
    Ok(match request.stream.as_str() {
        // A round of changes takes neither a page size nor an order.
        stream::USERS => get("/v1.0/users/delta".to_owned(), &[("$select", USER.to_owned())]),
        stream::DELETED => list("/v1.0/directory/deletedItems/microsoft.graph.user", DELETED_USER),
        _ if settings.leave_dates && settings.guests == Guests::LeaveOut => {
            list("/v1.0/users", "id,userPrincipalName,userType,employeeLeaveDateTime")
        }
        _ if settings.leave_dates => list("/v1.0/users", "id,employeeLeaveDateTime"),
        _ => probe(),
    })
}

/// Makes a page of accounts of an answer.
///
/// # Errors
/// `malformed` when the answer is no list of users.
pub(crate) fn read(response: &Response, settings: &Settings) -> Result<Page, Failure> {
    let request = &response.request;
    let list = envelope::list(response)?;
    let before: Cursor = if request.recover { Cursor::default() } else { cursor(request) };
    let (batch, raw) = match request.stream.as_str() {
        stream::LEAVERS if !settings.leave_dates => (Batch::default(), Vec::new()),
        stream::LEAVERS => rows(&list, |builder, user| leaver(builder, user, settings)),
        stream::DELETED => rows(&list, |builder, user| deleted(builder, user, settings)),
        _ => rows(&list, |builder, user| changed(builder, user, settings, before.changes)),
    };
    let (next, after) = match (request.stream.as_str(), list.next, list.delta) {
        (_, Some(link), _) => (Next::More, Cursor { link: Some(link), ..before }),
        (stream::USERS, None, Some(link)) => {
            (Next::CaughtUp, Cursor { link: Some(link), changes: true })
        }
        (stream::USERS, None, None) => {
            return Err(malformed("the page of changed users has neither a next page nor an end"));
        }
        _ => (Next::CaughtUp, Cursor::default()),
    };
    Ok(Page { next, cursor: write(&after), batch, raw, facts: Vec::new() })
}

/// Makes a row of every record that `add` makes one of.
fn rows(
    list: &List<'_>,
    mut add: impl FnMut(&mut BatchBuilder, &User) -> bool,
) -> (Batch, Vec<u32>) {
    let mut builder = BatchBuilder::new();
    let mut raw = Vec::with_capacity(list.spans.len());
    let mut unread = 0_usize;
    let (spans, _) = list.spans.as_chunks::<2>();
    for (item, span) in list.items.iter().zip(spans) {
        match User::read(item) {
            Some(user) if add(&mut builder, &user) => raw.extend_from_slice(span),
            Some(_) => {}
            None => unread += 1,
        }
    }
    if unread > 0 {
        casbah_plugin::log(&format!("{unread} users without an id were passed over"));
    }
    (builder.finish(), raw)
}

/// A user object, as far as it says something.
struct User {
    id: String,
    members: serde_json::Map<String, Value>,
}

impl User {
    fn read(raw: &RawValue) -> Option<Self> {
        let Ok(Value::Object(members)) = serde_json::from_str(raw.get()) else { return None };
        let id = members.get("id").and_then(Value::as_str).filter(|id| !id.is_empty())?.to_owned();
        Some(Self { id, members })
    }

    fn text(&self, name: &str) -> &str {
        self.members.get(name).and_then(Value::as_str).unwrap_or_default().trim()
    }

    fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.members.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::trim)
    }

    fn time(&self, name: &str) -> Option<i64> {
        // Before and after these years nobody has left: they stand for *none*.
        const TIMES: std::ops::Range<i64> = 0..7_258_118_400_000;
        time::parse(self.text(name)).filter(|at| TIMES.contains(at))
    }

    /// The sign-in name. That of a deleted user has the id put in front.
    fn principal(&self) -> &str {
        let name = self.text("userPrincipalName");
        let id: String = self.id.chars().filter(|&character| character != '-').collect();
        match name.split_at_checked(id.len()) {
            Some((head, rest)) if !rest.is_empty() && head.eq_ignore_ascii_case(&id) => rest,
            _ => name,
        }
    }

    /// The main address: `mail`, else the address behind the sign-in name.
    fn email(&self) -> String {
        let mail = self.text("mail");
        if mail.contains('@') {
            return mail.to_owned();
        }
        let name = self.principal();
        match external_address(name) {
            Some(address) => address,
            None if name.contains('@') => name.to_owned(),
            None => String::new(),
        }
    }

    /// Other addresses and sign-in names, in lower case.
    fn aliases(&self, email: &str) -> String {
        let name = self.principal();
        let proxies = self.texts("proxyAddresses").filter_map(|proxy| {
            let (kind, address) = proxy.split_once(':')?;
            kind.eq_ignore_ascii_case("smtp").then_some(address)
        });
        let mut found: Vec<String> = Vec::new();
        let external = external_address(name);
        for alias in [name, external.as_deref().unwrap_or_default(), self.text("mail")]
            .into_iter()
            .chain(self.texts("otherMails"))
            .chain(proxies)
        {
            let alias = alias.to_lowercase();
            let sound = alias.contains('@') && !alias.contains([',', ' ']);
            if sound && alias != email.to_lowercase() && !found.contains(&alias) {
                found.push(alias);
            }
        }
        found.join(",")
    }

    fn guest(&self) -> Option<bool> {
        match self.text("userType") {
            "" => external_address(self.principal()).map(|_| true),
            kind => Some(kind.eq_ignore_ascii_case("guest")),
        }
    }

    fn unwanted(&self, settings: &Settings) -> bool {
        settings.guests == Guests::LeaveOut && self.guest() == Some(true)
    }
}

/// The address of a guest, out of a sign-in name such as `ana_contoso.com#EXT#@other.example`.
pub(crate) fn external_address(name: &str) -> Option<String> {
    let at = name.to_ascii_lowercase().find("#ext#@")?;
    let (local, domain) = name.get(..at)?.rsplit_once('_')?;
    (!local.is_empty() && domain.contains('.')).then(|| format!("{local}@{domain}"))
}

/// A user of a round of changes.
fn changed(builder: &mut BatchBuilder, user: &User, settings: &Settings, changes: bool) -> bool {
    if user.members.contains_key("@removed") {
        builder.begin_row();
        builder.text("id", &user.id);
        builder.text("status", "deleted");
        if let Some(since) = user.time("deletedDateTime") {
            builder.integer("since", since);
        }
        return true;
    }
    if user.unwanted(settings) {
        if changes {
            return false;
        }
        // A whole round names it all the same: who was stored before guests were left out is not gone.
        builder.begin_row();
        builder.text("id", &user.id);
        return true;
    }
    builder.begin_row();
    let full = !changes || user.members.contains_key("createdDateTime");
    who(builder, user, full);
    match user.members.get("accountEnabled").and_then(Value::as_bool) {
        Some(true) => builder.text("status", "active"),
        Some(false) => builder.text("status", "disabled"),
        None => {}
    }
    true
}

/// A user who can still be restored.
fn deleted(builder: &mut BatchBuilder, user: &User, settings: &Settings) -> bool {
    if user.unwanted(settings) {
        return false;
    }
    builder.begin_row();
    who(builder, user, true);
    builder.text("status", "deleted");
    if let Some(since) = user.time("deletedDateTime") {
        builder.integer("since", since);
    }
    true
}

/// A user with the date of leaving. One without says nothing: it may be set and not be readable.
fn leaver(builder: &mut BatchBuilder, user: &User, settings: &Settings) -> bool {
    if user.unwanted(settings) {
        return false;
    }
    let Some(leaves) = user.time("employeeLeaveDateTime") else { return false };
    builder.begin_row();
    builder.text("id", &user.id);
    builder.integer("leaves", leaves);
    true
}

/// What tells who it is. An object that names only what has changed must not take away addresses
/// that it does not repeat.
fn who(builder: &mut BatchBuilder, user: &User, full: bool) {
    builder.text("id", &user.id);
    let email = if full { user.email() } else { user.text("mail").to_owned() };
    builder.text("email", &email);
    builder.text("name", user.text("displayName"));
    builder.text("type", "user");
    if full {
        builder.text("aliases", &user.aliases(&email));
    }
    if let Some(guest) = user.guest() {
        builder.flag("external", guest);
    }
}
