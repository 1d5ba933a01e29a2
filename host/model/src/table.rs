//! The packed table in which activities are fetched, stored and evaluated.
//!
//! Every distinct text is kept once, in one blob with end offsets; a column is a list of indexes
//! into those texts, of integers or of floats. So a batch crosses into a sandbox as a few memory
//! copies, however many texts it holds. `wit/README.md` tells the reasons and the measurements.
//!
//! *Absent* is written in band: text 0 (the empty text), [`ABSENT_INTEGER`], or a NaN.
//!
//! It is not a query engine: whoever evaluates a batch walks the columns.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// The integer that means *absent* in an integer column.
pub const ABSENT_INTEGER: i64 = i64::MIN;

/// Index of a text within [`Texts`]; 0 is the empty text and means *absent*.
pub type TextId = u32;

/// All distinct texts of a batch, in one blob.
///
/// Text `i` is `bytes[ends[i - 1]..ends[i]]`. There is always a text 0, the empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    bytes: String,
    ends: Vec<u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { bytes: String::new(), ends: vec![0] }
    }
}

impl Texts {
    /// Takes over a blob and its end offsets without checking them; [`Batch::check`] does that.
    pub fn from_parts(bytes: String, ends: Vec<u32>) -> Self {
        Self { bytes, ends }
    }

    /// Gives back the blob and the end offsets.
    pub fn into_parts(self) -> (String, Vec<u32>) {
        (self.bytes, self.ends)
    }

    /// The blob.
    pub fn bytes(&self) -> &str {
        &self.bytes
    }

    /// The end offset of every text, in bytes.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Number of texts, the empty one included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether nothing but the empty text is held.
    pub fn is_empty(&self) -> bool {
        self.ends.len() <= 1
    }

    /// The text of an index; the empty text when there is none of that index.
    #[inline]
    pub fn get(&self, id: TextId) -> &str {
        let id = id as usize;
        let Some(&end) = self.ends.get(id) else { return "" };
        let start = if id == 0 { 0 } else { self.ends.get(id - 1).copied().unwrap_or(0) };
        self.bytes.get(start as usize..end as usize).unwrap_or("")
    }

    /// The last `length` bytes of a text; nothing when it is shorter.
    #[inline]
    pub fn get_end(&self, id: TextId, length: usize) -> &[u8] {
        let text = self.span(id);
        text.len().checked_sub(length).and_then(|from| text.get(from..)).unwrap_or_default()
    }

    /// The bytes of a text.
    #[inline]
    fn span(&self, id: TextId) -> &[u8] {
        let id = id as usize;
        let start =
            id.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&end| end);
        let end = self.ends.get(id).map_or(start, |&end| end);
        self.bytes.as_bytes().get(start as usize..end as usize).unwrap_or_default()
    }

    /// All texts with their indexes.
    pub fn iter(&self) -> impl Iterator<Item = (TextId, &str)> {
        (0..self.ends.len() as u32).map(|id| (id, self.get(id)))
    }

    fn push(&mut self, text: &str) -> Option<TextId> {
        let end = u32::try_from(self.bytes.len() + text.len()).ok()?;
        let id = u32::try_from(self.ends.len()).ok()?;
        self.bytes.push_str(text);
        self.ends.push(end);
        Some(id)
    }
}

/// The values of a column, one a row. The set of cases is closed for ever.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Indexes into [`Texts`]; 0 is absent.
    Text(Vec<TextId>),
    /// Integers; [`ABSENT_INTEGER`] is absent. Times are milliseconds since 1970, flags are 0 and 1.
    Integer(Vec<i64>),
    /// Floats; NaN is absent.
    Number(Vec<f64>),
}

impl Values {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Number(values) => values.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The word for this case in messages: `text`, `integer` or `number`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "integer",
            Self::Number(_) => "number",
        }
    }
}

/// A named column.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name in the published vocabulary, or any other name: columns are an open set.
    pub name: String,
    /// One value a row.
    pub values: Values,
}

/// Rows nested under the rows of a batch, such as the objects or the fields of an activity.
///
/// Row `r` of the batch owns the nested rows `ends[r - 1]..ends[r]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Nested {
    /// Name of the nested table, e.g. `objects` or `fields`.
    pub name: String,
    /// One end a row of the batch, never falling.
    pub ends: Vec<u32>,
    /// Columns over the nested rows, each as long as the last end.
    pub columns: Vec<Column>,
}

