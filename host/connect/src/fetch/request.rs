//! One request of a stream, from the plan to the page.

use std::sync::Arc;

use casbah_model::adapter::{
    Failure, HttpRequest, Page, PlanRequest, Produces, Response, Stream, class,
};
use casbah_store::{Commit, StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::pace::{Action, Pacer, Step};
use super::{Event, Shared, StreamEnd, Waiting, blocking, trouble};
use crate::client::Answer;
use crate::connection::State;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::oauth::{Bearer, Retry};
use crate::stop::Stop;

/// A wait for the budget that is longer than this is told.
const NOTEWORTHY: std::time::Duration = std::time::Duration::from_secs(2);

/// A page that came, not yet stored.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) page: Page,
    /// What the page's raw records are parts of.
    pub(super) body: Vec<u8>,
    /// When it was received, ms since 1970.
    pub(super) received: i64,
}

/// Why no page came.
#[derive(Debug)]
pub(super) enum Setback {
    /// It is time to stop.
    Stopped,
    /// A failure, and the token that was used.
    Failure(Failure, Option<Bearer>),
}

/// What a stream does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// Plans again from where it is.
    On,
    /// Plans again from the newest activity, with an overlap.
    Recover,
    /// Ends.
    End(StreamEnd),
}

/// A stream at work: what all kinds of streams have in common.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) stream: Stream,
    pub(super) halt: Stop,
    pub(super) pacer: Pacer,
    /// The last request, and what it was planned from.
    sent: Option<(PlanRequest, HttpRequest)>,
    /// Whether something is wrong, as far as it was reported.
    reported: Option<(State, String)>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, stream: Stream) -> Self {
        let largest = shared.fetch.page_size.unwrap_or(stream.page_size).min(stream.page_size);
        let smallest = stream.smallest_page_size;
        let known = shared.books.stream(&stream.name).trouble;
        Self {
            halt: shared.halt.listen(),
            pacer: Pacer::new(shared.fetch.pace.clone(), largest, smallest),
            sent: None,
            reported: known.map(|trouble| (trouble.state, trouble.reason)),
            stream,
            shared,
        }
    }

    /// Plans, waits for the budget, sends and reads.
    pub(super) async fn request(&mut self, plan: PlanRequest) -> Result<Arrived, Setback> {
        let shared = Arc::clone(&self.shared);
        let adapter = Arc::clone(&shared.fetch.adapter);
        let asked = plan.clone();
        let planned = blocking(move || adapter.plan(&asked))
            .await
            .unwrap_or_else(|error| Err(of_error(&error)))
            .map_err(|failure| Setback::Failure(failure, None))?;
        self.sent = Some((plan.clone(), planned.clone()));
        let place = self.place().await?;
        // Not broken off when it is time to stop: a refresh half-way may cost the grant.
        let bearer = match shared.kept.tokens.bearer().await {
            Ok(bearer) => bearer,
            Err(error) => {
                drop(place);
                return Err(Setback::Failure(of_error(&error), None));
            }
        };
        shared.books.count(|tally| tally.calls += 1);
        let http = shared.connections.http();
        let clock = shared.connections.clock();
        let sent = http.send(&shared.kept.hosts, &planned, &bearer.token, clock);
        let answer = tokio::select! {
            answer = sent => answer,
            () = self.halt.wanted() => return Err(Setback::Stopped),
        };
        drop(place);
        let answer =
            answer.map_err(|error| Setback::Failure(of_error(&error), Some(bearer.clone())))?;
        self.read(plan, answer, bearer).await
    }

    async fn place(&mut self) -> Result<crate::limit::Place, Setback> {
        let budget = Arc::clone(&self.shared.kept.budget);
        if let Some(next) = budget.next() {
            let wait = next.saturating_duration_since(Instant::now());
            if wait > NOTEWORTHY {
                let ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                self.shared.tell(&Event::Waiting {
                    stream: self.stream.name.clone(),
                    why: Waiting::Budget,
                    until: self.shared.now().saturating_add(ms),
                });
            }
        }
        tokio::select! {
            place = budget.take() => Ok(place),
            () = self.halt.wanted() => Err(Setback::Stopped),
        }
    }

    async fn read(
        &self,
        plan: PlanRequest,
        answer: Answer,
        bearer: Bearer,
    ) -> Result<Arrived, Setback> {
        let Answer { status, headers, body, retry_after, clock_offset } = answer;
        let shared = &self.shared;
        shared.books.count(|tally| {
            tally.bytes += body.len() as u64;
            tally.clock_offset = clock_offset.or(tally.clock_offset);
        });
        let received = shared.now();
        let adapter = Arc::clone(&shared.fetch.adapter);
        let needs_raw = self.stream.produces == Produces::Activities;
        let read = blocking(move || {
            let response = Response { request: plan, status, headers, body };
            let page = adapter.read(&response)?;
            check(&page, &response.body, needs_raw)?;
            Ok(Arrived { page, body: response.body, received })
        })
        .await
        .unwrap_or_else(|error| Err(of_error(&error)));
        match read {
            Ok(arrived) => {
                shared.kept.tokens.worked(&bearer);
                Ok(arrived)
            }
            Err(mut failure) => {
                // The header counts even if the adapter did not look at it.
                let asked = retry_after.and_then(|wait| u64::try_from(wait.as_millis()).ok());
                failure.retry_after = failure.retry_after.or(asked);
                Err(Setback::Failure(failure, Some(bearer)))
            }
        }
    }

    /// Does what a setback calls for, waits included.
    pub(super) async fn overcome(
        &mut self,
        setback: Setback,
        can_recover: bool,
    ) -> Result<Go, ConnectError> {
        let Setback::Failure(failure, bearer) = setback else {
            return Ok(Go::End(StreamEnd::Stopped));
        };
        tracing::debug!(
            connection = %self.shared.fetch.connection,
            stream = self.stream.name,
            class = failure.class,
            %failure,
            "no page"
        );
        self.shared.books.count(|tally| {
            tally.failures += 1;
            tally.throttles += u64::from(failure.class == class::RATE_LIMITED);
        });
        match (failure.class.as_str(), bearer) {
            (class::TOKEN_EXPIRED, Some(bearer)) => self.renew(failure, &bearer).await,
            (class::TOKEN_EXPIRED, None) => {
                let failure = Failure { class: class::TRANSIENT.to_owned(), ..failure };
                self.carry_out(&failure, can_recover).await
            }
            (class::TOO_LARGE, _) => match self.shrink().await {
                Some(size) => {
                    self.shared.tell(&Event::PageSize { stream: self.stream.name.clone(), size });
                    let pause = self.shared.fetch.pace.base / 4;
                    self.pause(pause, Waiting::Failure).await
                }
                None => self.carry_out(&failure, can_recover).await,
            },
            _ => self.carry_out(&failure, can_recover).await,
        }
    }

    /// Halves the page size until the same page would be asked for in another way. An adapter may ask
    /// for less than the host lets it, and the very same request would meet the very same end. Returns
    /// the new size, or `None` when the request can't be made smaller.
    async fn shrink(&mut self) -> Option<u32> {
        let mut size = self.pacer.halve()?;
        let Some((plan, sent)) = self.sent.take() else { return Some(size) };
        loop {
            let adapter = Arc::clone(&self.shared.fetch.adapter);
            let smaller = PlanRequest { page_size: size, ..plan.clone() };
            match blocking(move || adapter.plan(&smaller)).await {
                Ok(Ok(planned)) if planned == sent => size = self.pacer.halve()?,
                _ => return Some(size),
            }
        }
    }

    /// The app refused the token.
    async fn renew(&mut self, failure: Failure, bearer: &Bearer) -> Result<Go, ConnectError> {
        match self.shared.kept.tokens.refused(bearer).await {
            Ok(Retry::Now) => Ok(Go::On),
            Ok(Retry::At(at)) => {
                self.pause(at.saturating_duration_since(Instant::now()), Waiting::Failure).await
            }
            Ok(Retry::Pointless) => {
                let reason = format!("the app refuses even a fresh token: {failure}");
                let remedy = "look at the account and its rights in the app, then connect again";
                self.report(State::ReconnectNeeded, &reason, remedy).await?;
                self.slow().await
            }
            Err(error) => self.carry_out(&of_error(&error), false).await,
        }
    }

    async fn carry_out(
        &mut self,
        failure: &Failure,
        can_recover: bool,
    ) -> Result<Go, ConnectError> {
        let step = self.pacer.failure(failure, can_recover);
        self.take_step(step, failure).await
    }

    async fn take_step(&mut self, step: Step, failure: &Failure) -> Result<Go, ConnectError> {
        let Step { action, report } = step;
        if let Some(state) = report {
            self.report(state, &failure.to_string(), &failure.remedy).await?;
        }
        // Who waits for the end is told what is wrong instead of being kept waiting for ever.
        let over = report.is_some() && self.shared.fetch.until_caught_up;
        match action {
            Action::End => Ok(Go::End(StreamEnd::ReconnectNeeded)),
            Action::Recover => {
                self.shared.books.count(|tally| tally.recoveries += 1);
                self.shared.tell(&Event::Repositioned {
                    stream: self.stream.name.clone(),
                    reason: crate::text::shown(&failure.to_string(), 200),
                });
                Ok(Go::Recover)
            }
            Action::Close(pause) => {
                self.shared.kept.budget.close(Instant::now() + pause);
                if over {
                    return Ok(Go::End(StreamEnd::CaughtUp));
                }
                self.pause(pause, Waiting::Throttle).await
            }
            Action::Pause(_, Waiting::Administrator) => self.slow().await,
            Action::Pause(..) if over => Ok(Go::End(StreamEnd::CaughtUp)),
            Action::Pause(pause, why) => self.pause(pause, why).await,
        }
    }

    /// Waits until an administrator may have put something right.
    async fn slow(&mut self) -> Result<Go, ConnectError> {
        if self.shared.fetch.until_caught_up {
            return Ok(Go::End(StreamEnd::CaughtUp));
        }
        self.pause(self.shared.fetch.pace.slow, Waiting::Administrator).await
    }

    async fn pause(
        &mut self,
        pause: std::time::Duration,
        why: Waiting,
    ) -> Result<Go, ConnectError> {
        if self.shared.wait(&self.stream.name, pause, why, &mut self.halt).await {
            Ok(Go::On)
        } else {
            Ok(Go::End(StreamEnd::Stopped))
        }
    }

    /// Keeps and tells what is wrong, once for every different thing.
    pub(super) async fn report(
        &mut self,
        state: State,
        reason: &str,
        remedy: &str,
    ) -> Result<(), ConnectError> {
        let trouble = trouble(state, reason, remedy, self.shared.now());
        let news = (state, trouble.reason.clone());
        if self.reported.as_ref() == Some(&news) {
            return Ok(());
        }
        self.reported = Some(news);
        self.shared
            .tell(&Event::Trouble { stream: self.stream.name.clone(), trouble: trouble.clone() });
        let (shared, stream) = (Arc::clone(&self.shared), self.stream.name.clone());
        blocking(move || {
            let kept = trouble.clone();
            let written = shared.books.commit(Commit::new(), |status| {
                status.streams.entry(stream.clone()).or_default().trouble = Some(trouble);
            });
            match written {
                // A full disk is no reason to end: it is told, and written with the next commit.
                Err(error) if !is_final(&error) => {
                    shared.books.remember(&stream, kept);
                    Ok(())
                }
                written => written.map(|_| ()),
            }
        })
        .await?
    }

    /// A page came.
    pub(super) fn succeeded(&mut self) {
        if let Some(size) = self.pacer.page() {
            self.shared.tell(&Event::PageSize { stream: self.stream.name.clone(), size });
        }
    }

    /// A page is in the store, and it led further.
    pub(super) fn stored(&mut self) {
        self.pacer.stored();
        if self.reported.take().is_some() {
            self.shared.tell(&Event::Recovered { stream: self.stream.name.clone() });
        }
    }

    /// The store refused a commit.
    pub(super) async fn not_stored(&mut self, error: ConnectError) -> Result<Go, ConnectError> {
        if is_final(&error) {
            return Err(error);
        }
        let failure = Failure {
            class: class::TRANSIENT.to_owned(),
            message: error.message().to_owned(),
            remedy: error.remedy().unwrap_or_default().to_owned(),
            ..Failure::default()
        };
        let step = self.pacer.not_stored(&failure);
        self.take_step(step, &failure).await
    }
}

