//! The company with its documents: who they are in the app, and what there is to work on.
//!
//! Documents are not kept but made from their number whenever one is written out: a firm has
//! hundreds of thousands.

use casbah_sim::random::mix;
use smartsheet_sim::{Company, Role, User};

/// The company and the ids that the app gave it.
#[derive(Debug)]
pub(crate) struct Firm {
    pub(crate) company: Company,
    pub(crate) documents: u32,
    matters: u32,
    seed: u64,
}

/// A document with its profile.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) extension: &'static str,
    pub(crate) size: u64,
    pub(crate) version: u64,
    pub(crate) cabinet: u32,
    pub(crate) client: u32,
    pub(crate) matter: u32,
    pub(crate) kind: &'static str,
    pub(crate) author: String,
    /// A space that people outside can be let into.
    pub(crate) space: Option<String>,
    /// Whether it has the rarer attributes of the profile.
    pub(crate) engagement: bool,
}

pub(crate) const CABINETS: &[&str] =
    &["Client Documents", "Deals & Closings", "Finance", "Human Resources", "Know-how"];
const NAMES: &[&str] = &[
    "Engagement letter",
    "Term sheet",
    "Share purchase agreement",
    "Witness statement",
    "Closing checklist",
    "Non-disclosure agreement",
    "Lease \"Harbour Row\"",
    "Opinion <draft>",
    "Smith & Sons: memo",
    "Rechnung Müller",
    "Board minutes",
    "Due diligence report",
];
const EXTENSIONS: &[&str] =
    &["docx", "docx", "docx", "pdf", "pdf", "xlsx", "msg", "pptx", "ndfld", "ndcs", "ndsq"];
const KINDS: &[&str] = &["AGR", "CORR", "MEMO", "PLEAD", "INV", "REP"];
/// Applications: id and name.
pub(crate) const SOURCES: &[(&str, &str)] = &[
    ("", "Web"),
    ("AP-N0FF1CE1", "ndOffice"),
    ("AP-M0B1LE01", "iOS"),
    ("AP-SYNC0001", "ndSync"),
    ("AP-1MP0RT01", "Batch import"),
];

impl Firm {
    pub(crate) fn new(company: Company) -> Self {
        let users = company.users.len() as u32;
        let seed = company.plan.seed ^ 0x0d0c;
        Self { documents: users * 300, matters: users * 2, seed, company }
    }

    pub(crate) fn user(&self, at: u32) -> Option<&User> {
        self.company.users.get(at as usize)
    }

    /// The app's stable id of a user.
    pub(crate) fn guid(&self, at: u32) -> String {
        format!("VAULT-{}", code(mix(self.seed, u64::from(at) + 1_000_000)))
    }

    /// What somebody signs in with: an address for guests, a short name for others.
    pub(crate) fn login(&self, user: &User) -> String {
        let email = user.email.to_lowercase();
        match (user.role, email.split_once('@')) {
            (Role::Guest, _) | (_, None) => email,
            (_, Some((local, _))) => local.to_owned(),
        }
    }

    pub(crate) fn name(user: &User) -> String {
        format!("{} {}", user.first, user.last)
    }

    pub(crate) fn repository(&self) -> String {
        format!("CA-{}", code(mix(self.seed, 1)))
    }

    pub(crate) fn cabinet(&self, at: u32) -> (String, &'static str) {
        let name = CABINETS.get(at as usize % CABINETS.len()).copied().unwrap_or_default();
        (format!("NG-{}", code(mix(self.seed, u64::from(at) + 10))), name)
    }

    pub(crate) fn group(&self, at: u32) -> (String, &str) {
        let groups = &self.company.groups;
        let name = groups.get(at as usize % groups.len().max(1)).map_or("", |group| &group.name);
        (format!("UG-{}", code(mix(self.seed, u64::from(at) + 2_000_000))), name)
    }

    pub(crate) fn document_id(&self, at: u32) -> String {
        let bits = mix(self.seed, u64::from(at) + 3_000_000) % 1_000_000_000_000;
        format!("{:04}-{:04}-{:04}", bits / 100_000_000, bits / 10_000 % 10_000, bits % 10_000)
    }

    pub(crate) fn document(&self, at: u32) -> Document {
        let bits = mix(self.seed ^ 0xd0c5, u64::from(at));
        let pick = |of: &[&'static str], shift: u32| {
            of.get((bits >> shift) as usize % of.len()).copied().unwrap_or_default()
        };
        let matter = (bits >> 20) as u32 % self.matters;
        let author = self.user((bits >> 24) as u32 % self.company.users.len() as u32);
        let initial = |name: &str| name.chars().next().unwrap_or('X');
        Document {
            id: self.document_id(at),
            name: format!("{} {}", pick(NAMES, 4), 100 + (bits >> 30) % 900),
            extension: pick(EXTENSIONS, 8),
            size: 1_000 + (bits >> 34) % 4_000_000,
            version: 1 + (bits >> 40) % 4,
            cabinet: (bits >> 44) as u32 % CABINETS.len() as u32,
            client: 10_000 + matter / 3,
            matter: 1 + matter % 3,
            kind: pick(KINDS, 12),
            author: author.map_or_else(String::new, |user| {
                format!("{}{}", initial(&user.first), initial(&user.last))
            }),
            space: bits.is_multiple_of(23).then(|| format!("CS-{}", code(bits))),
            engagement: bits.is_multiple_of(11),
        }
    }
}

/// Eight letters and digits, as the app's ids have.
fn code(mut bits: u64) -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKLMNPQRSTVWXY";
    (0..8)
        .map(|_| {
            let letter = LETTERS.get(bits as usize % 32).copied().unwrap_or(b'0');
            bits /= 32;
            char::from(letter)
        })
        .collect()
}
