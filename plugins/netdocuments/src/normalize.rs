//! Makes activities of records: every member finds its column, an object, or a field.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use casbah_plugin::{Batch, BatchBuilder, time};

use crate::catalogue::{Meaning, meaning};
use crate::fingerprint::{Numbering, conceal};
use crate::record::Record;
use crate::settings::{Settings, Treatment};

/// Makes a batch of records, one after the other.
pub(crate) struct Normalizer<'a> {
    settings: &'a Settings,
    builder: BatchBuilder,
    numbering: Numbering,
    /// Whether records are written anew where the settings conceal something.
    rewrite: bool,
    /// What was made of texts that come again and again: of names of activities, by whether they are
    /// about a document, and of hosts.
    meanings: [HashMap<String, Meaning<'a>>; 2],
    addresses: HashMap<String, Option<String>>,
}

/// The members that have a place of their own, and the others.
#[derive(Default)]
struct Parts {
    date: String,
    name: String,
    host: String,
    login: String,
    guid: String,
    user_name: String,
    email: String,
    member_type: String,
    source: String,
    source_id: String,
    document: String,
    document_name: String,
    extension: String,
    cabinet: String,
    cabinet_name: String,
    access: String,
    on_document: bool,
    fields: Vec<(String, String)>,
}

impl<'a> Normalizer<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        let (builder, numbering) = (BatchBuilder::new(), Numbering::default());
        let (meanings, addresses) = (Default::default(), HashMap::new());
        Self { settings, builder, numbering, rewrite: false, meanings, addresses }
    }

    /// One that also hands over what is to be kept in place of the raw records, if the settings
    /// conceal anything.
    pub(crate) fn rewriting(settings: &'a Settings) -> Self {
        Self { rewrite: settings.conceals(), ..Self::new(settings) }
    }

    pub(crate) fn finish(self) -> Batch {
        self.builder.finish()
    }

    /// Adds the activity of a record.
    pub(crate) fn add(&mut self, record: Record) {
        // First of all, so that not even an id tells anything of what is concealed.
        let record = treated(record, self.settings);
        let (id, repeat) = self.numbering.id(&record);
        self.builder.begin_row();
        if self.rewrite {
            self.builder.text("raw", &record.to_json());
        }
        let mut parts = Parts::of(record);
        self.builder.text("id", &id);
        if repeat > 0 {
            parts.fields.push(("repeat".to_owned(), repeat.to_string()));
        }
        let name = std::mem::take(&mut parts.name);
        let meaning = self.meaning(&name, parts.on_document);
        self.what(&name, &meaning, &mut parts);
        self.who(&mut parts);
        self.wherefrom(&mut parts);
        self.objects(&meaning, &parts);
        self.fields(&parts.fields);
    }

    fn meaning(&mut self, name: &str, on_document: bool) -> Meaning<'a> {
        let [other, document] = &mut self.meanings;
        let known = if on_document { document } else { other };
        if let Some(meaning) = known.get(name) {
            return meaning.clone();
        }
        let meaning = meaning(name, on_document, self.settings);
        known.insert(name.to_owned(), meaning.clone());
        meaning
    }

    fn what(&mut self, name: &str, meaning: &Meaning<'_>, parts: &mut Parts) {
        match read_time(&parts.date) {
            Some(time) => self.builder.integer("time", time),
            None => parts.keep("date", |parts| &mut parts.date),
        }
        self.builder.text("kind", meaning.kind);
        self.builder.text("action", name);
        self.builder.flag("administrative", meaning.administrative);
        // What failed is not in the log.
        self.builder.text("result", "success");
        self.builder.text("access", &parts.access);
        parts.fields.push(("confidence".to_owned(), meaning.confidence.to_owned()));
        if !meaning.entry.is_empty() {
            parts.fields.push(("catalogue".to_owned(), meaning.entry.to_owned()));
        }
    }

    fn who(&mut self, parts: &mut Parts) {
        // The administration log has the address where the other one has a login name.
        if parts.email.is_empty() && is_address(&parts.login) {
            parts.email.clone_from(&parts.login);
        }
        let id = if parts.guid.is_empty() { &parts.login } else { &parts.guid };
        let actor = match (parts.email.is_empty(), id.is_empty()) {
            (false, _) => parts.email.to_lowercase(),
            (true, false) => id.clone(),
            (true, true) => parts.user_name.clone(),
        };
        self.builder.text("actor", &actor);
        self.builder.text("actor.id", id);
        self.builder.text("actor.email", &parts.email);
        self.builder.text("actor.name", &parts.user_name);
        if !actor.is_empty() {
            self.builder.text("actor.type", "user");
        }
        if !parts.guid.is_empty() && parts.login != parts.email {
            parts.keep("user.id", |parts| &mut parts.login);
        }
        match parts.member_type.to_ascii_lowercase().as_str() {
            "" => {}
            "internal" => self.builder.flag("actor.external", false),
            "external" => self.builder.flag("actor.external", true),
            _ => parts.keep("user.memberType", |parts| &mut parts.member_type),
        }
    }

    fn wherefrom(&mut self, parts: &mut Parts) {
        let known = self.addresses.entry(parts.host.clone());
        match known.or_insert_with_key(|host| address(host)) {
            Some(ip) => {
                self.builder.text("ip", ip);
                if *ip != parts.host {
                    parts.keep("host", |parts| &mut parts.host);
                }
            }
            None => parts.keep("host", |parts| &mut parts.host),
        }
        self.builder.text("source", &parts.source);
        if !parts.source.is_empty() || !parts.source_id.is_empty() {
            self.builder.text("client", client(&parts.source, &parts.source_id));
        }
        parts.keep("source.id", |parts| &mut parts.source_id);
    }

    fn objects(&mut self, meaning: &Meaning<'_>, parts: &Parts) {
        let kind =
            if parts.on_document { container(&parts.extension) } else { meaning.object_kind };
        self.builder.text("object.kind", kind);
        self.builder.text("object", &parts.document);
        self.builder.text("object.name", &parts.document_name);
        if !parts.document.is_empty() || !parts.document_name.is_empty() {
            self.object("object", kind, &parts.document, &parts.document_name);
        }
        if !parts.cabinet.is_empty() || !parts.cabinet_name.is_empty() {
            self.builder.text("parent", &parts.cabinet);
            self.builder.text("parent.kind", "container");
            self.object("parent", "container", &parts.cabinet, &parts.cabinet_name);
        }
    }

    fn object(&mut self, role: &str, kind: &str, id: &str, name: &str) {
        self.builder.begin_nested("objects");
        for (column, value) in [("role", role), ("kind", kind), ("id", id), ("name", name)] {
            self.builder.nested_text("objects", column, value);
        }
    }

    fn fields(&mut self, fields: &[(String, String)]) {
        for (key, value) in fields {
            self.builder.begin_nested("fields");
            self.builder.nested_text("fields", "key", key);
            self.builder.nested_text("fields", "value", value);
        }
    }
}

