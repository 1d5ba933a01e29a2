//! One event as the simulator keeps it: small numbers, written out only when asked for.

/// The app's own accounts, in whose name it acts; a subset of the vendor's list, which may grow.
pub(crate) const SYSTEM_USERS: &[(i64, &str)] = &[
    (1_688_855_062_570_884, "Skype action"),
    (2_814_754_969_413_508, "Trello import"),
    (3_377_704_922_834_820, "cell link"),
    (3_940_654_876_256_132, "automation"),
    (5_066_554_783_098_756, "view of an item published to the organization"),
    (ANONYMOUS, "view of an item published to anyone"),
    (6_192_454_689_941_380, "notification"),
    (7_881_304_550_205_316, "form submission"),
];

/// The app's account that stands for anybody.
pub(crate) const ANONYMOUS: i64 = 5_629_504_736_520_068;

/// Actors from here on are system users, by their place in [`SYSTEM_USERS`].
pub(crate) const SYSTEM: u32 = 0xffff_ff00;
/// No target; one is drawn where the type needs it.
pub(crate) const NO_TARGET: u32 = u32::MAX;
/// Set in a target that is a group.
pub(crate) const GROUP_TARGET: u32 = 1 << 31;

/// What kinds of client there are, in the vendor's words; the last one is not in any list.
pub(crate) const SOURCES: &[&str] = &[
    "WEB_APP",
    "MOBILE_IOS",
    "MOBILE_ANDROID",
    "API_UNDEFINED_APP",
    "API_INTEGRATED_APP",
    "API_ODBC_DRIVER",
    "UNKNOWN",
    "DESKTOP_APP",
];
pub(crate) const WEB: u8 = 0;
pub(crate) const API: u8 = 3;
pub(crate) const INTEGRATED: u8 = 4;
pub(crate) const UNKNOWN: u8 = 6;

/// Marks that change how an event is written.
pub(crate) mod mark {
    /// No e-mail address, no `objectIdStr`, no address: as before 2025.
    pub(crate) const OLD: u16 = 1;
    /// `eventTimeStamp`, with the offset written `+0000`.
    pub(crate) const STAMP: u16 = 2;
    /// Ids in the details and `objectId` as text.
    pub(crate) const TEXT_IDS: u16 = 4;
    /// Sent to an address outside.
    pub(crate) const OUTSIDE: u16 = 8;
    /// Published to everybody.
    pub(crate) const PUBLIC: u16 = 16;
    /// Names an administrator's role.
    pub(crate) const ADMIN: u16 = 32;
    /// From an address nobody knows.
    pub(crate) const STRANGE_IP: u16 = 64;
    /// From home.
    pub(crate) const HOME: u16 = 128;
    /// The address stands in `eventDetails`.
    pub(crate) const IP_ELSEWHERE: u16 = 256;
    /// A member that no description knows.
    pub(crate) const EXTRA: u16 = 512;
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// When it happened, milliseconds since 1970, whole seconds.
    pub(crate) time: i64,
    /// Milliseconds until the stream has it.
    pub(crate) delay: u32,
    /// Running number: the source of its id and of everything drawn for it.
    pub(crate) serial: u32,
    /// Whose account it was: a place in the users, or from [`SYSTEM`] on.
    pub(crate) actor: u32,
    /// Whose credential it was.
    pub(crate) request: u32,
    /// Place of the object in its class.
    pub(crate) object: u32,
    pub(crate) target: u32,
    pub(crate) kind: u16,
    pub(crate) marks: u16,
    pub(crate) source: u8,
}

impl Event {
    /// When the stream has it.
    pub(crate) fn delivery(&self) -> i64 {
        self.time + i64::from(self.delay)
    }

    pub(crate) fn marked(&self, mark: u16) -> bool {
        self.marks & mark != 0
    }
}