impl Nested {
    /// The nested rows that row `row` of the batch owns.
    #[inline]
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        let start = if row == 0 { 0 } else { self.ends.get(row - 1).copied().unwrap_or(0) };
        let end = self.ends.get(row).copied().unwrap_or(start);
        start as usize..end as usize
    }

    /// The values of a column of this nested table.
    pub fn column(&self, name: &str) -> Option<&Values> {
        find(&self.columns, name)
    }

    /// Number of nested rows.
    pub fn rows(&self) -> usize {
        self.ends.last().copied().unwrap_or(0) as usize
    }
}

/// A table of activities: the unit of fetching, storing and evaluating.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Number of rows.
    pub rows: u32,
    /// Every distinct text of the batch.
    pub texts: Texts,
    /// Columns, each with `rows` values.
    pub columns: Vec<Column>,
    /// Tables nested under the rows.
    pub nested: Vec<Nested>,
}

impl Batch {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows as usize
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The values of a column.
    pub fn column(&self, name: &str) -> Option<&Values> {
        find(&self.columns, name)
    }

    /// The indexes of a text column; `None` when it is missing or of another type.
    pub fn text_ids(&self, name: &str) -> Option<&[TextId]> {
        match self.column(name) {
            Some(Values::Text(values)) => Some(values),
            _ => None,
        }
    }

    /// The values of an integer column; `None` when it is missing or of another type.
    pub fn integers(&self, name: &str) -> Option<&[i64]> {
        match self.column(name) {
            Some(Values::Integer(values)) => Some(values),
            _ => None,
        }
    }

    /// The values of a float column; `None` when it is missing or of another type.
    pub fn numbers(&self, name: &str) -> Option<&[f64]> {
        match self.column(name) {
            Some(Values::Number(values)) => Some(values),
            _ => None,
        }
    }

    /// The text of one cell; the empty text when absent.
    pub fn text(&self, name: &str, row: usize) -> &str {
        let id = self.text_ids(name).and_then(|ids| ids.get(row)).copied().unwrap_or(0);
        self.texts.get(id)
    }

    /// The integer of one cell, when present.
    pub fn integer(&self, name: &str, row: usize) -> Option<i64> {
        self.integers(name)
            .and_then(|values| values.get(row))
            .copied()
            .filter(|&value| value != ABSENT_INTEGER)
    }

    /// A nested table.
    pub fn nested(&self, name: &str) -> Option<&Nested> {
        self.nested.iter().find(|nested| nested.name == name)
    }

    /// Adds a column, or replaces the one of that name.
    pub fn set_column(&mut self, name: &str, values: Values) {
        match self.columns.iter_mut().find(|column| column.name == name) {
            Some(column) => column.values = values,
            None => self.columns.push(Column { name: name.to_owned(), values }),
        }
    }

    /// Checks every offset, index and length of a table that came from outside.
    ///
    /// # Errors
    /// The first thing found wrong, with the place of it. A batch that passes can be read by every
    /// accessor here without meeting an index that leads nowhere.
    pub fn check(&self) -> Result<(), TableError> {
        let texts = &self.texts;
        let fail = |message: String| Err(TableError { message });
        if texts.ends.first() != Some(&0) {
            return fail("text 0 is not the empty text".to_owned());
        }
        let mut before = 0;
        for (index, &end) in texts.ends.iter().enumerate() {
            if end < before || !texts.bytes.is_char_boundary(end as usize) {
                return fail(format!(
                    "text {index} ends at byte {end}, which is before its start or inside a character"
                ));
            }
            before = end;
        }
        if before as usize != texts.bytes.len() {
            return fail(format!(
                "the texts end at byte {before}, but the blob has {} bytes",
                texts.bytes.len()
            ));
        }
        check_columns(&self.columns, self.rows as usize, texts.len(), "")?;
        for (index, nested) in self.nested.iter().enumerate() {
            let name = printable(&nested.name);
            if self.nested.iter().take(index).any(|other| other.name == nested.name) {
                return fail(format!("nested table `{name}` occurs twice"));
            }
            if nested.ends.len() != self.rows as usize {
                return fail(format!(
                    "nested table `{name}` has {} ends for {} rows",
                    nested.ends.len(),
                    self.rows
                ));
            }
            if nested.ends.windows(2).any(|pair| matches!(pair, [a, b] if a > b)) {
                return fail(format!("the ends of nested table `{name}` fall"));
            }
            check_columns(&nested.columns, nested.rows(), texts.len(), &format!("{name}."))?;
        }
        Ok(())
    }

