//! Settings: flags over environment over `casbah.toml` over defaults.
//!
//! It is not where connections are described: those are made by `connect` and live in the store.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_enrich::{EnrichSettings, ListSettings};
use casbah_model::TenantName;
use serde::Deserialize;

use crate::cli::{Format, Global};
use crate::command::directory::DirectorySettings;
use crate::command::in_force::Place;

/// Name of the settings file that is read when none is named.
const FILE: &str = "casbah.toml";

/// What a settings file may say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    data: Option<PathBuf>,
    tenant: Option<TenantName>,
    policies: Option<PathBuf>,
    built_in_policies: Option<bool>,
    format: Option<Format>,
    log: Option<String>,
    plugins: Option<Vec<PathBuf>>,
    backfill_days: Option<u32>,
    retention_days: Option<u32>,
    key_file: Option<PathBuf>,
    largest_answer_mib: Option<u16>,
    enrich: Option<EnrichSettings>,
    directory: Option<DirectorySettings>,
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag or the environment variable that stands for it.
    FlagOrEnvironment(&'static str),
    /// The settings file.
    File(PathBuf),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FlagOrEnvironment(name) => f.write_str(name),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The settings that hold.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub(crate) data: PathBuf,
    /// Whose data.
    pub(crate) tenant: TenantName,
    /// Policy files to use instead of the built-in ones.
    pub(crate) policies: Option<PathBuf>,
    /// Whether the built-in policies are in force beside those files.
    pub(crate) built_in_policies: bool,
    /// How lists are printed.
    pub(crate) format: Format,
    /// What is logged to stderr.
    pub(crate) log: String,
    /// Further plugins to load.
    pub(crate) plugins: Vec<PathBuf>,
    /// How far back a new connection is fetched.
    pub(crate) backfill_days: u32,
    /// How long activities are kept; 0 keeps them for ever.
    pub(crate) retention_days: u32,
    /// File with the key that secrets are encrypted with.
    pub(crate) key_file: PathBuf,
    /// Largest answer of an app that is read, bytes.
    pub(crate) largest_answer: usize,
    /// Files of the directory.
    pub(crate) directory: DirectorySettings,
    /// What addresses are looked up in.
    pub(crate) enrich: EnrichSettings,
    /// Every setting as text, with where it comes from.
    pub(crate) origins: Vec<(&'static str, String, Origin)>,
}

impl Config {
    /// Puts the settings together.
    ///
    /// # Errors
    /// When the settings file can't be read or says something unknown or wrong.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        let (file, path) = read_file(global.config.as_deref())?;
        let mut origins = Vec::new();
        let mut note = |name, value: String, flag: Option<&'static str>, in_file: bool| {
            let origin = match (flag, in_file) {
                (Some(flag), _) => Origin::FlagOrEnvironment(flag),
                (None, true) => Origin::File(path.clone()),
                (None, false) => Origin::Default,
            };
            origins.push((name, value, origin));
        };

        // Paths in a settings file are meant from where that file lies.
        let base = path.parent().unwrap_or(Path::new(""));
        let from_file = |path: &PathBuf| base.join(path);

        let data = global
            .data
            .clone()
            .or_else(|| file.data.as_ref().map(from_file))
            .unwrap_or_else(|| PathBuf::from("casbah-data"));
        note(
            "data",
            data.display().to_string(),
            global.data.as_ref().map(|_| "--data or CASBAH_DATA"),
            file.data.is_some(),
        );
        let tenant = match global.tenant.clone().or(file.tenant.clone()) {
            Some(tenant) => tenant,
            None => "default".parse()?,
        };
        note(
            "tenant",
            tenant.to_string(),
            global.tenant.as_ref().map(|_| "--tenant or CASBAH_TENANT"),
            file.tenant.is_some(),
        );
        let policies = global.policies.clone().or_else(|| file.policies.as_ref().map(from_file));
        note(
            "policies",
            policies.as_ref().map_or("built-in".to_owned(), |path| path.display().to_string()),
            global.policies.as_ref().map(|_| "--policies or CASBAH_POLICIES"),
            file.policies.is_some(),
        );
        let built_in_policies = file.built_in_policies.unwrap_or(policies.is_none());
        note(
            "built-in-policies",
            built_in_policies.to_string(),
            None,
            file.built_in_policies.is_some(),
        );
        if policies.is_none() && !built_in_policies {
            bail!(
                "`built-in-policies` in the settings file is false and no `policies` are named, so nothing would be noticed\n\
                 hint: name the folder of your policies, as `policies = \"DIR\"`"
            );
        }
        let format = global.format.or(file.format).unwrap_or_default();
        note(
            "format",
            format!("{format:?}").to_lowercase(),
            global.format.map(|_| "--format or CASBAH_FORMAT"),
            file.format.is_some(),
        );
        let log = global.log.clone().or(file.log.clone()).unwrap_or_else(|| "warn".to_owned());
        note(
            "log",
            log.clone(),
            global.log.as_ref().map(|_| "--log or CASBAH_LOG"),
            file.log.is_some(),
        );
        let plugins: Vec<_> = file.plugins.iter().flatten().map(from_file).collect();
        let shown: Vec<_> = plugins.iter().map(|path| path.display().to_string()).collect();
        note("plugins", shown.join(", "), None, file.plugins.is_some());
        // Flags of `run` alone; what the environment says of them holds here, too.
        let named = days("CASBAH_BACKFILL_DAYS")?;
        let backfill_days = named.or(file.backfill_days).unwrap_or(7);
        note(
            "backfill-days",
            backfill_days.to_string(),
            named.map(|_| "CASBAH_BACKFILL_DAYS"),
            file.backfill_days.is_some(),
        );
        let named = days("CASBAH_RETENTION_DAYS")?;
        let retention_days = named.or(file.retention_days).unwrap_or(180);
        note(
            "retention-days",
            retention_days.to_string(),
            named.map(|_| "CASBAH_RETENTION_DAYS"),
            file.retention_days.is_some(),
        );
        let key_file = file.key_file.as_ref().map_or_else(|| data.join("secret.key"), from_file);
        let key_env = std::env::var_os("CASBAH_KEY").is_some();
        note(
            "key",
            if key_env { "(set)".to_owned() } else { key_file.display().to_string() },
            key_env.then_some("CASBAH_KEY"),
            file.key_file.is_some(),
        );
        let mib = file.largest_answer_mib.map_or(casbah_connect::LARGEST_ANSWER >> 20, usize::from);
        if mib == 0 {
            bail!("`largest-answer-mib` in the settings file is 0, so nothing could be read");
        }
        note("largest-answer-mib", mib.to_string(), None, file.largest_answer_mib.is_some());
        let said = file.directory.clone().unwrap_or_default();
        let in_file = [said.file.is_some(), said.people.is_some()];
        let directory = said.below(base);
        let shown = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        let [file_in_file, people_in_file] = in_file;
        note("directory.file", shown(&directory.file), None, file_in_file);
        note("directory.people", shown(&directory.people), None, people_in_file);
        let said = file.enrich.clone().unwrap_or_default();
        let (geo, lists) = (!said.geo.is_empty(), !said.lists.is_empty());
        let enrich = said.from_folder(base);
        let paths: Vec<_> = enrich.geo.iter().map(|path| path.display().to_string()).collect();
        note("enrich.geo", paths.join(", "), None, geo);
        let ranges = enrich.ranges.as_ref().map(|path| path.display().to_string());
        note("enrich.ranges", ranges.clone().unwrap_or_default(), None, ranges.is_some());
        let named = |list: &ListSettings| format!("{} ({})", list.name, list.file.display());
        let names: Vec<_> = enrich.lists.iter().map(named).collect();
        note("enrich.lists", names.join(", "), None, lists);
        Ok(Self {
            data,
            tenant,
            policies,
            built_in_policies,
            format,
            log,
            plugins,
            backfill_days,
            retention_days,
            key_file,
            largest_answer: mib << 20,
            directory,
            enrich,
            origins,
        })
    }
}

