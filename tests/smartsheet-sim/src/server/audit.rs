//! `GET /events`: windows, positions, pages, and what can be wrong with them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casbah_sim::Parameters;
use casbah_sim::random::mix;
use jiff::Timestamp;

use super::answer::Answer;
use crate::fault::{Fault, Faults};
use crate::text::push_text;
use crate::world::World;

const HOUR: i64 = 3_600_000;

/// What happens at the end of a window that was opened with `since` and `to`; of the app it is not
/// known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowEnd {
    /// Continued by position, the stream runs on past `to`.
    RunsOn,
    /// Continued by position, nothing comes behind `to`, however long one asks.
    Stops,
}

/// A place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    at: usize,
    /// Where the window stops, in milliseconds since 1970.
    until: Option<i64>,
}

impl Position {
    /// As an opaque text; two of the same place differ by their salt.
    fn write(self, seed: u64, salt: u32) -> String {
        let key = mix(seed, u64::from(salt));
        let at = (self.at as u64) ^ key;
        let until = (self.until.unwrap_or(i64::MIN) as u64) ^ mix(key, 1);
        let check = mix(mix(at, until), key) as u32;
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&salt.to_le_bytes());
        bytes.extend_from_slice(&check.to_le_bytes());
        bytes.extend_from_slice(&at.to_le_bytes());
        bytes.extend_from_slice(&until.to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read(text: &str, seed: u64) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (salt, rest) = bytes.split_first_chunk::<4>()?;
        let (check, rest) = rest.split_first_chunk::<4>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let (until, rest) = rest.split_first_chunk::<8>()?;
        let key = mix(seed, u64::from(u32::from_le_bytes(*salt)));
        let (at, until) = (u64::from_le_bytes(*at), u64::from_le_bytes(*until));
        if !rest.is_empty() || u32::from_le_bytes(*check) != mix(mix(at, until), key) as u32 {
            return None;
        }
        let until = (until ^ mix(key, 1)) as i64;
        let at = usize::try_from(at ^ key).ok()?;
        Some(Self { at, until: (until != i64::MIN).then_some(until) })
    }
}

/// A request for events that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    from: From,
    max: usize,
    numeric: bool,
    /// The position as it was sent, for a fault that gives it back.
    sent: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Window { since: i64, to: Option<i64> },
    Position(Position),
}

/// How many events a page has at most, before anything else is looked at.
pub(crate) fn max_count(given: &Parameters) -> Result<usize, Answer> {
    let Some(text) = given.get("maxCount") else { return Ok(1000) };
    let number: i64 = text.parse().map_err(|_| not_valid(text, "maxCount"))?;
    match usize::try_from(number) {
        Ok(max @ 1..=10_000) => Ok(max),
        _ => Err(Answer::error(400, 1229, "The value of maxCount must be from 1 to 10000")),
    }
}

impl Ask {
    /// Reads the parameters; `now` is what a `to` in the future counts as.
    pub(crate) fn read(given: &Parameters, seed: u64, now: i64) -> Result<Self, Answer> {
        let numeric = match given.get("numericDates") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(not_valid(other, "numericDates")),
        };
        let max = max_count(given)?;
        let to = given.get("to").map(|text| read_time(text, numeric, "to")).transpose()?;
        let from = match (given.get("since"), given.get("streamPosition")) {
            (Some(_), Some(_)) => {
                return Err(exclusive("since and streamPosition exclude each other"));
            }
            (None, None) => {
                let message = "One of since and streamPosition is required";
                return Err(Answer::error(400, 1228, message));
            }
            (None, Some(_)) if to.is_some() => {
                return Err(exclusive("to goes with since only"));
            }
            (Some(text), None) => {
                let since = read_time(text, numeric, "since")?;
                if to.is_some_and(|to| to < since) {
                    return Err(Answer::error(400, 1018, "to is before since"));
                }
                let to = to.map(|to| nearest_hour(to).min(now));
                From::Window { since: nearest_hour(since), to }
            }
            (None, Some(text)) => {
                let position = Position::read(text, seed);
                From::Position(position.ok_or_else(|| not_valid(text, "streamPosition"))?)
            }
        };
        Ok(Self { from, max, numeric, sent: given.get("streamPosition").map(str::to_owned) })
    }
}

impl Ask {
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    pub(crate) fn positioned(&self) -> bool {
        self.sent.is_some()
    }

    /// Whether it goes on behind everything there is: then it is not a position of this stream.
    pub(crate) fn beyond(&self, released: usize) -> bool {
        matches!(self.from, From::Position(position) if position.at > released)
    }
}

fn exclusive(message: &str) -> Answer {
    Answer::error(400, 1227, message)
}

pub(crate) fn not_valid(value: &str, name: &str) -> Answer {
    let value: String = value.chars().take(80).collect();
    Answer::error(400, 1018, &format!("The value '{value}' is not valid for the parameter {name}."))
}

fn read_time(text: &str, numeric: bool, name: &str) -> Result<i64, Answer> {
    let read = match numeric {
        true => text.parse().ok(),
        false => text.parse::<Timestamp>().ok().map(|time| time.as_millisecond()),
    };
    read.ok_or_else(|| not_valid(text, name))
}

/// The hour that a time is nearest to; half past goes up.
fn nearest_hour(ms: i64) -> i64 {
    (ms + HOUR / 2).div_euclid(HOUR) * HOUR
}

/// Places on a page, and where the stream goes on.
struct Found {
    places: Vec<usize>,
    next: Position,
    more: bool,
}

