//! Users and groups, with offset paging.

use casbah_sim::Parameters;
use casbah_sim::random::mix;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::audit::not_valid;
use crate::company::{Company, Group, User};
use crate::text::time;

/// `GET /users/me`.
pub(crate) fn me(company: &Company, user: &User, given: &Parameters) -> Answer {
    let mut value = user_value(company, user, user.admin(), true, given.is_true("numericDates"));
    if let Value::Object(map) = &mut value {
        map.insert("account".to_owned(), json!({"id": company.account_id, "name": company.name}));
        map.insert("locale".to_owned(), json!("en_US"));
        map.insert("timeZone".to_owned(), json!(user.zone));
        map.insert("alternateEmails".to_owned(), json!([]));
        if given.get("include").is_some_and(|include| include.split(',').any(|i| i == "groups")) {
            let mine: Vec<Value> = company
                .groups
                .iter()
                .filter(|group| member_ids(company, group).any(|id| id == user.id))
                .map(|group| group_value(company, group))
                .collect();
            map.insert("groups".to_owned(), Value::Array(mine));
        }
    }
    Answer::value(&value)
}

/// `GET /users`.
pub(crate) fn users(company: &Company, admin: bool, given: &Parameters) -> Answer {
    let include = given.get("include").unwrap_or_default();
    let last_login = admin && include.split(',').any(|name| name == "lastLogin");
    let emails: Option<Vec<String>> =
        given.get("email").map(|list| list.split(',').map(str::to_lowercase).collect());
    let wanted = |user: &&User| {
        user.listed && emails.as_ref().is_none_or(|list| list.contains(&user.email.to_lowercase()))
    };
    let found: Vec<&User> = company.users.iter().filter(wanted).collect();
    let numeric = given.is_true("numericDates");
    let write = |user: &&User| user_value(company, user, admin, last_login, numeric);
    offset_page(&found, given, if last_login { 100 } else { 10_000 }, write)
}

/// `GET /users/{id}`.
pub(crate) fn user(company: &Company, admin: bool, id: &str, given: &Parameters) -> Answer {
    let Ok(number) = id.parse::<i64>() else { return not_valid(id, "userId") };
    match company.user_by_id(number) {
        Some(user) => {
            let numeric = given.is_true("numericDates");
            Answer::value(&user_value(company, user, admin, true, numeric))
        }
        None => Answer::error(404, 1020, "User not found."),
    }
}

/// `GET /groups`.
pub(crate) fn groups(company: &Company, given: &Parameters) -> Answer {
    let found: Vec<&Group> = company.groups.iter().collect();
    offset_page(&found, given, 10_000, |group| group_value(company, group))
}

/// `GET /groups/{id}`.
pub(crate) fn group(company: &Company, id: &str) -> Answer {
    let Ok(number) = id.parse::<i64>() else { return not_valid(id, "groupId") };
    let Some(group) = company.groups.iter().find(|group| group.id == number) else {
        return Answer::error(404, 1106, "Group not found.");
    };
    let mut value = group_value(company, group);
    let members: Vec<Value> = group
        .members
        .iter()
        .filter_map(|&at| company.users.get(at as usize))
        .map(|user| {
            json!({"id": user.id, "email": user.email, "name": full_name(user),
                "firstName": user.first, "lastName": user.last})
        })
        .collect();
    if let Value::Object(map) = &mut value {
        map.insert("members".to_owned(), Value::Array(members));
    }
    Answer::value(&value)
}

/// A page of a list; past the end comes the last page again.
fn offset_page<T>(
    all: &[T],
    given: &Parameters,
    largest: usize,
    write: impl Fn(&T) -> Value,
) -> Answer {
    let number = |name: &str, default: usize| match given.get(name) {
        None => Ok(default),
        Some(text) => match text.parse::<usize>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(not_valid(text, name)),
        },
    };
    let (page, size) = match (number("page", 1), number("pageSize", 100)) {
        (Ok(page), Ok(size)) => (page, size.min(largest)),
        (Err(answer), _) | (_, Err(answer)) => return answer,
    };
    let size = if given.is_true("includeAll") { all.len().max(1) } else { size };
    let pages = all.len().div_ceil(size).max(1);
    let page = page.min(pages);
    let data: Vec<Value> = all.iter().skip((page - 1) * size).take(size).map(write).collect();
    Answer::value(&json!({
        "pageNumber": page, "pageSize": size, "totalPages": pages, "totalCount": all.len(),
        "data": data,
    }))
}

fn full_name(user: &User) -> String {
    format!("{} {}", user.first, user.last)
}

fn member_ids<'a>(company: &'a Company, group: &'a Group) -> impl Iterator<Item = i64> + 'a {
    group.members.iter().filter_map(|&at| company.users.get(at as usize)).map(|user| user.id)
}

fn group_value(company: &Company, group: &Group) -> Value {
    let owner = company.users.get(group.owner as usize);
    json!({
        "id": group.id,
        "name": group.name,
        "description": "",
        "owner": owner.map(|user| user.email.as_str()),
        "ownerId": owner.map(|user| user.id),
        "createdAt": time(company.start() - 90 * 86_400_000),
        "modifiedAt": time(company.start() - 9 * 86_400_000),
    })
}

/// A user as an administrator sees them, or, with less, as others do.
fn user_value(
    company: &Company,
    user: &User,
    admin: bool,
    last_login: bool,
    numeric: bool,
) -> Value {
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| map.insert(name.to_owned(), value);
    put("id", json!(user.id));
    put("email", json!(user.email));
    let draw = mix(user.id as u64, 3);
    // Some have no name, since they never filled it in.
    if !draw.is_multiple_of(23) {
        put("name", json!(full_name(user)));
    }
    put("firstName", json!(user.first));
    put("lastName", json!(user.last));
    if admin {
        put("admin", json!(user.admin()));
        put("groupAdmin", json!(user.rank() >= 2));
        put("licensedSheetCreator", json!(user.internal() && user.seat() == "MEMBER"));
        put("resourceViewer", json!(user.rank() >= 2));
        put("status", json!(user.status));
        put("sheetCount", json!(-1));
        put("isInternal", json!(user.internal()));
        put("seatType", json!(user.seat()));
        put("planId", json!(company.account_id));
        // Times of nine digits behind the point occur.
        let changed = time(company.start() - 30 * 86_400_000 - (draw % 86_400_000) as i64);
        put("seatTypeLastChangedAt", json!(changed.replace('Z', ".123456789Z")));
        if last_login && user.status == "ACTIVE" {
            let at = company.plan.end - (draw % 172_800) as i64 * 1000;
            put("lastLogin", if numeric { json!(at) } else { json!(time(at)) });
        }
    }
    Value::Object(map)
}
