//! The tables that `make evaluate` prints.

use comfy_table::{CellAlignment, Table, presets::NOTHING};

use crate::attack::NEAR_MISS;
use crate::judge::{Cohort, Share, Verdict};
use crate::volume::{Found, SIZES};

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(head.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn share(share: Option<&Share>) -> String {
    match share {
        Some(share) if share.of > 0 => format!("{}/{}", share.found, share.of),
        _ => "-".to_owned(),
    }
}

/// Every detection: recall by strength, near misses that raised an alert, false alerts, delay.
pub(crate) fn detections(verdict: &Verdict) -> String {
    let mut table = table(&[
        "DETECTION",
        "WEAK",
        "MEDIUM",
        "STRONG",
        "NEW PEOPLE",
        "NEAR MISSES RAISED",
        "FALSE /1000/WEEK",
        "NEW VPN",
        "HOURS TO ALERT",
        "BEHAVIORS",
    ]);
    for (name, score) in &verdict.policies {
        let of = |strength: &str| share(score.attacks.get(strength));
        let mut hours = score.hours.clone();
        hours.sort_unstable_by(f64::total_cmp);
        let median =
            hours.get(hours.len() / 2).map_or("-".to_owned(), |hours| format!("{hours:.1}"));
        table.add_row([
            name.clone(),
            of("weak"),
            of("medium"),
            of("strong"),
            share(Some(&score.new_people)),
            of(NEAR_MISS),
            format!("{:.2}", verdict.rate(name, None)),
            score.roll_out.to_string(),
            median,
            score.behaviors.to_string(),
        ]);
    }
    table.to_string()
}

/// False alerts by the kind of people they are about.
pub(crate) fn cohorts(verdict: &Verdict) -> String {
    let mut head = vec!["FALSE /1000/WEEK"];
    let names: Vec<String> =
        Cohort::ALL.iter().map(|cohort| cohort.name().to_uppercase()).collect();
    head.extend(names.iter().map(String::as_str));
    let mut table = table(&head);
    for name in verdict.policies.keys() {
        let mut row = vec![name.clone()];
        row.extend(Cohort::ALL.map(|cohort| format!("{:.2}", verdict.rate(name, Some(cohort)))));
        table.add_row(row);
    }
    table.to_string()
}

/// Unusual volume against plain baselines.
pub(crate) fn volume(found: &[Found]) -> String {
    let mut head = vec!["WORLD", "METHOD", "FALSE /1000 DAYS"];
    head.extend(SIZES);
    head.extend(["ALL", "YOUNG"]);
    let mut table = table(&head);
    let percent = |value: f64| format!("{:.0} %", value * 100.0);
    for one in found {
        let mut row = vec![one.world.to_owned(), one.method.clone(), one.budget.to_string()];
        row.extend(one.recall.map(percent));
        row.extend([one.overall, one.young].map(|of| of.map_or("-".to_owned(), percent)));
        table.add_row(row);
    }
    table.to_string()
}
