//! A simulator as a process of its own: what it says, the files it writes, and when it ends.

use std::fs;
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Error, ErrorKind};
use crate::fault::Fault;

/// Says something on stderr.
pub fn talk(text: &str) {
    // When nobody reads what we say there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Lists on stdout the faults that can be switched on.
///
/// # Errors
/// When stdout can't be written.
pub fn list_faults<F: Fault>() -> Result<(), Error> {
    let width = F::ALL.iter().map(|fault| fault.name().len()).max().unwrap_or_default() + 2;
    let mut out = std::io::stdout().lock();
    F::ALL
        .iter()
        .try_for_each(|fault| writeln!(out, "{:width$}{}", fault.name(), fault.meaning()))
        .map_err(|error| Error::write("cannot write to stdout", error))
}

/// What tells the process to stop.
#[derive(Debug)]
pub struct Stop {
    runtime: tokio::runtime::Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Catches SIGINT and SIGTERM from now on: before anybody can learn that the process is here.
    ///
    /// # Errors
    /// When they can't be caught.
    pub fn catch() -> Result<Self, Error> {
        let caught = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (terminate, interrupt) = {
                let _inside = runtime.enter();
                (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
            };
            Ok(Self { runtime, terminate, interrupt })
        };
        caught().map_err(|error: std::io::Error| {
            Error::new(ErrorKind::Start, format!("cannot catch signals: {error}"))
        })
    }

    /// Says on stdout, in this line, where the server is, writes the port to a file, and returns when
    /// the process is asked to stop.
    ///
    /// # Errors
    /// When stdout or the file can't be written.
    pub fn wait(
        mut self,
        line: &Value,
        address: SocketAddr,
        port_file: Option<&Path>,
    ) -> Result<(), Error> {
        writeln!(std::io::stdout(), "{line}")
            .map_err(|error| Error::write("cannot write to stdout", error))?;
        if let Some(path) = port_file {
            write_port(path, address.port())?;
        }
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
        });
        talk("stopped");
        Ok(())
    }
}

/// Written aside and renamed, so that who waits for the file never reads half a number.
fn write_port(path: &Path, port: u16) -> Result<(), Error> {
    let aside = path.with_extension("part");
    fs::write(&aside, port.to_string()).and_then(|()| fs::rename(&aside, path)).map_err(|error| {
        Error::write(format!("cannot write the port to `{}`", path.display()), error)
    })
}

/// Creates a file; `-` is stdout.
///
/// # Errors
/// When it can't be created.
pub fn create(path: &Path) -> Result<Box<dyn Write>, Error> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdout().lock()));
    }
    match fs::File::create(path) {
        Ok(file) => Ok(Box::new(BufWriter::new(file))),
        Err(error) => Err(Error::write(format!("cannot create `{}`", path.display()), error)),
    }
}

/// Writes a value to a file as JSON for people.
///
/// # Errors
/// When it can't be written.
pub fn write_json(path: &Path, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
    let failed = |error| Error::write(format!("cannot write to `{}`", path.display()), error);
    let text = serde_json::to_string_pretty(value).map_err(|error| failed(error.into()))?;
    fs::write(path, text + "\n").map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_there_in_full_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port.txt");
        write_port(&path, 4711).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4711");
        // Nothing is left aside.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write_port(&folder.path().join("no/port.txt"), 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Write);
        assert!(std::error::Error::source(&error).is_some());
    }
}
