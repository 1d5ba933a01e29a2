//! What the tests share.

use std::path::{Path, PathBuf};

use casbah_enrich::{EnrichSettings, Enricher};

/// A file of the tests' data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// With these databases of MaxMind's.
pub(crate) fn with_geo(names: &[&str]) -> Enricher {
    let geo = names.iter().map(|name| data("maxmind").join(name)).collect();
    Enricher::open(&EnrichSettings { geo, ..EnrichSettings::default() }).unwrap()
}

/// A message without the folder it was made in.
pub(crate) fn in_folder(message: impl ToString, folder: &Path) -> String {
    message.to_string().replace(&format!("{}/", folder.display()), "")
}
