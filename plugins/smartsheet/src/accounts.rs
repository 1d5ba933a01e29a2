//! Reads the users of a plan, and the one the token belongs to.

use casbah_plugin::body::text;
use casbah_plugin::model::BatchBuilder;
use casbah_plugin::scan::{Broken, Scanner, Text, Value};
use casbah_plugin::{Batch, Failure, Next, PlanRequest, facts};

use crate::failure::malformed;
use crate::normalize::read_time;
use crate::page::Body;
use crate::requests::{self, AccountCursor};

/// A page of users.
#[derive(Default)]
pub(crate) struct UserPage {
    pub(crate) batch: Batch,
    pub(crate) raw: Vec<u32>,
    page: Option<i64>,
    pages: Option<i64>,
    total: Option<i64>,
}

/// One user.
#[derive(Default)]
struct User {
    id: String,
    email: String,
    name: String,
    first: String,
    last: String,
    status: String,
    seat: String,
    admin: Option<bool>,
    internal: Option<bool>,
    seen: Option<i64>,
    organization: Option<(String, String)>,
}

/// Reads a page of users.
///
/// # Errors
/// `malformed` when it is no page.
pub(crate) fn read(body: &[u8]) -> Result<Body<UserPage>, Failure> {
    read_page(text(body)?)
        .map_err(|broken| malformed(&format!("the answer is not a page of users: {broken}")))
}

fn read_page(text: &str) -> Result<Body<UserPage>, Broken> {
    let mut scanner = Scanner::new(text);
    let mut page = UserPage::default();
    let mut builder = BatchBuilder::new();
    let mut seen = false;
    let mut first = true;
    scanner.enter_object()?;
    while let Some(key) = scanner.key(&mut first)? {
        match key.plain().unwrap_or_default() {
            "data" if scanner.peek() == b'[' => {
                seen = true;
                read_users(&mut scanner, &mut builder, &mut page.raw)?;
            }
            "pageNumber" => page.page = integer(scanner.value()?),
            "totalPages" => page.pages = integer(scanner.value()?),
            "totalCount" => page.total = integer(scanner.value()?),
            "errorCode" => return Ok(Body::Error),
            _ => {
                scanner.value()?;
            }
        }
    }
    if !scanner.is_done() {
        return Err(Broken { at: scanner.at(), expected: "the end" });
    }
    if !seen {
        return Err(Broken { at: scanner.at(), expected: "an array `data` before this" });
    }
    page.batch = builder.finish();
    Ok(Body::Page(page))
}

fn read_users(
    scanner: &mut Scanner<'_>,
    builder: &mut BatchBuilder,
    raw: &mut Vec<u32>,
) -> Result<(), Broken> {
    let mut first = true;
    scanner.enter_array()?;
    while scanner.item(&mut first)? {
        scanner.peek();
        let start = scanner.at() as u32;
        let user = User::read(scanner)?;
        // Without an id there is nothing that an account could be known by.
        if user.id.is_empty() {
            continue;
        }
        raw.extend([start, scanner.at() as u32]);
        user.add(builder);
    }
    Ok(())
}

impl User {
    fn read(scanner: &mut Scanner<'_>) -> Result<Self, Broken> {
        let mut user = Self::default();
        if scanner.peek() != b'{' {
            scanner.value()?;
            return Ok(user);
        }
        let mut first = true;
        scanner.enter_object()?;
        while let Some(key) = scanner.key(&mut first)? {
            user.member(key, scanner)?;
        }
        Ok(user)
    }

    fn member(&mut self, key: Text<'_>, scanner: &mut Scanner<'_>) -> Result<(), Broken> {
        let place = match key.plain().unwrap_or_default() {
            "id" => &mut self.id,
            "email" => &mut self.email,
            "name" => &mut self.name,
            "firstName" => &mut self.first,
            "lastName" => &mut self.last,
            "status" => &mut self.status,
            "seatType" => &mut self.seat,
            "admin" => {
                self.admin = flag(scanner.value()?);
                return Ok(());
            }
            "isInternal" => {
                self.internal = flag(scanner.value()?);
                return Ok(());
            }
            "lastLogin" => {
                self.seen = read_time(scanner.value()?, &mut String::new());
                return Ok(());
            }
            "account" if scanner.peek() == b'{' => {
                // The organization has the same two members that we want of a user.
                let account = Self::read(scanner)?;
                self.organization = Some((account.id, account.name));
                return Ok(());
            }
            _ => {
                scanner.value()?;
                return Ok(());
            }
        };
        match scanner.value()? {
            Value::Text(text) => text.get(&mut String::new()).clone_into(place),
            Value::Number(digits) => digits.clone_into(place),
            _ => {}
        }
        Ok(())
    }

