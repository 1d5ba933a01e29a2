//! The test of a connection: a cheap read for every permission that the settings need.

use casbah_plugin::{Batch, Failure, HttpRequest, Next, Page, PlanRequest, Response, class, facts};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::requests::{cursor, get, probe, stream, write};
use crate::settings::Settings;
use crate::{envelope, failure, log, members};

/// Which question comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Question {
    /// Whose tenant it is. Not needed for anything, so a refusal does no harm.
    #[default]
    Organization,
    Users,
    /// One of the chosen groups.
    Group(usize),
    SignIns,
}

impl Question {
    fn of(request: &PlanRequest) -> Self {
        cursor(request)
    }

    fn after(self, settings: &Settings) -> Option<Self> {
        let sign_ins = settings.sign_ins.then_some(Self::SignIns);
        let group = |at| (at < settings.groups.len().min(MOST_GROUPS)).then_some(Self::Group(at));
        match self {
            Self::Organization => Some(Self::Users),
            Self::Users => group(0).or(sign_ins),
            Self::Group(at) => group(at + 1).or(sign_ins),
            Self::SignIns => None,
        }
    }
}

/// Groups that a test asks for at most.
const MOST_GROUPS: usize = 12;

/// The next request.
pub(crate) fn plan(request: &PlanRequest, settings: &Settings) -> HttpRequest {
    match Question::of(request) {
        Question::Organization => {
            get("/v1.0/organization".to_owned(), &[("$select", "id,displayName".to_owned())])
        }
        Question::Users => probe(),
        Question::Group(at) => {
            settings.groups.get(at).map_or_else(probe, |it| members::find(it.trim()))
        }
        Question::SignIns => log::ask(settings, None, 1),
    }
}

/// Makes facts of an answer.
///
/// # Errors
/// `malformed` when it is none, `forbidden` when there is nobody, `refused` when a group is missing.
pub(crate) fn read(response: &Response, settings: &Settings) -> Result<Page, Failure> {
    let question = Question::of(&response.request);
    let mut facts = Vec::new();
    match question {
        Question::Organization => facts = organization(response)?,
        Question::Users => {
            if envelope::list(response)?.items.is_empty() {
                return Err(Failure {
                    class: class::FORBIDDEN.to_owned(),
                    code: "empty".to_owned(),
                    message: "Microsoft Graph let casbah in, but the tenant seems to have no users"
                        .to_owned(),
                    remedy: failure::missing(failure::permission(stream::USERS)),
                    retry_after: None,
                });
            }
        }
        Question::Group(at) => {
            if let Some(group) = settings.groups.get(at) {
                members::read_group(response, group.trim())?;
            }
        }
        Question::SignIns => {
            envelope::list(response)?;
            facts.push((facts::MAY_READ_ACTIVITIES.to_owned(), "true".to_owned()));
        }
    }
    Ok(page(question, settings, facts))
}

fn page(question: Question, settings: &Settings, facts: Vec<(String, String)>) -> Page {
    let then = question.after(settings);
    Page {
        next: if then.is_some() { Next::More } else { Next::CaughtUp },
        cursor: write(&then.unwrap_or_default()),
        batch: Batch::default(),
        raw: Vec::new(),
        facts,
    }
}

/// What a refused question means.
///
/// # Errors
/// The failure, unless nothing depends on the answer.
pub(crate) fn refused(
    response: &Response,
    settings: &Settings,
    failure: Failure,
) -> Result<Page, Failure> {
    let question = Question::of(&response.request);
    let no = matches!(failure.class.as_str(), class::FORBIDDEN | class::REFUSED);
    let forbidden = response.status == 403 && failure.class == class::FORBIDDEN;
    match question {
        Question::Organization if no && failure.code != "Authorization_IdentityNotFound" => {
            Ok(page(question, settings, Vec::new()))
        }
        Question::SignIns if failure::is_unlicensed(&failure) => {
            let why = "sign-ins can't be read: that needs Entra ID P1 or P2; the rest works";
            Ok(page(question, settings, vec![(facts::LIMITATION.to_owned(), why.to_owned())]))
        }
        Question::Group(at) if response.status == 404 => {
            let group = settings.groups.get(at).map(String::as_str).unwrap_or_default();
            Err(Failure {
                message: format!("there is no group `{}`", failure::printable(group, 80)),
                ..failure
            })
        }
        Question::Group(_) if forbidden => Err(Failure {
            remedy: failure::missing(failure::permission(stream::MEMBERS)),
            ..failure
        }),
        Question::SignIns if forbidden => Err(Failure {
            remedy: failure::missing(failure::permission(stream::SIGN_INS)),
            ..failure
        }),
        _ => Err(failure),
    }
}

fn organization(response: &Response) -> Result<Vec<(String, String)>, Failure> {
    let list = envelope::list(response)?;
    let first: Option<Value> =
        list.items.first().and_then(|item| serde_json::from_str(item.get()).ok());
    let said = [(facts::ORGANIZATION_ID, "id"), (facts::ORGANIZATION_NAME, "displayName")];
    Ok(said
        .into_iter()
        .filter_map(|(fact, member)| {
            let value = first.as_ref()?.get(member)?.as_str()?;
            (!value.is_empty()).then(|| (fact.to_owned(), value.to_owned()))
        })
        .collect())
}
