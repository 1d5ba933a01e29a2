//! One event of the audit stream, taken apart where it stands.
//!
//! It is not an interpretation: which detail means what is decided in [`crate::normalize`].

use casbah_plugin::scan::{Broken, Scanner, Text, Value};

/// A member of an object.
pub(crate) type Member<'a> = (Text<'a>, Value<'a>);

/// The parts of an event. Made once and filled again for every event, so that nothing is allocated.
#[derive(Debug, Default)]
pub(crate) struct Event<'a> {
    pub(crate) id: Option<Value<'a>>,
    pub(crate) object_type: Option<Value<'a>>,
    pub(crate) action: Option<Value<'a>>,
    pub(crate) object_id: Option<Value<'a>>,
    /// Since June 2026, and right in all cases.
    pub(crate) object_id_str: Option<Value<'a>>,
    pub(crate) time: Option<Value<'a>>,
    pub(crate) user: Option<Value<'a>>,
    pub(crate) request_user: Option<Value<'a>>,
    pub(crate) token_name: Option<Value<'a>>,
    pub(crate) source: Option<Value<'a>>,
    /// Members of `additionalDetails` and `eventDetails`, and an address that stands at the top.
    pub(crate) details: Vec<Member<'a>>,
    /// Everything else, under the name it has.
    pub(crate) extra: Vec<Member<'a>>,
}

impl<'a> Event<'a> {
    /// Reads the value at the scanner's position as an event.
    ///
    /// A value that is no object is kept as an extra without a name.
    ///
    /// # Errors
    /// When it is not JSON.
    #[inline]
    pub(crate) fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Broken> {
        self.clear();
        if scanner.peek() != b'{' {
            let value = scanner.value()?;
            self.extra.push((Text::default(), value));
            return Ok(());
        }
        scanner.enter_object()?;
        let mut first = true;
        while let Some(key) = scanner.key(&mut first)? {
            self.member(key, scanner)?;
        }
        Ok(())
    }

    fn clear(&mut self) {
        let details = std::mem::take(&mut self.details);
        let extra = std::mem::take(&mut self.extra);
        *self = Self { details, extra, ..Self::default() };
        self.details.clear();
        self.extra.clear();
    }

    #[inline]
    fn member(&mut self, key: Text<'a>, scanner: &mut Scanner<'a>) -> Result<(), Broken> {
        let place = match key.plain().unwrap_or_default() {
            "eventId" => &mut self.id,
            "objectType" => &mut self.object_type,
            "action" => &mut self.action,
            "objectId" => &mut self.object_id,
            "objectIdStr" => &mut self.object_id_str,
            "eventTimestamp" | "eventTimeStamp" => &mut self.time,
            "userId" => &mut self.user,
            "requestUserId" => &mut self.request_user,
            "accessTokenName" => &mut self.token_name,
            "source" => &mut self.source,
            "additionalDetails" | "eventDetails" => return self.details(key, scanner),
            "sourceIpAddress" => {
                let value = scanner.value()?;
                self.details.push((key, value));
                return Ok(());
            }
            _ => {
                let value = scanner.value()?;
                self.extra.push((key, value));
                return Ok(());
            }
        };
        // Only a text or a number can be what these are; anything else is kept as it is.
        let value = scanner.value()?;
        match value {
            Value::Text(_) | Value::Number(_) => {
                // Both spellings of the time, or a key given twice: the last one counts, as in most
                // readers of JSON, and the other is kept.
                if let Some(before) = place.replace(value)
                    && before != value
                {
                    self.extra.push((key, before));
                }
            }
            Value::Null => {}
            _ => self.extra.push((key, value)),
        }
        Ok(())
    }

    #[inline]
    fn details(&mut self, key: Text<'a>, scanner: &mut Scanner<'a>) -> Result<(), Broken> {
        if scanner.peek() != b'{' {
            let value = scanner.value()?;
            self.extra.push((key, value));
            return Ok(());
        }
        scanner.enter_object()?;
        let mut first = true;
        while let Some(key) = scanner.key(&mut first)? {
            let value = scanner.value()?;
            self.details.push((key, value));
        }
        Ok(())
    }
}
