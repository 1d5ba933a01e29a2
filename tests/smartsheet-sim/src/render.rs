//! Writes events as the app does, in all the shapes that it has had.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casbah_sim::random::mix;

use crate::catalogue::{Class, Detail, Kind, catalogue};
use crate::company::{Company, Role, User, object_id};
use crate::event::{Event, GROUP_TARGET, NO_TARGET, SOURCES, SYSTEM, SYSTEM_USERS, WEB, mark};
use crate::text::{Members, push_number, push_text, push_time};

const OUTSIDE: &[&str] = &["j.doe.private@mailbox.example", "drop@litware.example"];
const WORDS: &[&str] = &[
    "Budget",
    "Roadmap",
    "Intake",
    "Hiring plan",
    "Q3 \"final\"",
    "Rollout",
    "Risk log",
    "Backlog",
    "Vendor list",
    "Übersicht",
    "Launch / EMEA",
    "Inventory",
];

/// Writes events of one company.
#[derive(Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub(crate) company: &'a Company,
}

/// The id of the event with this running number: `2.1.` and 32 bytes in base64url.
pub(crate) fn event_id(seed: u64, serial: u32) -> String {
    let mut out = String::with_capacity(48);
    push_event_id(&mut out, seed, serial);
    out
}

fn push_event_id(out: &mut String, seed: u64, serial: u32) {
    let mut bytes = [0u8; 32];
    let base = mix(seed ^ 0xe7e7, u64::from(serial));
    for (n, chunk) in (0u64..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&mix(base, n).to_le_bytes());
    }
    out.push_str("2.1.");
    URL_SAFE_NO_PAD.encode_string(bytes, out);
}