/// A record as the settings want it: what they conceal is hashed or left out. Doing it again changes
/// nothing.
fn treated(mut record: Record, settings: &Settings) -> Record {
    if !settings.conceals() {
        return record;
    }
    let on_document = is_on_document(&record);
    record.members.retain_mut(|(path, value)| {
        let treatment = match confidential(path, on_document) {
            Confidential::No => Treatment::Keep,
            Confidential::Name => settings.names,
            Confidential::Profile => settings.profile,
            Confidential::Unknown => settings.strictest(),
        };
        match treatment {
            Treatment::Keep => true,
            Treatment::Hash => {
                *value = conceal(value, &settings.hash_key);
                true
            }
            Treatment::Drop => false,
        }
    });
    if on_document && !is_on_document(&record) {
        // It must still be seen that it was about a document.
        record.members.push(("storageObject.dropped".to_owned(), "true".to_owned()));
    }
    record
}

fn is_on_document(record: &Record) -> bool {
    record.members.iter().any(|(path, _)| path.starts_with("storageObject"))
}

impl Parts {
    fn of(record: Record) -> Self {
        let mut parts = Self { on_document: is_on_document(&record), ..Self::default() };
        for (path, value) in record.members {
            if let Some(place) = parts.place(&path)
                && place.is_empty()
            {
                *place = value;
                continue;
            }
            parts.fields.push((field(&path), value));
        }
        if !parts.extension.is_empty() {
            parts.fields.push(("storageObject.fileExtension".to_owned(), parts.extension.clone()));
        }
        parts
    }

