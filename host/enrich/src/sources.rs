//! Everything that is loaded, and what it says together of one address or one client.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::address::Range;
use crate::agent::Agent;
use crate::error::{EnrichErrors, EnrichProblem, EnrichProblemKind};
use crate::file::Stamp;
use crate::geo::{Database, Record};
use crate::list::List;
use crate::ranges::Ranges;
use crate::releases::Releases;
use crate::settings::{EnrichSettings, ListSettings};
use crate::table::Table;

/// A source with the state of its file when it was read.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) path: PathBuf,
    /// The state of the file that was looked at last, be it this source or one that was refused.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) source: Arc<T>,
    /// Why a newer file was refused.
    pub(crate) trouble: Option<String>,
}

// By hand: the source is shared and need not be one that can be copied.
impl<T> Clone for Loaded<T> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            stamp: self.stamp,
            source: Arc::clone(&self.source),
            trouble: self.trouble.clone(),
        }
    }
}

impl<T> Loaded<T> {
    /// The stamp is taken before reading: a file that changes meanwhile is read again.
    fn open(
        path: &Path,
        read: impl FnOnce(&Path) -> Result<T, EnrichErrors>,
    ) -> Result<Self, EnrichErrors> {
        let stamp = Stamp::of(path);
        let source = Arc::new(read(path)?);
        Ok(Self { path: path.to_owned(), stamp, source, trouble: None })
    }

    /// Reads the file again when it is another one. What is broken changes nothing but the trouble
    /// that is told. Returns whether there is a new source.
    fn refresh(
        &mut self,
        problems: &mut Vec<EnrichProblem>,
        read: impl FnOnce(&Path) -> Result<T, EnrichErrors>,
    ) -> bool {
        let stamp = Stamp::of(&self.path);
        if stamp == self.stamp {
            return false;
        }
        self.stamp = stamp;
        match read(&self.path) {
            Ok(source) => {
                self.source = Arc::new(source);
                self.trouble = None;
                true
            }
            Err(errors) => {
                self.trouble = errors.problems().first().map(|problem| problem.message.clone());
                problems.extend(errors.problems().iter().cloned());
                false
            }
        }
    }
}

/// Everything that is loaded.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) geo: Vec<Loaded<Database>>,
    pub(crate) ranges: Option<Loaded<Ranges>>,
    pub(crate) lists: Vec<Loaded<List>>,
    /// Which lists an address is on, by their places in `lists`.
    table: Arc<Table>,
    pub(crate) releases: Arc<Releases>,
}

/// A fact and where it is from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said<T> {
    pub(crate) value: T,
    pub(crate) from: From,
}

/// Where a fact is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// The organization's own ranges.
    Ranges,
    /// The database of that place in the settings.
    Geo(usize),
    /// The list of that place in the settings.
    List(usize),
}

/// What is known of an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Known {
    pub(crate) category: Option<Said<String>>,
    /// In the order in which they are shown.
    pub(crate) tags: Vec<Said<String>>,
    /// Lists and databases whose tags stand, sorted.
    pub(crate) marks: Vec<Said<String>>,
    pub(crate) country: Option<Said<String>>,
    pub(crate) region: Option<Said<String>>,
    pub(crate) city: Option<Said<String>>,
    pub(crate) position: Option<Said<(f64, f64)>>,
    pub(crate) accuracy: Option<Said<f64>>,
    pub(crate) number: Option<Said<i64>>,
    pub(crate) owner: Option<Said<String>>,
    /// Whether the organization itself says where it is: that beats what an app says.
    pub(crate) place_is_own: bool,
    /// Whether the organization itself says whose it is.
    pub(crate) owner_is_own: bool,
}

