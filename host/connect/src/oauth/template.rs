//! Fills the places in an adapter's addresses, scopes and client ids that a connection decides:
//! `{setting.NAME}`, `{host.NAME}` and `{client}`.
//!
//! It is not a language: a place is filled with a text, or the whole is an error.

use serde_json::Value;

use crate::client::Hosts;
use crate::error::{ConnectError, ConnectErrorKind};
use crate::text;

/// What the places of a template are filled with.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    /// Name of the app for people.
    pub(super) title: &'a str,
    /// The settings of the connection, a JSON object.
    pub(super) settings: &'a Value,
    /// The addresses of the connection.
    pub(super) hosts: &'a Hosts,
}

impl Filling<'_> {
    /// Fills the path of an end point. A value becomes exactly one segment, whatever it holds.
    pub(super) fn path(&self, template: &str) -> Result<String, ConnectError> {
        fill(template, |place| {
            let Some(name) = place.strip_prefix("setting.") else {
                return Err(self.unknown(place));
            };
            let value = self.setting(name)?;
            // Dots are not encoded away by any means: a server may still take them for the parent.
            if value == "." || value == ".." {
                return Err(self.unfit(name, "can't be part of an address"));
            }
            Ok(segment(&value))
        })
    }

    /// Fills a scope. A value can't add a second one.
    pub(super) fn scope(&self, template: &str) -> Result<String, ConnectError> {
        fill(template, |place| {
            let (value, name) = match (place.strip_prefix("setting."), place.strip_prefix("host."))
            {
                (Some(name), _) => (self.setting(name)?, name),
                (None, Some(name)) => (self.host(name)?, name),
                (None, None) => return Err(self.unknown(place)),
            };
            if value.contains(char::is_whitespace) {
                return Err(self.unfit(name, "has blanks, which no scope has"));
            }
            Ok(value)
        })
    }

    /// Fills what is sent as the client's id; an empty template stands for the id alone. Nothing is
    /// encoded: that is up to the way in which the client proves itself.
    pub(super) fn client(&self, template: &str, id: &str) -> Result<String, ConnectError> {
        if template.is_empty() {
            return Ok(id.to_owned());
        }
        fill(template, |place| match (place, place.strip_prefix("setting.")) {
            ("client", _) => Ok(id.to_owned()),
            (_, Some(name)) => {
                let value = self.setting(name)?;
                // The first colon of Basic ends the user's name.
                if value.contains(':') {
                    return Err(self.unfit(name, "has a colon, which no client id may have"));
                }
                Ok(value)
            }
            _ => Err(self.unknown(place)),
        })
    }

    fn setting(&self, name: &str) -> Result<String, ConnectError> {
        let value = match self.settings.get(name) {
            Some(Value::String(value)) => value.trim().to_owned(),
            Some(Value::Number(value)) => value.to_string(),
            Some(Value::Null) | None => String::new(),
            Some(_) => return Err(self.unfit(name, "is not a text")),
        };
        if value.is_empty() {
            return Err(ConnectError::new(
                ConnectErrorKind::Configuration,
                format!(
                    "{} can't be signed in to without the setting `{}`",
                    self.title,
                    text::shown(name, 40)
                ),
            )
            .hint(format!(
                "give it with `--settings '{{\"{}\": \"...\"}}'`",
                text::shown(name, 40)
            )));
        }
        if value.chars().any(char::is_control) {
            return Err(self.unfit(name, "has control characters"));
        }
        Ok(value)
    }

    fn host(&self, name: &str) -> Result<String, ConnectError> {
        let base = self.hosts.base(name).ok_or_else(|| self.unknown(&format!("host.{name}")))?;
        Ok(base.as_str().trim_end_matches('/').to_owned())
    }

    fn unfit(&self, name: &str, why: &str) -> ConnectError {
        ConnectError::new(
            ConnectErrorKind::Configuration,
            format!(
                "{} can't be signed in to: the setting `{}` {why}",
                self.title,
                text::shown(name, 40)
            ),
        )
        .hint("correct it with `--settings`")
    }

    fn unknown(&self, place: &str) -> ConnectError {
        ConnectError::new(
            ConnectErrorKind::Plugin,
            format!(
                "the adapter for {} asks for `{{{}}}` in its sign-in, which does not exist",
                self.title,
                text::shown(place, 40)
            ),
        )
    }
}

