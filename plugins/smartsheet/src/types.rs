//! What every event type of the vendor's catalogue means in casbah's words.
//!
//! `data/event-types.json` is the catalogue; a test holds this table to it. What is not listed here
//! is read by the rules of [`crate::kinds`], never refused.

/// The event types of one object type.
pub(crate) struct ObjectType {
    /// The vendor's name, e.g. `SHEET`.
    pub(crate) name: &'static str,
    /// The object kind in casbah's vocabulary.
    pub(crate) object_kind: &'static str,
    /// Its actions, those that occur most first.
    pub(crate) actions: &'static [Action],
}

/// One event type.
pub(crate) struct Action {
    /// The vendor's name, e.g. `ADD_SHARE`.
    pub(crate) name: &'static str,
    /// The kind in casbah's vocabulary.
    pub(crate) kind: &'static str,
    /// Whether it is an act of administration.
    pub(crate) administrative: bool,
}

macro_rules! types {
    ($($object:ident $kind:literal { $($action:ident $word:literal $($admin:ident)?,)* })*) => {
        &[$(ObjectType {
            name: stringify!($object),
            object_kind: $kind,
            actions: &[$(Action {
                name: stringify!($action),
                kind: $word,
                administrative: types!(@ $($admin)?),
            }),*],
        }),*]
    };
    (@ admin) => { true };
    (@) => { false };
}

