//! A detector that takes every column and answers nothing: what remains is the cost of the boundary.

use casbah_plugin::model::detector::{DetectorDescription, Outcome, Problem};
use casbah_plugin::{Batch, Detector, StateKey};

struct Empty;

impl Detector for Empty {
    fn describe() -> DetectorDescription {
        DetectorDescription {
            name: "empty".to_owned(),
            version: "1.0.0".to_owned(),
            title: "Notices nothing".to_owned(),
            columns: vec!["*".to_owned()],
            nested: vec!["*".to_owned()],
            ..DetectorDescription::default()
        }
    }

    fn configure(_policies: &[String]) -> Result<Self, Vec<Problem>> {
        Ok(Self)
    }

    fn begin(&mut self, _batch: Batch) -> Result<Vec<StateKey>, String> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _states: &[Vec<u8>]) -> Result<Outcome, String> {
        Ok(Outcome::default())
    }
}

casbah_plugin::export_detector!(Empty);
