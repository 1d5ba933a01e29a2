//! Every record of MaxMind's test sources is what is looked up, and broken databases are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use casbah_enrich::{EnrichSettings, Enricher, Facts};
use proptest::prelude::*;
use serde_json::Value;

use crate::kit::{data, in_folder, with_geo};
use crate::mmdb::{Value as Entry, database};

/// A network of a source as bits of IPv6 (IPv4 at the end), its length, and its record.
struct Source {
    bits: u128,
    length: u32,
    record: Value,
}

fn sources(name: &str) -> Vec<Source> {
    let text = std::fs::read(data("maxmind").join(name)).unwrap();
    let all: Vec<serde_json::Map<String, Value>> = serde_json::from_slice(&text).unwrap();
    all.into_iter()
        .flatten()
        .map(|(network, record)| {
            let (address, length) = network.split_once('/').unwrap();
            let length: u32 = length.parse().unwrap();
            let (bits, length) = match address.parse().unwrap() {
                IpAddr::V4(address) => (u128::from(u32::from(address)), length + 96),
                IpAddr::V6(address) => (u128::from(address), length),
            };
            Source { bits, length, record }
        })
        .collect()
}

impl Source {
    fn mask(&self) -> u128 {
        u128::MAX.checked_shl(128 - self.length).unwrap_or(0)
    }

    fn holds(&self, bits: u128) -> bool {
        (bits ^ self.bits) & self.mask() == 0
    }

    /// First, last, and one between.
    fn samples(&self) -> [u128; 3] {
        let last = self.bits | !self.mask();
        [self.bits, last, self.bits + (last - self.bits) / 3]
    }
}

fn address(bits: u128) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) => Ipv4Addr::from(bits).into(),
        Err(_) => Ipv6Addr::from(bits).into(),
    }
}

/// What a record of a source means, worked out from the JSON alone.
fn expected(record: &Value) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let mut take =
        |fact, pointer: &str| {
            facts.extend(record.pointer(pointer).map(|value| {
                (fact, value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            }));
        };
    take("country", "/country/iso_code");
    take("region", "/subdivisions/0/names/en");
    take("city", "/city/names/en");
    take("latitude", "/location/latitude");
    take("longitude", "/location/longitude");
    take("accuracy", "/location/accuracy_radius");
    take("network.number", "/autonomous_system_number");
    take("network.owner", "/autonomous_system_organization");
    facts
}

