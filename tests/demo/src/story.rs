//! The company of the demo, what happens in it, and what should be found of that.
//!
//! The history ends on a Friday evening, so that every run tells the same story, whatever day it is.

use std::collections::BTreeMap;

use anyhow::Result;
use netdocuments_sim::Incident;
use serde::{Deserialize, Serialize};
use smartsheet_sim::text::time;
use smartsheet_sim::{Company, Role};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Of the company and of everything in it.
const SEED: u64 = 7;
/// Offices by time zone from west to east: Seattle, New York, London, Berlin, Mumbai, Sydney.
const OFFICES: [&str; 6] =
    ["192.0.2.1", "192.0.2.17", "192.0.2.33", "192.0.2.49", "192.0.2.65", "192.0.2.81"];
/// Networks of those who work at home, in the same order.
const HOMES: [&str; 6] = [
    "2001:db8:1::/48",
    "2001:db8:2::/48",
    "198.51.100.0/26",
    "198.51.100.64/26",
    "2001:db8:5::/48",
    "2001:db8:6::/48",
];
const FAR: &str = "203.0.113.201";
const TRAVEL: &str = "203.0.113.202";
const ANONYMOUS: &str = "203.0.113.203";
const SUSPICIOUS: &str = "203.0.113.204";
const UNUSUAL_NETWORK: &str = "203.0.113.220";

/// How much of everything there is.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// People, service accounts and guests.
    pub people: usize,
    /// Days of history and activities in Smartsheet.
    pub smartsheet: (u32, usize),
    /// The same in NetDocuments.
    pub netdocuments: (u32, usize),
    /// Days of sign-ins.
    pub entra: u32,
}

impl Default for Scale {
    /// More than two months where an account must have been silent for so long, and less than the month
    /// that Entra ID keeps.
    fn default() -> Self {
        Self { people: 300, smartsheet: (28, 120_000), netdocuments: (64, 120_000), entra: 21 }
    }
}

/// Something that was planted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Planted {
    /// Short name.
    pub name: String,
    /// The app whose log has it.
    pub app: String,
    /// Who did it: an e-mail address in lower case; empty for nobody in particular.
    pub who: String,
    /// Policies that should find it; of a near miss, those that should not.
    pub policies: Vec<String>,
    /// When it begins, ms since 1970.
    pub from: i64,
    /// When it ends.
    pub to: i64,
    /// Harmless, though it may look otherwise.
    pub near_miss: bool,
}

/// Three apps, and what should be found in them.
#[derive(Debug)]
pub struct Story {
    /// Sheets and what is done with them.
    pub smartsheet: smartsheet_sim::World,
    /// Documents and what is done with them.
    pub netdocuments: netdocuments_sim::World,
    /// The directory and its sign-ins.
    pub entra: entra_sim::World,
    /// What should be found, and what should not.
    pub planted: Vec<Planted>,
    /// What the organization keeps of people beside the directory: who is to leave.
    pub people: String,
}

/// The last Friday, 18:00 UTC, before a time in ms since 1970.
#[must_use]
pub fn last_friday(now: i64) -> i64 {
    let day = (now - 18 * HOUR).div_euclid(DAY);
    // 1970-01-01 was a Thursday, so the second day was a Friday.
    let since_friday = (day - 1).rem_euclid(7);
    (day - since_friday) * DAY + 18 * HOUR
}

fn plan(end: i64, users: usize, (days, events): (u32, usize)) -> smartsheet_sim::Plan {
    smartsheet_sim::Plan {
        seed: SEED,
        users,
        days,
        events,
        end,
        offices: OFFICES.map(str::to_owned).into(),
        homes: HOMES.map(str::to_owned).into(),
        ..smartsheet_sim::Plan::default()
    }
}

