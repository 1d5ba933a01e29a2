//! Every message about settings that are wrong, as a person will read it.

use casbah_lifecycle::Lifecycle;
use casbah_plugin::Detector;
use serde_json::json;

#[test]
fn every_message_about_settings() {
    let when = json!([{"field": "app", "exists": true}]);
    let mut text = String::new();
    for settings in [
        json!({}),
        json!({"when": when, "causes": []}),
        json!({"when": when, "causes": ["delted", "gone", "left", "left", 5]}),
        json!({"when": when, "grace": "1 hour", "remember": "91d", "lateness": 5}),
        json!({"when": when, "by": "actor", "grase": "1h"}),
        json!({"when": when, "group": ["app"]}),
    ] {
        let Err(problems) = Lifecycle::configure(&[settings.to_string()]) else {
            text.push_str(&format!("{settings}\n    nothing\n"));
            continue;
        };
        text.push_str(&format!("{settings}\n"));
        for problem in problems {
            text.push_str(&format!("    {}\n", problem.to_string().replace('\n', "\n        ")));
        }
    }
    insta::assert_snapshot!(text);
}

/// What a person sees of the detector's schema must be what the detector takes.
#[test]
fn the_schema_names_the_keys_that_are_read() {
    let schema = Lifecycle::describe().settings;
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        assert!(property["description"].is_string(), "{name} is not described");
        let settings = json!({name.as_str(): null}).to_string();
        let Err(problems) = Lifecycle::configure(&[settings]) else { continue };
        let unknown = problems.iter().any(|problem| problem.message.contains("is not a setting"));
        assert!(!unknown, "{name} is not read");
    }
}
