//! The NetDocuments adapter: what to ask NetDocuments, how to read its logs, and what they mean in
//! casbah's words.
//!
//! `README.md` beside this crate tells what is mapped how. It is not a client: it makes no requests
//! and sees no tokens; it returns the next request as data and reads what came back.

mod accounts;
mod body;
mod catalogue;
mod describe;
mod failure;
mod fingerprint;
mod normalize;
mod record;
mod requests;
mod settings;
mod xml;

use casbah_plugin::{
    Adapter, AdapterDescription, Batch, Failure, HttpRequest, Next, Page, PlanRequest, Response,
    facts,
};

use requests::{Question, stream};
use settings::Settings;

/// The NetDocuments adapter.
pub struct NetDocuments;

casbah_plugin::export_adapter!(NetDocuments);

impl Adapter for NetDocuments {
    fn describe() -> AdapterDescription {
        describe::description()
    }

    fn plan(request: &PlanRequest) -> Result<HttpRequest, Failure> {
        requests::plan(request, &Settings::read(&request.settings)?)
    }

    fn read(response: &Response) -> Result<Page, Failure> {
        let settings = Settings::read(&response.request.settings)?;
        if !(200..300).contains(&response.status) {
            return Err(failure::classify(response));
        }
        match response.request.stream.as_str() {
            stream::ACCOUNTS => accounts_page(response),
            stream::FACTS => facts_page(response, &settings),
            _ => log_page(response, &settings),
        }
    }

    fn normalize(settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
        body::normalize(body, raw, &Settings::read(settings)?)
    }

    fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
        body::split(body)
    }
}

/// The records of an answer. *No content* is an empty log; an empty text of any other status is not.
fn records(response: &Response) -> Result<Vec<u32>, Failure> {
    if response.status == 204 {
        return Ok(Vec::new());
    }
    if response.body.trim_ascii().is_empty() {
        return Err(failure::malformed("the answer is empty"));
    }
    body::split(&response.body).map_err(|failure| failure::unreadable(response, failure))
}

fn log_page(response: &Response, settings: &Settings) -> Result<Page, Failure> {
    let usual =
        body::pass(&response.body, settings, requests::MOST).filter(|_| response.status != 204);
    let (batch, raw) = match usual {
        Some(read) => read,
        None => {
            let raw = records(response)?;
            if raw.len() / 2 > requests::MOST {
                return Err(failure::too_many(raw.len() / 2));
            }
            (body::read(&response.body, &raw, settings)?, raw)
        }
    };
    let (cursor, next) = requests::after_log(response, &batch)?;
    Ok(Page { next, cursor, batch, raw, facts: Vec::new() })
}

fn accounts_page(response: &Response) -> Result<Page, Failure> {
    let (batch, raw) =
        accounts::read(&response.body).map_err(|failure| failure::unreadable(response, failure))?;
    Ok(Page { next: Next::CaughtUp, cursor: "{}".to_owned(), batch, raw, facts: Vec::new() })
}

fn facts_page(response: &Response, settings: &Settings) -> Result<Page, Failure> {
    let question = requests::question(&response.request);
    let unreadable = |failure| failure::unreadable(response, failure);
    let (then, facts) = match question {
        Question::WhoAmI => {
            let mut facts = accounts::read_me(&response.body).map_err(unreadable)?;
            facts.push((facts::ORGANIZATION_ID.to_owned(), settings.repository()?.to_owned()));
            (Some(Question::Users), facts)
        }
        Question::Users => {
            accounts::read(&response.body).map_err(unreadable)?;
            (Some(Question::LastDay), Vec::new())
        }
        days if records(response)?.is_empty() => (longer(days)?, Vec::new()),
        _ => (None, vec![(facts::MAY_READ_ACTIVITIES.to_owned(), "true".to_owned())]),
    };
    let next = if then.is_some() { Next::More } else { Next::CaughtUp };
    let cursor = requests::write_question(then.unwrap_or_default());
    Ok(Page { next, cursor, batch: Batch::default(), raw: Vec::new(), facts })
}

/// An empty log may be a quiet day or a holiday, but no month is quiet.
fn longer(question: Question) -> Result<Option<Question>, Failure> {
    match question {
        Question::LastDay => Ok(Some(Question::LastWeek)),
        Question::LastWeek => Ok(Some(Question::LastMonth)),
        _ => Err(failure::empty("its log of the last 30 days is empty")),
    }
}
