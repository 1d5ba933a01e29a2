//! Measures how long it takes to make activities of events, natively.
//!
//! `cargo run --release -p casbah-smartsheet --example smartsheet-speed [FILE]` prints nanoseconds an
//! event. Without a file it makes a page of 10,000 events in the shapes the app sends; `--write FILE`
//! saves that page instead, to measure other ways with it.

#![expect(clippy::print_stdout, reason = "printing is what this program is for")]

use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

use casbah_plugin::{Adapter, PlanRequest, Response};
use casbah_smartsheet::Smartsheet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let body = match arguments.next() {
        Some(flag) if flag == "--write" => {
            std::fs::write(arguments.next().ok_or("`--write` needs a file")?, page(10_000))?;
            return Ok(());
        }
        Some(file) => std::fs::read(file)?,
        None => page(10_000).into_bytes(),
    };
    let request = PlanRequest { stream: "activities".to_owned(), ..PlanRequest::default() };
    let response = Response { request, status: 200, headers: Vec::new(), body };
    let page = Smartsheet::read(&response)?;
    let events = page.batch.len().max(1);
    let bytes = response.body.len() / events;
    println!("{events} events of {bytes} bytes, {} distinct texts", page.batch.texts.len());
    report("read", events, || Smartsheet::read(&response).map(|page| page.batch.len()));
    report("normalize", events, || {
        Smartsheet::normalize("", &response.body, &page.raw).map(|batch| batch.len())
    });
    report("split", events, || Smartsheet::split(&response.body).map(|raw| raw.len()));
    Ok(())
}

/// The fastest of many runs: what the code needs when nothing else runs beside it.
fn report<T, E>(what: &str, events: usize, run: impl Fn() -> Result<T, E>) {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        let _ = black_box(run());
        best = best.min(start.elapsed());
    }
    println!("{what}: {} ns an event", best.as_nanos() / events as u128);
}

/// A page with the mix of a working day: views and edits most of all, from a few hundred people.
fn page(events: usize) -> String {
    const TYPES: &[(&str, &str, &str)] = &[
        ("SHEET", "LOAD", ""),
        ("SHEET", "LOAD", ""),
        ("SHEET", "UPDATE", ""),
        ("SHEET", "UPDATE", ""),
        ("DASHBOARD", "LOAD", ""),
        ("REPORT", "LOAD", ""),
        ("ATTACHMENT", "LOAD", r#","sheetId":7310584962328452"#),
        ("ATTACHMENT", "CREATE", r#","sheetId":7310584962328452,"attachmentName":"plan.xlsx""#),
        ("SHEET", "ADD_SHARE", r#","accessLevel":"EDITOR","userId":1834059238475652"#),
        (
            "SHEET",
            "SEND_AS_ATTACHMENT",
            r#","recipientEmail":"Bo@Elsewhere.org","formatType":"pdf""#,
        ),
        ("DISCUSSION", "CREATE", r#","sheetRowId":483920394857203,"sheetId":7310584962328452"#),
        (
            "SHEET",
            "COPY_ROW",
            r#","includeAttachments":true,"destinationSheetId":73,"rowsCopied":4"#,
        ),
    ];
    let mut out = String::from(r#"{"moreAvailable":true,"nextStreamPosition":"abc","data":["#);
    for n in 0..events as u64 {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let Some((object, action, more)) = TYPES.get(mixed as usize % TYPES.len()) else {
            continue;
        };
        let user = mixed % 400;
        let id = 4_000_000_000_000_000 + (mixed % 3_000) * 1_000_003;
        let comma = if n == 0 { "" } else { "," };
        let _ = write!(
            out,
            r#"{comma}{{"eventId":"2.1.Y-oF8RMroSCo4WLS9p78QEz{mixed:020}XnA2hFnCN_w","objectType":"{object}","action":"{action}","objectId":{id},"objectIdStr":"{id}","eventTimestamp":"2026-11-{:02}T{:02}:{:02}:{:02}Z","userId":{},"requestUserId":{},"source":"WEB_APP","additionalDetails":{{"emailAddress":"user.{user}@example.com","sourceIpAddress":"203.0.113.{}"{more}}}}}"#,
            1 + n * 28 / events as u64,
            mixed % 24,
            mixed % 60,
            mixed % 59,
            8_000_000_000_000_000 + user * 7_919,
            8_000_000_000_000_000 + user * 7_919,
            user % 250,
        );
    }
    out.push_str("]}");
    out
}
