//! How a command reaches a casbah that is running: only one process can hold a data folder, so the
//! command is carried out inside that process, and its results come back over a local socket.
//!
//! The socket lies in the data folder and only its owner can open it. A client sends one request;
//! frames come back, one JSON object a line, and questions are answered the same way.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use casbah_model::TenantName;
use serde::{Deserialize, Serialize};

use crate::cli::Format;
use crate::output::{Console, Terminal};

/// What a command may take from the environment, besides settings.
pub(crate) const ENVIRONMENT: [&str; 5] =
    ["CASBAH_CLIENT_ID", "CASBAH_CLIENT_SECRET", "CASBAH_TOKEN", "USER", "SUDO_USER"];

/// A request is a command line and where it was typed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Request {
    /// The arguments, without the program's name.
    pub(crate) arguments: Vec<String>,
    /// The folder it was typed in; relative paths are meant from there.
    pub(crate) folder: PathBuf,
    /// Whose data.
    pub(crate) tenant: TenantName,
    /// How lists are printed.
    pub(crate) format: Format,
    /// Columns of the terminal.
    pub(crate) width: Option<u16>,
    /// Those of [`ENVIRONMENT`] that are set, and what secret settings are taken from.
    pub(crate) environment: BTreeMap<String, String>,
}

/// The environment variables that a command may use: the usual ones, and those that it names.
pub(crate) fn environment(named: Vec<String>) -> BTreeMap<String, String> {
    ENVIRONMENT
        .iter()
        .map(|name| (*name).to_owned())
        .chain(named)
        .filter_map(|name| {
            let value = std::env::var(&name).ok()?;
            Some((name, value))
        })
        .collect()
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Frame {
    Out(String),
    Talk(String),
    Ask { question: String, secret: bool },
    Answer(String),
    Exit(u8),
}

fn path(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Sends a request to the casbah that runs on this data folder and shows what comes back.
///
/// Returns the exit code, or `None` when no casbah is running there.
///
/// # Errors
/// When the running casbah goes away in the middle.
pub(crate) fn forward(data: &Path, request: &Request) -> Result<Option<u8>> {
    let Ok(mut stream) = UnixStream::connect(path(data)) else { return Ok(None) };
    let gone = "the running casbah went away";
    send(&mut stream, request).context(gone)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut console = Terminal;
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).context(gone)? == 0 {
            bail!("{gone}");
        }
        match serde_json::from_str(&line).context(gone)? {
            Frame::Out(text) => console.out(&text)?,
            Frame::Talk(text) => console.talk(&text),
            Frame::Ask { question, secret } => {
                let answer = console.ask(&question, secret)?;
                send(&mut stream, &Frame::Answer(answer)).context(gone)?;
            }
            Frame::Exit(code) => return Ok(Some(code)),
            Frame::Answer(_) => bail!("{gone}"),
        }
    }
}

/// Listens for requests as long as the process lives; each is carried out on a thread of its own.
///
/// # Errors
/// When the socket can't be made.
pub(crate) fn serve(
    data: &Path,
    carry_out: impl Fn(Request, Box<dyn Console>) -> u8 + Send + Sync + Clone + 'static,
) -> Result<Served> {
    let path = path(data);
    // Whoever holds the data folder's lock owns the socket; one that is left over is nobody's.
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("the socket `{}` can't be made", path.display()))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    std::thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            let carry_out = carry_out.clone();
            let started = std::thread::Builder::new()
                .name("control request".to_owned())
                .spawn(move || answer(stream, carry_out));
            if let Err(error) = started {
                tracing::warn!("a request could not be answered: {error}");
            }
        }
    })?;
    Ok(Served { path })
}

/// The socket goes away with this.
pub(crate) struct Served {
    path: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn answer(stream: UnixStream, carry_out: impl Fn(Request, Box<dyn Console>) -> u8) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let Ok(request) = serde_json::from_str::<Request>(&line) else { return };
    let Ok(out) = writer.try_clone() else { return };
    let code = carry_out(request, Box::new(Remote { writer: out, reader }));
    let _ = send(&mut writer, &Frame::Exit(code));
}

/// A client's terminal.
struct Remote {
    writer: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Console for Remote {
    fn out(&mut self, text: &str) -> io::Result<()> {
        send(&mut self.writer, &Frame::Out(text.to_owned()))
    }

    fn talk(&mut self, text: &str) {
        let _ = send(&mut self.writer, &Frame::Talk(text.to_owned()));
    }

    fn ask(&mut self, question: &str, secret: bool) -> io::Result<String> {
        send(&mut self.writer, &Frame::Ask { question: question.to_owned(), secret })?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Frame::Answer(answer)) => Ok(answer),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nobody answered")),
        }
    }
}

fn send(stream: &mut UnixStream, frame: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(frame)?;
    line.push(b'\n');
    stream.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_carried_out_where_casbah_runs() {
        let folder = tempfile::tempdir().unwrap();
        let request = || Request {
            arguments: vec!["alert".to_owned(), "list".to_owned()],
            folder: PathBuf::from("/somewhere"),
            tenant: "default".parse().unwrap(),
            format: Format::Table,
            width: Some(80),
            environment: BTreeMap::new(),
        };
        assert_eq!(forward(folder.path(), &request()).unwrap(), None, "nobody listens yet");
        let served = serve(folder.path(), |request, mut console| {
            assert_eq!(request.arguments, ["alert", "list"]);
            console.out("").unwrap();
            console.talk("");
            7
        })
        .unwrap();
        let mode = fs::metadata(path(folder.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(forward(folder.path(), &request()).unwrap(), Some(7));
        drop(served);
        assert_eq!(forward(folder.path(), &request()).unwrap(), None, "the socket went with it");
    }
}
