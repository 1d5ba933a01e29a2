//! Writes an act as the logs give it: JSON or XML, and the small differences between records.
//!
//! What a record looks like depends on what it says and on nothing else, so that true repeats are
//! equal to the byte.

use casbah_sim::random::mix;
use smartsheet_sim::Role;
use smartsheet_sim::text::{push_text, push_time};

use crate::activity::{Act, ELSEWHERE, Log, Says};
use crate::firm::{Document, Firm, SOURCES};
use crate::world::World;

/// JSON or XML.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object.
    Json,
    /// An XML element.
    Xml,
}

/// How the records of an answer are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An array of `{"activity": {…}}`: what was seen.
    Array,
    /// An array of the inner objects.
    Bare,
    /// An array within `{"activities": …}`.
    Wrapped,
}

/// What stands in front of a log, and behind it.
pub(crate) fn frame(form: Form, shape: Shape) -> (&'static str, &'static str) {
    match (form, shape) {
        // JSON begins with a byte-order mark.
        (Form::Json, Shape::Wrapped) => ("\u{feff}{\"activities\": [", "]}"),
        (Form::Json, _) => ("\u{feff}[", "]"),
        (Form::Xml, _) => {
            ("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<activities>", "\n</activities>\n")
        }
    }
}

pub(crate) struct Writer<'a> {
    pub(crate) world: &'a World,
}

/// An object or element under way.
struct Open<'a> {
    out: &'a mut String,
    form: Form,
    first: bool,
}

impl Open<'_> {
    /// A member with a text, or an attribute.
    fn text(&mut self, name: &str, value: &str) {
        match self.form {
            Form::Json => {
                self.name(name);
                push_text(self.out, value);
            }
            Form::Xml => {
                self.out.push(' ');
                self.out.push_str(name);
                self.out.push_str("=\"");
                escape(self.out, value);
                self.out.push('"');
            }
        }
    }

    fn name(&mut self, name: &str) {
        if !self.first {
            self.out.push_str(", ");
        }
        self.first = false;
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\": ");
    }
}

fn escape(out: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control < ' ' => {}
            letter => out.push(letter),
        }
    }
}