impl Story {
    /// The story that ends at a time, ms since 1970.
    ///
    /// # Errors
    /// When somebody is to be dismissed who is not in the directory.
    pub fn new(end: i64, scale: &Scale) -> Result<Self> {
        let people = scale.people;
        let smartsheet = smartsheet_sim::World::new(&plan(end, people, scale.smartsheet));
        let cast = Cast::of(smartsheet.company());
        // Whose password was guessed in one app is soon heard of in the other.
        let guessed = smartsheet.incidents().iter().find(|one| one.name == "failed-logins");
        let guessed = guessed.map(|one| (one.actor.as_str(), one.end));
        let netdocuments = netdocuments_sim::World::new(&netdocuments_sim::Plan {
            company: smartsheet_sim::Plan {
                late_at_most: 10 * 60_000,
                ..plan(end, people, scale.netdocuments)
            },
            plants: cast.plants(end, guessed),
            ..netdocuments_sim::Plan::default()
        });
        let entra = entra_sim::World::new(&cast.directory(end, scale))?;
        let mut planted = of_smartsheet(&smartsheet);
        planted.extend(netdocuments.incidents().iter().map(|incident| {
            // Who is dismissed may do something from then on.
            let dismissed = incident.labels.iter().any(|label| label == "terminated-user");
            let from = if dismissed { dismissal(end) } else { incident.start };
            let span = (from, incident.end);
            let Incident { name, actor, labels, benign, .. } = incident;
            told("netdocuments", name, actor, labels, span, *benign)
        }));
        // Who is dismissed is no incident of the directory: what the person does then is.
        let signed_in = entra.incidents().iter().filter(|incident| incident.sign_ins > 0);
        planted.extend(signed_in.map(|incident| {
            let span = (incident.start, incident.end);
            told("entra", &incident.name, &incident.actor, &incident.labels, span, incident.benign)
        }));
        let people = format!(
            "email,state,since,leaves\n{},leaving,{},{}\n",
            cast.leaver,
            time(end - 20 * DAY),
            time(end + 30 * DAY),
        );
        Ok(Self { smartsheet, netdocuments, entra, planted, people })
    }
}

/// Who plays which part, where a simulator has to be told.
struct Cast {
    dismissed: String,
    leaver: String,
    /// Has an account, and hardly ever used it.
    forgotten: String,
    /// Works in Manchester for a day.
    elsewhere: String,
}

impl Cast {
    fn of(company: &Company) -> Self {
        let nth = |role: Role, n: usize| {
            let all: Vec<u32> = company.of_role(role).collect();
            let at = all.get(n % all.len().max(1)).copied().unwrap_or(0);
            company
                .users
                .get(at as usize)
                .map_or_else(String::new, |user| user.email.to_lowercase())
        };
        let idle = company.users.iter().find(|user| user.status == "PENDING" && user.internal());
        let british = company.users.iter().filter(|user| {
            user.zone == "Europe/London"
                && matches!(user.role, Role::Analyst | Role::ProjectManager)
        });
        // Somebody who is often at home, so that it is known well from where.
        let british = british.max_by(|a, b| a.weight.total_cmp(&b.weight));
        Self {
            dismissed: nth(Role::Analyst, 44),
            leaver: nth(Role::Analyst, 50),
            forgotten: idle.map_or_else(String::new, |user| user.email.to_lowercase()),
            elsewhere: british.map_or_else(String::new, |user| user.email.to_lowercase()),
        }
    }

    fn plants(&self, end: i64, guessed: Option<(&str, i64)>) -> Vec<netdocuments_sim::Plant> {
        use netdocuments_sim::{Addresses, Plant, What};
        let addresses = Addresses {
            far: FAR.to_owned(),
            travel: TRAVEL.to_owned(),
            anonymous: ANONYMOUS.to_owned(),
            suspicious: SUSPICIOUS.to_owned(),
        };
        let mut plants = Plant::all(&addresses);
        for plant in plants.iter_mut().filter(|plant| plant.what == What::TerminatedUser) {
            plant.actor = Some(self.dismissed.clone());
            plant.start = Some(dismissal(end) + 20 * HOUR);
        }
        let by = |what, actor: &str, address: Option<&str>| Plant {
            actor: Some(actor.to_owned()),
            address: address.map(str::to_owned),
            ..Plant::new(what)
        };
        plants.push(by(What::LeavingUserExport, &self.leaver, None));
        plants.push(by(What::InactiveAccount, &self.forgotten, None));
        plants.push(by(What::InfrequentNetwork, &self.elsewhere, Some(UNUSUAL_NETWORK)));
        if let Some((actor, time)) = guessed {
            let stolen = by(What::StolenAccount, actor, Some(UNUSUAL_NETWORK));
            plants.push(Plant { start: Some(time + HOUR), ..stolen });
        }
        plants
    }

