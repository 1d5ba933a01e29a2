//! The program as people meet it: what it prints, how it exits, and how commands reach a casbah that
//! is running.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use smartsheet_sim::Live;

use crate::support::{Casbah, TOKEN, eventually, simulator, texts};

/// A log of a small company as JSON lines.
fn log(events: usize) -> String {
    let sim = simulator(60, events, Live::All);
    let world = sim.world();
    let mut text = String::new();
    for at in 0..world.len() {
        world.write_event(&mut text, at, false);
        text.push('\n');
    }
    text
}

fn scan(casbah: &Casbah, file: &str) -> (i32, Vec<Value>) {
    let output = casbah.run(&["scan", "--app", "smartsheet", "--format", "json", file]);
    let (out, talk) = texts(&output);
    let alerts = out.lines().map(|line| serde_json::from_str(line).expect(&talk)).collect();
    (output.status.code().unwrap(), alerts)
}

#[test]
fn help_teaches() {
    let casbah = Casbah::new();
    let help = casbah.ok(&["--help"]);
    for word in ["scan", "connect", "run", "Exit codes", "casbah scan --app smartsheet events.json"]
    {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
    for command in [
        "scan",
        "normalize",
        "connect",
        "run",
        "connection",
        "activity",
        "alert",
        "policy",
        "plugin",
        "store",
        "config",
        "completions",
    ] {
        let help = casbah.ok(&[command, "--help"]);
        assert!(help.contains("Usage: casbah"), "{help}");
    }
    assert!(casbah.ok(&["completions", "bash"]).contains("complete -F _casbah"));
}

#[test]
fn what_is_not_understood_exits_with_two_and_what_fails_with_one() {
    let casbah = Casbah::new();
    for (arguments, code) in [
        (&["frobnicate"][..], 2),
        (&["scan"], 2),
        (&["--config", "none.toml", "config", "check"], 2),
        (&["--log", "a=b=c", "config", "check"], 2),
        (&["alert", "list"], 1),
        (&["scan", "--app", "nothing", "x.json"], 2),
        (&["alert", "list", "--since", "yesterday"], 2),
        (&["scan", "--app", "smartsheet", "x.json"], 1),
    ] {
        let output = casbah.run(arguments);
        let (out, talk) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {talk}");
        assert!(out.is_empty(), "results on stdout: {out}");
        assert!(!talk.is_empty());
    }
}

#[test]
fn messages_say_what_where_and_what_to_do() {
    let casbah = Casbah::new();
    let said = |arguments: &[&str]| texts(&casbah.run(arguments)).1;
    insta::assert_snapshot!(said(&["scan", "--app", "smartsheat", "x.json"]), @r#"
    error: there is no adapter for `smartsheat`
    hint: there are adapters for `entra`, `json`, `netdocuments`, `smartsheet`
    "#);
    insta::assert_snapshot!(said(&["scan", "--app", "smartsheet", "x.json"]), @r#"error: `x.json` can't be opened: No such file or directory (os error 2)"#);
    insta::assert_snapshot!(said(&["alert", "list", "--data", "nowhere"]), @r#"
    error: there is nothing in `nowhere` yet
    hint: `casbah connect` makes a connection, --data names another folder
    "#);
    insta::assert_snapshot!(said(&["connect", "smartsheet", "--name", "Acme"]), @r#"
    error: invalid value 'Acme' for '--name <NAME>': `Acme` is not a connection name: use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or digit

    For more information, try '--help'.
    "#);
    std::fs::write(casbah.folder.path().join("bad.json"), "<html>").unwrap();
    insta::assert_snapshot!(said(&["scan", "--app", "smartsheet", "bad.json"]), @r#"error: `bad.json`, from byte 0: this is neither a page of events, nor an array, nor JSON lines: in line 1, at byte 0 there should be an object or an array"#);
    std::fs::write(casbah.folder.path().join("bad.wasm"), "garbage").unwrap();
    std::fs::write(casbah.folder.path().join("casbah.toml"), "plugins = [\"bad.wasm\"]").unwrap();
    insta::assert_snapshot!(said(&["plugin", "list"]), @r#"
    error: plugin `bad.wasm`: is not a WebAssembly component: it does not begin as one does
    hint: give the .wasm file that the build made
    "#);
}

#[test]
fn a_saved_log_is_scanned_in_every_form() {
    let casbah = Casbah::new();
    let text = log(4000);
    let lines: Vec<&str> = text.lines().collect();
    let array = format!("[{}]", lines.join(","));
    let page = format!("{{\"moreAvailable\": false, \"data\": {array}}}");
    let zipped = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let packed = zstd::encode_all(text.as_bytes(), 1).unwrap();
    let forms: [(&str, Vec<u8>); 5] = [
        ("lines.ndjson", text.clone().into_bytes()),
        ("array.json", array.into_bytes()),
        ("page.json", page.into_bytes()),
        ("lines.gz", zipped),
        ("lines.zst", packed),
    ];
    let mut expected = None;
    for (name, bytes) in forms {
        std::fs::write(casbah.folder.path().join(name), &bytes).unwrap();
        let (code, alerts) = scan(&casbah, name);
        assert_eq!(code, 1, "alerts exit with 1");
        assert!(alerts.len() >= 8, "{name}: {} alerts", alerts.len());
        assert_eq!(*expected.get_or_insert(alerts.clone()), alerts, "{name}");
    }
    let mut child = casbah
        .command(&["scan", "--app", "smartsheet", "--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(texts(&output).0.lines().count(), expected.unwrap().len());

    std::fs::write(casbah.folder.path().join("quiet.ndjson"), lines[0]).unwrap();
    assert_eq!(scan(&casbah, "quiet.ndjson"), (0, Vec::new()), "no alerts exit with 0");
}

#[test]
fn normalized_activities_have_the_published_names() {
    let casbah = Casbah::new();
    std::fs::write(casbah.folder.path().join("log.ndjson"), log(2000)).unwrap();
    let out = casbah.ok(&["normalize", "--app", "smartsheet", "log.ndjson"]);
    assert_eq!(out.lines().count(), 2000);
    for line in out.lines() {
        let activity: Value = serde_json::from_str(line).unwrap();
        for (name, value) in activity.as_object().unwrap() {
            let column = casbah_model::vocabulary::column(name).is_some();
            let nested = casbah_model::vocabulary::NESTED.iter().any(|table| table.name == *name);
            assert!(column || nested, "`{name}` is not published: {line}");
            if name == "kind" {
                let known = |word: &casbah_model::vocabulary::Word| value == word.name;
                assert!(casbah_model::vocabulary::KINDS.iter().any(known), "{line}");
            }
        }
    }
}

#[test]
fn built_in_policies_pass_their_tests_in_the_sandbox() {
    let casbah = Casbah::new();
    let output = casbah.run(&["policy", "test"]);
    let (out, talk) = texts(&output);
    assert!(output.status.success(), "{out}\n{talk}");
    assert!(talk.contains(" 0 failed"), "{talk}");
    let policies = casbah.list(&["policy", "list"]);
    assert!(policies.len() >= 10);
    assert!(policies.iter().all(|policy| policy["tests"].as_u64().unwrap() >= 2), "{policies:?}");
}

#[test]
fn a_policy_that_is_wrong_is_told_with_its_place() {
    let casbah = Casbah::new();
    let folder = casbah.folder.path().join("mine");
    std::fs::create_dir(&folder).unwrap();
    let text = "policy: mine\ntitle: Mine\nseverity: hihg\nwhen:\n  - {field: knd, is: export}\n";
    std::fs::write(folder.join("mine.yaml"), text).unwrap();
    let output = casbah.run(&["policy", "check", "mine"]);
    assert_eq!(output.status.code(), Some(1));
    let (_, talk) = texts(&output);
    for part in ["mine.yaml:3:", "hihg", "mine.yaml:5:", "knd", "hint:"] {
        assert!(talk.contains(part), "{part} is missing:\n{talk}");
    }
}

/// A running casbah holds the data folder, and every other command still works.
#[test]
fn commands_reach_a_running_casbah() {
    let sim = simulator(60, 4000, Live::All);
    let casbah = Casbah::new();
    casbah.connect(&sim, "acme");
    let mut running =
        casbah.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("the socket", || casbah.data().join("control.sock").exists());

    let second = casbah.run(&["run"]);
    let (_, talk) = texts(&second);
    assert_eq!(second.status.code(), Some(1));
    assert!(talk.contains(&running.id().to_string()), "it names the process that runs: {talk}");

    eventually("an alert", || !casbah.list(&["alert", "list"]).is_empty());
    eventually("all activities", || {
        let connections = casbah.list(&["connection", "list"]);
        connections[0]["counters"]["activities"].as_u64() >= Some(4000)
    });
    let alert = casbah.list(&["alert", "list"]).remove(0);
    let id = alert["id"].as_str().unwrap();
    let shown = casbah.ok(&["alert", "show", &id[..8]]);
    assert!(shown.contains(id) && shown.contains("SEQUENCE"), "{shown}");
    let before = casbah.list(&["alert", "list", "--limit", "0"]).len();
    casbah.ok(&["alert", "close", id]);
    assert_eq!(casbah.list(&["alert", "list", "--limit", "0"]).len(), before - 1);
    casbah.ok(&["alert", "reopen", id]);
    let sequence = alert["evidence"][0]["sequence"].as_u64().unwrap().to_string();
    let activity: Value =
        serde_json::from_str(&casbah.ok(&["activity", "show", &sequence])).unwrap();
    assert!(activity["raw"]["eventId"].is_string(), "what the app sent is kept: {activity}");

    let test = casbah.run(&["connection", "test", "acme"]);
    assert!(test.status.success(), "{:?}", texts(&test));
    casbah.ok(&["connection", "disable", "acme"]);
    assert_eq!(casbah.list(&["connection", "list"])[0]["state"], "disabled");
    casbah.ok(&["connection", "enable", "acme"]);
    casbah.ok(&["connection", "remove", "acme"]);
    assert!(casbah.list(&["connection", "list"]).is_empty());

    // A clean stop: what was asked to stop says so, and leaves nothing to repair.
    let stop = std::process::Command::new("kill").arg(running.id().to_string()).status().unwrap();
    assert!(stop.success());
    assert!(running.wait().unwrap().success());
    assert!(!casbah.data().join("control.sock").exists());
    assert!(!casbah.list(&["alert", "list"]).is_empty(), "everything is still there");
}

#[test]
fn a_token_that_will_not_do_is_explained() {
    let sim = simulator(60, 1000, Live::All);
    let casbah = Casbah::new();
    let (base, api) = (sim.base_url(), sim.api_base());
    let connect = |token: &str| {
        let output = casbah
            .command(&[
                "connect",
                "smartsheet",
                "--name",
                "acme",
                "--replace",
                "--api-base",
                &api,
                "--sign-in",
                &base,
            ])
            .env("CASBAH_TOKEN", token)
            .output()
            .unwrap();
        let (out, talk) = texts(&output);
        assert!(!out.contains(token) && !talk.contains(token), "the token is printed");
        (output.status.code().unwrap(), out + &talk)
    };
    let (code, said) = connect("wrongtoken000000000000000");
    assert_eq!(code, 1);
    assert!(said.contains("failed"), "{said}");
    sim.set_fault("admin-lost=1").unwrap();
    let (code, said) = connect(TOKEN);
    assert_eq!(code, 1);
    assert!(said.contains("administrator"), "{said}");
    sim.clear_faults();
    assert_eq!(connect(TOKEN).0, 0);
}
