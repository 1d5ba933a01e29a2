//! What enrichment costs an activity, once its values are known and when they are new.
//!
//! The databases are MaxMind's made-up ones, the lists 200,000 made-up prefixes. New values cost what
//! the operator's databases cost; known ones cost the same with any.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use casbah_enrich::{EnrichSettings, Enricher, ListSettings};
use casbah_model::adapter::Adapter;
use casbah_model::{Batch, Texts, Values};
use casbah_runtime::Engine;

use crate::{Company, Figures, adapter, best_of, per};

/// Addresses that the company's activities come from.
const ADDRESSES: usize = 3_000;
/// What their clients say.
const AGENTS: usize = 60;

pub(crate) fn measure(
    engine: &Engine,
    company: &Company,
    folder: &Path,
    figures: &mut Figures,
) -> Result<()> {
    let settings = settings(folder)?;
    let reader = adapter(engine)?;
    let batches = (0..company.pages.len())
        .map(|page| Ok(with_clients(reader.read(&company.response(page))?.batch)))
        .collect::<Result<Vec<Batch>>>()?;
    let enricher = Enricher::open(&settings)?;
    let run = |enricher: &Enricher| {
        let mut took = Duration::ZERO;
        let mut filled = 0;
        for batch in &batches {
            let mut batch = batch.clone();
            let start = Instant::now();
            enricher.enrich(&mut batch);
            took += start.elapsed();
            filled += batch
                .text_ids("ip.tags")
                .map_or(0, |ids| ids.iter().filter(|&&id| id != 0).count());
        }
        anyhow::ensure!(filled > 0, "no address was on a list");
        Ok(took)
    };
    run(&enricher)?;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        best = best.min(run(&enricher)?);
    }
    figures.insert("enrich_ns", per(best, company.events));
    let addresses: Vec<String> =
        (0..100_000_u32).map(|n| address(n as usize).to_string()).collect();
    let mut fresh = Batch::default();
    let cold = best_of(1, || {
        fresh = of_addresses(&addresses);
        enricher.enrich(&mut fresh);
        Ok(())
    })?;
    figures.insert("enrich_new_address_ns", per(cold, addresses.len()));
    let open = best_of(3, || Enricher::open(&settings).map(drop).context("opening"))?;
    figures.insert("enrich_open_ms", open.as_secs_f64() * 1e3);
    Ok(())
}

fn settings(folder: &Path) -> Result<EnrichSettings> {
    let list = folder.join("list.txt");
    let mut text = String::new();
    for n in 0..200_000_u32 {
        let net = Ipv4Addr::from(0x1000_0000_u32.wrapping_add(n.wrapping_mul(9_973) << 8 >> 2));
        writeln!(text, "{net}/28")?;
    }
    std::fs::write(&list, text)?;
    let ranges = folder.join("ip-ranges.yaml");
    std::fs::write(
        &ranges,
        "ranges: [{name: office, category: corporate, subnets: [10.0.0.0/8], tags: [office]}]\n",
    )?;
    let maxmind =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/enrich/tests/data/maxmind");
    let lists = vec![ListSettings {
        name: "list".to_owned(),
        file: list,
        tags: vec!["hosting".to_owned()],
    }];
    Ok(EnrichSettings {
        geo: ["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb", "GeoIP2-Anonymous-IP-Test.mmdb"]
            .map(|name| maxmind.join(name))
            .into(),
        ranges: Some(ranges),
        lists,
    })
}

/// A third of the addresses from places that the databases and lists know.
fn address(n: usize) -> Ipv4Addr {
    let n = n as u32;
    match n % 6 {
        0 => Ipv4Addr::from(0x5102_4500 + n % 256),
        1 => Ipv4Addr::from(0x1000_0000_u32.wrapping_add(n.wrapping_mul(9_973) << 8 >> 2)),
        2 => Ipv4Addr::from(0x0a00_0000 + n),
        _ => Ipv4Addr::from(0x0c51_0000_u32.wrapping_add(n.wrapping_mul(2_654_435))),
    }
}

/// The batch with an address and a client for every row, by who did it.
fn with_clients(mut batch: Batch) -> Batch {
    let actors = batch.text_ids("actor.id").unwrap_or_default().to_vec();
    let (mut bytes, mut ends) = std::mem::take(&mut batch.texts).into_parts();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut intern = |text: String| {
        *known.entry(text).or_insert_with_key(|text| {
            bytes.push_str(text);
            ends.push(bytes.len() as u32);
            ends.len() as u32 - 1
        })
    };
    let mut ips = Vec::new();
    let mut agents = Vec::new();
    for (row, &actor) in actors.iter().enumerate() {
        // Most act from one place, some move.
        let who = actor as usize + if row % 10 == 0 { row } else { 0 };
        ips.push(intern(address(who % ADDRESSES).to_string()));
        let version = 98 + who % AGENTS;
        agents.push(intern(format!(
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version}.0.0.0 Safari/537.36"
        )));
    }
    batch.texts = Texts::from_parts(bytes, ends);
    batch.set_column("ip", Values::Text(ips));
    batch.set_column("user-agent", Values::Text(agents));
    batch
}

fn of_addresses(addresses: &[String]) -> Batch {
    let mut builder = casbah_model::BatchBuilder::new();
    for address in addresses {
        builder.begin_row();
        builder.text("ip", address);
    }
    builder.finish()
}
