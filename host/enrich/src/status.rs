//! What is loaded, how old it is, and what is wrong with it.

use serde::Serialize;

use crate::facts;
use crate::releases::AS_OF;
use crate::sources::Sources;

/// A database that is older than this is warned of: addresses change hands. Days.
pub const OLD_DAYS: i64 = 45;
/// A table of releases that is older than this is warned of. Days.
const OLD_RELEASES_DAYS: i64 = 400;
const DAY: i64 = 86_400_000;

/// A source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SourceStatus {
    /// `geo`, `ranges`, `list` or `user-agents`.
    pub source: &'static str,
    /// Its name: of a list the one in the settings, of a database what its maker calls it.
    pub name: String,
    /// Its file.
    pub file: String,
    /// First 12 hex digits of the file's BLAKE3 digest.
    pub snapshot: String,
    /// When it was made, ms since 1970, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub built: Option<i64>,
    /// Its size: entries of a list, subnets of ranges, nodes of a database, rows of a table.
    pub entries: u64,
    /// What its addresses get.
    pub gives: Vec<String>,
    /// What is doubtful about it.
    pub warnings: Vec<String>,
}

impl SourceStatus {
    /// Its age in whole days, where it says when it was made. `now` in ms since 1970.
    pub fn age_days(&self, now: i64) -> Option<i64> {
        self.built.map(|built| now.saturating_sub(built).max(0) / DAY)
    }
}

/// Everything that is loaded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnrichStatus {
    /// The sources, in the order of the settings.
    pub sources: Vec<SourceStatus>,
    /// What no source tells.
    pub notes: Vec<String>,
}

impl EnrichStatus {
    /// Every warning, with the file it is about.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.sources.iter().flat_map(|source| {
            source.warnings.iter().map(move |warning| format!("{}: {warning}", source.file))
        })
    }
}

pub(crate) fn of(sources: &Sources, now: i64) -> EnrichStatus {
    let refused = |trouble: &Option<String>| {
        trouble.iter().map(|why| format!("a newer file was refused: {why}")).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for loaded in &sources.geo {
        let database = &loaded.source;
        let knows = database.knows;
        let gives = [
            (knows.countries, "country"),
            (knows.positions, "coordinates"),
            (knows.networks, "network"),
            (knows.tags, "tags"),
        ];
        let mut status = SourceStatus {
            source: "geo",
            name: database.kind.clone(),
            file: database.file.clone(),
            snapshot: database.snapshot.clone(),
            built: Some(database.built),
            entries: database.nodes,
            gives: gives
                .iter()
                .filter(|(known, _)| *known)
                .map(|(_, what)| (*what).to_owned())
                .collect(),
            warnings: refused(&loaded.trouble),
        };
        if let Some(age) = status.age_days(now).filter(|&age| age > OLD_DAYS) {
            status
                .warnings
                .push(format!("it is {age} days old; addresses change hands: get a newer one"));
        }
        if status.gives.is_empty() {
            status.warnings.push("it knows nothing that casbah asks for".to_owned());
        }
        if database.failures() > 0 {
            status.warnings.push(format!("{} look-ups failed", database.failures()));
        }
        all.push(status);
    }
    if let Some(loaded) = &sources.ranges {
        let (ranges, subnets) = loaded.source.len();
        all.push(SourceStatus {
            source: "ranges",
            name: format!("{ranges} ranges"),
            file: loaded.source.file.clone(),
            snapshot: loaded.source.snapshot.clone(),
            built: None,
            entries: subnets as u64,
            gives: vec!["category".to_owned()],
            warnings: refused(&loaded.trouble),
        });
    }
    for loaded in &sources.lists {
        let list = &loaded.source;
        let mut warnings = refused(&loaded.trouble);
        warnings.extend(list.warnings.iter().cloned());
        all.push(SourceStatus {
            source: "list",
            name: list.name.clone(),
            file: list.file.clone(),
            snapshot: list.snapshot.clone(),
            built: None,
            entries: list.len() as u64,
            gives: list.tags.clone(),
            warnings,
        });
    }
    let mut releases = SourceStatus {
        source: "user-agents",
        name: format!("releases as of {AS_OF}"),
        file: "built-in".to_owned(),
        snapshot: String::new(),
        built: casbah_model::time::parse(&format!("{AS_OF}T00:00:00Z")),
        entries: sources.releases.len() as u64,
        gives: ["outdated-browser", "outdated-system"].map(str::to_owned).into(),
        warnings: Vec::new(),
    };
    if let Some(age) = releases.age_days(now).filter(|&age| age > OLD_RELEASES_DAYS) {
        releases.warnings.push(format!(
            "the table of releases is {age} days old: newer versions are never outdated; a newer casbah has a newer table"
        ));
    }
    all.push(releases);
    EnrichStatus { sources: all, notes: facts::notes(sources) }
}