/// Every event type of the catalogue, object types that occur most first.
pub(crate) const TYPES: &[ObjectType] = types! {
    SHEET "sheet" {
        LOAD "view",
        UPDATE "edit",
        EXPORT "export",
        ADD_SHARE "share",
        ADD_WORKSPACE_SHARE "share",
        ADD_SHARE_MEMBER "share",
        CREATE "create",
        COPY_ROW "copy",
        MOVE_ROW "move",
        SEND_ROW "send",
        SEND_AS_ATTACHMENT "send",
        RENAME "rename",
        MOVE "move",
        DELETE "delete",
        PURGE "purge",
        RESTORE "restore",
        REMOVE_SHARE "unshare",
        REMOVE_WORKSPACE_SHARE "unshare",
        REMOVE_SHARE_MEMBER "unshare",
        SAVE_AS_NEW "copy",
        SAVE_AS_TEMPLATE "copy",
        CREATE_CELL_LINK "edit",
        REQUEST_BACKUP "export",
        TRANSFER_OWNERSHIP "ownership",
    }
    ATTACHMENT "attachment" {
        LOAD "download",
        CREATE "upload",
        UPDATE "edit",
        DELETE "delete",
        SEND "send",
    }
    REPORT "report" {
        LOAD "view",
        UPDATE "edit",
        EXPORT "export",
        ADD_SHARE "share",
        ADD_WORKSPACE_SHARE "share",
        ADD_SHARE_MEMBER "share",
        CREATE "create",
        SEND_AS_ATTACHMENT "send",
        RENAME "rename",
        MOVE "move",
        DELETE "delete",
        PURGE "purge",
        RESTORE "restore",
        REMOVE_SHARE "unshare",
        REMOVE_WORKSPACE_SHARE "unshare",
        REMOVE_SHARE_MEMBER "unshare",
        SAVE_AS_NEW "copy",
        TRANSFER_OWNERSHIP "ownership",
    }
    DASHBOARD "dashboard" {
        LOAD "view",
        UPDATE "edit",
        ADD_SHARE "share",
        ADD_WORKSPACE_SHARE "share",
        ADD_SHARE_MEMBER "share",
        CREATE "create",
        ADD_PUBLISH "publish",
        REMOVE_PUBLISH "unpublish",
        RENAME "rename",
        MOVE "move",
        DELETE "delete",
        PURGE "purge",
        RESTORE "restore",
        REMOVE_SHARE "unshare",
        REMOVE_WORKSPACE_SHARE "unshare",
        REMOVE_SHARE_MEMBER "unshare",
        SAVE_AS_NEW "copy",
        TRANSFER_OWNERSHIP "ownership",
    }
    DISCUSSION "discussion" {
        CREATE "create",
        UPDATE "edit",
        DELETE "delete",
        SEND "send",
        SEND_COMMENT "send",
    }
    WORKSPACE "workspace" {
        ADD_SHARE "share",
        ADD_SHARE_MEMBER "share",
        REMOVE_SHARE "unshare",
        REMOVE_SHARE_MEMBER "unshare",
        CREATE "create",
        RENAME "rename",
        DELETE "delete",
        EXPORT "export",
        REQUEST_BACKUP "export",
        // From then on copies leave by themselves: whoever watches exports wants to see it.
        CREATE_RECURRING_BACKUP "export",
        UPDATE_RECURRING_BACKUP "edit",
        DELETE_RECURRING_BACKUP "edit",
        SAVE_AS_NEW "copy",
        TRANSFER_OWNERSHIP "ownership",
    }
    FOLDER "folder" {
        CREATE "create",
        RENAME "rename",
        DELETE "delete",
        EXPORT "export",
        REQUEST_BACKUP "export",
        SAVE_AS_NEW "copy",
    }
    FORM "form" {
        CREATE "create",
        UPDATE "edit",
        // A form takes data in and shows none, so switching it on is no publishing.
        ACTIVATE "edit",
        DEACTIVATE "edit",
        DELETE "delete",
    }
    UPDATE_REQUEST "other" {
        CREATE "request",
    }
    ACCESS_TOKEN "token" {
        REFRESH "token",
        AUTHORIZE "token",
        REVOKE "token",
    }
    USER "user" {
        UPDATE_USER "user-change" admin,
        SEND_INVITE "user-add" admin,
        ADD_TO_ACCOUNT "user-add" admin,
        // These two are done by the invited, not by an administrator.
        ACCEPT_INVITE "user-add",
        DECLINE_INVITE "user-change",
        REMOVE_FROM_ACCOUNT "user-remove" admin,
        REMOVE_FROM_GROUPS "group-change" admin,
        REMOVE_SHARES "unshare" admin,
        SEND_PASSWORD_RESET "password" admin,
        TRANSFER_OWNED_GROUPS "ownership" admin,
        TRANSFER_OWNED_ITEMS "ownership" admin,
        DOWNLOAD_SHEET_ACCESS_REPORT "report" admin,
    }
    GROUP "group" {
        ADD_MEMBER "group-change" admin,
        REMOVE_MEMBER "group-change" admin,
        UPDATE "group-change" admin,
        CREATE "create" admin,
        RENAME "rename" admin,
        DELETE "delete" admin,
        TRANSFER_OWNERSHIP "ownership" admin,
        DOWNLOAD_SHEET_ACCESS_REPORT "report" admin,
    }
    ACCOUNT "account" {
        BULK_UPDATE "user-change" admin,
        IMPORT_USERS "user-add" admin,
        DOWNLOAD_USER_LIST "report" admin,
        DOWNLOAD_LOGIN_HISTORY "report" admin,
        DOWNLOAD_SHEET_ACCESS_REPORT "report" admin,
        DOWNLOAD_PUBLISHED_ITEMS_REPORT "report" admin,
        LIST_SHEETS "report" admin,
        RENAME "rename" admin,
        UPDATE_MAIN_CONTACT "admin" admin,
    }
    AUTHENTICATION "policy" {
        ACTIVATE_DOMAIN_STRICT "policy" admin,
    }
    POLICY_SAFE_SHARING "policy" {
        ADD_REQUEST_FORM "policy" admin,
    }
};

