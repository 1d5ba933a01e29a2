//! The rows that adapters make: columns found once a batch, the nested tables that activities have,
//! members of records by what they are.
//!
//! It is not a mapping: which member goes into which column is the adapter's to say.

use casbah_model::table::{NestedColumn, NestedTable};
use casbah_model::{BatchBuilder, TextId};

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

/// A struct of the members of a record that have a meaning, and an enum of their names: so that the
/// path of a member is looked at once a batch, and not once a record.
///
/// ```
/// casbah_plugin::parts! {
///     /// What is understood.
///     struct Parts, enum Part {
///         id: "id",
///         name: "user.name" | "userName",
///     }
/// }
///
/// let mut parts = Parts::default();
/// if let Some(part) = Part::of("userName") {
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

        impl $part {
            /// The part that stands at a path.
            fn of(path: &str) -> Option<Self> {
                Some(match path {
                    $($path => Self::$field,)*
                    _ => return None,
                })
            }
        }

        impl<'r> $parts<'r> {
            #[inline]
            fn place(&mut self, part: $part) -> &mut &'r str {
                match part {
                    $($part::$field => &mut self.$field,)*
                }
            }
        }
    };
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
