use super::*;
use crate::testing::{Fault, Toy, description};
use insta::assert_snapshot;
use proptest::prelude::*;

fn resolve(region: Option<&str>, hosts: &[(&str, &str)]) -> Result<Hosts, ConnectError> {
    let hosts = hosts.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned()));
    Hosts::resolve(&description(), region, &hosts.collect())
}

#[test]
fn addresses_come_from_the_region_or_the_operator() {
    let us = resolve(None, &[]).unwrap();
    assert_eq!(us.region(), "us");
    assert_eq!(us.url("api", "/events").unwrap().as_str(), "https://api.toy.example/2.0/events");
    let eu = resolve(Some("eu"), &[("api", "http://127.0.0.1:9/x")]).unwrap();
    assert_eq!(eu.url("api", "/events").unwrap().as_str(), "http://127.0.0.1:9/x/events");
    assert_eq!(eu.url("sign-in", "/b").unwrap().as_str(), "https://app.toy-eu.example/b");
    for loopback in ["http://localhost:1", "http://127.9.9.9", "http://[::1]:80/2.0"] {
        resolve(None, &[("api", loopback)]).unwrap();
    }
}

#[test]
fn unfit_addresses_are_told() {
    let show = |region, hosts: &[(&str, &str)]| resolve(region, hosts).unwrap_err().to_string();
    let all = [
        show(Some("uS"), &[]),
        show(Some("mars"), &[]),
        show(None, &[("apo", "https://x.example")]),
        show(None, &[("api", "http://api.example.com")]),
        show(None, &[("api", "http://127.0.0.1.evil.example")]),
        show(None, &[("api", "https://user@api.example.com")]),
        show(None, &[("api", "ftp://api.example.com")]),
        show(None, &[("api", "api.example.com")]),
    ];
    assert_snapshot!(all.join("\n--\n"), @r"
    Toy has no region `uS`
    hint: did you mean `us`? there are `us`, `eu`
    --
    Toy has no region `mars`
    hint: there are `us`, `eu`
    --
    Toy has no host `apo`
    hint: addresses can be given for `api`, `sign-in`
    --
    the address `http://api.example.com` of host `api` is not encrypted: only addresses of this machine may be `http`
    hint: give it like `https://api.example.com/2.0`
    --
    the address `http://127.0.0.1.evil.example` of host `api` is not encrypted: only addresses of this machine may be `http`
    hint: give it like `https://api.example.com/2.0`
    --
    the address `https://user@api.example.com` of host `api` has a query, a user or a fragment
    hint: give it like `https://api.example.com/2.0`
    --
    the address `ftp://api.example.com` of host `api` is not an `https` address
    hint: give it like `https://api.example.com/2.0`
    --
    the address `api.example.com` of host `api` is not an address
    hint: give it like `https://api.example.com/2.0`
    ");
}

#[test]
fn a_planned_path_stays_below_its_host() {
    let hosts = resolve(None, &[]).unwrap();
    for (host, path) in [
        ("api", "//evil.example/x"),
        ("api", "/../../etc"),
        ("api", "/..%2f/%2e%2e/%2E./x"),
        ("api", "@evil.example"),
        ("api", ":80@evil.example/"),
        ("api", "/x?access_token=1"),
        ("api", "/x#y"),
        ("api", "/\\evil.example"),
        ("api", ""),
        ("https://evil.example", "/x"),
        ("nowhere", "/x"),
    ] {
        match hosts.url(host, path) {
            // An odd path is fine as long as it leads to the same place.
            Ok(url) => {
                assert_eq!(url.host_str(), Some("api.toy.example"), "{host} {path}");
                assert!(url.path().starts_with("/2.0/"), "{host} {path}: {url}");
            }
            Err(error) => assert_eq!(error.kind(), ConnectErrorKind::Plugin, "{host} {path}"),
        }
    }
    assert_snapshot!(hosts.url("nowhere", "/x\u{1b}[2J").unwrap_err(), @"the adapter planned a request to `/x [2J` of host `nowhere`, which it did not declare");
}

proptest! {
    /// Whatever path a plugin plans, the request goes to the declared host, below its base.
    #[test]
    fn no_path_leads_elsewhere(path in "[/.%2eE@:\\\\?#a-z0-9]{0,24}") {
        let hosts = resolve(None, &[]).unwrap();
        if let Ok(url) = hosts.url("api", &path) {
            prop_assert_eq!(url.origin().ascii_serialization(), "https://api.toy.example");
            prop_assert!(url.path().starts_with("/2.0/"));
            prop_assert_eq!(url.username(), "");
        }
    }
}

fn get(path: &str) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        host: "api".to_owned(),
        path: path.to_owned(),
        ..HttpRequest::default()
    }
}

