//! Databases of places, networks and anonymizers in MaxMind's format.
//!
//! Makers put the same facts under different names: MaxMind and DB-IP nest them (`country.iso_code`),
//! others write them flat (`country_code`). Every name is tried, because the kind that a database
//! gives itself is free text.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use crate::error::{EnrichErrors, EnrichProblem, EnrichProblemKind};
use crate::file;
use crate::list::{plain, word};

const MOST_BYTES: u64 = 4 << 30;
/// How many records are looked at to learn what a database knows.
const SAMPLE: usize = 2_000;

/// What a record says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Record {
    /// Two capital letters.
    pub(crate) country: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) city: Option<String>,
    /// Latitude and longitude in degrees.
    pub(crate) position: Option<(f64, f64)>,
    /// Radius, km.
    pub(crate) accuracy: Option<f64>,
    pub(crate) number: Option<i64>,
    pub(crate) owner: Option<String>,
    /// Sorted.
    pub(crate) tags: Vec<&'static str>,
}

/// What a database knows of at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Knows {
    pub(crate) countries: bool,
    pub(crate) positions: bool,
    pub(crate) networks: bool,
    pub(crate) tags: bool,
}

/// A database that was checked from end to end.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) snapshot: String,
    /// What its maker calls it.
    pub(crate) kind: String,
    /// When it was made, ms since 1970.
    pub(crate) built: i64,
    /// Nodes of its tree: a measure of its size.
    pub(crate) nodes: u64,
    pub(crate) knows: Knows,
    reader: Reader<Vec<u8>>,
    /// Records that could not be read, which a checked database should not have.
    failures: AtomicU64,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({}@{})", self.file, self.snapshot)
    }
}

impl Database {
    /// Reads a database into memory and checks all of it.
    pub(crate) fn open(path: &Path) -> Result<Self, EnrichErrors> {
        let file = path.display().to_string();
        let (bytes, snapshot) =
            file::read(path, MOST_BYTES, "`enrich.geo` in the settings names it")?;
        let broken = |error: maxminddb::MaxMindDbError| {
            EnrichErrors::from(EnrichProblem::whole(
                EnrichProblemKind::Format,
                &file,
                format!("this is not a sound database in MaxMind's format: {error}"),
                "download it again, and put it in place by renaming",
            ))
        };
        let reader = Reader::from_source(bytes).map_err(broken)?;
        reader.verify().map_err(broken)?;
        let metadata = reader.metadata();
        let mut database = Self {
            name: word(&path.file_stem().unwrap_or_default().to_string_lossy()),
            snapshot,
            kind: word(&metadata.database_type),
            built: i64::try_from(metadata.build_epoch).unwrap_or(0).saturating_mul(1000),
            nodes: u64::from(metadata.node_count),
            knows: Knows::default(),
            reader,
            failures: AtomicU64::new(0),
            file: file.clone(),
        };
        database.knows = database.sample().map_err(broken)?;
        Ok(database)
    }

    /// What the first records know of. Those of a country database all know countries.
    fn sample(&self) -> Result<Knows, maxminddb::MaxMindDbError> {
        let mut knows = Knows::default();
        for found in self.reader.networks(WithinOptions::default())?.take(SAMPLE) {
            let Some(record) = found?.decode::<Item<'_>>()? else { continue };
            let record = Record::of(&record);
            knows.countries |= record.country.is_some();
            knows.positions |= record.position.is_some();
            knows.networks |= record.number.is_some() || record.owner.is_some();
            knows.tags |= !record.tags.is_empty();
        }
        Ok(knows)
    }

