//! An adapter that misbehaves as it is told: by the settings of a plan, a read or a normalize, and
//! by the body of a split.

use std::collections::BTreeMap;

use casbah_plugin::model::{Column, Nested, Texts, Values};
use casbah_plugin::{
    Adapter, AdapterDescription, Batch, BatchBuilder, Failure, HttpRequest, Next, Page,
    PlanRequest, Produces, Region, Response, Rounds, Stream,
};

struct Hostile;

impl Adapter for Hostile {
    fn describe() -> AdapterDescription {
        AdapterDescription {
            name: "hostile-app".to_owned(),
            version: "6.6.6".to_owned(),
            title: "Hostile".to_owned(),
            regions: vec![Region {
                name: "us".to_owned(),
                title: "Here".to_owned(),
                hosts: BTreeMap::from([(
                    "api".to_owned(),
                    "https://api.example.com/2.0".to_owned(),
                )]),
            }],
            oauth: None,
            personal_token: true,
            streams: vec![Stream {
                name: "activities".to_owned(),
                produces: Produces::Activities,
                interval_seconds: 60,
                page_size: 100,
                smallest_page_size: 10,
                rounds: Rounds::Whole,
            }],
            requests_per_minute: 300,
            retention_days: 0,
            directory: false,
            settings: serde_json::Value::Null,
            limitations: Vec::new(),
        }
    }

    fn plan(request: &PlanRequest) -> Result<HttpRequest, Failure> {
        let attack = request.settings.as_str();
        anywhere(attack);
        let mut plan = HttpRequest {
            method: "GET".to_owned(),
            host: "api".to_owned(),
            path: "/events".to_owned(),
            query: vec![("since".to_owned(), "2026-11-20T10:00:00Z".to_owned())],
            headers: vec![("accept".to_owned(), "application/json".to_owned())],
            body: Vec::new(),
        };
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match attack {
            "method" => plan.method = "GET / HTTP/1.1\r\nhost: evil".to_owned(),
            "host" => plan.host = "evil.example.com".to_owned(),
            "path-relative" => plan.path = "events".to_owned(),
            "path-authority" => plan.path = "//evil.example.com/".to_owned(),
            "path-up" => plan.path = "/a/../../admin".to_owned(),
            "path-up-hidden" => plan.path = "/a/%2E./admin".to_owned(),
            "path-query" => plan.path = "/events?all=1".to_owned(),
            "path-break" => plan.path = "/events\r\nx: y".to_owned(),
            "header-authorization" => plan.headers.push(header("Authorization", "Bearer stolen")),
            "header-host" => plan.headers.push(header("hOST", "evil.example.com")),
            "header-break" => plan.headers.push(header("x", "a\r\nauthorization: b")),
            "header-name" => plan.headers.push(header("x y", "a")),
            "large" => plan.body = vec![0; 2 << 20],
            "failure" => return Err(failure()),
            _ => {}
        }
        Ok(plan)
    }

    fn read(response: &Response) -> Result<Page, Failure> {
        let attack = response.request.settings.as_str();
        anywhere(attack);
        let mut page = Page {
            next: Next::More,
            cursor: "{}".to_owned(),
            batch: good(),
            raw: vec![0, 1, 1, 2],
            facts: Vec::new(),
        };
        match attack {
            "failure" => return Err(failure()),
            "raw-outside" => page.raw = vec![0, 1, 1, response.body.len() as u32 + 1],
            "raw-backwards" => page.raw = vec![0, 1, 2, 1],
            "raw-odd" => page.raw = vec![0, 1, 1],
            "raw-few" => page.raw = vec![0, 1],
            "raw-many" => page.raw = vec![0; 2_000_000],
            "cursor-long" => page.cursor = "c".repeat(100_000),
            "facts-many" => page.facts = vec![(String::new(), String::new()); 1000],
            "facts-ugly" => page.facts = vec![("account.id".to_owned(), "\u{1b}[2J7".to_owned())],
            "wait-for-ever" => page.next = Next::Wait(u64::MAX),
            _ => page.batch = malformed(attack),
        }
        Ok(page)
    }

