//! Takes an activity into what is remembered of a person, and finds the places that nobody can have
//! come from in that time.
//!
//! All pairs of places within the time are looked at, not only neighbours, and stays only grow: one
//! more activity, however late, can only add pairs. Whether a pair is kept quiet about is decided by
//! what is older than it by more than the lateness. So the order of arrival makes no difference.

use casbah_model::Evidence;
use casbah_when::duration::DAY;
use casbah_when::settings::window;

use crate::geo;
use crate::place::Place;
use crate::settings::{Policy, Sensitivity};
use crate::state::{Known, MOST_STAYS, Stay, Traveller};

/// Longest word of a place that is remembered, characters.
const LONGEST_WORD: usize = 32;

/// A pair of activities too far apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pair {
    /// Start of the alert's window.
    pub(crate) start: i64,
    /// The end that is new to the organization, which the alert is about rather than about the person.
    pub(crate) about: Option<Place>,
    /// Where the other activity was, and which it is.
    pub(crate) other: Place,
    pub(crate) words: [String; 3],
    pub(crate) mark: Evidence,
    /// Whether this alert has named an activity of that stay before.
    pub(crate) told: bool,
    /// Distance with both radii taken off, km, and time in between, ms.
    pub(crate) km: f64,
    pub(crate) ms: i64,
    /// When the person was first seen, ms.
    pub(crate) since: i64,
}

impl Pair {
    /// Names the alert among those of the person: its window, and what it is about.
    fn alert(&self) -> (i64, u64) {
        (self.start, self.about.map_or(0, |place| place.about()))
    }

    /// Speed that it takes, km/h; endless when it was at the same time.
    pub(crate) fn speed(&self) -> f64 {
        self.km * 3_600_000.0 / self.ms as f64
    }
}

/// Takes an activity in, and returns the pairs that it completes: the fastest of each alert.
pub(crate) fn sight(
    policy: &Policy,
    person: &mut Traveller<'_>,
    place: Place,
    mark: Evidence,
    words: [&str; 3],
) -> Vec<Pair> {
    let late =
        person.times.is_some_and(|(_, newest)| mark.time < newest.saturating_sub(policy.lateness));
    person.times = Some(match person.times {
        None => (mark.time, mark.time),
        Some((first, newest)) => (first.min(mark.time), newest.max(mark.time)),
    });
    person.learn(&place, mark.time.div_euclid(DAY), policy.common_days);
    if late {
        return Vec::new();
    }
    let span = mark.time.div_euclid(policy.span);
    let Some(before) = stay(person, place, span, mark) else { return Vec::new() };
    let newest = person.stays.iter().filter(|stay| stay.place == place).map(|stay| stay.last.time);
    if newest.max().is_none_or(|newest| mark.time >= newest) {
        describe(person, place, words);
    }
    if person.stays.len() > MOST_STAYS {
        forget(policy, person);
    }
    if person.places.len() < 2 {
        return Vec::new();
    }
    let pairs = pairs(policy, person, place, span, mark, before);
    for pair in &pairs {
        let named = person.stays.iter_mut().filter(|stay| {
            (stay.place == place && stay.span == span)
                || (stay.place == pair.other && holds(stay, pair.mark))
        });
        named.for_each(|stay| stay.tell(pair.alert()));
    }
    pairs
}

/// Forgets what can make no pair any more.
pub(crate) fn forget(policy: &Policy, person: &mut Traveller<'_>) {
    let Some((_, newest)) = person.times else { return };
    let cut = newest.saturating_sub(policy.lateness);
    person.forget(cut, cut.saturating_sub(policy.within));
}

/// First and last time of a stay before it grew.
type Before = Option<(i64, i64)>;

/// Lets a stay begin or grow. `None` where it neither began nor grew, so that there is nothing new.
fn stay(person: &mut Traveller<'_>, place: Place, span: i64, mark: Evidence) -> Option<Before> {
    let found = person.stays.binary_search_by(|stay| (stay.span, stay.place).cmp(&(span, place)));
    match found {
        Err(at) => {
            person
                .stays
                .insert(at, Stay { place, span, first: mark, last: mark, told: Vec::new() });
            Some(None)
        }
        Ok(at) => {
            let stay = person.stays.get_mut(at)?;
            let before = (stay.first.time, stay.last.time);
            if mark.time < before.0 {
                stay.first = mark;
            } else if mark.time > before.1 {
                stay.last = mark;
            } else {
                return None;
            }
            Some(Some(before))
        }
    }
}

