//! Makes activities of records: every member finds its column, an object, or a field.

use std::borrow::Cow;

use casbah_plugin::memo::Memo;
use casbah_plugin::model::TextId;
use casbah_plugin::record::{Paths, Record};
use casbah_plugin::rows::{Addresses, Known, Rows};
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

/// Makes a batch of records, one after the other.
pub(crate) struct Normalizer<'s> {
    settings: &'s Settings,
    rows: Rows,
    columns: Columns,
    numbering: Numbering,
    paths: Paths,
    known: Known<Part>,
    /// Whether records are written anew where the settings conceal something.
    rewrite: bool,
    /// What was made of texts that come again and again: of names of activities, by whether they are
    /// about a document, of hosts, and of applications.
    meanings: [Memo<Meaning>; 2],
    addresses: Addresses,
    clients: Memo<Option<&'static str>>,
    /// Addresses in lower case.
    lower: Memo<TextId>,
}

impl<'s> Normalizer<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        let mut builder = BatchBuilder::new();
        let columns = Columns::new(&mut builder);
        Self {
            settings,
            rows: Rows::new(builder),
            columns,
            numbering: Numbering::default(),
            paths: Paths::default(),
            known: Known::default(),
            rewrite: false,
            meanings: Default::default(),
            addresses: Addresses::default(),
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
        self.rows.finish()
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
        self.rows.begin();
        if self.rewrite {
            let raw = self.rows.builder.intern(&record::to_json(record, &self.paths));
            self.rows.builder.set_text(self.columns.raw, raw);
        }
        let on_document = is_about_document(record, &self.paths);
        let parts: Parts<'_> = self.known.sort(record, &self.paths, &mut self.rows, field);
        self.rows.field("storageObject.fileExtension", parts.extension);
        let id = self.rows.builder.intern(&id);
        self.rows.builder.set_text(self.columns.id, id);
        if repeat > 0 {
            self.rows.field("repeat", &repeat.to_string());
        }
        let meaning = self.meaning(parts.name, on_document);
        self.what(meaning, &parts);
        self.who(&parts);
        self.wherefrom(&parts);
        self.objects(meaning, &parts, on_document);
        self.rows.end();
    }

    fn meaning(&mut self, name: &str, on_document: bool) -> Meaning {
        let (builder, settings) = (&mut self.rows.builder, self.settings);
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
            Some(time) => self.rows.builder.set_integer(self.columns.time, time),
            None => self.rows.field("date", parts.date),
        }
        self.rows.builder.set_text(self.columns.kind, meaning.kind);
        self.rows.builder.set_text(self.columns.action, meaning.action);
        self.rows.builder.set_integer(self.columns.administrative, meaning.administrative.into());
        // What failed is not in the log.
        let result = self.rows.word("success");
        self.rows.builder.set_text(self.columns.result, result);
        let access = self.rows.builder.intern(parts.access);
        self.rows.builder.set_text(self.columns.access, access);
        let confidence = self.rows.word("confidence");
        self.rows.push_field(confidence, meaning.confidence);
        if meaning.entry != 0 {
            let catalogue = self.rows.word("catalogue");
            self.rows.push_field(catalogue, meaning.entry);
        }
    }

    fn who(&mut self, parts: &Parts<'_>) {
        // The administration log has the address where the other one has a login name.
        let email = match parts.email {
            "" if is_address(parts.login) => parts.login,
            email => email,
        };
        let id = if parts.guid.is_empty() { parts.login } else { parts.guid };
        let (email_text, id_text) = (self.rows.builder.intern(email), self.rows.builder.intern(id));
        let name = self.rows.builder.intern(parts.user_name);
        let builder = &mut self.rows.builder;
        let actor = match (email_text, id_text) {
            (0, 0) => name,
            (0, id) => id,
            _ => self.lower.get(email, |email| builder.intern(&email.to_lowercase())),
        };
        self.rows.builder.set_text(self.columns.actor, actor);
        self.rows.builder.set_text(self.columns.actor_id, id_text);
        self.rows.builder.set_text(self.columns.actor_email, email_text);
        self.rows.builder.set_text(self.columns.actor_name, name);
        if actor != 0 {
            let user = self.rows.word("user");
            self.rows.builder.set_text(self.columns.actor_type, user);
        }
        if !parts.guid.is_empty() && parts.login != email {
            self.rows.field("user.id", parts.login);
        }
        let is = |kind: &str| parts.member_type.eq_ignore_ascii_case(kind);
        if is("internal") || is("external") {
            self.rows.builder.set_integer(self.columns.actor_external, is("external").into());
        } else {
            self.rows.field("user.memberType", parts.member_type);
        }
    }

    fn wherefrom(&mut self, parts: &Parts<'_>) {
        let found = self.addresses.get(&mut self.rows.builder, parts.host);
        self.rows.builder.set_text(self.columns.ip, found.ip);
        if !found.same {
            self.rows.field("host", parts.host);
        }
        let source = self.rows.builder.intern(parts.source);
        self.rows.builder.set_text(self.columns.source, source);
        if source != 0 || !parts.source_id.is_empty() {
            let client = match self.clients.get(parts.source, client) {
                Some(client) => client,
                None if parts.source_id.starts_with("AP-") => "integration",
                None => "unknown",
            };
            let client = self.rows.word(client);
            self.rows.builder.set_text(self.columns.client, client);
        }
        self.rows.field("source.id", parts.source_id);
    }

    fn objects(&mut self, meaning: Meaning, parts: &Parts<'_>, on_document: bool) {
        let kind = if on_document {
            self.rows.word(container(parts.extension))
        } else {
            meaning.object_kind
        };
        let document = self.rows.builder.intern(parts.document);
        let name = self.rows.builder.intern(parts.document_name);
        self.rows.builder.set_text(self.columns.object_kind, kind);
        self.rows.builder.set_text(self.columns.object, document);
        self.rows.builder.set_text(self.columns.object_name, name);
        if document != 0 || name != 0 {
            let role = self.rows.word("object");
            self.rows.object([role, kind, document, name]);
        }
        let cabinet = self.rows.builder.intern(parts.cabinet);
        let name = self.rows.builder.intern(parts.cabinet_name);
        if cabinet != 0 || name != 0 {
            let (role, kind) = (self.rows.word("parent"), self.rows.word("container"));
            self.rows.builder.set_text(self.columns.parent, cabinet);
            self.rows.builder.set_text(self.columns.parent_kind, kind);
            self.rows.object([role, kind, cabinet, name]);
        }
    }
}

/// Makes a record what the settings want: what they conceal is hashed or left out. Doing it again
/// changes nothing.
fn treat(record: &mut Record<'_>, paths: &mut Paths, settings: &Settings) {
    if !settings.conceals() {
        return;
    }
    let on_document = is_about_document(record, paths);
    record.members.retain_mut(|(path, value)| {
        let treatment = match confidential(paths.get(*path), on_document) {
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
    if on_document && !is_about_document(record, paths) {
        // It must still be seen that it was about a document.
        let dropped = paths.id("storageObject.dropped");
        record.members.push((dropped, Cow::Borrowed("true")));
    }
}

fn is_about_document(record: &Record<'_>, paths: &Paths) -> bool {
    record.members.iter().any(|(path, _)| paths.get(*path).starts_with("storageObject"))
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
fn field(path: &str) -> Cow<'_, str> {
    match path.strip_prefix("storageObject.") {
        Some(member) if matches!(confidential(path, true), Confidential::Profile) => {
            Cow::Owned(format!("profile.{member}"))
        }
        None if path == "description" => Cow::Borrowed("desc"),
        _ => Cow::Borrowed(path),
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
