//! Named lists: files of values that policies refer to by name, `{list: vip}`.
//!
//! A `.txt` has one value a line; a `.csv` has columns that its first line names. Policies get the
//! values filled in when they are read (see [`crate::policy`]), so a list that changes changes what a
//! policy is configured with, but neither its text nor what it has counted.
//!
//! It is not a place for secrets, and knows nothing of what its values mean.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::policy::{PolicyProblem, PolicyProblemKind, PolicySource};
use crate::suggest::{self, shown};
use crate::yaml::{Span, Wrong};

mod csv;

/// Files of lists larger than this are refused.
pub(crate) const MAX_BYTES: usize = 16 << 20;
/// How many different values a list, or a column of it, may have.
const MOST_VALUES: usize = 200_000;
/// The longest value, in bytes.
const LONGEST: usize = 4096;

/// One list, as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// Name that policies use: the file's name without its ending.
    pub name: String,
    /// The file.
    pub file: String,
    /// Digest of the file, 12 hex digits.
    pub digest: String,
    /// Columns by name with their values, each once, in the order of the file. A `.txt` has one
    /// column without a name.
    columns: Vec<(String, Arc<[String]>)>,
}

/// Why there are no values to fill in.
#[derive(Clone, Debug)]
pub(crate) struct NoValues {
    /// It is the column that is wrong, not the list.
    pub(crate) column: bool,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// All lists of a tenant, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    lists: BTreeMap<String, List>,
}

impl Lists {
    /// Reads files whose names end in `.txt` or `.csv`.
    ///
    /// # Errors
    /// Everything that is wrong with any of them; never an empty list.
    pub fn read(files: &[PolicySource]) -> Result<Self, Vec<PolicyProblem>> {
        let mut lists: BTreeMap<String, List> = BTreeMap::new();
        let mut problems = Vec::new();
        for file in files {
            match List::read(file) {
                Ok(list) => match lists.get(&list.name) {
                    None => {
                        lists.insert(list.name.clone(), list);
                    }
                    Some(other) => problems.push(whole(
                        &file.file,
                        format!("`{}` and `{}` have one name", other.file, file.file),
                        "a list is named by its file without the ending; rename one of them",
                    )),
                },
                Err(problem) => problems.push(*problem),
            }
        }
        if problems.is_empty() { Ok(Self { lists }) } else { Err(problems) }
    }

    /// The lists, by name.
    pub fn iter(&self) -> impl Iterator<Item = &List> {
        self.lists.values()
    }

    /// The list of that name.
    pub fn get(&self, name: &str) -> Option<&List> {
        self.lists.get(name)
    }

    /// The values of a list, or of a column of it.
    ///
    /// # Errors
    /// When there is no such list or column, when a list of several columns is used without saying
    /// which, or when there are no values.
    pub(crate) fn values(
        &self,
        name: &str,
        column: Option<&str>,
    ) -> Result<(&List, &Arc<[String]>), NoValues> {
        let fail = |column: bool, message: String, hint: String| NoValues { column, message, hint };
        let list = self.lists.get(name).ok_or_else(|| {
            let hint = if self.lists.is_empty() {
                format!("make a file `lists/{name}.txt` beside the policies, one value a line")
            } else {
                suggest::hint(name, self.lists.keys().map(String::as_str), "the lists")
            };
            fail(false, format!("there is no list `{}`", shown(name)), hint)
        })?;
        let named = || list.columns.iter().map(|(name, _)| name.as_str());
        let (_, values) = match (column, list.columns.as_slice()) {
            (None, [one]) => one,
            (None, _) => {
                return Err(fail(
                    false,
                    format!("the list `{name}` has several columns"),
                    format!(
                        "say which: `{{list: {name}, column: {}}}`; there are {}",
                        named().next().unwrap_or_default(),
                        named().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
                    ),
                ));
            }
            (Some(column), [(only, _)]) if only.is_empty() => {
                return Err(fail(
                    true,
                    format!("the list `{name}` has no columns, and so no `{}`", shown(column)),
                    format!("write `{{list: {name}}}`, or make a `.csv` of it"),
                ));
            }
            (Some(column), columns) => {
                columns.iter().find(|(name, _)| name == column).ok_or_else(|| {
                    fail(
                        true,
                        format!("the list `{name}` has no column `{}`", shown(column)),
                        suggest::hint(column, named(), &format!("the columns of `{name}`")),
                    )
                })?
            }
        };
        if values.is_empty() {
            return Err(fail(
                false,
                format!("the list `{name}` has no values"),
                format!(
                    "write one into `{}`; as it is, the row would be meant for nothing",
                    list.file
                ),
            ));
        }
        Ok((list, values))
    }
}