    /// Copies the batch with only the named columns and nested tables, in the order given.
    ///
    /// Texts are kept whole: sharing one dictionary is what makes the copy cheap.
    #[must_use]
    pub fn project(&self, columns: &[String], nested: &[String]) -> Self {
        Self {
            rows: self.rows,
            texts: self.texts.clone(),
            columns: columns
                .iter()
                .filter_map(|name| self.columns.iter().find(|column| column.name == *name))
                .cloned()
                .collect(),
            nested: nested
                .iter()
                .filter_map(|name| self.nested.iter().find(|table| table.name == *name))
                .cloned()
                .collect(),
        }
    }

    /// Copies the chosen rows into a new batch with a dictionary of its own.
    ///
    /// Rows that do not exist are passed over.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let mut builder = BatchBuilder::new();
        for &row in rows.iter().filter(|&&row| row < self.len()) {
            builder.begin_row();
            for column in &self.columns {
                copy_cell(
                    &mut builder,
                    &self.texts,
                    column,
                    row,
                    |builder, name, cell| match cell {
                        Cell::Text(text) => builder.text(name, text),
                        Cell::Integer(value) => builder.integer(name, value),
                        Cell::Number(value) => builder.number(name, value),
                    },
                );
            }
            for nested in &self.nested {
                for inner in nested.range(row) {
                    builder.begin_nested(&nested.name);
                    for column in &nested.columns {
                        copy_cell(
                            &mut builder,
                            &self.texts,
                            column,
                            inner,
                            |builder, name, cell| {
                                let table = &nested.name;
                                match cell {
                                    Cell::Text(text) => builder.nested_text(table, name, text),
                                    Cell::Integer(value) => {
                                        builder.nested_integer(table, name, value);
                                    }
                                    Cell::Number(value) => {
                                        builder.nested_number(table, name, value);
                                    }
                                }
                            },
                        );
                    }
                }
            }
        }
        builder.finish()
    }
}

enum Cell<'a> {
    Text(&'a str),
    Integer(i64),
    Number(f64),
}

fn copy_cell(
    builder: &mut BatchBuilder,
    texts: &Texts,
    column: &Column,
    row: usize,
    set: impl Fn(&mut BatchBuilder, &str, Cell<'_>),
) {
    match &column.values {
        Values::Text(ids) => {
            if let Some(&id) = ids.get(row).filter(|&&id| id != 0) {
                set(builder, &column.name, Cell::Text(texts.get(id)));
            }
        }
        Values::Integer(values) => {
            if let Some(&value) = values.get(row).filter(|&&value| value != ABSENT_INTEGER) {
                set(builder, &column.name, Cell::Integer(value));
            }
        }
        Values::Number(values) => {
            if let Some(&value) = values.get(row).filter(|value| !value.is_nan()) {
                set(builder, &column.name, Cell::Number(value));
            }
        }
    }
}

fn find<'a>(columns: &'a [Column], name: &str) -> Option<&'a Values> {
    columns.iter().find(|column| column.name == name).map(|column| &column.values)
}

fn check_columns(
    columns: &[Column],
    rows: usize,
    texts: usize,
    prefix: &str,
) -> Result<(), TableError> {
    for (index, column) in columns.iter().enumerate() {
        let name = printable(&column.name);
        if columns.iter().take(index).any(|other| other.name == column.name) {
            return Err(TableError { message: format!("column `{prefix}{name}` occurs twice") });
        }
        if column.values.len() != rows {
            return Err(TableError {
                message: format!(
                    "column `{prefix}{name}` has {} values for {rows} rows",
                    column.values.len()
                ),
            });
        }
        if let Values::Text(ids) = &column.values
            && let Some(id) = ids.iter().find(|&&id| id as usize >= texts)
        {
            return Err(TableError {
                message: format!(
                    "column `{prefix}{name}` points at text {id}, but there are {texts} texts"
                ),
            });
        }
    }
    Ok(())
}

/// Names come from plugins: keep them short and printable in messages.
fn printable(name: &str) -> String {
    name.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// What is wrong with a table that came from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableError {
    message: String,
}

impl TableError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TableError {}

/// A text column of a [`BatchBuilder`], found once so that cells are set without looking for it.
#[derive(Clone, Copy, Debug)]
pub struct TextColumn(usize);

