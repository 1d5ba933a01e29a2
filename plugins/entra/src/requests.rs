//! What the streams have in common: names, requests, cursors.
//!
//! A cursor is a small JSON text of our own; nobody else reads it.

use casbah_plugin::{Failure, HttpRequest, PlanRequest};
use serde::{Deserialize, Serialize};

use crate::link;

/// The streams.
pub(crate) mod stream {
    pub(crate) const USERS: &str = "users";
    pub(crate) const DELETED: &str = "deleted-users";
    pub(crate) const LEAVERS: &str = "leavers";
    pub(crate) const MEMBERS: &str = "members";
    pub(crate) const SIGN_INS: &str = "sign-ins";
    pub(crate) const FACTS: &str = "facts";
}

/// A request for a path with these parameters.
pub(crate) fn get(path: String, query: &[(&str, String)]) -> HttpRequest {
    with(path, query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
}

/// A request that follows a link out of a cursor.
///
/// # Errors
/// `malformed` when it is none that we have kept.
pub(crate) fn follow(target: &str) -> Result<HttpRequest, Failure> {
    if let Err(why) = link::check(target) {
        return Err(link::refuse(target, why));
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    Ok(with(path.to_owned(), link::query(target)?))
}

fn with(path: String, query: Vec<(String, String)>) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        host: "api".to_owned(),
        path,
        query,
        headers: vec![
            ("accept".to_owned(), "application/json".to_owned()),
            // What people wait for goes first; this is none of it.
            ("x-ms-throttle-priority".to_owned(), "Low".to_owned()),
        ],
        body: Vec::new(),
    }
}

/// A cheap request that anybody may make who may read users: for a stream that has nothing to ask.
pub(crate) fn probe() -> HttpRequest {
    get("/v1.0/users".to_owned(), &[("$select", "id".to_owned()), ("$top", "1".to_owned())])
}

/// Reads a cursor of ours; one that can't be read counts as none, and reading starts again.
pub(crate) fn cursor<T: Default + for<'de> Deserialize<'de>>(request: &PlanRequest) -> T {
    serde_json::from_str(request.cursor.as_deref().unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn write(cursor: &impl Serialize) -> String {
    // Our cursors are plain: writing them can't fail.
    serde_json::to_string(cursor).unwrap_or_default()
}

/// Whether the request at hand follows a link.
pub(crate) fn follows(request: &PlanRequest) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Any {
        link: Option<String>,
    }
    !request.recover && cursor::<Any>(request).link.is_some()
}