    fn directory(&self, end: i64, scale: &Scale) -> entra_sim::Plan {
        let dismissed = entra_sim::Change {
            email: self.dismissed.clone(),
            what: entra_sim::What::Delete,
            time: Some(dismissal(end)),
        };
        entra_sim::Plan {
            changes: vec![dismissed],
            // Entra ID does not say when somebody was disabled, but since when they are deleted.
            terminated: Some(String::new()),
            incidents: Some(entra_sim::Addresses {
                far: FAR.to_owned(),
                travel: TRAVEL.to_owned(),
                anonymous: ANONYMOUS.to_owned(),
                suspicious: SUSPICIOUS.to_owned(),
            }),
            ..entra_sim::Plan::of(plan(end, scale.people, (scale.entra, 0)))
        }
    }
}

/// When somebody is dismissed: on Thursday morning.
fn dismissal(end: i64) -> i64 {
    end - 34 * HOUR
}

fn of_smartsheet(world: &smartsheet_sim::World) -> Vec<Planted> {
    let emails: BTreeMap<i64, String> =
        world.company().users.iter().map(|user| (user.id, user.email.to_lowercase())).collect();
    world
        .incidents()
        .iter()
        .map(|incident| {
            let who = emails.get(&incident.actor_id).cloned().unwrap_or_default();
            let span = (incident.start, incident.end);
            told("smartsheet", &incident.name, &who, &incident.labels, span, incident.benign)
        })
        .collect()
}

/// What a simulator says of an incident, in the words of this demo.
fn told(
    app: &str,
    name: &str,
    who: &str,
    labels: &[String],
    (from, to): (i64, i64),
    near_miss: bool,
) -> Planted {
    let policies = labels.iter().flat_map(|label| named(app, label)).collect();
    let (app, name, who) = (app.to_owned(), name.to_owned(), who.to_lowercase());
    Planted { name, app, who, policies, from, to, near_miss }
}

/// The policies that a simulator's label stands for.
fn named(app: &str, label: &str) -> Vec<String> {
    let own = |name: &str| vec![format!("{app}-{name}")];
    let everywhere = |name: &str| vec![name.to_owned()];
    match (app, label) {
        (_, "anonymous-ip") => everywhere("anonymous-address"),
        (_, "suspicious-ip") => everywhere("suspicious-address"),
        ("smartsheet", "ownership-transfer") => {
            [own(label), everywhere("bulk-ownership-transfer")].concat()
        }
        ("smartsheet", "mass-download" | "mass-share" | "mass-deletion") => {
            [own(label), everywhere(label)].concat()
        }
        (
            "smartsheet",
            "mass-mail-out" | "new-admin" | "unusual-admin-action" | "unusual-impersonation",
        ) => everywhere(label),
        ("smartsheet", _) => own(label),
        (_, "failed-logins") => everywhere("multiple-failed-logins"),
        _ => everywhere(label),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_story_ends_on_a_friday_evening_that_is_past() {
        // 2026-11-20 is a Friday; 18:00 is 1_795_197_600.
        let friday = 1_795_197_600_000;
        for (now, end) in [
            (friday, friday),
            (friday - 1, friday - 7 * DAY),
            (friday + 3 * DAY, friday),
            (friday + 7 * DAY - 1, friday),
        ] {
            assert_eq!(last_friday(now), end, "{now}");
        }
    }

    #[test]
    fn everybody_has_a_part_of_their_own() {
        let story = Story::new(last_friday(1_795_197_600_000), &Scale::default()).unwrap();
        let doers: Vec<&Planted> =
            story.planted.iter().filter(|planted| !planted.near_miss).collect();
        assert!(doers.len() > 30, "{}", doers.len());
        for planted in doers {
            assert!(planted.from < planted.to || planted.to == planted.from, "{planted:?}");
            assert!(!planted.policies.is_empty(), "{planted:?}");
        }
    }
}
