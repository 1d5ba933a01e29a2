//! *Did you mean*: the name that is nearest to one that is not known.

/// The nearest of `names`, when it is near enough to be a slip of the fingers.
pub fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long garbage is nobody's slip, and comparing it would be slow.
    if wrong.is_empty() || wrong.chars().count() > 64 {
        return None;
    }
    let lower = wrong.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, name), name))
        .filter(|&(distance, name)| distance <= 1.max(name.len().min(lower.len()) / 3))
        .min()
        .map(|(_, name)| name)
}

/// A hint that names the nearest, or else lists them all.
pub fn hint<'a>(
    wrong: &str,
    names: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    match nearest(wrong, names.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => {
            let all: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
            format!("{what} are {}", all.join(", "))
        }
    }
}

/// What somebody typed, fit for a message: short, and without control characters.
pub fn shown(text: &str) -> String {
    let mut shown: String =
        text.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}