/// Numbers are compared as numbers: a source says 51, the database 51.0.
fn same(found: &str, wanted: &str) -> bool {
    found == wanted
        || matches!((found.parse::<f64>(), wanted.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}

/// Looks up three addresses of every network of a source; returns how many were compared.
fn compare(database: &str, source: &str, check: impl Fn(&Facts, &Value, IpAddr)) -> usize {
    let enricher = with_geo(&[database]);
    let sources = sources(source);
    let mut compared = 0;
    for network in &sources {
        for bits in network.samples() {
            // Some networks lie within others; the narrowest says what holds, of equal ones the last.
            let narrowest = sources
                .iter()
                .filter(|other| other.holds(bits))
                .max_by_key(|other| other.length)
                .unwrap();
            let address = address(bits);
            let facts = enricher.look_up(&address.to_string()).unwrap();
            check(&facts, &narrowest.record, address);
            compared += 1;
        }
    }
    compared
}

fn places_and_networks(facts: &Facts, record: &Value, address: IpAddr) {
    let wanted = expected(record);
    for fact in [
        "country",
        "region",
        "city",
        "latitude",
        "longitude",
        "accuracy",
        "network.number",
        "network.owner",
    ] {
        let wanted = wanted.iter().find(|(name, _)| *name == fact).map_or("", |(_, value)| value);
        let found = facts.text(fact);
        assert!(same(&found, wanted), "{fact} of {address}: `{found}`, the source says `{wanted}`");
    }
}

#[test]
fn every_record_of_the_city_source_is_looked_up() {
    let compared = compare("GeoIP2-City-Test.mmdb", "GeoIP2-City-Test.json", places_and_networks);
    assert!(compared > 700, "{compared}");
}

#[test]
fn every_record_of_the_country_source_is_looked_up() {
    let compared =
        compare("GeoIP2-Country-Test.mmdb", "GeoIP2-Country-Test.json", places_and_networks);
    assert!(compared > 900, "{compared}");
}

#[test]
fn every_record_of_the_network_source_is_looked_up() {
    let compared = compare("GeoLite2-ASN-Test.mmdb", "GeoLite2-ASN-Test.json", places_and_networks);
    assert!(compared > 1_000, "{compared}");
}

#[test]
fn every_record_of_the_anonymizer_sources_is_looked_up() {
    const FLAGS: [(&str, &str); 5] = [
        ("is_anonymous_vpn", "vpn"),
        ("is_hosting_provider", "hosting"),
        ("is_public_proxy", "anonymous-proxy"),
        ("is_residential_proxy", "residential-proxy"),
        ("is_tor_exit_node", "tor"),
    ];
    for name in ["GeoIP2-Anonymous-IP-Test", "GeoIP-Anonymous-Plus-Test"] {
        let compared =
            compare(&format!("{name}.mmdb"), &format!("{name}.json"), |facts, record, address| {
                let tags: Vec<_> = facts
                    .facts
                    .iter()
                    .filter(|f| f.fact == "ip.tags")
                    .map(|f| f.value.as_str().unwrap())
                    .collect();
                for (flag, tag) in FLAGS {
                    let wanted = record.get(flag) == Some(&Value::Bool(true));
                    assert_eq!(tags.contains(&tag), wanted, "{tag} of {address}: {tags:?}");
                }
                let list = facts.text("ip.lists");
                assert!(
                    list.starts_with(&format!("{name}@")) && list.len() == name.len() + 13,
                    "{list}"
                );
            });
        assert!(compared >= 36, "{compared}");
    }
}

#[test]
fn what_no_database_has_is_absent() {
    let enricher = with_geo(&["GeoIP2-City-Test.mmdb", "GeoIP2-Anonymous-IP-Test.mmdb"]);
    // An anonymizer database answers with an empty record for what it does not list.
    for address in ["203.0.113.7", "9.9.9.9", "2001:db8::1", "::1"] {
        assert_eq!(enricher.look_up(address).unwrap().facts, [], "{address}");
    }
    assert_eq!(enricher.look_up("localhost"), None);
}

#[test]
fn several_databases_complete_each_other() {
    let enricher = with_geo(&[
        "GeoIP2-Country-Test.mmdb",
        "GeoIP2-City-Test.mmdb",
        "GeoLite2-ASN-Test.mmdb",
        "GeoIP2-Anonymous-IP-Test.mmdb",
    ]);
    let facts = enricher.look_up("::ffff:81.2.69.142").unwrap();
    let folder = data("maxmind");
    let told: Vec<String> = facts
        .facts
        .iter()
        .map(|fact| in_folder(format!("{} {} ({})", fact.fact, fact.value, fact.from), &folder))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r#"
    ip.tags "anonymous-proxy" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "hosting" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "residential-proxy" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "tor" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.tags "vpn" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    ip.lists "GeoIP2-Anonymous-IP-Test@914e22356d65" (GeoIP2-Anonymous-IP-Test.mmdb@914e22356d65, 81.2.69.0/24)
    country "GB" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.142/31)
    region "England" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.142/31)
    city "London" (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.142/31)
    latitude 51.5142 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.142/31)
    longitude -0.0931 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.142/31)
    accuracy 10.0 (GeoIP2-City-Test.mmdb@e8156afcbac3, 81.2.69.142/31)
    "#);
}

#[test]
fn broken_databases_are_refused_all_at_once() {
    let geo = [
        "GeoIP2-City-Test-Broken-Double-Format.mmdb",
        "GeoIP2-City-Test-Invalid-Node-Count.mmdb",
        "none.mmdb",
        "SOURCES.md",
    ];
    let geo = geo.map(|name| data("maxmind").join(name)).into();
    let error = Enricher::open(&EnrichSettings { geo, ..EnrichSettings::default() }).unwrap_err();
    // Which of its many broken places is found first in the first file is a matter of chance.
    let message = in_folder(error, &data("maxmind"));
    let (cause, rest) = message.split_once('\n').unwrap();
    assert!(
        cause.starts_with(
            "error: this is not a sound database in MaxMind's format: invalid database"
        ),
        "{cause}"
    );
    insta::assert_snapshot!(rest, @r"
     --> GeoIP2-City-Test-Broken-Double-Format.mmdb
    hint: download it again, and put it in place by renaming

    error: this is not a sound database in MaxMind's format: invalid database: the MaxMind DB file's search tree extends beyond the metadata section
     --> GeoIP2-City-Test-Invalid-Node-Count.mmdb
    hint: download it again, and put it in place by renaming

    error: the file can't be read: No such file or directory (os error 2)
     --> none.mmdb
    hint: `enrich.geo` in the settings names it

    error: this is not a sound database in MaxMind's format: invalid database: could not find MaxMind DB metadata in file
     --> SOURCES.md
    hint: download it again, and put it in place by renaming
    ");
}

fn open_bytes(bytes: &[u8]) -> Result<Enricher, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("some.mmdb");
    std::fs::write(&path, bytes).unwrap();
    Enricher::open(&EnrichSettings { geo: vec![path], ..EnrichSettings::default() })
        .map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// A damaged database is refused, or read as what it says; nothing panics and nothing hangs.
    #[test]
    fn damage_never_panics(
        which in 0_usize..3,
        cut in proptest::option::of(any::<prop::sample::Index>()),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4),
    ) {
        let name = ["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb", "GeoIP2-Anonymous-IP-Test.mmdb"][which];
        let mut bytes = std::fs::read(data("maxmind").join(name)).unwrap();
        for (at, bit) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(enricher) = open_bytes(&bytes) {
            for address in ["81.2.69.142", "1.128.0.1", "2001:218::1", "255.255.255.255", "::"] {
                enricher.look_up(address).unwrap();
            }
            enricher.status(0);
        }
    }
}

