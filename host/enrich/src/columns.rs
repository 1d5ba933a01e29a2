//! One pass over a batch: what is known of its addresses and clients, written into its columns.

use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Batch, TextId, Values};

use crate::cache::{AddressCells, AgentCells, Cache};
use crate::sources::Sources;
use crate::words::{Wanted, Word};

/// Fills the columns of a batch.
pub(crate) fn fill(batch: &mut Batch, sources: &Sources, cache: &mut Cache) {
    cache.trim();
    let mut wanted = Wanted::default();
    let addresses = Distinct::of(batch, "ip", |text| {
        let cells = cache.address(text, sources);
        for word in [
            cells.category,
            cells.tags,
            cells.lists,
            cells.country,
            cells.region,
            cells.city,
            cells.owner,
        ] {
            wanted.want(word);
        }
        cells
    });
    let agents = Distinct::of(batch, "user-agent", |text| cache.agent(text, sources));
    let tags = agents.as_ref().map(|agents| agent_tags(batch, agents));
    for cells in agents.iter().flat_map(|agents| &agents.cells) {
        for word in [cells.family, cells.kind, cells.system] {
            wanted.want(word);
        }
    }
    for &word in tags.iter().flatten() {
        wanted.want(word);
    }
    wanted.settle(&cache.words, &mut batch.texts);
    if let Some(addresses) = &addresses {
        fill_addresses(batch, addresses, &wanted);
    }
    if let (Some(agents), Some(tags)) = (&agents, &tags) {
        let word = |word: fn(&AgentCells) -> Word| agents.each(|cells| wanted.id(word(cells)));
        let [family, kind, system] =
            [word(|cells| cells.family), word(|cells| cells.kind), word(|cells| cells.system)];
        text(batch, "user-agent.family", family, Keep::Said);
        text(batch, "user-agent.kind", kind, Keep::Said);
        text(batch, "user-agent.system", system, Keep::Said);
        let tags = tags.iter().map(|&word| wanted.id(word)).collect();
        text(batch, "user-agent.tags", tags, Keep::Said);
    }
}

/// The distinct values of a text column, and which of them each row has.
struct Distinct<T> {
    cells: Vec<T>,
    /// Place in `cells` by row.
    rows: Vec<u32>,
}

impl<T: Default> Distinct<T> {
    /// `None` when there is no such column. An absent value has default cells.
    fn of(batch: &Batch, column: &str, mut find: impl FnMut(&str) -> T) -> Option<Self> {
        const UNSEEN: u32 = u32::MAX;
        let ids = batch.text_ids(column)?;
        let mut places = vec![UNSEEN; batch.texts.len()];
        let mut cells = vec![T::default()];
        if let Some(absent) = places.first_mut() {
            *absent = 0;
        }
        let rows = ids
            .iter()
            .map(|&id| {
                let Some(place) = places.get_mut(id as usize) else { return 0 };
                if *place == UNSEEN {
                    *place = cells.len() as u32;
                    cells.push(find(batch.texts.get(id)));
                }
                *place
            })
            .collect();
        Some(Self { cells, rows })
    }

    /// A value for every row, worked out once a distinct one.
    fn each<V: Copy + Default>(&self, value: impl Fn(&T) -> V) -> Vec<V> {
        let values: Vec<V> = self.cells.iter().map(value).collect();
        self.rows
            .iter()
            .map(|&place| values.get(place as usize).copied().unwrap_or_default())
            .collect()
    }
}

/// The tags of every row's client at the time of the row.
fn agent_tags(batch: &Batch, agents: &Distinct<AgentCells>) -> Vec<Word> {
    let times = batch.integers("time").unwrap_or_default();
    let time = |row: usize| times.get(row).copied().filter(|&time| time != ABSENT_INTEGER);
    agents
        .rows
        .iter()
        .enumerate()
        .map(|(row, &place)| match agents.cells.get(place as usize) {
            Some(cells) if place != 0 => cells.tags_at(time(row)),
            _ => 0,
        })
        .collect()
}

