//! Reads every file of a data folder and says what is wrong with it.
//!
//! It repairs nothing: what can be rebuilt is rebuilt by opening or compacting.

use std::ops::Bound;

use crate::block::Packed;
use crate::error::{StoreError, StoreErrorKind};
use crate::files::Files;
use crate::identity::{Identity, STORE_FILE};
use crate::journal::{journal_files, journal_name};
use crate::opening::load;
use crate::segment::{
    LOG_FOLDER, fits, read_block, read_places, segment_folder, segment_name, segment_number,
};
use crate::snapshot::{Truth, snapshot_name, snapshot_numbers};
use crate::types::{CheckReport, Finding, Progress, Task};
use crate::view::{View, all_data, describe_key};

/// Checks all files, and the view against them.
pub(crate) fn check(
    files: &dyn Files,
    truth: &Truth,
    view: Option<&dyn View>,
    progress: &dyn Fn(Progress),
) -> CheckReport {
    let mut check = Check { files, truth, report: CheckReport::default(), progress, total: 0 };
    check.run(view);
    check.report
}

/// Checks the files of a store that is not open.
pub(crate) fn check_closed(
    files: &dyn Files,
    progress: &dyn Fn(Progress),
) -> Result<CheckReport, StoreError> {
    let entries =
        files.list("").map_err(|error| StoreError::io("read", &files.shown(""), error))?;
    let snapshot = snapshot_numbers(&entries).pop().unwrap_or(0);
    let journals = journal_files(&entries).into_iter().map(|(first, _)| (first, None)).collect();
    let identity = match Identity::read(files) {
        Ok(Some(identity)) => identity,
        Ok(None) => {
            let what = format!("there is no store in `{}`", files.shown(""));
            return Err(StoreError::new(StoreErrorKind::Invalid, what));
        }
        Err(error) => {
            let what = error.to_string();
            let what = what.lines().next().unwrap_or_default().to_owned();
            let finding = Finding { file: STORE_FILE.to_owned(), what };
            return Ok(CheckReport { files: 1, findings: vec![finding], ..CheckReport::default() });
        }
    };
    let truth = Truth { salt: identity.salt, snapshot, journals };
    Ok(check(files, &truth, None, progress))
}

struct Check<'a> {
    files: &'a dyn Files,
    truth: &'a Truth,
    report: CheckReport,
    progress: &'a dyn Fn(Progress),
    total: u64,
}