#[test]
fn a_cut_database_is_refused() {
    let bytes = std::fs::read(data("maxmind/GeoIP2-City-Test.mmdb")).unwrap();
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(open_bytes(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
}

/// Databases of other makers are flat, in two files for the two families, and say numbers in several
/// ways.
#[test]
fn flat_databases_are_understood() {
    use Entry::{Double, Float, Map, Text, Whole};
    let city = |country, city, state| {
        Map(vec![
            ("country_code", Text(country)),
            ("city", Text(city)),
            ("state1", Text(state)),
            ("latitude", Float(47.3925)),
            ("longitude", Double(8.5)),
        ])
    };
    let v4 = database(
        "city ipv4",
        1_790_000_000,
        &[
            ("192.0.2.0/25", city("CH", "Zürich, Kreis 5", "Zurich")),
            (
                "198.51.100.0/24",
                Map(vec![
                    ("country_code", Text("-")),
                    ("latitude", Double(0.0)),
                    ("longitude", Double(0.0)),
                ]),
            ),
        ],
    );
    let v6 = database("city ipv6", 1_790_000_000, &[("2001:db8::/33", city("at", "Linz", "-"))]);
    let lite = database(
        "ipinfo lite",
        1_790_000_000,
        &[(
            "192.0.2.0/24",
            Map(vec![
                ("country", Text("Switzerland")),
                ("country_code", Text("CH")),
                ("asn", Text("AS64496")),
                ("as_name", Text("Example, Inc.")),
            ]),
        )],
    );
    let plain = database(
        "asn",
        1_790_000_000,
        &[(
            "2001:db8::/32",
            Map(vec![
                ("autonomous_system_number", Whole(64_497)),
                ("autonomous_system_organization", Text("Six")),
            ]),
        )],
    );
    let folder = tempfile::tempdir().unwrap();
    let mut geo = Vec::new();
    for (name, bytes) in
        [("v4.mmdb", v4), ("v6.mmdb", v6), ("lite.mmdb", lite), ("asn.mmdb", plain)]
    {
        geo.push(folder.path().join(name));
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let enricher = Enricher::open(&EnrichSettings { geo, ..EnrichSettings::default() }).unwrap();
    let told = |address: &str| {
        let facts = enricher.look_up(address).unwrap().facts;
        facts.iter().map(|f| format!("{}={}", f.fact, f.value)).collect::<Vec<_>>().join(" ")
    };
    insta::assert_snapshot!(told("192.0.2.1"), @r#"country="CH" region="Zurich" city="Zürich, Kreis 5" latitude=47.3925 longitude=8.5 network.number=64496 network.owner="Example, Inc.""#);
    insta::assert_snapshot!(told("192.0.2.200"), @r#"country="CH" network.number=64496 network.owner="Example, Inc.""#);
    assert_eq!(told("198.51.100.1"), "", "nought and nought is nowhere");
    insta::assert_snapshot!(told("2001:db8::1"), @r#"country="AT" city="Linz" latitude=47.3925 longitude=8.5 network.number=64497 network.owner="Six""#);
    let gives: Vec<_> = enricher.status(0).sources.iter().map(|s| s.gives.join(" ")).collect();
    assert_eq!(
        gives,
        [
            "country coordinates",
            "country coordinates",
            "country network",
            "network",
            "outdated-browser outdated-system"
        ]
    );
}

#[test]
fn the_age_of_a_database_is_told_and_warned_of() {
    let enricher = with_geo(&["GeoIP2-City-Test.mmdb"]);
    let built = enricher.status(0).sources[0].built.unwrap();
    let day = 86_400_000;
    let fresh = enricher.status(built + 45 * day);
    assert_eq!(fresh.sources[0].age_days(built + 45 * day), Some(45));
    assert_eq!(fresh.warnings().count(), 0);
    let old = enricher.status(built + 46 * day);
    insta::assert_snapshot!(in_folder(old.warnings().next().unwrap(), &data("maxmind")), @"GeoIP2-City-Test.mmdb: it is 46 days old; addresses change hands: get a newer one");
    insta::assert_snapshot!(old.notes.join("\n"), @"no database of `enrich.geo` knows networks: their owners are absent");
    insta::assert_snapshot!(Enricher::none().status(0).notes.join("\n"), @r"
    no database of `enrich.geo` knows countries: places are absent, except where a range or the app itself says them
    no database of `enrich.geo` knows networks: their owners are absent
    there are neither lists nor a database of anonymizers: `ip.tags` are those of your own ranges alone
    ");
}
