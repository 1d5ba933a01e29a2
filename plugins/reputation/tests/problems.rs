//! Every message about settings that are wrong, as a person will read it.

use casbah_plugin::Detector;
use casbah_reputation::Reputation;
use serde_json::json;

#[test]
fn every_message_about_settings() {
    let when = json!([{"field": "app", "exists": true}]);
    let mut text = String::new();
    for settings in [
        json!({}),
        json!({"when": when}),
        json!({"when": when, "tags": ["tor", "tor", 5]}),
        json!({"when": when, "tags": {"tor": "hihg", "vpn": 3}, "tag": "x"}),
        json!({"when": when, "categories": ["vpn"]}),
        json!({"when": when, "tags": "relay", "trusted-tags": ["relay"]}),
        json!({"when": when, "tags": "tor,vpn"}),
        json!({"when": when, "tags": "tor", "activities": "login"}),
        json!({"when": when, "tags": "tor", "common": {"users": 1, "days": 61, "day": 1}}),
        json!({"when": when, "tags": "tor", "common": 5}),
        json!({"when": when, "tags": "tor", "learn": "3d", "lateness": "7d"}),
        json!({"when": when, "tags": "tor", "learn": 7, "lateness": "31d"}),
        json!({"when": when, "tags": "tor", "by": "person", "group": ["ip"]}),
    ] {
        let Err(problems) = Reputation::configure(&[settings.to_string()]) else {
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
    let schema = Reputation::describe().settings;
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        assert!(property["description"].is_string(), "{name} is not described");
        let settings = json!({name.as_str(): null}).to_string();
        let Err(problems) = Reputation::configure(&[settings]) else { continue };
        let unknown = problems.iter().any(|problem| problem.message.contains("is not a setting"));
        assert!(!unknown, "{name} is not read");
    }
}
