//! What keeps it alive: files, DNS, signals, the process. Everything below is told what these are.

mod addresses;
pub mod admin;
pub mod assemble;
pub mod boot;
pub mod budgets;
mod certificates;
pub mod cli;
pub mod demo;
pub mod fleet;
mod keeper;
pub mod keygen;
mod ledger;
pub mod load;
mod observe;
mod probe;
mod resolver;
#[cfg(test)]
mod scratch;
mod secrets;
pub mod stop;
pub mod store;
mod watch;

use std::process::ExitCode;

/// Bad usage or a bad configuration (EX_USAGE in sysexits.h).
const EX_USAGE: u8 = 64;

/// Runs what the command line asks for.
pub fn run(command: cli::Command) -> ExitCode {
    match command {
        cli::Command::Keygen { prefix } => keygen::run(prefix.as_deref()),
        cli::Command::Test { file } => match load::plan(&file) {
            Ok(_) => {
                eprintln!("{}: the configuration is good", file.display());
                ExitCode::SUCCESS
            }
            Err(complaints) => refuse(&complaints),
        },
        cli::Command::Serve { file } => match load::plan(&file) {
            Ok(plan) => match boot::serve(&plan) {
                Ok(code) => code,
                Err(problem) => refuse(&problem),
            },
            Err(complaints) => refuse(&complaints),
        },
    }
}

fn refuse(problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(EX_USAGE)
}
