//! Detectors that load well and then misbehave.

use casbah_model::detector::Detector as _;
use casbah_runtime::{ConfigureError, RuntimeErrorKind as Kind};

use crate::{
    Watch, attack, batch, deadline, engine, guest, hostile_detector, line, names_plugin, nothing,
};
use casbah_runtime::{DetectorPlugin, Limits};

/// Runs attacks at a place and lists the messages.
fn list(place: &str, attacks: &[&str]) -> String {
    let mut watch = Watch::new();
    let mut list = String::new();
    for name in attacks {
        match attack(place, name) {
            Err(ConfigureError::Runtime(error)) => {
                names_plugin(&error, "hostile");
                line(&mut list, name, &error);
            }
            Err(other) => line(&mut list, name, &other),
            Ok((_, outcome)) => {
                line(&mut list, name, &format!("{} findings", outcome.findings.len()))
            }
        }
        watch.next_batch();
    }
    watch.finish();
    list
}

/// Attacks that need no particular function.
const ANYWHERE: &[&str] = &[
    "loop",
    "memory",
    "memory-at-once",
    "stack",
    "stack-in-memory",
    "trap",
    "panic",
    "panic-long",
    "index",
    "wild",
    "log-flood",
    "log-loop",
];

#[test]
fn in_configure() {
    insta::assert_snapshot!(list("configure", ANYWHERE), @r#"
    loop: plugin `hostile`: ran longer than 100ms in `configure` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    memory: plugin `hostile`: needed more than 64 MiB of memory in `configure`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    memory-at-once: plugin `hostile`: needed more than 64 MiB of memory in `configure`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    stack: plugin `hostile`: ran out of stack in `configure`: it calls itself too deeply
    stack-in-memory: plugin `hostile`: reached outside its memory in `configure`
    hint: an endless recursion ends like this, too: the stack in a plugin's memory is small
    trap: plugin `hostile`: trapped in `configure`: wasm `unreachable` instruction executed
    panic: plugin `hostile`: panicked in `configure` at guests/detector/src/lib.rs:…: the attack�[31m of configure
    panic-long: plugin `hostile`: panicked in `configure` at guests/detector/src/lib.rs:…: long long long long long long long long long long long long long long long  [...]
    index: plugin `hostile`: panicked in `configure` at guests/detector/src/lib.rs:…: index out of bounds: the len is 3 but the index is 3
    wild: plugin `hostile`: reached outside its memory in `configure`
    hint: an endless recursion ends like this, too: the stack in a plugin's memory is small
    log-flood: 1 findings
    log-loop: plugin `hostile`: ran longer than 100ms in `configure` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    "#);
}

#[test]
fn in_begin() {
    insta::assert_snapshot!(list("begin", ANYWHERE), @r#"
    loop: plugin `hostile`: ran longer than 100ms in `begin` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    memory: plugin `hostile`: needed more than 64 MiB of memory in `begin`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    memory-at-once: plugin `hostile`: needed more than 64 MiB of memory in `begin`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    stack: plugin `hostile`: ran out of stack in `begin`: it calls itself too deeply
    stack-in-memory: plugin `hostile`: reached outside its memory in `begin`
    hint: an endless recursion ends like this, too: the stack in a plugin's memory is small
    trap: plugin `hostile`: trapped in `begin`: wasm `unreachable` instruction executed
    panic: plugin `hostile`: panicked in `begin` at guests/detector/src/lib.rs:…: the attack�[31m of begin
    panic-long: plugin `hostile`: panicked in `begin` at guests/detector/src/lib.rs:…: long long long long long long long long long long long long long long long long [...]
    index: plugin `hostile`: panicked in `begin` at guests/detector/src/lib.rs:…: index out of bounds: the len is 3 but the index is 3
    wild: plugin `hostile`: reached outside its memory in `begin`
    hint: an endless recursion ends like this, too: the stack in a plugin's memory is small
    log-flood: 1 findings
    log-loop: plugin `hostile`: ran longer than 100ms in `begin` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    "#);
}

#[test]
fn in_finish() {
    insta::assert_snapshot!(list("finish", ANYWHERE), @r#"
    loop: plugin `hostile`: ran longer than 100ms in `finish` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    memory: plugin `hostile`: needed more than 64 MiB of memory in `finish`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    memory-at-once: plugin `hostile`: needed more than 64 MiB of memory in `finish`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    stack: plugin `hostile`: ran out of stack in `finish`: it calls itself too deeply
    stack-in-memory: plugin `hostile`: reached outside its memory in `finish`
    hint: an endless recursion ends like this, too: the stack in a plugin's memory is small
    trap: plugin `hostile`: trapped in `finish`: wasm `unreachable` instruction executed
    panic: plugin `hostile`: panicked in `finish` at guests/detector/src/lib.rs:…: the attack�[31m of finish
    panic-long: plugin `hostile`: panicked in `finish` at guests/detector/src/lib.rs:…: long long long long long long long long long long long long long long long lon [...]
    index: plugin `hostile`: panicked in `finish` at guests/detector/src/lib.rs:…: index out of bounds: the len is 3 but the index is 3
    wild: plugin `hostile`: reached outside its memory in `finish`
    hint: an endless recursion ends like this, too: the stack in a plugin's memory is small
    log-flood: 1 findings
    log-loop: plugin `hostile`: ran longer than 100ms in `finish` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    "#);
}

#[test]
fn problems_of_settings() {
    let attacks = ["problems-none", "problem-elsewhere", "problem-ugly"];
    insta::assert_snapshot!(list("configure", &attacks), @r#"
    problems-none: plugin `hostile`: `configure` returned an error without saying what is wrong
    problem-elsewhere: plugin `hostile`: `configure` returned a problem of policy 7, but was given 1 policy
    problem-ugly: policy 0 /�[2J: no�good!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!! [...]
    "#);
    let Err(ConfigureError::Problems(problems)) = attack("configure", "problems-many") else {
        unreachable!("problems were found")
    };
    assert_eq!(problems.len(), 100, "a hundred thousand problems are not shown");
}

#[test]
fn keys_of_states() {
    let attacks = ["error", "keys-many", "key-long", "key-twice", "key-elsewhere", "key-not-utf8"];
    insta::assert_snapshot!(list("begin", &attacks), @r#"
    error: plugin `hostile`: gave up in `begin`: the�[31m attack
    keys-many: plugin `hostile`: `begin` returned 200000 keys; at most 100000 are allowed
    key-long: plugin `hostile`: `begin` returned a key of 513 bytes; at most 512 are allowed
    key-twice: plugin `hostile`: `begin` returned the key `a` twice
    key-elsewhere: plugin `hostile`: `begin` returned a key of policy 1, but was given 1 policy
    key-not-utf8: plugin `hostile`: `begin` returned a key that is not UTF-8
    "#);
}

#[test]
fn findings_and_states() {
    let attacks = [
        "error",
        "findings-many",
        "evidence-many",
        "policy-elsewhere",
        "evidence-future",
        "evidence-enormous",
        "time-insane",
        "evidence-time-insane",
        "backwards",
        "group-wide",
        "state-unasked",
        "state-twice",
        "state-large",
    ];
    insta::assert_snapshot!(list("finish", &attacks), @r#"
    error: plugin `hostile`: gave up in `finish`: the�[31m attack
    findings-many: plugin `hostile`: `finish` returned 20000 findings; at most 10000 are allowed
    evidence-many: plugin `hostile`: `finish` returned 1100000 activities as evidence; at most 1000000 are allowed
    policy-elsewhere: plugin `hostile`: `finish` returned a finding of policy 1, but was given 1 policy
    evidence-future: plugin `hostile`: `finish` returned activity 1000041 as evidence, but the newest it was given is 42
    evidence-enormous: plugin `hostile`: `finish` returned activity 18446744073709551615 as evidence, but the newest it was given is 42
    time-insane: plugin `hostile`: `finish` returned a finding with the time -9223372036854775808, which no calendar has
    evidence-time-insane: plugin `hostile`: `finish` returned a finding with the time 9223372036854775807, which no calendar has
    backwards: plugin `hostile`: `finish` returned a finding whose last activity is before its first
    group-wide: plugin `hostile`: `finish` returned a finding with 1000 columns in its group and 0 details; at most 64 are allowed
    state-unasked: plugin `hostile`: `finish` returned a state for key 1, but asked for 1 key
    state-twice: plugin `hostile`: `finish` returned two states for key 0
    state-large: plugin `hostile`: `finish` returned a state of 1048577 bytes; at most 1 MiB are allowed
    "#);
}

/// Texts come from users of the apps, so they are never a reason to lose a finding.
#[test]
fn ugly_texts_are_cleaned_and_cut() {
    let (_, outcome) = attack("finish", "texts-ugly").unwrap();
    let [finding] = &outcome.findings[..] else { unreachable!("one finding") };
    let [(column, value)] = &finding.group[..] else { unreachable!("one column") };
    insta::assert_snapshot!(column, @r#"actor�[2J #d104d7818167c382"#);
    assert!(value.len() <= 1024 && value.starts_with("xxx"));
    assert!(finding.summary.starts_with("\u{fffd}]0;title\u{fffd}sss"));
    assert!(finding.summary.len() <= 1024);
    assert_eq!(finding.details, [("a b".to_owned(), "\u{fffd}txt.exe".to_owned())]);
}

/// A detector sees what it said that it reads, and nothing else.
#[test]
fn only_named_columns_are_handed_over() {
    let mut batch = batch();
    batch.nested.push(casbah_model::Nested {
        name: "objects".to_owned(),
        ends: vec![0, 0],
        columns: Vec::new(),
    });
    let settings = r#"{"in": "begin", "attack": "columns"}"#.to_owned();
    let detector = hostile_detector("").configure(vec![settings]).unwrap();
    let error = detector.evaluate_batch(&batch, &mut nothing).unwrap_err();
    assert_eq!(error.kind(), Kind::Plugin);
    insta::assert_snapshot!(error, @r#"plugin `hostile`: gave up in `begin`: got sequence, time"#);
}

/// Without a column of sequence numbers there is nothing that evidence could name.
#[test]
fn evidence_without_sequence_numbers() {
    let detector = hostile_detector("").configure(vec!["{}".to_owned()]).unwrap();
    let mut batch = batch();
    batch.columns.retain(|column| column.name != "sequence");
    let error = detector.evaluate_batch(&batch, &mut nothing).unwrap_err();
    assert_eq!(error.kind(), Kind::Returned);
    insta::assert_snapshot!(error, @r#"
    plugin `hostile`: `finish` returned activity 0 as evidence, but was given none with a sequence number
    "#);
}

/// The evaluation loop sees the same message through the trait.
#[test]
fn through_the_trait() {
    let settings = r#"{"in": "finish", "attack": "panic"}"#.to_owned();
    let detector = hostile_detector("").configure(vec![settings]).unwrap();
    let error = detector.evaluate(&batch(), &mut nothing).unwrap_err();
    insta::assert_snapshot!(crate::without_places(&error.to_string()), @r#"
    plugin `hostile`: panicked in `finish` at guests/detector/src/lib.rs:…: the attack�[31m of finish
    "#);
}

/// What a batch does to its instance is gone with it: the same detector works on the next one.
#[test]
fn the_same_detector_serves_the_next_batch() {
    let detector = hostile_detector("").configure(vec!["{}".to_owned()]).unwrap();
    let expected = detector.evaluate_batch(&batch(), &mut nothing).unwrap();
    for name in ["loop", "memory", "stack", "panic"] {
        attack("begin", name).unwrap_err();
        assert_eq!(detector.evaluate_batch(&batch(), &mut nothing).unwrap(), expected, "{name}");
    }
}

/// The host's own mistake is told apart from the plugin's.
#[test]
fn states_that_the_host_does_not_hand_in() {
    let detector = hostile_detector("").configure(vec!["{}".to_owned()]).unwrap();
    let error = detector.evaluate_batch(&batch(), &mut |_| Vec::new()).unwrap_err();
    assert_eq!(error.kind(), Kind::State);
    insta::assert_snapshot!(error, @r#"plugin `hostile`: was given 0 states for 1 key"#);
}

/// While one plugin is stopped by its deadline, the others on other threads are not brought any
/// closer to theirs.
#[test]
fn a_slow_plugin_does_not_hurry_the_others() {
    let (honest, expected) = crate::neighbour();
    let patient = Limits { deadline: std::time::Duration::from_secs(1), ..Limits::detector() };
    let slow = DetectorPlugin::load(engine(), "slow", guest("detector"), patient).unwrap();
    let slow = slow.configure(vec![r#"{"in": "begin", "attack": "loop"}"#.to_owned()]).unwrap();
    std::thread::scope(|scope| {
        let stopped: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let started = std::time::Instant::now();
                    let error = slow.evaluate_batch(&batch(), &mut nothing).unwrap_err();
                    (error.kind(), started.elapsed())
                })
            })
            .collect();
        let mut served = 0;
        while !stopped.iter().all(|thread| thread.is_finished()) {
            assert_eq!(honest.evaluate_batch(&batch(), &mut nothing).unwrap(), expected);
            served += 1;
        }
        assert!(served > 100, "only {served} batches in a second");
        for thread in stopped {
            let (kind, took) = thread.join().unwrap();
            assert_eq!(kind, Kind::Deadline);
            assert!(took >= std::time::Duration::from_secs(1), "stopped early, after {took:?}");
        }
    });
}

/// More callers than places: they wait for one another instead of failing.
#[test]
fn a_full_pool_makes_callers_wait() {
    let mut options = casbah_runtime::EngineOptions::default();
    options.instances = 2;
    let engine = casbah_runtime::Engine::new(options).unwrap();
    let plugin = DetectorPlugin::load(
        &engine,
        "hostile",
        guest("detector"),
        deadline("loop", Limits::detector()),
    )
    .unwrap();
    let honest = plugin.configure(vec!["{}".to_owned()]).unwrap();
    let slow = plugin.configure(vec![r#"{"in": "begin", "attack": "loop"}"#.to_owned()]).unwrap();
    std::thread::scope(|scope| {
        for number in 0..12 {
            let (honest, slow) = (&honest, &slow);
            scope.spawn(move || {
                if number % 3 == 0 {
                    let error = slow.evaluate_batch(&batch(), &mut nothing).unwrap_err();
                    assert_eq!(error.kind(), Kind::Deadline);
                } else {
                    honest.evaluate_batch(&batch(), &mut nothing).unwrap();
                }
            });
        }
    });
}

/// Lines of log are for people: few, short, and nothing in them that moves a cursor.
#[test]
fn the_log_is_bounded_and_clean() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let outcome =
        tracing::subscriber::with_default(subscriber, || attack("finish", "log-flood").unwrap().1);
    assert_eq!(outcome.findings.len(), 1, "a flood of log is no failure");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("casbah::plugin")).collect();
    assert_eq!(lines.len(), 101, "100 lines, and one that says that the rest is dropped");
    assert!(
        lines[0].contains("plugin=\"hostile\"") || lines[0].contains("plugin=hostile"),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains("0\u{fffd}[2Jxxx") && lines[100].contains("further lines"));
    for line in lines {
        assert!(line.len() < 1200 && !line.contains(char::is_control), "{line:?}");
    }
}

/// Where a test collects what is logged.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
