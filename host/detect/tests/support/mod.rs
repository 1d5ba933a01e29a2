//! Detectors in native code, for tests that need no sandbox.

use std::sync::Arc;

use casbah_detect::{ConfigureError, Detectors};
use casbah_model::detector::{Detector, DetectorDescription};
use casbah_plugin::{Detector as Guest, Native};

/// The built-in detectors, natively.
pub(crate) struct NativeDetectors;

macro_rules! natively {
    ($($name:literal $detector:ty,)*) => {
        impl Detectors for NativeDetectors {
            fn names(&self) -> Vec<String> {
                vec![$($name.to_owned()),*]
            }

            fn describe(&self, name: &str) -> Option<DetectorDescription> {
                match name {
                    $($name => Some(<$detector as Guest>::describe()),)*
                    _ => None,
                }
            }

            fn configure(
                &self,
                name: &str,
                policies: &[String],
            ) -> Result<Arc<dyn Detector>, ConfigureError> {
                match name {
                    $($name => configure::<$detector>(policies),)*
                    _ => Err(ConfigureError::Failed(format!("there is no detector `{name}`"))),
                }
            }
        }
    };
}

natively! {
    "activity" casbah_activity::Activity,
    "lifecycle" casbah_lifecycle::Lifecycle,
    "novelty" casbah_novelty::Novelty,
    "reputation" casbah_reputation::Reputation,
    "travel" casbah_travel::Travel,
    "volume" casbah_volume::Volume,
}

fn configure<D: Guest + Send + 'static>(
    policies: &[String],
) -> Result<Arc<dyn Detector>, ConfigureError> {
    let native = Native::<D>::configure(policies).map_err(ConfigureError::Problems)?;
    Ok(Arc::new(native))
}
