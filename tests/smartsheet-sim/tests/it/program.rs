//! The program as its users meet it: one line on stdout, a port file, files written, a clean stop.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_smartsheet-sim"));
    command.env_remove("SMARTSHEET_SIM_TOKEN").env_remove("SMARTSHEET_SIM_CLIENT_SECRET");
    command
}

fn small(command: &mut Command) -> &mut Command {
    command.args(["--users", "40", "--days", "1", "--events", "3000"])
}

/// Starts it and reads its one line.
fn serve(command: &mut Command) -> (Child, Value, BufReader<std::process::ChildStdout>) {
    let mut child = small(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    (child, value, out)
}

/// Asks it to stop and returns its exit code, the rest of stdout and all of stderr.
fn stop(
    mut child: Child,
    mut out: BufReader<std::process::ChildStdout>,
    signal: &str,
) -> (Option<i32>, String, String) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let (mut rest, mut talk) = (String::new(), String::new());
    out.read_to_string(&mut rest).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
    (child.wait().unwrap().code(), rest, talk)
}

#[tokio::test]
async fn it_serves_says_where_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let port_file = folder.path().join(format!("port{signal}"));
        let mut command = program();
        let (child, line, out) = serve(command.arg("--port-file").arg(&port_file));
        let token = line["token"].as_str().expect("a token is made up when none is given");
        let url = format!("{}/users/me", line["apiBase"].as_str().unwrap());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply = client.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let (code, rest, talk) = stop(child, out, signal);
        let address = line["address"].as_str().unwrap();
        // The line comes before the file, and the file was there before it stopped.
        let port = std::fs::read_to_string(&port_file).unwrap();
        assert!(address.ends_with(&format!(":{port}")), "{address} and {port}");
        assert_eq!((code, rest.as_str()), (Some(0), ""), "{signal}: {talk}");
        assert!(!talk.contains(token), "a token was printed again: {talk}");
    }
}

#[tokio::test]
async fn secrets_come_from_the_environment_and_are_not_shown() {
    let mut command = program();
    command
        .env("SMARTSHEET_SIM_TOKEN", "canary-one")
        .env("SMARTSHEET_SIM_MEMBER_TOKEN", "canary-two");
    let (child, line, out) = serve(
        command.env("SMARTSHEET_SIM_CLIENT_SECRET", "canary-three").args(["--consent", "auto"]),
    );
    assert!(line["token"].is_null(), "a token that was given is not shown");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (token, status) in [("canary-one", 200), ("canary-two", 403)] {
        let url =
            format!("{}/events?since=2010-01-01T00:00:00Z", line["apiBase"].as_str().unwrap());
        let reply = client.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(reply.status(), status, "{token}");
    }
    let (_, rest, talk) = stop(child, out, "-TERM");
    let help = program().arg("--help").env("SMARTSHEET_SIM_TOKEN", "canary-one").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for text in [line.to_string(), rest, talk, help.clone()] {
        assert!(!text.contains("canary"), "{text}");
    }
    for word in ["Examples:", "--fault", "--port-file", "SIGTERM", "SMARTSHEET_SIM_TOKEN"] {
        assert!(help.contains(word), "--help does not teach {word}");
    }
}

fn write(folder: &Path, name: &str, more: &[&str]) -> Vec<u8> {
    let out = folder.join(name);
    let mut command = program();
    command.arg("write").args(["--end", "2026-11-20T12:00:00Z", "--out"]).arg(&out).args(more);
    let status = small(&mut command).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{name}");
    std::fs::read(out).unwrap()
}

#[test]
fn the_log_is_written_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.json");
    let lines = write(folder.path(), "log.jsonl", &["--incidents", labels.to_str().unwrap()]);
    let text = String::from_utf8(lines.clone()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 3_000);
    let mut plain = Vec::new();
    let gz = write(folder.path(), "log.jsonl.gz", &[]);
    flate2::read::GzDecoder::new(&gz[..]).read_to_end(&mut plain).unwrap();
    assert_eq!(plain, lines);
    let zst = write(folder.path(), "log.jsonl.zst", &[]);
    assert_eq!(zstd::decode_all(&zst[..]).unwrap(), lines);
    let page: Value =
        serde_json::from_slice(&write(folder.path(), "page.json", &["--page"])).unwrap();
    assert_eq!(page["data"].as_array().unwrap(), &events);
    let labels: Value = serde_json::from_slice(&std::fs::read(labels).unwrap()).unwrap();
    assert!(labels.as_array().unwrap().len() > 10);
}

#[test]
fn wrong_settings_are_refused_with_a_hint() {
    for (arguments, hint) in [
        (&["--fault", "nothing=1"][..], "hint: one of rate-limited"),
        (&["--fault", "reset=7"], "hint: NAME=PROBABILITY"),
        (&["--listen", "0.0.0.0:0"], "hint: the simulator listens on loopback only"),
        (&["--sign-in-as", "nobody@nowhere.example"], "`nobody@nowhere.example`"),
        (&["--end", "later"], "hint: 2026-11-20T12:00:00Z"),
    ] {
        let output = small(program().args(arguments)).output().unwrap();
        let talk = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && talk.contains(hint), "{arguments:?}: {talk}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn faults_are_listed() {
    let output = program().arg("faults").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), smartsheet_sim::Fault::ALL.len());
}
