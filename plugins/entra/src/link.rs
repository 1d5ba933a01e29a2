//! Links to the next page: opaque, taken apart only as far as it takes to send them to the declared
//! host, and refused when they lead anywhere else.
//!
//! What is kept is path and query. So a link that was changed on its way or in the store can't take
//! the token to another host; the check here is for telling that something is wrong.

use casbah_plugin::{Failure, class};

use crate::describe::GRAPH_HOSTS;

/// Longer links are no links of Graph.
const LONGEST: usize = 32 << 10;

/// Path and query of a link.
///
/// `context` is what the same answer says of its own address (`@odata.context`), where it does.
///
/// # Errors
/// `malformed`, code `link`, when it leads to another host or outside of the interface.
pub(crate) fn target(link: &str, context: Option<&str>) -> Result<String, Failure> {
    let (origin, target) = parts(link).ok_or_else(|| refuse(link, "is no address of Graph"))?;
    if !is_known(&origin) {
        return Err(refuse(link, "leads to another host"));
    }
    if let Some((own, _)) = context.and_then(parts)
        && own != origin
    {
        return Err(refuse(link, "leads to another host than the answer came from"));
    }
    check(target).map_err(|why| refuse(link, why))?;
    Ok(target.to_owned())
}

/// What is wrong with path and query, if anything is. Also for one that comes out of a cursor.
pub(crate) fn check(target: &str) -> Result<(), &'static str> {
    let (path, _) = target.split_once('?').unwrap_or((target, ""));
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#');
    if target.len() > LONGEST {
        return Err("is too long");
    }
    if !target.bytes().all(fits) {
        return Err("holds characters that no address has");
    }
    if !(path.starts_with("/v1.0/") || path.starts_with("/beta/")) {
        return Err("leads outside of the interface");
    }
    let lower = path.to_ascii_lowercase();
    if lower.split('/').any(|part| matches!(part, "." | ".." | "%2e" | "%2e%2e" | ".%2e" | "%2e."))
    {
        return Err("leads outside of the interface");
    }
    Ok(())
}

/// Scheme and host of an address in lower case, and the rest.
fn parts(link: &str) -> Option<(String, &str)> {
    let (scheme, rest) = link.split_once("://")?;
    let (authority, target) = rest.split_at(rest.find('/')?);
    let scheme = scheme.to_ascii_lowercase();
    let authority = authority.to_ascii_lowercase();
    let authority = match scheme.as_str() {
        "https" => authority.strip_suffix(":443").unwrap_or(&authority),
        "http" => authority.strip_suffix(":80").unwrap_or(&authority),
        _ => return None,
    };
    Some((format!("{scheme}://{authority}"), target))
}

/// Graph itself, or this machine, where a simulator or a proxy stands in for it.
fn is_known(origin: &str) -> bool {
    if GRAPH_HOSTS.contains(&origin) {
        return true;
    }
    let Some((_, authority)) = origin.split_once("://") else { return false };
    let host = match authority.strip_prefix('[') {
        Some(rest) => return rest.strip_prefix("::1]").is_some_and(is_port),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    let rest = authority.get(host.len()..).unwrap_or_default();
    let loopback = host == "localhost"
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    loopback && is_port(rest)
}

fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(port) => port.parse::<u16>().is_ok(),
        None => text.is_empty(),
    }
}

/// The pairs of a query, decoded; encoded again they mean the same.
///
/// # Errors
/// `malformed` when a value is not UTF-8.
pub(crate) fn query(target: &str) -> Result<Vec<(String, String)>, Failure> {
    let Some((_, query)) = target.split_once('?') else { return Ok(Vec::new()) };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| refuse(target, "is not UTF-8"))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high, *low).map(|byte| (byte, after)),
            _ => None,
        };
        match escaped {
            Some((byte, after)) => {
                bytes.push(byte);
                rest = after;
            }
            None if first == b'+' => bytes.push(b' '),
            None => bytes.push(first),
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

pub(crate) fn refuse(link: &str, why: &str) -> Failure {
    // The query holds the token of the page: nobody needs to see it.
    let shown = link.split_once('?').map_or(link, |(path, _)| path);
    let shown: String =
        shown.chars().filter(|character| !character.is_control()).take(120).collect();
    Failure {
        class: class::MALFORMED.to_owned(),
        code: "link".to_owned(),
        message: format!("the link to the next page, `{shown}`, {why}"),
        remedy: "casbah follows links only to the host of Microsoft Graph that the connection was \
                 made for. Check the region and the addresses of the connection; if they are right, \
                 something between casbah and Microsoft changes the answers."
            .to_owned(),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Option<&str> = Some("https://graph.microsoft.com/v1.0/$metadata#users");

    #[test]
    fn links_to_graph_keep_path_and_query_as_they_are() {
        for (link, expected) in [
            (
                "https://graph.microsoft.com/v1.0/users/delta?$skiptoken=a-_b",
                "/v1.0/users/delta?$skiptoken=a-_b",
            ),
            ("HTTPS://Graph.Microsoft.com:443/v1.0/users", "/v1.0/users"),
            ("https://graph.microsoft.com/v1.0/groups('1')/x?a=%20", "/v1.0/groups('1')/x?a=%20"),
        ] {
            assert_eq!(target(link, CONTEXT).unwrap(), expected);
            assert_eq!(target(link, None).unwrap(), expected);
        }
        assert!(target("http://127.0.0.1:4711/v1.0/users?a", None).is_ok());
        assert!(target("http://[::1]:4711/beta/users", None).is_ok());
    }

    #[test]
    fn links_to_anywhere_else_are_refused() {
        for link in [
            "https://evil.example/v1.0/users",
            "http://graph.microsoft.com/v1.0/users",
            "https://graph.microsoft.com@evil.example/v1.0/users",
            "https://graph.microsoft.com.evil.example/v1.0/users",
            "https://graph.microsoft.com:444/v1.0/users",
            "https://graph.microsoft.us/v1.0/users",
            "http://127.0.0.1.evil.example/v1.0/users",
            "http://127.0.0.1:1@evil.example/v1.0/users",
            "//evil.example/v1.0/users",
            "/v1.0/users",
            "https://graph.microsoft.com",
            "https://graph.microsoft.com/users",
            "https://graph.microsoft.com/v1.0/../admin",
            "https://graph.microsoft.com/v1.0/%2E%2e/admin",
            "https://graph.microsoft.com/v1.0/a#b",
            "https://graph.microsoft.com/v1.0/a\r\nhost: b",
            "ftp://graph.microsoft.com/v1.0/users",
            "",
        ] {
            let failure = target(link, CONTEXT).unwrap_err();
            assert_eq!(
                (failure.class.as_str(), failure.code.as_str()),
                ("malformed", "link"),
                "{link}"
            );
        }
        let failure =
            target("https://evil.example/v1.0/users?$skiptoken=secret", CONTEXT).unwrap_err();
        insta::assert_snapshot!(failure.message);
    }

    #[test]
    fn a_query_is_decoded() {
        let pairs =
            query("/v1.0/users?$select=id,mail&$filter=a%20eq+%27b%2B%27&x&p=%zz%4").unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(
            pairs,
            [("$select", "id,mail"), ("$filter", "a eq 'b+'"), ("x", ""), ("p", "%zz%4")]
        );
        assert!(query("/v1.0/users?a=%ff").is_err());
    }
}
