//! The published vocabulary: names of columns and kinds, with their types and meanings.
//!
//! Columns and kinds are *open* sets: an unknown one is kept and can be filtered on. What is listed
//! here is what plugins and policies may rely on. `wit/vocabulary.md` is the published page, and a
//! test holds it to these lists.

/// Type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text; the empty text is absent.
    Text,
    /// 64-bit integer.
    Integer,
    /// Milliseconds since 1970 in UTC, an integer column.
    Time,
    /// 0 or 1, an integer column; absent means unknown.
    Flag,
    /// 64-bit float.
    Number,
}

impl ColumnType {
    /// The name on the published page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Time => "time",
            Self::Flag => "flag",
            Self::Number => "number",
        }
    }
}

/// Who fills a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The adapter, from what the app says.
    Adapter,
    /// The host, when it stores the activity or joins it with what else it knows.
    Host,
    /// The adapter where the app says it, otherwise the host from the accounts it knows.
    Either,
}

impl Origin {
    /// The name on the published page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Host => "host",
            Self::Either => "adapter or host",
        }
    }
}

/// A published column.
#[derive(Clone, Copy, Debug)]
pub struct ColumnEntry {
    /// Name, in policies and in output.
    pub name: &'static str,
    /// Type of its values.
    pub column_type: ColumnType,
    /// Who fills it.
    pub origin: Origin,
    /// The OCSF 1.8 attribute it corresponds to; empty when there is none.
    pub ocsf: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

macro_rules! columns {
    ($($name:literal $type:ident $origin:ident $ocsf:literal $meaning:literal;)*) => {
        &[$(ColumnEntry {
            name: $name,
            column_type: ColumnType::$type,
            origin: Origin::$origin,
            ocsf: $ocsf,
            meaning: $meaning,
        }),*]
    };
}

/// The columns of a batch of activities.
pub const COLUMNS: &[ColumnEntry] = columns! {
    "sequence" Integer Host "" "Place in the tenant's log; given when the activity is stored.";
    "id" Text Adapter "metadata.uid" "The app's own id of the activity, or one made from its content; the same activity always has the same id.";
    "time" Time Adapter "time" "When it happened.";
    "received" Time Host "metadata.logged_time" "When casbah fetched it.";
    "app" Text Host "metadata.product.name" "Name of the app, e.g. smartsheet.";
    "connection" Text Host "metadata.log_name" "Name of the connection it came through.";
    "instance" Text Adapter "cloud.account.uid" "The app's name for the organization it belongs to, where the app says it.";
    "source" Text Adapter "metadata.log_provider" "The app's own word for what kind of client or log it came from.";
    "kind" Text Adapter "activity_name" "What was done, from the list of kinds.";
    "action" Text Adapter "api.operation" "What was done, in the app's own words.";
    "actor" Text Either "actor.user.uid_alt" "Who did it: the e-mail address in lower case, otherwise the app's id; for people to read and policies to count by.";
    "actor.id" Text Adapter "actor.user.uid" "The app's id of who did it.";
    "actor.email" Text Either "actor.user.email_addr" "E-mail address of who did it, as the app writes it.";
    "actor.name" Text Either "actor.user.name" "Name of who did it.";
    "actor.type" Text Either "actor.user.type" "user, system (the app itself), service (an integration) or anonymous (anybody).";
    "actor.admin" Flag Either "" "Whether who did it is an administrator of the app.";
    "actor.external" Flag Either "" "Whether who did it is outside the organization.";
    "actor.status" Text Host "" "State of the account at the time of the activity, as far as known when it was stored: active, pending, declined, disabled, leaving, left or deleted.";
    "actor.since" Time Host "" "Since when it has been in that state, where known.";
    "actor.groups" Text Host "" "Groups of the directory that the person is in, separated by commas.";
    "person" Text Host "actor.user.uid" "Who did it, across apps: the person's main address in the directory, otherwise the actor.";
    "behalf" Text Either "actor.session.uid_alt" "Whose account was used, when it was not the actor's own: e-mail address in lower case, otherwise the id.";
    "behalf.id" Text Adapter "" "The app's id of whose account was used.";
    "impersonated" Flag Adapter "" "Whether somebody acted in the name of somebody else.";
    "anonymous" Flag Adapter "" "Whether it was done by somebody who did not sign in.";
    "administrative" Flag Adapter "" "Whether it is an act of administration: users, groups, settings, reports on everybody.";
    "ip" Text Adapter "src_endpoint.ip" "Address it came from.";
    "ip.category" Text Host "" "Category of that address in the organization's own list of ranges.";
    "ip.tags" Text Host "" "Tags of that address, separated by commas: free ones of the organization, and what lists say of it, e.g. tor, anonymous-proxy, vpn, hosting, relay, satellite, botnet, brute-force.";
    "ip.lists" Text Host "" "The lists that tagged it, each as name@snapshot, separated by commas.";
    "country" Text Host "src_endpoint.location.country" "Country of that address, two letters.";
    "region" Text Host "src_endpoint.location.region" "Region of that address.";
    "city" Text Host "src_endpoint.location.city" "City of that address.";
    "latitude" Number Host "src_endpoint.location.lat" "Latitude of that address in degrees.";
    "longitude" Number Host "src_endpoint.location.long" "Longitude of that address in degrees.";
    "accuracy" Number Host "" "Radius around these coordinates within which the address lies, km.";
    "network.number" Integer Host "src_endpoint.autonomous_system.number" "Number of the network (ASN) of that address.";
    "network.owner" Text Host "src_endpoint.autonomous_system.name" "Who runs the network of that address.";
    "user-agent" Text Adapter "http_request.user_agent" "What the client said of itself.";
    "user-agent.family" Text Host "" "Family of the client, e.g. Chrome.";
    "user-agent.kind" Text Host "" "browser, app, library, robot or unknown.";
    "user-agent.system" Text Host "" "Operating system of the client, e.g. Windows.";
    "user-agent.tags" Text Host "" "native-client, outdated-browser, outdated-system or robot, separated by commas.";
    "client" Text Adapter "" "Kind of client: web, mobile, api, integration, driver or unknown.";
    "token" Text Adapter "" "Name of the access token that was used, where it has one.";
    "result" Text Adapter "status" "success, failure or unknown.";
    "reason" Text Adapter "status_detail" "Why it failed, in the app's own words.";
    "interactive" Flag Adapter "" "Whether a person was at the client when it signed in.";
    "object" Text Adapter "resources.uid" "The app's id of what it was done to.";
    "object.kind" Text Adapter "resources.type" "What kind of thing that is, from the list of object kinds.";
    "object.name" Text Adapter "resources.name" "Name of that thing, where the app says it.";
    "parent" Text Adapter "" "The app's id of what contains that thing.";
    "parent.kind" Text Adapter "" "What kind of thing contains it.";
    "recipient" Text Either "" "Who got access or a copy: e-mail address in lower case, otherwise the id.";
    "recipient.id" Text Adapter "" "The app's id of who got it.";
    "recipient.kind" Text Adapter "" "user, group or address.";
    "recipient.domain" Text Either "" "Domain of the recipient's e-mail address, in lower case.";
    "recipient.external" Flag Either "" "Whether the recipient is outside the organization.";
    "access" Text Adapter "" "Level of access that was given, in the app's own words.";
    "format" Text Adapter "" "Form in which data left, e.g. excel.";
    "amount" Integer Adapter "" "How many things were touched at once, where the app counts them.";
};

/// A table nested under activities.
#[derive(Clone, Copy, Debug)]
pub struct NestedEntry {
    /// Name of the nested table.
    pub name: &'static str,
    /// What a nested row is.
    pub meaning: &'static str,
    /// Its columns.
    pub columns: &'static [ColumnEntry],
}

/// The tables nested under activities.
pub const NESTED: &[NestedEntry] = &[
    NestedEntry {
        name: "objects",
        meaning: "Everything that the activity touches, the object itself included.",
        columns: columns! {
            "role" Text Adapter "" "object, parent, recipient, source, destination, former or member.";
            "kind" Text Adapter "resources.type" "What kind of thing it is, from the list of object kinds.";
            "id" Text Adapter "resources.uid" "The app's id of it.";
            "name" Text Either "resources.name" "Its name, or e-mail address, where known.";
        },
    },
    NestedEntry {
        name: "fields",
        meaning: "Everything else the app said, as it said it.",
        columns: columns! {
            "key" Text Adapter "unmapped" "Name of the field; nested names are joined by dots.";
            "value" Text Adapter "unmapped" "Its value as text; what is not a text is JSON.";
        },
    },
];

/// The columns of a batch of accounts, as an adapter returns them from its users stream.
pub const ACCOUNT_COLUMNS: &[ColumnEntry] = columns! {
    "id" Text Adapter "user.uid" "The app's id of the account.";
    "email" Text Adapter "user.email_addr" "E-mail address.";
    "name" Text Adapter "user.name" "Name.";
    "type" Text Adapter "user.type" "user or service.";
    "status" Text Adapter "" "active, pending, declined, disabled, leaving, left or deleted.";
    "since" Time Adapter "" "Since when it has been in that state, where the app says it.";
    "leaves" Time Adapter "" "When the person leaves or left, where the app says it.";
    "aliases" Text Adapter "" "Other e-mail addresses and sign-in names of the same account, separated by commas.";
    "admin" Flag Adapter "" "Whether it is an administrator of the app.";
    "external" Flag Adapter "" "Whether it is outside the organization.";
    "seen" Time Adapter "" "When it was last signed in to.";
};

/// The columns of a batch of memberships, as an adapter returns them from such a stream.
pub const MEMBERSHIP_COLUMNS: &[ColumnEntry] = columns! {
    "id" Text Adapter "user.uid" "The app's id of the account.";
    "group" Text Adapter "group.name" "Name of the group it is in.";
};

/// A name in an open list, with its meaning.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// The name.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub meaning: &'static str,
}