/// Replaces every `{place}`. A brace without its match is part of the text.
fn fill(
    template: &str,
    mut value: impl FnMut(&str) -> Result<String, ConnectError>,
) -> Result<String, ConnectError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((place, behind)) = after.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(&value(place)?);
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// A text as one segment of a path: everything is encoded but the unreserved characters of RFC 3986.
fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use proptest::prelude::*;
    use serde_json::json;

    fn with<T>(settings: Value, work: impl FnOnce(Filling<'_>) -> T) -> T {
        let description = crate::testing::description();
        let hosts = Hosts::resolve(&description, Some("us"), &Default::default()).unwrap();
        work(Filling { title: "Toy", settings: &settings, hosts: &hosts })
    }

    #[test]
    fn places_are_filled() {
        with(json!({"tenant": "acme.example", "repository": "CA-1", "number": 7}), |filling| {
            let path = filling.path("/{setting.tenant}/oauth2/{setting.number}/token").unwrap();
            assert_eq!(path, "/acme.example/oauth2/7/token");
            let scope = filling.scope("{host.api}/.default").unwrap();
            assert_eq!(scope, "https://api.toy.example/2.0/.default");
            assert_eq!(filling.client("", "AP-1").unwrap(), "AP-1");
            let client = filling.client("{client}|{setting.repository}", "AP-1").unwrap();
            assert_eq!(client, "AP-1|CA-1", "nothing is encoded");
        });
    }

    #[test]
    fn what_can_not_be_filled_is_said_in_words() {
        let settings = json!({
            "up": "..", "two": "a b", "list": [], "colon": "a:b", "line": "a\nb", "empty": "  "
        });
        let said = with(settings, |filling| {
            [
                filling.path("/{setting.tenant}/token"),
                filling.path("/{setting.empty}/token"),
                filling.path("/{setting.up}/token"),
                filling.path("/{setting.list}/token"),
                filling.path("/{setting.line}/token"),
                filling.path("/{host.api}/token"),
                filling.scope("{setting.two}"),
                filling.scope("{host.graph}"),
                filling.client("{setting.colon}", "id"),
            ]
            .map(|filled| filled.unwrap_err().to_string())
        });
        assert_snapshot!(said.join("\n"), @r#"
        Toy can't be signed in to without the setting `tenant`
        hint: give it with `--settings '{"tenant": "..."}'`
        Toy can't be signed in to without the setting `empty`
        hint: give it with `--settings '{"empty": "..."}'`
        Toy can't be signed in to: the setting `up` can't be part of an address
        hint: correct it with `--settings`
        Toy can't be signed in to: the setting `list` is not a text
        hint: correct it with `--settings`
        Toy can't be signed in to: the setting `line` has control characters
        hint: correct it with `--settings`
        the adapter for Toy asks for `{host.api}` in its sign-in, which does not exist
        Toy can't be signed in to: the setting `two` has blanks, which no scope has
        hint: correct it with `--settings`
        the adapter for Toy asks for `{host.graph}` in its sign-in, which does not exist
        Toy can't be signed in to: the setting `colon` has a colon, which no client id may have
        hint: correct it with `--settings`
        "#);
    }

    proptest! {
        /// Whatever stands in a setting, an address made of it has as many segments as the template,
        /// and the segment reads back as the setting.
        #[test]
        fn a_setting_is_one_segment_of_a_path(value in "\\PC{1,20}") {
            let filled = with(json!({"tenant": value}), |filling| {
                filling.path("/{setting.tenant}/token").and_then(|path| filling.hosts.url("api", &path))
            });
            let Ok(url) = filled else {
                let trimmed = value.trim();
                prop_assert!(trimmed.is_empty() || trimmed == "." || trimmed == "..", "{:?}", value);
                return Ok(());
            };
            let segments: Vec<_> = url.path_segments().unwrap().collect();
            prop_assert_eq!(segments.len(), 3);
            // Decoded by what reads forms; `+` is never in an encoded segment.
            let pair = format!("x={}", segments[1]);
            let (_, decoded) = url::form_urlencoded::parse(pair.as_bytes()).next().unwrap();
            prop_assert_eq!(decoded.as_ref(), value.trim());
        }
    }
}
