//! The built-in plugins and policies, compiled into the program.
//!
//! The build script compiles every guest for `wasm32-unknown-unknown` and makes a component of it, so
//! that `cargo run` and `cargo test` just work. It is not where plugins are loaded or checked.

/// A plugin that ships with the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Its name, e.g. `smartsheet`.
    pub name: &'static str,
    /// The component.
    pub bytes: &'static [u8],
}

/// A policy file, or a list that one names, that ships with the program.
#[derive(Clone, Copy, Debug)]
pub struct BuiltInPolicy {
    /// Name of the file, e.g. `smartsheet-mass-export.yaml`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/bundle.rs"));

/// The built-in plugin of that name.
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    ADAPTERS.iter().chain(DETECTORS).find(|plugin| plugin.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_is_a_component() {
        for plugin in ADAPTERS.iter().chain(DETECTORS) {
            // A component and a core module differ in the layer field of their header.
            assert_eq!(&plugin.bytes[..8], b"\0asm\x0d\x00\x01\x00", "{}", plugin.name);
        }
    }
}
