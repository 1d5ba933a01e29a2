//! The names that policies use for what an activity says, and the values behind them in a batch.
//!
//! It is not the list of columns: that is the published vocabulary.

use casbah_model::table::{ABSENT_INTEGER, Batch, Nested, TextId, Values};
use casbah_model::vocabulary::{COLUMNS, ColumnEntry, ColumnType, NESTED};

use crate::json::shown;

/// Something that a policy can name.
#[derive(Clone, Debug)]
pub enum Field {
    /// A published column.
    Column(&'static ColumnEntry),
    /// `fields.NAME`: what else the app said, by its own name.
    OfApp {
        /// The whole name, `fields.` included.
        name: String,
    },
    /// `objects.COLUMN`: the same of everything the activity touches.
    Objects {
        /// The whole name, `objects.` included.
        name: String,
        /// The column of the nested table.
        column: &'static str,
    },
}

/// Start of the names of an app's own fields.
const APP_FIELD: &str = "fields.";
/// Start of the names of columns of the nested objects.
const OBJECTS: &str = "objects.";

impl Field {
    /// The name that policies use.
    pub fn name(&self) -> &str {
        match self {
            Self::Column(entry) => entry.name,
            Self::OfApp { name } | Self::Objects { name, .. } => name,
        }
    }

    /// Type of the values.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Column(entry) => entry.column_type,
            Self::OfApp { .. } | Self::Objects { .. } => ColumnType::Text,
        }
    }

    /// How soon predicates on it should be asked: columns of few distinct values come first.
    pub(crate) fn rank(&self) -> u32 {
        match self {
            Self::Column(entry) => match (entry.column_type, entry.name) {
                (
                    _,
                    "app" | "kind" | "action" | "connection" | "source" | "instance"
                    | "object.kind" | "parent.kind" | "recipient.kind" | "client" | "result"
                    | "actor.type" | "actor.status" | "ip.category" | "ip.tags" | "ip.lists"
                    | "country" | "actor.groups" | "user-agent.kind" | "user-agent.tags" | "access"
                    | "format",
                ) => 0,
                (ColumnType::Text, _) => 20,
                _ => 10,
            },
            Self::OfApp { .. } | Self::Objects { .. } => 40,
        }
    }

    /// Finds the field of a name, or says what is wrong with the name.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        if let Some(entry) = COLUMNS.iter().find(|entry| entry.name == name) {
            return Ok(Self::Column(entry));
        }
        if let Some(key) = name.strip_prefix(APP_FIELD) {
            if key.is_empty() {
                return Err("`fields.` needs the app's name of the field after the dot, \
                    e.g. `fields.sheetName`"
                    .to_owned());
            }
            return Ok(Self::OfApp { name: name.to_owned() });
        }
        let columns = NESTED
            .iter()
            .find(|nested| nested.name == "objects")
            .map_or(&[] as &[ColumnEntry], |nested| nested.columns);
        if let Some(column) = name
            .strip_prefix(OBJECTS)
            .and_then(|column| columns.iter().find(|entry| entry.name == column))
        {
            return Ok(Self::Objects { name: name.to_owned(), column: column.name });
        }
        let nested = columns.iter().map(|entry| format!("{OBJECTS}{}", entry.name));
        let known: Vec<String> =
            COLUMNS.iter().map(|entry| entry.name.to_owned()).chain(nested).collect();
        Err(unknown("field", name, known.iter().map(String::as_str)))
    }
}

/// Says that a name is not known, with the nearest known one.
pub(crate) fn unknown<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    let typed = shown(name);
    match nearest(name, known.clone()) {
        Some(near) => format!("`{typed}` is not a {what}\nhint: did you mean `{near}`?"),
        None if what == "field" => format!(
            "`{typed}` is not a field\nhint: the app's own fields are written `fields.NAME`; \
             the columns are listed in the vocabulary"
        ),
        None => {
            let known: Vec<_> = known.map(|name| format!("`{name}`")).collect();
            format!("`{typed}` is not a {what}\nhint: use one of {}", known.join(", "))
        }
    }
}