/// An integer column of a [`BatchBuilder`], found once.
#[derive(Clone, Copy, Debug)]
pub struct IntegerColumn(usize);

/// A nested table of a [`BatchBuilder`], found once.
#[derive(Clone, Copy, Debug)]
pub struct NestedTable(usize);

/// A text column of a nested table of a [`BatchBuilder`], found once.
#[derive(Clone, Copy, Debug)]
pub struct NestedColumn {
    table: usize,
    column: usize,
}

/// Builds a [`Batch`] row by row, keeping every distinct text once.
///
/// A cell that is not set is absent. A column comes into being at its first value, so absent
/// columns cost nothing.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    rows: usize,
    dictionary: Dictionary,
    columns: Vec<Column>,
    nested: Vec<Nested>,
    /// Where the last look-up of a column ended: cells are usually set in the same order every row.
    next: usize,
    full: bool,
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes room for the texts and nested rows of about so many bytes of input at once: growing bit by
    /// bit touches twice the memory.
    pub fn reserve(&mut self, bytes: usize) {
        /// An input has a value in so many bytes, and a text that is new in so many, roughly.
        const VALUE: usize = 24;
        const NEW: usize = 64;
        self.dictionary.reserve(bytes, bytes / NEW);
        for nested in &mut self.nested {
            for column in &mut nested.columns {
                if let Values::Text(values) = &mut column.values {
                    values.reserve(bytes / VALUE);
                }
            }
        }
    }

    /// Starts a row; every `text`, `integer`, `number` and nested call after it belongs to it.
    pub fn begin_row(&mut self) {
        self.close_nested();
        self.rows += 1;
        self.next = 0;
    }

    /// Number of rows started.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Index of a text in the batch's dictionary; 0 for the empty text.
    pub fn intern(&mut self, text: &str) -> TextId {
        let id = self.dictionary.intern(text);
        if id.is_none() {
            self.full = true;
        }
        id.unwrap_or(0)
    }

    /// As [`intern`](Self::intern), for a text that probably is the one of index `guess`.
    #[inline]
    pub fn intern_again(&mut self, guess: TextId, text: &str) -> TextId {
        if same(self.dictionary.texts.span(guess), text.as_bytes()) {
            return guess;
        }
        self.intern(text)
    }

    /// The text of an index that [`intern`](Self::intern) gave.
    #[inline]
    pub fn get(&self, id: TextId) -> &str {
        self.dictionary.texts.get(id)
    }

    /// Sets a text cell of the current row; the empty text leaves it absent.
    pub fn text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            let id = self.intern(text);
            self.text_id(name, id);
        }
    }

    /// Sets a text cell of the current row to an interned text.
    pub fn text_id(&mut self, name: &str, id: TextId) {
        let rows = self.rows;
        if id != 0
            && let Some(column) = slot(&mut self.columns, &mut self.next, name, Kind::Text)
        {
            set(&mut column.values, rows, Cell::Integer(i64::from(id)));
        }
    }

    /// Sets an integer cell of the current row.
    pub fn integer(&mut self, name: &str, value: i64) {
        let rows = self.rows;
        if let Some(column) = slot(&mut self.columns, &mut self.next, name, Kind::Integer) {
            set(&mut column.values, rows, Cell::Integer(value));
        }
    }

    /// Sets a flag of the current row: 1 or 0.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.integer(name, i64::from(value));
    }

    /// Sets a float cell of the current row.
    pub fn number(&mut self, name: &str, value: f64) {
        let rows = self.rows;
        if let Some(column) = slot(&mut self.columns, &mut self.next, name, Kind::Number) {
            set(&mut column.values, rows, Cell::Number(value));
        }
    }

    /// Starts a nested row of table `table` under the current row.
    pub fn begin_nested(&mut self, table: &str) {
        let rows = self.rows;
        open_nested(self.table(table), rows);
    }

    /// Sets a text cell of the nested row begun last.
    pub fn nested_text(&mut self, table: &str, name: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        let id = self.intern(text);
        let nested = self.table(table);
        let rows = nested.rows();
        let mut next = 0;
        if let Some(column) = slot(&mut nested.columns, &mut next, name, Kind::Text) {
            set(&mut column.values, rows, Cell::Integer(i64::from(id)));
        }
    }

    /// Sets an integer cell of the nested row begun last.
    pub fn nested_integer(&mut self, table: &str, name: &str, value: i64) {
        let nested = self.table(table);
        let rows = nested.rows();
        let mut next = 0;
        if let Some(column) = slot(&mut nested.columns, &mut next, name, Kind::Integer) {
            set(&mut column.values, rows, Cell::Integer(value));
        }
    }

    /// Sets a float cell of the nested row begun last.
    pub fn nested_number(&mut self, table: &str, name: &str, value: f64) {
        let nested = self.table(table);
        let rows = nested.rows();
        let mut next = 0;
        if let Some(column) = slot(&mut nested.columns, &mut next, name, Kind::Number) {
            set(&mut column.values, rows, Cell::Number(value));
        }
    }

    /// Finds a text column once. Cells are then set with [`set_text`](Self::set_text).
    ///
    /// When the name is taken by a column of another type, nothing will be set.
    pub fn text_column(&mut self, name: &str) -> TextColumn {
        TextColumn(place(&mut self.columns, name, Kind::Text))
    }

    /// Finds an integer column once. Cells are then set with [`set_integer`](Self::set_integer).
    ///
    /// When the name is taken by a column of another type, nothing will be set.
    pub fn integer_column(&mut self, name: &str) -> IntegerColumn {
        IntegerColumn(place(&mut self.columns, name, Kind::Integer))
    }

    /// Sets a text cell of the current row to an interned text; 0 leaves it absent.
    #[inline]
    pub fn set_text(&mut self, column: TextColumn, id: TextId) {
        if id != 0
            && let Some(column) = self.columns.get_mut(column.0)
        {
            set(&mut column.values, self.rows, Cell::Integer(i64::from(id)));
        }
    }

    /// Sets an integer cell of the current row.
    #[inline]
    pub fn set_integer(&mut self, column: IntegerColumn, value: i64) {
        if let Some(column) = self.columns.get_mut(column.0) {
            set(&mut column.values, self.rows, Cell::Integer(value));
        }
    }

    /// Finds a nested table once.
    pub fn nested_table(&mut self, name: &str) -> NestedTable {
        NestedTable(self.table_index(name))
    }

    /// Finds a text column of a nested table once.
    pub fn nested_column(&mut self, table: NestedTable, name: &str) -> NestedColumn {
        let column = match self.nested.get_mut(table.0) {
            Some(nested) => place(&mut nested.columns, name, Kind::Text),
            None => usize::MAX,
        };
        NestedColumn { table: table.0, column }
    }

    /// Starts a nested row under the current row.
    #[inline]
    pub fn push_nested(&mut self, table: NestedTable) {
        if let Some(nested) = self.nested.get_mut(table.0) {
            open_nested(nested, self.rows);
        }
    }

    /// Sets a text cell of the nested row begun last to an interned text; 0 leaves it absent.
    #[inline]
    pub fn set_nested(&mut self, column: NestedColumn, id: TextId) {
        if id != 0
            && let Some(nested) = self.nested.get_mut(column.table)
        {
            let rows = nested.rows();
            if let Some(column) = nested.columns.get_mut(column.column) {
                set(&mut column.values, rows, Cell::Integer(i64::from(id)));
            }
        }
    }

    /// Adds nested rows under the current row, each with two text cells; 0 leaves one absent. Both
    /// columns must be of one table, else nothing is added.
    pub fn extend_nested(&mut self, columns: [NestedColumn; 2], cells: &[(TextId, TextId)]) {
        let [first, second] = columns;
        if cells.is_empty() || first.table != second.table {
            return;
        }
        let Some(nested) = self.nested.get_mut(first.table) else { return };
        let before = nested.rows();
        nested.ends.resize(self.rows, before as u32);
        if let Some(end) = nested.ends.last_mut() {
            *end += cells.len() as u32;
        }
        let mut fill = |column: NestedColumn, of: fn(&(TextId, TextId)) -> TextId| {
            if let Some(column) = nested.columns.get_mut(column.column)
                && let Values::Text(values) = &mut column.values
            {
                values.resize(before, 0);
                values.extend(cells.iter().map(of));
            }
        };
        fill(first, |cell| cell.0);
        fill(second, |cell| cell.1);
    }

    /// The batch, with every column filled up to the number of rows.
    #[must_use]
    pub fn finish(mut self) -> Batch {
        self.close_nested();
        // Columns and tables that were found but never set are absent like any other.
        self.columns.retain(|column| !column.values.is_empty());
        self.nested.retain(|nested| nested.rows() > 0);
        for column in &mut self.columns {
            fill(&mut column.values, self.rows);
        }
        for nested in &mut self.nested {
            let rows = nested.rows();
            nested.columns.retain(|column| !column.values.is_empty());
            for column in &mut nested.columns {
                fill(&mut column.values, rows);
            }
        }
        Batch {
            rows: self.rows as u32,
            texts: self.dictionary.texts,
            columns: self.columns,
            nested: self.nested,
        }
    }

    /// Whether a text did not fit any more (4 GiB of text or 2^32 texts) and was left out.
    pub fn is_full(&self) -> bool {
        self.full
    }

    fn close_nested(&mut self) {
        let rows = self.rows;
        for nested in &mut self.nested {
            nested.ends.resize(rows, nested.ends.last().copied().unwrap_or(0));
        }
    }

    fn table_index(&mut self, name: &str) -> usize {
        match self.nested.iter().position(|nested| nested.name == name) {
            Some(index) => index,
            None => {
                self.nested.push(Nested {
                    name: name.to_owned(),
                    ends: vec![0; self.rows.saturating_sub(1)],
                    columns: Vec::new(),
                });
                self.nested.len() - 1
            }
        }
    }

    fn table(&mut self, name: &str) -> &mut Nested {
        let index = self.table_index(name);
        #[expect(clippy::indexing_slicing, reason = "the index was found or pushed just above")]
        &mut self.nested[index]
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Integer,
    Number,
}

