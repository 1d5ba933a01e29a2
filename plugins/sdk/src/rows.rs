//! The rows that adapters make: columns found once a batch, the nested tables that activities have,
//! members of records by what they are.
//!
//! It is not a mapping: which member goes into which column is the adapter's to say.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use casbah_model::table::{NestedColumn, NestedTable};
use casbah_model::{Batch, BatchBuilder, TextId};

use crate::memo::Memo;
use crate::record::{PathId, Paths, Record};

/// A struct of the columns that an adapter fills, found once for every batch.
///
/// ```
/// casbah_plugin::columns! {
///     /// What is filled here.
///     struct Columns {
///         id: text_column TextColumn = "id",
///         time: integer_column IntegerColumn = "time",
///     }
/// }
///
/// let mut builder = casbah_plugin::BatchBuilder::new();
/// let columns = Columns::new(&mut builder);
/// builder.begin_row();
/// builder.set_integer(columns.time, 5);
/// let id = builder.intern("1");
/// builder.set_text(columns.id, id);
/// ```
#[macro_export]
macro_rules! columns {
    (
        $(#[$meta:meta])*
        struct $columns:ident { $($field:ident: $make:ident $type:ident = $name:literal,)* }
    ) => {
        $(#[$meta])*
        struct $columns { $($field: $crate::model::table::$type,)* }

        impl $columns {
            fn new(builder: &mut $crate::BatchBuilder) -> Self {
                Self { $($field: builder.$make($name),)* }
            }
        }
    };
}

/// A struct of the members of a record that have a meaning: a [`Parts`], by their paths.
///
/// ```
/// use casbah_plugin::rows::Parts as _;
///
/// casbah_plugin::parts! {
///     /// What is understood.
///     struct Parts, enum Part {
///         id: "id",
///         name: "user.name" | "userName",
///     }
/// }
///
/// let mut parts = Parts::default();
/// if let Some(part) = Parts::at("userName") {
///     *parts.place(part) = "Ana";
/// }
/// assert_eq!((parts.id, parts.name), ("", "Ana"));
/// ```
#[macro_export]
macro_rules! parts {
    (
        $(#[$meta:meta])*
        struct $parts:ident, enum $part:ident { $($field:ident: $path:pat,)* }
    ) => {
        $(#[$meta])*
        #[derive(Default)]
        struct $parts<'r> { $($field: &'r str,)* }

        /// Which part of a record a member is.
        #[derive(Clone, Copy, Debug)]
        #[expect(non_camel_case_types, reason = "they are named as the parts are")]
        enum $part { $($field,)* }

        impl<'r> $crate::rows::Parts<'r> for $parts<'r> {
            type Part = $part;

            fn at(path: &str) -> Option<$part> {
                Some(match path {
                    $($path => $part::$field,)*
                    _ => return None,
                })
            }

            #[inline]
            fn place(&mut self, part: $part) -> &mut &'r str {
                match part {
                    $($part::$field => &mut self.$field,)*
                }
            }
        }
    };
}

/// The members of a record that have a meaning; [`parts!`](crate::parts) makes one.
pub trait Parts<'r>: Default {
    /// Which member.
    type Part: Copy;

    /// The part that stands at a path.
    fn at(path: &str) -> Option<Self::Part>;

    /// Where the text of a part is kept; empty as long as it was not met.
    fn place(&mut self, part: Self::Part) -> &mut &'r str;
}

/// What the paths of a batch's records are: looked at once a batch, not once a record.
#[derive(Debug)]
pub struct Known<P> {
    /// By path: which part it is, and the name of the field that it is, 0 before that is needed.
    paths: Vec<(Option<P>, TextId)>,
}

impl<P> Default for Known<P> {
    fn default() -> Self {
        Self { paths: Vec::new() }
    }
}

impl<P: Copy> Known<P> {
    /// Finds the parts of a record. Every other member becomes a field of the current row, and so does
    /// a part that was met before; `name` gives the field's name for a path.
    pub fn sort<'r, T: Parts<'r, Part = P>>(
        &mut self,
        record: &'r Record<'_>,
        paths: &Paths,
        rows: &mut Rows,
        name: impl Fn(&str) -> Cow<'_, str>,
    ) -> T {
        let mut parts = T::default();
        while self.paths.len() < paths.len() {
            self.paths.push((T::at(paths.get(self.paths.len() as PathId)), 0));
        }
        for (path, value) in &record.members {
            let Some((part, key)) = self.paths.get_mut(*path as usize) else { continue };
            if let Some(part) = *part {
                let place = parts.place(part);
                if place.is_empty() {
                    *place = value;
                    continue;
                }
            }
            if *key == 0 {
                *key = rows.builder.intern(&name(paths.get(*path)));
            }
            let value = rows.builder.intern(value);
            rows.fields.push((*key, value));
        }
        parts
    }
}

/// The nested tables of activities: `objects` and `fields`.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    objects: NestedTable,
    role: NestedColumn,
    kind: NestedColumn,
    id: NestedColumn,
    name: NestedColumn,
    fields: NestedTable,
    key: NestedColumn,
    value: NestedColumn,
}

