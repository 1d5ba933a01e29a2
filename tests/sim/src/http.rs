//! Pieces of requests and answers that no app has in its own way.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// The token of the authorization header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether whoever asks takes compressed answers.
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.split(';').next().is_some_and(|name| name.trim() == "gzip"))
}

/// A page of HTML with nothing but a title.
pub fn page(title: &str) -> String {
    format!(
        "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>\n"
    )
}

/// An answer to be sent. Headers that HTTP can't carry are left out.
pub fn respond(
    status: u16,
    headers: impl IntoIterator<Item = (HeaderName, String)>,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_and_encodings_are_read() {
        let with = |name: HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        let cases =
            [("Bearer abc", Some("abc")), ("bearer  abc ", Some("abc")), ("Basic abc", None)];
        for (value, token) in cases {
            assert_eq!(bearer(&with(header::AUTHORIZATION, value)), token, "{value}");
        }
        for (value, accepted) in [("gzip", true), ("br, gzip;q=0.5", true), ("br, xgzip", false)] {
            assert_eq!(accepts_gzip(&with(header::ACCEPT_ENCODING, value)), accepted, "{value}");
        }
    }
}