/// What a member of `additionalDetails` is to the activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// E-mail address of the acting user.
    ActorEmail,
    /// Address it came from.
    Ip,
    /// Id of what contains the object; its object kind.
    Parent(&'static str),
    /// Id of who it is given to or taken from; its object kind.
    Recipient(&'static str),
    /// E-mail address of who a copy is sent to.
    RecipientEmail,
    /// Id of a user who joins or leaves a group.
    Member,
    /// Id of a user who had it before.
    Former,
    /// Id of what was copied or linked from; its object kind, or `""` for that of the object.
    Source(&'static str),
    /// Id of where it went; its object kind.
    Destination(&'static str),
    /// Name of the object.
    Name,
    /// Name of the folder: of the object itself, or of where it was moved to.
    FolderName,
    /// The workspace: where it is, or where it was moved to.
    Workspace,
    /// Level of access.
    Access,
    /// Level of access, also kept as a field, where policies look for the vendor's name.
    AccessAndField,
    /// Form in which data leaves.
    Format,
    /// How many things.
    Amount,
    /// Why an invitation was not taken up.
    DeclineReason,
    /// Kept as a field.
    Field,
    /// Has found its place already.
    Taken,
}

/// What a detail of that name is; the names mean the same in all event types, listed or not.
#[inline]
pub(crate) fn use_of(detail: &str) -> Use {
    match detail {
        "emailAddress" => Use::ActorEmail,
        "sourceIpAddress" => Use::Ip,
        "sheetId" => Use::Parent("sheet"),
        "sheetRowId" => Use::Parent("row"),
        "parentContainerId" => Use::Parent("folder"),
        "tokenUserId" => Use::Parent("user"),
        "workspaceId" => Use::Workspace,
        "userId" | "newUserId" | "newOwnerUserId" | "newContactUserId" => Use::Recipient("user"),
        "groupId" | "recipientGroupId" => Use::Recipient("group"),
        "recipientEmail" => Use::RecipientEmail,
        "memberUserId" => Use::Member,
        "oldUserId" | "oldOwnerUserId" | "oldContactUserId" => Use::Former,
        "sourceObjectId" => Use::Source(""),
        "sourceTemplateId" | "sourceGlobalTemplateId" => Use::Source("template"),
        "sourceFolderId" => Use::Source("folder"),
        "sourceWorkspaceId" => Use::Source("workspace"),
        "sourceSheetId" | "cellLinkSourceSheetId" => Use::Source("sheet"),
        "destinationSheetId" => Use::Destination("sheet"),
        "newParentContainerId" => Use::Destination("folder"),
        "sheetName" | "dashboardName" | "reportName" | "formName" | "groupName"
        | "workspaceName" | "attachmentName" | "tokenName" | "newName" => Use::Name,
        "folderName" => Use::FolderName,
        "accessLevel" | "newAccessLevel" => Use::Access,
        "accessibleBy" | "userTypes" => Use::AccessAndField,
        "formatType" => Use::Format,
        "rowCount" | "rowsCopied" | "rowsMoved" => Use::Amount,
        "declineReason" => Use::DeclineReason,
        _ => Use::Field,
    }
}

/// Which parent stands in the column `parent` when several are named: the smallest wins.
pub(crate) fn parent_rank(object_kind: &str) -> u8 {
    match object_kind {
        "sheet" => 0,
        "folder" => 1,
        "workspace" => 2,
        "user" => 3,
        _ => 4,
    }
}

/// A user id that stands for the app itself.
pub(crate) struct SystemUser {
    /// The id.
    pub(crate) id: &'static str,
    /// A name for people.
    pub(crate) name: &'static str,
}

/// Who looks at what was published to anybody.
pub(crate) const ANONYMOUS: &str = "5629504736520068";

/// The vendor's system users. The list may grow; an unknown one is an ordinary user.
pub(crate) const SYSTEM_USERS: &[SystemUser] = &[
    SystemUser { id: "3940654876256132", name: "Smartsheet automation" },
    SystemUser { id: "3377704922834820", name: "Smartsheet cell link" },
    SystemUser { id: ANONYMOUS, name: "Anybody with the link" },
    SystemUser { id: "5066554783098756", name: "Anybody in the organization" },
    SystemUser { id: "7881304550205316", name: "Smartsheet form" },
    SystemUser { id: "6192454689941380", name: "Smartsheet notification" },
    SystemUser { id: "1688855062570884", name: "Smartsheet for Skype" },
    SystemUser { id: "2814754969413508", name: "Trello import" },
];

/// The system user of an id.
#[inline]
pub(crate) fn system_user(id: &str) -> Option<&'static SystemUser> {
    // All of them have sixteen digits, as have most users' ids.
    if id.len() != 16 {
        return None;
    }
    SYSTEM_USERS.iter().find(|user| user.id == id)
}

/// Kind of client, by the vendor's word for it; unknown words by their beginning.
pub(crate) fn client(source: &str) -> &'static str {
    match source {
        "WEB_APP" => "web",
        "MOBILE_IOS" | "MOBILE_ANDROID" => "mobile",
        "API_UNDEFINED_APP" => "api",
        "API_INTEGRATED_APP" => "integration",
        "API_ODBC_DRIVER" => "driver",
        _ if source.starts_with("MOBILE_") => "mobile",
        _ if source.starts_with("API_") => "api",
        _ if source.starts_with("WEB_") => "web",
        _ => "unknown",
    }
}
