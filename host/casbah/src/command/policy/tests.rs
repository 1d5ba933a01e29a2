//! The offline tools for policies, with the real detectors in their sandbox and real folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use clap::Parser;
use insta::assert_snapshot;
use tempfile::TempDir;

use super::*;
use crate::cli::{Cli, Command, Format};
use crate::output::Console;

/// What was printed, and what was said.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<(String, String)>>);

impl Console for Heard {
    fn out(&mut self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().0.push_str(text);
        Ok(())
    }

    fn talk(&mut self, text: &str) {
        self.0.lock().unwrap().1.push_str(text);
    }

    fn ask(&mut self, _: &str, _: bool) -> io::Result<String> {
        Err(io::Error::other("nobody answers"))
    }
}

fn plugins() -> &'static Plugins {
    static PLUGINS: OnceLock<Plugins> = OnceLock::new();
    PLUGINS.get_or_init(|| Plugins::load(&config(None)).unwrap())
}

fn config(policies: Option<&Path>) -> Config {
    let mut arguments = vec!["casbah".to_owned(), "config".to_owned(), "check".to_owned()];
    if let Some(folder) = policies {
        arguments.extend(["--policies".to_owned(), folder.display().to_string()]);
    }
    Config::load(&Cli::try_parse_from(arguments).unwrap().global).unwrap()
}

/// Runs `casbah policy …`: the exit code, what was printed, and what was said, with the folder named
/// DIR. `DIR` in arguments stands for the folder, too.
fn policy(folder: &TempDir, arguments: &str) -> (u8, String, String) {
    let path = folder.path().display().to_string();
    let words = arguments.split_whitespace().map(|word| word.replace("DIR", &path));
    let words = ["casbah".to_owned(), "policy".to_owned()].into_iter().chain(words);
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    let Command::Policy(command) = &cli.command else { panic!("not a policy command") };
    let heard = Heard::default();
    let format = cli.global.format.unwrap_or(Format::Table);
    let mut output = Output::new(Box::new(heard.clone()), format, None);
    let code = match run(command, &config(None), plugins(), &mut output) {
        Ok(found) => u8::from(found.0),
        Err(error) => {
            crate::complain(output.console(), &error);
            crate::code_of(&error)
        }
    };
    let (out, said) = heard.0.lock().unwrap().clone();
    (code, out.replace(&path, "DIR"), said.replace(&path, "DIR"))
}

/// The same as one text.
fn told(folder: &TempDir, arguments: &str) -> String {
    let (code, out, said) = policy(folder, arguments);
    format!("{out}--\n{said}-- {code}")
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn files(folder: &TempDir) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(folder.path(), folder.path(), &mut found);
    found.sort();
    found
}

const GOOD: &str = "\
policy: good
title: Good
severity: low
when:
  - {field: app, is: smartsheet}
  - {field: actor, in: {list: vip}}
tests:
  - name: one
    given: [{kind: export}]
    expect: {alerts: 1}
  - name: none
    given: [{kind: export, actor: bea@example.com}]
    silent: true
";

const RULE: &str = "\
title: Root is used
id: 8a1d1a4c-0000-4000-8000-000000000001
status: test
level: high
logsource: {product: aws, service: cloudtrail}
detection:
  selection:
    userIdentity.type: Root
  condition: selection
";

