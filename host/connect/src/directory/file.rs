//! The directory file, for those whose directory can't be connected, and the override table.
//!
//! Both are read strictly: every mistake is found at once, each with its line, a caret and a hint,
//! and a file with a mistake is not used at all. Nothing here touches what is known already.

mod csv;
mod json;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use casbah_model::time;
use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Fields, Span, Value, Wording};

use super::history::Standing;
use super::people::People;
use crate::accounts::Account;

/// Files larger than this are refused.
const MOST_BYTES: u64 = 256 << 20;
/// Mistakes that are shown; the others are counted.
const MOST_ERRORS: usize = 50;

/// The columns of a directory file.
const COLUMNS: &[&str] =
    &["email", "state", "since", "leaves", "name", "groups", "aliases", "admin", "external"];
/// The columns of an override table.
const PEOPLE_COLUMNS: &[&str] = &["app", "account", "person"];

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// It can't be read.
    Read,
    /// It is not what its form says.
    Syntax,
    /// A column or key that nobody knows, or one that is missing.
    Key,
    /// A value that can't be.
    Value,
    /// An address that stands there twice.
    Twice,
}

/// One thing wrong with a file.
pub type FileError = casbah_yaml::Problem<FileErrorKind>;

/// Everything that is wrong with a file; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileErrors {
    errors: Vec<FileError>,
    /// How many more there are.
    more: usize,
}

impl FileErrors {
    /// What is wrong, from the top of the file down.
    pub fn errors(&self) -> &[FileError] {
        &self.errors
    }

    fn new(file: &str, text: &str, mut wrongs: Vec<Wrong>) -> Self {
        wrongs.sort_by_key(|(_, wrong)| (wrong.span.line, wrong.span.column));
        let more = wrongs.len().saturating_sub(MOST_ERRORS);
        wrongs.truncate(MOST_ERRORS);
        let error = |(kind, wrong)| FileError::at(kind, file, text, wrong);
        Self { errors: wrongs.into_iter().map(error).collect(), more }
    }
}

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        casbah_yaml::show_all(f, &self.errors)?;
        match self.more {
            0 => Ok(()),
            1 => f.write_str("\n\nand 1 more"),
            more => write!(f, "\n\nand {more} more"),
        }
    }
}

impl std::error::Error for FileErrors {}

/// Something wrong, before the line is looked up.
type Wrong = (FileErrorKind, casbah_yaml::Wrong);

/// An empty hint is none.
fn wrong(
    kind: FileErrorKind,
    span: Span,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> Wrong {
    let hint = Some(hint.into()).filter(|hint| !hint.is_empty());
    (kind, casbah_yaml::Wrong { span, message: message.into(), hint })
}

/// A value as the file gives it.
#[derive(Debug)]
enum Given {
    Text(String),
    List(Vec<String>),
    Flag(bool),
}

/// A value and where it stands.
#[derive(Debug)]
struct Cell {
    given: Given,
    span: Span,
}

/// A row: cells by column, absent ones left out, and where it begins.
#[derive(Debug)]
struct Row {
    span: Span,
    cells: Vec<(&'static str, Cell)>,
}

impl Row {
    fn get(&self, column: &str) -> Option<&Cell> {
        self.cells.iter().find(|(name, _)| *name == column).map(|(_, cell)| cell)
    }
}

/// The people of a directory file, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectoryFile {
    accounts: Vec<Account>,
}

impl DirectoryFile {
    /// The accounts, one a person; the id is the address in lower case.
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Reads a file: CSV with a header, a JSON array of objects, or one JSON object a line.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, FileErrors> {
        Self::parse(&path.display().to_string(), &bytes_of(path)?)
    }

    /// Reads the content of a file of that name.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, FileErrors> {
        let text = text_of(file, bytes)?;
        let mut wrongs = Vec::new();
        let rows = rows(file, text, COLUMNS, "email", &mut wrongs);
        let mut accounts = Vec::with_capacity(rows.len());
        for row in &rows {
            accounts.extend(account(row, &mut wrongs));
        }
        twice(&rows, &mut wrongs);
        if wrongs.is_empty() {
            Ok(Self { accounts })
        } else {
            Err(FileErrors::new(file, text, wrongs))
        }
    }
}

/// The override table: which account belongs to which person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeopleFile {
    people: People,
}

impl PeopleFile {
    /// The table.
    pub fn people(&self) -> &People {
        &self.people
    }

