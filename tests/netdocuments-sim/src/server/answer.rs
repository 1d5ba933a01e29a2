//! Answers: values, the error object in JSON or XML, pages of HTML, and logs that are written as they
//! are sent.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, Response, header};
use casbah_sim::respond;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_core::Stream;
use serde_json::{Value, json};

use crate::render::{Form, Shape, frame};
use crate::world::World;

/// An answer before it is sent.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(HeaderName, String)>,
    content: Content,
}

enum Content {
    Text(String),
    Log(Box<LogText>),
}

const JSON: &str = "application/json; charset=utf-8";
const XML: &str = "text/xml; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

impl Answer {
    fn new(status: u16, media: &str, text: String) -> Self {
        let headers = vec![(header::CONTENT_TYPE, media.to_owned())];
        Self { status, headers, content: Content::Text(text) }
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self::new(200, JSON, value.to_string())
    }

    pub(crate) fn of(value: &impl serde::Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => Self::new(200, JSON, text),
            Err(error) => Self::error(500, "Internal", &error.to_string(), Form::Json),
        }
    }

    pub(crate) fn nothing() -> Self {
        Self::new(204, JSON, String::new())
    }

    /// The error object of the vendor, by the format that was asked for.
    pub(crate) fn error(status: u16, error: &str, message: &str, form: Form) -> Self {
        match form {
            Form::Json => {
                let text =
                    json!({"error": error, "message": message, "details": "", "conflictType": ""});
                Self::new(status, JSON, text.to_string())
            }
            Form::Xml => {
                let text =
                    format!("<error><error>{error}</error><message>{message}</message></error>");
                Self::new(status, XML, text)
            }
        }
    }

    /// An error of the token endpoint, as RFC 6749 has it.
    pub(crate) fn refusal(status: u16, error: &str, description: &str) -> Self {
        let text = json!({"error": error, "error_description": description});
        Self::new(status, JSON, text.to_string())
    }

    pub(crate) fn html(status: u16, title: &str) -> Self {
        Self::new(status, HTML, casbah_sim::page(title))
    }

    pub(crate) fn page(html: String) -> Self {
        Self::new(200, HTML, html)
    }

    pub(crate) fn redirect(to: String) -> Self {
        Self::new(302, HTML, String::new()).with(header::LOCATION, to)
    }

    pub(crate) fn log(log: LogText) -> Self {
        let media = if log.form == Form::Json { JSON } else { XML };
        let headers = vec![(header::CONTENT_TYPE, media.to_owned())];
        Self { status: 200, headers, content: Content::Log(Box::new(log)) }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// About how many bytes its body has.
    pub(crate) fn about(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.len(),
            Content::Log(log) => 200 + log.places.len() * 400,
        }
    }

    pub(crate) fn into_response(self, gzip: bool) -> Response<Body> {
        let mut headers = self.headers;
        let body = match self.content {
            Content::Text(text) => Body::from(text),
            Content::Log(mut log) => {
                if gzip {
                    headers.push((header::CONTENT_ENCODING, "gzip".to_owned()));
                    log.pack = Some(GzEncoder::new(Vec::new(), Compression::new(1)));
                }
                Body::from_stream(*log)
            }
        };
        respond(self.status, headers, body)
    }
}

/// A log that is written piece by piece: a million records are never there at once.
pub(crate) struct LogText {
    pub(crate) world: Arc<World>,
    /// Places of the records, in the order in which they are written.
    pub(crate) places: Vec<u32>,
    pub(crate) form: Form,
    pub(crate) shape: Shape,
    next: usize,
    ended: bool,
    pack: Option<GzEncoder<Vec<u8>>>,
}

/// Records of a piece.
const PIECE: usize = 256;

impl LogText {
    pub(crate) fn new(world: Arc<World>, places: Vec<u32>, form: Form, shape: Shape) -> Self {
        Self { world, places, form, shape, next: 0, ended: false, pack: None }
    }

    fn piece(&mut self) -> String {
        let (before, behind) = frame(self.form, self.shape);
        let mut text = String::with_capacity(PIECE * 700);
        if self.next == 0 {
            text.push_str(before);
        }
        let until = (self.next + PIECE).min(self.places.len());
        for (n, &place) in
            (self.next..until).zip(self.places.get(self.next..until).unwrap_or_default())
        {
            match self.form {
                Form::Json if n > 0 => text.push_str(", "),
                Form::Json => {}
                Form::Xml => text.push_str("\n  "),
            }
            self.world.write(&mut text, place, self.form, self.shape);
        }
        self.next = until;
        if until == self.places.len() {
            text.push_str(behind);
            self.ended = true;
        }
        text
    }

    fn packed(&mut self, text: String) -> Vec<u8> {
        let Some(mut pack) = self.pack.take() else { return text.into_bytes() };
        // Writing into memory does not fail.
        let written = pack.write_all(text.as_bytes()).and_then(|()| pack.flush());
        debug_assert!(written.is_ok());
        if self.ended {
            return pack.finish().unwrap_or_default();
        }
        let bytes = std::mem::take(pack.get_mut());
        self.pack = Some(pack);
        bytes
    }
}

impl Stream for LogText {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let log = self.get_mut();
        if log.ended {
            return Poll::Ready(None);
        }
        let text = log.piece();
        Poll::Ready(Some(Ok(log.packed(text).into())))
    }
}
