//! The command line: which of the three roles to play, and how long and how much to measure.
//!
//! Never starts anything, and refuses a word it does not know.

use std::net::SocketAddr;

use crate::scenarios;

pub const USAGE: &str = "cargo bench --bench relay [-- [--rounds N] [--seconds S] [--only SCENARIO…]]
  --rounds N    how often each scenario is measured per target (default 7)
  --seconds S   length of one measurement (default 1)
  --only …      only these scenarios, separated by spaces or commas
The gateway is the `byname` built with the bench; BYNAME_BIN=path names another.";

/// What this process is to be.
#[derive(Debug, PartialEq)]
pub enum Role {
    Mock { listen: SocketAddr, threads: usize },
    BareProxy { listen: SocketAddr, upstream: SocketAddr },
    Bench(Options),
}

#[derive(Debug, PartialEq)]
pub struct Options {
    /// How often each pair of scenario and target is measured; at least 1.
    pub rounds: usize,
    /// Seconds of one measurement; at least 1.
    pub seconds: u64,
    /// Names of scenarios; empty means all of them.
    pub only: Vec<String>,
}

impl Options {
    pub fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario)
    }
}

/// Reads the arguments that follow the program's name. The error is a sentence for the user.
pub fn read(words: impl Iterator<Item = String>) -> Result<Role, String> {
    let words: Vec<String> = words.collect();
    match words.first().map(String::as_str) {
        Some("--mock") => Ok(Role::Mock { listen: parse(words.get(1))?, threads: parse(words.get(2))? }),
        Some("--bare-proxy") => {
            Ok(Role::BareProxy { listen: parse(words.get(1))?, upstream: parse(words.get(2))? })
        }
        Some(_) => bench(&words).map(Role::Bench),
        // Cargo passes `--bench` when it benches. Without any word it is testing, and one look is enough.
        None => Ok(Role::Bench(Options { rounds: 1, seconds: 1, only: vec!["json1k".into()] })),
    }
}

fn bench(words: &[String]) -> Result<Options, String> {
    // Many short rounds rather than few long ones: what disturbs a machine comes in bursts.
    let mut options = Options { rounds: 7, seconds: 1, only: Vec::new() };
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--bench" => {}
            "--rounds" => options.rounds = parse::<usize>(words.next())?.max(1),
            "--seconds" => options.seconds = parse::<u64>(words.next())?.max(1),
            "--only" => {
                while let Some(names) = words.next_if(|next| !next.starts_with("--")) {
                    options.only.extend(names.split(',').filter(|name| !name.is_empty()).map(String::from));
                }
            }
            other => return Err(format!("what is `{other}`?")),
        }
    }
    match options.only.iter().find(|name| !scenarios::NAMES.contains(&name.as_str())) {
        Some(unknown) => {
            Err(format!("there is no scenario `{unknown}`; there are {}", scenarios::NAMES.join(", ")))
        }
        None => Ok(options),
    }
}

fn parse<T: std::str::FromStr>(word: Option<&String>) -> Result<T, String> {
    let word = word.ok_or("a value is missing")?;
    word.parse().map_err(|_| format!("`{word}` is not a value that fits here"))
}
