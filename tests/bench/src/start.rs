//! Cold start: the real program, from nothing to ready, with compiled plugins and a store that
//! holds a week of a company.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Figures;

pub(crate) fn measure(folder: &Path, figures: &mut Figures) -> Result<()> {
    let program = program()?;
    // The store that the road left behind, with no connection: `run --once` starts everything,
    // finds nothing to do and ends.
    let data = folder.join("road-0");
    let start = || -> Result<Duration> {
        let start = Instant::now();
        let status = Command::new(&program)
            .args(["run", "--once", "--tenant", "bench", "--retention-days", "0"])
            .env("CASBAH_DATA", &data)
            .env("CASBAH_CACHE", folder.join("start-cache"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        anyhow::ensure!(status.success(), "the program did not start: {status}");
        Ok(start.elapsed())
    };
    figures.insert("start_uncached_ms", start()?.as_secs_f64() * 1000.0);
    let mut all: Vec<_> = (0..7).map(|_| start()).collect::<Result<_>>()?;
    all.sort_unstable();
    let median = all.get(all.len() / 2).copied().unwrap_or_default();
    figures.insert("start_ms", median.as_secs_f64() * 1000.0);
    Ok(())
}

/// The program beside this one; `make bench` builds both.
fn program() -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name("casbah");
    beside.is_file().then_some(beside).context("build the program first: make build")
}
