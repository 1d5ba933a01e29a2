//! A detector that misbehaves as its first policy's settings say:
//! `{"in": "configure" | "begin" | "finish", "attack": "…"}`.

use casbah_plugin::model::detector::{DetectorDescription, Outcome, Problem};
use casbah_plugin::{Batch, Detector, Evidence, Finding, Severity, StateKey};

struct Hostile {
    place: String,
    attack: String,
    first: u64,
}

impl Detector for Hostile {
    fn describe() -> DetectorDescription {
        DetectorDescription {
            name: "hostile".to_owned(),
            version: "6.6.6".to_owned(),
            title: "Misbehaves as it is told".to_owned(),
            columns: vec!["sequence".to_owned(), "time".to_owned()],
            ..DetectorDescription::default()
        }
    }

    fn configure(policies: &[String]) -> Result<Self, Vec<Problem>> {
        let settings: serde_json::Value =
            serde_json::from_str(&policies[0]).unwrap_or(serde_json::Value::Null);
        let text = |name: &str| settings[name].as_str().unwrap_or_default().to_owned();
        let hostile = Self { place: text("in"), attack: text("attack"), first: 0 };
        hostile.anywhere("configure");
        let problem = |policy| Problem {
            policy,
            pointer: "/\u{1b}[2J".to_owned(),
            message: format!("no\u{7}good{}", "!".repeat(10_000)),
        };
        match hostile.at("configure") {
            "problems-none" => Err(Vec::new()),
            "problem-elsewhere" => Err(vec![problem(7)]),
            "problem-ugly" => Err(vec![problem(0)]),
            "problems-many" => Err((0..100_000)
                .map(|_| Problem { policy: 0, pointer: String::new(), message: String::new() })
                .collect()),
            _ => Ok(hostile),
        }
    }

    fn begin(&mut self, batch: Batch) -> Result<Vec<StateKey>, String> {
        self.first = batch.integer("sequence", 0).unwrap_or_default() as u64;
        self.anywhere("begin");
        let key = |key: &str| StateKey { policy: 0, key: key.to_owned() };
        Ok(match self.at("begin") {
            "error" => return Err("the\u{1b}[31m attack".to_owned()),
            "columns" => {
                let columns = batch.columns.iter().map(|column| column.name.as_str());
                let nested = batch.nested.iter().map(|table| table.name.as_str());
                return Err(format!(
                    "got {}",
                    columns.chain(nested).collect::<Vec<_>>().join(", ")
                ));
            }
            "keys-many" => (0..200_000).map(|n| key(&n.to_string())).collect(),
            "key-long" => vec![key(&"k".repeat(513))],
            "key-twice" => vec![key("a"), key("b"), key("a")],
            "key-elsewhere" => vec![StateKey { policy: 1, key: "a".to_owned() }],
            // SAFETY: none. The text is never looked at here; the host must find out.
            "key-not-utf8" => vec![StateKey {
                policy: 0,
                key: unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) },
            }],
            _ => vec![key("one")],
        })
    }

    fn finish(&mut self, _states: &[Vec<u8>]) -> Result<Outcome, String> {
        self.anywhere("finish");
        let finding = Finding {
            policy: 0,
            group: vec![("actor.email".to_owned(), "ana@example.com".to_owned())],
            start: 0,
            first: 0,
            last: 0,
            evidence: vec![Evidence { time: 0, sequence: self.first }],
            summary: String::new(),
            details: Vec::new(),
            severity: Some(Severity::High),
            behavior: false,
        };
        let one = |finding| Outcome { findings: vec![finding], changes: Vec::new() };
        let changes = |changes| Outcome { findings: Vec::new(), changes };
        Ok(match self.at("finish") {
            "error" => return Err("the\u{1b}[31m attack".to_owned()),
            "findings-many" => Outcome { findings: vec![finding; 20_000], changes: Vec::new() },
            "evidence-many" => one(Finding {
                evidence: vec![Evidence { time: 0, sequence: self.first }; 1_100_000],
                ..finding
            }),
            "policy-elsewhere" => one(Finding { policy: 1, ..finding }),
            "evidence-future" => one(Finding {
                evidence: vec![Evidence { time: 0, sequence: self.first + 1_000_000 }],
                ..finding
            }),
            "evidence-enormous" => {
                one(Finding { evidence: vec![Evidence { time: 0, sequence: u64::MAX }], ..finding })
            }
            "time-insane" => one(Finding { first: i64::MIN, ..finding }),
            "evidence-time-insane" => one(Finding {
                evidence: vec![Evidence { time: i64::MAX, sequence: self.first }],
                ..finding
            }),
            "backwards" => one(Finding { first: 2, last: 1, ..finding }),
            "group-wide" => {
                one(Finding { group: vec![(String::new(), String::new()); 1000], ..finding })
            }
            "texts-ugly" => one(Finding {
                group: vec![("actor\u{1b}[2J".to_owned(), "x".repeat(5_000_000))],
                summary: format!("\u{1b}]0;title\u{7}{}", "s".repeat(5_000_000)),
                details: vec![("a\nb".to_owned(), "\u{202e}txt.exe".to_owned())],
                ..finding
            }),
            "state-unasked" => changes(vec![(1, b"mine".to_vec())]),
            "state-twice" => changes(vec![(0, b"a".to_vec()), (0, b"b".to_vec())]),
            "state-large" => changes(vec![(0, vec![0; (1 << 20) + 1])]),
            _ => one(finding),
        })
    }
}

impl Hostile {
    fn at(&self, place: &str) -> &str {
        if self.place == place { &self.attack } else { "" }
    }

    /// Attacks that work in every function.
    fn anywhere(&self, place: &str) {
        match self.at(place) {
            "loop" => loop {
                std::hint::black_box(0);
            },
            "memory" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(std::hint::black_box(vec![1; 1 << 20]));
                }
            }
            "memory-at-once" => {
                std::hint::black_box(vec![0_u8; 1 << 30]);
            }
            "stack" => {
                std::hint::black_box(deeper(0));
            }
            "stack-in-memory" => {
                std::hint::black_box(deeper_in_memory([0; 64]));
            }
            "trap" => core::arch::wasm32::unreachable(),
            "panic" => panic!("the attack\u{1b}[31m of {place}"),
            "panic-long" => panic!("{}", "long ".repeat(1_000_000)),
            "index" => {
                std::hint::black_box([1, 2, 3][std::hint::black_box(3)]);
            }
            "wild" => unsafe {
                std::hint::black_box(*std::hint::black_box(0xffff_fff0 as *const u32));
            },
            "log-flood" => {
                for number in 0..1_000 {
                    casbah_plugin::log(&format!("{number}\u{1b}[2J{}", "x".repeat(10_000)));
                }
            }
            "log-loop" => {
                let line = "y".repeat(30 << 20);
                loop {
                    casbah_plugin::log(&line);
                }
            }
            _ => {}
        }
    }
}

#[inline(never)]
fn deeper(depth: u64) -> u64 {
    // Nothing that could be made a loop, and nothing that lies in memory.
    if depth == u64::MAX { 0 } else { deeper(depth + 1).wrapping_mul(31).rotate_left(depth as u32) }
}

#[inline(never)]
fn deeper_in_memory(mut frame: [u64; 64]) -> u64 {
    std::hint::black_box(&mut frame);
    frame[0] += 1;
    if frame[0] == u64::MAX { 0 } else { deeper_in_memory(frame) + std::hint::black_box(&frame)[1] }
}

casbah_plugin::export_detector!(Hostile);
