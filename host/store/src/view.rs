//! The ordered view: what reads and scans are served from, and never the only copy.
//!
//! A view is an ordered map of byte strings with the number of the last frame that was applied to
//! it. It may vanish, refuse, or be behind at any time; then it is built again from snapshot and
//! journal. The engine in use is in [`crate::sled_view`]; tests have their own.

use std::ops::Bound;
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};
use crate::types::{ScanRange, Table};

/// Changes of a view: keys with their new values, `None` to delete.
pub(crate) type Changes = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// Why a view failed, for the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ViewError(pub(crate) String);

impl From<ViewError> for StoreError {
    fn from(error: ViewError) -> Self {
        Self::new(
            StoreErrorKind::Poisoned,
            format!(
                "the view of the data folder failed: {}\nhint: nothing is lost; start casbah again and the view is built anew from snapshot and journal",
                error.0
            ),
        )
    }
}

/// Bounds of a walk over keys.
pub(crate) type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Called with key and value until it returns false.
pub(crate) type Each<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> bool;

/// An ordered map of byte strings.
pub(crate) trait View: Send + Sync {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ViewError>;
    fn scan(&self, bounds: &Bounds, reverse: bool, each: Each<'_>) -> Result<(), ViewError>;
    /// Makes the changes and notes the number of the frame they came from, all at once.
    fn apply(&self, changes: Changes, applied: Option<u64>) -> Result<(), ViewError>;
    /// Number of the last frame applied; `None` when the view was never complete.
    fn applied(&self) -> Result<Option<u64>, ViewError>;
    /// Hands what is in memory to the operating system.
    fn flush(&self) -> Result<(), ViewError>;
}

/// A view that was there when the store was opened.
pub(crate) struct Existing {
    pub(crate) view: Arc<dyn View>,
    /// Whether it is as it was when it was closed in good order. Otherwise it must be compared with
    /// snapshot and journal before it is used.
    pub(crate) proven: bool,
}

/// Where views are kept.
pub(crate) trait Views: Send + Sync {
    /// The view as it was left, or why it cannot be used.
    fn existing(&self) -> Result<Existing, String>;
    /// An empty view, beside the one that is there.
    fn fresh(&self) -> Result<Arc<dyn View>, StoreError>;
    /// The view made last by [`Views::fresh`] is complete: it takes the place of any other.
    fn adopt(&self) -> Result<(), StoreError>;
    /// The view was closed in good order. What is given is the last handle to it.
    fn close(&self, view: Arc<dyn View>) -> Result<(), StoreError>;
    /// Bytes of the folder of the current view.
    fn bytes(&self) -> u64;
}

/// The key under which a view keeps its own applied number.
pub(crate) const APPLIED_KEY: &[u8] = &[0];
const DATA: u8 = 1;

/// Key of a value within the view: all tenants and tables in one order.
pub(crate) fn view_key(tenant: &str, table: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(tenant.len() + key.len() + 3);
    out.push(DATA);
    out.extend_from_slice(tenant.as_bytes());
    // Names have no zero byte, so no name is the beginning of another's keys.
    out.extend_from_slice(&[0, table]);
    out.extend_from_slice(key);
    out
}

/// Length of what stands before a key in the view.
pub(crate) fn view_key_prefix_len(tenant: &str) -> usize {
    tenant.len() + 3
}

/// Tenant, table and key in words, for messages.
pub(crate) fn describe_key(key: &[u8]) -> String {
    let rest = key.get(1..).unwrap_or_default();
    let mut parts = rest.splitn(2, |&byte| byte == 0);
    let tenant = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (table, key) = parts.next().and_then(|rest| rest.split_first()).unwrap_or((&0, &[]));
    let table = Table::from_tag(*table).map_or("unknown", Table::name);
    format!("{table} `{}` of tenant `{tenant}`", shown_key(key))
}

/// A key as people can read it.
pub(crate) fn shown_key(key: &[u8]) -> String {
    key.escape_ascii().to_string().chars().take(80).collect()
}

/// Bounds of all data in a view.
pub(crate) fn all_data() -> Bounds {
    (Bound::Included(vec![DATA]), Bound::Excluded(vec![DATA + 1]))
}

/// Bounds of a scan.
pub(crate) fn scan_bounds(tenant: &str, table: Table, range: &ScanRange) -> Bounds {
    let within = |key: &[u8]| view_key(tenant, table.tag(), key);
    let prefix = within(&range.prefix);
    let mut end = match successor(&prefix) {
        Some(end) => Bound::Excluded(end),
        None => Bound::Unbounded,
    };
    let mut start = prefix;
    if let Some(from) = &range.start {
        start = start.max(within(from));
    }
    if let Some(before) = &range.end {
        let before = within(before);
        end = match end {
            Bound::Excluded(end) => Bound::Excluded(end.min(before)),
            _ => Bound::Excluded(before),
        };
    }
    if let Bound::Excluded(end) = &mut end {
        // An empty range, said in a way that every engine takes.
        if *end < start {
            end.clone_from(&start);
        }
    }
    (Bound::Included(start), end)
}

/// The first key after all that begin with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let keep = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut out = prefix.get(..=keep)?.to_vec();
    if let Some(last) = out.last_mut() {
        *last += 1;
    }
    Some(out)
}
