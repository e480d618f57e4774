//! The events of the daemon's life: one JSON line each, on standard error.

use std::io::Write;

/// Whose lines are kept only from warnings on.
const FRAMEWORK: &[&str] = &["pingora", "h2", "rustls"];

/// Events of the daemon's life go to standard error. Pingora's debug and trace lines hold raw heads,
/// keys included, so they stay off whatever is asked for.
pub fn start() {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Info);
    builder.parse_env("BYNAME_LOG");
    builder.format(|out, record| {
        let foreign = FRAMEWORK.iter().any(|name| record.target().starts_with(name));
        if foreign && record.level() > log::Level::Warn {
            return Ok(());
        }
        let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
        let event = serde_json::json!({
            "time": now.to_string(),
            "level": record.level().as_str().to_ascii_lowercase(),
            "message": record.args().to_string(),
        });
        writeln!(out, "{event}")
    });
    // A second start in one process keeps the first logger.
    let _ = builder.try_init();
}
