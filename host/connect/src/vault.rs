//! Secrets at rest: sealed with a key from outside the store, each bound to its place.
//!
//! A sealed value is XChaCha20-Poly1305 under a random nonce. Tenant, connection and name are its
//! associated data, so a row that is copied to another place does not open there. The id of the key
//! stands in the record, so a wrong key is told from damage, and keys can be changed
//! ([`Vault::with_former`], [`Vault::reseal`]).
//!
//! It is not a key management service: the key lives in the environment, in a file that only its
//! owner can read, and in this process.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use casbah_model::{ConnectionName, TenantName};
use casbah_store::{Commit, ScanRange, Store, Table, Write};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretSlice};
use zeroize::Zeroizing;

use crate::error::{ConnectError, ConnectErrorKind};

/// Format of a sealed value.
const FORMAT: u8 = 1;
const ID_LENGTH: usize = 8;
const NONCE_LENGTH: usize = 24;

/// The key that seals every secret of a data folder. It never prints itself.
pub struct VaultKey {
    id: [u8; ID_LENGTH],
    key: SecretBox<[u8; 32]>,
}

impl VaultKey {
    /// A new random key.
    pub fn generate() -> Self {
        let mut key = SecretBox::<[u8; 32]>::init_with_mut(|_| {});
        rand::fill(key.expose_secret_mut());
        Self::new(key)
    }

    fn new(key: SecretBox<[u8; 32]>) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("casbah 2026-11 id of a vault key");
        hasher.update(key.expose_secret());
        let mut id = [0; ID_LENGTH];
        hasher.finalize_xof().fill(&mut id);
        Self { id, key }
    }

    /// Reads a key of 32 bytes, written as base64 or as 64 hexadecimal digits.
    ///
    /// # Errors
    /// `Key` when it is neither. The message does not repeat what was given.
    pub fn parse(text: &str) -> Result<Self, ConnectError> {
        let text = text.trim();
        let bytes = Zeroizing::new(
            hex(text)
                .or_else(|| STANDARD.decode(text).ok())
                .or_else(|| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok())
                .unwrap_or_default(),
        );
        if bytes.len() != 32 {
            return Err(ConnectError::new(
                ConnectErrorKind::Key,
                "the key for secrets is not 32 bytes in base64 or hexadecimal",
            )
            .hint("make one with `openssl rand -base64 32`"));
        }
        let mut key = SecretBox::<[u8; 32]>::init_with_mut(|_| {});
        key.expose_secret_mut().copy_from_slice(&bytes);
        Ok(Self::new(key))
    }

    /// The key given in the environment, else the one in `file`, which is made when it is missing and
    /// `store` holds no secrets yet.
    ///
    /// Call it while holding the lock of the data folder.
    ///
    /// # Errors
    /// `Key` when the key is malformed, when the file can't be made, read, or can be read by others
    /// than its owner, or when it is gone while there are secrets that it had sealed. `Store` when the
    /// store fails.
    pub fn load(
        environment: Option<&str>,
        file: &Path,
        store: &dyn Store,
    ) -> Result<Self, ConnectError> {
        if let Some(text) = environment {
            return Self::parse(text).map_err(|error| {
                ConnectError::new(
                    ConnectErrorKind::Key,
                    "`CASBAH_KEY` is not 32 bytes in base64 or hexadecimal",
                )
                .hint(error.remedy().unwrap_or_default())
            });
        }
        let metadata = match fs::metadata(file) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // A new key could not open what the lost one had sealed.
                return if holds_secrets(store)? { Err(lost(file)) } else { Self::create(file) };
            }
            Err(error) => return Err(unreadable(file, error)),
        };
        Self::read(file, &metadata)
    }

    fn read(file: &Path, metadata: &fs::Metadata) -> Result<Self, ConnectError> {
        let shown = file.display();
        check_owner_only(file, metadata)?;
        let text =
            Zeroizing::new(fs::read_to_string(file).map_err(|error| unreadable(file, error))?);
        Self::parse(&text).map_err(|_| {
            ConnectError::new(
                ConnectErrorKind::Key,
                format!("`{shown}` does not hold a key of 32 bytes in base64 or hexadecimal"),
            )
            .hint("restore it from your backup; secrets sealed with a lost key have to be given again")
        })
    }

    /// Writes a new key so that the file is either whole or not there, and never replaces one.
    fn create(file: &Path) -> Result<Self, ConnectError> {
        let failed = |error: io::Error| {
            ConnectError::new(
                ConnectErrorKind::Key,
                format!("cannot write a new key to `{}`: {error}", file.display()),
            )
            .hint("give the key in `CASBAH_KEY`, or make the folder writable")
            .source(error)
        };
        let key = Self::generate();
        let mut text = Zeroizing::new(STANDARD.encode(key.key.expose_secret()));
        text.push('\n');
        let mut draft = file.as_os_str().to_owned();
        draft.push(format!(".{}", std::process::id()));
        let draft = Path::new(&draft);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let written = options
            .open(draft)
            .and_then(|mut opened| {
                opened.write_all(text.as_bytes()).and_then(|()| opened.sync_all())
            })
            .and_then(|()| fs::hard_link(draft, file));
        let _ = fs::remove_file(draft);
        match written {
            Ok(()) => {}
            // Somebody else was quicker: theirs is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let metadata = fs::metadata(file).map_err(|error| unreadable(file, error))?;
                return Self::read(file, &metadata);
            }
            Err(error) => return Err(failed(error)),
        }
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        fs::File::open(folder.unwrap_or(Path::new(".")))
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(key)
    }

    /// What identifies the key without telling it, as hexadecimal digits.
    pub fn id(&self) -> String {
        id_text(&self.id)
    }
}

