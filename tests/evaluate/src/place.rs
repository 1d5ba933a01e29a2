//! Where people are: countries, networks and what an address of them looks like after enrichment.

/// An address's whereabouts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) country: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
    /// Kilometres.
    pub(crate) accuracy: f64,
    pub(crate) number: i64,
    /// Empty for a network that nobody else has.
    pub(crate) owner: &'static str,
    /// What the first two numbers of its addresses are.
    pub(crate) net: u16,
    pub(crate) category: &'static str,
    pub(crate) tags: &'static str,
}

const fn place(
    country: &'static str,
    latitude: f64,
    longitude: f64,
    number: i64,
    owner: &'static str,
    net: u16,
) -> Place {
    Place {
        country,
        latitude,
        longitude,
        accuracy: 50.0,
        number,
        owner,
        net,
        category: "",
        tags: "",
    }
}

/// Cities with a company's offices, the most usual first.
pub(crate) const HOMES: [Place; 8] = [
    place("US", 40.71, -74.01, 64501, "Hudson Broadband", 1),
    place("US", 37.77, -122.42, 64502, "Golden Gate Fiber", 2),
    place("GB", 51.51, -0.13, 64503, "Thames Net", 3),
    place("DE", 52.52, 13.40, 64504, "Spree Telekom", 4),
    place("CA", 43.65, -79.38, 64505, "Ontario Cable", 5),
    place("AU", -33.87, 151.21, 64506, "Harbour Online", 6),
    place("IN", 12.97, 77.59, 64507, "Deccan Networks", 7),
    place("FR", 48.86, 2.35, 64508, "Seine Mobile", 8),
];

/// Cities where people go.
pub(crate) const TRIPS: [Place; 12] = [
    place("NL", 52.37, 4.90, 64601, "Canal Internet", 21),
    place("ES", 40.42, -3.70, 64602, "Retiro Red", 22),
    place("JP", 35.68, 139.69, 64603, "Sumida Net", 23),
    place("SG", 1.35, 103.82, 64604, "Lion Fibre", 24),
    place("BR", -23.55, -46.63, 64605, "Paulista Telecom", 25),
    place("ZA", -26.20, 28.05, 64606, "Highveld Net", 26),
    place("MX", 19.43, -99.13, 64607, "Anahuac Red", 27),
    place("IT", 41.90, 12.50, 64608, "Tevere Rete", 28),
    place("SE", 59.33, 18.07, 64609, "Malaren Bredband", 29),
    place("AE", 25.20, 55.27, 64610, "Creek Telecom", 30),
    place("PT", 38.72, -9.14, 64611, "Tejo Net", 31),
    place("KR", 37.57, 126.98, 64612, "Han Broadband", 32),
];

/// Cities that nobody of the company has any business in. There are enough of them that attackers
/// seldom share one.
pub(crate) const STRANGE: [Place; 20] = [
    place("MD", 47.01, 28.86, 64701, "Dniester Hosting", 41),
    place("VN", 21.03, 105.85, 64702, "Hong Ha Telecom", 42),
    place("NG", 6.52, 3.38, 64703, "Lagoon Net", 43),
    place("PE", -12.05, -77.04, 64704, "Rimac Red", 44),
    place("KZ", 43.24, 76.89, 64705, "Steppe Online", 45),
    place("UA", 50.45, 30.52, 64706, "Dnipro Servers", 46),
    place("PK", 24.86, 67.01, 64707, "Clifton Net", 47),
    place("BD", 23.81, 90.41, 64708, "Buriganga Online", 48),
    place("MA", 33.57, -7.59, 64709, "Atlas Telecom", 49),
    place("KE", -1.29, 36.82, 64710, "Athi Fibre", 50),
    place("CL", -33.45, -70.67, 64711, "Mapocho Red", 52),
    place("EC", -0.18, -78.47, 64712, "Pichincha Net", 53),
    place("GE", 41.72, 44.79, 64713, "Kura Telecom", 54),
    place("RS", 44.79, 20.45, 64714, "Sava Servers", 55),
    place("ID", -6.21, 106.85, 64715, "Ciliwung Net", 56),
    place("PH", 14.60, 120.98, 64716, "Pasig Broadband", 57),
    place("GH", 5.60, -0.19, 64717, "Volta Online", 58),
    place("UZ", 41.30, 69.24, 64718, "Chirchiq Telecom", 59),
    place("BO", -16.49, -68.12, 64719, "Illimani Red", 60),
    place("LK", 6.93, 79.86, 64720, "Kelani Net", 63),
];

/// Where a company's new VPN comes out.
pub(crate) const VPN: Place = place("IE", 53.35, -6.26, 64801, "Liffey Cloud", 51);

/// An exit of an anonymizing network.
pub(crate) const TOR: Place =
    Place { tags: "tor", ..place("RO", 44.43, 26.10, 64901, "Onion Hosting", 61) };
/// An address that lists warn of.
pub(crate) const BAD: Place =
    Place { tags: "brute-force", ..place("BG", 42.70, 23.32, 64902, "Vitosha Servers", 62) };

impl Place {
    /// An address there; people keep theirs.
    pub(crate) fn address(&self, of: u32) -> String {
        format!("10.{}.{}.{}", self.net, of / 250 % 250, of % 250 + 1)
    }

    /// Great-circle distance in kilometres, on a sphere.
    pub(crate) fn distance(&self, other: &Self) -> f64 {
        let (a, b) = (self.latitude.to_radians(), other.latitude.to_radians());
        let across = (other.longitude - self.longitude).to_radians();
        let cosine = a.sin() * b.sin() + a.cos() * b.cos() * across.cos();
        6371.0 * cosine.clamp(-1.0, 1.0).acos()
    }
}