    fn normalize(settings: &str, _body: &[u8], _raw: &[u32]) -> Result<Batch, Failure> {
        anywhere(settings);
        if settings == "failure" { Err(failure()) } else { Ok(malformed(settings)) }
    }

    fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
        let attack = std::str::from_utf8(body).unwrap_or_default();
        anywhere(attack);
        match attack {
            "failure" => Err(failure()),
            "raw-outside" => Ok(vec![0, u32::MAX]),
            "raw-odd" => Ok(vec![0]),
            _ => Ok(vec![0, body.len() as u32]),
        }
    }
}

fn failure() -> Failure {
    Failure {
        class: "for\u{1b}[31mged".to_owned(),
        code: "c".repeat(10_000),
        message: format!("line\nline\u{7}{}", "m".repeat(10_000_000)),
        remedy: "\u{202e}do nothing".to_owned(),
        retry_after: Some(u64::MAX),
    }
}

fn good() -> Batch {
    let mut builder = BatchBuilder::new();
    for (time, email) in [(1_000, "ana@example.com"), (2_000, "bob@example.com")] {
        builder.begin_row();
        builder.integer("time", time);
        builder.text("actor.email", email);
        builder.begin_nested("objects");
        builder.nested_text("objects", "name", "Büro");
    }
    builder.finish()
}

/// Every way in which a table can be wrong.
fn malformed(attack: &str) -> Batch {
    let mut batch = good();
    let column = |name: &str, values| Column { name: name.to_owned(), values };
    let texts = |bytes: &str, ends: &[u32]| Texts::from_parts(bytes.to_owned(), ends.to_vec());
    match attack {
        "texts-none" => batch.texts = texts("", &[]),
        "texts-first" => batch.texts = texts("a", &[1]),
        "texts-falling" => batch.texts = texts("abc", &[0, 2, 1, 3]),
        "texts-outside" => batch.texts = texts("abc", &[0, 1, 2, 9]),
        "texts-short" => batch.texts = texts("abcdef", &[0, 1, 2, 3]),
        "texts-inside-character" => batch.texts = texts("ü€", &[0, 1, 2, 5]),
        "rows-more" => batch.rows = 3,
        "rows-enormous" => batch.rows = u32::MAX,
        "rows-none" => batch.rows = 0,
        "rows-many" => {
            batch = Batch { rows: 200_000, ..Batch::default() };
        }
        "column-short" => batch.columns.push(column("x", Values::Number(vec![1.0]))),
        "column-long" => batch.columns.push(column("x", Values::Integer(vec![1, 2, 3]))),
        "column-twice" => {
            let first = batch.columns[0].clone();
            batch.columns.push(first);
        }
        "column-name-ugly" => {
            batch.columns.push(column("\u{1b}[2Jx", Values::Number(vec![1.0])));
        }
        "id-outside" => batch.columns.push(column("x", Values::Text(vec![0, 99]))),
        "nested-short" => batch.nested[0].ends = vec![1],
        "nested-falling" => batch.nested[0].ends = vec![2, 1],
        "nested-outside" => batch.nested[0].ends = vec![1, u32::MAX],
        "nested-id-outside" => {
            batch.nested[0].columns[0].values = Values::Text(vec![1, 4_000_000_000]);
        }
        "nested-twice" => {
            batch.nested.push(Nested { columns: Vec::new(), ..batch.nested[0].clone() });
        }
        // In microseconds, from a clock gone mad, and the last of which there is a number.
        "times-absurd" => {
            let mut builder = BatchBuilder::new();
            let absurd = [1_790_000_000_000_000, -400_000_000_000_000, i64::MAX];
            for time in absurd.into_iter().chain([1_790_000_000_000, 1_790_000_001_000]) {
                builder.begin_row();
                builder.integer("time", time);
                builder.text("actor", "ana@example.com");
                builder.text("kind", "export");
            }
            batch = builder.finish();
        }
        _ => {}
    }
    batch
}

/// Attacks that work in every function.
fn anywhere(attack: &str) {
    match attack {
        "loop" => loop {
            std::hint::black_box(0);
        },
        "memory" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        "trap" => core::arch::wasm32::unreachable(),
        "panic" => panic!("the attack"),
        _ => {}
    }
}

casbah_plugin::export_adapter!(Hostile);
