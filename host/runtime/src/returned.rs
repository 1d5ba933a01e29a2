//! Checks what came out of a sandbox before anybody else sees it.
//!
//! Structure is refused when it is wrong: indexes, lengths, numbers. Texts and times of activities are
//! never a reason to refuse, since apps and their users choose them; they are cut and cleaned, and a
//! time that can't be is left out.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use casbah_model::adapter::{Failure, HttpRequest, Next, Page};
use casbah_model::table::ABSENT_INTEGER;
use casbah_model::{Batch, Evidence, Finding, Outcome, Problem, StateKey, Values};

use crate::clean;
use crate::error::RuntimeError;
use crate::sandbox::{Sandbox, count, size};
use crate::wire::{
    BatchOut, BlobsOut, FailureOut, FindingOut, HttpRequestOut, OutcomeOut, PageOut, ProblemOut,
    StateKeysOut,
};

/// Times that a calendar has: the years -9998 to 9998, in ms since 1970.
const TIMES: RangeInclusive<i64> = -377_673_580_800_000..=253_370_764_799_999;
/// Times that an activity may have: the year 1 to some years before the last of [`TIMES`], so that
/// what a detector adds to one or takes from it is still among those.
const ACTIVITY_TIMES: RangeInclusive<i64> = -62_135_596_800_000..=253_000_000_000_000;
/// Bytes of a state's key.
const KEY: usize = 512;
/// Bytes of a text that identifies a finding's group.
const GROUP_TEXT: usize = 1024;
/// Bytes of a finding's summary, and of each of its details.
const TEXT: usize = 1024;
/// Columns that make a group, details of a finding, facts of a page.
const PAIRS: usize = 64;
/// Problems of a configuration that are shown.
const PROBLEMS: usize = 100;
/// Bytes of a cursor.
const CURSOR: usize = 64 << 10;
/// Bytes of a planned request, all parts together.
const REQUEST: usize = 1 << 20;
/// Longest wait that an adapter may ask for, ms.
const LONGEST_WAIT: u64 = 24 * 60 * 60 * 1000;

/// The pieces of a list of byte strings.
fn pieces<'a>(
    sandbox: &Sandbox,
    function: &str,
    what: &str,
    blobs: &'a BlobsOut,
) -> Result<Vec<&'a [u8]>, RuntimeError> {
    let mut start = 0;
    let pieces = blobs
        .ends
        .iter()
        .map(|&end| {
            let piece = blobs.bytes.get(start..end as usize)?;
            start = end as usize;
            Some(piece)
        })
        .collect::<Option<Vec<_>>>();
    match pieces {
        Some(pieces) if start == blobs.bytes.len() => Ok(pieces),
        _ => {
            Err(sandbox
                .returned(function, format_args!("{what} whose ends do not fit their bytes")))
        }
    }
}

/// The keys that `begin` asks for.
pub(crate) fn state_keys(
    sandbox: &Sandbox,
    policies: usize,
    keys: StateKeysOut,
) -> Result<Vec<StateKey>, RuntimeError> {
    let fail = |message: String| Err(sandbox.returned("begin", message));
    if keys.policies.is_empty() && keys.keys.ends.is_empty() && keys.keys.bytes.is_empty() {
        return Ok(Vec::new());
    }
    let most = sandbox.limits().states;
    if keys.policies.len() > most {
        return fail(format!("{} keys; at most {most} are allowed", keys.policies.len()));
    }
    let texts = pieces(sandbox, "begin", "keys", &keys.keys)?;
    if texts.len() != keys.policies.len() {
        return fail(format!(
            "{} for {}",
            count(texts.len(), "key", "keys"),
            count(keys.policies.len(), "policy", "policies")
        ));
    }
    let mut seen = HashSet::with_capacity(texts.len());
    let mut list = Vec::with_capacity(texts.len());
    for (&policy, text) in keys.policies.iter().zip(texts) {
        if policy as usize >= policies {
            return fail(format!("a key of policy {policy}, but was given {}", given(policies)));
        }
        let Ok(key) = std::str::from_utf8(text) else {
            return fail("a key that is not UTF-8".to_owned());
        };
        if key.len() > KEY {
            return fail(format!("a key of {} bytes; at most {KEY} are allowed", key.len()));
        }
        if !seen.insert((policy, text)) {
            return fail(format!("the key `{}` twice", clean::name(key)));
        }
        list.push(StateKey { policy, key: key.to_owned() });
    }
    Ok(list)
}

