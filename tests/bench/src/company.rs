//! The made-up company that works with all three apps, as the apps' answers: four weeks, in the order
//! in which a casbah that is up to date would fetch them.
//!
//! It is not a server: what the network costs is not measured here.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use casbah_model::adapter::{PlanRequest, Response};
use netdocuments_sim::{Form, Log, Shape};
use smartsheet_sim::Plan;
use smartsheet_sim::text::time;

const DAY: i64 = 86_400_000;
/// Length of the history.
const DAYS: u32 = 28;
/// Activities of Smartsheet, and of NetDocuments; sign-ins are as many as people make.
const EVENTS: usize = 150_000;
/// People with an account.
const PEOPLE: usize = 400;
/// Events on a page of Smartsheet's.
const SMARTSHEET_PAGE: usize = 10_000;
/// Sign-ins on a page of Graph's.
const ENTRA_PAGE: usize = 1_000;

/// Offices by time zone from west to east, and networks of those who work at home: places that the
/// demo's database knows.
const OFFICES: [&str; 6] =
    ["192.0.2.1", "192.0.2.17", "192.0.2.33", "192.0.2.49", "192.0.2.65", "192.0.2.81"];
const HOMES: [&str; 6] = [
    "2001:db8:1::/48",
    "2001:db8:2::/48",
    "198.51.100.0/26",
    "198.51.100.64/26",
    "2001:db8:5::/48",
    "2001:db8:6::/48",
];

/// An answer of an app.
pub(crate) struct Answer {
    /// Name of the adapter, and of the connection.
    pub(crate) app: &'static str,
    /// Time of its last activity, ms since 1970.
    pub(crate) until: i64,
    pub(crate) response: Response,
}

/// What the apps say of four weeks.
pub(crate) struct Apps {
    /// By time.
    pub(crate) answers: Vec<Answer>,
    /// Activities in all of them.
    pub(crate) events: usize,
    /// When the history ends, ms since 1970.
    pub(crate) end: i64,
    /// The directory, as a file.
    pub(crate) people: String,
}

impl Apps {
    pub(crate) fn new() -> Result<Self> {
        let plan = Plan {
            users: PEOPLE,
            days: DAYS,
            events: EVENTS,
            offices: OFFICES.map(str::to_owned).into(),
            homes: HOMES.map(str::to_owned).into(),
            ..Plan::default()
        };
        let end = plan.end;
        let mut apps = Self { answers: Vec::new(), events: 0, end, people: String::new() };
        let entra = entra_sim::World::new(&entra_sim::Plan::of(plan.clone()))?;
        apps.entra(&entra);
        drop(entra);
        apps.netdocuments(&netdocuments_sim::World::new(&netdocuments_sim::Plan {
            company: plan.clone(),
            ..netdocuments_sim::Plan::default()
        }));
        apps.smartsheet(&smartsheet_sim::World::new(&plan))?;
        apps.answers.sort_by_key(|answer| answer.until);
        Ok(apps)
    }

    fn add(&mut self, app: &'static str, until: i64, request: PlanRequest, body: String) {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let response = Response { request, status: 200, headers, body: body.into_bytes() };
        self.answers.push(Answer { app, until, response });
    }

    fn smartsheet(&mut self, world: &smartsheet_sim::World) -> Result<()> {
        for start in (0..world.len()).step_by(SMARTSHEET_PAGE) {
            let end = (start + SMARTSHEET_PAGE).min(world.len());
            let mut body = String::from("{\"data\":[");
            for at in start..end {
                if at > start {
                    body.push(',');
                }
                world.write_event(&mut body, at, false);
            }
            let more = end < world.len();
            write!(body, "],\"moreAvailable\":{more},\"nextStreamPosition\":\"p{end}\"}}")?;
            let request = request("activities", "{\"position\":\"p0\"}".to_owned(), "{}", self.end);
            let until = world.event_time(end - 1).context("an event without a time")?;
            self.add("smartsheet", until, request, body);
        }
        self.events += world.len();
        self.people = "email,state,since,groups\n".to_owned();
        let start = self.end - i64::from(DAYS) * DAY;
        for (at, user) in world.company().users.iter().enumerate() {
            // A year ago; one of fifty will leave, and that has been known since half-way.
            let (state, since) = match at % 50 {
                7 => ("leaving", self.end - i64::from(DAYS) * DAY / 2),
                _ => ("active", start - 365 * DAY),
            };
            let since = time(since);
            writeln!(self.people, "{},{state},{since},{:?}", user.email.to_lowercase(), user.role)?;
        }
        Ok(())
    }

    fn netdocuments(&mut self, world: &netdocuments_sim::World) {
        let times: Vec<i64> = world.records().map(|record| record.time).collect();
        let time = |at: u32| times.get(at as usize).copied().unwrap_or(0);
        let settings = format!("{{\"repository\":\"{}\"}}", world.repository());
        for (log, stream) in [(Log::Consolidated, "activities"), (Log::Admin, "administration")] {
            let all = world.all(log);
            self.events += all.len();
            for day in all.chunk_by(|&a, &b| time(a).div_euclid(DAY) == time(b).div_euclid(DAY)) {
                let (Some(&first), Some(&last)) = (day.first(), day.last()) else { continue };
                let mut body = String::from("\u{feff}[");
                for (n, &at) in day.iter().enumerate() {
                    body.push_str(if n > 0 { "," } else { "" });
                    world.write(&mut body, at, Form::Json, Shape::Array);
                }
                body.push(']');
                let start = time(first).div_euclid(DAY) * DAY;
                let cursor = format!("{{\"at\":{start},\"window\":86400,\"seen\":true}}");
                let request = PlanRequest {
                    // The host's page size, against the longest window.
                    page_size: 604_800,
                    ..request(stream, cursor, &settings, self.end)
                };
                self.add("netdocuments", time(last), request, body);
            }
        }
    }

    fn entra(&mut self, world: &entra_sim::World) {
        const FIELD: &str = "createdDateTime";
        let all: Vec<(i64, String)> = (0..world.sign_ins())
            .filter_map(|at| world.sign_in(at, true))
            .filter_map(|sign_in| {
                let when = casbah_model::time::parse(sign_in.get(FIELD)?.as_str()?)?;
                Some((when, sign_in.to_string()))
            })
            .collect();
        self.events += all.len();
        for day in all.chunk_by(|a, b| a.0.div_euclid(DAY) == b.0.div_euclid(DAY)) {
            for page in day.chunks(ENTRA_PAGE) {
                let Some((until, _)) = page.last() else { continue };
                let records: Vec<&str> = page.iter().map(|(_, record)| record.as_str()).collect();
                let body = format!("{{\"value\":[{}]}}", records.join(","));
                let cursor = format!("{{\"at\":{}}}", until.div_euclid(DAY) * DAY);
                let settings = "{\"tenant\":\"northwind.example\"}";
                let request = request("sign-ins", cursor, settings, self.end);
                self.add("entra", *until, request, body);
            }
        }
    }
}

fn request(stream: &str, cursor: String, settings: &str, end: i64) -> PlanRequest {
    PlanRequest {
        stream: stream.to_owned(),
        cursor: Some(cursor),
        settings: settings.to_owned(),
        now: end,
        since: end - i64::from(DAYS) * DAY,
        page_size: 10_000,
        ..PlanRequest::default()
    }
}
