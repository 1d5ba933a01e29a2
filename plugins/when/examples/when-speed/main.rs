//! How long the rows of many policies take: `cargo run --release -p casbah-when --example when-speed`.
//!
//! Activities of a cloud's audit log (65 fields of the app's own each) against rules in the shape of
//! Sigma's, and activities of an app against policies as people write them for it. Figures are native
//! and for rows alone: no windows, no findings. *Fresh* is what the sandbox does for every batch: the
//! settings are read and compiled anew; *rows* is what comes after that.

mod made;

use std::io::Write as _;
use std::time::Instant;

use casbah_model::Batch;
use casbah_when::{Evaluation, Plan, When, settings};
use made::Numbers;

fn compile(policies: &[String]) -> Option<(Plan, Vec<When>)> {
    settings::compile(policies, &[], |settings| settings.when()).ok()
}

/// The least time that a piece of work took in several runs, seconds.
fn least(runs: usize, mut work: impl FnMut()) -> f64 {
    let mut least = f64::MAX;
    for _ in 0..runs {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_secs_f64());
    }
    least
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "what            policies  rows/batch  compile ms  walk ns/row  rows ns/row  fresh ns/row  matches  hit"
    )?;
    for rows in [1024, 4096, 16_384] {
        let cloud = made::cloud(&mut Numbers::new(), rows);
        let app = made::app(&mut Numbers::new(), rows);
        for number in [57, 3000] {
            let policies: Vec<String> = (0..number).map(made::sigma).collect();
            measure(&mut out, "sigma on cloud", &policies, &cloud)?;
        }
        for number in [10, 1000] {
            let policies: Vec<String> = (0..number).map(made::built_in).collect();
            measure(&mut out, "built-in on app", &policies, &app)?;
        }
    }
    Ok(())
}

fn measure(
    out: &mut impl std::io::Write,
    what: &str,
    policies: &[String],
    batch: &Batch,
) -> std::io::Result<()> {
    let Some((plan, whens)) = compile(policies) else {
        return writeln!(out, "{what}: the policies are wrong");
    };
    let compiling = least(7, || assert!(compile(policies).is_some()));
    let walking = least(7, || {
        std::hint::black_box(Evaluation::new(&plan, batch));
    });
    let (mut matches, mut hit) = (0, 0);
    let evaluating = least(7, || {
        let mut evaluation = Evaluation::new(&plan, batch);
        (matches, hit) = (0, 0);
        for when in &whens {
            let rows = evaluation.rows(when);
            matches += rows.count();
            hit += usize::from(!rows.is_empty());
        }
    });
    let each = |seconds: f64| seconds * 1e9 / batch.len() as f64;
    writeln!(
        out,
        "{what:15} {:8}  {:10}  {:10.2}  {:11.1}  {:11.1}  {:12.1}  {matches:7}  {hit:3}",
        policies.len(),
        batch.len(),
        compiling * 1e3,
        each(walking),
        each(evaluating),
        each(compiling + evaluating),
    )
}