/// An attribute or member of a record: name, value.
type Pair = (&'static str, String);

/// What an element holds: its own pairs, and elements within.
struct Element {
    name: &'static str,
    pairs: Vec<Pair>,
    inner: Vec<Element>,
}

impl Element {
    fn write(&self, out: &mut String, form: Form) {
        match form {
            Form::Json => {
                out.push('{');
                let mut open = Open { out, form, first: true };
                for (name, value) in &self.pairs {
                    open.text(name, value);
                }
                for inner in &self.inner {
                    open.name(inner.name);
                    inner.write(open.out, form);
                }
                out.push('}');
            }
            Form::Xml => {
                out.push('<');
                out.push_str(self.name);
                let mut open = Open { out, form, first: true };
                for (name, value) in &self.pairs {
                    open.text(name, value);
                }
                if self.inner.is_empty() {
                    out.push_str("/>");
                    return;
                }
                out.push('>');
                for inner in &self.inner {
                    inner.write(out, form);
                }
                out.push_str("</");
                out.push_str(self.name);
                out.push('>');
            }
        }
    }
}

impl Writer<'_> {
    fn firm(&self) -> &Firm {
        self.world.firm()
    }

    pub(crate) fn act(&self, out: &mut String, act: &Act, form: Form, shape: Shape) {
        let element = self.element(act);
        let wrap = form == Form::Json && shape != Shape::Bare;
        if wrap {
            out.push_str("{\"activity\": ");
        }
        element.write(out, form);
        if wrap {
            out.push('}');
        }
    }

    fn element(&self, act: &Act) -> Element {
        let chance = mix(act.time as u64, u64::from(act.actor) << 32 | u64::from(act.object));
        let mut date = String::new();
        push_time(&mut date, act.time);
        let mut pairs = vec![("date", date)];
        pairs.push(("name", act.what().map_or_else(String::new, |what| what.name.to_owned())));
        pairs.extend(self.host(act, chance).map(|host| ("host", host)));
        let description = self.description(act, chance);
        if !description.is_empty() {
            // Both spellings are known from programs that read the log.
            let name = if chance.is_multiple_of(3) { "description" } else { "desc" };
            pairs.push((name, description));
        }
        let inner = match act.log() {
            Log::Consolidated => {
                vec![self.user(act, chance), source(act), self.object(act, chance)]
            }
            Log::Admin => vec![self.administrator(act, chance)],
        };
        Element { name: "activity", pairs, inner }
    }

    /// Mostly an address; sometimes with a port, the name of a server, or nothing.
    fn host(&self, act: &Act, chance: u64) -> Option<String> {
        let address = self.world.address(act);
        if act.place >= ELSEWHERE {
            return Some(address.to_owned());
        }
        match chance % 400 {
            0 => None,
            1 => Some("app-server-3".to_owned()),
            2 if !address.contains(':') => Some(format!("{address}:51{}", chance % 1000)),
            _ => Some(address.to_owned()),
        }
    }

    fn description(&self, act: &Act, chance: u64) -> String {
        let firm = self.firm();
        let users = firm.company.users.len() as u32;
        let other = firm.user((chance >> 8) as u32 % users.max(1));
        let address = |user: Option<&smartsheet_sim::User>| {
            user.map_or_else(String::new, |user| user.email.to_lowercase())
        };
        match act.what().map_or(Says::Nothing, |what| what.says) {
            Says::Nothing => String::new(),
            Says::FormerName => {
                let former = firm.document(act.object ^ 1);
                format!("Old name: {}", former.name)
            }
            Says::Recipient if chance.is_multiple_of(2) => address(other),
            Says::Recipient => String::new(),
            Says::Access => "Access was modified".to_owned(),
            Says::User => {
                let user = firm.user(act.object % users.max(1));
                user.map_or_else(String::new, |one| {
                    format!("{} ({})", Firm::name(one), one.email.to_lowercase())
                })
            }
            Says::Group => firm.group(act.object).1.to_owned(),
            Says::Cabinet => firm.cabinet(act.object).1.to_owned(),
            Says::Option => {
                let to = if chance.is_multiple_of(2) { "True" } else { "False" };
                format!("This option was changed to {to}.")
            }
        }
    }

    fn user(&self, act: &Act, chance: u64) -> Element {
        let firm = self.firm();
        let mut pairs = Vec::new();
        if let Some(user) = firm.user(act.actor) {
            pairs.push(("id", firm.login(user)));
            pairs.push(("name", Firm::name(user)));
            let kind = if user.role == Role::Guest { "External" } else { "Internal" };
            pairs.push(("memberType", kind.to_owned()));
            pairs.push(("email", user.email.clone()));
            if !chance.is_multiple_of(50) {
                pairs.push(("guid", firm.guid(act.actor)));
            }
        }
        Element { name: "user", pairs, inner: Vec::new() }
    }

    /// In the administration log the id is an address, a bare name, or nothing.
    fn administrator(&self, act: &Act, chance: u64) -> Element {
        let firm = self.firm();
        let mut pairs = Vec::new();
        if let Some(user) = firm.user(act.actor) {
            let id = match chance % 10 {
                0 => String::new(),
                1 | 2 => firm.login(user),
                _ => user.email.clone(),
            };
            pairs.push(("id", id));
            pairs.push(("guid", firm.guid(act.actor)));
            pairs.push(("name", Firm::name(user)));
        }
        Element { name: "user", pairs, inner: Vec::new() }
    }

    fn object(&self, act: &Act, chance: u64) -> Element {
        let firm = self.firm();
        let Document {
            id,
            name,
            extension,
            size,
            version,
            cabinet,
            client,
            matter,
            kind,
            author,
            space,
            engagement,
        } = firm.document(act.object);
        let mut pairs = vec![
            ("docId", id),
            ("name", name),
            ("version", version.to_string()),
            ("size", size.to_string()),
            ("fileExtension", extension.to_owned()),
            ("Client", client.to_string()),
            ("Matter", format!("{matter:04}")),
            ("DocumentType", kind.to_owned()),
            ("Author", author),
        ];
        if engagement {
            pairs.push(("TypeofEngagement", "Advisory".to_owned()));
            pairs.push(("OfficeofAuthor", "Lisbon & Porto".to_owned()));
        }
        pairs.extend(space.map(|space| ("collabSpace", space)));
        if act.what().is_some_and(|what| what.says == Says::Access) {
            let (group, _) = firm.group((chance >> 16) as u32 % 12);
            pairs.push(("access", format!("{group}:VES")));
        }
        let (id, name) = firm.cabinet(cabinet);
        let pair = vec![("id", id), ("name", name.to_owned())];
        let inner = vec![Element { name: "cabinet", pairs: pair, inner: Vec::new() }];
        Element { name: "storageObject", pairs, inner }
    }
}

fn source(act: &Act) -> Element {
    let (id, name) = SOURCES.get(usize::from(act.source)).copied().unwrap_or_default();
    let pairs = vec![("id", id.to_owned()), ("name", name.to_owned())];
    Element { name: "source", pairs, inner: Vec::new() }
}
