//! The settings of a connection, as its administrator writes them.

use casbah_plugin::{Failure, class};
use serde::Deserialize;
use serde_json::{Value, json};

/// What becomes of guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Guests {
    /// Kept as accounts from outside.
    #[default]
    Keep,
    /// Left out of the accounts.
    LeaveOut,
}

/// The settings of a connection.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// Id or domain of the tenant.
    tenant: String,
    /// Ids or names of the groups whose members are wanted.
    pub(crate) groups: Vec<String>,
    /// Whether sign-ins are fetched.
    pub(crate) sign_ins: bool,
    /// Whether sign-ins without a person at the client are fetched, too.
    pub(crate) non_interactive: bool,
    /// Ids of the apps whose sign-ins are wanted; all when empty.
    pub(crate) apps: Vec<String>,
    /// What becomes of guests.
    pub(crate) guests: Guests,
    /// Whether the dates at which people leave are fetched.
    pub(crate) leave_dates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tenant: String::new(),
            groups: Vec::new(),
            sign_ins: true,
            non_interactive: false,
            apps: Vec::new(),
            guests: Guests::Keep,
            leave_dates: true,
        }
    }
}

/// Apps of one filter; more would make the address too long.
const MOST_APPS: usize = 15;

impl Settings {
    /// Reads the settings; an empty text stands for none.
    ///
    /// # Errors
    /// `refused`, with what is wrong.
    pub(crate) fn read(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        // A struct could also be read from an array, by order of its members.
        if text.trim_start().starts_with('[') {
            return Err(refused("they must be an object, not an array"));
        }
        let settings: Self =
            serde_json::from_str(text).map_err(|error| refused(&error.to_string()))?;
        if settings.apps.len() > MOST_APPS {
            return Err(refused(&format!("`apps` has more than {MOST_APPS} ids")));
        }
        if let Some(wrong) = settings.apps.iter().find(|id| !is_id(id)) {
            return Err(refused(&format!(
                "`{}` in `apps` is not an application id such as \
                 `00000003-0000-0000-c000-000000000000`",
                shown(wrong)
            )));
        }
        if settings.groups.iter().any(|group| group.trim().is_empty()) {
            return Err(refused("`groups` has an empty name"));
        }
        Ok(settings)
    }

    /// The tenant, as it stands in addresses.
    ///
    /// # Errors
    /// `refused` when it is not set, or is neither an id nor a domain.
    pub(crate) fn tenant(&self) -> Result<&str, Failure> {
        let tenant = self.tenant.trim();
        match tenant {
            "" => Err(refused("`tenant` is missing")),
            "common" | "organizations" | "consumers" => Err(refused(&format!(
                "`{tenant}` in `tenant` stands for any tenant, and an application signs in to one"
            ))),
            _ if is_id(tenant) || is_domain(tenant) => Ok(tenant),
            _ => Err(refused(&format!(
                "`{}` in `tenant` is neither an id nor a domain",
                shown(tenant)
            ))),
        }
    }
}

/// Whether a text is a GUID.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether a text can be a domain: it becomes part of a path, so nothing else may pass.
fn is_domain(text: &str) -> bool {
    text.contains('.')
        && text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

fn shown(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(64).collect()
}

fn refused(what: &str) -> Failure {
    Failure {
        class: class::REFUSED.to_owned(),
        message: format!("the connection's settings can't be used: {what}"),
        remedy: "Correct the settings of the connection. `tenant` is the directory (tenant) id that \
                 Entra's overview shows, or one of its domains; `plugins/entra/README.md` lists the \
                 settings."
            .to_owned(),
        ..Failure::default()
    }
}

/// The JSON Schema of [`Settings`].
pub(crate) fn schema() -> Value {
    let id = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["tenant"],
        "properties": {
            "tenant": {
                "type": "string",
                "pattern": "^[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$|^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$",
                "description": "Directory (tenant) id, or one of its domains."
            },
            "groups": {
                "type": "array",
                "items": {"type": "string", "minLength": 1},
                "description": "Groups whose members are fetched, nested ones included: object ids or \
                    display names. Policies can then ask for `actor.groups`.",
                "examples": [["Administrators", "0d5a2b6f-7f1c-4c3a-9d7a-2f2b6c1e9a10"]]
            },
            "sign-ins": {
                "type": "boolean",
                "default": true,
                "description": "Fetch the sign-in log. Needs Entra ID P1 or P2."
            },
            "non-interactive": {
                "type": "boolean",
                "default": false,
                "description": "Fetch sign-ins that a client made for the person as well: many more, \
                    and only the beta version of Microsoft Graph has them."
            },
            "apps": {
                "type": "array",
                "maxItems": MOST_APPS,
                "items": {"type": "string", "pattern": id},
                "description": "Application ids whose sign-ins are fetched; all when empty."
            },
            "guests": {
                "type": "string",
                "enum": ["keep", "leave-out"],
                "default": "keep",
                "description": "Whether guests are kept as accounts from outside, or left out."
            },
            "leave-dates": {
                "type": "boolean",
                "default": true,
                "description": "Fetch the dates at which people leave. They stay empty without the \
                    permission `User-LifeCycleInfo.Read.All`."
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_is_refused_in_words() {
        let said = [
            "{\"tenent\": \"\"}",
            "{\"sign-ins\": \"no\"}",
            "[]",
            "{",
            "{}",
            "{\"tenant\": \"common\"}",
            "{\"tenant\": \"a/../b.c\"}",
            "{\"tenant\": \"contoso\"}",
            "{\"tenant\": \"contoso..com\"}",
            "{\"tenant\": \"contoso.com\", \"apps\": [\"a' or 'b\"]}",
            "{\"tenant\": \"contoso.com\", \"groups\": [\" \"]}",
        ]
        .map(|text| {
            let read = Settings::read(text);
            let failure = match &read {
                Err(failure) => failure.clone(),
                Ok(settings) => settings.tenant().unwrap_err(),
            };
            assert_eq!(failure.class, class::REFUSED);
            failure.message
        })
        .join("\n");
        insta::assert_snapshot!(said);
    }

    #[test]
    fn ids_and_domains_are_tenants() {
        for tenant in ["contoso.onmicrosoft.com", "4F3C2B1A-0000-4000-8000-0123456789ab", " a.b "] {
            let text = serde_json::json!({ "tenant": tenant }).to_string();
            assert_eq!(Settings::read(&text).unwrap().tenant().unwrap(), tenant.trim());
        }
    }
}