/// The column of that name and type, made on first use; `None` if it exists with another type.
fn slot<'a>(
    columns: &'a mut Vec<Column>,
    next: &mut usize,
    name: &str,
    kind: Kind,
) -> Option<&'a mut Column> {
    let guess = columns.get(*next).is_some_and(|column| column.name == name);
    let index = if guess {
        *next
    } else {
        columns.iter().position(|column| column.name == name).unwrap_or_else(|| {
            columns.push(Column {
                name: name.to_owned(),
                values: match kind {
                    Kind::Text => Values::Text(Vec::new()),
                    Kind::Integer => Values::Integer(Vec::new()),
                    Kind::Number => Values::Number(Vec::new()),
                },
            });
            columns.len() - 1
        })
    };
    *next = index + 1;
    columns.get_mut(index).filter(|column| match column.values {
        Values::Text(_) => kind == Kind::Text,
        Values::Integer(_) => kind == Kind::Integer,
        Values::Number(_) => kind == Kind::Number,
    })
}

/// Writes the last of `rows` rows, filling the rows before it that were never set.
fn set(values: &mut Values, rows: usize, cell: Cell<'_>) {
    let Some(before) = rows.checked_sub(1) else { return };
    match (values, cell) {
        (Values::Text(values), Cell::Integer(id)) => {
            values.resize(before, 0);
            values.push(id as u32);
        }
        (Values::Integer(values), Cell::Integer(value)) => {
            values.resize(before, ABSENT_INTEGER);
            values.push(value);
        }
        (Values::Number(values), Cell::Number(value)) => {
            values.resize(before, f64::NAN);
            values.push(value);
        }
        _ => {}
    }
}