fn fill_addresses(batch: &mut Batch, addresses: &Distinct<AddressCells>, wanted: &Wanted) {
    let word = |word: fn(&AddressCells) -> Word| addresses.each(|cells| wanted.id(word(cells)));
    text(batch, "ip.category", word(|cells| cells.category), Keep::Said);
    text(batch, "ip.tags", word(|cells| cells.tags), Keep::Said);
    text(batch, "ip.lists", word(|cells| cells.lists), Keep::Said);
    let (countries, cities) = (word(|cells| cells.country), word(|cells| cells.city));
    let own = addresses.each(|cells| cells.place_is_own);
    let place = places(batch, &countries, &cities, &own);
    texts(batch, "country", countries, &place);
    texts(batch, "region", word(|cells| cells.region), &place);
    texts(batch, "city", cities, &place);
    numbers(batch, "latitude", addresses.each(|cells| of(cells.position.map(|p| p.0))), &place);
    numbers(batch, "longitude", addresses.each(|cells| of(cells.position.map(|p| p.1))), &place);
    numbers(batch, "accuracy", addresses.each(|cells| of(cells.accuracy)), &place);
    let owner = addresses.each(|cells| cells.owner_is_own);
    let owner: Vec<Keep> =
        owner.iter().map(|&own| if own { Keep::Nothing } else { Keep::Said }).collect();
    texts(batch, "network.owner", word(|cells| cells.owner), &owner);
    integers(
        batch,
        "network.number",
        addresses.each(|cells| cells.number.unwrap_or(ABSENT_INTEGER)),
    );
}

/// A number that is absent when there is none.
fn of(number: Option<f64>) -> f64 {
    number.unwrap_or(f64::NAN)
}

/// What becomes of each row's place. The organization's word stands alone; so does the app's, when it
/// says coordinates or another country or city than was found: what was found would not fit it.
fn places(batch: &Batch, countries: &[TextId], cities: &[TextId], own: &[bool]) -> Vec<Keep> {
    let mut keep: Vec<Keep> =
        own.iter().map(|&own| if own { Keep::Nothing } else { Keep::Said }).collect();
    let mut stand_alone = |row: usize| {
        if let Some(keep) = keep.get_mut(row).filter(|keep| **keep == Keep::Said) {
            *keep = Keep::All;
        }
    };
    for (name, found) in [("country", countries), ("city", cities)] {
        let said = batch.text_ids(name).unwrap_or_default();
        for (row, (&said, &found)) in said.iter().zip(found).enumerate() {
            if said != 0 && said != found {
                stand_alone(row);
            }
        }
    }
    for name in ["latitude", "longitude"] {
        for (row, said) in batch.numbers(name).unwrap_or_default().iter().enumerate() {
            if !said.is_nan() {
                stand_alone(row);
            }
        }
    }
    keep
}

/// What becomes of a cell that the app has filled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// It stays; where it is absent, what was found is written.
    Said,
    /// It stays, absent or not.
    All,
    /// What was found is written, absent or not.
    Nothing,
}

impl Keep {
    fn choose<T: Copy>(self, said: T, found: T, absent: impl Fn(T) -> bool) -> T {
        match self {
            Self::All => said,
            Self::Nothing => found,
            Self::Said if absent(said) => found,
            Self::Said => said,
        }
    }
}

fn text(batch: &mut Batch, name: &str, found: Vec<TextId>, keep: Keep) {
    let keep = vec![keep; found.len()];
    texts(batch, name, found, &keep);
}

fn texts(batch: &mut Batch, name: &str, mut found: Vec<TextId>, keep: &[Keep]) {
    match batch.column(name) {
        Some(Values::Text(said)) => {
            for ((found, &said), &keep) in found.iter_mut().zip(said).zip(keep) {
                *found = keep.choose(said, *found, |id| id == 0);
            }
        }
        None => {
            for (found, &keep) in found.iter_mut().zip(keep) {
                *found = keep.choose(0, *found, |id| id == 0);
            }
        }
        // A column of another type is the app's word.
        Some(_) => return,
    }
    // A column that is absent throughout is left out.
    if batch.column(name).is_some() || found.iter().any(|&id| id != 0) {
        batch.set_column(name, Values::Text(found));
    }
}

fn numbers(batch: &mut Batch, name: &str, mut found: Vec<f64>, keep: &[Keep]) {
    match batch.column(name) {
        Some(Values::Number(said)) => {
            for ((found, &said), &keep) in found.iter_mut().zip(said).zip(keep) {
                *found = keep.choose(said, *found, f64::is_nan);
            }
        }
        None => {
            for (found, &keep) in found.iter_mut().zip(keep) {
                *found = keep.choose(f64::NAN, *found, f64::is_nan);
            }
        }
        Some(_) => return,
    }
    if batch.column(name).is_some() || found.iter().any(|number| !number.is_nan()) {
        batch.set_column(name, Values::Number(found));
    }
}

fn integers(batch: &mut Batch, name: &str, mut found: Vec<i64>) {
    match batch.column(name) {
        Some(Values::Integer(said)) => {
            for (found, &said) in found.iter_mut().zip(said) {
                *found = Keep::Said.choose(said, *found, |value| value == ABSENT_INTEGER);
            }
        }
        None if found.iter().any(|&value| value != ABSENT_INTEGER) => {}
        _ => return,
    }
    batch.set_column(name, Values::Integer(found));
}
