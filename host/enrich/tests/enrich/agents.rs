//! Clients are taken apart as uap-core does it, and tagged as the tables of releases say.

use casbah_enrich::Enricher;
use casbah_model::time;

use crate::kit::data;

fn at(day: &str) -> i64 {
    time::parse(&format!("{day}T12:00:00Z")).unwrap()
}

/// The names of uap-core are finer in some places, and another's in some.
fn family(uap: &str) -> &str {
    match uap {
        "Chrome Mobile" | "Chrome Mobile iOS" => "Chrome",
        "Mobile Safari" => "Safari",
        "Edge Mobile" => "Edge",
        "Opera Mobile" => "Opera",
        "Firefox Mobile" | "Firefox iOS" => "Firefox",
        "IE" => "Internet Explorer",
        "Android" => "Android Browser",
        "Python Requests" => "python-requests",
        "Python aiohttp" => "Python",
        "FacebookBot" => "facebookexternalhit",
        same => same,
    }
}

fn system(uap: &str) -> &str {
    match uap {
        "Mac OS X" => "macOS",
        "Chrome OS" => "ChromeOS",
        "Ubuntu" => "Linux",
        "Other" => "",
        same => same,
    }
}

/// Families and systems agree with an independent parser.
#[test]
fn clients_are_taken_apart_as_uap_core_does_it() {
    let enricher = Enricher::none();
    let table = std::fs::read_to_string(data("agents/uap.tsv")).unwrap();
    let mut lines = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<_> = line.split('\t').collect();
        let facts = enricher.look_up_agent(cells[0], 0);
        assert_eq!(facts.text("user-agent.family"), family(cells[1]), "{line}");
        assert_eq!(facts.text("user-agent.system"), system(cells[2]), "{line}");
        lines += 1;
    }
    assert!(lines > 90, "{lines}");
}

#[test]
fn kinds_and_tags_of_clients() {
    let enricher = Enricher::none();
    let windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)";
    let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome";
    let told = |text: &str| {
        let facts = enricher.look_up_agent(text, at("2026-11-20"));
        let tags: Vec<_> = facts
            .facts
            .iter()
            .filter(|f| f.fact == "user-agent.tags")
            .map(|f| f.value.as_str().unwrap())
            .collect();
        let text = |fact| facts.text(fact);
        format!(
            "{} | {} | {} | {}",
            text("user-agent.kind"),
            text("user-agent.family"),
            text("user-agent.system"),
            tags.join(",")
        )
    };
    for (text, wanted) in [
        (
            format!("{windows} {chrome}/157.0.0.0 Safari/537.36").as_str(),
            "browser | Chrome | Windows | ",
        ),
        (
            &format!("{windows} {chrome}/120.0.0.0 Safari/537.36"),
            "browser | Chrome | Windows | outdated-browser",
        ),
        (
            "Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko",
            "browser | Internet Explorer | Windows | outdated-browser,outdated-system",
        ),
        (
            &format!(
                "{windows} AppleWebKit/537.36 (KHTML, like Gecko) Smartsheet/1.0.35 Chrome/118.0.5993.159 Electron/27.1.2 Safari/537.36"
            ),
            "app | Smartsheet | Windows | native-client",
        ),
        (
            &format!(
                "{windows} AppleWebKit/537.36 (KHTML, like Gecko) Notes/2.1 Chrome/118.0.5993.159 Electron/27.1.2 Safari/537.36"
            ),
            "app | Notes | Windows | native-client",
        ),
        ("Smartsheet/112 CFNetwork/1485 Darwin/23.1.0", "app | Smartsheet |  | native-client"),
        ("Ledger/3.2 CFNetwork/1485 Darwin/23.1.0", "app | Ledger |  | native-client"),
        (
            "Dalvik/2.1.0 (Linux; U; Android 8.0.0; SM-G930F Build/R16NW)",
            "app | Dalvik | Android | native-client,outdated-system",
        ),
        ("ndOffice/3.4.1 (Windows NT 10.0)", "app | ndOffice | Windows | native-client"),
        (
            "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17029; Pro)",
            "app | Outlook | Windows | native-client",
        ),
        (
            "smartsheet-python-sdk/3.0.2 (CPython 3.11; Linux)",
            "library | smartsheet-python-sdk | Linux | ",
        ),
        ("python-requests/2.31.0", "library | python-requests |  | "),
        (
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.3803",
            "library | WindowsPowerShell | Windows | ",
        ),
        (
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "robot | Googlebot |  | robot",
        ),
        (
            &format!(
                "{windows} AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/157.0.0.0 Safari/537.36"
            ),
            "robot | HeadlessChrome | Windows | robot",
        ),
        // As Entra ID says it.
        ("Chrome 120.0.0", "browser | Chrome |  | outdated-browser"),
        ("Mobile Safari 27.2", "browser | Safari |  | "),
        ("Something/1.0", "unknown | Something |  | "),
        ("Mozilla/5.0", "unknown |  |  | "),
        ("((((", "unknown |  |  | "),
    ] {
        assert_eq!(told(text), wanted, "{text}");
    }
}

/// The same client is current at one time and outdated later: today's date does not matter.
#[test]
fn outdated_is_a_matter_of_when_the_activity_happened() {
    let enricher = Enricher::none();
    // Chrome 121 came out on 23 January 2024.
    let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36";
    let tags =
        |text: &str, day: &str| enricher.look_up_agent(text, at(day)).text("user-agent.tags");
    assert_eq!(tags(chrome, "2025-01-21"), "");
    assert_eq!(tags(chrome, "2025-01-22"), "outdated-browser");
    let seven = "Mozilla/5.0 (Windows NT 6.1) Gecko/20100101 Firefox/900.0";
    assert_eq!(tags(seven, "2020-01-13"), "");
    assert_eq!(tags(seven, "2020-01-14"), "outdated-system");
    let facts = enricher.look_up_agent(chrome, at("2026-01-01"));
    insta::assert_snapshot!(facts.facts.last().unwrap().from, @"built-in table of releases of 2026-11-20: since 2025-01-22");
}

/// What came out after the table was made is never outdated, so an old table must be told of.
#[test]
fn an_old_table_of_releases_is_warned_of() {
    let enricher = Enricher::none();
    let built = enricher.status(0).sources[0].built.unwrap();
    let day = 86_400_000;
    assert_eq!(enricher.status(built + 400 * day).warnings().count(), 0);
    let warnings: Vec<_> = enricher.status(built + 401 * day).warnings().collect();
    insta::assert_snapshot!(warnings.join("\n"), @"built-in: the table of releases is 401 days old: newer versions are never outdated; a newer casbah has a newer table");
}

proptest::proptest! {
    /// Whatever a client says, it is taken apart: nothing panics, and nothing grows.
    #[test]
    fn no_text_is_too_odd(text in "[A-Za-z/0-9.();, _ü-]{0,60}|.{0,40}") {
        let facts = Enricher::none().look_up_agent(&text, 0);
        proptest::prop_assert!(facts.text("user-agent.family").len() <= 64);
    }
}