impl fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VaultKey({})", self.id())
    }
}

fn holds_secrets(store: &dyn Store) -> Result<bool, ConnectError> {
    let mut found = false;
    for tenant in store.tenants() {
        store.scan(&tenant, Table::Secret, &ScanRange::all(), false, &mut |_, _| {
            found = true;
            false
        })?;
    }
    Ok(found)
}

fn lost(file: &Path) -> ConnectError {
    let shown = file.display();
    ConnectError::new(
        ConnectErrorKind::Key,
        format!("the key for secrets `{shown}` is gone, and without it the tokens of the connections can't be opened"),
    )
    .hint(format!(
        "restore it from your backup, or give it in `CASBAH_KEY`; if it is lost for good, make a new one with \
         `(umask 077; openssl rand -base64 32 > {shown})` and sign every connection in anew with \
         `casbah connect APP --name NAME --replace`"
    ))
}

fn unreadable(file: &Path, error: io::Error) -> ConnectError {
    ConnectError::new(
        ConnectErrorKind::Key,
        format!("cannot read the key for secrets in `{}`: {error}", file.display()),
    )
    .source(error)
}

#[cfg(unix)]
fn check_owner_only(file: &Path, metadata: &fs::Metadata) -> Result<(), ConnectError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let shown = file.display();
    Err(ConnectError::new(
        ConnectErrorKind::Key,
        format!("the key for secrets in `{shown}` can be read by others (mode {mode:04o})"),
    )
    .hint(format!("`chmod 600 {shown}`, and think of the key as known if others use this machine")))
}

