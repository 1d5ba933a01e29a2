//! The budget of requests, against a simulated Smartsheet that enforces it over a real minute.

use std::sync::Arc;
use std::time::Duration;

use crate::kit::Kit;
use casbah_connect::stop;
use smartsheet_sim::{Config, Counting, Plan, Rate, World};

/// Fetches with so many connections on one budget for so long, in pages so small that the history
/// does not end, and says what the app counted.
async fn run(connections: usize, counting: Counting, seconds: u64) {
    let plan = Plan { users: 60, days: 2, events: 60_000, ..Plan::default() };
    let mut config = Config::new(Arc::new(World::new(&plan)));
    config.rate = Rate { limit: 300, shared: true, counting, ..Rate::default() };
    let kit = Kit::with_minute(config, Duration::from_secs(60));
    let names: Vec<String> = (0..connections).map(|n| format!("acme-{n}")).collect();
    for name in &names {
        kit.connect(name, Some("both")).await;
    }
    let (handle, _) = stop();
    let from = kit.sim.elapsed_ms();
    let mut tasks = tokio::task::JoinSet::new();
    for name in &names {
        let mut fetch = kit.fetch(name);
        fetch.page_size = Some(40);
        fetch.pace.throttled = Duration::from_secs(60);
        let (connections, stop) = (kit.connections.clone(), handle.listen());
        tasks.spawn(async move { connections.fetch(fetch, stop).await.unwrap() });
    }
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let to = kit.sim.elapsed_ms();
    handle.stop();
    let mut throttles = 0;
    while let Some(fetched) = tasks.join_next().await {
        throttles += fetched.unwrap().report.status.counters.throttles;
    }
    let usage = kit.sim.usage();
    let used = usage.used(from, to);
    println!(
        "{connections} connections, {counting:?}: {} requests, {:.1} % of the budget over {seconds} s, \
         at most {} in a minute, {} refused",
        usage.admitted,
        used * 100.0,
        usage.peak,
        usage.refused,
    );
    assert_eq!((usage.refused, throttles), (0, 0), "no 429");
    assert!(usage.peak <= 300, "{} in a minute", usage.peak);
    assert!(used >= 0.97, "{:.1} % of the budget", used * 100.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes three minutes; run by make test-rate"]
async fn one_connection_uses_its_budget() {
    run(1, Counting::Sliding, 170).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes three minutes; run by make test-rate"]
async fn two_connections_use_one_budget_together() {
    run(2, Counting::Sliding, 170).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes three minutes; run by make test-rate"]
async fn fixed_windows_are_kept_to_as_well() {
    run(2, Counting::Fixed, 170).await;
}