impl Tables {
    /// Finds them in a builder.
    pub fn new(builder: &mut BatchBuilder) -> Self {
        let objects = builder.nested_table("objects");
        let fields = builder.nested_table("fields");
        Self {
            objects,
            role: builder.nested_column(objects, "role"),
            kind: builder.nested_column(objects, "kind"),
            id: builder.nested_column(objects, "id"),
            name: builder.nested_column(objects, "name"),
            fields,
            key: builder.nested_column(fields, "key"),
            value: builder.nested_column(fields, "value"),
        }
    }

    /// Adds an object to the current row: its role, kind, id and name, 0 for what is not known.
    #[inline]
    pub fn object(&self, builder: &mut BatchBuilder, [role, kind, id, name]: [TextId; 4]) {
        builder.push_nested(self.objects);
        builder.set_nested(self.role, role);
        builder.set_nested(self.kind, kind);
        builder.set_nested(self.id, id);
        builder.set_nested(self.name, name);
    }

    /// Adds fields to the current row, each a key and a value.
    pub fn fields(&self, builder: &mut BatchBuilder, fields: &[(TextId, TextId)]) {
        builder.extend_nested([self.key, self.value], fields);
    }

    /// Adds a field to the current row.
    #[inline]
    pub fn field(&self, builder: &mut BatchBuilder, key: TextId, value: TextId) {
        builder.push_nested(self.fields);
        builder.set_nested(self.key, key);
        builder.set_nested(self.value, value);
    }
}

/// The ids of an adapter's own words, found by where the word stands and not by what it says.
#[derive(Debug, Default)]
pub struct Words(Vec<(&'static str, TextId)>);

impl Words {
    /// The id of a word in a builder, always the same builder.
    #[inline]
    pub fn get(&mut self, builder: &mut BatchBuilder, word: &'static str) -> TextId {
        if let Some(&(_, id)) = self.0.iter().find(|(known, _)| std::ptr::eq(*known, word)) {
            return id;
        }
        let id = builder.intern(word);
        self.0.push((word, id));
        id
    }
}

/// The rows of a batch in the making, of which each has its objects first and its fields last.
#[derive(Debug)]
pub struct Rows {
    /// Where the columns are filled.
    pub builder: BatchBuilder,
    tables: Tables,
    words: Words,
    /// Fields of the current row, written when it ends.
    fields: Vec<(TextId, TextId)>,
}

impl Rows {
    /// Rows of a builder whose columns have been found.
    pub fn new(mut builder: BatchBuilder) -> Self {
        let tables = Tables::new(&mut builder);
        Self { builder, tables, words: Words::default(), fields: Vec::new() }
    }

    /// Begins a row.
    pub fn begin(&mut self) {
        self.builder.begin_row();
        self.fields.clear();
    }

    /// Ends the row with its fields.
    pub fn end(&mut self) {
        self.tables.fields(&mut self.builder, &self.fields);
    }

    /// The id of a word of the adapter's own.
    #[inline]
    pub fn word(&mut self, word: &'static str) -> TextId {
        self.words.get(&mut self.builder, word)
    }

    /// Keeps a text of the record as a field; the empty text is none.
    pub fn field(&mut self, key: &'static str, value: &str) {
        if !value.is_empty() {
            let key = self.word(key);
            let value = self.builder.intern(value);
            self.fields.push((key, value));
        }
    }

    /// Keeps interned texts as a field.
    pub fn push_field(&mut self, key: TextId, value: TextId) {
        self.fields.push((key, value));
    }

    /// Adds an object: its role, kind, id and name.
    pub fn object(&mut self, object: [TextId; 4]) {
        self.tables.object(&mut self.builder, object);
    }

    /// The batch.
    pub fn finish(self) -> Batch {
        self.builder.finish()
    }
}

/// IP addresses as casbah writes them, each read once a batch.
#[derive(Debug, Default)]
pub struct Addresses(Memo<Address>);

/// What a text says of an IP address.
#[derive(Clone, Copy, Debug)]
pub struct Address {
    /// The address; 0 when the text is none.
    pub ip: TextId,
    /// Whether the text is the address, and nothing else.
    pub same: bool,
}

impl Addresses {
    /// The address that a text is, maybe with a port, or as IPv4 written as IPv6.
    #[inline]
    pub fn get(&mut self, builder: &mut BatchBuilder, text: &str) -> Address {
        self.0.get(text, |text| {
            let ip = address(text);
            let same = ip.as_deref() == Some(text);
            Address { ip: ip.map_or(0, |ip| builder.intern(&ip)), same }
        })
    }
}

fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .map(|ip| ip.to_canonical().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_in_one_way() {
        for (text, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            (" 203.0.113.7:443", Some("203.0.113.7")),
            ("::ffff:203.0.113.7", Some("203.0.113.7")),
            ("[2001:DB8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("WS-0042", None),
            ("", None),
        ] {
            assert_eq!(address(text).as_deref(), expected, "{text}");
        }
        let (mut addresses, mut builder) = (Addresses::default(), BatchBuilder::new());
        assert!(addresses.get(&mut builder, "203.0.113.7").same);
        assert!(!addresses.get(&mut builder, "203.0.113.7:1").same);
    }
}