/// Policies are counted from 0.
fn given(policies: usize) -> String {
    count(policies, "policy", "policies")
}

/// What a batch may be answered with.
pub(crate) struct Asked {
    /// How many policies there are.
    pub(crate) policies: usize,
    /// How many states were handed in.
    pub(crate) states: usize,
    /// The newest sequence number that was handed in.
    pub(crate) newest: Option<u64>,
}

impl Asked {
    pub(crate) fn new(batch: &Batch, policies: usize, states: usize) -> Self {
        let newest = batch.integers("sequence").and_then(|sequences| {
            sequences.iter().filter(|&&sequence| sequence != ABSENT_INTEGER).max()
        });
        Self { policies, states, newest: newest.and_then(|&newest| u64::try_from(newest).ok()) }
    }
}

/// What `finish` answers.
pub(crate) fn outcome(
    sandbox: &Sandbox,
    asked: &Asked,
    outcome: OutcomeOut,
) -> Result<Outcome, RuntimeError> {
    let OutcomeOut { findings, changed, values } = outcome;
    let limits = sandbox.limits();
    if findings.len() > limits.findings {
        return Err(sandbox.returned(
            "finish",
            format_args!("{} findings; at most {} are allowed", findings.len(), limits.findings),
        ));
    }
    let evidence: usize = findings.iter().map(|finding| finding.evidence.len()).sum();
    if evidence > limits.evidence {
        return Err(sandbox.returned(
            "finish",
            format_args!(
                "{evidence} activities as evidence; at most {} are allowed",
                limits.evidence
            ),
        ));
    }
    let findings = findings
        .into_iter()
        .map(|finding| self::finding(sandbox, asked, finding))
        .collect::<Result<_, _>>()?;
    let changes = changes(sandbox, asked, &changed, &values)?;
    Ok(Outcome { findings, changes })
}

fn finding(sandbox: &Sandbox, asked: &Asked, finding: FindingOut) -> Result<Finding, RuntimeError> {
    let fail = |message: String| Err(sandbox.returned("finish", message));
    if finding.policy as usize >= asked.policies {
        return fail(format!(
            "a finding of policy {}, but was given {}",
            finding.policy,
            given(asked.policies)
        ));
    }
    if finding.group.len() > PAIRS || finding.details.len() > PAIRS {
        return fail(format!(
            "a finding with {} columns in its group and {} details; at most {PAIRS} are allowed",
            finding.group.len(),
            finding.details.len()
        ));
    }
    let mut times = [finding.start, finding.first, finding.last]
        .into_iter()
        .chain(finding.evidence.iter().map(|evidence| evidence.time));
    if let Some(time) = times.find(|time| !TIMES.contains(time)) {
        return fail(format!("a finding with the time {time}, which no calendar has"));
    }
    if finding.first > finding.last {
        return fail("a finding whose last activity is before its first".to_owned());
    }
    if let Some(forged) = finding
        .evidence
        .iter()
        .find(|evidence| asked.newest.is_none_or(|newest| evidence.sequence > newest))
    {
        return fail(match asked.newest {
            Some(newest) => format!(
                "activity {} as evidence, but the newest it was given is {newest}",
                forged.sequence
            ),
            None => format!(
                "activity {} as evidence, but was given none with a sequence number",
                forged.sequence
            ),
        });
    }
    Ok(Finding {
        policy: finding.policy,
        group: finding
            .group
            .into_iter()
            .map(|(column, value)| {
                (clean::identity(column, GROUP_TEXT), clean::identity(value, GROUP_TEXT))
            })
            .collect(),
        start: finding.start,
        first: finding.first,
        last: finding.last,
        evidence: finding
            .evidence
            .into_iter()
            .map(|evidence| Evidence { time: evidence.time, sequence: evidence.sequence })
            .collect(),
        summary: clean::cut(&finding.summary, TEXT).0,
        details: pairs(finding.details),
        severity: finding.severity.map(Into::into),
        behavior: finding.behavior,
    })
}

