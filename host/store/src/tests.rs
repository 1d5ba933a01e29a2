//! Tests of the store as a whole. What they need in common is here: made-up activities.

mod messages;
mod power_cut;
mod real_files;

use std::sync::Arc;

use casbah_model::BatchBuilder;

use crate::types::{NewBlock, Records};

/// A block whose rows are told apart by a number each; the row's time is given beside it.
pub(crate) fn block(rows: &[(u64, i64)]) -> NewBlock {
    let mut builder = BatchBuilder::new();
    let mut raw = Records::new();
    for (number, time) in rows {
        builder.begin_row();
        builder.text("id", &row_id(*number));
        builder.integer("time", *time);
        raw.push(row_raw(*number).as_bytes());
    }
    NewBlock {
        batch: Arc::new(builder.finish()),
        raw,
        marks: rows.iter().map(|(number, _)| row_mark(*number)).collect(),
        min_time: rows.iter().map(|(_, time)| *time).min().unwrap_or(0),
        max_time: rows.iter().map(|(_, time)| *time).max().unwrap_or(0),
    }
}

pub(crate) fn row_id(number: u64) -> String {
    format!("row-{number}")
}

pub(crate) fn row_raw(number: u64) -> String {
    format!("{{\"eventId\":\"row-{number}\",\"secret\":{}}}", number.wrapping_mul(7_919))
}

pub(crate) fn row_mark(number: u64) -> u64 {
    number.wrapping_mul(0x2545_f491_4f6c_dd1d)
}
