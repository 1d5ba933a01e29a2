//! Enrichment from the outside: files in, columns and facts out.

mod agents;
mod columns;
mod lists;
mod maxmind;
mod mmdb;
mod ranges;
mod reload;

use std::path::{Path, PathBuf};

use casbah_enrich::{EnrichSettings, Enricher};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn with_geo(names: &[&str]) -> Enricher {
    let geo = names.iter().map(|name| data("maxmind").join(name)).collect();
    Enricher::open(&EnrichSettings { geo, ..EnrichSettings::default() }).unwrap()
}

/// A message without the folder it was made in.
fn in_folder(message: impl ToString, folder: &Path) -> String {
    message.to_string().replace(&format!("{}/", folder.display()), "")
}
