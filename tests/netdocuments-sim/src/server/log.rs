//! The two logs: what is asked for, what is refused, and which records come.

use std::sync::Arc;

use casbah_sim::Parameters;

use super::answer::{Answer, LogText};
use crate::activity::Log;
use crate::fault::{Fault, Faults};
use crate::history::DAY;
use crate::render::{Form, Shape};
use crate::world::World;

/// How long the app keeps its logs.
const RETENTION: i64 = 90 * DAY;
/// What comes when nobody says from when on.
const DEFAULT: i64 = 30 * DAY;

/// What is asked of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) log: Log,
    pub(crate) form: Form,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

impl Ask {
    /// Reads the query of the first version. A name that is not known is not heeded.
    pub(crate) fn first(given: &Parameters, now: i64) -> Result<Self, Answer> {
        let form = match given.get("format") {
            None | Some("json") => Form::Json,
            Some("xml") => Form::Xml,
            Some(other) => {
                return Err(bad(&format!("The format {other} is not known."), Form::Json));
            }
        };
        let log = kind(given.get("Logtype").unwrap_or("consolidated"), form)?;
        let from = match given.get("start") {
            Some(text) => time(text, form)?,
            None => now - DEFAULT,
        };
        let to = match given.get("end") {
            Some(text) => time(text, form)?,
            None => now,
        };
        Self { log, form, from, to }.checked(now)
    }

    /// Reads the path and the query of the second version.
    pub(crate) fn second(log: &str, given: &Parameters, now: i64) -> Result<Self, Answer> {
        let form = Form::Json;
        let log = kind(log, form)?;
        let (Some(from), Some(to)) = (given.get("startDate"), given.get("endDate")) else {
            return Err(bad("startDate and endDate are required.", form));
        };
        Self { log, form, from: time(from, form)?, to: time(to, form)? }.checked(now)
    }

    /// Within the last 90 days, not beyond today, and not backwards.
    fn checked(self, now: i64) -> Result<Self, Answer> {
        // Today is whole: the end of the day that it is now, wherever the clock stands.
        let today = now.div_euclid(DAY) * DAY + DAY;
        if self.from < now - RETENTION {
            return Err(bad("The start date must be within the last 90 days.", self.form));
        }
        if self.to > today || self.to < self.from || self.to - self.from > RETENTION {
            return Err(bad("The end date is not valid.", self.form));
        }
        Ok(self)
    }
}

fn bad(message: &str, form: Form) -> Answer {
    Answer::error(400, "BadRequest", message, form)
}

fn kind(text: &str, form: Form) -> Result<Log, Answer> {
    match text.to_ascii_lowercase().as_str() {
        "consolidated" => Ok(Log::Consolidated),
        "admin" => Ok(Log::Admin),
        other => Err(bad(&format!("There is no log {other}."), form)),
    }
}

/// A day, or a time in UTC.
fn time(text: &str, form: Form) -> Result<i64, Answer> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let read: Result<jiff::Timestamp, _> = whole.parse();
    read.map(|time| time.as_millisecond()).map_err(|_| bad("A date can't be read.", form))
}

/// What faults make of an answer.
pub(crate) struct Twist {
    wide: i64,
    ignored: bool,
    disorder: Option<u64>,
    pub(crate) form: Option<Form>,
    shape: Shape,
    pub(crate) no_content: bool,
}

impl Twist {
    pub(crate) fn draw(faults: &mut Faults) -> Self {
        let wide = faults.draw(Fault::Wide).unwrap_or(0);
        let disorder = faults.draw(Fault::Disorder).map(|_| faults.random().next());
        let shape = match faults.draw(Fault::Wrappings).map(|_| faults.random().below(2)) {
            Some(0) => Shape::Bare,
            Some(_) => Shape::Wrapped,
            None => Shape::Array,
        };
        Self {
            wide: i64::try_from(wide).unwrap_or(0).saturating_mul(60_000),
            ignored: faults.draw(Fault::WindowIgnored).is_some(),
            disorder,
            form: faults.draw(Fault::Xml).map(|_| Form::Xml),
            shape,
            no_content: faults.draw(Fault::NoContent).is_some(),
        }
    }
}

/// The records that come, in their order.
pub(crate) fn places(world: &World, ask: &Ask, twist: &Twist, now: i64, known: i64) -> Vec<u32> {
    let (from, to) = match twist.ignored {
        true => (now - DEFAULT, now),
        false => (ask.from.saturating_sub(twist.wide), ask.to.saturating_add(twist.wide)),
    };
    let mut places = world.window(ask.log, from.max(now - RETENTION), to, known);
    if let Some(seed) = twist.disorder {
        places.sort_by_key(|&at| casbah_sim::random::mix(seed, u64::from(at)));
    }
    places
}

/// The answer of a log.
pub(crate) fn answer(world: &Arc<World>, ask: &Ask, twist: &Twist, places: Vec<u32>) -> Answer {
    if places.is_empty() && twist.no_content {
        return Answer::nothing();
    }
    let form = twist.form.unwrap_or(ask.form);
    Answer::log(LogText::new(Arc::clone(world), places, form, twist.shape))
}
