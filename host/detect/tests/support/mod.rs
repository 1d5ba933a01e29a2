//! Detectors in native code, for tests that need no sandbox.

use std::sync::Arc;

use casbah_activity::Activity;
use casbah_detect::{ConfigureError, Detectors};
use casbah_model::detector::{Detector, DetectorDescription};
use casbah_plugin::{Detector as _, Native};

/// The `activity` detector, natively.
pub(crate) struct NativeDetectors;

impl Detectors for NativeDetectors {
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
