//! The plugins that ship with the program, in the sandbox.

use casbah_model::adapter::{Adapter, PlanRequest, Response};
use casbah_runtime::{
    AdapterPlugin, DetectorPlugin, Engine, EngineOptions, Limits, PluginKind, inspect,
};

/// Every one loads under its own name, imports nothing but the log, and was built for this interface.
#[test]
fn all_load() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    for plugin in casbah_plugin_bundle::ADAPTERS {
        let adapter =
            AdapterPlugin::load(&engine, plugin.name, plugin.bytes, Limits::adapter()).unwrap();
        assert_eq!(
            (adapter.info().name.as_str(), adapter.info().kind),
            (plugin.name, PluginKind::Adapter)
        );
    }
    for plugin in casbah_plugin_bundle::DETECTORS {
        let detector =
            DetectorPlugin::load(&engine, plugin.name, plugin.bytes, Limits::detector()).unwrap();
        assert_eq!(
            (detector.info().name.as_str(), detector.info().kind),
            (plugin.name, PluginKind::Detector)
        );
    }
    for plugin in casbah_plugin_bundle::ADAPTERS.iter().chain(casbah_plugin_bundle::DETECTORS) {
        let inspection = inspect(plugin.name, plugin.bytes).unwrap();
        assert_eq!(inspection.interface.as_deref(), Some("0.1.0"));
        for import in inspection.imports {
            assert!(
                ["casbah:plugin/log@0.1.0", "casbah:plugin/table@0.1.0"].contains(&&*import),
                "{import}"
            );
        }
    }
}

/// The way of a page: planned, read, its raw records found again and normalized to the same rows.
#[test]
fn a_page_goes_through_the_sandbox() {
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let plugin = casbah_plugin_bundle::find("smartsheet").unwrap();
    let adapter =
        AdapterPlugin::load(&engine, plugin.name, plugin.bytes, Limits::adapter()).unwrap();
    let request = PlanRequest {
        stream: "activities".to_owned(),
        settings: "{}".to_owned(),
        now: 1_790_000_000_000,
        since: 1_789_900_000_000,
        page_size: 100,
        ..PlanRequest::default()
    };
    let planned = adapter.plan(&request).unwrap();
    assert_eq!((planned.method.as_str(), planned.host.as_str()), ("GET", "api"));
    let event = |id: u32| {
        format!(
            r#"{{"eventId":"e{id}","objectType":"SHEET","action":"LOAD","objectId":{id},"eventTimestamp":"2026-09-20T10:00:00Z","userId":7,"requestUserId":7,"source":"WEB_APP","additionalDetails":{{"emailAddress":"ana@example.com"}}}}"#
        )
    };
    // Large enough that the page does not fit a fresh memory.
    let events: Vec<String> = (0..20_000).map(event).collect();
    let body = format!(
        r#"{{"nextStreamPosition":"p","moreAvailable":false,"data":[{}]}}"#,
        events.join(",")
    );
    let response = Response { request, status: 200, headers: Vec::new(), body: body.into_bytes() };
    let page = adapter.read(&response).unwrap();
    assert_eq!(page.batch.len(), 20_000);
    let spans = adapter.split(&response.body).unwrap();
    assert_eq!(spans, page.raw);
    let again = adapter.normalize("{}", &response.body, &spans).unwrap();
    assert_eq!(again, page.batch);
}