fn find(world: &World, released: usize, ask: &Ask, max: usize, end: WindowEnd) -> Found {
    match ask.from {
        From::Window { since, to } => {
            let first = world.first_since(since);
            let last = to.map_or(released, |to| world.end_of(to).min(released));
            let until = to.filter(|_| end == WindowEnd::Stops);
            let mut found = scan(world, first.min(last)..last, max, |time| {
                time >= since && to.is_none_or(|to| time < to)
            });
            if end == WindowEnd::RunsOn
                && let Some(to) = to
            {
                // What was left out as too new must come when the stream runs on.
                let range = first.min(last)..found.next.at;
                let skipped = range
                    .into_iter()
                    .find(|&at| world.event_time(at).is_some_and(|time| time >= to));
                found.next.at = skipped.unwrap_or(found.next.at);
            }
            found.next.until = until;
            found
        }
        From::Position(position) => {
            let last = position.until.map_or(released, |to| world.end_of(to).min(released));
            let mut found = scan(world, position.at.min(last)..last, max, |time| {
                position.until.is_none_or(|until| time < until)
            });
            found.next.until = position.until;
            found
        }
    }
}

fn scan(
    world: &World,
    range: std::ops::Range<usize>,
    max: usize,
    wanted: impl Fn(i64) -> bool,
) -> Found {
    let mut places = Vec::with_capacity(max.min(range.len()));
    let mut next = range.start;
    for at in range.clone() {
        if places.len() == max {
            break;
        }
        if world.event_time(at).is_some_and(&wanted) {
            places.push(at);
        }
        next = at + 1;
    }
    let more = (next..range.end).any(|at| world.event_time(at).is_some_and(&wanted));
    Found { places, next: Position { at: next, until: None }, more }
}

/// What faults do to a page, drawn before it is written.
#[derive(Debug, Default)]
pub(crate) struct Twist {
    duplicates: Option<usize>,
    shuffle: Option<u64>,
    empty: bool,
    no_position: bool,
    no_position_more: bool,
    stuck: bool,
    more_as_text: bool,
    salt: u32,
}

impl Twist {
    pub(crate) fn draw(faults: &mut Faults) -> Self {
        let duplicates = faults.draw(Fault::Duplicates).map(|most| most as usize);
        let shuffle = faults.draw(Fault::Disorder).map(|_| faults.random().next());
        Self {
            duplicates,
            shuffle,
            empty: faults.draw(Fault::EmptyPage).is_some(),
            no_position: faults.draw(Fault::NoPosition).is_some(),
            no_position_more: faults.draw(Fault::NoPositionMore).is_some(),
            stuck: faults.draw(Fault::StuckPosition).is_some(),
            more_as_text: faults.draw(Fault::MoreAsText).is_some(),
            salt: faults.random().next() as u32,
        }
    }
}

/// Writes a page; also says how many events are on it.
pub(crate) fn page(
    world: &World,
    released: usize,
    ask: &Ask,
    end: WindowEnd,
    twist: &Twist,
) -> (Answer, usize) {
    let seed = world.company().plan.seed;
    let repeats = twist.duplicates.unwrap_or(0).min(ask.max / 2);
    let mut found = match twist.empty {
        true => Found { more: true, ..find(world, released, ask, 0, end) },
        false => find(world, released, ask, ask.max - repeats, end),
    };
    if let Some(first) = found.places.first().copied() {
        // Again from the pages before this one, and from this one where there is none before.
        let from = first.saturating_sub(ask.max * 3);
        let before =
            |n: usize| from + mix(seed ^ first as u64, n as u64) as usize % (first - from + 1);
        found.places.extend((0..repeats).map(before));
    }
    if let Some(salt) = twist.shuffle {
        found.places.sort_by_key(|&at| mix(salt, at as u64));
    }
    let mut out = String::with_capacity(64 + found.places.len() * 512);
    let more = found.more || twist.stuck;
    out.push_str(match (more, twist.more_as_text) {
        (true, false) => r#"{"moreAvailable":true"#,
        (false, false) => r#"{"moreAvailable":false"#,
        (true, true) => r#"{"moreAvailable":"true""#,
        (false, true) => r#"{"moreAvailable":"false""#,
    });
    let silent = if more { twist.no_position_more } else { twist.no_position };
    if !silent {
        out.push_str(",\"nextStreamPosition\":");
        let position = match (twist.stuck, &ask.sent) {
            (true, Some(sent)) => sent.clone(),
            _ => found.next.write(seed, twist.salt),
        };
        push_text(&mut out, &position);
    }
    out.push_str(",\"data\":[");
    for (n, &at) in found.places.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        world.write_event(&mut out, at, ask.numeric);
    }
    out.push_str("]}");
    (Answer::json(out), found.places.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_back_and_nothing_else_is() {
        for at in [0, 1, 77, 1_000_000] {
            for until in [None, Some(0), Some(1_795_176_000_000)] {
                let position = Position { at, until };
                let text = position.write(7, 99);
                assert_eq!(Position::read(&text, 7), Some(position));
                assert_eq!(Position::read(&text, 8), None, "another world's position was read");
                assert_eq!(Position::read(text.get(1..).unwrap(), 7), None);
                assert_ne!(text, position.write(7, 100), "positions are opaque");
            }
        }
    }

    #[test]
    fn times_go_to_the_nearest_hour() {
        assert_eq!(nearest_hour(10 * HOUR + 29 * 60_000), 10 * HOUR);
        assert_eq!(nearest_hour(10 * HOUR + 30 * 60_000), 11 * HOUR);
        assert_eq!(nearest_hour(10 * HOUR), 10 * HOUR);
    }
}
