//! Compiles the guests for `wasm32-unknown-unknown` and makes components of them.
//!
//! How a guest is compiled is told in `plugins/sdk/build.sh`, which authors of plugins use as well.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

const TARGET: &str = "wasm32-unknown-unknown";
const ADAPTERS: &[&str] = &["smartsheet", "netdocuments", "entra", "json"];
const DETECTORS: &[&str] = &["activity", "lifecycle", "novelty", "reputation", "travel", "volume"];

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for watched in
        ["plugins/sdk", "plugins/when", "host/model", "wit", "policies", "plugins/bundle/build.rs"]
    {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }

    let mut code = String::new();
    for (list, names) in [("ADAPTERS", ADAPTERS), ("DETECTORS", DETECTORS)] {
        let crates: Vec<_> = names.iter().map(|name| format!("casbah-{name}")).collect();
        for name in names {
            println!("cargo::rerun-if-changed={}", root.join("plugins").join(name).display());
        }
        let modules = build(&root, &root.join("Cargo.toml"), &crates)?;
        componentize(&modules, &crates, names, &out)?;
        list_plugins(&mut code, list, names)?;
    }
    let policies = root.join("policies");
    list_files(&mut code, "POLICIES", "The built-in policies", &policies, &[".yaml"])?;
    let templates = policies.join("templates");
    list_files(&mut code, "TEMPLATES", "Policies to begin with", &templates, &[".yaml"])?;
    let lists = templates.join("lists");
    list_files(&mut code, "LISTS", "Lists that templates name", &lists, &[".txt", ".csv"])?;
    if env::var_os("CARGO_FEATURE_HOSTILE").is_some() {
        hostile(&root, &out, &mut code)?;
    }
    fs::write(out.join("bundle.rs"), code)?;
    Ok(())
}

/// Every example of the hostile crate is a guest of its own.
fn hostile(root: &Path, out: &Path, code: &mut String) -> Result<()> {
    let folder = root.join("tests/hostile");
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
    let modules = build(root, &folder.join("Cargo.toml"), &crates)?;
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

/// Lists the files of a folder with these endings; a folder that is not there has none.
fn list_files(
    code: &mut String,
    list: &str,
    what: &str,
    folder: &Path,
    endings: &[&str],
) -> Result<()> {
    let mut files: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.collect::<Result<_, _>>()?,
        Err(_) => Vec::new(),
    };
    files.sort_by_key(fs::DirEntry::file_name);
    writeln!(code, "/// {what}, by name of their file.")?;
    writeln!(code, "pub const {list}: &[BuiltInPolicy] = &[")?;
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        if endings.iter().any(|ending| name.ends_with(ending)) {
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

/// Compiles packages of a workspace and returns the folder with their modules.
fn build(root: &Path, manifest: &Path, packages: &[String]) -> Result<PathBuf> {
    // A folder beside the host's own, so that neither waits for nor rebuilds the other.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target = out
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name == "build"))
        .and_then(|path| path.parent()?.parent())
        .context("the build folder is not where cargo puts it")?
        .join("guests");
    let mut command = Command::new(root.join("plugins/sdk/build.sh"));
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
    command.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(&target);
    for package in packages {
        command.args(["--package", package]);
    }
    let status = command.status().context("starting the build of the guests")?;
    if !status.success() {
        bail!("the guests did not compile ({status}); the messages above say why");
    }
    Ok(target.join(TARGET).join("release"))
}
