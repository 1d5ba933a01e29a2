//! Reads what only some detectors ask of a policy's settings: lists of tables, fields that hold
//! quantities, and a `when` that need not be there.

use casbah_model::vocabulary::ColumnType;

use super::Settings;
use crate::fields::Field;
use crate::json::{Json, Place};
use crate::plan::{Source, When};

impl<'s> Settings<'s> {
    /// A list of tables of keys, if it is there; the outer `None` has been noted. `read` gets each
    /// table with its place in the list, `example` shows one, for the message where it is something
    /// else.
    pub fn tables<T>(
        &mut self,
        name: &str,
        keys: &[&str],
        example: &str,
        mut read: impl FnMut(&mut Settings<'_>, usize) -> Option<T>,
    ) -> Option<Option<Vec<T>>> {
        let Some(value) = self.get(name) else { return Some(None) };
        let outer = self.place;
        let place = Place::Key(&outer, name);
        let Json::List(list) = value else {
            return self.reader.problem(
                place,
                format!(
                    "`{name}` must be a list of tables, not {}\nhint: `{name}: [{example}]`",
                    value.kind()
                ),
            );
        };
        let before = self.reader.problems.len();
        let mut tables = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            let place = Place::Index(&place, index);
            let Json::Map(map) = value else {
                let kind = value.kind();
                self.reader.problem::<()>(
                    place,
                    format!("`{name}` takes tables of keys, not {kind}\nhint: `{example}`"),
                );
                continue;
            };
            self.reader.check_keys(place, map, &format!("key in `{name}`"), keys);
            tables.extend(read(&mut Settings { reader: &mut *self.reader, map, place }, index));
        }
        (self.reader.problems.len() == before && tables.len() == list.len()).then_some(Some(tables))
    }

    /// One field that holds quantities: a column of integers or numbers, or `fields.NAME`, whose texts
    /// are read as numbers. The outer `None` has been noted.
    pub fn quantity(&mut self, name: &str) -> Option<Option<Source>> {
        let field = match self.get(name) {
            None => return Some(None),
            Some(Json::Text(field)) => field,
            Some(other) => {
                let kind = other.kind();
                return self.problem(
                    name,
                    format!("`{name}` must name one field, not be {kind}\nhint: `{name}: amount`"),
                );
            }
        };
        let outer = self.place;
        let source = self.reader.field(Place::Key(&outer, name), field)?;
        let holds = match self.reader.plan.field(source) {
            Some(Field::OfApp { .. }) => true,
            field => matches!(
                field.map(Field::column_type),
                Some(ColumnType::Integer | ColumnType::Number)
            ),
        };
        if !holds {
            return self.problem(
                name,
                format!(
                    "`{field}` holds no quantities, so `{name}` can't use it\n\
                     hint: use `amount`, or a field of the app's own, such as `fields.size`"
                ),
            );
        }
        Some(Some(source))
    }

    /// As [`when`](Settings::when), where `when` need not be there; the outer `None` has been noted,
    /// and the inner one means every activity.
    pub fn filter(&mut self) -> Option<Option<When>> {
        if self.has("when") {
            return self.when().map(Some);
        }
        self.reader.unless_read = true;
        let outer = self.place;
        match self.get("unless") {
            None => Some(None),
            Some(value) => {
                let unless = self.reader.unless(Place::Key(&outer, "unless"), value)?;
                Some(Some(self.reader.meant(Vec::new(), Some(unless))))
            }
        }
    }
}
