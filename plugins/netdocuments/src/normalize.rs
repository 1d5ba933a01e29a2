//! Makes activities of records: every member finds its column, an object, or a field.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use casbah_plugin::memo::Memo;
use casbah_plugin::model::TextId;
use casbah_plugin::record::{PathId, Paths, Record};
use casbah_plugin::rows::{Tables, Words};
use casbah_plugin::scan::{Broken, Scanner};
use casbah_plugin::{Batch, BatchBuilder, time};

use crate::catalogue::meaning;
use crate::fingerprint::{Numbering, conceal};
use crate::record::{self, SHAPE};
use crate::settings::{Settings, Treatment};

casbah_plugin::columns! {
    /// The columns that this adapter fills.
    struct Columns {
        raw: text_column TextColumn = "raw",
        id: text_column TextColumn = "id",
        time: integer_column IntegerColumn = "time",
        kind: text_column TextColumn = "kind",
        action: text_column TextColumn = "action",
        administrative: integer_column IntegerColumn = "administrative",
        result: text_column TextColumn = "result",
        access: text_column TextColumn = "access",
        actor: text_column TextColumn = "actor",
        actor_id: text_column TextColumn = "actor.id",
        actor_email: text_column TextColumn = "actor.email",
        actor_name: text_column TextColumn = "actor.name",
        actor_type: text_column TextColumn = "actor.type",
        actor_external: integer_column IntegerColumn = "actor.external",
        ip: text_column TextColumn = "ip",
        source: text_column TextColumn = "source",
        client: text_column TextColumn = "client",
        object_kind: text_column TextColumn = "object.kind",
        object: text_column TextColumn = "object",
        object_name: text_column TextColumn = "object.name",
        parent: text_column TextColumn = "parent",
        parent_kind: text_column TextColumn = "parent.kind",
    }
}

casbah_plugin::parts! {
    /// The members that have a place of their own; empty when the record lacks them.
    struct Parts, enum Part {
        date: "date",
        name: "name",
        host: "host",
        login: "user.id",
        guid: "user.guid",
        user_name: "user.name",
        email: "user.email",
        member_type: "user.memberType",
        source: "source.name",
        source_id: "source.id",
        document: "storageObject.docId",
        document_name: "storageObject.name",
        extension: "storageObject.fileExtension",
        cabinet: "storageObject.cabinet.id",
        cabinet_name: "storageObject.cabinet.name",
        access: "access" | "storageObject.access",
    }
}

/// What a path means, with the name of the field that it is in the batch at hand.
#[derive(Clone, Copy)]
struct Known {
    part: Option<Part>,
    /// Whether only records about documents have it.
    on_document: bool,
    key: TextId,
}

/// What the name of an activity means, with its texts interned in the batch at hand.
#[derive(Clone, Copy)]
struct Meaning {
    action: TextId,
    kind: TextId,
    /// Where the record does not name a document.
    object_kind: TextId,
    administrative: bool,
    confidence: TextId,
    entry: TextId,
}

#[derive(Clone, Copy)]
struct Address {
    /// 0 when it is none.
    ip: TextId,
    /// Whether it was written just so.
    same: bool,
}

/// Makes a batch of records, one after the other.
pub(crate) struct Normalizer<'s> {
    settings: &'s Settings,
    builder: BatchBuilder,
    columns: Columns,
    tables: Tables,
    words: Words,
    numbering: Numbering,
    paths: Paths,
    /// By path.
    known: Vec<Known>,
    /// Whether records are written anew where the settings conceal something.
    rewrite: bool,
    /// Fields of the record at hand.
    fields: Vec<(TextId, TextId)>,
    /// What was made of texts that come again and again: of names of activities, by whether they are
    /// about a document, of hosts, and of applications.
    meanings: [Memo<Meaning>; 2],
    addresses: Memo<Address>,
    clients: Memo<Option<&'static str>>,
    /// Addresses in lower case.
    lower: Memo<TextId>,
}

