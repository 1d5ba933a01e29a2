//! The independent engine: which records a rule means in its view.

use rsigma_eval::event::JsonEvent;
use rsigma_eval::{CompiledRule, compile_rule, evaluate_rule};
use rsigma_parser::parse_sigma_yaml;
use serde_json::Value;

/// A rule as the other engine has it, or why it has none.
pub(crate) fn compile(text: &str) -> Result<CompiledRule, String> {
    let collection = parse_sigma_yaml(text).map_err(|error| error.to_string())?;
    let rule = collection.rules.first().ok_or_else(|| collection.errors.join("; "))?;
    compile_rule(rule).map_err(|error| error.to_string())
}

/// The records that a rule means, by their numbers.
pub(crate) fn hits(rule: &CompiledRule, records: &[Value]) -> Vec<usize> {
    let means = |record: &Value| evaluate_rule(rule, &JsonEvent::borrow(record)).is_some();
    records.iter().enumerate().filter(|(_, record)| means(record)).map(|(index, _)| index).collect()
}
