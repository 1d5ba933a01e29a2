//! Lists of addresses that others keep: anonymizers, hosting, threats.
//!
//! A list is a text with an address, a subnet or a run a line, as Tor, X4BNet, Spamhaus and FireHOL
//! publish them, or a MISP warning list. What being on it means is the operator's to say: names
//! mislead (MISP's list `vpn-ipv4` holds whole clouds).

use std::net::IpAddr;

use casbah_yaml::suggest::shown;
use serde::Deserialize;

use crate::address::Range;
use crate::error::{EnrichErrors, EnrichProblem, EnrichProblemKind};
use crate::file;
use crate::settings::ListSettings;

const MOST_BYTES: u64 = 256 << 20;

/// A list, read.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) name: String,
    pub(crate) file: String,
    /// Digest of the file, 12 hex digits.
    pub(crate) snapshot: String,
    /// Sorted, without commas.
    pub(crate) tags: Vec<String>,
    /// Sorted, as first and last address; may overlap. Apart by family: IPv4 takes a quarter of the room.
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    pub(crate) warnings: Vec<String>,
    /// Whether there is nothing at all in the file, not even a comment.
    blank: bool,
}

impl List {
    /// Reads a list.
    pub(crate) fn open(settings: &ListSettings) -> Result<Self, EnrichErrors> {
        let file = settings.file.display().to_string();
        let (bytes, snapshot) =
            file::read(&settings.file, MOST_BYTES, "`enrich.lists` in the settings names it")?;
        let found = match bytes.trim_ascii_start().first() {
            Some(b'{' | b'[') => of_misp(&bytes, &file)?,
            _ => of_text(&bytes),
        };
        let mut list = Self {
            name: word(&settings.name),
            file,
            snapshot,
            tags: settings.tags.iter().map(|tag| word(tag)).collect(),
            v4: Vec::new(),
            v6: Vec::new(),
            warnings: Vec::new(),
            blank: bytes.trim_ascii().is_empty(),
        };
        let mut ranges = found.ranges;
        ranges.sort_unstable();
        ranges.dedup();
        for range in ranges {
            match range {
                Range::V4(first, last) => list.v4.push((first, last)),
                Range::V6(first, last) => list.v6.push((first, last)),
            }
        }
        list.v4.shrink_to_fit();
        list.v6.shrink_to_fit();
        list.tags.sort_unstable();
        list.tags.dedup();
        list.judge(found.strange, found.examples)?;
        Ok(list)
    }

    /// A line that is no address is bad luck; many are another kind of file.
    fn judge(&mut self, strange: usize, examples: Vec<String>) -> Result<(), EnrichErrors> {
        if strange > 0 {
            let message = format!(
                "{strange} of {} entries are no addresses: {}",
                strange + self.len(),
                examples.join(", ")
            );
            if strange * 100 > self.len() {
                return Err(EnrichProblem::whole(
                    EnrichProblemKind::Format,
                    &self.file,
                    message,
                    "a list has an address, a subnet or a run of addresses a line, or is a MISP warning list of type cidr",
                ).into());
            }
            self.warnings.push(message);
        }
        if self.len() == 0 {
            self.warnings.push("it holds no addresses".to_owned());
        }
        Ok(())
    }

    /// The list, unless its file is blank where there were entries: so looks a download that came to
    /// nothing. A list that is empty on purpose has a comment.
    pub(crate) fn in_place_of(self, before: usize) -> Result<Self, EnrichErrors> {
        if !self.blank || before == 0 {
            return Ok(self);
        }
        Err(EnrichProblem::whole(
            EnrichProblemKind::Format,
            &self.file,
            format!("the file is empty, and there were {before} entries before"),
            "download it again; in a list that is to be empty, write a line with a comment",
        )
        .into())
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range> {
        let v4 = self.v4.iter().map(|&(first, last)| Range::V4(first, last));
        v4.chain(self.v6.iter().map(|&(first, last)| Range::V6(first, last)))
    }

    /// The narrowest entry that holds an address. Looks through all of them.
    pub(crate) fn narrowest(&self, address: IpAddr) -> Option<Range> {
        self.ranges().filter(|range| range.contains(address)).min_by_key(|range| range.width())
    }

    /// What stands in `ip.lists`.
    pub(crate) fn mark(&self) -> String {
        format!("{}@{}", self.name, self.snapshot)
    }
}

/// A name that can stand in a list that is separated by commas.
pub(crate) fn word(text: &str) -> String {
    plain(&text.replace(',', " "))
}

/// A text without control characters, which would reach the terminals of those who read it.
pub(crate) fn plain(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    plain.trim().to_owned()
}

/// What a file holds.
#[derive(Default)]
struct Found {
    ranges: Vec<Range>,
    /// How many entries were not understood.
    strange: usize,
    /// The first of them.
    examples: Vec<String>,
}

impl Found {
    fn take(&mut self, text: &str, place: impl FnOnce() -> String) {
        match Range::parse(text) {
            Some(range) => self.ranges.push(range),
            None => {
                self.strange += 1;
                if self.examples.len() < 3 {
                    self.examples.push(format!("`{}`{}", shown(text), place()));
                }
            }
        }
    }
}

fn of_text(bytes: &[u8]) -> Found {
    let mut found = Found::default();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_start_matches('\u{feff}');
        let line = line.split(['#', ';']).next().unwrap_or_default().trim();
        // Tor's list of exits says the address in one of several kinds of line.
        let line = match line.split_once(' ') {
            Some(("ExitAddress", rest)) => rest,
            Some(("ExitNode" | "Published" | "LastStatus", _)) => "",
            _ => line,
        };
        let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
        let Some(first) = words.next() else { continue };
        // A run may have blanks around its dash; what else follows an address says something of it.
        let run = match (words.next(), words.next()) {
            (Some("-"), Some(last)) => {
                Some(format!("{first}-{last}")).filter(|run| Range::parse(run).is_some())
            }
            _ => None,
        };
        found.take(run.as_deref().unwrap_or(first), || format!(" in line {}", index + 1));
    }
    found
}

/// A warning list of MISP, or a bare array.
#[derive(Deserialize)]
#[serde(untagged)]
enum Misp {
    Whole { list: Vec<String> },
    Bare(Vec<String>),
}

fn of_misp(bytes: &[u8], file: &str) -> Result<Found, EnrichErrors> {
    let list = match serde_json::from_slice(bytes) {
        Ok(Misp::Whole { list } | Misp::Bare(list)) => list,
        Err(error) => {
            let message = match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
                Ok(_) => "the JSON has no key `list` with texts".to_owned(),
                Err(_) => format!("this is not JSON: {error}"),
            };
            return Err(EnrichProblem::whole(
                EnrichProblemKind::Format,
                file,
                message,
                "a MISP warning list has its entries under `list`",
            )
            .into());
        }
    };
    let mut found = Found::default();
    for entry in &list {
        found.take(entry, String::new);
    }
    Ok(found)
}
