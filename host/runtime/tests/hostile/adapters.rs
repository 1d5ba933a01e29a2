//! Adapters that load well and then misbehave.

use casbah_model::adapter::{Adapter as _, Failure, Next, PlanRequest, Response, class};

use casbah_model::Values;
use casbah_runtime::{DetectorPlugin, Limits};

use crate::{Watch, engine, hostile_adapter, line};

const BODY: &[u8] = b"{}";

fn plan(attack: &str) -> Result<String, Failure> {
    let request = PlanRequest { settings: attack.to_owned(), ..PlanRequest::default() };
    hostile_adapter(attack)
        .plan(&request)
        .map(|request| format!("{} {}", request.method, request.path))
}

fn read(attack: &str) -> Result<String, Failure> {
    let request = PlanRequest { settings: attack.to_owned(), ..PlanRequest::default() };
    let response = Response { request, status: 200, headers: Vec::new(), body: BODY.to_vec() };
    hostile_adapter(attack).read(&response).map(|page| {
        page.batch.check().unwrap();
        format!("{} rows, {:?}, {:?}", page.batch.len(), page.next, page.facts)
    })
}

fn normalize(attack: &str) -> Result<String, Failure> {
    hostile_adapter(attack).normalize(attack, BODY, &[0, 1, 1, 2]).map(|batch| {
        batch.check().unwrap();
        format!("{} rows", batch.len())
    })
}

fn split(attack: &str) -> Result<String, Failure> {
    hostile_adapter(attack).split(attack.as_bytes()).map(|spans| format!("{spans:?}"))
}

/// Runs attacks on a function and lists the messages.
fn list(call: fn(&str) -> Result<String, Failure>, attacks: &[&str]) -> String {
    let mut watch = Watch::new();
    let mut list = String::new();
    for name in attacks {
        match call(name) {
            Err(failure) => {
                // A smaller page might not have needed so much.
                let smaller = failure.message.contains("`read`")
                    && ["deadline", "memory", "too-much"].contains(&failure.code.as_str());
                let class = if smaller { class::TOO_LARGE } else { class::PLUGIN };
                assert_eq!(failure.class, class, "{name}");
                assert!(failure.message.starts_with("plugin `hostile-app`: "), "{failure}");
                assert!(failure.message.len() < 4096);
                assert!(!failure.message.contains(char::is_control), "{failure}");
                line(&mut list, name, &failure);
            }
            Ok(answer) => line(&mut list, name, &answer),
        }
        watch.next_batch();
    }
    watch.finish();
    list
}

const ANYWHERE: &[&str] = &["loop", "memory", "trap", "panic"];

