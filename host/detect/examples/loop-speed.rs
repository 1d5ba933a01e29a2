//! What the evaluation loop costs beside the detector: cutting batches from blocks, asking for
//! state, joining findings, all in memory.
//!
//! `cargo run --release -p casbah-detect --example loop-speed`

use std::sync::Arc;
use std::time::Instant;

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;

use casbah_detect::{Group, Offline, PolicySet};
use casbah_model::detector::{Detector, DetectorDescription, DetectorError, Outcome};
use casbah_model::{Batch, BatchBuilder, StateKey, TenantName};
use support::NativeDetectors;

/// Finds nothing.
struct Nothing(DetectorDescription);

impl Detector for Nothing {
    fn description(&self) -> &DetectorDescription {
        &self.0
    }

    fn evaluate(
        &self,
        _: &Batch,
        _: &mut dyn FnMut(&[StateKey]) -> Vec<Vec<u8>>,
    ) -> Result<(Vec<StateKey>, Outcome), DetectorError> {
        Ok((Vec::new(), Outcome::default()))
    }
}

/// A block of ten thousand activities as an adapter makes them.
fn block(seed: i64) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in 0..10_000_i64 {
        let n = (row * 7919 + seed * 104_729) % 100_003;
        builder.begin_row();
        builder.text("id", &format!("2.1.{:040x}", n * 1_000_003 + seed));
        builder.integer("time", 1_767_571_200_000 + (seed * 10_000 + row) * 400);
        builder.integer("received", 1_767_571_200_000 + seed * 4_000_000);
        builder.text("app", "smartsheet");
        builder.text("source", "WEB_APP");
        let kind = ["view", "edit", "view", "view", "download", "share", "view", "export"];
        builder.text("kind", kind.get(n as usize % 8).copied().unwrap_or("view"));
        builder.text("action", "SHEET.LOAD");
        let actor = format!("user{}@example.com", n % 400);
        builder.text("actor", &actor);
        builder.text("actor.id", &format!("{}", 4_000_000_000_000_000 + n % 400));
        builder.text("actor.email", &actor);
        builder.text("actor.type", "user");
        builder.integer("impersonated", 0);
        builder.integer("anonymous", 0);
        builder.text("ip", &format!("203.0.113.{}", n % 200));
        builder.text("client", "web");
        builder.text("result", "success");
        let object = format!("{}", 7_000_000_000_000_000 + n % 5000);
        builder.text("object", &object);
        builder.text("object.kind", "sheet");
        builder.begin_nested("objects");
        builder.nested_text("objects", "role", "object");
        builder.nested_text("objects", "kind", "sheet");
        builder.nested_text("objects", "id", &object);
        builder.begin_nested("fields");
        builder.nested_text("fields", "key", "note");
        builder.nested_text("fields", "value", "something");
    }
    builder.finish()
}

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let blocks: Vec<Batch> = (0..50).map(block).collect();
    let rows: usize = blocks.iter().map(Batch::len).sum();
    let tenant: TenantName = "test".parse()?;
    let measure = |what: &str, group: Group| -> Result<(), Box<dyn std::error::Error>> {
        let mut offline = Offline::new(tenant.clone(), vec![group]);
        let start = Instant::now();
        for block in &blocks {
            offline.feed(block)?;
        }
        let each = start.elapsed().as_nanos() / rows as u128;
        println!("{what}: {each} ns an activity, {} alerts", offline.alerts().len());
        Ok(())
    };
    for (what, columns) in [("no columns", vec![]), ("all columns", vec!["*".to_owned()])] {
        let description =
            DetectorDescription { nested: columns.clone(), columns, ..Default::default() };
        let group = Group::new("nothing", Arc::new(Nothing(description)), Vec::new());
        measure(&format!("a detector that does nothing, {what}"), group)?;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let set = PolicySet::load(&folder, &NativeDetectors)?;
    for group in set.groups(&NativeDetectors)? {
        measure(&format!("all {} policies, natively", set.policies().len()), group)?;
    }
    Ok(())
}
