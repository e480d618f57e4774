//! Runs the official clients' scripts in `tests/clients` against a gateway. `tests/setup.sh` installs what they need.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::Daemon;

/// Whose client runs a script.
#[derive(Debug, Clone, Copy)]
pub enum Language {
    Python,
    Node,
}

impl Language {
    fn program(self) -> PathBuf {
        match self {
            Self::Python => folder().join(".venv/bin/python"),
            Self::Node => {
                let there = folder().join("node_modules/openai").is_dir();
                assert!(there, "the Node client is missing; run tests/setup.sh");
                "node".into()
            }
        }
    }

    fn file(self, script: &str) -> String {
        match self {
            Self::Python => format!("{script}.py"),
            Self::Node => format!("{script}.mjs"),
        }
    }
}

/// Runs a script with these client keys in its environment, and fails with all that it said when it fails.
pub fn run(language: Language, script: &str, daemon: &Daemon, keys: &[(&str, &str)]) {
    let (program, file) = (language.program(), language.file(script));
    let output = Command::new(&program)
        .arg(&file)
        .current_dir(folder())
        .env_remove("OPENAI_API_KEY")
        .env("BYNAME_URL", daemon.base_url())
        .envs(keys.iter().copied())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}; run tests/setup.sh", program.display()));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{file} failed:\n{}", String::from_utf8_lossy(&said));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
