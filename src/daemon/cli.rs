//! The command line. The only file that knows how it is parsed.

use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::AppSettings;

/// What the operator asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Serve { file: PathBuf, upgrade: bool, background: Background },
    Test { file: PathBuf },
    Reload { file: PathBuf },
    Keygen { prefix: Option<String> },
    Schema,
}

/// Whether the terminal is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Background {
    Yes,
    No,
}

#[derive(StructOpt)]
#[structopt(
    name = "byname",
    about = "An edge gateway for language models that answers by alias and never says who answered.",
    setting = AppSettings::UnifiedHelpMessage,
    global_setting = AppSettings::DeriveDisplayOrder
)]
struct Args {
    /// The configuration file
    #[structopt(short = "c", long, parse(from_os_str), default_value = "conf/byname.yaml")]
    config: PathBuf,
    /// Checks the configuration, prints every complaint and leaves: 0 if it is good, 64 if not
    #[structopt(short, long)]
    test: bool,
    /// Takes the listening sockets over from the Byname that runs with this file; no connection is refused
    #[structopt(short, long)]
    upgrade: bool,
    /// Goes on in the background, and returns when the background serves
    #[structopt(short, long)]
    daemon: bool,
    #[structopt(subcommand)]
    sub: Option<Sub>,
}

#[derive(StructOpt)]
enum Sub {
    /// Has the Byname that runs with this file read it again, and waits: 0 if it is taken, 64 if it is refused
    Reload {
        /// The configuration file
        #[structopt(short = "c", long, parse(from_os_str), default_value = "conf/byname.yaml")]
        config: PathBuf,
    },
    /// Makes a random client key and prints it with the digest that goes into the configuration
    Keygen {
        /// Begins the key, so that people see whose it is
        #[structopt(long)]
        prefix: Option<String>,
    },
    /// Prints what a configuration looks like, for editors (JSON Schema)
    Schema,
}

/// Parses the process's arguments; prints help or a complaint and leaves when there is nothing to run.
pub fn parse() -> Command {
    match Args::from_iter_safe(std::env::args_os()) {
        Ok(args) => command(args),
        Err(stop) if stop.use_stderr() => {
            eprintln!("{}", stop.message);
            std::process::exit(i32::from(super::EX_USAGE));
        }
        Err(stop) => stop.exit(),
    }
}

fn command(args: Args) -> Command {
    match args.sub {
        Some(Sub::Keygen { prefix }) => Command::Keygen { prefix },
        Some(Sub::Schema) => Command::Schema,
        Some(Sub::Reload { config }) => Command::Reload { file: config },
        None if args.test => Command::Test { file: args.config },
        None => Command::Serve {
            file: args.config,
            upgrade: args.upgrade,
            background: if args.daemon { Background::Yes } else { Background::No },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Option<Command> {
        let argv = std::iter::once("byname").chain(args.iter().copied());
        Args::from_iter_safe(argv).ok().map(command)
    }

    #[test]
    fn each_form_is_understood() {
        let file = PathBuf::from("conf/byname.yaml");
        let serve = |upgrade, background| Some(Command::Serve { file: file.clone(), upgrade, background });
        assert_eq!(parsed(&[]), serve(false, Background::No));
        assert_eq!(parsed(&["-u", "-d"]), serve(true, Background::Yes));
        assert_eq!(parsed(&["--upgrade", "--daemon"]), serve(true, Background::Yes));
        assert_eq!(parsed(&["reload", "-c", "x"]), Some(Command::Reload { file: "x".into() }));
        assert_eq!(parsed(&["-t"]), Some(Command::Test { file: file.clone() }));
        assert_eq!(parsed(&["--test", "-c", "x"]), Some(Command::Test { file: "x".into() }));
        assert_eq!(parsed(&["keygen"]), Some(Command::Keygen { prefix: None }));
        assert_eq!(parsed(&["keygen", "--prefix", "a"]), Some(Command::Keygen { prefix: Some("a".into()) }));
        assert_eq!(parsed(&["schema"]), Some(Command::Schema));
        assert_eq!(parsed(&["--nonsense"]), None);
    }
}
