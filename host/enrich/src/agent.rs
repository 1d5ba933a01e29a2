//! What a client says of itself, taken apart: family, kind, system, and whether it is out of date.
//!
//! It is not a device database: nobody here wants to know the model of a phone. Names of clients are
//! data below; a client that is not named there is still told apart by the shape of what it says.

use crate::releases::{NEVER, Releases, Version, version};

/// What kind of client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Browser,
    App,
    Library,
    Robot,
    Unknown,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::App => "app",
            Self::Library => "library",
            Self::Robot => "robot",
            Self::Unknown => "unknown",
        }
    }
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    /// Empty when unknown.
    pub(crate) family: String,
    pub(crate) kind: Kind,
    /// Empty when unknown.
    pub(crate) system: &'static str,
    /// From when on (ms since 1970) the browser counts as outdated.
    pub(crate) browser_outdated: i64,
    /// From when on (ms since 1970) the system counts as outdated.
    pub(crate) system_outdated: i64,
}

/// More than this is nobody's name; the rest of a longer text is not looked at.
const MOST_BYTES: usize = 1024;
const MOST_FAMILY: usize = 64;

/// Product, family, and family in the table of releases; more telling products come first, because
/// nearly every browser also claims to be Chrome and Safari.
const BROWSERS: &[(&str, &str, &str)] = &[
    ("Edg", "Edge", "edge"),
    ("EdgA", "Edge", "edge"),
    ("EdgiOS", "Edge", "edge"),
    ("Edge", "Edge", "edge"),
    ("OPR", "Opera", "opera"),
    ("OPT", "Opera", ""),
    ("OPiOS", "Opera", ""),
    ("Opera", "Opera", "opera"),
    ("SamsungBrowser", "Samsung Internet", "samsung"),
    ("Vivaldi", "Vivaldi", ""),
    ("YaBrowser", "Yandex Browser", ""),
    ("UCBrowser", "UC Browser", ""),
    ("DuckDuckGo", "DuckDuckGo", ""),
    ("Ddg", "DuckDuckGo", ""),
    ("Whale", "Whale", ""),
    ("Brave", "Brave", ""),
    ("Silk", "Amazon Silk", ""),
    ("Focus", "Firefox Focus", ""),
    ("FxiOS", "Firefox", "firefox"),
    ("SeaMonkey", "SeaMonkey", ""),
    ("PaleMoon", "Pale Moon", ""),
    ("Firefox", "Firefox", "firefox"),
    ("CriOS", "Chrome", "chrome"),
    ("Chromium", "Chromium", "chrome"),
    ("Chrome", "Chrome", "chrome"),
];

/// What an app says somewhere, and its family.
const APPS: &[(&str, &str)] = &[
    ("Smartsheet", "Smartsheet"),
    ("ndOffice", "ndOffice"),
    ("ndMail", "ndMail"),
    ("ndSync", "ndSync"),
    ("ndClick", "ndClick"),
    ("ndMobile", "NetDocuments Mobile"),
    ("NetDocuments", "NetDocuments"),
    ("Microsoft Outlook", "Outlook"),
    ("MacOutlook", "Outlook"),
    ("Outlook-iOS", "Outlook"),
    ("Outlook-Android", "Outlook"),
    ("Microsoft Office", "Microsoft Office"),
    ("MSOffice", "Microsoft Office"),
    ("SkyDriveSync", "OneDrive"),
    ("OneDrive", "OneDrive"),
    ("Teams/", "Teams"),
    ("Slack", "Slack"),
    ("Thunderbird", "Thunderbird"),
    ("Windows-AzureAD-Authentication-Provider", "Windows sign-in"),
];

/// How libraries and tools begin, in lower case.
const LIBRARIES: &[&str] = &[
    "aiohttp",
    "apache-httpclient",
    "aws-sdk",
    "axios",
    "azsdk",
    "curl",
    "dart",
    "faraday",
    "go-http-client",
    "got",
    "guzzlehttp",
    "httpie",
    "httpx",
    "hyper",
    "insomnia",
    "jakarta",
    "java",
    "jersey",
    "libwww-perl",
    "microsoft.odata.client",
    "msgraph-sdk",
    "node",
    "node-fetch",
    "okhttp",
    "php",
    "postmanruntime",
    "powershell",
    "pycurl",
    "python",
    "python-httpx",
    "python-requests",
    "python-urllib",
    "python-urllib3",
    "reqwest",
    "rest-client",
    "restsharp",
    "ruby",
    "simplesalesforce",
    "superagent",
    "undici",
    "unirest",
    "urllib3",
    "wget",
    "windowspowershell",
    "winhttp",
    "workato",
    "zapier",
];