impl<'s> Normalizer<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        let mut builder = BatchBuilder::new();
        let columns = Columns::new(&mut builder);
        let tables = Tables::new(&mut builder);
        Self {
            settings,
            builder,
            columns,
            tables,
            words: Words::default(),
            numbering: Numbering::default(),
            paths: Paths::default(),
            known: Vec::new(),
            rewrite: false,
            fields: Vec::new(),
            meanings: Default::default(),
            addresses: Memo::default(),
            clients: Memo::default(),
            lower: Memo::default(),
        }
    }

    /// One that also hands over what is to be kept in place of the raw records, if the settings
    /// conceal anything.
    pub(crate) fn rewriting(settings: &'s Settings) -> Self {
        Self { rewrite: settings.conceals(), ..Self::new(settings) }
    }

    pub(crate) fn finish(self) -> Batch {
        self.builder.finish()
    }

    /// Adds the activity at the scanner's position; `record` is where it is taken apart.
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

    /// Adds the activity of a text that is one record and nothing else.
    ///
    /// # Errors
    /// In words, when it is neither JSON nor XML; the batch is of no use then.
    pub(crate) fn read_text<'a>(
        &mut self,
        text: &'a str,
        record: &mut Record<'a>,
    ) -> Result<(), String> {
        record::read(record, text, &mut self.paths)?;
        self.add(record);
        Ok(())
    }

    fn add(&mut self, record: &mut Record<'_>) {
        // First of all, so that not even an id tells anything of what is concealed.
        treat(record, &mut self.paths, self.settings);
        let (id, repeat) = self.numbering.id(record, &self.paths);
        self.builder.begin_row();
        if self.rewrite {
            let raw = self.builder.intern(&record::to_json(record, &self.paths));
            self.builder.set_text(self.columns.raw, raw);
        }
        self.fields.clear();
        let (parts, on_document) = self.parts(record);
        let id = self.builder.intern(&id);
        self.builder.set_text(self.columns.id, id);
        if repeat > 0 {
            self.field("repeat", &repeat.to_string());
        }
        let meaning = self.meaning(parts.name, on_document);
        self.what(meaning, &parts);
        self.who(&parts);
        self.wherefrom(&parts);
        self.objects(meaning, &parts, on_document);
        for &(key, value) in &self.fields {
            self.tables.field(&mut self.builder, key, value);
        }
    }

    /// Finds the members that have a place, and whether the record is about a document. All others
    /// become fields.
    fn parts<'r>(&mut self, record: &'r Record<'_>) -> (Parts<'r>, bool) {
        let mut parts = Parts::default();
        let mut on_document = false;
        for (path, value) in &record.members {
            let known = self.known(*path);
            on_document |= known.on_document;
            if let Some(part) = known.part {
                let place = parts.place(part);
                if place.is_empty() {
                    *place = value;
                    continue;
                }
            }
            let key = match known.key {
                0 => self.key(*path),
                key => key,
            };
            let value = self.builder.intern(value);
            self.fields.push((key, value));
        }
        self.field("storageObject.fileExtension", parts.extension);
        (parts, on_document)
    }

    #[inline]
    fn known(&mut self, path: PathId) -> Known {
        while self.known.len() < self.paths.len() {
            let path = self.paths.get(self.known.len() as PathId);
            let on_document = is_on_document(path);
            self.known.push(Known { part: Part::of(path), on_document, key: 0 });
        }
        let none = Known { part: None, on_document: false, key: 0 };
        self.known.get(path as usize).copied().unwrap_or(none)
    }

    /// The name of the field that a path is, in the batch.
    fn key(&mut self, path: PathId) -> TextId {
        let key = self.builder.intern(&field(self.paths.get(path)));
        if let Some(known) = self.known.get_mut(path as usize) {
            known.key = key;
        }
        key
    }

    #[inline]
    fn word(&mut self, word: &'static str) -> TextId {
        self.words.get(&mut self.builder, word)
    }

    /// Keeps a text as a field.
    fn field(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            let key = self.word(key);
            let value = self.builder.intern(value);
            self.fields.push((key, value));
        }
    }

    fn meaning(&mut self, name: &str, on_document: bool) -> Meaning {
        let (builder, settings) = (&mut self.builder, self.settings);
        let [other, document] = &mut self.meanings;
        let known = if on_document { document } else { other };
        known.get(name, |name| {
            let meaning = meaning(name, on_document, settings);
            Meaning {
                action: builder.intern(name),
                kind: builder.intern(meaning.kind),
                object_kind: if on_document { 0 } else { builder.intern(meaning.object_kind) },
                administrative: meaning.administrative,
                confidence: builder.intern(meaning.confidence),
                entry: builder.intern(meaning.entry),
            }
        })
    }

    fn what(&mut self, meaning: Meaning, parts: &Parts<'_>) {
        match read_time(parts.date) {
            Some(time) => self.builder.set_integer(self.columns.time, time),
            None => self.field("date", parts.date),
        }
        self.builder.set_text(self.columns.kind, meaning.kind);
        self.builder.set_text(self.columns.action, meaning.action);
        self.builder.set_integer(self.columns.administrative, meaning.administrative.into());
        // What failed is not in the log.
        let result = self.word("success");
        self.builder.set_text(self.columns.result, result);
        let access = self.builder.intern(parts.access);
        self.builder.set_text(self.columns.access, access);
        let confidence = self.word("confidence");
        self.fields.push((confidence, meaning.confidence));
        if meaning.entry != 0 {
            let catalogue = self.word("catalogue");
            self.fields.push((catalogue, meaning.entry));
        }
    }

    fn who(&mut self, parts: &Parts<'_>) {
        // The administration log has the address where the other one has a login name.
        let email = match parts.email {
            "" if is_address(parts.login) => parts.login,
            email => email,
        };
        let id = if parts.guid.is_empty() { parts.login } else { parts.guid };
        let (email_text, id_text) = (self.builder.intern(email), self.builder.intern(id));
        let name = self.builder.intern(parts.user_name);
        let builder = &mut self.builder;
        let actor = match (email_text, id_text) {
            (0, 0) => name,
            (0, id) => id,
            _ => self.lower.get(email, |email| builder.intern(&email.to_lowercase())),
        };
        self.builder.set_text(self.columns.actor, actor);
        self.builder.set_text(self.columns.actor_id, id_text);
        self.builder.set_text(self.columns.actor_email, email_text);
        self.builder.set_text(self.columns.actor_name, name);
        if actor != 0 {
            let user = self.word("user");
            self.builder.set_text(self.columns.actor_type, user);
        }
        if !parts.guid.is_empty() && parts.login != email {
            self.field("user.id", parts.login);
        }
        let is = |kind: &str| parts.member_type.eq_ignore_ascii_case(kind);
        if is("internal") || is("external") {
            self.builder.set_integer(self.columns.actor_external, is("external").into());
        } else {
            self.field("user.memberType", parts.member_type);
        }
    }

    fn wherefrom(&mut self, parts: &Parts<'_>) {
        let builder = &mut self.builder;
        let found = self.addresses.get(parts.host, |host| {
            let ip = address(host);
            let same = ip.as_deref() == Some(host);
            Address { ip: ip.map_or(0, |ip| builder.intern(&ip)), same }
        });
        self.builder.set_text(self.columns.ip, found.ip);
        if !found.same {
            self.field("host", parts.host);
        }
        let source = self.builder.intern(parts.source);
        self.builder.set_text(self.columns.source, source);
        if source != 0 || !parts.source_id.is_empty() {
            let client = match self.clients.get(parts.source, client) {
                Some(client) => client,
                None if parts.source_id.starts_with("AP-") => "integration",
                None => "unknown",
            };
            let client = self.word(client);
            self.builder.set_text(self.columns.client, client);
        }
        self.field("source.id", parts.source_id);
    }

    fn objects(&mut self, meaning: Meaning, parts: &Parts<'_>, on_document: bool) {
        let kind =
            if on_document { self.word(container(parts.extension)) } else { meaning.object_kind };
        let document = self.builder.intern(parts.document);
        let name = self.builder.intern(parts.document_name);
        self.builder.set_text(self.columns.object_kind, kind);
        self.builder.set_text(self.columns.object, document);
        self.builder.set_text(self.columns.object_name, name);
        if document != 0 || name != 0 {
            let role = self.word("object");
            self.tables.object(&mut self.builder, [role, kind, document, name]);
        }
        let cabinet = self.builder.intern(parts.cabinet);
        let name = self.builder.intern(parts.cabinet_name);
        if cabinet != 0 || name != 0 {
            let (role, kind) = (self.word("parent"), self.word("container"));
            self.builder.set_text(self.columns.parent, cabinet);
            self.builder.set_text(self.columns.parent_kind, kind);
            self.tables.object(&mut self.builder, [role, kind, cabinet, name]);
        }
    }
}

