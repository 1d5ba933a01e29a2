//! Policies as YAML: the tree with places, and what a policy is called in messages.

use casbah_yaml::Wording;
pub(crate) use casbah_yaml::{Entry, MAX_BYTES, Node, Span, Value, Wrong};

const WORDING: Wording = Wording {
    one: "a policy",
    many: "policies",
    begin: "begin with `policy: name-of-the-policy`",
    second: "write one file a policy",
    long: "put lists as long as that into several policies",
};

/// Reads the one document of a policy file, which must be a mapping.
pub(crate) fn parse(bytes: &[u8]) -> Result<(String, Node), (String, Wrong)> {
    casbah_yaml::parse(bytes, WORDING)
}