impl Sources {
    /// Opens everything; all that is wrong comes back at once.
    pub(crate) fn open(settings: &EnrichSettings) -> Result<Self, EnrichErrors> {
        let mut problems = names(settings);
        let mut fail = |errors: EnrichErrors| problems.extend(errors.problems().iter().cloned());
        let geo = settings
            .geo
            .iter()
            .filter_map(|path| Loaded::open(path, Database::open).map_err(&mut fail).ok())
            .collect();
        let ranges = settings
            .ranges
            .as_ref()
            .and_then(|path| Loaded::open(path, Ranges::open).map_err(&mut fail).ok());
        let open = |list: &ListSettings| Loaded::open(&list.file, |_| List::open(list));
        let lists =
            settings.lists.iter().filter_map(|list| open(list).map_err(&mut fail).ok()).collect();
        match EnrichErrors::of(problems) {
            Some(errors) => Err(errors),
            None => Ok(Self::of(geo, ranges, lists)),
        }
    }

    /// Nothing but what is known of clients.
    pub(crate) fn none() -> Self {
        Self::of(Vec::new(), None, Vec::new())
    }

    fn of(
        geo: Vec<Loaded<Database>>,
        ranges: Option<Loaded<Ranges>>,
        lists: Vec<Loaded<List>>,
    ) -> Self {
        let table = Arc::new(table(&lists));
        Self { geo, ranges, lists, table, releases: Arc::new(Releases::new()) }
    }

    /// Reads what changed again. Returns the new state when anything is new, also a trouble, and what
    /// was refused.
    pub(crate) fn refreshed(
        &self,
        settings: &EnrichSettings,
    ) -> (Option<Self>, Vec<EnrichProblem>) {
        let mut next = self.clone();
        let mut problems = Vec::new();
        let mut changed = false;
        for loaded in &mut next.geo {
            changed |= loaded.refresh(&mut problems, Database::open);
        }
        if let Some(loaded) = &mut next.ranges {
            changed |= loaded.refresh(&mut problems, Ranges::open);
        }
        let mut lists = false;
        for (loaded, settings) in next.lists.iter_mut().zip(&settings.lists) {
            let before = loaded.source.len();
            lists |= loaded.refresh(&mut problems, |_| List::open(settings)?.in_place_of(before));
        }
        if lists {
            next.table = Arc::new(table(&next.lists));
        }
        ((changed || lists || !problems.is_empty()).then_some(next), problems)
    }

    /// The range of the organization's own that holds an address: its subnet and its name.
    pub(crate) fn range(&self, address: IpAddr) -> Option<(Range, &crate::ranges::Known)> {
        self.ranges.as_ref()?.source.get(address)
    }

    /// What all sources together say of an address.
    pub(crate) fn address(&self, address: IpAddr) -> Known {
        let mut known = Known::default();
        let records: Vec<(usize, Record)> = self
            .geo
            .iter()
            .enumerate()
            .filter_map(|(index, loaded)| Some((index, loaded.source.get(address)?)))
            .collect();
        known.take_place(&records);
        for (index, record) in &records {
            let from = From::Geo(*index);
            if known.number.is_none() {
                known.number = record.number.map(|value| Said { value, from });
            }
            if known.owner.is_none() {
                known.owner = record.owner.clone().map(|value| Said { value, from });
            }
        }
        let range = self.range(address).map(|(_, range)| range);
        match range.and_then(|range| range.tags.as_ref()) {
            // What the organization says itself stands instead of what others say.
            Some(tags) => known
                .tags
                .extend(tags.iter().map(|tag| Said { value: tag.clone(), from: From::Ranges })),
            None => self.take_tags(&mut known, &records, address),
        }
        if let Some(range) = range {
            known.take_range(range);
        }
        known
    }

    fn take_tags(&self, known: &mut Known, records: &[(usize, Record)], address: IpAddr) {
        for (index, record) in records.iter().filter(|(_, record)| !record.tags.is_empty()) {
            let from = From::Geo(*index);
            let tags = record.tags.iter().map(|&tag| Said { value: tag.to_owned(), from });
            known.tags.extend(tags);
            known.marks.extend(
                self.geo.get(*index).map(|loaded| Said { value: loaded.source.mark(), from }),
            );
        }
        for &index in self.table.get(address) {
            let index = usize::from(index);
            let Some(list) = self.lists.get(index).map(|loaded| &loaded.source) else { continue };
            let from = From::List(index);
            known.tags.extend(list.tags.iter().map(|tag| Said { value: tag.clone(), from }));
            known.marks.push(Said { value: list.mark(), from });
        }
        known.tags.sort_by(|a, b| a.value.cmp(&b.value));
        known.tags.dedup_by(|a, b| a.value == b.value);
        known.marks.sort_by(|a, b| a.value.cmp(&b.value));
    }

