//! Tells systemd how we are: sd_notify(3). Without a socket to tell it to, nothing is done.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;

use super::detach;

/// Requests are served; what follows is for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A new configuration is being read. [`ready`] must follow, whatever comes of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the configuration")]),
        Err(why) => log::warn!("the clock cannot be read: {why}"),
    }
}

/// We are about to leave.
pub fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Another process goes on in our place; only we may say so, as long as it is us whom systemd watches.
pub fn successor(pid: u32) {
    tell(&[NotifyState::MainPid(pid), NotifyState::Status("handed over to a new process")]);
}

/// We still answer.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear from us, if it does.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// Whether somebody listens who can be told of another main process.
pub fn is_supervised() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some() && !detach::is_background()
}

fn tell(states: &[NotifyState<'_>]) {
    // Whoever started us in the background waits for one word.
    static SAID: AtomicBool = AtomicBool::new(false);
    if SAID.swap(true, Ordering::Relaxed) && detach::is_background() {
        return;
    }
    if let Err(why) = sd_notify::notify(states) {
        log::warn!("systemd cannot be told: {why}");
    }
}
