//! What lists hold, and every message about them.

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;

fn file(name: &str, text: &str) -> PolicySource {
    PolicySource { file: format!("lists/{name}"), bytes: text.as_bytes().to_vec() }
}

fn lists(files: &[(&str, &str)]) -> Lists {
    let files: Vec<_> = files.iter().map(|(name, text)| file(name, text)).collect();
    Lists::read(&files).unwrap()
}

fn wrong(name: &str, text: &str) -> String {
    let problems = Lists::read(&[file(name, text)]).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

fn values(lists: &Lists, name: &str, column: Option<&str>) -> Vec<String> {
    lists.values(name, column).unwrap().1.to_vec()
}

fn missing(lists: &Lists, name: &str, column: Option<&str>) -> String {
    let NoValues { message, hint, .. } = lists.values(name, column).unwrap_err();
    format!("{message}\nhint: {hint}")
}

#[test]
fn a_text_has_a_value_a_line() {
    let lists = lists(&[(
        "vip.txt",
        "\u{feff}# people\nana@example.com # the boss\n\n  bea@example.com\r\nana@example.com\nnumber#7\n",
    )]);
    assert_eq!(values(&lists, "vip", None), ["ana@example.com", "bea@example.com", "number#7"]);
}

#[test]
fn a_table_has_columns() {
    let lists = lists(&[(
        "staff.csv",
        "# of November\nemail,name\nana@example.com,\"Lopez, Ana\"\n\n\"b\"\"q\", \"two\" \r\nana@example.com,\n",
    )]);
    assert_eq!(values(&lists, "staff", Some("email")), ["ana@example.com", "b\"q"]);
    assert_eq!(lists.get("staff").unwrap().columns().collect::<Vec<_>>(), ["email", "name"]);
}

#[test]
fn what_is_wrong_with_files() {
    assert_snapshot!(wrong("staff.csv", "email,name\nana@example.com\n"), @r"
    error: there are 2 columns and 1 values here
     --> lists/staff.csv:2:1
      |
    2 | ana@example.com
      | ^
    hint: a value with a comma in it is put in double quotes
    ");
    assert_snapshot!(wrong("staff.csv", "email,email\n"), @r"
    error: two columns have the name `email`
     --> lists/staff.csv:1:1
      |
    1 | email,email
      | ^
    hint: rename one of them
    ");
    assert_snapshot!(wrong("staff.csv", "email,\n"), @r"
    error: a column has no name
     --> lists/staff.csv:1:1
      |
    1 | email,
      | ^
    hint: the first line names all columns
    ");
    assert_snapshot!(wrong("staff.csv", "# nothing\n"), @r"
    error: the file is empty
     --> lists/staff.csv:1:1
      |
    1 | # nothing
      | ^
    hint: its first line names the columns, e.g. `email,team`
    ");
    assert_snapshot!(wrong("staff.csv", "email\n\"ana\nbea\n"), @r#"
    error: a quote is opened here and never closed
     --> lists/staff.csv:2:1
      |
    2 | "ana
      | ^
    hint: write a quote in a value as two
    "#);
    assert_snapshot!(wrong("staff.csv", "email\n\"ana\" bea\n"), @r#"
    error: there is something after the closing quote
     --> lists/staff.csv:2:1
      |
    2 | "ana" bea
      | ^
    hint: write a quote in a value as two
    "#);
    assert_snapshot!(wrong("VIP list.txt", "ana\n"), @r"
    error: `VIP list` is not a name of a list
     --> lists/VIP list.txt
    hint: name the file with 1 to 63 of a-z, 0-9, `-` and `_`
    ");
    assert_snapshot!(wrong("vip.txt", "ana\u{7}\n"), @r"
    error: this value has control characters in it
     --> lists/vip.txt:1:1
      |
    1 | ana?
      | ^
    hint: take them out; nothing would be equal to it
    ");
    assert_snapshot!(wrong("vip.txt", &"x".repeat(5000)).lines().next().unwrap(), @"error: this value has 5000 bytes; one may have 4096");
    let latin = PolicySource { file: "lists/vip.txt".to_owned(), bytes: b"Jos\xe9".to_vec() };
    assert_snapshot!(Lists::read(&[latin]).unwrap_err()[0], @r"
    error: byte 3 is not UTF-8
     --> lists/vip.txt
    hint: save the file as UTF-8
    ");
    let two = Lists::read(&[file("vip.txt", "ana"), file("vip.csv", "email\nana")]).unwrap_err();
    assert_snapshot!(two[0], @r"
    error: `lists/vip.txt` and `lists/vip.csv` have one name
     --> lists/vip.csv
    hint: a list is named by its file without the ending; rename one of them
    ");
}

#[test]
fn what_there_is_no_list_for() {
    assert_snapshot!(missing(&Lists::default(), "vip", None), @r"
    there is no list `vip`
    hint: make a file `lists/vip.txt` beside the policies, one value a line
    ");
    let lists = lists(&[
        ("vip.txt", "ana"),
        ("empty.txt", "# later\n"),
        ("staff.csv", "email,team\na,b\n"),
    ]);
    assert_snapshot!(missing(&lists, "vips", None), @r"
    there is no list `vips`
    hint: did you mean `vip`?
    ");
    assert_snapshot!(missing(&lists, "staff", None), @r"
    the list `staff` has several columns
    hint: say which: `{list: staff, column: email}`; there are `email`, `team`
    ");
    assert_snapshot!(missing(&lists, "staff", Some("mail")), @r"
    the list `staff` has no column `mail`
    hint: did you mean `email`?
    ");
    assert_snapshot!(missing(&lists, "vip", Some("email")), @r"
    the list `vip` has no columns, and so no `email`
    hint: write `{list: vip}`, or make a `.csv` of it
    ");
    assert_snapshot!(missing(&lists, "empty", None), @r"
    the list `empty` has no values
    hint: write one into `lists/empty.txt`; as it is, the row would be meant for nothing
    ");
}

/// There is a largest number of values, and it is kept.
#[test]
fn lists_have_a_bound() {
    let many: String = (0..=MOST_VALUES).map(|n| format!("{n}\n")).collect();
    let most = many.trim_end().rsplit_once('\n').unwrap().0;
    assert_eq!(values(&lists(&[("many.txt", most)]), "many", None).len(), MOST_VALUES);
    assert!(wrong("many.txt", &many).contains("more than 200000 different values"));
}

proptest! {
    /// Whatever is quoted by the rules comes back as it was, once.
    #[test]
    fn quoted_values_come_back(cells in prop::collection::vec("[a-c,\" \n#é]{1,6}", 1..30)) {
        let mut text = "a,b\n".to_owned();
        for cell in &cells {
            text.push_str(&format!("\"{}\",x\n", cell.replace('"', "\"\"")));
        }
        let read = Lists::read(&[file("l.csv", &text)]);
        let mut wanted: Vec<String> = Vec::new();
        for cell in &cells {
            if !wanted.contains(cell) {
                wanted.push(cell.clone());
            }
        }
        // A line break in a value is a control character, which is refused.
        match read {
            Ok(lists) => prop_assert_eq!(values(&lists, "l", Some("a")), wanted),
            Err(_) => prop_assert!(cells.iter().any(|cell| cell.contains('\n'))),
        }
    }

    /// No bytes bring it down.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), csv: bool) {
        let file = format!("lists/x.{}", if csv { "csv" } else { "txt" });
        let _ = Lists::read(&[PolicySource { file, bytes }]);
    }
}
