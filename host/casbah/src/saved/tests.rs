//! However a file is wrapped and cut, its activities are those of the whole.

use std::io::Cursor;

use casbah_netdocuments::NetDocuments;
use casbah_plugin::NativeAdapter;
use netdocuments_sim::{Form, Log, Plan, Shape, World};
use proptest::prelude::*;

use super::*;

/// Ids with their times, read with these sizes.
fn ids(file: &str, sizes: Sizes) -> Vec<(String, Option<i64>)> {
    let adapter = NativeAdapter::<NetDocuments>::new();
    let input: Box<dyn Read> = Box::new(Cursor::new(file.as_bytes().to_vec()));
    let mut found = Vec::new();
    let pieces = Pieces::new(input, sizes.piece);
    read_one(&adapter, "", "file", pieces, sizes, &mut Unread::default(), &mut |batch| {
        batch.check().unwrap();
        let row = |row| (batch.text("id", row).to_owned(), batch.integer("time", row));
        found.extend((0..batch.len()).map(row));
        Ok(())
    })
    .unwrap();
    found
}

/// Records of a log that is full of true repeats.
fn records(count: usize, shape: Shape) -> Vec<String> {
    let mut plan = Plan::small(count);
    plan.repeats = 0.6;
    plan.plants.clear();
    let world = World::new(&plan);
    world
        .all(Log::Consolidated)
        .into_iter()
        .map(|place| {
            let mut text = String::new();
            world.write(&mut text, place, Form::Json, shape);
            text
        })
        .collect()
}

const ALL_AT_ONCE: Sizes = Sizes { rows: 1 << 20, most: 1 << 20, piece: 1 << 30 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// True repeats get the same numbers as when the file is read at once.
    #[test]
    fn repeats_are_counted_across_cuts(
        rows in 1_usize..40,
        piece in 700_usize..20_000,
        form in 0..5_u8,
    ) {
        let shape = if form == 1 { Shape::Bare } else { Shape::Array };
        let records = records(300, shape);
        let file = match form {
            0 | 1 => format!("\u{feff}[{}]", records.join(", ")),
            2 => format!("[\n  {}\n]\n", records.join(",\n  ")),
            3 => records.join("\n"),
            // One page: it is taken whole.
            _ => format!("{{\"activities\": [{}]}}", records.join(", ")),
        };
        let expected = ids(&file, ALL_AT_ONCE);
        prop_assert_eq!(expected.len(), records.len());
        let different: std::collections::BTreeSet<_> = expected.iter().collect();
        prop_assert_eq!(different.len(), expected.len(), "every repeat has its own id");
        prop_assert!(expected.iter().any(|(id, _)| id.ends_with("-2")));
        let found = ids(&file, Sizes { rows, most: 200, piece });
        prop_assert_eq!(found, expected);
    }

    /// A saved file of pages, a line each: nothing is lost or doubled, however it is cut.
    #[test]
    fn pages_in_lines_are_read_once(rows in 1_usize..40, piece in 700_usize..20_000) {
        let records = records(200, Shape::Array);
        let pages: Vec<String> =
            records.chunks(7).map(|page| format!("[{}]", page.join(","))).collect();
        let found = ids(&pages.join("\n"), Sizes { rows, most: 200, piece });
        prop_assert_eq!(found.len(), records.len());
    }
}

/// A second that is longer than anything may be is cut in the end, and nothing is lost.
#[test]
fn an_endless_second_is_cut() {
    let record = r#"{"activity":{"date":"2026-01-15T08:00:00","name":"open"}}"#;
    let file = vec![record; 500].join("\n");
    let found = ids(&file, Sizes { rows: 8, most: 64, piece: 1000 });
    assert_eq!(found.len(), 500);
}

#[test]
fn what_is_no_log_is_told_with_its_place() {
    let adapter = NativeAdapter::<NetDocuments>::new();
    let told = |file: &str, piece| {
        let input: Box<dyn Read> = Box::new(Cursor::new(file.as_bytes().to_vec()));
        let pieces = Pieces::new(input, piece);
        let read = read_one(
            &adapter,
            "",
            "x.json",
            pieces,
            SIZES,
            &mut Unread::default(),
            &mut |_| Ok(()),
        );
        read.unwrap_err().to_string()
    };
    let good = r#"{"activity":{"date":"2026-01-15T08:00:00","name":"open"}}"#;
    let second = told(&format!("{good}\n{good}\nnonsense\n"), 80);
    insta::assert_snapshot!(format!("{}\n{second}", told("nonsense", 80)), @r"
    `x.json`, from byte 0: this is no log of NetDocuments: expected ident at line 1 column 2
    `x.json`, from byte 0: this is no log of NetDocuments: expected ident at line 3 column 2
    ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Broken lines are named by their numbers wherever the file is cut, and the others are read once
    /// and in their order, whether they have times or not.
    #[test]
    fn broken_lines_are_named_across_cuts(
        kinds in proptest::collection::vec(0_u8..12, 1..300),
        rows in 1_usize..40,
        piece in 100_usize..5_000,
    ) {
        // Nothing broken at the beginning: the file would be taken whole.
        let mut file = "{\"n\": 0}\n".to_owned();
        let (mut expected, mut wrong) = (vec!["0".to_owned()], Vec::new());
        for (at, kind) in kinds.iter().enumerate() {
            let line = at + 2;
            match kind {
                0 => {
                    file.push_str("{\"n\": }");
                    wrong.push(format!("`file`, line {line}: at byte 6 there should be a value"));
                }
                1 => {}
                kind => {
                    let time = if *kind < 8 { "2026-01-15T08:00:0" } else { "" };
                    file.push_str(&format!("{{\"n\": {line}, \"time\": \"{time}{}Z\"}}", kind % 8));
                    expected.push(line.to_string());
                }
            }
            file.push('\n');
        }
        let adapter = NativeAdapter::<casbah_json::Json>::new();
        let input: Box<dyn Read> = Box::new(Cursor::new(file.into_bytes()));
        let sizes = Sizes { rows, most: rows * 4, piece };
        let (mut unread, mut found) = (Unread::default(), Vec::new());
        let mapping = r#"{"mapping": {"columns": {"id": "n", "time": "time"}}}"#;
        let pieces = Pieces::new(input, piece);
        read_one(&adapter, mapping, "file", pieces, sizes, &mut unread, &mut |batch| {
            batch.check().unwrap();
            found.extend((0..batch.len()).map(|row| batch.text("id", row).to_owned()));
            Ok(())
        })
        .unwrap();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(unread.count, wrong.len() as u64);
        wrong.truncate(Unread::NAMED);
        prop_assert_eq!(unread.first, wrong);
    }
}

#[test]
fn balance_is_told() {
    for (text, balanced) in [
        (&b"{\"a\":[1]}, {}"[..], true),
        (b"{}]\n[{}", false),
        (b"{\"]\":\"\\\"}\"}", true),
        (b"{", false),
        (b"]", false),
        (b"\"", false),
        (b"", true),
    ] {
        assert_eq!(is_balanced(text), balanced, "{}", String::from_utf8_lossy(text));
    }
}
