//! The Smartsheet adapter: what to ask Smartsheet, how to read its answers, and what its events mean
//! in casbah's words.
//!
//! `README.md` beside this crate tells what is mapped how. It is not a client: it makes no requests
//! and sees no tokens; it returns the next request as data and reads what came back.

mod accounts;
mod describe;
mod event;
mod failure;
mod fingerprint;
mod kinds;
mod normalize;
mod page;
mod requests;
mod settings;
mod types;

use casbah_plugin::{
    Adapter, AdapterDescription, Batch, Failure, HttpRequest, Next, Page, PlanRequest, Response,
    facts,
};

use page::Body;
use requests::{Question, stream};
use settings::Settings;

/// The Smartsheet adapter.
pub struct Smartsheet;

casbah_plugin::export_adapter!(Smartsheet);

impl Adapter for Smartsheet {
    fn describe() -> AdapterDescription {
        describe::description()
    }

    fn plan(request: &PlanRequest) -> Result<HttpRequest, Failure> {
        requests::plan(request, &Settings::read(&request.settings)?)
    }

    fn read(response: &Response) -> Result<Page, Failure> {
        let settings = Settings::read(&response.request.settings)?;
        if !(200..300).contains(&response.status) {
            return Err(failure::classify(response, &settings));
        }
        let read = match response.request.stream.as_str() {
            stream::ACTIVITIES => activities(response, &settings),
            stream::ACCOUNTS => accounts(response),
            _ => facts_page(response, &settings),
        };
        match read? {
            Body::Page(page) => Ok(page),
            Body::Error => Err(failure::classify(response, &settings)),
        }
    }

    fn normalize(settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
        page::normalize(body, raw, &Settings::read(settings)?)
    }

    fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
        page::split(body)
    }
}

fn activities(response: &Response, settings: &Settings) -> Result<Body<Page>, Failure> {
    let Body::Page(page) = page::read(&response.body, settings)? else { return Ok(Body::Error) };
    let (cursor, next) = requests::after_events(&response.request, &page);
    Ok(Body::Page(Page { next, cursor, batch: page.batch, raw: page.raw, facts: Vec::new() }))
}

fn accounts(response: &Response) -> Result<Body<Page>, Failure> {
    let Body::Page(page) = accounts::read(&response.body)? else { return Ok(Body::Error) };
    let (cursor, next) = accounts::after(&response.request, &page);
    Ok(Body::Page(Page { next, cursor, batch: page.batch, raw: page.raw, facts: Vec::new() }))
}

fn facts_page(response: &Response, settings: &Settings) -> Result<Body<Page>, Failure> {
    let (next, then, facts) = match requests::question(&response.request) {
        Question::WhoAmI => match accounts::read_me(&response.body)? {
            Body::Page(facts) => (Next::More, Question::MayReadEvents, facts),
            Body::Error => return Ok(Body::Error),
        },
        Question::MayReadEvents => {
            let Body::Page(_) = page::read(&response.body, settings)? else {
                return Ok(Body::Error);
            };
            let fact = (facts::MAY_READ_ACTIVITIES.to_owned(), "true".to_owned());
            (Next::CaughtUp, Question::WhoAmI, vec![fact])
        }
    };
    let cursor = requests::write_question(then);
    Ok(Body::Page(Page { next, cursor, batch: Batch::default(), raw: Vec::new(), facts }))
}
