use super::*;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::{advance, sleep};

const MINUTE: Duration = Duration::from_secs(60);

/// Runs `clients` on one budget over a network of the given delays until `span` is over, and
/// returns when the app counted each request. The clock is virtual.
async fn drive(
    budget: Arc<Budget>,
    clients: u64,
    span: Duration,
    there: fn(u64) -> Duration,
    back: fn(u64) -> Duration,
) -> Vec<Duration> {
    let start = Instant::now();
    let counted: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (budget, counted, over) = (budget.clone(), counted.clone(), over.clone());
        tasks.spawn(async move {
            let mut seed = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1;
            while !over.load(Ordering::Relaxed) {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let place = budget.take().await;
                sleep(there(seed)).await;
                counted.lock().unwrap().push(start.elapsed());
                sleep(back(seed >> 20)).await;
                drop(place);
            }
        });
    }
    sleep(span).await;
    over.store(true, Ordering::Relaxed);
    tasks.abort_all();
    while tasks.join_next().await.is_some() {}
    let mut counted = counted.lock().unwrap().clone();
    counted.sort();
    counted
}

/// The app's own view: the most requests in any half-open window of a minute.
fn fullest_window(counted: &[Duration]) -> usize {
    counted
        .iter()
        .map(|&from| counted.iter().filter(|&&at| at >= from && at < from + MINUTE).count())
        .max()
        .unwrap_or(0)
}

fn per_minute(counted: &[Duration], from: u64, to: u64) -> f64 {
    let (start, end) = (Duration::from_secs(from), Duration::from_secs(to));
    let count = counted.iter().filter(|&&at| at >= start && at < end).count();
    count as f64 * 60.0 / (to - from) as f64
}

/// Never above the budget in any minute as the app counts it, and never below 97 % of it, over
/// quick, slow and erratic networks, with one client and with several.
#[tokio::test(start_paused = true)]
async fn the_budget_is_used_and_never_exceeded() {
    let ms = |ms: u64| Duration::from_millis(ms);
    let quick: fn(u64) -> Duration = |_| Duration::from_millis(5);
    let erratic: fn(u64) -> Duration = |seed| Duration::from_millis(seed % 400);
    let lumpy: fn(u64) -> Duration =
        |seed| if seed % 97 == 0 { Duration::from_secs(3) } else { Duration::from_millis(20) };
    let _ = ms;
    for (name, clients, there, back, least) in [
        ("quick", 1, quick, quick, 0.97),
        ("quick, two", 2, quick, quick, 0.97),
        ("erratic, four", 4, erratic, erratic, 0.97),
        ("lumpy, two", 2, lumpy, lumpy, 0.97),
    ] {
        let budget = Budget::new(name, 300, MINUTE);
        let counted = drive(budget, clients, Duration::from_secs(600), there, back).await;
        let most = fullest_window(&counted);
        let rate = per_minute(&counted, 60, 600);
        println!("{name}: at most {most} in a minute, {rate:.1} a minute");
        assert!(most <= 300, "{name}: {most} in a minute");
        assert!(rate >= 300.0 * least, "{name}: {rate} a minute");
    }
}

/// What the spreading is for: also a minute that begins anywhere, right after the start, and after
/// a long silence, holds no more than the budget.
#[tokio::test(start_paused = true)]
async fn a_start_and_a_silence_bring_no_burst() {
    let budget = Budget::new("b", 300, MINUTE);
    let first = Instant::now();
    for _ in 0..3 {
        drop(budget.take().await);
    }
    assert!(first.elapsed() >= Duration::from_millis(390), "no credit at the start");
    advance(Duration::from_secs(3600)).await;
    let after = Instant::now();
    for _ in 0..20 {
        drop(budget.take().await);
    }
    let spread = after.elapsed();
    assert!(spread >= Duration::from_millis(2_900), "{spread:?}: only a little credit");
    assert!(spread <= Duration::from_millis(4_000), "{spread:?}");
}

/// Without the window (spreading alone), requests that pile up on a slow way would be counted in
/// one minute: the test would find a limiter that only spaces its sends.
#[tokio::test(start_paused = true)]
async fn requests_that_pile_up_on_the_way_are_not_let_through() {
    let budget = Budget::new("b", 30, MINUTE);
    // Every request of the first minute is counted just before its end, as after a stall.
    let held: Vec<Place> = {
        let mut held = Vec::new();
        for _ in 0..29 {
            held.push(budget.take().await);
        }
        held
    };
    let stalled = Instant::now();
    drop(held);
    let mut counted = vec![Duration::ZERO; 29];
    while stalled.elapsed() < MINUTE {
        let place = budget.take().await;
        counted.push(stalled.elapsed());
        drop(place);
    }
    assert!(fullest_window(&counted) <= 30, "{counted:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_the_app_asks_for_holds_for_everybody() {
    let budget = Budget::new("b", 600, MINUTE);
    let start = Instant::now();
    drop(budget.take().await);
    budget.close(start + Duration::from_secs(30));
    budget.close(start + Duration::from_secs(10));
    let (one, two) = tokio::join!(budget.take(), budget.take());
    assert!(start.elapsed() >= Duration::from_secs(30));
    drop((one, two));
    assert!(start.elapsed() < Duration::from_secs(31));
}

#[tokio::test(start_paused = true)]
async fn connections_that_name_the_same_budget_share_it_and_the_lower_number_holds() {
    let budgets = Budgets::default();
    let one = budgets.get("shared", 300, MINUTE);
    let two = budgets.get("shared", 60, MINUTE);
    assert!(Arc::ptr_eq(&one, &two));
    assert!(!Arc::ptr_eq(&one, &budgets.get("other", 300, MINUTE)));
    let start = Instant::now();
    for _ in 0..11 {
        drop(one.take().await);
        drop(two.take().await);
    }
    assert!(start.elapsed() >= Duration::from_secs(14), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_one_does_not_hang() {
    let budget = Budget::new("b", 1, MINUTE);
    let start = Instant::now();
    let place = budget.take().await;
    let next = tokio::spawn({
        let budget = budget.clone();
        async move { drop(budget.take().await) }
    });
    sleep(Duration::from_secs(5)).await;
    drop(place);
    next.await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(65));
}