    fn place(&mut self, path: &str) -> Option<&mut String> {
        Some(match path {
            "date" => &mut self.date,
            "name" => &mut self.name,
            "host" => &mut self.host,
            "user.id" => &mut self.login,
            "user.guid" => &mut self.guid,
            "user.name" => &mut self.user_name,
            "user.email" => &mut self.email,
            "user.memberType" => &mut self.member_type,
            "source.name" => &mut self.source,
            "source.id" => &mut self.source_id,
            "storageObject.docId" => &mut self.document,
            "storageObject.name" => &mut self.document_name,
            "storageObject.fileExtension" => &mut self.extension,
            "storageObject.cabinet.id" => &mut self.cabinet,
            "storageObject.cabinet.name" => &mut self.cabinet_name,
            "access" | "storageObject.access" => &mut self.access,
            _ => return None,
        })
    }

    /// Keeps a part as a field, because its column can't hold it.
    fn keep(&mut self, key: &str, part: impl Fn(&mut Self) -> &mut String) {
        let value = std::mem::take(part(self));
        if !value.is_empty() {
            self.fields.push((key.to_owned(), value));
        }
    }
}

/// What a value may give away.
enum Confidential {
    No,
    /// The name of a document.
    Name,
    /// Something of the firm's own profile.
    Profile,
    /// It may be either: nobody knows what it is.
    Unknown,
}

/// What stands at the top of a record and gives nothing away but, about a document, its description.
const TOP: &[&str] =
    &["date", "name", "host", "user", "source", "access", "desc", "description", "storageObject"];

/// Members of `storageObject` that NetDocuments itself defines and that give nothing away.
const OWN: &[&str] = &["docId", "size", "version", "fileExtension", "access", "dropped"];

fn confidential(path: &str, on_document: bool) -> Confidential {
    match path.strip_prefix("storageObject.") {
        Some("name" | "collabSpace" | "NetBinder") => Confidential::Name,
        Some(member) if OWN.contains(&member) || member.starts_with("cabinet.") => Confidential::No,
        Some(_) => Confidential::Profile,
        // It may tell a document's former name.
        None if on_document && matches!(path, "desc" | "description") => Confidential::Name,
        // A value that is not the object it should be.
        None if path == "storageObject" => Confidential::Profile,
        None if !TOP.contains(&path.split('.').next().unwrap_or_default()) => Confidential::Unknown,
        None => Confidential::No,
    }
}

/// The name of a field: both spellings of the description are one, and the firm's own attributes
/// stand under `profile`.
fn field(path: &str) -> String {
    match path.strip_prefix("storageObject.") {
        Some(member) if matches!(confidential(path, true), Confidential::Profile) => {
            format!("profile.{member}")
        }
        None if path == "description" => "desc".to_owned(),
        _ => path.to_owned(),
    }
}

/// Reads a time: without a zone it is UTC. Also the form of the vendor's older interfaces.
pub(crate) fn read_time(text: &str) -> Option<i64> {
    if let Some(ms) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return ms.parse().ok();
    }
    time::parse(text).or_else(|| time::parse(&format!("{text}Z")))
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && domain.contains('.'))
}

/// An IP address, also one with a port, and IPv4 written as IPv6; anything else is the name of a machine.
fn address(host: &str) -> Option<String> {
    let host = host.trim();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| host.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|ip| ip.to_canonical().to_string())
}

/// Kind of client, by the name of the application used.
fn client(name: &str, id: &str) -> &'static str {
    let name = name.to_lowercase();
    match name.as_str() {
        "web" | "browser" => "web",
        _ if ["mobile", "ios", "iphone", "ipad", "android"]
            .iter()
            .any(|word| name.contains(word)) =>
        {
            "mobile"
        }
        _ if id.starts_with("AP-") => "integration",
        _ => "unknown",
    }
}

/// What a thing with that extension is: some of the vendor's own stand for containers.
fn container(extension: &str) -> &'static str {
    match extension.to_ascii_lowercase().as_str() {
        "ndfld" => "folder",
        "ndcs" => "workspace",
        "ndflt" | "ndsq" => "container",
        _ => "document",
    }
}