    /// What is known of a client.
    pub(crate) fn agent(&self, text: &str) -> Agent {
        Agent::parse(text, &self.releases)
    }
}

impl Known {
    /// Country, town and coordinates are taken from one database, so that they fit each other: the
    /// first that knows coordinates, otherwise the first that knows a country.
    fn take_place(&mut self, records: &[(usize, Record)]) {
        let best = records
            .iter()
            .find(|(_, record)| record.position.is_some())
            .or_else(|| records.iter().find(|(_, record)| record.country.is_some()));
        let Some((index, record)) = best else { return };
        let from = From::Geo(*index);
        let text = |value: &Option<String>| value.clone().map(|value| Said { value, from });
        self.country = text(&record.country);
        self.region = text(&record.region);
        self.city = text(&record.city);
        self.position = record.position.map(|value| Said { value, from });
        self.accuracy = record.accuracy.map(|value| Said { value, from });
        if self.country.is_none() {
            let other = records.iter().find_map(|(index, record)| {
                let value = record.country.clone()?;
                Some(Said { value, from: From::Geo(*index) })
            });
            self.country = other;
        }
    }

    /// What the organization says beats every database.
    fn take_range(&mut self, range: &crate::ranges::Known) {
        let from = From::Ranges;
        self.category = Some(Said { value: range.category.clone(), from });
        if let Some(owner) = &range.owner {
            self.owner = Some(Said { value: owner.clone(), from });
            self.owner_is_own = true;
        }
        if let Some(place) = &range.place {
            let text = |value: &Option<String>| value.clone().map(|value| Said { value, from });
            self.country = text(&place.country);
            self.region = text(&place.region);
            self.city = text(&place.name);
            self.position = place.latitude.zip(place.longitude).map(|value| Said { value, from });
            self.accuracy = place.accuracy.map(|value| Said { value, from });
            self.place_is_own = true;
        }
    }
}

fn table(lists: &[Loaded<List>]) -> Table {
    let numbered = lists.iter().zip(0_u16..);
    Table::new(
        numbered
            .flat_map(|(loaded, owner)| loaded.source.ranges().map(move |range| (range, owner))),
    )
}

/// What is wrong with the names and tags in the settings themselves.
fn names(settings: &EnrichSettings) -> Vec<EnrichProblem> {
    let mut problems = Vec::new();
    for (index, list) in settings.lists.iter().enumerate() {
        let mut wrong = |kind, message: String, hint: &str| {
            let file = list.file.display().to_string();
            problems.push(EnrichProblem::whole(kind, &file, message, hint));
        };
        let bad = |text: &str| {
            text.trim().is_empty()
                || text.contains([',', '@'])
                || text.chars().any(char::is_control)
        };
        if bad(&list.name) {
            let message = format!("`{}` can't be the name of a list", list.name.escape_debug());
            wrong(EnrichProblemKind::Value, message, "a name is a text without `,` and `@`");
        }
        if settings.lists.iter().take(index).any(|other| other.name == list.name) {
            let message = format!("two lists of `enrich.lists` are called `{}`", list.name);
            wrong(EnrichProblemKind::Overlap, message, "give each a name of its own");
        }
        let hint = "e.g. `tags = [\"tor\"]`; a tag is a text without `,` and `@`";
        if list.tags.is_empty() {
            let message = format!("the list `{}` has no tags", list.name);
            wrong(EnrichProblemKind::Value, message, hint);
        }
        for tag in list.tags.iter().filter(|tag| bad(tag)) {
            let message = format!("`{}` can't be a tag", tag.escape_debug());
            wrong(EnrichProblemKind::Value, message, hint);
        }
    }
    problems
}
