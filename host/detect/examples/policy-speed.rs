//! How long reading and checking a thousand policy files takes.
//!
//! `cargo run --release -p casbah-detect --example policy-speed`

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Instant;

use casbah_detect::policy::read_folder;
use casbah_detect::{Detectors, PolicySet, PolicySource, run_tests};
use support::NativeDetectors;

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let built_in = read_folder(&folder)?;
    let mut sources = Vec::new();
    for round in 0.. {
        for source in &built_in {
            let text = String::from_utf8_lossy(&source.bytes).replacen(
                "policy: ",
                &format!("policy: n{round}-"),
                1,
            );
            sources.push(PolicySource {
                file: format!("{round}/{}", source.file),
                bytes: text.into_bytes(),
            });
        }
        if sources.len() >= 1000 {
            break;
        }
    }
    sources.truncate(1000);
    let bytes: usize = sources.iter().map(|source| source.bytes.len()).sum();
    let start = Instant::now();
    let set = PolicySet::read(&sources, &NativeDetectors)?;
    let read = start.elapsed();
    println!("{} files, {bytes} bytes: read and checked in {read:?}", set.policies().len());

    let start = Instant::now();
    let mut tests = 0;
    for policy in set.policies().iter().take(built_in.len()) {
        let settings = std::slice::from_ref(&policy.settings_json);
        let Ok(detector) = NativeDetectors.configure(&policy.detector, settings) else { continue };
        tests += run_tests(policy, &detector).len();
    }
    println!("{tests} tests of {} policies run in {:?}", built_in.len(), start.elapsed());
    Ok(())
}
