//! Members of the chosen groups, nested ones included: group by group, page by page.

use casbah_plugin::{
    Batch, BatchBuilder, Failure, HttpRequest, Next, Page, PlanRequest, Response, class,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::envelope;
use crate::failure::{malformed, printable, refused as refuse, unreadable};
use crate::requests::{cursor, follow, get, probe, write};
use crate::settings::{Settings, is_id};

const REMEDY: &str = "Correct `groups` in the settings of the connection: each is a group's object \
    id or its display name, as Entra shows them.";

/// Where a round stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// Which of the chosen groups.
    group: usize,
    /// Its id and name, once they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<(String, String)>,
    /// Path and query of the next page of its members.
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

/// The place in the round, and the group that it is about.
fn place<'a>(request: &PlanRequest, settings: &'a Settings) -> (Cursor, Option<&'a str>) {
    let kept: Cursor = if request.recover { Cursor::default() } else { cursor(request) };
    match settings.groups.get(kept.group) {
        Some(group) => (kept, Some(group.trim())),
        // The list of groups has become shorter.
        None => (Cursor::default(), settings.groups.first().map(|group| group.trim())),
    }
}

/// The next request.
///
/// # Errors
/// `malformed` when the cursor holds no link of ours.
pub(crate) fn plan(request: &PlanRequest, settings: &Settings) -> Result<HttpRequest, Failure> {
    let (kept, group) = place(request, settings);
    let Some(group) = group else { return Ok(probe()) };
    match (kept.found, kept.link) {
        (None, _) => Ok(find(group)),
        (Some(_), Some(link)) => follow(&link),
        (Some((id, _)), None) if is_id(&id) => Ok(get(
            format!("/v1.0/groups/{id}/transitiveMembers/microsoft.graph.user"),
            &[("$select", "id".to_owned()), ("$top", request.page_size.clamp(1, 999).to_string())],
        )),
        (Some(_), None) => Err(malformed("the id of a group is none")),
    }
}

/// Asks for a group by its id or name.
pub(crate) fn find(group: &str) -> HttpRequest {
    let select = ("$select", "id,displayName".to_owned());
    if is_id(group) {
        return get(format!("/v1.0/groups/{group}"), &[select]);
    }
    let filter = format!("displayName eq '{}'", group.replace('\'', "''"));
    get("/v1.0/groups".to_owned(), &[("$filter", filter), select, ("$top", "2".to_owned())])
}

/// Makes a page of memberships of an answer.
///
/// # Errors
/// `refused` when a group is not there or can't be told from another, `malformed` when the answer is
/// no group or no list of members.
pub(crate) fn read(response: &Response, settings: &Settings) -> Result<Page, Failure> {
    let request = &response.request;
    let (kept, group) = place(request, settings);
    let Some(group) = group else {
        envelope::list(response)?;
        return Ok(page(Next::CaughtUp, &Cursor::default(), Batch::default(), Vec::new()));
    };
    let Some((id, name)) = kept.found else {
        let found = Some(read_group(response, group)?);
        return Ok(page(Next::More, &Cursor { found, ..kept }, Batch::default(), Vec::new()));
    };
    let list = envelope::list(response)?;
    let mut builder = BatchBuilder::new();
    let mut raw = Vec::with_capacity(list.spans.len());
    let (spans, _) = list.spans.as_chunks::<2>();
    for (item, span) in list.items.iter().zip(spans) {
        let member: Option<Value> = serde_json::from_str(item.get()).ok();
        let text = |name| member.as_ref().and_then(|it| it.get(name)).and_then(Value::as_str);
        // Only users are asked for; what says that it is something else is passed over all the same.
        let user = text("@odata.type").is_none_or(|kind| kind.ends_with(".user"));
        if let Some(id) = text("id").filter(|id| user && !id.is_empty()) {
            builder.begin_row();
            builder.text("id", id);
            builder.text("group", &name);
            raw.extend_from_slice(span);
        }
    }
    let batch = builder.finish();
    Ok(match list.next {
        Some(link) => {
            let after = Cursor { link: Some(link), found: Some((id, name)), ..kept };
            page(Next::More, &after, batch, raw)
        }
        None if kept.group + 1 < settings.groups.len() => {
            page(Next::More, &Cursor { group: kept.group + 1, ..Cursor::default() }, batch, raw)
        }
        None => page(Next::CaughtUp, &Cursor::default(), batch, raw),
    })
}

fn page(next: Next, cursor: &Cursor, batch: Batch, raw: Vec<u32>) -> Page {
    Page { next, cursor: write(cursor), batch, raw, facts: Vec::new() }
}

/// Id and name of the group that was asked for.
///
/// # Errors
/// `refused` when there is none, or more than one of that name.
pub(crate) fn read_group(response: &Response, group: &str) -> Result<(String, String), Failure> {
    let shown = printable(group, 80);
    let value: Value = serde_json::from_slice(response.body.trim_ascii())
        .map_err(|_| unreadable(response, malformed("the answer is no group")))?;
    let found = match value.get("value").and_then(Value::as_array).map(Vec::as_slice) {
        None => &value,
        Some([one]) => one,
        Some([]) => return Err(refuse(format!("there is no group `{shown}`"), REMEDY)),
        Some(_) => {
            let message = format!("more than one group is called `{shown}`; give the id instead");
            return Err(refuse(message, REMEDY));
        }
    };
    let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = text("id");
    if !is_id(id) {
        return Err(unreadable(response, malformed("the answer is no group")));
    }
    // Without the right to read it, the name is null.
    let name = if text("displayName").is_empty() { group } else { text("displayName") };
    // Names stand in lists that commas divide.
    Ok((id.to_owned(), name.replace(',', " ")))
}

/// A failure in the words of this stream.
pub(crate) fn refused(response: &Response, settings: &Settings, failure: Failure) -> Failure {
    match place(&response.request, settings) {
        (_, Some(group)) if response.status == 404 => Failure {
            class: class::REFUSED.to_owned(),
            message: format!("there is no group `{}`", printable(group, 80)),
            remedy: REMEDY.to_owned(),
            ..failure
        },
        _ => failure,
    }
}