impl Config {
    /// Where the policies come from.
    pub(crate) fn place(&self) -> Place {
        Place { folder: self.policies.clone(), built_in: self.built_in_policies }
    }
}

/// A number of days from the environment.
fn days(name: &str) -> Result<Option<u32>> {
    let Some(text) = std::env::var_os(name) else { return Ok(None) };
    let text = text.to_string_lossy();
    match text.parse() {
        Ok(days) => Ok(Some(days)),
        Err(_) => bail!("`{text}` in {name} is not a number of days"),
    }
}

fn read_file(named: Option<&Path>) -> Result<(File, PathBuf)> {
    let path = named.unwrap_or(Path::new(FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
            return Ok((File::default(), path.to_owned()));
        }
        Err(error) => {
            return Err(error)
                .with_context(|| format!("the settings file `{}` can't be read", path.display()));
        }
    };
    let file: File = match toml::from_str(&text) {
        Ok(file) => file,
        Err(error) => bail!("the settings file `{}` is wrong:\n{error}", path.display()),
    };
    Ok((file, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn global(config: Option<PathBuf>) -> Global {
        Global { config, data: None, tenant: None, policies: None, format: None, log: None }
    }

    #[test]
    fn a_flag_beats_the_file_and_the_file_beats_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("casbah.toml");
        std::fs::write(&path, "tenant = \"north\"\nbackfill-days = 3\ndata = \"kept\"\n").unwrap();
        let mut global = global(Some(path.clone()));
        let config = Config::load(&global).unwrap();
        assert_eq!(config.tenant.as_str(), "north");
        assert_eq!(config.backfill_days, 3);
        assert_eq!(config.data, folder.path().join("kept"));
        assert_eq!(config.retention_days, 180);
        global.tenant = Some("south".parse().unwrap());
        let config = Config::load(&global).unwrap();
        assert_eq!(config.tenant.as_str(), "south");
        let origin = |name| config.origins.iter().find(|(n, ..)| *n == name).unwrap().2.clone();
        assert_eq!(origin("tenant"), Origin::FlagOrEnvironment("--tenant or CASBAH_TENANT"));
        assert_eq!(origin("data"), Origin::File(path));
        assert_eq!(origin("retention-days"), Origin::Default);
    }

    #[test]
    fn what_is_wrong_in_the_file_is_shown_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("casbah.toml");
        std::fs::write(&path, "tenant = \"north\"\nbackfil-days = 3\n").unwrap();
        let message = Config::load(&global(Some(path.clone()))).unwrap_err().to_string();
        let message = message.replace(&path.display().to_string(), "casbah.toml");
        insta::assert_snapshot!(message, @r"
        the settings file `casbah.toml` is wrong:
        TOML parse error at line 2, column 1
          |
        2 | backfil-days = 3
          | ^^^^^^^^^^^^
        unknown field `backfil-days`, expected one of `data`, `tenant`, `policies`, `built-in-policies`, `format`, `log`, `plugins`, `backfill-days`, `retention-days`, `key-file`, `largest-answer-mib`, `enrich`, `directory`
        ");
        let missing = Config::load(&global(Some(folder.path().join("none.toml")))).unwrap_err();
        assert!(format!("{missing:#}").contains("can't be read"), "{missing:#}");
    }
}
