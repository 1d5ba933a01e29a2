//! *Did you mean*: the name that is nearest to one that is not known.

pub(crate) use casbah_yaml::suggest::{hint, nearest, shown};
