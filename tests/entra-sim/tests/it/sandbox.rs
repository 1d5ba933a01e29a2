//! The adapter as a component says the same as in native code, page by page of every stream.

use std::time::{Duration, Instant};

use casbah_entra::Entra;
use casbah_model::adapter::{Adapter, Next, PlanRequest, Response};
use casbah_plugin::NativeAdapter;
use casbah_runtime::{AdapterPlugin, Engine, EngineOptions, Limits};
use entra_sim::Sim;
use serde_json::{Value, json};

use crate::kit::config;

#[tokio::test]
async fn the_sandbox_says_the_same() {
    let sim = Sim::start(config()).unwrap();
    let http = reqwest::Client::new();
    let scope = format!("{}/.default", sim.base_url());
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "4711c0de-0000-4000-8000-000000000001"),
        ("client_secret", "entra-sim-secret"),
        ("scope", &scope),
    ];
    let url = format!("{}/{}/oauth2/v2.0/token", sim.base_url(), sim.world().tenant());
    let token: Value = http.post(url).form(&form).send().await.unwrap().json().await.unwrap();
    let engine = Engine::new(EngineOptions::default()).unwrap();
    let built = casbah_plugin_bundle::find("entra").unwrap();
    let sandboxed =
        AdapterPlugin::load(&engine, built.name, built.bytes, Limits::adapter()).unwrap();
    let native = NativeAdapter::<Entra>::new();
    assert_eq!(sandboxed.description(), native.description());

    let settings =
        json!({"tenant": sim.world().tenant(), "groups": ["Finance"], "non-interactive": true});
    let (mut took, mut rows) = (Duration::ZERO, 0);
    for stream in &native.description().streams {
        let mut request = PlanRequest {
            stream: stream.name.clone(),
            settings: settings.to_string(),
            now: sim.now(),
            since: sim.world().company().start(),
            page_size: stream.page_size,
            ..PlanRequest::default()
        };
        let mut pages = 0;
        loop {
            let planned = native.plan(&request).unwrap();
            assert_eq!(sandboxed.plan(&request).unwrap(), planned);
            let mut url =
                reqwest::Url::parse(&format!("{}{}", sim.base_url(), planned.path)).unwrap();
            url.query_pairs_mut().extend_pairs(&planned.query);
            let token = token["access_token"].as_str().unwrap();
            let answer = http.get(url).bearer_auth(token).send().await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.bytes().await.unwrap().to_vec();
            let response = Response { request: request.clone(), status, headers: Vec::new(), body };
            let page = native.read(&response).unwrap();
            let start = Instant::now();
            assert_eq!(sandboxed.read(&response).unwrap(), page, "{} page {pages}", stream.name);
            if stream.name == "sign-ins" {
                (took, rows) = (took + start.elapsed(), rows + page.batch.len());
                let again =
                    sandboxed.normalize(&request.settings, &response.body, &page.raw).unwrap();
                assert_eq!(again, page.batch);
                assert_eq!(sandboxed.split(&response.body).unwrap(), page.raw);
            }
            pages += 1;
            request.cursor = Some(page.cursor);
            if page.next != Next::More {
                break;
            }
        }
        assert!(pages > 0);
    }
    assert!(rows >= sim.world().sign_ins(), "{rows}");
    println!(
        "{rows} sign-ins read in the sandbox, {:.1} µs each",
        took.as_secs_f64() * 1e6 / rows as f64
    );
}
