//! Answers in the app's envelope, and in none where a fault wants that.

use std::io::Write;

use axum::body::Body;
use axum::http::{HeaderName, Response, header};
use casbah_sim::respond;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::text::Members;

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The app's error code, for counting; 0 for none.
    pub(crate) code: u32,
    pub(crate) media: &'static str,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Vec<u8>,
}

const JSON: &str = "application/json;charset=UTF-8";
const HTML: &str = "text/html; charset=utf-8";

impl Answer {
    pub(crate) fn json(body: String) -> Self {
        Self { status: 200, code: 0, media: JSON, headers: Vec::new(), body: body.into_bytes() }
    }

    pub(crate) fn value(value: &serde_json::Value) -> Self {
        Self::json(value.to_string())
    }

    pub(crate) fn plain(body: String) -> Self {
        Self { media: "text/plain; charset=utf-8", ..Self::json(body) }
    }

    pub(crate) fn success() -> Self {
        Self::json(r#"{"message":"SUCCESS","resultCode":0}"#.to_owned())
    }

    /// The error envelope: `errorCode`, `message`, `refId`.
    pub(crate) fn error(status: u16, code: u32, message: &str) -> Self {
        let mut out = String::new();
        let mut members = Members::open(&mut out, false);
        members.number("errorCode", i64::from(code));
        members.text("message", message);
        // The published 500 / 4000 has no reference.
        if code != 4000 {
            members.text("refId", &reference());
        }
        members.close();
        Self { status, code, ..Self::json(out) }
    }

    /// The envelope of the token endpoint: the code as a text, and `error`.
    pub(crate) fn token_error(status: u16, code: u32, message: &str, error: &str) -> Self {
        let mut out = String::new();
        let mut members = Members::open(&mut out, false);
        members.text("errorCode", &code.to_string());
        members.text("message", message);
        members.text("error", error);
        members.text("refId", &reference());
        members.close();
        Self { status, code, ..Self::json(out) }
    }

    pub(crate) fn html(status: u16, title: &str) -> Self {
        Self { status, media: HTML, ..Self::json(casbah_sim::page(title)) }
    }

    pub(crate) fn page(html: String) -> Self {
        Self { media: HTML, ..Self::json(html) }
    }

    pub(crate) fn redirect(status: u16, to: String) -> Self {
        Self { status, ..Self::json(String::new()) }.with(header::LOCATION, to)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Compresses the body; small ones are not worth it.
    pub(crate) fn compressed(mut self) -> Self {
        if self.body.len() < 512 {
            return self;
        }
        let mut encoder =
            GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::new(1));
        // Writing into memory does not fail; if it did, the body would go as it is.
        if encoder.write_all(&self.body).is_ok()
            && let Ok(body) = encoder.finish()
        {
            self.body = body;
            self.headers.push((header::CONTENT_ENCODING, "gzip".to_owned()));
        }
        self
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let media = (header::CONTENT_TYPE, self.media.to_owned());
        respond(self.status, std::iter::once(media).chain(self.headers), self.body)
    }
}

/// A reference that support would ask for.
fn reference() -> String {
    casbah_sim::secret::letters(12)
}
