//! Distances on the globe, and where countries lie.
//!
//! The table of countries is data (`data/countries.tsv`, made by `data/countries.py`, which names its
//! sources). It is not a geocoder, and knows no borders but which countries have one in common.

/// Country, latitude, longitude, radius, land borders, close neighbours across the sea; a line each.
const COUNTRIES: &str = include_str!("../data/countries.tsv");
/// Mean radius of the Earth, km.
const EARTH: f64 = 6371.0088;

/// Great-circle distance in km between two points in degrees, by the haversine formula.
///
/// The Earth is taken for a sphere, which is off by at most some 0.6 %.
pub(crate) fn distance(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (from_lat, to_lat) = (from.0.to_radians(), to.0.to_radians());
    let lat = libm::sin((to_lat - from_lat) / 2.0);
    let lon = libm::sin((to.1 - from.1).to_radians() / 2.0);
    let h = lat * lat + libm::cos(from_lat) * libm::cos(to_lat) * lon * lon;
    2.0 * EARTH * libm::asin(libm::sqrt(h.clamp(0.0, 1.0)))
}

/// What is known of a country.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Country {
    /// A point in the middle, degrees.
    pub(crate) middle: (f64, f64),
    /// How far from there its people live, km.
    pub(crate) radius: f64,
    /// Codes of its neighbours, in two lists.
    near: (&'static str, &'static str),
}

/// A country by its two letters.
pub(crate) fn country(code: [u8; 2]) -> Option<Country> {
    let line = COUNTRIES.lines().find(|line| line.as_bytes().starts_with(&code))?;
    let mut cells = line.split('\t').skip(1);
    let mut number = || cells.next()?.parse::<f64>().ok();
    let (latitude, longitude, radius) = (number()?, number()?, number()?);
    let near = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
    Some(Country { middle: (latitude, longitude), radius, near })
}

/// Whether two places are in one country, or in countries that border on each other or are close
/// across the sea.
pub(crate) fn near(a: [u8; 2], b: [u8; 2]) -> bool {
    let has = |list: &str| list.split(' ').any(|code| code.as_bytes() == b);
    a == b || country(a).is_some_and(|country| has(country.near.0) || has(country.near.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes() -> Vec<[u8; 2]> {
        let lines = COUNTRIES.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.as_bytes()[..2].try_into().unwrap()).collect()
    }

    /// Whoever has a neighbour is that one's neighbour, and every neighbour is a country.
    #[test]
    fn neighbours_are_mutual() {
        let codes = codes();
        assert_eq!(codes.len(), 250);
        assert!(codes.is_sorted());
        for &a in &codes {
            let country = country(a).unwrap();
            assert!(country.middle.0.abs() <= 90.0 && country.middle.1.abs() <= 180.0);
            assert!(country.radius >= 1.0, "{a:?}");
            for list in [country.near.0, country.near.1] {
                for b in list.split(' ').filter(|code| !code.is_empty()) {
                    let b: [u8; 2] = b.as_bytes().try_into().unwrap();
                    assert!(codes.contains(&b) && a != b && near(b, a), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn some_borders_that_everybody_knows() {
        for (a, b) in [("DE", "FR"), ("US", "MX"), ("GB", "FR"), ("SG", "MY"), ("FR", "FR")] {
            assert!(near(code(a), code(b)), "{a} {b}");
        }
        for (a, b) in [("DE", "GB"), ("US", "RU"), ("PT", "FR"), ("FR", "BR"), ("XX", "DE")] {
            assert!(!near(code(a), code(b)), "{a} {b}");
        }
    }

    fn code(text: &str) -> [u8; 2] {
        text.as_bytes().try_into().unwrap()
    }

    /// Neighbours lie no farther apart than their radii reach, or something in the table is wrong.
    #[test]
    fn neighbours_are_near_on_the_map() {
        for a in codes() {
            for b in codes() {
                if a < b && near(a, b) {
                    let (x, y) = (country(a).unwrap(), country(b).unwrap());
                    let left = distance(x.middle, y.middle) - x.radius - y.radius;
                    // Saba, of the Caribbean Netherlands, lies 850 km from Bonaire, which is in their middle.
                    assert!(left < 850.0, "{a:?} {b:?} {left}");
                }
            }
        }
    }

    /// Pairs of points with their distance on the sphere and on the WGS 84 ellipsoid, computed by other
    /// means: `tests/data/distances.py` made the table.
    #[test]
    fn distances_agree_with_another_implementation() {
        let table = include_str!("../tests/data/distances.tsv");
        let mut pairs = 0;
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let cells: Vec<f64> = line.split('\t').map(|cell| cell.parse().unwrap()).collect();
            let [lat, lon, to_lat, to_lon, sphere, ellipsoid] = cells[..] else { panic!("{line}") };
            let km = distance((lat, lon), (to_lat, to_lon));
            // Near the antipodes the haversine loses digits: a metre is allowed.
            assert!((km - sphere).abs() <= 1e-3, "{line}: {km}");
            assert!((km - ellipsoid).abs() <= 0.006 * ellipsoid + 1e-9, "{line}: {km}");
            pairs += 1;
        }
        assert!(pairs >= 400);
    }
}
