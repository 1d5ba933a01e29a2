//! The rate limit as a client meets it; its arithmetic is tested where it is written.

use std::time::Duration;

use smartsheet_sim::{Config, Counting, ErrorKind, Rate, Sim};

use crate::support::{ADMIN, Client, MEMBER, config, start};

fn limited(rate: Rate) -> Sim {
    Sim::start(Config { rate, ..config() }).unwrap()
}

#[tokio::test]
async fn what_is_over_the_limit_is_refused_and_counted() {
    for counting in [Counting::Sliding, Counting::Fixed] {
        let sim = limited(Rate { limit: 5, counting, ..Rate::default() });
        let client = Client::new(&sim);
        for n in 0..8 {
            let reply = client.get("/2.0/users/me", ADMIN).await;
            let expected = if n < 5 { (200, 0) } else { (429, 4003) };
            assert_eq!(reply.error(), expected, "request {n}");
            assert_eq!(reply.header("retry-after"), None, "no such header is documented");
        }
        assert_eq!(client.get("/2.0/users/me", MEMBER).await.status, 200, "a budget of its own");
        let usage = sim.usage();
        assert_eq!((usage.admitted, usage.refused, usage.peak), (6, 3, 6));
        assert_eq!(usage.admitted_at_ms.len(), 6);
        assert_eq!(sim.counters().codes.get(&4003), Some(&3));
    }
}

#[tokio::test]
async fn a_budget_can_be_shared_and_say_when_to_come_again() {
    let sim = limited(Rate { limit: 1, shared: true, retry_after: true, ..Rate::default() });
    let client = Client::new(&sim);
    assert_eq!(client.get("/2.0/users/me", ADMIN).await.status, 200);
    let reply = client.get("/2.0/users/me", MEMBER).await;
    assert_eq!(reply.error(), (429, 4003));
    let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((55..=60).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn the_budget_comes_back_when_the_window_is_over() {
    let window = Duration::from_millis(400);
    let sim = limited(Rate { limit: 1, window, ..Rate::default() });
    let client = Client::new(&sim);
    let mut refused = 0;
    let mut good = 0;
    while good < 3 {
        match client.get("/2.0/users/me", ADMIN).await.status {
            200 => good += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
    }
    let usage = sim.usage();
    assert_eq!((usage.admitted, usage.refused), (3, refused));
    let times = usage.admitted_at_ms;
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 399), "{times:?}");
}

#[tokio::test]
async fn refusals_for_other_reasons_do_not_count() {
    let sim = limited(Rate { limit: 2, ..Rate::default() });
    let client = Client::new(&sim);
    for _ in 0..5 {
        assert_eq!(client.get("/2.0/users/me", "unknown").await.error(), (401, 1002));
    }
    assert_eq!(client.get("/2.0/users/me", ADMIN).await.status, 200);
    assert_eq!(sim.usage().admitted, 1);
}

#[test]
fn only_loopback_is_listened_on() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let error = Sim::start(Config { listen, ..config() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Listen);
    let taken = start();
    let error = Sim::start(Config { listen: taken.address(), ..config() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Listen);
}

#[test]
fn it_stops_when_dropped() {
    let sim = start();
    let address = sim.address();
    assert!(std::net::TcpStream::connect(address).is_ok());
    drop(sim);
    assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
}