/// Makes a record what the settings want: what they conceal is hashed or left out. Doing it again
/// changes nothing.
fn treat(record: &mut Record<'_>, paths: &mut Paths, settings: &Settings) {
    if !settings.conceals() {
        return;
    }
    let on_document = |record: &Record<'_>| {
        record.members.iter().any(|(path, _)| is_on_document(paths.get(*path)))
    };
    let before = on_document(record);
    record.members.retain_mut(|(path, value)| {
        let treatment = match confidential(paths.get(*path), before) {
            Confidential::No => Treatment::Keep,
            Confidential::Name => settings.names,
            Confidential::Profile => settings.profile,
            Confidential::Unknown => settings.strictest(),
        };
        match treatment {
            Treatment::Keep => true,
            Treatment::Hash => {
                *value = Cow::Owned(conceal(value, &settings.hash_key));
                true
            }
            Treatment::Drop => false,
        }
    });
    if before && !on_document(record) {
        // It must still be seen that it was about a document.
        let dropped = paths.id("storageObject.dropped");
        record.members.push((dropped, Cow::Borrowed("true")));
    }
}

fn is_on_document(path: &str) -> bool {
    path.starts_with("storageObject")
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
    time::parse_or_utc(text)
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

/// Kind of client, by the name of the application used; `None` when its id decides.
fn client(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    match name.as_str() {
        "web" | "browser" => Some("web"),
        _ if ["mobile", "ios", "iphone", "ipad", "android"]
            .iter()
            .any(|word| name.contains(word)) =>
        {
            Some("mobile")
        }
        _ => None,
    }
}

/// What a thing with that extension is: some of the vendor's own stand for containers.
fn container(extension: &str) -> &'static str {
    let is = |words: &[&str]| words.iter().any(|word| extension.eq_ignore_ascii_case(word));
    if is(&["ndfld"]) {
        "folder"
    } else if is(&["ndcs"]) {
        "workspace"
    } else if is(&["ndflt", "ndsq"]) {
        "container"
    } else {
        "document"
    }
}
