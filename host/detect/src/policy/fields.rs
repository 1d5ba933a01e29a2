//! Reads the keys of policies: what is wrong gets a [`PolicyProblemKind`].

use super::PolicyProblemKind;

/// What is wrong with a policy so far.
pub(crate) type Fields = casbah_yaml::Fields<PolicyProblemKind>;

/// Nothing is wrong yet.
pub(crate) fn fields() -> Fields {
    Fields::new(PolicyProblemKind::Value, PolicyProblemKind::Key)
}