#[cfg(not(unix))]
fn check_owner_only(_: &Path, _: &fs::Metadata) -> Result<(), ConnectError> {
    Ok(())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != 64 {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn id_text(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seals and opens secrets.
#[derive(Debug)]
pub struct Vault {
    key: VaultKey,
    former: Vec<VaultKey>,
}

impl Vault {
    /// A vault with this key.
    pub fn new(key: VaultKey) -> Self {
        Self { key, former: Vec::new() }
    }

    /// Also opens what was sealed with an earlier key.
    #[must_use]
    pub fn with_former(mut self, key: VaultKey) -> Self {
        self.former.push(key);
        self
    }

    /// What identifies the key that seals, as hexadecimal digits.
    pub fn key_id(&self) -> String {
        self.key.id()
    }

    /// The write that keeps a secret of a connection.
    ///
    /// # Errors
    /// `Secret` when the cipher refuses, which it does only for secrets of gigabytes.
    pub fn put(&self, place: Place<'_>, secret: &[u8]) -> Result<Write, ConnectError> {
        let sealed = self.seal(place, secret)?;
        Ok(Write { table: Table::Secret, key: place.key(), value: Some(sealed) })
    }

    /// The write that forgets a secret.
    pub fn erase(&self, place: Place<'_>) -> Write {
        Write { table: Table::Secret, key: place.key(), value: None }
    }

    /// A secret of a connection, with the record as it is stored, or `None` when there is none.
    ///
    /// # Errors
    /// `Secret` when it does not open, `Store` when the store fails.
    pub fn get(&self, store: &dyn Store, place: Place<'_>) -> Result<Option<Opened>, ConnectError> {
        let Some(record) = store.get(place.tenant, Table::Secret, &place.key())? else {
            return Ok(None);
        };
        Ok(Some(Opened { secret: self.open(place, &record)?, record }))
    }

    fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Vec<u8>, ConnectError> {
        let mut nonce = [0; NONCE_LENGTH];
        rand::fill(&mut nonce);
        let cipher = XChaCha20Poly1305::new(self.key.key.expose_secret().into());
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: &place.associated() })
            .map_err(|_| {
                ConnectError::new(
                    ConnectErrorKind::Secret,
                    format!("{place} can't be sealed: it is too large"),
                )
            })?;
        let mut record = vec![FORMAT];
        record.extend_from_slice(&self.key.id);
        record.extend_from_slice(&nonce);
        record.extend_from_slice(&sealed);
        Ok(record)
    }

    fn open(&self, place: Place<'_>, record: &[u8]) -> Result<SecretSlice<u8>, ConnectError> {
        let damaged = || {
            ConnectError::new(
                ConnectErrorKind::Secret,
                format!(
                    "{place} does not open: the record is damaged, or was copied from another place"
                ),
            )
            .hint("connect again with `casbah connect`")
        };
        let (&format, rest) = record.split_first().ok_or_else(damaged)?;
        if format > FORMAT {
            return Err(ConnectError::new(
                ConnectErrorKind::Secret,
                format!("{place} was sealed by a newer version of casbah (format {format})"),
            )
            .hint("use that version, or connect again with this one"));
        }
        if format != FORMAT {
            return Err(damaged());
        }
        let (id, rest) = rest.split_at_checked(ID_LENGTH).ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LENGTH).ok_or_else(damaged)?;
        let nonce: [u8; NONCE_LENGTH] = nonce.try_into().map_err(|_| damaged())?;
        let key = std::iter::once(&self.key)
            .chain(&self.former)
            .find(|key| key.id == *id)
            .ok_or_else(|| {
                ConnectError::new(
                    ConnectErrorKind::Secret,
                    format!(
                        "{place} was sealed with another key: its id is {}, that of the key in use {}",
                        id_text(id),
                        self.key.id()
                    ),
                )
                .hint("give the key that was used before in `CASBAH_KEY` or the key file, or connect again")
            })?;
        let opened = XChaCha20Poly1305::new(key.key.expose_secret().into())
            .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: &place.associated() })
            .map_err(|_| damaged())?;
        Ok(SecretSlice::from(opened))
    }

    /// Seals everything of a tenant anew that an earlier key had sealed, in one commit.
    /// Returns how many secrets were changed.
    ///
    /// # Errors
    /// `Secret` when one does not open, `Store` when the store fails; nothing is changed then.
    pub fn reseal(&self, store: &dyn Store, tenant: &TenantName) -> Result<usize, ConnectError> {
        let mut records = Vec::new();
        store.scan(tenant, Table::Secret, &ScanRange::all(), false, &mut |key, record| {
            records.push((key.to_vec(), record.to_vec()));
            true
        })?;
        let mut commit = Commit::new();
        for (key, record) in records {
            if record.get(1..1 + ID_LENGTH) == Some(self.key.id.as_slice()) {
                continue;
            }
            let Some((connection, name)) = Place::parse(&key) else { continue };
            let place = Place { tenant, connection: &connection, name: &name };
            let secret = self.open(place, &record)?;
            commit = commit.expect(Table::Secret, key, Some(record));
            commit.writes.push(self.put(place, secret.expose_secret())?);
        }
        let changed = commit.writes.len();
        if changed > 0 {
            store.commit(tenant, commit)?;
        }
        Ok(changed)
    }
}

/// A secret, and the stored record it came from, for a compare-and-set.
#[derive(Debug)]
pub struct Opened {
    /// What was sealed.
    pub secret: SecretSlice<u8>,
    /// The record in the store.
    pub record: Vec<u8>,
}

/// Where a secret belongs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Tenant.
    pub tenant: &'a TenantName,
    /// Connection.
    pub connection: &'a ConnectionName,
    /// Name of the secret, e.g. `token`.
    pub name: &'a str,
}

impl Place<'_> {
    /// The key in the store's table of secrets. A connection's name has no slash.
    pub(crate) fn key(&self) -> Vec<u8> {
        format!("{}/{}", self.connection, self.name).into_bytes()
    }

    fn parse(key: &[u8]) -> Option<(ConnectionName, String)> {
        let (connection, name) = std::str::from_utf8(key).ok()?.split_once('/')?;
        Some((connection.parse().ok()?, name.to_owned()))
    }

    fn associated(&self) -> Vec<u8> {
        let mut bytes = b"casbah secret\0".to_vec();
        for part in [self.tenant.as_str(), self.connection.as_str(), self.name] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} of connection `{}`", self.name, self.connection)
    }
}

#[cfg(test)]
mod tests;
