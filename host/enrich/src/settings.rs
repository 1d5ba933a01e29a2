//! What enrichment is fed from: files of the operator's choice.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The `[enrich]` part of the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EnrichSettings {
    /// Databases in MaxMind's format, the one to believe first; IPv4 and IPv6 may be two files.
    pub geo: Vec<PathBuf>,
    /// The organization's own ranges, usually `ip-ranges.yaml`.
    pub ranges: Option<PathBuf>,
    /// Lists of addresses that others keep.
    pub lists: Vec<ListSettings>,
}

/// A list of addresses, and what it means to be on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ListSettings {
    /// Name, as it stands in `ip.lists`.
    pub name: String,
    /// Plain text (an address, subnet or run a line) or a MISP warning list.
    pub file: PathBuf,
    /// The tags that addresses on it get, e.g. `tor`.
    pub tags: Vec<String>,
}

impl EnrichSettings {
    /// The same with relative paths meant from this folder.
    #[must_use]
    pub fn from_folder(mut self, folder: &Path) -> Self {
        let paths = self.geo.iter_mut().chain(&mut self.ranges);
        for path in paths.chain(self.lists.iter_mut().map(|list| &mut list.file)) {
            *path = folder.join(&*path);
        }
        self
    }

    /// Whether nothing is named.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