struct Setup {
    toy: Toy,
    hosts: Hosts,
    http: Http,
    token: SecretString,
    clock: Clock,
}

impl Setup {
    async fn new() -> Self {
        let toy = Toy::start().await;
        let token = toy.world().issue()["access_token"].as_str().unwrap().into();
        let hosts = Hosts::resolve(&description(), None, &toy.hosts()).unwrap();
        let http = Http::new("1.2.3").unwrap();
        Self { toy, hosts, http, token, clock: Clock::new() }
    }

    async fn send(&self, request: &HttpRequest) -> Result<Answer, ConnectError> {
        self.http.send(&self.hosts, request, &self.token, &self.clock).await
    }

    fn fault(&self, fault: Fault) {
        self.toy.world().faults.push_back(fault);
    }
}

#[tokio::test]
async fn a_request_goes_out_as_planned_with_the_token_added() {
    let setup = Setup::new().await;
    let mut request = get("/me");
    request.query = vec![("q".to_owned(), "ä b&c".to_owned())];
    request.headers = vec![("X-Source".to_owned(), "SCRIPT,casbah".to_owned())];
    let answer = setup.send(&request).await.unwrap();
    assert_eq!(answer.status, 200);
    let seen = setup.toy.world().seen.pop().unwrap();
    assert_eq!(seen.query["q"], "ä b&c");
    assert_eq!(seen.header("x-source"), "SCRIPT,casbah");
    assert_eq!(seen.header("user-agent"), "casbah/1.2.3");
    assert_eq!(seen.header("accept-encoding"), "gzip");
    assert_eq!(seen.header("authorization"), format!("Bearer {}", setup.token.expose_secret()));
}

#[tokio::test]
async fn what_a_plugin_may_not_plan_is_never_sent() {
    let setup = Setup::new().await;
    let mut messages = Vec::new();
    for method in ["DELETE", "PUT", "get", ""] {
        let request = HttpRequest { method: method.to_owned(), ..get("/me") };
        messages.push(setup.send(&request).await.unwrap_err());
    }
    for (name, value) in [
        ("Authorization", "Bearer stolen"),
        ("Host", "evil.example"),
        ("a b", "c"),
        ("x", "a\nb: c"),
    ] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let request = HttpRequest { headers, ..get("/me") };
        messages.push(setup.send(&request).await.unwrap_err());
    }
    let request = HttpRequest { host: "evil.example".to_owned(), ..get("/me") };
    messages.push(setup.send(&request).await.unwrap_err());
    assert_eq!(setup.toy.world().seen.len(), 0);
    assert!(messages.iter().all(|error| error.kind() == ConnectErrorKind::Plugin));
    let messages: Vec<String> = messages.iter().map(ToString::to_string).collect();
    assert_snapshot!(messages.join("\n"), @r"
    the adapter planned a `DELETE` request; only GET, HEAD, POST are allowed for reading
    the adapter planned a `PUT` request; only GET, HEAD, POST are allowed for reading
    the adapter planned a `get` request; only GET, HEAD, POST are allowed for reading
    the adapter planned a `` request; only GET, HEAD, POST are allowed for reading
    the adapter planned a header `authorization`, which only casbah itself may set
    the adapter planned a header `host`, which only casbah itself may set
    the adapter planned a header `a b` that can't be sent
    the adapter planned a header `x` that can't be sent
    the adapter planned a request to `/me` of host `evil.example`, which it did not declare
    ");
}

