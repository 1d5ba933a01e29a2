//! A made-up company: people, service accounts, guests, groups and the things they own.
//!
//! Names, domains and addresses are from ranges kept for documentation. What people do is not here
//! but in `history` and `incident`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use casbah_sim::random::{Random, mix};

use crate::catalogue::Class;

/// What somebody does in the company; it decides what they may do, how much and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// System administrator of the app.
    Admin,
    /// Leads people; shares and exports.
    Manager,
    /// Runs projects: creates and shares most things.
    ProjectManager,
    /// Works in sheets that others own.
    Analyst,
    /// An account that a program uses, by an API token and around the clock.
    Service,
    /// Belongs to a partner company.
    Guest,
}

/// Somebody who can sign in.
#[derive(Clone, Debug)]
pub struct User {
    /// The app's id.
    pub id: i64,
    /// E-mail address, as the app writes it.
    pub email: String,
    /// First name.
    pub first: String,
    /// Last name.
    pub last: String,
    /// What they do.
    pub role: Role,
    /// ACTIVE, PENDING or DEACTIVATED.
    pub status: &'static str,
    /// Whether the users list names them; guests of guests are missing from it.
    pub listed: bool,
    /// IANA name of the time zone.
    pub zone: &'static str,
    /// Minutes east of UTC.
    pub offset: i32,
    /// Address at work.
    pub office_ip: String,
    /// Address at home.
    pub home_ip: String,
    /// How much they do, compared with others; heavy-tailed.
    pub weight: f64,
}

impl User {
    /// Whether they administer the app.
    pub fn admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Whether they belong to the organization.
    pub fn internal(&self) -> bool {
        self.role != Role::Guest
    }

    /// The seat they have.
    pub fn seat(&self) -> &'static str {
        match self.role {
            Role::Guest => "GUEST",
            Role::Analyst if self.id % 5 == 0 => "VIEWER",
            Role::Analyst if self.id % 11 == 0 => "PROVISIONAL_MEMBER",
            _ => "MEMBER",
        }
    }

    pub(crate) fn rank(&self) -> u8 {
        match self.role {
            Role::Admin => 3,
            Role::Manager | Role::ProjectManager => 2,
            Role::Analyst if self.seat() == "VIEWER" => 0,
            Role::Analyst | Role::Service => 1,
            Role::Guest => 0,
        }
    }
}

/// A group of users.
#[derive(Clone, Debug)]
pub struct Group {
    /// The app's id.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Its owner, as a place in [`Company::users`].
    pub owner: u32,
    /// Its members, as places in [`Company::users`].
    pub members: Vec<u32>,
}

/// A sheet, report, dashboard or workspace.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) id: i64,
    /// Place of the workspace it is in.
    pub(crate) workspace: Option<u32>,
}

/// How a company is made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The same seed gives the same company, to the byte.
    pub seed: u64,
    /// How many people, service accounts and guests; at least 30.
    pub users: usize,
    /// How many days the history covers.
    pub days: u32,
    /// How many events it has, incidents included; at least 3,000 where incidents are wanted.
    pub events: usize,
    /// When it ends, in milliseconds since 1970.
    pub end: i64,
    /// Whether incidents are planted.
    pub incidents: bool,
    /// The part of the events that is delivered late.
    pub late: f64,
    /// How late at most, in milliseconds.
    pub late_at_most: i64,
    /// How far the order of the stream may depart from that of delivery, in events.
    pub disorder: usize,
    /// Addresses at work by time zone from west to east, round and round; made up when there are none.
    /// In a network such as `2001:db8:7::/48` everybody has an address of their own.
    pub offices: Vec<String>,
    /// Addresses at home, in the same way. Guests work from there, too.
    pub homes: Vec<String>,
}

impl Default for Plan {
    /// Seven days of 400 users, 150,000 events, ending 2026-11-20T12:00:00Z.
    fn default() -> Self {
        Self {
            seed: 7,
            users: 400,
            days: 7,
            events: 150_000,
            end: 1_795_176_000_000,
            incidents: true,
            late: 0.002,
            late_at_most: 90 * 60_000,
            disorder: 0,
            offices: Vec::new(),
            homes: Vec::new(),
        }
    }
}

/// The company.
#[derive(Clone, Debug)]
pub struct Company {
    /// How it was made.
    pub plan: Plan,
    /// Its name.
    pub name: &'static str,
    /// The domain of its e-mail addresses.
    pub domain: &'static str,
    /// The app's id of it.
    pub account_id: i64,
    /// Everybody who can sign in.
    pub users: Vec<User>,
    /// Its groups.
    pub groups: Vec<Group>,
    pub(crate) sheets: Vec<Item>,
    pub(crate) reports: Vec<Item>,
    pub(crate) dashboards: Vec<Item>,
    pub(crate) workspaces: Vec<Item>,
}

/// The company's own domain.
pub const DOMAIN: &str = "northwind.example";
/// Domains of partners; their people are guests.
pub const PARTNERS: &[&str] = &["contoso.example", "fabrikam.example", "adatum.example"];

