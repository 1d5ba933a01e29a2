//! Reads a record in XML: elements and attributes by their paths, as those of JSON.
//!
//! The record's own element is what the activity is wrapped in.

use std::borrow::Cow;

use casbah_plugin::record::{Paths, Record};
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use crate::record::DEEPEST;

/// Reads a record. What it held before is gone.
///
/// # Errors
/// In words, when it is no XML or nested too deeply.
pub(crate) fn read(record: &mut Record<'_>, text: &str, paths: &mut Paths) -> Result<(), String> {
    record.members.clear();
    Taking { record, paths }.all(text)
}

/// A record that is being read.
struct Taking<'r, 'a> {
    record: &'r mut Record<'a>,
    paths: &'r mut Paths,
}

impl Taking<'_, '_> {
    fn all(mut self, text: &str) -> Result<(), String> {
        let mut reader = Reader::from_str(text);
        let mut path = String::new();
        // Length of the path outside of every open element.
        let mut open: Vec<usize> = Vec::new();
        let mut content = String::new();
        let mut seen = false;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(element) => {
                    self.text(&path, &mut content);
                    self.enter(&element, &mut path, &mut open)?;
                    seen = true;
                }
                Event::Empty(element) => {
                    self.text(&path, &mut content);
                    self.enter(&element, &mut path, &mut open)?;
                    path.truncate(open.pop().unwrap_or_default());
                    seen = true;
                }
                Event::End(_) => {
                    self.text(&path, &mut content);
                    path.truncate(open.pop().unwrap_or_default());
                }
                Event::Text(part) => content.push_str(&part.xml10_content()),
                Event::CData(part) => content.push_str(&part.xml10_content()),
                Event::GeneralRef(part) => match part.resolve_char_ref() {
                    Ok(Some(character)) => content.push(character),
                    _ => match quick_xml::escape::resolve_predefined_entity(&part) {
                        Some(known) => content.push_str(known),
                        None => content.push_str(&format!("&{};", &*part)),
                    },
                },
                Event::Eof if !seen || !open.is_empty() => {
                    return Err("the XML ends too early".to_owned());
                }
                Event::Eof => return Ok(()),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
        }
    }

    fn text(&mut self, path: &str, content: &mut String) {
        self.push(path, content.trim());
        content.clear();
    }

    fn enter(
        &mut self,
        element: &BytesStart<'_>,
        path: &mut String,
        open: &mut Vec<usize>,
    ) -> Result<(), String> {
        if open.len() >= DEEPEST {
            return Err("the XML is nested too deeply".to_owned());
        }
        let outside = path.len();
        // The record's own element is the wrapping.
        if !open.is_empty() {
            extend(path, element.name().local_name().into_inner());
        }
        open.push(outside);
        for attribute in element.attributes().with_checks(false) {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let key = attribute.key.into_inner();
            if key == "xmlns" || key.starts_with("xmlns:") {
                continue;
            }
            let value = match attribute.normalized_value(XmlVersion::Implicit1_0) {
                Ok(value) => value,
                // An entity that nobody has declared: better as it is written than lost.
                Err(_) => attribute.value.clone(),
            };
            let before = path.len();
            extend(path, attribute.key.local_name().into_inner());
            self.push(path, &value);
            path.truncate(before);
        }
        Ok(())
    }

    fn push(&mut self, path: &str, value: &str) {
        let path = self.paths.id(path);
        self.record.push(path, Cow::Owned(value.to_owned()), self.paths);
    }
}

fn extend(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}
