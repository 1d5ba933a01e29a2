//! Writing JSON and times into a `String` without detours: pages of 10,000 events have to be quick.

/// Appends a number.
pub fn push_number(out: &mut String, number: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        if let Some(place) = digits.get_mut(at) {
            *place = b'0' + (rest % 10) as u8;
        }
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push('-');
    }
    out.push_str(digits.get(at..).and_then(|d| std::str::from_utf8(d).ok()).unwrap_or_default());
}

/// Appends a text in quotes, escaped.
pub fn push_text(out: &mut String, text: &str) {
    out.push('"');
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push_str(text);
    } else {
        for letter in text.chars() {
            match letter {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                control if control < ' ' => {
                    out.push_str("\\u00");
                    out.push(char::from_digit(control as u32 / 16, 16).unwrap_or('0'));
                    out.push(char::from_digit(control as u32 % 16, 16).unwrap_or('0'));
                }
                letter => out.push(letter),
            }
        }
    }
    out.push('"');
}

/// Appends a time as `2026-11-20T10:00:00`, without fraction and offset.
pub fn push_time(out: &mut String, ms: i64) {
    let seconds = ms.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date by counting years from March, as in Howard Hinnant's civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    push_number(out, year);
    for (sign, part) in [
        ('-', month),
        ('-', day),
        ('T', second / 3600),
        (':', second / 60 % 60),
        (':', second % 60),
    ] {
        out.push(sign);
        out.push(char::from(b'0' + (part / 10) as u8));
        out.push(char::from(b'0' + (part % 10) as u8));
    }
}

/// A time as RFC 3339 with `Z`.
pub fn time(ms: i64) -> String {
    let mut out = String::with_capacity(20);
    push_time(&mut out, ms);
    out.push('Z');
    out
}

/// Members of a JSON object, one after the other, with commas where they belong.
pub struct Members<'a> {
    out: &'a mut String,
    first: bool,
    /// Numbers as texts.
    texts: bool,
}

impl<'a> Members<'a> {
    /// Opens an object; with `texts`, ids are written as texts.
    pub fn open(out: &'a mut String, texts: bool) -> Self {
        out.push('{');
        Self { out, first: true, texts }
    }

    /// Writes a name; what is pushed onto the answer is its value, as JSON.
    pub fn name(&mut self, name: &str) -> &mut String {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// Writes a text.
    pub fn text(&mut self, name: &str, value: &str) {
        push_text(self.name(name), value);
    }

    /// Writes an id, as number or as text.
    pub fn id(&mut self, name: &str, value: i64) {
        let texts = self.texts;
        let out = self.name(name);
        if texts {
            out.push('"');
        }
        push_number(out, value);
        if texts {
            out.push('"');
        }
    }

    /// Writes a number.
    pub fn number(&mut self, name: &str, value: i64) {
        push_number(self.name(name), value);
    }

    /// Writes a truth value.
    pub fn flag(&mut self, name: &str, value: bool) {
        self.name(name).push_str(if value { "true" } else { "false" });
    }

    /// Closes the object.
    pub fn close(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_written_as_the_standard_library_does(number: i64) {
            let mut out = String::new();
            push_number(&mut out, number);
            prop_assert_eq!(out, number.to_string());
        }

        #[test]
        fn texts_are_read_back_by_serde(text: String) {
            let mut out = String::new();
            push_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }

        #[test]
        fn times_are_written_as_jiff_does(seconds in 0i64..250_000_000_000) {
            let expected = jiff::Timestamp::from_second(seconds).unwrap().to_string();
            prop_assert_eq!(time(seconds * 1000), expected);
        }
    }
}
