//! What is written into batches is what is looked up, and a batch stays well-formed.

use std::collections::HashSet;

use casbah_enrich::{EnrichSettings, Enricher, ListSettings};
use casbah_model::{Batch, BatchBuilder, Values};
use proptest::prelude::*;

use crate::kit::data;

fn enricher() -> Enricher {
    let list = |name: &str, file: &str, tag: &str| ListSettings {
        name: name.to_owned(),
        file: data("lists").join(file),
        tags: vec![tag.to_owned()],
    };
    let settings = EnrichSettings {
        geo: ["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb", "GeoIP2-Anonymous-IP-Test.mmdb"]
            .map(|name| data("maxmind").join(name))
            .into(),
        ranges: Some(data("ip-ranges.yaml")),
        lists: vec![
            list("vpn", "x4bnet-vpn-ipv4.txt", "vpn"),
            list("tor", "tor-exit-addresses.txt", "tor"),
        ],
    };
    Enricher::open(&settings).unwrap()
}

const ADDRESSES: &[&str] = &[
    "",
    "81.2.69.142",
    "::ffff:81.2.69.142",
    "81.2.69.142:443",
    "1.128.0.1",
    "2001:218::1",
    "2.26.157.1",
    "192.0.2.33",
    "10.1.2.3",
    "203.0.113.9",
    "not an address",
];

const AGENTS: &[&str] = &[
    "",
    "Mozilla/5.0 (Windows NT 6.1; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36",
    "curl/8.5.0",
    "Smartsheet/112 CFNetwork/1485 Darwin/23.1.0",
];

const TEXTS: &[&str] =
    &["ip.category", "ip.tags", "ip.lists", "country", "region", "city", "network.owner"];
const NUMBERS: &[&str] = &["latitude", "longitude", "accuracy"];

fn batch(rows: &[(usize, usize, Option<i64>)]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (index, &(ip, agent, time)) in rows.iter().enumerate() {
        builder.begin_row();
        builder.text("id", &format!("e{index}"));
        builder.text("ip", ADDRESSES[ip]);
        builder.text("user-agent", AGENTS[agent]);
        // Words that enrichment writes stand in other columns as well.
        builder.text("object.name", ["GB", "Chrome", "London", ""][index % 4]);
        if let Some(time) = time {
            builder.integer("time", time);
        }
    }
    builder.finish()
}

fn joined(facts: &casbah_enrich::Facts, name: &str) -> String {
    let values: Vec<_> = facts
        .facts
        .iter()
        .filter(|fact| fact.fact == name)
        .map(|fact| fact.value.as_str().unwrap())
        .collect();
    values.join(",")
}

fn number(batch: &Batch, name: &str, row: usize) -> Option<f64> {
    batch.numbers(name).map(|values| values[row]).filter(|value| !value.is_nan())
}