fn fill(values: &mut Values, rows: usize) {
    match values {
        Values::Text(values) => values.resize(rows, 0),
        Values::Integer(values) => values.resize(rows, ABSENT_INTEGER),
        Values::Number(values) => values.resize(rows, f64::NAN),
    }
}

/// Adds a row to a nested table, under row `rows` of the batch.
#[inline]
fn open_nested(nested: &mut Nested, rows: usize) {
    let before = nested.ends.last().copied().unwrap_or(0);
    nested.ends.resize(rows, before);
    if let Some(end) = nested.ends.last_mut() {
        *end += 1;
    }
}

/// Place of the column of that name, made when missing; a place of no column if its type differs.
fn place(columns: &mut Vec<Column>, name: &str, kind: Kind) -> usize {
    let mut next = usize::MAX - 1;
    match slot(columns, &mut next, name, kind) {
        Some(_) => next - 1,
        None => usize::MAX,
    }
}

/// Texts with a way back from a text to its index: what a [`BatchBuilder`] keeps its texts in.
#[derive(Debug)]
pub struct Dictionary {
    texts: Texts,
    /// Hash and index of every text but the empty one, found by linear probing; index 0 is free.
    /// A power of two, never more than half full.
    slots: Vec<(u32, TextId)>,
    /// Secret of this dictionary, so that nobody can prepare texts that clash.
    seed: u64,
}

