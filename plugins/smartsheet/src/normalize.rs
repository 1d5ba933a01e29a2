//! Makes activities of events: one row of the batch each, and nothing of the event is lost.
//!
//! Every detail ends in a column, among the `objects` or among the `fields`. Only nulls and empty
//! texts are left out, and the id `-1`, which says that the real one stands in `objectIdStr`.
//!
//! It makes no requests and joins nothing: e-mail addresses of ids are the host's business.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use casbah_plugin::model::{BatchBuilder, TextId};
use casbah_plugin::rows::{Tables, Words};
use casbah_plugin::{Batch, time};

use crate::event::{Event, Member};
use crate::fingerprint::fingerprint;
use crate::kinds;
use crate::settings::Settings;
use crate::types::{self, ANONYMOUS, TYPES, Use, parent_rank, system_user, use_of};
use casbah_plugin::scan::{Broken, Scanner, Text, Value};

casbah_plugin::columns! {
    /// The columns that this adapter fills.
    struct Columns {
        id: text_column TextColumn = "id",
        time: integer_column IntegerColumn = "time",
        source: text_column TextColumn = "source",
        kind: text_column TextColumn = "kind",
        action: text_column TextColumn = "action",
        actor: text_column TextColumn = "actor",
        actor_id: text_column TextColumn = "actor.id",
        actor_email: text_column TextColumn = "actor.email",
        actor_name: text_column TextColumn = "actor.name",
        actor_type: text_column TextColumn = "actor.type",
        behalf: text_column TextColumn = "behalf",
        behalf_id: text_column TextColumn = "behalf.id",
        impersonated: integer_column IntegerColumn = "impersonated",
        anonymous: integer_column IntegerColumn = "anonymous",
        administrative: integer_column IntegerColumn = "administrative",
        ip: text_column TextColumn = "ip",
        client: text_column TextColumn = "client",
        token: text_column TextColumn = "token",
        result: text_column TextColumn = "result",
        object: text_column TextColumn = "object",
        object_kind: text_column TextColumn = "object.kind",
        object_name: text_column TextColumn = "object.name",
        parent: text_column TextColumn = "parent",
        parent_kind: text_column TextColumn = "parent.kind",
        recipient: text_column TextColumn = "recipient",
        recipient_id: text_column TextColumn = "recipient.id",
        recipient_kind: text_column TextColumn = "recipient.kind",
        recipient_domain: text_column TextColumn = "recipient.domain",
        access: text_column TextColumn = "access",
        format: text_column TextColumn = "format",
        amount: integer_column IntegerColumn = "amount",
    }
}

/// What an event type means, with its texts interned in the batch at hand.
#[derive(Clone, Copy, Debug)]
struct Known {
    kind: TextId,
    action: TextId,
    object_kind: TextId,
    /// 0, 1, or absent.
    administrative: Option<bool>,
    failed: bool,
    /// The details say where the thing went, not where it is.
    moves: bool,
}

/// Makes activities of events, one batch long.
pub(crate) struct Normalizer<'s> {
    settings: &'s Settings,
    builder: BatchBuilder,
    columns: Columns,
    tables: Tables,
    /// What was found out about event types of the catalogue, by their places in it.
    known: Vec<Vec<Option<Known>>>,
    /// The same for all others, by their action.
    unknown: HashMap<String, Known>,
    /// Words of ours that were interned already.
    words: Words,
    /// The vendor's words for sources, with the kind of client.
    sources: Vec<(String, TextId, TextId)>,
    /// What each detail of the event at hand is.
    uses: Vec<Use>,
    scratch: String,
    lower: String,
}

/// What the details of one event said about the columns.
#[derive(Default)]
struct Gathered<'a> {
    email: Option<Text<'a>>,
    name: TextId,
    destination_name: TextId,
    ip: TextId,
    access: TextId,
    format: TextId,
    amount: Option<i64>,
    /// Who stands in the column `recipient`: nobody yet 0, a group 1, a user or an address 2.
    recipient: u8,
    parent: Option<u8>,
    failed: bool,
}

/// Takes a value for a column; `false` when another one has it already.
#[inline]
fn once(cell: &mut TextId, id: TextId) -> bool {
    if *cell == 0 {
        *cell = id;
    }
    *cell == id
}