const FIRST: &[&str] = &[
    "Ana", "Ben", "Chloé", "Dmitri", "Esra", "Fatima", "Goran", "Hana", "Ines", "Jun", "Kofi",
    "Lena", "Mateo", "Nadia", "Omar", "Priya", "Quinn", "Rosa", "Søren", "Tariq", "Uma", "Viktor",
    "Wei", "Ximena", "Yusuf", "Zoë", "Aroha", "Bruno", "Carla", "David",
];
const LAST: &[&str] = &[
    "Silva",
    "Novak",
    "O'Brien",
    "Müller",
    "Tanaka",
    "Okafor",
    "Haddad",
    "Kowalski",
    "Singh",
    "García",
    "Larsen",
    "Dubois",
    "Rossi",
    "Chen",
    "Patel",
    "Yılmaz",
    "Ivanova",
    "Nguyen",
    "Smith",
    "Mensah",
    "Cohen",
    "Andersson",
    "Costa",
    "Kim",
    "Ngata",
    "Weber",
    "Lopez",
    "Brown",
    "Sato",
];
const ZONES: &[(&str, i32)] = &[
    ("US/Pacific", -480),
    ("US/Eastern", -300),
    ("Europe/London", 0),
    ("Europe/Berlin", 60),
    ("Asia/Kolkata", 330),
    ("Australia/Sydney", 660),
];
const SERVICES: &[&str] = &["etl", "crm-sync", "bi-connector", "ticket-bridge", "hr-import"];
const GROUPS: &[&str] = &[
    "Engineering",
    "Finance",
    "Marketing",
    "People",
    "Legal",
    "Operations",
    "Sales EMEA",
    "Sales APAC",
    "Portfolio Office",
    "IT",
    "Everyone in \"Blue\"",
    "Procurement",
];

impl Company {
    /// Makes the company of a plan; what it does is added by `World`.
    pub fn new(plan: &Plan) -> Self {
        let mut random = Random::new(plan.seed);
        let users = make_users(plan, &mut random);
        let groups = make_groups(plan, &users, &mut random);
        let count = users.len();
        let seed = plan.seed;
        let items = |class: Class, number: usize, workspaces: usize, random: &mut Random| {
            let mut make = |at: usize| Item {
                id: object_id(seed, class, at as u32),
                workspace: (workspaces > 0 && random.chance(0.7))
                    .then(|| random.below(workspaces) as u32),
            };
            (0..number).map(&mut make).collect::<Vec<_>>()
        };
        let workspaces = items(Class::Workspace, 20 + count / 8, 0, &mut random);
        let inside = workspaces.len();
        Self {
            name: "Northwind Traders",
            domain: DOMAIN,
            account_id: object_id(seed, Class::Account, 0),
            sheets: items(Class::Sheet, 40 + count * 8, inside, &mut random),
            reports: items(Class::Report, 20 + count * 2, inside, &mut random),
            dashboards: items(Class::Dashboard, 20 + count, inside, &mut random),
            workspaces,
            users,
            groups,
            plan: plan.clone(),
        }
    }

    /// When the history begins, in milliseconds since 1970.
    pub fn start(&self) -> i64 {
        self.plan.end - i64::from(self.plan.days) * 86_400_000
    }

    /// The user with this id.
    pub fn user_by_id(&self, id: i64) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// Places of the users of a role who are active.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = u32> + '_ {
        (0u32..)
            .zip(&self.users)
            .filter(move |(_, user)| user.role == role && user.status == "ACTIVE")
            .map(|(at, _)| at)
    }

    pub(crate) fn items(&self, class: Class) -> &[Item] {
        match class {
            Class::Sheet => &self.sheets,
            Class::Report => &self.reports,
            Class::Dashboard => &self.dashboards,
            Class::Workspace => &self.workspaces,
            _ => &[],
        }
    }
}

/// The app's id of a thing: 16 to 19 digits, most of them past what a double can hold.
pub(crate) fn object_id(seed: u64, class: Class, at: u32) -> i64 {
    let bits = mix(mix(seed, class as u64 + 101), u64::from(at));
    let floor = 1_000_000_000_000_000;
    let limit = if bits & 3 == 0 { 8_000_000_000_000_000 } else { 8_200_000_000_000_000_000 };
    floor + ((bits >> 2) % limit) as i64
}

fn make_users(plan: &Plan, random: &mut Random) -> Vec<User> {
    let total = plan.users.max(30);
    let services = (total / 80).clamp(3, SERVICES.len() * 4);
    let guests = total / 9;
    (0..total)
        .map(|at| {
            let role = match at {
                0..4 => Role::Admin,
                _ if at < 4 + services => Role::Service,
                _ if at < 4 + services + guests => Role::Guest,
                _ => match random.below(100) {
                    0..12 => Role::Manager,
                    12..30 => Role::ProjectManager,
                    _ => Role::Analyst,
                },
            };
            make_user(plan, at, role, random)
        })
        .collect()
}

