//! What keeps it alive: files, DNS, signals, the process. Everything below is told what these are.

pub mod admin;
pub mod assemble;
pub mod boot;
pub mod budgets;
mod certificates;
pub mod cli;
mod control;
pub mod demo;
mod detach;
pub mod fleet;
mod handover;
mod keeper;
pub mod keygen;
mod ledger;
pub mod load;
mod log;
mod moderator;
mod notify;
mod observe;
mod panics;
mod policies;
mod probe;
mod process;
mod ready;
pub mod reload;
mod resolver;
mod root;
mod run_dir;
pub mod schema;
#[cfg(test)]
mod scratch;
mod secrecy;
mod secrets;
mod shared;
pub mod signals;
mod sockets;
mod status;
pub mod stop;
pub mod store;
mod tracing;
mod watch;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::place::{Fault, Weight};

/// Bad usage or a bad configuration (EX_USAGE in sysexits.h).
const EX_USAGE: u8 = 64;
/// Nobody is there to do it (EX_UNAVAILABLE in sysexits.h).
const EX_UNAVAILABLE: u8 = 69;

/// Runs what the command line asks for.
pub fn run(command: cli::Command) -> ExitCode {
    secrecy::no_dumps();
    match command {
        cli::Command::Keygen { prefix } => keygen::run(prefix.as_deref()),
        cli::Command::Reload { file } => {
            let configured = load::run_dir(&file);
            let run_dir = run_dir::RunDir::find(configured.as_deref(), &file);
            control::ask_to_reload(&run_dir).unwrap_or_else(|why| {
                // A file that cannot be read may hide where the daemon is; what is wrong with it is known here too.
                load::load(&file).map_or_else(
                    |complaints| refuse(&complaints),
                    |_| {
                        eprintln!("{why}");
                        ExitCode::from(EX_UNAVAILABLE)
                    },
                )
            })
        }
        cli::Command::Schema => {
            // Who stops reading in the middle has seen enough.
            let _ = std::io::stdout().write_all(schema::text().as_bytes());
            ExitCode::SUCCESS
        }
        cli::Command::Test { file } => test(&file),
        cli::Command::Serve { file, upgrade, background: cli::Background::Yes }
            if !detach::is_background() =>
        {
            // What is wrong with it is best told before the terminal is left.
            let tested = if upgrade { Ok(()) } else { load::load(&file).map(drop) };
            tested.map_or_else(
                |complaints| refuse(&complaints),
                |()| detach::start().unwrap_or_else(|why| refuse(&why)),
            )
        }
        cli::Command::Serve { file, upgrade, background: _ } => {
            detach::leave_terminal();
            log::start();
            match load::load(&file) {
                Ok(loaded) => match boot::serve(&loaded, boot::Start { file, upgrade }) {
                    Ok(code) => code,
                    Err(problem) => refuse(&problem),
                },
                Err(complaints) => refuse(&complaints),
            }
        }
    }
}

/// `-t`: everything that can be known without starting.
fn test(file: &Path) -> ExitCode {
    let loaded = match load::load(file) {
        Ok(loaded) => loaded,
        Err(complaints) => return refuse(&complaints),
    };
    let (faults, unwise) = match boot::dry(&loaded.plan) {
        Ok(unwise) => (Vec::new(), unwise),
        Err(faults) => (faults, Vec::new()),
    };
    // systemd runs us in the daemon's own environment; a terminal has another one.
    let here = std::env::var_os("INVOCATION_ID").is_some();
    let (bad, perhaps): (Vec<Fault>, Vec<Fault>) =
        faults.into_iter().partition(|fault| here || fault.weight == Weight::Obstacle);
    for warning in loaded.located(&[perhaps, unwise].concat()).iter() {
        eprintln!("warning: {warning}");
    }
    if !bad.is_empty() {
        return refuse(&loaded.located(&bad));
    }
    eprintln!("{}: the configuration is good", file.display());
    ExitCode::SUCCESS
}

/// What a lock guards, whoever held it before and however that ended.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refuse(problem: &dyn Display) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(EX_USAGE)
}
