//! The directory in memory: who has which address, and what of them counts.
//!
//! Everything is found by hash and compared where it is packed, so that a million people fit. The
//! book is not the store: it is filled from it, and holds only what joining needs.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::history::{self, Held, Spell, Standing};
use super::pack::{GroupNumber, Packed, SourceNumber};
use super::record::{Record, Source};

/// Place of an account in the book.
type Place = u32;

/// One way to an account: a hash of what it is found by, and its place.
type Way = (u32, Place);

/// The accounts of all directories of a tenant.
#[derive(Debug, Default)]
pub(crate) struct Book {
    sources: Vec<Source>,
    /// Accounts named and not gone, by source.
    present: Vec<u64>,
    accounts: Vec<Option<Packed>>,
    free: Vec<Place>,
    by_id: HashTable<Way>,
    by_address: HashTable<Way>,
    groups: Vec<String>,
    group_numbers: HashMap<String, GroupNumber>,
    hasher: RandomState,
}

/// What is known of a person, from all directories together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The main address in lower case.
    pub address: String,
    /// Whether it is an administrator of the directory.
    pub admin: Option<bool>,
    /// Whether it is outside the organization.
    pub external: Option<bool>,
    /// Names of its groups, in their order.
    pub groups: Vec<String>,
    /// Its states, in the order of time.
    pub(crate) spells: Vec<Spell>,
}

impl Person {
    /// The state at a time, ms since 1970; `None` when nobody knows.
    pub fn at(&self, time: i64) -> Option<Held> {
        history::at(self.spells.iter().copied(), time)
    }
}

