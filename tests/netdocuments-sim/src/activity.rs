//! What people can do, under the names that the logs give it, and one such act as it is kept.
//!
//! Names and their spelling follow the catalogue of the reference notes; most of them are guesses
//! there, and so they are here.

/// Which of the two logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Log {
    /// What is done with documents.
    Consolidated,
    /// What administrators do.
    Admin,
}

/// What the description of an activity says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// The name that the document had before.
    FormerName,
    /// Who got the link or the copy.
    Recipient,
    /// Who has which rights now.
    Access,
    /// A user, by name and address.
    User,
    /// A group.
    Group,
    /// A cabinet.
    Cabinet,
    /// That an option was changed.
    Option,
}

/// Something that can be done.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) name: &'static str,
    pub(crate) log: Log,
    pub(crate) says: Says,
    /// How often people inside, service accounts and guests do it, compared with other things.
    pub(crate) weights: [f64; 3],
}

const fn document(name: &'static str, says: Says, weights: [f64; 3]) -> Activity {
    Activity { name, log: Log::Consolidated, says, weights }
}

const fn admin(name: &'static str, says: Says, weight: f64) -> Activity {
    Activity { name, log: Log::Admin, says, weights: [weight, 0.0, 0.0] }
}

/// Everything that can be done. Weights of the administration log count for administrators only.
pub(crate) const ACTIVITIES: &[Activity] = &[
    document("open", Says::Nothing, [30.0, 2.0, 40.0]),
    document("view", Says::Nothing, [16.0, 0.0, 20.0]),
    document("edit", Says::Nothing, [11.0, 4.0, 2.0]),
    document("check in", Says::Nothing, [8.0, 6.0, 1.0]),
    document("check out", Says::Nothing, [4.0, 1.0, 1.0]),
    document("new version", Says::Nothing, [3.0, 4.0, 0.3]),
    document("create", Says::Nothing, [4.0, 20.0, 0.2]),
    document("upload", Says::Nothing, [4.0, 25.0, 3.0]),
    document("edit profile", Says::Nothing, [2.0, 12.0, 0.0]),
    document("rename", Says::FormerName, [1.2, 0.5, 0.0]),
    document("move", Says::Nothing, [0.7, 0.2, 0.0]),
    document("copy", Says::Nothing, [0.6, 0.0, 0.0]),
    document("download", Says::Nothing, [5.0, 0.0, 6.0]),
    document("print", Says::Nothing, [3.0, 0.0, 1.0]),
    document("email copy", Says::Recipient, [1.4, 0.0, 0.0]),
    document("email link", Says::Recipient, [2.2, 0.0, 0.2]),
    document("deliver a secured link", Says::Recipient, [0.35, 0.0, 0.0]),
    document("delete", Says::Nothing, [0.8, 0.1, 0.0]),
    document("delete version", Says::Nothing, [0.15, 0.0, 0.0]),
    document("access changed", Says::Access, [0.5, 0.3, 0.0]),
    document("approve", Says::Nothing, [0.3, 0.0, 0.1]),
    document("sign", Says::Nothing, [0.2, 0.0, 0.2]),
    document("designate official version", Says::Nothing, [0.15, 0.0, 0.0]),
    // In no catalogue: the set of names is open.
    document("lock document", Says::Nothing, [0.1, 0.0, 0.0]),
    admin("Repository add users", Says::User, 5.0),
    admin("Repository remove users", Says::User, 2.0),
    admin("Repository add groups", Says::Group, 1.0),
    admin("Repository remove groups", Says::Group, 0.4),
    admin("User membership type changed", Says::User, 0.7),
    admin("Cabinet administrator added", Says::User, 0.4),
    admin("Cabinet deleted", Says::Cabinet, 0.05),
    admin("Add external users", Says::Option, 0.1),
    admin("ndThread external expose", Says::Option, 0.1),
    admin("Permanent delete option", Says::Option, 0.05),
    admin("Multi-document download group", Says::Group, 0.1),
    admin("Retention schedule", Says::Nothing, 0.1),
];

/// The place of an activity by its name.
pub(crate) fn find(name: &str) -> Option<u8> {
    ACTIVITIES.iter().position(|activity| activity.name == name).map(|at| at as u8)
}

/// The address at work.
pub(crate) const OFFICE: u8 = 0;
/// The address at home.
pub(crate) const HOME: u8 = 1;
/// From here on: addresses of incidents, by their place in the world's list.
pub(crate) const ELSEWHERE: u8 = 2;

/// One act: small numbers, written out only when asked for. Equal acts are written alike, so that
/// true repeats can't be told from each other, as in the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    /// When it happened, milliseconds since 1970, whole seconds.
    pub(crate) time: i64,
    /// Milliseconds until the log has it.
    pub(crate) delay: u32,
    /// Whose place in the company's users.
    pub(crate) actor: u32,
    /// The document, or whom or what an administrator touched.
    pub(crate) object: u32,
    /// Place in [`ACTIVITIES`].
    pub(crate) activity: u8,
    /// From where: [`OFFICE`], [`HOME`], or [`ELSEWHERE`] and beyond.
    pub(crate) place: u8,
    /// The application that was used.
    pub(crate) source: u8,
}

impl Act {
    /// When the log has it.
    pub(crate) fn delivery(&self) -> i64 {
        self.time + i64::from(self.delay)
    }

    pub(crate) fn what(&self) -> Option<&'static Activity> {
        ACTIVITIES.get(usize::from(self.activity))
    }

    pub(crate) fn log(&self) -> Log {
        self.what().map_or(Log::Consolidated, |what| what.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_different() {
        for (at, activity) in ACTIVITIES.iter().enumerate() {
            assert_eq!(find(activity.name), Some(at as u8), "{}", activity.name);
        }
    }
}
