//! Parameters of a request, from its query or a form body.

/// Names and values in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
    any_case: bool,
}

impl Parameters {
    /// Reads a query or a form body.
    pub fn read(encoded: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(encoded).into_owned().collect();
        Self { pairs, any_case: false }
    }

    /// The same, with names compared in any case.
    pub fn in_any_case(self) -> Self {
        Self { any_case: true, ..self }
    }

    /// These, and behind them those.
    pub fn and(mut self, more: Self) -> Self {
        self.pairs.extend(more.pairs);
        self
    }

    /// The first value of a name; an empty one counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let same = |given: &str| match self.any_case {
            true => given.eq_ignore_ascii_case(name),
            false => given == name,
        };
        let first = self.pairs.iter().find(|(given, _)| same(given));
        first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Whether the value of a name is `true`, in any case.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// A parameter that is not among these.
    pub fn other_than(&self, names: &[&str]) -> Option<&str> {
        self.pairs.iter().map(|(name, _)| name.as_str()).find(|name| !names.contains(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_counts_and_an_empty_one_is_none() {
        let given = Parameters::read(b"a=1&b=&a=2&C=x%20y").and(Parameters::read(b"b=3&d=TRUE"));
        assert_eq!(given.get("a"), Some("1"));
        // The first `b` is there, and it is empty.
        assert_eq!(given.get("b"), None);
        assert_eq!((given.get("C"), given.get("c")), (Some("x y"), None));
        assert!(given.is_true("d") && !given.is_true("a"));
        assert_eq!(given.other_than(&["a", "b", "d"]), Some("C"));
        assert_eq!(given.in_any_case().get("c"), Some("x y"));
    }
}
