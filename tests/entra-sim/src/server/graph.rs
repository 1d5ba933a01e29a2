//! The lists of Graph: users, their changes, deleted users, groups and members, sign-ins.

use axum::http::header;
use casbah_sim::{Parameters, lock};
use serde_json::{Map, Value, json};

use super::Shared;
use super::answer::Answer;
use super::query::{Filter, Link, list, select, top};
use crate::fault::Fault;
use crate::people::{Person, State, There, guid};
use crate::render;

/// Users on a page of changes.
const DELTA_PAGE: usize = 100;

/// A request to one of the lists.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    /// `v1.0` or `beta`.
    pub(crate) version: &'a str,
    pub(crate) given: Parameters,
    pub(crate) now: i64,
}

/// A page of records out of all, and the link that goes on.
struct Piece {
    items: Vec<Value>,
    more: Option<Link>,
}

impl Call<'_> {
    /// Answers a path below the version.
    pub(crate) fn answer(&self, path: &[&str]) -> Answer {
        match path {
            ["organization"] => self.organization(),
            ["users"] => self.users(),
            ["users", "delta" | "microsoft.graph.delta" | "delta()"] => self.delta(),
            ["users", name] => self.user(name),
            ["directory", "deletedItems", "microsoft.graph.user"] => self.deleted(),
            ["groups"] => self.groups(),
            ["groups", id] => self.group(id),
            ["groups", id, "transitiveMembers" | "members", ..] => self.members(id),
            ["auditLogs", "signIns"] => self.sign_ins(),
            _ => Answer::error(400, "BadRequest", "Resource not found for the segment."),
        }
    }

    fn may(&self, permission: &str) -> bool {
        self.shared.config.permissions.iter().any(|given| given == permission)
    }

    fn lists(&self, name: &str) -> String {
        format!("{}/{}/$metadata#{name}", self.shared.base, self.version)
    }

    fn address(&self, list: &str) -> String {
        format!("{}/{}/{list}", self.shared.base, self.version)
    }

    fn organization(&self) -> Answer {
        if !self.may("User.Read.All") && !self.may("Directory.Read.All") {
            return denied();
        }
        let world = &self.shared.config.world;
        let company = world.company();
        let value = json!({"id": world.tenant(), "displayName": company.name,
            "verifiedDomains": [{"name": company.domain, "isDefault": true}]});
        Answer::value(&list(&self.lists("organization"), vec![value], None))
    }

    /// Everybody with their state, those who are there.
    fn present(&self, count: usize) -> Vec<(usize, State)> {
        let directory = lock(&self.shared.directory);
        let states = directory.states(count).into_iter().enumerate();
        states.filter(|(_, state)| state.there == There::Present).collect()
    }

    fn user_value(
        &self,
        at: usize,
        state: &State,
        select: &[String],
    ) -> Option<Map<String, Value>> {
        let leaves = self.may("User-LifeCycleInfo.Read.All");
        let directory = lock(&self.shared.directory);
        Some(render::user(directory.people.get(at)?, state, select, leaves))
    }

    fn users(&self) -> Answer {
        if !self.may("User.Read.All") {
            return denied();
        }
        let link = match self.link("users", 100, 999, select(&self.given)) {
            Ok(link) => link,
            Err(answer) => return answer,
        };
        let all = self.present(link.to.unwrap_or_default());
        let piece = self.piece(&all, link, |(at, state), select| {
            self.user_value(*at, state, select).map(Value::Object)
        });
        self.page("users", "users", piece)
    }

    fn user(&self, name: &str) -> Answer {
        if !self.may("User.Read.All") {
            return denied();
        }
        let found = {
            let directory = lock(&self.shared.directory);
            let states = directory.states(self.shared.visible(&directory));
            directory.find(name).and_then(|at| Some((at, *states.get(at)?)))
        };
        let found = found.filter(|(_, state)| state.there == There::Present);
        match found.and_then(|(at, state)| self.user_value(at, &state, &select(&self.given))) {
            Some(value) => Answer::value(&Value::Object(value)),
            None => missing(name),
        }
    }

    fn deleted(&self) -> Answer {
        if !self.may("User.Read.All") {
            return denied();
        }
        let name = "directory/deletedItems/microsoft.graph.user";
        let link = match self.link(name, 100, 999, select(&self.given)) {
            Ok(link) => link,
            Err(answer) => return answer,
        };
        let all: Vec<(usize, State)> = {
            let directory = lock(&self.shared.directory);
            let states = directory.states(link.to.unwrap_or_default()).into_iter().enumerate();
            states.filter(|(_, state)| matches!(state.there, There::Deleted(_))).collect()
        };
        let piece = self.piece(&all, link, |(at, state), select| {
            self.user_value(*at, state, select).map(Value::Object)
        });
        self.page(name, "users", piece)
    }

    /// Everybody in the first round, who was touched in later ones.
    fn delta(&self) -> Answer {
        if !self.may("User.Read.All") {
            return denied();
        }
        let allowed = ["$select", "$filter", "$skiptoken", "$deltatoken"];
        if let Some(other) = self.given.other_than(&allowed) {
            let message =
                format!("The query parameter '{other}' is not supported for a delta query.");
            return Answer::error(400, "Request_UnsupportedQuery", &message);
        }
        let visible = {
            let directory = lock(&self.shared.directory);
            self.shared.visible(&directory)
        };
        let link = match (self.given.get("$deltatoken"), self.given.get("$skiptoken")) {
            (Some(token), _) | (None, Some(token)) => match self.known("users/delta", token) {
                Ok(link) => Link { to: link.to.or(Some(visible)), ..link },
                Err(answer) => return answer,
            },
            (None, None) => Link {
                from: usize::MAX,
                to: Some(visible),
                ..self.fresh(
                    "users/delta",
                    self.shared.config.delta_page.unwrap_or(DELTA_PAGE),
                    select(&self.given),
                )
            },
        };
        let to = link.to.unwrap_or(visible);
        let all: Vec<(usize, State)> = if link.from == usize::MAX {
            self.present(to)
        } else {
            let directory = lock(&self.shared.directory);
            let states = directory.states(to);
            let touched = directory.touched(link.from, to).into_iter();
            touched.filter_map(|at| Some((at, *states.get(at)?))).collect()
        };
        let next = Link { from: to, to: None, skip: 0, now: self.now, ..link.clone() };
        let unknown = self.shared.fault(Fault::NullState).is_some();
        let mut piece = self.piece(&all, link.clone(), |(at, state), select| {
            self.changed(*at, state, select, unknown)
        });
        if let Some(most) = self.shared.fault(Fault::Repeats) {
            let before = all.iter().take(link.skip).rev().take(usize::try_from(most).unwrap_or(0));
            let again: Vec<Value> = before
                .filter_map(|(at, state)| self.changed(*at, state, &link.query, unknown))
                .collect();
            piece.items.extend(again);
        }
        self.shared.count(|counters| counters.users += piece.items.len() as u64);
        let (name, link) = match piece.more {
            Some(link) => ("nextLink", self.go_on("users/delta", "$skiptoken", &link)),
            None => ("deltaLink", self.go_on("users/delta", "$deltatoken", &next)),
        };
        Answer::value(&list(&self.lists("users"), piece.items, Some((name, link))))
    }

    /// A user of a round of changes: nulls are left out, and who is gone has only an id.
    fn changed(&self, at: usize, state: &State, select: &[String], unknown: bool) -> Option<Value> {
        let reason = match state.there {
            There::Present => None,
            There::Deleted(_) => Some("changed"),
            There::Purged => Some("deleted"),
            There::Unborn => return None,
        };
        let mut value = self.user_value(at, state, select)?;
        if let Some(reason) = reason {
            let id = value.remove("id")?;
            return Some(json!({"id": id, "@removed": {"reason": reason}}));
        }
        value.retain(|_, member| !member.is_null());
        if unknown && value.contains_key("accountEnabled") {
            value.insert("accountEnabled".to_owned(), Value::Null);
        }
        Some(Value::Object(value))
    }

    fn groups(&self) -> Answer {
        if !self.may("GroupMember.Read.All") {
            return denied();
        }
        let world = &self.shared.config.world;
        let wanted = self.given.get("$filter").map(|filter| {
            let value = filter.strip_prefix("displayName eq '")?.strip_suffix('\'')?;
            Some(value.replace("''", "'"))
        });
        let wanted = match wanted {
            Some(None) => {
                return Answer::error(400, "Request_UnsupportedQuery", "Unsupported filter.");
            }
            Some(name) => name,
            None => None,
        };
        let groups = world.company().groups.iter().enumerate();
        let values = groups
            .filter(|(_, group)| {
                wanted.as_ref().is_none_or(|name| group.name.eq_ignore_ascii_case(name))
            })
            .map(|(at, group)| json!({"id": self.group_id(at), "displayName": group.name}))
            .collect();
        Answer::value(&list(&self.lists("groups"), values, None))
    }

    fn group_id(&self, at: usize) -> String {
        guid(self.shared.config.world.company().plan.seed, 0x6409, at as u64)
    }

    fn group_of(&self, id: &str) -> Option<usize> {
        (0..self.shared.config.world.company().groups.len())
            .find(|at| self.group_id(*at) == id.to_lowercase())
    }

    fn group(&self, id: &str) -> Answer {
        if !self.may("GroupMember.Read.All") {
            return denied();
        }
        let groups = &self.shared.config.world.company().groups;
        match self.group_of(id).and_then(|at| groups.get(at)) {
            Some(group) => Answer::value(&json!({
                "@odata.context": self.lists("groups/$entity"), "id": id, "displayName": group.name})),
            None => missing(id),
        }
    }

    fn members(&self, id: &str) -> Answer {
        if !self.may("GroupMember.Read.All") {
            return denied();
        }
        let groups = &self.shared.config.world.company().groups;
        let Some(group) = self.group_of(id).and_then(|at| groups.get(at)) else {
            return missing(id);
        };
        let name = format!("groups/{id}/transitiveMembers/microsoft.graph.user");
        let link = match self.link(&name, 100, 999, select(&self.given)) {
            Ok(link) => link,
            Err(answer) => return answer,
        };
        let places: Vec<usize> = {
            let directory = lock(&self.shared.directory);
            let person = |place: u32| {
                directory.people.iter().position(|person: &Person| person.place == place as usize)
            };
            group.members.iter().filter_map(|&place| person(place)).collect()
        };
        let all: Vec<(usize, State)> = self
            .present(link.to.unwrap_or_default())
            .into_iter()
            .filter(|(at, _)| places.contains(at))
            .collect();
        let piece = self.piece(&all, link, |(at, state), select| {
            self.user_value(*at, state, select).map(Value::Object)
        });
        self.page(&name, "users", piece)
    }

    fn sign_ins(&self) -> Answer {
        let config = &self.shared.config;
        if !config.premium {
            let message = "Neither tenant is B2C or tenant doesn't have premium license";
            return Answer::error(
                403,
                "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
                message,
            );
        }
        if !self.may("AuditLog.Read.All") || !self.may("Directory.Read.All") {
            return denied();
        }
        if let Some(wait) = self.shared.too_often(self.now) {
            return throttled(Some(wait));
        }
        let name = "auditLogs/signIns";
        let text = |name: &str| self.given.get(name).unwrap_or_default().to_owned();
        let asked = vec![text("$filter"), text("$orderby")];
        let link = match self.link(name, 1000, 1000, asked) {
            Ok(link) => link,
            Err(answer) => return answer,
        };
        let mut asked = link.query.iter().map(String::as_str);
        let beta = self.version == "beta";
        let Some(filter) = Filter::read(asked.next().unwrap_or_default(), beta) else {
            return Answer::error(400, "BadRequest", "Invalid filter clause");
        };
        let ascending = match asked.next().unwrap_or_default() {
            "" | "createdDateTime desc" => false,
            "createdDateTime" | "createdDateTime asc" => true,
            _ => return Answer::error(400, "BadRequest", "Invalid orderby clause"),
        };
        let all = self.wanted(&filter, link.now, ascending);
        let world = &config.world;
        let piece = self.piece(&all, link, |at, _| world.sign_in(*at, beta));
        self.shared.count(|counters| counters.sign_ins += piece.items.len() as u64);
        self.page(name, "auditLogs/signIns", piece)
    }

    /// Places of the sign-ins that a filter wants, of those that were in the log at a time.
    fn wanted(&self, filter: &Filter, now: i64, ascending: bool) -> Vec<usize> {
        let history = &self.shared.config.world.history;
        let world = &self.shared.config.world;
        let first = history.sign_ins.partition_point(|sign_in| sign_in.time < filter.from);
        let end = history.sign_ins.partition_point(|sign_in| sign_in.time <= filter.to);
        let oldest = self.now.saturating_sub(30 * crate::sign_in::DAY);
        let mut places: Vec<usize> = (first..end.max(first))
            .filter(|&at| {
                history.sign_ins.get(at).is_some_and(|sign_in| {
                    let kind = if sign_in.interactive {
                        filter.interactive
                    } else {
                        filter.non_interactive
                    };
                    let app = crate::sign_in::APPS.get(sign_in.app).map_or("", |(_, id)| id);
                    let principal =
                        world.directory.people.get(sign_in.person).map_or("", |it| &it.principal);
                    kind && sign_in.logged <= self.shared.known(now)
                        && sign_in.time >= oldest
                        && (filter.apps.is_empty() || filter.apps.iter().any(|id| id == app))
                        && filter
                            .principal
                            .as_ref()
                            .is_none_or(|name| name.eq_ignore_ascii_case(principal))
                })
            })
            .collect();
        if !ascending {
            places.reverse();
        }
        places
    }

    /// A link into the beginning of a list.
    fn fresh(&self, list: &str, top: usize, query: Vec<String>) -> Link {
        let directory = lock(&self.shared.directory);
        Link {
            list: list.to_owned(),
            seed: self.shared.config.world.company().plan.seed,
            generation: self.shared.generation(),
            from: 0,
            to: Some(self.shared.visible(&directory)),
            skip: 0,
            top,
            query,
            now: self.now,
        }
    }

    /// The link that the request follows, or the beginning of the list.
    fn link(
        &self,
        list: &str,
        usual: usize,
        most: usize,
        query: Vec<String>,
    ) -> Result<Link, Answer> {
        if let Some(token) = self.given.get("$skiptoken") {
            return self.known(list, token);
        }
        let Some(top) = top(&self.given, usual, most) else {
            return Err(Answer::error(400, "Request_BadRequest", "Invalid page size specified."));
        };
        Ok(self.fresh(list, top, query))
    }

    /// A link that was given out, if it is still good.
    fn known(&self, list: &str, token: &str) -> Result<Link, Answer> {
        let gone = || {
            Answer::error(410, "syncStateNotFound", "The state of the synchronization is lost.")
                .with(header::LOCATION, format!("{}?$deltatoken=", self.address(list)))
        };
        if self.shared.fault(Fault::Resync).is_some() {
            return Err(gone());
        }
        if self.shared.fault(Fault::StateLost).is_some() {
            return Err(Answer::error(
                400,
                "SyncStateNotFound",
                "The state of the synchronization is lost.",
            ));
        }
        let bad = || {
            Answer::error(
                400,
                "Directory_ExpiredPageToken",
                "The specified page token value has expired.",
            )
        };
        let link = Link::read(token).ok_or_else(bad)?;
        if link.list != list || link.seed != self.shared.config.world.company().plan.seed {
            return Err(bad());
        }
        if link.generation != self.shared.generation() {
            return Err(gone());
        }
        Ok(link)
    }

    /// The records of a page.
    fn piece<T>(
        &self,
        all: &[T],
        link: Link,
        write: impl Fn(&T, &[String]) -> Option<Value>,
    ) -> Piece {
        if self.shared.fault(Fault::EmptyPage).is_some() {
            return Piece { items: Vec::new(), more: Some(link) };
        }
        let items = all
            .iter()
            .skip(link.skip)
            .take(link.top)
            .filter_map(|one| write(one, &link.query))
            .collect();
        let skip = link.skip + link.top;
        Piece { items, more: (skip < all.len()).then_some(Link { skip, ..link }) }
    }

    fn page(&self, list_name: &str, context: &str, piece: Piece) -> Answer {
        let link = piece.more.map(|link| ("nextLink", self.go_on(list_name, "$skiptoken", &link)));
        Answer::value(&list(&self.lists(context), piece.items, link))
    }

    fn go_on(&self, list: &str, token: &str, link: &Link) -> String {
        if self.shared.fault(Fault::EvilLink).is_some() {
            return format!(
                "https://graph.evil.example/{}/{list}?{token}={}",
                self.version,
                link.write()
            );
        }
        format!("{}?{token}={}", self.address(list), link.write())
    }
}

pub(crate) fn denied() -> Answer {
    Answer::error(
        403,
        "Authorization_RequestDenied",
        "Insufficient privileges to complete the operation.",
    )
}

pub(crate) fn throttled(wait: Option<i64>) -> Answer {
    let answer = Answer::error(429, "TooManyRequests", "Please retry again later.");
    match wait {
        Some(ms) => answer.with(header::RETRY_AFTER, format!("{}.{:03}", ms / 1000, ms % 1000)),
        None => answer,
    }
}

fn missing(what: &str) -> Answer {
    let message = format!(
        "Resource '{what}' does not exist or one of its queried reference-property objects are not present."
    );
    Answer::error(404, "Request_ResourceNotFound", &message)
}
