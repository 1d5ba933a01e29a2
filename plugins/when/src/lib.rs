//! Filter rows: which activities a policy means, for every detector.
//!
//! Policies say what they are about by rows of *field, operator, value*; `plugins/activity/README.md`
//! is the reference of that language. This crate reads them, with all other settings, strictly
//! ([`settings`]), finds the rows of a batch that each policy means ([`Evaluation`]), parts them by
//! the values that a policy counts by ([`keys`]), places them in time ([`Places`]), and has words for
//! what they say ([`words`]).
//!
//! It is not a detector: it counts nothing, learns nothing and keeps nothing from batch to batch.
//!
//! # Example
//!
//! A detector that finds the activities of people whom a policy means, one finding a person and
//! batch, if there are at least `least`:
//!
//! ```
//! use casbah_plugin::{Batch, Detector, DetectorDescription, Finding, Outcome, Problem, StateKey};
//! use casbah_when::{Evaluation, Plan, Places, Source, When, description, keys, settings, words};
//!
//! struct Policy { when: When, by: Vec<Source>, group: Vec<Source>, quiet: i64, least: i64 }
//!
//! #[derive(Default)]
//! struct Many { plan: Plan, policies: Vec<Policy>, findings: Vec<Finding> }
//!
//! impl Detector for Many {
//!     fn describe() -> DetectorDescription {
//!         // The last argument is the schema of the detector's own settings.
//!         let own = r#"{"properties": {"least": {"type": "integer", "description": "How many."}}}"#;
//!         // `person` is read in any case, since `by` is `person` where the policy does not say it.
//!         description("many", "1.0.0", "Many activities at once", 1, &["person"], own)
//!     }
//!
//!     fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
//!         // Whatever is wrong is noted with its place; what is `None` here has been noted.
//!         let (plan, policies) = settings::compile(policies, &["least"], |settings| {
//!             let (when, by) = (settings.when(), settings.by("person"));
//!             let group = by.as_ref().and_then(|by| settings.group(by));
//!             let (quiet, least) = (settings.quiet(), settings.integer("least", 1..=1000, 10));
//!             Some(Policy { when: when?, by: by?, group: group?, quiet: quiet?, least: least? })
//!         })?;
//!         Ok(Self { plan, policies, ..Self::default() })
//!     }
//!
//!     fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
//!         self.findings.clear();
//!         let mut evaluation = Evaluation::new(&self.plan, &batch);
//!         let places = Places::of(&batch);
//!         let mut list = Vec::new();
//!         for (index, policy) in self.policies.iter().enumerate() {
//!             let rows = evaluation.rows(&policy.when);
//!             let by: Vec<_> = policy.by.iter().map(|&by| evaluation.cells(by)).collect();
//!             let credible = |row| places.has_credible_time(row);
//!             for range in keys::part(&batch, &rows, &by, credible, &mut list) {
//!                 let rows = &list[range];
//!                 if (rows.len() as i64) < policy.least {
//!                     continue;
//!                 }
//!                 // A detector with state would ask for that of `keys::key(&batch, &by, rows[0])`.
//!                 let mut evidence: Vec<_> =
//!                     rows.iter().map(|&row| places.evidence(row as usize)).collect();
//!                 evidence.sort_unstable();
//!                 let (first, last) = (evidence[0].time, evidence[evidence.len() - 1].time);
//!                 self.findings.push(Finding {
//!                     policy: index as u32,
//!                     group: self.plan.group(&policy.group, &batch, rows[0] as usize),
//!                     start: settings::window(first, policy.quiet),
//!                     first,
//!                     last,
//!                     evidence,
//!                     summary: format!("{} {} times", words::capital(&words::verbs(&batch, rows)), rows.len()),
//!                     details: words::particulars(&batch, rows),
//!                     severity: None,
//!                     behavior: false,
//!                 });
//!             }
//!         }
//!         Ok(Vec::new())
//!     }
//!
//!     fn finish(&mut self, _states: &[Vec<u8>]) -> Result<Outcome, String> {
//!         Ok(Outcome { findings: std::mem::take(&mut self.findings), changes: Vec::new() })
//!     }
//! }
//!
//! use casbah_plugin::BatchBuilder;
//! let mut batch = BatchBuilder::new();
//! for number in 0..3 {
//!     batch.begin_row();
//!     batch.text("kind", "export");
//!     batch.text("person", "ana@example.com");
//!     batch.integer("time", number * 1000);
//! }
//! let policy = r#"{"when": [{"field": "kind", "is": "export"}], "least": 3}"#;
//! let mut detector = Many::configure(&[policy.to_owned()]).map_err(|_| "wrong settings")?;
//! detector.begin(batch.finish())?;
//! assert_eq!(detector.finish(&[])?.findings[0].summary, "Exported 3 times");
//! # Ok::<(), String>(())
//! ```

mod address;
mod column;
mod description;
pub mod duration;
mod equality;
mod evaluate;
mod fields;
mod gather;
mod glob;
mod guard;
pub mod json;
pub mod keys;
pub mod line;
mod part;
mod places;
mod plan;
mod predicate;
mod rows;
pub mod settings;
mod severities;
mod substrings;
mod wanted;
pub mod words;

pub use description::{description, schema};
pub use evaluate::Evaluation;
pub use fields::{Cell, Cells, Field, Key};
pub use places::Places;
pub use plan::{Plan, Source, When};
pub use rows::Rows;
pub use severities::{Graded, Severities};
