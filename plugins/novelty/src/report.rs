//! Tells people what was found: a sentence, and the numbers behind it.

use casbah_model::Batch;
use casbah_plugin::crowd::Crowd;
use casbah_plugin::time;
use casbah_when::duration::DAY;
use casbah_when::{Cells, Plan, Source, words};

use crate::judge::{Facts, Verdict};
use crate::settings::{Mode, Policy};

/// How many people are named in a sentence,
const TOLD: usize = 5;
/// and in the details.
const NAMED: usize = 50;

/// What a finding is told from.
pub(crate) struct Told<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) policy: &'a Policy,
    pub(crate) batch: &'a Batch,
    pub(crate) rows: &'a [u32],
    /// A row with the value that is new.
    pub(crate) value: Option<u32>,
    pub(crate) verdict: &'a Verdict,
    /// Where it is new for all: the rows of everybody.
    pub(crate) together: Option<Among<'a>>,
}

/// Those who use what is new for all.
pub(crate) struct Among<'a> {
    /// Their rows, by time.
    pub(crate) rows: &'a [u32],
    /// A row of each person of the batch.
    pub(crate) people: &'a [u32],
    /// The people who ever used it.
    pub(crate) crowd: &'a Crowd,
}

/// The values of some columns in a row, as one text.
pub(crate) fn value(batch: &Batch, cells: &[Cells<'_>], row: usize) -> String {
    let texts: Vec<String> = cells.iter().map(|cells| cells.cell(batch, row).text(batch)).collect();
    texts.join(" ")
}

/// A day as people write it.
fn date(day: i64) -> String {
    let text = time::format(day.saturating_mul(DAY));
    text.get(..10).unwrap_or(&text).to_owned()
}

/// `1 day`, `2 days`.
fn days(number: u64) -> String {
    format!("{number} {}", if number == 1 { "day" } else { "days" })
}

/// A number that is not told apart from larger ones.
fn at_most_known(number: u64) -> String {
    if number >= Crowd::KEPT as u64 { format!("at least {number}") } else { number.to_string() }
}

impl Told<'_> {
    fn texts(&self, sources: &[Source], row: usize) -> String {
        let cells: Vec<_> = sources.iter().map(|&s| self.plan.cells(s, self.batch)).collect();
        words::cut(&value(self.batch, &cells, row))
    }

    fn row(&self) -> usize {
        self.rows.first().copied().unwrap_or(0) as usize
    }

    /// Who, or what, it is about.
    fn who(&self) -> String {
        self.texts(&self.policy.keys, self.row())
    }

    /// The column and the value that is new.
    fn observed(&self) -> (String, String) {
        let Mode::FirstSeen { value, .. } = &self.policy.mode else {
            return (String::new(), self.who());
        };
        let names: Vec<_> = value.iter().map(|&source| self.plan.name(source)).collect();
        let row = self.value.map_or(self.row(), |row| row as usize);
        (names.join(" and "), self.texts(value, row))
    }

    /// One sentence.
    pub(crate) fn summary(&self) -> String {
        let who = self.who();
        match &self.verdict.facts {
            Facts::Value { days: active, since, others, people, last, .. } => {
                let (column, value) = self.observed();
                if let Some(among) = &self.together {
                    return format!(
                        "{} `{value}` is new for {}: nobody of {people} people used it before {}; since then {who}, {}{}; learned from {} since {}",
                        words::capital(&column),
                        self.everybody(),
                        date(among.crowd.first().unwrap_or(*since)),
                        self.usually(),
                        self.others(among),
                        days(*active),
                        date(*since),
                    );
                }
                let again = last.map_or(String::new(), |last| format!(" since {}", date(last)));
                format!(
                    "{} `{value}` is new for {who}{again}, {}, and {} of {} others used it before; learned from {} since {}",
                    words::capital(&column),
                    self.usually(),
                    at_most_known(*others),
                    people.saturating_sub(1),
                    days(*active),
                    date(*since),
                )
            }
            Facts::First { known, began, days: span, since, last } => {
                let span = days(span.unsigned_abs());
                let again = last.map_or(String::new(), |last| format!(" since {}", date(last)));
                if matches!(self.policy.mode, Mode::FirstTime { of_organization: true }) {
                    return format!(
                        "`{who}` is new to the organization{again}: {known} were known, {began} of them new in {span}; learned since {}",
                        date(*since)
                    );
                }
                format!(
                    "{who} {} for the first time{again}: {known} others did such things before, {began} of them for the first time in {span}; learned since {}",
                    words::verbs(self.batch, self.rows),
                    date(*since)
                )
            }
            Facts::Silence { last, days: silent, usual } => format!(
                "{who} {} after {} of silence, since {}{}",
                words::verbs(self.batch, self.rows),
                days(silent.unsigned_abs()),
                date(*last),
                if *usual > 0.0 { format!("; usually {usual:.1} days") } else { String::new() }
            ),
        }
    }

    /// Those for whom it is new.
    fn everybody(&self) -> String {
        if self.policy.population.is_empty() {
            return "the whole organization".to_owned();
        }
        format!("everybody in `{}`", self.texts(&self.policy.population, self.row()))
    }

    /// Names of people, but for one that is told already.
    fn people(&self, rows: &[u32], except: &str) -> Vec<String> {
        let name = |&row: &u32| self.texts(&self.policy.keys, row as usize);
        rows.iter().map(name).filter(|name| name != except).collect()
    }

    /// `, and 12 others, such as bo@example.com`
    fn others(&self, among: &Among<'_>) -> String {
        let people = self.people(among.people, &self.who());
        let all = among.crowd.before(i64::MAX);
        let least = if all >= Crowd::KEPT { "at least " } else { "" };
        let number = all.saturating_sub(1).max(people.len());
        if number == 0 {
            return String::new();
        }
        let others = if number == 1 { "other" } else { "others" };
        let named: Vec<&str> = people.iter().take(TOLD).map(String::as_str).collect();
        let named = match (named.is_empty(), named.len() == number) {
            (true, _) => String::new(),
            (_, true) => format!(": {}", named.join(", ")),
            _ => format!(", such as {}", named.join(", ")),
        };
        format!(", and {least}{number} {others}{named}")
    }

    /// What somebody uses otherwise.
    fn usually(&self) -> String {
        let Facts::Value { values, usual, .. } = &self.verdict.facts else { return String::new() };
        if usual.is_empty() {
            return match values {
                1 => "who usually uses one other".to_owned(),
                number => format!("who usually uses {number} others"),
            };
        }
        let told: Vec<String> =
            usual.iter().map(|(text, number)| format!("{text} ({})", days(*number))).collect();
        let more = values.saturating_sub(usual.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("usually {}{more}", told.join(", "))
    }

    /// Numbers and texts behind the sentence.
    pub(crate) fn details(&self) -> Vec<(String, String)> {
        let mut details: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| details.push((name.to_owned(), value));
        add("score", format!("{:.2}", self.verdict.score));
        add("line", format!("{:.2}", self.policy.line));
        match &self.verdict.facts {
            Facts::Value { days, since, values, others, people, last, .. } => {
                add("observed", self.observed().1);
                add("expected", self.usually());
                add(
                    "quantile",
                    format!("one such day in about {:.0}", libm::pow(10.0, self.verdict.score)),
                );
                add("values", values.to_string());
                add("others", at_most_known(*others));
                add("population", people.to_string());
                add("last-used", last.map_or_else(|| "never".to_owned(), date));
                add("learned-days", days.to_string());
                add("learned-since", date(*since));
            }
            Facts::First { known, began, days, since, last } => {
                add("observed", self.who());
                add("expected", format!("{began} such first times in {days} days"));
                add("known", known.to_string());
                add("last-seen", last.map_or_else(|| "never".to_owned(), date));
                add("learned-days", days.to_string());
                add("learned-since", date(*since));
            }
            Facts::Silence { last, days, usual } => {
                add("observed", format!("{days} days of silence"));
                if *usual > 0.0 {
                    add("expected", format!("{usual:.1} days"));
                }
                if let Mode::AfterSilence(silence) = self.policy.mode {
                    add("silence", format!("{silence} days"));
                }
                add("last-seen", date(*last));
            }
        }
        if let Some(among) = &self.together {
            let people = self.people(among.people, "");
            let named =
                people.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = match people.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            add("people", format!("{named}{more}"));
            add("used-by", at_most_known(among.crowd.before(i64::MAX) as u64));
            add("new-since", among.crowd.first().map_or_else(String::new, date));
        }
        let rows = self.together.as_ref().map_or(self.rows, |among| among.rows);
        details.extend(words::particulars(self.batch, rows));
        details
    }
}
