//! Compiles the guests for `wasm32-unknown-unknown` and makes components of them.
//!
//! The standard library for that target comes from wherever it can be had, in this order: the
//! installed toolchain; the source that Debian packages beside its newer compiler. `make setup`
//! installs one of the two.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

const TARGET: &str = "wasm32-unknown-unknown";
const ADAPTERS: &[&str] = &["smartsheet"];
const DETECTORS: &[&str] = &["activity"];

/// A small stack makes a fresh instance markedly cheaper: less memory to set up and to wipe. Vector
/// instructions help wherever bytes are searched.
const FLAGS: &str = "-C link-arg=-zstack-size=65536 -C target-feature=+simd128";

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in ["plugins/sdk", "host/model", "wit", "policies", "plugins/bundle/build.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    let toolchain = Toolchain::find()?;

    let mut code = String::new();
    for (list, names) in [("ADAPTERS", ADAPTERS), ("DETECTORS", DETECTORS)] {
        let crates: Vec<_> = names.iter().map(|name| format!("casbah-{name}")).collect();
        for name in names {
            println!("cargo::rerun-if-changed={}", root.join("plugins").join(name).display());
        }
        let modules = toolchain.build(&root.join("Cargo.toml"), &crates)?;
        componentize(&modules, &crates, names, &out)?;
        list_plugins(&mut code, list, names)?;
    }
    list_policies(&mut code, &root.join("policies"))?;
    if env::var_os("CARGO_FEATURE_HOSTILE").is_some() {
        hostile(&toolchain, &root.join("tests/hostile"), &out, &mut code)?;
    }
    fs::write(out.join("bundle.rs"), code)?;
    Ok(())
}

/// Every example of the hostile crate is a guest of its own.
fn hostile(toolchain: &Toolchain, folder: &Path, out: &Path, code: &mut String) -> Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder.join("guests"))? {
        let path = entry?.path();
        if path.join("Cargo.toml").is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            names.push(name);
        }
    }
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let crates: Vec<_> = names.iter().map(|name| format!("hostile-{name}")).collect();
    let modules = toolchain.build(&folder.join("Cargo.toml"), &crates)?;
    componentize(&modules, &crates, &names, out)?;
    list_plugins(code, "HOSTILE", &names)
}

fn componentize(modules: &Path, crates: &[String], names: &[&str], out: &Path) -> Result<()> {
    for (package, name) in crates.iter().zip(names) {
        let module = modules.join(format!("{}.wasm", package.replace('-', "_")));
        let bytes = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
        let component = wit_component::ComponentEncoder::default()
            .module(&bytes)
            .and_then(|encoder| encoder.validate(true).encode())
            .with_context(|| format!("making a component of {package}"))?;
        fs::write(out.join(format!("{name}.wasm")), component)?;
    }
    Ok(())
}

fn list_plugins(code: &mut String, list: &str, names: &[&str]) -> Result<()> {
    writeln!(code, "/// The built-in plugins of this kind.\npub const {list}: &[BuiltIn] = &[")?;
    for name in names {
        writeln!(
            code,
            "    BuiltIn {{ name: {name:?}, bytes: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.wasm\")) }},"
        )?;
    }
    writeln!(code, "];")?;
    Ok(())
}

fn list_policies(code: &mut String, folder: &Path) -> Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    writeln!(code, "/// The built-in policies, by name of their file.")?;
    writeln!(code, "pub const POLICIES: &[BuiltInPolicy] = &[")?;
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            let path = file.path();
            writeln!(
                code,
                "    BuiltInPolicy {{ file: {name:?}, text: include_str!({path:?}) }},"
            )?;
        }
    }
    writeln!(code, "];")?;
    Ok(())
}

/// What compiles a guest.
struct Toolchain {
    /// The compiler, where it is not the one that builds the host.
    rustc: Option<PathBuf>,
    linker: Option<PathBuf>,
    /// Whether the standard library must be built from source first.
    build_std: bool,
}

impl Toolchain {
    fn find() -> Result<Self> {
        let rustc = PathBuf::from(env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
        let library = print(&rustc, &["--print", "target-libdir", "--target", TARGET])?;
        if library.join("self-contained").is_dir() || has_std(&library) {
            return Ok(Self { rustc: None, linker: None, build_std: false });
        }
        let debian = PathBuf::from("/usr/bin/rustc");
        if debian.is_file() {
            let sysroot = print(&debian, &["--print", "sysroot"])?;
            if sysroot.join("lib/rustlib/src/rust/library/Cargo.toml").is_file() {
                let own = print(&rustc, &["--print", "sysroot"])?
                    .join("lib/rustlib")
                    .join(env::var("HOST")?)
                    .join("bin/rust-lld");
                let linker = [own, "/usr/bin/wasm-ld-19".into(), "/usr/bin/wasm-ld".into()]
                    .into_iter()
                    .find(|path| path.is_file())
                    .context("no linker for WebAssembly was found; run `make setup`")?;
                return Ok(Self { rustc: Some(debian), linker: Some(linker), build_std: true });
            }
        }
        bail!(
            "the compiler has no standard library for {TARGET}; run `make setup`, which installs it"
        )
    }

    /// Compiles packages of a workspace and returns the folder with their modules.
    fn build(&self, manifest: &Path, packages: &[String]) -> Result<PathBuf> {
        // A folder beside the host's own, so that neither waits for nor rebuilds the other.
        let out = PathBuf::from(env::var("OUT_DIR")?);
        let target = out
            .ancestors()
            .find(|path| path.file_name().is_some_and(|name| name == "build"))
            .and_then(|path| path.parent()?.parent())
            .context("the build folder is not where cargo puts it")?
            .join("guests");
        let mut command = Command::new(env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        // What cargo told this build script would confuse the cargo it starts.
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let keep = ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_HTTP_", "CARGO_REGISTRIES_"];
            if (name.starts_with("CARGO") && !keep.iter().any(|prefix| name.starts_with(prefix)))
                || name.starts_with("RUSTC")
                || name == "RUSTFLAGS"
            {
                command.env_remove(&name);
            }
        }
        command
            .args(["build", "--release", "--target", TARGET, "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target)
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_PROFILE_RELEASE_PANIC", "abort")
            .env("CARGO_PROFILE_RELEASE_LTO", "fat")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "none");
        for package in packages {
            command.args(["--package", package]);
        }
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
        if let Some(linker) = &self.linker {
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        if self.build_std {
            command.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        }
        let status = command.status().context("starting cargo for the guests")?;
        if !status.success() {
            bail!("the guests did not compile ({status}); the messages above say why");
        }
        Ok(target.join(TARGET).join("release"))
    }
}

fn has_std(library: &Path) -> bool {
    fs::read_dir(library).is_ok_and(|mut entries| {
        entries.any(|entry| {
            entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
        })
    })
}

fn print(rustc: &Path, arguments: &[&str]) -> Result<PathBuf> {
    let output = Command::new(rustc).args(arguments).output().context("starting the compiler")?;
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
