//! The incidents that are planted into the history, each with a label and the ids of its events.
//!
//! Near misses are planted too: busy but harmless, and labelled so. What a policy finds beyond the
//! incidents is a false alarm or a find of its own, and the label list says which.

use casbah_sim::random::mix;
use serde::Serialize;

use crate::catalogue::{Class, catalogue};
use crate::company::{Company, Role};
use crate::event::{ANONYMOUS, API, Event, NO_TARGET, SYSTEM, SYSTEM_USERS, WEB, mark};
use crate::history::{Historian, LONG};

/// Something that a monitor should notice, or, when `benign`, should not.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Incident {
    /// Short name, unique.
    pub name: String,
    /// What it is: the names of casbah's built-in policies that should find it, without
    /// `smartsheet-`. Of a near miss: those it might be mistaken for.
    pub labels: Vec<String>,
    /// E-mail address of who did it; empty for a system user.
    pub actor: String,
    /// The app's id of who did it: whose credential was used.
    pub actor_id: i64,
    /// Time of its first event, milliseconds since 1970.
    pub start: i64,
    /// Time of its last event.
    pub end: i64,
    /// The ids of its events, in the order they happened.
    pub event_ids: Vec<String>,
    /// Whether it is a near miss: busy, but nothing to be alarmed about.
    pub benign: bool,
}

/// An incident while the world is being made: running numbers instead of ids.
#[derive(Debug)]
pub(crate) struct Planted {
    pub(crate) name: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) actor: u32,
    pub(crate) serials: Vec<u32>,
    pub(crate) benign: bool,
}

/// One step of an incident.
struct Step {
    object_type: &'static str,
    action: &'static str,
    object: u32,
    target: u32,
    marks: u16,
}

fn step(object_type: &'static str, action: &'static str, object: u32) -> Step {
    Step { object_type, action, object, target: NO_TARGET, marks: 0 }
}

impl Step {
    fn target(self, target: u32) -> Self {
        Self { target, ..self }
    }

    fn marks(self, marks: u16) -> Self {
        Self { marks, ..self }
    }
}

struct Planter<'a, 'b> {
    company: &'a Company,
    historian: &'b mut Historian<'a>,
    planted: Vec<Planted>,
}

/// Who does something: whose account, by whose credential, with what client, marked how.
#[derive(Clone, Copy)]
struct Doer {
    actor: u32,
    request: u32,
    source: u8,
    marks: u16,
}

/// Plants everything; call before the history is filled, so that the numbers stay the same.
pub(crate) fn plant<'a>(company: &'a Company, historian: &mut Historian<'a>) -> Vec<Planted> {
    let mut planter = Planter { company, historian, planted: Vec::new() };
    planter.data_leaves();
    planter.shares();
    planter.destruction();
    planter.administration();
    planter.settings();
    planter.access();
    planter.near_misses();
    if company.plan.days >= LONG {
        planter.unusual();
        planter.in_bulk();
    }
    planter.planted
}

impl Planter<'_, '_> {
    /// The n-th active user of a role, round and round.
    fn user(&self, role: Role, n: usize) -> u32 {
        let all: Vec<u32> = self.company.of_role(role).collect();
        all.get(n % all.len().max(1)).copied().unwrap_or(0)
    }

    /// The n-th thing of some different ones.
    fn different(&self, class: Class, salt: u64, n: usize) -> u32 {
        let count = self.company.items(class).len().max(1);
        ((mix(salt, 77) as usize % count + n) % count) as u32
    }

    fn web(&self, actor: u32) -> Doer {
        Doer { actor, request: actor, source: WEB, marks: 0 }
    }

