//! Made-up activities and policies, the same on every run.

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

/// One of some texts.
fn pick(texts: &[&'static str], number: u64) -> &'static str {
    texts.get(number as usize % texts.len()).copied().unwrap_or_default()
}

/// Activities of a cloud's audit log: 30 services, 260 kinds of event, most fields of no interest.
pub(crate) fn cloud(numbers: &mut Numbers, rows: usize) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in 0..rows {
        builder.begin_row();
        builder.integer("sequence", row as i64);
        builder.integer("time", 1_790_000_000_000 + row as i64 * 900);
        builder.text("app", "json");
        builder.text("source", "aws.cloudtrail");
        let event = numbers.below(260).min(numbers.below(260));
        let user = numbers.below(60);
        let mut field = |key: &str, value: &str| {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            builder.nested_text("fields", "value", value);
        };
        field("eventSource", &format!("service{}.amazonaws.com", event % 30));
        field("eventName", &format!("Event{event}"));
        field("awsRegion", "us-east-1");
        field("sourceIPAddress", &format!("10.0.{}.{}", user % 7, numbers.below(40)));
        field("userAgent", &format!("aws-cli/2.{} Python/3.11", numbers.below(150)));
        field("eventID", &format!("{:016x}", (row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        field("requestID", &format!("{:016x}", (row as u64).wrapping_mul(0xC2B2_AE3D_27D4_EB4F)));
        field("userIdentity.type", pick(&["IAMUser", "AssumedRole", "Root"], user));
        field("userIdentity.arn", &format!("arn:aws:iam::123837392027:user/user{user}"));
        field("userIdentity.userName", &format!("user{user}"));
        if numbers.below(10) == 0 {
            field("errorCode", pick(&["AccessDenied", "ThrottlingException"], user));
        }
        for other in 0..55 {
            field(&format!("other.field{other}"), &format!("value{}", numbers.below(4)));
        }
    }
    builder.finish()
}

/// Rules in Sigma's shape; the first 57 are for this log, of the others one in twenty.
pub(crate) fn sigma(number: usize) -> String {
    let n = number as u64;
    let own = number < 57 || number.is_multiple_of(20);
    let source = if own {
        "aws.cloudtrail".to_owned()
    } else {
        format!("product{}.service{}", n % 40, n % 7)
    };
    let source = json!({"field": "source", "is": source});
    let is = |key: &str, value: Value| {
        let operator = if value.is_array() { "in" } else { "is" };
        json!({"field": format!("fields.{key}"), operator: value})
    };
    // Most rules look for what hardly ever happens.
    let event = |offset: u64| {
        format!("{}{}", if n.is_multiple_of(4) { "Event" } else { "Rare" }, (n * 7 + offset) % 260)
    };
    let service = json!(format!("service{}.amazonaws.com", n % 30));
    let rows = match number % 10 {
        0..=3 => vec![source, is("eventSource", service), is("eventName", json!(event(0)))],
        4 | 5 => vec![
            source,
            is("eventSource", service),
            is("eventName", json!([event(0), event(1), event(2)])),
        ],
        6 => vec![
            source,
            is("eventName", json!(event(0))),
            json!({"not": is("userIdentity.type", json!("Root")), "missing": "match"}),
        ],
        7 => vec![
            source,
            is("eventName", json!(event(0))),
            json!({"any": [is("errorCode", json!("Success")), {"field": "fields.errorCode", "exists": false}]}),
        ],
        8 => vec![
            source,
            is("eventName", json!(event(3))),
            json!({"field": "fields.userAgent", "contains": ["kali", "parrot", format!("tool{n}")]}),
        ],
        _ => vec![
            source,
            json!({"field": "fields.userIdentity.arn", "ends": format!(":user/evil{n}")}),
            json!({"field": "fields.requestParameters.attribute", "like": "*user*data*"}),
        ],
    };
    json!({"when": rows}).to_string()
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

/// Activities of an app of 400 users.
pub(crate) fn app(numbers: &mut Numbers, rows: usize) -> Batch {
    let mut builder = BatchBuilder::new();
    for row in 0..rows {
        let user = numbers.below(400).min(numbers.below(400));
        let kind = kind(numbers);
        builder.begin_row();
        builder.integer("sequence", row as i64);
        builder.integer("time", 1_790_000_000_000 + row as i64 * 4000);
        builder.text("app", "smartsheet");
        builder.text("kind", kind);
        builder.text("actor", &format!("user{user}@example.com"));
        builder.text("actor.type", if user == 399 { "service" } else { "user" });
        builder.flag("actor.admin", user < 5);
        if numbers.below(3) == 0 {
            builder.text("ip", &format!("203.0.{}.{}", user % 256, numbers.below(4)));
            builder.text("ip.category", if numbers.below(5) == 0 { "other" } else { "corporate" });
            builder.text("country", pick(&["DE", "FR", "US"], numbers.below(3)));
        }
        let object = numbers.below(20_000);
        builder.text("object", &format!("{}", 7_000_000_000_000 + object * 31));
        builder.text("object.kind", if object.is_multiple_of(3) { "report" } else { "sheet" });
        builder.text("object.name", &format!("Plan {object}"));
        if kind == "share" {
            let outside = numbers.below(10) == 0;
            let domain = if outside { "gmail.com" } else { "example.com" };
            builder.text("recipient", &format!("guest{}@{domain}", numbers.below(900)));
            builder.text("recipient.domain", domain);
            builder.flag("recipient.external", outside);
        }
        builder.begin_nested("fields");
        builder.nested_text("fields", "key", "sheetName");
        builder.nested_text("fields", "value", &format!("Plan {object}"));
    }
    builder.finish()
}

/// Policies as people write them for an app: they differ in numbers and names.
pub(crate) fn built_in(number: usize) -> String {
    let app = json!({"field": "app", "is": "smartsheet"});
    let kinds = |kinds: Value| json!({"field": "kind", "in": kinds});
    let rows = match number % 10 {
        0 => vec![app, kinds(json!(["export", "download"]))],
        1 => vec![app, kinds(json!(["share"])), json!({"field": "recipient.external", "is": true})],
        2 => vec![
            app,
            kinds(json!(["delete", "purge"])),
            json!({"field": "actor", "not": format!("svc{number}@example.com"), "missing": "match"}),
        ],
        3 => {
            vec![app, kinds(json!(["publish"])), json!({"field": "object.kind", "is": "dashboard"})]
        }
        4 => vec![
            app,
            kinds(json!(["login"])),
            json!({"field": "country", "not-in": ["DE", "FR"], "missing": "no-match"}),
        ],
        5 => vec![
            app,
            json!({"field": "object.name", "contains": [format!("secret {number}"), "salary"]}),
        ],
        6 => vec![
            app,
            kinds(json!(["share", "send"])),
            json!({"field": "recipient.domain", "in": [format!("rival{number}.com"), "gmail.com"]}),
        ],
        7 => vec![
            app,
            json!({"field": "actor.admin", "is": true}),
            kinds(json!(["admin", "permission"])),
        ],
        8 => vec![
            app,
            kinds(json!(["view", "download"])),
            json!({"field": "object", "is": format!("{}", 7_000_000_000_000_u64 + number as u64 * 31)}),
        ],
        _ => vec![
            app,
            kinds(json!(["edit"])),
            json!({"field": "actor", "starts": format!("user{}", number % 400)}),
            json!({"field": "time", "part": "hour", "in": [22, 23, 0, 1]}),
        ],
    };
    json!({"when": rows}).to_string()
}