fn spread(way: &Way) -> u64 {
    u64::from(way.0).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Book {
    /// Number of accounts.
    pub(crate) fn len(&self) -> usize {
        self.accounts.len() - self.free.len()
    }

    /// Whether nobody is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of groups, as they were heard of.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    /// Accounts of a source that are named and not gone.
    pub(crate) fn present(&self, source: &Source) -> u64 {
        self.number(source)
            .and_then(|number| self.present.get(usize::from(number)))
            .copied()
            .unwrap_or(0)
    }

    fn number(&self, source: &Source) -> Option<SourceNumber> {
        self.sources.iter().position(|known| known == source).map(|place| place as SourceNumber)
    }

    fn register(&mut self, source: &Source) -> SourceNumber {
        self.number(source).unwrap_or_else(|| {
            self.sources.push(source.clone());
            self.present.push(0);
            (self.sources.len() - 1) as SourceNumber
        })
    }

    fn hash(&self, text: &str) -> u32 {
        self.hasher.hash_one(text) as u32
    }

    fn hash_id(&self, source: SourceNumber, id: &str) -> u32 {
        self.hasher.hash_one((source, id)) as u32
    }

    fn group(&mut self, name: &str) -> GroupNumber {
        if let Some(&number) = self.group_numbers.get(name) {
            return number;
        }
        let number = self.groups.len() as GroupNumber;
        self.groups.push(name.to_owned());
        self.group_numbers.insert(name.to_owned(), number);
        number
    }

    /// Adds an account, or replaces the one of that id.
    pub(crate) fn put(&mut self, source: &Source, record: &Record) {
        let number = self.register(source);
        self.take(number, &record.account.id);
        let groups: Vec<GroupNumber> =
            record.account.groups.iter().map(|name| self.group(name)).collect();
        let packed = Packed::new(number, record, &groups);
        if let Some(present) = self.present.get_mut(usize::from(number)) {
            *present += u64::from(packed.is_present());
        }
        let place = self.free.pop().unwrap_or(self.accounts.len() as Place);
        let id = (self.hash_id(number, &record.account.id), place);
        self.by_id.insert_unique(spread(&id), id, spread);
        let ways: Vec<Way> =
            packed.addresses().map(|address| (self.hash(address), place)).collect();
        for way in ways {
            self.by_address.insert_unique(spread(&way), way, spread);
        }
        match self.accounts.get_mut(place as usize) {
            Some(free) => *free = Some(packed),
            None => self.accounts.push(Some(packed)),
        }
    }

    /// Takes an account out.
    pub(crate) fn remove(&mut self, source: &Source, id: &str) {
        if let Some(number) = self.number(source) {
            self.take(number, id);
        }
    }

    fn take(&mut self, source: SourceNumber, id: &str) {
        let Some(place) = self.find_id(source, id) else { return };
        self.clear(place, (self.hash_id(source, id), place));
    }

    fn clear(&mut self, place: Place, id: Way) {
        let Some(packed) = self.accounts.get_mut(place as usize).and_then(Option::take) else {
            return;
        };
        if let Some(present) = self.present.get_mut(usize::from(packed.source())) {
            *present -= u64::from(packed.is_present());
        }
        if let Ok(entry) = self.by_id.find_entry(spread(&id), |way| *way == id) {
            entry.remove();
        }
        for address in packed.addresses() {
            let way = (self.hasher.hash_one(address) as u32, place);
            if let Ok(entry) = self.by_address.find_entry(spread(&way), |known| *known == way) {
                entry.remove();
            }
        }
        self.free.push(place);
    }

    /// Takes all accounts of a source out.
    pub(crate) fn forget(&mut self, source: &Source) {
        let Some(number) = self.number(source) else { return };
        let ways: Vec<Way> = self.by_id.iter().copied().collect();
        for way in ways {
            if self.get(way.1).is_some_and(|packed| packed.source() == number) {
                self.clear(way.1, way);
            }
        }
    }

    fn get(&self, place: Place) -> Option<&Packed> {
        self.accounts.get(place as usize)?.as_ref()
    }

    fn find_id(&self, source: SourceNumber, id: &str) -> Option<Place> {
        let hash = self.hash_id(source, id);
        let fits = |way: &Way| {
            way.0 == hash
                && self
                    .get(way.1)
                    .is_some_and(|packed| packed.source() == source && packed.has_id(id))
        };
        self.by_id.find(spread(&(hash, 0)), fits).map(|way| way.1)
    }

    /// The accounts that have an address, which must be in lower case.
    fn find_address<'a>(&'a self, address: &'a str) -> impl Iterator<Item = (Place, &'a Packed)> {
        let hash = self.hash(address);
        self.by_address
            .iter_hash(spread(&(hash, 0)))
            .filter(move |way| way.0 == hash)
            .filter_map(|way| Some((way.1, self.get(way.1)?)))
            .filter(move |(_, packed)| packed.addresses().any(|known| known == address))
    }

    /// Which of several accounts counts first: one of the directory file before others, one of the
    /// organization before a guest's, whose main address it is before whose alias, one that is there
    /// before one that is gone.
    fn rank<'a>(&'a self, packed: &'a Packed, address: &str) -> impl Ord + use<'a> {
        let source = self.sources.get(usize::from(packed.source()));
        (
            source != Some(&Source::File),
            packed.external() == Some(true),
            source,
            packed.addresses().next() != Some(address),
            !packed.is_present(),
            packed.id_bytes(),
        )
    }

    fn best(&self, address: &str) -> Option<Place> {
        let found = self.find_address(address);
        found.min_by_key(|(_, packed)| self.rank(packed, address)).map(|(place, _)| place)
    }

    /// The person of an account of a connection.
    pub(crate) fn by_id(&self, source: &Source, id: &str) -> Option<Person> {
        self.person(self.find_id(self.number(source)?, id)?)
    }

    /// The person that has an address, which must be in lower case.
    pub(crate) fn by_address(&self, address: &str) -> Option<Person> {
        self.person(self.best(address)?)
    }

    /// An account of another directory, which counts more, that has one of the same addresses.
    fn better(&self, packed: &Packed) -> Option<Place> {
        if self.sources.len() < 2 {
            return None;
        }
        let own = self.rank(packed, packed.addresses().next().unwrap_or_default());
        packed.addresses().find_map(|address| {
            let best = self.best(address)?;
            let found = self.get(best)?;
            let other = found.source() != packed.source();
            (other && self.rank(found, address) < own).then_some(best)
        })
    }

    /// The account that stands for a person: that of a directory which counts more may have one of
    /// its addresses.
    fn canonical(&self, mut place: Place) -> Place {
        let mut passed = vec![place];
        // Every step leads to an account that counts more.
        while let Some(better) = self.get(place).and_then(|packed| self.better(packed)) {
            if passed.contains(&better) {
                break;
            }
            passed.push(better);
            place = better;
        }
        place
    }

    /// The address of the person that an account stands for, be it in the book or not; empty when it
    /// has none.
    pub(crate) fn address_of(&mut self, source: &Source, record: &Record) -> String {
        let packed = Packed::new(self.register(source), record, &[]);
        let better = self.better(&packed).and_then(|place| self.get(self.canonical(place)));
        let found = better.unwrap_or(&packed);
        found.addresses().next().unwrap_or_default().to_owned()
    }

    /// All accounts of the person that an account stands for: of each directory the one that counts.
    fn accounts_of(&self, place: Place) -> Vec<&Packed> {
        let Some(first) = self.get(place) else { return Vec::new() };
        let mut chosen = vec![first];
        if self.sources.len() > 1 {
            let mut others: Vec<(Place, &str)> = first
                .addresses()
                .flat_map(|address| {
                    self.find_address(address).map(move |(place, _)| (place, address))
                })
                .collect();
            others.sort_by(|a, b| {
                let rank = |&(place, address): &(Place, &'_ str)| {
                    self.get(place).map(|packed| self.rank(packed, address))
                };
                rank(a).cmp(&rank(b))
            });
            for (place, _) in others {
                let Some(packed) = self.get(place) else { continue };
                if chosen.iter().all(|known| known.source() != packed.source()) {
                    chosen.push(packed);
                }
            }
        }
        chosen
    }

    fn person(&self, place: Place) -> Option<Person> {
        let place = self.canonical(place);
        let accounts = self.accounts_of(place);
        let address = self.get(place)?.addresses().next().unwrap_or_default().to_owned();
        let groups: BTreeSet<&str> = accounts
            .iter()
            .flat_map(|packed| packed.groups())
            .filter_map(|number| self.groups.get(number as usize))
            .map(String::as_str)
            .collect();
        Some(Person {
            address,
            admin: accounts.iter().find_map(|packed| packed.admin()),
            external: accounts.iter().find_map(|packed| packed.external()),
            groups: groups.into_iter().map(str::to_owned).collect(),
            spells: together(&accounts),
        })
    }

    /// Source and id of all accounts of the person that has an address: the first counts first.
    pub(crate) fn places_of(&self, address: &str) -> Vec<(Source, String)> {
        let Some(place) = self.best(address) else { return Vec::new() };
        self.accounts_of(self.canonical(place))
            .into_iter()
            .filter_map(|packed| {
                let source = self.sources.get(usize::from(packed.source()))?;
                Some((source.clone(), packed.id()))
            })
            .collect()
    }

    /// The people, each once, in no order.
    pub(crate) fn people(&self) -> impl Iterator<Item = Person> {
        (0..self.accounts.len() as Place)
            .filter(|&place| self.get(place).is_some() && self.canonical(place) == place)
            .filter_map(|place| self.person(place))
            .filter(|person| !person.address.is_empty())
    }

    /// Bytes that the book takes, as far as it can tell.
    pub(crate) fn bytes(&self) -> usize {
        let packed: usize = self
            .accounts
            .iter()
            .flatten()
            // What the allocator adds.
            .map(|packed| (packed.bytes() + 8).next_multiple_of(16))
            .sum();
        packed
            + self.accounts.capacity() * size_of::<Option<Packed>>()
            + self.by_id.allocation_size()
            + self.by_address.allocation_size()
    }
}

