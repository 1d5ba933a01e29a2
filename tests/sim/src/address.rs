//! Addresses that incidents come from.

/// Addresses that incidents come from; a demo gives those that its tables of places and lists know.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// In a country where nobody works.
    pub far: String,
    /// Far from every office, for impossible travel.
    pub travel: String,
    /// Of an anonymizer.
    pub anonymous: String,
    /// On a threat list.
    pub suspicious: String,
}

impl Default for Addresses {
    /// Four from the ranges for documentation that nobody else uses.
    fn default() -> Self {
        let address = |last: u8| format!("203.0.113.{last}");
        Self {
            far: address(201),
            travel: address(202),
            anonymous: address(203),
            suspicious: address(204),
        }
    }
}