fn pairs(pairs: Vec<(String, String)>) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .map(|(name, value)| (clean::cut(&name, TEXT).0, clean::cut(&value, TEXT).0))
        .collect()
}

fn changes(
    sandbox: &Sandbox,
    asked: &Asked,
    changed: &[u32],
    values: &BlobsOut,
) -> Result<Vec<(u32, Vec<u8>)>, RuntimeError> {
    let fail = |message: String| Err(sandbox.returned("finish", message));
    let values = pieces(sandbox, "finish", "states", values)?;
    if values.len() != changed.len() {
        return fail(format!(
            "{} for {}",
            count(values.len(), "state", "states"),
            count(changed.len(), "changed key", "changed keys")
        ));
    }
    let mut seen = vec![false; if changed.is_empty() { 0 } else { asked.states }];
    let mut list = Vec::with_capacity(changed.len());
    for (&place, value) in changed.iter().zip(values) {
        match seen.get_mut(place as usize) {
            None => {
                return fail(format!(
                    "a state for key {place}, but asked for {}",
                    count(asked.states, "key", "keys")
                ));
            }
            Some(true) => return fail(format!("two states for key {place}")),
            Some(seen) => *seen = true,
        }
        let most = sandbox.limits().state_bytes;
        if value.len() > most {
            return fail(format!(
                "a state of {} bytes; at most {} are allowed",
                value.len(),
                size(most)
            ));
        }
        list.push((place, value.to_vec()));
    }
    Ok(list)
}

/// What is wrong with policies, according to `configure`.
pub(crate) fn problems(
    sandbox: &Sandbox,
    policies: usize,
    problems: Vec<ProblemOut>,
) -> Result<Vec<Problem>, RuntimeError> {
    if problems.is_empty() {
        return Err(sandbox.returned("configure", "an error without saying what is wrong"));
    }
    problems
        .into_iter()
        .take(PROBLEMS)
        .map(|ProblemOut { policy, pointer, message }| {
            if policy as usize >= policies {
                return Err(sandbox.returned(
                    "configure",
                    format_args!("a problem of policy {policy}, but was given {}", given(policies)),
                ));
            }
            Ok(Problem {
                policy,
                pointer: clean::sentence(&pointer),
                // A hint is a line of its own; everything else is one line.
                message: match message.split_once("\nhint: ") {
                    Some((message, hint)) => {
                        format!("{}\nhint: {}", clean::sentence(message), clean::sentence(hint))
                    }
                    None => clean::sentence(&message),
                },
            })
        })
        .collect()
}

/// A table that can be read by every accessor of [`Batch`].
pub(crate) fn batch(
    sandbox: &Sandbox,
    function: &str,
    batch: BatchOut,
) -> Result<Batch, RuntimeError> {
    let most = sandbox.limits().rows;
    let mut batch = Batch::from(batch);
    if batch.len() > most {
        return Err(sandbox.too_much(
            function,
            format_args!("a table of {} rows; at most {most} are allowed", batch.len()),
        ));
    }
    batch
        .check()
        .map_err(|error| sandbox.returned(function, format_args!("a malformed table: {error}")))?;
    forget_absurd_times(&mut batch);
    Ok(batch)
}

/// Makes times absent that are in another unit or made up: a finding with one would be refused, and
/// with it all that a detector made of the activities around it.
fn forget_absurd_times(batch: &mut Batch) {
    for column in batch.columns.iter_mut().filter(|column| column.name == "time") {
        if let Values::Integer(times) = &mut column.values {
            for time in times.iter_mut().filter(|time| !ACTIVITY_TIMES.contains(time)) {
                *time = ABSENT_INTEGER;
            }
        }
    }
}

