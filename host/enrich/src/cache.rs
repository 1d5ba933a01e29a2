//! What was found of addresses and clients before, within bounds.

use hashbrown::HashMap;

use crate::address::parse_address;
use crate::agent::{Agent, Kind};
use crate::sources::{Known, Said, Sources};
use crate::words::{Word, Words};

/// Values of a kind that are kept at most, in each of two generations.
const MOST_VALUES: usize = 32_768;
/// Words that are kept at most before everything is forgotten.
const MOST_WORDS: usize = 262_144;

/// What is written for an address.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct AddressCells {
    pub(crate) category: Word,
    pub(crate) tags: Word,
    pub(crate) lists: Word,
    pub(crate) country: Word,
    pub(crate) region: Word,
    pub(crate) city: Word,
    pub(crate) owner: Word,
    pub(crate) position: Option<(f64, f64)>,
    pub(crate) accuracy: Option<f64>,
    pub(crate) number: Option<i64>,
    pub(crate) place_is_own: bool,
    pub(crate) owner_is_own: bool,
}

/// What is written for a client; its tags depend on when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentCells {
    pub(crate) family: Word,
    pub(crate) kind: Word,
    pub(crate) system: Word,
    /// By what is outdated: nothing, the browser, the system, both.
    pub(crate) tags: [Word; 4],
    pub(crate) browser_outdated: i64,
    pub(crate) system_outdated: i64,
}

impl AgentCells {
    /// The tags at a time, ms since 1970; without one nothing is outdated.
    pub(crate) fn tags_at(&self, time: Option<i64>) -> Word {
        let since = |when: i64| time.is_some_and(|time| time >= when);
        let which = usize::from(since(self.browser_outdated))
            + 2 * usize::from(since(self.system_outdated));
        self.tags.get(which).copied().unwrap_or(0)
    }
}

/// Values of one kind: what was used lately, and what was used before that.
#[derive(Debug)]
struct Generations<T> {
    young: HashMap<Box<str>, T>,
    old: HashMap<Box<str>, T>,
}

impl<T> Default for Generations<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T: Copy> Generations<T> {
    fn get(&mut self, text: &str, make: impl FnOnce() -> T) -> T {
        if let Some(value) = self.young.get(text) {
            return *value;
        }
        let value = self.old.get(text).copied().unwrap_or_else(make);
        if self.young.len() >= MOST_VALUES {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(text.into(), value);
        value
    }
}

/// The cache of one state of the sources.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    pub(crate) words: Words,
    addresses: Generations<AddressCells>,
    agents: Generations<AgentCells>,
}

impl Cache {
    /// To be called between batches: numbers of words hold within one.
    pub(crate) fn trim(&mut self) {
        if self.words.len() > MOST_WORDS {
            *self = Self::default();
        }
    }

    pub(crate) fn address(&mut self, text: &str, sources: &Sources) -> AddressCells {
        let words = &mut self.words;
        // What is longer is no address, and not worth keeping.
        if text.len() > 80 {
            return AddressCells::default();
        }
        self.addresses.get(text, || match parse_address(text) {
            Some(address) => cells(&sources.address(address), words),
            None => AddressCells::default(),
        })
    }

    pub(crate) fn agent(&mut self, text: &str, sources: &Sources) -> AgentCells {
        let words = &mut self.words;
        if text.len() > 1024 {
            return agent_cells(&sources.agent(text), words);
        }
        self.agents.get(text, || agent_cells(&sources.agent(text), words))
    }
}

fn cells(known: &Known, words: &mut Words) -> AddressCells {
    let text = |said: &Option<Said<String>>, words: &mut Words| {
        said.as_ref().map_or(0, |said| words.number(&said.value))
    };
    let joined = |all: &[Said<String>], words: &mut Words| {
        let all: Vec<&str> = all.iter().map(|said| said.value.as_str()).collect();
        words.number(&all.join(","))
    };
    AddressCells {
        category: text(&known.category, words),
        tags: joined(&known.tags, words),
        lists: joined(&known.marks, words),
        country: text(&known.country, words),
        region: text(&known.region, words),
        city: text(&known.city, words),
        owner: text(&known.owner, words),
        position: known.position.as_ref().map(|said| said.value),
        accuracy: known.accuracy.as_ref().map(|said| said.value),
        number: known.number.as_ref().map(|said| said.value),
        place_is_own: known.place_is_own,
        owner_is_own: known.owner_is_own,
    }
}

fn agent_cells(agent: &Agent, words: &mut Words) -> AgentCells {
    let mut tags = [0; 4];
    for (which, slot) in tags.iter_mut().enumerate() {
        *slot = words.number(&agent_tags(agent, which & 1 != 0, which & 2 != 0).join(","));
    }
    AgentCells {
        family: words.number(&agent.family),
        kind: words.number(agent.kind.name()),
        system: words.number(agent.system),
        tags,
        browser_outdated: agent.browser_outdated,
        system_outdated: agent.system_outdated,
    }
}

/// The tags of a client, given what is outdated of it.
pub(crate) fn agent_tags(agent: &Agent, browser: bool, system: bool) -> Vec<&'static str> {
    [
        (agent.kind == Kind::App, "native-client"),
        (browser, "outdated-browser"),
        (system, "outdated-system"),
        (agent.kind == Kind::Robot, "robot"),
    ]
    .into_iter()
    .filter(|(holds, _)| *holds)
    .map(|(_, tag)| tag)
    .collect()
}