macro_rules! words {
    ($($name:literal $meaning:literal;)*) => { &[$(Word { name: $name, meaning: $meaning }),*] };
}

/// The kinds of activity.
pub const KINDS: &[Word] = words! {
    "login" "Signed in, or tried to.";
    "logout" "Signed out.";
    "view" "Opened or read something.";
    "download" "Took a file or a copy out of the app.";
    "export" "Took a whole thing out of the app in another form, a backup included.";
    "print" "Printed something.";
    "upload" "Brought a file into the app.";
    "create" "Made something new.";
    "edit" "Changed the content of something.";
    "rename" "Gave something another name.";
    "move" "Put something elsewhere.";
    "copy" "Made a copy of something, or of a part of it.";
    "delete" "Deleted something so that it can still be restored.";
    "purge" "Deleted something for good.";
    "restore" "Brought back something deleted.";
    "share" "Gave somebody access, or changed the level of it.";
    "unshare" "Took away somebody's access.";
    "publish" "Opened something to everybody, or to everybody in the organization.";
    "unpublish" "Closed what was published.";
    "send" "Sent something out by mail.";
    "request" "Asked somebody for input.";
    "permission" "Changed what somebody may do.";
    "ownership" "Gave something to another owner.";
    "user-add" "Added or invited a user.";
    "user-remove" "Removed a user.";
    "user-change" "Changed a user's account.";
    "group-change" "Changed a group or its members.";
    "password" "Changed or reset a password.";
    "token" "Made, renewed or revoked an access token.";
    "report" "Took out a report on users, access or logins.";
    "policy" "Changed a security setting or policy.";
    "admin" "Another act of administration.";
    "account-state" "The directory says something new of an account; the person is whose it is, actor.status and actor.since say what. Written by casbah itself.";
    "behavior" "A policy noticed something unusual, mostly too little for an alert; the action names the policy. Written by casbah itself.";
    "other" "Something this version has no word for; see the action.";
};

