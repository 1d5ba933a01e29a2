//! Reads the users of a repository, and the one the token belongs to.

use casbah_plugin::body::{span, text, unmarked};
use casbah_plugin::record::members;
use casbah_plugin::{Batch, BatchBuilder, Failure, facts};
use serde_json::value::RawValue;

use crate::body::items;
use crate::failure::{empty, malformed};
use crate::normalize::read_time;
use crate::record;

/// The users of a repository, and where each stands in the body.
///
/// # Errors
/// `malformed` when the answer is no list, `forbidden` when it is empty: at least the account that
/// asks must be in it, and an empty one would take everybody for gone.
pub(crate) fn read(body: &[u8]) -> Result<(Batch, Vec<u32>), Failure> {
    let (text, skipped) = unmarked(text(body)?);
    let wrong = || malformed("the answer is not a list of users");
    let value: &RawValue = serde_json::from_str(text).map_err(|_| wrong())?;
    let list = match items(value) {
        Some(list) => list,
        None => members(value)
            .and_then(|members| members.into_iter().find_map(|(_, inner)| items(inner)))
            .ok_or_else(wrong)?,
    };
    let mut builder = BatchBuilder::new();
    let mut raw = Vec::with_capacity(list.len() * 2);
    for user in list {
        let record = record::members(user.get()).map_err(|error| malformed(&error))?;
        // Without an id there is nothing that an account could be known by.
        if add(&mut builder, &record) {
            raw.extend(span(text, user.get()).map(|at| at + skipped as u32));
        }
    }
    if builder.rows() == 0 {
        return Err(empty("the repository seems to have no users"));
    }
    Ok((builder.finish(), raw))
}

fn member<'a>(record: &'a [(String, String)], names: &[&str]) -> &'a str {
    record
        .iter()
        .find(|(path, _)| names.iter().any(|name| path.eq_ignore_ascii_case(name)))
        .map_or("", |(_, value)| value.as_str())
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "external" => Some(true),
        "false" | "0" | "internal" => Some(false),
        _ => None,
    }
}

fn add(builder: &mut BatchBuilder, record: &[(String, String)]) -> bool {
    let id = member(record, &["id", "guid"]);
    if id.is_empty() {
        return false;
    }
    builder.begin_row();
    builder.text("id", id);
    builder.text("email", member(record, &["email"]));
    builder.text("name", member(record, &["displayName", "name"]));
    builder.text("type", "user");
    // Said by the list only of those who have not signed in yet; nobody else's state is known.
    match flag(member(record, &["registered"])) {
        Some(true) => builder.text("status", "active"),
        Some(false) => builder.text("status", "pending"),
        None => {}
    }
    if let Some(external) = flag(member(record, &["external", "memberType"])) {
        builder.flag("external", external);
    }
    if let Some(seen) = read_time(member(record, &["lastLogin"])) {
        builder.integer("seen", seen);
    }
    true
}

/// Reads who the token belongs to, as facts.
///
/// # Errors
/// `malformed` when it is no user.
pub(crate) fn read_me(body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let (text, _) = unmarked(text(body)?);
    let wrong = || malformed("the answer is not a user");
    if !text.trim_start().starts_with('{') {
        return Err(wrong());
    }
    let record = record::members(text).map_err(|_| wrong())?;
    let facts = [
        (facts::ACCOUNT_ID, member(&record, &["id"])),
        (facts::ACCOUNT_EMAIL, member(&record, &["email"])),
        (facts::ORGANIZATION_NAME, member(&record, &["organization"])),
    ];
    if member(&record, &["id"]).is_empty() {
        return Err(wrong());
    }
    let said = facts.into_iter().filter(|(_, value)| !value.is_empty());
    Ok(said.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}
