//! Makes activities of records: one row each, every scalar of the record as a field.
//!
//! A record that can't be read becomes a row with nothing but `broken`, which says why: what comes
//! after it is not lost. Whoever reads saved files takes such rows out and names them.

use casbah_plugin::answer::malformed;
use casbah_plugin::model::TextId;
use casbah_plugin::model::table::TextColumn;
use casbah_plugin::record::{PathId, Paths};
use casbah_plugin::rows::Tables;
use casbah_plugin::scan::{Broken, Scanner, Value};
use casbah_plugin::{Batch, BatchBuilder, Failure};

use crate::cells::{Cells, Place};
use crate::mapping::Mapping;

/// Objects and lists deeper than this are kept as JSON.
pub(crate) const DEEPEST: usize = 64;
/// Length of the longest name of a field in bytes.
const LONGEST: usize = 4096;
/// What stands for the name of a longer one.
const TOO_LONG: TextId = TextId::MAX;
/// What is said of it.
const SHORTER: &str = "a shorter name: with those around it, it is longer than 4096 bytes";
/// Bytes of all names of fields of a batch: records that are made to have ever new ones end here.
const NAMES: usize = 64 << 20;

/// Makes activities of raw records.
///
/// # Errors
/// When a record does not lie within the body.
pub(crate) fn normalize(mapping: &Mapping, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
    let (pairs, rest) = raw.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed("a raw record has a start but no end"));
    }
    let mut records = Records::new(mapping);
    records.builder.reserve(body.len());
    for (number, &[start, end]) in pairs.iter().enumerate() {
        let record = body.get(start as usize..end as usize).ok_or_else(|| {
            malformed(&format!(
                "raw record {number} at bytes {start} to {end} is not within the body"
            ))
        })?;
        records.read(record);
    }
    Ok(records.builder.finish())
}

/// A batch in the making.
struct Records<'m> {
    builder: BatchBuilder,
    tables: Tables,
    broken: TextColumn,
    cells: Cells<'m>,
    paths: Paths,
    /// What is known of each path.
    known: Vec<Known>,
    /// Bytes of all names.
    names: usize,
    /// Fields of the current record.
    fields: Vec<(TextId, TextId)>,
    scratch: String,
}

/// What is known of a path.
struct Known {
    /// Name of the field.
    key: TextId,
    /// Where the mapping wants its value.
    places: Box<[Place]>,
    /// The text that stood there last, and whether it is a text without escapes.
    last: TextId,
    plain: bool,
}

impl<'m> Records<'m> {
    fn new(mapping: &'m Mapping) -> Self {
        let mut builder = BatchBuilder::new();
        let broken = builder.text_column("broken");
        let tables = Tables::new(&mut builder);
        let cells = Cells::new(mapping, &mut builder);
        Self {
            builder,
            tables,
            broken,
            cells,
            paths: Paths::default(),
            known: Vec::new(),
            names: 0,
            fields: Vec::new(),
            scratch: String::new(),
        }
    }

    /// Adds a record.
    fn read(&mut self, record: &[u8]) {
        self.builder.begin_row();
        self.fields.clear();
        self.cells.begin();
        let wrong = match std::str::from_utf8(record) {
            Ok(text) => match self.take_apart(text) {
                Ok(()) => {
                    self.cells.fill(&mut self.builder, &self.tables, text);
                    self.tables.fields(&mut self.builder, &self.fields);
                    return;
                }
                Err(broken) => broken.to_string(),
            },
            Err(error) => format!("at byte {} it is not UTF-8", error.valid_up_to()),
        };
        let wrong = self.builder.intern(&wrong);
        self.builder.set_text(self.broken, wrong);
    }

    fn take_apart(&mut self, text: &str) -> Result<(), Broken> {
        let mut scanner = Scanner::new(text);
        self.object(&mut scanner, 0, 0)?;
        if !scanner.is_done() {
            return Err(Broken { at: scanner.at(), expected: "the end" });
        }
        Ok(())
    }

    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        path: PathId,
        depth: usize,
    ) -> Result<(), Broken> {
        scanner.enter_object()?;
        let mut first = true;
        while scanner.member(&mut first)? {
            let member = match self.paths.expected(path, scanner) {
                Some(member) => member,
                None => {
                    let key = scanner.member_key()?;
                    match key.plain() {
                        Some(key) => self.paths.member(path, key),
                        None => self.paths.member(path, key.get(&mut self.scratch)),
                    }
                }
            };
            if member as usize >= self.known.len() {
                self.learn(scanner.at())?;
            }
            self.value(scanner, member, depth + 1)?;
        }
        Ok(())
    }

    fn list(
        &mut self,
        scanner: &mut Scanner<'_>,
        path: PathId,
        depth: usize,
    ) -> Result<(), Broken> {
        scanner.enter_array()?;
        let mut first = true;
        while scanner.item(&mut first)? {
            self.value(scanner, path, depth + 1)?;
        }
        Ok(())
    }

    #[inline]
    fn value(
        &mut self,
        scanner: &mut Scanner<'_>,
        path: PathId,
        depth: usize,
    ) -> Result<(), Broken> {
        match scanner.peek() {
            b'{' if depth < DEEPEST => return self.object(scanner, path, depth),
            b'[' if depth < DEEPEST => return self.list(scanner, path, depth),
            b'"' => {
                // A field mostly says what it said in the record before.
                if let Some(known) = self.known.get(path as usize)
                    && known.plain
                    && scanner.skip_text(self.builder.get(known.last).as_bytes())
                {
                    self.fields.push((known.key, known.last));
                    for &place in &known.places {
                        self.cells.found(place, known.last);
                    }
                    return Ok(());
                }
            }
            _ => {}
        }
        let start = scanner.at();
        let value = scanner.value()?;
        let Some(known) = self.known.get_mut(path as usize) else { return Ok(()) };
        if known.key == TOO_LONG {
            return Err(Broken { at: start, expected: SHORTER });
        }
        known.plain = matches!(value, Value::Text(text) if text.plain().is_some());
        let mut intern = |text: &str| self.builder.intern_again(known.last, text);
        let text = match value {
            Value::Text(text) => match text.plain() {
                Some(text) => intern(text),
                // Half of a surrogate pair: better escaped than lost.
                None => match text.exact() {
                    Some(text) => intern(&text),
                    None => intern(scanner.since(start)),
                },
            },
            Value::Number(raw) | Value::Array(raw) | Value::Object(raw) => intern(raw),
            Value::Flag(flag) => intern(if flag { "true" } else { "false" }),
            Value::Null => intern("null"),
        };
        known.last = text;
        self.fields.push((known.key, text));
        if value != Value::Null {
            for &place in &known.places {
                self.cells.found(place, text);
            }
        }
        Ok(())
    }

    /// Looks at paths that were not met before; `at` is where the record names them.
    #[cold]
    fn learn(&mut self, at: usize) -> Result<(), Broken> {
        while self.known.len() < self.paths.len() {
            let path = self.paths.get(self.known.len() as PathId);
            self.names += path.len();
            let key = if path.len() > LONGEST { TOO_LONG } else { self.builder.intern(path) };
            self.known.push(Known {
                key,
                places: self.cells.places(path).into(),
                last: 0,
                plain: false,
            });
            if key == TOO_LONG {
                return Err(Broken { at, expected: SHORTER });
            }
        }
        if self.names > NAMES {
            return Err(Broken {
                at,
                expected: "a name that is not new: there are too many different ones",
            });
        }
        Ok(())
    }
}
