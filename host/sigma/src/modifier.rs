//! The modifiers behind the name of a field: what they are, and which go together.

use casbah_yaml::Span;
use casbah_yaml::suggest::{self, shown};

use crate::encode::{Base64, Wide};
use crate::refused::{No, RefusedKind, Result};

/// Every modifier that there is.
const ALL: [&str; 34] = [
    "all",
    "startswith",
    "endswith",
    "contains",
    "exists",
    "cased",
    "neq",
    "windash",
    "re",
    "i",
    "ignorecase",
    "m",
    "multiline",
    "s",
    "dotall",
    "base64",
    "base64offset",
    "utf16le",
    "utf16be",
    "utf16",
    "wide",
    "lt",
    "lte",
    "gt",
    "gte",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "year",
    "cidr",
    "expand",
    "fieldref",
];

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum How {
    /// With the whole field.
    #[default]
    Is,
    /// With a part of it.
    Contains,
    /// With its beginning.
    Starts,
    /// With its end.
    Ends,
    /// As a regular expression.
    Matches,
    /// As a range of addresses.
    Cidr,
    /// Whether the field is there.
    Exists,
    /// As a number, by this operator of filter rows.
    Number(&'static str),
}

/// The modifiers of a field, taken apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modifiers {
    pub(crate) how: How,
    /// All values instead of one.
    pub(crate) all: bool,
    pub(crate) cased: bool,
    /// None of the values.
    pub(crate) neq: bool,
    pub(crate) windash: bool,
    pub(crate) expand: bool,
    /// The value names another field.
    pub(crate) reference: bool,
    pub(crate) wide: Option<Wide>,
    pub(crate) base64: Option<Base64>,
    /// A part of a time.
    pub(crate) part: Option<&'static str>,
    /// Flags of a regular expression: `i` apart from the others.
    pub(crate) insensitive: bool,
    pub(crate) flags: String,
}

