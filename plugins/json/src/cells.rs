//! What becomes of the values that a mapping names: the cells of a row.
//!
//! It reads no JSON: `records` says which values were met at which path.

use std::collections::BTreeMap;
use std::ops::Range;

use casbah_plugin::body::made_id;
use casbah_plugin::model::TextId;
use casbah_plugin::model::table::{IntegerColumn, TextColumn};
use casbah_plugin::rows::{Addresses, Tables};
use casbah_plugin::{BatchBuilder, time};

use crate::mapping::{Lookup, Mapping, Outcome, Source};

/// Number of a value that the mapping names: a path of a column.
pub(crate) type Place = usize;

/// What the mapping makes of records, one batch long.
pub(crate) struct Cells<'m> {
    /// The places of every path that the mapping names.
    places: BTreeMap<&'m str, Vec<Place>>,
    /// The text at each place in the current record; 0 when there is none.
    found: Vec<TextId>,
    cells: Vec<Cell<'m>>,
    id: TextColumn,
    object: [Option<Range<Place>>; 3],
    addresses: Addresses,
}

/// A column and where its value is looked for.
struct Cell<'m> {
    places: Range<Place>,
    rule: Rule<'m>,
    column: TextColumn,
    is_id: bool,
    /// What became of texts, by their numbers.
    made: Made,
}