    /// What it says of an address; `None` when nothing.
    pub(crate) fn get(&self, address: IpAddr) -> Option<Record> {
        if address.is_ipv6() && self.reader.metadata().ip_version == 4 {
            return None;
        }
        match self.reader.lookup(address).and_then(|found| found.decode::<Item<'_>>()) {
            Ok(record) => Some(Record::of(&record?)),
            Err(_) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// The network of the record that says it, for people.
    pub(crate) fn network(&self, address: IpAddr) -> Option<String> {
        let network = self.reader.lookup(address).ok()?.network().ok()?;
        // A database for both families writes IPv4 as the end of IPv6.
        Some(match (address, network.prefix()) {
            (IpAddr::V4(_), prefix) if network.is_ipv6() => {
                let short = prefix.saturating_sub(96);
                crate::address::Range::parse(&format!("{address}/{short}"))?.to_string()
            }
            _ => network.to_string(),
        })
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// What stands in `ip.lists`.
    pub(crate) fn mark(&self) -> String {
        format!("{}@{}", self.name, self.snapshot)
    }
}

impl Record {
    fn of(item: &Item<'_>) -> Self {
        let text = |paths: &[&[&str]]| paths.iter().find_map(|path| item.at(path)?.text());
        let number = |paths: &[&[&str]]| paths.iter().find_map(|path| item.at(path)?.number());
        let latitude = number(&[&["location", "latitude"], &["latitude"], &["lat"]]);
        let longitude = number(&[&["location", "longitude"], &["longitude"], &["lng"], &["lon"]]);
        Self {
            country: text(&[&["country", "iso_code"], &["country_code"], &["country"]])
                .and_then(|code| country(&code)),
            region: item
                .at(&["subdivisions"])
                .and_then(Item::first)
                .and_then(|part| name(part).or_else(|| part.at(&["iso_code"])?.text()))
                .or_else(|| text(&[&["state1"], &["stateprov"], &["region_name"], &["region"]])),
            city: item.at(&["city"]).and_then(name).or_else(|| text(&[&["city"], &["city_name"]])),
            position: latitude.zip(longitude).filter(|&(latitude, longitude)| {
                // Several makers write nought and nought where they know nothing.
                let somewhere = latitude != 0.0 || longitude != 0.0;
                somewhere && latitude.abs() <= 90.0 && longitude.abs() <= 180.0
            }),
            accuracy: number(&[&["location", "accuracy_radius"], &["accuracy_radius"]])
                .filter(|km| *km >= 0.0),
            number: [
                &["autonomous_system_number"] as &[&str],
                &["traits", "autonomous_system_number"],
                &["as_number"],
                &["asn"],
            ]
            .iter()
            .find_map(|path| item.at(path)?.whole())
            .filter(|&number| number > 0),
            owner: text(&[
                &["autonomous_system_organization"],
                &["traits", "autonomous_system_organization"],
                &["as_name"],
                &["as_organization"],
                &["isp"],
                &["traits", "isp"],
                &["organization"],
                &["traits", "organization"],
            ]),
            tags: tags(item),
        }
    }
}

/// What an anonymizer database says, in the words of the vocabulary. That something is anonymous is
/// said as `anonymous-proxy` only where nothing more exact is said: hosting alone hides nobody.
fn tags(item: &Item<'_>) -> Vec<&'static str> {
    let flag = |name: &str| {
        let said = item.at(&[name]).or_else(|| item.at(&["traits", name]));
        said.is_some_and(Item::holds)
    };
    let mut tags: Vec<&'static str> = [
        ("is_anonymous_proxy", "anonymous-proxy"),
        ("is_public_proxy", "anonymous-proxy"),
        ("is_residential_proxy", "residential-proxy"),
        ("is_tor_exit_node", "tor"),
        ("is_anonymous_vpn", "vpn"),
        ("is_hosting_provider", "hosting"),
        ("is_satellite_provider", "satellite"),
        ("is_anycast", "anycast"),
    ]
    .into_iter()
    .filter(|(name, _)| flag(name))
    .map(|(_, tag)| tag)
    .collect();
    tags.sort_unstable();
    tags.dedup();
    if tags.is_empty() && flag("is_anonymous") {
        tags.push("anonymous-proxy");
    }
    tags
}

fn country(code: &str) -> Option<String> {
    let letters = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_alphabetic());
    letters.then(|| code.to_ascii_uppercase())
}

/// The English name of a thing, or the first there is.
fn name(item: &Item<'_>) -> Option<String> {
    let names = item.at(&["names"])?;
    names.at(&["en"]).or_else(|| names.first()).and_then(Item::text)
}

/// A value of a record, with the texts where they lie.
enum Item<'a> {
    Text(&'a str),
    Whole(i64),
    Number(f64),
    Flag(bool),
    List(Vec<Item<'a>>),
    Map(Vec<(&'a str, Item<'a>)>),
    Other,
}

impl<'a> Item<'a> {
    fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |item, key| match item {
            Item::Map(entries) => {
                entries.iter().find(|(name, _)| name == key).map(|(_, item)| item)
            }
            _ => None,
        })
    }

    fn first(&self) -> Option<&Self> {
        match self {
            Item::List(items) => items.first(),
            Item::Map(entries) => entries.first().map(|(_, item)| item),
            _ => None,
        }
    }

    /// A text that says something.
    fn text(&self) -> Option<String> {
        match self {
            Item::Text(text) => Some(plain(text)).filter(|text| !text.is_empty() && text != "-"),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Item::Number(number) => Some(*number).filter(|number| number.is_finite()),
            Item::Whole(whole) => Some(*whole as f64),
            Item::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// A whole number, also one that is written as `AS64496`.
    fn whole(&self) -> Option<i64> {
        match self {
            Item::Whole(whole) => Some(*whole),
            Item::Text(text) => text.trim().trim_start_matches(['A', 'S', 'a', 's']).parse().ok(),
            _ => None,
        }
    }

    fn holds(&self) -> bool {
        match self {
            Item::Flag(flag) => *flag,
            Item::Whole(whole) => *whole != 0,
            Item::Text(text) => text.eq_ignore_ascii_case("true") || *text == "1",
            _ => false,
        }
    }
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a record")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Item::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Item::Other)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Item::Flag(flag))
    }

    fn visit_i64<E>(self, whole: i64) -> Result<Self::Value, E> {
        Ok(Item::Whole(whole))
    }

    fn visit_u64<E>(self, whole: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(whole).map_or(Item::Other, Item::Whole))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Item::Other)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Item::Number(number))
    }

    fn visit_f32<E>(self, number: f32) -> Result<Self::Value, E> {
        // By way of decimal digits: 47.4 in single precision is meant to be 47.4.
        Ok(Item::Number(number.to_string().parse().unwrap_or(f64::from(number))))
    }

    fn visit_borrowed_bytes<E>(self, _: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Item::Other)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Self::Value, E> {
        Ok(Item::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Item::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Item::Map(entries))
    }
}
