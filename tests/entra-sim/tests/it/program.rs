//! The program as its users meet it: one line on stdout, a port file, a saved log that the adapter
//! reads, a clean stop.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use casbah_entra::Entra;
use casbah_model::adapter::Adapter;
use casbah_plugin::{NativeAdapter, Row};
use serde_json::Value;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_entra-sim"));
    command.env_remove("ENTRA_SIM_CLIENT_SECRET");
    command
}

const SMALL: &[&str] = &["--users", "60", "--days", "2"];

#[tokio::test]
async fn it_serves_says_where_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let port_file = folder.path().join(format!("port{signal}"));
        let mut child = program()
            .args(SMALL)
            .args(["--without", "GroupMember.Read.All", "--port-file"])
            .arg(&port_file)
            .env("ENTRA_SIM_CLIENT_SECRET", "canary")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let scope = format!("{}/.default", text("api"));
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &text("client")),
            ("client_secret", "canary"),
            ("scope", &scope),
        ];
        let url = format!("{}/{}/oauth2/v2.0/token", text("signIn"), text("tenant"));
        let token: Value = http.post(url).form(&form).send().await.unwrap().json().await.unwrap();
        let token = token["access_token"].as_str().unwrap();
        for (path, status) in [("organization", 200), ("groups", 403)] {
            let url = format!("{}/v1.0/{path}", text("api"));
            assert_eq!(http.get(url).bearer_auth(token).send().await.unwrap().status(), status);
        }
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (mut rest, mut talk) = (String::new(), String::new());
        out.read_to_string(&mut rest).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        assert_eq!((child.wait().unwrap().code(), rest.as_str()), (Some(0), ""), "{talk}");
        assert!(!line.contains("canary") && !talk.contains("canary") && !talk.contains(token));
        let port = std::fs::read_to_string(&port_file).unwrap();
        assert!(text("address").ends_with(&format!(":{port}")));
    }
}

/// A saved log, in both forms, is read by the adapter to the last sign-in.
#[test]
fn what_it_writes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = NativeAdapter::<Entra>::new();
    let mut counts = Vec::new();
    for more in [&[][..], &["--lines"], &["--beta"]] {
        let (path, labels) = (folder.path().join("log"), folder.path().join("labels"));
        let mut command = program();
        command.arg("write").args(SMALL).args(more).arg("--out").arg(&path);
        let done = command.arg("--incidents").arg(&labels).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        let body = std::fs::read(&path).unwrap();
        let batch = adapter.normalize("", &body, &adapter.split(&body).unwrap()).unwrap();
        assert!(Row::all(&batch).all(|row| row.time() > 0 && row.text("actor").contains('@')));
        counts.push(batch.len());
        let incidents: Value = serde_json::from_slice(&std::fs::read(&labels).unwrap()).unwrap();
        // The labels are true: the failures of that person in that time are in the log.
        let guessed = incidents.as_array().unwrap().iter().find(|it| it["name"] == "failed-logins");
        let guessed = guessed.unwrap();
        let (start, end) = (guessed["start"].as_i64().unwrap(), guessed["end"].as_i64().unwrap());
        let failures = Row::all(&batch)
            .filter(|row| row.text("result") == "failure" && (start..=end).contains(&row.time()));
        assert!(failures.count() as i64 >= guessed["signIns"].as_i64().unwrap());
    }
    assert!(counts[0] == counts[1] && counts[2] > counts[0], "{counts:?}");
}

#[test]
fn what_it_is_told_wrongly_is_said_in_words() {
    for (arguments, expected) in [
        (&["--without", "User.Write"][..], "there is no permission `User.Write`"),
        (&["--change", "fire ana@x.example"], "is not a change"),
        (&["--change", "disable nobody@x.example"], "nobody in the directory has the address"),
        (&["--fault", "nothing=1"], "there is no fault `nothing`"),
        (&["--listen", "192.0.2.1:0"], "is not on this machine"),
    ] {
        let done = program().args(SMALL).args(arguments).output().unwrap();
        let told = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && told.contains(expected), "{arguments:?}: {told}");
    }
}