/// The known name that differs by the fewest letters, unless it differs by too many.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: String = name.chars().take(64).flat_map(char::to_lowercase).collect();
    let allowed = (name.chars().count() / 3).clamp(1, 3);
    known
        .map(|known| (strsim::osa_distance(&name, known), known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// The values of a field in one batch.
#[derive(Clone, Copy)]
pub enum Cells<'a> {
    /// Nobody has any.
    Absent,
    /// A text a row; 0 where there is none.
    Text(&'a [TextId]),
    /// An integer, time or flag a row; [`ABSENT_INTEGER`] where there is none.
    Integer(&'a [i64]),
    /// A float a row; not a number where there is none.
    Number(&'a [f64]),
    /// Any number of texts a row.
    Nested {
        /// The nested table.
        table: &'a Nested,
        /// The texts in it.
        values: &'a [TextId],
        /// For an app's own field: the names in the table, and the one that is meant.
        key: Option<(&'a [TextId], &'a str)>,
    },
}

/// One value, as far as activities are told apart by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// There is none.
    Absent,
    /// A text of the batch, by its index: equal texts of one batch have equal indexes.
    Text(TextId),
    /// An integer, time or flag.
    Integer(i64),
}

impl<'a> Cells<'a> {
    /// The values of a published column, by its name; nobody has any where it is not published.
    pub fn column(batch: &'a Batch, name: &str) -> Self {
        let entry = COLUMNS.iter().find(|entry| entry.name == name);
        entry.map_or(Self::Absent, |entry| Self::of_column(entry, batch))
    }

    fn of_column(entry: &ColumnEntry, batch: &'a Batch) -> Self {
        match (batch.column(entry.name), entry.column_type) {
            (Some(Values::Text(ids)), ColumnType::Text) => Self::Text(ids),
            (
                Some(Values::Integer(values)),
                ColumnType::Integer | ColumnType::Time | ColumnType::Flag,
            ) => Self::Integer(values),
            (Some(Values::Number(values)), ColumnType::Number) => Self::Number(values),
            _ => Self::Absent,
        }
    }

    /// The values of a field in a batch; a column of another type than published counts as absent.
    pub fn of(field: &'a Field, batch: &'a Batch) -> Self {
        match field {
            Field::Column(entry) => Self::of_column(entry, batch),
            Field::OfApp { name } => {
                let Some(table) = batch.nested("fields") else { return Self::Absent };
                match (table.column("key"), table.column("value")) {
                    (Some(Values::Text(keys)), Some(Values::Text(values))) => {
                        let key = name.strip_prefix(APP_FIELD).unwrap_or(name);
                        Self::Nested { table, values, key: Some((keys, key)) }
                    }
                    _ => Self::Absent,
                }
            }
            Field::Objects { column, .. } => {
                let Some(table) = batch.nested("objects") else { return Self::Absent };
                match table.column(column) {
                    Some(Values::Text(values)) => Self::Nested { table, values, key: None },
                    _ => Self::Absent,
                }
            }
        }
    }

    /// The value of a row, the first one where there are several.
    #[inline]
    pub fn cell(&self, batch: &Batch, row: usize) -> Cell {
        match self {
            Self::Absent | Self::Number(_) => Cell::Absent,
            Self::Text(ids) => match ids.get(row) {
                None | Some(0) => Cell::Absent,
                Some(&id) => Cell::Text(id),
            },
            Self::Integer(values) => match values.get(row) {
                None | Some(&ABSENT_INTEGER) => Cell::Absent,
                Some(&value) => Cell::Integer(value),
            },
            Self::Nested { .. } => self.texts(batch, row).next().map_or(Cell::Absent, Cell::Text),
        }
    }

    /// All texts of a row of a nested field; none for a column.
    #[inline]
    pub fn texts(&self, batch: &'a Batch, row: usize) -> impl Iterator<Item = TextId> {
        let (range, values, key) = match *self {
            Self::Nested { table, values, key } => (table.range(row), values, key),
            _ => (0..0, &[] as &[TextId], None),
        };
        range.filter_map(move |inner| {
            if let Some((keys, name)) = key
                && batch.texts.get(*keys.get(inner)?) != name
            {
                return None;
            }
            values.get(inner).copied().filter(|&id| id != 0)
        })
    }
}

impl Cell {
    /// Writes the value as text; nothing where it is absent.
    pub fn text(self, batch: &Batch) -> String {
        match self {
            Self::Absent => String::new(),
            Self::Text(id) => batch.texts.get(id).to_owned(),
            Self::Integer(value) => value.to_string(),
        }
    }
}
