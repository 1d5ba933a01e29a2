//! The override table: which person an account belongs to, where addresses do not tell.
//!
//! It is not the directory: it makes nobody known, it only says who is meant.

use std::collections::HashMap;

/// Persons by account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    /// By app and account, both in lower case; the empty app stands for every app.
    by_account: HashMap<(String, String), String>,
}

impl People {
    /// Nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// The account of this id or address in `app` (of every app when empty) belongs to the person of
    /// that address. Returns the person it belonged to before, if there was one.
    pub fn insert(&mut self, app: &str, account: &str, person: &str) -> Option<String> {
        let key = (app.trim().to_lowercase(), account.trim().to_lowercase());
        self.by_account.insert(key, person.trim().to_lowercase())
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.by_account.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_account.is_empty()
    }

    /// The person of an account, by its id or address.
    pub fn get(&self, app: &str, account: &str) -> Option<&str> {
        if self.by_account.is_empty() || account.is_empty() {
            return None;
        }
        let account = account.to_lowercase();
        let mut key = (app.to_owned(), account);
        if let Some(person) = self.by_account.get(&key) {
            return Some(person);
        }
        key.0.clear();
        self.by_account.get(&key).map(String::as_str)
    }

    /// The accounts that belong to a person: app and account.
    pub fn accounts_of(&self, person: &str) -> Vec<(&str, &str)> {
        let mut accounts: Vec<(&str, &str)> = self
            .by_account
            .iter()
            .filter(|(_, known)| known.as_str() == person)
            .map(|((app, account), _)| (app.as_str(), account.as_str()))
            .collect();
        accounts.sort_unstable();
        accounts
    }
}
