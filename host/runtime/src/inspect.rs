//! What a file claims to be, read from its outside without compiling anything.

use wasmparser::{Encoding, Parser, Payload};

use crate::clean;
use crate::error::{RuntimeError, RuntimeErrorKind as Kind};

/// Versions of `casbah:plugin` that this host serves, newest first.
pub const SERVED_VERSIONS: &[&str] = &["0.1"];

/// Name of the interface's package.
const PACKAGE: &str = "casbah:plugin/";
/// What a plugin may import: the log, and types without any function.
const IMPORTS: &[&str] = &["log", "table"];
/// Bytes of a plugin.
const LARGEST: usize = 64 << 20;
/// Core modules in a component.
const MODULES: usize = 16;
/// Functions in a component; compiling takes time with each.
const FUNCTIONS: u64 = 200_000;
/// Imported or exported names that are kept.
const NAMES: usize = 1000;

/// What a plugin is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PluginKind {
    /// Knows an app.
    Adapter,
    /// Holds a detection's logic.
    Detector,
}

impl PluginKind {
    /// `adapter` or `detector`, as the exported interface is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Detector => "detector",
        }
    }
}

impl std::fmt::Display for PluginKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a file is from the outside: imports and exports, but nothing of what is behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Interfaces exported, without the host's opinion on them.
    pub exports: Vec<String>,
    /// Interfaces imported.
    pub imports: Vec<String>,
    /// What it can be loaded as; empty when it exports nothing that this host serves.
    pub kinds: Vec<PluginKind>,
    /// The version of `casbah:plugin` that it was built for, when it exports something of it.
    pub interface: Option<String>,
}

/// Looks at a plugin from the outside, without compiling it. `label` names it in messages.
///
/// # Errors
/// When the bytes are not a component, or one of absurd size.
pub fn inspect(label: &str, bytes: &[u8]) -> Result<Inspection, RuntimeError> {
    if bytes.len() > LARGEST {
        return Err(RuntimeError::new(
            label,
            Kind::NotAComponent,
            format!("has {} bytes; a plugin has at most {} MiB", bytes.len(), LARGEST >> 20),
        ));
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(RuntimeError::new(
            label,
            Kind::NotAComponent,
            "is code that was compiled already, which is never accepted from outside",
        )
        .hint("give the component that it was compiled from"));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(RuntimeError::new(
            label,
            Kind::NotAComponent,
            "is not a WebAssembly component: it does not begin as one does",
        )
        .hint("give the .wasm file that the build made"));
    }
    let (imports, exports) = outline(label, bytes)?;
    let version = |name: &str, interfaces: &[&str]| {
        let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
        interfaces.contains(&interface).then(|| version.to_owned())
    };
    let kinds = [PluginKind::Adapter, PluginKind::Detector]
        .into_iter()
        .filter(|kind| {
            exports.iter().any(|name| version(name, &[kind.name()]).is_some_and(|v| served(&v)))
        })
        .collect();
    let interface = exports
        .iter()
        .find_map(|name| version(name, &["adapter", "detector"]))
        .map(|version| clean::name(&version));
    Ok(Inspection { exports, imports, kinds, interface })
}

impl Inspection {
    /// The exact name under which an interface is exported.
    pub(crate) fn export(&self, label: &str, kind: PluginKind) -> Result<&str, RuntimeError> {
        let export = self.exports.iter().find(|name| {
            name.strip_prefix(PACKAGE)
                .and_then(|rest| rest.strip_prefix(kind.name())?.strip_prefix('@'))
                .is_some_and(served)
        });
        match export {
            Some(export) => Ok(export),
            None => Err(self.misfit(label, kind)),
        }
    }

    fn misfit(&self, label: &str, wanted: PluginKind) -> RuntimeError {
        let serves = SERVED_VERSIONS.join(" and ");
        if let Some(other) = self.kinds.first() {
            let article = |kind: PluginKind| if kind == PluginKind::Adapter { "an" } else { "a" };
            return RuntimeError::new(
                label,
                Kind::Export,
                format!("is {} {other}, not {} {wanted}", article(*other), article(wanted)),
            );
        }
        if let Some(version) = &self.interface {
            return RuntimeError::new(
                label,
                Kind::Version,
                format!("was built for `casbah:plugin` {version}, but this casbah serves {serves}"),
            )
            .hint(format!(
                "rebuild the plugin with an SDK for {serves}, or run a casbah that serves {version}"
            ));
        }
        RuntimeError::new(
            label,
            Kind::Export,
            format!("exports neither `casbah:plugin/detector` nor `casbah:plugin/adapter`; this casbah serves {serves}"),
        )
        .hint("build it with casbah's SDK: `export_detector!` or `export_adapter!`")
    }

    /// Refuses everything but the log.
    pub(crate) fn check_imports(&self, label: &str) -> Result<(), RuntimeError> {
        let allowed = |name: &str| {
            name.strip_prefix(PACKAGE)
                .and_then(|rest| rest.split_once('@'))
                .is_some_and(|(interface, version)| IMPORTS.contains(&interface) && served(version))
        };
        let refused: Vec<String> = self
            .imports
            .iter()
            .filter(|name| !allowed(name))
            .take(5)
            .map(|name| format!("`{}`", clean::name(name)))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(RuntimeError::new(
            label,
            Kind::Import,
            format!("imports {}, but a plugin may import nothing but `casbah:plugin/log`", refused.join(", ")),
        )
        .hint("plugins are pure: build for wasm32-unknown-unknown, without files, sockets, clocks or random numbers"))
    }
}

/// Whether a version is one that this host serves: all of 0.1 are alike, as semver has it.
fn served(version: &str) -> bool {
    SERVED_VERSIONS.iter().any(|track| {
        version.strip_prefix(track).and_then(|rest| rest.strip_prefix('.')).is_some_and(|patch| {
            !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())
        })
    })
}

/// Names of imports and exports of the outermost component.
fn outline(label: &str, bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), RuntimeError> {
    let not = |message: String| RuntimeError::new(label, Kind::NotAComponent, message);
    let broken = |error: wasmparser::BinaryReaderError| {
        not(format!("is not a WebAssembly component: {}", clean::sentence(&error.to_string())))
            .hint("the file may be cut off; build or fetch it again")
    };
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let (mut depth, mut modules, mut functions) = (0_usize, 0, 0_u64);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(not("is a core WebAssembly module, not a component".to_owned()).hint(
                    "make a component of it with `wit-component` (or `wasm-tools component new`)",
                ));
            }
            Payload::ModuleSection { .. } => {
                depth += 1;
                modules += 1;
            }
            Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::FunctionSection(section) => functions += u64::from(section.count()),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(broken)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
        if modules > MODULES || functions > FUNCTIONS || imports.len().max(exports.len()) > NAMES {
            return Err(not(format!(
                "is too large: at most {MODULES} core modules, {FUNCTIONS} functions and {NAMES} names"
            )));
        }
    }
    Ok((imports, exports))
}
