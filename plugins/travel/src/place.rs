//! Where an activity came from, as far as places are told apart here.
//!
//! It is not a geocoder: what an address means was said by enrichment.

use casbah_model::Batch;
use casbah_when::{Cell, Cells, keys};

use crate::geo;

/// Radius of a place whose coordinates come without one, km.
const UNSURE: f64 = 50.0;

/// A place: two activities were in the same one when this is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Two letters.
    pub(crate) country: [u8; 2],
    /// Tenths of a degree, which is 11 km.
    pub(crate) latitude: i16,
    /// Tenths of a degree.
    pub(crate) longitude: i16,
    /// Radius within which the address lies, km.
    pub(crate) accuracy: u16,
    pub(crate) network: Network,
    /// In the organization's own range.
    pub(crate) trusted: bool,
    /// Used by many of the organization.
    pub(crate) shared: bool,
    /// Used by nobody of the organization before, or only a few days ago.
    pub(crate) new_to_all: bool,
}

/// Which network: its number, a hash of its owner where it has none, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network(u64);

impl Network {
    /// From here on it is the hash of an owner.
    const OWNER: u64 = 1 << 32;

    /// The network with this number, or else of this owner.
    fn of(number: Option<i64>, owner: &str) -> Self {
        match number.and_then(|number| u32::try_from(number).ok()) {
            Some(number) if number > 0 => Self(number.into()),
            _ if owner.is_empty() => Self::default(),
            _ => Self(Self::OWNER | keys::fingerprint_of(owner) >> 32),
        }
    }

    /// The network as it was written; `None` for what is none.
    pub(crate) fn read(bits: u64) -> Option<Self> {
        (bits < 2 * Self::OWNER).then_some(Self(bits))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn is_known(self) -> bool {
        self.0 != 0
    }

    /// Its number, where it has one.
    pub(crate) fn number(self) -> Option<u64> {
        (1..Self::OWNER).contains(&self.0).then_some(self.0)
    }

    /// A number for it of 32 bits.
    fn short(self) -> u32 {
        (self.0 ^ self.0 >> 32) as u32
    }
}

impl Place {
    /// The point, degrees.
    fn point(&self) -> (f64, f64) {
        (f64::from(self.latitude) / 10.0, f64::from(self.longitude) / 10.0)
    }

    /// How far it is to another place at least, km: both radii are taken off.
    pub(crate) fn distance(&self, other: &Self) -> f64 {
        let radii = f64::from(self.accuracy) + f64::from(other.accuracy);
        (geo::distance(self.point(), other.point()) - radii).max(0.0)
    }

    /// What a person's habits of places are kept by: the network in this country, and the region of
    /// one degree. Where the network is unknown, the region alone tells.
    pub(crate) fn habits(&self) -> [u32; 2] {
        let [a, b] = self.country.map(u32::from);
        let country = a << 8 | b;
        let cell = |tenths: i16| i32::from(tenths).div_euclid(10) as u32 & 0xffff;
        let region = cell(self.latitude) << 16 | cell(self.longitude);
        let region = mixed(region, country) | 1;
        match self.network.is_known() {
            false => [region, region],
            true => [mixed(self.network.short(), country) & !1, region],
        }
    }

    /// What an alert about the network in this country is named by; never 0, and the same for nothing
    /// else.
    pub(crate) fn about(&self) -> u64 {
        self.network.bits() << 16 | u64::from(u16::from_be_bytes(self.country))
    }

    /// The country's two letters.
    pub(crate) fn country(&self) -> String {
        self.country.iter().map(|&byte| char::from(byte)).collect()
    }
}

/// Two numbers mixed into one, the same for ever.
fn mixed(a: u32, b: u32) -> u32 {
    let mut x = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (x >> 32) as u32
}

/// The columns of a batch that tell places.
pub(crate) struct PlaceCells<'a> {
    batch: &'a Batch,
    country: Cells<'a>,
    latitude: &'a [f64],
    longitude: &'a [f64],
    accuracy: &'a [f64],
    number: Cells<'a>,
    owner: Cells<'a>,
    city: Cells<'a>,
    ip: Cells<'a>,
    category: Cells<'a>,
    tags: Cells<'a>,
}

/// What the columns of a row say, to find out cheaply that the next row says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Said {
    cells: [Cell; 5],
    /// Of the address: category and tags.
    marks: [Cell; 2],
    coordinates: [u64; 3],
}

/// A place of a batch, before it is known who else uses it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) country: [u8; 2],
    latitude: i16,
    longitude: i16,
    accuracy: u16,
    pub(crate) network: Network,
    pub(crate) trusted: bool,
}

impl Found {
    /// The place, once it is known whether many use it, or whether it is new to all.
    pub(crate) fn place(&self, (shared, new_to_all): (bool, bool)) -> Place {
        let &Self { country, latitude, longitude, accuracy, network, trusted, .. } = self;
        Place { country, latitude, longitude, accuracy, network, trusted, shared, new_to_all }
    }

