//! The program as its users meet it: one line on stdout, a port file, files written, a clean stop.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use serde_json::Value;

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netdocuments-sim"));
    command.env_remove("NETDOCUMENTS_SIM_CLIENT_SECRET");
    command
}

const SMALL: [&str; 6] = ["--users", "40", "--days", "2", "--events", "3000"];

#[tokio::test]
async fn it_serves_says_where_and_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let port_file = folder.path().join(format!("port{signal}"));
        let mut command = program();
        command.args(SMALL).arg("--port-file").arg(&port_file).args(["--region", "eu"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let base = said["apiBase"].as_str().unwrap();
        assert!(base.ends_with("/eu") && said["repository"].as_str().unwrap().starts_with("CA-"));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let reply = client.get(format!("{base}/v1/User/info")).send().await.unwrap();
        assert_eq!(reply.status(), 401);
        let control = base.replace("/eu", "/control");
        let incidents = client.get(format!("{control}/incidents")).send().await.unwrap();
        let incidents: Value = serde_json::from_str(&incidents.text().await.unwrap()).unwrap();
        assert_eq!(incidents.as_array().unwrap().len(), 14);
        let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let (mut rest, mut talk) = (String::new(), String::new());
        out.read_to_string(&mut rest).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut talk).unwrap();
        let code = child.wait().unwrap().code();
        assert_eq!((code, rest.as_str()), (Some(0), ""), "{signal}: {talk}");
        let port = std::fs::read_to_string(&port_file).unwrap();
        assert!(said["address"].as_str().unwrap().ends_with(&format!(":{port}")));
    }
}

#[test]
fn it_writes_logs_to_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let done = program().arg("write").args(SMALL).args(more).arg("--out").arg(&path).output();
        let done = done.unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        std::fs::read_to_string(path).unwrap()
    };
    let array = write("log.json", &["--end", "2026-11-20T12:00:00Z"]);
    let array: Value = serde_json::from_str(array.trim_start_matches('\u{feff}')).unwrap();
    let lines = write("log.jsonl", &["--end", "2026-11-20T12:00:00Z", "--lines"]);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(array.as_array().unwrap(), &lines);
    let admin = write("admin.xml", &["--log", "admin", "--format", "xml", "--far", "81.2.69.142"]);
    assert!(admin.starts_with("<activities>") && admin.contains("Repository add users"));
}

#[test]
fn mistakes_are_told() {
    for (arguments, told) in [
        (&["--region", "mars"][..], "there is no region `mars`"),
        (&["--fault", "flood=1"], "there is no fault `flood`"),
        (&["--end", "soon"], "`soon` is not a time"),
        (&["--listen", "192.0.2.1:0"], "is not on this machine"),
        (&["--sign-in-as", "nobody@x.example"], "nobody has the address"),
    ] {
        let done = program().args(SMALL).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains(told), "{said}");
    }
}