    /// Reads a file: YAML, CSV with a header, a JSON array of objects, or one JSON object a line.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, FileErrors> {
        Self::parse(&path.display().to_string(), &bytes_of(path)?)
    }

    /// Reads the content of a file of that name.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, FileErrors> {
        let mut table = Table::default();
        if file.ends_with(".yaml") || file.ends_with(".yml") {
            let text = table.yaml(bytes);
            return table.finish(file, &text);
        }
        let text = text_of(file, bytes)?;
        let mut wrongs = Vec::new();
        for row in &rows(file, text, PEOPLE_COLUMNS, "account", &mut wrongs) {
            table.row(row);
        }
        table.wrongs.extend(wrongs);
        table.finish(file, text)
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, FileErrors> {
    let fail = |message: String, hint: &str| {
        let file = path.display().to_string();
        FileErrors {
            errors: vec![FileError::whole(FileErrorKind::Read, &file, message, hint)],
            more: 0,
        }
    };
    let unreadable = |error: std::io::Error| {
        fail(format!("the file can't be read: {error}"), "check the path and who may read it")
    };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > MOST_BYTES {
        let message = format!("the file has {length} bytes, and may have {MOST_BYTES}");
        return Err(fail(message, "leave out columns and people that are of no use"));
    }
    std::fs::read(path).map_err(unreadable)
}

fn text_of<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, FileErrors> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let good = std::str::from_utf8(good).unwrap_or_default();
            let line = good.matches('\n').count() + 1;
            let column = good.chars().rev().take_while(|&c| c != '\n').count() + 1;
            let span = Span { line, column, length: 1 };
            let message = format!("byte {} is not UTF-8", error.valid_up_to());
            let lossy = String::from_utf8_lossy(bytes);
            let wrong = wrong(FileErrorKind::Syntax, span, message, "save the file as UTF-8");
            Err(FileErrors::new(file, &lossy, vec![wrong]))
        }
    }
}

/// The rows of a file of either form. `key` is the column that must be there.
fn rows(
    file: &str,
    text: &str,
    columns: &'static [&'static str],
    key: &str,
    wrongs: &mut Vec<Wrong>,
) -> Vec<Row> {
    let json = match file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref()
    {
        Some("csv") => false,
        Some("json" | "ndjson" | "jsonl") => true,
        _ => text.trim_start().starts_with(['{', '[']),
    };
    if json { json::rows(text, columns, wrongs) } else { csv::rows(text, columns, key, wrongs) }
}

/// The column of a name, or what is wrong with it.
fn column(name: &str, columns: &'static [&'static str], span: Span) -> Result<&'static str, Wrong> {
    columns.iter().copied().find(|known| *known == name).ok_or_else(|| {
        wrong(
            FileErrorKind::Key,
            span,
            format!("there is no column `{}`", shown(name)),
            suggest::hint(name, columns.iter().copied(), "the columns"),
        )
    })
}

fn account(row: &Row, wrongs: &mut Vec<Wrong>) -> Option<Account> {
    let before = wrongs.len();
    let mut cells = Cells { row, wrongs };
    let email = cells.address("email");
    if email.is_none() && row.get("email").is_none() {
        cells.wrongs.push(wrong(
            FileErrorKind::Key,
            row.span,
            "the address is missing",
            "give `email`, by which the person is found",
        ));
    }
    let state = cells.state();
    let since = cells.time("since");
    if let (Some(cell), None) = (row.get("since"), row.get("state")) {
        cells.wrongs.push(wrong(
            FileErrorKind::Value,
            cell.span,
            "there is a time, but no state that begins then",
            "give `state`, or take `since` out",
        ));
    }
    let account = Account {
        id: email.as_deref().unwrap_or_default().to_lowercase(),
        email: email.unwrap_or_default(),
        name: cells.text("name").unwrap_or_default(),
        status: state.map(|state| state.word().to_owned()).unwrap_or_default(),
        since,
        leaves: cells.time("leaves"),
        aliases: cells.list("aliases"),
        groups: {
            let mut groups = cells.list("groups");
            groups.sort();
            groups.dedup();
            groups
        },
        admin: cells.flag("admin"),
        external: cells.flag("external"),
        ..Account::default()
    };
    (wrongs.len() == before).then_some(account)
}

/// Reads the cells of a row, and gathers what is wrong.
struct Cells<'a> {
    row: &'a Row,
    wrongs: &'a mut Vec<Wrong>,
}

