//! What a connection that serves nobody waits for, besides its client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pingora_core::server::ShutdownWatch;

use super::seats::Place;
use crate::proxy::timer::Timer;

/// Waits with a connection, request after request, and sets as few timers as possible.
pub struct Patience {
    place: Arc<Place>,
    timer: Timer,
    stop: Stop,
}

/// The daemon's stop.
enum Stop {
    Awaited(Pin<Box<dyn Future<Output = ()> + Send>>),
    Told,
}

/// Why the waiting is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The deadline has passed.
    Late,
    /// Somebody else needs the seat.
    Leave,
    /// The daemon stops. This is told once.
    Stop,
}

impl Patience {
    /// For a connection of this place.
    pub fn new(place: Arc<Place>, shutdown: &ShutdownWatch) -> Self {
        let mut shutdown = shutdown.clone();
        // An error means that nobody is left who could stop us: we are stopped already.
        let stop = Box::pin(async move { drop(shutdown.wait_for(|stop| *stop).await) });
        Self { place, timer: Timer::default(), stop: Stop::Awaited(stop) }
    }

    /// Waits for the next sign. `deadline` is asked after the connection's place has been told whom to wake, so
    /// what it reads there cannot change unseen.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadline: impl FnOnce(&Place) -> Option<Instant>,
    ) -> Poll<Sign> {
        if let Stop::Awaited(stop) = &mut self.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            self.stop = Stop::Told;
            return Poll::Ready(Sign::Stop);
        }
        self.poll_seat(cx, deadline)
    }

    /// The same, whatever the daemon does.
    fn poll_seat(
        &mut self,
        cx: &mut Context<'_>,
        deadline: impl FnOnce(&Place) -> Option<Instant>,
    ) -> Poll<Sign> {
        self.place.attend(cx);
        if self.place.is_leaving() {
            return Poll::Ready(Sign::Leave);
        }
        match deadline(&self.place) {
            Some(deadline) => self.timer.poll_until(cx, deadline).map(|_| Sign::Late),
            None => Poll::Pending,
        }
    }

    /// Lets something happen, unless the deadline or somebody who needs the seat comes first.
    ///
    /// # Errors
    /// What came first.
    pub async fn allow<T>(&mut self, deadline: Instant, work: impl Future<Output = T>) -> Result<T, Sign> {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_seat(cx, |_| Some(deadline)).map(Err),
        })
        .await
    }
}
