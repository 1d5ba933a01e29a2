//! Correlations, through the detector, against the other engine on streams in order.
//!
//! The other engine counts in the order of arrival and takes both ends of a window in; casbah goes by the
//! time of activities and leaves the earlier end out. So streams are in order here, and no two activities
//! are exactly a window apart.

use std::collections::BTreeSet;

use casbah_activity::Activity;
use casbah_model::table::BatchBuilder;
use casbah_plugin::trial::Trial;
use casbah_sigma::compile;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rsigma_eval::event::JsonEvent;
use rsigma_eval::{CorrelationConfig, CorrelationEngine};
use rsigma_parser::parse_sigma_yaml;
use serde_json::{Value, json};

use crate::host;

const RULES: &str = "\
title: A
name: rule_a
id: 00000000-0000-4000-8000-000000000001
logsource: {product: okta, service: okta}
detection: {selection: {event: a}, condition: selection}
---
title: B
name: rule_b
id: 00000000-0000-4000-8000-000000000002
logsource: {product: okta, service: okta}
detection: {selection: {event: b}, condition: selection}
---
title: C
name: rule_c
id: 00000000-0000-4000-8000-000000000003
logsource: {product: okta, service: okta}
detection: {selection: {event: c}, condition: selection}
";

/// Something that happened: `at` in seconds.
#[derive(Clone, Debug)]
struct Event {
    at: i64,
    record: Value,
}

/// Activities of users, three seconds or more apart.
fn stream() -> impl Strategy<Value = Vec<Event>> {
    let one = (
        1i64..4,
        select(vec!["a", "b", "c"]),
        select(vec!["ana", "bo"]),
        0i64..4,
        select(vec!["x", "y", "z"]),
    );
    vec(one, 1..14).prop_map(|events| {
        let mut at = 1_800_000_000;
        events
            .into_iter()
            .map(|(apart, event, user, size, file)| {
                at += 3 * apart;
                // In `c`, who did it stands in another field.
                let who = if event == "c" { "actor" } else { "user" };
                let record = json!({"event": event, who: user, "size": size, "file": file});
                Event { at, record }
            })
            .collect()
    })
}

/// The groups that casbah has findings for, after everything had time to be certain.
fn ours(rules: &str, stream: &[Event]) -> BTreeSet<String> {
    let compiled = compile(&[("rules.yml", rules)]);
    assert!(compiled.refused.is_empty(), "{:?}", compiled.refused);
    let policies = host::read(&compiled);
    let settings: Vec<String> = policies
        .policies()
        .iter()
        .filter(|policy| policy.name == "sigma-together")
        .map(|policy| policy.settings_json.clone())
        .collect();
    assert_eq!(settings.len(), 1, "{compiled:#?}");
    let mut trial = Trial::<Activity>::configure(&settings).unwrap();
    let later =
        Event { at: stream.last().map_or(0, |event| event.at) + 10 * 86_400, record: json!({}) };
    for (sequence, event) in stream.iter().chain([&later]).enumerate() {
        let mut builder = BatchBuilder::new();
        builder.begin_row();
        builder.text("app", "json");
        builder.text("source", "okta.okta");
        builder.integer("sequence", sequence as i64);
        builder.integer("time", event.at * 1000);
        for (key, value) in event.record.as_object().unwrap() {
            builder.begin_nested("fields");
            builder.nested_text("fields", "key", key);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            builder.nested_text("fields", "value", &text);
        }
        trial.feed(&builder.finish()).unwrap();
    }
    let values = |group: &[(String, String)]| {
        group.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>().join(",")
    };
    trial.findings.iter().map(|finding| values(&finding.group)).collect()
}

/// The groups that the other engine fires for.
fn theirs(rules: &str, stream: &[Event]) -> BTreeSet<String> {
    let collection = parse_sigma_yaml(rules).unwrap();
    assert!(collection.errors.is_empty(), "{:?}", collection.errors);
    let mut engine = CorrelationEngine::new(CorrelationConfig::default());
    engine.add_collection(&collection).unwrap();
    let mut fired = BTreeSet::new();
    for event in stream {
        let results = engine.process_event_at(&JsonEvent::borrow(&event.record), event.at);
        for result in results.iter().filter(|result| result.is_correlation()) {
            let result = serde_json::to_value(result).unwrap();
            let key = result["group_key"].as_array().unwrap_or_else(|| panic!("{result}"));
            let key: Vec<_> = key.iter().map(|pair| pair[1].as_str().unwrap()).collect();
            fired.insert(key.join(","));
        }
    }
    fired
}

/// All of a stream, and every beginning of it: then the first activity that fires is the same as well.
fn check(correlation: &str, stream: &[Event]) -> Result<(), TestCaseError> {
    let rules = format!("{RULES}---\ntitle: Together\ncorrelation: {correlation}\n");
    for length in 1..=stream.len() {
        let (ours, theirs) = (ours(&rules, &stream[..length]), theirs(&rules, &stream[..length]));
        prop_assert_eq!(ours, theirs, "{} {:#?}", correlation, &stream[..length]);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn events_are_counted_alike(stream in stream(), count in 2..5) {
        check(&format!("{{type: event_count, rules: [rule_a], group-by: [user], timespan: 10s, condition: {{gte: {count}}}}}"), &stream)?;
        check(&format!("{{type: event_count, rules: [rule_a, rule_b], group-by: [user], timespan: 20s, condition: {{gt: {count}}}}}"), &stream)?;
        check("{type: event_count, rules: [rule_a, rule_b], group-by: [user, file], timespan: 20s, condition: {gte: 1}}", &stream)?;
    }

    #[test]
    fn values_are_counted_alike(stream in stream(), count in 1..4) {
        check(&format!("{{type: value_count, rules: [rule_a, rule_b], group-by: [user], timespan: 10s, condition: {{field: file, gte: {count}}}}}"), &stream)?;
    }

    #[test]
    fn quantities_are_summed_alike(stream in stream(), sum in 0..9) {
        check(&format!("{{type: value_sum, rules: [rule_a, rule_b], group-by: [user], timespan: 10s, condition: {{field: size, gte: {sum}}}}}"), &stream)?;
        check(&format!("{{type: value_sum, rules: [rule_a], group-by: [user], timespan: 20s, condition: {{field: size, gt: {sum}}}}}"), &stream)?;
        check("{type: value_avg, rules: [rule_a, rule_b], group-by: [user], timespan: 10s, condition: {field: size, gt: 2}}", &stream)?;
        check("{type: value_avg, rules: [rule_a, rule_b], group-by: [user], timespan: 10s, condition: {field: size, lte: 1}}", &stream)?;
    }

    #[test]
    fn rules_occur_together_alike(stream in stream()) {
        // Without a condition the other engine is content with one of the rules.
        let aliases = "aliases: {who: {rule_a: user, rule_b: user, rule_c: actor}}";
        check(&format!("{{type: temporal, rules: [rule_a, rule_c], condition: {{gte: 2}}, group-by: [who], timespan: 10s, {aliases}}}"), &stream)?;
        check(&format!("{{type: temporal, rules: [rule_a, rule_b, rule_c], condition: {{gte: 3}}, group-by: [who], timespan: 20s, {aliases}}}"), &stream)?;
        check(&format!("{{type: temporal_ordered, rules: [rule_a, rule_b], condition: {{gte: 2}}, group-by: [user], timespan: 10s, {aliases}}}"), &stream)?;
        check(&format!("{{type: temporal_ordered, rules: [rule_c, rule_a, rule_b], condition: {{gte: 3}}, group-by: [who], timespan: 20s, {aliases}}}"), &stream)?;
    }
}