impl<'s> Normalizer<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        let mut builder = BatchBuilder::new();
        let columns = Columns::new(&mut builder);
        let tables = Tables::new(&mut builder);
        let known = TYPES.iter().map(|entry| vec![None; entry.actions.len()]).collect();
        Self {
            settings,
            builder,
            columns,
            tables,
            known,
            unknown: HashMap::new(),
            words: Words::default(),
            sources: Vec::new(),
            uses: Vec::new(),
            scratch: String::new(),
            lower: String::new(),
        }
    }

    /// Adds the event at the scanner's position.
    ///
    /// # Errors
    /// When it is not JSON; the batch is of no use then.
    #[inline]
    pub(crate) fn read<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        event: &mut Event<'a>,
    ) -> Result<(), Broken> {
        let start = scanner.at();
        event.read(scanner)?;
        self.add(event, scanner.since(start));
        Ok(())
    }

    pub(crate) fn finish(self) -> Batch {
        self.builder.finish()
    }

    fn add(&mut self, event: &Event<'_>, raw: &str) {
        self.builder.begin_row();
        self.identity(event, raw);
        let known = self.event_type(event);
        self.source(event);
        let mut gathered = self.look_ahead(event, known);
        self.object(event, known, &gathered);
        self.details(event, known, &mut gathered);
        self.actor(event, &gathered);
        if let Some(value) = event.token_name {
            let id = self.intern(value);
            self.builder.set_text(self.columns.token, id);
        }
        let failed = known.failed || gathered.failed;
        let result = self.word(if failed { "failure" } else { "success" });
        self.builder.set_text(self.columns.result, result);
        for &(key, value) in &event.extra {
            self.field(key, value);
        }
    }

    #[inline]
    fn word(&mut self, word: &'static str) -> TextId {
        self.words.get(&mut self.builder, word)
    }

    #[inline]
    fn intern(&mut self, value: Value<'_>) -> TextId {
        intern(&mut self.builder, &mut self.scratch, value)
    }

    /// Id and time.
    #[inline]
    fn identity(&mut self, event: &Event<'_>, raw: &str) {
        let id = match event.id.map_or(0, |id| self.intern(id)) {
            0 => self.builder.intern(&fingerprint(raw)),
            id => id,
        };
        self.builder.set_text(self.columns.id, id);
        if let Some(value) = event.time {
            match read_time(value, &mut self.scratch) {
                Some(ms) => self.builder.set_integer(self.columns.time, ms),
                None => self.named_field("eventTimestamp", value),
            }
        }
    }

    /// Kind, action and whether it is an act of administration.
    #[inline]
    fn event_type(&mut self, event: &Event<'_>) -> Known {
        let known = self.find_type(event);
        self.builder.set_text(self.columns.kind, known.kind);
        self.builder.set_text(self.columns.action, known.action);
        if let Some(flag) = known.administrative {
            self.builder.set_integer(self.columns.administrative, i64::from(flag));
        }
        known
    }

    #[inline]
    fn find_type(&mut self, event: &Event<'_>) -> Known {
        if let (Some(Value::Text(object_type)), Some(Value::Text(action))) =
            (event.object_type, event.action)
            && let (Some(object_type), Some(action)) = (object_type.plain(), action.plain())
            && let Some((family, place)) = kinds::find(object_type, action)
        {
            let memo = self.known.get(family).and_then(|places| places.get(place));
            if let Some(Some(known)) = memo {
                return *known;
            }
            let known = self.learn(object_type, action);
            if let Some(memo) = self.known.get_mut(family).and_then(|places| places.get_mut(place))
            {
                *memo = Some(known);
            }
            return known;
        }
        let object_type = event.object_type.map_or_else(String::new, to_text);
        let action = event.action.map_or_else(String::new, to_text);
        // A line break can't be part of either in a way that matters for the memo.
        let key = format!("{object_type}\n{action}");
        if let Some(known) = self.unknown.get(&key) {
            return *known;
        }
        let known = self.learn(&object_type, &action);
        self.unknown.insert(key, known);
        known
    }

    fn learn(&mut self, object_type: &str, action: &str) -> Known {
        let settings = self.settings;
        let meaning = kinds::meaning(object_type, action, settings);
        let full = match (object_type.is_empty(), action.is_empty()) {
            (false, false) => format!("{object_type}.{action}"),
            _ => format!("{object_type}{action}"),
        };
        Known {
            kind: self.builder.intern(meaning.kind),
            action: self.builder.intern(&full),
            object_kind: self.builder.intern(meaning.object_kind),
            administrative: meaning.administrative,
            failed: meaning.failed,
            moves: action == "MOVE",
        }
    }

    /// The vendor's word for the client, and its kind.
    #[inline]
    fn source(&mut self, event: &Event<'_>) {
        let Some(value) = event.source else { return };
        let (id, client) = match plain(value) {
            Some(source) => match self.sources.iter().find(|(name, _, _)| name == source) {
                Some(&(_, id, client)) => (id, client),
                None => self.learn_source(source),
            },
            None => self.learn_source(&to_text(value)),
        };
        self.builder.set_text(self.columns.source, id);
        self.builder.set_text(self.columns.client, client);
    }

    fn learn_source(&mut self, source: &str) -> (TextId, TextId) {
        if source.is_empty() {
            return (0, 0);
        }
        let id = self.builder.intern(source);
        let client = self.builder.intern(types::client(source));
        // A page that makes up sources without end must not make this slow.
        if self.sources.len() < 32 {
            self.sources.push((source.to_owned(), id, client));
        }
        (id, client)
    }

    /// Finds out what each detail is, and takes what must be known before the others are placed.
    #[inline]
    fn look_ahead<'a>(&mut self, event: &Event<'a>, known: Known) -> Gathered<'a> {
        let mut gathered = Gathered::default();
        self.uses.clear();
        for &(key, value) in &event.details {
            let mut used = use_of(key.plain().unwrap_or_default());
            match (used, value) {
                (_, Value::Null) => {}
                (Use::ActorEmail, Value::Text(text)) if gathered.email.is_none() => {
                    gathered.email = Some(text);
                    used = Use::Taken;
                }
                (Use::FolderName, Value::Text(_)) if known.moves => {
                    let id = self.intern(value);
                    if once(&mut gathered.destination_name, id) {
                        used = Use::Taken;
                    }
                }
                (Use::Name | Use::FolderName, Value::Text(_) | Value::Number(_)) => {
                    let id = self.intern(value);
                    if once(&mut gathered.name, id) {
                        used = Use::Taken;
                    }
                }
                _ => {}
            }
            self.uses.push(used);
        }
        gathered.email = gathered.email.filter(|email| !email.is_empty());
        gathered
    }

    fn details(&mut self, event: &Event<'_>, known: Known, gathered: &mut Gathered<'_>) {
        for (place, &(key, value)) in event.details.iter().enumerate() {
            let used = self.uses.get(place).copied().unwrap_or(Use::Field);
            let done = match value {
                Value::Null => true,
                Value::Text(text) if text.is_empty() => true,
                Value::Text(_) | Value::Number(_) => self.detail(used, value, known, gathered),
                _ => false,
            };
            if !done {
                self.field(key, value);
            }
        }
        self.builder.set_text(self.columns.ip, gathered.ip);
        self.builder.set_text(self.columns.access, gathered.access);
        self.builder.set_text(self.columns.format, gathered.format);
        if let Some(amount) = gathered.amount {
            self.builder.set_integer(self.columns.amount, amount);
        }
        if gathered.destination_name != 0 {
            let kind = self.word("folder");
            self.push_object("destination", kind, 0, gathered.destination_name);
        }
    }

    /// Puts a detail where it belongs; `false` when that is among the fields.
    #[inline]
    fn detail(
        &mut self,
        used: Use,
        value: Value<'_>,
        known: Known,
        gathered: &mut Gathered<'_>,
    ) -> bool {
        match used {
            Use::Taken => {}
            Use::Ip => return once(&mut gathered.ip, self.intern(value)),
            Use::Access => return once(&mut gathered.access, self.intern(value)),
            Use::Format => return once(&mut gathered.format, self.intern(value)),
            Use::AccessAndField => {
                once(&mut gathered.access, self.intern(value));
                return false;
            }
            Use::Amount => {
                let amount = read_integer(value, &mut self.scratch);
                if amount.is_none() || gathered.amount.is_some() {
                    return false;
                }
                gathered.amount = amount;
            }
            Use::Parent(kind) => self.parent("parent", kind, value, 0, gathered),
            Use::Workspace if known.moves => {
                self.parent("destination", "workspace", value, 0, gathered);
            }
            Use::Workspace => self.parent("parent", "workspace", value, 0, gathered),
            Use::Destination("folder") => {
                let name = std::mem::take(&mut gathered.destination_name);
                self.parent("destination", "folder", value, name, gathered);
            }
            Use::Destination(kind) => {
                self.related("destination", kind, value);
            }
            Use::Recipient(kind) => self.recipient("recipient", kind, value, gathered),
            Use::Member => self.recipient("member", "user", value, gathered),
            Use::RecipientEmail => self.recipient_email(value, gathered),
            Use::Former => {
                self.related("former", "user", value);
            }
            Use::Source("") => {
                let id = self.intern(value);
                self.push_object("source", known.object_kind, id, 0);
            }
            Use::Source(kind) => {
                self.related("source", kind, value);
            }
            Use::DeclineReason => {
                // An invitation that could not be accepted is a failure, a declined one is not.
                gathered.failed =
                    plain(value).is_some_and(|reason| reason.starts_with("ACCEPT_FAILED"));
                return false;
            }
            // Names and addresses that found their place taken.
            Use::ActorEmail | Use::Name | Use::FolderName | Use::Field => return false,
        }
        true
    }

    fn push_object(&mut self, role: &'static str, kind: TextId, id: TextId, name: TextId) {
        let role = self.word(role);
        self.tables.object(&mut self.builder, [role, kind, id, name]);
    }

    fn related(&mut self, role: &'static str, kind: &'static str, value: Value<'_>) -> TextId {
        let id = self.intern(value);
        let kind = self.word(kind);
        self.push_object(role, kind, id, 0);
        id
    }

    fn parent(
        &mut self,
        role: &'static str,
        kind: &'static str,
        value: Value<'_>,
        name: TextId,
        gathered: &mut Gathered<'_>,
    ) {
        let id = self.intern(value);
        let kind_id = self.word(kind);
        self.push_object(role, kind_id, id, name);
        let rank = parent_rank(kind);
        if gathered.parent.is_none_or(|before| rank < before) {
            gathered.parent = Some(rank);
            self.builder.set_text(self.columns.parent, id);
            self.builder.set_text(self.columns.parent_kind, kind_id);
        }
    }

    fn recipient(
        &mut self,
        role: &'static str,
        kind: &'static str,
        value: Value<'_>,
        gathered: &mut Gathered<'_>,
    ) {
        let id = self.related(role, kind, value);
        // A user who joins a group is named with the group: the user is who gets access.
        let rank = if kind == "group" { 1 } else { 2 };
        if rank <= gathered.recipient {
            return;
        }
        gathered.recipient = rank;
        self.builder.set_text(self.columns.recipient, id);
        self.builder.set_text(self.columns.recipient_id, id);
        let kind = self.word(kind);
        self.builder.set_text(self.columns.recipient_kind, kind);
    }

    fn recipient_email(&mut self, value: Value<'_>, gathered: &mut Gathered<'_>) {
        let id = self.intern(value);
        let kind = self.word("address");
        self.push_object("recipient", kind, 0, id);
        if gathered.recipient == 2 {
            return;
        }
        gathered.recipient = 2;
        let lower = match value {
            Value::Text(text) => self.lower(text, id),
            _ => id,
        };
        self.builder.set_text(self.columns.recipient, lower);
        self.builder.set_text(self.columns.recipient_kind, kind);
        if let Value::Text(text) = value
            && let Some((_, domain)) = text.get(&mut self.scratch).rsplit_once('@')
        {
            let domain = domain.trim_end_matches(['>', ' ', '.']).to_lowercase();
            let domain = self.builder.intern(&domain);
            self.builder.set_text(self.columns.recipient_domain, domain);
        }
    }

    /// The id of a text in lower case, given that of the text itself.
    #[inline]
    fn lower(&mut self, text: Text<'_>, id: TextId) -> TextId {
        let text = text.get(&mut self.scratch);
        if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            return id;
        }
        self.lower.clear();
        self.lower.extend(text.chars().flat_map(char::to_lowercase));
        self.builder.intern(&self.lower)
    }

    /// Who did it, and in whose name.
    fn actor(&mut self, event: &Event<'_>, gathered: &Gathered<'_>) {
        let user = event.user.map_or(0, |value| self.intern(value));
        let request = match event.request_user {
            Some(value) if !same(event.request_user, event.user) => self.intern(value),
            _ => 0,
        };
        let system_request = request != 0 && event.request_user.and_then(system).is_some();
        // Without a system user involved, two ids mean that somebody acts in another's name: the
        // actor is then the one whose credential was used.
        let system_actor = event.user.and_then(system);
        let (actor, behalf) = match (user, request) {
            (0, request) => (request, 0),
            (user, 0) => (user, 0),
            (user, request) if system_actor.is_some() => {
                (user, if system_request { 0 } else { request })
            }
            (user, request) => (request, user),
        };
        let system_actor = match system_actor {
            None if actor == request && request != 0 => event.request_user.and_then(system),
            found => found,
        };
        if system_actor.is_some() && behalf == 0 && request != 0 && actor != request {
            // Two system users: the second is named nowhere else.
            if let Some(value) = event.request_user {
                self.named_field("requestUserId", value);
            }
        }
        let impersonated = behalf != 0 && system_actor.is_none();
        let builder = &mut self.builder;
        builder.set_text(self.columns.actor, actor);
        builder.set_text(self.columns.actor_id, actor);
        builder.set_text(self.columns.behalf, behalf);
        builder.set_text(self.columns.behalf_id, behalf);
        if user != 0 && (request != 0 || event.request_user.is_some()) {
            builder.set_integer(self.columns.impersonated, i64::from(impersonated));
        }
        if let Some(system) = system_actor {
            let name = self.word(system.name);
            self.builder.set_text(self.columns.actor_name, name);
        }
        let anonymous = system_actor.is_some_and(|system| system.id == ANONYMOUS);
        let kind = match system_actor {
            Some(_) if anonymous => "anonymous",
            Some(_) => "system",
            None => "user",
        };
        if actor != 0 || gathered.email.is_some() {
            let kind = self.word(kind);
            self.builder.set_text(self.columns.actor_type, kind);
            // Whether somebody signed in behind another system user, such as a form, is not known.
            if anonymous || system_actor.is_none() {
                self.builder.set_integer(self.columns.anonymous, i64::from(anonymous));
            }
        }
        if let Some(email) = gathered.email {
            self.email(email, behalf == 0 && system_actor.is_none());
        }
    }

    /// The e-mail address belongs to the actor when only one user is named. When two are, the vendor
    /// does not say whose it is: it is kept, and whoever knows the accounts finds both by their ids.
    fn email(&mut self, email: Text<'_>, is_actors: bool) {
        let id = self.intern(Value::Text(email));
        if is_actors {
            self.builder.set_text(self.columns.actor_email, id);
            let lower = self.lower(email, id);
            self.builder.set_text(self.columns.actor, lower);
        } else {
            self.named_field("emailAddress", Value::Text(email));
        }
    }

    /// What it was done to.
    fn object(&mut self, event: &Event<'_>, known: Known, gathered: &Gathered<'_>) {
        let new = event.object_id_str.map_or(0, |value| self.object_id(value));
        let old = match event.object_id {
            Some(value) if !same(event.object_id, event.object_id_str) => self.object_id(value),
            _ => 0,
        };
        let id = if new != 0 { new } else { old };
        if new != 0
            && old != 0
            && new != old
            && let Some(value) = event.object_id
        {
            self.named_field("objectId", value);
        }
        self.builder.set_text(self.columns.object, id);
        self.builder.set_text(self.columns.object_kind, known.object_kind);
        self.builder.set_text(self.columns.object_name, gathered.name);
        if id != 0 || gathered.name != 0 {
            self.push_object("object", known.object_kind, id, gathered.name);
        }
    }

    /// An object's id; 0 for the `-1` that says that it is not a number.
    #[inline]
    fn object_id(&mut self, value: Value<'_>) -> TextId {
        match value {
            Value::Number("-1") => 0,
            Value::Text(text) if text.plain() == Some("-1") => 0,
            value => self.intern(value),
        }
    }

    fn named_field(&mut self, key: &'static str, value: Value<'_>) {
        let key = self.word(key);
        let value = self.intern(value);
        self.push_field(key, value);
    }

    fn push_field(&mut self, key: TextId, value: TextId) {
        self.tables.field(&mut self.builder, key, value);
    }

    /// Keeps a member among the fields.
    fn field(&mut self, key: Text<'_>, value: Value<'_>) {
        match value {
            Value::Null => {}
            Value::Text(text) if text.is_empty() => {}
            Value::Object(raw) => {
                let name = key.get(&mut self.scratch).to_owned();
                self.flatten(&name, raw);
            }
            value => {
                let name = match key.plain() {
                    // A value that is no object has no name; there is no column for that.
                    Some("") => self.word("value"),
                    Some(plain) => self.builder.intern(plain),
                    None => self.intern(Value::Text(key)),
                };
                let value = self.intern(value);
                self.push_field(name, value);
            }
        }
    }

    /// The members of a nested object, their names joined by dots. What is empty or nested very deep
    /// is kept as JSON.
    fn flatten(&mut self, name: &str, raw: &str) {
        let mut waiting = vec![(name.to_owned(), raw, 0)];
        while let Some((name, raw, depth)) = waiting.pop() {
            let members = if depth < DEEPEST { members(raw) } else { Vec::new() };
            if members.is_empty() {
                let key = self.builder.intern(&name);
                let value = self.builder.intern(raw);
                self.push_field(key, value);
                continue;
            }
            for (key, value) in members {
                let key = format!("{name}.{}", key.get(&mut self.scratch));
                match value {
                    Value::Object(raw) => waiting.push((key, raw, depth + 1)),
                    Value::Null => {}
                    Value::Text(text) if text.is_empty() => {}
                    value => {
                        let key = self.builder.intern(&key);
                        let value = self.intern(value);
                        self.push_field(key, value);
                    }
                }
            }
        }
    }
}

