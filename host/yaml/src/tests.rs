//! The tree, typed values out of it, and how a line is shown. What policies say on top of it is tested
//! in `casbah-detect`.

use std::fmt;

use crate::place::{Excerpt, show};
use crate::{Fields, Node, Span, Value, Wording, parse};

const WORDING: Wording = Wording {
    one: "a note",
    many: "notes",
    begin: "begin with `note: …`",
    second: "write one file a note",
    long: "write less",
};

/// What is said of a text that can't be parsed.
fn refused(text: &[u8]) -> String {
    let (text, wrong) = parse(text, WORDING).unwrap_err();
    Shown { text, span: wrong.span, message: wrong.message, hint: wrong.hint }.to_string()
}

struct Shown {
    text: String,
    span: Span,
    message: String,
    hint: Option<String>,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = self.span.within(&self.text);
        let excerpt = Excerpt::of(&self.text, span);
        let place = Some(((span.line, span.column), excerpt.as_ref()));
        show(f, &self.message, "note.yaml", place, self.hint.as_deref())
    }
}

fn node(text: &str) -> Node {
    parse(text.as_bytes(), WORDING).unwrap().1
}

#[test]
fn the_words_for_a_file_stand_in_its_messages() {
    insta::assert_snapshot!(refused(b"- a\n"), @r"
    error: a note is a mapping, this is a list
     --> note.yaml:1:1
      |
    1 | - a
      | ^
    hint: begin with `note: …`
    ");
    insta::assert_snapshot!(refused(b"a: 1\n---\nb: 2\n"), @r"
    error: a second document begins here
     --> note.yaml:2:1
      |
    2 | ---
      | ^^^
    hint: write one file a note
    ");
    insta::assert_snapshot!(refused(b"a: !x 1\n"), @r"
    error: tags such as `!name` are not used in notes
     --> note.yaml:1:4
      |
    1 | a: !x 1
      |    ^^^^
    hint: take it out; a text is put in quotes
    ");
    insta::assert_snapshot!(refused(b"\n\na: [1, 2\n"), @r"
    error: this is not YAML: while parsing a flow sequence, expected ',' or ']'
     --> note.yaml:3:9
      |
    3 | a: [1, 2
      |         ^
    hint: check indentation, quotes and brackets here and in the line before
    ");
}

/// Addresses are texts, however many colons they have.
#[test]
fn plain_values_have_the_types_of_the_core_schema() {
    let node = node("a: [no, 0x10, 1.5, ~, true, ::1, '2001:db8::/32', 192.0.2.0/24, 1e3]\n");
    let Value::List(items) = &node.get("a").unwrap().value.value else { panic!("a list") };
    let values: Vec<_> = items.iter().map(|item| item.to_json().to_string()).collect();
    assert_eq!(
        values.join(" "),
        r#""no" 16 1.5 null true "::1" "2001:db8::/32" "192.0.2.0/24" 1000.0"#
    );
}

#[test]
fn numbers_are_read_within_bounds() {
    let node = node("a: 47.5\nb: 91\nc: north\nd: 7\n");
    let mut fields = Fields::new('v', 'k');
    assert_eq!(fields.number(&node, "a", -90.0..=90.0), Some(47.5));
    assert_eq!(fields.number(&node, "b", -90.0..=90.0), None);
    assert_eq!(fields.number(&node, "c", -90.0..=90.0), None);
    assert_eq!(fields.number(&node, "d", -90.0..=90.0), Some(7.0));
    assert_eq!(fields.number(&node, "e", -90.0..=90.0), None);
    fields.only(&node, &["a", "b", "c"], "a note");
    let wrongs: Vec<_> = fields
        .wrongs
        .iter()
        .map(|(kind, wrong)| format!("{kind} {} {}", wrong.span.line, wrong.message))
        .collect();
    insta::assert_snapshot!(wrongs.join("\n"), @r"
    v 2 `b` must be a number from -90 to 90
    v 3 `c` must be a number from -90 to 90
    k 4 `d` is not a key of a note
    ");
}

/// A long line is cut around what is meant, and the caret still stands below it.
#[test]
fn a_long_line_is_cut_around_the_place() {
    let text = format!("{}X{}", "a".repeat(300), "b".repeat(300));
    let span = Span { line: 1, column: 301, length: 1 };
    let shown = Shown { text, span, message: "wrong".to_owned(), hint: None }.to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let caret = lines[4].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[3].chars().nth(caret), Some('X'), "{shown}");
    assert!(lines[3].chars().count() < 130);
}

proptest::proptest! {
    /// No text panics, and what is wrong has a place that can be shown.
    #[test]
    fn no_text_is_too_odd(text in "[a-c:\\[\\]{}\"'#&*!|>, \n\t-]{0,60}|.{0,40}") {
        if let Err((text, wrong)) = parse(text.as_bytes(), WORDING) {
            Excerpt::of(&text, wrong.span.within(&text));
        }
    }
}