impl List {
    fn read(source: &PolicySource) -> Result<Self, Box<PolicyProblem>> {
        let PolicySource { file, bytes } = source;
        let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let (name, ending) = base.rsplit_once('.').unwrap_or((base, ""));
        let fits = !name.is_empty()
            && name.len() <= 63
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !fits {
            return Err(Box::new(whole(
                file,
                format!("`{}` is not a name of a list", shown(name)),
                "name the file with 1 to 63 of a-z, 0-9, `-` and `_`",
            )));
        }
        if bytes.len() > MAX_BYTES {
            return Err(Box::new(whole(
                file,
                format!("the file has more than {MAX_BYTES} bytes"),
                "put lists as long as that into several files",
            )));
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(error) => {
                return Err(Box::new(whole(
                    file,
                    format!("byte {} is not UTF-8", error.valid_up_to()),
                    "save the file as UTF-8",
                )));
            }
        };
        let columns =
            if ending.eq_ignore_ascii_case("csv") { csv::columns(text) } else { plain(text) };
        let columns = columns.map_err(|wrong| {
            Box::new(PolicyProblem::at(PolicyProblemKind::List, file, text, wrong))
        })?;
        let mut digest = blake3::hash(bytes).to_hex().to_string();
        digest.truncate(12);
        let columns =
            columns.into_iter().map(|column| (column.name, column.values.into())).collect();
        Ok(Self { name: name.to_owned(), file: file.clone(), digest, columns })
    }

    /// Its values, unless it has several columns.
    pub fn values(&self) -> Option<&[String]> {
        match self.columns.as_slice() {
            [(_, values)] => Some(values),
            _ => None,
        }
    }

    /// Names of its columns; one that is empty for a `.txt`.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }
}

fn whole(file: &str, message: String, hint: &str) -> PolicyProblem {
    PolicyProblem::whole(PolicyProblemKind::List, file, message, hint)
}

/// A column on its way.
struct Column {
    name: String,
    values: Vec<String>,
    known: HashSet<String>,
}

impl Column {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), values: Vec::new(), known: HashSet::new() }
    }

    /// Adds a value that stands at this line; empty ones and those known already are passed over.
    fn add(&mut self, value: &str, line: usize) -> Result<(), Wrong> {
        if value.is_empty() || self.known.contains(value) {
            return Ok(());
        }
        let refuse = |message: String, hint: &str| {
            Err(Wrong {
                span: Span { line, column: 1, length: 1 },
                message,
                hint: Some(hint.to_owned()),
            })
        };
        if value.chars().any(char::is_control) {
            return refuse(
                "this value has control characters in it".to_owned(),
                "take them out; nothing would be equal to it",
            );
        }
        if value.len() > LONGEST {
            return refuse(
                format!("this value has {} bytes; one may have {LONGEST}", value.len()),
                "a list has one value a line",
            );
        }
        if self.values.len() == MOST_VALUES {
            return refuse(
                format!("there are more than {MOST_VALUES} different values"),
                "put lists as long as that into several files",
            );
        }
        self.known.insert(value.to_owned());
        self.values.push(value.to_owned());
        Ok(())
    }
}

/// One value a line. A `#` at the beginning of a line, or after a blank, begins a comment.
fn plain(text: &str) -> Result<Vec<Column>, Wrong> {
    let mut column = Column::new("");
    for (index, line) in text.lines().enumerate() {
        let end = line
            .char_indices()
            .find(|&(at, c)| {
                c == '#' && line.get(..at).is_some_and(|b| b.is_empty() || b.ends_with([' ', '\t']))
            })
            .map_or(line.len(), |(at, _)| at);
        column.add(line.get(..end).unwrap_or(line).trim(), index + 1)?;
    }
    Ok(vec![column])
}

#[cfg(test)]
mod tests;