/// How many levels of a nested object are told apart.
const DEEPEST: u8 = 8;

/// The members of an object.
fn members(raw: &str) -> Vec<Member<'_>> {
    let mut scanner = Scanner::new(raw);
    let mut members = Vec::new();
    let mut first = true;
    // It was read once as part of the event, so that it can't be broken.
    if scanner.enter_object().is_ok() {
        while let Ok(Some(key)) = scanner.key(&mut first)
            && let Ok(value) = scanner.value()
        {
            members.push((key, value));
        }
    }
    members
}

/// The index of a value's text: digits as they were written, nested values as JSON.
#[inline]
fn intern(builder: &mut BatchBuilder, scratch: &mut String, value: Value<'_>) -> TextId {
    match value {
        Value::Text(text) => builder.intern(text.get(scratch)),
        Value::Number(raw) | Value::Array(raw) | Value::Object(raw) => builder.intern(raw),
        Value::Flag(true) => builder.intern("true"),
        Value::Flag(false) => builder.intern("false"),
        Value::Null => 0,
    }
}

fn to_text(value: Value<'_>) -> String {
    match value {
        Value::Text(text) => text.get(&mut String::new()).to_owned(),
        Value::Number(raw) | Value::Array(raw) | Value::Object(raw) => raw.to_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Null => String::new(),
    }
}

