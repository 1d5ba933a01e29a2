//! Measures the store on made-up activities of a made-up company: bytes an activity, commits,
//! opening, memory. Run it with `cargo run --release -p casbah-store --example measure`.
//!
//! It is not a benchmark of the whole road; that is in `tests/bench`.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program to be read by its author")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use casbah_model::{BatchBuilder, TenantName};
use casbah_store::{Commit, NewBlock, Options, Records, Store, Table, open};

/// Splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Mostly small.
    fn skewed(&mut self, limit: u64) -> u64 {
        let x = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((x * x * x) * limit as f64) as u64
    }

    fn base64(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        (0..length)
            .filter_map(|_| ALPHABET.get(self.below(64) as usize).map(|&byte| byte as char))
            .collect()
    }
}

const EVENTS: &[(&str, &str, &str, u64)] = &[
    ("SHEET", "LOAD", "view", 300),
    ("SHEET", "UPDATE", "edit", 200),
    ("SHEET", "CREATE", "create", 20),
    ("SHEET", "EXPORT", "export", 20),
    ("SHEET", "ADD_SHARE", "share", 30),
    ("SHEET", "SEND_ROW", "send", 20),
    ("REPORT", "LOAD", "view", 80),
    ("DASHBOARD", "LOAD", "view", 90),
    ("ATTACHMENT", "CREATE", "upload", 40),
    ("ATTACHMENT", "LOAD", "download", 50),
    ("DISCUSSION", "CREATE", "create", 40),
    ("USER", "UPDATE_USER", "user-change", 5),
    ("WORKSPACE", "ADD_SHARE", "share", 10),
    ("FOLDER", "CREATE", "create", 8),
    ("ACCESS_TOKEN", "AUTHORIZE", "token", 3),
];

const SOURCES: &[(&str, &str, u64)] = &[
    ("WEB_APP", "web", 80),
    ("MOBILE_IOS", "mobile", 6),
    ("MOBILE_ANDROID", "mobile", 4),
    ("API_UNDEFINED_APP", "api", 5),
    ("API_INTEGRATED_APP", "integration", 5),
];

struct World {
    random: Random,
    users: Vec<(u64, String, String)>,
    objects: Vec<u64>,
    time: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let users = (0..400)
            .map(|number| {
                let name = random.base64(7).to_lowercase().replace(['-', '_'], "a");
                let ip = format!("203.0.{}.{}", random.below(4), random.below(250));
                (random.below(1 << 53), format!("{name}.{number}@example.com"), ip)
            })
            .collect();
        let objects = (0..6_000).map(|_| random.below(9 << 50)).collect();
        Self { random, users, objects, time: 1_780_000_000_000 }
    }

    fn block(&mut self, rows: usize) -> NewBlock {
        let mut builder = BatchBuilder::new();
        let (mut raw, mut marks) = (Records::new(), Vec::with_capacity(rows));
        let min_time = self.time;
        for _ in 0..rows {
            self.row(&mut builder, &mut raw);
            marks.push(self.random.next());
        }
        let batch = Arc::new(builder.finish());
        NewBlock { batch, raw, marks, min_time, max_time: self.time }
    }

    fn row(&mut self, builder: &mut BatchBuilder, raw: &mut Records) {
        let total: u64 = EVENTS.iter().map(|event| event.3).sum();
        let mut pick = self.random.below(total);
        let event = EVENTS
            .iter()
            .find(|event| {
                let found = pick < event.3;
                pick = pick.saturating_sub(event.3);
                found
            })
            .unwrap();
        let mut pick = self.random.below(100);
        let source = SOURCES
            .iter()
            .find(|source| {
                let found = pick < source.2;
                pick = pick.saturating_sub(source.2);
                found
            })
            .unwrap();
        let user = self.users.get(self.random.skewed(400) as usize).unwrap().clone();
        let object = *self.objects.get(self.random.skewed(6_000) as usize).unwrap();
        let id = format!("2.1.{}", self.random.base64(43));
        self.time += self.random.below(7_000) as i64;
        let seconds = self.time / 1_000;
        let time = seconds * 1_000;
        let stamp = stamp(seconds);
        let (object_id, user_id) = (object.to_string(), user.0.to_string());
        builder.begin_row();
        builder.text("id", &id);
        builder.integer("time", time);
        builder.text("kind", event.2);
        builder.text("action", &format!("{}.{}", event.0, event.1));
        builder.text("source", source.0);
        builder.text("client", source.1);
        builder.text("object", &object_id);
        builder.text("object.kind", &event.0.to_lowercase());
        builder.begin_nested("objects");
        builder.nested_text("objects", "role", "object");
        builder.nested_text("objects", "kind", &event.0.to_lowercase());
        builder.nested_text("objects", "id", &object_id);
        let mut details = format!("\"emailAddress\":\"{}\"", user.1);
        let mut field = |key: &str, value: String, builder: &mut BatchBuilder, quoted: bool| {
            let quote = if quoted { "\"" } else { "" };
            details.push_str(&format!(",\"{key}\":{quote}{value}{quote}"));
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            builder.nested_text("fields", "value", &value);
        };
        match (event.0, event.1) {
            ("ATTACHMENT", _) | ("DISCUSSION", _) => {
                let sheet = self.objects.get(self.random.skewed(6_000) as usize).unwrap();
                field("sheetId", sheet.to_string(), builder, false);
                field("attachmentName", format!("{}.pdf", self.random.base64(8)), builder, true);
            }
            (_, "ADD_SHARE") => {
                let other = self.users.get(self.random.below(400) as usize).unwrap();
                field("accessLevel", "EDITOR_SHARE".to_owned(), builder, true);
                builder.text("recipient.id", &other.0.to_string());
                field("userId", other.0.to_string(), builder, false);
            }
            (_, "EXPORT") => field("formatType", "EXCEL".to_owned(), builder, true),
            _ => {}
        }
        builder.text("actor", &user.1);
        builder.text("actor.id", &user_id);
        builder.text("actor.email", &user.1);
        builder.text("actor.type", "user");
        builder.text("ip", &user.2);
        builder.text("result", "success");
        builder.integer("received", 1_790_000_000_000 + (self.time / 1_000_000));
        builder.text("app", "smartsheet");
        builder.text("connection", "acme");
        details.push_str(&format!(",\"sourceIpAddress\":\"{}\"", user.2));
        raw.push(
            format!(
                "{{\"eventId\":\"{id}\",\"objectType\":\"{}\",\"action\":\"{}\",\"objectId\":{object_id},\"objectIdStr\":\"{object_id}\",\"eventTimestamp\":\"{stamp}\",\"userId\":{user_id},\"requestUserId\":{user_id},\"source\":\"{}\",\"additionalDetails\":{{{details}}}}}",
                event.0, event.1, source.0
            )
            .as_bytes(),
        );
    }
}