    /// Plants steps evenly over some seconds, from a part of the whole time on.
    fn plant(
        &mut self,
        (name, labels, benign): (&'static str, &'static [&'static str], bool),
        doer: Doer,
        (part, seconds): (f64, i64),
        steps: Vec<Step>,
    ) {
        let span = (self.company.plan.end - self.company.start()) as f64;
        let begin = self.company.start() + (span * part) as i64;
        let pause = seconds * 1000 / (steps.len() as i64 - 1).max(1);
        let mut serials = Vec::with_capacity(steps.len());
        for (n, step) in (0i64..).zip(steps) {
            let Some(kind) = catalogue().find(step.object_type, step.action) else { continue };
            let delay = self.historian.delay();
            let event = Event {
                time: (begin + n * pause).min(self.company.plan.end - 1000),
                delay,
                serial: 0,
                actor: doer.actor,
                request: doer.request,
                object: step.object,
                target: step.target,
                kind,
                marks: doer.marks | step.marks,
                source: doer.source,
            };
            serials.extend(self.historian.add(event));
        }
        self.planted.push(Planted { name, labels, actor: doer.request, serials, benign });
    }

    fn data_leaves(&mut self) {
        let thief = Doer { marks: mark::STRANGE_IP, ..self.web(self.user(Role::Analyst, 5)) };
        let steps = (0..60)
            .map(|n| match n % 4 {
                3 => step("REPORT", "EXPORT", self.different(Class::Report, 1, n)),
                _ => step("SHEET", "EXPORT", self.different(Class::Sheet, 1, n)),
            })
            .collect();
        self.plant(("mass-export", &["mass-export"], false), thief, (0.62, 230), steps);

        let mailer = self.web(self.user(Role::ProjectManager, 3));
        let steps = (0..6)
            .map(|n| {
                step("SHEET", "SEND_AS_ATTACHMENT", self.different(Class::Sheet, 2, n))
                    .marks(mark::OUTSIDE)
            })
            .collect();
        self.plant(("mail-outside", &["mail-outside"], false), mailer, (0.71, 900), steps);

        let keeper = self.web(self.user(Role::Manager, 4));
        let steps = (0..18)
            .map(|n| step("WORKSPACE", "REQUEST_BACKUP", self.different(Class::Workspace, 3, n)))
            .collect();
        self.plant(("mass-backup", &["mass-backup"], false), keeper, (0.80, 500), steps);
    }

    fn shares(&mut self) {
        let sharer = self.web(self.user(Role::ProjectManager, 6));
        let colleague = self.user(Role::Analyst, 9);
        let steps = (0..60)
            .map(|n| {
                step("SHEET", "ADD_SHARE", self.different(Class::Sheet, 4, n)).target(colleague)
            })
            .collect();
        self.plant(("mass-share", &["mass-share"], false), sharer, (0.34, 280), steps);

        let sharer = self.web(self.user(Role::Manager, 2));
        let guest = self
            .company
            .of_role(Role::Guest)
            .find(|&at| self.company.users.get(at as usize).is_some_and(|user| user.listed))
            .unwrap_or(0);
        let steps = (0..5)
            .map(|n| {
                step("SHEET", "ADD_SHARE", self.different(Class::Sheet, 5, n))
                    .target(guest)
                    .marks(if n == 4 { mark::ADMIN } else { 0 })
            })
            .collect();
        self.plant(
            ("share-outside", &["share-outside", "outside-admin"], false),
            sharer,
            (0.45, 400),
            steps,
        );

        let publisher = self.web(self.user(Role::Manager, 6));
        let steps = vec![
            step("DASHBOARD", "ADD_PUBLISH", self.different(Class::Dashboard, 6, 0))
                .marks(mark::PUBLIC),
            step("DASHBOARD", "ADD_PUBLISH", self.different(Class::Dashboard, 6, 1))
                .marks(mark::PUBLIC),
        ];
        self.plant(
            ("publish-everybody", &["dashboard-published"], false),
            publisher,
            (0.52, 60),
            steps,
        );
    }

    fn destruction(&mut self) {
        let angry = Doer { marks: mark::HOME, ..self.web(self.user(Role::ProjectManager, 1)) };
        let deletes = (0..80).map(|n| (n, "DELETE"));
        let steps = deletes
            .chain((0..80).map(|n| (n, "PURGE")))
            .map(|(n, action)| step("SHEET", action, self.different(Class::Sheet, 7, n)))
            .collect();
        self.plant(
            ("mass-deletion", &["mass-deletion", "mass-purge"], false),
            angry,
            (0.91, 420),
            steps,
        );

        let leaving = self.web(self.user(Role::Manager, 7));
        let heir = self.user(Role::Analyst, 12);
        let steps = (0..45)
            .map(|n| {
                step("SHEET", "TRANSFER_OWNERSHIP", self.different(Class::Sheet, 8, n)).target(heir)
            })
            .chain(
                ["TRANSFER_OWNED_ITEMS", "TRANSFER_OWNED_GROUPS"]
                    .map(|action| step("USER", action, leaving.actor).target(heir)),
            )
            .collect();
        self.plant(
            ("ownership-bulk", &["ownership-transfer", "owned-items-transferred"], false),
            leaving,
            (0.57, 270),
            steps,
        );
    }

    fn administration(&mut self) {
        let admin = self.web(self.user(Role::Admin, 1));
        let new = self.user(Role::Analyst, 20);
        let steps = vec![
            step("USER", "UPDATE_USER", new).marks(mark::ADMIN),
            step("USER", "ADD_TO_ACCOUNT", self.user(Role::Analyst, 21)).marks(mark::ADMIN),
        ];
        self.plant(("admin-granted", &["admin-granted"], false), admin, (0.27, 120), steps);

        let curious = self.web(self.user(Role::Admin, 2));
        let steps = vec![
            step("ACCOUNT", "DOWNLOAD_USER_LIST", 0),
            step("ACCOUNT", "DOWNLOAD_LOGIN_HISTORY", 0),
            step("ACCOUNT", "DOWNLOAD_PUBLISHED_ITEMS_REPORT", 0),
            step("ACCOUNT", "DOWNLOAD_SHEET_ACCESS_REPORT", 0),
            step("USER", "DOWNLOAD_SHEET_ACCESS_REPORT", self.user(Role::Manager, 0)),
            step("GROUP", "DOWNLOAD_SHEET_ACCESS_REPORT", 1),
        ];
        self.plant(("user-list", &["report-downloaded"], false), curious, (0.48, 200), steps);
    }

    fn settings(&mut self) {
        let admin = self.web(self.user(Role::Admin, 1));
        let steps = vec![
            step("AUTHENTICATION", "ACTIVATE_DOMAIN_STRICT", 0),
            step("POLICY_SAFE_SHARING", "ADD_REQUEST_FORM", 1),
            step("POLICY_DOMAIN_SHARING", "UPDATE", 2),
        ];
        self.plant(("settings-changed", &["security-setting"], false), admin, (0.12, 240), steps);

        let keeper = self.web(self.user(Role::Manager, 10));
        let workspace = self.different(Class::Workspace, 15, 0);
        let steps = vec![step("WORKSPACE", "CREATE_RECURRING_BACKUP", workspace)];
        self.plant(("backup-set-up", &["recurring-backup"], false), keeper, (0.36, 1), steps);
    }

    fn access(&mut self) {
        let admin = self.user(Role::Admin, 3);
        let victim = self.user(Role::Manager, 3);
        let masked = Doer { actor: victim, request: admin, source: API, marks: 0 };
        let steps =
            (0..12).map(|n| step("SHEET", "LOAD", self.different(Class::Sheet, 9, n))).collect();
        self.plant(("impersonation", &["impersonation"], false), masked, (0.39, 300), steps);

        let holder = self.web(self.user(Role::Analyst, 30));
        let steps = vec![step("ACCESS_TOKEN", "AUTHORIZE", 59)];
        self.plant(("new-token", &["new-token"], false), holder, (0.67, 1), steps);

        let place = SYSTEM_USERS.iter().position(|(id, _)| *id == ANONYMOUS).unwrap_or(0);
        let actor = SYSTEM + place as u32;
        let anybody = Doer { actor, request: actor, source: WEB, marks: 0 };
        let sheet = self.different(Class::Sheet, 10, 0);
        let steps = (0..25).map(|_| step("SHEET", "LOAD", sheet)).collect();
        self.plant(("anonymous", &["anonymous-access"], false), anybody, (0.75, 3_000), steps);
    }

    fn near_misses(&mut self) {
        let hour = 3_600;
        let reporter = self.web(self.user(Role::Analyst, 40));
        let steps =
            (0..20).map(|n| step("SHEET", "EXPORT", self.different(Class::Sheet, 11, n))).collect();
        let name = ("exports-of-a-day", &["mass-export"][..], true);
        self.plant(name, reporter, (0.15, 9 * hour), steps);

        let tidy = self.web(self.user(Role::ProjectManager, 9));
        let steps =
            (0..15).map(|n| step("SHEET", "DELETE", self.different(Class::Sheet, 12, n))).collect();
        self.plant(("tidying-up", &["mass-deletion"][..], true), tidy, (0.20, 8 * hour), steps);

        let team = self.web(self.user(Role::ProjectManager, 11));
        let steps = (0..12)
            .map(|n| step("DASHBOARD", "ADD_PUBLISH", self.different(Class::Dashboard, 13, n)))
            .collect();
        self.plant(
            ("published-inside", &["dashboard-published"][..], true),
            team,
            (0.30, hour),
            steps,
        );

        self.workspace_share();
    }

    /// What is strange only when it is known what is usual.
    fn unusual(&mut self) {
        let hour = 3_600;
        let admin = self.user(Role::Admin, 3);
        let victim = self.user(Role::Manager, 12);
        let masked = Doer { actor: victim, request: admin, source: API, marks: 0 };
        let steps =
            (0..150).map(|n| step("SHEET", "LOAD", self.different(Class::Sheet, 16, n))).collect();
        let name = ("impersonation-for-hours", &["unusual-impersonation"][..], false);
        self.plant(name, masked, (0.86, 4 * hour), steps);

        let mailer = self.web(self.user(Role::Analyst, 80));
        let steps = (0..45)
            .map(|n| {
                step("SHEET", "SEND_ROW", self.different(Class::Sheet, 17, n))
                    .target(self.user(Role::Analyst, 2 * n))
            })
            .collect();
        self.plant(("mail-out", &["mass-mail-out"], false), mailer, (0.875, 2 * hour), steps);

        let admin = self.web(self.user(Role::Admin, 0));
        let steps = vec![step("AUTHENTICATION", "DEACTIVATE_DOMAIN_STRICT", 3)];
        let name = ("strict-sign-in-off", &["unusual-admin-action", "security-setting"][..], false);
        self.plant(name, admin, (0.94, 1), steps);

        // Whom an administrator made one, see `administration`.
        let new = self.web(self.user(Role::Analyst, 20));
        let steps = vec![
            step("GROUP", "CREATE", 2),
            step("GROUP", "ADD_MEMBER", 2),
            step("GROUP", "ADD_MEMBER", 2),
        ];
        self.plant(("new-admin-at-work", &["new-admin"], false), new, (0.89, 600), steps);
    }

    /// What is many within minutes.
    fn in_bulk(&mut self) {
        let loader = self.web(self.user(Role::Analyst, 84));
        let steps = (0..70).map(|n| step("ATTACHMENT", "LOAD", 190_000 + n)).collect();
        self.plant(("mass-download", &["mass-download"], false), loader, (0.83, 480), steps);

        let guessed = self.web(self.user(Role::Analyst, 88));
        let steps = (0..11).map(|_| step("AUTHENTICATION", "LOGIN_FAILURE", 4)).collect();
        self.plant(("failed-logins", &["failed-logins"], false), guessed, (0.92, 240), steps);

        let remover = self.web(self.user(Role::Admin, 0));
        let steps = (0..14)
            .map(|n| step("USER", "REMOVE_FROM_ACCOUNT", self.user(Role::Analyst, 50 + n)))
            .collect();
        self.plant(("users-removed", &["mass-user-removal"], false), remover, (0.96, 2_400), steps);

        let admin = self.web(self.user(Role::Admin, 2));
        let steps = (0..12)
            .map(|n| step("USER", "SEND_PASSWORD_RESET", self.user(Role::Manager, n)))
            .collect();
        self.plant(("password-resets", &["password-resets"], false), admin, (0.84, 500), steps);
    }

    /// One action with many events, all of them in one second.
    fn workspace_share(&mut self) {
        let leader = self.web(self.user(Role::Manager, 9));
        let colleague = self.user(Role::Analyst, 15);
        let workspace = self.different(Class::Workspace, 14, 0);
        let steps = vec![step("WORKSPACE", "ADD_SHARE", workspace).target(colleague)];
        self.plant(("workspace-shared", &["mass-share"], true), leader, (0.24, 1), steps);
        let first = self.planted.last().and_then(|planted| planted.serials.first().copied());
        let Some(event) = first.and_then(|at| self.historian.events.get(at as usize).copied())
        else {
            return;
        };
        let more = self.historian.contained_shares(event);
        if let Some(planted) = self.planted.last_mut() {
            planted.serials.extend(more);
        }
    }
}
