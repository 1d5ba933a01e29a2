//! Tokens and secrets reach neither the data folder nor a log, in no form that a search would find.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::support::{Casbah, texts};
use smartsheet_sim::{Config, Plan, Rate, Sim, World};

const SECRET: &str = "canary0client0secret0000";

/// Everything that the parts that handle tokens could say, and those below them.
const LOG: &str = "debug,casbah_connect=trace,hyper=trace,hyper_util=trace,reqwest=trace";

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

fn contains(bytes: &[u8], canary: &str) -> bool {
    bytes.windows(canary.len()).any(|window| window == canary.as_bytes())
}

#[test]
fn no_secret_is_found_on_disk_or_in_a_log() {
    let plan = Plan { users: 30, events: 3000, end: crate::support::now(), ..Plan::default() };
    let mut config = Config::new(Arc::new(World::new(&plan)));
    config.rate = Rate { limit: 0, ..Rate::default() };
    config.sign_in.client_secret = SECRET.to_owned();
    // The first access token is too old at once, so that it is refreshed on the way.
    config.sign_in.token_life = std::time::Duration::from_secs(2);
    let port = free_port();
    config.sign_in.redirect = format!("http://127.0.0.1:{port}/callback/smartsheet/us");
    let sim = Sim::start(config).unwrap();

    let casbah = Casbah::new();
    let (base, api) = (sim.base_url(), sim.api_base());
    let child = casbah
        .command(&[
            "connect",
            "smartsheet",
            "--name",
            "acme",
            "--api-base",
            &api,
            "--sign-in",
            &base,
            "--port",
            &port.to_string(),
            "--log",
            "trace",
            "--requests-per-minute",
            "100000",
        ])
        .env("CASBAH_CLIENT_ID", "casbah-test-client")
        .env("CASBAH_CLIENT_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let connected = consent(child);
    let (out, mut logs) = texts(&connected);
    assert!(connected.status.success(), "{out}\n{logs}");

    let mut tokens = sim.live_tokens();
    let run = casbah.run(&["run", "--once", "--log", LOG]);
    let (out, log) = texts(&run);
    assert!(run.status.success(), "{out}\n{log}");
    logs.push_str(&log);
    tokens.extend(sim.live_tokens());
    tokens.push(SECRET.to_owned());
    assert!(tokens.len() >= 3, "the simulator gave out {} secrets", tokens.len());
    assert!(logs.contains("TRACE") || logs.contains("DEBUG"), "the log is on");

    let mut kept = Vec::new();
    files(&casbah.data(), &mut kept);
    assert!(kept.len() >= 3, "{} files", kept.len());
    for token in &tokens {
        assert!(!contains(logs.as_bytes(), token), "a secret is in the log");
        for (path, bytes) in &kept {
            assert!(!contains(bytes, token), "a secret is in {path}");
        }
    }
}

/// The same of a setting that is a secret: it comes from the environment of who types, also when a
/// running casbah does the work, or from a file, and is shown and stored nowhere.
#[test]
fn a_secret_setting_is_shown_and_stored_nowhere() {
    const KEY: &str = "canary0hash0key0000";
    let mut plan = netdocuments_sim::Plan::small(600);
    plan.company.end = crate::support::now() / 1000 * 1000;
    let world = Arc::new(netdocuments_sim::World::new(&plan));
    let mut config = netdocuments_sim::Config::new(Arc::clone(&world));
    config.sign_in.client_secret = SECRET.to_owned();
    let sim = netdocuments_sim::Sim::start(config).unwrap();
    let casbah = Casbah::new();
    let api = sim.api_base();
    let connect = |name: &str, key: &str| {
        let repository = world.repository();
        let settings =
            format!(r#"{{"repository": "{repository}", "names": "hash", "hash-key": {key}}}"#);
        let arguments = ["connect", "netdocuments", "--service", "--name", name, "--settings"];
        let hosts = ["--api-base", &api, "--sign-in", &api, "--requests-per-minute", "100000"];
        let output = casbah
            .command(&[&arguments[..], &[&settings], &hosts, &["--log", LOG]].concat())
            .env("CASBAH_CLIENT_ID", "AP-CASBAH01")
            .env("CASBAH_CLIENT_SECRET", SECRET)
            .env("FIRM_HASH_KEY", KEY)
            .output()
            .unwrap();
        let (out, talk) = texts(&output);
        (output.status.success(), format!("{out}{talk}"))
    };
    let (connected, refused) = connect("plain", r#""another words of one's own""#);
    assert!(!connected && !refused.contains("words of one's own"), "{refused}");
    assert!(refused.contains("is a secret") && refused.contains("hint: give it as"), "{refused}");
    let (connected, said) = connect("a", r#"{"env": "FIRM_HASH_KEY"}"#);
    assert!(connected, "{said}");
    let mut logs = said;
    let run = casbah.run(&["run", "--once", "--log", LOG]);
    let (out, log) = texts(&run);
    assert!(run.status.success(), "{out}\n{log}");
    logs.push_str(&log);

    let mut running = casbah
        .command(&["run", "--log", LOG])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = running.stderr.take().unwrap();
    let talk = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stderr, &mut text).unwrap();
        text
    });
    crate::support::eventually("the socket", || casbah.data().join("control.sock").exists());
    std::fs::write(casbah.folder.path().join("key.txt"), format!("{KEY}\n")).unwrap();
    let others = [
        connect("b", r#"{"env": "FIRM_HASH_KEY"}"#),
        connect("c", r#"{"file": "key.txt"}"#),
        connect("d", r#"{"env": "NOT_SET"}"#),
    ];
    let listed = casbah.ok(&["connection", "list", "--format", "json"]);
    running.kill().unwrap();
    running.wait().unwrap();
    logs.push_str(&talk.join().unwrap());
    assert!(others[0].0 && others[1].0 && !others[2].0, "{others:?}");
    assert!(others[2].1.contains("`NOT_SET` is not set"), "{}", others[2].1);
    assert_eq!(listed.matches(r#""hash-key":{"sealed":true}"#).count(), 3, "{listed}");
    assert!(!contains(listed.as_bytes(), KEY));
    assert!(logs.contains("TRACE") || logs.contains("DEBUG"), "the log is on");
    assert!(!contains(logs.as_bytes(), KEY), "the key is in the log");
    // The names that were fetched are hashed.
    let hashed = |name: &str| -> std::collections::BTreeSet<String> {
        let all = casbah.list(&["activity", "list", "--limit", "0"]);
        let own = all.iter().filter(|activity| activity["connection"] == name);
        own.filter_map(|activity| activity["object.name"].as_str().map(str::to_owned)).collect()
    };
    assert!(!hashed("a").is_empty() && hashed("a").iter().all(|name| name.starts_with("hash-")));
    let mut kept = Vec::new();
    files(&casbah.data(), &mut kept);
    for (path, bytes) in &kept {
        assert!(!contains(bytes, KEY), "the key is in {path}");
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Plays the browser: opens the address that `connect` prints first.
fn consent(mut child: std::process::Child) -> std::process::Output {
    use std::io::{BufRead, BufReader, Read};
    let mut talk = child.stderr.take().unwrap();
    let talk = std::thread::spawn(move || {
        let mut text = Vec::new();
        talk.read_to_end(&mut text).unwrap();
        text
    });
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut address = String::new();
    out.read_line(&mut address).unwrap();
    if !address.trim().is_empty() {
        crate::support::visit(address.trim());
    }
    let mut stdout = address.into_bytes();
    out.read_to_end(&mut stdout).unwrap();
    let status = child.wait().unwrap();
    std::process::Output { status, stdout, stderr: talk.join().unwrap() }
}