/// What robots say of themselves, in lower case, besides words that end in `bot`.
const ROBOTS: &[&str] = &[
    "apis-google",
    "bingpreview",
    "crawler",
    "facebookexternalhit",
    "feedfetcher",
    "google-inspectiontool",
    "headlesschrome",
    "httrack",
    "ia_archiver",
    "lighthouse",
    "masscan",
    "mediapartners-google",
    "nikto",
    "nmap",
    "phantomjs",
    "pingdom",
    "playwright",
    "puppeteer",
    "scrapy",
    "selenium",
    "slurp",
    "spider",
    "sqlmap",
    "zgrab",
];

/// Products that say nothing of who it is.
const COMMON: &[&str] = &[
    "Mozilla",
    "AppleWebKit",
    "Gecko",
    "KHTML",
    "Chrome",
    "Safari",
    "Mobile",
    "Version",
    "Electron",
    "CFNetwork",
    "Darwin",
    "like",
];

/// A word outside of parentheses, and the version behind its slash.
#[derive(Clone, Copy)]
struct Product<'a> {
    name: &'a str,
    version: &'a str,
}

struct Said<'a> {
    text: &'a str,
    products: Vec<Product<'a>>,
    /// What stands in parentheses.
    comments: Vec<&'a str>,
}

impl<'a> Said<'a> {
    fn new(text: &'a str) -> Self {
        let end = text.floor_char_boundary(MOST_BYTES);
        let text = text.get(..end).unwrap_or_default();
        let mut said = Self { text, products: Vec::new(), comments: Vec::new() };
        let mut rest = text;
        while let Some(open) = rest.find('(') {
            said.take_products(rest.get(..open).unwrap_or_default());
            let inside = rest.get(open + 1..).unwrap_or_default();
            let close = closing(inside);
            said.comments.push(inside.get(..close).unwrap_or_default());
            rest = inside.get(close + 1..).unwrap_or_default();
        }
        said.take_products(rest);
        said
    }

    fn take_products(&mut self, text: &'a str) {
        self.products.extend(text.split_ascii_whitespace().map(|word| {
            let (name, version) = word.split_once('/').unwrap_or((word, ""));
            Product { name, version }
        }));
    }

    fn product(&self, name: &str) -> Option<Product<'a>> {
        self.products.iter().find(|product| product.name.eq_ignore_ascii_case(name)).copied()
    }

    fn comment_has(&self, part: &str) -> bool {
        self.comments.iter().any(|comment| comment.contains(part))
    }

    /// What follows a word in a comment, up to the next separator.
    fn after(&self, word: &str) -> Option<&'a str> {
        let comment = self.comments.iter().find(|comment| comment.contains(word))?;
        let (_, rest) = comment.split_once(word)?;
        rest.trim_start().split([';', ' ', ')']).next()
    }

    /// The first product that says who it is.
    fn own_name(&self) -> Option<&'a str> {
        let own = |product: &&Product<'a>| {
            !COMMON.contains(&product.name)
                && product.name.chars().any(char::is_alphabetic)
                && !product.version.is_empty()
        };
        self.products.iter().find(own).map(|product| product.name)
    }
}

/// Length of a comment up to its closing parenthesis, those inside it counted.
fn closing(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 0 => return at,
            b')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

impl Agent {
    /// Takes apart what a client said.
    pub(crate) fn parse(text: &str, releases: &Releases) -> Self {
        let said = Said::new(text);
        let (system, system_outdated) = system(&said, releases);
        let (kind, family, browser_outdated) = client(&said, releases);
        let mut family = family.to_owned();
        family.truncate(family.floor_char_boundary(MOST_FAMILY));
        Self { family, kind, system, browser_outdated, system_outdated }
    }
}

/// Kind and family, and from when on it counts as outdated.
fn client<'a>(said: &Said<'a>, releases: &Releases) -> (Kind, &'a str, i64) {
    if let Some(family) = robot(said) {
        return (Kind::Robot, family, NEVER);
    }
    if let Some(family) = library(said) {
        return (Kind::Library, family, NEVER);
    }
    if let Some((_, family)) = APPS.iter().find(|(part, _)| said.text.contains(part)) {
        return (Kind::App, family, NEVER);
    }
    if said.product("Electron").is_some() {
        return (Kind::App, said.own_name().unwrap_or("Electron"), NEVER);
    }
    if said.product("CFNetwork").is_some() {
        return (Kind::App, said.own_name().unwrap_or("CFNetwork"), NEVER);
    }
    if said.product("Dalvik").is_some() {
        return (Kind::App, "Dalvik", NEVER);
    }
    if let Some((family, outdated)) = browser(said, releases) {
        return (Kind::Browser, family, outdated);
    }
    if let Some((family, outdated)) = named_with_a_blank(said, releases) {
        return (Kind::Browser, family, outdated);
    }
    (Kind::Unknown, said.own_name().unwrap_or_default(), NEVER)
}

fn robot<'a>(said: &Said<'a>) -> Option<&'a str> {
    let separators = |c: char| !(c.is_alphanumeric() || c == '-' || c == '_' || c == '.');
    said.text.split(separators).find(|word| {
        let lower = word.to_ascii_lowercase();
        let mut parts = lower.split(['-', '_', '.']);
        let bot = parts.any(|part| part.ends_with("bot") && part != "cubot");
        bot || ROBOTS.iter().any(|part| lower.contains(part))
    })
}

