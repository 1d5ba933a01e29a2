//! The host's strict reading of policies, and the detector `activity` in native code.

use std::sync::Arc;

use casbah_activity::Activity;
use casbah_detect::{ConfigureError, Detectors, PolicySet, PolicySource};
use casbah_model::detector::{Detector, DetectorDescription};
use casbah_plugin::{Detector as _, Native};
use casbah_sigma::Compiled;

struct OnlyActivity;

impl Detectors for OnlyActivity {
    fn names(&self) -> Vec<String> {
        vec!["activity".to_owned()]
    }

    fn describe(&self, name: &str) -> Option<DetectorDescription> {
        (name == "activity").then(Activity::describe)
    }

    fn configure(&self, _: &str, policies: &[String]) -> Result<Arc<dyn Detector>, ConfigureError> {
        let native = Native::<Activity>::configure(policies).map_err(ConfigureError::Problems)?;
        Ok(Arc::new(native))
    }
}

/// Reads policies as the host does.
///
/// # Panics
/// When anything is wrong with any of them.
pub(crate) fn read(compiled: &Compiled) -> PolicySet {
    let source = |policy: &casbah_sigma::Policy| PolicySource {
        file: policy.file.clone(),
        bytes: policy.text.clone().into_bytes(),
    };
    let sources: Vec<_> = compiled.policies.iter().map(source).collect();
    PolicySet::read(&sources, &OnlyActivity).unwrap_or_else(|errors| panic!("{errors}"))
}
