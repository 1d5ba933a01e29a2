//! Holds the published page `wit/vocabulary.md` to the lists in the code.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fmt::Write as _;
use std::path::Path;

use casbah_model::table::BatchBuilder;
use casbah_model::vocabulary::{
    ACCOUNT_COLUMNS, COLUMNS, ColumnEntry, KINDS, MEMBERSHIP_COLUMNS, NESTED, OBJECT_KINDS, Word,
};

fn columns(page: &mut String, entries: &[ColumnEntry]) {
    page.push_str("| column | type | filled by | OCSF 1.8 | meaning |\n");
    page.push_str("| --- | --- | --- | --- | --- |\n");
    for entry in entries {
        let ocsf = if entry.ocsf.is_empty() { String::new() } else { format!("`{}`", entry.ocsf) };
        let (kind, origin) = (entry.column_type.name(), entry.origin.name());
        writeln!(page, "| `{}` | {kind} | {origin} | {ocsf} | {} |", entry.name, entry.meaning)
            .unwrap();
    }
    page.push('\n');
}

fn words(page: &mut String, entries: &[Word]) {
    page.push_str("| name | meaning |\n| --- | --- |\n");
    for entry in entries {
        writeln!(page, "| `{}` | {} |", entry.name, entry.meaning).unwrap();
    }
    page.push('\n');
}

fn page() -> String {
    let mut page = String::from(
        "# Vocabulary\n\n\
         The names that plugins, policies and output share. All lists are open: a name that is not \
         here is kept and can be filtered on, but nobody may rely on it. The code's own lists are in \
         `host/model/src/vocabulary.rs`; a test holds this page to them (`CASBAH_UPDATE_PAGES=1 cargo \
         test -p casbah-model` writes it anew).\n\n\
         Texts are absent when empty, integers when they are the smallest 64-bit integer, floats when \
         they are no number. Times are milliseconds since 1970 in UTC; flags are 1 or 0, absent when \
         unknown.\n\n## Columns of an activity\n\n",
    );
    columns(&mut page, COLUMNS);
    for nested in NESTED {
        writeln!(page, "## Nested table `{}`\n\n{}\n", nested.name, nested.meaning).unwrap();
        columns(&mut page, nested.columns);
    }
    page.push_str("## Columns of an account\n\nWhat an adapter's stream of accounts returns.\n\n");
    columns(&mut page, ACCOUNT_COLUMNS);
    page.push_str(
        "## Columns of a membership\n\nWhat an adapter's stream of memberships returns.\n\n",
    );
    columns(&mut page, MEMBERSHIP_COLUMNS);
    page.push_str("## Kinds of activity\n\n");
    words(&mut page, KINDS);
    page.push_str("## Kinds of object\n\n");
    words(&mut page, OBJECT_KINDS);
    while page.ends_with("\n\n") {
        page.pop();
    }
    page
}

#[test]
fn the_published_page_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/vocabulary.md");
    if std::env::var_os("CASBAH_UPDATE_PAGES").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let published = std::fs::read_to_string(&path).unwrap();
    assert_eq!(published, page(), "run with CASBAH_UPDATE_PAGES=1 to write the page anew");
}

/// A builder keeps what a batch is for: cells stay with their rows, absent ones stay absent.
#[test]
fn a_built_batch_reads_back() {
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.text("actor", "ana@example.com");
    builder.begin_nested("fields");
    builder.nested_text("fields", "key", "rowsCopied");
    builder.nested_text("fields", "value", "3");
    builder.begin_row();
    builder.integer("time", 5);
    builder.text("actor", "");
    let batch = builder.finish();
    batch.check().unwrap();
    assert_eq!(batch.text("actor", 0), "ana@example.com");
    assert_eq!(batch.text("actor", 1), "");
    assert_eq!(batch.integer("time", 0), None);
    assert_eq!(batch.integer("time", 1), Some(5));
    let fields = batch.nested("fields").unwrap();
    assert_eq!((fields.range(0), fields.range(1)), (0..1, 1..1));
}

/// A table from outside is refused, whatever is wrong with it.
#[test]
fn forged_tables_are_refused() {
    use casbah_model::{Batch, Column, Nested, Texts, Values};
    let column = |name: &str, values| Column { name: name.to_owned(), values };
    let good = || Batch {
        rows: 2,
        texts: Texts::from_parts("aé".to_owned(), vec![0, 1, 3]),
        columns: vec![column("kind", Values::Text(vec![1, 2]))],
        nested: vec![Nested {
            name: "fields".to_owned(),
            ends: vec![1, 1],
            columns: vec![column("key", Values::Text(vec![2]))],
        }],
    };
    good().check().unwrap();
    type Forge = fn(&mut Batch);
    type Forgery = (Box<dyn Fn(&mut Batch)>, &'static str);
    let texts = |ends: &[u32]| Texts::from_parts("aé".to_owned(), ends.to_vec());
    let forgeries: Vec<Forgery> = vec![
        (
            Box::new(move |b| b.texts = texts(&[0, 2, 3])),
            "text 1 ends at byte 2, which is before its start or inside a character",
        ),
        (
            Box::new(move |b| b.texts = texts(&[0, 3, 1])),
            "text 2 ends at byte 1, which is before its start or inside a character",
        ),
        (
            Box::new(move |b| b.texts = texts(&[0, 1, 9])),
            "text 2 ends at byte 9, which is before its start or inside a character",
        ),
        (Box::new(move |b| b.texts = texts(&[1, 3])), "text 0 is not the empty text"),
        (Box::new(move |b| b.texts = texts(&[])), "text 0 is not the empty text"),
        (
            Box::new(move |b| b.texts = texts(&[0, 1])),
            "the texts end at byte 1, but the blob has 3 bytes",
        ),
        (
            Box::new((|b| b.columns[0].values = Values::Text(vec![1, 3])) as Forge),
            "column `kind` points at text 3, but there are 3 texts",
        ),
        (
            Box::new((|b| b.columns[0].values = Values::Text(vec![1])) as Forge),
            "column `kind` has 1 values for 2 rows",
        ),
        (Box::new((|b| b.rows = 3) as Forge), "column `kind` has 2 values for 3 rows"),
        (
            Box::new(
                (|b| {
                    let again = b.columns[0].clone();
                    b.columns.push(again)
                }) as Forge,
            ),
            "column `kind` occurs twice",
        ),
        (
            Box::new((|b| b.nested[0].ends = vec![1, 0]) as Forge),
            "the ends of nested table `fields` fall",
        ),
        (
            Box::new((|b| b.nested[0].ends = vec![1]) as Forge),
            "nested table `fields` has 1 ends for 2 rows",
        ),
        (
            Box::new((|b| b.nested[0].ends = vec![1, 2]) as Forge),
            "column `fields.key` has 1 values for 2 rows",
        ),
    ];
    for (forge, message) in forgeries {
        let mut batch = good();
        forge(&mut batch);
        assert_eq!(batch.check().unwrap_err().to_string(), message);
    }
}
