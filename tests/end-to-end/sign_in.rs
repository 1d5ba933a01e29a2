//! Making and losing a connection, as it looks from the terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use smartsheet_sim::Live;

use crate::support::{Casbah, TOKEN, simulator, texts};

/// A browser that does not start, or fails, is told with the address, and the answer still waited for.
#[test]
fn a_browser_that_fails_leaves_the_address_to_the_person() {
    let sim = simulator(20, 100, Live::All);
    let (base, api) = (sim.base_url(), sim.api_base());
    for (browser, why) in [("false", "failed: exit status: 1"), ("/no/such", "can't be started")] {
        let casbah = Casbah::new();
        let mut command = casbah.command(&["connect", "smartsheet", "--name", "acme"]);
        command.args(["--api-base", &api, "--sign-in", &base, "--port", "0"]);
        command.args(["--browser", browser, "--client-id", "id"]);
        command.env("CASBAH_CLIENT_SECRET", "secret");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut told = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            told.push_str(&line);
            told.push('\n');
            if told.contains(why) && told.contains("hint: open the address by hand") {
                break;
            }
        }
        assert!(child.try_wait().unwrap().is_none(), "it waits for the answer:\n{told}");
        child.kill().unwrap();
        child.wait().unwrap();
        let mut address = String::new();
        child.stdout.take().unwrap().read_to_string(&mut address).unwrap();
        assert!(address.starts_with(&base), "{address}");
        assert!(told.contains(address.trim()), "the address is told again:\n{told}");
    }
}

/// What is wrong with the settings is told before anybody is asked for anything.
#[test]
fn wrong_settings_are_told_at_once() {
    let casbah = Casbah::new();
    let said = |arguments: &[&str]| {
        let output = casbah.run(&[&["connect"], arguments].concat());
        assert_eq!(output.status.code(), Some(1));
        texts(&output).1
    };
    let said = [
        said(&["netdocuments", "--name", "a"]),
        said(&["netdocuments", "--name", "a", "--service", "--settings", r#"{"repo": "CA-1"}"#]),
        said(&["smartsheet", "--name", "a", "--settings", r#"{"kind": {}}"#]),
        said(&["smartsheet", "--name", "a", "--settings", "{kind}"]),
        said(&["smartsheet", "--name", "a", "--service"]),
        said(&["entra", "--name", "a"]),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    error: the settings for NetDocuments can't be used: `/repository` is missing
    hint: NetDocuments has the settings `hash-key`, `kinds`, `names`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`

    error: the settings for NetDocuments can't be used: `/repo` is unknown (did you mean `repository`?); `/repository` is missing
    hint: NetDocuments has the settings `hash-key`, `kinds`, `names`, `profile`, `repository`; give them like `--settings '{"NAME": "VALUE"}'`

    error: the settings for Smartsheet can't be used: `/kind` is unknown (did you mean `kinds`?)
    hint: Smartsheet has the settings `failures`, `kinds`, `maintenance-wait`, `managed-plan`; give them like `--settings '{"NAME": "VALUE"}'`

    error: the settings are not JSON: key must be a string at line 1 column 2
    hint: write them like {"NAME": "VALUE"}

    error: Smartsheet lets no application sign in by itself: somebody has to
    hint: connect without --service

    error: the settings for Microsoft Entra ID can't be used: `/tenant` is missing
    hint: Microsoft Entra ID has the settings `apps`, `groups`, `guests`, `leave-dates`, `non-interactive`, `sign-ins`, `tenant`; give them like `--settings '{"NAME": "VALUE"}'`
    "#);
}

/// An application with a certificate signs in without a secret, and nobody asks it for one.
#[test]
fn a_certificate_stands_in_for_the_secret() {
    let pem =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../connect/src/oauth/certificate/test.pem");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut asked, mut length) = (BufReader::new(stream.try_clone().unwrap()), 0);
        loop {
            let mut line = String::new();
            asked.read_line(&mut line).unwrap();
            let line = line.trim().to_lowercase();
            if let Some(said) = line.strip_prefix("content-length:") {
                length = said.trim().parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        asked.read_exact(&mut body).unwrap();
        let answer = r#"{"error":"invalid_client","error_description":"no such certificate"}"#;
        let head =
            "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\nconnection: close";
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        String::from_utf8(body).unwrap()
    });
    let casbah = Casbah::new();
    let mut command = casbah.command(&["connect", "entra", "--name", "a", "--client-id", "app"]);
    command.args(["--settings", r#"{"tenant": "acme.example"}"#, "--certificate-file"]).arg(pem);
    let output = command.args(["--api-base", &base, "--sign-in", &base]).output().unwrap();
    let (_, talk) = texts(&output);
    assert!(talk.contains("no such certificate"), "the app was asked: {talk}");
    let body = server.join().unwrap();
    assert!(body.contains("grant_type=client_credentials"), "{body}");
    assert!(body.contains("client_assertion=ey") && body.contains("jwt-bearer"), "{body}");
    assert!(!body.contains("client_secret"), "{body}");
}

/// A key that got lost is neither replaced nor passed over, and comes back with the file.
#[test]
fn a_lost_key_is_told_by_every_command() {
    let sim = simulator(20, 100, Live::All);
    let casbah = Casbah::new();
    casbah.connect(&sim, "acme");
    let key = casbah.data().join("secret.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    for arguments in [&["connection", "list"][..], &["run", "--once"]] {
        let output = casbah.run(arguments);
        let (_, talk) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{talk}");
        assert!(talk.contains("secret.key` is gone"), "{talk}");
        assert!(!key.exists());
    }
    std::fs::write(&key, kept).unwrap();
    let mut owner = std::fs::metadata(&key).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut owner, 0o600);
    std::fs::set_permissions(&key, owner).unwrap();
    casbah.ok(&["connection", "test", "acme"]);
}

/// A sign-in whose test fails is listed with what failed, and signing in anew keeps what was said of
/// the connection before.
#[test]
fn a_failed_sign_in_is_listed_and_mended_without_saying_everything_again() {
    let sim = simulator(20, 100, Live::All);
    let casbah = Casbah::new();
    let (base, api) = (sim.base_url(), sim.api_base());
    let connect = |token: &str, more: &[&str]| {
        let mut command = casbah.command(&["connect", "smartsheet", "--name", "acme"]);
        command.args(more).env("CASBAH_TOKEN", token).output().unwrap()
    };
    let settings = r#"{"kinds": {"SHEET - LOAD": "view"}}"#;
    let first = ["--api-base", &api, "--sign-in", &base, "--settings", settings];
    assert_eq!(connect("wrongtoken000000000000000", &first).status.code(), Some(1));
    let listed = casbah.list(&["connection", "list"]).remove(0);
    assert_eq!(listed["state"], "reconnect-needed");
    assert!(listed["reason"].as_str().unwrap().starts_with("the test failed: "), "{listed}");
    let output = connect(TOKEN, &["--replace"]);
    assert!(output.status.success(), "{:?}", texts(&output));
    let listed = casbah.list(&["connection", "list"]).remove(0);
    assert_eq!((&listed["state"], &listed["reason"]), (&"ok".into(), &"".into()));
    assert_eq!(listed["settings"]["kinds"]["SHEET - LOAD"], "view", "{listed}");
    assert_eq!(listed["hosts"]["api"], api.as_str());
    // The app is gone: a token made by hand is not its business.
    drop(sim);
    casbah.ok(&["connection", "remove", "acme"]);
}