impl Default for Dictionary {
    fn default() -> Self {
        let seed = RandomState::new().build_hasher().finish();
        Self { texts: Texts::default(), slots: vec![(0, 0); 64], seed }
    }
}

impl Dictionary {
    /// The texts, each once, by their indexes.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    /// Index of a text, made when it is new; `None` when it does not fit any more (4 GiB of text or
    /// 2^32 texts).
    pub fn intern(&mut self, text: &str) -> Option<TextId> {
        if text.is_empty() {
            return Some(0);
        }
        let hash = hash(self.seed, text.as_bytes());
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(&(other, id)) = self.slots.get(at)
            && id != 0
        {
            if other == hash && same(self.texts.span(id), text.as_bytes()) {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
        let id = self.texts.push(text)?;
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = (hash, id);
        }
        if self.texts.len() * 2 > self.slots.len() {
            self.grow();
        }
        Some(id)
    }

    /// Makes room for so many bytes and texts.
    fn reserve(&mut self, bytes: usize, texts: usize) {
        self.texts.bytes.reserve(bytes);
        self.texts.ends.reserve(texts);
        while self.slots.len() < texts * 2 {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 4 - 1;
        let old = std::mem::replace(&mut self.slots, vec![(0, 0); mask + 1]);
        for (hash, id) in old.into_iter().filter(|&(_, id)| id != 0) {
            let mut at = hash as usize & mask;
            while self.slots.get(at).is_some_and(|&(_, id)| id != 0) {
                at = (at + 1) & mask;
            }
            if let Some(slot) = self.slots.get_mut(at) {
                *slot = (hash, id);
            }
        }
    }
}

/// Whether two texts are the same, eight bytes a step: WebAssembly has no comparison of its own, and
/// the one that stands in for it goes byte by byte.
#[inline]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (mut left, mut right) = (a, b);
    while let (Some((x, rest)), Some((y, other))) =
        (left.split_first_chunk::<8>(), right.split_first_chunk::<8>())
    {
        if u64::from_le_bytes(*x) != u64::from_le_bytes(*y) {
            return false;
        }
        (left, right) = (rest, other);
    }
    // The last eight bytes, of which some were compared already.
    if let (Some(x), Some(y)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        return u64::from_le_bytes(*x) == u64::from_le_bytes(*y);
    }
    left.iter().zip(right).all(|(x, y)| x == y)
}

/// A fast hash of a text: sixteen bytes a step, mixed by multiplying crosswise.
///
/// It never leaves this process and is not for anything that must withstand an attacker who knows
/// the seed. It avoids 128-bit products, which WebAssembly does not have.
fn hash(seed: u64, bytes: &[u8]) -> u32 {
    const FIRST: u64 = 0x9e37_79b9_7f4a_7c15;
    const SECOND: u64 = 0xd1b5_4a32_d192_ed03;
    fn word(bytes: &[u8; 8]) -> u64 {
        u64::from_le_bytes(*bytes)
    }
    fn mix(a: u64, b: u64) -> u64 {
        let crossed = (a & 0xffff_ffff).wrapping_mul(b >> 32);
        let other = (a >> 32).wrapping_mul(b & 0xffff_ffff);
        crossed ^ other.rotate_right(32)
    }
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(FIRST);
    let mut rest = bytes;
    while rest.len() > 16
        && let Some((step, left)) = rest.split_first_chunk::<16>()
        && let (Some(a), Some(b)) = (step.first_chunk::<8>(), step.last_chunk::<8>())
    {
        state = mix(word(a) ^ state, word(b) ^ SECOND).wrapping_add(state.rotate_left(23));
        rest = left;
    }
    let (a, b) = if let (Some(a), Some(b)) = (rest.first_chunk::<8>(), rest.last_chunk::<8>()) {
        (word(a), word(b))
    } else if let (Some(a), Some(b)) = (rest.first_chunk::<4>(), rest.last_chunk::<4>()) {
        (u64::from(u32::from_le_bytes(*a)), u64::from(u32::from_le_bytes(*b)))
    } else {
        let mut short = [0; 8];
        for (to, from) in short.iter_mut().zip(rest) {
            *to = *from;
        }
        (word(&short), 0)
    };
    let mixed = mix(a ^ state ^ FIRST, b ^ state.rotate_left(32) ^ SECOND);
    let end = mix(mixed ^ FIRST, state ^ SECOND) ^ mixed;
    (end ^ (end >> 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Texts are the same when every byte is.
        #[test]
        fn same_is_equal(a in "[ab]{0,40}", at in any::<prop::sample::Index>(), other in "[ab]{0,40}") {
            prop_assert!(same(a.as_bytes(), a.clone().as_bytes()));
            prop_assert_eq!(same(a.as_bytes(), other.as_bytes()), a == other);
            let mut bytes = a.clone().into_bytes();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= 1;
                prop_assert!(!same(a.as_bytes(), &bytes));
            }
        }

        /// Every text comes back under its index, and equal texts share one.
        #[test]
        fn a_dictionary_keeps_every_text_once(
            texts in proptest::collection::vec("[a-c]{0,4}|.{0,40}", 0..300)
        ) {
            let mut builder = BatchBuilder::new();
            let ids: Vec<TextId> = texts.iter().map(|text| builder.intern(text)).collect();
            let batch = builder.finish();
            for (text, &id) in texts.iter().zip(&ids) {
                prop_assert_eq!(batch.texts.get(id), text);
            }
            let distinct: std::collections::HashSet<&String> =
                texts.iter().filter(|text| !text.is_empty()).collect();
            prop_assert_eq!(batch.texts.len(), distinct.len() + 1);
            prop_assert_eq!(batch.check(), Ok(()));
        }

        /// Cells set by handle and cells set by name make the same batch.
        #[test]
        fn handles_and_names_agree(
            rows in proptest::collection::vec(
                (any::<Option<u8>>(), any::<Option<i64>>(), proptest::collection::vec("[a-z]{0,2}", 0..3)),
                0..40,
            )
        ) {
            let mut named = BatchBuilder::new();
            let mut handled = BatchBuilder::new();
            let (a, b) = (handled.text_column("a"), handled.integer_column("b"));
            handled.reserve(rows.len() * 100);
            let (never, table) = (handled.text_column("never"), handled.nested_table("n"));
            let c = handled.nested_column(table, "c");
            let pairs = handled.nested_table("pairs");
            let [absent, d] = ["absent", "d"].map(|name| handled.nested_column(pairs, name));
            for (text, integer, inner) in &rows {
                named.begin_row();
                handled.begin_row();
                if let Some(text) = text {
                    named.text("a", &text.to_string());
                    let id = handled.intern(&text.to_string());
                    handled.set_text(a, id);
                }
                if let Some(integer) = integer {
                    named.integer("b", *integer);
                    handled.set_integer(b, *integer);
                }
                handled.set_text(never, 0);
                let mut cells = Vec::new();
                for text in inner {
                    named.begin_nested("n");
                    named.nested_text("n", "c", text);
                    handled.push_nested(table);
                    let id = handled.intern(text);
                    handled.set_nested(c, id);
                    named.begin_nested("pairs");
                    named.nested_text("pairs", "d", text);
                    cells.push((0, handled.intern_again(id / 2, text)));
                }
                handled.extend_nested([absent, d], &cells);
            }
            let (mut named, mut handled) = (named.finish(), handled.finish());
            // A column of nothing but absent cells says the same as none.
            for nested in &mut handled.nested {
                let absent = |values: &Values| match values {
                    Values::Text(ids) => ids.iter().all(|&id| id == 0),
                    _ => false,
                };
                nested.columns.retain(|column| !absent(&column.values));
            }
            named.columns.sort_by(|x, y| x.name.cmp(&y.name));
            prop_assert_eq!(handled.check(), Ok(()));
            prop_assert_eq!(named, handled);
        }
    }

    /// A name that is taken by another type must not be overwritten through a handle.
    #[test]
    fn a_handle_of_the_wrong_type_sets_nothing() {
        let mut builder = BatchBuilder::new();
        builder.begin_row();
        builder.integer("a", 1);
        let column = builder.text_column("a");
        let id = builder.intern("x");
        builder.set_text(column, id);
        assert_eq!(builder.finish().column("a"), Some(&Values::Integer(vec![1])));
    }

    /// Short texts that differ little must not share their hashes.
    #[test]
    fn the_hash_spreads() {
        let mut seen = std::collections::HashSet::new();
        for n in 0..100_000_u32 {
            seen.insert(hash(1, format!("69{n:014}").as_bytes()));
        }
        // Of 100,000 among 2^32, one clash is expected; a weak hash has thousands.
        assert!(seen.len() > 99_990, "{}", seen.len());
    }
}
