//! The company of casbah's demo: three simulated apps, what was planted in them, and the files that an
//! organization keeps itself.
//!
//! It is a test tool: it knows nothing of casbah but the form of its settings.

mod geo;
mod story;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

pub use story::{Planted, Scale, Story, last_friday};

/// What the organization keeps itself, as it is.
const FILES: [(&str, &str); 3] = [
    ("ip-ranges.yaml", include_str!("../data/ip-ranges.yaml")),
    ("tor-exits.txt", include_str!("../data/tor-exits.txt")),
    ("brute-force.txt", include_str!("../data/brute-force.txt")),
];
/// Where `casbah` finds them.
const SETTINGS: &str = "\
backfill-days = 75

[enrich]
geo = [\"places.mmdb\"]
ranges = \"ip-ranges.yaml\"
lists = [
    {name = \"tor-exits\", file = \"tor-exits.txt\", tags = [\"tor\"]},
    {name = \"brute-force\", file = \"brute-force.txt\", tags = [\"brute-force\"]},
]

[directory]
file = \"people.csv\"
";

/// Writes what casbah is to find: settings, a database of places, own ranges, lists, who is to leave;
/// and what was planted. `now` is in ms since 1970.
///
/// # Errors
/// When a file can't be written.
pub fn prepare(folder: &Path, story: &Story, now: i64) -> Result<()> {
    let write = |name: &str, content: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))
    };
    for (name, content) in FILES {
        write(name, content.as_bytes())?;
    }
    write("casbah.toml", SETTINGS.as_bytes())?;
    write("people.csv", story.people.as_bytes())?;
    write("places.mmdb", &geo::database((now / 1000) as u64)?)?;
    write("planted.json", serde_json::to_string_pretty(&story.planted)?.as_bytes())
}
