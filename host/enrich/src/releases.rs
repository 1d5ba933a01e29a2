//! When versions of browsers and systems went out of date: two small tables with their dates.
//!
//! *Outdated* never depends on today's date, only on the tables and on when an activity happened, so
//! that the same log always says the same. Sources and rules stand at the head of each table.

use casbah_model::time;
use hashbrown::HashMap;

const BROWSERS: &str = include_str!("../data/browsers.csv");
const SYSTEMS: &str = include_str!("../data/systems.csv");
/// When the newer of the two tables was made.
pub(crate) const AS_OF: &str = "2026-11-20";

/// A year, ms.
const GRACE: i64 = 365 * 86_400_000;
/// A version that is not known to be out of date, ever.
pub(crate) const NEVER: i64 = i64::MAX;

/// Major and minor number.
pub(crate) type Version = (u32, u32);

/// Version and time (ms since 1970) by family, in rising order of versions.
type Rows = HashMap<&'static str, Vec<(Version, i64)>>;

/// The tables.
#[derive(Clone, Debug)]
pub(crate) struct Releases {
    browsers: Rows,
    systems: Rows,
}

impl Releases {
    pub(crate) fn new() -> Self {
        Self { browsers: read(BROWSERS), systems: read(SYSTEMS) }
    }

    /// From when on a version of a browser counts as outdated, ms since 1970: a year after the next
    /// version came out.
    pub(crate) fn browser(&self, family: &str, version: Version) -> i64 {
        let Some(rows) = self.browsers.get(family) else { return NEVER };
        let next = rows.iter().find(|(other, _)| *other > version);
        next.map_or(NEVER, |(_, released)| released.saturating_add(GRACE))
    }

    /// From when on a version of a system counts as outdated, ms since 1970: the end of its support.
    pub(crate) fn system(&self, family: &str, version: Version) -> i64 {
        let Some(rows) = self.systems.get(family) else { return NEVER };
        match rows.first() {
            Some(&(oldest, ended)) if version < oldest => ended,
            _ => {
                rows.iter().find(|(other, _)| *other == version).map_or(NEVER, |&(_, ended)| ended)
            }
        }
    }

    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.browsers.values().chain(self.systems.values()).map(Vec::len).sum()
    }
}

/// Lines that are no rows are passed over; a test holds the tables to having none.
fn read(text: &'static str) -> Rows {
    let mut rows = Rows::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some((family, version, time)) = row(line) {
            rows.entry(family).or_default().push((version, time));
        }
    }
    for versions in rows.values_mut() {
        versions.sort_unstable();
    }
    rows
}

fn row(line: &'static str) -> Option<(&'static str, Version, i64)> {
    let mut cells = line.split(',');
    let (family, version, day) = (cells.next()?, cells.next()?, cells.next()?);
    Some((family, self::version(version), time::parse(&format!("{day}T00:00:00Z"))?))
}

/// The first two numbers of a version such as `120.0.6099.1` or `17_4`; what is missing is nought.
pub(crate) fn version(text: &str) -> Version {
    let mut numbers = text
        .split(['.', '_'])
        .map(|part| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
        .map(|digits| digits.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_a_row() {
        for text in [BROWSERS, SYSTEMS] {
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                assert!(row(line).is_some(), "{line}");
            }
        }
        assert!(Releases::new().len() > 450);
    }

    /// A browser is outdated a year after its successor, whatever today is.
    #[test]
    fn a_browser_is_outdated_a_year_after_its_successor() {
        let releases = Releases::new();
        let day = |text: &str| time::parse(&format!("{text}T00:00:00Z")).unwrap();
        // Chrome 121 came out on 23 January 2024.
        assert_eq!(releases.browser("chrome", (120, 0)), day("2024-01-23") + GRACE);
        // What is older than the table counts with its first row that is newer: Chrome 72.
        assert_eq!(releases.browser("chrome", (49, 0)), day("2019-01-29") + GRACE);
        assert_eq!(releases.browser("chrome", (157, 0)), NEVER, "the newest");
        assert_eq!(releases.browser("chrome", (900, 0)), NEVER, "newer than the table");
        assert_eq!(releases.browser("lynx", (2, 8)), NEVER, "unknown");
        assert_eq!(releases.system("windows", (6, 1)), day("2020-01-14"));
        assert_eq!(releases.system("windows", (10, 0)), NEVER);
        assert_eq!(releases.system("windows", (5, 0)), day("2014-04-08"));
        assert_eq!(releases.system("ios", (12, 0)), NEVER, "it still got updates");
    }
}
