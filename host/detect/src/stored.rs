//! How records are kept in the store: as JSON, each with the number of its form.
//!
//! It is not where anything is decided about them.

use casbah_model::TenantName;
use casbah_store::{ScanRange, Store, Table};
use serde::{Deserialize, Serialize};

use crate::error::{DetectError, DetectErrorKind};

/// Visits the records whose keys begin with `prefix`, in order, until `visit` returns false.
pub(crate) fn each(
    store: &dyn Store,
    tenant: &TenantName,
    table: Table,
    prefix: Vec<u8>,
    mut visit: impl FnMut(&[u8]) -> Result<bool, DetectError>,
) -> Result<(), DetectError> {
    let mut failed = None;
    store.scan(tenant, table, &ScanRange::prefix(prefix), false, &mut |_, bytes| {
        visit(bytes).unwrap_or_else(|error| {
            failed = Some(error);
            false
        })
    })?;
    failed.map_or(Ok(()), Err)
}

/// The bytes of a record.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, DetectError> {
    serde_json::to_vec(value)
        .map_err(|error| DetectError::new(DetectErrorKind::Stored, error.to_string()))
}

/// Reads a record in a form up to `newest`; `what` is its name in messages.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(
    what: &str,
    bytes: &[u8],
    format: impl Fn(&T) -> u32,
    newest: u32,
) -> Result<T, DetectError> {
    let stored = |message: String| DetectError::new(DetectErrorKind::Stored, message);
    let value: T = serde_json::from_slice(bytes).map_err(|error| {
        stored(format!(
            "{what} in the store can't be read: {error}\nhint: a newer casbah may have written it"
        ))
    })?;
    match format(&value) {
        found if found > newest => Err(stored(format!(
            "{what} in the store is in form {found}, this program reads forms up to {newest}\nhint: use the newer casbah that wrote it"
        ))),
        _ => Ok(value),
    }
}
