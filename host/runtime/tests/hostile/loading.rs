//! What is refused when it is loaded, and what forged components return.

use casbah_runtime::{AdapterPlugin, DetectorPlugin, Limits, PluginKind, RuntimeError, inspect};

use crate::forged::{Forged, store};
use crate::{Watch, batch, deadline, engine, guest, line, names_plugin, nothing};

fn load(bytes: &[u8]) -> Result<DetectorPlugin, RuntimeError> {
    DetectorPlugin::load(engine(), "forged.wasm", bytes, deadline("", Limits::detector()))
}

/// Loads, configures and runs a forged detector; something must go wrong on the way.
fn fails(name: &str, bytes: &[u8]) -> RuntimeError {
    let limits = deadline(name, Limits::detector());
    let plugin = match DetectorPlugin::load(engine(), "forged.wasm", bytes, limits) {
        Ok(plugin) => plugin,
        Err(error) => return error,
    };
    let configured = match plugin.configure(vec!["{}".to_owned()]) {
        Ok(configured) => configured,
        Err(casbah_runtime::ConfigureError::Runtime(error)) => return error,
        Err(other) => unreachable!("{other}"),
    };
    configured.evaluate_batch(&batch(), &mut nothing).unwrap_err()
}

fn list(cases: &[(&str, Vec<u8>)]) -> String {
    let mut watch = Watch::new();
    let mut list = String::new();
    for (name, bytes) in cases {
        let error = fails(name, bytes);
        names_plugin(&error, "forged.wasm");
        line(&mut list, name, &error);
        watch.next_batch();
    }
    watch.finish();
    list
}

/// Where a compiled guest is cut depends on the compiler.
fn without_offsets(text: &str) -> String {
    let mut parts = text.split("(at offset 0x");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str("(at offset …");
        plain.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    plain
}

fn forged(change: impl FnOnce(&mut Forged)) -> Vec<u8> {
    let mut forged = Forged::default();
    change(&mut forged);
    forged.build()
}

/// The template is sound: what the other tests see comes from what they changed.
#[test]
fn the_template_works() {
    let plugin = load(&Forged::default().build()).unwrap();
    assert_eq!((plugin.info().name.as_str(), plugin.info().version.as_str()), ("forged", "1.0.0"));
    let configured = plugin.configure(vec!["{}".to_owned()]).unwrap();
    let (keys, outcome) = configured.evaluate_batch(&batch(), &mut nothing).unwrap();
    assert!(keys.is_empty() && outcome.findings.is_empty() && outcome.changes.is_empty());
}

#[test]
fn not_a_component() {
    let honest = guest("honest");
    let engine = wasmtime_free_elf();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("garbage", (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect()),
        ("a text", b"(component)".to_vec()),
        ("a page", b"<!doctype html><html>404</html>".to_vec()),
        ("a core module", wat::parse_str(Forged::default().module()).unwrap()),
        ("cut off", honest[..honest.len() / 2].to_vec()),
        ("cut off early", honest[..20].to_vec()),
        ("compiled code", engine),
        ("an empty component", wat::parse_str("(component)").unwrap()),
        (
            "too many modules",
            wat::parse_str(format!("(component {})", "(core module)".repeat(17))).unwrap(),
        ),
        ("enormous", vec![0; (64 << 20) + 1]),
    ];
    insta::assert_snapshot!(without_offsets(&list(&cases)), @r#"
    nothing: plugin `forged.wasm`: is not a WebAssembly component: it does not begin as one does
    hint: give the .wasm file that the build made
    garbage: plugin `forged.wasm`: is not a WebAssembly component: it does not begin as one does
    hint: give the .wasm file that the build made
    a text: plugin `forged.wasm`: is not a WebAssembly component: it does not begin as one does
    hint: give the .wasm file that the build made
    a page: plugin `forged.wasm`: is not a WebAssembly component: it does not begin as one does
    hint: give the .wasm file that the build made
    a core module: plugin `forged.wasm`: is a core WebAssembly module, not a component
    hint: make a component of it with `wit-component` (or `wasm-tools component new`)
    cut off: plugin `forged.wasm`: is not a WebAssembly component: unexpected end-of-file (at offset …)
    hint: the file may be cut off; build or fetch it again
    cut off early: plugin `forged.wasm`: is not a WebAssembly component: unexpected end-of-file (at offset …)
    hint: the file may be cut off; build or fetch it again
    compiled code: plugin `forged.wasm`: is code that was compiled already, which is never accepted from outside
    hint: give the component that it was compiled from
    an empty component: plugin `forged.wasm`: exports neither `casbah:plugin/detector` nor `casbah:plugin/adapter`; this casbah serves 0.1
    hint: build it with casbah's SDK: `export_detector!` or `export_adapter!`
    too many modules: plugin `forged.wasm`: is too large: at most 16 core modules, 200000 functions and 1000 names
    enormous: plugin `forged.wasm`: has 67108865 bytes; a plugin has at most 64 MiB
    "#);
}

/// Looks like what a compiler has compiled already: an ELF file with the engine's mark.
fn wasmtime_free_elf() -> Vec<u8> {
    let mut elf = vec![0; 64];
    elf[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 200]);
    // Type, machine, version; header size; sizes of table entries.
    elf[16..18].copy_from_slice(&1_u16.to_le_bytes());
    elf[48..52].copy_from_slice(&1_u32.to_le_bytes());
    elf[52..54].copy_from_slice(&64_u16.to_le_bytes());
    elf
}

