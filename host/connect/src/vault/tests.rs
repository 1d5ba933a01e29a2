use super::*;
use crate::testing::Flaky;
use insta::assert_snapshot;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const KEY_HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn tenant(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn connection(name: &str) -> ConnectionName {
    name.parse().unwrap()
}

#[test]
fn a_key_is_read_in_either_spelling_and_never_repeated() {
    let key = VaultKey::parse(KEY).unwrap();
    assert_eq!(key.id(), VaultKey::parse(KEY_HEX).unwrap().id());
    assert_eq!(key.id(), VaultKey::parse(&KEY.replace('=', "")).unwrap().id());
    assert!(!format!("{key:?}").contains("AAEC"));
    for wrong in ["", "secret-of-the-wrong-length", &KEY[4..], &format!("{KEY_HEX}00")] {
        let error = VaultKey::parse(wrong).unwrap_err();
        assert_eq!(error.kind(), ConnectErrorKind::Key);
        assert!(wrong.is_empty() || !error.to_string().contains(wrong));
    }
    assert_snapshot!(VaultKey::parse("x").unwrap_err(), @r"
    the key for secrets is not 32 bytes in base64 or hexadecimal
    hint: make one with `openssl rand -base64 32`
    ");
    assert_snapshot!(VaultKey::load(Some("x"), Path::new("/none"), empty().1.as_ref()).unwrap_err(), @r"
    `CASBAH_KEY` is not 32 bytes in base64 or hexadecimal
    hint: make one with `openssl rand -base64 32`
    ");
}

/// A store without anything in it.
fn empty() -> (tempfile::TempDir, std::sync::Arc<Flaky>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Flaky::open(dir.path());
    (dir, store)
}

/// A key that got lost is not silently replaced by one that opens nothing.
#[test]
fn a_lost_key_is_told_while_there_is_something_it_had_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let (_data, store) = empty();
    let vault = Vault::new(VaultKey::load(None, &file, store.as_ref()).unwrap());
    let (acme, one) = (tenant("acme"), connection("one"));
    let place = Place { tenant: &acme, connection: &one, name: "token" };
    let mut commit = Commit::new();
    commit.writes.push(vault.put(place, b"secret").unwrap());
    store.commit(&acme, commit).unwrap();
    VaultKey::load(None, &file, store.as_ref()).unwrap();
    fs::remove_file(&file).unwrap();

    let error = VaultKey::load(None, &file, store.as_ref()).unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Key);
    assert!(!file.exists(), "none is made");
    assert_snapshot!(error.to_string().replace(dir.path().to_str().unwrap(), "DIR"), @r"
    the key for secrets `DIR/key` is gone, and without it the tokens of the connections can't be opened
    hint: restore it from your backup, or give it in `CASBAH_KEY`; if it is lost for good, make a new one with `(umask 077; openssl rand -base64 32 > DIR/key)` and sign every connection in anew with `casbah connect APP --name NAME --replace`
    ");
    VaultKey::load(Some(KEY), &file, store.as_ref()).unwrap();
    // Nothing sealed, nothing lost.
    let mut commit = Commit::new();
    commit.writes.push(vault.erase(place));
    store.commit(&acme, commit).unwrap();
    VaultKey::load(None, &file, store.as_ref()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_key_file_is_made_for_its_owner_alone_and_refused_when_others_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let (_data, store) = empty();
    let load = |file: &Path| VaultKey::load(None, file, store.as_ref());
    let made = load(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(load(&file).unwrap().id(), made.id(), "it is kept");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left behind");
    assert_ne!(load(&dir.path().join("other")).unwrap().id(), made.id());

    let show = |error: ConnectError| error.to_string().replace(dir.path().to_str().unwrap(), "DIR");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = load(&file).unwrap_err();
    assert_snapshot!(show(error), @r"
    the key for secrets in `DIR/key` can be read by others (mode 0640)
    hint: `chmod 600 DIR/key`, and think of the key as known if others use this machine
    ");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    load(&file).unwrap();

    let damaged = dir.path().join("damaged");
    fs::write(&damaged, "AAEC").unwrap();
    fs::set_permissions(&damaged, fs::Permissions::from_mode(0o600)).unwrap();
    assert_snapshot!(show(load(&damaged).unwrap_err()), @r"
    `DIR/damaged` does not hold a key of 32 bytes in base64 or hexadecimal
    hint: restore it from your backup; secrets sealed with a lost key have to be given again
    ");
    let error = load(&dir.path().join("no/such/folder")).unwrap_err();
    assert_snapshot!(show(error), @r"
    cannot write a new key to `DIR/no/such/folder`: No such file or directory (os error 2)
    hint: give the key in `CASBAH_KEY`, or make the folder writable
    ");
}

#[test]
fn a_secret_opens_only_in_its_own_place_with_its_own_key() {
    let vault = Vault::new(VaultKey::parse(KEY).unwrap());
    let (acme, other) = (tenant("acme"), tenant("other"));
    let (one, two) = (connection("one"), connection("two"));
    let place = Place { tenant: &acme, connection: &one, name: "token" };
    let sealed = vault.put(place, b"hunter22").unwrap().value.unwrap();
    assert_eq!(vault.open(place, &sealed).unwrap().expose_secret(), b"hunter22");
    assert!(!sealed.windows(8).any(|window| window == b"hunter22"));
    assert_ne!(vault.put(place, b"hunter22").unwrap().value.unwrap(), sealed, "nonces differ");

    for elsewhere in [
        Place { tenant: &other, ..place },
        Place { connection: &two, ..place },
        Place { name: "client", ..place },
    ] {
        assert_eq!(vault.open(elsewhere, &sealed).unwrap_err().kind(), ConnectErrorKind::Secret);
    }
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(vault.open(place, &damaged).is_err(), "byte {at}");
        assert!(vault.open(place, &sealed[..at]).is_err(), "cut at {at}");
    }

    let show = |error: ConnectError| error.to_string();
    assert_snapshot!(show(vault.open(Place { connection: &two, ..place }, &sealed).unwrap_err()), @r"
    the token of connection `two` does not open: the record is damaged, or was copied from another place
    hint: connect again with `casbah connect`
    ");
    let wrong = Vault::new(VaultKey::parse(&"07".repeat(32)).unwrap());
    assert_snapshot!(show(wrong.open(place, &sealed).unwrap_err()), @r"
    the token of connection `one` was sealed with another key: its id is 8e622ee2ba90689b, that of the key in use 67759ca3f317d0bd
    hint: give the key that was used before in `CASBAH_KEY` or the key file, or connect again
    ");
    let mut newer = sealed;
    newer[0] = 9;
    assert_snapshot!(show(vault.open(place, &newer).unwrap_err()), @r"
    the token of connection `one` was sealed by a newer version of casbah (format 9)
    hint: use that version, or connect again with this one
    ");
}

/// Rows of two connections that are swapped in the store itself do not open.
#[test]
fn swapped_rows_do_not_open_and_keys_can_be_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Flaky::open(dir.path());
    let acme = tenant("acme");
    let (one, two) = (connection("one"), connection("two"));
    let place = |connection| Place { tenant: &acme, connection, name: "token" };
    let vault = Vault::new(VaultKey::parse(KEY).unwrap());
    let mut commit = Commit::new();
    commit.writes.push(vault.put(place(&one), b"first").unwrap());
    commit.writes.push(vault.put(place(&two), b"second").unwrap());
    store.commit(&acme, commit).unwrap();

    let newer = Vault::new(VaultKey::generate()).with_former(VaultKey::parse(KEY).unwrap());
    let read = |vault: &Vault, connection| {
        let opened = vault.get(store.as_ref(), place(connection))?.unwrap();
        Ok::<_, ConnectError>(opened.secret.expose_secret().to_vec())
    };
    assert_eq!(newer.reseal(store.as_ref(), &acme).unwrap(), 2);
    assert_eq!(newer.reseal(store.as_ref(), &acme).unwrap(), 0);
    assert_eq!(read(&newer, &one).unwrap(), b"first");
    assert_eq!(read(&vault, &one).unwrap_err().kind(), ConnectErrorKind::Secret);

    let raw =
        |connection| store.get(&acme, Table::Secret, &place(connection).key()).unwrap().unwrap();
    let (first, second) = (raw(&one), raw(&two));
    let swapped = Commit::new().put(Table::Secret, place(&one).key(), second).put(
        Table::Secret,
        place(&two).key(),
        first,
    );
    store.commit(&acme, swapped).unwrap();
    assert_eq!(read(&newer, &one).unwrap_err().kind(), ConnectErrorKind::Secret);
    assert_eq!(read(&newer, &two).unwrap_err().kind(), ConnectErrorKind::Secret);
}
