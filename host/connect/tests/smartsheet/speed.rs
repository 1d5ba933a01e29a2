//! How quick the fetch loop is when the app does not hold it back: a measurement.

use std::sync::Arc;
use std::time::{Duration, Instant};

use casbah_connect::stop;
use smartsheet_sim::{Config, Plan, Rate, World};

use crate::kit::Kit;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a check; run it with --release"]
async fn activities_a_second() {
    let events = 300_000;
    let plan = Plan { events, ..Plan::default() };
    let mut config = Config::new(Arc::new(World::new(&plan)));
    config.rate = Rate { limit: 0, ..Rate::default() };
    config.gzip = false;
    let kit = Kit::with_minute(config, Duration::from_millis(1));
    kit.connect("acme", None).await;
    let (_handle, never) = stop();
    let started = Instant::now();
    let fetched = kit.connections.fetch(kit.fetch("acme"), never).await.unwrap();
    let took = started.elapsed();
    assert_eq!(fetched.report.status.counters.activities as usize, events);
    println!(
        "{events} activities in {took:?}, the simulator included: {:.0} a second",
        events as f64 / took.as_secs_f64()
    );
}