impl Check<'_> {
    fn run(&mut self, view: Option<&dyn View>) {
        let segments = self.segments();
        let sizes: u64 = segments.iter().map(|(_, _, bytes)| bytes).sum();
        let root = self.files.list("").unwrap_or_default();
        let truths: Vec<_> = root
            .iter()
            .filter(|entry| {
                entry.name == snapshot_name(self.truth.snapshot)
                    || self
                        .truth
                        .journals
                        .iter()
                        .any(|(first, _)| entry.name == journal_name(*first))
            })
            .collect();
        self.total = sizes + truths.iter().map(|entry| entry.len).sum::<u64>();
        self.advance(0, 0);
        let whole = self.truth();
        truths.iter().for_each(|entry| self.advance(1, entry.len));
        for (tenant, first, bytes) in segments {
            self.segment(&tenant, first, bytes);
            self.advance(1, bytes);
        }
        if let Some(view) = view.filter(|_| whole)
            && let Err(error) = self.compare(view)
        {
            self.found("view", &error.to_string());
        }
    }

    fn advance(&mut self, files: u64, bytes: u64) {
        self.report.files += files;
        self.report.bytes += bytes;
        let done = self.report.bytes.min(self.total);
        (self.progress)(Progress { task: Task::Check, done, total: self.total });
    }

    fn found(&mut self, file: &str, what: &str) {
        let what = what.lines().next().unwrap_or_default().to_owned();
        self.report.findings.push(Finding { file: file.to_owned(), what });
    }

    /// Tenant, first sequence number and size of every segment file.
    fn segments(&self) -> Vec<(String, u64, u64)> {
        let tenants = self.files.list(LOG_FOLDER).unwrap_or_default();
        tenants
            .into_iter()
            .flat_map(|tenant| {
                let files = self.files.list(&segment_folder(&tenant.name)).unwrap_or_default();
                files.into_iter().filter_map(move |file| {
                    Some((tenant.name.clone(), segment_number(&file.name)?, file.len))
                })
            })
            .collect()
    }

    /// Snapshot and journal; whether they are whole.
    fn truth(&mut self) -> bool {
        let before = self.report.findings.len();
        if self.truth.snapshot != 0
            && let Err(error) = self.snapshot()
        {
            self.found(&snapshot_name(self.truth.snapshot), &error.to_string());
        }
        match load(self.files, self.truth.salt, 0) {
            Err(error) if self.report.findings.len() == before => {
                self.found("journal", &error.to_string());
            }
            Err(_) => {}
            Ok(loaded) => {
                for (tenant, log) in &loaded.log.tenants {
                    for segment in &log.segments {
                        let (tenant, salt) = (tenant.as_str(), self.truth.salt);
                        let name = segment_name(tenant, segment.first);
                        let places =
                            read_places(self.files, salt, tenant, segment.first, segment.bytes);
                        if let Err(error) = places {
                            self.found(&name, &error.to_string());
                        }
                    }
                    for block in &log.tail {
                        let decoded = Packed::read(&block.bytes).and_then(|packed| {
                            packed.batch()?;
                            packed.raw()
                        });
                        self.report.blocks += 1;
                        if let Err(damage) = decoded {
                            let what = format!("block {}: {damage}", block.info.first_sequence);
                            self.found("journal", &what);
                        }
                    }
                }
            }
        }
        self.report.findings.len() == before
    }

    fn snapshot(&self) -> Result<(), StoreError> {
        self.truth.snapshot_entries(self.files)?.try_for_each(|entry| entry.map(|_| ()))
    }

    fn segment(&mut self, tenant: &str, first: u64, bytes: u64) {
        let name = segment_name(tenant, first);
        let places = match read_places(self.files, self.truth.salt, tenant, first, bytes) {
            Ok(places) => places,
            Err(error) => {
                if !self.report.findings.iter().any(|finding| finding.file == name) {
                    self.found(&name, &error.to_string());
                }
                return;
            }
        };
        for place in places {
            let read = read_block(self.files, tenant, first, &place);
            let checked = match read {
                Err(error) => Err(error.to_string()),
                Ok(bytes) => Packed::read(&bytes)
                    .and_then(|packed| {
                        packed.batch()?;
                        packed.raw()?;
                        Ok(fits(&packed.header, &place))
                    })
                    .map_err(|damage| damage.to_string())
                    .and_then(|fits| {
                        if fits { Ok(()) } else { Err("a block is not what the index says".into()) }
                    }),
            };
            self.report.blocks += 1;
            if let Err(what) = checked {
                let shown = self.files.shown(&name);
                let what = StoreError::damaged(&shown, place.offset, what).to_string();
                self.found(&name, &what);
            }
        }
    }

    /// Compares the view with what it should be.
    fn compare(&mut self, view: &dyn View) -> Result<(), StoreError> {
        let compared = compare(self.files, self.truth, view)?;
        self.report.entries += compared.entries;
        if let Some(first) = compared.first {
            let what = format!(
                "{} entries are not what snapshot and journal say, first: {first}; compacting builds it again",
                compared.wrong
            );
            self.found("view", &what);
        }
        Ok(())
    }
}

/// How a view compares with what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) entries: u64,
    pub(crate) wrong: u64,
    /// The first entry that is wrong, in words.
    pub(crate) first: Option<String>,
}

impl Compared {
    fn note(&mut self, key: &[u8], what: &str) {
        self.wrong += 1;
        self.first.get_or_insert_with(|| format!("{} {what}", describe_key(key)));
    }
}

/// Walks a view and what it should be side by side.
pub(crate) fn compare(
    files: &dyn Files,
    truth: &Truth,
    view: &dyn View,
) -> Result<Compared, StoreError> {
    const RUN: usize = 1_000;
    let mut compared = Compared::default();
    let (mut start, end) = all_data();
    let mut truth = truth.entries(files)?.peekable();
    loop {
        let mut run: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        view.scan(&(start.clone(), end.clone()), false, &mut |key, value| {
            run.push((key.to_vec(), value.to_vec()));
            run.len() < RUN
        })?;
        let last = run.len() < RUN;
        if let Some((key, _)) = run.last() {
            start = Bound::Excluded(key.clone());
        }
        for (key, value) in run {
            compared.entries += 1;
            while let Some(missing) =
                truth.next_if(|entry| entry.as_ref().map_or(true, |(k, _)| *k < key))
            {
                compared.note(&missing?.0, "is missing");
            }
            match truth.next_if(|entry| entry.as_ref().is_ok_and(|(k, _)| *k == key)) {
                Some(Ok((_, same))) if same == value => {}
                Some(_) => compared.note(&key, "has another value"),
                None => compared.note(&key, "should not be there"),
            }
        }
        if last {
            break;
        }
    }
    for missing in truth {
        compared.note(&missing?.0, "is missing");
    }
    Ok(compared)
}