impl Writer<'_> {
    /// Appends an event as a JSON object.
    pub(crate) fn event(&self, out: &mut String, event: &Event, numeric: bool) {
        let Some(kind) = catalogue().get(event.kind) else { return };
        let seed = self.company.plan.seed;
        let texts = event.marked(mark::TEXT_IDS);
        let mut members = Members::open(out, texts);
        let id = members.name("eventId");
        id.push('"');
        push_event_id(id, seed, event.serial);
        id.push('"');
        members.text("objectType", kind.object_type);
        members.text("action", kind.action);
        self.object(&mut members, event, kind);
        self.time(&mut members, event, numeric);
        members.number("userId", self.actor_id(event.actor));
        if !event.marked(mark::OLD) || event.actor != event.request {
            members.number("requestUserId", self.actor_id(event.request));
        }
        if let Some(name) = self.token_name(event) {
            members.text("accessTokenName", &name);
        }
        members
            .text("source", SOURCES.get(usize::from(event.source)).copied().unwrap_or("UNKNOWN"));
        if event.marked(mark::IP_ELSEWHERE)
            && let Some(ip) = self.ip(event)
        {
            let mut inner = Members::open(members.name("eventDetails"), false);
            inner.text("sourceIpAddress", ip);
            inner.close();
        }
        if event.marked(mark::EXTRA) {
            members.text("deviceTrust", "MANAGED");
        }
        let inner = members.name("additionalDetails");
        self.details(inner, event, kind);
        members.close();
    }

    fn object(&self, members: &mut Members<'_>, event: &Event, kind: &Kind) {
        if kind.class == Class::Text {
            members.number("objectId", -1);
            let hash = mix(self.company.plan.seed, u64::from(event.object));
            members.text("objectIdStr", &format!("{:08x}-{:04x}", hash >> 32, hash & 0xffff));
            return;
        }
        let id = self.object_id(kind.class, event.object);
        members.id("objectId", id);
        if !event.marked(mark::OLD) {
            let out = members.name("objectIdStr");
            out.push('"');
            push_number(out, id);
            out.push('"');
        }
    }

    fn object_id(&self, class: Class, at: u32) -> i64 {
        let found = match class {
            Class::User => self.user(at).map(|user| user.id),
            Class::Group => self.company.groups.get(at as usize).map(|group| group.id),
            Class::Account => Some(self.company.account_id),
            class => self.company.items(class).get(at as usize).map(|item| item.id),
        };
        found.unwrap_or_else(|| object_id(self.company.plan.seed, class, at))
    }

    fn time(&self, members: &mut Members<'_>, event: &Event, numeric: bool) {
        let stamp = event.marked(mark::STAMP);
        let out = members.name(if stamp { "eventTimeStamp" } else { "eventTimestamp" });
        if numeric {
            push_number(out, event.time);
            return;
        }
        out.push('"');
        push_time(out, event.time);
        out.push_str(if stamp { "+0000\"" } else { "Z\"" });
    }

    fn user(&self, at: u32) -> Option<&User> {
        self.company.users.get(at as usize)
    }

    fn actor_id(&self, actor: u32) -> i64 {
        match actor.checked_sub(SYSTEM) {
            Some(place) => SYSTEM_USERS.get(place as usize).map_or(0, |(id, _)| *id),
            None => self.user(actor).map_or(0, |user| user.id),
        }
    }

    /// Calls of service accounts, and half of the other plain token calls, use named tokens.
    fn token_name(&self, event: &Event) -> Option<String> {
        if event.source != crate::event::API {
            return None;
        }
        let user = self.user(event.request)?;
        match user.role {
            Role::Service => Some(format!("{} nightly", user.last)),
            _ if user.id % 2 == 0 => Some("my script".to_owned()),
            _ => None,
        }
    }

    fn ip(&self, event: &Event) -> Option<&str> {
        if event.source != WEB || event.marked(mark::OLD) {
            return None;
        }
        if event.marked(mark::STRANGE_IP) {
            return Some("203.0.113.231");
        }
        let user = self.user(event.request)?;
        Some(if event.marked(mark::HOME) { &user.home_ip } else { &user.office_ip })
    }

    fn details(&self, out: &mut String, event: &Event, kind: &Kind) {
        // A published page has the sheet of an attachment as a text.
        let published = kind.class == Class::Attachment && event.serial.is_multiple_of(16);
        let mut members = Members::open(out, published || event.marked(mark::TEXT_IDS));
        if !event.marked(mark::OLD)
            && let Some(user) = self.user(event.actor)
        {
            members.text("emailAddress", &user.email);
        }
        if !event.marked(mark::IP_ELSEWHERE)
            && let Some(ip) = self.ip(event)
        {
            members.text("sourceIpAddress", ip);
        }
        let draw = mix(self.company.plan.seed ^ 0xd0d0, u64::from(event.serial));
        for (n, detail) in (0u64..).zip(&kind.details) {
            self.detail(&mut members, event, kind, detail, mix(draw, n));
        }
        if event.marked(mark::ADMIN) && kind.action == "UPDATE_USER" {
            members.text("userTypes", "SYSTEM_ADMIN,LICENSED_USER");
        }
        members.close();
    }

    fn detail(
        &self,
        members: &mut Members<'_>,
        event: &Event,
        kind: &Kind,
        detail: &Detail,
        draw: u64,
    ) {
        let name = detail.name;
        match (name, detail.other) {
            ("accessibleBy", _) => {
                members.text(name, if event.marked(mark::PUBLIC) { "ALL" } else { "ORG" });
            }
            ("accessLevel", _) if event.marked(mark::ADMIN) => members.text(name, "ADMIN"),
            // Who is shared with by a plan gets what the plan says, and no more.
            ("accessLevel", _) if event.target != NO_TARGET => members.text(name, "EDITOR"),
            (_, Some(other)) => self.either(members, event, name, other, draw),
            _ if !detail.values.is_empty() => {
                let at = draw as usize % detail.values.len();
                members.text(name, detail.values.get(at).copied().unwrap_or_default());
            }
            _ if self.person(members, event, name, draw) => {}
            _ if self.thing(members, kind, name, draw) => {}
            _ => plain(members, event, name, draw),
        }
    }

    /// One of two details: a user or a group, an address or a group, a sheet or a workspace.
    fn either(&self, members: &mut Members<'_>, event: &Event, name: &str, other: &str, draw: u64) {
        if name == "sheetId" {
            match draw % 10 {
                0 => members.id(other, self.drawn(Class::Workspace, draw)),
                _ => members.id(name, self.drawn(Class::Sheet, draw)),
            }
            return;
        }
        if event.marked(mark::OUTSIDE) {
            members.text(name, OUTSIDE.get(draw as usize % OUTSIDE.len()).copied().unwrap_or(""));
            return;
        }
        let group = match event.target {
            NO_TARGET => draw.is_multiple_of(5).then_some((draw >> 8) as u32),
            target if target & GROUP_TARGET != 0 => Some(target & !GROUP_TARGET),
            _ => None,
        };
        let groups = self.company.groups.len().max(1);
        if let Some(group) =
            group.and_then(|group| self.company.groups.get(group as usize % groups))
        {
            members.id(other, group.id);
        } else if name == "recipientEmail" {
            members.text(name, self.target(event, draw).map_or("", |user| &user.email));
        } else {
            members.id(name, self.target(event, draw).map_or(0, |user| user.id));
        }
    }

    /// The user that an event is about: the one it names, or somebody inside.
    fn target(&self, event: &Event, draw: u64) -> Option<&User> {
        if event.target != NO_TARGET {
            return self.user(event.target);
        }
        let count = self.company.users.len().max(1);
        (0..count)
            .filter_map(|n| self.company.users.get((draw as usize).wrapping_add(n) % count))
            .find(|user| user.internal())
    }

    fn person(&self, members: &mut Members<'_>, event: &Event, name: &str, draw: u64) -> bool {
        let user = match name {
            "newUserId" | "newOwnerUserId" | "memberUserId" | "newContactUserId" => {
                self.target(event, draw)
            }
            "oldUserId" | "oldOwnerUserId" | "oldContactUserId" | "tokenUserId" => {
                self.user(event.actor)
            }
            _ => return false,
        };
        members.id(name, user.map_or(0, |user| user.id));
        true
    }

    fn thing(&self, members: &mut Members<'_>, kind: &Kind, name: &str, draw: u64) -> bool {
        let class = match name {
            "sheetId"
            | "sourceSheetId"
            | "destinationSheetId"
            | "cellLinkSourceSheetId"
            | "sourceTemplateId" => Class::Sheet,
            "workspaceId" | "sourceWorkspaceId" => Class::Workspace,
            "newParentContainerId" | "parentContainerId" | "sourceFolderId" => Class::Folder,
            "sourceObjectId" => kind.class,
            "sheetRowId" | "commentId" | "sourceGlobalTemplateId" => Class::Discussion,
            _ => return false,
        };
        // Copies name where they come from; what was made from nothing does not.
        if name.starts_with("source") && name != "sourceSheetId" && draw % 10 < 5 {
            return true;
        }
        members.id(name, self.drawn(class, draw));
        true
    }

    fn drawn(&self, class: Class, draw: u64) -> i64 {
        let count = self.company.items(class).len();
        let at = if count == 0 { draw % 50_000 } else { (draw >> 16) % count as u64 };
        self.object_id(class, at as u32)
    }
}

