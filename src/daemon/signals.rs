//! Signals, from the first instruction of `main` on.
//!
//! The usual action on SIGHUP is to kill the process, so it is taken before anything else is done. One thread
//! hands all of them on; what they mean is for [`super::stop`] and [`super::reload`] to say.

use std::io;

use once_cell::sync::OnceCell;
use signal_hook::consts::signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// SIGHUP.
    Reload,
    /// SIGTERM.
    Stop,
    /// SIGINT.
    StopNow,
    /// SIGQUIT.
    HandOver,
}

/// Signals that have come since the start and that nobody has been told of yet.
static CAUGHT: OnceCell<std::sync::Mutex<Option<Signals>>> = OnceCell::new();

/// Takes SIGHUP from now on, so that it no longer kills; it is remembered.
///
/// # Errors
/// When the system does not let us.
pub fn survive_hangup() -> io::Result<()> {
    let signals = Signals::new([SIGHUP])?;
    // A second call keeps the first's.
    let _ = CAUGHT.set(std::sync::Mutex::new(Some(signals)));
    Ok(())
}

/// Hands every signal on from a thread of its own, those included that were remembered.
///
/// # Errors
/// When the system does not let us.
pub fn hand_on(mut to: impl FnMut(Asked) + Send + 'static) -> io::Result<()> {
    let early = CAUGHT.get().and_then(|caught| caught.lock().ok()?.take());
    let mut signals = match early {
        Some(signals) => signals,
        None => Signals::new([SIGHUP])?,
    };
    for signal in [SIGTERM, SIGINT, SIGQUIT] {
        signals.add_signal(signal)?;
    }
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                match signal {
                    SIGHUP => to(Asked::Reload),
                    SIGTERM => to(Asked::Stop),
                    SIGINT => to(Asked::StopNow),
                    SIGQUIT => to(Asked::HandOver),
                    _ => {}
                }
            }
        })
        .map(drop)
}