/// Whether the store has said that it will not work again before it is opened anew.
fn is_final(error: &ConnectError) -> bool {
    let source = std::error::Error::source(error);
    source.and_then(|source| source.downcast_ref::<StoreError>()).is_some_and(|error| {
        matches!(error.kind(), StoreErrorKind::Poisoned | StoreErrorKind::Closed)
    })
}

/// What a page must be, whoever made it.
fn check(page: &Page, body: &[u8], needs_raw: bool) -> Result<(), Failure> {
    let forged = |message: String| {
        Err(Failure { class: class::PLUGIN.to_owned(), message, ..Failure::default() })
    };
    if page.raw.is_empty() && !needs_raw {
        return Ok(());
    }
    if page.raw.len() != page.batch.len() * 2 {
        return forged(format!(
            "the adapter returned {} places of raw records for {} rows",
            page.raw.len() / 2,
            page.batch.len()
        ));
    }
    let fits = page.raw.chunks_exact(2).all(|span| match span {
        [start, end] => start <= end && *end as usize <= body.len(),
        _ => false,
    });
    if fits {
        Ok(())
    } else {
        forged("the adapter returned a raw record outside of the answer".to_owned())
    }
}

/// An error of this crate as a failure of a stream.
fn of_error(error: &ConnectError) -> Failure {
    let class = match error.kind() {
        ConnectErrorKind::Reconnect | ConnectErrorKind::Secret | ConnectErrorKind::Key => {
            class::RECONNECT
        }
        ConnectErrorKind::Configuration | ConnectErrorKind::Unknown => class::REFUSED,
        // An answer that takes too long is tried smaller, like one that the app says is too large.
        ConnectErrorKind::TimedOut | ConnectErrorKind::TooLarge => class::TOO_LARGE,
        ConnectErrorKind::Malformed => class::MALFORMED,
        ConnectErrorKind::Plugin => class::PLUGIN,
        _ => class::TRANSIENT,
    };
    Failure {
        class: class.to_owned(),
        code: String::new(),
        message: error.message().to_owned(),
        remedy: error.remedy().unwrap_or_default().to_owned(),
        retry_after: error.retry_after().and_then(|wait| u64::try_from(wait.as_millis()).ok()),
    }
}