fn is_each_text_once(batch: &Batch) -> bool {
    let mut seen = HashSet::new();
    batch.texts.iter().all(|(_, text)| seen.insert(text.to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Every cell is what looking up says of that row's address and client, whatever was enriched
    /// before; every text stays there once; and enriching again changes nothing.
    #[test]
    fn cells_are_what_is_looked_up(
        batches in proptest::collection::vec(
            proptest::collection::vec(
                (0..ADDRESSES.len(), 0..AGENTS.len(), proptest::option::of(1_500_000_000_000_i64..1_900_000_000_000)),
                0..40,
            ),
            1..4,
        ),
    ) {
        let enricher = enricher();
        for rows in &batches {
            let mut batch = batch(rows);
            let raw = batch.clone();
            enricher.enrich(&mut batch);
            prop_assert_eq!(batch.check(), Ok(()));
            prop_assert!(is_each_text_once(&batch));
            for (row, &(ip, agent, time)) in rows.iter().enumerate() {
                for column in ["id", "ip", "user-agent", "object.name"] {
                    prop_assert_eq!(batch.text(column, row), raw.text(column, row));
                }
                let facts = enricher.look_up(ADDRESSES[ip]);
                for name in TEXTS {
                    let wanted = facts.as_ref().map_or_else(String::new, |facts| joined(facts, name));
                    prop_assert_eq!(batch.text(name, row), wanted, "{} of {}", name, ADDRESSES[ip]);
                }
                for name in NUMBERS {
                    let wanted = facts.as_ref().and_then(|facts| facts.text(name).parse().ok());
                    prop_assert_eq!(number(&batch, name, row), wanted, "{} of {}", name, ADDRESSES[ip]);
                }
                let wanted = facts.as_ref().and_then(|facts| facts.text("network.number").parse().ok());
                prop_assert_eq!(batch.integer("network.number", row), wanted);
                if AGENTS[agent].is_empty() {
                    prop_assert_eq!(batch.text("user-agent.kind", row), "");
                    prop_assert_eq!(batch.text("user-agent.tags", row), "");
                    continue;
                }
                // Without a time nothing is known to be outdated.
                let facts = enricher.look_up_agent(AGENTS[agent], time.unwrap_or(i64::MIN));
                for name in ["user-agent.family", "user-agent.kind", "user-agent.system", "user-agent.tags"] {
                    prop_assert_eq!(batch.text(name, row), joined(&facts, name), "{} of {}", name, AGENTS[agent]);
                }
            }
            let mut again = batch.clone();
            enricher.enrich(&mut again);
            prop_assert!(same(&again, &batch));
        }
    }
}

/// Equal, with absent numbers taken for equal.
fn same(a: &Batch, b: &Batch) -> bool {
    let text = |batch: &Batch| format!("{batch:?}");
    text(a) == text(b)
}

/// A sign-in log says the place itself; only the organization's own word beats it, and a database
/// completes it only where they agree.
#[test]
fn what_the_app_says_stays_unless_the_organization_knows_better() {
    let mut builder = BatchBuilder::new();
    for (ip, country, city) in [
        ("81.2.69.142", "FR", ""),
        ("10.1.2.3", "FR", "Nice"),
        ("81.2.69.142", "", ""),
        ("81.2.69.142", "GB", ""),
        ("81.2.69.142", "GB", "Leeds"),
    ] {
        builder.begin_row();
        builder.text("ip", ip);
        builder.text("country", country);
        builder.text("city", city);
        if !country.is_empty() {
            builder.text("network.owner", "of the app");
        }
    }
    builder.begin_row();
    builder.text("ip", "81.2.69.142");
    builder.number("latitude", 1.0);
    let mut batch = builder.finish();
    enricher().enrich(&mut batch);
    let row = |row: usize| {
        let texts =
            ["country", "city", "network.owner", "ip.category"].map(|name| batch.text(name, row));
        (texts, number(&batch, "latitude", row))
    };
    // The database's London would not fit the app's France.
    assert_eq!(row(0), (["FR", "", "of the app", ""], None));
    assert_eq!(row(1), (["CH", "Zurich", "Acme AG", "corporate"], Some(47.37)));
    assert_eq!(row(2), (["GB", "London", "", ""], Some(51.5142)));
    assert_eq!(row(3), (["GB", "London", "of the app", ""], Some(51.5142)));
    assert_eq!(row(4), (["GB", "Leeds", "of the app", ""], None));
    assert_eq!(row(5), (["", "", "", ""], Some(1.0)));
    assert_eq!(number(&batch, "accuracy", 5), None, "it would be that of other coordinates");
}

/// A plugin's column of another type is its word; enrichment has nothing to add to it.
#[test]
fn a_column_of_another_type_is_left_alone() {
    let mut builder = BatchBuilder::new();
    builder.begin_row();
    builder.text("ip", "81.2.69.142");
    builder.integer("country", 7);
    builder.text("latitude", "north");
    let mut batch = builder.finish();
    enricher().enrich(&mut batch);
    assert_eq!(batch.column("country"), Some(&Values::Integer(vec![7])));
    assert_eq!(batch.text("latitude", 0), "north");
    assert_eq!(batch.check(), Ok(()));
}

/// More addresses than the cache holds are still told right.
#[test]
fn the_cache_forgets_without_harm() {
    let enricher = enricher();
    for round in 0..2_u32 {
        let mut builder = BatchBuilder::new();
        for n in 0..80_000_u32 {
            builder.begin_row();
            builder.text("ip", &std::net::Ipv4Addr::from(0x0200_0000 + n * 64).to_string());
        }
        let mut batch = builder.finish();
        enricher.enrich(&mut batch);
        let tagged = (0..batch.len()).filter(|&row| batch.text("ip.tags", row) == "vpn").count();
        assert!(tagged > 10, "round {round}: {tagged}");
        for row in (0..batch.len()).step_by(997) {
            let facts = enricher.look_up(batch.text("ip", row)).unwrap();
            assert_eq!(batch.text("ip.tags", row), joined(&facts, "ip.tags"));
        }
    }
}