fn make_user(plan: &Plan, at: usize, role: Role, random: &mut Random) -> User {
    let (mut first, mut last) = (name_part(FIRST, random), name_part(LAST, random));
    let (zone, offset) = random.pick(ZONES).copied().unwrap_or(("UTC", 0));
    let domain = match role {
        Role::Guest => PARTNERS.get(at % PARTNERS.len()).copied().unwrap_or(DOMAIN),
        _ => DOMAIN,
    };
    let mut email = format!("{}.{}{at}@{domain}", plain(&first), plain(&last));
    if role == Role::Service {
        first = "svc".to_owned();
        last = SERVICES.get(at % SERVICES.len()).copied().unwrap_or("job").to_owned();
        email = format!("svc-{last}-{at}@{domain}");
    }
    if at % 17 == 5 {
        // The app keeps the case in which people typed their address.
        email = capitalized(&email);
    }
    let weight = match role {
        Role::Service => 12.0,
        Role::Guest => 0.15,
        Role::Admin => 0.7,
        _ => (random.normal() * 1.1).exp().min(14.0),
    };
    let status = match at {
        _ if role == Role::Service || at < 4 => "ACTIVE",
        _ if at % 41 == 7 => "DEACTIVATED",
        _ if at % 53 == 9 => "PENDING",
        _ => "ACTIVE",
    };
    let zone_number = ZONES.iter().position(|(name, _)| *name == zone).unwrap_or(0);
    let given =
        |of: &[String]| of.get(zone_number % of.len().max(1)).map(|given| address_in(given, at));
    let at_work = if role == Role::Guest { &plan.homes } else { &plan.offices };
    let office_ip = match role {
        Role::Guest => format!("203.0.113.{}", 100 + at % 80),
        _ if offset <= 0 => format!("192.0.2.{}", 1 + at % 12),
        _ => format!("198.51.100.{}", 1 + at % 12),
    };
    let home_ip = match at % 3 {
        0 => format!("2001:db8:{:x}:{:x}::{:x}", 0x100 + at, at % 7, 1 + at % 200),
        _ => format!("203.0.113.{}", 1 + at % 99),
    };
    User {
        id: object_id(plan.seed, Class::User, at as u32),
        email,
        first,
        last,
        role,
        status,
        listed: !(role == Role::Guest && at % 10 == 3),
        zone,
        offset,
        office_ip: given(at_work).unwrap_or(office_ip),
        home_ip: given(&plan.homes).unwrap_or(home_ip),
        weight,
    }
}

/// The address of the n-th person: in a network one of their own as long as there are enough, else
/// the address that was given.
fn address_in(given: &str, n: usize) -> String {
    let network = given.split_once('/').and_then(|(base, length)| {
        Some((base.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?))
    });
    let n = n as u64;
    match network {
        Some((IpAddr::V4(base), length @ 1..=30)) => {
            let room = (1u64 << (32 - length)) - 2;
            Ipv4Addr::from_bits(base.to_bits() | (1 + n % room) as u32).to_string()
        }
        // Every home has a network of its own, and everything in it ends alike.
        Some((IpAddr::V6(base), length @ 1..=63)) => {
            let subnet = u128::from(1 + n % ((1u64 << (64 - length)) - 1));
            Ipv6Addr::from_bits(base.to_bits() | subnet << 64 | 0x17).to_string()
        }
        _ => given.to_owned(),
    }
}

fn make_groups(plan: &Plan, users: &[User], random: &mut Random) -> Vec<Group> {
    (0u32..)
        .zip(GROUPS)
        .map(|(at, name)| {
            let size = 5 + random.below(users.len() / 4);
            let mut members: Vec<u32> =
                (0..size).map(|_| random.below(users.len()) as u32).collect();
            members.retain(|&at| users.get(at as usize).is_some_and(User::internal));
            members.sort_unstable();
            members.dedup();
            Group {
                id: object_id(plan.seed, Class::Group, at),
                name: (*name).to_owned(),
                owner: random.below(4) as u32,
                members,
            }
        })
        .collect()
}

fn name_part(of: &[&str], random: &mut Random) -> String {
    random.pick(of).copied().unwrap_or("Sam").to_owned()
}

/// A name as it stands in an address: small letters of the English alphabet only.
fn plain(name: &str) -> String {
    let plain = |letter: char| match letter.to_lowercase().next().unwrap_or(letter) {
        'é' | 'ë' => Some('e'),
        'ø' => Some('o'),
        'ü' => Some('u'),
        'í' | 'ı' => Some('i'),
        letter => letter.is_ascii_lowercase().then_some(letter),
    };
    name.chars().filter_map(plain).collect()
}

fn capitalized(email: &str) -> String {
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let parts: Vec<String> = local
        .split('.')
        .map(|part| match part.split_at_checked(1) {
            Some((head, tail)) => head.to_ascii_uppercase() + tail,
            None => part.to_owned(),
        })
        .collect();
    format!("{}@{domain}", parts.join("."))
}
