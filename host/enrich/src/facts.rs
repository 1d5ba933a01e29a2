//! What is known of one address or one client, and from where, for people.

use std::net::IpAddr;

use serde::Serialize;

use crate::address::Range;
use crate::agent::Agent;
use crate::cache::agent_tags;
use crate::releases::{AS_OF, NEVER};
use crate::sources::{From, Known, Said, Sources};

/// A fact: the column it fills, its value, and where it is from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fact {
    /// Name of the column, or of what is told beside it.
    pub fact: &'static str,
    /// Its value.
    pub value: serde_json::Value,
    /// Where it is from: the file, its snapshot, and the entry in it.
    pub from: String,
}

/// What is known of one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Facts {
    /// What was asked for, in its shortest form.
    pub value: String,
    /// What is known of it.
    pub facts: Vec<Fact>,
    /// What can't be known, and why.
    pub notes: Vec<String>,
}

impl Facts {
    /// The value of a fact as text; the empty text when it is not known.
    pub fn text(&self, fact: &str) -> String {
        let found = self.facts.iter().find(|known| known.fact == fact);
        found.map_or_else(String::new, |known| match &known.value {
            serde_json::Value::String(text) => text.clone(),
            value => value.to_string(),
        })
    }
}

pub(crate) fn address(sources: &Sources, address: IpAddr) -> Facts {
    let known = sources.address(address);
    let mut facts = Vec::new();
    let range = sources.range(address);
    if let Some((_, range)) = range {
        let said = Said { value: range.name.as_str(), from: From::Ranges };
        facts.push(fact(sources, address, "range", &said));
    }
    let Known {
        category,
        tags,
        marks,
        country,
        region,
        city,
        position,
        accuracy,
        number,
        owner,
        ..
    } = &known;
    let mut take = |name, said: &Option<Said<String>>| {
        facts.extend(said.as_ref().map(|said| fact(sources, address, name, said)));
    };
    take("ip.category", category);
    for tag in tags {
        take("ip.tags", &Some(tag.clone()));
    }
    for mark in marks {
        take("ip.lists", &Some(mark.clone()));
    }
    take("country", country);
    take("region", region);
    take("city", city);
    let part = |which: fn((f64, f64)) -> f64| {
        position.as_ref().map(|said| Said { value: which(said.value), from: said.from })
    };
    for (name, said) in
        [("latitude", part(|p| p.0)), ("longitude", part(|p| p.1)), ("accuracy", accuracy.clone())]
    {
        facts.extend(said.map(|said| fact(sources, address, name, &said)));
    }
    facts.extend(number.iter().map(|said| fact(sources, address, "network.number", said)));
    facts.extend(owner.iter().map(|said| fact(sources, address, "network.owner", said)));
    Facts { value: address.to_string(), facts, notes: notes(sources) }
}

fn fact<T: Clone + Into<serde_json::Value>>(
    sources: &Sources,
    address: IpAddr,
    fact: &'static str,
    said: &Said<T>,
) -> Fact {
    Fact { fact, value: said.value.clone().into(), from: source(sources, address, said.from) }
}

fn source(sources: &Sources, address: IpAddr, from: From) -> String {
    let (file, snapshot, entry) = match from {
        From::Ranges => {
            let Some(ranges) = &sources.ranges else { return String::new() };
            let line = sources.range(address).map(|(subnet, known)| {
                format!("{subnet} of `{}` in line {}", known.name, known.line)
            });
            (&ranges.source.file, &ranges.source.snapshot, line)
        }
        From::Geo(index) => {
            let Some(loaded) = sources.geo.get(index) else { return String::new() };
            (&loaded.source.file, &loaded.source.snapshot, loaded.source.network(address))
        }
        From::List(index) => {
            let Some(loaded) = sources.lists.get(index) else { return String::new() };
            let entry = loaded.source.narrowest(address).as_ref().map(Range::to_string);
            (&loaded.source.file, &loaded.source.snapshot, entry)
        }
    };
    match entry {
        Some(entry) => format!("{file}@{snapshot}, {entry}"),
        None => format!("{file}@{snapshot}"),
    }
}

pub(crate) fn agent(sources: &Sources, text: &str, time: i64) -> Facts {
    let agent: Agent = sources.agent(text);
    let mut facts = Vec::new();
    let mut take = |fact, value: &str, from: &str| {
        if !value.is_empty() {
            facts.push(Fact { fact, value: value.into(), from: from.to_owned() });
        }
    };
    let said = "what the client says";
    take("user-agent.family", &agent.family, said);
    take("user-agent.kind", agent.kind.name(), said);
    take("user-agent.system", agent.system, said);
    let since = |when: i64| when != NEVER && time >= when;
    let (browser, system) = (since(agent.browser_outdated), since(agent.system_outdated));
    for tag in agent_tags(&agent, browser, system) {
        let when = match tag {
            "outdated-browser" => Some(agent.browser_outdated),
            "outdated-system" => Some(agent.system_outdated),
            _ => None,
        };
        let from = when.map_or_else(
            || said.to_owned(),
            |when| {
                let day = casbah_model::time::format(when);
                let day = day.split('T').next().unwrap_or_default();
                format!("built-in table of releases of {AS_OF}: since {day}")
            },
        );
        take("user-agent.tags", tag, &from);
    }
    Facts { value: text.to_owned(), facts, notes: Vec::new() }
}

/// What no source tells.
pub(crate) fn notes(sources: &Sources) -> Vec<String> {
    let knows = |what: fn(&crate::geo::Database) -> bool| {
        sources.geo.iter().any(|loaded| what(&loaded.source))
    };
    let mut notes = Vec::new();
    let mut note = |known: bool, text: &str| {
        if !known {
            notes.push(text.to_owned());
        }
    };
    note(
        knows(|database| database.knows.countries),
        "no database of `enrich.geo` knows countries: places are absent, except where a range or the app itself says them",
    );
    note(
        knows(|database| database.knows.positions) || !knows(|database| database.knows.countries),
        "no database of `enrich.geo` knows coordinates: travel can't be judged",
    );
    note(
        knows(|database| database.knows.networks),
        "no database of `enrich.geo` knows networks: their owners are absent",
    );
    note(
        knows(|database| database.knows.tags) || !sources.lists.is_empty(),
        "there are neither lists nor a database of anonymizers: `ip.tags` are those of your own ranges alone",
    );
    notes
}