    /// Names the network in one city.
    pub(crate) fn exit(&self) -> String {
        let &Self { country: [a, b], latitude, longitude, network, .. } = self;
        let country = [a, b].map(char::from);
        let network = network.bits();
        format!("\u{1f}e{}{} {latitude} {longitude} {network:x}", country[0], country[1])
    }
}

/// Categories and tags that a policy treats apart.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// Categories of the organization's own ranges.
    pub(crate) trusted: Vec<String>,
    /// Categories of addresses that say nothing of where somebody is,
    pub(crate) ignored_categories: Vec<String>,
    /// and tags of such addresses.
    pub(crate) ignored_tags: Vec<String>,
}

impl<'a> PlaceCells<'a> {
    /// Looks the columns up.
    pub(crate) fn of(batch: &'a Batch) -> Self {
        let cells = |name| Cells::column(batch, name);
        let numbers = |name| batch.numbers(name).unwrap_or_default();
        Self {
            batch,
            country: cells("country"),
            latitude: numbers("latitude"),
            longitude: numbers("longitude"),
            accuracy: numbers("accuracy"),
            number: cells("network.number"),
            owner: cells("network.owner"),
            city: cells("city"),
            ip: cells("ip"),
            category: cells("ip.category"),
            tags: cells("ip.tags"),
        }
    }

    /// The address of a row, by its index among the texts; 0 where there is none.
    #[inline]
    pub(crate) fn address(&self, row: usize) -> usize {
        match self.ip.cell(self.batch, row) {
            Cell::Text(id) => id as usize,
            _ => 0,
        }
    }

    /// What a row says of its place.
    #[inline]
    pub(crate) fn said(&self, row: usize) -> Said {
        let cell = |cells: &Cells<'_>| cells.cell(self.batch, row);
        let bits = |numbers: &[f64]| numbers.get(row).map_or(u64::MAX, |number| number.to_bits());
        Said {
            cells: [
                cell(&self.country),
                cell(&self.number),
                cell(&self.owner),
                cell(&self.city),
                cell(&self.ip),
            ],
            marks: [cell(&self.category), cell(&self.tags)],
            coordinates: [bits(self.latitude), bits(self.longitude), bits(self.accuracy)],
        }
    }

    /// The place of a row; `None` where it is unknown, or the address tells nothing of it.
    pub(crate) fn find(&self, row: usize, marks: &Marks) -> Option<Found> {
        let text = |cells: &Cells<'a>| self.text(cells, row);
        let category = text(&self.category);
        let among = |list: &[String], word: &str| list.iter().any(|known| known == word);
        if among(&marks.ignored_categories, category)
            || text(&self.tags).split(',').any(|tag| among(&marks.ignored_tags, tag))
        {
            return None;
        }
        let &[a, b] = text(&self.country).as_bytes() else { return None };
        let country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
        let number =
            |numbers: &[f64]| numbers.get(row).copied().filter(|number| number.is_finite());
        let coordinates = number(self.latitude).zip(number(self.longitude));
        let credible = |&(lat, lon): &(f64, f64)| {
            (-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)
        };
        let ((latitude, longitude), radius) = match coordinates.filter(credible) {
            Some(point) => (point, number(self.accuracy).unwrap_or(UNSURE)),
            // Without coordinates it may be anywhere in the country.
            None => geo::country(country).map(|country| (country.middle, country.radius))?,
        };
        let number = match self.number.cell(self.batch, row) {
            Cell::Integer(number) => Some(number),
            _ => None,
        };
        Some(Found {
            country,
            // Casts of floats saturate, and these are within bounds.
            latitude: libm::round(latitude * 10.0) as i16,
            longitude: libm::round(longitude * 10.0) as i16,
            accuracy: libm::ceil(radius.max(0.0)) as u16,
            network: Network::of(number, text(&self.owner)),
            trusted: among(&marks.trusted, category),
        })
    }

    /// Words for a row's place: city, owner of the network, address.
    #[inline]
    pub(crate) fn words(&self, row: usize) -> [&'a str; 3] {
        [&self.city, &self.owner, &self.ip].map(|cells| self.text(cells, row))
    }

    #[inline]
    fn text(&self, cells: &Cells<'a>, row: usize) -> &'a str {
        match cells.cell(self.batch, row) {
            Cell::Text(id) => self.batch.texts.get(id),
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// State outlives programs: what habits are kept by may never change.
    #[test]
    fn habits_are_named_the_same_for_ever() {
        let place = Place {
            country: *b"DE",
            latitude: 525,
            longitude: 134,
            accuracy: 20,
            network: Network::of(Some(77), ""),
            trusted: false,
            shared: false,
            new_to_all: false,
        };
        assert_eq!(place.habits(), [1_911_900_308, 4_225_109_591]);
        let elsewhere = Place { latitude: 481, longitude: 116, ..place };
        assert_eq!(place.habits()[0], elsewhere.habits()[0]);
        assert_ne!(place.habits()[1], elsewhere.habits()[1]);
    }
}