impl Cells<'_> {
    fn fail(&mut self, cell: &Cell, message: String, hint: &str) {
        self.wrongs.push(wrong(FileErrorKind::Value, cell.span, message, hint));
    }

    fn text(&mut self, column: &str) -> Option<String> {
        let cell = self.row.get(column)?;
        match &cell.given {
            Given::Text(text) if text.chars().any(char::is_control) => {
                let message = format!("`{column}` has control characters in it");
                self.fail(
                    cell,
                    message,
                    "take them out; they would reach the terminals of readers",
                );
                None
            }
            Given::Text(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Given::List(_) | Given::Flag(_) => {
                self.fail(cell, format!("`{column}` must be a text"), "put it in quotes");
                None
            }
        }
    }

    fn address(&mut self, column: &str) -> Option<String> {
        let text = self.text(column)?;
        let cell = self.row.get(column)?;
        let fits = text.split_once('@').is_some_and(|(user, domain)| {
            !user.is_empty() && !domain.is_empty() && !domain.contains('@')
        });
        if fits && !text.contains(|c: char| c.is_whitespace() || c == ',') {
            return Some(text);
        }
        let message = format!("`{}` is not an e-mail address", shown(&text));
        self.fail(cell, message, "write it as in `ana@example.com`");
        None
    }

    fn state(&mut self) -> Option<Standing> {
        let text = self.text("state")?;
        let state = Standing::parse(&text.to_lowercase());
        if state.is_none()
            && let Some(cell) = self.row.get("state")
        {
            let words = Standing::ALL.iter().map(|state| state.word());
            let hint = suggest::hint(&text, words, "the states");
            self.fail(cell, format!("there is no state `{}`", shown(&text)), &hint);
        }
        state
    }

    fn time(&mut self, column: &str) -> Option<i64> {
        let text = self.text(column)?;
        let time = time::parse(&text).or_else(|| time::parse(&format!("{text}T00:00:00Z")));
        if time.is_none()
            && let Some(cell) = self.row.get(column)
        {
            let message = format!("`{}` is not a time", shown(&text));
            self.fail(cell, message, "write 2026-11-20, or 2026-11-20T17:30:00Z");
        }
        time
    }

    fn flag(&mut self, column: &str) -> Option<bool> {
        let cell = self.row.get(column)?;
        let flag = match &cell.given {
            Given::Flag(flag) => Some(*flag),
            Given::Text(text) => match text.trim().to_lowercase().as_str() {
                "true" | "yes" => Some(true),
                "false" | "no" => Some(false),
                _ => None,
            },
            Given::List(_) => None,
        };
        if flag.is_none() {
            self.fail(
                cell,
                format!("`{column}` must be true or false"),
                "leave it empty where it is not known",
            );
        }
        flag
    }

    /// Names; in one text they are separated by semicolons or commas.
    fn list(&mut self, column: &str) -> Vec<String> {
        let Some(cell) = self.row.get(column) else { return Vec::new() };
        let names: Vec<&str> = match &cell.given {
            Given::Text(text) => text.split([';', ',']).collect(),
            Given::List(names) => names.iter().map(String::as_str).collect(),
            Given::Flag(_) => {
                self.fail(cell, format!("`{column}` must be a list of texts"), "");
                return Vec::new();
            }
        };
        if names.iter().any(|name| name.chars().any(char::is_control)) {
            self.fail(cell, format!("`{column}` has control characters in it"), "take them out");
            return Vec::new();
        }
        let names = names.into_iter().map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    }
}

/// Finds addresses that two people have.
fn twice(rows: &[Row], wrongs: &mut Vec<Wrong>) {
    let mut seen: HashMap<String, (usize, usize)> = HashMap::new();
    for (number, row) in rows.iter().enumerate() {
        for column in ["email", "aliases"] {
            let Some(cell) = row.get(column) else { continue };
            let mut none = Vec::new();
            let names = Cells { row, wrongs: &mut none }.list(column);
            // What is no address is told already.
            for name in names.into_iter().filter(|name| column != "email" || name.contains('@')) {
                let key = name.to_lowercase();
                match seen.get(&key) {
                    Some((of, line)) if *of != number => wrongs.push(wrong(
                        FileErrorKind::Twice,
                        cell.span,
                        format!(
                            "`{}` is an address of somebody else, too, in line {line}",
                            shown(&name)
                        ),
                        "an address leads to one person: take it out of one of the lines",
                    )),
                    Some(_) => {}
                    None => {
                        seen.insert(key, (number, row.span.line));
                    }
                }
            }
        }
    }
}

/// The override table while it is read.
#[derive(Default)]
struct Table {
    people: People,
    wrongs: Vec<Wrong>,
}