/// The system user a value names.
#[inline]
fn system(value: Value<'_>) -> Option<&'static types::SystemUser> {
    system_user(plain(value)?)
}

#[inline]
fn plain(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Text(text) => text.plain(),
        Value::Number(digits) => Some(digits),
        _ => None,
    }
}

/// Whether two values say the same id, one perhaps as a number and one as a text.
#[inline]
fn same(a: Option<Value<'_>>, b: Option<Value<'_>>) -> bool {
    matches!((a.and_then(plain), b.and_then(plain)), (Some(a), Some(b)) if a == b)
}

/// ISO 8601, or milliseconds since 1970 as a number or as a text.
#[inline]
pub(crate) fn read_time(value: Value<'_>, scratch: &mut String) -> Option<i64> {
    let ms = match value {
        Value::Text(text) => {
            let text = text.get(scratch);
            time::parse(text).or_else(|| text.parse().ok())
        }
        value => read_integer(value, scratch),
    };
    ms.filter(|ms| TIMES.contains(ms))
}

/// Times that the host believes, ms since 1970: beyond them a number is in another unit.
const TIMES: RangeInclusive<i64> = -62_135_596_800_000..=253_000_000_000_000;

/// An integer, as a number or as a text. A fraction is cut off.
fn read_integer(value: Value<'_>, scratch: &mut String) -> Option<i64> {
    let text = match value {
        Value::Number(digits) => digits,
        Value::Text(text) => text.get(scratch),
        _ => return None,
    };
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.abs() < 9e15).then_some(number as i64)
    })
}