/// Keeps the words of a place.
fn describe(person: &mut Traveller<'_>, place: Place, words: [&str; 3]) {
    let at = person.places.binary_search_by_key(&place, |known| known.place);
    if let Ok(at) = at
        && let Some(known) = person.places.get_mut(at)
    {
        if known.words != words {
            known.words = words.map(|word| shortened(word).into());
        }
    } else if let Err(at) = at {
        let words = words.map(|word| shortened(word).into());
        person.places.insert(at, Known { place, words });
    }
}

/// A word as it is remembered.
pub(crate) fn shortened(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(LONGEST_WORD).collect()
}

/// Time between two stays, ms; 0 where they overlap.
fn gap(first: i64, last: i64, other: &Stay) -> i64 {
    let before = other.first.time.saturating_sub(last);
    before.max(first.saturating_sub(other.last.time)).max(0)
}

fn holds(stay: &Stay, mark: Evidence) -> bool {
    stay.first == mark || stay.last == mark
}

fn pairs(
    policy: &Policy,
    person: &Traveller<'_>,
    place: Place,
    span: i64,
    mark: Evidence,
    before: Before,
) -> Vec<Pair> {
    let Some((since, _)) = person.times else { return Vec::new() };
    let mine = person.stays.iter().find(|stay| stay.span == span && stay.place == place);
    let Some((first, last)) = mine.map(|stay| (stay.first.time, stay.last.time)) else {
        return Vec::new();
    };
    let mut found: Vec<Pair> = Vec::new();
    for other in person.places.iter().filter(|known| known.place.country != place.country) {
        let km = place.distance(&other.place);
        if km < policy.distance || geo::near(place.country, other.place.country) {
            continue;
        }
        for stay in person.stays.iter().filter(|stay| stay.place == other.place) {
            if !policy.is_impossible(km, gap(first, last, stay))
                || before.is_some_and(|(a, b)| policy.is_impossible(km, gap(a, b, stay)))
            {
                continue;
            }
            let begin = span.max(stay.span).saturating_mul(policy.span);
            if since > begin.saturating_sub(policy.learn)
                || is_quiet(policy, person, &place, &stay.place, begin)
            {
                continue;
            }
            let ago = |other: Evidence| other.time.saturating_sub(mark.time).saturating_abs();
            let nearest = if ago(stay.first) < ago(stay.last) { stay.first } else { stay.last };
            let mut pair = Pair {
                start: window(begin, policy.quiet),
                about: new_end(policy, person, [(&place, span), (&stay.place, stay.span)], begin),
                other: stay.place,
                words: other.words.each_ref().map(|word| word.as_ref().to_owned()),
                mark: nearest,
                told: false,
                km,
                ms: ago(nearest),
                since,
            };
            pair.told = stay.told.contains(&pair.alert());
            match found.iter_mut().find(|known| known.alert() == pair.alert()) {
                Some(known) if pair.speed() > known.speed() => *known = pair,
                Some(_) => {}
                None => found.push(pair),
            }
        }
    }
    found
}

/// Whether the policy keeps quiet about two places, as of what was known for sure when the later of
/// the two began: nothing where one end is neither trusted nor common.
fn is_quiet(policy: &Policy, person: &Traveller<'_>, a: &Place, b: &Place, begin: i64) -> bool {
    if policy.sensitivity == Sensitivity::High {
        return false;
    }
    is_known(policy, person, a, begin) && is_known(policy, person, b, begin)
}

/// Whether a place is trusted or common, as of what was known for sure at a time.
fn is_known(policy: &Policy, person: &Traveller<'_>, place: &Place, begin: i64) -> bool {
    let horizon = begin.saturating_sub(policy.lateness).div_euclid(DAY);
    place.trusted || place.shared || person.is_used_to(place, horizon, policy.common_days)
}

/// The end that is new to the organization and strange to the person, the later one if both are.
fn new_end(
    policy: &Policy,
    person: &Traveller<'_>,
    ends: [(&Place, i64); 2],
    begin: i64,
) -> Option<Place> {
    let is_new =
        |(place, _): &&(&Place, i64)| place.new_to_all && !is_known(policy, person, place, begin);
    let newest = ends.iter().filter(is_new).max_by_key(|&&(place, span)| (span, place));
    newest.map(|&(place, _)| *place)
}
