//! Answers: values, errors in the envelope of Graph and in that of the token end point, pages of HTML.

use axum::body::Body;
use axum::http::{HeaderName, Response, header};
use casbah_sim::{page, respond};
use serde_json::{Value, json};

/// An answer before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(HeaderName, String)>,
    pub(crate) body: String,
}

const JSON: &str = "application/json; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Answer {
    fn new(status: u16, media: &str, body: String) -> Self {
        Self { status, headers: vec![(header::CONTENT_TYPE, media.to_owned())], body }
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self::new(200, JSON, value.to_string())
    }

    pub(crate) fn of(value: &impl serde::Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self::new(200, JSON, text),
            Err(error) => Self::error(500, "generalException", &error.to_string()),
        }
    }

    /// The envelope of Graph.
    pub(crate) fn error(status: u16, code: &str, message: &str) -> Self {
        let id = casbah_sim::secret::hex(8);
        let body = json!({"error": {"code": code, "message": message, "innerError":
            {"date": "2026-11-20T10:00:00", "request-id": id, "client-request-id": id}}});
        Self::new(status, JSON, body.to_string())
    }

    /// The same in another spelling that occurs.
    pub(crate) fn odd_error(status: u16, code: &str) -> Self {
        let body = json!({"error": {"code": code, "message": "", "innererror":
            {"message": "Something went wrong.", "innerError": {"requestId": "x"}}}});
        Self::new(status, JSON, body.to_string())
    }

    /// The envelope of the token end point.
    pub(crate) fn refusal(status: u16, error: &str, number: u32, words: &str) -> Self {
        // Always the same, so that messages can be compared.
        let id = "00000000-0000-4000-8000-00000000aadc";
        let description = format!(
            "AADSTS{number}: {words} Trace ID: {id} Correlation ID: {id} Timestamp: 2026-11-20 10:00:00Z"
        );
        let body = json!({"error": error, "error_description": description, "error_codes": [number],
            "timestamp": "2026-11-20 10:00:00Z", "trace_id": id, "correlation_id": id});
        Self::new(status, JSON, body.to_string())
    }

    pub(crate) fn html(status: u16, title: &str) -> Self {
        Self::new(status, HTML, page(title))
    }

    pub(crate) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        respond(self.status, self.headers, self.body)
    }
}