/// Any damage to a good plugin ends in a message or in a plugin that works; never in a crash.
#[test]
fn damaged_bytes() {
    let good = guest("empty");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut refused = 0;
    for _ in 0..60 {
        let mut bytes = good.to_vec();
        for _ in 0..=next() % 4 {
            // Most of the file is code; the outline at both ends is where most can go wrong.
            let length = bytes.len() as u64;
            let place = match next() % 3 {
                0 => next() % length,
                1 => next() % 400.min(length),
                _ => length - 1 - next() % 4000.min(length),
            };
            bytes[place as usize] ^= 1 << (next() % 8);
        }
        match load(&bytes) {
            Ok(plugin) => {
                let _ = plugin.configure(vec!["{}".to_owned()]).map(|detector| {
                    let _ = detector.evaluate_batch(&batch(), &mut nothing);
                });
            }
            Err(error) => {
                names_plugin(&error, "forged.wasm");
                refused += 1;
            }
        }
    }
    assert!(refused > 10, "only {refused} of 60 were refused");
    let mut watch = Watch::new();
    watch.next_batch();
    watch.finish();
}

#[test]
fn versions() {
    let cases: Vec<(&str, Vec<u8>)> = ["0.2.0", "0.0.9", "1.0.0", "9.0.0", "0.1.0-rc.1"]
        .map(|v| (v, Forged::version(v).build()))
        .into();
    insta::assert_snapshot!(list(&cases), @r#"
    0.2.0: plugin `forged.wasm`: was built for `casbah:plugin` 0.2.0, but this casbah serves 0.1
    hint: rebuild the plugin with an SDK for 0.1, or run a casbah that serves 0.2.0
    0.0.9: plugin `forged.wasm`: was built for `casbah:plugin` 0.0.9, but this casbah serves 0.1
    hint: rebuild the plugin with an SDK for 0.1, or run a casbah that serves 0.0.9
    1.0.0: plugin `forged.wasm`: was built for `casbah:plugin` 1.0.0, but this casbah serves 0.1
    hint: rebuild the plugin with an SDK for 0.1, or run a casbah that serves 1.0.0
    9.0.0: plugin `forged.wasm`: was built for `casbah:plugin` 9.0.0, but this casbah serves 0.1
    hint: rebuild the plugin with an SDK for 0.1, or run a casbah that serves 9.0.0
    0.1.0-rc.1: plugin `forged.wasm`: was built for `casbah:plugin` 0.1.0-rc.1, but this casbah serves 0.1
    hint: rebuild the plugin with an SDK for 0.1, or run a casbah that serves 0.1.0-rc.1
    "#);
    // A patch of the same version is the same interface.
    load(&Forged::version("0.1.7").build()).unwrap();
}

#[test]
fn another_kind() {
    let error =
        AdapterPlugin::load(engine(), "honest", guest("honest"), Limits::adapter()).unwrap_err();
    insta::assert_snapshot!(error, @r#"plugin `honest`: is a detector, not an adapter"#);
    let error = load(guest("adapter")).unwrap_err();
    insta::assert_snapshot!(error, @r#"plugin `forged.wasm`: is an adapter, not a detector"#);
}

#[test]
fn imports() {
    const FILES: &str = "package wasi:filesystem@0.2.0; interface preopens { get: func() -> u32; }";
    const SOCKETS: &str = "package wasi:sockets@0.2.0; interface tcp { connect: func() -> u32; }";
    let files = forged(|f| {
        f.packages = &[FILES, SOCKETS];
        f.world = "import wasi:filesystem/preopens@0.2.0; import wasi:sockets/tcp@0.2.0;";
        f.imports = r#"(import "wasi:filesystem/preopens@0.2.0" "get" (func (result i32)))
                       (import "wasi:sockets/tcp@0.2.0" "connect" (func (result i32)))"#;
    });
    let secret = forged(|f| {
        f.wit.push_str("interface secrets { token: func() -> u32; }");
        f.world = "import secrets;";
        f.imports = r#"(import "casbah:plugin/secrets@0.1.0" "token" (func (result i32)))"#;
    });
    let bare = forged(|f| {
        f.world = "import steal: func() -> u32;";
        f.imports = r#"(import "$root" "steal" (func (result i32)))"#;
    });
    // The log is allowed, but only what it is.
    let other_log = forged(|f| {
        f.wit = f.wit.replace(
            "write: func(line: string);",
            "write: func(line: string); read: func() -> u32;",
        );
        f.imports = r#"(import "casbah:plugin/log@0.1.0" "read" (func (result i32)))"#;
    });
    let cases = [
        ("files", files),
        ("secrets", secret),
        ("a bare function", bare),
        ("another log", other_log),
    ];
    insta::assert_snapshot!(list(&cases), @r#"
    files: plugin `forged.wasm`: imports `wasi:filesystem/preopens@0.2.0`, `wasi:sockets/tcp@0.2.0`, but a plugin may import nothing but `casbah:plugin/log`
    hint: plugins are pure: build for wasm32-unknown-unknown, without files, sockets, clocks or random numbers
    secrets: plugin `forged.wasm`: imports `casbah:plugin/secrets@0.1.0`, but a plugin may import nothing but `casbah:plugin/log`
    hint: plugins are pure: build for wasm32-unknown-unknown, without files, sockets, clocks or random numbers
    a bare function: plugin `forged.wasm`: imports `steal`, but a plugin may import nothing but `casbah:plugin/log`
    hint: plugins are pure: build for wasm32-unknown-unknown, without files, sockets, clocks or random numbers
    another log: plugin `forged.wasm`: can't be linked: component imports instance `casbah:plugin/log@0.1.0`, but a matching implementation was not found in the linker: instance export `read` has the wrong type: function implementation is missing
    "#);
}

#[test]
fn another_form() {
    let number = forged(|f| {
        f.wit = f.wit.replacen("describe: func() -> string;", "describe: func() -> u32;", 1);
    });
    let severity = forged(|f| f.wit = f.wit.replace("high, critical }", "high, critical, fatal }"));
    let lacking = {
        let wit = crate::forged::Forged::default().wit;
        let wit =
            wit.replace("configure: func(policies: list<string>) -> result<_, list<problem>>;", "");
        Forged { wit, ..Forged::default() }.build()
    };
    let cases =
        [("another result", number), ("another enum", severity), ("a function less", lacking)];
    insta::assert_snapshot!(list(&cases), @r#"
    another result: plugin `forged.wasm`: exports `describe` in another form than `casbah:plugin` has: failed to convert function to given type: type mismatch with results: expected `string` found `u32`
    hint: rebuild it with the SDK of this casbah
    another enum: plugin `forged.wasm`: exports `finish` in another form than `casbah:plugin` has: failed to convert function to given type: type mismatch with results: type mismatch for field findings: type mismatch for field severity: expected enum of 5 names, found 6 names
    hint: rebuild it with the SDK of this casbah
    a function less: plugin `forged.wasm`: does not export `configure` in `casbah:plugin/detector`
    "#);
}

#[test]
fn descriptions() {
    let description = |text: &str| forged(|f| f.description = text.as_bytes().to_vec());
    let named = |name: &str| {
        description(&format!(
            r#"{{"name":"{name}","version":"1","title":"","columns":[],"state-version":1}}"#
        ))
    };
    let cases = [
        ("not JSON", description("hello")),
        ("not UTF-8", forged(|f| f.description = vec![0xff, 0xfe])),
        ("another form", description("[]")),
        ("nothing in it", description("{}")),
        ("deep", description(&"[".repeat(10_000))),
        ("a name with a path", named("../../etc/passwd")),
        ("a name with control characters", named(r"a\u001b[2J")),
        ("no name", named("")),
        (
            "a column with control characters",
            description(
                r#"{"name":"a","version":"1","title":"","columns":["\u0007"],"state-version":1}"#,
            ),
        ),
        (
            "outside the memory",
            forged(|f| {
                f.describe = "(i32.store (i32.const 20) (i32.const 0x7fffffff)) i32.const 16"
            }),
        ),
        (
            "enormous",
            forged(|f| {
                f.memory = r#"(memory (export "memory") 100)"#;
                f.describe = "(i32.store (i32.const 20) (i32.const 2000000)) i32.const 16";
            }),
        ),
        ("an endless loop", forged(|f| f.describe = "(loop $l (br $l)) unreachable")),
        ("a trap", forged(|f| f.describe = "unreachable")),
        ("a trap at the start", forged(|f| f.extra = "(func $s unreachable) (start $s)")),
        (
            "an endless loop at the start",
            forged(|f| f.extra = "(func $s (loop $l (br $l))) (start $s)"),
        ),
        ("recursion at the start", forged(|f| f.extra = "(func $s (call $s)) (start $s)")),
    ];
    insta::assert_snapshot!(list(&cases), @r#"
    not JSON: plugin `forged.wasm`: does not describe itself as JSON of the expected form: expected value at line 1 column 1
    not UTF-8: plugin `forged.wasm`: what `describe` returned or logged can't be read: invalid utf-8 sequence of 1 bytes from index 0
    hint: rebuild it with the SDK of this casbah
    another form: plugin `forged.wasm`: does not describe itself as JSON of the expected form: invalid length 0, expected struct DetectorDescription with 8 elements at line 1 column 2
    nothing in it: plugin `forged.wasm`: does not describe itself as JSON of the expected form: missing field `name` at line 1 column 2
    deep: plugin `forged.wasm`: does not describe itself as JSON of the expected form: invalid type: sequence, expected a string at line 1 column 1
    a name with a path: plugin `forged.wasm`: calls itself `../../etc/passwd`; a name is 1 to 63 of a-z, 0-9 and `-`
    a name with control characters: plugin `forged.wasm`: calls itself `a�[2J`; a name is 1 to 63 of a-z, 0-9 and `-`
    no name: plugin `forged.wasm`: calls itself ``; a name is 1 to 63 of a-z, 0-9 and `-`
    a column with control characters: plugin `forged.wasm`: describes itself as reading the column `�`
    outside the memory: plugin `forged.wasm`: what `describe` returned or logged can't be read: string pointer/length out of bounds of memory
    hint: rebuild it with the SDK of this casbah
    enormous: plugin `forged.wasm`: describes itself in 2000000 bytes; at most 1 MiB is read
    an endless loop: plugin `forged.wasm`: ran longer than 100ms in `describe` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    a trap: plugin `forged.wasm`: trapped in `describe`: wasm `unreachable` instruction executed
    a trap at the start: plugin `forged.wasm`: trapped in its start: wasm `unreachable` instruction executed
    an endless loop at the start: plugin `forged.wasm`: ran longer than 100ms in its start and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    recursion at the start: plugin `forged.wasm`: ran out of stack in its start: it calls itself too deeply
    "#);
}

#[test]
fn memories_and_tables() {
    let cases = [
        ("65 MiB at once", forged(|f| f.memory = r#"(memory (export "memory") 1040)"#)),
        ("2 GiB at once", forged(|f| f.memory = r#"(memory (export "memory") 32768)"#)),
        ("a large table", forged(|f| f.extra = "(table 15000 funcref)")),
        ("a larger table", forged(|f| f.extra = "(table 1000000 funcref)")),
        (
            "grows until refused, then traps",
            forged(|f| {
                f.begin = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
            }),
        ),
    ];
    insta::assert_snapshot!(list(&cases), @r#"
    65 MiB at once: plugin `forged.wasm`: needed more than 64 MiB of memory in its start
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    2 GiB at once: plugin `forged.wasm`: can't be compiled: memory has a minimum byte size of 2147483648 which exceeds the limit of 0x40000000 bytes
    a large table: plugin `forged.wasm`: needed more than 10000 elements of tables in its start
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    a larger table: plugin `forged.wasm`: can't be compiled: table index 0 has a minimum element size of 1000000 which exceeds the limit of 20000
    grows until refused, then traps: plugin `forged.wasm`: needed more than 64 MiB of memory in `begin`
    hint: smaller batches need less; if it goes on, the plugin leaks or its limit is too low
    "#);
    // A memory that is asked for and refused is no crime if the guest can do without.
    let modest = forged(|f| f.begin = "(drop (memory.grow (i32.const 30000))) i32.const 256");
    let configured = load(&modest).unwrap().configure(vec!["{}".to_owned()]).unwrap();
    configured.evaluate_batch(&batch(), &mut nothing).unwrap();
}

/// Bytes of a finding.
const FINDING: u32 = 72;

/// Findings at 96 KiB, so many, with every summary at the same place and of the same length.
fn findings(count: u32, summary: u32) -> String {
    format!(
        "{first}{list}
        (loop $l
            (i32.store offset=98352 (i32.mul (local.get $i) (i32.const {FINDING})) (i32.const 200000))
            (i32.store offset=98356 (i32.mul (local.get $i) (i32.const {FINDING})) (i32.const {summary}))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const {count}))))
        i32.const 512",
        first = store(516, 98304),
        list = store(520, count),
    )
}

#[test]
fn returned_structures() {
    let finish = |code: String| forged(|f| f.finish = code);
    let large = |code: String| {
        forged(|f| {
            f.memory = r#"(memory (export "memory") 1000)"#;
            f.finish = code;
        })
    };
    // A result at 512: case, then findings, changed, values, ends.
    let result = "i32.const 512";
    let cases = [
        (
            "a case that does not exist",
            finish(format!("(i32.store8 (i32.const 512) (i32.const 2)) {result}")),
        ),
        ("a result outside the memory", finish("i32.const -8".to_owned())),
        ("a result at an odd place", finish("i32.const 513".to_owned())),
        ("a list outside the memory", finish(store(516, 0) + &store(520, 0x7fff_ffff) + result)),
        ("a list at an odd place", finish(store(524, 3) + &store(528, 1) + result)),
        (
            "a severity that does not exist",
            finish(
                store(516, 98304)
                    + &store(520, 1)
                    + "(i32.store8 (i32.const 98368) (i32.const 1)) (i32.store8 (i32.const 98369) (i32.const 9))"
                    + result,
            ),
        ),
        (
            "a text that is not UTF-8",
            large("(i32.store8 (i32.const 200000) (i32.const 0xff))".to_owned() + &findings(1, 1)),
        ),
        // 1,000 findings whose summaries are the same 60 MB: 60 GB if it were believed.
        ("the same text many times", large(findings(1000, 60_000_000))),
        // 870,000 findings of nothing: small in the guest, large in the host.
        ("a list of nothing", large(store(516, 98304) + &store(520, 870_000) + result)),
        (
            "an error of 60 MB",
            large(
                "(i32.store8 (i32.const 512) (i32.const 1))".to_owned()
                    + &store(516, 98304)
                    + &store(520, 60_000_000)
                    + result,
            ),
        ),
        ("states that do not fit their ends", finish(store(532, 98304) + &store(536, 10) + result)),
        (
            "ends that do not fit the states",
            finish(store(540, 98304) + &store(544, 1) + &store(98304, 5) + result),
        ),
        (
            "keys whose ends fall",
            forged(|f| {
                f.begin = "(i32.store (i32.const 516) (i32.const 98304)) (i32.store (i32.const 520) (i32.const 2))
                    (i32.store (i32.const 524) (i32.const 98304)) (i32.store (i32.const 528) (i32.const 4))
                    (i32.store (i32.const 532) (i32.const 98400)) (i32.store (i32.const 536) (i32.const 2))
                    (i32.store (i32.const 98400) (i32.const 4)) (i32.store (i32.const 98404) (i32.const 2))
                    i32.const 512";
            }),
        ),
        (
            "keys without policies",
            forged(|f| {
                f.begin = "(i32.store (i32.const 532) (i32.const 98400)) (i32.store (i32.const 536) (i32.const 2))
                    i32.const 512";
            }),
        ),
    ];
    insta::assert_snapshot!(list(&cases), @r#"
    a case that does not exist: plugin `forged.wasm`: what `finish` returned or logged can't be read: invalid expected discriminant
    hint: rebuild it with the SDK of this casbah
    a result outside the memory: plugin `forged.wasm`: what `finish` returned or logged can't be read: pointer out of bounds of memory
    hint: rebuild it with the SDK of this casbah
    a result at an odd place: plugin `forged.wasm`: what `finish` returned or logged can't be read: return pointer not aligned
    hint: rebuild it with the SDK of this casbah
    a list outside the memory: plugin `forged.wasm`: what `finish` returned or logged can't be read: list pointer/length out of bounds of memory
    hint: rebuild it with the SDK of this casbah
    a list at an odd place: plugin `forged.wasm`: what `finish` returned or logged can't be read: list pointer is not aligned
    hint: rebuild it with the SDK of this casbah
    a severity that does not exist: plugin `forged.wasm`: what `finish` returned or logged can't be read: unexpected discriminant: 9
    hint: rebuild it with the SDK of this casbah
    a text that is not UTF-8: plugin `forged.wasm`: what `finish` returned or logged can't be read: invalid utf-8 sequence of 1 bytes from index 0
    hint: rebuild it with the SDK of this casbah
    the same text many times: plugin `forged.wasm`: `finish` returned or logged more than 64 MiB
    a list of nothing: plugin `forged.wasm`: `finish` returned or logged more than 64 MiB
    an error of 60 MB: plugin `forged.wasm`: gave up in `finish`: ����������������������������������������������������������������������������������������������������������� [...]
    states that do not fit their ends: plugin `forged.wasm`: `finish` returned states whose ends do not fit their bytes
    ends that do not fit the states: plugin `forged.wasm`: `finish` returned states whose ends do not fit their bytes
    keys whose ends fall: plugin `forged.wasm`: `begin` returned keys whose ends do not fit their bytes
    keys without policies: plugin `forged.wasm`: `begin` returned 2 keys for 0 policies
    "#);
}

#[test]
fn the_log() {
    const WRITE: &str =
        r#"(import "casbah:plugin/log@0.1.0" "write" (func $write (param i32 i32)))"#;
    let log = |begin: &'static str| {
        forged(|f| {
            f.imports = WRITE;
            f.begin = begin;
        })
    };
    let cases = [
        (
            "a line outside the memory",
            log("(call $write (i32.const 0) (i32.const -1)) i32.const 256"),
        ),
        (
            "a line that is not UTF-8",
            log(
                "(i32.store8 (i32.const 98304) (i32.const 0xff)) (call $write (i32.const 98304) (i32.const 1)) i32.const 256",
            ),
        ),
        (
            "a line in every turn of a loop",
            log("(loop $l (call $write (i32.const 0) (i32.const 60000)) (br $l)) unreachable"),
        ),
        (
            "a line while the batch is copied in",
            forged(|f| {
                f.imports = WRITE;
                f.realloc = "(call $write (i32.const 0) (i32.const 10))";
            }),
        ),
    ];
    insta::assert_snapshot!(list(&cases), @r#"
    a line outside the memory: plugin `forged.wasm`: what `begin` returned or logged can't be read: string pointer/length out of bounds of memory
    hint: rebuild it with the SDK of this casbah
    a line that is not UTF-8: plugin `forged.wasm`: what `begin` returned or logged can't be read: invalid utf-8 sequence of 1 bytes from index 0
    hint: rebuild it with the SDK of this casbah
    a line in every turn of a loop: plugin `forged.wasm`: ran longer than 100ms in `begin` and was stopped
    hint: smaller batches take less time; if it goes on, it runs in circles
    a line while the batch is copied in: plugin `forged.wasm`: trapped in `configure`: cannot leave component instance
    "#);
}

/// What `plugin list` shows of a file that can't be loaded.
#[test]
fn inspection() {
    let honest = inspect("honest", guest("honest")).unwrap();
    assert_eq!(honest.kinds, [PluginKind::Detector]);
    assert_eq!(honest.interface.as_deref(), Some("0.1.0"));
    assert_eq!(honest.imports, ["casbah:plugin/log@0.1.0", "casbah:plugin/table@0.1.0"]);
    assert_eq!(honest.exports, ["casbah:plugin/detector@0.1.0"]);
    let old = inspect("old", &Forged::version("9.0.0").build()).unwrap();
    assert_eq!((old.kinds.len(), old.interface.as_deref()), (0, Some("9.0.0")));
}
