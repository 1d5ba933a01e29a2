//! `casbah policy format`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_detect::format::format;
use serde_json::json;

use crate::cli::Format;
use crate::command::{Found, Misunderstood};
use crate::output::{Output, counted};

/// Lays files out, or only says which are not. `-` is stdin, and goes to stdout.
pub(super) fn run(paths: &[PathBuf], check: bool, output: &mut Output) -> Result<Found> {
    if paths.iter().any(|path| path.as_os_str() == "-") {
        if paths.len() > 1 {
            bail!(Misunderstood("`-` stands for stdin, and can't be named with files".to_owned()));
        }
        return stdin(check, output);
    }
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(below(path)?);
        } else {
            files.push(path.clone());
        }
    }
    let (mut changed, mut problems) = (0, Vec::new());
    for file in &files {
        let bytes = std::fs::read(file)
            .with_context(|| format!("the policy `{}` can't be read", file.display()))?;
        match format(&file.display().to_string(), &bytes) {
            Ok(text) if text.as_bytes() == bytes => {}
            Ok(text) => {
                changed += 1;
                if !check {
                    replace(file, &text)?;
                }
                let path = file.display().to_string();
                if output.format == Format::Json {
                    output.json(&json!({"file": path, "written": !check}))?;
                } else {
                    output.line(&path)?;
                }
            }
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("\n\n"));
    }
    let all = counted(files.len() as u64, "file", "files");
    output.say(&match (check, changed) {
        (_, 0) => format!("{all}: nothing to do"),
        (true, _) => format!("{changed} of {all} would be laid out anew"),
        (false, _) => format!("{changed} of {all} laid out anew"),
    });
    Ok(Found(check && changed > 0))
}

fn stdin(check: bool, output: &mut Output) -> Result<Found> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context("reading stdin")?;
    let text = match format("stdin", &bytes) {
        Ok(text) => text,
        Err(problem) => bail!("{problem}"),
    };
    if !check {
        output.console().out(&text)?;
    }
    Ok(Found(check && text.as_bytes() != bytes))
}

/// The policies and candidates of a folder.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut sources = casbah_detect::folder::read_policies(folder)?;
    let shadow = folder.join("shadow");
    if shadow.is_dir() {
        sources.extend(casbah_detect::folder::read_policies(&shadow)?);
    }
    Ok(sources.into_iter().map(|source| PathBuf::from(source.file)).collect())
}

/// Writes a file beside and puts it in place, so that whoever reads meanwhile sees the one or the
/// other.
pub(super) fn replace(file: &Path, text: &str) -> Result<()> {
    let cannot = || format!("`{}` can't be written", file.display());
    let name = file.file_name().with_context(cannot)?.to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.{}.new", std::process::id()));
    std::fs::write(&beside, text).with_context(cannot)?;
    if let Ok(data) = std::fs::metadata(file) {
        std::fs::set_permissions(&beside, data.permissions()).with_context(cannot)?;
    }
    std::fs::rename(&beside, file).with_context(cannot)
}
