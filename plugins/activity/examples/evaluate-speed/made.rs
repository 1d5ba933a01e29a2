//! Activities and policies in the manner of a Smartsheet account, the same on every run.

use casbah_model::{Batch, BatchBuilder};
use serde_json::{Value, json};

/// A small generator of numbers; the figures should be the same work on every machine.
pub(crate) struct Numbers(u64);

impl Numbers {
    /// Always the same numbers.
    pub(crate) fn new() -> Self {
        Self(0x5EED)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const KINDS: [(&str, u64); 12] = [
    ("view", 500),
    ("edit", 230),
    ("create", 60),
    ("share", 30),
    ("download", 30),
    ("export", 20),
    ("delete", 30),
    ("login", 40),
    ("rename", 20),
    ("move", 20),
    ("publish", 5),
    ("admin", 15),
];

fn kind(numbers: &mut Numbers) -> &'static str {
    let mut left = numbers.below(1000);
    for (kind, weight) in KINDS {
        if left < weight {
            return kind;
        }
        left -= weight;
    }
    "other"
}

/// The next rows of the stream.
pub(crate) fn batch(numbers: &mut Numbers, rows: u64, sequence: &mut u64, time: &mut i64) -> Batch {
    let mut builder = BatchBuilder::new();
    for _ in 0..rows {
        *sequence += 1;
        *time += numbers.below(8_000) as i64;
        let user = numbers.below(400).min(numbers.below(400));
        let kind = kind(numbers);
        builder.begin_row();
        builder.integer("sequence", *sequence as i64);
        builder.text("id", &format!("{:016x}", sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        builder.integer("time", *time - numbers.below(60_000) as i64);
        builder.integer("received", *time + 90_000);
        builder.text("app", "smartsheet");
        builder.text("connection", "acme");
        let source = match numbers.below(3) {
            0 => "WEB_APP",
            1 => "API_INTEGRATED_APP",
            _ => "MOBILE_IOS",
        };
        builder.text("source", source);
        builder.text("kind", kind);
        builder.text("action", &kind.to_uppercase());
        builder.text("actor", &format!("user{user}@example.com"));
        builder.text("actor.id", &format!("{}", 4_000_000_000_000 + user * 977));
        builder.text("actor.type", if user == 399 { "service" } else { "user" });
        builder.flag("actor.admin", user < 5);
        if numbers.below(3) == 0 {
            builder.text("ip", &format!("203.0.{}.{}", user % 256, numbers.below(4)));
            builder.text("ip.category", if numbers.below(5) == 0 { "other" } else { "corporate" });
            builder.text("country", "DE");
        }
        builder.text("client", "web");
        builder.text("result", "success");
        let object = numbers.below(20_000);
        builder.text("object", &format!("{}", 7_000_000_000_000 + object * 31));
        builder.text("object.kind", if object.is_multiple_of(3) { "report" } else { "sheet" });
        builder.text("object.name", &format!("Plan {object}"));
        if kind == "share" {
            let outside = numbers.below(10) == 0;
            builder.text(
                "recipient",
                &format!(
                    "guest{}@{}",
                    numbers.below(900),
                    if outside { "gmail.com" } else { "example.com" }
                ),
            );
            builder.text("recipient.domain", if outside { "gmail.com" } else { "example.com" });
            builder.flag("recipient.external", outside);
        }
        builder.begin_nested("objects");
        builder.nested_text("objects", "role", "object");
        builder.nested_text("objects", "kind", "sheet");
        for (key, value) in
            [("sheetName", format!("Plan {object}")), ("rowCount", format!("{}", object % 100))]
        {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            builder.nested_text("fields", "value", &value);
        }
    }
    builder.finish()
}

/// Policies such as people write for Smartsheet; numbers vary, so that no two are the same.
pub(crate) fn policy(number: usize) -> String {
    let app = json!({"field": "app", "is": "smartsheet"});
    let more = number / 20;
    let kinds = |kinds: Value| json!({"field": "kind", "in": kinds});
    let (when, repeat): (Vec<Value>, Value) = match number % 20 {
        0 => (
            vec![app, kinds(json!(["export", "download"]))],
            json!({"count": 30 + more, "within": "5m", "distinct": "object"}),
        ),
        1 => (
            vec![app, kinds(json!(["share"]))],
            json!({"count": 20 + more, "within": "1h", "distinct": "recipient"}),
        ),
        2 => (
            vec![app, kinds(json!(["share"])), json!({"field": "recipient.external", "is": true})],
            Value::Null,
        ),
        3 => (
            vec![app, kinds(json!(["delete", "purge"]))],
            json!({"count": 50 + more, "within": "10m"}),
        ),
        4 => (
            vec![
                app,
                kinds(json!(["publish"])),
                json!({"field": "object.kind", "is": "dashboard"}),
            ],
            Value::Null,
        ),
        5 => (vec![app, kinds(json!(["ownership"]))], json!({"count": 5 + more, "within": "1h"})),
        6 => (
            vec![app, kinds(json!(["permission"])), json!({"field": "actor.admin", "is": true})],
            Value::Null,
        ),
        7 => (
            vec![
                app,
                kinds(json!(["report"])),
                json!({"field": "action", "contains": "USER_LIST"}),
            ],
            Value::Null,
        ),
        8 => (vec![app, json!({"field": "impersonated", "is": true})], Value::Null),
        9 => (
            vec![app, kinds(json!(["token"])), json!({"field": "token", "exists": true})],
            Value::Null,
        ),
        10 => (vec![app, json!({"field": "anonymous", "is": true})], Value::Null),
        11 => (
            vec![app, kinds(json!(["login"])), json!({"field": "result", "is": "failure"})],
            json!({"count": 10 + more, "within": "2m"}),
        ),
        12 => (
            vec![
                app,
                kinds(json!(["view", "download"])),
                json!({"field": "ip.category", "not": "corporate", "missing": "no-match"}),
            ],
            json!({"count": 40 + more, "within": "1h", "by": ["actor", "ip"]}),
        ),
        13 => (
            vec![app, kinds(json!(["edit"])), json!({"field": "actor.type", "is": "service"})],
            json!({"count": 500, "within": "1h"}),
        ),
        14 => (
            vec![
                app,
                kinds(json!(["export"])),
                json!({"field": "object.name", "matches": "(?i)salar(y|ies)|payroll"}),
            ],
            Value::Null,
        ),
        15 => (
            vec![
                app,
                json!({"field": "recipient.domain", "in": ["gmail.com", "outlook.com", "proton.me"]}),
                json!({"field": "kind", "is": "share"}),
            ],
            json!({"count": 5 + more, "within": "24h", "distinct": "object"}),
        ),
        16 => (
            vec![
                app,
                kinds(json!(["view"])),
                json!({"field": "ip", "cidr": ["198.51.100.0/24", "192.0.2.0/24"]}),
            ],
            Value::Null,
        ),
        17 => (
            vec![
                app,
                json!({"field": "fields.rowCount", "above": 100000}),
                kinds(json!(["delete"])),
            ],
            Value::Null,
        ),
        18 => (
            vec![
                app,
                json!({"field": "kind", "is": "admin"}),
                json!({"not": {"field": "actor", "in": ["user1@example.com", "user2@example.com"]}, "missing": "match"}),
            ],
            json!({"count": 10 + more, "within": "1h"}),
        ),
        _ => (
            vec![app, kinds(json!(["view"]))],
            json!({"count": 300 + more, "within": "1h", "distinct": "object"}),
        ),
    };
    let mut settings = json!({
        "policy": format!("speed-{number}"),
        "group": ["actor"],
        "quiet": 86_400_000,
        "when": when,
    });
    if let (Some(settings), false) = (settings.as_object_mut(), repeat.is_null()) {
        settings.insert("repeat".to_owned(), repeat);
    }
    settings.to_string()
}