fn stamp(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let doe = days.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let of_day = seconds.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60
    )
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn folder_bytes(path: &std::path::Path) -> u64 {
    std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Kilobytes.
fn peak_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn main() {
    let tenant: TenantName = "default".parse().unwrap();
    let level = std::env::args().nth(1).map_or(1, |level| level.parse().unwrap());
    for (block_rows, rows) in
        [(10_000, 1_000_000), (10_000, 150_000), (1_000, 150_000), (100, 60_000), (10, 30_000)]
    {
        let dir = tempfile::tempdir_in(".").unwrap();
        let mut options = Options::default();
        options.compression = level;
        let store = open(dir.path(), options.clone(), &|_| {}).unwrap();
        let mut world = World::new(7);
        let mut spent = Duration::ZERO;
        let mut raw_bytes = 0;
        for number in 0..rows / block_rows {
            let block = world.block(block_rows);
            raw_bytes += block.raw.bytes().len();
            let begun = Instant::now();
            let cursor = format!("position {number}");
            let commit = Commit::new().append(block).put(Table::Cursor, "acme", cursor);
            store.commit(&tenant, commit).unwrap();
            spent += begun.elapsed();
        }
        let blocks = store.blocks(&tenant);
        let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
        let begun = Instant::now();
        for block in blocks.iter().take(20) {
            store.raw(&tenant, block).unwrap();
        }
        let (merged, merged_rows) = blocks
            .iter()
            .filter(|block| block.rows as usize > block_rows)
            .fold((0, 0), |(bytes, rows), block| (bytes + block.bytes, rows + block.rows));
        if merged_rows > 0 {
            println!(
                "  {merged_rows} rows were merged: {:.1} B a row",
                merged as f64 / f64::from(merged_rows)
            );
        }
        let raw_rows: u32 = blocks.iter().take(20).map(|block| block.rows).sum();
        let raw_time = begun.elapsed();
        store.close().unwrap();
        println!(
            "{rows} rows in blocks of {block_rows}: raw {:.0} B, log {:.1} B, folder {:.1} B a row; commit {:.2} us a row, {:.0} rows/s; raw back {:.2} us a row",
            raw_bytes as f64 / rows as f64,
            bytes as f64 / rows as f64,
            folder_bytes(dir.path()) as f64 / rows as f64,
            spent.as_secs_f64() * 1e6 / rows as f64,
            rows as f64 / spent.as_secs_f64(),
            raw_time.as_secs_f64() * 1e6 / f64::from(raw_rows),
        );
        drop(store);
        // sled's lock outlives its last handle by a moment.
        std::thread::sleep(Duration::from_millis(300));
        let begun = Instant::now();
        let store = open(dir.path(), options, &|_| {}).unwrap();
        let opened = begun.elapsed();
        let stats = store.stats();
        let marks: Vec<u64> = (0..10_000).map(|_| world.random.next()).collect();
        let begun = Instant::now();
        let seen = store.seen(&tenant, &marks).iter().filter(|&&seen| seen).count();
        println!(
            "  open {:.1} ms; {} marks in {} bytes of memory, {:.3} us to look one up ({seen} found); most memory so far {} MB",
            ms(opened),
            stats.seen_marks,
            stats.seen_bytes,
            begun.elapsed().as_secs_f64() * 1e6 / marks.len() as f64,
            peak_memory() / 1_000,
        );
    }
}
