//! The directory of a company and its sign-in log: what the server serves.

use casbah_sim::{Addresses, Error};
use smartsheet_sim::Company;

use crate::people::{Change, Directory, What, guid, terminated, usual};
use crate::render;
use crate::sign_in::{History, Incident, history};

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The company: the same seed and number of users give the same people as in the other
    /// simulators. Its days and end are those of the sign-in log; its events mean nothing here.
    pub company: smartsheet_sim::Plan,
    /// What happens to accounts, besides the usual coming and going.
    pub changes: Vec<Change>,
    /// Whether the usual coming and going happens, all of it to accounts that the apps call
    /// deactivated.
    pub usual: bool,
    /// E-mail address of who is dismissed and goes on all the same; the usual one when absent or
    /// unknown, nobody when empty.
    pub terminated: Option<String>,
    /// When that is, ms since 1970; half-way when absent.
    pub terminated_at: Option<i64>,
    /// Whether incidents are planted into the sign-in log, and from which addresses.
    pub incidents: Option<Addresses>,
}

impl Default for Plan {
    fn default() -> Self {
        Self::of(smartsheet_sim::Plan::default())
    }
}

impl Plan {
    /// The usual things in a company.
    pub fn of(company: smartsheet_sim::Plan) -> Self {
        Self {
            company,
            changes: Vec::new(),
            usual: true,
            terminated: None,
            terminated_at: None,
            incidents: Some(Addresses::default()),
        }
    }
}

/// A company's directory and its sign-in log.
#[derive(Debug)]
pub struct World {
    company: Company,
    pub(crate) directory: Directory,
    pub(crate) history: History,
    tenant: String,
}

const TENANT: u64 = 0x7e4a;

impl World {
    /// Makes the world of a plan. The same plan gives the same bytes.
    ///
    /// # Errors
    /// When a change is planned for somebody who is not in the directory.
    pub fn new(plan: &Plan) -> Result<Self, Error> {
        let company = Company::new(&plan.company);
        let mut directory = Directory::new(&company);
        let half = company.start() + (company.plan.end - company.start()) / 2;
        let mut changes = if plan.usual { usual(&company) } else { Vec::new() };
        let who = match plan.terminated.as_deref() {
            Some("") => None,
            Some(email) if directory.find(email).is_some() => Some(email.to_owned()),
            _ if plan.usual => terminated(&company).map(|user| user.email.clone()),
            _ => None,
        };
        let mut dismissed = None;
        if let Some(email) = who {
            let time = plan.terminated_at.unwrap_or(half);
            dismissed = Some((email.to_lowercase(), time));
            changes.push(Change { email, what: What::Disable, time: Some(time) });
        }
        changes.extend(plan.changes.iter().cloned());
        directory.plan(&changes, company.start())?;
        let mut history = history(&company, &directory, plan.incidents.as_ref());
        if let Some((actor, time)) = dismissed {
            history.incidents.push(Incident {
                name: "dismissed".to_owned(),
                labels: vec!["terminated-user".to_owned()],
                actor,
                start: time,
                end: time,
                sign_ins: 0,
                addresses: Vec::new(),
                benign: false,
            });
        }
        let tenant = guid(company.plan.seed, TENANT, 0);
        Ok(Self { company, directory, history, tenant })
    }

    /// The company.
    pub fn company(&self) -> &Company {
        &self.company
    }

    /// Id of the tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// How many people are in the directory, those who left included.
    pub fn people(&self) -> usize {
        self.directory.people.len()
    }

    /// How many sign-ins there are, with those that a client made for the person.
    pub fn sign_ins(&self) -> usize {
        self.history.sign_ins.len()
    }

    /// Ids of the sign-ins, in the order of their times; with `all` also of those that a client made.
    pub fn sign_in_ids(&self, all: bool) -> Vec<String> {
        let wanted = self.history.sign_ins.iter().filter(|sign_in| all || sign_in.interactive);
        wanted.map(|sign_in| render::sign_in_id(self, sign_in)).collect()
    }

    /// The planted incidents, near misses included. The one called `dismissed` is what the directory
    /// knows; what the person does then is in the logs of the apps.
    pub fn incidents(&self) -> &[Incident] {
        &self.history.incidents
    }

    /// The sign-in of a place as Graph writes it; with `beta` in the form of the beta version.
    pub fn sign_in(&self, at: usize, beta: bool) -> Option<serde_json::Value> {
        Some(render::sign_in(self, self.history.sign_ins.get(at)?, beta))
    }
}
