//! Files laid out: what changes, what does not, and that nothing is said differently.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn formatted(text: &str) -> String {
    format("p.yaml", text.as_bytes()).unwrap()
}

#[test]
fn keys_are_put_in_order_with_their_comments() {
    assert_snapshot!(formatted("\
# yaml-language-server: $schema=policy.schema.json
# Made by the team.

# What it expects.
tests:
- name: one   
  given: [{kind: export}]


  # and nothing else
  expect: {alerts: 1}
alert: {quiet: 24h}   # a day
repeat: {count: 3, within: 5m}

# Whose file it is.
policy: p
when:
- {field: kind, is: export}
# not by machines
- {field: actor.type, is: user}
severity: low
description: >
  Two  

  paragraphs   
title: P
# The end.
"), @r"
    # yaml-language-server: $schema=policy.schema.json
    # Made by the team.

    # Whose file it is.
    policy: p
    title: P
    description: >
      Two  

      paragraphs   
    severity: low
    when:
    - {field: kind, is: export}
    # not by machines
    - {field: actor.type, is: user}
    repeat: {count: 3, within: 5m}
    alert: {quiet: 24h}   # a day
    # What it expects.
    tests:
    - name: one
      given: [{kind: export}]

      # and nothing else
      expect: {alerts: 1}
    # The end.
    ");
}

/// What is written in braces, or begins behind a marker, keeps its order.
#[test]
fn some_files_keep_their_order() {
    assert_eq!(formatted("{title: P,\n\n\n policy: p}\n\n"), "{title: P,\n\n policy: p}\n");
    assert_eq!(
        formatted("%YAML 1.2\n---\ntitle: P\npolicy: p\n...\n"),
        "%YAML 1.2\n---\npolicy: p\ntitle: P\n...\n"
    );
    assert_eq!(formatted("--- {title: P, policy: p}"), "--- {title: P, policy: p}\n");
    assert_eq!(formatted("\u{feff}title: P\r\npolicy: p\r\n"), "policy: p\ntitle: P\n");
}

/// Blanks that a value is made of stay.
#[test]
fn blanks_in_values_stay() {
    for text in [
        "policy: p\nmitre: []\ndescription: |+\n  one\n\n\n\ntitle: p\n\n# x\n",
        "policy: p\ndescription: |\n  one  \n\n\n\n  two\n",
        "policy: p\ntitle: \"one\\ \n  two\"\n",
        "policy: p\ntitle: one\n\n\n\n  two\n",
        "policy: p\ndescription: |2\n    one\n   two\n\n\n  three\n",
    ] {
        assert_eq!(formatted(text), text);
    }
}

#[test]
fn what_is_not_yaml_is_not_laid_out() {
    assert_snapshot!(format("p.yaml", b"policy: [p\ntitle: x").unwrap_err(), @r"
    error: this is not YAML: illegal placement of ':' indicator
     --> p.yaml:2:6
      |
    2 | title: x
      |      ^
    hint: check indentation, quotes and brackets here and in the line before
    ");
}

/// The built-in policies are laid out.
#[test]
fn files_of_the_house_are_laid_out() {
    let policies = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    for folder in [policies] {
        let Ok(sources) = crate::folder::read_policies(&folder) else { continue };
        for source in sources {
            let text = String::from_utf8(source.bytes.clone()).unwrap();
            assert!(formatted(&text) == text, "{} is not laid out", source.file);
        }
    }
}

/// A value of a key, indented to stand below it.
fn value() -> impl Strategy<Value = String> {
    let word = "[a-z]{1,5}";
    let blanks = prop::sample::select(vec!["", " ", "   "]);
    let gap = prop::sample::select(vec!["\n", "\n\n", "\n\n\n\n", "\n  \n"]);
    prop_oneof![
        (word, blanks.clone()).prop_map(|(word, blank)| format!(" {word}{blank}\n")),
        (word, gap.clone(), word).prop_map(|(a, gap, b)| format!(" {a}{gap}  {b}\n")),
        (word, gap.clone(), word).prop_map(|(a, gap, b)| format!(" \"{a} {gap} {b}\\ \"\n")),
        (word, gap.clone()).prop_map(|(a, gap)| format!(" 'it''s {a}{gap}  # no comment'\n")),
        (
            prop::sample::select(vec!["|", ">", "|-", ">+", "|+", "|2", ">2-"]),
            blanks.clone(),
            prop::collection::vec(("[a-z# :-]{0,6}", prop::sample::select(vec!["", "  "])), 1..5),
            gap.clone(),
        )
            .prop_map(|(header, blank, lines, gap)| {
                let lines: Vec<String> =
                    lines.iter().map(|(line, more)| format!("  {more}{line}")).collect();
                format!(" {header}{blank}\n{}{gap}", lines.join("\n"))
            }),
        (word, gap.clone(), word)
            .prop_map(|(a, gap, b)| format!("\n- {a} # one{gap}# two\n- {b}{gap}")),
        (word, gap.clone(), word)
            .prop_map(|(a, gap, b)| format!(" [{a},{gap}  # why\n  {{x: {b}}}]\n")),
        (word, gap).prop_map(|(a, gap)| format!("\n  x: {a}{gap}  # inner\n  y:\n")),
        Just(" # nothing\n".to_owned()),
    ]
}

fn file() -> impl Strategy<Value = String> {
    let keys = FIRST.iter().chain(LAST).copied().chain(["repeat", "by", "\"count\"", "? floor"]);
    let keys = Just(keys.collect::<Vec<_>>()).prop_shuffle();
    let above = prop::sample::select(vec![
        "",
        "\n",
        "\n\n\n",
        "# c\n",
        "# c\n\n",
        "\n# c \n# d\n",
        "  # in\n",
        "\n\n# yaml-language-server: x\n",
    ]);
    let piece = (above.clone(), value());
    (
        keys,
        prop::collection::vec(piece, 1..10),
        above,
        prop::sample::select(vec!["", "---\n", "# top\n---\n"]),
    )
        .prop_map(|(keys, pieces, foot, head)| {
            let mut text = head.to_owned();
            for (key, (above, value)) in keys.iter().zip(&pieces) {
                let colon = if key.starts_with('?') { "\n:" } else { ":" };
                text.push_str(&format!("{above}{key}{colon}{value}"));
            }
            text.push_str(foot);
            text
        })
}

/// Comments of a file, sorted: what begins with `#` outside of values of several lines is near enough.
fn comments(text: &str, lines: &[&str]) -> Vec<String> {
    let kept = Kept::of(text, lines);
    let mut found: Vec<String> = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| !kept.inside(*at) && line.contains('#'))
        .map(|(_, line)| line.trim().to_owned())
        .collect();
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// The same document, the same comments, and nothing left to do the second time.
    #[test]
    fn laid_out_once_is_laid_out(text in file()) {
        let Ok((text, document)) = yaml::parse(text.as_bytes()) else { return Ok(()) };
        let once = lay_out(&text, &document);
        let parsed = yaml::parse(once.as_bytes());
        prop_assert!(parsed.is_ok(), "{text}\n->\n{once}");
        let (once, after) = parsed.unwrap();
        prop_assert_eq!(after.to_json(), document.to_json(), "{}\n->\n{}", text, once);
        let again = lay_out(&once, &after);
        prop_assert_eq!(&again, &once, "{}\n->\n{}", text, once);
        let (before, now): (Vec<&str>, Vec<&str>) = (text.lines().collect(), once.lines().collect());
        prop_assert_eq!(comments(&text, &before), comments(&once, &now));
    }
}