/// An app that repeats the token, in a body, a header or a redirect, must not bring it to a plugin.
#[tokio::test]
async fn an_echoed_token_is_taken_out_and_no_redirect_is_followed() {
    let setup = Setup::new().await;
    let token = setup.token.expose_secret().to_owned();
    let body = format!("{{\"message\":\"bad token {token}\"}}");
    let headers = vec![
        ("x-echo", format!("Bearer {token}")),
        ("set-cookie", "a=b".to_owned()),
        ("x-other", "kept".to_owned()),
    ];
    setup.fault(Fault::Answer(500, headers, body.clone()));
    let answer = setup.send(&get("/me")).await.unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert!(!text.contains(&token));
    assert_eq!(text.len(), body.len(), "places in the body stay the same");
    let header = |name| answer.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    assert_eq!(header("x-echo"), Some("Bearer ***"));
    assert_eq!(header("x-other"), Some("kept"));
    assert_eq!(header("set-cookie"), None);

    let location = vec![("location", "https://evil.example/steal?x=1".to_owned())];
    setup.fault(Fault::Answer(307, location, String::new()));
    let error = setup.send(&get("/me")).await.unwrap_err();
    assert_eq!(setup.toy.world().seen.len(), 2);
    let port = setup.toy.address.port().to_string();
    assert_snapshot!(error.to_string().replace(&port, "PORT"), @r"
    `127.0.0.1` answered with a redirect to `evil.example`, which is not followed
    hint: check the region and the addresses of the connection
    ");
}

#[tokio::test]
async fn answers_are_bounded_in_size_and_time() {
    let mut setup = Setup::new().await;
    let patience = Patience { idle: Duration::from_millis(150), ..Patience::default() };
    setup.http = Http::with("1", patience, 1000).unwrap();
    setup.fault(Fault::Answer(200, Vec::new(), "x".repeat(1000)));
    setup.send(&get("/me")).await.unwrap();
    setup.fault(Fault::Answer(200, Vec::new(), "x".repeat(1001)));
    let large = setup.send(&get("/me")).await.unwrap_err();
    assert_eq!(large.kind(), ConnectErrorKind::TooLarge);
    setup.fault(Fault::Slow(Duration::from_secs(5)));
    let slow = setup.send(&get("/me")).await.unwrap_err();
    assert_eq!(slow.kind(), ConnectErrorKind::TimedOut);
    // A port where nobody listens.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let nobody = resolve(None, &[("api", &address)]).unwrap();
    let mut request = get("/me");
    request.query = vec![("q".to_owned(), "private".to_owned())];
    let error = setup.http.send(&nobody, &request, &setup.token, &setup.clock).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Network);
    assert!(!error.to_string().contains("private"), "{error}");
    assert_snapshot!([large, slow, error].map(|error| error.to_string()).join("\n"), @r"
    the answer of `127.0.0.1` is larger than 1000 bytes
    hint: smaller pieces are asked for by themselves; if even the smallest is too large, raise `largest-answer-mib` in the settings file
    `127.0.0.1` did not answer in time (operation timed out)
    `127.0.0.1` can't be reached: Connection refused (os error 111)
    hint: check the network, the region and the addresses
    ");
}

/// A host that lets nobody in is out of reach: it is not an answer that takes too long, which would be
/// asked for in smaller pieces.
#[tokio::test]
async fn who_does_not_let_in_is_out_of_reach() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    // Nobody accepts: once the queue is full, further connections get no answer at all.
    let mut queue = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(at)).await
    {
        queue.push(stream.unwrap());
    }
    let mut setup = Setup::new().await;
    let patience = Patience { connect: Duration::from_millis(200), ..Patience::default() };
    setup.http = Http::with("1", patience, 1000).unwrap();
    let hosts = resolve(None, &[("api", &format!("http://{at}"))]).unwrap();
    let request = get("/me");
    let error = setup.http.send(&hosts, &request, &setup.token, &setup.clock).await.unwrap_err();
    assert_eq!(error.kind(), ConnectErrorKind::Network, "{error}");
    assert!(error.to_string().starts_with("`127.0.0.1` can't be reached: "), "{error}");
}

