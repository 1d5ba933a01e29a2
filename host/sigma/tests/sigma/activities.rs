//! JSON records as activities, in the form in which the `json` adapter gives them, and which of them a
//! policy means.

use casbah_model::Batch;
use casbah_model::table::BatchBuilder;
use casbah_sigma::Policy;
use casbah_when::{Evaluation, settings};
use serde_json::{Value, json};

/// How many records go into a batch.
const BATCH: usize = 500;

/// Records of one source as batches.
pub(crate) fn batches(source: &str, records: &[Value]) -> Vec<Batch> {
    let make = |records: &[Value]| {
        let mut builder = BatchBuilder::new();
        for record in records {
            builder.begin_row();
            builder.text("app", "json");
            builder.text("source", source);
            flatten(&mut builder, "", record);
        }
        builder.finish()
    };
    records.chunks(BATCH).map(make).collect()
}

/// Every scalar of a record under its path; elements of lists under that of the list.
fn flatten(builder: &mut BatchBuilder, path: &str, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(builder, &path, value);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| flatten(builder, path, item)),
        scalar => {
            let text = match scalar {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", path);
            builder.nested_text("fields", "value", &text);
        }
    }
}

/// The records that each of some policies means, by their numbers.
pub(crate) fn hits(policies: &[&Policy], batches: &[Batch]) -> Vec<Vec<usize>> {
    let settings: Vec<String> = policies
        .iter()
        .map(|policy| {
            let policy: Value = serde_json::from_str(&policy.text).unwrap();
            json!({"policy": policy["policy"], "when": policy["when"]}).to_string()
        })
        .collect();
    let (plan, whens) = settings::compile(&settings, &[], |settings| settings.when())
        .unwrap_or_else(|problems| panic!("{problems:?}\n{settings:#?}"));
    let mut hits = vec![Vec::new(); policies.len()];
    let mut first = 0;
    for batch in batches {
        let mut evaluation = Evaluation::new(&plan, batch);
        for (when, hits) in whens.iter().zip(&mut hits) {
            hits.extend(evaluation.rows(when).iter().map(|row| first + row));
        }
        first += batch.len();
    }
    hits
}
