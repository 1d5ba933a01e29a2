//! Writes small databases in MaxMind's format, in the flat shapes that other makers use.

use std::net::IpAddr;

/// A value of a record.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(&'static str),
    Whole(u32),
    Double(f64),
    Float(f32),
    Map(Vec<(&'static str, Value)>),
}

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => {
                control(out, 2, text.len());
                out.extend(text.as_bytes());
            }
            Self::Double(number) => {
                control(out, 3, 8);
                out.extend(number.to_be_bytes());
            }
            Self::Whole(whole) => {
                control(out, 6, 4);
                out.extend(whole.to_be_bytes());
            }
            Self::Map(entries) => {
                control(out, 7, entries.len());
                for (key, value) in entries {
                    Self::Text(key).write(out);
                    value.write(out);
                }
            }
            Self::Float(number) => {
                out.extend([4, 15 - 7]);
                out.extend(number.to_be_bytes());
            }
        }
    }
}

fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 29 + 256);
    if size < 29 {
        out.push(kind << 5 | size as u8);
    } else {
        out.extend([kind << 5 | 29, (size - 29) as u8]);
    }
}

/// A database of networks that don't overlap, for one family.
pub(crate) fn database(kind: &'static str, built: u64, records: &[(&str, Value)]) -> Vec<u8> {
    let v6 = records.iter().any(|(network, _)| network.contains(':'));
    let mut data = Vec::new();
    // A node is two places to go: another node, nothing, or a record.
    let mut nodes: Vec<[Option<Go>; 2]> = vec![[None, None]];
    for (network, record) in records {
        let (address, length) = network.split_once('/').unwrap();
        let bits = match address.parse().unwrap() {
            IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
            IpAddr::V6(address) => u128::from(address),
        };
        let at = data.len();
        record.write(&mut data);
        let length: usize = length.parse().unwrap();
        let mut node = 0;
        for bit in 0..length {
            let side = (bits >> (127 - bit) & 1) as usize;
            if bit + 1 == length {
                assert!(nodes[node][side].is_none(), "{network} overlaps with another");
                nodes[node][side] = Some(Go::Record(at));
            } else {
                node = match nodes[node][side] {
                    Some(Go::Node(next)) => next,
                    Some(Go::Record(_)) => panic!("{network} lies within another"),
                    None => {
                        nodes.push([None, None]);
                        let next = nodes.len() - 1;
                        nodes[node][side] = Some(Go::Node(next));
                        next
                    }
                };
            }
        }
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for go in nodes.iter().flatten() {
        let value = match go {
            None => count,
            Some(Go::Node(node)) => *node,
            Some(Go::Record(at)) => count + 16 + at,
        };
        file.extend((value as u32).to_be_bytes());
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    metadata(&mut file, kind, built, count as u32, v6);
    file
}

fn metadata(file: &mut Vec<u8>, kind: &'static str, built: u64, nodes: u32, v6: bool) {
    let small = |file: &mut Vec<u8>, value: u16| {
        control(file, 5, 2);
        file.extend(value.to_be_bytes());
    };
    let text = |file: &mut Vec<u8>, text: &'static str| Value::Text(text).write(file);
    control(file, 7, 9);
    text(file, "node_count");
    Value::Whole(nodes).write(file);
    text(file, "record_size");
    small(file, 32);
    text(file, "ip_version");
    small(file, if v6 { 6 } else { 4 });
    text(file, "database_type");
    text(file, kind);
    text(file, "languages");
    file.extend([0, 11 - 7]);
    text(file, "binary_format_major_version");
    small(file, 2);
    text(file, "binary_format_minor_version");
    small(file, 0);
    text(file, "build_epoch");
    file.extend([8, 9 - 7]);
    file.extend(built.to_be_bytes());
    text(file, "description");
    Value::Map(vec![("en", Value::Text("made up"))]).write(file);
}

#[derive(Clone, Copy)]
enum Go {
    Node(usize),
    Record(usize),
}
