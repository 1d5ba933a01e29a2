//! Fills a batch of activities with what the directory knows of who did them.
//!
//! Everything is looked up once for every distinct actor of the batch; only where somebody has been
//! in more than one state does the time of each activity count. Joining twice changes nothing.

use casbah_model::table::{ABSENT_INTEGER, Batch, TextId, Values};

use super::book::{Book, Person};
use super::history::Spell;
use super::people::People;
use super::record::Source;
use super::rows::list;
use crate::words::{Word, Words};

/// What is known of an actor.
#[derive(Default)]
struct Known {
    person: Word,
    groups: Word,
    admin: Option<bool>,
    external: Option<bool>,
    states: States,
}

#[derive(Default)]
enum States {
    /// Nothing is known of any time.
    #[default]
    Unknown,
    /// One state, always.
    Always(Word),
    /// It depends on the time: the spells, and the words of their states.
    Spells(Vec<(Spell, Word)>),
}

impl States {
    fn new(person: &Person, words: &mut Words) -> Self {
        match person.spells.as_slice() {
            [] => Self::Unknown,
            [Spell { from: None, state, .. }] => Self::Always(words.want(state.word())),
            spells => Self::Spells(
                spells.iter().map(|spell| (*spell, words.want(spell.state.word()))).collect(),
            ),
        }
    }

    /// The word of the state at a time, and since when.
    fn at(&self, time: i64) -> (Word, i64) {
        match self {
            Self::Unknown => (0, ABSENT_INTEGER),
            Self::Always(word) => (*word, ABSENT_INTEGER),
            Self::Spells(spells) => {
                let held = super::history::at(spells.iter().map(|(spell, _)| *spell), time);
                let Some(held) = held else { return (0, ABSENT_INTEGER) };
                let word = spells.iter().find(|(spell, _)| spell.state == held.state);
                (word.map_or(0, |(_, word)| *word), held.since.unwrap_or(ABSENT_INTEGER))
            }
        }
    }
}

/// Fills `person`, `actor.status`, `actor.since` and `actor.groups`, and `actor.admin` and
/// `actor.external` where they are absent.
pub(super) fn join(book: &Book, people: &People, batch: &mut Batch, app: &str, source: &Source) {
    let rows = batch.len();
    let Some(actors) = batch.text_ids("actor").map(<[TextId]>::to_vec) else { return };
    if book.is_empty() && people.is_empty() {
        batch.set_column("person", Values::Text(actors));
        return;
    }
    let ids = batch.text_ids("actor.id").map(<[TextId]>::to_vec);
    let mut words = Words::default();
    let mut known: Vec<Known> = Vec::new();
    let mut places: hashbrown::HashMap<(TextId, TextId), usize> = hashbrown::HashMap::new();
    let mut of_row = Vec::with_capacity(rows);
    for row in 0..rows {
        let actor = actors.get(row).copied().unwrap_or(0);
        let id = ids.as_ref().and_then(|ids| ids.get(row)).copied().unwrap_or(0);
        let place = *places.entry((actor, id)).or_insert_with(|| {
            let texts = [batch.texts.get(actor), batch.texts.get(id)];
            known.push(look_up(book, people, app, source, texts, &mut words));
            known.len() - 1
        });
        of_row.push(place);
    }
    words.settle(&mut batch.texts);
    write(batch, &known, &of_row, &words);
}

fn look_up(
    book: &Book,
    people: &People,
    app: &str,
    source: &Source,
    [actor, id]: [&str; 2],
    words: &mut Words,
) -> Known {
    if actor.is_empty() {
        return Known::default();
    }
    let said = people.get(app, id).or_else(|| people.get(app, actor));
    let found = match said {
        Some(said) => book.by_address(said),
        None => {
            let by_id = if id.is_empty() { None } else { book.by_id(source, id) };
            by_id.or_else(|| book.by_address(&actor.to_lowercase()))
        }
    };
    let Some(person) = found else {
        return Known { person: words.want(said.unwrap_or(actor)), ..Known::default() };
    };
    let address = if person.address.is_empty() { said.unwrap_or(actor) } else { &person.address };
    Known {
        person: words.want(address),
        groups: words.want(&list(&person.groups)),
        admin: person.admin,
        external: person.external,
        states: States::new(&person, words),
    }
}

fn write(batch: &mut Batch, known: &[Known], of_row: &[usize], words: &Words) {
    let rows = batch.len();
    let of = |row: usize| of_row.get(row).and_then(|&place| known.get(place));
    let times = [batch.integers("time"), batch.integers("received")];
    let time = |row: usize| {
        let known = times.iter().flatten().filter_map(|times| times.get(row).copied());
        known.into_iter().find(|&time| time != ABSENT_INTEGER).unwrap_or(i64::MAX)
    };
    let mut columns = Vec::new();
    let persons = (0..rows).map(|row| of(row).map_or(0, |known| words.id(known.person))).collect();
    columns.push(("person", Values::Text(persons)));
    let text = |name: &str| batch.text_ids(name).map_or_else(|| vec![0; rows], <[TextId]>::to_vec);
    let numbers = |name: &str| {
        batch.integers(name).map_or_else(|| vec![ABSENT_INTEGER; rows], <[i64]>::to_vec)
    };
    if known.iter().any(|known| known.groups != 0) {
        let mut groups = text("actor.groups");
        for (row, cell) in groups.iter_mut().enumerate() {
            *cell = of(row).map_or(*cell, |known| words.id(known.groups));
        }
        columns.push(("actor.groups", Values::Text(groups)));
    }
    if known.iter().any(|known| !matches!(known.states, States::Unknown)) {
        let (mut states, mut since) = (text("actor.status"), numbers("actor.since"));
        for (row, (state, since)) in states.iter_mut().zip(&mut since).enumerate() {
            let Some(known) = of(row).filter(|known| !matches!(known.states, States::Unknown))
            else {
                continue;
            };
            // Of a time of which the directory knows nothing, the app's word of today says nothing.
            let (word, from) = known.states.at(time(row));
            (*state, *since) = (words.id(word), from);
        }
        columns.push(("actor.status", Values::Text(states)));
        if since.iter().any(|&since| since != ABSENT_INTEGER) {
            columns.push(("actor.since", Values::Integer(since)));
        }
    }
    for (name, flag) in [
        ("actor.admin", (|known| known.admin) as fn(&Known) -> Option<bool>),
        ("actor.external", |known| known.external),
    ] {
        if !known.iter().any(|known| flag(known).is_some()) {
            continue;
        }
        let mut cells = numbers(name);
        for (row, cell) in cells.iter_mut().enumerate() {
            if *cell == ABSENT_INTEGER
                && let Some(value) = of(row).and_then(flag)
            {
                *cell = i64::from(value);
            }
        }
        columns.push((name, Values::Integer(cells)));
    }
    for (name, values) in columns {
        // A plugin's column of another type is the app's word, however odd.
        let fits = batch.column(name).is_none_or(|known| known.type_name() == values.type_name());
        if fits || name == "person" {
            batch.set_column(name, values);
        }
    }
}
