//! How a consent page answers.

use clap::ValueEnum;

/// How the consent page answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consent {
    /// Allow without asking.
    #[value(name = "auto")]
    Allow,
    /// Deny without asking.
    Deny,
    /// Show a page with two buttons.
    Ask,
}