    fn add(&self, builder: &mut BatchBuilder) {
        builder.begin_row();
        builder.text("id", &self.id);
        builder.text("email", &self.email);
        builder.text("name", &self.full_name());
        builder.text("type", "user");
        builder.text("status", self.status());
        if let Some(admin) = self.admin {
            builder.flag("admin", admin);
        }
        if let Some(external) = self.external() {
            builder.flag("external", external);
        }
        if let Some(seen) = self.seen {
            builder.integer("seen", seen);
        }
    }

    fn full_name(&self) -> String {
        if self.name.is_empty() {
            format!("{} {}", self.first, self.last).trim().to_owned()
        } else {
            self.name.clone()
        }
    }

    /// casbah's word for the state; one that the vendor adds later stays as it is.
    fn status(&self) -> &str {
        match self.status.as_str() {
            "ACTIVE" => "active",
            "PENDING" => "pending",
            "DECLINED" => "declined",
            "DEACTIVATED" => "disabled",
            other => other,
        }
    }

    /// What the vendor says outright counts; a guest's seat tells where it says nothing.
    fn external(&self) -> Option<bool> {
        self.internal.map(|internal| !internal).or_else(|| (self.seat == "GUEST").then_some(true))
    }
}

/// Where to go on after a page of users, and when.
pub(crate) fn after(request: &PlanRequest, page: &UserPage) -> (String, Next) {
    let cursor = requests::account_cursor(request);
    let size = u64::from(requests::users_a_page(request));
    let number = (cursor.offset / size).saturating_add(1);
    let total = page.total.filter(|&total| total >= 0);
    // Somebody came or went while we read: a user may have slipped past between two pages, and
    // would be taken for gone.
    let changed =
        cursor.offset > 0 && total.is_some() && cursor.total.is_some() && total != cursor.total;
    if changed && cursor.restarts < 3 {
        let again = AccountCursor { restarts: cursor.restarts + 1, ..AccountCursor::default() };
        return (requests::write_account_cursor(&again), Next::More);
    }
    let repeated = page.page.is_some_and(|shown| shown >= 1 && shown.unsigned_abs() < number);
    let last = match page.pages.filter(|&pages| pages >= 0) {
        // Past the end the app repeats its last page, so its own count is what ends the round.
        Some(pages) => number >= pages.unsigned_abs(),
        None => page.batch.is_empty(),
    };
    if last || repeated {
        return (requests::write_account_cursor(&AccountCursor::default()), Next::CaughtUp);
    }
    let next =
        AccountCursor { offset: number.saturating_mul(size), total, restarts: cursor.restarts };
    (requests::write_account_cursor(&next), Next::More)
}

/// Reads who the token belongs to.
///
/// # Errors
/// `malformed` when it is no user.
pub(crate) fn read_me(body: &[u8]) -> Result<Body<Vec<(String, String)>>, Failure> {
    let text = text(body)?;
    let mut scanner = Scanner::new(text);
    let user = User::read(&mut scanner)
        .map_err(|broken| malformed(&format!("the answer is not a user: {broken}")))?;
    if user.id.is_empty() {
        return Ok(Body::Error);
    }
    // Only a System Admin is shown the flag at all.
    let admin = user.admin.unwrap_or(false);
    let (organization, name) = user.organization.unwrap_or_default();
    let facts = [
        (facts::ACCOUNT_ID, user.id),
        (facts::ACCOUNT_EMAIL, user.email),
        (facts::ACCOUNT_ADMIN, admin.to_string()),
        (facts::ORGANIZATION_ID, organization),
        (facts::ORGANIZATION_NAME, name),
    ];
    let facts = facts.into_iter().filter(|(_, value)| !value.is_empty());
    Ok(Body::Page(facts.map(|(name, value)| (name.to_owned(), value)).collect()))
}

fn flag(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Flag(flag) => Some(flag),
        Value::Text(text) => text.plain()?.parse().ok(),
        _ => None,
    }
}

fn integer(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Number(digits) => digits.parse().ok(),
        Value::Text(text) => text.plain()?.parse().ok(),
        _ => None,
    }
}