#[test]
fn files_are_checked_with_their_lists() {
    let folder = folder(&[
        ("good.yaml", GOOD),
        ("lists/vip.txt", "ana@example.com\n"),
        ("shadow/good.yaml", &GOOD.replace("severity: low", "severity: high")),
        ("sigma/root.yml", RULE),
        ("sigma/odd.yml", &RULE.replace("aws", "none").replace("0001", "0002")),
    ]);
    assert_snapshot!(told(&folder, "check DIR"), @r"
    --
    not used: no activities are known to come from the log source `product: none, service: cloudtrail`
     --> DIR/sigma/odd.yml:5:1
      |
    5 | logsource: {product: none, service: cloudtrail}
      | ^^^^^^^^^
    hint: the log sources that are known stand in casbah's `host/sigma/logsources.yaml`

    3 policies are well-formed; 1 Sigma rule is not used
    -- 0
    ");
    assert_snapshot!(told(&folder, "check DIR --format json"), @r#"
    {"column":1,"file":"DIR/sigma/odd.yml","hint":"the log sources that are known stand in casbah's `host/sigma/logsources.yaml`","kind":"not-used","line":5,"message":"no activities are known to come from the log source `product: none, service: cloudtrail`","rule":"Root is used"}
    --
    3 policies are well-formed; 1 Sigma rule is not used
    -- 0
    "#);
    assert_snapshot!(told(&folder, "check DIR/good.yaml DIR/shadow/good.yaml"), @r"
    --
    error: `DIR/good.yaml` and `DIR/shadow/good.yaml` have one name
     --> DIR/shadow/good.yaml:1:9
      |
    1 | policy: good
      |         ^^^^
    hint: rename one of them: alerts of policy `good` would be mixed up

    1 problem found
    -- 1
    ");
    assert_snapshot!(told(&folder, "test DIR"), @r"
    --
    without tests: `sigma-root-is-used`
    4 tests passed, 0 failed
    -- 0
    ");
}

#[test]
fn everything_wrong_is_said_at_once() {
    let folder = folder(&[
        ("a.yaml", &GOOD.replace("vip", "vips")),
        ("b.yaml", &GOOD.replace("severity: low", "severity: lo")),
        ("c.yaml", "policy: c\ntitle: C\nseverity: low\nwhen: [{field: knd, is: x}]\n"),
        ("lists/vip.txt", "ana@example.com\n"),
    ]);
    assert_snapshot!(told(&folder, "check DIR"), @r"
    --
    error: there is no list `vips`
     --> DIR/a.yaml:6:31
      |
    6 |   - {field: actor, in: {list: vips}}
      |                               ^^^^
    hint: did you mean `vip`?

    error: `DIR/a.yaml` and `DIR/b.yaml` have one name
     --> DIR/b.yaml:1:9
      |
    1 | policy: good
      |         ^^^^
    hint: rename one of them: alerts of policy `good` would be mixed up

    error: `lo` is not a severity
     --> DIR/b.yaml:3:11
      |
    3 | severity: lo
      |           ^^
    hint: did you mean `low`?

    error: `knd` is not a field
     --> DIR/c.yaml:4:16
      |
    4 | when: [{field: knd, is: x}]
      |                ^^^
    hint: did you mean `kind`?

    4 problems found
    -- 1
    ");
    assert_snapshot!(told(&folder, "check DIR --format json"), @r#"
    {"column":31,"file":"DIR/a.yaml","hint":"did you mean `vip`?","kind":"list","line":6,"message":"there is no list `vips`"}
    {"column":9,"file":"DIR/b.yaml","hint":"rename one of them: alerts of policy `good` would be mixed up","kind":"name","line":1,"message":"`DIR/a.yaml` and `DIR/b.yaml` have one name"}
    {"column":11,"file":"DIR/b.yaml","hint":"did you mean `low`?","kind":"value","line":3,"message":"`lo` is not a severity"}
    {"column":16,"file":"DIR/c.yaml","hint":"did you mean `kind`?","kind":"setting","line":4,"message":"`knd` is not a field"}
    --
    -- 1
    "#);
    assert_snapshot!(told(&folder, "check DIR/none.yaml"), @r"
    --
    error: the policy `DIR/none.yaml` can't be read: No such file or directory (os error 2)
    hint: name files, or folders with files that end in `.yaml`
    -- 1
    ");
    assert_snapshot!(told(&folder, "test DIR/c.yaml"), @r"
    --
    error: `knd` is not a field
     --> DIR/c.yaml:4:16
      |
    4 | when: [{field: knd, is: x}]
      |                ^^^
    hint: did you mean `kind`?
    -- 1
    ");
}

#[test]
fn rows_that_no_test_notices_are_named() {
    let more = GOOD.replace("tests:", "  - {field: kind, not: view, missing: match}\ntests:");
    let folder = folder(&[("good.yaml", &more), ("lists/vip.txt", "ana@example.com\n")]);
    assert_snapshot!(told(&folder, "test --coverage DIR"), @r"
    --
    2 tests passed, 0 failed
    3 rows: 1 turned by tests (33%), 2 noticed only one way, 0 not at all
    -- 0
    ");
    assert_snapshot!(told(&folder, "test --coverage --format json DIR"), @r#"
    {"failure":null,"file":"DIR/good.yaml","line":9,"passed":true,"policy":"good","test":"one"}
    {"failure":null,"file":"DIR/good.yaml","line":12,"passed":true,"policy":"good","test":"none"}
    {"always":false,"column":5,"file":"DIR/good.yaml","line":5,"never":true,"policy":"good","row":"{field: app, is: smartsheet}"}
    {"always":true,"column":5,"file":"DIR/good.yaml","line":6,"never":true,"policy":"good","row":"{field: actor, in: {list: vip}}"}
    {"always":false,"column":5,"file":"DIR/good.yaml","line":7,"never":true,"policy":"good","row":"{field: kind, not: view, missing: match}"}
    {"half":2,"missed":0,"percent":33,"rows":3,"turned":1,"untried":0}
    --
    2 tests passed, 0 failed
    -- 0
    "#);
    fs::write(
        folder.path().join("good.yaml"),
        more.replace("expect: {alerts: 1}", "expect: {alerts: 2}"),
    )
    .unwrap();
    assert_snapshot!(told(&folder, "test --coverage DIR"), @r"
    DIR/good.yaml:9: `one` of `good` failed
    expected 2 alerts, got 1
    activities arrived as one batch; alerts:
      actor ana@example.com, severity low, count 1, 2026-01-05T10:00:00Z to 2026-01-05T10:00:00Z: ana@example.com exported

    --
    1 test passed, 1 failed
    no rows were tried: it is done for policies whose tests pass
    -- 1
    ");
}

#[test]
fn files_are_laid_out() {
    let folder = folder(&[
        ("a.yaml", "title: A\npolicy: a\n"),
        ("b.yaml", "policy: b\ntitle: B\n"),
        ("shadow/c.yaml", "policy: c   \n\n\n"),
    ]);
    assert_snapshot!(told(&folder, "format --check DIR"), @r"
    DIR/a.yaml
    DIR/shadow/c.yaml
    --
    2 of 3 files would be laid out anew
    -- 1
    ");
    assert_snapshot!(told(&folder, "format DIR"), @r"
    DIR/a.yaml
    DIR/shadow/c.yaml
    --
    2 of 3 files laid out anew
    -- 0
    ");
    assert_eq!(fs::read_to_string(folder.path().join("a.yaml")).unwrap(), "policy: a\ntitle: A\n");
    assert_snapshot!(told(&folder, "format DIR"), @r"
    --
    3 files: nothing to do
    -- 0
    ");
    assert_eq!(files(&folder), ["a.yaml", "b.yaml", "shadow/c.yaml"]);
    fs::write(folder.path().join("a.yaml"), "policy: [a\ntitle: x\n").unwrap();
    assert_snapshot!(told(&folder, "format DIR"), @r"
    --
    error: this is not YAML: illegal placement of ':' indicator
     --> DIR/a.yaml:2:6
      |
    2 | title: x
      |      ^
    hint: check indentation, quotes and brackets here and in the line before
    -- 1
    ");
    assert_snapshot!(told(&folder, "format - DIR"), @r"
    --
    error: `-` stands for stdin, and can't be named with files
    -- 2
    ");
}

/// What `policy new` writes is right, tested, and laid out, for every detector and template.
#[test]
fn whatever_is_new_passes() {
    let folder = folder(&[]);
    assert_snapshot!(told(&folder, "new mass-export --output DIR"), @r"
    DIR/mass-export.yaml
    --
    say in it what you mean, and then:
      casbah policy check DIR/mass-export.yaml
      casbah policy test --coverage DIR/mass-export.yaml
      casbah policy backtest DIR/mass-export.yaml
    -- 0
    ");
    assert_snapshot!(told(&folder, "new mass-export --output DIR"), @r"
    --
    error: there is a file `DIR/mass-export.yaml` already
    hint: take another name, or another folder with --output
    -- 1
    ");
    let mut number = 1;
    for detector in plugins().names() {
        let (code, _, said) =
            policy(&folder, &format!("new my-{detector} --detector {detector} --output DIR"));
        assert_eq!(code, 0, "{said}");
        number += 1;
    }
    let (_, listed, _) = policy(&folder, "new --list --format json");
    for line in listed.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = line["template"].as_str().unwrap();
        let (code, _, said) =
            policy(&folder, &format!("new t-{number} --template {name} --output DIR"));
        assert_eq!(code, 0, "{name}: {said}");
        number += 1;
    }
    assert!(number >= 7, "{number}");
    let (code, _, said) = policy(&folder, "test DIR");
    assert_eq!(code, 0, "{said}");
    let (code, named, said) = policy(&folder, "format --check DIR");
    assert_eq!(code, 0, "{named}{said}");
    let (code, missed, said) = policy(&folder, "test --coverage DIR/mass-export.yaml");
    assert_eq!(code, 0, "{missed}{said}");
}

#[test]
fn what_cannot_be_new() {
    let folder = folder(&[]);
    assert_snapshot!(told(&folder, "new"), @r"
    --
    error: a new policy needs a name
    hint: `casbah policy new mass-export`
    -- 2
    ");
    assert_snapshot!(told(&folder, "new Mass_Export --output DIR"), @r"
    --
    error: `Mass_Export` is not a name of a policy
    hint: use 1 to 63 of a-z, 0-9 and `-`, starting with a letter or digit
    -- 2
    ");
    assert_snapshot!(told(&folder, "new x --detector volum --output DIR"), @r"
    --
    error: there is no detector `volum`
    hint: there are `activity`, `lifecycle`, `novelty`, `reputation`, `travel`, `volume`
    -- 2
    ");
    assert_snapshot!(told(&folder, "new x --template none --output DIR"), @r"
    --
    error: there is no template `none`
    hint: `casbah policy new --list` lists them; any built-in policy can be one, too
    -- 2
    ");
    assert_snapshot!(told(&folder, "schema --detector volum"), @r"
    --
    error: there is no detector `volum`
    hint: there are `activity`, `lifecycle`, `novelty`, `reputation`, `travel`, `volume`
    -- 2
    ");
    assert_eq!(files(&folder), [] as [&str; 0]);
}

#[test]
fn rules_are_imported_unchanged() {
    let folder = folder(&[
        ("from/root.yml", RULE),
        ("from/deep/odd.yml", &RULE.replace("aws", "none").replace("0001", "0002")),
        ("from/mine.yaml", &GOOD.replace("{list: vip}", "[ana@example.com]")),
    ]);
    assert_snapshot!(told(&folder, "import DIR/from --output DIR/to"), @r"
    DIR/to/mine.yaml
    DIR/to/sigma/root.yml
    --
    not used: no activities are known to come from the log source `product: none, service: cloudtrail`
     --> DIR/from/deep/odd.yml:5:1
      |
    5 | logsource: {product: none, service: cloudtrail}
      | ^^^^^^^^^
    hint: the log sources that are known stand in casbah's `host/sigma/logsources.yaml`

    2 files copied to `DIR/to`; 1 policy of Sigma rules, 1 rule not used
    -- 1
    ");
    assert_eq!(
        files(&folder),
        [
            "from/deep/odd.yml",
            "from/mine.yaml",
            "from/root.yml",
            "to/mine.yaml",
            "to/sigma/root.yml"
        ]
    );
    assert_eq!(fs::read_to_string(folder.path().join("to/sigma/root.yml")).unwrap(), RULE);
    let (code, _, said) = policy(&folder, "check DIR/to");
    assert_eq!(code, 0, "{said}");
    // Again it does nothing; over something else it refuses.
    assert_snapshot!(told(&folder, "import DIR/from/root.yml --output DIR/to"), @r"
    --
    0 files copied to `DIR/to`; 1 policy of Sigma rules, 0 rules not used
    -- 0
    ");
    fs::write(folder.path().join("to/sigma/root.yml"), "other").unwrap();
    assert_snapshot!(told(&folder, "import DIR/from/root.yml --output DIR/to"), @r"
    --
    error: there is another file `DIR/to/sigma/root.yml` already
    hint: take it away first, or import into another folder with --output
    -- 1
    ");
    assert_snapshot!(told(&folder, "import --show DIR/from/root.yml"), @r#"
    # DIR/from/root.yml: Root is used
    {
      "category": "threat-detection",
      "description": "Sigma rule 8a1d1a4c-0000-4000-8000-000000000001",
      "detector": "activity",
      "policy": "sigma-root-is-used",
      "severity": "high",
      "title": "Root is used",
      "when": [
        {
          "field": "source",
          "is": "aws.cloudtrail"
        },
        {
          "field": "fields.userIdentity.type",
          "is": "Root"
        }
      ]
    }
    --
    -- 0
    "#);
    assert_snapshot!(told(&folder, "import DIR/from"), @r#"
    --
    error: there is no folder to import into
    hint: name one with --output, or in the settings file: `policies = "policies"`
    -- 2
    "#);
}

/// What is wrong stops everything: nothing is copied.
#[test]
fn nothing_wrong_is_imported() {
    let folder = folder(&[("from/mine.yaml", GOOD), ("from/root.yml", RULE)]);
    assert_snapshot!(told(&folder, "import DIR/from --output DIR/to"), @r"
    --
    error: there is no list `vip`
     --> DIR/from/mine.yaml:6:31
      |
    6 |   - {field: actor, in: {list: vip}}
      |                               ^^^
    hint: make a file `lists/vip.txt` beside the policies, one value a line
    -- 1
    ");
    assert_eq!(files(&folder), ["from/mine.yaml", "from/root.yml"]);
    let empty = TempDir::new().unwrap();
    assert_snapshot!(told(&empty, "import DIR --output DIR/to"), @r"
    --
    error: there is nothing to import
    hint: Sigma rules are files ending in `.yml` or `.yaml`, policies in `.yaml`
    -- 2
    ");
}

/// The help of each teaches with an example.
#[test]
fn help_teaches() {
    for name in ["new", "check", "test", "format", "schema", "import"] {
        let error = Cli::try_parse_from(["casbah", "policy", name, "--help"]).unwrap_err();
        let help = error.to_string();
        assert!(help.contains(&format!("\n  casbah policy {name} ")), "{help}");
    }
}