/// How a cell is made of a value.
enum Rule<'m> {
    /// As it is.
    Text,
    /// An account: e-mail addresses in lower case.
    Account,
    /// The same, and the e-mail address in a column of its own.
    Actor(TextColumn),
    Ip,
    Time(IntegerColumn),
    Lookup(&'m Lookup),
    Outcome(&'m Outcome),
    /// Always the same.
    Fixed(TextId),
}

impl<'m> Cells<'m> {
    /// The cells of a mapping, and the columns they need.
    pub(crate) fn new(mapping: &'m Mapping, builder: &mut BatchBuilder) -> Self {
        let id = builder.text_column("id");
        let mut cells = Self {
            places: BTreeMap::new(),
            found: Vec::new(),
            cells: Vec::new(),
            id,
            object: [None, None, None],
            addresses: Addresses::default(),
        };
        match &mapping.source {
            Some(Source::Fixed(source)) => {
                let source = builder.intern(source);
                cells.add("source", &[], Rule::Fixed(source), builder);
            }
            Some(Source::Told(lookup)) => {
                cells.add("source", lookup.from.list(), Rule::Lookup(lookup), builder);
            }
            None => {}
        }
        if let Some(lookup) = &mapping.kind {
            cells.add("kind", lookup.from.list(), Rule::Lookup(lookup), builder);
        }
        if let Some(outcome) = &mapping.result {
            cells.add("result", outcome.from.list(), Rule::Outcome(outcome), builder);
        }
        for (name, paths) in &mapping.columns {
            let rule = match name.as_str() {
                "time" => Rule::Time(builder.integer_column("time")),
                "ip" => Rule::Ip,
                "actor" => Rule::Actor(builder.text_column("actor.email")),
                "recipient" => Rule::Account,
                _ => Rule::Text,
            };
            let places = cells.add(name, paths.list(), rule, builder);
            let object = match name.as_str() {
                "object.kind" => 0,
                "object" => 1,
                "object.name" => 2,
                _ => continue,
            };
            if let Some(slot) = cells.object.get_mut(object) {
                *slot = Some(places);
            }
        }
        cells
    }

    fn add(
        &mut self,
        name: &str,
        paths: &'m [String],
        rule: Rule<'m>,
        builder: &mut BatchBuilder,
    ) -> Range<Place> {
        let start = self.found.len();
        for path in paths {
            self.places.entry(path).or_default().push(self.found.len());
            self.found.push(0);
        }
        let places = start..self.found.len();
        // Times have a column of their own type, which the rule holds.
        let column = match rule {
            Rule::Time(_) => self.id,
            _ => builder.text_column(name),
        };
        let is_id = name == "id";
        let made = Made::default();
        self.cells.push(Cell { places: places.clone(), rule, column, is_id, made });
        places
    }

    /// The places that a path is looked for at.
    pub(crate) fn places(&self, path: &str) -> &[Place] {
        self.places.get(path).map_or(&[], Vec::as_slice)
    }

    /// Forgets what the record before held.
    pub(crate) fn begin(&mut self) {
        self.found.fill(0);
    }

    /// A text that stands at a place; the first one counts.
    #[inline]
    pub(crate) fn found(&mut self, place: Place, text: TextId) {
        if let Some(found) = self.found.get_mut(place)
            && *found == 0
        {
            *found = text;
        }
    }

    /// Fills the cells of the current row; `raw` is the record as it is written.
    pub(crate) fn fill(&mut self, builder: &mut BatchBuilder, tables: &Tables, raw: &str) {
        let Self { found, cells, addresses, .. } = self;
        let mut has_id = false;
        for cell in cells {
            let text = first(found, &cell.places);
            let id = match &cell.rule {
                Rule::Fixed(text) => *text,
                Rule::Text => text,
                Rule::Time(column) => {
                    if let Some(time) = read_time(builder.get(text)) {
                        builder.set_integer(*column, time);
                    }
                    continue;
                }
                Rule::Ip => {
                    cell.made.get(text, builder, |text, builder| addresses.get(builder, text).ip)
                }
                Rule::Account => cell.made.get(text, builder, account),
                Rule::Actor(email) => {
                    let actor = cell.made.get(text, builder, account);
                    if builder.get(actor).contains('@') {
                        builder.set_text(*email, text);
                    }
                    actor
                }
                Rule::Lookup(lookup) => cell.made.get(text, builder, |text, builder| {
                    lookup.find(text).map_or(0, |found| builder.intern(found))
                }),
                Rule::Outcome(outcome) => cell.made.get(text, builder, |text, builder| {
                    let end = match text {
                        "" => outcome.absent.as_deref(),
                        text => outcome.find(text),
                    };
                    end.map_or(0, |end| builder.intern(end))
                }),
            };
            builder.set_text(cell.column, id);
            has_id |= cell.is_id && id != 0;
        }
        if !has_id {
            let made = builder.intern(&fingerprint(raw));
            builder.set_text(self.id, made);
        }
        let [kind, id, name] = &self.object;
        let object = [kind, id, name]
            .map(|places| places.as_ref().map_or(0, |places| first(&self.found, places)));
        if let [kind, id, name] = object
            && (id != 0 || name != 0)
        {
            let role = builder.intern("object");
            tables.object(builder, [role, kind, id, name]);
        }
    }
}

/// The best of some places at which there is something.
#[inline]
fn first(found: &[TextId], places: &Range<Place>) -> TextId {
    let texts = found.get(places.clone()).unwrap_or_default();
    texts.iter().copied().find(|&text| text != 0).unwrap_or(0)
}

/// What became of texts, by their numbers in the batch.
#[derive(Default)]
struct Made(Vec<TextId>);

impl Made {
    /// What becomes of a text; `make` makes it the first time.
    #[inline]
    fn get(
        &mut self,
        text: TextId,
        builder: &mut BatchBuilder,
        make: impl FnOnce(&str, &mut BatchBuilder) -> TextId,
    ) -> TextId {
        /// No batch has so many texts.
        const UNKNOWN: TextId = TextId::MAX;
        if let Some(&made) = self.0.get(text as usize).filter(|&&made| made != UNKNOWN) {
            return made;
        }
        let value = builder.get(text).to_owned();
        let made = make(&value, builder);
        if self.0.len() <= text as usize {
            self.0.resize(text as usize + 1, UNKNOWN);
        }
        if let Some(slot) = self.0.get_mut(text as usize) {
            *slot = made;
        }
        made
    }
}

/// An account: e-mail addresses are the same however they are written.
fn account(text: &str, builder: &mut BatchBuilder) -> TextId {
    if text.contains('@') { builder.intern(&text.to_lowercase()) } else { builder.intern(text) }
}

/// A time: RFC 3339 (without a zone it is UTC), or seconds, milliseconds, microseconds or nanoseconds
/// since 1970, told apart by how many they are.
fn read_time(text: &str) -> Option<i64> {
    if text.len() > 64 || text.is_empty() {
        return None;
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        let whole = text.split('.').next().unwrap_or_default();
        let number: i64 = whole.parse().ok()?;
        // Seconds up to the year 5138; milliseconds from 1973 on.
        return match whole.len() {
            0..=11 => Some((text.parse::<f64>().ok()? * 1000.0) as i64),
            12..=14 => Some(number),
            15..=17 => Some(number / 1000),
            _ => Some(number / 1_000_000),
        };
    }
    time::parse_or_utc(text)
}

/// An id for a record that has none, made from its bytes: FNV-1a with 128 bits.
fn fingerprint(raw: &str) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in raw.bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    }
    made_id(hash.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form() {
        let expected = Some(1_715_000_445_000);
        for text in [
            "2024-05-06T13:00:45Z",
            "2024-05-06T15:00:45+02:00",
            "2024-05-06T13:00:45",
            "2024-05-06 13:00:45",
            "1715000445",
            "1715000445.0",
            "1715000445000",
            "1715000445000000",
            "1715000445000000000",
        ] {
            assert_eq!(read_time(text), expected, "{text}");
        }
        assert_eq!(read_time("1715000445.25"), Some(1_715_000_445_250));
        for text in ["", "soon", ".", "1.2.3", "99999999999999999999999"] {
            assert_eq!(read_time(text), None, "{text}");
        }
    }
}
