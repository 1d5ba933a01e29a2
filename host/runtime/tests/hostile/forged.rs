//! Components written by hand: what no compiler would produce.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../../wit/plugin.wit");

const DESCRIPTION: &str = r#"{"name":"forged","version":"1.0.0","title":"Forged","columns":["sequence"],"state-version":1}"#;

/// A detector put together from pieces; every piece can be replaced by a bad one.
pub(crate) struct Forged {
    pub(crate) wit: String,
    /// Added to the world: imports.
    pub(crate) world: &'static str,
    /// Other packages that the world needs.
    pub(crate) packages: &'static [&'static str],
    pub(crate) version: &'static str,
    pub(crate) description: Vec<u8>,
    /// Declarations at the start of the module.
    pub(crate) imports: &'static str,
    pub(crate) memory: &'static str,
    /// Code at the start of `cabi_realloc`, which the host calls to copy parameters in.
    pub(crate) realloc: &'static str,
    /// Further declarations.
    pub(crate) extra: &'static str,
    pub(crate) describe: &'static str,
    pub(crate) configure: &'static str,
    pub(crate) begin: &'static str,
    pub(crate) finish: String,
}

impl Default for Forged {
    fn default() -> Self {
        // Byte 16 holds where the description is. At byte 256 all is zero, which reads as *fine,
        // and nothing to report* for every function.
        Self {
            wit: WIT.to_owned(),
            world: "",
            packages: &[],
            version: "0.1.0",
            description: DESCRIPTION.as_bytes().to_vec(),
            imports: "",
            memory: r#"(memory (export "memory") 2)"#,
            realloc: "",
            extra: "",
            describe: "i32.const 16",
            configure: "i32.const 256",
            begin: "i32.const 256",
            finish: "i32.const 256".to_owned(),
        }
    }
}

impl Forged {
    /// Sets the version that the interface claims to have.
    pub(crate) fn version(version: &'static str) -> Self {
        let wit = WIT.replace("casbah:plugin@0.1.0", &format!("casbah:plugin@{version}"));
        Self { wit, version, ..Self::default() }
    }

    pub(crate) fn module(&self) -> String {
        let description: String =
            self.description.iter().map(|byte| format!("\\{byte:02x}")).collect();
        let length: String = (self.description.len() as u32)
            .to_le_bytes()
            .iter()
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let interface = format!("casbah:plugin/detector@{}", self.version);
        let Self { imports, memory, realloc, extra, describe, configure, begin, finish, .. } = self;
        format!(
            r#"(module
                {imports}
                {memory}
                (data (i32.const 16) "\00\04\00\00{length}")
                (data (i32.const 1024) "{description}")
                (global $next (mut i32) (i32.const 65536))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    {realloc}
                    (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                    (global.get $next)
                    (global.set $next (i32.add (global.get $next) (local.get 3))))
                {extra}
                (func (export "{interface}#describe") (result i32) {describe})
                (func (export "{interface}#configure") (param i32 i32) (result i32) {configure})
                (func (export "{interface}#begin")
                    (param i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {begin})
                (func (export "{interface}#finish") (param i32 i32 i32 i32) (result i32)
                    (local $i i32) {finish}))"#
        )
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut resolve = Resolve::default();
        for (number, package) in self.packages.iter().enumerate() {
            resolve.push_source(&format!("package{number}.wit"), package).unwrap();
        }
        let wit =
            format!("{}\nworld forged {{ {} import log; export detector; }}", self.wit, self.world);
        let package = resolve.push_source("plugin.wit", &wit).unwrap();
        let world = resolve.select_world(&[package], Some("forged")).unwrap();
        let mut module = wat::parse_str(self.module()).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
            .unwrap();
        ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
    }
}

/// Code that stores a word.
pub(crate) fn store(at: u32, value: u32) -> String {
    format!("(i32.store (i32.const {at}) (i32.const {value}))\n")
}
