//! The Microsoft Entra ID adapter: what to ask Microsoft Graph for users, groups and sign-ins, how to
//! read its answers, and what they mean in casbah's words.
//!
//! `README.md` beside this crate tells what is mapped how. It is not a client: it makes no requests
//! and sees no tokens; it returns the next request as data and reads what came back. It is not a
//! hand that acts on accounts either: it only reads.

mod accounts;
mod describe;
mod envelope;
mod failure;
mod fingerprint;
mod link;
mod log;
mod members;
mod normalize;
mod question;
mod requests;
mod settings;

use casbah_plugin::{
    Adapter, AdapterDescription, Batch, Failure, HttpRequest, Page, PlanRequest, Response,
};

use requests::stream;
use settings::Settings;

/// The Microsoft Entra ID adapter.
pub struct Entra;

casbah_plugin::export_adapter!(Entra);

impl Adapter for Entra {
    fn describe() -> AdapterDescription {
        describe::description()
    }

    fn plan(request: &PlanRequest) -> Result<HttpRequest, Failure> {
        let settings = Settings::read(&request.settings)?;
        // Nothing can be asked without one, and saying so early is kinder than a refused token.
        settings.tenant()?;
        match request.stream.as_str() {
            stream::USERS | stream::DELETED | stream::LEAVERS => accounts::plan(request, &settings),
            stream::MEMBERS => members::plan(request, &settings),
            stream::SIGN_INS => log::plan(request, &settings),
            stream::FACTS => Ok(question::plan(request, &settings)),
            other => Err(failure::no_stream(other)),
        }
    }

    fn read(response: &Response) -> Result<Page, Failure> {
        let settings = Settings::read(&response.request.settings)?;
        if !(200..300).contains(&response.status) {
            let failure = failure::classify(response);
            return match response.request.stream.as_str() {
                stream::SIGN_INS if failure::is_unlicensed(&failure) => {
                    Ok(log::unlicensed(response))
                }
                stream::FACTS => question::refused(response, &settings, failure),
                stream::MEMBERS => Err(members::refused(response, &settings, failure)),
                _ => Err(failure),
            };
        }
        match response.request.stream.as_str() {
            stream::MEMBERS => members::read(response, &settings),
            stream::SIGN_INS => log::read(response, &settings),
            stream::FACTS => question::read(response, &settings),
            _ => accounts::read(response, &settings),
        }
    }

    fn normalize(_settings: &str, body: &[u8], raw: &[u32]) -> Result<Batch, Failure> {
        normalize::spans(body, raw)
    }

    fn split(body: &[u8]) -> Result<Vec<u32>, Failure> {
        envelope::split(body)
    }
}
