//! A timer for deadlines that move: set once, and set anew only when it has gone off too early.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pingora_timeout::fast_timeout::fast_sleep;

/// Waits for deadlines, one at a time. Nothing is set before the first wait.
pub struct Timer {
    set: Option<Set>,
    /// The longest that it sleeps before it is asked for the deadline again.
    look: Duration,
}

impl Default for Timer {
    fn default() -> Self {
        Self { set: None, look: Duration::MAX }
    }
}

struct Set {
    at: Instant,
    sleep: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl Timer {
    /// One that looks at the deadline so often, for one that may come nearer while nothing else happens.
    pub fn looking_every(look: Duration) -> Self {
        Self { set: None, look }
    }

    /// Ready, with the time, once `deadline` has passed.
    ///
    /// A deadline that has moved away since the last wait leaves the timer alone; it goes off at the old one
    /// and is set again. One that has come nearer sets it anew.
    pub fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<Instant> {
        loop {
            let set = match self.set.take() {
                // The usual case, without a look at the clock.
                Some(set) if set.at <= deadline => self.set.insert(set),
                Some(_) | None => {
                    let now = Instant::now();
                    if deadline <= now {
                        return Poll::Ready(now);
                    }
                    let wait = (deadline - now).min(self.look);
                    self.set.insert(Set { at: now + wait, sleep: Box::pin(fast_sleep(wait)) })
                }
            };
            ready!(set.sleep.as_mut().poll(cx));
            // One that went off must not be polled again.
            self.set = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const TICK: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn a_deadline_is_kept_wherever_it_moves() {
        let mut timer = Timer::default();
        let began = Instant::now();
        for deadline in [began, began + TICK, began + 3 * TICK, began + 2 * TICK] {
            let now = poll_fn(|cx| timer.poll_until(cx, deadline)).await;
            assert!(now >= deadline);
        }
        // Set far away, then wanted sooner; and set soon, then wanted later.
        let far = Instant::now() + Duration::from_secs(60);
        let waiting = poll_fn(|cx| Poll::Ready(timer.poll_until(cx, far).is_pending())).await;
        let near = Instant::now() + TICK;
        assert!(waiting && poll_fn(|cx| timer.poll_until(cx, near)).await < far);
        let near = Instant::now() + TICK;
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_until(cx, near).is_pending())).await);
        let later = near + 2 * TICK;
        assert!(poll_fn(|cx| timer.poll_until(cx, later)).await >= later);
    }
}
