//! `ip-ranges.yaml`: what the organization itself knows of addresses.
//!
//! It is read as strictly as a policy: every mistake at once, each with its line, a caret and a hint.

use std::net::IpAddr;
use std::path::Path;

use casbah_yaml::suggest::{self, shown};
use casbah_yaml::{Fields, MAX_BYTES, Node, Span, Value, Wording};

use crate::address::Range;
use crate::error::{EnrichErrors, EnrichProblem, EnrichProblemKind};
use crate::file;
use crate::list::{plain, word};

/// The categories a range can have.
pub const CATEGORIES: &[&str] =
    &["administrative", "cloud-provider", "corporate", "other", "risky", "vpn"];

const KEYS: &[&str] = &["name", "category", "subnets", "tags", "owner", "place"];
const PLACE_KEYS: &[&str] = &["name", "country", "region", "latitude", "longitude", "accuracy"];

const WORDING: Wording = Wording {
    one: "a file of ranges",
    many: "files of ranges",
    begin: "begin with `ranges:` and a list",
    second: "put all ranges into one list",
    long: "put long lists of addresses into a list of `enrich.lists`",
};

/// Where the operator says a range is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Place {
    pub(crate) name: Option<String>,
    pub(crate) country: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) latitude: Option<f64>,
    pub(crate) longitude: Option<f64>,
    pub(crate) accuracy: Option<f64>,
}

/// A range of the organization's own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) category: String,
    /// `None` leaves the tags to lists and databases; any list, also an empty one, stands instead of them.
    pub(crate) tags: Option<Vec<String>>,
    pub(crate) owner: Option<String>,
    pub(crate) place: Option<Place>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Ranges {
    pub(crate) file: String,
    pub(crate) snapshot: String,
    known: Vec<Known>,
    /// Sorted and without overlaps; each with the index of its range.
    subnets: Vec<(Range, usize)>,
}

impl Ranges {
    pub(crate) fn open(path: &Path) -> Result<Self, EnrichErrors> {
        let hint = "`enrich.ranges` in the settings names it";
        let (bytes, snapshot) = file::read(path, MAX_BYTES as u64 + 1, hint)?;
        Self::read(&path.display().to_string(), &bytes, snapshot)
    }

    pub(crate) fn read(file: &str, bytes: &[u8], snapshot: String) -> Result<Self, EnrichErrors> {
        let (text, document) = casbah_yaml::parse(bytes, WORDING).map_err(|(text, wrong)| {
            EnrichProblem::at(EnrichProblemKind::Format, file, &text, wrong)
        })?;
        let mut reader = Reader {
            fields: Fields::new(EnrichProblemKind::Value, EnrichProblemKind::Key),
            known: Vec::new(),
            subnets: Vec::new(),
        };
        reader.document(&document);
        let Reader { mut fields, known, mut subnets } = reader;
        check_overlaps(&mut subnets, &known, &mut fields);
        let mut wrongs = fields.wrongs;
        wrongs.sort_by_key(|(_, wrong)| wrong.span);
        let problems =
            wrongs.into_iter().map(|(kind, wrong)| EnrichProblem::at(kind, file, &text, wrong));
        match EnrichErrors::of(problems.collect()) {
            Some(errors) => Err(errors),
            None => Ok(Self {
                file: file.to_owned(),
                snapshot,
                known,
                subnets: subnets.into_iter().map(|s| (s.range, s.owner)).collect(),
            }),
        }
    }

    /// The subnet that holds an address, and whose it is.
    pub(crate) fn get(&self, address: IpAddr) -> Option<(Range, &Known)> {
        let one = Range::one(address);
        let after = self.subnets.partition_point(|(range, _)| start(*range) <= one);
        let &(range, owner) = self.subnets.get(after.checked_sub(1)?)?;
        let known = self.known.get(owner).filter(|_| range.contains(address))?;
        Some((range, known))
    }

    /// Number of ranges, and of subnets in them.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.known.len(), self.subnets.len())
    }
}

/// Compares as the first address of a range does, whatever its end.
fn start(range: Range) -> Range {
    match range {
        Range::V4(first, _) => Range::V4(first, first),
        Range::V6(first, _) => Range::V6(first, first),
    }
}

struct Subnet {
    range: Range,
    owner: usize,
    span: Span,
    text: String,
}

struct Reader {
    fields: Fields<EnrichProblemKind>,
    known: Vec<Known>,
    subnets: Vec<Subnet>,
}

impl Reader {
    fn document(&mut self, document: &Node) {
        self.fields.only(document, &["ranges"], "a file of ranges");
        let Some(entry) = document.get("ranges") else {
            self.fields.wrong_kind(
                EnrichProblemKind::Key,
                Span { length: 1, ..document.span },
                "`ranges` is missing".to_owned(),
                "add `ranges:` and a list of them".to_owned(),
            );
            return;
        };
        match &entry.value.value {
            Value::List(items) => {
                for item in items {
                    self.range(item);
                }
            }
            Value::Null => {}
            other => self.fields.wrong(
                entry.value.span,
                format!("`ranges` must be a list, this is {}", other.what()),
                "begin every range with `- name: …`".to_owned(),
            ),
        }
    }