fn library<'a>(said: &Said<'a>) -> Option<&'a str> {
    let known = |product: &&Product<'a>| {
        let lower = product.name.to_ascii_lowercase();
        LIBRARIES.contains(&lower.as_str()) || lower.ends_with("-sdk")
    };
    // A library comes first; the shell of Windows puts a browser's words before it.
    let first = said.products.first().filter(known);
    let shell = || {
        let lower = |product: &&Product<'a>| product.name.to_ascii_lowercase();
        said.products.iter().find(|product| lower(product).ends_with("powershell"))
    };
    first.or_else(shell).map(|product| product.name)
}

fn browser<'a>(said: &Said<'a>, releases: &Releases) -> Option<(&'a str, i64)> {
    if said.product("Trident").is_some()
        || said.comment_has("Trident/")
        || said.comment_has("MSIE ")
    {
        return Some(("Internet Explorer", releases.system("internet-explorer", (11, 0))));
    }
    let mobile = said.product("Mobile").is_some() || said.comment_has("Android");
    for (name, family, table) in BROWSERS {
        let Some(product) = said.product(name) else { continue };
        // The old Opera stayed at 9.80 and told its version apart from that.
        let told = match said.product("Version") {
            Some(version) if *name == "Opera" => version,
            _ => product,
        };
        let table = if *table == "opera" && mobile { "opera-mobile" } else { table };
        return Some((family, releases.browser(table, version(told.version))));
    }
    said.product("Safari").map(|_| {
        // On old systems of Android the browser was called just that.
        if said.comment_has("Android") {
            return ("Android Browser", NEVER);
        }
        let told = said
            .product("Version")
            .map_or(NEVER, |product| releases.browser("safari", version(product.version)));
        ("Safari", told)
    })
}

/// Directories write a browser as `Chrome 120.0.0` or `Mobile Safari 17.1`.
fn named_with_a_blank(said: &Said<'_>, releases: &Releases) -> Option<(&'static str, i64)> {
    const NAMES: &[(&str, &str, &str)] = &[
        ("Chrome Mobile iOS", "Chrome", "chrome"),
        ("Chrome Mobile", "Chrome", "chrome"),
        ("Chrome", "Chrome", "chrome"),
        ("Edge", "Edge", "edge"),
        ("Firefox", "Firefox", "firefox"),
        ("Mobile Safari", "Safari", "safari"),
        ("Safari", "Safari", "safari"),
        ("Opera", "Opera", "opera"),
        ("Samsung Internet", "Samsung Internet", "samsung"),
        ("Samsung Browser", "Samsung Internet", "samsung"),
        ("IE", "Internet Explorer", ""),
    ];
    let (name, told) = said.text.trim().rsplit_once(' ')?;
    told.starts_with(|c: char| c.is_ascii_digit()).then_some(())?;
    let (_, family, table) = NAMES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))?;
    let outdated = match *table {
        "" => releases.system("internet-explorer", (11, 0)),
        table => releases.browser(table, version(told)),
    };
    Some((family, outdated))
}

/// The system, and from when on its version counts as outdated.
fn system(said: &Said<'_>, releases: &Releases) -> (&'static str, i64) {
    let of = |family: &str, version: Option<Version>| {
        version.map_or(NEVER, |version| releases.system(family, version))
    };
    let told = |word: &str| {
        let text = said.after(word)?;
        text.starts_with(|c: char| c.is_ascii_digit()).then(|| version(text))
    };
    if said.comment_has("Windows Phone") {
        return ("Windows Phone", NEVER);
    }
    if said.comment_has("Windows") {
        // The shell of Windows says `Windows NT` twice.
        let version = told("Windows NT ").or_else(|| told("Windows NT; Windows NT "));
        return ("Windows", of("windows", version));
    }
    if said.comment_has("Android") || said.text.starts_with("Android") {
        return ("Android", of("android", told("Android ")));
    }
    let handheld = ["iPhone", "iPad", "iPod"].iter().any(|part| said.comment_has(part));
    if handheld || said.comment_has("iOS ") {
        let version = told("iPhone OS ")
            .or_else(|| told("CPU OS "))
            .or_else(|| told("iOS "))
            .map(|v| (v.0, 0));
        return ("iOS", of("ios", version));
    }
    if said.comment_has("Mac OS X") || said.comment_has("Macintosh") || said.comment_has("macOS") {
        let version = told("Mac OS X ").or_else(|| told("macOS "));
        return ("macOS", of("macos", version));
    }
    if said.comment_has("CrOS") {
        return ("ChromeOS", NEVER);
    }
    if said.comment_has("Linux") || said.comment_has("X11") {
        return ("Linux", NEVER);
    }
    ("", NEVER)
}
