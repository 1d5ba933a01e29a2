//! The promise that nothing is lost and nothing happens twice: `casbah run` is killed at random
//! moments, again and again, and ends with exactly the activities and alerts of a run that nobody
//! disturbed.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Casbah, Random, simulator};
use smartsheet_sim::{Live, Sim};

/// Events of the made-up company.
const EVENTS: usize = 20_000;

/// Runs and kills until it was killed `kills` times while there was something to do.
fn killed_again_and_again(casbah: &Casbah, sim: &Sim, kills: u64, random: &mut Random) {
    for kill in 0..kills {
        // Something new for every life, so that every life has something to lose.
        sim.release(EVENTS / kills as usize);
        let mut child =
            casbah.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Most lives end in the middle of fetching or evaluating, some before they begin.
        std::thread::sleep(Duration::from_millis(random.between(5, 450)));
        assert!(child.try_wait().unwrap().is_none(), "life {kill} ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

fn same_as_undisturbed(casbah: &Casbah, sim: &Sim) {
    sim.clear_faults();
    sim.release(EVENTS);
    casbah.ok(&["run", "--once"]);
    let undisturbed = Casbah::new();
    undisturbed.connect(sim, "acme");
    undisturbed.ok(&["run", "--once"]);

    let (expected, expected_sequences) = undisturbed.activities();
    let (found, sequences) = casbah.activities();
    assert!(expected.len() > EVENTS / 2, "the undisturbed run fetched {}", expected.len());
    let twice: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "more than once: {twice:?}");
    let lost: Vec<_> = expected.keys().filter(|id| !found.contains_key(*id)).collect();
    let made_up: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).collect();
    assert!(lost.is_empty() && made_up.is_empty(), "lost {lost:?}, made up {made_up:?}");

    let expected = undisturbed.alerts(&expected_sequences);
    let found = casbah.alerts(&sequences);
    assert!(expected.len() >= 10, "there should be an alert for every incident");
    for (id, alert) in &expected {
        assert_eq!(found.get(id), Some(alert), "alert {id}");
    }
    assert_eq!(found.len(), expected.len());
    casbah.ok(&["store", "check"]);
}

#[test]
fn killed_two_hundred_times() {
    let mut random = Random(0x5eed_0001);
    let sim = simulator(60, EVENTS, Live::Manual(0));
    let casbah = Casbah::new();
    casbah.connect(&sim, "acme");
    killed_again_and_again(&casbah, &sim, 200, &mut random);
    same_as_undisturbed(&casbah, &sim);
}

#[test]
fn killed_while_the_app_misbehaves() {
    let mut random = Random(0x5eed_0002);
    let sim = simulator(60, EVENTS, Live::Manual(0));
    let casbah = Casbah::new();
    casbah.connect(&sim, "acme");
    for fault in [
        "duplicates=0.3",
        "disorder=0.3",
        "empty-page=0.1",
        "no-position=0.1",
        "stuck-position=0.05",
        "position-refused=0.05",
        "cut-body=0.05",
        "reset=0.05",
        "html-200=0.05",
        "unexpected=0.05",
        "more-as-text=0.2",
        "rate-limited-retry-after=0.02:1",
    ] {
        sim.set_fault(fault).unwrap();
    }
    killed_again_and_again(&casbah, &sim, 60, &mut random);
    // On a busy machine many lives end before they have fetched anything.
    for _ in 0..4 {
        if sim.counters().faults.len() < 6 {
            killed_again_and_again(&casbah, &sim, 40, &mut random);
        }
    }
    let happened = sim.counters().faults;
    assert!(happened.len() >= 6, "faults that happened: {happened:?}");
    same_as_undisturbed(&casbah, &sim);
}