    fn range(&mut self, item: &Node) {
        if !self.fields.is_map(item, "a range") {
            return;
        }
        self.fields.only(item, KEYS, "a range");
        let owner = self.known.len();
        let name = self.fields.required_text(item, "name").unwrap_or_default();
        if let Some(other) = self.known.iter().find(|other| other.name == name && !name.is_empty())
        {
            let message = format!(
                "`{}` is the name of the range in line {} as well",
                shown(&name),
                other.line
            );
            let span = item.find("/name");
            let hint = "give each range a name of its own".to_owned();
            self.fields.wrong_kind(EnrichProblemKind::Overlap, span, message, hint);
        }
        let category = self.category(item);
        self.subnets(item, owner);
        let tags = item.get("tags").is_some().then(|| {
            let tags = self.fields.texts(item, "tags", |tag| {
                let bad =
                    tag.trim().is_empty() || tag.contains(',') || tag.chars().any(char::is_control);
                bad.then(|| "a tag is a text without commas".to_owned())
            });
            tags.iter().map(|tag| word(tag)).collect()
        });
        let owner_name = self.fields.text(item, "owner").map(|owner| plain(&owner));
        let place = item.get("place").map(|entry| self.place(&entry.value));
        self.known.push(Known {
            name: plain(&name),
            line: item.span.line,
            category,
            tags,
            owner: owner_name,
            place,
        });
    }

    fn category(&mut self, item: &Node) -> String {
        let Some(category) = self.fields.required_text(item, "category") else {
            return String::new();
        };
        if !CATEGORIES.contains(&category.as_str()) {
            self.fields.wrong(
                item.find("/category"),
                format!("`{}` is not a category", shown(&category)),
                suggest::hint(&category, CATEGORIES.iter().copied(), "the categories"),
            );
        }
        category
    }

    fn subnets(&mut self, item: &Node, owner: usize) {
        let empty = || Span { length: 1, ..item.span };
        let Some(entry) = item.get("subnets") else {
            self.fields.wrong_kind(
                EnrichProblemKind::Key,
                empty(),
                "`subnets` is missing".to_owned(),
                "add a line `subnets: [192.0.2.0/24]`".to_owned(),
            );
            return;
        };
        let one = std::slice::from_ref(&entry.value);
        let items = if let Value::List(items) = &entry.value.value { items } else { one };
        if items.is_empty() {
            let hint = "name at least one, e.g. `subnets: [192.0.2.0/24]`".to_owned();
            self.fields.wrong(entry.span, "`subnets` is empty".to_owned(), hint);
        }
        for item in items {
            let text = match &item.value {
                Value::Text(text) => text.as_str(),
                other => {
                    self.fields.wrong(
                        item.span,
                        format!("a subnet is a text, this is {}", other.what()),
                        "write it as `192.0.2.0/24` or `2001:db8::/32`".to_owned(),
                    );
                    continue;
                }
            };
            match Range::parse(text) {
                Some(range) => self.subnets.push(Subnet {
                    range,
                    owner,
                    span: item.span,
                    text: text.to_owned(),
                }),
                None => self.fields.wrong(
                    item.span,
                    format!("`{}` is not a subnet", shown(text)),
                    "write it as `192.0.2.0/24` or `2001:db8::/32`; a single address needs no length"
                        .to_owned(),
                ),
            }
        }
    }

    fn place(&mut self, node: &Node) -> Place {
        if !self.fields.is_map(node, "`place`") {
            return Place::default();
        }
        self.fields.only(node, PLACE_KEYS, "a place");
        let country = self.fields.text(node, "country").and_then(|country| {
            let good = country.len() == 2 && country.bytes().all(|b| b.is_ascii_alphabetic());
            if !good {
                self.fields.wrong(
                    node.find("/country"),
                    format!("`{}` is not a country", shown(&country)),
                    "write its two letters, e.g. `CH`".to_owned(),
                );
            }
            good.then(|| country.to_ascii_uppercase())
        });
        let place = Place {
            name: self.fields.text(node, "name").map(|name| plain(&name)),
            country,
            region: self.fields.text(node, "region").map(|region| plain(&region)),
            latitude: self.fields.number(node, "latitude", -90.0..=90.0),
            longitude: self.fields.number(node, "longitude", -180.0..=180.0),
            accuracy: self.fields.number(node, "accuracy", 0.0..=20_038.0),
        };
        for (one, other) in [("latitude", "longitude"), ("longitude", "latitude")] {
            if let Some(entry) = node.get(one)
                && node.get(other).is_none()
            {
                self.fields.wrong_kind(
                    EnrichProblemKind::Key,
                    entry.span,
                    format!("there is a `{one}` but no `{other}`"),
                    "give both, or none".to_owned(),
                );
            }
        }
        place
    }
}

/// Sorts the subnets, and says which hold the same addresses.
fn check_overlaps(subnets: &mut [Subnet], known: &[Known], fields: &mut Fields<EnrichProblemKind>) {
    subnets.sort_by_key(|subnet| (subnet.range, subnet.span));
    let mut widest: Option<&Subnet> = None;
    for subnet in subnets.iter() {
        if let Some(before) = widest.filter(|before| before.range.overlaps(subnet.range)) {
            // The one that stands later in the file is shown.
            let (first, second) =
                if before.span < subnet.span { (before, subnet) } else { (subnet, before) };
            let whose = |subnet: &Subnet| {
                known.get(subnet.owner).map_or("", |known| known.name.as_str()).to_owned()
            };
            fields.wrong_kind(
                EnrichProblemKind::Overlap,
                second.span,
                format!(
                    "`{}` of `{}` overlaps with `{}` of `{}` in line {}",
                    shown(&second.text),
                    shown(&whose(second)),
                    shown(&first.text),
                    shown(&whose(first)),
                    first.span.line
                ),
                "an address can only be in one range: cut one of them down, or take it out"
                    .to_owned(),
            );
        }
        let end = |range: Range| match range {
            Range::V4(_, last) => Range::V4(last, last),
            Range::V6(_, last) => Range::V6(last, last),
        };
        if widest.is_none_or(|before| end(before.range) < end(subnet.range)) {
            widest = Some(subnet);
        }
    }
}