/// Times that can't be are left out before a detector sees them: what it finds in the activities
/// around them is not refused.
#[test]
fn absurd_times_are_left_out() {
    let attack = "times-absurd";
    let mut batch = hostile_adapter(attack).normalize(attack, BODY, &[0; 10]).unwrap();
    batch.set_column("sequence", Values::Integer((1..=5).collect()));
    let times: Vec<_> = (0..batch.len()).map(|row| batch.integer("time", row)).collect();
    let credible = [None, None, None, Some(1_790_000_000_000), Some(1_790_000_001_000)];
    assert_eq!(times, credible);

    let plugin = casbah_plugin_bundle::find("activity").unwrap();
    let detector =
        DetectorPlugin::load(engine(), plugin.name, plugin.bytes, Limits::detector()).unwrap();
    let rows = r#"[{"field": "kind", "is": "export"}]"#;
    let policies = [
        format!(r#"{{"when": {rows}, "quiet": 300000}}"#),
        format!(r#"{{"when": {rows}, "quiet": 300000, "repeat": {{"count": 2, "within": "1m"}}}}"#),
    ];
    let detector = detector.configure(policies.to_vec()).unwrap();
    let (_, outcome) = detector.evaluate_batch(&batch, &mut crate::nothing).unwrap();
    let mut last: Vec<_> = outcome.findings.iter().map(|f| (f.policy, f.last)).collect();
    last.sort_unstable();
    assert_eq!(last, [(0, 0), (0, 1_790_000_001_000), (1, 1_790_000_001_000)]);
}

/// Every way in which a table can be wrong.
const TABLES: &[&str] = &[
    "texts-none",
    "texts-first",
    "texts-falling",
    "texts-outside",
    "texts-short",
    "texts-inside-character",
    "rows-more",
    "rows-enormous",
    "rows-none",
    "rows-many",
    "column-short",
    "column-long",
    "column-twice",
    "column-name-ugly",
    "id-outside",
    "nested-short",
    "nested-falling",
    "nested-outside",
    "nested-id-outside",
    "nested-twice",
];

#[test]
fn in_plan() {
    let attacks = [
        "",
        "method",
        "host",
        "path-relative",
        "path-authority",
        "path-up",
        "path-up-hidden",
        "path-query",
        "path-break",
        "header-authorization",
        "header-host",
        "header-break",
        "header-name",
        "large",
    ];
    insta::assert_snapshot!(list(plan, &[&attacks[..], ANYWHERE].concat()), @r#"
    : GET /events
    method: plugin `hostile-app`: `plan` returned a request with the method `GET / HTTP/1.1  host: evil` (code returned)
    host: plugin `hostile-app`: `plan` returned a request to the host `evil.example.com`, which it did not declare (code returned)
    path-relative: plugin `hostile-app`: `plan` returned a request with the path `events`, which leads elsewhere (code returned)
    path-authority: plugin `hostile-app`: `plan` returned a request with the path `//evil.example.com/`, which leads elsewhere (code returned)
    path-up: plugin `hostile-app`: `plan` returned a request with the path `/a/../../admin`, which leads elsewhere (code returned)
    path-up-hidden: plugin `hostile-app`: `plan` returned a request with the path `/a/%2E./admin`, which leads elsewhere (code returned)
    path-query: plugin `hostile-app`: `plan` returned a request with the path `/events?all=1`, which leads elsewhere (code returned)
    path-break: plugin `hostile-app`: `plan` returned a request with the path `/events  x: y`, which leads elsewhere (code returned)
    header-authorization: plugin `hostile-app`: `plan` returned a request with the header `Authorization`, which only the host sets (code returned)
    header-host: plugin `hostile-app`: `plan` returned a request with the header `hOST`, which only the host sets (code returned)
    header-break: plugin `hostile-app`: `plan` returned a request with the malformed header `x` (code returned)
    header-name: plugin `hostile-app`: `plan` returned a request with the malformed header `x y` (code returned)
    large: plugin `hostile-app`: `plan` returned a request of more than 1 MiB (code returned)
    loop: plugin `hostile-app`: ran longer than 100ms in `plan` and was stopped (code deadline)
    memory: plugin `hostile-app`: needed more than 256 MiB of memory in `plan` (code memory)
    trap: plugin `hostile-app`: trapped in `plan`: wasm `unreachable` instruction executed (code trap)
    panic: plugin `hostile-app`: panicked in `plan` at guests/adapter/src/lib.rs:…: the attack (code trap)
    "#);
}

#[test]
fn in_read() {
    let attacks = [
        "",
        "raw-outside",
        "raw-backwards",
        "raw-odd",
        "raw-few",
        "raw-many",
        "cursor-long",
        "facts-many",
        "facts-ugly",
        "wait-for-ever",
    ];
    insta::assert_snapshot!(list(read, &[&attacks[..], ANYWHERE].concat()), @r#"
    : 2 rows, More, []
    raw-outside: plugin `hostile-app`: `read` returned record 1 at a place that the body of 2 bytes does not have (code returned)
    raw-backwards: plugin `hostile-app`: `read` returned record 1 at a place that the body of 2 bytes does not have (code returned)
    raw-odd: plugin `hostile-app`: `read` returned record 1 at a place that the body of 2 bytes does not have (code returned)
    raw-few: plugin `hostile-app`: `read` returned 1 raw record for 2 rows (code returned)
    raw-many: plugin `hostile-app`: `read` returned 1000000 raw records for 2 rows (code returned)
    cursor-long: plugin `hostile-app`: `read` returned a cursor of 100000 bytes; at most 64 KiB are allowed (code returned)
    facts-many: plugin `hostile-app`: `read` returned 1000 facts; at most 64 are allowed (code returned)
    facts-ugly: 2 rows, More, [("account.id", "�[2J7")]
    wait-for-ever: 2 rows, Wait(86400000), []
    loop: plugin `hostile-app`: ran longer than 100ms in `read` and was stopped (code deadline)
    memory: plugin `hostile-app`: needed more than 256 MiB of memory in `read` (code memory)
    trap: plugin `hostile-app`: trapped in `read`: wasm `unreachable` instruction executed (code trap)
    panic: plugin `hostile-app`: panicked in `read` at guests/adapter/src/lib.rs:…: the attack (code trap)
    "#);
}

#[test]
fn tables_of_read() {
    insta::assert_snapshot!(list(read, TABLES), @r#"
    texts-none: plugin `hostile-app`: `read` returned a malformed table: text 0 is not the empty text (code returned)
    texts-first: plugin `hostile-app`: `read` returned a malformed table: text 0 is not the empty text (code returned)
    texts-falling: plugin `hostile-app`: `read` returned a malformed table: text 2 ends at byte 1, which is before its start or inside a character (code returned)
    texts-outside: plugin `hostile-app`: `read` returned a malformed table: text 3 ends at byte 9, which is before its start or inside a character (code returned)
    texts-short: plugin `hostile-app`: `read` returned a malformed table: the texts end at byte 3, but the blob has 6 bytes (code returned)
    texts-inside-character: plugin `hostile-app`: `read` returned a malformed table: text 1 ends at byte 1, which is before its start or inside a character (code returned)
    rows-more: plugin `hostile-app`: `read` returned a malformed table: column `time` has 2 values for 3 rows (code returned)
    rows-enormous: plugin `hostile-app`: `read` returned a table of 4294967295 rows; at most 100000 are allowed (code too-much)
    rows-none: plugin `hostile-app`: `read` returned a malformed table: column `time` has 2 values for 0 rows (code returned)
    rows-many: plugin `hostile-app`: `read` returned a table of 200000 rows; at most 100000 are allowed (code too-much)
    column-short: plugin `hostile-app`: `read` returned a malformed table: column `x` has 1 values for 2 rows (code returned)
    column-long: plugin `hostile-app`: `read` returned a malformed table: column `x` has 3 values for 2 rows (code returned)
    column-twice: plugin `hostile-app`: `read` returned a malformed table: column `time` occurs twice (code returned)
    column-name-ugly: plugin `hostile-app`: `read` returned a malformed table: column `?[2Jx` has 1 values for 2 rows (code returned)
    id-outside: plugin `hostile-app`: `read` returned a malformed table: column `x` points at text 99, but there are 4 texts (code returned)
    nested-short: plugin `hostile-app`: `read` returned a malformed table: nested table `objects` has 1 ends for 2 rows (code returned)
    nested-falling: plugin `hostile-app`: `read` returned a malformed table: the ends of nested table `objects` fall (code returned)
    nested-outside: plugin `hostile-app`: `read` returned a malformed table: column `objects.name` has 2 values for 4294967295 rows (code returned)
    nested-id-outside: plugin `hostile-app`: `read` returned a malformed table: column `objects.name` points at text 4000000000, but there are 4 texts (code returned)
    nested-twice: plugin `hostile-app`: `read` returned a malformed table: nested table `objects` occurs twice (code returned)
    "#);
}

#[test]
fn in_normalize() {
    insta::assert_snapshot!(list(normalize, &[&[""], TABLES, ANYWHERE].concat()), @r#"
    : 2 rows
    texts-none: plugin `hostile-app`: `normalize` returned a malformed table: text 0 is not the empty text (code returned)
    texts-first: plugin `hostile-app`: `normalize` returned a malformed table: text 0 is not the empty text (code returned)
    texts-falling: plugin `hostile-app`: `normalize` returned a malformed table: text 2 ends at byte 1, which is before its start or inside a character (code returned)
    texts-outside: plugin `hostile-app`: `normalize` returned a malformed table: text 3 ends at byte 9, which is before its start or inside a character (code returned)
    texts-short: plugin `hostile-app`: `normalize` returned a malformed table: the texts end at byte 3, but the blob has 6 bytes (code returned)
    texts-inside-character: plugin `hostile-app`: `normalize` returned a malformed table: text 1 ends at byte 1, which is before its start or inside a character (code returned)
    rows-more: plugin `hostile-app`: `normalize` returned a malformed table: column `time` has 2 values for 3 rows (code returned)
    rows-enormous: plugin `hostile-app`: `normalize` returned a table of 4294967295 rows; at most 100000 are allowed (code too-much)
    rows-none: plugin `hostile-app`: `normalize` returned a malformed table: column `time` has 2 values for 0 rows (code returned)
    rows-many: plugin `hostile-app`: `normalize` returned a table of 200000 rows; at most 100000 are allowed (code too-much)
    column-short: plugin `hostile-app`: `normalize` returned a malformed table: column `x` has 1 values for 2 rows (code returned)
    column-long: plugin `hostile-app`: `normalize` returned a malformed table: column `x` has 3 values for 2 rows (code returned)
    column-twice: plugin `hostile-app`: `normalize` returned a malformed table: column `time` occurs twice (code returned)
    column-name-ugly: plugin `hostile-app`: `normalize` returned a malformed table: column `?[2Jx` has 1 values for 2 rows (code returned)
    id-outside: plugin `hostile-app`: `normalize` returned a malformed table: column `x` points at text 99, but there are 4 texts (code returned)
    nested-short: plugin `hostile-app`: `normalize` returned a malformed table: nested table `objects` has 1 ends for 2 rows (code returned)
    nested-falling: plugin `hostile-app`: `normalize` returned a malformed table: the ends of nested table `objects` fall (code returned)
    nested-outside: plugin `hostile-app`: `normalize` returned a malformed table: column `objects.name` has 2 values for 4294967295 rows (code returned)
    nested-id-outside: plugin `hostile-app`: `normalize` returned a malformed table: column `objects.name` points at text 4000000000, but there are 4 texts (code returned)
    nested-twice: plugin `hostile-app`: `normalize` returned a malformed table: nested table `objects` occurs twice (code returned)
    loop: plugin `hostile-app`: ran longer than 100ms in `normalize` and was stopped (code deadline)
    memory: plugin `hostile-app`: needed more than 256 MiB of memory in `normalize` (code memory)
    trap: plugin `hostile-app`: trapped in `normalize`: wasm `unreachable` instruction executed (code trap)
    panic: plugin `hostile-app`: panicked in `normalize` at guests/adapter/src/lib.rs:…: the attack (code trap)
    "#);
}

#[test]
fn in_split() {
    insta::assert_snapshot!(list(split, &[&["", "raw-outside", "raw-odd"], ANYWHERE].concat()), @r#"
    : [0, 0]
    raw-outside: plugin `hostile-app`: `split` returned record 0 at a place that the body of 11 bytes does not have (code returned)
    raw-odd: plugin `hostile-app`: `split` returned record 0 at a place that the body of 7 bytes does not have (code returned)
    loop: plugin `hostile-app`: ran longer than 100ms in `split` and was stopped (code deadline)
    memory: plugin `hostile-app`: needed more than 256 MiB of memory in `split` (code memory)
    trap: plugin `hostile-app`: trapped in `split`: wasm `unreachable` instruction executed (code trap)
    panic: plugin `hostile-app`: panicked in `split` at guests/adapter/src/lib.rs:…: the attack (code trap)
    "#);
}

/// A failure is the adapter's word, but still a stranger's.
#[test]
fn failures_are_cleaned() {
    for call in [plan, read, normalize, split] {
        let failure = call("failure").unwrap_err();
        assert_eq!(failure.class, "for\u{fffd}[31mged");
        assert!(failure.code.len() <= 128);
        assert!(
            failure.message.starts_with("line line\u{fffd}mmm") && failure.message.len() <= 2048
        );
        assert_eq!(failure.remedy, "\u{fffd}do nothing");
        assert_eq!(failure.retry_after, Some(24 * 60 * 60 * 1000));
    }
    let request = PlanRequest { settings: "wait-for-ever".to_owned(), ..PlanRequest::default() };
    let response = Response { request, body: BODY.to_vec(), ..Response::default() };
    let page = hostile_adapter("").read(&response).unwrap();
    assert_eq!(page.next, Next::Wait(24 * 60 * 60 * 1000));
}

/// A body that leaves no room is a limit, not a crash.
#[test]
fn a_body_larger_than_the_memory() {
    let body = vec![b' '; 300 << 20];
    let failure = hostile_adapter("").split(&body).unwrap_err();
    insta::assert_snapshot!(failure, @r#"
    plugin `hostile-app`: needed more than 256 MiB of memory in `split` (code memory)
    "#);
}
