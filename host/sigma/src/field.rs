//! What the fields of a rule are among casbah's activities.

use casbah_model::vocabulary::{self, COLUMNS, ColumnType, NESTED};

/// A field of an activity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name in a policy.
    pub(crate) name: String,
    pub(crate) holds: Holds,
}

/// What stands in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// Texts, perhaps several, whatever the app said; the empty text is one of them.
    Said,
    /// Any text of the activity.
    Anything,
    /// A text; the empty text is none.
    Text,
    /// A whole number.
    Integer,
    /// A time.
    Time,
    /// Yes or no.
    Flag,
    /// A number.
    Number,
}

impl Field {
    /// The app's own field of a name.
    pub(crate) fn said(name: &str) -> Self {
        Self { name: format!("fields.{name}"), holds: Holds::Said }
    }

    /// Every text of the activity.
    pub(crate) fn anything() -> Self {
        Self { name: "*".to_owned(), holds: Holds::Anything }
    }

    /// A field by the name that policies have for it.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let holds = if let Some(column) = vocabulary::column(name) {
            match column.column_type {
                ColumnType::Text => Holds::Text,
                ColumnType::Integer => Holds::Integer,
                ColumnType::Time => Holds::Time,
                ColumnType::Flag => Holds::Flag,
                ColumnType::Number => Holds::Number,
            }
        } else if name.strip_prefix("fields.").is_some_and(|key| !key.is_empty()) {
            Holds::Said
        } else {
            let column = name.strip_prefix("objects.")?;
            let objects = NESTED.iter().find(|nested| nested.name == "objects")?;
            objects.columns.iter().find(|entry| entry.name == column)?;
            Holds::Text
        };
        Some(Self { name: name.to_owned(), holds })
    }

    /// The names of all columns.
    pub(crate) fn columns<'a>() -> impl Iterator<Item = &'a str> + Clone {
        COLUMNS.iter().map(|column| column.name)
    }

    /// Whether it can be counted and told apart by.
    pub(crate) fn is_countable(&self) -> bool {
        !matches!(self.holds, Holds::Number | Holds::Anything)
    }
}
