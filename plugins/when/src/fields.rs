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
    /// A column of the nested objects, where a row speaks of one object: `{object: [rows]}`.
    OfObject {
        /// The column of the nested table, which is the whole name.
        column: &'static str,
    },
    /// `*`: any text of the activity.
    Anything,
}

/// The name that stands for any text of the activity.
pub(crate) const ANYTHING: &str = "*";

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
            Self::OfObject { column } => column,
            Self::Anything => ANYTHING,
        }
    }

    /// The app's own name of its field.
    pub(crate) fn of_app(&self) -> Option<&str> {
        match self {
            Self::OfApp { name } => Some(name.strip_prefix(APP_FIELD).unwrap_or(name)),
            _ => None,
        }
    }

    /// Type of the values.
    pub fn column_type(&self) -> ColumnType {
        match self {
            Self::Column(entry) => entry.column_type,
            _ => ColumnType::Text,
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
            Self::OfApp { .. } | Self::Objects { .. } | Self::OfObject { .. } => 40,
            Self::Anything => 200,
        }
    }

    /// The columns of an object.
    fn of_objects() -> &'static [ColumnEntry] {
        let objects = NESTED.iter().find(|nested| nested.name == "objects");
        objects.map_or(&[], |nested| nested.columns)
    }

    /// Finds the column of an object, or says what is wrong with the name.
    pub(crate) fn find_in_object(name: &str) -> Result<Self, String> {
        let bare = name.strip_prefix(OBJECTS).unwrap_or(name);
        match Self::of_objects().iter().find(|entry| entry.name == bare) {
            Some(_) if bare != name => Err(format!(
                "`{}` is written without `objects.` here\nhint: `field: {bare}`",
                shown(name)
            )),
            Some(entry) => Ok(Self::OfObject { column: entry.name }),
            None => {
                let known = Self::of_objects().iter().map(|entry| entry.name);
                Err(unknown("field of an object", name, known))
            }
        }
    }

    /// Finds the field of a name, or says what is wrong with the name.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        if let Some(entry) = COLUMNS.iter().find(|entry| entry.name == name) {
            return Ok(Self::Column(entry));
        }
        if name == ANYTHING {
            return Ok(Self::Anything);
        }
        if let Some(key) = name.strip_prefix(APP_FIELD) {
            if key.is_empty() {
                return Err("`fields.` needs the app's name of the field after the dot, \
                    e.g. `fields.sheetName`"
                    .to_owned());
            }
            return Ok(Self::OfApp { name: name.to_owned() });
        }
        let columns = Self::of_objects();
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
        /// The texts in it; none at all where all are empty.
        values: &'a [TextId],
        /// For an app's own field: which rows of the table are meant.
        key: Option<Key<'a>>,
    },
}

/// The rows of the nested fields that have a name.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// The names in the table.
    keys: &'a [TextId],
    /// The name that is meant.
    name: &'a str,
    /// Its index among the texts of the batch, where it has been looked for.
    id: Option<TextId>,
}

impl Key<'_> {
    #[inline]
    fn means(&self, batch: &Batch, inner: usize) -> bool {
        self.keys.get(inner).is_some_and(|&key| match self.id {
            Some(id) => key == id,
            None => batch.texts.get(key) == self.name,
        })
    }
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
    ///
    /// For a field of one object, there is a value a row of the nested objects, not of the batch.
    pub fn of(field: &'a Field, batch: &'a Batch) -> Self {
        match field {
            Field::Column(entry) => Self::of_column(entry, batch),
            Field::OfApp { name } => {
                let name = name.strip_prefix(APP_FIELD).unwrap_or(name);
                let table = batch.nested(FIELDS);
                match table.and_then(|table| Some((table, table.column("key")?))) {
                    Some((table, Values::Text(keys))) => {
                        let values = texts_of(table, "value").unwrap_or_default();
                        Self::Nested { table, values, key: Some(Key { keys, name, id: None }) }
                    }
                    _ => Self::Absent,
                }
            }
            Field::Objects { column, .. } => {
                let Some(table) = batch.nested(OBJECTS_TABLE) else { return Self::Absent };
                texts_of(table, column).map_or(Self::Absent, |values| Self::Nested {
                    table,
                    values,
                    key: None,
                })
            }
            Field::OfObject { column } => batch
                .nested(OBJECTS_TABLE)
                .and_then(|table| texts_of(table, column))
                .map_or(Self::Absent, Self::Text),
            Field::Anything => Self::Absent,
        }
    }

    /// The same, with the index of an app's own field's name at hand, so that texts need not be
    /// compared; `None` where the batch does not have it.
    pub(crate) fn keyed(self, id: Option<TextId>) -> Self {
        match self {
            Self::Nested { table, values, key: Some(key) } => match id {
                Some(_) => Self::Nested { table, values, key: Some(Key { id, ..key }) },
                None => Self::Absent,
            },
            other => other,
        }
    }

    /// The value of a row, the first one that is not empty where there are several.
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

    /// All texts of a row of a nested field that are not empty; none for a column.
    #[inline]
    pub fn texts(&self, batch: &'a Batch, row: usize) -> impl Iterator<Item = TextId> {
        self.values(batch, row).filter(|&id| id != 0)
    }

    /// All values of a row of a nested field: for an app's own field the empty text is one, too.
    #[inline]
    pub(crate) fn values(self, batch: &'a Batch, row: usize) -> impl Iterator<Item = TextId> {
        let (range, values, key) = match self {
            Self::Nested { table, values, key } => (table.range(row), values, key),
            _ => (0..0, &[] as &[TextId], None),
        };
        range.filter_map(move |inner| {
            let id = values.get(inner).copied().unwrap_or(0);
            match key {
                Some(key) => key.means(batch, inner).then_some(id),
                None => (id != 0).then_some(id),
            }
        })
    }
}

/// The nested table of an app's own fields.
pub(crate) const FIELDS: &str = "fields";
/// The nested table of objects.
pub(crate) const OBJECTS_TABLE: &str = "objects";

/// The texts of a column of a nested table.
pub(crate) fn texts_of<'a>(table: &'a Nested, column: &str) -> Option<&'a [TextId]> {
    match table.column(column) {
        Some(Values::Text(values)) => Some(values),
        _ => None,
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
