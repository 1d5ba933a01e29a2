//! Placeholders: names in percent signs that whoever uses a rule puts values in for.

use std::collections::BTreeMap;

use casbah_yaml::Span;
use casbah_yaml::suggest::{self, shown};

use crate::refused::{No, RefusedKind, Result};

/// Values by the name of the placeholder, without its percent signs. Names are compared as they are,
/// and wildcards in values are wildcards.
pub(crate) type Placeholders = BTreeMap<String, Vec<String>>;

/// How many values a text may become.
const MOST: usize = 10_000;

/// Every text that a text with placeholders stands for. `\%` is a percent sign.
pub(crate) fn expand(text: &str, known: &Placeholders, span: Span) -> Result<Vec<String>> {
    let no = |message: String, hint: String| No::at(RefusedKind::Placeholder, span, message, hint);
    let mut all = vec![String::new()];
    let mut name: Option<String> = None;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        let escaped = c == '\\' && characters.next_if_eq(&'%').is_some();
        let c = if escaped { '%' } else { c };
        match (&mut name, c) {
            (None, '%') if !escaped => name = Some(String::new()),
            (None, c) => all.iter_mut().for_each(|text| text.push(c)),
            (Some(_), '%') if !escaped => {
                let name = name.take().unwrap_or_default();
                let Some(values) = known.get(&name).filter(|values| !values.is_empty()) else {
                    return Err(unresolved(&name, known, span));
                };
                if all.len().saturating_mul(values.len()) > MOST {
                    return Err(no(
                        format!("the placeholders stand for more than {MOST} texts"),
                        String::new(),
                    ));
                }
                all = all
                    .iter()
                    .flat_map(|before| values.iter().map(move |value| format!("{before}{value}")))
                    .collect();
            }
            (Some(name), c) => name.push(c),
        }
    }
    match name {
        None => Ok(all),
        Some(name) => Err(no(
            format!("the placeholder `%{}` does not end", shown(&name)),
            r"a percent sign that is meant as it is is written `\%`".to_owned(),
        )),
    }
}

fn unresolved(name: &str, known: &Placeholders, span: Span) -> No {
    let given = known.iter().filter(|(_, values)| !values.is_empty());
    let hint = match suggest::nearest(name, given.map(|(name, _)| name.as_str())) {
        Some(near) => format!("did you mean `%{near}%`?"),
        None => format!("give values for it, in a list of its name: `lists/{}.txt`", shown(name)),
    };
    let message = format!("nothing is known to put in for the placeholder `%{}%`", shown(name));
    No::at(RefusedKind::Placeholder, span, message, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in() {
        let known = Placeholders::from([
            ("a".to_owned(), vec!["1".to_owned(), "2*".to_owned()]),
            ("b".to_owned(), vec!["x".to_owned()]),
            ("empty".to_owned(), Vec::new()),
        ]);
        let read = |text| match expand(text, &known, Span::default()) {
            Ok(texts) => texts.join(", "),
            Err(no) => format!("{} ({})", no.wrong.message, no.wrong.hint.unwrap_or_default()),
        };
        let texts = [
            "plain",
            "%a%",
            "<%a%-%b%>",
            r"\%a%b%",
            r"100\%",
            "%a",
            "%nobody%",
            "%empty%",
            "%bb%",
            r"C:\x\%b",
        ];
        let seen: Vec<_> = texts.into_iter().map(read).collect();
        insta::assert_snapshot!(seen.join("\n"), @r#"
        plain
        1, 2*
        <1-x>, <2*-x>
        %ax
        100%
        the placeholder `%a` does not end (a percent sign that is meant as it is is written `\%`)
        nothing is known to put in for the placeholder `%nobody%` (give values for it, in a list of its name: `lists/nobody.txt`)
        nothing is known to put in for the placeholder `%empty%` (give values for it, in a list of its name: `lists/empty.txt`)
        nothing is known to put in for the placeholder `%bb%` (did you mean `%b%`?)
        C:\x%b
        "#);
    }
}