/// The states of a person: those of the first account that has any of its own, and the leave dates
/// of all.
fn together(accounts: &[&Packed]) -> Vec<Spell> {
    let of_leave_date = |spell: &Spell| matches!(spell.state, Standing::Leaving | Standing::Left);
    let mut all = Vec::new();
    let mut own = false;
    for packed in accounts {
        let spells = packed.spells();
        let has_own = spells.iter().any(|spell| !of_leave_date(spell));
        all.extend(spells.into_iter().filter(|spell| !own || of_leave_date(spell)));
        own |= has_own;
    }
    all.sort_by_key(|spell| (spell.from, spell.state));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Account;
    use crate::directory::record::Word;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    pub(crate) fn record(
        id: &str,
        email: &str,
        aliases: &[&str],
        status: &str,
        since: Option<i64>,
    ) -> Record {
        let mut record = Record::new(id);
        let news = Account {
            id: id.to_owned(),
            email: email.to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            status: status.to_owned(),
            since,
            ..Account::default()
        };
        record.hear(news, Word::News, 100);
        record
    }

    fn connection(name: &str) -> Source {
        Source::Connection(name.parse().unwrap())
    }

    #[test]
    fn a_person_is_found_by_every_address_in_every_directory() {
        let mut book = Book::default();
        let (entra, other) = (connection("entra"), connection("other"));
        book.put(
            &entra,
            &record("1", "Ana@Acme.example", &["A.Lopez@acme.example"], "active", None),
        );
        book.put(&other, &record("9", "a.lopez@acme.example", &[], "deleted", Some(50)));
        let address = |book: &Book, text: &str| book.by_address(text).map(|person| person.address);
        let ana = Some("ana@acme.example".to_owned());
        assert_eq!(address(&book, "ana@acme.example"), ana);
        assert_eq!(address(&book, "a.lopez@acme.example"), ana);
        assert_eq!(book.by_id(&other, "9").unwrap().address, "ana@acme.example");
        assert_eq!(book.by_id(&entra, "9"), None, "ids are those of their connection");
        assert_eq!(address(&book, "bo@acme.example"), None);
        // The first directory's word on the state counts.
        assert_eq!(
            book.by_address("ana@acme.example").unwrap().at(70).unwrap().state,
            Standing::Active
        );
        // The directory file counts before all.
        book.put(
            &Source::File,
            &record("x", "lopez@acme.example", &["ana@acme.example"], "disabled", Some(60)),
        );
        for text in ["ana@acme.example", "a.lopez@acme.example", "lopez@acme.example"] {
            let person = book.by_address(text).unwrap();
            assert_eq!(person.address, "lopez@acme.example", "{text}");
            assert_eq!(person.at(70), Some(Held { state: Standing::Disabled, since: Some(60) }));
        }
        assert_eq!(book.people().count(), 1);
        book.forget(&Source::File);
        book.forget(&entra);
        assert_eq!(address(&book, "a.lopez@acme.example"), Some("a.lopez@acme.example".to_owned()));
        assert_eq!(address(&book, "ana@acme.example"), None);
        assert_eq!(book.len(), 1);
    }

    /// An address is given to somebody else: who is there now counts, and a main address counts more
    /// than an alias.
    #[test]
    fn an_address_that_was_given_away_leads_to_who_has_it_now() {
        let mut book = Book::default();
        let entra = connection("entra");
        book.put(&entra, &record("1", "info@acme.example", &[], "deleted", Some(5)));
        book.put(&entra, &record("2", "info@acme.example", &[], "active", None));
        book.put(&entra, &record("0", "bo@acme.example", &["info@acme.example"], "active", None));
        assert_eq!(
            book.by_address("info@acme.example").unwrap().at(100).unwrap().state,
            Standing::Active
        );
        assert_eq!(book.by_address("info@acme.example").unwrap().address, "info@acme.example");
        assert_eq!(book.present(&entra), 2);
    }

    #[test]
    fn a_leave_date_of_another_directory_counts() {
        let mut book = Book::default();
        book.put(&connection("entra"), &record("1", "ana@acme.example", &[], "active", None));
        let mut leaver = Record::new("ana@acme.example");
        let news = Account {
            id: "ana@acme.example".to_owned(),
            email: "ana@acme.example".to_owned(),
            leaves: Some(500),
            groups: vec!["Sales".to_owned()],
            ..Account::default()
        };
        leaver.hear(news, Word::Whole, 100);
        book.put(&Source::File, &leaver);
        let person = book.by_address("ana@acme.example").unwrap();
        let state = |time| person.at(time).map(|held| held.state);
        assert_eq!(
            [state(50), state(100), state(500)],
            [Some(Standing::Active), Some(Standing::Leaving), Some(Standing::Left)]
        );
        assert_eq!(person.groups, ["Sales"]);
    }

    proptest! {
        /// After any changes the book finds exactly what a plain map finds.
        #[test]
        fn changes_leave_no_traces(
            steps in proptest::collection::vec((0usize..2, 0usize..12, proptest::option::of(proptest::collection::vec(0usize..15, 1..4))), 0..80),
        ) {
            let sources = [connection("a"), connection("b")];
            let mut book = Book::default();
            let mut plain: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
            for (source, id, addresses) in steps {
                match addresses {
                    None => {
                        book.remove(&sources[source], &id.to_string());
                        plain.remove(&(source, id));
                    }
                    Some(addresses) => {
                        let texts: Vec<String> = addresses.iter().map(|n| format!("p{n}@x.example")).collect();
                        let aliases: Vec<&str> = texts.iter().skip(1).map(String::as_str).collect();
                        book.put(&sources[source], &record(&id.to_string(), &texts[0], &aliases, "active", None));
                        plain.insert((source, id), addresses);
                    }
                }
            }
            prop_assert_eq!(book.len(), plain.len());
            for (number, source) in sources.iter().enumerate() {
                prop_assert_eq!(book.present(source) as usize, plain.keys().filter(|key| key.0 == number).count());
            }
            for address in 0..15 {
                let text = format!("p{address}@x.example");
                let mut found: Vec<(u16, String)> = book.find_address(&text).map(|(_, packed)| (packed.source(), String::from_utf8(packed.id_bytes().to_vec()).unwrap())).collect();
                found.sort();
                found.dedup();
                let expected = plain.values().filter(|addresses| addresses.contains(&address)).count();
                prop_assert_eq!(found.len(), expected);
                prop_assert_eq!(book.by_address(&text).is_some(), expected > 0);
            }
        }
    }
}