/// Sends a gibibyte in pieces, without saying so before, to whoever asks; counts what was taken.
async fn flood(status: &'static str) -> (String, tokio::task::JoinHandle<u64>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        let head = format!("HTTP/1.1 {status}\r\ntransfer-encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        let mut sent = 0;
        while sent < 1 << 30 && stream.write_all(piece.as_bytes()).await.is_ok() {
            sent += 0x10000;
        }
        sent
    });
    (address, server)
}

/// A day of a large firm is more than fits in memory: whatever an app sends, no more than the bound is
/// read, and the rest is not waited for. What it says about a failure is cut, and read all the same.
#[tokio::test]
async fn a_flood_is_left_at_the_bound() {
    const BOUND: usize = 2 << 20;
    // What the two sockets may hold beside.
    const SOCKETS: u64 = 32 << 20;
    let mut setup = Setup::new().await;
    setup.http = Http::new("1").unwrap().with_largest_answer(BOUND);
    let (address, server) = flood("200 OK").await;
    let hosts = resolve(None, &[("api", &address)]).unwrap();
    let sent = setup.http.send(&hosts, &get("/me"), &setup.token, &setup.clock).await;
    assert_eq!(sent.unwrap_err().kind(), ConnectErrorKind::TooLarge);
    let taken = server.await.unwrap();
    assert!(taken <= BOUND as u64 + SOCKETS, "{taken} bytes were taken");

    let (address, server) = flood("503 Busy").await;
    let hosts = resolve(None, &[("api", &address)]).unwrap();
    let answer = setup.http.send(&hosts, &get("/me"), &setup.token, &setup.clock).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (503, LARGEST_COMPLAINT));
    let taken = server.await.unwrap();
    assert!(taken <= LARGEST_COMPLAINT as u64 + SOCKETS, "{taken} bytes were taken");
}

#[test]
fn retry_after_is_read_in_all_its_forms() {
    let clock = Clock::new();
    let read = |value: &str, date: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", value.parse().unwrap());
        if let Some(date) = date {
            headers.insert("date", date.parse().unwrap());
        }
        retry_after(&headers, &clock)
    };
    let seconds = |seconds: f64| Some(Duration::from_secs_f64(seconds));
    assert_eq!(read("7", None), seconds(7.0));
    assert_eq!(read(" 1.5 ", None), seconds(1.5));
    assert_eq!(read("0", None), seconds(0.0));
    assert_eq!(read("1e300", None), seconds(3600.0), "nobody is waited for for ever");
    assert_eq!(read("-1", None), None);
    assert_eq!(read("soon", None), None);
    assert_eq!(read("NaN", None), None);
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(read(date, Some("Sun, 06 Nov 1994 08:49:07 GMT")), seconds(30.0));
    assert_eq!(read(date, None), seconds(0.0), "a date that is past");
    let soon = std::time::SystemTime::now() + Duration::from_secs(100);
    let wait = read(&httpdate::fmt_http_date(soon), None).unwrap();
    assert!((95..=100).contains(&wait.as_secs()), "{wait:?}");
}

#[tokio::test]
async fn the_offset_of_the_apps_clock_is_noticed() {
    let setup = Setup::new().await;
    let answer = setup.send(&get("/me")).await.unwrap();
    assert!(answer.clock_offset.unwrap().abs() < 5_000);
    setup.clock.advance(-3_600_000);
    let answer = setup.send(&get("/me")).await.unwrap();
    assert!((3_595_000..3_605_000).contains(&answer.clock_offset.unwrap()));
}
