//! Writes a database of places and networks in MaxMind's format, from a table.
//!
//! It writes just what the demo needs: one record a network, nothing shared. It is no general writer.

use std::net::IpAddr;

use anyhow::{Context, Result, bail};

/// The table: networks of the demo, where they are and whose.
const PLACES: &str = include_str!("../data/places.csv");
/// What stands before the metadata.
const MARKER: &[u8] = b"\xAB\xCD\xEFMaxMind.com";
/// Bytes between the tree and the records.
const GAP: usize = 16;

/// A node of the tree: where 0 and 1 lead.
type Node = [Way; 2];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Way {
    /// Nothing is known.
    #[default]
    Nowhere,
    /// To a node.
    Node(usize),
    /// To a record, by its place among the bytes of all records.
    Record(usize),
}

/// The demo's database, made at a time in seconds since 1970.
pub(crate) fn database(made: u64) -> Result<Vec<u8>> {
    let mut nodes: Vec<Node> = vec![Node::default()];
    let mut records = Vec::new();
    for line in PLACES.lines().filter(|line| !line.starts_with('#')) {
        let place = records.len();
        let network = record(&mut records, line)
            .with_context(|| format!("in the table of places: {line}"))?;
        insert(&mut nodes, network, place)?;
    }
    let count = nodes.len();
    let mut out = Vec::with_capacity(count * 8 + records.len() + 400);
    for way in nodes.iter().flatten() {
        let number = match way {
            Way::Nowhere => count,
            Way::Node(at) => *at,
            Way::Record(at) => count + GAP + at,
        };
        out.extend((number as u32).to_be_bytes());
    }
    out.extend([0; GAP]);
    out.extend(records);
    out.extend(MARKER);
    metadata(&mut out, count, made);
    Ok(out)
}

/// Appends the record of a line, and returns its network.
fn record(out: &mut Vec<u8>, line: &str) -> Result<(u128, u32)> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [network, country, city, latitude, longitude, accuracy, number, owner] = fields[..] else {
        bail!("{} fields instead of 8", fields.len());
    };
    map(out, 5);
    text(out, "country");
    map(out, 1);
    text(out, "iso_code");
    text(out, country);
    text(out, "city");
    named(out, city);
    text(out, "location");
    map(out, 3);
    text(out, "accuracy_radius");
    unsigned(out, 5, accuracy.parse()?);
    text(out, "latitude");
    double(out, latitude.parse()?);
    text(out, "longitude");
    double(out, longitude.parse()?);
    text(out, "autonomous_system_number");
    unsigned(out, 6, number.parse()?);
    text(out, "autonomous_system_organization");
    text(out, owner);
    bits(network)
}

fn metadata(out: &mut Vec<u8>, nodes: usize, made: u64) {
    map(out, 9);
    for (name, size, value) in [
        ("binary_format_major_version", 5, 2),
        ("binary_format_minor_version", 5, 0),
        ("build_epoch", 9, made),
        ("ip_version", 5, 6),
        ("node_count", 6, nodes as u64),
        ("record_size", 5, 32),
    ] {
        text(out, name);
        unsigned(out, size, value);
    }
    text(out, "database_type");
    text(out, "casbah-Demo-City");
    text(out, "languages");
    // A list is an extended type: 7 more than what stands in the second byte.
    out.extend([1, 4]);
    text(out, "en");
    text(out, "description");
    map(out, 1);
    text(out, "en");
    text(out, "Made up for the demo of casbah");
}

/// A network as the bits of IPv6, in which IPv4 begins with 96 zeros, and their number.
fn bits(network: &str) -> Result<(u128, u32)> {
    let (base, length) = network.split_once('/').context("a network has a length")?;
    let length: u32 = length.parse()?;
    Ok(match base.parse::<IpAddr>()? {
        IpAddr::V4(base) => (u128::from(base.to_bits()), length + 96),
        IpAddr::V6(base) => (base.to_bits(), length),
    })
}

/// Grows the tree by a network.
fn insert(nodes: &mut Vec<Node>, (network, length): (u128, u32), record: usize) -> Result<()> {
    let mut at = 0;
    for depth in 0..length {
        let bit = (network >> (127 - depth)) as usize & 1;
        let next = nodes.len();
        let Some(way) = nodes.get_mut(at).and_then(|node| node.get_mut(bit)) else { break };
        match (*way, depth + 1 == length) {
            (Way::Nowhere, true) => *way = Way::Record(record),
            (Way::Nowhere, false) => {
                *way = Way::Node(next);
                nodes.push(Node::default());
                at = next;
            }
            (Way::Node(node), false) => at = node,
            _ => bail!("two networks overlap"),
        }
    }
    Ok(())
}

fn map(out: &mut Vec<u8>, pairs: u8) {
    out.push(7 << 5 | pairs);
}

/// A text of at most 284 bytes, which is the longest that takes one more byte for its length.
fn text(out: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ ..29) => out.push(2 << 5 | length),
        Ok(length) => out.extend([2 << 5 | 29, length - 29]),
        Err(_) => return self::text(out, text.get(..255).unwrap_or_default()),
    }
    out.extend(text.as_bytes());
}

fn named(out: &mut Vec<u8>, name: &str) {
    map(out, 1);
    text(out, "names");
    map(out, 1);
    text(out, "en");
    text(out, name);
}

/// A number of a type: 5 and 6 of 16 and 32 bits, 9 of 64.
fn unsigned(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    let length = (bytes.len() - zeros) as u8;
    match kind.checked_sub(7) {
        Some(extended) => out.extend([length, extended]),
        None => out.push(kind << 5 | length),
    }
    out.extend(bytes.iter().skip(zeros));
}

fn double(out: &mut Vec<u8>, number: f64) {
    out.push(3 << 5 | 8);
    out.extend(number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_independent_reader_finds_what_the_table_says() {
        let database = database(1_795_000_000).unwrap();
        let reader = maxminddb::Reader::from_source(database).unwrap();
        reader.verify().unwrap();
        let mut seen = 0;
        for line in PLACES.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let address = fields[0].split('/').next().unwrap().parse().unwrap();
            let found = reader.lookup(address).unwrap();
            let record: serde_json::Value = found.decode().unwrap().unwrap();
            assert_eq!(record["country"]["iso_code"], fields[1], "{line}");
            assert_eq!(record["city"]["names"]["en"], fields[2], "{line}");
            assert_eq!(record["location"]["latitude"], fields[3].parse::<f64>().unwrap(), "{line}");
            assert_eq!(record["autonomous_system_number"], fields[6].parse::<u64>().unwrap());
            assert_eq!(record["autonomous_system_organization"], fields[7], "{line}");
            seen += 1;
        }
        assert!(seen > 10);
    }
}