/// Spans of raw records within a body.
pub(crate) fn spans(
    sandbox: &Sandbox,
    function: &str,
    body: usize,
    spans: &[u32],
) -> Result<(), RuntimeError> {
    let fits = |pair: &[u32]| matches!(pair, [start, end] if start <= end && *end as usize <= body);
    match spans.chunks(2).position(|pair| !fits(pair)) {
        None => Ok(()),
        Some(record) => Err(sandbox.returned(
            function,
            format_args!("record {record} at a place that the body of {body} bytes does not have"),
        )),
    }
}

/// A page of a response.
pub(crate) fn page(sandbox: &Sandbox, body: usize, page: PageOut) -> Result<Page, RuntimeError> {
    let PageOut { next, cursor, batch, raw, facts } = page;
    let batch = self::batch(sandbox, "read", batch)?;
    spans(sandbox, "read", body, &raw)?;
    if raw.len() / 2 != batch.len() {
        return Err(sandbox.returned(
            "read",
            format_args!(
                "{} for {}",
                count(raw.len() / 2, "raw record", "raw records"),
                count(batch.len(), "row", "rows")
            ),
        ));
    }
    if cursor.len() > CURSOR {
        return Err(sandbox.returned(
            "read",
            format_args!(
                "a cursor of {} bytes; at most {} are allowed",
                cursor.len(),
                size(CURSOR)
            ),
        ));
    }
    if facts.len() > PAIRS {
        return Err(sandbox
            .returned("read", format_args!("{} facts; at most {PAIRS} are allowed", facts.len())));
    }
    let next = match next.into() {
        Next::Wait(milliseconds) => Next::Wait(milliseconds.min(LONGEST_WAIT)),
        next => next,
    };
    Ok(Page { next, cursor, batch, raw, facts: pairs(facts) })
}

/// A failure, as an adapter classified it.
pub(crate) fn failure(failure: FailureOut) -> Failure {
    Failure {
        class: clean::name(&failure.class),
        code: clean::name(&failure.code),
        message: clean::sentence(&failure.message),
        remedy: clean::sentence(&failure.remedy),
        retry_after: failure.retry_after.map(|milliseconds| milliseconds.min(LONGEST_WAIT)),
    }
}

/// A planned request that stays below the host it names and leaves authorization to the host.
pub(crate) fn request(
    sandbox: &Sandbox,
    knows_host: impl Fn(&str) -> bool,
    request: HttpRequestOut,
) -> Result<HttpRequest, RuntimeError> {
    let fail = |message: String| Err(sandbox.returned("plan", message));
    let HttpRequestOut { method, host, path, query, headers, body } = request;
    let pairs = query.iter().chain(&headers).map(|(name, value)| name.len() + value.len() + 4);
    if path.len() + body.len() + pairs.sum::<usize>() > REQUEST {
        return fail(format!("a request of more than {}", size(REQUEST)));
    }
    if method.is_empty()
        || method.len() > 16
        || !method.bytes().all(|byte| byte.is_ascii_uppercase())
    {
        return fail(format!("a request with the method `{}`", clean::name(&method)));
    }
    if !knows_host(&host) {
        return fail(format!(
            "a request to the host `{}`, which it did not declare",
            clean::name(&host)
        ));
    }
    if !is_path(&path) {
        return fail(format!(
            "a request with the path `{}`, which leads elsewhere",
            clean::name(&path)
        ));
    }
    for (name, value) in &headers {
        if !is_token(name) || value.chars().any(|character| character.is_control()) {
            return fail(format!("a request with the malformed header `{}`", clean::name(name)));
        }
        if HOSTS_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return fail(format!(
                "a request with the header `{}`, which only the host sets",
                clean::name(name)
            ));
        }
    }
    Ok(HttpRequest { method, host, path, query, headers, body })
}

/// Headers that decide who asks, whom, or where a request ends.
const HOSTS_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "accept-encoding",
];

/// Below a base address: no other authority, no query, no way upwards.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'\\'))
        && !path.split('/').any(|segment| {
            let segment = segment.replace("%2e", ".").replace("%2E", ".");
            segment == ".." || segment == "."
        })
}

fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