impl Modifiers {
    /// Reads the modifiers of a key of a detection.
    pub(crate) fn read<'a>(names: impl Iterator<Item = &'a str>, span: Span) -> Result<Self> {
        let no = |message: String, hint: &str| No::at(RefusedKind::Modifier, span, message, hint);
        let mut read = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for name in names {
            if seen.contains(&name) {
                return Err(no(
                    format!("`{}` stands there twice", shown(name)),
                    "keep one of them",
                ));
            }
            read.add(name, span)?;
            seen.push(name);
        }
        read.check(&seen, span)?;
        Ok(read)
    }

    fn add(&mut self, name: &str, span: Span) -> Result<()> {
        let no = |message: String, hint: String| No::at(RefusedKind::Modifier, span, message, hint);
        let how = match name {
            "contains" => How::Contains,
            "startswith" => How::Starts,
            "endswith" => How::Ends,
            "re" => How::Matches,
            "cidr" => How::Cidr,
            "exists" => How::Exists,
            "lt" => How::Number("below"),
            "lte" => How::Number("at-most"),
            "gt" => How::Number("above"),
            "gte" => How::Number("at-least"),
            _ => return self.add_other(name, span),
        };
        if self.how != How::Is {
            return Err(no(
                format!(
                    "`{name}` does not go with the modifier before it: both say how to compare"
                ),
                "keep one of them".to_owned(),
            ));
        }
        self.how = how;
        Ok(())
    }

    fn add_other(&mut self, name: &str, span: Span) -> Result<()> {
        let no = |message: String, hint: String| No::at(RefusedKind::Modifier, span, message, hint);
        let twice = |what: &str| {
            no(format!("`{name}` does not go with another {what}"), "keep one of them".to_owned())
        };
        match name {
            "all" => self.all = true,
            "cased" => self.cased = true,
            "neq" => self.neq = true,
            "windash" => self.windash = true,
            "expand" => self.expand = true,
            "fieldref" => self.reference = true,
            "i" | "ignorecase" => self.insensitive = true,
            "m" | "multiline" => self.flags.push('m'),
            "s" | "dotall" => self.flags.push('s'),
            "wide" | "utf16le" | "utf16be" | "utf16" => {
                let wide = match name {
                    "utf16be" => Wide::Big,
                    "utf16" => Wide::Marked,
                    _ => Wide::Little,
                };
                if self.base64.is_some() {
                    return Err(no(
                        format!("`{name}` stands behind the modifier for Base64"),
                        "modifiers are applied in their order: put it in front".to_owned(),
                    ));
                }
                if self.wide.replace(wide).is_some() {
                    return Err(twice("form of UTF-16"));
                }
            }
            "base64" | "base64offset" => {
                let base64 = if name == "base64" { Base64::Whole } else { Base64::Within };
                if self.base64.replace(base64).is_some() {
                    return Err(twice("form of Base64"));
                }
            }
            "minute" | "hour" | "day" | "week" | "month" | "year" => {
                let part = ["minute", "hour", "day", "week", "month", "year"]
                    .into_iter()
                    .find(|part| *part == name);
                if self.part.is_some() {
                    return Err(twice("part of a time"));
                }
                self.part = part;
            }
            "not" => {
                return Err(no(
                    "`not` is not a modifier".to_owned(),
                    "use `neq`, or negate the part in the condition".to_owned(),
                ));
            }
            _ => {
                return Err(no(
                    format!("`{}` is not a modifier", shown(name)),
                    suggest::hint(name, ALL, "modifiers"),
                ));
            }
        }
        Ok(())
    }

    /// Refuses what would leave a modifier without a meaning.
    fn check(&self, seen: &[&str], span: Span) -> Result<()> {
        let no =
            |message: String, hint: &str| Err(No::at(RefusedKind::Modifier, span, message, hint));
        let texts = matches!(self.how, How::Is | How::Contains | How::Starts | How::Ends);
        let number = matches!(self.how, How::Is | How::Number(_));
        let of_text = [
            (self.windash, "windash"),
            (self.expand, "expand"),
            (self.wide.is_some(), "UTF-16"),
            (self.base64.is_some(), "Base64"),
            (self.reference, "fieldref"),
        ];
        if let Some((_, name)) = of_text.iter().find(|(given, _)| *given)
            && !texts
            && !(*name == "expand" && matches!(self.how, How::Cidr | How::Matches))
        {
            return no(format!("`{name}` only goes with texts"), "take one of the modifiers out");
        }
        let transformed = of_text.iter().filter(|(given, _)| *given).count();
        if self.reference && transformed > 1 {
            return no(
                "`fieldref` names a field, which can't be written in another way".to_owned(),
                "take the other modifier out",
            );
        }
        if self.part.is_some() && (!number || transformed > 0 || self.cased) {
            return no(
                "a part of a time is a number".to_owned(),
                "it goes with `lt`, `lte`, `gt`, `gte` and `neq` only",
            );
        }
        if (self.insensitive || !self.flags.is_empty()) && self.how != How::Matches {
            return no(
                "`i`, `m` and `s` only go with `re`".to_owned(),
                "texts are compared without regard to case unless `cased` says otherwise",
            );
        }
        if self.insensitive && self.cased {
            return no("`i` and `cased` say opposite things".to_owned(), "keep one of them");
        }
        if self.wide.is_some() && self.base64.is_none() {
            return no(
                "UTF-16 without Base64 would look for zero bytes, which no text of a log has"
                    .to_owned(),
                "put `base64offset` behind it",
            );
        }
        if self.how == How::Exists && seen.len() > 1 {
            return no("`exists` goes with no other modifier".to_owned(), "take the others out");
        }
        if self.reference && self.how != How::Is {
            // A comparison in front of `fieldref` would put wildcards around the name of the field.
            let place = |name| seen.iter().position(|known| *known == name);
            let how = ["contains", "startswith", "endswith"].into_iter().find_map(place);
            if how < place("fieldref") {
                return no(
                    "`fieldref` stands behind the modifier that says how to compare".to_owned(),
                    "modifiers are applied in their order: put `fieldref` first",
                );
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_refused() {
        let read = |key: &str| match Modifiers::read(key.split('|'), Span::default()) {
            Ok(_) => format!("{key}: fine"),
            Err(no) => {
                format!("{key}: {} ({})", no.wrong.message, no.wrong.hint.unwrap_or_default())
            }
        };
        let keys = [
            "contains|all",
            "contains|windash|all",
            "utf16le|base64offset|contains",
            "re|i|m|s",
            "hour|gte",
            "fieldref|neq",
            "fieldref|startswith|cased",
            "expand|cidr",
            "neq|cased",
            "contians",
            "not",
            "contains|contains",
            "contains|endswith",
            "re|contains",
            "base64|wide",
            "base64|base64offset",
            "wide|utf16be|base64",
            "wide|contains",
            "gt|windash",
            "cidr|base64",
            "hour|contains",
            "hour|minute",
            "i",
            "re|i|cased",
            "exists|all",
            "contains|fieldref",
            "fieldref|base64",
            "",
        ];
        let seen: Vec<_> = keys.into_iter().map(read).collect();
        insta::assert_snapshot!(seen.join("\n"), @"
        contains|all: fine
        contains|windash|all: fine
        utf16le|base64offset|contains: fine
        re|i|m|s: fine
        hour|gte: fine
        fieldref|neq: fine
        fieldref|startswith|cased: fine
        expand|cidr: fine
        neq|cased: fine
        contians: `contians` is not a modifier (did you mean `contains`?)
        not: `not` is not a modifier (use `neq`, or negate the part in the condition)
        contains|contains: `contains` stands there twice (keep one of them)
        contains|endswith: `endswith` does not go with the modifier before it: both say how to compare (keep one of them)
        re|contains: `contains` does not go with the modifier before it: both say how to compare (keep one of them)
        base64|wide: `wide` stands behind the modifier for Base64 (modifiers are applied in their order: put it in front)
        base64|base64offset: `base64offset` does not go with another form of Base64 (keep one of them)
        wide|utf16be|base64: `utf16be` does not go with another form of UTF-16 (keep one of them)
        wide|contains: UTF-16 without Base64 would look for zero bytes, which no text of a log has (put `base64offset` behind it)
        gt|windash: `windash` only goes with texts (take one of the modifiers out)
        cidr|base64: `Base64` only goes with texts (take one of the modifiers out)
        hour|contains: a part of a time is a number (it goes with `lt`, `lte`, `gt`, `gte` and `neq` only)
        hour|minute: `minute` does not go with another part of a time (keep one of them)
        i: `i`, `m` and `s` only go with `re` (texts are compared without regard to case unless `cased` says otherwise)
        re|i|cased: `i` and `cased` say opposite things (keep one of them)
        exists|all: `exists` goes with no other modifier (take the others out)
        contains|fieldref: `fieldref` stands behind the modifier that says how to compare (modifiers are applied in their order: put `fieldref` first)
        fieldref|base64: `fieldref` names a field, which can't be written in another way (take the other modifier out)
        : `` is not a modifier (modifiers are `all`, `startswith`, `endswith`, `contains`, `exists`, `cased`, `neq`, `windash`, `re`, `i`, `ignorecase`, `m`, `multiline`, `s`, `dotall`, `base64`, `base64offset`, `utf16le`, `utf16be`, `utf16`, `wide`, `lt`, `lte`, `gt`, `gte`, `minute`, `hour`, `day`, `week`, `month`, `year`, `cidr`, `expand`, `fieldref`)
        ");
    }
}
