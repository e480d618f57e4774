//! `--daemon`: goes on in the background, and returns when the background serves.
//!
//! A process with threads cannot be forked safely, so the program is started once more, in a session of its
//! own. It tells us how it is as it would tell systemd: through `NOTIFY_SOCKET`.

use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Says to the program that it is the one in the background.
const MARK: &str = "BYNAME_BACKGROUND";
/// What the mark says when whoever started it relays what it says until it serves.
const RELAYED: &str = "relayed";
/// How long a start may take: names are looked up meanwhile.
const STARTING: Duration = Duration::from_secs(90);
/// How often we look whether it has ended.
const LOOK: Duration = Duration::from_millis(50);

/// Whether this process is the one in the background.
pub fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// In the background: leaves the terminal's session.
pub fn leave_terminal() {
    if is_background() {
        // It fails only for the leader of a group, which a process in the background is not.
        let _ = rustix::process::setsid();
    }
}

/// Starts the background and waits until it serves.
///
/// # Errors
/// It cannot be started, or does not come up; what it says goes to standard error.
pub fn start() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("byname-start-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let ear = UnixDatagram::bind(&path)?;
    ear.set_read_timeout(Some(LOOK))?;
    let (events, mark) = match kept(&std::io::stderr())? {
        Some(file) => (file, "1"),
        None => (Stdio::piped(), RELAYED),
    };
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1).filter(|argument| *argument != *"-d" && *argument != *"--daemon"))
        .env(MARK, mark)
        .env("NOTIFY_SOCKET", &path)
        .stdin(Stdio::null())
        .stdout(kept(&std::io::stdout())?.unwrap_or_else(Stdio::null))
        .stderr(events)
        .spawn()?;
    let outcome = wait(&ear, &mut child);
    // Nobody asks for it again.
    let _ = std::fs::remove_file(&path);
    outcome
}

/// A file that output was sent to goes on getting it; a terminal or a pipe would keep whoever waits for its end.
fn kept(output: &impl std::os::fd::AsFd) -> std::io::Result<Option<Stdio>> {
    let output = output.as_fd().try_clone_to_owned()?;
    let is_file = std::fs::File::from(output.try_clone()?).metadata()?.is_file();
    Ok(is_file.then(|| Stdio::from(output)))
}

fn wait(ear: &UnixDatagram, child: &mut Child) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut said = child.stderr.take();
    // What it says until it serves is for whoever started it.
    let relay = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Some(Ok(1..)) = said.as_mut().map(|said| {
            let read = said.read(&mut buffer);
            if let Ok(length) = read {
                let _ = std::io::stderr().write_all(buffer.get(..length).unwrap_or_default());
            }
            read
        }) {}
    });
    let end = Instant::now() + STARTING;
    let mut message = [0; 4096];
    while Instant::now() < end {
        if let Ok(length) = ear.recv(&mut message)
            && String::from_utf8_lossy(message.get(..length).unwrap_or_default()).contains("READY=1")
        {
            println!("byname runs in the background, process {}", child.id());
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(status) = child.try_wait()? {
            let _ = relay.join();
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
            return Ok(ExitCode::from(code));
        }
    }
    child.kill()?;
    Err(format!("byname did not serve within {STARTING:?}").into())
}

/// In the background, once it serves: nobody listens at our standard error any more.
pub fn quiet() {
    if std::env::var_os(MARK).is_some_and(|how| how == *RELAYED)
        && let Ok(null) = std::fs::OpenOptions::new().append(true).open("/dev/null")
    {
        // As long as it fails, lines go nowhere just as well.
        let _ = rustix::stdio::dup2_stderr(null);
    }
}