/// Details that name neither people nor things.
fn plain(members: &mut Members<'_>, event: &Event, name: &str, draw: u64) {
    match name {
        "includeAttachments" | "includeDiscussions" | "sendCompletionEmail" => {
            members.flag(name, draw & 1 == 0);
        }
        "rowCount" | "rowsCopied" | "rowsMoved" => members.number(name, 1 + (draw % 40) as i64),
        "tokenDisplayValue" => members.text(name, &format!("{:04X}...", draw & 0xffff)),
        "tokenExpirationTimestamp" => {
            let out = members.name(name);
            out.push('"');
            push_time(out, event.time + 365 * 86_400_000);
            out.push_str("Z\"");
        }
        "accessScopes" => members.text(name, "READ_SHEETS,WRITE_SHEETS,SHARE_SHEETS,READ_USERS"),
        "appClientId" => members.text(name, &format!("{:016x}", draw)),
        "appName" => members.text(name, "Laptop export tool"),
        "tokenName" => members.text(name, "laptop"),
        "userTypes" if event.marked(mark::ADMIN) => {
            members.text(name, "LICENSED_USER,SYSTEM_ADMIN");
        }
        "userTypes" => {
            members.text(name, if draw & 3 == 0 { "RESOURCE_VIEWER" } else { "LICENSED_USER" });
        }
        "multiFileDownloadName" => {
            if draw.is_multiple_of(12) {
                members.text(name, "attachments.zip");
            }
        }
        "attachmentName" => {
            let kind = match draw % 4 {
                0 => "pdf",
                1 => "xlsx",
                2 => "png",
                _ => "docx",
            };
            let word = WORDS.get(draw as usize % WORDS.len()).copied().unwrap_or_default();
            push_text(members.name(name), &format!("{word} {}.{kind}", draw % 97));
        }
        "sourceType" => {}
        _ => {
            let word = WORDS.get(draw as usize % WORDS.len()).copied().unwrap_or_default();
            push_text(members.name(name), &format!("{word} {}", draw % 997));
        }
    }
}
