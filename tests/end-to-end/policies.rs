//! Policies while casbah runs: files that change, commands that change them, candidates in shadow,
//! and that none of it loses or repeats an alert.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use smartsheet_sim::Live;

use crate::support::{Casbah, Random, eventually, simulator, texts};

const EVERY: &str = "\
policy: every
title: Something was done
severity: low
when: [{field: app, is: smartsheet}]
alert: {group: [actor], quiet: 1d, title: '{actor} did {count} things'}
";

/// A program whose settings name a folder of policies.
fn casbah(settings: &str) -> Casbah {
    let casbah = Casbah::new();
    write(&casbah.folder.path().join("casbah.toml"), settings);
    std::fs::create_dir(casbah.folder.path().join("p")).unwrap();
    casbah
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn file(casbah: &Casbah, name: &str) -> std::path::PathBuf {
    casbah.folder.path().join("p").join(name)
}

/// A running casbah that ends with the test, whatever becomes of it.
struct Running(Child);

impl Running {
    fn start(casbah: &Casbah) -> Self {
        let socket = casbah.data().join("control.sock");
        // One that was killed leaves its own behind.
        let _ = std::fs::remove_file(&socket);
        let child =
            casbah.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Self(child);
        eventually("it answers", || socket.exists());
        running
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn stop(mut self) {
        self.signal("-TERM");
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Talk and exit code of a command.
fn said(casbah: &Casbah, arguments: &[&str]) -> (String, Option<i32>) {
    let output = casbah.run(arguments);
    let (out, talk) = texts(&output);
    (format!("{out}{talk}"), output.status.code())
}

fn in_force(casbah: &Casbah) -> Vec<String> {
    let status = casbah.run(&["policy", "status", "--format", "json"]);
    let (out, _) = texts(&status);
    out.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|row| {
            format!("{} {}", row["policy"].as_str().unwrap(), row["state"].as_str().unwrap())
        })
        .collect()
}

fn history(casbah: &Casbah) -> Vec<String> {
    casbah
        .list(&["policy", "history", "every", "--limit", "0"])
        .iter()
        .map(|reign| {
            let text = |name: &str| reign[name].as_str().unwrap_or_default().to_owned();
            let state = if reign["until"].is_null() { "in force" } else { "until then" };
            let ended = reign["ended"]["why"].as_str().unwrap_or_default();
            let shadow = if reign["shadow"] == true { " in shadow" } else { "" };
            format!("{}{shadow} {state} {}", text("why"), ended).trim().to_owned()
        })
        .collect()
}

/// A folder that is broken changes nothing and says everything; one that is mended, added to or
/// changed by a command comes in force at once, with who and why.
#[test]
fn what_the_folder_says_comes_in_force_while_it_runs() {
    let sim = simulator(10, 1_000, Live::Manual(200));
    let casbah = casbah("policies = \"p\"\n");
    write(&file(&casbah, "every.yaml"), EVERY);
    casbah.connect(&sim, "acme");
    let running = Running::start(&casbah);
    eventually("it is in force", || in_force(&casbah) == ["every in force"]);
    eventually("there are alerts", || !casbah.list(&["alert", "list"]).is_empty());

    // One mistake in one file, and none of it is taken.
    write(&file(&casbah, "every.yaml"), &EVERY.replace("title: Something", "titel: Something"));
    write(&file(&casbah, "other.yaml"), &EVERY.replace("every", "other").replace("low", "loud"));
    running.signal("-HUP");
    eventually("it is refused", || said(&casbah, &["policy", "status"]).1 == Some(1));
    let (told, _) = said(&casbah, &["policy", "status"]);
    for place in ["every.yaml:2:1", "other.yaml:3:11", "is refused since"] {
        assert!(told.contains(place), "{told}");
    }
    assert_eq!(in_force(&casbah), ["every in force"]);
    let (told, code) = said(&casbah, &["policy", "disable", "every", "--why", "noise"]);
    assert_eq!(code, Some(1), "{told}");

    write(&file(&casbah, "every.yaml"), EVERY);
    write(&file(&casbah, "other.yaml"), &EVERY.replace("every", "other"));
    eventually("it is mended", || said(&casbah, &["policy", "status"]).1 == Some(0));
    eventually("both are in force", || in_force(&casbah) == ["every in force", "other in force"]);

    casbah.ok(&["policy", "disable", "every", "--why", "noise"]);
    assert_eq!(in_force(&casbah), ["other in force"]);
    let (told, _) = said(&casbah, &["policy", "status"]);
    assert!(told.contains("switched off: every"), "{told}");
    let text = std::fs::read_to_string(file(&casbah, "every.yaml")).unwrap();
    assert_eq!(text, EVERY.replace("severity: low\n", "severity: low\nenabled: false\n"));
    assert_eq!(history(&casbah), ["until then noise"]);
    let (told, code) = said(&casbah, &["policy", "disable", "every", "--why", "again"]);
    assert_eq!((told.as_str(), code), ("policy `every` is disabled already\n", Some(0)));
    casbah.ok(&["policy", "enable", "every", "--why", "we miss it"]);
    assert_eq!(history(&casbah), ["we miss it in force", "until then noise"]);
    casbah.ok(&["policy", "rollback", "every", "--why", "as it was"]);
    assert_eq!(std::fs::read_to_string(file(&casbah, "every.yaml")).unwrap(), EVERY);
    assert_eq!(
        history(&casbah),
        ["as it was in force", "we miss it until then", "until then noise"]
    );
    let alert = &casbah.list(&["alert", "list", "--policy", "every"])[0];
    assert!(alert["title"].as_str().unwrap().contains(" did "), "{alert}");
    let (told, _) = said(&casbah, &["alert", "show", alert["id"].as_str().unwrap()]);
    let revision = alert["revision"].as_str().unwrap();
    assert!(told.contains(&format!("policy show every --revision {revision}")), "{told}");
    let shown = casbah.ok(&["policy", "show", "every", "--revision", &revision[..6]]);
    assert!(shown.starts_with("policy: every\n"), "{shown}");
    running.stop();

    // Without anybody running it is told and changed as well.
    let (told, code) = said(&casbah, &["policy", "status"]);
    assert!(told.contains("casbah is not running") && code == Some(0), "{told}");
    let (told, _) = said(&casbah, &["policy", "disable", "every", "--why", "noise again"]);
    assert_eq!(told, "policy `every` is disabled, from the next `casbah run` on\n");
    casbah.ok(&["run", "--once"]);
    assert_eq!(history(&casbah)[0], "as it was until then noise again");
}

/// A candidate runs beside the policy in force, from any time on, and takes its place.
#[test]
fn a_candidate_is_tried_and_promoted() {
    let sim = simulator(10, 1_000, Live::Manual(600));
    let casbah = casbah("policies = \"p\"\n");
    write(&file(&casbah, "every.yaml"), EVERY);
    let stricter =
        EVERY.replace("severity: low", "severity: high\nrepeat: {count: 9, within: 1d, by: actor}");
    write(&casbah.folder.path().join("tried.yaml"), &stricter);
    casbah.connect(&sim, "acme");
    let running = Running::start(&casbah);
    eventually("there are alerts", || !casbah.list(&["alert", "list"]).is_empty());

    casbah.ok(&["policy", "shadow", "add", "tried.yaml", "--days", "365", "--why", "less noise"]);
    eventually("it has seen all", || {
        let known = casbah.list(&["policy", "shadow", "list"]);
        known.len() == 1 && known[0]["lag_rows"] == 0 && known[0]["alerts"].as_u64() > Some(0)
    });
    assert_eq!(in_force(&casbah), ["every in force", "every in shadow"]);
    let listed = casbah.list(&["alert", "list", "--limit", "0"]);
    assert!(listed.iter().all(|alert| alert["severity"] == "low"), "a candidate's are not listed");
    let compared = &casbah.list(&["policy", "shadow", "compare", "every"])[0];
    let count = |name: &str| compared[name].as_array().unwrap().len();
    assert!(count("only_old") > 0 && count("both") > 0, "{compared}");
    assert_eq!(count("only_new"), 0);
    assert_eq!(count("only_old") + count("both"), listed.len());
    let (told, _) = said(&casbah, &["policy", "shadow", "compare", "every"]);
    assert!(told.contains("only old") && told.contains("low → high"), "{told}");

    let (told, _) =
        said(&casbah, &["policy", "shadow", "promote", "every", "--why", "half the noise"]);
    assert!(told.contains("goes on with what it has learned in shadow"), "{told}");
    assert_eq!(in_force(&casbah), ["every in force"]);
    assert_eq!(std::fs::read_to_string(file(&casbah, "every.yaml")).unwrap(), stricter);
    assert!(!file(&casbah, "shadow/every.yaml").exists());
    assert!(casbah.list(&["policy", "shadow", "list"]).is_empty());
    assert_eq!(history(&casbah)[0], "half the noise in force");
    let (told, code) = said(&casbah, &["policy", "shadow", "drop", "every"]);
    assert_eq!(code, Some(2), "{told}");
    running.stop();
}

/// Reloaded all the time by policies that come and go and folders that are broken, and killed at
/// random moments: the policies that stay raise what they raise when nobody disturbs them.
#[test]
fn a_storm_of_reloads_and_kills_changes_no_alert() {
    const EVENTS: usize = 10_000;
    const LIVES: u64 = 30;
    let mut random = Random(0x5eed_0007);
    let sim = simulator(40, EVENTS, Live::Manual(0));
    let stormy = casbah("policies = \"p\"\nbuilt-in-policies = true\n");
    stormy.connect(&sim, "acme");
    let extra = EVERY.replace("every", "extra");
    for life in 0..LIVES {
        sim.release(EVENTS / LIVES as usize);
        let running = Running::start(&stormy);
        if life % 3 == 0 {
            // Some lives see it come in force, whatever the machine is busy with.
            write(&file(&stormy, "extra.yaml"), &extra);
            running.signal("-HUP");
            eventually("it is in force", || {
                in_force(&stormy).contains(&"extra in force".to_owned())
            });
        }
        for _ in 0..random.between(2, 9) {
            match random.between(0, 4) {
                0 => write(&file(&stormy, "extra.yaml"), &extra),
                1 => write(&file(&stormy, "extra.yaml"), &extra.replace("low", "high")),
                2 => write(&file(&stormy, "extra.yaml"), "policy: [\n"),
                _ => drop(std::fs::remove_file(file(&stormy, "extra.yaml"))),
            }
            running.signal("-HUP");
            std::thread::sleep(Duration::from_millis(random.between(5, 300)));
        }
        // A broken folder is no place to start from.
        let _ = std::fs::remove_file(file(&stormy, "extra.yaml"));
    }
    let reloads = stormy.list(&["policy", "history", "extra", "--limit", "0"]).len();
    assert!(reloads >= 10, "only {reloads} reloads were in force");
    sim.release(EVENTS);
    stormy.ok(&["run", "--once"]);
    let undisturbed = Casbah::new();
    undisturbed.connect(&sim, "acme");
    undisturbed.ok(&["run", "--once"]);

    let (expected, expected_sequences) = undisturbed.activities();
    let (found, sequences) = stormy.activities();
    assert_eq!(found, expected);
    let expected = undisturbed.alerts(&expected_sequences);
    let mut found = stormy.alerts(&sequences);
    found.retain(|_, alert| alert["policy"] != "extra");
    assert!(expected.len() >= 5, "there should be an alert for every incident");
    for (id, alert) in &expected {
        assert_eq!(found.get(id), Some(alert), "alert {id}");
    }
    assert_eq!(found.len(), expected.len());
    stormy.ok(&["store", "check"]);
}
