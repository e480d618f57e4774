//! The control socket: what another process on this machine may ask of a running daemon.
//!
//! It lies in a private directory, so whoever reaches it may ask. One line asks, lines answer, and the last of
//! them begins with `ok` or `no`: `reload` gives `ok 3` or complaints and `no`; `upgrade` and `settle` are for
//! [`super::handover`].

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use super::handover::HandOver;
use super::reload::Reloader;
use super::run_dir::RunDir;
use crate::proxy::life::Stage;

/// How long the asking line may take.
const ASKING: Duration = Duration::from_secs(5);
/// How long a reload may take before whoever asked for it gives up: names are looked up meanwhile.
const RELOADING: Duration = Duration::from_secs(60);
/// The longest line.
const MAX_LINE: usize = 64 * 1024;
/// The longest account of what a process before us has used.
const MAX_OWED: u64 = 64 << 20;
/// The longest answer that is shown.
const MAX_ANSWER: u64 = 1 << 20;

/// Serves the control socket.
pub struct Control {
    pub reloader: Arc<Reloader>,
    pub hand_over: Arc<HandOver>,
}

impl Control {
    /// Listens in this directory, in place of whoever did before.
    ///
    /// # Errors
    /// Why that cannot be.
    pub fn listen(self, run_dir: &RunDir) -> Result<(), String> {
        let path = run_dir.control();
        let told = |why: std::io::Error| format!("{}: {why}", path.display());
        // Made aside and moved, so that there is no moment without one.
        let draft = path.with_extension(format!("{}", std::process::id()));
        let _ = std::fs::remove_file(&draft);
        let listener = UnixListener::bind(&draft).map_err(told)?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600)).map_err(told)?;
        std::fs::rename(&draft, &path).map_err(told)?;
        let this = Arc::new(self);
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || {
                for stream in listener.incoming() {
                    match stream {
                        Ok(stream) => this.clone().attend(stream),
                        Err(why) => {
                            log::warn!("the control socket: {why}");
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                }
            })
            .map(drop)
            .map_err(told)
    }

    fn attend(self: Arc<Self>, stream: UnixStream) {
        let answering = std::thread::Builder::new().name("control".into()).spawn(move || {
            if let Err(why) = self.answer(stream) {
                log::debug!("the control socket: {why}");
            }
        });
        if let Err(why) = answering {
            log::warn!("the control socket: {why}");
        }
    }

    fn answer(&self, mut stream: UnixStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(ASKING))?;
        stream.set_write_timeout(Some(ASKING))?;
        let line = line(&stream)?;
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("reload", "") if self.hand_over.leaving.life.stage() != Stage::Serving => {
                stream.write_all(b"this process is leaving\nno\n")
            }
            ("reload", "") => {
                let text = match self.reloader.reload() {
                    Ok(report) => format!("ok {}\n", report.generation),
                    Err(complaints) => format!("{}\nno\n", complaints.join("\n")),
                };
                stream.write_all(text.as_bytes())
            }
            ("settle", "") => {
                let mut owed = String::new();
                stream.try_clone()?.take(MAX_OWED).read_to_string(&mut owed)?;
                self.reloader.lasting.ledger.settle(serde_json::from_str(&owed)?);
                stream.write_all(b"ok\n")
            }
            ("upgrade", pid) => match pid.parse() {
                Ok(pid) => {
                    self.hand_over.serve(stream, pid);
                    Ok(())
                }
                Err(_) => stream.write_all(b"no: say who you are\n"),
            },
            _ => stream.write_all(b"no: reload, settle, or upgrade PID\n"),
        }
    }
}

/// One line, without its end.
///
/// # Errors
/// The other side has closed, or takes too long.
pub fn line(mut stream: &UnixStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    // Byte by byte, so that nothing of what follows is taken away.
    let mut byte = [0];
    while line.len() < MAX_LINE && stream.read(&mut byte)? > 0 {
        match byte {
            [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
            [other] => line.push(other),
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

/// `byname reload`: asks the running daemon to read its configuration again, and waits for the outcome.
/// 0 when it was taken, 64 when it was refused.
///
/// # Errors
/// Nobody is there.
pub fn ask_to_reload(run_dir: &RunDir) -> Result<ExitCode, String> {
    match ask(&run_dir.control()) {
        Ok(answer) => {
            let (said, last) = answer.trim_end().rsplit_once('\n').unwrap_or(("", answer.trim_end()));
            if !said.is_empty() {
                eprintln!("{said}");
            }
            match last.strip_prefix("ok ") {
                Some(generation) => {
                    println!("configuration {generation} is taken");
                    Ok(ExitCode::SUCCESS)
                }
                None => {
                    eprintln!("the configuration is refused; the one before goes on");
                    Ok(ExitCode::from(super::EX_USAGE))
                }
            }
        }
        Err(why) => Err(format!("{}: nobody can be asked to reload: {why}", run_dir.control().display())),
    }
}

fn ask(control: &Path) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(RELOADING))?;
    stream.write_all(b"reload\n")?;
    let mut answer = String::new();
    let mut reader = BufReader::new(stream.take(MAX_ANSWER));
    while reader.read_line(&mut answer)? > 0 {}
    if answer.is_empty() { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(answer) }
}