impl Table {
    fn row(&mut self, row: &Row) {
        let mut cells = Cells { row, wrongs: &mut self.wrongs };
        let (app, account, person) =
            (cells.text("app").unwrap_or_default(), cells.text("account"), cells.address("person"));
        for (column, found) in [("account", row.get("account")), ("person", row.get("person"))] {
            if found.is_none() {
                self.wrongs.push(wrong(
                    FileErrorKind::Key,
                    row.span,
                    format!("`{column}` is missing"),
                    "give the account (its id or address in the app) and the person's main address",
                ));
            }
        }
        if let (Some(account), Some(person)) = (account, person) {
            self.add(&app, &account, &person, row.span);
        }
    }

    fn add(&mut self, app: &str, account: &str, person: &str, span: Span) {
        let before = self.people.insert(app, account, person);
        if let Some(before) = before.filter(|before| *before != person.to_lowercase()) {
            self.wrongs.push(wrong(
                FileErrorKind::Twice,
                span,
                format!("`{}` belongs to `{}` already", shown(account), shown(&before)),
                "an account has one person: take it out of one of them",
            ));
        }
    }

    /// Reads YAML; returns its text.
    fn yaml(&mut self, bytes: &[u8]) -> String {
        const WORDING: Wording = Wording {
            one: "an override table",
            many: "override tables",
            begin: "begin with `people:`",
            second: "write all people into one",
            long: "write longer tables as CSV",
        };
        let (text, root) = match casbah_yaml::parse(bytes, WORDING) {
            Ok(parsed) => parsed,
            Err((text, found)) => {
                self.wrongs.push((FileErrorKind::Syntax, found));
                return text;
            }
        };
        let mut fields = Fields::new(FileErrorKind::Value, FileErrorKind::Key);
        fields.only(&root, &["people"], "an override table");
        let mut found = Vec::new();
        match root.get("people").map(|entry| &entry.value) {
            Some(node) => match &node.value {
                Value::List(people) => {
                    for person in people {
                        if fields.is_map(person, "a person") {
                            fields.only(person, &["person", "accounts"], "a person");
                            person_of(person, &mut fields, &mut found);
                        }
                    }
                }
                other => fields.wrong(
                    node.span,
                    format!("`people` must be a list, this is {}", other.what()),
                    "write `- person: ana@example.com`, and below it `accounts: […]`".to_owned(),
                ),
            },
            None => fields.wrong_kind(
                FileErrorKind::Key,
                root.span,
                "`people` is missing".to_owned(),
                "begin with `people:`".to_owned(),
            ),
        }
        self.wrongs.extend(fields.wrongs);
        for (app, account, person, span) in found {
            self.add(&app, &account, &person, span);
        }
        text
    }

    fn finish(self, file: &str, text: &str) -> Result<PeopleFile, FileErrors> {
        if self.wrongs.is_empty() {
            Ok(PeopleFile { people: self.people })
        } else {
            Err(FileErrors::new(file, text, self.wrongs))
        }
    }
}

/// The accounts of a person in YAML: texts, or mappings of app and account.
fn person_of(
    node: &casbah_yaml::Node,
    fields: &mut Fields<FileErrorKind>,
    found: &mut Vec<(String, String, String, Span)>,
) {
    let Some(person) = fields.required_text(node, "person") else { return };
    if !person.contains('@')
        && let Some(entry) = node.get("person")
    {
        fields.wrong(
            entry.value.span,
            format!("`{}` is not an e-mail address", shown(&person)),
            "write it as in `ana@example.com`".to_owned(),
        );
    }
    let Some(accounts) = node.get("accounts") else {
        fields.wrong_kind(
            FileErrorKind::Key,
            node.span,
            "`accounts` is missing".to_owned(),
            "list the accounts that are this person's".to_owned(),
        );
        return;
    };
    let Value::List(items) = &accounts.value.value else {
        fields.wrong(
            accounts.value.span,
            format!("`accounts` must be a list, this is {}", accounts.value.value.what()),
            "write `accounts: [one@example.com, {app: smartsheet, account: \"123\"}]`".to_owned(),
        );
        return;
    };
    for item in items {
        match &item.value {
            Value::Text(account) if !account.trim().is_empty() => {
                found.push((String::new(), account.clone(), person.clone(), item.span));
            }
            Value::Map(_) => {
                fields.only(item, &["app", "account"], "an account");
                let app = fields.text(item, "app").unwrap_or_default();
                if let Some(account) = fields.required_text(item, "account") {
                    found.push((app, account, person.clone(), item.span));
                }
            }
            other => fields.wrong(
                item.span,
                format!(
                    "an account is a text or `{{app: …, account: …}}`, this is {}",
                    other.what()
                ),
                "put numbers in quotes".to_owned(),
            ),
        }
    }
}

#[cfg(test)]
mod tests;