/// The kinds of object.
pub const OBJECT_KINDS: &[Word] = words! {
    "sheet" "A table of rows, also one in a spreadsheet app.";
    "report" "A view over other things.";
    "dashboard" "A page of widgets.";
    "form" "A form that people fill in.";
    "workspace" "A container that is shared as a whole.";
    "folder" "A container.";
    "document" "A document.";
    "attachment" "A file attached to something.";
    "discussion" "A thread of comments.";
    "row" "A row of a sheet.";
    "template" "Something that others are made from.";
    "user" "A user's account.";
    "group" "A group of users.";
    "token" "An access token.";
    "account" "The organization's account with the app.";
    "policy" "A security setting or policy.";
    "address" "An e-mail address without a known account.";
    "container" "A container of a kind the app does not name.";
    "other" "Anything else.";
};

/// The type of a published column of activities.
pub fn column(name: &str) -> Option<&'static ColumnEntry> {
    COLUMNS.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_occurs_twice() {
        for names in [
            COLUMNS.iter().map(|c| c.name).collect::<Vec<_>>(),
            ACCOUNT_COLUMNS.iter().map(|c| c.name).collect(),
            MEMBERSHIP_COLUMNS.iter().map(|c| c.name).collect(),
            KINDS.iter().map(|w| w.name).collect(),
            OBJECT_KINDS.iter().map(|w| w.name).collect(),
        ] {
            let mut sorted = names.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(sorted.len(), names.len());
        }
    }
}
